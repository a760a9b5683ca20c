//! Timestamps that are the broker's: `message.timestamp.type` is `LogAppendTime`.

use std::time::Duration;

use ottla::testing::SimulatedDisk;
use ottla::{
    Broker, Compression, ConsumerConfig, Durability, Error, Partition, ProducerRecord, Timestamp, TimestampType,
    TopicConfig,
};

use crate::all_from;

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);
/// When each test begins, in ms since 1970.
const T: i64 = 1_700_000_000_000;

fn open(disk: &SimulatedDisk) -> Broker {
    Broker::builder("/data").disk(disk).background(false).durability(Durability::Os).open().unwrap()
}

fn append_time() -> TopicConfig {
    TopicConfig::new().timestamp_type(TimestampType::LogAppendTime)
}

fn orders(broker: &Broker) -> Partition {
    broker.existing_topic("orders").unwrap().partition(0).unwrap()
}

fn at(ms: i64) -> Timestamp {
    Timestamp::from_millis(ms)
}

fn times(partition: &Partition) -> Vec<i64> {
    all_from(partition, 0).iter().map(|record| record.timestamp().as_millis()).collect()
}

/// What senders may claim.
const CLAIMS: [Option<i64>; 6] = [Some(-1), Some(i64::MIN), Some(i64::MAX), Some(0), None, Some(T - 5)];

/// Sends records one by one and together, with a clock that goes on, stands still and goes back, so that the records of one batch
/// have many times. Returns the times that they are to have.
fn send(disk: &SimulatedDisk, broker: &Broker) -> Vec<i64> {
    let (producer, mut expected) = (broker.producer(), Vec::new());
    for (number, claim) in CLAIMS.into_iter().cycle().take(60).enumerate() {
        let now = T + [0, 1, 1, 700, -300, 90_000][number % 6] + i64::try_from(number).unwrap() / 6 * 10;
        disk.set_now_ms(now);
        let record = ProducerRecord::to("orders").value(&[7; 100]);
        let record = claim.map(at).map_or(record.clone(), |claimed| record.timestamp(claimed));
        if number % 4 < 3 {
            assert_eq!(producer.send(record).unwrap().timestamp(), at(now));
            expected.push(now);
            continue;
        }
        let sent = producer.send_batch("orders", &[record.clone(), ProducerRecord::new(), record]).unwrap();
        assert!(sent.iter().all(|sent| sent.timestamp() == at(now)), "{sent:?}");
        expected.extend([now; 3]);
    }
    // Larger than any slot: a batch of its own.
    disk.set_now_ms(T + 5000);
    let large = ProducerRecord::to("orders").timestamp(at(i64::MIN)).value(vec![1; 100_000]);
    assert_eq!(producer.send(large).unwrap().timestamp(), at(T + 5000));
    expected.push(T + 5000);
    expected
}

fn check(broker: &Broker, expected: &[i64]) {
    let partition = orders(broker);
    assert_eq!(times(&partition), expected);
    for asked in expected.iter().flat_map(|time| [*time, time + 1]).chain([i64::MIN, 0, i64::MAX]) {
        let first = expected.iter().position(|&time| asked <= time).map(|offset| offset as u64);
        assert_eq!(partition.offset_for_time(at(asked)).unwrap(), first, "at {asked}");
    }
}

