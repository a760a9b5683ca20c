//! Backups at any moment of a directory that several threads write.
//!
//! The failure that this is about: a backup has what somebody sent last and lacks what he sent before, a group has committed what is not there,
//! or a transaction happened in one topic and not in the other. So senders write to one partition after the other, and nobody
//! is to have more in the second one than in the first; and every backup is opened, verified, restored and read.
//!
//! `OTTLA_BACKUPS` (12) says how many backups there are on a simulated disk, and a third of that in a directory, `OTTLA_BACKUP_SEED` (1) which workload. How threads
//! interleave does not follow from the seed, and no verdict depends on it.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use ottla::testing::SimulatedDisk;
use ottla::{
    BackupOptions, Broker, BrokerBuilder, Error, OwnedRecord, ProducerRecord, RecoveryMode, RestoreOptions,
    TopicPartition,
};

use crate::choices::{Choices, from_environment};
use crate::directories::{compacted, small_segments};

/// Where the directories are.
#[derive(Clone)]
enum Place {
    Simulated(SimulatedDisk),
    Real,
}

impl Place {
    fn builder(&self, dir: &Path) -> BrokerBuilder {
        match self {
            Place::Simulated(disk) => Broker::builder(dir).disk(disk),
            Place::Real => Broker::builder(dir),
        }
    }

    fn restore(&self, backup: &Path, target: &Path) {
        let options = match self {
            Place::Simulated(disk) => RestoreOptions::new().disk(disk),
            Place::Real => RestoreOptions::new(),
        };
        Broker::restore_with(backup, target, &options).unwrap();
    }
}

const SENDERS: u64 = 2;

fn value(number: u64) -> String {
    format!("{number:<700}")
}

fn number_of(record: &OwnedRecord) -> u64 {
    record.value_str().unwrap().trim_end().parse().unwrap()
}

/// Sends each number to partition 0 first and then to partition 1, with the sender as the key.
fn send(broker: &Broker, sender: u64, stop: &AtomicBool) {
    let topic = broker.existing_topic("orders").unwrap();
    let mut number = 0;
    while !stop.load(Ordering::Relaxed) {
        for partition in 0..2 {
            let (key, value) = (sender.to_string(), value(number));
            let record = ProducerRecord::to("orders").key(&key).value(&value);
            topic.partition(partition).unwrap().append(&record).unwrap();
        }
        broker.topic("state").unwrap().produce(format!("key-{}", number % 11), value(number)).unwrap();
        number += 1;
        rest(number);
    }
}

/// Leaves something to others, and keeps logs short enough to be read after each backup.
fn rest(number: u64) {
    thread::sleep(Duration::from_millis(1 + number % 3));
}

/// Sends each number to two topics in a transaction, and aborts every third one.
fn transact(broker: &Broker, stop: &AtomicBool) {
    let mut producer = broker.transactional_producer("pairs").unwrap();
    for number in 0.. {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let transaction = producer.begin().unwrap();
        for topic in ["left", "right"] {
            transaction.send(ProducerRecord::to(topic).value(value(number))).unwrap();
        }
        if number % 3 == 1 {
            transaction.abort().unwrap();
        } else {
            transaction.commit().unwrap();
        }
        rest(number);
    }
}

fn consume(broker: &Broker, stop: &AtomicBool) {
    while !stop.load(Ordering::Relaxed) {
        let mut consumer = broker.consumer("billing", ["orders"]).unwrap();
        for _ in 0..20 {
            // The clock of a simulated disk stands.
            consumer.poll(Duration::ZERO).unwrap();
            consumer.commit().unwrap();
            thread::sleep(Duration::from_millis(1));
        }
    }
}

fn care(broker: &Broker, stop: &AtomicBool) {
    while !stop.load(Ordering::Relaxed) {
        broker.run_maintenance().unwrap();
        _ = broker.admin().compact("state").unwrap();
        for partition in 0..2 {
            let log = broker.existing_topic("orders").unwrap().partition(partition).unwrap();
            let before = log.log_end_offset().saturating_sub(400).max(log.log_start_offset());
            broker.admin().delete_records(&[(log.topic_partition().clone(), before)]).unwrap();
        }
        thread::sleep(Duration::from_millis(5));
    }
}

fn numbers(broker: &Broker, topic: &str, partition: u32) -> Vec<(String, u64)> {
    let log = broker.existing_topic(topic).unwrap().partition(partition).unwrap();
    let records = log.iter_from(log.log_start_offset()).map(Result::unwrap);
    records.map(|record| (record.key_str().unwrap_or_default().to_owned(), number_of(&record))).collect()
}

