//! Where a log is and how it is kept.

use std::path::PathBuf;
use std::sync::Arc;

use super::compaction::config::CompactionConfig;
use super::config::TopicConfig;
use super::durability::Durability;
use super::log_id::LogId;
use crate::topic_partition::TopicPartition;

/// Where a log is and how it is kept.
#[derive(Debug, Clone)]
pub(crate) struct LogSpec {
    pub(crate) partition: TopicPartition,
    pub(crate) topic_id: u128,
    pub(crate) dir: PathBuf,
    /// One for all logs of the topic and the topic itself. To change settings of logs that serve, exchange this as a whole: an
    /// `ArcSwap` here and with the topic. A send that fits its open batch does not look here; what begins or seals a batch or
    /// begins a segment does, and a fetch, once.
    pub(crate) config: Arc<TopicConfig>,
    pub(crate) durability: Durability,
    /// Whether old records of a key are removed, and how. Follows from the topic's name; not in the catalog.
    pub(crate) compaction: Option<CompactionConfig>,
    /// No record gets a lower leader epoch.
    pub(crate) least_leader_epoch: i32,
}

impl LogSpec {
    /// Which log it is.
    pub(crate) fn id(&self) -> LogId {
        LogId { topic_id: self.topic_id, partition: self.partition.partition() }
    }
}
