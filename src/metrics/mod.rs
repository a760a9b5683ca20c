//! How much a broker does, and how far everybody is: a plain snapshot, and what has changed between two of them.
//!
//! ```text
//! logs, groups, tails ─▶ collecting ─▶ Metrics ─┬─ since ─▶ Rates
//!  (atomics, no lock that a send waits for)     └─ samples ─▶ publisher ─▶ the recorder of the crate `metrics`     feature `metrics`
//! ```
//! Nothing is counted here: the layers below count what they do, where they hold what that takes anyway.

mod collecting;
mod group_metrics;
#[cfg(feature = "metrics")]
mod names;
#[cfg(feature = "metrics")]
mod publisher;
mod rates;
#[cfg(feature = "metrics")]
mod samples;
mod table;
mod topic_metrics;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

pub use group_metrics::GroupMetrics;
#[cfg(feature = "metrics")]
pub use publisher::MetricsPublisher;
pub use rates::{CounterRates, GroupRates, Rates, TopicRates};
pub use topic_metrics::TopicMetrics;

use crate::broker::Broker;
use crate::broker::opened::Opened;
use crate::partition::tail_metrics::TailMetrics;
use crate::partition::time_histogram::TimeHistogram;
use table::{Table, shown_bytes, shown_time};

/// What a broker has done since it was opened, and how far everybody is, at one moment; made by [`Broker::metrics`].
///
/// The [chapter on metrics](crate::guide::metrics) says what to look at. It is shown as tables, with a line for each topic and group;
/// with the feature `serde` it goes out in any format.
///
/// # Examples
/// ```
/// use std::time::Duration;
/// # let broker = ottla::Broker::temporary()?;
/// let orders = broker.topic("orders")?;
/// for n in 0..3 { orders.produce("customer-1", n.to_string())?; }
/// let mut consumer = broker.consumer("billing", ["orders"])?;
/// consumer.poll(Duration::from_secs(1))?;
///
/// let metrics = broker.metrics();
/// let counters = metrics.topics["orders"].counters().unwrap();
/// assert_eq!((counters.records_in, counters.records_out, counters.refused_sends), (3, 3, 0));
/// assert_eq!(metrics.groups["billing"].lag(), 3, "nothing is committed yet");
/// println!("{metrics}");
/// # Ok::<_, ottla::Error>(())
/// ```
#[derive(Debug, Clone)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Metrics {
    /// How long the broker has been open.
    pub uptime: Duration,
    /// The topics by name, the internal ones among them: their names begin with `__`.
    pub topics: BTreeMap<String, TopicMetrics>,
    /// The groups by name; none if they cannot be read, and [`Admin::list_groups`](crate::Admin::list_groups) says why. Read-only, as
    /// the writing process has last recorded them.
    pub groups: BTreeMap<String, GroupMetrics>,
    /// How many segment files are open. More are opened when they are needed, within
    /// [`max_open_files`](crate::BrokerBuilder::max_open_files).
    pub open_files: u64,
    /// How many segment files are mapped.
    pub maps: u64,
    /// What only the process that writes the directory knows; `None` if the broker is open read-only.
    pub writer: Option<WriterMetrics>,
    #[cfg_attr(feature = "serde", serde(skip))]
    opened: Arc<Opened>,
}

/// What only the process that writes a directory knows; in [`Metrics::writer`].
///
/// # Examples
/// ```
/// use std::time::Duration;
/// # let broker = ottla::Broker::temporary()?;
/// let writer = broker.metrics().writer.unwrap();
/// println!("{} slots in use, syncs: {}", writer.always_tail.slots_in_use, writer.always_tail.syncs);
/// if writer.oldest_transaction_age.is_some_and(|age| Duration::from_secs(30) < age) {
///     eprintln!("readers wait for a transaction");
/// }
/// assert!(!writer.is_maintenance_failing);
/// # Ok::<_, ottla::Error>(())
/// ```
#[derive(Debug, Clone)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct WriterMetrics {
    /// The tail of topics with [`Durability::Always`](crate::Durability::Always).
    pub always_tail: TailMetrics,
    /// The tail of all other topics.
    pub tail: TailMetrics,
    /// The syncs of segment files, with that of their directory where a name was new. Hardly anybody waits for them.
    pub segment_syncs: TimeHistogram,
    /// How many transactions are open.
    pub open_transactions: u64,
    /// How long the oldest of them has been open; `None` if there is none. Readers of committed records may be waiting for it.
    pub oldest_transaction_age: Option<Duration>,
    /// What all files of the data directory have on the disk, in bytes; `None` without a [disk budget](crate::BrokerBuilder::disk_budget),
    /// where every file would have to be looked at: [`Admin::disk_usage`](crate::Admin::disk_usage) does that.
    pub disk_used_bytes: Option<u64>,
    /// The disk budget in bytes, if there is one.
    pub disk_budget_bytes: Option<u64>,
    /// How often the [maintenance](crate::Broker::run_maintenance) looked for some kind of work.
    pub maintenance_turns: u64,
    /// How often that failed. The next turn tries again.
    pub maintenance_failures: u64,
    /// Whether some kind of work failed the last time: [`Admin::health`](crate::Admin::health) says why.
    pub is_maintenance_failing: bool,
}

