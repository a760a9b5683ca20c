//! What the two forms of a record that was read have in common.

use super::consumer_record::{ConsumerRecord, OwnedRecord};
use crate::topic_partition::TopicPartition;

mod sealed {
    use crate::topic_partition::TopicPartition;

    /// Where a record stands; for this crate alone.
    pub trait Stands {
        fn topic_partition(&self) -> &TopicPartition;
        fn topic_id(&self) -> u128;
        fn offset(&self) -> u64;
        fn leader_epoch(&self) -> i32;
    }
}
pub(crate) use sealed::Stands;

/// A record that was read: a [`ConsumerRecord`], which is a view, or an [`OwnedRecord`], which is a copy. Where either will do, as
/// for [`commit_through`](crate::Consumer::commit_through), this is what is asked for.
///
/// This trait is sealed: there are these two.
///
/// # Examples
/// ```
/// use ottla::{Consumer, ReadRecord};
///
/// /// Takes what `poll` returned, and what `next_record` returned.
/// fn done_with(consumer: &mut Consumer, record: &impl ReadRecord) -> ottla::Result<()> {
///     consumer.commit_through(record)
/// }
/// ```
pub trait ReadRecord: Stands {}

impl ReadRecord for ConsumerRecord<'_> {}
impl Stands for ConsumerRecord<'_> {
    fn topic_partition(&self) -> &TopicPartition {
        self.topic_partition()
    }

    fn topic_id(&self) -> u128 {
        self.topic_id()
    }

    fn offset(&self) -> u64 {
        self.offset()
    }

    fn leader_epoch(&self) -> i32 {
        self.leader_epoch()
    }
}

impl ReadRecord for OwnedRecord {}
impl Stands for OwnedRecord {
    fn topic_partition(&self) -> &TopicPartition {
        self.topic_partition()
    }

    fn topic_id(&self) -> u128 {
        self.topic_id()
    }

    fn offset(&self) -> u64 {
        self.offset()
    }

    fn leader_epoch(&self) -> i32 {
        self.leader_epoch()
    }
}
