//! A read-only broker beside a writer whose disk is slow, is killed or loses its power, and over files that are damaged: it
//! shows what the writer shows and answers as the writer answers.

use std::path::{Path, PathBuf};
use std::thread;

use ottla::testing::{CrashModel, FaultKind, FaultRule, Operation, SimulatedDisk};
use ottla::{
    Broker, BrokerBuilder, CleanupPolicy, Corruption, Durability, Error, Partition, ProducerRecord, RecoveryMode,
    Topic, TopicConfig,
};

use crate::{all_from, values};

fn builder(disk: &SimulatedDisk) -> BrokerBuilder {
    Broker::builder("/data").background(false).disk(disk)
}

fn read_only(disk: &SimulatedDisk) -> Broker {
    builder(disk).recovery_mode(RecoveryMode::ReadOnly).open().unwrap()
}

fn partition(broker: &Broker, topic: &str) -> Partition {
    broker.topic(topic).unwrap().partition(0).unwrap()
}

fn send_numbers(topic: &Topic, numbers: std::ops::Range<u32>) {
    for n in numbers {
        topic.produce("k", n.to_string()).unwrap();
    }
}

fn corruption<T: std::fmt::Debug>(result: Result<T, Error>) -> Corruption {
    match result {
        Err(Error::Corrupt(damage)) => *damage,
        other => panic!("expected damage, got {other:?}"),
    }
}

/// The first log file of a topic's first partition.
fn log_file(disk: &SimulatedDisk, topic: &str) -> PathBuf {
    let dir = Path::new("/data").join(format!("{topic}-0"));
    let is_log =
        |path: &PathBuf| path.starts_with(&dir) && path.extension().is_some_and(|extension| extension == "log");
    disk.files().into_iter().map(|(path, _)| path).find(is_log).unwrap()
}

#[test]
fn of_an_always_topic_nothing_is_shown_before_its_sync_has_ended() {
    // A record in a slot, and one that is too large for any.
    for size in [10, 100_000] {
        let disk = SimulatedDisk::new(1);
        let writer = builder(&disk).open().unwrap();
        let topic = writer.topic("orders").unwrap();
        topic.produce("k", "first").unwrap();
        let reader = read_only(&disk);
        let (here, there) = (partition(&writer, "orders"), partition(&reader, "orders"));
        disk.hold_syncs("");
        let sender = thread::spawn(move || topic.produce("k", "x".repeat(size)).unwrap());
        while disk.hanging_syncs() == 0 {
            thread::yield_now();
        }
        assert_eq!((here.last_stable_offset(), there.last_stable_offset()), (1, 1), "{size}");
        assert_eq!(there.read(1, 1000).unwrap().len(), 0, "{size}");
        disk.release_syncs();
        sender.join().unwrap();
        assert_eq!((there.last_stable_offset(), there.durable_offset()), (2, 2), "{size}");
        assert_eq!(all_from(&there, 1)[0].value().unwrap().len(), size);
    }
}

#[test]
fn what_a_reader_has_shown_of_an_always_topic_is_there_after_every_power_cut() {
    for model in CrashModel::ALL {
        let disk = SimulatedDisk::new(7);
        let writer = builder(&disk).open().unwrap();
        let topic = writer.create_topic("orders", TopicConfig::new().segment_bytes(16 << 10)).unwrap();
        let reader = read_only(&disk);
        let there = partition(&reader, "orders");
        for n in 0..40_u32 {
            let bytes = if n % 20 == 19 { 70_000 } else { 300 };
            topic.produce("k", "x".repeat(bytes)).unwrap();
            assert_eq!(there.log_end_offset(), u64::from(n) + 1);
            if n % 15 == 7 {
                writer.run_maintenance().unwrap();
            }
            let restarted = disk.crash(u64::from(n), model);
            let shown = all_from(&there, 0).len();
            assert_eq!(all_from(&partition(&read_only(&restarted), "orders"), 0).len(), shown, "{model:?} {n}");
            let next = builder(&restarted).open().unwrap();
            assert!(shown <= all_from(&partition(&next, "orders"), 0).len(), "{model:?} {n}");
        }
    }
}

