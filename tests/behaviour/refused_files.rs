//! What the operating system refuses of one partition is that partition's trouble alone: it says so, and the others are served.

use std::time::Duration;

use ottla::testing::{CrashModel, FaultKind, FaultRule, Operation, SimulatedDisk};
use ottla::{
    Broker, ConsumerConfig, Durability, Error, Partition, PartitionRecovery, ProducerRecord, RecoveryMode, Result,
    Timestamp, TopicConfig, TopicPartition,
};

use crate::all_from;

const KINDS: [FaultKind; 2] = [FaultKind::InputOutput, FaultKind::PermissionDenied];

fn open_with(disk: &SimulatedDisk, mode: RecoveryMode) -> Result<Broker> {
    Broker::builder("/data").background(false).disk(disk).recovery_mode(mode).open()
}

fn open(disk: &SimulatedDisk) -> Broker {
    open_with(disk, RecoveryMode::TolerateTail).unwrap()
}

fn partition(broker: &Broker, number: u32) -> Partition {
    broker.topic("orders").unwrap().partition(number).unwrap()
}

/// Three partitions with sealed segments, one that is being written, and 20 records each, too large for the tail.
fn three_partitions() -> (SimulatedDisk, Broker) {
    let disk = SimulatedDisk::new(1);
    let broker = open(&disk);
    let config = TopicConfig::new().partitions(3).segment_bytes(256 << 10).durability(Durability::Os);
    broker.create_topic("orders", config).unwrap();
    for number in 0..3 {
        for _ in 0..20 {
            partition(&broker, number).append(&ProducerRecord::to("orders").value(&[7; 70_000])).unwrap();
        }
    }
    broker.flush().unwrap();
    broker.run_maintenance().unwrap();
    (disk, broker)
}

/// Makes all calls that open, read or list fail where the path contains `part`.
fn refuse(disk: &SimulatedDisk, kind: FaultKind, part: &str) {
    for operation in [Operation::Open, Operation::Read, Operation::List] {
        disk.fail(FaultRule::new(kind).on(operation).path_containing(part).forever());
    }
}

/// That the error is the operating system's for something with this in its path.
fn is_refused<T: std::fmt::Debug>(result: Result<T>, kind: FaultKind, part: &str) {
    match result {
        Err(error @ Error::Io { .. }) => {
            assert!(!error.is_retriable(), "{error}");
            assert!(error.to_string().contains(part), "{error} does not name {part}");
            let Error::Io { source, .. } = error else { unreachable!() };
            match kind {
                FaultKind::InputOutput if cfg!(unix) => assert_eq!(source.raw_os_error(), Some(5)),
                FaultKind::PermissionDenied => assert_eq!(source.kind(), std::io::ErrorKind::PermissionDenied),
                _ => {}
            }
        }
        other => panic!("{kind:?} of {part}: {other:?}"),
    }
}

/// That every call on partition 1 is refused, and the others are as they were.
fn only_one_is_refused(disk: &SimulatedDisk, kind: FaultKind, part: &str) {
    let refused = TopicPartition::new("orders", 1);
    let reader = open_with(disk, RecoveryMode::ReadOnly).unwrap();
    let broker = open(disk);
    for broker in [&reader, &broker] {
        let report = broker.recovery_report();
        assert!(!report.is_clean() && report.to_string().contains(part), "{report}");
        let failed = report.partitions().iter().filter(|found| found.failure().is_some());
        assert_eq!(failed.map(PartitionRecovery::topic_partition).collect::<Vec<_>>(), [&refused], "{report}");
        assert_eq!(report.damage().count(), 0, "{report}");
        let found = report.partitions().iter().find(|found| found.topic_partition() == &refused).unwrap();
        is_refused(Err::<(), _>(found.failure().unwrap()), kind, part);

        let log = partition(broker, 1);
        is_refused(log.read(0, 100), kind, part);
        is_refused(log.offset_for_time(Timestamp::from_millis(0)), kind, part);
        is_refused(log.iter_from(0).next().unwrap(), kind, part);
        let verified = broker.admin().verify().unwrap();
        assert!(!verified.is_clean() && verified.to_string().contains(part), "{verified}");
        let failures = verified.partitions().iter().filter_map(ottla::PartitionVerification::failure);
        assert_eq!((failures.count(), verified.damage().count()), (1, 0), "{verified}");
        for number in [0, 2] {
            assert!(all_from(&partition(broker, number), 0).len() >= 20);
        }
    }
    let log = partition(&broker, 1);
    assert_eq!((log.log_start_offset(), log.log_end_offset(), log.durable_offset()), (0, 0, 0));
    is_refused(log.append(&ProducerRecord::to("orders").value("more")), kind, part);
    is_refused(log.append_batch(&[]), kind, part);
    is_refused(log.wait_durable(0), kind, part);
    partition(&broker, 0).append(&ProducerRecord::to("orders").value("more")).unwrap();
    one_is_consumed_and_one_is_not(&broker, kind, part);
    broker.flush().unwrap();
    broker.run_maintenance().unwrap();
    broker.close().unwrap();
}

