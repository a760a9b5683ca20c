//! What is asked of a data directory that is opened: what the builder was told, as plain data.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::beside::OpensBeside;
use super::budget_settings::BudgetSettings;
use super::read_mode::ReadMode;
use super::topic_entry::TopicEntry;
use super::{partition_dir, topic_name};
use crate::disk::Disk;
use crate::disk::open_files::{OpenFilesConfig, ReadMode as Mode};
use crate::partition::compaction::config::CleanerConfig;
use crate::partition::config::TopicConfig;
use crate::partition::durability::Durability;
use crate::partition::log_spec::LogSpec;
use crate::partition::recovery_mode::RecoveryMode;
use crate::topic_partition::TopicPartition;

const OPEN_MAPS_MAX: usize = 4096;

/// Which directory, and how it is opened and kept. Each setter of the builder says what its value means.
#[derive(Debug, Clone)]
#[allow(clippy::struct_excessive_bools, reason = "each is a setting of its own")]
pub(super) struct StoreConfig {
    /// As the user gave it. Opening puts there what it stands for from then on.
    pub(super) dir: PathBuf,
    pub(super) disk: Arc<dyn Disk>,
    pub(super) durability: Durability,
    pub(super) topic_defaults: TopicConfig,
    pub(super) background: bool,
    /// Full batches wait to be sealed although no thread does it.
    pub(super) leaves_full_batches: bool,
    pub(super) max_open_files: u32,
    pub(super) tail_bytes: u64,
    pub(super) read_mode: ReadMode,
    pub(super) recovery_mode: RecoveryMode,
    /// Where a log may be begun.
    pub(super) new_log: NewLog,
    /// Whether the directory is removed when it is closed.
    pub(super) is_temporary: bool,
    /// What all files may take.
    pub(super) budget: BudgetSettings,
    /// What compaction may take.
    pub(super) cleaner: CleanerConfig,
    /// How long offsets are kept that nobody uses.
    pub(super) offsets_retention: Option<Duration>,
    /// How long transactional ids are kept that nobody uses.
    pub(super) transactional_id_expiration: Option<Duration>,
    /// Whether transactions that stand open are ended before anything is served: always, but for tests.
    pub(super) settles_transactions: bool,
    pub(super) purpose: Purpose,
    /// What is kept beside the broker, by a layer above.
    pub(super) beside: Option<Arc<dyn OpensBeside>>,
}

/// What a directory is opened for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// To be used.
    Use,
    /// It is a copy, and is to be put in order before anybody may use it.
    FinishCopy,
}

/// Where a log may be begun.
#[derive(Debug, Clone, Copy)]
pub(super) struct NewLog {
    /// Where there is none, and the directory is made.
    pub(super) is_allowed: bool,
    /// Also among files of others.
    pub(super) among_other_files: bool,
}

impl StoreConfig {
    /// How files are kept open.
    pub(super) fn open_files(&self) -> OpenFilesConfig {
        let read_mode = match self.read_mode {
            ReadMode::Map if self.recovery_mode != RecoveryMode::ReadOnly => Mode::Map,
            // Another process may cut a file that we have mapped, and we would be killed for looking at it.
            _ => Mode::Copy,
        };
        OpenFilesConfig { handles_max: self.max_open_files as usize, maps_max: OPEN_MAPS_MAX, read_mode }
    }

    /// Where the log of a topic's partition is, and how it is kept.
    pub(super) fn log_spec(&self, topic: &TopicEntry, number: u32, least_leader_epoch: i32) -> LogSpec {
        let partition = TopicPartition::new(Arc::clone(&topic.name), number);
        LogSpec {
            dir: partition_dir::path_of(&self.dir, &partition),
            partition,
            topic_id: topic.topic_id,
            default_durability: self.durability,
            settings: Arc::clone(&topic.settings),
            is_internal: topic_name::is_internal(&topic.name),
            least_leader_epoch,
        }
    }
}
