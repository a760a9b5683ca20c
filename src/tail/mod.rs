//! The tail: what has been sent and is not yet sealed into a segment.
//!
//! One file, fully written when it is created or grown and from then on only overwritten through a map, so that a store into
//! it needs no system call, cannot meet a full disk, and outlives the process. On file systems that write elsewhere what is
//! overwritten, a full disk would end the process with a signal: there it is overwritten by system calls. It holds slots; a partition that is being
//! written to has one at a time, with its open batch. `layout` has the bytes, `slot` the writer and its readers, `salvage`
//! what a new process takes over from one that died.

mod following;
#[cfg(feature = "testing")]
pub(crate) mod fuzzing;
mod keeping;
mod layout;
mod lease;
mod opening;
mod pool;
mod salvage;
mod slot;

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub(crate) use following::{FollowedBatch, FollowedPartition, FollowedTails};
pub(crate) use keeping::KeptSlots;
pub(crate) use layout::{IDENTITY_BYTES, Identity, SlotClass};
pub(crate) use salvage::{Contents as TailContents, Salvaged, check_version, examine};
pub(crate) use slot::{BatchWriter, OpenBatch};

use crate::canary::{Canary, planted};
use crate::disk::{Disk, DiskFile, Open, ProcessMark};
use crate::error::{Error, Result};
use crate::events::{Event, Events};
use crate::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use crate::sync::{Monitor, Mutex};
use layout::{
    CHUNK_BYTES, CHUNK_ENTRY_BYTES, CHUNK_TABLE, CHUNKS_MAX, DELETIONS, FILE_HEADER_BYTES, IS_DEFAULT, IS_REPLACED,
    OPENINGS, chunk_position, encode_chunk_entry, header_word,
};
use lease::{Lease, Leases, closed_error};
use opening::{Opened, create, open_cleared};
use pool::{Pool, PoolState};
use slot::{Chunk, FreeSlot, Openings};

/// The names of the two tail files in a data directory: of `Always` topics, whose syncs are to write nobody else's bytes, and
/// of all others.
pub(crate) const TAIL_NAMES: [&str; 2] = ["tail-always", "tail"];

/// A tail file and its free slots.
#[derive(Debug)]
pub(crate) struct Tail {
    path: PathBuf,
    /// `None` once the tail is closed.
    file: Mutex<Option<Arc<dyn DiskFile>>>,
    /// What this file took the place of. It is kept open until there is time, since its blocks are freed with the last handle:
    /// 16 ms for 8 MiB where blocks are discarded.
    replaced: Mutex<Option<Arc<dyn DiskFile>>>,
    /// Held during a sync of the file, for which nobody is to wait who maps or grows it.
    syncing: Mutex<Syncing>,
    pool: Arc<Pool>,
    generation: AtomicU64,
    /// That of the first batch.
    first_generation: u64,
    /// `None` once the tail is closed.
    openings: Mutex<Option<Openings>>,
    /// The header's word of that name.
    deletions: Mutex<u64>,
    chunks_max: usize,
    /// Where in the file slots begin that nobody gets.
    kept: HashSet<u64>,
    /// Whether the file is not mapped.
    is_written_by_calls: bool,
    is_short: AtomicBool,
    /// More slots were not to be had when they were last wanted.
    is_exhausted: AtomicBool,
    events: Events,
}

/// How much of a tail is in use.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TailUse {
    pub(crate) slots: u64,
    pub(crate) slot_bytes: u64,
    pub(crate) file_bytes: u64,
}

/// What syncing the file takes.
#[derive(Debug)]
struct Syncing {
    /// `None` once the tail is closed.
    file: Option<Arc<dyn DiskFile>>,
    /// The system tells of a failure once, and the next sync succeeds without what the failed one lost: whoever heard of it
    /// tells all others.
    has_failed: bool,
}

/// What to do where the last free slot of a class was taken.
enum Supply {
    /// Nothing: another thread has seen to it.
    Done,
    Map(usize),
    Grow(usize),
}

impl Tail {
    /// Opens the file, creating it if it is absent, and forgets whatever batches it holds: take them out with [`examine`]
    /// first, seal and sync them, because once the caller has synced the directory they are gone for good. A clean file
    /// (`cleared`) is kept.
    ///
    /// `bytes_max` bounds the file.
    ///
    /// # Errors
    /// The disk's. A disk that is full for a new file is none if the old one can be emptied.
    pub(crate) fn open(disk: &dyn Disk, path: &Path, bytes_max: u64, cleared: bool, seed: u64) -> Result<Tail> {
        if (cleared || planted(Canary::KeepTail))
            && let Some(opened) = open_cleared(disk, path)?
        {
            return Tail::of(path, opened, bytes_max, seed);
        }
        let replaced = disk.open(path, Open::Read).ok().filter(|_| cfg!(unix));
        match create(disk, path) {
            Ok(file) => {
                let tail = Tail::of(path, Opened::new(file), bytes_max, seed)?;
                *tail.replaced.lock() = replaced;
                Ok(tail)
            }
            Err(full @ Error::DiskFull { .. }) => {
                let emptied = keeping::keep(disk, path, &KeptSlots::new(), seed)?;
                Tail::of(path, emptied.ok_or(full)?, bytes_max, seed)
            }
            Err(error) => Err(error),
        }
    }

