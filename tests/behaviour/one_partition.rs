//! What is wrong with one partition is wrong with that one alone: it says so, and everything else is served.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ottla::{
    Broker, ConsumerConfig, Corruption, Durability, Error, PartitionRecovery, ProducerRecord, RecoveryMode, Result,
    TopicConfig, TopicPartition,
};

use crate::{all_from, open, values};

const SEGMENT: &str = "00000000000000000000.log";

fn corruption<T: std::fmt::Debug>(result: Result<T>) -> Corruption {
    match result {
        Err(Error::Corrupt(damage)) => *damage,
        other => panic!("{other:?}"),
    }
}

fn strict(dir: &Path) -> Result<Broker> {
    Broker::builder(dir).recovery_mode(RecoveryMode::Strict).open()
}

fn partition(broker: &Broker, topic: &str, number: u32) -> ottla::Partition {
    broker.topic(topic).unwrap().partition(number).unwrap()
}

/// Records `{topic} {number}`, each a batch of its own.
fn append(broker: &Broker, topic: &str, number: u32, numbers: std::ops::Range<u64>) {
    let partition = partition(broker, topic, number);
    for n in numbers {
        partition.append_batch(&[ProducerRecord::to(topic).value(format!("{topic} {n}"))]).unwrap();
    }
}

/// Topics a, b and c of two partitions, 12 records in each partition, closed.
fn three_topics(dir: &Path) {
    let broker = open(dir);
    for topic in ["a", "b", "c"] {
        broker.create_topic(topic, TopicConfig::new().partitions(2)).unwrap();
        (0..2).for_each(|number| append(&broker, topic, number, 0..12));
    }
    broker.close().unwrap();
}

/// Flips a bit of the topic id, so that it reads as another one.
fn flip_topic_id(dir: &Path) {
    let path = dir.join("partition.metadata");
    let mut text = fs::read(&path).unwrap();
    let at = text.len() - 10;
    text[at] = if text[at] == b'A' { b'C' } else { b'A' };
    fs::write(path, text).unwrap();
}

/// That a-1 says of every call that it is damaged, and all others are as they were.
fn only_one_is_damaged(dir: &Path, group: &str) {
    let damaged = TopicPartition::new("a", 1);
    let broker = open(dir);
    let report = broker.recovery_report();
    assert_eq!(report.partitions().iter().map(PartitionRecovery::topic_partition).collect::<Vec<_>>(), [&damaged]);
    assert_eq!(report.damage().map(|damage| damage.partition.clone()).collect::<Vec<_>>(), [Some(damaged.clone())]);
    let closed = partition(&broker, "a", 1);
    assert_eq!((closed.log_start_offset(), closed.log_end_offset(), closed.durable_offset()), (0, 0, 0));
    let record = ProducerRecord::to("a").value("more");
    corruption(closed.read(0, 100));
    corruption(closed.append(&record));
    corruption(closed.append_batch(&[]));
    corruption(closed.wait_durable(0));
    corruption(closed.offset_for_time(ottla::Timestamp::from_millis(0)));
    corruption(closed.iter_from(0).next().unwrap());
    corruption(broker.producer().send(record.clone().partition(1)));
    assert_eq!(broker.admin().describe("a").unwrap().partitions()[1].offsets(), 0..0);
    assert_eq!(broker.admin().verify().unwrap().damage().count(), 1);
    for (topic, number) in [("a", 0), ("b", 0), ("b", 1), ("c", 0), ("c", 1)] {
        assert_eq!(values(&partition(&broker, topic, number)).len(), 12);
    }
    let mut consumer = broker.consumer_with(ConsumerConfig::new(group).topics(["a", "b"])).unwrap();
    let (mut read, mut errors) = (0, 0);
    for _ in 0..20 {
        match consumer.poll(Duration::ZERO) {
            Ok(records) => read += records.len(),
            Err(Error::Corrupt(damage)) => {
                assert_eq!(damage.partition.as_ref(), Some(&damaged));
                errors += 1;
            }
            Err(error) => panic!("{error}"),
        }
    }
    assert!(read == 36 && errors > 0, "{read} records, {errors} errors");
    consumer.commit().unwrap();
    consumer.close().unwrap();
    broker.flush().unwrap();
    broker.run_maintenance().unwrap();
    broker.close().unwrap();
    corruption(strict(dir));
}

