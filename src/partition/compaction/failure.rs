//! Why a log is not compacted for now, and until when.

use std::time::Duration;

/// The end of the monotonic clock.
pub(super) const NEVER: Duration = Duration::MAX;

/// Compaction of a log has failed.
#[derive(Debug)]
pub(in crate::partition) struct Failure {
    /// For who asks how the broker is.
    pub(super) what: String,
    /// How far it was sealed then: more is worth another try.
    pub(super) end: u64,
    /// When it is tried again all the same, by the monotonic clock; not by itself at its end.
    pub(super) retry_at: Duration,
}
