//! Groups that a topic is kept for: what they have not read stays beyond the limits, up to a cap, and who holds it back is named.

use std::time::Duration;

use ottla::testing::SimulatedDisk;
use ottla::{
    Broker, BrokerBuilder, BudgetPolicy, CleanupPolicy, CommittedOffset, ConsumerConfig, Durability, Error, Partition,
    ProducerRecord, TopicConfig, TopicPartition,
};

const HOUR: Duration = Duration::from_secs(3600);
/// Past the tail, and each in a segment of its own.
const LARGE: usize = 70_000;

fn builder(disk: &SimulatedDisk) -> BrokerBuilder {
    Broker::builder("/data").disk(disk).durability(Durability::Os).background(false).tail_bytes(1 << 20)
}

/// A topic with ten records, all of them older than its limit, but for the last, which is in the active segment.
fn expired(config: TopicConfig) -> (SimulatedDisk, Broker, Partition) {
    let disk = SimulatedDisk::new(1);
    disk.set_now_ms(1_700_000_000_000);
    let broker = builder(&disk).open().unwrap();
    let config = config.segment_bytes(1024).retention_ms(HOUR);
    let partition = broker.create_topic("orders", config).unwrap().partition(0).unwrap();
    for _ in 0..10 {
        send(&partition);
    }
    disk.advance(2 * HOUR);
    (disk, broker, partition)
}

fn send(partition: &Partition) {
    partition.append(&ProducerRecord::new().value(vec![b'x'; LARGE])).unwrap();
}

fn commit(broker: &Broker, group: &str, offset: u64) {
    let orders = TopicPartition::new("orders", 0);
    let mut consumer = broker.consumer_with(ConsumerConfig::new(group)).unwrap();
    consumer.assign(std::slice::from_ref(&orders)).unwrap();
    consumer.commit_offsets(&[(orders, CommittedOffset::new(offset))]).unwrap();
}

/// Where the log begins after the maintenance.
fn maintained(broker: &Broker) -> u64 {
    broker.run_maintenance().unwrap();
    broker.existing_topic("orders").unwrap().partition(0).unwrap().log_start_offset()
}

fn held(broker: &Broker) -> Vec<(String, u64)> {
    let health = broker.admin().health();
    assert!(health.is_healthy(), "that a group is behind is nothing wrong: {health}");
    health.held_back.into_iter().map(|held| (held.group, held.committed.unwrap_or(held.log_start_offset))).collect()
}

#[test]
fn what_a_group_has_not_read_stays_until_it_has() {
    let (disk, broker, _partition) = expired(TopicConfig::new().retain_for(["billing", "audit"], 1 << 30));
    // Neither has committed anything.
    assert_eq!(maintained(&broker), 0);
    assert_eq!(held(&broker), [("billing".to_owned(), 0)]);
    commit(&broker, "billing", 6);
    commit(&broker, "other", 0);
    assert_eq!(maintained(&broker), 0);
    assert_eq!(held(&broker), [("audit".to_owned(), 0)]);
    commit(&broker, "audit", 4);
    assert_eq!(maintained(&broker), 4);
    assert_eq!(held(&broker), [("audit".to_owned(), 4)]);
    assert!(broker.admin().health().to_string().contains("orders-0 is kept for group \"audit\""));
    // After an opening too, before anybody has used a group.
    broker.close().unwrap();
    let broker = builder(&disk).open().unwrap();
    assert_eq!(maintained(&broker), 4);
    assert_eq!(held(&broker), [("audit".to_owned(), 4)]);
    commit(&broker, "audit", 10);
    assert_eq!(maintained(&broker), 6);
    assert_eq!(held(&broker), [("billing".to_owned(), 6)]);
    // Who is not asked for any more holds nothing back.
    broker.admin().alter_topic("orders", |config| config.retain_for(["audit"], 1 << 30)).unwrap();
    assert_eq!(maintained(&broker), 9, "the last one is in the active segment");
    assert_eq!(held(&broker), []);
}

#[test]
fn beyond_the_cap_the_oldest_goes_and_the_cap_stays() {
    let (_, broker, partition) = expired(TopicConfig::new().retain_for(["billing"], 3 * LARGE as u64));
    let start = maintained(&broker);
    let left = broker.admin().describe("orders").unwrap().partitions()[0].log_bytes();
    assert_eq!((start, held(&broker)), (7, vec![("billing".to_owned(), 7)]));
    assert!((3 * LARGE as u64..4 * LARGE as u64).contains(&left), "{left}");
    let says = || broker.admin().health().held_back[0].to_string();
    assert_eq!(
        says(),
        format!(
            "orders-0 is kept for group \"billing\", which has committed nothing ({left} bytes, of a cap of {})",
            3 * LARGE
        )
    );
    commit(&broker, "billing", 9);
    assert_eq!(maintained(&broker), 9);
    send(&partition);
    assert_eq!(maintained(&broker), 9, "young records stay anyway");
    assert_eq!(held(&broker), [("billing".to_owned(), 9)]);
}

/// What went beyond the cap is not called read.
#[test]
fn what_a_group_misses_is_said() {
    let (_, broker, _partition) = expired(TopicConfig::new().retain_for(["billing"], 3 * LARGE as u64));
    commit(&broker, "billing", 2);
    assert_eq!(maintained(&broker), 7);
    let held = &broker.admin().health().held_back[0];
    assert_eq!((held.committed, held.log_start_offset, held.cap_bytes), (Some(2), 7, Some(3 * LARGE as u64)));
    let (bytes, cap) = (held.log_bytes, 3 * LARGE);
    assert_eq!(
        held.to_string(),
        format!(
            "orders-0 is kept for group \"billing\", which has read up to 2 and misses 2..7 ({bytes} bytes, of a cap of {cap})"
        )
    );
}