#[test]
fn of_several_batches_in_the_tail_all_are_read() {
    let disk = SimulatedDisk::new(7);
    let topic = builder(&disk).open().unwrap().topic("orders").unwrap();
    for n in 0..30 {
        topic.produce("k", format!("{n} {}", "x".repeat(300))).unwrap();
    }
    // What was written to the segment is zeros, and the slots have all of it.
    let disk = disk.crash(1, CrashModel::ZeroedTail);
    let there = partition(&read_only(&disk), "orders");
    let mut read = Vec::new();
    while read.len() < 30 {
        let records = there.read(read.len() as u64, 700).unwrap();
        read.extend(records.iter().map(|record| record.offset()));
    }
    assert_eq!(read, (0..30).collect::<Vec<_>>());
    assert_eq!(all_from(&there, 0).len(), 30);
}

#[test]
fn the_durable_offset_is_what_is_known_to_be_synced() {
    let disk = SimulatedDisk::new(1);
    let writer = builder(&disk).durability(Durability::Os).open().unwrap();
    let topic = writer.topic("orders").unwrap();
    let there = partition(&read_only(&disk), "orders");
    send_numbers(&topic, 0..10);
    assert_eq!((there.log_end_offset(), there.durable_offset()), (10, 0));
    writer.flush().unwrap();
    send_numbers(&topic, 10..15);
    assert_eq!((there.log_end_offset(), there.durable_offset()), (15, 10));
    let described = read_only(&disk).admin().describe("orders").unwrap();
    assert_eq!((described.partitions()[0].offsets(), described.partitions()[0].durable_offset()), (0..15, 10));
    writer.close().unwrap();
    assert_eq!((there.log_end_offset(), there.durable_offset()), (15, 15));
}

/// Whatever the topic's durability, who reads along claims no more than the writer knows, and no less once all is synced.
#[test]
fn who_reads_along_never_takes_for_durable_what_is_not() {
    let interval = Durability::Interval(std::time::Duration::from_secs(3600));
    for durability in [Durability::Always, interval, Durability::Os] {
        let disk = SimulatedDisk::new(1);
        let writer = builder(&disk).durability(durability).open().unwrap();
        let topic = writer.topic("orders").unwrap();
        let (here, there) = (topic.partition(0).unwrap(), partition(&read_only(&disk), "orders"));
        for round in 0..10 {
            send_numbers(&topic, 10 * round..10 * round + 10);
            assert!(there.durable_offset() <= here.durable_offset(), "{durability}, {round}");
            match round % 3 {
                0 => writer.flush().unwrap(),
                1 => writer.run_maintenance().unwrap(),
                _ => continue,
            }
            assert_eq!(there.durable_offset(), here.durable_offset(), "{durability}, {round}");
        }
        // What was proven once stays so where nobody can look any more.
        let known = there.durable_offset();
        disk.fail(FaultRule::new(FaultKind::InputOutput).path_containing("orders-0").forever());
        assert_eq!(there.durable_offset(), known);
    }
}

#[test]
fn a_tail_of_another_version_is_refused() {
    let disk = SimulatedDisk::new(1);
    builder(&disk).open().unwrap().topic("orders").unwrap();
    for (version, name) in [(1, "/data/tail"), (3, "/data/tail-always")] {
        let disk = disk.kill(1);
        let mut bytes = disk.read(name).unwrap();
        bytes[8..12].copy_from_slice(&u32::to_be_bytes(version));
        let crc = crc32fast::hash(&bytes[..12]);
        bytes[12..16].copy_from_slice(&crc.to_be_bytes());
        disk.put(name, &bytes);
        for mode in [RecoveryMode::TolerateTail, RecoveryMode::ReadOnly] {
            match builder(&disk).recovery_mode(mode).open() {
                Err(Error::UnsupportedVersion { found, supported: 2, .. }) => assert_eq!(found, version),
                other => panic!("expected to be refused, got {other:?}"),
            }
        }
    }
}

