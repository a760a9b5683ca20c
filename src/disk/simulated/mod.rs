//! A disk in memory, for tests: it can cut the power, kill the process and fail any call, and a seed decides how.
//!
//! - `file.rs`: a file's bytes, as calls see them and as the medium has them, in sectors of 512 bytes.
//!   `pages.rs`: how they are kept, so that images share them.
//! - `machine.rs`: limits, the clock, and the calls on files; `names.rs`: those on directories.
//! - `crash.rs`: what is left after a power cut.
//! - `faults.rs`: which calls fail.
//!
//! What was stored through a shared map is looked at in the next call that concerns the file, and counts as un-synced
//! writes. A map for reading is a copy of the file as it was, and one for following a writer that writer's memory.

mod crash;
mod faults;
mod file;
mod machine;
mod names;
mod pages;
mod random;

use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use self::crash::Survivors;
pub use self::crash::{CrashModel, Unsynced};
pub use self::faults::{Call, FaultKind, FaultRule, Operation};
use self::machine::{Machine, Node, NodeId};
use self::pages::Pages;
use super::{
    DirEntry, Disk, DiskFile, FileLock, FileMode, FileUsage, FollowedMapping, Mapping, Open, SharedMapping, SyncError,
};
use crate::sync::monitor::{Monitor, MonitorGuard};

/// A machine with a disk, in memory. Clones are the same machine.
///
/// Everything that it does follows from its seed and the calls made. It begins with an empty root directory, in 2023, and
/// its clock stands still until [`advance`](Self::advance)d.
///
/// # Examples
/// ```
/// use ottla::testing::{CrashModel, SimulatedDisk};
///
/// let disk = SimulatedDisk::new(1);
/// disk.put("/data/file", b"durable");
/// let after = disk.crash(7, CrashModel::Subset);
/// assert_eq!(after.read("/data/file").as_deref(), Some(&b"durable"[..]));
/// ```
#[derive(Clone)]
pub struct SimulatedDisk {
    /// Whoever waits is told when syncs that hang may go on.
    machine: Arc<Monitor<Machine>>,
}

impl SimulatedDisk {
    /// An empty machine. `seed` decides its random numbers and boot id.
    #[must_use]
    pub fn new(seed: u64) -> SimulatedDisk {
        SimulatedDisk::from(Machine::new(seed))
    }

    fn from(machine: Machine) -> SimulatedDisk {
        SimulatedDisk { machine: Arc::new(Monitor::new(machine)) }
    }

