//! Group commit: who syncs, who waits.
//!
//! Whoever needs durability and finds no sync running becomes the leader. It waits a moment for those whom the last round let
//! go, takes every log that was handed in until then, syncs once for all of them, and everyone covered returns. Whoever comes
//! while a sync runs waits for it to end, and one of those leads the next, which is the first that surely covers what they
//! wrote.
//!
//! One group commit stands for one tail file. After a failed sync of that file nothing is known about any batch in it, so the
//! group refuses for ever: a failed sync is never retried.

use std::sync::{Arc, OnceLock};

use super::log::Log;
use crate::canary::{Canary, planted};
use crate::sync::{Condvar, Mutex, MutexGuard, thread};
use crate::tail::Tail;

/// The group commit of one tail file.
#[derive(Debug)]
pub(crate) struct GroupCommit {
    tail: Tail,
    state: Mutex<State>,
    finished: Condvar,
    failure: OnceLock<String>,
}

/// So often in a row others have their turn and nobody comes, before a round begins without them. More made no difference.
const YIELDS: usize = 2;

#[derive(Debug, Default)]
struct State {
    /// Logs that the next round covers.
    pending: Vec<Arc<Log>>,
    running: bool,
    /// How many callers wait for the next round.
    waiting: usize,
    /// How many of them came since the last round ended, and how many that one let go.
    returned: usize,
    released: usize,
    rounds_started: u64,
    rounds_finished: u64,
}

impl GroupCommit {
    pub(crate) fn new(tail: Tail) -> GroupCommit {
        GroupCommit { tail, state: Mutex::default(), finished: Condvar::new(), failure: OnceLock::new() }
    }

    /// The tail file whose syncs are shared here.
    #[inline]
    pub(super) fn tail(&self) -> &Tail {
        &self.tail
    }

    /// Why the tail can no longer be relied on, if a sync of it failed.
    #[inline]
    pub(super) fn failure(&self) -> Option<&str> {
        self.failure.get().map(String::as_str)
    }

    /// Returns once a sync that began after this call has ended, for everything that `logs` had published before. Whether it
    /// succeeded, each log knows: its durable offset has risen, or it is poisoned.
    pub(crate) fn commit(&self, logs: &[Arc<Log>]) {
        let mut state = self.state.lock();
        state.pending.extend(logs.iter().filter(|log| log.enlist()).cloned());
        let round = state.rounds_started + 1;
        state.waiting += 1;
        state.returned += 1;
        while state.rounds_finished < round {
            if state.running {
                self.finished.wait(&mut state);
                continue;
            }
            state.running = true;
            state = self.await_returning(state);
            state.rounds_started += 1;
            state.released = std::mem::take(&mut state.waiting);
            let covered = std::mem::take(&mut state.pending);
            for log in &covered {
                log.delist();
            }
            drop(state);
            let finish = Finish { group: self };
            let risen = self.run(&covered);
            drop(finish);
            // After the round: a waker is the caller's code, and may well send and wait for the next round.
            for log in risen {
                log.wake_waiters();
            }
            state = self.state.lock();
        }
    }

    /// Gives those whom the last round let go the time to come back with their next record, as long as they keep coming: else
    /// every other round is for one half of the senders, and they wait for two. 16 senders on one partition: 1.8 to 2.2 times
    /// the rate, on 16 partitions 1.5 (on 2 cores with much else to do). Who sends alone does not wait.
    fn await_returning<'s>(&'s self, mut state: MutexGuard<'s, State>) -> MutexGuard<'s, State> {
        let mut patience = YIELDS;
        while patience > 0 && state.returned < state.released {
            let before = state.returned;
            drop(state);
            thread::yield_now();
            state = self.state.lock();
            patience = if before < state.returned { YIELDS } else { patience - 1 };
        }
        state
    }

    /// One round, by its leader, with no lock held. Returns the logs of which more is durable now.
    fn run<'l>(&self, logs: &'l [Arc<Log>]) -> Vec<&'l Arc<Log>> {
        let prepared: Vec<_> = logs.iter().map(|log| (log, log.prepare_commit())).collect();
        if prepared.iter().any(|(_, prepared)| prepared.needs_tail())
            && let Err(reason) = self.sync_tail()
        {
            for log in logs {
                log.poison(reason);
            }
            return Vec::new();
        }
        prepared.iter().filter(|(log, prepared)| log.finish_commit(prepared)).map(|(log, _)| *log).collect()
    }

    fn sync_tail(&self) -> Result<(), &str> {
        if planted(Canary::AckBeforeSync) || planted(Canary::RetryFailedSync) && self.tail.sync().is_err() {
            return Ok(());
        }
        if self.failure.get().is_none() {
            match self.tail.sync() {
                Ok(()) => return Ok(()),
                Err(error) => _ = self.failure.set(error.to_string()),
            }
        }
        Err(self.failure().unwrap_or_default())
    }
}

/// Ends a round even if its leader panics, so that nobody waits for ever.
struct Finish<'g> {
    group: &'g GroupCommit,
}

impl Drop for Finish<'_> {
    fn drop(&mut self) {
        let mut state = self.group.state.lock();
        state.running = false;
        state.rounds_finished = state.rounds_started;
        state.returned = 0;
        self.group.finished.notify_all();
    }
}
