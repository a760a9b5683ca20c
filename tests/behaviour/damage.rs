//! What is damaged on the disk: it is found and told, what is around it stays readable, going on without it is somebody's
//! choice, and `verify` finds it before anybody reads it.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ottla::{
    Broker, BrokerBuilder, Corruption, Durability, Error, ProducerRecord, RecoveryMode, Result, TopicConfig,
    TopicPartition,
};

use crate::open;

/// Too large for a slot of the tail, so that each is a batch of its own.
const BATCH_BYTES: usize = 70_000;

fn builder(dir: &Path) -> BrokerBuilder {
    Broker::builder(dir).durability(Durability::Os)
}

/// Three batches each.
fn small_segments() -> TopicConfig {
    TopicConfig::new().segment_bytes(240_000)
}

fn orders() -> TopicPartition {
    TopicPartition::new("orders", 0)
}

/// A topic `orders` of ten records, three batches to a segment, closed.
fn with_orders(dir: &Path) {
    let broker = open(dir);
    let partition = broker.create_topic("orders", small_segments()).unwrap().partition(0).unwrap();
    append(&partition, 0..10);
    broker.close().unwrap();
}

fn append(partition: &ottla::Partition, numbers: Range<u64>) {
    for number in numbers {
        let value = vec![u8::try_from(number).unwrap(); BATCH_BYTES];
        partition.append_batch(&[ProducerRecord::to("orders").value(&value)]).unwrap();
    }
}

fn log_files(dir: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(dir.join("orders-0")).unwrap().map(|entry| entry.unwrap().path());
    let mut logs: Vec<_> =
        entries.filter(|path| path.extension().is_some_and(|extension| extension == "log")).collect();
    logs.sort();
    logs
}

fn flip(path: &Path, position: usize) {
    let mut bytes = std::fs::read(path).unwrap();
    bytes[position] ^= 0x10;
    std::fs::write(path, bytes).unwrap();
}

/// Flips a bit in the records of the second batch of the second segment; returns its offset.
fn damage_a_batch(dir: &Path) -> u64 {
    let file = &log_files(dir)[1];
    let bytes = std::fs::read(file).unwrap();
    let first_batch = 12 + u32::from_be_bytes(*bytes[8..].first_chunk().unwrap()) as usize;
    flip(file, first_batch + 100);
    u64::from_be_bytes(*bytes[first_batch..].first_chunk().unwrap())
}

fn offsets(result: Result<ottla::ConsumerRecords>) -> Vec<u64> {
    result.unwrap().iter().map(|record| record.offset()).collect()
}

