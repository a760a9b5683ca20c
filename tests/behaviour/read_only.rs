//! Opening a directory that another broker may be writing: everything can be seen, nothing is changed.

use std::path::Path;
use std::time::Duration;

#[cfg(feature = "testing")]
use ottla::RecoveryMode;
use ottla::{Broker, Durability, Error, ProducerRecord, Timestamp, TopicConfig};
use sha2::{Digest, Sha256};

use crate::{all_from, dir_from_parent, open, run_in_child, small_segments, values};

/// The name, size and hash of every file.
fn fingerprint(dir: &Path) -> Vec<(String, u64, Vec<u8>)> {
    let mut found = Vec::new();
    let mut to_do = vec![dir.to_owned()];
    while let Some(dir) = to_do.pop() {
        for entry in std::fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                found.push((path.display().to_string(), 0, Vec::new()));
                to_do.push(path);
            } else {
                let bytes = std::fs::read(&path).unwrap();
                found.push((path.display().to_string(), bytes.len() as u64, Sha256::digest(&bytes).to_vec()));
            }
        }
    }
    found.sort();
    found
}

fn look_at_everything(broker: &Broker) {
    for name in broker.admin().list_topics().unwrap() {
        broker.admin().describe(&name).unwrap();
        for partition in broker.topic(&name).unwrap().partitions() {
            assert_eq!(all_from(&partition, 0).len() as u64, partition.log_end_offset());
            partition.offset_for_time(Timestamp::from_millis(0)).unwrap();
        }
    }
}

#[test]
fn looking_changes_no_byte() {
    let dir = tempfile::tempdir().unwrap();
    {
        let broker = Broker::builder(dir.path()).durability(Durability::Os).background(false).open().unwrap();
        let topic = broker.create_topic("orders", small_segments().partitions(2)).unwrap();
        for n in 0..2000 {
            topic.produce(n.to_string(), "some value").unwrap();
        }
        broker.consumer("g", ["orders"]).unwrap().poll(Duration::ZERO).unwrap();
        // While it is written,
        let before = fingerprint(dir.path());
        look_at_everything(&Broker::open_read_only(dir.path()).unwrap());
        assert_eq!(fingerprint(dir.path()), before);
        broker.close().unwrap();
    }
    // closed,
    let before = fingerprint(dir.path());
    look_at_everything(&Broker::open_read_only(dir.path()).unwrap());
    assert_eq!(fingerprint(dir.path()), before);
    // and with a torn end.
    std::fs::remove_file(dir.path().join("clean-shutdown")).unwrap();
    let logs = std::fs::read_dir(dir.path().join("orders-0")).unwrap().map(|entry| entry.unwrap().path());
    let last = logs.filter(|path| path.extension().is_some_and(|e| e == "log")).max().unwrap();
    let mut torn = std::fs::read(&last).unwrap();
    torn.extend([1; 100]);
    std::fs::write(&last, torn).unwrap();
    let before = fingerprint(dir.path());
    look_at_everything(&Broker::open_read_only(dir.path()).unwrap());
    assert_eq!(fingerprint(dir.path()), before);
}

#[test]
fn what_is_published_is_seen_while_the_writer_goes_on() {
    for durability in [Durability::Os, Durability::Always] {
        let dir = tempfile::tempdir().unwrap();
        let writer = Broker::builder(dir.path()).durability(durability).open().unwrap();
        let topic = writer.create_topic("orders", small_segments()).unwrap();
        let reader = Broker::open_read_only(dir.path()).unwrap();
        // The topic says nothing of its durability: the reader is to see what the writer's default lets it see.
        let partition = reader.topic("orders").unwrap().partition(0).unwrap();
        for n in 0..600_u64 {
            topic.produce("k", format!("{n} and some bytes so that segments roll")).unwrap();
            if n % 50 == 0 || n < 5 {
                assert_eq!(partition.log_end_offset(), n + 1, "{durability}");
                let records = partition.read(n, 1000).unwrap();
                assert_eq!(records.iter().next().unwrap().offset(), n);
            }
        }
        assert_eq!(all_from(&partition, 0).len(), 600);
        let described = reader.admin().describe("orders").unwrap();
        assert_eq!(described.partitions()[0].offsets(), 0..600);
        writer.close().unwrap();
        assert_eq!(all_from(&partition, 0).len(), 600);
    }
}

