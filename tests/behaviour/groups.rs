//! Groups: members share the partitions, move them when members come and go, and commit only what is theirs.

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use ottla::{
    Broker, CommittedOffset, Consumer, ConsumerConfig, Error, GroupState, ProducerRecord, RangeAssignor, Rebalance,
    ResetTo, RoundRobinAssignor, SeekTo, StickyAssignor, TopicConfig, TopicPartition,
};

fn orders(partition: u32) -> TopicPartition {
    TopicPartition::new("orders", partition)
}

/// A broker with a topic of `partition_count` partitions and ten records in each.
fn broker(partition_count: u32) -> Broker {
    let broker = Broker::temporary().unwrap();
    broker.create_topic("orders", TopicConfig::new().partitions(partition_count)).unwrap();
    for n in 0..partition_count * 10 {
        broker.producer().send(ProducerRecord::to("orders").partition(n % partition_count)).unwrap();
    }
    broker
}

fn config() -> ConsumerConfig {
    ConsumerConfig::new("g").topics(["orders"])
}

/// Polls all members in turn until nobody has anything to do, and returns what they own.
fn settle(members: &mut [Consumer]) -> Vec<Vec<TopicPartition>> {
    for _ in 0..20 {
        for member in &mut *members {
            member.pause(&member.assignment()).unwrap();
            member.poll(Duration::ZERO).unwrap();
            member.resume(&member.assignment()).unwrap();
        }
    }
    members.iter().map(Consumer::assignment).collect()
}

fn sizes(assignments: &[Vec<TopicPartition>]) -> Vec<usize> {
    let all: BTreeSet<_> = assignments.iter().flatten().collect();
    assert_eq!(all.len(), assignments.iter().map(Vec::len).sum::<usize>(), "no partition has two owners");
    let mut sizes: Vec<_> = assignments.iter().map(Vec::len).collect();
    sizes.sort_unstable();
    sizes
}

#[test]
fn members_share_the_partitions_with_every_assignor() {
    for config in [
        config(),
        config().assignor(RangeAssignor),
        config().assignor(RoundRobinAssignor),
        config().assignor(StickyAssignor),
    ] {
        let broker = broker(7);
        let mut members = vec![broker.consumer_with(config.clone()).unwrap()];
        assert_eq!(members[0].assignment().len(), 7, "the first member has everything at once");
        members.push(broker.consumer_with(config.clone()).unwrap());
        assert_eq!(sizes(&settle(&mut members)), [3, 4]);
        members.push(broker.consumer_with(config.clone()).unwrap());
        assert_eq!(sizes(&settle(&mut members)), [2, 2, 3]);
        drop(members.remove(1));
        assert_eq!(sizes(&settle(&mut members)), [3, 4]);
        members.remove(0).close().unwrap();
        assert_eq!(sizes(&settle(&mut members)), [7]);
    }
}

#[test]
fn a_partition_moves_with_what_was_committed() {
    let broker = broker(2);
    let mut first = broker.consumer_with(config().auto_commit_interval(Duration::from_secs(3600))).unwrap();
    assert_eq!(first.poll(Duration::from_secs(5)).unwrap().len(), 20);
    let mut second = broker.consumer_with(config()).unwrap();
    assert!(second.poll(Duration::ZERO).unwrap().is_empty());
    // The first gives one up, having committed it.
    assert!(first.poll(Duration::ZERO).unwrap().is_empty());
    assert!(second.poll(Duration::ZERO).unwrap().is_empty(), "nothing is read twice");
    assert_eq!((first.assignment().len(), second.assignment().len()), (1, 1));
    let moved = second.assignment().remove(0);
    assert_eq!(second.position(&moved), Some(10));
    broker.producer().send(ProducerRecord::to("orders").partition(moved.partition())).unwrap();
    assert_eq!(second.poll(Duration::from_secs(5)).unwrap().iter().next().unwrap().offset(), 10);
}

#[test]
fn members_that_keep_partitions_poll_them_during_a_rebalance() {
    let broker = broker(4);
    let mut first = broker.consumer_with(config().max_poll_records(1)).unwrap();
    let second = broker.consumer_with(config()).unwrap();
    // The second never polls, and the first goes on.
    for _ in 0..20 {
        assert_eq!(first.poll(Duration::ZERO).unwrap().len(), 1);
    }
    assert_eq!((first.assignment().len(), second.assignment().len()), (2, 0));
}

