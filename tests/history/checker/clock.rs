//! How old a record can be.

use crate::events::{Moment, Passed};

/// By how much the clock went on, and when, over all lives.
#[derive(Debug, Default)]
pub(super) struct Clock {
    passed: Vec<Passed>,
}

impl Clock {
    pub(super) fn take(&mut self, passed: &[Passed]) {
        self.passed.extend_from_slice(passed);
    }

    /// How many milliseconds there were between two moments, at most.
    pub(super) fn most_between(&self, from: Moment, to: Moment) -> u64 {
        let within = self.passed.iter().filter(|passed| from < passed.ended && passed.began < to);
        within.map(|passed| passed.ms).sum()
    }
}
