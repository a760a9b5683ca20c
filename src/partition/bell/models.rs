//! The bell as loom sees it.

use std::sync::Arc;

use loom::{model, thread};

use super::*;
use crate::sync::atomic::AtomicBool;

/// A ring before, in or after the moment of falling asleep ends the sleep; loom reports one that does not end.
pub fn no_ring_is_lost() {
    model(|| {
        let bell = Arc::new(Bell::default());
        let ringer = thread::spawn({
            let bell = Arc::clone(&bell);
            move || bell.ring(Work::Slots)
        });
        assert!(bell.wait(None).contains(Work::Slots));
        ringer.join().unwrap();
    });
}

/// A ring after work was laid out is heard by the wait after it, or by one that is woken and looks: the work is always done.
pub fn what_was_laid_out_before_a_ring_is_seen() {
    model(|| {
        let (bell, work) = (Arc::new(Bell::default()), Arc::new(AtomicBool::new(false)));
        let ringers: Vec<_> = (0..2)
            .map(|i| {
                let (bell, work) = (Arc::clone(&bell), Arc::clone(&work));
                thread::spawn(move || {
                    if i == 0 {
                        work.store(true, Ordering::Relaxed);
                    }
                    bell.ring(if i == 0 { Work::Slots } else { Work::Syncs });
                })
            })
            .collect();
        while !work.load(Ordering::Relaxed) {
            bell.wait(None);
        }
        for ringer in ringers {
            ringer.join().unwrap();
        }
    });
}
