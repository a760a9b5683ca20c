//! What all logs of a broker share: the disk, its open files, the tails, and a bell for the maintenance.

use std::sync::Arc;
use std::time::Duration;

use super::durability::Durability;
use super::group_commit::GroupCommit;
use super::reader::Waypoints;
use super::waiters::Watchers;
use crate::disk::Disk;
use crate::disk::open_files::OpenFiles;
use crate::error::Result;
use crate::sync::atomic::{AtomicBool, Ordering};
use crate::sync::{Condvar, Mutex};

/// Shared by all logs of a broker.
#[derive(Debug)]
pub(crate) struct Environment {
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) files: Arc<OpenFiles>,
    /// The tail of `Always` topics, apart so that their syncs write nobody else's bytes.
    pub(crate) always: GroupCommit,
    /// The tail of all other topics.
    pub(crate) relaxed: GroupCommit,
    pub(crate) bell: Bell,
    /// Consumers, as far as they want to know of the topics or of the time.
    pub(crate) watchers: Arc<Watchers>,
    /// What readers know of batches in any log.
    pub(super) waypoints: Waypoints,
    /// A log found no free slot: idle ones are to be sealed.
    slots_are_short: AtomicBool,
    /// What went wrong in the last pass of the maintenance.
    pass_error: Mutex<Option<String>>,
}

impl Environment {
    pub(crate) fn new(
        files: Arc<OpenFiles>,
        disk: Arc<dyn Disk>,
        always: GroupCommit,
        relaxed: GroupCommit,
        watchers: Arc<Watchers>,
    ) -> Environment {
        let bell = Bell::default();
        let (waypoints, slots_are_short) = (Waypoints::default(), AtomicBool::new(false));
        let pass_error = Mutex::default();
        Environment { disk, files, always, relaxed, bell, watchers, waypoints, slots_are_short, pass_error }
    }

    /// The clock, in milliseconds since 1970 UTC; the format has no room for times before.
    #[inline]
    pub(super) fn now_ms(&self) -> i64 {
        self.disk.now_ms().max(0)
    }

    /// The group that makes topics of this durability durable.
    #[inline]
    pub(super) fn group(&self, durability: Durability) -> &GroupCommit {
        if durability == Durability::Always { &self.always } else { &self.relaxed }
    }

    /// Keeps free slots ahead of need in both tails, and then frees what was there before them.
    pub(crate) fn supply_slots(&self) {
        let tails = [&self.always, &self.relaxed].map(GroupCommit::tail);
        for tail in tails {
            tail.retry_supply();
            tail.supply_if_short();
        }
        for tail in tails {
            tail.release_replaced();
        }
    }

    /// Whether the tails are written by system calls, where a store through a map could meet a full disk.
    pub(crate) fn writes_tails_by_calls(&self) -> bool {
        [&self.always, &self.relaxed].iter().any(|group| group.tail().is_written_by_calls())
    }

    /// Whether a sync of a tail failed, also one that nobody waited for, as that of a tail that grows.
    pub(crate) fn has_failed(&self) -> bool {
        [&self.always, &self.relaxed].iter().any(|group| group.tail().has_failed())
    }

    /// Closes the tails, whoever still asks for slots. All logs are closed.
    pub(crate) fn close_tails(&self) {
        for group in [&self.always, &self.relaxed] {
            group.tail().close();
        }
    }

    /// What went wrong first in the last pass of the maintenance, if anything.
    pub(crate) fn pass_error(&self) -> Option<String> {
        self.pass_error.lock().clone()
    }

    /// Notes how a pass of the maintenance ended.
    pub(crate) fn note_pass(&self, result: &Result<()>) {
        *self.pass_error.lock() = result.as_ref().err().map(|error| error.with_causes().to_string());
    }

    pub(super) fn report_short_slots(&self) {
        self.slots_are_short.store(true, Ordering::Relaxed);
        self.bell.ring();
    }

    /// Whether a slot was missing since the last call.
    pub(crate) fn take_short_slots(&self) -> bool {
        self.slots_are_short.swap(false, Ordering::Relaxed)
    }
}

#[cfg(loom)]
pub(crate) mod models;

/// Calls the maintenance before its time. Ringing it costs one atomic store while it has been rung already.
#[derive(Debug, Default)]
pub(crate) struct Bell {
    rung: AtomicBool,
    lock: Mutex<()>,
    condvar: Condvar,
}

impl Bell {
    pub(crate) fn ring(&self) {
        if !self.rung.swap(true, Ordering::AcqRel) {
            let _not_between_check_and_wait = self.lock.lock();
            self.condvar.notify_all();
        }
    }

    /// Sleeps until rung or for `timeout`.
    pub(crate) fn wait(&self, timeout: Duration) {
        let mut lock = self.lock.lock();
        if !self.rung.swap(false, Ordering::AcqRel) {
            self.condvar.wait_for(&mut lock, timeout);
            // A swap, and no store: whoever rang meanwhile saw the bell rung and told nobody, so what they laid out before has
            // to be seen from here on.
            self.rung.swap(false, Ordering::AcqRel);
        }
    }
}
