//! What open transactions have staged for one group: offsets that count once their transaction has committed.
//!
//! ```text
//!   stage             decide                 end, committed
//! ────────▶ Open ───────────────▶ Decided ─────────────────────▶ the group's offsets
//!            │ │                    │  ╲──── end, aborted ──────▶ forgotten
//!            │ └─ end, aborted      └──── doubt ──▶ Doubtful       until the broker is opened again
//!            └─ a reader has lost a partition: `decide` refuses
//! ```
//! An offset says that what lies before it was read, and is right only if nobody else reads that as well: so a transaction cannot commit
//! once one of its readers has lost a partition, even if it has it back. From `decide` on that holds it no more. Whoever begins to read
//! such a partition then waits for the end: only that says where.
//!
//! All offsets of a group are records of one log, in whatever transaction or in none, and of a partition the later record counts. What
//! an earlier one has staged is *void* from then on. Whoever reads the log back, which has the committed records in their order, comes to
//! the same.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::committed_offset::CommittedOffset;
use super::session::Session;
use crate::partition::Ticket;
use crate::topic_partition::TopicPartition;

/// What is staged for one group.
#[derive(Debug, Default)]
pub(super) struct Staged {
    /// By transactional id.
    transactions: BTreeMap<Arc<str>, Transaction>,
    /// Consumers that wait for where to begin in a partition.
    waiting: Vec<(TopicPartition, Ticket)>,
}

#[derive(Debug)]
struct Transaction {
    progress: Progress,
    offsets: BTreeMap<TopicPartition, StagedOffset>,
}

/// How far a transaction is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Progress {
    Open,
    /// It is being committed.
    Decided,
    /// Whether it has committed shows when the broker is opened again.
    Doubtful,
}

#[derive(Debug)]
struct StagedOffset {
    reader: Reader,
    /// Why it cannot be committed any more.
    loss: Option<&'static str>,
    /// The offset of its record in the log.
    at: u64,
    /// `None` if it is void.
    committed: Option<CommittedOffset>,
}

/// Who has read what an offset covers.
#[derive(Debug, Clone)]
pub(super) enum Reader {
    /// One who is no member of the group.
    ByHand,
    /// A member, by its id.
    Member(String, Arc<Session>),
}

impl Staged {
    pub(super) fn is_empty(&self) -> bool {
        self.transactions.is_empty()
    }

    /// The transactional ids.
    pub(super) fn ids(&self) -> impl Iterator<Item = &Arc<str>> {
        self.transactions.keys()
    }

    /// How far the transaction of this id is; `None` if it has staged nothing.
    pub(super) fn progress(&self, transactional_id: &str) -> Option<Progress> {
        Some(self.transactions.get(transactional_id)?.progress)
    }

    /// One above the last record of the transaction of this id; 0 if it has staged nothing.
    pub(super) fn end_offset(&self, transactional_id: &str) -> u64 {
        let offsets = self.transactions.get(transactional_id).into_iter().flat_map(|found| found.offsets.values());
        offsets.map(|offset| offset.at + 1).max().unwrap_or(0)
    }

    /// Takes in an offset whose record is at this offset of the log: the last one there.
    pub(super) fn put(
        &mut self,
        transactional_id: &Arc<str>,
        reader: &Reader,
        (partition, committed): &(TopicPartition, CommittedOffset),
        at: u64,
    ) {
        let new = || Transaction { progress: Progress::Open, offsets: BTreeMap::new() };
        let offsets = &mut self.transactions.entry(Arc::clone(transactional_id)).or_insert_with(new).offsets;
        // What was lost before stays lost.
        let loss = offsets.get(partition).and_then(|former| former.loss);
        let staged = StagedOffset { reader: reader.clone(), loss, at, committed: Some(committed.clone()) };
        offsets.insert(partition.clone(), staged);
    }

    /// Notes which readers have lost a partition, where that still matters; `loss` says why, if one has.
    pub(super) fn note_losses(&mut self, loss: impl Fn(&Reader, &TopicPartition) -> Option<&'static str>) {
        for transaction in self.transactions.values_mut().filter(|transaction| transaction.progress == Progress::Open) {
            for (partition, offset) in &mut transaction.offsets {
                offset.loss = offset.loss.or_else(|| loss(&offset.reader, partition));
            }
        }
    }

