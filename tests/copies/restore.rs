//! What is restored: all of a backup, up to a time, or up to offsets.

use ottla::testing::{CrashModel, SimulatedDisk};
use ottla::{
    Broker, ConsumerConfig, Durability, Error, ProducerConfig, ProducerRecord, RestoreOptions, RestoreReport, SeekTo,
    Timestamp, TopicPartition,
};

use crate::directories::{
    DATA, builder, committed, contents, crash, fill, open, open_read_only, partition, read_all, send, small_segments,
};

const BACKUP: &str = "/backups/one";
const RESTORED: &str = "/restored";

fn restore(disk: &SimulatedDisk, options: RestoreOptions) -> RestoreReport {
    Broker::restore_with(BACKUP, RESTORED, &options.disk(disk)).unwrap()
}

fn t(number: u32) -> TopicPartition {
    TopicPartition::new("t", number)
}

#[test]
fn all_of_a_backup_is_restored_and_the_backup_stays_one() {
    for copies in [false, true] {
        let disk = SimulatedDisk::new(1);
        let broker = open(&disk, DATA);
        fill(&broker);
        broker.admin().backup(BACKUP).unwrap();
        let before = contents(&broker);
        let report = restore(&disk, RestoreOptions::new().copy_all(copies));
        assert_eq!(report.to_string(), "restored 7 partitions");
        let restored = open(&disk, RESTORED);
        assert!(restored.recovery_report().is_clean(), "{}", restored.recovery_report());
        assert_eq!(contents(&restored), before);
        assert_eq!(committed(&restored, "billing", "orders"), committed(&broker, "billing", "orders"));
        // Whatever becomes of it, the backup stays what it was.
        send(&restored, "orders", 500..560);
        send(&restored, "state", 500..560);
        restored.run_maintenance().unwrap();
        _ = restored.admin().compact("state").unwrap();
        assert!(restored.admin().verify().unwrap().is_clean());
        restored.close().unwrap();
        assert!(open_read_only(&disk, BACKUP).admin().verify().unwrap().is_clean());
    }
}

#[test]
fn k12_02_after_going_back_an_old_position_names_no_other_record() {
    let disk = SimulatedDisk::new(1);
    let mut broker = open(&disk, DATA);
    broker.create_topic("t", small_segments()).unwrap();
    for _ in 0..3 {
        send(&broker, "t", 0..10);
        broker = open(&disk.kill(1), DATA);
    }
    let disk = disk.kill(1);
    let broker = {
        drop(broker);
        open(&disk, DATA)
    };
    let sent = partition(&broker, "t").log_end_offset();
    send(&broker, "t", sent..50);
    read_all(&broker, "h", "t");
    send(&broker, "t", 50..90);
    read_all(&broker, "g", "t");
    send(&broker, "t", 90..100);
    let remembered = partition(&broker, "t").get(79).unwrap().unwrap().leader_epoch();
    broker.admin().backup(BACKUP).unwrap();
    let report = restore(&disk, RestoreOptions::new().to_offset(t(0), 60));
    assert_eq!(report.offsets(&t(0)), Some(0..60));
    assert_eq!(report.moved_back().collect::<Vec<_>>(), [("g", &t(0), 60..90)]);
    let restored = open(&disk, RESTORED);
    assert_eq!(partition(&restored, "t").log_end_offset(), 60);
    assert_eq!((committed(&restored, "g", "t"), committed(&restored, "h", "t")), (Some(60), Some(50)));
    for _ in 0..2 {
        let mut consumer = restored.consumer_with(ConsumerConfig::new("mine")).unwrap();
        consumer.assign(&[t(0)]).unwrap();
        let refused = consumer.seek(&t(0), SeekTo::OffsetAndEpoch { offset: 80, leader_epoch: remembered });
        assert!(matches!(refused, Err(Error::LogTruncated { requested: 80, truncated_to: 60, .. })), "{refused:?}");
        consumer.seek(&t(0), SeekTo::OffsetAndEpoch { offset: 55, leader_epoch: remembered }).unwrap();
        drop(consumer);
        send(&restored, "t", 60..120);
    }
    let after = partition(&restored, "t").get(60).unwrap().unwrap().leader_epoch();
    assert!(remembered + 60_000 < after, "{after}");
}

