//! What errors say: each text tells what went wrong and what to do, says nothing twice, and fits on the screen of who sees it first.

use std::error::Error as _;
use std::fmt::Write;
use std::time::Duration;

use ottla::{
    Broker, ClosedBy, ConsumerConfig, Durability, Error, OffsetReset, ProducerRecord, ResetTo, Result, TopicConfig,
    TopicPartition,
};

fn error_of<T>(result: Result<T>) -> Error {
    result.err().expect("it is refused")
}

/// The text of each link of the chain, as reporters of errors print them.
fn chain(error: &Error) -> Vec<String> {
    let (mut links, mut cause) = (vec![error.to_string()], error.source());
    while let Some(error) = cause {
        links.push(error.to_string());
        cause = error.source();
    }
    links
}

#[test]
fn a_message_does_not_repeat_its_cause() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("file"), "").unwrap();
    let path = dir.path().join("file/data");
    let error = error_of(Broker::open(&path));
    let links = chain(&error);
    assert_eq!(links.len(), 2, "{links:?}");
    assert_eq!(links[0], format!("cannot find {}", path.display()));
    assert!(!links[0].contains(&links[1]), "{links:?}");
    assert_eq!(error.with_causes().to_string(), format!("{}: {}", links[0], links[1]));
    assert_eq!(format!("{error:?}"), format!("{}\n  caused by: {}", links[0], links[1]));
}

#[test]
fn an_error_without_a_cause_is_its_message() {
    let broker = Broker::temporary().unwrap();
    let error = error_of(broker.existing_topic("orders"));
    let expected = r#"there is no topic "orders"; create it first"#;
    assert_eq!([error.to_string(), format!("{error:?}"), error.with_causes().to_string()], [expected; 3]);
    assert!(error.source().is_none());
}

#[test]
fn damage_is_told_once() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("catalog"), "not a catalog").unwrap();
    let error = error_of(Broker::open(dir.path()));
    let Error::Corrupt(damage) = &error else { panic!("{error:?}") };
    assert_eq!(chain(&error), [damage.to_string()]);
    assert_eq!(format!("{error:?}"), damage.to_string());
}

#[test]
fn an_error_of_the_application_is_passed_on_with_its_cause() {
    let cause = "7 invoices".parse::<u32>().unwrap_err();
    let error = Error::other(cause.clone());
    assert_eq!(error.to_string(), cause.to_string());
    assert!(error.source().is_none(), "the cause is the error itself");
    assert!(!error.is_retriable() && !error.is_fatal());
}

