//! Reading: [`Consumer`] remembers how far it has read in each of its partitions, and parks when there is nothing new.
//!
//! `subscribe` says which topics, `rebalance` keeps up with the group, `positions` knows which partitions to look at, `cursor`
//! reads in one and knows where to begin there, `seek` goes elsewhere, `poll` hands out many records and `next_record` one at a
//! time, and `commit` remembers what was dealt with. `handle` is for other threads, `ready` for tasks.

// First, so that the page of `Consumer` begins with it.
mod poll;

mod ahead;
mod commit;
pub(crate) mod config;
mod cursor;
pub(crate) mod handle;
pub(crate) mod listener;
mod next_record;
mod pauses;
mod position;
mod positions;
pub(crate) mod ready;
mod rebalance;
pub(crate) mod reset;
pub(crate) mod seek;
#[cfg(feature = "futures")]
pub(crate) mod stream;
mod subscribe;
mod subscription;

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::broker::Broker;
use crate::broker::store::Store;
use crate::error::{ClosedBy, Error, Result};
use crate::group::committed_offset::CommittedOffset;
use crate::group::membership::Membership;
use crate::partition::FetchLimits;
use crate::sync::hint;
use crate::topic_partition::TopicPartition;
use ahead::Ahead;
use config::ConsumerConfig;
use cursor::{Counts, Cursor, Read};
use handle::{ConsumerHandle, Shared};
use pauses::Pauses;
use position::Position;
use positions::{Positions, Turns};

/// Reads records, as a member of a group. Made by [`Broker::consumer`].
///
/// [`poll`](Consumer::poll) returns records, [`commit`](Consumer::commit) remembers for the group how far it is, and whoever reads
/// a partition next begins there. The [guide](crate::guide::groups) says how members share the partitions.
///
/// A consumer leaves its group when it is dropped. It may move between threads, and one thread uses it at a time;
/// [`handle`](Consumer::handle) is for the others.
///
/// # Examples
/// ```
/// use std::time::Duration;
/// # let broker = ottla::Broker::temporary()?;
/// let orders = broker.topic("orders")?;
/// orders.produce("customer-1", "2 coffees")?;
/// orders.produce("customer-2", "1 tea")?;
///
/// let mut consumer = broker.consumer("billing", ["orders"])?;
/// loop {
///     let records = consumer.poll(Duration::from_millis(100))?;
///     if records.is_empty() {
///         break; // Nothing came for so long.
///     }
///     for record in &records {
///         println!("{} {}: {}", record.address(), record.key_str()?, record.value_str()?);
///     }
///     consumer.commit()?; // What this poll returned is done.
/// }
/// consumer.close()?;
///
/// // Another member of the group finds nothing left to do.
/// let mut consumer = broker.consumer("billing", ["orders"])?;
/// assert!(consumer.poll(Duration::ZERO)?.is_empty());
/// # Ok::<_, ottla::Error>(())
/// ```
pub struct Consumer {
    store: Arc<Store>,
    membership: Membership,
    config: ConsumerConfig,
    seen_topics_version: Option<u64>,
    positions: Positions,
    /// What was read and not handed out.
    ahead: Option<Ahead>,
    shared: Arc<Shared>,
    /// Partitions that the listener is to be told of in the next poll.
    untold: Vec<TopicPartition>,
    /// What the listener was told to be this consumer's; empty if there is none.
    told: BTreeSet<TopicPartition>,
    /// When to ask the group again, by the monotonic clock, if it does not call before.
    group_due: Option<Duration>,
    auto_commit_due: Option<Duration>,
    counts: Counts,
    /// Between looks at what another process may have sent.
    pauses: Pauses,
    is_polling: bool,
    is_in_listener: bool,
    /// It was put out of its group, and did not join again since.
    was_put_out: bool,
    life: Life,
}

/// In short: the store beneath it is a long story.
impl fmt::Debug for Consumer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Consumer")
            .field("group", &self.group())
            .field("member_id", &self.member_id())
            .field("partition_count", &self.positions.iter().count())
            .finish_non_exhaustive()
    }
}

/// Whether a consumer can still be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Life {
    Open,
    /// Another consumer has the place of this static member.
    Fenced,
    Closed,
}

