//! What the records of `__consumer_offsets` say of the groups, one record after the other.

use std::time::Duration;

use super::committed_offset::CommittedOffset;
use super::offset_records::{Key, OffsetCommit};
use super::state::Group;
use crate::coordinator::{State, States};
use crate::record::ConsumerRecord;
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
}

impl Replay<'_> {
    /// Applies one record. What is of another kind, or of a newer version, is passed over.
    pub(super) fn apply(&self, groups: &mut States<Group>, record: &ConsumerRecord<'_>) {
        match record.key().map(Key::decode) {
            Some(Ok(Key::Offset { group, topic, partition })) => {
                let committed = record.value().map(OffsetCommit::decode);
                let group = self.of_name(groups, group);
                let partition = TopicPartition::new(topic, partition);
                match committed {
                    None => drop(group.committed.remove(&partition)),
                    Some(Ok(commit)) => drop(group.committed.insert(partition, CommittedOffset::from(commit))),
                    Some(Err(_)) => {}
                }
            }
            Some(Ok(Key::Group { group })) => self.of_name(groups, group).restore(record.value(), self),
            _ => {}
        }
    }

    fn of_name<'g>(&self, groups: &'g mut States<Group>, name: &str) -> &'g mut Group {
        groups.entry(name.to_owned()).or_insert_with(|| {
            let mut group = Group::new(name);
            group.note_used(self.now);
            group
        })
    }
}
