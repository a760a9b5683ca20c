//! Deleting the oldest segments to keep to the disk budget, whatever groups have read.
//!
//! What goes is what the manifest has already: then no sync of what was written since stands between a sender and the room that it
//! waits for.

use super::Log;
use super::retention::newest_ms;
use crate::error::{Error, Result};
use crate::events::DeletedBy;
use crate::segment::Segment;

/// A segment that may go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct OldSegment {
    /// The age that counts: that of its newest record, by the steady clock, but of no segment that comes before it a later one.
    pub(crate) newest_ms: i64,
    /// Where the log begins once it is gone.
    pub(crate) next_offset: u64,
    /// More than its files take.
    pub(crate) bytes_max: u64,
}

impl Log {
    /// The segments at the front that are closed and may go, as many as have so many bytes together.
    pub(crate) fn oldest_segments(&self, bytes: u64) -> Vec<OldSegment> {
        let (mut found, mut newest, mut left) = (Vec::new(), i64::MIN, bytes);
        if !self.may_drop() {
            return found;
        }
        let segments = self.segments();
        let closed = segments.split_last().map_or(&[][..], |(_, closed)| closed);
        for segment in closed {
            if left == 0 || !self.is_stable(segment) {
                break;
            }
            newest = newest.max(newest_ms(segment));
            // A block for each of its files, and indexes that are as large as the log at most.
            let bytes_max = segment.log_bytes().saturating_mul(3).saturating_add(4 * 4096);
            left = left.saturating_sub(bytes_max);
            found.push(OldSegment { newest_ms: newest, next_offset: segment.next_offset(), bytes_max });
        }
        found
    }

    /// The age of the active segment, if it has records and might go once it is closed.
    pub(crate) fn active_newest_ms(&self) -> Option<i64> {
        let segments = self.segments();
        let active = segments.last().filter(|active| active.base_offset() < active.next_offset());
        active.filter(|active| self.may_drop() && self.is_stable(active)).map(|active| newest_ms(active))
    }

    /// Closes the active segment, so that it may go.
    pub(crate) fn close_active(&self) -> Result<()> {
        let _nobody_closes_it = self.appender.lock();
        self.check_writable()?;
        self.sealing().roll_active()
    }

    /// Deletes the closed segments below `offset`, or those of them that the manifest has; whether there were any.
    ///
    /// # Errors
    /// The disk's, also if none is in the manifest and they cannot be synced; the log is as it was, or begins later.
    pub(crate) fn drop_before(&self, offset: u64) -> Result<bool> {
        // As for retention: nothing goes by settings from before, once they have changed.
        let _retaining = self.retaining.lock();
        if !self.may_drop() {
            return Ok(false);
        }
        let mut checkpoint = self.checkpoint.lock();
        self.check_present()?;
        self.check_unharmed()?;
        checkpoint.settle_replacement(&self.dir)?;
        let start = self.log_start_offset();
        let mut noted = checkpoint.noted_end(&self.segments(), offset).filter(|&end| start < end);
        if noted.is_none() {
            self.run_checkpoint(&mut checkpoint)?;
            noted = checkpoint.noted_end(&self.segments(), offset).filter(|&end| start < end);
        }
        let Some(end) = noted else { return Ok(false) };
        self.move_start(&mut checkpoint, end, DeletedBy::Budget)?;
        match self.remove_deleted(&mut checkpoint, u64::MAX) {
            // What goes makes room for the rest.
            Err(Error::DiskFull { .. }) => _ = self.make_room(&mut checkpoint, end, u64::MAX, DeletedBy::Budget)?,
            removed => _ = removed?,
        }
        Ok(true)
    }

    /// Whether a segment ends before the first transaction that is open: what that has begun is kept, and what comes behind.
    fn is_stable(&self, segment: &Segment) -> bool {
        segment.next_offset() <= self.first_unmarked_offset()
    }

    fn may_drop(&self) -> bool {
        let has_delete = self.spec.settings.load().cleanup_policy.has_delete();
        has_delete && !self.spec.is_internal && !self.is_closed() && self.check_unharmed().is_ok()
    }
}
