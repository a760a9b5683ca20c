//! The offsets up to which a log goes, and their order. Where it begins is in its view, with the segments.
//!
//! ```text
//! log start <= durable <= log end            all but the log start excluded; each only rises
//! log start <= synced  <= log end            what the segments hold durably, or slots that nobody else gets; the rest of
//!                                            `durable` is covered by slots of this process
//! log start <= first unstable                where the first transaction begins that is open, if there is one
//! ```

use crate::sync::atomic::{AtomicU64, Ordering};

/// The bounds of one log, read without a lock.
#[derive(Debug)]
pub(super) struct LogOffsets {
    end: AtomicU64,
    durable: AtomicU64,
    synced: AtomicU64,
    /// Above every offset if there is none.
    first_unstable: u64,
}

impl LogOffsets {
    /// The bounds of a log that was recovered, of which what is below `synced` is in segments durably, and whose first open
    /// transaction begins at `first_unstable`.
    pub(super) fn new(synced: u64, end: u64, first_unstable: Option<u64>) -> LogOffsets {
        assert!(synced <= end, "nothing is synced that is not there");
        LogOffsets {
            end: AtomicU64::new(end),
            durable: AtomicU64::new(synced),
            synced: AtomicU64::new(synced),
            first_unstable: first_unstable.unwrap_or(u64::MAX),
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

    /// Where the first transaction begins that was open when the log was opened, above every offset if there was none: nobody can
    /// begin or end one in an open log.
    #[inline]
    pub(super) fn first_unstable(&self) -> u64 {
        self.first_unstable
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

    #[test]
    fn marks_never_go_back() {
        let offsets = LogOffsets::new(5, 5, None);
        offsets.set_end(10);
        assert!(offsets.raise_durable(9));
        assert!(!offsets.raise_durable(7));
        assert_eq!((offsets.end(), offsets.durable()), (10, 9));
    }
}
