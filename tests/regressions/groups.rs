//! Groups: what the model of them has found.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ottla::testing::SimulatedDisk;
use ottla::{
    Assignment, AssignmentRequest, Assignor, Broker, CommittedOffset, Consumer, ConsumerConfig, Durability, Error,
    ProducerRecord, Rebalance, RebalanceProtocol, ResetTo, RoundRobinAssignor, TopicConfig, TopicPartition,
};

type Told = Arc<Mutex<Vec<String>>>;

fn broker(partitions: u32) -> Broker {
    let broker = Broker::temporary().unwrap();
    broker.create_topic("orders", TopicConfig::new().partitions(partitions)).unwrap();
    broker
}

fn config() -> ConsumerConfig {
    ConsumerConfig::new("g").topics(["orders"])
}

fn orders(partition: u32) -> TopicPartition {
    TopicPartition::new("orders", partition)
}

/// With a listener that writes down what it is told.
fn listening(config: ConsumerConfig) -> (ConsumerConfig, Told) {
    let told = Told::default();
    let config = config.rebalance_listener({
        let told = Arc::clone(&told);
        move |_: &mut Consumer, event: Rebalance<'_>| {
            let (sign, partitions) = match event {
                Rebalance::Assigned(partitions) => ('+', partitions),
                Rebalance::Revoked(partitions) => ('-', partitions),
                Rebalance::Lost(partitions) => ('!', partitions),
                other => panic!("{other:?}"),
            };
            told.lock().unwrap().extend(partitions.iter().map(|partition| format!("{sign}{partition}")));
            Ok(())
        }
    });
    (config, told)
}

fn poll(consumer: &mut Consumer) -> usize {
    consumer.poll(Duration::ZERO).unwrap().len()
}

#[test]
fn a_listener_hears_nothing_of_partitions_that_go_before_the_first_poll() {
    let broker = broker(2);
    let (config, told) = listening(config());
    broker.consumer_with(config).unwrap().close().unwrap();
    assert!(told.lock().unwrap().is_empty());
}

#[test]
fn a_listener_hears_of_the_loss_of_partitions_of_a_topic_made_anew() {
    let disk = SimulatedDisk::new(1);
    let broker = Broker::builder("/data").durability(Durability::Os).background(false).disk(&disk).open().unwrap();
    broker.create_topic("orders", TopicConfig::new().partitions(2)).unwrap();
    let (config, told) = listening(config().max_poll_interval(Duration::from_millis(100)));
    let mut consumer = broker.consumer_with(config).unwrap();
    poll(&mut consumer);
    broker.admin().delete_topic("orders").unwrap();
    disk.advance(Duration::from_secs(1));
    // The first look reports it as late, the second puts it out.
    for _ in 0..2 {
        let _ = broker.admin().describe_group("g");
    }
    broker.create_topic("orders", TopicConfig::new().partitions(1)).unwrap();
    assert!(matches!(consumer.poll(Duration::ZERO), Err(Error::PollTooLate { .. })));
    assert_eq!(*told.lock().unwrap(), ["+orders-0", "+orders-1", "!orders-0", "!orders-1"]);
}

/// The member had given up its position before the round that would have taken the partition, and got none again.
#[test]
fn a_topic_that_is_back_before_the_round_is_read() {
    let broker = broker(1);
    broker.create_topic("payments", TopicConfig::new()).unwrap();
    let fails = |_: &mut Consumer, _: Rebalance<'_>| Err(Error::other("not now"));
    let config = config().topics(["orders", "payments"]).rebalance_listener(fails);
    let mut consumer = broker.consumer_with(config).unwrap();
    broker.admin().delete_topic("orders").unwrap();
    // This one sees that the topic is gone, and ends with the listener's error about the other before it comes to the round.
    assert!(consumer.poll(Duration::ZERO).is_err());
    broker.topic("orders").unwrap().produce("customer-1", "2 coffees").unwrap();
    let read: usize = (0..5).map(|_| consumer.poll(Duration::ZERO).map_or(0, |records| records.len())).sum();
    assert_eq!(read, 1);
}

