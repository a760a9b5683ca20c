//! Making whole batches from single records.

use super::attributes::Attributes;
use super::batch::HEADER_BYTES;
use super::header::Header;
use super::header_list::HeaderList;
use super::record::RecordFields;
use super::{BatchStart, Compression, Invalid, ProducerStamp, SealFields, crc32c, is_plain, seal_header, seal_records};

/// Puts records into one batch. For batches that do not go through the tail; keeps its memory from batch to batch.
///
/// [`clear`](Self::clear), [`push`](Self::push) …, then [`finish`](Self::finish) with [`fields`](Self::fields) and what is to
/// differ from them.
#[derive(Debug, Default)]
pub(crate) struct BatchBuilder {
    /// Room for the header, then the records, up to `end`. What lies behind is left from earlier batches: to keep it is
    /// cheaper than to zero the place of every record before encoding it there.
    plain: Vec<u8>,
    end: usize,
    /// The whole batch with the records compressed, if that was asked for.
    compressed: Vec<u8>,
    base_offset: u64,
    base_timestamp: i64,
    max_timestamp: i64,
    last_offset_delta: i32,
    record_count: i32,
}

impl BatchBuilder {
    /// A builder to be [`clear`](Self::clear)ed before use.
    pub(crate) fn new() -> BatchBuilder {
        let mut builder = BatchBuilder::default();
        builder.clear(0, -1);
        builder
    }

    /// Begins a batch. The base timestamp is by custom that of the first record, or the delete horizon.
    pub(crate) fn clear(&mut self, base_offset: u64, base_timestamp: i64) {
        self.plain.resize(self.plain.len().max(HEADER_BYTES), 0);
        self.end = HEADER_BYTES;
        self.base_offset = base_offset;
        self.base_timestamp = base_timestamp;
        self.max_timestamp = -1;
        self.last_offset_delta = -1;
        self.record_count = 0;
    }

