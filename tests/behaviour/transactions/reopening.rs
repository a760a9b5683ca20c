//! What is there when a directory is opened again: all of what was committed, and nothing else.

use std::time::Duration;

use ottla::testing::{CrashModel, FaultKind, FaultRule, Operation, SimulatedDisk};
use ottla::{Broker, Durability, ProducerRecord, TopicConfig};

use super::{builder, committed, is_settled, open, partition, producer, send, with_topics};

#[test]
fn a_clean_close_leaves_no_transaction_open_in_any_file() {
    let disk = SimulatedDisk::new(1);
    let broker = with_topics(&disk, &["a", "b"]);
    let mut producer = producer(&broker);
    let transaction = producer.begin().unwrap();
    send(&transaction, "a", "1");
    send(&transaction, "b", "1");
    std::mem::forget(transaction);
    broker.close().unwrap();
    drop(producer);
    let reopened = open(&disk);
    assert!(reopened.recovery_report().is_clean());
    assert_eq!(reopened.recovery_report().aborted_transactions(), 0, "it was aborted by the close");
    for topic in ["a", "b"] {
        is_settled(&reopened, topic);
        assert_eq!(committed(&reopened, topic), [""; 0]);
    }
}

/// At each call of a commit, killed or cut: both partitions have it or none, and what was acknowledged is there.
#[test]
fn a_commit_that_is_stopped_at_any_call_is_there_as_a_whole_or_not_at_all() {
    for durability in [Durability::Always, Durability::Os] {
        let calls_of = |stop: Option<u64>| {
            let disk = SimulatedDisk::new(1);
            let broker = builder(&disk).durability(durability).open().unwrap();
            for topic in ["a", "b"] {
                broker.topic_with(topic, TopicConfig::new()).unwrap();
            }
            let mut producer = producer(&broker);
            let mut acked = 0;
            let begun = disk.calls();
            if let Some(stop) = stop {
                disk.stop_after(begun + stop);
            }
            for round in 0..4 {
                let Ok(transaction) = producer.begin() else { break };
                for topic in ["a", "b", "a"] {
                    _ = transaction.send(ProducerRecord::to(topic).value(format!("{round}")));
                }
                let committed = transaction.commit();
                if stop.is_none_or(|stop| disk.calls() <= begun + stop) {
                    committed.unwrap();
                    acked += 1;
                }
            }
            (disk.clone(), acked, disk.calls() - begun)
        };
        let (_, _, calls) = calls_of(None);
        for stop in 0..calls {
            let (disk, acked, _) = calls_of(Some(stop));
            let kills = (0..3).map(|seed| (disk.kill(seed), acked));
            let required = if durability == Durability::Always { acked } else { 0 };
            let cuts = (0..4).flat_map(|seed| CrashModel::ALL.map(|model| (disk.crash(seed, model), required)));
            // Without `Always`, a power cut may take a part of it: nobody has waited for the disk.
            let cuts = cuts.filter(|_| durability == Durability::Always);
            for (image, required) in kills.chain(cuts) {
                let broker = open(&image);
                let (a, b) = (committed(&broker, "a"), committed(&broker, "b"));
                assert_eq!(a.len(), 2 * b.len(), "stopped after {stop}: {a:?} {b:?}");
                assert!(required <= b.len(), "stopped after {stop}: {required} were acknowledged, {b:?}");
                is_settled(&broker, "a");
                is_settled(&broker, "b");
                // The name goes on.
                let mut producer = producer(&broker);
                let transaction = producer.begin().unwrap();
                send(&transaction, "a", "next");
                transaction.commit().unwrap();
                assert_eq!(committed(&broker, "a").len(), a.len() + 1);
            }
        }
    }
}

