//! A bound for all that a broker takes on the disk: what goes for it and what never does, what is refused, and that the figure is true.
//!
//! Functions named `k9_…` are the known failures of that number.

use std::path::Path;
use std::time::Duration;

use ottla::testing::SimulatedDisk;
use ottla::{
    Broker, BrokerBuilder, BudgetPolicy, CleanupPolicy, Compression, ConsumerConfig, Durability, Error, OffsetReset,
    Partition, ProducerRecord, SeekTo, SendOutcome, TopicConfig,
};

use crate::all_from;

const MIB: u64 = 1 << 20;
const HOUR: Duration = Duration::from_secs(3600);
/// Past the tail, so that each is in a segment at once.
const LARGE: usize = 70_000;

fn new_disk() -> SimulatedDisk {
    let disk = SimulatedDisk::new(1);
    disk.set_now_ms(1_700_000_000_000);
    disk
}

fn builder(disk: &SimulatedDisk) -> BrokerBuilder {
    Broker::builder("/data").disk(disk).durability(Durability::Os).background(false).tail_bytes(MIB)
}

fn topic(broker: &Broker, name: &str, config: TopicConfig) -> Partition {
    broker.create_topic(name, config).unwrap().partition(0).unwrap()
}

fn segments_of(bytes: u64) -> TopicConfig {
    TopicConfig::new().segment_bytes(u32::try_from(bytes).unwrap())
}

fn send(partition: &Partition, bytes: usize) -> ottla::Result<u64> {
    partition.append(&ProducerRecord::new().key("k").value(vec![b'x'; bytes]))
}

fn used(broker: &Broker) -> u64 {
    broker.admin().disk_usage().unwrap().used_bytes()
}

/// The figure is what the files take.
fn check(broker: &Broker, disk: &SimulatedDisk) -> u64 {
    let found = disk.allocated_bytes("/data");
    assert_eq!(used(broker), found);
    found
}

/// Sends until there is no room, and returns why.
fn fill(partition: &Partition) -> Error {
    loop {
        if let Err(error) = send(partition, LARGE) {
            return error;
        }
    }
}

fn is_over_budget(error: &Error) -> bool {
    matches!(error, Error::OverBudget { .. }) && error.is_retriable() && error.outcome() == SendOutcome::NotAppended
}

/// Known failure 9.10.
#[test]
fn k9_10_neither_retention_nor_a_budget_takes_the_last_value_of_a_key_or_what_groups_have_committed() {
    let disk = new_disk();
    let defaults = segments_of(64 << 10).retention_ms(HOUR).segment_ms(HOUR / 2);
    let open = || {
        let builder = builder(&disk).topic_defaults(defaults.clone());
        builder.disk_budget(6 * MIB, BudgetPolicy::DropOldest).open().unwrap()
    };
    let broker = open();
    let state = topic(&broker, "state", defaults.clone().cleanup_policy(CleanupPolicy::Compact));
    let both = topic(&broker, "both", defaults.clone().cleanup_policy(CleanupPolicy::CompactAndDelete));
    let log = topic(&broker, "log", segments_of(64 << 10));
    assert_eq!(broker.admin().describe("state").unwrap().settings_without_effect(), ["retention.ms"]);
    assert!(broker.admin().describe("both").unwrap().settings_without_effect().is_empty());
    for partition in [&state, &both] {
        partition.append(&ProducerRecord::new().key("k").value("v")).unwrap();
    }
    let mut consumer = broker.consumer("g", ["log"]).unwrap();
    send(&log, 10).unwrap();
    assert_eq!(consumer.poll(Duration::ZERO).unwrap().len(), 1);
    consumer.commit().unwrap();
    drop(consumer);
    let orders = log.topic_partition().clone();
    for day in 0..365 {
        disk.advance(24 * HOUR);
        // Some days, and then a lot: all of the budget several times.
        for _ in 0..if day % 50 == 0 { 100 } else { 1 } {
            send(&log, LARGE).unwrap();
        }
        broker.run_maintenance().unwrap();
        assert!(check(&broker, &disk) <= 6 * MIB + (64 << 10), "day {day}");
    }
    assert!(log.log_start_offset() > 500);
    let value = |partition: &Partition| {
        let found = all_from(partition, partition.log_start_offset());
        found.iter().find_map(|record| record.value().map(<[u8]>::to_vec))
    };
    assert_eq!((value(&state), value(&both)), (Some(b"v".to_vec()), None), "`compact,delete` is deleted after an hour");
    let group = broker.admin().describe_group("g").unwrap();
    assert_eq!(group.partitions()[0].committed().unwrap().offset(), 1);
    // Now nothing may go: all that is there is of a compacted topic.
    let error = loop {
        let key = format!("{}", state.log_end_offset());
        let value = vec![b'x'; LARGE];
        match state.append(&ProducerRecord::new().key(&key).value(&value)) {
            Err(error) => break error,
            Ok(_) => assert!(check(&broker, &disk) <= 6 * MIB + (64 << 10)),
        }
    };
    assert!(is_over_budget(&error), "{error:?}");
    assert!(matches!(send(&log, LARGE), Err(Error::OverBudget { .. })));
    assert_eq!(log.log_start_offset(), log.log_end_offset(), "of the log nothing is left");
    assert!(matches!(broker.admin().health().over_budget, Some(Error::OverBudget { .. })));
    drop((state, both, log));
    broker.close().unwrap();
    let broker = open();
    let state = broker.existing_topic("state").unwrap().partition(0).unwrap();
    assert_eq!(value(&state), Some(b"v".to_vec()));
    let mut consumer = broker.consumer("g", ["log"]).unwrap();
    assert_eq!(consumer.committed(&orders).unwrap().unwrap().offset(), 1);
    consumer.poll(Duration::ZERO).unwrap();
    consumer.commit().unwrap();
    assert!(disk.allocated_bytes("/data") <= 6 * MIB + (64 << 10));
}

