//! A source that is not what it was: lost, restored, put back, or far ahead.

use std::time::Duration;

use ottla::testing::{CrashModel, SimulatedDisk};
use ottla::{
    Broker, Error, ProducerRecord, Replica, ReplicaOptions, RestoreOptions, SeekTo, TopicConfig, TopicPartition,
};

use super::{SECOND, can_be_read, has_same_segments, log_files, on, replica};
use crate::directories::{
    DATA, builder, committed, compacted, content, contents, fill, open, open_read_only, partition, read_all, send,
    small_segments,
};

const SECOND_YEAR: Duration = Duration::from_secs(400 * 24 * 3600);

fn orders() -> TopicPartition {
    TopicPartition::new("orders", 0)
}

/// What differs, as the error says.
fn diverged<T: std::fmt::Debug>(result: Result<T, Error>) -> (String, Option<TopicPartition>, Option<u64>) {
    match result {
        Err(Error::ReplicaDiverged { topic, partition, offset, .. }) => (topic, partition, offset),
        other => panic!("{other:?}"),
    }
}

/// A source with a topic of so many records, and a replica that has them.
fn replicated(records: u64) -> (SimulatedDisk, Broker, SimulatedDisk) {
    let (disk, second) = (SimulatedDisk::new(1), SimulatedDisk::new(2));
    let broker = open(&disk, DATA);
    broker.create_topic("orders", small_segments()).unwrap();
    send(&broker, "orders", 0..records);
    replica(&broker, &second).catch_up().unwrap();
    (disk, broker, second)
}

/// That a replica does not follow this source, is as it was, and can be promoted with all of its records.
fn stays_as_it_was(
    source: &Broker,
    second: &SimulatedDisk,
    records: u64,
    expected: &(&str, Option<TopicPartition>, Option<u64>),
) {
    let before = log_files(second, SECOND);
    let mut replica = replica(source, second);
    for _ in 0..2 {
        let (topic, partition, offset) = diverged(replica.catch_up());
        assert_eq!((&*topic, partition, offset), *expected);
    }
    let ran = replica.run(|_| panic!("it has caught up"));
    assert_eq!(diverged(ran).0, expected.0);
    assert_eq!(log_files(second, SECOND), before);
    drop(replica);
    Replica::promote_without_source(SECOND, on(second)).unwrap();
    let promoted = open(second, SECOND);
    assert_eq!(partition(&promoted, "orders").log_end_offset(), records);
    assert_eq!(contents(&promoted).first().map(|content| content.committed.len() as u64), Some(records));
}

#[test]
fn k12_10_a_source_that_was_lost_and_made_anew_is_not_followed() {
    let (_lost, _, second) = replicated(100);
    let anew = SimulatedDisk::new(3);
    let broker = open(&anew, DATA);
    broker.create_topic("orders", small_segments()).unwrap();
    send(&broker, "orders", 0..10);
    stays_as_it_was(&broker, &second, 100, &("orders", None, None));
}

#[test]
fn k12_10_a_source_that_was_restored_is_not_followed_beyond_what_it_had() {
    let (disk, broker, second) = replicated(60);
    broker.admin().backup("/backup").unwrap();
    send(&broker, "orders", 60..100);
    replica(&broker, &second).catch_up().unwrap();
    broker.close().unwrap();
    Broker::restore_with("/backup", "/restored", &RestoreOptions::new().disk(&disk)).unwrap();
    let restored = open(&disk, "/restored");
    send(&restored, "orders", 60..80);
    stays_as_it_was(&restored, &second, 100, &("orders", Some(orders()), Some(60)));
}

