//! Many partitions with few open files, and what a log takes of memory and disk.

use std::cell::{LazyCell, RefCell};
use std::rc::Rc;
use std::time::{Duration, Instant};

use ottla::{Broker, Durability, ProducerRecord, TopicConfig};

use super::latencies::Latencies;
use super::place::{SPACE, TOPIC, VALUE, bytes_below, payload, record};
use super::row::{Figure, Row, Target};
use super::worker::Worker;

/// Records for each partition at a time: enough to seal a slot of 4 KiB twice. All partitions seal in the same turns, and fewer
/// records would be those between two such turns, or not, by chance.
const RECORDS_EACH: u64 = 42;

/// A process with few open files, and a topic of many partitions.
struct ManyPartitions {
    // Before the directory, so that the process is gone when that goes.
    worker: Worker,
    partitions: u32,
    resident_before: u64,
    anonymous_before: u64,
    _dir: tempfile::TempDir,
}

impl ManyPartitions {
    /// Each of them has been sent to.
    fn new(partitions: u32) -> ManyPartitions {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let mut worker = Worker::start(dir.path());
        worker.ask("open");
        let (resident_before, anonymous_before) = (worker.ask("resident"), worker.ask("anonymous"));
        worker.ask(format_args!("partitions {partitions}"));
        worker.ask(format_args!("send {partitions}"));
        ManyPartitions { worker, partitions, resident_before, anonymous_before, _dir: dir }
    }

    fn each(&self, bytes: u64, before: u64) -> f64 {
        bytes.saturating_sub(before) as f64 / f64::from(self.partitions)
    }
}

/// Sending to many partitions in turn, and what they take.
pub(crate) fn many(partitions: u32) -> (Row, Vec<Figure>) {
    // One for all, as it takes long to make.
    let many = Rc::new(LazyCell::new(move || RefCell::new(ManyPartitions::new(partitions))));
    let name = |what| format!("partitions/{partitions}/{what}");
    let row = {
        let many = Rc::clone(&many);
        Row::new(name("send/os/100B"), 1, payload().len(), move || {
            move |calls: u64, _: &mut Latencies| {
                let sent = calls.next_multiple_of(u64::from(partitions) * RECORDS_EACH);
                let took = Duration::from_nanos(many.borrow_mut().worker.ask(format_args!("send {sent}")));
                took.mul_f64(calls as f64 / sent as f64)
            }
        })
    };
    let resident = {
        let many = Rc::clone(&many);
        move || {
            let mut many = many.borrow_mut();
            let bytes = many.worker.ask("resident");
            many.each(bytes, many.resident_before)
        }
    };
    let anonymous = {
        let many = Rc::clone(&many);
        move || {
            let mut many = many.borrow_mut();
            let bytes = many.worker.ask("anonymous");
            many.each(bytes, many.anonymous_before)
        }
    };
    let open = move || {
        let mut many = many.borrow_mut();
        many.worker.ask("close");
        Duration::from_nanos(many.worker.ask("open")).as_secs_f64() * 1e3
    };
    let figures = vec![
        Figure::new(name("memory_each"), "B", resident).at_most(4096.0),
        Figure::new(name("memory_each/without_mapped_files"), "B", anonymous),
        Figure::new(name("open"), "ms", open).at_most(500.0),
    ];
    (row.target(Target::Rate(1e6)), figures)
}

/// How long a topic of so many partitions takes to be made in an empty directory, and to be closed with a record in each, all
/// durable. The sends are not in it.
pub(crate) fn new_and_closed(partitions: u32) -> [Figure; 2] {
    let name = |what| format!("partitions/{partitions}/always/{what}");
    let created = Figure::new(name("create"), "ms", move || create_send_close(partitions)[0]);
    let closed = Figure::new(name("close"), "ms", move || create_send_close(partitions)[2]);
    [created.at_most(200.0), closed.at_most(250.0)]
}

/// What each of the three took, in ms.
fn create_send_close(partitions: u32) -> [f64; 3] {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let broker = Broker::open(dir.path()).expect("an empty directory");
    let mut begin = Instant::now();
    let mut lap = || std::mem::replace(&mut begin, Instant::now()).elapsed().as_secs_f64() * 1e3;
    broker.create_topic(TOPIC, TopicConfig::new().partitions(partitions)).expect("a new topic");
    let created = lap();
    let producer = broker.producer();
    (0..partitions).for_each(|number| drop(producer.send(record().partition(number)).expect(SPACE)));
    let sent = lap();
    drop(producer);
    broker.close().expect("a disk that syncs");
    [created, sent, lap()]
}

/// Memory that writing `records` adds to a process.
pub(crate) fn memory_while_writing(records: u64) -> Figure {
    let measure = move || {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let mut worker = Worker::start(dir.path());
        let before = worker.ask("resident");
        worker.ask("open");
        worker.ask("partitions 1");
        let mut most = 0;
        for _ in 0..10 {
            worker.ask(format_args!("send {}", records / 10));
            most = most.max(worker.ask("resident"));
        }
        most.saturating_sub(before) as f64 / f64::from(1 << 20)
    };
    Figure::new("memory/while_writing", "MiB", measure).at_most(8.0)
}

/// Bytes of the partition's files for each byte of the values. What is there once for a whole broker is not in it.
pub(crate) fn bytes_on_disk(records: u64) -> Figure {
    let measure = move || {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let broker = Broker::builder(dir.path()).durability(Durability::Os).open().expect("an empty directory");
        broker.create_topic(TOPIC, TopicConfig::new()).expect("a new topic");
        let producer = broker.producer();
        for _ in 0..records {
            producer.send(ProducerRecord::to(TOPIC).value(&VALUE)).expect(SPACE);
        }
        broker.close().expect("a disk that syncs");
        let on_disk = bytes_below(&dir.path().join(format!("{TOPIC}-0"))).expect("a directory of files");
        on_disk as f64 / (records * VALUE.len() as u64) as f64
    };
    Figure::new("disk/bytes_per_payload_byte/100B", "B", measure).at_most(1.12)
}