impl Broker {
    /// A consumer of `topics` in `group`, with the default settings. The topics have to be there.
    ///
    /// # Errors
    /// As [`consumer_with`](Broker::consumer_with).
    ///
    /// # Examples
    /// ```
    /// # let broker = ottla::Broker::temporary()?;
    /// broker.topic("orders")?;
    /// let consumer = broker.consumer("billing", ["orders"])?;
    /// assert_eq!(consumer.assignment().len(), 1);
    /// # Ok::<_, ottla::Error>(())
    /// ```
    pub fn consumer<S: AsRef<str>>(&self, group: &str, topics: impl IntoIterator<Item = S>) -> Result<Consumer> {
        self.consumer_with(ConsumerConfig::new(group).topics(topics))
    }

    /// A consumer with other settings. If the broker is open read-only, give it no topics, and [assign](Consumer::assign)
    /// partitions to it: it begins at what the group has committed by then, and commits nothing.
    ///
    /// # Errors
    /// [`Error::UnknownTopic`] for a topic that is not there, unless the consumer is to
    /// [wait for it](ConsumerConfig::wait_for_topics); [`Error::InvalidTopic`] for one that can never be.
    /// [`Error::InconsistentAssignor`] if the group's members divide partitions in another way; [`Error::InvalidConfig`],
    /// [`Error::ReadOnly`], [`Error::Closed`]; [`Error::Corrupt`] if the committed offsets cannot be read.
    ///
    /// # Examples
    /// ```
    /// use ottla::{ConsumerConfig, OffsetReset};
    /// # let broker = ottla::Broker::temporary()?;
    /// # broker.topic("orders")?;
    /// let config = ConsumerConfig::new("news").topics(["orders"]).offset_reset(OffsetReset::Latest);
    /// let consumer = broker.consumer_with(config)?;
    /// # Ok::<_, ottla::Error>(())
    /// ```
    pub fn consumer_with(&self, config: ConsumerConfig) -> Result<Consumer> {
        config.validate()?;
        let shared = Arc::<Shared>::default();
        let mut consumer = Consumer {
            store: Arc::clone(&self.store),
            membership: self.membership(&config)?,
            positions: Positions::new(Arc::clone(&shared.waiter), config.isolation),
            config,
            seen_topics_version: None,
            ahead: None,
            shared,
            untold: Vec::new(),
            told: BTreeSet::new(),
            group_due: None,
            auto_commit_due: None,
            counts: Counts::default(),
            pauses: Pauses::new(self.store.is_read_only()),
            is_polling: false,
            is_in_listener: false,
            was_put_out: false,
            life: Life::Open,
        };
        consumer.check_topics(&consumer.config.subscription)?;
        consumer.store.watchers().register(&consumer.shared.waiter);
        consumer.begin_subscription()?;
        Ok(consumer)
    }

    /// Read-only there is no group to join, and nothing can be committed.
    fn membership(&self, config: &ConsumerConfig) -> Result<Membership> {
        if !self.store.is_read_only() {
            return Ok(Membership::new(self.store.coordinator()?, &config.group));
        }
        let membership = Membership::without_coordinator(&config.group, self.store.committed_of(&config.group)?);
        if !config.subscription.is_empty() {
            membership.check_can_join()?;
        }
        if config.auto_commit { Err(Error::ReadOnly { action: "commit by itself" }) } else { Ok(membership) }
    }

    /// What `group` has committed in a partition, if anything. If the broker is open read-only: what the writing process has
    /// committed so far.
    ///
    /// # Errors
    /// [`Error::Closed`]; [`Error::Corrupt`] if what the group has committed cannot be known.
    ///
    /// # Examples
    /// ```
    /// # let broker = ottla::Broker::temporary()?;
    /// # broker.topic("orders")?.produce("customer-1", "2 coffees")?;
    /// # let mut consumer = broker.consumer("billing", ["orders"])?;
    /// # consumer.poll(std::time::Duration::from_secs(1))?;
    /// consumer.commit()?;
    /// let orders = ottla::TopicPartition::new("orders", 0);
    /// assert_eq!(broker.committed("billing", &orders)?.map(|committed| committed.offset()), Some(1));
    /// # Ok::<_, ottla::Error>(())
    /// ```
    pub fn committed(&self, group: &str, partition: &TopicPartition) -> Result<Option<CommittedOffset>> {
        self.store.committed(group, partition)
    }
}

