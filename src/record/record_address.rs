//! Where a record stands, in the notation in which it is shown.

use std::fmt;

use crate::topic_partition::TopicPartition;

/// Where a record stands: the log that it is in, and its offset there. Shown as Kafka shows it, `<topic>-<partition>@<offset>`.
///
/// # Examples
/// ```
/// # let broker = ottla::Broker::temporary()?;
/// let topic = broker.topic("orders")?;
/// let sent = topic.produce("customer-1", "2 coffees")?;
/// let read = topic.partition(0)?.get(0)?.unwrap();
/// assert_eq!(read.address().to_string(), "orders-0@0");
/// assert_eq!(read.address(), sent.address());
/// # Ok::<_, ottla::Error>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RecordAddress<'r> {
    topic_partition: &'r TopicPartition,
    offset: u64,
}

impl<'r> RecordAddress<'r> {
    pub(super) fn new(topic_partition: &'r TopicPartition, offset: u64) -> RecordAddress<'r> {
        RecordAddress { topic_partition, offset }
    }

    /// The log that has the record.
    #[must_use]
    pub fn topic_partition(&self) -> &'r TopicPartition {
        self.topic_partition
    }

    /// The record's offset in its partition.
    #[must_use]
    pub fn offset(&self) -> u64 {
        self.offset
    }
}

impl fmt::Display for RecordAddress<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.topic_partition, self.offset)
    }
}

/// As it is shown.
impl fmt::Debug for RecordAddress<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
