//! Compaction of logs with transactions.

use super::batches::LogBytes;
use super::*;
use crate::segment::FileSum;
use crate::{CleanupPolicy, ProducerRecord};

const NOW_MS: i64 = 1_700_000_000_000;
const DELETE_RETENTION: Duration = Duration::from_secs(1000);

fn config() -> TopicConfig {
    let config = TopicConfig::new().durability(Durability::Os).segment_bytes(1 << 20);
    config.cleanup_policy(CleanupPolicy::Compact).delete_retention_ms(DELETE_RETENTION)
}

fn disk_of(segments: &[(u64, Vec<u8>)]) -> SimulatedDisk {
    let disk = disk_with(config(), segments);
    disk.set_now_ms(NOW_MS);
    disk
}

/// Offsets and values of all that can be read.
fn contents(partition: &Partition) -> Vec<(u64, Option<String>)> {
    let records = partition.iter_from(partition.log_start_offset()).map(|record| record.unwrap());
    records.map(|record| (record.offset(), record.value().map(|value| String::from_utf8_lossy(value).into()))).collect()
}

fn values(pairs: &[(u64, &str)]) -> Vec<(u64, Option<String>)> {
    pairs.iter().map(|(offset, value)| (*offset, Some((*value).to_owned()))).collect()
}

/// Base offsets of the batches in the sealed segments.
fn batches(partition: &Partition) -> Vec<(u64, i32)> {
    let log = partition.writable().unwrap();
    let segments = log.segments();
    let mut batches = Vec::new();
    for segment in segments.iter().take(segments.len() - 1) {
        segment.visit_intact(|batch| batches.push((batch.header.base_offset(), batch.header.record_count))).unwrap();
    }
    batches
}

/// Everything is read again by others, after a close, and after a kill without any file that is made of the log.
fn check_everywhere(disk: &SimulatedDisk, expected: &[(u64, Option<String>)], end: u64) {
    let (_reader, partition) = open_read_only(disk);
    assert_eq!((contents(&partition), partition.last_stable_offset()), (expected.to_vec(), end), "read-only");
    let image = disk.kill(7);
    for kind in [FileKind::TransactionIndex, FileKind::ProducerSnapshot] {
        for (offset, _) in files(&image, kind) {
            assert!(image.delete(live(offset, kind)));
        }
    }
    let (_broker, partition) = open(&image);
    assert_eq!((contents(&partition), partition.last_stable_offset()), (expected.to_vec(), end), "without indexes");
}

#[test]
fn k10_06_an_aborted_record_displaces_no_committed_one() {
    let mut log = LogBytes::new(NOW_MS);
    log.send(1, &[("k", Some("v1"))]).end(1, true);
    log.send(1, &[("k", Some("v2"))]).end(1, false);
    log.send(2, &[("l", Some("w"))]).end(2, true);
    log.send(2, &[("l", None)]).end(2, false);
    let (first, end) = (log.take(), log.next_offset);
    log.plain(&[("m", Some("x"))]);
    let disk = disk_of(&[(0, first), (end, log.take())]);
    let expected = values(&[(0, "v1"), (4, "w"), (8, "x")]);
    for _ in 0..3 {
        let (broker, partition) = open(&disk);
        assert_eq!(contents(&partition), expected);
        assert!(broker.admin().compact("t").unwrap().is_complete());
        assert_eq!((contents(&partition), partition.last_stable_offset()), (expected.clone(), 9));
        assert!(broker.admin().verify().unwrap().is_clean());
        check_everywhere(&disk, &expected, 9);
        disk.advance(DELETE_RETENTION);
        drop(partition);
        broker.close().unwrap();
    }
}

/// a@0 of p in the first segment, its marker X@1 and b@2 of the next transaction in the second, X@3 in the third; then others, so that
/// p has a later batch.
#[test]
fn k10_05_an_abort_marker_goes_after_what_it_aborts() {
    let mut log = LogBytes::new(NOW_MS);
    let mut segments = Vec::new();
    let mut cut = |log: &mut LogBytes, base_offset| segments.push((base_offset, log.take()));
    log.send(1, &[("k", Some("a"))]);
    cut(&mut log, 0);
    log.end(1, false).send(1, &[("j", Some("b"))]);
    cut(&mut log, 1);
    log.end(1, false);
    cut(&mut log, 3);
    log.send(1, &[("z", Some("c"))]).end(1, true);
    cut(&mut log, 4);
    let expected = values(&[(4, "c")]);
    let disk = disk_of(&segments);
    let marker_batches = |partition: &Partition| batches(partition).iter().filter(|batch| batch.1 > 0).count();
    // The first pass takes the data, the next one gives the markers their time, and the one after that takes them.
    for (round, markers) in [2, 2, 0, 0].into_iter().enumerate() {
        let (broker, partition) = open(&disk);
        assert!(broker.admin().compact("t").unwrap().is_complete());
        assert_eq!((contents(&partition), partition.last_stable_offset()), (expected.clone(), 6), "{round}");
        assert_eq!(marker_batches(&partition), markers, "{round}: {:?}", batches(&partition));
        check_everywhere(&disk, &expected, 6);
        if round > 0 {
            disk.advance(DELETE_RETENTION);
        }
        if round % 2 == 0 {
            drop(partition);
            broker.close().unwrap();
        } else {
            drop((broker, partition));
        }
    }
}