fn corruption<T: std::fmt::Debug>(result: Result<T>) -> Corruption {
    match result {
        Err(Error::Corrupt(damage)) => *damage,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_consumer_blocks_at_damage_until_it_skips_it_and_hears_what_it_skipped() {
    let dir = tempfile::tempdir().unwrap();
    with_orders(dir.path());
    let damaged = damage_a_batch(dir.path());
    let broker = open(dir.path());
    let mut consumer = broker.consumer("billing", ["orders"]).unwrap();
    let before: Vec<u64> = (0..damaged).collect();
    assert_eq!(offsets(consumer.poll(Duration::ZERO)), before);
    let damage = corruption(consumer.poll(Duration::ZERO));
    assert_eq!(corruption(consumer.poll(Duration::ZERO)), damage, "again and again");
    assert_eq!((damage.partition.clone(), damage.offsets.clone()), (Some(orders()), Some(damaged..damaged + 1)));
    assert_eq!(consumer.skip_corrupt(&damage).unwrap(), damaged..damaged + 1);
    assert_eq!(consumer.skipped_count(), 1);
    assert_eq!(offsets(consumer.poll(Duration::ZERO)), (damaged + 1..10).collect::<Vec<_>>());
    // Only once: it is no longer where the consumer reads.
    assert_eq!(corruption(consumer.skip_corrupt(&damage)), damage);
    assert_eq!((consumer.position(&orders()), consumer.skipped_count()), (Some(10), 1));
    consumer.commit().unwrap();
    assert_eq!(broker.committed("billing", &orders()).unwrap().unwrap().offset(), 10);
}

#[test]
fn damage_of_another_partition_or_place_cannot_be_skipped() {
    let dir = tempfile::tempdir().unwrap();
    with_orders(dir.path());
    let broker = open(dir.path());
    let mut consumer = broker.consumer("billing", ["orders"]).unwrap();
    assert_eq!(consumer.poll(Duration::ZERO).unwrap().len(), 10);
    let elsewhere = tempfile::tempdir().unwrap();
    std::fs::write(elsewhere.path().join("catalog"), "not a catalog").unwrap();
    let made_up = |partition: &str, offsets: Option<Range<u64>>| {
        let mut damage = corruption(Broker::open(elsewhere.path()));
        (damage.partition, damage.offsets) = (Some(TopicPartition::new(partition, 0)), offsets);
        damage
    };
    for damage in [made_up("orders", Some(2..4)), made_up("orders", Some(10..50)), made_up("orders", None)] {
        assert_eq!(corruption(consumer.skip_corrupt(&damage)), damage);
    }
    let elsewhere = consumer.skip_corrupt(&made_up("other", Some(0..1)));
    assert!(matches!(elsewhere, Err(Error::NotAssigned { .. })), "{elsewhere:?}");
    assert_eq!((consumer.position(&orders()), consumer.skipped_count()), (Some(10), 0));
}

#[test]
fn with_skip_corrupt_consumers_pass_over_damage_and_count_it() {
    let dir = tempfile::tempdir().unwrap();
    with_orders(dir.path());
    let damaged = damage_a_batch(dir.path());
    let broker = builder(dir.path()).set("ottla.recovery.mode", "skip-corrupt").unwrap().open().unwrap();
    let mut consumer = broker.consumer("billing", ["orders"]).unwrap();
    let mut read = offsets(consumer.poll(Duration::ZERO));
    read.extend(offsets(consumer.poll(Duration::ZERO)));
    assert_eq!(read, (0..10).filter(|offset| *offset != damaged).collect::<Vec<_>>());
    assert_eq!(consumer.skipped_count(), 1);
    // Who reads the log itself has the choice each time.
    corruption(broker.topic("orders").unwrap().partition(0).unwrap().read(damaged, 1));
}

#[test]
fn strict_refuses_a_missing_segment_and_leaves_everything_as_it_was() {
    let dir = tempfile::tempdir().unwrap();
    with_orders(dir.path());
    let strict = || builder(dir.path()).recovery_mode(RecoveryMode::Strict).open();
    strict().unwrap().close().unwrap();
    let second = log_files(dir.path())[1].clone();
    let elsewhere = dir.path().join("second");
    std::fs::rename(&second, &elsewhere).unwrap();
    for _ in 0..2 {
        let damage = corruption(strict());
        assert_eq!((damage.path, damage.reason), (second.clone(), "a sealed segment is missing"));
        assert!(dir.path().join("clean-shutdown").exists());
    }
    // The default mode opens, and tells.
    let broker = open(dir.path());
    assert_eq!(broker.recovery_report().damage().count(), 1);
    broker.close().unwrap();
    std::fs::rename(&elsewhere, &second).unwrap();
    assert!(strict().unwrap().recovery_report().is_clean());
}

#[test]
fn strict_cuts_nothing() {
    let dir = tempfile::tempdir().unwrap();
    with_orders(dir.path());
    std::fs::remove_file(dir.path().join("clean-shutdown")).unwrap();
    let active = log_files(dir.path()).pop().unwrap();
    let mut bytes = std::fs::read(&active).unwrap();
    bytes.extend([7; 100]);
    std::fs::write(&active, &bytes).unwrap();
    let refused = builder(dir.path()).recovery_mode(RecoveryMode::Strict).open();
    assert_eq!(corruption(refused).file_position, bytes.len() as u64 - 100);
    assert_eq!(std::fs::read(&active).unwrap(), bytes);
    let broker = open(dir.path());
    let report = broker.recovery_report();
    assert_eq!(report.partitions().iter().map(ottla::PartitionRecovery::cut_bytes).sum::<u64>(), 100);
    let told = report.to_string();
    assert!(told.contains("cut 100 bytes") && told.contains("quarantine"), "{told}");
}

/// Under a right checksum, so that only the numbers tell.
#[test]
fn a_recovery_point_with_positions_that_no_file_has_is_damaged_and_harms_no_opening() {
    let dir = tempfile::tempdir().unwrap();
    with_orders(dir.path());
    let path = dir.path().join("orders-0").join("recovery-point");
    let mut bytes = std::fs::read(&path).unwrap();
    for at in [0, 512].into_iter().filter(|at| *at + 256 <= bytes.len()).collect::<Vec<_>>() {
        bytes[at + 88..at + 96].fill(0xff);
        bytes[at + 96] ^= 1;
        let crc = crc32fast::hash(&bytes[at..at + 252]);
        bytes[at + 252..at + 256].copy_from_slice(&crc.to_be_bytes());
    }
    std::fs::write(&path, bytes).unwrap();
    for broker in [Broker::open_read_only(dir.path()).unwrap(), open(dir.path())] {
        assert_eq!(broker.topic("orders").unwrap().partition(0).unwrap().iter_from(0).flatten().count(), 10);
    }
}

#[test]
fn the_read_only_mode_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    with_orders(dir.path());
    std::fs::remove_file(dir.path().join("clean-shutdown")).unwrap();
    let broker = builder(dir.path()).recovery_mode(RecoveryMode::ReadOnly).open().unwrap();
    assert!(matches!(broker.create_topic("more", TopicConfig::new()), Err(Error::ReadOnly { .. })));
    assert_eq!(broker.topic("orders").unwrap().partition(0).unwrap().iter_from(0).count(), 10);
    assert!(!dir.path().join("clean-shutdown").exists());
}

#[test]
fn verify_reads_everything_and_finds_nothing_where_nothing_is_wrong() {
    let dir = tempfile::tempdir().unwrap();
    with_orders(dir.path());
    for broker in [Broker::open_read_only(dir.path()).unwrap(), open(dir.path())] {
        let report = broker.admin().verify().unwrap();
        assert!(report.is_clean(), "{report}");
        let [partition] = report.partitions() else { panic!("{report:?}") };
        assert_eq!((partition.topic_partition(), partition.record_count()), (&orders(), 10));
        assert_eq!(partition.segment_count(), log_files(dir.path()).len());
        assert!(partition.index_entry_count() > 0 && partition.log_bytes() > 10 * BATCH_BYTES as u64);
        assert!(report.to_string().contains("10 records"), "{report}");
    }
}

#[test]
fn verify_finds_a_flipped_bit_wherever_it_is() {
    let dir = tempfile::tempdir().unwrap();
    with_orders(dir.path());
    let mut lost = 0;
    let files = walk(dir.path());
    for path in files.iter().filter(|path| path.parent() != Some(dir.path()) || path.ends_with("catalog")) {
        let size = usize::try_from(std::fs::metadata(path).unwrap().len()).unwrap();
        // The leader epoch, at 12 to 16, is covered only once the segment is sealed.
        for position in [0, 5, 10, 18, 30, size / 2, size.saturating_sub(1)].into_iter().filter(|at| *at < size) {
            flip(path, position);
            let what = format!("{} at {position}", path.display());
            if let Ok(broker) = Broker::open_read_only(dir.path()) {
                let report = broker.admin().verify().unwrap();
                let found: Vec<_> = report.damage().chain(report.repairable()).collect();
                assert!(found.iter().any(|damage| damage.path == *path), "{what}: {report}");
                lost += report.damage().count();
            } else {
                assert!(path.ends_with("catalog"), "{what}");
            }
            flip(path, position);
        }
    }
    assert!(lost > 0);
    assert!(open(dir.path()).admin().verify().unwrap().is_clean());
}

/// Files whose every byte counts: a recovery point has room behind its records.
fn walk(dir: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap()) {
        let is_point = entry.file_name() == "recovery-point";
        match entry.file_type().unwrap() {
            kind if kind.is_dir() => files.extend(walk(&entry.path())),
            _ if !is_point => files.push(entry.path()),
            _ => {}
        }
    }
    files.sort();
    files
}

