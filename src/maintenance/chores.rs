//! What is done to all logs when it is called for: keeping slots of the tail free, and checkpoints.

use std::sync::Arc;

use super::{RETRY, Turn, unless_deleted};
use crate::error::Result;
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
    Turn { result, next: (!is_done).then(|| environment.disk.monotonic() + RETRY) }
}
