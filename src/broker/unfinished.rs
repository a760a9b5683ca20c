//! A directory in which a copy is being made: nobody may open it before the copy is whole.
//!
//! [Its mark](super::unfinished_mark) says so. It is there, on the medium, before anything else is made in the directory, and goes once all
//! else is on the medium. What a process that was stopped has left says by it that nothing of it counts. Who makes it has the directory:
//! another copy that is begun there at the same time touches nothing.

use std::ffi::OsStr;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::opening::data_dir::{LOST_AND_FOUND, check_not_inside, create_with_parents};
use super::partition_dir;
use super::unfinished_mark::FILE_NAME;
use crate::disk::{Disk, Open};
use crate::error::{Error, Result};

/// A directory in which a copy is being made. What is in it is removed, unless it is [finished](UnfinishedDir::finish).
#[derive(Debug)]
pub(crate) struct UnfinishedDir {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    was_there: bool,
    is_finished: bool,
}

impl UnfinishedDir {
    /// Makes the directory, and those above it, if it is not there.
    ///
    /// # Errors
    /// [`Error::TargetNotEmpty`], [`Error::Unfinished`], [`Error::InsideDataDirectory`]; the disk's.
    pub(crate) fn begin(disk: Arc<dyn Disk>, given: &Path) -> Result<UnfinishedDir> {
        let given = disk.absolute(given).map_err(|e| Error::io("find", given, e))?;
        let resolve = || disk.resolve(&given).map_err(|e| Error::io("find", &given, e));
        let (dir, was_there) = match resolve() {
            Err(Error::Io { source, .. }) if source.kind() == ErrorKind::NotFound => {
                create_with_parents(&*disk, &given)?;
                (resolve()?, false)
            }
            found => (found?, true),
        };
        let mut begun = UnfinishedDir { disk, dir, was_there, is_finished: true };
        begun.check_empty()?;
        check_not_inside(&*begun.disk, &begun.dir, &begun.dir)?;
        begun.take().inspect_err(|_| {
            if !was_there {
                // Unless something is in it by now.
                _ = begun.disk.remove_dir(&begun.dir);
            }
        })?;
        Ok(begun)
    }

    /// The directory, from the root on.
    pub(crate) fn path(&self) -> &Path {
        &self.dir
    }

    fn check_empty(&self) -> Result<()> {
        let entries = self.disk.list(&self.dir).map_err(|e| Error::io("list", &self.dir, e))?;
        let mut names: Vec<_> = entries.into_iter().map(|entry| entry.name).collect();
        names.retain(|name| name != LOST_AND_FOUND);
        names.sort_unstable();
        let path = self.dir.clone();
        match names.into_iter().next() {
            None => Ok(()),
            Some(_) if self.disk.open(&self.dir.join(FILE_NAME), Open::Read).is_ok() => Err(Error::Unfinished { path }),
            Some(found) => Err(Error::TargetNotEmpty { path, found }),
        }
    }

    /// Has the directory be this copy's, unless another one was faster.
    fn take(&mut self) -> Result<()> {
        let path = self.dir.join(FILE_NAME);
        let mark = match self.disk.open(&path, Open::CreateNew) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                return Err(Error::Unfinished { path: self.dir.clone() });
            }
            made => made.map_err(|e| Error::io("create", &path, e))?,
        };
        self.is_finished = false;
        mark.sync().map_err(|e| Error::io("sync", &path, e))?;
        self.sync()?;
        match self.dir.parent() {
            Some(parent) => self.disk.sync_dir(parent).map_err(|e| Error::io("sync", parent, e)),
            None => Ok(()),
        }
    }

    fn sync(&self) -> Result<()> {
        self.disk.sync_dir(&self.dir).map_err(|e| Error::io("sync", &self.dir, e))
    }

    /// Has the copy count: all that is in the directory is on the medium, but for the names in the directory itself.
    ///
    /// # Errors
    /// The disk's.
    pub(crate) fn finish(mut self) -> Result<()> {
        self.sync()?;
        let path = self.dir.join(FILE_NAME);
        self.disk.remove_file(&path).map_err(|e| Error::io("remove", &path, e))?;
        self.sync()?;
        self.is_finished = true;
        Ok(())
    }

    /// Removes what is in it, the mark last, and the directory itself if it was made for this.
    fn give_up(&self) -> std::io::Result<()> {
        let path = self.dir.join(FILE_NAME);
        match self.disk.open(&path, Open::CreateNew) {
            // It was gone already: nothing may be removed of what could be found whole.
            Ok(mark) => {
                mark.sync()?;
                self.disk.sync_dir(&self.dir)?;
            }
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
        for entry in self.disk.list(&self.dir)? {
            let path = self.dir.join(&entry.name);
            if entry.name == LOST_AND_FOUND || entry.name == OsStr::new(FILE_NAME) {
                continue;
            }
            if entry.is_dir { partition_dir::remove_all(&*self.disk, &path)? } else { self.disk.remove_file(&path)? }
        }
        self.disk.remove_file(&path)?;
        if self.was_there { Ok(()) } else { self.disk.remove_dir(&self.dir) }
    }
}

impl Drop for UnfinishedDir {
    fn drop(&mut self) {
        if !self.is_finished {
            // What stays says that it does not count.
            _ = self.give_up();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::simulated::SimulatedDisk;

    #[test]
    fn of_two_copies_that_begin_at_once_in_one_directory_one_has_it() {
        for was_there in [false, true] {
            let disk: Arc<dyn Disk> = Arc::new(SimulatedDisk::new(1));
            let dir = PathBuf::from("/backups/monday");
            create_with_parents(&*disk, &dir).unwrap();
            // Both have found it empty.
            let two = || UnfinishedDir { disk: Arc::clone(&disk), dir: dir.clone(), was_there, is_finished: true };
            let (mut one, mut other) = (two(), two());
            one.take().unwrap();
            disk.open(&dir.join("catalog"), Open::CreateNew).unwrap();
            assert!(matches!(other.take(), Err(Error::Unfinished { path }) if path == dir));
            drop(other);
            assert_eq!(disk.list(&dir).unwrap().len(), 2, "what is the other copy's was removed");
            one.finish().unwrap();
            assert_eq!(disk.list(&dir).unwrap().len(), 1);
        }
    }
}
