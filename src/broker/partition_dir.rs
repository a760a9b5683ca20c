//! Making and removing the directories of partitions.
//!
//! A directory is made before the catalog names its topic and removed after the catalog has given it up, so a crash in between
//! leaves a directory that belongs to no topic: it is never removed then, since nothing proves that it may go, but a topic of
//! that name that is created later sets it aside, under Kafka's name for strays.
//!
//! On a full disk the catalog has no room to say that a topic is given up. Then a name says it, for which there is room: the
//! directory of partition 0 gets Kafka's name for what is being deleted, with the topic's id in it. It stays, empty in the end, until
//! the catalog has forgotten the topic.

use std::collections::{HashMap, HashSet};
use std::ffi::{OsStr, OsString};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::topic_name;
use crate::disk::{DirEntry, Disk};
use crate::error::{Error, Result};
use crate::partition::partition_metadata;
use crate::topic_partition::TopicPartition;

/// What the name of a directory ends in that says that a topic is given up, and the hexadecimal digits of the topic's id before it.
const MARK: &str = "-delete";
const ID_DIGITS: usize = 32;

/// Where a partition lives within the data directory.
pub(crate) fn path_of(data_dir: &Path, partition: &TopicPartition) -> PathBuf {
    data_dir.join(partition.to_string())
}

/// Whether this is `<topic>-<partition>`; a stranger's directory, such as `lost+found`, may not even be readable.
pub(super) fn names_a_partition(name: &OsStr) -> bool {
    let parts = name.to_str().and_then(|name| name.rsplit_once('-'));
    parts.is_some_and(|(topic, partition)| topic_name::validate(topic).is_ok() && partition.parse::<u32>().is_ok())
}

/// Whether the path is that of a partition's directory, perhaps of a topic that is given up, or lies in one.
pub(super) fn holds(data_dir: &Path, path: &Path) -> bool {
    let name = path.strip_prefix(data_dir).ok().and_then(|below| below.iter().next());
    name.is_some_and(|name| names_a_partition(name) || name.to_string_lossy().ends_with(MARK))
}

/// Makes the directory of a new partition. The caller syncs the data directory once it has made all it wants.
pub(crate) fn create(disk: &dyn Disk, data_dir: &Path, partition: &TopicPartition, topic_id: u128) -> Result<()> {
    let dir = path_of(data_dir, partition);
    set_aside_leftover(disk, &dir)?;
    disk.create_dir(&dir).map_err(|e| Error::io("create", &dir, e))?;
    partition_metadata::create(disk, &dir, topic_id)
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

/// Says that a topic is given up by the name of its first directory. The caller syncs the data directory.
///
/// # Errors
/// The disk's; nothing has changed then.
pub(super) fn mark_deleted(disk: &dyn Disk, data_dir: &Path, topic: &str, topic_id: u128) -> Result<()> {
    let dir = path_of(data_dir, &TopicPartition::new(topic, 0));
    disk.rename(&dir, &mark_of(data_dir, topic, topic_id)).map_err(|e| Error::io("rename", &dir, e))
}

/// The directories that say that a topic is given up, by the topic's id.
pub(super) fn marks(disk: &dyn Disk, data_dir: &Path) -> Result<HashMap<u128, PathBuf>> {
    let entries = disk.list(data_dir).map_err(|e| Error::io("list", data_dir, e))?;
    let mark = |entry: &DirEntry| {
        let (_, id) = entry.name.to_str()?.strip_suffix(MARK)?.rsplit_once('.')?;
        let id = Some(id).filter(|id| id.len() == ID_DIGITS).and_then(|id| u128::from_str_radix(id, 16).ok())?;
        Some((id, data_dir.join(&entry.name)))
    };
    Ok(entries.iter().filter(|entry| entry.is_dir).filter_map(mark).collect())
}

/// Removes what is in the directory that says that a topic is given up, if there is one. When this returns its name and that it is
/// empty survive a power cut.
pub(super) fn empty_mark(disk: &dyn Disk, data_dir: &Path, topic: &str, topic_id: u128) -> Result<()> {
    let mark = mark_of(data_dir, topic, topic_id);
    let entries = match disk.list(&mark) {
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(()),
        listed => listed.map_err(|e| Error::io("list", &mark, e))?,
    };
    // Before the first file goes: until then the topic may come back, whole.
    disk.sync_dir(data_dir).map_err(|e| Error::io("sync", data_dir, e))?;
    remove_entries(disk, &mark, entries).map_err(|e| Error::io("remove", &mark, e))?;
    disk.sync_dir(&mark).map_err(|e| Error::io("sync", &mark, e))
}

/// Removes the directory that says that a topic is given up, once the catalog has forgotten it. Nothing goes wrong if it stays.
pub(super) fn remove_mark(disk: &dyn Disk, data_dir: &Path, topic: &str, topic_id: u128) {
    _ = disk.remove_dir(&mark_of(data_dir, topic, topic_id));
}

fn mark_of(data_dir: &Path, topic: &str, topic_id: u128) -> PathBuf {
    with_suffix(&path_of(data_dir, &TopicPartition::new(topic, 0)), topic_id, "delete")
}

/// Removes a directory and what is in it.
pub(crate) fn remove_all(disk: &dyn Disk, dir: &Path) -> std::io::Result<()> {
    remove_entries(disk, dir, disk.list(dir)?)?;
    disk.remove_dir(dir)
}

/// The same, and what says that it is a partition's goes last: so it is known again if this is interrupted.
pub(crate) fn remove_metadata_last(disk: &dyn Disk, dir: &Path) -> std::io::Result<()> {
    let mut entries = disk.list(dir)?;
    entries.retain(|entry| entry.name != partition_metadata::FILE_NAME);
    remove_entries(disk, dir, entries)?;
    disk.sync_dir(dir)?;
    remove_all(disk, dir)
}

fn remove_entries(disk: &dyn Disk, dir: &Path, entries: Vec<DirEntry>) -> std::io::Result<()> {
    for entry in entries {
        let path = dir.join(&entry.name);
        if entry.is_dir { remove_all(disk, &path)? } else { disk.remove_file(&path)? }
    }
    Ok(())
}

/// Kafka's way to name a directory that is set aside; names stay below the 255 bytes that file systems take.
fn with_suffix(dir: &Path, random: u128, suffix: &str) -> PathBuf {
    const NAME_BYTES_MAX: usize = 255 - 1 - 32 - 1 - "delete".len();
    let name: String = dir.file_name().unwrap_or_default().to_string_lossy().chars().take(NAME_BYTES_MAX).collect();
    dir.with_file_name(format!("{name}.{random:032x}-{suffix}"))
}

/// The directories that look like partitions' and are not among `known`. (A list of those was most of what opening 10,000
/// partitions took: 80 % of the instructions, growing with their square.)
pub(crate) fn unknown(disk: &dyn Disk, data_dir: &Path, known: &HashSet<PathBuf>) -> Result<Vec<PathBuf>> {
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