#[test]
fn a_former_owner_cannot_commit() {
    let broker = broker(2);
    let mut first = broker.consumer_with(config().group_instance_id("a")).unwrap();
    let records = first.poll(Duration::from_secs(5)).unwrap();
    let mut second = broker.consumer_with(config().group_instance_id("a")).unwrap();
    assert_eq!(second.assignment().len(), 2, "the newer one has the place, without a round");
    assert!(matches!(first.commit(), Err(Error::CommitRefused { .. })));
    let through = first.commit_through(&records.iter().next().unwrap());
    assert!(matches!(through, Err(Error::CommitRefused { .. })), "{through:?}");
    assert_eq!(broker.committed("g", &orders(0)).unwrap(), None);
    assert!(matches!(first.poll(Duration::ZERO), Err(Error::Fenced { .. })));
    assert!(matches!(first.commit(), Err(Error::Fenced { .. })));
    assert_eq!(second.poll(Duration::from_secs(5)).unwrap().len(), 20);
    second.commit().unwrap();
}

#[test]
fn a_static_member_that_was_put_out_does_not_take_its_place_from_a_newer_one() {
    let broker = broker(1);
    let put_out = || {
        let mut older = broker.consumer_with(config().group_instance_id("a")).unwrap();
        older.poll(Duration::ZERO).unwrap();
        broker.admin().reset_offsets("g").topic("orders").to(ResetTo::Earliest).execute().unwrap();
        (older, broker.consumer_with(config().group_instance_id("a")).unwrap())
    };
    let (mut older, mut newer) = put_out();
    assert!(matches!(older.poll(Duration::ZERO), Err(Error::Fenced { .. })));
    assert!(matches!(older.poll(Duration::ZERO), Err(Error::Fenced { .. })));
    newer.poll(Duration::ZERO).unwrap();
    assert_eq!((newer.assignment().len(), older.assignment().len()), (1, 0));
    drop((older, newer));

    let (mut older, mut newer) = put_out();
    assert!(matches!(older.subscribe(["orders"]), Err(Error::Fenced { .. })));
    newer.poll(Duration::ZERO).unwrap();
    assert_eq!(newer.assignment().len(), 1);
    drop((older, newer));

    // Where that one is gone, it is as welcome as any.
    let (mut older, newer) = put_out();
    drop(newer);
    older.poll(Duration::ZERO).unwrap();
    assert_eq!(older.assignment().len(), 1);
}

#[test]
fn a_static_member_that_comes_back_has_its_partitions_without_a_round() {
    let dir = tempfile::tempdir().unwrap();
    let member = |broker: &Broker, name: &str| broker.consumer_with(config().group_instance_id(name)).unwrap();
    let open = || Broker::open(dir.path()).unwrap();
    let broker = open();
    broker.create_topic("orders", TopicConfig::new().partitions(4)).unwrap();
    let mut members = vec![member(&broker, "a"), member(&broker, "b")];
    let before = settle(&mut members);
    let generation = members[0].generation();
    drop(members.remove(1));
    settle(&mut members);
    let description = broker.admin().describe_group("g").unwrap();
    assert_eq!(description.members().iter().filter(|member| member.is_away()).count(), 1);
    members.push(member(&broker, "b"));
    assert_eq!(settle(&mut members), before);
    assert_eq!(members[1].generation(), generation);
    // Also across a restart of the process.
    drop(members);
    broker.close().unwrap();
    let broker = open();
    let mut members = vec![member(&broker, "b"), member(&broker, "a")];
    assert_eq!(settle(&mut members), [before[1].clone(), before[0].clone()]);
    assert_eq!(members[0].generation(), generation);
    // Unless there is more to divide by then.
    broker.admin().add_partitions("orders", 6).unwrap();
    assert_eq!(sizes(&settle(&mut members)), [3, 3]);
}

