//! One writer per data directory: an advisory lock of the operating system on `ottla.lock`.
//!
//! The file is never deleted, since another process may be about to lock it; only who holds its lock may replace it, and does so
//! where it has a second name, in a backup, whose lock would be the same (see [`Disk::lock`]). Its content, the holder's process id in
//! decimal, is for messages: the lock goes with its holder, however that ends, and what is written stays. The second line names
//! the boot of the machine: if it is still the same when the directory is opened next, the page cache is whole. After a restart
//! of the machine that line stays empty until recovery has ended: a process that is killed before has not told anybody yet what
//! the power cut took, so the next one must still see that there was one.

use std::io;
use std::path::Path;

use crate::disk::{Disk, FileLock, Open};
use crate::error::{Error, Result};

/// The lock file's name within the data directory.
pub(crate) const FILE_NAME: &str = "ottla.lock";

/// More than a process id in decimal has.
const CONTENT_BYTES_MAX: usize = 64;

/// The right to write to a data directory, until dropped.
#[derive(Debug)]
pub(crate) struct DirectoryLock {
    lock: Box<dyn FileLock>,
    process: u32,
    /// The boot during which the last holder had recovered the directory, if it can be read.
    last_boot: Option<u128>,
}

impl DirectoryLock {
    /// Takes the lock of the data directory `dir`, which must be there.
    ///
    /// # Errors
    /// [`Error::AlreadyOpen`] if another process, or another broker in this one, holds it.
    pub(crate) fn take(disk: &dyn Disk, dir: &Path) -> Result<DirectoryLock> {
        let path = dir.join(FILE_NAME);
        let process = std::process::id();
        let last_boot = read_content(disk, &path).ok().and_then(|content| boot_in(&content));
        let same_boot = disk.boot_id().filter(|boot| last_boot == Some(*boot));
        match disk.lock(&path, content(process, same_boot).as_bytes()) {
            Ok(lock) => Ok(DirectoryLock { lock, process, last_boot }),
            Err(held) if held.kind() == io::ErrorKind::WouldBlock => {
                Err(Error::AlreadyOpen { path: dir.to_owned(), pid: read_holder(disk, &path) })
            }
            Err(source) => Err(Error::io("lock", &path, source)),
        }
    }

    /// The boot during which the last holder had recovered the directory, if that is known.
    pub(crate) fn last_boot(&self) -> Option<u128> {
        self.last_boot
    }

    /// Notes that whatever a restart of the machine took is dealt with, if there is room for that: otherwise the next opening does
    /// so once more.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub(crate) fn note_recovered(&self, disk: &dyn Disk, dir: &Path) -> Result<()> {
        let written = self.lock.write(content(self.process, disk.boot_id()).as_bytes());
        match written.map_err(|source| Error::io("write", &dir.join(FILE_NAME), source)) {
            Err(Error::DiskFull { .. }) => Ok(()),
            written => written,
        }
    }
}

fn content(process: u32, boot: Option<u128>) -> String {
    let boot = boot.map(|boot| format!("{boot:032x}")).unwrap_or_default();
    format!("{process}\n{boot}\n")
}

/// Whether the machine was restarted since the last holder of the lock of `dir` had recovered the directory: nobody has it now
/// who wrote anything that a restart could still take. Not, if that cannot be told.
pub(super) fn was_restarted(disk: &dyn Disk, dir: &Path) -> bool {
    let last_boot = match read_content(disk, &dir.join(FILE_NAME)) {
        Ok(content) => boot_in(&content),
        Err(e) if e.kind() == io::ErrorKind::NotFound => None,
        Err(_) => return false,
    };
    disk.boot_id().is_some_and(|boot| last_boot != Some(boot))
}

fn boot_in(content: &str) -> Option<u128> {
    u128::from_str_radix(content.lines().nth(1)?, 16).ok()
}

/// The holder's process id, if it can be read; it may just be taking the lock or giving it back.
fn read_holder(disk: &dyn Disk, path: &Path) -> Option<u32> {
    read_content(disk, path).ok()?.lines().next()?.parse().ok()
}

/// The content of the lock file; nothing if it is no text.
fn read_content(disk: &dyn Disk, path: &Path) -> io::Result<String> {
    let mut content = [0; CONTENT_BYTES_MAX];
    let length = disk.open(path, Open::Read)?.read_at(&mut content, 0)?;
    Ok(String::from_utf8(content.get(..length).unwrap_or_default().to_vec()).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::os::OsDisk;

    #[test]
    fn a_second_writer_is_told_who_holds_the_directory() {
        let dir = tempfile::tempdir().unwrap();
        let disk = OsDisk::new();
        let _held = DirectoryLock::take(&disk, dir.path()).unwrap();
        match DirectoryLock::take(&disk, dir.path()) {
            Err(Error::AlreadyOpen { path, pid }) => {
                assert_eq!((path.as_path(), pid), (dir.path(), Some(std::process::id())));
            }
            other => panic!("expected AlreadyOpen, got {other:?}"),
        }
    }

    #[test]
    fn the_boot_is_noted_once_its_recovery_is_done() {
        let dir = tempfile::tempdir().unwrap();
        let disk = OsDisk::new();
        let take = || DirectoryLock::take(&disk, dir.path()).unwrap();
        assert_eq!(take().last_boot(), None);
        assert_eq!(take().last_boot(), None, "killed during recovery, that is");
        take().note_recovered(&disk, dir.path()).unwrap();
        assert_eq!(take().last_boot(), disk.boot_id());
        assert_eq!(take().last_boot(), disk.boot_id(), "of the same boot, a kill changes nothing");
    }

    #[test]
    fn the_file_stays_and_can_be_locked_again() {
        let dir = tempfile::tempdir().unwrap();
        let disk = OsDisk::new();
        drop(DirectoryLock::take(&disk, dir.path()).unwrap());
        assert!(dir.path().join(FILE_NAME).exists());
        DirectoryLock::take(&disk, dir.path()).unwrap();
    }

    #[test]
    fn a_directory_that_is_not_there_is_an_error_of_the_system() {
        let dir = tempfile::tempdir().unwrap();
        let refused = DirectoryLock::take(&OsDisk::new(), &dir.path().join("absent"));
        assert!(matches!(refused, Err(Error::Io { action: "lock", .. })), "{refused:?}");
    }

    #[test]
    fn what_was_left_in_the_file_does_not_matter() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(FILE_NAME);
        std::fs::write(&path, [0xff; 100]).unwrap();
        assert_eq!(read_holder(&OsDisk::new(), &path), None);
        let _held = DirectoryLock::take(&OsDisk::new(), dir.path()).unwrap();
        assert_eq!(read_holder(&OsDisk::new(), &path), Some(std::process::id()));
    }
}