#[test]
fn topics_and_partitions_that_come_and_go_are_seen() {
    let dir = tempfile::tempdir().unwrap();
    let writer = open(dir.path());
    let reader = Broker::open_read_only(dir.path()).unwrap();
    assert!(reader.admin().list_topics().unwrap().is_empty());
    assert!(matches!(reader.topic("orders"), Err(Error::UnknownTopic { .. })));
    writer.topic("orders").unwrap().produce("k", "v").unwrap();
    assert_eq!(reader.admin().list_topics().unwrap(), ["orders"]);
    assert_eq!(values(&reader.topic("orders").unwrap().partition(0).unwrap()), ["v"]);
    writer.admin().add_partitions("orders", 2).unwrap();
    writer.producer().send(ProducerRecord::to("orders").partition(1).value("w")).unwrap();
    assert_eq!(values(&reader.topic("orders").unwrap().partition(1).unwrap()), ["w"]);
    let id = reader.admin().describe("orders").unwrap().topic_id();
    writer.admin().delete_topic("orders").unwrap();
    assert!(reader.admin().list_topics().unwrap().is_empty());
    writer.topic("orders").unwrap().produce("k", "successor").unwrap();
    assert_eq!(values(&reader.topic("orders").unwrap().partition(0).unwrap()), ["successor"]);
    assert_ne!(reader.admin().describe("orders").unwrap().topic_id(), id);
}

#[test]
fn nothing_can_be_written() {
    let dir = tempfile::tempdir().unwrap();
    open(dir.path()).topic("orders").unwrap().produce("k", "v").unwrap();
    let reader = Broker::open_read_only(dir.path()).unwrap();
    let topic = reader.topic("orders").unwrap();
    fn is_refused<T: std::fmt::Debug>(result: Result<T, Error>) {
        assert!(matches!(result, Err(Error::ReadOnly { .. })), "{result:?}");
    }
    is_refused(topic.produce("k", "v"));
    is_refused(topic.partition(0).unwrap().append(&ProducerRecord::to("orders")));
    is_refused(topic.partition(0).unwrap().append_batch(&[]));
    is_refused(topic.partition(0).unwrap().wait_durable(0));
    is_refused(reader.producer().send(ProducerRecord::to("orders")));
    is_refused(reader.producer_with(ottla::ProducerConfig::new()));
    is_refused(reader.create_topic("new", TopicConfig::new()));
    is_refused(reader.consumer("g", ["orders"]));
    is_refused(reader.admin().add_partitions("orders", 2));
    is_refused(reader.admin().delete_topic("orders"));
    is_refused(reader.flush());
    is_refused(reader.run_maintenance());
    assert!(matches!(reader.topic("new"), Err(Error::UnknownTopic { .. })));
    reader.close().unwrap();
    assert!(Broker::open_read_only(dir.path().join("absent")).is_err());
    assert!(!dir.path().join("absent").exists());
}

#[test]
fn readers_do_not_keep_a_writer_out() {
    let dir = tempfile::tempdir().unwrap();
    open(dir.path()).topic("orders").unwrap().produce("k", "v").unwrap();
    let readers = [Broker::open_read_only(dir.path()).unwrap(), Broker::open_read_only(dir.path()).unwrap()];
    let writer = open(dir.path());
    writer.topic("orders").unwrap().produce("k", "w").unwrap();
    for reader in readers {
        assert_eq!(values(&reader.topic("orders").unwrap().partition(0).unwrap()), ["v", "w"]);
    }
}

#[test]
fn another_process_sees_the_same() {
    let dir = tempfile::tempdir().unwrap();
    // Whose maintenance would change files meanwhile.
    let writer = Broker::builder(dir.path()).background(false).open().unwrap();
    let topic = writer.create_topic("orders", small_segments()).unwrap();
    for n in 0..1000 {
        topic.produce("k", n.to_string()).unwrap();
    }
    let before = fingerprint(dir.path());
    run_in_child("read_only::child_reads", dir.path());
    assert_eq!(fingerprint(dir.path()), before);
    assert_eq!(topic.produce("k", "1000").unwrap().offset(), 1000);
}

