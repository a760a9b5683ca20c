//! Setting the committed offsets of a group anew: what it would come to, and doing it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use super::store::Store;
use crate::error::{Error, Result};
use crate::group::committed_offset::CommittedOffset;
use crate::partition::PartitionSource;
use crate::partition::isolation::Isolation;
use crate::record::Timestamp;
use crate::topic_partition::TopicPartition;

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
    /// What is committed, if the log has it, and else the nearest offset that it has; the end where nothing is committed.
    Current,
    /// This many offsets forward from the committed one, or back if negative, within the bounds of the log.
    ShiftBy(i64),
}

/// Sets committed offsets of a group anew; made by [`Admin::reset_offsets`](crate::Admin::reset_offsets).
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
    /// Those that have a place of their own, with it.
    partitions: BTreeMap<TopicPartition, Option<ResetTo>>,
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
            ResetTo::Current => f.write_str("current"),
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
    pub(super) fn new(store: Arc<Store>, group: &str) -> ResetOffsets {
        let (group, topics, partitions) = (group.to_owned(), BTreeSet::new(), BTreeMap::new());
        ResetOffsets { store, group, topics, partitions, to: ResetTo::Earliest }
    }

    /// All partitions of this topic. Without any `topic` or `partition`, everything that the group has committed is reset.
    pub fn topic(mut self, topic: impl Into<String>) -> Self {
        self.topics.insert(topic.into());
        self
    }

    /// This partition.
    pub fn partition(mut self, partition: TopicPartition) -> Self {
        self.partitions.entry(partition).or_default();
        self
    }

    /// This partition, and where to set its offset, whatever [`to`](ResetOffsets::to) says of the others.
    ///
    /// # Examples
    /// ```
    /// use ottla::{ResetTo, TopicPartition};
    /// # let broker = ottla::Broker::temporary()?;
    /// # broker.topic("orders")?.produce("customer-1", "2 coffees")?;
    /// # broker.topic("payments")?;
    /// let saved = [(TopicPartition::new("orders", 0), 1), (TopicPartition::new("payments", 0), 0)];
    /// let reset = broker.admin().reset_offsets("billing");
    /// let reset = saved.into_iter().fold(reset, |reset, (partition, offset)| {
    ///     reset.partition_to(partition, ResetTo::Offset(offset))
    /// });
    /// assert_eq!(reset.execute()?[0].after(), 1);
    /// # Ok::<_, ottla::Error>(())
    /// ```
    pub fn partition_to(mut self, partition: TopicPartition, to: ResetTo) -> Self {
        self.partitions.insert(partition, Some(to));
        self
    }

    /// Where to set the offsets. Default: [`ResetTo::Earliest`].
    pub fn to(mut self, to: ResetTo) -> Self {
        self.to = to;
        self
    }

    /// What [`execute`](ResetOffsets::execute) would do now; changes nothing. A broker that is open read-only can do this, too: by
    /// what the writing process has last recorded.
    ///
    /// # Errors
    /// [`Error::UnknownTopic`], [`Error::UnknownPartition`]; [`Error::NoCommittedOffset`] for a shift of what was not committed;
    /// [`Error::UnknownGroup`] where nothing was named and there is no such group; [`Error::Corrupt`] and [`Error::Io`] if a log
    /// cannot be read.
    pub fn plan(&self) -> Result<Vec<OffsetChange>> {
        Ok(self.changes()?.into_iter().map(|(change, _)| change).collect())
    }

    /// Resets the offsets and returns what was done: all of them, or none and an error. If the group has members, all of them are put
    /// out. They join again in their next poll, which goes on from the new offsets. They can no longer commit what they read before.
    ///
    /// # Errors
    /// As [`plan`](ResetOffsets::plan), and as for a commit: nothing was changed. [`Error::ReadOnly`].
    pub fn execute(&self) -> Result<Vec<OffsetChange>> {
        let coordinator = self.store.coordinator()?;
        let changes = self.changes()?;
        let now_ms = self.store.now_ms();
        let offset_of = |(change, source): &(OffsetChange, PartitionSource)| {
            let committed = CommittedOffset::new(change.after).stamped(source.topic_id(), now_ms);
            (change.partition.clone(), committed)
        };
        let check_present = || changes.iter().try_for_each(|(_, source)| source.check_open());
        let offsets = changes.iter().map(offset_of).collect();
        coordinator.reset(&self.group, &offsets, check_present, self.store.monotonic())?;
        Ok(changes.into_iter().map(|(change, _)| change).collect())
    }

    fn changes(&self) -> Result<Vec<(OffsetChange, PartitionSource)>> {
        let committed = self.committed()?;
        let partitions = self.partitions_and_places(&committed)?;
        let change = |(partition, to): (TopicPartition, ResetTo)| {
            let source = self.store.source(&partition)?;
            let before = committed.get(&partition).filter(|before| before.is_of(source.topic_id()));
            let before = before.map(CommittedOffset::offset);
            let after = offset_in(&source, before, to)?;
            Ok((OffsetChange { partition, before, after }, source))
        };
        partitions.into_iter().map(change).collect()
    }

    /// What the group has committed. One that is not there has committed nothing, if it is said which partitions are meant.
    fn committed(&self) -> Result<BTreeMap<TopicPartition, CommittedOffset>> {
        match self.store.group_and_offsets(&self.group) {
            Err(Error::UnknownGroup { .. }) if !self.is_of_all() => Ok(BTreeMap::new()),
            group => Ok(group?.offsets.into_iter().collect()),
        }
    }

    /// Whether all is meant that the group has committed.
    fn is_of_all(&self) -> bool {
        self.topics.is_empty() && self.partitions.is_empty()
    }

    fn partitions_and_places(
        &self,
        committed: &BTreeMap<TopicPartition, CommittedOffset>,
    ) -> Result<BTreeMap<TopicPartition, ResetTo>> {
        let mut partitions = BTreeMap::new();
        for topic in &self.topics {
            let sources = self.store.topic(topic)?;
            partitions.extend(sources.partitions.iter().map(|found| (found.address.clone(), self.to)));
        }
        partitions.extend(self.partitions.iter().map(|(partition, to)| (partition.clone(), to.unwrap_or(self.to))));
        if self.is_of_all() {
            // What was committed for a topic that is being deleted goes with it.
            let is_there = |partition: &&TopicPartition| self.store.source(partition).is_ok();
            partitions.extend(committed.keys().filter(is_there).map(|partition| (partition.clone(), self.to)));
        }
        Ok(partitions)
    }
}

/// The offset of a log that is meant, where `before` is committed.
fn offset_in(source: &PartitionSource, before: Option<u64>, to: ResetTo) -> Result<u64> {
    source.check_whole()?;
    let Range { start, end } = source.stable_bounds();
    let wanted = match to {
        ResetTo::Earliest => start,
        ResetTo::Latest => end,
        ResetTo::Offset(offset) => offset,
        ResetTo::Time(timestamp) => {
            source.offset_for_time(timestamp.as_millis(), Isolation::ReadCommitted)?.unwrap_or(end)
        }
        ResetTo::Current => before.unwrap_or(end),
        ResetTo::ShiftBy(count) => {
            let before = before.ok_or_else(|| Error::NoCommittedOffset { partition: source.partition().clone() })?;
            before.saturating_add_signed(count)
        }
    };
    // A start that has moved meanwhile may lie above the end as it was.
    Ok(wanted.clamp(start, end.max(start)))
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
