//! A replica that a broker keeps itself, where two things happen at once, or something is amiss on one of the disks.

use std::time::{Duration, Instant};

use ottla::testing::{FaultKind, FaultRule, Operation, SimulatedDisk};
use ottla::{Broker, Durability, Error, Replica, ReplicaPolicy, TopicConfig, TopicPartition};

use super::{SECOND, on};
use crate::directories::{DATA, builder, compacted, contents, open, partition, send, small_segments};

struct World {
    disk: SimulatedDisk,
    second: SimulatedDisk,
}

impl World {
    fn new() -> World {
        World { disk: SimulatedDisk::new(1), second: SimulatedDisk::new(2) }
    }

    fn open(&self) -> Broker {
        builder(&self.disk, DATA).durability(Durability::Always).replica_with(SECOND, on(&self.second)).open().unwrap()
    }

    /// Has the journal fail, and with it the replica; the disk is well again when this returns.
    fn fail_replica(&self, broker: &Broker) {
        let rule = FaultRule::new(FaultKind::InputOutput).on(Operation::Write).path_containing("mirror-").forever();
        self.second.fail(rule);
        let failed = broker.topic("orders").unwrap().produce("key", "not acknowledged").map(drop);
        assert!(matches!(failed, Err(Error::NotDurable { .. })), "{failed:?}");
        self.second.clear_faults();
    }

    /// Returns once a sync hangs, or nobody comes to one.
    fn wait_for_hanging(disk: &SimulatedDisk) {
        let begun = Instant::now();
        while disk.hanging_syncs() == 0 && begun.elapsed() < Duration::from_secs(5) {
            std::thread::yield_now();
        }
    }

    /// What is left of the second disk, once promoted.
    fn promoted(&self) -> Broker {
        let left = self.second.crash_after(0);
        Replica::promote_without_source(SECOND, on(&left)).unwrap();
        open(&left, SECOND)
    }
}

fn os() -> TopicConfig {
    small_segments().durability(Durability::Os)
}

fn end(broker: &Broker, topic: &str) -> u64 {
    partition(broker, topic).log_end_offset()
}

#[test]
fn a_round_that_began_before_the_replica_had_caught_up_acknowledges_nothing() {
    let world = World::new();
    let broker = world.open();
    broker.create_topic("orders", small_segments()).unwrap();
    broker.create_topic("clicks", os()).unwrap();
    world.fail_replica(&broker);
    std::thread::scope(|scope| {
        world.second.hold_syncs("/second/replica");
        let catching_up = scope.spawn(|| broker.run_maintenance());
        World::wait_for_hanging(&world.second);
        // What the replica brings over was looked at before this.
        broker.topic("clicks").unwrap().produce("key", "small").unwrap();
        world.disk.hold_syncs("tail");
        let flushing = scope.spawn(|| broker.flush());
        World::wait_for_hanging(&world.disk);
        world.second.release_syncs();
        catching_up.join().unwrap().unwrap();
        world.disk.release_syncs();
        let flushed = flushing.join().unwrap();
        assert!(flushed.is_err() || end(&world.promoted(), "clicks") == 1, "{flushed:?}");
    });
    broker.flush().unwrap();
    assert_eq!(contents(&world.promoted()), contents(&broker));
}

#[test]
fn what_was_written_down_while_the_replica_was_behind_is_brought_over_later() {
    let world = World::new();
    let broker = world.open();
    broker.create_topic("orders", small_segments()).unwrap();
    broker.create_topic("clicks", os()).unwrap();
    world.fail_replica(&broker);
    std::thread::scope(|scope| {
        world.second.hold_syncs("/second/replica");
        let catching_up = scope.spawn(|| broker.run_maintenance());
        World::wait_for_hanging(&world.second);
        broker.topic("clicks").unwrap().produce("key", "small").unwrap();
        let flushed = broker.flush();
        assert!(matches!(flushed, Err(Error::ReplicaFailed { .. })), "{flushed:?}");
        world.second.release_syncs();
        catching_up.join().unwrap().unwrap();
    });
    broker.flush().unwrap();
    assert!(broker.admin().health().is_healthy(), "{}", broker.admin().health());
    assert_eq!(contents(&world.promoted()), contents(&broker));
}

