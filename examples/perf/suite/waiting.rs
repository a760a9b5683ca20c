//! From a producer to a consumer that waits in `poll`, and, beside it, what the machine takes to wake a thread.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};
use std::{hint, mem};

use ottla::{Consumer, ConsumerConfig, ConsumerRecords, Durability, ProducerRecord, TopicConfig};

use super::latencies::Latencies;
use super::place::{KEY, Place, SPACE, TOPIC};
use super::row::{Row, Target};

const SOUND: &str = "a sound log";
/// Longer than any measurement: a consumer that was not woken ends it.
const FOREVER: Duration = Duration::from_secs(60);
/// Enough for a consumer to fall asleep.
const A_MOMENT: Duration = Duration::from_micros(50);
/// Longer than the time between two messages. After that also spinning ends, so that the other side has the core.
const SPIN: Duration = Duration::from_millis(1);
/// So many messages at a time: they are timed without the moments between them, which take a multiple.
const CALLS_MAX: u64 = 3000;
/// The message after the last one.
pub(crate) const END: u64 = u64::MAX;

pub(crate) fn rows() -> Vec<Row> {
    let a_microsecond = Target::Latency(Duration::from_micros(1));
    let rows = [
        hand_over().target(Target::LatencyTimes(1.2)),
        hand_over_to_spinning("spinning_poll", || HandOver::through_poll(SPIN)).target(a_microsecond),
        hand_over_to_spinning("poll_without_waiting", HandOver::through_polls).target(a_microsecond),
    ];
    rows.map(|row| row.calls_max(CALLS_MAX)).into()
}

fn hand_over() -> Row {
    Row::new("hand_over/waiting_poll", 1, mem::size_of::<u64>(), || {
        let mut through_poll = HandOver::through_poll(Duration::ZERO);
        move |calls, latencies: &mut Latencies| through_poll.run(calls, latencies)
    })
    .limit("condvar", || {
        let mut through_condvar = HandOver::through_condvar();
        move |calls, latencies: &mut Latencies| through_condvar.run(calls, latencies)
    })
}

fn hand_over_to_spinning(how: &str, begin: fn() -> HandOver) -> Row {
    Row::new(format!("hand_over/{how}"), 1, mem::size_of::<u64>(), move || {
        let mut through_poll = begin();
        move |calls, latencies: &mut Latencies| through_poll.run(calls, latencies)
    })
    .limit("spinning on an atomic", || {
        let mut through_atomic = HandOver::through_atomic();
        move |calls, latencies: &mut Latencies| through_atomic.run(calls, latencies)
    })
}

/// A thread that waits for numbers, and the way to send it one.
pub(crate) struct HandOver {
    send: Box<dyn FnMut(u64)>,
    /// When the last message was received, in nanoseconds since `begin`; 0 while it was not.
    received: Arc<AtomicU64>,
    begin: Instant,
    receiver: Option<JoinHandle<()>>,
}

impl HandOver {
    pub(crate) fn new(send: impl FnMut(u64) + 'static, mut receive: impl FnMut() -> u64 + Send + 'static) -> HandOver {
        let begin = Instant::now();
        let when = Arc::new(AtomicU64::new(0));
        let tell = Arc::clone(&when);
        let receiver = thread::spawn(move || {
            while receive() != END {
                tell.store(nanos_since(begin), Ordering::Release);
            }
        });
        HandOver { send: Box::new(send), received: when, begin, receiver: Some(receiver) }
    }

    pub(crate) fn through_poll(spin: Duration) -> HandOver {
        let config = ConsumerConfig::new("billing").topics([TOPIC]).spin(spin);
        HandOver::through_consumer(config, |consumer| {
            let records = consumer.poll(FOREVER).expect(SOUND);
            last_number(&records).expect("the consumer was woken")
        })
    }

    /// To a consumer that polls again and again, and waits in none of these polls.
    fn through_polls() -> HandOver {
        HandOver::through_consumer(ConsumerConfig::new("billing").topics([TOPIC]), |consumer| {
            let begin = Instant::now();
            loop {
                let records = consumer.poll(Duration::ZERO).expect(SOUND);
                match last_number(&records) {
                    Some(number) => return number,
                    None if SPIN < begin.elapsed() => thread::sleep(A_MOMENT),
                    None => hint::spin_loop(),
                }
            }
        })
    }

    fn through_consumer(config: ConsumerConfig, receive: fn(&mut Consumer) -> u64) -> HandOver {
        let place = Place::with_topic(Durability::Os, TopicConfig::new());
        let producer = place.producer();
        let mut consumer = place.broker.consumer_with(config).expect("a group without a member");
        let send = move |message: u64| {
            let _place = &place;
            let value = message.to_be_bytes();
            producer.send(ProducerRecord::to(TOPIC).key(&KEY).value(&value)).expect(SPACE);
        };
        HandOver::new(send, move || receive(&mut consumer))
    }

    pub(crate) fn through_condvar() -> HandOver {
        let shared = Arc::new((Mutex::new(None), Condvar::new()));
        let other = Arc::clone(&shared);
        let send = move |message| {
            *shared.0.lock().expect("nobody panics") = Some(message);
            shared.1.notify_one();
        };
        let receive = move || {
            let mut message = other.0.lock().expect("nobody panics");
            loop {
                match message.take() {
                    Some(message) => return message,
                    None => message = other.1.wait(message).expect("nobody panics"),
                }
            }
        };
        HandOver::new(send, receive)
    }

    fn through_atomic() -> HandOver {
        const NONE: u64 = 0;
        let message = Arc::new(AtomicU64::new(NONE));
        let other = Arc::clone(&message);
        let send = move |sent: u64| message.store(sent, Ordering::Release);
        let receive = move || {
            let begin = Instant::now();
            loop {
                match other.load(Ordering::Acquire) {
                    NONE if begin.elapsed() < SPIN => hint::spin_loop(),
                    NONE => thread::sleep(A_MOMENT),
                    message => {
                        other.store(NONE, Ordering::Relaxed);
                        return message;
                    }
                }
            }
        };
        HandOver::new(send, receive)
    }

    pub(crate) fn run(&mut self, calls: u64, latencies: &mut Latencies) -> Duration {
        let mut total = Duration::ZERO;
        for _ in 0..calls {
            // Keeps the core, as a system call would add a delay of its own.
            let asleep = Instant::now() + A_MOMENT;
            while Instant::now() < asleep {
                hint::spin_loop();
            }
            self.received.store(0, Ordering::Relaxed);
            let sent = nanos_since(self.begin);
            (self.send)(sent);
            let mut at = 0;
            while at == 0 {
                hint::spin_loop();
                at = self.received.load(Ordering::Acquire);
            }
            let latency = Duration::from_nanos(at - sent);
            latencies.add(latency);
            total += latency;
        }
        total
    }
}

impl Drop for HandOver {
    fn drop(&mut self) {
        (self.send)(END);
        if let Some(receiver) = self.receiver.take() {
            // A receiver that panicked has said so.
            let _ = receiver.join();
        }
    }
}

fn last_number(records: &ConsumerRecords) -> Option<u64> {
    let last = records.iter().last()?;
    Some(u64::from_be_bytes(last.value().and_then(|value| value.try_into().ok()).expect("a number was sent")))
}

fn nanos_since(begin: Instant) -> u64 {
    u64::try_from(begin.elapsed().as_nanos()).unwrap_or(u64::MAX)
}
