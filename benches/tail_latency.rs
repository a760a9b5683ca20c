//! How long is a record under way from a producer thread to a consumer that waits in `poll`, and how long would the machine
//! itself take to wake that thread?
//!
//! *Hand-over*: the consumer sleeps; one record is sent, and the time runs until the consumer has it. It is measured in turns
//! with a bare mutex and condvar between the same two threads, so that all have the same machine. How long that takes depends
//! on what the machine does: a core that is idle wakes up slowly, one that runs other threads has other things in its cache.
//!
//! *Open loop*: records are sent by a timetable, and the time runs from the moment in which a record was **due**. A producer
//! that was held up sends late and still counts from then, so nothing hides in what was not sent (coordinated omission).
//!
//! `cargo bench --bench tail_latency`; `OTTLA_BENCH_SECONDS=30` makes each measurement that long instead of one second. Files are
//! in the system's temporary directory, with `Durability::Os`. Two cores should have nothing else to do.

use std::collections::VecDeque;
use std::hint;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use ottla::{Broker, Consumer, Durability, Producer, ProducerRecord};

/// Longer than any measurement: a consumer that was not woken ends the benchmark.
const FOREVER: Duration = Duration::from_secs(60);
/// Enough for a consumer to fall asleep.
const A_MOMENT: Duration = Duration::from_micros(50);
/// The message after the last one.
const END: u64 = u64::MAX;

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

fn nanos_since(begin: Instant) -> u64 {
    nanos(begin.elapsed())
}

/// Keeps the core, as a system call would add a delay of its own.
fn spin_until(begin: Instant, nanos: u64) {
    while nanos_since(begin) < nanos {
        hint::spin_loop();
    }
}

/// Latencies in nanoseconds from sending to a consumer that sleeps, by channel.
fn hand_over(length: Duration) -> Vec<(&'static str, Vec<u64>)> {
    let begin = Instant::now();
    let channels = channels();
    let mut latencies: Vec<_> = channels.iter().map(|(name, _)| (*name, Vec::new())).collect();
    // When the consumer had the message; 0 while it has not.
    let received = AtomicU64::new(0);
    thread::scope(|scope| {
        // The same thread for all channels, so that all find it on the same core.
        let (mut receivers, received) = (channels.each_ref().map(|(_, channel)| channel.receiver()), &received);
        scope.spawn(move || {
            let mut messages = Vec::new();
            while messages.last() != Some(&END) {
                for receive in &mut receivers {
                    messages.clear();
                    let at = receive(&mut messages);
                    received.store(nanos(at - begin), Ordering::Release);
                }
            }
        });
        while begin.elapsed() < length {
            for ((_, channel), (_, latencies)) in channels.iter().zip(&mut latencies) {
                spin_until(begin, nanos_since(begin) + nanos(A_MOMENT));
                received.store(0, Ordering::Relaxed);
                let sent = nanos_since(begin);
                channel.send(sent);
                let mut at = 0;
                while at == 0 {
                    hint::spin_loop();
                    at = received.load(Ordering::Acquire);
                }
                latencies.push(at - sent);
            }
        }
        for (_, channel) in &channels {
            channel.send(END);
        }
    });
    latencies
}

/// Latencies in nanoseconds from when each message was due.
fn open_loop(channel: &dyn Channel, per_second: u64, length: Duration) -> Vec<u64> {
    let begin = Instant::now();
    let mut receive = channel.receiver();
    thread::scope(|scope| {
        let receiving = scope.spawn(move || {
            let (mut latencies, mut messages) = (Vec::new(), Vec::new());
            while messages.last() != Some(&END) {
                messages.clear();
                let now = nanos(receive(&mut messages) - begin);
                latencies.extend(messages.iter().filter(|due| **due != END).map(|due| now - due));
            }
            latencies
        });
        let gap = 1_000_000_000 / per_second;
        let mut due = nanos_since(begin);
        while due < nanos(length) {
            spin_until(begin, due);
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

/// The latency that so many of a thousand do not exceed.
fn percentile(sorted: &[u64], per_mille: usize) -> Duration {
    Duration::from_nanos(sorted.get((sorted.len() * per_mille / 1000).min(sorted.len() - 1)).copied().unwrap_or(0))
}

/// Prints a line of the table and returns the median.
fn print(what: &str, mut latencies: Vec<u64>) -> Duration {
    latencies.sort_unstable();
    let [median, p99, p999, most] = [500, 990, 999, 1000].map(|per_mille| percentile(&latencies, per_mille));
    let count = latencies.len();
    println!("{what:<34} {count:>8} {median:>11.2?} {p99:>11.2?} {p999:>11.2?} {most:>11.2?}");
    median
}

fn main() {
    // Without `--bench` this is `cargo test`, which only wants to see it run.
    let seconds = std::env::var("OTTLA_BENCH_SECONDS").ok().and_then(|seconds| seconds.parse().ok());
    let is_bench = std::env::args().any(|argument| argument == "--bench");
    let length = if is_bench { Duration::from_secs(seconds.unwrap_or(1)) } else { A_MOMENT * 200 };
    println!("{:<34} {:>8} {:>11} {:>11} {:>11} {:>11}", "", "count", "p50", "p99", "p99.9", "most");
    let medians: Vec<_> = hand_over(length * 3)
        .into_iter()
        .map(|(name, latencies)| print(&format!("hand-over/{name}"), latencies))
        .collect();
    for per_second in [1000, 10_000, 100_000] {
        for (name, channel) in channels() {
            let latencies = open_loop(&*channel, per_second, length);
            print(&format!("{}k per second/{name}", per_second / 1000), latencies);
        }
    }
    if let [std, parking_lot, poll] = medians[..] {
        let bare = std.min(parking_lot);
        println!("hand-over through poll: {:.2} times the faster condvar", poll.as_secs_f64() / bare.as_secs_f64());
    }
}
