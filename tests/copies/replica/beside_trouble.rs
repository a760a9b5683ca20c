//! A replica that a broker keeps itself, where two things happen at once, or something is amiss on one of the disks.
//!
//! `OTTLA_REPLICA_FAULTS_STEP` (7) says how many calls of the second disk lie between two that fail.

use std::time::{Duration, Instant};

use ottla::testing::{FaultKind, FaultRule, Operation, SimulatedDisk};
use ottla::{Broker, Durability, Error, Replica, ReplicaPolicy, TopicConfig, TopicPartition};

use super::world::World;
use super::{SECOND, on};
use crate::choices::from_environment;
use crate::directories::{DATA, builder, compacted, contents, open, partition, send, small_segments};

impl World {
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
        broker.create_topic("clicks", os()).unwrap();
        broker.create_topic("payments", small_segments()).unwrap();
        send(&broker, "clicks", 0..30);
        for operation in [Operation::Read, Operation::Map, Operation::Open] {
            let rule = FaultRule::new(FaultKind::InputOutput).on(operation).path_containing("/data/clicks-0").forever();
            world.disk.fail(rule);
        }
        let failed = broker.flush();
        assert!(matches!(failed, Err(Error::Io { .. })) && 0 < world.disk.faults_injected(), "{failed:?}");
        assert!(broker.admin().health().replica.is_none(), "{}", broker.admin().health());
        broker.topic("payments").unwrap().produce("key", "goes on").unwrap();
        world.disk.clear_faults();
        broker.flush().unwrap();
        assert_eq!(contents(&world.promoted()), contents(&broker));
    }
}

fn has_journal(second: &SimulatedDisk) -> bool {
    second.files().iter().any(|(path, _)| path.to_string_lossy().contains("mirror-"))
}

#[test]
fn a_journal_that_does_not_count_any_more_goes_also_after_a_crash() {
    let world = World::new();
    let broker = world.open();
    broker.create_topic("gone", small_segments()).unwrap();
    send(&broker, "gone", 0..3);
    let second = world.second.crash_after(0);
    let alone = open(&world.disk.crash_after(0), DATA);
    alone.admin().delete_topic("gone").unwrap();
    let catch_up = |second: &SimulatedDisk| {
        Replica::open_with(&alone, SECOND, on(second)).and_then(|mut replica| replica.catch_up()).is_ok()
    };
    let promote = |second: &SimulatedDisk| Replica::promote_without_source(SECOND, on(second)).is_ok();
    let acts: [&dyn Fn(&SimulatedDisk) -> bool; 2] = [&catch_up, &promote];
    for act in acts {
        let calls = {
            let trial = second.kill(0);
            assert!(act(&trial) && !has_journal(&trial));
            trial.calls()
        };
        for call in 0..=calls {
            let stopped = second.kill(0);
            stopped.stop_after(call);
            _ = act(&stopped);
            let left = stopped.crash_after(u64::MAX);
            // A promotion that came to its end is not done again.
            let is_done = act(&left) || open(&left, SECOND).close().is_ok();
            assert!(is_done && !has_journal(&left), "call {call}");
        }
    }
}

/// What a broker does for the trial of faults; whether each send was acknowledged.
fn act(broker: &Broker, acknowledged: &mut Vec<(String, u64, String)>) {
    let mut produce = |topic: &str, value: String| {
        let sent = broker.topic(topic).and_then(|topic| topic.produce("key", &value).map(|sent| sent.offset()));
        if let Ok(offset) = sent {
            acknowledged.push((topic.to_owned(), offset, value));
        }
    };
    for round in 0..4 {
        produce("orders", format!("small {round}"));
        produce("orders", format!("{round:<6000}"));
        produce("orders", format!("{round} {}", "large".repeat(20_000)));
        _ = broker.create_topic("again", small_segments());
        produce("again", format!("again {round}"));
        _ = broker.topic("clicks").and_then(|topic| topic.produce("key", format!("click {round}")).map(drop));
        _ = broker.flush();
        if let Ok(mut producer) = broker.transactional_producer("payments") {
            _ = producer.begin().and_then(|transaction| {
                transaction.send(ottla::ProducerRecord::to("payments").value("paid"))?;
                transaction.commit()
            });
        }
        if let Ok(mut consumer) = broker.consumer("billing", ["orders"]) {
            _ = consumer.poll(Duration::ZERO).map(drop);
            _ = consumer.commit();
        }
        _ = broker.admin().alter_topic("orders", |config| config.segment_bytes(3000 + round));
        _ = broker.run_maintenance();
    }
}

