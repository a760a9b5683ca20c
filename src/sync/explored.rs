//! The facade over a model checker: what `parking_lot` and `arc_swap` offer, as far as the crate uses it.
//!
//! Nobody's lock is poisoned by a panic, as with `parking_lot`. A timed wait has no clock to look at: it ends by a wake-up or
//! at once, as the schedule chooses, so that both ways are explored; one of a day or more never ends by itself, so that a lost
//! wake-up shows as a deadlock. Under loom, which has no choices of its own to offer, no wait ends by itself.

use std::ops::Deref;
use std::sync::{PoisonError, TryLockError};
use std::time::Duration;

#[cfg(loom)]
use loom::sync as model;
#[cfg(all(shuttle, not(loom)))]
use shuttle::sync as model;

#[cfg(loom)]
pub(crate) use loom::{hint, sync::atomic, thread};

#[cfg(all(shuttle, not(loom)))]
pub(crate) use shuttle::{hint, thread};

#[cfg(all(shuttle, not(loom)))]
pub(crate) mod atomic {
    pub(crate) use shuttle::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, AtomicU64, AtomicUsize, Ordering};

    /// Nothing: all of the checker's atomics are sequentially consistent.
    pub(crate) fn fence(_: Ordering) {}
}

/// A wait that is meant to last for ever.
#[cfg(all(shuttle, not(loom)))]
const FOREVER: Duration = Duration::from_secs(24 * 60 * 60);

pub(crate) type MutexGuard<'m, T> = model::MutexGuard<'m, T>;

#[derive(Debug, Default)]
pub(crate) struct Mutex<T>(model::Mutex<T>);

impl<T> Mutex<T> {
    pub(crate) fn new(value: T) -> Mutex<T> {
        Mutex(model::Mutex::new(value))
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn get_mut(&mut self) -> &mut T {
        self.0.get_mut().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
        match self.0.try_lock() {
            Ok(guard) => Some(guard),
            Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }
}

/// Whether a timed wait ends though nobody notified.
#[cfg(loom)]
pub(super) fn elapses(_: Duration) -> bool {
    false
}

/// Whether a timed wait ends though nobody notified.
#[cfg(all(shuttle, not(loom)))]
pub(super) fn elapses(timeout: Duration) -> bool {
    use shuttle::rand::Rng;
    timeout < FOREVER && shuttle::rand::thread_rng().r#gen()
}

/// A real one, before each use of which another thread may have its turn.
#[derive(Debug)]
pub(crate) struct Swap<S> {
    swap: S,
    turn: atomic::AtomicBool,
}

pub(crate) type ArcSwap<T> = Swap<arc_swap::ArcSwap<T>>;
pub(crate) type ArcSwapOption<T> = Swap<arc_swap::ArcSwapOption<T>>;

impl<T> ArcSwap<T> {
    pub(crate) fn from_pointee(value: T) -> ArcSwap<T> {
        Swap { swap: arc_swap::ArcSwap::from_pointee(value), turn: atomic::AtomicBool::default() }
    }
}

impl<S: Default> Default for Swap<S> {
    fn default() -> Swap<S> {
        Swap { swap: S::default(), turn: atomic::AtomicBool::default() }
    }
}

impl<S> Deref for Swap<S> {
    type Target = S;

    fn deref(&self) -> &S {
        self.turn.load(atomic::Ordering::SeqCst);
        &self.swap
    }
}