#[test]
fn limits_of_size_give_way_as_those_of_time_do() {
    let config = TopicConfig::new().retain_for(["billing"], 1 << 30).retention_bytes(LARGE as u64);
    let (_, broker, _partition) = expired(config);
    broker.admin().alter_topic("orders", |config| config.retention_ms(None)).unwrap();
    commit(&broker, "billing", 2);
    assert_eq!(maintained(&broker), 2);
    commit(&broker, "billing", 10);
    assert!(maintained(&broker) >= 8);
    // Without limits there is nothing to hold back.
    broker.admin().alter_topic("orders", |config| config.retention_bytes(None)).unwrap();
    broker.run_maintenance().unwrap();
    assert_eq!(held(&broker), []);
}

#[test]
fn a_budget_and_deleting_by_hand_ask_no_group() {
    let (disk, broker, partition) = expired(TopicConfig::new().retain_for(["billing"], 1 << 30));
    assert_eq!(maintained(&broker), 0);
    broker.admin().delete_records(&[(partition.topic_partition().clone(), 3)]).unwrap();
    assert_eq!(maintained(&broker), 3);
    drop(partition);
    broker.close().unwrap();
    let bytes = 3 * (1 << 20) + 2 * 4096 + 5 * LARGE as u64;
    let broker = builder(&disk).disk_budget(bytes, BudgetPolicy::DropOldest).open().unwrap();
    let partition = broker.existing_topic("orders").unwrap().partition(0).unwrap();
    for _ in 0..20 {
        send(&partition);
    }
    assert!(partition.log_start_offset() > 20, "{}", partition.log_start_offset());
}

#[test]
fn a_group_of_before_means_nothing_for_a_topic_of_the_same_name() {
    let (disk, broker, partition) = expired(TopicConfig::new().retain_for(["billing"], 1 << 30));
    commit(&broker, "billing", 10);
    let config = broker.existing_topic("orders").unwrap().config();
    drop(partition);
    broker.admin().delete_topic("orders").unwrap();
    let partition = broker.create_topic("orders", config).unwrap().partition(0).unwrap();
    for _ in 0..5 {
        send(&partition);
    }
    disk.advance(2 * HOUR);
    assert_eq!(maintained(&broker), 0);
    assert_eq!(held(&broker), [("billing".to_owned(), 0)]);
}

#[test]
fn groups_that_make_no_sense_are_refused_by_name() {
    let broker = Broker::temporary().unwrap();
    let refused = |config: TopicConfig| match broker.create_topic("orders", config) {
        Err(Error::InvalidConfig { key, reason, .. }) => (key, reason),
        other => panic!("{other:?}"),
    };
    for name in ["", "a,b", " a"] {
        assert_eq!(refused(TopicConfig::new().retain_for([name], 1)).0, "ottla.retain.for.groups", "{name:?}");
    }
    assert_eq!(refused(TopicConfig::new().retain_for(["x".repeat(20_000)], 1)).0, "ottla.retain.for.groups");
    assert_eq!(refused(TopicConfig::new().retain_for(["a"], u64::MAX)).0, "ottla.retain.for.bytes");
    let (key, reason) = refused(TopicConfig::new().set("ottla.retain.for.groups", "a, b").unwrap());
    assert!(key == "ottla.retain.for.groups" && reason.contains("ottla.retain.for.bytes"), "{reason}");
    let (key, reason) = refused(TopicConfig::new().set("ottla.retain.for.bytes", "5").unwrap());
    assert!(key == "ottla.retain.for.bytes" && reason.contains("ottla.retain.for.groups"), "{reason}");
    assert!(TopicConfig::new().set("ottla.retain.for.bytes", "-2").is_err());
    let pasted = TopicConfig::new().set("ottla.retain.for.groups", "a, b").unwrap();
    let pasted = pasted.set("ottla.retain.for.bytes", "5").unwrap();
    assert_eq!(pasted, TopicConfig::new().retain_for(["a", "b"], 5));
    assert_eq!((pasted.get_retain_for_groups().len(), pasted.get_retain_for_bytes()), (2, Some(5)));
    assert_eq!(pasted.clone().retain_for([""; 0], 7), TopicConfig::new());
    // What is written down is read back.
    let dir = tempfile::tempdir().unwrap();
    let broker = crate::open(dir.path());
    broker.create_topic("orders", pasted.clone()).unwrap();
    assert_eq!(
        broker.admin().describe("orders").unwrap().settings_without_effect(),
        ["ottla.retain.for.groups", "ottla.retain.for.bytes"],
        "there are no limits"
    );
    broker.close().unwrap();
    let broker = crate::open(dir.path());
    assert_eq!(broker.existing_topic("orders").unwrap().config(), pasted);
    let compacted = pasted.cleanup_policy(CleanupPolicy::Compact).retention_ms(HOUR).retention_bytes(1);
    broker.create_topic("states", compacted).unwrap();
    assert_eq!(
        broker.admin().describe("states").unwrap().settings_without_effect(),
        ["retention.ms", "retention.bytes", "ottla.retain.for.groups", "ottla.retain.for.bytes"]
    );
}