/// Known failure 9.12.
#[test]
fn k9_12_the_figure_is_what_lies_on_the_disk_and_the_oldest_goes_no_sooner_than_it_must() {
    let disk = new_disk();
    let broker = builder(&disk).open().unwrap();
    let logs = ["a", "b"].map(|name| topic(&broker, name, segments_of(MIB)));
    let states = topic(&broker, "states", segments_of(MIB).cleanup_policy(CleanupPolicy::Compact));
    while disk.allocated_bytes("/data") < 13 * MIB + MIB / 2 {
        // The one is older than the other, all the time.
        for log in &logs {
            disk.advance(Duration::from_secs(1));
            send(log, LARGE).unwrap();
        }
        if states.log_end_offset() < 20 {
            send(&states, LARGE).unwrap();
        }
    }
    drop((logs, states));
    broker.close().unwrap();
    // As recovery and a killed pass of compaction leave it.
    disk.put("/data/a-0/00000000000000000000.log.12.quarantine", &vec![7; 500_000]);
    disk.put("/data/states-0/00000000000000000000.log.cleaned", &vec![7; 500_000]);
    let broker = builder(&disk).disk_budget(16 * MIB, BudgetPolicy::DropOldest).open().unwrap();
    let [states, a, b] = ["states", "a", "b"].map(|name| broker.existing_topic(name).unwrap().partition(0).unwrap());
    let logs = [a, b];
    let mut before = check(&broker, &disk);
    assert!(!disk.files().iter().any(|(path, _)| path.extension().is_some_and(|end| end == "cleaned")));
    let starts = || logs.each_ref().map(Partition::log_start_offset);
    let mut gone = 0;
    for number in 0..60 {
        let old = starts();
        disk.advance(Duration::from_secs(1));
        send(&logs[number % 2], LARGE).unwrap();
        let after = check(&broker, &disk);
        assert!(after <= 17 * MIB);
        if starts() != old {
            // With what is kept for internal topics, and the batch that comes.
            assert!(before + MIB + 2 * LARGE as u64 > 16 * MIB, "{before} bytes were no reason");
            assert!(after > 13 * MIB, "{after} bytes are left");
            // One segment, and of the one that is older.
            let moved: Vec<usize> = (0..2).filter(|&log| starts()[log] != old[log]).collect();
            assert_eq!(moved, [usize::from(old[1] < old[0])]);
            gone += 1;
        }
        before = after;
    }
    assert!(gone >= 3, "{gone}");
    broker.run_maintenance().unwrap();
    assert!(check(&broker, &disk) <= 16 * MIB);
    broker.admin().delete_topic("b").unwrap();
    check(&broker, &disk);
    let report = broker.admin().compact("states").unwrap();
    assert!(report.is_complete(), "{report}");
    let left = all_from(&states, 0).len();
    assert!(left < 10, "{left}");
    check(&broker, &disk);
    let left = broker.admin().describe("a").unwrap();
    assert!(left.allocated_bytes() >= left.partitions()[0].log_bytes() + 500_000, "what was quarantined counts");
    broker.close().unwrap();
    let broker = builder(&disk).disk_budget(16 * MIB, BudgetPolicy::DropOldest).open().unwrap();
    check(&broker, &disk);
}

