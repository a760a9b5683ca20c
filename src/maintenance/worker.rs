//! The thread that does each kind of work when it is due.

use std::sync::Arc;
use std::time::Duration;

use super::compactor::Compactor;
use super::deadlines::Deadlines;
use super::syncs::Syncs;
use super::turn::RETRY;
use super::{Logs, budget, chores, dropper, retention, sealer};
use crate::partition::bell::{Calls, Work};
use crate::partition::environment::Environment;
use crate::partition::log::Log;
use crate::sync::atomic::{AtomicBool, Ordering};
use crate::sync::thread::{self, JoinHandle};

/// Does what is due, whoever calls it when: the thread without its sleep.
#[derive(Debug)]
pub(super) struct Rounds {
    logs: Arc<Logs>,
    environment: Arc<Environment>,
    deadlines: Deadlines,
    syncs: Syncs,
    compactor: Compactor,
    stop: Arc<AtomicBool>,
}

impl Rounds {
    /// Nothing is due yet, and tasks are served from now on. Everything stops at the next occasion once `stop` is set.
    pub(super) fn new(logs: Arc<Logs>, environment: Arc<Environment>, stop: Arc<AtomicBool>) -> Rounds {
        let compactor = Compactor::new(Arc::clone(&logs), Arc::clone(&environment), Arc::clone(&stop));
        environment.begin_serving_tasks();
        Rounds { logs, environment, deadlines: Deadlines::default(), syncs: Syncs::default(), compactor, stop }
    }

    /// Does what is due `now` or called for, and returns when something is due next.
    pub(super) fn run(&mut self, now: Duration, calls: Calls) -> Option<Duration> {
        // Not held asleep: the files of a topic that is deleted meanwhile are gone when that call returns.
        let logs = self.logs.load_full();
        for work in Work::ALL {
            // What was woken may have closed the broker, on this thread.
            if self.is_stopping() {
                break;
            }
            if self.deadlines.is_due(work, now, calls) {
                let next = self.run_one(work, &logs, now);
                self.deadlines.set(work, next);
                // Tasks that came meanwhile do not wait for all the rest.
                self.environment.serve_tasks();
            }
        }
        self.deadlines.first()
    }

    /// One turn. What failed is tried again; a failed sync has poisoned its log, which says so at the next send.
    fn run_one(&mut self, work: Work, logs: &[Arc<Log>], now: Duration) -> Option<Duration> {
        let environment = &*self.environment;
        match work {
            // Done after each kind of work.
            Work::Commits => None,
            Work::Syncs => self.syncs.run(logs, environment, now),
            Work::Wakers => environment.watchers.wake_due(now),
            Work::Slots => chores::supply_slots(logs, environment).noted(work, environment).next,
            Work::Budget => budget::keep_to_budget(logs, environment).noted(work, environment).next,
            Work::Checkpoints => chores::checkpoint(logs, environment).noted(work, environment).next,
            Work::Retention => retention::retain(logs, environment).noted(work, environment).next,
            Work::Expiry => retention::expire(environment).noted(work, environment).next,
            Work::Compaction => self.compactor.call().is_err().then_some(now + RETRY),
        }
    }

    fn is_stopping(&self) -> bool {
        // A task that was woken may have forked, and this be the thread of the child.
        self.stop.load(Ordering::Acquire) || self.environment.files.is_forked()
    }

    /// The thread: sleeps until something is due or called for, and does it. The one beside it ends with it.
    fn run_until_stopped(mut self) {
        let (mut now, mut calls) = (self.environment.disk.monotonic(), Calls::ALL);
        while !self.is_stopping() {
            let due = self.run(now, calls);
            self.environment.files.emit_events();
            let timeout = due.map(|due| due.saturating_sub(self.environment.disk.monotonic()));
            calls = self.environment.bell.wait(timeout);
            now = self.environment.disk.monotonic();
            // Who was not called has slept long enough, whatever rounding or a simulated clock says.
            if calls.is_empty() {
                now = now.max(due.unwrap_or(now));
            }
        }
    }
}

impl Drop for Rounds {
    /// After a panic nobody serves tasks any more, and they are told; at an orderly end the broker does it, once all is synced.
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.environment.end_serving_tasks();
        }
    }
}

/// A broker's threads.
#[derive(Debug)]
pub(crate) struct Worker {
    thread: JoinHandle<()>,
    /// The thread that seals full batches.
    sealer: Option<JoinHandle<()>>,
    /// The thread that deletes for the disk budget.
    dropper: Option<JoinHandle<()>>,
    environment: Arc<Environment>,
    stop: Arc<AtomicBool>,
}

impl Worker {
    /// Starts the thread. It holds logs and environment, and nothing that would keep a broker from being dropped.
    pub(crate) fn start(logs: Arc<Logs>, environment: Arc<Environment>) -> std::io::Result<Worker> {
        let stop = Arc::new(AtomicBool::new(false));
        let rounds = Rounds::new(Arc::clone(&logs), Arc::clone(&environment), Arc::clone(&stop));
        let thread = thread::Builder::new().name("ottla-maintenance".to_owned());
        let thread = thread.spawn(move || rounds.run_until_stopped())?;
        let mut worker = Worker { thread, sealer: None, dropper: None, environment, stop };
        match worker.start_others(logs) {
            Ok(()) => Ok(worker),
            Err(error) => {
                worker.stop();
                Err(error)
            }
        }
    }

    fn start_others(&mut self, logs: Arc<Logs>) -> std::io::Result<()> {
        self.sealer = Some(sealer::start(Arc::clone(&self.environment))?);
        self.dropper = dropper::start(logs, Arc::clone(&self.environment), Arc::clone(&self.stop))?;
        Ok(())
    }

    /// Ends the thread and waits for it, unless this is called on it: then it ends once it is back.
    pub(crate) fn stop(self) {
        self.stop.store(true, Ordering::Release);
        self.environment.bell.wake();
        self.environment.budget.iter().for_each(|budget| _ = budget.call());
        self.environment.seal_queue.end();
        // They run nobody's code, and are never this thread.
        for thread in [self.sealer, self.dropper].into_iter().flatten() {
            let _ = thread.join();
        }
        // A task that it woke has dropped the last handle there and then.
        if self.thread.thread().id() == thread::current().id() {
            return;
        }
        // A panic there was reported by the panic hook already, and has poisoned nothing that is used from here on.
        let _ = self.thread.join();
    }
}
