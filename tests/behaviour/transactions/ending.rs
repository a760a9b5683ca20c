//! How a transaction ends: committed, aborted, dropped, leaked, by a panic, by its timeout.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use ottla::testing::{FaultKind, FaultRule, Operation, SimulatedDisk};
use ottla::{
    Broker, ConsumerConfig, Durability, Error, FencedBy, ProducerConfig, ProducerRecord, TopicConfig, TransactionState,
};

use super::{committed, epoch, is_fenced, is_settled, open, partition, producer, send, uncommitted, with_topics};

#[test]
fn what_is_committed_is_seen_in_all_partitions_and_before_that_in_none() {
    let disk = SimulatedDisk::new(1);
    let broker = with_topics(&disk, &["a", "b"]);
    let mut producer = producer(&broker);
    for round in ["1", "2", "3"] {
        let before = committed(&broker, "a");
        let transaction = producer.begin().unwrap();
        send(&transaction, "a", round);
        send(&transaction, "b", round);
        send(&transaction, "a", round);
        for topic in ["a", "b"] {
            assert_eq!(committed(&broker, topic).len(), before.len() / if topic == "a" { 1 } else { 2 });
            assert!(partition(&broker, topic).last_stable_offset() < partition(&broker, topic).log_end_offset());
        }
        transaction.commit().unwrap();
        is_settled(&broker, "a");
        is_settled(&broker, "b");
    }
    assert_eq!(committed(&broker, "a"), ["1", "1", "2", "2", "3", "3"]);
    assert_eq!(committed(&broker, "b"), ["1", "2", "3"]);
    assert_eq!(epoch(&broker), 0, "a transaction costs no epoch");
    assert_eq!(broker.admin().describe_transaction("p").unwrap().state(), TransactionState::CompleteCommit);
}

#[test]
fn what_is_aborted_is_never_seen_and_what_comes_behind_it_is() {
    let disk = SimulatedDisk::new(1);
    let broker = with_topics(&disk, &["a"]);
    let mut producer = producer(&broker);
    let plain = broker.existing_topic("a").unwrap();
    plain.produce("k", "before").unwrap();
    let transaction = producer.begin().unwrap();
    send(&transaction, "a", "never");
    plain.produce("k", "beside").unwrap();
    assert_eq!(committed(&broker, "a"), ["before"], "it holds back what comes behind it");
    transaction.abort().unwrap();
    plain.produce("k", "after").unwrap();
    assert_eq!(committed(&broker, "a"), ["before", "beside", "after"]);
    assert_eq!(uncommitted(&broker, "a"), ["before", "never", "beside", "after"]);
    is_settled(&broker, "a");
    assert_eq!(broker.admin().describe_transaction("p").unwrap().state(), TransactionState::CompleteAbort);
    let reopened = super::open(&disk.kill(1));
    assert_eq!(committed(&reopened, "a"), ["before", "beside", "after"]);
}

#[test]
fn dropped_leaked_or_left_by_a_panic_it_is_aborted() {
    let disk = SimulatedDisk::new(1);
    let broker = with_topics(&disk, &["a"]);
    let mut producer = producer(&broker);
    let transaction = producer.begin().unwrap();
    send(&transaction, "a", "dropped");
    drop(transaction);
    is_settled(&broker, "a");

    let transaction = producer.begin().unwrap();
    send(&transaction, "a", "leaked");
    std::mem::forget(transaction);
    let transaction = producer.begin().unwrap();
    is_settled_but_for(&broker, "a");
    drop(transaction);

    let panicked = catch_unwind(AssertUnwindSafe(|| {
        let transaction = producer.begin().unwrap();
        send(&transaction, "a", "panicked");
        panic!("in the middle");
    }));
    assert!(panicked.is_err());
    is_settled(&broker, "a");

    let transaction = producer.begin().unwrap();
    send(&transaction, "a", "leaked for good");
    std::mem::forget(transaction);
    drop(producer);
    is_settled(&broker, "a");
    assert_eq!(committed(&broker, "a"), [""; 0]);
    let mut again = super::producer(&broker);
    let transaction = again.begin().unwrap();
    send(&transaction, "a", "kept");
    transaction.commit().unwrap();
    assert_eq!(committed(&broker, "a"), ["kept"]);
}