#[test]
fn verify_tells_of_what_is_missing() {
    let dir = tempfile::tempdir().unwrap();
    with_orders(dir.path());
    let second = log_files(dir.path())[1].clone();
    let index = second.with_extension("index");
    std::fs::remove_file(&index).unwrap();
    let broker = open(dir.path());
    let report = broker.admin().verify().unwrap();
    assert_eq!(report.damage().count(), 0, "{report}");
    assert!(report.repairable().any(|damage| damage.path == index), "{report}");
    broker.close().unwrap();
    std::fs::remove_file(&second).unwrap();
    for broker in [Broker::open_read_only(dir.path()).unwrap(), open(dir.path())] {
        let report = broker.admin().verify().unwrap();
        let [damage] = *report.damage().collect::<Vec<_>>() else { panic!("{report}") };
        assert_eq!((&damage.path, damage.offsets.is_some()), (&second, true));
    }
}

#[test]
fn verify_goes_on_beside_sends_rolls_and_deletions() {
    let dir = tempfile::tempdir().unwrap();
    let broker = open(dir.path());
    let partition = broker.create_topic("orders", small_segments()).unwrap().partition(0).unwrap();
    std::thread::scope(|threads| {
        let sender = threads.spawn(|| {
            for round in 0..30 {
                append(&partition, 0..8);
                broker.create_topic("passing", small_segments()).unwrap();
                if round % 3 == 0 {
                    broker.run_maintenance().unwrap();
                }
                broker.admin().delete_topic("passing").unwrap();
            }
        });
        while !sender.is_finished() {
            let report = broker.admin().verify().unwrap();
            assert!(report.is_clean(), "{report}");
        }
    });
    let report = broker.admin().verify().unwrap();
    let count = report.partitions()[0].record_count();
    assert_eq!(count, 240);
}

