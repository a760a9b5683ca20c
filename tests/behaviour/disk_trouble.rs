//! A disk that fails, is full, or does not answer: what the rest of the log does then, and what is true afterwards.

use std::thread;
use std::time::Duration;

use ottla::testing::{CrashModel, FaultKind, FaultRule, Operation, SimulatedDisk};
use ottla::{
    Broker, BrokerBuilder, Durability, Error, Partition, ProducerConfig, ProducerRecord, RecoveryMode, SendOutcome,
    TopicConfig, TopicPartition,
};

use crate::all_from;

/// Without `Always`, more than goes through the tail.
const LARGE: usize = 70_000;

/// Three large records in each.
fn small_segments() -> TopicConfig {
    TopicConfig::new().segment_bytes(256 << 10)
}

fn builder(disk: &SimulatedDisk, durability: Durability) -> BrokerBuilder {
    Broker::builder("/data").disk(disk).durability(durability).background(false).topic_defaults(small_segments())
}

fn open(disk: &SimulatedDisk, durability: Durability) -> Broker {
    builder(disk, durability).open().unwrap()
}

fn partition(broker: &Broker, topic: &str) -> Partition {
    broker.topic(topic).unwrap().partition(0).unwrap()
}

/// Batches of one record each, past the tail and straight into the segment.
fn append_to_segment(partition: &Partition, count: u64) {
    for _ in 0..count {
        partition.append(&ProducerRecord::to(partition.topic_partition().topic()).value(&[7; LARGE])).unwrap();
    }
}

/// Sends until a new segment has begun.
fn append_until_rolled(partition: &Partition, disk: &SimulatedDisk) -> Error {
    let logs = |disk: &SimulatedDisk| {
        disk.files().iter().filter(|(path, _)| path.extension().is_some_and(|e| e == "log")).count()
    };
    let before = logs(disk);
    loop {
        if let Err(error) = partition.append(&ProducerRecord::to("t").value(&[7; LARGE])) {
            return error;
        }
        assert_eq!(logs(disk), before, "it has rolled, and nothing failed");
    }
}

/// Of several segments the newest was synced first; once the sync of another could not begin, nobody looked behind it again, and
/// a power cut took what a flush had promised.
#[test]
fn a_sync_that_could_not_begin_for_one_of_several_segments_is_made_for_each_of_them() {
    for nth in 1..=3 {
        let disk = SimulatedDisk::new(1);
        let broker = open(&disk, Durability::Os);
        let partition = partition(&broker, "t");
        append_to_segment(&partition, 8);
        // With some handles closed it is tried once more.
        for call in [nth, nth + 1] {
            let rule = FaultRule::new(FaultKind::TooManyOpenFiles).on(Operation::SyncDir);
            disk.fail(rule.path_containing("t-0").nth(call));
        }
        partition.wait_durable(8).expect("an attempt of its own comes after that of the group");
        assert_eq!(disk.faults_injected(), 2);
        for seed in 0..20 {
            let after = open(&disk.crash(seed, CrashModel::Subset), Durability::Os);
            assert_eq!(all_from(&self::partition(&after, "t"), 0).len(), 8);
        }
    }
}

/// After a failed sync the page cache may show what the medium has lost. Whoever opens then and believes it acknowledges, to
/// the next reader, what the next power cut takes away.
#[test]
fn what_a_failed_sync_left_in_the_cache_is_written_and_synced_again_before_it_counts() {
    let disk = SimulatedDisk::new(1);
    let broker = open(&disk, Durability::Os);
    append_to_segment(&partition(&broker, "t"), 3);
    disk.fail(FaultRule::new(FaultKind::InputOutput).on(Operation::Sync).path_containing("t-0/"));
    let failed = broker.flush();
    assert!(matches!(failed, Err(Error::Poisoned { .. })), "{failed:?}");
    let syncs = |disk: &SimulatedDisk, from: u64| {
        let is_of_log = |path: &std::path::Path| path.extension().is_some_and(|e| e == "log");
        let calls = disk.log().into_iter().filter(|call| call.number > from && is_of_log(&call.path));
        calls.map(|call| call.operation).filter(|o| matches!(o, Operation::Write | Operation::Sync)).collect::<Vec<_>>()
    };
    let calls = disk.calls();
    assert!(broker.flush().is_err());
    assert!(broker.close().is_err());
    assert_eq!(syncs(&disk, calls), [], "a sync that failed is not tried again, and nothing is written any more");

    let calls = disk.calls();
    let broker = open(&disk, Durability::Os);
    assert_eq!(partition(&broker, "t").durable_offset(), 0, "it may be in the cache alone");
    broker.flush().unwrap();
    assert_eq!(partition(&broker, "t").durable_offset(), 3);
    let made = syncs(&disk, calls);
    let synced = made.iter().rposition(|operation| *operation == Operation::Sync);
    let written = made.iter().rposition(|operation| *operation == Operation::Write);
    assert!(written.is_some() && written < synced, "{made:?}");
    let shown = all_from(&partition(&broker, "t"), 0).len();
    assert_eq!(shown, 3, "nothing of it was cut, since the cache was whole");
    for (seed, model) in (0..20).flat_map(|seed| CrashModel::ALL.map(|model| (seed, model))) {
        let after = open(&disk.crash(seed, model), Durability::Os);
        assert_eq!(all_from(&partition(&after, "t"), 0).len(), shown, "seed {seed}, {model:?}");
    }
}

