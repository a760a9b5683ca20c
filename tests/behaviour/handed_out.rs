//! What counts as read is what was handed out: a loop that is left early, a commit in between, or whatever else comes while
//! records are read ahead passes over none of them, and hands none out that is somebody else's by then.

use std::path::Path;
use std::time::Duration;

use ottla::{
    Broker, Consumer, ConsumerConfig, Error, OwnedRecord, ProducerRecord, Rebalance, ResetTo, SeekTo, TopicConfig,
    TopicPartition,
};

use crate::open;

const HOUR: Duration = Duration::from_secs(3600);

fn orders(partition: u32) -> TopicPartition {
    TopicPartition::new("orders", partition)
}

/// A broker with a topic of so many partitions and `count` records in each.
fn broker(partition_count: u32, count: u32) -> Broker {
    let broker = Broker::temporary().unwrap();
    create(&broker, partition_count, count, "");
    broker
}

/// The value of a record is `prefix`, its partition and its offset.
fn create(broker: &Broker, partition_count: u32, count: u32, prefix: &str) {
    broker.create_topic("orders", TopicConfig::new().partitions(partition_count)).unwrap();
    for (partition, offset) in (0..partition_count).flat_map(|partition| (0..count).map(move |n| (partition, n))) {
        let value = format!("{prefix}{partition} {offset}");
        broker.producer().send(ProducerRecord::to("orders").partition(partition).value(&value)).unwrap();
    }
}

fn config() -> ConsumerConfig {
    ConsumerConfig::new("g").topics(["orders"])
}

fn next(consumer: &mut Consumer) -> Option<OwnedRecord> {
    consumer.next_record(Duration::ZERO).unwrap()
}

/// Partition and offset of the next record.
fn next_place(consumer: &mut Consumer) -> Option<(u32, u64)> {
    next(consumer).map(|record| (record.topic_partition().partition(), record.offset()))
}

/// The offsets of the next `count` records of a loop that is left then.
fn take(consumer: &mut Consumer, count: usize) -> Vec<u64> {
    consumer.iter(Duration::ZERO).take(count).map(|record| record.unwrap().offset()).collect()
}

fn poll(consumer: &mut Consumer) -> Vec<u64> {
    consumer.poll(Duration::ZERO).unwrap().iter().map(|record| record.offset()).collect()
}

fn committed(broker: &Broker, partition: u32) -> Option<u64> {
    broker.committed("g", &orders(partition)).unwrap().map(|committed| committed.offset())
}

#[test]
fn a_loop_that_is_left_early_has_read_what_it_was_given() {
    let broker = broker(1, 100);
    let mut consumer = broker.consumer_with(config()).unwrap();
    assert_eq!(take(&mut consumer, 3), [0, 1, 2]);
    assert_eq!((consumer.position(&orders(0)), consumer.lag(&orders(0))), (Some(3), Some(97)));
    assert_eq!(consumer.handle().lag(), 97);
    consumer.commit().unwrap();
    assert_eq!(committed(&broker, 0), Some(3));
    assert_eq!(take(&mut consumer, 2), [3, 4], "the next loop goes on there");
    drop(consumer);
    let mut other = broker.consumer_with(config()).unwrap();
    assert_eq!(poll(&mut other), (3..100).collect::<Vec<_>>());
}

#[test]
fn a_poll_goes_on_where_a_loop_was_left() {
    let broker = broker(1, 100);
    let mut consumer = broker.consumer_with(config().max_poll_records(10)).unwrap();
    assert_eq!(take(&mut consumer, 3), [0, 1, 2]);
    assert_eq!(poll(&mut consumer), (3..13).collect::<Vec<_>>());
    assert_eq!(take(&mut consumer, 15), (13..28).collect::<Vec<_>>());
    assert_eq!(poll(&mut consumer), (28..38).collect::<Vec<_>>());
    assert_eq!(take(&mut consumer, 1000), (38..100).collect::<Vec<_>>());
    assert!(poll(&mut consumer).is_empty());
}

#[test]
fn a_commit_between_two_records_covers_the_first() {
    let broker = broker(1, 20);
    let mut consumer = broker.consumer_with(config().max_poll_records(7)).unwrap();
    for expected in 0..20 {
        assert_eq!(next_place(&mut consumer), Some((0, expected)));
        consumer.commit().unwrap();
        assert_eq!(committed(&broker, 0), Some(expected + 1));
    }
    assert_eq!(next(&mut consumer), None);
    broker.topic("orders").unwrap().produce("k", "v").unwrap();
    assert_eq!(next_place(&mut consumer), Some((0, 20)));
}

