//! Transactions whose markers cannot be appended, and who is woken by which.

use std::sync::Arc;

use super::*;
use crate::disk::simulated::{FaultKind, FaultRule, Operation};
use crate::error::{ClosedBy, Error};
use crate::partition::{Registration, Waiter};

fn config() -> TopicConfig {
    TopicConfig::new().durability(Durability::Os).segment_bytes(1 << 20)
}

fn log_of(config: TopicConfig) -> (SimulatedDisk, Broker, Partition) {
    let disk = disk_with(config, &[]);
    let (broker, partition) = open(&disk);
    (disk, broker, partition)
}

/// a@0 of 1, b@1 of 2, and the disk is full, so that what is open cannot be sealed.
fn on_full_disk(config: TopicConfig) -> (SimulatedDisk, Broker, Partition) {
    let (disk, broker, partition) = log_of(config);
    let log = partition.writable().unwrap();
    send(log, producer(1), &["a"]);
    send(log, producer(2), &["b"]);
    disk.fail(FaultRule::new(FaultKind::StorageFull).on(Operation::Write).path_containing(".log").forever());
    (disk, broker, partition)
}

/// The failure: on a full disk nothing can be aborted, and everybody waits.
#[test]
fn on_a_full_disk_readers_see_how_a_transaction_has_ended() {
    let (disk, broker, partition) = on_full_disk(config().retention_ms(Duration::from_secs(1)));
    let log = partition.writable().unwrap();
    for _ in 0..2 {
        let full = log.end_transaction(producer(1), false, 0).unwrap_err();
        assert!(matches!(full, Error::DiskFull { .. }), "{full}");
        assert_eq!((partition.last_stable_offset(), partition.log_end_offset()), (1, 2));
        assert_eq!(open_in(&partition), [0, 1], "for who deletes");
    }
    assert!(matches!(log.end_transaction(producer(2), true, 0), Err(Error::DiskFull { .. })));
    assert_eq!(partition.last_stable_offset(), 2);
    assert_eq!(seen(&partition, Isolation::ReadCommitted), [1]);
    let refused = broker.admin().delete_records(&[(TopicPartition::new("t", 0), 1)]);
    assert!(matches!(refused, Err(Error::TransactionOpen { first_offset: 0, .. })), "{refused:?}");
    // The first of them begins no other one before its marker is there.
    let refused = log.append_transactional(producer(1), &[ProducerRecord::new().value("c")]);
    assert!(matches!(*refused.unwrap_err(), Error::DiskFull { .. }));
    assert_eq!((partition.log_end_offset(), open_in(&partition)), (2, vec![0, 1]));
    // Nor is it decided anew.
    assert!(matches!(log.end_transaction(producer(2), false, 0), Err(Error::DiskFull { .. })));
    let image = disk.kill(1);
    disk.clear_faults();
    assert_eq!(send(log, producer(1), &["c"]), 3, "behind the marker that was owed");
    assert_eq!((partition.last_stable_offset(), open_in(&partition)), (3, vec![1, 3]));
    assert!(log.end_transaction(producer(2), false, 0).unwrap());
    assert!(commit(log, producer(1)));
    assert_eq!((seen(&partition, Isolation::ReadCommitted), partition.log_end_offset()), (vec![1, 3], 6));
    assert!(open_in(&partition).is_empty());
    let (_broker, other) = open(&disk.kill(1));
    assert_eq!((seen(&other, Isolation::ReadCommitted), other.last_stable_offset()), (vec![1, 3], 6));
    // After a kill with the markers owed nobody knows how they have ended but who has noted it elsewhere.
    let (_broker, other) = open(&image);
    assert_eq!((open_in(&other), other.last_stable_offset()), (vec![0, 1], 0));
    let log = other.writable().unwrap();
    assert!(abort(log, producer(1)) && commit(log, producer(2)));
    assert_eq!((seen(&other, Isolation::ReadCommitted), other.last_stable_offset()), (vec![1], 4));
}

