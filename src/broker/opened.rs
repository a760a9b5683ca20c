//! Which opening of a broker it is.

use std::time::Duration;

/// When a broker was opened, by the monotonic clock; and which opening it was, since no other one shares this.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) at: Duration,
}