#[test]
fn what_is_closed_says_by_whom() {
    let dir = tempfile::tempdir().unwrap();
    let broker = Broker::builder(dir.path()).durability(Durability::Os).open().unwrap();
    let (kept, deleted) = (broker.topic("kept").unwrap(), broker.topic("deleted").unwrap());
    let by = |error: &Error| match error {
        Error::Closed { by, .. } => *by,
        other => panic!("{other:?}"),
    };

    let mut consumer = broker.consumer("billing", ["kept"]).unwrap();
    consumer.handle().close();
    let error = error_of(consumer.poll(Duration::ZERO));
    assert_eq!(
        (by(&error), error.to_string().as_str()),
        (ClosedBy::Consumer, r#"group "billing": the consumer is closed"#)
    );
    assert_eq!(by(&error_of(consumer.commit())), ClosedBy::Consumer);

    let reader = Broker::open_read_only(dir.path()).unwrap();
    let followed = reader.topic("deleted").unwrap().partition(0).unwrap();
    broker.admin().delete_topic("deleted").unwrap();
    let partition = deleted.partition(0).unwrap();
    let record = || ProducerRecord::to("deleted").value("v");
    for error in [
        error_of(deleted.produce("k", "v")),
        error_of(partition.append(&record())),
        error_of(partition.read(0, 100)),
        error_of(followed.read(0, 100)),
    ] {
        assert_eq!((by(&error), error.to_string().as_str()), (ClosedBy::Deletion, "deleted-0: the topic was deleted"));
    }

    let followed = reader.topic("kept").unwrap().partition(0).unwrap();
    reader.clone().close().unwrap();
    let partition = kept.partition(0).unwrap();
    broker.clone().close().unwrap();
    for error in [error_of(kept.produce("k", "v")), error_of(partition.read(0, 100)), error_of(followed.read(0, 100))] {
        assert_eq!((by(&error), error.to_string().as_str()), (ClosedBy::Broker, "kept-0: the broker is closed"));
    }
    let error = error_of(broker.topic("new"));
    assert_eq!(error.to_string(), format!("{}: the broker is closed", broker.dir().display()));
    assert_eq!(by(&error), ClosedBy::Broker);
}

/// Who meets one of these for the first time has to know what to do.
#[test]
fn the_first_errors_of_a_newcomer_say_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().canonicalize().unwrap();
    let [absent, empty, file, others, data] = ["absent", "empty", "file", "others", "data"].map(|name| dir.join(name));
    std::fs::create_dir(&empty).unwrap();
    std::fs::write(&file, "").unwrap();
    std::fs::create_dir(&others).unwrap();
    std::fs::write(others.join("notes.txt"), "").unwrap();
    let broker = Broker::open(&data).unwrap();
    broker.create_topic("orders", TopicConfig::new().partitions(2)).unwrap();

    let mut told = String::new();
    let mut tell =
        |error: Error| writeln!(told, "{}", error.to_string().replace(dir.to_str().unwrap(), "DIR")).unwrap();
    tell(error_of(Broker::open_read_only(&absent)));
    tell(error_of(Broker::open_read_only(&empty)));
    tell(error_of(Broker::open_read_only(&file)));
    tell(error_of(Broker::open(&file)));
    tell(error_of(Broker::open(&others)));
    match error_of(Broker::open(&data)) {
        error @ Error::AlreadyOpen { .. } => {
            let pid = std::process::id().to_string();
            tell(Error::other(error.to_string().replace(&pid, "PID")));
        }
        error => panic!("{error:?}"),
    }
    tell(error_of(broker.existing_topic("order")));
    tell(error_of(broker.existing_topic("my orders")));
    tell(error_of(broker.consumer("billing", ["order"])));
    tell(error_of(broker.consumer_with(ConsumerConfig::new("billing").topics(["my orders"]).wait_for_topics(true))));
    tell(error_of(broker.topic_with("orders", TopicConfig::new().partitions(2).segment_bytes(1 << 20))));
    tell(error_of(broker.topic_with("orders", TopicConfig::new().partitions(2).durability(Durability::Os))));
    tell(error_of(broker.admin().describe_group("billing")));
    tell(error_of(broker.existing_topic("orders").unwrap().partition(2)));
    tell(error_of(Broker::open_read_only(&data).unwrap().create_topic("new", TopicConfig::new())));
    let expected = r#"DIR/absent is not a data directory: it does not exist; check the path, or open it for writing once, which makes it
DIR/empty is not a data directory: nothing was ever written there; check the path, or open it for writing once, which makes it one
DIR/file is not a data directory: it is a file; give the path of a directory
DIR/file is not a data directory: it is a file; give the path of a directory
DIR/others holds other files, "notes.txt" among them, and no log: choose an empty or a new directory, or allow it with BrokerBuilder::allow_other_files
DIR/data is already open for writing by process PID: close that first, or open it read-only
there is no topic "order"; create it first
invalid topic name "my orders": must consist of letters, digits, '.', '_' and '-'
there is no topic "order"; create it first
invalid topic name "my orders": must consist of letters, digits, '.', '_' and '-'
topic "orders" exists with segment.bytes=1073741824, not 1048576: alter it, or take it as it is with Broker::existing_topic
topic "orders" exists with ottla.durability=(as the broker), not os: alter it, or take it as it is with Broker::existing_topic
there is no group "billing" with members or committed offsets; Admin::list_groups lists those there are
orders-2: the topic has 2 partitions, numbered from 0; Admin::add_partitions adds more
cannot create a topic: the broker is open read-only; open it with Broker::open for that
"#;
    assert_eq!(told, expected);
}

