//! Where a log is and how it is kept.

use std::path::PathBuf;
use std::sync::Arc;

use super::compaction::config::CompactionConfig;
use super::durability::Durability;
use super::log_id::LogId;
use super::topic_settings::TopicSettings;
use crate::segment::SegmentConfig;
use crate::topic_partition::TopicPartition;

/// Where a log is and how it is kept.
#[derive(Debug, Clone)]
pub(crate) struct LogSpec {
    pub(crate) partition: TopicPartition,
    pub(crate) topic_id: u128,
    pub(crate) dir: PathBuf,
    /// Those of the topic.
    pub(crate) settings: Arc<TopicSettings>,
    /// What the broker has for topics that do not say.
    pub(crate) default_durability: Durability,
    /// Whether it is a topic of ours: it is compacted, whatever its settings say.
    pub(crate) is_internal: bool,
    /// No record gets a lower leader epoch.
    pub(crate) least_leader_epoch: i32,
}

impl LogSpec {
    /// How its segments are kept, as the topic is configured now.
    pub(crate) fn segment_config(&self) -> SegmentConfig {
        SegmentConfig::from(&**self.settings.load())
    }

    /// What a send survives when it returns, as the topic is configured now.
    pub(crate) fn durability(&self) -> Durability {
        self.settings.load().durability.unwrap_or(self.default_durability)
    }

    /// Whether old records of a key are removed, and how, as the topic is configured now.
    pub(crate) fn compaction(&self) -> Option<CompactionConfig> {
        if self.is_internal { Some(CompactionConfig::INTERNAL) } else { CompactionConfig::of(&self.settings.load()) }
    }

    /// Which log it is.
    pub(crate) fn id(&self) -> LogId {
        LogId { topic_id: self.topic_id, partition: self.partition.partition() }
    }
}
