//! One partition's log: its segments, its open batch, and the offsets that bound what may be read.
//!
//! ```text
//! log_start_offset <= durable <= log_end_offset            what readers see ends at `visible_end`:
//!        |               |             |                   `durable` with Durability::Always, else `log_end_offset`
//!   [ segment ][ segment ][ open batch )
//! ```
//! Locks, in the order in which they may be taken: `checkpoint` and `segment_sync` (held across syncs; never needed to append
//! or read), `appender` (never held across a sync or in user code), `sync` (a leaf, held for a few instructions). Readers take none of them: they
//! load the offsets and then the view, and whatever the offsets admit is in a view loaded later.

mod checkpointing;
mod syncing;

use std::io;
use std::ops::Range;
use std::sync::{Arc, OnceLock};

use super::appender::Appender;
use super::broken::Broken;
use super::checkpoint::{Checkpoint, UNNOTED_BYTES_MAX};
use super::durability::Durability;
use super::environment::Environment;
use super::leader_epoch::{self, LeaderEpochs};
use super::log_spec::LogSpec;
use super::offsets::LogOffsets;
use super::reader::{FetchLimits, Place, Source, TailBytes, TailRecords};
use super::recovery::{Recovered, RecoveredLog};
use super::waiters::{Registration, Waiter, Waiters};
use crate::canary::{Canary, planted};
use crate::disk::append_file::AppendError;
use crate::error::{Corruption, Error, Result};
use crate::format::BatchHeader;
use crate::record::{Fetched, ProducerRecord};
use crate::segment::{Segment, SegmentConfig, SegmentDir};
use crate::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use crate::sync::{ArcSwap, Mutex};
use crate::tail::{OpenBatch, Salvaged};
use crate::topic_partition::TopicPartition;

/// The log of one partition, open for writing.
#[derive(Debug)]
pub(crate) struct Log {
    pub(super) spec: LogSpec,
    pub(super) dir: Arc<SegmentDir>,
    pub(super) environment: Arc<Environment>,
    pub(super) checkpoint: Mutex<Checkpoint>,
    pub(super) appender: Mutex<Appender>,
    segment_sync: Mutex<()>,
    /// Segments hold what an earlier process wrote and did not sync, and which is to be written once more before it is.
    owes_rewrite: AtomicBool,
    /// A commit round synced segments and could not note it in the recovery point.
    owes_point: AtomicBool,
    /// That the leader epoch was raised found no room on the disk. No record gets it before it is written down.
    owes_epochs: AtomicBool,
    sync: Mutex<SyncState>,
    view: ArcSwap<LogView>,
    offsets: LogOffsets,
    /// How many sealed segments the manifest has.
    noted_segments: AtomicUsize,
    /// Up to which byte of the active segment the recovery point is. Too high just after a roll, which is noted anyway.
    noted_bytes: AtomicU64,
    poison: OnceLock<String>,
    closed: AtomicBool,
    deleted: AtomicBool,
    /// Its files are another's, or soon will be. Raised under the locks below which they are written and synced.
    retired: AtomicBool,
    enlisted: AtomicBool,
    pub(super) waiters: Arc<Waiters>,
    /// Ranges of offsets that opening found missing or damaged.
    pub(super) damage: Vec<Corruption>,
    /// Why nothing can be known of the log, if so. It is closed then, from the beginning.
    broken: Option<Broken>,
    pub(super) epochs: LeaderEpochs,
}

/// Segments in ascending order; the last one is active.
pub(super) type Segments = Arc<[Arc<Segment>]>;

/// What readers see of a log's structure. Replaced as a whole.
#[derive(Debug, Clone)]
pub(crate) struct LogView {
    pub(super) segments: Segments,
    /// Batches behind the segments that an earlier process left in the tail, and that there was no room to seal when the log was
    /// opened. Until they are sealed, nothing is appended.
    pub(super) unsealed: Arc<[Arc<Salvaged>]>,
    /// The batch that is being appended to, if there is one.
    pub(super) open: Option<Arc<OpenBatch>>,
}

#[derive(Debug, Default)]
struct SyncState {
    /// The open batch, and sealed ones whose slot must stay until the segment holds them durably.
    slots: Vec<Arc<OpenBatch>>,
    /// Durability below this offset needs the segments to be synced, since no slot covers what they hold.
    segments_debt: u64,
    /// Why the last commit round covers less than was published, until somebody who waits for it is told.
    commit_error: Option<Error>,
}