/// That nothing is open in the log of a topic, whatever was begun elsewhere.
fn is_settled_but_for(broker: &Broker, topic: &str) {
    let log = partition(broker, topic);
    assert_eq!(log.last_stable_offset(), log.high_watermark());
}

#[test]
fn a_transaction_with_nothing_in_it_writes_nothing() {
    let disk = SimulatedDisk::new(1);
    let broker = with_topics(&disk, &["a"]);
    let mut producer = producer(&broker);
    let calls = disk.calls();
    producer.begin().unwrap().commit().unwrap();
    producer.begin().unwrap().abort().unwrap();
    drop(producer.begin().unwrap());
    assert_eq!(disk.calls(), calls);
}

/// Two syncs, whatever the number of partitions; none where nobody asks for durability.
#[test]
fn a_commit_takes_two_syncs_and_a_send_none() {
    for (durability, syncs_max) in [(Durability::Always, 2), (Durability::Os, 0)] {
        let disk = SimulatedDisk::new(1);
        let broker = super::builder(&disk).durability(durability).open().unwrap();
        broker.create_topic("a", TopicConfig::new().partitions(4)).unwrap();
        let mut producer = producer(&broker);
        for _ in 0..5 {
            let before = disk.calls();
            let transaction = producer.begin().unwrap();
            for number in 0..100 {
                let record = ProducerRecord::to("a").partition(number % 4).value("v");
                transaction.send(record).unwrap();
            }
            let syncs = |from| {
                let is_sync = |operation| matches!(operation, Operation::Sync | Operation::SyncDir);
                disk.log().into_iter().filter(|call| from < call.number && is_sync(call.operation)).count()
            };
            assert_eq!(syncs(before), 0, "{durability:?}");
            transaction.commit().unwrap();
            assert!(syncs(before) <= syncs_max, "{durability:?}: {}", syncs(before));
        }
        assert_eq!(broker.existing_topic("a").unwrap().partition(3).unwrap().iter_from(0).count(), 125);
    }
}

#[test]
fn k10_01_the_timeout_aborts_or_the_commit_is_ok() {
    for is_late in [false, true] {
        let disk = SimulatedDisk::new(1);
        let broker = with_topics(&disk, &["t", "u"]);
        let config = || ProducerConfig::new().transaction_timeout(Duration::from_secs(1));
        let mut producer = broker.transactional_producer_with("p", config()).unwrap();
        let transaction = producer.begin().unwrap();
        send(&transaction, "t", "a");
        send(&transaction, "u", "b");
        let ends = |broker: &Broker| ["t", "u"].map(|topic| partition(broker, topic).log_end_offset());
        disk.set_now_ms(1_000_000);
        disk.advance(Duration::from_secs(2));
        if is_late {
            broker.run_maintenance().unwrap();
            let told = transaction.commit().unwrap_err();
            assert!(told.to_string().contains("for longer than the 1s of transaction.timeout.ms"), "{told}");
            assert_eq!(is_fenced::<()>(Err(told)), FencedBy::Timeout(Duration::from_secs(1)));
            is_fenced(producer.begin());
        } else {
            transaction.commit().unwrap();
            broker.run_maintenance().unwrap();
        }
        assert_eq!(ends(&broker), [2, 2]);
        let seen = if is_late { [vec![], vec![]] } else { [vec!["a"], vec!["b"]] };
        let found = |broker: &Broker| [committed(broker, "t"), committed(broker, "u")];
        assert_eq!(found(&broker), seen);
        // What came too late has left nothing, and the name can be used at once.
        let mut again = broker.transactional_producer_with("p", config()).unwrap();
        let transaction = again.begin().unwrap();
        transaction.abort().unwrap();
        assert_eq!(ends(&broker), [2, 2]);
        let reopened = open(&disk.kill(1));
        assert_eq!(found(&reopened), seen);
    }
}

