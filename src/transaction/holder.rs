//! Who may send in the transactions of a name, and what they have sent in the present one.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use crate::error::{ClosedBy, Error, FencedBy, Result};
use crate::format::ProducerIdAndEpoch;
use crate::group::GroupCoordinator;
use crate::partition::AppendResult;
use crate::partition::log::Log;
use crate::partition::log_id::LogId;
use crate::record::ProducerRecord;
use crate::sync::{Mutex, MutexGuard};

/// A holder of a transactional id: what the producer's handle and the coordinator share. Its lock is held for an append, so that
/// whoever fences it knows of all that was sent, and nothing is sent after that.
#[derive(Debug)]
pub(crate) struct Holder {
    pub(super) transactional_id: Arc<str>,
    pub(super) producer: ProducerIdAndEpoch,
    pub(super) timeout: Duration,
    /// Whether commits are durable though no topic demands it.
    pub(super) is_durable: bool,
    state: Mutex<HolderState>,
}

#[derive(Debug, Default)]
pub(super) struct HolderState {
    /// Why nothing is taken any more.
    pub(super) refusal: Option<Refusal>,
    pub(super) transaction: Option<Ongoing>,
    /// How many transactions were begun.
    begun_count: u64,
}

/// Why a holder can send nothing any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    Fenced(FencedBy),
    /// The broker was closed.
    Closed,
    /// The outcome of its last transaction shows only when the broker is opened again.
    InDoubt,
}

/// A transaction that was begun, and has not ended.
#[derive(Debug)]
pub(super) struct Ongoing {
    number: u64,
    pub(super) phase: Phase,
    /// When it was begun, by the monotonic clock.
    pub(super) begun: Duration,
    /// The same in milliseconds since 1970 UTC.
    pub(super) start_ms: i64,
    pub(super) sent: Sent,
}

impl Ongoing {
    /// When it is to be aborted. One that is being ended has somebody who does that.
    pub(super) fn due(&self, timeout: Duration) -> Option<Duration> {
        (self.phase != Phase::Ending).then(|| self.begun.saturating_add(timeout))
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    Open,
    /// A call in it failed, and it can only be aborted.
    Failed,
    /// It is being committed or aborted.
    Ending,
}

/// What a transaction consists of.
#[derive(Debug, Clone, Default)]
pub(crate) struct Sent {
    /// The logs in which it is open.
    pub(super) logs: BTreeMap<LogId, SentTo>,
    /// The groups for which it has staged offsets.
    pub(super) groups: Vec<(Arc<GroupCoordinator>, String)>,
    /// What its holder is to be told once it is committed.
    pub(super) checkpoint: Option<Vec<u8>>,
}

/// What went to one log.
#[derive(Debug, Clone)]
pub(super) struct SentTo {
    pub(super) log: Arc<Log>,
    /// From its first record to its last one; records of others may be between them.
    pub(super) offsets: Range<u64>,
}

impl Sent {
    /// Whether there is nothing to end.
    pub(super) fn is_empty(&self) -> bool {
        self.is_unmarked() && self.checkpoint.is_none()
    }

    /// Whether no log and no group has to be told how it ends.
    pub(super) fn is_unmarked(&self) -> bool {
        self.logs.is_empty() && self.groups.is_empty()
    }
}

impl Holder {
    pub(super) fn new(
        transactional_id: &Arc<str>,
        producer: ProducerIdAndEpoch,
        timeout: Duration,
        is_durable: bool,
    ) -> Arc<Holder> {
        let transactional_id = Arc::clone(transactional_id);
        Arc::new(Holder { transactional_id, producer, timeout, is_durable, state: Mutex::default() })
    }