#[test]
fn a_flipped_bit_in_a_topic_id_closes_one_partition() {
    let dir = tempfile::tempdir().unwrap();
    three_topics(dir.path());
    flip_topic_id(&dir.path().join("a-1"));
    only_one_is_damaged(dir.path(), "billing");
    // Also the next time, and until the topic is deleted.
    only_one_is_damaged(dir.path(), "shipping");
    let broker = open(dir.path());
    broker.admin().delete_topic("a").unwrap();
    assert_eq!(broker.admin().list_topics().unwrap(), ["b", "c"]);
    broker.create_topic("a", TopicConfig::new().partitions(2)).unwrap();
    append(&broker, "a", 1, 0..3);
    broker.close().unwrap();
    assert_eq!(values(&partition(&open(dir.path()), "a", 1)).len(), 3);
}

#[test]
fn a_directory_that_is_missing_closes_one_partition() {
    let dir = tempfile::tempdir().unwrap();
    three_topics(dir.path());
    let (lost, elsewhere) = (dir.path().join("a-1"), tempfile::tempdir().unwrap());
    fs::rename(&lost, elsewhere.path().join("a-1")).unwrap();
    only_one_is_damaged(dir.path(), "billing");
    assert!(!lost.exists());
    // Once it is back, all is well.
    fs::rename(elsewhere.path().join("a-1"), &lost).unwrap();
    let broker = open(dir.path());
    assert!(broker.recovery_report().is_clean());
    assert_eq!(values(&partition(&broker, "a", 1)).len(), 12);
}

#[cfg(unix)]
#[test]
fn a_link_in_the_place_of_a_directory_closes_one_partition() {
    let (dir, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    three_topics(dir.path());
    let (planted, target) = (dir.path().join("a-1"), elsewhere.path().join("a-1"));
    fs::rename(&planted, &target).unwrap();
    std::os::unix::fs::symlink(&target, &planted).unwrap();
    refuses_one_read_only(dir.path());
    only_one_is_damaged(dir.path(), "billing");
    open(dir.path()).admin().delete_topic("a").unwrap();
    assert!(!planted.exists() && target.join(SEGMENT).exists());
}

/// A file stands where the partition's directory should, before the reader opens and behind its back.
#[cfg(unix)]
#[test]
fn a_file_in_the_place_of_a_directory_closes_one_partition() {
    let dir = tempfile::tempdir().unwrap();
    three_topics(dir.path());
    let reader = Broker::open_read_only(dir.path()).unwrap();
    let planted = dir.path().join("a-1");
    fs::rename(&planted, dir.path().join("elsewhere")).unwrap();
    fs::write(&planted, "not a directory").unwrap();
    assert!(partition(&reader, "a", 1).read(0, 100).is_err());
    assert_eq!(values(&partition(&reader, "a", 0)).len(), 12);
    refuses_one_read_only(dir.path());
    only_one_is_damaged(dir.path(), "billing");
}

/// Who reads along serves all but partition 1 of topic `a`, says what is wrong with it, and never looks into it.
#[cfg(unix)]
fn refuses_one_read_only(dir: &Path) {
    let reader = Broker::open_read_only(dir).unwrap();
    let reason = "a link or a file stands where the partition's directory should";
    let refused = partition(&reader, "a", 1);
    assert_eq!(corruption(refused.read(0, 100)).reason, reason);
    assert_eq!(corruption(refused.offset_for_time(ottla::Timestamp::from_millis(0))).reason, reason);
    assert_eq!((refused.log_start_offset(), refused.log_end_offset()), (0, 0));
    let reports = reader.recovery_report().partitions().to_vec();
    assert_eq!(reports.len(), 1, "{reports:?}");
    assert_eq!(reports[0].damage().next().unwrap().reason, reason);
    assert_eq!(values(&partition(&reader, "a", 0)).len(), 12);
}

#[test]
fn exchanged_directories_are_noticed_for_writing_and_read_only_and_nothing_of_them_is_deleted() {
    let dir = tempfile::tempdir().unwrap();
    three_topics(dir.path());
    let path = |name: &str| dir.path().join(name);
    for (from, to) in [("a-0", "x"), ("b-0", "a-0"), ("x", "b-0")] {
        fs::rename(path(from), path(to)).unwrap();
    }
    let reader = Broker::open_read_only(dir.path()).unwrap();
    let broker = open(dir.path());
    for topic in ["a", "b"] {
        corruption(partition(&broker, topic, 0).read(0, 100));
        corruption(partition(&reader, topic, 0).read(0, 100));
        assert_eq!(values(&partition(&broker, topic, 1)).len(), 12);
    }
    assert_eq!(broker.recovery_report().partitions().len(), 2);
    broker.admin().delete_topic("a").unwrap();
    let kept = fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().path());
    let kept: Vec<PathBuf> = kept.filter(|path| path.join("partition.metadata").exists()).collect();
    assert_eq!(kept.iter().filter(|path| path.to_string_lossy().contains("a-0.")).count(), 1, "{kept:?}");
}

