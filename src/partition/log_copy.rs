//! The files of a log that is made as a copy of another one: of its segments as they are, and of others batch by batch.
//!
//! Everything in it is sealed and noted. So whoever opens it reads the manifest, scans nothing, and goes on in a new segment. Nobody
//! may open it before [`finish`](LogCopy::finish) has returned; until then the parts can come in any order, and be given up again.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::ops::Range;
use std::sync::Arc;

use super::leader_epoch::LeaderEpochs;
use super::log_spec::LogSpec;
use super::manifest::{Manifest, ManifestSegment};
use super::producer_state::ProducerStates;
use super::producer_state::gathering::{ProducerSources, SegmentProducers};
use super::recovery::segment_dir;
use super::recovery_point::{RecoveryPoint, RecoveryPointFile};
use crate::disk::append_file::AppendError;
use crate::disk::open_files::OpenFiles;
use crate::disk::{SyncError, remove_if_there};
use crate::error::{Error, Result};
use crate::format::BatchHeader;
use crate::segment::file_name::{FileKind, FileName};
use crate::segment::{Segment, SegmentDir};

/// A log that is being made.
#[derive(Debug)]
pub(crate) struct LogCopy {
    spec: LogSpec,
    dir: Arc<SegmentDir>,
    parts: BTreeMap<u64, Part>,
}

/// A segment of it.
#[derive(Debug)]
enum Part {
    /// Its files are in place, and are what this says.
    Whole(Box<ManifestSegment>),
    /// It is written batch by batch, and has this checksum so far.
    Written(Box<Segment>, crc32fast::Hasher),
}

/// What is said of a log as a whole.
#[derive(Debug, Clone)]
pub(crate) struct LogBounds {
    /// Where it begins; this may lie within its first segment.
    pub(crate) log_start_offset: u64,
    /// Where it ends. Above the last batch, if what came behind that is gone.
    pub(crate) next_offset: u64,
    /// What ends at or below it was compacted.
    pub(crate) clean_offset: u64,
    pub(crate) epochs: LeaderEpochs,
}

impl LogBounds {
    /// The offsets of the log.
    pub(crate) fn offsets(&self) -> Range<u64> {
        self.log_start_offset..self.next_offset
    }
}

impl LogCopy {
    /// A log without segments, in the directory of `spec`, which was just made.
    pub(crate) fn new(spec: LogSpec, files: &Arc<OpenFiles>) -> LogCopy {
        let dir = segment_dir(&spec, files, false);
        LogCopy { spec, dir, parts: BTreeMap::new() }
    }

    /// Where its files are.
    pub(crate) fn dir(&self) -> &SegmentDir {
        &self.dir
    }

    /// Whether it has this very segment as a whole.
    pub(crate) fn has(&self, noted: &ManifestSegment) -> bool {
        let part = self.parts.get(&noted.sealed.base_offset);
        matches!(part, Some(Part::Whole(known)) if **known == *noted)
    }

    /// Takes a segment as a whole, whose log file, and those of the other files that are there, were put in place.
    pub(crate) fn adopt(&mut self, noted: ManifestSegment) {
        self.parts.insert(noted.sealed.base_offset, Part::Whole(Box::new(noted)));
    }

    /// Where a segment that is written batch by batch ends by now: the byte of its log file, and the offset.
    pub(crate) fn written_to(&self, base_offset: u64) -> Option<(u64, u64)> {
        match self.parts.get(&base_offset)? {
            Part::Whole(_) => None,
            Part::Written(segment, _) => Some((segment.log_bytes(), segment.next_offset())),
        }
    }

    /// Appends a whole batch, which `header` begins, to the segment of this base offset, which is begun if there is none. The offsets
    /// rise, and may leave some out.
    ///
    /// # Errors
    /// The disk's.
    ///
    /// # Panics
    /// If an offset goes back.
    pub(crate) fn append(&mut self, base_offset: u64, batch: &[u8], header: &BatchHeader) -> Result<()> {
        let segment = match self.parts.entry(base_offset) {
            Entry::Occupied(part) => part.into_mut(),
            Entry::Vacant(place) => {
                let segment = Segment::create(&self.dir, base_offset, self.spec.segment_config())?;
                place.insert(Part::Written(Box::new(segment), crc32fast::Hasher::new()))
            }
        };
        match segment {
            Part::Whole(_) => unreachable!("what was taken as a whole is not written"),
            Part::Written(segment, crc) => {
                segment.append(batch, header).map_err(AppendError::into_inner)?;
                crc.update(batch);
                Ok(())
            }
        }
    }

    /// Has a segment that is written batch by batch end at `next_offset`, above its last batch: what was there before was compacted.
    pub(crate) fn end_segment_at(&self, base_offset: u64, next_offset: u64) {
        if let Some(Part::Written(segment, _)) = self.parts.get(&base_offset) {
            segment.extend_to(next_offset);
        }
    }

