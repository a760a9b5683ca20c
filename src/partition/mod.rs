//! One log made of segments: appending, reading, group commit, recovery.
//!
//! [`Partition`] is the handle that users hold; `log` is what it points at, `log_core` what that shares with `appender`, its one
//! writer, and `reader`, its readers. `group_commit` is who syncs, `checkpoint` what moves durability from the tail into segments,
//! `recovery` what opening does.

mod appender;
pub(crate) mod bell;
pub(crate) mod broken;
pub(crate) mod budget;
pub(crate) mod budget_policy;
mod checkpoint;
pub(crate) mod cleanup_policy;
pub(crate) mod compaction;
pub(crate) mod config;
mod counters;
pub(crate) mod durability;
pub(crate) mod durable_wait;
pub(crate) mod environment;
mod follower;
#[cfg(feature = "testing")]
pub(crate) mod fuzzing;
pub(crate) mod group_commit;
pub(crate) mod isolation;
pub(crate) mod leader_epoch;
pub(crate) mod log;
pub(crate) mod log_copy;
mod log_core;
pub(crate) mod log_id;
pub(crate) mod log_offer;
pub(crate) mod log_replica;
pub(crate) mod log_spec;
pub(crate) mod log_state;
mod log_view;
pub(crate) mod manifest;
pub(crate) mod mirror;
pub(crate) mod offsets;
pub(crate) mod partition_metadata;
pub(crate) mod partition_metrics;
mod partition_source;
pub(crate) mod producer_state;
pub(crate) mod protection;
mod quarantine;
mod reader;
pub(crate) mod recovery;
pub(crate) mod recovery_mode;
pub(crate) mod recovery_point;
pub(crate) mod recovery_report;
mod returning;
pub(crate) mod seal_queue;
pub(crate) mod tail_metrics;
mod ticket;
pub(crate) mod time_histogram;
pub(crate) mod timestamp_type;
pub(crate) mod topic_settings;
pub(crate) mod verification;
pub(crate) mod waiters;

use std::any::Any;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

pub(crate) use appender::{AppendResult, Appended};
pub(crate) use follower::{Durabilities, Follower, Questions, Surroundings};
pub(crate) use partition_source::PartitionSource;
pub(crate) use reader::{FetchLimits, Place};
pub(crate) use ticket::Ticket;
pub(crate) use waiters::{Registration, Waiter, Watchers};

use crate::error::{Error, Result};
use crate::record::{ConsumerRecords, Fetched, OwnedRecord, ProducerRecord, Timestamp};
use crate::topic_partition::TopicPartition;
use durability::Durability;
use isolation::Isolation;
use log::Log;

/// One partition of a topic: the log itself, without groups. A cheap handle; clones name the same log, and each keeps the
/// broker open.
///
/// # Examples
/// ```
/// use ottla::ProducerRecord;
/// # let broker = ottla::Broker::temporary()?;
/// let partition = broker.topic("orders")?.partition(0)?;
/// let offset = partition.append(&ProducerRecord::new().key("customer-1").value("2 coffees"))?;
/// assert_eq!((offset, partition.log_end_offset()), (0, 1));
///
/// // From any offset on, without a group: nothing is remembered for the reader.
/// let records = partition.read(offset, 64 * 1024)?;
/// for record in &records {
///     println!("{}: {}", record.address(), record.value_str()?);
/// }
/// assert_eq!(records.len(), 1);
/// # Ok::<_, ottla::Error>(())
/// ```
#[derive(Clone)]
pub struct Partition {
    source: PartitionSource,
    /// The broker, as something that only has to stay.
    _broker: Arc<dyn Any + Send + Sync>,
}

impl Partition {
    pub(crate) fn new(source: PartitionSource, broker: Arc<dyn Any + Send + Sync>) -> Partition {
        Partition { source, _broker: broker }
    }

    /// The topic and number of this partition.
    #[must_use]
    pub fn topic_partition(&self) -> &TopicPartition {
        self.source.partition()
    }

