//! Counts what the broker's thread allocates, so that a case fails in which damaged bytes make it ask for more than P6 allows:
//! twice the largest batch, and 16 MiB a reader.
//!
//! The counts are per thread: a case runs on one, without a background thread. Memory is never refused here, since a refusal
//! would abort the process: what was too much is noted, and the case fails when it is over.
//!
//! The simulated disk is in the same memory. It holds each file once as calls see it, once as the medium has it, once more as
//! un-synced writes and in maps: of the tails a few mebibytes each. A single allocation is held to the bound as it is, since
//! none of the disk's comes near; the sum of what is held at a time gets [`DISK_BYTES`] on top.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
#[cfg(test)]
use std::hint::black_box;

/// `max.message.bytes` of the golden topics, rounded up.
const BATCH_BYTES_MAX: usize = 2 << 20;
/// What P6 allows one reader.
pub(crate) const BOUND: usize = 2 * BATCH_BYTES_MAX + (16 << 20);
/// Four copies of two tails, which have grown by a chunk.
pub(crate) const DISK_BYTES: usize = 4 * 2 * (3 << 20);

struct Counting;

#[derive(Clone, Copy)]
struct Counts {
    live: isize,
    peak: isize,
    largest: usize,
}

thread_local! {
    static COUNTS: Cell<Counts> = const { Cell::new(Counts { live: 0, peak: 0, largest: 0 }) };
}

fn note(allocated: usize, freed: usize) {
    // A thread that is ending has no counts any more.
    _ = COUNTS.try_with(|cell| {
        let mut counts = cell.get();
        counts.live += allocated.cast_signed() - freed.cast_signed();
        counts.peak = counts.peak.max(counts.live);
        counts.largest = counts.largest.max(allocated);
        cell.set(counts);
    });
}

// SAFETY: everything is passed on unchanged to the system's allocator, which keeps the contract; counting does not allocate.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        note(layout.size(), 0);
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        note(layout.size(), 0);
        // SAFETY: the caller keeps the contract of `alloc_zeroed`.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        note(0, layout.size());
        // SAFETY: the caller keeps the contract of `dealloc`, and `pointer` came from `System`.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        note(size, layout.size());
        // SAFETY: the caller keeps the contract of `realloc`, and `pointer` came from `System`.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Runs `act` and returns with it the largest single allocation and the most bytes that were held at a time, beyond those at
/// the beginning.
pub(crate) fn measured<T>(act: impl FnOnce() -> T) -> (T, usize, usize) {
    let before = COUNTS.get().live;
    COUNTS.set(Counts { live: before, peak: before, largest: 0 });
    let result = act();
    let counts = COUNTS.get();
    (result, counts.largest, (counts.peak - before).unsigned_abs())
}

/// An allocator that counts nothing would let everything pass.
#[test]
fn what_is_allocated_is_noticed() {
    let (_, largest, peak) = measured(|| black_box((vec![1_u8; BOUND + 1], vec![0_u8; 1 << 20])).0.len());
    assert!(largest == BOUND + 1 && peak > BOUND + (1 << 20), "{largest}, {peak}");
}
