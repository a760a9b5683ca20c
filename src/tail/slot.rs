//! One slot of the tail in memory: a free one, the one writer of an open batch, and its many readers.
//!
//! This file and `disk/mapping.rs` hold all `unsafe` code of the crate, but for one call in `format/crc32c_words.rs`. Four rules make it
//! sound, and types keep them:
//!
//! 1. **Slots do not overlap.** [`carve`] takes a map by value and cuts it into disjoint slots; a [`FreeSlot`] is not `Clone`.
//! 2. **One writer.** Opening a slot consumes it and returns one [`BatchWriter`], which is not `Clone` and writes through
//!    `&mut self`.
//! 3. **Published bytes never change.** The writer writes behind `published_bytes` (and the batch header, which no reader
//!    sees), readers read before it. The slot is free again only when the writer and every reader have dropped their
//!    [`OpenBatch`].
//! 4. **Nobody is in a slot of a closed tail**, whose file may be mapped once more by then and its slots used for other batches.
//!    Whoever looks at the memory or stores into it holds a [`Lease`]: a [`BatchWriter`] as long as it lives, a reader in its
//!    [`LentRecords`], the group commit while it stores. [`Tail::close`](super::Tail::close) waits for all of them.
//!
//! The memory is a map of the file where stores into one need no room on the disk. Elsewhere it is memory of its own, of which
//! every store that is to outlive the process is also [written](OpenBatch::write) to the file, in the same order.
//!
//! How much is published is kept in ordinary memory too; what the map says is for recovery and is never believed here.
#![allow(unsafe_code, reason = "stores into the mapped tail; the rules above say why it is sound")]

use std::io;
use std::ops::Deref;
use std::slice;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64 as Word, fence};

use super::layout::{
    BATCH, COMMIT, DURABLE, IDENTITY_BYTES, Identity, OPENINGS, PUBLISHED, Published, RECORDS, SlotClass, encode_commit,
};
use super::lease::{Lease, closed_error};
use super::pool::Pool;
use crate::disk::append_file::AppendError;
use crate::disk::{DiskFile, SharedMapping};
use crate::format::HEADER_BYTES;
use crate::format::crc32c_append;
use crate::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

/// What the slots of a chunk lie in.
#[derive(Debug)]
pub(super) struct Chunk {
    memory: SharedMapping,
    /// The file, and where the chunk begins in it, if the memory is no map of that.
    written: Option<(Arc<dyn DiskFile>, u64)>,
}

impl Chunk {
    /// The `bytes` bytes of `file` from `position` on: mapped, or written by calls. What the file holds is not read then.
    pub(super) fn of(
        file: &Arc<dyn DiskFile>,
        position: u64,
        bytes: usize,
        is_written_by_calls: bool,
    ) -> io::Result<Chunk> {
        if is_written_by_calls {
            Ok(Chunk { memory: SharedMapping::apart(bytes)?, written: Some((Arc::clone(file), position)) })
        } else {
            Ok(Chunk { memory: file.map_shared(position, bytes)?, written: None })
        }
    }
}

/// A slot that nobody uses: the right to bytes `start..start + bytes` of the chunk.
#[derive(Debug)]
pub(super) struct FreeSlot {
    chunk: Arc<Chunk>,
    pub(super) start: usize,
    /// `class.slot_bytes()`, which every record asks for.
    bytes: usize,
    pub(super) class: SlotClass,
}

/// Cuts a whole chunk into slots of one class.
pub(super) fn carve(chunk: Chunk, class: SlotClass) -> impl Iterator<Item = FreeSlot> {
    let slot_bytes = class.slot_bytes();
    let count = chunk.memory.len() / slot_bytes;
    let chunk = Arc::new(chunk);
    assert!(chunk.memory.as_ptr().addr().is_multiple_of(align_of::<u64>()), "maps begin at a page or a word");
    let slot =
        move |number| FreeSlot { chunk: Arc::clone(&chunk), start: number * slot_bytes, bytes: slot_bytes, class };
    (0..count).map(slot)
}

