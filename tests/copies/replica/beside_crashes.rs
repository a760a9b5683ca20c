//! Crashes of the second disk of a broker that keeps a replica itself.
//!
//! The failure that this is about: a send was acknowledged, the first disk is lost, and what is left of the second one lacks the record, has
//! half of a transaction, or cannot be promoted; or, where both disks are there, the broker does not find its way back to its replica.
//!
//! While the broker does this and that, what would be left at each call is kept of the second disk. Of these images crashes are made, by all
//! models, and killed processes. What is left is promoted, and has to have all that was acknowledged before, and nothing that never was sent.
//! Then the broker goes on with it, which may have crashed as well, and has the same segments there.
//!
//! `OTTLA_REPLICA_STATES` (600) says how many states are looked at, `OTTLA_REPLICA_SEED` (1) what happens.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use ottla::testing::{FaultKind, FaultRule, Operation, SimulatedDisk};
use ottla::{Broker, Compression, Durability, Isolation, Partition, Replica, TopicConfig, TopicPartition};

use super::crashes::{Source, left_of, look_at_workloads};
use super::{SECOND, has_same_segments, on};
use crate::directories::{DATA, builder, committed, records};

/// Values by offset, of one isolation.
type Values = BTreeMap<u64, String>;

/// What there is in a partition: where it begins, and what readers see.
#[derive(Debug, Clone, Default)]
struct Log {
    start: u64,
    committed: Values,
    uncommitted: Values,
}

type Logs = BTreeMap<TopicPartition, Log>;

fn values(broker: &Broker, partition: &TopicPartition, isolation: Isolation) -> Values {
    records(broker, partition, isolation).into_iter().collect()
}

/// What there is in the users' topics that nothing is removed from by compaction.
fn logs(broker: &Broker) -> Logs {
    let names = broker.admin().list_topics().unwrap();
    let names = names.iter().filter(|name| !name.starts_with("__") && *name != "state");
    let partitions = names.flat_map(|name| broker.existing_topic(name).unwrap().partitions().collect::<Vec<_>>());
    let log = |partition: Partition| Log {
        start: partition.log_start_offset(),
        committed: values(broker, partition.topic_partition(), Isolation::ReadCommitted),
        uncommitted: values(broker, partition.topic_partition(), Isolation::ReadUncommitted),
    };
    partitions.map(|partition| (partition.topic_partition().clone(), log(partition))).collect()
}

fn open_beside(disk: &SimulatedDisk, second: &SimulatedDisk) -> ottla::Result<Broker> {
    builder(disk, DATA).durability(Durability::Always).replica_with(SECOND, on(second)).open()
}

/// What is known of a broker between two of its acts.
struct Known {
    logs: Logs,
    billing: Option<u64>,
}

impl Known {
    fn of(broker: &Broker) -> Known {
        let has_group = broker.admin().list_groups().unwrap().iter().any(|group| group == "billing");
        Known { logs: logs(broker), billing: has_group.then(|| committed(broker, "billing", "orders")).flatten() }
    }
}

/// Promotes what is left of a replica, in which there is to be what was acknowledged, and what has come until `after` perhaps.
fn has_acknowledged(left: &SimulatedDisk, before: &Known, after: &Known, ever: &Logs, what: &str) {
    let report = Replica::promote_without_source(SECOND, on(left)).unwrap_or_else(|error| panic!("{what}: {error}"));
    let promoted = builder(left, SECOND).open().unwrap();
    let found = logs(&promoted);
    let nothing = Log::default();
    for (partition, known) in &before.logs {
        // What is deleted next may be gone by then.
        let Some(kept) = after.logs.get(partition) else { continue };
        let found = found.get(partition).unwrap_or(&nothing);
        for (known, found) in [(&known.committed, &found.committed), (&known.uncommitted, &found.uncommitted)] {
            let missing = known.range(kept.start..).find(|(offset, value)| found.get(offset) != Some(value));
            assert!(missing.is_none(), "{what}: {partition} lacks {missing:?}: {report}");
        }
    }
    for (partition, found) in &found {
        let ever = ever.get(partition).unwrap_or(&nothing);
        for (ever, found) in [(&ever.committed, &found.committed), (&ever.uncommitted, &found.uncommitted)] {
            let unknown = found.iter().find(|(offset, value)| ever.get(offset) != Some(value));
            assert!(unknown.is_none(), "{what}: {partition} has {unknown:?}: {report}");
        }
    }
    is_whole(&found, what);
    let has_orders = after.logs.contains_key(&TopicPartition::new("orders", 0));
    if let Some(acknowledged) = before.billing.filter(|_| has_orders) {
        let groups = promoted.admin().list_groups().unwrap();
        assert!(
            groups.iter().any(|group| group == "billing"),
            "{what}: {groups:?} {acknowledged} {:?} {:?}: {report}",
            promoted.admin().list_topics(),
            after.logs.keys()
        );
        let found = committed(&promoted, "billing", "orders");
        assert!(found.is_some_and(|found| acknowledged <= found), "{what}: {found:?} of {acknowledged}");
    }
    assert!(promoted.admin().health().open_transactions.is_empty(), "{what}");
}

