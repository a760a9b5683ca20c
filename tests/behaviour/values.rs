//! Plain values go into text and come back, print what an operator reads, and tell what they were set to.

use std::time::Duration;

use ottla::*;

#[test]
fn enums_are_shown_in_words() {
    let orders = [TopicPartition::new("orders", 0), TopicPartition::new("orders", 1)];
    let shown = [
        Durability::Interval(Duration::from_millis(250)).to_string(),
        Compression::Zstd.to_string(),
        ReadMode::Copy.to_string(),
        RecoveryMode::SkipCorrupt.to_string(),
        OffsetReset::Error.to_string(),
        TruncationReset::Continue.to_string(),
        GroupState::PreparingRebalance.to_string(),
        RebalanceProtocol::Cooperative.to_string(),
        SeekTo::Offset(7).to_string(),
        SeekTo::Committed.to_string(),
        ResetTo::Time(Timestamp::from_millis(0)).to_string(),
        ResetTo::ShiftBy(-3).to_string(),
        SendOutcome::Partly.to_string(),
        Isolation::ReadCommitted.to_string(),
        FileMode::Umask.to_string(),
        CleanupPolicy::CompactAndDelete.to_string(),
        ClosedBy::Deletion.to_string(),
        Rebalance::Lost(&orders).to_string(),
        Rebalance::Revoked(&[]).to_string(),
    ];
    let expected = [
        "interval:250",
        "zstd",
        "copy",
        "skip-corrupt",
        "none",
        "continue",
        "PreparingRebalance",
        "cooperative",
        "offset 7",
        "committed",
        "time 1970-01-01T00:00:00.000Z",
        "shift by -3",
        "partly appended",
        "read_committed",
        "umask",
        "compact,delete",
        "the topic was deleted",
        "lost: orders-0, orders-1",
        "revoked:",
    ];
    assert_eq!(shown, expected);
}

/// Where settings take text, they take what is shown.
#[test]
fn what_is_shown_can_be_set() {
    for reset in [OffsetReset::Earliest, OffsetReset::Latest, OffsetReset::Error] {
        let config = ConsumerConfig::new("g").set("auto.offset.reset", &reset.to_string()).unwrap();
        assert!(format!("{config:?}").contains(&format!("{reset:?}")));
    }
    for isolation in [Isolation::ReadCommitted, Isolation::ReadUncommitted] {
        let config = ConsumerConfig::new("g").set("isolation.level", &isolation.to_string()).unwrap();
        assert!(format!("{config:?}").contains(&format!("{isolation:?}")));
    }
    for mode in [FileMode::Private, FileMode::Umask] {
        assert!(Broker::builder("dir").set("ottla.file.mode", &mode.to_string()).is_ok());
    }
    for mode in [ReadMode::Map, ReadMode::Copy] {
        let builder = Broker::builder("dir").set("ottla.read.mode", &mode.to_string()).unwrap();
        assert!(format!("{builder:?}").contains(&format!("{mode:?}")));
    }
}

#[test]
fn a_record_shows_where_it_stands() {
    let broker = Broker::temporary().unwrap();
    let topic = broker.topic("orders").unwrap();
    topic.produce("k", "0").unwrap();
    let sent = topic.produce("k", "1").unwrap();
    let records = topic.partition(0).unwrap().read(1, 1024).unwrap();
    let view = records.iter().next().unwrap();
    let copy = view.detach();
    let shown = [view.address(), copy.address(), sent.address()].map(|address| address.to_string());
    assert_eq!(shown, ["orders-0@1"; 3]);
    assert_eq!((view.address(), format!("{:?}", view.address())), (sent.address(), sent.to_string()));
    assert_eq!((sent.address().topic_partition(), sent.address().offset()), (copy.topic_partition(), 1));
}

#[test]
fn now_is_by_the_clock_that_stamps_records() {
    let broker = Broker::temporary().unwrap();
    let sent = broker.topic("orders").unwrap().produce("k", "v").unwrap();
    let day = Duration::from_secs(24 * 3600);
    let now = Timestamp::now();
    assert!(now.checked_sub(day).unwrap() < sent.timestamp() && sent.timestamp() < now.checked_add(day).unwrap());
}

#[test]
fn text_that_is_no_value_says_what_would_be_one() {
    let refused = || -> Result<()> {
        let _: Timestamp = "yesterday".parse()?;
        Ok(())
    };
    let expected = "\"yesterday\" is not a timestamp: expected RFC 3339, such as 2023-11-14T22:13:20.042Z";
    assert_eq!(refused().unwrap_err().to_string(), expected);
    let long = "x".repeat(1 << 20).parse::<TopicPartition>().unwrap_err();
    assert_eq!(long.text().len(), 100);
}

#[test]
fn a_configuration_tells_what_was_set() {
    let hour = Duration::from_secs(3600);
    let config = TopicConfig::new()
        .partitions(2)
        .segment_bytes(1 << 20)
        .segment_ms(hour)
        .index_interval_bytes(10)
        .segment_index_bytes(2400)
        .max_message_bytes(5000)
        .compression(Compression::Snappy)
        .durability(Durability::Os);
    assert_eq!((config.get_partitions(), config.get_segment_bytes(), config.get_segment_ms()), (2, 1 << 20, hour));
    assert_eq!((config.get_index_interval_bytes(), config.get_segment_index_bytes()), (10, 2400));
    assert_eq!(config.get_max_message_bytes(), 5000);
    assert_eq!((config.get_compression(), config.get_durability()), (Compression::Snappy, Some(Durability::Os)));
    assert_eq!(TopicConfig::new().get_durability(), None);
}

