//! Moving durability from the tail into the segments: syncing them, noting up to where, and what the sealed ones are.
//!
//! In this order: the segments are synced; what they are goes into the manifest; the recovery point rises. So whatever manifest
//! and recovery point say was true before they said it.

use std::collections::VecDeque;
use std::sync::Arc;

use super::compaction::replacement::CompactionState;
use super::manifest::{Manifest, ManifestSegment};
use super::producer_state::checkpointed::CheckpointProducers;
use super::producer_state::gathering::SegmentProducers;
use super::recovery_point::{RecoveryPoint, RecoveryPointFile};
use crate::error::{Error, Result};
use crate::segment::{IndexCrcs, ProducerFiles, ScanStart, Segment, SegmentDir, WrittenIndexes};

/// What is noted about a log beside its segments. Lives under the checkpoint lock.
#[derive(Debug)]
pub(crate) struct Checkpoint {
    pub(super) manifest: Manifest,
    /// Whether there is a manifest on the disk.
    has_manifest: bool,
    pub(super) file: RecoveryPointFile,
    stored: Option<RecoveryPoint>,
    point_is: PointIs,
    pub(super) epochs_file: EpochsFile,
    /// The index files of the active segment, which has this base offset.
    indexes: (u64, WrittenIndexes),
    pub(super) compaction: CompactionState,
    pub(super) producers: CheckpointProducers,
    /// Segments that the manifest does not name any more, and whose files may still be there.
    deleted: VecDeque<Arc<Segment>>,
    /// The older generation of the manifest may still name them.
    is_deleted_named: bool,
    /// The manifest was stored where it was, for want of room.
    is_in_place: bool,
}

/// How far the newest recovery point got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum PointIs {
    /// A power cut leaves it.
    Synced,
    /// A power cut may leave the point that was before it.
    Written,
    /// A sync of it may have failed: the system then shows what the medium lacks, and no later sync would write it.
    Distrusted,
}

/// So many bytes above the recovery point are synced and noted without waiting for a roll: what is above is read after a kill,
/// at 4.4 GB/s, and written once more.
pub(super) const UNNOTED_BYTES_MAX: u64 = 4 << 20;

impl Checkpoint {
    pub(super) fn new(manifest: Manifest, has_manifest: bool, file: RecoveryPointFile) -> Checkpoint {
        let (indexes, compaction, producers, deleted, is_deleted_named, is_in_place) = Default::default();
        Checkpoint {
            manifest,
            has_manifest,
            file,
            stored: None,
            point_is: PointIs::Synced,
            epochs_file: EpochsFile::Absent,
            indexes,
            compaction,
            producers,
            deleted,
            is_deleted_named,
            is_in_place,
        }
    }

    /// Takes over the point that was found, so that it is not stored again while nothing has changed: to open twice changes no
    /// byte the second time. The same goes for the leader epochs, if they were found. What was not closed may not be synced.
    pub(super) fn begin_from(&mut self, point: Option<RecoveryPoint>, epochs: EpochsFile, was_closed: bool) {
        if let Some(point) = &point {
            self.producers.begin_from(point.synced.next_offset, point.producers);
        }
        self.stored = point;
        self.point_is = if was_closed { PointIs::Synced } else { PointIs::Distrusted };
        let is_trusted = was_closed || epochs != EpochsFile::Whole;
        self.epochs_file = if is_trusted { epochs } else { EpochsFile::Doubtful };
    }

    /// Up to which byte of `active` the recovery point is.
    pub(super) fn noted_bytes(&self, active: &Segment) -> u64 {
        self.point_of(active).map_or(0, |point| point.synced.file_position)
    }

    /// The newest point, if it is of this segment.
    fn point_of(&self, active: &Segment) -> Option<&RecoveryPoint> {
        self.stored.as_ref().filter(|point| point.base_offset == active.base_offset())
    }

    /// Notes that everything in `active` and before it is synced up to where a sync went, and what its `producers` are up to there, if
    /// that is known. Of the index files it is still true what the point before said, if that was of the same segment.
    pub(super) fn store_synced(
        &mut self,
        dir: &SegmentDir,
        active: &Segment,
        synced: SyncedTo,
        leader_epoch: i32,
        producers: Option<&SegmentProducers>,
    ) -> Result<()> {
        let index_crcs = self.point_of(active).and_then(|point| point.synced.index_crcs);
        let producers = self.producers.store_at(dir, active, synced.next_offset, producers);
        self.store(dir, active, synced, leader_epoch, index_crcs, producers)
    }

