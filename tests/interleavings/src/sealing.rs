//! The thread that seals full batches, beside whoever sends, reads, syncs, deletes and closes.

use ottla::testing::{CrashModel, SimulatedDisk};
use ottla::{Broker, Durability, Error, Partition, TopicConfig};
use shuttle::thread;

use crate::explore::{after_power_cut, builder, explore, join, read_all, record, small_segments};

/// Three of them fill a slot.
fn large(number: usize) -> String {
    format!("{number}{}", "x".repeat(2000))
}

fn larges(count: usize) -> Vec<String> {
    (0..count).map(large).collect()
}

fn open(disk: &SimulatedDisk, durability: Durability) -> Broker {
    builder(disk, durability).background(true).open().unwrap()
}

fn partition(broker: &Broker, config: TopicConfig) -> Partition {
    broker.create_topic("t", config).unwrap().partition(0).unwrap()
}

/// Sends until all is sent or the log is closed; how many records there are.
fn send(partition: &Partition, values: &[String]) -> usize {
    let is_sent = |value: &&String| match partition.append(&record(value)) {
        Ok(_) => true,
        Err(Error::Closed { .. }) => false,
        Err(error) => panic!("{error}"),
    };
    values.iter().take_while(is_sent).count()
}

/// A reader sees a prefix each time, wherever batches are on their way into segments, and the broker closes with all of them there.
#[test]
fn a_sender_and_a_reader() {
    explore(|| {
        let disk = SimulatedDisk::new(1);
        let broker = open(&disk, Durability::Os);
        let (partition, sent) = (partition(&broker, small_segments().segment_bytes(16 << 10)), larges(8));
        let sender = thread::spawn({
            let (partition, sent) = (partition.clone(), sent.clone());
            move || assert_eq!(send(&partition, &sent), sent.len())
        });
        let reader = thread::spawn({
            let (partition, sent) = (partition.clone(), sent.clone());
            move || {
                let mut seen = 0;
                while seen < sent.len() {
                    let read = read_all(&partition);
                    assert!(read == sent[..read.len()] && seen <= read.len());
                    seen = read.len();
                    thread::yield_now();
                }
            }
        });
        join([sender, reader]);
        broker.close().unwrap();
        let broker = open(&disk, Durability::Os);
        assert!(broker.recovery_report().is_clean());
        assert_eq!(read_all(&broker.topic("t").unwrap().partition(0).unwrap()), sent);
    });
}

/// What is acknowledged as durable is so while its batch waits for the thread, is on its way, and is in the segment.
#[test]
fn durable_sends_and_a_power_cut() {
    explore(|| {
        let disk = SimulatedDisk::new(1);
        let broker = open(&disk, Durability::Always);
        let partition = partition(&broker, TopicConfig::new());
        let senders = [0, 1].map(|sender| {
            let (partition, disk) = (partition.clone(), disk.clone());
            thread::spawn(move || {
                let sent: Vec<_> = larges(4).into_iter().map(|value| format!("{sender}{value}")).collect();
                for value in &sent {
                    partition.append(&record(value)).unwrap();
                }
                (sender, sent, disk.crash(sender, CrashModel::Subset))
            })
        });
        for (sender, sent, image) in join(senders) {
            let mut kept = after_power_cut(&image);
            kept.retain(|value| value.starts_with(&sender.to_string()) && value.len() == sent[0].len());
            assert_eq!(kept, sent);
        }
    });
}

/// A topic that is deleted takes its full batches with it, and the next one of its name has none of them.
#[test]
fn a_topic_is_deleted() {
    explore(|| {
        let disk = SimulatedDisk::new(1);
        let broker = open(&disk, Durability::Os);
        let deleted = partition(&broker, TopicConfig::new());
        let sender = thread::spawn(move || send(&deleted, &larges(8)));
        broker.admin().delete_topic("t").unwrap();
        let next = partition(&broker, TopicConfig::new());
        next.append(&record("next")).unwrap();
        sender.join().unwrap();
        assert_eq!(read_all(&next), ["next"]);
        broker.close().unwrap();
        let next = open(&disk, Durability::Os).topic("t").unwrap().partition(0).unwrap();
        assert_eq!(read_all(&next), ["next"]);
    });
}

/// Closing beside a sender: what was sent is there at reopening.
#[test]
fn a_broker_is_closed() {
    explore(|| {
        let disk = SimulatedDisk::new(1);
        let broker = open(&disk, Durability::Os);
        let partition = partition(&broker, TopicConfig::new());
        let sender = thread::spawn(move || send(&partition, &larges(8)));
        broker.close().unwrap();
        let sent = sender.join().unwrap();
        let broker = open(&disk, Durability::Os);
        assert!(broker.recovery_report().is_clean());
        assert_eq!(read_all(&broker.topic("t").unwrap().partition(0).unwrap()), larges(8)[..sent]);
    });
}

/// Records are deleted, and all is flushed, while batches are on their way into segments.
#[test]
fn records_are_deleted_and_flushed() {
    explore(|| {
        let disk = SimulatedDisk::new(1);
        let broker = open(&disk, Durability::Os);
        let partition = partition(&broker, small_segments());
        partition.append(&record(&large(0))).unwrap();
        let sender = thread::spawn({
            let partition = partition.clone();
            move || (1..8).for_each(|number| _ = partition.append(&record(&large(number))).unwrap())
        });
        let flusher = thread::spawn({
            let broker = broker.clone();
            move || broker.flush().unwrap()
        });
        let end = partition.log_end_offset();
        broker.admin().delete_records(&[(partition.topic_partition().clone(), end)]).unwrap();
        join([sender, flusher]);
        assert_eq!(partition.log_start_offset(), end);
        let left: Vec<_> = partition.iter_from(end).map(|record| record.unwrap().offset()).collect();
        assert!(left.into_iter().eq(end..8));
    });
}
