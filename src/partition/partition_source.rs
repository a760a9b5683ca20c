//! Who keeps the log of a partition: this process, or another one.

use std::ops::Range;
use std::sync::Arc;

use super::isolation::Isolation;
use super::log::copying::LogContents;
use super::log::{Log, OpenTransaction};
use super::partition_metrics::PartitionMetrics;
use super::verification::PartitionVerification;
use super::{FetchLimits, Follower, Place, Registration, Waiter};
use crate::disk::open_files::OpenFiles;
use crate::error::{Corruption, Error, Result};
use crate::record::Fetched;
use crate::segment::Reading;
use crate::topic_partition::TopicPartition;

/// The log of a partition, whoever keeps it. Which of the two it is nobody else looks at: what differs is a method here.
#[derive(Debug, Clone)]
pub(crate) struct PartitionSource(Keeper);

#[derive(Debug, Clone)]
enum Keeper {
    /// This process writes it.
    Log(Arc<Log>),
    /// Another process may be writing it.
    Follower(Arc<Follower>),
}

impl From<Arc<Log>> for PartitionSource {
    fn from(log: Arc<Log>) -> PartitionSource {
        PartitionSource(Keeper::Log(log))
    }
}

impl From<Arc<Follower>> for PartitionSource {
    fn from(follower: Arc<Follower>) -> PartitionSource {
        PartitionSource(Keeper::Follower(follower))
    }
}

impl PartitionSource {
    /// The log for writing.
    ///
    /// # Errors
    /// [`Error::ReadOnly`] for this `action` if another process keeps it.
    #[inline]
    pub(crate) fn writable(&self, action: &'static str) -> Result<&Arc<Log>> {
        match &self.0 {
            Keeper::Log(log) => Ok(log),
            Keeper::Follower(_) => Err(Error::ReadOnly { action }),
        }
    }

    /// The log, if this process keeps it.
    #[inline]
    pub(crate) fn log(&self) -> Option<&Arc<Log>> {
        match &self.0 {
            Keeper::Log(log) => Some(log),
            Keeper::Follower(_) => None,
        }
    }

    /// Has senders wake `waiter` once it is armed, by its `token` for this partition and for what this isolation sees; `None` where another process sends, which can
    /// wake nobody here.
    pub(crate) fn register(&self, waiter: &Arc<Waiter>, token: u32, isolation: Isolation) -> Option<Registration> {
        self.log().map(|log| log.register(waiter, token, isolation))
    }

    /// All offsets that the log has, whether or not readers may see them yet.
    pub(crate) fn log_bounds(&self) -> Range<u64> {
        match &self.0 {
            Keeper::Log(log) => log.log_start_offset()..log.log_end_offset(),
            Keeper::Follower(follower) => follower.bounds(),
        }
    }

    /// The offset below which everything is known to survive a power cut.
    pub(crate) fn durable_offset(&self) -> u64 {
        match &self.0 {
            Keeper::Log(log) => log.durable_offset(),
            Keeper::Follower(follower) => follower.durable_offset(),
        }
    }

    /// Bytes of all segments, and their number.
    pub(crate) fn size(&self) -> (u64, usize) {
        match &self.0 {
            Keeper::Log(log) => log.size(),
            Keeper::Follower(follower) => follower.size(),
        }
    }

    /// What there is to measure of it now.
    pub(crate) fn measure(&self) -> PartitionMetrics {
        match &self.0 {
            Keeper::Log(log) => log.measure(),
            Keeper::Follower(follower) => follower.measure(),
        }
    }

    /// What is missing or damaged, as far as opening found it or can be seen without repairing anything.
    pub(crate) fn damage(&self) -> Result<Vec<Corruption>> {
        match &self.0 {
            Keeper::Log(log) => Ok(log.damage().to_vec()),
            Keeper::Follower(follower) => follower.damage(),
        }
    }

    /// What the log of another process has that survives a power cut; `None` if this process keeps it.
    ///
    /// # Errors
    /// Those of a read.
    pub(crate) fn durable_contents(&self) -> Result<Option<LogContents>> {
        match &self.0 {
            Keeper::Log(_) => Ok(None),
            Keeper::Follower(follower) => follower.durable_contents().map(Some),
        }
    }