#[test]
fn verify_goes_on_beside_another_process_that_sends_rolls_and_deletes() {
    let dir = tempfile::tempdir().unwrap();
    let broker = open(dir.path());
    let partition = broker.create_topic("orders", small_segments()).unwrap().partition(0).unwrap();
    let reader = Broker::open_read_only(dir.path()).unwrap();
    std::thread::scope(|threads| {
        let sender = threads.spawn(|| {
            for round in 0..30 {
                append(&partition, 0..8);
                broker.create_topic("passing", small_segments()).unwrap();
                if round % 3 == 0 {
                    broker.run_maintenance().unwrap();
                }
                broker.admin().delete_topic("passing").unwrap();
            }
        });
        while !sender.is_finished() {
            let report = reader.admin().verify().unwrap();
            assert!(report.is_clean(), "{report}");
        }
    });
}

#[test]
fn verify_finds_nothing_wrong_with_indexes_that_grew_over_many_openings() {
    let dir = tempfile::tempdir().unwrap();
    let config = TopicConfig::new().segment_bytes(100_000).index_interval_bytes(1000);
    for opening in 0..12_u64 {
        let broker = open(dir.path());
        let partition = match broker.topic("orders") {
            Ok(topic) if opening > 0 => topic.partition(0).unwrap(),
            _ => {
                _ = broker.admin().delete_topic("orders");
                broker.create_topic("orders", config.clone()).unwrap().partition(0).unwrap()
            }
        };
        for number in 0..37 {
            let value = vec![7; usize::try_from(number * 31 + opening * 13).unwrap()];
            partition.append_batch(&[ProducerRecord::to("orders").value(&value)]).unwrap();
            if number % 3 == 0 {
                broker.run_maintenance().unwrap();
            }
        }
        let report = broker.admin().verify().unwrap();
        assert!(report.is_clean(), "{report}");
        if opening % 2 == 0 {
            broker.close().unwrap();
        } else {
            drop(broker);
        }
        let report = Broker::open_read_only(dir.path()).unwrap().admin().verify().unwrap();
        assert!(report.is_clean(), "{report}");
    }
}

