//! The tail: what has been sent and is not yet sealed into a segment.
//!
//! One file, fully written when it is created or grown and from then on only overwritten through a map, so that a store into
//! it needs no system call, cannot meet a full disk, and outlives the process. It holds slots; a partition that is being
//! written to has one at a time, with its open batch. `layout` has the bytes, `slot` the writer and its readers, `salvage`
//! what a new process takes over from one that died.

mod layout;
mod salvage;
mod slot;

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

pub(crate) use layout::{Identity, SlotClass};
pub(crate) use salvage::{Salvaged, salvage};
pub(crate) use slot::{BatchWriter, OpenBatch};

use crate::disk::{Disk, DiskFile, Open};
use crate::error::{Error, Result};
use layout::{
    CHUNK_BYTES, CHUNK_ENTRY_BYTES, CHUNK_TABLE, CHUNKS_MAX, FILE_HEADER_BYTES, chunk_position, decode_chunk_entry,
    encode_chunk_entry, encode_file_header,
};
use slot::FreeSlot;

/// The names of the two tail files in a data directory: of `Always` topics, whose syncs are to write nobody else's bytes, and
/// of all others.
pub(crate) const TAIL_NAMES: [&str; 2] = ["tail-always", "tail"];

/// A tail file and its free slots.
#[derive(Debug)]
pub(crate) struct Tail {
    path: PathBuf,
    file: Arc<dyn DiskFile>,
    /// Held during a sync of the file; says whether one failed. The system tells of a failure once, and the next sync
    /// succeeds without what the failed one lost: whoever heard of it tells all others.
    sync_failed: Mutex<bool>,
    pool: Arc<Pool>,
    generation: AtomicU64,
    chunks_max: usize,
}

/// The slots that nobody uses. Apart from [`Tail`], so that an open batch can give its slot back without keeping the file open.
#[derive(Debug, Default)]
pub(crate) struct Pool {
    state: Mutex<PoolState>,
}

#[derive(Debug, Default)]
struct PoolState {
    free: [Vec<FreeSlot>; 3],
    /// Chunks of the file that are not mapped yet, by class.
    unmapped: [Vec<usize>; 3],
    chunks: usize,
    /// One thread is mapping or growing; the others do without a slot rather than wait for the disk.
    busy: bool,
}

impl Pool {
    fn give_back(&self, slot: FreeSlot) {
        let class = slot.class;
        if let Some(free) = self.state.lock().free.get_mut(class as usize) {
            free.push(slot);
        }
    }
}

/// What a thread that found no free slot may do about it.
enum Supply {
    Map(usize),
    Grow(usize),
}

impl Tail {
    /// Opens the file, creating it if it is absent, and forgets whatever batches it holds: take them out with [`salvage`]
    /// first, seal and sync them, because once the caller has synced the directory they are gone for good. A clean file
    /// (`cleared`) is kept.
    ///
    /// `bytes_max` bounds the file.
    pub(crate) fn open(disk: &dyn Disk, path: &Path, bytes_max: u64, cleared: bool, seed: u64) -> Result<Tail> {
        let kept = if cleared { open_cleared(disk, path)? } else { None };
        let (file, state) = match kept {
            Some(kept) => kept,
            None => (create(disk, path)?, PoolState::default()),
        };
        let chunks_max = usize::try_from(bytes_max).unwrap_or(usize::MAX) / CHUNK_BYTES;
        Ok(Tail {
            path: path.to_owned(),
            file,
            sync_failed: Mutex::new(false),
            pool: Arc::new(Pool { state: Mutex::new(state) }),
            generation: AtomicU64::new(seed),
            chunks_max: chunks_max.clamp(1, CHUNKS_MAX),
        })
    }

    /// Begins a batch in a slot of `class`. `None` if there is none: the file is at its bound or could not grow just now.
    /// Appending does not depend on a slot, it is only slower without.
    pub(crate) fn take(&self, class: SlotClass, identity: Identity) -> Option<BatchWriter> {
        let slot = self.pool.state.lock().free.get_mut(class as usize)?.pop();
        let slot = slot.or_else(|| self.supply(class))?;
        let generation = self.generation.fetch_add(1, Ordering::Relaxed);
        Some(slot.open(identity, generation, Arc::downgrade(&self.pool)))
    }

    /// Makes everything stored so far survive a power cut, where a commit entry covers it.
    ///
    /// # Errors
    /// The disk's, now and for ever after: also if the sync that failed was one of growing the file.
    pub(crate) fn sync(&self) -> Result<()> {
        self.sync_file().map_err(|e| Error::io("sync", &self.path, e))
    }

