//! A file with a second name gets bytes of its own before it is written in place.
//!
//! A backup by hard links (`cp -al`) shares its files with the original. Whatever is replaced as a whole leaves the backup as it
//! is; what is written in place would change the backup too, and is copied first:
//!
//! ```text
//! write NAME.own ─→ sync it ─→ rename it to NAME ─→ sync the directory ─→ write in place
//! ```
//! A crash at any point leaves NAME with the bytes that it had, and perhaps a NAME.own. That is worthless: the next copy replaces
//! it, and the log's recovery removes it. Whoever forgets to copy is refused by the disk, which writes to no file with two names.
//! It makes no difference whose the other name is: somebody's file that was planted here is left alone in the same way.

use std::ffi::OsString;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::open_files::OpenFiles;
use super::{Disk, DiskFile, Open, create_anew};

/// What a copy's name ends in until it has taken its place.
pub(crate) const SUFFIX: &str = ".own";

const CHUNK_BYTES: usize = 256 * 1024;

/// Opens a file to write it in place. If it has a second name, the copy has its first `wanted_bytes` at most.
///
/// # Errors
/// The disk's. Nothing was written in place, and it can be tried again; only if the sync of the directory failed, a power cut may
/// bring back the file that was copied.
pub(crate) fn open(files: &OpenFiles, path: &Path, how: Open, wanted_bytes: u64) -> io::Result<Arc<dyn DiskFile>> {
    let file = files.open(path, how)?;
    if !file.is_shared() {
        return Ok(file);
    }
    let disk = &**files.disk();
    let own = replace(disk, path, &*file, wanted_bytes)?;
    sync_name(disk, path)?;
    Ok(own)
}

/// Puts a synced copy of the first `wanted_bytes` of `shared` in its place. The caller syncs the [name](sync_name) before it writes.
///
/// # Errors
/// The disk's; then the name stands for what it stood for.
pub(crate) fn replace(
    disk: &dyn Disk,
    path: &Path,
    shared: &dyn DiskFile,
    wanted_bytes: u64,
) -> io::Result<Arc<dyn DiskFile>> {
    let own_path = path_of(path);
    let replace = || {
        let own = create_anew(disk, &own_path)?;
        copy(shared, &*own, wanted_bytes)?;
        // Before the rename: a name without its bytes is worse than no name.
        own.sync()?;
        disk.rename(&own_path, path)?;
        Ok(own)
    };
    replace().inspect_err(|_| {
        // On a full disk its bytes are wanted elsewhere; if it stays, the next copy replaces it.
        _ = disk.remove_file(&own_path);
    })
}

/// Makes what has the name now survive a power cut.
pub(super) fn sync_name(disk: &dyn Disk, path: &Path) -> io::Result<()> {
    Ok(disk.sync_dir(path.parent().unwrap_or(Path::new("")))?)
}

/// Where the copy of a file is made.
pub(super) fn path_of(path: &Path) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(SUFFIX);
    PathBuf::from(name)
}

fn copy(from: &dyn DiskFile, to: &dyn DiskFile, bytes: u64) -> io::Result<()> {
    let end = from.size()?.min(bytes);
    let mut buffer = vec![0; CHUNK_BYTES.min(usize::try_from(end).unwrap_or(usize::MAX))];
    let mut position = 0;
    while position < end {
        let wanted = buffer.len().min(usize::try_from(end - position).unwrap_or(usize::MAX));
        let chunk = buffer.get_mut(..wanted).unwrap_or_default();
        if from.read_at(chunk, position)? != wanted {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        to.write_at(chunk, position)?;
        position += wanted as u64;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
