//! A position that a group has committed.

use super::offset_records::OffsetCommit;
use crate::canary::{Canary, planted};
use crate::record::Timestamp;

/// A position in one partition that a group has committed, or is about to commit.
///
/// # Examples
/// ```
/// use ottla::CommittedOffset;
///
/// let committed = CommittedOffset::new(42).with_metadata("batch 7 of the night run");
/// assert_eq!((committed.offset(), committed.metadata()), (42, "batch 7 of the night run"));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[must_use]
pub struct CommittedOffset {
    offset: u64,
    leader_epoch: Option<i32>,
    metadata: String,
    /// `None` until it is committed.
    commit_timestamp: Option<Timestamp>,
    /// The id of the topic that it was committed for; `None` in records of an older Kafka.
    #[cfg_attr(feature = "serde", serde(skip))]
    topic_id: Option<u128>,
}

impl CommittedOffset {
    /// The position at which `offset` is the next record to read.
    pub fn new(offset: u64) -> CommittedOffset {
        CommittedOffset { offset, leader_epoch: None, metadata: String::new(), commit_timestamp: None, topic_id: None }
    }

    /// Adds some text of the application's own, of at most 32,767 bytes. Default: empty.
    #[doc(alias = "OffsetAndMetadata")]
    pub fn with_metadata(mut self, metadata: impl Into<String>) -> CommittedOffset {
        self.metadata = metadata.into();
        self
    }

    /// With the leader epoch of the record before it, by which a power cut is noticed that took that record.
    pub(crate) fn with_leader_epoch(mut self, leader_epoch: Option<i32>) -> CommittedOffset {
        self.leader_epoch = leader_epoch;
        self
    }

    /// As it is committed: for the topic of this id, at this time.
    pub(crate) fn stamped(mut self, topic_id: u128, now_ms: i64) -> CommittedOffset {
        self.topic_id = Some(topic_id);
        self.commit_timestamp = Some(Timestamp::from_millis(now_ms));
        self
    }

    /// The offset of the next record to read.
    #[must_use]
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// The leader epoch of the last record that was read before committing, if it is known.
    #[must_use]
    pub fn leader_epoch(&self) -> Option<i32> {
        self.leader_epoch
    }

    /// When it was committed; `None` for one that is yet to be.
    ///
    /// # Examples
    /// ```
    /// # let broker = ottla::Broker::temporary()?;
    /// broker.topic("orders")?.produce("customer-1", "2 coffees")?;
    /// let mut consumer = broker.consumer("billing", ["orders"])?;
    /// consumer.poll(std::time::Duration::from_secs(1))?;
    /// consumer.commit()?;
    /// let committed = consumer.committed(&ottla::TopicPartition::new("orders", 0))?.unwrap();
    /// println!("committed at {}", committed.commit_timestamp().unwrap());
    /// assert_eq!(ottla::CommittedOffset::new(42).commit_timestamp(), None);
    /// # Ok::<_, ottla::Error>(())
    /// ```
    #[must_use]
    pub fn commit_timestamp(&self) -> Option<Timestamp> {
        self.commit_timestamp
    }

    /// What the application keeps with it.
    #[must_use]
    pub fn metadata(&self) -> &str {
        &self.metadata
    }

    /// Whether it may be of the topic with this id, and not of an earlier one of the same name.
    pub(crate) fn is_of(&self, topic_id: u128) -> bool {
        self.topic_id.is_none_or(|id| id == topic_id) || planted(Canary::KeepOffsetsOfDeleted)
    }

    /// Whether the other one is the same position of the same topic, with the same text, whenever it was committed.
    pub(super) fn says_the_same(&self, other: &CommittedOffset) -> bool {
        let CommittedOffset { offset, leader_epoch, metadata, commit_timestamp: _, topic_id } = self;
        *offset == other.offset
            && *leader_epoch == other.leader_epoch
            && *metadata == other.metadata
            && *topic_id == other.topic_id
    }

    /// As a record of the offsets topic.
    pub(super) fn as_record(&self) -> OffsetCommit<'_> {
        OffsetCommit {
            offset: self.offset,
            leader_epoch: self.leader_epoch,
            metadata: &self.metadata,
            commit_timestamp: self.commit_timestamp.map_or(0, Timestamp::as_millis),
            expire_timestamp: None,
            topic_id: self.topic_id,
        }
    }
}

impl From<OffsetCommit<'_>> for CommittedOffset {
    fn from(record: OffsetCommit<'_>) -> CommittedOffset {
        CommittedOffset {
            offset: record.offset,
            leader_epoch: record.leader_epoch,
            metadata: record.metadata.to_owned(),
            commit_timestamp: Some(Timestamp::from_millis(record.commit_timestamp)),
            topic_id: record.topic_id,
        }
    }
}
