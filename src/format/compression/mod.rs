//! Compression of a batch's records, with the codecs that Kafka has, each in its own file.
//!
//! Compressed is the concatenation of the records, nothing before and nothing behind it. What claims to be compressed may
//! claim to be anything: memory is only taken for bytes that came out, or within the bound that the caller sets.

#[cfg(feature = "gzip")]
mod gzip;
#[cfg(feature = "lz4")]
mod lz4;
mod snappy;
#[cfg(feature = "zstd")]
mod zstd;

use std::fmt;

use super::Invalid;
use crate::canary::{Canary, planted};

/// How the records of a batch are compressed.
///
/// Snappy is always there; the others need the feature of their name, to write and to read them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[doc(alias = "compression.type")]
#[non_exhaustive]
pub enum Codec {
    /// Not at all.
    #[default]
    None,
    /// RFC 1952, with the feature `gzip`.
    Gzip,
    /// Snappy blocks in the stream layout of Kafka's Java client.
    Snappy,
    /// An LZ4 frame of independent blocks, with the feature `lz4`.
    Lz4,
    /// Zstandard, with the feature `zstd`.
    Zstd,
}

impl Codec {
    /// Kafka's name for it, which is also that of the feature.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Codec::None => "none",
            Codec::Gzip => "gzip",
            Codec::Snappy => "snappy",
            Codec::Lz4 => "lz4",
            Codec::Zstd => "zstd",
        }
    }

    /// Its number in a batch's attributes.
    pub(crate) const fn id(self) -> i16 {
        match self {
            Codec::None => 0,
            Codec::Gzip => 1,
            Codec::Snappy => 2,
            Codec::Lz4 => 3,
            Codec::Zstd => 4,
        }
    }

    /// The codec of this number.
    pub(crate) const fn from_id(id: i16) -> Option<Codec> {
        match id {
            0 => Some(Codec::None),
            1 => Some(Codec::Gzip),
            2 => Some(Codec::Snappy),
            3 => Some(Codec::Lz4),
            4 => Some(Codec::Zstd),
            _ => None,
        }
    }

    /// Whether it is compiled in.
    #[must_use]
    pub const fn is_available(self) -> bool {
        match self {
            Codec::None | Codec::Snappy => true,
            Codec::Gzip => cfg!(feature = "gzip"),
            Codec::Lz4 => cfg!(feature = "lz4"),
            Codec::Zstd => cfg!(feature = "zstd"),
        }
    }
}

impl fmt::Display for Codec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Appends the compressed form of `records` to `out`.
///
/// # Errors
/// [`Invalid::Codec`] if the codec is not compiled in.
pub(crate) fn compress(codec: Codec, records: &[u8], out: &mut Vec<u8>) -> Result<(), Invalid> {
    match codec {
        Codec::None => {
            out.extend_from_slice(records);
            Ok(())
        }
        #[cfg(feature = "gzip")]
        Codec::Gzip => gzip::compress(records, out),
        Codec::Snappy => snappy::compress(records, out),
        #[cfg(feature = "lz4")]
        Codec::Lz4 => lz4::compress(records, out),
        #[cfg(feature = "zstd")]
        Codec::Zstd => zstd::compress(records, out),
        #[allow(unreachable_patterns, reason = "none is left with all features")]
        missing => Err(Invalid::Codec(missing)),
    }
}

/// Appends what `bytes` expand to, at most `bytes_max` bytes, to `out`. After an error `out` is as it was.
///
/// # Errors
/// [`Invalid::Codec`] if the codec is not compiled in; else if the bytes are malformed or expand to more.
pub(crate) fn decompress(codec: Codec, bytes: &[u8], bytes_max: usize, out: &mut Vec<u8>) -> Result<(), Invalid> {
    let before = out.len();
    let result = match codec {
        Codec::None => Output::new(bytes_max, out).push(bytes),
        #[cfg(feature = "gzip")]
        Codec::Gzip => gzip::decompress(bytes, &mut Output::new(bytes_max, out)),
        Codec::Snappy => snappy::decompress(bytes, &mut Output::new(bytes_max, out)),
        #[cfg(feature = "lz4")]
        Codec::Lz4 => lz4::decompress(bytes, &mut Output::new(bytes_max, out)),
        #[cfg(feature = "zstd")]
        Codec::Zstd => zstd::decompress(bytes, &mut Output::new(bytes_max, out)),
        #[allow(unreachable_patterns, reason = "none is left with all features")]
        missing => Err(Invalid::Codec(missing)),
    };
    if result.is_err() {
        out.truncate(before);
    }
    result
}

