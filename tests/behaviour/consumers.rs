//! A consumer: where it begins, how it moves, and what it tells of itself.

use std::collections::HashMap;
use std::thread;
use std::time::Duration;

use ottla::{
    Broker, Consumer, ConsumerConfig, Error, OffsetReset, ProducerRecord, SeekTo, Timestamp, TopicConfig,
    TopicPartition,
};

const SOON: Duration = Duration::from_secs(5);

fn orders(partition: u32) -> TopicPartition {
    TopicPartition::new("orders", partition)
}

/// A broker with ten records, of the times 0, 10, … 90.
fn broker_with_ten() -> Broker {
    let broker = Broker::temporary().unwrap();
    let partition = broker.topic("orders").unwrap().partition(0).unwrap();
    for n in 0..10 {
        let value = n.to_string();
        partition
            .append(&ProducerRecord::to("orders").value(&value).timestamp(Timestamp::from_millis(n * 10)))
            .unwrap();
    }
    broker
}

fn next_offsets(consumer: &mut Consumer) -> Vec<u64> {
    consumer.poll(Duration::ZERO).unwrap().iter().map(|record| record.offset()).collect()
}

#[test]
fn every_partition_is_read_in_order_and_none_is_starved() {
    let broker = Broker::temporary().unwrap();
    broker.create_topic("orders", TopicConfig::new().partitions(3)).unwrap();
    let producer = broker.producer();
    for n in 0..300 {
        producer.send(ProducerRecord::to("orders").partition(n % 3).value(n.to_string())).unwrap();
    }
    let config = ConsumerConfig::new("g").topics(["orders"]).max_poll_records(10);
    let mut consumer = broker.consumer_with(config).unwrap();
    let mut next = HashMap::new();
    for poll in 1..=30 {
        let records = consumer.poll(SOON).unwrap();
        assert_eq!(records.len(), 10);
        for record in &records {
            let offset = next.entry(record.partition()).or_insert(0);
            assert_eq!(record.offset(), *offset);
            *offset += 1;
        }
        if poll % 3 == 0 {
            assert!(next.len() == 3 && next.values().all(|&offset| offset == poll * 10 / 3), "{next:?}");
        }
    }
    assert!(consumer.poll(Duration::ZERO).unwrap().is_empty());
}

#[test]
fn a_poll_keeps_its_limits() {
    let broker = broker_with_ten();
    let mut consumer = broker.consumer_with(ConsumerConfig::new("g").topics(["orders"]).max_poll_records(3)).unwrap();
    assert_eq!(next_offsets(&mut consumer), [0, 1, 2]);
    drop(consumer);
    let mut consumer = broker.consumer_with(ConsumerConfig::new("g").topics(["orders"]).fetch_max_bytes(1)).unwrap();
    assert_eq!(next_offsets(&mut consumer), [0]);
    assert_eq!(next_offsets(&mut consumer), [1]);
}

#[test]
fn seek_goes_anywhere() {
    let broker = broker_with_ten();
    let mut consumer = broker.consumer("g", ["orders"]).unwrap();
    let tp = orders(0);
    assert_eq!(consumer.position(&tp), None);
    assert_eq!(next_offsets(&mut consumer).len(), 10);
    assert_eq!(consumer.position(&tp), Some(10));
    let mut expect = |to, from: u64| {
        consumer.seek(&tp, to).unwrap();
        assert_eq!(consumer.position(&tp), Some(from), "{to:?}");
        assert_eq!(next_offsets(&mut consumer), (from..10).collect::<Vec<_>>(), "{to:?}");
    };
    expect(SeekTo::Earliest, 0);
    expect(SeekTo::Latest, 10);
    expect(SeekTo::Offset(7), 7);
    expect(SeekTo::Offset(10), 10);
    expect(SeekTo::Time(Timestamp::from_millis(41)), 5);
    expect(SeekTo::Time(Timestamp::from_millis(-1)), 0);
    expect(SeekTo::Time(Timestamp::from_millis(91)), 10);
    expect(SeekTo::Committed, 0);
    consumer.seek(&tp, SeekTo::Offset(4)).unwrap();
    consumer.commit().unwrap();
    consumer.seek(&tp, SeekTo::Latest).unwrap();
    consumer.seek(&tp, SeekTo::Committed).unwrap();
    assert_eq!(next_offsets(&mut consumer), (4..10).collect::<Vec<_>>());
}

