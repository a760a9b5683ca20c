//! Transactions beside whoever ends them: two holders of a name, a timeout, a close, a rebalance, a reader.

use std::time::Duration;

use ottla::testing::SimulatedDisk;
use ottla::{
    Broker, ConsumerConfig, Durability, Error, Partition, ProducerConfig, ProducerRecord, TopicConfig, TopicPartition,
};
use shuttle::thread;

use crate::explore::{FOREVER, broker, builder, explore, join, values};

/// Topics `t` and `u`, of one partition each.
fn with_topics(disk: &SimulatedDisk, durability: Durability) -> Broker {
    let broker = broker(disk, durability);
    for topic in ["t", "u"] {
        broker.create_topic(topic, TopicConfig::new()).unwrap();
    }
    broker
}

fn log(broker: &Broker, topic: &str) -> Partition {
    broker.topic(topic).unwrap().partition(0).unwrap()
}

/// One record to each of the two topics, and the commit. Whether it is committed; if not, why.
fn transact(broker: &Broker, value: &str, config: ProducerConfig) -> Result<(), Error> {
    let mut producer = broker.transactional_producer_with("p", config)?;
    let transaction = producer.begin()?;
    for topic in ["t", "u"] {
        transaction.send(ProducerRecord::to(topic).value(value))?;
    }
    transaction.commit()
}

/// What is committed in each topic, both the same; and nothing is open.
fn committed(broker: &Broker) -> Vec<String> {
    let [t, u] = ["t", "u"].map(|topic| {
        let log = log(broker, topic);
        assert_eq!(log.last_stable_offset(), log.high_watermark(), "{topic} has an open transaction");
        let mut reader = broker.consumer_with(ConsumerConfig::new("look")).unwrap();
        reader.assign(&[TopicPartition::new(topic, 0)]).unwrap();
        let mut seen = Vec::new();
        loop {
            let records = reader.poll(Duration::ZERO).unwrap();
            if records.is_empty() {
                return seen;
            }
            seen.extend(values(&records));
        }
    });
    assert_eq!(t, u, "all or nothing");
    t
}

fn is_refused(error: &Error) -> bool {
    matches!(error, Error::Fenced { .. } | Error::Closed { .. } | Error::TransactionAborted { .. })
}

/// Two threads use one name: what the one that was fenced had sent is nowhere, and what was acknowledged is everywhere.
#[test]
fn two_holders_of_a_name() {
    explore(|| {
        let disk = SimulatedDisk::new(1);
        let broker = with_topics(&disk, Durability::Always);
        let holders = ["a", "b"].map(|name| {
            let broker = broker.clone();
            thread::spawn(move || match transact(&broker, name, ProducerConfig::new()) {
                Ok(()) => Some(name),
                Err(error) if is_refused(&error) => None,
                Err(error) => panic!("{error}"),
            })
        });
        let acknowledged: Vec<_> = join(holders).into_iter().flatten().collect();
        assert!(!acknowledged.is_empty(), "whoever came last was fenced by nobody");
        let mut found = committed(&broker);
        found.sort();
        assert_eq!(found, acknowledged);
        let after = crate::explore::broker(&disk.kill(1), Durability::Always);
        let mut found = committed(&after);
        found.sort();
        assert_eq!(found, acknowledged);
    });
}

/// The timeout aborts beside a commit: it is one of the two.
#[test]
fn a_timeout_beside_a_commit() {
    explore(|| {
        let disk = SimulatedDisk::new(1);
        let broker = with_topics(&disk, Durability::Os);
        let config = ProducerConfig::new().transaction_timeout(Duration::from_millis(1));
        let mut producer = broker.transactional_producer_with("p", config).unwrap();
        let transaction = producer.begin().unwrap();
        for topic in ["t", "u"] {
            transaction.send(ProducerRecord::to(topic).value("a")).unwrap();
        }
        disk.advance(Duration::from_secs(1));
        let maintenance = thread::spawn({
            let broker = broker.clone();
            move || broker.run_maintenance().unwrap()
        });
        let told = transaction.commit();
        maintenance.join().unwrap();
        let expected = match told {
            Ok(()) => vec!["a"],
            Err(Error::Fenced { .. }) => vec![],
            Err(error) => panic!("{error}"),
        };
        assert_eq!(committed(&broker), expected);
    });
}

/// Closing beside a commit: nothing is left open in any file.
#[test]
fn close_beside_a_commit() {
    explore(|| {
        let disk = SimulatedDisk::new(1);
        let broker = with_topics(&disk, Durability::Always);
        let sender = thread::spawn({
            let broker = broker.clone();
            move || match transact(&broker, "a", ProducerConfig::new()) {
                // It is committed, and the close was faster to make it durable.
                Ok(()) | Err(Error::NotDurable { .. }) => true,
                Err(error) if is_refused(&error) => false,
                Err(error) => panic!("{error}"),
            }
        });
        broker.close().unwrap();
        let acknowledged = sender.join().unwrap();
        let broker = crate::explore::broker(&disk, Durability::Always);
        assert_eq!(broker.recovery_report().aborted_transactions(), 0);
        let found = committed(&broker);
        assert!(found == ["a"] || !acknowledged && found.is_empty(), "{found:?}, {acknowledged}");
    });
}

