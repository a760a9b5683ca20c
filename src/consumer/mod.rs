//! Reading: [`Consumer`] remembers how far it has read in each of its partitions, and parks when there is nothing new.

pub(crate) mod config;
pub(crate) mod handle;
mod position;
mod positions;
mod start;

use std::sync::Arc;
use std::time::Duration;

use crate::broker::Broker;
use crate::broker::store::Store;
use crate::error::{Error, Result};
use crate::group::{CommittedOffset, Membership};
use crate::partition::log::Log;
use crate::partition::{FetchLimits, PartitionSource};
use crate::record::{ConsumerRecord, ConsumerRecords, OwnedRecord, Timestamp};
use crate::topic_partition::TopicPartition;
use config::ConsumerConfig;
use handle::{ConsumerHandle, Ready, Shared};
use position::Position;
use positions::Positions;
use start::{begin, check_offset, fetch_from};

/// Where to go on reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum SeekTo {
    /// The log start.
    Earliest,
    /// The end: only what becomes visible from now on.
    Latest,
    /// This offset, from the log start to the log end.
    Offset(u64),
    /// The first record with this timestamp or a later one; the end if there is none.
    Time(Timestamp),
    /// What the group has committed, or else what the reset policy says.
    Committed,
}

/// A member of a group that reads records. Made by [`Broker::consumer`]; leaves its group when dropped. It may move between
/// threads, and is used by one at a time; [`handle`](Consumer::handle) is for the others.
///
/// # Examples
/// ```
/// use std::time::Duration;
/// # let broker = ottla::Broker::temporary()?;
/// broker.topic("orders")?.produce("customer-1", "2 coffees")?;
/// let mut consumer = broker.consumer("billing", ["orders"])?;
/// let records = consumer.poll(Duration::from_secs(1))?;
/// assert_eq!(records.len(), 1);
/// consumer.commit()?;
/// # Ok::<_, ottla::Error>(())
/// ```
#[derive(Debug)]
pub struct Consumer {
    store: Arc<Store>,
    membership: Membership,
    config: ConsumerConfig,
    /// Whether the partitions follow from the topics, or were assigned by hand.
    follows_topics: bool,
    seen_topics_version: Option<u64>,
    positions: Positions,
    shared: Arc<Shared>,
    reset_count: u64,
}

impl Broker {
    /// A consumer of `topics` in `group`, with the default settings.
    ///
    /// # Errors
    /// As [`consumer_with`](Broker::consumer_with).
    pub fn consumer<S: Into<String>>(&self, group: &str, topics: impl IntoIterator<Item = S>) -> Result<Consumer> {
        self.consumer_with(ConsumerConfig::new(group).topics(topics))
    }

    /// A consumer with other settings.
    ///
    /// # Errors
    /// [`Error::GroupInUse`] if the group has a member, [`Error::InvalidConfig`], [`Error::ReadOnly`], [`Error::Closed`];
    /// [`Error::Corrupt`] if the committed offsets cannot be read.
    pub fn consumer_with(&self, config: ConsumerConfig) -> Result<Consumer> {
        config.validate()?;
        let membership = self.store.coordinator()?.join(&config.group)?;
        let shared = Arc::<Shared>::default();
        let mut consumer = Consumer {
            store: Arc::clone(&self.store),
            membership,
            follows_topics: !config.topics.is_empty(),
            config,
            seen_topics_version: None,
            positions: Positions::new(Arc::clone(&shared.waiter)),
            shared,
            reset_count: 0,
        };
        consumer.store.watchers().register(&consumer.shared.waiter);
        consumer.follow_topics()?;
        Ok(consumer)
    }

    /// What `group` has committed in a partition, if anything.
    ///
    /// # Errors
    /// [`Error::ReadOnly`], [`Error::Closed`].
    pub fn committed(&self, group: &str, partition: &TopicPartition) -> Result<Option<CommittedOffset>> {
        let coordinator = self.store.coordinator_if_used()?;
        Ok(coordinator.and_then(|coordinator| coordinator.committed(group, partition)))
    }
}

