//! Transactions that are sent here: what is seen of them, and what is written.

use super::*;
use crate::format::{BatchHeader, EndTransactionMarker, HEADER_BYTES};
use crate::segment::FileSum;
use crate::{CleanupPolicy, Compression, Error, FencedBy, TimestampType};

const NOW_MS: i64 = 1_700_000_000_000;

fn config() -> TopicConfig {
    TopicConfig::new().durability(Durability::Os).segment_bytes(1 << 20)
}

/// A new log, of a topic with this configuration.
fn log_of(config: TopicConfig) -> (SimulatedDisk, Broker, Partition) {
    let disk = disk_with(config, &[]);
    disk.set_now_ms(NOW_MS);
    let (broker, partition) = open(&disk);
    (disk, broker, partition)
}

/// What is committed, and all that there is, with the last stable offset.
fn both(partition: &Partition) -> (Vec<u64>, Vec<u64>, u64) {
    let all = seen(partition, Isolation::ReadUncommitted);
    (seen(partition, Isolation::ReadCommitted), all, partition.last_stable_offset())
}

/// The headers of all batches in the segments.
fn headers(partition: &Partition) -> Vec<BatchHeader> {
    let mut headers = Vec::new();
    for segment in partition.writable().unwrap().segments().iter() {
        segment.visit_intact(|batch| headers.push(batch.header)).unwrap();
    }
    headers
}

#[test]
fn what_is_open_is_not_seen_and_what_is_committed_is() {
    let (_disk, _broker, partition) = log_of(config());
    let log = partition.writable().unwrap();
    assert!(!commit(log, producer(1)) && !abort(log, producer(1)), "none is open");
    assert_eq!((partition.log_end_offset(), open_in(&partition).len()), (0, 0));
    assert_eq!(send_plainly(&partition, "a"), 0);
    assert_eq!(send(log, producer(1), &["b", "c"]), 1);
    assert_eq!(send_plainly(&partition, "d"), 3);
    assert_eq!((both(&partition), open_in(&partition)), ((vec![0], vec![0, 1, 2, 3], 1), vec![1]));
    assert!(commit(log, producer(1)));
    assert_eq!((both(&partition), open_in(&partition)), ((vec![0, 1, 2, 3], vec![0, 1, 2, 3], 5), vec![]));
    assert!(!commit(log, producer(1)) && !abort(log, producer(1)), "it is over");
    assert_eq!(partition.log_end_offset(), 5);
}

#[test]
fn what_was_aborted_is_never_seen() {
    let (_disk, _broker, partition) = log_of(config());
    let log = partition.writable().unwrap();
    send(log, producer(1), &["a"]);
    assert!(abort(log, producer(1)));
    assert_eq!(both(&partition), (vec![], vec![0], 2));
    assert_eq!((send_plainly(&partition, "b"), send(log, producer(1), &["c"])), (2, 3));
    assert!(commit(log, producer(1)));
    assert_eq!(both(&partition), (vec![2, 3], vec![0, 2, 3], 5));
}

/// p@0, 1a@1, 2b@2, 1c@3, p@4, C2@5, 3d@6, X1@7, p@8, 1e@9, C3@10.
#[test]
fn producers_take_turns() {
    let (disk, _broker, partition) = log_of(config());
    let log = partition.writable().unwrap();
    send_plainly(&partition, "p");
    assert_eq!(
        (send(log, producer(1), &["a"]), send(log, producer(2), &["b"]), send(log, producer(1), &["c"])),
        (1, 2, 3)
    );
    send_plainly(&partition, "p");
    assert!(commit(log, producer(2)));
    assert_eq!(both(&partition), (vec![0], vec![0, 1, 2, 3, 4], 1), "the other one is open since before");
    send(log, producer(3), &["d"]);
    assert!(abort(log, producer(1)));
    assert_eq!(both(&partition), (vec![0, 2, 4], vec![0, 1, 2, 3, 4, 6], 6));
    send_plainly(&partition, "p");
    send(log, producer(1), &["e"]);
    assert!(commit(log, producer(3)));
    assert_eq!((both(&partition).0, both(&partition).2, open_in(&partition)), (vec![0, 2, 4, 6, 8], 9, vec![9]));
    let (_reader, other) = open_read_only(&disk);
    assert_eq!((both(&other), other.high_watermark()), (both(&partition), 11), "another process sees the same");
    let (_broker, other) = open(&disk.kill(1));
    assert_eq!((both(&other), open_in(&other)), (both(&partition), vec![9]), "and who opens it after a kill");
}

