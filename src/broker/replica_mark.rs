//! The file by which a directory is a replica: only its source changes it, until it is promoted.

use std::path::Path;

use crate::disk::{Disk, Open};
use crate::error::{Error, Result};

/// The file's name. What is in it is for `replica/state.rs` alone.
pub(crate) const FILE_NAME: &str = "replica";

/// Whether the directory is a replica.
pub(crate) fn is_there(disk: &dyn Disk, dir: &Path) -> bool {
    disk.open(&dir.join(FILE_NAME), Open::Read).is_ok()
}

/// Fails if the directory is a replica, for who wants to write it.
///
/// # Errors
/// [`Error::IsReplica`].
pub(super) fn check(disk: &dyn Disk, dir: &Path) -> Result<()> {
    if is_there(disk, dir) { Err(Error::IsReplica { path: dir.to_owned() }) } else { Ok(()) }
}
