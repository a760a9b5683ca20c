//! Looking at groups and changing them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use super::admin::Admin;
use super::store::Store;
use crate::error::{Error, Result};
use crate::group::committed_offset::CommittedOffset;
use crate::group::description::GroupDescription;
use crate::group::{self, GroupCoordinator, OFFSETS_TOPIC};
use crate::partition::isolation::Isolation;
use crate::partition::log::Log;
use crate::record::Timestamp;
use crate::topic_partition::TopicPartition;

impl Admin<'_> {
    /// The names of all groups that have members or committed offsets, in ascending order.
    ///
    /// # Errors
    /// [`Error::Closed`]; [`Error::Corrupt`] if the groups cannot be read.
    ///
    /// # Examples
    /// ```
    /// # let broker = ottla::Broker::temporary()?;
    /// # broker.topic("orders")?;
    /// let consumer = broker.consumer("billing", ["orders"])?;
    /// assert_eq!(broker.admin().list_groups()?, ["billing"]);
    /// # Ok::<_, ottla::Error>(())
    /// ```
    pub fn list_groups(&self) -> Result<Vec<String>> {
        if let Some(descriptions) = read_only_descriptions(&self.broker.store)? {
            return Ok(descriptions.into_keys().collect());
        }
        Ok(self.broker.store.coordinator_if_used()?.map(|coordinator| coordinator.names()).unwrap_or_default())
    }

    /// A group's members, what they own, and how far the group is in each partition. If the broker is open read-only, as the
    /// writing process has last recorded it: members at the end of a rebalance, offsets with every commit.
    ///
    /// # Errors
    /// [`Error::UnknownGroup`]; as [`list_groups`](Admin::list_groups).
    ///
    /// # Examples
    /// ```
    /// use std::time::Duration;
    /// # let broker = ottla::Broker::temporary()?;
    /// let topic = broker.topic("orders")?;
    /// topic.produce("customer-1", "2 coffees")?;
    /// let mut consumer = broker.consumer("billing", ["orders"])?;
    /// let group = broker.admin().describe_group("billing")?;
    /// assert_eq!((group.members().len(), group.total_lag()), (1, 1));
    /// consumer.poll(Duration::from_secs(1))?;
    /// consumer.commit()?;
    /// assert_eq!(broker.admin().describe_group("billing")?.total_lag(), 0);
    /// # Ok::<_, ottla::Error>(())
    /// ```
    pub fn describe_group(&self, group: &str) -> Result<GroupDescription> {
        let store = &self.broker.store;
        let mut description = match read_only_descriptions(store)? {
            Some(mut descriptions) => descriptions.remove(group).ok_or_else(|| group::unknown(group))?,
            None => coordinator(store, group)?.describe(group, store.monotonic())?,
        };
        // After what was committed.
        let topics = store.topics()?;
        let topic = |name: &str| topics.get(name).map(|topic| (topic.topic_id, topic.partition_count()));
        let bounds = |partition: &TopicPartition| {
            let found = topics.get(partition.topic())?.partitions.get(partition.partition())?;
            Some(found.source.stable_bounds())
        };
        description.add_partitions(topic, bounds);
        Ok(description)
    }

    /// Forgets a group that has no members: what it has committed, and that it was there.
    ///
    /// # Errors
    /// [`Error::UnknownGroup`], [`Error::GroupNotEmpty`], [`Error::OffsetsPending`]; [`Error::ReadOnly`],
    /// [`Error::DiskFull`], [`Error::Poisoned`]; as [`list_groups`](Admin::list_groups).
    ///
    /// # Examples
    /// ```
    /// # let broker = ottla::Broker::temporary()?;
    /// # broker.topic("orders")?;
    /// let consumer = broker.consumer("billing", ["orders"])?;
    /// assert!(broker.admin().delete_group("billing").is_err(), "it has a member");
    /// consumer.close()?;
    /// # broker.admin().reset_offsets("billing").topic("orders").execute()?;
    /// broker.admin().delete_group("billing")?;
    /// # Ok::<_, ottla::Error>(())
    /// ```
    pub fn delete_group(&self, group: &str) -> Result<()> {
        let store = &self.broker.store;
        coordinator(store, group)?.delete(group, store.monotonic())
    }

    /// Removes a static member from a group, so that its partitions go to others without waiting for its session timeout. If its
    /// consumer is at work, it loses them. Returns whether there was such a member.
    ///
    /// # Errors
    /// [`Error::UnknownGroup`]; [`Error::ReadOnly`]; as [`list_groups`](Admin::list_groups).
    ///
    /// # Examples
    /// ```
    /// use ottla::ConsumerConfig;
    /// # let broker = ottla::Broker::temporary()?;
    /// # broker.topic("orders")?;
    /// let static_member = ConsumerConfig::new("billing").topics(["orders"]).group_instance_id("ann");
    /// drop(broker.consumer_with(static_member)?); // The group keeps its place for the session timeout.
    /// assert!(broker.admin().remove_group_instance("billing", "ann")?);
    /// # Ok::<_, ottla::Error>(())
    /// ```
    pub fn remove_group_instance(&self, group: &str, group_instance_id: &str) -> Result<bool> {
        coordinator(&self.broker.store, group)?.remove_instance(group, group_instance_id, self.broker.store.monotonic())
    }

    /// Begins to reset committed offsets of a group: say in which partitions, and to what.
    ///
    /// # Examples
    /// ```
    /// # let broker = ottla::Broker::temporary()?;
    /// # let topic = broker.topic("orders")?;
    /// # topic.produce("customer-1", "2 coffees")?;
    /// let admin = broker.admin();
    /// let reset = admin.reset_offsets("billing").topic("orders").to(ottla::ResetTo::Latest);
    /// let planned = reset.plan()?;
    /// assert_eq!((planned[0].before(), planned[0].after()), (None, 1));
    /// reset.execute()?;
    /// # Ok::<_, ottla::Error>(())
    /// ```
    pub fn reset_offsets(&self, group: &str) -> ResetOffsets {
        ResetOffsets {
            store: Arc::clone(&self.broker.store),
            group: group.to_owned(),
            topics: BTreeSet::new(),
            partitions: BTreeSet::new(),
            to: ResetTo::Earliest,
        }
    }
}

