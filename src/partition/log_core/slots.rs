//! The slots of the tail that a log keeps: commit entries for what is in them, and what the sync of its segments sets free.

use std::sync::Arc;

use super::LogCore;
use crate::error::Error;
use crate::partition::checkpoint::SyncedTo;
use crate::partition::group_commit::PreparedCommit;
use crate::partition::log_view::LogView;
use crate::sync::atomic::Ordering;
use crate::tail::{OpenBatch, Tail};

/// So many bytes in slots wait for the segment's sync before the maintenance is called to do it.
pub(super) const SLOT_BYTES_KEPT_MAX: usize = 256 << 10;

/// What is still to be made durable.
#[derive(Debug, Default)]
pub(super) struct SyncState {
    /// The open batch, full ones, and sealed ones whose slot must stay until the segment holds them durably.
    pub(super) slots: Vec<Arc<OpenBatch>>,
    /// Durability below this offset needs the segments to be synced, since no slot covers what they hold.
    pub(super) segments_debt: u64,
    /// Which tail the log writes to: see `is_in_always_tail` of the core. Slots of the other one may be left.
    pub(super) is_in_always_tail: bool,
    /// Why the last commit round covers less than was published, until somebody who waits for it is told.
    commit_error: Option<Error>,
}

impl SyncState {
    /// Without slots, where what is below an offset is durable only once the segments are synced.
    pub(super) fn owing(segments_debt: u64, is_in_always_tail: bool) -> SyncState {
        SyncState { segments_debt, is_in_always_tail, ..SyncState::default() }
    }

    /// The bytes of the tail that this log keeps for what is in its segments: those of no batch in `view`.
    pub(super) fn sealed_slot_bytes(&self, view: &LogView) -> usize {
        let is_sealed = |batch: &&Arc<OpenBatch>| !view.batches.iter().any(|other| Arc::ptr_eq(other, batch));
        self.slots.iter().filter(is_sealed).map(|batch| batch.slot_bytes()).sum()
    }
}

impl LogCore {
    /// Writes commit entries for everything published, for a round that is to sync `tail`. If the log has gone over to the other
    /// one meanwhile, the round covers nothing of it: who waits finds that out, and joins a round there.
    pub(in crate::partition) fn prepare_commit(&self, tail: &Tail) -> PreparedCommit {
        // In this order: as long as the log is in this tail, what was published before is not in the other one.
        let end = self.log_end_offset();
        let mut commits: Vec<_> = {
            let mut sync = self.sync.lock();
            if !std::ptr::eq(self.environment.group(sync.is_in_always_tail).tail(), tail) {
                return PreparedCommit { end: 0, commits: Vec::new(), is_short: true, is_unmirrored: false };
            }
            sync.commit_error = None;
            let uncommitted = sync.slots.iter().filter(|batch| tail.has(batch) && batch.has_uncommitted());
            uncommitted.map(|batch| (batch.next_offset(), Arc::clone(batch))).collect()
        };
        let mut is_short = false;
        // Behind one that is not covered none is: what is said to be durable is so with all that comes before.
        commits.retain_mut(|(end, batch)| match if is_short { Ok(None) } else { batch.commit() } {
            Ok(Some(next_offset)) => {
                *end = next_offset;
                true
            }
            Ok(None) => false,
            Err(source) => {
                is_short = true;
                self.sync.lock().commit_error = Some(self.commit_error(source));
                false
            }
        });
        PreparedCommit { end, commits, is_short, is_unmirrored: false }
    }

    /// Whether something that was published is in no slot, nor durable in the segments.
    pub(in crate::partition) fn segments_are_owed(&self) -> bool {
        self.sync.lock().segments_debt > self.offsets.synced()
    }

    /// Ends a round, after the tail's sync and that of the segments that are owed: lets the durable offset rise. Whether it rose.
    pub(in crate::partition) fn finish_commit(&self, prepared: &PreparedCommit) -> bool {
        // After the debt: it tells other processes that everything before is durable, too.
        for (next_offset, batch) in &prepared.commits {
            batch.note_synced(*next_offset);
        }
        // A log that was retired has given up the slots that were not covered.
        let is_covered = !prepared.is_short && self.check_present().is_ok() && self.check_unharmed().is_ok();
        is_covered && self.offsets.raise_durable(prepared.end)
    }

    /// The segments are synced up to this offset.
    pub(in crate::partition) fn note_segments_synced(&self, next_offset: u64) {
        self.offsets.raise_synced(next_offset);
    }

    /// The round that is under way does not cover all that was published, for this reason.
    pub(in crate::partition) fn note_commit_error(&self, error: Error) {
        self.sync.lock().commit_error = Some(error);
    }

    /// Why the last commit round did not cover all that was published, for one of those who waited for it.
    pub(in crate::partition) fn take_commit_error(&self) -> Option<Error> {
        self.check_present().err().or_else(|| self.sync.lock().commit_error.take())
    }

    /// Frees the slots of batches that the segments hold durably. After the recovery point was stored, whether or not that
    /// went well: until it says how far another process may read, the slots do.
    pub(in crate::partition) fn free_slots(&self, synced: Option<SyncedTo>) {
        if let Some(SyncedTo { next_offset, .. }) = synced {
            self.sync.lock().slots.retain(|batch| batch.identity().base_offset() >= next_offset);
        }
    }

    /// Whether the leader epochs are still to be written down before a record is appended.
    #[inline]
    pub(in crate::partition) fn owes_epochs(&self) -> bool {
        self.owes_epochs.load(Ordering::Acquire)
    }

    /// They are written down.
    pub(in crate::partition) fn epochs_are_stored(&self) {
        self.owes_epochs.store(false, Ordering::Release);
    }

    /// How many bytes of the active segment are above the recovery point.
    pub(in crate::partition) fn unnoted_bytes(&self) -> u64 {
        let active_bytes = self.view().segments.last().map_or(0, |active| active.log_bytes());
        active_bytes.saturating_sub(self.noted_bytes.load(Ordering::Relaxed))
    }

    /// The recovery point is at this byte of the active segment.
    pub(in crate::partition) fn point_is_at(&self, file_position: u64) {
        self.noted_bytes.store(file_position, Ordering::Relaxed);
    }

    /// Whether a sync of the segments would free so much of the tail that it is worthwhile or, if slots are short, any.
    pub(in crate::partition) fn holds_slots(&self, slots_are_short: bool) -> bool {
        // What is still to be sealed is not freed by it.
        let bytes_kept = self.sync.lock().sealed_slot_bytes(&self.view());
        if slots_are_short { 0 < bytes_kept } else { SLOT_BYTES_KEPT_MAX <= bytes_kept }
    }
}
