//! Threads that work on one partition at once.

use std::fs;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use ottla::{ConsumerConfig, Durability, SeekTo, TopicConfig, TopicPartition};

use super::latencies::Latencies;
use super::place::{Place, SPACE, TOPIC, payload, record, sum_of};
use super::row::{A_FEW, Row, Target, timed, timed_every};

const READERS: u32 = 8;

pub(crate) fn rows() -> Vec<Row> {
    let senders = [2, 16].map(|threads| send_from(threads).target(Target::Times(0.5)));
    senders.into_iter().chain([send_beside_readers().target(Target::Times(0.9))]).collect()
}

/// Divides `calls` among threads that begin together, times one in `timed_calls` by itself, and returns the time from the
/// first beginning to the last end.
pub(crate) fn by_threads<Call: FnMut() + Send>(
    threads: u32,
    timed_calls: u64,
    calls: u64,
    latencies: &mut Latencies,
    make_call: impl Fn(u32) -> Call,
) -> Duration {
    let barrier = Barrier::new(threads as usize);
    let each = calls.div_ceil(u64::from(threads));
    thread::scope(|scope| {
        let start = |thread| {
            let (mut call, barrier) = (make_call(thread), &barrier);
            scope.spawn(move || {
                let mut latencies = Latencies::new();
                barrier.wait();
                let begin = Instant::now();
                timed_every(timed_calls, each, &mut latencies, &mut call);
                (begin, Instant::now(), latencies)
            })
        };
        let senders: Vec<_> = (0..threads).map(start).collect();
        let done: Vec<_> = senders.into_iter().map(|sender| sender.join().expect("nobody panics")).collect();
        for (_, _, of_thread) in &done {
            latencies.merge(of_thread);
        }
        let begin = done.iter().map(|(begin, ..)| *begin).min().expect("at least one thread");
        let end = done.iter().map(|(_, end, _)| *end).max().expect("at least one thread");
        // As if it had been `calls`, which may not divide.
        (end - begin).mul_f64(calls as f64 / (each * u64::from(threads)) as f64)
    })
}

fn send_from(threads: u32) -> Row {
    Row::new(format!("send/os/100B/{threads}_threads/1_partition"), 1, payload().len(), move || {
        let place = Place::new(Durability::Os);
        move |calls, latencies| send_all(&place, threads, calls, latencies)
    })
    .limit("one thread", || {
        let place = Place::new(Durability::Os);
        move |calls, latencies| send_all(&place, 1, calls, latencies)
    })
}

fn send_all(place: &Place, threads: u32, calls: u64, latencies: &mut Latencies) -> Duration {
    place.fresh_topic(TopicConfig::new());
    by_threads(threads, A_FEW, calls, latencies, |_| {
        let producer = place.producer();
        move || {
            producer.send(record()).expect(SPACE);
        }
    })
}

/// A sender beside readers that scan its partition, and alone, by the time that a processor was at it: what the readers use
/// of the processors is theirs, and what they cost the sender beyond that shows.
fn send_beside_readers() -> Row {
    Row::new("send/os/100B/8_readers_scan/cpu_time", 1, payload().len(), || {
        let place = Place::new(Durability::Os);
        move |calls, latencies| {
            place.fresh_topic(TopicConfig::new());
            let is_over = AtomicBool::new(false);
            thread::scope(|scope| {
                for reader in 0..READERS {
                    let (place, is_over) = (&place, &is_over);
                    scope.spawn(move || scan(place, reader, is_over));
                }
                let took = cpu_time_of(|| send_to(&place, calls, latencies));
                is_over.store(true, Ordering::Relaxed);
                took
            })
        }
    })
    .limit("no reader", || {
        let place = Place::new(Durability::Os);
        move |calls, latencies| {
            place.fresh_topic(TopicConfig::new());
            cpu_time_of(|| send_to(&place, calls, latencies))
        }
    })
}

fn send_to(place: &Place, calls: u64, latencies: &mut Latencies) -> Duration {
    let producer = place.producer();
    timed(calls, latencies, || {
        producer.send(record()).expect(SPACE);
    })
}

/// How long a processor was at it, where the system tells (Linux); else what `work` says that it took.
pub(crate) fn cpu_time_of(work: impl FnOnce() -> Duration) -> Duration {
    let cpu_time = || {
        let of_thread = fs::read_to_string("/proc/thread-self/schedstat").ok()?;
        of_thread.split(' ').next()?.parse().ok().map(Duration::from_nanos)
    };
    let begin = cpu_time();
    let took = work();
    cpu_time().zip(begin).map_or(took, |(end, begin)| end.saturating_sub(begin))
}

/// Reads the partition from its beginning, again and again.
fn scan(place: &Place, reader: u32, is_over: &AtomicBool) {
    let config = ConsumerConfig::new(format!("reader-{reader}")).topics([TOPIC]).max_poll_records(10_000);
    let mut consumer = place.broker.consumer_with(config).expect("a group without a member");
    let partition = TopicPartition::new(TOPIC, 0);
    while !is_over.load(Ordering::Relaxed) {
        let records = consumer.poll(Duration::ZERO).expect("a sound log");
        records.iter().filter_map(|record| record.value()).for_each(|value| {
            sum_of(value);
        });
        if records.is_empty() && consumer.position(&partition).is_some() {
            consumer.seek(&partition, SeekTo::Earliest).expect("it is assigned");
        }
    }
}
