//! [`AppendFile`]: a file that grows at its end, with one appender and any number of readers that take no lock.
//!
//! Bytes are written first and *published* afterwards, by raising one number. Published bytes never change and are never cut
//! while the file may be mapped; that is what lets readers look at them through a map (`mapping.rs`). A crash leaves any part
//! of what was not synced; finding the end of what is whole is up to the file's format.
//!
//! The handle and the map come and go with [`OpenFiles`]; the name is opened again when needed. Therefore renaming and
//! removing go through here, or are announced by [`AppendFile::forget_name`]: a name that stands for another file by then is
//! never opened.

use std::io::{self, ErrorKind};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::open_files::{HandleSlot, MapSlot, OpenFiles, ReadMode, ReadableMap};
use super::{DiskFile, Mapping, Open, SharedBytes, SyncError};
use crate::canary::{Canary, planted};
use crate::error::os::is_disk_full;
use crate::sync::Mutex;
use crate::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use reserving::UNWANTED;

mod own;
mod reserving;

const PAGE_BYTES: u64 = 4096;
const REWRITE_CHUNK_BYTES: usize = 64 * 1024;

/// A file that grows at its end.
#[derive(Debug)]
pub(crate) struct AppendFile {
    files: Arc<OpenFiles>,
    /// `Read` or `Write`: how it is opened again.
    access: Open,
    /// The file was copied because it had a second name, and it may be that a power cut brings the old one back.
    owes_name_sync: AtomicBool,
    /// `None` once it was removed. Held while the name is opened, renamed or removed.
    path: Mutex<Option<PathBuf>>,
    handle: Arc<HandleSlot>,
    map: Arc<MapSlot>,
    capacity_bytes: u64,
    published_bytes: AtomicU64,
    /// Held by whoever changes the file.
    above: Mutex<Above>,
    /// Up to where there is room on the disk, which was taken ahead, or why not. Changed by the holder of `above`.
    reserved_bytes: AtomicU64,
    /// Held by whoever maps; says whether the file was ever mapped. Locks are taken in this order: `above`, `was_mapped`, `path`.
    was_mapped: Mutex<bool>,
}

/// What the file has above the published length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Above {
    Nothing,
    /// Part of a write that found no room, and cutting it off found none either. It is cut before anything is written over it:
    /// what is shorter would leave some of it behind, and that might pass for what was appended.
    Remainder,
    /// It is not known. Nothing may be appended any more.
    Unknown,
}

/// How long a file is, and may become.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Extent {
    /// Bytes that may be read; what the file has above is not part of it until overwritten or cut.
    pub(crate) published_bytes: u64,
    /// Bytes that it is expected to grow to. The map is made for this many at once; no limit.
    pub(crate) capacity_bytes: u64,
}

/// What a failed append left behind. `E` is the error in the words of the layer that returns it.
#[derive(Debug)]
pub(crate) enum AppendError<E = io::Error> {
    /// Nothing, since nothing was written: the file could not be opened, say. Appending again may work.
    NotBegun(E),
    /// Nothing that counts: the write failed, and the file was cut back to what it was before, or is cut before the next append
    /// where the disk was too full for that. Appending again may work.
    Clean(E),
    /// Unknown: bytes above the published length, or an earlier sync that failed. Nothing more may be appended.
    Torn(E),
}

impl<E> AppendError<E> {
    /// The same in the words of another layer.
    pub(crate) fn map<F>(self, words: impl FnOnce(E) -> F) -> AppendError<F> {
        match self {
            AppendError::NotBegun(error) => AppendError::NotBegun(words(error)),
            AppendError::Clean(error) => AppendError::Clean(words(error)),
            AppendError::Torn(error) => AppendError::Torn(words(error)),
        }
    }

    /// What went wrong, for callers who give up on the file in any case.
    pub(crate) fn into_inner(self) -> E {
        match self {
            AppendError::NotBegun(error) | AppendError::Clean(error) | AppendError::Torn(error) => error,
        }
    }
}

