//! Setting offsets anew: planned by whoever may read, done as a whole by whoever writes.

use ottla::{Broker, Error, OffsetChange, ProducerRecord, ResetTo, TopicConfig, TopicPartition};

fn orders(partition: u32) -> TopicPartition {
    TopicPartition::new("orders", partition)
}

/// A topic of two partitions with ten records each, of which a group has read three of the first one.
fn broker(dir: &std::path::Path) -> Broker {
    let broker = Broker::open(dir).unwrap();
    broker.create_topic("orders", TopicConfig::new().partitions(2)).unwrap();
    for n in 0..20 {
        broker.producer().send(ProducerRecord::to("orders").partition(n % 2)).unwrap();
    }
    broker.admin().reset_offsets("g").partition_to(orders(0), ResetTo::Offset(3)).execute().unwrap();
    broker
}

fn offsets(changes: &[OffsetChange]) -> Vec<(Option<u64>, u64)> {
    changes.iter().map(|change| (change.before(), change.after())).collect()
}

#[test]
fn a_plan_beside_the_writer_is_the_writers_own() {
    let dir = tempfile::tempdir().unwrap();
    let writer = broker(dir.path());
    let reader = Broker::open_read_only(dir.path()).unwrap();
    for to in [
        ResetTo::Earliest,
        ResetTo::Latest,
        ResetTo::Offset(7),
        ResetTo::Time(ottla::Timestamp::from_millis(0)),
        ResetTo::Current,
    ] {
        let plan = |broker: &Broker| broker.admin().reset_offsets("g").topic("orders").to(to).plan().unwrap();
        assert_eq!(plan(&reader), plan(&writer), "{to}");
    }
    let all = |broker: &Broker| broker.admin().reset_offsets("g").to(ResetTo::ShiftBy(2)).plan().unwrap();
    assert_eq!((offsets(&all(&reader)), all(&reader)), (vec![(Some(3), 5)], all(&writer)));
    // What was sent and committed since counts.
    writer.admin().reset_offsets("g").topic("orders").to(ResetTo::Latest).execute().unwrap();
    assert_eq!(offsets(&all(&reader)), [(Some(10), 10), (Some(10), 10)]);
    let reset = reader.admin().reset_offsets("g").topic("orders");
    assert!(matches!(reset.execute(), Err(Error::ReadOnly { .. })));
    let unknown = |broker: &Broker| broker.admin().reset_offsets("h").plan();
    for broker in [&reader, &writer] {
        assert!(matches!(unknown(broker), Err(Error::UnknownGroup { .. })));
        let reset = broker.admin().reset_offsets("h").partition(orders(2));
        assert!(matches!(reset.plan(), Err(Error::UnknownPartition { .. })));
    }
}

#[test]
fn a_plan_makes_nothing_where_no_group_was_ever_used() {
    let broker = Broker::temporary().unwrap();
    broker.topic("orders").unwrap();
    let planned = broker.admin().reset_offsets("g").topic("orders").plan().unwrap();
    assert_eq!(offsets(&planned), [(None, 0)]);
    assert!(!broker.dir().join("__consumer_offsets-0").exists());
}

#[test]
fn partitions_have_places_of_their_own_and_what_is_current_stays() {
    let dir = tempfile::tempdir().unwrap();
    let broker = broker(dir.path());
    let reset = broker.admin().reset_offsets("g").topic("orders").partition_to(orders(1), ResetTo::Offset(8));
    assert_eq!(offsets(&reset.to(ResetTo::Earliest).plan().unwrap()), [(Some(3), 0), (None, 8)]);
    let current = broker.admin().reset_offsets("g").topic("orders").to(ResetTo::Current);
    assert_eq!(offsets(&current.execute().unwrap()), [(Some(3), 3), (None, 10)]);
    // Of two places one cannot be: neither is taken.
    let reset = broker.admin().reset_offsets("g").partition_to(orders(0), ResetTo::Earliest);
    let reset = reset.partition_to(orders(2), ResetTo::Earliest);
    assert!(matches!(reset.execute(), Err(Error::UnknownPartition { .. })));
    assert_eq!(broker.committed("g", &orders(0)).unwrap().unwrap().offset(), 3);
}

#[test]
fn a_partition_that_cannot_be_read_fails_the_plan_of_who_reads_along() {
    let dir = tempfile::tempdir().unwrap();
    broker(dir.path()).close().unwrap();
    std::fs::remove_dir_all(dir.path().join("orders-1")).unwrap();
    std::fs::write(dir.path().join("orders-1"), "a file where the partition was").unwrap();
    let reader = Broker::open_read_only(dir.path()).unwrap();
    let plan = |partition| reader.admin().reset_offsets("g").partition(orders(partition)).to(ResetTo::Latest).plan();
    assert_eq!(offsets(&plan(0).unwrap()), [(Some(3), 10)]);
    assert!(plan(1).is_err(), "{:?}", plan(1));
}

#[test]
fn all_groups_are_described_as_each_of_them() {
    let dir = tempfile::tempdir().unwrap();
    let writer = broker(dir.path());
    writer.admin().reset_offsets("a").topic("orders").execute().unwrap();
    let reader = Broker::open_read_only(dir.path()).unwrap();
    for broker in [&writer, &reader] {
        let groups = broker.admin().describe_groups().unwrap();
        let found: Vec<_> = groups.iter().map(|group| (group.name(), group.total_lag())).collect();
        assert_eq!(found, [("a", 20), ("g", 7)]);
    }
    assert!(Broker::temporary().unwrap().admin().describe_groups().unwrap().is_empty());
}
