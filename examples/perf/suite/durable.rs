//! `Durability::Always`: what a send returned survives a power cut.

use std::hint::black_box;
use std::io::{Seek as _, Write as _};
use std::sync::{Condvar, Mutex};
use std::time::{Duration, Instant};

use ottla::{Durability, Producer, TopicConfig};
use tokio::runtime::Builder;
use tokio::task::JoinSet;

use super::latencies::Latencies;
use super::place::{BATCH, File, Place, SPACE, TOPIC, bytes_of, new_file, payload, record, written_file};
use super::row::{EACH, Row, Target, timed_each};
use super::sharing::by_threads;

const THREADS: u32 = 16;
const SYNCS: &str = "a disk that syncs";
/// What the log's own tail overwrites for each sync, at least.
const PAGE: [u8; 4096] = [7; 4096];

pub(crate) fn rows() -> Vec<Row> {
    vec![
        send_alone().target(Target::Times(0.95)),
        send_together("send/always/100B/16_threads/16_partitions", THREADS).target(Target::Times(2.0)),
        send_together("send/always/100B/16_threads/1_partition", 1).target(Target::Times(2.0)),
        send_as_tasks().target(Target::Times(0.5)),
        send_batch().target(Target::Times(0.6)),
    ]
}

fn send_alone() -> Row {
    Row::new("send/always/100B/1_thread", 1, payload().len(), || {
        let place = Place::with_topic(Durability::Always, TopicConfig::new());
        move |calls, latencies| {
            let producer = place.producer();
            timed_each(calls, latencies, || {
                producer.send(record()).expect(SPACE);
            })
        }
    })
    .limit("overwrite 4 KiB, fdatasync", || {
        let mut file = written_file(1 << 20);
        move |calls, latencies| {
            timed_each(calls, latencies, || {
                file.rewind().expect("a file that seeks");
                file.write_all(&PAGE).expect(SPACE);
                file.sync_data().expect(SYNCS);
            })
        }
    })
}

fn send_together(name: &str, partitions: u32) -> Row {
    Row::new(name, 1, payload().len(), move || {
        let place = Place::with_topic(Durability::Always, TopicConfig::new().partitions(partitions));
        move |calls, latencies| {
            by_threads(THREADS, EACH, calls, latencies, |thread| {
                let producer = place.producer();
                move || {
                    producer.send(record().partition(thread % partitions)).expect(SPACE);
                }
            })
        }
    })
    .limit("leader and followers, one file", || {
        let payload = payload();
        move |calls, latencies| {
            let file = SharedFile::new();
            by_threads(THREADS, EACH, calls, latencies, |_| || file.append(&payload))
        }
    })
}

/// As many tasks on one thread as there are threads beside.
fn send_as_tasks() -> Row {
    Row::new("send_async/always/100B/16_tasks/1_partition", 1, payload().len(), || {
        let place = Place::with_topic(Durability::Always, TopicConfig::new());
        move |calls, latencies| by_tasks(THREADS, calls, latencies, &place.producer())
    })
    .limit("16 threads", || {
        let place = Place::with_topic(Durability::Always, TopicConfig::new());
        move |calls, latencies| {
            by_threads(THREADS, EACH, calls, latencies, |_| {
                let producer = place.producer();
                move || {
                    producer.send(record()).expect(SPACE);
                }
            })
        }
    })
}

/// Divides `calls` among tasks of one thread, times each, and returns the time for all.
fn by_tasks(tasks: u32, calls: u64, latencies: &mut Latencies, producer: &Producer) -> Duration {
    let each = calls.div_ceil(u64::from(tasks));
    let runtime = Builder::new_current_thread().build().expect("a runtime");
    let begin = Instant::now();
    let done = runtime.block_on(async {
        let mut running = JoinSet::new();
        for _ in 0..tasks {
            let producer = producer.clone();
            running.spawn(async move {
                let mut latencies = Latencies::new();
                for _ in 0..each {
                    let called = Instant::now();
                    producer.send_async(record()).expect(SPACE).await.expect(SYNCS);
                    latencies.add(called.elapsed());
                }
                latencies
            });
        }
        running.join_all().await
    });
    let took = begin.elapsed();
    for of_task in &done {
        latencies.merge(of_task);
    }
    // As if it had been `calls`, which may not divide.
    took.mul_f64(calls as f64 / (each * u64::from(tasks)) as f64)
}

/// Group commit in its plainest form: who finds no sync under way writes and syncs what has come together, for all.
struct SharedFile {
    state: Mutex<Pending>,
    is_done: Condvar,
    file: File,
}

#[derive(Default)]
struct Pending {
    bytes: Vec<u8>,
    appended: u64,
    durable: u64,
    is_syncing: bool,
}

impl SharedFile {
    fn new() -> SharedFile {
        SharedFile { state: Mutex::default(), is_done: Condvar::new(), file: new_file() }
    }

    fn append(&self, record: &[u8]) {
        let mut state = self.state.lock().expect("nobody panics");
        state.bytes.extend_from_slice(record);
        state.appended += 1;
        let own = state.appended;
        while state.durable < own {
            if state.is_syncing {
                state = self.is_done.wait(state).expect("nobody panics");
                continue;
            }
            state.is_syncing = true;
            let (bytes, appended) = (std::mem::take(&mut state.bytes), state.appended);
            drop(state);
            (&self.file).write_all(&bytes).expect(SPACE);
            self.file.sync_data().expect(SYNCS);
            state = self.state.lock().expect("nobody panics");
            (state.durable, state.is_syncing) = (appended, false);
            self.is_done.notify_all();
        }
    }
}

fn send_batch() -> Row {
    /// Zero-filled; written from its beginning again when it ends.
    const FILE_BYTES: usize = 64 << 20;
    let records = vec![record(); BATCH];
    let bulk = bytes_of(&records);
    Row::new("send_batch/always/1000x100B", BATCH as u64, bulk.len() / BATCH, || {
        let place = Place::new(Durability::Always);
        let producer = place.producer();
        move |calls, latencies| {
            place.fresh_topic(TopicConfig::new());
            timed_each(calls, latencies, || {
                black_box(producer.send_batch(TOPIC, &records).expect(SPACE));
            })
        }
    })
    .limit("overwrite all, fdatasync", || {
        let mut file = written_file(FILE_BYTES);
        let mut written = FILE_BYTES;
        move |calls, latencies| {
            timed_each(calls, latencies, || {
                if FILE_BYTES < written + bulk.len() {
                    file.rewind().expect("a file that seeks");
                    written = 0;
                }
                file.write_all(&bulk).expect(SPACE);
                file.sync_data().expect(SYNCS);
                written += bulk.len();
            })
        }
    })
}
