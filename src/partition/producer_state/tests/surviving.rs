//! What of transactions survives a kill and a power cut.

use super::*;
use crate::disk::simulated::{Call, CrashModel, Operation};

const NOW_MS: i64 = 1_700_000_000_000;

fn config() -> TopicConfig {
    TopicConfig::new().segment_bytes(1 << 20)
}

/// What this process knows of the log, and what whoever opens it next finds.
#[derive(Debug, PartialEq, Eq)]
struct Found {
    committed: Vec<u64>,
    all: Vec<u64>,
    stable: u64,
    end: u64,
    open: Vec<u64>,
}

impl Found {
    fn of(partition: &Partition) -> Found {
        Found {
            committed: seen(partition, Isolation::ReadCommitted),
            all: seen(partition, Isolation::ReadUncommitted),
            stable: partition.last_stable_offset(),
            end: partition.log_end_offset(),
            open: open_in(partition),
        }
    }
}

/// One transaction after the other of several producers, with everything that comes between; after each step the log is looked at.
fn story(partition: &Partition, broker: &Broker, mut look: impl FnMut(&str)) {
    let log = partition.writable().unwrap();
    let mut step = |name: &str, act: &dyn Fn()| {
        act();
        look(name);
    };
    step("open", &|| _ = send(log, producer(1), &["a", "b"]));
    step("open between others", &|| _ = send_plainly(partition, "p"));
    step("two are open", &|| _ = send(log, producer(2), &["c"]));
    step("the marker is in a slot", &|| assert!(commit(log, producer(1))));
    step("behind it", &|| _ = send(log, producer(1), &["d"]));
    step("around the tail", &|| _ = send(log, producer(2), &[&"large".repeat(30_000)]));
    step("aborted", &|| assert!(abort(log, producer(2))));
    step("sealed", &|| roll(partition));
    step("noted", &|| broker.run_maintenance().unwrap());
    step("a fence", &|| assert!(abort(log, ProducerIdAndEpoch { id: 1, epoch: 1 })));
    step("another one", &|| _ = send(log, ProducerIdAndEpoch { id: 1, epoch: 1 }, &["e"]));
    step("which is over", &|| assert!(commit(log, ProducerIdAndEpoch { id: 1, epoch: 1 })));
    step("with what follows", &|| _ = send_plainly(partition, "q"));
}

#[test]
fn after_a_kill_the_same_is_open() {
    for durability in [Durability::Os, Durability::Always] {
        let disk = disk_with(config().durability(durability), &[]);
        disk.set_now_ms(NOW_MS);
        let (broker, partition) = open(&disk);
        story(&partition, &broker, |name| {
            let expected = Found::of(&partition);
            let (_broker, other) = open(&disk.kill(1));
            let found = Found::of(&other);
            assert_eq!((&found.open, found.end), (&expected.open, expected.end), "{name}");
            let durable = partition.writable().unwrap().durable_offset();
            if durability == Durability::Os || durable == expected.end {
                assert_eq!(found, expected, "{name}");
            }
        });
    }
}

/// What was made durable is as it was; what was not may be there or not, and is never half there.
#[test]
fn after_a_power_cut_what_was_durable_is_the_same() {
    for durability in [Durability::Os, Durability::Always] {
        let disk = disk_with(config().durability(durability), &[]);
        disk.set_now_ms(NOW_MS);
        let (broker, partition) = open(&disk);
        let mut states = vec![Found::of(&partition)];
        story(&partition, &broker, |name| {
            states.push(Found::of(&partition));
            for seed in 0..4 {
                let (_broker, other) = open(&disk.crash(seed, CrashModel::Subset));
                let found = Found::of(&other);
                let known = states.iter().rev().find(|state| state.end == found.end).map(|state| &state.open);
                // Of what went around the tail with others the part in the tail may be there alone.
                assert!(known.is_none_or(|known| *known == found.open), "{name}, seed {seed}: {found:?}");
            }
            let log = partition.writable().unwrap();
            log.wait_durable(log.log_end_offset()).unwrap();
            for seed in 0..4 {
                let (_broker, other) = open(&disk.crash(seed, CrashModel::Subset));
                assert_eq!(Found::of(&other), Found::of(&partition), "{name}, seed {seed}");
            }
        });
    }
}