#[test]
fn a_seek_outside_the_log_is_refused_and_changes_nothing() {
    let broker = broker_with_ten();
    let mut consumer = broker.consumer("g", ["orders"]).unwrap();
    consumer.seek(&orders(0), SeekTo::Offset(3)).unwrap();
    match consumer.seek(&orders(0), SeekTo::Offset(11)) {
        Err(Error::OffsetOutOfRange { requested: 11, log_start_offset: 0, log_end_offset: 10, .. }) => {}
        other => panic!("{other:?}"),
    }
    assert!(matches!(consumer.seek(&orders(1), SeekTo::Earliest), Err(Error::NotAssigned { .. })));
    assert_eq!(next_offsets(&mut consumer), (3..10).collect::<Vec<_>>());
}

#[test]
fn the_reset_policy_says_where_to_begin() {
    let broker = broker_with_ten();
    let open =
        |group: &str, reset| broker.consumer_with(ConsumerConfig::new(group).topics(["orders"]).offset_reset(reset));
    assert_eq!(next_offsets(&mut open("a", OffsetReset::Earliest).unwrap()).len(), 10);
    let mut latest = open("b", OffsetReset::Latest).unwrap();
    assert!(next_offsets(&mut latest).is_empty());
    broker.topic("orders").unwrap().produce("k", "v").unwrap();
    assert_eq!(next_offsets(&mut latest), [10]);
    latest.commit().unwrap();
    drop(latest);
    assert!(next_offsets(&mut open("b", OffsetReset::Earliest).unwrap()).is_empty(), "a commit goes before the policy");
    let mut failing = open("c", OffsetReset::Error).unwrap();
    for _ in 0..2 {
        assert!(matches!(failing.poll(SOON), Err(Error::NoCommittedOffset { .. })));
    }
    failing.seek(&orders(0), SeekTo::Offset(9)).unwrap();
    assert_eq!(next_offsets(&mut failing), [9, 10]);
}

#[test]
fn paused_partitions_wait() {
    let broker = Broker::temporary().unwrap();
    broker.create_topic("orders", TopicConfig::new().partitions(2)).unwrap();
    let send = |partition| broker.producer().send(ProducerRecord::to("orders").partition(partition)).unwrap();
    let mut consumer = broker.consumer("g", ["orders"]).unwrap();
    send(0);
    send(1);
    consumer.pause(&[orders(0)]).unwrap();
    let polled = |consumer: &mut Consumer| {
        consumer.poll(Duration::ZERO).unwrap().iter().map(|record| record.partition()).collect::<Vec<_>>()
    };
    assert_eq!(polled(&mut consumer), [1]);
    assert!(polled(&mut consumer).is_empty());
    assert_eq!(consumer.lag(&orders(0)), Some(1));
    consumer.resume(&[orders(0)]).unwrap();
    assert_eq!(polled(&mut consumer), [0]);
    assert!(matches!(consumer.pause(&[orders(7)]), Err(Error::NotAssigned { .. })));
}

#[test]
fn a_paused_partition_does_not_keep_a_poll_from_waiting() {
    let broker = broker_with_ten();
    let mut consumer = broker.consumer("g", ["orders"]).unwrap();
    consumer.pause(&[orders(0)]).unwrap();
    assert!(consumer.poll(Duration::from_millis(20)).unwrap().is_empty());
    consumer.resume(&[orders(0)]).unwrap();
    assert_eq!(consumer.poll(SOON).unwrap().len(), 10);
}