#[test]
fn a_bit_that_flips_under_a_reader_is_damage_and_not_the_end_of_the_log() {
    let disk = SimulatedDisk::new(1);
    let config = TopicConfig::new().durability(Durability::Os);
    send_numbers(&builder(&disk).open().unwrap().create_topic("orders", config).unwrap(), 0..500);
    let disk = disk.kill(1);
    // It goes on, and has not synced anything yet.
    let writer = builder(&disk).open().unwrap();
    let here = partition(&writer, "orders");
    let log = log_file(&disk, "orders");
    let bytes = disk.read(&log).unwrap();
    let second = 12 + u32::from_be_bytes(bytes[8..12].try_into().unwrap()) as usize;
    for place in [0, 8, 11, 15, 20, 60, 100] {
        let there = partition(&read_only(&disk), "orders");
        assert_eq!(there.log_end_offset(), 500);
        let at = (second + place) as u64;
        assert!(disk.flip_bit(&log, at, 2));
        let (mut from, mut lost) = (0, 0);
        while from < there.log_end_offset() {
            from = match there.read(from, 1) {
                Ok(records) => {
                    let next = records.next_offset(there.topic_partition()).unwrap();
                    assert!(from < next, "nothing at {from}, bit in byte {place}");
                    next
                }
                error => {
                    let offsets = corruption(error).offsets.unwrap();
                    assert!(offsets.contains(&from), "{offsets:?}, bit in byte {place}");
                    lost += offsets.end - from;
                    offsets.end
                }
            };
        }
        assert_eq!(from, 500, "bit in byte {place}");
        assert!(lost < 500, "bit in byte {place}");
        disk.flip_bit(&log, at, 2);
        assert_eq!(all_from(&here, 0).len(), 500);
    }
}

#[test]
fn a_handle_of_a_deleted_topic_is_closed_also_when_there_is_another_of_its_name() {
    let disk = SimulatedDisk::new(1);
    let writer = builder(&disk).open().unwrap();
    send_numbers(&writer.topic("t").unwrap(), 0..3);
    let reader = read_only(&disk);
    let (here, there) = (partition(&writer, "t"), partition(&reader, "t"));
    assert_eq!(values(&there), ["0", "1", "2"]);
    let is_closed = |handle: &Partition, what: &str| {
        for from in [0, 3] {
            let read = handle.read(from, 1000);
            assert!(matches!(read, Err(Error::Closed { .. })), "{what} {from}: {read:?}");
        }
        let found = handle.offset_for_time(ottla::Timestamp::from_millis(0));
        assert!(matches!(found, Err(Error::Closed { .. })), "{what}: {found:?}");
    };
    writer.admin().delete_topic("t").unwrap();
    [&here, &there].into_iter().for_each(|handle| is_closed(handle, "deleted"));
    send_numbers(&writer.topic("t").unwrap(), 0..2);
    [&here, &there].into_iter().for_each(|handle| is_closed(handle, "made anew"));
    send_numbers(&writer.topic("t").unwrap(), 2..300);
    [&here, &there].into_iter().for_each(|handle| is_closed(handle, "with more in it"));
    assert_eq!(partition(&reader, "t").log_end_offset(), 300);
}

#[test]
fn without_a_manifest_that_can_be_read_the_records_and_the_report_are_those_of_the_writer() {
    let disk = SimulatedDisk::new(1);
    let writer = builder(&disk).open().unwrap();
    let topic = writer.create_topic("t", TopicConfig::new().segment_bytes(1500)).unwrap();
    for n in 0..60 {
        topic.produce("k", format!("{n} {}", "x".repeat(100))).unwrap();
        writer.run_maintenance().unwrap();
    }
    drop(topic);
    writer.close().unwrap();
    let size = disk.read("/data/t-0/manifest").unwrap().len() as u64;
    for byte in [30, size - 30] {
        assert!(disk.flip_bit("/data/t-0/manifest", byte, 0));
    }
    let reader = read_only(&disk);
    let seen = values(&partition(&reader, "t"));
    let damage: Vec<_> = reader.recovery_report().damage().map(ToString::to_string).collect();
    assert_eq!((seen.len(), damage.len()), (60, 1), "{damage:?}");
    let writer = builder(&disk).open().unwrap();
    assert_eq!(values(&partition(&writer, "t")), seen);
    assert_eq!(writer.recovery_report().damage().map(ToString::to_string).collect::<Vec<_>>(), damage);
}

#[test]
fn exchanged_directories_are_damage_of_both_partitions_and_of_no_other() {
    let dir = tempfile::tempdir().unwrap();
    let writer = Broker::open(dir.path()).unwrap();
    for topic in ["t", "u", "w"] {
        writer.topic(topic).unwrap().produce("k", topic).unwrap();
    }
    writer.close().unwrap();
    for (from, to) in [("t-0", "aside"), ("u-0", "t-0"), ("aside", "u-0")] {
        std::fs::rename(dir.path().join(from), dir.path().join(to)).unwrap();
    }
    let reader = Broker::open_read_only(dir.path()).unwrap();
    for topic in ["t", "u"] {
        let partition = partition(&reader, topic);
        let reason = "the partition's directory belongs to another topic; restore its own from a backup";
        for from in [0, 1] {
            assert_eq!(corruption(partition.read(from, 1000)).reason, reason);
        }
        assert_eq!(corruption(partition.offset_for_time(ottla::Timestamp::from_millis(0))).reason, reason);
        assert_eq!(partition.log_end_offset(), 0);
    }
    assert_eq!(values(&partition(&reader, "w")), ["w"]);
    assert_eq!(reader.recovery_report().damage().count(), 2);
}

