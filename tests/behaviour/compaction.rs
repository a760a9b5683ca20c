//! Topics of users that are compacted: which records stay, for how long, and that readers pass over what is gone.
//!
//! Functions named `k9_…` are the known failures of that number.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use ottla::testing::{FaultKind, FaultRule, Operation, SimulatedDisk};
use ottla::{
    Broker, BrokerBuilder, CleanupPolicy, ConsumerConfig, Durability, Error, LeftOut, OwnedRecord, Partition,
    ProducerRecord, RecoveryMode, ResetTo, SeekTo, TopicConfig, TopicPartition,
};

use crate::{all_from, text};

const MINUTE: Duration = Duration::from_secs(60);
/// Past the tail, so that a batch is in a segment at once, and each in one of its own.
const BATCH_BYTES: usize = 70_000;

fn config() -> TopicConfig {
    TopicConfig::new().cleanup_policy(CleanupPolicy::Compact).segment_bytes(1024)
}

fn builder(disk: &SimulatedDisk) -> BrokerBuilder {
    Broker::builder("/data").disk(disk).durability(Durability::Os).background(false)
}

fn states(broker: &Broker) -> Partition {
    broker.topic("states").unwrap().partition(0).unwrap()
}

fn states_0() -> TopicPartition {
    TopicPartition::new("states", 0)
}

/// A broker with the topic `states`, and its partition.
fn world(config: TopicConfig) -> (SimulatedDisk, Broker, Partition) {
    let disk = SimulatedDisk::new(1);
    disk.set_now_ms(1_700_000_000_000);
    let broker = builder(&disk).open().unwrap();
    let partition = broker.create_topic("states", config).unwrap().partition(0).unwrap();
    (disk, broker, partition)
}

/// The same data directory, as another process sees it that does not write.
fn read_along(disk: &SimulatedDisk) -> (Broker, Partition) {
    let broker = builder(disk).recovery_mode(RecoveryMode::ReadOnly).open().unwrap();
    let partition = states(&broker);
    (broker, partition)
}

/// One batch, in a segment of its own: a record for each key, of which those that begin with `-` have no value. The value begins
/// with `round`.
fn send<K: AsRef<str>>(partition: &Partition, round: usize, keys: &[K]) {
    let value = format!("{round}.{}", "x".repeat(BATCH_BYTES / keys.len()));
    let record = |key: &K| {
        let key = key.as_ref().to_owned();
        match key.strip_prefix('-') {
            Some(key) => ProducerRecord::new().key(key.to_owned()),
            None => ProducerRecord::new().key(key).value(&value),
        }
    };
    partition.append_batch(&keys.iter().map(record).collect::<Vec<_>>()).unwrap();
}

fn offsets(records: &[OwnedRecord]) -> Vec<u64> {
    records.iter().map(OwnedRecord::offset).collect()
}

fn round(record: &OwnedRecord) -> usize {
    record.value_str().unwrap().split('.').next().unwrap().parse().unwrap()
}

fn compact(broker: &Broker) -> (u32, u64) {
    let report = broker.admin().compact("states").unwrap();
    assert!(report.is_complete(), "{report}");
    (report.partitions()[0].passes(), report.partitions()[0].records_removed())
}

fn is_tidy(disk: &SimulatedDisk) -> bool {
    let waits = |path: &std::path::Path| path.extension().is_some_and(|end| end == "cleaned" || end == "swap");
    !disk.files().iter().any(|(path, _)| waits(path))
}

fn keys(range: std::ops::Range<usize>) -> Vec<String> {
    range.map(|key| format!("{key:04}")).collect()
}

