//! Deleting what topics keep no longer, and what has expired otherwise.

use std::sync::Arc;

use super::turn::{RETRY, Turn, unless_deleted};
use crate::partition::environment::Environment;
use crate::partition::log::Log;

/// Deletes what is due in every log, a few files of each: so however much there is to delete, what else is due comes in between.
pub(super) fn retain(logs: &[Arc<Log>], environment: &Environment) -> Turn {
    let (mut result, mut next) = (Ok(()), None);
    for log in logs {
        let due = match log.retain() {
            Ok(due_ms) => due_ms.map(|due_ms| environment.monotonic_at(due_ms)),
            Err(error) => {
                result = result.and(unless_deleted(Err(error)));
                Some(environment.disk.monotonic() + RETRY)
            }
        };
        next = [next, due].into_iter().flatten().min();
    }
    Turn { result, next }
}

/// Lets go of what has expired in the layers above.
pub(super) fn expire(environment: &Environment) -> Turn {
    let (result, next) = environment.expire();
    let next = if result.is_err() { Some(environment.disk.monotonic() + RETRY) } else { next };
    Turn { result, next }
}
