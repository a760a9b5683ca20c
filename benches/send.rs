//! What does it cost to send, and what does the machine allow? Every name says durability, records per call and record size.
//!
//! A record has a key of 8 bytes and a value of 92. `limit/…` is the same payload without a log: what no log can beat here.
//! Files are in the system's temporary directory; set `TMPDIR` to measure another disk.

#![allow(missing_docs, reason = "criterion's macros make functions of their own")]
#![allow(clippy::disallowed_types, reason = "the limits are measured below the disk seam")]

use std::fs::File;
use std::hint::black_box;
use std::io::{Seek as _, Write as _};
use std::time::Duration;

use criterion::{BenchmarkGroup, Criterion, Throughput, criterion_group, criterion_main};
use ottla::{Broker, Durability, Producer, ProducerRecord};

const KEY: [u8; 8] = *b"customer";
const VALUE: [u8; 92] = [b'v'; 92];
const PAYLOAD_BYTES: usize = KEY.len() + VALUE.len();
const BATCH: usize = 1000;

/// A producer on an empty data directory, which goes away with the guard.
fn producer(durability: Durability) -> (tempfile::TempDir, Producer) {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let broker = Broker::builder(dir.path()).durability(durability).open().expect("an empty directory");
    broker.topic("orders").expect("a new topic");
    (dir, broker.producer())
}

fn record() -> ProducerRecord<'static> {
    ProducerRecord::to("orders").key(&KEY).value(&VALUE)
}

/// Short: a second of sending fills more than a gigabyte.
fn group<'c>(criterion: &'c mut Criterion, name: &str) -> BenchmarkGroup<'c, criterion::measurement::WallTime> {
    let mut group = criterion.benchmark_group(name);
    group.sample_size(20).warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_secs(1));
    group
}

fn send(criterion: &mut Criterion) {
    let mut group = group(criterion, "send");
    group.throughput(Throughput::Elements(1));
    for (name, durability) in [("os/100B", Durability::Os), ("always/100B", Durability::Always)] {
        let (_dir, producer) = producer(durability);
        group.bench_function(name, |bencher| bencher.iter(|| producer.send(record()).expect("there is space")));
    }
}

fn send_batch(criterion: &mut Criterion) {
    let mut group = group(criterion, "send_batch");
    group.throughput(Throughput::Elements(BATCH as u64));
    let records = vec![record(); BATCH];
    let (_dir, producer) = producer(Durability::Os);
    group.bench_function("os/1000x100B", |bencher| {
        bencher.iter(|| producer.send_batch("orders", &records).expect("there is space"));
    });
}

fn limit(criterion: &mut Criterion) {
    let mut group = group(criterion, "limit");
    let bulk = vec![7_u8; 64 << 10];
    let mut copy = bulk.clone();
    let page = [7_u8; 4096];
    let payload = [7_u8; PAYLOAD_BYTES];
    group.throughput(Throughput::Elements((bulk.len() / PAYLOAD_BYTES) as u64));
    group.bench_function("copy_in_memory/64KiB", |bencher| {
        bencher.iter(|| black_box(&mut copy).copy_from_slice(black_box(&bulk)));
    });
    let mut file = tempfile::tempfile().expect("a temporary file");
    group.bench_function("write/64KiB", |bencher| bencher.iter(|| file.write_all(&bulk).expect("there is space")));
    let mut file = tempfile::tempfile().expect("a temporary file");
    group.throughput(Throughput::Elements(1));
    group.bench_function("write/100B", |bencher| bencher.iter(|| file.write_all(&payload).expect("there is space")));
    let mut file = written_file(1 << 20);
    group.bench_function("overwrite_and_fdatasync/4KiB", |bencher| {
        bencher.iter(|| {
            file.rewind().expect("a file that seeks");
            file.write_all(&page).expect("written before");
            file.sync_data().expect("a disk that syncs");
        });
    });
}

/// A file whose blocks are all written, so that overwriting them changes no metadata.
fn written_file(bytes: usize) -> File {
    let mut file = tempfile::tempfile().expect("a temporary file");
    file.write_all(&vec![0; bytes]).expect("there is space");
    file.sync_all().expect("a disk that syncs");
    file
}

criterion_group!(benches, send, send_batch, limit);
criterion_main!(benches);
