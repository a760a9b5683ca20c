//! Writing to a log's segments: sealed batches, and new segments.
//!
//! ```text
//! appender ──full batch──→ full ──the oldest──→ segment        the thread that seals, beside the senders
//!     └───────────────────────── open batch ──→ segment        the appender itself, after what is full: see `Appender::seal`
//! ```
//! Whoever writes holds a [`Sealing`], so batches come into the segment in the order of their offsets. A full batch stays in the view,
//! its slot with it, until the segment shows its records to readers.

use std::sync::Arc;

use super::LogCore;
use super::slots::SLOT_BYTES_KEPT_MAX;
use crate::canary::{Canary, planted};
use crate::disk::append_file::AppendError;
use crate::error::{Error, Result};
use crate::events::Event;
use crate::format::{BatchHeader, SealFields, seal_header};
use crate::partition::bell::Work;
use crate::partition::budget::Room;
use crate::partition::checkpoint::UNNOTED_BYTES_MAX;
use crate::partition::log_view::LogView;
use crate::segment::Segment;
use crate::sync::MutexGuard;
use crate::tail::{BatchWriter, OpenBatch};

/// What the indexes of a segment take at least, once they are written: a block each.
const INDEXES_BYTES: u64 = 2 * 4096;
/// So many full batches of a log wait at most. The thread that seals sleeps for 200 us at a time, in which a sender fills three slots.
const FULL_MAX: usize = 8;

/// A batch that gets no more records, in its slot. It goes into the segment as it is.
#[derive(Debug)]
pub(in crate::partition) struct FullBatch {
    pub(in crate::partition) writer: BatchWriter,
    /// What it will take on the disk, where that is bounded.
    pub(in crate::partition) _room: Option<Room>,
    pub(in crate::partition) fields: SealFields,
    /// When it was begun, by the steady clock.
    pub(in crate::partition) begun_ms: i64,
}

/// The right to write to the segments of a log. The append lock comes before it.
pub(in crate::partition) struct Sealing<'l> {
    log: &'l LogCore,
    _alone: MutexGuard<'l, ()>,
}

impl LogCore {
    /// Waits until nobody else writes to the segments. Never held across a sync.
    pub(in crate::partition) fn sealing(&self) -> Sealing<'_> {
        Sealing { log: self, _alone: self.segment_writes.lock() }
    }

    /// Whether full batches are sealed beside the senders now. Not if slots are short: sealed here and now, one is free at once. Nor if
    /// the log is about to go over to the other tail: whoever syncs that finds in the segments what was in this one.
    pub(in crate::partition) fn seals_beside(&self) -> bool {
        self.environment.seal_queue.takes_batches()
            && !self.group().tail().is_short()
            && !self.changes_tail()
            && self.view().unsealed.is_empty()
    }

    /// Leaves a batch to the thread that seals, behind those that are full already. If those are many, the oldest is sealed first.
    ///
    /// # Errors
    /// As [`Sealing::append`]; the batch is left all the same.
    pub(in crate::partition) fn leave_full(&self, full: FullBatch) -> Result<()> {
        self.full.lock().push_back(full);
        if self.full_count() > FULL_MAX {
            return self.sealing().seal_oldest();
        }
        self.environment.seal_queue.add(&self.sealed_by);
        Ok(())
    }

    /// How many full batches wait.
    pub(in crate::partition) fn full_count(&self) -> usize {
        self.full.lock().len()
    }

    /// Gives up the full batches, as they are.
    pub(in crate::partition) fn abandon_full(&self) {
        let _nobody_seals_one = self.sealing();
        let abandoned = std::mem::take(&mut *self.full.lock());
        drop(abandoned);
    }
}

