//! Feature `metrics`: gives snapshots to the recorder that the application has installed.
//!
//! ```text
//!                 what a recorder gets                      when a series goes (a topic was deleted, the broker closed)
//! counter         what was counted since the last time      stays as it is: it counts what has happened
//! gauge           the value                                 0, once
//! histogram       a value for each sync since then          stays as it is
//! ```
//! Counters are added to and not set: so they go on where a topic was made anew, or a broker opened again. A recorder is the
//! application's code: it is called with no lock held, on the thread of who publishes.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Weak};
use std::time::Duration;

use metrics::Label;

use super::Metrics;
use super::names::{self, Kind, Name};
use super::samples::{Sample, Series, Value, samples_of};
use crate::broker::Broker;
use crate::broker::measuring::WeakParts;
use crate::broker::store::Store;
use crate::config_key::invalid;
use crate::disk::ProcessMark;
use crate::error::{ClosedBy, Error, Result};
use crate::partition::environment::Expiring;
use crate::partition::time_histogram::TimeHistogram;
use crate::sync::Mutex;

/// Gives the [metrics](Broker::metrics) of a broker to the recorder that is installed for the crate
/// [`metrics`](https://docs.rs/metrics); made by [`Broker::metrics_publisher`]. With the feature `metrics`.
///
/// The [guide](crate::guide::metrics) has the list of names. A publisher does not keep the broker open. Once it is dropped, or the broker
/// is closed that publishes by itself, its gauges are set to 0, as are those of a topic or group that is gone.
///
/// # Examples
/// ```
/// use std::time::Duration;
/// # let broker = ottla::Broker::temporary()?;
/// // By itself, as long as the broker is open:
/// broker.metrics_publisher().every(Duration::from_secs(10))?;
/// // Or whenever you say so:
/// let mut publisher = broker.metrics_publisher().by_partition().label("broker", "orders");
/// publisher.publish();
/// # Ok::<_, ottla::Error>(())
/// ```
#[must_use = "nothing is published before `publish` or `every`"]
pub struct MetricsPublisher {
    source: Source,
    /// For errors.
    dir: String,
    by_partition: bool,
    published: Published,
}

/// Where the metrics are.
#[derive(Debug)]
enum Source {
    Writer(WeakParts),
    Reader(Weak<Store>),
}

/// In short: of which broker.
impl fmt::Debug for MetricsPublisher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shape = f.debug_struct("MetricsPublisher");
        shape.field("dir", &self.dir).field("by_partition", &self.by_partition).field("labels", &self.published.labels);
        shape.finish_non_exhaustive()
    }
}

impl Broker {
    /// Begins to publish the [metrics](Broker::metrics) through the crate [`metrics`](https://docs.rs/metrics): say how, and then when.
    /// With the feature `metrics`.
    ///
    /// # Examples
    /// The example is at [`MetricsPublisher`].
    pub fn metrics_publisher(&self) -> MetricsPublisher {
        let source = match self.store.parts() {
            Some(parts) => Source::Writer(parts.downgrade()),
            None => Source::Reader(Arc::downgrade(&self.store)),
        };
        let dir = self.dir().display().to_string();
        MetricsPublisher { source, dir, by_partition: false, published: Published::new() }
    }
}

impl MetricsPublisher {
    /// A series for each partition, and not for each topic. Default: for each topic, and for each group and topic.
    pub fn by_partition(mut self) -> Self {
        self.by_partition = true;
        self
    }

    /// Adds a label to everything that this publishes: tells brokers from each other where a process has several.
    pub fn label(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.published.labels.push((name.into(), value.into()));
        self
    }

    /// Publishes what has come since the last time, now and on this thread. Once the broker is gone there is nothing to publish.
    pub fn publish(&mut self) {
        if self.published.process.is_forked() {
            return;
        }
        let metrics = match &self.source {
            Source::Writer(parts) => parts.upgrade().map(|parts| Metrics::of_parts(&parts)),
            Source::Reader(store) => store.upgrade().map(|store| Metrics::of(&store)),
        };
        let samples = metrics.map(|metrics| samples_of(&metrics, self.by_partition)).unwrap_or_default();
        self.published.publish(samples);
    }

