//! New segments take the place of old ones, in one step whatever happens.
//!
//! ```text
//! 1  *.cleaned            written and synced
//! 2  *.cleaned → *.swap   and the directory synced: complete, and of no effect
//! 3  manifest             stored with the new segments in place of the old ones: from here on they count
//! 4  *.swap → live        and the directory synced; files of the same names are replaced
//! 5  manifest             stored again, so that its older generation speaks of no file that goes now
//! 6  old files            removed
//! ```
//! The first two need no lock, the others are done under the checkpoint lock. A crash before 3 leaves the old log, and `recovery` removes what was written beside it; from 3 on it finishes 4 and 6. Bytes
//! of old files are never overwritten: who has one open or mapped goes on with it, and who wants to open it by its name is
//! refused, and looks again. Errors from 4 on leave a log that works; the rest is done in the next pass.

use std::sync::Arc;

use super::super::checkpoint::Checkpoint;
use super::super::manifest::{Manifest, ManifestSegment};
use crate::canary::{Canary, planted};
use crate::disk::append_file::AppendError;
use crate::error::{Corruption, Error, Result};
use crate::format::{BatchHeader, Invalid};
use crate::segment::file_name::{self, Stage};
use crate::segment::{AbortedTransaction, FileSum, Segment, SegmentConfig, SegmentDir};

/// A sealed segment, and what its log file was when it was sealed.
#[derive(Debug)]
pub(super) struct SealedLog {
    pub(super) segment: Arc<Segment>,
    pub(super) log_crc32: Option<u32>,
    /// From when on a tombstone in it may go.
    pub(super) delete_horizon: Option<i64>,
}

impl SealedLog {
    /// When its youngest record was sent, as far as that can be believed: no earlier than the segment was begun, and no later than
    /// it was closed.
    pub(super) fn youngest_ms(&self) -> i64 {
        let (created, rolled) = (self.segment.created_ms(), self.segment.rolled_ms());
        let youngest = self.segment.max_timestamp().or(rolled).or(created).unwrap_or(0);
        youngest.min(rolled.unwrap_or(i64::MAX)).max(created.unwrap_or(0))
    }

    /// The error for a batch whose records cannot be read.
    pub(super) fn unreadable(&self, header: &BatchHeader, invalid: Invalid) -> Error {
        let (partition, offsets) = (self.segment.partition().clone(), header.base_offset()..header.next_offset());
        match invalid {
            Invalid::Codec(codec) => Error::CodecUnavailable { partition, offsets, codec: codec.name() },
            Invalid::Malformed(reason) => self.corrupt(offsets, reason),
        }
    }

    /// The error for a log file of which every batch is right in itself.
    pub(super) fn not_what_was_sealed(&self) -> Error {
        let offsets = self.segment.base_offset()..self.segment.next_offset();
        self.corrupt(offsets, "the log file is not the one that was sealed")
    }

    fn corrupt(&self, offsets: std::ops::Range<u64>, reason: &'static str) -> Error {
        let (partition, path) = (Some(self.segment.partition().clone()), self.segment.path());
        Error::Corrupt(Box::new(Corruption { partition, path, file_position: 0, offsets: Some(offsets), reason }))
    }
}

/// The segments that are being written.
#[derive(Debug)]
pub(super) struct Output {
    dir: Arc<SegmentDir>,
    config: SegmentConfig,
    base_offset: u64,
    /// What all of them have together, at most about.
    bytes_max: u64,
    /// When the first of what they replace was begun, and the last one closed: rewriting makes nothing younger.
    created_ms: Option<i64>,
    rolled_ms: Option<i64>,
    /// What is over then was looked at.
    horizons_after_ms: i64,
    segments: Vec<Arc<Segment>>,
    /// Of each of them, from when on a tombstone in it may go.
    horizons: Vec<Option<i64>>,
    /// Of each of them, the aborted transactions that end in it.
    aborted: Vec<Vec<AbortedTransaction>>,
}

impl Output {
    /// Begins to write what replaces `run`. No file is made before there is a batch. Delete horizons up to `horizons_after_ms` are
    /// of no interest any more.
    pub(super) fn begin(
        dir: &Arc<SegmentDir>,
        config: SegmentConfig,
        base_offset: u64,
        run: &[SealedLog],
        horizons_after_ms: i64,
    ) -> Output {
        // Old records lie beside young ones here, and belong together.
        let config = SegmentConfig { segment_ms: i64::MAX, ..config };
        let bytes_max = run.iter().map(|sealed| sealed.segment.log_bytes()).sum();
        Output {
            dir: Arc::clone(dir),
            config,
            base_offset,
            bytes_max,
            created_ms: run.iter().filter_map(|sealed| sealed.segment.created_ms()).min(),
            rolled_ms: run.iter().filter_map(|sealed| sealed.segment.rolled_ms()).max(),
            horizons_after_ms,
            segments: Vec::new(),
            horizons: Vec::new(),
            aborted: Vec::new(),
        }
    }