impl AppendFile {
    /// Creates a file that must not be there, for up to about `capacity_bytes`. The caller syncs the directory.
    ///
    /// # Errors
    /// The disk's; `AlreadyExists` if the name is taken.
    pub(crate) fn create(files: &Arc<OpenFiles>, path: &Path, capacity_bytes: u64) -> io::Result<AppendFile> {
        let handle = files.open(path, Open::CreateNew)?;
        AppendFile::opened(files, path, Open::Write, Extent { published_bytes: 0, capacity_bytes }, handle)
    }

    /// The file that was just opened as `handle`, to append (`Open::Write`) or just to read (`Open::Read`).
    ///
    /// # Errors
    /// `UnexpectedEof` if the file is shorter than what is said to be published.
    pub(crate) fn opened(
        files: &Arc<OpenFiles>,
        path: &Path,
        access: Open,
        extent: Extent,
        handle: Arc<dyn DiskFile>,
    ) -> io::Result<AppendFile> {
        check_size(handle.size_when_opened(), extent.published_bytes)?;
        let file = AppendFile {
            files: Arc::clone(files),
            access,
            owes_name_sync: AtomicBool::new(false),
            path: Mutex::new(Some(path.to_owned())),
            handle: Arc::default(),
            map: Arc::default(),
            capacity_bytes: extent.capacity_bytes,
            published_bytes: AtomicU64::new(extent.published_bytes),
            above: Mutex::new(Above::Nothing),
            reserved_bytes: AtomicU64::new(UNWANTED),
            was_mapped: Mutex::new(false),
        };
        file.handle.put(handle);
        files.admit_handle(&file.handle);
        Ok(file)
    }

    /// Published bytes.
    #[inline]
    pub(crate) fn len(&self) -> u64 {
        self.published_bytes.load(Ordering::Acquire)
    }

    /// Whether a write was tried since the last sync began, and be it that it failed.
    pub(crate) fn was_written_since_sync(&self) -> bool {
        self.handle.is_dirty()
    }

    /// Writes `bytes` behind what is published, publishes them, and returns where they begin.
    ///
    /// # Errors
    /// [`AppendError::NotBegun`] if nothing was written, [`AppendError::Clean`] if the file could be cut back to what it was, or
    /// can be once there is room, else [`AppendError::Torn`], from then on for every append. Nothing is published either way.
    pub(crate) fn append(&self, bytes: &[u8]) -> Result<u64, AppendError> {
        let mut above = self.above.lock();
        let handle = self.whole_handle(&mut above)?;
        let position = self.published_bytes.load(Ordering::Relaxed);
        let end =
            position.checked_add(bytes.len() as u64).ok_or(AppendError::NotBegun(ErrorKind::FileTooLarge.into()))?;
        self.reserve(&*handle, end);
        let written = handle.write_at(bytes, position);
        self.handle.mark_dirty();
        match written {
            Ok(()) => {
                self.published_bytes.store(end, Ordering::Release);
                Ok(position)
            }
            Err(_) if planted(Canary::IgnoreWriteError) => {
                self.published_bytes.store(end, Ordering::Release);
                Ok(position)
            }
            Err(error) => {
                *above = match cut_back(&*handle, position) {
                    Ok(()) => Above::Nothing,
                    // Not all of it is there, or the write would not have failed so.
                    Err(uncut) if is_disk_full(&error) && is_disk_full(&uncut) => Above::Remainder,
                    Err(_) => Above::Unknown,
                };
                Err(if *above == Above::Unknown { AppendError::Torn(error) } else { AppendError::Clean(error) })
            }
        }
    }

    /// Cuts what a write has left above the published length that found no room, and gives back room that was taken ahead. To be called before the file is left as it is:
    /// whoever opens it next would take that for damage.
    ///
    /// # Errors
    /// As [`append`](AppendFile::append): [`AppendError::NotBegun`] if there still is no room.
    pub(crate) fn settle(&self) -> Result<(), AppendError> {
        let mut above = self.above.lock();
        self.give_back_room();
        if *above == Above::Nothing { Ok(()) } else { self.whole_handle(&mut above).map(drop) }
    }

