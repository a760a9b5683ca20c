//! Groups whose members, tasks and topics come and go at awkward moments.

use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Wake, Waker};
use std::time::{Duration, Instant};

use ottla::testing::{FaultKind, FaultRule, Operation, SimulatedDisk};
use ottla::{
    Assignment, AssignmentRequest, Assignor, Broker, CommittedOffset, Consumer, ConsumerConfig,
    CooperativeStickyAssignor, Durability, Error, ProducerRecord, RangeAssignor, Rebalance, RebalanceProtocol,
    RoundRobinAssignor, TopicConfig, TopicPartition,
};

const SOON: Duration = Duration::from_secs(5);
/// Longer than anything here takes, unless somebody waits for himself.
const LONG: Duration = Duration::from_secs(20);

fn orders(partition: u32) -> TopicPartition {
    TopicPartition::new("orders", partition)
}

fn config() -> ConsumerConfig {
    ConsumerConfig::new("g").topics(["orders"])
}

/// Whether a task that waits for the consumer would go on at once.
fn is_ready(consumer: &mut Consumer, waker: &Waker) -> bool {
    pin!(consumer.ready()).poll(&mut Context::from_waker(waker)).is_ready()
}

/// Looks until `condition` holds; whether it did in time.
fn in_time(mut condition: impl FnMut() -> bool) -> bool {
    let begun = Instant::now();
    while begun.elapsed() < LONG {
        if condition() {
            return true;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    false
}

/// Polls until every member has what it is to have.
fn settle(broker: &Broker, members: &mut [Consumer]) {
    for _ in 0..20 {
        for member in &mut *members {
            member.poll(Duration::ZERO).unwrap();
        }
    }
    assert_eq!(broker.admin().describe_group("g").unwrap().state(), ottla::GroupState::Stable);
}

/// A broker whose clock the test moves, with a record in `orders`.
fn simulated(disk: &SimulatedDisk) -> Broker {
    let broker = Broker::builder("/data").background(false).durability(Durability::Os).disk(disk).open().unwrap();
    broker.topic("orders").unwrap().produce("customer-1", "2 coffees").unwrap();
    broker
}

/// An assignor that looks at the lag would hold the broker like this.
#[derive(Debug)]
struct HoldsBroker(#[allow(dead_code, reason = "held, and not looked at here")] Broker);

impl Assignor for HoldsBroker {
    fn name(&self) -> &'static str {
        "holds-broker"
    }

    fn assign(&self, request: &AssignmentRequest) -> Assignment {
        RangeAssignor.assign(request)
    }
}

#[test]
fn a_broker_ends_with_its_last_handle_though_the_assignor_of_an_away_member_holds_it() {
    let dir = tempfile::tempdir().unwrap();
    let broker = Broker::open(dir.path()).unwrap();
    broker.topic("orders").unwrap();
    let config = config().group_instance_id("a").assignor(HoldsBroker(broker.clone()));
    let mut consumer = broker.consumer_with(config).unwrap();
    consumer.poll(Duration::ZERO).unwrap();
    drop((consumer, broker));
    Broker::open(dir.path()).unwrap();
}

#[test]
fn a_task_goes_on_after_its_listener_failed_as_partitions_were_lost() {
    let broker = Broker::temporary().unwrap();
    broker.topic("orders").unwrap().produce("customer-1", "2 coffees").unwrap();
    let config = config().rebalance_listener(|_: &mut Consumer, event: Rebalance<'_>| match event {
        Rebalance::Lost(_) => Err(Error::Wakeup),
        _ => Ok(()),
    });
    let mut consumer = broker.consumer_with(config).unwrap();
    assert_eq!(consumer.poll(SOON).unwrap().len(), 1);
    broker.admin().reset_offsets("g").topic("orders").execute().unwrap();
    assert!(consumer.poll(Duration::ZERO).is_err());
    assert!(is_ready(&mut consumer, Waker::noop()), "it is no member, and is to join");
    assert_eq!(consumer.poll(Duration::ZERO).unwrap().len(), 1);
}

/// Cooperative, and panics while it is told to.
#[derive(Debug, Clone, Default)]
struct Fails(Arc<AtomicBool>);

impl Assignor for Fails {
    fn name(&self) -> &'static str {
        "fails"
    }

    fn protocol(&self) -> RebalanceProtocol {
        RebalanceProtocol::Cooperative
    }

    fn assign(&self, request: &AssignmentRequest) -> Assignment {
        assert!(!self.0.load(Ordering::Relaxed), "told to fail");
        CooperativeStickyAssignor.assign(request)
    }
}

