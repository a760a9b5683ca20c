//! How far a group has come, as a part of a transaction.

use std::time::Duration;

use ottla::testing::SimulatedDisk;
use ottla::{
    Broker, CommittedOffset, Consumer, ConsumerConfig, Error, ProducerRecord, TopicPartition, Transaction,
    TransactionalProducer,
};

use super::{builder, committed, is_settled, open, producer, with_topics};

fn t_0() -> TopicPartition {
    TopicPartition::new("t", 0)
}

/// A topic of 40 records, which a group without members reads, and a producer.
fn begin(disk: &SimulatedDisk) -> (Broker, Consumer, TransactionalProducer) {
    let broker = with_topics(disk, &["t", "out"]);
    let records: Vec<_> = (0..40).map(|_| ProducerRecord::to("t").value("v")).collect();
    broker.producer().send_batch("t", &records).unwrap();
    let consumer = by_hand(&broker);
    let producer = producer(&broker);
    (broker, consumer, producer)
}

fn by_hand(broker: &Broker) -> Consumer {
    let mut consumer = broker.consumer_with(ConsumerConfig::new("g")).unwrap();
    consumer.assign(&[t_0()]).unwrap();
    consumer
}

fn commit(consumer: &mut Consumer, offset: u64) {
    consumer.commit_offsets(&[(t_0(), CommittedOffset::new(offset))]).unwrap();
}

fn stage(transaction: &Transaction<'_>, consumer: &Consumer, offset: u64) {
    transaction.send_these_offsets(consumer, &[(t_0(), CommittedOffset::new(offset))]).unwrap();
}

fn stands_at(broker: &Broker) -> Option<u64> {
    broker.committed("g", &t_0()).unwrap().map(|committed| committed.offset())
}

#[test]
fn offsets_count_with_the_commit_and_not_before() {
    let disk = SimulatedDisk::new(1);
    let (broker, mut consumer, mut producer) = begin(&disk);
    commit(&mut consumer, 10);
    let transaction = producer.begin().unwrap();
    transaction.send(ProducerRecord::to("out").value("20")).unwrap();
    stage(&transaction, &consumer, 20);
    assert_eq!(stands_at(&broker), Some(10));
    transaction.commit().unwrap();
    assert_eq!(stands_at(&broker), Some(20));
    let transaction = producer.begin().unwrap();
    stage(&transaction, &consumer, 30);
    transaction.abort().unwrap();
    for broker in [broker.clone(), open(&disk.kill(1))] {
        assert_eq!((stands_at(&broker), committed(&broker, "out")), (Some(20), vec!["20".to_owned()]));
        is_settled(&broker, "out");
    }
    // What a process that is killed had staged is nowhere.
    let transaction = producer.begin().unwrap();
    stage(&transaction, &consumer, 30);
    assert_eq!(stands_at(&open(&disk.kill(1))), Some(20));
}

/// Enough commits of others that the topic of the offsets is compacted.
fn compact_offsets(broker: &Broker) {
    let mut other = broker.consumer_with(ConsumerConfig::new("other")).unwrap();
    other.assign(&[t_0()]).unwrap();
    let text = "x".repeat(20_000);
    for offset in 0..120 {
        let offset = CommittedOffset::new(offset % 40).with_metadata(&text);
        other.commit_offsets(&[(t_0(), offset)]).unwrap();
    }
    broker.run_maintenance().unwrap();
    broker.run_maintenance().unwrap();
}

#[test]
fn k10_06_what_was_staged_and_aborted_displaces_no_committed_offset() {
    let disk = SimulatedDisk::new(1);
    let (broker, mut consumer, mut producer) = begin(&disk);
    commit(&mut consumer, 10);
    let transaction = producer.begin().unwrap();
    stage(&transaction, &consumer, 20);
    compact_offsets(&broker);
    assert_eq!(stands_at(&broker), Some(10), "an open transaction is not compacted");
    let killed = open(&disk.kill(1));
    assert_eq!(stands_at(&killed), Some(10));
    compact_offsets(&killed);
    assert_eq!(stands_at(&killed), Some(10));
    assert_eq!(stands_at(&open(&disk.kill(1))), Some(10));
    killed.close().unwrap();
    transaction.abort().unwrap();
    compact_offsets(&broker);
    assert_eq!((stands_at(&broker), stands_at(&open(&disk.kill(2)))), (Some(10), Some(10)));
}

