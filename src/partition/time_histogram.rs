//! How long something took, how often: counts in buckets that grow with the time.
//!
//! ```text
//! bucket      0      1      2      3      4 … 7           8 … 11             12 …            103
//! from µs     0      1      2      3      4, 5, 6, 7      8, 10, 12, 14      16, 20, …       117,440,512, and all that is longer
//! ```
//! From 4 µs on four buckets for each doubling: what a quantile says is too long by a quarter at most, and never too short.

use std::fmt;
use std::time::Duration;

use crate::sync::atomic::{AtomicU64, Ordering};

/// Up to two minutes.
const BUCKETS: usize = 104;

fn bucket_of(time: Duration) -> usize {
    let us = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
    if us < 4 {
        return usize::try_from(us).unwrap_or_default();
    }
    let doublings = us.ilog2();
    let quarter = us >> (doublings - 2) & 3;
    let bucket = 4 * u64::from(doublings - 1) + quarter;
    usize::try_from(bucket).unwrap_or(BUCKETS).min(BUCKETS - 1)
}

/// What is in this bucket took less.
fn end_of(bucket: usize) -> Duration {
    let (quarter, doublings) = (bucket as u64 % 4, bucket / 4);
    let us = if doublings == 0 { quarter + 1 } else { (5 + quarter) << (doublings - 1) };
    Duration::from_micros(us)
}

/// Counts how long something takes, by any number of threads.
#[derive(Debug)]
pub(crate) struct Stopwatch {
    buckets: [AtomicU64; BUCKETS],
    total_ns: AtomicU64,
    max_ns: AtomicU64,
}

impl Default for Stopwatch {
    fn default() -> Stopwatch {
        let buckets = std::array::from_fn(|_| AtomicU64::new(0));
        Stopwatch { buckets, total_ns: AtomicU64::new(0), max_ns: AtomicU64::new(0) }
    }
}

impl Stopwatch {
    /// Counts that it took so long once more.
    pub(crate) fn note(&self, time: Duration) {
        let ns = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        // First, so that whoever sees it counted sees how long it took.
        self.max_ns.fetch_max(ns, Ordering::Relaxed);
        self.total_ns.fetch_add(ns, Ordering::Relaxed);
        if let Some(bucket) = self.buckets.get(bucket_of(time)) {
            bucket.fetch_add(1, Ordering::Release);
        }
    }

    /// What was counted so far.
    pub(crate) fn read(&self) -> TimeHistogram {
        let counts = self.buckets.iter().map(|bucket| bucket.load(Ordering::Acquire)).collect();
        let ns = |of: &AtomicU64| Duration::from_nanos(of.load(Ordering::Relaxed));
        TimeHistogram { counts, total: ns(&self.total_ns), max: ns(&self.max_ns) }
    }
}

/// How often something took how long; for example the syncs of a file in [`Metrics`](crate::Metrics).
///
/// # Examples
/// ```
/// use ottla::{Broker, Durability};
/// # let dir = tempfile::tempdir().unwrap();
/// let broker = Broker::builder(dir.path()).durability(Durability::Always).open()?;
/// broker.topic("orders")?.produce("customer-1", "2 coffees")?;
/// let syncs = broker.metrics().writer.unwrap().always_tail.syncs;
/// assert!(syncs.count() >= 1);
/// assert!(syncs.p50() <= syncs.p99());
/// println!("{syncs}"); // 1 in 160 µs, p50 160 µs, p99 160 µs, max 160 µs
/// # Ok::<_, ottla::Error>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[cfg_attr(feature = "serde", serde(into = "Summary"))]
pub struct TimeHistogram {
    /// By bucket; none if nothing was counted.
    counts: Vec<u64>,
    total: Duration,
    max: Duration,
}

/// What goes out by serde.
#[cfg(feature = "serde")]
#[derive(serde::Serialize)]
#[serde(rename = "TimeHistogram")]
struct Summary {
    count: u64,
    total: Duration,
    p50: Option<Duration>,
    p99: Option<Duration>,
    max: Option<Duration>,
}

#[cfg(feature = "serde")]
impl From<TimeHistogram> for Summary {
    fn from(of: TimeHistogram) -> Summary {
        Summary { count: of.count(), total: of.total(), p50: of.p50(), p99: of.p99(), max: of.max() }
    }
}

impl TimeHistogram {
    /// How often it happened.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// How long all of it took together.
    #[must_use]
    pub fn total(&self) -> Duration {
        self.total
    }

    /// The longest time, or no more than a quarter above it where this is a part of a longer measurement; `None` if nothing was counted.
    #[must_use]
    pub fn max(&self) -> Option<Duration> {
        (self.count() > 0).then_some(self.max)
    }