impl Broker {
    /// What the broker has done since it was opened, and how far everybody is. Nothing waits for this and it waits for no sync and no
    /// write: it reads a few numbers of each partition and group. The first call reads the groups back, if they were not used yet.
    ///
    /// If the broker is closed, these are the numbers at its end. If it is open read-only, files are looked at: those of groups as a
    /// whole, and some of each partition; what only the writing process knows is `None`. In a process that was forked off there are no
    /// topics and no groups.
    ///
    /// # Examples
    /// How much is done in a second:
    /// ```
    /// use std::time::Duration;
    /// # let broker = ottla::Broker::temporary()?;
    /// # let orders = broker.topic("orders")?;
    /// let before = broker.metrics();
    /// orders.produce("customer-1", "2 coffees")?;
    /// std::thread::sleep(Duration::from_millis(10)); // Rather ten seconds.
    /// let rates = broker.metrics().since(&before).unwrap();
    /// assert!(rates.total.counters.unwrap().records_in_per_second > 0.0);
    /// println!("{rates}");
    /// # Ok::<_, ottla::Error>(())
    /// ```
    #[must_use]
    pub fn metrics(&self) -> Metrics {
        Metrics::of(&self.store)
    }
}

impl Metrics {
    /// What has changed since `earlier`, by the second. `None` if there is no such rate: `earlier` is not earlier, or it is of another
    /// opening of the broker, or of another broker.
    #[must_use]
    pub fn since(&self, earlier: &Metrics) -> Option<Rates> {
        if !Arc::ptr_eq(&self.opened, &earlier.opened) {
            return None;
        }
        let elapsed = self.uptime.checked_sub(earlier.uptime).filter(|elapsed| !elapsed.is_zero())?;
        Some(Rates::between(earlier, self, elapsed))
    }

    /// The topics of users, by name: without the internal ones.
    pub fn user_topics(&self) -> impl Iterator<Item = (&str, &TopicMetrics)> {
        let topics = self.topics.iter().map(|(name, topic)| (name.as_str(), topic));
        topics.filter(|(name, _)| !crate::broker::topic_name::is_internal(name))
    }
}

/// Tables of topics and groups, and a line for each of the rest.
impl fmt::Display for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "open for {}; segment files: {} open, {} mapped",
            shown_time(self.uptime),
            self.open_files,
            self.maps
        )?;
        let mut topics =
            Table::new(["topic", "partitions", "records in", "records out", "refused", "bytes in log", "end"]);
        for (name, topic) in &self.topics {
            let counted = topic.counters();
            let count = |of: fn(&crate::PartitionCounters) -> u64| {
                counted.as_ref().map_or("-".to_owned(), |c| of(c).to_string())
            };
            topics.row([
                name.clone(),
                topic.partitions.len().to_string(),
                count(|counters| counters.records_in),
                count(|counters| counters.records_out),
                count(|counters| counters.refused_sends),
                shown_bytes(topic.log_bytes()),
                topic.log_end_offsets().to_string(),
            ]);
        }
        write!(f, "{topics}")?;
        let mut groups = Table::new(["group", "state", "members", "lag"]);
        for (name, group) in &self.groups {
            groups.row([
                name.clone(),
                group.state.to_string(),
                group.member_count.to_string(),
                group.lag().to_string(),
            ]);
        }
        write!(f, "{groups}")?;
        self.writer.iter().try_for_each(|writer| write!(f, "\n\n{writer}"))
    }
}

/// A line for each thing.
impl fmt::Display for WriterMetrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, tail) in [("tail-always", &self.always_tail), ("tail", &self.tail)] {
            let TailMetrics { slots_in_use, slot_bytes_in_use, file_bytes, syncs } = tail;
            let (used, all) = (shown_bytes(*slot_bytes_in_use), shown_bytes(*file_bytes));
            writeln!(f, "{name}: {slots_in_use} slots, {used} of {all}; syncs: {syncs}")?;
        }
        writeln!(f, "segments: syncs: {}", self.segment_syncs)?;
        write!(f, "transactions: {} open", self.open_transactions)?;
        self.oldest_transaction_age.iter().try_for_each(|age| write!(f, ", the oldest for {}", shown_time(*age)))?;
        if let Some((used, budget)) = self.disk_used_bytes.zip(self.disk_budget_bytes) {
            write!(f, "\ndisk: {} of {}", shown_bytes(used), shown_bytes(budget))?;
        }
        write!(f, "\nmaintenance: {} turns, {} failed", self.maintenance_turns, self.maintenance_failures)?;
        if self.is_maintenance_failing { f.write_str(", the last of them just now") } else { Ok(()) }
    }
}