impl FreeSlot {
    /// Begins a batch. The pool of the `lease` gets the slot back when the last of writer and readers is gone.
    ///
    /// # Errors
    /// The disk's, where the file is written by calls; the slot is free again.
    pub(super) fn open(self, identity: Identity, generation: u64, lease: Lease<Arc<Pool>>) -> io::Result<BatchWriter> {
        let base_offset = identity.base_offset();
        let pool = Arc::clone(lease.of());
        self.chunk.memory.touch(self.start, self.bytes);
        let batch = OpenBatch {
            slot: Some(self),
            pool,
            identity,
            generation,
            published_bytes: AtomicUsize::new(0),
            next_offset: AtomicU64::new(base_offset),
            synced_commits: AtomicU64::new(0),
            committed: AtomicBool::new(false),
            synced: AtomicU64::new(base_offset),
        };
        // A kill between these stores leaves the old identity with nothing published, then an identity that fails its
        // checksum, then the new one with nothing published.
        batch.write(PUBLISHED, &[0; 8])?;
        batch.word(PUBLISHED).store(0, Ordering::Release);
        batch.write(DURABLE, &[0; 8])?;
        batch.word(DURABLE).store(0, Ordering::Release);
        fence(Ordering::Release);
        #[allow(clippy::cast_possible_truncation, reason = "at most 64 KiB")]
        let bytes = identity.encode(batch.slot().bytes as u32, generation);
        batch.write(0, &bytes)?;
        let (words, rest) = bytes.as_chunks::<8>();
        for (i, word) in words.iter().enumerate() {
            batch.word(i * 8).store(u64::from_be_bytes(*word).to_be(), Ordering::Relaxed);
        }
        let mut last = [0; 8];
        last.iter_mut().zip(rest).for_each(|(to, from)| *to = *from);
        batch.word(IDENTITY_BYTES / 8 * 8).store(u64::from_be_bytes(last).to_be(), Ordering::Release);
        // Whoever follows and sees a byte of the records that come now sees that the identity is another one.
        fence(Ordering::Release);
        Ok(BatchWriter { batch: Arc::new(batch), published: Published::default(), _lease: lease })
    }

    /// Where the slot lies, to compare it with others.
    pub(super) fn place(&self) -> usize {
        self.pointer(0).addr()
    }

    #[inline]
    fn pointer(&self, at: usize) -> *mut u8 {
        assert!(at <= self.bytes, "within the slot");
        // SAFETY: `carve` made `start + bytes` lie within the memory, which lives as long as `self.chunk`, and the line
        // above keeps `at` within the slot.
        unsafe { self.chunk.memory.as_ptr().add(self.start + at) }
    }
}

/// The one writer of an open batch. Whoever holds it (the partition's append lock) may append.
#[derive(Debug)]
pub(crate) struct BatchWriter {
    batch: Arc<OpenBatch>,
    published: Published,
    /// Rule 4.
    _lease: Lease<Arc<Pool>>,
}

impl BatchWriter {
    /// What readers and the group commit share of this batch.
    pub(crate) fn batch(&self) -> &Arc<OpenBatch> {
        &self.batch
    }

    /// The bytes of records published so far.
    #[inline]
    pub(crate) fn records_bytes(&self) -> usize {
        self.published.records_bytes as usize
    }

    /// The published records.
    pub(crate) fn records(&self) -> &[u8] {
        // SAFETY: this is the one writer, and holds a lease.
        unsafe { self.batch.published() }
    }

    /// The running CRC-32C of the published records.
    pub(crate) fn records_crc(&self) -> u32 {
        self.published.records_crc
    }

    /// The class of the slot that the batch is in.
    pub(crate) fn class(&self) -> SlotClass {
        self.batch.slot().class
    }

    /// The free space behind the published records, to encode into before [`publish`](BatchWriter::publish).
    #[inline]
    pub(crate) fn unpublished(&mut self) -> &mut [u8] {
        let at = RECORDS + self.records_bytes();
        let slot = self.batch.slot();
        let bytes = slot.bytes - at;
        // SAFETY: the range lies within the slot. Nobody else writes it (rule 2: this is the one writer, borrowed mutably; rule
        // 4: nor does another broker) and nobody reads it (rule 3: it begins where the published bytes end). The bytes are
        // initialised, being a file's or zeros.
        unsafe { slice::from_raw_parts_mut(slot.pointer(at), bytes) }
    }

