//! The ends of what numbers can say: the last offset, clocks that jump, keys as large as anything.

use std::path::Path;
use std::time::Duration;

use ottla::testing::SimulatedDisk;
use ottla::{
    Broker, BrokerBuilder, ConsumerConfig, Durability, Error, Partition, ProducerRecord, Timestamp, TopicConfig,
};

use crate::{all_from, small_segments};

const LAST_END: u64 = i64::MAX as u64;

fn builder(disk: &SimulatedDisk) -> BrokerBuilder {
    Broker::builder("/data").disk(disk).durability(Durability::Os).background(false).topic_defaults(small_segments())
}

fn partition(broker: &Broker) -> Partition {
    broker.topic("t").unwrap().partition(0).unwrap()
}

/// A disk with a log that has one record, at this offset, and nothing before it.
fn log_that_begins_at(offset: u64) -> SimulatedDisk {
    let disk = SimulatedDisk::new(1);
    let broker = builder(&disk).open().unwrap();
    partition(&broker).append(&ProducerRecord::to("t").value("first")).unwrap();
    broker.close().unwrap();
    let dir = Path::new("/data/t-0");
    let log = |offset: u64| dir.join(format!("{offset:020}.log"));
    let mut batch = disk.read(log(0)).unwrap();
    // The base offset is outside of the checksum.
    batch[..8].copy_from_slice(&offset.to_be_bytes());
    for (path, _) in disk.files() {
        assert!(!path.starts_with(dir) || path.ends_with("partition.metadata") || disk.delete(&path));
    }
    disk.put(log(offset), &batch);
    // Where it does not say where the log begins, the first segment does.
    disk.put(dir.join("manifest"), b"neither generation");
    assert!(disk.delete("/data/clean-shutdown"));
    disk
}

#[test]
fn at_the_last_offset_sends_are_refused_and_everything_can_be_read() {
    for room in 1..6_u64 {
        let begin = LAST_END - room;
        let disk = log_that_begins_at(begin);
        let broker = builder(&disk).open().unwrap();
        let log = partition(&broker);
        assert_eq!((log.log_start_offset(), log.log_end_offset()), (begin, begin + 1));
        let record = ProducerRecord::to("t").value("more");
        let too_many = vec![record.clone(); usize::try_from(room).unwrap()];
        assert!(matches!(log.append_batch(&too_many), Err(Error::InvalidState { .. })), "room {room}");
        for offset in begin + 1..LAST_END {
            assert_eq!(log.append(&record).unwrap(), offset);
        }
        for _ in 0..2 {
            let refused = log.append(&record);
            assert!(matches!(refused, Err(Error::InvalidState { .. })), "room {room}: {refused:?}");
        }
        let check = |broker: &Broker| {
            let records = all_from(&partition(broker), begin);
            let offsets: Vec<_> = records.iter().map(ottla::OwnedRecord::offset).collect();
            assert_eq!(offsets, (begin..LAST_END).collect::<Vec<_>>());
            assert!(partition(broker).read(LAST_END, 100).unwrap().is_empty());
            for beyond in [LAST_END + 1, u64::MAX] {
                assert!(matches!(partition(broker).read(beyond, 100), Err(Error::OffsetOutOfRange { .. })));
            }
        };
        check(&broker);
        let mut consumer = broker.consumer("g", ["t"]).unwrap();
        assert_eq!(consumer.poll(Duration::ZERO).unwrap().len() as u64, room);
        consumer.commit().unwrap();
        drop(consumer);
        check(&builder(&disk.kill(1)).open().unwrap());
        drop(log);
        broker.close().unwrap();
        let broker = builder(&disk).open().unwrap();
        check(&broker);
        assert!(broker.consumer("g", ["t"]).unwrap().poll(Duration::ZERO).unwrap().is_empty());
    }
}