/// A flush may have made durable what is only in the tail, which opening clears.
#[test]
fn what_a_flush_left_in_the_tail_is_synced_in_the_segment_before_the_tail_is_cleared() {
    for is_flushed in [false, true] {
        let disk = SimulatedDisk::new(1);
        let broker = open(&disk, Durability::Os);
        let log = partition(&broker, "t");
        let append = |log: &Partition| log.append(&ProducerRecord::to("t").value("v")).unwrap();
        append(&log);
        if is_flushed {
            broker.flush().unwrap();
        }
        // The batch is in the segment, too, and nobody has synced it there.
        append_to_segment(&log, 1);
        let killed = disk.kill(1);
        let broker = open(&killed, Durability::Os);
        let log = partition(&broker, "t");
        assert_eq!(log.durable_offset(), if is_flushed { 2 } else { 0 });
        assert_eq!(all_from(&log, 0).len(), 2);
        for (seed, model) in (0..20).flat_map(|seed| CrashModel::ALL.map(|model| (seed, model))) {
            let after = open(&killed.crash(seed, model), Durability::Os);
            assert!(log.durable_offset() <= partition(&after, "t").log_end_offset(), "seed {seed}, {model:?}");
        }
        log.wait_durable(2).unwrap();
        assert_eq!(log.durable_offset(), 2);
        let after = open(&killed.crash(1, CrashModel::Subset), Durability::Os);
        assert_eq!(all_from(&partition(&after, "t"), 0).len(), 2);
    }
}

/// What a process that was killed had written is written once more, which may need space.
#[test]
fn a_disk_that_is_full_for_what_a_killed_process_left_harms_nothing() {
    let disk = SimulatedDisk::new(1);
    let killed = open(&disk, Durability::Os);
    append_to_segment(&partition(&killed, "t"), 2);
    let disk = disk.kill(1);
    let broker = open(&disk, Durability::Os);
    let log = partition(&broker, "t");
    disk.fail(FaultRule::new(FaultKind::StorageFull).on(Operation::Write).path_containing("t-0/").forever());
    for refused in [broker.flush(), broker.run_maintenance(), log.wait_durable(2)] {
        assert!(matches!(refused, Err(Error::DiskFull { .. })), "{refused:?}");
    }
    assert_eq!((log.durable_offset(), all_from(&log, 0).len()), (0, 2));
    disk.clear_faults();
    broker.flush().unwrap();
    append_to_segment(&log, 1);
    assert_eq!((log.durable_offset(), log.log_end_offset()), (2, 3));
}

/// One sync covers all partitions of one durability, and so does its failure; it does not reach those of another.
#[test]
fn a_failed_sync_of_the_tail_closes_all_that_it_was_for_and_nothing_else() {
    let disk = SimulatedDisk::new(1);
    let broker = open(&disk, Durability::Always);
    let relaxed = broker.create_topic("relaxed", small_segments().durability(Durability::Os)).unwrap();
    let (log, other, relaxed) = (partition(&broker, "t"), partition(&broker, "u"), relaxed.partition(0).unwrap());
    let append = |log: &Partition| log.append(&ProducerRecord::to(log.topic_partition().topic()).value("v"));
    for log in [&log, &other, &relaxed] {
        append(log).unwrap();
    }
    disk.fail(FaultRule::new(FaultKind::InputOutput).on(Operation::Sync).path_containing("tail-always"));
    let (unknown, not_appended) = (SendOutcome::Unknown, SendOutcome::NotAppended);
    for (log, outcome) in [(&log, unknown), (&other, not_appended), (&log, not_appended)] {
        let refused = append(log).unwrap_err();
        assert!(refused.is_fatal() && refused.outcome() == outcome, "{refused:?}");
        assert_eq!(all_from(log, 0).len(), 1);
    }
    append(&relaxed).unwrap();
    assert_eq!(all_from(&relaxed, 0).len(), 2);
    assert!(broker.close().is_err());
    for image in [disk.kill(1), disk] {
        let broker = open(&image, Durability::Always);
        append(&partition(&broker, "t")).unwrap();
        append(&partition(&broker, "u")).unwrap();
    }
}