/// Where a codec puts what it expands, up to a bound.
struct Output<'o> {
    out: &'o mut Vec<u8>,
    /// The largest size that `out` may come to.
    end_max: usize,
}

impl Output<'_> {
    fn new(bytes_max: usize, out: &mut Vec<u8>) -> Output<'_> {
        let bytes_max = if planted(Canary::UnboundedDecompression) { usize::MAX } else { bytes_max };
        let end_max = out.len().saturating_add(bytes_max);
        Output { out, end_max }
    }

    /// How many bytes may still come.
    fn remaining(&self) -> usize {
        self.end_max.saturating_sub(self.out.len())
    }

    /// Adds plain bytes.
    fn push(&mut self, bytes: &[u8]) -> Result<(), Invalid> {
        self.fill(bytes.len(), |place| {
            place.copy_from_slice(bytes);
            Ok(bytes.len())
        })
    }

    /// Adds what `expand` writes into a place of `count` bytes, of which it returns how many it has used.
    fn fill(&mut self, count: usize, expand: impl FnOnce(&mut [u8]) -> Result<usize, Invalid>) -> Result<(), Invalid> {
        const TOO_LARGE: Invalid = Invalid::Malformed("compressed records expand to more than is allowed");
        if self.remaining() < count {
            return Err(TOO_LARGE);
        }
        let start = self.out.len();
        self.reserve(count)?;
        self.out.resize(start + count, 0);
        let used = expand(self.out.get_mut(start..).unwrap_or_default())?;
        self.out.truncate(start + used.min(count));
        Ok(())
    }

    /// Makes room for `count` bytes more, and for as many as there are already, but never for more than may come.
    fn reserve(&mut self, count: usize) -> Result<(), Invalid> {
        const NO_MEMORY: Invalid = Invalid::Malformed("no memory for what compressed records expand to");
        if self.out.capacity() - self.out.len() >= count {
            return Ok(());
        }
        let wanted = count.max(self.out.len()).min(self.remaining());
        self.out.try_reserve_exact(wanted).map_err(|_| NO_MEMORY)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: usize = 1024 * 1024;

    fn expand(codec: Codec, bytes: &[u8], bytes_max: usize) -> (Result<(), Invalid>, Vec<u8>) {
        let mut out = Vec::new();
        let result = decompress(codec, bytes, bytes_max, &mut out);
        (result, out)
    }

    #[test]
    fn a_codec_that_is_not_compiled_in_is_named() {
        for codec in [Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd] {
            let expected = if codec.is_available() { Ok(()) } else { Err(Invalid::Codec(codec)) };
            assert_eq!(compress(codec, b"plain", &mut Vec::new()), expected);
        }
    }

    #[test]
    fn numbers_and_codecs_go_there_and_back() {
        for id in -1..8 {
            assert_eq!(Codec::from_id(id).map_or(id, Codec::id), id);
        }
        assert_eq!(Codec::from_id(4), Some(Codec::Zstd));
        assert_eq!(Codec::from_id(5), None);
    }

    #[test]
    fn a_bomb_takes_no_more_memory_than_is_allowed() {
        let plain = vec![0; 3 * MIB];
        for codec in [Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd] {
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
        for codec in [Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd] {
            assert!(expand(codec, b"", MIB).0.is_err(), "{codec}");
        }
    }

    #[test]
    fn what_is_cut_or_followed_by_more_is_refused() {
        for codec in
            [Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd].into_iter().filter(|codec| codec.is_available())
        {
            let mut bytes = Vec::new();
            compress(codec, &[7; 1000], &mut bytes).unwrap();
            for cut in 1..bytes.len() {
                // An empty stream is a stream.
                let is_whole = codec == Codec::Snappy && cut == 16;
                assert!(expand(codec, &bytes[..cut], MIB).0.is_err() || is_whole, "{codec} cut at {cut}");
            }
            bytes.push(0xff);
            assert!(expand(codec, &bytes, MIB).0.is_err(), "{codec}");
        }
    }
}
