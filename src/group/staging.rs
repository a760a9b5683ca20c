//! Offsets in transactions: how they are staged, decided on, and counted or forgotten.
//!
//! ```text
//! stage ────▶ a record in the log, in the transaction, and noted     fails as a commit would
//! decide ───▶ held no more by what members lose                       fails if one has lost a partition since it was staged
//!             (the decision is made durable)                          consumers that begin there wait
//! end ──────▶ the group's offsets, or nothing                         they go on
//! ```
//! Nothing of this syncs. What `staged` notes is in memory only: when the groups are read back, every transaction is over.
//!
//! Whoever decides or ends a transaction may come late, when its producer has begun another one: so they say where in each log it has
//! ended, and what lies behind that is not theirs.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use super::committed_offset::CommittedOffset;
use super::member::Member;
use super::session::Removal;
use super::staged::{Progress, Reader};
use super::state::Group;
use super::{GroupCoordinator, Offsets, offset_record};
use crate::coordinator::StateLog;
use crate::error::{Error, Result};
use crate::partition::Ticket;
use crate::partition::log::Log;
use crate::partition::log_id::LogId;
use crate::record::ProducerRecord;
use crate::topic_partition::TopicPartition;

/// Where a consumer begins in a partition that it reads for its group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Beginning {
    /// At what the group has committed.
    At(CommittedOffset),
    /// It has committed nothing.
    Free,
    /// That is being decided. The ticket is delivered once it is.
    Undecided,
}

impl GroupCoordinator {
    /// From here on it does not matter to the transaction of this id what members of `group` lose, and nobody begins to read
    /// what it has staged before it [is over](GroupCoordinator::end_transaction). If it fails, the transaction is to be aborted.
    /// `sent_end` says for a log what all records of the transaction there lie below.
    ///
    /// # Errors
    /// [`Error::CommitRefused`] if a member has lost one of the partitions since, or another one has come to a group without
    /// members.
    pub(crate) fn decide(&self, group: &str, transactional_id: &str, sent_end: impl Fn(LogId) -> u64) -> Result<()> {
        self.with_staged(group, transactional_id, sent_end, |group, _| {
            let decided = group.staged.decide(transactional_id);
            decided.map_err(|(partition, loss)| group.refused(&partition, loss))
        })
    }

    /// The transaction of this id is over: what it has staged for `group` counts from now on, or is forgotten. Wakes consumers that wait
    /// for that: for callers that hold no lock. `sent_end` is as for [`decide`](GroupCoordinator::decide).
    ///
    /// # Errors
    /// [`Error::Forked`].
    pub(crate) fn end_transaction(
        &self,
        group: &str,
        transactional_id: &str,
        is_commit: bool,
        sent_end: impl Fn(LogId) -> u64,
    ) -> Result<()> {
        self.with_staged(group, transactional_id, sent_end, |group, log| {
            group.end_transaction(log, transactional_id, is_commit);
            Ok(())
        })
    }

    /// It cannot be known any more whether the transaction of this id has committed what it has staged for `group`: whoever is to begin
    /// there fails, until the broker is opened again. For callers that hold no lock. `sent_end` is as for
    /// [`decide`](GroupCoordinator::decide).
    ///
    /// # Errors
    /// [`Error::Forked`].
    pub(crate) fn doubt_transaction(
        &self,
        group: &str,
        transactional_id: &str,
        sent_end: impl Fn(LogId) -> u64,
    ) -> Result<()> {
        self.with_staged(group, transactional_id, sent_end, |group, _| {
            group.staged.doubt(transactional_id);
            Ok(())
        })
    }

    /// Runs `change` on a group for which the transaction has staged something, if that is the one that ends at `sent_end`.
    fn with_staged(
        &self,
        name: &str,
        transactional_id: &str,
        sent_end: impl Fn(LogId) -> u64,
        change: impl FnOnce(&mut Group, &StateLog) -> Result<()>,
    ) -> Result<()> {
        if self.look(name, |group| group.staged.progress(transactional_id)).flatten().is_none() {
            return Ok(());
        }
        self.with_group(name, |group, log| {
            let is_it = group.staged.end_offset(transactional_id) <= sent_end(log.id());
            if is_it { change(group, log) } else { Ok(()) }
        })
    }

