//! What readers find, where positions come to stand, and what of it survives.

use super::batches::LogBytes;
use super::*;
use crate::disk::simulated::CrashModel;
use crate::{Error, ProducerRecord};

const NOW_MS: i64 = 1_700_000_000_000;

fn config() -> TopicConfig {
    TopicConfig::new().durability(Durability::Always).segment_bytes(1 << 20)
}

/// a, b, c @0 to 2, C@3, d, e @4 and 5, X@6: end 7.
fn ends_in_markers() -> SimulatedDisk {
    let mut log = LogBytes::new(NOW_MS);
    log.send(1, &[("a", Some("1")), ("b", Some("1")), ("c", Some("1"))]).end(1, true);
    log.send(1, &[("d", Some("1"))]).send(1, &[("e", Some("1"))]).end(1, false);
    disk_with(config(), &[(0, log.take())])
}

/// Two segments: plain, committed, aborted and open batches of three producers, interleaved. The last stable offset is 9.
fn interleaved() -> [(u64, Vec<u8>); 2] {
    let mut log = LogBytes::new(NOW_MS);
    log.plain(&[("p", Some("0"))])
        .send(1, &[("a", Some("1"))])
        .send(2, &[("b", Some("2"))])
        .send(1, &[("c", Some("3"))]);
    let first = log.take();
    log.end(2, true).plain(&[("p", Some("5"))]).end(1, false).send(2, &[("d", Some("7"))]).end(2, true);
    log.send(3, &[("e", Some("9"))]).plain(&[("p", Some("10"))]).send(2, &[("f", Some("11"))]).end(2, false);
    [(0, first), (4, log.take())]
}

#[test]
fn k10_12_a_reader_that_has_everything_stands_at_the_end() {
    let disk = ends_in_markers();
    let (broker, partition) = open(&disk);
    let address = TopicPartition::new("t", 0);
    assert_eq!((partition.last_stable_offset(), partition.high_watermark()), (7, 7));
    let consumer = || broker.consumer_with(ConsumerConfig::new("g").topics(["t"]).max_poll_records(1)).unwrap();
    let committed_offset = || {
        let group = broker.admin().describe_group("g").unwrap();
        let partition = &group.partitions()[0];
        (partition.committed().map(crate::CommittedOffset::offset), partition.lag())
    };
    let mut member = consumer();
    assert_eq!(member.poll(Duration::ZERO).unwrap().iter().next().unwrap().offset(), 0);
    member.commit().unwrap();
    assert_eq!(committed_offset(), (Some(1), 6));
    assert_eq!(member.poll(Duration::ZERO).unwrap().iter().next().unwrap().offset(), 1);
    assert_eq!(member.poll(Duration::ZERO).unwrap().iter().next().unwrap().offset(), 2);
    assert_eq!(member.lag(&address), Some(0));
    assert!(member.poll(Duration::ZERO).unwrap().is_empty());
    assert_eq!(member.position(&address), Some(7));
    member.commit().unwrap();
    assert_eq!((committed_offset(), member.lag(&address)), ((Some(7), 0), Some(0)));
    member.close().unwrap();
    let mut member = consumer();
    assert!(member.poll(Duration::ZERO).unwrap().is_empty());
    assert_eq!(partition.append(&ProducerRecord::to("t").key("f").value("1")).unwrap(), 7);
    assert_eq!(member.poll(Duration::ZERO).unwrap().iter().next().unwrap().offset(), 7);
    assert_eq!(partition.iter_from(3).map(|record| record.unwrap().offset()).collect::<Vec<_>>(), [7]);
}

#[test]
fn k10_12_record_by_record_too() {
    let (broker, partition) = open(&ends_in_markers());
    assert_eq!(partition.iter_from(3).count(), 0);
    let mut consumer = broker.consumer_with(ConsumerConfig::new("g").topics(["t"])).unwrap();
    let address = TopicPartition::new("t", 0);
    for (offset, lag) in [(0, 6), (1, 5), (2, 0)] {
        assert_eq!(consumer.next_record(Duration::ZERO).unwrap().unwrap().offset(), offset);
        assert_eq!(consumer.lag(&address), Some(lag), "after {offset}");
    }
    assert!(consumer.next_record(Duration::ZERO).unwrap().is_none());
    assert_eq!(consumer.position(&address), Some(7));
}

