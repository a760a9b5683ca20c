//! When each kind of work is due next.

use std::time::Duration;

use crate::partition::bell::{Calls, Work};

/// Moments by the monotonic clock; none for work that is only done when it is called for.
#[derive(Debug, Default)]
pub(super) struct Deadlines {
    due: [Option<Duration>; Work::ALL.len()],
}

impl Deadlines {
    /// Whether this work is to be done now: its time has come, or it was called for.
    pub(super) fn is_due(&self, work: Work, now: Duration, calls: Calls) -> bool {
        calls.contains(work) || self.due.get(work as usize).copied().flatten().is_some_and(|due| due <= now)
    }

    /// Notes when it is due next.
    pub(super) fn set(&mut self, work: Work, next: Option<Duration>) {
        if let Some(due) = self.due.get_mut(work as usize) {
            *due = next;
        }
    }

    /// When the first of them is due.
    pub(super) fn first(&self) -> Option<Duration> {
        self.due.iter().flatten().min().copied()
    }
}
