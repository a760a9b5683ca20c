//! The durability of a topic is altered while it is in use: the next send obeys, what was promised before stays promised, and nobody
//! who has seen a record is sent back.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use ottla::testing::{CrashModel, FaultKind, FaultRule, Operation, SimulatedDisk};
use ottla::{
    Broker, BrokerBuilder, ConsumerConfig, Durability, Error, OwnedRecord, Partition, ProducerRecord, RecoveryMode,
    TopicConfig,
};

use crate::all_from;

const INTERVAL: Durability = Durability::Interval(Duration::from_secs(1));

fn builder(disk: &SimulatedDisk) -> BrokerBuilder {
    Broker::builder("/data").background(false).disk(disk)
}

fn open(disk: &SimulatedDisk) -> Broker {
    builder(disk).open().unwrap()
}

fn create(broker: &Broker, durability: Durability) -> Partition {
    let config = TopicConfig::new().durability(durability).segment_bytes(20_000);
    broker.create_topic("orders", config).unwrap().partition(0).unwrap()
}

fn orders(broker: &Broker) -> Partition {
    broker.existing_topic("orders").unwrap().partition(0).unwrap()
}

fn alter(broker: &Broker, durability: Durability) {
    broker.admin().alter_topic("orders", |config| config.durability(durability)).unwrap();
}

/// Appends so many records, and returns the log end.
fn append(partition: &Partition, count: u64) -> u64 {
    for _ in 0..count {
        partition.append(&ProducerRecord::new().value(&[7; 50])).unwrap();
    }
    partition.log_end_offset()
}

fn count_after(disk: &SimulatedDisk) -> u64 {
    let log = orders(&open(disk));
    let offsets: Vec<_> = all_from(&log, 0).iter().map(OwnedRecord::offset).collect();
    assert_eq!(offsets, (0..log.log_end_offset()).collect::<Vec<_>>());
    log.log_end_offset()
}

/// The fewest records that any power cut leaves.
fn surviving(disk: &SimulatedDisk) -> u64 {
    let cuts = (0..5).flat_map(|seed| CrashModel::ALL.map(|model| disk.crash(seed, model)));
    cuts.map(|image| count_after(&image)).min().unwrap()
}

#[test]
fn the_next_send_obeys_and_what_was_sent_before_is_settled() {
    let disk = SimulatedDisk::new(1);
    let broker = open(&disk);
    let log = create(&broker, Durability::Os);
    append(&log, 10);
    assert!(log.durable_offset() < 10);
    for (round, from) in [Durability::Os, INTERVAL, Durability::Os].into_iter().enumerate() {
        alter(&broker, Durability::Always);
        let end = log.log_end_offset();
        assert_eq!((log.durable_offset(), surviving(&disk)), (end, end), "{from}, round {round}");
        for _ in 0..5 {
            let end = append(&log, 1);
            assert_eq!((log.durable_offset(), surviving(&disk)), (end, end), "{from}, round {round}");
        }
        alter(&broker, from);
        let promised = log.log_end_offset();
        let end = append(&log, 30);
        assert!(log.durable_offset() < end, "nothing is synced for nobody");
        assert_eq!(all_from(&log, 0).len() as u64, end, "and seen all the same");
        assert!(promised <= surviving(&disk), "{from}, round {round}");
        assert_eq!(count_after(&disk.kill(1)), end);
    }
    assert_eq!(broker.existing_topic("orders").unwrap().config().get_durability(), Some(Durability::Os));
    let end = log.log_end_offset();
    broker.close().unwrap();
    assert_eq!(count_after(&disk), end);
}

#[test]
fn an_interval_that_is_altered_is_the_one_that_counts() {
    let disk = SimulatedDisk::new(1);
    let broker = open(&disk);
    let log = create(&broker, Durability::Os);
    append(&log, 3);
    broker.run_maintenance().unwrap();
    assert!(log.durable_offset() < 3);
    alter(&broker, INTERVAL);
    broker.run_maintenance().unwrap();
    assert_eq!(log.durable_offset(), 3);
    alter(&broker, Durability::Os);
    append(&log, 3);
    broker.run_maintenance().unwrap();
    assert!(log.durable_offset() < 6);
}

