//! Topics: created, found, described, given more partitions, deleted.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::task::{Context, Wake, Waker};
use std::time::Duration;

use ottla::{Broker, ConsumerConfig, Durability, Error, ProducerRecord, TopicConfig, TopicPartition};

use crate::{open, values};

/// A consumer that begins before the topic is there.
fn waiting(topic: &str) -> ConsumerConfig {
    ConsumerConfig::new("g").topics([topic]).wait_for_topics(true)
}

#[test]
fn topics_are_listed_in_order_and_without_internal_ones() {
    let broker = Broker::temporary().unwrap();
    for name in ["b", "a", "C-1.x_y"] {
        broker.create_topic(name, TopicConfig::new()).unwrap();
    }
    drop(broker.consumer("g", ["a"]).unwrap());
    assert_eq!(broker.admin().list_topics().unwrap(), ["C-1.x_y", "a", "b"]);
}

#[test]
fn creating_twice_is_refused_and_getting_twice_is_not() {
    let broker = Broker::temporary().unwrap();
    broker.create_topic("orders", TopicConfig::new().partitions(2)).unwrap();
    assert!(matches!(
        broker.create_topic("orders", TopicConfig::new().partitions(2)),
        Err(Error::TopicExists { name, .. }) if name == "orders"
    ));
    assert_eq!(broker.topic("orders").unwrap().partitions().len(), 2);
}

#[test]
fn looking_for_a_topic_creates_none() {
    let dir = tempfile::tempdir().unwrap();
    let broker = open(dir.path());
    for _ in 0..2 {
        let missing = broker.existing_topic("orders");
        assert!(matches!(&missing, Err(Error::UnknownTopic { name, .. }) if name == "orders"), "{missing:?}");
        assert!(broker.admin().list_topics().unwrap().is_empty());
    }
    broker.create_topic("orders", TopicConfig::new().partitions(2)).unwrap();
    let reader = Broker::open_read_only(dir.path()).unwrap();
    for broker in [&broker, &reader] {
        assert_eq!(broker.existing_topic("orders").unwrap().partitions().len(), 2);
    }
}

#[test]
fn a_topic_with_a_configuration_is_created_once_and_found_as_it_is_or_refused() {
    let dir = tempfile::tempdir().unwrap();
    let wanted = || TopicConfig::new().partitions(2).segment_ms(Duration::from_secs(60)).durability(Durability::Os);
    {
        let broker = open(dir.path());
        broker.topic_with("orders", wanted()).unwrap().produce("k", "v").unwrap();
        assert_eq!(broker.topic_with("orders", wanted()).unwrap().config(), wanted());
        let invalid = broker.topic_with("other", TopicConfig::new().partitions(0));
        assert!(matches!(invalid, Err(Error::InvalidConfig { key: "num.partitions", .. })), "{invalid:?}");
    }
    let broker = open(dir.path());
    let reader = Broker::open_read_only(dir.path()).unwrap();
    for broker in [&broker, &reader] {
        assert_eq!(broker.topic_with("orders", wanted()).unwrap().config(), wanted());
        for (other, expected) in [
            (wanted().partitions(3), ("num.partitions", "2", "3")),
            (wanted().segment_ms(Duration::from_secs(61)), ("segment.ms", "60000", "61000")),
            (wanted().durability(Durability::Always), ("ottla.durability", "os", "always")),
            (wanted().segment_bytes(4096).durability(Durability::Always), ("segment.bytes", "1073741824", "4096")),
        ] {
            match broker.topic_with("orders", other) {
                Err(Error::TopicConfigDiffers { name, key, found, wanted, .. }) => {
                    assert_eq!((name.as_str(), (key, &*found, &*wanted)), ("orders", expected));
                }
                taken => panic!("{taken:?}"),
            }
        }
    }
    let new = reader.topic_with("new", wanted());
    assert!(matches!(new, Err(Error::UnknownTopic { .. })), "{new:?}");
}

#[test]
fn of_many_who_want_one_topic_one_creates_it() {
    let broker = Broker::temporary().unwrap();
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for name in ["a", "b", "c", "d"] {
                    let topic = broker.topic_with(name, TopicConfig::new().partitions(2)).unwrap();
                    assert_eq!(topic.partitions().len(), 2);
                }
            });
        }
    });
    assert_eq!(broker.admin().list_topics().unwrap(), ["a", "b", "c", "d"]);
}

