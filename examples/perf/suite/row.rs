//! One row of the table: two sides that do the same work, run in turns.

use std::time::{Duration, Instant};

use super::latencies::Latencies;

/// One call in so many is timed by itself, where calls take little more than reading the clock.
pub(crate) const A_FEW: u64 = 101;
pub(crate) const EACH: u64 = 1;

/// Makes so many calls, adds how long some of them took, and returns the time for all. What it takes to get ready does not
/// count.
pub(crate) type Run = Box<dyn FnMut(u64, &mut Latencies) -> Duration>;

/// What is to be reached.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Target {
    /// So many times the rate of the limit.
    Times(f64),
    /// A median latency of at most so many times that of the limit.
    LatencyTimes(f64),
    /// A median latency of at most that.
    Latency(Duration),
    /// So many records in a second.
    Rate(f64),
    /// No number was set.
    None,
}

/// Makes ready what a run needs, when its row comes up and not before.
pub(crate) type Prepare = Box<dyn FnOnce() -> Run>;

/// A piece of work and its limit.
pub(crate) struct Row {
    /// What is done, and under which conditions.
    pub(crate) name: String,
    pub(crate) records_per_call: u64,
    pub(crate) bytes_per_record: u64,
    pub(crate) subject: Prepare,
    /// What the limit is, and the limit, where there is one.
    pub(crate) limit: Option<(&'static str, Prepare)>,
    pub(crate) target: Target,
    /// Calls in one round, where what comes before each takes long.
    pub(crate) calls_max: u64,
}

impl Row {
    pub(crate) fn new<R: FnMut(u64, &mut Latencies) -> Duration + 'static>(
        name: impl Into<String>,
        records_per_call: u64,
        bytes_per_record: usize,
        subject: impl FnOnce() -> R + 'static,
    ) -> Row {
        Row {
            name: name.into(),
            records_per_call,
            bytes_per_record: bytes_per_record as u64,
            subject: Box::new(|| Box::new(subject())),
            limit: None,
            target: Target::None,
            calls_max: u64::MAX,
        }
    }

    pub(crate) fn limit<R: FnMut(u64, &mut Latencies) -> Duration + 'static>(
        mut self,
        what: &'static str,
        limit: impl FnOnce() -> R + 'static,
    ) -> Row {
        self.limit = Some((what, Box::new(|| Box::new(limit()))));
        self
    }

    pub(crate) fn calls_max(mut self, calls: u64) -> Row {
        self.calls_max = calls;
        self
    }

    pub(crate) fn target(mut self, target: Target) -> Row {
        self.target = target;
        self
    }
}

/// A number that is not a rate.
pub(crate) struct Figure {
    pub(crate) name: String,
    pub(crate) unit: &'static str,
    pub(crate) at_most: Option<f64>,
    pub(crate) measure: Box<dyn FnOnce() -> f64>,
}

impl Figure {
    pub(crate) fn new(name: impl Into<String>, unit: &'static str, measure: impl FnOnce() -> f64 + 'static) -> Figure {
        Figure { name: name.into(), unit, at_most: None, measure: Box::new(measure) }
    }

    pub(crate) fn at_most(mut self, bound: f64) -> Figure {
        self.at_most = Some(bound);
        self
    }
}

/// Finds out how many calls fill a round of that length, at most `calls_max`; what it takes warms up caches as well.
pub(crate) fn calls_that_take(round: Duration, calls_max: u64, run: &mut Run) -> u64 {
    let (mut calls, mut took) = (1, run(1, &mut Latencies::new()));
    while took < round / 8 && calls < calls_max {
        calls *= 4;
        took = run(calls, &mut Latencies::new());
    }
    let calls = (calls as f64 * round.as_secs_f64() / took.as_secs_f64()).ceil() as u64;
    calls.clamp(1, calls_max)
}

/// Times `calls` of them, and a few each by itself.
pub(crate) fn timed(calls: u64, latencies: &mut Latencies, call: impl FnMut()) -> Duration {
    timed_every(A_FEW, calls, latencies, call)
}

/// Times `calls` of them, and each by itself: for calls that take much longer than a look at the clock.
pub(crate) fn timed_each(calls: u64, latencies: &mut Latencies, call: impl FnMut()) -> Duration {
    timed_every(EACH, calls, latencies, call)
}

/// Times `calls` of them, and one in `every` by itself.
pub(crate) fn timed_every(every: u64, calls: u64, latencies: &mut Latencies, mut call: impl FnMut()) -> Duration {
    let begin = Instant::now();
    for number in 0..calls {
        if number % every == 0 {
            let called = Instant::now();
            call();
            latencies.add(called.elapsed());
        } else {
            call();
        }
    }
    begin.elapsed()
}
