//! What there is to measure of a topic.

use crate::partition::partition_metrics::{PartitionCounters, PartitionMetrics};

/// A topic at one moment; one of [`Metrics::topics`](crate::Metrics::topics).
///
/// # Examples
/// ```
/// # let broker = ottla::Broker::temporary()?;
/// broker.topic("orders")?.produce("customer-1", "2 coffees")?;
/// let metrics = broker.metrics();
/// let orders = &metrics.topics["orders"];
/// for partition in &orders.partitions {
///     println!("{}: {}..{}", partition.partition, partition.log_start_offset, partition.log_end_offset);
/// }
/// assert_eq!(orders.counters().unwrap().records_in, 1);
/// # Ok::<_, ottla::Error>(())
/// ```
#[derive(Debug, Clone)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct TopicMetrics {
    /// The partitions by number.
    pub partitions: Vec<PartitionMetrics>,
    /// Tells it from an earlier or later topic of its name.
    #[cfg_attr(feature = "serde", serde(skip))]
    pub(super) topic_id: u128,
}

impl TopicMetrics {
    /// What was counted in all partitions together; `None` read-only.
    #[must_use]
    pub fn counters(&self) -> Option<PartitionCounters> {
        let mut sum = PartitionCounters::default();
        for partition in &self.partitions {
            sum += partition.counters?;
        }
        Some(sum)
    }

    /// What the log files of all segments have, in bytes.
    #[must_use]
    pub fn log_bytes(&self) -> u64 {
        self.partitions.iter().map(|partition| partition.log_bytes).sum()
    }

    /// The ends of all logs together: how many offsets were ever given out in this topic.
    #[must_use]
    pub fn log_end_offsets(&self) -> u64 {
        self.partitions.iter().map(|partition| partition.log_end_offset).sum()
    }
}
