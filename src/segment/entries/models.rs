//! The list as loom sees it.

use std::sync::Arc;

use loom::{model, thread};

use super::*;

/// An entry that a reader may look at is whole.
pub fn entries_are_seen_whole() {
    model(|| {
        let entries = Arc::new(Entries::<2>::new());
        let writer = thread::spawn({
            let entries = Arc::clone(&entries);
            move || (1..=2).for_each(|i| entries.push([i, i + 10]))
        });
        if let Some(last) = entries.last() {
            let len = entries.len() as u64;
            assert!(last == [1, 11] || last == [2, 12] && len == 2);
        }
        writer.join().unwrap();
        assert!(entries.iter().eq([[1, 11], [2, 12]]));
    });
}
