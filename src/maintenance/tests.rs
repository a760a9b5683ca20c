//! The thread without its sleep, by a clock that goes on when it is told to.

mod sending;

use std::task::Waker;
use std::time::Duration;

use super::worker::Rounds;
use super::*;
use crate::disk::simulated::{FaultKind, FaultRule, Operation, SimulatedDisk};
use crate::error::Error;
use crate::partition::Waiter;
use crate::partition::bell::{Calls, Work};
use crate::sync::atomic::AtomicBool;
use crate::{Broker, Durability, Partition, ProducerRecord, TopicConfig};

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);
const NO_TIME: Duration = Duration::ZERO;

/// A broker whose maintenance is done by hand.
struct World {
    disk: SimulatedDisk,
    broker: Broker,
    environment: Arc<Environment>,
    logs: Arc<Logs>,
    rounds: Rounds,
}

impl World {
    /// With topics of these durabilities, named by their number. Nothing was looked at yet.
    fn new<const N: usize>(durabilities: [Durability; N]) -> (World, [Partition; N]) {
        let disk = SimulatedDisk::new(1);
        let broker = Broker::builder("/data").disk(&disk).background(false).open().unwrap();
        let partitions = std::array::from_fn(|number| {
            let config = TopicConfig::new().durability(durabilities[number]).segment_bytes(1024);
            broker.create_topic(&number.to_string(), config).unwrap().partition(0).unwrap()
        });
        let logs: Vec<_> = partitions.iter().map(|partition| Arc::clone(partition.writable().unwrap())).collect();
        let environment = Arc::clone(logs[0].environment());
        let logs = Arc::new(Logs::from_pointee(logs));
        let rounds = Rounds::new(Arc::clone(&logs), Arc::clone(&environment), Arc::new(AtomicBool::new(false)));
        (World { disk, broker, environment, logs, rounds }, partitions)
    }

    /// What the thread does when it begins.
    fn begin(&mut self) -> Option<Duration> {
        self.environment.bell.wait(Some(NO_TIME));
        self.run(Calls::ALL)
    }

    /// What it does when it is called or something is due, if it is. Returns in how long something is due next.
    fn round(&mut self) -> Option<Duration> {
        let calls = self.environment.bell.wait(Some(NO_TIME));
        self.run(calls)
    }

    fn run(&mut self, calls: Calls) -> Option<Duration> {
        let now = self.now();
        self.rounds.run(now, calls).map(|due| due.checked_sub(now).unwrap())
    }

    fn now(&self) -> Duration {
        self.environment.disk.monotonic()
    }

    fn is_called(&self) -> bool {
        !self.environment.bell.wait(Some(NO_TIME)).is_empty()
    }
}

fn append(partition: &Partition, bytes: usize) {
    let value = "x".repeat(bytes);
    partition.append(&ProducerRecord::to(partition.topic_partition().topic()).value(&value)).unwrap();
}

fn is_durable(partition: &Partition) -> bool {
    partition.durable_offset() == partition.log_end_offset()
}

#[test]
fn with_nothing_to_do_nothing_is_due() {
    let (mut world, partitions) = World::new([Durability::Os, Durability::Always]);
    assert_eq!(world.begin(), None);
    for partition in &partitions {
        append(partition, 10);
    }
    assert_eq!(world.round(), None);
    world.disk.advance(3600 * SECOND);
    assert_eq!(world.round(), None);
    assert!(!is_durable(&partitions[0]), "nobody was promised that");
}

#[test]
fn each_interval_is_kept_for_itself() {
    let (mut world, [slow, fast]) = World::new([Durability::Interval(30 * SECOND), Durability::Interval(100 * MS)]);
    assert_eq!(world.begin(), Some(100 * MS));
    append(&slow, 10);
    append(&fast, 10);
    world.disk.advance(99 * MS);
    assert_eq!(world.round(), Some(MS));
    assert!(!is_durable(&fast));
    world.disk.advance(MS);
    assert_eq!(world.round(), Some(100 * MS));
    assert!(is_durable(&fast) && !is_durable(&slow));
    // The thread may come late: what was appended waits no longer than it comes late.
    world.disk.advance(29_950 * MS);
    assert_eq!(world.round(), Some(100 * MS));
    assert!(is_durable(&slow));
}

