//! Making and removing the directories of partitions.
//!
//! A directory is made before the catalog names its topic and removed after the catalog has given it up, so a crash in between
//! leaves a directory that belongs to no topic: it is never removed then, since nothing proves that it may go, but a topic of
//! that name that is created later sets it aside, under Kafka's name for strays.

use std::collections::HashSet;
use std::ffi::{OsStr, OsString};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::catalog::names_a_partition;
use crate::disk::Disk;
use crate::error::{Error, Result};
use crate::partition::partition_metadata;
use crate::topic_partition::TopicPartition;

/// Where a partition lives within the data directory.
pub(super) fn path_of(data_dir: &Path, partition: &TopicPartition) -> PathBuf {
    data_dir.join(partition.to_string())
}

/// Makes the directory of a new partition. The caller syncs the data directory once it has made all it wants.
pub(super) fn create(disk: &dyn Disk, data_dir: &Path, partition: &TopicPartition, topic_id: u128) -> Result<()> {
    let dir = path_of(data_dir, partition);
    set_aside_leftover(disk, &dir)?;
    disk.create_dir(&dir).map_err(|e| Error::io("create", &dir, e))?;
    partition_metadata::store(disk, &dir, topic_id)
}

/// The names within the data directory that are no directories: where one of them is a partition's, whoever planted it would
/// choose where the data goes.
pub(super) fn other_names(disk: &dyn Disk, data_dir: &Path) -> Result<HashSet<OsString>> {
    let entries = disk.list(data_dir).map_err(|e| Error::io("list", data_dir, e))?;
    Ok(entries.into_iter().filter(|entry| !entry.is_dir).map(|entry| entry.name).collect())
}

/// Checks that what has the name of a partition's directory is none of `others`, links and files.
///
/// # Errors
/// [`Error::Corrupt`]. A directory that is not there is another one's concern.
pub(super) fn check_no_link(data_dir: &Path, partition: &TopicPartition, others: &HashSet<OsString>) -> Result<()> {
    if !others.contains(OsStr::new(&partition.to_string())) {
        return Ok(());
    }
    let reason = "a link or a file stands where the partition's directory should";
    Err(Error::corrupt_file(&path_of(data_dir, partition), 0, reason))
}

/// Renames what a crash left under the name that is wanted now.
fn set_aside_leftover(disk: &dyn Disk, dir: &Path) -> Result<()> {
    match disk.list(dir) {
        Ok(_) => {}
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(()),
        Err(e) => return Err(Error::io("list", dir, e)),
    }
    let aside = with_suffix(dir, disk.random(), "stray");
    disk.rename(dir, &aside).map_err(|e| Error::io("rename", dir, e))
}

/// Removes the directory of a partition whose topic the catalog has given up. Not being there is fine. Of a directory that says
/// that it is another topic's nothing is removed: it is set aside. Of `others`, links and files, only the name goes.
pub(super) fn remove(
    disk: &dyn Disk,
    data_dir: &Path,
    partition: &TopicPartition,
    topic_id: u128,
    others: &HashSet<OsString>,
) -> Result<()> {
    let dir = path_of(data_dir, partition);
    let removed = if others.contains(OsStr::new(&partition.to_string())) {
        disk.remove_file(&dir)
    } else if matches!(partition_metadata::load(disk, &dir), Ok(Some(id)) if id != topic_id) {
        return set_aside_leftover(disk, &dir);
    } else {
        remove_all(disk, &dir)
    };
    match removed {
        Err(e) if e.kind() != ErrorKind::NotFound => Err(Error::io("remove", &dir, e)),
        _ => Ok(()),
    }
}

/// Removes a directory and what is in it.
pub(super) fn remove_all(disk: &dyn Disk, dir: &Path) -> std::io::Result<()> {
    for entry in disk.list(dir)? {
        let path = dir.join(&entry.name);
        if entry.is_dir { remove_all(disk, &path)? } else { disk.remove_file(&path)? }
    }
    disk.remove_dir(dir)
}

/// Kafka's way to name a directory that is set aside; names stay below the 255 bytes that file systems take.
fn with_suffix(dir: &Path, random: u128, suffix: &str) -> PathBuf {
    const NAME_BYTES_MAX: usize = 255 - 1 - 32 - 1 - "delete".len();
    let name: String = dir.file_name().unwrap_or_default().to_string_lossy().chars().take(NAME_BYTES_MAX).collect();
    dir.with_file_name(format!("{name}.{random:032x}-{suffix}"))
}

/// The directories that look like partitions' and are not among `known`. (A list of those was most of what opening 10,000
/// partitions took: 80 % of the instructions, growing with their square.)
pub(super) fn unknown(disk: &dyn Disk, data_dir: &Path, known: &HashSet<PathBuf>) -> Result<Vec<PathBuf>> {
    let entries = disk.list(data_dir).map_err(|e| Error::io("list", data_dir, e))?;
    let mut unknown: Vec<PathBuf> = entries
        .iter()
        .filter(|entry| entry.is_dir && names_a_partition(&entry.name))
        .map(|entry| data_dir.join(&entry.name))
        .collect();
    unknown.sort_unstable();
    unknown.retain(|dir| !known.contains(dir));
    Ok(unknown)
}
