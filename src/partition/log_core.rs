//! What readers, the appender and the group commit share of a log: its structure, its offsets, the slots that it keeps, and
//! whether it can be relied on.
//!
//! ```text
//! log_start_offset <= durable <= log_end_offset            what readers see ends at `visible_end`:
//!        |               |             |                   `durable` with Durability::Always, else `log_end_offset`;
//!        |               |             |                   where that changed, not before what was shown already
//!        |               |             |                   and of committed records where the first open transaction begins
//!   [ segment ][ segment ][ open batch )
//! ```
//! Readers take no lock: they load the end and then the view, which says where the log begins. What is below the end is in a view
//! loaded later, or below its start, so that one store moves the start together with the segments. Readers of committed records load,
//! between the two, where the first open transaction begins: what was aborted below that is in the view, too.
//!
//! Who appends holds the append lock, which is the [`Log`](super::log::Log)'s; who writes to the segments, the right to do so
//! ([`sealing`]). That comes after the append lock. All other locks here are leaves.

mod appending;
mod mirroring;
mod reading;
mod sealing;
mod slots;
mod transactions;

use std::collections::VecDeque;
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use super::broken::Broken;
use super::budget::Room;
use super::checkpoint::Checkpoint;
use super::counters::{LogCounters, Received};
use super::durability::Durability;
use super::environment::Environment;
use super::group_commit::GroupCommit;
use super::isolation::Isolation;
use super::leader_epoch::LeaderEpochs;
use super::log_spec::LogSpec;
use super::log_view::{LogView, Segments};
use super::offsets::LogOffsets;
use super::partition_metrics::PartitionMetrics;
use super::producer_state::live::LiveProducers;
use super::recovery::Recovered;
use super::seal_queue::Seals;
use super::waiters::Waiters;
use crate::canary::{Canary, planted};
use crate::disk::open_files::OpenFiles;
use crate::error::{ClosedBy, Corruption, Error, Result};
use crate::events::{Event, Events};
use crate::segment::{Segment, SegmentDir};
use crate::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use crate::sync::{ArcSwap, Mutex};
use crate::topic_partition::TopicPartition;
pub(super) use sealing::{FullBatch, Sealing, own_header};
use slots::SyncState;

/// What readers, the appender and the group commit share of a log.
#[derive(Debug)]
pub(crate) struct LogCore {
    pub(super) spec: LogSpec,
    pub(super) dir: Arc<SegmentDir>,
    pub(super) environment: Arc<Environment>,
    view: ArcSwap<LogView>,
    /// Held for the moment in which another view takes the place of the present one.
    view_changes: Mutex<()>,
    /// Held by who writes to the segments.
    segment_writes: Mutex<()>,
    /// Full batches that are to be sealed, the oldest first. Whoever takes one out may write to the segments.
    full: Mutex<VecDeque<FullBatch>>,
    /// Who seals them, for the thread that does it beside the senders.
    sealed_by: Weak<dyn Seals>,
    offsets: LogOffsets,
    /// Whether a send returns once its record is durable, and readers see it only then. Changed under the append lock.
    is_always: AtomicBool,
    /// Readers have seen everything below it, when it was not yet `Always`.
    shown: AtomicU64,
    /// Which of the two tails the log writes to. As a rule that of its durability; both will do for any. Changed under the append
    /// lock, and that of `sync`.
    is_in_always_tail: AtomicBool,
    sync: Mutex<SyncState>,
    /// Changed under the append lock, or by who writes to the segments; this one is a leaf.
    producers: Mutex<LiveProducers>,
    /// Room in the disk budget for the indexes of segments, by where those begin: their files are written later.
    index_rooms: Mutex<Vec<(u64, Room)>>,
    /// Up to which byte of the active segment the recovery point is. Too high just after a roll, which is noted anyway.
    noted_bytes: AtomicU64,
    /// That the leader epoch was raised found no room on the disk. No record gets it before it is written down.
    owes_epochs: AtomicBool,
    poison: OnceLock<String>,
    closed: AtomicBool,
    /// Its topic was deleted.
    deleted: AtomicBool,
    /// Its files are another's, or soon will be. Raised under the locks below which they are written and synced.
    retired: AtomicBool,
    pub(super) waiters: Arc<Waiters>,
    pub(super) counters: LogCounters,
    /// Why nothing can be known of the log, if so. It is closed then, from the beginning.
    broken: Option<Broken>,
    pub(super) epochs: LeaderEpochs,
}