/// What opening could not seal, for want of room, is known to readers and to who ends it.
#[test]
fn markers_in_the_tail_count_where_they_cannot_be_sealed() {
    let (disk, broker, partition) = log_of(config());
    let log = partition.writable().unwrap();
    send_plainly(&partition, "p");
    roll(&partition);
    send(log, producer(1), &["a"]);
    log.wait_durable(2).unwrap();
    for is_commit in [false, true] {
        // The data in the segment, the marker in a slot.
        let image = disk.kill(1);
        let (_broker, marked) = open(&image);
        let log = marked.writable().unwrap();
        log.prepare_append().unwrap();
        assert!(log.end_transaction(producer(1), is_commit, 0).unwrap());
        let image = image.kill(1);
        image.limit_capacity(Some(image.used_bytes()));
        let (_broker, reopened) = open(&image);
        let log = reopened.writable().unwrap();
        assert!(log.first_unsealed().is_some());
        let committed = if is_commit { vec![0, 1] } else { vec![0] };
        let check = |partition: &Partition| {
            assert_eq!(
                (seen(partition, Isolation::ReadCommitted), partition.last_stable_offset()),
                (committed.clone(), 3)
            );
            assert_eq!(seen(partition, Isolation::ReadUncommitted), [0, 1]);
        };
        check(&reopened);
        assert!(open_in(&reopened).is_empty());
        check(&open_read_only(&image).1);
        image.limit_capacity(None);
        assert_eq!(send(log, producer(1), &["b"]), 3);
        assert!(abort(log, producer(1)));
        assert_eq!(seen(&reopened, Isolation::ReadCommitted), committed);
        roll(&reopened);
        assert!(log.checkpoint_if_due(false).unwrap());
        let aborted = if is_commit { 1 } else { 2 };
        let indexes = files(&image, FileKind::TransactionIndex);
        let bytes: usize = indexes.iter().map(|(_, bytes)| bytes.len()).sum();
        assert_eq!(bytes, aborted * crate::segment::transaction_index::ENTRY_BYTES, "each once: {indexes:?}");
        let (_broker, again) = open(&image.kill(1));
        assert_eq!(seen(&again, Isolation::ReadCommitted), committed);
    }
    drop((partition, broker));
}

/// The failure: a directory that is opened on a full disk has transactions that nobody can end.
#[test]
fn what_stands_open_on_a_full_disk_at_opening_can_be_ended() {
    let (disk, _broker, partition) = log_of(config());
    let log = partition.writable().unwrap();
    send_plainly(&partition, "p");
    roll(&partition);
    assert_eq!((send(log, producer(1), &["a"]), send(log, producer(1), &["b"])), (1, 2));
    let image = disk.kill(1);
    image.limit_capacity(Some(image.used_bytes()));
    let (_broker, reopened) = open(&image);
    let log = reopened.writable().unwrap();
    assert!(log.first_unsealed().is_some());
    assert_eq!((open_in(&reopened), reopened.last_stable_offset()), (vec![1], 1));
    assert!(matches!(log.end_transaction(producer(1), false, 0), Err(Error::DiskFull { .. })));
    assert_eq!((open_in(&reopened), reopened.last_stable_offset()), (vec![1], 3));
    assert_eq!(seen(&reopened, Isolation::ReadCommitted), [0]);
    image.limit_capacity(None);
    assert!(abort(log, producer(1)));
    assert_eq!((open_in(&reopened), reopened.last_stable_offset()), (vec![], 4));
    assert_eq!(send(log, producer(1), &["c"]), 4);
    assert!(commit(log, producer(1)));
    let (_broker, again) = open(&image.kill(1));
    for partition in [&reopened, &again] {
        assert_eq!(seen(partition, Isolation::ReadCommitted), [0, 4]);
        assert!(open_in(partition).is_empty());
    }
    let stamps = |partition: &Partition| {
        let mut sequences = Vec::new();
        for segment in partition.writable().unwrap().segments().iter() {
            let mut note = |batch: &crate::segment::Located| sequences.push(batch.header.start.stamp.base_sequence);
            segment.visit_intact(&mut note).unwrap();
        }
        sequences
    };
    assert_eq!(stamps(&again), [-1, 0, -1, 2, -1], "the sequences go on behind what was left in the tail");
}

/// 10.11: the decision holds, whatever the log of one partition says.
#[test]
fn in_a_poisoned_log_readers_see_how_a_transaction_has_ended() {
    for is_commit in [false, true] {
        let (disk, _broker, partition) = log_of(config());
        let log = partition.writable().unwrap();
        send(log, producer(1), &["a"]);
        disk.fail(FaultRule::new(FaultKind::InputOutput).on(Operation::Write).path_containing(".log"));
        let failed = log.end_transaction(producer(1), is_commit, 0).unwrap_err();
        assert!(matches!(failed, Error::Poisoned { .. }), "{failed}");
        assert_eq!(partition.last_stable_offset(), 1);
        assert_eq!(seen(&partition, Isolation::ReadCommitted), if is_commit { vec![0] } else { vec![] });
        assert!(matches!(log.end_transaction(producer(1), is_commit, 0), Err(Error::Poisoned { .. })));
        let refused = log.append_transactional(producer(1), &[ProducerRecord::new().value("b")]).unwrap_err();
        assert!(matches!(*refused, Error::Poisoned { .. }), "{refused}");
        assert_eq!(open_in(&partition), [0]);
        let (_broker, partition) = open(&disk.kill(1));
        assert_eq!(open_in(&partition), [0]);
        assert!(partition.writable().unwrap().end_transaction(producer(1), is_commit, 0).unwrap());
        assert_eq!(seen(&partition, Isolation::ReadCommitted), if is_commit { vec![0] } else { vec![] });
    }
}