/// Known failure 9.13, its second half.
#[test]
fn k9_13_compaction_waits_for_room_in_the_budget_and_nothing_goes_for_it() {
    let disk = new_disk();
    let budget = 8 * MIB;
    let broker = builder(&disk).disk_budget(budget, BudgetPolicy::DropOldest).open().unwrap();
    let config = segments_of(MIB).cleanup_policy(CleanupPolicy::Compact);
    let states = topic(&broker, "states", config.min_compaction_lag_ms(HOUR));
    let log = topic(&broker, "log", segments_of(MIB));
    // The tails have their room from here on.
    broker.run_maintenance().unwrap();
    // One segment is closed, and can be rewritten as a whole only.
    for _ in 0..16 {
        send(&states, LARGE).unwrap();
    }
    while used(&broker) + MIB + 3 * (LARGE as u64) < budget {
        send(&log, LARGE).unwrap();
    }
    broker.run_maintenance().unwrap();
    disk.advance(HOUR + Duration::from_secs(1));
    let (start, end) = (log.log_start_offset(), log.log_end_offset());
    let is_tidy = || {
        let waits = |path: &Path| path.extension().is_some_and(|end| end == "cleaned" || end == "swap");
        !disk.files().iter().any(|(path, _)| waits(path))
    };
    for number in 0..10 {
        let tried = broker.run_maintenance();
        assert_eq!(matches!(tried, Err(Error::OverBudget { .. })), number == 0, "{tried:?}");
        let health = broker.admin().health().to_string();
        assert!(health.contains("states-0") && health.contains("waits for room for"), "{health}");
        assert!(is_tidy() && check(&broker, &disk) <= budget);
        assert_eq!((log.log_start_offset(), all_from(&states, 0).len()), (start, 16));
    }
    send(&states, 10).unwrap();
    broker.admin().delete_records(&[(log.topic_partition().clone(), end)]).unwrap();
    broker.run_maintenance().unwrap();
    assert_eq!(all_from(&states, 0).len(), 17, "not before it is time");
    disk.advance(Duration::from_secs(15));
    broker.run_maintenance().unwrap();
    let left = all_from(&states, 0);
    // The last one of the closed segments, and what is not closed.
    assert!(left.len() <= 4 && left.iter().any(|record| record.offset() == 16), "{left:?}");
    assert!(broker.admin().health().is_healthy() && is_tidy());
    check(&broker, &disk);
}

/// Known failure 9.14.
#[test]
fn k9_14_a_group_that_fell_behind_is_told_by_its_policy() {
    for reset in [OffsetReset::Earliest, OffsetReset::Error, OffsetReset::Latest] {
        let disk = new_disk();
        let broker = builder(&disk).open().unwrap();
        let log = topic(&broker, "log", segments_of(1024));
        for _ in 0..2 {
            let value = vec![b'x'; 2000];
            log.append_batch(&[(); 50].map(|()| ProducerRecord::new().value(&value))).unwrap();
        }
        let here = log.topic_partition().clone();
        let config = ConsumerConfig::new("g").topics(["log"]).offset_reset(reset);
        let mut consumer = broker.consumer("g", ["log"]).unwrap();
        consumer.poll(Duration::ZERO).unwrap();
        consumer.seek(&here, SeekTo::Offset(5)).unwrap();
        consumer.commit().unwrap();
        drop(consumer);
        broker.admin().alter_topic("log", |config| config.retention_bytes(1)).unwrap();
        broker.run_maintenance().unwrap();
        assert_eq!((log.log_start_offset(), log.log_end_offset()), (50, 100));
        assert_eq!(broker.admin().describe_group("g").unwrap().total_lag(), 50);
        let mut consumer = broker.consumer_with(config).unwrap();
        match reset {
            OffsetReset::Error => {
                for _ in 0..3 {
                    let polled = consumer.poll(Duration::ZERO);
                    let Err(Error::OffsetOutOfRange {
                        requested: 5, log_start_offset: 50, log_end_offset: 100, ..
                    }) = polled
                    else {
                        panic!("{polled:?}");
                    };
                    consumer.commit().unwrap();
                    assert_eq!(consumer.committed(&here).unwrap().unwrap().offset(), 5);
                }
                consumer.seek(&here, SeekTo::Offset(50)).unwrap();
                assert_eq!(consumer.poll(Duration::ZERO).unwrap().iter().next().unwrap().offset(), 50);
            }
            OffsetReset::Latest => {
                assert!(consumer.poll(Duration::ZERO).unwrap().is_empty());
                assert_eq!(consumer.reset_count(), 1);
                log.append(&ProducerRecord::new().value("next")).unwrap();
                assert_eq!(consumer.poll(Duration::ZERO).unwrap().iter().next().unwrap().offset(), 100);
            }
            _ => {
                assert_eq!(consumer.poll(Duration::ZERO).unwrap().iter().next().unwrap().offset(), 50);
                assert_eq!(consumer.reset_count(), 1);
            }
        }
    }
}

