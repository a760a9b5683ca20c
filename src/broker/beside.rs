//! What is kept beside a broker by a layer above, opened and closed with it: a replica on a second disk.

use std::fmt::Debug;
use std::sync::Arc;

use super::catalog::DirectoryIdentity;
use super::written_directory::WrittenDirectory;
use crate::error::Result;
use crate::partition::environment::Environment;

/// A broker that is open, and serves nobody yet, as who is kept beside it needs it.
#[derive(Debug)]
pub(crate) struct BrokerBeside {
    pub(crate) directory: WrittenDirectory,
    pub(crate) identity: DirectoryIdentity,
    pub(crate) environment: Arc<Environment>,
    /// Whether it has threads of its own.
    pub(crate) has_threads: bool,
}

/// How to open what is kept beside a broker.
pub(crate) trait OpensBeside: Debug + Send + Sync {
    /// Opens it. `None` if it was given up.
    ///
    /// # Errors
    /// Its own. Then the broker is not opened.
    fn open_beside(&self, broker: BrokerBeside) -> Result<Option<Box<dyn Beside>>>;
}

/// What is kept beside a broker. It does not keep the broker open.
pub(crate) trait Beside: Debug + Send + Sync {
    /// Does now, on this thread, what its own does when it is due.
    ///
    /// # Errors
    /// Its own. The next call tries again.
    fn run(&self) -> Result<()>;

    /// Does it for the last time, since the broker is about to be closed.
    ///
    /// # Errors
    /// Its own.
    fn finish(&self) -> Result<()>;

    /// Lets go of everything: the broker is closed.
    fn close(&self);
}