/// An abort marker's entry stays in the index in the pass that takes its data: who has a replica of the old segment still needs it.
#[test]
fn the_index_keeps_an_abort_in_the_pass_that_takes_its_data() {
    let mut log = LogBytes::new(NOW_MS);
    log.send(1, &[("k", Some("a"))]).end(1, false).send(1, &[("l", Some("b"))]).end(1, true);
    let first = log.take();
    log.plain(&[("m", Some("x"))]);
    let disk = disk_of(&[(0, first), (4, log.take())]);
    let (broker, partition) = open(&disk);
    for entries in [1, 0, 0] {
        assert!(broker.admin().compact("t").unwrap().is_complete());
        let found = files(&disk, FileKind::TransactionIndex);
        let manifest_says = {
            let log = partition.writable().unwrap();
            let checkpoint = log.checkpoint.lock();
            checkpoint.manifest.segments[0].producers.transaction_index
        };
        assert_eq!(manifest_says.is_some(), entries == 1);
        if entries == 1 {
            assert_eq!((found.len(), found[0].1.len()), (1, 34));
            assert_eq!(manifest_says, Some(FileSum::of(&found[0].1)));
        }
    }
}

/// The snapshot at 6 remembers the transaction that @5 has begun, and which C@6 ends; later passes take both.
#[test]
fn k10_07_a_snapshot_from_before_a_compacted_marker_opens_nothing() {
    let mut log = LogBytes::new(NOW_MS);
    log.plain(&[("1", Some("v")), ("2", Some("v")), ("3", Some("v")), ("4", Some("v")), ("5", Some("v"))]);
    log.send(1, &[("k", Some("a"))]);
    let first = log.take();
    log.end(1, true).plain(&[("k", Some("z"))]).send(1, &[("y", Some("y"))]).end(1, true);
    let second = log.take();
    log.plain(&[("m", Some("x"))]);
    let disk = disk_of(&[(0, first), (6, second), (10, log.take())]);
    let (broker, partition) = open(&disk);
    assert!(partition.writable().unwrap().checkpoint_if_due(false).unwrap());
    let snapshot = disk.read(live(6, FileKind::ProducerSnapshot)).unwrap();
    for _ in 0..3 {
        assert!(broker.admin().compact("t").unwrap().is_complete());
        disk.advance(DELETE_RETENTION);
    }
    let left = batches(&partition);
    assert!(left.iter().all(|(base_offset, _)| !(5..7).contains(base_offset)), "both are gone: {left:?}");
    let expected = contents(&partition);
    let image = disk.kill(1);
    for (offset, _) in files(&image, FileKind::ProducerSnapshot) {
        assert!(image.delete(live(offset, FileKind::ProducerSnapshot)));
    }
    image.put(live(6, FileKind::ProducerSnapshot), &snapshot);
    let (broker, partition) = open(&image);
    assert_eq!((partition.last_stable_offset(), partition.log_end_offset()), (11, 11));
    assert_eq!(contents(&partition), expected);
    partition.append(&ProducerRecord::to("t").key("m").value("new")).unwrap();
    roll(&partition);
    assert!(broker.admin().compact("t").unwrap().is_complete());
}

#[test]
fn an_open_transaction_is_not_compacted() {
    let mut log = LogBytes::new(NOW_MS);
    log.plain(&[("k", Some("0"))]).plain(&[("k", Some("1"))]);
    let first = log.take();
    log.send(1, &[("k", Some("2"))]);
    let second = log.take();
    log.plain(&[("k", Some("3"))]).plain(&[("k", Some("4"))]);
    let third = log.take();
    log.plain(&[("k", Some("5"))]);
    let disk = disk_of(&[(0, first), (2, second), (3, third), (5, log.take())]);
    let (broker, partition) = open(&disk);
    assert!(broker.admin().compact("t").unwrap().is_complete());
    assert_eq!(batches(&partition), [(1, 1), (2, 1), (3, 1), (4, 1)]);
    assert_eq!((contents(&partition), partition.last_stable_offset()), (values(&[(1, "1")]), 2));
}
