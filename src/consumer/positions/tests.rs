use super::*;
use crate::broker::Broker;
use crate::partition::config::TopicConfig;
use crate::record::ProducerRecord;

const PARTITIONS: u32 = 4;

struct Topic {
    broker: Broker,
    logs: Vec<PartitionSource>,
}

impl Topic {
    fn new() -> Topic {
        let broker = Broker::temporary().unwrap();
        let topic = broker.create_topic("orders", TopicConfig::new().partitions(PARTITIONS)).unwrap();
        let logs = topic
            .partitions()
            .map(|partition| PartitionSource::from(Arc::clone(partition.writable().unwrap())))
            .collect();
        Topic { broker, logs }
    }

    fn send(&self, partition: u32) {
        self.broker.producer().send(ProducerRecord::to("orders").partition(partition)).unwrap();
    }

    /// Positions at the beginning of every partition.
    fn positions(&self) -> Positions {
        let mut positions = Positions::new(Arc::default(), Isolation::default());
        positions.set(self.logs.iter().cloned());
        for partition in 0..PARTITIONS {
            positions.get_mut(&orders(partition)).unwrap().go_to(0, None);
        }
        positions
    }
}

fn orders(partition: u32) -> TopicPartition {
    TopicPartition::new("orders", partition)
}

/// The partitions that get a turn, each of which is read to its end.
fn read_all(positions: &mut Positions) -> Vec<u32> {
    read_turns(positions, true)
}

/// The same in a look that is not followed by waiting.
fn glance(positions: &mut Positions) -> Vec<u32> {
    read_turns(positions, false)
}

fn read_turns(positions: &mut Positions, may_wait: bool) -> Vec<u32> {
    let mut turns = positions.turns(may_wait);
    let mut read = Vec::new();
    while let Some(position) = positions.next_ready(&mut turns) {
        read.push(position.partition().partition());
        let end = position.end();
        position.go_to(end, None);
    }
    read
}

#[test]
fn only_partitions_with_news_are_looked_at() {
    let topic = Topic::new();
    let mut positions = topic.positions();
    assert!(!positions.has_ready());
    assert_eq!(positions.active_count(), 0, "all wait");
    topic.send(2);
    topic.send(2);
    positions.take_delivered();
    assert_eq!(positions.active_count(), 1);
    assert_eq!(read_all(&mut positions), [2]);
    assert_eq!(positions.active_count(), 1, "it may go on like that");
    topic.send(2);
    assert!(positions.has_ready());
    assert_eq!(read_all(&mut positions), [2]);
    assert!(!positions.has_ready());
    assert_eq!(positions.active_count(), 0);
}

#[test]
fn everyone_has_one_turn_and_the_order_goes_round() {
    let topic = Topic::new();
    (0..PARTITIONS).for_each(|partition| topic.send(partition));
    let mut positions = topic.positions();
    let mut next = || {
        let mut turns = Turns { left: 1, arm: true };
        positions.next_ready(&mut turns).unwrap().partition().partition()
    };
    assert_eq!([next(), next(), next(), next(), next(), next()], [0, 1, 2, 3, 0, 1]);
    positions.put_back();
    assert_eq!(read_all(&mut positions), [1, 2, 3, 0]);
    assert!(read_all(&mut positions).is_empty());
}

#[test]
fn a_paused_partition_is_not_looked_at() {
    let topic = Topic::new();
    let mut positions = topic.positions();
    topic.send(0);
    positions.get_mut(&orders(0)).unwrap().is_paused = true;
    assert!(!positions.has_ready());
    assert_eq!(positions.active_count(), 0);
    // One that waits when it is paused is told of once, and looked at no more.
    positions.get_mut(&orders(1)).unwrap().is_paused = true;
    topic.send(1);
    positions.take_delivered();
    assert!(!positions.has_ready());
    topic.send(1);
    positions.take_delivered();
    assert_eq!(positions.active_count(), 0);
    for partition in [0, 1] {
        positions.get_mut(&orders(partition)).unwrap().is_paused = false;
        positions.reactivate(&orders(partition));
    }
    assert_eq!(read_all(&mut positions), [0, 1]);
}

#[test]
fn a_partition_that_is_moved_again_and_again_is_told_of_once() {
    let topic = Topic::new();
    let mut positions = topic.positions();
    for _ in 0..3 {
        positions.reactivate(&orders(1));
        assert!(!positions.has_ready());
    }
    topic.send(1);
    let mut tokens = Vec::new();
    positions.waiter.take_tokens(&mut tokens);
    assert_eq!(tokens, [1]);
}

