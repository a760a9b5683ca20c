//! Moving durability from the tail into the segments: syncing them, noting up to where, and what the sealed ones are.
//!
//! In this order: the segments are synced; what they are goes into the manifest; the recovery point rises. So whatever manifest
//! and recovery point say was true before they said it.

use std::sync::Arc;

use super::compaction::replacement::CompactionState;
use super::log::Log;
use super::manifest::{Manifest, ManifestSegment};
use super::recovery_point::{RecoveryPoint, RecoveryPointFile};
use crate::error::Result;
use crate::segment::{IndexCrcs, ScanStart, Segment, SegmentDir};

/// What is noted about a log beside its segments. Lives under the checkpoint lock.
#[derive(Debug)]
pub(crate) struct Checkpoint {
    pub(super) manifest: Manifest,
    file: RecoveryPointFile,
    stored: Option<RecoveryPoint>,
    epochs_are_stored: bool,
    pub(super) compaction: CompactionState,
}

/// So many un-synced bytes in segments are synced without waiting for a roll, to keep small what recovery has to read.
const UNSYNCED_BYTES_MAX: u64 = 16 << 20;

impl Checkpoint {
    pub(super) fn new(manifest: Manifest, file: RecoveryPointFile) -> Checkpoint {
        let compaction = CompactionState::default();
        Checkpoint { manifest, file, stored: None, epochs_are_stored: false, compaction }
    }

    /// Takes over the point that was found, so that it is not stored again while nothing has changed: to open twice changes no
    /// byte the second time.
    pub(super) fn begin_from(&mut self, point: Option<RecoveryPoint>) {
        self.stored = point;
    }

    /// Notes that everything in `active` and before it is synced, as it is now.
    pub(super) fn store_point(
        &mut self,
        dir: &SegmentDir,
        active: Option<&Arc<Segment>>,
        leader_epoch: i32,
    ) -> Result<()> {
        match active {
            Some(active) => self.store(dir, SyncedTo::of(active), leader_epoch, None).map(drop),
            None => Ok(()),
        }
    }

    /// Notes that everything is synced up to there; whether that is new.
    fn store(
        &mut self,
        dir: &SegmentDir,
        synced: SyncedTo,
        leader_epoch: i32,
        index_crcs: Option<IndexCrcs>,
    ) -> Result<bool> {
        let SyncedTo { base_offset, file_position, next_offset, has_gaps } = synced;
        let synced = ScanStart { file_position, next_offset, leader_epoch, has_gaps, index_crcs };
        let point = RecoveryPoint { base_offset, synced };
        let is_new = self.stored != Some(point);
        if is_new {
            self.file.store(&dir.files, &point)?;
            self.stored = Some(point);
        }
        Ok(is_new)
    }

    /// Notes sealed segments that the manifest does not have yet.
    fn seal_segments(&mut self, dir: &SegmentDir, sealed: &[Arc<Segment>]) -> Result<()> {
        let known = self.manifest.segments.last().map_or(0, |segment| segment.sealed.next_offset);
        let new: Vec<_> =
            sealed.iter().filter(|s| s.base_offset() >= known && s.next_offset() > s.base_offset()).collect();
        if new.is_empty() {
            return Ok(());
        }
        // What fails midway is noted as a whole the next time.
        let mut manifest = self.manifest.clone();
        for segment in new {
            // Indexes are caches: without them the next one to open rebuilds them.
            _ = segment.write_indexes();
            let log_crc32 = segment.log_crc32()?;
            manifest.segments.push(ManifestSegment { sealed: segment.describe(), log_crc32 });
        }
        manifest.store(&**dir.files.disk(), &dir.path)?;
        self.manifest = manifest;
        Ok(())
    }
}

/// Where the active segment ended when a sync of it began.
#[derive(Debug, Clone, Copy)]
pub(super) struct SyncedTo {
    base_offset: u64,
    file_position: u64,
    pub(super) next_offset: u64,
    has_gaps: bool,
}

impl SyncedTo {
    /// The end of `active`, to which nobody appends meanwhile.
    pub(super) fn of(active: &Segment) -> SyncedTo {
        SyncedTo {
            base_offset: active.base_offset(),
            file_position: active.log_bytes(),
            next_offset: active.next_offset(),
            has_gaps: active.has_gaps(),
        }
    }
}

impl Log {
    /// Runs a checkpoint if enough is un-synced to make it worthwhile, or if that frees slots that others wait for.
    pub(crate) fn checkpoint_if_due(&self, slots_are_short: bool) -> Result<()> {
        let is_due = self.has_unnoted_segments()
            || self.holds_slots(slots_are_short)
            || self.unsynced_bytes() > UNSYNCED_BYTES_MAX;
        if !is_due || self.check_unharmed().is_err() || self.is_closed() {
            return Ok(());
        }
        match self.checkpoint.try_lock() {
            Some(mut checkpoint) => self.run_checkpoint(&mut checkpoint),
            // Somebody verifies this log, say. Others are not to wait for that; the next pass looks again.
            None => Ok(()),
        }
    }

    /// Syncs the segments, notes the sealed ones, and lets the recovery point rise.
    fn run_checkpoint(&self, checkpoint: &mut Checkpoint) -> Result<()> {
        match self.seal_segments(checkpoint)? {
            Some(synced) => checkpoint.store(&self.dir, synced, self.epochs.latest(), None).map(drop),
            None => Ok(()),
        }
    }

    /// Syncs the segments and notes the sealed ones; returns up to where everything is synced, if there is a segment.
    fn seal_segments(&self, checkpoint: &mut Checkpoint) -> Result<Option<SyncedTo>> {
        let (segments, synced) = self.sync_segments()?;
        if !checkpoint.epochs_are_stored && synced.is_some() {
            self.epochs.store(&*self.environment.disk, &self.spec.dir)?;
            checkpoint.epochs_are_stored = true;
        }
        if let Some((_, sealed)) = segments.split_last() {
            checkpoint.seal_segments(&self.dir, sealed)?;
            self.sealed_are_noted(sealed.len());
        }
        Ok(synced)
    }

    /// Seals the open batch and leaves everything synced, noted and indexed, for a clean shutdown. The log is closed, also
    /// after an error: another process may write it as soon as the broker's lock is given up.
    pub(crate) fn close_cleanly(&self) -> Result<()> {
        self.close_with(|appender| self.check_unharmed().and_then(|()| appender.seal(self)))?;
        let mut checkpoint = self.checkpoint.lock();
        self.seal_segments(&mut checkpoint)?;
        let segments = self.segments();
        let Some(active) = segments.last() else { return Ok(()) };
        let index_crcs = active.write_indexes().ok();
        if checkpoint.store(&self.dir, SyncedTo::of(active), self.epochs.latest(), index_crcs)? {
            checkpoint.file.sync(&self.dir.files)?;
        }
        checkpoint.settle_replacement(&self.dir)
    }

    /// Seals the open batch if nothing was appended since the last call, to give its slot to a busier log.
    pub(crate) fn seal_if_idle(&self) -> Result<()> {
        self.check_unharmed()?;
        let mut appender = self.appender.lock();
        if self.is_closed() { Ok(()) } else { appender.seal_if_idle(self) }
    }
}
