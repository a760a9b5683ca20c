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

/// Checks that the directory of a partition is there, and is of this topic and not one of the same name. Changes nothing.
/// Returns whether the file that says so is whole: it is there for Kafka, and without it a directory is taken for what its name
/// says.
///
/// # Errors
/// [`Error::Corrupt`] if not, or the disk's.
pub(in crate::partition) fn check_owner(disk: &dyn Disk, spec: &LogSpec) -> Result<bool> {
    let dir = &spec.dir;
    let corrupt = |reason| Err(Error::corrupt_file(dir, 0, reason));
    match partition_metadata::load(disk, dir) {
        Ok(Some(id)) if id == spec.topic_id => Ok(true),
        Ok(Some(_)) => Err(Error::corrupt_file(&partition_metadata::path(dir), 0, OF_ANOTHER_TOPIC)),
        Ok(None) => match disk.list(dir) {
            Ok(_) => Ok(false),
            Err(e) if e.kind() == ErrorKind::NotFound => {
                corrupt("the partition's directory is missing; restore it from a backup")
            }
            Err(e) => Err(Error::io("list", dir, e)),
        },
        Err(Error::Corrupt(_)) => Ok(false),
        Err(error) => Err(error),
    }
}

const OF_ANOTHER_TOPIC: &str = "the partition's directory belongs to another topic; restore its own from a backup";

/// [`check_owner`], after which the file that says so is whole, if there is room for it; returns that file if it had to be made
/// anew.
///
/// # Errors
/// As [`check_owner`]. Which topic it is of is not asked where damage is to be passed over.
pub(super) fn check_identity(disk: &dyn Disk, spec: &LogSpec, mode: RecoveryMode) -> Result<Option<PathBuf>> {
    let is_whole = match check_owner(disk, spec) {
        Err(Error::Corrupt(damage)) if mode == RecoveryMode::SkipCorrupt && damage.reason == OF_ANOTHER_TOPIC => false,
        checked => checked?,
    };
    if is_whole {
        return Ok(None);
    }
    match partition_metadata::store(disk, &spec.dir, spec.topic_id) {
        // Nothing here depends on it, and the next opening makes it.
        Err(Error::DiskFull { .. }) => {}
        stored => stored?,
    }
    Ok(Some(partition_metadata::path(&spec.dir)))
}