#[test]
fn k12_10_a_source_that_was_put_back_as_it_had_been_is_told_by_its_bytes() {
    let (disk, broker, second) = replicated(60);
    broker.close().unwrap();
    let put_back = disk.crash(1, CrashModel::Ordered);
    let broker = open(&disk, DATA);
    send(&broker, "orders", 60..70);
    let mut following = replica(&broker, &second);
    following.catch_up().unwrap();
    drop(following);
    // The same directory, the same epochs, the same offsets, other records.
    let broker = open(&put_back, DATA);
    broker.topic("orders").unwrap().produce("another", "thing").unwrap();
    send(&broker, "orders", 200..230);
    let known = broker.existing_topic("orders").unwrap().partition(0).unwrap().log_end_offset();
    assert!(70 < known);
    stays_as_it_was(&broker, &second, 70, &("orders", Some(orders()), Some(60)));
}

#[test]
fn a_source_that_was_restored_with_all_that_a_replica_has_is_followed() {
    let (disk, broker, second) = replicated(60);
    broker.admin().backup("/backup").unwrap();
    broker.close().unwrap();
    Broker::restore_with("/backup", "/restored", &RestoreOptions::new().disk(&disk)).unwrap();
    let restored = open(&disk, "/restored");
    send(&restored, "orders", 60..80);
    replica(&restored, &second).catch_up().unwrap();
    can_be_read(&restored, &second);
}

#[test]
fn the_old_source_is_not_followed_any_more_and_an_old_position_names_no_other_record() {
    let (_disk, broker, second) = replicated(100);
    let other = SimulatedDisk::new(5);
    replica(&broker, &other).catch_up().unwrap();
    send(&broker, "orders", 100..120);
    replica(&broker, &other).catch_up().unwrap();
    Replica::promote_without_source(SECOND, on(&second)).unwrap();
    let promoted = open(&second, SECOND);
    send(&promoted, "orders", 500..510);
    let mut consumer = promoted.consumer_with(ottla::ConsumerConfig::new("readers")).unwrap();
    consumer.assign(&[orders()]).unwrap();
    let sought = consumer
        .seek(&orders(), SeekTo::OffsetAndEpoch { offset: 110, leader_epoch: 0 })
        .and_then(|()| consumer.poll(Duration::ZERO).map(drop));
    assert!(matches!(sought, Err(Error::LogTruncated { .. })), "{sought:?}");
    let not_followed = Replica::open_with(&broker, SECOND, on(&second));
    assert!(not_followed.is_err(), "{not_followed:?}");
    // A replica that had more of the old source does not follow the new one.
    let (topic, partition, offset) = diverged(replica(&promoted, &other).catch_up());
    assert_eq!((&*topic, partition, offset), ("orders", Some(orders()), Some(100)));
}

#[test]
fn k12_11_a_replica_that_was_away_longer_than_retention_keeps() {
    let (disk, broker, second) = replicated(50);
    send(&broker, "orders", 50..100);
    broker.admin().delete_records(&[(orders(), 80)]).unwrap();
    broker.run_maintenance().unwrap();
    let calls = {
        let trial = second.kill(1);
        let mut following = replica(&broker, &trial);
        let before = trial.calls();
        let report = following.catch_up().unwrap();
        let holes: Vec<_> = report.never_had().map(|(partition, offsets)| (partition.clone(), offsets)).collect();
        assert_eq!(holes, [(orders(), 50..80)]);
        assert!(report.to_string().contains("orders-0: 50 to 79 were deleted at the source"), "{report}");
        trial.calls() - before
    };
    for call in 0..=calls {
        let disk_of_call = second.kill(call);
        let mut following = replica(&broker, &disk_of_call);
        disk_of_call.stop_after(disk_of_call.calls() + call);
        let caught_up = following.catch_up();
        drop(following);
        let left = disk_of_call.crash(call, CrashModel::ALL[usize::try_from(call).unwrap() % 4]);
        let promoted = left.kill(call);
        Replica::promote_without_source(SECOND, on(&promoted)).unwrap_or_else(|error| panic!("call {call}: {error}"));
        let offsets =
            content(&open(&promoted, SECOND), &partition(&open_read_only(&promoted, SECOND), "orders")).offsets;
        assert!(offsets == (0..50) || offsets == (80..100), "call {call}: {offsets:?}");
        assert!(caught_up.is_err() || offsets == (80..100), "call {call}: it has caught up");
        // And it goes on from there.
        replica(&broker, &left).catch_up().unwrap_or_else(|error| panic!("call {call}: {error}"));
        has_same_segments(&disk, &left);
    }
    replica(&broker, &second).catch_up().unwrap();
    Replica::promote_without_source(SECOND, on(&second)).unwrap();
    let promoted = open(&second, SECOND);
    match partition(&promoted, "orders").read(20, 1) {
        Err(Error::OffsetOutOfRange { log_start_offset: 80, log_end_offset: 100, .. }) => {}
        other => panic!("{other:?}"),
    }
}

