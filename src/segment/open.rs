//! Creating a segment, and opening a sealed one.

use std::io::ErrorKind;
use std::sync::{Arc, OnceLock};

use super::file_name::Stage;
use super::index_files::{self, Covered};
use super::indexes::Indexes;
use super::live_config::LiveConfig;
use super::scan::{Located, LogWalk, Piece, Rules};
use super::{Damage, FileKind, FileName, Loaded, SealedSegment, Segment, SegmentConfig, SegmentDir};
use crate::disk::Open;
use crate::disk::append_file::{AppendFile, Extent};
use crate::error::{Error, Result};
use crate::events::Event;
use crate::format::{BatchHeader, EndTransactionMarker, HEADER_BYTES};
use crate::sync::Mutex;
use crate::sync::atomic::{AtomicBool, AtomicI64, AtomicU64};

impl Segment {
    /// Creates a segment without batches. Its name survives a power cut from the first [`sync`](Segment::sync) on.
    ///
    /// # Errors
    /// The disk's; the file must not be there.
    pub(crate) fn create(dir: &Arc<SegmentDir>, base_offset: u64, config: SegmentConfig) -> Result<Segment> {
        Segment::create_as(Stage::Live, dir, base_offset, config, u64::from(config.segment_bytes))
    }

    /// Creates a segment without batches in a file of this stage, which will have about `capacity_bytes` bytes. What is not the
    /// log itself yet is to take the place of others, and may come to have gaps.
    pub(super) fn create_as(
        stage: Stage,
        dir: &Arc<SegmentDir>,
        base_offset: u64,
        config: SegmentConfig,
        capacity_bytes: u64,
    ) -> Result<Segment> {
        let path = FileName::live(base_offset, FileKind::Log).in_stage(stage).path(&dir.path);
        let log = AppendFile::create(&dir.files, &path, capacity_bytes)
            .map_err(|source| Error::io("create", &path, source))?;
        let empty = SealedSegment {
            // Whether or not any are missing in the end: so it is read back from what the manifest says, too.
            has_gaps: stage != Stage::Live,
            created_ms: Some(dir.files.disk().now_ms().max(0)),
            ..SealedSegment::empty(base_offset)
        };
        let mut segment = Segment::new(dir, &empty, config);
        segment.loaded = OnceLock::from(Loaded::new(log, Indexes::empty()));
        segment.is_name_synced = AtomicBool::new(false);
        Ok(segment)
    }

    /// Takes a sealed segment for what it is said to be. No file is touched before the first read: that loads the indexes or
    /// rebuilds them, and finds out whether the log file is there.
    pub(crate) fn open_sealed(dir: &Arc<SegmentDir>, sealed: &SealedSegment, config: SegmentConfig) -> Segment {
        let mut segment = Segment::new(dir, sealed, config);
        segment.sealed_bytes = Some(sealed.log_bytes);
        segment.known_good_from = u64::MAX;
        segment.headers = sealed.headers.map(Box::new);
        segment
    }

    /// The same of a segment whose files were to replace others and did not get to it.
    pub(crate) fn open_set_aside(dir: &Arc<SegmentDir>, sealed: &SealedSegment, config: SegmentConfig) -> Segment {
        let mut segment = Segment::open_sealed(dir, sealed, config);
        segment.stage = Stage::Swap;
        segment
    }

    /// A segment that is not loaded, all of it synced and good.
    pub(super) fn new(dir: &Arc<SegmentDir>, sealed: &SealedSegment, config: SegmentConfig) -> Segment {
        Segment {
            dir: Arc::clone(dir),
            base_offset: sealed.base_offset,
            stage: Stage::Live,
            config: LiveConfig::new(config),
            loaded: OnceLock::new(),
            removed: Mutex::new(false),
            sealed_bytes: None,
            known_good_from: 0,
            old_end_offset: sealed.next_offset,
            next_offset: AtomicU64::new(sealed.next_offset),
            max_timestamp: AtomicI64::new(sealed.max_timestamp.unwrap_or(-1)),
            has_gaps: AtomicBool::new(sealed.has_gaps),
            has_producers: AtomicBool::new(false),
            synced_bytes: AtomicU64::new(sealed.log_bytes),
            distrusted_bytes: AtomicU64::new(0),
            is_name_synced: AtomicBool::new(true),
            index_crcs: Mutex::new(sealed.index_crcs),
            created_ms: AtomicI64::new(sealed.created_ms.unwrap_or(-1)),
            rolled_ms: AtomicI64::new(sealed.rolled_ms.unwrap_or(-1)),
            headers: None,
        }
    }

    /// Log file and indexes, loaded if this is the first time.
    ///
    /// # Errors
    /// [`Error::Corrupt`] if the log file is missing; the disk's, and then the next call tries again.
    #[inline]
    pub(super) fn loaded(&self) -> Result<&Loaded> {
        match self.loaded.get() {
            Some(loaded) => Ok(loaded),
            None => self.load(),
        }
    }

