//! Who compacts a log: one thread at a time, for which whoever retires the log waits.
//!
//! No lock, since between batches the caller of a compaction has its own code run, which may come to close the broker: a thread
//! does not wait for itself.

use crate::sync::Monitor;
use crate::sync::thread::{self, ThreadId};

/// Whether a log is being compacted, and by whom.
#[derive(Debug, Default)]
pub(in crate::partition) struct CompactionTurn {
    holder: Monitor<Option<ThreadId>>,
}

impl CompactionTurn {
    /// Has this thread compact, until what is returned is dropped; `None` while any thread does.
    pub(super) fn begin(&self) -> Option<Turn<'_>> {
        let mut holder = self.holder.lock();
        if holder.is_some() {
            return None;
        }
        *holder = Some(thread::current().id());
        Some(Turn { turn: self })
    }

    /// The same once no other thread compacts; `None` if this one does, somewhere up its stack.
    pub(super) fn begin_after_others(&self) -> Option<Turn<'_>> {
        let mut holder = self.holder.lock();
        let this = thread::current().id();
        while let Some(other) = *holder {
            if other == this {
                return None;
            }
            holder = holder.wait();
        }
        *holder = Some(this);
        Some(Turn { turn: self })
    }

    /// Returns once no other thread compacts. The log is closed, so that those that do give way, and no more begin.
    pub(in crate::partition) fn wait_for_end(&self) {
        let mut holder = self.holder.lock();
        while holder.is_some_and(|holder| holder != thread::current().id()) {
            holder = holder.wait();
        }
    }
}

/// This thread's turn.
#[derive(Debug)]
pub(super) struct Turn<'t> {
    turn: &'t CompactionTurn,
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        *self.turn.holder.lock() = None;
        self.turn.holder.notify_all();
    }
}