/// A file or directory that cannot be opened for its sync is not lost by that: who waits is told, and the next call tries again.
#[test]
fn a_sync_that_could_not_begin_poisons_nothing_and_is_made_by_the_next_call() {
    for operation in [Operation::Open, Operation::SyncDir] {
        let disk = SimulatedDisk::new(1);
        let broker = builder(&disk, Durability::Os).max_open_files(8).open().unwrap();
        let log = partition(&broker, "t");
        append_to_segment(&log, 1);
        // So many others that this one's file is closed.
        for topic in ["1", "2", "3", "4", "5", "6", "7", "8"] {
            append_to_segment(&partition(&broker, topic), 1);
        }
        disk.fail(FaultRule::new(FaultKind::TooManyOpenFiles).on(operation).path_containing("t-0").forever());
        for refused in [log.wait_durable(1), broker.flush(), log.wait_durable(1)] {
            assert!(matches!(&refused, Err(error @ Error::Io { .. }) if error.is_retriable()), "{refused:?}");
        }
        assert_eq!(log.durable_offset(), 0);
        log.append(&ProducerRecord::to("t").value("into the tail")).unwrap();
        disk.clear_faults();
        append_to_segment(&log, 1);
        broker.flush().unwrap();
        assert_eq!(log.durable_offset(), 3, "{operation:?}");
        for seed in 0..20 {
            let after = open(&disk.crash(seed, CrashModel::Subset), Durability::Os);
            assert_eq!(all_from(&partition(&after, "t"), 0).len(), 3, "{operation:?}, seed {seed}");
        }
    }
}

/// Nothing was lost where a sync could not begin, so the record is neither taken back nor shown before it is durable.
#[test]
fn a_record_that_is_not_durable_yet_is_told_so_and_becomes_visible_with_the_next_sync() {
    let disk = SimulatedDisk::new(1);
    let broker = open(&disk, Durability::Always);
    let log = partition(&broker, "t");
    disk.fail(FaultRule::new(FaultKind::TooManyOpenFiles).on(Operation::SyncDir).path_containing("t-0").forever());
    let error = log.append(&ProducerRecord::to("t").value(&[7; LARGE])).unwrap_err();
    assert!(matches!(&error, Error::NotDurable { offsets, source, .. } if *offsets == (0..1) && source.is_retriable()));
    assert_eq!((error.outcome(), error.is_retriable(), error.is_fatal()), (SendOutcome::Appended, false, false));
    assert_eq!((log.log_end_offset(), all_from(&log, 0).len()), (1, 0));
    let after_kill = open(&disk.kill(1), Durability::Always);
    assert_eq!(all_from(&partition(&after_kill, "t"), 0).len(), 1, "it outlives the process");
    disk.clear_faults();
    log.wait_durable(1).unwrap();
    assert_eq!(all_from(&log, 0).len(), 1);
    log.append(&ProducerRecord::to("t").value("next")).unwrap();
    assert_eq!(all_from(&log, 0).len(), 2);
}

