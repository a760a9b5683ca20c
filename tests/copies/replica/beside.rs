//! A replica that a broker keeps itself: what is acknowledged is on both disks.

use std::time::Duration;

use ottla::testing::{Operation, SimulatedDisk};
use ottla::{
    Broker, Durability, Error, ProducerRecord, PromoteReport, Replica, ReplicaFailureEffect, ReplicaOptions,
    ReplicaPolicy, SendOutcome, TopicConfig, TopicPartition,
};

use super::world::{World, cut};
use super::{SECOND, has_same_segments, on, replica};
use crate::directories::{
    DATA, builder, committed, compacted, contents, fill, open, open_read_only, partition, read_all, send,
    small_segments, transact,
};

/// Promotes what a power cut leaves of a replica, and opens it.
fn promoted(second: &SimulatedDisk) -> (Broker, PromoteReport) {
    let left = cut(second);
    left.limit_capacity(None);
    let report = Replica::promote_without_source(SECOND, on(&left)).unwrap();
    (open(&left, SECOND), report)
}

fn always() -> TopicConfig {
    small_segments().durability(Durability::Always)
}

fn produce(broker: &Broker, value: &str) -> ottla::Result<u64> {
    broker.topic("orders")?.produce("key", value).map(|sent| sent.offset())
}

/// What readers see of the topics that are not compacted: what compaction has removed may still be on the second disk.
fn seen(broker: &Broker) -> Vec<(TopicPartition, Vec<String>, Vec<String>)> {
    let kept = contents(broker).into_iter().filter(|content| content.partition.topic() != "state");
    kept.map(|content| (content.partition, content.committed, content.uncommitted)).collect()
}

fn effect(broker: &Broker) -> Option<ReplicaFailureEffect> {
    broker.admin().health().replica.map(|failure| failure.effect)
}

#[test]
fn what_was_acknowledged_is_on_the_second_disk_whatever_happens_to_the_first() {
    let world = World::new();
    let broker = world.open();
    broker.create_topic("orders", always()).unwrap();
    let mut end = 0;
    for round in 0..120 {
        match round % 4 {
            0 => send(&broker, "orders", round..round + 1),
            1 => _ = produce(&broker, "small").unwrap(),
            2 => _ = produce(&broker, &"larger than any slot ".repeat(5000)).unwrap(),
            _ => {
                let values: Vec<String> = (0..50).map(|number| format!("{round} {number}")).collect();
                let record = |value| ProducerRecord::to("orders").key("key").value(value);
                let records: Vec<ProducerRecord<'_>> = values.iter().map(record).collect();
                partition(&broker, "orders").append_batch(&records).unwrap();
            }
        }
        end = partition(&broker, "orders").log_end_offset();
        if round % 37 == 5 {
            broker.run_maintenance().unwrap();
        }
        if round % 5 == 4 {
            let (survivor, report) = promoted(&world.second);
            assert_eq!(contents(&survivor), contents(&broker), "{report}");
        }
    }
    assert!(1500 < end, "{end}");
    broker.run_maintenance().unwrap();
    has_same_segments(&world.disk, &world.second);
}

#[test]
fn all_that_there_is_of_a_broker_is_on_both_disks() {
    let world = World::new();
    let broker = world.open();
    fill(&broker);
    let mut producer = broker.transactional_producer("payments").unwrap();
    for round in 0..8 {
        transact(&mut producer, round, round % 3 != 1);
        read_all(&broker, "billing", "orders");
        send(&broker, "orders", round..round + 2);
        let (survivor, report) = promoted(&world.second);
        assert_eq!((report.torn_transactions().len(), report.moved_back().count()), (0, 0), "{report}");
        assert_eq!(seen(&survivor), seen(&broker));
        assert_eq!(committed(&survivor, "billing", "orders"), committed(&broker, "billing", "orders"));
    }
}