impl Consumer {
    /// The name of the group.
    #[must_use]
    pub fn group(&self) -> &str {
        self.membership.group()
    }

    /// Returns new records, waiting up to `timeout` for the first. Empty if there was none, and then nothing was skipped.
    /// What is returned counts as read: the next poll goes on behind it.
    ///
    /// # Errors
    /// [`Error::Wakeup`] after [`ConsumerHandle::wakeup`]; [`Error::Corrupt`] where the next record is damaged, again and again
    /// until [`seek`](Consumer::seek) passes it (to the end of its offsets, say); [`Error::LogTruncated`] where a power cut took
    /// records that the committed offset had passed; [`Error::OffsetOutOfRange`] with [`OffsetReset::Error`](crate::OffsetReset::Error);
    /// [`Error::CodecUnavailable`], [`Error::Closed`].
    pub fn poll(&mut self, timeout: Duration) -> Result<ConsumerRecords> {
        let mut deadline = None;
        loop {
            // Before everything else that may have woken this consumer, so that none of it is missed.
            self.positions.take_delivered();
            if self.shared.take_wakeup() {
                return Err(Error::Wakeup);
            }
            self.follow_topics()?;
            let records = self.fetch()?;
            if !records.is_empty() || timeout.is_zero() {
                return Ok(records);
            }
            let now = self.store.monotonic();
            let end = *deadline.get_or_insert(now.saturating_add(timeout));
            let Some(left) = end.checked_sub(now).filter(|left| !left.is_zero()) else { return Ok(records) };
            // One that is active still has more than was looked at, or got records meanwhile.
            if self.positions.active_count() == 0 {
                self.shared.waiter.park(left);
            }
        }
    }

    /// Reads from the partitions in turn until the limits are reached.
    fn fetch(&mut self) -> Result<ConsumerRecords> {
        let mut records = ConsumerRecords::default();
        let mut left = FetchLimits {
            bytes_max: self.config.fetch_max_bytes as usize,
            records_max: self.config.max_poll_records as usize,
        };
        let mut turns = self.positions.active_count();
        while let Some(position) = self.positions.next_ready(&mut turns) {
            let fetched = match fetch_from(position, &self.membership, &self.config, &mut self.reset_count, left) {
                // What was read from other partitions is returned first; the error comes again.
                Err(_) if !records.is_empty() => {
                    self.positions.put_back();
                    break;
                }
                // Its topic was deleted, or the broker closed, since the last look at those.
                Err(Error::Closed { .. }) if self.follows_topics => continue,
                // The others first next time, or they would never be read before somebody seeks.
                Err(error) => return Err(error),
                Ok(fetched) => fetched,
            };
            position.advance(&fetched);
            if fetched.record_count == 0 {
                continue;
            }
            let bytes: usize = fetched.batches.iter().map(|batch| batch.records.len()).sum();
            left.bytes_max = left.bytes_max.saturating_sub(bytes);
            left.records_max -= fetched.record_count;
            records.push(fetched);
            if left.bytes_max == 0 || left.records_max == 0 {
                break;
            }
        }
        Ok(records)
    }

    /// Whether a poll would return at once.
    fn is_ready(&mut self) -> bool {
        self.shared.is_woken()
            || self.store.check_open().is_err()
            || self.seen_topics_version != Some(self.store.topics_version())
            || self.positions.has_ready()
    }

    /// Takes up partitions that are new, and lets go of those that are gone.
    fn follow_topics(&mut self) -> Result<()> {
        let version = self.store.topics_version();
        if self.seen_topics_version == Some(version) {
            return self.store.check_open();
        }
        if self.follows_topics {
            let topics = self.store.topics()?;
            let wanted = self.config.topics.iter().filter_map(|name| topics.get(name.as_str()));
            let logs: Vec<Arc<Log>> = wanted.flat_map(|topic| topic.logs()).collect();
            self.read_from(logs);
        }
        self.seen_topics_version = Some(version);
        Ok(())
    }