    #[cold]
    fn load(&self) -> Result<&Loaded> {
        let removed = self.removed.lock();
        if let Some(loaded) = self.loaded.get() {
            return Ok(loaded);
        }
        if *removed {
            return Err(Error::io("open", &self.path(), ErrorKind::NotFound));
        }
        let log = self.open_log()?;
        let covered =
            Covered { base_offset: self.base_offset, next_offset: self.next_offset(), log_bytes: self.log_bytes() };
        let crcs = *self.index_crcs.lock();
        let files = crcs.and_then(|crcs| index_files::load(&**self.dir.files.disk(), &self.dir.path, covered, crcs));
        if files.is_none() && crcs.is_some() {
            self.tell_stale_indexes();
        }
        let indexes = match files {
            Some((offset, time)) => Indexes::loaded(offset, time, None),
            None => self.rebuild(&log)?,
        };
        Ok(self.loaded.get_or_init(|| Loaded::new(log, indexes)))
    }

    /// That the index files are missing, or are not what was noted of them.
    fn tell_stale_indexes(&self) {
        let event = || Event::IndexesRebuilt { partition: self.dir.partition.clone(), path: self.path() };
        self.dir.files.events().add(event);
    }

    fn open_log(&self) -> Result<AppendFile> {
        let path = self.path();
        let missing = |source: std::io::Error| match source.kind() {
            ErrorKind::NotFound => self.corrupt(&Damage {
                file_position: 0,
                bytes: 0,
                offsets: self.base_offset..self.next_offset(),
                reason: "the log file is missing",
            }),
            _ => Error::io("open", &path, source),
        };
        let file = self.dir.files.open(&path, Open::Read).map_err(missing)?;
        self.check_headers(&*file)?;
        // Of a file that became shorter the rest is still readable.
        let published_bytes = self.log_bytes().min(file.size_when_opened());
        let extent = Extent { published_bytes, capacity_bytes: published_bytes };
        AppendFile::opened(&self.dir.files, &path, Open::Read, extent, file)
            .map_err(|source| Error::io("open", &path, source))
    }

    /// Makes the indexes of a sealed segment from its log file, leaving out what is damaged.
    fn rebuild(&self, log: &AppendFile) -> Result<Indexes> {
        let indexes = Indexes::empty();
        let append = |batch: &Located| indexes.append(batch, self.base_offset, self.config.index_interval_bytes());
        self.walk_intact(log, append)?;
        Ok(indexes)
    }

    /// Shows each batch whose checksum and place are right, from the first on, with plain reads. Damage is passed over.
    ///
    /// # Errors
    /// [`Error::Corrupt`] if the log file is missing or another one; the disk's.
    pub(crate) fn visit_intact(&self, visit: impl FnMut(&Located)) -> Result<()> {
        self.walk_intact(&self.loaded()?.log, visit)
    }

    /// Shows each batch of a producer whose checksum and place are right, from a file position on where the batch with offset `from` is
    /// expected, and the marker that it is, if so. Damage is passed over, and so is a marker that cannot be read.
    ///
    /// # Errors
    /// As [`visit_intact`](Segment::visit_intact).
    pub(crate) fn visit_producers(
        &self,
        (file_position, from): (u64, u64),
        mut visit: impl FnMut(&BatchHeader, Option<EndTransactionMarker>),
    ) -> Result<()> {
        let log = &self.loaded()?.log;
        let read_at = |buffer: &mut [u8], position| log.read_at(buffer, position);
        let mut walk = LogWalk::new(&read_at, log.len(), self.rules(), file_position, from);
        let unreadable = |source| Error::io("read", &self.path(), source);
        loop {
            match walk.next(self.next_offset()).map_err(unreadable)? {
                Piece::Batch(batch) if batch.header.start.stamp.has_producer() => {
                    let marker = if batch.header.start.attributes.is_control() {
                        let bytes = walk.batch_bytes(&batch).map_err(unreadable)?;
                        let records = bytes.get(HEADER_BYTES..).unwrap_or_default();
                        EndTransactionMarker::decode(&batch.header, records).ok().flatten()
                    } else {
                        None
                    };
                    visit(&batch.header, marker);
                }
                Piece::Batch(_) | Piece::Damage(_) => {}
                Piece::Tail(_) | Piece::End => return Ok(()),
            }
        }
    }

    fn walk_intact(&self, log: &AppendFile, mut visit: impl FnMut(&Located)) -> Result<()> {
        let read_at = |buffer: &mut [u8], position| log.read_at(buffer, position);
        let mut walk = LogWalk::new(&read_at, log.len(), self.rules(), 0, self.base_offset);
        loop {
            match walk.next(self.next_offset()).map_err(|source| Error::io("read", &self.path(), source))? {
                Piece::Batch(batch) => visit(&batch),
                Piece::Damage(_) => {}
                Piece::Tail(_) | Piece::End => return Ok(()),
            }
        }
    }

    /// What the segment's batches must be.
    pub(super) fn rules(&self) -> Rules {
        Rules {
            base_offset: self.base_offset,
            end_offset: self.old_end_offset,
            end_position: self.known_good_from,
            may_skip: self.has_gaps(),
            leader_epoch: None,
        }
    }
}
