//! Closing: what handles that are still about get, and that nothing that was acknowledged is lost by it.

#[cfg(target_os = "linux")]
use std::fs;
#[cfg(target_os = "linux")]
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use ottla::{Broker, Durability, Error, ProducerRecord};
#[cfg(target_os = "linux")]
use ottla::{Timestamp, TopicConfig};

use crate::{all_from, open, values};

fn is_closed<T: std::fmt::Debug>(result: Result<T, Error>) -> bool {
    let closed = matches!(result, Err(Error::Closed { .. }));
    assert!(closed, "{result:?}");
    closed
}

#[test]
fn every_handle_is_refused_after_closing() {
    let dir = tempfile::tempdir().unwrap();
    let broker = open(dir.path());
    let (other, producer) = (broker.clone(), broker.producer());
    let topic = broker.topic("orders").unwrap();
    let partition = topic.partition(0).unwrap();
    topic.produce("k", "v").unwrap();
    let mut consumer = broker.consumer("g", ["orders"]).unwrap();
    let records = consumer.poll(Duration::from_secs(1)).unwrap();
    broker.close().unwrap();

    assert!(is_closed(topic.produce("k", "v")));
    assert!(is_closed(producer.send(ProducerRecord::to("orders").value("v"))));
    assert!(is_closed(partition.append(&ProducerRecord::to("orders"))));
    assert!(is_closed(partition.read(0, 100)));
    assert!(is_closed(consumer.poll(Duration::from_secs(60))));
    assert!(is_closed(consumer.commit()));
    assert!(is_closed(other.topic("orders")));
    assert!(is_closed(other.topic("another")));
    assert!(is_closed(other.consumer("h", ["orders"])));
    assert!(is_closed(other.admin().list_topics()));
    assert!(is_closed(other.admin().delete_topic("orders")));
    assert!(is_closed(other.flush()));
    assert!(is_closed(producer.flush()));
    other.close().unwrap();
    assert_eq!(records.iter().next().unwrap().value(), Some(&b"v"[..]), "what was read stays");

    let again = Broker::open(dir.path()).unwrap();
    assert_eq!(values(&again.topic("orders").unwrap().partition(0).unwrap()), ["v"]);
}

#[test]
fn a_partition_keeps_the_broker_open() {
    let dir = tempfile::tempdir().unwrap();
    let partition = open(dir.path()).topic("orders").unwrap().partition(0).unwrap();
    partition.append(&ProducerRecord::to("orders").value("v")).unwrap();
    assert!(matches!(Broker::open(dir.path()), Err(Error::AlreadyOpen { .. })));
    drop(partition);
    assert!(Broker::open(dir.path()).unwrap().recovery_report().is_clean());
}

#[test]
fn a_consumer_keeps_the_broker_open() {
    let dir = tempfile::tempdir().unwrap();
    let mut consumer = {
        let broker = open(dir.path());
        broker.topic("orders").unwrap().produce("k", "v").unwrap();
        broker.consumer("g", ["orders"]).unwrap()
    };
    assert_eq!(consumer.poll(Duration::from_secs(1)).unwrap().len(), 1);
    consumer.commit().unwrap();
    assert!(matches!(Broker::open(dir.path()), Err(Error::AlreadyOpen { .. })));
    consumer.close().unwrap();
    Broker::open(dir.path()).unwrap();
}

/// The files below `dir` that this process has open or mapped; other tests have theirs elsewhere.
#[cfg(target_os = "linux")]
fn open_below(dir: &Path) -> Vec<String> {
    let dir = dir.canonicalize().unwrap().to_str().unwrap().to_owned();
    let handles = fs::read_dir("/proc/self/fd").unwrap().filter_map(|entry| fs::read_link(entry.unwrap().path()).ok());
    let handles: Vec<_> = handles.map(|path| path.display().to_string()).collect();
    let maps = fs::read_to_string("/proc/self/maps").unwrap();
    let maps = maps.lines().filter_map(|line| Some(format!("map of {}", line.get(line.find('/')?..)?)));
    handles.into_iter().chain(maps).filter(|path| path.contains(&dir)).collect()
}

#[test]
#[cfg(target_os = "linux")]
fn after_closing_nothing_is_open_but_what_records_hold() {
    let dir = tempfile::tempdir().unwrap();
    let broker = open(dir.path());
    let small_segments = TopicConfig::new().partitions(3).segment_bytes(100_000);
    let topic = broker.create_topic("orders", small_segments).unwrap();
    let gone = broker.topic("gone").unwrap();
    let gone_partition = gone.partition(0).unwrap();
    gone.produce("k", "v").unwrap();
    for partition in topic.partitions() {
        let number = partition.topic_partition().partition();
        for value in [&[7; 80_000][..], &[8; 80_000], b"in the tail"] {
            partition.append(&ProducerRecord::to("orders").partition(number).value(value)).unwrap();
        }
        assert_eq!(all_from(&partition, 0).len(), 3);
    }
    broker.admin().delete_topic("gone").unwrap();
    let (other, producer, partition) = (broker.clone(), broker.producer(), topic.partition(0).unwrap());
    let mut consumer = broker.consumer("g", ["orders"]).unwrap();
    assert!(!consumer.poll(Duration::from_secs(1)).unwrap().is_empty());
    let records = partition.read(0, 1).unwrap();
    assert!(open_below(dir.path()).len() > 8, "{:?}", open_below(dir.path()));
    broker.close().unwrap();

    let left = open_below(dir.path());
    let is_first_segment =
        |path: &String| path.starts_with("map of ") && path.contains("orders-0/00000000000000000000.log");
    assert!(left.len() == 1 && left.iter().all(is_first_segment), "{left:?}");
    assert!(
        is_closed(partition.read(0, 1)) && is_closed(gone_partition.read(0, 1)) && is_closed(gone.produce("k", "v"))
    );
    assert!(is_closed(consumer.poll(Duration::ZERO)) && is_closed(producer.flush()) && is_closed(other.flush()));
    assert_eq!(records.iter().next().unwrap().value().unwrap()[0], 7);
    drop(records);
    assert_eq!(open_below(dir.path()), [""; 0]);
    drop((topic, partition, consumer, producer, other, gone));
}

