//! One base offset: a log file of whole batches, and the indexes that find them.
//!
//! ```text
//! append ──→ log file (one write per batch) ──→ indexes in memory ──→ next_offset      written and published in this order
//! locate ──→ offset index ──→ a walk over some headers ──→ file position
//! batch_at ─→ a batch, as a piece of the map
//! ```
//! One thread appends at a time (the partition's append lock sees to that); readers take no lock and never wait.
//!
//! Only the log file is evidence. Index files are caches: they are believed if their checksum is the one that was noted when
//! they were written, and else rebuilt from the log. After a crash the log file may end in anything; [`Segment::recover`]
//! finds where it is whole.
//!
//! What an earlier process wrote is verified before it is first returned, one region of the index at a time. Where that fails,
//! `damage.rs` reads around it: nothing is cut or skipped, the damaged offsets are an error and all others are readable.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use crate::canary::{Canary, planted};
use crate::disk::append_file::{AppendError, AppendFile};
use crate::disk::open_files::OpenFiles;
use crate::disk::{Disk, Open, SyncError};
use crate::error::{Error, Result};
use crate::format::BatchHeader;
use crate::sync::Mutex;
use crate::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use crate::topic_partition::TopicPartition;

mod damage;
pub(crate) mod derived_files;
pub(crate) mod entries;
pub(crate) mod file_name;
mod files;
#[cfg(feature = "testing")]
pub(crate) mod fuzzing;
mod header_sums;
mod index_files;
mod indexes;
mod known_batches;
mod live_config;
pub(crate) mod offset_index;
mod open;
mod read;
mod recover;
mod replacing;
mod scan;
#[cfg(test)]
mod tests;
pub(crate) mod time_index;
pub(crate) mod transaction_index;
mod verify;

pub(crate) use derived_files::{DerivedFile, FileSum, ProducerFiles, SegmentFiles};
pub(crate) use header_sums::{FOREIGN, HeaderSums};
pub(crate) use index_files::WrittenIndexes;
pub(crate) use indexes::IndexCrcs;
pub(crate) use known_batches::{KnownBatch, KnownBatches};
pub(crate) use read::Batch;
pub(crate) use recover::{Scan, ScanStart};
pub(crate) use scan::{Damage, Located};
pub(crate) use scan::{LogWalk, Piece, Rules, fits_segment, reason as reason_of};
pub(crate) use transaction_index::AbortedTransaction;
pub(crate) use verify::{Reading, SegmentVerification};

use file_name::{FileKind, FileName, Stage};
use indexes::{Indexes, Verified};
use live_config::LiveConfig;

/// The partition directory that segments lie in.
#[derive(Debug)]
pub(crate) struct SegmentDir {
    /// The disk, and what is open on it.
    pub(crate) files: Arc<OpenFiles>,
    /// The directory.
    pub(crate) path: PathBuf,
    /// Whose segments they are, for messages.
    pub(crate) partition: TopicPartition,
    /// Whether files are opened for reading only.
    pub(crate) is_read_only: bool,
}

/// When a segment is full, and how densely it is indexed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SegmentConfig {
    /// Size in bytes that the log file is not to exceed; at most `i32::MAX`, which is Kafka's limit.
    pub(crate) segment_bytes: u32,
    /// Bytes between two batches with an index entry.
    pub(crate) index_interval_bytes: u32,
    /// Size in bytes at which an index file is full.
    pub(crate) index_bytes_max: u32,
    /// Milliseconds that a batch may be younger than the segment's first.
    pub(crate) segment_ms: i64,
    /// The most bytes that the records of a compressed batch may expand to: what a hostile file can make a reader allocate.
    pub(crate) expanded_bytes_max: usize,
}

/// What a segment that grows no more is known to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SealedSegment {
    /// Its first offset, and name.
    pub(crate) base_offset: u64,
    /// The offset after its last.
    pub(crate) next_offset: u64,
    /// The size of its log file.
    pub(crate) log_bytes: u64,
    /// The largest timestamp in it.
    pub(crate) max_timestamp: Option<i64>,
    /// Whether offsets may be missing between its batches, as compaction leaves it.
    pub(crate) has_gaps: bool,
    /// When its first batch was begun, by the wall clock in ms, if that is known.
    pub(crate) created_ms: Option<i64>,
    /// When the next one was made, by the wall clock in ms, if that is known.
    pub(crate) rolled_ms: Option<i64>,
    /// What tells its log file from any other, if that is known.
    pub(crate) headers: Option<HeaderSums>,
    /// What makes its index files believable; without it they are rebuilt.
    pub(crate) index_crcs: Option<IndexCrcs>,
}