/// Two partitions of one topic, of 12 and 13 records, exchanged after `end`.
fn exchanged_partitions(dir: &Path, end: impl FnOnce(Broker)) {
    let broker = open(dir);
    broker.create_topic("a", TopicConfig::new().partitions(2)).unwrap();
    append(&broker, "a", 0, 0..12);
    append(&broker, "a", 1, 0..13);
    broker.topic("b").unwrap();
    append(&broker, "b", 0, 0..12);
    end(broker);
    exchange(dir, "");
}

/// Exchanges `name` in the directories of the partitions 0 and 1; the directories themselves, if it is empty.
fn exchange(dir: &Path, name: &str) {
    let path = |partition: &str| if name.is_empty() { dir.join(partition) } else { dir.join(partition).join(name) };
    for (from, to) in [(path("a-0"), dir.join("x")), (path("a-1"), path("a-0")), (dir.join("x"), path("a-1"))] {
        fs::rename(from, to).unwrap();
    }
}

#[test]
fn exchanged_directories_of_one_topic_are_noticed_for_writing_and_read_only() {
    let dir = tempfile::tempdir().unwrap();
    exchanged_partitions(dir.path(), |broker| broker.close().unwrap());
    corruption(strict(dir.path()));
    let reader = Broker::open_read_only(dir.path()).unwrap();
    for _ in 0..2 {
        let broker = open(dir.path());
        for (broker, number) in [(&broker, 0), (&broker, 1), (&reader, 0), (&reader, 1)] {
            let damage = corruption(partition(broker, "a", number).read(0, 100));
            let reason = "the partition's directory belongs to another partition; restore its own from a backup";
            assert_eq!((damage.reason, damage.path), (reason, dir.path().join(format!("a-{number}"))));
        }
        assert_eq!(values(&partition(&broker, "b", 0)).len(), 12);
        for broker in [&broker, &reader] {
            assert_eq!(broker.recovery_report().damage().count(), 2, "{}", broker.recovery_report());
        }
    }
    exchange(dir.path(), "");
    let broker = open(dir.path());
    assert_eq!(broker.recovery_report().damage().count(), 0, "{}", broker.recovery_report());
    for (number, count) in [(0, 12), (1, 13)] {
        assert_eq!(values(&partition(&broker, "a", number)).len(), count);
    }
}

#[test]
fn exchanged_directories_of_one_topic_are_taken_where_damage_is_passed_over() {
    let dir = tempfile::tempdir().unwrap();
    exchanged_partitions(dir.path(), |broker| broker.close().unwrap());
    for mode in [RecoveryMode::SkipCorrupt, RecoveryMode::TolerateTail] {
        let broker = Broker::builder(dir.path()).recovery_mode(mode).open().unwrap();
        for (number, count) in [(0, 13), (1, 12)] {
            assert_eq!(values(&partition(&broker, "a", number)).len(), count, "{mode:?}");
        }
        broker.close().unwrap();
    }
}

/// Records of 1 KB, which fill several of the smallest segments.
fn append_large(broker: &Broker, number: u32, count: usize) {
    let value = "x".repeat(1000);
    let partition = partition(broker, "a", number);
    (0..count).for_each(|_| _ = partition.append(&ProducerRecord::to("a").value(&value)).unwrap());
}

/// The recovery point alone says nothing of the directory, if the manifest says that it is the right one.
#[test]
fn an_exchanged_recovery_point_is_damage_of_that_file_alone() {
    let dir = tempfile::tempdir().unwrap();
    let broker = open(dir.path());
    broker.create_topic("a", crate::small_segments().partitions(2)).unwrap();
    (0..2).for_each(|number| append_large(&broker, number, 100));
    broker.close().unwrap();
    exchange(dir.path(), "recovery-point");
    let broker = open(dir.path());
    for number in 0..2 {
        assert_eq!(values(&partition(&broker, "a", number)).len(), 100);
    }
}

