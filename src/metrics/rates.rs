//! What has changed between two snapshots, by the second.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use super::table::{Table, shown_bytes_of, shown_time};
use super::{GroupMetrics, Metrics, TopicMetrics};
use crate::group::committed_offset::CommittedOffset;
use crate::group::description::GroupPartition;
use crate::partition::partition_metrics::PartitionCounters;
use crate::partition::time_histogram::TimeHistogram;

/// How much was done between two moments; made by [`Metrics::since`]. It is shown as tables.
///
/// # Examples
/// ```
/// use std::time::Duration;
/// # let broker = ottla::Broker::temporary()?;
/// # broker.topic("orders")?.produce("customer-1", "2 coffees")?;
/// let before = broker.metrics();
/// # broker.topic("orders")?.produce("customer-1", "2 coffees")?;
/// # std::thread::sleep(Duration::from_millis(10));
/// let rates = broker.metrics().since(&before).unwrap();
/// for (name, topic) in &rates.topics {
///     println!("{name}: {:.0} records a second come in", topic.counters.unwrap().records_in_per_second);
/// }
/// // The other way round there is no rate.
/// assert!(before.since(&broker.metrics()).is_none());
/// # Ok::<_, ottla::Error>(())
/// ```
#[derive(Debug, Clone)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Rates {
    /// The time between the two moments.
    pub elapsed: Duration,
    /// All topics of users together: without the internal ones.
    pub total: TopicRates,
    /// The topics by name, the internal ones among them. One that was made in between has begun with nothing, also in the place of another
    /// one of its name; one that was deleted in between is not there.
    pub topics: BTreeMap<String, TopicRates>,
    /// The groups by name that were there at both moments.
    pub groups: BTreeMap<String, GroupRates>,
    /// The syncs in between of the tail of topics with [`Durability::Always`](crate::Durability::Always); `None` read-only.
    pub always_tail_syncs: Option<TimeHistogram>,
    /// Those of the tail of all other topics; `None` read-only.
    pub tail_syncs: Option<TimeHistogram>,
    /// Those of segments; `None` read-only.
    pub segment_syncs: Option<TimeHistogram>,
}

/// How much was done in a topic, in all of its partitions together; in [`Rates`], where the example is.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct TopicRates {
    /// Offsets that were given out, a second: records, and markers of transactions.
    pub offsets_per_second: f64,
    /// How much the log files of the segments have grown, in bytes a second; negative if more was deleted than written.
    pub log_bytes_per_second: f64,
    /// What was counted; `None` read-only.
    pub counters: Option<CounterRates>,
}

/// How fast counters rose; in [`TopicRates`]. The [counters](PartitionCounters) say what they count.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct CounterRates {
    /// Records that were appended, a second.
    pub records_in_per_second: f64,
    /// The bytes of these, a second.
    pub bytes_in_per_second: f64,
    /// Records that were read, a second.
    pub records_out_per_second: f64,
    /// The bytes of these, a second.
    pub bytes_out_per_second: f64,
    /// Sends of which nothing was appended, a second.
    pub refused_sends_per_second: f64,
}

/// How much a group has done; in [`Rates`], where the example is.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct GroupRates {
    /// How many offsets it went forward by what it has committed, a second. Offsets that were set back do not count.
    pub committed_per_second: f64,
    /// How much its lag has grown, in offsets a second; negative if it catches up.
    pub lag_per_second: f64,
}

impl Rates {
    pub(super) fn between(earlier: &Metrics, later: &Metrics, elapsed: Duration) -> Rates {
        let topics: BTreeMap<String, Change> = later
            .topics
            .iter()
            .map(|(name, topic)| {
                let before = earlier.topics.get(name).filter(|before| before.topic_id == topic.topic_id);
                (name.clone(), Change::between(before, topic))
            })
            .collect();
        let users = later.user_topics().filter_map(|(name, _)| topics.get(name));
        let total = users.copied().reduce(Change::with).unwrap_or_else(|| Change::nothing(later.writer.is_some()));
        let both = later.groups.iter().filter_map(|(name, group)| Some((name, earlier.groups.get(name)?, group)));
        let writers = earlier.writer.as_ref().zip(later.writer.as_ref());
        let syncs = |of: fn(&super::WriterMetrics) -> &TimeHistogram| {
            writers.map(|(earlier, later)| of(later).since(of(earlier)))
        };
        Rates {
            elapsed,
            total: total.by_second(elapsed),
            groups: both.map(|(name, before, now)| (name.clone(), GroupRates::between(before, now, elapsed))).collect(),
            topics: topics.into_iter().map(|(name, change)| (name, change.by_second(elapsed))).collect(),
            always_tail_syncs: syncs(|writer| &writer.always_tail.syncs),
            tail_syncs: syncs(|writer| &writer.tail.syncs),
            segment_syncs: syncs(|writer| &writer.segment_syncs),
        }
    }
}

/// What has changed in a topic.
#[derive(Debug, Clone, Copy)]
struct Change {
    offsets: u64,
    log_bytes: i128,
    counters: Option<PartitionCounters>,
}