    /// Appends one record and returns its offset. The record need not name a topic or partition; if it does, it must be this one.
    ///
    /// # Errors
    /// [`Error::InvalidRecord`], [`Error::RecordTooLarge`], [`Error::DiskFull`], [`Error::Io`], [`Error::Poisoned`],
    /// [`Error::ReadOnly`], [`Error::Closed`]: nothing was appended. [`Error::NotDurable`]: the record was appended, and is not
    /// durable yet. [`Error::InDoubt`]: the write or sync of this very record failed, and it is not known whether it will be there
    /// after reopening. [`Error::outcome`] says which of the three.
    ///
    /// # Examples
    /// ```
    /// use ottla::ProducerRecord;
    /// # let broker = ottla::Broker::temporary()?;
    /// let partition = broker.topic("orders")?.partition(0)?;
    /// assert_eq!(partition.append(&ProducerRecord::new().key("customer-1").value("2 coffees"))?, 0);
    /// assert_eq!(partition.append(&ProducerRecord::new().key("customer-2").value("1 tea"))?, 1);
    /// # Ok::<_, ottla::Error>(())
    /// ```
    pub fn append(&self, record: &ProducerRecord<'_>) -> Result<u64> {
        Ok(self.append_batch(std::slice::from_ref(record))?.start)
    }

