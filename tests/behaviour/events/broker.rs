//! Opening, closing and topics.

use ottla::testing::CrashModel;
use ottla::{Durability, ProducerRecord, RecoveryMode};
use tracing::Level;

use super::*;

#[test]
fn opening_and_closing_a_directory() {
    let (listener, _guard) = listen();
    let disk = new_disk();
    let broker = open(&disk);
    let told = listener.take();
    assert_eq!(names(&told), ["broker_opened"]);
    let fields = [
        ("message", "broker opened"),
        ("dir", "/data"),
        ("mode", "tolerate-tail"),
        ("last_writer", "closed"),
        ("topics", "0"),
        ("partitions", "0"),
        ("recovered_partitions", "0"),
        ("damages", "0"),
        ("duration_ms", "0"),
    ];
    told[0].is("broker_opened", Level::INFO, fields);
    assert_eq!(told[0].target, "ottla::broker");
    broker.create_topic("orders", TopicConfig::new().partitions(3)).unwrap();
    listener.take();
    broker.close().unwrap();
    let told = listener.take();
    assert_eq!(names(&told), ["broker_closed"]);
    told[0].is("broker_closed", Level::INFO, [("dir", "/data")]);
    let _broker = open(&disk);
    listener.take_one("broker_opened").is("broker_opened", Level::INFO, [("topics", "1"), ("partitions", "3")]);
    let _reader = builder(&disk).recovery_mode(RecoveryMode::ReadOnly).open().unwrap();
    let fields = [("mode", "read-only"), ("last_writer", "may be at work"), ("topics", "1")];
    listener.take_one("broker_opened").is("broker_opened", Level::INFO, fields);
}

#[test]
fn a_close_that_fails_says_why() {
    use ottla::testing::{FaultKind, FaultRule, Operation};

    let (listener, _guard) = listen();
    let disk = new_disk();
    let broker = open(&disk);
    append_large(&create(&broker, TopicConfig::new()), 1);
    disk.fail(FaultRule::new(FaultKind::InputOutput).on(Operation::Sync).path_containing("orders-0").forever());
    let error = broker.close().unwrap_err();
    let told = listener.take_one("broker_closed");
    told.is("broker_closed", Level::WARN, [("reason", error.with_causes().to_string().as_str())]);
}

#[test]
fn what_opening_found_comes_before_it_is_open() {
    let (listener, _guard) = listen();
    let disk = new_disk();
    let partition = create(&open(&disk), TopicConfig::new());
    partition.append(&ProducerRecord::new().value("in the tail")).unwrap();
    let killed = disk.kill(1);
    listener.take();
    let broker = open(&killed);
    let told = listener.take();
    assert_eq!(names(&told), ["partition_recovered", "broker_opened"]);
    let fields = [("partition", "orders-0"), ("salvaged_records", "1"), ("cut_bytes", "0"), ("rebuilt", "[]")];
    told[0].is("partition_recovered", Level::INFO, fields);
    assert_eq!((told[0].target, told[0].field("leader_epoch_raised")), ("ottla::recovery", "true"));
    let fields = [("last_writer", "stopped"), ("recovered_partitions", "1"), ("salvaged_records", "1")];
    told[1].is("broker_opened", Level::WARN, fields);
    drop(broker);

    // What is no record behind the end of the log.
    let log = "/data/orders-0/00000000000000000000.log";
    append_large(&partition, 1);
    let killed = disk.kill(1);
    let torn = [killed.read(log).unwrap().as_slice(), &[7; 1000]].concat();
    killed.put(log, &torn);
    listener.take();
    let _broker = open(&killed);
    let told = listener.take();
    told[0].is("partition_recovered", Level::WARN, [("cut_bytes", "1000")]);
    assert!(told[0].field("quarantined").contains("/data/orders-0/"), "{told:?}");
    told[1].is("broker_opened", Level::WARN, [("cut_bytes", "1000")]);
}

#[test]
fn damage_that_opening_found_and_what_it_made_anew() {
    let (listener, _guard) = listen();
    let disk = new_disk();
    let broker = open(&disk);
    append_large(&create(&broker, small_segments().index_interval_bytes(0)), 3);
    broker.close().unwrap();
    let file = |base, end| format!("/data/orders-0/{base:020}.{end}");
    let damaged = disk.kill(1);
    assert!(damaged.delete(file(1, "log")));
    listener.take();
    let _broker = open(&damaged);
    let told = listener.take();
    assert_eq!(names(&told), ["partition_recovered", "damage_found", "broker_opened"]);
    let path = file(1, "log");
    let fields = [("partition", "orders-0"), ("first_offset", "1"), ("end_offset", "2"), ("path", path.as_str())];
    told[1].is("damage_found", Level::WARN, fields);
    told[2].is("broker_opened", Level::WARN, [("damages", "1")]);

    assert!(disk.delete(file(0, "timeindex")));
    let _broker = open(&disk);
    let told = listener.take();
    assert_eq!(names(&told), ["partition_recovered", "broker_opened"]);
    told[0].is("partition_recovered", Level::INFO, [("rebuilt", format!("[{:?}]", file(0, "timeindex")).as_str())]);
    told[1].is("broker_opened", Level::INFO, [("recovered_partitions", "1")]);
}

#[test]
fn records_that_a_power_cut_took_are_a_warning() {
    let (listener, _guard) = listen();
    let disk = new_disk();
    let broker = open(&disk);
    let partition = create(&broker, TopicConfig::new().durability(Durability::Os));
    append_large(&partition, 3);
    let lost = |disk: &SimulatedDisk| {
        listener.take();
        drop(open(disk));
        listener.take().into_iter().find(|told| told.name == "partition_recovered" && told.level == Level::WARN)
    };
    let told = (0..20).find_map(|seed| lost(&disk.crash(seed, CrashModel::Subset))).expect("one of them takes a part");
    assert_ne!(told.field("cut_bytes"), "0");
}

#[test]
fn topics_that_come_and_go_and_change() {
    let (listener, _guard) = listen();
    let broker = open(&new_disk());
    let admin = broker.admin();
    listener.take();
    create(&broker, TopicConfig::new().retention_bytes(1000));
    let told = listener.take();
    assert_eq!((names(&told), told[0].target), (vec!["topic_created"], "ottla::topic"));
    told[0].is(
        "topic_created",
        Level::INFO,
        [("topic", "orders"), ("config", "TopicConfig { retention.bytes: 1000 }")],
    );
    admin.alter_topic("orders", |config| config.retention_bytes(2000)).unwrap();
    let told = listener.take_one("topic_altered");
    told.is("topic_altered", Level::INFO, [("config", "TopicConfig { retention.bytes: 2000 }")]);
    admin.add_partitions("orders", 2).unwrap();
    let told = listener.take_one("topic_altered");
    assert!(told.field("config").contains("num.partitions: 2"), "{told:?}");
    admin.delete_topic("orders").unwrap();
    assert_eq!(names(&listener.take()), ["topic_deleted"]);
    // What fails has changed nothing.
    assert!(admin.delete_topic("orders").is_err());
    assert!(admin.alter_topic("orders", |config| config.retention_bytes(1)).is_err());
    assert_eq!(listener.take(), []);
}