#[test]
fn k10_10_a_topic_that_is_deleted_takes_the_transaction_along_before_the_decision() {
    let disk = SimulatedDisk::new(1);
    let broker = with_topics(&disk, &["a", "b"]);
    let mut producer = producer(&broker);
    let transaction = producer.begin().unwrap();
    send(&transaction, "a", "1");
    send(&transaction, "b", "1");
    broker.admin().delete_topic("a").unwrap();
    broker.topic_with("a", TopicConfig::new()).unwrap();
    let told = transaction.commit().unwrap_err();
    assert!(matches!(told, Error::TransactionAborted { .. }), "{told}");
    assert!(told.with_causes().to_string().contains("a-0"), "{}", told.with_causes());
    assert!(!told.requires_abort() && !told.is_fatal());
    is_settled(&broker, "b");
    assert_eq!(committed(&broker, "b"), [""; 0]);
    assert_eq!(partition(&broker, "a").log_end_offset(), 0, "no marker goes to the new topic");
    let transaction = producer.begin().unwrap();
    send(&transaction, "a", "2");
    transaction.commit().unwrap();
    assert_eq!(committed(&broker, "a"), ["2"]);
}

#[test]
fn k10_10_and_after_it_the_others_complete() {
    let disk = SimulatedDisk::new(1);
    let broker = with_topics(&disk, &["a", "b"]);
    let mut producer = producer(&broker);
    let transaction = producer.begin().unwrap();
    send(&transaction, "a", "1");
    send(&transaction, "b", "1");
    // The marker of a finds no disk: it is deleted between the decision and that.
    disk.fail(FaultRule::new(FaultKind::InputOutput).on(Operation::Write).path_containing("a-0/").forever());
    transaction.commit().unwrap();
    assert_eq!(committed(&broker, "b"), ["1"]);
    disk.clear_faults();
    broker.admin().delete_topic("a").unwrap();
    broker.run_maintenance().unwrap();
    is_settled(&broker, "b");
    let reopened = open(&disk.kill(1));
    assert_eq!(reopened.recovery_report().committed_transactions(), 0, "{}", reopened.recovery_report());
    assert_eq!(committed(&reopened, "b"), ["1"]);
    is_settled(&reopened, "b");
}

#[test]
fn k10_11_a_decision_that_is_durable_is_never_called_a_failure() {
    let disk = SimulatedDisk::new(1);
    let broker = with_topics(&disk, &["t", "u"]);
    let mut producer = producer(&broker);
    let transaction = producer.begin().unwrap();
    send(&transaction, "t", "1");
    send(&transaction, "u", "1");
    disk.fail(FaultRule::new(FaultKind::InputOutput).on(Operation::Write).path_containing("u-0/"));
    transaction.commit().unwrap();
    assert!(disk.faults_injected() > 0);
    for topic in ["t", "u"] {
        assert_eq!(committed(&broker, topic), ["1"], "{topic}");
    }
    assert!(matches!(broker.admin().abort_transaction("p"), Err(Error::InvalidState { .. })));
    let failed = broker.existing_topic("u").unwrap().produce("k", "v");
    assert!(matches!(failed, Err(Error::Poisoned { .. })), "{failed:?}");
    // Until the marker is there nobody goes on under this name: the next decision would take the place of this one.
    let next = producer.begin();
    assert!(matches!(next, Err(Error::Poisoned { .. })), "{next:?}");
    drop(next);
    for image in [disk.kill(1), disk.crash(1, ottla::testing::CrashModel::Ordered)] {
        let reopened = open(&image);
        for topic in ["t", "u"] {
            assert_eq!(committed(&reopened, topic), ["1"], "{topic}");
            is_settled(&reopened, topic);
        }
    }
}

