//! [`ProducerStamp`]: which producer sent a batch, and as which of its batches.

/// What a batch says of the producer that sent it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct ProducerStamp {
    /// The producer, −1 for none.
    pub(crate) producer_id: i64,
    /// The producer's epoch, −1 for none.
    pub(crate) producer_epoch: i16,
    /// Sequence of the first record, −1 for none.
    pub(crate) base_sequence: i32,
    /// Whether the batch belongs to a transaction of the producer. On the disk this is one of the batch's flags.
    pub(crate) is_transactional: bool,
}

impl ProducerStamp {
    /// That of a producer which has no id.
    pub(crate) const NONE: ProducerStamp =
        ProducerStamp { producer_id: -1, producer_epoch: -1, base_sequence: -1, is_transactional: false };

    /// The sequence of the batch's last offset, −1 if it has none. Sequences run up to 2³¹ − 1 and then from 0 again.
    pub(crate) fn last_sequence(&self, last_offset_delta: i32) -> i32 {
        if self.base_sequence < 0 { -1 } else { self.base_sequence.wrapping_add(last_offset_delta) & i32::MAX }
    }

    /// Whether a producer with an id has sent it.
    #[inline]
    pub(crate) fn has_producer(&self) -> bool {
        0 <= self.producer_id
    }
}

/// A producer in one of its lives: whoever has its name next has the next epoch, and with an older one nothing is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct ProducerIdAndEpoch {
    pub(crate) id: i64,
    pub(crate) epoch: i16,
}