#[test]
#[cfg(target_os = "linux")]
fn after_closing_a_read_only_broker_nothing_is_open_but_what_records_hold() {
    let dir = tempfile::tempdir().unwrap();
    let writer = open(dir.path());
    let (large, partition) = ([7; 80_000], writer.topic("orders").unwrap().partition(0).unwrap());
    partition.append(&ProducerRecord::to("orders").value(&large)).unwrap();
    partition.append(&ProducerRecord::to("orders").value("in the tail")).unwrap();
    drop(partition);
    writer.close().unwrap();

    let broker = Broker::open_read_only(dir.path()).unwrap();
    let (other, topic) = (broker.clone(), broker.topic("orders").unwrap());
    let partition = topic.partition(0).unwrap();
    assert_eq!(all_from(&partition, 0).len(), 2);
    let records = partition.read(0, 1).unwrap();
    assert!(!open_below(dir.path()).is_empty());
    broker.close().unwrap();

    let left = open_below(dir.path());
    assert!(left.iter().all(|path| path.starts_with("map of ")), "{left:?}");
    assert!(is_closed(partition.read(0, 1)) && is_closed(partition.read(1, 1)));
    assert!(is_closed(partition.offset_for_time(Timestamp::from_millis(0))) && is_closed(other.topic("orders")));
    assert_eq!(records.iter().next().unwrap().value(), Some(&large[..]));
    drop(records);
    assert_eq!(open_below(dir.path()), [""; 0]);
}

#[test]
fn records_outlive_the_broker() {
    let records = {
        let broker = Broker::temporary().unwrap();
        let topic = broker.topic("orders").unwrap();
        topic.partition(0).unwrap().append_batch(&[ProducerRecord::to("orders").value(&[7; 100_000])]).unwrap();
        topic.produce("k", "v").unwrap();
        topic.partition(0).unwrap().read(0, 1 << 20).unwrap()
    };
    let values: Vec<_> = records.iter().map(|record| record.value().unwrap().len()).collect();
    assert_eq!(values, [100_000, 1]);
}

#[test]
fn a_temporary_broker_removes_its_directory() {
    let broker = Broker::temporary().unwrap();
    let dir = broker.dir().to_owned();
    let partition = broker.topic("orders").unwrap().partition(0).unwrap();
    drop(broker);
    assert!(dir.exists(), "a handle is left");
    drop(partition);
    assert!(!dir.exists());

    let broker = Broker::temporary().unwrap();
    let dir = broker.dir().to_owned();
    broker.topic("orders").unwrap().produce("k", "v").unwrap();
    broker.close().unwrap();
    assert!(!dir.exists());
}

/// A send that slips in between sealing and closing would be acknowledged and, after a shutdown marked as clean, never
/// looked for.
#[test]
fn what_was_acknowledged_while_closing_is_there() {
    for round in 0..20 {
        let dir = tempfile::tempdir().unwrap();
        let durability = if round % 2 == 0 { Durability::Os } else { Durability::Always };
        let broker = Broker::builder(dir.path()).durability(durability).open().unwrap();
        let started = Arc::new(AtomicBool::new(false));
        let senders: Vec<_> = (0..2)
            .map(|sender| {
                let topic = broker.topic(&format!("topic-{sender}")).unwrap();
                let started = Arc::clone(&started);
                thread::spawn(move || {
                    let mut acknowledged = 0_u64;
                    loop {
                        match topic.produce("k", acknowledged.to_string()) {
                            Ok(sent) => assert_eq!(sent.offset(), acknowledged),
                            Err(Error::Closed { .. }) => return acknowledged,
                            Err(other) => panic!("{other}"),
                        }
                        acknowledged += 1;
                        started.store(true, Ordering::Relaxed);
                    }
                })
            })
            .collect();
        while !started.load(Ordering::Relaxed) {
            thread::yield_now();
        }
        broker.close().unwrap();
        let acknowledged: Vec<u64> = senders.into_iter().map(|sender| sender.join().unwrap()).collect();
        let broker = open(dir.path());
        assert!(broker.recovery_report().is_clean(), "{:?}", broker.recovery_report());
        for (sender, acknowledged) in acknowledged.into_iter().enumerate() {
            let partition = broker.topic(&format!("topic-{sender}")).unwrap().partition(0).unwrap();
            assert_eq!(all_from(&partition, 0).len() as u64, acknowledged, "round {round}");
        }
    }
}

#[cfg(feature = "testing")]
#[test]
fn a_broker_that_could_not_close_writes_no_more() {
    use ottla::testing::{FaultKind, FaultRule, Operation, SimulatedDisk};

    let disk = SimulatedDisk::new(1);
    let open = || Broker::builder("/data").durability(Durability::Os).disk(&disk).open().unwrap();
    let broker = open();
    let topic = broker.topic("orders").unwrap();
    topic.produce("k", "0").unwrap();
    disk.fail(FaultRule::new(FaultKind::StorageFull).on(Operation::Write).path_containing(".log"));
    assert!(matches!(broker.close(), Err(Error::DiskFull { .. })));
    assert!(is_closed(topic.produce("k", "1")));
    disk.clear_faults();
    let again = open();
    assert!(is_closed(topic.produce("k", "1")));
    assert_eq!(values(&again.topic("orders").unwrap().partition(0).unwrap()), ["0"]);
}
