//! [`Lease`]: the right to look at the memory of a tail's slots or to store into it.
//!
//! Once a broker is closed, another one may have the same file and use its slots for other batches. So whoever is in a slot
//! holds a lease, and [`Leases::close`] returns when nobody holds one and nobody will: readers and the group commit for one
//! copy or a few stores, a writer for as long as it has its open batch.

use std::ops::Deref;

use crate::sync::Monitor;
use crate::sync::atomic::{AtomicUsize, Ordering};

/// Set in the count of leases once no more are given.
const CLOSED: usize = 1 << (usize::BITS - 1);

/// How many leases are held.
#[derive(Debug, Default)]
pub(super) struct Leases {
    /// The count and [`CLOSED`] in one word: each change of it sees all that came before, so nobody who enters misses the mark,
    /// and whoever sets it misses nobody.
    held: AtomicUsize,
    returned: Monitor<()>,
}

impl Leases {
    /// Gives no more leases, and returns when the last one is back.
    pub(super) fn close(&self) {
        self.held.fetch_or(CLOSED, Ordering::AcqRel);
        let mut lock = self.returned.lock();
        // Acquire, and Release where a lease ends: what was done under it was done before this returns.
        while self.held.load(Ordering::Acquire) != CLOSED {
            lock = lock.wait();
        }
    }

    #[cold]
    fn tell_closer(&self) {
        // Under the lock, so that it does not come between a look at the count and the wait for it.
        let _not_between_look_and_wait = self.returned.lock();
        self.returned.notify_all();
    }
}

/// Why there is no lease.
pub(super) fn closed_error() -> std::io::Error {
    std::io::Error::other("the tail is closed")
}

/// One lease, until dropped. `P` is a reference to the count, or owns it.
#[derive(Debug)]
pub(super) struct Lease<P: Deref<Target: AsRef<Leases>>>(P);

impl<P: Deref<Target: AsRef<Leases>>> Lease<P> {
    /// A lease; `None` once they are [closed](Leases::close).
    #[inline]
    pub(super) fn new(of: P) -> Option<Lease<P>> {
        let before = (*of).as_ref().held.fetch_add(1, Ordering::Acquire);
        // Taken back by dropping it, if it came too late.
        Some(Lease(of)).filter(|_| before & CLOSED == 0)
    }

    /// What it was taken of.
    pub(super) fn of(&self) -> &P {
        &self.0
    }
}

impl<P: Deref<Target: AsRef<Leases>>> Drop for Lease<P> {
    #[inline]
    fn drop(&mut self) {
        let leases = (*self.0).as_ref();
        if leases.held.fetch_sub(1, Ordering::Release) & CLOSED != 0 {
            leases.tell_closer();
        }
    }
}
