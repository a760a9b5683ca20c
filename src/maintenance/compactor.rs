//! The thread that compacts, beside the one that keeps time: however long a pass takes, no sync or checkpoint waits for it.
//!
//! It is started once a log that is compacted has something sealed, sleeps until the first moment at which one of them is due, and
//! gives way between two batches when the broker closes.

use std::sync::Arc;

use super::Logs;
use super::chores::compact_all;
use crate::partition::bell::{Bell, Work};
use crate::partition::environment::Environment;
use crate::sync::atomic::{AtomicBool, Ordering};
use crate::sync::thread::{self, JoinHandle};

/// The thread, if there is one by now.
#[derive(Debug)]
pub(super) struct Compactor {
    logs: Arc<Logs>,
    environment: Arc<Environment>,
    stop: Arc<AtomicBool>,
    thread: Option<(JoinHandle<()>, Arc<Bell>)>,
}

impl Compactor {
    /// No thread yet. Once there is one it ends with this, or earlier if `stop` is set, at the next batch.
    pub(super) fn new(logs: Arc<Logs>, environment: Arc<Environment>, stop: Arc<AtomicBool>) -> Compactor {
        Compactor { logs, environment, stop, thread: None }
    }

    /// Has it look for something to compact.
    ///
    /// # Errors
    /// If a thread is needed and cannot be started.
    pub(super) fn call(&mut self) -> std::io::Result<()> {
        if let Some((_, bell)) = &self.thread {
            bell.ring(Work::Compaction);
        } else if self.logs.load().iter().any(|log| log.may_be_compacted()) {
            self.thread = Some(self.start()?);
        }
        Ok(())
    }

    fn start(&self) -> std::io::Result<(JoinHandle<()>, Arc<Bell>)> {
        let bell = Arc::new(Bell::default());
        let thread = thread::Builder::new().name("ottla-compaction".to_owned()).spawn({
            let (logs, environment) = (Arc::clone(&self.logs), Arc::clone(&self.environment));
            let (stop, bell) = (Arc::clone(&self.stop), Arc::clone(&bell));
            move || {
                let go_on = || !stop.load(Ordering::Acquire) && !environment.files.is_forked();
                while go_on() {
                    let next = compact_all(&logs.load_full(), &environment, &go_on).1;
                    bell.wait(next.map(|next| next.saturating_sub(environment.disk.monotonic())));
                }
            }
        })?;
        Ok((thread, bell))
    }
}

impl Drop for Compactor {
    /// Ends the thread and waits for it.
    fn drop(&mut self) {
        let Some((thread, bell)) = self.thread.take() else { return };
        if self.environment.files.is_forked() {
            // There is no such thread here: also to give up its handle would be a call about nobody.
            std::mem::forget(thread);
            return;
        }
        self.stop.store(true, Ordering::Release);
        bell.wake();
        // A panic there was reported by the panic hook already, and what it was at is undone at the next opening.
        let _ = thread.join();
    }
}