/// The failure: who reads along takes a marker for data, or a transaction for open whose marker lies in the tail.
#[test]
fn who_reads_along_sees_the_same() {
    for durability in [Durability::Os, Durability::Always] {
        let disk = disk_with(config().durability(durability), &[]);
        disk.set_now_ms(NOW_MS);
        let (broker, partition) = open(&disk);
        let (_reader, other) = open_read_only(&disk);
        story(&partition, &broker, |name| {
            let log = partition.writable().unwrap();
            log.wait_durable(log.log_end_offset()).unwrap();
            let look = |partition: &Partition| {
                let [committed, all] =
                    [Isolation::ReadCommitted, Isolation::ReadUncommitted].map(|isolation| seen(partition, isolation));
                (committed, all, partition.last_stable_offset(), partition.high_watermark())
            };
            assert_eq!(look(&other), look(&partition), "{name}");
        });
    }
}

/// Stopped at every call: whatever is found, no record of an aborted transaction is, and the sequences go on.
#[test]
fn stopped_anywhere_nothing_aborted_is_seen() {
    let disk = disk_with(config().durability(Durability::Os), &[]);
    disk.set_now_ms(NOW_MS);
    let (broker, partition) = open(&disk);
    disk.record_stops();
    story(&partition, &broker, |_| {});
    let Found { committed, stable, end, .. } = Found::of(&partition);
    assert_eq!(stable, end);
    drop(partition);
    broker.close().unwrap();
    let stops = disk.take_stops();
    assert!(stops.len() > 20, "{} stops", stops.len());
    for (call, stopped) in stops {
        for image in [stopped.kill(call), stopped.crash(call, CrashModel::Subset)] {
            let (_broker, other) = open(&image);
            let found = Found::of(&other);
            assert!(found.committed.iter().all(|offset| committed.contains(offset)), "{call}: {found:?}");
            let log = other.writable().unwrap();
            for open in log.open_transactions() {
                assert!(abort(log, open.producer));
            }
            assert_eq!(Found::of(&other).stable, other.log_end_offset(), "{call}");
        }
    }
}

/// The failure: after a kill the whole active segment is read once more, and by who reads along at each look.
#[test]
fn what_was_noted_while_the_log_was_open_is_not_read_again() {
    let disk = disk_with(config().durability(Durability::Os).segment_bytes(64 << 20), &[]);
    disk.set_now_ms(NOW_MS);
    let (_broker, partition) = open(&disk);
    let log = partition.writable().unwrap();
    let large = "large".repeat(30_000);
    let snapshots = |disk: &SimulatedDisk| -> Vec<u64> {
        files(disk, FileKind::ProducerSnapshot).into_iter().map(|(offset, _)| offset).collect()
    };
    for round in 1..4 {
        for n in 0..40 {
            send(log, producer(n % 3), &[&large]);
            if n % 5 == 4 {
                assert!(log.end_transaction(producer(n % 3), n % 2 == 0, 0).unwrap());
            }
        }
        assert!(log.checkpoint_if_due(false).unwrap());
        let noted = snapshots(&disk);
        assert!(noted.len() == 1 && 40 * (round - 1) < noted[0], "round {round}: {noted:?}");
    }
    send(log, producer(7), &["behind it"]);
    send(log, producer(8), &[&large, "behind it"]);
    assert!(abort(log, producer(8)));
    let expected = Found::of(&partition);
    let (image, without) = (disk.kill(1), disk.kill(1));
    for offset in snapshots(&without) {
        assert!(without.delete(live(offset, FileKind::ProducerSnapshot)));
    }
    let read_in = |disk: &SimulatedDisk, open: fn(&SimulatedDisk) -> (Broker, Partition)| {
        let before = disk.calls();
        let opened = open(disk);
        let stable = opened.1.last_stable_offset();
        let is_read = |call: &&Call| {
            before < call.number
                && call.operation == Operation::Read
                && call.path.extension().is_some_and(|extension| extension == "log")
        };
        (disk.log().iter().filter(is_read).count(), stable, opened)
    };
    for open in [open_read_only, open] {
        let [few, many] = [&image, &without].map(|disk| read_in(disk, open));
        assert_eq!((few.1, many.1), (expected.stable, expected.stable));
        assert!(4 * few.0 < many.0, "{} and {} reads", few.0, many.0);
        for (_, _, (_broker, partition)) in [few, many] {
            assert_eq!(seen(&partition, Isolation::ReadCommitted), expected.committed);
        }
    }
    // A power cut may leave anything in the place of a file that was not synced.
    let snapshot = live(snapshots(&disk)[0], FileKind::ProducerSnapshot);
    let torn = disk.kill(1);
    assert!(torn.flip_bit(&snapshot, 20, 3));
    assert_eq!(Found::of(&open(&torn).1), expected);
}