    /// Makes the newest point survive a power cut.
    pub(super) fn sync_point(&mut self, dir: &SegmentDir) -> Result<()> {
        if self.point_is == PointIs::Distrusted
            && let Some(point) = &self.stored
        {
            self.file.store(&dir.files, point)?;
        }
        self.point_is = PointIs::Distrusted;
        self.file.sync(&dir.files)?;
        self.point_is = PointIs::Synced;
        Ok(())
    }

    /// Writes what the index of `active` has gained below `log_bytes`. Indexes are caches: without them the next one to open
    /// rebuilds them.
    pub(super) fn extend_indexes(
        &mut self,
        dir: &SegmentDir,
        active: &Segment,
        log_bytes: u64,
    ) -> Result<Option<IndexCrcs>> {
        if self.indexes.0 != active.base_offset() {
            self.indexes = (active.base_offset(), WrittenIndexes::default());
        }
        self.forget_indexes(dir)?;
        Ok(active.extend_indexes(log_bytes, &mut self.indexes.1).ok())
    }

    /// To be called before the index files of what is or was the active segment are changed, so that whoever reads along can
    /// tell that they are not what they were.
    pub(super) fn forget_indexes(&mut self, dir: &SegmentDir) -> Result<()> {
        let Some(mut point) = self.stored.clone() else { return Ok(()) };
        point.synced.index_crcs = None;
        self.store_if_new(dir, point)
    }

    /// Whether `active` is as it was when the log was closed.
    pub(super) fn is_as_closed(&self, active: &Segment, needs_epochs: bool) -> bool {
        let end = SyncedTo::of(active);
        let is_at_end = |point: &RecoveryPoint| {
            (point.base_offset, point.synced.file_position) == (end.base_offset, end.file_position)
                && point.synced.index_crcs.is_some()
        };
        self.point_is == PointIs::Synced && !needs_epochs && self.stored.as_ref().is_some_and(is_at_end)
    }

    /// Notes that everything is synced up to there, in `active`.
    pub(super) fn store(
        &mut self,
        dir: &SegmentDir,
        active: &Segment,
        synced: SyncedTo,
        leader_epoch: i32,
        index_crcs: Option<IndexCrcs>,
        producers: ProducerFiles,
    ) -> Result<()> {
        let SyncedTo { base_offset, file_position, next_offset, has_gaps, last_batch_position, max_timestamp } = synced;
        if base_offset > 0 && !self.has_manifest {
            // A point in a later segment than the first says that there is one, and that a log without one has lost it.
            self.manifest.store(&**dir.files.disk(), &dir.path)?;
            self.has_manifest = true;
        }
        let headers = active.header_sums(last_batch_position);
        let created_ms = active.created_ms();
        let synced = ScanStart { file_position, next_offset, leader_epoch, has_gaps, created_ms, headers, index_crcs };
        let other_files = self.point_of(active).map(|point| point.other_files.clone()).unwrap_or_default();
        self.store_if_new(dir, RecoveryPoint { base_offset, synced, max_timestamp, producers, other_files })
    }

    fn store_if_new(&mut self, dir: &SegmentDir, point: RecoveryPoint) -> Result<()> {
        if self.stored.as_ref() != Some(&point) {
            if self.point_is == PointIs::Synced {
                // Also if it fails half way.
                self.point_is = PointIs::Written;
            }
            self.file.store(&dir.files, &point)?;
            (self.stored, self.point_is) = (Some(point), PointIs::Written);
        }
        Ok(())
    }

    /// Notes that the log begins at `offset`. What ends below it does not count any more.
    pub(super) fn store_start(&mut self, dir: &SegmentDir, offset: u64) -> Result<()> {
        let manifest = self.manifest.starting_at(offset.max(self.manifest.log_start_offset));
        self.store_shorter(dir, &manifest)?;
        (self.manifest, self.has_manifest) = (manifest, true);
        Ok(())
    }

    /// Stores a manifest that is no longer than the one before, also where there is no room: what is deleted makes some.
    fn store_shorter(&mut self, dir: &SegmentDir, manifest: &Manifest) -> Result<()> {
        let disk = &**dir.files.disk();
        let stored = manifest.store(disk, &dir.path);
        let is_full = matches!(stored, Err(Error::DiskFull { .. }));
        if is_full { manifest.store_in_place(disk, &dir.path) } else { stored }?;
        self.is_in_place = is_full;
        Ok(())
    }

