//! The thread that seals full batches, beside whoever sends, reads, syncs, deletes and closes.

use std::time::Duration;

use ottla::testing::{CrashModel, SimulatedDisk};
use ottla::{Broker, ConsumerConfig, Durability, Error, Partition, TopicConfig, TopicPartition};
use shuttle::thread;

use crate::explore::{
    after_power_cut, builder, compacted, explore, join, read_all, record, small_segments, spawn_reader, text, values,
};

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
        let reader = spawn_reader(&partition, &sent);
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

/// Transactions whose batches are on their way into segments: a reader sees whole ones, and none that was aborted.
#[test]
fn transactions_and_a_reader() {
    explore(|| {
        let disk = SimulatedDisk::new(1);
        let broker = open(&disk, Durability::Os);
        let partition = partition(&broker, small_segments().segment_bytes(16 << 10));
        let sender = thread::spawn({
            let broker = broker.clone();
            move || {
                let mut producer = broker.transactional_producer("p").unwrap();
                for (number, commits) in [(0, true), (1, false), (2, true)] {
                    let transaction = producer.begin().unwrap();
                    for _ in 0..4 {
                        transaction.send(record(&large(number))).unwrap();
                    }
                    if commits { transaction.commit().unwrap() } else { transaction.abort().unwrap() }
                }
            }
        });
        let committed: Vec<_> = [0, 2].iter().flat_map(|number| [*number; 4]).map(large).collect();
        let read = |broker: &Broker| {
            let mut reader = broker.consumer_with(ConsumerConfig::new("look")).unwrap();
            reader.assign(&[TopicPartition::new("t", 0)]).unwrap();
            let mut seen = Vec::new();
            let end = partition.last_stable_offset();
            while reader.position(&TopicPartition::new("t", 0)).unwrap_or_default() < end {
                seen.extend(values(&reader.poll(Duration::ZERO).unwrap()));
            }
            assert!(seen == committed[..seen.len()] && seen.len().is_multiple_of(4), "{}", seen.len());
            seen.len()
        };
        read(&broker);
        sender.join().unwrap();
        assert_eq!(read(&broker), 8);
        broker.close().unwrap();
        let broker = open(&disk, Durability::Os);
        assert_eq!(broker.recovery_report().aborted_transactions(), 0);
    });
}

/// Segments are compacted while batches are on their way into others: of each key the newest record stays, and every offset once.
#[test]
fn a_compaction() {
    explore(|| {
        let disk = SimulatedDisk::new(1);
        let broker = open(&disk, Durability::Os);
        let partition = partition(&broker, compacted());
        let append = |partition: &Partition, number: usize| {
            partition.append(&record(&large(number)).key(if number % 2 == 0 { "even" } else { "odd" })).unwrap();
        };
        (0..4).for_each(|number| append(&partition, number));
        let sender = thread::spawn({
            let partition = partition.clone();
            move || (4..12).for_each(|number| append(&partition, number))
        });
        broker.admin().compact("t").unwrap();
        sender.join().unwrap();
        let check = |partition: &Partition| {
            let read: Vec<_> = partition.iter_from(0).map(Result::unwrap).collect();
            assert!(read.windows(2).all(|pair| pair[0].offset() < pair[1].offset()));
            assert!(read.iter().all(|record| text(record.value()) == large(record.offset() as usize)));
            assert!(
                read.iter().map(|record| record.offset()).filter(|offset| 4 <= *offset).eq(4..12) || read.len() < 12
            );
            assert_eq!(read.iter().rev().take(2).map(|record| record.offset()).collect::<Vec<_>>(), [11, 10]);
        };
        check(&partition);
        broker.close().unwrap();
        check(&open(&disk, Durability::Os).topic("t").unwrap().partition(0).unwrap());
    });
}

/// Settings that are altered while a segment is being begun hold for that, too.
#[test]
fn settings_are_altered() {
    explore(|| {
        let disk = SimulatedDisk::new(1);
        let broker = open(&disk, Durability::Os);
        let partition = partition(&broker, TopicConfig::new());
        let sender = thread::spawn({
            let partition = partition.clone();
            move || send(&partition, &larges(12))
        });
        broker.admin().alter_topic("t", |config| config.segment_bytes(1024)).unwrap();
        sender.join().unwrap();
        // It goes around the tail, behind all that is there.
        let append = || {
            partition.append(&record(&"x".repeat(9000))).unwrap();
            broker.admin().describe("t").unwrap().partitions()[0].segment_count()
        };
        let before = append();
        assert_eq!(append(), before + 1);
    });
}
