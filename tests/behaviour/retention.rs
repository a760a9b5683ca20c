//! How long records are kept: by age and by size, for logs that nothing is sent to any more as well, and whatever clocks say.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use ottla::testing::SimulatedDisk;
use ottla::{
    Broker, ConsumerConfig, Durability, Error, OffsetReset, Partition, PositionReset, ProducerRecord, RecoveryMode,
    Timestamp, TopicConfig,
};

use crate::all_from;

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);
/// When each test begins, in ms since 1970.
const T: i64 = 1_700_000_000_000;

fn new_disk() -> SimulatedDisk {
    let disk = SimulatedDisk::new(1);
    disk.set_now_ms(T);
    disk
}

fn open(disk: &SimulatedDisk) -> Broker {
    Broker::builder("/data").disk(disk).background(false).durability(Durability::Os).open().unwrap()
}

fn orders(broker: &Broker) -> Partition {
    broker.existing_topic("orders").unwrap().partition(0).unwrap()
}

fn create(broker: &Broker, config: TopicConfig) -> Partition {
    broker.create_topic("orders", config).unwrap().partition(0).unwrap()
}

fn send_at(partition: &Partition, ms: i64) {
    let record = ProducerRecord::to("orders").timestamp(Timestamp::from_millis(ms)).value("x");
    partition.append(&record).unwrap();
}

fn send(partition: &Partition, count: u64) {
    for _ in 0..count {
        partition.append(&ProducerRecord::to("orders").value("x")).unwrap();
    }
}

/// Runs the maintenance; the bounds of the log afterwards, and what can be read is just that.
fn maintained(broker: &Broker) -> (u64, u64) {
    broker.run_maintenance().unwrap();
    let partition = orders(broker);
    let (start, end) = (partition.log_start_offset(), partition.log_end_offset());
    let read: Vec<u64> = all_from(&partition, start).iter().map(ottla::OwnedRecord::offset).collect();
    assert_eq!(read, (start..end).collect::<Vec<_>>());
    (start, end)
}

/// Known failure 9.1.
#[test]
fn k9_01_a_record_from_the_future_pins_nothing() {
    for reopen in [None, Some(false), Some(true)] {
        let mut disk = new_disk();
        let mut broker = open(&disk);
        let partition = create(&broker, TopicConfig::new().retention_ms(HOUR).segment_ms(10 * MINUTE));
        send_at(&partition, T + 50 * 365 * 24 * 3_600_000);
        for minute in 0..4 {
            disk.advance(MINUTE);
            send_at(&partition, T + minute * 60_000 + 60_000);
        }
        drop(partition);
        disk.advance(6 * MINUTE);
        assert_eq!(maintained(&broker), (0, 5));
        assert_eq!(broker.admin().describe("orders").unwrap().partitions()[0].segment_count(), 2, "it was rolled");
        if let Some(is_copied) = reopen {
            disk.advance(10 * MINUTE);
            broker.close().unwrap();
            if is_copied {
                // With new times of all files, which count for nothing.
                disk = disk.kill(0);
            }
            disk.advance(10 * MINUTE);
            broker = open(&disk);
            disk.advance(39 * MINUTE);
        } else {
            disk.advance(59 * MINUTE);
        }
        assert_eq!(maintained(&broker), (0, 5), "{reopen:?}");
        disk.advance(2 * MINUTE);
        assert_eq!(maintained(&broker), (5, 5), "{reopen:?}");
    }
}

