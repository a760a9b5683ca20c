//! A disk that knows what a directory takes: the blocks of all files below it, whoever writes them.
//!
//! A decorator of the seam, there only where somebody asks for a budget. It looks at what is there once, and then at every file
//! after each call that may change what that takes. The file itself says how much that is: blocks are given out later than bytes are
//! written, and in pieces of the file system's choice. What was counted of a file is remembered, so that just this is taken off when
//! its name goes, and the sum never drifts.
//!
//! Nothing is taken ahead of need here ([`DiskFile::reserve`]): it would count.
//!
//! A file without a name does not count, though it keeps its blocks for as long as a reader holds it; nor do directories, and what
//! others do there meanwhile.

use std::collections::{BTreeMap, HashMap};
use std::io::{self, ErrorKind};
use std::ops::Bound;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::usage::visit_files;
use super::{
    DirEntry, Disk, DiskFile, FileLock, FileMode, FileUsage, FollowedMapping, Mapping, Open, SharedMapping, SyncError,
};
use crate::sync::Mutex;
use crate::sync::atomic::{AtomicU64, Ordering};

/// What a file is taken to have where it cannot be asked.
const BLOCK_BYTES: u64 = 4096;

/// A disk whose files below one directory are counted.
#[derive(Debug)]
pub(crate) struct MeteredDisk {
    disk: Arc<dyn Disk>,
    meter: Arc<Meter>,
}

impl MeteredDisk {
    /// Counts what is below `root`, and goes on counting; `is_apart` says which files are also counted apart.
    ///
    /// # Errors
    /// The disk's, with the path.
    pub(crate) fn begin(
        disk: Arc<dyn Disk>,
        root: &Path,
        is_apart: fn(&Path) -> bool,
    ) -> Result<MeteredDisk, (PathBuf, io::Error)> {
        let meter = Meter {
            root: root.to_owned(),
            is_apart,
            used_bytes: AtomicU64::new(0),
            apart_bytes: AtomicU64::new(0),
            files: Mutex::default(),
            ceiling_bytes: AtomicU64::new(u64::MAX),
            refused_bytes: AtomicU64::new(0),
        };
        meter.count_all(&*disk)?;
        Ok(MeteredDisk { disk, meter: Arc::new(meter) })
    }

    /// What is counted.
    pub(crate) fn meter(&self) -> &Arc<Meter> {
        &self.meter
    }

    fn metered(&self, path: &Path, file: Arc<dyn DiskFile>) -> Arc<dyn DiskFile> {
        if !self.meter.covers(path) {
            return file;
        }
        let record = self.meter.record_of(path, &*file);
        let size = AtomicU64::new(file.size_when_opened());
        Arc::new(MeteredFile { file, record, meter: Arc::clone(&self.meter), size, solid_bytes: AtomicU64::new(0) })
    }
}

/// What the files take.
#[derive(Debug)]
pub(crate) struct Meter {
    root: PathBuf,
    is_apart: fn(&Path) -> bool,
    used_bytes: AtomicU64,
    apart_bytes: AtomicU64,
    files: Mutex<BTreeMap<PathBuf, Arc<Record>>>,
    /// Tails do not grow beyond it.
    ceiling_bytes: AtomicU64,
    refused_bytes: AtomicU64,
}

/// What was counted of a file.
#[derive(Debug)]
struct Record {
    is_apart: bool,
    counted: Mutex<Counted>,
}

#[derive(Debug)]
struct Counted {
    bytes: u64,
    /// Names that it has below the directory. Without one it does not count.
    names: usize,
}

impl Meter {
    /// What all files take, in bytes.
    pub(crate) fn used_bytes(&self) -> u64 {
        self.used_bytes.load(Ordering::Relaxed)
    }

    /// What those take that are counted apart; a part of all.
    pub(crate) fn apart_bytes(&self) -> u64 {
        self.apart_bytes.load(Ordering::Relaxed)
    }

    /// From now on no tail grows if more than so many bytes would be taken then: as on a full disk.
    pub(crate) fn set_ceiling(&self, bytes: u64) {
        self.ceiling_bytes.store(bytes, Ordering::Relaxed);
    }

