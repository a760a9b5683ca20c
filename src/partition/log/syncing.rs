//! What the group commit and the checkpoint do with a log: syncs of its segments, and what is owed from before.

use std::ops::Range;
use std::sync::Arc;

use super::Log;
use crate::disk::SyncError;
use crate::error::{Error, Result};
use crate::partition::bell::Work;
use crate::partition::checkpoint::SyncedTo;
use crate::partition::environment::Environment;
use crate::partition::group_commit::{CommitMember, PreparedCommit};
use crate::partition::log_spec::LogSpec;
use crate::partition::log_view::Segments;
use crate::partition::mirror::{Block, MirroredTo};
use crate::partition::seal_queue::Seals;
use crate::segment::Segment;
use crate::sync::atomic::{AtomicBool, Ordering};
use crate::tail::Tail;

impl CommitMember for Log {
    fn enlist(&self, tail: &Tail) -> bool {
        !self.enlisted_for(tail).swap(true, Ordering::Relaxed)
    }

    fn delist(&self, tail: &Tail) {
        self.enlisted_for(tail).store(false, Ordering::Relaxed);
    }

    fn prepare_commit(&self, tail: &Tail) -> PreparedCommit {
        self.core.prepare_commit(tail)
    }

    fn finish_commit(&self, prepared: &PreparedCommit) -> bool {
        // Asked after the commit entries were begun: a batch sealed before that left its debt, one sealed later its slot.
        if self.segments_are_owed() && self.settle_debt().is_err() {
            return false;
        }
        self.core.finish_commit(prepared)
    }

    fn live_spec(&self) -> Option<&LogSpec> {
        (!self.is_deleted()).then_some(&self.spec)
    }

    fn gather(&self, prepared: &PreparedCommit, mirrored: &mut MirroredTo, block: &mut Block) -> bool {
        let gathered = self.core.gather(prepared, mirrored, block);
        gathered.map_err(|error| self.core.note_commit_error(error)).is_ok()
    }

    fn wake_waiters(&self) {
        self.waiters.wake_unlocked();
    }

    fn poison(&self, reason: &str) {
        self.core.poison(reason);
    }

    fn is_settled(&self, offset: u64) -> bool {
        self.is_forked()
            || offset <= self.durable_offset()
            || self.check_unharmed().is_err()
            || self.check_present().is_err()
    }

    fn wait_appended(self: Arc<Log>, offsets: Range<u64>) -> Result<()> {
        let waited = self.check_not_forked().and_then(|()| self.wait_durable(offsets.end));
        waited.map_err(|source| self.appended_error(offsets, source))
    }

    fn is_forked(&self) -> bool {
        self.environment.files.is_forked()
    }
}

impl Seals for Log {
    fn seal_full(&self) {
        // All of them, since nobody is called again for one that could not be sealed before. Those that come meanwhile have calls of their own.
        for _ in 0..self.full_count() {
            // Of a log that refuses writes nothing is written any more. What is wrong with the disk, the sender is told that finds too many
            // full batches. What may have harmed the log has poisoned it.
            if self.check_unharmed().and_then(|()| self.sealing().seal_oldest()).is_err() {
                return;
            }
        }
    }
}

impl Log {
    fn enlisted_for(&self, tail: &Tail) -> &AtomicBool {
        let [always, relaxed] = &self.enlisted;
        if std::ptr::eq(self.environment.always.tail(), tail) { always } else { relaxed }
    }

    /// Runs one round of each group for all of `logs`, after which each is durable up to here or says why not.
    pub(crate) fn commit_all(logs: &[Arc<Log>], environment: &Environment) {
        let (always, relaxed): (Vec<_>, Vec<_>) =
            logs.iter().cloned().partition(|log| std::ptr::eq(log.group(), &raw const environment.always));
        environment.always.commit(&always);
        // A waker may have forked, and come back in the child.
        if !environment.files.is_forked() {
            environment.relaxed.commit(&relaxed);
        }
    }

