//! Consumers that wait: no wake-up is lost. A wait is for ever here, so that one that is lost is a deadlock.

use std::time::Duration;

use ottla::testing::SimulatedDisk;
use ottla::{Broker, Consumer, Durability, Error, TopicConfig};
use shuttle::future::block_on;
use shuttle::thread;

use crate::explore::{FOREVER, broker, explore, join, record, values};

fn broker_with_topic(durability: Durability) -> Broker {
    let broker = broker(&SimulatedDisk::new(1), durability);
    broker.create_topic("t", TopicConfig::new()).unwrap();
    broker
}

fn send(broker: &Broker, value: &'static str) -> thread::JoinHandle<()> {
    let producer = broker.producer();
    thread::spawn(move || {
        producer.send(record(value)).unwrap();
    })
}

/// Polls until it has as many.
fn poll_count(consumer: &mut Consumer, count: usize) -> Vec<String> {
    let mut polled = Vec::new();
    while polled.len() < count {
        polled.extend(values(&consumer.poll(FOREVER).unwrap()));
    }
    polled.sort();
    polled
}

#[test]
fn a_poll_that_waits_beside_sends() {
    explore(|| {
        let broker = broker_with_topic(Durability::Os);
        let mut consumer = broker.consumer("g", ["t"]).unwrap();
        let senders = [send(&broker, "a"), send(&broker, "b")];
        assert_eq!(poll_count(&mut consumer, 2), ["a", "b"]);
        join(senders);
    });
}

/// Polls until there are two records, which are those that were sent.
fn assert_both_come(mut poll: impl FnMut(&mut Vec<String>)) {
    let mut polled = Vec::new();
    while polled.len() < 2 {
        poll(&mut polled);
    }
    polled.sort();
    assert_eq!(polled, ["a", "b"]);
}

/// Polls that do not wait ask nobody to wake them. Whatever is sent between the last of them and the moment in which one that waits
/// has asked for it, that one finds.
#[test]
fn a_poll_that_waits_after_polls_that_do_not_beside_sends() {
    explore(|| {
        let broker = broker_with_topic(Durability::Os);
        let mut consumer = broker.consumer("g", ["t"]).unwrap();
        let senders = [send(&broker, "a"), send(&broker, "b")];
        assert_both_come(|polled| {
            polled.extend(values(&consumer.poll(Duration::ZERO).unwrap()));
            if polled.len() < 2 {
                polled.extend(values(&consumer.poll(FOREVER).unwrap()));
            }
        });
        join(senders);
    });
}

/// The same where a task waits, and a transaction ends while it does.
#[test]
fn a_task_that_waits_after_polls_that_do_not_beside_a_transaction() {
    explore(|| {
        let broker = broker_with_topic(Durability::Os);
        let mut consumer = broker.consumer("g", ["t"]).unwrap();
        let mut producer = broker.transactional_producer("x").unwrap();
        let sender = thread::spawn(move || {
            let transaction = producer.begin().unwrap();
            transaction.send(record("a")).unwrap();
            transaction.commit().unwrap();
        });
        let mut polled = Vec::new();
        while polled.is_empty() {
            polled.extend(values(&consumer.poll(Duration::ZERO).unwrap()));
            if polled.is_empty() {
                block_on(consumer.ready());
            }
        }
        assert_eq!(polled, ["a"]);
        sender.join().unwrap();
    });
}

/// Here the group commit makes records visible, without the append lock.
#[test]
fn a_poll_that_waits_beside_durable_sends() {
    explore(|| {
        let broker = broker_with_topic(Durability::Always);
        let mut consumer = broker.consumer("g", ["t"]).unwrap();
        let senders = [send(&broker, "a"), send(&broker, "b")];
        assert_eq!(poll_count(&mut consumer, 2), ["a", "b"]);
        join(senders);
    });
}

/// Two groups wait for one record: both get it.
#[test]
fn everybody_who_waits_is_woken() {
    explore(|| {
        let broker = broker_with_topic(Durability::Os);
        let waiting = ["g", "h"].map(|group| {
            let broker = broker.clone();
            thread::spawn(move || poll_count(&mut broker.consumer(group, ["t"]).unwrap(), 1))
        });
        let sender = send(&broker, "a");
        assert_eq!(join(waiting), [["a"], ["a"]]);
        sender.join().unwrap();
    });
}

#[test]
fn wakeup_beside_poll() {
    explore(|| {
        let broker = broker_with_topic(Durability::Os);
        let mut consumer = broker.consumer("g", ["t"]).unwrap();
        let handle = consumer.handle();
        let waker = thread::spawn(move || handle.wakeup());
        let sender = send(&broker, "a");
        let mut polled = Vec::new();
        let mut wakeups = 0;
        while wakeups == 0 || polled.is_empty() {
            match consumer.poll(FOREVER) {
                Ok(records) => polled.extend(values(&records)),
                Err(Error::Wakeup) => wakeups += 1,
                Err(error) => panic!("{error}"),
            }
        }
        assert_eq!((wakeups, polled), (1, vec!["a".to_owned()]));
        join([waker, sender]);
    });
}

#[test]
fn closing_by_handle_beside_poll() {
    explore(|| {
        let broker = broker_with_topic(Durability::Os);
        let mut consumer = broker.consumer("g", ["t"]).unwrap();
        let handle = consumer.handle();
        let closer = thread::spawn(move || handle.close());
        assert!(matches!(consumer.poll(FOREVER), Err(Error::Closed { .. })));
        assert!(matches!(consumer.poll(Duration::ZERO), Err(Error::Closed { .. })));
        closer.join().unwrap();
        assert!(broker.admin().describe_group("g").map_or(true, |group| group.members().is_empty()));
    });
}

/// A task that awaits `ready` is woken, and the poll after it has the record sooner or later.
#[test]
fn a_task_that_waits_until_ready() {
    explore(|| {
        let broker = broker_with_topic(Durability::Os);
        let mut consumer = broker.consumer("g", ["t"]).unwrap();
        let senders = [send(&broker, "a"), send(&broker, "b")];
        assert_both_come(|polled| {
            block_on(consumer.ready());
            polled.extend(values(&consumer.poll(Duration::ZERO).unwrap()));
        });
        join(senders);
    });
}

/// Who waits is told of a new partition, and of the record in it.
#[test]
fn new_partitions_beside_poll_and_send() {
    explore(|| {
        let broker = broker_with_topic(Durability::Os);
        let mut consumer = broker.consumer("g", ["t"]).unwrap();
        let adder = thread::spawn({
            let broker = broker.clone();
            move || {
                broker.admin().add_partitions("t", 2).unwrap();
                broker.producer().send(record("new").partition(1)).unwrap();
            }
        });
        let sender = send(&broker, "old");
        assert_eq!(poll_count(&mut consumer, 2), ["new", "old"]);
        join([adder, sender]);
        assert_eq!(consumer.assignment().len(), 2);
    });
}