    /// Makes the first `bytes` of [`unpublished`](BatchWriter::unpublished) part of the batch, all of them or, if the process
    /// is killed meanwhile, none. `next_offset` is one above their last offset.
    ///
    /// # Errors
    /// The disk's, where the file is written by calls; nothing was published. [`AppendError::Torn`] if who takes the file over may
    /// find it published nevertheless.
    #[allow(clippy::inline_always, reason = "a call would cost 15 of 900 instructions")]
    #[inline(always)]
    pub(crate) fn publish(&mut self, bytes: usize, next_offset: u64) -> Result<(), AppendError> {
        let crc = self.published.records_crc;
        let records_crc = crc32c_append(crc, self.unpublished().split_at(bytes).0);
        let records_bytes = self.records_bytes() + bytes;
        #[allow(clippy::cast_possible_truncation, reason = "a slot has at most 64 KiB")]
        let published = Published { records_bytes: records_bytes as u32, records_crc };
        if self.batch.slot().chunk.written.is_some() {
            self.write_published(bytes, published)?;
        }
        self.published = published;
        self.batch.word(PUBLISHED).store(published.to_word().to_be(), Ordering::Release);
        self.batch.published_bytes.store(records_bytes, Ordering::Release);
        self.batch.next_offset.store(next_offset, Ordering::Release);
        Ok(())
    }

    #[cold]
    fn write_published(&mut self, bytes: usize, published: Published) -> Result<(), AppendError> {
        let (batch, at) = (Arc::clone(&self.batch), RECORDS + self.records_bytes());
        batch.write(at, self.unpublished().split_at(bytes).0).map_err(AppendError::Clean)?;
        let before = self.published.to_word().to_be_bytes();
        batch.write(PUBLISHED, &published.to_word().to_be_bytes()).map_err(|error| {
            // A word, of which never a part is written. Some systems say that a call has failed, and have taken its bytes.
            if batch.holds(PUBLISHED, before) { AppendError::Clean(error) } else { AppendError::Torn(error) }
        })
    }

    /// Writes the batch's header before its records and returns both, as they go into the segment.
    pub(crate) fn sealed(&mut self, header: &[u8; HEADER_BYTES]) -> &[u8] {
        let slot = self.batch.slot();
        // SAFETY: the header's bytes lie within the slot, are written by this one writer (rules 2 and 4) and never handed to readers.
        unsafe { slot.pointer(BATCH).copy_from_nonoverlapping(header.as_ptr(), HEADER_BYTES) };
        let bytes = HEADER_BYTES + self.records_bytes();
        // SAFETY: header and published records, contiguous and within the slot; the records never change (rule 3), and the
        // header not before the returned borrow of the one writer ends.
        unsafe { slice::from_raw_parts(slot.pointer(BATCH), bytes) }
    }
}

/// An open batch as readers and the group commit see it. The slot is free again when its last owner drops it.
#[derive(Debug)]
pub(crate) struct OpenBatch {
    /// `None` only while being dropped.
    slot: Option<FreeSlot>,
    pool: Arc<Pool>,
    identity: Identity,
    generation: u64,
    published_bytes: AtomicUsize,
    next_offset: AtomicU64,
    synced_commits: AtomicU64,
    committed: AtomicBool,
    /// What the newest commit that was synced covers: one above its last offset.
    synced: AtomicU64,
}

impl OpenBatch {
    /// The batch's first offset, base timestamp and owner.
    pub(crate) fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Which use of its slot it is.
    pub(crate) fn generation(&self) -> u64 {
        self.generation
    }

    /// The identity as it stands in the slot.
    pub(crate) fn identity_bytes(&self) -> [u8; IDENTITY_BYTES] {
        #[allow(clippy::cast_possible_truncation, reason = "at most 64 KiB")]
        self.identity.encode(self.slot().bytes as u32, self.generation)
    }

