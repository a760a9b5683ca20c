//! Directories with some of everything, and what can be read in them.

use std::ops::Range;
use std::time::Duration;

use ottla::testing::{CrashModel, SimulatedDisk};
use ottla::{
    Broker, BrokerBuilder, CleanupPolicy, CommittedOffset, ConsumerConfig, Durability, Isolation, Partition,
    ProducerRecord, RecoveryMode, TopicConfig, TopicPartition, TransactionalProducer,
};

pub(crate) const DATA: &str = "/data";

/// Of values, so that slots and segments are full after a few records. The spaces are left out of what is read.
const VALUE_BYTES: usize = 6000;

pub(crate) fn builder(disk: &SimulatedDisk, dir: &str) -> BrokerBuilder {
    Broker::builder(dir).disk(disk).background(false).durability(Durability::Os)
}

pub(crate) fn open(disk: &SimulatedDisk, dir: &str) -> Broker {
    builder(disk, dir).open().unwrap()
}

pub(crate) fn open_read_only(disk: &SimulatedDisk, dir: &str) -> Broker {
    builder(disk, dir).recovery_mode(RecoveryMode::ReadOnly).open().unwrap()
}

/// Segments of a few records.
pub(crate) fn small_segments() -> TopicConfig {
    TopicConfig::new().segment_bytes(2000)
}

pub(crate) fn compacted() -> TopicConfig {
    small_segments().cleanup_policy(CleanupPolicy::Compact).min_cleanable_dirty_ratio(0.01)
}

/// Sends values of these numbers, with seven keys.
pub(crate) fn send(broker: &Broker, topic: &str, numbers: Range<u64>) {
    let topic = broker.topic(topic).unwrap();
    for number in numbers {
        topic.produce(format!("key-{}", number % 7), format!("{number:<VALUE_BYTES$}")).unwrap();
    }
}

pub(crate) fn partition(broker: &Broker, topic: &str) -> Partition {
    broker.existing_topic(topic).unwrap().partition(0).unwrap()
}

/// Has a group read and commit all that there is in a topic.
pub(crate) fn read_all(broker: &Broker, group: &str, topic: &str) -> usize {
    let mut consumer = broker.consumer(group, [topic]).unwrap();
    let mut count = 0;
    loop {
        let records = consumer.poll(Duration::ZERO).unwrap().len();
        count += records;
        if records == 0 {
            consumer.commit().unwrap();
            return count;
        }
    }
}

/// What a group has committed in partition 0 of a topic.
pub(crate) fn committed(broker: &Broker, group: &str, topic: &str) -> Option<u64> {
    let described = broker.admin().describe_group(group).unwrap();
    let wanted = TopicPartition::new(topic, 0);
    let found = described.partitions().iter().find(|found| *found.topic_partition() == wanted)?;
    found.committed().map(CommittedOffset::offset)
}

/// A transaction of five records in `payments`.
pub(crate) fn transact(producer: &mut TransactionalProducer, round: u64, is_committed: bool) {
    let transaction = producer.begin().unwrap();
    for number in 0..5 {
        let value = format!("{:<VALUE_BYTES$}", format!("payment {round} {number}"));
        transaction.send(ProducerRecord::to("payments").key("k").value(&value)).unwrap();
    }
    if is_committed { transaction.commit().unwrap() } else { transaction.abort().unwrap() }
}

/// Topics of all kinds, a group, and transactions that were committed and aborted.
pub(crate) fn fill(broker: &Broker) {
    broker.create_topic("orders", small_segments().partitions(2)).unwrap();
    broker.create_topic("state", compacted()).unwrap();
    broker.create_topic("payments", small_segments()).unwrap();
    broker.create_topic("empty", small_segments()).unwrap();
    send(broker, "orders", 0..60);
    send(broker, "state", 0..60);
    read_all(broker, "billing", "orders");
    let mut producer = broker.transactional_producer("payments").unwrap();
    for round in 0..6 {
        transact(&mut producer, round, round % 3 != 1);
    }
    broker.run_maintenance().unwrap();
    _ = broker.admin().compact("state").unwrap();
    send(broker, "orders", 60..70);
}

/// What there is in a partition, as its readers see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Content {
    pub(crate) partition: TopicPartition,
    pub(crate) offsets: Range<u64>,
    pub(crate) last_stable_offset: u64,
    pub(crate) committed: Vec<String>,
    pub(crate) uncommitted: Vec<String>,
}

/// What can be read in all partitions of all topics.
pub(crate) fn contents(broker: &Broker) -> Vec<Content> {
    let mut contents = Vec::new();
    for name in broker.admin().list_topics().unwrap() {
        let partitions = broker.existing_topic(&name).unwrap().partitions();
        contents.extend(partitions.map(|partition| content(broker, &partition)));
    }
    contents
}

pub(crate) fn content(broker: &Broker, partition: &Partition) -> Content {
    let seen_by = |isolation| values(broker, partition.topic_partition(), isolation);
    Content {
        partition: partition.topic_partition().clone(),
        offsets: partition.log_start_offset()..partition.log_end_offset(),
        last_stable_offset: partition.last_stable_offset(),
        committed: seen_by(Isolation::ReadCommitted),
        uncommitted: seen_by(Isolation::ReadUncommitted),
    }
}

fn values(broker: &Broker, partition: &TopicPartition, isolation: Isolation) -> Vec<String> {
    let records = records(broker, partition, isolation).into_iter();
    records.map(|(offset, value)| format!("{offset}: {value}")).collect()
}

/// What readers of this isolation see of a partition: offsets, and values without the spaces that make them large.
pub(crate) fn records(broker: &Broker, partition: &TopicPartition, isolation: Isolation) -> Vec<(u64, String)> {
    let config = ConsumerConfig::new("readers").isolation(isolation);
    let mut consumer = broker.consumer_with(config).unwrap();
    consumer.assign(std::slice::from_ref(partition)).unwrap();
    let text = |value: &[u8]| String::from_utf8_lossy(value).trim_end().to_owned();
    let mut seen = Vec::new();
    loop {
        let records = consumer.poll(Duration::ZERO).unwrap();
        if records.is_empty() {
            return seen;
        }
        let shown = records.iter().map(|record| (record.offset(), record.value().map_or("none".to_owned(), text)));
        seen.extend(shown);
    }
}

/// What a power cut leaves, by one of the models in turn.
pub(crate) fn crash(disk: &SimulatedDisk, seed: u64) -> SimulatedDisk {
    let model = CrashModel::ALL.into_iter().cycle().nth(usize::try_from(seed % 4).unwrap());
    disk.crash(seed, model.unwrap())
}
