//! The file by which a directory is a replica: only its source changes it, until it is promoted.

use std::io::ErrorKind;
use std::path::Path;

use crate::disk::{Disk, Open};
use crate::error::{Error, Result};

/// The file's name. What is in it is for `replica/state.rs` alone.
pub(crate) const FILE_NAME: &str = "replica";

/// Whether the directory is a replica.
///
/// # Errors
/// The disk's: where it cannot be told nobody may take it for one or for none.
pub(crate) fn is_there(disk: &dyn Disk, dir: &Path) -> Result<bool> {
    let path = dir.join(FILE_NAME);
    match disk.open(&path, Open::Read) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        opened => opened.map(|_| true).map_err(|source| Error::io("open", &path, source)),
    }
}

/// Fails if the directory is a replica, for who wants to write it.
///
/// # Errors
/// [`Error::IsReplica`]; the disk's.
pub(super) fn check(disk: &dyn Disk, dir: &Path) -> Result<()> {
    if is_there(disk, dir)? { Err(Error::IsReplica { path: dir.to_owned() }) } else { Ok(()) }
}
