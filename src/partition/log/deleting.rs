//! Deleting records at the front of a log: its start moves, and the segments that end below it go.
//!
//! ```text
//! 1  segments     synced up to the new start, and noted: a log never ends below its start
//! 2  manifest     stored with the new start, without the segments that go: from here on they do not count
//! 3  view         readers get the new start together with what is left
//! 4  manifest     stored again, so that its older generation names no file that goes
//! 5  files        removed
//! ```
//! A crash before 2 leaves the old log; after it, recovery removes the files that lie below the start. Errors from 3 on leave a log
//! that works; the rest is done by the next call, the next pass of the maintenance, or the next opening. Who reads in a segment
//! that goes keeps its bytes; who comes later gets [`Error::OffsetOutOfRange`].

use super::Log;
use crate::canary::{Canary, planted};
use crate::error::{Error, Result};
use crate::events::{DeletedBy, Event};
use crate::partition::checkpoint::Checkpoint;
use crate::sync::atomic::Ordering;

impl Log {
    /// Deletes all records below `offset`, which may be the last stable offset. Returns the first offset that there is then, which is higher
    /// if that was so before. The segment that `offset` lies in stays as it is.
    ///
    /// # Errors
    /// [`Error::OffsetOutOfRange`] above the last stable offset, where a transaction is open; [`Error::Poisoned`] and what [`wait_durable`](Log::wait_durable) says, if
    /// what stays cannot be made durable; [`Error::DiskFull`], [`Error::Io`]. The start may have moved then, but no further.
    pub(crate) fn delete_before(&self, offset: u64) -> Result<u64> {
        self.check_not_forked()?;
        self.check_deletable(offset)?;
        match self.delete_exactly(offset) {
            Err(full @ Error::DiskFull { .. }) => {
                if !self.make_room(&mut self.checkpoint.lock(), offset, u64::MAX, DeletedBy::DeleteRecords)? {
                    return Err(full);
                }
                self.delete_exactly(offset)?;
            }
            deleted => deleted?,
        }
        Ok(self.log_start_offset())
    }

    fn delete_exactly(&self, offset: u64) -> Result<()> {
        if offset <= self.log_start_offset() {
            return Ok(());
        }
        self.leave_below(offset)?;
        let mut checkpoint = self.checkpoint.lock();
        self.check_present()?;
        checkpoint.settle_replacement(&self.dir)?;
        self.run_checkpoint(&mut checkpoint)?;
        self.move_start(&mut checkpoint, offset, DeletedBy::DeleteRecords)?;
        self.remove_deleted(&mut checkpoint, u64::MAX).map(drop)
    }

    /// On a full disk: deletes those segments below `offset` for which nothing needs to be written that takes room, so many bytes
    /// of them at most, or one. Whether there were any; what else there is to do takes the room that they leave.
    pub(super) fn make_room(
        &self,
        checkpoint: &mut Checkpoint,
        offset: u64,
        bytes_max: u64,
        by: DeletedBy,
    ) -> Result<bool> {
        self.check_present()?;
        let Some(end) = checkpoint.noted_end(&self.segments(), offset) else { return Ok(false) };
        if self.log_start_offset() < end {
            self.move_start(checkpoint, end, by)?;
        }
        self.remove_deleted(checkpoint, bytes_max)?;
        Ok(true)
    }

    /// Whether [`delete_before`](Log::delete_before) may be asked for `offset`.
    ///
    /// # Errors
    /// [`Error::OffsetOutOfRange`], and those of a log that is not to be written to.
    pub(crate) fn check_deletable(&self, offset: u64) -> Result<()> {
        self.check_writable()?;
        // In this order: the start is never above an end that is loaded later.
        let start = self.log_start_offset();
        let bounds = start..self.last_stable_offset().min(self.first_unmarked_offset()).max(start);
        if bounds.end < offset {
            return Err(Error::OffsetOutOfRange {
                partition: self.spec.partition.clone(),
                requested: offset,
                log_start_offset: bounds.start,
                log_end_offset: bounds.end,
            });
        }
        Ok(())
    }

    /// Sees to it that no open batch has records below `offset`, and that a segment which ends there is not the active one.
    fn leave_below(&self, offset: u64) -> Result<()> {
        let mut appender = self.appender.lock();
        self.check_writable()?;
        if self.segments().last().is_none_or(|active| active.next_offset() < offset) {
            appender.seal(&self.core)?;
        }
        let sealing = self.sealing();
        match self.segments().last() {
            Some(active) if active.next_offset() <= offset => sealing.roll_active(),
            _ => Ok(()),
        }
    }

    /// Moves the start to `offset`: steps 2 and 3. That is what subscribers are told, with the rule by which it was done.
    pub(super) fn move_start(&self, checkpoint: &mut Checkpoint, offset: u64, by: DeletedBy) -> Result<()> {
        let start = self.log_start_offset();
        let segments = self.segments();
        let sealed = segments.split_last().map_or(&[][..], |(_, sealed)| sealed);
        let gone: Vec<_> = sealed.iter().take_while(|segment| segment.next_offset() <= offset).cloned().collect();
        if planted(Canary::DeleteBeforeStart) {
            gone.iter().try_for_each(|segment| segment.remove())?;
        }
        checkpoint.store_start(&self.dir, offset)?;
        self.group().tail().note_deleted();
        self.core.begin_at(offset, gone.len());
        self.sealed_are_noted(checkpoint.manifest.segments.len());
        self.events().add(|| Event::RecordsDeleted {
            partition: self.spec.partition.clone(),
            by,
            offsets: start..offset,
            segments: gone.len(),
            bytes: gone.iter().map(|segment| segment.log_bytes()).sum(),
        });
        self.counters.segments_deleted.add(gone.len() as u64);
        self.counters.bytes_deleted.add(gone.iter().map(|segment| segment.log_bytes()).sum());
        checkpoint.note_deleted(gone);
        Ok(())
    }

    /// Removes so many bytes at most of what was deleted, or one segment: steps 4 and 5. Whether none is left.
    pub(super) fn remove_deleted(&self, checkpoint: &mut Checkpoint, bytes_max: u64) -> Result<bool> {
        // Also if it fails half way.
        self.owes_removal.store(true, Ordering::Release);
        let is_done = checkpoint.remove_deleted(&self.dir, bytes_max)?;
        self.owes_removal.store(!is_done, Ordering::Release);
        Ok(is_done)
    }

    /// Whether files of deleted records may still be there.
    pub(super) fn owes_removal(&self) -> bool {
        self.owes_removal.load(Ordering::Acquire)
    }
}