/// Known failure 9.3.
#[test]
fn k9_03_a_log_of_which_all_has_expired_goes_on_where_it_ended() {
    let disk = new_disk();
    let broker = open(&disk);
    let partition = create(&broker, TopicConfig::new().retention_ms(60 * SECOND).segment_ms(30 * SECOND));
    send(&partition, 5);
    let mut consumer = broker.consumer("billing", ["orders"]).unwrap();
    assert_eq!(consumer.poll(Duration::ZERO).unwrap().len(), 5);
    consumer.commit().unwrap();
    drop((consumer, partition));
    disk.advance(50 * SECOND);
    broker.close().unwrap();
    disk.advance(5 * SECOND);
    let mut broker = open(&disk);
    disk.advance(40 * SECOND);
    assert_eq!(maintained(&broker), (5, 5), "opening does not begin the time anew");
    for _ in 0..3 {
        broker.close().unwrap();
        broker = open(&disk);
        assert_eq!(maintained(&broker), (5, 5));
        assert_eq!(broker.admin().describe_group("billing").unwrap().partitions()[0].lag(), 0);
    }
    let mut consumer = broker.consumer("billing", ["orders"]).unwrap();
    assert_eq!(orders(&broker).append(&ProducerRecord::to("orders").value("next")).unwrap(), 5);
    assert_eq!(consumer.poll(Duration::ZERO).unwrap().iter().next().unwrap().offset(), 5);
}

#[test]
fn a_clock_that_is_set_deletes_nothing_and_is_believed_at_the_next_opening() {
    let disk = new_disk();
    let broker = open(&disk);
    let partition = create(&broker, TopicConfig::new().retention_ms(HOUR).segment_ms(10 * MINUTE));
    send(&partition, 5);
    drop(partition);
    disk.advance(11 * MINUTE);
    assert_eq!(maintained(&broker), (0, 5));
    disk.set_now_ms(T + 10 * 365 * 24 * 3_600_000);
    assert_eq!(maintained(&broker), (0, 5));
    broker.close().unwrap();
    let broker = open(&disk);
    assert_eq!(maintained(&broker), (5, 5));
}

#[test]
fn old_records_that_are_sent_today_are_kept_as_long_as_others() {
    let disk = new_disk();
    let broker = open(&disk);
    let partition = create(&broker, TopicConfig::new().retention_ms(HOUR).segment_ms(10 * MINUTE));
    // The log is there long before, and has rolled.
    disk.advance(24 * HOUR);
    assert_eq!(maintained(&broker), (0, 0));
    for _ in 0..2 {
        let start = partition.log_end_offset();
        for day in 0..5 {
            send_at(&partition, T - 24 * 3_600_000 * (5 - day));
        }
        disk.advance(11 * MINUTE);
        assert_eq!(maintained(&broker), (start, start + 5));
        disk.advance(48 * MINUTE);
        assert_eq!(maintained(&broker), (start, start + 5));
        disk.advance(2 * MINUTE);
        assert_eq!(maintained(&broker), (start + 5, start + 5));
        disk.advance(24 * HOUR);
    }
}

#[test]
fn a_partition_keeps_at_least_its_bytes_and_at_most_a_segment_more() {
    let disk = new_disk();
    let broker = open(&disk);
    let partition = create(&broker, TopicConfig::new().partitions(2).segment_bytes(200_000).retention_bytes(1_000_000));
    let bytes = |broker: &Broker| broker.admin().describe("orders").unwrap().partitions()[0].log_bytes();
    let value = "x".repeat(9000);
    for round in 0..300 {
        partition.append_batch(&[ProducerRecord::to("orders").value(&value)]).unwrap();
        if round % 7 == 0 {
            let (start, _) = maintained(&broker);
            assert!(bytes(&broker) < 1_200_000 && (start == 0 || 1_000_000 <= bytes(&broker)), "{}", bytes(&broker));
        }
    }
    let (start, end) = maintained(&broker);
    assert!((100..140).contains(&(end - start)), "{start}..{end}");
    assert_eq!(orders(&broker).log_start_offset(), start);
    let files = disk.files().iter().filter(|(path, _)| path.starts_with("/data/orders-0")).count();
    assert!(files < 30, "{files}");
    let broker = open(&disk.kill(0));
    assert_eq!(maintained(&broker), (start, end));
    assert_eq!(broker.recovery_report().damage().count(), 0);
}

