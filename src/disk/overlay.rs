//! A disk that shows another one and never changes it: whatever is written, made, renamed or removed here stays in memory.
//!
//! ```text
//! name known here ──→ gone, a directory, or a file: pages that were written here, over the file below
//! any other name ───→ what the disk below has
//! ```
//! For who wants to know what would come of something without doing it. The disk below must stay as it is meanwhile: who holds its
//! lock sees to that. Nothing here survives the process, so a sync has nothing to do. Memory is taken by what is written, and by
//! nothing that is only read.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::ops::Bound;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::{DirEntry, Disk, DiskFile, FileLock, FileMode, FileUsage, Open, SyncError};
use crate::sync::Mutex;

mod content;
#[cfg(test)]
mod tests;

use content::{Content, OverlayFile};

/// The content of a file, and the file below it, if there is one.
type Found = (Arc<Content>, Option<Arc<dyn DiskFile>>);

/// A disk over another one.
#[derive(Debug)]
pub(crate) struct OverlayDisk {
    below: Arc<dyn Disk>,
    names: Arc<Mutex<Names>>,
}

/// What is known here of names; none of them has a parent that is a name of a file.
type Names = BTreeMap<PathBuf, Entry>;

/// What a name stands for.
#[derive(Debug, Clone)]
enum Entry {
    /// Nothing, whatever is below.
    Gone,
    /// A directory that was made here. Nothing is in it but what is known here.
    Dir,
    /// A file.
    File(Arc<Content>),
}

impl OverlayDisk {
    /// Shows what `below` has.
    pub(crate) fn new(below: Arc<dyn Disk>) -> OverlayDisk {
        OverlayDisk { below, names: Arc::default() }
    }

    /// What is known here of a name; `None` where the disk below is to be asked.
    fn known(&self, path: &Path) -> Option<Entry> {
        let names = self.names.lock();
        if let Some(entry) = names.get(path) {
            return Some(entry.clone());
        }
        let hides = |above: &Path| matches!(names.get(above), Some(Entry::Gone | Entry::Dir));
        path.ancestors().skip(1).any(hides).then_some(Entry::Gone)
    }

    fn set(&self, path: &Path, entry: Entry) {
        self.names.lock().insert(path.to_owned(), entry);
    }

    /// A file that is there.
    fn find(&self, path: &Path) -> io::Result<Found> {
        match self.known(path) {
            Some(Entry::File(content)) => {
                let below = content.origin().map(|origin| self.below.open(origin, Open::Read)).transpose()?;
                Ok((content, below))
            }
            Some(Entry::Dir) => Err(ErrorKind::IsADirectory.into()),
            Some(Entry::Gone) => Err(ErrorKind::NotFound.into()),
            None => {
                let below = self.below.open(path, Open::Read)?;
                let content = Arc::new(Content::over(path, below.size_when_opened()));
                // Known from here on, so that all handles have the same content.
                let known = self.names.lock().entry(path.to_owned()).or_insert(Entry::File(content)).clone();
                match known {
                    Entry::File(content) => Ok((content, Some(below))),
                    Entry::Dir | Entry::Gone => Err(ErrorKind::NotFound.into()),
                }
            }
        }
    }

    fn is_dir(&self, path: &Path) -> bool {
        match self.known(path) {
            Some(entry) => matches!(entry, Entry::Dir),
            None => self.below.list(path).is_ok(),
        }
    }

    fn create_file(&self, path: &Path) -> io::Result<Found> {
        if path.parent().is_some_and(|parent| !self.is_dir(parent)) {
            return Err(ErrorKind::NotFound.into());
        }
        let content = Arc::new(Content::new());
        self.set(path, Entry::File(Arc::clone(&content)));
        Ok((content, None))
    }

    /// Gives all that is in a directory, and itself, other names.
    fn rename_dir(&self, from: &Path, to: &Path) -> io::Result<()> {
        let entries = self.list(from)?;
        self.set(to, Entry::Dir);
        for entry in entries {
            self.rename(&from.join(&entry.name), &to.join(&entry.name))?;
        }
        self.remove_dir(from)
    }
}

impl Disk for OverlayDisk {
    fn with_file_mode(self: Arc<OverlayDisk>, mode: FileMode) -> Arc<dyn Disk> {
        let below = Arc::clone(&self.below).with_file_mode(mode);
        Arc::new(OverlayDisk { below, names: Arc::clone(&self.names) })
    }

    fn open(&self, path: &Path, how: Open) -> io::Result<Arc<dyn DiskFile>> {
        let (content, below) = match (self.find(path), how) {
            (Ok(_), Open::CreateNew) => return Err(ErrorKind::AlreadyExists.into()),
            (Err(error), Open::CreateNew | Open::CreateOrWrite) if error.kind() == ErrorKind::NotFound => {
                self.create_file(path)?
            }
            (found, _) => found?,
        };
        Ok(Arc::new(OverlayFile::new(content, below, how != Open::Read)))
    }

