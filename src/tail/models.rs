//! What a slot's writer publishes and its readers see, as loom sees it: the real slot, over the simulated disk.
//!
//! Loom does not see the bytes in the map. A relaxed number stands beside them, stored before each record is published: who
//! may look at the record's bytes must see it too.

use loom::model::Builder;
use loom::thread;

use super::*;
use crate::disk::simulated::SimulatedDisk;
use crate::format::{Attributes, BatchStart, ProducerStamp};

fn writer() -> BatchWriter {
    tail_and_writer().1
}

fn tail_and_writer() -> (Tail, BatchWriter) {
    let identity = Identity {
        topic_id: 7,
        partition: 3,
        start: BatchStart {
            base_offset: 100,
            leader_epoch: 0,
            attributes: Attributes::NONE,
            base_timestamp: 0,
            stamp: ProducerStamp::NONE,
        },
    };
    let tail = Tail::open(&SimulatedDisk::new(1), Path::new("tail"), 1 << 20, false, 1).expect("opens");
    tail.supply_if_short();
    let writer = tail.take(SlotClass::Small, SlotClass::Small, identity).expect("has a slot");
    (tail, writer)
}

fn check(model: fn()) {
    let mut builder = Builder::new();
    builder.max_branches = 100_000;
    builder.check(model);
}

/// A reader that sees a length sees the bytes, and one that sees an offset sees at least the records before it.
pub fn published_records_are_whole() {
    check(|| {
        let (mut writer, written) = (writer(), Arc::new(AtomicU64::new(0)));
        let batch = Arc::clone(writer.batch());
        let sender = thread::spawn({
            let written = Arc::clone(&written);
            move || {
                for i in 1..=2 {
                    if let Some(byte) = writer.unpublished().first_mut() {
                        *byte = i;
                    }
                    written.store(u64::from(i), Ordering::Relaxed);
                    writer.publish(1, 100 + u64::from(i)).expect("is mapped");
                }
            }
        });
        let next_offset = batch.next_offset();
        let records = batch.records().expect("the tail is open");
        assert!(next_offset - 100 <= records.len() as u64);
        assert!(records.len() as u64 <= written.load(Ordering::Relaxed));
        assert!((1..).zip(&*records).all(|(i, byte)| i == *byte));
        sender.join().unwrap();
    });
}

/// A commit covers at least what its offset says, whatever is published meanwhile.
pub fn a_commit_covers_what_it_says() {
    check(|| {
        let mut writer = writer();
        writer.publish(1, 101).expect("is mapped");
        let batch = Arc::clone(writer.batch());
        let sender = thread::spawn(move || writer.publish(1, 102).expect("is mapped"));
        let covered = batch.commit().unwrap().expect("something is not committed yet");
        assert!(batch.is_committed());
        assert!(covered - 100 <= batch.records().expect("the tail is open").len() as u64);
        batch.note_synced(covered);
        sender.join().unwrap();
        assert_eq!(batch.commit().unwrap().is_none(), covered == 102);
    });
}

/// When closing returns, whoever was in a slot has left it, and nobody comes in any more.
pub fn nobody_is_in_a_slot_of_a_closed_tail() {
    check(|| {
        let (tail, mut writer) = tail_and_writer();
        writer.publish(1, 101).expect("is mapped");
        let (batch, others) = (Arc::clone(writer.batch()), Arc::new(AtomicU64::new(0)));
        let reader = thread::spawn({
            let others = Arc::clone(&others);
            move || {
                if let Some(records) = batch.records() {
                    // What another broker may store from the moment on at which closing has returned.
                    assert_eq!(others.load(Ordering::Relaxed), 0);
                    assert!((1..=2).contains(&records.len()), "with what was sent meanwhile, or without");
                }
            }
        });
        let sender = thread::spawn(move || writer.publish(1, 102).expect("is mapped"));
        tail.close();
        others.store(1, Ordering::Relaxed);
        reader.join().unwrap();
        sender.join().unwrap();
    });
}