    /// As [`open`](Tail::open), but the batches in `kept` stay as they are, durable, in slots that nobody else gets until the
    /// file is opened again: there is no room for them elsewhere.
    ///
    /// # Errors
    /// The disk's; [`Error::DiskFull`] also if the file has to be replaced, since its header is damaged or it has a second name, or if
    /// what is overwritten takes room.
    pub(crate) fn open_keeping(
        disk: &dyn Disk,
        path: &Path,
        bytes_max: u64,
        kept: &KeptSlots,
        seed: u64,
    ) -> Result<Tail> {
        match keeping::keep(disk, path, kept, seed)? {
            Some(opened) => Tail::of(path, opened, bytes_max, seed),
            None => Tail::open(disk, path, bytes_max, false, seed),
        }
    }

    fn of(path: &Path, opened: Opened, bytes_max: u64, seed: u64) -> Result<Tail> {
        let Opened { file, state, kept } = opened;
        let is_written_by_calls = !file.overwrites_in_place();
        let (openings, deletions) = open_counters(&file, is_written_by_calls).map_err(|e| Error::io("map", path, e))?;
        let chunks_max = usize::try_from(bytes_max).unwrap_or(usize::MAX) / CHUNK_BYTES;
        let state = PoolState { short: [true, false], ..state };
        let syncing = Mutex::new(Syncing { file: Some(Arc::clone(&file)), has_failed: false });
        let pool = Pool { state: Monitor::new(state), leases: Leases::default(), process: ProcessMark::new() };
        Ok(Tail {
            path: path.to_owned(),
            is_written_by_calls,
            file: Mutex::new(Some(file)),
            replaced: Mutex::default(),
            syncing,
            pool: Arc::new(pool),
            generation: AtomicU64::new(seed),
            first_generation: seed,
            openings: Mutex::new(Some(openings)),
            deletions: Mutex::new(deletions),
            chunks_max: chunks_max.clamp(1, CHUNKS_MAX),
            kept,
            is_short: AtomicBool::new(true),
            is_exhausted: AtomicBool::new(false),
            events: Events::default(),
        })
    }

    /// The same, which tells its troubles there.
    pub(crate) fn with_events(self, events: &Events) -> Tail {
        Tail { events: events.clone(), ..self }
    }

    /// Begins a batch in a slot of class `wanted`, or of another one from `least` on. `None` if none is free: appending does
    /// not depend on a slot, it is only slower without. Never touches the disk where the file is mapped.
    pub(crate) fn take(&self, wanted: SlotClass, least: SlotClass, identity: Identity) -> Option<BatchWriter> {
        let admission = Lease::new(Arc::clone(&self.pool))?;
        let slot = {
            let mut state = self.pool.state.lock();
            let slot = state.pop(wanted, least);
            self.is_short.store(state.short.contains(&true), Ordering::Relaxed);
            slot
        }?;
        let generation = self.generation.fetch_add(1, Ordering::Relaxed);
        let writer = slot.open(identity, generation, admission).ok()?;
        // Not before: whoever sees it looks for the identity.
        self.openings.lock().as_ref()?.rise().ok()?;
        Some(writer)
    }

    /// Whether the batch is in a slot of this tail.
    pub(crate) fn has(&self, batch: &OpenBatch) -> bool {
        batch.is_in(&self.pool)
    }

    /// Says, for processes that read along, that a batch is in a segment that was in no slot. They may map the file where it is
    /// written by calls here.
    pub(crate) fn note_bypassed(&self) {
        if let Some(_admission) = Lease::new(&*self.pool)
            && let Some(openings) = self.openings.lock().as_ref()
        {
            // Where it fails they see the batch with the next slot that is opened.
            _ = openings.rise();
        }
    }

    /// Says, for processes that read along, that records were deleted at the front of a log, segments compacted, or a topic's
    /// durability changed.
    pub(crate) fn note_deleted(&self) {
        let Some(file) = self.file.lock().clone() else { return };
        let mut deletions = self.deletions.lock();
        *deletions = deletions.wrapping_add(1);
        // Where it fails they see it once they look at the log for another reason.
        _ = file.write_at(&deletions.to_be_bytes(), DELETIONS as u64);
    }

