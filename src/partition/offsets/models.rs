//! The marks as loom sees them.

use std::sync::Arc;

use loom::{model, thread};

use super::*;

const NONE: FirstOpen = FirstOpen { undecided: u64::MAX, unmarked: u64::MAX };

/// Two syncs end in any order: the durable mark never goes back, and ends at the higher one.
pub fn the_durable_mark_only_rises() {
    model(|| {
        let offsets = Arc::new(LogOffsets::new(0, 0, NONE));
        offsets.set_end(2);
        let syncs = [1, 2].map(|durable| {
            let offsets = Arc::clone(&offsets);
            thread::spawn(move || offsets.raise_durable(durable))
        });
        let first = offsets.durable();
        let second = offsets.durable();
        assert!(first <= second);
        let [low, high] = syncs.map(|sync| sync.join().unwrap());
        assert!(high, "the higher mark always rises");
        assert!(low || 1 <= second || second == 0);
        assert_eq!(offsets.durable(), 2);
    });
}

/// Who sees the end sees what was appended before it.
pub fn what_is_below_the_end_is_seen() {
    model(|| {
        let (offsets, bytes) = (Arc::new(LogOffsets::new(0, 0, NONE)), Arc::new(AtomicU64::new(0)));
        let appender = thread::spawn({
            let (offsets, bytes) = (Arc::clone(&offsets), Arc::clone(&bytes));
            move || {
                for end in 1..=2 {
                    bytes.store(end, Ordering::Relaxed);
                    offsets.set_end(end);
                }
            }
        });
        let end = offsets.end();
        assert!(end <= bytes.load(Ordering::Relaxed));
        appender.join().unwrap();
    });
}

/// Who reads committed records sees nothing of a transaction that is open, and that it was aborted before anything of it.
pub fn what_was_aborted_is_known_before_it_is_passed() {
    model(|| {
        let (offsets, hidden) = (Arc::new(LogOffsets::new(0, 0, NONE)), Arc::new(AtomicU64::new(0)));
        let appender = thread::spawn({
            let (offsets, hidden) = (Arc::clone(&offsets), Arc::clone(&hidden));
            move || {
                offsets.set_first_open(FirstOpen { undecided: 0, unmarked: 0 });
                offsets.set_end(1);
                hidden.store(1, Ordering::Relaxed);
                offsets.set_first_open(NONE);
            }
        });
        let end = offsets.end();
        let stable = end.min(offsets.first_undecided());
        assert!(stable <= hidden.load(Ordering::Relaxed));
        appender.join().unwrap();
    });
}
