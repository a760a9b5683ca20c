//! The seam between the log and the machine: every file, map, directory, lock, clock and random number comes from here.
//!
//! Two implementations stand behind it: the operating system ([`os::OsDisk`]) and, with the feature `testing`, a simulated
//! disk in memory that can cut the power, kill the process and fail any call. Only system calls cross the seam; a read of a
//! mapped file is a slice, a store into the tail a store.
//!
//! Errors are bare [`io::Error`]s here; the layer that knows what it was doing adds the action and the path.

use std::ffi::OsString;
use std::fmt::Debug;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::error::Error;

pub(crate) mod append_file;
pub(crate) mod file_mode;
pub(crate) mod generations;
pub(crate) mod mapping;
pub(crate) mod metered;
pub(crate) mod open_files;
pub(crate) mod os;
pub(crate) mod overlay;
mod overwriting;
pub(crate) mod own_copy;
pub(crate) mod shared_bytes;
#[cfg(any(test, feature = "testing"))]
pub(crate) mod simulated;
mod sync_error;
pub(crate) mod throttle;
pub(crate) mod usage;

pub(crate) use file_mode::FileMode;
pub(crate) use mapping::{FollowedMapping, Mapping, ProcessMark, SharedMapping};
pub(crate) use shared_bytes::SharedBytes;
pub(crate) use sync_error::SyncError;
pub(crate) use usage::FileUsage;

/// A machine to keep a data directory on.
pub(crate) trait Disk: Debug + Send + Sync {
    /// The same machine, where this is who may read what is made. In memory nobody else could.
    fn with_file_mode(self: Arc<Self>, mode: FileMode) -> Arc<dyn Disk>;
    /// Opens a regular file; never follows a symbolic link, and refuses anything else than a regular file. One with a second
    /// name can be read and synced and nothing else, however it was opened: see [`own_copy`].
    fn open(&self, path: &Path, how: Open) -> io::Result<Arc<dyn DiskFile>>;
    /// The path from the root on, which means the same when the working directory is another one. Looks at no file.
    fn absolute(&self, path: &Path) -> io::Result<PathBuf>;
    /// The path from the root on to what is there, without links: it means the same when a link that led there is another one.
    fn resolve(&self, path: &Path) -> io::Result<PathBuf>;
    /// Creates one directory. It is not an error if it is there.
    fn create_dir(&self, path: &Path) -> io::Result<()>;
    /// Removes a file. Open handles and maps stay valid.
    fn remove_file(&self, path: &Path) -> io::Result<()>;
    /// Removes an empty directory.
    fn remove_dir(&self, path: &Path) -> io::Result<()>;
    /// Renames a file or directory, replacing a file that has the new name.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Gives a regular file a second name, which must not be there, in the same file system. Whoever opens it by either from now on
    /// does not write it: see [`own_copy`]. The name survives a power cut once its directory was synced.
    fn hard_link(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Makes a new file with the bytes of a regular one, and returns it open for reading and writing. Where the file system can,
    /// the two share their blocks until one of them is written. Bytes and name survive a power cut once the file and its
    /// directory were synced. After an error any part of the new file may be there.
    fn copy_file(&self, from: &Path, to: &Path) -> io::Result<Arc<dyn DiskFile>>;
    /// What a file takes on the disk, or whatever else has the name and is no directory; a link is not followed.
    fn usage(&self, path: &Path) -> io::Result<FileUsage>;
    /// The names in a directory, in no order.
    fn list(&self, dir: &Path) -> io::Result<Vec<DirEntry>>;
    /// Makes creations, renames and removals in a directory survive a power cut.
    fn sync_dir(&self, dir: &Path) -> Result<(), SyncError>;
    /// Takes the exclusive advisory lock on a file that is created if absent, and writes `content` into it.
    /// `WouldBlock` if it is held, also by this process. A file with a second name is replaced by one of its own: the lock of that
    /// one would be the other name's, too.
    fn lock(&self, path: &Path, content: &[u8]) -> io::Result<Box<dyn FileLock>>;
    /// Takes the same lock on a file that is there, and changes nothing: neither its content nor what has its name.
    fn lock_as_it_is(&self, path: &Path) -> io::Result<Box<dyn FileLock>>;
    /// Milliseconds since 1970 UTC. May jump.
    fn now_ms(&self) -> i64;
    /// Time since some fixed moment. Never goes back.
    fn monotonic(&self) -> Duration;
    /// Waits for so long, by that clock.
    fn sleep(&self, time: Duration);
    /// Differs after the machine was restarted: while it is the same, what was written but not synced is still there.
    /// `None` if the machine cannot tell.
    fn boot_id(&self) -> Option<u128>;
    /// A random number, for ids.
    fn random(&self) -> u128;
}

/// Removes a file, which need not be there. The directory is not synced.
///
/// # Errors
/// [`Error::Io`].
pub(crate) fn remove_if_there(disk: &dyn Disk, path: &Path) -> crate::error::Result<()> {
    match disk.remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(Error::io("remove", path, error)),
        _ => Ok(()),
    }
}

