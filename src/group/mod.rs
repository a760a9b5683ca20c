//! Consumer groups: who is a member, who reads which partition, and which offsets were committed.
//!
//! ```text
//! consumer ─▶ Membership ─▶ Coordinator ─▶ one lock a group ─▶ Group (state)          decides, in memory
//!                                                └──────────▶ `__consumer_offsets`    remembers, with Kafka's schemas
//! ```
//! Everything here happens on the threads of those who call: there are no timers and no thread of its own, and nobody waits
//! for anybody. Offsets and the groups' make-up are records in the internal topic `__consumer_offsets`; they are read once, when
//! the first group is used, and then kept in memory.
//!
//! Locks: that of the map of groups is held for a look-up, that of a group for a change of its state and the append of what
//! is to be remembered of it, so that both have one order; the wait for durability, and all of the application's code
//! (assignors, hooks, wakers), come after it was released.

pub(crate) mod assignor;
pub(crate) mod committed_offset;
mod committing;
pub(crate) mod description;
#[cfg(feature = "testing")]
pub(crate) mod fuzzing;
pub(crate) mod group_records;
pub(crate) mod late_poll;
pub(crate) mod member;
pub(crate) mod membership;
mod metadata;
pub(crate) mod offset_records;
mod replay;
mod round;
mod schema;
pub(crate) mod state;
mod watching;

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use crate::canary::{Canary, planted};
use crate::coordinator::coordinator_partition::coordinator_partition;
use crate::error::{Corruption, Error, Result, SendOutcome};
use crate::partition::PartitionSource;
use crate::partition::log::Log;
use crate::record::ProducerRecord;
use crate::sync::Mutex;
use crate::topic_partition::TopicPartition;
use committed_offset::CommittedOffset;
use description::GroupDescription;
use member::Removal;
use offset_records::{encode_group_key, encode_offset_key};
use replay::{Absent, Replay, Replayed};
use state::Group;

/// The internal topic that holds the committed offsets.
pub(crate) const OFFSETS_TOPIC: &str = "__consumer_offsets";

/// All groups of a broker.
#[derive(Debug)]
pub(crate) struct Coordinator {
    /// The partitions of `__consumer_offsets`.
    logs: Vec<Arc<Log>>,
    /// What could not be read of them.
    skipped: Vec<Corruption>,
    groups: Mutex<BTreeMap<String, Arc<Mutex<Group>>>>,
}

/// Committed offsets by partition.
pub(crate) type Offsets = Vec<(TopicPartition, CommittedOffset)>;

/// A key of the offsets topic, and the value to put there or none to remove it.
type KeyValue = (Vec<u8>, Option<Vec<u8>>);

impl Coordinator {
    /// Reads every group out of `logs`, the partitions of `__consumer_offsets`: at least one. Offsets of topics that are gone
    /// are forgotten; `topic` gives the id and number of partitions of one that is there.
    ///
    /// # Errors
    /// [`Error::Corrupt`] if a record there cannot be read, unless it is to be passed over; [`Error::Io`].
    pub(crate) fn load(
        logs: Vec<Arc<Log>>,
        topic: impl Fn(&str) -> Option<(u128, u32)>,
        now: Duration,
        skips_corrupt: bool,
    ) -> Result<Coordinator> {
        let partition_count = |name: &str| topic(name).map_or(0, |(_, count)| count);
        let sources: Vec<_> = logs.iter().cloned().map(PartitionSource::from).collect();
        let replay = Replay { absent: Absent::Dynamic, partition_count: &partition_count, now, skips_corrupt };
        let Replayed { groups, skipped } = replay::groups(&sources, &replay)?;
        let cells = groups.into_iter().map(|(name, group)| (name, Arc::new(Mutex::new(group)))).collect();
        let coordinator = Coordinator { logs, skipped, groups: Mutex::new(cells) };
        let is_gone = |partition: &TopicPartition, committed: &CommittedOffset| {
            !topic(partition.topic()).is_some_and(|(id, _)| committed.is_of(id))
        };
        // What cannot be written down now, on a full disk say, is forgotten again the next time.
        coordinator.forget(is_gone, |_| Ok(()))?;
        Ok(coordinator)
    }