/// A closed log of several segments has lost its manifest: that is said, by everyone, until the next one is written.
#[test]
fn a_manifest_that_is_missing_is_damage_and_costs_no_record() {
    let dir = tempfile::tempdir().unwrap();
    let broker = open(dir.path());
    broker.create_topic("a", crate::small_segments()).unwrap();
    append_large(&broker, 0, 400);
    broker.close().unwrap();
    assert!(open(dir.path()).admin().describe("a").unwrap().partitions()[0].segment_count() > 2);
    let manifest = dir.path().join("a-0").join("manifest");
    fs::remove_file(&manifest).unwrap();
    corruption(strict(dir.path()));
    let reader = Broker::open_read_only(dir.path()).unwrap();
    let is_told = |damage: &Corruption| (damage.path == manifest, damage.reason) == (true, "the manifest is missing");
    assert!(reader.admin().verify().unwrap().damage().any(is_told));
    let broker = open(dir.path());
    for broker in [&reader, &broker] {
        let report = broker.recovery_report();
        assert!(report.damage().count() == 1 && report.damage().all(is_told), "{report}");
        assert_eq!(values(&partition(broker, "a", 0)).len(), 400);
    }
    broker.close().unwrap();
    let broker = open(dir.path());
    assert!(broker.recovery_report().is_clean(), "{}", broker.recovery_report());
    append_large(&broker, 0, 1);
    assert_eq!(values(&partition(&broker, "a", 0)).len(), 401);
    assert!(broker.admin().verify().unwrap().is_clean());
}

/// A log of 12 records and one of 13, closed, the file of the second put into the place of the first.
fn swapped_segment(dir: &Path) -> (PathBuf, Vec<u8>) {
    let broker = open(dir);
    for (topic, count) in [("a", 12), ("b", 13)] {
        broker.topic(topic).unwrap();
        append(&broker, topic, 0, 0..count);
    }
    broker.close().unwrap();
    let path = dir.join("a-0").join(SEGMENT);
    let own = fs::read(&path).unwrap();
    fs::copy(dir.join("b-0").join(SEGMENT), &path).unwrap();
    (path, own)
}

#[test]
fn the_newest_segment_of_another_log_is_not_read_and_not_touched() {
    let dir = tempfile::tempdir().unwrap();
    let (path, own) = swapped_segment(dir.path());
    let foreign = fs::read(&path).unwrap();
    corruption(strict(dir.path()));
    let reader = Broker::open_read_only(dir.path()).unwrap();
    for opening in 0..3 {
        let broker = open(dir.path());
        for broker in [&broker, &reader] {
            let a = partition(broker, "a", 0);
            assert_eq!(a.log_end_offset(), 12 + opening);
            for offset in [0, 5, 11] {
                let damage = corruption(a.read(offset, 100));
                assert_eq!((damage.offsets, damage.reason), (Some(0..12), "not the file that was written"));
            }
            assert_eq!(values(&partition(broker, "b", 0)).len(), 13);
        }
        assert_eq!(broker.recovery_report().damage().count(), 1, "{}", broker.recovery_report());
        append(&broker, "a", 0, opening..opening + 1);
        assert_eq!(all_from(&partition(&broker, "a", 0), 12).len() as u64, opening + 1);
        assert!(broker.admin().verify().unwrap().damage().next().is_some());
        broker.run_maintenance().unwrap();
        broker.close().unwrap();
        assert_eq!(fs::read(&path).unwrap(), foreign);
    }
    // The right one comes back.
    fs::write(&path, own).unwrap();
    let broker = open(dir.path());
    assert_eq!(values(&partition(&broker, "a", 0)).len(), 15);
    assert!(broker.admin().verify().unwrap().damage().next().is_none());
}