/// A member commits in a transaction while another one joins: each number of the input is in the output once.
#[test]
fn a_commit_beside_a_rebalance() {
    explore(|| {
        let disk = SimulatedDisk::new(1);
        let broker = broker(&disk, Durability::Os);
        broker.create_topic("in", TopicConfig::new().partitions(2)).unwrap();
        broker.create_topic("out", TopicConfig::new()).unwrap();
        for partition in 0..2 {
            for value in ["a", "b"] {
                let value = format!("{partition}{value}");
                broker.producer().send(ProducerRecord::to("in").partition(partition).value(value)).unwrap();
            }
        }
        let workers = ["p", "q"].map(|name| {
            let broker = broker.clone();
            thread::spawn(move || {
                let config = ConsumerConfig::new("g").topics(["in"]).max_poll_records(1);
                let mut consumer = broker.consumer_with(config).unwrap();
                let mut producer = broker.transactional_producer(name).unwrap();
                for _ in 0..3 {
                    let records = consumer.poll(Duration::ZERO).unwrap();
                    let transaction = producer.begin().unwrap();
                    for record in &records {
                        transaction.send(ProducerRecord::to("out").value(record.value_str().unwrap())).unwrap();
                    }
                    let ended = transaction.send_offsets(&consumer).and_then(|()| transaction.commit());
                    match ended {
                        Ok(()) => {}
                        Err(Error::TransactionFailed { .. } | Error::TransactionAborted { .. }) => {
                            consumer.seek_to_committed().unwrap();
                        }
                        Err(error) => panic!("{error}"),
                    }
                }
            })
        });
        join(workers);
        // What they have left somebody else does.
        let mut consumer = broker.consumer("g", ["in"]).unwrap();
        let left = loop_of(&mut consumer);
        let mut reader = broker.consumer("look", ["out"]).unwrap();
        let mut all = loop_of(&mut reader);
        all.extend(left);
        all.sort();
        assert_eq!(all, ["0a", "0b", "1a", "1b"]);
    });
}

/// A member goes while its transaction is being committed, and another one takes its partition: it begins behind what was committed, or
/// reads what was not. It may come while that is open, and is woken.
#[test]
fn a_beginning_beside_a_commit() {
    explore(|| {
        let disk = SimulatedDisk::new(1);
        let broker = broker(&disk, Durability::Always);
        let topic = broker.create_topic("in", TopicConfig::new()).unwrap();
        for value in ["a", "b"] {
            topic.produce("k", value).unwrap();
        }
        let config = || ConsumerConfig::new("g").topics(["in"]).max_poll_records(1);
        let mut first = broker.consumer_with(config()).unwrap();
        assert_eq!(values(&first.poll(Duration::ZERO).unwrap()), ["a"]);
        let mut producer = broker.transactional_producer("p").unwrap();
        let transaction = producer.begin().unwrap();
        transaction.send_offsets(&first).unwrap();
        let second = thread::spawn({
            let mut second = broker.consumer_with(config()).unwrap();
            move || {
                let mut seen = Vec::new();
                while seen.last().is_none_or(|last| last != "b") {
                    seen.extend(values(&second.poll(FOREVER).unwrap()));
                }
                seen
            }
        });
        let gone = thread::spawn(move || drop(first));
        let expected = match transaction.commit() {
            Ok(()) => vec!["b"],
            Err(Error::TransactionAborted { .. }) => vec!["a", "b"],
            Err(error) => panic!("{error}"),
        };
        gone.join().unwrap();
        assert_eq!(second.join().unwrap(), expected);
    });
}

fn loop_of(consumer: &mut ottla::Consumer) -> Vec<String> {
    let mut seen = Vec::new();
    loop {
        let records = consumer.poll(Duration::ZERO).unwrap();
        if records.is_empty() {
            return seen;
        }
        seen.extend(values(&records));
    }
}

/// A reader that waits is woken by the commit, and sees all of it; of what is aborted it sees nothing.
#[test]
fn a_reader_beside_transactions() {
    explore(|| {
        let disk = SimulatedDisk::new(1);
        let broker = builder(&disk, Durability::Os).open().unwrap();
        broker.create_topic("t", TopicConfig::new()).unwrap();
        let reader = thread::spawn({
            let mut consumer = broker.consumer("g", ["t"]).unwrap();
            move || {
                let mut seen = Vec::new();
                while seen.len() < 2 {
                    seen.extend(values(&consumer.poll(FOREVER).unwrap()));
                }
                seen
            }
        });
        let mut producer = broker.transactional_producer("p").unwrap();
        for (value, is_committed) in [("never", false), ("a", true)] {
            let transaction = producer.begin().unwrap();
            for _ in 0..2 {
                transaction.send(ProducerRecord::to("t").value(value)).unwrap();
            }
            if is_committed { transaction.commit().unwrap() } else { transaction.abort().unwrap() }
        }
        assert_eq!(reader.join().unwrap(), ["a", "a"]);
    });
}