impl Change {
    fn between(before: Option<&TopicMetrics>, now: &TopicMetrics) -> Change {
        let counted_before = || before.map_or(Some(PartitionCounters::default()), TopicMetrics::counters);
        Change {
            offsets: now.log_end_offsets().saturating_sub(before.map_or(0, TopicMetrics::log_end_offsets)),
            log_bytes: i128::from(now.log_bytes()) - i128::from(before.map_or(0, TopicMetrics::log_bytes)),
            counters: now.counters().and_then(|counters| Some(counters.since(counted_before()?))),
        }
    }

    fn nothing(is_counted: bool) -> Change {
        Change { offsets: 0, log_bytes: 0, counters: is_counted.then(PartitionCounters::default) }
    }

    fn with(self, other: Change) -> Change {
        let sum = |(mut one, other): (PartitionCounters, PartitionCounters)| {
            one += other;
            one
        };
        Change {
            offsets: self.offsets.saturating_add(other.offsets),
            log_bytes: self.log_bytes + other.log_bytes,
            counters: self.counters.zip(other.counters).map(sum),
        }
    }

    fn by_second(self, elapsed: Duration) -> TopicRates {
        let rate = |count| by_second(count, elapsed);
        #[allow(clippy::cast_precision_loss, reason = "a rate has a few digits")]
        let log_bytes_per_second = self.log_bytes as f64 / elapsed.as_secs_f64();
        TopicRates {
            offsets_per_second: rate(self.offsets),
            log_bytes_per_second,
            counters: self.counters.map(|counters| CounterRates {
                records_in_per_second: rate(counters.records_in),
                bytes_in_per_second: rate(counters.bytes_in),
                records_out_per_second: rate(counters.records_out),
                bytes_out_per_second: rate(counters.bytes_out),
                refused_sends_per_second: rate(counters.refused_sends),
            }),
        }
    }
}

#[allow(clippy::cast_precision_loss, reason = "a rate has a few digits")]
fn by_second(count: u64, elapsed: Duration) -> f64 {
    count as f64 / elapsed.as_secs_f64()
}

impl GroupRates {
    fn between(before: &GroupMetrics, now: &GroupMetrics, elapsed: Duration) -> GroupRates {
        let committed = |row: &GroupPartition| row.committed().map(CommittedOffset::offset);
        let forward = now.partitions.iter().filter_map(|row| {
            let earlier = before.partitions.iter().find(|other| other.topic_partition() == row.topic_partition())?;
            Some(committed(row)?.saturating_sub(committed(earlier).unwrap_or_else(|| earlier.log_start_offset())))
        });
        let (grown, shrunk) = (now.lag().saturating_sub(before.lag()), before.lag().saturating_sub(now.lag()));
        GroupRates {
            committed_per_second: by_second(forward.sum(), elapsed),
            lag_per_second: by_second(grown, elapsed) - by_second(shrunk, elapsed),
        }
    }
}

/// Tables of topics and groups, and a line for the syncs of each file.
impl fmt::Display for Rates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a second, over {}", shown_time(self.elapsed))?;
        let mut topics =
            Table::new(["topic", "records in", "bytes in", "records out", "bytes out", "refused", "log grows"]);
        let named = self.topics.iter().map(|(name, topic)| (name.as_str(), topic));
        for (name, topic) in named.chain([("(all but internal ones)", &self.total)]) {
            let counters = topic.counters.as_ref();
            let count =
                |of: fn(&CounterRates) -> f64| counters.map_or("-".to_owned(), |rates| format!("{:.1}", of(rates)));
            let bytes =
                |of: fn(&CounterRates) -> f64| counters.map_or("-".to_owned(), |rates| shown_bytes_of(of(rates)));
            let records_in = counters.map_or(topic.offsets_per_second, |rates| rates.records_in_per_second);
            topics.row([
                name.to_owned(),
                format!("{records_in:.1}"),
                bytes(|rates| rates.bytes_in_per_second),
                count(|rates| rates.records_out_per_second),
                bytes(|rates| rates.bytes_out_per_second),
                count(|rates| rates.refused_sends_per_second),
                shown_bytes_of(topic.log_bytes_per_second),
            ]);
        }
        write!(f, "{topics}")?;
        let mut groups = Table::new(["group", "committed", "lag grows"]);
        for (name, group) in &self.groups {
            let cells = [group.committed_per_second, group.lag_per_second].map(|rate| format!("{rate:.1}"));
            let [committed, lag] = cells;
            groups.row([name.clone(), committed, lag]);
        }
        write!(f, "{groups}")?;
        let syncs =
            [("tail-always", &self.always_tail_syncs), ("tail", &self.tail_syncs), ("segments", &self.segment_syncs)];
        let syncs = syncs.into_iter().filter_map(|(name, syncs)| Some((name, syncs.as_ref()?)));
        for (at, (name, syncs)) in syncs.enumerate() {
            // The lines are apart from the tables above.
            let blank = if at == 0 { "\n" } else { "" };
            write!(f, "{blank}\n{name}: syncs: {syncs}")?;
        }
        Ok(())
    }
}
