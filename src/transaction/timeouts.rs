//! What happens to transactions and names by time: those that are open for too long are aborted, markers that are missing are
//! written, and names that nobody uses are forgotten.

use std::sync::{Arc, Weak};
use std::time::Duration;

use super::TransactionCoordinator;
use super::name::Name;
use crate::error::Result;
use crate::partition::bell::Work;
use crate::partition::environment::Expiring;
use crate::partition::log::Log;
use crate::partition::waiters::as_ns;
use crate::sync::atomic::Ordering;

/// What could not be done is tried again after so long.
const RETRY: Duration = Duration::from_secs(1);
/// So many looks at most within the time that names are kept: what expires is there for one of these parts longer.
const LOOKS: u32 = 60;

/// Has what is overdue in a coordinator dealt with, as long as that is there.
#[derive(Debug)]
pub(crate) struct TransactionTimeouts(Weak<TransactionCoordinator>);

impl TransactionTimeouts {
    pub(crate) fn new(transactions: &Arc<TransactionCoordinator>) -> TransactionTimeouts {
        TransactionTimeouts(Arc::downgrade(transactions))
    }
}

impl Expiring for TransactionTimeouts {
    fn expire(&self, now: Duration) -> (Result<()>, Option<Duration>) {
        let Some(transactions) = self.0.upgrade() else { return (Ok(()), None) };
        transactions.next_due_ns.store(u64::MAX, Ordering::SeqCst);
        let (result, next) = transactions.expire(now);
        let retry = result.as_ref().err().map(|_| now.saturating_add(RETRY));
        let next = next.into_iter().chain(retry).min();
        if let Some(next) = next {
            transactions.next_due_ns.fetch_min(as_ns(next), Ordering::SeqCst);
        }
        (result, next)
    }
}

/// What is due for a name.
enum Due {
    /// Its transaction has been open for too long.
    Abort,
    /// Its transaction is decided, and lacks markers.
    Finish,
    /// Nobody has used it for long enough.
    Forget,
    /// Nothing yet.
    At(Duration),
    Never,
}

impl TransactionCoordinator {
    /// Has the maintenance look at `due`, if it would not by then.
    pub(super) fn call_at(&self, due: Duration) {
        let due_ns = as_ns(due);
        if due_ns < self.next_due_ns.load(Ordering::Relaxed)
            && due_ns < self.next_due_ns.fetch_min(due_ns, Ordering::SeqCst)
        {
            self.environment.bell.ring(Work::Expiry);
        }
    }

    /// Has the maintenance try again what could not be done.
    pub(super) fn call_soon(&self) {
        self.call_at(self.now().saturating_add(RETRY));
    }

    /// Deals with what is overdue; the first error, and when to look again.
    fn expire(&self, now: Duration) -> (Result<()>, Option<Duration>) {
        let (mut result, mut next) = (self.settle_owed(), None);
        for id in self.names.ids() {
            let Some(due) = self.names.look(&id, |name| self.due(name, now)) else { continue };
            let done = match due {
                Due::Abort => self.abort_overdue(&id, now),
                Due::Finish => self.finish_decided(&id),
                Due::Forget => self.forget(&id, now),
                Due::At(due) => {
                    next = next.into_iter().chain([due]).min();
                    Ok(())
                }
                Due::Never => Ok(()),
            };
            result = result.and(done);
        }
        let next_look = self.expiration.map(|expiration| now.saturating_add(expiration / LOOKS));
        (result, next.into_iter().chain(next_look).min())
    }

    fn due(&self, name: &Name, now: Duration) -> Due {
        if name.decided.is_some() {
            return Due::Finish;
        }
        if let Some(holder) = &name.holder {
            let state = holder.lock();
            return match &state.transaction {
                Some(ongoing) if state.refusal.is_none() => match ongoing.due(holder.timeout) {
                    Some(due) if due <= now => Due::Abort,
                    Some(due) => Due::At(due),
                    None => Due::Never,
                },
                _ => Due::Never,
            };
        }
        match self.expiration.map(|expiration| name.unused_since.saturating_add(expiration)) {
            Some(due) if due <= now => Due::Forget,
            Some(due) => Due::At(due),
            None => Due::Never,
        }
    }

    fn finish_decided(&self, id: &str) -> Result<()> {
        let decided = self.names.look(id, |name| name.decided.clone()).flatten();
        decided.map_or(Ok(()), |decided| self.finish(id, &decided))
    }

    /// Forgets a name that nobody uses.
    fn forget(&self, id: &str, now: Duration) -> Result<()> {
        // What its last record says of a commit is not needed any more once the markers of that are durable.
        self.settle_owed()?;
        Log::wait_all_durable(&self.unsettled_of(id))?;
        self.names.change(id, |name, log| {
            // Somebody may have come since.
            if name.kept.is_empty() && matches!(self.due(name, now), Due::Forget) { name.forget(log) } else { Ok(()) }
        })?
    }
}