    /// Returns once each of `logs` is durable up to its offset. They share one round of each group.
    ///
    /// # Errors
    /// As [`wait_durable`](Log::wait_durable), of the first one that fails.
    pub(crate) fn wait_all_durable(logs: &[(Arc<Log>, u64)]) -> Result<()> {
        let undurable = |(log, offset): &&(Arc<Log>, u64)| log.durable_offset() < *offset;
        let waited: Vec<_> = logs.iter().filter(undurable).map(|(log, _)| Arc::clone(log)).collect();
        if let Some(environment) = waited.first().map(|log| Arc::clone(&log.environment)) {
            waited.iter().try_for_each(|log| log.check_not_forked().and_then(|()| log.rewrite_if_owed()))?;
            Log::commit_all(&waited, &environment);
        }
        logs.iter().try_for_each(|(log, offset)| log.wait_durable(*offset))
    }

    /// Syncs what no slot covers, and lets the recovery point say so: nothing else tells other processes.
    fn settle_debt(&self) -> Result<()> {
        // Whoever has it now may have begun before; the maintenance makes up for it.
        let checkpoint = self.checkpoint.try_lock();
        let (segments, synced) = self.sync_segments()?;
        let is_noted = match (checkpoint, segments.last(), synced) {
            (Some(mut checkpoint), Some(active), Some(synced)) => {
                self.tell_producers(&mut checkpoint);
                let leader_epoch = self.epochs.least_from(synced.next_offset);
                let producers = self.producers_synced(synced.next_offset);
                let noted = checkpoint.store_synced(&self.dir, active, synced, leader_epoch, producers.as_ref());
                noted.map(|()| self.point_is_at(synced.file_position)).is_ok()
            }
            _ => false,
        };
        if !is_noted {
            self.owes_point.store(true, Ordering::Release);
            self.environment.bell.ring(Work::Checkpoints);
        }
        self.free_slots(synced);
        Ok(())
    }

    /// Syncs everything in segments; returns them, and up to where they are synced if there is one. Slots that are not needed
    /// any more are still to be [freed](super::super::log_core::LogCore::free_slots).
    ///
    /// # Errors
    /// [`Error::Poisoned`] if a write or sync failed, now or before. What could not begin, for want of a handle or of room, say,
    /// is that error, and the next call tries again.
    pub(in crate::partition) fn sync_segments(&self) -> Result<(Segments, Option<SyncedTo>)> {
        // The system reports a failed sync once: no two threads may sync, and one take the other's error for its own success.
        let _one_at_a_time = self.segment_sync.lock();
        self.check_unharmed()?;
        self.check_present()?;
        self.rewrite_segments()?;
        let (segments, synced) = {
            let _nobody_writes_to_them = self.sealing();
            let segments = self.segments();
            let synced = segments.last().map(|active| SyncedTo::of(active));
            segments.iter().last().inspect(|active| self.note_producers_to_sync(active));
            (segments, synced)
        };
        // The oldest first: whatever could not begin, behind a segment that is synced there is none that is not.
        let synced_count = segments.len() - segments.iter().rev().take_while(|segment| !segment.is_synced()).count();
        segments.iter().skip(synced_count).try_for_each(|segment| self.sync_segment(segment)).map_err(|failure| {
            match failure {
                SyncError::NotBegun(error) => error,
                SyncError::Failed(error) => self.poisoned_by(&error),
            }
        })?;
        if let Some(SyncedTo { next_offset, .. }) = synced {
            self.note_segments_synced(next_offset);
        }
        Ok((segments, synced))
    }

    fn sync_segment(&self, segment: &Segment) -> Result<(), SyncError<Error>> {
        let begun = self.monotonic();
        segment.sync()?;
        let time = self.monotonic().saturating_sub(begun);
        self.counters.note_segment_sync(time);
        self.environment.segment_syncs.note(time);
        Ok(())
    }

    /// Makes a file, if the sync of the segments that comes next is to sync the directory, too, since the name of `active` does not
    /// survive a power cut yet. Returns what `make` does, or else `false`.
    pub(in crate::partition) fn before_name_is_synced(&self, active: &Segment, make: impl FnOnce() -> bool) -> bool {
        // One that is under way may have begun with the directory.
        let _no_sync_is_under_way = self.segment_sync.lock();
        !active.is_name_synced() && make()
    }

    /// Whether the recovery point is behind what a commit round synced.
    pub(in crate::partition) fn owes_point(&self) -> bool {
        self.owes_point.load(Ordering::Acquire)
    }

    /// The recovery point is about to be stored.
    pub(in crate::partition) fn pays_point(&self) {
        self.owes_point.store(false, Ordering::Release);
    }

