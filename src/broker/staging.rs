//! Where files of a data directory are kept under second names until a backup has copied them.
//!
//! ```text
//! <data directory>/backup-staging/<random>/<topic>-<partition>/<file>
//! ```
//! So a file can be deleted or replaced while it waits. What a process that was stopped has left there goes at the next opening.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::partition_dir;
use crate::disk::Disk;
use crate::error::{Error, Result};

const NAME: &str = "backup-staging";

/// A place for the files of one backup, which is removed with this. It is made by who needs it.
#[derive(Debug)]
pub(crate) struct Staging {
    disk: Arc<dyn Disk>,
    data_dir: PathBuf,
    path: PathBuf,
}

impl Staging {
    pub(crate) fn new(disk: Arc<dyn Disk>, data_dir: &Path) -> Staging {
        let path = data_dir.join(NAME).join(format!("{:032x}", disk.random()));
        Staging { disk, data_dir: data_dir.to_owned(), path }
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        // What stays goes at the next opening.
        _ = partition_dir::remove_all(&*self.disk, &self.path);
        // Unless another backup is at work.
        _ = self.disk.remove_dir(&self.data_dir.join(NAME));
    }
}

/// Removes what backups have left that were stopped.
///
/// # Errors
/// The disk's.
pub(super) fn remove_leftovers(disk: &dyn Disk, data_dir: &Path) -> Result<()> {
    let dir = data_dir.join(NAME);
    match partition_dir::remove_all(disk, &dir) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(Error::io("remove", &dir, error)),
        _ => Ok(()),
    }
}
