//! Consumer groups: who is a member, who reads which partition, and which offsets were committed.
//!
//! ```text
//! consumer ─▶ Membership ─▶ GroupCoordinator ─▶ one lock a group ─▶ Group (state)          decides, in memory
//!                                                     └──────────▶ `__consumer_offsets`    remembers, with Kafka's schemas
//! ```
//! Everything here happens on the threads of those who call: there are no timers and no thread of its own, and nobody waits
//! for anybody. Offsets and the groups' make-up are records in the internal topic `__consumer_offsets`; they are read once, when
//! the first group is used, and then kept in memory.
//!
//! How a group is looked up, locked, read back and remembered is the business of `coordinator`, which knows nothing of offsets;
//! all of the application's code (assignors, hooks, wakers) comes after a group's lock was released.

pub(crate) mod assignor;
pub(crate) mod committed_offset;
mod committing;
pub(crate) mod description;
pub(crate) mod expiry;
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
pub(crate) mod session;
mod staged;
pub(crate) mod staging;
pub(crate) mod state;
mod watching;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use crate::canary::{Canary, planted};
use crate::coordinator::{self, Coordinator, KeyValue, Replayed, State, StateLog};
use crate::error::{Corruption, Error, Result, SendOutcome};
use crate::partition::PartitionSource;
use crate::partition::log::Log;
use crate::partition::protection::CommittedOffsets;
use crate::topic_partition::TopicPartition;
use committed_offset::CommittedOffset;
use description::GroupDescription;
use offset_records::{encode_group_key, encode_offset_key};
use replay::{Absent, Replay};
use session::Removal;
use state::Group;

/// The internal topic that holds the committed offsets.
pub(crate) const OFFSETS_TOPIC: &str = "__consumer_offsets";

/// All groups of a broker.
#[derive(Debug)]
pub(crate) struct GroupCoordinator {
    groups: Coordinator<Group>,
}

/// Committed offsets by partition.
pub(crate) type Offsets = Vec<(TopicPartition, CommittedOffset)>;

impl GroupCoordinator {
    /// Reads every group out of `logs`, the partitions of `__consumer_offsets`: at least one. Offsets of topics that are gone
    /// are forgotten; `topic` gives the id and number of partitions of one that is there.
    ///
    /// # Errors
    /// As [`Coordinator::load`].
    pub(crate) fn load(
        logs: Vec<Arc<Log>>,
        topic: impl Fn(&str) -> Option<(u128, u32)>,
        now: Duration,
        skips_corrupt: bool,
    ) -> Result<GroupCoordinator> {
        let partition_count = |name: &str| topic(name).map_or(0, |(_, count)| count);
        let replay = Replay { absent: Absent::Dynamic, partition_count: &partition_count, now };
        let groups = Coordinator::load(logs, skips_corrupt, |groups, record| replay.apply(groups, record))?;
        let coordinator = GroupCoordinator { groups };
        let is_gone = |partition: &TopicPartition, committed: &CommittedOffset| {
            !topic(partition.topic()).is_some_and(|(id, _)| committed.is_of(id))
        };
        // What cannot be written down now, on a full disk say, is forgotten again the next time.
        if coordinator.forget(is_gone, |_| Ok(()))? {
            coordinator.groups.sync_later();
        }
        Ok(coordinator)
    }

    /// What was passed over when the groups were read back.
    pub(crate) fn skipped(&self) -> &[Corruption] {
        self.groups.skipped()
    }

    /// Fails if nothing can be known of a group, since the partition that keeps what belongs to it is damaged.
    pub(crate) fn check_group(&self, group: &str) -> Result<()> {
        self.groups.check(group)
    }

    /// Runs `change` on a group, made if there is none of this name, and remembers what came of it.
    fn with_group<T>(&self, name: &str, change: impl FnOnce(&mut Group, &StateLog) -> Result<T>) -> Result<T> {
        let (result, notifications) = self.groups.change(name, |group, log| {
            let generation = group.generation;
            let result = change(group, log);
            group.end_change(log);
            let mut notifications = group.take_notifications();
            if group.generation != generation {
                notifications.events.add(|| group.rebalanced());
            }
            log.events().add_noted(std::mem::take(&mut notifications.events));
            (result, notifications)
        })?;
        notifications.deliver();
        result
    }

