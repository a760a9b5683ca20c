//! Replicas, and sources, that are interrupted, damaged, or not what they seem: what is said then, and what is mended.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use ottla::testing::{CrashModel, FaultKind, FaultRule, Operation, SimulatedDisk};
use ottla::{Broker, Error, ProducerRecord, Replica, ReplicaOptions, TopicConfig, TopicPartition};

use super::{SECOND, can_be_read, has_same_segments, on, replica};
use crate::directories::{Content, DATA, builder, contents, fill, open, open_read_only, send, small_segments};

/// A source with some of everything, and the disk of a replica that has it.
fn filled() -> (SimulatedDisk, Broker, SimulatedDisk) {
    let (disk, second) = (SimulatedDisk::new(1), SimulatedDisk::new(2));
    let broker = open(&disk, DATA);
    fill(&broker);
    replica(&broker, &second).catch_up().unwrap();
    (disk, broker, second)
}

/// What can be read in the users' topics.
fn of_users(broker: &Broker) -> Vec<Content> {
    contents(broker).into_iter().filter(|content| !content.partition.topic().starts_with("__")).collect()
}

/// The failure that this is about: a promotion is interrupted, and the process that kept the replica goes on with it as before.
#[test]
fn a_promotion_that_was_interrupted_is_ended_and_follows_nobody() {
    let (_disk, broker, second) = filled();
    let at_the_point = of_users(&broker);
    send(&broker, "orders", 100..104);
    let now = of_users(&broker);
    let trial = second.kill(1);
    let before = trial.calls();
    Replica::promote_without_source(SECOND, on(&trial)).unwrap();
    let (calls, mut interrupted) = (trial.calls() - before, 0);
    for call in 0..calls {
        let stopped = second.kill(call);
        stopped.stop_after(stopped.calls() + call);
        Replica::promote_without_source(SECOND, on(&stopped)).unwrap_err();
        let left = stopped.crash(call, CrashModel::ALL[usize::try_from(call).unwrap() % 4]);
        let expected = match Replica::open_with(&broker, SECOND, on(&left)) {
            Ok(mut following) => {
                following.catch_up().unwrap_or_else(|error| panic!("call {call}: {error}"));
                &now
            }
            Err(Error::NotAReplica { reason, .. }) => {
                interrupted += u64::from(reason.contains("interrupted"));
                &at_the_point
            }
            Err(error) => panic!("call {call}: {error}"),
        };
        match Replica::promote_without_source(SECOND, on(&left)) {
            // What was left was all but told.
            Ok(_) | Err(Error::NotAReplica { .. }) => {}
            Err(error) => panic!("call {call}: {error}"),
        }
        assert_eq!(of_users(&open(&left, SECOND)), *expected, "call {call}");
    }
    assert!(calls / 4 < interrupted, "{interrupted} of {calls}");
}

/// A source that was put back as it had been, of which the replica has more.
fn put_back(change: impl Fn(&Broker)) -> (Broker, SimulatedDisk) {
    let (disk, second) = (SimulatedDisk::new(1), SimulatedDisk::new(2));
    let broker = open(&disk, DATA);
    broker.create_topic("orders", TopicConfig::new().segment_bytes(20_000)).unwrap();
    broker.topic("orders").unwrap().produce("first", "first").unwrap();
    broker.close().unwrap();
    let put_back = disk.crash(1, CrashModel::Ordered);
    let broker = open(&disk, DATA);
    change(&broker);
    replica(&broker, &second).catch_up().unwrap();
    (open(&put_back, DATA), second)
}

/// That a replica does not follow this source, and is as it was.
fn is_not_followed(source: &Broker, second: &SimulatedDisk) {
    let before = contents(&open_read_only(second, SECOND));
    for _ in 0..2 {
        let caught_up = replica(source, second).catch_up();
        assert!(matches!(&caught_up, Err(Error::ReplicaDiverged { topic, .. }) if topic == "orders"), "{caught_up:?}");
        assert_eq!(contents(&open_read_only(second, SECOND)), before);
    }
}

