//! Deleting records at the front of a log: the start moves for everybody, what stays is as it was, and the disk gets its room back.

use std::fs;
use std::path::Path;
use std::time::Duration;

use ottla::{
    Broker, ConsumerConfig, Durability, Error, OffsetReset, Partition, ProducerRecord, Timestamp, TopicConfig,
    TopicPartition,
};

use crate::{all_from, open, text};

fn orders_0() -> TopicPartition {
    TopicPartition::new("orders", 0)
}

fn small_segments() -> TopicConfig {
    TopicConfig::new().segment_bytes(2048)
}

/// Records of 100 bytes, numbered by their offsets, 10 a batch; a segment has two of those.
fn fill(partition: &Partition, offsets: std::ops::Range<u64>) {
    let values: Vec<String> = offsets.map(|offset| format!("{offset:0100}")).collect();
    for batch in values.chunks(10) {
        let at = |value: &String| Timestamp::from_millis(1_000_000 + value.parse::<i64>().unwrap());
        let record = |value| ProducerRecord::to("orders").timestamp(at(value)).value(value);
        partition.append_batch(&batch.iter().map(record).collect::<Vec<_>>()).unwrap();
    }
}

fn delete_before(broker: &Broker, offset: u64) -> u64 {
    broker.admin().delete_records(&[(orders_0(), offset)]).unwrap()[0].1
}

fn log_files(dir: &Path) -> Vec<String> {
    let paths = fs::read_dir(dir.join("orders-0")).unwrap().map(|entry| entry.unwrap().path());
    let logs = paths.filter(|path| path.extension().is_some_and(|extension| extension == "log"));
    logs.map(|path| path.file_name().unwrap().to_str().unwrap().to_owned()).collect()
}