fn one_is_consumed_and_one_is_not(broker: &Broker, kind: FaultKind, part: &str) {
    let mut consumer = broker.consumer_with(ConsumerConfig::new("billing").topics(["orders"])).unwrap();
    let (mut read, mut errors) = (0, 0);
    for _ in 0..20 {
        match consumer.poll(Duration::ZERO) {
            Ok(records) => read += records.len(),
            error => {
                is_refused(error, kind, part);
                errors += 1;
            }
        }
    }
    assert!(read >= 40 && errors > 0, "{read} records, {errors} errors");
    consumer.close().unwrap();
}

/// That nothing was lost of what was refused.
fn all_is_there_again(disk: &SimulatedDisk, context: &str) {
    let broker = open(disk);
    for number in 0..3 {
        let found = all_from(&partition(&broker, number), 0).len();
        assert_eq!(found, if number == 0 { 21 } else { 20 }, "{context}, partition {number}");
    }
    assert_eq!(partition(&broker, 1).append(&ProducerRecord::to("orders").value("more")).unwrap(), 20, "{context}");
    let verified = broker.admin().verify().unwrap();
    let failures = verified.partitions().iter().filter_map(ottla::PartitionVerification::failure);
    assert_eq!((failures.count(), verified.damage().count()), (0, 0), "{context}: {verified}");
}

/// The file or directory `name` of partition 1 is refused, after a clean shutdown and after a kill.
fn is_of_one_partition_alone(name: &str) {
    for (kind, is_killed) in KINDS.into_iter().flat_map(|kind| [(kind, false), (kind, true)]) {
        let (disk, broker) = three_partitions();
        let disk = if is_killed {
            disk.kill(1)
        } else {
            broker.close().unwrap();
            disk
        };
        let part = format!("orders-1{name}");
        refuse(&disk, kind, &part);
        is_refused(open_with(&disk, RecoveryMode::Strict), kind, &part);
        only_one_is_refused(&disk, kind, &part);
        disk.clear_faults();
        let context = format!("{kind:?} of {part}, killed: {is_killed}");
        all_is_there_again(&disk.kill(1), &context);
        all_is_there_again(&disk.crash(1, CrashModel::Subset), &context);
    }
}

#[test]
fn a_manifest_that_is_refused_closes_one_partition() {
    is_of_one_partition_alone("/manifest");
}

#[test]
fn a_recovery_point_that_is_refused_closes_one_partition() {
    is_of_one_partition_alone("/recovery-point");
}

#[test]
fn a_topic_id_that_is_refused_closes_one_partition() {
    is_of_one_partition_alone("/partition.metadata");
}

#[test]
fn a_log_file_that_is_refused_closes_one_partition() {
    is_of_one_partition_alone("/00000000000000000000.log");
}

#[test]
fn a_directory_that_is_refused_closes_one_partition() {
    is_of_one_partition_alone("");
}

/// It is a cache of the batches.
#[test]
fn leader_epochs_that_are_refused_are_rebuilt() {
    for kind in KINDS {
        let (disk, broker) = three_partitions();
        broker.close().unwrap();
        refuse(&disk, kind, "orders-1/leader-epoch-checkpoint");
        for broker in [open_with(&disk, RecoveryMode::ReadOnly).unwrap(), open(&disk)] {
            let verified = broker.admin().verify().unwrap();
            assert_eq!((verified.damage().count(), verified.repairable().count()), (0, 1), "{verified}");
            for number in 0..3 {
                assert_eq!(all_from(&partition(&broker, number), 0).len(), 20, "{kind:?}");
            }
            drop(broker);
        }
        disk.clear_faults();
        assert!(open(&disk).admin().verify().unwrap().is_clean());
    }
}

/// What passes by itself says nothing of the partition.
#[test]
fn a_lack_of_handles_closes_no_partition() {
    let (disk, broker) = three_partitions();
    broker.close().unwrap();
    disk.fail(FaultRule::new(FaultKind::TooManyOpenFiles).path_containing("orders-1/manifest").forever());
    let refused = open_with(&disk, RecoveryMode::TolerateTail).unwrap_err();
    assert!(refused.is_retriable(), "{refused}");
    disk.clear_faults();
    assert_eq!(all_from(&partition(&open(&disk), 1), 0).len(), 20);
}