    /// Writes a batch, into another segment if the one before is full.
    pub(super) fn push(&mut self, batch: &[u8]) -> Result<()> {
        let header =
            BatchHeader::decode(batch).map_err(|_| Error::InvalidState { reason: "a batch without a header" })?;
        let bytes = batch.len() as u64;
        let has_room =
            |segment: &&Arc<Segment>| !segment.must_roll_before(bytes, header.last_offset(), header.max_timestamp);
        let segment = match self.segments.last().filter(has_room) {
            Some(segment) => Arc::clone(segment),
            None if planted(Canary::LoseAtSplit) && !self.segments.is_empty() => {
                self.next_segment()?;
                return Ok(());
            }
            None => self.next_segment()?,
        };
        if let Some(horizon) = header.delete_horizon().filter(|&horizon| self.horizons_after_ms < horizon)
            && let Some(first) = self.horizons.last_mut()
        {
            *first = Some(first.map_or(horizon, |first| first.min(horizon)));
        }
        segment.append(batch, &header).map_err(AppendError::into_inner)
    }

    /// Notes the aborted transactions that end with what was pushed last.
    pub(super) fn note_aborted(&mut self, aborted: Vec<AbortedTransaction>) {
        if let Some(last) = self.aborted.last_mut() {
            last.extend(aborted);
        }
    }

    fn next_segment(&mut self) -> Result<Arc<Segment>> {
        let base_offset = self.segments.last().map_or(self.base_offset, |segment| segment.next_offset());
        let capacity_bytes = self.bytes_max.min(u64::from(self.config.segment_bytes));
        let segment = Arc::new(Segment::create_cleaned(&self.dir, base_offset, self.config, capacity_bytes)?);
        self.created_ms.into_iter().for_each(|ms| segment.note_created(ms));
        self.rolled_ms.into_iter().for_each(|ms| segment.note_rolled(ms));
        self.segments.push(Arc::clone(&segment));
        self.horizons.push(None);
        self.aborted.push(Vec::new());
        Ok(segment)
    }

    /// Makes all of them durable under their second names, the highest offset first, as Kafka does: whoever finds one may
    /// believe that those above it are there.
    fn set_aside(&self) -> Result<()> {
        self.segments.iter().rev().try_for_each(|segment| segment.set_aside())?;
        sync_dir(&self.dir)?;
        self.segments.iter().for_each(|segment| segment.name_is_synced());
        Ok(())
    }

    /// Makes all of them complete; what the manifest is to say of them. After an error they are removed.
    pub(super) fn complete(&self) -> Result<Vec<ManifestSegment>> {
        let complete = || {
            let indexes = self.write_indexes()?;
            self.set_aside()?;
            self.describe(&indexes)
        };
        complete().inspect_err(|_| self.discard())
    }

    /// Writes their transaction indexes; what is to be noted of these.
    fn write_indexes(&self) -> Result<Vec<Option<FileSum>>> {
        let segments = self.segments.iter().zip(&self.aborted);
        segments.map(|(segment, aborted)| segment.write_transaction_index(Stage::Cleaned, aborted)).collect()
    }

    fn describe(&self, indexes: &[Option<FileSum>]) -> Result<Vec<ManifestSegment>> {
        let describe = |((segment, horizon), index): ((&Arc<Segment>, &Option<i64>), &Option<FileSum>)| {
            let log_crc32 = segment.log_crc32()?;
            let mut noted = ManifestSegment::new(segment.describe(), Some(log_crc32));
            noted.delete_horizon = *horizon;
            noted.producers.transaction_index = *index;
            Ok(noted)
        };
        self.segments.iter().zip(&self.horizons).zip(indexes).map(describe).collect()
    }

    /// Removes the files, as far as that goes: recovery or the next attempt removes the rest.
    pub(super) fn discard(&self) {
        for segment in &self.segments {
            for stage in [Stage::Cleaned, Stage::Swap] {
                _ = file_name::remove_files(&**self.dir.files.disk(), &self.dir.path, segment.base_offset(), stage);
            }
        }
    }
}