/// The syncs of `Always` topics write what others send only until a log goes over to its own tail, with its next batch.
#[test]
fn a_log_goes_over_to_the_tail_of_its_durability() {
    let disk = SimulatedDisk::new(1);
    let broker = open(&disk);
    let log = create(&broker, Durability::Os);
    append(&log, 3);
    alter(&broker, Durability::Always);
    append(&log, 1);
    let synced = |count| {
        let before = disk.log().len();
        append(&log, count);
        let calls = disk.log().split_off(before);
        let syncs = calls.into_iter().filter(|call| call.operation == Operation::Sync);
        syncs.map(|call| call.path.to_string_lossy().contains("tail-always")).collect::<Vec<_>>()
    };
    assert_eq!(synced(2), [true; 2]);
    alter(&broker, Durability::Os);
    assert!(synced(2).is_empty());
}

/// Readers have seen what was not durable yet when the topic becomes `Always`, here and in other processes.
#[test]
fn who_has_seen_a_record_is_not_sent_back() {
    let disk = SimulatedDisk::new(1);
    let broker = open(&disk);
    let log = create(&broker, Durability::Os);
    let mut consumer = broker.consumer_with(ConsumerConfig::new("g").topics(["orders"])).unwrap();
    let reader = builder(&disk).recovery_mode(RecoveryMode::ReadOnly).open().unwrap();
    let follower = orders(&reader);
    append(&log, 10);
    assert_eq!(consumer.poll(Duration::ZERO).unwrap().len(), 10);
    consumer.commit().unwrap();
    assert_eq!(follower.high_watermark(), 10);
    // The segment of what was sealed cannot be synced: what readers have seen is not durable, and they go on all the same.
    disk.fail(FaultRule::new(FaultKind::TooManyOpenFiles).on(Operation::SyncDir).path_containing("orders-0").forever());
    let altered = broker.admin().alter_topic("orders", |config| config.durability(Durability::Always));
    assert!(altered.is_err_and(|error| error.is_retriable()));
    assert_eq!(orders(&broker).durable_offset(), 0);
    assert_eq!((log.high_watermark(), follower.high_watermark()), (10, 10));
    let refused = log.append(&ProducerRecord::new().value("x"));
    assert!(matches!(refused, Err(Error::NotDurable { .. })), "{refused:?}");
    assert_eq!((log.log_end_offset(), log.high_watermark(), follower.high_watermark()), (11, 10, 10));
    assert!(consumer.poll(Duration::ZERO).unwrap().is_empty());
    assert_eq!(consumer.reset_count(), 0);
    disk.clear_faults();
    append(&log, 1);
    assert_eq!((log.high_watermark(), follower.high_watermark()), (12, 12));
    assert_eq!(consumer.poll(Duration::ZERO).unwrap().len(), 2);
    assert_eq!(surviving(&disk), 12);
}

/// From their next call on, without being asked to look at the topics.
#[test]
fn processes_that_read_along_obey() {
    for copies_on_write in [false, true] {
        let disk = SimulatedDisk::new(1);
        if copies_on_write {
            disk.copy_on_write();
        }
        let broker = open(&disk);
        let log = create(&broker, Durability::Always);
        let reader = builder(&disk).recovery_mode(RecoveryMode::ReadOnly).open().unwrap();
        let follower = orders(&reader);
        append(&log, 5);
        assert_eq!(follower.high_watermark(), 5);
        alter(&broker, Durability::Os);
        append(&log, 5);
        assert_eq!((log.durable_offset(), follower.high_watermark()), (5, 10));
        assert_eq!(all_from(&follower, 0).len(), 10);
        alter(&broker, Durability::Always);
        assert_eq!(follower.durable_offset(), 10);
        // A send that waits for its sync is in the tail by then, and nobody sees its record.
        disk.hold_syncs("tail-always");
        thread::scope(|scope| {
            let sender = scope.spawn(|| append(&log, 1));
            while disk.hanging_syncs() == 0 {
                thread::yield_now();
            }
            assert_eq!((log.log_end_offset(), log.high_watermark(), follower.high_watermark()), (11, 10, 10));
            assert_eq!(all_from(&follower, 0).len(), 10);
            disk.release_syncs();
            sender.join().unwrap();
        });
        assert_eq!((log.high_watermark(), follower.high_watermark()), (11, 11));
    }
}

