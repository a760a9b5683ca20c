//! A replica that is kept up to date by a thread of its own.

use std::panic::resume_unwind;
use std::sync::Arc;

use super::Replica;
use crate::error::{Error, Result};
use crate::sync::{Monitor, Mutex, thread};

/// A [`Replica`] that a thread keeps up to date. Dropped, it stops, and waits for the thread.
#[derive(Debug)]
pub struct ReplicaThread {
    shared: Arc<Shared>,
    thread: Option<thread::JoinHandle<(Replica, Result<()>)>>,
}

#[derive(Debug, Default)]
struct Shared {
    is_stopped: Monitor<bool>,
    error: Mutex<Option<String>>,
}

/// Says why the thread has ended, however it does.
struct Running {
    shared: Arc<Shared>,
    error: Option<String>,
}

impl Drop for Running {
    fn drop(&mut self) {
        *self.shared.error.lock() = self.error.take();
    }
}

impl Shared {
    /// Has the replica catch up again and again, until it is stopped: at once, however long the rest in between is.
    fn run(&self, replica: &mut Replica) -> Result<()> {
        loop {
            replica.catch_up()?;
            let is_stopped = self.is_stopped.lock().wait_while_for(|is_stopped| !*is_stopped, replica.interval);
            if *is_stopped {
                return Ok(());
            }
        }
    }

    fn stop(&self) {
        *self.is_stopped.lock() = true;
        self.is_stopped.notify_all();
    }
}

impl ReplicaThread {
    /// Starts the thread.
    ///
    /// # Errors
    /// The system's, if it has no thread to give.
    pub(super) fn start(mut replica: Replica) -> Result<ReplicaThread> {
        let shared = Arc::<Shared>::default();
        let (its_own, dir) = (Arc::clone(&shared), replica.dir().to_owned());
        let run = move || {
            let mut running = Running { shared: its_own, error: Some("its thread has panicked".to_owned()) };
            let ended = running.shared.run(&mut replica);
            running.error = ended.as_ref().err().map(ToString::to_string);
            (replica, ended)
        };
        let started = thread::Builder::new().name("ottla-replica".to_owned()).spawn(run);
        let thread = started.map_err(|source| Error::io("start the thread of", &dir, source))?;
        Ok(ReplicaThread { shared, thread: Some(thread) })
    }

    /// Why it has ended by itself, if so: ask now and then, or you have no second copy and do not know it.
    #[must_use]
    pub fn error(&self) -> Option<String> {
        self.shared.error.lock().clone()
    }

    /// Ends the thread, has the replica catch up once more, and gives it back.
    ///
    /// # Errors
    /// Why the thread had ended by itself; those of [`catch_up`](Replica::catch_up).
    ///
    /// # Panics
    /// If the thread has.
    pub fn stop(mut self) -> Result<Replica> {
        let (mut replica, ended) = self.join().expect("it is joined once");
        ended?;
        replica.catch_up()?;
        Ok(replica)
    }

    fn join(&mut self) -> Option<(Replica, Result<()>)> {
        self.shared.stop();
        let joined = self.thread.take()?.join();
        Some(joined.unwrap_or_else(|panic| resume_unwind(panic)))
    }
}

impl Drop for ReplicaThread {
    fn drop(&mut self) {
        self.shared.stop();
        // A panic of the thread has been told already.
        _ = self.thread.take().map(thread::JoinHandle::join);
    }
}
