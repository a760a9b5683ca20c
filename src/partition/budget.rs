//! A bound for all that a broker takes on the disk: who may take more, and when something has to go.
//!
//! ```text
//! 0 ─────────────────── L ──────────────── budget ─────────── budget + one segment
//! files, and batches    │ kept for internal                │
//! that are open         │ topics and bookkeeping           │ deleting may run behind so far
//! ```
//! What counts is what the files take (the disk's [meter](crate::disk::metered)), and what open batches will take once they are
//! sealed: their room is taken when they are begun, so that sealing never needs any. Up to *L* everybody may take room. Beyond, the
//! oldest segments go: on the maintenance thread while that keeps up, for which senders are let ahead by a part of a segment, and else
//! on the sender's own, before it appends, with no lock of its log held. So a send that fits its open batch looks at nothing here.
//!
//! Internal topics ask nobody. What they may come to take is kept for them, between *L* and the budget, together with room for
//! indexes, manifests and the like, of which a quarter always stays.
//!
//! What compaction writes beside what it replaces is there for a while only, one segment at a time, and may be where others' room is
//! kept: else there would hardly ever be room for it where the oldest goes for the newest. It waits until there is for all of it; from
//! then on *L* is higher by just that, so that nothing else goes or is refused for its sake.

use std::cell::Cell;
use std::fmt::Debug;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use super::bell::{Bell, Work};
use super::budget_policy::BudgetPolicy;
use crate::disk::metered::Meter;
use crate::error::{Error, Result};
use crate::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use crate::sync::{Mutex, MutexGuard};

/// A sixteenth of the budget is kept for internal topics and bookkeeping, within these bounds.
const RESERVE_PART: u64 = 16;
const RESERVE_MIN: u64 = 1 << 20;
const RESERVE_MAX: u64 = 64 << 20;

/// What may be told of a budget before there is anything to count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BudgetConfig {
    /// What all files may take.
    pub(crate) bytes: u64,
    /// What happens then.
    pub(crate) policy: BudgetPolicy,
    /// What the tails may come to take.
    pub(crate) tails_bytes: u64,
}

impl BudgetConfig {
    /// What is kept for internal topics and bookkeeping.
    pub(crate) fn reserve_bytes(&self) -> u64 {
        (self.bytes / RESERVE_PART).clamp(RESERVE_MIN, RESERVE_MAX)
    }

    /// The largest segment that there is room for, beside the tails and what is kept.
    pub(crate) fn segment_bytes_max(&self) -> u64 {
        self.bytes.saturating_sub(self.reserve_bytes()).saturating_sub(self.tails_bytes)
    }
}

/// Deletes what is to go, of all logs.
pub(crate) trait MakeRoom: Debug + Send + Sync {
    /// Deletes the oldest segments until so many bytes fit; fails if they do not and nothing more can go.
    fn make_room(&self, budget: &Budget, needed_bytes: u64) -> Result<()>;
}

/// The budget of a broker.
#[derive(Debug)]
pub(crate) struct Budget {
    dir: PathBuf,
    config: BudgetConfig,
    meter: Arc<Meter>,
    /// Whether a thread deletes while senders go on.
    has_thread: bool,
    /// The size of the largest segment of any topic of users.
    segment_bytes: AtomicU64,
    /// What open batches, and appends that are under way, will take.
    pending_bytes: AtomicU64,
    /// What compaction may be taking for its copy.
    copy_bytes: AtomicU64,
    /// How much of that is not written yet, and so in no file.
    uncopied_bytes: AtomicU64,
    /// Nothing more could be deleted when that was tried last, and nothing has come since.
    nothing_left: AtomicBool,
    /// Held by who deletes; never by who holds a lock of a log.
    deleting: Mutex<()>,
    room_maker: OnceLock<Box<dyn MakeRoom>>,
    /// Calls the thread that deletes, if there is one.
    bell: Bell,
}