/// Topics `t` and `u` with 50 and 10 records, and a transaction of one record in each, which is committed: its markers are at 51 and 11.
///
/// What is kept of transactions goes through the tail of `Always` topics, and the topics through the other one.
fn with_transaction(disk: &SimulatedDisk) -> Broker {
    let broker = builder(disk, DATA).durability(Durability::Always).open().unwrap();
    for (topic, count) in [("t", 50), ("u", 10)] {
        broker.create_topic(topic, small_segments().durability(Durability::Os)).unwrap();
        send(&broker, topic, 0..count);
    }
    let mut producer = broker.transactional_producer("p").unwrap();
    let transaction = producer.begin().unwrap();
    for topic in ["t", "u"] {
        transaction.send(ProducerRecord::to(topic).key("k").value("of the transaction")).unwrap();
    }
    transaction.commit().unwrap();
    send(&broker, "t", 52..54);
    broker
}

#[test]
fn k12_03_a_transaction_across_the_cut_ends_in_all_logs_alike() {
    let (u, t) = (TopicPartition::new("u", 0), t(0));
    for (cuts, counts, torn) in
        [((51, 11), (50, 10), None), ((52, 11), (51, 11), None), ((52, 10), (51, 10), Some(10..11))]
    {
        let disk = SimulatedDisk::new(1);
        let broker = with_transaction(&disk);
        broker.admin().backup(BACKUP).unwrap();
        let options = RestoreOptions::new().to_offset(t.clone(), cuts.0).to_offset(u.clone(), cuts.1);
        let report = restore(&disk, options);
        let found: Vec<_> =
            report.torn_transactions().iter().map(|torn| (torn.partition().clone(), torn.offsets())).collect();
        assert_eq!(found, torn.into_iter().map(|offsets| (u.clone(), offsets)).collect::<Vec<_>>(), "{cuts:?}");
        let restored = open(&disk, RESTORED);
        for (topic, count) in [("t", counts.0), ("u", counts.1)] {
            let log = partition(&restored, topic);
            assert_eq!(log.iter_from(0).map(Result::unwrap).count(), count, "{cuts:?} {topic}");
            assert_eq!(log.last_stable_offset(), log.log_end_offset(), "{cuts:?} {topic}");
        }
        assert!(!restored.admin().list_transactions().unwrap().iter().any(ottla::TransactionDescription::is_open));
        assert!(restored.admin().verify().unwrap().is_clean());
    }
}

#[test]
fn k12_03_a_backup_within_a_transaction_ends_it_as_it_was_decided_by_then() {
    for is_decided in [false, true] {
        let disk = SimulatedDisk::new(1);
        let broker = with_transaction(&disk);
        let durable = ProducerConfig::new().durability(Durability::Always);
        let mut producer = broker.transactional_producer_with("p", durable).unwrap();
        let transaction = producer.begin().unwrap();
        for topic in ["t", "u"] {
            transaction.send(ProducerRecord::to(topic).key("k").value("of the second")).unwrap();
        }
        if is_decided {
            // The markers wait for the sync of the decision.
            disk.hold_syncs("tail-always");
            std::thread::scope(|threads| {
                threads.spawn(|| transaction.commit().unwrap());
                while disk.hanging_syncs() == 0 {
                    std::thread::yield_now();
                }
                broker.admin().backup(BACKUP).unwrap();
                disk.release_syncs();
            });
        } else {
            broker.admin().backup(BACKUP).unwrap();
            transaction.commit().unwrap();
        }
        let copy = open_read_only(&disk, BACKUP);
        assert!(
            partition(&copy, "t").last_stable_offset() < partition(&copy, "t").log_end_offset(),
            "open in the backup"
        );
        restore(&disk, RestoreOptions::new());
        let restored = open(&disk, RESTORED);
        let count = |broker: &Broker, topic| partition(broker, topic).iter_from(0).map(Result::unwrap).count();
        let more = usize::from(is_decided);
        assert_eq!((count(&restored, "t"), count(&restored, "u")), (53 + more, 11 + more));
        assert_eq!((count(&broker, "t"), count(&broker, "u")), (54, 12));
        for topic in ["t", "u"] {
            assert_eq!(partition(&restored, topic).last_stable_offset(), partition(&restored, topic).log_end_offset());
        }
    }
}

