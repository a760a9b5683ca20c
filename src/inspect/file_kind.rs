//! What a file holds, as its name tells.

use std::path::Path;

use crate::segment::file_name::{self, FileName};

/// What a file holds, by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum FileKind {
    /// Batches of records: `.log`.
    Log,
    /// Offset → file position: `.index`.
    OffsetIndex,
    /// Timestamp → offset: `.timeindex`.
    TimeIndex,
    /// Aborted transactions: `.txnindex`.
    TransactionIndex,
    /// What is known of producers: `.snapshot`.
    ProducerSnapshot,
    /// Where leader epochs begin: `leader-epoch-checkpoint`.
    LeaderEpochs,
    /// The id of the topic: `partition.metadata`.
    PartitionMetadata,
    /// Which sealed segments there must be: `manifest`.
    Manifest,
    /// Up to where the log is synced: `recovery-point`.
    RecoveryPoint,
    /// Which topics there are: `catalog`.
    Catalog,
    /// Open batches: `tail` and `tail-always`.
    Tail,
}

impl FileKind {
    /// The kind of the file at `path`, by its name alone; `None` if no file of a log is called so. What recovery has set aside, and
    /// what compaction was writing or about to remove, is of the kind that it was or was to be.
    ///
    /// # Examples
    /// ```
    /// use ottla::inspect::FileKind;
    /// assert_eq!(FileKind::of("orders-0/00000000000000000042.timeindex"), Some(FileKind::TimeIndex));
    /// assert_eq!(FileKind::of("00000000000000000042.log.8192.quarantine"), Some(FileKind::Log));
    /// assert_eq!(FileKind::of("notes.txt"), None);
    /// ```
    #[must_use]
    pub fn of(path: impl AsRef<Path>) -> Option<FileKind> {
        let name = path.as_ref().file_name()?;
        if let Some(name) = FileName::parse(name) {
            return Some(match name.kind {
                file_name::FileKind::Log => FileKind::Log,
                file_name::FileKind::OffsetIndex => FileKind::OffsetIndex,
                file_name::FileKind::TimeIndex => FileKind::TimeIndex,
                file_name::FileKind::TransactionIndex => FileKind::TransactionIndex,
                file_name::FileKind::ProducerSnapshot => FileKind::ProducerSnapshot,
            });
        }
        match name.to_str()? {
            "leader-epoch-checkpoint" => Some(FileKind::LeaderEpochs),
            "partition.metadata" => Some(FileKind::PartitionMetadata),
            "manifest" | "manifest.damaged" => Some(FileKind::Manifest),
            "recovery-point" => Some(FileKind::RecoveryPoint),
            "catalog" => Some(FileKind::Catalog),
            "tail" | "tail-always" => Some(FileKind::Tail),
            _ => None,
        }
    }
}
