//! What was found once, each as a test of its own.

use std::time::Duration;

use ottla::testing::{CrashModel, FaultKind, FaultRule, Operation, SimulatedDisk};
use ottla::{Broker, BrokerBuilder, Durability, Error, ProducerRecord, TopicConfig, TopicPartition};

fn builder(disk: &SimulatedDisk) -> BrokerBuilder {
    Broker::builder("/data").disk(disk).background(false)
}

fn os_topic(broker: &Broker) {
    broker.create_topic("t", TopicConfig::new().segment_bytes(1024).durability(Durability::Os)).unwrap();
}

fn send(broker: &Broker, count: usize) {
    for _ in 0..count {
        broker.producer().send(ProducerRecord::to("t").value(&[7; 900])).unwrap();
    }
}

/// The first segment's name was lost and a later one's was not: the log began in its middle, and nothing was said.
#[test]
fn a_log_without_its_first_segment_is_empty() {
    let disk = SimulatedDisk::new(1);
    let broker = builder(&disk).open().unwrap();
    os_topic(&broker);
    send(&broker, 20);
    for seed in 0..60 {
        let broker = builder(&disk.crash(seed, CrashModel::Subset)).open().unwrap();
        let partition = broker.topic("t").unwrap().partition(0).unwrap();
        assert_eq!(partition.log_start_offset(), 0, "seed {seed}");
        assert_eq!(partition.iter_from(0).filter_map(Result::ok).count() as u64, partition.log_end_offset());
        assert_eq!(broker.recovery_report().damage().count(), 0);
    }
}

/// A process that was killed during the recovery from a power cut made the next one believe that there had been none, so
/// that a group beyond the cut went on with other records.
#[test]
fn a_killed_recovery_does_not_hide_the_power_cut() {
    let disk = SimulatedDisk::new(1);
    let broker = builder(&disk).open().unwrap();
    os_topic(&broker);
    send(&broker, 10);
    let mut consumer = broker.consumer("g", ["t"]).unwrap();
    assert_eq!(consumer.poll(Duration::ZERO).unwrap().len(), 10);
    consumer.commit().unwrap();
    // Of the topic nothing survives in this one, of the commit everything.
    let is_lost =
        |image: &SimulatedDisk| image.files().iter().all(|(path, _)| !path.ends_with("t-0/00000000000000000000.log"));
    let image = (0..99).map(|seed| disk.crash(seed, CrashModel::Subset)).find(is_lost).unwrap();
    for stop in 0_u64.. {
        let interrupted = image.kill(0);
        interrupted.stop_after(stop);
        let is_open = builder(&interrupted).open().is_ok();
        let broker = builder(&interrupted.kill(1)).open().unwrap();
        send(&broker, 20);
        let polled = broker.consumer("g", ["t"]).unwrap().poll(Duration::ZERO);
        assert!(matches!(polled, Err(Error::LogTruncated { requested: 10, .. })), "stopped after {stop}: {polled:?}");
        if is_open {
            break;
        }
    }
}

/// The directory was made, but its name was not synced; opening again found it there and left it at that.
#[test]
fn the_data_directory_survives_also_if_the_first_open_failed() {
    let disk = SimulatedDisk::new(1);
    disk.fail(FaultRule::new(FaultKind::InputOutput).on(Operation::SyncDir));
    assert!(builder(&disk).open().is_err());
    let broker = builder(&disk).open().unwrap();
    broker.topic("t").unwrap();
    send(&broker, 1);
    for seed in 0..10 {
        let broker = builder(&disk.crash(seed, CrashModel::Subset)).open().unwrap();
        assert_eq!(broker.topic("t").unwrap().partition(0).unwrap().log_end_offset(), 1, "seed {seed}");
    }
}

/// The catalog had the topic already when its log could not be opened: there for those who make it, absent for those who
/// use it. For the topic of committed offsets that meant no groups at all.
#[test]
fn a_topic_that_could_not_be_made_can_be_made_again() {
    for nth in 1.. {
        let disk = SimulatedDisk::new(nth);
        let broker = builder(&disk).open().unwrap();
        disk.fail(FaultRule::new(FaultKind::TooManyOpenFiles).nth(nth));
        let made = broker.create_topic("t", TopicConfig::new());
        if disk.faults_injected() == 0 {
            break;
        }
        if made.is_err() {
            broker.create_topic("t", TopicConfig::new()).unwrap();
        }
        send(&broker, 1);
    }
}

