//! When a record is durable, and who may see it before.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use ottla::{Broker, Durability, Error, ProducerConfig, ProducerRecord, TopicConfig};

use crate::open;

fn with(durability: Durability) -> TopicConfig {
    TopicConfig::new().durability(durability)
}

#[test]
fn with_always_a_send_returns_when_its_record_is_durable() {
    let broker = Broker::temporary().unwrap();
    let partition = broker.topic("orders").unwrap().partition(0).unwrap();
    for n in 0..20 {
        assert_eq!(partition.append(&ProducerRecord::to("orders").value("v")).unwrap(), n);
        assert_eq!((partition.durable_offset(), partition.last_stable_offset()), (n + 1, n + 1));
    }
}

#[test]
fn with_always_nobody_sees_what_is_not_durable() {
    let broker = Broker::temporary().unwrap();
    let topic = broker.topic("orders").unwrap();
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let senders: Vec<_> = (0..2)
            .map(|_| scope.spawn(|| (0..200).for_each(|n| drop(topic.produce("k", n.to_string()).unwrap()))))
            .collect();
        scope.spawn(|| {
            let partition = topic.partition(0).unwrap();
            let mut from = 0;
            while !done.load(Ordering::Relaxed) {
                let records = partition.read(from, 1 << 20).unwrap();
                let durable = partition.durable_offset();
                for record in &records {
                    assert_eq!(record.offset(), from);
                    assert!(record.offset() < durable, "offset {} is seen, {durable} is durable", record.offset());
                    from += 1;
                }
            }
        });
        senders.into_iter().for_each(|sender| sender.join().unwrap());
        done.store(true, Ordering::Relaxed);
    });
    assert_eq!(topic.partition(0).unwrap().durable_offset(), 400);
}