    /// Whether [`rewrite_if_owed`](Log::rewrite_if_owed) has something to do.
    pub(in crate::partition) fn owes_rewrite(&self) -> bool {
        self.owes_rewrite.load(Ordering::Acquire)
    }

    /// Writes once more what an earlier process wrote and perhaps failed to sync, so that the next sync carries it.
    ///
    /// # Errors
    /// As [`sync_segments`](Log::sync_segments).
    #[inline]
    pub(crate) fn rewrite_if_owed(&self) -> Result<()> {
        if self.owes_rewrite() { self.rewrite() } else { Ok(()) }
    }

    #[cold]
    fn rewrite(&self) -> Result<()> {
        let _one_at_a_time = self.segment_sync.lock();
        self.check_present()?;
        self.rewrite_segments()
    }

    fn rewrite_segments(&self) -> Result<()> {
        if !self.owes_rewrite() {
            return Ok(());
        }
        let rewritten = self.segments().iter().filter(|s| !s.is_synced()).try_for_each(|s| s.rewrite_distrusted());
        rewritten.map_err(|failure| match failure {
            // On a full disk nothing was harmed: the same bytes are there, and are written later.
            SyncError::Failed(error) if !error.is_retriable() => self.poisoned_by(&error),
            failure => failure.into_inner(),
        })?;
        self.owes_rewrite.store(false, Ordering::Release);
        Ok(())
    }

    /// [`wait_durable`](Log::wait_durable) for who has just appended these records. An error says that they are in the log, or
    /// that it is not known.
    ///
    /// # Errors
    /// [`Error::NotDurable`], [`Error::InDoubt`]; [`Error::Closed`] if the topic was deleted meanwhile, and they with it.
    pub(crate) fn wait_appended_durable(self: &Arc<Log>, offsets: Range<u64>) -> Result<()> {
        self.wait_durable(offsets.end).map_err(|source| self.appended_error(offsets, source))
    }

    /// Why records that were appended at these offsets are not known to be durable.
    #[cold]
    fn appended_error(&self, offsets: Range<u64>, source: Error) -> Error {
        let partition = self.spec.partition.clone();
        match source {
            Error::Closed { .. } if self.is_deleted() => source,
            Error::Poisoned { .. } => Error::InDoubt { partition, offsets, source: Box::new(source) },
            source => {
                // In a process that was forked off, the bell's lock may be held for ever.
                if !self.is_forked() {
                    self.sync_later();
                }
                Error::NotDurable { partition, offsets, source: Box::new(source) }
            }
        }
    }

    /// Has the maintenance make durable what was appended, since nobody waits for that.
    pub(crate) fn sync_later(&self) {
        if self.is_always() {
            self.environment.bell.ring(Work::Syncs);
        }
    }

    /// Whether there are sealed segments that the manifest does not have.
    pub(in crate::partition) fn has_unnoted_segments(&self) -> bool {
        self.view().segments.len() > self.noted_segments.load(Ordering::Relaxed) + 1
    }

    pub(in crate::partition) fn sealed_are_noted(&self, segment_count: usize) {
        self.noted_segments.store(segment_count, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use crate::disk::simulated::SimulatedDisk;
    use crate::{Broker, Durability, Error, ProducerRecord, TopicConfig};

    #[test]
    fn to_rewrite_what_was_deleted_meanwhile_says_so_and_poisons_nothing() {
        let disk = SimulatedDisk::new(1);
        let open = |disk: &SimulatedDisk| Broker::builder("/data").background(false).disk(disk).open().unwrap();
        let config = TopicConfig::new().durability(Durability::Os);
        let topic = open(&disk).create_topic("orders", config).unwrap();
        topic
            .partition(0)
            .unwrap()
            .append(&ProducerRecord::to("orders").value("larger than any slot".repeat(5000)))
            .unwrap();
        let broker = open(&disk.kill(1));
        let partition = broker.topic("orders").unwrap().partition(0).unwrap();
        let log = partition.writable().unwrap();
        assert!(log.owes_rewrite());
        // Between the steps of `wait_durable`.
        log.check_present().unwrap();
        broker.admin().delete_topic("orders").unwrap();
        assert!(matches!(log.rewrite_if_owed(), Err(Error::Closed { .. })));
        assert!(matches!(log.wait_durable(1), Err(Error::Closed { .. })));
    }
}
