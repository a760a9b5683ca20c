//! How a transaction ends: by its holder's commit or abort.

use std::sync::Arc;

use super::TransactionCoordinator;
use super::decided::Decided;
use super::holder::{Holder, Refusal, Sent};
use super::name::is_always;
use crate::canary::{Canary, planted};
use crate::error::{Error, Result, SendOutcome};
use crate::partition::durability::Durability;
use crate::partition::log::Log;

impl TransactionCoordinator {
    /// Begins the holder's next transaction, and returns its number. One that it has lost track of is aborted first.
    ///
    /// # Errors
    /// [`Error::Fenced`]; [`Error::DiskFull`] and others as long as the markers of the one before cannot be written.
    pub(crate) fn begin(&self, holder: &Arc<Holder>) -> Result<u64> {
        loop {
            let now = self.now();
            if let Some(number) = holder.begin(now, self.environment.disk.now_ms())? {
                self.call_at(now.saturating_add(holder.timeout));
                return Ok(number);
            }
            self.end_former(holder)?;
        }
    }

    /// Ends the transaction of before that the holder still has.
    fn end_former(&self, holder: &Arc<Holder>) -> Result<()> {
        let id = holder.transactional_id();
        let decided = self.names.change(id, |name, log| {
            if name.decided.is_none() {
                _ = name.decide_abort(log, holder, None)?;
            }
            Ok::<_, Error>(name.decided.clone())
        })??;
        decided.map_or(Ok(()), |decided| self.finish(id, &decided))
    }

    /// Commits transaction `number` of the holder.
    ///
    /// # Errors
    /// [`Error::TransactionAborted`], [`Error::Fenced`], [`Error::Closed`]: it was aborted. [`Error::NotDurable`]: it is committed, and a
    /// power cut may still take that back. [`Error::TransactionInDoubt`]: nobody knows.
    pub(crate) fn commit(&self, holder: &Arc<Holder>, number: u64) -> Result<()> {
        let (sent, has_failed) = holder.begin_ending(number)?;
        if sent.is_empty() && !has_failed {
            holder.end();
            return Ok(());
        }
        let decision = if has_failed {
            Err(Error::InvalidState { reason: "a call in it failed" })
        } else {
            self.decide(holder, &sent)
        };
        match decision {
            Ok(decided) => self.carry_out(holder, &decided),
            Err(source @ (Error::InDoubt { .. } | Error::PartlySent { .. })) => Err(doubt(holder, &sent, source)),
            Err(source) => Err(self.abort_instead(holder, source)),
        }
    }

    /// Commits what was decided to be.
    fn carry_out(&self, holder: &Arc<Holder>, decided: &Arc<Decided>) -> Result<()> {
        let id = holder.transactional_id();
        let durable = self.await_decision(id, decided);
        let durable = match durable {
            Err(error) if error.outcome() != SendOutcome::Appended => return Err(doubt(holder, &decided.sent, error)),
            durable => durable,
        };
        // It is committed, and readers see that. Where a marker is missing, that log says so itself, and the maintenance goes on.
        if decided.write_markers().is_ok() {
            self.note_complete(id, decided)?;
        } else {
            self.call_soon();
        }
        durable
    }

    /// Decides that what was sent is committed, once all of that is durable.
    fn decide(&self, holder: &Arc<Holder>, sent: &Sent) -> Result<Arc<Decided>> {
        let id = holder.transactional_id();
        sent.logs.values().try_for_each(|sent| sent.log.check_open())?;
        let is_durable = self.is_durable(holder, sent)?;
        // The decision takes the place of the one before, also where nobody waits for it: others may make it durable.
        let unsettled = self.unsettled_of(id);
        Log::wait_all_durable(&sent.ends().filter(|_| is_durable).chain(unsettled).collect::<Vec<_>>())?;
        for (groups, group) in &sent.groups {
            groups.decide(group, id, |log| sent.end_in(log))?;
        }
        if planted(Canary::DecideAfterMarkers) {
            let markers = sent.logs.values().map(|sent| sent.log.end_transaction(holder.producer, true, 0).map(drop));
            markers.collect::<Result<()>>()?;
        }
        self.names.change(id, |name, log| name.decide_commit(log, holder, is_durable))?
    }

