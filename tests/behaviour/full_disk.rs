//! A disk without any room left when the directory is opened: everything can be read, a topic can be deleted, and then all goes on.

use std::collections::BTreeMap;
use std::time::Duration;

use ottla::testing::{CrashModel, SimulatedDisk};
use ottla::{
    Broker, BrokerBuilder, Durability, Error, PartitionRecovery, ProducerRecord, RecoveryMode, SendOutcome,
    TopicConfig, TopicPartition,
};

use crate::all_from;

/// Past the tail, into a segment.
const LARGE: usize = 70_000;

const DURABILITIES: [Durability; 3] =
    [Durability::Os, Durability::Always, Durability::Interval(Duration::from_secs(1))];

fn builder(disk: &SimulatedDisk, durability: Durability) -> BrokerBuilder {
    Broker::builder("/data").disk(disk).durability(durability).background(false)
}

fn open(disk: &SimulatedDisk, durability: Durability) -> Broker {
    builder(disk, durability).open().unwrap()
}

fn send(broker: &Broker, topic: &str, partition: u32, value: &[u8]) -> Result<u64, Error> {
    broker.topic(topic)?;
    let record = ProducerRecord::to(topic).partition(partition).value(value);
    broker.producer().send(record).map(|metadata| metadata.offset())
}

/// A process that was killed: `wide` has something in segments and tail of each partition, `quiet` in the tail alone, and `large`
/// is what can be spared. A group has read some of it.
fn after_kill(durability: Durability) -> SimulatedDisk {
    let disk = SimulatedDisk::new(1);
    let broker = open(&disk, durability);
    broker.create_topic("wide", TopicConfig::new().partitions(3)).unwrap();
    for partition in 0..3 {
        send(&broker, "wide", partition, &[7; LARGE]).unwrap();
        for number in 0..20_u8 {
            send(&broker, "wide", partition, &[number; 500]).unwrap();
        }
    }
    send(&broker, "quiet", 0, b"one").unwrap();
    send(&broker, "quiet", 0, b"two").unwrap();
    for _ in 0..10 {
        send(&broker, "large", 0, &[9; LARGE]).unwrap();
    }
    let mut consumer = broker.consumer("g", ["wide", "quiet", "large"]).unwrap();
    consumer.poll(Duration::ZERO).unwrap();
    consumer.commit().unwrap();
    drop(consumer);
    disk.kill(1)
}

/// The same disk, with no room left.
fn filled(disk: &SimulatedDisk) -> SimulatedDisk {
    let full = disk.kill(1);
    full.limit_capacity(Some(full.used_bytes()));
    full
}

/// All values by partition, and what the group has committed there.
type Everything = BTreeMap<TopicPartition, (Vec<Vec<u8>>, Option<u64>)>;

fn everything(broker: &Broker) -> Everything {
    let mut all = Everything::new();
    for name in broker.admin().list_topics().unwrap() {
        for partition in broker.topic(&name).unwrap().partitions() {
            let values: Vec<_> =
                all_from(&partition, 0).iter().map(|record| record.value().unwrap_or_default().to_vec()).collect();
            assert_eq!(partition.log_end_offset(), values.len() as u64);
            let address = partition.topic_partition().clone();
            let committed = broker.committed("g", &address).unwrap().map(|committed| committed.offset());
            all.insert(address, (values, committed));
        }
    }
    all
}

fn assert_full(result: Result<u64, Error>) {
    let error = result.unwrap_err();
    assert!(matches!(error, Error::DiskFull { .. }), "{error:?}");
    assert_eq!(error.outcome(), SendOutcome::NotAppended);
}

fn assert_refuses_records(broker: &Broker) {
    for _ in 0..2 {
        for (topic, partition) in [("wide", 0), ("wide", 2), ("quiet", 0)] {
            assert_full(send(broker, topic, partition, b"into the tail"));
            assert_full(send(broker, topic, partition, &[1; LARGE]));
        }
    }
}

fn assert_takes_records(broker: &Broker) {
    let mut expected = everything(broker);
    for (address, (values, _)) in &mut expected {
        for value in [&b"small"[..], &[5; LARGE]] {
            let offset = send(broker, address.topic(), address.partition(), value).unwrap();
            assert_eq!(offset, values.len() as u64, "{address}");
            values.push(value.to_vec());
        }
    }
    assert_eq!(everything(broker), expected);
}