#[test]
fn k10_04_an_importer_that_comes_back_after_a_month_goes_on_where_it_was() {
    let day = Duration::from_secs(24 * 3600);
    let disk = SimulatedDisk::new(1);
    let broker = open(&disk);
    broker.create_topic("rows", TopicConfig::new().partitions(4)).unwrap();
    let of_2020 = ottla::Timestamp::from_millis(1_577_836_800_000);
    let import = |broker: &Broker, rows: std::ops::Range<u32>, commits: bool| {
        let mut producer = broker.transactional_producer("import").unwrap();
        let transaction = producer.begin().unwrap();
        for row in rows.clone() {
            let record = ProducerRecord::to("rows").key(format!("{row}")).value(format!("{row}")).timestamp(of_2020);
            transaction.send(record).unwrap();
        }
        transaction.set_checkpoint(format!("row {}", rows.end)).unwrap();
        if commits { transaction.commit().unwrap() } else { transaction.abort().unwrap() }
    };
    let checkpoint = |broker: &Broker| {
        let producer = broker.transactional_producer("import").unwrap();
        producer.checkpoint().map(|bytes| String::from_utf8(bytes.to_vec()).unwrap())
    };
    assert_eq!(checkpoint(&broker), None);
    import(&broker, 0..50, true);
    import(&broker, 50..100, true);
    assert_eq!(checkpoint(&broker).as_deref(), Some("row 100"));
    broker.close().unwrap();
    disk.advance(40 * day);
    let broker = open(&disk);
    assert_eq!(checkpoint(&broker).as_deref(), Some("row 100"));
    import(&broker, 100..200, false);
    assert_eq!(checkpoint(&broker).as_deref(), Some("row 100"), "what was aborted leaves none");
    let ends: Vec<_> = broker.existing_topic("rows").unwrap().partitions().collect();
    let ends: Vec<_> = ends.iter().map(|log| (log.topic_partition().clone(), log.last_stable_offset())).collect();
    broker.admin().delete_records(&ends).unwrap();
    broker.run_maintenance().unwrap();
    let reopened = open(&disk.kill(1));
    assert_eq!(checkpoint(&reopened).as_deref(), Some("row 100"));
    import(&reopened, 100..101, true);
    assert_eq!(checkpoint(&reopened).as_deref(), Some("row 101"));
    assert_eq!(committed(&reopened, "rows"), ["100"]);
}

/// Many rounds, with rolls, aborts and reopenings in between: what is there is what was committed.
#[test]
fn producer_state_is_the_same_from_files_and_from_the_log() {
    let disk = SimulatedDisk::new(1);
    let config = TopicConfig::new().segment_bytes(2000).max_message_bytes(1000);
    let (mut expected, mut broker) = (Vec::new(), None);
    for round in 0..60 {
        if round % 20 == 0 {
            drop(broker.take());
            broker = Some(builder(&disk).durability(Durability::Os).topic_defaults(config.clone()).open().unwrap());
        }
        let broker = broker.as_ref().unwrap();
        broker.topic("a").unwrap();
        let mut producer = producer(broker);
        let transaction = producer.begin().unwrap();
        let value = format!("{round:0100}");
        for _ in 0..3 {
            send(&transaction, "a", &value);
        }
        if round % 3 == 0 {
            transaction.abort().unwrap();
        } else {
            transaction.commit().unwrap();
            expected.extend([value.clone(), value.clone(), value]);
        }
        assert_eq!(committed(broker, "a"), expected);
        is_settled(broker, "a");
    }
    let before = partition(broker.as_ref().unwrap(), "a").log_end_offset();
    broker.take().unwrap().close().unwrap();
    for extension in ["txnindex", "snapshot"] {
        let is_it = |path: &std::path::PathBuf| path.extension().is_some_and(|found| found == extension);
        let files: Vec<_> = disk.files().into_iter().map(|(path, _)| path).filter(is_it).collect();
        assert!(!files.is_empty(), "{extension}");
    }
    let reopened = open(&disk);
    assert!(reopened.recovery_report().is_clean());
    assert_eq!((committed(&reopened, "a"), partition(&reopened, "a").log_end_offset()), (expected, before));
    assert!(reopened.admin().verify().unwrap().is_clean());
}