    /// The name.
    pub(crate) fn transactional_id(&self) -> &Arc<str> {
        &self.transactional_id
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, HolderState> {
        self.state.lock()
    }

    /// Begins the next transaction, and returns its number; `None` if the one before has not ended.
    pub(super) fn begin(&self, now: Duration, start_ms: i64) -> Result<Option<u64>> {
        let mut state = self.lock();
        state.check_not_refused(self)?;
        if state.transaction.is_some() {
            return Ok(None);
        }
        state.begun_count += 1;
        let number = state.begun_count;
        let (phase, sent) = (Phase::Open, Sent::default());
        state.transaction = Some(Ongoing { number, phase, begun: now, start_ms, sent });
        Ok(Some(number))
    }

    /// Appends records to a log in transaction `number`. It syncs nothing, and wakes nobody.
    ///
    /// # Errors
    /// [`Error::Fenced`], [`Error::TransactionFailed`]; as [`Log::append_transactional`].
    pub(crate) fn append(&self, number: u64, log: &Arc<Log>, records: &[ProducerRecord<'_>]) -> AppendResult {
        let mut state = self.lock();
        let sent = &mut state.open(self, number)?.sent;
        let appended = log.append_transactional(self.producer, records);
        let offsets = match &appended {
            Ok(appended) => appended.offsets(),
            Err(error) => match &**error {
                // Of what may have been appended the log is to have the end, too.
                Error::InDoubt { offsets, .. } => offsets.clone(),
                _ => return appended,
            },
        };
        let id = LogId { topic_id: log.topic_id(), partition: log.partition().partition() };
        sent.logs
            .entry(id)
            .and_modify(|sent| sent.offsets.end = sent.offsets.end.max(offsets.end))
            .or_insert_with(|| SentTo { log: Arc::clone(log), offsets });
        appended
    }

    /// Notes, before any of that is appended, that transaction `number` stages offsets for a group.
    ///
    /// # Errors
    /// As [`append`](Holder::append).
    pub(crate) fn note_group(&self, number: u64, groups: &Arc<GroupCoordinator>, group: &str) -> Result<()> {
        let mut state = self.lock();
        let sent = &mut state.open(self, number)?.sent;
        if sent.groups.iter().all(|(_, noted)| noted != group) {
            sent.groups.push((Arc::clone(groups), group.to_owned()));
        }
        Ok(())
    }

    /// What the holder is to be told once transaction `number` is committed.
    ///
    /// # Errors
    /// As [`append`](Holder::append).
    pub(crate) fn set_checkpoint(&self, number: u64, checkpoint: Vec<u8>) -> Result<()> {
        self.lock().open(self, number)?.sent.checkpoint = Some(checkpoint);
        Ok(())
    }

    /// What the holder is to be told once the transaction that is open is committed, if anything.
    pub(crate) fn checkpoint(&self) -> Option<Vec<u8>> {
        self.lock().transaction.as_ref().and_then(|ongoing| ongoing.sent.checkpoint.clone())
    }

    /// A call in transaction `number` failed: it can only be aborted.
    pub(crate) fn fail(&self, number: u64) {
        if let Some(ongoing) = &mut self.lock().transaction
            && ongoing.number == number
            && ongoing.phase == Phase::Open
        {
            ongoing.phase = Phase::Failed;
        }
    }

    /// Transaction `number` is to end, and takes nothing any more. Returns what it consists of, and whether a call in it failed.
    ///
    /// # Errors
    /// [`Error::Fenced`]: somebody else has ended it; [`Error::Closed`].
    pub(super) fn begin_ending(&self, number: u64) -> Result<(Sent, bool)> {
        let mut state = self.lock();
        state.check_not_refused(self)?;
        match &mut state.transaction {
            Some(ongoing) if ongoing.number == number && ongoing.phase != Phase::Ending => {
                let has_failed = ongoing.phase == Phase::Failed;
                ongoing.phase = Phase::Ending;
                Ok((ongoing.sent.clone(), has_failed))
            }
            _ => Err(ended()),
        }
    }

    /// Takes nothing any more, for the first reason given.
    pub(super) fn refuse(&self, refusal: Refusal) {
        self.lock().refusal.get_or_insert(refusal);
    }

    /// Its transaction is over.
    pub(super) fn end(&self) {
        self.lock().transaction = None;
    }

    fn refused(&self, refusal: Refusal) -> Error {
        let what = || format!("the transactional producer {:?}", &*self.transactional_id);
        match refusal {
            Refusal::Fenced(by) => Error::Fenced { what: what(), by },
            Refusal::Closed => Error::Closed { what: what(), by: ClosedBy::Broker },
            Refusal::InDoubt => {
                Error::TransactionInDoubt { transactional_id: self.transactional_id.to_string(), source: None }
            }
        }
    }
}

impl HolderState {
    pub(super) fn check_not_refused(&self, holder: &Holder) -> Result<()> {
        self.refusal.map_or(Ok(()), |refusal| Err(holder.refused(refusal)))
    }

    /// Transaction `number`, if it takes something.
    fn open(&mut self, holder: &Holder, number: u64) -> Result<&mut Ongoing> {
        self.check_not_refused(holder)?;
        let ongoing = self.transaction.as_mut().filter(|ongoing| ongoing.number == number);
        let ongoing = ongoing.ok_or_else(ended)?;
        match ongoing.phase {
            Phase::Open => Ok(ongoing),
            Phase::Failed => Err(Error::TransactionFailed {
                transactional_id: holder.transactional_id.to_string(),
                source: Box::new(Error::InvalidState { reason: "an earlier call in it failed" }),
            }),
            Phase::Ending => Err(Error::InvalidState { reason: "the transaction is being ended" }),
        }
    }
}

pub(super) fn ended() -> Error {
    Error::InvalidState { reason: "the transaction has ended" }
}
