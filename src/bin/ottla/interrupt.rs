//! Ctrl-C, and the signals that ask a process to end, for commands that go on until then.

use std::process;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::failure::Failure;

/// What a shell says of a process that Ctrl-C has ended.
const STATUS: i32 = 130;

/// Whether the process was asked to end.
#[derive(Debug, Clone)]
pub struct Interrupt {
    is_asked: Arc<AtomicBool>,
}

impl Interrupt {
    /// Watches for Ctrl-C from now on, once in a process. The first one calls `wake` on a thread of its own, and the command ends in
    /// its own time. The second one ends the process at once: what the command waits for may never come.
    pub fn watch(wake: impl Fn() + Send + 'static) -> Result<Interrupt, Failure> {
        let interrupt = Interrupt { is_asked: Arc::default() };
        let is_asked = Arc::clone(&interrupt.is_asked);
        let watched = ctrlc::set_handler(move || {
            if is_asked.swap(true, Ordering::Relaxed) {
                process::exit(STATUS);
            }
            wake();
        });
        watched.map_err(|error| Failure::failed(format_args!("cannot watch for Ctrl-C: {error}")))?;
        Ok(interrupt)
    }

    /// Whether the command is to end.
    pub fn is_asked(&self) -> bool {
        self.is_asked.load(Ordering::Relaxed)
    }
}
