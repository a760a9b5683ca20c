//! The marks as loom sees them.

use std::sync::Arc;

use loom::{model, thread};

use super::*;

/// Two syncs end in any order: the durable mark never goes back, and ends at the higher one.
pub fn the_durable_mark_only_rises() {
    model(|| {
        let offsets = Arc::new(LogOffsets::new(0, 0, None));
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
        let (offsets, bytes) = (Arc::new(LogOffsets::new(0, 0, None)), Arc::new(AtomicU64::new(0)));
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