    /// Says, for processes that read along, whether topics without a durability of their own are in this file.
    pub(crate) fn say_default(&self, is_default: bool) -> Result<()> {
        let Some(file) = self.file.lock().clone() else { return Ok(()) };
        let written = file.write_at(&u64::from(is_default).to_be_bytes(), IS_DEFAULT as u64);
        written.map_err(|e| Error::io("write", &self.path, e))
    }

    /// How much of it is in use.
    pub(crate) fn in_use(&self) -> TailUse {
        let state = self.pool.state.lock();
        let (slots, bytes) = state.in_use();
        let file_bytes = chunk_position(state.chunks);
        TailUse { slots: slots as u64, slot_bytes: bytes as u64, file_bytes }
    }

    /// Whether the file is written by system calls, since it is not known that a store through a map needs no room on the disk.
    pub(crate) fn is_written_by_calls(&self) -> bool {
        self.is_written_by_calls
    }

    /// What a write of a slot returned, in the words of this crate.
    #[cold]
    pub(crate) fn write_error(&self, source: std::io::Error) -> Error {
        Error::io("write", &self.path, source)
    }

    /// Maps or grows the file where the last free slot of a class was taken. For callers that hold no lock, as this may
    /// sync. After it failed, or at the file's bound, it does nothing until [`retry_supply`](Tail::retry_supply).
    #[inline]
    pub(crate) fn supply_if_short(&self) {
        if self.wants_supply() {
            self.supply_short_classes();
        }
    }

    /// Whether the last free slot of a class was taken, and nobody has tried yet to get more.
    #[inline]
    pub(crate) fn wants_supply(&self) -> bool {
        self.is_short.load(Ordering::Relaxed) && !self.is_exhausted.load(Ordering::Relaxed)
    }

    /// Whether there is a class of which the last free slot was taken.
    #[inline]
    pub(crate) fn is_short(&self) -> bool {
        self.is_short.load(Ordering::Relaxed)
    }

    /// Frees the file that this one took the place of, which may take long.
    pub(crate) fn release_replaced(&self) {
        let replaced = self.replaced.lock().take();
        drop(replaced);
    }

    /// Whether the last try to supply slots failed and another may not: at the file's bound there is nothing to try.
    pub(crate) fn wants_retry(&self) -> bool {
        let is_tried = self.is_short.load(Ordering::Relaxed) && self.is_exhausted.load(Ordering::Relaxed);
        is_tried && self.pool.state.lock().could_be_supplied(self.chunks_max)
    }

    /// Has the next [`supply_if_short`](Tail::supply_if_short) try again.
    pub(crate) fn retry_supply(&self) {
        self.is_exhausted.store(false, Ordering::Relaxed);
    }

    /// When this returns nobody is in a slot, nothing is mapped or grown any more, and the file is closed: another process may
    /// soon have it. The caller has dropped all [`BatchWriter`]s.
    pub(crate) fn close(&self) {
        let mut state = self.pool.state.lock();
        state.closed = true;
        while state.busy {
            state = state.wait();
        }
        drop(state);
        self.pool.leases.close();
        let unused = {
            let mut state = self.pool.state.lock();
            state.slots = [0; 2];
            std::mem::take(&mut state.free)
        };
        drop((unused, self.openings.lock().take(), self.file.lock().take(), self.syncing.lock().file.take()));
        self.release_replaced();
    }

    #[cold]
    fn supply_short_classes(&self) {
        for class in SlotClass::ALL {
            let is_short = self.pool.state.lock().short.get(class as usize).copied().unwrap_or(false);
            if is_short && !self.supply(class) {
                self.is_exhausted.store(true, Ordering::Relaxed);
            }
        }
    }

    /// Makes everything stored so far survive a power cut, where a commit entry covers it.
    ///
    /// # Errors
    /// The disk's, now and for ever after: also if the sync that failed was one of growing the file.
    pub(crate) fn sync(&self) -> Result<()> {
        self.sync_file().map_err(|e| Error::io("sync", &self.path, e))
    }

    /// Leaves the file as it is to be found by who opens it after a clean shutdown, and takes every sector for what was written last:
    /// a power cut after the shutdown must not take some of them back.
    ///
    /// # Errors
    /// As [`sync`](Tail::sync).
    pub(crate) fn sync_if_used(&self) -> Result<()> {
        if self.generation.load(Ordering::Relaxed) == self.first_generation { Ok(()) } else { self.sync() }
    }

    /// Whether a sync failed. Then the system may show bytes of the file that the medium lacks, those of its table of chunks among
    /// them.
    pub(crate) fn has_failed(&self) -> bool {
        self.syncing.lock().has_failed
    }

