//! What the appender does to a log, under the append lock.

use std::io;
use std::ops::Range;
use std::sync::Arc;

use super::LogCore;
use super::slots::SLOT_BYTES_KEPT_MAX;
use crate::disk::append_file::AppendError;
use crate::error::{Error, Result};
use crate::events::Event;
use crate::format::BatchHeader;
use crate::partition::bell::Work;
use crate::partition::budget::Room;
use crate::partition::checkpoint::UNNOTED_BYTES_MAX;
use crate::partition::leader_epoch;
use crate::partition::log_view::LogView;
use crate::segment::Segment;
use crate::sync::atomic::Ordering;
use crate::tail::{OpenBatch, Salvaged};

/// Most file systems give out room in blocks of so many bytes.
const BLOCK_BYTES: u64 = 4096;
/// What the indexes of a segment take at least, once they are written.
const INDEXES_BYTES: u64 = 2 * BLOCK_BYTES;

impl LogCore {
    /// Publishes a new log end.
    #[inline]
    pub(in crate::partition) fn set_log_end(&self, next_offset: u64) {
        self.offsets.set_end(next_offset);
    }

    /// Lets readers and the group commit know of a batch in a slot, before anything is published in it.
    pub(in crate::partition) fn batch_opened(&self, batch: &Arc<OpenBatch>) {
        self.sync.lock().slots.push(Arc::clone(batch));
        self.view.store(Arc::new(LogView { open: Some(Arc::clone(batch)), ..LogView::clone(&self.view()) }));
        if self.group().tail().wants_supply() {
            // So that others find a slot ahead of need.
            self.environment.bell.ring(Work::Slots);
        }
    }

    /// Goes over to the tail of the log's durability, if it is not in it, so that no sync of `Always` topics carries what others write.
    /// For the holder of the append lock, while no batch is open. What the slots of the old tail hold is in the segments by now: it
    /// stays there as long as it is needed, and what no commit entry covers yet is durable with the segments.
    pub(in crate::partition) fn choose_tail(&self) {
        let is_always = self.is_always();
        if self.is_in_always_tail.load(Ordering::Relaxed) != is_always
            && self.environment.group(is_always).failure().is_none()
        {
            let mut sync = self.sync.lock();
            if sync.slots.iter().any(|batch| batch.has_uncommitted()) {
                sync.segments_debt = self.log_end_offset();
            }
            sync.is_in_always_tail = is_always;
            self.is_in_always_tail.store(is_always, Ordering::Relaxed);
        }
    }

    /// The first of the batches that opening could not seal.
    pub(in crate::partition) fn first_unsealed(&self) -> Option<Arc<Salvaged>> {
        self.view().unsealed.first().cloned()
    }

    /// The first of them is in the segment now. It is as durable as before: its slot is nobody else's for as long as the broker is
    /// open.
    pub(in crate::partition) fn unsealed_is_sealed(&self) {
        let unsealed = self.view().unsealed.iter().skip(1).cloned().collect();
        self.view.store(Arc::new(LogView { unsealed, ..LogView::clone(&self.view()) }));
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
        self.view.store(Arc::new(self.view().without_open()));
        self.sync.lock().slots.retain(|other| !Arc::ptr_eq(other, batch));
    }

    /// The batch is in the segment now.
    pub(in crate::partition) fn batch_sealed(&self, batch: &Arc<OpenBatch>) {
        self.view.store(Arc::new(self.view().without_open()));
        let bytes_kept = {
            let mut sync = self.sync.lock();
            if !sync.is_in_always_tail && !batch.is_committed() {
                sync.slots.retain(|other| !Arc::ptr_eq(other, batch));
                sync.segments_debt = batch.next_offset();
            }
            sync.slot_bytes()
        };
        if bytes_kept >= SLOT_BYTES_KEPT_MAX {
            self.environment.bell.ring(Work::Checkpoints);
        }
    }

    /// Why records at these offsets could not be written to a slot, which only is a call where the tail is not mapped. As
    /// [`append_to_segment`], it harms nothing if the disk is full or the error is a passing one.
    ///
    /// [`append_to_segment`]: LogCore::append_to_segment
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

