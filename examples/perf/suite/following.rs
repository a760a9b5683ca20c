//! From a producer in another process to a consumer that reads along, and, beside it, the same within one process.
//!
//! Messages are sent by a timetable, each with the moment in which that was done. The clock is the wall clock: the one that two
//! processes share and that needs no unsafe code.

use std::thread::{self, JoinHandle};
use std::time::Duration;
use std::{hint, mem};

use ottla::{Broker, Consumer, ConsumerConfig, Durability, ProducerRecord, TopicConfig, TopicPartition};

use super::latencies::Latencies;
use super::place::{KEY, SPACE, TOPIC};
use super::row::{Figure, Row, Target};
use super::sharing::cpu_time_of;
use super::worker::Worker;

#[allow(clippy::disallowed_types, reason = "a clock that two processes share")]
type SharedClock = std::time::SystemTime;

/// Longer than any measurement: a consumer that hears of nothing ends it.
const FOREVER: Duration = Duration::from_secs(60);
const OFTEN: Duration = Duration::from_micros(100);
const SELDOM: Duration = Duration::from_millis(1);
/// So long nothing is sent before a consumer counts as idle.
const QUIET: Duration = Duration::from_secs(1);
/// So long messages are sent at a time.
const ROUND: Duration = Duration::from_millis(300);

pub(crate) fn rows() -> Vec<Row> {
    let spinning = row("hand_over/another_process/10k_per_second/spinning_poll", OFTEN, Duration::ZERO);
    let waiting = row("hand_over/another_process/1k_per_second/waiting_poll", SELDOM, FOREVER);
    let [spinning_at_most, waiting_at_most] = [2, 150].map(|micros| Target::Latency(Duration::from_micros(micros)));
    vec![spinning.target(spinning_at_most), waiting.target(waiting_at_most)]
}

fn row(name: &'static str, gap: Duration, poll_timeout: Duration) -> Row {
    Row::new(name, 1, mem::size_of::<u64>(), move || {
        let mut side = Side::new(Sender::in_another_process());
        move |calls, latencies: &mut Latencies| side.receive(calls, gap, poll_timeout, latencies)
    })
    .limit("within one process", move || {
        let mut side = Side::new(Sender::in_this_process());
        move |calls, latencies: &mut Latencies| side.receive(calls, gap, poll_timeout, latencies)
    })
    .calls_max(ROUND.div_duration_f64(gap) as u64)
}

/// What waiting takes of a processor, in percent, once nothing has come for a while.
pub(crate) fn idle(length: Duration) -> Figure {
    Figure::new("hand_over/another_process/idle/share_of_a_core", "%", move || {
        let mut side = Side::new(Sender::in_another_process());
        side.wait_for_nothing(QUIET);
        100.0 * cpu_time_of(|| side.wait_for_nothing(length)).as_secs_f64() / length.as_secs_f64()
    })
    .at_most(0.5)
}

/// How long a message is under way that comes after a silence: the most but for one in a hundred of `count`.
pub(crate) fn reaction(count: u64) -> Figure {
    Figure::new("hand_over/another_process/after_a_second/p99", "ms", move || {
        let mut side = Side::new(Sender::in_another_process());
        let mut latencies = Latencies::new();
        for number in 0..count {
            // At any moment between two looks.
            side.wait_for_nothing(QUIET + Duration::from_micros(number * 1237 % 10_000));
            side.receive(1, Duration::ZERO, FOREVER, &mut latencies);
        }
        latencies.quantile(0.99).as_secs_f64() * 1e3
    })
    .at_most(12.0)
}

/// Who sends.
enum Sender {
    Process(Worker),
    Thread(Broker),
}

/// A sender, and a consumer that gets what it sends.
struct Side {
    sender: Sender,
    consumer: Consumer,
    _dir: tempfile::TempDir,
}

impl Sender {
    fn in_another_process() -> impl FnOnce(&tempfile::TempDir) -> (Sender, Broker) {
        |dir| {
            let mut worker = Worker::start(dir.path());
            worker.ask("open");
            worker.ask("partitions 1");
            (Sender::Process(worker), Broker::open_read_only(dir.path()).expect("a writer has it open"))
        }
    }

    fn in_this_process() -> impl FnOnce(&tempfile::TempDir) -> (Sender, Broker) {
        |dir| {
            let broker = Broker::builder(dir.path()).durability(Durability::Os).open().expect("an empty directory");
            broker.create_topic(TOPIC, TopicConfig::new()).expect("a new topic");
            (Sender::Thread(broker.clone()), broker)
        }
    }

    /// Has `count` messages sent, one in each `gap`, while the caller goes on.
    fn begin(&mut self, count: u64, gap: Duration) -> Option<JoinHandle<()>> {
        match self {
            Sender::Process(worker) => {
                worker.ask(format_args!("gap {}", gap.as_nanos()));
                worker.tell(format_args!("stamped {count}"));
                None
            }
            Sender::Thread(broker) => {
                let broker = broker.clone();
                Some(thread::spawn(move || send_stamped(&broker, count, gap)))
            }
        }
    }

    fn end(&mut self, sending: Option<JoinHandle<()>>) {
        match self {
            Sender::Process(worker) => _ = worker.answer(),
            Sender::Thread(_) => sending.map_or(Ok(()), JoinHandle::join).expect("nobody panics"),
        }
    }
}

impl Side {
    fn new(start: impl FnOnce(&tempfile::TempDir) -> (Sender, Broker)) -> Side {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let (sender, broker) = start(&dir);
        let mut consumer = broker.consumer_with(ConsumerConfig::new("billing")).expect("a group without a member");
        consumer.assign(&[TopicPartition::new(TOPIC, 0)]).expect("there is such a topic");
        Side { sender, consumer, _dir: dir }
    }

    /// Returns how long all `count` messages were under way together.
    fn receive(&mut self, count: u64, gap: Duration, timeout: Duration, latencies: &mut Latencies) -> Duration {
        let sending = self.sender.begin(count, gap);
        let (mut received, mut total) = (0, Duration::ZERO);
        while received < count {
            let records = self.consumer.poll(timeout).expect("a sound log");
            let now = now();
            for value in records.iter().filter_map(|record| record.value()) {
                let sent = u64::from_be_bytes(value.try_into().expect("a number was sent"));
                let latency = now.saturating_sub(Duration::from_nanos(sent));
                latencies.add(latency);
                total += latency;
                received += 1;
            }
        }
        self.sender.end(sending);
        total
    }

    fn wait_for_nothing(&mut self, length: Duration) -> Duration {
        assert!(self.consumer.poll(length).expect("a sound log").is_empty(), "nothing was sent");
        length
    }
}

/// Sends so many messages, one in each `gap`, each with the moment in which it is sent.
pub(crate) fn send_stamped(broker: &Broker, count: u64, gap: Duration) {
    let producer = broker.producer();
    let begin = now();
    for number in 0..count {
        // Keeps the core, as a system call would add a delay of its own.
        while now().saturating_sub(begin) < gap.mul_f64(number as f64) {
            hint::spin_loop();
        }
        let value = u64::try_from(now().as_nanos()).expect("less than 500 years").to_be_bytes();
        producer.send(ProducerRecord::to(TOPIC).key(&KEY).value(&value)).expect(SPACE);
    }
}

fn now() -> Duration {
    SharedClock::now().duration_since(SharedClock::UNIX_EPOCH).expect("a clock that was set")
}
