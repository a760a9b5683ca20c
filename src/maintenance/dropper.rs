//! The thread that deletes for the disk budget, beside the one that keeps time: however long a sync of what is new takes, what is old
//! makes room for who writes at full speed.

use std::sync::Arc;

use super::Logs;
use super::budget::keep_to_budget;
use crate::partition::bell::Work;
use crate::partition::environment::Environment;
use crate::sync::atomic::{AtomicBool, Ordering};
use crate::sync::thread::{self, JoinHandle};

/// Starts it, if there is a budget for which something is deleted. It ends once `stop` is set and it is called.
///
/// # Errors
/// If a thread is needed and cannot be started.
pub(super) fn start(
    logs: Arc<Logs>,
    environment: Arc<Environment>,
    stop: Arc<AtomicBool>,
) -> std::io::Result<Option<JoinHandle<()>>> {
    let Some(budget) = environment.budget.clone().filter(|budget| budget.drops()) else { return Ok(None) };
    let run = move || {
        while !stop.load(Ordering::Acquire) {
            let turn = keep_to_budget(&logs.load_full(), &environment).noted(Work::Budget, &environment);
            budget.wait(turn.next.map(|next| next.saturating_sub(environment.disk.monotonic())));
        }
    };
    thread::Builder::new().name("ottla-budget".to_owned()).spawn(run).map(Some)
}
