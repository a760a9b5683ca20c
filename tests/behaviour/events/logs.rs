//! What becomes of logs: rolls, deletions, compaction, slow and failing disks, damage. And nothing for a record.

use std::thread;
use std::time::Duration;

use ottla::testing::{FaultKind, FaultRule, Operation};
use ottla::{BudgetPolicy, CleanupPolicy, Error, RecoveryMode};
use tracing::Level;

use super::*;

const MINUTE: Duration = Duration::from_secs(60);

#[test]
fn ten_thousand_records_are_no_event_but_rolls() {
    let (listener, _guard) = listen();
    let broker = open(&new_disk());
    let topic = broker.create_topic("orders", TopicConfig::new().segment_bytes(64 << 10)).unwrap();
    let mut consumer = broker.consumer("billing", ["orders"]).unwrap();
    consumer.poll(Duration::ZERO).unwrap();
    broker.run_maintenance().unwrap();
    listener.take();
    let mut read = 0;
    for n in 0..10_000 {
        topic.produce("k", format!("{n:0100}")).unwrap();
        if n % 100 == 99 {
            read += consumer.poll(Duration::ZERO).unwrap().len();
            consumer.commit().unwrap();
        }
    }
    assert_eq!((read, listener.take()), (10_000, vec![]), "senders and readers run no subscriber");
    broker.run_maintenance().unwrap();
    let told = listener.take();
    let rolls = broker.admin().describe("orders").unwrap().partitions()[0].segment_count() - 1;
    assert!(rolls > 2, "or this tests little");
    assert_eq!(names(&told), vec!["segment_rolled"; rolls]);
    let bases: Vec<u64> = told.iter().map(|told| told.field("base_offset").parse().unwrap()).collect();
    assert!(bases.is_sorted() && bases[0] > 0, "{bases:?}");
    told[0].is("segment_rolled", Level::DEBUG, [("partition", "orders-0")]);
    assert_eq!(told[0].target, "ottla::log");
    assert_ne!(told[0].field("bytes"), "0");
}

#[test]
fn records_that_are_deleted_and_by_which_rule() {
    let (listener, _guard) = listen();
    let broker = open(&new_disk());
    let partition = create(&broker, small_segments());
    append_large(&partition, 4);
    listener.take();
    broker.admin().delete_records(&[(orders(), 1)]).unwrap();
    let told = listener.take_one("records_deleted");
    let fields = [
        ("partition", "orders-0"),
        ("by", "delete_records"),
        ("first_offset", "0"),
        ("log_start_offset", "1"),
        ("segments", "1"),
    ];
    told.is("records_deleted", Level::DEBUG, fields);
    assert!(told.field("bytes").parse::<usize>().unwrap() > LARGE);
    broker.admin().alter_topic("orders", |config| config.retention_bytes(1)).unwrap();
    broker.run_maintenance().unwrap();
    let fields = [("by", "retention"), ("first_offset", "1"), ("log_start_offset", "3"), ("segments", "2")];
    listener.take_one("records_deleted").is("records_deleted", Level::DEBUG, fields);
    broker.run_maintenance().unwrap();
    assert_eq!(listener.take(), [], "there is nothing more to delete");
}

#[test]
fn records_that_go_for_the_disk_budget() {
    let (listener, _guard) = listen();
    let disk = new_disk();
    let broker = builder(&disk).tail_bytes(1 << 20).disk_budget(6 << 20, BudgetPolicy::DropOldest).open().unwrap();
    let partition = create(&broker, TopicConfig::new().segment_bytes(256 << 10));
    append_large(&partition, 100);
    broker.run_maintenance().unwrap();
    let told = listener.take_all("records_deleted");
    assert!(told.len() > 1);
    told[0].is("records_deleted", Level::DEBUG, [("by", "disk budget"), ("first_offset", "0")]);
    let last = told.last().unwrap().field("log_start_offset");
    assert_eq!(last, partition.log_start_offset().to_string());
}

#[test]
fn a_partition_that_refuses_writes_says_so_once() {
    let (listener, _guard) = listen();
    let disk = new_disk();
    let broker = open(&disk);
    let partition = create(&broker, small_segments());
    append_large(&partition, 1);
    listener.take();
    disk.fail(FaultRule::new(FaultKind::InputOutput).on(Operation::Sync).path_containing("orders-0").nth(1));
    for _ in 0..3 {
        assert!(matches!(partition.wait_durable(1), Err(Error::Poisoned { .. })));
        broker.run_maintenance().unwrap();
    }
    let told = listener.take();
    assert_eq!(names(&told), ["partition_poisoned"]);
    told[0].is("partition_poisoned", Level::ERROR, [("partition", "orders-0")]);
    assert!(told[0].field("reason").contains("00000000000000000000.log"), "{told:?}");
}

