//! The record batch: header, checksum, and a strict check of the records in it.
//!
//! ```text
//! byte  size  field                 one batch; a log file is batches end to end
//!    0     8  base_offset           offset of the first record as first written; kept by compaction
//!    8     4  batch_length          bytes behind this field, at least 49
//!   12     4  leader_epoch          of the leader that appended it; −1 none
//!   16     1  magic                 2
//!   17     4  crc                   CRC-32C from byte 21 to the end
//!   21     2  attributes            see `Attributes`
//!   23     4  last_offset_delta     last offset as first written, minus base_offset
//!   27     8  base_timestamp        what the records' timestamps are relative to; or the delete horizon
//!   35     8  max_timestamp         the largest of the records; or the append time, which then is that of all of them
//!   43     8  producer_id           −1 none
//!   51     2  producer_epoch        −1 none
//!   53     4  base_sequence         sequence of the first record; −1 none
//!   57     4  record_count          records that are there; fewer than offsets after compaction
//!   61     …  records               compressed as a whole if the attributes name a codec
//! ```
//! Bytes 0 to 16 are outside the checksum: offset and epoch can be given to a batch that is otherwise finished.

use super::reader::Reader;
use super::record::{Record, RecordDeltas};
use super::{Attributes, BatchStart, Invalid, ProducerStamp, crc32c};
use crate::canary::{Canary, planted};

/// The size of what comes before the bytes that `batch_length` counts.
pub(crate) const LOG_OVERHEAD: usize = 12;
/// Where the leader epoch lies.
pub(crate) const LEADER_EPOCH_START: usize = LOG_OVERHEAD;
/// Where the checksum lies; it covers everything behind itself.
pub(crate) const CRC_FIELD: usize = LEADER_EPOCH_START + size_of::<i32>() + size_of::<i8>();
/// Where the bytes begin that the checksum covers.
pub(crate) const CRC_START: usize = CRC_FIELD + size_of::<u32>();
/// The size of a batch's header, and of a whole batch without records.
pub(crate) const HEADER_BYTES: usize = 61;
const _: () = assert!(CRC_START == 21);

#[allow(clippy::cast_possible_truncation, reason = "two small constants in the type of the length field")]
const HEADER_BYTES_U32: u32 = HEADER_BYTES as u32;
#[allow(clippy::cast_possible_truncation, reason = "two small constants in the type of the length field")]
const LOG_OVERHEAD_U32: u32 = LOG_OVERHEAD as u32;

const MAGIC: i8 = 2;

/// The header of a batch. What [`decode`](Self::decode) returns has offsets that fit Kafka's, a size of at least
/// [`HEADER_BYTES`] and a count that is not negative; nothing else is checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BatchHeader {
    /// What it began with.
    pub(crate) start: BatchStart,
    /// The size of the whole batch in bytes, header included.
    pub(crate) batch_bytes: u32,
    /// CRC-32C of the bytes from [`CRC_START`] on.
    pub(crate) crc: u32,
    /// Last offset as first written, minus the base offset. Not negative.
    pub(crate) last_offset_delta: i32,
    /// The largest timestamp of a record in ms, or the append time if the flags say so; −1 if none has one.
    pub(crate) max_timestamp: i64,
    /// Number of records that are there; 0 only after compaction.
    pub(crate) record_count: i32,
}

impl BatchHeader {
    /// Reads the header at the start of `bytes`. The batch itself need not be there as a whole.
    ///
    /// # Errors
    /// If there are fewer than [`HEADER_BYTES`], or a field cannot be.
    pub(crate) fn decode(bytes: &[u8]) -> Result<BatchHeader, Invalid> {
        let Some(bytes) = bytes.first_chunk::<HEADER_BYTES>() else {
            return Err(Invalid::Malformed("too few bytes for the header of a batch"));
        };
        let mut reader = Reader::new(bytes);
        let first_offset = reader.i64()?;
        let batch_length = reader.i32()?;
        let leader_epoch = reader.i32()?;
        let magic = reader.i8()?;
        let base_offset = u64::try_from(first_offset).map_err(|_| Invalid::Malformed("a negative base offset"))?;
        let batch_bytes = batch_bytes(batch_length)?;
        let crc = reader.u32()?;
        let (attributes, is_transactional) = Attributes::from_bits(reader.i16()?)?;
        let last_offset_delta = reader.i32()?;
        let (base_timestamp, max_timestamp) = (reader.i64()?, reader.i64()?);
        let stamp = ProducerStamp {
            producer_id: reader.i64()?,
            producer_epoch: reader.i16()?,
            base_sequence: reader.i32()?,
            is_transactional,
        };
        let start = BatchStart { base_offset, leader_epoch, attributes, base_timestamp, stamp };
        let record_count = reader.i32()?;
        let header = BatchHeader { start, batch_bytes, crc, last_offset_delta, max_timestamp, record_count };
        if magic != MAGIC {
            return Err(Invalid::Malformed("the magic byte of a batch is not 2"));
        }
        if header.last_offset_delta < 0 {
            return Err(Invalid::Malformed("the last offset of a batch is below its first"));
        }
        // The next offset must exist too.
        if first_offset.checked_add(i64::from(header.last_offset_delta)).is_none_or(|last| last == i64::MAX) {
            return Err(Invalid::Malformed("the last offset of a batch is too large"));
        }
        if header.record_count < 0 {
            return Err(Invalid::Malformed("a negative count of records"));
        }
        Ok(header)
    }

