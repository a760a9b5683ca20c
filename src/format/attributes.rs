//! The flags in the header of a batch.
//!
//! ```text
//! bit  0–2  codec
//!        3  the records' timestamp is the append time, which is in max_timestamp
//!        4  transactional: part of the `ProducerStamp`, and not of `Attributes`
//!        5  control batch: one marker of a coordinator
//!        6  base_timestamp is the delete horizon
//!     7–15  zero, not looked at
//! ```

use super::{Compression, Invalid};

/// The flags of a batch, but for the one that is part of its [`ProducerStamp`](super::ProducerStamp).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Attributes(i16);

const CODEC_MASK: i16 = 0b111;
const LOG_APPEND_TIME: i16 = 1 << 3;
const TRANSACTIONAL: i16 = 1 << 4;
const CONTROL: i16 = 1 << 5;
const DELETE_HORIZON: i16 = 1 << 6;

impl Attributes {
    /// No flag, and no codec.
    pub(crate) const NONE: Attributes = Attributes(0);

    /// The flags as stored, and whether the batch is part of a transaction.
    ///
    /// # Errors
    /// If the codec is none of those there are.
    pub(crate) fn from_bits(bits: i16) -> Result<(Attributes, bool), Invalid> {
        match Compression::from_id(bits & CODEC_MASK) {
            Some(_) => Ok(Attributes::from_bits_of_plain(bits)),
            None => Err(Invalid::Malformed("an unknown compression codec")),
        }
    }

    /// The same where records are never compressed, so that the codec means nothing.
    pub(crate) fn from_bits_of_plain(bits: i16) -> (Attributes, bool) {
        (Attributes(bits & !TRANSACTIONAL), bits & TRANSACTIONAL != 0)
    }

    /// The flags to store.
    pub(crate) fn bits(self, is_transactional: bool) -> i16 {
        self.0 | if is_transactional { TRANSACTIONAL } else { 0 }
    }

    /// How the records are compressed.
    #[inline]
    pub(crate) fn codec(self) -> Compression {
        Compression::from_id(self.0 & CODEC_MASK).unwrap_or(Compression::None)
    }

    /// The same with this codec instead.
    #[must_use]
    pub(crate) fn with_codec(self, codec: Compression) -> Attributes {
        Attributes(self.0 & !CODEC_MASK | codec.id())
    }

    /// Whether every record has the batch's max timestamp, which is the time of the append.
    pub(crate) fn is_log_append_time(self) -> bool {
        self.0 & LOG_APPEND_TIME != 0
    }

    /// The same with append time.
    #[must_use]
    pub(crate) fn with_log_append_time(self) -> Attributes {
        Attributes(self.0 | LOG_APPEND_TIME)
    }

    /// Whether the batch is a marker, which no application sees.
    pub(crate) fn is_control(self) -> bool {
        self.0 & CONTROL != 0
    }

    /// The same as a marker.
    #[must_use]
    pub(crate) fn with_control(self) -> Attributes {
        Attributes(self.0 | CONTROL)
    }

    /// Whether the base timestamp is the time from which on compaction may remove the batch's tombstones or marker.
    pub(crate) fn has_delete_horizon(self) -> bool {
        self.0 & DELETE_HORIZON != 0
    }

    /// The same with a delete horizon.
    #[must_use]
    pub(crate) fn with_delete_horizon(self) -> Attributes {
        Attributes(self.0 | DELETE_HORIZON)
    }

    /// The same without one.
    #[must_use]
    pub(crate) fn without_delete_horizon(self) -> Attributes {
        Attributes(self.0 & !DELETE_HORIZON)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_are_told_apart() {
        let attributes = Attributes::NONE.with_codec(Compression::Zstd).with_control();
        assert_eq!((attributes.bits(false), attributes.bits(true)), (0x24, 0x34));
        assert_eq!(Attributes::from_bits(0x34), Ok((attributes, true)));
        assert_eq!(attributes.with_codec(Compression::Gzip).codec(), Compression::Gzip);
        assert!(attributes.is_control());
        assert!(!attributes.is_log_append_time() && !attributes.has_delete_horizon());
        let dated = Attributes::NONE.with_log_append_time().with_delete_horizon();
        assert_eq!((dated.bits(false), dated.without_delete_horizon().bits(false)), (0x48, 0x08));
    }

    #[test]
    fn unknown_codecs_are_refused_and_unknown_flags_are_not() {
        for codec in 5..8 {
            assert!(Attributes::from_bits(codec).is_err());
        }
        let (attributes, is_transactional) = Attributes::from_bits(-8).unwrap();
        assert_eq!((attributes.codec(), attributes.bits(is_transactional)), (Compression::None, -8));
        assert_eq!(Attributes::from_bits_of_plain(7).0.bits(false), 7);
    }
}
