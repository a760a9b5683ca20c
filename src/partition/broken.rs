//! Why a partition answers no call at all, while all others are served.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::recovery_report::PartitionRecovery;
use crate::error::{Corruption, Error, Result, is_passing};
use crate::topic_partition::TopicPartition;

/// Why nothing can be known of a partition.
#[derive(Debug, Clone)]
pub(crate) enum Broken {
    /// Its directory is not what it should be.
    Damaged(Corruption),
    /// The operating system refused its directory or one of its files.
    Refused(Refusal),
}

impl Broken {
    /// Takes an error for one of the partition in `dir` alone, if it is.
    ///
    /// # Errors
    /// The same error, if it is of the machine, of the process, or of another file: no handle left, a full disk, another version.
    pub(crate) fn of(error: Error, partition: &TopicPartition, dir: &Path) -> Result<Broken> {
        match error {
            Error::Corrupt(damage) => Ok(Broken::Damaged(Corruption { partition: Some(partition.clone()), ..*damage })),
            Error::Io { action, path, source } if path.starts_with(dir) && !is_passing(&source) => {
                Ok(Broken::Refused(Refusal { action, path, source: Arc::new(source) }))
            }
            error => Err(error),
        }
    }

    /// What every call on the partition fails with.
    pub(crate) fn error(&self) -> Error {
        match self {
            Broken::Damaged(damage) => Error::Corrupt(Box::new(damage.clone())),
            Broken::Refused(refusal) => refusal.error(),
        }
    }

    /// What there is to tell of the partition.
    pub(crate) fn report(self, partition: TopicPartition) -> PartitionRecovery {
        match self {
            Broken::Damaged(damage) => PartitionRecovery::of_damage(partition, vec![damage]),
            Broken::Refused(refusal) => PartitionRecovery::of_refusal(partition, refusal),
        }
    }
}

/// An [`Error::Io`] that is told again and again.
#[derive(Debug, Clone)]
pub(crate) struct Refusal {
    action: &'static str,
    path: PathBuf,
    source: Arc<io::Error>,
}

impl Refusal {
    /// The error, of the same kind, and with the same number if it has one.
    pub(crate) fn error(&self) -> Error {
        let source = match self.source.raw_os_error() {
            Some(number) => io::Error::from_raw_os_error(number),
            None => io::Error::new(self.source.kind(), Arc::clone(&self.source)),
        };
        Error::Io { action: self.action, path: self.path.clone(), source }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error().with_causes().fmt(f)
    }
}
