//! Members on threads of their own, that leave, die and come back while others send: what no single thread can show.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use ottla::{
    Broker, Consumer, ConsumerConfig, CooperativeStickyAssignor, Durability, ProducerRecord, RangeAssignor, Result,
    TopicConfig, TopicPartition,
};

const TOPIC: &str = "orders";
const GROUP: &str = "billing";
const PARTITIONS: u32 = 16;
const MEMBERS: u64 = 8;
const SENDERS: u32 = 2;
const RECORDS_PER_PARTITION: usize = 1000;
/// Far longer than it takes, unless something has come to a standstill.
const LONG: Duration = Duration::from_secs(120);

/// How members end their lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ends {
    /// They give up everything, with a commit.
    Closing,
    /// Their threads panic, sometimes before they have committed.
    Dying,
}

/// How often each record was seen, and how many were not yet.
struct Seen {
    counts: Vec<Vec<AtomicU32>>,
    unseen: AtomicUsize,
}

#[test]
fn members_that_close_deliver_every_record_exactly_once() {
    let run = |config: ConsumerConfig| run(&config.auto_commit_interval(Duration::from_millis(5)), Ends::Closing);
    run(config().assignor(CooperativeStickyAssignor));
    run(config().assignor(RangeAssignor));
}

#[test]
fn members_that_die_deliver_every_record_at_least_once() {
    run(&config().assignor(CooperativeStickyAssignor), Ends::Dying);
    run(&config().assignor(RangeAssignor), Ends::Dying);
}

fn config() -> ConsumerConfig {
    ConsumerConfig::new(GROUP).topics([TOPIC]).max_poll_records(50)
}

fn run(config: &ConsumerConfig, ends: Ends) {
    let dir = tempfile::tempdir().unwrap();
    let broker = Broker::builder(dir.path()).durability(Durability::Os).open().unwrap();
    broker.create_topic(TOPIC, TopicConfig::new().partitions(PARTITIONS)).unwrap();
    let counts = || (0..RECORDS_PER_PARTITION).map(|_| AtomicU32::new(0)).collect();
    let unseen = AtomicUsize::new(RECORDS_PER_PARTITION * PARTITIONS as usize);
    let seen = Arc::new(Seen { counts: (0..PARTITIONS).map(|_| counts()).collect(), unseen });
    let (ended, endings) = mpsc::channel();
    let mut threads = Vec::new();
    for sender in 0..SENDERS {
        let (broker, ended) = (broker.clone(), ended.clone());
        threads.push(thread::spawn(move || {
            send(&broker, sender);
            ended.send(()).unwrap();
        }));
    }
    for member in 0..MEMBERS {
        let (broker, config, seen, ended) = (broker.clone(), config.clone(), Arc::clone(&seen), ended.clone());
        threads.push(thread::spawn(move || {
            live(&broker, &config, &seen, member, ends);
            ended.send(()).unwrap();
        }));
    }
    // Once the last thread has ended, well or not.
    drop(ended);
    let deadline = Instant::now() + LONG;
    loop {
        match endings.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(()) => {}
            Err(mpsc::RecvTimeoutError::Disconnected) => break,
            // The threads are left where they stand.
            Err(mpsc::RecvTimeoutError::Timeout) => panic!("it came to a standstill: {}", seen.tell()),
        }
    }
    for thread in threads {
        thread.join().unwrap();
    }
    check(&broker, &seen, ends);
}

/// Every sender fills its share of the partitions, all at once.
fn send(broker: &Broker, sender: u32) {
    let producer = broker.producer();
    for n in 0..RECORDS_PER_PARTITION {
        for partition in (sender..PARTITIONS).step_by(SENDERS as usize) {
            let sent = producer.send(ProducerRecord::to(TOPIC).partition(partition).value(n.to_string()));
            assert_eq!(sent.unwrap().offset(), n as u64);
        }
    }
}

/// One life after the other, until everything was seen.
fn live(broker: &Broker, config: &ConsumerConfig, seen: &Seen, member: u64, ends: Ends) {
    let deadline = Instant::now() + LONG;
    for life in 0_u64.. {
        let mut consumer = broker.consumer_with(config.clone()).unwrap();
        // Of different lengths, so that members meet in all ways.
        let polls = (member * 5 + life * 7) % 23 + 3;
        let dies = ends == Ends::Dying && !(member + life).is_multiple_of(3);
        let lived = catch_unwind(AssertUnwindSafe(|| {
            for poll in 0..polls {
                poll_once(&mut consumer, seen, ends == Ends::Dying && (poll + 1 < polls || !dies)).unwrap();
            }
            if dies {
                // Without the message of the panic hook. The consumer is dropped while its thread panics.
                let _consumer = consumer;
                resume_unwind(Box::new("a bug in the application"));
            }
            consumer.close().unwrap();
        }));
        match lived {
            Err(panic) if !dies => resume_unwind(panic),
            lived => assert_eq!(lived.is_err(), dies),
        }
        if seen.unseen.load(Ordering::SeqCst) == 0 {
            return;
        }
        assert!(Instant::now() < deadline, "it does not come to an end: {}", seen.tell());
    }
}

fn poll_once(consumer: &mut Consumer, seen: &Seen, commits: bool) -> Result<()> {
    let records = consumer.poll(Duration::from_millis(1))?;
    for record in &records {
        let offset = usize::try_from(record.offset()).unwrap();
        if seen.counts[record.partition() as usize][offset].fetch_add(1, Ordering::SeqCst) == 0 {
            seen.unseen.fetch_sub(1, Ordering::SeqCst);
        }
    }
    if commits && !records.is_empty() { consumer.commit() } else { Ok(()) }
}

fn check(broker: &Broker, seen: &Seen, ends: Ends) {
    assert_eq!(seen.unseen.load(Ordering::SeqCst), 0);
    for (number, counts) in (0..).zip(&seen.counts) {
        let often = counts.iter().position(|count| count.load(Ordering::SeqCst) > 1);
        assert!(ends == Ends::Dying || often.is_none(), "partition {number}: offset {often:?} was seen again");
        let committed = broker.committed(GROUP, &TopicPartition::new(TOPIC, number)).unwrap();
        let committed = committed.map_or(0, |committed| committed.offset());
        let end = RECORDS_PER_PARTITION as u64;
        assert!(committed == end || ends == Ends::Dying && committed < end, "partition {number}: {committed}");
    }
}

impl Seen {
    fn tell(&self) -> String {
        format!("{} records were not seen", self.unseen.load(Ordering::SeqCst))
    }
}