#[test]
fn every_partition_is_handed_out_in_order_and_none_is_starved() {
    let broker = broker(3, 100);
    let mut consumer = broker.consumer_with(config().max_poll_records(10)).unwrap();
    let mut positions = [0; 3];
    for n in 1..=300 {
        let record = next(&mut consumer).unwrap();
        let (partition, offset) = (record.topic_partition().partition(), record.offset());
        assert_eq!(offset, positions[partition as usize]);
        assert_eq!(record.value(), Some(format!("{partition} {offset}").as_bytes()));
        positions[partition as usize] += 1;
        for (partition, &position) in (0..).zip(&positions) {
            let expected = if position == 0 { None } else { Some(position) };
            assert_eq!(consumer.position(&orders(partition)), expected);
        }
        if n % 30 == 0 {
            assert_eq!(positions, [n / 3; 3]);
        }
    }
    assert_eq!(next(&mut consumer), None);
}

#[test]
fn close_commits_what_was_handed_out() {
    let broker = broker(1, 100);
    let mut consumer = broker.consumer_with(config().auto_commit_interval(HOUR)).unwrap();
    assert_eq!(take(&mut consumer, 3), [0, 1, 2]);
    consumer.close().unwrap();
    assert_eq!(committed(&broker, 0), Some(3));
    let mut consumer = broker.consumer_with(config().auto_commit_interval(HOUR)).unwrap();
    assert_eq!(take(&mut consumer, 3), [3, 4, 5]);
    consumer.handle().close();
    assert!(matches!(consumer.next_record(Duration::ZERO), Err(Error::Closed { .. })));
    assert_eq!(committed(&broker, 0), Some(6));
}

#[test]
fn a_partition_that_was_given_up_is_not_handed_out_any_more() {
    let broker = broker(2, 50);
    let mut first = broker.consumer_with(config().auto_commit_interval(HOUR).max_poll_records(20)).unwrap();
    let mut found = vec![Vec::new(); 2];
    // One partition is in the middle of what was read ahead, the other was read before.
    for _ in 0..25 {
        let (partition, offset) = next_place(&mut first).unwrap();
        found[partition as usize].push(offset);
    }
    let mut second = broker.consumer_with(config().auto_commit_interval(HOUR)).unwrap();
    for _ in 0..100 {
        for member in [&mut first, &mut second] {
            if let Some((partition, offset)) = next_place(member) {
                assert!(member.assignment().contains(&orders(partition)), "{partition} is somebody else's");
                found[partition as usize].push(offset);
            }
        }
    }
    assert_eq!((first.assignment().len(), second.assignment().len()), (1, 1));
    assert_eq!(found, [(0..50).collect::<Vec<_>>(), (0..50).collect()], "each once, and in order");
}

/// Whichever partition it is that goes: the one that is read ahead, or the other.
#[test]
fn a_partition_that_is_kept_goes_on_in_the_middle() {
    let broker = broker(2, 50);
    for kept in [0, 1] {
        let mut consumer = broker.consumer_with(ConsumerConfig::new(format!("by hand {kept}"))).unwrap();
        consumer.assign(&[orders(0), orders(1)]).unwrap();
        let (ahead, _) = next_place(&mut consumer).unwrap();
        consumer.assign(&[orders(kept)]).unwrap();
        let begin = u64::from(ahead == kept);
        assert_eq!(take(&mut consumer, 1000), (begin..50).collect::<Vec<_>>());
        consumer.assign(&[orders(0), orders(1)]).unwrap();
        assert_eq!(next_place(&mut consumer), Some((1 - kept, 0)), "it was given up, and begins anew");
    }
}

#[test]
fn a_listener_commits_what_was_handed_out() {
    let broker = broker(1, 50);
    let commits = |consumer: &mut Consumer, event: Rebalance<'_>| match event {
        Rebalance::Revoked(_) => {
            assert!(matches!(consumer.next_record(Duration::ZERO), Err(Error::InvalidState { .. })));
            consumer.commit()
        }
        _ => Ok(()),
    };
    let mut consumer = broker.consumer_with(config().rebalance_listener(commits)).unwrap();
    assert_eq!(take(&mut consumer, 4), [0, 1, 2, 3]);
    consumer.unsubscribe().unwrap();
    assert_eq!(committed(&broker, 0), Some(4));
    assert_eq!(next(&mut consumer), None);
    consumer.subscribe(["orders"]).unwrap();
    assert_eq!(take(&mut consumer, 2), [4, 5]);
}

#[test]
fn what_others_do_to_a_group_counts_before_what_was_read_ahead() {
    let broker = broker(1, 50);
    let mut consumer = broker.consumer_with(config()).unwrap();
    assert_eq!(take(&mut consumer, 4), [0, 1, 2, 3]);
    broker.admin().reset_offsets("g").partition(orders(0)).to(ResetTo::Offset(30)).execute().unwrap();
    assert_eq!(take(&mut consumer, 2), [30, 31]);

    let of_ann = || config().group_instance_id("ann");
    let mut older = broker.consumer_with(of_ann()).unwrap();
    drop(consumer);
    assert_eq!(take(&mut older, 2), [30, 31]);
    let mut newer = broker.consumer_with(of_ann()).unwrap();
    assert!(matches!(older.next_record(Duration::ZERO), Err(Error::Fenced { .. })));
    assert_eq!(take(&mut newer, 2), [30, 31]);
}

