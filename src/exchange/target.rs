//! The directory that an export is written to. What it is given up with is removed again, so that the same call can be made once more.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::broker::opening::data_dir::{check_not_inside, create_with_parents};
use crate::broker::partition_dir;
use crate::disk::{Disk, DiskFile, Open};
use crate::error::{Error, Result};

/// Written at a time.
const BUFFER_BYTES: usize = 1 << 20;

/// A directory that is being written to, and was empty. Dropped before [`finish`](Target::finish), it is empty again, or gone.
#[derive(Debug)]
pub(super) struct Target {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    was_there: bool,
    is_over: bool,
    pub(super) files: u64,
    pub(super) bytes: u64,
}

impl Target {
    /// Makes the directory, and those above it, or takes one that is empty.
    ///
    /// # Errors
    /// [`Error::NotEmpty`], [`Error::InsideDataDirectory`]; the disk's.
    pub(super) fn begin(disk: &Arc<dyn Disk>, given: &Path) -> Result<Target> {
        let given = disk.absolute(given).map_err(|e| Error::io("find", given, e))?;
        let was_there = match disk.resolve(&given) {
            Ok(there) => {
                let entries = disk.list(&there).map_err(|e| Error::io("list", &there, e))?;
                if let Some(found) = entries.into_iter().map(|entry| entry.name).min() {
                    return Err(Error::NotEmpty { path: given, found });
                }
                check_not_inside(&**disk, &there, &there)?;
                true
            }
            Err(absent) if absent.kind() == ErrorKind::NotFound => {
                create_with_parents(&**disk, &given)?;
                false
            }
            Err(error) => return Err(Error::io("find", &given, error)),
        };
        let dir = disk.resolve(&given).map_err(|e| Error::io("find", &given, e))?;
        Ok(Target { disk: Arc::clone(disk), dir, was_there, is_over: false, files: 0, bytes: 0 })
    }

    /// Where it is, from the root on.
    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Makes a directory in it.
    pub(super) fn create_dir(&self, name: &str) -> Result<PathBuf> {
        let dir = self.dir.join(name);
        self.disk.create_dir(&dir).map_err(|e| Error::io("create", &dir, e))?;
        Ok(dir)
    }

    /// Makes the names in a directory survive a power cut.
    pub(super) fn sync_dir(&self, dir: &Path) -> Result<()> {
        self.disk.sync_dir(dir).map_err(|e| Error::io("sync", dir, e))
    }

    /// Begins a file.
    pub(super) fn file(&self, path: PathBuf) -> Result<TargetFile> {
        let file = self.disk.open(&path, Open::CreateNew).map_err(|e| Error::io("create", &path, e))?;
        Ok(TargetFile { file, path, buffer: Vec::new(), written: 0 })
    }

    /// Ends a file: its bytes survive a power cut.
    pub(super) fn finish_file(&mut self, mut file: TargetFile) -> Result<u64> {
        file.flush()?;
        file.file.sync().map_err(|e| Error::io("sync", &file.path, e))?;
        self.files += 1;
        self.bytes += file.written;
        Ok(file.written)
    }

    /// Writes a text file.
    pub(super) fn text(&mut self, name: &str, text: &str) -> Result<()> {
        let mut file = self.file(self.dir.join(name))?;
        file.write(text.as_bytes())?;
        self.finish_file(file).map(drop)
    }

    /// Syncs all names. From here on it stays.
    pub(super) fn finish(&mut self) -> Result<()> {
        self.sync_dir(&self.dir)?;
        if let Some(parent) = self.dir.parent().filter(|_| !self.was_there) {
            self.sync_dir(parent)?;
        }
        self.is_over = true;
        Ok(())
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        if self.is_over {
            return;
        }
        // Best effort: what stays is in the way of the next export, which says so.
        for entry in self.disk.list(&self.dir).unwrap_or_default() {
            let path = self.dir.join(&entry.name);
            _ = if entry.is_dir { partition_dir::remove_all(&*self.disk, &path) } else { self.disk.remove_file(&path) };
        }
        if !self.was_there {
            _ = self.disk.remove_dir(&self.dir);
        }
    }
}

/// A file that is being written.
#[derive(Debug)]
pub(super) struct TargetFile {
    file: Arc<dyn DiskFile>,
    path: PathBuf,
    buffer: Vec<u8>,
    written: u64,
}

impl TargetFile {
    /// Appends bytes.
    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<()> {
        if BUFFER_BYTES <= self.buffer.len() {
            self.flush()?;
        }
        self.buffer.extend_from_slice(bytes);
        Ok(())
    }

    fn flush(&mut self) -> Result<()> {
        self.file.write_at(&self.buffer, self.written).map_err(|e| Error::io("write", &self.path, e))?;
        self.written += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }
}