impl Consumer {
    /// The name of the group.
    #[must_use]
    pub fn group(&self) -> &str {
        self.membership.group()
    }

    /// The id that the group gave to this consumer; `None` if it is not a member now.
    #[must_use]
    pub fn member_id(&self) -> Option<&str> {
        self.membership.member_id()
    }

    /// The last generation of the group in which this consumer took part; `None` if it is not a member now.
    #[must_use]
    pub fn generation(&self) -> Option<i32> {
        self.store.check_not_forked().ok()?;
        self.membership.generation()
    }

    /// The broker's store.
    pub(crate) fn store(&self) -> &Arc<Store> {
        &self.store
    }

    /// Does what a poll does beside returning records, until `take` finds something to return or `timeout` has passed.
    fn wait_for<T>(
        &mut self,
        timeout: Duration,
        take: impl Fn(&mut Consumer, Turns) -> Result<Option<T>>,
    ) -> Result<Option<T>> {
        self.check_outside_listener()?;
        self.check_usable()?;
        self.is_polling = true;
        let watched = self.config.max_poll_interval.is_some();
        if watched {
            self.membership.note_poll_begin();
        }
        let result = self.wait_until(timeout, take);
        if watched {
            self.membership.note_poll_end(self.store.monotonic());
        }
        self.is_polling = false;
        if result.is_err() {
            self.store.emit_events();
        }
        result
    }

    fn wait_until<T>(
        &mut self,
        timeout: Duration,
        take: impl Fn(&mut Consumer, Turns) -> Result<Option<T>>,
    ) -> Result<Option<T>> {
        let mut deadline = None;
        if !self.config.spin.is_zero() {
            let begin = self.store.monotonic();
            deadline = Some(begin.saturating_add(timeout));
            if self.store.is_read_only() {
                self.positions.take_untold();
            }
            self.spin(begin, self.config.spin.min(timeout));
        }
        loop {
            // Before everything else that may have woken this consumer, so that none of it is missed.
            self.positions.take_delivered();
            if self.store.is_read_only() {
                self.positions.take_untold();
            }
            if self.shared.take_wakeup() {
                return Err(Error::Wakeup);
            }
            let kept_up = self.keep_up().and_then(|()| self.auto_commit_if_due());
            // Whatever keeps going wrong, a consumer can be closed. A listener may just have asked for it.
            if self.shared.is_closing() {
                kept_up.and(self.finish())?;
                return Err(self.closed());
            }
            kept_up?;
            let turns = self.positions.turns(!timeout.is_zero());
            let found = take(self, turns)?;
            if found.is_some() {
                self.pauses.begin_anew();
            }
            if found.is_some() || timeout.is_zero() {
                return Ok(found);
            }
            let now = self.store.monotonic();
            let end = *deadline.get_or_insert(now.saturating_add(timeout));
            let Some(left) = end.checked_sub(now).filter(|left| !left.is_zero()) else { return Ok(None) };
            // One that is active still has more than was looked at, or got records meanwhile.
            if self.positions.active_count() == 0 {
                let until_due = self.next_due().map_or(left, |due| due.saturating_sub(now));
                self.shared.waiter.park(self.pauses.next(left.min(until_due)));
            }
        }
    }

    /// Looks for something to do until something is due, for `spin` at most. A partition that the last poll left read to its
    /// end is looked at itself: nobody is asked to tell of it, and its senders pay for no wake-up.
    fn spin(&self, begin: Duration, spin: Duration) {
        /// Reading the clock takes longer than a look.
        const LOOKS: usize = 8;
        let end = self.next_due().map_or(spin, |due| due.saturating_sub(begin).min(spin));
        while self.store.monotonic().saturating_sub(begin) < end {
            for _ in 0..LOOKS {
                if self.shared.waiter.is_signalled() || self.positions.may_be_ready() {
                    return;
                }
                hint::spin_loop();
            }
        }
    }

