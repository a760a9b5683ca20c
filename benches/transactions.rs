//! What does a transaction cost? In the system's temporary directory (`TMPDIR` for another disk), by turns with the limit of each:
//!
//! - `Always`, one thread: 100 records over 4 partitions and a consumer's position, in one transaction; the limit is two syncs of as many
//!   bytes, one after the other, as nobody can commit with less who decides after what is decided about is durable;
//! - the same by 16 threads, each with a name of its own, against one thread;
//! - `Os`: transactions of one record, and of 1,000 records against `send_batch` of as many.

#![allow(missing_docs, reason = "a program")]
#![allow(clippy::disallowed_types, reason = "what the disk itself allows is measured beside the crate")]
#![allow(clippy::cast_precision_loss, reason = "these are measurements, of which three digits count")]

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use ottla::{
    Broker, CommittedOffset, Consumer, ConsumerConfig, Durability, ProducerRecord, TopicConfig, TopicPartition,
};

const VALUE: [u8; 100] = [7; 100];
const PARTITIONS: u32 = 4;
const RECORDS: u32 = 100;
const THREADS: usize = 16;

/// Calls `work` for this time, and returns how often it did a second.
fn rate(time: Duration, mut work: impl FnMut()) -> f64 {
    let (begin, mut count) = (Instant::now(), 0_u32);
    while begin.elapsed() < time {
        work();
        count += 1;
    }
    f64::from(count) / begin.elapsed().as_secs_f64()
}

fn open(dir: &Path, durability: Durability) -> Broker {
    let broker = Broker::builder(dir).durability(durability).open().expect("an empty directory");
    broker.create_topic("in", TopicConfig::new().partitions(16)).expect("a new topic");
    broker.create_topic("out", TopicConfig::new().partitions(PARTITIONS)).expect("a new topic");
    for partition in 0..16 {
        let record = ProducerRecord::to("in").partition(partition).value(&VALUE);
        broker.producer().send(record).expect("room");
    }
    broker
}

/// A consumer of one partition, whose position is committed again and again.
fn consumer(broker: &Broker, worker: usize) -> (Consumer, TopicPartition) {
    let partition = TopicPartition::new("in", u32::try_from(worker).expect("a few"));
    let mut consumer = broker.consumer_with(ConsumerConfig::new(format!("g{worker}"))).expect("a group");
    consumer.assign(std::slice::from_ref(&partition)).expect("a partition");
    (consumer, partition)
}

/// Transactions a second of one worker: records over all partitions, and a position.
fn consume_transform_produce(broker: &Broker, worker: usize, time: Duration) -> f64 {
    let (consumer, partition) = consumer(broker, worker);
    let mut producer = broker.transactional_producer(&format!("p{worker}")).expect("a name");
    rate(time, || {
        let transaction = producer.begin().expect("begin");
        for number in 0..RECORDS {
            let record = ProducerRecord::to("out").partition(number % PARTITIONS).value(&VALUE);
            transaction.send(record).expect("room");
        }
        let done = [(partition.clone(), CommittedOffset::new(1))];
        transaction.send_these_offsets(&consumer, &done).expect("the group's");
        transaction.commit().expect("commit");
    })
}

/// Syncs a second, each after as many bytes as half a transaction writes.
fn syncs(dir: &Path, time: Duration) -> f64 {
    let file = File::create(dir.join("limit")).expect("a file");
    let bytes = vec![7; 12 << 10];
    file.write_all_at(&vec![0; 1 << 20], 0).expect("room");
    file.sync_all().expect("sync");
    rate(time, || {
        file.write_all_at(&bytes, 0).expect("room");
        file.sync_data().expect("sync");
    })
}

fn durable(time: Duration, turns: usize) {
    let (mut of_limit, mut of_one) = (Vec::new(), Vec::new());
    for turn in 0..turns {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let limit = syncs(dir.path(), time);
        let broker = open(&dir.path().join("data"), Durability::Always);
        let one = consume_transform_produce(&broker, 0, time);
        let many: f64 = thread::scope(|scope| {
            let spawn = |worker| {
                let broker = &broker;
                scope.spawn(move || consume_transform_produce(broker, worker, time))
            };
            let workers: Vec<_> = (0..THREADS).map(spawn).collect();
            workers.into_iter().map(|worker| worker.join().expect("no panic")).sum()
        });
        println!("turn {turn}: {limit:.0} syncs/s, {one:.0} transactions/s by one thread, {many:.0} by {THREADS}");
        of_limit.push(one / limit);
        of_one.push(many / one);
    }
    println!(
        "Always, one thread: {:.2} of one sync each; {THREADS} threads: {:.1} times one",
        median(of_limit),
        median(of_one)
    );
}

fn relaxed(time: Duration, turns: usize) {
    let (mut singles, mut of_batches) = (Vec::new(), Vec::new());
    for turn in 0..turns {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let broker = open(&dir.path().join("data"), Durability::Os);
        let mut producer = broker.transactional_producer("p").expect("a name");
        let single = rate(time, || {
            let transaction = producer.begin().expect("begin");
            transaction.send(ProducerRecord::to("out").partition(0).value(&VALUE)).expect("room");
            transaction.commit().expect("commit");
        });
        let batch: Vec<_> = (0..1000).map(|_| ProducerRecord::to("out").partition(1).value(&VALUE)).collect();
        let in_transactions = rate(time, || {
            let transaction = producer.begin().expect("begin");
            transaction.send_batch("out", &batch).expect("room");
            transaction.commit().expect("commit");
        });
        let plain = broker.producer();
        let plainly = rate(time, || _ = plain.send_batch("out", &batch).expect("room"));
        println!(
            "turn {turn}: {single:.0} transactions/s of one record; of 1000, {:.2} million records/s, {:.2} by send_batch",
            in_transactions / 1e3,
            plainly / 1e3
        );
        singles.push(single);
        of_batches.push(in_transactions / plainly);
    }
    println!(
        "Os: {:.0} transactions/s of one record; of 1000, {:.2} of send_batch",
        median(singles),
        median(of_batches)
    );
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied().unwrap_or_default()
}

fn main() {
    let is_measured = std::env::args().any(|argument| argument == "--bench");
    let (turns, time) = if is_measured { (5, Duration::from_secs(2)) } else { (1, Duration::from_millis(20)) };
    durable(time, turns);
    relaxed(time, turns);
}
