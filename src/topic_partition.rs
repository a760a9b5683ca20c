//! The address of one log: a topic and the number of a partition in it.

use std::fmt;
use std::sync::Arc;

/// A topic's name and the number of one of its partitions: the address of one log.
///
/// Cheap to clone: the name is shared.
///
/// # Examples
/// ```
/// let tp = ottla::TopicPartition::new("orders", 3);
/// assert_eq!(tp.topic(), "orders");
/// assert_eq!(tp.partition(), 3);
/// assert_eq!(tp.to_string(), "orders-3");
/// ```
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicPartition {
    topic: Arc<str>,
    partition: u32,
}

impl TopicPartition {
    /// The address of partition `partition` (from 0) of `topic`. Nothing is looked up or checked.
    pub fn new(topic: impl Into<Arc<str>>, partition: u32) -> TopicPartition {
        TopicPartition { topic: topic.into(), partition }
    }

    /// The topic's name.
    #[must_use]
    pub fn topic(&self) -> &str {
        &self.topic
    }

    /// The partition's number within its topic, from 0.
    #[must_use]
    pub fn partition(&self) -> u32 {
        self.partition
    }
}

/// Kafka's directory name: `<topic>-<partition>`.
impl fmt::Display for TopicPartition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.topic, self.partition)
    }
}