    /// Adds a record at the next offset.
    #[inline(always)]
    #[allow(clippy::inline_always, reason = "as below")]
    pub(crate) fn push<'h>(
        &mut self,
        timestamp_ms: i64,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: impl Into<HeaderList<'h>>,
    ) {
        self.push_at(self.last_offset_delta + 1, timestamp_ms, key, value, headers);
    }

    /// Adds a record at an offset above that of the last one, for compaction, which leaves gaps.
    #[inline(always)]
    #[allow(clippy::inline_always, reason = "in the loop over a batch's records, as `RecordFields::try_encode_short`")]
    pub(crate) fn push_at<'h>(
        &mut self,
        offset_delta: i32,
        timestamp_ms: i64,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: impl Into<HeaderList<'h>>,
    ) {
        debug_assert!(self.last_offset_delta < offset_delta);
        let timestamp_delta = timestamp_ms.wrapping_sub(self.base_timestamp);
        let fields = RecordFields { timestamp_delta, offset_delta, key, value, headers: headers.into() };
        let space = self.plain.get_mut(self.end..).unwrap_or_default();
        self.end += match fields.try_encode_short(space) {
            Some(record_bytes) => record_bytes,
            None => self.encode_any(fields),
        };
        self.max_timestamp = self.max_timestamp.max(timestamp_ms);
        self.last_offset_delta = offset_delta;
        self.record_count += 1;
    }

    /// Encodes any record behind the others, and grows if there is no room. By value: what is lent would not stay in registers
    /// where it is not.
    #[cold]
    fn encode_any(&mut self, record: RecordFields<'_>) -> usize {
        let bytes = self.end + record.encoded_len();
        if self.plain.len() < bytes {
            self.plain.resize(bytes.max(2 * self.plain.len()), 0);
        }
        record.encode(self.plain.get_mut(self.end..).unwrap_or_default())
    }

    /// The size in bytes that the batch has so far, uncompressed and with its header.
    pub(crate) fn batch_bytes(&self) -> usize {
        self.end
    }

    /// The number of records so far.
    pub(crate) fn record_count(&self) -> i32 {
        self.record_count
    }

    /// A header for the records so far: no producer, no codec, leader epoch 0.
    pub(crate) fn fields(&self) -> SealFields {
        SealFields {
            start: BatchStart {
                base_offset: self.base_offset,
                leader_epoch: 0,
                attributes: Attributes::NONE,
                base_timestamp: self.base_timestamp,
                stamp: ProducerStamp::NONE,
            },
            last_offset_delta: self.last_offset_delta.max(0),
            max_timestamp: self.max_timestamp,
            record_count: self.record_count,
        }
    }

    /// The whole batch under a header of these fields, compressed with the codec of their attributes, unless that makes it
    /// larger. The builder has to be cleared before the next batch.
    ///
    /// # Errors
    /// [`Invalid::Codec`] if the codec is not compiled in.
    pub(crate) fn finish(&mut self, fields: &SealFields) -> Result<&[u8], Invalid> {
        let plain = self.plain.get_mut(..self.end).unwrap_or_default();
        if !is_plain(&fields.start) {
            seal_records(fields, plain.get(HEADER_BYTES..).unwrap_or_default(), &mut self.compressed)?;
            if self.compressed.len() < plain.len() {
                return Ok(&self.compressed);
            }
        }
        let fields = SealFields { start: fields.start.with_codec(Compression::None), ..*fields };
        if let Some((header, records)) = plain.split_first_chunk_mut::<HEADER_BYTES>() {
            *header = seal_header(&fields, records.len(), crc32c(records));
        }
        Ok(plain)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::{check_records, verify};

    #[test]
    fn a_builder_serves_one_batch_after_the_other() {
        let mut builder = BatchBuilder::new();
        for base_offset in [0, 7] {
            builder.clear(base_offset, 1000);
            builder.push(1000, Some(b"key"), Some(b"value"), &[]);
            builder.push(999, None, None, &[Header::new("name", "value")]);
            assert_eq!(builder.record_count(), 2);
            let (fields, batch_bytes) = (builder.fields(), builder.batch_bytes());
            let batch = builder.finish(&fields).unwrap();
            assert_eq!(batch.len(), batch_bytes);
            let header = verify(batch).unwrap();
            assert_eq!((header.base_offset(), header.next_offset()), (base_offset, base_offset + 2));
            assert_eq!((header.start.base_timestamp, header.max_timestamp), (1000, 1000));
            assert_eq!(check_records(&header, &batch[HEADER_BYTES..]), Ok(()));
        }
    }

    #[test]
    fn records_that_compression_makes_larger_stay_plain() {
        let mut builder = BatchBuilder::new();
        builder.push(-1, None, Some(b"short"), &[]);
        let mut fields = builder.fields();
        fields.start.attributes = Attributes::NONE.with_codec(Compression::Snappy);
        let header = verify(builder.finish(&fields).unwrap()).unwrap();
        assert_eq!(header.start.attributes.codec(), Compression::None);

        builder.clear(0, -1);
        builder.push(-1, None, Some(&[b'x'; 1000]), &[]);
        let fields = SealFields { start: fields.start, ..builder.fields() };
        let batch = builder.finish(&fields).unwrap();
        assert_eq!(verify(batch).unwrap().start.attributes.codec(), Compression::Snappy);
        assert!(batch.len() < 200);
    }

    #[test]
    fn a_batch_can_be_sealed_from_a_running_checksum() {
        let mut builder = BatchBuilder::new();
        builder.push(5, Some(b"a"), Some(b"1"), &[]);
        builder.push(6, Some(b"b"), Some(b"2"), &[]);
        let fields = builder.fields();
        let batch = builder.finish(&fields).unwrap();
        let (header, records) = batch.split_at(HEADER_BYTES);
        let running = records.iter().fold(0, |crc, byte| super::super::crc32c_append(crc, &[*byte]));
        assert_eq!(seal_header(&fields, records.len(), running)[..], *header);
    }

    #[test]
    fn an_empty_batch_is_a_header() {
        let mut builder = BatchBuilder::new();
        builder.clear(3, -1);
        let fields = builder.fields();
        assert_eq!(verify(builder.finish(&fields).unwrap()).unwrap().batch_bytes, 61);
    }
}
