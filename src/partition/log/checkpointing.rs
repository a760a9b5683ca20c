//! When a log is synced and noted, and how it is closed.

use std::sync::Arc;

use super::Log;
use crate::error::Result;
use crate::partition::bell::Work;
use crate::partition::checkpoint::{Checkpoint, EpochsFile, SyncedTo, UNNOTED_BYTES_MAX};
use crate::partition::durability::Durability;
use crate::partition::log_view::Segments;
use crate::sync::atomic::Ordering;

impl Log {
    /// Runs a checkpoint if there is enough above the recovery point to make it worthwhile, if that frees slots that others wait
    /// for, or if an earlier process has left something un-synced. `false` if somebody else has what that takes, and it is to be
    /// looked at again.
    pub(crate) fn checkpoint_if_due(&self, slots_are_short: bool) -> Result<bool> {
        let is_due = self.has_unnoted_segments()
            || self.holds_slots(slots_are_short)
            || self.unnoted_bytes() > UNNOTED_BYTES_MAX
            || self.owes_rewrite()
            || self.owes_point();
        if !is_due || self.check_unharmed().is_err() || self.is_closed() {
            return Ok(true);
        }
        let synced_ahead = self.sync_ahead()?;
        // Somebody may be verifying this log, say. Others are not to wait for that.
        let Some(mut checkpoint) = self.checkpoint.try_lock() else {
            // What was to be noted is so still.
            self.owes_point.fetch_or(synced_ahead.is_some(), Ordering::AcqRel);
            return Ok(false);
        };
        match synced_ahead {
            Some((segments, synced)) if self.begins_with(&segments) => {
                self.check_present()?;
                self.note_and_free(&mut checkpoint, &segments, synced)?;
            }
            _ => self.run_checkpoint(&mut checkpoint)?,
        }
        Ok(true)
    }

    /// Where a sender may wait for the oldest segment to be deleted, syncs with no lock that this takes: what is written at full speed
    /// may take long, and what is old has been synced long ago.
    fn sync_ahead(&self) -> Result<Option<(Segments, Option<SyncedTo>)>> {
        if self.environment.budget.is_none() {
            return Ok(None);
        }
        self.pays_point();
        self.sync_segments().map(Some)
    }

    /// Whether the log has these segments still, and perhaps more behind them.
    fn begins_with(&self, segments: &Segments) -> bool {
        let present = self.segments();
        segments.len() <= present.len()
            && segments.iter().zip(present.iter()).all(|(one, other)| Arc::ptr_eq(one, other))
    }

    /// Notes the sealed segments, as far as they are not noted yet, and those that full batches end first; waits for whoever notes some
    /// of them now.
    pub(in crate::partition) fn note_sealed_segments(&self) -> Result<()> {
        if let Err(error) = self.sealing().seal_all_full()
            // What there is without them makes room, perhaps.
            && !error.is_retriable()
        {
            return Err(error);
        }
        if !self.has_unnoted_segments() {
            return Ok(());
        }
        let mut checkpoint = self.checkpoint.lock();
        self.check_present()?;
        // They may have been, while this waited.
        if self.has_unnoted_segments() { self.run_checkpoint(&mut checkpoint) } else { Ok(()) }
    }

    /// Writes down the leader epochs, if there was no room for that when the log was opened; for callers that hold no lock of the
    /// log. Records can be appended from then on.
    #[inline]
    pub(crate) fn store_owed_epochs(&self) -> Result<()> {
        if self.owes_epochs() { self.store_epochs_now() } else { Ok(()) }
    }

    #[cold]
    fn store_epochs_now(&self) -> Result<()> {
        // Also against another thread that is at it: the file is written under one name.
        let mut checkpoint = self.checkpoint.lock();
        self.check_present()?;
        self.store_epochs(&mut checkpoint)
    }

    fn store_epochs(&self, checkpoint: &mut Checkpoint) -> Result<()> {
        if checkpoint.epochs_file != EpochsFile::Whole {
            self.epochs.store(&*self.environment.disk, &self.spec.dir)?;
            checkpoint.epochs_file = EpochsFile::Whole;
        }
        self.epochs_are_stored();
        Ok(())
    }

    /// Whether the leader epochs are to be written down. Nobody misses the file of a log that has one segment and never had another
    /// epoch than 0, the one that every log begins with: closing a thousand new partitions would take a third longer with it.
    fn needs_epochs(&self, checkpoint: &Checkpoint, segments: &Segments) -> bool {
        match checkpoint.epochs_file {
            EpochsFile::Whole => false,
            EpochsFile::Doubtful => true,
            EpochsFile::Absent => segments.len() > 1 || !self.epochs.are_first(),
        }
    }

    /// Syncs the segments, notes the sealed ones and the index of the active one, and lets the recovery point rise.
    pub(super) fn run_checkpoint(&self, checkpoint: &mut Checkpoint) -> Result<()> {
        self.pays_point();
        let (segments, synced) = self.sync_segments()?;
        self.note_and_free(checkpoint, &segments, synced)
    }

    fn note_and_free(&self, checkpoint: &mut Checkpoint, segments: &Segments, synced: Option<SyncedTo>) -> Result<()> {
        let noted = self.note_synced(checkpoint, segments, synced);
        self.free_slots(synced);
        noted
    }