    fn absolute(&self, path: &Path) -> io::Result<PathBuf> {
        self.below.absolute(path)
    }

    fn resolve(&self, path: &Path) -> io::Result<PathBuf> {
        self.below.resolve(path)
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        if self.is_dir(path) {
            return Ok(());
        }
        match self.find(path) {
            Ok(_) => Err(ErrorKind::AlreadyExists.into()),
            Err(error) if error.kind() == ErrorKind::NotFound => {
                self.set(path, Entry::Dir);
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        let is_there = match self.known(path) {
            Some(entry) => matches!(entry, Entry::File(_)),
            // Also a link goes, and whatever else has the name and cannot be opened.
            None => self.below.usage(path).map(|_| true)?,
        };
        if !is_there {
            return Err(ErrorKind::NotFound.into());
        }
        self.set(path, Entry::Gone);
        Ok(())
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        if !self.list(path)?.is_empty() {
            return Err(ErrorKind::DirectoryNotEmpty.into());
        }
        let mut names = self.names.lock();
        names.retain(|name, _| !name.starts_with(path));
        names.insert(path.to_owned(), Entry::Gone);
        Ok(())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        if self.is_dir(from) {
            return self.rename_dir(from, to);
        }
        let (content, _) = self.find(from)?;
        let mut names = self.names.lock();
        names.insert(from.to_owned(), Entry::Gone);
        names.insert(to.to_owned(), Entry::File(content));
        Ok(())
    }

    fn hard_link(&self, _from: &Path, _to: &Path) -> io::Result<()> {
        Err(ErrorKind::Unsupported.into())
    }

    fn copy_file(&self, _from: &Path, _to: &Path) -> io::Result<Arc<dyn DiskFile>> {
        Err(ErrorKind::Unsupported.into())
    }

    fn usage(&self, path: &Path) -> io::Result<FileUsage> {
        match self.known(path) {
            Some(Entry::File(content)) => Ok(FileUsage { id: None, allocated_bytes: content.allocated_bytes() }),
            Some(Entry::Dir) => Err(ErrorKind::IsADirectory.into()),
            Some(Entry::Gone) => Err(ErrorKind::NotFound.into()),
            None => self.below.usage(path),
        }
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<DirEntry>> {
        let below = match self.known(dir) {
            None => self.below.list(dir)?,
            Some(Entry::Dir) => Vec::new(),
            Some(Entry::File(_)) => return Err(ErrorKind::NotADirectory.into()),
            Some(Entry::Gone) => return Err(ErrorKind::NotFound.into()),
        };
        let names = self.names.lock();
        let mut entries: Vec<DirEntry> =
            below.into_iter().filter(|entry| !names.contains_key(&dir.join(&entry.name))).collect();
        let behind = names.range::<Path, _>((Bound::Excluded(dir), Bound::Unbounded));
        for (path, entry) in behind.take_while(|(path, _)| path.starts_with(dir)) {
            let name = path.strip_prefix(dir).ok().filter(|name| name.components().count() == 1);
            if let Some(name) = name.filter(|_| !matches!(entry, Entry::Gone)) {
                entries.push(DirEntry { name: name.into(), is_dir: matches!(entry, Entry::Dir) });
            }
        }
        Ok(entries)
    }

    fn sync_dir(&self, _dir: &Path) -> Result<(), SyncError> {
        Ok(())
    }

    /// The lock is that of the file below, so that nobody else changes what is shown here.
    fn lock(&self, path: &Path, content: &[u8]) -> io::Result<Box<dyn FileLock>> {
        let below = match self.below.lock_as_it_is(path) {
            // Then nobody holds it.
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            locked => Some(locked?),
        };
        let file = self.open(path, Open::CreateOrWrite)?;
        let lock = OverlayLock { file, _below: below };
        lock.file.set_size(0)?;
        lock.write(content)?;
        Ok(Box::new(lock))
    }

    fn lock_as_it_is(&self, path: &Path) -> io::Result<Box<dyn FileLock>> {
        self.below.lock_as_it_is(path)
    }

    fn now_ms(&self) -> i64 {
        self.below.now_ms()
    }

    fn monotonic(&self) -> Duration {
        self.below.monotonic()
    }

    fn sleep(&self, time: Duration) {
        self.below.sleep(time);
    }

    fn boot_id(&self) -> Option<u128> {
        self.below.boot_id()
    }

    fn random(&self) -> u128 {
        self.below.random()
    }
}

/// A lock whose content is kept here.
#[derive(Debug)]
struct OverlayLock {
    file: Arc<dyn DiskFile>,
    _below: Option<Box<dyn FileLock>>,
}

impl FileLock for OverlayLock {
    fn write(&self, content: &[u8]) -> io::Result<()> {
        self.file.write_at(content, 0)
    }
}
