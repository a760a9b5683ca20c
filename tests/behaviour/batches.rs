//! Batches: all or nothing, of any size up to the topic's limit.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use ottla::{Broker, Durability, Error, ProducerRecord, TopicConfig};

use crate::{all_from, open};

/// Around every size at which a batch takes another way: the slots of the tail, and none of them.
const SIZES: [usize; 11] = [0, 1, 3800, 4096, 60_000, 65_400, 65_536, 70_000, 1_000_000, 1_048_400, 1_048_500];

#[test]
fn records_of_every_size_come_back() {
    for durability in [Durability::Os, Durability::Always] {
        let dir = tempfile::tempdir().unwrap();
        {
            let broker = Broker::builder(dir.path()).durability(durability).open().unwrap();
            let partition = broker.topic("orders").unwrap().partition(0).unwrap();
            for (n, size) in SIZES.into_iter().enumerate() {
                let value = vec![u8::try_from(n).unwrap(); size];
                assert_eq!(partition.append(&ProducerRecord::to("orders").value(&value)).unwrap(), 2 * n as u64);
                partition.append(&ProducerRecord::to("orders").value("between")).unwrap();
            }
            check(&partition);
        }
        check(&open(dir.path()).topic("orders").unwrap().partition(0).unwrap());
    }
}

fn check(partition: &ottla::Partition) {
    let records = all_from(partition, 0);
    assert_eq!(records.len(), 2 * SIZES.len());
    for (n, size) in SIZES.into_iter().enumerate() {
        let value = records[2 * n].value().unwrap();
        assert!(value.len() == size && value.iter().all(|&byte| usize::from(byte) == n), "{size}");
        assert_eq!(records[2 * n + 1].value(), Some(&b"between"[..]));
    }
}

#[test]
fn batches_of_every_size_come_back() {
    let broker = Broker::temporary().unwrap();
    let partition = broker.topic("orders").unwrap().partition(0).unwrap();
    let mut expected = 0;
    for count in [1, 2, 40, 700, 10_000] {
        let values: Vec<_> = (expected..expected + count).map(|n| format!("{n:0>80}")).collect();
        let records: Vec<_> = values.iter().map(|value| ProducerRecord::to("orders").value(value)).collect();
        assert_eq!(partition.append_batch(&records).unwrap(), expected..expected + count);
        expected += count;
    }
    let records = all_from(&partition, 0);
    assert_eq!(records.len() as u64, expected);
    assert!(records.iter().enumerate().all(|(n, record)| record.value() == Some(format!("{n:0>80}").as_bytes())));
    assert_eq!(partition.append_batch(&[]).unwrap(), expected..expected);
}

#[test]
fn a_record_above_the_limit_is_refused_before_anything_is_done() {
    let dir = tempfile::tempdir().unwrap();
    let broker = open(dir.path());
    let topic = broker.create_topic("orders", TopicConfig::new().max_message_bytes(10_000)).unwrap();
    let partition = topic.partition(0).unwrap();
    topic.produce("k", "v").unwrap();
    let large = [1; 10_000];
    match topic.produce("k", large) {
        Err(Error::RecordTooLarge { partition, size, limit, .. }) => {
            assert_eq!((partition.to_string().as_str(), limit), ("orders-0", 10_000));
            assert!(size > 10_000);
        }
        other => panic!("{other:?}"),
    }
    let half = [1; 5000];
    let together = [ProducerRecord::to("orders").value(&half), ProducerRecord::to("orders").value(&half)];
    assert!(matches!(partition.append_batch(&together), Err(Error::RecordTooLarge { .. })));
    assert_eq!(partition.log_end_offset(), 1);
    assert_eq!(broker.admin().describe("orders").unwrap().partitions()[0].log_bytes(), 0, "nothing was even sealed");
    for record in &together {
        partition.append(record).unwrap();
    }
    assert_eq!(topic.produce("k", "v").unwrap().offset(), 3);
    let headers: Vec<_> = (0..2000).map(|_| ottla::Header::new("header", "v")).collect();
    let refused = partition.append(&ProducerRecord::to("orders").headers(&headers));
    assert!(matches!(refused, Err(Error::RecordTooLarge { .. })));
}