#[test]
fn records_without_a_key_are_refused_by_every_call_and_nothing_is_appended() {
    let broker = Broker::temporary().unwrap();
    let topic = broker.create_topic("states", config().partitions(3)).unwrap();
    let producer = broker.producer();
    let keyed = || ProducerRecord::to("states").key("k").value("v");
    let keyless = || ProducerRecord::to("states").value("v");
    let refused = [
        producer.send(keyless()).map(drop),
        producer.send_batch("states", &[keyed(), keyless()]).map(drop),
        producer.send_batch("states", &[keyed().partition(0), keyed().partition(1), keyless().partition(2)]).map(drop),
        topic.partition(1).unwrap().append(&keyless()).map(drop),
        topic.partition(1).unwrap().append_batch(&[keyed(), keyless()]).map(drop),
    ];
    for refused in refused {
        let Err(Error::InvalidRecord { reason, .. }) = refused else { panic!("{refused:?}") };
        assert!(reason.contains("cleanup.policy"), "{reason}");
    }
    assert!(topic.partitions().all(|partition| partition.log_end_offset() == 0));
    topic.produce("k", "v").unwrap();
    producer.send(ProducerRecord::to("states").key("k")).unwrap();
    broker.topic("log").unwrap();
    producer.send(ProducerRecord::to("log").value("v")).unwrap();
}

#[test]
fn what_cannot_be_compacted_is_refused_and_says_why() {
    let broker = Broker::temporary().unwrap();
    let admin = broker.admin();
    broker.topic("log").unwrap();
    let refused = admin.compact("log").unwrap_err();
    assert!(matches!(refused, Error::InvalidConfig { key: "cleanup.policy", .. }), "{refused}");
    assert!(matches!(admin.compact("nowhere"), Err(Error::UnknownTopic { .. })));
    drop(broker.consumer("g", ["log"]).unwrap());
    assert!(matches!(admin.compact("__consumer_offsets"), Err(Error::InvalidTopic { .. })));
    let states = broker.create_topic("states", config()).unwrap();
    let left_out = |broker: &Broker| {
        let report = broker.admin().compact("states").unwrap();
        assert!(report.is_complete());
        assert!(matches!(report.partitions()[0].left_out(), Some(LeftOut::NothingClosed)), "{report}");
    };
    left_out(&broker);
    states.produce("k", "in the active segment").unwrap();
    left_out(&broker);
    let lags = TopicConfig::new().min_compaction_lag_ms(2 * MINUTE).max_compaction_lag_ms(MINUTE);
    let refused = broker.create_topic("other", lags).unwrap_err();
    assert!(matches!(refused, Error::InvalidConfig { key: "min.compaction.lag.ms", .. }), "{refused}");
    let builder = Broker::builder("nowhere").set("log.cleaner.io.max.bytes.per.second", "0").unwrap();
    let refused = builder.open().unwrap_err();
    assert!(matches!(refused, Error::InvalidConfig { key: "log.cleaner.io.max.bytes.per.second", .. }), "{refused}");
}

#[test]
fn the_ratio_decides_when_and_the_lags_decide_what() {
    let lags = |min, max| config().min_compaction_lag_ms(min).max_compaction_lag_ms(max);
    let (disk, broker, partition) = world(lags(10 * MINUTE, 60 * MINUTE).min_cleanable_dirty_ratio(0.9));
    let maintained = || {
        broker.run_maintenance().unwrap();
        offsets(&all_from(&partition, 0))
    };
    for number in 0..3 {
        send(&partition, number, &["a"]);
    }
    assert_eq!(maintained(), [0, 1, 2], "too young");
    let report = broker.admin().compact("states").unwrap();
    assert!(matches!(report.partitions()[0].left_out(), Some(LeftOut::TooYoung(_))), "{report}");
    assert!(!report.is_complete());
    disk.advance(10 * MINUTE);
    assert_eq!(maintained(), [1, 2]);
    send(&partition, 3, &["b"]);
    send(&partition, 4, &["a"]);
    disk.advance(49 * MINUTE);
    assert_eq!(maintained(), [1, 2, 3, 4], "two of three are not nine of ten");
    disk.advance(MINUTE);
    assert_eq!(maintained(), [2, 3, 4], "too old to wait");
}