impl Store {
    /// Everything that `group` has committed, as another process has written it down.
    pub(crate) fn committed_of(&self, group: &str) -> Result<Vec<(TopicPartition, CommittedOffset)>> {
        let description = read_only_descriptions(self)?.and_then(|mut descriptions| descriptions.remove(group));
        Ok(description.map(|description| description.offsets).unwrap_or_default())
    }

    /// What `group` has committed in a partition, if anything.
    pub(crate) fn committed(&self, group: &str, partition: &TopicPartition) -> Result<Option<CommittedOffset>> {
        let topic_id = match self.topic(partition.topic()) {
            Ok(topic) => topic.topic_id,
            Err(Error::UnknownTopic { .. }) => return Ok(None),
            Err(error) => return Err(error),
        };
        if !self.is_read_only() {
            let Some(coordinator) = self.coordinator_if_used()? else { return Ok(None) };
            return coordinator.check_group(group).map(|()| coordinator.committed(group, partition, topic_id));
        }
        let is_wanted = |(found_in, committed): &(TopicPartition, CommittedOffset)| {
            found_in == partition && committed.is_of(topic_id)
        };
        Ok(self.committed_of(group)?.into_iter().find(is_wanted).map(|(_, committed)| committed))
    }
}

/// What another process has written down of all groups; `None` if it is this one that writes.
pub(super) fn read_only_descriptions(store: &Store) -> Result<Option<BTreeMap<String, GroupDescription>>> {
    store.check_open()?;
    if !store.is_read_only() {
        return Ok(None);
    }
    let sources = match store.topic(OFFSETS_TOPIC) {
        Ok(topic) => topic.partitions.iter().map(|partition| partition.source.clone()).collect(),
        Err(Error::UnknownTopic { .. }) => Vec::new(),
        Err(error) => return Err(error),
    };
    group::descriptions(&sources, store.monotonic()).map(Some)
}

