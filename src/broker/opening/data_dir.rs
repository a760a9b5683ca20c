//! The data directory itself: making it, and finding out whether it is one.
//!
//! Where a path leads that the user gave is the user's business, and is found out once: opening goes on with the path that stands for
//! the directory from then on, whatever becomes of the working directory and of links. All names below it are ours, and may not be
//! links.

use std::ffi::OsStr;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use crate::broker::store_config::{Purpose, StoreConfig};
use crate::broker::{backup_report, catalog, directory_lock, shutdown, unfinished_mark};
use crate::disk::{DirEntry, Disk, Open, SyncError};
use crate::error::{Error, Result};
use crate::partition::partition_metadata;
use crate::tail::TAIL_NAMES;

/// The files of a data directory that are there before the first topic. Their copies under way have a suffix after a dot.
const OWN_NAMES: [&str; 5] =
    [directory_lock::FILE_NAME, catalog::FILE_NAME, shutdown::FILE_NAME, TAIL_NAMES[0], TAIL_NAMES[1]];

/// Where a file system keeps what its repair has found.
pub(in crate::broker) const LOST_AND_FOUND: &str = "lost+found";

/// Finds a directory that another process may be writing.
pub(super) fn find_data_dir(disk: &dyn Disk, given: &Path) -> Result<PathBuf> {
    let not_found = |error: std::io::Error| match error.kind() {
        ErrorKind::NotFound => {
            let reason = "it does not exist; check the path, or open it for writing once, which makes it";
            Error::NotADataDirectory { path: given.to_owned(), reason }
        }
        _ => Error::io("find", given, error),
    };
    let dir = disk.resolve(given).map_err(not_found)?;
    entries(disk, &dir)?;
    Ok(dir)
}

/// Makes the directory and those above it, if they are absent, and syncs its name, until there is a catalog in it.
///
/// # Errors
/// [`Error::NotADataDirectory`] if there is no log and none is to be begun, [`Error::InsideDataDirectory`];
/// [`Error::OtherFiles`] for a directory of others, unless that is allowed.
pub(super) fn create_data_dir(config: &StoreConfig) -> Result<PathBuf> {
    let disk = &*config.disk;
    let given = disk.absolute(&config.dir).map_err(|e| Error::io("find", &config.dir, e))?;
    let resolve = || disk.resolve(&given).map_err(|e| Error::io("find", &given, e));
    let (dir, was_there) = match resolve() {
        Err(Error::Io { source, .. }) if source.kind() == ErrorKind::NotFound => {
            if !config.new_log.is_allowed {
                let reason = "it does not exist; check the path, or have it made with BrokerBuilder::create";
                return Err(Error::NotADataDirectory { path: given, reason });
            }
            create_with_parents(disk, &given)?;
            (resolve()?, false)
        }
        found => (found?, true),
    };
    if was_there {
        let entries = if config.purpose == Purpose::FinishCopy { list(disk, &dir)? } else { entries(disk, &dir)? };
        if entries.iter().any(|entry| entry.name == catalog::FILE_NAME) {
            return Ok(dir);
        }
        check_may_begin(config, &dir, &entries)?;
    }
    let Some(parent) = dir.parent() else { return Ok(dir) };
    match disk.sync_dir(parent) {
        Err(error) if was_there => unless_denied(parent, error)?,
        synced => synced.map_err(|e| Error::io("sync", parent, e))?,
    }
    Ok(dir)
}

/// Makes a directory and those above it that are absent. Before something is made in one, its own name is synced; that of the last one
/// is the caller's.
pub(crate) fn create_with_parents(disk: &dyn Disk, dir: &Path) -> Result<()> {
    let mut missing = Vec::new();
    for ancestor in dir.ancestors() {
        match disk.resolve(ancestor) {
            Ok(found) => {
                check_not_inside(disk, dir, &found)?;
                sync_name_if_empty(disk, &found)?;
                break;
            }
            Err(absent) if absent.kind() == ErrorKind::NotFound => missing.push(ancestor),
            Err(error) => return Err(Error::io("find", ancestor, error)),
        }
    }
    let mut made_last: Option<&Path> = None;
    for dir in missing.into_iter().rev() {
        if let Some(parent) = made_last.and_then(Path::parent) {
            disk.sync_dir(parent).map_err(|e| Error::io("sync", parent, e))?;
        }
        disk.create_dir(dir).map_err(|e| Error::io("create", dir, e))?;
        made_last = Some(dir);
    }
    Ok(())
}

