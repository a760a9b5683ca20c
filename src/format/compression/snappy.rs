//! Snappy, in the two layouts that occur in Kafka's logs. Written is the stream.
//!
//! ```text
//! byte  size  field           stream, as the Java client writes it; integers big-endian
//!    0     8  magic           82 53 4E 41 50 50 59 00
//!    8     4  version         1
//!   12     4  compatible      1
//!   16        chunks, each:   4 bytes length, then one raw block of that length
//! ```
//! A chunk may end anywhere, also inside a record; a further header of 16 bytes may stand where a length is expected. What
//! does not begin with the magic is one raw block, as librdkafka writes it. Snappy's own framing format is neither.

use snap::raw::{Decoder, Encoder, decompress_len, max_compress_len};

use super::output::Output;
use crate::format::invalid::Invalid;
use crate::format::reader::Reader;

const STREAM_HEADER: [u8; 16] = *b"\x82SNAPPY\0\0\0\0\x01\0\0\0\x01";
const MAGIC_BYTES: usize = 8;
/// What the Java client puts into a chunk.
const CHUNK_BYTES: usize = 32 * 1024;
/// A raw block expands to at most 64/3 of its size. What claims more is refused before memory is taken for it.
const RATIO_MAX: usize = 22;

const MALFORMED: Invalid = Invalid::Malformed("malformed snappy");

/// Appends the stream for `plain`.
pub(super) fn compress(plain: &[u8], out: &mut Vec<u8>) -> Result<(), Invalid> {
    let mut encoder = Encoder::new();
    // Set to zero once, not for each chunk: 6 % of the time.
    let mut place = vec![0; max_compress_len(plain.len().min(CHUNK_BYTES))];
    out.extend_from_slice(&STREAM_HEADER);
    for chunk in plain.chunks(CHUNK_BYTES) {
        let size = encoder.compress(chunk, &mut place).map_err(|_| MALFORMED)?;
        #[allow(clippy::cast_possible_truncation, reason = "a chunk of 32 KiB compresses to less than 64 KiB")]
        out.extend_from_slice(&(size as u32).to_be_bytes());
        out.extend_from_slice(place.get(..size).unwrap_or_default());
    }
    Ok(())
}

/// Appends what a stream or a raw block expands to.
pub(super) fn decompress(bytes: &[u8], out: &mut Output<'_>) -> Result<(), Invalid> {
    if bytes.len() < STREAM_HEADER.len() || !has_magic(bytes) {
        return decompress_block(bytes, out);
    }
    // At once: to grow to a batch of some 100 KiB step by step copies all of it once more (a tenth of a scan).
    out.reserve(expanded_bytes(bytes))?;
    let mut reader = Reader::new(bytes);
    while let Some(block) = next_block(&mut reader)? {
        decompress_block(block, out)?;
    }
    Ok(())
}

/// What the blocks of a stream up to the first bad one claim to expand to.
fn expanded_bytes(stream: &[u8]) -> usize {
    let mut reader = Reader::new(stream);
    let mut bytes: usize = 0;
    while let Ok(Some(block)) = next_block(&mut reader)
        && let Ok(size) = expanded_block_bytes(block)
    {
        bytes = bytes.saturating_add(size);
    }
    bytes
}

/// The next block of a stream, `None` at its end.
fn next_block<'a>(reader: &mut Reader<'a>) -> Result<Option<&'a [u8]>, Invalid> {
    while has_magic(reader.rest()) {
        if reader.take(STREAM_HEADER.len())? != STREAM_HEADER {
            return Err(Invalid::Malformed("an unknown version of the snappy stream"));
        }
    }
    if reader.is_empty() {
        return Ok(None);
    }
    let length = usize::try_from(reader.i32()?).map_err(|_| MALFORMED)?;
    reader.take(length).map(Some)
}

fn has_magic(bytes: &[u8]) -> bool {
    bytes.first_chunk::<MAGIC_BYTES>() == STREAM_HEADER.first_chunk()
}

/// What a block claims to expand to, if that can be.
fn expanded_block_bytes(block: &[u8]) -> Result<usize, Invalid> {
    let size = decompress_len(block).map_err(|_| MALFORMED)?;
    if size > block.len().saturating_mul(RATIO_MAX) { Err(MALFORMED) } else { Ok(size) }
}

fn decompress_block(block: &[u8], out: &mut Output<'_>) -> Result<(), Invalid> {
    let size = expanded_block_bytes(block)?;
    out.fill(size, |place| Decoder::new().decompress(block, place).map_err(|_| MALFORMED))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expand(bytes: &[u8]) -> Result<Vec<u8>, Invalid> {
        let mut plain = Vec::new();
        decompress(bytes, &mut Output::new(1 << 20, &mut plain)).map(|()| plain)
    }

    #[test]
    fn a_block_that_claims_4_gib_is_refused_before_memory_is_taken() {
        let claim = [0xff, 0xff, 0xff, 0xff, 0x0f, 0x00];
        let mut plain = Vec::new();
        let mut output = Output::new(usize::MAX, &mut plain);
        assert!(decompress(&claim, &mut output).is_err());
        assert_eq!(plain.capacity(), 0);
    }

    #[test]
    fn streams_may_be_put_together() {
        let mut streams = Vec::new();
        compress(b"one, ", &mut streams).unwrap();
        compress(b"two", &mut streams).unwrap();
        assert_eq!(expand(&streams), Ok(b"one, two".to_vec()));
    }

    #[test]
    fn a_stream_of_many_chunks_takes_memory_once_and_no_more_than_is_allowed() {
        let mut stream = Vec::new();
        let text = b"plain ".repeat(50_000);
        compress(&text, &mut stream).unwrap();
        let mut plain = Vec::new();
        decompress(&stream, &mut Output::new(1 << 20, &mut plain)).unwrap();
        assert_eq!((plain.capacity(), plain), (text.len(), text));
        let mut plain = Vec::new();
        assert!(decompress(&stream, &mut Output::new(100_000, &mut plain)).is_err());
        assert!(plain.capacity() <= 100_000);
    }

    #[test]
    fn another_version_of_the_stream_is_refused() {
        let mut stream = Vec::new();
        compress(b"plain", &mut stream).unwrap();
        stream[11] = 2;
        assert!(expand(&stream).is_err());
    }
}
