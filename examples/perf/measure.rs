//! Runs a row: both sides in turns, so that what the machine does meanwhile meets both, and medians of the rounds.

use std::ops::RangeInclusive;
use std::time::Duration;

use crate::outcome::{Bound, Goal, Of, Outcome};
use crate::suite::latencies::Latencies;
use crate::suite::row::{Figure, Row, Run, Target, calls_that_take};

/// How much time there is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Effort {
    /// For all rows together, about.
    pub(crate) seconds: f64,
}

impl Effort {
    /// With which the sizes of this program are what they say.
    const FULL_SECONDS: f64 = 60.0;
    const ROUNDS: usize = 5;

    fn share(self) -> f64 {
        self.seconds / Effort::FULL_SECONDS
    }

    /// `full` in a minute, less or more in others, and in these bounds.
    pub(crate) fn size(self, full: u64, bounds: RangeInclusive<u64>) -> u64 {
        ((full as f64 * self.share()) as u64).clamp(*bounds.start(), *bounds.end())
    }

    /// How long one side of a row runs at a time.
    fn round(self) -> Duration {
        Duration::from_millis(150).mul_f64(self.share())
    }
}

/// Measures a row.
pub(crate) fn measure(row: Row, effort: Effort) -> Outcome {
    let mut subject = Side::new((row.subject)(), effort, row.calls_max);
    let mut limit = row.limit.map(|(what, prepare)| (what, Side::new(prepare(), effort, row.calls_max)));
    for _ in 0..Effort::ROUNDS {
        subject.round();
        if let Some((_, limit)) = &mut limit {
            limit.round();
        }
    }
    let is_latency = matches!(row.target, Target::LatencyTimes(_) | Target::Latency(_));
    let value_of = |side: &Side| {
        if is_latency {
            side.latencies.quantile(0.5).as_secs_f64() * 1e6
        } else {
            median(side.rates.clone()) * row.records_per_call as f64
        }
    };
    let value = value_of(&subject);
    let ratio = limit.as_ref().map(|(_, limit)| {
        if is_latency {
            value / value_of(limit)
        } else {
            // Of each round, so that what slowed down both is in neither.
            median(subject.rates.iter().zip(&limit.rates).map(|(rate, limit)| rate / limit).collect())
        }
    });
    let goal = match row.target {
        Target::Times(times) => Some(Goal { of: Of::Ratio, bound: Bound::AtLeast(times) }),
        Target::LatencyTimes(times) => Some(Goal { of: Of::Ratio, bound: Bound::AtMost(times) }),
        Target::Latency(latency) => Some(Goal { of: Of::Value, bound: Bound::AtMost(latency.as_secs_f64() * 1e6) }),
        Target::Rate(rate) => Some(Goal { of: Of::Value, bound: Bound::AtLeast(rate) }),
        Target::None => None,
    };
    let mb_per_s = (!is_latency).then(|| value * row.bytes_per_record as f64 / 1e6);
    Outcome {
        unit: if is_latency { "us" } else { "/s" },
        mb_per_s,
        quantiles_us: quantiles_us(&subject.latencies),
        limit: limit.as_ref().map(|(what, limit)| (*what, value_of(limit))),
        name: row.name,
        value,
        ratio,
        goal,
    }
}

/// Measures what is not done in rounds.
pub(crate) fn measure_once(figure: Figure) -> Outcome {
    let goal = figure.at_most.map(|bound| Goal { of: Of::Value, bound: Bound::AtMost(bound) });
    let value = (figure.measure)();
    let (name, unit) = (figure.name, figure.unit);
    Outcome { name, value, unit, goal, mb_per_s: None, quantiles_us: None, limit: None, ratio: None }
}

/// p50, p99, p99.9 and the most, of the calls that were timed.
fn quantiles_us(latencies: &Latencies) -> Option<[f64; 4]> {
    let [p50, p99, p999] = [0.5, 0.99, 0.999].map(|share| latencies.quantile(share));
    (latencies.count() > 0).then(|| [p50, p99, p999, latencies.most()].map(|latency| latency.as_secs_f64() * 1e6))
}

struct Side {
    run: Run,
    calls: u64,
    /// Calls in a second, by round.
    rates: Vec<f64>,
    latencies: Latencies,
}

impl Side {
    fn new(mut run: Run, effort: Effort, calls_max: u64) -> Side {
        let calls = calls_that_take(effort.round(), calls_max, &mut run);
        Side { run, calls, rates: Vec::new(), latencies: Latencies::new() }
    }

    fn round(&mut self) {
        let took = (self.run)(self.calls, &mut self.latencies);
        self.rates.push(self.calls as f64 / took.as_secs_f64());
    }
}

/// The upper one of two.
fn median(mut values: Vec<f64>) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