    /// The header's bytes, the checksum as the field has it.
    pub(crate) fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        let mut rest = &mut bytes[..];
        let mut put = |field: &[u8]| {
            let (place, behind) = std::mem::take(&mut rest).split_at_mut(field.len());
            place.copy_from_slice(field);
            rest = behind;
        };
        let BatchStart { base_offset, leader_epoch, attributes, base_timestamp, stamp } = self.start;
        put(&base_offset.to_be_bytes());
        put(&self.batch_bytes.saturating_sub(LOG_OVERHEAD_U32).to_be_bytes());
        put(&leader_epoch.to_be_bytes());
        put(&MAGIC.to_be_bytes());
        put(&self.crc.to_be_bytes());
        put(&attributes.bits(stamp.is_transactional).to_be_bytes());
        put(&self.last_offset_delta.to_be_bytes());
        put(&base_timestamp.to_be_bytes());
        put(&self.max_timestamp.to_be_bytes());
        put(&stamp.producer_id.to_be_bytes());
        put(&stamp.producer_epoch.to_be_bytes());
        put(&stamp.base_sequence.to_be_bytes());
        put(&self.record_count.to_be_bytes());
        bytes
    }

    /// Offset of the first record as first written. Below 2⁶³.
    #[inline]
    pub(crate) fn base_offset(&self) -> u64 {
        self.start.base_offset
    }

    /// The last offset of the batch as first written; compaction may have removed its record.
    #[inline]
    pub(crate) fn last_offset(&self) -> u64 {
        self.start.base_offset + u64::from(self.last_offset_delta.cast_unsigned())
    }

    /// The offset after the batch.
    #[inline]
    pub(crate) fn next_offset(&self) -> u64 {
        self.last_offset() + 1
    }

    /// The timestamp in ms of a record of this batch with this delta.
    #[inline]
    pub(crate) fn timestamp(&self, timestamp_delta: i64) -> i64 {
        if self.start.attributes.is_log_append_time() {
            return self.max_timestamp;
        }
        self.start.base_timestamp.wrapping_add(timestamp_delta)
    }

    /// The sequence of the batch's last offset, −1 if it has none. Sequences run up to 2³¹ − 1 and then from 0 again.
    pub(crate) fn last_sequence(&self) -> i32 {
        self.start.stamp.last_sequence(self.last_offset_delta)
    }

    /// The time in ms from which on compaction may remove the batch's tombstones or marker, once it has been set.
    pub(crate) fn delete_horizon(&self) -> Option<i64> {
        self.start.attributes.has_delete_horizon().then_some(self.start.base_timestamp)
    }
}

/// The size of a whole batch from its length field.
fn batch_bytes(batch_length: i32) -> Result<u32, Invalid> {
    match u32::try_from(batch_length) {
        Ok(length) if length + LOG_OVERHEAD_U32 >= HEADER_BYTES_U32 => Ok(length + LOG_OVERHEAD_U32),
        _ => Err(Invalid::Malformed("the length of a batch is too small")),
    }
}

/// Checks the header and the checksum of the batch at the start of `bytes`, which may go on behind it. The records are not
/// looked at.
///
/// # Errors
/// If the batch is not there as a whole, or is not what was written.
pub(crate) fn verify(bytes: &[u8]) -> Result<BatchHeader, Invalid> {
    let header = BatchHeader::decode(bytes)?;
    let start = if planted(Canary::CrcSkipsHeader) { HEADER_BYTES } else { CRC_START };
    let Some(covered) = bytes.get(start..header.batch_bytes as usize) else {
        return Err(Invalid::Malformed("a batch is cut short"));
    };
    if crc32c(covered) != header.crc {
        return Err(Invalid::Malformed("the checksum of a batch does not match"));
    }
    Ok(header)
}

