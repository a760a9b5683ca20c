//! What a turn of some work came to.

use std::time::Duration;

use crate::error::{Error, Result};
use crate::partition::bell::Work;
use crate::partition::environment::Environment;

/// What failed, or was somebody else's just then, is tried again after this time.
pub(super) const RETRY: Duration = Duration::from_secs(1);

/// What a turn of some work came to.
#[derive(Debug)]
pub(super) struct Turn {
    /// The first error.
    pub(super) result: Result<()>,
    /// When the next turn is due, by the monotonic clock; at no time of its own if nothing is to be done.
    pub(super) next: Option<Duration>,
}

impl Turn {
    /// The same, once it is noted for who asks how the broker is.
    pub(super) fn noted(self, work: Work, environment: &Environment) -> Turn {
        environment.note_turn(work, &self.result);
        self
    }
}

/// What was done to a log, for whoever goes through many of them: that its topic was deleted meanwhile is no failure, as nobody
/// asks for its records any more.
pub(crate) fn unless_deleted(result: Result<()>) -> Result<()> {
    match result {
        Err(Error::Closed { .. }) => Ok(()),
        result => result,
    }
}
