//! A replica that is kept up to date by a thread of its own.

use std::ops::ControlFlow;
use std::panic::resume_unwind;
use std::sync::Arc;

use super::Replica;
use crate::error::{Error, Result};
use crate::sync::atomic::{AtomicBool, Ordering};
use crate::sync::{Mutex, thread};

/// A [`Replica`] that a thread keeps up to date. Dropped, it stops, and waits for the thread.
#[derive(Debug)]
pub struct ReplicaThread {
    shared: Arc<Shared>,
    thread: Option<thread::JoinHandle<(Replica, Result<()>)>>,
}

#[derive(Debug, Default)]
struct Shared {
    is_stopped: AtomicBool,
    error: Mutex<Option<String>>,
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
            let go_on = |_: &_| match its_own.is_stopped.load(Ordering::Acquire) {
                true => ControlFlow::Break(()),
                false => ControlFlow::Continue(()),
            };
            let ended = replica.run(go_on);
            *its_own.error.lock() = ended.as_ref().err().map(ToString::to_string);
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
    pub fn stop(mut self) -> Result<Replica> {
        let (mut replica, ended) = self.join().expect("it is joined once");
        ended?;
        replica.catch_up()?;
        Ok(replica)
    }

    fn join(&mut self) -> Option<(Replica, Result<()>)> {
        self.shared.is_stopped.store(true, Ordering::Release);
        let joined = self.thread.take()?.join();
        Some(joined.unwrap_or_else(|panic| resume_unwind(panic)))
    }
}

impl Drop for ReplicaThread {
    fn drop(&mut self) {
        self.shared.is_stopped.store(true, Ordering::Release);
        // A panic of the thread has been told already.
        _ = self.thread.take().map(thread::JoinHandle::join);
    }
}