#[test]
fn aborted_and_open_records_and_markers_are_left_out() {
    let disk = disk_with(config(), &interleaved());
    let (broker, partition) = open(&disk);
    assert_eq!((partition.last_stable_offset(), partition.high_watermark(), partition.log_end_offset()), (9, 13, 13));
    assert_eq!(committed(&partition), [0, 2, 5, 7]);
    assert_eq!(polled(&broker, Isolation::ReadUncommitted, 500), (vec![0, 1, 2, 3, 5, 7, 9, 10, 11], 0));
    for offset in 0..14 {
        let is_committed = [0, 2, 5, 7].contains(&offset);
        assert_eq!(partition.get(offset).unwrap().is_some(), is_committed, "{offset}");
    }
    // Who stands behind an open transaction, as one that read it uncommitted does, waits there.
    assert!(partition.read(11, 1000).unwrap().is_empty());
    assert!(matches!(partition.read(14, 1000), Err(Error::OffsetOutOfRange { .. })));
    let reset = broker.admin().reset_offsets("h").topic("t").to(crate::ResetTo::Latest);
    assert_eq!(reset.plan().unwrap()[0].after(), 9);
}

/// The failure: a transaction is open for ever, or over, after a crash between what is written of it.
#[test]
fn whatever_a_crash_leaves_the_transactions_are_the_same() {
    let disk = disk_with(config().durability(Durability::Os), &interleaved());
    disk.set_now_ms(NOW_MS);
    let look = |disk: &SimulatedDisk, what: &str| {
        for (_broker, partition) in [open_read_only(disk), open(disk)] {
            let end = partition.log_end_offset();
            assert!(13 <= end, "{what}: {end}");
            assert_eq!(partition.last_stable_offset(), 9, "{what}");
            assert_eq!(committed(&partition), [0, 2, 5, 7], "{what}");
        }
        let (broker, _partition) = open(disk);
        let verified = broker.admin().verify().unwrap();
        let found: Vec<_> = verified.partitions().iter().flat_map(|found| found.repairable().to_vec()).collect();
        let is_of_producers =
            |path: &Path| path.extension().is_some_and(|kind| kind == "txnindex" || kind == "snapshot");
        assert!(!found.iter().any(|found| is_of_producers(&found.path)), "{what}: {found:?}");
    };
    disk.record_stops();
    let (broker, partition) = open(&disk);
    for n in 0..3 {
        partition.append(&ProducerRecord::to("t").key("k").value(n.to_string())).unwrap();
        broker.run_maintenance().unwrap();
    }
    drop(partition);
    broker.close().unwrap();
    let stops = disk.take_stops();
    assert!(stops.len() > 50, "{} stops", stops.len());
    for (call, stopped) in stops {
        look(&stopped.kill(call), &format!("killed at {call}"));
        for seed in 0..3 {
            look(&stopped.crash(seed, CrashModel::Subset), &format!("power cut at {call}, seed {seed}"));
        }
    }
    look(&disk, "closed");
}

/// The failure: a log that has no producers pays for those that have.
#[test]
fn a_log_without_producers_has_no_file_of_them() {
    let disk = disk_with(config(), &[]);
    let (broker, partition) = open(&disk);
    for _ in 0..3 {
        partition.append(&ProducerRecord::to("t").key("k").value("v")).unwrap();
        roll(&partition);
    }
    broker.run_maintenance().unwrap();
    drop(partition);
    broker.close().unwrap();
    for kind in [FileKind::TransactionIndex, FileKind::ProducerSnapshot] {
        assert!(files(&disk, kind).is_empty(), "{kind:?}");
    }
    assert_eq!(files(&disk, FileKind::Log).len(), 4);
}