    /// What was passed over when the groups were read back.
    pub(crate) fn skipped(&self) -> &[Corruption] {
        &self.skipped
    }

    /// The partition that keeps what belongs to `group`.
    fn log(&self, group: &str) -> Result<&Arc<Log>> {
        let index = coordinator_partition(group, u32::try_from(self.logs.len()).unwrap_or(u32::MAX));
        let log = self.logs.get(index as usize).ok_or(Error::InvalidState { reason: "no partition keeps offsets" })?;
        // Of a group whose partition is damaged nobody knows where it stands.
        log.check_whole()?;
        Ok(log)
    }

    /// Runs `change` on a group, made if there is none of this name, and remembers what came of it.
    fn with_group<T>(&self, name: &str, change: impl FnOnce(&mut Group, &Log) -> Result<T>) -> Result<T> {
        let log = self.log(name)?;
        log.check_not_forked()?;
        log.supply_slots_if_short();
        // What it is needed for says so itself, if it could not be done.
        _ = log.store_owed_epochs();
        loop {
            let cell =
                Arc::clone(self.groups.lock().entry(name.to_owned()).or_insert_with(|| Group::new(name).into_cell()));
            let mut group = cell.lock();
            if !group.is_dead {
                let result = change(&mut group, log);
                group.end_change(log);
                let (is_dead, news) = (group.is_dead, group.take_news());
                drop(group);
                if is_dead {
                    self.bury(name, &cell);
                }
                log.wake_readers();
                news.tell();
                return result;
            }
            // Another thread is about to forget it.
            drop(group);
            self.bury(name, &cell);
        }
    }

    /// Fails if nothing can be known of a group, since the partition that keeps what belongs to it is damaged.
    pub(crate) fn check_group(&self, group: &str) -> Result<()> {
        self.log(group).map(drop)
    }

    /// [`with_group`](Coordinator::with_group) for what asks for a group that is there.
    fn with_known_group<T>(&self, name: &str, change: impl FnOnce(&mut Group, &Log) -> Result<T>) -> Result<T> {
        self.check_group(name)?;
        self.find(name).ok_or_else(|| unknown(name))?;
        self.with_group(name, change)
    }

    fn bury(&self, name: &str, dead: &Arc<Mutex<Group>>) {
        let mut groups = self.groups.lock();
        if groups.get(name).is_some_and(|cell| Arc::ptr_eq(cell, dead)) {
            groups.remove(name);
        }
    }

    /// The group of this name; `None` if it has neither members nor offsets.
    fn find(&self, name: &str) -> Option<Arc<Mutex<Group>>> {
        self.groups.lock().get(name).cloned()
    }

    /// What `group` has committed for a partition of the topic with this id.
    pub(crate) fn committed(&self, group: &str, partition: &TopicPartition, topic_id: u128) -> Option<CommittedOffset> {
        let cell = self.find(group)?;
        let group = cell.lock();
        group.committed.get(partition).filter(|committed| committed.is_of(topic_id)).cloned()
    }

    /// The names of all groups, in ascending order.
    pub(crate) fn names(&self) -> Vec<String> {
        self.groups.lock().keys().cloned().collect()
    }

    /// What there is to know of a group now; reports and puts out those who are late first.
    ///
    /// # Errors
    /// [`Error::UnknownGroup`].
    pub(crate) fn describe(&self, name: &str, now: Duration) -> Result<GroupDescription> {
        self.with_known_group(name, |group, _| {
            group.watch_time(now);
            Ok(GroupDescription::of(group))
        })
    }

    /// Forgets a group that has no members: its offsets too.
    ///
    /// # Errors
    /// [`Error::UnknownGroup`], [`Error::GroupNotEmpty`]; and as for a commit.
    pub(crate) fn delete(&self, name: &str, now: Duration) -> Result<()> {
        let appended = self.with_known_group(name, |group, log| {
            group.watch_time(now);
            if !group.members.is_empty() {
                return Err(Error::GroupNotEmpty { group: name.to_owned(), member_count: group.members.len() });
            }
            let appended = append_tombstones(log, name, group.committed.keys())?;
            group.committed.clear();
            Ok(appended)
        })?;
        self.wait_durable(name, appended)
    }

