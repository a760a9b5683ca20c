//! What comes to a replica, step by step.

use ottla::testing::SimulatedDisk;
use ottla::{Broker, Durability, Error, ProducerRecord, Replica, TopicPartition};

use super::{SECOND, can_be_read, has_same_segments, on, replica};
use crate::directories::{
    DATA, builder, committed, compacted, contents, fill, open, open_read_only, partition, read_all, send,
    small_segments, transact,
};

/// A source, and the disk of its replica.
fn two_disks() -> (SimulatedDisk, SimulatedDisk) {
    (SimulatedDisk::new(1), SimulatedDisk::new(2))
}

/// Catches up, and looks whether the replica is what its source is.
fn follows(broker: &Broker, (source, second): (&SimulatedDisk, &SimulatedDisk)) {
    let mut replica = replica(broker, second);
    replica.catch_up().unwrap();
    assert_eq!(replica.lag().unwrap().offsets(), 0);
    has_same_segments(source, second);
    can_be_read(broker, second);
}

#[test]
fn a_replica_has_everything_and_can_be_promoted() {
    let (disk, second) = two_disks();
    let broker = open(&disk, DATA);
    fill(&broker);
    follows(&broker, (&disk, &second));
    let (before, billing) = (contents(&broker), committed(&broker, "billing", "orders"));
    let replica = replica(&broker, &second);
    drop(broker);
    let report = replica.promote().unwrap();
    assert_eq!((report.torn_transactions().len(), report.moved_back().count()), (0, 0), "{report}");
    for _ in 0..2 {
        let promoted = open(&second, SECOND);
        assert!(promoted.recovery_report().is_clean(), "{}", promoted.recovery_report());
        assert_eq!(contents(&promoted), before);
        assert_eq!(committed(&promoted, "billing", "orders"), billing);
        promoted.close().unwrap();
    }
    let promoted = open(&second, SECOND);
    send(&promoted, "orders", 100..101);
    let orders = partition(&promoted, "orders");
    assert!(65_536 <= orders.read(orders.log_end_offset() - 1, 1).unwrap().iter().next().unwrap().leader_epoch());
}

#[test]
fn what_happens_at_the_source_happens_to_the_replica() {
    let (disk, second) = two_disks();
    let broker = open(&disk, DATA);
    let disks = (&disk, &second);
    follows(&broker, disks);
    fill(&broker);
    follows(&broker, disks);
    follows(&broker, disks);
    send(&broker, "orders", 70..71);
    follows(&broker, disks);
    let mut producer = broker.transactional_producer("payments").unwrap();
    transact(&mut producer, 7, true);
    follows(&broker, disks);
    read_all(&broker, "shipping", "orders");
    follows(&broker, disks);
    send(&broker, "state", 60..90);
    broker.run_maintenance().unwrap();
    follows(&broker, disks);
    assert!(broker.admin().compact("state").unwrap().partitions().iter().any(|done| 0 < done.records_removed()));
    follows(&broker, disks);
    send(&broker, "state", 90..95);
    _ = broker.admin().compact("state").unwrap();
    send(&broker, "state", 95..99);
    follows(&broker, disks);
    broker.admin().delete_records(&[(TopicPartition::new("orders", 0), 20)]).unwrap();
    follows(&broker, disks);
    broker.admin().add_partitions("orders", 3).unwrap();
    broker.admin().alter_topic("orders", |config| config.segment_bytes(9000)).unwrap();
    send(&broker, "orders", 71..90);
    follows(&broker, disks);
    let altered = open_read_only(&second, SECOND).existing_topic("orders").unwrap().config();
    assert_eq!(altered, broker.existing_topic("orders").unwrap().config());
    broker.admin().delete_topic("orders").unwrap();
    follows(&broker, disks);
    broker.create_topic("orders", compacted().partitions(2)).unwrap();
    broker.create_topic("refunds", small_segments()).unwrap();
    send(&broker, "orders", 0..9);
    send(&broker, "refunds", 0..9);
    follows(&broker, disks);
    // Before the replica has heard of either.
    broker.admin().delete_topic("orders").unwrap();
    broker.create_topic("orders", small_segments()).unwrap();
    send(&broker, "orders", 0..30);
    follows(&broker, disks);
}