    fn fetch_limits(&self) -> FetchLimits {
        FetchLimits {
            bytes_max: self.config.fetch_max_bytes as usize,
            records_max: self.config.max_poll_records as usize,
        }
    }

    /// Reads from the partition whose turn it is, if one has something to read. Its position stays: that is the caller's. Nothing
    /// is read where it is not decided yet where to begin.
    fn take_turn(&mut self, turns: &mut Turns, limits: FetchLimits) -> Option<(&mut Position, Result<Option<Read>>)> {
        let position = self.positions.next_ready(turns)?;
        let mut cursor = Cursor {
            position,
            membership: &self.membership,
            offset_reset: self.config.offset_reset,
            truncation_reset: self.config.truncation_reset,
            position_reset_hook: self.config.position_reset_hook.as_ref(),
            counts: &mut self.counts,
            skips_corrupt: self.store.skips_corrupt(),
        };
        let read = cursor.read(limits);
        Some((cursor.position, read))
    }

    /// Whether a poll has something to do at once.
    fn is_ready(&mut self) -> bool {
        let is_asked = self.shared.is_woken() || self.shared.is_closing() || self.membership.is_called();
        is_asked
            || self.has_untold()
            || self.subscribes() && !self.membership.is_member()
            || self.store.check_open().is_err()
            || self.seen_topics_version != Some(self.store.topics_version())
            || self.next_due().is_some_and(|due| due <= self.store.monotonic())
            || self.positions.has_ready()
    }

    /// Fails once this consumer can do nothing any more.
    fn check_usable(&self) -> Result<()> {
        self.store.check_not_forked()?;
        match self.life {
            Life::Open => Ok(()),
            Life::Fenced => Err(self.fenced()),
            Life::Closed => Err(self.closed()),
        }
    }

    fn closed(&self) -> Error {
        Error::Closed { what: format!("group {:?}", self.group()), by: ClosedBy::Consumer }
    }

    /// Fails inside a listener.
    fn check_outside_listener(&self) -> Result<()> {
        if self.is_in_listener {
            return Err(Error::InvalidState { reason: "a rebalance listener cannot poll, subscribe or assign" });
        }
        Ok(())
    }

    /// Lets handles see the present positions.
    fn share_positions(&self) {
        self.shared.positions.store(Arc::new(self.positions.iter().map(|p| Arc::clone(&p.shared)).collect()));
    }

    /// The partitions that the consumer reads, in the order in which it was told of them.
    ///
    /// # Examples
    /// ```
    /// use ottla::TopicConfig;
    /// # let broker = ottla::Broker::temporary()?;
    /// broker.create_topic("orders", TopicConfig::new().partitions(2))?;
    /// let consumer = broker.consumer("billing", ["orders"])?;
    /// assert_eq!(format!("{:?}", consumer.assignment()), "[orders-0, orders-1]");
    /// # Ok::<_, ottla::Error>(())
    /// ```
    #[must_use]
    pub fn assignment(&self) -> Vec<TopicPartition> {
        self.positions.in_order().into_iter().map(|position| position.partition().clone()).collect()
    }

    /// The offset of the next record that a poll returns from a partition; `None` if the partition was not polled yet, or this
    /// consumer does not read it.
    ///
    /// # Examples
    /// ```
    /// use std::time::Duration;
    /// # let broker = ottla::Broker::temporary()?;
    /// # broker.topic("orders")?.produce("customer-1", "2 coffees")?;
    /// # let orders_0 = ottla::TopicPartition::new("orders", 0);
    /// let mut consumer = broker.consumer("billing", ["orders"])?;
    /// assert_eq!(consumer.position(&orders_0), None);
    /// consumer.poll(Duration::from_secs(1))?;
    /// assert_eq!(consumer.position(&orders_0), Some(1));
    /// # Ok::<_, ottla::Error>(())
    /// ```
    #[must_use]
    pub fn position(&self, partition: &TopicPartition) -> Option<u64> {
        self.positions.get(partition)?.next_offset()
    }