#[test]
fn k12_10_a_source_that_was_put_back_with_fewer_partitions_is_not_followed() {
    let (source, second) = put_back(|broker| {
        broker.admin().add_partitions("orders", 3).unwrap();
        let added = broker.existing_topic("orders").unwrap().partition(2).unwrap();
        added.append(&ProducerRecord::new().value("only here")).unwrap();
    });
    source.topic("orders").unwrap().produce("second", "second").unwrap();
    is_not_followed(&source, &second);
}

#[test]
fn k12_10_a_source_that_was_put_back_and_writes_on_in_what_it_had_sealed_is_told_by_its_bytes() {
    let (source, second) = put_back(|broker| {
        send(broker, "orders", 0..20);
        broker.run_maintenance().unwrap();
    });
    // More of them, and so small that all are in the first segment.
    for number in 0..60 {
        source.topic("orders").unwrap().produce("other", format!("{number}")).unwrap();
    }
    is_not_followed(&source, &second);
}

/// What another process has synced since it noted so last is not known, and is no difference.
#[test]
fn a_replica_of_a_broker_goes_on_from_its_directory() {
    for is_killed in [false, true] {
        let (disk, broker, second) = filled();
        broker.topic("empty").unwrap().produce("k", "v").unwrap();
        replica(&broker, &second).catch_up().unwrap();
        let expected = contents(&broker);
        let disk_of_source = if is_killed { disk.kill(1) } else { disk.clone() };
        let other = open_read_only(&disk_of_source, DATA);
        let mut from_directory = Replica::open_with(&other, SECOND, on(&second)).unwrap();
        let report = from_directory.catch_up().unwrap();
        assert_eq!((report.partitions().count(), report.bytes()), (0, 0), "{report}");
        drop(from_directory);
        assert_eq!(contents(&open_read_only(&second, SECOND)), expected);
        let broker = if is_killed { open(&disk_of_source, DATA) } else { broker };
        send(&broker, "orders", 70..75);
        broker.close().unwrap();
        let other = open_read_only(&disk_of_source, DATA);
        Replica::open_with(&other, SECOND, on(&second)).unwrap().catch_up().unwrap();
        has_same_segments(&disk_of_source, &second);
        can_be_read(&other, &second);
    }
}

#[test]
fn a_replica_is_behind_by_all_of_a_topic_that_was_made_anew() {
    let (_disk, broker, second) = filled();
    let mut replica = replica(&broker, &second);
    broker.admin().delete_topic("orders").unwrap();
    broker.create_topic("orders", small_segments()).unwrap();
    send(&broker, "orders", 0..10);
    let lag = replica.lag().unwrap();
    let behind: Vec<_> = lag.partitions().filter(|(partition, _)| partition.topic() == "orders").collect();
    assert_eq!(behind, [(&TopicPartition::new("orders", 0), 10)]);
    replica.catch_up().unwrap();
    assert_eq!(replica.lag().unwrap().offsets(), 0);
}

#[test]
fn a_thread_that_rests_for_long_stops_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let broker = Broker::open(dir.path().join("first")).unwrap();
    send(&broker, "orders", 0..3);
    let options = ReplicaOptions::new().interval(Duration::from_secs(3600));
    let begun = Instant::now();
    let thread = Replica::open_with(&broker, dir.path().join("second"), options).unwrap().spawn().unwrap();
    let thread = thread.stop().unwrap().spawn().unwrap();
    thread::sleep(Duration::from_millis(50));
    drop(thread);
    assert!(begun.elapsed() < Duration::from_secs(600));
}

