//! Members of a group that join, leave, commit and fail beside each other.

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::time::Duration;

use ottla::testing::SimulatedDisk;
use ottla::{
    Broker, CommittedOffset, Consumer, ConsumerConfig, Durability, Error, ProducerConfig, ProducerRecord, Rebalance,
    TopicConfig, TopicPartition,
};
use shuttle::thread;

use crate::explore::{FOREVER, broker, explore, join, record, values};

const SENT: [&str; 4] = ["0a", "0b", "1a", "1b"];

/// A topic of two partitions with two records each.
fn broker_with_records() -> Broker {
    let broker = broker(&SimulatedDisk::new(1), Durability::Os);
    broker.create_topic("t", TopicConfig::new().partitions(2)).unwrap();
    let producer = broker.producer();
    for value in SENT {
        producer.send(record(value).partition(value[..1].parse().unwrap())).unwrap();
    }
    broker
}

/// Polls until it has had every record itself.
fn poll_all(consumer: &mut Consumer) {
    let mut seen = BTreeSet::new();
    while seen.len() < SENT.len() {
        seen.extend(values(&consumer.poll(FOREVER).unwrap()));
    }
    assert!(seen.iter().eq(&SENT));
}

/// Two members commit while the group rebalances: what is committed in the end is of a commit that succeeded, and one that
/// was refused has changed nothing.
#[test]
fn a_refused_commit_changes_nothing() {
    explore(|| {
        let broker = broker_with_records();
        let members = ["a", "b"].map(|name| {
            let broker = broker.clone();
            thread::spawn(move || {
                let mut consumer = broker.consumer("g", ["t"]).unwrap();
                let mut succeeded = BTreeSet::new();
                for turn in 0..2 {
                    let records = consumer.poll(Duration::ZERO).unwrap();
                    let metadata = format!("{name}{turn}");
                    let offsets: Vec<_> = records
                        .partitions()
                        .map(|partition| {
                            let next = records.next_offset(partition).unwrap();
                            (partition.clone(), CommittedOffset::new(next).with_metadata(&metadata))
                        })
                        .collect();
                    match consumer.commit_offsets(&offsets) {
                        Ok(()) => {
                            succeeded.extend(offsets.iter().map(|(partition, _)| (partition.clone(), metadata.clone())))
                        }
                        Err(Error::CommitRefused { .. } | Error::RebalanceInProgress { .. } | Error::Fenced { .. }) => {
                        }
                        Err(error) => panic!("{error}"),
                    }
                }
                succeeded
            })
        });
        let succeeded: BTreeSet<_> = join(members).into_iter().flatten().collect();
        for id in 0..2 {
            let partition = TopicPartition::new("t", id);
            let tried = succeeded.iter().any(|(of, _)| *of == partition);
            match broker.committed("g", &partition).unwrap() {
                None => assert!(!tried, "a commit that succeeded is there"),
                Some(committed) => {
                    assert!(succeeded.contains(&(partition, committed.metadata().to_owned())), "{committed:?}");
                }
            }
        }
    });
}

/// One member comes and goes without having committed: the other one gets everything, sooner or later.
#[test]
fn joining_and_leaving_beside_a_poll() {
    explore(|| {
        let broker = broker_with_records();
        let guest = thread::spawn({
            let broker = broker.clone();
            move || {
                let mut consumer = broker.consumer("g", ["t"]).unwrap();
                consumer.poll(Duration::ZERO).unwrap();
                consumer.poll(Duration::ZERO).unwrap();
            }
        });
        poll_all(&mut broker.consumer("g", ["t"]).unwrap());
        guest.join().unwrap();
    });
}

/// A listener panics while the group rebalances: its member is gone, and the other one gets everything.
#[test]
fn a_listener_that_panics() {
    explore(|| {
        let broker = broker_with_records();
        let unlucky = thread::spawn({
            let broker = broker.clone();
            move || {
                // Without the panic hook, which would report a failure.
                let listener = |_: &mut Consumer, _: Rebalance<'_>| resume_unwind(Box::new("listener"));
                let config = ConsumerConfig::new("g").topics(["t"]).rebalance_listener(listener);
                let mut consumer = broker.consumer_with(config).unwrap();
                catch_unwind(AssertUnwindSafe(|| consumer.poll(Duration::ZERO).map(drop))).is_err()
            }
        });
        poll_all(&mut broker.consumer("g", ["t"]).unwrap());
        unlucky.join().unwrap();
        assert!(broker.admin().list_groups().unwrap().is_empty(), "nobody is left, and nothing was committed");
    });
}

/// A partitioner panics in one thread: the others go on sending, and it may try again.
#[test]
fn a_partitioner_that_panics() {
    explore(|| {
        let broker = broker_with_records();
        let unlucky = |record: &ProducerRecord<'_>, _: u32| match record.get_value() {
            Some(b"unlucky") => resume_unwind(Box::new("partitioner")),
            _ => 0,
        };
        let producer = broker.producer_with(ProducerConfig::new().partitioner(unlucky)).unwrap();
        let senders = [(); 2].map(|()| {
            let producer = producer.clone();
            thread::spawn(move || {
                let unlucky = ProducerRecord::to("t").value("unlucky");
                assert!(matches!(producer.send(unlucky), Err(Error::InvalidState { .. })));
                producer.send(ProducerRecord::to("t").value("lucky")).unwrap().offset()
            })
        });
        let mut offsets = join(senders);
        offsets.sort_unstable();
        assert_eq!(offsets, [2, 3]);
    });
}