/// Rules 1, 3 and 4 of the sequences: they go on from batch to batch, whatever comes between, and begin anew with each epoch.
#[test]
fn sequences_go_on_and_begin_anew_with_an_epoch() {
    let (disk, broker, partition) = log_of(config());
    let log = partition.writable().unwrap();
    send(log, producer(1), &["a", "b"]);
    send(log, producer(1), &["c"]);
    send_plainly(&partition, "plain");
    send(log, producer(1), &["d"]);
    send(log, producer(1), &[&"large".repeat(30_000), "e"]);
    assert!(commit(log, producer(1)));
    send(log, producer(1), &["f"]);
    send(log, producer(2), &["g"]);
    assert!(commit(log, producer(1)) && commit(log, producer(2)));
    let newer = ProducerIdAndEpoch { id: 1, epoch: 1 };
    send(log, newer, &["h", "i"]);
    roll(&partition);
    send(log, newer, &["j"]);
    assert!(abort(log, newer));
    drop(partition);
    broker.close().unwrap();
    let (_broker, partition) = open(&disk);
    let log = partition.writable().unwrap();
    send(log, newer, &["k"]);
    assert!(abort(log, newer));
    roll(&partition);
    let stamped = headers(&partition).into_iter().filter(|header| header.start.stamp.has_producer());
    let told: Vec<_> = stamped
        .map(|header| {
            let stamp = header.start.stamp;
            assert!(stamp.is_transactional);
            assert_eq!(header.start.attributes.is_control(), stamp.base_sequence == -1);
            (header.base_offset(), stamp.producer_id, stamp.producer_epoch, stamp.base_sequence, header.record_count)
        })
        .collect();
    let expected = [
        (0, 1, 0, 0, 3),
        (4, 1, 0, 3, 1),
        (5, 1, 0, 4, 2),
        (7, 1, 0, -1, 1),
        (8, 1, 0, 6, 1),
        (9, 2, 0, 0, 1),
        (10, 1, 0, -1, 1),
        (11, 2, 0, -1, 1),
        (12, 1, 1, 0, 2),
        (14, 1, 1, 2, 1),
        (15, 1, 1, -1, 1),
        (16, 1, 1, 3, 1),
        (17, 1, 1, -1, 1),
    ];
    assert_eq!(told, expected);
}

#[test]
fn sequences_begin_again_behind_the_last_one() {
    let mut live = super::super::live::LiveProducers::default();
    let stamp = |base_sequence| crate::format::ProducerStamp {
        producer_id: 1,
        producer_epoch: 0,
        base_sequence,
        is_transactional: true,
    };
    let batch = |base_sequence, last_offset_delta| super::super::batch::DataBatch {
        stamp: stamp(base_sequence),
        base_offset: 0,
        last_offset_delta,
        max_timestamp: 0,
    };
    live.sent(&batch(i32::MAX - 1, 1));
    assert_eq!(live.next_sequence(producer(1)), 0);
    live.sent(&batch(i32::MAX - 1, 2));
    assert_eq!(live.next_sequence(producer(1)), 1);
    assert_eq!(live.next_sequence(ProducerIdAndEpoch { id: 1, epoch: 1 }), 0);
}