#[test]
fn a_clock_that_jumps_moves_no_offset_and_loses_no_time() {
    let disk = SimulatedDisk::new(1);
    let config = TopicConfig::new().segment_bytes(16 << 10).segment_ms(Duration::from_secs(3600));
    let broker = builder(&disk).topic_defaults(config).open().unwrap();
    let log = partition(&broker);
    let mut times = Vec::new();
    for now in [1_700_000_000_000, 1_600_000_000_000, 4_102_444_800_000, 0, 1_700_000_000_001, 1_500_000_000_000] {
        disk.set_now_ms(now);
        for _ in 0..30 {
            assert_eq!(log.append(&ProducerRecord::to("t").value(&[7; 500])).unwrap(), times.len() as u64);
            times.push(now);
        }
        broker.run_maintenance().unwrap();
    }
    let check = |broker: &Broker| {
        let log = partition(broker);
        let found: Vec<_> = all_from(&log, 0).iter().map(|record| record.timestamp().as_millis()).collect();
        assert_eq!(found, times);
        for time in times.iter().flat_map(|time| [*time, time + 1]) {
            let first = times.iter().position(|at| time <= *at).map(|offset| offset as u64);
            assert_eq!(log.offset_for_time(Timestamp::from_millis(time)).unwrap(), first, "at {time}");
        }
    };
    check(&broker);
    for now in [0, 4_102_444_800_000] {
        let image = disk.kill(1);
        image.set_now_ms(now);
        let broker = builder(&image).open().unwrap();
        check(&broker);
        broker.close().unwrap();
        check(&builder(&image).open().unwrap());
    }
}

#[test]
fn a_clock_that_jumps_puts_no_member_out_and_ends_no_wait() {
    const MINUTE: Duration = Duration::from_secs(60);
    let disk = SimulatedDisk::new(1);
    let broker = builder(&disk).open().unwrap();
    partition(&broker).append(&ProducerRecord::to("t").value("v")).unwrap();
    let config = || ConsumerConfig::new("g").topics(["t"]).max_poll_interval(MINUTE);
    let mut member = broker.consumer_with(config()).unwrap();
    assert_eq!(member.poll(Duration::ZERO).unwrap().len(), 1);
    for now in [4_102_444_800_000, 0, 1_700_000_000_000] {
        disk.set_now_ms(now);
        broker.run_maintenance().unwrap();
        let mut other = broker.consumer_with(config()).unwrap();
        other.poll(Duration::ZERO).unwrap();
        assert_eq!(member.assignment().len(), 1, "it has not been silent for a minute");
        member.commit().unwrap();
        other.close().unwrap();
        member.poll(Duration::ZERO).unwrap();
    }
    // As a clock that counts says, a minute has passed now.
    disk.advance(2 * MINUTE);
    let mut other = broker.consumer_with(config()).unwrap();
    other.poll(Duration::ZERO).unwrap();
    assert_eq!(other.assignment().len(), 1);
}

#[test]
fn keys_and_headers_count_as_much_as_values() {
    let disk = SimulatedDisk::new(1);
    let broker = builder(&disk).open().unwrap();
    let log = broker.create_topic("t", TopicConfig::new().max_message_bytes(10_000)).unwrap().partition(0).unwrap();
    let large = vec![b'x'; 10_000];
    let text = String::from_utf8(large.clone()).unwrap();
    let (named, valued) = ([ottla::Header::new(text.as_str(), "v")], [ottla::Header::new("h", large.as_slice())]);
    let many: Vec<_> = (0..10_000).map(|_| ottla::Header::new("", "")).collect();
    let before = disk.calls();
    for record in [
        ProducerRecord::to("t").key(&large),
        ProducerRecord::to("t").value(&large),
        ProducerRecord::to("t").headers(&named),
        ProducerRecord::to("t").headers(&valued),
        ProducerRecord::to("t").headers(&many),
    ] {
        assert!(matches!(log.append(&record), Err(Error::RecordTooLarge { .. })));
        assert!(matches!(log.append_batch(&[record]), Err(Error::RecordTooLarge { .. })));
    }
    let asked = disk.log().into_iter().filter(|call| call.number > before && call.path.starts_with("/data/t-0"));
    assert_eq!((log.log_end_offset(), asked.count()), (0, 0), "refused before its files are touched");
    log.append(&ProducerRecord::to("t").key(&large[..9000])).unwrap();
}
