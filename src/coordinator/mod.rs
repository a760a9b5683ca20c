//! State that is kept in an internal compacted topic: the records are the truth, and what they come to is in memory.
//!
//! ```text
//! id ─▶ Kafka's hash ─▶ partition ─┬─ load ───▶ fold the records ───────────────▶ a state for each id
//!  (a group, say)                  └─ change ─▶ one lock an id: state and records ─▶ with no lock: wait for durability
//! ```
//! Nothing here knows what the records say or what a state is: `group` does, for the offsets topic. A coordinator is loaded when
//! it is first used, or when the broker is opened; then it has read everything, and nothing is read again.
//!
//! Locks: that of the map of states is held for a look-up; that of a state for its change and the append of what is to be
//! remembered of it, so that both have one order. The wait for durability, and all of the application's code, come after it was
//! released.

mod coordinator_partition;
mod replay;
pub(crate) mod schema;
mod state_log;

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

pub(crate) use replay::{Replayed, replay};
pub(crate) use state_log::{KeyValue, StateLog};

use crate::error::{Corruption, Error, Result};
use crate::partition::PartitionSource;
use crate::partition::log::Log;
use crate::record::ConsumerRecord;
use crate::sync::Mutex;
use coordinator_partition::coordinator_partition;

/// What a coordinator remembers of one id.
pub(crate) trait State {
    /// Nothing yet.
    fn new(id: &str) -> Self;

    /// Whether there is nothing to remember.
    fn is_empty(&self) -> bool;
}

/// States by id.
pub(crate) type States<S> = BTreeMap<String, S>;

/// The states that the records of one internal topic come to.
#[derive(Debug)]
pub(crate) struct Coordinator<S> {
    /// The partitions of the topic.
    logs: Vec<StateLog>,
    /// What could not be read of them.
    skipped: Vec<Corruption>,
    cells: Mutex<BTreeMap<String, Arc<Mutex<Cell<S>>>>>,
}

#[derive(Debug)]
struct Cell<S> {
    state: S,
    /// There was nothing to remember after the last change: it is not in the map any more, or about to be taken out.
    is_removed: bool,
}

impl<S: State> Coordinator<S> {
    /// Reads the states out of `logs`, the partitions of the topic: at least one. `apply` takes one record in.
    ///
    /// # Errors
    /// [`Error::Corrupt`] if a record cannot be read, unless that is to be passed over; [`Error::Io`].
    pub(crate) fn load(
        logs: Vec<Arc<Log>>,
        skips_corrupt: bool,
        apply: impl FnMut(&mut States<S>, &ConsumerRecord<'_>),
    ) -> Result<Coordinator<S>> {
        let sources: Vec<_> = logs.iter().cloned().map(PartitionSource::from).collect();
        let Replayed { states, skipped } = replay(&sources, skips_corrupt, apply)?;
        let cells = states.into_iter().map(|(id, state)| (id, Cell::of(state))).collect();
        Ok(Coordinator { logs: logs.into_iter().map(StateLog::new).collect(), skipped, cells: Mutex::new(cells) })
    }

    /// What was passed over when the states were read back.
    pub(crate) fn skipped(&self) -> &[Corruption] {
        &self.skipped
    }

    /// The ids of which there is something to remember, in ascending order.
    pub(crate) fn ids(&self) -> Vec<String> {
        self.cells.lock().keys().cloned().collect()
    }

    /// The partition that keeps what belongs to `id`.
    fn log(&self, id: &str) -> Result<&StateLog> {
        let index = coordinator_partition(id, u32::try_from(self.logs.len()).unwrap_or(u32::MAX));
        let Some(log) = self.logs.get(index as usize) else {
            return Err(Error::InvalidState { reason: "an internal topic has no partition" });
        };
        // Of an id whose partition is damaged nobody knows the state.
        log.check_whole()?;
        Ok(log)
    }

    /// Fails if nothing can be known of `id`, since the partition that keeps what belongs to it is damaged.
    pub(crate) fn check(&self, id: &str) -> Result<()> {
        self.log(id).map(drop)
    }

    /// Looks at the state of `id`, if there is anything to remember of it.
    pub(crate) fn look<T>(&self, id: &str, look: impl FnOnce(&S) -> T) -> Option<T> {
        let cell = self.cells.lock().get(id).cloned()?;
        let cell = cell.lock();
        Some(look(&cell.state))
    }

    /// Runs `change` on the state of `id`, made if there is none, and forgets that if nothing is left to remember then. What
    /// `change` appends to the log may not be durable yet: see [`wait_durable`](Coordinator::wait_durable).
    ///
    /// # Errors
    /// As [`check`](Coordinator::check); [`Error::Forked`].
    pub(crate) fn change<T>(&self, id: &str, change: impl FnOnce(&mut S, &StateLog) -> T) -> Result<T> {
        let log = self.log(id)?;
        log.prepare()?;
        loop {
            let cell = Arc::clone(self.cells.lock().entry(id.to_owned()).or_insert_with(|| Cell::of(S::new(id))));
            let mut locked = cell.lock();
            if !locked.is_removed {
                let result = change(&mut locked.state, log);
                let is_removed = locked.state.is_empty();
                locked.is_removed = is_removed;
                drop(locked);
                if is_removed {
                    self.remove(id, &cell);
                }
                log.wake_readers();
                return Ok(result);
            }
            // Another thread is about to take it out.
            drop(locked);
            self.remove(id, &cell);
        }
    }

    fn remove(&self, id: &str, removed: &Arc<Mutex<Cell<S>>>) {
        let mut cells = self.cells.lock();
        if cells.get(id).is_some_and(|cell| Arc::ptr_eq(cell, removed)) {
            cells.remove(id);
        }
    }

    /// Returns when what a change of `id` has appended, and whatever was appended there after that, is as durable as the topic
    /// demands. For callers that hold no lock.
    ///
    /// # Errors
    /// [`Error::NotDurable`], [`Error::InDoubt`]; as [`check`](Coordinator::check).
    pub(crate) fn wait_durable(&self, id: &str, appended: Range<u64>) -> Result<()> {
        self.log(id)?.wait_as_demanded(appended.start)
    }

    /// Returns when what a change of `id` has appended survives a power cut, whatever the topic demands. For callers that hold no lock.
    ///
    /// # Errors
    /// As [`wait_durable`](Coordinator::wait_durable).
    pub(crate) fn wait_durable_at_once(&self, id: &str, appended: Range<u64>) -> Result<()> {
        self.log(id)?.wait_appended_durable(appended.start)
    }

    /// The highest leader epoch of the topic's partitions: it never falls.
    pub(crate) fn leader_epoch(&self) -> i32 {
        self.logs.iter().map(StateLog::leader_epoch).max().unwrap_or_default()
    }

    /// Has everything that was appended made as durable as the topic demands before long, since nobody waits for that.
    pub(crate) fn sync_later(&self) {
        self.logs.iter().for_each(StateLog::sync_later);
    }

    /// Returns when everything that was appended survives a power cut, whatever the topic demands.
    pub(crate) fn wait_all_durable(&self) -> Result<()> {
        self.logs.iter().try_for_each(StateLog::wait_durable)
    }
}

impl<S> Cell<S> {
    fn of(state: S) -> Arc<Mutex<Cell<S>>> {
        Arc::new(Mutex::new(Cell { state, is_removed: false }))
    }
}

#[cfg(test)]
mod tests;