    fn machine(&self) -> MonitorGuard<'_, Machine> {
        self.machine.lock()
    }

    /// The handle of a file that the machine has just opened.
    fn opened(
        &self,
        mut machine: MonitorGuard<'_, Machine>,
        node: NodeId,
        path: &Path,
        is_to_be_written: bool,
    ) -> io::Result<Arc<dyn DiskFile>> {
        let file = machine.file(node)?;
        let (is_shared, size_when_opened) = (file.is_shared(), file.content().len() as u64);
        drop(machine);
        let machine = Arc::clone(&self.machine);
        let (path, is_writable) = (path.to_owned(), is_to_be_written && !is_shared);
        Ok(Arc::new(SimulatedFile { machine, node, path, is_writable, is_shared, size_when_opened }))
    }

    /// The machine after a power cut at this moment (or when it [stopped](Self::stop_after)) and a restart. `seed` decides
    /// which un-synced changes survived. Locks are released and faults cleared. This machine goes on as if nothing had happened.
    #[must_use]
    pub fn crash(&self, seed: u64, model: CrashModel) -> SimulatedDisk {
        SimulatedDisk::from(crash::crash(&mut self.machine(), seed, Survivors::Model(model)))
    }

    /// As [`crash`](Self::crash), leaving the first `changes` of all un-synced changes, in order.
    #[must_use]
    pub fn crash_after(&self, changes: u64) -> SimulatedDisk {
        SimulatedDisk::from(crash::crash(&mut self.machine(), 0, Survivors::First(changes)))
    }

    /// As [`crash`](Self::crash), leaving exactly these of all [`unsynced`](Self::unsynced) things. Where the page of a file
    /// is lost that was made larger, there are zeros, or old blocks and garbage chosen by the seed, if `is_stale`.
    #[must_use]
    pub fn crash_keeping(&self, kept: impl IntoIterator<Item = Unsynced>, is_stale: bool, seed: u64) -> SimulatedDisk {
        let kept = kept.into_iter().collect();
        SimulatedDisk::from(crash::crash(&mut self.machine(), seed, Survivors::These { kept: &kept, is_stale }))
    }

    /// What a power cut may leave or lose now, each as a whole. The order means nothing. To list what was there when the machine
    /// stopped, ask the image that [`kill`](Self::kill) gives.
    #[must_use]
    pub fn unsynced(&self) -> Vec<Unsynced> {
        crash::unsynced(&mut self.machine())
    }

    /// Changes since the last sync, for [`crash_after`](Self::crash_after).
    #[must_use]
    pub fn unsynced_changes(&self) -> u64 {
        let mut machine = self.machine();
        machine.absorb();
        machine.number - machine.synced_number
    }

    /// From now on keeps what [`stop_after`](Self::stop_after) would leave at each call, for [`take_stops`](Self::take_stops).
    pub fn record_stops(&self) {
        self.machine().stops = Some(Vec::new());
    }

    /// Machines that stopped before each changing call since [`record_stops`](Self::record_stops), with the number of calls
    /// before it, and the present at last. Records no more.
    #[must_use]
    pub fn take_stops(&self) -> Vec<(u64, SimulatedDisk)> {
        let mut machine = self.machine();
        let calls = machine.faults.calls;
        machine.note_stop(calls);
        let stops = machine.stops.take().unwrap_or_default().into_iter();
        let disk = |stopped| {
            let mut machine = Machine::new(0);
            machine.stopped = Some(Box::new(stopped));
            SimulatedDisk::from(machine)
        };
        stops.map(|(calls, stopped)| (calls, disk(stopped))).collect()
    }

    /// A hash of the names and bytes of all files, both as calls see them and as the medium has them. If two machines have the
    /// same one, the same can become of them.
    #[must_use]
    pub fn fingerprint(&self) -> u128 {
        let mut machine = self.machine();
        machine.absorb();
        machine.fingerprint()
    }

    /// The machine after the death of the process at this moment (or when it [stopped](Self::stop_after)). All that was
    /// written or stored is there, though not yet durable. `seed` decides how much is there of a write that was under way. Locks
    /// are released and faults cleared. This machine goes on as if nothing had happened.
    #[must_use]
    pub fn kill(&self, seed: u64) -> SimulatedDisk {
        SimulatedDisk::from(crash::kill(&mut self.machine(), seed))
    }

    /// Adds a rule that makes calls fail. Earlier rules stay.
    pub fn fail(&self, rule: FaultRule) {
        self.machine().faults.add(rule);
    }

    /// Removes all rules and [`stop_after`](Self::stop_after). An image of a stop that has happened is forgotten.
    pub fn clear_faults(&self) {
        let mut machine = self.machine();
        machine.faults.clear();
        machine.stopped = None;
    }

    /// Makes syncs of files whose paths contain `part` hang, as on a disk that does not answer, until they are
    /// [released](Self::release_syncs).
    pub fn hold_syncs(&self, part: &str) {
        self.machine().faults.hold_syncs(Some(part.to_owned()));
    }

    /// Lets hanging syncs go on, and makes no more of them hang.
    pub fn release_syncs(&self) {
        self.machine().faults.hold_syncs(None);
        self.machine.notify_all();
    }

    /// The number of threads whose sync hangs.
    #[must_use]
    pub fn hanging_syncs(&self) -> usize {
        self.machine().faults.hanging_syncs
    }

    /// Stops the machine after `calls` calls in all: no later call changes anything, and [`crash`](Self::crash) and
    /// [`kill`](Self::kill) give images of that moment. Opening counts as changing. Stores through maps are seen up to the
    /// first call that is refused.
    pub fn stop_after(&self, calls: u64) {
        self.machine().faults.stop_after = Some(calls);
    }

    /// Calls made so far, failed ones included.
    #[must_use]
    pub fn calls(&self) -> u64 {
        self.machine().faults.calls
    }

    /// Calls that failed because of a [rule](Self::fail).
    #[must_use]
    pub fn faults_injected(&self) -> u64 {
        self.machine().faults.injected
    }

    /// The last few thousand calls, oldest first.
    #[must_use]
    pub fn log(&self) -> Vec<Call> {
        self.machine().faults.log()
    }

    /// Limits the bytes of all files together; `None` is no limit. A write beyond it ends with `ENOSPC` where the room ends.
    pub fn limit_capacity(&self, bytes: Option<u64>) {
        self.machine().capacity_bytes = bytes;
    }

    /// Makes the file system write overwritten blocks elsewhere, as btrfs does: overwriting fails on a full disk, too, and no file
    /// can be mapped for writing.
    pub fn copy_on_write(&self) {
        self.machine().is_copy_on_write = true;
    }

    /// Limits the files that may be open at a time; `None` is no limit. Opening one more ends with `EMFILE`.
    pub fn limit_handles(&self, handles: Option<usize>) {
        self.machine().handles_max = handles;
    }

    /// Files that are open, locks included.
    #[must_use]
    pub fn open_handles(&self) -> usize {
        self.machine().handles()
    }

    /// Bytes of all files that have a name or are open.
    #[must_use]
    pub fn used_bytes(&self) -> u64 {
        self.machine().used_bytes()
    }

    /// Lets time pass, for both clocks.
    pub fn advance(&self, by: Duration) {
        let mut machine = self.machine();
        machine.elapsed += by;
        machine.now_ms = machine.now_ms.saturating_add(i64::try_from(by.as_millis()).unwrap_or(i64::MAX));
    }

    /// Sets the wall clock, in milliseconds since 1970 UTC.
    pub fn set_now_ms(&self, now_ms: i64) {
        self.machine().now_ms = now_ms;
    }

    /// Bytes that the files below a directory take: whole blocks of 4,096, and of one that has several names there, once.
    #[must_use]
    pub fn allocated_bytes(&self, dir: impl AsRef<Path>) -> u64 {
        let mut machine = self.machine();
        let paths = machine.paths().into_iter().filter(|(path, _)| path.starts_with(dir.as_ref()));
        let nodes: std::collections::BTreeSet<_> = paths.map(|(_, node)| node).collect();
        nodes.into_iter().filter_map(|node| machine.file(node).ok().map(|file| file.allocated_bytes())).sum()
    }

    /// All files with their sizes in bytes, ordered by path. Neither counted as a call nor failed, like all that follow.
    #[must_use]
    pub fn files(&self) -> Vec<(PathBuf, u64)> {
        let mut machine = self.machine();
        let paths = machine.paths();
        let sized = |(path, node)| machine.file(node).ok().map(|file| (path, file.content().len() as u64));
        paths.into_iter().filter_map(sized).collect()
    }

    /// The files that differ between the two machines, or are on one of them only, ordered by path.
    #[must_use]
    pub fn differing_files(&self, other: &SimulatedDisk) -> Vec<PathBuf> {
        let (mut files, mut others) = (self.contents(), other.contents());
        others.retain(|path, bytes| files.get(path).is_none_or(|same| same != bytes) || files.remove(path).is_none());
        files.append(&mut others);
        files.into_keys().collect()
    }

    fn contents(&self) -> BTreeMap<PathBuf, Pages> {
        let mut machine = self.machine();
        machine.absorb();
        let paths = machine.paths().into_iter();
        paths.filter_map(|(path, node)| Some((path, machine.file(node).ok()?.content().clone()))).collect()
    }

    /// The bytes of a file, or `None` if there is none.
    #[must_use]
    pub fn read(&self, path: impl AsRef<Path>) -> Option<Vec<u8>> {
        let mut machine = self.machine();
        machine.absorb();
        let node = machine.resolve(path.as_ref()).ok()?;
        machine.file(node).ok().map(|file| file.content().to_vec())
    }

    /// Puts a durable file there, in place of one of that name. Open handles keep the old one. Missing directories are made.
    ///
    /// # Panics
    /// If the path contains `..` or leads through a file.
    pub fn put(&self, path: impl AsRef<Path>, bytes: &[u8]) {
        let planted = self.machine().plant_path(path.as_ref(), bytes);
        assert!(planted.is_ok(), "cannot put a file at {}: {planted:?}", path.as_ref().display());
    }

    /// Puts a durable second name of a file (a hard link) there, in place of a file of that name. Missing directories are made.
    ///
    /// # Panics
    /// If there is no such file, or a path contains `..` or leads through a file.
    pub fn put_link(&self, from: impl AsRef<Path>, to: impl AsRef<Path>) {
        let linked = self.machine().plant_link(from.as_ref(), to.as_ref());
        assert!(linked.is_ok(), "cannot link {} as {}: {linked:?}", from.as_ref().display(), to.as_ref().display());
    }

    /// Durably removes a file, or a directory with all that is in it. Returns whether it was there.
    pub fn delete(&self, path: impl AsRef<Path>) -> bool {
        self.machine().uproot(path.as_ref()).is_ok()
    }

    /// Flips a bit (0 the lowest) of a byte of a file, on the medium, too. Returns whether the file has such a byte.
    pub fn flip_bit(&self, path: impl AsRef<Path>, byte: u64, bit: u8) -> bool {
        let mut machine = self.machine();
        machine.absorb();
        let Ok(node) = machine.resolve(path.as_ref()) else { return false };
        let (Ok(file), Ok(byte)) = (machine.file(node), usize::try_from(byte)) else {
            return false;
        };
        file.flip_bit(byte, bit)
    }
}

