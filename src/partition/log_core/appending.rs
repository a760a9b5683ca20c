//! What the appender does to a log, under the append lock.

use std::io;
use std::ops::Range;
use std::sync::Arc;

use super::LogCore;
use crate::disk::append_file::AppendError;
use crate::error::{Error, Result};
use crate::partition::bell::Work;
use crate::partition::budget::Room;
use crate::partition::leader_epoch;
use crate::partition::log_view::LogView;
use crate::sync::atomic::Ordering;
use crate::tail::{OpenBatch, Salvaged};

/// Most file systems give out room in blocks of so many bytes.
const BLOCK_BYTES: u64 = 4096;

impl LogCore {
    /// Publishes a new log end.
    #[inline]
    pub(in crate::partition) fn set_log_end(&self, next_offset: u64) {
        self.offsets.set_end(next_offset);
    }

    /// Lets readers and the group commit know of a batch in a slot, before anything is published in it.
    pub(in crate::partition) fn batch_opened(&self, batch: &Arc<OpenBatch>) {
        self.sync.lock().slots.push(Arc::clone(batch));
        self.change_view(|view| LogView {
            batches: view.batches.iter().chain([batch]).cloned().collect(),
            ..view.clone()
        });
        if self.group().tail().wants_supply() {
            // So that others find a slot ahead of need.
            self.environment.bell.ring(Work::Slots);
        }
    }

    /// Goes over to the tail of the log's durability, if it is not in it, so that no sync of `Always` topics carries what others write.
    /// For the holder of the append lock, while no batch is open or full. What the slots of the old tail hold is in the segments by now: it
    /// stays there as long as it is needed, and what no commit entry covers yet is durable with the segments.
    pub(in crate::partition) fn choose_tail(&self) {
        let is_always = self.is_always();
        if self.changes_tail() && self.environment.group(is_always).failure().is_none() {
            let mut sync = self.sync.lock();
            if sync.slots.iter().any(|batch| batch.has_uncommitted()) {
                sync.segments_debt = self.log_end_offset();
            }
            sync.is_in_always_tail = is_always;
            self.is_in_always_tail.store(is_always, Ordering::Relaxed);
        }
    }

    /// Whether the log is to go over to the other tail with its next batch, if that can be relied on.
    pub(super) fn changes_tail(&self) -> bool {
        self.is_in_always_tail.load(Ordering::Relaxed) != self.is_always()
    }

    /// The first of the batches that opening could not seal.
    pub(in crate::partition) fn first_unsealed(&self) -> Option<Arc<Salvaged>> {
        self.view().unsealed.first().cloned()
    }

    /// The first of them is in the segment now. It is as durable as before: its slot is nobody else's for as long as the broker is
    /// open.
    pub(in crate::partition) fn unsealed_is_sealed(&self) {
        let without_first = |view: &LogView| view.unsealed.iter().skip(1).cloned().collect();
        self.change_view(|view| LogView { unsealed: without_first(view), ..view.clone() });
    }

    /// Fails as long as there was no room to write down the leader epoch that the next record gets.
    pub(in crate::partition) fn check_epochs_are_stored(&self) -> Result<()> {
        if self.owes_epochs() {
            let path = leader_epoch::path(&self.spec.dir);
            return Err(Error::DiskFull { action: "write", path });
        }
        Ok(())
    }

    /// Takes room for what a batch of so many bytes will take in the segment; `None` where nothing bounds it.
    ///
    /// # Errors
    /// [`Error::OverBudget`].
    pub(in crate::partition) fn take_room(&self, batch_bytes: usize) -> Result<Option<Room>> {
        let Some(budget) = &self.environment.budget else { return Ok(None) };
        if self.spec.is_internal {
            return Ok(None);
        }
        // It may end in a block of its own.
        let bytes = (batch_bytes as u64).next_multiple_of(BLOCK_BYTES);
        let (room, is_over) = budget.take(bytes)?;
        if is_over {
            budget.call();
        }
        Ok(Some(room))
    }

    /// Takes the same for what follows from something that found room.
    pub(in crate::partition) fn take_room_anyway(&self, batch_bytes: usize) -> Option<Room> {
        let budget = self.environment.budget.as_ref().filter(|_| !self.spec.is_internal)?;
        Some(budget.take_anyway((batch_bytes as u64).next_multiple_of(BLOCK_BYTES)))
    }

    /// The indexes of all segments that begin below `base_offset` are written.
    pub(in crate::partition) fn indexes_are_written(&self, base_offset: u64) {
        self.index_rooms.lock().retain(|(base, _)| base_offset <= *base);
    }

    /// The batch has no records, and gets none.
    pub(in crate::partition) fn batch_given_up(&self, batch: &Arc<OpenBatch>) {
        self.change_view(|view| view.without(batch));
        self.sync.lock().slots.retain(|other| !Arc::ptr_eq(other, batch));
    }

    /// Why records at these offsets could not be written to a slot, which only is a call where the tail is not mapped. As
    /// [`Sealing::append`](super::Sealing::append), it harms nothing if the disk is full or the error is a passing one.
    #[cold]
    pub(in crate::partition) fn slot_error(&self, failure: AppendError, offsets: Range<u64>) -> Error {
        match failure {
            AppendError::Torn(source) => {
                let error = self.group().tail().write_error(source);
                let (partition, source) = (self.spec.partition.clone(), Box::new(self.poisoned_by(&error)));
                Error::InDoubt { partition, offsets, source }
            }
            AppendError::NotBegun(source) | AppendError::Clean(source) => self.commit_error(source),
        }
    }

    /// What a call that wrote a commit entry returned: the log refuses writes from now on, unless the disk is full or the error is
    /// a passing one.
    #[cold]
    pub(super) fn commit_error(&self, source: io::Error) -> Error {
        let error = self.group().tail().write_error(source);
        if error.is_retriable() { error } else { self.poisoned_by(&error) }
    }

    /// Records that went into the segment without a slot are durable only with it.
    pub(in crate::partition) fn bypassed_tail(&self, next_offset: u64) {
        self.sync.lock().segments_debt = next_offset;
        self.group().tail().note_bypassed();
    }
}