    fn sync_file(&self) -> std::io::Result<()> {
        let Syncing { file, has_failed } = &mut *self.syncing.lock();
        if *has_failed {
            return Err(std::io::Error::other("an earlier sync of the tail failed"));
        }
        let file = file.as_ref().ok_or_else(closed_error)?;
        self.events.time_sync(|| self.path.clone(), || file.sync()).inspect_err(|error| {
            *has_failed = true;
            self.events.add(|| Event::TailFailed { path: self.path.clone(), reason: error.to_string() });
        })
    }

    fn file(&self) -> std::io::Result<Arc<dyn DiskFile>> {
        self.file.lock().clone().ok_or_else(closed_error)
    }

    /// Maps or creates another chunk of `class`, or waits for a thread that is at it; whether there are free slots now.
    fn supply(&self, class: SlotClass) -> bool {
        let Some(supply) = self.begin_supply(class) else { return false };
        let (chunk, grown) = match supply {
            Supply::Done => return true,
            Supply::Map(chunk) => (chunk, Ok(())),
            Supply::Grow(chunk) => (chunk, self.grow(chunk, class)),
        };
        let mapped = grown.and_then(|()| self.map(chunk));
        let mut state = self.pool.state.lock();
        state.busy = false;
        self.pool.state.notify_all();
        if let Supply::Grow(_) = supply {
            // A chunk of unknown content is never used, and grown over at the next try.
            state.chunks += usize::from(mapped.is_ok());
        } else if mapped.is_err()
            && let Some(unmapped) = state.unmapped.get_mut(class as usize)
        {
            unmapped.push(chunk);
        }
        let Ok(mapped) = mapped else { return false };
        let PoolState { free, short, slots, .. } = &mut *state;
        if let (Some(free), Some(short), Some(slots)) =
            (free.get_mut(class as usize), short.get_mut(class as usize), slots.get_mut(class as usize))
        {
            let position = chunk_position(chunk);
            let is_kept = |slot: &FreeSlot| self.kept.contains(&(position + slot.start as u64));
            let before = free.len();
            free.extend(slot::carve(mapped, class).filter(|slot| !is_kept(slot)).map(|slot| (slot.place(), slot)));
            *slots += free.len() - before;
            *short = false;
        }
        self.is_short.store(short.contains(&true), Ordering::Relaxed);
        true
    }

    /// What to do about a missing slot; nothing at the file's bound. The state is not locked meanwhile.
    fn begin_supply(&self, class: SlotClass) -> Option<Supply> {
        let mut state = self.pool.state.lock();
        while state.busy {
            state = state.wait();
        }
        if state.closed {
            return None;
        }
        if !state.short.get(class as usize).copied().unwrap_or(false) {
            return Some(Supply::Done);
        }
        let supply = match state.unmapped.get_mut(class as usize)?.pop() {
            Some(chunk) => Supply::Map(chunk),
            None if state.chunks < self.chunks_max => Supply::Grow(state.chunks),
            None => return None,
        };
        state.busy = true;
        Some(supply)
    }

    fn map(&self, chunk: usize) -> std::io::Result<Chunk> {
        Chunk::of(&self.file()?, chunk_position(chunk), CHUNK_BYTES, self.is_written_by_calls)
    }

    /// Writes every byte of a new chunk, so that later stores need neither space nor a journal commit.
    fn grow(&self, chunk: usize, class: SlotClass) -> std::io::Result<()> {
        let file = self.file()?;
        file.write_zeros(CHUNK_BYTES, chunk_position(chunk))?;
        // The bytes before the entry that vouches for them.
        self.sync_file()?;
        let entry = encode_chunk_entry(chunk, class);
        file.write_at(&entry, (CHUNK_TABLE + chunk * CHUNK_ENTRY_BYTES) as u64)?;
        self.sync_file()
    }
}

/// Takes the header of the file, to count openings and deletions on.
fn open_counters(file: &Arc<dyn DiskFile>, is_written_by_calls: bool) -> std::io::Result<(Openings, u64)> {
    let mut header = [0; IS_REPLACED + 8];
    let read = file.read_at(&mut header, 0)?;
    let count = |at| header.get(..read).and_then(|header| header_word(header, at)).unwrap_or_default();
    if count(IS_REPLACED) != 0 {
        // Nothing came of it: there was no room for another one.
        file.write_at(&[0; 8], IS_REPLACED as u64)?;
    }
    let chunk = Chunk::of(file, 0, FILE_HEADER_BYTES, is_written_by_calls)?;
    Ok((Openings::new(chunk, count(OPENINGS)), count(DELETIONS)))
}

#[cfg(loom)]
pub(crate) mod models;
#[cfg(test)]
mod tests;