#[test]
fn opening_on_a_full_disk_serves_all_and_refuses_records_until_there_is_room() {
    for durability in DURABILITIES {
        let killed = after_kill(durability);
        let expected = everything(&open(&killed.kill(1), durability));
        let full = filled(&killed);
        let broker = open(&full, durability);
        assert_eq!(everything(&broker), expected, "{durability:?}");
        let unsealed: u64 = broker.recovery_report().partitions().iter().map(PartitionRecovery::unsealed_records).sum();
        assert!(14 <= unsealed, "{}", broker.recovery_report());
        assert!(broker.recovery_report().to_string().contains("since the disk is full"));
        assert!(broker.admin().verify().unwrap().is_clean(), "{durability:?}");
        assert_refuses_records(&broker);
        broker.flush().unwrap();
        let beside = builder(&full, durability).recovery_mode(RecoveryMode::ReadOnly).open().unwrap();
        assert_eq!(everything(&beside), expected, "{durability:?}: for another process");
        // Killed, and opened once more on the full disk and then with room.
        let again = open(&full.kill(2), durability);
        assert_eq!(everything(&again), expected, "{durability:?}");
        full.limit_capacity(None);
        assert_takes_records(&broker);
        let expected = everything(&broker);
        assert!(broker.admin().verify().unwrap().is_clean());
        let after = open(&full.kill(3), durability);
        assert_eq!(everything(&after), expected, "{durability:?}");
        assert_takes_records(&after);
        broker.close().unwrap();
        assert_eq!(everything(&open(&full, durability)), expected, "{durability:?}");
    }
}

#[test]
fn opening_on_a_full_disk_after_a_power_cut_comes_to_the_same_as_with_room() {
    for durability in DURABILITIES {
        let killed = after_kill(durability);
        for (seed, model) in (0..10).flat_map(|seed| CrashModel::ALL.map(|model| (seed, model))) {
            let context = format!("{durability:?}, seed {seed}, {model:?}");
            let cut = killed.crash(seed, model);
            let expected = everything(&open(&cut.kill(1), durability));
            // Also what is cut off makes no room.
            cut.limit_capacity(Some(0));
            let broker = open(&cut, durability);
            assert_eq!(everything(&broker), expected, "{context}");
            assert_refuses_records(&broker);
            let again = cut.crash(seed, model);
            again.limit_capacity(None);
            assert_eq!(everything(&open(&again, durability)), expected, "{context}: durable where it is");
            cut.limit_capacity(None);
            assert_takes_records(&broker);
        }
    }
}

/// What was acknowledged to be durable stays so in its slot, and after it was sealed, until the segment holds it.
#[test]
fn what_stayed_in_the_tail_survives_power_cuts_before_and_after_it_is_sealed() {
    let durability = Durability::Always;
    let full = filled(&after_kill(durability));
    let broker = open(&full, durability);
    let all_survives = |expected: &Everything, stage: &str| {
        for (seed, model) in (0..10).flat_map(|seed| CrashModel::ALL.map(|model| (seed, model))) {
            let after = full.crash(seed, model);
            assert_eq!(everything(&open(&after, durability)), *expected, "{stage}, seed {seed}, {model:?}");
        }
    };
    all_survives(&everything(&broker), "unsealed");
    full.limit_capacity(None);
    send(&broker, "wide", 0, b"sealed, and in a slot behind it").unwrap();
    send(&broker, "quiet", 0, &[3; LARGE]).unwrap();
    all_survives(&everything(&broker), "sealed");
    broker.run_maintenance().unwrap();
    broker.run_maintenance().unwrap();
    all_survives(&everything(&broker), "maintained");
}

#[test]
fn deleting_a_topic_on_a_full_disk_makes_room_for_the_others() {
    for durability in DURABILITIES {
        let full = filled(&after_kill(durability));
        let broker = open(&full, durability);
        let mut expected = everything(&broker);
        assert_refuses_records(&broker);
        broker.admin().delete_topic("large").unwrap();
        expected.retain(|address, _| address.topic() != "large");
        assert_eq!(everything(&broker), expected, "{durability:?}");
        assert_eq!(everything(&open(&full.kill(1), durability)), expected, "{durability:?}");
        assert_takes_records(&broker);
        let expected = everything(&broker);
        assert_eq!(everything(&open(&full.kill(1), durability)), expected, "{durability:?}");
        let mut consumer = broker.consumer("g", ["wide", "quiet"]).unwrap();
        while !consumer.poll(Duration::ZERO).unwrap().is_empty() {}
        consumer.commit().unwrap();
        drop(consumer);
        let expected = everything(&broker);
        assert!(broker.admin().verify().unwrap().is_clean());
        broker.close().unwrap();
        let broker = open(&full, durability);
        assert!(broker.recovery_report().is_clean(), "{}", broker.recovery_report());
        assert_eq!(everything(&broker), expected, "{durability:?}");
        let names = full.files().into_iter().map(|(path, _)| path.display().to_string());
        assert_eq!(names.filter(|name| name.contains("large") || name.contains("-delete")).count(), 0);
        send(&broker, "large", 0, b"another topic of that name").unwrap();
    }
}

