//! Keeping to the disk budget: the oldest segments of all logs go until the rest fits.
//!
//! Oldest is which newest record was sent first, by the clock of retention. Active segments stay as long as any closed one is left;
//! then the oldest of them is closed, and goes.

use std::sync::{Arc, Weak};

use super::Logs;
use super::turn::{RETRY, Turn, unless_deleted};
use crate::error::Result;
use crate::partition::budget::{Budget, MakeRoom};
use crate::partition::environment::Environment;
use crate::partition::log::Log;
use crate::sync::MutexGuard;

/// Has senders delete for themselves where nobody does it for them in time.
#[derive(Debug)]
pub(crate) struct RoomMaker {
    /// Not to be kept by what the logs share.
    logs: Weak<Logs>,
}

impl RoomMaker {
    pub(crate) fn new(logs: &Arc<Logs>) -> RoomMaker {
        RoomMaker { logs: Arc::downgrade(logs) }
    }
}

impl MakeRoom for RoomMaker {
    fn make_room(&self, budget: &Budget, needed_bytes: u64) -> Result<()> {
        let logs = self.logs.upgrade().map(|logs| logs.load_full()).unwrap_or_default();
        let deleting = budget.begin_deleting();
        // Whoever had it has made enough for now, and goes on.
        if budget.has_room(needed_bytes) {
            return Ok(());
        }
        match drop_oldest(&logs, budget, needed_bytes, &deleting) {
            // What kept something from being deleted, the maintenance tells.
            Ok(false) | Err(_) => Err(budget.error(needed_bytes)),
            Ok(true) => Ok(()),
        }
    }
}

/// Deletes as much as is too much.
pub(super) fn keep_to_budget(logs: &[Arc<Log>], environment: &Environment) -> Turn {
    let Some(budget) = environment.budget.as_ref().filter(|budget| budget.drops()) else {
        return Turn { result: Ok(()), next: None };
    };
    let result = drop_oldest(logs, budget, 0, &budget.begin_deleting()).map(drop);
    // What could not be deleted this time may be deleted later; where there is nothing, whoever brings more calls.
    let next = result.is_err().then(|| environment.disk.monotonic() + RETRY);
    Turn { result, next }
}

/// Deletes the oldest segments until so many bytes fit. `false` if they do not, and nothing is left to delete.
///
/// # Errors
/// The first one met, if they do not fit and something could not be deleted.
fn drop_oldest(
    logs: &[Arc<Log>],
    budget: &Budget,
    needed_bytes: u64,
    _one_at_a_time: &MutexGuard<'_, ()>,
) -> Result<bool> {
    let (mut result, mut failed) = (Ok(()), Vec::new());
    loop {
        let excess = budget.excess_bytes(needed_bytes);
        if excess == 0 {
            return Ok(true);
        }
        let usable = || logs.iter().filter(|log| !failed.iter().any(|other| Arc::ptr_eq(other, log)));
        let mut dropped: Vec<(Arc<Log>, Result<bool>)> = Vec::new();
        for (log, offset) in oldest(usable(), excess) {
            dropped.push((Arc::clone(log), log.drop_before(offset)));
        }
        if dropped.is_empty() {
            let active = usable().filter_map(|log| Some((log.active_newest_ms()?, log)));
            let Some((_, log)) = active.min_by_key(|(newest_ms, _)| *newest_ms) else { break };
            dropped.push((Arc::clone(log), log.close_active().map(|()| true)));
        }
        for (log, outcome) in dropped {
            if !matches!(outcome, Ok(true)) {
                result = result.and(unless_deleted(outcome.map(drop)));
                failed.push(log);
            }
        }
    }
    result?;
    if failed.is_empty() {
        budget.note_nothing_left();
    }
    Ok(false)
}

/// Where some logs are to begin so that about so many bytes go, and not a segment too many: the oldest ones.
fn oldest<'l>(logs: impl Iterator<Item = &'l Arc<Log>>, excess: u64) -> Vec<(&'l Arc<Log>, u64)> {
    let mut found = Vec::new();
    for (index, log) in logs.enumerate() {
        found.extend(log.oldest_segments(excess).into_iter().map(|segment| (segment, index, log)));
    }
    found.sort_by_key(|(segment, index, _)| (segment.newest_ms, *index, segment.next_offset));
    let (mut starts, mut left): (Vec<(&Arc<Log>, u64)>, _) = (Vec::new(), excess);
    for (segment, _, log) in found {
        if left == 0 {
            break;
        }
        left = left.saturating_sub(segment.bytes_max);
        match starts.iter_mut().find(|(other, _)| Arc::ptr_eq(other, log)) {
            Some((_, start)) => *start = segment.next_offset,
            None => starts.push((log, segment.next_offset)),
        }
    }
    starts
}