    /// The handle, of a file that ends where the published bytes do: to append to.
    fn whole_handle(&self, above: &mut Above) -> Result<Arc<dyn DiskFile>, AppendError> {
        if *above == Above::Unknown {
            return Err(AppendError::Torn(io::Error::other("an earlier write left bytes that could not be cut")));
        }
        self.handle.check().map_err(AppendError::Torn)?;
        self.check_writable().map_err(AppendError::NotBegun)?;
        let handle = self.own_handle().map_err(AppendError::NotBegun)?;
        if *above == Above::Remainder {
            match cut_back(&*handle, self.len()) {
                Ok(()) => *above = Above::Nothing,
                Err(error) if is_disk_full(&error) => return Err(AppendError::NotBegun(error)),
                Err(error) => {
                    *above = Above::Unknown;
                    return Err(AppendError::Torn(error));
                }
            }
            self.handle.mark_dirty();
        }
        Ok(handle)
    }

    /// The bytes of `range`, as a view of the map or, with [`ReadMode::Copy`] or where mapping fails, as a copy.
    ///
    /// # Errors
    /// `InvalidInput` if the range is not published; the disk's when copying; `NotFound` if the file was removed and is not
    /// open any more.
    pub(crate) fn view(&self, range: Range<u64>) -> io::Result<SharedBytes> {
        if range.start > range.end || range.end > self.len() {
            return Err(io::Error::new(ErrorKind::InvalidInput, "the range is not published"));
        }
        if range.is_empty() {
            return Ok(SharedBytes::default());
        }
        if self.files.read_mode() == ReadMode::Copy {
            return self.copy(range);
        }
        let mapping = match self.map.get(range.end) {
            Some(mapping) => Some(mapping),
            None => self.remap(range.end)?,
        };
        let mapped = mapping.zip(to_usize(&range)).and_then(|(mapping, range)| SharedBytes::mapped(&mapping, range));
        mapped.map_or_else(|| self.copy(range), Ok)
    }

    /// Maps the file anew, at least up to `end`. `None` if the machine cannot.
    fn remap(&self, end: u64) -> io::Result<Option<Arc<Mapping>>> {
        let mut was_mapped = self.was_mapped.lock();
        if let Some(mapping) = self.map.get(end) {
            return Ok(Some(mapping));
        }
        // Read before mapping: a copy may hold bytes above this that will yet be written differently.
        let published_bytes = self.len();
        if end > published_bytes {
            return Err(io::Error::new(ErrorKind::InvalidInput, "the range was cut"));
        }
        let handle = self.handle()?;
        check_size(handle.size()?, published_bytes)?;
        let grown = if published_bytes > self.capacity_bytes { published_bytes.next_power_of_two() } else { 0 };
        let bytes = self.capacity_bytes.max(grown).max(1).next_multiple_of(PAGE_BYTES);
        let Ok(bytes) = usize::try_from(bytes) else { return Ok(None) };
        *was_mapped = true;
        let Ok(mapping) = self.files.map(&*handle, bytes) else { return Ok(None) };
        let mapped_bytes = mapping.len() as u64;
        let readable_bytes = if mapping.follows_file() { mapped_bytes } else { mapped_bytes.min(published_bytes) };
        let mapping = Arc::new(mapping);
        let was_empty = self.map.put(ReadableMap { mapping: Arc::clone(&mapping), readable_bytes });
        drop(was_mapped);
        if was_empty {
            self.files.admit_map(&self.map);
        }
        // A map may be shorter than asked for, where it cannot reach beyond the end of the file.
        Ok((end <= readable_bytes).then_some(mapping))
    }

    fn copy(&self, range: Range<u64>) -> io::Result<SharedBytes> {
        let length = usize::try_from(range.end - range.start).map_err(|_| ErrorKind::OutOfMemory)?;
        let mut bytes = Vec::new();
        bytes.try_reserve_exact(length).map_err(|_| ErrorKind::OutOfMemory)?;
        bytes.resize(length, 0);
        match self.handle()?.read_at(&mut bytes, range.start)? {
            count if count == length => Ok(SharedBytes::from(bytes)),
            _ => Err(ErrorKind::UnexpectedEof.into()),
        }
    }

