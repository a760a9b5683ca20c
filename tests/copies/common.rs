//! Directories with some of everything, and what can be read in them.

use std::path::Path;
use std::time::Duration;

use ottla::{
    Broker, CleanupPolicy, ConsumerConfig, Durability, Isolation, OwnedRecord, Partition, TopicConfig, TopicPartition,
};

/// What there is in a partition, as its readers see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Content {
    pub partition: TopicPartition,
    pub log_start_offset: u64,
    pub log_end_offset: u64,
    pub last_stable_offset: u64,
    pub committed: Vec<(u64, Vec<u8>)>,
    pub uncommitted: Vec<(u64, Vec<u8>)>,
}

pub fn open(dir: &Path) -> Broker {
    Broker::builder(dir).background(false).durability(Durability::Os).open().unwrap()
}

/// Segments of a few records.
pub fn small_segments() -> TopicConfig {
    TopicConfig::new().segment_bytes(2000)
}

pub fn compacted() -> TopicConfig {
    small_segments().cleanup_policy(CleanupPolicy::Compact)
}

/// Sends `count` values to partition 0 of a topic that is there.
pub fn send(broker: &Broker, topic: &str, keys: std::ops::Range<u64>) {
    let topic = broker.topic(topic).unwrap();
    for key in keys {
        topic.produce(format!("key-{}", key % 7), format!("value {key} {}", "x".repeat(100))).unwrap();
    }
}

/// Has a group read and commit everything that there is in a topic.
pub fn read_all(broker: &Broker, group: &str, topic: &str) -> usize {
    let mut consumer = broker.consumer(group, [topic]).unwrap();
    let mut count = 0;
    loop {
        let records = consumer.poll(Duration::ZERO).unwrap().len();
        if records == 0 {
            consumer.commit().unwrap();
            return count;
        }
        count += records;
    }
}

/// A broker with topics of all kinds, groups, and transactions that were committed and aborted.
pub fn with_everything(broker: &Broker) {
    broker.create_topic("orders", small_segments().partitions(2)).unwrap();
    broker.create_topic("state", compacted()).unwrap();
    broker.create_topic("payments", small_segments()).unwrap();
    broker.create_topic("empty", small_segments()).unwrap();
    send(broker, "orders", 0..60);
    send(broker, "state", 0..60);
    read_all(broker, "billing", "orders");
    let producer = broker.transactional_producer("payments").unwrap();
    for round in 0..6 {
        let mut transaction = producer.begin().unwrap();
        for number in 0..5 {
            let value = format!("payment {round} {number} {}", "y".repeat(100));
            transaction.send(&ottla::ProducerRecord::to("payments").value(value.as_bytes())).unwrap();
        }
        if round % 3 == 1 { transaction.abort().unwrap() } else { transaction.commit().unwrap() }
    }
    broker.run_maintenance().unwrap();
    send(broker, "orders", 60..70);
}

/// What can be read in all partitions of all topics.
pub fn contents(broker: &Broker) -> Vec<Content> {
    let mut contents = Vec::new();
    for name in broker.admin().list_topics().unwrap() {
        let topic = broker.topic(&name).unwrap();
        for number in 0..topic.partition_count() {
            contents.push(content(&topic.partition(number).unwrap()));
        }
    }
    contents
}

pub fn content(partition: &Partition) -> Content {
    Content {
        partition: partition.topic_partition().clone(),
        log_start_offset: partition.log_start_offset(),
        log_end_offset: partition.log_end_offset(),
        last_stable_offset: partition.last_stable_offset(),
        committed: values(partition, Isolation::ReadCommitted),
        uncommitted: values(partition, Isolation::ReadUncommitted),
    }
}

fn values(partition: &Partition, isolation: Isolation) -> Vec<(u64, Vec<u8>)> {
    let _ = isolation;
    let records = partition.iter_from(partition.log_start_offset());
    records.map(|record| record.unwrap()).map(|record: OwnedRecord| (record.offset(), record.value().unwrap_or_default().to_vec())).collect()
}

/// What a group has committed in partition 0 of a topic.
pub fn committed(broker: &Broker, group: &str, topic: &str) -> Option<u64> {
    let described = broker.admin().describe_group(group).ok()?;
    let partition = TopicPartition::new(topic, 0);
    described.partitions().iter().find(|found| *found.topic_partition() == partition)?.committed_offset()
}

#[allow(dead_code, reason = "for readers of one isolation")]
pub fn config() -> ConsumerConfig {
    ConsumerConfig::new()
}
