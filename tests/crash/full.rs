//! A process opens a directory on a full disk, deletes a topic to make room, sends and closes, and is stopped at each of its calls.

use std::time::Duration;

use ottla::testing::{CrashModel, SimulatedDisk};
use ottla::{Broker, Durability, ProducerRecord, TopicPartition};

use crate::parallel::in_parallel;

/// Past the tail, into a segment.
const LARGE: usize = 70_000;

const KEPT: usize = 12;
const SPARED: usize = 10;

fn open(disk: &SimulatedDisk) -> ottla::Result<Broker> {
    Broker::builder("/data").disk(disk).durability(Durability::Always).background(false).open()
}

fn send(broker: &Broker, topic: &str, number: usize) -> ottla::Result<()> {
    broker.topic(topic)?;
    // Every third one past the tail.
    let bytes = if number.is_multiple_of(3) { LARGE } else { 300 };
    let value = vec![u8::try_from(number).unwrap(); bytes];
    broker.producer().send(ProducerRecord::to(topic).value(&value)).map(drop)
}

/// The numbers of a topic's records.
fn numbers(broker: &Broker, topic: &str) -> Vec<usize> {
    let partition = broker.topic(topic).unwrap().partition(0).unwrap();
    let number = |record: ottla::Result<ottla::OwnedRecord>| usize::from(record.unwrap().value().unwrap()[0]);
    partition.iter_from(0).map(number).collect()
}

/// A process that was killed: `kept` has something in segments and tail, `spared` can be deleted, and a group has read both.
fn after_kill() -> SimulatedDisk {
    let disk = SimulatedDisk::new(1);
    let broker = open(&disk).unwrap();
    (0..KEPT).for_each(|number| send(&broker, "kept", number).unwrap());
    (0..SPARED).for_each(|number| send(&broker, "spared", number).unwrap());
    let mut consumer = broker.consumer("g", ["kept", "spared"]).unwrap();
    while !consumer.poll(Duration::ZERO).unwrap().is_empty() {}
    consumer.commit().unwrap();
    disk.kill(1)
}

/// What the process was told before it was stopped.
#[derive(Debug, Clone, Copy, Default)]
struct Told {
    is_deleted: bool,
    sent: usize,
    is_closed: bool,
}

fn make_room(disk: &SimulatedDisk) -> Told {
    let mut told = Told::default();
    let Ok(broker) = open(disk) else { return told };
    told.is_deleted = broker.admin().delete_topic("spared").is_ok();
    while told.sent < 5 && send(&broker, "kept", KEPT + told.sent).is_ok() {
        told.sent += 1;
    }
    told.is_closed = broker.close().is_ok();
    told
}

fn assert_holds(disk: &SimulatedDisk, told: Told, context: &str) {
    let broker = open(disk).unwrap_or_else(|error| panic!("{context}: {error}"));
    let kept = numbers(&broker, "kept");
    assert!(kept.iter().copied().eq(0..kept.len()), "{context}: {kept:?}");
    // One more may be there than was heard of.
    assert!((KEPT + told.sent..=KEPT + told.sent + 1).contains(&kept.len()), "{context}: {} records", kept.len());
    let committed = |topic| {
        let committed = broker.committed("g", &TopicPartition::new(topic, 0)).unwrap();
        committed.map(|committed| committed.offset())
    };
    assert_eq!(committed("kept"), Some(KEPT as u64), "{context}");
    let is_there = broker.admin().list_topics().unwrap().contains(&"spared".to_owned());
    assert!(!told.is_deleted || !is_there, "{context}: what was deleted is back");
    if is_there {
        // Whole, or gone.
        assert!(numbers(&broker, "spared").into_iter().eq(0..SPARED), "{context}");
        assert_eq!(committed("spared"), Some(SPARED as u64), "{context}");
    }
    let verified = broker.admin().verify().unwrap();
    assert_eq!(verified.damage().count(), 0, "{context}: {verified:?}");
}

/// Once there is room, all can be finished.
fn assert_goes_on(disk: &SimulatedDisk, told: Told, context: &str) {
    let broker = open(disk).unwrap();
    assert_eq!(broker.recovery_report().unfinished_deletes(), [""; 0], "{context}");
    if broker.admin().list_topics().unwrap().contains(&"spared".to_owned()) {
        broker.admin().delete_topic("spared").unwrap();
    }
    assert_eq!(broker.committed("g", &TopicPartition::new("spared", 0)).unwrap(), None, "{context}");
    send(&broker, "spared", 0).unwrap();
    assert_eq!(numbers(&broker, "spared"), [0], "{context}");
    let kept = numbers(&broker, "kept").len();
    assert!(KEPT + told.sent <= kept, "{context}: {kept} records");
    send(&broker, "kept", kept).unwrap();
    broker.close().unwrap();
    let broker = open(disk).unwrap();
    assert!(broker.recovery_report().is_clean(), "{context}: {}", broker.recovery_report());
    assert_eq!(numbers(&broker, "kept").len(), kept + 1, "{context}");
}

#[test]
fn a_process_that_makes_room_on_a_full_disk_can_be_stopped_anywhere() {
    let killed = after_kill();
    let filled = || {
        let full = killed.kill(1);
        full.limit_capacity(Some(full.used_bytes()));
        full
    };
    let whole = filled();
    let told = make_room(&whole);
    assert!(told.is_deleted && told.sent == 5 && told.is_closed, "{told:?}");
    let stops: Vec<u64> = (0..=whole.calls()).collect();
    let looked_at = in_parallel(&stops, |stop| {
        let disk = filled();
        disk.stop_after(*stop);
        let told = make_room(&disk);
        let images = [disk.kill(*stop), disk.crash(*stop, CrashModel::Subset)];
        for (number, image) in images.iter().enumerate() {
            let context = format!("stopped after {stop}, image {number}, {told:?}");
            image.limit_capacity(Some(0));
            assert_holds(image, told, &context);
            image.limit_capacity(None);
            assert_goes_on(&image.kill(1), told, &context);
        }
        Ok(())
    });
    looked_at.unwrap();
}