impl SealedSegment {
    /// Whether its log file in the directory `dir` has the size that it is to have.
    ///
    /// # Errors
    /// The disk's: also for what is no file.
    pub(crate) fn has_size_in(&self, disk: &dyn Disk, dir: &Path) -> Result<bool> {
        let path = FileName::live(self.base_offset, FileKind::Log).path(dir);
        let file = disk.open(&path, Open::Read).map_err(|e| Error::io("open", &path, e))?;
        Ok(file.size_when_opened() == self.log_bytes)
    }

    /// A segment without batches, of which nothing is known.
    pub(crate) fn empty(base_offset: u64) -> SealedSegment {
        SealedSegment {
            base_offset,
            next_offset: base_offset,
            log_bytes: 0,
            max_timestamp: None,
            has_gaps: false,
            created_ms: None,
            rolled_ms: None,
            headers: None,
            index_crcs: None,
        }
    }
}

/// A log file and its indexes.
#[derive(Debug)]
pub(crate) struct Segment {
    dir: Arc<SegmentDir>,
    base_offset: u64,
    /// Where the log file is to be found that is not loaded yet.
    stage: Stage,
    config: LiveConfig,
    /// Log file and indexes; of a sealed segment from its first read on.
    loaded: OnceLock<Loaded>,
    /// Held while they are loaded or the files removed; says whether they were.
    removed: Mutex<bool>,
    /// The size of the log file of a segment that was sealed when it was opened.
    sealed_bytes: Option<u64>,
    /// What lies from this byte on was written by this process, and needs no verification.
    known_good_from: u64,
    /// The offset that no batch below that byte reaches beyond.
    old_end_offset: u64,
    next_offset: AtomicU64,
    /// −1 for none.
    max_timestamp: AtomicI64,
    has_gaps: AtomicBool,
    /// Whether a batch of a producer was come across.
    has_producers: AtomicBool,
    synced_bytes: AtomicU64,
    /// What lies below this byte and is not synced was written by an earlier process, and is to be written once more before it
    /// is: after a failed sync the system may show what the medium lacks.
    distrusted_bytes: AtomicU64,
    /// Whether the log file's name survives a power cut.
    is_name_synced: AtomicBool,
    index_crcs: Mutex<Option<IndexCrcs>>,
    /// −1 if it is not known.
    created_ms: AtomicI64,
    /// −1 until it is rolled, or if that is not known.
    rolled_ms: AtomicI64,
    /// What its log file must begin and end with, if it was opened as sealed.
    headers: Option<Box<HeaderSums>>,
}

/// What reading takes.
#[derive(Debug)]
struct Loaded {
    log: AppendFile,
    indexes: Indexes,
    verified: Verified,
}

impl Segment {
    /// The first offset that the segment may hold.
    pub(crate) fn base_offset(&self) -> u64 {
        self.base_offset
    }

    /// Whose segment it is.
    pub(crate) fn partition(&self) -> &TopicPartition {
        &self.dir.partition
    }

    /// The offset after the last batch.
    pub(crate) fn next_offset(&self) -> u64 {
        self.next_offset.load(Ordering::Acquire)
    }

    /// The size of the log file in bytes, as far as it is whole batches.
    pub(crate) fn log_bytes(&self) -> u64 {
        self.sealed_bytes.unwrap_or_else(|| self.loaded.get().map_or(0, |loaded| loaded.log.len()))
    }

    /// The largest timestamp of a batch in ms, if any has one.
    pub(crate) fn max_timestamp(&self) -> Option<i64> {
        Some(self.max_timestamp.load(Ordering::Acquire)).filter(|&timestamp| 0 <= timestamp)
    }

