//! Full batches that wait in their slots to be sealed, as they do while a thread writes others of them to segments.

use std::path::Path;
use std::time::Duration;

use ottla::testing::{CrashModel, FaultKind, FaultRule, Operation, SimulatedDisk};
use ottla::{
    Broker, BrokerBuilder, ConsumerConfig, Durability, Error, Isolation, Partition, ProducerRecord, Timestamp,
    TopicConfig,
};

/// Fifteen of them fill a slot.
const VALUE_BYTES: usize = 4000;

fn leaving(builder: BrokerBuilder) -> BrokerBuilder {
    builder.background(false).leaves_full_batches()
}

fn on(disk: &SimulatedDisk) -> Broker {
    leaving(Broker::builder("/data")).disk(disk).open().unwrap()
}

fn partition(broker: &Broker, durability: Durability) -> Partition {
    broker.topic_with("log", TopicConfig::new().durability(durability)).unwrap().partition(0).unwrap()
}

fn value(number: u64) -> Vec<u8> {
    let mut value = vec![b'x'; VALUE_BYTES];
    value[..8].copy_from_slice(&number.to_be_bytes());
    value
}

fn send(partition: &Partition, numbers: std::ops::Range<u64>) {
    for number in numbers {
        let (value, timestamp) = (value(number), Timestamp::from_millis(1000 + number.cast_signed()));
        let sent = partition.append(&ProducerRecord::new().value(&value).timestamp(timestamp));
        assert_eq!(sent.unwrap(), number);
    }
}

/// How many there are; each has the value of its offset.
fn count(partition: &Partition) -> u64 {
    let mut count = 0;
    for record in partition.iter_from(0) {
        let record = record.unwrap();
        assert!(record.offset() == count && record.value() == Some(value(count).as_slice()), "{count}");
        count += 1;
    }
    count
}

fn log_bytes(broker: &Broker) -> u64 {
    broker.admin().describe("log").unwrap().partitions()[0].log_bytes()
}

/// How many bytes the segments of the log have.
fn segment_bytes(dir: &Path) -> u64 {
    let files = std::fs::read_dir(dir.join("log-0")).unwrap().map(Result::unwrap);
    let logs = files.filter(|file| file.path().extension().is_some_and(|extension| extension == "log"));
    logs.map(|log| log.metadata().unwrap().len()).sum()
}

#[test]
fn what_waits_is_read_by_everybody() {
    let dir = tempfile::tempdir().unwrap();
    let broker = leaving(Broker::builder(dir.path())).open().unwrap();
    let log = partition(&broker, Durability::Os);
    send(&log, 0..60);
    assert!(segment_bytes(dir.path()) < 10_000, "but a first, small slot");
    let beside = Broker::open_read_only(dir.path()).unwrap();
    for is_sealed in [false, true] {
        assert_eq!(count(&log), 60);
        assert_eq!(count(&beside.topic("log").unwrap().partition(0).unwrap()), 60);
        for number in [0, 17, 31, 45, 59] {
            let record = log.get(number).unwrap().unwrap();
            assert_eq!(record.value(), Some(value(number).as_slice()));
            let timestamp = Timestamp::from_millis(1000 + number.cast_signed());
            assert_eq!(log.offset_for_time(timestamp).unwrap(), Some(number));
        }
        let counters = broker.metrics().topics["log"].counters().unwrap();
        assert_eq!(counters.records_in, 60);
        let mut consumer = broker.consumer_with(ConsumerConfig::new(is_sealed.to_string()).topics(["log"])).unwrap();
        let polled = std::iter::repeat_with(|| consumer.poll(Duration::ZERO).unwrap().len()).take(60).sum::<usize>();
        assert_eq!(polled, 60);
        broker.run_maintenance().unwrap();
        assert!(segment_bytes(dir.path()) > 150_000);
    }
}

#[test]
fn what_waits_survives_the_death_of_the_process_and_what_is_durable_a_power_cut() {
    for durability in [Durability::Os, Durability::Always] {
        let disk = SimulatedDisk::new(1);
        let broker = on(&disk);
        send(&partition(&broker, durability), 0..60);
        let killed = on(&disk.kill(1));
        assert_eq!(count(&partition(&killed, durability)), 60);
        for seed in 0..20 {
            let after = on(&disk.crash(seed, CrashModel::Subset));
            let kept = after.topic("log").map_or(0, |_| count(&partition(&after, durability)));
            assert!(kept == 60 || durability == Durability::Os, "{kept}");
        }
    }
}

