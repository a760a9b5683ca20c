//! Work on all processors, of which nobody can tell afterwards in what order it was done.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use parking_lot::Mutex;

use crate::history::Checked;

/// Does all tasks; their results in order, or the problem of the first one that has any.
pub(crate) fn in_parallel<T: Sync, R: Send>(tasks: &[T], work: impl Fn(&T) -> Checked<R> + Sync) -> Checked<Vec<R>> {
    let (next, results) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let worker = || {
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            let Some(task) = tasks.get(number) else { break };
            let result = work(task);
            if result.is_err() {
                // Those before it are begun already, so that the first problem is the same each time.
                next.store(tasks.len(), Ordering::Relaxed);
            }
            results.lock().push((number, result));
        }
    };
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(worker);
        }
    });
    let mut results = results.into_inner();
    results.sort_by_key(|(number, _)| *number);
    results.into_iter().map(|(_, result)| result).collect()
}
