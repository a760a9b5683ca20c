//! [`BatchStart`]: what is known of a batch before its first record is.

use super::{Attributes, Compression, ProducerStamp};

/// What a batch begins with: a slot is opened with it, a batch is sealed with it, and the header has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct BatchStart {
    /// Offset of the first record as first written. Below 2⁶³.
    pub(crate) base_offset: u64,
    /// Epoch of the leader that appended it, −1 if unknown; 0 or above, or a cluster could not replicate the batch.
    pub(crate) leader_epoch: i32,
    /// The flags.
    pub(crate) attributes: Attributes,
    /// What the records' timestamps are relative to, in ms; the delete horizon if the flags say so; −1 if none has one.
    pub(crate) base_timestamp: i64,
    /// Which producer sent it.
    pub(crate) stamp: ProducerStamp,
}

impl BatchStart {
    /// The same with this codec instead; a marker is never compressed.
    #[must_use]
    pub(crate) fn with_codec(self, codec: Compression) -> BatchStart {
        let codec = if self.attributes.is_control() { Compression::None } else { codec };
        BatchStart { attributes: self.attributes.with_codec(codec), ..self }
    }
}
