//! Committed offsets: what they cover, and that they last.

use std::time::Duration;

use ottla::{
    Broker, CommittedOffset, Consumer, ConsumerConfig, Durability, Error, OffsetReset, ProducerRecord, SeekTo,
    TopicConfig, TopicPartition,
};

use crate::open;

const SOON: Duration = Duration::from_secs(5);

fn orders(partition: u32) -> TopicPartition {
    TopicPartition::new("orders", partition)
}

fn fill(broker: &Broker, count: u64) {
    let topic = broker.topic("orders").unwrap();
    (0..count).for_each(|n| drop(topic.produce("k", n.to_string()).unwrap()));
}

#[test]
fn a_group_goes_on_where_it_committed_also_after_reopening() {
    let dir = tempfile::tempdir().unwrap();
    for durability in [Durability::Os, Durability::Always] {
        let group = format!("g-{durability}");
        for round in 0..3 {
            let broker = Broker::builder(dir.path()).durability(durability).open().unwrap();
            if round == 0 && durability == Durability::Os {
                fill(&broker, 30);
            }
            let mut consumer = broker.consumer(&group, ["orders"]).unwrap();
            let committed = broker.committed(&group, &orders(0)).unwrap().map(|committed| committed.offset());
            assert_eq!(committed, (round > 0).then_some(round * 10));
            let records = consumer.poll(SOON).unwrap();
            let tenth = records.iter().nth(9).unwrap();
            assert_eq!(tenth.offset(), round * 10 + 9);
            consumer.commit_through(&tenth).unwrap();
            if round == 1 {
                drop(consumer);
                broker.close().unwrap();
            }
        }
    }
}

#[test]
fn committing_through_a_record_leaves_the_position_and_other_partitions_alone() {
    let broker = Broker::temporary().unwrap();
    broker.create_topic("orders", TopicConfig::new().partitions(2)).unwrap();
    for n in 0..10 {
        broker.producer().send(ProducerRecord::to("orders").partition(n % 2)).unwrap();
    }
    let mut consumer = broker.consumer("g", ["orders"]).unwrap();
    let records = consumer.poll(SOON).unwrap();
    let third = records.iter().find(|record| record.partition() == 1 && record.offset() == 2).unwrap();
    consumer.commit_through(&third).unwrap();
    assert_eq!(consumer.committed(&orders(1)).unwrap().unwrap().offset(), 3);
    assert_eq!(consumer.committed(&orders(1)).unwrap().unwrap().leader_epoch(), Some(0));
    assert_eq!(consumer.committed(&orders(0)).unwrap(), None);
    assert_eq!((consumer.position(&orders(0)), consumer.position(&orders(1))), (Some(5), Some(5)));
    consumer.commit().unwrap();
    assert_eq!(consumer.committed(&orders(0)).unwrap().unwrap().offset(), 5);
    assert_eq!(consumer.committed(&orders(1)).unwrap().unwrap().offset(), 5);
    let other = broker.topic("other").unwrap();
    other.produce("k", "v").unwrap();
    let foreign = other.partition(0).unwrap().read(0, 100).unwrap();
    let refused = consumer.commit_through(&foreign.iter().next().unwrap());
    assert!(matches!(refused, Err(Error::NotAssigned { .. })), "{refused:?}");
}

#[test]
fn what_was_not_committed_comes_again() {
    let broker = Broker::temporary().unwrap();
    fill(&broker, 5);
    for _ in 0..2 {
        let mut consumer = broker.consumer("g", ["orders"]).unwrap();
        assert_eq!(consumer.poll(SOON).unwrap().len(), 5);
    }
    let mut consumer = broker.consumer("g", ["orders"]).unwrap();
    consumer.commit().unwrap();
    assert_eq!(consumer.committed(&orders(0)).unwrap(), None, "nothing was polled, so nothing is committed");
}

