//! The offsets up to which a log goes, and their order. Where it begins is in its view, with the segments.
//!
//! ```text
//! log start <= durable <= log end            all but the log start excluded; each of these only rises
//! log start <= synced  <= log end            what the segments hold durably, or slots that nobody else gets; the rest of
//!                                            `durable` is covered by slots of this process
//! log start <= unmarked <= undecided         where the first transaction begins that has no marker in the log, and the first one
//!                                            of which it is not decided how it ends; above every offset where there is none
//! ```

use super::producer_state::live::FirstOpen;
use crate::canary::{Canary, planted};
use crate::sync::atomic::{AtomicU64, Ordering};

/// The bounds of one log, read without a lock.
#[derive(Debug)]
pub(super) struct LogOffsets {
    end: AtomicU64,
    durable: AtomicU64,
    synced: AtomicU64,
    undecided: AtomicU64,
    unmarked: AtomicU64,
}

impl LogOffsets {
    /// The bounds of a log that was recovered, of which what is below `synced` is in segments durably, and where these
    /// transactions are open.
    pub(super) fn new(synced: u64, end: u64, open: FirstOpen) -> LogOffsets {
        assert!(synced <= end, "nothing is synced that is not there");
        LogOffsets {
            end: AtomicU64::new(end),
            durable: AtomicU64::new(synced),
            synced: AtomicU64::new(synced),
            undecided: AtomicU64::new(open.undecided),
            unmarked: AtomicU64::new(open.unmarked),
        }
    }

    /// One above the last published offset. Whatever is below is in a view that is loaded after this.
    #[inline]
    pub(super) fn end(&self) -> u64 {
        self.end.load(Ordering::Acquire)
    }

    /// Everything below survives a power cut.
    #[inline]
    pub(super) fn durable(&self) -> u64 {
        self.durable.load(Ordering::Acquire)
    }

    /// Everything below survives a power cut in segments, whatever becomes of the tail.
    pub(super) fn synced(&self) -> u64 {
        self.synced.load(Ordering::Acquire)
    }

    /// Where the first transaction begins that is not decided. Asked after the end: then every transaction that has begun below it
    /// counts. What was aborted before is in a view that is loaded after this.
    #[inline]
    pub(super) fn first_undecided(&self) -> u64 {
        if planted(Canary::StableOffsetFromEnd) { u64::MAX } else { self.undecided.load(Ordering::Acquire) }
    }

    /// Where the first transaction begins that has no marker.
    pub(super) fn first_unmarked(&self) -> u64 {
        self.unmarked.load(Ordering::Acquire)
    }

    /// Says where they begin now: of one that begins, before its end is published; of one that was aborted, after the view that says
    /// so. For the holder of the append lock.
    pub(super) fn set_first_open(&self, open: FirstOpen) {
        self.undecided.store(open.undecided, Ordering::Release);
        self.unmarked.store(open.unmarked, Ordering::Release);
    }

    /// Publishes what was appended. For the holder of the append lock.
    #[inline]
    pub(super) fn set_end(&self, end: u64) {
        self.end.store(end, Ordering::Release);
    }

    /// Two syncs may end out of order: the mark never goes back. Returns whether it rose.
    pub(super) fn raise_durable(&self, durable: u64) -> bool {
        self.durable.fetch_max(durable, Ordering::AcqRel) < durable
    }

    /// The same for the segments.
    pub(super) fn raise_synced(&self, synced: u64) {
        self.synced.fetch_max(synced, Ordering::AcqRel);
    }
}

#[cfg(loom)]
pub(crate) mod models;

#[cfg(test)]
mod tests {
    use super::*;

    const NONE: FirstOpen = FirstOpen { undecided: u64::MAX, unmarked: u64::MAX };

    #[test]
    fn marks_never_go_back() {
        let offsets = LogOffsets::new(5, 5, NONE);
        offsets.set_end(10);
        assert!(offsets.raise_durable(9));
        assert!(!offsets.raise_durable(7));
        assert_eq!((offsets.end(), offsets.durable()), (10, 9));
    }
}