#[test]
fn with_reject_nothing_goes_and_what_makes_room_still_works() {
    let disk = new_disk();
    let broker = builder(&disk).disk_budget(6 * MIB, BudgetPolicy::Reject).open().unwrap();
    let (log, other) = (topic(&broker, "log", segments_of(256 << 10)), topic(&broker, "other", segments_of(256 << 10)));
    send(&other, 10).unwrap();
    let error = fill(&log);
    assert!(is_over_budget(&error), "{error:?}");
    let text = error.to_string();
    assert!(text.contains("/data") && text.contains("ottla.disk.budget.bytes") && text.contains("6291456"), "{text}");
    assert_eq!(log.log_start_offset(), 0);
    let full = check(&broker, &disk);
    // All but what is kept for internal topics, the indexes of some twelve segments, which are not written yet, and a record.
    assert!((5 * MIB - 200_000..=5 * MIB).contains(&full), "{full}");
    send(&other, 10).expect("it fits its open batch");
    assert!(broker.admin().health().over_budget.is_some() && !broker.admin().health().is_healthy());
    let mut consumer = broker.consumer("g", ["log"]).unwrap();
    for number in 0..20 {
        assert!(!consumer.poll(Duration::ZERO).unwrap().is_empty() || number > 0);
        consumer.commit().unwrap();
        broker.run_maintenance().unwrap();
    }
    assert!(check(&broker, &disk) <= 6 * MIB);
    let end = log.log_end_offset();
    broker.admin().delete_records(&[(log.topic_partition().clone(), end / 2)]).unwrap();
    send(&log, LARGE).unwrap();
    assert!(broker.admin().health().is_healthy());
    assert!(is_over_budget(&fill(&log)));
    drop(log);
    broker.admin().delete_topic("log").unwrap();
    send(&other, LARGE).unwrap();
    check(&broker, &disk);
    broker.close().unwrap();
    assert!(disk.allocated_bytes("/data") <= 6 * MIB);
}

#[test]
fn without_a_thread_senders_make_room_for_themselves() {
    let disk = new_disk();
    let (budget, segment) = (5 * MIB, 128 << 10);
    let broker = builder(&disk).disk_budget(budget, BudgetPolicy::DropOldest).open().unwrap();
    let config = segments_of(segment).partitions(3);
    let topic = broker.create_topic("log", config).unwrap();
    let mut random = 1_u64;
    for number in 0..3000 {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let bytes = if number % 10 == 0 { LARGE } else { usize::try_from(random >> 52).unwrap() };
        let partition = topic.partition(u32::try_from(random >> 33).unwrap() % 3).unwrap();
        send(&partition, bytes).unwrap();
        assert!(check(&broker, &disk) <= budget + segment);
    }
    assert!(topic.partitions().all(|partition| 0 < partition.log_start_offset()));
    let kept: u64 = topic
        .partitions()
        .map(|partition| {
            broker.admin().describe("log").map_or(0, |found| {
                found.partitions()[partition.topic_partition().partition() as usize].allocated_bytes()
            })
        })
        .sum();
    assert!(kept > MIB, "no more went than had to: {kept}");
    broker.close().unwrap();
    assert!(disk.allocated_bytes("/data") <= budget + segment);
}