#[test]
fn k9_04_records_deleted_up_to_the_middle_of_a_batch() {
    let (disk, broker, partition) = world(config());
    send(&partition, 0, &keys(0..10));
    send(&partition, 1, &keys(5..10));
    let delete_before = |broker: &Broker, offset| broker.admin().delete_records(&[(states_0(), offset)]);
    assert_eq!(delete_before(&broker, 12).unwrap()[0].1, 12);
    broker.run_maintenance().unwrap();
    let report = broker.admin().compact("states").unwrap();
    assert!(matches!(report.partitions()[0].left_out(), Some(LeftOut::NothingClosed)), "{report}");
    let holds = |partition: &Partition| {
        assert_eq!((partition.log_start_offset(), partition.log_end_offset()), (12, 15));
        assert_eq!(offsets(&all_from(partition, 12)), [12, 13, 14]);
        assert!(matches!(partition.read(11, 1), Err(Error::OffsetOutOfRange { .. })));
    };
    holds(&partition);
    holds(&read_along(&disk).1);
    let is_log = |path: &std::path::Path| path.extension().is_some_and(|end| end == "log");
    let logs = disk.files().into_iter().filter(|(path, _)| path.starts_with("/data/states-0") && is_log(path)).count();
    assert_eq!(logs, 1, "the files of the first segment are gone");
    drop((broker, partition));
    for image in [disk.kill(1), disk.kill(2)] {
        let broker = builder(&image).open().unwrap();
        holds(&states(&broker));
        assert_eq!(delete_before(&broker, 8).unwrap()[0].1, 12);
        let refused = delete_before(&broker, 16).unwrap_err();
        let bounds =
            |error: &Error| matches!(error, Error::OffsetOutOfRange { log_start_offset: 12, log_end_offset: 15, .. });
        assert!(bounds(&refused), "{refused}");
        holds(&states(&broker));
        // No key comes back whose last record is deleted.
        send(&states(&broker), 2, &keys(20..22));
        compact(&broker);
        assert_eq!(offsets(&all_from(&states(&broker), 12)), [12, 13, 14, 15, 16]);
    }
}

#[test]
fn k9_05_one_bad_segment_stops_nobody_else_and_is_not_tried_for_ever() {
    let disk = SimulatedDisk::new(1);
    let broker = builder(&disk).open().unwrap();
    let config = config().cleanup_policy(CleanupPolicy::CompactAndDelete).min_compaction_lag_ms(MINUTE);
    let [a, b] = ["a", "b"].map(|name| broker.create_topic(name, config.clone()).unwrap().partition(0).unwrap());
    let both = |round: usize| {
        send(&a, round, &keys(0..100));
        send(&b, round, &keys(0..100));
    };
    both(0);
    both(1);
    broker.run_maintenance().unwrap();
    let bad = "/data/a-0/00000000000000000000.log";
    assert!(disk.flip_bit(bad, 500, 3));
    let before = disk.read(bad).unwrap();
    for number in 2..5 {
        both(number);
        disk.advance(MINUTE);
        let refused = broker.run_maintenance().unwrap_err();
        assert!(matches!(refused, Error::Corrupt(_)), "{refused}");
        let end = b.log_end_offset();
        assert_eq!(all_from(&b, 0).first().unwrap().offset(), end - 200, "the other one is compacted");
        assert_eq!(disk.read(bad).unwrap(), before);
        assert_eq!(all_from(&a, 100).len() as u64, end - 100);
        let health = broker.admin().health().to_string();
        assert!(health.contains("a-0") && health.contains("00000000000000000000.log"), "{health}");
        // And not again until there is more.
        let calls = disk.calls();
        broker.run_maintenance().unwrap();
        assert_eq!(disk.calls(), calls);
        assert!(broker.admin().health().to_string().contains("a-0"), "it is still so");
    }
    assert!(is_tidy(&disk));
    assert!(disk.flip_bit(bad, 500, 3));
    let report = broker.admin().compact("a").unwrap();
    assert!(report.is_complete() && report.partitions()[0].records_removed() == 300, "{report}");
    broker.run_maintenance().unwrap();
    assert!(broker.admin().health().is_healthy(), "{}", broker.admin().health());
}

