//! Records as they lie on the disk: what becomes of their bytes on the way there and back.

use super::batch::{BatchHeader, CRC_START, HEADER_BYTES};
use super::{BatchStart, Codec, Invalid, crc32c, crc32c_combine, decompress};
use crate::canary::{Canary, planted};

/// What a batch's header says besides size and checksum.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SealFields {
    /// What it began with.
    pub(crate) start: BatchStart,
    /// Last offset minus the base offset.
    pub(crate) last_offset_delta: i32,
    /// The largest timestamp or the append time, in ms.
    pub(crate) max_timestamp: i64,
    /// Number of records.
    pub(crate) record_count: i32,
}

/// The header for `records_bytes` bytes of stored records with the checksum `records_crc`. The records are not read again:
/// what was damaged in memory since that checksum was taken will not match it.
///
/// # Panics
/// If the batch would not be below 2 GiB.
pub(crate) fn seal_header(fields: &SealFields, records_bytes: usize, records_crc: u32) -> [u8; HEADER_BYTES] {
    let batch_bytes = u32::try_from(HEADER_BYTES + records_bytes).unwrap_or(u32::MAX);
    assert!(batch_bytes <= i32::MAX.cast_unsigned(), "a batch of 2 GiB or more");
    let mut header = BatchHeader {
        start: fields.start,
        batch_bytes,
        crc: 0,
        last_offset_delta: fields.last_offset_delta,
        max_timestamp: fields.max_timestamp,
        record_count: fields.record_count,
    };
    let header_crc = if planted(Canary::CrcSkipsHeader) { 0 } else { crc32c(&header.encode()[CRC_START..]) };
    header.crc = crc32c_combine(header_crc, records_crc, records_bytes);
    header.encode()
}

/// The records of a batch, expanded into `plain`, to at most `expanded_bytes_max` bytes, if they are compressed.
///
/// # Errors
/// If they cannot be expanded.
pub(crate) fn plain_records<'a>(
    header: &BatchHeader,
    records: &'a [u8],
    expanded_bytes_max: usize,
    plain: &'a mut Vec<u8>,
) -> Result<&'a [u8], Invalid> {
    match header.start.attributes.codec() {
        Codec::None => Ok(records),
        codec => {
            plain.clear();
            decompress(codec, records, expanded_bytes_max, plain)?;
            Ok(plain)
        }
    }
}