/// The failed sync is the last that is tried of it, and what was promised is still in the tail.
#[test]
fn a_partition_whose_recovery_cannot_be_synced_loses_nothing() {
    let disk = SimulatedDisk::new(1);
    let broker = open(&disk);
    let config = TopicConfig::new().partitions(2).durability(Durability::Always);
    broker.create_topic("orders", config).unwrap();
    for number in 0..2 {
        partition(&broker, number).append(&ProducerRecord::to("orders").value("v")).unwrap();
    }
    let disk = disk.kill(1);
    disk.fail(FaultRule::new(FaultKind::InputOutput).on(Operation::Sync).path_containing("orders-1/"));
    let broker = open(&disk);
    is_refused(partition(&broker, 1).read(0, 100), FaultKind::InputOutput, "orders-1/");
    assert_eq!(partition(&broker, 0).append(&ProducerRecord::to("orders").value("v")).unwrap(), 1);
    broker.close().unwrap();
    for (seed, model) in (0..10).flat_map(|seed| CrashModel::ALL.map(|model| (seed, model))) {
        let again = open(&disk.crash(seed, model));
        assert_eq!(all_from(&partition(&again, 0), 0).len(), 2, "seed {seed}, {model:?}");
        assert_eq!(all_from(&partition(&again, 1), 0).len(), 1, "seed {seed}, {model:?}");
    }
    let again = open(&disk);
    assert!(!again.recovery_report().was_clean_shutdown());
    assert_eq!(all_from(&partition(&again, 1), 0).len(), 1);
}

#[test]
fn a_deleted_topic_whose_directory_is_refused_is_removed_later() {
    for kind in KINDS {
        let (disk, broker) = three_partitions();
        broker.create_topic("gone", TopicConfig::new()).unwrap();
        let rule = FaultRule::new(kind).on(Operation::RemoveFile).path_containing("/gone-0").forever();
        disk.fail(rule.clone());
        is_refused(broker.admin().delete_topic("gone"), kind, "gone-0");
        let disk = disk.kill(1);
        disk.fail(rule);
        is_refused(open_with(&disk, RecoveryMode::Strict), kind, "gone-0");
        let again = open(&disk);
        assert_eq!(again.recovery_report().unfinished_deletes(), ["gone"]);
        assert_eq!(all_from(&partition(&again, 1), 0).len(), 20);
        drop(again);
        disk.clear_faults();
        assert_eq!(open(&disk).recovery_report().unfinished_deletes(), [""; 0]);
        assert!(disk.files().iter().all(|(path, _)| !path.starts_with("/data/gone-0")));
    }
}

/// Both rebuild them from the batches: a position behind the end of an epoch is told from one that is not.
#[test]
fn damaged_leader_epochs_are_the_same_to_the_writer_and_to_who_reads_along() {
    let disk = SimulatedDisk::new(1);
    let broker = open(&disk);
    broker.create_topic("orders", TopicConfig::new().durability(Durability::Os)).unwrap();
    let append = |broker: &Broker, count| {
        let log = partition(broker, 0);
        for _ in 0..count {
            log.append(&ProducerRecord::to("orders").value("v")).unwrap();
        }
    };
    append(&broker, 10);
    let mut consumer = broker.consumer("billing", ["orders"]).unwrap();
    assert_eq!(consumer.poll(Duration::ZERO).unwrap().len(), 10);
    // The commit is durable, the records are not.
    consumer.commit().unwrap();
    let is_short = |image: &SimulatedDisk| partition(&open(&image.kill(1)), 0).log_end_offset() < 10;
    let disk = (0..99).map(|seed| disk.crash(seed, CrashModel::Subset)).find(is_short).unwrap();
    let broker = open(&disk);
    let kept = partition(&broker, 0).log_end_offset();
    append(&broker, 20);
    broker.close().unwrap();
    let path = "/data/orders-0/leader-epoch-checkpoint";
    let whole = disk.read(path).unwrap();
    for bytes in [Some(&whole[..]), Some(b"0\n1\n0 0\n"), Some(b"nonsense"), None] {
        let disk = disk.kill(1);
        match bytes {
            Some(bytes) => disk.put(path, bytes),
            None => assert!(disk.delete(path)),
        }
        for mode in [RecoveryMode::ReadOnly, RecoveryMode::TolerateTail] {
            let broker = open_with(&disk, mode).unwrap();
            let mut consumer = broker.consumer_with(ConsumerConfig::new("billing")).unwrap();
            consumer.assign(&[TopicPartition::new("orders", 0)]).unwrap();
            match consumer.poll(Duration::ZERO) {
                Err(Error::LogTruncated { requested: 10, truncated_to, .. }) => assert_eq!(truncated_to, kept),
                polled => panic!("{mode:?}, {bytes:?}: {polled:?}"),
            }
        }
    }
}