#[test]
fn who_was_fenced_appends_nothing() {
    let (_disk, _broker, partition) = log_of(config());
    let log = partition.writable().unwrap();
    let [old, new] = [3, 4].map(|epoch| ProducerIdAndEpoch { id: 1, epoch });
    send(log, old, &["a"]);
    let begins_too_soon = log.append_transactional(new, &[ProducerRecord::new().value("b")]).unwrap_err();
    assert!(matches!(*begins_too_soon, Error::InvalidState { .. }), "{begins_too_soon}");
    assert!(abort(log, new), "as whoever opens the name anew does");
    let refused = log.append_transactional(old, &[ProducerRecord::new().value("c")]).unwrap_err();
    assert!(matches!(*refused, Error::Fenced { by: FencedBy::Newer, .. }), "{refused}");
    assert!(refused.to_string().contains("the transactional producer of id 1 and epoch 3 in t-0"), "{refused}");
    assert_eq!((partition.log_end_offset(), partition.last_stable_offset()), (2, 2));
    send(log, new, &["d"]);
    assert!(!commit(log, old), "what a newer one has begun is not for an older one to end");
    assert_eq!(open_in(&partition), [2]);
    assert!(commit(log, new));
    assert_eq!(both(&partition), (vec![2], vec![0, 2], 4));
    roll(&partition);
    let epochs: Vec<_> = headers(&partition).iter().map(|header| header.start.stamp.producer_epoch).collect();
    assert_eq!(epochs, [3, 4, 4, 4]);
}

/// The failure: a marker with a codec, or one that a topic's limits refuse, so that the transaction is open for ever.
#[test]
fn markers_are_appended_whatever_the_topic_demands() {
    let small = config().max_message_bytes(80);
    let configs = [
        config().compression(Compression::Snappy),
        config().timestamp_type(TimestampType::LogAppendTime),
        config().cleanup_policy(CleanupPolicy::Compact),
        small,
        config().durability(Durability::Always),
    ];
    for config in configs {
        let (disk, _broker, partition) = log_of(config.clone());
        let log = partition.writable().unwrap();
        send(log, producer(1), &["a"]);
        assert!(commit(log, producer(1)), "{config:?}");
        send(log, producer(1), &["b"]);
        assert!(abort(log, producer(1)));
        log.wait_durable(4).unwrap();
        assert_eq!(both(&partition), (vec![0], vec![0, 2], 4), "{config:?}");
        for image in [disk.kill(1), disk.crash(1, crate::disk::simulated::CrashModel::Subset)] {
            let (_broker, partition) = open(&image);
            assert_eq!((both(&partition), open_in(&partition)), ((vec![0], vec![0, 2], 4), vec![]), "{config:?}");
            let controls = headers(&partition).into_iter().filter(|header| header.start.attributes.is_control());
            let codecs: Vec<_> = controls.map(|header| header.start.attributes.codec()).collect();
            assert_eq!(codecs, [Compression::None; 2]);
        }
        roll(&partition);
        let mut markers = Vec::new();
        for segment in log.segments().iter() {
            segment
                .visit_producers((0, segment.base_offset()), |header, marker| {
                    markers.extend(marker.map(|m| (header.last_offset(), m)));
                })
                .unwrap();
        }
        let marker = |is_commit| EndTransactionMarker { is_commit, coordinator_epoch: 0 };
        assert_eq!(markers, [(1, marker(true)), (3, marker(false))]);
        let marker_batches = headers(&partition).into_iter().filter(|header| header.start.attributes.is_control());
        assert!(
            marker_batches
                .into_iter()
                .all(|header| header.max_timestamp == NOW_MS && header.batch_bytes as usize > HEADER_BYTES)
        );
    }
}