    /// Makes `logs` the partitions to read from; positions in those that stay are kept.
    fn read_from(&mut self, logs: Vec<Arc<Log>>) {
        self.positions.set(logs);
        self.shared.positions.store(Arc::new(self.positions.iter().map(|p| Arc::clone(&p.shared)).collect()));
    }

    /// Reads from exactly these partitions from now on, whatever topics were given. Each must be named once.
    ///
    /// # Errors
    /// [`Error::UnknownTopic`], [`Error::UnknownPartition`]: nothing was changed.
    pub fn assign(&mut self, partitions: &[TopicPartition]) -> Result<()> {
        let mut logs: Vec<Arc<Log>> = Vec::with_capacity(partitions.len());
        for partition in partitions {
            let topic = self.store.topic(partition.topic())?;
            let sources = topic.partitions.load();
            let found = sources.get(partition.partition() as usize).map(|partition| &partition.source);
            let Some(PartitionSource::Log(log)) = found else {
                return Err(topic.unknown_partition(partition.partition()));
            };
            logs.push(Arc::clone(log));
        }
        self.follows_topics = false;
        self.read_from(logs);
        Ok(())
    }

    /// The partitions that the consumer reads, in the order in which it was told of them.
    #[must_use]
    pub fn assignment(&self) -> Vec<TopicPartition> {
        self.positions.in_order().into_iter().map(|position| position.partition().clone()).collect()
    }

    /// Commits the position in every partition: everything that poll has returned. Returns when that is as durable as the
    /// broker's default demands.
    ///
    /// # Errors
    /// [`Error::DiskFull`], [`Error::Poisoned`], [`Error::Closed`]: what was committed before is unchanged.
    pub fn commit(&mut self) -> Result<()> {
        // What was read from a topic that is deleted by now must not count for the next one of its name.
        self.follow_topics()?;
        let to_commit = |position: &Position| Some((position.partition().clone(), position.to_commit()?));
        let offsets: Vec<_> = self.positions.in_order().into_iter().filter_map(to_commit).collect();
        self.commit_offsets(&offsets)
    }

    /// Commits `record` and all before it in its partition; nothing in other partitions.
    ///
    /// # Errors
    /// As [`commit`](Consumer::commit); [`Error::NotAssigned`] if the consumer does not read that partition.
    pub fn commit_through(&mut self, record: &ConsumerRecord<'_>) -> Result<()> {
        self.store.check_open()?;
        self.positions.get_mut(record.topic_partition())?.log().check_open()?;
        let committed = CommittedOffset { offset: record.offset() + 1, leader_epoch: Some(record.leader_epoch()) };
        self.commit_offsets(&[(record.topic_partition().clone(), committed)])
    }

    fn commit_offsets(&mut self, offsets: &[(TopicPartition, CommittedOffset)]) -> Result<()> {
        self.store.check_open()?;
        for (partition, _) in offsets {
            self.positions.get_mut(partition)?.log().check_open()?;
        }
        if offsets.is_empty() {
            return Ok(());
        }
        self.membership.commit(offsets, self.store.now_ms())?;
        for (partition, committed) in offsets {
            if let Ok(position) = self.positions.get_mut(partition) {
                position.committed = Some(committed.offset);
            }
        }
        Ok(())
    }

    /// Goes to another place in a partition; the next poll reads from there.
    ///
    /// # Errors
    /// [`Error::OffsetOutOfRange`] for an offset outside the log, [`Error::NotAssigned`] if the consumer does not read that
    /// partition; by time, [`Error::Corrupt`] and [`Error::Io`]. The position is unchanged then.
    pub fn seek(&mut self, partition: &TopicPartition, to: SeekTo) -> Result<()> {
        self.follow_topics()?;
        let reset = self.config.offset_reset;
        let membership = &self.membership;
        let position = self.positions.get_mut(partition)?;
        let log = Arc::clone(position.log());
        let offset = match to {
            SeekTo::Earliest => log.log_start_offset(),
            SeekTo::Latest => log.visible_end(),
            SeekTo::Offset(offset) => check_offset(&log, offset)?,
            SeekTo::Time(t) => log.offset_for_time(t.as_millis())?.unwrap_or_else(|| log.visible_end()),
            SeekTo::Committed => {
                begin(position, membership, reset)?;
                self.positions.reactivate(partition);
                return Ok(());
            }
        };
        position.go_to(offset, None);
        self.positions.reactivate(partition);
        Ok(())
    }