    /// Appends `records` in one piece, all of them or none whatever happens, and returns their offsets.
    ///
    /// # Errors
    /// As [`append`](Partition::append); the size that counts is that of all records together.
    ///
    /// # Examples
    /// ```
    /// use ottla::ProducerRecord;
    /// # let broker = ottla::Broker::temporary()?;
    /// let partition = broker.topic("orders")?.partition(0)?;
    /// let records = ["a", "b"].map(|value| ProducerRecord::new().value(value));
    /// assert_eq!(partition.append_batch(&records)?, 0..2);
    /// # Ok::<_, ottla::Error>(())
    /// ```
    #[inline]
    pub fn append_batch(&self, records: &[ProducerRecord<'_>]) -> Result<Range<u64>> {
        let log = self.writable()?;
        if records.is_empty() {
            log.check_whole()?;
            let end = log.log_end_offset();
            return Ok(end..end);
        }
        if !records.iter().all(|record| self.is_meant(record)) {
            let reason = "it names another topic or partition than it is appended to";
            return Err(Error::InvalidRecord { partition: self.topic_partition().clone(), reason });
        }
        let appended = log.append(records, Durability::Os).map_err(|error| *error)?;
        Ok(appended.offsets())
    }

    fn is_meant(&self, record: &ProducerRecord<'_>) -> bool {
        let here = self.topic_partition();
        record.get_topic().is_none_or(|topic| topic == here.topic())
            && record.get_partition().is_none_or(|number| number == here.partition())
    }

    /// Returns the committed records from offset `from` (included) on: at least one if there is one, then as many as fit in
    /// `max_bytes` bytes. At the [last stable offset](Partition::last_stable_offset) and behind it the result is empty.
    ///
    /// # Errors
    /// [`Error::OffsetOutOfRange`] below the log start or above the log end; [`Error::Corrupt`] if what is there is damaged (to
    /// go on, read from the end of its offsets); [`Error::CodecUnavailable`].
    ///
    /// # Examples
    /// ```
    /// # let broker = ottla::Broker::temporary()?;
    /// let orders = broker.topic("orders")?;
    /// for n in 0..3 { orders.produce("customer-1", n.to_string())?; }
    /// let partition = orders.partition(0)?;
    /// let records = partition.read(1, 64 * 1024)?;
    /// assert_eq!(records.iter().map(|record| record.offset()).collect::<Vec<_>>(), [1, 2]);
    /// // Where to go on: at the end there is nothing.
    /// let next = records.next_offset(partition.topic_partition()).unwrap();
    /// assert!(partition.read(next, 64 * 1024)?.is_empty());
    /// # Ok::<_, ottla::Error>(())
    /// ```
    pub fn read(&self, from: u64, max_bytes: usize) -> Result<ConsumerRecords> {
        let limits = FetchLimits { bytes_max: max_bytes, records_max: usize::MAX };
        self.fetch(from, limits).map(ConsumerRecords::from)
    }

    /// Returns a copy of the record at `offset`; `None` if there is none, be it that none was appended there yet, that it is not
    /// visible yet, or that it is no longer there.
    ///
    /// # Errors
    /// [`Error::Corrupt`] if what is there is damaged; [`Error::CodecUnavailable`], [`Error::Io`], [`Error::Closed`].
    ///
    /// # Examples
    /// ```
    /// # let broker = ottla::Broker::temporary()?;
    /// let topic = broker.topic("orders")?;
    /// let sent = topic.produce("customer-1", "2 coffees")?;
    /// let partition = topic.partition(sent.partition())?;
    /// assert_eq!(partition.get(sent.offset())?.unwrap().value_str()?, "2 coffees");
    /// assert_eq!(partition.get(1)?, None);
    /// # Ok::<_, ottla::Error>(())
    /// ```
    pub fn get(&self, offset: u64) -> Result<Option<OwnedRecord>> {
        let records = match self.fetch(offset, FetchLimits { bytes_max: 1, records_max: 1 }) {
            Err(Error::OffsetOutOfRange { .. }) => return Ok(None),
            fetched => ConsumerRecords::from(fetched?),
        };
        Ok(records.iter().next().filter(|record| record.offset() == offset).map(|record| record.detach()))
    }

    pub(crate) fn fetch(&self, from: u64, limits: FetchLimits) -> Result<Fetched> {
        self.source.fetch(from, limits, Isolation::ReadCommitted)
    }

    /// Iterates over copies of the committed records from offset `from` (included) to the
    /// [last stable offset](Partition::last_stable_offset) as it is when it gets there.
    /// An error is returned once and ends the iteration.
    ///
    /// # Examples
    /// ```
    /// # let broker = ottla::Broker::temporary()?;
    /// let topic = broker.topic("orders")?;
    /// for n in 0..3 { topic.produce("customer-1", n.to_string())?; }
    /// for record in topic.partition(0)?.iter_from(1) {
    ///     println!("{}", record?.value_str()?); // 1, 2
    /// }
    /// # Ok::<_, ottla::Error>(())
    /// ```
    pub fn iter_from(&self, from: u64) -> impl Iterator<Item = Result<OwnedRecord>> + use<> {
        RecordIter { partition: self.clone(), next_offset: Some(from), buffered: Vec::new().into_iter() }
    }

    /// The first offset that can be read; 0 if the partition is so damaged that it is not known, and every read fails.
    #[must_use]
    pub fn log_start_offset(&self) -> u64 {
        self.source.log_start_offset()
    }

    /// One above the last offset that was appended; 0 if the partition is so damaged that it is not known, and every read fails.
    #[must_use]
    pub fn log_end_offset(&self) -> u64 {
        self.source.log_bounds().end
    }

    /// One above the last offset that a reader of [`Isolation::ReadUncommitted`](crate::Isolation::ReadUncommitted) sees: below the
    /// log end while appended records wait for their sync (`Durability::Always`).
    ///
    /// # Examples
    /// ```
    /// use ottla::ProducerRecord;
    /// # let broker = ottla::Broker::temporary()?;
    /// let partition = broker.topic("orders")?.partition(0)?;
    /// partition.append(&ProducerRecord::to("orders").value("2 coffees"))?;
    /// assert_eq!((partition.last_stable_offset(), partition.high_watermark()), (1, 1));
    /// # Ok::<_, ottla::Error>(())
    /// ```
    #[must_use]
    pub fn high_watermark(&self) -> u64 {
        self.source.high_watermark()
    }

    /// One above the last offset that a reader of [`Isolation::ReadCommitted`](crate::Isolation::ReadCommitted) sees: never above the
    /// [high watermark](Partition::high_watermark), and below it only where the log has a transaction that is open: it ends where the
    /// first one begins.
    #[must_use]
    pub fn last_stable_offset(&self) -> u64 {
        self.source.last_stable_offset()
    }

    /// The offset below which everything is known to survive a power cut. It never goes back, and what lies above may be durable,
    /// too. If the broker is open read-only, it is what can be seen of the process that writes, and never more than that knows. With
    /// [`Durability::Os`](crate::Durability::Os), records of a process that was killed count once the maintenance or a flush has
    /// synced them.
    #[must_use]
    pub fn durable_offset(&self) -> u64 {
        self.source.durable_offset()
    }

    /// Returns once everything below `offset` survives a power cut, whatever the topic's durability.
    ///
    /// # Errors
    /// [`Error::OffsetOutOfRange`] if nothing was appended there yet, [`Error::Poisoned`] if a write or sync failed.
    /// [`Error::DiskFull`], [`Error::Io`] if a sync could not begin: if the error is retriable, the next call may succeed.
    ///
    /// # Examples
    /// ```
    /// use ottla::{Broker, Durability, ProducerRecord};
    /// # let dir = tempfile::tempdir().unwrap();
    /// let broker = Broker::builder(dir.path()).durability(Durability::Os).open()?;
    /// let partition = broker.topic("orders")?.partition(0)?;
    /// let offset = partition.append(&ProducerRecord::new().value("2 coffees"))?;
    /// partition.wait_durable(offset + 1)?; // This record, and all before it.
    /// assert!(partition.durable_offset() > offset);
    /// # Ok::<_, ottla::Error>(())
    /// ```
    pub fn wait_durable(&self, offset: u64) -> Result<()> {
        let log = self.writable()?;
        log.check_whole()?;
        log.check_not_forked()?;
        let (log_start_offset, log_end_offset) = (log.log_start_offset(), log.log_end_offset());
        if offset > log_end_offset {
            let partition = log.spec.partition.clone();
            return Err(Error::OffsetOutOfRange { partition, requested: offset, log_start_offset, log_end_offset });
        }
        log.wait_durable(offset)
    }

    /// The first offset below the [last stable one](Partition::last_stable_offset) whose record has timestamp `t` or a later one;
    /// `None` if there is none. Where the log has transactions, that may be the offset of a marker or of an aborted record, as with
    /// Kafka: a read goes on behind it.
    ///
    /// # Errors
    /// [`Error::Corrupt`], [`Error::Io`].
    ///
    /// # Examples
    /// ```
    /// use ottla::{ProducerRecord, Timestamp};
    /// # let broker = ottla::Broker::temporary()?;
    /// let partition = broker.topic("orders")?.partition(0)?;
    /// for ms in [1000, 2000] {
    ///     partition.append(&ProducerRecord::new().timestamp(Timestamp::from_millis(ms)))?;
    /// }
    /// assert_eq!(partition.offset_for_time(Timestamp::from_millis(1500))?, Some(1));
    /// # Ok::<_, ottla::Error>(())
    /// ```
    pub fn offset_for_time(&self, t: Timestamp) -> Result<Option<u64>> {
        self.source.offset_for_time(t.as_millis(), Isolation::ReadCommitted)
    }

    /// The log for writing.
    #[inline]
    pub(crate) fn writable(&self) -> Result<&Arc<Log>> {
        self.source.writable("write")
    }
}

impl fmt::Debug for Partition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Partition")
            .field("topic_partition", &format_args!("{}", self.topic_partition()))
            .field("log_start_offset", &self.log_start_offset())
            .field("log_end_offset", &self.log_end_offset())
            .finish_non_exhaustive()
    }
}

/// Copies records piece by piece.
struct RecordIter {
    partition: Partition,
    /// `None` after an error.
    next_offset: Option<u64>,
    buffered: std::vec::IntoIter<OwnedRecord>,
}

/// So much is copied at a time.
const ITER_BYTES: usize = 64 << 10;

impl Iterator for RecordIter {
    type Item = Result<OwnedRecord>;

    fn next(&mut self) -> Option<Result<OwnedRecord>> {
        loop {
            if let Some(record) = self.buffered.next() {
                return Some(Ok(record));
            }
            let from = self.next_offset?;
            match self.partition.read(from, ITER_BYTES) {
                Err(error) => {
                    self.next_offset = None;
                    return Some(Err(error));
                }
                Ok(records) => {
                    let next = records.next_offset(self.partition.topic_partition())?;
                    if next == from {
                        return None;
                    }
                    self.next_offset = Some(next);
                    self.buffered = records.iter().map(|record| record.detach()).collect::<Vec<_>>().into_iter();
                }
            }
        }
    }
}