#[test]
fn a_tail_that_cannot_be_synced_takes_all_its_partitions_along() {
    let (listener, _guard) = listen();
    let disk = new_disk();
    let broker = open(&disk);
    let partition = create(&broker, TopicConfig::new().durability(Durability::Always));
    partition.append(&ProducerRecord::new().value("before")).unwrap();
    listener.take();
    disk.fail(FaultRule::new(FaultKind::InputOutput).on(Operation::Sync).path_containing("tail-always").nth(1));
    for _ in 0..3 {
        assert!(partition.append(&ProducerRecord::new().value("lost")).is_err());
        broker.run_maintenance().unwrap();
    }
    let told = listener.take();
    assert_eq!(names(&told), ["tail_failed", "partition_poisoned"]);
    told[0].is("tail_failed", Level::ERROR, [("path", "/data/tail-always")]);
}

/// Runs `work` while syncs of files whose paths contain `part` take so long.
fn with_slow_sync(disk: &SimulatedDisk, part: &str, takes: Duration, work: impl FnOnce() + Send) {
    disk.hold_syncs(part);
    thread::scope(|scope| {
        let working = scope.spawn(work);
        while disk.hanging_syncs() == 0 && !working.is_finished() {
            thread::yield_now();
        }
        disk.advance(takes);
        disk.release_syncs();
        working.join().unwrap();
    });
}

#[test]
fn a_sync_is_slow_that_takes_longer_than_100_ms() {
    let (listener, _guard) = listen();
    let disk = new_disk();
    let broker = open(&disk);
    let partition = create(&broker, TopicConfig::new().durability(Durability::Always));
    let append = |bytes| _ = partition.append(&ProducerRecord::new().value(vec![b'x'; bytes])).unwrap();
    append(1);
    listener.take();
    let ms = Duration::from_millis;
    for (takes, bytes, part) in [(100, 1, "tail-always"), (101, 1, "tail-always"), (5000, LARGE, "/orders-0/")] {
        with_slow_sync(&disk, part, ms(takes), || append(bytes));
        broker.run_maintenance().unwrap();
        let told = listener.take_all("slow_sync");
        let paths: Vec<_> = told.iter().map(|told| told.field("path")).collect();
        let expected = match (takes, bytes) {
            (100, _) => vec![],
            (_, 1) => vec!["/data/tail-always"],
            _ => vec!["/data/orders-0/00000000000000000000.log"],
        };
        assert_eq!(paths, expected);
        for told in told {
            told.is("slow_sync", Level::WARN, [("duration_ms", takes.to_string().as_str())]);
        }
    }
}

#[test]
fn damage_is_met_once_however_often_it_is_read() {
    let disk = new_disk();
    let broker = open(&disk);
    append_large(&create(&broker, small_segments()), 3);
    broker.close().unwrap();
    assert!(disk.flip_bit("/data/orders-0/00000000000000000001.log", 500, 3));
    let (listener, _guard) = listen();
    for mode in [RecoveryMode::TolerateTail, RecoveryMode::ReadOnly] {
        let broker = builder(&disk).recovery_mode(mode).open().unwrap();
        let mut consumer = broker.consumer_with(ottla::ConsumerConfig::new("billing")).unwrap();
        consumer.assign(&[orders()]).unwrap();
        assert_eq!(consumer.poll(Duration::ZERO).unwrap().len(), 1);
        listener.take();
        let damage = match consumer.poll(Duration::ZERO) {
            Err(Error::Corrupt(damage)) => damage,
            other => panic!("{other:?}"),
        };
        let told = listener.take_one("damage_met");
        let fields = [("partition", "orders-0"), ("first_offset", "1"), ("end_offset", "2"), ("reason", damage.reason)];
        told.is("damage_met", Level::WARN, fields);
        let partition = broker.topic("orders").unwrap().partition(0).unwrap();
        for _ in 0..10 {
            assert!(consumer.poll(Duration::ZERO).is_err());
            assert!(partition.read(1, 1).is_err());
        }
        assert_eq!(listener.take(), [], "{mode}");
        consumer.skip_corrupt(&damage).unwrap();
        assert_eq!(consumer.poll(Duration::ZERO).unwrap().len(), 1);
        drop((consumer, partition));
        broker.close().unwrap();
        let fields = [("group", "billing"), ("first_offset", "1"), ("end_offset", "2")];
        listener.take_one("damage_skipped").is("damage_skipped", Level::WARN, fields);
    }
}