#[test]
fn a_topic_that_was_made_again_before_a_round_succeeded_is_read() {
    let broker = Broker::temporary().unwrap();
    broker.topic("orders").unwrap();
    let fails = Fails::default();
    let mut consumer = broker.consumer_with(config().assignor(fails.clone())).unwrap();
    consumer.poll(Duration::ZERO).unwrap();
    broker.admin().delete_topic("orders").unwrap();
    fails.0.store(true, Ordering::Relaxed);
    assert!(matches!(consumer.poll(Duration::ZERO), Err(Error::AssignorFailed { .. })));
    broker.topic("orders").unwrap().produce("customer-1", "2 coffees").unwrap();
    fails.0.store(false, Ordering::Relaxed);
    assert_eq!(consumer.poll(Duration::from_secs(1)).unwrap().len(), 1);
}

#[test]
fn a_handle_closes_a_consumer_whose_assignor_fails_every_time() {
    let broker = Broker::temporary().unwrap();
    broker.topic("orders").unwrap();
    let fails = Fails::default();
    fails.0.store(true, Ordering::Relaxed);
    let mut consumer = broker.consumer_with(config().assignor(fails)).unwrap();
    assert!(matches!(consumer.poll(Duration::ZERO), Err(Error::AssignorFailed { .. })));
    consumer.handle().close();
    let polled = [(); 2].map(|()| consumer.poll(Duration::ZERO));
    assert!(matches!(polled, [_, Err(Error::Closed { .. })]), "{polled:?}");
    assert!(broker.admin().list_groups().unwrap().is_empty());
}

fn put_string(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(&i16::try_from(text.len()).unwrap().to_be_bytes());
    out.extend_from_slice(text.as_bytes());
}

fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(&i32::try_from(bytes.len()).unwrap().to_be_bytes());
    out.extend_from_slice(bytes);
}

/// Key and value of a group's metadata with two members of the same instance id, both assigned this partition of `orders`.
fn metadata_of_twins(partition: i32) -> (Vec<u8>, Vec<u8>) {
    let mut key = 2_i16.to_be_bytes().to_vec();
    put_string(&mut key, "g");
    let mut subscription = vec![0, 0, 0, 0, 0, 1];
    put_string(&mut subscription, "orders");
    let mut assignment = subscription.clone();
    subscription.extend_from_slice(&(-1_i32).to_be_bytes());
    assignment.extend_from_slice(&[0, 0, 0, 1]);
    assignment.extend_from_slice(&partition.to_be_bytes());
    assignment.extend_from_slice(&(-1_i32).to_be_bytes());
    let mut value = 3_i16.to_be_bytes().to_vec();
    put_string(&mut value, "consumer");
    value.extend_from_slice(&i32::MAX.to_be_bytes());
    put_string(&mut value, "cooperative-sticky");
    put_string(&mut value, "twin-1");
    value.extend_from_slice(&(-1_i64).to_be_bytes());
    value.extend_from_slice(&[0, 0, 0, 2]);
    for member_id in ["twin-1", "twin-2"] {
        for text in [member_id, "a", "client", "host"] {
            put_string(&mut value, text);
        }
        value.extend_from_slice(&[i32::MAX.to_be_bytes(), i32::MAX.to_be_bytes()].concat());
        put_bytes(&mut value, &subscription);
        put_bytes(&mut value, &assignment);
    }
    (key, value)
}

#[test]
fn members_divide_the_partitions_that_there_are_whatever_the_record_of_the_group_says() {
    let dir = tempfile::tempdir().unwrap();
    let broker = Broker::open(dir.path()).unwrap();
    broker.topic("orders").unwrap().produce("customer-1", "2 coffees").unwrap();
    drop(broker.consumer("g", ["orders"]).unwrap());
    let (key, value) = metadata_of_twins(9_999);
    let record = ProducerRecord::to("__consumer_offsets").key(&key).value(&value);
    ottla::fuzzing::plant(&broker, "__consumer_offsets", &record).unwrap();
    broker.close().unwrap();

    let broker = Broker::open(dir.path()).unwrap();
    assert_eq!(broker.admin().describe_group("g").unwrap().members().len(), 1);
    let twin = broker.consumer_with(config().group_instance_id("a")).unwrap();
    let other = broker.consumer_with(config()).unwrap();
    let mut members = [twin, other];
    settle(&broker, &mut members);
    let group = broker.admin().describe_group("g").unwrap();
    let targets = group.members().iter().flat_map(ottla::MemberDescription::target);
    assert_eq!(targets.filter(|tp| tp.partition() > 0).count(), 0);
}

