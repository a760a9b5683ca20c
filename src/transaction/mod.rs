//! Transactions: who holds a name, what was sent in a transaction of theirs, and how it ends.
//!
//! ```text
//! send     ─▶ Holder: not fenced? ─▶ transactional batch in the log, which opens the transaction there      nothing else is written
//! commit   1  all that was sent is durable                  one round of the group commit, together with the markers from before
//!          2  PrepareCommit in `__transaction_state`        the decision: it names each log and the first offset there; durable
//!          3  COMMIT markers, one in each log               readers see the records; not waited for
//!          4  CompleteCommit
//! abort       PrepareAbort, ABORT markers, CompleteAbort    not waited for: what is undecided after a crash is aborted anyway
//! take over   the former holder's transaction is aborted    with an epoch that nobody had: PrepareAbort is durable before its markers
//!             Empty, with the next epoch                    durable before the new holder may send
//! ```
//! Until the markers of a commit are durable, each later record of the name says what that commit covered, and the next commit waits for
//! them: so whichever record of a name is found after a crash, it says all there is to say. Which transactions stand open then each log
//! tells by itself; `settling` ends them before anything is served.
//!
//! Locks: that of a name (the coordinator's cell) for its records; below it a group's, and below that the holder's, which is held for
//! an append and tells who may still send. No lock is held while something is waited for.

mod decided;
mod description;
mod ending;
#[cfg(feature = "testing")]
pub(crate) mod fuzzing;
mod holder;
mod name;
mod settling;
pub(crate) mod state_records;
mod taking_over;
mod timeouts;

use std::sync::Arc;
use std::time::Duration;

pub use description::{OpenPartition, TransactionDescription, TransactionState};
pub(crate) use description::{covered_by_commits, descriptions};
pub(crate) use holder::Holder;
pub(crate) use settling::{Settled, abort_all};
pub(crate) use taking_over::Terms;
pub(crate) use timeouts::TransactionTimeouts;

use crate::coordinator::Coordinator;
use crate::error::{Corruption, Error, Result};
use crate::partition::environment::Environment;
use crate::partition::log::Log;
use crate::sync::Mutex;
use crate::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use holder::Refusal;
use name::Name;
use settling::Owed;

/// The internal topic that keeps the names and the decisions.
pub(crate) use state_records::TRANSACTION_STATE_TOPIC;

/// All transactional ids of a broker.
#[derive(Debug)]
pub(crate) struct TransactionCoordinator {
    names: Coordinator<Name>,
    environment: Arc<Environment>,
    /// How long a name is kept that nobody uses.
    expiration: Option<Duration>,
    /// The first deadline that the maintenance knows of, in ns by the monotonic clock.
    next_due_ns: AtomicU64,
    /// Markers that there was no room for when the directory was opened.
    owed: Mutex<Vec<Owed>>,
    /// The broker is being closed: nobody takes a name over any more.
    is_closing: AtomicBool,
}

impl TransactionCoordinator {
    /// Reads every name out of `logs`, the partitions of `__transaction_state`: at least one.
    ///
    /// # Errors
    /// As [`Coordinator::load`].
    pub(crate) fn load(
        logs: Vec<Arc<Log>>,
        environment: &Arc<Environment>,
        expiration: Option<Duration>,
        skips_corrupt: bool,
    ) -> Result<TransactionCoordinator> {
        let now = environment.disk.monotonic();
        let names = Coordinator::load(logs, skips_corrupt, |names, record| Name::apply(names, record, now))?;
        Ok(TransactionCoordinator {
            names,
            environment: Arc::clone(environment),
            expiration,
            next_due_ns: AtomicU64::new(u64::MAX),
            owed: Mutex::default(),
            is_closing: AtomicBool::new(false),
        })
    }

    /// What was passed over when the names were read back.
    pub(crate) fn skipped(&self) -> &[Corruption] {
        self.names.skipped()
    }

    /// The monotonic clock.
    fn now(&self) -> Duration {
        self.environment.disk.monotonic()
    }

    /// Ends every transaction that is open, and refuses all that comes later, since the broker is being closed.
    ///
    /// # Errors
    /// The first one met; all had their turn.
    pub(crate) fn close(&self) -> Result<()> {
        self.is_closing.store(true, Ordering::SeqCst);
        let mut result = Ok(());
        for id in self.names.ids() {
            result = result.and(self.close_name(&id));
        }
        result
    }

    fn close_name(&self, id: &str) -> Result<()> {
        let decided = self.names.change(id, |name, log| {
            if let Some(holder) = name.holder.clone() {
                if name.decided.is_none() {
                    // Where it has lost its transaction already, there is nothing to do.
                    _ = name.decide_abort(log, &holder, Some(Refusal::Closed));
                }
                holder.refuse(Refusal::Closed);
            }
            name.decided.clone()
        })?;
        decided.map_or(Ok(()), |decided| self.finish(id, &decided))
    }
}

/// The error for a name that is not there.
pub(crate) fn unknown(transactional_id: &str) -> Error {
    Error::UnknownTransactionalId { transactional_id: transactional_id.to_owned() }
}