/// That of a transaction across two topics there is all, or nothing.
fn is_whole(found: &Logs, what: &str) {
    let both = |topic: &str| -> BTreeSet<&String> {
        let of_topic = found.iter().filter(|(partition, _)| partition.topic() == topic);
        of_topic.flat_map(|(_, log)| log.committed.values().filter(|value| value.starts_with("both"))).collect()
    };
    // Orders may be deleted at the front.
    let (payments, orders) = (both("payments"), both("orders"));
    assert!(orders.is_subset(&payments), "{what}: {orders:?} of {payments:?}");
}

fn note(ever: &mut Logs, known: &Known) {
    for (partition, log) in &known.logs {
        let ever = ever.entry(partition.clone()).or_default();
        ever.committed.extend(log.committed.clone());
        ever.uncommitted.extend(log.uncommitted.clone());
    }
}

/// That the broker goes on with its replica, and has the same segments there.
fn goes_on(disk: &SimulatedDisk, second: &SimulatedDisk, known: &Known, what: &str) {
    let broker = open_beside(disk, second).unwrap_or_else(|error| panic!("{what}: {error}"));
    let found = logs(&broker);
    for (partition, known) in &known.logs {
        let found = found.get(partition).unwrap_or_else(|| panic!("{what}: {partition} is gone"));
        assert!(known.uncommitted.iter().all(|(at, value)| found.uncommitted.get(at) == Some(value)), "{what}");
    }
    broker.topic("orders").unwrap().produce("last", "last").unwrap();
    broker.run_maintenance().unwrap();
    has_same_segments(disk, second);
}

/// Does what a broker seldom does, or what its second disk does not like.
fn disturb(source: &mut Source, second: &SimulatedDisk, round: u64) {
    let broker = &source.broker;
    let failing = |operation: Operation, path: &str| {
        second.fail(FaultRule::new(FaultKind::InputOutput).on(operation).path_containing(path).forever());
    };
    match source.choices.below(8) {
        0 => {
            let durabilities = [Durability::Os, Durability::Interval(Duration::from_secs(1)), Durability::Always];
            let durability = durabilities.into_iter().cycle().nth(usize::try_from(round % 3).unwrap()).unwrap();
            broker.admin().alter_topic("payments", |config| config.durability(durability)).unwrap();
        }
        1 => _ = broker.topic("orders").unwrap().produce("key", format!("{round} {}", "large".repeat(20_000))).unwrap(),
        2 => {
            let packed = TopicConfig::new().compression(Compression::Snappy).segment_bytes(2000);
            let topic = broker.topic_with("packed", packed).unwrap();
            (0..3).for_each(|number| {
                _ = topic.produce("key", format!("{round} {number} {}", "packed".repeat(50))).unwrap();
            });
        }
        3 => {
            // The replica cannot catch up, and the journal goes on.
            failing(Operation::Rename, "/second/replica");
            _ = broker.run_maintenance();
            second.clear_faults();
        }
        4 => {
            // The journal fails, and the replica has to catch up.
            failing(if round.is_multiple_of(2) { Operation::Write } else { Operation::Sync }, "mirror-");
            _ = broker.topic("orders").unwrap().produce("key", format!("{round} not acknowledged"));
            second.clear_faults();
            broker.run_maintenance().unwrap();
        }
        _ => {}
    }
}

/// Looks at states of one workload, `states` at most; returns how many.
fn look_at(seed: u64, states: u64) -> u64 {
    let (disk, second) = (SimulatedDisk::new(seed), SimulatedDisk::new(seed + 1));
    if seed.is_multiple_of(2) {
        // The tails are written by calls.
        disk.copy_on_write();
    }
    let broker = open_beside(&disk, &second).unwrap();
    let mut source = Source::of(disk, broker, seed);
    let (mut looked_at, mut ever) = (0, Logs::new());
    let mut before = Known::of(&source.broker);
    for round in 0..60 {
        second.record_stops();
        source.act();
        disturb(&mut source, &second, round);
        // Also what is not synced by itself is acknowledged then.
        source.broker.flush().unwrap();
        let images = second.take_stops();
        let after = Known::of(&source.broker);
        note(&mut ever, &after);
        let skipped = usize::try_from(1 + source.choices.below(4)).unwrap();
        for (call, image) in images.iter().step_by(skipped) {
            let what = format!("OTTLA_REPLICA_SEED={seed}: round {round}, call {call} of the second disk");
            let left = left_of(image, *call + looked_at);
            has_acknowledged(&left.kill(0), &before, &after, &ever, &what);
            if looked_at % 8 == 0 {
                goes_on(&left_of(&source.disk, looked_at), &left, &after, &what);
            }
            looked_at += 1;
        }
        let what = format!("OTTLA_REPLICA_SEED={seed}: after round {round}");
        let left = left_of(&second, looked_at);
        has_acknowledged(&left.kill(0), &after, &after, &ever, &what);
        goes_on(&left_of(&source.disk, looked_at + 1), &left, &after, &what);
        looked_at += 2;
        if states <= looked_at {
            return looked_at;
        }
        before = after;
    }
    looked_at
}

#[test]
fn what_crashes_leave_of_the_second_disk_of_a_broker() {
    look_at_workloads(look_at);
}