    /// Makes void what is staged for a partition by now, since a later record of the log says something else.
    pub(super) fn make_void(&mut self, partition: &TopicPartition) {
        self.make_void_below(partition, u64::MAX);
    }

    fn make_void_below(&mut self, partition: &TopicPartition, end: u64) {
        for transaction in self.transactions.values_mut() {
            if let Some(offset) = transaction.offsets.get_mut(partition).filter(|offset| offset.at < end) {
                offset.committed = None;
            }
        }
    }

    /// Whether something is staged for a partition that is not void.
    pub(super) fn is_staged(&self, partition: &TopicPartition) -> bool {
        self.transactions.values().any(|transaction| transaction.is_live(partition))
    }

    /// The partitions for which something is staged that `is_meant` says yes to.
    pub(super) fn partitions(
        &self,
        is_meant: impl Fn(&TopicPartition, &CommittedOffset) -> bool,
    ) -> Vec<TopicPartition> {
        let all = self.transactions.values().flat_map(|transaction| &transaction.offsets);
        let live = all.filter_map(|(partition, offset)| Some((partition, offset.committed.as_ref()?)));
        live.filter(|(partition, committed)| is_meant(partition, committed)).map(|(p, _)| p.clone()).collect()
    }

    /// From here on losses are not noted any more.
    ///
    /// # Errors
    /// A partition that was lost, and why.
    pub(super) fn decide(&mut self, transactional_id: &str) -> Result<(), (TopicPartition, &'static str)> {
        let Some(transaction) = self.transactions.get_mut(transactional_id) else { return Ok(()) };
        let mut offsets = transaction.offsets.iter();
        if let Some((partition, loss)) = offsets.find_map(|(partition, offset)| Some((partition, offset.loss?))) {
            return Err((partition.clone(), loss));
        }
        transaction.progress = Progress::Decided;
        Ok(())
    }

    /// Whether the transaction has committed cannot be known any more.
    pub(super) fn doubt(&mut self, transactional_id: &str) {
        if let Some(transaction) = self.transactions.get_mut(transactional_id) {
            transaction.progress = Progress::Doubtful;
        }
    }

    /// Forgets a transaction. Returns what the group has committed with it.
    pub(super) fn end(&mut self, transactional_id: &str, is_commit: bool) -> Vec<(TopicPartition, CommittedOffset)> {
        let ended = self.transactions.remove(transactional_id).filter(|_| is_commit);
        let offsets = ended.into_iter().flat_map(|transaction| transaction.offsets);
        let live = offsets.filter_map(|(partition, StagedOffset { at, committed, .. })| {
            self.make_void_below(&partition, at);
            Some((partition, committed?))
        });
        live.collect()
    }

    /// Whether it is open what the group has committed for a partition: how far the transaction is on which that depends.
    pub(super) fn undecided(&self, partition: &TopicPartition) -> Option<Progress> {
        let live = self.transactions.values().filter(|transaction| transaction.is_live(partition));
        let found = live.map(|transaction| transaction.progress);
        // In doubt stays in doubt, however the others end.
        found.filter(|progress| *progress != Progress::Open).max_by_key(|progress| *progress == Progress::Doubtful)
    }

    /// Has `ticket` delivered once it is known what the group has committed for a partition, or that it cannot be.
    pub(super) fn wait(&mut self, partition: &TopicPartition, ticket: &Ticket) {
        let place = (partition.clone(), ticket.clone());
        if !self.waiting.contains(&place) {
            self.waiting.push(place);
        }
    }

    /// Takes out the tickets that are to be delivered.
    pub(super) fn take_settled(&mut self) -> Vec<Ticket> {
        let waiting = std::mem::take(&mut self.waiting);
        let (later, settled) = waiting.into_iter().partition(|(p, _)| self.undecided(p) == Some(Progress::Decided));
        self.waiting = later;
        settled.into_iter().map(|(_, ticket): (TopicPartition, Ticket)| ticket).collect()
    }
}

impl Transaction {
    fn is_live(&self, partition: &TopicPartition) -> bool {
        self.offsets.get(partition).is_some_and(|offset| offset.committed.is_some())
    }
}