#[test]
fn a_listener_is_told_and_may_use_the_consumer() {
    let broker = broker(2);
    let told = Arc::new(Mutex::new(Vec::new()));
    let config = config().rebalance_listener({
        let told = Arc::clone(&told);
        move |consumer: &mut Consumer, event: Rebalance<'_>| {
            assert!(matches!(consumer.poll(Duration::ZERO), Err(Error::InvalidState { .. })));
            let line = match event {
                Rebalance::Revoked(partitions) => {
                    consumer.commit()?;
                    format!("- {}", partitions.len())
                }
                Rebalance::Assigned(partitions) => {
                    consumer.seek(&partitions[0], SeekTo::Offset(5))?;
                    format!("+ {}", partitions.len())
                }
                Rebalance::Lost(partitions) => format!("! {}", partitions.len()),
                _ => String::new(),
            };
            told.lock().unwrap().push(line);
            Ok(())
        }
    });
    let take = || std::mem::take(&mut *told.lock().unwrap());
    let mut first = broker.consumer_with(config.clone()).unwrap();
    assert!(take().is_empty(), "it is called in polls only");
    assert_eq!(first.poll(Duration::from_secs(5)).unwrap().len(), 15);
    assert_eq!(take(), ["+ 2"]);
    let second = broker.consumer_with(config).unwrap();
    first.poll(Duration::ZERO).unwrap();
    assert_eq!(take(), ["- 1"]);
    assert_eq!(broker.committed("g", &orders(1)).unwrap().unwrap().offset(), 10);
    broker.admin().reset_offsets("g").topic("orders").to(ResetTo::Earliest).execute().unwrap();
    first.poll(Duration::ZERO).unwrap();
    assert_eq!(take()[0], "! 1");
    drop(second);
    first.close().unwrap();
    assert_eq!(take().last().unwrap(), "- 2");
}

#[test]
fn a_panic_or_error_of_a_listener_fails_that_poll_only() {
    let broker = broker(2);
    let panics = config().rebalance_listener(|_: &mut Consumer, event: Rebalance<'_>| match event {
        Rebalance::Assigned(_) => panic!("no"),
        _ => Err(Error::other("not now")),
    });
    let mut first = broker.consumer_with(panics).unwrap();
    match first.poll(Duration::ZERO) {
        Err(Error::ListenerPanicked { reason, .. }) => assert!(reason.contains("no"), "{reason}"),
        other => panic!("{other:?}"),
    }
    assert_eq!(first.poll(Duration::ZERO).unwrap().len(), 20);
    let mut second = broker.consumer_with(config()).unwrap();
    assert!(matches!(first.poll(Duration::ZERO), Err(Error::Other(_))));
    second.poll(Duration::ZERO).unwrap();
    assert_eq!((first.assignment().len(), second.assignment().len()), (1, 1), "it was given up all the same");
    first.poll(Duration::ZERO).unwrap();
}

#[test]
fn a_listener_may_close_the_consumer() {
    let broker = broker(2);
    let config = config().rebalance_listener(|consumer: &mut Consumer, event: Rebalance<'_>| {
        if let Rebalance::Assigned(_) = event {
            consumer.handle().close();
        }
        Ok(())
    });
    let mut consumer = broker.consumer_with(config).unwrap();
    assert!(matches!(consumer.poll(Duration::from_secs(5)), Err(Error::Closed { .. })));
    assert!(matches!(consumer.poll(Duration::ZERO), Err(Error::Closed { .. })));
    assert!(matches!(consumer.commit(), Err(Error::Closed { .. })));
    assert!(matches!(broker.admin().describe_group("g"), Err(Error::UnknownGroup { .. })));
}

#[test]
fn a_member_whose_thread_panics_leaves() {
    let broker = broker(2);
    let mut survivor = broker.consumer_with(config()).unwrap();
    let other = broker.consumer_with(config().auto_commit_interval(Duration::from_millis(1))).unwrap();
    let died = thread::spawn(move || {
        let mut other = other;
        // Its share comes with the first records.
        assert_eq!(other.poll(Duration::from_secs(30)).unwrap().len(), 10);
        panic!("a bug in the application");
    });
    while !died.is_finished() {
        survivor.poll(Duration::from_millis(1)).unwrap();
    }
    assert!(died.join().is_err());
    while survivor.assignment().len() < 2 {
        survivor.poll(Duration::from_millis(1)).unwrap();
    }
    let committed: Vec<_> = (0..2).filter_map(|n| broker.committed("g", &orders(n)).unwrap()).collect();
    assert!(committed.is_empty(), "what it was dealing with was not committed: {committed:?}");
}