#[test]
#[ignore = "run by another_process_sees_the_same, in a process of its own"]
fn child_reads() {
    let Some(dir) = dir_from_parent() else { return };
    let reader = Broker::open_read_only(dir).unwrap();
    let read = values(&reader.topic("orders").unwrap().partition(0).unwrap());
    assert_eq!(read, (0..1000).map(|n| n.to_string()).collect::<Vec<_>>());
}

#[test]
fn groups_are_described_as_the_writer_has_written_them_down() {
    let dir = tempfile::tempdir().unwrap();
    let writer = Broker::open(dir.path()).unwrap();
    writer.create_topic("orders", TopicConfig::new().partitions(2)).unwrap();
    let reader = Broker::open_read_only(dir.path()).unwrap();
    assert!(reader.admin().list_groups().unwrap().is_empty());
    for n in 0..20 {
        writer.producer().send(ProducerRecord::to("orders").partition(n % 2)).unwrap();
    }
    let config = ottla::ConsumerConfig::new("billing").topics(["orders"]).client_id("till");
    let mut consumer = writer.consumer_with(config).unwrap();
    consumer.poll(Duration::from_secs(5)).unwrap();
    let tp = ottla::TopicPartition::new("orders", 1);
    consumer.commit_offsets(&[(tp.clone(), ottla::CommittedOffset::new(4))]).unwrap();
    assert_eq!(reader.admin().list_groups().unwrap(), ["billing"]);
    let group = reader.admin().describe_group("billing").unwrap();
    assert_eq!((group.lag(&tp), group.total_lag()), (Some(6), 16));
    assert_eq!(group.members()[0].client_id(), "till");
    assert_eq!(group.partitions()[1].owner(), consumer.member_id());
    assert!(matches!(reader.admin().describe_group("nobody"), Err(Error::UnknownGroup { .. })));
    assert!(matches!(reader.admin().delete_group("billing"), Err(Error::ReadOnly { .. })));
    assert!(matches!(reader.consumer("billing", ["orders"]), Err(Error::ReadOnly { .. })));
    drop(consumer);
    writer.run_maintenance().unwrap();
    assert!(reader.admin().describe_group("billing").unwrap().members().is_empty());
}

#[test]
fn the_first_description_says_how_large_a_partition_is() {
    let dir = tempfile::tempdir().unwrap();
    // What is full is in segments at once.
    let writer = Broker::builder(dir.path()).background(false).open().unwrap();
    let topic = writer.create_topic("orders", small_segments()).unwrap();
    for n in 0..1000 {
        topic.produce(n.to_string(), "x".repeat(200)).unwrap();
    }
    let sizes = |broker: &Broker| {
        let described = broker.admin().describe("orders").unwrap();
        (described.partitions()[0].log_bytes(), described.partitions()[0].segment_count())
    };
    let (bytes, segments) = sizes(&writer);
    assert!(bytes > 16 << 10 && segments > 1);
    assert_eq!(sizes(&Broker::open_read_only(dir.path()).unwrap()), (bytes, segments));
}

#[test]
fn the_report_says_whether_the_directory_was_closed() {
    let dir = tempfile::tempdir().unwrap();
    let report = || Broker::open_read_only(dir.path()).unwrap().recovery_report().clone();
    let writer = open(dir.path());
    writer.topic("orders").unwrap().produce("k", "v").unwrap();
    assert!(!report().was_clean_shutdown());
    writer.close().unwrap();
    assert!(report().was_clean_shutdown());
    assert!(report().is_clean(), "{}", report());
}

#[test]
fn beside_a_writer_the_report_says_so_and_raises_no_alarm() {
    let dir = tempfile::tempdir().unwrap();
    let report = || Broker::open_read_only(dir.path()).unwrap().recovery_report().clone();
    let writer = open(dir.path());
    writer.topic("orders").unwrap().produce("k", "v").unwrap();
    let beside = report();
    assert!(beside.may_be_open_for_writing() && beside.is_clean() && !beside.was_clean_shutdown(), "{beside}");
    let expected = "a process has the directory open for writing, or was killed; its records are there";
    assert_eq!(beside.to_string(), expected);
    writer.close().unwrap();
    let closed = report();
    assert!(!closed.may_be_open_for_writing() && closed.was_clean_shutdown());
    assert_eq!(closed.to_string(), "after a clean shutdown");
    assert!(!open(dir.path()).recovery_report().may_be_open_for_writing(), "who has it open knows");
}