    /// Sets offsets of a group, whether or not it has members: those are put out, begin anew at their next poll, and can
    /// commit nothing of what they did before.
    pub(crate) fn reset(
        &self,
        name: &str,
        offsets: &Offsets,
        check_present: impl FnOnce() -> Result<()>,
    ) -> Result<()> {
        let committed = self.with_group(name, |group, log| {
            // Here, so that no offset comes after those of a topic were forgotten.
            check_present()?;
            let appended = append_offsets(log, name, offsets)?;
            if !group.members.is_empty() {
                group.remove_all(Removal::OffsetsReset);
            }
            Ok(Committed { appended, before: group.put_offsets(offsets) })
        })?;
        self.settle(name, offsets, committed)
    }

    /// Returns when `offsets` are as durable as they are to be. If it is not known whether they will be there after the next
    /// opening, the group stands where it stood before; if they are only not durable yet, where they say.
    fn settle(&self, name: &str, offsets: &Offsets, committed: Committed) -> Result<()> {
        let Committed { appended, before } = committed;
        self.wait_durable(name, appended).inspect_err(|error| {
            if error.outcome() == SendOutcome::Appended {
                return;
            }
            let taken_back = self.with_group(name, |group, _| {
                group.take_back_offsets(offsets, before);
                Ok(())
            });
            // Nothing that can fail was asked for. A waker may have forked.
            debug_assert!(matches!(taken_back, Ok(()) | Err(Error::Forked)), "{taken_back:?}");
        })
    }

    /// Removes a static member, so that its partitions go to others at once.
    ///
    /// # Errors
    /// [`Error::UnknownGroup`]; the result says whether there was such a member.
    pub(crate) fn remove_instance(&self, name: &str, instance_id: &str) -> Result<bool> {
        self.with_known_group(name, |group, _| Ok(group.remove_instance(instance_id)))
    }

    /// Forgets what all groups have committed for a topic that is being deleted, so that a later topic of the same name does
    /// not begin where this one ended; not after a power cut either, whatever the durability of commits.
    pub(crate) fn forget_topic(&self, topic: &str) -> Result<()> {
        if planted(Canary::KeepOffsetsOfDeleted) {
            return Ok(());
        }
        if self.forget(|partition, _| partition.topic() == topic, |noted| noted)? {
            self.logs.iter().try_for_each(|log| log.wait_durable(log.log_end_offset()))?;
        }
        Ok(())
    }

    /// Forgets the offsets that `is_gone` names, if `is_well` says so of having written that down; whether there were any.
    fn forget(
        &self,
        is_gone: impl Fn(&TopicPartition, &CommittedOffset) -> bool,
        is_well: impl Fn(Result<()>) -> Result<()>,
    ) -> Result<bool> {
        let mut any = false;
        for name in self.names() {
            any |= self.with_group(&name, |group, log| {
                let gone = group.committed.iter().filter(|(partition, committed)| is_gone(partition, committed));
                is_well(append_tombstones(log, &name, gone.map(|(partition, _)| partition)).map(drop))?;
                let before = group.committed.len();
                group.committed.retain(|partition, committed| !is_gone(partition, committed));
                Ok(group.committed.len() < before)
            })?;
        }
        Ok(any)
    }

    /// Returns when what was appended for a group, and what its change had written down after that, is as durable as the topic
    /// of the offsets demands.
    fn wait_durable(&self, group: &str, appended: Range<u64>) -> Result<()> {
        let log = self.log(group)?;
        log.wait_as_demanded(appended.start..log.log_end_offset())
    }
}

/// Offsets that were appended and taken in, and are not durable yet.
struct Committed {
    /// Where the records are, in the log of the group's offsets.
    appended: Range<u64>,
    /// What the group had committed before, in the order of the offsets.
    before: Vec<Option<CommittedOffset>>,
}

impl Group {
    fn into_cell(self) -> Arc<Mutex<Group>> {
        Arc::new(Mutex::new(self))
    }