/// What a killed process left is to be written once more before anything later is durable: that is tried before a record is
/// appended.
#[test]
fn a_durable_send_to_a_disk_that_is_full_for_what_comes_before_appends_nothing() {
    let disk = SimulatedDisk::new(1);
    let killed = open(&disk, Durability::Os);
    append_to_segment(&partition(&killed, "t"), 1);
    let disk = disk.kill(1);
    let broker = open(&disk, Durability::Os);
    let log = partition(&broker, "t");
    disk.fail(FaultRule::new(FaultKind::StorageFull).on(Operation::Write).path_containing(".log").forever());
    let durable = broker.producer_with(ProducerConfig::new().durability(Durability::Always)).unwrap();
    let records = [ProducerRecord::to("t").value("once")];
    for refused in [durable.send(records[0].clone()).map(drop), durable.send_batch("t", &records).map(drop)] {
        let error = refused.unwrap_err();
        assert!(matches!(error, Error::DiskFull { .. }), "{error:?}");
        assert_eq!((error.outcome(), log.log_end_offset()), (SendOutcome::NotAppended, 1));
    }
    disk.clear_faults();
    durable.send(records[0].clone()).unwrap();
    assert_eq!((log.durable_offset(), all_from(&log, 0).len()), (2, 2));
}

/// A batch goes to its partitions one after the other, and the error says how far it got.
#[test]
fn a_batch_for_several_partitions_that_stops_half_way_tells_what_was_sent() {
    let disk = SimulatedDisk::new(1);
    let broker = open(&disk, Durability::Os);
    let topic = broker.create_topic("t", small_segments().partitions(3)).unwrap();
    let records = [0, 1, 2].map(|number| ProducerRecord::to("t").partition(number).value(&[7; LARGE]));
    disk.fail(FaultRule::new(FaultKind::StorageFull).path_containing("t-1").forever());
    let error = broker.producer().send_batch("t", &records).unwrap_err();
    let Error::PartlySent { appended, source, .. } = &error else { panic!("{error:?}") };
    assert_eq!(*appended, [(TopicPartition::new("t", 0), 0..1)]);
    assert!(matches!(**source, Error::DiskFull { .. }), "{source:?}");
    assert_eq!((error.outcome(), error.is_retriable()), (SendOutcome::Partly, false));
    assert_eq!(topic.partitions().map(|partition| partition.log_end_offset()).collect::<Vec<_>>(), [1, 0, 0]);
    let unknown = [0, 3].map(|number| ProducerRecord::to("t").partition(number).value("v"));
    let error = broker.producer().send_batch("t", &unknown).unwrap_err();
    assert!(matches!(error, Error::UnknownPartition { .. }), "{error:?}");
    assert_eq!(topic.partition(0).unwrap().log_end_offset(), 1, "found before anything was sent");
}

#[test]
fn a_roll_that_fails_is_made_by_a_later_send_without_reopening() {
    for kind in [FaultKind::StorageFull, FaultKind::TooManyOpenFiles] {
        let disk = SimulatedDisk::new(1);
        let broker = open(&disk, Durability::Os);
        let log = partition(&broker, "t");
        append_to_segment(&log, 1);
        disk.fail(FaultRule::new(kind).on(Operation::Open).path_containing(".log").forever());
        let error = append_until_rolled(&log, &disk);
        assert!(error.is_retriable(), "{error:?}");
        assert_eq!(matches!(error, Error::DiskFull { .. }), kind == FaultKind::StorageFull, "{error:?}");
        let end = log.log_end_offset();
        disk.clear_faults();
        assert_eq!(all_from(&log, 0).len() as u64, end, "{kind:?}");
        append_to_segment(&log, 10);
        assert_eq!(all_from(&log, 0).len() as u64, end + 10, "{kind:?}");
        let after = open(&disk.kill(1), Durability::Os);
        assert_eq!(all_from(&partition(&after, "t"), 0).len() as u64, end + 10, "{kind:?}");
    }
}

#[test]
fn a_write_that_ends_half_way_leaves_nothing_behind() {
    for kind in [FaultKind::ShortWrite, FaultKind::StorageFull] {
        let disk = SimulatedDisk::new(1);
        let broker = open(&disk, Durability::Os);
        let log = partition(&broker, "t");
        append_to_segment(&log, 1);
        disk.fail(FaultRule::new(kind).on(Operation::Write).path_containing(".log"));
        let refused = log.append(&ProducerRecord::to("t").value(&[8; LARGE]));
        assert!(matches!(refused, Err(Error::DiskFull { .. })), "{refused:?}");
        assert_eq!(log.log_end_offset(), 1);
        append_to_segment(&log, 1);
        for partition in [log, partition(&open(&disk.kill(1), Durability::Os), "t")] {
            let records = all_from(&partition, 0);
            assert_eq!(records.len(), 2, "{kind:?}");
            assert!(records.iter().all(|record| record.value() == Some(&[7; LARGE][..])), "{kind:?}");
        }
    }
}