/// What fits no slot, and what finds none.
#[test]
fn records_and_markers_go_around_the_tail_too() {
    let disk = disk_with(config(), &[]);
    // A single chunk of slots for all topics.
    let broker = builder(&disk).tail_bytes(1 << 20).open().unwrap();
    let partition = broker.topic("t").unwrap().partition(0).unwrap();
    let log = partition.writable().unwrap();
    let large = "large".repeat(30_000);
    assert_eq!(send(log, producer(1), &[&large]), 0);
    assert_eq!((both(&partition).0, open_in(&partition)), (vec![], vec![0]));
    assert_eq!(send(log, producer(1), &["small"]), 1);
    assert!(abort(log, producer(1)));
    // Others have all slots.
    let topic = broker.create_topic("u", config().partitions(300)).unwrap();
    for n in 0..300 {
        topic.partition(n).unwrap().append(&ProducerRecord::new().value("v")).unwrap();
    }
    roll(&partition);
    topic.partition(299).unwrap().append(&ProducerRecord::new().value("v")).unwrap();
    assert_eq!(send(log, producer(2), &["a", "b"]), 3);
    assert!(abort(log, producer(2)));
    assert_eq!(send(log, producer(2), &["c"]), 6);
    assert!(commit(log, producer(2)));
    let expected = (vec![6], vec![0, 1, 3, 4, 6], 8);
    assert_eq!((both(&partition), open_in(&partition)), (expected.clone(), vec![]));
    let last = headers(&partition).last().copied().unwrap();
    assert!(last.start.attributes.is_control() && last.base_offset() == 7, "the last marker is in no slot");
    let (_broker, partition) = open(&disk.kill(1));
    assert_eq!((both(&partition), open_in(&partition)), (expected, vec![]));
}

/// The failure: a file that is written at a roll says something else than the log, and whoever opens it believes the file.
#[test]
fn what_is_noted_at_a_roll_is_what_the_log_makes() {
    let (disk, broker, partition) = log_of(config());
    let log = partition.writable().unwrap();
    let ids = [7, 1, 3];
    for round in 0..30 {
        let id = ids[round % 3];
        send(log, producer(id), &["a", "b"]);
        if round % 4 == 0 {
            send_plainly(&partition, "plain");
        }
        if round % 5 != 0 {
            assert!(log.end_transaction(producer(ids[(round + 2) % 3]), round % 2 == 0, 0).is_ok());
        }
        match round % 7 {
            1 => roll(&partition),
            // With what is in the tail left there.
            3 => log.sealing().roll_active().unwrap(),
            5 => log.close_active().unwrap(),
            _ => {}
        }
        if round % 11 == 0 {
            broker.run_maintenance().unwrap();
        }
        let image = disk.kill(round as u64);
        let (_broker, other) = open(&image);
        assert_eq!((both(&other), open_in(&other)), (both(&partition), open_in(&partition)), "round {round}");
    }
    broker.run_maintenance().unwrap();
    let kinds = [FileKind::TransactionIndex, FileKind::ProducerSnapshot];
    let written = kinds.map(|kind| files(&disk, kind));
    assert!(written.iter().all(|files| files.len() > 5), "{written:?}");
    let image = disk.kill(1);
    for kind in kinds {
        for (offset, _) in files(&image, kind) {
            assert!(image.delete(live(offset, kind)));
        }
    }
    let (other, again) = open(&image);
    assert_eq!(kinds.map(|kind| files(&image, kind)), written, "made from the log alone");
    assert_eq!((both(&again), open_in(&again)), (both(&partition), open_in(&partition)));
    for broker in [&broker, &other] {
        assert!(broker.admin().verify().unwrap().is_clean());
    }
    let noted = {
        let checkpoint = log.checkpoint.lock();
        checkpoint.manifest.segments.iter().map(|noted| noted.producers).collect::<Vec<_>>()
    };
    assert!(noted.iter().all(|noted| noted.snapshot.is_some_and(|sum| sum.bytes > 0)), "{noted:?}");
    let sums: Vec<_> = written[1].iter().map(|(_, bytes)| FileSum::of(bytes)).collect();
    assert_eq!(noted.iter().filter_map(|noted| noted.snapshot).collect::<Vec<_>>(), sums);
}

