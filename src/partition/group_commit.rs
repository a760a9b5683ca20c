//! Group commit: who syncs, who waits.
//!
//! Whoever needs durability and finds no sync running becomes the leader. It waits a moment for those whom the last round let
//! go, takes every log that was handed in until then, syncs once for all of them, and everyone covered returns. Whoever comes
//! while a sync runs sleeps until it ends, and one of those leads the next, which is the first that surely covers what they
//! wrote. Each sleeps on its own: with one condition variable for all, those who wait for the next round would wake in vain,
//! and all of them one after the other (16 senders: 0.9 times the rate).
//!
//! Tasks do not sleep here: they are [queued](super::durable_wait), and whoever serves them joins on their behalf.
//!
//! One group commit stands for one tail file. After a failed sync of that file nothing is known about any batch in it, so the
//! group refuses for ever: a failed sync is never retried.

use std::fmt::Debug;
use std::ops::Range;
use std::sync::{Arc, OnceLock};

use super::durable_wait::{DurableWait, TaskQueue};
use super::log_spec::LogSpec;
use super::mirror::{Block, Mirror, MirrorRound, MirroredTo};
use super::returning::await_returning;
use super::tail_metrics::TailMetrics;
use super::time_histogram::Stopwatch;
use crate::canary::{Canary, planted};
use crate::disk::Disk;
use crate::error::Result;
use crate::sync::{Monitor, Mutex, MutexGuard};
use crate::tail::{OpenBatch, Tail, TailUse};

/// What a round does with each log that it covers.
pub(crate) trait CommitMember: Debug + Send + Sync {
    /// Whether it was not yet waiting for a round of this tail; from now on it is.
    fn enlist(&self, tail: &Tail) -> bool;

    /// What it publishes from now on, the next round of this tail covers.
    fn delist(&self, tail: &Tail);

    /// Writes commit entries for everything published in this tail, which is synced next. If it is another one that it publishes in
    /// by now, the round does not cover it.
    fn prepare_commit(&self, tail: &Tail) -> PreparedCommit;

    /// Where it is, and how it is kept, unless its topic was deleted.
    fn live_spec(&self) -> Option<&LogSpec>;

    /// Adds what the second disk lacks of what a round covers. If that is not all of it, whoever waits for it is told why.
    fn gather(&self, prepared: &PreparedCommit, mirrored: &mut MirroredTo, block: &mut Block) -> bool;

    /// After the tail's sync: syncs what no slot covers, and lets the durable offset rise. Returns whether it rose; whoever waits
    /// for that and sees that it did not looks for the reason with an attempt of their own.
    fn finish_commit(&self, prepared: &PreparedCommit) -> bool;

    /// The tail's sync failed for this `reason`: what was published may never be durable.
    fn poison(&self, reason: &str);

    /// Wakes whoever waits for what the round made visible.
    fn wake_waiters(&self);

    /// Whether whoever waits for what is below `offset` has nothing to wait for: it is durable, or never will be.
    fn is_settled(&self, offset: u64) -> bool;

    /// Returns once the records at these offsets are durable, as for the one who appended them.
    ///
    /// # Errors
    /// As a durable send returns them, once the records are in the log.
    fn wait_appended(self: Arc<Self>, offsets: Range<u64>) -> Result<()>;

    /// Whether this process was forked off from that of the log: no lock is to be taken there.
    fn is_forked(&self) -> bool;
}

/// What a round is about to make durable for one log.
#[derive(Debug)]
pub(crate) struct PreparedCommit {
    pub(super) end: u64,
    /// Commit entries that were written, and up to where they count once the tail is synced. This also keeps the slots from
    /// being reused before the round ends.
    pub(super) commits: Vec<(u64, Arc<OpenBatch>)>,
    /// Whether an entry could not be written, without which what was published is not durable.
    pub(super) is_short: bool,
    /// Whether the second disk does not get all of it.
    pub(super) is_unmirrored: bool,
}

impl PreparedCommit {
    /// Whether the tail's sync must carry something.
    fn needs_tail(&self) -> bool {
        !self.commits.is_empty()
    }
}

/// The group commit of one tail file.
#[derive(Debug)]
pub(crate) struct GroupCommit {
    tail: Tail,
    state: Mutex<State>,
    tasks: TaskQueue,
    failure: OnceLock<String>,
    /// The second disk, if there is one.
    mirror: OnceLock<Arc<Mirror>>,
    /// Its clock says how long syncs take.
    disk: Arc<dyn Disk>,
    syncs: Stopwatch,
}