    /// Notes the sealed segments, the index of the active one, and that everything is synced up to there.
    fn note_synced(&self, checkpoint: &mut Checkpoint, segments: &Segments, synced: Option<SyncedTo>) -> Result<()> {
        self.note_sealed(checkpoint, segments)?;
        // Of a log that was made as a copy the last one may be sealed: nothing is to be noted of it, and its indexes are whole.
        let active = segments.last().filter(|last| !last.is_sealed());
        let (Some(active), Some(synced)) = (active, synced) else { return Ok(()) };
        let index_crcs = checkpoint.extend_indexes(&self.dir, active, synced.file_position)?;
        let leader_epoch = self.epochs.least_from(synced.next_offset);
        let producers = self.producers_synced(synced.next_offset);
        let producers = checkpoint.producers.store_at(&self.dir, active, synced.next_offset, producers.as_ref());
        checkpoint.store(&self.dir, active, synced, leader_epoch, index_crcs, producers)?;
        self.point_is_at(synced.file_position);
        Ok(())
    }

    /// Notes the sealed ones of segments that are synced.
    fn note_sealed(&self, checkpoint: &mut Checkpoint, segments: &Segments) -> Result<()> {
        self.tell_producers(checkpoint);
        let Some((active, sealed)) = segments.split_last() else { return Ok(()) };
        if self.needs_epochs(checkpoint, segments) {
            self.store_epochs(checkpoint)?;
        }
        let is_new = self.has_unnoted_segments();
        checkpoint.seal_segments(&self.dir, sealed)?;
        self.indexes_are_written(active.base_offset());
        self.sealed_are_noted(sealed.len());
        if is_new && self.spec.compaction().is_some() {
            self.environment.bell.ring(Work::Compaction);
        }
        Ok(())
    }

    /// Seals the open batch and leaves everything synced, noted and indexed, for a clean shutdown. The log is closed, also
    /// after an error: another process may write it as soon as the broker's lock is given up.
    pub(crate) fn close_cleanly(&self) -> Result<()> {
        self.close_with(|appender| {
            self.check_unharmed()?;
            appender.seal(self)?;
            self.sealing().settle_active()
        })?;
        let mut checkpoint = self.checkpoint.lock();
        if self.owes_epochs() {
            // Also where there is no record: the lost ones that it was raised for may have been seen.
            self.store_epochs(&mut checkpoint)?;
        }
        let segments = self.segments();
        let Some(active) = segments.last() else { return Ok(()) };
        if active.is_sealed() {
            // A log that was made as a copy, and has nothing since: all of it is noted, and its indexes have their last entries.
            return checkpoint.settle_replacement(&self.dir);
        }
        let needs_epochs = self.needs_epochs(&checkpoint, &segments);
        if self.has_unnoted_segments() || !checkpoint.is_as_closed(active, needs_epochs) {
            // Before the segment's name is synced: one sync of the directory is for both. If there is no room, there may be later.
            let is_made = self.before_name_is_synced(active, || checkpoint.file.make(&self.dir.files).unwrap_or(false));
            let (segments, synced) = self.sync_segments()?;
            if is_made {
                checkpoint.file.note_name_synced();
            }
            self.note_sealed(&mut checkpoint, &segments)?;
            checkpoint.forget_indexes(&self.dir)?;
            let index_crcs = active.write_indexes().ok();
            let leader_epoch = self.epochs.least_from(active.next_offset());
            let producers = self.producers_of_active(active.base_offset());
            let producers = checkpoint.producers.store_at(&self.dir, active, active.next_offset(), Some(&producers));
            checkpoint.store(&self.dir, active, SyncedTo::of(active), leader_epoch, index_crcs, producers)?;
            checkpoint.sync_point(&self.dir)?;
            self.free_slots(synced);
        }
        checkpoint.settle_replacement(&self.dir)
    }

    /// Has what the topic is configured with now count for the very next record: what is open is sealed, unless there is no room for
    /// that, and then it counts for the next batch. What sends survive counts at once, whichever tail the next batch is in.
    pub(crate) fn obey_settings(&self) {
        // What is being deleted by the settings from before is deleted when this returns.
        drop(self.retaining.lock());
        {
            let mut appender = self.appender.lock();
            self.configure_segments();
            // Of a log that refuses writes nobody is to see more than before.
            if self.check_writable().is_ok() {
                self.set_always(self.spec.durability() == Durability::Always);
                // What went wrong other than that has poisoned the log, which says so at the next send.
                _ = appender.seal(&self.core);
            }
        }
        // Ahead of need, for the next batch.
        self.environment.group(self.is_always()).tail().supply_if_short();
        // They may see more now.
        self.waiters.wake_unlocked();
    }

    fn configure_segments(&self) {
        // Or one that is being begun by the settings from before would come to it afterwards.
        let _nobody_begins_one = self.sealing();
        let config = self.spec.segment_config();
        for segment in self.segments().iter() {
            segment.configure(config);
        }
    }

    /// Returns once everything that readers may have seen before the topic became [`Durability::Always`] is durable, too.
    ///
    /// # Errors
    /// As [`wait_durable`](Log::wait_durable).
    pub(crate) fn settle_durability(self: &Arc<Log>) -> Result<()> {
        let is_settled = self.spec.durability() != Durability::Always || self.is_closed();
        if is_settled { Ok(()) } else { self.wait_durable(self.log_end_offset()) }
    }

    /// Seals the open batch if nothing was appended since the last call, to give its slot to a busier log.
    pub(crate) fn seal_if_idle(&self) -> Result<()> {
        self.check_unharmed()?;
        let mut appender = self.appender.lock();
        if self.is_closed() { Ok(()) } else { appender.seal_if_idle(self) }
    }
}