#[test]
fn k9_06_more_keys_in_one_segment_than_memory_holds() {
    let small = |disk: &SimulatedDisk| builder(disk).cleaner_dedupe_buffer_bytes(100 * 68).open().unwrap();
    let disk = SimulatedDisk::new(1);
    let broker = small(&disk);
    let partition = broker.create_topic("states", config()).unwrap().partition(0).unwrap();
    let twice: Vec<String> = keys(0..1000).into_iter().chain(keys(0..1000)).collect();
    send(&partition, 0, &twice);
    send(&partition, 1, &["other"]);
    drop((broker, partition));
    let whole = disk.kill(1);
    // The newest value of each key, whatever was removed before.
    let is_right = |partition: &Partition| {
        let found = all_from(partition, 0);
        assert!(found.is_sorted_by_key(OwnedRecord::offset));
        let last: HashMap<_, _> =
            found.iter().map(|record| (record.key().unwrap().to_vec(), record.offset())).collect();
        assert!(keys(0..1000).iter().zip(1000..).all(|(key, offset)| last[key.as_bytes()] == offset));
    };
    let finished = |broker: &Broker| {
        let (passes, removed) = compact(broker);
        assert_eq!(offsets(&all_from(&states(broker), 0)), (1000..=2000).collect::<Vec<_>>());
        (passes, removed)
    };
    let one = whole.kill(1);
    let broker = small(&one);
    let calls = one.calls();
    let (passes, removed) = finished(&broker);
    assert!((10..=40).contains(&passes), "{passes}");
    assert_eq!(removed, 1000);
    let calls = one.calls() - calls;
    for part in 1..20 {
        let stopped = whole.kill(1);
        let broker = small(&stopped);
        let mut reader = states(&broker).iter_from(0);
        let first = reader.next().unwrap().unwrap();
        stopped.stop_after(stopped.calls() + calls * part / 20);
        let report = broker.admin().compact("states").unwrap();
        assert!(!report.is_complete(), "{report}");
        drop(reader);
        assert_eq!(first.offset(), 0);
        drop(broker);
        let broker = small(&stopped.kill(part));
        is_right(&states(&broker));
        finished(&broker);
    }
}

#[test]
fn k9_07_tombstones_stay_for_their_time_and_no_longer() {
    let (disk, broker, partition) = world(config().delete_retention_ms(60 * MINUTE));
    send(&partition, 0, &["k", "-k"]);
    send(&partition, 1, &["other"]);
    let left = |broker: &Broker| offsets(&all_from(&states(broker), 0));
    assert_eq!(left(&broker), [0, 1, 2]);
    assert_eq!(compact(&broker), (1, 1));
    assert_eq!(left(&broker), [1, 2]);
    disk.advance(30 * MINUTE);
    assert_eq!(compact(&broker), (1, 0));
    assert_eq!(left(&broker), [1, 2]);
    disk.advance(29 * MINUTE);
    drop(partition);
    broker.close().unwrap();
    let copy = disk.kill(7);
    let broker = builder(&copy).open().unwrap();
    assert_eq!(compact(&broker), (1, 0));
    assert_eq!(left(&broker), [1, 2], "no pass has moved the horizon");
    // By itself, also after a reopening, though nothing was sent.
    for is_reopened in [false, true] {
        let image = copy.kill(1);
        let mut broker = builder(&image).open().unwrap();
        image.advance(2 * MINUTE);
        if is_reopened {
            broker.close().unwrap();
            broker = builder(&image).open().unwrap();
        }
        broker.run_maintenance().unwrap();
        assert_eq!(left(&broker), [2]);
        let calls = image.calls();
        broker.run_maintenance().unwrap();
        assert_eq!(image.calls(), calls, "and then there is nothing to do");
    }
}