#[derive(Debug, Default)]
struct State {
    /// Logs that the next round covers.
    pending: Vec<Arc<dyn CommitMember>>,
    /// Who waits for the next round.
    sleepers: Vec<Arc<Sleeper>>,
    /// A round is running, or somebody was called to lead the next.
    running: bool,
    /// How many callers the last round let go.
    released: usize,
    /// That of an earlier round, empty, for what it has allocated.
    spare: Round,
}

/// The logs that a round covers, and what is done with each.
#[derive(Debug, Default)]
struct Round {
    logs: Vec<Arc<dyn CommitMember>>,
    prepared: Vec<PreparedCommit>,
}

impl GroupCommit {
    pub(crate) fn new(tail: Tail, disk: Arc<dyn Disk>) -> GroupCommit {
        let (state, tasks, syncs) = (Mutex::default(), TaskQueue::default(), Stopwatch::default());
        GroupCommit { tail, state, tasks, failure: OnceLock::new(), mirror: OnceLock::new(), disk, syncs }
    }

    /// Brings all that it makes durable to a second disk, too, from now on.
    pub(super) fn set_mirror(&self, mirror: &Arc<Mirror>) {
        _ = self.mirror.set(Arc::clone(mirror));
    }

    /// The second disk, if there is one.
    #[inline]
    pub(super) fn mirror(&self) -> Option<&Mirror> {
        self.mirror.get().map(|mirror| &**mirror)
    }

    /// What there is to measure of the tail, and how long its syncs took for those who waited.
    pub(crate) fn measure(&self) -> TailMetrics {
        let TailUse { slots, slot_bytes, file_bytes } = self.tail.in_use();
        TailMetrics { slots_in_use: slots, slot_bytes_in_use: slot_bytes, file_bytes, syncs: self.syncs.read() }
    }

    /// The tail file whose syncs are shared here.
    #[inline]
    pub(super) fn tail(&self) -> &Tail {
        &self.tail
    }

    /// Why the tail can no longer be relied on, if a sync of it failed.
    #[inline]
    pub(super) fn failure(&self) -> Option<&str> {
        self.failure.get().map(String::as_str)
    }

