//! What was restored, and what was left out.

use std::fmt;
use std::ops::Range;

use super::losses::{Losses, TornTransaction};
use crate::topic_partition::TopicPartition;

/// What [`Broker::restore`](crate::Broker::restore) has restored, and what it has left out; see there.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RestoreReport {
    pub(super) partitions: Vec<RestoredPartition>,
    pub(super) losses: Losses,
}

/// A partition that was restored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RestoredPartition {
    pub(super) partition: TopicPartition,
    pub(super) offsets: Range<u64>,
    pub(super) not_later: Vec<Range<u64>>,
}

impl RestoreReport {
    /// The partitions, those of internal topics among them, in ascending order.
    pub fn partitions(&self) -> impl Iterator<Item = &TopicPartition> {
        self.partitions.iter().map(|restored| &restored.partition)
    }

    /// The offsets that a partition has now: its log start offset, and where it was cut. (Where a transaction had to be ended, its marker
    /// takes the next offset.) `None` if it is not in the backup.
    #[must_use]
    pub fn offsets(&self, partition: &TopicPartition) -> Option<Range<u64>> {
        self.find(partition).map(|restored| restored.offsets.clone())
    }

    /// The offsets of records of a partition that were left out although they are not later than the time that was asked for: they come
    /// behind one that is.
    #[must_use]
    pub fn left_out(&self, partition: &TopicPartition) -> &[Range<u64>] {
        self.find(partition).map_or(&[], |restored| &restored.not_later)
    }

    fn find(&self, partition: &TopicPartition) -> Option<&RestoredPartition> {
        self.partitions.iter().find(|restored| restored.partition == *partition)
    }

    /// Transactions that were committed and are not whole any more.
    #[must_use]
    pub fn torn_transactions(&self) -> &[TornTransaction] {
        &self.losses.torn
    }

    /// What groups had committed beyond the new end of a partition, and was moved back to it: group, partition, and the offsets from where it
    /// is now to where it was.
    pub fn moved_back(&self) -> impl Iterator<Item = (&str, &TopicPartition, Range<u64>)> {
        self.losses.moved_back()
    }
}

/// A line on what there is, then one for each thing that is not as somebody may expect.
impl fmt::Display for RestoreReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "restored {} partitions", self.partitions.len())?;
        for restored in self.partitions.iter().filter(|restored| !restored.not_later.is_empty()) {
            let count: u64 = restored.not_later.iter().map(|offsets| offsets.end - offsets.start).sum();
            let first = restored.not_later.first().map_or(0, |offsets| offsets.start);
            let partition = &restored.partition;
            write!(f, "\nleft out: {partition}: {count} records that are not later, from offset {first} on")?;
        }
        write!(f, "{}", self.losses)
    }
}