/// Recovery writes. Where there is no room for that, what it would have written stays where it is, and can be read.
#[test]
fn what_cannot_be_recovered_for_want_of_room_can_be_read() {
    let disk = SimulatedDisk::new(1);
    let broker = open(&disk, Durability::Os);
    let log = partition(&broker, "t");
    append_to_segment(&log, 10);
    for n in 0_u8..50 {
        log.append(&ProducerRecord::to("t").value(&[n; 50])).unwrap();
    }
    let full = disk.kill(1);
    full.limit_capacity(Some(full.used_bytes()));
    let broker = open(&full, Durability::Os);
    assert_eq!(all_from(&partition(&broker, "t"), 0).len(), 60);
    drop(broker);
    let broker = builder(&full, Durability::Os).recovery_mode(RecoveryMode::ReadOnly).open().unwrap();
    assert_eq!(all_from(&partition(&broker, "t"), 0).len(), 60);
    drop(broker);
    full.limit_capacity(None);
    assert_eq!(all_from(&partition(&open(&full, Durability::Os), "t"), 0).len(), 60);
}

#[test]
fn a_read_that_fails_is_an_error_of_that_read_alone() {
    let disk = SimulatedDisk::new(1);
    let broker = open(&disk, Durability::Os);
    for topic in ["t", "u"] {
        append_to_segment(&partition(&broker, topic), 20);
    }
    broker.close().unwrap();
    let broker = open(&disk, Durability::Os);
    let (log, other) = (partition(&broker, "t"), partition(&broker, "u"));
    for operation in [Operation::Open, Operation::Read, Operation::Size, Operation::Map] {
        disk.fail(FaultRule::new(FaultKind::InputOutput).on(operation).path_containing("t-0/").forever());
        for offset in 0..20 {
            let read = log.read(offset, 1);
            let is_right = match &read {
                Ok(records) => records.iter().next().is_some_and(|record| record.offset() == offset),
                Err(error) => matches!(error, Error::Io { .. }),
            };
            assert!(is_right, "{operation:?} at {offset}: {read:?}");
        }
        assert_eq!(all_from(&other, 0).len(), 20, "{operation:?}");
        disk.clear_faults();
        assert_eq!(all_from(&log, 0).len(), 20, "{operation:?}: and then it is over");
    }
    assert!(disk.faults_injected() > 0);
    append_to_segment(&log, 1);
}

#[test]
fn opening_where_reading_fails_is_an_error_and_harms_nothing() {
    let disk = SimulatedDisk::new(1);
    let broker = open(&disk, Durability::Os);
    append_to_segment(&partition(&broker, "t"), 20);
    let killed = disk.kill(1);
    let mut failed = 0;
    for nth in 1.. {
        let image = killed.kill(1);
        image.fail(FaultRule::new(FaultKind::InputOutput).on(Operation::Read).nth(nth));
        let opened = builder(&image, Durability::Os).open();
        let read = opened.and_then(|broker| {
            let is_refused = broker.recovery_report().partitions().iter().any(|found| found.failure().is_some());
            let read = partition(&broker, "t").iter_from(0).collect::<ottla::Result<Vec<_>>>();
            assert_eq!(read.is_err(), is_refused, "read {nth}");
            read
        });
        match read {
            // What can be rebuilt does not have to be read.
            Ok(records) => assert_eq!(records.len(), 20, "read {nth}"),
            Err(error) => {
                assert!(matches!(error, Error::Io { .. }), "read {nth}: {error:?}");
                failed += 1;
            }
        }
        if image.faults_injected() == 0 {
            break;
        }
        let broker = open(&image, Durability::Os);
        assert_eq!(all_from(&partition(&broker, "t"), 0).len(), 20, "read {nth}, and then it works");
    }
    assert!(failed > 0);
}

#[test]
fn where_no_descriptor_is_left_calls_fail_by_type_and_change_nothing() {
    let disk = SimulatedDisk::new(1);
    let broker = open(&disk, Durability::Os);
    let log = partition(&broker, "t");
    append_to_segment(&log, 20);
    disk.limit_handles(Some(0));
    let refused = broker.create_topic("another", small_segments());
    assert!(matches!(&refused, Err(error @ Error::Io { .. }) if error.is_retriable()), "{refused:?}");
    // Into the open batch, for which everything is there.
    let sent = log.append(&ProducerRecord::to("t").value("v")).unwrap();
    assert_eq!(log.read(sent, 100).unwrap().len(), 1);
    disk.limit_handles(None);
    broker.create_topic("another", small_segments()).unwrap();
    assert_eq!(all_from(&log, 0).len(), 21);
    append_to_segment(&log, 20);
    assert_eq!(all_from(&partition(&open(&disk.kill(1), Durability::Os), "t"), 0).len(), 41);
}