#[test]
fn a_record_has_the_time_of_its_append_whatever_was_claimed_and_wherever_it_is_read() {
    for codec in [Compression::None, Compression::Snappy] {
        let disk = SimulatedDisk::new(1);
        disk.set_now_ms(T);
        let broker = open(&disk);
        broker.create_topic("orders", append_time().compression(codec)).unwrap();
        let mut expected = send(&disk, &broker);
        // These stay in the tail.
        expected.append(&mut send(&disk, &broker));
        check(&broker, &expected);
        let reads_along = Broker::builder("/data").disk(&disk).recovery_mode(ottla::RecoveryMode::ReadOnly);
        check(&reads_along.open().unwrap(), &expected);
        let mut consumer = broker.consumer_with(ConsumerConfig::new("billing").topics(["orders"])).unwrap();
        let polled = consumer.poll(Duration::ZERO).unwrap();
        let polled: Vec<_> = polled.iter().map(|record| record.timestamp().as_millis()).collect();
        assert_eq!(polled, expected[..polled.len()]);
        drop(consumer);
        // A process that comes after a kill takes over what is in the slot.
        let salvaged = disk.kill(1);
        salvaged.set_now_ms(T + 1_000_000);
        check(&open(&salvaged), &expected);
        broker.close().unwrap();
        disk.set_now_ms(T + 1_000_000);
        check(&open(&disk), &expected);
    }
}

/// From the alteration on, also within what was one batch; what was there before keeps its timestamps.
#[test]
fn the_next_record_obeys_an_alteration_and_earlier_ones_stay() {
    let disk = SimulatedDisk::new(1);
    disk.set_now_ms(T);
    let broker = open(&disk);
    let topic = broker.create_topic("orders", TopicConfig::new()).unwrap();
    let producer = broker.producer();
    let send = |claim: i64| producer.send(ProducerRecord::to("orders").timestamp(at(claim)).value("x"));
    assert_eq!(send(5).unwrap().timestamp(), at(5));
    assert!(matches!(send(-5), Err(Error::InvalidRecord { .. })));
    let alter = |whose| broker.admin().alter_topic("orders", |config| config.timestamp_type(whose)).unwrap();
    alter(TimestampType::LogAppendTime);
    assert_eq!(topic.config().get_timestamp_type(), TimestampType::LogAppendTime);
    assert_eq!(send(6).unwrap().timestamp(), at(T));
    assert_eq!(send(-6).unwrap().timestamp(), at(T));
    alter(TimestampType::CreateTime);
    assert_eq!(send(7).unwrap().timestamp(), at(7));
    assert!(matches!(send(-7), Err(Error::InvalidRecord { .. })));
    alter(TimestampType::LogAppendTime);
    let expected = [5, T, T, 7];
    check(&broker, &expected);
    broker.close().unwrap();
    let broker = open(&disk);
    check(&broker, &expected);
    let config = broker.existing_topic("orders").unwrap().config();
    assert_eq!(config, append_time(), "it is kept");
}

#[test]
fn records_without_a_key_are_refused_there_too_where_the_topic_is_compacted() {
    let broker = open(&SimulatedDisk::new(1));
    broker.create_topic("orders", append_time().set("cleanup.policy", "compact").unwrap()).unwrap();
    let refused = broker.producer().send(ProducerRecord::to("orders").timestamp(at(-1)).value("x"));
    assert!(matches!(refused, Err(Error::InvalidRecord { .. })), "{refused:?}");
    broker.producer().send(ProducerRecord::to("orders").timestamp(at(-1)).key("k").value("x")).unwrap();
}

/// A sender whose clock is an hour fast makes its records stay an hour longer, but for the broker's time.
#[test]
fn retention_follows_the_time_of_the_append() {
    for (whose, stays) in [(TimestampType::CreateTime, true), (TimestampType::LogAppendTime, false)] {
        let disk = SimulatedDisk::new(1);
        disk.set_now_ms(T);
        let broker = open(&disk);
        let config = TopicConfig::new().timestamp_type(whose).retention_ms(HOUR).segment_ms(HOUR);
        let partition = broker.create_topic("orders", config).unwrap().partition(0).unwrap();
        let claimed = at(T + 3_600_000);
        partition.append(&ProducerRecord::new().timestamp(claimed).value("x")).unwrap();
        disk.advance(HOUR + MINUTE);
        broker.run_maintenance().unwrap();
        assert_eq!(partition.log_start_offset(), u64::from(!stays), "{whose}");
        disk.advance(HOUR);
        broker.run_maintenance().unwrap();
        assert_eq!(partition.log_start_offset(), 1, "{whose}");
    }
}