#[test]
fn a_replaced_member_stays_out_even_if_its_listener_fails() {
    let broker = broker(1);
    let fails = |_: &mut Consumer, event: Rebalance<'_>| match event {
        Rebalance::Lost(_) => Err(Error::other("not now")),
        _ => Ok(()),
    };
    let mut older = broker.consumer_with(config().group_instance_id("a").rebalance_listener(fails)).unwrap();
    poll(&mut older);
    let mut newer = broker.consumer_with(config().group_instance_id("a")).unwrap();
    for _ in 0..2 {
        assert!(matches!(older.poll(Duration::ZERO), Err(Error::Fenced { .. })));
        poll(&mut newer);
        assert_eq!(newer.assignment(), [orders(0)]);
    }
}

#[test]
fn a_replaced_member_cannot_come_back_by_subscribing_anew() {
    let broker = broker(1);
    let mut older = broker.consumer_with(config().group_instance_id("a")).unwrap();
    let newer = broker.consumer_with(config().group_instance_id("a")).unwrap();
    assert!(matches!(older.subscribe(["orders"]), Err(Error::Fenced { .. })));
    assert_eq!((older.assignment(), newer.assignment()), (vec![], vec![orders(0)]));
}

#[test]
fn a_static_member_that_closes_keeps_its_place_without_a_round() {
    for config in [config(), config().assignor(RoundRobinAssignor)] {
        let broker = broker(4);
        let member = |name: &str| broker.consumer_with(config.clone().group_instance_id(name)).unwrap();
        let (mut first, mut second) = (member("a"), member("b"));
        for _ in 0..5 {
            poll(&mut first);
            poll(&mut second);
        }
        let (generation, assignment) = (first.generation(), first.assignment());
        first.close().unwrap();
        poll(&mut second);
        first = member("a");
        assert_eq!((first.generation(), first.assignment()), (generation, assignment));
    }
}

#[test]
fn members_give_up_nothing_by_a_round_that_is_out_of_date() {
    let broker = broker(2);
    let (listening, told) = listening(config());
    let mut stays = broker.consumer_with(listening).unwrap();
    poll(&mut stays);
    // It has divided the partitions, and is gone before anybody has moved.
    drop(broker.consumer_with(config()).unwrap());
    poll(&mut stays);
    assert_eq!(*told.lock().unwrap(), ["+orders-0", "+orders-1"]);
}

#[test]
fn a_static_member_that_comes_back_after_a_kill_causes_one_round_at_most() {
    let disk = SimulatedDisk::new(1);
    let open = |disk: &SimulatedDisk| Broker::builder("/data").durability(Durability::Os).disk(disk).open().unwrap();
    let broker = open(&disk);
    broker.create_topic("orders", TopicConfig::new().partitions(1)).unwrap();
    let _members = [broker.consumer_with(config().group_instance_id("a")), broker.consumer_with(config())];
    let broker = open(&disk.kill(1));
    let member = || broker.consumer_with(config().group_instance_id("b")).unwrap();
    let generation = member().generation();
    assert_eq!(member().generation(), generation);
}

/// The last of four partitions goes to the first member.
#[derive(Debug)]
struct Backwards;

impl Assignor for Backwards {
    fn name(&self) -> &'static str {
        "backwards"
    }

    fn protocol(&self) -> RebalanceProtocol {
        RebalanceProtocol::Cooperative
    }

    fn assign(&self, request: &AssignmentRequest) -> Assignment {
        let mut assignment = Assignment::new();
        for (partition, member) in (0..4).rev().zip(request.members().iter().cycle()) {
            assignment.assign(member.member_id(), orders(partition));
        }
        assignment
    }
}