#[test]
fn a_read_at_the_end_of_a_log_takes_as_many_calls_however_many_other_partitions_are_written() {
    let calls_with = |partitions: u32| {
        let disk = SimulatedDisk::new(1);
        let writer = builder(&disk).durability(Durability::Os).open().unwrap();
        let topic = writer.create_topic("orders", TopicConfig::new().partitions(partitions)).unwrap();
        let send_to_all = || {
            for number in 0..partitions {
                let record = ProducerRecord::to("orders").partition(number).value("v");
                topic.partition(number).unwrap().append(&record).unwrap();
            }
        };
        send_to_all();
        let there = partition(&read_only(&disk), "orders");
        assert_eq!(there.read(1, 1000).unwrap().len(), 0);
        send_to_all();
        let before = disk.log().len();
        assert_eq!(there.read(1, 1000).unwrap().len(), 1);
        disk.log()[before..].iter().filter(|call| call.operation != Operation::Lock).count()
    };
    assert_eq!(calls_with(100), calls_with(1));
}

#[test]
fn a_read_at_the_end_of_a_log_looks_at_no_segment_where_nothing_went_into_one() {
    let disk = SimulatedDisk::new(1);
    let writer = builder(&disk).durability(Durability::Os).open().unwrap();
    let (topic, other) = (writer.topic("orders").unwrap(), writer.topic("others").unwrap());
    send_numbers(&topic, 0..3);
    send_numbers(&other, 0..1);
    let there = partition(&read_only(&disk), "orders");
    assert_eq!(there.read(0, 1000).unwrap().len(), 3);
    assert_eq!(there.read(3, 1000).unwrap().len(), 0);
    let calls = |from: u64, found: usize| {
        let before = disk.log().len();
        assert_eq!(there.read(from, 1000).unwrap().len(), found);
        disk.log()[before..].iter().map(|call| call.operation).collect::<Vec<_>>()
    };
    // The maps say all.
    let few: [Operation; 0] = [];
    assert_eq!(calls(3, 0), few);
    send_numbers(&topic, 3..5);
    send_numbers(&other, 1..5);
    assert_eq!(calls(3, 2), few);
    writer.run_maintenance().unwrap();
    assert_eq!(calls(5, 0), few);
    // It takes a slot, and who says so does not say for which partition.
    send_numbers(&writer.topic("third").unwrap(), 0..1);
    assert!(calls(5, 0).len() > few.len());
    assert_eq!(calls(5, 0), few);
}

#[test]
fn a_reader_at_the_end_finds_each_record_at_once_whatever_way_it_went() {
    for durability in [Durability::Os, Durability::Always] {
        let disk = SimulatedDisk::new(1);
        let mut writer = builder(&disk).durability(durability).open().unwrap();
        writer.create_topic("orders", TopicConfig::new().segment_bytes(50_000)).unwrap();
        let there = partition(&read_only(&disk), "orders");
        let mut end = 0;
        let mut is_found = |writer: &Broker, bytes: usize, what: &str| {
            writer.topic("orders").unwrap().produce("k", "x".repeat(bytes)).unwrap();
            let found = there.read(end, 1 << 20).unwrap();
            let found: Vec<_> = found.iter().map(|record| (record.offset(), record.value().unwrap().len())).collect();
            assert_eq!(found, [(end, bytes)], "{durability}: {what}");
            assert_eq!(there.read(end + 1, 1 << 20).unwrap().len(), 0, "{durability}: {what}");
            end += 1;
        };
        for round in 0..4 {
            for _ in 0..5 {
                is_found(&writer, 10, "in a slot");
            }
            is_found(&writer, 100_000, "too large for a slot");
            is_found(&writer, 100_000, "and again");
            is_found(&writer, 3_000, "in a larger slot");
            // Twice: what did not change in between is sealed.
            writer.run_maintenance().unwrap();
            writer.run_maintenance().unwrap();
            is_found(&writer, 10, "after it was sealed");
            writer.flush().unwrap();
            is_found(&writer, 20, "after a flush");
            if round % 2 == 0 {
                writer.close().unwrap();
            } else {
                // It gives nothing back: as if it was killed.
                disk.delete("/data/clean-shutdown");
                std::mem::forget(std::mem::replace(&mut writer, read_only(&disk)));
                assert!(disk.delete("/data/ottla.lock"));
            }
            writer = builder(&disk).durability(durability).open().unwrap();
            is_found(&writer, 10, "by the next process");
        }
    }
}