    /// The time within which a `share` of all, from 0 to 1, ended; `None` if nothing was counted. It is the upper bound of a bucket:
    /// at most a quarter above the exact one, and never below.
    #[must_use]
    pub fn quantile(&self, share: f64) -> Option<Duration> {
        let count = self.count();
        #[allow(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "of 2^53 one does not matter"
        )]
        let wanted = ((share.clamp(0.0, 1.0) * count as f64).ceil() as u64).clamp(1, count.max(1));
        let mut seen = 0;
        let bucket = self.counts.iter().position(|in_bucket| {
            seen += in_bucket;
            wanted <= seen
        })?;
        Some(if bucket == BUCKETS - 1 { self.max } else { end_of(bucket).min(self.max) })
    }

    /// The time within which half of all ended.
    #[must_use]
    pub fn p50(&self) -> Option<Duration> {
        self.quantile(0.5)
    }

    /// The time within which 99 of 100 ended.
    #[must_use]
    pub fn p99(&self) -> Option<Duration> {
        self.quantile(0.99)
    }

    /// The buckets that are not empty, in ascending order: the time below which it took, and how often.
    pub fn buckets(&self) -> impl Iterator<Item = (Duration, u64)> {
        let filled = self.counts.iter().enumerate().filter(|(_, count)| **count > 0);
        filled.map(|(bucket, count)| (end_of(bucket), *count))
    }

    /// The same with the middle of each bucket: about how long it took, neither too long nor too short on the whole.
    #[cfg(feature = "metrics")]
    pub(crate) fn middles(&self) -> impl Iterator<Item = (Duration, u64)> {
        let filled = self.counts.iter().enumerate().filter(|(_, count)| **count > 0);
        filled.map(|(bucket, count)| {
            let (begin, end) = (bucket.checked_sub(1).map_or(Duration::ZERO, end_of), end_of(bucket));
            (if bucket == BUCKETS - 1 { begin } else { (begin + end) / 2 }, *count)
        })
    }

    /// What was counted since `earlier`, of the same.
    pub(crate) fn since(&self, earlier: &TimeHistogram) -> TimeHistogram {
        let before = earlier.counts.iter().chain(std::iter::repeat(&0));
        let counts: Vec<_> = self.counts.iter().zip(before).map(|(now, before)| now.saturating_sub(*before)).collect();
        let last = counts.iter().rposition(|count| *count > 0);
        let max = match last {
            None => Duration::ZERO,
            Some(last) if last == BUCKETS - 1 => self.max,
            Some(last) => end_of(last).min(self.max),
        };
        TimeHistogram { total: self.total.saturating_sub(earlier.total), max, counts }
    }
}

/// How often and how long, in a line.
impl fmt::Display for TimeHistogram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(((p50, p99), max)) = self.p50().zip(self.p99()).zip(self.max()) else { return f.write_str("none") };
        let (count, total) = (self.count(), self.total);
        write!(f, "{count} in {total:.1?}, p50 {p50:.1?}, p99 {p99:.1?}, max {max:.1?}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn us(us: u64) -> Duration {
        Duration::from_micros(us)
    }

    fn of(times: impl IntoIterator<Item = Duration>) -> TimeHistogram {
        let stopwatch = Stopwatch::default();
        times.into_iter().for_each(|time| stopwatch.note(time));
        stopwatch.read()
    }

    #[test]
    fn every_time_is_in_the_bucket_that_ends_behind_it_and_begins_where_the_one_before_ends() {
        for us_count in (0..100_000).chain((17..30).flat_map(|power| (1 << power) - 2..(1 << power) + 2)) {
            let bucket = bucket_of(us(us_count));
            assert!(us(us_count) < end_of(bucket) || bucket == BUCKETS - 1, "{us_count}");
            assert!(bucket == 0 || end_of(bucket - 1) <= us(us_count), "{us_count}");
        }
        assert_eq!(bucket_of(Duration::MAX), BUCKETS - 1);
        assert_eq!(end_of(BUCKETS - 2), us(117_440_512), "as the table says");
    }

    #[test]
    fn quantiles_are_a_quarter_too_long_at_most_and_never_too_short() {
        let times = of((1..=1000).map(us));
        assert_eq!((times.count(), times.total(), times.max()), (1000, us(500_500), Some(us(1000))));
        for (share, exact) in [(0.5, 500), (0.99, 990), (1.0, 1000), (0.0, 1)] {
            let told = times.quantile(share).unwrap();
            assert!(us(exact) <= told && told <= us(exact) * 5 / 4 + us(1), "{share}: {told:?}");
        }
        assert_eq!(times.buckets().map(|(_, count)| count).sum::<u64>(), 1000);
        assert_eq!(of([Duration::from_secs(1000)]).p50(), Some(Duration::from_secs(1000)));
    }

    #[test]
    fn nothing_has_no_quantiles() {
        for nothing in [TimeHistogram::default(), of([])] {
            assert_eq!((nothing.p50(), nothing.p99(), nothing.max(), nothing.count()), (None, None, None, 0));
            assert_eq!(nothing.to_string(), "none");
        }
    }

    #[test]
    fn a_part_of_the_time_counts_what_came_in_it() {
        let stopwatch = Stopwatch::default();
        stopwatch.note(Duration::from_secs(1));
        let before = stopwatch.read();
        stopwatch.note(us(100));
        stopwatch.note(us(200));
        let part = stopwatch.read().since(&before);
        assert_eq!((part.count(), part.total()), (2, us(300)));
        assert!(us(200) <= part.max().unwrap() && part.max().unwrap() <= us(250), "{part}");
        assert_eq!(before.since(&stopwatch.read()).count(), 0, "and not less than none");
    }
}
