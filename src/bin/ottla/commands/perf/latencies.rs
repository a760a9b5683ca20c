//! How long things took: counted by length, each count for lengths that differ by 3 % at most. Memory does not grow.

use std::time::Duration;

use serde::Serialize;

/// Counts of a power of two of nanoseconds.
const STEPS: u64 = 32;
const STEP_BITS: u32 = STEPS.trailing_zeros();
/// Up to 2^40 ns, which are 18 minutes.
const POWERS: usize = 40;
const COUNTS: usize = POWERS << STEP_BITS;

/// Lengths of time.
#[derive(Debug, Clone)]
pub struct Latencies {
    counts: Vec<u64>,
    count: u64,
    sum: Duration,
    max: Duration,
}

impl Latencies {
    pub fn new() -> Latencies {
        Latencies { counts: vec![0; COUNTS], count: 0, sum: Duration::ZERO, max: Duration::ZERO }
    }

    /// Counts `times` things that took `latency` each.
    pub fn add(&mut self, latency: Duration, times: u64) {
        let at = place_of(u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX));
        if let Some(count) = self.counts.get_mut(at) {
            *count += times;
        }
        self.count += times;
        self.sum += latency.saturating_mul(u32::try_from(times).unwrap_or(u32::MAX));
        self.max = self.max.max(latency);
    }

    /// Counts all of `other`, too.
    pub fn merge(&mut self, other: &Latencies) {
        for (count, more) in self.counts.iter_mut().zip(&other.counts) {
            *count += more;
        }
        self.count += other.count;
        self.sum += other.sum;
        self.max = self.max.max(other.max);
    }

    /// What there is to tell of them.
    pub fn summary(&self) -> Summary {
        #[allow(clippy::cast_precision_loss, reason = "an average is shown with four digits after the point")]
        let average = if self.count > 0 { self.sum.as_secs_f64() / self.count as f64 } else { 0.0 };
        Summary {
            avg_latency_ms: average * 1000.0,
            max_latency_ms: self.max.as_secs_f64() * 1000.0,
            p50_latency_ms: self.quantile_ms(500),
            p95_latency_ms: self.quantile_ms(950),
            p99_latency_ms: self.quantile_ms(990),
            p999_latency_ms: self.quantile_ms(999),
        }
    }

    /// The length that so many in a thousand do not exceed.
    fn quantile_ms(&self, per_mille: u64) -> f64 {
        let wanted = (self.count * per_mille).div_ceil(1000);
        let mut counted = 0;
        let at = self.counts.iter().position(|count| {
            counted += count;
            counted >= wanted && counted > 0
        });
        let longest = Duration::from_nanos(longest_of(at.unwrap_or_default())).min(self.max);
        longest.as_secs_f64() * 1000.0
    }
}

/// In milliseconds.
#[derive(Debug, Clone, Copy, Serialize)]
#[allow(clippy::struct_field_names, reason = "they are the names in the JSON, beside others")]
pub struct Summary {
    pub avg_latency_ms: f64,
    pub max_latency_ms: f64,
    pub p50_latency_ms: f64,
    pub p95_latency_ms: f64,
    pub p99_latency_ms: f64,
    pub p999_latency_ms: f64,
}

/// Which count a length belongs to: the power of two says the row, and the bits behind its first one the place in it.
fn place_of(nanos: u64) -> usize {
    let power = nanos.checked_ilog2().unwrap_or_default();
    let place = match power.checked_sub(STEP_BITS) {
        None => nanos,
        Some(shift) => u64::from(shift + 1) * STEPS + (nanos >> shift) - STEPS,
    };
    usize::try_from(place).unwrap_or(COUNTS).min(COUNTS - 1)
}

/// The longest length that a count is for.
fn longest_of(place: usize) -> u64 {
    let (row, step) = (place as u64 / STEPS, place as u64 % STEPS);
    match row.checked_sub(1) {
        None => step,
        Some(shift) => ((STEPS + step + 1) << shift) - 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_is_counted_where_it_belongs() {
        let mut nanos = 0;
        while nanos < 1 << 39 {
            let longest = longest_of(place_of(nanos));
            assert!(nanos <= longest && longest - nanos <= nanos / 31 + 1, "{nanos}: {longest}");
            assert_eq!(place_of(longest), place_of(nanos));
            nanos += nanos / 7 + 1;
        }
        assert_eq!(place_of(u64::MAX), COUNTS - 1);
    }

    #[test]
    fn quantiles_are_near_what_was_counted() {
        let mut latencies = Latencies::new();
        let mut more = Latencies::new();
        (1..=500).for_each(|micros| latencies.add(Duration::from_micros(micros), 1));
        (501..=1000).for_each(|micros| more.add(Duration::from_micros(micros), 1));
        latencies.merge(&more);
        let summary = latencies.summary();
        assert!((summary.avg_latency_ms - 0.5005).abs() < 1e-9, "{summary:?}");
        for (shown, exact) in [
            (summary.p50_latency_ms, 0.5),
            (summary.p95_latency_ms, 0.95),
            (summary.p99_latency_ms, 0.99),
            (summary.p999_latency_ms, 0.999),
            (summary.max_latency_ms, 1.0),
        ] {
            assert!(exact <= shown && shown < exact * 1.04, "{summary:?}");
        }
    }

    #[test]
    fn of_nothing_everything_is_zero() {
        let summary = Latencies::new().summary();
        assert!(summary.avg_latency_ms.abs() + summary.p999_latency_ms.abs() + summary.max_latency_ms.abs() < 1e-12);
    }
}
