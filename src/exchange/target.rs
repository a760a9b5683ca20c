//! The directory that an export is written to, and how much was written.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::broker::unfinished::UnfinishedDir;
use crate::disk::{Disk, DiskFile, Open};
use crate::error::{Error, Result};

/// Written at a time.
const BUFFER_BYTES: usize = 1 << 20;

/// A directory that is being written to, and was empty. Dropped before [`finish`](Target::finish), it is empty again, or gone.
#[derive(Debug)]
pub(super) struct Target {
    disk: Arc<dyn Disk>,
    unfinished: UnfinishedDir,
    pub(super) files: u64,
    pub(super) bytes: u64,
}

impl Target {
    /// Makes the directory, and those above it, or takes one that is empty.
    ///
    /// # Errors
    /// Those of [`UnfinishedDir::begin`].
    pub(super) fn begin(disk: &Arc<dyn Disk>, given: &Path) -> Result<Target> {
        let unfinished = UnfinishedDir::begin(Arc::clone(disk), given)?;
        Ok(Target { disk: Arc::clone(disk), unfinished, files: 0, bytes: 0 })
    }

    /// Where it is, from the root on.
    pub(super) fn dir(&self) -> &Path {
        self.unfinished.path()
    }

    /// Makes a directory in it.
    pub(super) fn create_dir(&self, name: &str) -> Result<PathBuf> {
        let dir = self.dir().join(name);
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
        let mut file = self.file(self.dir().join(name))?;
        file.write(text.as_bytes())?;
        self.finish_file(file).map(drop)
    }

    /// Has the export count.
    pub(super) fn finish(self) -> Result<()> {
        self.unfinished.finish()
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