#[test]
fn in_a_log_that_is_closed_or_deleted_nothing_is_ended() {
    let (_disk, broker, partition) = log_of(config());
    let log = partition.writable().unwrap();
    send(log, producer(1), &["a"]);
    broker.admin().delete_topic("t").unwrap();
    let closed = log.end_transaction(producer(1), true, 0).unwrap_err();
    assert!(matches!(closed, Error::Closed { by: ClosedBy::Deletion, .. }), "{closed}");
    let (_disk, broker, partition) = log_of(config());
    let log = partition.writable().unwrap();
    send(log, producer(1), &["a"]);
    broker.close().unwrap();
    let closed = log.end_transaction(producer(1), true, 0).unwrap_err();
    assert!(matches!(closed, Error::Closed { by: ClosedBy::Broker, .. }), "{closed}");
    assert_eq!(partition.last_stable_offset(), 0);
}

/// The failure: the budget is used up, and nothing can be ended that would let it shrink.
#[test]
fn a_marker_needs_no_room_in_the_budget() {
    let disk = SimulatedDisk::new(1);
    let broker = builder(&disk).disk_budget(8 << 20, crate::BudgetPolicy::DropOldest).open().unwrap();
    let topic = broker.create_topic("t", config().segment_bytes(1 << 20)).unwrap();
    let partition = topic.partition(0).unwrap();
    let log = partition.writable().unwrap();
    send(log, producer(1), &["a"]);
    let value = "x".repeat(30_000);
    let over = loop {
        log.prepare_append().unwrap();
        match log.append_transactional(producer(1), &[ProducerRecord::new().value(value.as_str())]) {
            Ok(_) => {}
            Err(error) => match log.make_room_after(error) {
                Ok(()) => {}
                Err(error) => break error,
            },
        }
    };
    assert!(matches!(over, Error::OverBudget { .. }), "{over}");
    assert!(abort(log, producer(1)));
    assert!(open_in(&partition).is_empty());
    assert_eq!(partition.last_stable_offset(), partition.log_end_offset());
    // Now there is something that can go.
    loop {
        match partition.append(&ProducerRecord::new().value(value.as_str())) {
            Ok(_) if partition.log_start_offset() > 0 => break,
            appended => _ = appended.unwrap(),
        }
    }
}

fn tokens(waiter: &Waiter) -> Vec<u32> {
    let mut tokens = Vec::new();
    waiter.take_tokens(&mut tokens);
    tokens
}

/// The failure: a consumer that has nothing to read is woken by each record of a transaction.
#[test]
fn who_waits_for_committed_records_is_woken_by_the_marker() {
    let (disk, _broker, partition) = log_of(config());
    let log = partition.writable().unwrap();
    let waiter = Arc::new(Waiter::default());
    let registrations = [Isolation::ReadCommitted, Isolation::ReadUncommitted]
        .map(|isolation| log.register(&waiter, isolation as u32, isolation));
    let arm = || registrations.iter().for_each(Registration::arm);
    let [committed, uncommitted] = [Isolation::ReadCommitted as u32, Isolation::ReadUncommitted as u32];
    arm();
    for _ in 0..3 {
        send(log, producer(1), &["a"]);
        assert!(tokens(&waiter).is_empty());
    }
    log.wake_uncommitted_readers();
    assert_eq!(tokens(&waiter), [uncommitted]);
    log.wake_uncommitted_readers();
    assert!(tokens(&waiter).is_empty(), "it waits no more");
    assert!(abort(log, producer(1)));
    assert_eq!(tokens(&waiter), [committed]);
    arm();
    send_plainly(&partition, "b");
    assert_eq!(tokens(&waiter).len(), 2);
    send(log, producer(1), &["a"]);
    arm();
    disk.fail(FaultRule::new(FaultKind::StorageFull).on(Operation::Write).path_containing(".log").forever());
    assert!(log.end_transaction(producer(1), true, 0).is_err());
    assert_eq!(tokens(&waiter).len(), 2, "it is to be seen, though there is no marker");
    drop(registrations);
    log.wake_uncommitted_readers();
    assert!(tokens(&waiter).is_empty());
}
