//! Transactions: all of one or nothing, whoever ends it, and whatever happens in between.

mod ending;
mod fencing;
mod holding;
mod offsets;
mod reopening;

use std::time::Duration;

use ottla::testing::SimulatedDisk;
use ottla::{
    Broker, BrokerBuilder, ConsumerConfig, Error, Isolation, Partition, ProducerRecord, TopicConfig, Transaction,
    TransactionalProducer,
};

use crate::text;

fn builder(disk: &SimulatedDisk) -> BrokerBuilder {
    Broker::builder("/data").disk(disk).background(false)
}

fn open(disk: &SimulatedDisk) -> Broker {
    builder(disk).open().unwrap()
}

/// A broker with these topics, of one partition each.
fn with_topics(disk: &SimulatedDisk, topics: &[&str]) -> Broker {
    let broker = open(disk);
    for topic in topics {
        broker.topic_with(topic, TopicConfig::new()).unwrap();
    }
    broker
}

fn producer(broker: &Broker) -> TransactionalProducer {
    broker.transactional_producer("p").unwrap()
}

fn send(transaction: &Transaction<'_>, topic: &str, value: &str) -> u64 {
    transaction.send(ProducerRecord::to(topic).key(value).value(value)).unwrap().offset()
}

fn partition(broker: &Broker, topic: &str) -> Partition {
    broker.existing_topic(topic).unwrap().partition(0).unwrap()
}

/// What readers of this isolation see of a topic, by a consumer that reads it from the beginning.
fn seen_by(broker: &Broker, topic: &str, isolation: Isolation) -> Vec<String> {
    let config = ConsumerConfig::new("readers").isolation(isolation);
    let mut consumer = broker.consumer_with(config).unwrap();
    let all = broker.existing_topic(topic).unwrap().partitions().map(|one| one.topic_partition().clone());
    consumer.assign(&all.collect::<Vec<_>>()).unwrap();
    let mut seen = Vec::new();
    loop {
        let records = consumer.poll(Duration::ZERO).unwrap();
        if records.is_empty() {
            return seen;
        }
        seen.extend(records.iter().map(|record| text(record.value().unwrap())));
    }
}

fn committed(broker: &Broker, topic: &str) -> Vec<String> {
    seen_by(broker, topic, Isolation::ReadCommitted)
}

fn uncommitted(broker: &Broker, topic: &str) -> Vec<String> {
    seen_by(broker, topic, Isolation::ReadUncommitted)
}

/// That no transaction is open in this topic: readers get to its end, and who keeps it may go on.
fn is_settled(broker: &Broker, topic: &str) {
    let log = partition(broker, topic);
    assert_eq!(log.last_stable_offset(), log.high_watermark(), "{topic}");
    assert!(broker.admin().health().open_transactions.is_empty());
    assert!(!broker.admin().list_transactions().unwrap().iter().any(ottla::TransactionDescription::is_open));
}

fn epoch(broker: &Broker) -> i16 {
    broker.admin().describe_transaction("p").unwrap().producer_epoch()
}

fn is_fenced<T: std::fmt::Debug>(result: ottla::Result<T>) -> ottla::FencedBy {
    match result {
        Err(error @ Error::Fenced { by, .. }) => {
            assert!(error.is_fatal() && !error.requires_abort(), "{error}");
            by
        }
        other => panic!("{other:?}"),
    }
}