impl SyncState {
    /// The bytes of the tail that this log keeps.
    fn slot_bytes(&self) -> usize {
        self.slots.iter().map(|batch| batch.slot_bytes()).sum()
    }
}

impl Log {
    /// A log without records, whose directory was just made.
    pub(crate) fn create(spec: LogSpec, environment: Arc<Environment>) -> Log {
        let recovered = Recovered::empty(&spec, &environment.files);
        Log::new(spec, environment, recovered, None)
    }

    /// Begins to serve a log that was recovered.
    pub(crate) fn serve(recovered: RecoveredLog, environment: Arc<Environment>) -> Log {
        Log::new(recovered.spec, environment, recovered.recovered, recovered.broken)
    }

    fn new(spec: LogSpec, environment: Arc<Environment>, recovered: Recovered, broken: Option<Broken>) -> Log {
        let (synced, end) = (recovered.synced_offset, recovered.next_offset);
        let segments_debt = if synced < end { end } else { 0 };
        let offsets = LogOffsets::new(recovered.log_start_offset, synced, end);
        let noted_bytes = recovered.segments.last().map_or(0, |active| recovered.checkpoint.noted_bytes(active));
        let noted = recovered.segments.iter().filter(|segment| segment.is_sealed()).count();
        Log {
            checkpoint: Mutex::new(recovered.checkpoint),
            appender: Mutex::new(Appender::new(end, recovered.epochs.latest())),
            segment_sync: Mutex::default(),
            owes_rewrite: AtomicBool::new(synced < end),
            owes_point: AtomicBool::new(false),
            owes_epochs: AtomicBool::new(recovered.owes_epochs),
            sync: Mutex::new(SyncState { segments_debt, ..SyncState::default() }),
            view: ArcSwap::from_pointee(LogView {
                segments: recovered.segments.into(),
                unsealed: recovered.unsealed.into(),
                open: None,
            }),
            offsets,
            noted_segments: AtomicUsize::new(noted),
            noted_bytes: AtomicU64::new(noted_bytes),
            poison: OnceLock::new(),
            deleted: AtomicBool::new(false),
            closed: AtomicBool::new(broken.is_some()),
            retired: AtomicBool::new(false),
            enlisted: AtomicBool::new(false),
            waiters: Arc::default(),
            dir: recovered.dir,
            damage: recovered.damage,
            broken,
            epochs: recovered.epochs,
            spec,
            environment,
        }
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
    ) -> Result<Appended> {
        if self.spec.durability == Durability::Always || least_durability == Durability::Always {
            self.append_durably(records)
        } else {
            self.append_visibly(records)
        }
    }