#[test]
fn a_seek_or_pause_counts_before_what_was_read_ahead() {
    let broker = broker(2, 50);
    let mut consumer = broker.consumer_with(config()).unwrap();
    assert_eq!(next_place(&mut consumer), Some((0, 0)));
    consumer.seek(&orders(0), SeekTo::Offset(10)).unwrap();
    assert_eq!(consumer.position(&orders(0)), Some(10));
    // The other partition is next, since this one had its turn.
    assert_eq!(next_place(&mut consumer), Some((1, 0)));
    consumer.pause(&[orders(1)]).unwrap();
    assert_eq!(take(&mut consumer, 1000), (10..50).collect::<Vec<_>>());
    assert_eq!(next(&mut consumer), None);
    assert_eq!(consumer.lag(&orders(1)), Some(49));
    consumer.resume(&[orders(1)]).unwrap();
    assert_eq!(next_place(&mut consumer), Some((1, 1)));
    // To where it stands, and back to where it was.
    consumer.seek(&orders(1), SeekTo::Offset(2)).unwrap();
    assert_eq!(next_place(&mut consumer), Some((1, 2)));
    consumer.seek(&orders(1), SeekTo::Latest).unwrap();
    assert_eq!(next(&mut consumer), None);
    consumer.seek(&orders(1), SeekTo::Offset(3)).unwrap();
    assert_eq!(next_place(&mut consumer), Some((1, 3)));
}

#[test]
fn of_a_deleted_topic_nothing_is_handed_out() {
    let broker = broker(1, 50);
    let mut consumer = broker.consumer_with(config()).unwrap();
    let mut by_hand = broker.consumer_with(ConsumerConfig::new("by hand")).unwrap();
    by_hand.assign(&[orders(0)]).unwrap();
    for consumer in [&mut consumer, &mut by_hand] {
        assert_eq!(take(consumer, 3), [0, 1, 2]);
    }
    broker.admin().delete_topic("orders").unwrap();
    assert!(matches!(by_hand.next_record(Duration::ZERO), Err(Error::Closed { .. })));
    create(&broker, 1, 50, "anew ");
    let record = next(&mut consumer).or_else(|| next(&mut consumer)).unwrap();
    assert_eq!((record.offset(), record.value()), (0, Some(&b"anew 0 0"[..])));
}

/// Thirty records in `orders`, and a bit flipped in the middle of its file.
fn with_damage(dir: &Path) {
    let broker = open(dir);
    let topic = broker.topic("orders").unwrap();
    (0..30).for_each(|_| drop(topic.produce("k", vec![b'x'; 3000]).unwrap()));
    broker.close().unwrap();
    let log = dir.join("orders-0/00000000000000000000.log");
    let mut bytes = std::fs::read(&log).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&log, bytes).unwrap();
}

#[test]
fn a_loop_over_damage_ends_and_the_next_one_begins_with_it() {
    let dir = tempfile::tempdir().unwrap();
    with_damage(dir.path());
    let broker = open(dir.path());
    let mut consumer = broker.consumer_with(config()).unwrap();
    let expected = broker.topic("orders").unwrap().partition(0).unwrap().iter_from(0).flatten().count();
    assert_eq!(consumer.iter(Duration::ZERO).take(1000).count(), expected + 1, "the records, and the damage once");
    let mut records = consumer.iter(Duration::ZERO);
    let Some(Err(Error::Corrupt(damage))) = records.next() else { panic!("no damage") };
    assert!(records.next().is_none());
    drop(records);
    let lost = consumer.skip_corrupt(&damage).unwrap();
    assert_eq!(lost.start, expected as u64);
    assert_eq!(take(&mut consumer, 1000), (lost.end..30).collect::<Vec<_>>());
}

#[test]
fn an_error_ends_a_loop_and_skips_nothing() {
    let broker = broker(1, 10);
    let mut consumer = broker.consumer_with(config()).unwrap();
    assert_eq!(take(&mut consumer, 3), [0, 1, 2]);
    let handle = consumer.handle();
    let mut records = consumer.iter(Duration::ZERO);
    handle.wakeup();
    assert!(matches!(records.next(), Some(Err(Error::Wakeup))));
    assert!(records.next().is_none());
    drop(records);
    assert_eq!(take(&mut consumer, 3), [3, 4, 5]);
    broker.close().unwrap();
    assert_eq!(consumer.iter(Duration::ZERO).flatten().count(), 0);
    assert!(matches!(consumer.next_record(Duration::ZERO), Err(Error::Closed { .. })));
    assert_eq!(consumer.position(&orders(0)), Some(6));
}

#[test]
fn a_record_that_comes_is_waited_for() {
    let broker = broker(1, 0);
    let mut consumer = broker.consumer_with(config()).unwrap();
    assert_eq!(consumer.next_record(Duration::from_millis(10)).unwrap(), None);
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| consumer.next_record(Duration::from_secs(60)).unwrap().unwrap().offset());
        broker.topic("orders").unwrap().produce("k", "v").unwrap();
        assert_eq!(waiting.join().unwrap(), 0);
    });
}