#[test]
fn the_report_says_of_sealed_segments_what_the_writer_says() {
    let disk = SimulatedDisk::new(1);
    let writer = builder(&disk).open().unwrap();
    let topic = writer.create_topic("t", TopicConfig::new().segment_bytes(1500)).unwrap();
    for n in 0..300 {
        topic.produce("k", format!("{n} {}", "x".repeat(100))).unwrap();
        writer.run_maintenance().unwrap();
    }
    drop(topic);
    writer.close().unwrap();
    let is_log = |path: &PathBuf| path.starts_with("/data/t-0") && path.extension().is_some_and(|e| e == "log");
    let logs: Vec<_> = disk.files().into_iter().map(|(path, _)| path).filter(is_log).collect();
    assert!(logs.len() > 5);
    let lines = |broker: &Broker| broker.recovery_report().damage().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(lines(&read_only(&disk)), [""; 0]);
    let cut = disk.read(&logs[1]).unwrap();
    disk.put(&logs[1], &cut[..cut.len() - 10]);
    let longer = [disk.read(&logs[2]).unwrap(), vec![0; 10]].concat();
    disk.put(&logs[2], &longer);
    disk.put(&logs[3], &disk.read(&logs[4]).unwrap()[..700]);
    assert!(disk.delete(&logs[4]));
    let seen = lines(&read_only(&disk));
    assert_eq!(seen.len(), 4, "{seen:?}");
    let writer = builder(&disk).open().unwrap();
    assert_eq!(lines(&writer), seen);
}

#[test]
fn wherever_compaction_was_stopped_verify_finds_nothing_wrong() {
    let disk = SimulatedDisk::new(1);
    let writer = builder(&disk).open().unwrap();
    let config = TopicConfig::new().cleanup_policy(CleanupPolicy::Compact).segment_bytes(2000).index_interval_bytes(0);
    writer.create_topic("states", config).unwrap();
    let mut producer = writer.transactional_producer("payments").unwrap();
    for n in 0..30 {
        let transaction = producer.begin().unwrap();
        let record = ProducerRecord::to("states").key(format!("k{}", n % 3)).value("x".repeat(200));
        transaction.send(record).unwrap();
        if n % 2 == 0 { transaction.commit().unwrap() } else { transaction.abort().unwrap() }
    }
    writer.flush().unwrap();
    writer.run_maintenance().unwrap();
    disk.record_stops();
    assert!(writer.admin().compact("states").unwrap().is_complete());
    let stops = disk.take_stops();
    assert!(stops.len() > 10);
    for (calls, stopped) in stops {
        let report = read_only(&stopped.kill(1)).admin().verify().unwrap();
        assert!(report.is_clean(), "after {calls} calls: {report}");
    }
}

#[test]
fn a_topic_of_which_half_is_deleted_is_not_damaged() {
    let disk = SimulatedDisk::new(1);
    let writer = builder(&disk).open().unwrap();
    send_numbers(&writer.topic("orders").unwrap(), 0..5);
    writer.close().unwrap();
    let (writer, reader) = (builder(&disk).open().unwrap(), read_only(&disk));
    let there = partition(&reader, "orders");
    let rule =
        FaultRule::new(FaultKind::PermissionDenied).on(Operation::RemoveFile).path_containing("partition.metadata");
    disk.fail(rule.forever());
    writer.admin().delete_topic("orders").unwrap_err();
    assert!(disk.files().iter().any(|(path, _)| path.ends_with("orders-0/recovery-point")));
    assert_eq!(reader.recovery_report().damage().count(), 0);
    assert!(matches!(there.read(0, 1000), Err(Error::Closed { .. })));
    assert!(reader.admin().health().is_healthy());
}