    /// How much room a tail was refused since the last call.
    pub(crate) fn take_refused_bytes(&self) -> u64 {
        self.refused_bytes.swap(0, Ordering::Relaxed)
    }

    /// How much room a tail was refused and did not get yet.
    pub(crate) fn refused_bytes(&self) -> u64 {
        self.refused_bytes.load(Ordering::Relaxed)
    }

    fn covers(&self, path: &Path) -> bool {
        path.starts_with(&self.root)
    }

    fn count_all(&self, disk: &dyn Disk) -> Result<(), (PathBuf, io::Error)> {
        let mut linked = HashMap::new();
        visit_files(disk, &self.root, &mut |path, usage| self.count_found(path, usage, &mut linked))
    }

    fn count_found(&self, path: PathBuf, usage: FileUsage, linked: &mut HashMap<u128, Arc<Record>>) {
        let known = usage.id.and_then(|id| linked.get(&id)).cloned();
        let record = known.unwrap_or_else(|| self.new_record(&path));
        if let Some(id) = usage.id {
            linked.insert(id, Arc::clone(&record));
        }
        record.counted.lock().names += 1;
        self.set(&record, usage.allocated_bytes);
        self.files.lock().insert(path, record);
    }

    fn new_record(&self, path: &Path) -> Arc<Record> {
        Arc::new(Record { is_apart: (self.is_apart)(path), counted: Mutex::new(Counted { bytes: 0, names: 0 }) })
    }

    /// The record of a file that was opened by this name.
    fn record_of(&self, path: &Path, file: &dyn DiskFile) -> Arc<Record> {
        if let Some(record) = self.files.lock().get(path) {
            return Arc::clone(record);
        }
        let record = self.new_record(path);
        self.add_name(path, &record);
        self.set(&record, file.allocated_bytes().unwrap_or_default());
        record
    }

    fn add_name(&self, path: &Path, record: &Arc<Record>) {
        record.counted.lock().names += 1;
        let replaced = self.files.lock().insert(path.to_owned(), Arc::clone(record));
        if let Some(replaced) = replaced {
            self.drop_name(&replaced);
        }
    }

    fn drop_name(&self, record: &Record) {
        let mut counted = record.counted.lock();
        counted.names = counted.names.saturating_sub(1);
        if counted.names == 0 {
            let bytes = std::mem::take(&mut counted.bytes);
            self.add(record, bytes, 0);
        }
    }

    fn forget(&self, path: &Path) {
        let removed = self.files.lock().remove(path);
        if let Some(record) = removed {
            self.drop_name(&record);
        }
    }

    /// Counts what `path` stands for now, as the disk tells it.
    fn look_at(&self, disk: &dyn Disk, path: &Path) {
        if !self.covers(path) {
            return;
        }
        let Ok(usage) = disk.usage(path) else { return };
        let known = self.files.lock().get(path).cloned();
        let record = known.unwrap_or_else(|| {
            let record = self.new_record(path);
            self.add_name(path, &record);
            record
        });
        self.set(&record, usage.allocated_bytes);
    }

    /// Follows a file, or a directory with all that is in it, to another name.
    fn rename(&self, from: &Path, to: &Path) {
        let mut files = self.files.lock();
        let below = files.range::<Path, _>((Bound::Included(from), Bound::Unbounded));
        let moved: Vec<_> = below.map(|(path, _)| path).take_while(|path| path.starts_with(from)).cloned().collect();
        let mut replaced = Vec::new();
        for path in moved {
            let Some(record) = files.remove(&path) else { continue };
            match path.strip_prefix(from) {
                // Two names of one file: then the system leaves both.
                Ok(rest) if rest.as_os_str().is_empty() && is_same(files.get(to), &record) => {
                    files.insert(path, record);
                }
                Ok(rest) if self.covers(to) => {
                    let to = if rest.as_os_str().is_empty() { to.to_owned() } else { to.join(rest) };
                    replaced.extend(files.insert(to, record));
                }
                _ => replaced.push(record),
            }
        }
        drop(files);
        for record in replaced {
            self.drop_name(&record);
        }
    }