    /// The log file's path.
    pub(crate) fn path(&self) -> PathBuf {
        FileName::live(self.base_offset, FileKind::Log).in_stage(self.stage).path(&self.dir.path)
    }

    /// Bytes of the log file that survive a power cut.
    pub(crate) fn synced_bytes(&self) -> u64 {
        self.synced_bytes.load(Ordering::Acquire)
    }

    /// Whether it was opened as sealed, and grows no more.
    pub(crate) fn is_sealed(&self) -> bool {
        self.sealed_bytes.is_some()
    }

    /// Whether the log file's name survives a power cut.
    pub(crate) fn is_name_synced(&self) -> bool {
        self.is_name_synced.load(Ordering::Acquire)
    }

    /// Whether the log file, and its name, survive a power cut as they are.
    pub(crate) fn is_synced(&self) -> bool {
        // A write that failed and was cut back is nowhere in the length, and the longer file may come back.
        let was_cut = self.loaded.get().is_some_and(|loaded| loaded.log.was_written_since_sync());
        self.is_name_synced() && self.log_bytes() <= self.synced_bytes() && !was_cut
    }

    /// What the segment is, for the manifest once it is sealed.
    pub(crate) fn describe(&self) -> SealedSegment {
        SealedSegment {
            base_offset: self.base_offset,
            next_offset: self.next_offset(),
            log_bytes: self.log_bytes(),
            max_timestamp: self.max_timestamp(),
            has_gaps: self.has_gaps(),
            created_ms: self.created_ms(),
            rolled_ms: self.rolled_ms(),
            headers: self.header_sums(self.last_batch_position()),
            index_crcs: *self.index_crcs.lock(),
        }
    }

    /// When the segment was made, by the wall clock in ms, if that is known.
    pub(crate) fn created_ms(&self) -> Option<i64> {
        Some(self.created_ms.load(Ordering::Relaxed)).filter(|&ms| 0 <= ms)
    }

    /// Notes when the first batch was begun: what came before it was only an empty file.
    pub(crate) fn note_created(&self, now_ms: i64) {
        self.created_ms.store(now_ms, Ordering::Relaxed);
    }

    /// When the next segment was made, by the wall clock in ms, if there is one and that is known.
    pub(crate) fn rolled_ms(&self) -> Option<i64> {
        Some(self.rolled_ms.load(Ordering::Relaxed)).filter(|&ms| 0 <= ms)
    }

    /// Notes that another segment follows this one from `now_ms` on.
    pub(crate) fn note_rolled(&self, now_ms: i64) {
        self.rolled_ms.store(now_ms, Ordering::Relaxed);
    }

    /// Whether offsets may be missing between batches, as compaction leaves it.
    pub(crate) fn has_gaps(&self) -> bool {
        self.has_gaps.load(Ordering::Acquire)
    }

    /// Whether a batch of a producer is known to be in it.
    pub(crate) fn has_producers(&self) -> bool {
        self.has_producers.load(Ordering::Acquire)
    }

    /// Notes that a batch of a producer is in it.
    pub(crate) fn note_producers(&self) {
        self.has_producers.store(true, Ordering::Release);
    }

    /// How it is kept from now on.
    pub(crate) fn configure(&self, config: SegmentConfig) {
        self.config.replace(config);
    }

    /// Whether a batch of this size, last offset and largest timestamp belongs into a new segment, by Kafka's rules. Never for
    /// the first batch, however large.
    pub(crate) fn must_roll_before(&self, batch_bytes: u64, last_offset: u64, max_timestamp: i64) -> bool {
        let Some(loaded) = self.loaded.get().filter(|_| !self.is_sealed()) else { return true };
        let fits_offset =
            last_offset.checked_sub(self.base_offset).is_some_and(|relative| i32::try_from(relative).is_ok());
        let log_bytes = loaded.log.len();
        if log_bytes == 0 || !fits_offset {
            return !fits_offset;
        }
        let bytes_max = u64::from(self.config.segment_bytes()).min(u64::from(i32::MAX.cast_unsigned()));
        let first = loaded.indexes.times().first;
        bytes_max < log_bytes.saturating_add(batch_bytes)
            || first.is_some_and(|first| self.config.segment_ms() < max_timestamp.saturating_sub(first))
            || loaded.indexes.are_full(self.config.index_bytes_max())
    }