    /// [`damage`](PartitionSource::damage), if the partition does all that it should.
    ///
    /// # Errors
    /// Why it refuses writes, or everything.
    pub(crate) fn check_health(&self) -> Result<Vec<Corruption>> {
        if let Keeper::Log(log) = &self.0 {
            log.check_whole()?;
            log.check_unharmed()?;
        }
        self.damage()
    }

    /// Fails if nothing can be known of the log. Whatever is not known is then said to be what it was last, or 0.
    pub(crate) fn check_whole(&self) -> Result<()> {
        match &self.0 {
            Keeper::Log(log) => log.check_whole(),
            Keeper::Follower(follower) => follower.check_whole(),
        }
    }

    /// The transactions that are open in it, by their first offsets.
    pub(crate) fn open_transactions(&self) -> Vec<OpenTransaction> {
        match &self.0 {
            Keeper::Log(log) => log.open_transactions(),
            Keeper::Follower(follower) => follower.open_transactions(),
        }
    }

    /// Reads what is on the disk of it, and checks it.
    pub(crate) fn verify(&self, reading: Reading<'_>) -> Result<PartitionVerification> {
        match &self.0 {
            Keeper::Log(log) => log.verify(reading),
            Keeper::Follower(follower) => follower.verify(reading),
        }
    }

    /// The offsets of which readers of committed records may see those that were not aborted.
    pub(crate) fn stable_bounds(&self) -> Range<u64> {
        match &self.0 {
            // In this order: the start is never above an end that is loaded later.
            Keeper::Log(log) => log.log_start_offset()..log.last_stable_offset(),
            Keeper::Follower(follower) => follower.stable_bounds(),
        }
    }

    /// The disk, and what is open on it.
    pub(crate) fn files(&self) -> &Arc<OpenFiles> {
        match &self.0 {
            Keeper::Log(log) => log.files(),
            Keeper::Follower(follower) => follower.files(),
        }
    }

    /// The address of the partition.
    pub(crate) fn partition(&self) -> &TopicPartition {
        match &self.0 {
            Keeper::Log(log) => log.partition(),
            Keeper::Follower(follower) => follower.partition(),
        }
    }

    /// The id that tells the topic from an earlier or later one of the same name.
    pub(crate) fn topic_id(&self) -> u128 {
        match &self.0 {
            Keeper::Log(log) => log.topic_id(),
            Keeper::Follower(follower) => follower.topic_id(),
        }
    }

    /// Whether both are the same log, and not only of the same name.
    pub(crate) fn is_same(&self, other: &PartitionSource) -> bool {
        match (&self.0, &other.0) {
            (Keeper::Log(one), Keeper::Log(other)) => Arc::ptr_eq(one, other),
            (Keeper::Follower(one), Keeper::Follower(other)) => Arc::ptr_eq(one, other),
            _ => false,
        }
    }

    /// The first offset that can be read.
    pub(crate) fn log_start_offset(&self) -> u64 {
        match &self.0 {
            Keeper::Log(log) => log.log_start_offset(),
            Keeper::Follower(follower) => follower.bounds().start,
        }
    }

    /// One above the last offset that a reader of this isolation may see now.
    #[inline]
    pub(crate) fn end(&self, isolation: Isolation) -> u64 {
        match isolation {
            Isolation::ReadCommitted => self.last_stable_offset(),
            Isolation::ReadUncommitted => self.high_watermark(),
        }
    }

    /// One above the last offset that readers may see now and below which every transaction is over.
    #[inline]
    pub(crate) fn last_stable_offset(&self) -> u64 {
        match &self.0 {
            Keeper::Log(log) => log.last_stable_offset(),
            Keeper::Follower(follower) => follower.stable_bounds().end,
        }
    }

    /// One above the last offset that readers may see now, whatever is committed.
    #[inline]
    pub(crate) fn high_watermark(&self) -> u64 {
        match &self.0 {
            Keeper::Log(log) => log.visible_end(),
            Keeper::Follower(follower) => follower.bounds().end,
        }
    }

    /// Whether a reader at offset `from` has something to read, or does not belong there.
    #[inline]
    pub(crate) fn is_ready_at(&self, from: u64, isolation: Isolation) -> bool {
        let (end, high_watermark) = match &self.0 {
            Keeper::Log(log) => (log.end(isolation), log.visible_end()),
            Keeper::Follower(follower) => follower.ends_from(from, isolation),
        };
        !(end..=high_watermark).contains(&from)
    }