    fn sync_file(&self) -> std::io::Result<()> {
        let mut failed = self.sync_failed.lock();
        if *failed {
            return Err(std::io::Error::other("an earlier sync of the tail failed"));
        }
        self.file.sync().inspect_err(|_| *failed = true)
    }

    /// Maps or creates another chunk of `class`. No lock is held meanwhile, as this may sync.
    fn supply(&self, class: SlotClass) -> Option<FreeSlot> {
        let supply = {
            let mut state = self.pool.state.lock();
            if state.busy {
                return None;
            }
            let supply = match state.unmapped.get_mut(class as usize)?.pop() {
                Some(chunk) => Supply::Map(chunk),
                None if state.chunks < self.chunks_max => Supply::Grow(state.chunks),
                None => return None,
            };
            state.busy = true;
            supply
        };
        let chunk = match supply {
            Supply::Map(chunk) | Supply::Grow(chunk) => chunk,
        };
        let grown = match supply {
            Supply::Map(_) => Ok(()),
            Supply::Grow(chunk) => self.grow(chunk, class),
        };
        let mapped = grown.and_then(|()| self.file.map_shared(chunk_position(chunk), CHUNK_BYTES));
        let mut state = self.pool.state.lock();
        state.busy = false;
        if let Supply::Grow(_) = supply {
            // A failed sync leaves a chunk of unknown content: never used, and grown over at the next try.
            state.chunks += usize::from(mapped.is_ok());
        } else if mapped.is_err() {
            state.unmapped.get_mut(class as usize)?.push(chunk);
        }
        let free = state.free.get_mut(class as usize)?;
        free.extend(slot::carve(mapped.ok()?, class));
        free.pop()
    }

    /// Writes every byte of a new chunk, so that later stores need neither space nor a journal commit.
    fn grow(&self, chunk: usize, class: SlotClass) -> std::io::Result<()> {
        self.file.write_at(&vec![0; CHUNK_BYTES], chunk_position(chunk))?;
        // The bytes before the entry that vouches for them.
        self.sync_file()?;
        let entry = encode_chunk_entry(chunk, class);
        self.file.write_at(&entry, (CHUNK_TABLE + chunk * CHUNK_ENTRY_BYTES) as u64)?;
        self.sync_file()
    }
}

/// A file whose batches are all in segments, and its chunks; `None` if it is not there or not whole.
fn open_cleared(disk: &dyn Disk, path: &Path) -> Result<Option<(Arc<dyn DiskFile>, PoolState)>> {
    let file = match disk.open(path, Open::Write) {
        Ok(file) => file,
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(Error::io("open", path, e)),
    };
    let size = file.size().map_err(|e| Error::io("size", path, e))?;
    let mut header = vec![0; FILE_HEADER_BYTES];
    if file.read_at(&mut header, 0).map_err(|e| Error::io("read", path, e))? < FILE_HEADER_BYTES {
        return Ok(None);
    }
    let mut state = PoolState::default();
    let (_, table) = header.split_at(CHUNK_TABLE);
    for (chunk, entry) in table.chunks_exact(CHUNK_ENTRY_BYTES).enumerate() {
        let Some(class) = decode_chunk_entry(chunk, entry) else { break };
        if chunk_position(chunk + 1) > size {
            break;
        }
        if let Some(unmapped) = state.unmapped.get_mut(class as usize) {
            unmapped.push(chunk);
        }
        state.chunks = chunk + 1;
    }
    Ok(Some((file, state)))
}

/// Puts an empty tail, synced, in the place of what is there. A new file and not the old one cut: whoever in this process
/// still looks at a map of that would be killed by a signal. The caller syncs the directory.
fn create(disk: &dyn Disk, path: &Path) -> Result<Arc<dyn DiskFile>> {
    let create = || -> std::io::Result<Arc<dyn DiskFile>> {
        match disk.remove_file(path) {
            Err(e) if e.kind() != ErrorKind::NotFound => return Err(e),
            _ => {}
        }
        let file = disk.open(path, Open::CreateNew)?;
        let mut header = vec![0; FILE_HEADER_BYTES];
        header.iter_mut().zip(encode_file_header()).for_each(|(to, from)| *to = from);
        file.write_at(&header, 0)?;
        file.sync()?;
        Ok(file)
    };
    create().map_err(|e| Error::io("create", path, e))
}

#[cfg(test)]
mod tests;
