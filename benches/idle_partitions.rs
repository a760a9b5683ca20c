//! Does a poll cost more when the consumer has many partitions in which nothing happens? Every name says how many partitions
//! the consumer reads; all but one of them are idle. With `Durability::Os`, in the system's temporary
//! directory. Making ten thousand partitions takes some twenty seconds before the measurement.

#![allow(missing_docs, reason = "criterion's macros make functions of their own")]

use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use ottla::{Broker, Durability, ProducerRecord, TopicConfig};

const PARTITIONS: [u32; 3] = [1, 100, 10_000];

fn poll(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("poll");
    group.sample_size(20).warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_secs(1));
    group.throughput(Throughput::Elements(1));
    for count in PARTITIONS {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let broker = Broker::builder(dir.path()).durability(Durability::Os).open().expect("an empty directory");
        broker.create_topic("orders", TopicConfig::new().partitions(count)).expect("a new topic");
        let producer = broker.producer();
        let mut consumer = broker.consumer("billing", ["orders"]).expect("a group without a member");
        // The first look at a partition is not what is measured.
        assert!(consumer.poll(Duration::ZERO).expect("partitions that can be read").is_empty());
        let send = || producer.send(ProducerRecord::to("orders").partition(0).value(b"2 coffees")).expect("space");

        group.bench_function(format!("one_record/partitions={count}"), |bencher| {
            bencher.iter_custom(|times| {
                let mut total = Duration::ZERO;
                for _ in 0..times {
                    send();
                    let begin = Instant::now();
                    let records = consumer.poll(Duration::ZERO).expect("a partition that can be read");
                    total += begin.elapsed();
                    assert_eq!(records.len(), 1);
                }
                total
            });
        });
        // The partition falls asleep and is woken by the send, as when a consumer keeps up.
        group.bench_function(format!("one_record_after_none/partitions={count}"), |bencher| {
            bencher.iter_custom(|times| {
                let mut total = Duration::ZERO;
                for _ in 0..times {
                    let begin = Instant::now();
                    assert!(consumer.poll(Duration::ZERO).expect("a partition that can be read").is_empty());
                    send();
                    let records = consumer.poll(Duration::ZERO).expect("a partition that can be read");
                    total += begin.elapsed();
                    assert_eq!(records.len(), 1);
                }
                total
            });
        });
        group.bench_function(format!("nothing/partitions={count}"), |bencher| {
            bencher.iter(|| consumer.poll(Duration::ZERO).expect("partitions that can be read"));
        });
    }
}

criterion_group!(benches, poll);
criterion_main!(benches);
