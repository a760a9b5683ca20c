//! Committed offsets that nobody uses expire, where that is asked for, and those that somebody uses do not.

use std::time::Duration;

use ottla::testing::{CrashModel, FaultKind, FaultRule, Operation, SimulatedDisk};
use ottla::{
    Broker, BrokerBuilder, CommittedOffset, Consumer, ConsumerConfig, Durability, Error, TopicConfig, TopicPartition,
};

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);
const ALMOST_TEN_MINUTES: Duration = Duration::from_millis(10 * 60_000 - 1);
const DAY: Duration = Duration::from_secs(24 * 3600);

fn builder(disk: &SimulatedDisk) -> BrokerBuilder {
    Broker::builder("/data").background(false).durability(Durability::Os).disk(disk)
}

fn open(disk: &SimulatedDisk) -> Broker {
    builder(disk).offsets_retention(10 * MINUTE).open().unwrap()
}

fn orders() -> TopicPartition {
    TopicPartition::new("orders", 0)
}

/// With ten records.
fn make_topic(broker: &Broker) {
    let topic = broker.create_topic("orders", TopicConfig::new()).unwrap();
    for n in 0..10 {
        topic.produce("k", n.to_string()).unwrap();
    }
}

fn member(broker: &Broker, group: &str) -> Consumer {
    member_of(broker, ConsumerConfig::new(group))
}

/// Has read three records, and committed that.
fn member_of(broker: &Broker, config: ConsumerConfig) -> Consumer {
    let mut consumer = broker.consumer_with(config.topics(["orders"]).max_poll_records(3)).unwrap();
    assert_eq!(consumer.poll(Duration::ZERO).unwrap().len(), 3);
    consumer.commit().unwrap();
    consumer
}

/// Who is assigned the partition, and commits offset 3.
fn assigned(broker: &Broker, group: &str) -> Consumer {
    let mut consumer = broker.consumer_with(ConsumerConfig::new(group)).unwrap();
    consumer.assign(&[orders()]).unwrap();
    consumer.commit_offsets(&[(orders(), CommittedOffset::new(3))]).unwrap();
    consumer
}

fn committed(broker: &Broker, group: &str) -> Option<u64> {
    broker.committed(group, &orders()).unwrap().map(|committed| committed.offset())
}

fn maintain_after(disk: &SimulatedDisk, broker: &Broker, time: Duration) {
    disk.advance(time);
    broker.run_maintenance().unwrap();
}

/// Known failure 9.15.
#[test]
fn k9_15_offsets_expire_only_where_nobody_uses_them() {
    let disk = SimulatedDisk::new(1);
    let broker = open(&disk);
    make_topic(&broker);
    let a = member(&broker, "a");
    let static_member = || ConsumerConfig::new("d").group_instance_id("d-1").session_timeout(2 * HOUR);
    disk.advance(HOUR);
    drop(member_of(&broker, static_member()));
    drop(member(&broker, "b"));
    let c = assigned(&broker, "c");
    maintain_after(&disk, &broker, 9 * MINUTE);
    let all = |broker: &Broker| ["a", "b", "c", "d"].map(|group| committed(broker, group));
    assert_eq!(all(&broker), [Some(3); 4]);
    let expected = [Some(3), None, None, Some(3)];
    maintain_after(&disk, &broker, 2 * MINUTE);
    assert_eq!(all(&broker), expected);
    assert_eq!(broker.admin().list_groups().unwrap(), ["a", "d"]);
    maintain_after(&disk, &broker, 49 * MINUTE);
    assert_eq!(all(&broker), expected);
    drop((a, c));
    broker.close().unwrap();

    disk.advance(DAY);
    let broker = open(&disk);
    broker.run_maintenance().unwrap();
    assert_eq!(all(&broker), expected, "time does not count while nobody has the directory open");
    let mut a = broker.consumer("a", ["orders"]).unwrap();
    let next = a.poll(Duration::ZERO).unwrap().iter().next().unwrap().offset();
    assert_eq!((next, a.reset_count()), (3, 0));
}

#[test]
fn offsets_expire_by_the_last_commit_and_the_last_member() {
    let disk = SimulatedDisk::new(1);
    let broker = open(&disk);
    make_topic(&broker);
    let mut keeps_committing = assigned(&broker, "commits");
    let first = member(&broker, "left");
    let second = broker.consumer("left", ["orders"]).unwrap();
    for _ in 0..4 {
        maintain_after(&disk, &broker, 9 * MINUTE);
        keeps_committing.commit_offsets(&[(orders(), CommittedOffset::new(4))]).unwrap();
    }
    drop(first);
    maintain_after(&disk, &broker, 9 * MINUTE);
    drop(second);
    assert_eq!(committed(&broker, "commits"), Some(4));
    maintain_after(&disk, &broker, 9 * MINUTE);
    assert_eq!((committed(&broker, "commits"), committed(&broker, "left")), (None, Some(3)));
    maintain_after(&disk, &broker, MINUTE);
    assert_eq!(committed(&broker, "left"), None);
    assert_eq!(broker.admin().list_groups().unwrap(), [""; 0]);
}