/// That the log has just the records at these offsets, for reads of every kind.
fn holds(partition: &Partition, offsets: std::ops::Range<u64>) {
    assert_eq!((partition.log_start_offset(), partition.log_end_offset()), (offsets.start, offsets.end));
    let read = all_from(partition, offsets.start);
    let read: Vec<u64> = read.iter().map(|record| text(record.value().unwrap()).parse().unwrap()).collect();
    assert_eq!(read, offsets.clone().collect::<Vec<_>>());
    for from in offsets.clone().step_by(7) {
        assert_eq!(all_from(partition, from).len() as u64, offsets.end - from);
        let time = Timestamp::from_millis(1_000_000 + i64::try_from(from).unwrap());
        assert_eq!(partition.offset_for_time(time).unwrap(), Some(from));
    }
    let first = Some(offsets.start).filter(|_| !offsets.is_empty());
    assert_eq!(partition.offset_for_time(Timestamp::from_millis(0)).unwrap(), first);
    if let Some(below) = offsets.start.checked_sub(1) {
        match partition.read(below, 1000) {
            Err(Error::OffsetOutOfRange { requested, log_start_offset, .. }) => {
                assert_eq!((requested, log_start_offset), (below, offsets.start));
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn the_start_moves_and_stays_for_the_writer_for_who_reads_along_and_after_a_reopening() {
    for durability in [Durability::Os, Durability::Always] {
        let dir = tempfile::tempdir().unwrap();
        let broker = open(dir.path());
        let partition =
            broker.create_topic("orders", small_segments().durability(durability)).unwrap().partition(0).unwrap();
        fill(&partition, 0..100);
        let reader = Broker::open_read_only(dir.path()).unwrap();
        let followed = reader.topic("orders").unwrap().partition(0).unwrap();
        holds(&followed, 0..100);
        // Within a batch, at its end, at a segment's end, within the active segment; backwards is no error.
        for (offset, start) in [(7, 7), (10, 10), (3, 10), (20, 20), (41, 41), (99, 99)] {
            assert_eq!(delete_before(&broker, offset), start);
            holds(&partition, start..100);
            holds(&followed, start..100);
        }
        assert_eq!(log_files(dir.path()).len(), 1);
        assert_eq!(broker.admin().describe("orders").unwrap().partitions()[0].offsets(), 99..100);
        broker.close().unwrap();
        for _ in 0..2 {
            let broker = open(dir.path());
            assert!(broker.recovery_report().partitions().is_empty(), "{:?}", broker.recovery_report());
            let partition = broker.topic("orders").unwrap().partition(0).unwrap();
            let end = partition.log_end_offset();
            holds(&partition, 99..end);
            fill(&partition, end..end + 10);
            holds(&partition, 99..end + 10);
            assert_eq!(broker.admin().verify().unwrap().damage().count(), 0);
            broker.close().unwrap();
        }
        holds(&followed, 99..120);
    }
}

#[test]
fn everything_can_be_deleted_again_and_again_and_the_disk_gets_the_room_back() {
    let dir = tempfile::tempdir().unwrap();
    let broker = open(dir.path());
    let partition = broker.create_topic("orders", small_segments()).unwrap().partition(0).unwrap();
    assert_eq!(delete_before(&broker, 0), 0, "of an empty log");
    let mut end = 0;
    for _ in 0..5 {
        fill(&partition, end..end + 45);
        partition.append(&ProducerRecord::to("orders").value(format!("{:0100}", end + 45))).unwrap();
        end += 46;
        assert_eq!(delete_before(&broker, end), end);
        assert_eq!(delete_before(&broker, end), end);
        holds(&partition, end..end);
        assert_eq!(log_files(dir.path()), [format!("{end:020}.log")]);
        assert_eq!(broker.admin().describe("orders").unwrap().partitions()[0].log_bytes(), 0);
    }
    broker.close().unwrap();
    let broker = open(dir.path());
    let partition = broker.topic("orders").unwrap().partition(0).unwrap();
    holds(&partition, end..end);
    fill(&partition, end..end + 5);
    holds(&partition, end..end + 5);
}

#[test]
fn records_that_were_read_stay_and_consumers_go_on_by_their_policy() {
    let broker = Broker::temporary().unwrap();
    let partition = broker.create_topic("orders", small_segments()).unwrap().partition(0).unwrap();
    fill(&partition, 0..100);
    let consumer = |group: &str, reset| {
        broker.consumer_with(ConsumerConfig::new(group).topics(["orders"]).offset_reset(reset)).unwrap()
    };
    let mut earliest = consumer("earliest", OffsetReset::Earliest);
    let mut failing = consumer("failing", OffsetReset::Error);
    let mut held = Vec::new();
    for consumer in [&mut earliest, &mut failing] {
        consumer.seek(&orders_0(), ottla::SeekTo::Offset(0)).unwrap();
        let records = consumer.poll(Duration::ZERO).unwrap();
        assert!(!records.is_empty());
        held.push(records);
        consumer.seek(&orders_0(), ottla::SeekTo::Offset(5)).unwrap();
    }
    delete_before(&broker, 60);
    for records in &held {
        let first = records.iter().next().unwrap();
        assert_eq!((first.offset(), first.value_str().unwrap().parse()), (0, Ok(0_u64)));
    }
    assert_eq!(earliest.poll(Duration::ZERO).unwrap().iter().next().unwrap().offset(), 60);
    assert!(matches!(failing.poll(Duration::ZERO), Err(Error::OffsetOutOfRange { requested: 5, .. })));
    let description = broker.admin().describe_group("earliest").unwrap();
    assert!(description.partitions()[0].lag() <= 40);
}

#[test]
fn what_cannot_be_deleted_is_refused_before_anything_is() {
    let dir = tempfile::tempdir().unwrap();
    let broker = open(dir.path());
    let topic = broker.create_topic("orders", small_segments().partitions(2)).unwrap();
    fill(&topic.partition(0).unwrap(), 0..50);
    drop(broker.consumer_with(ConsumerConfig::new("billing").topics(["orders"])).unwrap());
    let refused = |partition: &str, number, offset| {
        let both = [(orders_0(), 20), (TopicPartition::new(partition, number), offset)];
        let refused = broker.admin().delete_records(&both).unwrap_err();
        assert_eq!(topic.partition(0).unwrap().log_start_offset(), 0, "{refused}");
        refused
    };
    assert!(matches!(refused("orders", 1, 1), Error::OffsetOutOfRange { requested: 1, log_end_offset: 0, .. }));
    assert!(matches!(refused("orders", 1, u64::MAX), Error::OffsetOutOfRange { .. }));
    assert!(matches!(refused("orders", 2, 0), Error::UnknownPartition { .. }));
    assert!(matches!(refused("orderz", 0, 0), Error::UnknownTopic { .. }));
    assert!(matches!(refused("__consumer_offsets", 0, 0), Error::InvalidTopic { .. }));
    let reader = Broker::open_read_only(dir.path()).unwrap();
    assert!(matches!(reader.admin().delete_records(&[(orders_0(), 20)]), Err(Error::ReadOnly { .. })));
    assert_eq!(broker.admin().delete_records(&[]).unwrap(), []);
    broker.clone().close().unwrap();
    assert!(matches!(broker.admin().delete_records(&[(orders_0(), 20)]), Err(Error::Closed { .. })));
}
