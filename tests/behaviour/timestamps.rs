//! Timestamps: the sender's or the clock's, and finding an offset by time.

use std::time::Duration;

use ottla::{Broker, Error, ProducerRecord, Timestamp, TopicConfig};

use crate::{open, small_segments};

fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(millis)
}

#[test]
fn any_timestamp_comes_back() {
    let dir = tempfile::tempdir().unwrap();
    let times = [0, 1, 1_700_000_000_000, i64::MAX, 5, 0, 42, i64::MAX, 0];
    {
        let broker = open(dir.path());
        let topic = broker.topic("orders").unwrap();
        for time in times {
            let record = ProducerRecord::to("orders").timestamp(at(time));
            assert_eq!(broker.producer().send(record).unwrap().timestamp(), at(time));
        }
        let batch: Vec<_> = times.iter().map(|&time| ProducerRecord::to("orders").timestamp(at(time))).collect();
        topic.partition(0).unwrap().append_batch(&batch).unwrap();
    }
    for broker in [open(dir.path()), Broker::open_read_only(dir.path()).unwrap()] {
        let read = crate::all_from(&broker.topic("orders").unwrap().partition(0).unwrap(), 0);
        let read: Vec<_> = read.iter().map(|record| record.timestamp().as_millis()).collect();
        assert_eq!(read, [times, times].concat());
    }
}

#[test]
fn a_time_before_1970_is_refused() {
    let broker = Broker::temporary().unwrap();
    let partition = broker.topic("orders").unwrap().partition(0).unwrap();
    for time in [-1, i64::MIN] {
        let refused = partition.append(&ProducerRecord::to("orders").timestamp(at(time)));
        assert!(matches!(refused, Err(Error::InvalidRecord { .. })), "{refused:?}");
    }
    assert_eq!(partition.log_end_offset(), 0);
}

#[test]
fn the_clock_is_asked_where_the_sender_says_nothing() {
    let broker = Broker::temporary().unwrap();
    let topic = broker.topic("orders").unwrap();
    let now = |n: &str| topic.produce("k", n).unwrap().timestamp();
    let (first, second) = (now("0"), now("1"));
    assert!(first.as_millis() > 1_600_000_000_000 && second >= first);
    let read = crate::all_from(&topic.partition(0).unwrap(), 0);
    assert_eq!((read[0].timestamp(), read[1].timestamp()), (first, second));
}

#[test]
fn the_first_offset_at_or_after_a_time_is_found_in_segments_and_tail() {
    let dir = tempfile::tempdir().unwrap();
    for is_reopened in [false, true] {
        let broker = open(dir.path());
        let partition = if is_reopened {
            broker.topic("orders").unwrap()
        } else {
            broker.create_topic("orders", small_segments().index_interval_bytes(500)).unwrap()
        }
        .partition(0)
        .unwrap();
        if !is_reopened {
            for n in 0..2000 {
                let record = ProducerRecord::to("orders").timestamp(at(1000 + n * 10)).value("some value of a record");
                partition.append(&record).unwrap();
            }
        }
        for (time, offset) in [
            (i64::MIN, Some(0)),
            (0, Some(0)),
            (1000, Some(0)),
            (1001, Some(1)),
            (1010, Some(1)),
            (11_005, Some(1001)),
            (20_990, Some(1999)),
            (20_991, None),
            (i64::MAX, None),
        ] {
            assert_eq!(partition.offset_for_time(at(time)).unwrap(), offset, "{time}");
        }
        for n in (0..2000).step_by(37) {
            let time = at(1000 + i64::from(n) * 10 - 3);
            assert_eq!(partition.offset_for_time(time).unwrap(), Some(u64::try_from(n).unwrap()));
        }
    }
}

/// The model: the first record, by offset, whose timestamp is not before the one asked for.
#[test]
fn timestamps_out_of_order_find_the_first_by_offset() {
    let broker = Broker::temporary().unwrap();
    let config = small_segments().index_interval_bytes(0).segment_ms(Duration::from_secs(1 << 30));
    let partition = broker.create_topic("orders", config).unwrap().partition(0).unwrap();
    let times: Vec<i64> = (0..2000_i64).map(|n| (n * 7919 % 1009) * 5).collect();
    for time in &times {
        partition.append(&ProducerRecord::to("orders").timestamp(at(*time)).value(&[0; 100])).unwrap();
    }
    assert!(broker.admin().describe("orders").unwrap().partitions()[0].segment_count() > 1);
    for asked in (-10..5100).step_by(13) {
        let expected = times.iter().position(|&time| time >= asked).map(|n| n as u64);
        assert_eq!(partition.offset_for_time(at(asked)).unwrap(), expected, "{asked}");
    }
}

#[test]
fn segments_roll_by_record_time() {
    let broker = Broker::temporary().unwrap();
    let config = TopicConfig::new().segment_ms(Duration::from_secs(1));
    let partition = broker.create_topic("orders", config).unwrap().partition(0).unwrap();
    for n in 0..4 {
        // A batch that is large enough not to stay open.
        partition.append(&ProducerRecord::to("orders").timestamp(at(n * 2000)).value(&[0; 2 << 18])).unwrap();
    }
    partition.append(&ProducerRecord::to("orders").timestamp(at(8000))).unwrap();
    let described = broker.admin().describe("orders").unwrap();
    assert!(described.partitions()[0].segment_count() >= 3, "{described:?}");
    assert_eq!(crate::all_from(&partition, 0).len(), 5);
}
