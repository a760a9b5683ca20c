//! The flags in the header of a batch.
//!
//! ```text
//! bit  0–2  codec
//!        3  the records' timestamp is the append time, which is in max_timestamp
//!        4  transactional
//!        5  control batch: one marker of a coordinator
//!        6  base_timestamp is the delete horizon
//!     7–15  zero, not looked at
//! ```

use super::{Codec, Invalid};

/// The flags of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Attributes(i16);

const CODEC_MASK: i16 = 0b111;
const LOG_APPEND_TIME: i16 = 1 << 3;
const TRANSACTIONAL: i16 = 1 << 4;
const CONTROL: i16 = 1 << 5;
const DELETE_HORIZON: i16 = 1 << 6;

impl Attributes {
    /// The flags as stored.
    ///
    /// # Errors
    /// If the codec is none of those there are.
    pub(crate) fn from_bits(bits: i16) -> Result<Attributes, Invalid> {
        match Codec::from_id(bits & CODEC_MASK) {
            Some(_) => Ok(Attributes(bits)),
            None => Err(Invalid::Malformed("an unknown compression codec")),
        }
    }

    /// The flags to store.
    pub(crate) fn bits(self) -> i16 {
        self.0
    }

    /// How the records are compressed.
    pub(crate) fn codec(self) -> Codec {
        Codec::from_id(self.0 & CODEC_MASK).unwrap_or(Codec::None)
    }

    /// The same with this codec instead.
    #[must_use]
    pub(crate) fn with_codec(self, codec: Codec) -> Attributes {
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

    /// Whether the batch belongs to a transaction.
    pub(crate) fn is_transactional(self) -> bool {
        self.0 & TRANSACTIONAL != 0
    }

    /// The same as part of a transaction.
    #[must_use]
    pub(crate) fn with_transactional(self) -> Attributes {
        Attributes(self.0 | TRANSACTIONAL)
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
        let attributes = Attributes::default().with_codec(Codec::Zstd).with_transactional().with_control();
        assert_eq!(attributes.bits(), 0x34);
        assert_eq!(attributes.with_codec(Codec::Gzip).codec(), Codec::Gzip);
        assert!(attributes.is_transactional() && attributes.is_control());
        assert!(!attributes.is_log_append_time() && !attributes.has_delete_horizon());
        let dated = Attributes::default().with_log_append_time().with_delete_horizon();
        assert_eq!((dated.bits(), dated.without_delete_horizon().bits()), (0x48, 0x08));
    }

    #[test]
    fn unknown_codecs_are_refused_and_unknown_flags_are_not() {
        for codec in 5..8 {
            assert!(Attributes::from_bits(codec).is_err());
        }
        assert_eq!(Attributes::from_bits(-8).unwrap().codec(), Codec::None);
    }
}
