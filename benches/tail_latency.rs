//! How long is a record under way from a producer thread to a consumer that waits in `poll`, and how long would the machine
//! itself take to wake that thread?
//!
//! *Hand-over*: the consumer sleeps; one record is sent, and the time runs until the consumer has it. It is measured in turns
//! with bare mutexes and condvars, so that all have the same machine. How long it takes depends on what that does: a core that
//! is idle wakes up slowly, one that runs other threads has other things in its cache.
//!
//! *Open loop*: records are sent by a timetable, and the time runs from the moment in which a record was **due**. A producer
//! that was held up sends late and still counts from then, so nothing hides in what was not sent (coordinated omission).
//!
//! `cargo bench --bench tail_latency`; `OTTLA_BENCH_SECONDS=30` makes each measurement that long instead of one second. Files are
//! in the system's temporary directory, with `Durability::Os`. Two cores should have nothing else to do.

mod common;

use std::collections::VecDeque;
use std::hint;
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use common::suite::latencies::Latencies;
use common::suite::waiting::{END, HandOver};
use ottla::{Broker, Consumer, Durability, Producer, ProducerRecord};

/// Longer than any measurement: a consumer that was not woken ends the benchmark.
const FOREVER: Duration = Duration::from_secs(60);

/// Appends the messages that are there, waiting for the first, and returns when it had them.
type Receive = Box<dyn FnMut(&mut Vec<u64>) -> Instant + Send>;

/// A way from one thread to another for numbers.
trait Channel: Send + Sync {
    fn send(&self, message: u64);
    fn receiver(&self) -> Receive;
}

/// What `std` offers for waking a thread, and nothing else.
#[derive(Default)]
struct StdCondvar(Arc<(Mutex<VecDeque<u64>>, Condvar)>);

impl Channel for StdCondvar {
    fn send(&self, message: u64) {
        self.0.0.lock().expect("nobody panics").push_back(message);
        self.0.1.notify_one();
    }

    fn receiver(&self) -> Receive {
        let shared = Arc::clone(&self.0);
        Box::new(move |messages| {
            let mut queue = shared.0.lock().expect("nobody panics");
            while queue.is_empty() {
                queue = shared.1.wait(queue).expect("nobody panics");
            }
            messages.extend(queue.drain(..));
            Instant::now()
        })
    }
}

/// The same with `parking_lot`, which the crate uses.
#[derive(Default)]
struct ParkingLotCondvar(Arc<(parking_lot::Mutex<VecDeque<u64>>, parking_lot::Condvar)>);

impl Channel for ParkingLotCondvar {
    fn send(&self, message: u64) {
        self.0.0.lock().push_back(message);
        self.0.1.notify_one();
    }

    fn receiver(&self) -> Receive {
        let shared = Arc::clone(&self.0);
        Box::new(move |messages| {
            let mut queue = shared.0.lock();
            while queue.is_empty() {
                shared.1.wait(&mut queue);
            }
            messages.extend(queue.drain(..));
            Instant::now()
        })
    }
}

/// A topic of one partition.
struct Topic {
    broker: Broker,
    producer: Producer,
    _dir: tempfile::TempDir,
}

impl Topic {
    fn new() -> Topic {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let broker = Broker::builder(dir.path()).durability(Durability::Os).open().expect("an empty directory");
        broker.topic("orders").expect("a new topic");
        Topic { producer: broker.producer(), broker, _dir: dir }
    }

    fn receive(consumer: &mut Consumer, messages: &mut Vec<u64>) -> Instant {
        let records = consumer.poll(FOREVER).expect("a topic that can be read");
        assert!(!records.is_empty(), "the consumer was not woken");
        messages.extend(records.iter().map(|record| {
            let value = record.value().and_then(|value| value.try_into().ok()).expect("a number");
            u64::from_be_bytes(value)
        }));
        Instant::now()
    }
}

impl Channel for Topic {
    fn send(&self, message: u64) {
        let value = message.to_be_bytes();
        self.producer.send(ProducerRecord::to("orders").key(b"customer").value(&value)).expect("there is space");
    }

    fn receiver(&self) -> Receive {
        let mut consumer = self.broker.consumer("billing", ["orders"]).expect("a group without a member");
        Box::new(move |messages| Topic::receive(&mut consumer, messages))
    }
}

