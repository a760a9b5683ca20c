//! What else may happen to a log while it is being compacted, and before.

use std::cell::Cell;
use std::path::Path;

use super::super::*;
use crate::disk::simulated::SimulatedDisk;
use crate::{Broker, CleanupPolicy, Durability, Partition, ProducerRecord, TopicConfig};

fn open(disk: &SimulatedDisk) -> (Broker, Partition) {
    let builder = Broker::builder("/data").disk(disk).background(false).durability(Durability::Os);
    let config = TopicConfig::new().segment_bytes(1024).cleanup_policy(CleanupPolicy::Compact);
    let broker = builder.topic_defaults(config).open().unwrap();
    let partition = broker.topic("t").unwrap().partition(0).unwrap();
    (broker, partition)
}

/// A few keys again and again, in segments of their own each time, all of them noted.
fn fill(partition: &Partition, rounds: usize) {
    for round in 0..rounds {
        for key in ["a", "b", "c"] {
            let value = format!("{round}{}", "x".repeat(300));
            partition.append(&ProducerRecord::to("t").key(key).value(&value)).unwrap();
        }
        let log = partition.writable().unwrap();
        log.seal_if_idle().unwrap();
        log.seal_if_idle().unwrap();
    }
    assert!(partition.writable().unwrap().checkpoint_if_due(false).unwrap());
}

fn offsets(partition: &Partition) -> Vec<u64> {
    partition.iter_from(0).map(|record| record.unwrap().offset()).collect()
}

fn clean_offset(log: &Log) -> u64 {
    log.checkpoint.lock().manifest.clean_offset
}

fn is_tidy(disk: &SimulatedDisk) -> bool {
    let is_waiting = |path: &Path| path.extension().is_some_and(|stage| stage == "cleaned" || stage == "swap");
    !disk.files().iter().any(|(path, _)| is_waiting(path))
}

/// The failure: a sync or a checkpoint waits for as long as a log takes to be cleaned.
#[test]
fn the_log_is_appended_to_synced_and_noted_meanwhile() {
    let disk = SimulatedDisk::new(1);
    let (broker, partition) = open(&disk);
    fill(&partition, 6);
    let log = partition.writable().unwrap();
    let asked = Cell::new(0);
    let go_on = || {
        asked.set(asked.get() + 1);
        if asked.get() % 5 == 0 {
            fill(&partition, 1);
            broker.flush().unwrap();
        }
        true
    };
    log.compact_if_due(&go_on).result.unwrap();
    assert!(asked.get() >= 10);
    let end = partition.log_end_offset();
    assert!(clean_offset(log) > 9 && clean_offset(log) < 18, "up to where it had been sealed when that began");
    log.compact_if_due(&|| true).result.unwrap();
    assert!(offsets(&partition).ends_with(&[end - 3, end - 2, end - 1]) && offsets(&partition).len() < 9);
    let (clean, found) = (clean_offset(log), offsets(&partition));
    drop(partition);
    broker.close().unwrap();
    let (_broker, partition) = open(&disk);
    assert_eq!((clean_offset(partition.writable().unwrap()), offsets(&partition)), (clean, found));
}

/// The failure: compaction that was asked for leaves out, without a word, what was sealed since a checkpoint began that is still
/// under way.
#[test]
fn asked_for_beside_a_checkpoint_it_takes_in_all_that_is_sealed() {
    let disk = SimulatedDisk::new(1);
    let (broker, partition) = open(&disk);
    let log = partition.writable().unwrap();
    let send = |rounds| {
        for round in 0..rounds * 4 {
            let value = format!("{round}{}", "x".repeat(600));
            partition.append(&ProducerRecord::to("t").key("a").value(&value)).unwrap();
            log.seal_if_idle().unwrap();
            log.seal_if_idle().unwrap();
        }
    };
    send(2);
    disk.hold_syncs(".log");
    std::thread::scope(|scope| {
        scope.spawn(|| broker.run_maintenance().unwrap());
        while disk.hanging_syncs() == 0 {
            std::thread::yield_now();
        }
        send(2);
        assert!(log.has_unnoted_segments() && !log.checkpoint_if_due(false).unwrap(), "a checkpoint is under way");
        let compacting = scope.spawn(|| broker.admin().compact("t").unwrap());
        disk.release_syncs();
        assert!(compacting.join().unwrap().is_complete());
    });
    let active = log.segments().last().unwrap().base_offset();
    let closed = offsets(&partition).into_iter().filter(|offset| *offset < active);
    assert_eq!(closed.count(), 1, "one key, one record: {:?}", offsets(&partition));
}

/// The failure: what was deleted while it was being cleaned comes back.
#[test]
fn segments_that_went_meanwhile_are_not_brought_back() {
    let disk = SimulatedDisk::new(1);
    let (_broker, partition) = open(&disk);
    fill(&partition, 6);
    let log = partition.writable().unwrap();
    let asked = Cell::new(0);
    let go_on = || {
        asked.set(asked.get() + 1);
        if asked.get() == 8 {
            let mut checkpoint = log.checkpoint.lock();
            checkpoint.manifest.segments.remove(0);
            let first = Arc::clone(&log.segments()[0]);
            log.replace_segments(&[first], &[]);
        }
        true
    };
    let before = log.segments();
    log.compact_if_due(&go_on).result.unwrap();
    assert!(asked.get() > 8);
    assert!(log.segments().iter().map(Arc::as_ptr).eq(before[1..].iter().map(Arc::as_ptr)));
    assert_eq!((clean_offset(log), is_tidy(&disk)), (0, true));
    fill(&partition, 1);
    log.compact_if_due(&|| true).result.unwrap();
    assert!(clean_offset(log) > 0);
}