    /// One above the last published offset.
    pub(crate) fn next_offset(&self) -> u64 {
        self.next_offset.load(Ordering::Acquire)
    }

    /// How many records are published, which have an offset each, and their bytes.
    pub(crate) fn published_size(&self) -> (u64, usize) {
        let bytes = self.published_bytes.load(Ordering::Acquire);
        (self.next_offset().saturating_sub(self.identity.base_offset()), bytes)
    }

    /// The published records, lent: more may be there at the next call, and these never change. To be given back soon, since
    /// who closes the tail waits for that. `None` once it is closed.
    #[inline]
    pub(crate) fn records(&self) -> Option<LentRecords<'_>> {
        let lease = Lease::new(&*self.pool)?;
        // SAFETY: they are shown for as long as the lease that was just taken is held.
        Some(LentRecords { records: unsafe { self.published() }, _lease: lease })
    }

    /// The published records.
    ///
    /// # Safety
    /// While they are looked at, a lease is held that was taken before (rule 4).
    #[inline]
    unsafe fn published(&self) -> &[u8] {
        let bytes = self.published_bytes.load(Ordering::Acquire);
        // SAFETY: `publish` keeps `published_bytes` within the slot and stores it after the bytes themselves (Release, read
        // with Acquire); they do not change while `self`, and with it the slot, is held (rule 3), nor by another broker (the
        // caller's lease).
        unsafe { slice::from_raw_parts(self.slot().pointer(RECORDS), bytes) }
    }

    /// Whether something is published that no synced commit covers.
    pub(crate) fn has_uncommitted(&self) -> bool {
        self.synced.load(Ordering::Acquire) != self.next_offset()
    }

    /// Whether its slot is one of these.
    pub(super) fn is_in(&self, pool: &Arc<Pool>) -> bool {
        Arc::ptr_eq(&self.pool, pool)
    }

    /// The bytes of the tail that this batch keeps.
    pub(crate) fn slot_bytes(&self) -> usize {
        self.slot().bytes
    }

    /// Copies `published` into the older commit entry, for the next sync to make it survive a power cut; returns the offset
    /// below which that sync covers this batch, or `None` if an earlier one did already. One caller at a time (the leader of
    /// the group commit); two would only spoil a checksummed entry.
    ///
    /// # Errors
    /// If the tail is closed, or the disk's, where the file is written by calls: then no sync covers what was published since the
    /// last one that did.
    pub(crate) fn commit(&self) -> io::Result<Option<u64>> {
        // In this order: `published` then covers at least what is below `next_offset`.
        let next_offset = self.next_offset();
        if self.synced.load(Ordering::Acquire) == next_offset {
            return Ok(None);
        }
        let _lease = Lease::new(&*self.pool).ok_or_else(closed_error)?;
        self.committed.store(true, Ordering::SeqCst);
        let published = Published::from_word(u64::from_be(self.word(PUBLISHED).load(Ordering::Acquire)));
        // Counted by syncs that succeeded: whatever becomes of this one, the entry that the last such sync carried stays.
        let sequence = self.synced_commits.load(Ordering::Acquire) + 1;
        let entry = commit_entry(sequence);
        let words = encode_commit(self.generation, sequence, published);
        self.write(entry, words.map(u64::to_be_bytes).as_flattened())?;
        for (i, word) in words.iter().enumerate() {
            self.word(entry + i * 8).store(word.to_be(), Ordering::Release);
        }
        Ok(Some(next_offset))
    }

    /// Notes that the sync that [`commit`](OpenBatch::commit) spoke of has succeeded, also for other processes: whatever comes
    /// before this batch is durable by then.
    pub(crate) fn note_synced(&self, next_offset: u64) {
        self.tell_synced();
        self.synced.fetch_max(next_offset, Ordering::AcqRel);
        self.synced_commits.fetch_add(1, Ordering::AcqRel);
    }

    /// Tells other processes what the commit covers that was just synced. Where that fails, or the tail is closed, they hear of it
    /// by the recovery point.
    fn tell_synced(&self) {
        let Some(_lease) = Lease::new(&*self.pool) else { return };
        let entry = commit_entry(self.synced_commits.load(Ordering::Acquire) + 1);
        let covered = self.word(entry + 8).load(Ordering::Relaxed);
        if self.write(DURABLE, &u64::from_be(covered).to_be_bytes()).is_ok() {
            self.word(DURABLE).store(covered, Ordering::Release);
        }
    }

    /// How many commits of this batch were synced.
    pub(crate) fn synced_commits(&self) -> u64 {
        self.synced_commits.load(Ordering::Relaxed)
    }

    /// Whether a commit was ever begun: then the slot must stay as it is until the segment holds these records durably.
    pub(crate) fn is_committed(&self) -> bool {
        self.committed.load(Ordering::SeqCst)
    }

    #[inline]
    fn slot(&self) -> &FreeSlot {
        self.slot.as_ref().expect("a batch has its slot until it is dropped")
    }

    /// Whether the file, which is written by calls, has the word `before` at byte `at` of the slot.
    fn holds(&self, at: usize, before: [u8; 8]) -> bool {
        let slot = self.slot();
        let Some((file, position)) = &slot.chunk.written else { return false };
        let mut found = [0; 8];
        file.read_at(&mut found, position + (slot.start + at) as u64).is_ok_and(|read| read == found.len())
            && found == before
    }

    /// Writes what is or will be stored at byte `at` of the slot to the file, if that does not show the memory; for whoever holds
    /// a lease.
    fn write(&self, at: usize, bytes: &[u8]) -> io::Result<()> {
        let slot = self.slot();
        match &slot.chunk.written {
            None => Ok(()),
            Some((file, position)) => file.write_at(bytes, position + (slot.start + at) as u64),
        }
    }

    /// One of the aligned words of the slot's first three sectors, for whoever holds a lease.
    #[inline]
    fn word(&self, at: usize) -> &Word {
        assert!(at.is_multiple_of(8) && at + 8 <= BATCH, "an aligned word before the batch");
        // SAFETY: within the slot and aligned (`carve` checked the map, slots begin at multiples of 4096). These words are
        // only ever reached as atomics: slices begin at `BATCH` and behind.
        unsafe { Word::from_ptr(self.slot().pointer(at).cast()) }
    }
}

