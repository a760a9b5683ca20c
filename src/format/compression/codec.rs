//! [`Compression`]: the codecs that Kafka has.

use std::fmt;

/// How the records of a batch are compressed.
///
/// Snappy is always available. To write or read one of the others, enable the crate feature of its name.
///
/// # Examples
/// ```
/// use ottla::{Compression, TopicConfig};
/// # let broker = ottla::Broker::temporary()?;
/// let config = TopicConfig::new().compression(Compression::Snappy);
/// broker.topic_with("orders", config)?.produce("customer-1", "2 coffees")?;
/// # Ok::<_, ottla::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[doc(alias = "compression.type")]
#[non_exhaustive]
pub enum Compression {
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

impl Compression {
    /// Kafka's name for it, which is also that of the feature.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Compression::None => "none",
            Compression::Gzip => "gzip",
            Compression::Snappy => "snappy",
            Compression::Lz4 => "lz4",
            Compression::Zstd => "zstd",
        }
    }

    /// Its number in a batch's attributes.
    pub(crate) const fn id(self) -> i16 {
        match self {
            Compression::None => 0,
            Compression::Gzip => 1,
            Compression::Snappy => 2,
            Compression::Lz4 => 3,
            Compression::Zstd => 4,
        }
    }

    /// The codec of this number.
    pub(crate) const fn from_id(id: i16) -> Option<Compression> {
        match id {
            0 => Some(Compression::None),
            1 => Some(Compression::Gzip),
            2 => Some(Compression::Snappy),
            3 => Some(Compression::Lz4),
            4 => Some(Compression::Zstd),
            _ => None,
        }
    }

    /// Whether it is compiled in.
    #[must_use]
    pub const fn is_available(self) -> bool {
        match self {
            Compression::None | Compression::Snappy => true,
            Compression::Gzip => cfg!(feature = "gzip"),
            Compression::Lz4 => cfg!(feature = "lz4"),
            Compression::Zstd => cfg!(feature = "zstd"),
        }
    }
}

#[cfg(feature = "serde")]
impl serde::Serialize for Compression {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl fmt::Display for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
