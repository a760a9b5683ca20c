//! What there is to measure of a group.

use crate::group::description::{GroupDescription, GroupPartition, GroupState};
use crate::topic_partition::TopicPartition;

/// A group at one moment; one of [`Metrics::groups`](crate::Metrics::groups).
///
/// # Examples
/// ```
/// # let broker = ottla::Broker::temporary()?;
/// broker.topic("orders")?.produce("customer-1", "2 coffees")?;
/// let consumer = broker.consumer("billing", ["orders"])?;
/// let metrics = broker.metrics();
/// let billing = &metrics.groups["billing"];
/// assert_eq!((billing.member_count, billing.lag()), (1, 1));
/// for row in &billing.partitions {
///     let committed = row.committed().map_or("-".to_owned(), |committed| committed.offset().to_string());
///     println!("{}: {committed} of {}", row.topic_partition(), row.end_offset());
/// }
/// # Ok::<_, ottla::Error>(())
/// ```
#[derive(Debug, Clone)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct GroupMetrics {
    /// How far it is with dividing its partitions.
    pub state: GroupState,
    /// A number that rises whenever the partitions are divided anew.
    pub generation: i32,
    /// How many members it has.
    pub member_count: u64,
    /// The partitions of the topics that members subscribed to, and those that have a committed offset, in ascending order. Those of a
    /// topic that was deleted are not among them.
    pub partitions: Vec<GroupPartition>,
}

impl GroupMetrics {
    pub(super) fn of(description: GroupDescription) -> GroupMetrics {
        GroupMetrics {
            state: description.state(),
            generation: description.generation(),
            member_count: description.members().len() as u64,
            partitions: description.into_partitions(),
        }
    }

    /// How many offsets lie between what was committed, or else the log start, and the last stable offset, in all partitions together.
    #[must_use]
    pub fn lag(&self) -> u64 {
        self.partitions.iter().map(GroupPartition::lag).sum()
    }

    /// The same in one partition; `None` for one that is not among [`partitions`](GroupMetrics::partitions).
    #[must_use]
    pub fn partition_lag(&self, partition: &TopicPartition) -> Option<u64> {
        self.partitions.iter().find(|row| row.topic_partition() == partition).map(GroupPartition::lag)
    }
}
