//! What a compaction that was asked for came to.

use std::fmt;

use crate::error::Error;
use crate::record::Timestamp;
use crate::topic_partition::TopicPartition;

/// What compacting one partition came to; one of [`CompactionReport::partitions`](crate::CompactionReport::partitions), where the
/// example is.
#[derive(Debug)]
pub struct PartitionCompaction {
    pub(super) partition: TopicPartition,
    pub(super) counts: Counts,
    pub(super) bytes_before: u64,
    pub(super) bytes_after: u64,
    pub(super) active_bytes: u64,
    pub(super) left_out: Option<LeftOut>,
}

/// Why a partition, or a part of it, was not compacted; the answer of [`PartitionCompaction::left_out`]. The example is at
/// [`CompactionReport`](crate::CompactionReport).
#[derive(Debug)]
#[non_exhaustive]
pub enum LeftOut {
    /// No segment is closed yet: everything is in the active one, which is never compacted.
    NothingClosed,
    /// Some records are younger than [`min.compaction.lag.ms`](crate::TopicConfig::min_compaction_lag_ms) allows. They may be
    /// compacted from this time on.
    TooYoung(Timestamp),
    /// It was given up: the broker was closed, the topic deleted or its policy changed meanwhile, or this very thread is at it.
    GivenUp,
    /// It failed; the log is as it was, but for the passes that were done.
    Failed(Error),
}

impl fmt::Display for LeftOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LeftOut::NothingClosed => f.write_str("no segment is closed yet"),
            LeftOut::TooYoung(until) => write!(f, "younger than min.compaction.lag.ms until {until}"),
            LeftOut::GivenUp => f.write_str("given up, since the log was closed or its policy changed"),
            LeftOut::Failed(error) => write!(f, "{}", error.with_causes()),
        }
    }
}

/// What passes have done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// How often the log was gone through.
    pub(crate) passes: u32,
    /// Records that are gone, tombstones among them.
    pub(crate) records: u64,
    /// Of those, tombstones.
    pub(crate) tombstones: u64,
}

impl Counts {
    pub(super) fn add(&mut self, other: Counts) {
        self.passes += other.passes;
        self.records += other.records;
        self.tombstones += other.tombstones;
    }
}

impl PartitionCompaction {
    /// The topic and number.
    #[must_use]
    pub fn topic_partition(&self) -> &TopicPartition {
        &self.partition
    }

    /// How often the log was gone through: more than once where its keys did not fit in memory.
    #[must_use]
    pub fn passes(&self) -> u32 {
        self.counts.passes
    }

    /// Bytes of the closed segments before.
    #[must_use]
    pub fn bytes_before(&self) -> u64 {
        self.bytes_before
    }

    /// Bytes of the closed segments afterwards.
    #[must_use]
    pub fn bytes_after(&self) -> u64 {
        self.bytes_after
    }

    /// Bytes of the active segment, which stays as it is, whatever it holds. What is still in the tail is not counted.
    #[must_use]
    pub fn active_bytes(&self) -> u64 {
        self.active_bytes
    }

    /// How many records were removed, tombstones included.
    #[must_use]
    pub fn records_removed(&self) -> u64 {
        self.counts.records
    }

    /// How many of them were tombstones.
    #[must_use]
    pub fn tombstones_removed(&self) -> u64 {
        self.counts.tombstones
    }

    /// Why the partition, or what is behind its first segments, was left out, if so.
    #[must_use]
    pub fn left_out(&self) -> Option<&LeftOut> {
        self.left_out.as_ref()
    }
}

impl fmt::Display for PartitionCompaction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Counts { passes, records, tombstones } = self.counts;
        write!(f, "{}: {} of {} bytes left", self.partition, self.bytes_after, self.bytes_before)?;
        let plural = if passes == 1 { "" } else { "es" };
        write!(f, " after {passes} pass{plural}, {records} records removed, {tombstones} of them tombstones")?;
        write!(f, "; {} bytes are in the active segment", self.active_bytes)?;
        self.left_out.iter().try_for_each(|left_out| write!(f, "; left out: {left_out}"))
    }
}