#[test]
fn partitions_of_before_a_topic_was_made_again_are_not_divided() {
    let broker = Broker::temporary().unwrap();
    broker.create_topic("orders", TopicConfig::new().partitions(8)).unwrap();
    let away = broker.consumer_with(config().group_instance_id("a")).unwrap();
    let here = broker.consumer_with(config()).unwrap();
    let mut members = [away, here];
    settle(&broker, &mut members);
    let [away, here] = members;
    drop(away);
    broker.admin().delete_topic("orders").unwrap();
    broker.create_topic("orders", TopicConfig::new().partitions(2)).unwrap();
    let mut here = [here];
    settle(&broker, &mut here);
    let group = broker.admin().describe_group("g").unwrap();
    let targets: Vec<_> = group.members().iter().flat_map(ottla::MemberDescription::target).collect();
    assert_eq!(targets.len(), 2, "{targets:?}");
}

#[test]
fn a_group_whose_last_static_member_has_timed_out_is_empty() {
    let disk = SimulatedDisk::new(1);
    let broker = simulated(&disk);
    let leave_one = || {
        let mut member = broker.consumer_with(config().group_instance_id("a")).unwrap();
        member.poll(Duration::ZERO).unwrap();
    };
    leave_one();
    disk.advance(Duration::from_secs(44));
    assert!(matches!(broker.admin().delete_group("g"), Err(Error::GroupNotEmpty { .. })));
    disk.advance(Duration::from_secs(1));
    // It is forgotten as it is looked at, or there is nothing to it any more.
    let deleted = broker.admin().delete_group("g");
    assert!(matches!(deleted, Ok(()) | Err(Error::UnknownGroup { .. })), "{deleted:?}");
    leave_one();
    disk.advance(Duration::from_secs(45));
    let mut by_hand = broker.consumer_with(ConsumerConfig::new("g")).unwrap();
    by_hand.assign(&[orders(0)]).unwrap();
    assert_eq!(by_hand.poll(Duration::ZERO).unwrap().len(), 1);
    by_hand.commit().unwrap();
}

/// A listener that keeps what it was told.
fn noting(config: ConsumerConfig) -> (ConsumerConfig, Arc<Mutex<Vec<String>>>) {
    let events = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&events);
    let config = config.rebalance_listener(move |_: &mut Consumer, event: Rebalance<'_>| {
        noted.lock().unwrap().push(format!("{event:?}"));
        Ok(())
    });
    (config, events)
}

fn shown(events: &Mutex<Vec<String>>) -> String {
    let kinds = events.lock().unwrap();
    let topic = |event: &String| if event.contains("payments") { "payments" } else { "orders" };
    let kind = |event: &String| event.split('(').next().unwrap().to_owned();
    kinds.iter().map(|event| format!("{} {}", kind(event), topic(event))).collect::<Vec<_>>().join(", ")
}

#[test]
fn a_static_member_with_other_topics_is_not_given_what_it_no_longer_reads() {
    let broker = Broker::temporary().unwrap();
    for topic in ["orders", "payments"] {
        broker.topic(topic).unwrap();
    }
    let (config, events) = noting(config().group_instance_id("a"));
    let mut consumer = broker.consumer_with(config).unwrap();
    consumer.poll(Duration::ZERO).unwrap();
    consumer.subscribe(["payments"]).unwrap();
    consumer.poll(Duration::ZERO).unwrap();
    assert_eq!(shown(&events), "Assigned orders, Revoked orders, Assigned payments");
}