#[test]
fn with_os_a_record_is_seen_at_once_and_durable_when_asked() {
    let dir = tempfile::tempdir().unwrap();
    let broker = Broker::builder(dir.path()).durability(Durability::Os).background(false).open().unwrap();
    let partition = broker.topic("orders").unwrap().partition(0).unwrap();
    for _ in 0..10 {
        partition.append(&ProducerRecord::to("orders").value("v")).unwrap();
    }
    assert_eq!((partition.durable_offset(), partition.last_stable_offset()), (0, 10));
    partition.wait_durable(3).unwrap();
    assert!(partition.durable_offset() >= 3);
    partition.append(&ProducerRecord::to("orders").value(&[1; 200_000])).unwrap();
    partition.append(&ProducerRecord::to("orders").value("behind a batch that went around the tail")).unwrap();
    partition.wait_durable(12).unwrap();
    assert_eq!(partition.durable_offset(), 12);
    match partition.wait_durable(13) {
        Err(Error::OffsetOutOfRange { requested, log_end_offset, .. }) => {
            assert_eq!((requested, log_end_offset), (13, 12));
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn flush_makes_everything_durable() {
    let dir = tempfile::tempdir().unwrap();
    let broker = Broker::builder(dir.path()).durability(Durability::Os).background(false).open().unwrap();
    let topics = ["a", "b", "c"].map(|name| broker.create_topic(name, TopicConfig::new().partitions(3)).unwrap());
    let producer = broker.producer();
    for topic in &topics {
        for partition in 0..3 {
            producer.send(ProducerRecord::to(topic.name()).partition(partition).value("v")).unwrap();
        }
    }
    producer.flush().unwrap();
    for topic in &topics {
        assert!(topic.partitions().all(|partition| partition.durable_offset() == 1));
    }
    broker.flush().unwrap();
}

#[test]
fn the_topics_durability_goes_before_the_brokers() {
    let dir = tempfile::tempdir().unwrap();
    let broker = Broker::builder(dir.path()).durability(Durability::Os).background(false).open().unwrap();
    let always = broker.create_topic("always", with(Durability::Always)).unwrap();
    let relaxed = broker.create_topic("relaxed", TopicConfig::new()).unwrap();
    for topic in [&always, &relaxed] {
        topic.produce("k", "v").unwrap();
    }
    assert_eq!(always.partition(0).unwrap().durable_offset(), 1);
    assert_eq!(relaxed.partition(0).unwrap().durable_offset(), 0);
}

#[test]
fn a_producer_may_ask_for_more_than_the_topic() {
    let dir = tempfile::tempdir().unwrap();
    let broker = Broker::builder(dir.path()).durability(Durability::Os).background(false).open().unwrap();
    let partition = broker.topic("orders").unwrap().partition(0).unwrap();
    let producer = broker.producer_with(ProducerConfig::new().durability(Durability::Always)).unwrap();
    broker.producer().send(ProducerRecord::to("orders")).unwrap();
    assert_eq!(partition.durable_offset(), 0);
    producer.send(ProducerRecord::to("orders")).unwrap();
    assert_eq!(partition.durable_offset(), 2);
    producer.send_batch("orders", &[ProducerRecord::to("orders"), ProducerRecord::to("orders")]).unwrap();
    assert_eq!(partition.durable_offset(), 4);
}

#[test]
fn an_interval_is_kept_by_the_maintenance() {
    let dir = tempfile::tempdir().unwrap();
    let broker = Broker::builder(dir.path())
        .durability(Durability::Interval(Duration::from_millis(1)))
        .background(false)
        .open()
        .unwrap();
    let partition = broker.topic("orders").unwrap().partition(0).unwrap();
    partition.append(&ProducerRecord::to("orders").value("v")).unwrap();
    assert_eq!((partition.durable_offset(), partition.last_stable_offset()), (0, 1));
    broker.run_maintenance().unwrap();
    assert_eq!(partition.durable_offset(), 1);
}

#[test]
fn an_interval_is_kept_by_the_brokers_thread() {
    let dir = tempfile::tempdir().unwrap();
    let broker = Broker::builder(dir.path()).durability(Durability::Interval(Duration::from_millis(1))).open().unwrap();
    let partition = broker.topic("orders").unwrap().partition(0).unwrap();
    partition.append(&ProducerRecord::to("orders").value("v")).unwrap();
    while partition.durable_offset() < 1 {
        thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn many_senders_share_the_log_without_losing_or_doubling() {
    for durability in [Durability::Os, Durability::Always] {
        let dir = tempfile::tempdir().unwrap();
        let broker = Broker::builder(dir.path()).durability(durability).open().unwrap();
        let topic = broker.topic("orders").unwrap();
        let each = if durability == Durability::Os { 2000 } else { 100 };
        thread::scope(|scope| {
            for sender in 0..4 {
                let topic = &topic;
                scope.spawn(move || {
                    for n in 0..each {
                        topic.produce(sender.to_string(), n.to_string()).unwrap();
                    }
                });
            }
        });
        drop((topic, broker));
        let records = crate::all_from(&open(dir.path()).topic("orders").unwrap().partition(0).unwrap(), 0);
        assert_eq!(records.len(), 4 * each);
        for sender in 0..4 {
            let of_sender = records.iter().filter(|record| record.key() == Some(sender.to_string().as_bytes()));
            assert!(of_sender.enumerate().all(|(n, record)| record.value() == Some(n.to_string().as_bytes())));
        }
    }
}

#[cfg(feature = "testing")]
mod failing {
    use super::*;
    use ottla::testing::{FaultKind, FaultRule, Operation, SimulatedDisk};

    #[test]
    fn a_record_whose_sync_failed_is_never_seen_and_the_partition_refuses_more() {
        let disk = SimulatedDisk::new(1);
        let broker = Broker::builder("/data").background(false).disk(&disk).open().unwrap();
        let partition = broker.topic("orders").unwrap().partition(0).unwrap();
        partition.append(&ProducerRecord::to("orders").value("durable")).unwrap();
        disk.fail(FaultRule::new(FaultKind::InputOutput).on(Operation::Sync).path_containing("tail-always"));
        let failed = partition.append(&ProducerRecord::to("orders").value("not durable"));
        assert!(matches!(failed, Err(Error::InDoubt { .. })), "{failed:?}");
        assert!(failed.unwrap_err().is_fatal());
        assert_eq!((partition.last_stable_offset(), partition.durable_offset()), (1, 1));
        assert_eq!(partition.read(0, 1000).unwrap().len(), 1);
        disk.clear_faults();
        let refused = partition.append(&ProducerRecord::to("orders").value("refused"));
        assert!(matches!(refused, Err(Error::Poisoned { .. })), "{refused:?}");
        assert!(matches!(broker.flush(), Err(Error::Poisoned { .. })));
        assert_eq!(partition.read(0, 1000).unwrap().len(), 1);
    }

    #[test]
    fn a_full_disk_is_told_and_is_over_when_there_is_room_again() {
        let disk = SimulatedDisk::new(1);
        let broker = Broker::builder("/data").durability(Durability::Os).background(false).disk(&disk).open().unwrap();
        let topic = broker.topic("orders").unwrap();
        let partition = topic.partition(0).unwrap();
        topic.produce("k", "first").unwrap();
        disk.limit_capacity(Some(disk.used_bytes() + 1000));
        let mut sent = 1;
        let value = [1; 1000];
        let full = loop {
            match topic.produce("k", value) {
                Ok(metadata) => assert_eq!(metadata.offset(), sent),
                Err(full) => break full,
            }
            sent += 1;
            assert!(sent < 100_000, "the disk never gets full");
        };
        assert!(matches!(full, Error::DiskFull { .. }) && full.is_retriable(), "{full:?}");
        assert_eq!(partition.log_end_offset(), sent);
        assert_eq!(crate::all_from(&partition, 0).len() as u64, sent, "reads go on");
        disk.limit_capacity(None);
        assert_eq!(topic.produce("k", value).unwrap().offset(), sent);
        assert_eq!(crate::all_from(&partition, 0).len() as u64, sent + 1);
        broker.close().unwrap();
        let broker = Broker::builder("/data").disk(&disk).open().unwrap();
        assert!(broker.recovery_report().is_clean(), "{:?}", broker.recovery_report());
        assert_eq!(crate::all_from(&broker.topic("orders").unwrap().partition(0).unwrap(), 0).len() as u64, sent + 1);
    }
}
