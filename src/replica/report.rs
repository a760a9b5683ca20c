//! What has come to a replica, how far it is behind, and what it has become.

use std::fmt;
use std::ops::Range;

use super::target::{Arrival, Round};
use crate::TornTransaction;
use crate::backup::losses::Losses;
use crate::error::count;
use crate::record::Timestamp;
use crate::topic_partition::TopicPartition;

/// What [`Replica::catch_up`](crate::Replica::catch_up) has brought.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CatchUpReport {
    arrivals: Vec<Arrival>,
    bytes: u64,
    taken_ms: i64,
}

impl CatchUpReport {
    pub(super) fn new(round: Round, taken_ms: i64) -> CatchUpReport {
        CatchUpReport { arrivals: round.arrivals, bytes: round.bytes, taken_ms }
    }

    /// The partitions that have grown, those of internal topics among them.
    pub fn partitions(&self) -> impl Iterator<Item = &TopicPartition> {
        self.arrivals.iter().map(|arrival| &arrival.partition)
    }

    /// From where a partition ended before to where it ends now; `None` if it has not grown.
    #[must_use]
    pub fn offsets(&self, partition: &TopicPartition) -> Option<Range<u64>> {
        self.arrival(partition).map(|arrival| arrival.offsets.clone())
    }

    /// The offsets that the replica has never had and never will, since the source had deleted them before it came for them; with
    /// their partitions. What compaction has removed is not among them.
    pub fn never_had(&self) -> impl Iterator<Item = (&TopicPartition, Range<u64>)> {
        let has_hole = |arrival: &&Arrival| !arrival.never_had.is_empty();
        self.arrivals.iter().filter(has_hole).map(|arrival| (&arrival.partition, arrival.never_had.clone()))
    }

    /// Bytes of log files that were copied.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// When the source was what the replica is now, by the wall clock.
    #[must_use]
    pub fn taken_at(&self) -> Timestamp {
        Timestamp::from_millis(self.taken_ms)
    }

    fn arrival(&self, partition: &TopicPartition) -> Option<&Arrival> {
        self.arrivals.iter().find(|arrival| arrival.partition == *partition)
    }
}

impl fmt::Display for CatchUpReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let offsets: u64 = self.arrivals.iter().map(|arrival| arrival.offsets.end - arrival.offsets.start).sum();
        let partitions = count(self.arrivals.len(), "partition");
        write!(f, "{offsets} offsets in {partitions} and {} bytes came", self.bytes)?;
        self.never_had().try_for_each(|(partition, Range { start, end })| {
            write!(f, "\n{partition}: {start} to {} were deleted at the source before they came here", end - 1)
        })
    }
}

/// How far a replica is behind its source; see [`Replica::lag`](crate::Replica::lag).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplicaLag {
    pub(super) partitions: Vec<(TopicPartition, u64)>,
    pub(super) taken_ms: Option<i64>,
}

impl ReplicaLag {
    /// The partitions that are behind, and by how many offsets.
    pub fn partitions(&self) -> impl Iterator<Item = (&TopicPartition, u64)> {
        self.partitions.iter().map(|(partition, offsets)| (partition, *offsets))
    }

    /// By how many offsets all of them are behind together; 0 if the replica has everything.
    #[must_use]
    pub fn offsets(&self) -> u64 {
        self.partitions.iter().map(|(_, offsets)| offsets).sum()
    }

    /// When the source was what the replica is now, by the wall clock; `None` if it has never caught up.
    #[must_use]
    pub fn taken_at(&self) -> Option<Timestamp> {
        self.taken_ms.map(Timestamp::from_millis)
    }
}

/// What a replica has become; see [`Replica::promote`](crate::Replica::promote).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PromoteReport {
    pub(super) losses: Losses,
}

impl PromoteReport {
    /// The committed transactions of which a part had not come, each with a partition in which that is so. There are none where the
    /// source was a broker of the same process.
    #[must_use]
    pub fn torn_transactions(&self) -> &[TornTransaction] {
        &self.losses.torn
    }

    /// The groups that had committed what is not there, and were moved back to the end of the partition: name, partition, and the offsets
    /// from that end to where they had been.
    pub fn moved_back(&self) -> impl Iterator<Item = (&str, &TopicPartition, Range<u64>)> {
        self.losses.moved_back()
    }
}

/// That it is promoted, then a line for each thing that is not as somebody may expect.
impl fmt::Display for PromoteReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "promoted{}", self.losses)
    }
}