/// A crash at any call of an alteration, either way, with more sent behind it.
#[test]
fn a_crash_at_any_call_of_an_alteration_loses_nothing_that_was_promised() {
    for to in [Durability::Always, Durability::Os] {
        let disk = SimulatedDisk::new(1);
        let broker = open(&disk);
        let from = if to == Durability::Always { Durability::Os } else { Durability::Always };
        let log = create(&broker, from);
        append(&log, 10);
        broker.flush().unwrap();
        append(&log, 7);
        disk.record_stops();
        let mut promised = vec![(disk.calls(), log.durable_offset(), log.log_end_offset())];
        alter(&broker, to);
        for count in [1, 200, 1, 1] {
            promised.push((disk.calls(), log.durable_offset(), log.log_end_offset()));
            append(&log, count);
        }
        promised.push((disk.calls(), log.durable_offset(), log.log_end_offset()));
        let stops = disk.take_stops();
        assert!(stops.len() > 5, "{} calls", stops.len());
        for (call, stopped) in stops {
            let of = |pick: fn(&(u64, u64, u64)) -> u64| {
                promised.iter().filter(|(since, ..)| *since <= call).map(pick).max().unwrap()
            };
            let (durable, published) = (of(|noted| noted.1), of(|noted| noted.2));
            for model in CrashModel::ALL {
                assert!(durable <= count_after(&stopped.crash(call, model)), "{to}, call {call}, {model:?}");
            }
            assert!(published <= count_after(&stopped.kill(call)), "{to}, call {call}");
        }
    }
}

/// Senders that wait for a round of the old tail while the log goes over to the other one are let go.
#[test]
fn who_waits_while_it_is_altered_gets_an_answer() {
    let disk = SimulatedDisk::new(1);
    let broker = open(&disk);
    let log = create(&broker, Durability::Always);
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        let senders = [(); 3].map(|()| {
            scope.spawn(|| {
                let mut sent = 0;
                while !is_over.load(Ordering::Relaxed) || sent < 20 {
                    sent += 1;
                    append(&log, 1);
                }
                sent
            })
        });
        for round in 0..30 {
            alter(&broker, [Durability::Os, Durability::Always, INTERVAL, Durability::Always][round % 4]);
        }
        alter(&broker, Durability::Always);
        is_over.store(true, Ordering::Relaxed);
        let sent: u64 = senders.map(|sender| sender.join().unwrap()).iter().sum();
        assert_eq!((log.log_end_offset(), log.durable_offset()), (sent, sent));
        assert_eq!(surviving(&disk), sent);
    });
}

/// A log that refuses writes since its tail failed does not get away from that by going over to the other one.
#[test]
fn a_poisoned_log_stays_poisoned() {
    let disk = SimulatedDisk::new(1);
    let broker = open(&disk);
    let log = create(&broker, Durability::Always);
    append(&log, 3);
    disk.fail(FaultRule::new(FaultKind::InputOutput).on(Operation::Sync).path_containing("tail-always").nth(1));
    assert!(log.append(&ProducerRecord::new().value("x")).is_err());
    alter(&broker, Durability::Os);
    assert!(matches!(log.append(&ProducerRecord::new().value("x")), Err(Error::Poisoned { .. })));
    assert_eq!(all_from(&log, 0).len(), 3, "what is not durable was never seen, and is not now");
    drop((log, broker));
    assert!(3 <= count_after(&disk));
}