#[test]
fn the_configuration_of_a_handle_is_the_present_one() {
    let dir = tempfile::tempdir().unwrap();
    let broker = open(dir.path());
    let topic = broker.topic("orders").unwrap();
    let reader = Broker::open_read_only(dir.path()).unwrap();
    let followed = reader.topic("orders").unwrap();
    let before = topic.config();
    broker.admin().add_partitions("orders", 3).unwrap();
    assert_eq!(topic.config(), before.clone().partitions(3));
    assert_eq!(followed.config(), before.clone().partitions(3));
    assert_eq!((topic.partitions().len(), followed.partitions().len()), (3, 3));
    assert!(broker.topic_with("orders", before.clone().partitions(3)).is_ok());
    let stale = broker.topic_with("orders", before);
    assert!(matches!(stale, Err(Error::TopicConfigDiffers { key: "num.partitions", .. })), "{stale:?}");
}

#[test]
fn names_that_are_no_names_are_refused_and_leave_nothing_behind() {
    let dir = tempfile::tempdir().unwrap();
    let broker = open(dir.path());
    broker.topic("orders.eu").unwrap();
    let before = std::fs::read_dir(dir.path()).unwrap().count();
    for name in ["", ".", "..", "a/b", "../up", "a b", "ä", "__consumer_offsets", "__mine", &"x".repeat(250)] {
        let refused = broker.create_topic(name, TopicConfig::new());
        assert!(matches!(refused, Err(Error::InvalidTopic { .. })), "{name:?}: {refused:?}");
        assert!(broker.topic(name).is_err(), "{name:?}");
        let wanted = broker.topic_with(name, TopicConfig::new());
        assert!(matches!(wanted, Err(Error::InvalidTopic { .. })), "{name:?}: {wanted:?}");
    }
    for twin in ["orders_eu", "Orders.eu"] {
        assert!(matches!(broker.create_topic(twin, TopicConfig::new()), Err(Error::InvalidTopic { .. })), "{twin}");
    }
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), before);
    broker.create_topic(&"x".repeat(249), TopicConfig::new()).unwrap().produce("k", "v").unwrap();
}