#[test]
fn the_limit_is_exact() {
    let broker = Broker::temporary().unwrap();
    let topic = broker.create_topic("orders", TopicConfig::new().max_message_bytes(1000)).unwrap();
    let partition = topic.partition(0).unwrap();
    let largest =
        (0..1000).rev().find(|&size| partition.append(&ProducerRecord::to("orders").value(vec![1; size])).is_ok());
    let Err(Error::RecordTooLarge { size, limit, .. }) =
        partition.append(&ProducerRecord::to("orders").value(vec![1; largest.unwrap() + 1]))
    else {
        panic!("one byte more is too large");
    };
    assert_eq!((size, limit), (1001, 1000));
}

#[test]
fn a_record_larger_than_a_mebibyte_fits_where_the_topic_allows_it() {
    let dir = tempfile::tempdir().unwrap();
    for durability in [Durability::Os, Durability::Always] {
        let config = TopicConfig::new().max_message_bytes(8 << 20).durability(durability);
        let name = format!("topic-{}", durability == Durability::Os);
        {
            let broker = open(dir.path());
            let partition = broker.create_topic(&name, config).unwrap().partition(0).unwrap();
            partition.append(&ProducerRecord::to(&name).value("before")).unwrap();
            partition.append(&ProducerRecord::to(&name).value(vec![7; 5 << 20])).unwrap();
            partition.append(&ProducerRecord::to(&name).value("after")).unwrap();
            if durability == Durability::Always {
                assert_eq!(partition.durable_offset(), 3);
            }
            assert_eq!(all_from(&partition, 0)[1].value().unwrap().len(), 5 << 20);
        }
        let records = all_from(&open(dir.path()).topic(&name).unwrap().partition(0).unwrap(), 0);
        assert_eq!(records.len(), 3);
        assert!(records[1].value().unwrap() == vec![7; 5 << 20]);
    }
}

#[test]
fn no_reader_ever_sees_a_part_of_a_batch() {
    let dir = tempfile::tempdir().unwrap();
    let broker = open(dir.path());
    let topic = broker.topic("orders").unwrap();
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            let partition = topic.partition(0).unwrap();
            while !done.load(Ordering::Relaxed) {
                assert_eq!(partition.log_end_offset() % 7, 0);
                assert_eq!(partition.last_stable_offset() % 7, 0);
            }
        });
        let partition = topic.partition(0).unwrap();
        let batch: Vec<_> = (0..7).map(|_| ProducerRecord::to("orders").value("some value")).collect();
        for _ in 0..5000 {
            partition.append_batch(&batch).unwrap();
        }
        done.store(true, Ordering::Relaxed);
    });
}

#[test]
fn a_batch_to_several_partitions_is_answered_in_order() {
    let broker = Broker::temporary().unwrap();
    broker.create_topic("orders", TopicConfig::new().partitions(4)).unwrap();
    let producer = broker.producer();
    let keys: Vec<_> = (0..100).map(|n| n.to_string()).collect();
    let records: Vec<_> = keys.iter().map(|key| ProducerRecord::to("orders").key(key).value(key)).collect();
    let sent = producer.send_batch("orders", &records).unwrap();
    assert_eq!(sent.len(), 100);
    for (record, sent) in records.iter().zip(&sent) {
        let partition = broker.topic("orders").unwrap().partition(sent.partition()).unwrap();
        let found = partition.read(sent.offset(), 1).unwrap();
        let found = found.iter().next().unwrap();
        assert_eq!((found.value(), found.timestamp()), (record.get_value(), sent.timestamp()));
    }
    assert!(producer.send_batch("orders", &[]).unwrap().is_empty());
    assert!(matches!(producer.send_batch("nothing", &records), Err(Error::UnknownTopic { .. })));
}