fn channels() -> [(&'static str, Box<dyn Channel>); 3] {
    [
        ("std condvar", Box::new(StdCondvar::default())),
        ("parking_lot condvar", Box::new(ParkingLotCondvar::default())),
        ("send and poll", Box::new(Topic::new())),
    ]
}

/// Latencies from sending to a consumer that sleeps, by channel, one message each in turns.
fn hand_over(length: Duration) -> Vec<(&'static str, Latencies)> {
    let mut sides = [
        ("std condvar", HandOver::through_condvar(), Latencies::new()),
        ("parking_lot condvar", through_parking_lot(), Latencies::new()),
        ("send and poll", HandOver::through_poll(Duration::ZERO), Latencies::new()),
    ];
    let begin = Instant::now();
    while begin.elapsed() < length {
        for (_, side, latencies) in &mut sides {
            side.run(1, latencies);
        }
    }
    sides.into_iter().map(|(name, _, latencies)| (name, latencies)).collect()
}

/// With what the crate itself uses.
fn through_parking_lot() -> HandOver {
    let shared = Arc::new((parking_lot::Mutex::new(None), parking_lot::Condvar::new()));
    let other = Arc::clone(&shared);
    let send = move |message| {
        *shared.0.lock() = Some(message);
        shared.1.notify_one();
    };
    let receive = move || {
        let mut message = other.0.lock();
        while message.is_none() {
            other.1.wait(&mut message);
        }
        message.take().unwrap_or(END)
    };
    HandOver::new(send, receive)
}

/// Latencies from when each message was due.
fn open_loop(channel: &dyn Channel, per_second: u64, length: Duration) -> Latencies {
    let mut receive = channel.receiver();
    let begin = Instant::now();
    thread::scope(|scope| {
        let receiving = scope.spawn(move || {
            let (mut latencies, mut messages) = (Latencies::new(), Vec::new());
            while messages.last() != Some(&END) {
                messages.clear();
                let now = nanos(receive(&mut messages) - begin);
                for due in messages.iter().filter(|due| **due != END) {
                    latencies.add(Duration::from_nanos(now - due));
                }
            }
            latencies
        });
        let gap = 1_000_000_000 / per_second;
        let mut due = nanos(begin.elapsed());
        while due < nanos(length) {
            // Keeps the core, as a system call would add a delay of its own.
            while nanos(begin.elapsed()) < due {
                hint::spin_loop();
            }
            channel.send(due);
            due += gap;
        }
        channel.send(END);
        receiving.join().expect("the consumer was woken each time")
    })
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).expect("less than 500 years")
}

/// Prints a line of the table and returns the median.
fn print(what: &str, latencies: &Latencies) -> Duration {
    let [median, p99, p999] = [0.5, 0.99, 0.999].map(|share| latencies.quantile(share));
    let (count, most) = (latencies.count(), latencies.most());
    println!("{what:<34} {count:>8} {median:>11.2?} {p99:>11.2?} {p999:>11.2?} {most:>11.2?}");
    median
}

fn main() {
    // Without `--bench` this is `cargo test`, which only wants to see it run.
    let seconds = std::env::var("OTTLA_BENCH_SECONDS").ok().and_then(|seconds| seconds.parse().ok());
    let is_bench = std::env::args().any(|argument| argument == "--bench");
    let length = if is_bench { Duration::from_secs(seconds.unwrap_or(1)) } else { Duration::from_millis(10) };
    println!("{:<34} {:>8} {:>11} {:>11} {:>11} {:>11}", "", "count", "p50", "p99", "p99.9", "most");
    let medians: Vec<_> = hand_over(length * 3)
        .into_iter()
        .map(|(name, latencies)| print(&format!("hand-over/{name}"), &latencies))
        .collect();
    for per_second in [1000, 10_000, 100_000] {
        for (name, channel) in channels() {
            let latencies = open_loop(&*channel, per_second, length);
            print(&format!("{}k per second/{name}", per_second / 1000), &latencies);
        }
    }
    if let [std, parking_lot, poll] = medians[..] {
        let bare = std.min(parking_lot);
        println!("hand-over through poll: {:.2} times the faster condvar", poll.as_secs_f64() / bare.as_secs_f64());
    }
}