/// Checks that `records`, the uncompressed records of a batch, are exactly what its header says: their count and end, rising
/// offsets within the batch's, and the max timestamp. Stricter than Kafka's readers, which take wrong offsets and times.
///
/// # Errors
/// If a record is malformed or contradicts the header.
pub(crate) fn check_records(header: &BatchHeader, records: &[u8]) -> Result<(), Invalid> {
    check_records_by(Record::check, header, records)
}

/// [`check_records`] with this way to check one.
#[inline(always)]
#[allow(clippy::inline_always, reason = "it is the whole of its callers")]
pub(super) fn check_records_by(
    check: impl Fn(&[u8]) -> Result<(RecordDeltas, usize), Invalid>,
    header: &BatchHeader,
    records: &[u8],
) -> Result<(), Invalid> {
    let mut rest = records;
    let mut previous_delta = -1;
    let mut max_timestamp = i64::MIN;
    for _ in 0..header.record_count {
        if rest.is_empty() {
            return Err(Invalid::Malformed("a batch has fewer records than its header says"));
        }
        let (RecordDeltas { timestamp_delta, offset_delta }, size) = check(rest)?;
        if offset_delta <= previous_delta {
            return Err(Invalid::Malformed("the offsets of a batch do not rise"));
        }
        let Some(timestamp) = header.start.base_timestamp.checked_add(timestamp_delta) else {
            return Err(Invalid::Malformed("the timestamp of a record is out of range"));
        };
        previous_delta = offset_delta;
        max_timestamp = max_timestamp.max(timestamp);
        rest = rest.get(size..).unwrap_or_default();
    }
    if !rest.is_empty() {
        return Err(Invalid::Malformed("a batch has bytes behind its last record"));
    }
    if previous_delta > header.last_offset_delta {
        return Err(Invalid::Malformed("a record has an offset above its batch's last"));
    }
    // An emptied batch keeps the time of records that are gone; with append time the records' own times do not count.
    let is_stated = header.record_count == 0 || header.start.attributes.is_log_append_time();
    if !is_stated && max_timestamp != header.max_timestamp {
        return Err(Invalid::Malformed("the max timestamp of a batch is not that of its records"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: BatchStart = BatchStart {
        base_offset: 100,
        leader_epoch: 3,
        attributes: Attributes::NONE,
        base_timestamp: 1000,
        stamp: ProducerStamp::NONE,
    };

    fn header() -> BatchHeader {
        with(START)
    }

    fn with(start: BatchStart) -> BatchHeader {
        BatchHeader { start, batch_bytes: 61, crc: 0, last_offset_delta: 5, max_timestamp: 2000, record_count: 0 }
    }

    fn is_refused(header: BatchHeader) -> bool {
        BatchHeader::decode(&header.encode()).is_err()
    }

    #[test]
    fn a_header_has_61_bytes_and_comes_back_from_them() {
        let header = header();
        assert_eq!(BatchHeader::decode(&header.encode()), Ok(header));
        assert!(BatchHeader::decode(&header.encode()[..60]).is_err());
        assert_eq!((header.last_offset(), header.next_offset()), (105, 106));
    }

    #[test]
    fn fields_that_cannot_be_are_refused() {
        assert!(is_refused(with(BatchStart { base_offset: 1 << 63, ..START })));
        assert!(is_refused(BatchHeader { batch_bytes: 60, ..header() }));
        assert!(is_refused(BatchHeader { batch_bytes: (1 << 31) + 12, ..header() }));
        assert!(is_refused(BatchHeader { last_offset_delta: -1, ..header() }));
        assert!(is_refused(BatchHeader { record_count: -1, ..header() }));
    }

    #[test]
    fn the_offset_behind_a_batch_fits_too() {
        let largest = i64::MAX.cast_unsigned() - 6;
        assert!(!is_refused(with(BatchStart { base_offset: largest, ..START })));
        assert!(is_refused(with(BatchStart { base_offset: largest + 1, ..START })));
    }

    #[test]
    fn what_a_later_version_may_write_is_accepted() {
        assert!(!is_refused(with(BatchStart { attributes: Attributes::from_bits(1 << 7).unwrap().0, ..START })));
        assert!(!is_refused(with(BatchStart { leader_epoch: -1, ..START })));
    }

    #[test]
    fn append_time_is_that_of_every_record() {
        assert_eq!(header().timestamp(7), 1007);
        let attributes = Attributes::NONE.with_log_append_time();
        assert_eq!(with(BatchStart { attributes, ..START }).timestamp(7), 2000);
    }

    #[test]
    fn sequences_go_on_from_0() {
        assert_eq!(header().last_sequence(), -1);
        let stamp = ProducerStamp { base_sequence: i32::MAX - 4, ..ProducerStamp::NONE };
        assert_eq!(with(BatchStart { stamp, ..START }).last_sequence(), 0);
    }
}