#[test]
fn what_is_wrong_is_refused_with_what_to_do() {
    let disk = SimulatedDisk::new(1);
    let broker = with_topics(&disk, &["a"]);
    let mut producer = producer(&broker);
    let transaction = producer.begin().unwrap();
    send(&transaction, "a", "1");
    // The caller's mistakes change nothing.
    let unknown = transaction.send(ProducerRecord::to("none").value("v")).unwrap_err();
    assert!(matches!(unknown, Error::UnknownTopic { .. }) && !unknown.requires_abort());
    let unnamed = transaction.send(ProducerRecord::value(ProducerRecord::to("a"), "v").partition(7)).unwrap_err();
    assert!(matches!(unnamed, Error::UnknownPartition { .. }) && !unnamed.requires_abort());
    let large = vec![0; 2 << 20];
    let too_large = transaction.send(ProducerRecord::to("a").value(&large)).unwrap_err();
    assert!(matches!(too_large, Error::RecordTooLarge { .. }) && !too_large.requires_abort());
    transaction.set_checkpoint(vec![0; 70_000]).unwrap_err();
    transaction.commit().unwrap();
    assert_eq!(committed(&broker, "a"), ["1"]);

    let (elsewhere, _dir) = (Broker::temporary().unwrap(), ());
    elsewhere.topic("a").unwrap();
    let stranger = elsewhere.consumer("g", ["a"]).unwrap();
    let transaction = producer.begin().unwrap();
    let told = transaction.send_offsets(&stranger).unwrap_err();
    assert!(matches!(told, Error::InvalidState { .. }), "{told}");
    let by_itself = broker
        .consumer_with(ConsumerConfig::new("g").topics(["a"]).auto_commit_interval(Duration::from_secs(1)))
        .unwrap();
    let told = transaction.send_offsets(&by_itself).unwrap_err();
    assert!(told.to_string().contains("auto"), "{told}");
    transaction.commit().unwrap();

    assert!(matches!(broker.transactional_producer(""), Err(Error::InvalidConfig { .. })));
    assert!(matches!(broker.transactional_producer(&"x".repeat(40_000)), Err(Error::InvalidConfig { .. })));
    let admin = broker.admin();
    assert!(matches!(admin.describe_transaction("q"), Err(Error::UnknownTransactionalId { .. })));
    assert!(matches!(admin.abort_transaction("q"), Err(Error::UnknownTransactionalId { .. })));
    assert!(!admin.abort_transaction("p").unwrap(), "nothing is open");
    let zero = ProducerConfig::new().transaction_timeout(Duration::ZERO);
    assert!(matches!(broker.transactional_producer_with("p", zero), Err(Error::InvalidConfig { .. })));
    broker.close().unwrap();
    assert!(matches!(producer.begin(), Err(Error::Closed { .. })));
}

#[test]
fn what_fails_for_other_reasons_can_only_be_aborted() {
    let disk = SimulatedDisk::new(1);
    let broker = with_topics(&disk, &["a", "b"]);
    let mut producer = producer(&broker);
    let transaction = producer.begin().unwrap();
    send(&transaction, "a", "1");
    broker.admin().delete_topic("b").unwrap();
    broker.topic("c").unwrap();
    disk.fail(FaultRule::new(FaultKind::StorageFull).on(Operation::Write).forever());
    disk.fail(FaultRule::new(FaultKind::StorageFull).on(Operation::SetSize).forever());
    let large = vec![0; 200_000];
    let told = transaction.send(ProducerRecord::to("c").value(&large)).unwrap_err();
    assert!(told.requires_abort() && !told.is_fatal(), "{told}");
    assert!(told.with_causes().to_string().contains("disk is full"), "{}", told.with_causes());
    let told = transaction.send(ProducerRecord::to("a").value("2")).unwrap_err();
    assert!(told.requires_abort(), "{told}");
    let told = transaction.commit().unwrap_err();
    assert!(matches!(told, Error::TransactionAborted { .. }), "{told}");
    disk.clear_faults();
    broker.run_maintenance().unwrap();
    is_settled(&broker, "a");
    assert_eq!(committed(&broker, "a"), [""; 0]);
}

#[test]
fn nobody_but_their_coordinators_writes_to_internal_topics() {
    let disk = SimulatedDisk::new(1);
    let broker = with_topics(&disk, &["a"]);
    let mut producer = producer(&broker);
    broker.consumer("g", ["a"]).unwrap();
    for topic in ["__transaction_state", "__consumer_offsets"] {
        let ends = || partition(&broker, topic).log_end_offset();
        let before = ends();
        let record = || ProducerRecord::to(topic).key("k");
        let plain = broker.producer().send(record());
        assert!(matches!(plain, Err(Error::InvalidTopic { .. })), "{plain:?}");
        let appended = partition(&broker, topic).append(&record());
        assert!(matches!(appended, Err(Error::InvalidTopic { .. })), "{appended:?}");
        let transaction = producer.begin().unwrap();
        let sent = transaction.send(record());
        assert!(matches!(sent, Err(Error::InvalidTopic { .. })), "{sent:?}");
        transaction.commit().unwrap();
        assert_eq!(ends(), before);
    }
}