/// The same for what comes up later, in everyday use.
#[test]
fn the_errors_of_everyday_use_say_what_to_do() {
    let broker = Broker::temporary().unwrap();
    let orders = broker.topic("orders").unwrap();
    let partition = orders.partition(0).unwrap();
    partition.append(&ProducerRecord::new().value(&[0xff]).header("digest", &[0xff])).unwrap();
    let record = partition.get(0).unwrap().unwrap();
    let orders_0 = partition.topic_partition();
    let none = ConsumerConfig::new("audit").topics(["orders"]).offset_reset(OffsetReset::Error);
    let mut audit = broker.consumer_with(none).unwrap();
    let mut billing = broker.consumer("billing", ["orders"]).unwrap();
    let mut by_hand = broker.consumer_with(ConsumerConfig::new("billing")).unwrap();
    by_hand.assign(std::slice::from_ref(orders_0)).unwrap();
    by_hand.poll(Duration::ZERO).unwrap();
    billing.handle().wakeup();

    let mut told = String::new();
    let mut tell = |error: Error| writeln!(told, "{error}").unwrap();
    tell(error_of(broker.create_topic("orders", TopicConfig::new())));
    tell(error_of(record.value_str()));
    tell(error_of(record.header("digest").unwrap().value_str()));
    tell(error_of(audit.poll(Duration::ZERO)));
    tell(error_of(broker.admin().reset_offsets("audit").topic("orders").to(ResetTo::ShiftBy(-1)).plan()));
    tell(error_of(billing.poll(Duration::ZERO)));
    tell(error_of(by_hand.commit()));
    tell(error_of(broker.admin().delete_group("billing")));
    tell(error_of(TopicConfig::new().set("message.max.bytes", "1000")));
    tell(error_of(ConsumerConfig::new("billing").set("bootstrap.servers", "localhost:9092")));
    tell("orders".parse::<TopicPartition>().unwrap_err().into());
    tell("interval".parse::<Durability>().unwrap_err().into());
    broker.admin().alter_topic("orders", |config| config.max_message_bytes(100)).unwrap();
    tell(error_of(orders.produce("k", "v".repeat(200))));
    let expected = r#"topic "orders" exists already: take it with Broker::topic, or choose another name
orders-0@0 is not UTF-8 text; take its bytes, with `value` or `key`
the value of header "digest" is not UTF-8 text; take its bytes, with `value`
orders-0: the group has no committed offset: say where to begin, by a seek or Admin::reset_offsets
orders-0: the group has no committed offset: say where to begin, by a seek or Admin::reset_offsets
the consumer was woken up by its handle; poll again to go on
group "billing": cannot commit orders-0: partitions assigned by hand are not committed while the group has members; use a group of its own
group "billing" has 1 member: close the consumers first
unknown configuration "message.max.bytes": did you mean "max.message.bytes"?
unknown configuration "bootstrap.servers": the documentation of `set` names the keys
"orders" is not a topic partition: expected <topic>-<partition>, such as orders-0
"interval" is not a durability: expected always, os or interval:<ms>, such as interval:100
orders-0: 271 bytes exceed the limit of 100: send less at a time, or raise max.message.bytes
"#;
    assert_eq!(told, expected);
}

#[test]
fn an_error_knows_its_address() {
    let broker = Broker::temporary().unwrap();
    broker.topic("orders").unwrap();
    let error = error_of(broker.existing_topic("orders").unwrap().partition(0).unwrap().read(5, 100));
    assert_eq!(error.to_string(), "orders-0: offset 5 is outside 0..=0; choose one within");
    let mut consumer = broker.consumer("billing", ["orders"]).unwrap();
    let error = error_of(consumer.seek(&TopicPartition::new("orders", 7), ottla::SeekTo::Latest));
    let expected = "orders-7 is not among the partitions that the consumer reads: subscribe to its topic, or assign it";
    assert_eq!(error.to_string(), expected);
}

#[cfg(feature = "testing")]
mod simulated {
    use ottla::testing::{FaultKind, FaultRule, Operation, SimulatedDisk};
    use ottla::{PartitionFailure, SendOutcome};

    use super::*;

    #[test]
    fn a_failed_sync_is_told_from_the_send_to_the_health_check() {
        let disk = SimulatedDisk::new(1);
        let broker = Broker::builder("/data").background(false).disk(&disk).open().unwrap();
        let topic = broker.topic("orders").unwrap();
        topic.produce("k", "first").unwrap();
        disk.fail(FaultRule::new(FaultKind::InputOutput).on(Operation::Sync).path_containing("tail-always"));
        let error = error_of(topic.produce("k", "second"));
        assert_eq!(error.outcome(), SendOutcome::Unknown);
        let links = chain(&error);
        assert_eq!(links.len(), 2, "{links:?}");
        assert_eq!(
            links[0],
            "orders-0: it is not known whether offsets 1..2 were appended; open the broker again to see"
        );
        assert!(
            links[1]
                .starts_with("orders-0: refuses writes until reopened, because a write or sync failed: cannot sync")
        );
        assert_eq!(format!("{error:?}"), format!("{}\n  caused by: {}", links[0], links[1]));

        let health = broker.admin().health();
        assert!(!health.is_healthy());
        let [PartitionFailure { partition, error, .. }] = &health.failed_partitions[..] else { panic!("{health}") };
        assert_eq!((partition.to_string().as_str(), error.to_string()), ("orders-0", links[1].clone()));
        assert_eq!(health.to_string(), format!("not healthy\n{}", links[1]));
        assert!(matches!(error, Error::Poisoned { .. }));
    }
}
