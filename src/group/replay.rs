//! Reads the groups back from the records of `__consumer_offsets`.

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::Duration;

use super::committed_offset::CommittedOffset;
use super::offset_records::{Key, OffsetCommit};
use super::state::Group;
use crate::error::{Corruption, Error, Result};
use crate::partition::{FetchLimits, PartitionSource};
use crate::record::{ConsumerRecord, ConsumerRecords};
use crate::topic_partition::TopicPartition;

/// Whose consumers are gone for good when the groups are read back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Absent {
    /// Those of dynamic members, which went with their process. Static ones are away from now on.
    Dynamic,
    /// Nobody's: another process may have them.
    None,
}

/// In what circumstances the groups are read back.
pub(super) struct Replay<'r> {
    pub(super) absent: Absent,
    /// How many partitions a topic has now; 0 if it is gone.
    pub(super) partition_count: &'r dyn Fn(&str) -> u32,
    pub(super) now: Duration,
    /// Whether records that cannot be read are passed over.
    pub(super) skips_corrupt: bool,
}

/// What was read back.
#[derive(Default)]
pub(super) struct Replayed {
    pub(super) groups: BTreeMap<String, Group>,
    /// What was passed over.
    pub(super) skipped: Vec<Corruption>,
}

/// The groups of which `sources` tell.
pub(super) fn groups(sources: &[PartitionSource], replay: &Replay<'_>) -> Result<Replayed> {
    const LIMITS: FetchLimits = FetchLimits { bytes_max: 1 << 20, records_max: usize::MAX };
    let mut replayed = Replayed::default();
    for source in sources {
        let Range { start: mut offset, end } = source.bounds();
        while offset < end {
            let fetched = match source.fetch(offset, LIMITS) {
                Err(Error::Corrupt(damage)) if replay.skips_corrupt && damage.is_at(offset) => {
                    offset = damage.offsets.as_ref().map_or(end, |lost| lost.end);
                    replayed.skipped.push(*damage);
                    continue;
                }
                fetched => fetched?,
            };
            offset = fetched.next_offset;
            let mut records = ConsumerRecords::default();
            records.push(fetched);
            for record in &records {
                apply(&mut replayed.groups, &record, replay);
            }
        }
    }
    replayed.groups.retain(|_, group| !group.committed.is_empty() || !group.members.is_empty());
    Ok(replayed)
}

/// Applies one record. What is of another kind, or of a newer version, is passed over.
fn apply(groups: &mut BTreeMap<String, Group>, record: &ConsumerRecord<'_>, replay: &Replay<'_>) {
    match record.key().map(Key::decode) {
        Some(Ok(Key::Offset { group, topic, partition })) => {
            let committed = record.value().map(OffsetCommit::decode);
            let group = of_name(groups, group);
            let partition = TopicPartition::new(topic, partition);
            match committed {
                None => drop(group.committed.remove(&partition)),
                Some(Ok(commit)) => drop(group.committed.insert(partition, CommittedOffset::from(commit))),
                Some(Err(_)) => {}
            }
        }
        Some(Ok(Key::Group { group })) => of_name(groups, group).restore(record.value(), replay),
        _ => {}
    }
}

fn of_name<'g>(groups: &'g mut BTreeMap<String, Group>, name: &str) -> &'g mut Group {
    groups.entry(name.to_owned()).or_insert_with(|| Group::new(name))
}
