//! Opening a data directory: after a clean close, and after `kill -9`.

use std::cell::LazyCell;
use std::path::Path;
use std::rc::Rc;
use std::time::{Duration, Instant};

use ottla::{Broker, Durability, TopicConfig};

use super::latencies::Latencies;
use super::place::{BATCH, SPACE, TOPIC, bytes_below, large_record};
use super::row::{Row, Target};
use super::worker::Worker;

const PARTITIONS: u32 = 4;
/// Records of 100 bytes that a killed process had sent since it opened the directory.
const RECORDS_BEFORE_KILL: u64 = 200_000;

/// Rows over a directory of so many bytes.
pub(crate) fn rows(bytes: u64) -> Vec<Row> {
    let millis = |millis| Target::Latency(Duration::from_millis(millis));
    vec![after_close(bytes).target(millis(2)), after_kill(bytes).target(millis(10))]
}

fn after_close(bytes: u64) -> Row {
    let dir = Rc::new(LazyCell::new(move || filled(bytes)));
    let same_dir = Rc::clone(&dir);
    Row::new(format!("open/after_close/{}MiB", bytes >> 20), 1, 0, move || {
        move |calls, latencies: &mut Latencies| timed_openings(calls, latencies, || (), || open(dir.path()))
    })
    // Closing syncs, and so takes much longer.
    .calls_max(10)
    .limit("list the files", move || {
        let list = move || bytes_below(same_dir.path()).expect("a directory of files");
        move |calls, latencies: &mut Latencies| timed_openings(calls, latencies, || (), &list)
    })
}

fn after_kill(bytes: u64) -> Row {
    Row::new(format!("open/after_kill/{}MiB", bytes >> 20), 1, 0, move || {
        let dir = filled(bytes);
        move |calls, latencies: &mut Latencies| {
            timed_openings(calls, latencies, || be_killed(dir.path()), || open(dir.path()))
        }
    })
    // Each takes a process and its death.
    .calls_max(2)
}

pub(crate) fn filled(bytes: u64) -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let broker = open(dir.path());
    broker.create_topic(TOPIC, TopicConfig::new().partitions(PARTITIONS)).expect("a new topic");
    let producer = broker.producer();
    let size = BATCH as u64 * 1032;
    for number in 0..bytes.div_ceil(size) {
        let partition = u32::try_from(number % u64::from(PARTITIONS)).expect("one of a few");
        producer.send_batch(TOPIC, &vec![large_record().partition(partition); BATCH]).expect(SPACE);
    }
    broker.close().expect("a disk that syncs");
    dir
}

fn open(dir: &Path) -> Broker {
    Broker::builder(dir).durability(Durability::Os).open().expect("it can be opened")
}

fn be_killed(dir: &Path) {
    let mut worker = Worker::start(dir);
    worker.ask("open");
    worker.ask(format_args!("send {RECORDS_BEFORE_KILL}"));
    drop(worker);
}

/// Times opening alone: neither what comes before, nor closing, which syncs.
fn timed_openings<Opened>(
    calls: u64,
    latencies: &mut Latencies,
    prepare: impl Fn(),
    open: impl Fn() -> Opened,
) -> Duration {
    let mut total = Duration::ZERO;
    for _ in 0..calls {
        prepare();
        let begin = Instant::now();
        let opened = open();
        let took = begin.elapsed();
        drop(opened);
        latencies.add(took);
        total += took;
    }
    total
}