#[test]
fn without_a_limit_nothing_goes_and_nothing_is_rolled_by_the_clock() {
    let disk = new_disk();
    let broker = open(&disk);
    let partition = create(&broker, TopicConfig::new().segment_ms(MINUTE));
    send(&partition, 5);
    disk.advance(1000 * HOUR);
    assert_eq!(maintained(&broker), (0, 5));
    assert_eq!(broker.admin().describe("orders").unwrap().partitions()[0].segment_count(), 0, "still in the tail");
}

#[test]
fn a_group_that_fell_behind_is_told_by_its_policy() {
    let disk = new_disk();
    let broker = open(&disk);
    let partition = create(&broker, TopicConfig::new().retention_ms(HOUR).segment_ms(MINUTE));
    let mut consumer = broker
        .consumer_with(ConsumerConfig::new("billing").topics(["orders"]).offset_reset(ottla::OffsetReset::Error))
        .unwrap();
    send(&partition, 10);
    consumer.seek(partition.topic_partition(), ottla::SeekTo::Offset(5)).unwrap();
    disk.advance(2 * HOUR);
    assert_eq!(maintained(&broker), (10, 10));
    for _ in 0..3 {
        match consumer.poll(Duration::ZERO) {
            Err(Error::OffsetOutOfRange { requested: 5, log_start_offset: 10, log_end_offset: 10, .. }) => {}
            other => panic!("{other:?}"),
        }
    }
}