    /// Keeps no file open or mapped that was deleted, where another process deletes them: for partitions that nobody reads now.
    pub(crate) fn let_go_of_deleted(&self) {
        if let Keeper::Follower(follower) = &self.0 {
            follower.let_go_of_deleted();
        }
    }

    /// Whether reads are refused: the topic was deleted or the broker closed. Read-only also where nothing can be read at all.
    #[inline]
    pub(crate) fn is_closed(&self) -> bool {
        match &self.0 {
            Keeper::Log(log) => log.is_closed(),
            Keeper::Follower(follower) => follower.check_present().is_err(),
        }
    }

    /// Fails once the topic was deleted or the broker closed.
    pub(crate) fn check_open(&self) -> Result<()> {
        match &self.0 {
            Keeper::Log(log) => log.check_open(),
            Keeper::Follower(follower) => follower.check_open(),
        }
    }

    /// The first visible offset whose record has a timestamp of at least `timestamp_ms`.
    pub(crate) fn offset_for_time(&self, timestamp_ms: i64, isolation: Isolation) -> Result<Option<u64>> {
        match &self.0 {
            Keeper::Log(log) => log.offset_for_time(timestamp_ms, isolation),
            Keeper::Follower(follower) => follower.offset_for_time(timestamp_ms, isolation),
        }
    }

    /// The leader epoch of the record before `offset`, if known.
    pub(crate) fn leader_epoch_before(&self, offset: u64) -> Option<i32> {
        match &self.0 {
            Keeper::Log(log) => log.leader_epoch_before(offset),
            Keeper::Follower(follower) => follower.epochs().epoch_of(offset.checked_sub(1)?),
        }
    }

    /// Where the log went on after the records that a position with this leader epoch has passed, if a power cut took some
    /// of those.
    pub(crate) fn truncated_to(&self, position: u64, leader_epoch: i32) -> Option<u64> {
        match &self.0 {
            Keeper::Log(log) => log.truncated_to(position, leader_epoch),
            Keeper::Follower(follower) => follower.epochs().truncated_to(position, leader_epoch, follower.bounds().end),
        }
    }

    /// Reads for a reader that goes on where it ended, at `place` in a batch, and that has its own copy of the address of this
    /// `partition`. Returns where it ends, too.
    pub(crate) fn fetch_on(
        &self,
        partition: &TopicPartition,
        from: u64,
        limits: FetchLimits,
        isolation: Isolation,
        place: Option<&Place>,
    ) -> Result<(Fetched, Option<Place>)> {
        match &self.0 {
            Keeper::Log(log) => log.fetch_on(partition, from, limits, isolation, place),
            // Nobody sends here.
            Keeper::Follower(follower) => follower.fetch_on(from, limits, isolation, place),
        }
    }

    /// Reads records from offset `from` (included) on.
    pub(crate) fn fetch(&self, from: u64, limits: FetchLimits, isolation: Isolation) -> Result<Fetched> {
        match &self.0 {
            Keeper::Log(log) => log.fetch(from, limits, isolation),
            Keeper::Follower(follower) => follower.fetch(from, limits, isolation),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::disk::simulated::SimulatedDisk;
    use crate::{Broker, Durability, ProducerRecord, RecoveryMode, TopicConfig};

    /// A log that never had another epoch has no file that says so.
    #[test]
    fn the_epoch_of_a_log_that_never_had_another_one_is_the_same_for_who_reads_along() {
        let disk = SimulatedDisk::new(1);
        let builder = || Broker::builder("/data").background(false).disk(&disk);
        let writer = builder().open().unwrap();
        let topic = writer.create_topic("orders", TopicConfig::new().durability(Durability::Os)).unwrap();
        let log = topic.partition(0).unwrap();
        // One in the segment, and one in the tail.
        log.append(&ProducerRecord::to("orders").value(vec![7; 100_000])).unwrap();
        log.append(&ProducerRecord::to("orders").value("small")).unwrap();
        let reader = builder().recovery_mode(RecoveryMode::ReadOnly).open().unwrap();
        for broker in [&writer, &reader] {
            let partition = broker.topic("orders").unwrap().partition(0).unwrap();
            assert_eq!([1, 2].map(|offset| partition.source.leader_epoch_before(offset)), [Some(0); 2]);
        }
    }
}
