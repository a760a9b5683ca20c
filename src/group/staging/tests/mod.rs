use std::time::Duration;

use super::*;
use crate::broker::Broker;
use crate::consumer::Consumer;
use crate::consumer::config::ConsumerConfig;
use crate::disk::simulated::SimulatedDisk;
use crate::group::OFFSETS_TOPIC;
use crate::{Durability, TopicConfig};

mod beginning;
mod counting;
mod losses;
mod replaying;

const RECORDS: u64 = 10;

/// A broker with a topic of two partitions and ten records in each, and a clock that the test moves.
struct World {
    disk: SimulatedDisk,
    broker: Broker,
}

impl World {
    fn new() -> World {
        let disk = SimulatedDisk::new(1);
        let broker = open(&disk);
        make_topic(&broker);
        World { disk, broker }
    }

    /// Of group `g`, which has read everything that it is given.
    fn member(&self) -> Consumer {
        self.consumer(config())
    }

    fn consumer(&self, config: ConsumerConfig) -> Consumer {
        let mut consumer = self.broker.consumer_with(config).unwrap();
        consumer.poll(Duration::ZERO).unwrap();
        consumer
    }

    /// Reads the first partition of group `g` by hand, up to `offset`.
    fn by_hand(&self, offset: u64) -> Consumer {
        let mut consumer = self.broker.consumer_with(ConsumerConfig::new("g")).unwrap();
        consumer.assign(&[orders(0)]).unwrap();
        consumer.seek(&orders(0), crate::SeekTo::Offset(offset)).unwrap();
        consumer
    }

    fn groups(&self) -> &GroupCoordinator {
        self.broker.store.coordinator().unwrap()
    }

    fn decide(&self, transactional_id: &str) -> Result<()> {
        self.groups().decide("g", transactional_id, everything)
    }

    fn commit(&self, transactional_id: &str) {
        self.end(transactional_id, true);
    }

    fn abort(&self, transactional_id: &str) {
        self.end(transactional_id, false);
    }

    fn end(&self, transactional_id: &str, is_commit: bool) {
        self.groups().end_transaction("g", transactional_id, is_commit, everything).unwrap();
    }

    /// The transactional ids that have staged something for the group.
    fn staging(&self) -> Vec<Arc<str>> {
        self.groups().look("g", |group| group.staged.ids().cloned().collect()).unwrap_or_default()
    }

    /// What the group has committed in both partitions.
    fn committed(&self) -> [Option<u64>; 2] {
        committed(&self.broker)
    }
}

fn open(disk: &SimulatedDisk) -> Broker {
    Broker::builder("/data").background(false).durability(Durability::Os).disk(disk).open().unwrap()
}

fn make_topic(broker: &Broker) {
    broker.create_topic("orders", TopicConfig::new().partitions(2)).unwrap();
    for n in 0..2 * u32::try_from(RECORDS).unwrap() {
        broker.producer().send(ProducerRecord::to("orders").partition(n % 2)).unwrap();
    }
}

fn config() -> ConsumerConfig {
    ConsumerConfig::new("g").topics(["orders"])
}

fn orders(partition: u32) -> TopicPartition {
    TopicPartition::new("orders", partition)
}

fn at(partition: u32, offset: u64) -> (TopicPartition, CommittedOffset) {
    (orders(partition), CommittedOffset::new(offset))
}

/// What group `g` has committed in both partitions.
fn committed(broker: &Broker) -> [Option<u64>; 2] {
    [0, 1].map(|n| broker.committed("g", &orders(n)).unwrap().map(|committed| committed.offset()))
}

/// Sends where the consumer stands to the transaction.
fn stage(consumer: &Consumer, transactional_id: &str) -> Result<()> {
    consumer.stage_offsets(None, &transactional_id.into(), append_plainly)
}

/// Sends an offset of the first partition to the transaction.
fn stage_at(consumer: &Consumer, transactional_id: &str, offset: u64) {
    consumer.stage_offsets(Some(&[at(0, offset)]), &transactional_id.into(), append_plainly).unwrap();
}

/// The end of a transaction that has sent all there is.
fn everything(_: LogId) -> u64 {
    u64::MAX
}

/// As if the transaction had committed already.
fn append_plainly(log: &Arc<Log>, records: &[ProducerRecord<'_>]) -> Result<Range<u64>> {
    log.append_unsynced(records).map(|appended| appended.offsets()).map_err(|error| *error)
}

/// Lets these take all steps of a rebalance.
fn settle(consumers: &mut [&mut Consumer]) {
    for _ in 0..4 {
        for consumer in &mut *consumers {
            consumer.poll(Duration::ZERO).unwrap();
        }
    }
}

/// Why something was refused, and where.
fn refusal(result: Result<()>) -> (u32, &'static str) {
    match result {
        Err(Error::CommitRefused { group, partition, reason }) if group == "g" => (partition.partition(), reason),
        other => panic!("{other:?}"),
    }
}