#[test]
fn a_commit_says_when_it_was_made() {
    let broker = Broker::temporary().unwrap();
    let sent = broker.topic("orders").unwrap().produce("k", "v").unwrap();
    let mut consumer = broker.consumer("g", ["orders"]).unwrap();
    consumer.poll(Duration::from_secs(10)).unwrap();
    let orders = sent.topic_partition();
    consumer.commit_offsets(&[(orders.clone(), CommittedOffset::new(1))]).unwrap();
    let committed = consumer.committed(orders).unwrap().unwrap().commit_timestamp().unwrap();
    let group = broker.admin().describe_group("g").unwrap();
    let described = group.partitions()[0].committed().unwrap().commit_timestamp().unwrap();
    assert_eq!(described, committed);
    assert_eq!(broker.committed("g", orders).unwrap().unwrap().commit_timestamp(), Some(committed));
    assert!(committed.duration_since(Timestamp::from_millis(1_700_000_000_000)).is_some(), "{committed}");
}

#[cfg(feature = "serde")]
mod with_serde {
    use std::collections::BTreeMap;

    use serde_json::{Value, from_value, json, to_value};

    use super::*;

    #[test]
    fn values_go_there_and_back() {
        let orders = TopicPartition::new("orders", 3);
        let time = Timestamp::from_millis(1_700_000_000_042);
        let offsets = BTreeMap::from([(orders.clone(), 42_u64)]);
        let config = TopicConfig::new().partitions(2).durability(Durability::Interval(Duration::from_millis(5)));
        assert_eq!(to_value(&offsets).unwrap(), json!({ "orders-3": 42 }));
        assert_eq!(to_value(time).unwrap(), json!(1_700_000_000_042_i64));
        assert_eq!(to_value(Durability::Always).unwrap(), json!("always"));
        assert_eq!(to_value(&config).unwrap()["ottla.durability"], json!("interval:5"));
        assert_eq!(from_value::<BTreeMap<TopicPartition, u64>>(to_value(&offsets).unwrap()).unwrap(), offsets);
        assert_eq!(from_value::<Timestamp>(to_value(time).unwrap()).unwrap(), time);
        assert_eq!(from_value::<Durability>(json!("interval:5")).unwrap(), config.get_durability().unwrap());
        assert_eq!(from_value::<TopicConfig>(to_value(&config).unwrap()).unwrap(), config);
        assert_eq!(from_value::<TopicConfig>(json!({})).unwrap(), TopicConfig::new());
    }

    #[test]
    fn what_breaks_a_rule_of_the_type_is_refused() {
        for address in [json!("orders"), json!("orders-x"), json!("-1"), json!({ "topic": "orders" }), json!(3)] {
            assert!(from_value::<TopicPartition>(address.clone()).is_err(), "{address}");
        }
        for durability in [json!("never"), json!("interval:0"), json!(null)] {
            assert!(from_value::<Durability>(durability.clone()).is_err(), "{durability}");
        }
        for config in [
            json!({ "num.partitions": "0" }),
            json!({ "num.partitions": "4294967295" }),
            json!({ "num.partitions": 1 }),
            json!({ "segment.bytes": "-1" }),
            json!({ "no.such.setting": "1" }),
            json!({ "compression.type": "rar" }),
            json!({ "ottla.durability": "interval:0" }),
            json!([]),
        ] {
            assert!(from_value::<TopicConfig>(config.clone()).is_err(), "{config}");
        }
        assert!(from_value::<Timestamp>(json!("yesterday")).is_err());
    }

    #[test]
    fn descriptions_can_be_written() {
        let broker = Broker::temporary().unwrap();
        let sent = broker.topic("orders").unwrap().produce("k", "v").unwrap();
        let mut consumer = broker.consumer("g", ["orders"]).unwrap();
        consumer.poll(Duration::from_secs(10)).unwrap();
        consumer.commit().unwrap();
        let group = to_value(broker.admin().describe_group("g").unwrap()).unwrap();
        assert_eq!((&group["name"], &group["state"]), (&json!("g"), &json!("Stable")));
        assert_eq!(group["partitions"][0]["partition"], json!("orders-0"));
        assert_eq!(group["partitions"][0]["committed"]["offset"], json!(1));
        let topic = to_value(broker.admin().describe("orders").unwrap()).unwrap();
        assert_eq!((&topic["name"], &topic["config"]["num.partitions"]), (&json!("orders"), &json!("1")));
        assert_eq!(topic["partitions"][0]["offsets"], json!({ "start": 0, "end": 1 }));
        assert_eq!(topic["topic_id"].as_str().map(str::len), Some(32));
        let written: Value = to_value(&sent).unwrap();
        assert_eq!(from_value::<RecordMetadata>(written).unwrap(), sent);
    }
}