#[test]
fn on_a_full_disk_records_are_taken_as_long_as_there_are_slots_and_refused_then() {
    let disk = SimulatedDisk::new(1);
    let broker = on(&disk);
    let log = partition(&broker, Durability::Os);
    send(&log, 0..60);
    disk.limit_capacity(Some(disk.used_bytes()));
    let mut sent = 60;
    let refused = loop {
        match log.append(&ProducerRecord::new().value(value(sent))) {
            Ok(offset) => sent = offset + 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(refused, Error::DiskFull { .. }), "{refused}");
    assert!(120 < sent && sent < 400, "{sent}");
    assert_eq!(count(&log), sent);
    assert!(matches!(log.append(&ProducerRecord::new().value(value(sent))), Err(Error::DiskFull { .. })));
    assert_eq!(count(&partition(&on(&disk.kill(1)), Durability::Os)), sent);
    disk.limit_capacity(None);
    send(&log, sent..sent + 100);
    broker.close().unwrap();
    assert_eq!(count(&partition(&on(&disk), Durability::Os)), sent + 100);
}

#[test]
fn a_segment_that_cannot_be_written_closes_the_log_for_writing_and_costs_no_record() {
    let disk = SimulatedDisk::new(1);
    let broker = on(&disk);
    let log = partition(&broker, Durability::Os);
    send(&log, 0..60);
    disk.fail(FaultRule::new(FaultKind::InputOutput).on(Operation::Write).path_containing("log-0").forever());
    _ = broker.run_maintenance();
    let refused = log.append(&ProducerRecord::new().value(value(60)));
    assert!(matches!(refused, Err(Error::Poisoned { .. })), "{refused:?}");
    assert_eq!(count(&log), 60);
    assert!(broker.close().is_err());
    let disk = disk.kill(1);
    disk.clear_faults();
    assert_eq!(count(&partition(&on(&disk), Durability::Os)), 60);
}

#[test]
fn a_transaction_of_several_slots_is_seen_whole_or_not_at_all() {
    let disk = SimulatedDisk::new(1);
    let broker = on(&disk);
    let log = partition(&broker, Durability::Always);
    let mut producer = broker.transactional_producer("payments").unwrap();
    for (round, commits) in [false, true].into_iter().enumerate() {
        let transaction = producer.begin().unwrap();
        for number in 0..60 {
            transaction.send(ProducerRecord::to("log").value(value(number))).unwrap();
        }
        let of = |broker: &Broker, isolation| {
            let config = ConsumerConfig::new(format!("{round} {isolation:?}")).topics(["log"]).isolation(isolation);
            let mut consumer = broker.consumer_with(config).unwrap();
            std::iter::repeat_with(|| consumer.poll(Duration::ZERO).unwrap().len()).take(300).sum::<usize>()
        };
        assert_eq!(of(&broker, Isolation::ReadCommitted), 0);
        if commits {
            transaction.commit().unwrap();
        } else {
            transaction.abort().unwrap();
        }
        let expected = if commits { 60 } else { 0 };
        for broker in [&broker, &on(&disk.kill(1)), &on(&disk.crash(1, CrashModel::Subset))] {
            assert_eq!(of(broker, Isolation::ReadCommitted), expected);
        }
        broker.run_maintenance().unwrap();
        assert_eq!(of(&on(&disk.kill(1)), Isolation::ReadCommitted), expected);
    }
    assert!(log.log_end_offset() > 120 && log_bytes(&broker) > 0);
}

#[test]
fn a_deleted_topic_takes_what_waits_with_it() {
    let disk = SimulatedDisk::new(1);
    let broker = on(&disk);
    let log = partition(&broker, Durability::Os);
    send(&log, 0..60);
    broker.admin().delete_topic("log").unwrap();
    assert!(matches!(log.append(&ProducerRecord::new().value("late")), Err(Error::Closed { .. })));
    let next = partition(&broker, Durability::Os);
    assert_eq!(count(&next), 0);
    send(&next, 0..20);
    broker.run_maintenance().unwrap();
    assert_eq!(count(&next), 20);
    broker.close().unwrap();
    assert_eq!(count(&partition(&on(&disk), Durability::Os)), 20);
}

#[test]
fn what_waits_in_the_tail_of_another_durability_is_durable_after_a_flush() {
    let disk = SimulatedDisk::new(1);
    let broker = on(&disk);
    // The other tail has slots.
    let other =
        broker.topic_with("other", TopicConfig::new().durability(Durability::Os)).unwrap().partition(0).unwrap();
    send(&other, 0..5);
    let log = partition(&broker, Durability::Always);
    send(&log, 0..5);
    let before = log_bytes(&broker);
    // What is open stays so, in the tail of what it was.
    disk.fail(FaultRule::new(FaultKind::StorageFull).on(Operation::Write).path_containing("log-0"));
    broker.admin().alter_topic("log", |config| config.durability(Durability::Os)).unwrap();
    disk.clear_faults();
    assert_eq!(log_bytes(&broker), before);
    send(&log, 5..20);
    broker.flush().unwrap();
    for seed in 0..20 {
        let after = on(&disk.crash(seed, CrashModel::Subset));
        assert_eq!(count(&partition(&after, Durability::Os)), 20);
    }
}

#[test]
fn what_could_not_be_sealed_is_sealed_with_the_next_and_calls_for_no_sync() {
    let disk = SimulatedDisk::new(1);
    let broker = on(&disk);
    let log = partition(&broker, Durability::Os);
    send(&log, 0..20);
    broker.run_maintenance().unwrap();
    assert!(log_bytes(&broker) > 0);
    send(&log, 20..110);
    disk.fail(FaultRule::new(FaultKind::StorageFull).on(Operation::Write).path_containing("log-0").forever());
    let syncs = || disk.log().iter().filter(|call| call.operation == Operation::Sync).count();
    let before = syncs();
    broker.run_maintenance().unwrap();
    assert_eq!(syncs(), before, "what waits is not freed by it");
    disk.clear_faults();
    send(&log, 110..126);
    broker.run_maintenance().unwrap();
    assert!(log_bytes(&broker) > 105 * VALUE_BYTES as u64, "{}", log_bytes(&broker));
}