/// Sends records with these timestamps to a topic of one partition, all but the first two in one batch.
fn send_at(broker: &Broker, topic: &str, timestamps: &[i64]) {
    broker.create_topic(topic, small_segments()).unwrap();
    let record = |ms: &i64| ProducerRecord::to(topic).key("k").value("v").timestamp(Timestamp::from_millis(*ms));
    let records: Vec<_> = timestamps.iter().map(record).collect();
    let (first, rest) = records.split_at(2.min(records.len()));
    for record in first {
        partition(broker, topic).append(record).unwrap();
    }
    partition(broker, topic).append_batch(rest).unwrap();
}

#[test]
fn k12_09_a_point_in_time_is_the_prefix_before_the_first_later_record() {
    for (time, end, other_end, left_out) in
        [(2, 5, 0, None), (-1, 0, 0, None), (7, 6, 1, Some(2..3)), (100, 6, 3, None)]
    {
        let disk = SimulatedDisk::new(1);
        let broker = open(&disk, DATA);
        send_at(&broker, "t", &[0, 0, 1, 2, 2, 3]);
        send_at(&broker, "other", &[5, 9, 7]);
        broker.admin().backup(BACKUP).unwrap();
        let report = restore(&disk, RestoreOptions::new().to_time(Timestamp::from_millis(time)));
        let other = TopicPartition::new("other", 0);
        assert_eq!(report.offsets(&t(0)), Some(0..end), "{time}");
        assert_eq!(report.offsets(&other), Some(0..other_end), "{time}");
        assert_eq!(report.left_out(&other), left_out.into_iter().collect::<Vec<_>>(), "{time}");
        let restored = open(&disk, RESTORED);
        let log = partition(&restored, "t");
        assert_eq!((log.log_start_offset(), log.log_end_offset()), (0, end));
        assert_eq!(log.iter_from(0).map(Result::unwrap).count() as u64, end);
        assert_eq!(restored.topic("t").unwrap().produce("k", "v").unwrap().offset(), end);
        assert!(restored.admin().verify().unwrap().is_clean());
    }
}

#[test]
fn what_a_backup_does_not_have_is_refused_before_anything_is_made() {
    let disk = SimulatedDisk::new(1);
    let broker = open(&disk, DATA);
    broker.create_topic("t", small_segments()).unwrap();
    send(&broker, "t", 0..40);
    broker.admin().delete_records(&[(t(0), 20)]).unwrap();
    broker.admin().backup(BACKUP).unwrap();
    let refused = |options: RestoreOptions| Broker::restore_with(BACKUP, RESTORED, &options.disk(&disk)).unwrap_err();
    for offset in [0, 19, 41, u64::MAX] {
        let error = refused(RestoreOptions::new().to_offset(t(0), offset));
        assert!(matches!(error, Error::OffsetOutOfRange { log_start_offset: 20, log_end_offset: 40, .. }), "{error}");
    }
    assert!(matches!(refused(RestoreOptions::new().to_offset(t(1), 0)), Error::UnknownPartition { .. }));
    let nowhere = TopicPartition::new("nowhere", 0);
    assert!(matches!(refused(RestoreOptions::new().to_offset(nowhere, 0)), Error::UnknownTopic { .. }));
    let restore_of = |dir: &str| Broker::restore_with(dir, RESTORED, &RestoreOptions::new().disk(&disk));
    assert!(matches!(restore_of(DATA), Err(Error::NotABackup { .. })));
    assert!(!disk.files().iter().any(|(path, _)| path.starts_with(RESTORED)));
    // At its very ends it can be cut.
    for offset in [20, 40] {
        let target = format!("/restored-to-{offset}");
        Broker::restore_with(BACKUP, &target, &RestoreOptions::new().to_offset(t(0), offset).disk(&disk)).unwrap();
        let restored = open(&disk, &target);
        let log = partition(&restored, "t");
        assert_eq!((log.log_start_offset(), log.log_end_offset()), (20, offset));
    }
}