#[test]
fn a_topic_that_goes_while_a_replica_looks_at_it_is_no_failure() {
    let dir = tempfile::tempdir().unwrap();
    let [data, first, second] = ["data", "first", "second"].map(|name| dir.path().join(name));
    let broker = Broker::builder(&data).background(false).durability(ottla::Durability::Os).open().unwrap();
    broker.create_topic("orders", small_segments()).unwrap();
    send(&broker, "orders", 0..3);
    let mut replicas = [Replica::open(&broker, first).unwrap(), Replica::open(data.as_path(), second).unwrap()];
    let is_done = AtomicBool::new(false);
    thread::scope(|threads| {
        threads.spawn(|| {
            for number in 0..150 {
                let name = format!("topic-{}", number % 2);
                broker.create_topic(&name, small_segments().partitions(3)).unwrap();
                send(&broker, &name, 0..4);
                broker.admin().delete_topic(&name).unwrap();
            }
            is_done.store(true, Ordering::Release);
        });
        let mut failed = None;
        while !is_done.load(Ordering::Acquire) {
            for replica in &mut replicas {
                failed = failed.or(replica.catch_up().err());
            }
        }
        assert!(failed.is_none(), "{failed:?}");
    });
}

/// The failure that this is about: the newest state is damaged, and the one before is taken for it.
#[test]
fn of_a_state_that_is_damaged_the_same_one_counts() {
    let (_disk, broker, second) = filled();
    send(&broker, "orders", 100..102);
    replica(&broker, &second).catch_up().unwrap();
    let expected = of_users(&broker);
    let path = format!("{SECOND}/replica");
    let whole = second.read(&path).unwrap();
    for position in (0..whole.len()).step_by(7) {
        let damaged = second.kill(1);
        let mut bytes = whole.clone();
        bytes[position] ^= 1;
        damaged.delete(&path);
        damaged.put(&path, if position % 2 == 0 { &bytes } else { &whole[..position.max(whole.len() / 2)] });
        Replica::promote_without_source(SECOND, on(&damaged)).unwrap();
        assert_eq!(of_users(&open(&damaged, SECOND)), expected, "byte {position}");
    }
}

#[test]
fn a_sealed_segment_that_was_taken_from_a_replica_or_has_another_size_comes_once_more() {
    let (disk, broker, second) = filled();
    let is_log = |path: &Path| path.extension().is_some_and(|extension| extension == "log");
    let logs = second.files().into_iter().filter(|(path, bytes)| is_log(path) && 0 < *bytes);
    let mut mended = 0;
    for (path, _) in logs {
        for change in ["gone", "shorter", "longer"] {
            let damaged = second.kill(1);
            let mut bytes = damaged.read(&path).unwrap();
            damaged.delete(&path);
            match change {
                "gone" => {}
                "shorter" => damaged.put(&path, &bytes[..bytes.len() / 2]),
                _ => {
                    bytes.extend([7; 9]);
                    damaged.put(&path, &bytes);
                }
            }
            let caught_up =
                Replica::open_with(&broker, SECOND, on(&damaged)).and_then(|mut replica| replica.catch_up());
            match caught_up {
                Ok(report) => {
                    has_same_segments(&disk, &damaged);
                    can_be_read(&broker, &damaged);
                    mended += u64::from(0 < report.bytes());
                }
                // Of one that is being written it is said.
                Err(Error::Corrupt(_)) => {}
                Err(error) => panic!("{} is {change}: {error}", path.display()),
            }
        }
    }
    assert!(20 < mended, "{mended}");
}

#[test]
fn a_directory_of_which_it_cannot_be_told_whether_it_is_a_replica_is_not_written() {
    let (_disk, broker, second) = filled();
    for kind in [FaultKind::TooManyOpenFiles, FaultKind::InputOutput, FaultKind::PermissionDenied] {
        let rule = || FaultRule::new(kind).on(Operation::Open).path_containing("/second/replica");
        second.fail(rule());
        let opened = builder(&second, SECOND).open().map(drop);
        assert!(matches!(opened, Err(Error::Io { .. })), "{kind:?}: {opened:?}");
        second.clear_faults();
        second.fail(rule());
        let opened = Replica::open_with(&broker, SECOND, on(&second)).map(drop);
        assert!(matches!(opened, Err(Error::Io { .. })), "{kind:?}: {opened:?}");
        second.clear_faults();
        replica(&broker, &second).catch_up().unwrap();
    }
    can_be_read(&broker, &second);
}
