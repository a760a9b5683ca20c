//! What a broker does between calls: interval syncs, moving durability into segments, sealing idle batches.
//!
//! One pass over all logs, run by the caller or by one thread. It takes no lock that a send or poll waits for, but the append
//! lock for the moment of sealing an idle batch or of exchanging segments. Compaction may take long, so the syncs of an
//! interval are kept up in between.

use crate::sync::thread::{self, JoinHandle};
use std::cell::Cell;
use std::sync::Arc;
use std::time::Duration;

use crate::error::{Error, Result};
use crate::partition::durability::Durability;
use crate::partition::environment::Environment;
use crate::partition::log::Log;
use crate::sync::ArcSwap;
use crate::sync::atomic::{AtomicBool, Ordering};

/// How often a pass runs without being called for.
const PASS_INTERVAL: Duration = Duration::from_secs(1);

/// The logs to maintain; replaced as a whole when topics come and go.
pub(crate) type Logs = ArcSwap<Vec<Arc<Log>>>;

/// Runs one pass. Every log gets its turn; the first error is returned, and what failed is tried again in the next pass,
/// unless the log is poisoned.
pub(crate) fn run_pass(logs: &[Arc<Log>], environment: &Environment, is_stopping: &dyn Fn() -> bool) -> Result<()> {
    commit_intervals(logs, environment);
    environment.watchers.wake_due(environment.disk.monotonic());
    // What was woken may have closed the broker, on this thread.
    if is_stopping() {
        return Ok(());
    }
    let slots_are_short = environment.take_short_slots();
    environment.supply_slots();
    let mut result = Ok(());
    for log in logs {
        let sealed = if slots_are_short { log.seal_if_idle() } else { Ok(()) };
        let maintained = sealed.and_then(|()| log.checkpoint_if_due(slots_are_short));
        result = result.and(unless_deleted(maintained));
    }
    let interval = pass_interval(logs);
    let last_commit = Cell::new(environment.disk.monotonic());
    let go_on = || {
        let now = environment.disk.monotonic();
        if interval <= now.saturating_sub(last_commit.get()) {
            commit_intervals(logs, environment);
            last_commit.set(now);
        }
        !is_stopping()
    };
    for log in logs {
        result = result.and(unless_deleted(log.compact_if_due(&go_on)));
    }
    environment.note_pass(&result);
    result
}

/// What was done to a log, for whoever goes through many of them: that its topic was deleted meanwhile is no failure, as nobody
/// asks for its records any more.
pub(crate) fn unless_deleted(result: Result<()>) -> Result<()> {
    match result {
        Err(Error::Closed { .. }) => Ok(()),
        result => result,
    }
}

/// Makes durable what is so by interval, and what was appended for nobody who waits, such as who is in a group.
fn commit_intervals(logs: &[Arc<Log>], environment: &Environment) {
    let is_due = |log: &&Arc<Log>| log.durability() != Durability::Os && log.durable_offset() < log.log_end_offset();
    let due: Vec<_> = logs.iter().filter(is_due).cloned().collect();
    if !due.is_empty() {
        Log::commit_all(&due, environment);
    }
}

/// The time between passes that keeps every interval's promise.
fn pass_interval(logs: &[Arc<Log>]) -> Duration {
    let intervals = logs.iter().filter_map(|log| match log.durability() {
        Durability::Interval(interval) => Some(interval),
        _ => None,
    });
    intervals.fold(PASS_INTERVAL, Duration::min)
}

/// The thread that runs the passes.
#[derive(Debug)]
pub(crate) struct Worker {
    thread: JoinHandle<()>,
    environment: Arc<Environment>,
    stop: Arc<AtomicBool>,
}

impl Worker {
    /// Starts the thread. It holds logs and environment, and nothing that would keep a broker from being dropped.
    pub(crate) fn start(logs: Arc<Logs>, environment: Arc<Environment>) -> std::io::Result<Worker> {
        let stop = Arc::new(AtomicBool::new(false));
        let thread = thread::Builder::new().name("ottla-maintenance".to_owned()).spawn({
            let (environment, stop) = (Arc::clone(&environment), Arc::clone(&stop));
            move || {
                // A task that it woke may have forked, and this be the thread of the child.
                let is_stopping = || stop.load(Ordering::Acquire) || environment.files.is_forked();
                while !is_stopping() {
                    let logs = logs.load_full();
                    // A failed pass is noted and repeated; a failed sync has poisoned its log, which says so at the next send.
                    let _ = run_pass(&logs, &environment, &is_stopping);
                    let interval = pass_interval(&logs);
                    // Not held asleep: the files of a topic that is deleted meanwhile are gone when that call returns.
                    drop(logs);
                    environment.bell.wait(interval);
                }
            }
        })?;
        Ok(Worker { thread, environment, stop })
    }

    /// Ends the thread and waits for it, unless this is called on it: then it ends once it is back.
    pub(crate) fn stop(self) {
        self.stop.store(true, Ordering::Release);
        self.environment.bell.ring();
        // A task that it woke has dropped the last handle there and then.
        if self.thread.thread().id() == thread::current().id() {
            return;
        }
        // A panic there was reported by the panic hook already, and has poisoned nothing that is used from here on.
        let _ = self.thread.join();
    }
}
