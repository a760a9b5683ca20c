//! What an open transaction holds back, and how that can be seen.

use std::time::Duration;

use ottla::testing::SimulatedDisk;
use ottla::{
    BudgetPolicy, Durability, Error, ProducerConfig, ProducerRecord, RecoveryMode, TopicConfig, TopicPartition,
    TransactionState,
};

use super::{builder, committed, is_settled, partition, producer, send, with_topics};

#[test]
fn it_is_described_while_it_is_open() {
    let disk = SimulatedDisk::new(1);
    let broker = with_topics(&disk, &["t", "u"]);
    broker.existing_topic("u").unwrap().produce("k", "before").unwrap();
    let mut producer = producer(&broker);
    let transaction = producer.begin().unwrap();
    send(&transaction, "t", "a");
    send(&transaction, "u", "a");
    disk.advance(Duration::from_secs(5));
    let description = broker.admin().describe_transaction("p").unwrap();
    assert_eq!((description.age(), description.timeout()), (Some(Duration::from_secs(5)), Duration::from_secs(60)));
    let open: Vec<_> =
        description.partitions().iter().map(|open| (open.topic_partition().to_string(), open.first_offset())).collect();
    assert_eq!(open, [("t-0".to_owned(), 0), ("u-0".to_owned(), 1)]);
    let health = broker.admin().health();
    assert!(health.is_healthy());
    let told: Vec<_> = health.open_transactions.iter().map(ToString::to_string).collect();
    assert_eq!(
        told,
        [
            r#"t-0 waits from 0 on for the transaction of "p", open for 5s"#,
            r#"u-0 waits from 1 on for the transaction of "p", open for 5s"#
        ]
    );
    transaction.commit().unwrap();
    is_settled(&broker, "t");
}

#[test]
fn who_reads_along_knows_what_is_open_by_what_the_logs_have() {
    let disk = SimulatedDisk::new(1);
    let broker = with_topics(&disk, &["t", "u"]);
    broker.existing_topic("u").unwrap().produce("k", "before").unwrap();
    let reader = builder(&disk).recovery_mode(RecoveryMode::ReadOnly).open().unwrap();
    let described = || reader.admin().describe_transaction("p").unwrap();
    let mut producer = producer(&broker);
    for is_commit in [true, false] {
        let transaction = producer.begin().unwrap();
        assert!(!described().is_open(), "it has sent nothing yet");
        send(&transaction, "t", "a");
        send(&transaction, "u", "a");
        assert_eq!(described().state(), TransactionState::Ongoing);
        assert_eq!(described().partitions(), broker.admin().describe_transaction("p").unwrap().partitions());
        assert_eq!(described().partitions().len(), 2);
        let ended = if is_commit { transaction.commit() } else { transaction.abort() };
        ended.unwrap();
        is_settled(&broker, "t");
        is_settled(&broker, "u");
        assert!(!described().is_open() && described().partitions().is_empty(), "{:?}", described());
    }
}

#[test]
fn k10_13_an_open_transaction_meets_retention_delete_records_and_a_budget() {
    let disk = SimulatedDisk::new(1);
    // What only this log can give room for.
    let broker = builder(&disk)
        .durability(Durability::Os)
        .tail_bytes(1 << 20)
        .disk_budget(24 << 20, BudgetPolicy::DropOldest)
        .open()
        .unwrap();
    let second = Duration::from_secs(1);
    let config = TopicConfig::new().segment_bytes(1 << 20).retention_ms(second);
    let topic = broker.create_topic("t", config).unwrap();
    let value = vec![7; 300_000];
    for _ in 0..5 {
        topic.produce("k", &value).unwrap();
    }
    let two_hours = Duration::from_secs(2 * 3600);
    let config = ProducerConfig::new().transaction_timeout(two_hours);
    let mut producer = broker.transactional_producer_with("p", config).unwrap();
    let transaction = producer.begin().unwrap();
    assert_eq!(send(&transaction, "t", "first"), 5);
    for _ in 0..5 {
        topic.produce("k", &value).unwrap();
    }
    disk.advance(Duration::from_secs(3600));
    broker.run_maintenance().unwrap();
    let log = partition(&broker, "t");
    let start = log.log_start_offset();
    assert!(0 < start && start <= 5, "nothing from 5 on has gone: {start}");
    let health = broker.admin().health();
    assert_eq!(health.open_transactions[0].transactional_id, "p");
    let told = broker.admin().delete_records(&[(TopicPartition::new("t", 0), 8)]).unwrap_err();
    assert!(
        matches!(&told, Error::TransactionOpen { transactional_id, first_offset: 5, .. } if transactional_id == "p")
    );
    assert_eq!(log.log_start_offset(), start);
    // Plain sends until the budget is used up, and then one of the transaction.
    let plain = loop {
        if let Err(error) = topic.produce("k", &value) {
            break error;
        }
    };
    assert!(matches!(plain, Error::OverBudget { .. }) && !plain.requires_abort(), "{plain}");
    let told = transaction.send(ProducerRecord::to("t").value(&value)).unwrap_err();
    assert!(told.requires_abort() && told.with_causes().to_string().contains("disk budget"), "{told}");
    assert!(5 >= log.log_start_offset());
    transaction.abort().unwrap();
    is_settled(&broker, "t");
    disk.advance(Duration::from_secs(3600));
    broker.run_maintenance().unwrap();
    broker.run_maintenance().unwrap();
    assert!(5 < log.log_start_offset());
    topic.produce("k", &value).unwrap();
    assert!(!committed(&broker, "t").iter().any(|value| value == "first"));
}
