//! Ending, when a directory is opened, the transactions that stand open in its logs.
//!
//! Each log says by its producer state which those are; the decisions in `__transaction_state` say which of them were committed: those
//! that begin in that log where the decision says. All others are aborted. A marker that there is no room for is owed: readers see the
//! outcome, and it is written once there is room.

use std::collections::HashMap;
use std::sync::Arc;

use super::TransactionCoordinator;
use super::state_records::{Covered, Status, TransactionRecord};
use crate::error::{Error, Result};
use crate::format::ProducerIdAndEpoch;
use crate::partition::log::{Log, OpenTransaction};
use crate::partition::log_id::LogId;

/// How many transactions, counted in each log, were ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Settled {
    pub(crate) committed: usize,
    pub(crate) aborted: usize,
}

/// A marker that could not be written yet.
#[derive(Debug, Clone)]
pub(super) struct Owed {
    log: Arc<Log>,
    producer: ProducerIdAndEpoch,
    is_commit: bool,
    ended_ms: i64,
}

/// How a transaction is to end.
struct Outcome {
    producer: ProducerIdAndEpoch,
    is_commit: bool,
    coordinator_epoch: i32,
    /// When that was decided; `None` if it is only now.
    ended_ms: Option<i64>,
}

impl Owed {
    fn is(&self, other: &Owed) -> bool {
        Arc::ptr_eq(&self.log, &other.log) && self.producer == other.producer
    }
}

impl TransactionCoordinator {
    /// Remembers, for each name, which logs hold markers of its last commit that may not be durable: those of the logs that `find`
    /// gives for what the commit covered. Of what a power cut has taken nothing is remembered: something else will come in its place.
    pub(crate) fn note_unsettled(&self, find: impl Fn(LogId) -> Option<Arc<Log>>) -> Result<()> {
        let find = |covered: &Covered| find(LogId { topic_id: covered.topic_id, partition: covered.partition });
        for id in self.names.ids() {
            self.names.change(&id, |name, _| {
                let Some(record) = &mut name.record else { return };
                let is_lost = |covered: &Covered| {
                    let log = find(covered).filter(|log| log.check_whole().is_ok());
                    log.is_some_and(|log| log.log_end_offset() <= covered.offsets.start)
                };
                record.covered.retain(|covered| !is_lost(covered));
                let (whole, broken): (Vec<_>, Vec<_>) = record
                    .covered
                    .iter()
                    .filter_map(|covered| Some((covered, find(covered)?)))
                    .partition(|(_, log)| log.check_whole().is_ok());
                name.unsettled = whole.into_iter().map(|(_, log)| (Arc::clone(&log), log.log_end_offset())).collect();
                name.kept = broken.into_iter().map(|(covered, _)| covered.clone()).collect();
            })?;
        }
        Ok(())
    }

    /// Ends every transaction that is open in one of `logs`, as it was decided.
    pub(crate) fn settle(&self, logs: &[Arc<Log>]) -> Settled {
        let mut records = HashMap::new();
        for id in self.names.ids() {
            if let Some(record) = self.names.look(&id, |name| name.record.clone()).flatten() {
                let ids = [record.producer_id, record.previous_producer_id];
                let record = Arc::new(record);
                records.extend(ids.into_iter().filter(|&id| 0 <= id).map(|id| (id, Arc::clone(&record))));
            }
        }
        let mut settled = Settled::default();
        let mut owed = settle_logs(logs, &mut settled, |log, open| {
            let record = records.get(&open.producer.id);
            let is_commit = record.is_some_and(|record| has_committed(record, log, open));
            let epoch = record.filter(|_| !is_commit).map_or(-1, |record| epoch_of(record, open.producer));
            let producer = ProducerIdAndEpoch { epoch: open.producer.epoch.max(epoch), ..open.producer };
            let ended_ms = record.filter(|_| is_commit).map(|record| record.last_update_ms);
            Outcome { producer, is_commit, coordinator_epoch: self.names.leader_epoch(), ended_ms }
        });
        if !owed.is_empty() {
            self.owed.lock().append(&mut owed);
            self.call_soon();
        }
        settled
    }

    /// Writes the markers for which there was no room.
    ///
    /// # Errors
    /// Why the first of them cannot be written now, either.
    pub(super) fn settle_owed(&self) -> Result<()> {
        // Each stays there until it is done: whoever comes meanwhile is not to think that there is nothing.
        let (owed, mut result) = (self.owed.lock().clone(), Ok(()));
        for owed in owed {
            let Owed { log, producer, is_commit, ended_ms } = &owed;
            let coordinator_epoch = self.names.leader_epoch();
            match log.end_transaction_below(u64::MAX, *producer, *is_commit, coordinator_epoch, *ended_ms) {
                Ok(_) | Err(Error::Closed { .. }) => self.owed.lock().retain(|other| !other.is(&owed)),
                Err(error) => result = result.and(Err(error)),
            }
        }
        result
    }
}

/// Aborts every transaction that is open in one of `logs`, where nothing was ever decided.
pub(crate) fn abort_all(logs: &[Arc<Log>]) -> Settled {
    let mut settled = Settled::default();
    // Where there is no room for a marker, the next opening writes it.
    _ = settle_logs(logs, &mut settled, |_, open| Outcome {
        producer: open.producer,
        is_commit: false,
        coordinator_epoch: 0,
        ended_ms: None,
    });
    settled
}

/// Ends what is open in `logs`, by what `outcome` says. Returns the markers that could not be written.
fn settle_logs(
    logs: &[Arc<Log>],
    settled: &mut Settled,
    outcome: impl Fn(&Log, &OpenTransaction) -> Outcome,
) -> Vec<Owed> {
    let mut owed = Vec::new();
    for log in logs.iter().filter(|log| log.has_open_transactions()) {
        for open in log.open_transactions() {
            let Outcome { producer, is_commit, coordinator_epoch, ended_ms } = outcome(log, &open);
            let ended_ms = ended_ms.unwrap_or_else(|| log.now_ms());
            *(if is_commit { &mut settled.committed } else { &mut settled.aborted }) += 1;
            match log.end_transaction_below(u64::MAX, producer, is_commit, coordinator_epoch, ended_ms) {
                Ok(_) | Err(Error::Closed { .. }) => {}
                Err(_) => owed.push(Owed { log: Arc::clone(log), producer, is_commit, ended_ms }),
            }
        }
    }
    owed
}

/// Whether the transaction that is open in this log is the one that the record says is committed.
fn has_committed(record: &TransactionRecord, log: &Log, open: &OpenTransaction) -> bool {
    let is_covered = record.covered.iter().any(|covered| {
        (covered.topic_id, covered.partition) == (log.topic_id(), log.partition().partition())
            && covered.offsets.start == open.first_offset
    });
    // A record that Kafka wrote says which partitions, and not from where on.
    let is_named = record.covered.is_empty()
        && record.status == Status::CompleteCommit
        && (record.producer_id, record.producer_epoch) == (open.producer.id, open.producer.epoch)
        && record.partitions.contains(log.partition());
    is_covered || is_named
}

/// The epoch that an abort of this producer's transaction gets by the record.
fn epoch_of(record: &TransactionRecord, producer: ProducerIdAndEpoch) -> i16 {
    if record.producer_id == producer.id { record.producer_epoch } else { producer.epoch }
}
