//! The operating system's disk.
//!
//! Files are 0600 and directories 0700, unless the umask is to say. Every name is opened without following a link at its end and without blocking, and
//! refused unless it is a regular file: a planted symbolic link, FIFO or device is an error. A file with a second name (a hard
//! link) is never written to.
#![allow(clippy::disallowed_types, reason = "the one place that names the operating system's files, maps and clock")]

use std::collections::hash_map::RandomState;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::hash::{BuildHasher, Hasher};
use std::io::{self, ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use memmap2::MmapOptions;
#[cfg(unix)]
use rustix::fs::OFlags;

use super::{
    DirEntry, Disk, DiskFile, FileLock, FileMode, FileUsage, FollowedMapping, Mapping, Open, SharedMapping, SyncError,
    own_copy,
};
use crate::canary::{Canary, planted};
use crate::error::os::is_disk_full;

/// The machine that this runs on.
#[derive(Debug)]
pub(crate) struct OsDisk {
    started: Instant,
    file_mode: FileMode,
}

impl OsDisk {
    /// A disk whose monotonic clock starts now.
    pub(crate) fn new() -> OsDisk {
        OsDisk { started: Instant::now(), file_mode: FileMode::Private }
    }
}

impl Disk for OsDisk {
    fn with_file_mode(self: Arc<OsDisk>, mode: FileMode) -> Arc<dyn Disk> {
        Arc::new(OsDisk { started: self.started, file_mode: mode })
    }

    fn open(&self, path: &Path, how: Open) -> io::Result<Arc<dyn DiskFile>> {
        Ok(Arc::new(open_regular(path, how, self.file_mode)?))
    }

    fn absolute(&self, path: &Path) -> io::Result<PathBuf> {
        std::path::absolute(path)
    }

    #[cfg(unix)]
    fn resolve(&self, path: &Path) -> io::Result<PathBuf> {
        fs::canonicalize(path)
    }

    /// Links are rare elsewhere, and Windows would give a path of a kind that many programs do not know.
    #[cfg(not(unix))]
    fn resolve(&self, path: &Path) -> io::Result<PathBuf> {
        fs::metadata(path)?;
        std::path::absolute(path)
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        match create_one_dir(path, self.file_mode) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                // A link to a directory is refused, too: whoever planted it would choose where the data goes.
                if fs::symlink_metadata(path)?.is_dir() { Ok(()) } else { Err(error) }
            }
            result => result,
        }
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        fs::remove_dir(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn hard_link(&self, from: &Path, to: &Path) -> io::Result<()> {
        if !fs::symlink_metadata(from)?.is_file() {
            return Err(refusal("not a regular file"));
        }
        fs::hard_link(from, to)
    }

    /// The standard library has a call for this that takes paths. That one follows links, overwrites what is there and lets others
    /// read what those may who can read the original.
    fn copy_file(&self, from: &Path, to: &Path) -> io::Result<Arc<dyn DiskFile>> {
        let source = open_regular(from, Open::Read, self.file_mode)?;
        let copy = open_regular(to, Open::CreateNew, self.file_mode)?;
        // On Linux the system copies, which shares blocks where it can; everywhere else it is reads and writes.
        io::copy(&mut &source.file, &mut &copy.file)?;
        Ok(Arc::new(copy))
    }

    fn usage(&self, path: &Path) -> io::Result<FileUsage> {
        Ok(usage_of(&fs::symlink_metadata(path)?))
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<DirEntry>> {
        fs::read_dir(dir)?
            .map(|entry| {
                let entry = entry?;
                Ok(DirEntry { name: entry.file_name(), is_dir: entry.file_type()?.is_dir() })
            })
            .collect()
    }

    #[cfg(unix)]
    fn sync_dir(&self, dir: &Path) -> Result<(), SyncError> {
        use std::os::unix::fs::OpenOptionsExt;
        let flags = OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::DIRECTORY;
        let dir = OpenOptions::new().read(true).custom_flags(for_std(flags)).open(dir).map_err(SyncError::NotBegun)?;
        dir.sync_all().map_err(SyncError::Failed)
    }

    /// Elsewhere directories cannot be synced.
    #[cfg(not(unix))]
    fn sync_dir(&self, _dir: &Path) -> Result<(), SyncError> {
        Ok(())
    }

    fn lock(&self, path: &Path, content: &[u8]) -> io::Result<Box<dyn FileLock>> {
        for _ in 0..OPEN_ATTEMPTS_MAX {
            let found = open_regular(path, Open::CreateOrWrite, self.file_mode)?;
            try_lock(&found.file)?;
            // Whoever had the lock may have put another file there before giving this one back.
            if is_named(&found.file, path)? {
                let own = if found.is_shared { Some(replace_locked(path, content, self.file_mode)?) } else { None };
                let file = own.unwrap_or(found.file);
                match write_content(&file, content) {
                    // It is locked. On a full disk it says what it said before.
                    Err(error) if is_disk_full(&error) => {}
                    written => written?,
                }
                return Ok(Box::new(OsLock { file }));
            }
        }
        Err(ErrorKind::WouldBlock.into())
    }

    fn lock_as_it_is(&self, path: &Path) -> io::Result<Box<dyn FileLock>> {
        let file = open_regular(path, Open::Read, self.file_mode)?.file;
        try_lock(&file)?;
        // Else whoever had it has put another file there, and has that one.
        if is_named(&file, path)? { Ok(Box::new(OsLock { file })) } else { Err(ErrorKind::WouldBlock.into()) }
    }

    /// Asked directly: the standard library's way takes 75 instructions more, of the 900 of an append.
    #[cfg(unix)]
    #[inline]
    fn now_ms(&self) -> i64 {
        let now = rustix::time::clock_gettime(rustix::time::ClockId::Realtime);
        // Nanoseconds are never negative, so times before 1970 are rounded down, too.
        now.tv_sec.saturating_mul(1000).saturating_add(now.tv_nsec / 1_000_000)
    }

    #[cfg(not(unix))]
    fn now_ms(&self) -> i64 {
        // In 64 bits: the standard library's milliseconds have 128.
        let to_ms = |since: Duration| {
            let ms = since.as_secs().saturating_mul(1000).saturating_add(u64::from(since.subsec_millis()));
            i64::try_from(ms).unwrap_or(i64::MAX)
        };
        match std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH) {
            Ok(after) => to_ms(after),
            Err(before) => -to_ms(before.duration()),
        }
    }

    fn monotonic(&self) -> Duration {
        self.started.elapsed()
    }

    fn sleep(&self, time: Duration) {
        std::thread::sleep(time);
    }

    #[cfg(target_os = "linux")]
    fn boot_id(&self) -> Option<u128> {
        let text = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
        u128::from_str_radix(&text.trim().replace('-', ""), 16).ok()
    }

    #[cfg(not(target_os = "linux"))]
    fn boot_id(&self) -> Option<u128> {
        None
    }

    fn random(&self) -> u128 {
        let mut bytes = [0; size_of::<u128>()];
        match File::open("/dev/urandom").and_then(|mut file| file.read_exact(&mut bytes)) {
            Ok(()) => u128::from_be_bytes(bytes),
            Err(_) => u128::from(random_by_hashing()) << 64 | u128::from(random_by_hashing()),
        }
    }
}

/// Where there is no device to ask (or no handle left for it): the standard library keys every hasher from the system's
/// random numbers.
fn random_by_hashing() -> u64 {
    let mut hasher = RandomState::new().build_hasher();
    hasher.write_u128(std::time::UNIX_EPOCH.elapsed().unwrap_or_default().as_nanos());
    hasher.finish()
}

#[cfg(unix)]
fn create_one_dir(path: &Path, mode: FileMode) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    let bits = match mode {
        FileMode::Private => 0o700,
        FileMode::Umask => 0o777,
    };
    fs::DirBuilder::new().mode(bits).create(path)
}

