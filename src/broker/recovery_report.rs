//! What opening a data directory found and did, as data.

use std::path::PathBuf;

use crate::error::Corruption;
use crate::partition::recovery_report::PartitionRecovery;

/// What opening found, and what it did about it.
///
/// # Examples
/// ```
/// let broker = ottla::Broker::temporary()?;
/// assert!(broker.recovery_report().is_clean());
/// # Ok::<_, ottla::Error>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct RecoveryReport {
    pub(super) was_clean_shutdown: bool,
    pub(super) catalog_fell_back: bool,
    pub(super) partitions: Vec<PartitionRecovery>,
    pub(super) unknown_directories: Vec<PathBuf>,
}

impl RecoveryReport {
    /// Whether there was nothing to repair or report: the last writer had closed the broker (or the directory was new), and
    /// nothing was missing or damaged.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.was_clean_shutdown
            && !self.catalog_fell_back
            && self.unknown_directories.is_empty()
            && self.partitions.iter().all(PartitionRecovery::is_clean)
    }

    /// Whether the last writer had closed the broker, or there was none.
    #[must_use]
    pub fn was_clean_shutdown(&self) -> bool {
        self.was_clean_shutdown
    }

    /// Whether the newest state of the catalog was damaged and the one before was taken: the last topic created or deleted
    /// may be missing or be back.
    #[must_use]
    pub fn catalog_fell_back(&self) -> bool {
        self.catalog_fell_back
    }

    /// What was found in each partition that was not simply as expected.
    #[must_use]
    pub fn partitions(&self) -> &[PartitionRecovery] {
        &self.partitions
    }

    /// Everything that was synced once and cannot be read any more.
    pub fn damage(&self) -> impl Iterator<Item = &Corruption> {
        self.partitions.iter().flat_map(PartitionRecovery::damage)
    }

    /// Partition directories that belong to no topic: left alone, since nothing proves that they may go.
    #[must_use]
    pub fn unknown_directories(&self) -> &[PathBuf] {
        &self.unknown_directories
    }
}