/// They are written later than what they point into, and together take more than segments as small as these.
#[test]
fn indexes_have_their_room_before_they_are_written() {
    let disk = new_disk();
    let budget = 8 * MIB;
    let broker = builder(&disk).disk_budget(budget, BudgetPolicy::Reject).open().unwrap();
    let log = topic(&broker, "log", segments_of(1024).compression(Compression::Snappy));
    assert!(is_over_budget(&fill(&log)));
    broker.run_maintenance().unwrap();
    assert!(check(&broker, &disk) <= budget);
    drop(log);
    broker.close().unwrap();
    assert!(disk.allocated_bytes("/data") <= budget);
}

/// Whichever of sender and thread comes first, neither lets it be exceeded by more than a segment.
#[test]
fn a_thread_and_a_sender_make_room_together_whichever_comes_first() {
    let disk = new_disk();
    let (budget, segment) = (5 * MIB, 256 << 10);
    let open = |background| {
        builder(&disk).background(background).disk_budget(budget, BudgetPolicy::DropOldest).open().unwrap()
    };
    let broker = open(true);
    let log = topic(&broker, "log", segments_of(segment));
    for sent in 0..400 {
        assert_eq!(send(&log, LARGE).unwrap(), sent);
        let found = disk.allocated_bytes("/data");
        assert!(found <= budget + segment, "{found} after {sent}");
    }
    drop(log);
    broker.close().unwrap();
    let log = open(false).existing_topic("log").unwrap().partition(0).unwrap();
    let start = log.log_start_offset();
    assert!(300 < start && start < 390, "{start}");
    assert_eq!(all_from(&log, start).len() as u64, 400 - start);
}

#[test]
fn a_smaller_budget_at_the_next_opening_takes_the_oldest_at_once() {
    let disk = new_disk();
    let broker = builder(&disk).open().unwrap();
    let config = segments_of(64 << 10);
    for name in ["first", "second"] {
        let log = topic(&broker, name, config.clone());
        for _ in 0..80 {
            disk.advance(Duration::from_secs(1));
            send(&log, LARGE).unwrap();
        }
    }
    broker.close().unwrap();
    let broker = builder(&disk).disk_budget(12 * MIB, BudgetPolicy::DropOldest).open().unwrap();
    assert!(check(&broker, &disk) > 12 * MIB);
    broker.run_maintenance().unwrap();
    // A tail gets the room that it was refused until then.
    disk.advance(Duration::from_secs(1));
    broker.run_maintenance().unwrap();
    let left = check(&broker, &disk);
    assert!((11 * MIB - 100_000..=11 * MIB).contains(&left), "{left}");
    let start = |name: &str| broker.existing_topic(name).unwrap().partition(0).unwrap().log_start_offset();
    assert_eq!(start("second"), 0, "all of the first one is older");
    assert!(start("first") > 20);
}

#[test]
fn what_a_budget_cannot_hold_is_refused_by_name_and_nothing_has_changed() {
    let disk = new_disk();
    let refused = |result: ottla::Result<Broker>| match result {
        Err(Error::InvalidConfig { key, reason, .. }) => (key, reason),
        other => panic!("{other:?}"),
    };
    let (key, reason) = refused(builder(&disk).disk_budget(MIB, BudgetPolicy::Reject).open());
    assert_eq!(key, "ottla.disk.budget.bytes");
    assert!(reason.contains("ottla.tail.bytes") && reason.contains("at least"), "{reason}");
    let (key, reason) = refused(builder(&disk).set("ottla.disk.budget.policy", "drop-oldest").unwrap().open());
    assert!(key == "ottla.disk.budget.policy" && reason.contains("ottla.disk.budget.bytes"), "{key}: {reason}");
    assert!(builder(&disk).set("ottla.disk.budget.policy", "drop").is_err());
    assert_eq!(disk.files(), []);
    let with_budget = || builder(&disk).set("ottla.disk.budget.bytes", "8388608").unwrap().open();
    let broker = with_budget().unwrap();
    assert_eq!(broker.admin().disk_usage().unwrap().policy(), Some(BudgetPolicy::Reject));
    let before = disk.files();
    for created in [broker.topic("log").map(drop), broker.create_topic("log", segments_of(6 * MIB)).map(drop)] {
        let Err(Error::InvalidConfig { key: "segment.bytes", reason, .. }) = created else { panic!("{created:?}") };
        assert!(reason.contains("ottla.disk.budget.bytes=8388608"), "{reason}");
    }
    assert_eq!(disk.files(), before);
    broker.create_topic("log", segments_of(MIB)).unwrap();
    let altered = broker.admin().alter_topic("log", |config| config.segment_bytes(6 << 20));
    assert!(matches!(altered, Err(Error::InvalidConfig { key: "segment.bytes", .. })), "{altered:?}");
    assert_eq!(broker.existing_topic("log").unwrap().config().get_segment_bytes(), 1 << 20);
    broker.close().unwrap();
    let broker = builder(&disk).open().unwrap();
    broker.admin().alter_topic("log", |config| config.segment_bytes(6 << 20)).unwrap();
    broker.close().unwrap();
    let before = disk.kill(0);
    let (key, reason) = refused(with_budget());
    assert!(key == "ottla.disk.budget.bytes" && reason.contains("\"log\""), "{key}: {reason}");
    let changed = disk.differing_files(&before);
    assert!(changed.iter().all(|path| path.ends_with("ottla.lock")), "{changed:?}");
    builder(&disk).open().unwrap();
}

