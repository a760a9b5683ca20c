//! Whose directory it is, and whether this version may open it.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use crate::disk::Disk;
use crate::error::{Error, Result};
use crate::partition::log::LogSpec;
use crate::partition::log_id::LogId;
use crate::partition::manifest::{LoadedManifest, Manifest};
use crate::partition::partition_metadata;
use crate::partition::recovery_mode::RecoveryMode;
use crate::partition::recovery_point::{LoadedPoint, RecoveryPointFile};

/// What manifest and recovery point of a partition say, or what is wrong with them.
#[derive(Debug)]
pub(crate) struct Noted {
    pub(super) manifest: Result<Option<LoadedManifest>>,
    pub(super) point: Result<LoadedPoint>,
}

impl Noted {
    /// Reads what is noted of a partition. Changes nothing, so that it can be asked before anything is.
    ///
    /// # Errors
    /// [`Error::UnsupportedVersion`] if another version wrote it. What else is wrong ends the recovery, or does not.
    pub(crate) fn load(disk: &dyn Disk, dir: &Path, log: LogId) -> Result<Noted> {
        let (manifest, point) = (Manifest::load(disk, dir, log), RecoveryPointFile::load(disk, dir, log));
        match (manifest, point) {
            (Err(newer @ Error::UnsupportedVersion { .. }), _) | (_, Err(newer @ Error::UnsupportedVersion { .. })) => {
                Err(newer)
            }
            (manifest, point) => Ok(Noted { manifest, point }),
        }
    }
}

/// Checks that the directory of a partition is there, and is of this topic and not one of the same name; returns the file that
/// says so if it had to be made anew.
///
/// # Errors
/// [`Error::Corrupt`] if not. Which topic it is of is not asked where damage is to be passed over.
pub(super) fn check_identity(disk: &dyn Disk, spec: &LogSpec, mode: RecoveryMode) -> Result<Option<PathBuf>> {
    let dir = &spec.dir;
    let corrupt = |reason| Err(Error::corrupt_file(dir, 0, reason));
    let loaded = partition_metadata::load(disk, dir);
    if let Ok(None) = loaded {
        match disk.list(dir) {
            Ok(_) => {}
            Err(e) if e.kind() == ErrorKind::NotFound => {
                return corrupt("the partition's directory is missing; restore it from a backup");
            }
            Err(e) => return Err(Error::io("list", dir, e)),
        }
    }
    match loaded {
        Ok(Some(id)) if id == spec.topic_id => Ok(None),
        Ok(Some(_)) if mode != RecoveryMode::SkipCorrupt => {
            corrupt("the partition's directory belongs to another topic; restore its own from a backup")
        }
        // The file is there for Kafka; without it the directory is taken for what its name says.
        Ok(_) | Err(Error::Corrupt(_)) => {
            partition_metadata::store(disk, dir, spec.topic_id)?;
            Ok(Some(partition_metadata::path(dir)))
        }
        Err(error) => Err(error),
    }
}
