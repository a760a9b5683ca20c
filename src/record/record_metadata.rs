//! What a send returns: where the record is now.

use std::fmt;

use super::record_address::RecordAddress;
use crate::record::Timestamp;
use crate::topic_partition::TopicPartition;

/// Where a sent record is: its log, its offset there, and the timestamp it was given.
///
/// # Examples
/// ```
/// # let broker = ottla::Broker::temporary()?;
/// let sent = broker.topic("orders")?.produce("customer-1", "2 coffees")?;
/// assert_eq!((sent.partition(), sent.offset()), (0, 0));
/// assert_eq!(sent.to_string(), "orders-0@0");
/// # Ok::<_, ottla::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct RecordMetadata {
    topic_partition: TopicPartition,
    offset: u64,
    timestamp: Timestamp,
}

impl RecordMetadata {
    /// Describes the record at `offset` of `topic_partition`.
    pub(crate) fn new(topic_partition: TopicPartition, offset: u64, timestamp: Timestamp) -> RecordMetadata {
        RecordMetadata { topic_partition, offset, timestamp }
    }

    /// The log that has the record.
    #[must_use]
    pub fn topic_partition(&self) -> &TopicPartition {
        &self.topic_partition
    }

    /// The topic's name.
    #[must_use]
    pub fn topic(&self) -> &str {
        self.topic_partition.topic()
    }

    /// The partition's number within its topic, from 0.
    #[must_use]
    pub fn partition(&self) -> u32 {
        self.topic_partition.partition()
    }

    /// The record's offset in its partition.
    #[must_use]
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Where the record is, as [`ConsumerRecord::address`](crate::ConsumerRecord::address) says it.
    #[must_use]
    pub fn address(&self) -> RecordAddress<'_> {
        RecordAddress::new(&self.topic_partition, self.offset)
    }

    /// The record's timestamp: the producer's, or the time of the append if it set none, or if the topic's
    /// [`timestamp_type`](crate::TopicConfig::timestamp_type) says so.
    #[must_use]
    pub fn timestamp(&self) -> Timestamp {
        self.timestamp
    }
}

/// As Kafka shows it: `<topic>-<partition>@<offset>`.
impl fmt::Display for RecordMetadata {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.address(), f)
    }
}
