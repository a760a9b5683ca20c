//! [`Codec`]: the codecs that Kafka has.

use std::fmt;

/// How the records of a batch are compressed.
///
/// Snappy is always available. To write or read one of the others, enable the crate feature of its name.
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