#[test]
fn a_sealed_segment_of_another_log_is_not_read() {
    let dir = tempfile::tempdir().unwrap();
    let broker = open(dir.path());
    for topic in ["a", "b"] {
        broker.create_topic(topic, TopicConfig::new().segment_bytes(1024)).unwrap();
        append(&broker, topic, 0, 0..40);
    }
    broker.close().unwrap();
    let path = dir.path().join("a-0").join(SEGMENT);
    let size = fs::metadata(&path).unwrap().len();
    // All records have one size, so that nothing but its content tells them apart.
    assert_eq!(fs::copy(dir.path().join("b-0").join(SEGMENT), &path).unwrap(), size);
    let reader = Broker::open_read_only(dir.path()).unwrap();
    for broker in [&open(dir.path()), &reader] {
        let a = partition(broker, "a", 0);
        let damage = corruption(a.read(0, 100));
        let lost = damage.offsets.unwrap();
        assert_eq!(damage.reason, "not the file that was written");
        assert_eq!(all_from(&a, lost.end).len() as u64, 40 - lost.end);
    }
}

#[test]
fn groups_whose_offsets_are_in_a_damaged_partition_fail_and_others_do_not() {
    let dir = tempfile::tempdir().unwrap();
    let broker = open(dir.path());
    broker.topic("orders").unwrap().produce("a", "b").unwrap();
    let groups: Vec<String> = (0..8).map(|n| format!("group-{n}")).collect();
    for group in &groups {
        let mut consumer = broker.consumer(group, ["orders"]).unwrap();
        assert_eq!(consumer.poll(Duration::ZERO).unwrap().len(), 1);
        consumer.commit().unwrap();
    }
    broker.close().unwrap();
    let holds_records = |dir: &PathBuf| fs::metadata(dir.join(SEGMENT)).is_ok_and(|file| file.len() > 0);
    let dirs = fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().path());
    let mut of_offsets: Vec<_> =
        dirs.filter(|path| path.to_string_lossy().contains("__consumer_offsets-")).filter(holds_records).collect();
    of_offsets.sort();
    assert!(!of_offsets.is_empty());
    flip_topic_id(&of_offsets[0]);
    let broker = Broker::builder(dir.path()).durability(Durability::Os).open().unwrap();
    let orders = TopicPartition::new("orders", 0);
    let (mut damaged, mut well) = (0, 0);
    for group in &groups {
        match broker.committed(group, &orders) {
            Ok(committed) => {
                assert_eq!(committed.unwrap().offset(), 1);
                broker.consumer(group, ["orders"]).unwrap();
                well += 1;
            }
            Err(Error::Corrupt(_)) => {
                corruption(broker.consumer(group, ["orders"]));
                corruption(broker.admin().describe_group(group));
                damaged += 1;
            }
            Err(error) => panic!("{error}"),
        }
    }
    assert!(damaged > 0 && (well > 0 || of_offsets.len() == 1), "{damaged} damaged, {well} well");
}

/// What a dead process left for a partition that cannot be told from another one's is not anybody's to throw away.
#[cfg(feature = "testing")]
#[test]
fn what_was_sent_is_there_when_a_damaged_directory_is_whole_again() {
    use ottla::testing::SimulatedDisk;

    const METADATA: &str = "/data/orders-0/partition.metadata";
    let open = |disk: &SimulatedDisk| Broker::builder("/data").background(false).disk(disk).open().unwrap();
    for durability in [Durability::Always, Durability::Os] {
        let disk = SimulatedDisk::new(1);
        let broker = open(&disk);
        let orders = broker.create_topic("orders", TopicConfig::new().durability(durability)).unwrap();
        for n in 0..5 {
            orders.produce("k", n.to_string()).unwrap();
        }
        broker.create_topic("other", TopicConfig::new().durability(durability)).unwrap().produce("k", "v").unwrap();
        let disk = disk.kill(1);
        let whole = disk.read(METADATA).unwrap();
        disk.put(METADATA, &disk.read("/data/other-0/partition.metadata").unwrap());
        for life in 0..2 {
            let broker = open(&disk);
            assert!(!broker.recovery_report().was_clean_shutdown());
            corruption(partition(&broker, "orders", 0).append(&ProducerRecord::to("orders").value("lost")));
            broker.topic("other").unwrap().produce("k", life.to_string()).unwrap();
            broker.close().unwrap();
        }
        disk.put(METADATA, &whole);
        let broker = open(&disk);
        assert_eq!(broker.recovery_report().damage().count(), 0);
        assert_eq!(values(&partition(&broker, "orders", 0)), ["0", "1", "2", "3", "4"], "{durability:?}");
        assert_eq!(all_from(&partition(&broker, "other", 0), 0).len(), 3);
        assert_eq!(broker.topic("orders").unwrap().produce("k", "5").unwrap().offset(), 5);
    }
}
