//! Whose directory it is, and whether this version may open it.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use crate::disk::{Disk, Open};
use crate::error::{Corruption, Error, Result};
use crate::partition::log_id::{LogId, Owner};
use crate::partition::log_spec::LogSpec;
use crate::partition::manifest::{self, LoadedManifest, Manifest};
use crate::partition::partition_metadata;
use crate::partition::recovery_mode::RecoveryMode;
use crate::partition::recovery_point::{LoadedPoint, RecoveryPoint, RecoveryPointFile};
use crate::segment::file_name::{FileKind, FileName};

/// What manifest and recovery point of a partition say, or what is wrong with them.
#[derive(Debug)]
pub(crate) struct LoadedState {
    pub(super) manifest: Result<Option<LoadedManifest>>,
    pub(super) point: Result<LoadedPoint>,
}

impl LoadedState {
    /// Reads both files of a partition. Changes nothing, so that it can be asked before anything is.
    ///
    /// # Errors
    /// [`Error::UnsupportedVersion`] if another version wrote it. What else is wrong ends the recovery, or does not.
    pub(crate) fn load(disk: &dyn Disk, dir: &Path, log: LogId) -> Result<LoadedState> {
        let (manifest, point) = (Manifest::load(disk, dir, log), RecoveryPointFile::load(disk, dir, log));
        let manifest = match (&manifest, &point) {
            (Ok(None), Ok(LoadedPoint { point, .. })) => {
                lost_manifest(dir, point.as_ref()).map_or(manifest, |damage| Err(Error::Corrupt(Box::new(damage))))
            }
            _ => manifest,
        };
        match (manifest, point) {
            (Err(newer @ Error::UnsupportedVersion { .. }), _) | (_, Err(newer @ Error::UnsupportedVersion { .. })) => {
                Err(newer)
            }
            (manifest, point) => Ok(LoadedState { manifest, point }),
        }
    }

    fn check_partition(&self, disk: &dyn Disk, dir: &Path) -> Result<()> {
        let manifest = match &self.manifest {
            Ok(loaded) => owner_of_manifest(loaded.is_some(), None),
            Err(Error::Corrupt(damage)) => owner_of_manifest(false, Some(damage)),
            Err(_) => Owner::Unknown,
        };
        self.point.as_ref().map_or(Ok(()), |loaded| check_partition(disk, dir, manifest, loaded))
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
const OF_ANOTHER_LOG: &str = "the partition's directory belongs to another partition; restore its own from a backup";

/// Whose manifest it is that was loaded, or that could not be for that `damage`.
pub(in crate::partition) fn owner_of_manifest(was_loaded: bool, damage: Option<&Corruption>) -> Owner {
    match damage {
        Some(damage) if damage.reason == manifest::OF_ANOTHER_LOG => Owner::Another,
        None if was_loaded => Owner::Own,
        _ => Owner::Unknown,
    }
}

/// Checks that a directory is not that of another partition of its topic, as the owner of its manifest and its recovery point
/// say. If it is only one of them that is another log's, that file was exchanged, and is damaged.
///
/// # Errors
/// [`Error::Corrupt`] if it is; the disk's.
pub(in crate::partition) fn check_partition(
    disk: &dyn Disk,
    dir: &Path,
    manifest: Owner,
    loaded: &LoadedPoint,
) -> Result<()> {
    let is_of_another = match (manifest, &loaded.point, &loaded.of_another) {
        (Owner::Own, _, _) | (_, Some(_), _) | (Owner::Unknown, _, None) => false,
        (Owner::Another, None, _) => true,
        // Without a manifest, the log file that the point speaks of tells whether it came with it.
        (Owner::Unknown, None, Some(point)) => has_log_of(disk, dir, point)?,
    };
    if is_of_another { Err(Error::corrupt_file(dir, 0, OF_ANOTHER_LOG)) } else { Ok(()) }
}

/// Whether the log file that a recovery point speaks of is in a directory.
fn has_log_of(disk: &dyn Disk, dir: &Path, point: &RecoveryPoint) -> Result<bool> {
    let Some(headers) = point.synced.headers else { return Ok(false) };
    let path = FileName::live(point.base_offset, FileKind::Log).path(dir);
    match disk.open(&path, Open::Read).and_then(|file| headers.are_in(&*file)) {
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(false),
        found => found.map_err(|e| Error::io("read", &path, e)),
    }
}

/// What is wrong with a log that has no manifest: there is one before the recovery point leaves the log's first segment.
pub(in crate::partition) fn lost_manifest(dir: &Path, point: Option<&RecoveryPoint>) -> Option<Corruption> {
    let is_lost = point.is_some_and(|point| point.base_offset > 0);
    let (partition, path) = (None, manifest::path(dir));
    is_lost.then_some(Corruption { partition, path, file_position: 0, offsets: None, reason: manifest::MISSING })
}

/// [`check_owner`], after which the file that says so is whole, if there is room for it; returns that file if it had to be made
/// anew. [`check_partition`] is done, too.
///
/// # Errors
/// As those two. Which topic and partition it is of is not asked where damage is to be passed over.
pub(super) fn check_identity(
    disk: &dyn Disk,
    spec: &LogSpec,
    loaded: &LoadedState,
    mode: RecoveryMode,
) -> Result<Option<PathBuf>> {
    if mode != RecoveryMode::SkipCorrupt {
        loaded.check_partition(disk, &spec.dir)?;
    }
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
