//! One partition's log, open for writing: who may append, sync, note and compact, and when.
//!
//! Its structure and its offsets are the [core](super::log_core)'s. The locks that decide who changes them are here, in the order in
//! which they may be taken: `checkpoint` and `segment_sync` (held across syncs; never needed to append or read), `appender`
//! (never held across a sync or in user code); then the right to write to segments ([`Sealing`](super::log_core::Sealing)), for one write,
//! which the thread that seals takes alone; then the core's leaves, for a few instructions. Readers take none of them. The turn
//! to compact comes before all of them, and only who retires the log waits for it; so does the turn to delete for the disk budget,
//! which is that of all logs, and for which senders wait that hold nothing.

mod checkpointing;
pub(crate) mod copying;
mod deleting;
mod dropping;
mod retention;
mod syncing;
mod transactions;

pub(crate) use super::producer_state::OpenTransaction;

use std::ops::{Deref, Range};
use std::sync::{Arc, Weak};

use super::appender::{AppendResult, Appended, Appender, NoProducer, SendersTime};
use super::bell::Work;
use super::broken::Broken;
use super::checkpoint::Checkpoint;
use super::compaction::failure::Failure;
use super::compaction::turn::CompactionTurn;
use super::durability::Durability;
use super::durable_wait::DurableWait;
use super::environment::Environment;
use super::group_commit::CommitMember;
use super::isolation::Isolation;
use super::log_core::LogCore;
use super::log_spec::LogSpec;
use super::recovery::{Recovered, RecoveredLog};
use super::timestamp_type::TimestampType;
use super::topic_settings::Demands;
use super::waiters::{Registration, Waiter};
use crate::error::{Error, Result, SendOutcome};
use crate::record::ProducerRecord;
use crate::segment::Segment;
use crate::sync::Mutex;
use crate::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// The log of one partition, open for writing. What it shares with its readers and its appender is its core.
#[derive(Debug)]
pub(crate) struct Log {
    core: LogCore,
    pub(super) compaction: CompactionTurn,
    /// Why the log is not compacted for now.
    pub(super) compaction_failure: Mutex<Option<Failure>>,
    pub(super) checkpoint: Mutex<Checkpoint>,
    appender: Mutex<Appender>,
    segment_sync: Mutex<()>,
    /// Segments hold what an earlier process wrote and did not sync, and which is to be written once more before it is.
    owes_rewrite: AtomicBool,
    /// A commit round synced segments and could not note it in the recovery point.
    owes_point: AtomicBool,
    /// How many sealed segments the manifest has.
    noted_segments: AtomicUsize,
    /// Files of deleted records may still be there.
    owes_removal: AtomicBool,
    /// Held while something is deleted by the topic's limits, so that who changes them can wait for that.
    retaining: Mutex<()>,
    /// Waits for a round of each of the tails, the one of `Always` topics first.
    enlisted: [AtomicBool; 2],
}

impl Deref for Log {
    type Target = LogCore;

    #[inline]
    fn deref(&self) -> &LogCore {
        &self.core
    }
}

impl Log {
    /// A log without records, whose directory was just made.
    pub(crate) fn create(spec: LogSpec, environment: Arc<Environment>) -> Arc<Log> {
        let recovered = Recovered::empty(&spec, &environment.files);
        Log::new(spec, environment, recovered, None)
    }

    /// Begins to serve a log that was recovered.
    pub(crate) fn serve(recovered: RecoveredLog, environment: Arc<Environment>) -> Arc<Log> {
        Log::new(recovered.spec, environment, recovered.recovered, recovered.broken)
    }

    fn new(spec: LogSpec, environment: Arc<Environment>, recovered: Recovered, broken: Option<Broken>) -> Arc<Log> {
        let noted = recovered.segments.iter().filter(|segment| segment.is_sealed()).count();
        let owes_rewrite = recovered.synced_offset < recovered.next_offset;
        let appender = Appender::new(recovered.next_offset, recovered.epochs.latest());
        Arc::new_cyclic(|log: &Weak<Log>| {
            let (core, checkpoint) = LogCore::new(spec, environment, recovered, broken, log.clone());
            Log {
                core,
                compaction: CompactionTurn::default(),
                compaction_failure: Mutex::default(),
                checkpoint: Mutex::new(checkpoint),
                appender: Mutex::new(appender),
                segment_sync: Mutex::default(),
                owes_rewrite: AtomicBool::new(owes_rewrite),
                owes_point: AtomicBool::new(false),
                noted_segments: AtomicUsize::new(noted),
                owes_removal: AtomicBool::new(false),
                retaining: Mutex::default(),
                enlisted: [AtomicBool::new(false), AtomicBool::new(false)],
            }
        })
    }

