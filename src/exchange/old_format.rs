//! Messages from before record batches, which are recognised and not read.
//!
//! ```text
//! byte  size  field        formats 0 and 1
//!    0     8  offset
//!    8     4  size         bytes behind this field, at least 14
//!   12     4  crc          CRC-32 of all behind it
//!   16     1  magic        0 or 1
//! ```

use std::io;

use crate::disk::DiskFile;
use crate::format::Reader;

/// What lies before the size's bytes, and of these before the checksum's.
const HEAD_BYTES: usize = 12;
const CRC_BYTES: u32 = 4;
/// The smallest message: checksum, magic, attributes, and two lengths.
const SIZE_MIN: u32 = 14;

/// Read at a time.
const CHUNK_BYTES: usize = 64 << 10;

/// Whether a whole message of an old format is at byte `position` of the file, of which the first `end` bytes count.
///
/// # Errors
/// If the file cannot be read.
pub(super) fn is_at(file: &dyn DiskFile, position: u64, end: u64) -> io::Result<bool> {
    let mut head = [0; HEAD_BYTES + 5];
    let read = file.read_at(&mut head, position)?;
    let mut reader = Reader::new(head.get(..read).unwrap_or_default());
    let fields = (|| Ok::<_, crate::format::Invalid>((reader.i64()?, reader.u32()?, reader.u32()?, reader.i8()?)))();
    let Ok((_, size, crc, 0 | 1)) = fields else { return Ok(false) };
    let covered_end = (position + HEAD_BYTES as u64).saturating_add(size.into());
    if size < SIZE_MIN || end < covered_end {
        return Ok(false);
    }
    let (mut hasher, mut at) = (crc32fast::Hasher::new(), position + HEAD_BYTES as u64 + u64::from(CRC_BYTES));
    let mut buffer = vec![0; CHUNK_BYTES];
    while at < covered_end {
        let wanted = usize::try_from(covered_end - at).unwrap_or(CHUNK_BYTES).min(CHUNK_BYTES);
        let read = file.read_at(buffer.get_mut(..wanted).unwrap_or_default(), at)?;
        if read == 0 {
            return Ok(false);
        }
        hasher.update(buffer.get(..read).unwrap_or_default());
        at += read as u64;
    }
    Ok(hasher.finalize() == crc)
}
