//! What is done to all logs when it is called for: keeping slots of the tail free, checkpoints, and compaction.

use std::sync::Arc;
use std::time::Duration;

use super::turn::{RETRY, Turn, unless_deleted};
use crate::error::Result;
use crate::partition::bell::Work;
use crate::partition::environment::Environment;
use crate::partition::log::Log;

/// Sees to it that there are free slots: grows the tail and, where a log found no slot, seals the batches of idle logs and has
/// their slots freed.
pub(super) fn supply_slots(logs: &[Arc<Log>], environment: &Environment) -> Turn {
    let are_short = environment.take_short_slots();
    environment.supply_slots();
    let free = |log: &Arc<Log>| {
        log.seal_if_idle()?;
        log.checkpoint_if_due(true).map(drop)
    };
    let freed = logs.iter().filter(|_| are_short).map(|log| unless_deleted(free(log)));
    let result = freed.fold(Ok(()), Result::and);
    environment.call_if_over_budget();
    let wants_more = environment.wants_slots();
    Turn { result, next: wants_more.then(|| environment.disk.monotonic() + RETRY) }
}

/// Syncs and notes what is worth it, in every log.
pub(super) fn checkpoint(logs: &[Arc<Log>], environment: &Environment) -> Turn {
    let (mut result, mut is_done) = (Ok(()), true);
    for log in logs {
        let noted = log.checkpoint_if_due(false);
        is_done &= matches!(noted, Ok(true));
        result = result.and(unless_deleted(noted.map(drop)));
    }
    // What it writes takes room, too.
    environment.call_if_over_budget();
    Turn { result, next: (!is_done).then(|| environment.disk.monotonic() + RETRY) }
}

/// Compacts what is due in every log; the first error, and when one of them is to be looked at again, by the monotonic clock.
pub(super) fn compact_all(
    logs: &[Arc<Log>],
    environment: &Environment,
    go_on: &dyn Fn() -> bool,
) -> (Result<()>, Option<Duration>) {
    let (mut result, mut next, mut failures) = (Ok(()), None, Vec::new());
    for log in logs {
        // What failed has left its log as it was.
        let looked = log.compact_if_due(go_on);
        result = result.and(unless_deleted(looked.result));
        next = next.into_iter().chain(looked.next).min();
        failures.extend(log.compaction_failure());
    }
    environment.note_failures(Work::Compaction, &failures);
    (result, next)
}
