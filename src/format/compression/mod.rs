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
pub(crate) fn decompress(
    codec: Codec,
    bytes: &[u8],
    bytes_max: usize,
    out: &mut Vec<u8>,
) -> Result<(), Invalid> {
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
    fn fill(
        &mut self,
        count: usize,
        expand: impl FnOnce(&mut [u8]) -> Result<usize, Invalid>,
    ) -> Result<(), Invalid> {
        const TOO_LARGE: Invalid =
            Invalid::Malformed("compressed records expand to more than is allowed");
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
        const NO_MEMORY: Invalid =
            Invalid::Malformed("no memory for what compressed records expand to");
        if self.out.capacity() - self.out.len() >= count {
            return Ok(());
        }
        let wanted = count.max(self.out.len()).min(self.remaining());
        self.out.try_reserve_exact(wanted).map_err(|_| NO_MEMORY)
    }
}