#[test]
fn the_place_of_a_static_member_that_is_over_begins_the_time() {
    let disk = SimulatedDisk::new(1);
    let broker = open(&disk);
    make_topic(&broker);
    drop(member_of(&broker, ConsumerConfig::new("g").group_instance_id("one").session_timeout(30 * MINUTE)));
    // However late somebody looks.
    maintain_after(&disk, &broker, 30 * MINUTE + ALMOST_TEN_MINUTES);
    assert_eq!(committed(&broker, "g"), Some(3));
    maintain_after(&disk, &broker, Duration::from_millis(1));
    assert_eq!(committed(&broker, "g"), None);
    // By hand: from then on.
    drop(member_of(&broker, ConsumerConfig::new("g").group_instance_id("one").session_timeout(30 * MINUTE)));
    disk.advance(MINUTE);
    assert!(broker.admin().remove_group_instance("g", "one").unwrap());
    maintain_after(&disk, &broker, ALMOST_TEN_MINUTES);
    assert_eq!(committed(&broker, "g"), Some(3));
    maintain_after(&disk, &broker, Duration::from_millis(1));
    assert_eq!(committed(&broker, "g"), None);
}

#[test]
fn without_being_asked_for_nothing_expires() {
    let disk = SimulatedDisk::new(1);
    let broker = builder(&disk).open().unwrap();
    make_topic(&broker);
    drop(member(&broker, "g"));
    maintain_after(&disk, &broker, 1000 * DAY);
    assert_eq!(committed(&broker, "g"), Some(3));
}

/// A clock that is set, and a broker that has groups and does not use them.
#[test]
fn time_is_counted_from_the_opening_whatever_clocks_say_and_whether_or_not_groups_are_used() {
    let disk = SimulatedDisk::new(1);
    let broker = open(&disk);
    make_topic(&broker);
    drop(member(&broker, "g"));
    broker.close().unwrap();
    let broker = open(&disk);
    disk.set_now_ms(4_000_000_000_000);
    maintain_after(&disk, &broker, 9 * MINUTE);
    broker.close().unwrap();
    let reader = Broker::builder("/data").disk(&disk).recovery_mode(ottla::RecoveryMode::ReadOnly).open().unwrap();
    assert_eq!(committed(&reader, "g"), Some(3));
    let broker = open(&disk);
    maintain_after(&disk, &broker, 10 * MINUTE);
    assert_eq!(committed(&broker, "g"), None);
    assert_eq!(committed(&reader, "g"), None, "it is written down");
    broker.close().unwrap();
    assert_eq!(committed(&builder(&disk).open().unwrap(), "g"), None);
}

/// All of a group's offsets are there or none, and what could not be written down is as it was.
#[test]
fn a_group_expires_as_a_whole_or_not_at_all() {
    let disk = SimulatedDisk::new(1);
    let broker = open(&disk);
    broker.create_topic("orders", TopicConfig::new().partitions(20)).unwrap();
    let all: Vec<_> = (0..20).map(|n| TopicPartition::new("orders", n)).collect();
    let mut consumer = broker.consumer_with(ConsumerConfig::new("g")).unwrap();
    consumer.assign(&all).unwrap();
    let offsets: Vec<_> = all.iter().map(|partition| (partition.clone(), CommittedOffset::new(0))).collect();
    consumer.commit_offsets(&offsets).unwrap();
    broker.flush().unwrap();
    let count =
        |broker: &Broker| all.iter().filter(|partition| broker.committed("g", partition).unwrap().is_some()).count();
    disk.advance(10 * MINUTE);
    disk.record_stops();
    broker.run_maintenance().unwrap();
    broker.flush().unwrap();
    assert_eq!(count(&broker), 0);
    let stops = disk.take_stops();
    assert!(!stops.is_empty());
    for (call, stopped) in stops {
        for model in CrashModel::ALL {
            let left = count(&builder(&stopped.crash(call, model)).open().unwrap());
            assert!(left == 0 || left == 20, "{left} at call {call}, {model:?}");
        }
    }
}

#[test]
fn a_time_of_nothing_is_refused_and_minutes_are_taken_as_text() {
    let disk = SimulatedDisk::new(1);
    for refused in [
        builder(&disk).offsets_retention(Duration::ZERO),
        builder(&disk).set("offsets.retention.minutes", "0").unwrap(),
    ] {
        match refused.open() {
            Err(Error::InvalidConfig { key, .. }) => assert_eq!(key, "offsets.retention.minutes"),
            other => panic!("{other:?}"),
        }
    }
    assert!(builder(&disk).set("offsets.retention.minutes", "ten").is_err());
    let broker = builder(&disk).set("offsets.retention.minutes", "10").unwrap().open().unwrap();
    make_topic(&broker);
    drop(member(&broker, "g"));
    maintain_after(&disk, &broker, 9 * MINUTE);
    assert_eq!(committed(&broker, "g"), Some(3));
    maintain_after(&disk, &broker, MINUTE);
    assert_eq!(committed(&broker, "g"), None);
}

/// A log that refuses writes keeps its groups, says so, and lets go of them once it takes writes again.
#[test]
fn what_cannot_be_written_down_stays_and_is_told() {
    let disk = SimulatedDisk::new(1);
    let broker = open(&disk);
    make_topic(&broker);
    drop(member(&broker, "g"));
    disk.fail(FaultRule::new(FaultKind::InputOutput).on(Operation::Sync).nth(1));
    broker.flush().unwrap_err();
    disk.advance(10 * MINUTE);
    assert!(matches!(broker.run_maintenance(), Err(Error::Poisoned { .. })));
    assert!(broker.admin().health().maintenance_error.is_some());
    assert_eq!(committed(&broker, "g"), Some(3));
    drop(broker);
    let broker = open(&disk);
    assert_eq!(committed(&broker, "g"), Some(3));
    maintain_after(&disk, &broker, 10 * MINUTE);
    assert_eq!(committed(&broker, "g"), None);
}