impl fmt::Debug for SimulatedDisk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(machine) = self.machine.try_lock() else {
            return f.write_str("SimulatedDisk (in a call)");
        };
        let files = machine.paths().into_iter().filter_map(|(path, node)| match machine.nodes.get(&node) {
            Some(Node::File(file)) => Some((path, file)),
            _ => None,
        });
        write!(f, "SimulatedDisk after {} calls ", machine.faults.calls)?;
        f.debug_map().entries(files).finish()
    }
}

impl Disk for SimulatedDisk {
    fn with_file_mode(self: Arc<SimulatedDisk>, _mode: FileMode) -> Arc<dyn Disk> {
        self
    }

    fn open(&self, path: &Path, how: Open) -> io::Result<Arc<dyn DiskFile>> {
        let mut machine = self.machine();
        let node = machine.open(path, how)?;
        self.opened(machine, node, path, how != Open::Read)
    }

    /// Whatever a path begins with, it begins at the root.
    fn absolute(&self, path: &Path) -> io::Result<PathBuf> {
        Ok(Path::new("/").join(path))
    }

    /// There are no symbolic links.
    fn resolve(&self, path: &Path) -> io::Result<PathBuf> {
        self.machine().resolve(path)?;
        self.absolute(path)
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        self.machine().create_dir(path)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.machine().remove_file(path)
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        self.machine().remove_dir(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.machine().rename(from, to)
    }

    fn hard_link(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.machine().hard_link(from, to)
    }

    fn copy_file(&self, from: &Path, to: &Path) -> io::Result<Arc<dyn DiskFile>> {
        let mut machine = self.machine();
        let copy = machine.copy_file(from, to)?;
        self.opened(machine, copy, to, true)
    }

    fn usage(&self, path: &Path) -> io::Result<FileUsage> {
        self.machine().usage(path)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<DirEntry>> {
        self.machine().list(dir)
    }

    fn sync_dir(&self, dir: &Path) -> Result<(), SyncError> {
        self.machine().sync_dir(dir)
    }

    fn lock(&self, path: &Path, content: &[u8]) -> io::Result<Box<dyn FileLock>> {
        let node = self.machine().lock(path, content)?;
        Ok(Box::new(SimulatedLock { machine: Arc::clone(&self.machine), node, path: path.to_owned() }))
    }

    fn lock_as_it_is(&self, path: &Path) -> io::Result<Box<dyn FileLock>> {
        let node = self.machine().lock_as_it_is(path)?;
        Ok(Box::new(SimulatedLock { machine: Arc::clone(&self.machine), node, path: path.to_owned() }))
    }

    fn now_ms(&self) -> i64 {
        self.machine().now_ms
    }

    fn monotonic(&self) -> Duration {
        self.machine().elapsed
    }

    /// Nobody else moves the clock meanwhile.
    fn sleep(&self, time: Duration) {
        self.advance(time);
    }

    fn boot_id(&self) -> Option<u128> {
        Some(self.machine().boot_id)
    }

    fn random(&self) -> u128 {
        self.machine().random.next_u128()
    }
}

struct SimulatedFile {
    machine: Arc<Monitor<Machine>>,
    node: NodeId,
    /// How it was opened.
    path: PathBuf,
    is_writable: bool,
    is_shared: bool,
    size_when_opened: u64,
}

impl SimulatedFile {
    fn check_writable(&self) -> io::Result<()> {
        if self.is_writable { Ok(()) } else { Err(ErrorKind::PermissionDenied.into()) }
    }
}

impl DiskFile for SimulatedFile {
    fn size(&self) -> io::Result<u64> {
        let mut machine = self.machine.lock();
        Ok(machine.read(self.node, Operation::Size, &self.path)?.content().len() as u64)
    }

    fn allocated_bytes(&self) -> io::Result<u64> {
        let mut machine = self.machine.lock();
        Ok(machine.read(self.node, Operation::Size, &self.path)?.allocated_bytes())
    }

    fn size_when_opened(&self) -> u64 {
        self.size_when_opened
    }

    fn is_shared(&self) -> bool {
        self.is_shared
    }

    fn read_at(&self, buffer: &mut [u8], position: u64) -> io::Result<usize> {
        let mut machine = self.machine.lock();
        let content = machine.read(self.node, Operation::Read, &self.path)?.content();
        Ok(content.read(buffer, usize::try_from(position).unwrap_or(usize::MAX)))
    }

    fn write_at(&self, bytes: &[u8], position: u64) -> io::Result<()> {
        self.check_writable()?;
        self.machine.lock().write(self.node, &self.path, bytes, position)
    }

    fn set_size(&self, size: u64) -> io::Result<()> {
        self.check_writable()?;
        self.machine.lock().set_size(self.node, &self.path, size)
    }

    fn sync(&self) -> io::Result<()> {
        let mut machine = self.machine.lock();
        while machine.faults.holds_syncs_of(&self.path) {
            machine.faults.hanging_syncs += 1;
            machine = machine.wait();
            machine.faults.hanging_syncs -= 1;
        }
        machine.sync(self.node, &self.path)
    }

    fn map(&self, bytes: usize) -> io::Result<Mapping> {
        let mut machine = self.machine.lock();
        let content = machine.read(self.node, Operation::Map, &self.path)?.content();
        let mut copy = vec![0; bytes.min(content.len())];
        content.read(&mut copy, 0);
        Ok(Mapping::copied(copy.into()))
    }

    fn overwrites_in_place(&self) -> bool {
        !self.machine.lock().is_copy_on_write
    }

    fn map_shared(&self, position: u64, bytes: usize) -> io::Result<SharedMapping> {
        self.check_writable()?;
        self.machine.lock().map_shared(self.node, &self.path, position, bytes)
    }

    fn map_followed(&self, position: u64, bytes: usize) -> io::Result<FollowedMapping> {
        self.machine.lock().map_followed(self.node, &self.path, position, bytes)
    }

    fn is_at(&self, path: &Path) -> io::Result<bool> {
        self.machine.lock().is_at(self.node, path)
    }
}

impl Drop for SimulatedFile {
    fn drop(&mut self) {
        self.machine.lock().close(self.node);
    }
}

impl fmt::Debug for SimulatedFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SimulatedFile({})", self.path.display())
    }
}

struct SimulatedLock {
    machine: Arc<Monitor<Machine>>,
    node: NodeId,
    path: PathBuf,
}

impl FileLock for SimulatedLock {
    fn write(&self, content: &[u8]) -> io::Result<()> {
        self.machine.lock().write(self.node, &self.path, content, 0)
    }
}

impl Drop for SimulatedLock {
    fn drop(&mut self) {
        self.machine.lock().unlock(self.node);
    }
}

impl fmt::Debug for SimulatedLock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SimulatedLock")
    }
}

#[cfg(test)]
mod tests;