#[test]
fn verify_of_a_read_only_broker_tells_of_what_it_cannot_look_at() {
    let dir = tempfile::tempdir().unwrap();
    with_orders(dir.path());
    let reader = Broker::open_read_only(dir.path()).unwrap();
    let lost = || {
        let report = reader.admin().verify().unwrap();
        report.damage().map(|damage| damage.path.clone()).collect::<Vec<_>>()
    };
    assert!(lost().is_empty());
    let partition = dir.path().join("orders-0");
    std::fs::write(partition.join("manifest"), "nonsense").unwrap();
    assert_eq!(lost(), [partition.join("manifest")]);
    std::fs::remove_dir_all(&partition).unwrap();
    assert_eq!(lost(), [partition]);
}

/// Commits of two groups, the first of which is damaged then; closed.
fn with_a_damaged_commit(dir: &Path) {
    let broker = open(dir);
    broker.topic("orders").unwrap().produce("a", "b").unwrap();
    for group in ["billing", "shipping"] {
        let mut consumer = broker.consumer(group, ["orders"]).unwrap();
        assert_eq!(consumer.poll(Duration::ZERO).unwrap().len(), 1);
        consumer.commit().unwrap();
        drop(consumer);
        broker.flush().unwrap();
        // A batch of its own.
        broker.admin().describe_group(group).unwrap();
    }
    broker.close().unwrap();
    flip(&dir.join("__consumer_offsets-0").join("00000000000000000000.log"), 80);
}

#[test]
fn damaged_commits_stop_groups_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    with_a_damaged_commit(dir.path());
    let broker = open(dir.path());
    corruption(broker.consumer("billing", ["orders"]));
    let topic = broker.topic("orders").unwrap();
    topic.produce("a", "c").unwrap();
    assert_eq!(topic.partition(0).unwrap().iter_from(0).count(), 2);
    assert!(broker.admin().verify().unwrap().damage().next().is_some());
    broker.admin().delete_topic("orders").unwrap();
    assert!(broker.admin().list_topics().unwrap().is_empty());
}

#[test]
fn with_skip_corrupt_groups_are_what_is_left_and_the_report_says_what_was_not() {
    let dir = tempfile::tempdir().unwrap();
    with_a_damaged_commit(dir.path());
    let broker = builder(dir.path()).recovery_mode(RecoveryMode::SkipCorrupt).open().unwrap();
    let report = broker.recovery_report();
    assert!(!report.is_clean() && report.skipped().len() == 1, "{report}");
    let mut consumer = broker.consumer("billing", ["orders"]).unwrap();
    assert_eq!(consumer.poll(Duration::ZERO).unwrap().len(), 1, "what is not known to be committed is read again");
    consumer.commit().unwrap();
    assert_eq!(broker.committed("billing", &orders()).unwrap().unwrap().offset(), 1);
}

#[test]
fn a_catalog_that_does_not_know_all_partitions_any_more_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let broker = open(dir.path());
    broker.topic("orders").unwrap();
    broker.topic("payments").unwrap();
    broker.close().unwrap();
    let catalog = dir.path().join("catalog");
    let bytes = std::fs::metadata(&catalog).unwrap().len();
    flip(&catalog, usize::try_from(bytes).unwrap() - 10);
    assert_eq!(corruption(builder(dir.path()).open()).path, catalog);
    assert!(dir.path().join("clean-shutdown").exists());
    let broker = builder(dir.path()).recovery_mode(RecoveryMode::SkipCorrupt).open().unwrap();
    assert!(broker.recovery_report().catalog_fell_back());
    assert_eq!(broker.recovery_report().unknown_directories(), [dir.path().join("payments-0")]);
    assert_eq!(broker.admin().list_topics().unwrap(), ["orders"]);
}

#[test]
fn a_directory_of_another_topic_is_not_read_until_damage_is_passed_over() {
    let dir = tempfile::tempdir().unwrap();
    with_orders(dir.path());
    let metadata = dir.path().join("orders-0").join("partition.metadata");
    let text = std::fs::read_to_string(&metadata).unwrap();
    let (before, id) = text.split_at(text.len() - 22);
    let first = if id.starts_with('A') { 'B' } else { 'A' };
    std::fs::write(&metadata, format!("{before}{first}{}", &id[1..])).unwrap();
    corruption(builder(dir.path()).recovery_mode(RecoveryMode::Strict).open());
    corruption(open(dir.path()).topic("orders").unwrap().partition(0).unwrap().read(0, 1));
    let broker = builder(dir.path()).recovery_mode(RecoveryMode::SkipCorrupt).open().unwrap();
    assert_eq!(broker.recovery_report().partitions()[0].rebuilt(), [metadata.as_path()]);
    assert_eq!(broker.topic("orders").unwrap().partition(0).unwrap().iter_from(0).count(), 10);
    drop(broker);
    assert_eq!(std::fs::read_to_string(&metadata).unwrap(), text);
}