/// The coordinator, if any group was ever used.
fn coordinator<'s>(store: &'s Store, group: &str) -> Result<&'s Arc<GroupCoordinator>> {
    store.coordinator_if_used()?.ok_or_else(|| group::unknown(group))
}

/// Where to set a group's offsets.
///
/// # Examples
/// ```
/// use ottla::{ResetTo, Timestamp};
/// # let broker = ottla::Broker::temporary()?;
/// broker.topic("orders")?.produce("customer-1", "2 coffees")?;
/// let yesterday: Timestamp = "2026-11-29T00:00:00Z".parse()?;
/// let reset = broker.admin().reset_offsets("billing").topic("orders").to(ResetTo::Time(yesterday));
/// reset.execute()?;
/// # Ok::<_, ottla::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ResetTo {
    /// The log start.
    Earliest,
    /// The end: only what is sent from now on will be read.
    Latest,
    /// This offset, or the nearest one that the log has.
    Offset(u64),
    /// The first record with this timestamp or a later one; the end if there is none.
    Time(Timestamp),
    /// This many offsets forward from the committed one, or back if negative, within the bounds of the log.
    ShiftBy(i64),
}

/// Sets committed offsets of a group anew; made by [`Admin::reset_offsets`].
///
/// # Examples
/// ```
/// use ottla::ResetTo;
/// # let broker = ottla::Broker::temporary()?;
/// # broker.topic("orders")?.produce("customer-1", "2 coffees")?;
/// let admin = broker.admin();
/// let reset = admin.reset_offsets("billing").topic("orders").to(ResetTo::Latest);
/// for change in reset.plan()? {
///     println!("{}: {:?} -> {}", change.topic_partition(), change.before(), change.after());
/// }
/// reset.execute()?;
/// # Ok::<_, ottla::Error>(())
/// ```
#[derive(Clone)]
#[must_use = "nothing is reset before `execute`"]
pub struct ResetOffsets {
    store: Arc<Store>,
    group: String,
    topics: BTreeSet<String>,
    partitions: BTreeSet<TopicPartition>,
    to: ResetTo,
}

/// A committed offset before and after a reset; made by [`ResetOffsets::plan`] and [`ResetOffsets::execute`]. The example
/// is at [`ResetOffsets`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct OffsetChange {
    partition: TopicPartition,
    before: Option<u64>,
    after: u64,
}

impl fmt::Display for ResetTo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ResetTo::Earliest => f.write_str("earliest"),
            ResetTo::Latest => f.write_str("latest"),
            ResetTo::Offset(offset) => write!(f, "offset {offset}"),
            ResetTo::Time(time) => write!(f, "time {time}"),
            ResetTo::ShiftBy(offsets) => write!(f, "shift by {offsets}"),
        }
    }
}

/// In short: whose, where, and to what; the store beneath it is a long story.
impl fmt::Debug for ResetOffsets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResetOffsets")
            .field("group", &self.group)
            .field("topics", &self.topics)
            .field("partitions", &self.partitions)
            .field("to", &self.to)
            .finish_non_exhaustive()
    }
}

impl ResetOffsets {
    /// All partitions of this topic. Without any `topic` or `partition`, everything that the group has committed is reset.
    pub fn topic(mut self, topic: impl Into<String>) -> Self {
        self.topics.insert(topic.into());
        self
    }

    /// This partition.
    pub fn partition(mut self, partition: TopicPartition) -> Self {
        self.partitions.insert(partition);
        self
    }

    /// Where to set the offsets. Default: [`ResetTo::Earliest`].
    pub fn to(mut self, to: ResetTo) -> Self {
        self.to = to;
        self
    }