    /// Has the broker's [maintenance](Broker::run_maintenance) publish: now, and then whenever `interval` has passed, until the broker is
    /// closed. The recorder is called on the thread that the maintenance runs on, which also keeps the syncs of intervals: it must neither
    /// take long nor panic.
    ///
    /// # Errors
    /// [`Error::InvalidConfig`] for an interval below a millisecond; [`Error::ReadOnly`] if the broker is open read-only, which has no
    /// maintenance: call [`publish`](MetricsPublisher::publish); [`Error::Closed`].
    pub fn every(self, interval: Duration) -> Result<()> {
        if interval < Duration::from_millis(1) {
            let reason = "metrics are published once in this time, of a millisecond at least";
            return Err(invalid("interval", format_args!("{interval:?}"), reason));
        }
        let Source::Writer(parts) = &self.source else {
            return Err(Error::ReadOnly { action: "publish metrics by itself" });
        };
        let environment = parts.upgrade().map(|parts| parts.environment);
        let Some(environment) = environment.filter(|environment| !environment.files.are_closed()) else {
            return Err(Error::Closed { what: self.dir.clone(), by: ClosedBy::Broker });
        };
        environment.files.check_not_forked()?;
        environment.add_expiring(Arc::new(Publishing { interval, state: Mutex::new((Duration::ZERO, Some(self))) }));
        Ok(())
    }
}

/// A publisher that the maintenance calls.
#[derive(Debug)]
struct Publishing {
    interval: Duration,
    /// When it publishes next, by the monotonic clock, and the publisher, if it is not at work.
    state: Mutex<(Duration, Option<MetricsPublisher>)>,
}

impl Expiring for Publishing {
    fn expire(&self, now: Duration) -> (Result<()>, Option<Duration>) {
        let mut publisher = {
            let mut state = self.state.lock();
            let (due, publisher) = &mut *state;
            if now < *due {
                return (Ok(()), Some(*due));
            }
            // One that is missing is at work on another thread, or further up on this one.
            *due = now.saturating_add(self.interval);
            let Some(publisher) = publisher.take() else { return (Ok(()), Some(*due)) };
            publisher
        };
        publisher.publish();
        let mut state = self.state.lock();
        state.1 = Some(publisher);
        (Ok(()), Some(state.0))
    }
}

/// What a recorder was told, and under which labels.
struct Published {
    process: ProcessMark,
    is_described: bool,
    labels: Vec<(String, String)>,
    told: Told,
}

/// What a recorder was told the last time.
#[derive(Default)]
struct Told {
    /// Counts, and what they were of.
    counters: BTreeMap<Series, (u64, u128)>,
    times: BTreeMap<Series, TimeHistogram>,
    gauges: BTreeSet<Series>,
}

impl Published {
    fn new() -> Published {
        let (labels, told) = Default::default();
        Published { process: ProcessMark::new(), is_described: false, labels, told }
    }

    fn publish(&mut self, samples: Vec<Sample>) {
        if !self.is_described {
            describe();
            self.is_described = true;
        }
        let (mut told, before) = (Told::default(), std::mem::take(&mut self.told));
        for Sample { series, value } in samples {
            let labels = self.labels_of(&series);
            match value {
                Value::Counter { count, of } => {
                    let counted = before.counters.get(&series).filter(|(_, counted)| *counted == of);
                    let new = count.saturating_sub(counted.map_or(0, |(count, _)| *count));
                    metrics::counter!(series.name, labels).increment(new);
                    told.counters.insert(series, (count, of));
                }
                Value::Gauge(value) => {
                    metrics::gauge!(series.name, labels).set(value);
                    told.gauges.insert(series);
                }
                Value::Times(times) => {
                    let new = before.times.get(&series).map_or_else(|| times.clone(), |before| times.since(before));
                    let histogram = metrics::histogram!(series.name, labels);
                    for (time, count) in new.middles() {
                        histogram.record_many(time.as_secs_f64(), usize::try_from(count).unwrap_or(usize::MAX));
                    }
                    told.times.insert(series, times);
                }
            }
        }
        before.gauges.difference(&told.gauges).for_each(|gone| self.clear(gone));
        self.told = told;
    }

    /// Nothing is left of what the gauge showed.
    fn clear(&self, gauge: &Series) {
        metrics::gauge!(gauge.name, self.labels_of(gauge)).set(0.0);
    }

    fn labels_of(&self, series: &Series) -> Vec<Label> {
        let given = self.labels.iter().map(|(name, value)| Label::new(name.clone(), value.clone()));
        let own = series.labels.iter().map(|(name, value)| Label::new(*name, value.clone()));
        given.chain(own).collect()
    }
}

impl Drop for Published {
    fn drop(&mut self) {
        // Not after a panic of the recorder, which might panic again.
        if !self.process.is_forked() && !std::thread::panicking() {
            self.told.gauges.iter().for_each(|gauge| self.clear(gauge));
        }
    }
}

/// Says what all names mean.
fn describe() {
    for Name { text: name, kind, unit, meaning } in names::ALL {
        match kind {
            Kind::Counter => metrics::describe_counter!(*name, *unit, *meaning),
            Kind::Gauge => metrics::describe_gauge!(*name, *unit, *meaning),
            Kind::Histogram => metrics::describe_histogram!(*name, *unit, *meaning),
        }
    }
}