/// Known failure 9.2.
#[test]
fn k9_02_an_index_is_no_evidence() {
    let disk = new_disk();
    let broker = open(&disk);
    let config = TopicConfig::new().retention_ms(24 * HOUR).segment_ms(10 * MINUTE).index_interval_bytes(0);
    let partition = create(&broker, config);
    for _ in 0..3 {
        for _ in 0..10 {
            send(&partition, 1);
            disk.advance(MINUTE);
        }
        broker.run_maintenance().unwrap();
    }
    assert_eq!(broker.admin().describe("orders").unwrap().partitions()[0].segment_count(), 4);
    let answers = |broker: &Broker| {
        let log = orders(broker);
        let times = (-1..32).flat_map(|minute| [T + minute * 60_000, T + minute * 60_000 + 1]);
        let found = times.map(|time| log.offset_for_time(Timestamp::from_millis(time)).unwrap());
        (all_from(&log, 0).iter().map(ottla::OwnedRecord::offset).collect::<Vec<_>>(), found.collect::<Vec<_>>())
    };
    let expected = answers(&broker);
    assert_eq!(expected.0, (0..30).collect::<Vec<_>>());
    broker.close().unwrap();
    let indexes = [0, 10].map(|base| PathBuf::from(format!("/data/orders-0/{base:020}.timeindex")));
    // An entry of 12 bytes: the time, and an offset within the segment.
    let in_1970 = |bytes: &[u8]| [&bytes[..bytes.len() - 12], &1_i64.to_be_bytes(), &9_i32.to_be_bytes()].concat();
    type Change<'c> = &'c dyn Fn(&[u8]) -> Option<Vec<u8>>;
    let changes: [(&str, Change<'_>); 3] = [
        ("zeros", &|bytes| Some(vec![0; bytes.len()])),
        ("missing", &|_| None),
        ("1970", &|bytes| Some(in_1970(bytes))),
    ];
    for (what, change) in changes {
        let image = disk.kill(1);
        for index in &indexes {
            let bytes = image.read(index).unwrap();
            assert!(bytes.len() >= 12, "{what}");
            match change(&bytes) {
                Some(other) => image.put(index, &other),
                None => assert!(image.delete(index)),
            }
        }
        let reader = Broker::builder("/data").disk(&image).recovery_mode(RecoveryMode::ReadOnly).open().unwrap();
        assert_eq!(answers(&reader), expected, "{what}, read-only");
        let is_missing = what == "missing";
        let named = |paths: &[PathBuf]| indexes.iter().filter(|index| paths.contains(index)).count();
        // What `verify` finds before anything has been read there.
        let verified = open(&image.kill(2));
        let paths: Vec<_> = verified.admin().verify().unwrap().repairable().map(|found| found.path.clone()).collect();
        assert_eq!(named(&paths), 2, "{what}: {paths:?}");
        let broker = open(&image);
        let report = broker.recovery_report();
        let rebuilt =
            report.partitions().iter().flat_map(ottla::PartitionRecovery::rebuilt).cloned().collect::<Vec<_>>();
        assert_eq!(named(&rebuilt), if is_missing { 2 } else { 0 }, "{what}: {report}");
        assert_eq!(maintained(&broker), (0, 30), "{what}");
        assert_eq!(answers(&broker), expected, "{what}");
        disk.advance(HOUR);
    }
}

/// Known failure 9.14: [0, 100), of which retention takes the first half, and groups at 5.
#[test]
fn k9_14_a_group_that_fell_behind_is_told_what_it_missed() {
    for policy in [OffsetReset::Earliest, OffsetReset::Latest, OffsetReset::Error] {
        let disk = new_disk();
        let broker = open(&disk);
        let partition = create(&broker, TopicConfig::new().retention_ms(HOUR).segment_ms(MINUTE));
        let orders = partition.topic_partition().clone();
        send(&partition, 50);
        let resets = Arc::new(Mutex::new(Vec::<PositionReset>::new()));
        let config = ConsumerConfig::new("billing").topics(["orders"]).offset_reset(policy).on_position_reset({
            let resets = Arc::clone(&resets);
            move |reset| resets.lock().unwrap().push(reset.clone())
        });
        let mut consumer = broker.consumer_with(config.clone()).unwrap();
        consumer.commit_offsets(&[(orders.clone(), ottla::CommittedOffset::new(5))]).unwrap();
        drop(consumer);
        disk.advance(50 * MINUTE);
        broker.run_maintenance().unwrap();
        send(&partition, 50);
        disk.advance(30 * MINUTE);
        assert_eq!(maintained(&broker), (50, 100));
        assert_eq!(broker.admin().describe_group("billing").unwrap().total_lag(), 50, "{policy}");

        let mut consumer = broker.consumer_with(config).unwrap();
        assert_eq!(consumer.lag(&orders), Some(50));
        let told = || resets.lock().unwrap().clone();
        let committed = |broker: &Broker| broker.committed("billing", &orders).unwrap().unwrap().offset();
        match policy {
            OffsetReset::Error => {
                for _ in 0..3 {
                    match consumer.poll(Duration::ZERO) {
                        Err(Error::OffsetOutOfRange {
                            requested: 5,
                            log_start_offset: 50,
                            log_end_offset: 100,
                            ..
                        }) => {}
                        other => panic!("{other:?}"),
                    }
                    consumer.commit().unwrap();
                    assert_eq!((committed(&broker), consumer.reset_count(), told().len()), (5, 0, 0));
                }
                consumer.seek(&orders, ottla::SeekTo::Earliest).unwrap();
                assert_eq!(consumer.poll(Duration::ZERO).unwrap().iter().next().unwrap().offset(), 50);
                continue;
            }
            OffsetReset::Latest => assert!(consumer.poll(Duration::ZERO).unwrap().is_empty()),
            _ => assert_eq!(consumer.poll(Duration::ZERO).unwrap().iter().next().unwrap().offset(), 50),
        }
        let to = if policy == OffsetReset::Latest { 100 } else { 50 };
        assert_eq!((consumer.reset_count(), consumer.passed_over_count()), (1, to - 5));
        let [reset] = &told()[..] else { panic!("{:?}", told()) };
        assert_eq!((reset.topic_partition(), reset.from(), reset.to(), reset.passed_over()), (&orders, 5, to, 5..to));
        assert_eq!(reset.to_string(), format!("orders-0: position 5 reset to {to}"));
        assert_eq!(committed(&broker), 5, "until it is committed");
        send(&partition, 1);
        let last = consumer.poll(Duration::ZERO).unwrap().iter().last().unwrap().offset();
        assert_eq!((last, consumer.reset_count(), told().len()), (100, 1, 1));
    }
}

/// A hook that panics takes nothing from the poll.
#[test]
fn a_hook_that_is_told_of_a_reset_and_panics_harms_nobody() {
    let disk = new_disk();
    let broker = open(&disk);
    let partition = create(&broker, TopicConfig::new());
    send(&partition, 10);
    let config = ConsumerConfig::new("billing").topics(["orders"]).on_position_reset(|reset| panic!("{reset}"));
    let mut consumer = broker.consumer_with(config).unwrap();
    consumer.seek(partition.topic_partition(), ottla::SeekTo::Offset(2)).unwrap();
    broker.admin().delete_records(&[(partition.topic_partition().clone(), 4)]).unwrap();
    assert_eq!(consumer.poll(Duration::ZERO).unwrap().len(), 6);
    consumer.commit().unwrap();
    assert_eq!((consumer.reset_count(), consumer.passed_over_count()), (1, 2));
}

#[test]
fn once_a_limit_is_raised_nothing_is_deleted_by_the_old_one() {
    let disk = new_disk();
    let broker = open(&disk);
    let partition = create(&broker, TopicConfig::new().segment_bytes(1024));
    let value = "x".repeat(2000);
    for _ in 0..5 {
        partition.append_batch(&[ProducerRecord::to("orders").value(&value)]).unwrap();
    }
    // Whatever is changed, nothing is open then, and nothing is left to be synced for its own sake.
    broker.admin().alter_topic("orders", |config| config.segment_ms(HOUR)).unwrap();
    assert_eq!(maintained(&broker), (0, 5));
    broker.admin().alter_topic("orders", |config| config.retention_bytes(1)).unwrap();
    disk.hold_syncs("orders-0");
    thread::scope(|scope| {
        let maintenance = scope.spawn(|| broker.run_maintenance());
        while disk.hanging_syncs() == 0 {
            thread::yield_now();
        }
        let raised = scope.spawn(|| {
            broker.admin().alter_topic("orders", |config| config.retention_bytes(None)).unwrap();
            partition.log_start_offset()
        });
        // Time for a call that does not wait for what is under way; one that waits goes on when the syncs do.
        for _ in 0..50 {
            if !raised.is_finished() {
                thread::sleep(Duration::from_millis(1));
            }
        }
        disk.release_syncs();
        maintenance.join().unwrap().unwrap();
        assert_eq!(raised.join().unwrap(), partition.log_start_offset());
    });
}

#[test]
fn limits_are_told_as_kafka_tells_them_and_refused_by_their_names() {
    let pasted = TopicConfig::new().set("retention.ms", "3600000").unwrap().set("retention.bytes", " -1").unwrap();
    assert_eq!(pasted, TopicConfig::new().retention_ms(HOUR));
    assert_eq!((pasted.get_retention_ms(), pasted.get_retention_bytes()), (Some(HOUR), None));
    let broker = Broker::temporary().unwrap();
    let refused = |config| match broker.create_topic("orders", config) {
        Err(Error::InvalidConfig { key, .. }) => key,
        other => panic!("{other:?}"),
    };
    assert_eq!(refused(TopicConfig::new().retention_ms(Duration::ZERO)), "retention.ms");
    assert_eq!(refused(TopicConfig::new().retention_bytes(u64::MAX)), "retention.bytes");
    assert!(TopicConfig::new().set("retention.ms", "-2").is_err());
    let topic = broker.create_topic("orders", TopicConfig::new().retention_bytes(1 << 20)).unwrap();
    assert_eq!(topic.config().get_retention_bytes(), Some(1 << 20));
}