/// That a backup is of one moment, and whole.
fn check(place: &Place, backup: &Path, restored: &Path) {
    let copy = place.builder(backup).recovery_mode(RecoveryMode::ReadOnly).open().unwrap();
    assert!(copy.recovery_report().is_clean(), "{}", copy.recovery_report());
    let report = copy.admin().verify().unwrap();
    assert!(report.is_clean(), "{report}");
    copy.close().unwrap();
    place.restore(backup, restored);
    let broker = place.builder(restored).background(false).open().unwrap();
    assert!(broker.recovery_report().is_clean(), "{}", broker.recovery_report());
    for sender in 0..SENDERS {
        let sent = |partition| {
            let numbers = numbers(&broker, "orders", partition);
            numbers
                .into_iter()
                .filter(|(key, _)| *key == sender.to_string())
                .map(|(_, number)| number)
                .collect::<Vec<_>>()
        };
        let (first, second) = (sent(0), sent(1));
        for numbers in [&first, &second] {
            assert!(numbers.is_sorted_by(|one, next| one + 1 == *next), "sender {sender}: {numbers:?}");
        }
        let end = |numbers: &[u64]| numbers.last().map_or(0, |last| last + 1);
        assert!(end(&second) <= end(&first) && end(&first) <= end(&second) + 1, "sender {sender}: not one moment");
    }
    assert_eq!(numbers(&broker, "left", 0), numbers(&broker, "right", 0));
    assert!(!numbers(&broker, "left", 0).iter().any(|(_, number)| number % 3 == 1), "what was aborted came back");
    if let Ok(group) = broker.admin().describe_group("billing") {
        for found in group.partitions() {
            assert!(found.committed().is_none_or(|committed| committed.offset() <= found.end_offset()), "{found:?}");
        }
    }
    assert!(!broker.admin().list_transactions().unwrap().iter().any(ottla::TransactionDescription::is_open));
    broker.close().unwrap();
}

/// Makes so many backups while everybody is at work; every third one is cancelled at some place.
fn back_up(place: &Place, base: &Path, count: u64, seed: u64) {
    let segments = || small_segments().segment_bytes(60_000);
    let broker = place.builder(&base.join("data")).background(false).durability(ottla::Durability::Os).open().unwrap();
    broker.create_topic("orders", segments().partitions(2)).unwrap();
    broker.create_topic("state", compacted()).unwrap();
    for topic in ["left", "right"] {
        broker.create_topic(topic, segments()).unwrap();
    }
    let (stop, mut choices) = (AtomicBool::new(false), Choices(seed));
    let mut made: Vec<PathBuf> = Vec::new();
    thread::scope(|threads| {
        // Also if something fails, or nobody would hear of it.
        let _end = StopAtEnd(&stop);
        for sender in 0..SENDERS {
            let (broker, stop) = (&broker, &stop);
            threads.spawn(move || send(broker, sender, stop));
        }
        threads.spawn(|| transact(&broker, &stop));
        threads.spawn(|| consume(&broker, &stop));
        threads.spawn(|| care(&broker, &stop));
        for number in 0..count {
            let target = base.join(format!("backup-{number}"));
            let calls_left = AtomicU64::new(choices.below(40));
            let cancel = |_: &ottla::BackupProgress| match calls_left.fetch_sub(1, Ordering::Relaxed) {
                1 => ControlFlow::Break(()),
                _ => ControlFlow::Continue(()),
            };
            let mut options = BackupOptions::new().copy_all(choices.below(3) == 0);
            if let Some(earlier) = made.last().filter(|_| choices.below(2) == 0) {
                options = options.base(earlier);
            }
            if number % 3 == 2 {
                options = options.on_progress(&cancel);
            }
            match broker.admin().backup_with(&target, &options) {
                Ok(_) => made.push(target),
                Err(Error::Cancelled { .. }) => {}
                Err(error) => panic!("{error}"),
            }
            if let [.., old, _] = &made[..] {
                check(place, old, &base.join(format!("restored-{number}")));
            }
            if made.len() > 4 {
                remove(place, &made.remove(0));
            }
        }
    });
    assert!(count < 3 || !made.is_empty());
    let group = broker.admin().describe_group("billing").unwrap();
    assert!(group.lag(&TopicPartition::new("orders", 0)).is_some(), "somebody has consumed");
}

struct StopAtEnd<'s>(&'s AtomicBool);

impl Drop for StopAtEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn remove(place: &Place, dir: &Path) {
    match place {
        Place::Real => std::fs::remove_dir_all(dir).unwrap(),
        Place::Simulated(disk) => {
            for (path, _) in disk.files().iter().filter(|(path, _)| path.starts_with(dir)) {
                disk.delete(path);
            }
        }
    }
}

/// So many to a directory, as what was restored stays there.
const BACKUPS_A_ROUND: u64 = 12;

#[test]
fn backups_on_a_simulated_disk_are_of_one_moment() {
    let (count, seed) = (from_environment("OTTLA_BACKUPS", 12), from_environment("OTTLA_BACKUP_SEED", 1));
    for round in 0..count.div_ceil(BACKUPS_A_ROUND) {
        let seed = seed + round;
        println!("seed {seed}");
        back_up(&Place::Simulated(SimulatedDisk::new(seed)), Path::new("/base"), BACKUPS_A_ROUND.min(count), seed);
    }
}

#[test]
fn backups_in_a_directory_are_of_one_moment() {
    let (count, seed) = (from_environment("OTTLA_BACKUPS", 12) / 3, from_environment("OTTLA_BACKUP_SEED", 1));
    for round in 0..count.div_ceil(BACKUPS_A_ROUND) {
        let dir = tempfile::tempdir().unwrap();
        back_up(&Place::Real, dir.path(), BACKUPS_A_ROUND.min(count), seed + round);
    }
}
