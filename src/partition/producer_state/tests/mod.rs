//! Logs with transactions: those that a broker of Kafka wrote, others made of single batches, and such as are sent here.

mod batches;
mod compacted;
mod ending;
#[cfg(all(feature = "lz4", feature = "zstd"))]
mod kafka;
mod reading;
mod sending;
mod snapshots;
mod surviving;

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::disk::simulated::SimulatedDisk;
use crate::format::ProducerIdAndEpoch;
use crate::partition::FetchLimits;
use crate::partition::log::Log;
use crate::segment::file_name::{FileKind, FileName};
use crate::{
    Broker, BrokerBuilder, ConsumerConfig, ConsumerRecords, Durability, Isolation, Partition, ProducerRecord,
    RecoveryMode, SeekTo, TopicConfig, TopicPartition,
};

const DIR: &str = "/data";
const LOG_DIR: &str = "/data/t-0";

fn builder(disk: &SimulatedDisk) -> BrokerBuilder {
    Broker::builder(DIR).disk(disk).background(false).tail_bytes(1 << 20).leave_transactions_open()
}

fn open(disk: &SimulatedDisk) -> (Broker, Partition) {
    let broker = builder(disk).open().unwrap();
    let partition = broker.topic("t").unwrap().partition(0).unwrap();
    (broker, partition)
}

fn open_read_only(disk: &SimulatedDisk) -> (Broker, Partition) {
    let broker = builder(disk).recovery_mode(RecoveryMode::ReadOnly).open().unwrap();
    let partition = broker.topic("t").unwrap().partition(0).unwrap();
    (broker, partition)
}

fn live(base_offset: u64, kind: FileKind) -> PathBuf {
    FileName::live(base_offset, kind).path(Path::new(LOG_DIR))
}

/// A disk with a topic whose log has these files, of which the first begins at offset 0: nothing else is known of them.
fn disk_with(config: TopicConfig, logs: &[(u64, Vec<u8>)]) -> SimulatedDisk {
    let disk = SimulatedDisk::new(1);
    let broker = builder(&disk).open().unwrap();
    broker.create_topic("t", config).unwrap();
    broker.close().unwrap();
    for (base_offset, bytes) in logs {
        disk.put(live(*base_offset, FileKind::Log), bytes);
    }
    disk
}

/// The offsets that a reader of committed records finds.
fn committed(partition: &Partition) -> Vec<u64> {
    let start = partition.log_start_offset();
    partition.iter_from(start).map(|record| record.unwrap().offset()).collect()
}

/// The offsets that a consumer of this isolation is given, from the start on, so many a poll; and its lag in the end.
fn polled(broker: &Broker, isolation: Isolation, max_poll_records: u32) -> (Vec<u64>, u64) {
    let config = ConsumerConfig::new("all").isolation(isolation).max_poll_records(max_poll_records);
    let mut consumer = broker.consumer_with(config).unwrap();
    consumer.assign(&[TopicPartition::new("t", 0)]).unwrap();
    consumer.seek(&TopicPartition::new("t", 0), SeekTo::Earliest).unwrap();
    let mut offsets = Vec::new();
    loop {
        let records = consumer.poll(Duration::ZERO).unwrap();
        if records.is_empty() {
            let lag = consumer.lag(&TopicPartition::new("t", 0)).unwrap();
            return (offsets, lag);
        }
        offsets.extend(records.iter().map(|record| record.offset()));
    }
}

/// The files of a kind, by their offsets.
fn files(disk: &SimulatedDisk, kind: FileKind) -> Vec<(u64, Vec<u8>)> {
    let names = crate::segment::file_name::list(disk, Path::new(LOG_DIR)).unwrap();
    let names = names.into_iter().filter(|name| name.kind == kind && *name == FileName::live(name.base_offset, kind));
    names.map(|name| (name.base_offset, disk.read(live(name.base_offset, kind)).unwrap())).collect()
}

/// Seals what is open, and begins a new segment.
fn roll(partition: &Partition) {
    let log = partition.writable().unwrap();
    log.seal_if_idle().unwrap();
    log.seal_if_idle().unwrap();
    log.sealing().roll_active().unwrap();
}

/// A producer in its first epoch.
fn producer(id: i64) -> ProducerIdAndEpoch {
    ProducerIdAndEpoch { id, epoch: 0 }
}

/// Sends records with these values, in one piece, in the transaction of a producer. Returns the first offset.
fn send(log: &Log, producer: ProducerIdAndEpoch, values: &[&str]) -> u64 {
    let records: Vec<_> = values.iter().map(|value| ProducerRecord::new().key(*value).value(*value)).collect();
    log.prepare_append().unwrap();
    log.append_transactional(producer, &records).unwrap().base_offset
}

/// Sends a record that belongs to no transaction. Returns its offset.
fn send_plainly(partition: &Partition, value: &str) -> u64 {
    partition.append(&ProducerRecord::new().key(value).value(value)).unwrap()
}

fn commit(log: &Log, producer: ProducerIdAndEpoch) -> bool {
    log.end_transaction(producer, true, 0).unwrap()
}

fn abort(log: &Log, producer: ProducerIdAndEpoch) -> bool {
    log.end_transaction(producer, false, 0).unwrap()
}

/// The first offsets of the transactions that have no marker.
fn open_in(partition: &Partition) -> Vec<u64> {
    let log = partition.writable().unwrap();
    let open: Vec<_> = log.open_transactions().iter().map(|open| open.first_offset).collect();
    assert_eq!(log.has_open_transactions(), !open.is_empty());
    open
}

/// All offsets that this isolation sees.
fn seen(partition: &Partition, isolation: Isolation) -> Vec<u64> {
    let (mut offsets, mut next) = (Vec::new(), partition.log_start_offset());
    let limits = FetchLimits { bytes_max: 1 << 20, records_max: 1000 };
    while next < partition.source.end(isolation) {
        let (fetched, mut records) =
            (partition.source.fetch(next, limits, isolation).unwrap(), ConsumerRecords::default());
        assert!(next < fetched.next_offset);
        next = fetched.next_offset;
        records.push(fetched);
        offsets.extend(records.iter().map(|record| record.offset()));
    }
    offsets
}