#[test]
fn k12_12_the_dead_do_not_come_back_to_a_replica_that_was_away() {
    let (disk, second) = (SimulatedDisk::new(1), SimulatedDisk::new(2));
    let broker = open(&disk, DATA);
    broker.create_topic("state", compacted().segment_bytes(1024)).unwrap();
    let state = broker.existing_topic("state").unwrap();
    state.produce("k", "a").unwrap();
    let mut producer = broker.transactional_producer("p").unwrap();
    let transaction = producer.begin().unwrap();
    transaction.send(ProducerRecord::to("state").key("j").value("b")).unwrap();
    for number in 0..3 {
        state.produce(format!("other-{number}"), "x").unwrap();
    }
    replica(&broker, &second).catch_up().unwrap();
    transaction.abort().unwrap();
    state.partition(0).unwrap().append(&ProducerRecord::new().key("k")).unwrap();
    for number in 0..20 {
        state.produce(format!("filler-{number}"), "x".repeat(600)).unwrap();
    }
    broker.run_maintenance().unwrap();
    _ = broker.admin().compact("state").unwrap();
    disk.advance(SECOND_YEAR);
    for number in 0..20 {
        state.produce(format!("filler-{number}"), "y".repeat(600)).unwrap();
    }
    broker.run_maintenance().unwrap();
    _ = broker.admin().compact("state").unwrap();
    _ = broker.admin().compact("state").unwrap();
    let expected = contents(&broker).into_iter().find(|content| content.partition.topic() == "state").unwrap();
    assert!(
        !expected
            .uncommitted
            .iter()
            .any(|line| line.ends_with(": a") || line.ends_with(": b") || line.ends_with(": none")),
        "{expected:?}"
    );
    let calls = {
        let trial = second.kill(1);
        let mut following = replica(&broker, &trial);
        let before = trial.calls();
        following.catch_up().unwrap();
        trial.calls() - before
    };
    for call in 0..=calls {
        let disk_of_call = second.kill(call);
        let mut following = replica(&broker, &disk_of_call);
        disk_of_call.stop_after(disk_of_call.calls() + call);
        _ = following.catch_up();
        drop(following);
        let left = disk_of_call.crash(call, CrashModel::ALL[usize::try_from(call).unwrap() % 4]);
        let promoted = left.kill(call);
        Replica::promote_without_source(SECOND, on(&promoted)).unwrap_or_else(|error| panic!("call {call}: {error}"));
        let found = contents(&open(&promoted, SECOND))
            .into_iter()
            .find(|content| content.partition.topic() == "state")
            .unwrap();
        assert!(!found.committed.iter().any(|line| line.ends_with(": b")), "call {call}: {found:?}");
        assert_eq!(found.last_stable_offset, found.offsets.end, "call {call}");
        if found.offsets.end > 10 {
            assert_eq!(found, expected, "call {call}");
        }
        replica(&broker, &left).catch_up().unwrap_or_else(|error| panic!("call {call}: {error}"));
        has_same_segments(&disk, &left);
        can_be_read(&broker, &left);
    }
}

