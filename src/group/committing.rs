//! Who may commit a partition, and what is committed.

use std::time::Duration;

use super::Offsets;
use super::committed_offset::CommittedOffset;
use super::session::{Removal, Session};
use super::state::{Group, Phase};
use crate::canary::{Canary, planted};
use crate::error::{Error, Result};
use crate::topic_partition::TopicPartition;

impl Group {
    /// Whether this member may commit this partition now.
    pub(super) fn check_owner(&self, member_id: &str, session: &Session, partition: &TopicPartition) -> Result<()> {
        let Some(member) = self.members.get(member_id) else {
            if planted(Canary::CommitUnfenced) {
                return Ok(());
            }
            return Err(self.refused(partition, session.removal().unwrap_or(Removal::Removed).reason()));
        };
        if member.owned.contains(partition) {
            return Ok(());
        }
        if self.phase != Phase::Stable {
            return Err(Error::RebalanceInProgress { group: self.name.to_string() });
        }
        Err(self.refused(partition, "the member does not own it any more; poll to hear what it owns"))
    }

    /// Whether somebody who is no member, and was assigned partitions by hand, may commit.
    pub(super) fn check_no_members(&self, partition: &TopicPartition) -> Result<()> {
        if self.members.is_empty() {
            return Ok(());
        }
        let reason =
            "partitions assigned by hand are not committed while the group has members; use a group of its own";
        Err(self.refused(partition, reason))
    }

    /// Takes in what was committed now; what was staged before is void. Returns what was there before, in the same order.
    pub(super) fn put_offsets(&mut self, offsets: &Offsets, now: Duration) -> Vec<Option<CommittedOffset>> {
        self.note_used(now);
        for (tp, _) in offsets {
            self.staged.make_void(tp);
        }
        offsets.iter().map(|(tp, committed)| self.committed.insert(tp.clone(), committed.clone())).collect()
    }

    /// Puts back what was there `before`, but for what was committed again since.
    pub(super) fn take_back_offsets(&mut self, offsets: &Offsets, before: Vec<Option<CommittedOffset>>) {
        for ((tp, committed), before) in offsets.iter().zip(before) {
            if self.committed.get(tp) == Some(committed) {
                match before {
                    Some(before) => drop(self.committed.insert(tp.clone(), before)),
                    None => drop(self.committed.remove(tp)),
                }
            }
        }
    }

    pub(super) fn refused(&self, partition: &TopicPartition, reason: &'static str) -> Error {
        Error::CommitRefused { group: self.name.to_string(), partition: partition.clone(), reason }
    }
}