#[test]
fn topics_that_come_change_and_go_do_so_on_both_disks() {
    let world = World::new();
    let broker = world.open();
    let admin = broker.admin();
    broker.create_topic("orders", always()).unwrap();
    broker.create_topic("gone", always()).unwrap();
    send(&broker, "gone", 0..3);
    broker.run_maintenance().unwrap();
    admin.delete_topic("gone").unwrap();
    broker.create_topic("again", always()).unwrap();
    send(&broker, "again", 0..3);
    admin.delete_topic("again").unwrap();
    broker.create_topic("again", always().partitions(2)).unwrap();
    send(&broker, "again", 7..8);
    admin.add_partitions("orders", 3).unwrap();
    admin.alter_topic("orders", |config| config.segment_bytes(9000)).unwrap();
    let (survivor, _) = promoted(&world.second);
    assert_eq!(survivor.admin().list_topics().unwrap(), ["again", "orders"]);
    assert_eq!(*survivor.admin().describe("orders").unwrap().config(), always().partitions(3).segment_bytes(9000));
    assert_eq!(contents(&survivor), contents(&broker));
}

#[test]
fn what_is_flushed_is_on_both_disks_and_the_rest_comes_later() {
    let world = World::new();
    let broker = world.open();
    broker.create_topic("clicks", small_segments().durability(Durability::Os)).unwrap();
    send(&broker, "clicks", 0..5);
    broker.flush().unwrap();
    send(&broker, "clicks", 5..9);
    let (survivor, _) = promoted(&world.second);
    assert_eq!(partition(&survivor, "clicks").log_end_offset(), 5);
    broker.run_maintenance().unwrap();
    assert_eq!(partition(&promoted(&world.second).0, "clicks").log_end_offset(), 9);
    send(&broker, "clicks", 9..11);
    broker.close().unwrap();
    assert_eq!(partition(&promoted(&world.second).0, "clicks").log_end_offset(), 11, "closing brings the rest");
}

#[test]
fn a_replica_that_fails_stops_sends_until_it_has_caught_up() {
    for operation in [Operation::Write, Operation::Sync] {
        let world = World::new();
        let broker = world.open();
        broker.create_topic("orders", always()).unwrap();
        broker.create_topic("clicks", small_segments().durability(Durability::Os)).unwrap();
        assert_eq!((produce(&broker, "both").unwrap(), effect(&broker)), (0, None));
        world.fail_second(operation);
        let first = produce(&broker, "one").unwrap_err();
        assert!(
            matches!(&first, Error::NotDurable { source, .. } if matches!(**source, Error::ReplicaFailed { .. })),
            "{first:?}"
        );
        assert_eq!(first.outcome(), SendOutcome::Appended);
        let next = produce(&broker, "refused").unwrap_err();
        assert!(matches!(next, Error::ReplicaFailed { .. }) && next.is_retriable(), "{next:?}");
        assert_eq!(next.outcome(), SendOutcome::NotAppended);
        assert_eq!(effect(&broker), Some(ReplicaFailureEffect::SendsStopped));
        assert!(!broker.admin().health().is_healthy());
        // Nobody sees what was not acknowledged; others go on.
        assert_eq!(partition(&broker, "orders").read(0, 1 << 20).unwrap().len(), 1);
        send(&broker, "clicks", 0..3);
        assert!(matches!(broker.run_maintenance(), Err(Error::Io { .. })));
        assert!(matches!(produce(&broker, "refused"), Err(Error::ReplicaFailed { .. })));
        world.second.clear_faults();
        broker.run_maintenance().unwrap();
        assert_eq!((produce(&broker, "two").unwrap(), effect(&broker)), (2, None));
        assert_eq!(contents(&promoted(&world.second).0), contents(&broker));
    }
}