#[cfg(not(unix))]
fn create_one_dir(path: &Path, _mode: FileMode) -> io::Result<()> {
    fs::create_dir(path)
}

/// The lock belongs to this opening of the file, so that a second one in this process is refused like any other.
fn try_lock(file: &File) -> io::Result<()> {
    let locked = if planted(Canary::ShareLock) { Ok(()) } else { file.try_lock() };
    locked.map_err(|error| match error {
        TryLockError::WouldBlock => ErrorKind::WouldBlock.into(),
        TryLockError::Error(error) => error,
    })
}

/// Puts a file that is locked already in the place of the one of this name, whose lock the caller holds: only who does may
/// change what the name stands for, so that no two can hold what it stands for.
fn replace_locked(path: &Path, content: &[u8], mode: FileMode) -> io::Result<File> {
    let own_path = own_copy::path_of(path);
    match fs::remove_file(&own_path) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let own = open_regular(&own_path, Open::CreateNew, mode)?.file;
    try_lock(&own)?;
    write_content(&own, content)?;
    fs::rename(&own_path, path)?;
    Ok(own)
}

fn write_content(file: &File, content: &[u8]) -> io::Result<()> {
    // In this order: a file that is emptied first gives its block back, which takes 1.4 ms where blocks are discarded.
    write_all_at(file, content, 0)?;
    file.set_len(content.len() as u64)
}

