//! [`Monitor`]: a lock under which threads wait until another one has news for them.
//!
//! It is made of `std`'s mutex and condition variable, or of a model checker's, and not of `parking_lot`'s. Those keep all the
//! threads of a process that wait in one table. A child that was forked off has a copy of the table, with threads that it does not
//! have, in memory that its own threads get: a child that opened a broker of its own would hang, or worse. A thread that contends
//! for a lock stands in the table only for as long as the lock is held, so [`super::Mutex`] stays the cheaper one for the others.
//!
//! The idea: C. A. R. Hoare, "Monitors: an operating system structuring concept", 1974.

use std::ops::{Deref, DerefMut};
use std::sync::PoisonError;
#[cfg(any(test, feature = "testing"))]
use std::sync::TryLockError;
use std::time::Duration;

#[cfg(loom)]
use loom::sync as model;
#[cfg(all(shuttle, not(loom)))]
use shuttle::sync as model;
#[cfg(not(any(shuttle, loom)))]
use std::sync as model;

/// A value, the lock that guards it, and the threads that wait for a change of it. A panic does not poison it.
#[derive(Debug, Default)]
pub(crate) struct Monitor<T> {
    mutex: model::Mutex<T>,
    condvar: model::Condvar,
}

/// The right to look at the value of a [`Monitor`] and to change it, until dropped.
#[derive(Debug)]
pub(crate) struct MonitorGuard<'m, T> {
    monitor: &'m Monitor<T>,
    guard: model::MutexGuard<'m, T>,
}

impl<T> Monitor<T> {
    pub(crate) fn new(value: T) -> Monitor<T> {
        Monitor { mutex: model::Mutex::new(value), condvar: model::Condvar::new() }
    }

    pub(crate) fn lock(&self) -> MonitorGuard<'_, T> {
        MonitorGuard { monitor: self, guard: self.mutex.lock().unwrap_or_else(PoisonError::into_inner) }
    }

    /// `None` while it is locked.
    #[cfg(any(test, feature = "testing"))]
    pub(crate) fn try_lock(&self) -> Option<MonitorGuard<'_, T>> {
        match self.mutex.try_lock() {
            Ok(guard) => Some(MonitorGuard { monitor: self, guard }),
            Err(TryLockError::Poisoned(poisoned)) => Some(MonitorGuard { monitor: self, guard: poisoned.into_inner() }),
            Err(TryLockError::WouldBlock) => None,
        }
    }

    pub(crate) fn notify_one(&self) {
        self.condvar.notify_one();
    }

    pub(crate) fn notify_all(&self) {
        self.condvar.notify_all();
    }
}

impl<'m, T> MonitorGuard<'m, T> {
    /// Lets others have the lock until notified, or for no reason: the caller looks whether what it waits for is there.
    pub(crate) fn wait(self) -> MonitorGuard<'m, T> {
        let MonitorGuard { monitor, guard } = self;
        MonitorGuard { monitor, guard: monitor.condvar.wait(guard).unwrap_or_else(PoisonError::into_inner) }
    }

    /// As [`wait`](Self::wait), and for no longer than `timeout`.
    #[cfg(not(any(shuttle, loom)))]
    pub(crate) fn wait_for(self, timeout: Duration) -> MonitorGuard<'m, T> {
        let MonitorGuard { monitor, guard } = self;
        let waited = monitor.condvar.wait_timeout(guard, timeout);
        MonitorGuard { monitor, guard: waited.unwrap_or_else(PoisonError::into_inner).0 }
    }

    /// [Waits](Self::wait) while `condition` holds, and for no longer than `timeout`.
    #[cfg(not(any(shuttle, loom)))]
    pub(crate) fn wait_while_for(
        self,
        condition: impl FnMut(&mut T) -> bool,
        timeout: Duration,
    ) -> MonitorGuard<'m, T> {
        let MonitorGuard { monitor, guard } = self;
        let waited = monitor.condvar.wait_timeout_while(guard, timeout, condition);
        MonitorGuard { monitor, guard: waited.unwrap_or_else(PoisonError::into_inner).0 }
    }
}

/// A model checker has no clock to look at: a timed wait ends by a notification or at once, as the schedule chooses.
#[cfg(any(shuttle, loom))]
impl<'m, T> MonitorGuard<'m, T> {
    pub(crate) fn wait_for(self, timeout: Duration) -> MonitorGuard<'m, T> {
        if super::explored::elapses(timeout) { self.yield_now() } else { self.wait() }
    }

    pub(crate) fn wait_while_for(
        mut self,
        mut condition: impl FnMut(&mut T) -> bool,
        timeout: Duration,
    ) -> MonitorGuard<'m, T> {
        while condition(&mut self) {
            if super::explored::elapses(timeout) {
                return self.yield_now();
            }
            self = self.wait();
        }
        self
    }

    /// Lets others have the lock, for as long as the schedule says.
    fn yield_now(self) -> MonitorGuard<'m, T> {
        let MonitorGuard { monitor, guard } = self;
        drop(guard);
        super::thread::yield_now();
        monitor.lock()
    }
}

impl<T> Deref for MonitorGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.guard
    }
}

impl<T> DerefMut for MonitorGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.guard
    }
}