/// Creates a file in the place of what has the name. That is removed and not overwritten: it may be a link that somebody planted,
/// or have a second name.
pub(crate) fn create_anew(disk: &dyn Disk, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
    match disk.remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => disk.open(path, Open::CreateNew),
    }
}

/// How to open a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Open {
    /// For reading; it must be there.
    Read,
    /// For reading and writing; it must be there.
    Write,
    /// For reading and writing; created if absent, never emptied.
    CreateOrWrite,
    /// For reading and writing; it must not be there.
    CreateNew,
}

/// A name in a directory.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct DirEntry {
    /// The last component of the path.
    pub(crate) name: OsString,
    /// Whether it is a directory itself, and not a link to one.
    pub(crate) is_dir: bool,
}

/// An open file. All methods may be called from many threads.
pub(crate) trait DiskFile: Debug + Send + Sync {
    /// The file's size in bytes.
    fn size(&self) -> io::Result<u64>;
    /// The blocks that the file has on the disk, in bytes.
    fn allocated_bytes(&self) -> io::Result<u64>;
    /// The size that it had when it was opened. Asks nobody: what was opened was looked at anyway.
    fn size_when_opened(&self) -> u64;
    /// Whether it had a second name (a hard link) when it was opened. Then whatever would change it is refused.
    fn is_shared(&self) -> bool;
    /// Fills `buffer` from `position` on; fewer bytes only at the end of the file.
    fn read_at(&self, buffer: &mut [u8], position: u64) -> io::Result<usize>;
    /// Writes all of `bytes` at `position`, growing the file if needed. After an error any part may have been written.
    fn write_at(&self, bytes: &[u8], position: u64) -> io::Result<()>;
    /// Writes `bytes` zeros at `position`, where pages of the file are to be mapped with [`map_shared`](Self::map_shared).
    fn write_zeros(&self, bytes: usize, position: u64) -> io::Result<()> {
        self.write_at(&vec![0; bytes], position)
    }
    /// Cuts or extends (with zeros) the file to `size` bytes.
    fn set_size(&self, size: u64) -> io::Result<()>;
    /// Takes room on the disk for `bytes` bytes from `position` on, behind the end of the file, which keeps its size. `Unsupported` where
    /// there is no such thing; after any error some of it may be taken.
    fn reserve(&self, position: u64, bytes: u64) -> io::Result<()> {
        let _ = (position, bytes);
        Err(io::ErrorKind::Unsupported.into())
    }
    /// Gives back all room behind the end of the file. Nobody writes to it meanwhile.
    fn give_back_reserved(&self) -> io::Result<()> {
        Ok(())
    }
    /// Makes the file's bytes and size survive a power cut. After an error nothing is known, and it is not to be retried.
    fn sync(&self) -> io::Result<()>;
    /// Maps `bytes` bytes from the start for reading. The map may reach beyond the end of the file; it is the reader's duty
    /// to stay below what has been written. The bytes may be seen as they are now or as they become later.
    fn map(&self, bytes: usize) -> io::Result<Mapping>;
    /// Whether it is known that to overwrite what the file has takes no room on the disk, now and later. Only then is there
    /// [`map_shared`](Self::map_shared): a store that finds no room is a signal.
    fn overwrites_in_place(&self) -> bool;
    /// Maps `bytes` bytes from `position` (a multiple of 4096) for reading and writing, shared with the file, pages present.
    fn map_shared(&self, position: u64, bytes: usize) -> io::Result<SharedMapping>;
    /// Maps `bytes` bytes from `position` (a multiple of 4096) for reading what another process stores there. `Unsupported` where the
    /// file does not have them yet, and where words cannot be loaded from memory that cannot be written.
    fn map_followed(&self, position: u64, bytes: usize) -> io::Result<FollowedMapping>;
    /// Whether the path still stands for this file. Where it cannot be known, it does.
    fn is_at(&self, path: &Path) -> io::Result<bool>;
}

/// A held lock; released when dropped.
pub(crate) trait FileLock: Debug + Send + Sync {
    /// Writes `content`, at least as long as what was written last, over the content of the locked file. Not synced.
    fn write(&self, content: &[u8]) -> io::Result<()>;
}