    /// What [`execute`](ResetOffsets::execute) would do now; changes nothing.
    ///
    /// # Errors
    /// [`Error::UnknownTopic`], [`Error::UnknownPartition`]; [`Error::NoCommittedOffset`] for a shift of what was not committed;
    /// [`Error::UnknownGroup`] where nothing was named and there is no such group; by time, [`Error::Corrupt`] and
    /// [`Error::Io`].
    pub fn plan(&self) -> Result<Vec<OffsetChange>> {
        Ok(self.changes()?.into_iter().map(|(change, _)| change).collect())
    }

    /// Resets the offsets and returns what was done. If the group has members, all of them are put out. They join again in their
    /// next poll, which goes on from the new offsets. They can no longer commit what they read before.
    ///
    /// # Errors
    /// As [`plan`](ResetOffsets::plan), and as for a commit: nothing was changed.
    pub fn execute(&self) -> Result<Vec<OffsetChange>> {
        let changes = self.changes()?;
        let now_ms = self.store.now_ms();
        let offset_of = |(change, log): &(OffsetChange, Arc<Log>)| {
            let committed = CommittedOffset::new(change.after).stamped(log.topic_id(), now_ms);
            (change.partition.clone(), committed)
        };
        let check_present = || changes.iter().try_for_each(|(_, log)| log.check_open());
        let offsets = changes.iter().map(offset_of).collect();
        self.store.coordinator()?.reset(&self.group, &offsets, check_present, self.store.monotonic())?;
        Ok(changes.into_iter().map(|(change, _)| change).collect())
    }

    fn changes(&self) -> Result<Vec<(OffsetChange, Arc<Log>)>> {
        let coordinator = self.store.coordinator()?;
        let change = |log: Arc<Log>| {
            let before =
                coordinator.committed(&self.group, log.partition(), log.topic_id()).map(|before| before.offset());
            let after = self.offset_in(&log, before)?;
            Ok((OffsetChange { partition: log.partition().clone(), before, after }, log))
        };
        self.logs(coordinator)?.into_iter().map(change).collect()
    }

    fn logs(&self, coordinator: &GroupCoordinator) -> Result<Vec<Arc<Log>>> {
        let mut partitions = self.partitions.clone();
        for topic in &self.topics {
            let logs = self.store.topic(topic)?.logs();
            partitions.extend(logs.iter().map(|log| log.partition().clone()));
        }
        if self.topics.is_empty() && self.partitions.is_empty() {
            let description = coordinator.describe(&self.group, self.store.monotonic())?;
            partitions.extend(description.offsets.into_iter().map(|(partition, _)| partition));
        }
        partitions.iter().map(|partition| self.store.log(partition)).collect()
    }

    fn offset_in(&self, log: &Log, before: Option<u64>) -> Result<u64> {
        log.check_whole()?;
        let (start, end) = (log.log_start_offset(), log.last_stable_offset());
        let wanted = match self.to {
            ResetTo::Earliest => start,
            ResetTo::Latest => end,
            ResetTo::Offset(offset) => offset,
            ResetTo::Time(timestamp) => {
                log.offset_for_time(timestamp.as_millis(), Isolation::ReadCommitted)?.unwrap_or(end)
            }
            ResetTo::ShiftBy(count) => {
                let before = before.ok_or_else(|| Error::NoCommittedOffset { partition: log.partition().clone() })?;
                before.saturating_add_signed(count)
            }
        };
        Ok(wanted.clamp(start, end))
    }
}

impl OffsetChange {
    /// The partition.
    #[must_use]
    pub fn topic_partition(&self) -> &TopicPartition {
        &self.partition
    }

    /// The offset that was committed before, if any.
    #[must_use]
    pub fn before(&self) -> Option<u64> {
        self.before
    }

    /// The offset that is committed after the reset.
    #[must_use]
    pub fn after(&self) -> u64 {
        self.after
    }
}
