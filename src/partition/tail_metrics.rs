//! What there is to measure of a tail.

use super::time_histogram::TimeHistogram;

/// One of the two [tail files](crate::guide::concepts) at one moment; in [`WriterMetrics`](crate::WriterMetrics), where the example is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct TailMetrics {
    /// How many slots are in use, each by a batch of one partition: one that is being written, or one that its segment does not hold
    /// durably yet.
    pub slots_in_use: u64,
    /// What these slots take of the file, in bytes. Where they come near to [`tail_bytes`](crate::BrokerBuilder::tail_bytes), sends are
    /// slower.
    pub slot_bytes_in_use: u64,
    /// How long the file is, in bytes.
    pub file_bytes: u64,
    /// The syncs for which senders and flushes waited, or that an interval asked for. What was sent by many at the same time shares one.
    pub syncs: TimeHistogram,
}