    /// The logs with markers of the name's last commit that may not be durable, and up to where. A deleted topic needs none.
    pub(super) fn unsettled_of(&self, id: &str) -> Vec<(Arc<Log>, u64)> {
        let mut unsettled = self.names.look(id, |name| name.unsettled.clone()).unwrap_or_default();
        unsettled.retain(|(log, _)| !log.is_closed());
        unsettled
    }

    /// Whether a commit is durable when it returns: as soon as one of the topics, or the holder, asks for that.
    fn is_durable(&self, holder: &Holder, sent: &Sent) -> Result<bool> {
        let is_durable = |log: &Log| log.durability() == Durability::Always;
        let is_demanded = holder.is_durable || sent.logs.values().any(|sent| is_durable(&sent.log));
        Ok(is_demanded || self.names.change(holder.transactional_id(), |_, log| is_always(log))?)
    }

    /// Aborts what could not be committed, and says why.
    fn abort_instead(&self, holder: &Arc<Holder>, source: Error) -> Error {
        // Undecided is aborted: what is still to be written the maintenance or the next opening writes.
        if let Err(refused @ (Error::Fenced { .. } | Error::Closed { .. })) = self.abort_ending(holder) {
            return refused;
        }
        Error::TransactionAborted { transactional_id: holder.transactional_id().to_string(), source: Box::new(source) }
    }

    /// Aborts transaction `number` of the holder.
    ///
    /// # Errors
    /// [`Error::Fenced`], [`Error::Closed`]: somebody else has ended it. Others say why a marker could not be written, which is tried
    /// again: it is aborted nevertheless.
    pub(crate) fn abort(&self, holder: &Arc<Holder>, number: u64) -> Result<()> {
        holder.begin_ending(number)?;
        self.abort_ending(holder)
    }

    fn abort_ending(&self, holder: &Arc<Holder>) -> Result<()> {
        let id = holder.transactional_id();
        match self.names.change(id, |name, log| name.decide_abort(log, holder, None))?? {
            Some(decided) => self.finish(id, &decided).inspect_err(|_| self.call_soon()),
            None => Ok(()),
        }
    }

    /// Does what is left to do for a transaction whose outcome is fixed. Whoever comes by may: it is done once.
    ///
    /// # Errors
    /// Why the decision is not durable, or a marker could not be written; the next call tries again.
    pub(super) fn finish(&self, id: &str, decided: &Arc<Decided>) -> Result<()> {
        self.await_decision(id, decided)?;
        decided.write_markers()?;
        self.note_complete(id, decided)
    }

    /// Returns once the decision is durable, if it is to be.
    fn await_decision(&self, id: &str, decided: &Decided) -> Result<()> {
        let awaited = decided.awaited.clone().filter(|_| !planted(Canary::DecideAfterMarkers));
        awaited.map_or(Ok(()), |appended| self.names.wait_durable_at_once(id, appended))
    }

    fn note_complete(&self, id: &str, decided: &Arc<Decided>) -> Result<()> {
        self.names.change(id, |name, log| name.complete(log, decided))
    }

    /// The handle is given up: what it has begun is aborted, and its name is unused from now on.
    pub(crate) fn release(&self, holder: &Arc<Holder>) {
        let id = holder.transactional_id();
        let former = holder.lock().transaction.is_some();
        if former {
            // The maintenance does what cannot be done now.
            _ = self.end_former(holder);
        }
        let now = self.now();
        // In a process that was forked off, and where nothing can be known of the name, there is nothing to give up.
        _ = self.names.change(id, |name, _| {
            if name.holder.as_ref().is_some_and(|present| Arc::ptr_eq(present, holder)) {
                (name.holder, name.unused_since) = (None, now);
            }
        });
        if let Some(expiration) = self.expiration {
            self.call_at(now.saturating_add(expiration));
        }
    }
}

/// The disk failed under the decision: what became of it shows when the broker is opened again. The error that says so.
fn doubt(holder: &Holder, sent: &Sent, source: Error) -> Error {
    holder.refuse(Refusal::InDoubt);
    for (groups, group) in &sent.groups {
        // Only of a process that was forked off there is an error.
        _ = groups.doubt_transaction(group, holder.transactional_id(), |log| sent.end_in(log));
    }
    let transactional_id = holder.transactional_id().to_string();
    Error::TransactionInDoubt { transactional_id, source: Some(Box::new(source)) }
}

#[cfg(test)]
mod tests;