#[test]
fn a_commit_may_go_back() {
    let dir = tempfile::tempdir().unwrap();
    {
        let broker = open(dir.path());
        fill(&broker, 5);
        let mut consumer = broker.consumer("g", ["orders"]).unwrap();
        let records = consumer.poll(SOON).unwrap();
        consumer.commit().unwrap();
        consumer.commit_through(&records.iter().next().unwrap()).unwrap();
        assert_eq!(consumer.committed(&orders(0)).unwrap().unwrap().offset(), 1);
        // The position is where it was, and committing it is not what was done last.
        consumer.commit().unwrap();
        assert_eq!(consumer.committed(&orders(0)).unwrap().unwrap().offset(), 5);
        consumer.seek(&orders(0), ottla::SeekTo::Offset(2)).unwrap();
        consumer.commit().unwrap();
    }
    let broker = open(dir.path());
    assert_eq!(broker.committed("g", &orders(0)).unwrap().unwrap().offset(), 2);
}

#[test]
fn committing_nothing_new_writes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let broker = open(dir.path());
    fill(&broker, 5);
    let mut consumer = broker.consumer("g", ["orders"]).unwrap();
    consumer.poll(SOON).unwrap();
    (0..1000).for_each(|_| consumer.commit().unwrap());
    drop(consumer);
    broker.close().unwrap();
    let names = std::fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().path());
    let offsets = names.filter(|path| path.display().to_string().contains("__consumer_offsets"));
    let logs = offsets.map(|partition| partition.join("00000000000000000000.log"));
    let bytes: u64 = logs.filter_map(|log| Some(std::fs::metadata(log).ok()?.len())).sum();
    assert!((1..500).contains(&bytes), "{bytes} bytes");
}

/// What a poll returns, as (partition, offset).
fn read(consumer: &mut Consumer) -> Vec<(u32, u64)> {
    let records = consumer.poll(Duration::ZERO).unwrap();
    records.iter().map(|record| (record.partition(), record.offset())).collect()
}

#[test]
fn seek_to_committed_has_everything_read_again_that_was_read_since() {
    let broker = Broker::temporary().unwrap();
    broker.create_topic("orders", TopicConfig::new().partitions(2)).unwrap();
    let send = || (0..2).for_each(|n| drop(broker.producer().send(ProducerRecord::to("orders").partition(n)).unwrap()));
    (0..3).for_each(|_| send());
    let mut consumer = broker.consumer("g", ["orders"]).unwrap();
    assert_eq!(read(&mut consumer).len(), 6);
    consumer.commit_offsets(&[(orders(0), CommittedOffset::new(1)), (orders(1), CommittedOffset::new(3))]).unwrap();
    send();
    assert_eq!(read(&mut consumer).len(), 2);
    consumer.seek_to_committed().unwrap();
    assert_eq!((consumer.position(&orders(0)), consumer.lag(&orders(0))), (None, Some(4)));
    consumer.commit().unwrap();
    assert_eq!(read(&mut consumer), [(0, 1), (0, 2), (0, 3), (1, 3)]);
    // Also what was read ahead, and where a partition rests meanwhile.
    consumer.seek_to_committed().unwrap();
    assert_eq!(consumer.next_record(SOON).unwrap().unwrap().offset(), 1);
    consumer.pause(&[orders(1)]).unwrap();
    consumer.seek_to_committed().unwrap();
    assert_eq!(consumer.next_record(SOON).unwrap().unwrap().offset(), 1);
    assert_eq!(read(&mut consumer), [(0, 2), (0, 3)]);
    consumer.resume(&[orders(1)]).unwrap();
    assert_eq!(read(&mut consumer), [(1, 3)]);
    // Nothing was read since.
    consumer.commit().unwrap();
    consumer.seek_to_committed().unwrap();
    assert_eq!(read(&mut consumer), []);
    broker.close().unwrap();
    assert!(matches!(consumer.seek_to_committed(), Err(Error::Closed { .. })));
}