    /// Appends a whole batch, the header being the one that `batch` begins with. Readers see it when this returns.
    ///
    /// For one caller at a time. It is the caller's duty that offsets rise and that the segment need not roll first.
    ///
    /// # Errors
    /// What the disk says, and what that has left behind; nothing of the batch is visible.
    ///
    /// # Panics
    /// If the offset goes back, or the segment was opened as sealed.
    pub(crate) fn append(&self, batch: &[u8], header: &BatchHeader) -> Result<(), AppendError<Error>> {
        let next_offset = self.next_offset.load(Ordering::Relaxed);
        assert!(next_offset <= header.base_offset(), "offsets of a log rise");
        assert!(self.sealed_bytes.is_none(), "a sealed segment does not grow");
        let Some(loaded) = self.loaded.get() else { unreachable!("only a sealed segment is loaded later") };
        let file_position = loaded.log.append(batch).map_err(|failure| self.append_error(failure))?;
        let batch = Located { file_position, header: *header };
        loaded.indexes.append(&batch, self.base_offset, self.config.index_interval_bytes());
        if next_offset < header.base_offset() {
            self.has_gaps.store(true, Ordering::Release);
        }
        if header.start.stamp.has_producer() {
            self.note_producers();
        }
        self.max_timestamp.fetch_max(header.max_timestamp, Ordering::AcqRel);
        self.next_offset.store(header.next_offset(), Ordering::Release);
        Ok(())
    }

    /// Has the segment end above its last batch, at `next_offset`, as one does of which the end was compacted.
    pub(crate) fn extend_to(&self, next_offset: u64) {
        if self.next_offset.fetch_max(next_offset, Ordering::AcqRel) < next_offset {
            self.has_gaps.store(true, Ordering::Release);
        }
    }

    /// Cuts what an append has left that found no room. To be called before the segment is left for another one, or closed.
    ///
    /// # Errors
    /// What the disk says; [`AppendError::NotBegun`] if there still is no room.
    pub(crate) fn settle(&self) -> Result<(), AppendError<Error>> {
        let settled = self.loaded.get().map_or(Ok(()), |loaded| loaded.log.settle());
        settled.map_err(|failure| self.append_error(failure))
    }

    /// Takes room on the disk ahead of what is appended, until the segment is [settled](Segment::settle).
    pub(crate) fn reserve_ahead(&self) {
        if let Some(loaded) = self.loaded.get() {
            loaded.log.reserve_ahead();
        }
    }

    fn append_error(&self, failure: AppendError) -> AppendError<Error> {
        failure.map(|source| Error::io("append to", &self.path(), source))
    }

    /// Makes the log file, and its name if it is new, survive a power cut.
    ///
    /// # Errors
    /// [`SyncError::Failed`]: nothing is known, and trying again proves nothing, so the partition is to be poisoned.
    /// [`SyncError::NotBegun`]: the next call tries again.
    pub(crate) fn sync(&self) -> Result<(), SyncError<Error>> {
        let loaded = self.loaded().map_err(SyncError::NotBegun)?;
        let bytes = loaded.log.len();
        if planted(Canary::SkipSegmentSync) {
            self.synced_bytes.fetch_max(bytes, Ordering::AcqRel);
            return Ok(());
        }
        self.rewrite_distrusted()?;
        loaded.log.sync().map_err(|failure| failure.map(|source| Error::io("sync", &self.path(), source)))?;
        // After the file: a name without its bytes is worse than no name.
        if !self.is_name_synced() && !planted(Canary::SkipDirectorySync) {
            let synced = self.dir.files.sync_dir(&self.dir.path);
            synced.map_err(|failure| failure.map(|source| Error::io("sync", &self.dir.path, source)))?;
            self.is_name_synced.store(true, Ordering::Release);
        }
        self.synced_bytes.fetch_max(bytes, Ordering::AcqRel);
        Ok(())
    }
}

impl Loaded {
    fn new(log: AppendFile, indexes: Indexes) -> Loaded {
        let verified = Verified::none_of(indexes.offset.len() + 1);
        Loaded { log, indexes, verified }
    }
}