#[test]
fn a_compacted_log_is_cut_anywhere() {
    let disk = SimulatedDisk::new(1);
    let broker = open(&disk, DATA);
    fill(&broker);
    send(&broker, "state", 60..100);
    broker.run_maintenance().unwrap();
    _ = broker.admin().compact("state").unwrap();
    broker.admin().backup(BACKUP).unwrap();
    let state = TopicPartition::new("state", 0);
    let before = contents(&broker).into_iter().find(|content| content.partition == state).unwrap();
    assert!(before.committed.len() < 100, "it was compacted");
    for cut in (0..=100).step_by(3) {
        let target = format!("/restored-{cut}");
        let options = RestoreOptions::new().to_offset(state.clone(), cut).disk(&disk);
        Broker::restore_with(BACKUP, &target, &options).unwrap();
        let restored = open(&disk, &target);
        let after = contents(&restored).into_iter().find(|content| content.partition == state).unwrap();
        let is_below = |line: &&String| line.split(':').next().unwrap().parse::<u64>().unwrap() < cut;
        assert_eq!(after.committed, before.committed.iter().filter(is_below).cloned().collect::<Vec<_>>(), "{cut}");
        assert_eq!(after.offsets.end, cut);
        assert!(restored.admin().verify().unwrap().is_clean());
        restored.close().unwrap();
        let restored = builder(&disk.crash(cut, CrashModel::Subset), &target).open().unwrap();
        assert!(restored.recovery_report().is_clean(), "{cut}: {}", restored.recovery_report());
        assert_eq!(contents(&restored).into_iter().find(|content| content.partition == state).unwrap(), after);
    }
}

#[test]
fn k12_08_half_a_restore_does_not_open() {
    let build = || {
        let disk = SimulatedDisk::new(3);
        let broker = open(&disk, DATA);
        fill(&broker);
        broker.admin().backup(BACKUP).unwrap();
        (disk, broker)
    };
    let (disk, broker) = build();
    let before = contents(&broker);
    let cut = || RestoreOptions::new().to_offset(TopicPartition::new("orders", 0), 20);
    let began = disk.calls();
    Broker::restore_with(BACKUP, RESTORED, &cut().disk(&disk)).unwrap();
    let calls = disk.calls() - began;
    drop(broker);
    let mut whole = 0;
    for call in (1..=calls).step_by(5) {
        let (disk, broker) = build();
        disk.stop_after(disk.calls() + call);
        _ = Broker::restore_with(BACKUP, RESTORED, &cut().disk(&disk));
        drop(broker);
        let disk = if call % 2 == 0 { crash(&disk, call / 2) } else { disk.kill(call) };
        let files = disk.files();
        let read_only = builder(&disk, RESTORED).recovery_mode(ottla::RecoveryMode::ReadOnly).open();
        match read_only {
            Ok(copy) => {
                whole += 1;
                assert_eq!(contents(&copy).len(), before.len());
            }
            Err(Error::Unfinished { .. }) => {
                assert!(matches!(builder(&disk, RESTORED).open(), Err(Error::Unfinished { .. })), "call {call}");
                let again = Broker::restore_with(BACKUP, RESTORED, &cut().disk(&disk));
                assert!(matches!(again, Err(Error::Unfinished { .. })), "call {call}: {again:?}");
                assert_eq!(disk.files(), files, "call {call}");
            }
            // Nothing was made yet.
            Err(Error::NotADataDirectory { .. }) => {
                assert!(!files.iter().any(|(path, _)| path.starts_with(RESTORED)), "call {call}");
                Broker::restore_with(BACKUP, RESTORED, &cut().disk(&disk)).unwrap();
            }
            Err(error) => panic!("call {call}: {error}"),
        }
        assert!(open_read_only(&disk, BACKUP).admin().verify().unwrap().is_clean(), "call {call}");
    }
    assert!(whole < 5, "{whole} of them were done");
}