    fn append_durably(self: &Arc<Log>, records: &[ProducerRecord<'_>]) -> Result<Appended> {
        self.check_not_forked()?;
        // What may fail of making them durable, and can be done before they are in the log.
        self.rewrite_if_owed()?;
        let appended = self.append_prepared(records)?;
        self.wake_readers();
        self.wait_appended_durable(appended.base_offset..appended.next_offset)?;
        Ok(appended)
    }

    fn append_visibly(&self, records: &[ProducerRecord<'_>]) -> Result<Appended> {
        self.check_not_forked()?;
        let appended = self.append_prepared(records)?;
        self.waiters.wake();
        Ok(appended)
    }

    #[inline]
    fn append_prepared(&self, records: &[ProducerRecord<'_>]) -> Result<Appended> {
        self.supply_slots_if_short();
        self.store_owed_epochs()?;
        self.append_unsynced(records)
    }

    /// Returns once the records that the caller has appended at these offsets are as durable as the topic demands.
    ///
    /// # Errors
    /// As [`wait_appended_durable`](Log::wait_appended_durable).
    pub(crate) fn wait_as_demanded(self: &Arc<Log>, offsets: Range<u64>) -> Result<()> {
        if self.spec.durability == Durability::Always { self.wait_appended_durable(offsets) } else { Ok(()) }
    }

    /// Sees to it that there are free slots; for callers that hold no lock, as this may sync.
    #[inline]
    pub(crate) fn supply_slots_if_short(&self) {
        self.environment.group(self.spec.durability).tail().supply_if_short();
    }

    /// [`append`](Log::append) without waiting for durability, for callers that hold a lock: it syncs nothing, and wakes
    /// nobody. Once they have let go, they call [`wake_readers`](Log::wake_readers) and wait with
    /// [`wait_as_demanded`](Log::wait_as_demanded).
    ///
    /// # Errors
    /// [`Error::InDoubt`]: it is not known whether they were appended. Any other: nothing was appended.
    #[inline]
    pub(crate) fn append_unsynced(&self, records: &[ProducerRecord<'_>]) -> Result<Appended> {
        // In one pass: that over a batch of a thousand takes 3 us.
        let (mut payload_bytes, mut is_before_1970) = (0, false);
        for record in records {
            payload_bytes += record.payload_bytes();
            is_before_1970 |= record.get_timestamp().is_some_and(|timestamp| timestamp.as_millis() < 0);
        }
        if is_before_1970 {
            let reason = "its timestamp is before 1970, which Kafka's format does not allow";
            return Err(Error::InvalidRecord { partition: self.spec.partition.clone(), reason });
        }
        let mut appender = self.appender.lock();
        self.check_writable()?;
        appender.append(self, records, payload_bytes)
    }

    /// Wakes those who wait for what was appended, if they may see it by now; for callers that hold no lock.
    #[inline]
    pub(crate) fn wake_readers(&self) {
        if self.spec.durability != Durability::Always {
            self.waiters.wake();
        }
    }

    /// Has `token` delivered to `waiter` when something becomes visible here, once the registration is armed.
    pub(crate) fn register(&self, waiter: &Arc<Waiter>, token: u32) -> Registration {
        let registration = Registration::new(&self.waiters, &self.environment.files, waiter, token);
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
            self.environment.group(self.spec.durability).commit(std::slice::from_ref(self));
            if self.durable_offset() < offset {
                if let Some(error) = self.take_commit_error() {
                    return Err(error);
                }
                // It failed, or could not open what it was to sync. An attempt of one's own tells which of the two, and ends
                // this loop where no round can begin.
                self.sync_segments()?;
            }
        }
        // Whoever led the round may not have come to that yet, and a consumer that polls after this is to see the records.
        self.waiters.wake();
        Ok(())
    }

    pub(crate) fn partition(&self) -> &TopicPartition {
        &self.spec.partition
    }

    /// The id that tells the log's topic from an earlier or later one of the same name.
    pub(crate) fn topic_id(&self) -> u128 {
        self.spec.topic_id
    }

    /// The clock, in milliseconds since 1970 UTC.
    pub(crate) fn now_ms(&self) -> i64 {
        self.environment.now_ms()
    }

    pub(crate) fn durability(&self) -> Durability {
        self.spec.durability
    }

    /// Bytes of all segments, and their number.
    pub(crate) fn size(&self) -> (u64, usize) {
        let segments = self.segments();
        (segments.iter().map(|segment| segment.log_bytes()).sum(), segments.len())
    }

    /// The leader epoch of the record before `offset`, whether or not that can be read.
    pub(crate) fn leader_epoch_before(&self, offset: u64) -> Option<i32> {
        self.epochs.epoch_of(offset.checked_sub(1)?)
    }

    /// Where the log went on after the records that a position with this leader epoch has passed, if a power cut took some
    /// of those.
    pub(crate) fn truncated_to(&self, position: u64, leader_epoch: i32) -> Option<u64> {
        if self.broken.is_some() {
            return None;
        }
        self.epochs.truncated_to(position, leader_epoch, self.log_end_offset())
    }

    pub(crate) fn log_start_offset(&self) -> u64 {
        self.offsets.start()
    }

    pub(crate) fn log_end_offset(&self) -> u64 {
        self.offsets.end()
    }

    pub(crate) fn durable_offset(&self) -> u64 {
        self.offsets.durable()
    }

    /// One above the last offset that readers may see: with `Always`, nothing that a power cut could take away again.
    pub(crate) fn visible_end(&self) -> u64 {
        let only_durable = self.spec.durability == Durability::Always && !planted(Canary::ServeBeforeSync);
        if only_durable { self.durable_offset() } else { self.log_end_offset() }
    }

    fn view(&self) -> arc_swap::Guard<Arc<LogView>> {
        self.view.load()
    }

    pub(super) fn segments(&self) -> Segments {
        Arc::clone(&self.view().segments)
    }

    /// Reads records from offset `from` (included) on; see [`Source::fetch`].
    pub(crate) fn fetch(&self, from: u64, limits: FetchLimits) -> Result<Fetched> {
        Ok(self.fetch_on(from, limits, None)?.0)
    }

    /// [`fetch`](Log::fetch) for a reader that goes on where it ended, at `place` in a batch. Returns where it ends, too.
    pub(crate) fn fetch_on(
        &self,
        from: u64,
        limits: FetchLimits,
        place: Option<&Place>,
    ) -> Result<(Fetched, Option<Place>)> {
        self.read(|source| source.fetch(from, limits, place))
    }

    /// The first visible offset whose record has a timestamp of at least `timestamp_ms`.
    pub(crate) fn offset_for_time(&self, timestamp_ms: i64) -> Result<Option<u64>> {
        self.read(|source| source.offset_for_time(timestamp_ms))
    }

    fn read<T>(&self, read: impl Fn(&Source<'_>) -> Result<T>) -> Result<T> {
        // A slot that this process still takes for the open batch's may be another one's by now.
        self.check_not_forked()?;
        loop {
            self.check_open()?;
            // In this order: whatever the offsets admit is in a view loaded later.
            let bounds = self.log_start_offset()..self.visible_end();
            let view = self.view();
            let open = view.open.as_ref().map(|open| TailRecords {
                identity: open.identity(),
                bytes: TailBytes::InSlot(open),
                is_dense: true,
            });
            let unsealed = if view.unsealed.is_empty() { Vec::new() } else { all_in_tail(&view.unsealed) };
            let result = read(&Source {
                partition: &self.spec.partition,
                topic_id: self.spec.topic_id,
                segments: &view.segments,
                // While there are such batches, none is open.
                tail: if unsealed.is_empty() { open.as_slice() } else { &unsealed },
                damage: &self.damage,
                waypoints: Some(&self.environment.waypoints),
                bounds,
                max_message_bytes: self.spec.config.max_message_bytes,
            });
            if result.is_ok() {
                return result;
            }
            // Its files may have been closed meanwhile.
            self.check_open()?;
            // Segments that were replaced meanwhile may no longer be opened by their names.
            if Arc::ptr_eq(&view.segments, &self.view().segments) {
                return result;
            }
        }
    }

    /// Puts `new` segments into the place of `old` ones, which follow one another. Who reads in the old ones goes on there.
    pub(super) fn replace_segments(&self, old: &[Arc<Segment>], new: &[Arc<Segment>]) {
        let _nobody_changes_the_view = self.appender.lock();
        let view = self.view();
        let is_old = |segment: &&Arc<Segment>| old.iter().any(|other| Arc::ptr_eq(other, segment));
        let before = view.segments.iter().take_while(|segment| !is_old(segment));
        let behind = view.segments.iter().skip_while(|segment| !is_old(segment)).filter(|segment| !is_old(segment));
        let segments = before.chain(new).chain(behind).cloned().collect();
        self.view.store(Arc::new(LogView { segments, ..LogView::clone(&view) }));
        self.noted_segments.fetch_add(new.len(), Ordering::Relaxed);
        self.noted_segments.fetch_sub(old.len(), Ordering::Relaxed);
    }

    /// Refuses every later append, read and sync, keeps no file open nor opens one any more, and gives its slots back: the topic
    /// was deleted or the broker closed, and another one may soon have files of the same names.
    pub(crate) fn retire(&self) {
        self.close_with(|_| ());
        let _no_checkpoint_is_under_way = self.checkpoint.lock();
        let _no_sync_is_under_way = self.segment_sync.lock();
        self.retired.store(true, Ordering::Release);
        for segment in self.segments().iter() {
            segment.close_for_good();
        }
        let _nobody_changes_the_view = self.appender.lock();
        self.view.store(Arc::new(LogView { segments: self.segments(), unsealed: Arc::default(), open: None }));
        self.sync.lock().slots.clear();
    }

    /// Whether appends and reads are refused: the topic was deleted or the broker closed.
    #[inline]
    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// Fails once the log was [retired](Log::retire).
    pub(super) fn check_present(&self) -> Result<()> {
        if self.retired.load(Ordering::Acquire) { Err(self.closed_error()) } else { Ok(()) }
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
        self.closed.store(true, Ordering::Release);
        appender.abandon();
        result
    }

    /// Refuses every later append and read, since the topic is deleted, and has no slot to write to any more. Wakes nobody yet:
    /// a waker is the caller's code, may close the broker, and would wait there for the slots of this topic's other logs.
    pub(crate) fn begin_delete(&self) {
        self.deleted.store(true, Ordering::Release);
        self.close_silently(|_| ());
    }

    /// Whether the topic was deleted.
    pub(super) fn is_deleted(&self) -> bool {
        self.deleted.load(Ordering::Acquire)
    }

    /// Fails in a process that was forked off. To be called before any lock is taken, see [`OpenFiles::is_forked`](crate::disk::open_files::OpenFiles::is_forked).
    #[inline]
    pub(crate) fn check_not_forked(&self) -> Result<()> {
        self.environment.files.check_not_forked()
    }

    /// Fails once the topic was deleted or the broker closed.
    #[inline]
    pub(crate) fn check_open(&self) -> Result<()> {
        if self.is_closed() { Err(self.closed_error()) } else { Ok(()) }
    }

    /// Fails if nothing can be known of the log, since its directory is not what it should be, or is refused. Whatever is not
    /// known is then said to be 0.
    #[inline]
    pub(crate) fn check_whole(&self) -> Result<()> {
        if self.broken.is_some() { Err(self.closed_error()) } else { Ok(()) }
    }

    /// Why nothing can be known of the log, if so.
    pub(super) fn broken(&self) -> Option<&Broken> {
        self.broken.as_ref()
    }

    #[cold]
    fn closed_error(&self) -> Error {
        match &self.broken {
            Some(broken) => broken.error(),
            None => Error::Closed { what: self.spec.partition.to_string() },
        }
    }

    #[inline]
    fn check_writable(&self) -> Result<()> {
        self.check_open()?;
        self.check_unharmed()
    }

    /// Fails if an earlier write or sync failed.
    #[inline]
    pub(super) fn check_unharmed(&self) -> Result<()> {
        let tail_failure = self.environment.group(self.spec.durability).failure();
        match self.poison.get().map(String::as_str).or(tail_failure) {
            None => Ok(()),
            Some(reason) => Err(self.poisoned_error(reason)),
        }
    }

    #[cold]
    fn poisoned_error(&self, reason: &str) -> Error {
        Error::Poisoned { partition: self.spec.partition.clone(), reason: reason.to_owned() }
    }

    /// Refuses writes from now on, because of what just failed; the error that says so.
    fn poisoned_by(&self, error: &Error) -> Error {
        let reason = error.to_string();
        self.poison(&reason);
        self.poisoned_error(&reason)
    }

    /// Refuses writes from now on, for the first reason given.
    pub(super) fn poison(&self, reason: &str) {
        // The first reason stays.
        let _ = self.poison.set(reason.to_owned());
    }
}

/// What an append did.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Appended {
    pub(crate) base_offset: u64,
    pub(crate) next_offset: u64,
    /// The timestamp given to records that brought none.
    pub(crate) timestamp: i64,
}

/// For the appender, under the append lock.
impl Log {
    /// Publishes a new log end.
    #[inline]
    pub(super) fn set_log_end(&self, next_offset: u64) {
        self.offsets.set_end(next_offset);
    }

    /// Lets readers and the group commit know of a batch in a slot, before anything is published in it.
    pub(super) fn batch_opened(&self, batch: &Arc<OpenBatch>) {
        self.sync.lock().slots.push(Arc::clone(batch));
        self.view.store(Arc::new(LogView { open: Some(Arc::clone(batch)), ..LogView::clone(&self.view()) }));
    }

    /// The first of the batches that opening could not seal.
    pub(super) fn first_unsealed(&self) -> Option<Arc<Salvaged>> {
        self.view().unsealed.first().cloned()
    }

    /// The first of them is in the segment now. It is as durable as before: its slot is nobody else's for as long as the broker is
    /// open.
    pub(super) fn unsealed_is_sealed(&self) {
        let unsealed = self.view().unsealed.iter().skip(1).cloned().collect();
        self.view.store(Arc::new(LogView { unsealed, ..LogView::clone(&self.view()) }));
    }

    /// Fails as long as there was no room to write down the leader epoch that the next record gets.
    pub(super) fn check_epochs_are_stored(&self) -> Result<()> {
        if self.owes_epochs() {
            let path = leader_epoch::path(&self.spec.dir);
            return Err(Error::DiskFull { action: "write", path });
        }
        Ok(())
    }

    /// The batch has no records, and gets none.
    pub(super) fn batch_given_up(&self, batch: &Arc<OpenBatch>) {
        self.view.store(Arc::new(LogView { open: None, ..LogView::clone(&self.view()) }));
        self.sync.lock().slots.retain(|other| !Arc::ptr_eq(other, batch));
    }

    /// The batch is in the segment now.
    pub(super) fn batch_sealed(&self, batch: &Arc<OpenBatch>) {
        self.view.store(Arc::new(LogView { open: None, ..LogView::clone(&self.view()) }));
        let bytes_kept = {
            let mut sync = self.sync.lock();
            if self.spec.durability != Durability::Always && !batch.is_committed() {
                sync.slots.retain(|other| !Arc::ptr_eq(other, batch));
                sync.segments_debt = batch.next_offset();
            }
            sync.slot_bytes()
        };
        if bytes_kept >= SLOT_BYTES_KEPT_MAX {
            self.environment.bell.ring();
        }
    }

    /// Why records at these offsets could not be written to a slot, which only is a call where the tail is not mapped. As
    /// [`append_to_segment`], it harms nothing if the disk is full or the error is a passing one.
    ///
    /// [`append_to_segment`]: Log::append_to_segment
    #[cold]
    pub(super) fn slot_error(&self, failure: AppendError, offsets: Range<u64>) -> Error {
        match failure {
            AppendError::Torn(source) => {
                let error = self.environment.group(self.spec.durability).tail().write_error(source);
                let (partition, source) = (self.spec.partition.clone(), Box::new(self.poisoned_by(&error)));
                Error::InDoubt { partition, offsets, source }
            }
            AppendError::NotBegun(source) | AppendError::Clean(source) => self.commit_error(source),
        }
    }

    /// What a call that wrote a commit entry returned: the log refuses writes from now on, unless the disk is full or the error is
    /// a passing one.
    #[cold]
    fn commit_error(&self, source: io::Error) -> Error {
        let error = self.environment.group(self.spec.durability).tail().write_error(source);
        if error.is_retriable() { error } else { self.poisoned_by(&error) }
    }

    /// Appends a whole batch to the active segment, beginning a new one if it must, with one write.
    ///
    /// # Errors
    /// What could not begin, a disk that is full and passing errors leave everything as it was; any other poisons the log.
    pub(super) fn append_to_segment(&self, batch: &[u8], header: &BatchHeader) -> Result<(), AppendError<Error>> {
        let active = match self.view().segments.last() {
            Some(active)
                if !active.must_roll_before(batch.len() as u64, header.last_offset(), header.max_timestamp) =>
            {
                Ok(Arc::clone(active))
            }
            _ => self.roll(header.base_offset()),
        };
        active.and_then(|active| active.append(batch, header)).map_err(|failure| self.append_error(failure))?;
        if self.unnoted_bytes() > UNNOTED_BYTES_MAX {
            self.environment.bell.ring();
        }
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
    /// As [`append_to_segment`](Log::append_to_segment).
    pub(super) fn settle_active(&self) -> Result<()> {
        let settled = self.view().segments.last().map_or(Ok(()), |active| active.settle());
        settled.map_err(|failure| self.append_error(failure).into_inner())
    }

    /// Records that went into the segment without a slot are durable only with it.
    pub(super) fn bypassed_tail(&self, next_offset: u64) {
        self.sync.lock().segments_debt = next_offset;
        self.environment.group(self.spec.durability).tail().note_bypassed();
    }

    fn roll(&self, base_offset: u64) -> Result<Arc<Segment>, AppendError<Error>> {
        let view = self.view();
        if let Some(full) = view.segments.last() {
            full.settle()?;
        }
        let segment = Segment::create(&self.dir, base_offset, SegmentConfig::from(&self.spec.config));
        let segment = Arc::new(segment.map_err(AppendError::NotBegun)?);
        if let Some(rolled) = view.segments.last() {
            rolled.note_rolled(self.environment.now_ms());
        }
        let segments = view.segments.iter().chain([&segment]).cloned().collect();
        self.view.store(Arc::new(LogView { segments, ..LogView::clone(&view) }));
        self.environment.bell.ring();
        Ok(segment)
    }
}

/// The batches that opening could not seal, for readers. Apart from [`Log::read`], which as a rule finds none.
#[cold]
fn all_in_tail(unsealed: &[Arc<Salvaged>]) -> Vec<TailRecords<'_>> {
    unsealed.iter().map(|batch| in_tail(batch)).collect()
}

fn in_tail(batch: &Salvaged) -> TailRecords<'_> {
    TailRecords { identity: &batch.identity, bytes: TailBytes::Copied(&batch.records), is_dense: true }
}

/// So many bytes in slots wait for the segment's sync before the maintenance is called to do it.
const SLOT_BYTES_KEPT_MAX: usize = 256 << 10;