    /// Has the log remember who is in the group, if that has changed, and notices whether the group is at its end.
    fn end_change(&mut self, log: &Log) {
        self.is_dead = self.members.is_empty() && self.committed.is_empty();
        // A generation was written down, and is to be removed.
        self.is_changed |= self.is_dead && self.generation > 0;
        if !std::mem::take(&mut self.is_changed) {
            return;
        }
        // Nobody depends on it in this life of the broker. The worst that follows from a full disk here is that after the next
        // opening a static member is not waited for.
        let _ = self.write_down(log);
    }

    fn write_down(&self, log: &Log) -> Result<()> {
        let mut key = Vec::new();
        encode_group_key(&self.name, &mut key)?;
        let value = if self.is_dead { None } else { Some(self.metadata_record(log.now_ms())?) };
        append(log, &[(key, value)]).map(drop)
    }
}

/// What `sources`, the partitions of `__consumer_offsets`, say of all groups, by name: for a broker that only reads.
///
/// # Errors
/// As [`Coordinator::load`].
pub(crate) fn descriptions(sources: &[PartitionSource], now: Duration) -> Result<BTreeMap<String, GroupDescription>> {
    // Nothing is divided here.
    let replay = Replay { absent: Absent::None, partition_count: &|_| u32::MAX, now, skips_corrupt: false };
    let Replayed { groups, .. } = replay::groups(sources, &replay)?;
    Ok(groups.iter().map(|(name, group)| (name.clone(), GroupDescription::of(group))).collect())
}

/// The error for a group that is not there.
pub(crate) fn unknown(group: &str) -> Error {
    Error::UnknownGroup { group: group.to_owned() }
}

/// Appends offsets: all of them or none, whatever happens, unless they are too many for one batch. Returns where they are.
fn append_offsets(log: &Log, group: &str, offsets: &Offsets) -> Result<Range<u64>> {
    let record = |(partition, committed): &(TopicPartition, CommittedOffset)| {
        let mut value = Vec::new();
        committed.as_record().encode(&mut value)?;
        Ok((offset_key(group, partition)?, Some(value)))
    };
    append(log, &offsets.iter().map(record).collect::<Result<Vec<_>>>()?)
}

/// Appends that these offsets of a group are forgotten.
fn append_tombstones<'p>(
    log: &Log,
    group: &str,
    partitions: impl Iterator<Item = &'p TopicPartition>,
) -> Result<Range<u64>> {
    let records = partitions.map(|partition| Ok((offset_key(group, partition)?, None)));
    append(log, &records.collect::<Result<Vec<_>>>()?)
}

fn append(log: &Log, records: &[KeyValue]) -> Result<Range<u64>> {
    if records.is_empty() {
        let end = log.log_end_offset();
        return Ok(end..end);
    }
    let records: Vec<_> = records.iter().map(as_producer_record).collect();
    append_halving(log, &records)
}

/// Appends `records` in one piece, or in as few as the largest batch allows. Returns where they are; those of other groups may
/// be between the pieces.
fn append_halving(log: &Log, records: &[ProducerRecord<'_>]) -> Result<Range<u64>> {
    match log.append_unsynced(records) {
        Err(Error::RecordTooLarge { .. }) if records.len() > 1 => {
            let (one, other) = records.split_at(records.len() / 2);
            let first = append_halving(log, one)?;
            let second = append_halving(log, other)
                .map_err(|source| Error::partly_sent(vec![(log.partition().clone(), first.clone())], source))?;
            Ok(first.start..second.end)
        }
        appended => appended.map(|appended| appended.base_offset..appended.next_offset),
    }
}

fn as_producer_record((key, value): &KeyValue) -> ProducerRecord<'_> {
    let record = ProducerRecord::to(OFFSETS_TOPIC).key(key);
    match value {
        Some(value) => record.value(value),
        None => record,
    }
}

fn offset_key(group: &str, partition: &TopicPartition) -> Result<Vec<u8>> {
    let mut key = Vec::new();
    encode_offset_key(group, partition.topic(), partition.partition(), &mut key)?;
    Ok(key)
}
