//! The crate's one door to locks, atomics and threads.
//!
//! Ordinarily these are re-exports of `parking_lot` and `std`, and cost nothing. Built with `--cfg shuttle` or `--cfg loom`
//! they are those of a model checker, which runs the threads one at a time and chooses at each of these operations who is
//! next: `tests/interleavings` explores the crate like this. `Arc`, `Weak` and `OnceLock` are always `std`'s: nothing here
//! blocks on one, and what they hold is guarded by a lock or published by an atomic.
//!
//! Stores into mapped memory (`disk/mapping.rs`, `tail/slot.rs`) are always real atomics too: a process shares them with the
//! one that comes after it, and the threads of one process synchronise by others.

#[cfg(not(any(shuttle, loom)))]
pub(crate) use {
    arc_swap::{ArcSwap, ArcSwapOption},
    parking_lot::{Mutex, MutexGuard},
    std::hint,
    std::sync::atomic,
    std::thread,
};

#[cfg(any(shuttle, loom))]
mod explored;
#[cfg(any(shuttle, loom))]
pub(crate) use explored::{ArcSwap, ArcSwapOption, Mutex, MutexGuard, atomic, hint, thread};

pub(crate) mod monitor;
pub(crate) use monitor::{Monitor, MonitorGuard};