#[test]
fn a_topic_with_an_interval_calls_when_it_is_created() {
    let (mut world, _) = World::new([Durability::Os]);
    assert_eq!((world.begin(), world.is_called()), (None, false));
    let config = TopicConfig::new().durability(Durability::Interval(5 * MS));
    let created = world.broker.create_topic("created", config).unwrap().partition(0).unwrap();
    world.logs.store(Arc::new(vec![Arc::clone(created.writable().unwrap())]));
    assert_eq!(world.round(), Some(5 * MS));
    append(&created, 10);
    world.disk.advance(5 * MS);
    assert_eq!(world.round(), Some(5 * MS));
    assert!(is_durable(&created));
    world.logs.store(Arc::new(Vec::new()));
    world.disk.advance(5 * MS);
    assert_eq!(world.round(), None, "it was deleted");
}

#[test]
fn what_nobody_waits_for_is_durable_within_a_second() {
    let (mut world, [partition]) = World::new([Durability::Always]);
    assert_eq!(world.begin(), None);
    let log = partition.writable().unwrap();
    log.append_unsynced(&[ProducerRecord::to("0").value("who is in a group")]).unwrap();
    log.sync_later();
    assert_eq!(world.round(), Some(SECOND));
    assert!(!is_durable(&partition));
    world.disk.advance(SECOND);
    world.round();
    assert!(is_durable(&partition));
    world.disk.advance(SECOND);
    assert_eq!(world.round(), None, "and then nobody looks any more");
}

#[test]
fn a_record_that_could_not_be_made_durable_is_made_so_later() {
    let (mut world, [partition]) = World::new([Durability::Always]);
    append(&partition, 10);
    assert_eq!(world.begin(), None);
    // Around the tail, so that the segment has to be synced, for which there is no handle.
    let value = "x".repeat(100_000);
    world.disk.fail(FaultRule::new(FaultKind::TooManyOpenFiles).on(Operation::SyncDir).forever());
    let appended = partition.append(&ProducerRecord::to("0").value(&value));
    assert!(matches!(appended, Err(Error::NotDurable { .. })), "{appended:?}");
    world.disk.clear_faults();
    assert_eq!(world.round(), Some(SECOND));
    world.disk.advance(SECOND);
    world.round();
    assert!(is_durable(&partition));
}

#[test]
fn a_checkpoint_that_fails_is_tried_again() {
    let (mut world, [partition]) = World::new([Durability::Os]);
    assert_eq!(world.begin(), None);
    world.disk.fail(FaultRule::new(FaultKind::StorageFull).on(Operation::Write).path_containing("manifest").forever());
    // Larger than any slot, and than a segment.
    for _ in 0..3 {
        append(&partition, 100_000);
    }
    assert_eq!(world.round(), Some(SECOND));
    world.disk.advance(SECOND);
    assert_eq!(world.round(), Some(SECOND), "still no room");
    world.disk.clear_faults();
    world.disk.advance(SECOND);
    assert_eq!(world.round(), None);
    assert!(world.disk.files().iter().any(|(path, _)| path.ends_with("0-0/manifest")));
}

#[test]
fn a_task_is_woken_when_it_wants_to_be() {
    let (mut world, _) = World::new([Durability::Os]);
    let watchers = Arc::clone(&world.environment.watchers);
    let waiters = [(); 3].map(|()| Arc::new(Waiter::default()));
    let wait_until = |waiter: &Arc<Waiter>, due| {
        assert!(waiter.register_waker(Waker::noop(), Some(due)));
        watchers.is_sooner(due)
    };
    for waiter in &waiters {
        watchers.register(waiter);
    }
    let begin = world.now();
    assert!(wait_until(&waiters[0], begin + SECOND));
    assert_eq!(world.begin(), Some(SECOND));
    assert!(!wait_until(&waiters[1], begin + 2 * SECOND), "the thread looks before that anyway");
    assert!(wait_until(&waiters[2], begin + 10 * MS));
    world.environment.bell.ring(Work::Wakers);
    assert_eq!(world.round(), Some(10 * MS));
    world.disk.advance(10 * MS);
    assert_eq!(world.round(), Some(990 * MS));
    let is_woken = |waiters: &[Arc<Waiter>; 3]| [0, 1, 2].map(|number: usize| waiters[number].is_signalled());
    assert_eq!(is_woken(&waiters), [false, false, true]);
    world.disk.advance(SECOND);
    assert_eq!(world.round(), Some(990 * MS));
    assert_eq!(is_woken(&waiters), [true, false, true]);
}

