//! What a snapshot comes to when it is published: values under stable names.

use super::names::{self, Name};
use super::{GroupMetrics, Metrics, TopicMetrics, WriterMetrics};
use crate::group::description::GroupPartition;
use crate::partition::partition_metrics::{PartitionCounters, PartitionMetrics};
use crate::partition::time_histogram::TimeHistogram;

/// A value under a name.
#[derive(Debug, Clone)]
pub(super) struct Sample {
    pub(super) series: Series,
    pub(super) value: Value,
}

/// What tells the values of one name from each other.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Series {
    pub(super) name: &'static str,
    pub(super) labels: Vec<(&'static str, String)>,
}

#[derive(Debug, Clone)]
pub(super) enum Value {
    /// How much was counted since `of` began to count: the id of a topic, since another one of its name begins anew.
    Counter {
        count: u64,
        of: u128,
    },
    Gauge(f64),
    Times(TimeHistogram),
}

/// Collects samples.
struct Samples {
    by_partition: bool,
    samples: Vec<Sample>,
}

/// All that there is to publish of a snapshot, with a series for each partition if that is asked for.
pub(super) fn samples_of(metrics: &Metrics, by_partition: bool) -> Vec<Sample> {
    let mut samples = Samples { by_partition, samples: Vec::new() };
    metrics.topics.iter().for_each(|(name, topic)| samples.add_topic(name, topic));
    metrics.groups.iter().for_each(|(name, group)| samples.add_group(name, group));
    samples.gauge(&names::OPEN_FILES, &[], metrics.open_files);
    samples.gauge(&names::MAPS, &[], metrics.maps);
    samples.seconds(&names::UPTIME, &[], metrics.uptime);
    metrics.writer.iter().for_each(|writer| samples.add_writer(writer));
    samples.samples
}

type Labels<'l> = &'l [(&'static str, &'l str)];

impl Samples {
    fn add(&mut self, name: &'static Name, labels: Labels<'_>, value: Value) {
        let labels = labels.iter().map(|(label, value)| (*label, (*value).to_owned())).collect();
        self.samples.push(Sample { series: Series { name: name.text, labels }, value });
    }

    #[allow(clippy::cast_precision_loss, reason = "recorders take nothing else")]
    fn gauge(&mut self, name: &'static Name, labels: Labels<'_>, value: u64) {
        self.add(name, labels, Value::Gauge(value as f64));
    }

    fn seconds(&mut self, name: &'static Name, labels: Labels<'_>, time: std::time::Duration) {
        self.add(name, labels, Value::Gauge(time.as_secs_f64()));
    }

    fn add_topic(&mut self, name: &str, topic: &TopicMetrics) {
        let TopicMetrics { partitions, topic_id } = topic;
        if !self.by_partition {
            return self.add_logs(&[("topic", name)], partitions, topic.counters(), *topic_id);
        }
        for partition in partitions {
            let number = partition.partition.to_string();
            let labels = &[("topic", name), ("partition", &*number)];
            self.add_logs(labels, std::slice::from_ref(partition), partition.counters, *topic_id);
            self.gauge(&names::LOG_START_OFFSET, labels, partition.log_start_offset);
            self.gauge(&names::LAST_STABLE_OFFSET, labels, partition.last_stable_offset);
            self.gauge(&names::LOG_END_OFFSET, labels, partition.log_end_offset);
        }
    }

    /// One partition, or all of a topic together.
    fn add_logs(
        &mut self,
        labels: Labels<'_>,
        partitions: &[PartitionMetrics],
        counters: Option<PartitionCounters>,
        of: u128,
    ) {
        if let Some(counters) = counters {
            for (name, count) in [
                (&names::RECORDS_IN, counters.records_in),
                (&names::BYTES_IN, counters.bytes_in),
                (&names::RECORDS_OUT, counters.records_out),
                (&names::BYTES_OUT, counters.bytes_out),
                (&names::REFUSED_SENDS, counters.refused_sends),
                (&names::SEGMENTS_ROLLED, counters.segments_rolled),
                (&names::SEGMENTS_DELETED, counters.segments_deleted),
                (&names::BYTES_DELETED, counters.bytes_deleted),
                (&names::COMPACTIONS, counters.compactions),
            ] {
                self.add(name, labels, Value::Counter { count, of });
            }
        }
        let sum = |of: fn(&PartitionMetrics) -> u64| partitions.iter().map(of).sum();
        self.gauge(&names::LOG_BYTES, labels, sum(|partition| partition.log_bytes));
        self.gauge(&names::SEGMENTS, labels, sum(|partition| partition.segment_count));
        self.gauge(&names::FAILED_PARTITIONS, labels, sum(|partition| partition.is_failed.into()));
        let undurable = sum(|partition| partition.log_end_offset.saturating_sub(partition.durable_offset));
        self.gauge(&names::UNDURABLE_OFFSETS, labels, undurable);
    }

    fn add_group(&mut self, name: &str, group: &GroupMetrics) {
        let of_group = &[("group", name)];
        self.gauge(&names::GROUP_MEMBERS, of_group, group.member_count);
        self.gauge(&names::GROUP_GENERATION, of_group, u64::from(group.generation.unsigned_abs()));
        let rows = &group.partitions;
        for rows in rows.chunk_by(|one, other| one.topic_partition().topic() == other.topic_partition().topic()) {
            let Some(first) = rows.first() else { continue };
            let topic = first.topic_partition().topic();
            if !self.by_partition {
                let lag = rows.iter().map(GroupPartition::lag).sum();
                self.gauge(&names::GROUP_LAG, &[("group", name), ("topic", topic)], lag);
                continue;
            }
            for row in rows {
                let number = row.topic_partition().partition().to_string();
                let labels = &[("group", name), ("topic", topic), ("partition", &*number)];
                self.gauge(&names::GROUP_LAG, labels, row.lag());
                if let Some(committed) = row.committed() {
                    self.gauge(&names::GROUP_COMMITTED, labels, committed.offset());
                }
            }
        }
    }

    fn add_writer(&mut self, writer: &WriterMetrics) {
        let segments = ("segments", &writer.segment_syncs);
        let tails = [("tail-always", &writer.always_tail), ("tail", &writer.tail)];
        for (file, syncs) in tails.map(|(file, tail)| (file, &tail.syncs)).into_iter().chain([segments]) {
            self.add(&names::SYNC_SECONDS, &[("file", file)], Value::Times(syncs.clone()));
        }
        for (file, tail) in tails {
            self.gauge(&names::TAIL_SLOTS, &[("file", file)], tail.slots_in_use);
            self.gauge(&names::TAIL_BYTES, &[("file", file)], tail.slot_bytes_in_use);
        }
        self.gauge(&names::OPEN_TRANSACTIONS, &[], writer.open_transactions);
        self.seconds(&names::OLDEST_TRANSACTION, &[], writer.oldest_transaction_age.unwrap_or_default());
        for (name, bytes) in
            [(&names::DISK_USED, writer.disk_used_bytes), (&names::DISK_BUDGET, writer.disk_budget_bytes)]
        {
            if let Some(bytes) = bytes {
                self.gauge(name, &[], bytes);
            }
        }
        let failures = Value::Counter { count: writer.maintenance_failures, of: 0 };
        self.add(&names::MAINTENANCE_FAILURES, &[], failures);
        self.gauge(&names::MAINTENANCE_FAILING, &[], writer.is_maintenance_failing.into());
    }
}
