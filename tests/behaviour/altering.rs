//! Topics whose configuration is changed while they are in use.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use ottla::{Broker, Compression, Durability, Error, ProducerRecord, Result, TopicConfig};

use crate::{all_from, open};

const HOUR: Duration = Duration::from_secs(3600);

#[test]
fn what_was_altered_counts_at_once_and_for_good_and_for_who_reads_along() {
    let dir = tempfile::tempdir().unwrap();
    let broker = open(dir.path());
    let topic = broker.create_topic("orders", TopicConfig::new().partitions(2)).unwrap();
    let reader = Broker::open_read_only(dir.path()).unwrap();
    let altered = TopicConfig::new()
        .partitions(2)
        .segment_bytes(2000)
        .max_message_bytes(3000)
        .compression(Compression::Snappy)
        .retention_ms(HOUR);
    topic.produce("k", "small").unwrap();
    broker.admin().alter_topic("orders", |_| altered.clone()).unwrap();
    assert!(matches!(topic.produce("k", "x".repeat(4000)), Err(Error::RecordTooLarge { limit: 3000, .. })));
    for n in 0..100 {
        topic.produce("k", format!("{n:0200}")).unwrap();
    }
    let description = broker.admin().describe("orders").unwrap();
    assert!(description.partitions().iter().any(|partition| partition.segment_count() > 1), "{description:?}");
    for broker in [&broker, &reader] {
        assert_eq!(broker.existing_topic("orders").unwrap().config(), altered);
    }
    broker.close().unwrap();
    let broker = open(dir.path());
    let topic = broker.existing_topic("orders").unwrap();
    assert_eq!(topic.config(), altered);
    assert_eq!(topic.partitions().map(|partition| all_from(&partition, 0).len()).sum::<usize>(), 101);
}

/// What a batch may expand to follows from the largest message; what was written under a larger bound stays readable.
#[test]
fn what_was_written_under_another_bound_is_read_under_any() {
    let dir = tempfile::tempdir().unwrap();
    let broker = open(dir.path());
    let config = TopicConfig::new().max_message_bytes(64 << 20).compression(Compression::Snappy);
    let partition = broker.create_topic("orders", config).unwrap().partition(0).unwrap();
    let large = vec![b'x'; 40 << 20];
    let append = || partition.append(&ProducerRecord::new().value(&large)).unwrap();
    append();
    let alter = |bytes| broker.admin().alter_topic("orders", |config| config.max_message_bytes(bytes)).unwrap();
    alter(1000);
    let read = |broker: &Broker, count| {
        let partition = broker.existing_topic("orders").unwrap().partition(0).unwrap();
        let records = all_from(&partition, 0);
        assert_eq!(records.len(), count);
        assert!(records.iter().all(|record| record.value() == Some(&large)));
    };
    read(&broker, 1);
    read(&Broker::open_read_only(dir.path()).unwrap(), 1);
    alter(64 << 20);
    append();
    alter(2000);
    read(&broker, 2);
    broker.close().unwrap();
    let broker = open(dir.path());
    read(&broker, 2);
    assert_eq!(broker.admin().verify().unwrap().damage().count(), 0);
}

#[test]
fn what_cannot_be_is_refused_by_its_key_and_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let broker = open(dir.path());
    let topic = broker.create_topic("orders", TopicConfig::new()).unwrap();
    drop(broker.consumer("billing", ["orders"]).unwrap());
    let refused = |change: &dyn Fn(TopicConfig) -> TopicConfig| {
        let refused = broker.admin().alter_topic("orders", change).unwrap_err();
        assert_eq!(topic.config(), TopicConfig::new(), "{refused}");
        match refused {
            Error::InvalidConfig { key, .. } => key,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(refused(&|config| config.partitions(2)), "num.partitions");
    let no_time = Durability::Interval(Duration::ZERO);
    assert_eq!(refused(&move |config| config.durability(no_time)), "ottla.durability");
    assert_eq!(refused(&|config| config.segment_bytes(3)), "segment.bytes");
    assert_eq!(refused(&|config| config.retention_ms(Duration::ZERO)), "retention.ms");
    let admin = broker.admin();
    assert!(matches!(admin.alter_topic("orderz", |config| config), Err(Error::UnknownTopic { .. })));
    assert!(matches!(admin.alter_topic("__consumer_offsets", |config| config), Err(Error::InvalidTopic { .. })));
    let reader = Broker::open_read_only(dir.path()).unwrap();
    assert!(matches!(reader.admin().alter_topic("orders", |config| config), Err(Error::ReadOnly { .. })));
}

/// The change may use the broker, and is asked again if the topic was changed meanwhile.
#[test]
fn a_change_that_comes_in_between_is_not_lost() {
    let broker = Broker::temporary().unwrap();
    broker.create_topic("orders", TopicConfig::new()).unwrap();
    let asked = AtomicU32::new(0);
    let change = |config: TopicConfig| {
        if asked.fetch_add(1, Ordering::Relaxed) == 0 {
            broker.admin().alter_topic("orders", |config| config.segment_bytes(5000)).unwrap();
        }
        config.retention_bytes(1 << 20)
    };
    broker.admin().alter_topic("orders", change).unwrap();
    let config = broker.existing_topic("orders").unwrap().config();
    assert_eq!((config.get_segment_bytes(), config.get_retention_bytes()), (5000, Some(1 << 20)));
    assert_eq!(asked.load(Ordering::Relaxed), 2);
}

#[test]
fn settings_by_name_are_taken_all_or_none() {
    let broker = Broker::temporary().unwrap();
    let orders = broker.topic("orders").unwrap();
    let before = orders.config();
    let admin = broker.admin();
    let refused =
        admin.alter_topic("orders", |config| config.set("segment.bytes", "2048")?.set("retention.hours", "1"));
    assert!(matches!(refused, Err(Error::UnknownConfig { .. })), "{refused:?}");
    assert_eq!(orders.config(), before, "nothing was changed");
    let given_up: Result<()> = admin.alter_topic("orders", |_| Err(Error::other("not on Fridays")));
    assert_eq!(given_up.unwrap_err().to_string(), "not on Fridays");
    admin.alter_topic("orders", |config| Ok(config.set("segment.bytes", "2048")?.segment_index_bytes(2400))).unwrap();
    assert_eq!(orders.config(), before.segment_bytes(2048).segment_index_bytes(2400));
}

/// A program that asks for what it created, after an operator wanted something else.
#[test]
fn a_program_hears_that_its_topic_was_altered_and_can_take_it_as_it_is() {
    let broker = Broker::temporary().unwrap();
    let asked_for = TopicConfig::new().partitions(2).retention_ms(Duration::from_secs(3600));
    let start = || broker.topic_with("orders", asked_for.clone());
    start().unwrap();
    start().unwrap();
    broker.admin().alter_topic("orders", |config| config.set("retention.ms", "-1")).unwrap();
    let told = start().unwrap_err().to_string();
    let expected = "topic \"orders\" exists with retention.ms=-1, not 3600000: \
                    alter it, or take it as it is with Broker::existing_topic";
    assert_eq!(told, expected);
    assert_eq!(broker.existing_topic("orders").unwrap().config().get_retention_ms(), None);
    broker.admin().alter_topic("orders", |_| asked_for.clone()).unwrap();
    start().unwrap();
}