#[test]
fn a_log_that_is_closed_has_something_to_say() {
    let topic = Topic::new();
    let mut positions = topic.positions();
    assert!(!positions.has_ready());
    topic.broker.admin().delete_topic("orders").unwrap();
    positions.take_delivered();
    assert_eq!(positions.active_count(), PARTITIONS as usize);
    assert!(positions.has_ready());
}

#[test]
fn partitions_come_and_go_and_those_that_stay_keep_their_position() {
    let topic = Topic::new();
    let mut positions = topic.positions();
    positions.get_mut(&orders(2)).unwrap().go_to(0, Some(9));
    let kept = Arc::clone(&positions.get(&orders(2)).unwrap().shared);
    assert!(!positions.has_ready());
    topic.send(0);
    let [zero, one, two, three] = [0, 1, 2, 3].map(|partition: usize| topic.logs[partition].clone());
    positions.set([three.clone(), two, three.clone()]);
    let order = |positions: &Positions| -> Vec<u32> {
        positions.in_order().iter().map(|position| position.partition().partition()).collect()
    };
    assert_eq!(order(&positions), [3, 2]);
    assert!(Arc::ptr_eq(&kept, &positions.get(&orders(2)).unwrap().shared));
    assert!(positions.get(&orders(0)).is_none());
    assert!(matches!(positions.get_mut(&orders(0)), Err(Error::NotAssigned { .. })));
    // The token of partition 0 was delivered; whoever has that token now is none the worse.
    positions.add(one);
    positions.take_delivered();
    positions.add(zero);
    assert_eq!(order(&positions), [3, 2, 1, 0]);
    assert_eq!(read_all(&mut positions), [1, 0]);
    positions.remove([&orders(0), &orders(3), &orders(7)]);
    assert_eq!((order(&positions), positions.active_count()), (vec![2, 1], 1));
    (0..PARTITIONS).for_each(|partition| topic.send(partition));
    positions.take_delivered();
    assert_eq!(read_all(&mut positions), [1, 2]);
    assert_eq!(positions.iter().count(), 2);
}

#[test]
fn a_topic_with_the_name_of_a_deleted_one_is_another_topic() {
    let topic = Topic::new();
    let mut positions = topic.positions();
    topic.broker.admin().delete_topic("orders").unwrap();
    let new = topic.broker.topic("orders").unwrap().partition(0).unwrap();
    positions.set([PartitionSource::from(Arc::clone(new.writable().unwrap()))]);
    assert_eq!(positions.iter().count(), 1);
    assert_eq!(positions.get(&orders(0)).unwrap().next_offset(), None);
}

#[test]
fn who_does_not_wait_is_not_woken_and_looks_at_each_partition_every_time() {
    let topic = Topic::new();
    let mut positions = topic.positions();
    for _ in 0..2 {
        assert!(glance(&mut positions).is_empty());
        assert_eq!(positions.active_count(), PARTITIONS as usize, "none waits");
    }
    topic.send(2);
    topic.send(1);
    assert!(!positions.waiter.is_signalled());
    assert_eq!(glance(&mut positions), [1, 2]);
    positions.get_mut(&orders(3)).unwrap().is_paused = true;
    assert!(glance(&mut positions).is_empty());
    assert_eq!(positions.active_count(), PARTITIONS as usize - 1, "who is paused is not looked at");
    topic.send(0);
    assert_eq!(glance(&mut positions), [0]);
    // Before it waits it asks to be woken by all of them.
    assert!(!positions.has_ready());
    assert_eq!(positions.active_count(), 0);
    topic.send(2);
    assert!(positions.waiter.is_signalled());
    positions.take_delivered();
    assert_eq!(glance(&mut positions), [2]);
}

#[test]
fn of_many_partitions_tokens_say_where_to_look_also_who_does_not_wait() {
    const MANY: u32 = 9;
    assert!(GLANCE_MAX < MANY as usize);
    let broker = Broker::temporary().unwrap();
    let topic = broker.create_topic("orders", TopicConfig::new().partitions(MANY)).unwrap();
    let mut positions = Positions::new(Arc::default(), Isolation::default());
    positions.set(topic.partitions().map(|one| PartitionSource::from(Arc::clone(one.writable().unwrap()))));
    for partition in 0..MANY {
        positions.get_mut(&orders(partition)).unwrap().go_to(0, None);
    }
    assert!(glance(&mut positions).is_empty());
    assert_eq!(positions.active_count(), 0, "all wait");
    broker.producer().send(ProducerRecord::to("orders").partition(5)).unwrap();
    positions.take_delivered();
    assert_eq!(glance(&mut positions), [5]);
    assert!(glance(&mut positions).is_empty());
    assert_eq!(positions.active_count(), 1, "it is looked at until there are many again");
}