#[cfg(feature = "testing")]
mod tails {
    use std::time::Duration;

    use ottla::testing::{Operation, SimulatedDisk};
    use ottla::{Broker, Error, RecoveryMode, Result};

    fn open(disk: &SimulatedDisk, mode: RecoveryMode) -> Result<Broker> {
        Broker::builder("/data").disk(disk).background(false).recovery_mode(mode).open()
    }

    /// A broker with records that are in the tail only, killed.
    fn killed() -> SimulatedDisk {
        let disk = SimulatedDisk::new(1);
        let topic = open(&disk, RecoveryMode::TolerateTail).unwrap().topic("orders").unwrap();
        for _ in 0..3 {
            topic.produce("customer-1", "2 coffees").unwrap();
        }
        disk.kill(1)
    }

    fn lost(disk: &SimulatedDisk) -> Vec<&'static str> {
        let strict = open(&disk.kill(0), RecoveryMode::Strict);
        let broker = open(disk, RecoveryMode::TolerateTail).unwrap();
        let lost: Vec<_> = broker.recovery_report().damage().map(|damage| damage.reason).collect();
        assert_eq!(matches!(strict, Err(Error::Corrupt(_))), !lost.is_empty(), "{strict:?}");
        lost
    }

    #[test]
    fn a_whole_one_is_no_damage_and_a_missing_one_is_told() {
        let disk = killed();
        assert_eq!(lost(&disk.kill(0)), [""; 0]);
        assert!(disk.delete("/data/tail-always"));
        assert_eq!(lost(&disk), ["the tail is missing or damaged: what was not in segments yet may be lost"]);
    }

    #[test]
    fn records_that_are_not_what_was_published_are_told() {
        let disk = killed();
        let path = std::path::Path::new("/data/tail-always");
        let mut bytes = disk.read(path).unwrap();
        let at = bytes.windows(9).position(|window| window == b"2 coffees").unwrap();
        bytes[at] = b'3';
        disk.put(path, &bytes);
        let told = lost(&disk);
        assert_eq!(told, ["the end of an open batch in the tail is not what was published"]);
    }

    /// However it is cut: what is left of it is read, something is told, and no offset is given out again that can be told.
    #[test]
    fn one_that_is_cut_short_is_told_and_gives_no_offset_twice() {
        let disk = killed();
        let path = std::path::Path::new("/data/tail-always");
        let whole = disk.read(path).unwrap();
        let records: Vec<usize> =
            (0..whole.len()).filter(|at| whole[*at..].starts_with(b"2 coffees")).map(|at| at + 9).collect();
        let (first, last) = (records[0], records[2]);
        let cuts = [100, 600, 4096, 4100, first - 30, first + 3, last - 1, last + 5, 9000, whole.len() - 1];
        for cut in cuts {
            let disk = disk.kill(0);
            disk.put(path, &whole[..cut]);
            assert!(matches!(open(&disk.kill(0), RecoveryMode::Strict), Err(Error::Corrupt(_))), "{cut}");
            let broker = open(&disk, RecoveryMode::TolerateTail).unwrap();
            assert!(broker.recovery_report().damage().count() > 0, "{cut}");
            let topic = broker.topic("orders").unwrap();
            let sent = topic.produce("customer-1", "3 coffees").unwrap();
            let has_identity = cut >= 4096 + 88;
            assert_eq!(has_identity, sent.offset() >= 3, "{cut}: {}", sent.offset());
            let partition = topic.partition(0).unwrap();
            assert_eq!(partition.read(sent.offset(), 1).unwrap().len(), 1, "{cut}");
            if last < cut {
                assert_eq!((sent.offset(), partition.iter_from(0).count()), (3, 4), "{cut}");
            } else if has_identity {
                let found = partition.iter_from(0).take_while(Result::is_ok).count() as u64;
                let hole = super::corruption(partition.read(found, 1)).offsets.unwrap();
                assert_eq!(hole, found..sent.offset(), "{cut}");
            }
            // And so it is the next time, however the process ends.
            for disk in [disk.kill(1), disk.crash(1, ottla::testing::CrashModel::Subset)] {
                let again = open(&disk, RecoveryMode::TolerateTail).unwrap().topic("orders").unwrap();
                let partition = again.partition(0).unwrap();
                assert_eq!(partition.log_end_offset(), sent.offset() + 1, "{cut}");
                assert_eq!(partition.read(sent.offset(), 1).unwrap().len(), 1, "{cut}");
            }
        }
    }

    #[test]
    fn one_bit_of_a_published_slot_is_told_and_gives_no_offset_twice() {
        let disk = killed();
        let path = std::path::Path::new("/data/tail-always");
        let whole = disk.read(path).unwrap();
        let end = whole.len() - whole.iter().rev().position(|byte| *byte != 0).unwrap();
        for at in (4096..end).filter(|at| whole[*at] != 0) {
            let disk = disk.kill(0);
            disk.flip_bit(path, at as u64, 3);
            let broker = open(&disk, RecoveryMode::TolerateTail).unwrap();
            let topic = broker.topic("orders").unwrap();
            let sent = topic.produce("customer-1", "3 coffees").unwrap().offset();
            let is_told = broker.recovery_report().damage().count() > 0;
            let found = topic.partition(0).unwrap().iter_from(0).take_while(Result::is_ok).count();
            assert!(is_told || (sent, found) == (3, 4), "byte {at}: {sent}, {found}");
            let is_of_identity = at < 4096 + 80;
            assert!(sent >= 3 || is_of_identity, "byte {at}: {sent}");
        }
    }

    /// Only the recovery point says where such offsets end. After a failed sync of it the system shows it, believes it to be on the
    /// medium, and writes nothing at the next sync.
    #[test]
    fn offsets_that_were_left_out_are_not_given_out_again_if_the_sync_that_says_so_failed_once() {
        use ottla::testing::{CrashModel, FaultKind, FaultRule, Operation};
        let killed = killed();
        let path = std::path::Path::new("/data/tail-always");
        let whole = killed.read(path).unwrap();
        let last = whole.len() - whole.iter().rev().position(|byte| *byte != 0).unwrap() - 1;
        for seed in 0..20 {
            let disk = killed.kill(seed);
            disk.flip_bit(path, last as u64, 3);
            let rule = FaultRule::new(FaultKind::InputOutput).on(Operation::Sync);
            disk.fail(rule.path_containing("recovery-point"));
            let report = open(&disk, RecoveryMode::TolerateTail).unwrap().recovery_report().clone();
            assert!(report.partitions().iter().any(|found| found.failure().is_some()), "seed {seed}: {report}");
            let broker = open(&disk, RecoveryMode::TolerateTail).unwrap();
            let sent = broker.topic("orders").unwrap().produce("customer-1", "3 coffees").unwrap().offset();
            let again = open(&disk.crash(seed, CrashModel::Subset), RecoveryMode::TolerateTail).unwrap();
            let partition = again.topic("orders").unwrap().partition(0).unwrap();
            assert_eq!(partition.log_end_offset(), sent + 1, "seed {seed}");
            assert_eq!(partition.read(sent, 1).unwrap().len(), 1, "seed {seed}");
        }
    }

    #[test]
    fn a_tail_that_nothing_depends_on_is_made_anew_if_it_is_damaged() {
        let disk = SimulatedDisk::new(1);
        let broker = open(&disk, RecoveryMode::TolerateTail).unwrap();
        broker.topic("orders").unwrap();
        broker.close().unwrap();
        let path = std::path::Path::new("/data/tail-always");
        let mut bytes = disk.read(path).unwrap();
        bytes[0] ^= 1;
        disk.put(path, &bytes);
        let broker = open(&disk, RecoveryMode::TolerateTail).unwrap();
        broker.topic("orders").unwrap().produce("customer-1", "2 coffees").unwrap();
        assert_eq!(lost(&disk.kill(1)), [""; 0], "it was closed before, so nothing is lost");
    }

    /// Another process may store a small file at any moment: what two reads have seen of it cannot be put together, and of two files
    /// the one that is written first is read last.
    #[test]
    fn verify_looks_at_small_files_once_and_in_the_order_that_no_writer_contradicts() {
        let disk = SimulatedDisk::new(1);
        let writer = open(&disk, RecoveryMode::TolerateTail).unwrap();
        super::append(&writer.topic("orders").unwrap().partition(0).unwrap(), 0..5);
        let disk = disk.kill(1);
        open(&disk, RecoveryMode::TolerateTail).unwrap().close().unwrap();
        let reader = open(&disk, RecoveryMode::ReadOnly).unwrap();
        let before = disk.calls();
        let report = reader.admin().verify().unwrap();
        assert!(report.is_clean(), "{report}");
        let log = disk.log();
        let opens_of = |name: &str| {
            let path = std::path::Path::new("/data/orders-0").join(name);
            let opens = log.iter().filter(|call| call.number > before && call.operation == Operation::Open);
            opens.filter(|call| call.path == path).map(|call| call.number).collect::<Vec<_>>()
        };
        assert_eq!(opens_of("leader-epoch-checkpoint").len(), 1);
        assert!(disk.read("/data/orders-0/manifest").is_none(), "one segment needs none");
        assert!(opens_of("manifest").last() > opens_of("recovery-point").last());
    }

    #[test]
    fn who_skipped_damage_across_leader_epochs_is_not_told_of_a_power_cut() {
        let disk = SimulatedDisk::new(1);
        let broker = open(&disk, RecoveryMode::TolerateTail).unwrap();
        super::append(&broker.topic("orders").unwrap().partition(0).unwrap(), 0..5);
        let disk = disk.kill(1);
        let path = std::path::Path::new("/data/orders-0/00000000000000000000.log");
        let mut bytes = disk.read(path).unwrap();
        bytes.extend([1; 100]);
        disk.put(path, &bytes);
        let broker = open(&disk, RecoveryMode::TolerateTail).unwrap();
        assert!(broker.recovery_report().partitions()[0].leader_epoch_raised());
        super::append(&broker.topic("orders").unwrap().partition(0).unwrap(), 5..10);
        broker.close().unwrap();
        let mut bytes = disk.read(path).unwrap();
        for value in [4, 5] {
            let at = bytes.windows(100).position(|window| window == [value; 100]).unwrap();
            bytes[at] ^= 1;
        }
        disk.put(path, &bytes);

        let broker = open(&disk, RecoveryMode::TolerateTail).unwrap();
        let mut consumer = broker.consumer("billing", ["orders"]).unwrap();
        assert_eq!(super::offsets(consumer.poll(Duration::ZERO)), [0, 1, 2, 3]);
        let damage = super::corruption(consumer.poll(Duration::ZERO));
        assert_eq!(consumer.skip_corrupt(&damage).unwrap(), 4..6);
        consumer.commit().unwrap();
        drop(consumer);
        let mut consumer = broker.consumer("billing", ["orders"]).unwrap();
        assert_eq!(super::offsets(consumer.poll(Duration::ZERO)), [6, 7, 8, 9]);
        assert_eq!(consumer.truncation_count(), 0);
    }
}

#[test]
fn a_read_only_broker_does_not_take_damage_for_the_end_of_the_log() {
    let dir = tempfile::tempdir().unwrap();
    with_orders(dir.path());
    // The newest segment has one record, which was synced.
    flip(&log_files(dir.path())[3], 100);
    let partition = Broker::open_read_only(dir.path()).unwrap().topic("orders").unwrap().partition(0).unwrap();
    assert_eq!(partition.log_end_offset(), 10);
    assert_eq!(corruption(partition.read(9, 1)).offsets, Some(9..10));
    std::fs::remove_file(&log_files(dir.path())[3]).unwrap();
    let partition = Broker::open_read_only(dir.path()).unwrap().topic("orders").unwrap().partition(0).unwrap();
    assert_eq!(partition.log_end_offset(), 10);
    assert_eq!(corruption(partition.read(9, 1)).reason, "a segment is missing");
}
