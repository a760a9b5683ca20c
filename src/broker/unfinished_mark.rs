//! The file `unfinished` in a directory in which a copy [is being made](super::unfinished): nothing in it counts as long as the file is there.

use std::ffi::OsStr;
use std::io::ErrorKind;
use std::path::Path;

use crate::disk::{Disk, Open};
use crate::error::{Error, Result};

/// The file's name.
pub(super) const FILE_NAME: &str = "unfinished";

/// Fails if a copy is being made in this directory, or was begun and not finished.
///
/// # Errors
/// [`Error::Unfinished`]; the disk's, if it cannot say.
pub(crate) fn check(disk: &dyn Disk, dir: &Path) -> Result<()> {
    let path = dir.join(FILE_NAME);
    match disk.open(&path, Open::Read) {
        Ok(_) => Err(Error::Unfinished { path: dir.to_owned() }),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Ok(()),
        Err(error) => Err(Error::io("open", &path, error)),
    }
}

/// Has what is in the directory count, for who knows that it is whole. The file need not be there.
///
/// # Errors
/// The disk's.
pub(crate) fn remove(disk: &dyn Disk, dir: &Path) -> Result<()> {
    let path = dir.join(FILE_NAME);
    match disk.remove_file(&path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        removed => {
            removed.map_err(|e| Error::io("remove", &path, e))?;
            disk.sync_dir(dir).map_err(|e| Error::io("sync", dir, e))
        }
    }
}

/// Whether it is the file that says so.
pub(crate) fn is_mark(name: &OsStr) -> bool {
    name == FILE_NAME
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::simulated::{FaultKind, FaultRule, SimulatedDisk};

    #[test]
    fn a_mark_that_cannot_be_looked_at_is_not_taken_for_none() {
        let disk = SimulatedDisk::new(1);
        disk.put("/backup/catalog", b"");
        check(&disk, Path::new("/backup")).unwrap();
        for kind in [FaultKind::InputOutput, FaultKind::PermissionDenied, FaultKind::TooManyOpenFiles] {
            disk.fail(FaultRule::new(kind).path_containing(FILE_NAME));
            assert!(matches!(check(&disk, Path::new("/backup")), Err(Error::Io { .. })), "{kind:?}");
        }
    }
}
