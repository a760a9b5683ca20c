//! Who waits for something, such as new records of a partition, and how they are woken.
//!
//! A [`Waiter`] is one thread or task, with one place to wait for whatever it waits for. It has a [`Registration`] with each of its
//! partitions, under a *token* of its choice. When it has read a partition to the end it *arms* the registration; the next
//! sender there takes it off the partition's list of armed ones, delivers the token and wakes the waiter. So a waiter looks
//! only at the partitions of which it was told, and a sender only at those who wait for its partition: it pays one relaxed
//! load while nobody is registered, and a fence and a load while nobody is armed.
//!
//! No wake-up is lost:
//! ```text
//! waiter:  armed_count > 0;  fence;  look at the end        sender:  publish the end;  fence;  look at armed_count
//! ```
//! Both fences are sequentially consistent, so one of the two sees the other. The sender may skip the fence while `registered`
//! is zero since registering ends by taking the append lock: who appends later sees the registration, and what was appended
//! before is seen by whoever arms it. Who publishes without that lock (`wake_unlocked`) passes a fence before that load too.
//!
//! Who waits for committed records is not woken by each record of a transaction (`wake_uncommitted`), but by what ends it.
//!
//! Tokens are delivered before `armed_count` falls back to zero, and that store is a release: a sender that finds nobody armed
//! since another one was faster returns when the token is delivered, so that whoever polls after it finds the record.

use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

use super::isolation::Isolation;
use crate::canary::{Canary, planted};
use crate::disk::open_files::OpenFiles;
use crate::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering, fence};
use crate::sync::{Monitor, Mutex};

/// One thread or task that waits, for any number of partitions.
#[derive(Debug, Default)]
pub(crate) struct Waiter {
    /// Whether there was a wake-up since the last look. Changed under the lock of `inbox`.
    is_signalled: AtomicBool,
    inbox: Monitor<Inbox>,
}

#[derive(Debug, Default)]
struct Inbox {
    /// What was delivered since the last look.
    tokens: Vec<u32>,
    waker: Option<Waker>,
    /// When to call the waker though nothing has happened, by the monotonic clock.
    due: Option<Duration>,
}

impl Waiter {
    /// Moves the tokens that were delivered into `tokens`. What woke the waiter until now counts as seen: the caller looks at
    /// whatever may have changed after this, and not before.
    #[inline]
    pub(crate) fn take_tokens(&self, tokens: &mut Vec<u32>) {
        if self.is_signalled.load(Ordering::Acquire) {
            let mut inbox = self.inbox.lock();
            self.is_signalled.store(false, Ordering::Relaxed);
            tokens.append(&mut inbox.tokens);
        }
    }

    /// Whether there was a wake-up since [`take_tokens`](Waiter::take_tokens).
    pub(crate) fn is_signalled(&self) -> bool {
        self.is_signalled.load(Ordering::Acquire)
    }

    /// Sleeps until woken or `timeout` has passed; not at all if woken since [`take_tokens`](Waiter::take_tokens).
    pub(crate) fn park(&self, timeout: Duration) {
        let inbox = self.inbox.lock();
        let _inbox = inbox.wait_while_for(|_| !self.is_signalled.load(Ordering::Relaxed), timeout);
    }

    /// Has `waker` called at the next wake-up, or when it is `due` by the monotonic clock, if the maintenance
    /// [knows](Watchers::is_sooner) that it is to look then. Returns false if there was a wake-up since [`take_tokens`](Waiter::take_tokens).
    pub(crate) fn register_waker(&self, waker: &Waker, due: Option<Duration>) -> bool {
        // To clone one and to drop one is their owners' code, too.
        let waker = waker.clone();
        let (former, is_unseen) = {
            let mut inbox = self.inbox.lock();
            inbox.due = due;
            (inbox.waker.replace(waker), self.is_signalled.load(Ordering::Relaxed))
        };
        drop(former);
        !is_unseen
    }

    /// Wakes the waiter, also if it is only about to park, whatever it waits for. The caller holds no lock, since a waker is
    /// its owner's code.
    pub(crate) fn wake(&self) {
        self.wake_with(None);
    }

    /// [`wake`](Waiter::wake), with a token delivered by then.
    pub(super) fn wake_with(&self, token: Option<u32>) {
        let waker = self.signal(token);
        self.inbox.notify_one();
        if let Some(waker) = waker {
            call(waker);
        }
    }

