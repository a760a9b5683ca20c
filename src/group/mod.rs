//! Consumer groups: who is a member, and which offsets were committed.
//!
//! Committed offsets are records in the internal topic `__consumer_offsets`, with Kafka's schemas (`offset_records`). They are
//! read once, when the first group is used, and then kept in memory; a commit is appended first and counts then. For now a
//! group has one member.

pub(crate) mod assignor;
pub(crate) mod coordinator_partition;
pub(crate) mod group_records;
pub(crate) mod offset_records;
mod schema;

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use parking_lot::Mutex;

use coordinator_partition::coordinator_partition;

use crate::error::{Error, Result};
use crate::partition::FetchLimits;
use crate::partition::log::Log;
use crate::record::{ConsumerRecord, ConsumerRecords, ProducerRecord};
use crate::topic_partition::TopicPartition;
use offset_records::{Key, OffsetCommit, encode_offset_key};

/// The internal topic that holds the committed offsets.
pub(crate) const OFFSETS_TOPIC: &str = "__consumer_offsets";

/// A position that a group has committed in one partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommittedOffset {
    /// The offset of the next record to read.
    pub(crate) offset: u64,
    /// The leader epoch of the last record read, if known.
    pub(crate) leader_epoch: Option<i32>,
}

impl CommittedOffset {
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
}

/// All groups of a broker.
#[derive(Debug)]
pub(crate) struct Coordinator {
    /// The partitions of `__consumer_offsets`.
    logs: Vec<Arc<Log>>,
    groups: Mutex<HashMap<String, Group>>,
}

#[derive(Debug, Default)]
struct Group {
    has_member: bool,
    committed: HashMap<TopicPartition, CommittedOffset>,
}

impl Coordinator {
    /// Reads every committed offset out of `logs`, the partitions of `__consumer_offsets`: at least one.
    ///
    /// # Errors
    /// [`Error::Corrupt`] if a record there cannot be read; [`Error::Io`].
    pub(crate) fn load(logs: Vec<Arc<Log>>) -> Result<Coordinator> {
        let mut groups = HashMap::new();
        for log in &logs {
            replay_all(&mut groups, log)?;
        }
        Ok(Coordinator { logs, groups: Mutex::new(groups) })
    }