/// A partition that was to move when the process ended was nobody's for ever.
#[test]
fn a_rebalance_that_a_kill_ended_is_done_anew() {
    let disk = SimulatedDisk::new(1);
    let open = |disk: &SimulatedDisk| Broker::builder("/data").durability(Durability::Os).disk(disk).open().unwrap();
    let config = config().assignor(Backwards);
    let member = |broker: &Broker, name: &str| broker.consumer_with(config.clone().group_instance_id(name)).unwrap();
    let broker = open(&disk);
    broker.create_topic("orders", TopicConfig::new().partitions(4)).unwrap();
    let mut members = vec![member(&broker, "a"), member(&broker, "b")];
    let settle = |members: &mut [Consumer]| {
        for _ in 0..5 {
            let _: usize = members.iter_mut().map(poll).sum();
        }
    };
    settle(&mut members);
    // This round is written down, and what it takes from one of the others is still theirs.
    members.push(member(&broker, "c"));
    let broker = open(&disk.kill(1));
    let mut members = ["a", "b", "c"].map(|name| member(&broker, name));
    settle(&mut members);
    let assigned: BTreeSet<_> = members.iter().flat_map(Consumer::assignment).collect();
    assert_eq!(assigned.len(), 4, "{assigned:?}");
}

#[test]
fn a_record_of_a_topic_that_is_gone_is_not_committed_in_the_next_of_its_name() {
    let broker = broker(1);
    broker.producer().send(ProducerRecord::to("orders").value("old")).unwrap();
    let mut consumer = broker.consumer_with(config()).unwrap();
    let old = consumer.poll(Duration::ZERO).unwrap();
    broker.admin().delete_topic("orders").unwrap();
    broker.create_topic("orders", TopicConfig::new()).unwrap();
    poll(&mut consumer);
    let refused = consumer.commit_through(&old.iter().next().unwrap());
    assert!(matches!(refused, Err(Error::CommitRefused { .. })), "{refused:?}");
    assert_eq!(broker.committed("g", &orders(0)).unwrap(), None);
}

#[test]
fn a_member_that_a_reset_has_put_out_cannot_commit_even_what_was_committed() {
    let broker = broker(1);
    broker.producer().send(ProducerRecord::to("orders").value("one")).unwrap();
    let mut consumer = broker.consumer_with(config()).unwrap();
    assert_eq!(poll(&mut consumer), 1);
    consumer.commit().unwrap();
    broker.admin().reset_offsets("g").to(ResetTo::Earliest).execute().unwrap();
    assert!(matches!(consumer.commit(), Err(Error::CommitRefused { .. })));
    assert_eq!(broker.committed("g", &orders(0)).unwrap().as_ref().map(CommittedOffset::offset), Some(0));
    assert_eq!(poll(&mut consumer), 1);
    consumer.commit().unwrap();
}

#[test]
fn a_poll_that_fails_after_a_reset_leaves_no_partition_that_its_consumer_does_not_know_of() {
    let broker = broker(1);
    let fails = |_: &mut Consumer, event: Rebalance<'_>| match event {
        Rebalance::Lost(_) => Err(Error::other("not now")),
        _ => Ok(()),
    };
    let instance = |config: ConsumerConfig| config.group_instance_id("a");
    let mut first = broker.consumer_with(instance(config()).rebalance_listener(fails)).unwrap();
    poll(&mut first);
    broker.admin().reset_offsets("g").topic("orders").to(ResetTo::Earliest).execute().unwrap();
    let second = broker.consumer_with(instance(config())).unwrap();
    assert_eq!(second.assignment(), [orders(0)]);
    assert!(matches!(first.poll(Duration::ZERO), Err(Error::Other(_))));
    let group = broker.admin().describe_group("g").unwrap();
    let known: Vec<_> = group.members().iter().map(|member| Some(member.member_id())).collect();
    assert_eq!(known, [second.member_id()], "what its consumer knows of is what is described");
}
