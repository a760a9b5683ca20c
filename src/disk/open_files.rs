//! [`OpenFiles`]: how many files and maps are open at a time, over all partitions of a broker.
//!
//! Files and maps are limits of the machine, partitions are not. Each [`AppendFile`](super::append_file::AppendFile) has a
//! slot for its handle and one for its map; a full house closes what was not used lately (second chance: what was used since
//! the last look is passed over once) and it is opened again on demand.
//!
//! Locks: the queue's lock is never held while a slot is closed or a file opened, and no slot's lock while the queue's is
//! taken, so that no order between them is needed.

mod queue;

use std::fmt::{self, Debug};
use std::io;
use std::path::Path;
use std::sync::{Arc, OnceLock, Weak};

use queue::{Closing, Queue, Slot};

use super::{Disk, DiskFile, Mapping, Open, ProcessMark, SyncError};
use crate::error::Error;
use crate::error::os::is_out_of_handles;
use crate::events::Events;
use crate::sync::atomic::{AtomicBool, Ordering};
use crate::sync::{ArcSwapOption, Mutex};

/// How much may be open at a time, and how files are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct OpenFilesConfig {
    /// File handles, at least 1. Calls that are under way may hold a few more.
    pub(crate) handles_max: usize,
    /// Maps, at least 1. Records that the application holds on to keep theirs beyond this.
    pub(crate) maps_max: usize,
    /// Whether readers see maps or copies.
    pub(crate) read_mode: ReadMode,
}

impl Default for OpenFilesConfig {
    fn default() -> OpenFilesConfig {
        // A process has 256 to 1,024 handles where nobody raised the limit, and 65,530 maps; most of them are not ours.
        OpenFilesConfig { handles_max: 128, maps_max: 4096, read_mode: ReadMode::Map }
    }
}

/// How published bytes reach a reader.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum ReadMode {
    /// As slices of a map, without copying. A medium that fails kills the process with a signal.
    #[default]
    Map,
    /// As copies made by a system call. A medium that fails gives an error.
    Copy,
}

/// The open files of a broker, and the disk they are on.
pub(crate) struct OpenFiles {
    disk: Arc<dyn Disk>,
    config: OpenFilesConfig,
    handles: Queue,
    maps: Queue,
    closed: AtomicBool,
    process: ProcessMark,
    /// What there is to tell of the broker: whoever knows it knows its files.
    events: Events,
}

impl OpenFiles {
    /// Of who makes a copy, or reads one: nothing is mapped.
    pub(crate) fn for_copies(disk: &Arc<dyn Disk>) -> Arc<OpenFiles> {
        let config = OpenFilesConfig { read_mode: ReadMode::Copy, ..OpenFilesConfig::default() };
        OpenFiles::new(Arc::clone(disk), config)
    }

    /// Keeps files of `disk` open within the limits of `config`.
    pub(crate) fn new(disk: Arc<dyn Disk>, config: OpenFilesConfig) -> Arc<OpenFiles> {
        let (handles, maps) = (Queue::new(config.handles_max), Queue::new(config.maps_max));
        let (closed, process) = (AtomicBool::new(false), ProcessMark::new());
        let clock = Arc::clone(&disk);
        let events = Events::new(move || clock.monotonic());
        Arc::new(OpenFiles { disk, config, handles, maps, closed, process, events })
    }