/// Runs `work` on a thread of its own, which hangs, until `meanwhile` is done.
fn while_hanging(disk: &SimulatedDisk, part: &str, work: impl FnOnce() + Send, meanwhile: impl FnOnce()) {
    /// Also when the test fails meanwhile, which would wait for the thread for ever.
    struct Release<'d>(&'d SimulatedDisk);

    impl Drop for Release<'_> {
        fn drop(&mut self) {
            self.0.release_syncs();
        }
    }

    disk.hold_syncs(part);
    thread::scope(|scope| {
        let release = Release(disk);
        let working = scope.spawn(work);
        while disk.hanging_syncs() == 0 && !working.is_finished() {
            thread::yield_now();
        }
        assert!(disk.hanging_syncs() > 0, "nothing hangs");
        meanwhile();
        assert!(disk.hanging_syncs() > 0 && !working.is_finished());
        drop(release);
    });
}

#[test]
fn while_a_sync_hangs_only_those_wait_who_asked_for_it() {
    let disk = SimulatedDisk::new(1);
    let broker = open(&disk, Durability::Os);
    let durable = broker.create_topic("durable", small_segments().durability(Durability::Always)).unwrap();
    let (durable, log) = (durable.partition(0).unwrap(), partition(&broker, "t"));
    durable.append(&ProducerRecord::to("durable").value("before")).unwrap();
    let send = || assert_eq!(durable.append(&ProducerRecord::to("durable").value("waits")).unwrap(), 1);
    while_hanging(&disk, "tail-always", send, || {
        append_to_segment(&log, 20);
        log.append(&ProducerRecord::to("t").value("open")).unwrap();
        assert_eq!(all_from(&log, 0).len(), 21);
        broker.create_topic("another", small_segments()).unwrap();
        let mut consumer = broker.consumer("g", ["t"]).unwrap();
        assert!(!consumer.poll(Duration::ZERO).unwrap().is_empty());
        consumer.commit().unwrap();
        assert_eq!((durable.last_stable_offset(), durable.read(0, 1000).unwrap().len()), (1, 1), "and nobody sees it");
    });
    assert_eq!(durable.read(0, 1000).unwrap().len(), 2);
}

#[test]
fn while_the_sync_of_a_segment_hangs_its_partition_goes_on_too() {
    let disk = SimulatedDisk::new(1);
    let broker = open(&disk, Durability::Os);
    let (log, other) = (partition(&broker, "t"), partition(&broker, "u"));
    append_to_segment(&log, 20);
    while_hanging(
        &disk,
        "t-0/",
        || broker.run_maintenance().unwrap(),
        || {
            append_to_segment(&log, 20);
            append_to_segment(&other, 20);
            assert_eq!((all_from(&log, 0).len(), all_from(&other, 0).len()), (40, 20));
        },
    );
    broker.flush().unwrap();
    assert_eq!(log.durable_offset(), 40);
}

/// Slots stay taken for as long as their segment is not synced, and a tail has only so many.
#[test]
fn while_the_sync_of_a_segment_hangs_a_full_tail_stops_nobody() {
    let disk = SimulatedDisk::new(1);
    let broker = builder(&disk, Durability::Os).tail_bytes(1 << 20).open().unwrap();
    let (log, other) = (partition(&broker, "t"), partition(&broker, "u"));
    let send = |log: &Partition, count: u64| {
        let begin = log.log_end_offset();
        for offset in begin..begin + count {
            let record = ProducerRecord::to(log.topic_partition().topic()).value(&[7; 3000]);
            assert_eq!(log.append(&record).unwrap(), offset);
        }
    };
    send(&log, 500);
    while_hanging(
        &disk,
        "t-0/",
        || broker.run_maintenance().unwrap(),
        || {
            send(&log, 1000);
            send(&other, 1000);
            assert_eq!((all_from(&log, 0).len(), all_from(&other, 0).len()), (1500, 1000));
        },
    );
    broker.flush().unwrap();
    assert_eq!(log.durable_offset(), 1500);
}