/// A group's offsets lie behind those that a killed transaction had staged, and records are kept for it: it is read back first of all.
#[test]
fn what_a_group_has_committed_behind_an_open_transaction_is_read_back() {
    let disk = SimulatedDisk::new(1);
    let broker = open(&disk);
    broker.create_topic("t", TopicConfig::new().retain_for(["g"], 1 << 30)).unwrap();
    let records: Vec<_> = (0..40).map(|_| ProducerRecord::to("t").value("v")).collect();
    broker.producer().send_batch("t", &records).unwrap();
    let mut consumer = broker.consumer_with(ottla::ConsumerConfig::new("g")).unwrap();
    let t_0 = ottla::TopicPartition::new("t", 0);
    consumer.assign(std::slice::from_ref(&t_0)).unwrap();
    let mut producer = producer(&broker);
    let transaction = producer.begin().unwrap();
    let at = |offset| [(t_0.clone(), ottla::CommittedOffset::new(offset))];
    transaction.send_these_offsets(&consumer, &at(20)).unwrap();
    consumer.commit_offsets(&at(30)).unwrap();
    for image in [disk.kill(1), disk.crash(1, CrashModel::Subset)] {
        let reopened = open(&image);
        assert_eq!(reopened.committed("g", &t_0).unwrap().map(|committed| committed.offset()), Some(30));
    }
}

/// What a durable commit has said of its markers, a later one may not take away before they are durable.
#[test]
fn a_durable_commit_outlives_a_later_one_that_waits_for_no_disk() {
    for with_record in [true, false] {
        let disk = SimulatedDisk::new(1);
        let broker = builder(&disk).durability(Durability::Os).open().unwrap();
        broker.topic_with("always", TopicConfig::new().durability(Durability::Always)).unwrap();
        broker.topic("os").unwrap();
        let mut producer = producer(&broker);
        let transaction = producer.begin().unwrap();
        send(&transaction, "always", "1");
        transaction.commit().unwrap();
        let transaction = producer.begin().unwrap();
        if with_record {
            send(&transaction, "os", "2");
        } else {
            transaction.set_checkpoint("2").unwrap();
        }
        transaction.commit().unwrap();
        // Has what was written of the names synced, and nothing else that matters here.
        let other = broker.transactional_producer("other").unwrap();
        for model in CrashModel::ALL {
            let reopened = open(&disk.crash(1, model));
            assert_eq!(committed(&reopened, "always"), ["1"], "{model:?}, with a record: {with_record}");
            is_settled(&reopened, "always");
        }
        drop(other);
    }
}

/// A power cut has taken what a commit covered that was not durable: its decision says nothing of what comes there afterwards.
#[test]
fn what_comes_in_the_place_of_a_commit_that_was_lost_is_not_committed() {
    let disk = SimulatedDisk::new(1);
    let broker = builder(&disk).durability(Durability::Os).open().unwrap();
    broker.topic("a").unwrap();
    let mut lost = producer(&broker);
    let transaction = lost.begin().unwrap();
    // Too large for the tail: only its segment has it, and nobody syncs that.
    transaction.send(ProducerRecord::to("a").value("x".repeat(500_000))).unwrap();
    transaction.commit().unwrap();
    let _has_the_decision_synced = broker.transactional_producer("other").unwrap();
    for model in CrashModel::ALL {
        let disk = disk.crash(1, model);
        let reopened = open(&disk);
        if partition(&reopened, "a").high_watermark() > 0 {
            continue;
        }
        let mut producer = producer(&reopened);
        let transaction = producer.begin().unwrap();
        assert_eq!(send(&transaction, "a", "never committed"), 0, "in its place");
        let reopened = open(&disk.kill(1));
        assert_eq!(committed(&reopened, "a"), [""; 0], "{model:?}");
        is_settled(&reopened, "a");
    }
}