impl Budget {
    pub(crate) fn new(dir: PathBuf, config: BudgetConfig, meter: Arc<Meter>, has_thread: bool) -> Budget {
        Budget {
            dir,
            config,
            meter,
            has_thread,
            segment_bytes: AtomicU64::new(0),
            pending_bytes: AtomicU64::new(0),
            copy_bytes: AtomicU64::new(0),
            uncopied_bytes: AtomicU64::new(0),
            nothing_left: AtomicBool::new(false),
            deleting: Mutex::new(()),
            room_maker: OnceLock::new(),
            bell: Bell::default(),
        }
    }

    /// What was asked for.
    pub(crate) fn config(&self) -> BudgetConfig {
        self.config
    }

    /// What all files take now.
    pub(crate) fn used_bytes(&self) -> u64 {
        self.meter.used_bytes()
    }

    /// Who deletes for senders that need room.
    pub(crate) fn set_room_maker(&self, room_maker: Box<dyn MakeRoom>) {
        // It is told once, when the broker begins to serve.
        _ = self.room_maker.set(room_maker);
    }

    /// Notes the size of the largest segment. From the first time on tails do not grow beyond the budget.
    pub(crate) fn set_segment_bytes(&self, bytes: u64) {
        self.segment_bytes.store(bytes, Ordering::Relaxed);
        self.meter.set_ceiling(self.limit_of_all());
    }

    /// Whether what is deleted for want of room may come from this budget: it deletes at all.
    pub(crate) fn drops(&self) -> bool {
        self.config.policy == BudgetPolicy::DropOldest
    }

    /// *L*: what may be taken by what is not kept for others.
    fn limit_bytes(&self) -> u64 {
        let reserve = self.config.reserve_bytes();
        let kept = reserve.saturating_sub(self.meter.apart_bytes()).max(reserve / 4);
        self.config.bytes.saturating_sub(kept)
    }

    /// What may be taken by what is there for a while only, or by all: *L* is no higher.
    fn limit_of_all(&self) -> u64 {
        self.config.bytes.saturating_sub(self.config.reserve_bytes() / 4)
    }

    /// *L*, raised by what compaction may be taking.
    fn present_limit(&self) -> u64 {
        self.limit_bytes().saturating_add(self.copy_bytes.load(Ordering::Relaxed))
    }

    /// What is taken, now or soon.
    fn taken_bytes(&self) -> u64 {
        self.taken_beside(self.pending_bytes.load(Ordering::Relaxed))
    }

    /// The same, with so many bytes for what will be taken soon.
    fn taken_beside(&self, pending: u64) -> u64 {
        self.used_bytes().saturating_add(pending).saturating_add(self.uncopied_bytes.load(Ordering::Relaxed))
    }

    /// By how much that is too much, if so many bytes more are to fit, and as many as a tail was refused.
    pub(crate) fn excess_bytes(&self, needed_bytes: u64) -> u64 {
        let refused = if self.drops() { self.meter.refused_bytes() } else { 0 };
        let needed = needed_bytes.max(refused);
        self.taken_bytes().saturating_add(needed).saturating_sub(self.present_limit())
    }

    /// Whether something is to be deleted, and can be as far as is known.
    pub(crate) fn wants_room(&self) -> bool {
        self.drops() && 0 < self.excess_bytes(0) && !self.has_nothing_left()
    }

    /// A tail that was refused room may try again.
    pub(crate) fn forget_refusal(&self) {
        self.meter.take_refused_bytes();
    }

    /// How far senders may go: beyond *L* as long as somebody deletes behind them. The rest of a segment is for what is written meanwhile
    /// besides.
    fn senders_limit(&self) -> u64 {
        let is_followed = self.has_thread && self.drops() && !self.has_nothing_left();
        let segment = self.segment_bytes.load(Ordering::Relaxed);
        let lead = if is_followed { self.limit_of_all().saturating_add(segment - segment / 8) } else { 0 };
        lead.max(self.present_limit())
    }

    /// Whether [`take`](Budget::take) would find room by now.
    pub(crate) fn has_room(&self, bytes: u64) -> bool {
        self.taken_bytes().saturating_add(bytes) <= self.senders_limit()
    }

