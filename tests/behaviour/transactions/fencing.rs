//! One holder of a name at a time, and an epoch that nobody had.

use std::time::Duration;

use ottla::testing::{CrashModel, FaultKind, FaultRule, Operation, SimulatedDisk};
use ottla::{Error, FencedBy, ProducerRecord};

use super::{builder, committed, epoch, is_fenced, is_settled, open, partition, producer, send, with_topics};

#[test]
fn k10_02_nothing_of_a_fenced_holder_lies_behind_the_abort() {
    let disk = SimulatedDisk::new(1);
    let broker = with_topics(&disk, &["t", "u"]);
    let mut first = producer(&broker);
    let transaction = first.begin().unwrap();
    send(&transaction, "t", "a");
    let mut second = producer(&broker);
    assert_eq!(partition(&broker, "t").log_end_offset(), 2, "the record and the marker");
    // Also in a partition that the transaction has not been to.
    for topic in ["t", "u"] {
        assert_eq!(is_fenced(transaction.send(ProducerRecord::to(topic).value("late"))), FencedBy::Newer);
    }
    assert_eq!(is_fenced(transaction.commit()), FencedBy::Newer);
    assert_eq!(is_fenced(first.begin()), FencedBy::Newer);
    for topic in ["t", "u"] {
        is_settled(&broker, topic);
    }
    assert_eq!([partition(&broker, "t").log_end_offset(), partition(&broker, "u").log_end_offset()], [2, 0]);
    let transaction = second.begin().unwrap();
    send(&transaction, "u", "kept");
    transaction.commit().unwrap();
    assert_eq!([committed(&broker, "t").len(), committed(&broker, "u").len()], [0, 1]);
    drop(first);
    assert!(second.begin().is_ok(), "the handle of the former one takes nothing along");
}

#[test]
fn k10_03_a_fence_that_cannot_be_written_has_fenced_nobody() {
    let disk = SimulatedDisk::new(1);
    let broker = with_topics(&disk, &["t"]);
    let mut first = producer(&broker);
    let before = epoch(&broker);
    let fault = |operation| FaultRule::new(FaultKind::StorageFull).on(operation).forever();
    for operation in [Operation::Write, Operation::SetSize] {
        disk.fail(fault(operation));
    }
    // So that a record of the name finds no slot with room, either.
    let mut refused = 0;
    for _ in 0..2000 {
        match broker.transactional_producer("p") {
            Ok(newer) => first = newer,
            Err(error) => {
                assert!(error.is_retriable(), "{error}");
                refused += 1;
            }
        }
        if refused == 100 {
            break;
        }
    }
    assert_eq!(refused, 100);
    let at_full = epoch(&broker);
    let transaction = first.begin().unwrap();
    disk.clear_faults();
    send(&transaction, "t", "a");
    transaction.commit().unwrap();
    drop(producer(&broker));
    assert_eq!(epoch(&broker), at_full + 1);
    assert!(before <= at_full);
    is_fenced(first.begin());
    // A crash at any time gives an epoch that nobody had.
    for (seed, model) in (0..8).flat_map(|seed| CrashModel::ALL.map(|model| (seed, model))) {
        let reopened = open(&disk.crash(seed, model));
        drop(producer(&reopened));
        assert!(at_full + 1 < epoch(&reopened));
    }
}

#[test]
fn a_name_is_taken_over_after_a_kill_and_after_a_close() {
    let disk = SimulatedDisk::new(1);
    let broker = with_topics(&disk, &["t"]);
    let mut first = producer(&broker);
    let transaction = first.begin().unwrap();
    send(&transaction, "t", "a");
    let killed = disk.kill(1);
    let reopened = open(&killed);
    assert_eq!(reopened.recovery_report().aborted_transactions(), 1);
    is_settled(&reopened, "t");
    let mut second = producer(&reopened);
    let transaction = second.begin().unwrap();
    send(&transaction, "t", "b");
    transaction.commit().unwrap();
    assert_eq!(committed(&reopened, "t"), ["b"]);
    let before = epoch(&reopened);
    reopened.close().unwrap();
    is_closed(second.begin());
    drop(second);
    let again = open(&killed);
    drop(producer(&again));
    assert_eq!(epoch(&again), before + 1);
}

fn is_closed<T: std::fmt::Debug>(result: ottla::Result<T>) {
    assert!(matches!(result, Err(Error::Closed { .. })), "{result:?}");
}

#[test]
fn an_administrator_aborts_what_is_open_and_fences_who_has_it() {
    let disk = SimulatedDisk::new(1);
    let broker = with_topics(&disk, &["t"]);
    let mut producer = producer(&broker);
    let transaction = producer.begin().unwrap();
    send(&transaction, "t", "a");
    assert!(broker.admin().abort_transaction("p").unwrap());
    is_settled(&broker, "t");
    assert_eq!(is_fenced(transaction.send(ProducerRecord::to("t").value("late"))), FencedBy::Admin);
    drop(transaction);
    assert_eq!(is_fenced(producer.begin()), FencedBy::Admin);
    let mut again = super::producer(&broker);
    again.begin().unwrap().commit().unwrap();
    assert_eq!(partition(&broker, "t").log_end_offset(), 2);
}

#[test]
fn k10_14_a_name_that_has_expired_comes_back_as_another_producer() {
    let day = Duration::from_secs(24 * 3600);
    let disk = SimulatedDisk::new(1);
    let broker = builder(&disk).transactional_id_expiration(7 * day).open().unwrap();
    broker.topic("t").unwrap();
    let mut first = producer(&broker);
    let transaction = first.begin().unwrap();
    send(&transaction, "t", "a");
    transaction.set_checkpoint("row 1").unwrap();
    transaction.commit().unwrap();
    let second = producer(&broker);
    assert_eq!(second.checkpoint(), Some(&b"row 1"[..]));
    let id = broker.admin().describe_transaction("p").unwrap().producer_id();
    disk.advance(8 * day);
    broker.run_maintenance().unwrap();
    assert_eq!(broker.admin().list_transactions().unwrap().len(), 1, "somebody holds it");
    drop(second);
    disk.advance(7 * day);
    broker.run_maintenance().unwrap();
    assert!(broker.admin().list_transactions().unwrap().is_empty());
    for _ in 0..2 {
        is_fenced(first.begin());
        let third = producer(&broker);
        assert_eq!(third.checkpoint(), None);
        assert_ne!(broker.admin().describe_transaction("p").unwrap().producer_id(), id);
    }
    for (seed, model) in (0..8).flat_map(|seed| CrashModel::ALL.map(|model| (seed, model))) {
        let reopened = open(&disk.crash(seed, model));
        drop(producer(&reopened));
        assert_ne!(reopened.admin().describe_transaction("p").unwrap().producer_id(), id);
    }
}

#[test]
fn a_transaction_that_begins_while_its_name_is_taken_is_aborted_too() {
    let disk = SimulatedDisk::new(1);
    let broker = with_topics(&disk, &["t"]);
    for _ in 0..200 {
        let mut former = producer(&broker);
        let mut newer = std::thread::scope(|scope| {
            // It works until it is told that it has lost its name.
            scope.spawn(move || {
                while let Ok(transaction) = former.begin() {
                    if transaction.send(ProducerRecord::to("t").value("former")).is_err()
                        || transaction.commit().is_err()
                    {
                        break;
                    }
                }
            });
            std::thread::yield_now();
            producer(&broker)
        });
        let transaction = newer.begin().unwrap();
        send(&transaction, "t", "newer");
        transaction.commit().unwrap();
        is_settled(&broker, "t");
    }
}