#[test]
fn a_group_that_is_ahead_of_what_came_is_moved_back() {
    let (disk, second) = (SimulatedDisk::new(1), SimulatedDisk::new(2));
    let broker = open(&disk, DATA);
    fill(&broker);
    broker.create_topic("slow", TopicConfig::new()).unwrap();
    broker.topic("slow").unwrap().produce("k", "only in the tail").unwrap();
    assert_eq!(read_all(&broker, "billing", "slow"), 1);
    // So often that what was committed is not only in the tail.
    for number in 0..2000 {
        send(&broker, "orders", number..number + 1);
        if number % 10 == 0 {
            read_all(&broker, "billing", "orders");
        }
    }
    broker.flush().unwrap();
    let other = open_read_only(&disk, DATA);
    let mut following = Replica::open_with(&other, SECOND, ReplicaOptions::new().disk(&second)).unwrap();
    following.catch_up().unwrap();
    let report = following.promote().unwrap();
    let slow = TopicPartition::new("slow", 0);
    let moved: Vec<_> = report.moved_back().filter(|(_, partition, _)| **partition == slow).collect();
    assert_eq!(moved, [("billing", &slow, 0..1)], "{report}");
    let promoted = builder(&second, SECOND).open().unwrap();
    assert_eq!(committed(&promoted, "billing", "slow"), Some(0));
    let end = partition(&promoted, "orders").log_end_offset();
    assert!(committed(&promoted, "billing", "orders").is_some_and(|committed| committed <= end));
    assert!(promoted.recovery_report().is_clean(), "{}", promoted.recovery_report());
}

#[test]
fn the_old_source_comes_back_as_a_replica_from_what_both_have_in_common() {
    let (disk, second) = (SimulatedDisk::new(1), SimulatedDisk::new(2));
    let old = open(&disk, DATA);
    fill(&old);
    let mut first = replica(&old, &second);
    let all = first.catch_up().unwrap().bytes();
    // What comes now the replica never gets, and the old directory keeps.
    send(&old, "orders", 100..140);
    old.close().unwrap();
    let before = disk.files().into_iter().filter(|(path, _)| path.starts_with(DATA)).collect::<Vec<_>>();
    drop(first);
    Replica::promote_without_source(SECOND, on(&second)).unwrap();
    let promoted = open(&second, SECOND);
    send(&promoted, "orders", 200..230);
    promoted.run_maintenance().unwrap();
    let options = || ReplicaOptions::new().disk(&disk);
    let refused = Replica::open_with(&promoted, DATA, options()).map(drop);
    assert!(matches!(refused, Err(Error::NotAReplica { .. })), "{refused:?}");
    let nowhere = Replica::open_with(&promoted, "/nowhere", options().base("/missing")).map(drop);
    assert!(matches!(nowhere, Err(Error::Io { .. })), "{nowhere:?}");
    let mut back = Replica::open_with(&promoted, "/back", options().base(DATA)).unwrap();
    let brought = back.catch_up().unwrap().bytes();
    assert!(brought < all * 2 / 3, "{brought} of {all}");
    assert_eq!(contents(&open_read_only(&disk, "/back")), contents(&promoted));
    // From here on it is like any other, and the old directory is as it was.
    send(&promoted, "orders", 230..240);
    back.catch_up().unwrap();
    assert_eq!(contents(&open_read_only(&disk, "/back")), contents(&promoted));
    let after = disk.files().into_iter().filter(|(path, _)| path.starts_with(DATA)).collect::<Vec<_>>();
    assert_eq!(after, before);
    drop((back, promoted));
    Replica::promote_without_source("/back", options()).unwrap();
    let back = open(&disk, "/back");
    send(&back, "orders", 240..250);
    assert!(back.admin().verify().unwrap().is_clean());
    assert_eq!(
        partition(&open(&disk, DATA), "orders").log_end_offset(),
        contents(&open_read_only(&disk, DATA))[1].offsets.end
    );
}