    /// What the group has committed in a partition, if anything: what [`Broker::committed`] says of this consumer's group.
    ///
    /// # Errors
    /// As [`Broker::committed`].
    ///
    /// # Examples
    /// ```
    /// # let broker = ottla::Broker::temporary()?;
    /// # broker.topic("orders")?;
    /// # let consumer = broker.consumer("billing", ["orders"])?;
    /// assert_eq!(consumer.committed(&ottla::TopicPartition::new("orders", 0))?, None);
    /// # Ok::<_, ottla::Error>(())
    /// ```
    pub fn committed(&self, partition: &TopicPartition) -> Result<Option<CommittedOffset>> {
        self.store.committed(self.group(), partition)
    }

    /// How many offsets of a partition this consumer has not read yet and can still read: from its position, or from the log start
    /// if that is later or the partition was not polled yet. `None` if the consumer does not read the partition.
    ///
    /// # Examples
    /// ```
    /// use std::time::Duration;
    /// # let broker = ottla::Broker::temporary()?;
    /// let topic = broker.topic("orders")?;
    /// let mut consumer = broker.consumer("billing", ["orders"])?;
    /// let orders_0 = ottla::TopicPartition::new("orders", 0);
    /// topic.produce("customer-1", "2 coffees")?;
    /// assert_eq!(consumer.lag(&orders_0), Some(1));
    /// consumer.poll(Duration::from_secs(1))?;
    /// assert_eq!(consumer.lag(&orders_0), Some(0));
    /// # Ok::<_, ottla::Error>(())
    /// ```
    #[must_use]
    pub fn lag(&self, partition: &TopicPartition) -> Option<u64> {
        Some(self.positions.get(partition)?.shared.lag())
    }

    /// How often the reset policy had to choose a new position because the old one was no longer in the log.
    #[must_use]
    pub fn reset_count(&self) -> u64 {
        self.counts.resets
    }

    /// How many offsets these resets passed over, so that this consumer did not read them: those that were deleted, and with
    /// [`OffsetReset::Latest`](crate::OffsetReset::Latest) also those up to the end.
    /// [`on_position_reset`](ConsumerConfig::on_position_reset) says which.
    #[must_use]
    pub fn passed_over_count(&self) -> u64 {
        self.counts.passed_over
    }

    /// How often a power cut had taken records that the group had committed, and reading went on behind the cut, as
    /// [`TruncationReset::Continue`](crate::TruncationReset::Continue) asks for.
    #[must_use]
    pub fn truncation_count(&self) -> u64 {
        self.counts.truncations
    }

    /// How many offsets were skipped because their records are damaged: by [`skip_corrupt`](Consumer::skip_corrupt), or by polls
    /// if the broker is open with [`RecoveryMode::SkipCorrupt`](crate::RecoveryMode::SkipCorrupt).
    #[must_use]
    pub fn skipped_count(&self) -> u64 {
        self.counts.skipped
    }

    /// A handle for other threads.
    #[must_use]
    pub fn handle(&self) -> ConsumerHandle {
        ConsumerHandle { shared: Arc::clone(&self.shared) }
    }

    /// Gives up all partitions and leaves the group. With auto-commit, first commits everything that was returned. A listener is
    /// told.
    ///
    /// # Errors
    /// What committing or the listener returned; the consumer has left the group all the same.
    ///
    /// # Examples
    /// ```
    /// # let broker = ottla::Broker::temporary()?;
    /// # broker.topic("orders")?;
    /// let consumer = broker.consumer("billing", ["orders"])?;
    /// consumer.close()?; // Others get its partitions at once.
    /// # Ok::<_, ottla::Error>(())
    /// ```
    pub fn close(mut self) -> Result<()> {
        self.store.check_not_forked()?;
        if self.life == Life::Closed { Ok(()) } else { self.finish() }
    }

    fn finish(&mut self) -> Result<()> {
        let given_up = self.give_up_everything();
        self.life = Life::Closed;
        given_up
    }
}

/// Leaves the group, so that others get the partitions. Nothing is committed: the records that were returned last may not have
/// been dealt with, and the thread may be panicking.
impl Drop for Consumer {
    fn drop(&mut self) {
        if self.store.is_forked() {
            return;
        }
        self.store.watchers().unregister(&self.shared.waiter);
        self.membership.leave(self.store.monotonic());
    }
}