#[test]
fn a_full_second_disk_is_over_with_room() {
    let world = World::new();
    let broker = world.open();
    broker.create_topic("orders", always()).unwrap();
    send(&broker, "orders", 0..3);
    world.second.limit_capacity(Some(world.second.used_bytes()));
    let (mut sent, mut refused) = (3, None);
    for number in 3..200 {
        match produce(&broker, &format!("{number:<6000}")) {
            Ok(_) => sent += 1,
            Err(error) => {
                refused = Some(error);
                break;
            }
        }
    }
    let text = refused.expect("the disk is full").with_causes().to_string();
    assert!(text.contains("the disk is full"), "{text}");
    assert!(sent <= partition(&promoted(&world.second).0, "orders").log_end_offset());
    world.second.limit_capacity(None);
    broker.run_maintenance().unwrap();
    send(&broker, "orders", 200..203);
    assert_eq!(contents(&promoted(&world.second).0), contents(&broker));
}

#[test]
fn a_replica_may_be_given_up_and_comes_back_when_the_broker_is_opened_again() {
    let world = World::new();
    let options = || world.options().policy(ReplicaPolicy::DropReplica);
    let broker = world.open_with(options()).unwrap();
    broker.create_topic("orders", always()).unwrap();
    assert_eq!(produce(&broker, "both").unwrap(), 0);
    world.fail_second(Operation::Write);
    assert_eq!(produce(&broker, "one disk").unwrap(), 1);
    assert_eq!(effect(&broker), Some(ReplicaFailureEffect::Dropped));
    let health = broker.admin().health();
    assert!(!health.is_healthy() && health.to_string().contains("was given up"), "{health}");
    broker.run_maintenance().unwrap();
    world.second.clear_faults();
    broker.run_maintenance().unwrap();
    assert_eq!(produce(&broker, "one disk").unwrap(), 2);
    assert_eq!(effect(&broker), Some(ReplicaFailureEffect::Dropped), "it is known for behind");
    broker.close().unwrap();
    let broker = world.open_with(options()).unwrap();
    assert_eq!((produce(&broker, "both").unwrap(), effect(&broker)), (3, None));
    assert_eq!(contents(&promoted(&world.second).0), contents(&broker));
    broker.close().unwrap();
    // Its disk is away altogether.
    for operation in [Operation::Open, Operation::CreateDir, Operation::List] {
        world.fail_second(operation);
    }
    let broker = world.open_with(options()).unwrap();
    assert_eq!((produce(&broker, "one disk").unwrap(), effect(&broker)), (4, Some(ReplicaFailureEffect::Dropped)));
    broker.close().unwrap();
    let refused = world.open_with(world.options()).map(drop);
    assert!(matches!(refused, Err(Error::Io { .. })), "{refused:?}");
}

#[test]
fn a_source_that_has_lost_what_was_acknowledged_is_not_followed() {
    let world = World::new();
    let broker = world.open();
    broker.create_topic("orders", always()).unwrap();
    produce(&broker, "known").unwrap();
    broker.run_maintenance().unwrap();
    let earlier = cut(&world.disk);
    for _ in 0..5 {
        produce(&broker, "acknowledged").unwrap();
    }
    let left = World { disk: earlier, second: cut(&world.second) };
    let diverged = left.open_with(left.options()).map(drop);
    let Err(Error::ReplicaDiverged { partition: Some(found), offset, .. }) = diverged else { panic!("{diverged:?}") };
    // Of the last one it cannot be told.
    assert_eq!((found, offset), (TopicPartition::new("orders", 0), Some(1)));
    let alone = open(&left.disk, DATA);
    let refused = Replica::open_with(&alone, SECOND, on(&left.second)).and_then(|mut replica| replica.catch_up());
    assert!(matches!(refused, Err(Error::ReplicaDiverged { .. })), "{refused:?}");
    assert_eq!(partition(&promoted(&left.second).0, "orders").log_end_offset(), 6);
}

