//! Making a snapshot.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::{GroupMetrics, Metrics, TopicMetrics, WriterMetrics};
use crate::broker::measuring::Parts;
use crate::broker::opened::Opened;
use crate::broker::store::Store;
use crate::group::description::GroupDescription;
use crate::partition::PartitionSource;
use crate::partition::partition_metrics::PartitionMetrics;
use crate::topic_partition::TopicPartition;
use crate::transaction::TransactionCoordinator;

type Topics = BTreeMap<String, TopicMetrics>;

impl Metrics {
    pub(super) fn of(store: &Store) -> Metrics {
        let now = store.monotonic();
        if store.is_forked() {
            // Locks may be held by threads that are not here.
            return Metrics::new(store.opened(), now);
        }
        match store.parts() {
            Some(parts) => Metrics::of_parts(&parts),
            None => Metrics::new(store.opened(), now)
                .with_logs(store.followed_groups(), || store.followed_sources())
                .with_open_counts(store.open_counts()),
        }
    }

    /// Of a broker that writes.
    pub(super) fn of_parts(parts: &Parts) -> Metrics {
        let now = parts.environment.disk.monotonic();
        let metrics = Metrics::new(&parts.opened, now)
            .with_logs(parts.groups(), || parts.sources())
            .with_open_counts(parts.environment.files.open_counts());
        Metrics { writer: Some(WriterMetrics::of(parts)), ..metrics }
    }

    fn new(opened: &Arc<Opened>, now: Duration) -> Metrics {
        Metrics {
            uptime: now.saturating_sub(opened.at),
            topics: Topics::new(),
            groups: BTreeMap::new(),
            open_files: 0,
            maps: 0,
            writer: None,
            opened: Arc::clone(opened),
        }
    }

    fn with_open_counts(self, (files, maps): (usize, usize)) -> Metrics {
        Metrics { open_files: files as u64, maps: maps as u64, ..self }
    }

    /// The groups were looked up before, so that none is told to be further than its logs go.
    fn with_logs(self, groups: Vec<GroupDescription>, sources: impl FnOnce() -> Vec<PartitionSource>) -> Metrics {
        let topics = measure(&sources());
        let groups = groups.into_iter().map(|group| (group.name().to_owned(), metrics_of(group, &topics))).collect();
        Metrics { topics, groups, ..self }
    }
}

/// What there is to measure of these partitions, which are in ascending order.
fn measure(sources: &[PartitionSource]) -> Topics {
    let mut topics = Topics::new();
    for of_topic in sources.chunk_by(|one, other| one.partition().topic() == other.partition().topic()) {
        if let Some(first) = of_topic.first() {
            let (name, topic_id) = (first.partition().topic().to_owned(), first.topic_id());
            let partitions = of_topic.iter().map(PartitionSource::measure).collect();
            topics.insert(name, TopicMetrics { partitions, topic_id });
        }
    }
    topics
}

fn metrics_of(mut group: GroupDescription, topics: &Topics) -> GroupMetrics {
    let topic = |name: &str| {
        let topic = topics.get(name)?;
        Some((topic.topic_id, u32::try_from(topic.partitions.len()).unwrap_or(u32::MAX)))
    };
    let bounds = |partition: &TopicPartition| {
        let of_topic = &topics.get(partition.topic())?.partitions;
        let PartitionMetrics { log_start_offset, last_stable_offset, .. } =
            of_topic.get(partition.partition() as usize)?;
        Some(*log_start_offset..*last_stable_offset)
    };
    group.add_partitions(topic, bounds);
    GroupMetrics::of(group)
}

impl WriterMetrics {
    fn of(parts: &Parts) -> WriterMetrics {
        let environment = &parts.environment;
        let (open_transactions, oldest_transaction_age) =
            parts.transactions().map(TransactionCoordinator::open_ages).unwrap_or_default();
        let budget = environment.budget.as_ref();
        let (maintenance_turns, maintenance_failures) = environment.maintenance_turns();
        WriterMetrics {
            always_tail: environment.always.measure(),
            tail: environment.relaxed.measure(),
            segment_syncs: environment.segment_syncs.read(),
            open_transactions,
            oldest_transaction_age,
            disk_used_bytes: budget.map(|budget| budget.used_bytes()),
            disk_budget_bytes: budget.map(|budget| budget.config().bytes),
            maintenance_turns,
            maintenance_failures,
            is_maintenance_failing: environment.maintenance_error().is_some(),
        }
    }
}
