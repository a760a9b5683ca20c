//! Which partitions a consumer reads: those of its topics as they come and go, or those that it was given.

use std::time::Duration;

use ottla::{Broker, ConsumerConfig, Error, ProducerRecord, TopicConfig, TopicPartition};

const SOON: Duration = Duration::from_secs(5);

fn orders(partition: u32) -> TopicPartition {
    TopicPartition::new("orders", partition)
}

#[test]
fn a_topic_that_is_created_later_is_read() {
    let broker = Broker::temporary().unwrap();
    let mut consumer = broker.consumer("g", ["orders"]).unwrap();
    assert!(consumer.poll(Duration::ZERO).unwrap().is_empty());
    assert!(consumer.assignment().is_empty());
    broker.topic("orders").unwrap().produce("k", "v").unwrap();
    assert_eq!(consumer.poll(SOON).unwrap().len(), 1);
    assert_eq!(consumer.assignment(), [orders(0)]);
}

#[test]
fn partitions_that_are_added_are_read_and_positions_stay() {
    let broker = Broker::temporary().unwrap();
    let topic = broker.topic("orders").unwrap();
    topic.produce("k", "v").unwrap();
    let mut consumer = broker.consumer("g", ["orders"]).unwrap();
    assert_eq!(consumer.poll(SOON).unwrap().len(), 1);
    broker.admin().add_partitions("orders", 3).unwrap();
    for partition in 0..3 {
        broker.producer().send(ProducerRecord::to("orders").partition(partition)).unwrap();
    }
    let records = consumer.poll(SOON).unwrap();
    let mut read: Vec<_> = records.iter().map(|record| (record.partition(), record.offset())).collect();
    read.sort_unstable();
    assert_eq!(read, [(0, 1), (1, 0), (2, 0)]);
    assert_eq!(consumer.assignment().len(), 3);
    consumer.commit().unwrap();
    assert_eq!(consumer.committed(&orders(2)).unwrap().offset(), 1);
}

#[test]
fn a_topic_that_is_deleted_is_let_go_and_its_successor_read_from_the_start() {
    let broker = Broker::temporary().unwrap();
    for name in ["orders", "other"] {
        let topic = broker.topic(name).unwrap();
        (0..5).for_each(|n| drop(topic.produce("k", n.to_string()).unwrap()));
    }
    let mut consumer = broker.consumer("g", ["orders", "other"]).unwrap();
    assert_eq!(consumer.poll(SOON).unwrap().len(), 10);
    consumer.commit().unwrap();
    broker.admin().delete_topic("orders").unwrap();
    broker.topic("other").unwrap().produce("k", "v").unwrap();
    assert_eq!(consumer.poll(SOON).unwrap().len(), 1);
    assert_eq!(consumer.assignment(), [TopicPartition::new("other", 0)]);
    assert_eq!(consumer.committed(&orders(0)), None);
    broker.topic("orders").unwrap().produce("k", "new").unwrap();
    let records = consumer.poll(SOON).unwrap();
    let record = records.iter().next().unwrap();
    assert_eq!((record.offset(), record.value_str().unwrap()), (0, "new"));
}

#[test]
fn an_assignment_is_exactly_what_was_given() {
    let broker = Broker::temporary().unwrap();
    broker.create_topic("orders", TopicConfig::new().partitions(3)).unwrap();
    for partition in 0..3 {
        broker.producer().send(ProducerRecord::to("orders").partition(partition)).unwrap();
    }
    let mut consumer = broker.consumer_with(ConsumerConfig::new("g")).unwrap();
    assert!(consumer.poll(Duration::ZERO).unwrap().is_empty());
    consumer.assign(&[orders(2), orders(0)]).unwrap();
    assert_eq!(consumer.assignment(), [orders(2), orders(0)]);
    let records = consumer.poll(SOON).unwrap();
    assert_eq!(records.len(), 2);
    assert!(records.iter().all(|record| record.partition() != 1));
    assert!(matches!(consumer.assign(&[orders(3)]), Err(Error::UnknownPartition { .. })));
    assert!(matches!(consumer.assign(&[TopicPartition::new("no", 0)]), Err(Error::UnknownTopic { .. })));
    assert_eq!(consumer.assignment(), [orders(2), orders(0)], "a refused assignment changes nothing");
    broker.admin().add_partitions("orders", 4).unwrap();
    consumer.poll(Duration::ZERO).unwrap();
    assert_eq!(consumer.assignment(), [orders(2), orders(0)]);
    consumer.assign(&[orders(0)]).unwrap();
    assert_eq!(consumer.position(&orders(0)), Some(1), "a partition that stays keeps its position");
}

#[test]
fn a_deleted_topic_that_was_assigned_by_hand_is_an_error() {
    let broker = Broker::temporary().unwrap();
    broker.topic("orders").unwrap().produce("k", "v").unwrap();
    let mut consumer = broker.consumer_with(ConsumerConfig::new("g")).unwrap();
    consumer.assign(&[orders(0)]).unwrap();
    broker.admin().delete_topic("orders").unwrap();
    assert!(matches!(consumer.poll(Duration::ZERO), Err(Error::Closed { .. })));
}
