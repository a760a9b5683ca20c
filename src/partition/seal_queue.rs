//! Which logs have full batches, for the thread that seals them beside the senders.
//!
//! One call of the system, the write of a full slot, takes as long as hundreds of appends: 18 to 26 us, every 590th of 100 bytes. Here a
//! sender leaves the full batch behind and goes on in another slot. Nor does it wake the thread for each, which would cost it 7 us:
//! while there is work the thread only naps, and once it sleeps several batches have to wait.

use std::collections::VecDeque;
use std::fmt::Debug;
use std::sync::Weak;
use std::time::Duration;

use crate::sync::Monitor;
use crate::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// Who seals the full batches of a log.
pub(crate) trait Seals: Debug + Send + Sync {
    /// Seals those that there are, the oldest first. What goes wrong is found again by the next who tries.
    fn seal_full(&self);
}

/// So many batches wait in all logs together, at about 64 KiB each, before senders seal for themselves.
const BATCHES_MAX: usize = 64;
/// So many wake the thread once it sleeps. Fewer may wait for as long as they like: they are where every open batch is. With one in
/// three of 590 records it stays out of the slowest 0.1 %.
const WAKES_AT: usize = 3;
/// How long the thread naps when it finds nothing to do. A sender at full speed fills three slots meanwhile.
const NAP: Duration = Duration::from_micros(200);
/// After so many naps in a row it sleeps until it is woken.
const NAPS_MAX: u32 = if cfg!(any(shuttle, loom)) { 1 } else { 50 };

/// The logs that have full batches: one entry for each batch, the oldest first.
#[derive(Debug, Default)]
pub(crate) struct SealQueue {
    state: Monitor<State>,
    /// Somebody seals what comes.
    is_served: AtomicBool,
    /// How many entries there are.
    waiting: AtomicUsize,
}

#[derive(Debug, Default)]
struct State {
    logs: VecDeque<Weak<dyn Seals>>,
    is_asleep: bool,
}

impl SealQueue {
    /// Whether a batch that is full may be left to be sealed.
    #[inline]
    pub(super) fn takes_batches(&self) -> bool {
        self.is_served.load(Ordering::Acquire) && self.waiting.load(Ordering::Relaxed) < BATCHES_MAX
    }

    /// A full batch of this log waits to be sealed.
    pub(super) fn add(&self, log: &Weak<dyn Seals>) {
        let mut state = self.state.lock();
        state.logs.push_back(Weak::clone(log));
        let waiting = state.logs.len();
        self.waiting.store(waiting, Ordering::Relaxed);
        if state.is_asleep && WAKES_AT <= waiting {
            state.is_asleep = false;
            drop(state);
            self.state.notify_all();
        }
    }

    /// Somebody seals what comes from now on.
    pub(crate) fn begin(&self) {
        self.is_served.store(true, Ordering::Release);
    }

    /// Nobody does any more, and the thread ends. Whoever has full batches seals them.
    pub(crate) fn end(&self) {
        self.is_served.store(false, Ordering::Release);
        self.state.lock().is_asleep = false;
        self.state.notify_all();
    }

    /// Seals whatever waits.
    pub(crate) fn seal_waiting(&self) {
        while let Some(log) = self.pop() {
            seal(&log);
        }
    }

    /// Seals what comes, until there is an [end](SealQueue::end).
    pub(crate) fn serve(&self) {
        let mut naps = 0;
        while self.is_served.load(Ordering::Acquire) {
            match self.pop() {
                Some(log) => {
                    seal(&log);
                    naps = 0;
                }
                None if naps < NAPS_MAX => {
                    naps += 1;
                    self.nap();
                }
                None => self.sleep(),
            }
        }
    }

    fn pop(&self) -> Option<Weak<dyn Seals>> {
        let mut state = self.state.lock();
        let log = state.logs.pop_front();
        self.waiting.store(state.logs.len(), Ordering::Relaxed);
        log
    }

    fn nap(&self) {
        let state = self.state.lock();
        if self.is_served.load(Ordering::Acquire) {
            drop(state.wait_for(NAP));
        }
    }

    /// Sleeps until several batches wait.
    fn sleep(&self) {
        let mut state = self.state.lock();
        state.is_asleep = self.is_served.load(Ordering::Acquire) && state.logs.len() < WAKES_AT;
        while state.is_asleep {
            state = state.wait();
        }
    }
}

fn seal(log: &Weak<dyn Seals>) {
    // One that is gone has no batches.
    if let Some(log) = log.upgrade() {
        log.seal_full();
    }
}
