//! How a round waits for those whom the last one let go.

use crate::sync::{Mutex, MutexGuard, thread};

/// So often in a row others have their turn and nobody comes, before a round begins without them. More made no difference.
const YIELDS: usize = 2;

/// Gives others the time to come, as long as they keep coming and `awaited` says that some are missing. `come` counts those
/// that are there. The lock is released meanwhile.
pub(super) fn await_returning<'m, S>(
    mutex: &'m Mutex<S>,
    mut state: MutexGuard<'m, S>,
    come: impl Fn(&S) -> usize,
    are_awaited: impl Fn(&S) -> bool,
) -> MutexGuard<'m, S> {
    let mut patience = YIELDS;
    while patience > 0 && are_awaited(&state) {
        let before = come(&state);
        drop(state);
        thread::yield_now();
        state = mutex.lock();
        patience = if before < come(&state) { YIELDS } else { patience - 1 };
    }
    state
}