#[test]
fn a_tail_gets_its_room_in_the_budget_too() {
    let disk = new_disk();
    let budget = 12 * MIB;
    let open = builder(&disk).tail_bytes(3 * MIB).disk_budget(budget, BudgetPolicy::DropOldest).open();
    let broker = open.unwrap();
    let log = topic(&broker, "log", segments_of(64 << 10));
    let many = broker.create_topic("many", segments_of(64 << 10).partitions(400)).unwrap();
    while log.log_start_offset() == 0 {
        send(&log, LARGE).unwrap();
    }
    // A slot for each, of which the tail has not as many yet.
    for partition in many.partitions() {
        send(&partition, 10).unwrap();
        assert!(check(&broker, &disk) <= budget + (64 << 10));
    }
    for _ in 0..5 {
        disk.advance(Duration::from_secs(1));
        broker.run_maintenance().unwrap();
        assert!(check(&broker, &disk) <= budget + (64 << 10));
    }
    for partition in many.partitions() {
        send(&partition, 10).unwrap();
        assert_eq!(all_from(&partition, 0).len(), 2);
    }
    assert!(check(&broker, &disk) <= budget + (64 << 10));
}

/// On this machine's disk, with threads.
#[cfg(unix)]
mod on_this_machine {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    /// What the system says of all files.
    fn allocated(dir: &Path) -> u64 {
        let entries = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap());
        let bytes = |entry: std::fs::DirEntry| match entry.metadata().unwrap() {
            metadata if metadata.is_dir() => allocated(&entry.path()),
            metadata => metadata.blocks() * 512,
        };
        entries.map(bytes).sum()
    }

    #[test]
    fn the_figure_is_what_the_system_says_and_a_writer_at_full_speed_stays_within_a_segment() {
        let dir = tempfile::tempdir().unwrap();
        let (budget, segment) = (16 * MIB, MIB);
        let open = |background| {
            let builder = Broker::builder(dir.path()).durability(Durability::Os).tail_bytes(MIB).background(background);
            builder.disk_budget(budget, BudgetPolicy::DropOldest).open().unwrap()
        };
        let broker = open(true);
        let topic = broker.create_topic("log", segments_of(segment).partitions(2)).unwrap();
        let mut consumer = broker.consumer("g", ["log"]).unwrap();
        std::thread::scope(|scope| {
            for partition in topic.partitions() {
                scope.spawn(move || {
                    for _ in 0..20_000 {
                        send(&partition, 1500).unwrap();
                    }
                });
            }
            for _ in 0..200 {
                _ = consumer.poll(Duration::from_millis(1));
                _ = consumer.commit();
                let used = used(&broker);
                assert!(used <= budget + segment, "{used}");
            }
        });
        assert!(used(&broker) <= budget + segment);
        assert!(topic.partitions().all(|partition| 0 < partition.log_start_offset()));
        drop((topic, consumer));
        broker.close().unwrap();
        // With nothing in the background, nothing changes between the two looks.
        let broker = open(false);
        assert_eq!(used(&broker), allocated(dir.path()));
        let log = broker.existing_topic("log").unwrap().partition(0).unwrap();
        for _ in 0..200 {
            send(&log, LARGE).unwrap();
        }
        broker.run_maintenance().unwrap();
        broker.flush().unwrap();
        assert_eq!(used(&broker), allocated(dir.path()));
        broker.admin().delete_topic("log").unwrap();
        broker.flush().unwrap();
        assert_eq!(used(&broker), allocated(dir.path()));
    }
}