    /// Fills `buffer` from `position` on by a system call; fewer bytes only at the end of what is published.
    ///
    /// # Errors
    /// The disk's; `NotFound` if the file was removed and is not open any more.
    pub(crate) fn read_at(&self, buffer: &mut [u8], position: u64) -> io::Result<usize> {
        let readable = self.len().saturating_sub(position);
        let wanted = buffer.len().min(usize::try_from(readable).unwrap_or(usize::MAX));
        match buffer.get_mut(..wanted) {
            Some(wanted) if !wanted.is_empty() => self.handle()?.read_at(wanted, position),
            _ => Ok(0),
        }
    }

    /// Makes everything that was published before this call survive a power cut.
    ///
    /// # Errors
    /// [`SyncError::NotBegun`] if the file could not be opened; [`SyncError::Failed`], from then on for every sync and append: a
    /// failed sync is never tried again.
    pub(crate) fn sync(&self) -> Result<(), SyncError> {
        self.handle.check().map_err(SyncError::Failed)?;
        let handle = self.handle().map_err(SyncError::NotBegun)?;
        let path = || self.path.lock().clone().unwrap_or_default();
        let result = self.files.events().time_sync(path, || self.handle.sync(&*handle)).map_err(SyncError::Failed);
        self.files.note_sync();
        result
    }

    /// Reads the bytes of `range` and writes the same again, for recovery: after a failed sync the system may show bytes that
    /// the medium lacks and that it believes to be clean. Who reads a map meanwhile sees no byte change, and who appends
    /// waits for one piece at most.
    ///
    /// # Errors
    /// [`SyncError::Failed`] if a write failed, and [`SyncError::NotBegun`] for all before it: `InvalidInput` if the range is not
    /// published, and the disk's.
    pub(crate) fn rewrite(&self, range: Range<u64>) -> Result<(), SyncError> {
        self.check_writable().map_err(SyncError::NotBegun)?;
        if range.end > self.len() {
            let reason = io::Error::new(ErrorKind::InvalidInput, "the range is not published");
            return Err(SyncError::NotBegun(reason));
        }
        let mut buffer = vec![0; REWRITE_CHUNK_BYTES];
        let mut position = range.start;
        while position < range.end {
            let wanted = usize::try_from(range.end - position).unwrap_or(usize::MAX).min(REWRITE_CHUNK_BYTES);
            let chunk = buffer.get_mut(..wanted).unwrap_or_default();
            let _changing = self.above.lock();
            let handle = self.own_handle().map_err(SyncError::NotBegun)?;
            if handle.read_at(chunk, position).map_err(SyncError::NotBegun)? != wanted {
                return Err(SyncError::NotBegun(ErrorKind::UnexpectedEof.into()));
            }
            let written = handle.write_at(chunk, position);
            self.handle.mark_dirty();
            written.map_err(SyncError::Failed)?;
            position += wanted as u64;
        }
        Ok(())
    }

    /// Cuts the file to `bytes`, at most what it has. Only before the file is mapped: a reader of a map that lost its
    /// file would be killed by a signal.
    ///
    /// # Errors
    /// `InvalidInput` if the file was mapped or is shorter; the disk's.
    pub(crate) fn truncate_to(&self, bytes: u64) -> io::Result<()> {
        let _changing = self.above.lock();
        self.check_writable()?;
        let handle = self.own_handle()?;
        let _mapping = self.lock_unmapped()?;
        if bytes > handle.size()? {
            return Err(io::Error::new(ErrorKind::InvalidInput, "the file is shorter than that"));
        }
        // Lowered first, so that no reader is promised bytes that are going away.
        self.published_bytes.fetch_min(bytes, Ordering::AcqRel);
        let result = handle.set_size(bytes);
        self.handle.mark_dirty();
        result?;
        self.published_bytes.store(bytes, Ordering::Release);
        Ok(())
    }