    /// Where a consumer begins in a partition of the topic with this id. If that is not decided yet, `ticket` is delivered when it is.
    ///
    /// # Errors
    /// [`Error::InvalidState`] if it cannot be known before the broker is opened again.
    pub(super) fn begin(
        &self,
        group: &str,
        partition: &TopicPartition,
        topic_id: u128,
        ticket: &Ticket,
    ) -> Result<Beginning> {
        let of = |committed: Option<CommittedOffset>| match committed.filter(|committed| committed.is_of(topic_id)) {
            Some(committed) => Beginning::At(committed),
            None => Beginning::Free,
        };
        let look = |group: &Group| (group.committed.get(partition).cloned(), group.staged.undecided(partition));
        match self.look(group, look) {
            None => return Ok(Beginning::Free),
            Some((committed, None)) => return Ok(of(committed)),
            Some((_, Some(_))) => {}
        }
        self.with_group(group, |group, _| match group.staged.undecided(partition) {
            None => Ok(of(group.committed.get(partition).cloned())),
            Some(Progress::Doubtful) => Err(Error::InvalidState {
                reason: "it is not known whether a transaction has committed the group's offset; open the broker again",
            }),
            Some(_) => {
                group.staged.wait(partition, ticket);
                Ok(Beginning::Undecided)
            }
        })
    }
}

impl Group {
    /// Appends offsets in a transaction, by the caller's `append`, and notes them: those that are not committed already, and nothing
    /// staged for them.
    ///
    /// # Errors
    /// What `append` returns. What it has appended until then is noted.
    pub(super) fn stage(
        &mut self,
        log: &StateLog,
        transactional_id: &Arc<str>,
        reader: &Reader,
        offsets: &Offsets,
        mut append: impl FnMut(&Arc<Log>, &[ProducerRecord<'_>]) -> Result<Range<u64>>,
    ) -> Result<()> {
        if self.staged.progress(transactional_id).is_some_and(|progress| progress != Progress::Open) {
            return Err(Error::InvalidState { reason: "the transaction is being committed; begin another one" });
        }
        // Before those who have lost something are replaced by those who have it now.
        self.note_losses();
        let changed: Vec<_> = offsets.iter().filter(|(tp, committed)| self.is_news(tp, committed)).collect();
        if changed.is_empty() {
            return Ok(());
        }
        let records = changed.iter().map(|(tp, committed)| offset_record(&self.name, tp, committed));
        let mut at = Vec::with_capacity(changed.len());
        let appended = log.append_by(&records.collect::<Result<Vec<_>>>()?, |log, records| {
            append(log, records).inspect(|offsets| at.extend(offsets.clone()))
        });
        for (offset, at) in changed.into_iter().zip(at) {
            self.staged.put(transactional_id, reader, offset, at);
        }
        appended.map(drop)
    }

    /// Whether this would change anything: of partitions in which nothing was read, nothing is to be staged.
    fn is_news(&self, partition: &TopicPartition, offset: &CommittedOffset) -> bool {
        self.staged.is_staged(partition)
            || self.committed.get(partition).is_none_or(|committed| !committed.says_the_same(offset))
    }

    /// Makes a transaction's offsets the group's, or forgets them, and tells those who keep records for this group.
    fn end_transaction(&mut self, log: &StateLog, transactional_id: &str, is_commit: bool) {
        let offsets = self.staged.end(transactional_id, is_commit);
        self.note_used(log.monotonic());
        log.note_committed(&self.name, offsets.iter().map(|(partition, at)| (partition.clone(), at.offset())));
        self.committed.extend(offsets);
    }

    /// Notes which readers have lost a partition for which they have staged something. At the end of every change, so that none is
    /// missed that lasts only until the next one.
    pub(super) fn note_losses(&mut self) {
        let members = &self.members;
        self.staged.note_losses(|reader, partition| loss(members, reader, partition));
    }
}

/// Why a reader cannot commit this partition in a transaction any more, if so.
fn loss(members: &BTreeMap<String, Member>, reader: &Reader, partition: &TopicPartition) -> Option<&'static str> {
    match reader {
        Reader::ByHand if members.is_empty() => None,
        Reader::ByHand => Some("members have come to the group since its offset was sent to the transaction"),
        Reader::Member(member_id, session) => match members.get(member_id) {
            Some(member) if member.owned.contains(partition) => None,
            Some(_) => Some("the member has lost it since its offset was sent to the transaction"),
            None => Some(session.removal().map_or("the consumer that has read it has left the group", Removal::reason)),
        },
    }
}

#[cfg(test)]
mod tests;
