//! One look at a directory.

use ottla::{Metrics, Timestamp};
use serde::Serialize;

use crate::output::time;

/// What one look has seen.
#[derive(Debug, Clone, Serialize)]
pub struct Sample {
    pub time: String,
    pub topics: Vec<TopicSample>,
    pub groups: Vec<GroupSample>,
}

/// A topic. Rates are those since the look before.
#[derive(Debug, Clone, Serialize)]
pub struct TopicSample {
    pub topic: String,
    pub partitions: usize,
    /// Offsets that were given out.
    pub records_per_second: f64,
    pub log_bytes_per_second: f64,
    pub log_bytes: u64,
    pub records: u64,
}

/// A group.
#[derive(Debug, Clone, Serialize)]
pub struct GroupSample {
    pub group: String,
    pub state: String,
    pub members: u64,
    pub lag: u64,
    pub lag_per_second: f64,
    pub committed_per_second: f64,
}

impl Sample {
    pub fn of(before: &Metrics, now: &Metrics) -> Sample {
        let rates = now.since(before);
        let topics = now.user_topics().map(|(name, topic)| {
            let rate = rates.as_ref().and_then(|rates| rates.topics.get(name).copied()).unwrap_or_default();
            let count = |partition: &ottla::PartitionMetrics| partition.log_end_offset - partition.log_start_offset;
            TopicSample {
                topic: name.to_owned(),
                partitions: topic.partitions.len(),
                records_per_second: rate.offsets_per_second,
                log_bytes_per_second: rate.log_bytes_per_second,
                log_bytes: topic.log_bytes(),
                records: topic.partitions.iter().map(count).sum(),
            }
        });
        let groups = now.groups.iter().map(|(name, group)| {
            let rate = rates.as_ref().and_then(|rates| rates.groups.get(name).copied()).unwrap_or_default();
            GroupSample {
                group: name.clone(),
                state: group.state.to_string(),
                members: group.member_count,
                lag: group.lag(),
                lag_per_second: rate.lag_per_second,
                committed_per_second: rate.committed_per_second,
            }
        });
        Sample { time: time::show(Timestamp::now()), topics: topics.collect(), groups: groups.collect() }
    }
}