#[test]
fn slots_that_there_was_no_room_for_are_tried_again() {
    let (mut world, partitions) = World::new([Durability::Os, Durability::Os]);
    world
        .disk
        .fail(FaultRule::new(FaultKind::StorageFull).on(Operation::Write).path_containing("/data/tail").forever());
    world.begin();
    // Their next slots are to be larger, and of those there are none yet.
    for partition in partitions.iter().cycle().take(8) {
        append(partition, 4000);
    }
    assert_eq!(world.round(), Some(SECOND));
    world.disk.advance(SECOND);
    assert_eq!(world.round(), Some(SECOND), "still no room");
    world.disk.clear_faults();
    world.disk.advance(SECOND);
    assert_eq!(world.round(), None);
}

#[test]
fn a_segment_goes_when_its_time_is_over_and_the_active_one_is_rolled_when_its_is() {
    let (mut world, _) = World::new([Durability::Os]);
    assert_eq!(world.begin(), None);
    let config = TopicConfig::new().durability(Durability::Os).segment_ms(10 * SECOND).retention_ms(60 * SECOND);
    let kept = world.broker.create_topic("kept", config).unwrap().partition(0).unwrap();
    world.logs.store(Arc::new(vec![Arc::clone(kept.writable().unwrap())]));
    assert_eq!(world.round(), Some(10 * SECOND), "there is nothing to roll, and then it is looked at again");
    world.disk.advance(3 * SECOND);
    append(&kept, 10);
    world.disk.advance(7 * SECOND);
    assert_eq!(world.round(), Some(3 * SECOND), "the first record is 7 seconds old");
    world.disk.advance(3 * SECOND);
    world.round();
    assert_eq!(kept.writable().unwrap().size().1, 2);
    // What the roll has called for comes with it.
    world.round();
    world.disk.advance(50 * SECOND);
    assert!(world.round().is_some_and(|next| next <= 10 * SECOND));
    assert_eq!(kept.log_start_offset(), 0);
    world.disk.advance(MS);
    world.round();
    assert_eq!((kept.log_start_offset(), kept.log_end_offset()), (1, 1));
    assert_eq!(kept.writable().unwrap().size().1, 1);
}

/// Readers see it at once; files go 64 MiB at a time, so that what else is due comes in between.
#[test]
fn however_much_expires_only_some_files_go_at_once() {
    const RECORDS: usize = 100;
    const RECORD_BYTES: usize = 1_000_000;
    let (mut world, [partition]) = World::new([Durability::Os]);
    assert_eq!(world.begin(), None);
    for _ in 0..RECORDS {
        append(&partition, RECORD_BYTES);
    }
    assert_eq!(world.round(), None);
    world.broker.admin().alter_topic("0", |config| config.retention_bytes(1)).unwrap();
    let is_log = |path: &std::path::Path| path.extension().is_some_and(|extension| extension == "log");
    let files = |world: &World| world.disk.files().iter().filter(|(path, _)| is_log(path)).count();
    assert_eq!(files(&world), RECORDS);
    assert_eq!(world.round(), Some(NO_TIME));
    assert_eq!((partition.log_start_offset(), files(&world)), (RECORDS as u64 - 1, RECORDS - 68));
    world.round();
    assert_eq!(files(&world), 1);
}

#[test]
fn a_commit_that_sets_something_free_calls_for_retention_and_no_other_does() {
    let (mut world, _) = World::new([Durability::Os]);
    let config = TopicConfig::new().durability(Durability::Os).segment_bytes(1024).retention_bytes(1);
    let config = config.retain_for(["billing"], 1 << 30);
    let kept = world.broker.create_topic("kept", config).unwrap().partition(0).unwrap();
    world.logs.store(Arc::new(vec![Arc::clone(kept.writable().unwrap())]));
    for _ in 0..3 {
        append(&kept, 100_000);
    }
    world.begin();
    while world.round() == Some(NO_TIME) {}
    assert_eq!(kept.log_start_offset(), 0);
    let mut commit = |group: &str, offset| {
        let mut consumer = world.broker.consumer_with(crate::ConsumerConfig::new(group)).unwrap();
        consumer.assign(&[kept.topic_partition().clone()]).unwrap();
        consumer.commit_offsets(&[(kept.topic_partition().clone(), crate::CommittedOffset::new(offset))]).unwrap();
        let calls = world.environment.bell.wait(Some(NO_TIME));
        if calls.contains(Work::Retention) {
            world.rounds.run(world.environment.disk.monotonic(), calls);
        }
        (calls.contains(Work::Retention), kept.log_start_offset())
    };
    // The first one makes a topic, which calls for this and that.
    commit("other", 0);
    assert_eq!(commit("other", 2), (false, 0));
    assert_eq!(commit("billing", 0), (false, 0));
    assert_eq!(commit("billing", 1), (true, 1));
    assert_eq!(commit("billing", 1), (false, 1));
}
