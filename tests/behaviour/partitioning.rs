//! Which partition a record goes to.

use std::collections::BTreeSet;

use ottla::{Broker, DefaultPartitioner, Durability, Error, ProducerConfig, ProducerRecord, TopicConfig};

fn broker_with_partitions(count: u32) -> Broker {
    let broker = Broker::temporary().unwrap();
    broker.create_topic("orders", TopicConfig::new().partitions(count)).unwrap();
    broker
}

#[test]
fn a_key_goes_where_any_kafka_client_would_send_it() {
    let broker = broker_with_partitions(10);
    let vectors: serde_json::Value = serde_json::from_str(include_str!("../format/kafka-vectors.json")).unwrap();
    let mut checked = 0;
    for vector in vectors["partitioner"].as_array().unwrap() {
        let (Some(key), Some(partition)) = (vector["ascii"].as_str(), vector["partition_of_10"].as_u64()) else {
            continue;
        };
        let sent = broker.producer().send(ProducerRecord::to("orders").key(key)).unwrap();
        assert_eq!(u64::from(sent.partition()), partition, "{key}");
        let sent = broker.topic("orders").unwrap().produce(key, "v").unwrap();
        assert_eq!(u64::from(sent.partition()), partition, "{key}");
        checked += 1;
    }
    assert!(checked > 5);
}

#[test]
fn records_without_a_key_go_in_runs_and_reach_every_partition() {
    let broker = Broker::temporary().unwrap();
    // Nobody asks whether they survive a power cut.
    broker.create_topic("orders", TopicConfig::new().partitions(4).durability(Durability::Os)).unwrap();
    let producer = broker.producer();
    let value = [1; 1000];
    let sent: Vec<_> =
        (0..2000).map(|_| producer.send(ProducerRecord::to("orders").value(&value)).unwrap().partition()).collect();
    let changes = sent.windows(2).filter(|pair| pair[0] != pair[1]).count();
    assert!((50..130).contains(&changes), "16 KiB are about 16 records: {changes} changes");
    assert_eq!(sent.into_iter().collect::<BTreeSet<_>>().len(), 4);
}

#[test]
fn a_partition_that_is_named_is_taken() {
    let broker = broker_with_partitions(4);
    let sent = broker.producer().send(ProducerRecord::to("orders").key("k").partition(3)).unwrap();
    assert_eq!((sent.partition(), sent.to_string().as_str()), (3, "orders-3@0"));
    match broker.producer().send(ProducerRecord::to("orders").partition(4)) {
        Err(Error::UnknownPartition { partition, partition_count, .. }) => {
            assert_eq!((partition.to_string().as_str(), partition_count), ("orders-4", 4));
        }
        other => panic!("{other:?}"),
    }
    assert!(matches!(broker.topic("orders").unwrap().partition(u32::MAX), Err(Error::UnknownPartition { .. })));
}

#[test]
fn a_closure_decides() {
    let broker = broker_with_partitions(4);
    let config = ProducerConfig::new().partitioner(|record: &ProducerRecord<'_>, count: u32| {
        assert_eq!(count, 4);
        u32::from(record.get_value().unwrap()[0])
    });
    let producer = broker.producer_with(config).unwrap();
    for wanted in [2, 0, 3, 1] {
        let sent = producer.send(ProducerRecord::to("orders").key("k").value(&[wanted])).unwrap();
        assert_eq!(sent.partition(), u32::from(wanted));
    }
    let refused = producer.send(ProducerRecord::to("orders").value(&[4]));
    assert!(matches!(refused, Err(Error::UnknownPartition { .. })), "{refused:?}");
}

#[test]
fn a_partitioner_that_panics_fails_its_send_only() {
    let broker = broker_with_partitions(4);
    let config = ProducerConfig::new().partitioner(|record: &ProducerRecord<'_>, _: u32| {
        assert!(record.get_value().is_some(), "a panic that this test wants");
        1
    });
    let producer = broker.producer_with(config).unwrap();
    let failed = producer.send(ProducerRecord::to("orders"));
    assert!(matches!(failed, Err(Error::InvalidState { .. })), "{failed:?}");
    let failed =
        producer.send_batch("orders", &[ProducerRecord::to("orders").value("v"), ProducerRecord::to("orders")]);
    assert!(matches!(failed, Err(Error::InvalidState { .. })), "{failed:?}");
    assert_eq!(producer.send(ProducerRecord::to("orders").value("v")).unwrap().offset(), 0);
}

#[test]
fn a_partitioner_may_use_the_broker() {
    let broker = broker_with_partitions(4);
    let inner = broker.clone();
    let config = ProducerConfig::new().partitioner(move |record: &ProducerRecord<'_>, _: u32| {
        inner.producer().send(ProducerRecord::to("orders").partition(3).value("from within")).unwrap();
        inner.topic("audit").unwrap().produce("k", record.get_value().unwrap()).unwrap();
        inner.admin().add_partitions("orders", 5).unwrap();
        4
    });
    let producer = broker.producer_with(config).unwrap();
    let sent = producer.send(ProducerRecord::to("orders").value("v")).unwrap();
    assert_eq!((sent.partition(), sent.offset()), (4, 0));
    assert_eq!(broker.topic("orders").unwrap().partition(3).unwrap().log_end_offset(), 1);
    assert_eq!(broker.topic("audit").unwrap().partition(0).unwrap().log_end_offset(), 1);
}

#[test]
fn the_default_partitioner_can_be_asked() {
    assert_eq!(DefaultPartitioner::partition_of_key(b"customer-1", 1), 0);
    assert!(DefaultPartitioner::partition_of_key(b"customer-1", 7) < 7);
}
