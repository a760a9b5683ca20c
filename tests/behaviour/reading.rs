//! Reading a partition: from any offset, within limits, and while it grows.

use std::thread;

use ottla::{Broker, Error, Partition, ProducerRecord};

use crate::{all_from, open, small_segments};

/// Batches of different sizes over several segments, and an open one.
fn filled(broker: &Broker) -> Partition {
    let partition = broker.create_topic("orders", small_segments()).unwrap().partition(0).unwrap();
    let mut n = 0;
    while n < 1000 {
        let values: Vec<_> = (n..n + 1 + n % 13).map(|n| format!("value {n}")).collect();
        let records: Vec<_> = values.iter().map(|value| ProducerRecord::to("orders").value(value)).collect();
        partition.append_batch(&records).unwrap();
        n += values.len() as u64;
    }
    partition
}

#[test]
fn every_offset_is_a_place_to_begin() {
    let dir = tempfile::tempdir().unwrap();
    let broker = open(dir.path());
    let partition = filled(&broker);
    let end = partition.log_end_offset();
    for from in 0..end {
        let records = partition.read(from, 200).unwrap();
        let offsets: Vec<_> = records.iter().map(|record| record.offset()).collect();
        assert_eq!(offsets, (from..from + offsets.len() as u64).collect::<Vec<_>>());
        assert!(!offsets.is_empty() && offsets.len() == records.len());
        for record in &records {
            assert_eq!(record.value_str().unwrap(), format!("value {}", record.offset()));
        }
    }
    assert_eq!(all_from(&partition, end - 1).len(), 1);
    assert_eq!(all_from(&partition, 17).len() as u64, end - 17);
}

#[test]
fn one_byte_is_one_record() {
    let broker = Broker::temporary().unwrap();
    let partition = filled(&broker);
    for from in [0, 1, 5, 500, partition.log_end_offset() - 1] {
        for max_bytes in [0, 1] {
            let records = partition.read(from, max_bytes).unwrap();
            assert_eq!((records.len(), records.next_offset(partition.topic_partition())), (1, Some(from + 1)));
        }
    }
}

#[test]
fn a_limit_is_kept() {
    let broker = Broker::temporary().unwrap();
    let partition = filled(&broker);
    for max_bytes in [50, 333, 5000] {
        let records = partition.read(0, max_bytes).unwrap();
        let payload: usize = records.iter().map(|record| record.value().unwrap().len()).sum();
        assert!(payload <= max_bytes && records.len() > 1, "{max_bytes}: {payload}");
    }
}

#[test]
fn the_end_is_empty_and_beyond_is_out_of_range() {
    let broker = Broker::temporary().unwrap();
    let empty = broker.topic("empty").unwrap().partition(0).unwrap();
    assert!(empty.read(0, 100).unwrap().is_empty());
    assert_eq!(empty.iter_from(0).count(), 0);
    let partition = filled(&broker);
    let end = partition.log_end_offset();
    assert!(partition.read(end, 100).unwrap().is_empty());
    match partition.read(end + 1, 100) {
        Err(Error::OffsetOutOfRange { requested, log_start_offset, log_end_offset, .. }) => {
            assert_eq!((requested, log_start_offset, log_end_offset), (end + 1, 0, end));
        }
        other => panic!("{other:?}"),
    }
    let mut beyond = partition.iter_from(end + 1);
    assert!(matches!(beyond.next(), Some(Err(Error::OffsetOutOfRange { .. }))));
    assert!(beyond.next().is_none(), "an error ends the iteration");
}

#[test]
fn iterating_goes_on_with_what_came_meanwhile() {
    let broker = Broker::temporary().unwrap();
    let topic = broker.topic("orders").unwrap();
    topic.produce("k", "0").unwrap();
    let mut iter = topic.partition(0).unwrap().iter_from(0);
    assert_eq!(iter.next().unwrap().unwrap().value(), Some(&b"0"[..]));
    topic.produce("k", "1").unwrap();
    assert_eq!(iter.next().unwrap().unwrap().value(), Some(&b"1"[..]));
    assert!(iter.next().is_none());
    topic.produce("k", "2").unwrap();
    assert_eq!(iter.next().unwrap().unwrap().value(), Some(&b"2"[..]));
}

#[test]
fn readers_follow_a_writer_and_see_every_record_once() {
    let dir = tempfile::tempdir().unwrap();
    let broker = open(dir.path());
    let topic = broker.create_topic("orders", small_segments()).unwrap();
    const RECORDS: u64 = 20_000;
    thread::scope(|scope| {
        for limit in [1, 100, 100_000] {
            let partition = topic.partition(0).unwrap();
            scope.spawn(move || {
                let mut next = 0;
                while next < RECORDS.min(limit as u64 * 2000) {
                    for record in &partition.read(next, limit).unwrap() {
                        assert_eq!(record.offset(), next);
                        assert_eq!(record.value(), Some(next.to_string().as_bytes()));
                        next += 1;
                    }
                }
            });
        }
        for n in 0..RECORDS {
            topic.produce("k", n.to_string()).unwrap();
        }
    });
}

#[test]
fn text_that_is_none_is_an_error() {
    let broker = Broker::temporary().unwrap();
    let topic = broker.topic("orders").unwrap();
    topic.produce([0xff], [0xfe]).unwrap();
    let records = topic.partition(0).unwrap().read(0, 100).unwrap();
    let record = records.iter().next().unwrap();
    assert!(matches!(record.value_str(), Err(Error::NotText { offset: 0, .. })));
    assert!(matches!(record.key_str(), Err(Error::NotText { offset: 0, .. })));
    let owned = record.detach();
    assert_eq!((owned.key(), owned.value()), (Some(&[0xff][..]), Some(&[0xfe][..])));
}