    /// Gives the file another name, replacing a file that has it. The caller syncs the directory.
    ///
    /// # Errors
    /// The disk's; `NotFound` if it was removed.
    pub(crate) fn rename_to(&self, to: &Path) -> io::Result<()> {
        let mut path = self.path.lock();
        let from = path.as_mut().ok_or(ErrorKind::NotFound)?;
        self.files.disk().rename(from, to)?;
        to.clone_into(from);
        Ok(())
    }

    /// Removes the file's name. Views stay valid; the space is free when the last one and `self` are gone. The caller syncs
    /// the directory.
    ///
    /// # Errors
    /// The disk's; `NotFound` if it was removed before.
    pub(crate) fn remove(&self) -> io::Result<()> {
        let mut path = self.path.lock();
        self.files.disk().remove_file(path.as_ref().ok_or(ErrorKind::NotFound)?)?;
        *path = None;
        self.handle.forget_dirty();
        self.files.note_sync();
        Ok(())
    }

    /// Opens the name never again, because it or its directory is about to be removed or renamed by other means: another
    /// file may have it afterwards. What is open or mapped by now stays readable; later reads may fail with `NotFound`.
    pub(crate) fn forget_name(&self) {
        *self.path.lock() = None;
        self.handle.forget_dirty();
    }

    /// [`forget_name`](AppendFile::forget_name), and closes what is open: as soon as no call and no view is in the file, nothing
    /// holds its room on the disk.
    pub(crate) fn close_for_good(&self) {
        self.forget_name();
        self.handle.clear();
        // Whoever is about to put a map there has done so, or finds no handle.
        let _nobody_maps = self.was_mapped.lock();
        self.map.clear();
        self.files.note_drop();
    }

    /// The file's name, for messages; `None` once it was removed.
    pub(crate) fn path(&self) -> Option<PathBuf> {
        self.path.lock().clone()
    }

    /// The handle, opened again if it was closed meanwhile.
    fn handle(&self) -> io::Result<Arc<dyn DiskFile>> {
        if let Some(handle) = self.handle.get() {
            return Ok(handle);
        }
        let path = self.path.lock();
        if let Some(handle) = self.handle.get() {
            return Ok(handle);
        }
        let handle = self.files.open(path.as_ref().ok_or(ErrorKind::NotFound)?, self.access)?;
        check_size(handle.size_when_opened(), self.len())?;
        self.handle.put(Arc::clone(&handle));
        drop(path);
        self.files.admit_handle(&self.handle);
        Ok(handle)
    }

    fn check_writable(&self) -> io::Result<()> {
        if self.access == Open::Read { Err(ErrorKind::PermissionDenied.into()) } else { Ok(()) }
    }

    fn lock_unmapped(&self) -> io::Result<crate::sync::MutexGuard<'_, bool>> {
        let was_mapped = self.was_mapped.lock();
        if *was_mapped {
            return Err(io::Error::new(ErrorKind::InvalidInput, "the file was mapped in this process"));
        }
        Ok(was_mapped)
    }
}

impl Drop for AppendFile {
    fn drop(&mut self) {
        self.files.note_drop();
    }
}

/// Refuses a file that lost bytes behind our back; mapping it would end in a signal.
fn check_size(size: u64, published_bytes: u64) -> io::Result<()> {
    if size < published_bytes {
        return Err(io::Error::new(ErrorKind::UnexpectedEof, "the file is shorter than what was written to it"));
    }
    Ok(())
}

/// Cuts what a failed write left behind. Only bytes that were never published go, so that maps stay good.
fn cut_back(handle: &dyn DiskFile, published_bytes: u64) -> io::Result<()> {
    handle.set_size(published_bytes)?;
    if handle.size()? == published_bytes { Ok(()) } else { Err(io::Error::other("the file was not cut")) }
}

fn to_usize(range: &Range<u64>) -> Option<Range<usize>> {
    Some(usize::try_from(range.start).ok()?..usize::try_from(range.end).ok()?)
}

#[cfg(test)]
mod tests;