    /// Where the last of these segments ends that the manifest has, with all before it, and that ends at or below `offset`.
    pub(super) fn noted_end(&self, segments: &[Arc<Segment>], offset: u64) -> Option<u64> {
        let sealed = segments.split_last().map_or(&[][..], |(_, sealed)| sealed);
        let ends = sealed.iter().zip(&self.manifest.segments);
        let is_noted = |(segment, noted): &(&Arc<Segment>, &ManifestSegment)| {
            let end = segment.next_offset();
            end == noted.sealed.next_offset && end <= offset
        };
        ends.take_while(is_noted).last().map(|(segment, _)| segment.next_offset())
    }

    /// Has the files of these segments removed, which the manifest does not name any more.
    pub(super) fn note_deleted(&mut self, segments: Vec<Arc<Segment>>) {
        self.is_deleted_named |= !segments.is_empty();
        self.deleted.extend(segments);
    }

    /// Removes at most so many deleted segments; whether none is left. Whatever fails is tried again the next time, or by recovery.
    pub(super) fn remove_deleted(&mut self, dir: &SegmentDir, bytes_max: u64) -> Result<bool> {
        if self.is_deleted_named && !self.is_in_place {
            // If the newest generation is damaged later, the one before must not speak of files that are gone.
            let manifest = self.manifest.clone();
            self.store_shorter(dir, &manifest)?;
        }
        self.is_deleted_named = false;
        let mut bytes = 0;
        while bytes < bytes_max
            && let Some(segment) = self.deleted.front()
        {
            bytes += segment.log_bytes().max(1);
            segment.remove()?;
            self.deleted.pop_front();
        }
        if self.is_in_place && self.deleted.is_empty() {
            // Where others have taken the room, the next store does it.
            self.is_in_place = self.manifest.store(&**dir.files.disk(), &dir.path).is_err();
        }
        Ok(self.deleted.is_empty())
    }

    /// Notes sealed segments that the manifest does not have yet.
    pub(super) fn seal_segments(&mut self, dir: &SegmentDir, sealed: &[Arc<Segment>]) -> Result<()> {
        let known = self.manifest.segments.last().map_or(0, |segment| segment.sealed.next_offset);
        let new: Vec<_> =
            sealed.iter().filter(|s| s.base_offset() >= known && s.next_offset() > s.base_offset()).collect();
        if new.is_empty() {
            return Ok(());
        }
        self.forget_indexes(dir)?;
        // What fails midway is noted as a whole the next time.
        let mut manifest = self.manifest.clone();
        for segment in new {
            // Indexes are caches: without them the next one to open rebuilds them.
            _ = segment.write_indexes();
            let log_crc32 = segment.log_crc32()?;
            let mut noted = ManifestSegment::new(segment.describe(), Some(log_crc32));
            noted.producers = self.producers.store(dir, segment);
            manifest.segments.push(noted);
        }
        manifest.store(&**dir.files.disk(), &dir.path)?;
        (self.manifest, self.has_manifest) = (manifest, true);
        self.producers.are_noted(self.manifest.segments.last().map_or(0, |noted| noted.sealed.next_offset));
        Ok(())
    }
}

/// What there is of the file of the leader epochs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum EpochsFile {
    /// It says what is so, and survives a power cut.
    Whole,
    /// It makes no sense, or may not survive.
    Doubtful,
    Absent,
}

/// Where the active segment ended when a sync of it began.
#[derive(Debug, Clone, Copy)]
pub(super) struct SyncedTo {
    base_offset: u64,
    pub(super) file_position: u64,
    pub(super) next_offset: u64,
    has_gaps: bool,
    last_batch_position: Option<u64>,
    max_timestamp: Option<i64>,
}

impl SyncedTo {
    /// The end of `active`, to which nobody appends meanwhile.
    pub(super) fn of(active: &Segment) -> SyncedTo {
        SyncedTo {
            base_offset: active.base_offset(),
            file_position: active.log_bytes(),
            next_offset: active.next_offset(),
            has_gaps: active.has_gaps(),
            last_batch_position: active.last_batch_position(),
            max_timestamp: active.max_timestamp(),
        }
    }
}