    /// The part of waking that may be done under a lock; the notification and the waker that is returned are the rest.
    fn signal(&self, token: Option<u32>) -> Option<Waker> {
        let mut inbox = self.inbox.lock();
        inbox.tokens.extend(token);
        self.is_signalled.store(true, Ordering::Release);
        inbox.due = None;
        inbox.waker.take()
    }

    fn due(&self) -> Option<Duration> {
        self.inbox.lock().due
    }
}

pub(crate) fn as_ns(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// Calls a waker. It is its owner's code: if it panics, which the panic hook has reported, that is to harm neither the others who
/// are to be woken nor the thread that does it.
pub(super) fn call(waker: Waker) {
    let _ = catch_unwind(AssertUnwindSafe(|| waker.wake()));
}

/// Who waits for the records of one partition.
#[derive(Debug, Default)]
pub(crate) struct Waiters {
    registered: AtomicUsize,
    /// How many of them wait for records that are not committed, too.
    uncommitted: AtomicUsize,
    /// How many are in `lists.armed`. Changed under the lock.
    armed_count: AtomicUsize,
    lists: Mutex<Lists>,
}

#[derive(Debug, Default)]
struct Lists {
    armed: Vec<Armed>,
    /// An empty list to go on with, so that waking allocates nothing.
    spare: Vec<Armed>,
}

#[derive(Debug)]
struct Armed {
    waiter: Arc<Waiter>,
    token: u32,
    isolation: Isolation,
    /// What is to be called once the token is delivered and no lock is held.
    waker: Option<Waker>,
}

impl Waiters {
    fn arm(&self, waiter: &Arc<Waiter>, token: u32, isolation: Isolation) {
        let mut lists = self.lists.lock();
        lists.armed.push(Armed { waiter: Arc::clone(waiter), token, isolation, waker: None });
        self.armed_count.store(lists.armed.len(), Ordering::Relaxed);
        drop(lists);
        fence(Ordering::SeqCst);
    }

    fn disarm(&self, waiter: &Arc<Waiter>, token: u32) {
        let mut lists = self.lists.lock();
        lists.armed.retain(|armed| armed.token != token || !Arc::ptr_eq(&armed.waiter, waiter));
        self.armed_count.store(lists.armed.len(), Ordering::Release);
    }

    /// Wakes whoever is armed, after something became visible by an append, under the lock that registering takes.
    #[inline]
    pub(super) fn wake(&self) {
        if self.registered.load(Ordering::Relaxed) > 0 && !planted(Canary::WakeNobody) {
            fence(Ordering::SeqCst);
            if self.armed_count.load(Ordering::Acquire) > 0 {
                self.wake_armed();
            }
        }
    }

    /// [`wake`](Waiters::wake) for those only who wait for records that are not committed, too.
    pub(super) fn wake_uncommitted(&self) {
        if self.uncommitted.load(Ordering::Relaxed) > 0 {
            fence(Ordering::SeqCst);
            if self.armed_count.load(Ordering::Acquire) > 0 {
                self.wake_armed_uncommitted();
            }
        }
    }

    /// [`wake`](Waiters::wake) for whoever made something visible without that lock.
    pub(super) fn wake_unlocked(&self) {
        fence(Ordering::SeqCst);
        self.wake();
    }

    #[cold]
    fn wake_armed(&self) {
        let woken = {
            let mut lists = self.lists.lock();
            let spare = mem::take(&mut lists.spare);
            let mut woken = mem::replace(&mut lists.armed, spare);
            self.signal(&lists, &mut woken);
            woken
        };
        self.wake_all(woken);
    }

    #[cold]
    fn wake_armed_uncommitted(&self) {
        let woken = {
            let mut lists = self.lists.lock();
            let mut woken = mem::take(&mut lists.spare);
            let is_woken = |armed: &mut Armed| armed.isolation == Isolation::ReadUncommitted;
            woken.extend(lists.armed.extract_if(.., is_woken));
            self.signal(&lists, &mut woken);
            woken
        };
        self.wake_all(woken);
    }

    /// Delivers the tokens of those who were taken out of the list.
    fn signal(&self, lists: &Lists, woken: &mut [Armed]) {
        for armed in woken {
            armed.waker = armed.waiter.signal(Some(armed.token));
        }
        self.armed_count.store(lists.armed.len(), Ordering::Release);
    }

    /// Wakes those whose tokens were delivered. Without the lock: those who wake up arm themselves again.
    fn wake_all(&self, mut woken: Vec<Armed>) {
        // Threads first, since a waker may do anything.
        for armed in &woken {
            armed.waiter.inbox.notify_one();
        }
        woken.drain(..).filter_map(|armed| armed.waker).for_each(call);
        self.lists.lock().spare = woken;
    }
}

/// A waiter's place at one partition, until dropped.
#[derive(Debug)]
pub(crate) struct Registration {
    waiters: Arc<Waiters>,
    /// They know whether this process was forked off, where the lock of `waiters` may be held for ever.
    files: Arc<OpenFiles>,
    waiter: Arc<Waiter>,
    token: u32,
    isolation: Isolation,
}

impl Registration {
    /// Has `token` delivered to `waiter` when something becomes visible for this isolation in the partition of `waiters` while this is
    /// armed. It is not, at first. The caller takes the append lock after this, before it arms: who appends later has seen the waiter.
    pub(super) fn new(
        waiters: &Arc<Waiters>,
        files: &Arc<OpenFiles>,
        waiter: &Arc<Waiter>,
        token: u32,
        isolation: Isolation,
    ) -> Registration {
        waiters.registered.fetch_add(1, Ordering::Relaxed);
        if isolation == Isolation::ReadUncommitted {
            waiters.uncommitted.fetch_add(1, Ordering::Relaxed);
        }
        let (waiters, files, waiter) = (Arc::clone(waiters), Arc::clone(files), Arc::clone(waiter));
        Registration { waiters, files, waiter, token, isolation }
    }

    /// Has the token delivered once, by the next who makes something visible or closes the log. The caller looks once more
    /// after this, and [disarms](Registration::disarm) if there was something already.
    pub(crate) fn arm(&self) {
        self.waiters.arm(&self.waiter, self.token, self.isolation);
    }

    /// Has nothing delivered any more, unless it was already.
    pub(crate) fn disarm(&self) {
        self.waiters.disarm(&self.waiter, self.token);
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        if self.files.is_forked() {
            return;
        }
        self.disarm();
        self.waiters.registered.fetch_sub(1, Ordering::Relaxed);
        if self.isolation == Isolation::ReadUncommitted {
            self.waiters.uncommitted.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

/// Who wants to know of rare events, such as topics that come and go: all of them are woken each time.
#[derive(Debug)]
pub(crate) struct Watchers {
    /// Before the locks of the waiters in it.
    list: Mutex<Vec<Arc<Waiter>>>,
    /// The first moment for which a task waits, in ns by the monotonic clock, as it was when all were looked at.
    first_due_ns: AtomicU64,
}

impl Default for Watchers {
    fn default() -> Watchers {
        Watchers { list: Mutex::default(), first_due_ns: AtomicU64::new(u64::MAX) }
    }
}

impl Watchers {
    /// Adds a waiter. It sees what happened before, or else is woken.
    pub(crate) fn register(&self, waiter: &Arc<Waiter>) {
        self.list.lock().push(Arc::clone(waiter));
    }

    /// Takes a waiter out again.
    pub(crate) fn unregister(&self, waiter: &Arc<Waiter>) {
        self.list.lock().retain(|other| !Arc::ptr_eq(other, waiter));
    }

    /// Wakes those tasks for which it is time, and returns when it is time for the next. Threads that park look at the clock
    /// themselves.
    pub(crate) fn wake_due(&self, now: Duration) -> Option<Duration> {
        // Before the look: whoever waits for something earlier from here on was seen by it, or rings.
        self.first_due_ns.store(u64::MAX, Ordering::Relaxed);
        let waiting: Vec<_> =
            self.list.lock().iter().filter_map(|waiter| Some((waiter.due()?, Arc::clone(waiter)))).collect();
        let (due, later): (Vec<_>, Vec<_>) = waiting.into_iter().partition(|(due, _)| *due <= now);
        let next = later.iter().map(|(due, _)| *due).min();
        if let Some(next) = next {
            self.first_due_ns.fetch_min(as_ns(next), Ordering::Relaxed);
        }
        for (_, waiter) in due {
            waiter.wake();
        }
        next
    }

    /// Whether who waits until `due` is to call the maintenance, since it would not look by then. Asked after the waker was
    /// registered: the lock there is what orders this and a look.
    pub(crate) fn is_sooner(&self, due: Duration) -> bool {
        as_ns(due) < self.first_due_ns.fetch_min(as_ns(due), Ordering::Relaxed)
    }

    /// Wakes everybody, after something happened. The caller holds no lock, since a waker is its owner's code.
    pub(crate) fn wake(&self) {
        let list = self.list.lock().clone();
        for waiter in list {
            waiter.wake();
        }
    }
}

#[cfg(loom)]
pub(crate) mod models;
#[cfg(test)]
mod tests;
