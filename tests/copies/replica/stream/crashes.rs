//! Crashes of a replica at any call while a reply is applied, the first one too.
//!
//! The failure that this is about: a part of a round counts, or a replica does not find its way back to its source.
//!
//! What would be left is looked at by all models of a crash in turn. Seeds are fixed, and named in a failure.

use ottla::testing::{CrashModel, SimulatedDisk};
use ottla::{Broker, Error, RemoteReplica, Replica, TopicPartition};

use super::{answer, catch_up, remote, reply, request};
use crate::directories::{Content, DATA, contents, fill, open, read_all, send, small_segments, transact};
use crate::replica::{SECOND, can_be_read, has_same_segments, on};

/// What is left of a machine, by a number: five ways in turn.
fn left_of(disk: &SimulatedDisk, number: u64) -> SimulatedDisk {
    match CrashModel::ALL.get(usize::try_from(number % 5).unwrap()) {
        Some(model) => disk.crash(number, *model),
        None => disk.kill(number),
    }
}

/// What a replica is once it is promoted, in the users' topics.
fn promoted(disk: &SimulatedDisk, what: &str) -> Vec<Content> {
    let left = disk.kill(0);
    Replica::promote_without_source(SECOND, on(&left)).unwrap_or_else(|error| panic!("{what}: {error}"));
    let broker = open(&left, SECOND);
    assert!(broker.admin().health().open_transactions.is_empty(), "{what}");
    contents(&broker).into_iter().filter(|content| !content.partition.topic().starts_with("__")).collect()
}

/// That a replica follows its source, and has the same segments then.
fn goes_on(broker: &Broker, source: &SimulatedDisk, second: &SimulatedDisk, what: &str) {
    catch_up(broker, second).unwrap_or_else(|error| panic!("{what}: {error}"));
    has_same_segments(source, second);
    can_be_read(broker, second);
}

/// Crashes what applies a reply at each call in turn.
fn crash_at_each_call(broker: &Broker, source: &SimulatedDisk, second: &SimulatedDisk, first: u64) -> u64 {
    let told = reply(broker, &mut remote(&second.kill(0)));
    let before = promoted(second, "before");
    let (after, calls) = {
        let trial = second.kill(0);
        let mut replica = remote(&trial);
        let calls = trial.calls();
        replica.apply(&told[..]).unwrap();
        drop(replica);
        (promoted(&trial, "after"), trial.calls() - calls)
    };
    assert_ne!(before, after);
    for call in 0..=calls {
        let what = format!("seed {}, call {call} of {calls}", first + call);
        let stopped = second.kill(0);
        let mut replica = remote(&stopped);
        stopped.stop_after(stopped.calls() + call);
        let applied = replica.apply(&told[..]);
        drop(replica);
        let left = left_of(&stopped, first + call);
        let found = promoted(&left, &what);
        assert!(found == before || found == after, "{what}: {found:?}");
        assert!(applied.is_err() || found == after, "{what}: it has been applied");
        // The same reply is good for what is as it was, and else refused; then there is another one.
        match remote(&left).apply(&told[..]) {
            Ok(_) => assert!(found == before || applied.is_err(), "{what}"),
            Err(Error::InvalidStream { .. }) => assert!(found == after, "{what}"),
            Err(error) => panic!("{what}: {error}"),
        }
        goes_on(broker, source, &left, &what);
    }
    calls
}

#[test]
fn a_replica_that_crashes_while_a_reply_is_applied_has_all_of_it_or_nothing() {
    let (disk, second) = (SimulatedDisk::new(1), SimulatedDisk::new(2));
    let broker = open(&disk, DATA);
    fill(&broker);
    catch_up(&broker, &second).unwrap();
    send(&broker, "orders", 70..90);
    send(&broker, "state", 60..80);
    read_all(&broker, "billing", "orders");
    let mut producer = broker.transactional_producer("payments").unwrap();
    transact(&mut producer, 7, true);
    broker.run_maintenance().unwrap();
    _ = broker.admin().compact("state").unwrap();
    broker.admin().delete_records(&[(TopicPartition::new("orders", 0), 20)]).unwrap();
    send(&broker, "orders", 90..93);
    assert!(100 < crash_at_each_call(&broker, &disk, &second, 1));
}

#[test]
fn a_replica_that_crashes_while_it_is_begun_is_begun_or_says_that_it_is_not() {
    let disk = SimulatedDisk::new(1);
    let broker = open(&disk, DATA);
    broker.create_topic("orders", small_segments().partitions(2)).unwrap();
    send(&broker, "orders", 0..9);
    let (_, told) = answer(&broker, &request(&mut remote(&SimulatedDisk::new(2))));
    let calls = {
        let trial = SimulatedDisk::new(2);
        remote(&trial).apply(&told[..]).unwrap();
        trial.calls()
    };
    let (mut unfinished, mut begun) = (0, 0);
    for call in 0..=calls {
        let second = SimulatedDisk::new(2);
        second.stop_after(call);
        _ = RemoteReplica::open_with(SECOND, on(&second)).and_then(|mut replica| replica.apply(&told[..]));
        let left = left_of(&second, call);
        match catch_up(&broker, &left) {
            Ok(_) => {
                begun += 1;
                has_same_segments(&disk, &left);
                can_be_read(&broker, &left);
            }
            Err(Error::Unfinished { .. }) => unfinished += 1,
            Err(other) => panic!("call {call}: {other}"),
        }
    }
    assert!(0 < unfinished && 20 < begun, "{unfinished} {begun}");
}

/// The other end goes on from what was acknowledged, whatever it has forgotten.
#[test]
fn a_source_that_crashes_answers_the_same_replica_again() {
    let (disk, second) = (SimulatedDisk::new(1), SimulatedDisk::new(2));
    let broker = open(&disk, DATA);
    fill(&broker);
    catch_up(&broker, &second).unwrap();
    send(&broker, "orders", 70..90);
    disk.record_stops();
    let told = reply(&broker, &mut remote(&second.kill(0)));
    let stops = disk.take_stops();
    assert!(!stops.is_empty());
    for (number, (call, image)) in (0..).zip(&stops) {
        let what = format!("seed {number}, call {call} of the source");
        let left = left_of(image, number);
        // What came in a reply was on the medium.
        let ahead = second.kill(0);
        remote(&ahead).apply(&told[..]).unwrap();
        goes_on(&open(&left_of(&disk, number), DATA), &left_of(&disk, number), &ahead, &what);
        goes_on(&open(&left, DATA), &left, &second.kill(0), &what);
    }
}