    /// Notes what a file takes now.
    fn set(&self, record: &Record, bytes: u64) {
        let mut counted = record.counted.lock();
        self.set_locked(record, &mut counted, bytes);
    }

    fn set_locked(&self, record: &Record, counted: &mut Counted, bytes: u64) {
        if 0 < counted.names {
            let before = std::mem::replace(&mut counted.bytes, bytes);
            self.add(record, before, bytes);
        }
    }

    /// Looks at what a file takes, of which the bytes below `end` were written; how much that is.
    fn measure(&self, record: &Record, file: &dyn DiskFile, end: u64) -> u64 {
        // Held while the file is asked, so that of two that ask the later answer counts.
        let mut counted = record.counted.lock();
        let least = || counted.bytes.max(end.next_multiple_of(BLOCK_BYTES));
        let bytes = file.allocated_bytes().unwrap_or_else(|_| least());
        self.set_locked(record, &mut counted, bytes);
        bytes
    }

    fn add(&self, record: &Record, before: u64, after: u64) {
        let totals = [Some(&self.used_bytes), record.is_apart.then_some(&self.apart_bytes)];
        for total in totals.into_iter().flatten() {
            // What is taken off was added before, and the sum is no less than each part of it.
            if before <= after {
                total.fetch_add(after - before, Ordering::Relaxed);
            } else {
                total.fetch_sub(before - after, Ordering::Relaxed);
            }
        }
    }

    /// Fails if a tail is not to grow by so many bytes.
    fn check_ceiling(&self, bytes: u64) -> io::Result<()> {
        if self.used_bytes().saturating_add(bytes) <= self.ceiling_bytes.load(Ordering::Relaxed) {
            return Ok(());
        }
        self.refused_bytes.fetch_max(bytes, Ordering::Relaxed);
        Err(ErrorKind::StorageFull.into())
    }
}

fn is_same(found: Option<&Arc<Record>>, record: &Arc<Record>) -> bool {
    found.is_some_and(|found| Arc::ptr_eq(found, record))
}

impl Disk for MeteredDisk {
    fn with_file_mode(self: Arc<MeteredDisk>, mode: FileMode) -> Arc<dyn Disk> {
        let disk = Arc::clone(&self.disk).with_file_mode(mode);
        Arc::new(MeteredDisk { disk, meter: Arc::clone(&self.meter) })
    }

    fn open(&self, path: &Path, how: Open) -> io::Result<Arc<dyn DiskFile>> {
        Ok(self.metered(path, self.disk.open(path, how)?))
    }

    fn absolute(&self, path: &Path) -> io::Result<PathBuf> {
        self.disk.absolute(path)
    }