    /// [`with_group`](GroupCoordinator::with_group) for what asks for a group that is there.
    fn with_known_group<T>(&self, name: &str, change: impl FnOnce(&mut Group, &StateLog) -> Result<T>) -> Result<T> {
        self.check_group(name)?;
        self.look(name, |_| ()).ok_or_else(|| unknown(name))?;
        self.with_group(name, change)
    }

    /// Looks at the group of this name; `None` if it has neither members nor offsets.
    fn look<T>(&self, name: &str, look: impl FnOnce(&Group) -> T) -> Option<T> {
        self.groups.look(name, look)
    }

    /// What `group` has committed for a partition of the topic with this id.
    pub(crate) fn committed(&self, group: &str, partition: &TopicPartition, topic_id: u128) -> Option<CommittedOffset> {
        let found = self.look(group, |group| group.committed.get(partition).cloned())?;
        found.filter(|committed| committed.is_of(topic_id))
    }

    /// The names of all groups, in ascending order.
    pub(crate) fn names(&self) -> Vec<String> {
        self.groups.ids()
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

    /// What there is to know of all groups now, in ascending order of their names. Changes nothing, whoever is late.
    pub(crate) fn descriptions(&self) -> Vec<GroupDescription> {
        self.names().iter().filter_map(|name| self.look(name, GroupDescription::of)).collect()
    }

    /// Forgets a group that has no members: its offsets too.
    ///
    /// # Errors
    /// [`Error::UnknownGroup`], [`Error::GroupNotEmpty`], [`Error::OffsetsPending`]; and as for a commit.
    pub(crate) fn delete(&self, name: &str, now: Duration) -> Result<()> {
        let appended = self.with_known_group(name, |group, log| {
            group.watch_time(now);
            if !group.members.is_empty() {
                return Err(Error::GroupNotEmpty { group: name.to_owned(), member_count: group.members.len() });
            }
            if let Some(transactional_id) = group.staged.ids().next() {
                let transactional_id = transactional_id.to_string();
                return Err(Error::OffsetsPending { group: name.to_owned(), transactional_id });
            }
            let appended = append_tombstones(log, name, group.committed.keys())?;
            group.committed.clear();
            Ok(appended)
        })?;
        self.groups.wait_durable(name, appended)
    }

    /// Sets offsets of a group, whether or not it has members: those are put out, begin anew at their next poll, and can
    /// commit nothing of what they did before.
    pub(crate) fn reset(
        &self,
        name: &str,
        offsets: &Offsets,
        check_present: impl FnOnce() -> Result<()>,
        now: Duration,
    ) -> Result<()> {
        let committed = self.with_group(name, |group, log| {
            // Here, so that no offset comes after those of a topic were forgotten.
            check_present()?;
            let appended = append_offsets(log, name, offsets)?;
            if !group.members.is_empty() {
                group.remove_all(Removal::OffsetsReset);
            }
            Ok(group.take_in(log, appended, offsets, now))
        })?;
        self.settle(name, offsets, committed)
    }

    /// Returns when `offsets` are as durable as they are to be. If it is not known whether they will be there after the next
    /// opening, the group stands where it stood before; if they are only not durable yet, where they say.
    fn settle(&self, name: &str, offsets: &Offsets, committed: Committed) -> Result<()> {
        let Committed { appended, before } = committed;
        self.groups.wait_durable(name, appended).inspect_err(|error| {
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
    pub(crate) fn remove_instance(&self, name: &str, instance_id: &str, now: Duration) -> Result<bool> {
        self.with_known_group(name, |group, _| {
            let is_removed = group.remove_instance(instance_id);
            if is_removed {
                group.note_used(now);
            }
            Ok(is_removed)
        })
    }

    /// Forgets what all groups have committed for a topic that is being deleted, so that a later topic of the same name does
    /// not begin where this one ended; not after a power cut either, whatever the durability of commits.
    pub(crate) fn forget_topic(&self, topic: &str) -> Result<()> {
        if planted(Canary::KeepOffsetsOfDeleted) {
            return Ok(());
        }
        if self.forget(|partition, _| partition.topic() == topic, |noted| noted)? {
            self.groups.wait_all_durable()?;
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
                let committed = group.committed.iter().filter(|(partition, committed)| is_gone(partition, committed));
                let mut gone: BTreeSet<_> = committed.map(|(partition, _)| partition.clone()).collect();
                // Whatever becomes of their transactions.
                gone.extend(group.staged.partitions(&is_gone));
                is_well(append_tombstones(log, &name, gone.iter()).map(drop))?;
                for partition in &gone {
                    group.committed.remove(partition);
                    group.staged.make_void(partition);
                }
                Ok(!gone.is_empty())
            })?;
        }
        Ok(any)
    }
}

impl CommittedOffsets for GroupCoordinator {
    fn committed_offset(&self, group: &str, partition: &TopicPartition, topic_id: u128) -> Option<u64> {
        self.committed(group, partition, topic_id).map(|committed| committed.offset())
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
    /// Takes in offsets that were appended there, and tells those who keep records for this group.
    fn take_in(&mut self, log: &StateLog, appended: Range<u64>, offsets: &Offsets, now: Duration) -> Committed {
        let before = self.put_offsets(offsets, now);
        log.note_committed(&self.name, offsets.iter().map(|(partition, at)| (partition.clone(), at.offset())));
        Committed { appended, before }
    }

    /// Notes who has lost what, and has the log remember who is in the group, if that has changed.
    fn end_change(&mut self, log: &StateLog) {
        self.note_losses();
        // A generation was written down, and is to be removed.
        self.is_changed |= self.is_empty() && self.generation > 0;
        if !std::mem::take(&mut self.is_changed) {
            return;
        }
        // Nobody depends on it in this life of the broker. The worst that follows from a full disk here is that after the next
        // opening a static member is not waited for.
        let _ = self.write_down(log);
        log.sync_later();
    }

    fn write_down(&self, log: &StateLog) -> Result<()> {
        let mut key = Vec::new();
        encode_group_key(&self.name, &mut key)?;
        let value = if self.is_empty() { None } else { Some(self.metadata_record(log.now_ms())?) };
        log.append(&[(key, value)]).map(drop)
    }
}

/// What `sources`, the partitions of `__consumer_offsets`, say of all groups, by name: for a broker that only reads.
///
/// # Errors
/// As [`coordinator::replay`].
pub(crate) fn descriptions(sources: &[PartitionSource], now: Duration) -> Result<BTreeMap<String, GroupDescription>> {
    // Nothing is divided here.
    let replay = Replay { absent: Absent::None, partition_count: &|_| u32::MAX, now };
    let Replayed { states, .. } = coordinator::replay(sources, false, |groups, record| replay.apply(groups, record))?;
    Ok(states.iter().map(|(name, group)| (name.clone(), GroupDescription::of(group))).collect())
}

/// The error for a group that is not there.
pub(crate) fn unknown(group: &str) -> Error {
    Error::UnknownGroup { group: group.to_owned() }
}

/// Appends offsets: all of them or none, whatever happens, unless they are too many for one batch. Returns where they are.
fn append_offsets(log: &StateLog, group: &str, offsets: &Offsets) -> Result<Range<u64>> {
    let records = offsets.iter().map(|(partition, committed)| offset_record(group, partition, committed));
    log.append(&records.collect::<Result<Vec<_>>>()?)
}

/// The record that says what a group has committed for a partition.
fn offset_record(group: &str, partition: &TopicPartition, committed: &CommittedOffset) -> Result<KeyValue> {
    let mut value = Vec::new();
    committed.as_record().encode(&mut value)?;
    Ok((offset_key(group, partition)?, Some(value)))
}

/// Appends that these offsets of a group are forgotten.
fn append_tombstones<'p>(
    log: &StateLog,
    group: &str,
    partitions: impl Iterator<Item = &'p TopicPartition>,
) -> Result<Range<u64>> {
    let records = partitions.map(|partition| Ok((offset_key(group, partition)?, None)));
    log.append(&records.collect::<Result<Vec<_>>>()?)
}

fn offset_key(group: &str, partition: &TopicPartition) -> Result<Vec<u8>> {
    let mut key = Vec::new();
    encode_offset_key(group, partition.topic(), partition.partition(), &mut key)?;
    Ok(key)
}
