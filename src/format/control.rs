//! Control batches: the markers that a coordinator writes into the log. No application sees them, but each takes an offset.
//!
//! ```text
//! byte  size  field                 key of the batch's one record
//!    0     2  version               0; above means the same with bytes behind it
//!    2     2  type                  0 abort, 1 commit; 2–6 occur only in Kafka's metadata log
//!
//! byte  size  field                 value, for abort and commit
//!    0     2  version               0; above means the same with bytes behind it
//!    2     4  coordinator_epoch
//! ```
//! The batch has the attributes control and transactional, the producer's id and epoch, and no sequence.

use super::reader::Reader;
use super::record::Record;
use super::{Attributes, BatchBuilder, BatchHeader, Invalid, ProducerIdAndEpoch, ProducerStamp};

/// What a control record says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ControlType {
    /// The producer's open transaction never happened.
    Abort,
    /// The producer's open transaction happened.
    Commit,
    /// Something that means nothing in a topic; to be skipped.
    Other(i16),
}

/// The end of a transaction in one partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct EndTransactionMarker {
    /// Whether the transaction happened.
    pub(crate) is_commit: bool,
    /// Epoch of the coordinator that wrote the marker.
    pub(crate) coordinator_epoch: i32,
}

const VERSION: i16 = 0;
const ABORT: i16 = 0;
const COMMIT: i16 = 1;

impl ControlType {
    /// Reads the key of a control record.
    ///
    /// # Errors
    /// If it is too short or has a negative version.
    pub(crate) fn decode_key(key: &[u8]) -> Result<ControlType, Invalid> {
        let mut reader = Reader::new(key);
        check_version(reader.i16()?)?;
        Ok(match reader.i16()? {
            ABORT => ControlType::Abort,
            COMMIT => ControlType::Commit,
            other => ControlType::Other(other),
        })
    }
}

impl EndTransactionMarker {
    /// The key of the marker's record.
    pub(crate) fn encode_key(self) -> [u8; 4] {
        let [v0, v1] = VERSION.to_be_bytes();
        let [t0, t1] = if self.is_commit { COMMIT } else { ABORT }.to_be_bytes();
        [v0, v1, t0, t1]
    }

    /// The value of the marker's record.
    pub(crate) fn encode_value(self) -> [u8; 6] {
        let [v0, v1] = VERSION.to_be_bytes();
        let [e0, e1, e2, e3] = self.coordinator_epoch.to_be_bytes();
        [v0, v1, e0, e1, e2, e3]
    }

    /// The batch that is this marker of a producer, and its header.
    ///
    /// # Panics
    /// Never: what is not compressed needs no codec.
    pub(crate) fn batch(
        self,
        offset: u64,
        leader_epoch: i32,
        ProducerIdAndEpoch { id: producer_id, epoch: producer_epoch }: ProducerIdAndEpoch,
        timestamp_ms: i64,
    ) -> (BatchHeader, Vec<u8>) {
        let mut builder = BatchBuilder::new();
        builder.clear(offset, timestamp_ms);
        builder.push(timestamp_ms, Some(&self.encode_key()), Some(&self.encode_value()), &[]);
        let mut fields = builder.fields();
        fields.start.leader_epoch = leader_epoch;
        fields.start.attributes = Attributes::NONE.with_control();
        fields.start.stamp = ProducerStamp { producer_id, producer_epoch, base_sequence: -1, is_transactional: true };
        let batch = builder.finish(&fields).expect("what is not compressed needs no codec");
        (BatchHeader::decode(batch).expect("a header that was just encoded"), batch.to_vec())
    }