    /// Takes room for what is to be written; whether something is to be deleted then.
    ///
    /// # Errors
    /// [`Error::OverBudget`]: with no lock held, [`make_room`](Budget::make_room) may help.
    pub(crate) fn take(self: &Arc<Budget>, bytes: u64) -> Result<(Room, bool)> {
        let limit = self.senders_limit();
        let mut pending = self.pending_bytes.load(Ordering::Relaxed);
        loop {
            let taken = self.taken_beside(pending).saturating_add(bytes);
            if limit < taken {
                return Err(self.error(bytes));
            }
            let (relaxed, more) = (Ordering::Relaxed, pending.saturating_add(bytes));
            if let Err(other) = self.pending_bytes.compare_exchange_weak(pending, more, relaxed, relaxed) {
                pending = other;
                continue;
            }
            let room = Room { budget: Arc::clone(self), bytes };
            return Ok((room, self.drops() && self.present_limit() < taken));
        }
    }

    /// Takes room for what follows from something that found room; what comes after it finds less.
    pub(crate) fn take_anyway(self: &Arc<Budget>, bytes: u64) -> Room {
        self.pending_bytes.fetch_add(bytes, Ordering::Relaxed);
        Room { budget: Arc::clone(self), bytes }
    }

    /// Sees to it that so many bytes fit, by deleting the oldest segments if that is the policy. For callers that hold no lock.
    ///
    /// # Errors
    /// [`Error::OverBudget`] if they do not and nothing more can be deleted.
    pub(crate) fn make_room(&self, needed_bytes: u64) -> Result<()> {
        match self.room_maker.get() {
            Some(room_maker) if self.drops() => room_maker.make_room(self, needed_bytes),
            _ if self.excess_bytes(needed_bytes) == 0 => Ok(()),
            _ => Err(self.error(needed_bytes)),
        }
    }

    /// Calls the thread that deletes; `false` if there is none.
    pub(crate) fn call(&self) -> bool {
        if self.has_thread {
            self.bell.ring(Work::Budget);
        }
        self.has_thread
    }

    /// What that thread does until it is called, or for so long.
    pub(crate) fn wait(&self, timeout: Option<Duration>) {
        self.bell.wait(timeout);
    }

    /// One at a time deletes: two would delete more than is needed.
    pub(crate) fn begin_deleting(&self) -> MutexGuard<'_, ()> {
        self.deleting.lock()
    }

    /// Nothing is left that could be deleted.
    pub(crate) fn note_nothing_left(&self) {
        self.nothing_left.store(true, Ordering::Relaxed);
    }

    /// There may be something to delete again.
    pub(crate) fn note_more(&self) {
        if self.nothing_left.load(Ordering::Relaxed) {
            self.nothing_left.store(false, Ordering::Relaxed);
        }
    }

    /// Whether nothing could be deleted when that was tried last.
    pub(crate) fn has_nothing_left(&self) -> bool {
        self.nothing_left.load(Ordering::Relaxed)
    }

    /// Why sends that need room are refused now, if they are.
    pub(crate) fn refusal(&self) -> Option<Error> {
        /// What the next batch of a busy partition needs.
        const NEEDED: u64 = 64 << 10;
        let is_refused = 0 < self.excess_bytes(NEEDED) && (!self.drops() || self.has_nothing_left());
        is_refused.then(|| self.error(NEEDED))
    }

    /// Takes room for a copy of so many bytes, for as long as what is returned is kept. One that is needed by an internal topic may take
    /// what is kept for others.
    ///
    /// # Errors
    /// [`Error::OverBudget`].
    pub(crate) fn take_for_copy(self: &Arc<Budget>, bytes: u64, is_internal: bool) -> Result<CopyRoom> {
        let segment = self.segment_bytes.load(Ordering::Relaxed);
        let mut copies = self.copy_bytes.load(Ordering::Relaxed);
        loop {
            let all = copies.saturating_add(bytes);
            let limit = if is_internal { self.config.bytes.saturating_add(segment) } else { self.limit_of_all() };
            // Two at a time only as far as together they are no larger than one may be.
            if limit < self.taken_bytes().saturating_add(bytes) || 0 < copies && segment < all {
                return Err(self.error(bytes));
            }
            let (relaxed, copying) = (Ordering::Relaxed, &self.copy_bytes);
            if let Err(other) = copying.compare_exchange_weak(copies, all, relaxed, relaxed) {
                copies = other;
                continue;
            }
            self.uncopied_bytes.fetch_add(bytes, relaxed);
            return Ok(CopyRoom { budget: Arc::clone(self), bytes, uncopied_bytes: Cell::new(bytes) });
        }
    }

    /// The error for who needs so many bytes more.
    #[cold]
    pub(crate) fn error(&self, needed_bytes: u64) -> Error {
        Error::OverBudget {
            path: self.dir.clone(),
            budget_bytes: self.config.bytes,
            used_bytes: self.used_bytes(),
            reserve_bytes: self.config.reserve_bytes(),
            needed_bytes,
        }
    }
}