impl LogCore {
    /// What was recovered, and the checkpoint, which is the log's.
    pub(super) fn new(
        spec: LogSpec,
        environment: Arc<Environment>,
        recovered: Recovered,
        broken: Option<Broken>,
        sealed_by: Weak<dyn Seals>,
    ) -> (LogCore, Checkpoint) {
        let (synced, end) = (recovered.synced_offset, recovered.next_offset);
        assert!(recovered.log_start_offset <= synced, "a log is synced from where it begins");
        let is_always = spec.durability() == Durability::Always;
        recovered.segments.last().filter(|active| !active.is_sealed()).iter().for_each(|active| active.reserve_ahead());
        let noted_bytes = recovered.segments.last().map_or(0, |active| recovered.checkpoint.noted_bytes(active));
        let core = LogCore {
            view: ArcSwap::from_pointee(LogView {
                log_start_offset: recovered.log_start_offset,
                damage: recovered.damage.into(),
                segments: recovered.segments.into(),
                aborted: recovered.aborted,
                unsealed: recovered.unsealed.into(),
                batches: Vec::new(),
                received: Received::default(),
            }),
            view_changes: Mutex::default(),
            segment_writes: Mutex::default(),
            full: Mutex::default(),
            sealed_by,
            offsets: LogOffsets::new(synced, end, recovered.producers.first_open()),
            is_always: AtomicBool::new(is_always),
            shown: AtomicU64::new(0),
            is_in_always_tail: AtomicBool::new(is_always),
            index_rooms: Mutex::default(),
            sync: Mutex::new(SyncState::owing(if synced < end { end } else { 0 }, is_always)),
            producers: Mutex::new(recovered.producers),
            noted_bytes: AtomicU64::new(noted_bytes),
            owes_epochs: AtomicBool::new(recovered.owes_epochs),
            poison: OnceLock::new(),
            closed: AtomicBool::new(broken.is_some()),
            deleted: AtomicBool::new(false),
            retired: AtomicBool::new(false),
            waiters: Arc::default(),
            counters: LogCounters::default(),
            dir: recovered.dir,
            broken,
            epochs: recovered.epochs,
            spec,
            environment,
        };
        (core, recovered.checkpoint)
    }

    pub(crate) fn partition(&self) -> &TopicPartition {
        &self.spec.partition
    }

    /// How it is kept, and where.
    pub(crate) fn spec(&self) -> &LogSpec {
        &self.spec
    }

    /// The id that tells the log's topic from an earlier or later one of the same name.
    pub(crate) fn topic_id(&self) -> u128 {
        self.spec.topic_id
    }

    /// The clock, in milliseconds since 1970 UTC.
    pub(crate) fn now_ms(&self) -> i64 {
        self.environment.now_ms()
    }

    /// The monotonic clock.
    pub(crate) fn monotonic(&self) -> Duration {
        self.environment.disk.monotonic()
    }

    /// The disk, and what is open on it.
    pub(super) fn files(&self) -> &Arc<OpenFiles> {
        &self.environment.files
    }

    /// Where to put what subscribers are to be told.
    pub(crate) fn events(&self) -> &Events {
        self.environment.files.events()
    }

    /// What it shares with all other logs.
    #[cfg(test)]
    pub(crate) fn environment(&self) -> &Arc<Environment> {
        &self.environment
    }

    /// What a send survives when it returns, as the topic is configured now.
    pub(crate) fn durability(&self) -> Durability {
        self.spec.durability()
    }