/// Syncs the name of a directory in which nothing is: an opening that was killed may have made it for what it wanted to make below.
fn sync_name_if_empty(disk: &dyn Disk, dir: &Path) -> Result<()> {
    match (disk.list(dir), dir.parent()) {
        (Ok(entries), Some(parent)) if entries.is_empty() => {
            disk.sync_dir(parent).or_else(|error| unless_denied(parent, error))
        }
        _ => Ok(()),
    }
}

/// Whoever made a directory where we may not look has to see to its name.
fn unless_denied(parent: &Path, error: SyncError) -> Result<()> {
    if error.kind() == ErrorKind::PermissionDenied { Ok(()) } else { Err(Error::io("sync", parent, error)) }
}

fn list(disk: &dyn Disk, dir: &Path) -> Result<Vec<DirEntry>> {
    disk.list(dir).map_err(|error| match error.kind() {
        ErrorKind::NotADirectory => {
            let reason = "it is a file; give the path of a directory";
            Error::NotADataDirectory { path: dir.to_owned(), reason }
        }
        _ => Error::io("list", dir, error),
    })
}

/// What is in a directory that is to be opened.
///
/// # Errors
/// [`Error::Unfinished`]; [`Error::NotADataDirectory`] if it is a file; the disk's.
fn entries(disk: &dyn Disk, dir: &Path) -> Result<Vec<DirEntry>> {
    let entries = list(disk, dir)?;
    if entries.iter().any(|entry| entry.name == unfinished_mark::FILE_NAME) {
        return Err(Error::Unfinished { path: dir.to_owned() });
    }
    Ok(entries)
}

/// Refuses a directory that is there, without a catalog, if no log is to be begun in it. Where there are partitions, the catalog is
/// lost, which is another matter.
fn check_may_begin(config: &StoreConfig, dir: &Path, entries: &[DirEntry]) -> Result<()> {
    let disk = &*config.disk;
    check_not_inside(disk, dir, dir)?;
    let others = entries.iter().map(|entry| &entry.name).filter(|name| !is_of_no_account(name));
    let found = others.min().filter(|_| !config.new_log.among_other_files);
    if config.new_log.is_allowed && found.is_none() || catalog::holds_a_partition(disk, dir)? {
        return Ok(());
    }
    match found {
        Some(found) if config.new_log.is_allowed => {
            Err(Error::OtherFiles { path: dir.to_owned(), found: found.clone() })
        }
        _ => {
            let reason = "no log is kept there; check the path, or begin one with BrokerBuilder::create";
            Err(Error::NotADataDirectory { path: dir.to_owned(), reason })
        }
    }
}

/// Refuses a directory that is `existing` or is to be made in it, and has no catalog of its own, if a data directory lies above: most
/// often it is a partition's, and what is meant is the one above.
///
/// # Errors
/// [`Error::InsideDataDirectory`].
pub(crate) fn check_not_inside(disk: &dyn Disk, dir: &Path, existing: &Path) -> Result<()> {
    // What cannot be looked at is no reason to refuse.
    let is_there = |path: PathBuf| disk.open(&path, Open::Read).is_ok();
    // A backup is one that nobody has opened yet.
    let is_used =
        |dir: &Path| [directory_lock::FILE_NAME, backup_report::FILE_NAME].iter().any(|name| is_there(dir.join(name)));
    let is_data_dir = |dir: &Path| is_there(dir.join(catalog::FILE_NAME)) && is_used(dir);
    let above = existing.ancestors().skip(usize::from(existing == dir));
    let Some(data_dir) = above.into_iter().find(|above| is_data_dir(above)) else { return Ok(()) };
    let name = existing.strip_prefix(data_dir).ok().and_then(|below| below.iter().next());
    let name = name.filter(|name| is_there(data_dir.join(name).join(partition_metadata::FILE_NAME)));
    let partition = name.and_then(|name| name.to_str()?.parse().ok());
    Err(Error::InsideDataDirectory { path: dir.to_owned(), data_dir: data_dir.to_owned(), partition })
}

fn is_of_no_account(name: &OsStr) -> bool {
    let Some(name) = name.to_str() else { return false };
    let is_own = |own: &str| name.strip_prefix(own).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'));
    name.starts_with('.') || name == LOST_AND_FOUND || OWN_NAMES.into_iter().any(is_own)
}