/// Nothing of it can be read any more, and the name is not free before there is room to forget it.
#[test]
fn a_deletion_that_a_full_disk_interrupts_is_finished_by_the_first_opening_with_room() {
    let durability = Durability::Os;
    let full = filled(&after_kill(durability));
    let broker = open(&full, durability);
    // Of what it leaves nothing is free: somebody else takes it at once.
    full.limit_capacity(Some(0));
    let deleted = broker.admin().delete_topic("large");
    assert!(matches!(deleted, Err(Error::DiskFull { .. })), "{deleted:?}");
    assert!(matches!(broker.admin().describe("large"), Err(Error::UnknownTopic { .. })));
    let again = open(&full.kill(1), durability);
    assert_eq!(again.recovery_report().unfinished_deletes(), ["large"]);
    assert!(matches!(again.admin().describe("large"), Err(Error::UnknownTopic { .. })));
    assert_eq!(again.admin().list_topics().unwrap(), ["quiet", "wide"]);
    drop(again);
    full.limit_capacity(None);
    let again = open(&full.kill(1), durability);
    assert_eq!(again.recovery_report().unfinished_deletes(), [""; 0]);
    assert_eq!(again.committed("g", &TopicPartition::new("large", 0)).unwrap(), None);
    send(&again, "large", 0, b"another topic of that name").unwrap();
    assert_eq!(
        everything(&again)[&TopicPartition::new("large", 0)],
        (vec![b"another topic of that name".to_vec()], None)
    );
}

#[test]
fn closing_on_a_full_disk_says_so_and_loses_nothing() {
    for durability in DURABILITIES {
        let killed = after_kill(durability);
        for has_been_opened in [false, true] {
            // Open batches of this process, or what it could not seal of the one before.
            let full = if has_been_opened { filled(&killed) } else { killed.kill(1) };
            let broker = open(&full, durability);
            if !has_been_opened {
                assert_takes_records(&broker);
                send(&broker, "quiet", 0, b"in the tail").unwrap();
                full.limit_capacity(Some(full.used_bytes()));
            }
            let expected = everything(&broker);
            let closed = broker.close();
            assert!(matches!(closed, Err(Error::DiskFull { .. })), "{closed:?}");
            assert_eq!(full.open_handles(), 0);
            for seed in 0..5 {
                let after = full.crash(seed, CrashModel::Subset);
                assert_eq!(everything(&open(&after, durability)), expected, "{durability:?}, seed {seed}");
            }
            let broker = open(&full, durability);
            assert_eq!(everything(&broker), expected, "{durability:?}");
            full.limit_capacity(None);
            assert_takes_records(&broker);
            broker.close().unwrap();
        }
    }
}

/// The raised leader epoch could not be written down: no record gets it before it is.
#[test]
fn a_position_beyond_what_a_power_cut_took_is_told_so_also_if_the_disk_was_full_then() {
    let durability = Durability::Os;
    let disk = SimulatedDisk::new(1);
    let broker = open(&disk, durability);
    for _ in 0..10 {
        send(&broker, "t", 0, b"lost").unwrap();
    }
    let mut consumer = broker.consumer("g", ["t"]).unwrap();
    assert_eq!(consumer.poll(Duration::ZERO).unwrap().len(), 10);
    consumer.commit().unwrap();
    let is_lost = |image: &SimulatedDisk| {
        let broker = open(&image.kill(1), durability);
        let partition = broker.topic("t").unwrap().partition(0).unwrap();
        let committed = broker.committed("g", partition.topic_partition()).unwrap();
        partition.log_end_offset() == 0 && committed.is_some()
    };
    broker.consumer("other", ["t"]).unwrap().poll(Duration::ZERO).unwrap();
    let found = (0..999).map(|seed| disk.crash(seed, CrashModel::Subset)).find(is_lost);
    let image = found.expect("a power cut that took the records and left what was committed");
    image.limit_capacity(Some(0));
    for stage in ["opened", "opened again"] {
        let broker = open(&image, durability);
        assert_full(send(&broker, "t", 0, b"none"));
        assert!(matches!(broker.close(), Err(Error::DiskFull { .. })), "{stage}");
    }
    image.limit_capacity(None);
    let broker = open(&image, durability);
    for _ in 0..20 {
        send(&broker, "t", 0, b"other").unwrap();
    }
    let polled = broker.consumer("g", ["t"]).unwrap().poll(Duration::ZERO);
    assert!(matches!(polled, Err(Error::LogTruncated { requested: 10, .. })), "{polled:?}");
}

