//! Export to a broker and import from one.
//!
//! The failure that this is about: a topic moves, and a year later somebody finds that a record is missing, is there twice, or was never
//! committed. So what a broker itself wrote is imported and compared with what the broker says of it (`kafka_directories`), what is
//! exported is read by a decoder that is not ours (`decoder`, `round_trip`), and whatever fails in between, or ends it, leaves
//! everything as it was (`hostile`, `crashes`).

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of tests may panic as the tests do")]
#![allow(clippy::disallowed_types, reason = "what is exported is looked at from outside")]

mod crashes;
mod data;
mod decoder;
mod hostile;
mod kafka_directories;
mod round_trip;

use std::path::Path;
use std::time::Duration;

use ottla::testing::SimulatedDisk;
use ottla::{Broker, ConsumerConfig, Durability, Isolation, OwnedRecord};

/// A broker that does not wait for the disk.
fn open(dir: impl AsRef<Path>) -> Broker {
    Broker::builder(dir).durability(Durability::Os).background(false).open().unwrap()
}

/// The same on a disk in memory.
fn open_on(disk: &SimulatedDisk) -> ottla::Result<Broker> {
    Broker::builder("/data").disk(disk).durability(Durability::Always).background(false).open()
}

/// All records of a topic that readers of this isolation see, by partition and offset.
fn seen_by(broker: &Broker, topic: &str, isolation: Isolation) -> Vec<OwnedRecord> {
    let config = ConsumerConfig::new("readers").isolation(isolation).offset_reset(ottla::OffsetReset::Earliest);
    let mut consumer = broker.consumer_with(config).unwrap();
    let all = broker.existing_topic(topic).unwrap().partitions().map(|one| one.topic_partition().clone());
    consumer.assign(&all.collect::<Vec<_>>()).unwrap();
    let mut seen: Vec<OwnedRecord> = Vec::new();
    loop {
        let records = consumer.poll(Duration::ZERO).unwrap();
        if records.is_empty() {
            seen.sort_by_key(|record| (record.partition(), record.offset()));
            return seen;
        }
        seen.extend(records.iter().map(|record| record.detach()));
    }
}

/// That nothing is wrong with what is on the disk.
fn is_whole(broker: &Broker) {
    let report = broker.admin().verify().unwrap();
    assert!(report.is_clean(), "{report}");
    assert!(broker.recovery_report().is_clean(), "{}", broker.recovery_report());
    assert!(broker.admin().health().open_transactions.is_empty());
}
