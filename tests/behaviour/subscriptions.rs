//! Which partitions a consumer reads: those of its topics as they come and go, or those that it was given.

use std::time::Duration;

use ottla::{Broker, ConsumerConfig, Error, ProducerRecord, SeekTo, TopicConfig, TopicPartition};

const SOON: Duration = Duration::from_secs(5);

fn orders(partition: u32) -> TopicPartition {
    TopicPartition::new("orders", partition)
}

#[test]
fn a_topic_that_is_created_later_is_read() {
    let broker = Broker::temporary().unwrap();
    let waiting = ConsumerConfig::new("g").topics(["orders"]).wait_for_topics(true);
    let mut consumer = broker.consumer_with(waiting).unwrap();
    assert!(consumer.poll(Duration::ZERO).unwrap().is_empty());
    assert!(consumer.assignment().is_empty());
    broker.topic("orders").unwrap().produce("k", "v").unwrap();
    assert_eq!(consumer.poll(SOON).unwrap().len(), 1);
    assert_eq!(consumer.assignment(), [orders(0)]);
}

#[test]
fn a_topic_that_is_not_there_is_an_error_unless_it_is_waited_for() {
    let broker = Broker::temporary().unwrap();
    broker.topic("orders").unwrap().produce("k", "v").unwrap();
    let is_unknown =
        |error: Error| assert!(matches!(&error, Error::UnknownTopic { name, .. } if name == "order"), "{error:?}");
    is_unknown(broker.consumer("g", ["orders", "order"]).unwrap_err());
    assert!(broker.admin().describe_group("g").is_err(), "nobody has joined");

    let mut consumer = broker.consumer("g", ["orders"]).unwrap();
    is_unknown(consumer.subscribe(["order"]).unwrap_err());
    assert_eq!(consumer.assignment(), [orders(0)], "nothing was given up");
    assert_eq!(consumer.poll(SOON).unwrap().len(), 1);
    is_unknown(consumer.assign(&[TopicPartition::new("order", 0)]).unwrap_err());

    let waiting = ConsumerConfig::new("h").set("ottla.wait.for.topics", "true").unwrap().topics(["orders", "order"]);
    let mut consumer = broker.consumer_with(waiting).unwrap();
    assert_eq!(consumer.poll(SOON).unwrap().len(), 1);
    consumer.subscribe(["order", "later"]).unwrap();
    broker.topic("later").unwrap().produce("k", "v").unwrap();
    assert_eq!(consumer.poll(SOON).unwrap().len(), 1);
}

#[test]
fn a_topic_that_can_never_be_is_refused_at_once() {
    let broker = Broker::temporary().unwrap();
    broker.topic("orders").unwrap();
    let is_invalid = |error: Error| assert!(matches!(error, Error::InvalidTopic { .. }), "{error:?}");
    for name in ["my orders", "", "..", "orders/eu", &"x".repeat(250)] {
        let waiting = ConsumerConfig::new("g").topics(["orders", name]).wait_for_topics(true);
        is_invalid(broker.consumer_with(waiting).unwrap_err());
        let mut consumer = broker.consumer("g", ["orders"]).unwrap();
        is_invalid(consumer.subscribe([name]).unwrap_err());
        is_invalid(consumer.assign(&[TopicPartition::new(name, 0)]).unwrap_err());
        assert_eq!(consumer.assignment(), [orders(0)]);
        is_invalid(broker.existing_topic(name).unwrap_err());
        is_invalid(broker.producer().send(ProducerRecord::to(name).value("v")).unwrap_err());
        is_invalid(broker.admin().describe(name).unwrap_err());
    }
}

#[test]
fn both_levels_of_isolation_see_all_as_long_as_there_are_no_transactions() {
    let broker = Broker::temporary().unwrap();
    let topic = broker.topic("orders").unwrap();
    (0..3).for_each(|n| drop(topic.produce("k", n.to_string()).unwrap()));
    let partition = topic.partition(0).unwrap();
    assert_eq!([partition.high_watermark(), partition.last_stable_offset()], [3, 3]);
    for (group, level) in [("committed", "read_committed"), ("uncommitted", "read_uncommitted")] {
        let config = ConsumerConfig::new(group).topics(["orders"]).set("isolation.level", level).unwrap();
        let mut consumer = broker.consumer_with(config).unwrap();
        assert_eq!(consumer.lag(&orders(0)), Some(3));
        assert_eq!(consumer.poll(SOON).unwrap().len(), 3);
        assert_eq!(consumer.lag(&orders(0)), Some(0));
        consumer.seek(&orders(0), SeekTo::Latest).unwrap();
        assert_eq!(consumer.position(&orders(0)), Some(3));
    }
    let refused = ConsumerConfig::new("g").set("isolation.level", "serializable");
    assert!(matches!(refused, Err(Error::InvalidConfig { key: "isolation.level", .. })), "{refused:?}");
}