#[test]
fn where_nothing_was_committed_seek_to_committed_goes_to_where_the_consumer_began() {
    let broker = Broker::temporary().unwrap();
    fill(&broker, 5);
    let made = |reset| {
        let config = ConsumerConfig::new("g").topics(["orders"]).offset_reset(reset);
        broker.consumer_with(config).unwrap()
    };
    let mut latest = made(OffsetReset::Latest);
    assert_eq!(read(&mut latest), []);
    fill(&broker, 2);
    for _ in 0..2 {
        assert_eq!(read(&mut latest), [(0, 5), (0, 6)]);
        latest.seek_to_committed().unwrap();
    }
    // A seek to what is committed asks the policy.
    latest.seek(&orders(0), SeekTo::Committed).unwrap();
    assert_eq!(read(&mut latest), []);
    drop(latest);
    let mut careful = made(OffsetReset::Error);
    careful.seek_to_committed().unwrap();
    assert!(matches!(careful.poll(Duration::ZERO), Err(Error::NoCommittedOffset { .. })));
    careful.seek(&orders(0), SeekTo::Offset(6)).unwrap();
    for _ in 0..2 {
        assert_eq!(read(&mut careful), [(0, 6)]);
        careful.seek_to_committed().unwrap();
    }
}

#[test]
fn groups_are_apart() {
    let broker = Broker::temporary().unwrap();
    fill(&broker, 5);
    let mut a = broker.consumer("a", ["orders"]).unwrap();
    a.poll(SOON).unwrap();
    a.commit().unwrap();
    assert_eq!(broker.committed("b", &orders(0)).unwrap(), None);
    assert_eq!(broker.committed("a", &orders(0)).unwrap().unwrap().offset(), 5);
    assert_eq!(broker.consumer("b", ["orders"]).unwrap().poll(SOON).unwrap().len(), 5);
}

#[cfg(feature = "testing")]
#[test]
fn a_group_that_had_passed_what_a_power_cut_took_goes_on_as_configured() {
    use ottla::testing::{CrashModel, SimulatedDisk};
    use ottla::{ConsumerConfig, SeekTo, TruncationReset};

    let disk = SimulatedDisk::new(1);
    let open = |disk: &SimulatedDisk| Broker::builder("/data").background(false).disk(disk).open().unwrap();
    let broker = open(&disk);
    broker.create_topic("orders", TopicConfig::new().durability(Durability::Os)).unwrap();
    fill(&broker, 10);
    let mut consumer = broker.consumer("g", ["orders"]).unwrap();
    assert_eq!(consumer.poll(SOON).unwrap().len(), 10);
    consumer.commit().unwrap();
    // Commits are durable at once, the topic's records are not.
    let end = |broker: &Broker| broker.topic("orders").unwrap().partition(0).unwrap().log_end_offset();
    let after = (0..99).map(|seed| open(&disk.crash(seed, CrashModel::Subset)));
    let broker = after.into_iter().find(|broker| end(broker) < 10).unwrap();
    let kept = end(&broker);
    fill(&broker, 20);
    let config = ConsumerConfig::new("g").topics(["orders"]);
    let mut consumer = broker.consumer_with(config.clone()).unwrap();
    for _ in 0..2 {
        match consumer.poll(SOON) {
            Err(Error::LogTruncated { requested: 10, truncated_to, .. }) => assert_eq!(truncated_to, kept),
            polled => panic!("{polled:?}"),
        }
    }
    consumer.seek(&orders(0), SeekTo::Offset(kept)).unwrap();
    assert_eq!(consumer.poll(SOON).unwrap().len(), 20);
    drop(consumer);
    let mut consumer = broker.consumer_with(config.truncation_reset(TruncationReset::Continue)).unwrap();
    let records = consumer.poll(SOON).unwrap();
    assert_eq!((records.len(), records.iter().next().unwrap().offset()), (20, kept));
    assert_eq!((consumer.truncation_count(), consumer.reset_count()), (1, 0));
}