    /// Reads the marker of a control batch with this header and these (never compressed) records. `None` if it is a control
    /// batch of another kind, or one that compaction has emptied.
    ///
    /// # Errors
    /// If it is not one well-formed record, or is not a control batch at all.
    pub(crate) fn decode(header: &BatchHeader, records: &[u8]) -> Result<Option<EndTransactionMarker>, Invalid> {
        if !header.start.attributes.is_control() {
            return Err(Invalid::Malformed("not a control batch"));
        }
        if header.record_count == 0 && records.is_empty() {
            return Ok(None);
        }
        if header.record_count != 1 {
            return Err(Invalid::Malformed("a control batch has more than one record"));
        }
        EndTransactionMarker::decode_record(records)
    }

    /// Reads the marker of a control batch that has this one record. `None` if it is a control batch of another kind.
    ///
    /// # Errors
    /// If it is not one well-formed record.
    pub(crate) fn decode_record(records: &[u8]) -> Result<Option<EndTransactionMarker>, Invalid> {
        let (record, size) = Record::decode(records)?;
        if size != records.len() {
            return Err(Invalid::Malformed("a control batch has more than one record"));
        }
        let key = record.key.ok_or(Invalid::Malformed("a control record without a key"))?;
        let is_commit = match ControlType::decode_key(key)? {
            ControlType::Commit => true,
            ControlType::Abort => false,
            ControlType::Other(_) => return Ok(None),
        };
        let mut value = Reader::new(record.value.ok_or(Invalid::Malformed("a control record without a value"))?);
        check_version(value.i16()?)?;
        Ok(Some(EndTransactionMarker { is_commit, coordinator_epoch: value.i32()? }))
    }
}

fn check_version(version: i16) -> Result<(), Invalid> {
    if version < 0 {
        return Err(Invalid::Malformed("a control record has a negative version"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::{Attributes, BatchBuilder, HEADER_BYTES};

    /// A control batch of records with these keys and a value of these bytes.
    fn decode(keys: &[&[u8]], value: &[u8]) -> Result<Option<EndTransactionMarker>, Invalid> {
        let mut builder = BatchBuilder::new();
        for key in keys {
            builder.push(-1, Some(key), Some(value), &[]);
        }
        let mut fields = builder.fields();
        fields.start.attributes = Attributes::NONE.with_control();
        fields.start.stamp.is_transactional = true;
        let batch = builder.finish(&fields)?;
        EndTransactionMarker::decode(&BatchHeader::decode(batch)?, &batch[HEADER_BYTES..])
    }

    const COMMIT_7: EndTransactionMarker = EndTransactionMarker { is_commit: true, coordinator_epoch: 7 };

    #[test]
    fn a_marker_comes_back_from_its_bytes() {
        for marker in [COMMIT_7, EndTransactionMarker { is_commit: false, coordinator_epoch: -1 }] {
            assert_eq!(decode(&[&marker.encode_key()], &marker.encode_value()), Ok(Some(marker)));
        }
    }

    #[test]
    fn a_later_version_is_read_as_this_one() {
        assert_eq!(decode(&[&[0, 1, 0, 1, 9]], &[0, 2, 0, 0, 0, 7, 9]), Ok(Some(COMMIT_7)));
    }

    #[test]
    fn an_unknown_type_is_skipped() {
        assert_eq!(decode(&[&[0, 0, 0, 2]], b""), Ok(None));
        assert_eq!(ControlType::decode_key(&[0, 0, 0, 6]), Ok(ControlType::Other(6)));
    }

    #[test]
    fn what_compaction_has_emptied_says_nothing() {
        assert_eq!(decode(&[], b""), Ok(None));
    }

    #[test]
    fn malformed_markers_are_refused() {
        let (key, value) = (COMMIT_7.encode_key(), COMMIT_7.encode_value());
        assert!(decode(&[&key, &key], &value).is_err());
        assert!(decode(&[&key], &value[..5]).is_err());
        assert!(decode(&[&key[..3]], &value).is_err());
        assert!(decode(&[&[0xff, 0xff, 0, 1]], &value).is_err());
        assert!(decode(&[&key], &[0x80, 0, 0, 0, 0, 7]).is_err());
    }
}