#[test]
fn after_any_fault_of_the_second_disk_it_has_all_that_is_acknowledged() {
    let prepared = || {
        let world = World::new();
        let broker = world.open();
        broker.create_topic("orders", small_segments()).unwrap();
        broker.create_topic("payments", small_segments()).unwrap();
        broker.create_topic("clicks", os()).unwrap();
        broker.close().unwrap();
        world
    };
    let calls = {
        let world = prepared();
        let before = world.second.calls();
        act(&world.open(), &mut Vec::new());
        world.second.calls() - before
    };
    let step = usize::try_from(from_environment("OTTLA_REPLICA_FAULTS_STEP", 7)).unwrap();
    let mut failed = 0;
    for (nth, policy) in
        (0..calls).step_by(step).zip([ReplicaPolicy::StopSends, ReplicaPolicy::DropReplica].iter().cycle())
    {
        for is_lasting in [false, true] {
            let what = format!("call {nth} of {calls}, {policy:?}, {is_lasting}");
            let world = prepared();
            let rule = FaultRule::new(FaultKind::InputOutput).path_containing(SECOND).nth(nth + 1);
            world.second.fail(if is_lasting { rule.forever() } else { rule });
            let options = on(&world.second).policy(*policy);
            let opened = builder(&world.disk, DATA).durability(Durability::Always).replica_with(SECOND, options).open();
            let mut acknowledged = Vec::new();
            if let Ok(broker) = &opened {
                act(broker, &mut acknowledged);
            }
            let has_failed = opened.as_ref().map_or(true, |broker| broker.admin().health().replica.is_some());
            failed += usize::from(has_failed);
            world.second.clear_faults();
            let is_there = |broker: &Broker| {
                for (topic, offset, value) in &acknowledged {
                    let found = partition(broker, topic)
                        .read(*offset, 1 << 20)
                        .unwrap_or_else(|error| panic!("{what}: {error}"));
                    let found = found.iter().next().map(|record| record.value_str().unwrap().to_owned());
                    assert_eq!(found.as_deref(), Some(value.as_str()), "{what}: {topic} {offset}");
                }
            };
            if *policy == ReplicaPolicy::StopSends {
                is_there(&world.promoted());
            }
            let broker = match opened {
                Ok(broker) if *policy == ReplicaPolicy::StopSends => broker,
                opened => {
                    drop(opened);
                    world.open()
                }
            };
            broker.run_maintenance().unwrap_or_else(|error| panic!("{what}: {error}"));
            let offset = broker.topic("orders").unwrap().produce("key", "last").unwrap().offset();
            broker.run_maintenance().unwrap();
            let health = broker.admin().health();
            assert!(health.is_healthy(), "{what}: {health}");
            is_there(&broker);
            let survivor = world.promoted();
            is_there(&survivor);
            assert_eq!(end(&survivor, "orders"), offset + 1, "{what}");
        }
    }
    assert!(10 < failed, "{failed}");
}

#[test]
fn a_journal_that_was_made_by_an_enemy_is_a_typed_error() {
    let world = World::new();
    let broker = world.open();
    broker.create_topic("orders", small_segments()).unwrap();
    broker.topic("orders").unwrap().produce("key", "small").unwrap();
    broker.topic("orders").unwrap().produce("key", "small too").unwrap();
    let second = world.second.crash_after(0);
    let path = std::path::Path::new(SECOND).join("mirror-0");
    let journal = second.read(&path).unwrap();
    let (mut begin, mut looked_at, mut refused) = (0, 0, 0);
    let length = |at: usize| u32::from_be_bytes(journal[at + 8..at + 12].try_into().unwrap()) as usize;
    while journal.get(begin..begin + 16).is_some_and(|header| header.iter().any(|byte| *byte != 0)) {
        let bytes = length(begin);
        for position in begin + 16..begin + 16 + bytes {
            for change in [|byte: u8| byte ^ 1, |_| 0xff, |byte| byte ^ 0x80, |_| 0x7f] {
                let mut changed = journal.clone();
                changed[position] = change(changed[position]);
                let mut hasher = crc32fast::Hasher::new();
                hasher.update(&changed[begin..begin + 12]);
                hasher.update(&changed[begin + 16..begin + 16 + bytes]);
                changed[begin + 12..begin + 16].copy_from_slice(&hasher.finalize().to_be_bytes());
                let left = second.kill(0);
                left.put(&path, &changed);
                looked_at += 1;
                match Replica::promote_without_source(SECOND, on(&left)) {
                    Ok(_) => drop(open(&left, SECOND)),
                    Err(_) => refused += 1,
                }
                let left = second.kill(0);
                left.put(&path, &changed);
                let first = world.disk.kill(0);
                _ = builder(&first, DATA).replica_with(SECOND, on(&left)).open().map(drop);
            }
        }
        begin += 16 + bytes;
    }
    assert!(300 < refused && refused < looked_at, "{refused} of {looked_at}");
}

#[test]
fn what_the_first_disk_has_failed_to_sync_is_not_taken_for_acknowledged() {
    let world = World::new();
    let broker = world.open();
    broker.create_topic("orders", small_segments()).unwrap();
    broker.create_topic("clicks", os()).unwrap();
    let send_order = |broker: &Broker| broker.topic("orders").unwrap().produce("key", "value").map(drop);
    send_order(&broker).unwrap();
    world.disk.fail(FaultRule::new(FaultKind::InputOutput).on(Operation::Sync).path_containing("tail-always"));
    let failed = send_order(&broker);
    assert!(matches!(failed, Err(Error::InDoubt { .. })), "{failed:?}");
    // Another block behind the one that nobody has acknowledged.
    send(&broker, "clicks", 0..3);
    _ = broker.flush();
    let left = world.cut();
    let again = left.open();
    assert_eq!((end(&again, "orders"), end(&again, "clicks")), (1, 3));
    send_order(&again).unwrap();
    assert_eq!(contents(&left.promoted()), contents(&again));
}

#[test]
fn a_second_directory_that_somebody_has_removed_is_a_replica_that_has_failed() {
    let world = World::new();
    let broker = world.open();
    broker.create_topic("orders", small_segments()).unwrap();
    send(&broker, "orders", 0..3);
    for (path, _) in world.second.files() {
        world.second.delete(path);
    }
    send(&broker, "orders", 3..4);
    broker.run_maintenance().unwrap_err();
    let refused = broker.topic("orders").unwrap().produce("key", "value").map(drop);
    assert!(matches!(refused, Err(Error::ReplicaFailed { .. })), "{refused:?}");
}