#[test]
fn what_the_replica_has_caught_up_with_is_not_brought_over_by_a_flush() {
    let world = World::new();
    let broker = world.open();
    broker.create_topic("clicks", os()).unwrap();
    send(&broker, "clicks", 0..30);
    broker.run_maintenance().unwrap();
    broker.admin().delete_records(&[(TopicPartition::new("clicks", 0), 20)]).unwrap();
    send(&broker, "clicks", 30..32);
    broker.flush().unwrap();
    assert!(broker.admin().health().is_healthy(), "{}", broker.admin().health());
    assert_eq!(end(&world.promoted(), "clicks"), 32);
    let journal = |second: &SimulatedDisk| -> u64 {
        let files = second.files().into_iter();
        files.filter(|(path, _)| path.to_string_lossy().contains("mirror-")).map(|(_, bytes)| bytes).sum()
    };
    let before = journal(&world.second);
    for round in 0..60 {
        send(&broker, "clicks", round..round + 8);
        broker.run_maintenance().unwrap();
    }
    broker.flush().unwrap();
    assert_eq!(journal(&world.second), before);
}

#[test]
fn what_is_deleted_before_it_came_to_the_second_disk_is_no_failure() {
    let world = World::new();
    let broker = world.open();
    broker.create_topic("clicks", os()).unwrap();
    send(&broker, "clicks", 0..10);
    broker.run_maintenance().unwrap();
    send(&broker, "clicks", 10..30);
    broker.admin().delete_records(&[(TopicPartition::new("clicks", 0), 20)]).unwrap();
    broker.flush().unwrap();
    assert!(broker.admin().health().is_healthy(), "{}", broker.admin().health());
    send(&broker, "clicks", 30..32);
    broker.flush().unwrap();
    let survivor = world.promoted();
    assert_eq!((end(&survivor, "clicks"), partition(&survivor, "clicks").read(30, 1 << 20).unwrap().len()), (32, 2));
}

#[test]
fn what_is_compacted_before_it_came_to_the_second_disk_is_no_failure() {
    let world = World::new();
    let broker = world.open();
    broker.create_topic("state", compacted().durability(Durability::Os)).unwrap();
    send(&broker, "state", 0..10);
    broker.run_maintenance().unwrap();
    send(&broker, "state", 10..60);
    _ = broker.admin().compact("state").unwrap();
    broker.flush().unwrap();
    assert!(broker.admin().health().is_healthy(), "{}", broker.admin().health());
    send(&broker, "state", 60..62);
    broker.flush().unwrap();
    let survivor = world.promoted();
    assert_eq!((end(&survivor, "state"), partition(&survivor, "state").read(60, 1 << 20).unwrap().len()), (62, 2));
}

#[test]
fn a_first_disk_that_cannot_be_read_is_no_failure_of_the_replica() {
    for policy in [ReplicaPolicy::StopSends, ReplicaPolicy::DropReplica] {
        let world = World::new();
        let options = on(&world.second).policy(policy);
        let broker =
            builder(&world.disk, DATA).durability(Durability::Always).replica_with(SECOND, options).open().unwrap();
        broker.create_topic("orders", small_segments()).unwrap();
        broker.create_topic("payments", small_segments()).unwrap();
        let large = "larger than any slot ".repeat(5000);
        broker.topic("orders").unwrap().produce("key", &large).unwrap();
        for operation in [Operation::Read, Operation::Map, Operation::Open] {
            let rule = FaultRule::new(FaultKind::InputOutput).on(operation).path_containing("/data/orders-0").forever();
            world.disk.fail(rule);
        }
        let failed = broker.topic("orders").unwrap().produce("key", &large).map(drop);
        assert!(matches!(failed, Err(Error::NotDurable { .. } | Error::Io { .. })), "{failed:?}");
        assert!(broker.admin().health().replica.is_none(), "{}", broker.admin().health());
        broker.topic("payments").unwrap().produce("key", "goes on").unwrap();
        world.disk.clear_faults();
        broker.topic("orders").unwrap().produce("key", &large).unwrap();
        assert_eq!(contents(&world.promoted()), contents(&broker));
    }
}
