//! Calls the maintenance before its time, and says what for.

use std::time::Duration;

use crate::sync::Monitor;
use crate::sync::atomic::{AtomicUsize, Ordering};

/// A kind of work of the maintenance. A call only says where to look: what there is to do, the logs and the environment know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Work {
    /// Tasks wait for what they have appended to be durable.
    Commits,
    /// Topics with an interval came or went, or something was appended that nobody waits for.
    Syncs,
    /// A task is to be woken at a time that is earlier than those of all others.
    Wakers,
    /// Slots of the tail ran short.
    Slots,
    /// More is taken on the disk than the budget allows.
    Budget,
    /// There is enough to be synced and noted, in some log.
    Checkpoints,
    /// A log that keeps its records for some time or up to some size has another segment, or was told so just now.
    Retention,
    /// Something expires from now on, which the environment names.
    Expiry,
    /// A log that is compacted has another sealed segment.
    Compaction,
}

impl Work {
    /// In the order in which it is done, what cannot wait first.
    pub(crate) const ALL: [Work; 9] = [
        Work::Commits,
        Work::Syncs,
        Work::Wakers,
        Work::Slots,
        Work::Budget,
        Work::Checkpoints,
        Work::Retention,
        Work::Expiry,
        Work::Compaction,
    ];
}

/// Some kinds of work.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Calls(usize);

impl Calls {
    /// All kinds: for who begins, and knows nothing yet.
    pub(crate) const ALL: Calls = Calls((1 << Work::ALL.len()) - 1);

    /// Whether there is none.
    pub(crate) fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether this kind is among them.
    pub(crate) fn contains(self, work: Work) -> bool {
        self.0 & 1 << work as usize != 0
    }
}

/// Wakes one thread. Ringing it for what it was rung for already costs one atomic operation.
#[derive(Debug, Default)]
pub(crate) struct Bell {
    calls: AtomicUsize,
    rung: Monitor<()>,
}

impl Bell {
    /// Calls for this work.
    pub(crate) fn ring(&self, work: Work) {
        self.add(1 << work as usize);
    }

    /// Wakes the thread for no work.
    pub(crate) fn wake(&self) {
        self.add(1 << Work::ALL.len());
    }

    fn add(&self, call: usize) {
        if self.calls.fetch_or(call, Ordering::AcqRel) == 0 {
            let _not_between_check_and_wait = self.rung.lock();
            self.rung.notify_all();
        }
    }

    /// Sleeps until rung or for `timeout`; for ever without one. Returns what it was rung for since the last time: nothing if
    /// the time is over.
    pub(crate) fn wait(&self, timeout: Option<Duration>) -> Calls {
        let lock = self.rung.lock();
        let mut calls = self.calls.swap(0, Ordering::AcqRel);
        if calls == 0 {
            let _lock = match timeout {
                Some(timeout) => lock.wait_for(timeout),
                None => lock.wait(),
            };
            // A swap, and no store: whoever rang meanwhile saw the bell rung and told nobody, so what they laid out before has
            // to be seen from here on.
            calls = self.calls.swap(0, Ordering::AcqRel);
        }
        Calls(calls)
    }
}

#[cfg(loom)]
pub(crate) mod models;
