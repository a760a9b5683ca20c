//! LZ4: one frame of version 1 with independent blocks, by the rules of Kafka's reader, which are not quite those of LZ4.
//!
//! ```text
//! byte  size  field            integers little-endian, here only
//!    0     4  magic            04 22 4D 18
//!    4     1  flags            bit 7–6 version, 01     5 blocks are independent; others are refused
//!                              4 blocks have a checksum    3 content_size is there    2 content has a checksum
//!                              1 and 0 zero (reserved, dictionary)
//!    5     1  block size       bit 6–4: 4 64 KiB, 5 256 KiB, 6 1 MiB, 7 4 MiB    others zero
//!    6     8  content_size     only if flagged
//!          1  header checksum  second byte of the xxHash32 of flags to content_size
//!             blocks, each:    4 bytes size, high bit: stored as is; then the block; then 4 bytes xxHash32 of it if flagged
//!          4  end mark         0
//!          4  content checksum only if flagged
//! ```
//! Nothing may follow. Written are blocks of 64 KiB and nothing optional.
//!
//! `lz4_flex` reads and writes the frames. What it would accept and Kafka does not is refused before it sees a byte.

use std::io::{Read as _, Write as _};

use lz4_flex::frame::{BlockSize, FrameDecoder, FrameEncoder, FrameInfo};

use super::output::Output;
use crate::format::invalid::Invalid;
use crate::format::reader::Reader;

const MAGIC: [u8; 4] = [0x04, 0x22, 0x4d, 0x18];

const VERSION_MASK: u8 = 0b1100_0000;
const VERSION: u8 = 0b0100_0000;
const INDEPENDENT_BLOCKS: u8 = 1 << 5;
const BLOCK_CHECKSUMS: u8 = 1 << 4;
const CONTENT_SIZE: u8 = 1 << 3;
const CONTENT_CHECKSUM: u8 = 1 << 2;
const RESERVED_FLAGS: u8 = 0b11;

const STORED: u32 = 1 << 31;
const CHECKSUM_BYTES: usize = 4;

/// How much is expanded at a time.
const STEP_BYTES: usize = 16 * 1024;

const MALFORMED: Invalid = Invalid::Malformed("malformed lz4");

/// Appends the frame for `plain`.
pub(super) fn compress(plain: &[u8], out: &mut Vec<u8>) -> Result<(), Invalid> {
    let info = FrameInfo::new().block_size(BlockSize::Max64KB);
    let mut encoder = FrameEncoder::with_frame_info(info, out);
    // A vector takes every write.
    encoder.write_all(plain).map_err(|_| MALFORMED)?;
    encoder.finish().map_err(|_| MALFORMED)?;
    Ok(())
}

/// Appends what a frame expands to.
pub(super) fn decompress(bytes: &[u8], out: &mut Output<'_>) -> Result<(), Invalid> {
    check_frame(bytes)?;
    let mut decoder = FrameDecoder::new(bytes);
    let mut step = [0; STEP_BYTES];
    loop {
        let count = decoder.read(&mut step).map_err(|_| MALFORMED)?;
        if count == 0 {
            break;
        }
        out.push(step.get(..count).unwrap_or_default())?;
    }
    // The decoder takes a block that holds nothing for the end.
    if decoder.into_inner().is_empty() { Ok(()) } else { Err(MALFORMED) }
}

/// Checks that `bytes` are one whole frame of independent blocks and nothing else. The decoder would take dependent blocks, its
/// older layout, and a frame that is cut between two blocks.
fn check_frame(bytes: &[u8]) -> Result<(), Invalid> {
    let mut reader = Reader::new(bytes);
    if reader.array()? != MAGIC {
        return Err(MALFORMED);
    }
    let (flags, _block_size) = (reader.u8()?, reader.u8()?);
    if flags & VERSION_MASK != VERSION || flags & RESERVED_FLAGS != 0 {
        return Err(MALFORMED);
    }
    if flags & INDEPENDENT_BLOCKS == 0 {
        return Err(Invalid::Malformed("an lz4 frame with blocks that depend on each other"));
    }
    let optional = |flag, bytes| if flags & flag == 0 { 0 } else { bytes };
    reader.take(optional(CONTENT_SIZE, size_of::<u64>()) + size_of::<u8>())?;
    loop {
        match reader.u32()?.swap_bytes() & !STORED {
            0 => break,
            block_bytes => reader.take(block_bytes as usize + optional(BLOCK_CHECKSUMS, CHECKSUM_BYTES))?,
        };
    }
    reader.take(optional(CONTENT_CHECKSUM, CHECKSUM_BYTES))?;
    if reader.is_empty() { Ok(()) } else { Err(Invalid::Malformed("bytes behind the lz4 frame")) }
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
