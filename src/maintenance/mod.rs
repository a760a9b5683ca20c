//! What a broker does between calls, and when: syncs for tasks and by intervals, tasks that are to be woken, slots of the tail that
//! are kept free, moving durability into segments, compaction.
//!
//! ```text
//! Work         is due                                                 done by
//! Commits      when a task waits for what it appended to be durable   ┐
//! Syncs        when the interval of a topic is over                   │
//! Wakers       at the first moment for which a task waits             │ worker: one thread, which sleeps until the first of
//! Slots        when called for; again after a while if none was got   │ these moments, or until it is called
//! Budget       when called for; again after a while if one failed     │
//! Checkpoints  when called for; again after a while if one failed     │
//! Retention    when a segment expires or is to be rolled; when called │
//! Expiry       when something of a layer above may have expired, or   │
//!              metrics are to be published                            ┘
//! Compaction   when called for; when a log has waited long enough,      compactor: a thread beside it, once there is some
//!              or the time of a tombstone is over; again after a while
//!              if one failed
//! ```
//! With a disk budget its work is done by a thread of its own, the dropper: no sync of others stands between a sender and its room. And
//! full batches are sealed by one, the [sealer], so that no write to a segment stands between a sender and its next record.
//!
//! Each kind of work says after each turn when its next one is due: with nothing to do, nothing is due, and nobody looks. Whoever
//! makes something due earlier rings the [bell](crate::partition::bell). A turn takes no lock that a send or poll waits for, but
//! the append lock for the moment of sealing an idle batch or of exchanging segments.
//!
//! Without threads, the caller does all there is to do at a time of their choice: [`run_all`].

mod budget;
mod chores;
mod compactor;
mod deadlines;
mod dropper;
mod retention;
mod sealer;
mod syncs;
#[cfg(test)]
mod tests;
mod turn;
mod worker;

use std::cell::Cell;
use std::sync::Arc;

pub(crate) use budget::RoomMaker;
pub(crate) use turn::unless_deleted;
pub(crate) use worker::Worker;

use turn::Turn;

use crate::error::Result;
use crate::partition::bell::Work;
use crate::partition::environment::Environment;
use crate::partition::log::Log;
use crate::sync::ArcSwap;

/// The logs to maintain; replaced as a whole when topics come and go.
pub(crate) type Logs = ArcSwap<Vec<Arc<Log>>>;

/// Does all that there is to do now, compaction included, on this thread. Every log gets its turn; the first error is returned,
/// and what failed is tried again the next time, unless the log is poisoned.
pub(crate) fn run_all(logs: &[Arc<Log>], environment: &Environment, is_stopping: &dyn Fn() -> bool) -> Result<()> {
    environment.seal_queue.seal_waiting();
    syncs::sync_all(logs, environment);
    environment.watchers.wake_due(environment.disk.monotonic());
    // What was woken may have closed the broker, on this thread.
    if is_stopping() {
        return Ok(());
    }
    let result = chores::supply_slots(logs, environment).noted(Work::Slots, environment).result;
    let result = result.and(chores::checkpoint(logs, environment).noted(Work::Checkpoints, environment).result);
    let result = result.and(retain_all(logs, environment, is_stopping));
    // After it: what is kept no longer makes room, too.
    let result = result.and(budget::keep_to_budget(logs, environment).noted(Work::Budget, environment).result);
    let result = result.and(retention::expire(environment).noted(Work::Expiry, environment).result);
    result.and(compact_all(logs, environment, is_stopping))
}

/// Deletes all that topics keep no longer.
fn retain_all(logs: &[Arc<Log>], environment: &Environment, is_stopping: &dyn Fn() -> bool) -> Result<()> {
    loop {
        let Turn { result, next } = retention::retain(logs, environment).noted(Work::Retention, environment);
        let is_done = next.is_none_or(|next| environment.disk.monotonic() < next);
        if result.is_err() || is_done || is_stopping() {
            return result;
        }
    }
}

/// Compacts what is due, and keeps up the syncs of intervals meanwhile, since it may take long.
fn compact_all(logs: &[Arc<Log>], environment: &Environment, is_stopping: &dyn Fn() -> bool) -> Result<()> {
    let interval = syncs::shortest_interval(logs);
    let last_sync = Cell::new(environment.disk.monotonic());
    let go_on = || {
        let now = environment.disk.monotonic();
        if interval.is_some_and(|interval| interval <= now.saturating_sub(last_sync.get())) {
            syncs::sync_all(logs, environment);
            last_sync.set(now);
        }
        !is_stopping()
    };
    chores::compact_all(logs, environment, &go_on).0
}
