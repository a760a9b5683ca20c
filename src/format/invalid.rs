//! [`Invalid`]: what is wrong with bytes.

use super::compression::codec::Compression;

/// Why bytes are not what they should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Invalid {
    /// The bytes break this rule of the format.
    Malformed(&'static str),
    /// The records are compressed with a codec that is not compiled in; nothing is known to be wrong with them.
    Codec(Compression),
}