#[test]
fn k10_08_of_a_plain_and_a_transactional_commit_the_later_in_the_log_holds() {
    for plain_comes_last in [true, false] {
        let disk = SimulatedDisk::new(1);
        let (broker, mut consumer, mut producer) = begin(&disk);
        commit(&mut consumer, 10);
        let transaction = producer.begin().unwrap();
        if !plain_comes_last {
            commit(&mut consumer, 30);
        }
        stage(&transaction, &consumer, 20);
        if plain_comes_last {
            commit(&mut consumer, 30);
        }
        transaction.commit().unwrap();
        let expected = Some(if plain_comes_last { 30 } else { 20 });
        assert_eq!(stands_at(&broker), expected, "at once");
        let reader = Broker::builder("/data").disk(&disk).recovery_mode(ottla::RecoveryMode::ReadOnly).open().unwrap();
        assert_eq!(stands_at(&reader), expected, "in a second process");
        assert_eq!(stands_at(&open(&disk.kill(1))), expected, "after a kill");
        compact_offsets(&broker);
        assert_eq!(stands_at(&broker), expected, "after compaction");
        drop((consumer, producer, reader));
        broker.close().unwrap();
        assert_eq!(stands_at(&open(&disk)), expected, "after a close");
    }
}

#[test]
fn k10_09_staged_offsets_keep_their_group() {
    let day = Duration::from_secs(24 * 3600);
    let disk = SimulatedDisk::new(1);
    let open = |disk: &SimulatedDisk| builder(disk).offsets_retention(day).open().unwrap();
    let broker = open(&disk);
    broker.topic("t").unwrap();
    let records: Vec<_> = (0..40).map(|_| ProducerRecord::to("t").value("v")).collect();
    broker.producer().send_batch("t", &records).unwrap();
    let config = ottla::ProducerConfig::new().transaction_timeout(20 * day);
    let mut producer = broker.transactional_producer_with("p", config).unwrap();
    for is_committed in [true, false] {
        let mut consumer = by_hand(&broker);
        commit(&mut consumer, 10);
        let transaction = producer.begin().unwrap();
        stage(&transaction, &consumer, 20);
        drop(consumer);
        disk.advance(3 * day);
        broker.run_maintenance().unwrap();
        assert_eq!(stands_at(&broker), Some(10), "it has not expired");
        let told = broker.admin().delete_group("g").unwrap_err();
        assert!(told.to_string().contains(r#""p""#), "{told}");
        assert!(matches!(told, Error::OffsetsPending { .. }), "{told}");
        if is_committed {
            transaction.commit().unwrap();
        } else {
            transaction.abort().unwrap();
        }
        let expected = Some(if is_committed { 20 } else { 10 });
        assert_eq!(stands_at(&broker), expected);
        assert_eq!(stands_at(&open(&disk.kill(1))), expected);
        disk.advance(3 * day);
        broker.run_maintenance().unwrap();
        broker.run_maintenance().unwrap();
        assert_eq!(stands_at(&broker), None, "then it expires like any other");
    }
}

#[test]
fn a_member_that_lost_its_partition_commits_nothing_of_it() {
    let disk = SimulatedDisk::new(1);
    let broker = with_topics(&disk, &["t", "out"]);
    broker.existing_topic("t").unwrap().produce("k", "1").unwrap();
    let mut first = broker.consumer("g", ["t"]).unwrap();
    let mut producer = producer(&broker);
    assert_eq!(first.poll(Duration::ZERO).unwrap().len(), 1);
    let transaction = producer.begin().unwrap();
    transaction.send(ProducerRecord::to("out").value("1")).unwrap();
    transaction.send_offsets(&first).unwrap();
    // The partition goes to another member, and comes back.
    first.close().unwrap();
    let mut second = broker.consumer("g", ["t"]).unwrap();
    assert_eq!(second.poll(Duration::ZERO).unwrap().len(), 1, "the record is not done");
    let told = transaction.commit().unwrap_err();
    assert!(matches!(told, Error::TransactionAborted { .. }), "{told}");
    assert!(told.with_causes().to_string().contains("t-0"), "{}", told.with_causes());
    assert_eq!(committed(&broker, "out"), [""; 0]);
    let transaction = producer.begin().unwrap();
    transaction.send(ProducerRecord::to("out").value("1")).unwrap();
    transaction.send_offsets(&second).unwrap();
    transaction.commit().unwrap();
    assert_eq!((committed(&broker, "out").len(), stands_at(&broker)), (1, Some(1)));
}

#[test]
fn after_an_abort_a_consumer_goes_back_and_reads_it_again() {
    let disk = SimulatedDisk::new(1);
    let (broker, _, mut producer) = begin(&disk);
    let mut consumer = broker.consumer_with(ConsumerConfig::new("g").topics(["t"]).max_poll_records(10)).unwrap();
    let mut ends = Vec::new();
    for is_committed in [true, false, true] {
        let records = consumer.poll(Duration::ZERO).unwrap();
        ends.push(records.next_offset(&t_0()).unwrap());
        let transaction = producer.begin().unwrap();
        transaction.send_offsets(&consumer).unwrap();
        if is_committed {
            transaction.commit().unwrap();
        } else {
            transaction.abort().unwrap();
            consumer.seek_to_committed().unwrap();
        }
    }
    assert_eq!((ends, stands_at(&broker)), (vec![10, 20, 20], Some(20)));
}