#[test]
fn partitions_that_are_added_are_read_and_positions_stay() {
    let broker = Broker::temporary().unwrap();
    let topic = broker.topic("orders").unwrap();
    topic.produce("k", "v").unwrap();
    let mut consumer = broker.consumer("g", ["orders"]).unwrap();
    assert_eq!(consumer.poll(SOON).unwrap().len(), 1);
    broker.admin().add_partitions("orders", 3).unwrap();
    for partition in 0..3 {
        broker.producer().send(ProducerRecord::to("orders").partition(partition)).unwrap();
    }
    let records = consumer.poll(SOON).unwrap();
    let mut read: Vec<_> = records.iter().map(|record| (record.partition(), record.offset())).collect();
    read.sort_unstable();
    assert_eq!(read, [(0, 1), (1, 0), (2, 0)]);
    assert_eq!(consumer.assignment().len(), 3);
    consumer.commit().unwrap();
    assert_eq!(consumer.committed(&orders(2)).unwrap().unwrap().offset(), 1);
}

#[test]
fn a_topic_that_is_deleted_is_let_go_and_its_successor_read_from_the_start() {
    let broker = Broker::temporary().unwrap();
    for name in ["orders", "other"] {
        let topic = broker.topic(name).unwrap();
        (0..5).for_each(|n| drop(topic.produce("k", n.to_string()).unwrap()));
    }
    let mut consumer = broker.consumer("g", ["orders", "other"]).unwrap();
    assert_eq!(consumer.poll(SOON).unwrap().len(), 10);
    consumer.commit().unwrap();
    broker.admin().delete_topic("orders").unwrap();
    broker.topic("other").unwrap().produce("k", "v").unwrap();
    assert_eq!(consumer.poll(SOON).unwrap().len(), 1);
    assert_eq!(consumer.assignment(), [TopicPartition::new("other", 0)]);
    assert_eq!(consumer.committed(&orders(0)).unwrap(), None);
    broker.topic("orders").unwrap().produce("k", "new").unwrap();
    let records = consumer.poll(SOON).unwrap();
    let record = records.iter().next().unwrap();
    assert_eq!((record.offset(), record.value_str().unwrap()), (0, "new"));
}

#[test]
fn an_assignment_is_exactly_what_was_given() {
    let broker = Broker::temporary().unwrap();
    broker.create_topic("orders", TopicConfig::new().partitions(3)).unwrap();
    for partition in 0..3 {
        broker.producer().send(ProducerRecord::to("orders").partition(partition)).unwrap();
    }
    let mut consumer = broker.consumer_with(ConsumerConfig::new("g")).unwrap();
    assert!(consumer.poll(Duration::ZERO).unwrap().is_empty());
    consumer.assign(&[orders(2), orders(0)]).unwrap();
    assert_eq!(consumer.assignment(), [orders(2), orders(0)]);
    let records = consumer.poll(SOON).unwrap();
    assert_eq!(records.len(), 2);
    assert!(records.iter().all(|record| record.partition() != 1));
    assert!(matches!(consumer.assign(&[orders(3)]), Err(Error::UnknownPartition { .. })));
    assert!(matches!(consumer.assign(&[TopicPartition::new("no", 0)]), Err(Error::UnknownTopic { .. })));
    assert_eq!(consumer.assignment(), [orders(2), orders(0)], "a refused assignment changes nothing");
    broker.admin().add_partitions("orders", 4).unwrap();
    consumer.poll(Duration::ZERO).unwrap();
    assert_eq!(consumer.assignment(), [orders(2), orders(0)]);
    consumer.assign(&[orders(0)]).unwrap();
    assert_eq!(consumer.position(&orders(0)), Some(1), "a partition that stays keeps its position");
}

#[test]
fn a_deleted_topic_that_was_assigned_by_hand_is_an_error() {
    let broker = Broker::temporary().unwrap();
    broker.topic("orders").unwrap().produce("k", "v").unwrap();
    let mut consumer = broker.consumer_with(ConsumerConfig::new("g")).unwrap();
    consumer.assign(&[orders(0)]).unwrap();
    broker.admin().delete_topic("orders").unwrap();
    assert!(matches!(consumer.poll(Duration::ZERO), Err(Error::Closed { .. })));
}