/// Room that was taken; given back when dropped, once it is used.
#[derive(Debug)]
pub(crate) struct Room {
    budget: Arc<Budget>,
    bytes: u64,
}

impl Drop for Room {
    fn drop(&mut self) {
        self.budget.pending_bytes.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// Room that compaction may be using; given back when dropped.
#[derive(Debug)]
pub(crate) struct CopyRoom {
    budget: Arc<Budget>,
    bytes: u64,
    uncopied_bytes: Cell<u64>,
}

impl CopyRoom {
    /// So many bytes of the copy are in its files by now. Nobody else may have them before.
    pub(crate) fn note_written(&self, bytes: u64) {
        let written = bytes.min(self.uncopied_bytes.get());
        self.uncopied_bytes.set(self.uncopied_bytes.get() - written);
        self.budget.uncopied_bytes.fetch_sub(written, Ordering::Relaxed);
    }
}

impl Drop for CopyRoom {
    fn drop(&mut self) {
        self.budget.uncopied_bytes.fetch_sub(self.uncopied_bytes.get(), Ordering::Relaxed);
        self.budget.copy_bytes.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::disk::metered::MeteredDisk;
    use crate::disk::simulated::SimulatedDisk;
    use crate::disk::{Disk, Open};

    const MIB: u64 = 1 << 20;
    /// 1 MiB of it is kept, of which a quarter always stays.
    const BUDGET: u64 = 10 * MIB;
    const SEGMENT: u64 = 800_000;

    /// With a file of 4 MiB, and one of an internal topic that is empty.
    fn world(policy: BudgetPolicy, has_thread: bool) -> (Arc<dyn Disk>, Arc<Budget>) {
        let disk = SimulatedDisk::new(1);
        disk.put("/data/a", &vec![1; 4 << 20]);
        disk.put("/data/__a", &[]);
        let is_apart = |path: &Path| path.ends_with("__a");
        let disk = MeteredDisk::begin(Arc::new(disk), Path::new("/data"), is_apart).unwrap();
        let meter = Arc::clone(disk.meter());
        let config = BudgetConfig { bytes: BUDGET, policy, tails_bytes: 2 * MIB };
        assert_eq!((config.reserve_bytes(), config.segment_bytes_max()), (MIB, 7 * MIB));
        let budget = Arc::new(Budget::new("/data".into(), config, meter, has_thread));
        budget.set_segment_bytes(SEGMENT);
        (Arc::new(disk), budget)
    }

    /// How much can be taken at once, in blocks.
    fn room(budget: &Arc<Budget>) -> u64 {
        let fits = |blocks: &u64| budget.take(blocks * 4096).is_ok();
        let most = (0..10_000).take_while(fits).last().unwrap() * 4096;
        assert!(budget.has_room(most) && !budget.has_room(most + 4096));
        most
    }

    fn blocks(bytes: u64) -> u64 {
        bytes / 4096 * 4096
    }

    #[test]
    fn senders_are_let_ahead_of_a_thread_that_deletes_by_less_than_a_segment() {
        for (policy, has_thread) in [(BudgetPolicy::Reject, true), (BudgetPolicy::DropOldest, false)] {
            let (_, budget) = world(policy, has_thread);
            assert_eq!(room(&budget), 5 * MIB, "{policy}");
        }
        let (_, budget) = world(BudgetPolicy::DropOldest, true);
        let ahead = room(&budget);
        assert_eq!(ahead, blocks(6 * MIB - MIB / 4 + SEGMENT / 8 * 7));
        assert!(4 * MIB + ahead < BUDGET + SEGMENT);
        assert!(
            !budget.take(5 * MIB).unwrap().1 && budget.take(5 * MIB + 4096).unwrap().1,
            "from here on it is called"
        );
        budget.note_nothing_left();
        assert_eq!(room(&budget), 5 * MIB);
        budget.note_more();
        assert_eq!(room(&budget), ahead);
    }

    /// The room of a copy is nobody else's, whether it is written already or not; and nobody has less because of it.
    #[test]
    fn a_copy_leaves_senders_the_room_that_they_had() {
        let (disk, budget) = world(BudgetPolicy::Reject, true);
        assert_eq!(room(&budget), 5 * MIB);
        let (half, whole) = (50 * 4096, 100 * 4096);
        let copy = budget.take_for_copy(whole, false).unwrap();
        assert_eq!(room(&budget), 5 * MIB);
        let file = disk.open(Path::new("/data/a"), Open::Write).unwrap();
        file.write_at(&vec![1; 50 * 4096], 4 << 20).unwrap();
        copy.note_written(half);
        assert_eq!(room(&budget), 5 * MIB);
        copy.note_written(whole);
        assert_eq!(room(&budget), 5 * MIB + half, "what it did not need");
        drop(copy);
        assert_eq!(room(&budget), 5 * MIB - half);
    }

    #[test]
    fn what_is_taken_counts_until_it_is_given_back_and_what_internal_topics_take_is_theirs() {
        let (disk, budget) = world(BudgetPolicy::Reject, true);
        let one = budget.take(3 * MIB).unwrap();
        assert_eq!((room(&budget), budget.excess_bytes(2 * MIB + 1), budget.used_bytes()), (2 * MIB, 1, 4 * MIB));
        drop(one);
        assert_eq!(room(&budget), 5 * MIB);
        let internal = disk.open(Path::new("/data/__a"), Open::Write).unwrap();
        internal.write_at(&vec![1; 1 << 19], 0).unwrap();
        assert_eq!(room(&budget), 5 * MIB, "it was kept for it");
        internal.write_at(&vec![1; 1 << 20], 0).unwrap();
        assert_eq!(room(&budget), 5 * MIB - MIB / 4, "a quarter stays");
        internal.write_at(&vec![1; 2 << 20], 0).unwrap();
        assert_eq!(room(&budget), 4 * MIB - MIB / 4);
    }

    #[test]
    fn a_copy_waits_for_room_and_takes_none_from_others() {
        let (_, budget) = world(BudgetPolicy::Reject, true);
        assert!(
            matches!(budget.take_for_copy(6 * MIB, false), Err(Error::OverBudget { needed_bytes, .. }) if needed_bytes == 6 * MIB)
        );
        let full = budget.take(5 * MIB).unwrap();
        let copy = budget.take_for_copy(SEGMENT - 100_000, false).unwrap();
        assert_eq!(room(&budget), 0, "what the copy may take is its own");
        assert!(budget.take_for_copy(200_000, false).is_err(), "two at a time are no larger than a segment");
        assert!(budget.take_for_copy(90_000, true).is_ok());
        drop(copy);
        assert_eq!(room(&budget), 0);
        assert!(budget.take_for_copy(SEGMENT, false).is_err());
        assert!(budget.take_for_copy(MIB, true).is_ok(), "an internal topic may use what is kept");
        drop(full);
    }
}
