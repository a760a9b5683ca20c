//! The thread that seals full batches beside their senders. It syncs nothing, which may take milliseconds: that is the worker's.

use std::sync::Arc;

use crate::partition::environment::Environment;
use crate::sync::thread::{self, JoinHandle};

/// Starts it. It ends with the [end](crate::partition::seal_queue::SealQueue::end) of the queue.
///
/// # Errors
/// If no thread can be started.
pub(super) fn start(environment: Arc<Environment>) -> std::io::Result<JoinHandle<()>> {
    // Here, or the end might come before it.
    environment.seal_queue.begin();
    let serving = Serving(environment);
    thread::Builder::new().name("ottla-sealer".to_owned()).spawn(move || serving.0.seal_queue.serve())
}

/// Ends the queue with the thread, also after a panic: then senders seal for themselves.
struct Serving(Arc<Environment>);

impl Drop for Serving {
    fn drop(&mut self) {
        self.0.seal_queue.end();
    }
}