#[test]
fn a_close_notes_what_there_is() {
    let (disk, broker, partition) = log_of(config());
    let log = partition.writable().unwrap();
    send(log, producer(1), &["a"]);
    assert!(abort(log, producer(1)));
    send(log, producer(2), &["b"]);
    drop(partition);
    broker.close().unwrap();
    assert_eq!(files(&disk, FileKind::ProducerSnapshot).len(), 1);
    assert_eq!(files(&disk, FileKind::TransactionIndex).len(), 1);
    let (_broker, partition) = open(&disk);
    assert_eq!((both(&partition), open_in(&partition)), ((vec![], vec![0, 2], 2), vec![2]));
    let log = partition.writable().unwrap();
    assert!(commit(log, producer(2)));
    assert_eq!((both(&partition), open_in(&partition)), ((vec![2], vec![0, 2], 4), vec![]));
}

/// The failure: passes go by what was known of producers when the log was opened.
#[test]
fn compaction_knows_what_was_sent_since() {
    let config = config().cleanup_policy(CleanupPolicy::Compact).delete_retention_ms(Duration::from_secs(1000));
    let (disk, broker, partition) = log_of(config);
    let log = partition.writable().unwrap();
    send(log, producer(1), &["a", "b", "a"]);
    assert!(commit(log, producer(1)));
    send(log, producer(1), &["a"]);
    assert!(abort(log, producer(1)));
    roll(&partition);
    send(log, producer(2), &["b"]);
    assert!(commit(log, producer(2)));
    roll(&partition);
    send(log, producer(3), &["a"]);
    roll(&partition);
    send_plainly(&partition, "b");
    roll(&partition);
    let before = both(&partition);
    assert_eq!((&before.0[..], before.2), (&[0, 1, 2, 6][..], 8));
    for _ in 0..3 {
        assert!(broker.admin().compact("t").unwrap().is_complete());
        disk.advance(Duration::from_secs(1000));
    }
    assert_eq!((both(&partition).0, both(&partition).2, open_in(&partition)), (vec![2, 6], 8, vec![8]));
    let (_broker, other) = open(&disk.kill(1));
    assert_eq!((both(&other), open_in(&other)), (both(&partition), vec![8]));
    // The last batch of a producer stays, empty if need be: its sequences go on.
    let producers: Vec<_> =
        headers(&partition).iter().map(|header| (header.base_offset(), header.record_count)).collect();
    assert!(producers.contains(&(4, 0)), "{producers:?}");
    assert!(commit(log, producer(3)));
    assert!(broker.admin().compact("t").unwrap().is_complete());
    assert_eq!(both(&partition).0, [8, 9]);
}

#[test]
fn nothing_is_deleted_from_an_open_transaction_on() {
    let (disk, broker, partition) = log_of(config().retention_ms(Duration::from_secs(1)));
    let log = partition.writable().unwrap();
    send_plainly(&partition, "a");
    roll(&partition);
    send(log, producer(1), &["b"]);
    roll(&partition);
    send_plainly(&partition, "c");
    roll(&partition);
    disk.advance(Duration::from_secs(3600));
    broker.run_maintenance().unwrap();
    assert_eq!(partition.log_start_offset(), 1);
    let delete = |offset| broker.admin().delete_records(&[(TopicPartition::new("t", 0), offset)]);
    assert!(matches!(delete(2), Err(Error::TransactionOpen { first_offset: 1, .. })));
    assert!(abort(log, producer(1)));
    delete(2).unwrap();
    assert_eq!(partition.log_start_offset(), 2);
    assert!(log.view().aborted.is_some(), "its marker is there still");
    disk.advance(Duration::from_secs(3600));
    roll(&partition);
    disk.advance(Duration::from_secs(3600));
    broker.run_maintenance().unwrap();
    assert_eq!((partition.log_start_offset(), log.view().aborted.is_some()), (4, false));
    assert_eq!(both(&partition), (vec![], vec![], 4));
}