#[test]
fn k9_07_the_last_pass_over_an_idle_topic_comes_by_itself() {
    let broker = Broker::temporary().unwrap();
    let retention = Duration::from_millis(20);
    let partition =
        broker.create_topic("states", config().delete_retention_ms(retention)).unwrap().partition(0).unwrap();
    send(&partition, 0, &["k", "-k"]);
    send(&partition, 1, &["other"]);
    let begin = Instant::now();
    while offsets(&all_from(&partition, 0)) != [2] {
        assert!(begin.elapsed() < 2 * MINUTE, "{:?}", offsets(&all_from(&partition, 0)));
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn k9_08_a_gap_at_the_end_of_a_segment_is_passed_over_at_once() {
    for is_all_gone in [false, true] {
        let (disk, broker, partition) = world(config());
        let mut first: Vec<&str> = if is_all_gone { vec!["a"; 6] } else { vec!["0", "1", "2", "3", "4", "5"] };
        first.extend(["a", "b", "a", "b"]);
        send(&partition, 0, &first);
        send(&partition, 1, &["a", "b"]);
        send(&partition, 2, &["c"]);
        let (along, followed) = read_along(&disk);
        let consumer = |broker: &Broker, group: &str, position| {
            let mut consumer = broker.consumer_with(ConsumerConfig::new(group)).unwrap();
            consumer.assign(&[states_0()]).unwrap();
            consumer.seek(&states_0(), SeekTo::Offset(position)).unwrap();
            consumer
        };
        let mut consumers = vec![consumer(&broker, "seven", 7), consumer(&along, "along", 7)];
        broker.admin().reset_offsets("nine").partition(states_0()).to(ResetTo::Offset(9)).execute().unwrap();
        compact(&broker);
        let mut nine = broker.consumer_with(ConsumerConfig::new("nine")).unwrap();
        nine.assign(&[states_0()]).unwrap();
        consumers.extend([consumer(&broker, "eight", 8), consumer(&along, "eight", 8), nine]);
        for consumer in &mut consumers {
            let records = consumer.poll(Duration::ZERO).unwrap();
            assert_eq!(records.iter().map(|record| record.offset()).collect::<Vec<_>>(), [10, 11, 12]);
            assert_eq!(consumer.position(&states_0()), Some(13));
            assert_eq!(consumer.lag(&states_0()), Some(0));
        }
        for partition in [&partition, &followed] {
            for from in 6..=10 {
                assert_eq!(offsets(&all_from(partition, from)), [10, 11, 12]);
                assert_eq!(partition.read(from, 1).unwrap().iter().next().unwrap().offset(), 10);
            }
            let kept: &[u64] = if is_all_gone { &[10, 11, 12] } else { &[0, 1, 2, 3, 4, 5, 10, 11, 12] };
            assert_eq!(offsets(&all_from(partition, 0)), kept);
        }
    }
}

#[test]
fn k9_09_a_scan_that_crosses_the_exchange_of_segments() {
    let (disk, broker, partition) = world(config());
    let all: Vec<String> = (0..100).map(|offset| (offset % 10).to_string()).collect();
    for (number, keys) in all[..90].chunks(18).enumerate() {
        send(&partition, number, keys);
    }
    send(&partition, 5, &all[90..]);
    let (along, followed) = read_along(&disk);
    let mut scans = [partition.iter_from(45), followed.iter_from(45)];
    let mut expected = 45;
    for scan in &mut scans {
        assert_eq!(scan.next().unwrap().unwrap().offset(), expected);
    }
    expected += 1;
    let mut consumers = [&broker, &along].map(|broker| {
        let config = ConsumerConfig::new("g").max_poll_records(5);
        let mut consumer = broker.consumer_with(config).unwrap();
        consumer.assign(&[states_0()]).unwrap();
        consumer.seek(&states_0(), SeekTo::Offset(40)).unwrap();
        let held = consumer.poll(Duration::ZERO).unwrap();
        (consumer, held)
    });
    assert_eq!(compact(&broker), (1, 80));
    let is_right = |found: &[u64]| {
        assert!(found.is_sorted_by(|a, b| a < b), "{found:?}");
        assert!(found.iter().all(|&offset| offset >= expected - 1));
        assert!((90..100).all(|offset| found.contains(&offset)), "{found:?}");
    };
    for scan in scans {
        is_right(&scan.map(|record| record.unwrap().offset()).collect::<Vec<_>>());
    }
    for (consumer, held) in &mut consumers {
        assert_eq!(held.iter().map(|record| record.offset()).collect::<Vec<_>>(), [40, 41, 42, 43, 44]);
        let is_whole = |value: &str| value.starts_with("2.x") && value.len() == 2 + BATCH_BYTES / 18;
        assert!(held.iter().all(|record| is_whole(record.value_str().unwrap())), "the held records are as they were");
        let mut found = Vec::new();
        loop {
            let records = consumer.poll(Duration::ZERO).unwrap();
            if records.is_empty() {
                break;
            }
            found.extend(records.iter().map(|record| record.offset()));
        }
        is_right(&found);
    }
    for partition in [&partition, &followed] {
        let last: Vec<_> = all_from(partition, 0).iter().filter(|record| record.offset() >= 90).map(round).collect();
        assert_eq!(last, [5; 10]);
    }
}

#[test]
fn k9_13_on_a_full_disk_compaction_waits_for_room_and_harms_nothing() {
    let (disk, broker, partition) = world(config().min_compaction_lag_ms(MINUTE));
    for number in 0..5 {
        send(&partition, number, &keys(8 * number..8 * number + 10));
    }
    broker.run_maintenance().unwrap();
    disk.advance(MINUTE);
    disk.limit_capacity(Some(disk.used_bytes() + (100 << 10)));
    let cleaned_writes = || {
        let is_try = |path: &std::path::Path| path.to_str().is_some_and(|path| path.contains("cleaned"));
        disk.log().iter().filter(|call| call.operation == Operation::Write && is_try(&call.path)).count()
    };
    for number in 0..10 {
        let tried = broker.run_maintenance();
        assert_eq!(matches!(tried, Err(Error::DiskFull { .. })), number == 0, "{tried:?}");
        assert!(is_tidy(&disk));
        let health = broker.admin().health().to_string();
        assert!(health.contains("states-0") && health.contains("room for 280"), "{health}");
        assert_eq!(all_from(&partition, 0).len(), 50);
        assert_eq!(text(all_from(&partition, 49)[0].key().unwrap()), "0041");
    }
    partition.append(&ProducerRecord::new().key("small").value("fits")).unwrap();
    let before = cleaned_writes();
    broker.run_maintenance().unwrap();
    assert!(0 < before && cleaned_writes() == before);
    disk.advance(Duration::from_secs(15));
    assert!(broker.run_maintenance().is_err());
    assert!(before < cleaned_writes());
    disk.limit_capacity(Some(disk.used_bytes() + (1 << 20)));
    broker.run_maintenance().unwrap();
    assert_eq!(all_from(&partition, 0).len(), 51, "not before it is time");
    disk.advance(Duration::from_secs(15));
    broker.run_maintenance().unwrap();
    assert_eq!(all_from(&partition, 0).len(), 45);
    assert!(broker.admin().health().is_healthy() && is_tidy(&disk));
}

#[test]
fn a_fault_of_the_disk_is_tried_again_after_a_while() {
    let (disk, broker, partition) = world(config());
    for number in 0..3 {
        send(&partition, number, &["k"]);
    }
    disk.fail(FaultRule::new(FaultKind::InputOutput).on(Operation::Write).path_containing(".cleaned"));
    assert!(broker.run_maintenance().is_err());
    assert!(broker.admin().health().to_string().contains("compaction of states-0"));
    broker.run_maintenance().unwrap();
    assert_eq!(all_from(&partition, 0).len(), 3);
    disk.advance(Duration::from_secs(15));
    broker.run_maintenance().unwrap();
    assert_eq!(all_from(&partition, 0).len(), 2);
}
