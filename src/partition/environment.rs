//! What all logs of a broker share: the disk, its open files, the tails, and a [bell](super::bell) for the maintenance.

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use super::bell::{Bell, Work};
use super::budget::Budget;
use super::compaction::config::CleanerConfig;
use super::counters::Counter;
use super::group_commit::GroupCommit;
use super::mirror::Mirror;
use super::protection::Protection;
use super::reader::Waypoints;
use super::seal_queue::SealQueue;
use super::time_histogram::Stopwatch;
use super::waiters::Watchers;
use crate::disk::Disk;
use crate::disk::open_files::OpenFiles;
use crate::disk::throttle::Throttle;
use crate::error::Result;
use crate::events::Event;
use crate::sync::Mutex;
use crate::sync::atomic::{AtomicBool, Ordering};

/// What expires or is to be done by time in a layer above, which the maintenance calls for it.
pub(crate) trait Expiring: Debug + Send + Sync {
    /// Lets go of what has expired by `now`, of the monotonic clock; the first error, and when to be called again.
    fn expire(&self, now: Duration) -> (Result<()>, Option<Duration>);
}

/// Shared by all logs of a broker.
#[derive(Debug)]
pub(crate) struct Environment {
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) files: Arc<OpenFiles>,
    /// The tail of `Always` topics, apart so that their syncs write nobody else's bytes.
    pub(crate) always: GroupCommit,
    /// The tail of all other topics.
    pub(crate) relaxed: GroupCommit,
    pub(crate) bell: Bell,
    /// Full batches that are sealed beside the senders.
    pub(crate) seal_queue: SealQueue,
    /// Consumers, as far as they want to know of the topics or of the time.
    pub(crate) watchers: Arc<Watchers>,
    /// What all files may take, if that is bounded.
    pub(crate) budget: Option<Arc<Budget>>,
    /// Groups that logs are kept for.
    pub(crate) protection: Protection,
    /// What compaction may take.
    pub(super) cleaner: CleanerConfig,
    pub(super) cleaner_throttle: Throttle,
    /// What readers know of batches in any log.
    pub(super) waypoints: Waypoints,
    /// How long syncs of segments took.
    pub(crate) segment_syncs: Stopwatch,
    /// Turns of the maintenance.
    turns: Counter,
    /// Those of them that failed.
    failed_turns: Counter,
    /// A log found no free slot: idle ones are to be sealed.
    slots_are_short: AtomicBool,
    /// The wall clock and the monotonic one as they were at opening.
    opened_at: (i64, Duration),
    /// What the maintenance calls by time.
    expiring: Mutex<Vec<Arc<dyn Expiring>>>,
    /// What went wrong in the last turn of each kind of maintenance.
    turn_errors: Mutex<[Option<String>; Work::ALL.len()]>,
}

impl Environment {
    pub(crate) fn new(
        files: Arc<OpenFiles>,
        disk: Arc<dyn Disk>,
        always: GroupCommit,
        relaxed: GroupCommit,
        watchers: Arc<Watchers>,
        cleaner: CleanerConfig,
        budget: Option<Arc<Budget>>,
    ) -> Environment {
        let bell = Bell::default();
        let (waypoints, slots_are_short) = (Waypoints::default(), AtomicBool::new(false));
        let turn_errors = Mutex::default();
        let opened_at = (disk.now_ms().max(0), disk.monotonic());
        let cleaner_throttle = Throttle::new(cleaner.io_bytes_per_second);
        Environment {
            disk,
            files,
            always,
            relaxed,
            bell,
            seal_queue: SealQueue::default(),
            watchers,
            budget,
            protection: Protection::default(),
            cleaner,
            cleaner_throttle,
            waypoints,
            segment_syncs: Stopwatch::default(),
            turns: Counter::default(),
            failed_turns: Counter::default(),
            slots_are_short,
            opened_at,
            expiring: Mutex::default(),
            turn_errors,
        }
    }

    /// The clock, in milliseconds since 1970 UTC; the format has no room for times before.
    #[inline]
    pub(super) fn now_ms(&self) -> i64 {
        self.disk.now_ms().max(0)
    }

