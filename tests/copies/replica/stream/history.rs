//! A source at the other end that is not what it was: both ends say so, and the replica stays as it is.

use ottla::testing::{CrashModel, SimulatedDisk};
use ottla::{Broker, Error, ProducerRecord, RestoreOptions, TopicConfig, TopicPartition};

use super::{answer, catch_up, remote, request};
use crate::directories::{DATA, contents, open, open_read_only, send, small_segments};
use crate::replica::{SECOND, can_be_read, log_files};

/// What differs, as the error says.
fn diverged<T: std::fmt::Debug>(result: Result<T, Error>) -> (String, Option<TopicPartition>, Option<u64>) {
    match result {
        Err(Error::ReplicaDiverged { topic, partition, offset, .. }) => (topic, partition, offset),
        other => panic!("{other:?}"),
    }
}

/// That a replica does not follow this source, and that both ends say the same.
fn is_not_followed(source: &Broker, second: &SimulatedDisk, expected: (Option<u32>, Option<u64>)) {
    let (before, files) = (contents(&open_read_only(second, SECOND)), log_files(second, SECOND));
    let mut replica = remote(second);
    for _ in 0..2 {
        let (answered, reply) = answer(source, &request(&mut replica));
        let shown = answered.as_ref().unwrap_err().to_string();
        assert!(shown.starts_with("the replica at the other end of the stream cannot follow its source: "), "{shown}");
        let (topic, partition, offset) = diverged(replica.apply(&reply[..]));
        let found = (topic.as_str(), partition.as_ref().map(TopicPartition::partition), offset);
        assert_eq!(found, ("orders", expected.0, expected.1));
        assert_eq!(diverged(answered), (topic, partition, offset));
    }
    drop(replica);
    assert_eq!((contents(&open_read_only(second, SECOND)), log_files(second, SECOND)), (before, files));
    remote(second).promote().unwrap();
}

/// A source with a topic of so many records, and a replica that has them.
fn replicated(records: u64) -> (SimulatedDisk, Broker, SimulatedDisk) {
    let (disk, second) = (SimulatedDisk::new(1), SimulatedDisk::new(2));
    let broker = open(&disk, DATA);
    broker.create_topic("orders", small_segments()).unwrap();
    send(&broker, "orders", 0..records);
    catch_up(&broker, &second).unwrap();
    (disk, broker, second)
}

#[test]
fn a_source_that_was_lost_and_made_anew_is_not_followed() {
    let (_lost, _, second) = replicated(100);
    let broker = open(&SimulatedDisk::new(3), DATA);
    broker.create_topic("orders", small_segments()).unwrap();
    send(&broker, "orders", 0..10);
    is_not_followed(&broker, &second, (None, None));
}

#[test]
fn a_source_that_was_restored_is_followed_as_far_as_it_is_the_same() {
    let (disk, broker, second) = replicated(60);
    broker.admin().backup("/backup").unwrap();
    let behind = second.kill(1);
    send(&broker, "orders", 60..100);
    catch_up(&broker, &second).unwrap();
    broker.close().unwrap();
    Broker::restore_with("/backup", "/restored", &RestoreOptions::new().disk(&disk)).unwrap();
    let restored = open(&disk, "/restored");
    send(&restored, "orders", 60..80);
    is_not_followed(&restored, &second, (Some(0), Some(60)));
    catch_up(&restored, &behind).unwrap();
    can_be_read(&restored, &behind);
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
    catch_up(&broker, &second).unwrap();
    (open(&put_back, DATA), second)
}

#[test]
fn a_source_that_was_put_back_is_told_by_its_bytes() {
    // What is being written, at both ends.
    let (source, second) = put_back(|broker| send(broker, "orders", 0..2));
    for number in 0..60 {
        source.topic("orders").unwrap().produce("other", format!("{number}")).unwrap();
    }
    is_not_followed(&source, &second, (Some(0), Some(0)));
    // What is sealed here, and written there.
    let (source, second) = put_back(|broker| {
        send(broker, "orders", 0..20);
        broker.run_maintenance().unwrap();
    });
    for number in 0..60 {
        source.topic("orders").unwrap().produce("other", format!("{number}")).unwrap();
    }
    is_not_followed(&source, &second, (Some(0), Some(0)));
}

#[test]
fn a_source_that_was_put_back_with_fewer_partitions_is_not_followed() {
    let (source, second) = put_back(|broker| {
        broker.admin().add_partitions("orders", 3).unwrap();
        let added = broker.existing_topic("orders").unwrap().partition(2).unwrap();
        added.append(&ProducerRecord::new().value("only here")).unwrap();
    });
    source.topic("orders").unwrap().produce("second", "second").unwrap();
    is_not_followed(&source, &second, (None, None));
}

#[test]
fn after_a_promotion_nobody_follows_beyond_what_they_have_in_common() {
    let (_disk, broker, second) = replicated(100);
    let other = SimulatedDisk::new(5);
    catch_up(&broker, &other).unwrap();
    send(&broker, "orders", 100..120);
    catch_up(&broker, &other).unwrap();
    remote(&second).promote().unwrap();
    let promoted = open(&second, SECOND);
    send(&promoted, "orders", 500..510);
    is_not_followed(&promoted, &other, (Some(0), Some(100)));
}

#[test]
fn what_was_deleted_before_it_came_is_named() {
    let (_disk, broker, second) = replicated(50);
    send(&broker, "orders", 50..100);
    let orders = TopicPartition::new("orders", 0);
    broker.admin().delete_records(&[(orders.clone(), 80)]).unwrap();
    broker.run_maintenance().unwrap();
    let report = catch_up(&broker, &second).unwrap();
    assert_eq!(report.never_had().collect::<Vec<_>>(), [(&orders, 50..80)]);
    can_be_read(&broker, &second);
}