#[test]
fn damage_is_told_by_a_read_of_a_partition_too() {
    let disk = new_disk();
    let broker = open(&disk);
    let partition = create(&broker, small_segments());
    append_large(&partition, 2);
    broker.run_maintenance().unwrap();
    drop(partition);
    broker.close().unwrap();
    assert!(disk.flip_bit("/data/orders-0/00000000000000000000.log", 500, 3));
    let broker = open(&disk);
    let (listener, _guard) = listen();
    let partition = broker.topic("orders").unwrap().partition(0).unwrap();
    assert!(partition.get(0).is_err());
    broker.run_maintenance().unwrap();
    assert_eq!(names(&listener.take()), ["damage_met"]);
    assert!(partition.iter_from(0).next().unwrap().is_err());
    broker.run_maintenance().unwrap();
    assert_eq!(listener.take(), []);
}

/// Known failure 9.2: of an index that is wrong the first read tells that meets it.
#[test]
fn k9_02_the_first_read_tells_of_an_index_that_is_no_evidence() {
    let disk = new_disk();
    let broker = open(&disk);
    append_large(&create(&broker, small_segments().index_interval_bytes(0)), 3);
    broker.close().unwrap();
    let index = "/data/orders-0/00000000000000000000.timeindex";
    let zeros = vec![0; disk.read(index).unwrap().len()];
    assert!(!zeros.is_empty());
    disk.put(index, &zeros);
    let (listener, _guard) = listen();
    let broker = open(&disk);
    assert_eq!(names(&listener.take()), ["broker_opened"], "nobody has looked at it");
    let partition = broker.topic("orders").unwrap().partition(0).unwrap();
    for _ in 0..2 {
        partition.get(0).unwrap();
        partition.get(1).unwrap();
    }
    broker.run_maintenance().unwrap();
    let told = listener.take();
    assert_eq!(names(&told), ["indexes_rebuilt"]);
    let fields = [("partition", "orders-0"), ("path", "/data/orders-0/00000000000000000000.log")];
    told[0].is("indexes_rebuilt", Level::INFO, fields);
}

fn compacted() -> TopicConfig {
    small_segments().cleanup_policy(CleanupPolicy::Compact)
}

#[test]
fn what_compaction_did() {
    let (listener, _guard) = listen();
    let broker = open(&new_disk());
    let partition = create(&broker, compacted());
    append_large(&partition, 4);
    broker.run_maintenance().unwrap();
    let told = listener.take_one("compacted");
    assert_eq!(told.target, "ottla::compaction");
    let fields = [("partition", "orders-0"), ("passes", "1"), ("records_removed", "2"), ("tombstones_removed", "0")];
    told.is("compacted", Level::DEBUG, fields);
    assert_eq!(told.field("end_offset"), "3");
    append_large(&partition, 1);
    broker.admin().compact("orders").unwrap();
    listener.take_one("compacted").is("compacted", Level::DEBUG, [("records_removed", "1"), ("end_offset", "4")]);
    broker.run_maintenance().unwrap();
    assert_eq!(listener.take(), [], "there is nothing to do");
}

#[test]
fn compaction_that_fails_says_so_once_for_each_reason() {
    let (listener, _guard) = listen();
    let disk = new_disk();
    let broker = open(&disk);
    let partition = create(&broker, compacted().min_compaction_lag_ms(MINUTE));
    append_large(&partition, 2);
    broker.run_maintenance().unwrap();
    assert!(disk.flip_bit("/data/orders-0/00000000000000000000.log", 500, 3));
    listener.take();
    let mut told = Vec::new();
    for _ in 0..3 {
        append_large(&partition, 2);
        disk.advance(MINUTE);
        assert!(matches!(broker.run_maintenance(), Err(Error::Corrupt(_))));
        broker.run_maintenance().unwrap();
        told.extend(listener.take_all("compaction_failed"));
    }
    assert_eq!(names(&told), ["compaction_failed"]);
    told[0].is("compaction_failed", Level::WARN, [("partition", "orders-0")]);
    assert!(told[0].field("reason").contains("00000000000000000000.log"), "{told:?}");
}

#[test]
fn maintenance_that_fails_says_so_once_and_when_it_works_again() {
    let (listener, _guard) = listen();
    let disk = new_disk();
    let broker = open(&disk);
    append_large(&create(&broker, small_segments()), 3);
    listener.take();
    disk.fail(FaultRule::new(FaultKind::TooManyOpenFiles).on(Operation::Open).path_containing("orders-0").forever());
    let mut told = Vec::new();
    for _ in 0..3 {
        broker.run_maintenance().unwrap_err();
        told.extend(listener.take_all("maintenance_failed"));
    }
    assert_eq!(names(&told), ["maintenance_failed"]);
    told[0].is("maintenance_failed", Level::WARN, [("work", "checkpoints")]);
    disk.clear_faults();
    for _ in 0..2 {
        broker.run_maintenance().unwrap();
    }
    let told = listener.take();
    assert_eq!(names(&told), ["maintenance_recovered"]);
    told[0].is("maintenance_recovered", Level::INFO, [("work", "checkpoints")]);
}