#[test]
fn k10_13_what_an_open_transaction_has_begun_stays() {
    let disk = disk_with(config().retention_ms(Duration::from_secs(1)), &interleaved());
    disk.set_now_ms(NOW_MS + 3_600_000);
    let (broker, partition) = open(&disk);
    // Rolled, so that only the transaction holds it.
    roll(&partition);
    let log = partition.writable().unwrap();
    let ends: Vec<_> = log.oldest_segments(u64::MAX).iter().map(|segment| segment.next_offset).collect();
    assert_eq!((ends, log.active_newest_ms()), (vec![4], None), "what a disk budget may take");
    disk.advance(Duration::from_secs(3600));
    for _ in 0..3 {
        broker.run_maintenance().unwrap();
    }
    assert_eq!(partition.log_start_offset(), 4, "only what ends before it goes");
    let delete = |offset| broker.admin().delete_records(&[(TopicPartition::new("t", 0), offset)]);
    let refused = delete(10).unwrap_err();
    assert!(matches!(refused, Error::TransactionOpen { first_offset: 9, .. }), "{refused}");
    assert_eq!(partition.log_start_offset(), 4);
    delete(9).unwrap();
    assert_eq!((partition.log_start_offset(), partition.last_stable_offset()), (9, 9));
    drop(partition);
    broker.close().unwrap();
    let (_broker, partition) = open(&disk);
    assert_eq!((partition.log_start_offset(), partition.last_stable_offset(), committed(&partition).len()), (9, 9, 0));
}

/// Files of deleted segments go with them.
#[test]
fn deleted_segments_take_their_files_along() {
    let mut log = LogBytes::new(NOW_MS);
    let mut segments = Vec::new();
    for base_offset in [0, 3, 6, 9] {
        log.send(1, &[("a", Some("1"))]).send(1, &[("b", Some("1"))]).end(1, false);
        segments.push((base_offset, log.take()));
    }
    let disk = disk_with(config(), &segments);
    disk.set_now_ms(NOW_MS);
    let (broker, partition) = open(&disk);
    broker.run_maintenance().unwrap();
    let offsets = |kind| files(&disk, kind).into_iter().map(|(offset, _)| offset).collect::<Vec<_>>();
    assert_eq!(offsets(FileKind::TransactionIndex), [0, 3, 6, 9]);
    assert_eq!(offsets(FileKind::ProducerSnapshot), [3, 6, 9, 12]);
    broker.admin().delete_records(&[(TopicPartition::new("t", 0), 7)]).unwrap();
    assert_eq!(
        (offsets(FileKind::TransactionIndex), offsets(FileKind::ProducerSnapshot)),
        (vec![6, 9], vec![6, 9, 12])
    );
    drop(partition);
    broker.close().unwrap();
    assert_eq!(offsets(FileKind::ProducerSnapshot), [6, 9, 12]);
    let (_broker, partition) = open(&disk);
    partition.append(&ProducerRecord::to("t").key("k").value("v")).unwrap();
    let (_broker, partition) = open(&disk.kill(1));
    assert_eq!((partition.last_stable_offset(), committed(&partition)), (13, vec![12]));
}

/// A damaged index is named, and what it said is known all the same.
#[test]
fn verify_names_what_is_not_what_the_log_makes() {
    let disk = disk_with(config(), &interleaved());
    disk.set_now_ms(NOW_MS);
    let mut log = LogBytes::new(NOW_MS);
    log.next_offset = 13;
    log.end(3, false);
    disk.put(live(13, FileKind::Log), &log.take());
    let (broker, partition) = open(&disk);
    broker.run_maintenance().unwrap();
    assert_eq!(partition.last_stable_offset(), 14);
    assert!(broker.admin().verify().unwrap().is_clean());
    let named = || {
        let verified = broker.admin().verify().unwrap();
        let found: Vec<_> = verified.partitions().iter().flat_map(|found| found.repairable().to_vec()).collect();
        found.into_iter().map(|found| found.path).collect::<Vec<_>>()
    };
    for path in [live(4, FileKind::TransactionIndex), live(13, FileKind::ProducerSnapshot)] {
        let whole = disk.read(&path).unwrap();
        assert!(disk.flip_bit(&path, 20, 3));
        assert_eq!(named(), std::slice::from_ref(&path));
        disk.put(&path, &whole);
        assert_eq!(named(), Vec::<PathBuf>::new());
    }
}