#[test]
fn a_listener_is_not_told_that_it_gives_up_what_it_never_had() {
    let broker = Broker::temporary().unwrap();
    broker.topic("orders").unwrap();
    let (config, events) = noting(config());
    broker.consumer_with(config.clone()).unwrap().close().unwrap();
    assert_eq!(shown(&events), "", "closed before the poll that would have told of the partitions");
    let mut consumer = broker.consumer_with(config).unwrap();
    consumer.unsubscribe().unwrap();
    consumer.assign(&[orders(0)]).unwrap();
    consumer.unsubscribe().unwrap();
    assert_eq!(shown(&events), "", "assigned by hand");
}

#[test]
fn offsets_are_committed_however_much_metadata_they_bring() {
    let broker = Broker::temporary().unwrap();
    broker.create_topic("orders", TopicConfig::new().partitions(40)).unwrap();
    let mut consumer = broker.consumer_with(config()).unwrap();
    consumer.poll(Duration::ZERO).unwrap();
    let large = CommittedOffset::new(0).with_metadata("x".repeat(32_767));
    let offsets: Vec<_> = (0..40).map(|number| (orders(number), large.clone())).collect();
    consumer.commit_offsets(&offsets).unwrap();
    assert_eq!(consumer.committed(&orders(39)).unwrap().unwrap().metadata().len(), 32_767);
}

#[test]
fn the_topic_of_offsets_gets_no_more_partitions() {
    let broker = Broker::temporary().unwrap();
    broker.topic("orders").unwrap();
    drop(broker.consumer_with(config()).unwrap());
    let added = broker.admin().add_partitions("__consumer_offsets", 2);
    assert!(matches!(added, Err(Error::InvalidTopic { .. })), "{added:?}");
}

#[test]
fn groups_of_a_closed_broker_are_not_none_at_all() {
    let broker = Broker::temporary().unwrap();
    broker.clone().close().unwrap();
    assert!(matches!(broker.admin().list_groups(), Err(Error::Closed { .. })));
    assert!(matches!(broker.committed("g", &orders(0)), Err(Error::Closed { .. })));
}

#[test]
fn static_members_that_come_back_after_reopening_with_another_assignor_divide_anew() {
    let dir = tempfile::tempdir().unwrap();
    let sizes = |broker: &Broker, config: ConsumerConfig| {
        let member = |name: &str| broker.consumer_with(config.clone().group_instance_id(name)).unwrap();
        let mut members = ["a", "b"].map(member);
        settle(broker, &mut members);
        members.map(|member| member.assignment().len())
    };
    let config = ConsumerConfig::new("g").topics(["orders", "payments"]);
    let broker = Broker::open(dir.path()).unwrap();
    for topic in ["orders", "payments"] {
        broker.create_topic(topic, TopicConfig::new().partitions(3)).unwrap();
    }
    assert_eq!(sizes(&broker, config.clone().assignor(RangeAssignor)), [4, 2]);
    broker.close().unwrap();
    let broker = Broker::open(dir.path()).unwrap();
    assert_eq!(sizes(&broker, config.assignor(RoundRobinAssignor)), [3, 3]);
}

/// A waker that does something at once, on the thread that wakes.
struct Inline<F: Fn() + Send + Sync>(F);

impl<F: Fn() + Send + Sync> Wake for Inline<F> {
    fn wake(self: Arc<Self>) {
        self.0();
    }
}

fn inline(call: impl Fn() + Send + Sync + 'static) -> Waker {
    Waker::from(Arc::new(Inline(call)))
}

#[test]
fn a_task_that_follows_the_offsets_may_look_at_the_group_as_it_is_woken() {
    let dir = tempfile::tempdir().unwrap();
    let broker = Broker::builder(dir.path()).durability(Durability::Os).open().unwrap();
    broker.topic("orders").unwrap().produce("customer-1", "2 coffees").unwrap();
    let mut consumer = broker.consumer_with(config()).unwrap();
    assert_eq!(consumer.poll(SOON).unwrap().len(), 1);
    let mut follower = broker.consumer("monitor", ["__consumer_offsets"]).unwrap();
    while !follower.poll(Duration::ZERO).unwrap().is_empty() {}
    let looks = Arc::new(Mutex::new(0));
    let waker = inline({
        let (broker, looks) = (broker.clone(), Arc::clone(&looks));
        move || {
            broker.admin().describe_group("g").unwrap();
            *looks.lock().unwrap() += 1;
        }
    });
    assert!(!is_ready(&mut follower, &waker));
    let committing = std::thread::spawn(move || consumer.commit().unwrap());
    assert!(in_time(|| committing.is_finished()), "it waits for itself");
    assert_eq!(*looks.lock().unwrap(), 1);
}