#[test]
fn both_go_on_after_a_power_cut_and_without_each_other() {
    let mut world = World::new();
    for round in 0..4 {
        let broker = world.open();
        send(&broker, "orders", round..round + 3);
        assert_eq!(partition(&broker, "orders").log_end_offset(), 5 * round + 3);
        world = world.cut();
        // Without the replica.
        let alone = open(&world.disk, DATA);
        send(&alone, "orders", 0..1);
        alone.close().unwrap();
        // A replica that nobody keeps does not need the journal.
        let alone = open(&world.disk, DATA);
        if round % 2 == 0 {
            replica(&alone, &world.second).catch_up().unwrap();
            assert!(!world.second.files().iter().any(|(path, _)| path.to_string_lossy().contains("mirror-")));
        }
        send(&alone, "orders", 0..1);
        alone.close().unwrap();
    }
    let broker = world.open();
    assert_eq!(contents(&promoted(&world.second).0), contents(&broker));
}

#[test]
fn a_replica_that_is_kept_can_be_read_and_is_nobody_elses() {
    let world = World::new();
    let broker = world.open();
    broker.create_topic("state", compacted()).unwrap();
    send(&broker, "state", 0..30);
    broker.run_maintenance().unwrap();
    assert_eq!(contents(&open_read_only(&world.second, SECOND)), contents(&broker));
    let second = Replica::open_with(&broker, SECOND, world.options()).map(drop);
    assert!(matches!(second, Err(Error::AlreadyOpen { .. })), "{second:?}");
    let written = builder(&world.second, SECOND).open().map(drop);
    assert!(matches!(written, Err(Error::AlreadyOpen { .. })), "{written:?}");
    let written = builder(&world.second.kill(1), SECOND).open().map(drop);
    assert!(matches!(written, Err(Error::IsReplica { .. })), "{written:?}");
    // Handles do not keep it open once the broker is closed.
    let topic = broker.topic("state").unwrap();
    broker.close().unwrap();
    Replica::promote_without_source(SECOND, world.options()).unwrap();
    assert!(matches!(topic.produce("k", "v"), Err(Error::Closed { .. })));
    let refused = world.open_with(world.options()).map(drop);
    assert!(matches!(refused, Err(Error::NotAReplica { .. })), "{refused:?}");
}

#[test]
fn what_cannot_be_is_refused() {
    let world = World::new();
    open(&world.disk, DATA).close().unwrap();
    let read_only = builder(&world.disk, DATA).recovery_mode(ottla::RecoveryMode::ReadOnly);
    let refused = read_only.replica_with(SECOND, world.options()).open().map(drop);
    assert!(matches!(refused, Err(Error::ReadOnly { .. })), "{refused:?}");
    for inside in [DATA, "/data/second"] {
        let refused = builder(&world.disk, DATA).replica_with(inside, on(&world.disk)).open().map(drop);
        let is_refused = matches!(
            refused,
            Err(Error::InsideDataDirectory { .. } | Error::NotAReplica { .. } | Error::AlreadyOpen { .. })
        );
        assert!(is_refused, "{inside}: {refused:?}");
    }
    // Nothing is left behind that would keep the broker from being opened.
    open(&world.disk, DATA).close().unwrap();
    assert!(builder(&world.disk, DATA).replica_with(SECOND, world.options()).preview_recovery().unwrap().is_clean());
    assert!(world.second.files().is_empty());
}

#[test]
fn threads_send_to_both_disks_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let (first, second) = (dir.path().join("first"), dir.path().join("second"));
    let options = || ReplicaOptions::new().interval(Duration::from_millis(5));
    let broker = Broker::builder(&first).replica_with(&second, options()).open().unwrap();
    broker.create_topic("orders", always().partitions(4)).unwrap();
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let producer = broker.producer();
            scope.spawn(move || {
                for number in 0..200 {
                    let value = format!("{thread} {number}");
                    producer.send(ProducerRecord::to("orders").value(&value).partition(number % 4)).unwrap();
                }
            });
        }
    });
    let before = contents(&broker);
    assert_eq!(before.iter().map(|content| content.committed.len()).sum::<usize>(), 800);
    broker.close().unwrap();
    std::fs::remove_dir_all(&first).unwrap();
    Replica::promote_without_source(&second, ReplicaOptions::new()).unwrap();
    assert_eq!(contents(&Broker::open(&second).unwrap()), before);
}