    /// Whether a send returns once its record is durable. Who asks after an append knows what held for it.
    #[inline]
    pub(super) fn is_always(&self) -> bool {
        self.is_always.load(Ordering::Relaxed)
    }

    /// The group that makes what the log has in its tail durable.
    #[inline]
    pub(super) fn group(&self) -> &GroupCommit {
        self.environment.group(self.is_in_always_tail.load(Ordering::Relaxed))
    }

    /// Takes over what sends survive and readers see from now on. For the holder of the append lock.
    pub(super) fn set_always(&self, is_always: bool) {
        if is_always && !self.is_always() {
            self.shown.store(self.log_end_offset(), Ordering::Relaxed);
        }
        self.is_always.store(is_always, Ordering::Release);
    }

    /// Bytes of all segments, and their number.
    pub(crate) fn size(&self) -> (u64, usize) {
        let segments = self.segments();
        (segments.iter().map(|segment| segment.log_bytes()).sum(), segments.len())
    }

    /// What there is to measure of it now.
    pub(crate) fn measure(&self) -> PartitionMetrics {
        // In this order: each of these only rises, and lies at or below the next one.
        let log_start_offset = self.log_start_offset();
        let last_stable_offset = self.last_stable_offset();
        let high_watermark = self.visible_end();
        let durable_offset = self.durable_offset();
        let log_end_offset = self.log_end_offset();
        let (log_bytes, segment_count) = self.size();
        PartitionMetrics {
            partition: self.spec.partition.partition(),
            log_start_offset,
            last_stable_offset,
            high_watermark,
            log_end_offset,
            durable_offset,
            log_bytes,
            segment_count: segment_count as u64,
            is_failed: self.check_whole().is_err() || self.check_unharmed().is_err(),
            counters: Some(self.counters.read(self.view().received())),
        }
    }

    /// The leader epoch of records that are appended now.
    pub(crate) fn leader_epoch(&self) -> i32 {
        self.epochs.latest()
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
        self.view().log_start_offset
    }

    pub(crate) fn log_end_offset(&self) -> u64 {
        self.offsets.end()
    }

    pub(crate) fn durable_offset(&self) -> u64 {
        self.offsets.durable()
    }

    /// One above the last offset that readers may see: with `Always`, nothing that a power cut could take away again.
    pub(crate) fn visible_end(&self) -> u64 {
        // Before it is asked how far readers may see, or this could be the end of what was appended since that changed.
        let end = self.log_end_offset();
        let only_durable = self.is_always.load(Ordering::Acquire) && !planted(Canary::ServeBeforeSync);
        if only_durable { self.durable_offset().max(self.shown.load(Ordering::Relaxed)) } else { end }
    }

    /// One above the last offset that readers of committed records may see: below it every transaction is over.
    pub(crate) fn last_stable_offset(&self) -> u64 {
        // In this order: of what was appended since, more may be open than is known here.
        let visible_end = self.visible_end();
        visible_end.min(self.offsets.first_undecided())
    }

    /// One above the last offset that readers of this isolation may see.
    #[inline]
    pub(crate) fn end(&self, isolation: Isolation) -> u64 {
        match isolation {
            Isolation::ReadCommitted => self.last_stable_offset(),
            Isolation::ReadUncommitted => self.visible_end(),
        }
    }

    /// Ranges of offsets that opening found missing or damaged.
    pub(super) fn damage(&self) -> Arc<[Corruption]> {
        Arc::clone(&self.view().damage)
    }

    pub(super) fn view(&self) -> arc_swap::Guard<Arc<LogView>> {
        self.view.load()
    }

    pub(super) fn segments(&self) -> Segments {
        Arc::clone(&self.view().segments)
    }

    /// Puts `new` segments into the place of `old` ones, which follow one another. Who reads in the old ones goes on there.
    pub(super) fn replace_segments(&self, old: &[Arc<Segment>], new: &[Arc<Segment>]) {
        let is_old = |segment: &&Arc<Segment>| old.iter().any(|other| Arc::ptr_eq(other, segment));
        self.change_view(|view| {
            let before = view.segments.iter().take_while(|segment| !is_old(segment));
            let behind = view.segments.iter().skip_while(|segment| !is_old(segment)).filter(|segment| !is_old(segment));
            LogView { segments: before.chain(new).chain(behind).cloned().collect(), ..view.clone() }
        });
    }

