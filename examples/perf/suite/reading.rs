//! Reading what is in the page cache, every byte of it.

use std::cell::LazyCell;
use std::fs;
use std::io::Read as _;
use std::path::Path;
use std::rc::Rc;
use std::time::{Duration, Instant};

use ottla::{Broker, Consumer, ConsumerConfig, Durability, SeekTo, TopicConfig, TopicPartition};

use super::latencies::Latencies;
use super::place::{File, Place, SPACE, TOPIC, VALUE, next_random, payload, record, sum_of};
use super::row::{Row, Target, timed};
use super::worker::Worker;

/// So much of a file is read at a time where it is read without a log.
const PIECE_BYTES: usize = 1 << 20;

/// Rows over a log of so many records.
pub(crate) fn rows(records: u64) -> Vec<Row> {
    vec![scan(records).target(Target::Times(0.4)), first_scan(records), random_read(records).target(Target::Times(0.3))]
}

fn filled(records: u64) -> Place {
    let place = Place::with_topic(Durability::Os, TopicConfig::new());
    let producer = place.producer();
    // One by one: batches are as large as the log makes them, not as a caller does.
    for _ in 0..records {
        producer.send(record()).expect(SPACE);
    }
    place
}

fn scan(records: u64) -> Row {
    Row::new("scan/poll/100B/warm", records, VALUE.len(), move || {
        let mut scan = Scan::new(filled(records), records);
        move |calls, _| scan.run(calls, sum_of)
    })
    .limit("sum in memory", move || {
        let bytes = vec![7_u8; VALUE.len() * to_memory(records)];
        move |calls, _| {
            let begin = Instant::now();
            for _ in 0..calls {
                sum_of(&bytes);
            }
            begin.elapsed()
        }
    })
}

/// What a new process reads first: nobody has checked anything for it, and no page is mapped yet.
fn first_scan(records: u64) -> Row {
    let dir = Rc::new(LazyCell::new(move || filled_and_closed(records)));
    let same_dir = Rc::clone(&dir);
    Row::new("scan/poll/100B/first_in_a_process", records, VALUE.len(), move || {
        move |calls, _: &mut Latencies| {
            let scanned = (0..calls).map(|_| {
                let mut worker = Worker::start(dir.path());
                worker.ask("open");
                let took = worker.ask(format_args!("scan {records}"));
                worker.ask("close");
                Duration::from_nanos(took)
            });
            scanned.sum()
        }
    })
    // Each takes a process.
    .calls_max(3)
    .limit("read the file in pieces, sum", move || {
        let mut buffer = vec![0; PIECE_BYTES];
        move |calls, latencies: &mut Latencies| {
            timed(calls, latencies, || {
                for entry in fs::read_dir(same_dir.path().join(format!("{TOPIC}-0"))).expect("the partition") {
                    let path = entry.expect("an entry").path();
                    if path.extension().is_some_and(|extension| extension == "log") {
                        read_in_pieces(&path, &mut buffer);
                    }
                }
            })
        }
    })
}

/// Looks at every byte of a file.
fn read_in_pieces(path: &Path, buffer: &mut [u8]) {
    let mut file = File::open(path).expect("it was just listed");
    loop {
        let length = file.read(buffer).expect("a disk that reads");
        if length == 0 {
            return;
        }
        sum_of(buffer.get(..length).expect("no more than it holds"));
    }
}

fn filled_and_closed(records: u64) -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let broker = Broker::builder(dir.path()).durability(Durability::Os).open().expect("an empty directory");
    broker.create_topic(TOPIC, TopicConfig::new()).expect("a new topic");
    let producer = broker.producer();
    for _ in 0..records {
        producer.send(record()).expect(SPACE);
    }
    broker.close().expect("a disk that syncs");
    dir
}

/// A consumer that reads its topic from beginning to end.
pub(crate) struct Scan {
    consumer: Consumer,
    records: u64,
    _place: Place,
}

impl Scan {
    pub(crate) fn new(place: Place, records: u64) -> Scan {
        let config = ConsumerConfig::new("scan").topics([TOPIC]).max_poll_records(10_000);
        let consumer = place.broker.consumer_with(config).expect("a group without a member");
        Scan { consumer, records, _place: place }
    }

    /// Reads everything so many times, and has `look` look at each value.
    pub(crate) fn run<T>(&mut self, calls: u64, look: impl Fn(&[u8]) -> T) -> Duration {
        let partition = TopicPartition::new(TOPIC, 0);
        let begin = Instant::now();
        for _ in 0..calls {
            let mut count = 0;
            while count < self.records {
                let polled = self.consumer.poll(Duration::ZERO).expect("a sound log");
                for record in &polled {
                    record.value().map(&look);
                }
                count += polled.len() as u64;
            }
            self.consumer.seek(&partition, SeekTo::Earliest).expect("it is assigned");
        }
        begin.elapsed()
    }
}

fn random_read(records: u64) -> Row {
    Row::new("random_read/100B/warm", 1, VALUE.len(), move || {
        let place = filled(records);
        let log = place.broker.topic(TOPIC).and_then(|topic| topic.partition(0)).expect("it was filled");
        let mut random = 1;
        move |calls, latencies| {
            let _place = &place;
            timed(calls, latencies, || {
                let offset = next_random(&mut random) % records;
                let read = log.read(offset, 1).expect("a sound log");
                let value = read.iter().next().and_then(|record| record.value());
                sum_of(value.expect("every record has a value"));
            })
        }
    })
    .limit("lookup in memory", move || {
        let size = payload().len();
        let memory = vec![7_u8; size * to_memory(records)];
        let mut random = 1;
        move |calls, latencies| {
            timed(calls, latencies, || {
                let at = to_memory(next_random(&mut random) % records) * size;
                sum_of(memory.get(at..at + VALUE.len()).expect("it was filled"));
            })
        }
    })
}

fn to_memory(count: u64) -> usize {
    usize::try_from(count).expect("it fits memory")
}