/// May be called again after it failed, by a later pass, though a sync that succeeds then proves nothing: whichever names a power
/// cut brings back, recovery finishes from them. Before the manifest is stored they are of no effect, and what could not be set
/// aside is discarded and made anew; afterwards it stands for the new segments, under either name.
fn sync_dir(dir: &SegmentDir) -> Result<()> {
    dir.files.sync_dir(&dir.path).map_err(|source| Error::io("sync", &dir.path, source))
}

/// What compaction has to remember from pass to pass. Lives under the checkpoint lock.
#[derive(Debug, Default)]
pub(in crate::partition) struct CompactionState {
    /// The manifest has been stored, and not all files have their names yet or are gone.
    unfinished: Option<Replacement>,
    /// Storing the manifest failed: whether it speaks of these is not known.
    doubtful: Option<Output>,
}

/// A replacement that counts.
#[derive(Debug)]
struct Replacement {
    new: Vec<Arc<Segment>>,
    old: Vec<Arc<Segment>>,
}

impl Replacement {
    /// Does what is left to do, on the files. Doing it again is no error.
    fn finish(&self, dir: &SegmentDir, manifest: &Manifest) -> Result<()> {
        let is_kept = |old: &Arc<Segment>| self.new.iter().any(|new| new.base_offset() == old.base_offset());
        let (renamed, superfluous): (Vec<_>, Vec<_>) = self.old.iter().partition(|old| is_kept(old));
        for segment in renamed {
            segment.forget_name();
        }
        self.new.iter().try_for_each(|segment| segment.go_live())?;
        sync_dir(dir)?;
        manifest.store(&**dir.files.disk(), &dir.path)?;
        superfluous.iter().try_for_each(|segment| segment.remove())
    }
}

impl Checkpoint {
    /// The segments at the front that the manifest has just as they are.
    pub(super) fn sealed_logs(&self, segments: &[Arc<Segment>]) -> Vec<SealedLog> {
        let sealed = segments.split_last().map_or(&[][..], |(_, sealed)| sealed);
        let pairs = sealed.iter().zip(&self.manifest.segments);
        let is_same = |(segment, noted): &(&Arc<Segment>, &ManifestSegment)| {
            segment.base_offset() == noted.sealed.base_offset && segment.next_offset() == noted.sealed.next_offset
        };
        let sealed_log = |(segment, noted): (&Arc<Segment>, &ManifestSegment)| SealedLog {
            segment: Arc::clone(segment),
            log_crc32: noted.log_crc32,
            delete_horizon: noted.delete_horizon,
        };
        pairs.take_while(is_same).map(sealed_log).collect()
    }

    /// Whether no error has interrupted anything.
    pub(super) fn is_settled(&self) -> bool {
        self.compaction.doubtful.is_none() && self.compaction.unfinished.is_none()
    }

    /// Brings what an error has interrupted to its end, one way or the other.
    pub(in crate::partition) fn settle_replacement(&mut self, dir: &SegmentDir) -> Result<()> {
        if let Some(output) = &self.compaction.doubtful {
            // First it must not speak of the files any more.
            self.manifest.store(&**dir.files.disk(), &dir.path)?;
            output.discard();
            self.compaction.doubtful = None;
        }
        if let Some(replacement) = &self.compaction.unfinished {
            replacement.finish(dir, &self.manifest)?;
            self.compaction.unfinished = None;
        }
        Ok(())
    }

    /// Puts `output`, which is complete and to be `noted`, into the place of `run`. Once it counts, `show` tells readers of the old
    /// and the new segments. `false`, and `output` is removed, if the manifest does not have the run any more. With `is_clean` it is
    /// compacted up to its end then.
    pub(super) fn replace(
        &mut self,
        dir: &SegmentDir,
        run: &[SealedLog],
        output: Output,
        noted: Vec<ManifestSegment>,
        is_clean: bool,
        show: impl FnOnce(&[Arc<Segment>], &[Arc<Segment>]),
    ) -> Result<bool> {
        let Some(manifest) =
            self.manifest.with_cleaned(run.iter().map(|sealed| sealed.segment.base_offset()), noted, is_clean)
        else {
            output.discard();
            return Ok(false);
        };
        if let Err(error) = manifest.store(&**dir.files.disk(), &dir.path) {
            self.compaction.doubtful = Some(output);
            return Err(error);
        }
        self.manifest = manifest;
        let old: Vec<_> = run.iter().map(|sealed| Arc::clone(&sealed.segment)).collect();
        show(&old, &output.segments);
        self.compaction.unfinished = Some(Replacement { new: output.segments, old });
        self.settle_replacement(dir)?;
        Ok(true)
    }
}