    /// The log begins at `offset` now, without its first `gone` segments.
    pub(super) fn begin_at(&self, offset: u64, gone: usize) {
        // Whatever goes was synced in segments.
        self.offsets.raise_durable(offset.max(self.log_start_offset()));
        self.change_view(|view| {
            let segments = view.segments.iter().skip(gone).cloned().collect();
            let log_start_offset = view.log_start_offset.max(offset);
            let is_left =
                |damage: &&Corruption| damage.offsets.as_ref().is_none_or(|offsets| log_start_offset < offsets.end);
            let damage = view.damage.iter().filter(is_left).cloned().collect();
            let aborted = view.aborted.as_ref().and_then(|aborted| aborted.from_offset(log_start_offset));
            LogView { log_start_offset, damage, segments, aborted, ..view.clone() }
        });
    }

    /// Puts a changed view into the place of the present one.
    fn change_view(&self, change: impl FnOnce(&LogView) -> LogView) {
        let _nobody_else = self.view_changes.lock();
        let changed = change(&self.view());
        self.view.store(Arc::new(changed));
    }

    /// Refuses appends and reads from now on.
    pub(super) fn close(&self) {
        self.closed.store(true, Ordering::Release);
    }

    /// Says that it is because its topic was deleted that it is about to be closed.
    pub(crate) fn note_deleted(&self) {
        self.deleted.store(true, Ordering::Release);
    }

    /// Whether the topic was deleted.
    pub(super) fn is_deleted(&self) -> bool {
        self.deleted.load(Ordering::Acquire)
    }

    /// Refuses syncs, too, and keeps no file open nor opens one any more.
    pub(super) fn close_files(&self) {
        self.retired.store(true, Ordering::Release);
        for segment in self.segments().iter() {
            segment.close_for_good();
        }
    }

    /// Gives up what it keeps in the tail.
    pub(super) fn give_up_slots(&self) {
        self.change_view(LogView::without_batches);
        self.sync.lock().slots.clear();
    }

    /// Whether appends and reads are refused: the topic was deleted or the broker closed.
    #[inline]
    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// Fails once the log was retired.
    pub(super) fn check_present(&self) -> Result<()> {
        if self.retired.load(Ordering::Acquire) { Err(self.closed_error()) } else { Ok(()) }
    }

    /// Fails in a process that was forked off. To be called before any lock is taken, see
    /// [`is_forked`](crate::disk::open_files::OpenFiles::is_forked).
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
        if let Some(broken) = &self.broken {
            return broken.error();
        }
        let by = if self.is_deleted() { ClosedBy::Deletion } else { ClosedBy::Broker };
        Error::Closed { what: self.spec.partition.to_string(), by }
    }

    #[allow(clippy::inline_always, reason = "as for `Log::append_visibly`")]
    #[inline(always)]
    pub(super) fn check_writable(&self) -> Result<()> {
        self.check_open()?;
        self.check_unharmed()
    }

    /// Fails if an earlier write or sync failed.
    #[allow(clippy::inline_always, reason = "as for `Log::append_visibly`")]
    #[inline(always)]
    pub(super) fn check_unharmed(&self) -> Result<()> {
        let tail_failure = self.group().failure();
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
    pub(super) fn poisoned_by(&self, error: &Error) -> Error {
        let reason = error.with_causes().to_string();
        self.poison(&reason);
        self.poisoned_error(&reason)
    }

    /// Refuses writes from now on, for the first reason given.
    pub(super) fn poison(&self, reason: &str) {
        // The first reason stays.
        if self.poison.set(reason.to_owned()).is_ok() {
            let partition = || self.spec.partition.clone();
            self.events().add(|| Event::PartitionPoisoned { partition: partition(), reason: reason.to_owned() });
        }
    }
}
