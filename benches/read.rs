//! What does it cost to read what is in the page cache, and what does the machine allow? Names say how, size and state.
//!
//! 1,000,000 records with a key of 8 bytes and a value of 92. Every record's bytes are looked at, not only counted.

#![allow(missing_docs, reason = "criterion's macros make functions of their own")]

use std::hint::black_box;
use std::time::Duration;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use ottla::{Broker, ConsumerConfig, Durability, SeekTo, TopicPartition};

const RECORDS: u64 = 1_000_000;
const KEY: [u8; 8] = *b"customer";
const VALUE: [u8; 92] = [b'v'; 92];

/// A broker with `RECORDS` records in the one partition of `orders`.
fn filled() -> (tempfile::TempDir, Broker) {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let broker = Broker::builder(dir.path()).durability(Durability::Os).open().expect("an empty directory");
    let topic = broker.topic("orders").expect("a new topic");
    for _ in 0..RECORDS {
        topic.produce(KEY, VALUE).expect("there is space");
    }
    (dir, broker)
}

fn read(criterion: &mut Criterion) {
    let (_dir, broker) = filled();
    let partition = TopicPartition::new("orders", 0);
    let config = ConsumerConfig::new("bench").topics(["orders"]).max_poll_records(10_000);
    let mut consumer = broker.consumer_with(config).expect("a new group");

    let mut group = criterion.benchmark_group("scan");
    group.sample_size(10).warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_secs(2));
    group.throughput(Throughput::Elements(RECORDS));
    group.bench_function("poll/100B/warm", |bencher| {
        bencher.iter(|| {
            consumer.seek(&partition, SeekTo::Earliest).expect("assigned");
            let (mut count, mut sum) = (0, 0);
            while count < RECORDS {
                for record in &consumer.poll(Duration::ZERO).expect("a sound log") {
                    count += 1;
                    sum += record.value().map_or(0, sum_of);
                }
            }
            sum
        });
    });
    let bytes = vec![7_u8; 100 << 20];
    group.throughput(Throughput::Elements(bytes.len() as u64 / 100));
    group.bench_function("limit/sum_in_memory/100MiB", |bencher| bencher.iter(|| sum_of(black_box(&bytes))));
    group.finish();

    let mut group = criterion.benchmark_group("random_read");
    group.sample_size(20).warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_secs(1));
    group.throughput(Throughput::Elements(1));
    let log = broker.topic("orders").and_then(|topic| topic.partition(0)).expect("there since `filled`");
    let mut state = 1_u64;
    group.bench_function("100B/warm", |bencher| {
        bencher.iter_batched(
            || next_random(&mut state) % RECORDS,
            |offset| log.read(offset, 1).expect("a sound log").iter().next().map(|record| record.value().map(sum_of)),
            BatchSize::SmallInput,
        );
    });
    group.finish();
}

fn sum_of(bytes: &[u8]) -> u64 {
    bytes.iter().map(|byte| u64::from(*byte)).sum()
}

/// Marsaglia's xorshift: the same places in every run.
fn next_random(state: &mut u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state
}

criterion_group!(benches, read);
criterion_main!(benches);
