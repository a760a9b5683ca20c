//! Records as they lie on the disk: what becomes of their bytes on the way there and back.
//!
//! ```text
//! records ─→ codec ─→ stored bytes, and the checksum over them ─→ header and stored bytes: a batch
//! ```
//! Only this file knows that there is something in between. A cipher would come behind the codec, in [`seal_records`] and
//! [`plain_records`], and [`is_plain`] would say that the bytes are not the records. Those of a slot are: they are stored as they
//! are, and go the way of all when the slot is sealed, from the slot itself or from what was salvaged of it.

use super::batch::{BatchHeader, CRC_START, HEADER_BYTES};
use super::{BatchStart, Compression, Invalid, compress, crc32c, crc32c_combine, decompress};
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

/// Makes a batch of `records` in `batch`, whatever was there: as its `fields` say they are to be stored.
///
/// # Errors
/// [`Invalid::Codec`] if the codec is not compiled in.
///
/// # Panics
/// If the batch would not be below 2 GiB.
pub(crate) fn seal_records(fields: &SealFields, records: &[u8], batch: &mut Vec<u8>) -> Result<(), Invalid> {
    batch.clear();
    batch.resize(HEADER_BYTES, 0);
    compress(fields.start.attributes.codec(), records, batch)?;
    if let Some((header, stored)) = batch.split_first_chunk_mut::<HEADER_BYTES>() {
        *header = seal_header(fields, stored.len(), crc32c(stored));
    }
    Ok(())
}

/// Whether the stored bytes of a batch are its records, so that neither way needs a copy of them.
#[inline]
pub(crate) fn is_plain(start: &BatchStart) -> bool {
    start.attributes.codec() == Compression::None
}

/// Checks that the records of a batch can be had in this build.
///
/// # Errors
/// [`Invalid::Codec`] if the codec is not compiled in.
pub(crate) fn check_readable(start: &BatchStart) -> Result<(), Invalid> {
    let codec = start.attributes.codec();
    if codec.is_available() { Ok(()) } else { Err(Invalid::Codec(codec)) }
}

/// The records of a batch: what is `stored` if that [is plain](is_plain), and else all that is in `plain` then, at most
/// `expanded_bytes_max` bytes.
///
/// # Errors
/// If they cannot be expanded.
pub(crate) fn plain_records<'a>(
    header: &BatchHeader,
    stored: &'a [u8],
    expanded_bytes_max: usize,
    plain: &'a mut Vec<u8>,
) -> Result<&'a [u8], Invalid> {
    if is_plain(&header.start) {
        return Ok(stored);
    }
    plain.clear();
    decompress(header.start.attributes.codec(), stored, expanded_bytes_max, plain)?;
    Ok(plain)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::{BatchBuilder, verify};

    #[test]
    fn records_come_back_from_what_is_stored_of_them() {
        let mut builder = BatchBuilder::new();
        builder.push(5, None, Some(&[b'x'; 1000]), &[]);
        let fields = builder.fields();
        let records = builder.finish(&fields).unwrap()[HEADER_BYTES..].to_vec();
        for codec in [Compression::None, Compression::Snappy] {
            let fields = SealFields { start: fields.start.with_codec(codec), ..fields };
            let (mut batch, mut plain) = (b"left from before".to_vec(), b"left from before".to_vec());
            seal_records(&fields, &records, &mut batch).unwrap();
            let header = verify(&batch).unwrap();
            let stored = &batch[HEADER_BYTES..];
            assert_eq!((header.start, is_plain(&header.start)), (fields.start, stored == records));
            assert_eq!(check_readable(&header.start), Ok(()));
            assert_eq!(plain_records(&header, stored, records.len(), &mut plain), Ok(&records[..]));
            let too_few = plain_records(&header, stored, records.len() - 1, &mut plain).is_err();
            assert_eq!(too_few, !is_plain(&header.start), "what is stored as it is does not expand");
        }
    }

    #[test]
    fn a_codec_that_is_missing_is_missing_both_ways() {
        for codec in [Compression::Gzip, Compression::Snappy, Compression::Lz4, Compression::Zstd] {
            let fields = BatchBuilder::new().fields();
            let fields = SealFields { start: fields.start.with_codec(codec), ..fields };
            let sealed = seal_records(&fields, b"", &mut Vec::new());
            let expected = if codec.is_available() { Ok(()) } else { Err(Invalid::Codec(codec)) };
            assert_eq!((sealed, check_readable(&fields.start)), (expected, expected));
        }
    }
}