#[test]
fn settings_out_of_bounds_are_refused_by_name() {
    let broker = Broker::temporary().unwrap();
    for (config, key) in [
        (TopicConfig::new().partitions(0), "num.partitions"),
        (TopicConfig::new().segment_bytes(1), "segment.bytes"),
        (TopicConfig::new().segment_ms(Duration::ZERO), "segment.ms"),
        (TopicConfig::new().max_message_bytes(1), "max.message.bytes"),
    ] {
        match broker.create_topic("orders", config) {
            Err(Error::InvalidConfig { key: told, .. }) => assert_eq!(told, key),
            other => panic!("{key}: {other:?}"),
        }
    }
    assert!(broker.admin().list_topics().unwrap().is_empty());
    match TopicConfig::new().set("segment.byte", "1") {
        Err(Error::UnknownConfig { nearest, .. }) => assert_eq!(nearest, Some("segment.bytes")),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_description_tells_offsets_and_sizes() {
    let broker = Broker::temporary().unwrap();
    let topic = broker.create_topic("orders", TopicConfig::new().partitions(2)).unwrap();
    let records = [ProducerRecord::to("orders").value("a"), ProducerRecord::to("orders").value("b")];
    topic.partition(1).unwrap().append_batch(&records).unwrap();
    broker.flush().unwrap();
    let described = broker.admin().describe("orders").unwrap();
    assert_eq!(described.name(), "orders");
    assert_eq!(described.config().properties(), topic.config().properties());
    let partitions = described.partitions();
    assert_eq!(partitions.len(), 2);
    assert_eq!(partitions[0].offsets(), 0..0);
    assert_eq!(partitions[1].topic_partition(), &TopicPartition::new("orders", 1));
    assert_eq!((partitions[1].offsets(), partitions[1].durable_offset()), (0..2, 2));
    assert!(matches!(broker.admin().describe("nothing"), Err(Error::UnknownTopic { .. })));
}

#[test]
fn partitions_are_added_and_stay() {
    let dir = tempfile::tempdir().unwrap();
    {
        let broker = open(dir.path());
        let topic = broker.topic("orders").unwrap();
        topic.produce("k", "v").unwrap();
        let admin = broker.admin();
        assert!(matches!(admin.add_partitions("orders", 0), Err(Error::InvalidConfig { .. })));
        assert!(matches!(admin.add_partitions("nothing", 2), Err(Error::UnknownTopic { .. })));
        admin.add_partitions("orders", 3).unwrap();
        assert!(matches!(admin.add_partitions("orders", 2), Err(Error::InvalidConfig { .. })));
        assert_eq!(topic.partitions().len(), 3, "an earlier handle sees them, too");
        broker.producer().send(ProducerRecord::to("orders").partition(2).value("new")).unwrap();
        assert_eq!(admin.describe("orders").unwrap().config().properties()[0], ("num.partitions", "3".to_owned()));
    }
    let topic = open(dir.path()).topic("orders").unwrap();
    assert_eq!(topic.partitions().len(), 3);
    assert_eq!(values(&topic.partition(0).unwrap()), ["v"]);
    assert_eq!(values(&topic.partition(2).unwrap()), ["new"]);
}

#[test]
fn a_deleted_topic_is_gone_with_its_files_and_its_handles_say_so() {
    let dir = tempfile::tempdir().unwrap();
    let broker = open(dir.path());
    let topic = broker.create_topic("orders", TopicConfig::new().partitions(2)).unwrap();
    let partition = topic.partition(0).unwrap();
    partition.append(&ProducerRecord::to("orders").value("kept by its reader")).unwrap();
    let records = partition.read(0, 1000).unwrap();
    broker.admin().delete_topic("orders").unwrap();

    assert!(!dir.path().join("orders-0").exists() && !dir.path().join("orders-1").exists());
    assert!(broker.admin().list_topics().unwrap().is_empty());
    assert!(matches!(broker.admin().delete_topic("orders"), Err(Error::UnknownTopic { .. })));
    assert!(matches!(topic.produce("k", "v"), Err(Error::Closed { .. })));
    assert!(matches!(partition.append(&ProducerRecord::to("orders")), Err(Error::Closed { .. })));
    assert!(matches!(partition.read(0, 1), Err(Error::Closed { .. })));
    let sent = broker.producer().send(ProducerRecord::to("orders").value("v"));
    assert!(matches!(sent, Err(Error::UnknownTopic { .. })), "{sent:?}");
    assert_eq!(records.iter().next().unwrap().value_str().unwrap(), "kept by its reader");
    broker.close().unwrap();
    let broker = open(dir.path());
    assert!(broker.recovery_report().is_clean(), "{:?}", broker.recovery_report());
    assert!(broker.admin().list_topics().unwrap().is_empty());
}

#[test]
#[cfg(feature = "testing")]
fn a_deleted_topic_is_closed_whoever_still_holds_on_to_it() {
    use ottla::testing::SimulatedDisk;

    let disk = SimulatedDisk::new(1);
    let broker = Broker::builder("/data").background(false).disk(&disk).open().unwrap();
    let mut consumer = broker.consumer_with(waiting("orders")).unwrap();
    let handles_before = disk.open_handles();
    let topic = broker.topic("orders").unwrap();
    let partition = topic.partition(0).unwrap();
    // Larger than any slot, so that there is a segment.
    partition.append(&ProducerRecord::to("orders").value(&[7; 100_000])).unwrap();
    assert_eq!(consumer.poll(Duration::from_secs(1)).unwrap().len(), 1);
    assert_eq!(disk.open_handles(), handles_before + 1);
    // Else the room that it took on the disk would stay taken until the last of them is dropped.
    broker.admin().delete_topic("orders").unwrap();
    assert_eq!(disk.open_handles(), handles_before);
    assert!(matches!(partition.read(0, 1), Err(Error::Closed { .. })));
    assert!(consumer.poll(Duration::ZERO).unwrap().is_empty());
}

#[test]
fn a_deletion_that_a_close_overtakes_removes_no_files_of_the_next_process() {
    struct HandOver(Mutex<(Option<Broker>, PathBuf, Option<Broker>)>);
    impl Wake for HandOver {
        fn wake(self: Arc<Self>) {
            let mut state = self.0.lock().unwrap();
            if let Some(old) = state.0.take() {
                old.close().unwrap();
                // Stands for another process that waited for the directory.
                let new = open(&state.1);
                let topic = new.topic("orders").unwrap();
                topic.produce("k", "acknowledged").unwrap();
                state.2 = Some(new);
            }
        }
    }
    let dir = tempfile::tempdir().unwrap();
    let broker = open(dir.path());
    let mut consumer = broker.consumer_with(waiting("orders")).unwrap();
    broker.topic("orders").unwrap().produce("k", "old").unwrap();
    assert_eq!(consumer.poll(Duration::from_secs(1)).unwrap().len(), 1);
    let hand_over = Arc::new(HandOver(Mutex::new((Some(broker.clone()), dir.path().to_owned(), None))));
    let mut ready = std::pin::pin!(consumer.ready());
    assert!(ready.as_mut().poll(&mut Context::from_waker(&Waker::from(Arc::clone(&hand_over)))).is_pending());

    assert!(matches!(broker.admin().delete_topic("orders"), Err(Error::Closed { .. })));
    let new = hand_over.0.lock().unwrap().2.take().expect("the waker was called");
    new.close().unwrap();
    assert_eq!(values(&open(dir.path()).topic("orders").unwrap().partition(0).unwrap()), ["acknowledged"]);
}

#[test]
fn a_topic_of_the_same_name_is_another_one() {
    let dir = tempfile::tempdir().unwrap();
    let first_id = {
        let broker = open(dir.path());
        let topic = broker.topic("orders").unwrap();
        for n in 0..10 {
            topic.produce("k", n.to_string()).unwrap();
        }
        let mut consumer = broker.consumer("g", ["orders"]).unwrap();
        assert_eq!(consumer.poll(Duration::from_secs(1)).unwrap().len(), 10);
        consumer.commit().unwrap();
        let id = broker.admin().describe("orders").unwrap().topic_id();
        broker.admin().delete_topic("orders").unwrap();
        // The consumer has not noticed yet, and what it has read does not count for what comes.
        let _ = consumer.commit();
        id
    };
    let broker = open(dir.path());
    let topic = broker.topic("orders").unwrap();
    assert_ne!(broker.admin().describe("orders").unwrap().topic_id(), first_id);
    assert_eq!(topic.partition(0).unwrap().log_end_offset(), 0);
    for n in 0..20 {
        topic.produce("k", format!("new {n}")).unwrap();
    }
    assert_eq!(broker.committed("g", &TopicPartition::new("orders", 0)).unwrap(), None);
    let mut consumer = broker.consumer("g", ["orders"]).unwrap();
    let records = consumer.poll(Duration::from_secs(1)).unwrap();
    assert_eq!((records.len(), records.iter().next().unwrap().offset()), (20, 0));
}

#[test]
fn positions_in_a_deleted_topic_are_not_committed_for_its_successor() {
    let broker = Broker::temporary().unwrap();
    let topic = broker.topic("orders").unwrap();
    let other = broker.topic("other").unwrap();
    for n in 0..10 {
        topic.produce("k", n.to_string()).unwrap();
    }
    other.produce("k", "v").unwrap();
    let mut consumer = broker.consumer("g", ["orders", "other"]).unwrap();
    let records = consumer.poll(Duration::from_secs(1)).unwrap();
    assert_eq!(records.len(), 11);
    broker.admin().delete_topic("orders").unwrap();
    broker.topic("orders").unwrap();
    consumer.commit().unwrap();
    assert_eq!(consumer.committed(&TopicPartition::new("orders", 0)).unwrap(), None);
    assert_eq!(consumer.committed(&TopicPartition::new("other", 0)).unwrap().unwrap().offset(), 1);
}

#[test]
fn internal_topics_cannot_be_deleted_or_written_by_accident() {
    let broker = Broker::temporary().unwrap();
    drop(broker.consumer_with(waiting("orders")).unwrap());
    assert!(matches!(broker.admin().delete_topic("__consumer_offsets"), Err(Error::InvalidTopic { .. })));
}

/// Also one that has sent to the topic before.
#[test]
fn a_producer_sends_to_what_the_name_stands_for() {
    let dir = tempfile::tempdir().unwrap();
    let broker = open(dir.path());
    let producer = broker.producer();
    let send = |name| producer.send(ProducerRecord::to(name).value("v")).map(|sent| sent.offset());
    assert!(matches!(send("orders"), Err(Error::UnknownTopic { .. })));
    for name in ["orders", "payments"] {
        broker.create_topic(name, TopicConfig::new()).unwrap();
        assert_eq!((send(name).unwrap(), send(name).unwrap()), (0, 1));
    }
    for _ in 0..2 {
        broker.admin().delete_topic("orders").unwrap();
        assert!(matches!(send("orders"), Err(Error::UnknownTopic { .. })));
        broker.create_topic("orders", TopicConfig::new()).unwrap();
        assert_eq!((send("orders").unwrap(), send("orders").unwrap()), (0, 1));
    }
    assert_eq!(send("payments").unwrap(), 2);
    broker.close().unwrap();
    assert!(matches!(send("orders"), Err(Error::Closed { .. })));
}