/// Where the commit of this sequence stands.
pub(super) fn commit_entry(sequence: u64) -> usize {
    if sequence.is_multiple_of(2) { COMMIT[0] } else { COMMIT[1] }
}

/// The word in the file's header that tells other processes that slots were opened.
#[derive(Debug)]
pub(super) struct Openings {
    header: Chunk,
    count: AtomicU64,
}

impl Openings {
    /// Takes the file's header, in which the word is `count` now.
    pub(super) fn new(header: Chunk, count: u64) -> Openings {
        let memory = &header.memory;
        assert!(OPENINGS + 8 <= memory.len() && memory.as_ptr().addr().is_multiple_of(align_of::<u64>()), "a header");
        memory.touch(OPENINGS, 8);
        Openings { header, count: AtomicU64::new(count) }
    }

    /// Says that a slot was opened, for one caller at a time who holds a lease.
    ///
    /// # Errors
    /// The disk's, where the file is written by calls.
    pub(super) fn rise(&self) -> io::Result<()> {
        let count = self.count.fetch_add(1, Ordering::Relaxed).wrapping_add(1);
        if let Some((file, position)) = &self.header.written {
            file.write_at(&count.to_be_bytes(), position + OPENINGS as u64)?;
        }
        // SAFETY: within the memory and aligned (both checked above), and in this process reached only here, as an atomic.
        let word = unsafe { Word::from_ptr(self.header.memory.as_ptr().add(OPENINGS).cast()) };
        word.store(count.to_be(), Ordering::Release);
        Ok(())
    }
}

impl Drop for OpenBatch {
    fn drop(&mut self) {
        if let Some(slot) = self.slot.take() {
            self.pool.give_back(slot);
        }
    }
}

/// Published records, as long as they are lent.
#[derive(Debug)]
pub(crate) struct LentRecords<'b> {
    records: &'b [u8],
    _lease: Lease<&'b Pool>,
}

impl Deref for LentRecords<'_> {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        self.records
    }
}