    /// Returns nothing from these partitions until [`resume`](Consumer::resume).
    ///
    /// # Errors
    /// [`Error::NotAssigned`] if the consumer does not read one of them; those before it are paused.
    pub fn pause(&mut self, partitions: &[TopicPartition]) -> Result<()> {
        self.set_paused(partitions, true)
    }

    /// Returns records from these partitions again.
    ///
    /// # Errors
    /// [`Error::NotAssigned`] if the consumer does not read one of them; those before it are resumed.
    pub fn resume(&mut self, partitions: &[TopicPartition]) -> Result<()> {
        self.set_paused(partitions, false)
    }

    fn set_paused(&mut self, partitions: &[TopicPartition], is_paused: bool) -> Result<()> {
        for partition in partitions {
            self.positions.get_mut(partition)?.is_paused = is_paused;
            if !is_paused {
                self.positions.reactivate(partition);
            }
        }
        Ok(())
    }

    /// The offset of the next record that poll returns from a partition; `None` if it was not polled yet, or is not read.
    #[must_use]
    pub fn position(&self, partition: &TopicPartition) -> Option<u64> {
        self.positions.get(partition)?.next_offset()
    }

    /// What the group has committed in a partition, if anything.
    #[must_use]
    pub fn committed(&self, partition: &TopicPartition) -> Option<CommittedOffset> {
        self.membership.committed(partition)
    }

    /// How many offsets of a partition were not read yet; from the log start if it was not polled yet. `None` if the consumer
    /// does not read it.
    #[must_use]
    pub fn lag(&self, partition: &TopicPartition) -> Option<u64> {
        Some(self.positions.get(partition)?.shared.lag())
    }

    /// How often the reset policy had to choose a new position because the old one was no longer in the log.
    #[must_use]
    pub fn reset_count(&self) -> u64 {
        self.reset_count
    }

    /// Iterates over copies of the records that poll returns, until none came for `timeout`. An error is returned and ends the
    /// iteration only if it is [fatal](Error::is_fatal).
    pub fn iter(&mut self, timeout: Duration) -> impl Iterator<Item = Result<OwnedRecord>> + use<'_> {
        let mut buffered = Vec::new().into_iter();
        let mut has_ended = false;
        std::iter::from_fn(move || {
            if has_ended {
                return None;
            }
            if let Some(record) = buffered.next() {
                return Some(Ok(record));
            }
            match self.poll(timeout) {
                Ok(records) => {
                    buffered = records.iter().map(|record| record.detach()).collect::<Vec<_>>().into_iter();
                    buffered.next().map(Ok)
                }
                Err(error) => {
                    has_ended = error.is_fatal();
                    Some(Err(error))
                }
            }
        })
    }

    /// A handle for other threads.
    #[must_use]
    pub fn handle(&self) -> ConsumerHandle {
        ConsumerHandle { shared: Arc::clone(&self.shared) }
    }

    /// A future that completes when a poll would return at once, under any executor: await it, then call
    /// `poll(Duration::ZERO)`.
    ///
    /// # Examples
    /// ```
    /// # let broker = ottla::Broker::temporary()?;
    /// # async fn consume(consumer: &mut ottla::Consumer) -> ottla::Result<ottla::ConsumerRecords> {
    /// consumer.ready().await;
    /// consumer.poll(std::time::Duration::ZERO)
    /// # }
    /// # Ok::<_, ottla::Error>(())
    /// ```
    pub fn ready(&mut self) -> Ready<'_> {
        Ready { consumer: self }
    }

    /// Leaves the group. Nothing is committed.
    ///
    /// # Errors
    /// None at present.
    pub fn close(self) -> Result<()> {
        Ok(())
    }
}

impl Drop for Consumer {
    fn drop(&mut self) {
        self.store.watchers().unregister(&self.shared.waiter);
    }
}
