//! Taking a name over: whoever held it before is fenced, and what it had begun is aborted.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use super::decided::Decided;
use super::holder::{Holder, Ongoing, Refusal};
use super::name::Name;
use super::state_records::Status;
use super::{TransactionCoordinator, unknown};
use crate::coordinator::StateLog;
use crate::error::{ClosedBy, Error, FencedBy, Result};
use crate::events::Event;
use crate::sync::atomic::Ordering;

/// On what terms a name is taken over.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Terms {
    /// So long a transaction may be open.
    pub(crate) timeout: Duration,
    /// Whether commits are durable though no topic demands it.
    pub(crate) is_durable: bool,
}

/// What is to be done for who takes a name over.
enum Step {
    /// The former holder's transaction is decided, and is to be finished first.
    Finish(Arc<Decided>),
    /// It is the new holder's, once the record there is durable.
    Taken(Arc<Holder>, Range<u64>, Option<Vec<u8>>),
}

impl TransactionCoordinator {
    /// Takes a name over, and returns its holder and what it is to be told of the last commit.
    ///
    /// # Errors
    /// [`Error::DiskFull`], [`Error::Io`], [`Error::Poisoned`], [`Error::Corrupt`]: whoever held it before still does, unless its
    /// transaction was aborted. [`Error::Fenced`] if another one took it over meanwhile.
    pub(crate) fn take_over(&self, id: &str, terms: Terms, random: u128) -> Result<(Arc<Holder>, Option<Vec<u8>>)> {
        self.settle_owed()?;
        loop {
            match self.names.change(id, |name, log| self.next_step(name, log, terms, random))?? {
                Step::Finish(decided) => self.finish(id, &decided)?,
                Step::Taken(holder, appended, checkpoint) => {
                    // Whatever its topic demands: an epoch is never given out twice.
                    self.names.wait_durable_at_once(id, appended).map_err(why_not_durable)?;
                    self.names.change(id, |name, _| {
                        holder.lock().check_not_refused(&holder)?;
                        name.is_epoch_given = true;
                        Ok::<_, Error>(())
                    })??;
                    return Ok((holder, checkpoint));
                }
            }
        }
    }

    fn next_step(&self, name: &mut Name, log: &StateLog, terms: Terms, random: u128) -> Result<Step> {
        self.check_not_closing(&name.id)?;
        if let Some(decided) = &name.decided {
            return Ok(Step::Finish(Arc::clone(decided)));
        }
        let (former, newer) = (name.holder.clone(), Refusal::Fenced(FencedBy::Newer));
        // Held until the name is another one's: nobody would end what began in between.
        let mut state = former.as_ref().map(|former| former.lock());
        if let (Some(former), Some(state)) = (&former, &mut state)
            && state.refusal.is_none()
            && let Some(decided) = name.decide_abort_of(log, former, state, Some(newer))?
        {
            self.tell_fenced(&name.id, FencedBy::Newer, Some(&decided));
            return Ok(Step::Finish(decided));
        }
        let producer = name.next_producer(random);
        let record = name.record_of(log, producer, terms.timeout, Status::Empty);
        let checkpoint = record.checkpoint.clone();
        let appended = name.write(log, record)?;
        name.is_epoch_given = false;
        let holder = Holder::new(&name.id, producer, terms.timeout, terms.is_durable);
        // What could not be written down has fenced nobody.
        if let Some(state) = &mut state
            && state.refusal.is_none()
        {
            state.refusal = Some(newer);
            self.tell_fenced(&name.id, FencedBy::Newer, None);
        }
        name.holder = Some(Arc::clone(&holder));
        Ok(Step::Taken(holder, appended, checkpoint))
    }

    fn check_not_closing(&self, id: &str) -> Result<()> {
        if self.is_closing.load(Ordering::SeqCst) {
            return Err(Error::Closed { what: format!("the transactional producer {id:?}"), by: ClosedBy::Broker });
        }
        Ok(())
    }

    /// Aborts the transaction that is open under this name, and fences who has it. Whether there was one.
    ///
    /// # Errors
    /// [`Error::UnknownTransactionalId`]; [`Error::InvalidState`] for one that is decided; what writing it down returns.
    pub(crate) fn abort_by_hand(&self, id: &str) -> Result<bool> {
        self.names.look(id, |_| ()).ok_or_else(|| unknown(id))?;
        let decided = self.names.change(id, |name, log| {
            if name.decided.is_some() {
                let reason = "the transaction is decided, and is being completed: it cannot be aborted any more";
                return Err(Error::InvalidState { reason });
            }
            name.fence(log, FencedBy::Admin, |_| true)
        })??;
        self.finish_fenced(id, FencedBy::Admin, decided)
    }

    /// Aborts the transaction that is open under this name, if it is overdue and nobody ends it, and fences who has it.
    ///
    /// # Errors
    /// What writing it down returns.
    pub(super) fn abort_overdue(&self, id: &str, now: Duration) -> Result<()> {
        let (by, decided) = self.names.change(id, |name, log| {
            let timeout = name.holder.as_ref().map(|holder| holder.timeout).unwrap_or_default();
            let is_overdue = |ongoing: &Ongoing| ongoing.due(timeout).is_some_and(|due| due <= now);
            let by = FencedBy::Timeout(timeout);
            let decided = if name.decided.is_some() { None } else { name.fence(log, by, is_overdue)? };
            Ok::<_, Error>((by, decided))
        })??;
        self.finish_fenced(id, by, decided).map(drop)
    }

    fn finish_fenced(&self, id: &str, by: FencedBy, decided: Option<Arc<Decided>>) -> Result<bool> {
        let Some(decided) = decided else { return Ok(false) };
        self.tell_fenced(id, by, Some(&decided));
        self.finish(id, &decided).inspect_err(|_| self.call_soon())?;
        Ok(true)
    }
}

/// The name is nobody's then: what there is to tell is why.
impl TransactionCoordinator {
    /// Tells subscribers that the holder of a name is fenced, and of its transaction that was aborted with that, if there was one.
    fn tell_fenced(&self, id: &str, by: FencedBy, decided: Option<&Arc<Decided>>) {
        let (events, id, reason) = (self.environment.files.events(), || id.to_owned(), || by.to_string());
        events.add(|| Event::ProducerFenced { transactional_id: id(), reason: reason() });
        if let Some(decided) = decided {
            let partitions = decided.sent.logs.len();
            events.add(|| Event::TransactionAborted { transactional_id: id(), partitions, reason: reason() });
        }
    }
}

fn why_not_durable(error: Error) -> Error {
    match error {
        Error::NotDurable { source, .. } => *source,
        error => error,
    }
}

impl Name {
    /// Fences who has the name, and decides that the transaction is aborted, if one is open that is meant.
    fn fence(
        &mut self,
        log: &StateLog,
        by: FencedBy,
        is_meant: impl Fn(&Ongoing) -> bool,
    ) -> Result<Option<Arc<Decided>>> {
        let Some(holder) = self.holder.clone() else { return Ok(None) };
        let mut state = holder.lock();
        if state.refusal.is_none() && state.transaction.as_ref().is_some_and(is_meant) {
            self.decide_abort_of(log, &holder, &mut state, Some(Refusal::Fenced(by)))
        } else {
            Ok(None)
        }
    }
}