    /// Closes all files and maps, and opens none any more: they may soon be another's. What calls and views still use stays
    /// until they are over.
    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
        self.handles.close_all();
        self.maps.close_all();
    }

    /// Whether all was [closed](OpenFiles::close).
    pub(crate) fn are_closed(&self) -> bool {
        self.closed.load(Ordering::SeqCst)
    }

    /// The disk that the files are on.
    pub(crate) fn disk(&self) -> &Arc<dyn Disk> {
        &self.disk
    }

    /// Where to put what subscribers of feature `tracing` are to be told.
    #[inline]
    pub(crate) fn events(&self) -> &Events {
        &self.events
    }

    /// Tells it to them; for who holds no lock, and is ready for the application's code to do anything here.
    #[inline]
    pub(crate) fn emit_events(&self) {
        if self.events.are_waiting() && !self.is_forked() {
            self.events.emit();
        }
    }

    /// Whether this process was forked off from the one that opened the broker. It shares the files and the maps of the tails
    /// with its parent and must change nothing there; and it must take no lock, since a thread that held one when the process
    /// forked is not here to let go of it.
    #[inline]
    pub(crate) fn is_forked(&self) -> bool {
        self.process.is_forked()
    }

    /// Fails in a process that was forked off.
    ///
    /// # Errors
    /// [`Error::Forked`].
    #[inline]
    pub(crate) fn check_not_forked(&self) -> Result<(), Error> {
        if self.is_forked() { Err(Error::Forked) } else { Ok(()) }
    }

    /// How published bytes reach a reader.
    pub(crate) fn read_mode(&self) -> ReadMode {
        self.config.read_mode
    }

    /// Opens a file that is not kept in a slot. Where the machine has no handle left, some of ours are closed first.
    ///
    /// # Errors
    /// The disk's, see [`Disk::open`]; or if all was [closed](OpenFiles::close).
    pub(crate) fn open(&self, path: &Path, how: Open) -> io::Result<Arc<dyn DiskFile>> {
        if self.are_closed() {
            return Err(io::Error::other("the broker is closed"));
        }
        match self.disk.open(path, how) {
            Err(error) if is_out_of_handles(&error) => {
                self.handles.close_some();
                self.disk.open(path, how)
            }
            result => result,
        }
    }

    /// Makes creations, renames and removals in a directory survive a power cut. Where the machine has no handle left for that,
    /// some of ours are closed first.
    ///
    /// # Errors
    /// The disk's, see [`Disk::sync_dir`].
    pub(crate) fn sync_dir(&self, dir: &Path) -> Result<(), SyncError> {
        match self.events.time_sync(|| dir.to_owned(), || self.disk.sync_dir(dir)) {
            Err(SyncError::NotBegun(error)) if is_out_of_handles(&error) => {
                self.handles.close_some();
                self.disk.sync_dir(dir)
            }
            result => result,
        }
    }

    /// Maps a file. Where the machine has no map left, some of ours are given back first.
    pub(in crate::disk) fn map(&self, file: &dyn DiskFile, bytes: usize) -> io::Result<Mapping> {
        match file.map(bytes) {
            Err(error) if error.kind() == io::ErrorKind::OutOfMemory => {
                self.maps.close_some();
                file.map(bytes)
            }
            result => result,
        }
    }

    /// Counts a handle slot that was just filled, closing another if there are too many.
    pub(in crate::disk) fn admit_handle(&self, slot: &Arc<HandleSlot>) {
        self.handles.admit(Arc::downgrade(slot) as Weak<dyn Slot>);
    }

    /// Counts a map slot that was just filled, emptying another if there are too many.
    pub(in crate::disk) fn admit_map(&self, slot: &Arc<MapSlot>) {
        self.maps.admit(Arc::downgrade(slot) as Weak<dyn Slot>);
    }

    /// To be called when a file is dropped or closed for good, whose slots then take no room any more.
    pub(in crate::disk) fn note_drop(&self) {
        self.handles.note_drop();
        self.maps.note_drop();
    }

    /// To be called when a file was synced, whose handle may be closed again before those of others.
    pub(in crate::disk) fn note_sync(&self) {
        self.handles.note_sync();
    }

    /// How many files, and how many maps, are open.
    pub(crate) fn open_counts(&self) -> (usize, usize) {
        (self.handles.live_count(), self.maps.live_count())
    }
}

impl Debug for OpenFiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenFiles").field("disk", &self.disk).field("config", &self.config).finish_non_exhaustive()
    }
}

/// Holds a file's handle while it is open, and knows whether it may be closed.
///
/// One with un-synced writes is closed last, and without a sync, as appenders wait for this: the system keeps an error of
/// writing them back with the file (Linux since 4.16: `errseq_t`) and tells it to the first sync through a later handle.
#[derive(Debug, Default)]
pub(in crate::disk) struct HandleSlot {
    handle: Mutex<Option<Arc<dyn DiskFile>>>,
    used: AtomicBool,
    dirty: AtomicBool,
    gone: AtomicBool,
    /// Set by the first sync that failed; from then on nothing is written or synced.
    failure: OnceLock<Failure>,
}

#[derive(Debug)]
struct Failure {
    os_code: Option<i32>,
    kind: io::ErrorKind,
}

impl HandleSlot {
    /// The handle, if it is open.
    pub(in crate::disk) fn get(&self) -> Option<Arc<dyn DiskFile>> {
        self.used.store(true, Ordering::Relaxed);
        self.handle.lock().clone()
    }

    /// Keeps a handle that was just opened. It is to be admitted next.
    pub(in crate::disk) fn put(&self, handle: Arc<dyn DiskFile>) {
        *self.handle.lock() = Some(handle);
    }

    /// Lets go of the handle for good, also where calls still use it.
    pub(in crate::disk) fn clear(&self) {
        self.gone.store(true, Ordering::Release);
        *self.handle.lock() = None;
    }

    /// Notes that something was written. To be called *after* writing, with the handle still held: then either the slot is
    /// seen to be in use, or the mark is seen.
    pub(in crate::disk) fn mark_dirty(&self) {
        self.dirty.store(true, Ordering::Release);
    }