#[test]
fn an_assignor_that_fails_is_an_error_and_asked_again() {
    #[derive(Debug)]
    struct Fails(Mutex<u32>);
    impl ottla::Assignor for Fails {
        fn name(&self) -> &'static str {
            "fails"
        }
        fn assign(&self, request: &ottla::AssignmentRequest) -> ottla::Assignment {
            let mut call = self.0.lock().unwrap();
            *call += 1;
            let mut assignment = ottla::Assignment::new();
            let id = request.members()[0].member_id();
            match *call {
                1 => {
                    drop(call);
                    panic!("in the assignor")
                }
                2 => assignment.assign(id, TopicPartition::new("orders", 9)),
                3 => assignment.assign("nobody", orders(0)),
                4 => [0, 0].into_iter().for_each(|n| assignment.assign(id, orders(n))),
                _ => assignment.assign(id, orders(1)),
            }
            assignment
        }
    }
    let broker = broker(2);
    let mut consumer = broker.consumer_with(config().assignor(Fails(Mutex::new(0)))).unwrap();
    for _ in 0..3 {
        match consumer.poll(Duration::ZERO) {
            Err(Error::AssignorFailed { assignor, .. }) => assert_eq!(assignor, "fails"),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(consumer.poll(Duration::ZERO).unwrap().len(), 10);
    assert_eq!(consumer.assignment(), [orders(1)]);
}

#[test]
fn members_must_agree_on_the_assignor() {
    let broker = broker(2);
    let first = broker.consumer_with(config()).unwrap();
    match broker.consumer_with(config().assignor(RangeAssignor)) {
        Err(Error::InconsistentAssignor { expected, given, .. }) => {
            assert_eq!((expected.as_str(), given.as_str()), ("cooperative-sticky", "range"));
        }
        other => panic!("{other:?}"),
    }
    drop(first);
    broker.consumer_with(config().assignor(RangeAssignor)).unwrap();
}

#[test]
fn a_reset_takes_effect_at_once_and_fences_the_members() {
    let broker = broker(2);
    let mut consumer = broker.consumer_with(config()).unwrap();
    assert_eq!(consumer.poll(Duration::from_secs(5)).unwrap().len(), 20);
    consumer.commit().unwrap();
    let reset = broker.admin().reset_offsets("g").to(ResetTo::ShiftBy(-3));
    let planned = reset.plan().unwrap();
    assert_eq!(planned.iter().map(|change| (change.before(), change.after())).collect::<Vec<_>>(), [(Some(10), 7); 2]);
    assert_eq!(broker.committed("g", &orders(0)).unwrap().unwrap().offset(), 10, "a plan changes nothing");
    assert_eq!(reset.execute().unwrap(), planned);
    assert!(matches!(
        consumer.commit_offsets(&[(orders(0), CommittedOffset::new(10))]),
        Err(Error::CommitRefused { .. })
    ));
    assert_eq!(broker.committed("g", &orders(0)).unwrap().unwrap().offset(), 7);
    assert_eq!(consumer.poll(Duration::from_secs(5)).unwrap().len(), 6);
    consumer.commit().unwrap();
    for (to, after) in
        [(ResetTo::Earliest, 0), (ResetTo::Latest, 10), (ResetTo::Offset(4), 4), (ResetTo::Offset(99), 10)]
    {
        let changes = broker.admin().reset_offsets("g").partition(orders(1)).to(to).execute().unwrap();
        assert_eq!((changes.len(), changes[0].after()), (1, after));
    }
    let unknown = broker.admin().reset_offsets("h").topic("orders").to(ResetTo::ShiftBy(1)).plan();
    assert!(matches!(unknown, Err(Error::NoCommittedOffset { .. })));
    assert!(matches!(broker.admin().reset_offsets("h").plan(), Err(Error::UnknownGroup { .. })));
}

#[test]
fn groups_are_listed_described_and_deleted() {
    let broker = broker(2);
    assert!(broker.admin().list_groups().unwrap().is_empty());
    let mut consumer = broker.consumer_with(config()).unwrap();
    consumer.poll(Duration::from_secs(5)).unwrap();
    consumer.commit_offsets(&[(orders(1), CommittedOffset::new(4).with_metadata("four"))]).unwrap();
    let group = broker.admin().describe_group("g").unwrap();
    assert_eq!((group.state(), group.assignor()), (GroupState::Stable, Some("cooperative-sticky")));
    assert_eq!(group.members()[0].assignment(), [orders(0), orders(1)]);
    assert_eq!(group.members()[0].client_id(), "consumer");
    assert!(consumer.member_id().unwrap().starts_with("consumer-"));
    assert_eq!((group.lag(&orders(0)), group.lag(&orders(1)), group.total_lag()), (Some(10), Some(6), 16));
    assert_eq!(group.partitions()[1].owner(), consumer.member_id());
    assert_eq!(group.partitions()[1].committed().unwrap().metadata(), "four");
    assert!(matches!(broker.admin().delete_group("g"), Err(Error::GroupNotEmpty { member_count: 1, .. })));
    drop(consumer);
    assert_eq!(broker.admin().describe_group("g").unwrap().state(), GroupState::Empty);
    assert_eq!(broker.admin().list_groups().unwrap(), ["g"]);
    broker.admin().delete_group("g").unwrap();
    assert!(broker.admin().list_groups().unwrap().is_empty());
    assert!(matches!(broker.admin().delete_group("g"), Err(Error::UnknownGroup { .. })));
    assert_eq!(broker.committed("g", &orders(1)).unwrap(), None);
}

#[test]
fn partitions_assigned_by_hand_are_committed_only_without_members() {
    let broker = broker(2);
    let mut by_hand = broker.consumer_with(ConsumerConfig::new("g")).unwrap();
    by_hand.assign(&[orders(0)]).unwrap();
    by_hand.poll(Duration::ZERO).unwrap();
    let member = broker.consumer_with(config()).unwrap();
    assert!(matches!(by_hand.commit(), Err(Error::CommitRefused { .. })));
    drop(member);
    by_hand.commit().unwrap();
    by_hand.subscribe(["orders"]).unwrap();
    assert_eq!(by_hand.assignment().len(), 2);
    by_hand.unsubscribe().unwrap();
    assert!(by_hand.assignment().is_empty() && by_hand.member_id().is_none());
    by_hand.subscribe_pattern("ord*").unwrap();
    assert_eq!(by_hand.assignment().len(), 2);
    assert!(matches!(by_hand.subscribe_pattern("[a]"), Err(Error::InvalidConfig { .. })));
}

#[test]
fn what_nobody_has_read_yet_is_described_too() {
    let broker = broker(3);
    let eager = || config().assignor(RangeAssignor);
    let first = broker.consumer_with(eager().client_id("till-1")).unwrap();
    let second = broker.consumer_with(eager().client_id("till-2")).unwrap();
    drop(first);
    let group = broker.admin().describe_group("g").unwrap();
    assert_eq!((group.state(), group.total_lag()), (GroupState::PreparingRebalance, 30));
    assert!(group.partitions().iter().all(|partition| partition.owner().is_none()));
    assert_eq!(group.members()[0].client_id(), "till-2");
    assert!(second.member_id().unwrap().starts_with("till-2-"));
    assert!(matches!(broker.consumer_with(config().client_id("")), Err(Error::InvalidConfig { key: "client.id", .. })));
}

#[test]
fn a_hook_that_panics_harms_nobody() {
    let broker = broker(2);
    let late = config().max_poll_interval(Duration::from_millis(1)).on_late_poll(|_| panic!("in the hook"));
    let _late = broker.consumer_with(late).unwrap();
    thread::sleep(Duration::from_millis(5));
    let described = catch_unwind(AssertUnwindSafe(|| broker.admin().describe_group("g").map(|_| ())));
    assert!(described.is_ok());
    broker.consumer_with(config()).unwrap().poll(Duration::ZERO).unwrap();
}