    fn resolve(&self, path: &Path) -> io::Result<PathBuf> {
        self.disk.resolve(path)
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        self.disk.create_dir(path)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.disk.remove_file(path)?;
        self.meter.forget(path);
        Ok(())
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        self.disk.remove_dir(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.disk.rename(from, to)?;
        self.meter.rename(from, to);
        Ok(())
    }

    fn hard_link(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.disk.hard_link(from, to)?;
        let known = self.meter.files.lock().get(from).cloned();
        match known {
            Some(record) if self.meter.covers(to) => self.meter.add_name(to, &record),
            _ => self.meter.look_at(&*self.disk, to),
        }
        Ok(())
    }

    fn copy_file(&self, from: &Path, to: &Path) -> io::Result<Arc<dyn DiskFile>> {
        let copied = self.disk.copy_file(from, to);
        // After an error a part of it may be there.
        self.meter.look_at(&*self.disk, to);
        Ok(self.metered(to, copied?))
    }

    fn usage(&self, path: &Path) -> io::Result<FileUsage> {
        self.disk.usage(path)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<DirEntry>> {
        self.disk.list(dir)
    }

    fn sync_dir(&self, dir: &Path) -> Result<(), SyncError> {
        self.disk.sync_dir(dir)
    }

    /// What is written to it later fits in the block that it has.
    fn lock(&self, path: &Path, content: &[u8]) -> io::Result<Box<dyn FileLock>> {
        let locked = self.disk.lock(path, content)?;
        self.meter.look_at(&*self.disk, path);
        Ok(locked)
    }

    fn lock_as_it_is(&self, path: &Path) -> io::Result<Box<dyn FileLock>> {
        self.disk.lock_as_it_is(path)
    }

    fn now_ms(&self) -> i64 {
        self.disk.now_ms()
    }

    fn monotonic(&self) -> Duration {
        self.disk.monotonic()
    }

    fn sleep(&self, time: Duration) {
        self.disk.sleep(time);
    }

    fn boot_id(&self) -> Option<u128> {
        self.disk.boot_id()
    }

    fn random(&self) -> u128 {
        self.disk.random()
    }
}

/// An open file that is counted.
#[derive(Debug)]
struct MeteredFile {
    file: Arc<dyn DiskFile>,
    record: Arc<Record>,
    meter: Arc<Meter>,
    /// How long it is, as far as this handle has seen.
    size: AtomicU64,
    /// All below this byte has its blocks, and to write there takes no more.
    solid_bytes: AtomicU64,
}

impl MeteredFile {
    fn measure(&self, end: u64) {
        let size = self.size.fetch_max(end, Ordering::Relaxed).max(end);
        if size <= self.meter.measure(&self.record, &*self.file, end) {
            self.solid_bytes.fetch_max(size, Ordering::Relaxed);
        }
    }
}

impl DiskFile for MeteredFile {
    fn size(&self) -> io::Result<u64> {
        self.file.size()
    }

    fn allocated_bytes(&self) -> io::Result<u64> {
        self.file.allocated_bytes()
    }

    fn size_when_opened(&self) -> u64 {
        self.file.size_when_opened()
    }

    fn is_shared(&self) -> bool {
        self.file.is_shared()
    }

    fn read_at(&self, buffer: &mut [u8], position: u64) -> io::Result<usize> {
        self.file.read_at(buffer, position)
    }

    fn write_at(&self, bytes: &[u8], position: u64) -> io::Result<()> {
        let written = self.file.write_at(bytes, position);
        let end = position.saturating_add(bytes.len() as u64);
        if self.solid_bytes.load(Ordering::Relaxed) < end {
            self.measure(end);
        }
        written
    }

    fn write_zeros(&self, bytes: usize, position: u64) -> io::Result<()> {
        let end = position.saturating_add(bytes as u64);
        let growth = end.saturating_sub(self.size.load(Ordering::Relaxed));
        if 0 < growth {
            self.meter.check_ceiling(growth)?;
        }
        let written = self.file.write_zeros(bytes, position);
        self.measure(end);
        written
    }

    fn give_back_reserved(&self) -> io::Result<()> {
        let given_back = self.file.give_back_reserved();
        self.measure(0);
        given_back
    }

    fn set_size(&self, size: u64) -> io::Result<()> {
        self.solid_bytes.store(0, Ordering::Relaxed);
        let set = self.file.set_size(size);
        if set.is_ok() {
            self.size.store(size, Ordering::Relaxed);
        }
        self.measure(0);
        set
    }

    /// Blocks may be given out only now.
    fn sync(&self) -> io::Result<()> {
        let synced = self.file.sync();
        self.measure(0);
        synced
    }

    fn map(&self, bytes: usize) -> io::Result<Mapping> {
        self.file.map(bytes)
    }

    fn overwrites_in_place(&self) -> bool {
        self.file.overwrites_in_place()
    }

    fn map_shared(&self, position: u64, bytes: usize) -> io::Result<SharedMapping> {
        self.file.map_shared(position, bytes)
    }

    fn map_followed(&self, position: u64, bytes: usize) -> io::Result<FollowedMapping> {
        self.file.map_followed(position, bytes)
    }

    fn is_at(&self, path: &Path) -> io::Result<bool> {
        self.file.is_at(path)
    }
}

#[cfg(test)]
mod tests;
