//! Consumers that wait, and topics that come and go meanwhile.

use std::time::{Duration, Instant};

use ottla::testing::{CrashModel, SimulatedDisk};
use ottla::{Broker, Durability, Error, ProducerRecord, TopicConfig};

/// Longer than anything here takes, unless somebody was not woken.
const LONG: Duration = Duration::from_secs(20);

#[test]
fn a_parked_consumer_is_woken_by_the_first_record_of_a_topic_that_is_new() {
    let broker = Broker::temporary().unwrap();
    let waiting = ottla::ConsumerConfig::new("billing").topics(["orders"]).wait_for_topics(true);
    let mut consumer = broker.consumer_with(waiting).unwrap();
    let polled = std::thread::scope(|scope| {
        let polling = scope.spawn(move || {
            let begun = Instant::now();
            (consumer.poll(LONG).map(|records| records.len()), begun.elapsed())
        });
        std::thread::sleep(Duration::from_millis(100));
        broker.topic("orders").unwrap().produce("customer-1", "2 coffees").unwrap();
        polling.join().unwrap()
    });
    assert_eq!(polled.0.unwrap(), 1);
    assert!(polled.1 < LONG / 2, "woken by its own timeout");
}

#[test]
fn a_parked_consumer_is_woken_by_a_partition_that_is_new() {
    let broker = Broker::temporary().unwrap();
    let topic = broker.create_topic("orders", TopicConfig::new().partitions(1)).unwrap();
    let mut consumer = broker.consumer("billing", ["orders"]).unwrap();
    let waited = std::thread::scope(|scope| {
        let polling = scope.spawn(move || {
            let begun = Instant::now();
            assert_eq!(consumer.poll(LONG).unwrap().len(), 1);
            begun.elapsed()
        });
        std::thread::sleep(Duration::from_millis(100));
        broker.admin().add_partitions("orders", 2).unwrap();
        let record = ottla::ProducerRecord::to("orders").value("2 coffees");
        topic.partition(1).unwrap().append(&record).unwrap();
        polling.join().unwrap()
    });
    assert!(waited < LONG / 2, "woken by its own timeout");
}

#[test]
fn a_parked_consumer_is_told_that_the_broker_was_closed() {
    let broker = Broker::temporary().unwrap();
    broker.topic("orders").unwrap();
    let mut consumer = broker.consumer("billing", ["orders"]).unwrap();
    let (polled, waited) = std::thread::scope(|scope| {
        let polling = scope.spawn(move || {
            let begun = Instant::now();
            (consumer.poll(LONG).map(drop), begun.elapsed())
        });
        std::thread::sleep(Duration::from_millis(100));
        broker.close().unwrap();
        polling.join().unwrap()
    });
    assert!(matches!(polled, Err(Error::Closed { .. })), "{polled:?}");
    assert!(waited < LONG / 2, "woken by its own timeout");
}

#[test]
fn committing_after_a_topic_was_deleted_does_not_move_the_next_topic_of_that_name() {
    let broker = Broker::temporary().unwrap();
    let topic = broker.topic("orders").unwrap();
    for _ in 0..3 {
        topic.produce("customer-1", "2 coffees").unwrap();
    }
    let mut consumer = broker.consumer("billing", ["orders"]).unwrap();
    assert_eq!(consumer.poll(Duration::ZERO).unwrap().len(), 3);
    broker.admin().delete_topic("orders").unwrap();
    // There is nothing left to commit; whether it says so does not matter here.
    let _ = consumer.commit();
    drop(consumer);
    let topic = broker.topic("orders").unwrap();
    for _ in 0..5 {
        topic.produce("customer-1", "3 coffees").unwrap();
    }
    let mut consumer = broker.consumer("billing", ["orders"]).unwrap();
    assert_eq!(consumer.poll(Duration::ZERO).unwrap().len(), 5);
}

#[test]
fn a_partition_that_cannot_be_read_does_not_keep_the_others_from_being_read() {
    let broker = Broker::temporary().unwrap();
    let topic = broker.create_topic("orders", TopicConfig::new().partitions(2)).unwrap();
    let config = ottla::ConsumerConfig::new("billing").topics(["orders"]).offset_reset(ottla::OffsetReset::Error);
    let mut consumer = broker.consumer_with(config).unwrap();
    consumer.seek(&ottla::TopicPartition::new("orders", 1), ottla::SeekTo::Earliest).unwrap();
    topic.partition(1).unwrap().append(&ottla::ProducerRecord::to("orders").value("2 coffees")).unwrap();
    let polls: Vec<_> = (0..3).map(|_| consumer.poll(Duration::ZERO).map(|records| records.len())).collect();
    assert!(polls.iter().any(|poll| matches!(poll, Ok(1))), "{polls:?}");
    assert!(polls.iter().any(|poll| matches!(poll, Err(Error::NoCommittedOffset { .. }))), "{polls:?}");
}

/// The marker was written by recovery, in a later leader epoch than the records before it have.
#[test]
fn a_group_that_has_passed_the_marker_of_an_aborted_transaction_goes_on_behind_it() {
    let disk = SimulatedDisk::new(1);
    let open = |disk: &SimulatedDisk| {
        Broker::builder("/data").background(false).durability(Durability::Os).disk(disk).open().unwrap()
    };
    let broker = open(&disk);
    broker.topic("orders").unwrap().produce("customer-1", "2 coffees").unwrap();
    let mut producer = broker.transactional_producer("payments").unwrap();
    let transaction = producer.begin().unwrap();
    transaction.send(ProducerRecord::to("orders").value("never paid")).unwrap();
    broker.flush().unwrap();
    for disk in [disk.kill(1), disk.crash(1, CrashModel::Ordered)] {
        let broker = open(&disk);
        let mut consumer = broker.consumer("billing", ["orders"]).unwrap();
        assert_eq!(consumer.poll(Duration::ZERO).unwrap().len(), 1);
        let orders = ottla::TopicPartition::new("orders", 0);
        assert_eq!(consumer.position(&orders), Some(3), "behind the marker");
        consumer.commit().unwrap();
        consumer.close().unwrap();
        broker.close().unwrap();
        let broker = open(&disk);
        let mut consumer = broker.consumer("billing", ["orders"]).unwrap();
        assert_eq!(consumer.poll(Duration::ZERO).unwrap().len(), 0);
        assert_eq!(consumer.position(&orders), Some(3));
    }
}
