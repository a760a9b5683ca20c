//! Whose directory it is, and whether this version may open it.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use crate::disk::Disk;
use crate::error::{Error, Result};
use crate::partition::log::LogSpec;
use crate::partition::manifest::Manifest;
use crate::partition::partition_metadata;
use crate::partition::recovery_mode::RecoveryMode;
use crate::partition::recovery_point::RecoveryPointFile;

/// Checks that no newer version wrote the files of a partition. Changes nothing, so that it can be asked before anything is.
///
/// # Errors
/// [`Error::UnsupportedVersion`]. What else there is to say of these files is said when they are used.
pub(crate) fn check_versions(disk: &dyn Disk, dir: &Path) -> Result<()> {
    let manifest = Manifest::load(disk, dir).map(drop);
    let point = RecoveryPointFile::load(disk, dir).map(drop);
    for loaded in [manifest, point] {
        if let Err(newer @ Error::UnsupportedVersion { .. }) = loaded {
            return Err(newer);
        }
    }
    Ok(())
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