#[cfg(feature = "testing")]
#[test]
fn after_a_power_cut_the_report_of_a_reader_tells_of_it() {
    use ottla::testing::{CrashModel, SimulatedDisk};
    let disk = SimulatedDisk::new(1);
    let open = |disk: &SimulatedDisk, mode| {
        Broker::builder("/data").background(false).recovery_mode(mode).disk(disk).open().unwrap()
    };
    let writer = open(&disk, RecoveryMode::TolerateTail);
    writer.topic("orders").unwrap().produce("k", "v").unwrap();
    let report = |disk: &SimulatedDisk| open(disk, RecoveryMode::ReadOnly).recovery_report().clone();
    let killed = report(&disk.kill(1));
    assert!(killed.may_be_open_for_writing() && killed.is_clean(), "{killed}");
    let cut = report(&disk.crash(1, CrashModel::Ordered));
    assert!(!cut.may_be_open_for_writing() && !cut.is_clean() && !cut.was_clean_shutdown(), "{cut}");
    assert!(cut.to_string().starts_with("after an unclean stop"), "{cut}");
}

#[test]
fn committed_offsets_are_those_that_the_writer_has_written_down() {
    let dir = tempfile::tempdir().unwrap();
    let writer = open(dir.path());
    let tp = ottla::TopicPartition::new("orders", 0);
    for n in 0..3 {
        writer.topic("orders").unwrap().produce("k", n.to_string()).unwrap();
    }
    let reader = Broker::open_read_only(dir.path()).unwrap();
    assert_eq!(reader.committed("billing", &tp).unwrap(), None);
    let mut consumer = writer.consumer("billing", ["orders"]).unwrap();
    consumer.poll(Duration::from_secs(5)).unwrap();
    consumer.commit().unwrap();
    assert_eq!(reader.committed("billing", &tp).unwrap().unwrap().offset(), 3);
    assert_eq!(reader.committed("billing", &tp).unwrap(), writer.committed("billing", &tp).unwrap());
    assert_eq!(reader.committed("shipping", &tp).unwrap(), None);
    assert_eq!(reader.committed("billing", &ottla::TopicPartition::new("none", 0)).unwrap(), None);
    drop(consumer);
    writer.admin().delete_topic("orders").unwrap();
    writer.topic("orders").unwrap();
    assert_eq!(reader.committed("billing", &tp).unwrap(), None, "of the topic that was deleted");
}

#[test]
fn what_is_read_beside_a_writer_is_whole_and_in_order() {
    const RECORDS: u64 = 20_000;
    let dir = tempfile::tempdir().unwrap();
    let writer = Broker::builder(dir.path()).durability(Durability::Os).open().unwrap();
    let config = TopicConfig::new().partitions(2).segment_bytes(1 << 20);
    writer.create_topic("orders", config).unwrap();
    let reader = Broker::open_read_only(dir.path()).unwrap();
    let value =
        |offset: u64| "0123456789 ".repeat(5).split_off(usize::try_from(offset % 50).unwrap()) + &offset.to_string();
    std::thread::scope(|scope| {
        // Slots go from one partition to the other, and now and then a batch takes none.
        for partition in 0..2 {
            let topic = writer.topic("orders").unwrap().partition(partition).unwrap();
            scope.spawn(move || {
                for offset in 0..RECORDS {
                    let large = if offset % 5000 == 4999 { "x".repeat(80_000) } else { value(offset) };
                    topic.append(&ProducerRecord::to("orders").value(&large)).unwrap();
                }
            });
        }
        for partition in 0..2 {
            let there = reader.topic("orders").unwrap().partition(partition).unwrap();
            scope.spawn(move || {
                let mut next = 0;
                while next < RECORDS {
                    for record in &there.read(next, 1 << 20).unwrap() {
                        assert_eq!(record.offset(), next);
                        if next % 5000 != 4999 {
                            assert_eq!(record.value().unwrap_or_default(), value(next).as_bytes());
                        }
                        next += 1;
                    }
                }
            });
        }
    });
}
