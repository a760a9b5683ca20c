//! Groups: who shares the partitions, who is put out, and who missed something.

use std::time::Duration;

use ottla::testing::CrashModel;
use ottla::{Consumer, ConsumerConfig, OffsetReset, TruncationReset};
use tracing::Level;

use super::*;

const MINUTE: Duration = Duration::from_secs(60);

fn config() -> ConsumerConfig {
    ConsumerConfig::new("billing").topics(["orders"])
}

fn poll(consumer: &mut Consumer) -> Vec<u64> {
    consumer.poll(Duration::ZERO).unwrap().iter().map(|record| record.offset()).collect()
}

/// What was told, also if it waits for the maintenance.
fn told(broker: &Broker, listener: &Listener, name: &str) -> Vec<Told> {
    broker.run_maintenance().unwrap();
    listener.take_all(name)
}

#[test]
fn each_generation_of_a_group() {
    let (listener, _guard) = listen();
    let broker = open(&new_disk());
    broker.create_topic("orders", TopicConfig::new().partitions(2)).unwrap();
    let mut first = broker.consumer_with(config()).unwrap();
    poll(&mut first);
    let all = told(&broker, &listener, "group_rebalanced");
    assert_eq!(all.len(), 1, "{all:?}");
    all[0].is("group_rebalanced", Level::INFO, [("group", "billing"), ("generation", "1"), ("members", "1")]);
    assert_eq!(all[0].target, "ottla::group");
    let mut second = broker.consumer_with(config()).unwrap();
    for _ in 0..3 {
        poll(&mut first);
        poll(&mut second);
    }
    let all = told(&broker, &listener, "group_rebalanced");
    let last = all.last().unwrap();
    last.is("group_rebalanced", Level::INFO, [("members", "2")]);
    assert_eq!(last.field("generation"), first.generation().unwrap().to_string());
    for _ in 0..10 {
        poll(&mut first);
        first.commit().unwrap();
    }
    assert_eq!(told(&broker, &listener, "group_rebalanced"), [], "nothing has changed");
    drop((first, second));
    let all = told(&broker, &listener, "group_rebalanced");
    all.last().unwrap().is("group_rebalanced", Level::INFO, [("members", "0")]);
}

#[test]
fn members_that_are_put_out_and_why() {
    let (listener, _guard) = listen();
    let disk = new_disk();
    let broker = open(&disk);
    broker.create_topic("orders", TopicConfig::new().partitions(2)).unwrap();
    let mut late = broker.consumer_with(config().max_poll_interval(2 * MINUTE)).unwrap();
    let mut other = broker.consumer_with(config()).unwrap();
    poll(&mut late);
    let member_id = late.member_id().unwrap().to_owned();
    for _ in 0..2 {
        disk.advance(3 * MINUTE);
        poll(&mut other);
    }
    let all = told(&broker, &listener, "member_fenced");
    assert_eq!(all.len(), 1, "{all:?}");
    all[0].is("member_fenced", Level::WARN, [("group", "billing"), ("member_id", member_id.as_str())]);
    assert!(all[0].field("reason").contains("max.poll.interval.ms"), "{all:?}");
    drop((late, other));

    let fixed = || config().group_instance_id("one");
    let mut before = broker.consumer_with(fixed()).unwrap();
    poll(&mut before);
    let member_id = before.member_id().unwrap().to_owned();
    let mut after = broker.consumer_with(fixed()).unwrap();
    let all = told(&broker, &listener, "member_fenced");
    assert_eq!(all.len(), 1, "{all:?}");
    all[0].is("member_fenced", Level::WARN, [("member_id", member_id.as_str())]);
    assert!(all[0].field("reason").contains("group.instance.id"), "{all:?}");
    drop(before);

    poll(&mut after);
    broker.admin().reset_offsets("billing").topic("orders").execute().unwrap();
    let all = told(&broker, &listener, "member_fenced");
    assert_eq!(all.len(), 1, "{all:?}");
    assert!(all[0].field("reason").contains("reset"), "{all:?}");
    drop(after);
    assert_eq!(told(&broker, &listener, "member_fenced"), [], "who leaves is not put out");
}

/// Known failure 9.14.
#[test]
fn k9_14_what_a_group_missed_that_fell_behind_retention_is_told() {
    let (listener, _guard) = listen();
    for (reset, to) in [(OffsetReset::Earliest, 50), (OffsetReset::Latest, 100), (OffsetReset::Error, 0)] {
        let broker = open(&new_disk());
        let partition = create(&broker, TopicConfig::new());
        for _ in 0..100 {
            partition.append(&ProducerRecord::new().value("v")).unwrap();
        }
        let mut consumer = broker.consumer_with(config().max_poll_records(5)).unwrap();
        assert_eq!(poll(&mut consumer), [0, 1, 2, 3, 4]);
        consumer.commit().unwrap();
        drop(consumer);
        broker.admin().delete_records(&[(orders(), 50)]).unwrap();
        let mut consumer = broker.consumer_with(config().offset_reset(reset)).unwrap();
        listener.take();
        if reset == OffsetReset::Error {
            assert!(consumer.poll(Duration::ZERO).is_err());
            assert!(listener.take_all("position_reset").is_empty());
            continue;
        }
        assert_eq!(poll(&mut consumer), (to..100).collect::<Vec<_>>());
        let told = listener.take_one("position_reset");
        let to = to.to_string();
        let fields = [("group", "billing"), ("partition", "orders-0"), ("from", "5"), ("to", to.as_str())];
        told.is("position_reset", Level::WARN, fields);
        assert_eq!(consumer.reset_count(), 1);
    }
}

#[test]
fn a_group_that_goes_on_behind_what_a_power_cut_took() {
    let (listener, _guard) = listen();
    let disk = new_disk();
    let broker = builder(&disk).durability(Durability::Always).open().unwrap();
    let partition = create(&broker, TopicConfig::new().durability(Durability::Os));
    for _ in 0..10 {
        partition.append(&ProducerRecord::new().value("v")).unwrap();
    }
    let mut consumer = broker.consumer_with(config()).unwrap();
    assert_eq!(poll(&mut consumer).len(), 10);
    consumer.commit().unwrap();
    let after = (0..99).map(|seed| builder(&disk.crash(seed, CrashModel::Subset)).open().unwrap());
    let end = |broker: &Broker| broker.topic("orders").unwrap().partition(0).unwrap().log_end_offset();
    let broker = after.into_iter().find(|broker| end(broker) < 10).unwrap();
    let kept = end(&broker).to_string();
    broker.topic("orders").unwrap().partition(0).unwrap().append(&ProducerRecord::new().value("new")).unwrap();
    let mut consumer = broker.consumer_with(config().truncation_reset(TruncationReset::Continue)).unwrap();
    assert_eq!(poll(&mut consumer).len(), 1);
    let all = told(&broker, &listener, "position_truncated");
    assert_eq!(all.len(), 1, "{all:?}");
    let fields = [("group", "billing"), ("partition", "orders-0"), ("from", "10"), ("to", kept.as_str())];
    all[0].is("position_truncated", Level::WARN, fields);
}