/// One durable commit in `a` and `b`, and a power cut that has taken its markers.
fn without_markers() -> SimulatedDisk {
    let disk = SimulatedDisk::new(1);
    let broker = with_topics(&disk, &["a", "b", "c"]);
    let mut producer = producer(&broker);
    let transaction = producer.begin().unwrap();
    send(&transaction, "a", "1");
    send(&transaction, "b", "1");
    transaction.commit().unwrap();
    let disk = disk.crash(1, CrashModel::Ordered);
    assert_eq!(open(&disk.kill(1)).recovery_report().committed_transactions(), 2, "or this tests nothing");
    disk
}

fn refuse(disk: &SimulatedDisk, path: &str) {
    disk.fail(FaultRule::new(FaultKind::InputOutput).on(Operation::Read).path_containing(path).forever());
}

/// Nothing that could not be read was decided: that is not known, and nothing is aborted.
#[test]
fn a_commit_stays_where_the_decisions_cannot_be_read_once() {
    let disk = without_markers();
    refuse(&disk, "__transaction_state-0/partition.metadata");
    let broker = open(&disk);
    assert_eq!(broker.recovery_report().aborted_transactions(), 0);
    assert!(broker.transactional_producer("p").is_err());
    drop(broker);
    disk.clear_faults();
    let reopened = open(&disk);
    assert_eq!((committed(&reopened, "a"), committed(&reopened, "b")), (vec!["1".into()], vec!["1".into()]));
}

/// The name goes on while a partition of its last commit answers no call; what it has committed there is there once it does.
#[test]
fn a_commit_stays_whole_where_one_of_its_partitions_cannot_be_opened_once() {
    let disk = without_markers();
    refuse(&disk, "b-0/partition.metadata");
    let broker = open(&disk);
    assert_eq!(committed(&broker, "a"), ["1"]);
    let mut producer = producer(&broker);
    for value in ["2", "3"] {
        let transaction = producer.begin().unwrap();
        send(&transaction, "c", value);
        transaction.commit().unwrap();
    }
    drop(producer);
    drop(broker);
    disk.clear_faults();
    let reopened = open(&disk);
    let (a, b, c) = (committed(&reopened, "a"), committed(&reopened, "b"), committed(&reopened, "c"));
    assert_eq!((a, b, c), (vec!["1".into()], vec!["1".into()], vec!["2".into(), "3".into()]));
    is_settled(&reopened, "b");
}

/// What was decided cannot be read when the directory is opened, and can be later.
#[test]
fn what_could_not_be_ended_at_opening_is_ended_once_it_is_known_how() {
    let made = || {
        let disk = without_markers();
        // Into segments, which are opened when they are read.
        let broker = builder(&disk).open().unwrap();
        let mut producer = broker.transactional_producer("q").unwrap();
        for _ in 0..3 {
            disk.advance(Duration::from_secs(60));
            broker.run_maintenance().unwrap();
        }
        let transaction = producer.begin().unwrap();
        send(&transaction, "c", "never committed");
        disk.kill(1)
    };
    let mut opened = 0;
    for kind in [FaultKind::TooManyOpenFiles, FaultKind::OutOfMemory, FaultKind::InputOutput] {
        for operation in [Operation::Open, Operation::Map, Operation::Size, Operation::Read] {
            for nth in 1..20 {
                let disk = made();
                disk.fail(FaultRule::new(kind).on(operation).path_containing("__transaction_state").nth(nth));
                let Ok(broker) = builder(&disk).open() else { continue };
                if disk.faults_injected() == 0 {
                    break;
                }
                disk.clear_faults();
                let Ok(mut producer) = broker.transactional_producer("q") else { continue };
                opened += 1;
                let transaction = producer.begin().unwrap();
                send(&transaction, "c", "2");
                transaction.commit().unwrap();
                is_settled(&broker, "c");
                assert_eq!(committed(&broker, "c"), ["2"], "{kind:?} at {operation:?} {nth}");
            }
        }
    }
    assert!(opened > 0, "or this tests nothing");
}