#[test]
fn a_transaction_that_is_open_at_the_last_point_is_aborted_in_all_partitions() {
    let (disk, second) = two_disks();
    let broker = open(&disk, DATA);
    fill(&broker);
    let mut producer = broker.transactional_producer("payments").unwrap();
    let transaction = producer.begin().unwrap();
    transaction.send(ottla::ProducerRecord::to("payments").value("half")).unwrap();
    transaction.send(ottla::ProducerRecord::to("orders").value("half")).unwrap();
    let mut replica = replica(&broker, &second);
    replica.catch_up().unwrap();
    transaction.commit().unwrap();
    replica.promote().unwrap();
    let promoted = open(&second, SECOND);
    assert!(promoted.admin().health().open_transactions.is_empty());
    for content in contents(&promoted) {
        assert!(!content.committed.iter().any(|value| value.contains("half")), "{content:?}");
        assert_eq!(content.last_stable_offset, content.offsets.end, "{content:?}");
    }
}

#[test]
fn a_directory_that_another_process_writes_is_followed_as_far_as_its_segments_go() {
    let (disk, second) = two_disks();
    let broker = open(&disk, DATA);
    fill(&broker);
    broker.flush().unwrap();
    let other = open_read_only(&disk, DATA);
    let mut replica = Replica::open_with(&other, SECOND, on(&second)).unwrap();
    replica.catch_up().unwrap();
    send(&broker, "orders", 70..80);
    replica.catch_up().unwrap();
    read_all(&broker, "billing", "orders");
    // What was committed may be ahead of what came of a partition.
    broker.flush().unwrap();
    replica.catch_up().unwrap();
    let before = contents(&broker);
    let promoted = replica.promote();
    promoted.unwrap();
    let promoted = open(&second, SECOND);
    for content in contents(&promoted) {
        let source = before.iter().find(|other| other.partition == content.partition).unwrap();
        if !content.partition.topic().starts_with("__") {
            assert!(source.committed.starts_with(&content.committed), "{content:?}");
        }
    }
    broker.close().unwrap();
}

#[test]
fn a_closed_directory_is_copied_whole() {
    let (disk, second) = two_disks();
    let broker = open(&disk, DATA);
    fill(&broker);
    broker.close().unwrap();
    let source = open_read_only(&disk, DATA);
    follows(&source, (&disk, &second));
}

#[test]
fn a_replica_is_not_opened_for_writing_and_nothing_else_is_a_replica() {
    let (disk, second) = two_disks();
    let broker = open(&disk, DATA);
    fill(&broker);
    let replica = replica(&broker, &second);
    let refused = || Broker::builder(SECOND).disk(&second).open().map(drop);
    assert!(matches!(refused(), Err(Error::AlreadyOpen { .. })), "{:?}", refused());
    assert!(matches!(Replica::open_with(&broker, SECOND, on(&second)), Err(Error::AlreadyOpen { .. })));
    drop(replica);
    assert!(matches!(refused(), Err(Error::IsReplica { .. })), "{:?}", refused());
    let own = Replica::open_with(&broker, DATA, on(&disk));
    assert!(matches!(own, Err(Error::NotAReplica { .. })), "{own:?}");
    let nothing = Replica::promote_without_source("/nothing", on(&second));
    assert!(matches!(nothing, Err(Error::NotAReplica { .. })), "{nothing:?}");
    second.put("/others/notes", b"mine");
    let others = Replica::open_with(&broker, "/others", on(&second));
    assert!(matches!(others, Err(Error::TargetNotEmpty { .. })), "{others:?}");
    Replica::promote_without_source(SECOND, on(&second)).unwrap();
    let promoted = Replica::open_with(&broker, SECOND, on(&second));
    assert!(matches!(promoted, Err(Error::NotAReplica { .. })), "{promoted:?}");
}