/// A consumer that wants to be woken soon, though nothing happens.
fn due_soon(broker: &Broker, group: &str) -> Consumer {
    let config = ConsumerConfig::new(group).topics(["orders"]).auto_commit_interval(Duration::from_millis(50));
    let mut consumer = broker.consumer_with(config).unwrap();
    consumer.poll(Duration::ZERO).unwrap();
    consumer
}

#[test]
fn a_waker_that_panics_does_not_end_the_maintenance() {
    let broker = Broker::temporary().unwrap();
    broker.topic("orders").unwrap();
    let woken = [(); 2].map(|()| Arc::new(AtomicBool::new(false)));
    for (group, woken) in ["first", "second"].into_iter().zip(&woken) {
        let mut consumer = due_soon(&broker, group);
        let waker = inline({
            let woken = Arc::clone(woken);
            move || {
                woken.store(true, Ordering::Release);
                panic!("a waker that panics");
            }
        });
        assert!(!is_ready(&mut consumer, &waker));
        assert!(in_time(|| woken.load(Ordering::Acquire)), "the {group} one");
    }
}

#[test]
fn the_last_handle_may_be_dropped_by_a_waker() {
    let dir = tempfile::tempdir().unwrap();
    let broker = Broker::open(dir.path()).unwrap();
    broker.topic("orders").unwrap();
    let mut consumer = due_soon(&broker, "g");
    let place = Arc::new(Mutex::new(None::<Consumer>));
    let waker = inline({
        let place = Arc::clone(&place);
        move || drop(place.lock().unwrap().take())
    });
    assert!(!is_ready(&mut consumer, &waker));
    *place.lock().unwrap() = Some(consumer);
    drop((broker, waker));
    assert!(in_time(|| dir.path().join("clean-shutdown").exists()), "the broker was not closed");
    // The lock goes last.
    assert!(in_time(|| Broker::open(dir.path()).is_ok()));
}

#[test]
fn a_commit_whose_sync_fails_leaves_the_group_where_it_stood() {
    let disk = SimulatedDisk::new(1);
    let open = || Broker::builder("/data").background(false).durability(Durability::Always).disk(&disk).open();
    let broker = open().unwrap();
    let topic = broker.create_topic("orders", TopicConfig::new().durability(Durability::Os)).unwrap();
    topic.produce("customer-1", "2 coffees").unwrap();
    let mut consumer = broker.consumer_with(config()).unwrap();
    assert_eq!(consumer.poll(Duration::ZERO).unwrap().len(), 1);
    disk.fail(FaultRule::new(FaultKind::InputOutput).on(Operation::Sync).forever());
    assert!(matches!(consumer.commit(), Err(Error::InDoubt { .. })));
    assert_eq!(consumer.committed(&orders(0)).unwrap(), None);
    assert!(consumer.poll(Duration::ZERO).unwrap().is_empty(), "reading goes on");
    let reset = broker.admin().reset_offsets("g").topic("orders").execute();
    assert!(matches!(reset, Err(Error::Poisoned { .. })), "{reset:?}");
    assert_eq!(consumer.committed(&orders(0)).unwrap(), None);
}

#[test]
fn the_files_of_a_deleted_topic_go_though_its_offsets_cannot_be_forgotten() {
    let disk = SimulatedDisk::new(1);
    let broker = Broker::builder("/data").background(false).durability(Durability::Always).disk(&disk).open().unwrap();
    broker.topic("orders").unwrap().produce("customer-1", "2 coffees").unwrap();
    let mut consumer = broker.consumer_with(config()).unwrap();
    assert_eq!(consumer.poll(Duration::ZERO).unwrap().len(), 1);
    consumer.commit().unwrap();
    disk.fail(FaultRule::new(FaultKind::InputOutput).on(Operation::Sync).path_containing("tail").forever());
    assert!(broker.admin().delete_topic("orders").is_err());
    let left: Vec<_> =
        disk.files().into_iter().filter(|(path, _)| path.to_string_lossy().contains("orders-0")).collect();
    assert!(left.is_empty(), "{left:?}");
}