    /// Appends a whole batch to the active segment, beginning a new one if it must, with one write. It was begun at `begun_ms`, if
    /// that is known, or just now.
    ///
    /// # Errors
    /// What could not begin, a disk that is full and passing errors leave everything as it was; any other poisons the log.
    pub(in crate::partition) fn append_to_segment(
        &self,
        batch: &[u8],
        header: &BatchHeader,
        begun_ms: Option<i64>,
    ) -> Result<(), AppendError<Error>> {
        let active = match self.view().segments.last() {
            Some(active)
                if !active.must_roll_before(batch.len() as u64, header.last_offset(), header.max_timestamp) =>
            {
                Ok(Arc::clone(active))
            }
            _ => self.roll(header.base_offset()),
        };
        let append = |active: Arc<Segment>| {
            if active.log_bytes() == 0 {
                active.note_created(begun_ms.unwrap_or_else(|| self.environment.steady_ms()));
            }
            active.append(batch, header)
        };
        active.and_then(append).map_err(|failure| self.append_error(failure))?;
        if header.start.stamp.has_producer() {
            self.note_in_segment(header, batch);
        }
        if self.unnoted_bytes() > UNNOTED_BYTES_MAX {
            self.environment.bell.ring(Work::Checkpoints);
        }
        self.environment.budget.iter().for_each(|budget| budget.note_more());
        Ok(())
    }

    /// What an append has left, in the words of a log: it refuses writes from now on if the file may be harmed.
    fn append_error(&self, failure: AppendError<Error>) -> AppendError<Error> {
        match failure {
            AppendError::Clean(error) if !error.is_retriable() => AppendError::Clean(self.poisoned_by(&error)),
            AppendError::Torn(error) => AppendError::Torn(self.poisoned_by(&error)),
            harmless => harmless,
        }
    }

    /// Leaves the active segment as it is to be found by who opens it next; for who holds the append lock.
    ///
    /// # Errors
    /// As [`append_to_segment`](LogCore::append_to_segment).
    pub(in crate::partition) fn settle_active(&self) -> Result<()> {
        let settled = self.view().segments.last().map_or(Ok(()), |active| active.settle());
        settled.map_err(|failure| self.append_error(failure).into_inner())
    }

    /// Records that went into the segment without a slot are durable only with it.
    pub(in crate::partition) fn bypassed_tail(&self, next_offset: u64) {
        self.sync.lock().segments_debt = next_offset;
        self.group().tail().note_bypassed();
    }

    /// Begins a new segment where the active one ends. For the holder of the append lock.
    ///
    /// # Errors
    /// As [`append_to_segment`](LogCore::append_to_segment).
    pub(in crate::partition) fn roll_active(&self) -> Result<()> {
        let end = self.view().segments.last().map_or(self.log_end_offset(), |active| active.next_offset());
        self.roll(end).map(drop).map_err(|failure| self.append_error(failure).into_inner())
    }

    fn roll(&self, base_offset: u64) -> Result<Arc<Segment>, AppendError<Error>> {
        let view = self.view();
        if let Some(full) = view.segments.last() {
            full.settle()?;
        }
        let segment = Segment::create(&self.dir, base_offset, self.spec.segment_config());
        let segment = Arc::new(segment.map_err(AppendError::NotBegun)?);
        if let Some(budget) = self.environment.budget.as_ref().filter(|_| !self.spec.is_internal) {
            self.index_rooms.lock().push((base_offset, budget.take_anyway(INDEXES_BYTES)));
        }
        if let Some(rolled) = view.segments.last() {
            rolled.note_rolled(self.environment.steady_ms());
            self.counters.segments_rolled.add(1);
            self.producers.lock().segment_ended(rolled.base_offset(), self.environment.now_ms());
        }
        let segments = view.segments.iter().chain([&segment]).cloned().collect();
        self.view.store(Arc::new(LogView { segments, ..LogView::clone(&view) }));
        self.events().add_some(|| Some(self.rolled(base_offset, view.segments.last()?)));
        self.environment.bell.ring(Work::Checkpoints);
        if self.spec.settings.load().has_retention() {
            self.environment.bell.ring(Work::Retention);
        }
        Ok(segment)
    }

    /// That a segment begins at `base_offset`, behind the one that is `full`.
    fn rolled(&self, base_offset: u64, full: &Segment) -> Event {
        Event::SegmentRolled { partition: self.spec.partition.clone(), base_offset, bytes: full.log_bytes() }
    }
}