#[test]
fn a_thread_keeps_it_up_to_date() {
    let (disk, second) = two_disks();
    let broker = open(&disk, DATA);
    fill(&broker);
    let thread = replica(&broker, &second).spawn().unwrap();
    send(&broker, "orders", 70..90);
    let replica = thread.stop().unwrap();
    assert_eq!(replica.lag().unwrap().offsets(), 0);
    has_same_segments(&disk, &second);
    let thread = replica.spawn().unwrap();
    broker.close().unwrap();
    assert!(matches!(thread.stop(), Err(Error::Closed { .. })));
}

#[test]
fn a_topic_that_is_made_anew_while_it_comes_is_no_reason_to_end() {
    let (disk, second) = two_disks();
    let broker = open(&disk, DATA);
    let thread = replica(&broker, &second).spawn().unwrap();
    for round in 0..30 {
        broker.create_topic("orders", small_segments()).unwrap();
        send(&broker, "orders", 0..5 + round % 7);
        broker.admin().delete_topic("orders").unwrap();
    }
    broker.create_topic("orders", small_segments()).unwrap();
    send(&broker, "orders", 0..5);
    thread.stop().unwrap();
    has_same_segments(&disk, &second);
}

#[test]
fn what_somebody_else_has_put_into_a_replica_stays() {
    let (disk, second) = two_disks();
    let broker = open(&disk, DATA);
    fill(&broker);
    follows(&broker, (&disk, &second));
    second.put("/second/notes-1/today", b"mine");
    broker.admin().delete_topic("empty").unwrap();
    replica(&broker, &second).catch_up().unwrap();
    has_same_segments(&disk, &second);
    // A topic of that name comes all the same.
    broker.create_topic("notes", small_segments().partitions(2)).unwrap();
    send(&broker, "notes", 0..9);
    replica(&broker, &second).catch_up().unwrap();
    has_same_segments(&disk, &second);
    let kept = second.files().into_iter().filter(|(path, _)| path.ends_with("today"));
    assert_eq!(kept.count(), 1);
}

#[test]
fn of_another_process_a_commit_that_is_decided_is_one_in_every_partition() {
    let (disk, second) = two_disks();
    let broker = builder(&disk, DATA).durability(Durability::Always).open().unwrap();
    for topic in ["payments", "orders", "other"] {
        broker.create_topic(topic, small_segments()).unwrap();
    }
    let mut producer = broker.transactional_producer("payments").unwrap();
    let transaction = producer.begin().unwrap();
    for (topic, number) in
        ["payments", "orders"].into_iter().flat_map(|topic| (0..3).map(move |number| (topic, number)))
    {
        let value = format!("{:<6000}", format!("both {number}"));
        transaction.send(ProducerRecord::to(topic).key("k").value(&value)).unwrap();
    }
    transaction.commit().unwrap();
    // The marker and the decision go into segments, and the marker of the other partition stays in the tail.
    send(&broker, "payments", 0..20);
    let mut other = broker.transactional_producer("other").unwrap();
    for _ in 0..60 {
        let transaction = other.begin().unwrap();
        transaction.send(ProducerRecord::to("other").key("k").value("v")).unwrap();
        transaction.commit().unwrap();
    }
    let source = open_read_only(&disk, DATA);
    let mut replica = Replica::open_with(&source, SECOND, on(&second)).unwrap();
    replica.catch_up().unwrap();
    let end = |topic| partition(&open_read_only(&second, SECOND), topic).log_end_offset();
    assert!(end("orders") == 3 && 4 < end("payments"), "{} {}", end("orders"), end("payments"));
    drop(replica);
    let report = Replica::promote_without_source(SECOND, on(&second)).unwrap();
    assert_eq!(report.torn_transactions().len(), 0, "{report}");
    let promoted = open(&second, SECOND);
    for topic in ["payments", "orders"] {
        let seen = contents(&promoted).into_iter().find(|content| content.partition == TopicPartition::new(topic, 0));
        let both = seen.unwrap().committed.iter().filter(|value| value.contains("both")).count();
        assert_eq!(both, 3, "{topic}");
    }
}
