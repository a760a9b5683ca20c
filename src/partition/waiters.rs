//! Who waits for something, such as new records of a partition, and how they are woken.
//!
//! A waiter registers once with every partition it is interested in and then parks on one condvar for all of them. A sender
//! pays one relaxed load while nobody is registered, and a fence and a load per waiter while those are busy elsewhere.
//!
//! No wake-up is lost: a waiter raises `parked`, passes a fence and looks for records once more before it sleeps; a sender
//! publishes, passes a fence and then looks at `parked`. One of the two sees the other.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering, fence};
use std::task::Waker;
use std::time::Duration;

use arc_swap::ArcSwap;
use parking_lot::{Condvar, Mutex};

/// One thread or task that waits, for any number of partitions.
#[derive(Debug, Default)]
pub(crate) struct Waiter {
    parked: AtomicBool,
    state: Mutex<WaiterState>,
    condvar: Condvar,
}

#[derive(Debug, Default)]
struct WaiterState {
    signalled: bool,
    waker: Option<Waker>,
}

impl Waiter {
    /// Sleeps until woken or `timeout` has passed, unless `ready` holds once every sender is sure to see this waiter.
    pub(crate) fn park(&self, timeout: Duration, ready: impl FnOnce() -> bool) {
        self.announce();
        if !ready() {
            let mut state = self.state.lock();
            if !state.signalled {
                self.condvar.wait_for(&mut state, timeout);
            }
        }
        self.parked.store(false, Ordering::Relaxed);
        self.state.lock().signalled = false;
    }

    /// Has `waker` woken by the next send, and returns whether there is something already (`ready`).
    pub(crate) fn register_waker(&self, waker: &Waker, ready: impl FnOnce() -> bool) -> bool {
        {
            let mut state = self.state.lock();
            state.signalled = false;
            state.waker = Some(waker.clone());
        }
        self.announce();
        ready()
    }

    fn announce(&self) {
        self.parked.store(true, Ordering::Relaxed);
        fence(Ordering::SeqCst);
    }

    /// Wakes the waiter, also if it is only about to park.
    pub(crate) fn wake(&self) {
        let waker = {
            let mut state = self.state.lock();
            state.signalled = true;
            state.waker.take()
        };
        self.condvar.notify_one();
        // Outside the lock: a waker is the caller's code.
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

/// The waiters registered with one partition, or whatever else one waits for.
#[derive(Debug, Default)]
pub(crate) struct Waiters {
    count: AtomicUsize,
    list: ArcSwap<Vec<Arc<Waiter>>>,
    changes: Mutex<()>,
}

impl Waiters {
    /// Adds a waiter. Whoever wakes under a lock sees it from the next time on that the lock is taken after this.
    pub(crate) fn register(&self, waiter: &Arc<Waiter>) {
        self.change(|list| list.push(Arc::clone(waiter)));
    }

    /// Takes a waiter out again.
    pub(crate) fn unregister(&self, waiter: &Arc<Waiter>) {
        self.change(|list| list.retain(|other| !Arc::ptr_eq(other, waiter)));
    }

    fn change(&self, change: impl FnOnce(&mut Vec<Arc<Waiter>>)) {
        let _one_at_a_time = self.changes.lock();
        let mut list = Vec::clone(&self.list.load());
        change(&mut list);
        self.count.store(list.len(), Ordering::Release);
        self.list.store(Arc::new(list));
    }

    /// Wakes whoever is parked, after something became visible by an append, under the lock that registering takes.
    #[inline]
    pub(crate) fn wake(&self) {
        if self.count.load(Ordering::Relaxed) > 0 {
            self.wake_parked();
        }
    }

    /// [`wake`](Waiters::wake) for whoever made something visible without that lock: a waiter that registers meanwhile sees
    /// it before it sleeps, or is seen here.
    pub(crate) fn wake_unlocked(&self) {
        fence(Ordering::SeqCst);
        self.wake();
    }

    #[cold]
    fn wake_parked(&self) {
        fence(Ordering::SeqCst);
        for waiter in self.list.load().iter() {
            if waiter.parked.load(Ordering::Relaxed) {
                waiter.wake();
            }
        }
    }
}
