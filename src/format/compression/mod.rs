//! Compression of a batch's records, with the codecs that Kafka has, each in its own file.
//!
//! Compressed is the concatenation of the records, nothing before and nothing behind it. What claims to be compressed may
//! claim to be anything: memory is only taken for bytes that came out, or within the bound that the caller sets.

pub(crate) mod codec;
#[cfg(feature = "gzip")]
mod gzip;
#[cfg(feature = "lz4")]
mod lz4;
mod output;
mod snappy;
#[cfg(feature = "zstd")]
mod zstd;

pub use codec::Compression;
use output::Output;

use super::invalid::Invalid;

/// Appends the compressed form of `records` to `out`.
///
/// # Errors
/// [`Invalid::Codec`] if the codec is not compiled in.
pub(crate) fn compress(codec: Compression, records: &[u8], out: &mut Vec<u8>) -> Result<(), Invalid> {
    match codec {
        Compression::None => {
            out.extend_from_slice(records);
            Ok(())
        }
        #[cfg(feature = "gzip")]
        Compression::Gzip => gzip::compress(records, out),
        Compression::Snappy => snappy::compress(records, out),
        #[cfg(feature = "lz4")]
        Compression::Lz4 => lz4::compress(records, out),
        #[cfg(feature = "zstd")]
        Compression::Zstd => zstd::compress(records, out),
        #[allow(unreachable_patterns, reason = "none is left with all features")]
        missing => Err(Invalid::Codec(missing)),
    }
}

/// Appends what `bytes` expand to, at most `bytes_max` bytes, to `out`. After an error `out` is as it was.
///
/// # Errors
/// [`Invalid::Codec`] if the codec is not compiled in; else if the bytes are malformed or expand to more.
pub(crate) fn decompress(codec: Compression, bytes: &[u8], bytes_max: usize, out: &mut Vec<u8>) -> Result<(), Invalid> {
    let before = out.len();
    let result = match codec {
        Compression::None => Output::new(bytes_max, out).push(bytes),
        #[cfg(feature = "gzip")]
        Compression::Gzip => gzip::decompress(bytes, &mut Output::new(bytes_max, out)),
        Compression::Snappy => snappy::decompress(bytes, &mut Output::new(bytes_max, out)),
        #[cfg(feature = "lz4")]
        Compression::Lz4 => lz4::decompress(bytes, &mut Output::new(bytes_max, out)),
        #[cfg(feature = "zstd")]
        Compression::Zstd => zstd::decompress(bytes, &mut Output::new(bytes_max, out)),
        #[allow(unreachable_patterns, reason = "none is left with all features")]
        missing => Err(Invalid::Codec(missing)),
    };
    if result.is_err() {
        out.truncate(before);
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: usize = 1024 * 1024;

    fn expand(codec: Compression, bytes: &[u8], bytes_max: usize) -> (Result<(), Invalid>, Vec<u8>) {
        let mut out = Vec::new();
        let result = decompress(codec, bytes, bytes_max, &mut out);
        (result, out)
    }

    #[test]
    fn a_codec_that_is_not_compiled_in_is_named() {
        for codec in [Compression::Gzip, Compression::Snappy, Compression::Lz4, Compression::Zstd] {
            let expected = if codec.is_available() { Ok(()) } else { Err(Invalid::Codec(codec)) };
            assert_eq!(compress(codec, b"plain", &mut Vec::new()), expected);
        }
    }

    #[test]
    fn numbers_and_codecs_go_there_and_back() {
        for id in -1..8 {
            assert_eq!(Compression::from_id(id).map_or(id, Compression::id), id);
        }
        assert_eq!(Compression::from_id(4), Some(Compression::Zstd));
        assert_eq!(Compression::from_id(5), None);
    }

    #[test]
    fn a_bomb_takes_no_more_memory_than_is_allowed() {
        let plain = vec![0; 3 * MIB];
        for codec in [Compression::Gzip, Compression::Snappy, Compression::Lz4, Compression::Zstd] {
            let mut bomb = Vec::new();
            if compress(codec, &plain, &mut bomb).is_err() {
                continue;
            }
            let (result, out) = expand(codec, &bomb, MIB);
            assert!(matches!(result, Err(Invalid::Malformed(_))), "{codec}");
            assert!(out.is_empty() && out.capacity() <= MIB, "{codec}");
            assert_eq!(expand(codec, &bomb, plain.len()), (Ok(()), plain.clone()), "{codec}");
        }
    }

    #[test]
    fn nothing_is_no_compressed_form_of_nothing() {
        for codec in [Compression::Gzip, Compression::Snappy, Compression::Lz4, Compression::Zstd] {
            assert!(expand(codec, b"", MIB).0.is_err(), "{codec}");
        }
    }

    #[test]
    fn what_is_cut_or_followed_by_more_is_refused() {
        for codec in [Compression::Gzip, Compression::Snappy, Compression::Lz4, Compression::Zstd]
            .into_iter()
            .filter(|codec| codec.is_available())
        {
            let mut bytes = Vec::new();
            compress(codec, &[7; 1000], &mut bytes).unwrap();
            for cut in 1..bytes.len() {
                // An empty stream is a stream.
                let is_whole = codec == Compression::Snappy && cut == 16;
                assert!(expand(codec, &bytes[..cut], MIB).0.is_err() || is_whole, "{codec} cut at {cut}");
            }
            bytes.push(0xff);
            assert!(expand(codec, &bytes, MIB).0.is_err(), "{codec}");
        }
    }
}
