//! How long calls took: counts in buckets, so that any number of them takes the same memory.

use std::time::Duration;

/// Buckets for each power of two: what is read is within 1 % of what was added.
const STEPS: u64 = 128;
const STEP_BITS: u32 = STEPS.trailing_zeros();

/// A histogram of durations.
#[derive(Clone, Debug)]
pub(crate) struct Latencies {
    counts: Vec<u64>,
    count: u64,
    sum: Duration,
    most: Duration,
}

impl Latencies {
    pub(crate) fn new() -> Latencies {
        let buckets = (64 - STEP_BITS as usize + 1) * STEPS as usize;
        Latencies { counts: vec![0; buckets], count: 0, sum: Duration::ZERO, most: Duration::ZERO }
    }

    pub(crate) fn add(&mut self, latency: Duration) {
        let nanos = u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX);
        if let Some(count) = self.counts.get_mut(bucket_of(nanos)) {
            *count += 1;
        }
        self.count += 1;
        self.sum += latency;
        self.most = self.most.max(latency);
    }

    pub(crate) fn merge(&mut self, other: &Latencies) {
        for (count, more) in self.counts.iter_mut().zip(&other.counts) {
            *count += more;
        }
        self.count += other.count;
        self.sum += other.sum;
        self.most = self.most.max(other.most);
    }

    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    pub(crate) fn most(&self) -> Duration {
        self.most
    }

    /// Zero if there are none.
    pub(crate) fn average(&self) -> Duration {
        Duration::from_secs_f64(self.sum.as_secs_f64() / self.count.max(1) as f64)
    }

    /// What this share of all calls (0.0 to 1.0) did not exceed.
    pub(crate) fn quantile(&self, share: f64) -> Duration {
        let rank = (self.count as f64 * share).ceil().max(1.0) as u64;
        let mut seen = 0;
        let at = self.counts.iter().position(|count| {
            seen += count;
            seen >= rank
        });
        at.map_or(Duration::ZERO, |bucket| Duration::from_nanos(upper_end(bucket as u64)).min(self.most))
    }
}

fn bucket_of(nanos: u64) -> usize {
    let shift = (u64::BITS - nanos.leading_zeros()).saturating_sub(STEP_BITS + 1);
    (u64::from(shift) * STEPS + (nanos >> shift)) as usize
}

fn upper_end(bucket: u64) -> u64 {
    let shift = (bucket / STEPS).saturating_sub(1);
    let step = bucket - shift * STEPS;
    (step << shift) + ((1 << shift) - 1)
}
