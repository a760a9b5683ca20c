//! LZ4: one frame of version 1 with independent blocks, by the rules of Kafka's reader, which are not quite those of LZ4.
//!
//! ```text
//! byte  size  field            integers little-endian, here only
//!    0     4  magic            04 22 4D 18
//!    4     1  flags            bit 7–6 version, 01     5 blocks are independent; others are refused
//!                              4 blocks have a checksum    3 content_size is there    2 content has a checksum
//!                              1 and 0 zero (reserved, dictionary)
//!    5     1  block size       bit 6–4: 4 64 KiB, 5 256 KiB, 6 1 MiB, 7 4 MiB    others zero
//!    6     8  content_size     only if flagged; not looked at
//!          1  header checksum  second byte of the xxHash32 of flags to content_size
//!             blocks, each:    4 bytes size, high bit: stored as is; then the block; then 4 bytes xxHash32 of it if flagged
//!          4  end mark         0
//!          4  content checksum only if flagged; not looked at
//! ```
//! Nothing may follow. Written are blocks of 64 KiB and nothing optional.

use lz4_flex::block::{compress_into, decompress_into, get_maximum_output_size};
use twox_hash::XxHash32;

use super::{Invalid, Output};
use crate::format::reader::Reader;

const MAGIC: [u8; 4] = [0x04, 0x22, 0x4d, 0x18];

const VERSION_MASK: u8 = 0b1100_0000;
const VERSION: u8 = 0b0100_0000;
const INDEPENDENT_BLOCKS: u8 = 1 << 5;
const BLOCK_CHECKSUMS: u8 = 1 << 4;
const CONTENT_SIZE: u8 = 1 << 3;
const CONTENT_CHECKSUM: u8 = 1 << 2;
const RESERVED_FLAGS: u8 = 0b11;

/// The block size byte for 64 KiB.
const BLOCK_SIZE: u8 = 4 << 4;
const BLOCK_BYTES: usize = 64 * 1024;
const STORED: u32 = 1 << 31;
const CHECKSUM_BYTES: usize = 4;
/// No byte of a block stands for more than this many.
const RATIO_MAX: usize = 255;

const MALFORMED: Invalid = Invalid::Malformed("malformed lz4");

/// Appends the frame for `plain`.
pub(super) fn compress(plain: &[u8], out: &mut Vec<u8>) -> Result<(), Invalid> {
    let descriptor = [VERSION | INDEPENDENT_BLOCKS, BLOCK_SIZE];
    out.extend_from_slice(&MAGIC);
    out.extend_from_slice(&descriptor);
    out.push(header_checksum(&descriptor));
    for chunk in plain.chunks(BLOCK_BYTES) {
        compress_block(chunk, out)?;
    }
    out.extend_from_slice(&[0; 4]);
    Ok(())
}

fn compress_block(chunk: &[u8], out: &mut Vec<u8>) -> Result<(), Invalid> {
    let size_at = out.len();
    let block_at = size_at + size_of::<u32>();
    out.resize(block_at + get_maximum_output_size(chunk.len()), 0);
    let mut size = compress_into(chunk, out.get_mut(block_at..).unwrap_or_default()).map_err(|_| MALFORMED)?;
    let mut stored = 0;
    out.truncate(block_at + size);
    if chunk.len() <= size {
        out.truncate(block_at);
        out.extend_from_slice(chunk);
        size = chunk.len();
        stored = STORED;
    }
    if let Some(field) = out.get_mut(size_at..).and_then(<[u8]>::first_chunk_mut) {
        #[allow(clippy::cast_possible_truncation, reason = "at most the 64 KiB of a chunk")]
        let size = size as u32;
        *field = le_bytes(size | stored);
    }
    Ok(())
}

/// Appends what a frame expands to.
pub(super) fn decompress(bytes: &[u8], out: &mut Output<'_>) -> Result<(), Invalid> {
    let mut reader = Reader::new(bytes);
    if reader.array()? != MAGIC {
        return Err(MALFORMED);
    }
    let (flags, block_bytes_max) = read_descriptor(&mut reader)?;
    loop {
        let size = read_le(&mut reader)?;
        if size == 0 {
            break;
        }
        let block_bytes = (size & !STORED) as usize;
        if block_bytes > block_bytes_max {
            return Err(Invalid::Malformed("an lz4 block is larger than its frame allows"));
        }
        let block = reader.take(block_bytes)?;
        if flags & BLOCK_CHECKSUMS != 0 && read_le(&mut reader)? != XxHash32::oneshot(0, block) {
            return Err(Invalid::Malformed("the checksum of an lz4 block does not match"));
        }
        if size & STORED != 0 {
            out.push(block)?;
        } else {
            let count = block.len().saturating_mul(RATIO_MAX).min(block_bytes_max).min(out.remaining());
            out.fill(count, |place| decompress_into(block, place).map_err(|_| MALFORMED))?;
        }
    }
    if flags & CONTENT_CHECKSUM != 0 {
        reader.take(CHECKSUM_BYTES)?;
    }
    if !reader.is_empty() {
        return Err(Invalid::Malformed("bytes behind the lz4 frame"));
    }
    Ok(())
}

/// Reads flags to header checksum, and returns the flags and the largest size of a block in bytes.
fn read_descriptor(reader: &mut Reader<'_>) -> Result<(u8, usize), Invalid> {
    let from_flags = reader.rest();
    let flags = reader.u8()?;
    let block_size = reader.u8()?;
    if flags & VERSION_MASK != VERSION || flags & RESERVED_FLAGS != 0 {
        return Err(MALFORMED);
    }
    if flags & INDEPENDENT_BLOCKS == 0 {
        return Err(Invalid::Malformed("an lz4 frame with blocks that depend on each other"));
    }
    let block_bytes_max = match block_size {
        0x40 => BLOCK_BYTES,
        0x50 => 256 * 1024,
        0x60 => 1024 * 1024,
        0x70 => 4 * 1024 * 1024,
        _ => return Err(MALFORMED),
    };
    if flags & CONTENT_SIZE != 0 {
        reader.take(size_of::<u64>())?;
    }
    let descriptor = from_flags.get(..from_flags.len() - reader.rest().len()).unwrap_or_default();
    if reader.u8()? != header_checksum(descriptor) {
        return Err(Invalid::Malformed("the header checksum of an lz4 frame does not match"));
    }
    Ok((flags, block_bytes_max))
}

fn header_checksum(descriptor: &[u8]) -> u8 {
    let [_, _, second_lowest, _] = XxHash32::oneshot(0, descriptor).to_be_bytes();
    second_lowest
}

fn read_le(reader: &mut Reader<'_>) -> Result<u32, Invalid> {
    reader.u32().map(u32::swap_bytes)
}

fn le_bytes(value: u32) -> [u8; 4] {
    value.swap_bytes().to_be_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_frame_begins_as_kafkas_do() {
        let mut frame = Vec::new();
        compress(b"plain", &mut frame).unwrap();
        assert_eq!(frame[..7], [0x04, 0x22, 0x4d, 0x18, 0x60, 0x40, 0x82]);
        assert_eq!(frame[frame.len() - 4..], [0; 4]);
    }

    #[test]
    fn bytes_without_repetition_are_stored_as_they_are() {
        let noise: Vec<u8> = (0..1000u32).map(|n| n.wrapping_mul(2_654_435_761).to_be_bytes()[0]).collect();
        let mut frame = Vec::new();
        compress(&noise, &mut frame).unwrap();
        assert!(frame.len() <= noise.len() + 15);
    }
}