    /// The wall clock as it was at opening, plus the time since then, in milliseconds since 1970 UTC: how old something is does not
    /// change because somebody sets the clock.
    pub(crate) fn steady_ms(&self) -> i64 {
        let (wall_ms, monotonic) = self.opened_at;
        let since = self.disk.monotonic().saturating_sub(monotonic);
        wall_ms.saturating_add(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
    }

    /// The monotonic clock when the [steady clock](Environment::steady_ms) will show `steady_ms`.
    pub(crate) fn monotonic_at(&self, steady_ms: i64) -> Duration {
        let (wall_ms, monotonic) = self.opened_at;
        let since = u64::try_from(steady_ms.saturating_sub(wall_ms)).unwrap_or_default();
        monotonic.saturating_add(Duration::from_millis(since))
    }

    /// The group of `Always` topics, or that of all others.
    #[inline]
    pub(super) fn group(&self, is_always: bool) -> &GroupCommit {
        if is_always { &self.always } else { &self.relaxed }
    }

    /// Brings all that is made durable to a second disk, too, from now on.
    pub(crate) fn set_mirror(&self, mirror: &Arc<Mirror>) {
        for group in [&self.always, &self.relaxed] {
            group.set_mirror(mirror);
        }
    }

    /// The second disk, if there is one.
    pub(crate) fn mirror(&self) -> Option<&Mirror> {
        self.always.mirror()
    }

    /// Fails while nothing that is sent can be acknowledged, since the second disk has failed.
    ///
    /// # Errors
    /// [`Error::ReplicaFailed`](crate::Error::ReplicaFailed).
    #[inline]
    pub(super) fn check_mirror(&self) -> Result<()> {
        self.mirror().map_or(Ok(()), Mirror::check)
    }

    /// The same for who waits for what a round did not make durable.
    ///
    /// # Errors
    /// [`Error::ReplicaFailed`](crate::Error::ReplicaFailed).
    pub(super) fn check_mirrored(&self) -> Result<()> {
        self.mirror().map_or(Ok(()), Mirror::check_following)
    }

    /// Says, for processes that read along, that a topic's durability has changed in the catalog, or that its files are gone.
    pub(crate) fn note_altered(&self) {
        self.relaxed.tail().note_deleted();
    }

    /// Somebody [serves](Environment::serve_tasks) tasks from now on, whenever the bell calls for [`Work::Commits`].
    pub(crate) fn begin_serving_tasks(&self) {
        for group in [&self.always, &self.relaxed] {
            group.begin_serving_tasks();
        }
    }

    /// Nobody does any more: whoever waits is woken, and whoever comes waits on their own thread.
    pub(crate) fn end_serving_tasks(&self) {
        for group in [&self.always, &self.relaxed] {
            // A waker may have forked, and come back in the child.
            if !self.files.is_forked() {
                group.end_serving_tasks();
            }
        }
    }

    /// Makes durable what tasks wait for, and wakes them.
    pub(crate) fn serve_tasks(&self) {
        for group in [&self.always, &self.relaxed] {
            if !self.files.is_forked() {
                group.serve_tasks();
            }
        }
    }

    /// Keeps free slots ahead of need in both tails, and then frees what was there before them.
    pub(crate) fn supply_slots(&self) {
        let tails = [&self.always, &self.relaxed].map(GroupCommit::tail);
        self.budget.iter().for_each(|budget| budget.forget_refusal());
        for tail in tails {
            tail.retry_supply();
            tail.supply_if_short();
        }
        for tail in tails {
            tail.release_replaced();
        }
    }

    /// Has the maintenance delete something if more is taken than the budget allows.
    pub(crate) fn call_if_over_budget(&self) {
        if let Some(budget) = self.budget.as_ref().filter(|budget| budget.wants_room())
            && !budget.call()
        {
            self.bell.ring(Work::Budget);
        }
    }

    /// Whether a tail is short of slots and could not be given more, though there may be more the next time.
    pub(crate) fn wants_slots(&self) -> bool {
        [&self.always, &self.relaxed].iter().any(|group| group.tail().wants_retry())
    }

    /// Whether the tails are written by system calls, where a store through a map could meet a full disk.
    pub(crate) fn writes_tails_by_calls(&self) -> bool {
        [&self.always, &self.relaxed].iter().any(|group| group.tail().is_written_by_calls())
    }

    /// Whether a sync of a tail failed, also one that nobody waited for, as that of a tail that grows.
    pub(crate) fn has_failed(&self) -> bool {
        [&self.always, &self.relaxed].iter().any(|group| group.tail().has_failed())
    }

    /// Leaves the tails as a clean shutdown is to find them.
    ///
    /// # Errors
    /// The disk's; then [`has_failed`](Environment::has_failed).
    pub(crate) fn sync_tails(&self) -> Result<()> {
        [&self.always, &self.relaxed].iter().try_for_each(|group| group.tail().sync_if_used())
    }

    /// Closes the tails, whoever still asks for slots. All logs are closed.
    pub(crate) fn close_tails(&self) {
        for group in [&self.always, &self.relaxed] {
            group.tail().close();
        }
    }

    /// Gives up what was to expire, since the broker is closed. For callers that hold no lock.
    pub(crate) fn end_expiring(&self) {
        let all = std::mem::take(&mut *self.expiring.lock());
        // Not under the lock, since that may be somebody else's code.
        drop(all);
    }

    /// Has the maintenance call `expiring` from now on.
    pub(crate) fn add_expiring(&self, expiring: Arc<dyn Expiring>) {
        self.expiring.lock().push(expiring);
        self.bell.ring(Work::Expiry);
    }

    /// Lets go of what has expired; the first error, and when to look again.
    pub(crate) fn expire(&self) -> (Result<()>, Option<Duration>) {
        let (mut result, mut next) = (Ok(()), None);
        // Not under the lock, since it may take its time.
        let all = self.expiring.lock().clone();
        for expiring in all {
            let (expired, due) = expiring.expire(self.disk.monotonic());
            result = result.and(expired);
            next = next.into_iter().chain(due).min();
        }
        (result, next)
    }

    /// What went wrong in the maintenance and was not done since, if anything: the most urgent of it.
    pub(crate) fn maintenance_error(&self) -> Option<String> {
        self.turn_errors.lock().iter().flatten().next().cloned()
    }

    /// How many turns of the maintenance there were, and how many of them failed.
    pub(crate) fn maintenance_turns(&self) -> (u64, u64) {
        // In this order, or more might have failed than there were.
        let failed = self.failed_turns.read();
        (self.turns.read(), failed)
    }

    fn count_turn(&self, has_failed: bool) {
        self.turns.add(1);
        self.failed_turns.add(has_failed.into());
    }

    /// Notes what some kind of maintenance waits for, log by log.
    pub(crate) fn note_failures(&self, work: Work, failures: &[String]) {
        self.count_turn(!failures.is_empty());
        if let Some(error) = self.turn_errors.lock().get_mut(work as usize) {
            *error = Some(failures.join("\n")).filter(|text| !text.is_empty());
        }
    }

    /// Notes how a turn of some kind of maintenance ended.
    pub(crate) fn note_turn(&self, work: Work, result: &Result<()>) {
        self.count_turn(result.is_err());
        if let Some(error) = self.turn_errors.lock().get_mut(work as usize) {
            let now = result.as_ref().err().map(|error| error.with_causes().to_string());
            self.files.events().add_some(|| changed(work, error.as_ref(), now.as_ref()));
            *error = now;
        }
    }

    pub(super) fn report_short_slots(&self) {
        self.slots_are_short.store(true, Ordering::Relaxed);
        self.bell.ring(Work::Slots);
    }

    /// Whether a slot was missing since the last call.
    pub(crate) fn take_short_slots(&self) -> bool {
        self.slots_are_short.swap(false, Ordering::Relaxed)
    }
}

/// What there is to tell of a kind of maintenance that fails for this reason, if any, and did for that one before.
fn changed(work: Work, before: Option<&String>, now: Option<&String>) -> Option<Event> {
    let work = format!("{work:?}").to_lowercase();
    match now {
        Some(reason) => (before != now).then(|| Event::MaintenanceFailed { work, reason: reason.clone() }),
        None => before.map(|_| Event::MaintenanceRecovered { work }),
    }
}