#[test]
fn lag_is_what_was_not_read() {
    let broker = broker_with_ten();
    let config = ConsumerConfig::new("g").topics(["orders"]).max_poll_records(4);
    let mut consumer = broker.consumer_with(config).unwrap();
    let handle = consumer.handle();
    let lag = |consumer: &Consumer| {
        let from_another_thread = thread::scope(|scope| scope.spawn(|| handle.lag()).join().unwrap());
        assert_eq!(Some(from_another_thread), consumer.lag(&orders(0)));
        from_another_thread
    };
    assert_eq!(lag(&consumer), 10);
    assert_eq!(next_offsets(&mut consumer).len(), 4);
    assert_eq!(lag(&consumer), 6);
    broker.topic("orders").unwrap().produce("k", "v").unwrap();
    assert_eq!(lag(&consumer), 7);
    consumer.seek(&orders(0), SeekTo::Latest).unwrap();
    assert_eq!(lag(&consumer), 0);
    assert_eq!(consumer.lag(&orders(3)), None);
}

#[test]
fn lag_counts_only_what_can_still_be_read() {
    let broker = broker_with_ten();
    let config = ConsumerConfig::new("billing").topics(["orders"]).max_poll_records(2);
    let mut consumer = broker.consumer_with(config).unwrap();
    assert_eq!(next_offsets(&mut consumer), [0, 1]);
    consumer.commit().unwrap();
    broker.admin().delete_records(&[(orders(0), 6)]).unwrap();
    let lags = |consumer: &Consumer| {
        let described = broker.admin().describe_group("billing").unwrap().lag(&orders(0));
        (consumer.lag(&orders(0)), consumer.handle().lag(), described)
    };
    assert_eq!(consumer.position(&orders(0)), Some(2), "below the log start");
    assert_eq!(lags(&consumer), (Some(4), 4, Some(4)));
    broker.admin().delete_records(&[(orders(0), 10)]).unwrap();
    assert_eq!(lags(&consumer), (Some(0), 0, Some(0)));
}

#[test]
fn a_consumer_that_could_not_be_made_leaves_the_group_free() {
    let broker = broker_with_ten();
    let too_long = "g".repeat(32_768);
    for config in [
        ConsumerConfig::new("").topics(["orders"]),
        ConsumerConfig::new(too_long).topics(["orders"]),
        ConsumerConfig::new("g").topics(["orders"]).max_poll_records(0),
        ConsumerConfig::new("g").topics(["orders"]).fetch_max_bytes(0),
    ] {
        assert!(matches!(broker.consumer_with(config), Err(Error::InvalidConfig { .. })));
    }
    broker.consumer("g", ["orders"]).unwrap();
    let longest = broker.consumer("g".repeat(32_767).as_str(), ["orders"]);
    let mut longest = longest.unwrap();
    assert_eq!(next_offsets(&mut longest).len(), 10);
    longest.commit().unwrap();
}

#[test]
fn iterating_ends_when_nothing_comes() {
    let broker = broker_with_ten();
    let mut consumer = broker.consumer("g", ["orders"]).unwrap();
    let offsets: Vec<_> = consumer.iter(Duration::ZERO).map(|record| record.unwrap().offset()).collect();
    assert_eq!(offsets, (0..10).collect::<Vec<_>>());
    consumer.commit().unwrap();
    assert_eq!(consumer.committed(&orders(0)).unwrap().unwrap().offset(), 10);
}

#[test]
fn records_can_be_kept_and_sent_to_another_thread() {
    let broker = broker_with_ten();
    let mut consumer = broker.consumer("g", ["orders"]).unwrap();
    let records = consumer.poll(SOON).unwrap();
    drop((consumer, broker));
    let count = thread::spawn(move || records.iter().filter(|record| record.value().is_some()).count()).join().unwrap();
    assert_eq!(count, 10);
}