/// Where to overwrite needs room, nothing can be made durable in its slot: the error is true, and reading is possible.
#[test]
fn where_overwriting_needs_room_opening_on_a_full_disk_fails_and_harms_nothing() {
    let durability = Durability::Always;
    let killed = after_kill(durability);
    killed.copy_on_write();
    let expected = everything(&open(&killed.kill(1), durability));
    let full = filled(&killed);
    let refused = builder(&full, durability).open();
    assert!(matches!(refused, Err(Error::DiskFull { .. })), "{refused:?}");
    let reading = builder(&full, durability).recovery_mode(RecoveryMode::ReadOnly).open().unwrap();
    assert_eq!(everything(&reading), expected);
    drop(reading);
    full.limit_capacity(None);
    assert_eq!(everything(&open(&full, durability)), expected);
}

/// Segments of 8 KiB in which there are six records each, all synced, and a disk without room.
fn full_of_segments(config: TopicConfig) -> (SimulatedDisk, Broker) {
    let disk = SimulatedDisk::new(1);
    let broker = open(&disk, Durability::Os);
    broker.create_topic("always", config.segment_bytes(400_000)).unwrap();
    for _ in 0..30 {
        send(&broker, "always", 0, &[7; 70_000]).unwrap();
    }
    broker.flush().unwrap();
    broker.run_maintenance().unwrap();
    send(&broker, "always", 0, b"in the tail").unwrap();
    disk.limit_capacity(Some(disk.used_bytes()));
    (disk, broker)
}

#[test]
fn deleting_records_on_a_full_disk_makes_room() {
    let (disk, broker) = full_of_segments(TopicConfig::new());
    assert_full(send(&broker, "always", 0, &[7; 70_000]));
    let partition = broker.topic("always").unwrap().partition(0).unwrap();
    let address = partition.topic_partition().clone();
    let used = disk.used_bytes();
    for offset in [7, 12, 31] {
        assert_eq!(broker.admin().delete_records(&[(address.clone(), offset)]).unwrap(), [(address.clone(), offset)]);
        assert_eq!(partition.log_start_offset(), offset);
        let after = open(&disk.kill(1), Durability::Os);
        assert_eq!(after.topic("always").unwrap().partition(0).unwrap().log_start_offset(), offset);
        assert_eq!(after.recovery_report().damage().count(), 0);
        assert!(after.admin().verify().unwrap().is_clean());
    }
    assert!(disk.used_bytes() + 2_000_000 < used, "{} of {used}", disk.used_bytes());
    send(&broker, "always", 0, &[7; 70_000]).unwrap();
    assert_eq!(partition.log_end_offset(), 32);
}

#[test]
fn retention_on_a_full_disk_makes_room() {
    let (disk, broker) = full_of_segments(TopicConfig::new());
    disk.limit_capacity(None);
    broker.admin().alter_topic("always", |config| config.retention_bytes(400_000)).unwrap();
    disk.limit_capacity(Some(0));
    assert_full(send(&broker, "always", 0, &[7; 70_000]));
    disk.limit_capacity(Some(disk.used_bytes()));
    // What comes before the retention finds no room.
    assert!(matches!(broker.run_maintenance(), Err(Error::DiskFull { .. })));
    broker.run_maintenance().unwrap();
    let partition = broker.topic("always").unwrap().partition(0).unwrap();
    let start = partition.log_start_offset();
    assert!(start > 10, "{start}");
    assert_eq!(partition.iter_from(start).map(Result::unwrap).count() as u64, 31 - start);
    send(&broker, "always", 0, &[7; 70_000]).unwrap();
}

/// The machine is stopped at each call, and what is left is opened as after a kill and after a power cut.
#[test]
fn deleting_records_on_a_full_disk_can_be_stopped_anywhere() {
    let (disk, broker) = full_of_segments(TopicConfig::new());
    let address = broker.topic("always").unwrap().partition(0).unwrap().topic_partition().clone();
    disk.record_stops();
    broker.admin().delete_records(&[(address, 12)]).unwrap();
    let stops = disk.take_stops();
    assert!(stops.len() > 10);
    for (calls, stopped) in stops {
        let images = (0..6).map(|seed| stopped.crash(seed, ottla::testing::CrashModel::Subset));
        for image in [stopped.kill(0), stopped.kill(1)].into_iter().chain(images) {
            let after = open(&image, Durability::Os);
            let partition = after.topic("always").unwrap().partition(0).unwrap();
            let start = partition.log_start_offset();
            assert!(start <= 12, "{calls}: {start}");
            assert_eq!(after.recovery_report().damage().count(), 0, "{calls}");
            assert!(partition.iter_from(start).map(Result::unwrap).count() >= 18, "{calls}");
        }
    }
}
