//! The paths that are counted: what each does, and how often.

use std::hint::black_box;
use std::path::Path;
use std::time::Duration;

use ottla::{
    Broker, ConsumerConfig, Durability, Partition, ProducerRecord, SeekTo, Timestamp, TopicConfig, TopicPartition,
};

const TOPIC: &str = "orders";
/// 100 bytes together.
const KEY: [u8; 8] = *b"customer";
const VALUE: [u8; 92] = [b'v'; 92];
/// Records in a batch.
const BATCH: u64 = 1000;
/// In the log that is read: some 340 batches of 64 KiB.
const RECORDS: u64 = 200_000;
const SPACE: &str = "there is space";
const SOUND: &str = "a sound log";

/// One path.
pub(crate) struct CountedPath {
    pub(crate) name: &'static str,
    /// How often the shorter run does it: so often that a seal more or less changes nothing.
    pub(crate) operations: u64,
    /// Each figure is for one of these.
    pub(crate) records_per_operation: u64,
    /// The path that is a part of it, and is counted by itself: the figure is for the rest.
    pub(crate) besides: Option<&'static str>,
    /// Makes in an empty directory what is there before, without being counted.
    pub(crate) prepare: fn(&Path),
    /// Does it so many times.
    pub(crate) work: fn(&Path, u64),
}

pub(crate) const PATHS: [CountedPath; 7] = [
    path("send", 50_000, 1, make_topic, send),
    path("append", 50_000, 1, make_topic, append),
    path("record_of_a_batch", 50, BATCH, make_topic, send_batches),
    path("polled_record", 1, RECORDS, fill, scan),
    path("random_read", 20_000, 1, fill, read_at_random),
    path("durable_send", 5_000, 1, make_topic, send_durably),
    path("hand_over", 20_000, 1, make_topic, hand_over).besides("send"),
];

const fn path(
    name: &'static str,
    operations: u64,
    records_per_operation: u64,
    prepare: fn(&Path),
    work: fn(&Path, u64),
) -> CountedPath {
    CountedPath { name, operations, records_per_operation, besides: None, prepare, work }
}

impl CountedPath {
    const fn besides(self, name: &'static str) -> CountedPath {
        CountedPath { besides: Some(name), ..self }
    }
}

pub(crate) fn named(name: &str) -> Result<&'static CountedPath, String> {
    let names = PATHS.map(|path| path.name);
    PATHS.iter().find(|path| path.name == name).ok_or_else(|| format!("{name} is none of {}", names.join(", ")))
}

fn broker(dir: &Path, durability: Durability) -> Broker {
    Broker::builder(dir).durability(durability).background(false).open().expect("a directory of its own")
}

fn partition(broker: &Broker) -> Partition {
    broker.topic(TOPIC).and_then(|topic| topic.partition(0)).expect("a topic has a partition")
}

fn record() -> ProducerRecord<'static> {
    ProducerRecord::to(TOPIC).key(&KEY).value(&VALUE)
}

fn make_topic(dir: &Path) {
    let broker = broker(dir, Durability::Os);
    broker.create_topic(TOPIC, TopicConfig::new()).expect("an empty directory");
    broker.close().expect("a disk that syncs");
}

/// One record after the other, so that batches are as large as the log makes them, at times that are always the same, so that
/// the log is the same to the byte.
fn fill(dir: &Path) {
    make_topic(dir);
    let broker = broker(dir, Durability::Os);
    let producer = broker.producer();
    for _ in 0..RECORDS {
        producer.send(record().timestamp(Timestamp::from_millis(1))).expect(SPACE);
    }
    broker.close().expect("a disk that syncs");
}

fn send(dir: &Path, operations: u64) {
    let broker = broker(dir, Durability::Os);
    let producer = broker.producer();
    for _ in 0..operations {
        black_box(producer.send(record()).expect(SPACE));
    }
}

/// Where a thread does the maintenance, it syncs segments about as often as they get a batch, and gives back the slots of the
/// tail; without it, each sync would have more slots to look at than the one before.
fn send_durably(dir: &Path, operations: u64) {
    const BETWEEN_SEALS: u64 = 500;
    let broker = broker(dir, Durability::Always);
    let producer = broker.producer();
    for number in 0..operations {
        // Some 90 instructions of each send.
        if number % BETWEEN_SEALS == 0 {
            broker.run_maintenance().expect("a disk that syncs");
        }
        black_box(producer.send(record()).expect(SPACE));
    }
}

fn append(dir: &Path, operations: u64) {
    let broker = broker(dir, Durability::Os);
    let partition = partition(&broker);
    for _ in 0..operations {
        black_box(partition.append(&record()).expect(SPACE));
    }
}

fn send_batches(dir: &Path, operations: u64) {
    let broker = broker(dir, Durability::Os);
    let producer = broker.producer();
    let records: Vec<_> = (0..BATCH).map(|_| record()).collect();
    for _ in 0..operations {
        black_box(producer.send_batch(TOPIC, &records).expect(SPACE));
    }
}

/// Polls the whole log, as often as asked; the first time, its checksums are verified.
fn scan(dir: &Path, operations: u64) {
    let broker = broker(dir, Durability::Os);
    let config = ConsumerConfig::new("billing").topics([TOPIC]);
    let mut consumer = broker.consumer_with(config).expect("a group without a member");
    for _ in 0..operations {
        let mut count = 0;
        while count < RECORDS {
            let records = consumer.poll(Duration::ZERO).expect(SOUND);
            for record in &records {
                black_box(record.value());
            }
            count += records.len() as u64;
        }
        consumer.seek(&TopicPartition::new(TOPIC, 0), SeekTo::Earliest).expect("it is assigned");
    }
}

/// Sends records to a consumer that polls without waiting. One poll finds the record, and one nothing.
fn hand_over(dir: &Path, operations: u64) {
    let broker = broker(dir, Durability::Os);
    let producer = broker.producer();
    let mut consumer = broker.consumer("billing", [TOPIC]).expect("a group without a member");
    for _ in 0..operations {
        black_box(producer.send(record()).expect(SPACE));
        let records = consumer.poll(Duration::ZERO).expect(SOUND);
        black_box(records.iter().next().and_then(|record| record.value())).expect("it was sent");
        assert!(consumer.poll(Duration::ZERO).expect(SOUND).is_empty());
    }
}

/// Reads single records at places that are always the same. All were read once before, and their checksums verified.
fn read_at_random(dir: &Path, operations: u64) {
    let broker = broker(dir, Durability::Os);
    let partition = partition(&broker);
    let mut from = 0;
    while from < RECORDS {
        from = partition.read(from, 1 << 20).expect(SOUND).iter().last().expect("not the end").offset() + 1;
    }
    let mut random = 1;
    for _ in 0..operations {
        let read = partition.read(next_random(&mut random) % RECORDS, 1).expect(SOUND);
        black_box(read.iter().next().and_then(|record| record.value())).expect("every record has a value");
    }
}

/// Marsaglia's xorshift.
fn next_random(state: &mut u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state
}
