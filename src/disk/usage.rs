//! What files take on the disk, in the blocks that they have been given.

use std::collections::HashSet;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use super::Disk;

/// What a file takes on the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FileUsage {
    /// The same for all names of one file, if it has more than one; `None` where nobody tells.
    pub(crate) id: Option<u128>,
    /// The blocks that it has, in bytes.
    pub(crate) allocated_bytes: u64,
}

/// Shows every file below a directory to `visit`. What goes away meanwhile, or may not be looked at, such as a directory of somebody
/// else, is left out; so is a file where the directory should be.
///
/// # Errors
/// The disk's, and the path that it is about.
pub(crate) fn visit_files(
    disk: &dyn Disk,
    root: &Path,
    visit: &mut dyn FnMut(PathBuf, FileUsage),
) -> Result<(), (PathBuf, io::Error)> {
    let mut dirs = vec![root.to_owned()];
    while let Some(dir) = dirs.pop() {
        let entries = match disk.list(&dir) {
            Err(error) if is_left_out(&error) => continue,
            listed => listed.map_err(|error| (dir.clone(), error))?,
        };
        for entry in entries {
            let path = dir.join(&entry.name);
            if entry.is_dir {
                dirs.push(path);
                continue;
            }
            match disk.usage(&path) {
                Err(error) if is_left_out(&error) => {}
                Err(error) => return Err((path, error)),
                Ok(usage) => visit(path, usage),
            }
        }
    }
    Ok(())
}

/// What all files below a directory take, in bytes; one with several names there counts once.
///
/// # Errors
/// As [`visit_files`].
pub(crate) fn allocated_below(disk: &dyn Disk, root: &Path) -> Result<u64, (PathBuf, io::Error)> {
    let (mut bytes, mut seen) = (0, HashSet::new());
    visit_files(disk, root, &mut |_, usage| {
        if usage.id.is_none_or(|id| seen.insert(id)) {
            bytes += usage.allocated_bytes;
        }
    })?;
    Ok(bytes)
}

fn is_left_out(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::PermissionDenied | ErrorKind::NotFound | ErrorKind::NotADirectory)
}