impl Sealing<'_> {
    /// Seals the oldest of the full batches, if there is one.
    ///
    /// # Errors
    /// As [`append`](Sealing::append); the batch is still the oldest, and sealing it can be tried again.
    pub(in crate::partition) fn seal_oldest(&self) -> Result<()> {
        // Of several, none may overtake another.
        let taken = if planted(Canary::SealOutOfOrder) {
            self.log.full.lock().pop_back()
        } else {
            self.log.full.lock().pop_front()
        };
        let mut taken = Taken { log: self.log, full: taken };
        let Some(FullBatch { writer, fields, begun_ms, .. }) = &mut taken.full else { return Ok(()) };
        self.seal_plain(writer, fields, *begun_ms)?;
        taken.full = None;
        Ok(())
    }

    /// Seals all of the full batches.
    ///
    /// # Errors
    /// As [`seal_oldest`](Sealing::seal_oldest).
    pub(in crate::partition) fn seal_all_full(&self) -> Result<()> {
        while !self.log.full.lock().is_empty() {
            self.seal_oldest()?;
        }
        Ok(())
    }

    /// When the oldest of the full batches was begun, by the steady clock.
    pub(in crate::partition) fn full_begun_ms(&self) -> Option<i64> {
        self.log.full.lock().front().map(|full| full.begun_ms)
    }

    /// Turns a batch in a slot into a record batch of the active segment, as it is, with one write.
    ///
    /// # Errors
    /// As [`append`](Sealing::append).
    pub(in crate::partition) fn seal_plain(
        &self,
        writer: &mut BatchWriter,
        fields: &SealFields,
        begun_ms: i64,
    ) -> Result<()> {
        let header = seal_header(fields, writer.records_bytes(), writer.records_crc());
        let batch = Arc::clone(writer.batch());
        self.seal_as(writer.sealed(&header), &batch, begun_ms)
    }

    /// Turns a batch in a slot into this record batch of the active segment, with one write.
    ///
    /// # Errors
    /// As [`append`](Sealing::append).
    pub(in crate::partition) fn seal_as(&self, sealed: &[u8], batch: &Arc<OpenBatch>, begun_ms: i64) -> Result<()> {
        self.append(sealed, &own_header(sealed), Some(begun_ms)).map_err(AppendError::into_inner)?;
        self.batch_sealed(batch);
        Ok(())
    }

    /// The batch is in the segment now.
    fn batch_sealed(&self, batch: &Arc<OpenBatch>) {
        self.log.change_view(|view| view.without(batch));
        let bytes_kept = {
            let mut sync = self.log.sync.lock();
            let is_free = !sync.is_in_always_tail && !batch.is_committed();
            if is_free || planted(Canary::FreeSealedSlot) {
                sync.slots.retain(|other| !Arc::ptr_eq(other, batch));
                sync.segments_debt = sync.segments_debt.max(batch.next_offset());
            }
            sync.sealed_slot_bytes(&self.log.view())
        };
        if bytes_kept >= SLOT_BYTES_KEPT_MAX {
            self.log.environment.bell.ring(Work::Checkpoints);
        }
    }

    /// Appends a whole batch to the active segment, beginning a new one if it must, with one write. It was begun at `begun_ms`, if
    /// that is known, or just now.
    ///
    /// # Errors
    /// What could not begin, a disk that is full and passing errors leave everything as it was; any other poisons the log.
    pub(in crate::partition) fn append(
        &self,
        batch: &[u8],
        header: &BatchHeader,
        begun_ms: Option<i64>,
    ) -> Result<(), AppendError<Error>> {
        let log = self.log;
        let active = match log.view().segments.last() {
            Some(active)
                if !active.must_roll_before(batch.len() as u64, header.last_offset(), header.max_timestamp) =>
            {
                Ok(Arc::clone(active))
            }
            _ => self.roll(header.base_offset()),
        };
        let append = |active: Arc<Segment>| {
            if active.log_bytes() == 0 {
                active.note_created(begun_ms.unwrap_or_else(|| log.environment.steady_ms()));
            }
            active.append(batch, header)
        };
        active.and_then(append).map_err(|failure| log.append_error(failure))?;
        if header.start.stamp.has_producer() {
            log.note_in_segment(header, batch);
        }
        if log.unnoted_bytes() > UNNOTED_BYTES_MAX {
            log.environment.bell.ring(Work::Checkpoints);
        }
        log.environment.budget.iter().for_each(|budget| budget.note_more());
        Ok(())
    }

    /// Leaves the active segment as it is to be found by who opens it next.
    ///
    /// # Errors
    /// As [`append`](Sealing::append).
    pub(in crate::partition) fn settle_active(&self) -> Result<()> {
        let settled = self.log.view().segments.last().map_or(Ok(()), |active| active.settle());
        settled.map_err(|failure| self.log.append_error(failure).into_inner())
    }

    /// Begins a new segment where the active one ends, if that has records.
    ///
    /// # Errors
    /// As [`append`](Sealing::append).
    pub(in crate::partition) fn roll_active(&self) -> Result<()> {
        let end = self.log.view().segments.last().map(|active| active.base_offset()..active.next_offset());
        match end.filter(|offsets| !offsets.is_empty()) {
            Some(offsets) => self.roll(offsets.end).map(drop).map_err(|f| self.log.append_error(f).into_inner()),
            None => Ok(()),
        }
    }

    fn roll(&self, base_offset: u64) -> Result<Arc<Segment>, AppendError<Error>> {
        let log = self.log;
        let full = log.view().segments.last().cloned();
        if let Some(full) = &full {
            full.settle()?;
        }
        let segment = Segment::create(&log.dir, base_offset, log.spec.segment_config());
        let segment = Arc::new(segment.map_err(AppendError::NotBegun)?);
        segment.reserve_ahead();
        if let Some(budget) = log.environment.budget.as_ref().filter(|_| !log.spec.is_internal) {
            log.index_rooms.lock().push((base_offset, budget.take_anyway(INDEXES_BYTES)));
        }
        if let Some(rolled) = &full {
            rolled.note_rolled(log.environment.steady_ms());
            log.counters.segments_rolled.add(1);
            log.producers.lock().segment_ended(rolled.base_offset(), log.environment.now_ms());
        }
        log.change_view(|view| {
            let segments = view.segments.iter().chain([&segment]).cloned().collect();
            LogView { segments, ..view.clone() }
        });
        log.events().add_some(|| Some(log.rolled(base_offset, full.as_deref()?)));
        log.environment.bell.ring(Work::Checkpoints);
        if log.spec.settings.load().has_retention() {
            log.environment.bell.ring(Work::Retention);
        }
        Ok(segment)
    }
}

/// The oldest of the full batches while it is sealed. Unless it was, it is the oldest again, also after a panic: the next one must not come
/// into the segment without it.
struct Taken<'l> {
    log: &'l LogCore,
    full: Option<FullBatch>,
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        if let Some(full) = self.full.take() {
            self.log.full.lock().push_front(full);
        }
    }
}

impl LogCore {
    /// What an append has left, in the words of a log: it refuses writes from now on if the file may be harmed.
    fn append_error(&self, failure: AppendError<Error>) -> AppendError<Error> {
        match failure {
            AppendError::Clean(error) if !error.is_retriable() => AppendError::Clean(self.poisoned_by(&error)),
            AppendError::Torn(error) => AppendError::Torn(self.poisoned_by(&error)),
            harmless => harmless,
        }
    }

    /// That a segment begins at `base_offset`, behind the one that is `full`.
    fn rolled(&self, base_offset: u64, full: &Segment) -> Event {
        Event::SegmentRolled { partition: self.spec.partition.clone(), base_offset, bytes: full.log_bytes() }
    }
}

/// The header of a batch that was just encoded.
pub(in crate::partition) fn own_header(batch: &[u8]) -> BatchHeader {
    BatchHeader::decode(batch).expect("a header that was just encoded")
}