/// The topic's end was durable, the end of what was committed for it was not: a later topic of that name was read from where
/// the earlier one had been read to.
#[test]
fn what_was_committed_for_a_deleted_topic_does_not_come_back() {
    let disk = SimulatedDisk::new(1);
    let broker = builder(&disk).durability(Durability::Os).open().unwrap();
    os_topic(&broker);
    send(&broker, 10);
    let mut consumer = broker.consumer("g", ["t"]).unwrap();
    consumer.poll(Duration::ZERO).unwrap();
    consumer.commit().unwrap();
    broker.flush().unwrap();
    broker.admin().delete_topic("t").unwrap();
    os_topic(&broker);
    for seed in 0..60 {
        let broker = builder(&disk.crash(seed, CrashModel::Subset)).durability(Durability::Os).open().unwrap();
        let committed = broker.committed("g", &TopicPartition::new("t", 0)).unwrap();
        assert_eq!(committed, None, "seed {seed}");
    }
}

/// As above, by a consumer that commits what it had read of the topic that is gone.
#[test]
fn nothing_is_committed_for_a_deleted_topic() {
    let disk = SimulatedDisk::new(1);
    let broker = builder(&disk).open().unwrap();
    os_topic(&broker);
    send(&broker, 10);
    let mut consumer = broker.consumer("g", ["t"]).unwrap();
    consumer.poll(Duration::ZERO).unwrap();
    broker.admin().delete_topic("t").unwrap();
    // Whether this is an error or not.
    _ = consumer.commit();
    os_topic(&broker);
    assert_eq!(broker.committed("g", &TopicPartition::new("t", 0)).unwrap(), None);
    send(&broker, 3);
    assert_eq!(consumer.poll(Duration::ZERO).unwrap().len(), 3);
}

/// A power cut right after a close took what says up to where the log had been synced; damage that came later then looked like
/// the end of the log, which was cut there.
#[test]
fn damage_after_a_close_and_a_power_cut_is_still_known_for_damage() {
    for seed in 0..20 {
        let disk = SimulatedDisk::new(seed);
        let broker = builder(&disk).open().unwrap();
        broker.topic("t").unwrap();
        send(&broker, 3);
        broker.close().unwrap();
        let disk = disk.crash(seed, CrashModel::Subset);
        assert!(disk.flip_bit("/data/t-0/00000000000000000000.log", 200, 0));
        let broker = builder(&disk).open().unwrap();
        let partition = broker.topic("t").unwrap().partition(0).unwrap();
        assert_eq!(partition.log_end_offset(), 3, "seed {seed}: {}", broker.recovery_report());
        assert!(partition.iter_from(0).any(|record| matches!(record, Err(Error::Corrupt(_)))), "seed {seed}");
    }
}

/// A log that ended in half a batch was appended to behind that half, which the first bytes of the next batch made whole: these
/// were then missing there, and so was a record that had been acknowledged.
#[test]
fn what_is_sent_behind_a_damaged_end_does_not_mend_it() {
    for cut in 0..20 {
        let disk = SimulatedDisk::new(cut);
        let broker = builder(&disk).open().unwrap();
        broker.topic("t").unwrap();
        send(&broker, 2);
        broker.close().unwrap();
        let log = "/data/t-0/00000000000000000000.log";
        let mut bytes = disk.read(log).unwrap();
        bytes.truncate(bytes.len() - usize::try_from(cut).unwrap());
        disk.put(log, &bytes);
        let broker = builder(&disk).open().unwrap();
        let send_one = || broker.producer().send(ProducerRecord::to("t").value(&[0; 8])).unwrap().offset();
        assert_eq!((send_one(), send_one()), (2, 3));
        let broker = builder(&disk.kill(0)).open().unwrap();
        let partition = broker.topic("t").unwrap().partition(0).unwrap();
        let found: Vec<_> = partition.iter_from(2).map(|record| record.unwrap().offset()).collect();
        assert_eq!(found, [2, 3], "without the last {cut} bytes: {}", broker.recovery_report());
    }
}

/// A power cut after a clean shutdown took back some sectors of the tail, that of an identity among them. Nothing was lost, but who
/// opened the directory after the next kill heard of a batch in the tail of which nothing could be told.
#[test]
fn a_power_cut_after_a_close_leaves_no_slot_that_looks_damaged() {
    let disk = SimulatedDisk::new(1);
    let broker = builder(&disk).open().unwrap();
    os_topic(&broker);
    send(&broker, 20);
    broker.close().unwrap();
    for seed in 0..40 {
        let after = disk.crash(seed, CrashModel::Subset);
        let broker = builder(&after).open().unwrap();
        assert!(broker.recovery_report().was_clean_shutdown(), "seed {seed}");
        let broker = builder(&after.kill(0)).open().unwrap();
        assert_eq!(broker.recovery_report().damage().count(), 0, "seed {seed}");
        assert_eq!(broker.topic("t").unwrap().partition(0).unwrap().iter_from(0).count(), 20);
    }
}