    /// Returns once a round that began after this call has ended, for everything that `logs` had published before. Whether it
    /// succeeded, each log knows: its durable offset has risen, or it is poisoned, or else its segments could not be opened to
    /// be synced. That harms nobody, and whoever waits for the log finds out the reason for themselves.
    pub(super) fn commit<L: CommitMember + 'static>(&self, logs: &[Arc<L>]) {
        let mut state = self.state.lock();
        if state.pending.capacity() == 0 {
            // To let it grow from nothing takes 50 instructions more.
            state.pending = Vec::with_capacity(logs.len());
        }
        let enlisted = logs.iter().filter(|log| log.enlist(&self.tail));
        state.pending.extend(enlisted.map(|log| Arc::clone(log) as Arc<dyn CommitMember>));
        self.join(state);
    }

    /// A wait of a task for records that were appended at these offsets of `log`; and whether who serves tasks is to be called.
    pub(super) fn wait_as_task(&self, log: Arc<dyn CommitMember>, offsets: Range<u64>) -> (Arc<DurableWait>, bool) {
        self.tasks.add(log, offsets)
    }

    /// Somebody [serves](GroupCommit::serve_tasks) the tasks from now on, whenever the first of them calls.
    pub(super) fn begin_serving_tasks(&self) {
        self.tasks.begin();
    }

    /// Nobody does any more, and whoever waits is woken.
    pub(super) fn end_serving_tasks(&self) {
        self.tasks.end();
    }

    /// Runs a round for the tasks that wait, if there are any, gives them their answers, and wakes them. The caller holds no lock.
    pub(super) fn serve_tasks(&self) {
        let tasks = self.tasks.take();
        let unsettled = tasks.unsettled_logs();
        if !unsettled.is_empty() {
            let mut state = self.state.lock();
            state.pending.extend(unsettled.into_iter().filter(|log| log.enlist(&self.tail)));
            self.join(state);
        }
        tasks.answer();
    }

    /// Runs the next round, or waits for it.
    fn join<'s>(&'s self, mut state: MutexGuard<'s, State>) {
        if state.running {
            let sleeper = Arc::new(Sleeper::default());
            state.sleepers.push(Arc::clone(&sleeper));
            drop(state);
            match sleeper.sleep() {
                Call::Covered => return,
                Call::Lead => state = self.state.lock(),
            }
        }
        state.running = true;
        self.lead(state);
    }

    /// Runs a round and lets go whom it covers. Those whom the last one let go have the time to come back with their next record:
    /// else every other round is for one half of the senders, and they wait for two. 16 senders on one partition and 2 cores: 1.3
    /// times the rate, 90 k/s and not 68. Who sends alone does not wait.
    fn lead(&self, state: MutexGuard<'_, State>) {
        // The leader is one of them.
        let come = |state: &State| state.sleepers.len() + 1;
        let mut state = await_returning(&self.state, state, come, |state| come(state) < state.released);
        let finish = Finish { group: self, covered: std::mem::take(&mut state.sleepers) };
        let mut round = std::mem::take(&mut state.spare);
        std::mem::swap(&mut round.logs, &mut state.pending);
        for log in &round.logs {
            log.delist(&self.tail);
        }
        drop(state);
        self.run(&mut round);
        drop(finish);
        // After the round: a waker is the caller's code, and may well send and wait for the next round.
        for log in &round.logs {
            log.wake_waiters();
        }
        round.logs.clear();
        // Not waited for: a waker may have forked, and come back in the child.
        if let Some(mut state) = self.state.try_lock() {
            state.spare = round;
        }
    }

    /// One round, by its leader, with no lock held. Leaves the logs of which more is durable now.
    fn run(&self, round: &mut Round) {
        let Round { logs, prepared } = round;
        prepared.extend(logs.iter().map(|log| log.prepare_commit(&self.tail)));
        let mirrored = self.mirror().map(|mirror| gather(mirror, logs, prepared));
        let synced = if prepared.iter().any(PreparedCommit::needs_tail) { self.sync_tail() } else { Ok(()) };
        if let Err(reason) = synced {
            for log in logs.drain(..) {
                log.poison(reason);
            }
        }
        if mirrored.is_some_and(|round| !round.finish(synced.is_ok())) {
            // Whoever waits finds the reason there.
            logs.clear();
        }
        let mut prepared = prepared.drain(..);
        let has_risen =
            |log: &dyn CommitMember, prepared: PreparedCommit| !prepared.is_unmirrored && log.finish_commit(&prepared);
        logs.retain(|log| prepared.next().is_some_and(|prepared| has_risen(&**log, prepared)));
    }

    fn sync_tail(&self) -> Result<(), &str> {
        if planted(Canary::AckBeforeSync) || planted(Canary::RetryFailedSync) && self.tail.sync().is_err() {
            return Ok(());
        }
        if self.failure.get().is_none() {
            let begun = self.disk.monotonic();
            match self.tail.sync() {
                Ok(()) => {
                    self.syncs.note(self.disk.monotonic().saturating_sub(begun));
                    return Ok(());
                }
                Err(error) => _ = self.failure.set(error.with_causes().to_string()),
            }
        }
        Err(self.failure().unwrap_or_default())
    }
}

/// Begins a round of the second disk, with all that it lacks of these logs.
fn gather<'m>(mirror: &'m Mirror, logs: &[Arc<dyn CommitMember>], prepared: &mut [PreparedCommit]) -> MirrorRound<'m> {
    let mut round = mirror.begin_round();
    for (log, prepared) in logs.iter().zip(prepared).filter(|(_, prepared)| !prepared.is_short) {
        let Some(spec) = log.live_spec() else { continue };
        let is_whole = round.add(spec, prepared.end, |mirrored, block| log.gather(prepared, mirrored, block));
        prepared.is_unmirrored = !is_whole;
    }
    round.start();
    round
}

/// Ends a round even if its leader panics, so that nobody waits for ever.
struct Finish<'g> {
    group: &'g GroupCommit,
    covered: Vec<Arc<Sleeper>>,
}

impl Drop for Finish<'_> {
    fn drop(&mut self) {
        let next_leader = {
            let mut state = self.group.state.lock();
            state.released = self.covered.len() + 1;
            let next_leader = state.sleepers.pop();
            state.running = next_leader.is_some();
            next_leader
        };
        for sleeper in &self.covered {
            sleeper.wake(Call::Covered);
        }
        if let Some(sleeper) = next_leader {
            sleeper.wake(Call::Lead);
        }
    }
}

/// A caller who waits for a round.
#[derive(Debug, Default)]
struct Sleeper {
    call: Monitor<Option<Call>>,
}

/// For what a sleeper is woken.
#[derive(Debug, Clone, Copy)]
enum Call {
    /// The round that it waited for is over.
    Covered,
    /// It is to lead the next round.
    Lead,
}

impl Sleeper {
    fn sleep(&self) -> Call {
        let mut call = self.call.lock();
        loop {
            match *call {
                Some(call) => return call,
                None => call = call.wait(),
            }
        }
    }

    fn wake(&self, call: Call) {
        *self.call.lock() = Some(call);
        self.call.notify_one();
    }
}