    /// Gives up the segments for which `keep` is false, by their base offsets, and removes their files.
    ///
    /// # Errors
    /// The disk's.
    pub(crate) fn retain(&mut self, keep: impl Fn(u64) -> bool) -> Result<()> {
        let gone: Vec<u64> = self.parts.keys().copied().filter(|base_offset| !keep(*base_offset)).collect();
        gone.into_iter().try_for_each(|base_offset| self.give_up(base_offset))
    }

    /// Gives up a segment, if there is one with this base offset, and removes its files.
    ///
    /// # Errors
    /// The disk's.
    pub(crate) fn give_up(&mut self, base_offset: u64) -> Result<()> {
        let files = match self.parts.remove(&base_offset) {
            None => return Ok(()),
            Some(Part::Whole(noted)) => noted.files(),
            Some(Part::Written(segment, _)) => {
                segment.close_for_good();
                vec![FileName::live(base_offset, FileKind::Log)]
            }
        };
        let disk = &**self.dir.files.disk();
        files.into_iter().try_for_each(|name| remove_if_there(disk, &name.path(&self.dir.path)))
    }

    /// Syncs, indexes and notes all of it, and returns what is noted. When this returns the log survives a power cut, but for the name of
    /// its directory.
    ///
    /// # Errors
    /// The disk's.
    pub(crate) fn finish(self, bounds: &LogBounds) -> Result<Manifest> {
        let mut copy = Finishing {
            dir: &self.dir,
            spec: &self.spec,
            segments: Vec::new(),
            manifest: Manifest::of_copy(self.spec.id(), bounds.log_start_offset, bounds.clean_offset),
            producers: None,
        };
        self.parts.into_values().try_for_each(|part| copy.add(part))?;
        let disk = &**self.dir.files.disk();
        copy.manifest.store(disk, &self.dir.path)?;
        copy.leave_out_missing(bounds.next_offset)?;
        bounds.epochs.store(disk, &self.dir.path)?;
        disk.sync_dir(&self.dir.path).map_err(|source| Error::io("sync", &self.dir.path, source))?;
        Ok(copy.manifest)
    }
}

/// A copy of which the parts are put together, in order.
struct Finishing<'c> {
    dir: &'c Arc<SegmentDir>,
    spec: &'c LogSpec,
    segments: Vec<Arc<Segment>>,
    manifest: Manifest,
    /// All producers at the end of the last segment, once somebody had to know.
    producers: Option<ProducerStates>,
}

impl Finishing<'_> {
    fn add(&mut self, part: Part) -> Result<()> {
        match part {
            Part::Whole(noted) => {
                let segment = Segment::open_sealed(self.dir, &noted.sealed, self.spec.segment_config());
                self.segments.push(Arc::new(segment));
                self.manifest.segments.push(*noted);
                self.producers = None;
            }
            Part::Written(segment, crc) => {
                segment.settle().map_err(AppendError::into_inner)?;
                segment.sync().map_err(SyncError::into_inner)?;
                self.note(*segment, crc.finalize())?;
            }
        }
        Ok(())
    }

    fn note(&mut self, segment: Segment, log_crc32: u32) -> Result<()> {
        let now_ms = self.dir.files.disk().now_ms().max(0);
        segment.note_rolled(now_ms);
        // Indexes are caches: without them who reads first rebuilds them.
        _ = segment.write_indexes();
        let mut states = match self.producers.take() {
            Some(states) => states,
            None => self.gather_producers()?,
        };
        let producers = SegmentProducers::replay(&segment, &mut states, u64::MAX)?;
        let mut noted = ManifestSegment::new(segment.describe(), Some(log_crc32));
        noted.producers = producers.store(self.dir, &segment, segment.next_offset());
        self.manifest.segments.push(noted);
        self.segments.push(Arc::new(segment));
        self.producers = Some(states);
        Ok(())
    }

    /// Has the log go on at `next_offset`, where offsets below it are nowhere and are not to be given out again.
    fn leave_out_missing(&self, next_offset: u64) -> Result<()> {
        let end = self.manifest.segments.last().map_or(self.manifest.log_start_offset, |last| last.sealed.next_offset);
        if next_offset <= end {
            return Ok(());
        }
        let segment = Segment::create(self.dir, next_offset, self.spec.segment_config())?;
        segment.sync().map_err(SyncError::into_inner)?;
        let mut file = RecoveryPointFile::new(&self.dir.path, self.spec.id());
        file.store(&self.dir.files, &RecoveryPoint::at_beginning_of(next_offset))?;
        file.sync(&self.dir.files)
    }

    /// All producers at the end of what is there so far.
    fn gather_producers(&self) -> Result<ProducerStates> {
        let sources = ProducerSources {
            dir: self.dir,
            noted: &self.manifest.segments,
            point: None,
            segments: &self.segments,
            tail: &[],
            end: u64::MAX,
        };
        if sources.are_any() { Ok(sources.gather()?.states) } else { Ok(ProducerStates::default()) }
    }
}