    /// Appends `records` in one piece: all of them or none. Returns the first one's offset and timestamp once they are as
    /// durable as the topic demands, or the caller with `least_durability` if that is more. Of the two only
    /// [`Durability::Always`] is waited for: less comes by itself.
    ///
    /// # Errors
    /// [`Error::NotDurable`]: they were appended. [`Error::InDoubt`]: it is not known. Any other: nothing was appended.
    #[inline]
    pub(crate) fn append(
        self: &Arc<Log>,
        records: &[ProducerRecord<'_>],
        least_durability: Durability,
    ) -> AppendResult {
        if self.spec.is_internal {
            return Err(self.refuse_internal().into());
        }
        if self.is_always() || least_durability == Durability::Always {
            self.append_durably(records)
        } else {
            self.append_visibly(records)
        }
    }

    /// The error for a topic that only its coordinator writes to.
    #[cold]
    fn internal_error(&self) -> Error {
        let reason = "only Ottla writes to internal topics: they keep what groups and transactions depend on";
        Error::InvalidTopic { name: self.spec.partition.topic().to_owned(), reason }
    }

    #[cold]
    fn refuse_internal(&self) -> Error {
        let error = self.internal_error();
        self.note_refused(&error);
        error
    }

    /// Fails if only its coordinator writes to the topic.
    ///
    /// # Errors
    /// [`Error::InvalidTopic`].
    pub(crate) fn check_not_internal(&self) -> Result<()> {
        if self.spec.is_internal { Err(self.internal_error()) } else { Ok(()) }
    }

    fn append_durably(self: &Arc<Log>, records: &[ProducerRecord<'_>]) -> AppendResult {
        let appended = self.append_to_be_synced(records)?;
        self.wait_appended_durable(appended.offsets())?;
        Ok(appended)
    }

    /// Appends what somebody is to wait for until it is durable.
    fn append_to_be_synced(&self, records: &[ProducerRecord<'_>]) -> AppendResult {
        self.check_not_forked()?;
        self.environment.check_mirror().inspect_err(|error| self.note_refused(error))?;
        // What may fail of making them durable, and can be done before they are in the log.
        self.rewrite_if_owed().inspect_err(|error| self.note_refused(error))?;
        let appended = self.append_prepared(records)?;
        self.wake_readers();
        Ok(appended)
    }

    #[allow(clippy::inline_always, reason = "a call would move the result once more: 20 of 1,200 instructions")]
    #[inline(always)]
    fn append_visibly(self: &Arc<Log>, records: &[ProducerRecord<'_>]) -> AppendResult {
        self.check_not_forked()?;
        let appended = self.append_prepared(records)?;
        if self.is_always() {
            return self.wait_late(appended);
        }
        self.waiters.wake();
        Ok(appended)
    }

    /// For who began before the topic became [`Durability::Always`], and may have appended after that: nobody would sync it.
    #[cold]
    fn wait_late(self: &Arc<Log>, appended: Appended) -> AppendResult {
        self.wait_appended_durable(appended.offsets())?;
        Ok(appended)
    }

    /// [`append`](Log::append) that leaves it to a task to wait, if there is something to wait for.
    ///
    /// # Errors
    /// [`Error::InDoubt`]: it is not known whether they were appended. Any other: nothing was appended.
    pub(crate) fn append_for_task(
        self: &Arc<Log>,
        records: &[ProducerRecord<'_>],
        least_durability: Durability,
    ) -> Result<(Appended, Option<Arc<DurableWait>>), Box<Error>> {
        if self.spec.is_internal {
            return Err(self.refuse_internal().into());
        }
        if !self.is_always() && least_durability != Durability::Always {
            return Ok((self.append_visibly(records)?, None));
        }
        let appended = self.append_to_be_synced(records)?;
        Ok((appended, Some(self.wait_as_task(appended.offsets()))))
    }

    /// Lays out for the group commit what was appended at these offsets, and calls for a round.
    fn wait_as_task(self: &Arc<Log>, offsets: Range<u64>) -> Arc<DurableWait> {
        let log = Arc::clone(self) as Arc<dyn CommitMember>;
        // A consumer's waker may have forked, and come back in the child.
        if self.environment.files.is_forked() {
            return DurableWait::alone(log, offsets);
        }
        let (wait, is_first) = self.group().wait_as_task(log, offsets);
        if is_first {
            self.environment.bell.ring(Work::Commits);
        }
        wait
    }

    #[allow(clippy::inline_always, reason = "as for `append_visibly`")]
    #[inline(always)]
    fn append_prepared(&self, records: &[ProducerRecord<'_>]) -> AppendResult {
        self.supply_slots_if_short();
        self.store_owed_epochs().inspect_err(|error| self.note_refused(error))?;
        match self.append_unsynced(records) {
            Ok(appended) => Ok(appended),
            Err(error) => self.append_with_room(records, error).inspect_err(|error| self.note_refused(error)),
        }
    }

    /// Appends once there is room for it in the budget, if that was what `error` said was missing.
    ///
    /// # Errors
    /// [`Error::OverBudget`] if nothing can be deleted for it.
    #[cold]
    fn append_with_room(&self, records: &[ProducerRecord<'_>], mut error: Box<Error>) -> AppendResult {
        // A loop, since somebody else may be faster.
        loop {
            self.make_room_after(error)?;
            error = match self.append_unsynced(records) {
                Ok(appended) => return Ok(appended),
                Err(error) => error,
            };
        }
    }

    /// Counts a send that failed, if nothing was appended by it.
    #[cold]
    pub(crate) fn note_refused(&self, error: &Error) {
        if error.outcome() == SendOutcome::NotAppended {
            self.counters.refused_sends.add(1);
        }
    }

    /// Makes room in the disk budget, if that was what `error` said was missing; for callers that hold no lock.
    ///
    /// # Errors
    /// `error`, if it says something else; [`Error::OverBudget`] if nothing can be deleted.
    #[allow(clippy::boxed_local, reason = "as an append returns it")]
    pub(crate) fn make_room_after(&self, error: Box<Error>) -> Result<()> {
        match (&*error, &self.environment.budget) {
            (Error::OverBudget { needed_bytes, .. }, Some(budget)) => budget.make_room(*needed_bytes),
            _ => Err(*error),
        }
    }

    /// Returns once the records that the caller has appended at these offsets are as durable as the topic demands.
    ///
    /// # Errors
    /// As [`wait_appended_durable`](Log::wait_appended_durable).
    pub(crate) fn wait_as_demanded(self: &Arc<Log>, offsets: Range<u64>) -> Result<()> {
        if self.is_always() { self.wait_appended_durable(offsets) } else { Ok(()) }
    }

    /// Sees to it that there are free slots; for callers that hold no lock, as this may sync.
    #[inline]
    pub(crate) fn supply_slots_if_short(&self) {
        self.group().tail().supply_if_short();
    }

    /// [`append`](Log::append) without waiting for durability, for callers that hold a lock: it syncs nothing, and wakes
    /// nobody. Once they have let go, they call [`wake_readers`](Log::wake_readers) and wait with
    /// [`wait_as_demanded`](Log::wait_as_demanded).
    ///
    /// # Errors
    /// [`Error::InDoubt`]: it is not known whether they were appended. Any other: nothing was appended.
    #[allow(clippy::inline_always, reason = "as for `append_visibly`")]
    #[inline(always)]
    pub(crate) fn append_unsynced(&self, records: &[ProducerRecord<'_>]) -> AppendResult {
        let (payload_bytes, is_before_1970) = look_at(records);
        let demands = self.spec.settings.demands();
        if is_before_1970 || !demands.are_none() {
            return self.append_demanding(records, payload_bytes, is_before_1970, demands);
        }
        let mut appender = self.appender.lock();
        self.check_writable()?;
        appender.append(self, records, payload_bytes, SendersTime, NoProducer)
    }

    /// The same where the topic demands something of its records. Apart, so that others pay nothing for it.
    #[inline(never)]
    fn append_demanding(
        &self,
        records: &[ProducerRecord<'_>],
        payload_bytes: usize,
        is_before_1970: bool,
        demands: Demands,
    ) -> AppendResult {
        let timestamp_type = self.check_demands(records, is_before_1970, demands)?;
        let mut appender = self.appender.lock();
        self.check_writable()?;
        appender.append(self, records, payload_bytes, timestamp_type, NoProducer)
    }

    /// Whose time the records get, if they are what the topic demands.
    fn check_demands(
        &self,
        records: &[ProducerRecord<'_>],
        is_before_1970: bool,
        demands: Demands,
    ) -> Result<TimestampType> {
        let timestamp_type = demands.timestamp_type();
        if is_before_1970 && timestamp_type == TimestampType::CreateTime {
            let reason = "its timestamp is before 1970, which Kafka's format does not allow";
            return Err(Error::InvalidRecord { partition: self.spec.partition.clone(), reason });
        }
        if demands.needs_keys() {
            self.check_each_key(records)?;
        }
        Ok(timestamp_type)
    }

    /// Fails if the log is compacted and one of `records` has no key: nothing could ever replace it.
    ///
    /// # Errors
    /// [`Error::InvalidRecord`].
    pub(crate) fn check_keys(&self, records: &[ProducerRecord<'_>]) -> Result<()> {
        if self.spec.settings.demands().needs_keys() { self.check_each_key(records) } else { Ok(()) }
    }

    fn check_each_key(&self, records: &[ProducerRecord<'_>]) -> Result<()> {
        if records.iter().all(|record| record.get_key().is_some()) {
            return Ok(());
        }
        let reason = "it has no key, and the topic is compacted: cleanup.policy has compact";
        Err(Error::InvalidRecord { partition: self.spec.partition.clone(), reason })
    }

    /// Wakes those who wait for what was appended, if they may see it by now; for callers that hold no lock.
    #[inline]
    pub(crate) fn wake_readers(&self) {
        if !self.is_always() {
            self.waiters.wake();
        }
    }

    /// Has `token` delivered to `waiter` when something becomes visible here for readers of this isolation, once the registration is
    /// armed.
    pub(crate) fn register(&self, waiter: &Arc<Waiter>, token: u32, isolation: Isolation) -> Registration {
        let registration = Registration::new(&self.waiters, &self.environment.files, waiter, token, isolation);
        // Whoever appends after this has seen the waiter.
        drop(self.appender.lock());
        registration
    }

    /// Returns once everything below `offset` is durable, joining the group commit.
    ///
    /// # Errors
    /// [`Error::Poisoned`] if a write or sync failed, now or before; [`Error::Closed`] if the topic was deleted. Others say what
    /// could not begin, and the next call tries again.
    pub(crate) fn wait_durable(self: &Arc<Log>, offset: u64) -> Result<()> {
        while self.durable_offset() < offset {
            self.check_not_forked()?;
            self.check_unharmed()?;
            self.check_present()?;
            // A disk that is full for that tells the caller so; a round of the group commit has nobody to tell.
            self.rewrite_if_owed()?;
            self.group().commit(std::slice::from_ref(self));
            if self.durable_offset() < offset {
                if let Some(error) = self.take_commit_error() {
                    return Err(error);
                }
                self.environment.check_mirrored()?;
                // It failed, or could not open what it was to sync. An attempt of one's own tells which of the two, and ends
                // this loop where no round can begin.
                self.sync_segments()?;
            }
        }
        // Whoever led the round may not have come to that yet, and a consumer that polls after this is to see the records.
        self.waiters.wake();
        Ok(())
    }

    /// Puts `new` segments into the place of `old` ones, which follow one another. Who reads in the old ones goes on there.
    pub(super) fn replace_segments(&self, old: &[Arc<Segment>], new: &[Arc<Segment>]) {
        self.core.replace_segments(old, new);
        self.noted_segments.fetch_add(new.len(), Ordering::Relaxed);
        self.noted_segments.fetch_sub(old.len(), Ordering::Relaxed);
    }

    /// Refuses every later append, read and sync, keeps no file open nor opens one any more, and gives its slots back: the topic
    /// was deleted or the broker closed, and another one may soon have files of the same names.
    pub(crate) fn retire(&self) {
        self.close_with(|_| ());
        self.forget_hold();
        self.compaction.wait_for_end();
        let _no_checkpoint_is_under_way = self.checkpoint.lock();
        let _no_sync_is_under_way = self.segment_sync.lock();
        self.close_files();
        self.give_up_slots();
    }

    /// Runs `last` and closes the log, with no append in between: nothing would look after what that left in a slot. Nor does
    /// anybody append to a batch that is still open then.
    pub(super) fn close_with<T>(&self, last: impl FnOnce(&mut Appender) -> T) -> T {
        let result = self.close_silently(last);
        self.waiters.wake_unlocked();
        result
    }

    /// [`close_with`](Log::close_with) that does not wake those who wait.
    fn close_silently<T>(&self, last: impl FnOnce(&mut Appender) -> T) -> T {
        let mut appender = self.appender.lock();
        let result = last(&mut appender);
        self.close();
        appender.abandon(self);
        result
    }

    /// Refuses every later append and read, since the topic is deleted, and has no slot to write to any more. Wakes nobody yet:
    /// a waker is the caller's code, may close the broker, and would wait there for the slots of this topic's other logs.
    pub(crate) fn begin_delete(&self) {
        self.note_deleted();
        self.close_silently(|_| ());
    }
}

/// The bytes of all these records together, and whether the timestamp of one is before 1970. In one pass: that over a batch of a thousand
/// takes 3 us.
#[allow(clippy::inline_always, reason = "as for `append_visibly`")]
#[inline(always)]
fn look_at(records: &[ProducerRecord<'_>]) -> (usize, bool) {
    let (mut payload_bytes, mut is_before_1970) = (0, false);
    for record in records {
        payload_bytes += record.payload_bytes();
        is_before_1970 |= record.get_timestamp().is_some_and(|timestamp| timestamp.as_millis() < 0);
    }
    (payload_bytes, is_before_1970)
}
