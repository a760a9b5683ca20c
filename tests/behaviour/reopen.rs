//! What was there when a broker was closed is there when it is opened again.

use std::time::Duration;

use ottla::{Broker, Compression, Durability, TopicConfig};

use crate::{open, small_segments, values};

#[test]
fn opening_after_closing_finds_nothing_to_report() {
    let dir = tempfile::tempdir().unwrap();
    for round in 0..3 {
        let broker = open(dir.path());
        let report = broker.recovery_report();
        assert!(report.is_clean() && report.was_clean_shutdown(), "round {round}: {report:?}");
        let topic = broker.topic("orders").unwrap();
        topic.produce("k", format!("{round}")).unwrap();
        assert_eq!(topic.partition(0).unwrap().log_end_offset(), round + 1);
        broker.close().unwrap();
    }
}

#[test]
fn dropping_the_last_handle_closes_as_cleanly() {
    let dir = tempfile::tempdir().unwrap();
    for round in 0..3_usize {
        let broker = open(dir.path());
        assert!(broker.recovery_report().is_clean(), "round {round}: {:?}", broker.recovery_report());
        let topic = broker.topic("orders").unwrap();
        drop(broker);
        topic.produce("k", format!("{round}")).unwrap();
        assert_eq!(values(&topic.partition(0).unwrap()).len(), round + 1);
    }
}

#[test]
fn a_topics_configuration_is_kept() {
    let dir = tempfile::tempdir().unwrap();
    let config = TopicConfig::new()
        .partitions(3)
        .segment_bytes(123_456)
        .segment_ms(Duration::from_millis(7777))
        .index_interval_bytes(99)
        .max_message_bytes(54_321)
        .compression(Compression::Snappy)
        .durability(Durability::Interval(Duration::from_millis(50)));
    let topic_id = {
        let broker = open(dir.path());
        broker.create_topic("orders", config.clone()).unwrap();
        broker.admin().describe("orders").unwrap().topic_id()
    };
    let broker = Broker::open(dir.path()).unwrap();
    assert_eq!(broker.topic("orders").unwrap().config(), config);
    let described = broker.admin().describe("orders").unwrap();
    assert_eq!((described.config(), described.topic_id()), (&config, topic_id));
}

#[test]
fn offsets_and_segments_go_on_where_they_ended() {
    let dir = tempfile::tempdir().unwrap();
    let mut expected = Vec::new();
    for round in 0..5 {
        let broker =
            Broker::builder(dir.path()).durability(Durability::Os).topic_defaults(small_segments()).open().unwrap();
        let topic = broker.topic("orders").unwrap();
        assert_eq!(values(&topic.partition(0).unwrap()), expected);
        for n in 0..700 {
            let value = format!("{round}/{n}/some padding so that segments roll");
            assert_eq!(topic.produce("k", &value).unwrap().offset(), expected.len() as u64);
            expected.push(value);
        }
        if round % 2 == 0 {
            broker.close().unwrap();
        }
    }
    let broker = open(dir.path());
    assert_eq!(values(&broker.topic("orders").unwrap().partition(0).unwrap()), expected);
    let described = broker.admin().describe("orders").unwrap();
    assert!(described.partitions()[0].segment_count() > 5, "{described:?}");
}