/// The failure: whoever closes the broker waits for the end of a long pass, or files are written after it is closed.
#[test]
fn closing_ends_it_also_from_its_own_thread() {
    let disk = SimulatedDisk::new(1);
    let (broker, partition) = open(&disk);
    fill(&partition, 6);
    let asked = Cell::new(0);
    let go_on = || {
        asked.set(asked.get() + 1);
        if asked.get() == 8 {
            broker.clone().close().unwrap();
        }
        true
    };
    partition.writable().unwrap().compact_if_due(&go_on).result.unwrap();
    assert_eq!(asked.get(), 8, "it is not asked again");
    let (_broker, partition) = open(&disk);
    assert_eq!((offsets(&partition).len(), is_tidy(&disk)), (18, true));
}

/// The failure: where the manifest was lost, which segments are clean is guessed, and a tombstone goes before what it deletes.
#[test]
fn where_the_manifest_was_lost_nothing_is_taken_for_clean() {
    let disk = SimulatedDisk::new(1);
    let (broker, partition) = open(&disk);
    fill(&partition, 4);
    partition.writable().unwrap().compact_if_due(&|| true).result.unwrap();
    fill(&partition, 4);
    assert!(clean_offset(partition.writable().unwrap()) > 0);
    let found = offsets(&partition);
    drop(partition);
    broker.close().unwrap();
    let manifest = Path::new("/data/t-0/manifest");
    let bytes = vec![0; disk.read(manifest).unwrap().len()];
    disk.put(manifest, &bytes);
    for _ in 0..2 {
        let (broker, partition) = open(&disk);
        let log = partition.writable().unwrap();
        assert_eq!((clean_offset(log), offsets(&partition)), (0, found.clone()), "all of it, gaps included");
        drop(partition);
        broker.close().unwrap();
    }
}

/// The failure: a pass goes on under another policy, or leaves its files.
#[test]
fn k9_11_a_policy_that_changes_ends_the_pass_and_the_next_one_begins_anew() {
    let disk = SimulatedDisk::new(1);
    let (broker, partition) = open(&disk);
    fill(&partition, 6);
    let log = partition.writable().unwrap();
    let topic = broker.topic("t").unwrap();
    let all = offsets(&partition);
    let asked = Cell::new(0);
    let go_on = || {
        asked.set(asked.get() + 1);
        if asked.get() == 8 {
            topic.entry.settings.replace(topic.config().cleanup_policy(CleanupPolicy::Delete));
        }
        true
    };
    log.compact_if_due(&go_on).result.unwrap();
    assert_eq!(asked.get(), 8, "it is not asked again");
    assert!(is_tidy(&disk));
    assert_eq!((offsets(&partition), clean_offset(log)), (all.clone(), 0));
    log.compact_if_due(&|| true).result.unwrap();
    assert_eq!(offsets(&partition), all, "it is not compacted any more");
    partition.append(&ProducerRecord::to("t").value("without a key")).unwrap();
    topic.entry.settings.replace(topic.config().cleanup_policy(CleanupPolicy::Compact));
    assert!(matches!(partition.append(&ProducerRecord::to("t").value("again")), Err(Error::InvalidRecord { .. })));
    fill(&partition, 2);
    log.compact_if_due(&|| true).result.unwrap();
    assert!(clean_offset(log) > 0 && is_tidy(&disk));
    let left = offsets(&partition);
    assert!(left.len() < 9 && !left.contains(&18), "{left:?}");
}

/// The failure: compaction takes the disk from those who wait for it.
#[test]
fn it_reads_and_writes_no_faster_than_it_may() {
    let disk = SimulatedDisk::new(1);
    let config = TopicConfig::new().segment_bytes(1024).cleanup_policy(CleanupPolicy::Compact);
    let builder = Broker::builder("/data").disk(&disk).background(false).durability(Durability::Os);
    let broker = builder.topic_defaults(config).cleaner_io_bytes_per_second(100).open().unwrap();
    let partition = broker.topic("t").unwrap().partition(0).unwrap();
    fill(&partition, 6);
    let log = partition.writable().unwrap();
    let begin = log.environment.disk.monotonic();
    let sealed_bytes = log.size().0 - log.segments().last().unwrap().log_bytes();
    log.compact_if_due(&|| true).result.unwrap();
    let left_bytes = log.size().0 - log.segments().last().unwrap().log_bytes();
    // Read for its keys, read again, and written.
    let expected = Duration::from_millis((2 * sealed_bytes + left_bytes) * 10);
    let taken = log.environment.disk.monotonic().saturating_sub(begin);
    assert!(taken + Duration::from_secs(11) >= expected && taken <= expected + Duration::from_secs(1), "{taken:?}");
}