/// Opens a regular file, which others may read as `mode` says if it is made.
#[cfg_attr(not(unix), allow(unused_variables, reason = "elsewhere files are as their directory says"))]
fn open_regular(path: &Path, how: Open, mode: FileMode) -> io::Result<OsFile> {
    let mut options = OpenOptions::new();
    options.read(true);
    match how {
        Open::Read => {}
        Open::Write => _ = options.write(true),
        Open::CreateOrWrite => _ = options.write(true).create(true).truncate(false),
        Open::CreateNew => _ = options.write(true).create_new(true),
    }
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        // O_NONBLOCK means nothing to a regular file, and keeps a FIFO from holding us until somebody opens its other end.
        let bits = match mode {
            FileMode::Private => 0o600,
            FileMode::Umask => 0o666,
        };
        options.mode(bits).custom_flags(for_std(no_follow() | OFlags::CLOEXEC | OFlags::NONBLOCK));
    }
    let mut attempts = 1;
    loop {
        let file = options.open(path)?;
        match check_regular(&file, path) {
            Ok((size_when_opened, is_shared)) => return Ok(OsFile { file, size_when_opened, is_shared }),
            // It was removed between being opened and being looked at; another may have its name by now.
            Err(gone) if gone.kind() == ErrorKind::NotFound && attempts < OPEN_ATTEMPTS_MAX => attempts += 1,
            Err(error) => return Err(error),
        }
    }
}

#[cfg(unix)]
fn no_follow() -> OFlags {
    if planted(Canary::FollowLinks) { OFlags::empty() } else { OFlags::NOFOLLOW }
}

/// Flags as the standard library takes them.
#[cfg(unix)]
fn for_std(flags: OFlags) -> std::ffi::c_int {
    flags.bits().cast_signed()
}

/// So often a file may be replaced under the hands of who opens it.
const OPEN_ATTEMPTS_MAX: usize = 1000;

/// The file's size, and whether it has a second name.
#[cfg(unix)]
fn check_regular(file: &File, _path: &Path) -> io::Result<(u64, bool)> {
    use std::os::unix::fs::MetadataExt;
    let metadata = file.metadata()?;
    match metadata.nlink() {
        _ if !metadata.is_file() => Err(refusal("not a regular file")),
        0 => Err(ErrorKind::NotFound.into()),
        names => Ok((metadata.len(), 1 < names)),
    }
}

/// Elsewhere nobody tells of a second name.
#[cfg(not(unix))]
fn check_regular(file: &File, path: &Path) -> io::Result<(u64, bool)> {
    let metadata = file.metadata()?;
    let is_regular = metadata.is_file() && fs::symlink_metadata(path)?.is_file();
    if is_regular { Ok((metadata.len(), false)) } else { Err(refusal("not a regular file")) }
}