    /// Appends to the partition that keeps what belongs to `group`.
    fn append(&self, group: &str, records: &[ProducerRecord<'_>]) -> Result<()> {
        let index = coordinator_partition(group, u32::try_from(self.logs.len()).unwrap_or(u32::MAX));
        let log = self.logs.get(index as usize).ok_or(Error::InvalidState { reason: "no partition keeps offsets" })?;
        records.chunks(COMMITS_PER_BATCH).try_for_each(|some| log.append(some).map(drop))
    }

    /// Joins `group` as its only member, until the membership is dropped.
    ///
    /// # Errors
    /// [`Error::GroupInUse`] if it has one already.
    pub(crate) fn join(self: &Arc<Coordinator>, group: &str) -> Result<Membership> {
        let mut groups = self.groups.lock();
        let state = groups.entry(group.to_owned()).or_default();
        if state.has_member {
            return Err(Error::GroupInUse { group: group.to_owned() });
        }
        state.has_member = true;
        Ok(Membership { coordinator: Arc::clone(self), group: group.to_owned() })
    }

    /// What `group` has committed for `partition`.
    pub(crate) fn committed(&self, group: &str, partition: &TopicPartition) -> Option<CommittedOffset> {
        self.groups.lock().get(group)?.committed.get(partition).cloned()
    }

    /// Forgets what all groups have committed for a topic that is being deleted, so that a later topic of the same name does
    /// not begin where this one ended; not after a power cut either, whatever the durability of commits.
    pub(crate) fn forget_topic(&self, topic: &str) -> Result<()> {
        let forgotten: Vec<(String, TopicPartition)> = {
            let groups = self.groups.lock();
            let all = groups.iter().flat_map(|(group, state)| state.committed.keys().map(move |tp| (group, tp)));
            all.filter(|(_, tp)| tp.topic() == topic).map(|(group, tp)| (group.clone(), tp.clone())).collect()
        };
        for (group, partition) in &forgotten {
            let key = offset_key(group, partition)?;
            self.append(group, &[ProducerRecord::to(OFFSETS_TOPIC).key(&key)])?;
        }
        if !forgotten.is_empty() {
            self.logs.iter().try_for_each(|log| log.wait_durable(log.log_end_offset()))?;
        }
        let mut groups = self.groups.lock();
        groups.values_mut().for_each(|state| state.committed.retain(|tp, _| tp.topic() != topic));
        Ok(())
    }

    /// Makes `offsets` the group's positions: all of them or none, whatever happens. No lock is held while appending, so the
    /// caller is the only one that commits for this group.
    fn commit(&self, group: &str, offsets: &[(TopicPartition, CommittedOffset)], now_ms: i64) -> Result<()> {
        let mut encoded = Vec::with_capacity(offsets.len());
        for (partition, committed) in offsets {
            let commit = OffsetCommit {
                offset: committed.offset,
                leader_epoch: committed.leader_epoch,
                metadata: "",
                commit_timestamp: now_ms,
                expire_timestamp: None,
                topic_id: None,
            };
            let mut value = Vec::new();
            commit.encode(&mut value)?;
            encoded.push((offset_key(group, partition)?, value));
        }
        let records: Vec<_> =
            encoded.iter().map(|(key, value)| ProducerRecord::to(OFFSETS_TOPIC).key(key).value(value)).collect();
        self.append(group, &records)?;
        if let Some(state) = self.groups.lock().get_mut(group) {
            state.committed.extend(offsets.iter().cloned());
        }
        Ok(())
    }
}

/// So many offsets are committed in one piece; with the longest names they stay below the largest batch.
const COMMITS_PER_BATCH: usize = 1000;

fn offset_key(group: &str, partition: &TopicPartition) -> Result<Vec<u8>> {
    let mut key = Vec::new();
    encode_offset_key(group, partition.topic(), partition.partition(), &mut key)?;
    Ok(key)
}

/// Applies every record of a partition of the offsets topic.
fn replay_all(groups: &mut HashMap<String, Group>, log: &Log) -> Result<()> {
    const LIMITS: FetchLimits = FetchLimits { bytes_max: 1 << 20, records_max: usize::MAX };
    let mut offset = log.log_start_offset();
    while offset < log.visible_end() {
        let fetched = log.fetch(offset, LIMITS)?;
        offset = fetched.next_offset;
        let mut records = ConsumerRecords::default();
        records.push(fetched);
        for record in &records {
            replay(groups, &record);
        }
    }
    Ok(())
}

/// Applies one record of the offsets topic. What is of another kind, or of a newer version, is passed over.
fn replay(groups: &mut HashMap<String, Group>, record: &ConsumerRecord<'_>) {
    let Some(Ok(Key::Offset { group, topic, partition })) = record.key().map(Key::decode) else { return };
    let partition = TopicPartition::new(topic, partition);
    match record.value().map(OffsetCommit::decode) {
        None => {
            if let Entry::Occupied(mut state) = groups.entry(group.to_owned()) {
                state.get_mut().committed.remove(&partition);
            }
        }
        Some(Ok(commit)) => {
            let committed = CommittedOffset { offset: commit.offset, leader_epoch: commit.leader_epoch };
            groups.entry(group.to_owned()).or_default().committed.insert(partition, committed);
        }
        Some(Err(_)) => {}
    }
}

/// Membership in a group; left when dropped.
#[derive(Debug)]
pub(crate) struct Membership {
    coordinator: Arc<Coordinator>,
    group: String,
}

impl Membership {
    pub(crate) fn group(&self) -> &str {
        &self.group
    }

    pub(crate) fn committed(&self, partition: &TopicPartition) -> Option<CommittedOffset> {
        self.coordinator.committed(&self.group, partition)
    }

    /// Commits; `&mut` because one commit of a group is under way at a time.
    pub(crate) fn commit(&mut self, offsets: &[(TopicPartition, CommittedOffset)], now_ms: i64) -> Result<()> {
        self.coordinator.commit(&self.group, offsets, now_ms)
    }
}

impl Drop for Membership {
    fn drop(&mut self) {
        if let Some(state) = self.coordinator.groups.lock().get_mut(&self.group) {
            state.has_member = false;
        }
    }
}
