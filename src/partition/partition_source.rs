//! Who keeps the log of a partition: this process, or another one.

use std::ops::Range;
use std::sync::Arc;

use super::log::Log;
use super::{FetchLimits, Follower, Place};
use crate::error::Result;
use crate::record::Fetched;
use crate::topic_partition::TopicPartition;

/// Who keeps the log.
#[derive(Debug, Clone)]
pub(crate) enum PartitionSource {
    /// This process writes it.
    Log(Arc<Log>),
    /// Another process may be writing it.
    Follower(Arc<Follower>),
}

impl PartitionSource {
    /// The offsets that readers may see now.
    pub(crate) fn bounds(&self) -> Range<u64> {
        match self {
            PartitionSource::Log(log) => log.log_start_offset()..log.visible_end(),
            PartitionSource::Follower(follower) => follower.bounds(),
        }
    }

    /// The address of the partition.
    pub(crate) fn partition(&self) -> &TopicPartition {
        match self {
            PartitionSource::Log(log) => log.partition(),
            PartitionSource::Follower(follower) => follower.partition(),
        }
    }

    /// The id that tells the topic from an earlier or later one of the same name.
    pub(crate) fn topic_id(&self) -> u128 {
        match self {
            PartitionSource::Log(log) => log.topic_id(),
            PartitionSource::Follower(follower) => follower.topic_id(),
        }
    }

    /// Whether both are the same log, and not only of the same name.
    pub(crate) fn is_same(&self, other: &PartitionSource) -> bool {
        match (self, other) {
            (PartitionSource::Log(one), PartitionSource::Log(other)) => Arc::ptr_eq(one, other),
            (PartitionSource::Follower(one), PartitionSource::Follower(other)) => Arc::ptr_eq(one, other),
            _ => false,
        }
    }

    /// The first offset that can be read.
    pub(crate) fn log_start_offset(&self) -> u64 {
        match self {
            PartitionSource::Log(log) => log.log_start_offset(),
            PartitionSource::Follower(follower) => follower.bounds().start,
        }
    }

    /// One above the last offset that readers may see now.
    #[inline]
    pub(crate) fn visible_end(&self) -> u64 {
        match self {
            PartitionSource::Log(log) => log.visible_end(),
            PartitionSource::Follower(follower) => follower.bounds().end,
        }
    }

    /// Whether a reader at offset `from` has something to read, or does not belong there.
    #[inline]
    pub(crate) fn is_ready_at(&self, from: u64) -> bool {
        match self {
            PartitionSource::Log(log) => from != log.visible_end(),
            PartitionSource::Follower(follower) => from != follower.visible_end_from(from),
        }
    }

    /// Whether reads are refused: the topic was deleted or the broker closed. Read-only also where nothing can be read at all.
    #[inline]
    pub(crate) fn is_closed(&self) -> bool {
        match self {
            PartitionSource::Log(log) => log.is_closed(),
            PartitionSource::Follower(follower) => follower.check_present().is_err(),
        }
    }

    /// Fails once the topic was deleted or the broker closed.
    pub(crate) fn check_open(&self) -> Result<()> {
        match self {
            PartitionSource::Log(log) => log.check_open(),
            PartitionSource::Follower(follower) => follower.check_open(),
        }
    }

    /// The first visible offset whose record has a timestamp of at least `timestamp_ms`.
    pub(crate) fn offset_for_time(&self, timestamp_ms: i64) -> Result<Option<u64>> {
        match self {
            PartitionSource::Log(log) => log.offset_for_time(timestamp_ms),
            PartitionSource::Follower(follower) => follower.offset_for_time(timestamp_ms),
        }
    }

    /// The leader epoch of the record before `offset`, if known.
    pub(crate) fn leader_epoch_before(&self, offset: u64) -> Option<i32> {
        match self {
            PartitionSource::Log(log) => log.leader_epoch_before(offset),
            PartitionSource::Follower(follower) => follower.epochs().epoch_of(offset.checked_sub(1)?),
        }
    }

    /// Where the log went on after the records that a position with this leader epoch has passed, if a power cut took some
    /// of those.
    pub(crate) fn truncated_to(&self, position: u64, leader_epoch: i32) -> Option<u64> {
        match self {
            PartitionSource::Log(log) => log.truncated_to(position, leader_epoch),
            PartitionSource::Follower(follower) => {
                follower.epochs().truncated_to(position, leader_epoch, follower.bounds().end)
            }
        }
    }

    /// Reads for a reader that goes on where it ended, at `place` in a batch. Returns where it ends, too.
    pub(crate) fn fetch_on(
        &self,
        from: u64,
        limits: FetchLimits,
        place: Option<&Place>,
    ) -> Result<(Fetched, Option<Place>)> {
        match self {
            PartitionSource::Log(log) => log.fetch_on(from, limits, place),
            PartitionSource::Follower(follower) => follower.fetch_on(from, limits, place),
        }
    }

    /// Reads records from offset `from` (included) on.
    pub(crate) fn fetch(&self, from: u64, limits: FetchLimits) -> Result<Fetched> {
        match self {
            PartitionSource::Log(log) => log.fetch(from, limits),
            PartitionSource::Follower(follower) => follower.fetch(from, limits),
        }
    }
}