/// Whether the name stands for this file.
#[cfg(unix)]
fn is_named(file: &File, path: &Path) -> io::Result<bool> {
    use std::os::unix::fs::MetadataExt;
    let open = file.metadata()?;
    match fs::symlink_metadata(path) {
        Ok(named) => Ok((named.dev(), named.ino()) == (open.dev(), open.ino())),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Elsewhere no file is replaced that is open.
#[cfg(not(unix))]
fn is_named(_file: &File, _path: &Path) -> io::Result<bool> {
    Ok(true)
}

/// What a file takes, by what the system says of it.
#[cfg(unix)]
fn usage_of(metadata: &fs::Metadata) -> FileUsage {
    use std::os::unix::fs::MetadataExt;
    /// The unit of `st_blocks`, whatever the file system's blocks are.
    const BLOCK_BYTES: u64 = 512;
    let id = u128::from(metadata.dev()) << 64 | u128::from(metadata.ino());
    let id = (1 < metadata.nlink()).then_some(id);
    FileUsage { id, allocated_bytes: metadata.blocks().saturating_mul(BLOCK_BYTES) }
}

/// Elsewhere only the size is known; most file systems have blocks of 4 KiB.
#[cfg(not(unix))]
fn usage_of(metadata: &fs::Metadata) -> FileUsage {
    const BLOCK_BYTES: u64 = 4096;
    FileUsage { id: None, allocated_bytes: metadata.len().next_multiple_of(BLOCK_BYTES) }
}

fn refusal(reason: &'static str) -> io::Error {
    io::Error::new(ErrorKind::InvalidInput, reason)
}

/// An open file of the operating system.
#[derive(Debug)]
struct OsFile {
    file: File,
    size_when_opened: u64,
    is_shared: bool,
}

impl OsFile {
    fn check_own(&self) -> io::Result<()> {
        if self.is_shared { Err(refusal("the file has a second name (hard link)")) } else { Ok(()) }
    }
}

impl DiskFile for OsFile {
    fn size(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    fn allocated_bytes(&self) -> io::Result<u64> {
        Ok(usage_of(&self.file.metadata()?).allocated_bytes)
    }

    fn size_when_opened(&self) -> u64 {
        self.size_when_opened
    }

    fn is_shared(&self) -> bool {
        self.is_shared
    }

    fn read_at(&self, buffer: &mut [u8], position: u64) -> io::Result<usize> {
        let mut filled = 0;
        while let Some(rest) = buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            match read_some_at(&self.file, rest, position.saturating_add(filled as u64)) {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(filled)
    }

    fn write_at(&self, bytes: &[u8], position: u64) -> io::Result<()> {
        self.check_own()?;
        write_all_at(&self.file, bytes, position)
    }

    /// One page at a time: a system whose page cache has large folios makes them as large as the write is, and a store
    /// through a map then has the whole folio written at the next sync, up to 1 MiB for one record. On ext4 of Linux 6.18
    /// a sync after a store into two pages took 575 us with chunks written at once, and 79 us so.
    fn write_zeros(&self, bytes: usize, position: u64) -> io::Result<()> {
        const PAGE: &[u8] = &[0; 4096];
        (0..bytes).step_by(PAGE.len()).try_for_each(|at| {
            let page = PAGE.get(..bytes - at).unwrap_or(PAGE);
            self.write_at(page, position.saturating_add(at as u64))
        })
    }

    fn set_size(&self, size: u64) -> io::Result<()> {
        self.check_own()?;
        self.file.set_len(size)
    }

    #[cfg(target_os = "linux")]
    fn reserve(&self, position: u64, bytes: u64) -> io::Result<()> {
        use rustix::fs::{FallocateFlags, fallocate};
        self.check_own()?;
        Ok(fallocate(&self.file, FallocateFlags::KEEP_SIZE, position, bytes)?)
    }

    /// Cut where it ends, a file loses the blocks behind that. Most have none, and are left alone.
    #[cfg(target_os = "linux")]
    fn give_back_reserved(&self) -> io::Result<()> {
        const WORTHWHILE_BYTES: u64 = 64 << 10;
        self.check_own()?;
        let metadata = self.file.metadata()?;
        let bytes = metadata.len();
        if usage_of(&metadata).allocated_bytes <= bytes.saturating_add(WORTHWHILE_BYTES) {
            return Ok(());
        }
        self.file.set_len(bytes)
    }

    fn sync(&self) -> io::Result<()> {
        // Data and size, not the times. On macOS the standard library asks the drive itself to flush.
        self.file.sync_data()
    }

    fn map(&self, bytes: usize) -> io::Result<Mapping> {
        // Windows cannot map beyond the end of a file.
        let bytes = if cfg!(windows) { bytes.min(usize::try_from(self.size()?).unwrap_or(usize::MAX)) } else { bytes };
        if bytes == 0 {
            return Ok(Mapping::copied(Arc::default()));
        }
        Ok(Mapping::mapped(MmapOptions::new().len(bytes).map_raw_read_only(&self.file)?))
    }

    #[cfg(target_os = "linux")]
    fn overwrites_in_place(&self) -> bool {
        use std::os::unix::fs::MetadataExt;
        self.file.metadata().is_ok_and(|metadata| super::overwriting::is_in_place(metadata.dev()))
    }

    #[cfg(not(target_os = "linux"))]
    fn overwrites_in_place(&self) -> bool {
        false
    }

    fn map_shared(&self, position: u64, bytes: usize) -> io::Result<SharedMapping> {
        self.check_own()?;
        Ok(SharedMapping::mapped(MmapOptions::new().offset(position).len(bytes).populate().map_raw(&self.file)?))
    }

    fn map_followed(&self, position: u64, bytes: usize) -> io::Result<FollowedMapping> {
        if !FollowedMapping::IS_SUPPORTED || self.size()? < position.saturating_add(bytes as u64) {
            return Err(ErrorKind::Unsupported.into());
        }
        let map = MmapOptions::new().offset(position).len(bytes).map_raw_read_only(&self.file)?;
        Ok(FollowedMapping::mapped(map))
    }

    fn is_at(&self, path: &Path) -> io::Result<bool> {
        is_named(&self.file, path)
    }
}

#[cfg(unix)]
fn read_some_at(file: &File, buffer: &mut [u8], position: u64) -> io::Result<usize> {
    std::os::unix::fs::FileExt::read_at(file, buffer, position)
}

#[cfg(windows)]
fn read_some_at(file: &File, buffer: &mut [u8], position: u64) -> io::Result<usize> {
    std::os::windows::fs::FileExt::seek_read(file, buffer, position)
}

/// Goes on after short and interrupted writes.
#[cfg(unix)]
fn write_all_at(file: &File, bytes: &[u8], position: u64) -> io::Result<()> {
    std::os::unix::fs::FileExt::write_all_at(file, bytes, position)
}

#[cfg(windows)]
fn write_all_at(file: &File, bytes: &[u8], position: u64) -> io::Result<()> {
    let (mut rest, mut position) = (bytes, position);
    while !rest.is_empty() {
        match std::os::windows::fs::FileExt::seek_write(file, rest, position) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(count) => {
                rest = rest.get(count..).unwrap_or_default();
                position += count as u64;
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// A locked file; closing it releases the lock.
#[derive(Debug)]
struct OsLock {
    file: File,
}

impl FileLock for OsLock {
    fn write(&self, content: &[u8]) -> io::Result<()> {
        write_all_at(&self.file, content, 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_come_back_by_call_and_by_map() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        let disk = OsDisk::new();
        let file = disk.open(&path, Open::CreateNew).unwrap();
        file.write_at(b"hello", 3).unwrap();
        file.sync().unwrap();
        disk.sync_dir(dir.path()).unwrap();
        assert_eq!(file.size().unwrap(), 8);
        let mut buffer = [9; 10];
        assert_eq!(file.read_at(&mut buffer, 1).unwrap(), 7);
        assert_eq!(buffer, *b"\0\0hello\x09\x09\x09");
        let mapping = file.map(1 << 20).unwrap();
        assert_eq!(mapping.len(), 1 << 20);
        assert_eq!(mapping.bytes(3..8), b"hello");
        file.write_at(b"more", 8).unwrap();
        assert!(mapping.follows_file());
        assert_eq!(mapping.bytes(3..12), b"hellomore");
        file.set_size(4).unwrap();
        assert_eq!(disk.open(&path, Open::Read).unwrap().size().unwrap(), 4);
        assert_eq!(file.map(0).unwrap().len(), 0);
    }

    #[test]
    fn a_shared_map_writes_to_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let file = OsDisk::new().open(&dir.path().join("tail"), Open::CreateNew).unwrap();
        file.set_size(8192).unwrap();
        let mapping = file.map_shared(4096, 4096).unwrap();
        assert_eq!(mapping.len(), 4096);
        file.write_at(b"x", 5000).unwrap();
        let mut byte = [0];
        file.read_at(&mut byte, 5000).unwrap();
        assert_eq!(byte, *b"x");
        assert!(!mapping.as_ptr().is_null());
    }

    #[test]
    #[cfg(target_pointer_width = "64")]
    fn who_follows_sees_what_is_stored_and_whether_the_file_is_another_one() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        let file = OsDisk::new().open(&path, Open::CreateNew).unwrap();
        file.write_at(&[0; 8192], 0).unwrap();
        let followed = OsDisk::new().open(&path, Open::Read).unwrap();
        assert_eq!(followed.map_followed(4096, 4097).unwrap_err().kind(), ErrorKind::Unsupported);
        let map = followed.map_followed(4096, 4096).unwrap();
        file.write_at(&7_u64.to_be_bytes(), 4104).unwrap();
        assert_eq!((map.word(8), map.word(4096)), (Some(7), None));
        let mut bytes = Vec::new();
        map.copy(14..17, &mut bytes);
        assert_eq!(bytes, [0, 7, 0]);
        assert!(followed.is_at(&path).unwrap());
        file.write_at(b"x", 9000).unwrap();
        assert!(followed.map_followed(8192, 800).is_ok(), "it has grown");
        let other = dir.path().join("other");
        OsDisk::new().open(&other, Open::CreateNew).unwrap();
        fs::rename(&other, &path).unwrap();
        assert_eq!(followed.is_at(&path).unwrap(), cfg!(not(unix)));
        assert_eq!(map.word(8), Some(7), "the map is of the file that was mapped");
    }

    #[test]
    fn the_ways_to_open_differ_in_what_must_be_there() {
        let dir = tempfile::tempdir().unwrap();
        let (disk, path) = (OsDisk::new(), dir.path().join("a"));
        assert_eq!(disk.open(&path, Open::Write).unwrap_err().kind(), ErrorKind::NotFound);
        disk.open(&path, Open::CreateOrWrite).unwrap().write_at(b"kept", 0).unwrap();
        assert_eq!(disk.open(&path, Open::CreateNew).unwrap_err().kind(), ErrorKind::AlreadyExists);
        assert_eq!(disk.open(&path, Open::CreateOrWrite).unwrap().size().unwrap(), 4);
        assert!(disk.open(&path, Open::Read).unwrap().write_at(b"no", 0).is_err());
    }

    #[test]
    fn directories_are_listed_renamed_and_removed() {
        let dir = tempfile::tempdir().unwrap();
        let disk = OsDisk::new();
        let at = |name: &str| dir.path().join(name);
        disk.create_dir(&at("d")).unwrap();
        disk.create_dir(&at("d")).unwrap();
        disk.open(&at("f"), Open::CreateNew).unwrap();
        assert_eq!(disk.create_dir(&at("f")).unwrap_err().kind(), ErrorKind::AlreadyExists);
        disk.rename(&at("f"), &at("g")).unwrap();
        let mut entries = disk.list(dir.path()).unwrap();
        entries.sort();
        let entry = |name: &str, is_dir| DirEntry { name: name.into(), is_dir };
        assert_eq!(entries, [entry("d", true), entry("g", false)]);
        disk.remove_file(&at("g")).unwrap();
        disk.remove_dir(&at("d")).unwrap();
        assert!(disk.list(dir.path()).unwrap().is_empty());
    }

    #[test]
    #[cfg(unix)]
    fn a_path_is_resolved_to_what_is_there_and_made_absolute_without_looking() {
        let dir = tempfile::tempdir().unwrap();
        let (disk, real) = (OsDisk::new(), fs::canonicalize(dir.path()).unwrap());
        std::os::unix::fs::symlink(&real, real.join("link")).unwrap();
        assert_eq!(disk.resolve(&real.join("link/link/.")).unwrap(), real);
        assert_eq!(disk.resolve(&real.join("absent")).unwrap_err().kind(), ErrorKind::NotFound);
        assert_eq!(disk.absolute(&real.join("absent")).unwrap(), real.join("absent"));
        assert_eq!(disk.absolute(Path::new("absent")).unwrap(), std::env::current_dir().unwrap().join("absent"));
    }

    #[test]
    fn a_lock_is_held_once_and_released_when_dropped() {
        let dir = tempfile::tempdir().unwrap();
        let (disk, path) = (OsDisk::new(), dir.path().join("ottla.lock"));
        let lock = disk.lock(&path, b"123").unwrap();
        assert_eq!(disk.lock(&path, b"4").unwrap_err().kind(), ErrorKind::WouldBlock);
        assert_eq!(fs::read(&path).unwrap(), b"123");
        drop(lock);
        drop(disk.lock(&path, b"4").unwrap());
        assert_eq!(fs::read(&path).unwrap(), b"4");
    }

    #[test]
    fn zeros_replace_what_was_there_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let file = OsDisk::new().open(&dir.path().join("f"), Open::CreateNew).unwrap();
        file.write_at(&vec![7; 20_000], 0).unwrap();
        file.write_zeros(9000, 5000).unwrap();
        file.write_zeros(5000, 19_000).unwrap();
        let mut bytes = vec![1; 30_000];
        assert_eq!(file.read_at(&mut bytes, 0).unwrap(), 24_000);
        let zeros = |at: usize| (5000..14_000).contains(&at) || at >= 19_000;
        assert!((0..24_000).all(|at| bytes[at] == if zeros(at) { 0 } else { 7 }));
    }

    #[test]
    #[cfg(unix)]
    fn files_and_directories_are_for_their_owner_only() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let disk = OsDisk::new();
        disk.create_dir(&dir.path().join("d")).unwrap();
        disk.open(&dir.path().join("f"), Open::CreateOrWrite).unwrap();
        let mode = |name: &str| fs::metadata(dir.path().join(name)).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode("d"), 0o700);
        assert_eq!(mode("f"), 0o600);
    }

    #[test]
    fn a_file_that_is_replaced_again_and_again_is_always_there() {
        let dir = tempfile::tempdir().unwrap();
        let (disk, path, new) = (OsDisk::new(), dir.path().join("catalog"), dir.path().join("catalog.tmp"));
        // Files without bytes: some file systems write out those that take the place of another.
        File::create(&path).unwrap();
        std::thread::scope(|threads| {
            let writer = threads.spawn(|| {
                for _ in 0..3000 {
                    File::create(&new).unwrap();
                    fs::rename(&new, &path).unwrap();
                }
            });
            while !writer.is_finished() {
                disk.open(&path, Open::Read).unwrap();
            }
        });
    }

    #[test]
    #[cfg(unix)]
    fn links_and_special_files_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let disk = OsDisk::new();
        let at = |name: &str| dir.path().join(name);
        fs::write(at("real"), b"x").unwrap();
        std::os::unix::fs::symlink(at("real"), at("symlink")).unwrap();
        std::os::unix::fs::symlink(at("nowhere"), at("dangling")).unwrap();
        assert!(std::process::Command::new("mkfifo").arg(at("fifo")).status().unwrap().success());
        disk.create_dir(&at("directory")).unwrap();
        std::os::unix::fs::symlink(at("directory"), at("dirlink")).unwrap();
        for how in [Open::Read, Open::Write, Open::CreateOrWrite] {
            for name in ["symlink", "fifo", "directory", "dirlink", "dangling"] {
                assert!(disk.open(&at(name), how).is_err(), "{name} {how:?}");
            }
            assert!(disk.open(&at("real"), how).is_ok());
        }
        assert!(!at("nowhere").exists());
        assert!(disk.create_dir(&at("dirlink")).is_err());
        assert!(disk.sync_dir(&at("dirlink")).is_err());
    }

    #[test]
    #[cfg(unix)]
    fn neither_links_nor_directories_are_linked_or_copied() {
        let dir = tempfile::tempdir().unwrap();
        let (disk, to) = (OsDisk::new(), dir.path().join("to"));
        let at = |name: &str| dir.path().join(name);
        fs::write(at("real"), b"x").unwrap();
        std::os::unix::fs::symlink(at("real"), at("symlink")).unwrap();
        std::os::unix::fs::symlink(at("nowhere"), at("dangling")).unwrap();
        disk.create_dir(&at("directory")).unwrap();
        for name in ["symlink", "dangling", "directory"] {
            assert!(disk.hard_link(&at(name), &to).is_err() && disk.copy_file(&at(name), &to).is_err(), "{name}");
            assert!(fs::symlink_metadata(&to).is_err(), "{name} left something");
        }
        for name in ["symlink", "dangling"] {
            assert!(disk.copy_file(&at("real"), &at(name)).is_err(), "{name} is not followed");
        }
        assert!(!at("nowhere").exists());
    }

    #[test]
    #[cfg(unix)]
    fn a_file_with_a_second_name_is_read_and_never_written() {
        let dir = tempfile::tempdir().unwrap();
        let (disk, path) = (OsDisk::new(), dir.path().join("f"));
        let before = disk.open(&path, Open::CreateNew).unwrap();
        before.write_at(&[7; 4096], 0).unwrap();
        disk.hard_link(&path, &dir.path().join("second")).unwrap();
        assert!(!before.is_shared(), "as it was when it was opened");
        for how in [Open::Read, Open::Write, Open::CreateOrWrite] {
            let file = disk.open(&path, how).unwrap();
            assert!(file.is_shared());
            assert_eq!(file.read_at(&mut [0; 5000], 0).unwrap(), 4096);
            assert_eq!(file.write_at(b"no", 0).unwrap_err().kind(), ErrorKind::InvalidInput);
            assert_eq!(file.write_zeros(9, 0).unwrap_err().kind(), ErrorKind::InvalidInput);
            assert_eq!(file.set_size(0).unwrap_err().kind(), ErrorKind::InvalidInput);
            assert_eq!(file.map_shared(0, 4096).unwrap_err().kind(), ErrorKind::InvalidInput);
            file.sync().unwrap();
        }
        fs::remove_file(dir.path().join("second")).unwrap();
        disk.open(&path, Open::Write).unwrap().write_at(b"yes", 0).unwrap();
    }

    #[test]
    #[cfg(unix)]
    fn the_lock_of_a_file_with_a_second_name_is_another_file_s() {
        let dir = tempfile::tempdir().unwrap();
        let (disk, path, backup) = (OsDisk::new(), dir.path().join("ottla.lock"), dir.path().join("backup"));
        drop(disk.lock(&path, b"before").unwrap());
        fs::hard_link(&path, &backup).unwrap();
        fs::write(dir.path().join("ottla.lock.own"), b"left by a crash").unwrap();
        let _held = disk.lock(&path, b"after").unwrap();
        assert_eq!(disk.lock(&path, b"").unwrap_err().kind(), ErrorKind::WouldBlock);
        assert_eq!((fs::read(&path).unwrap(), fs::read(&backup).unwrap()), (b"after".to_vec(), b"before".to_vec()));
        assert!(!dir.path().join("ottla.lock.own").exists());
        drop(disk.lock(&backup, b"of the backup").unwrap());
    }

    #[test]
    #[cfg(unix)]
    fn two_never_hold_a_lock_whose_file_is_linked_and_replaced_again_and_again() {
        use std::sync::atomic::{AtomicUsize, Ordering};

        let dir = tempfile::tempdir().unwrap();
        let (disk, path) = (OsDisk::new(), dir.path().join("ottla.lock"));
        let (holders, replaced) = (AtomicUsize::new(0), AtomicUsize::new(0));
        std::thread::scope(|threads| {
            for _ in 0..4 {
                threads.spawn(|| {
                    while replaced.load(Ordering::Relaxed) < 500 {
                        let Ok(_held) = disk.lock(&path, b"held") else { continue };
                        assert_eq!(holders.fetch_add(1, Ordering::SeqCst), 0, "two hold it");
                        // Whoever comes next finds a second name.
                        let round = replaced.fetch_add(1, Ordering::Relaxed);
                        fs::hard_link(&path, dir.path().join(format!("backup-{round}"))).unwrap();
                        holders.fetch_sub(1, Ordering::SeqCst);
                    }
                });
            }
        });
    }

    #[test]
    fn the_machine_tells_time_boots_and_random_numbers() {
        let disk = OsDisk::new();
        assert!(disk.now_ms() > 1_600_000_000_000);
        assert!(disk.monotonic() <= disk.monotonic());
        assert_eq!(disk.boot_id(), OsDisk::new().boot_id());
        assert_eq!(disk.boot_id().is_some(), cfg!(target_os = "linux"));
        assert_ne!(disk.random(), disk.random());
        assert_ne!(random_by_hashing(), random_by_hashing());
    }
}