    /// Whether something was written since the last sync began.
    pub(in crate::disk) fn is_dirty(&self) -> bool {
        self.dirty.load(Ordering::Acquire)
    }

    /// Forgets that something was written, because the file is being removed.
    pub(in crate::disk) fn forget_dirty(&self) {
        self.dirty.store(false, Ordering::Release);
    }

    /// Syncs through `handle`.
    ///
    /// # Errors
    /// The disk's, now and for ever after: a second sync would succeed without having written what the first one lost.
    pub(in crate::disk) fn sync(&self, handle: &dyn DiskFile) -> io::Result<()> {
        self.check()?;
        // Taken away first: a write that comes while the sync runs puts the mark back.
        self.dirty.store(false, Ordering::Release);
        handle.sync().inspect_err(|error| {
            _ = self.failure.set(Failure { os_code: error.raw_os_error(), kind: error.kind() });
        })
    }

    /// Syncs through `handle` if something was written.
    ///
    /// # Errors
    /// As [`sync`](HandleSlot::sync).
    pub(in crate::disk) fn sync_if_dirty(&self, handle: &dyn DiskFile) -> io::Result<()> {
        if self.is_dirty() { self.sync(handle) } else { Ok(()) }
    }

    /// Fails as the first failed sync did, if there was one.
    pub(in crate::disk) fn check(&self) -> io::Result<()> {
        match self.failure.get() {
            None => Ok(()),
            Some(Failure { os_code: Some(code), .. }) => Err(io::Error::from_raw_os_error(*code)),
            Some(Failure { kind, .. }) => Err((*kind).into()),
        }
    }
}

impl Slot for HandleSlot {
    fn take_used(&self) -> bool {
        self.used.swap(false, Ordering::Relaxed)
    }

    fn is_dirty(&self) -> bool {
        HandleSlot::is_dirty(self)
    }

    fn is_gone(&self) -> bool {
        self.gone.load(Ordering::Acquire)
    }

    fn close(&self) -> Closing {
        let mut handle = self.handle.lock();
        match handle.as_ref().map(Arc::strong_count) {
            None => Closing::WasClosed,
            // Handles are only cloned under this lock.
            Some(1) => {
                *handle = None;
                Closing::Closed
            }
            Some(_) => Closing::InUse,
        }
    }

    fn close_for_good(&self) {
        self.clear();
    }
}

/// Holds a file's map while it is mapped.
#[derive(Debug, Default)]
pub(in crate::disk) struct MapSlot {
    map: ArcSwapOption<ReadableMap>,
    used: AtomicBool,
    gone: AtomicBool,
}

/// A map, and how far it can be trusted.
#[derive(Debug)]
pub(in crate::disk) struct ReadableMap {
    /// The memory.
    pub(in crate::disk) mapping: Arc<Mapping>,
    /// Published bytes below this show in the map; a copy ends where the file's published bytes ended.
    pub(in crate::disk) readable_bytes: u64,
}

impl MapSlot {
    /// The memory, if it shows the file up to byte `end` (excluded). Takes no lock.
    #[inline]
    pub(in crate::disk) fn get(&self, end: u64) -> Option<Arc<Mapping>> {
        let map = self.map.load();
        let map = map.as_ref().filter(|map| end <= map.readable_bytes)?;
        // Looked at before it is written, so that readers on many cores do not take the cache line from each other.
        if !self.used.load(Ordering::Relaxed) {
            self.used.store(true, Ordering::Relaxed);
        }
        Some(Arc::clone(&map.mapping))
    }

    /// Lets go of the map for good, also where views still show it.
    pub(in crate::disk) fn clear(&self) {
        self.gone.store(true, Ordering::Release);
        self.map.store(None);
    }

    /// Lets go of the map, which no longer shows the file; another may be put there.
    pub(in crate::disk) fn empty(&self) {
        self.map.store(None);
    }

    /// Puts a map in the place of the one before. Returns whether the slot was empty and is to be admitted.
    pub(in crate::disk) fn put(&self, map: ReadableMap) -> bool {
        self.map.swap(Some(Arc::new(map))).is_none()
    }
}

impl Slot for MapSlot {
    fn take_used(&self) -> bool {
        self.used.swap(false, Ordering::Relaxed)
    }

    fn is_dirty(&self) -> bool {
        false
    }

    fn is_gone(&self) -> bool {
        self.gone.load(Ordering::Acquire)
    }

    fn close(&self) -> Closing {
        if self.map.swap(None).is_some() { Closing::Closed } else { Closing::WasClosed }
    }

    fn close_for_good(&self) {
        self.clear();
    }
}

#[cfg(test)]
mod tests;
