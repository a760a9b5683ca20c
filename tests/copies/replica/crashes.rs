//! Crashes of a source, of its replica, and of both, at any call.
//!
//! The failure that this is about: the power goes while a replica catches up, and afterwards it has some partitions at the new point and
//! others at the old one, half a transaction, or what its source has lost; or it does not find its way back to its source.
//!
//! Between two points the source does this and that. While the replica catches up, what would be left at each call is kept, of both disks. Of
//! these images crashes are made, by all models, and killed processes. What is left of a replica is promoted, and has to be what it was at
//! one of the two points, in all partitions; then it follows its source again, which may have crashed as well, and has the same segments.
//!
//! `OTTLA_REPLICA_STATES` (600) says how many states are looked at, `OTTLA_REPLICA_SEED` (1) what happens.

use std::collections::BTreeMap;

use ottla::testing::{CrashModel, SimulatedDisk};
use ottla::{Broker, Durability, Error, ProducerRecord, Replica, TopicPartition, TransactionalProducer};

use super::{SECOND, can_be_read, has_same_segments, on, replica};
use crate::choices::{Choices, from_environment};
use crate::directories::{
    Content, DATA, builder, compacted, contents, partition, read_all, send, small_segments, transact,
};

/// What can be read of a topic's partition: where it begins, and its records by both isolations.
type Readable = (u64, Vec<String>, Vec<String>);

/// What can be read in all partitions of the users' topics.
fn readable(broker: &Broker) -> BTreeMap<TopicPartition, Readable> {
    let users = contents(broker).into_iter().filter(|content| !content.partition.topic().starts_with("__"));
    users
        .map(|Content { partition, offsets, committed, uncommitted, .. }| {
            (partition, (offsets.start, committed, uncommitted))
        })
        .collect()
}

/// The source, and what is done to it.
pub(crate) struct Source {
    pub(crate) disk: SimulatedDisk,
    pub(crate) broker: Broker,
    producer: TransactionalProducer,
    pub(crate) choices: Choices,
    sent: u64,
    topics: u64,
}

impl Source {
    pub(crate) fn new(seed: u64) -> Source {
        let disk = SimulatedDisk::new(seed);
        let broker = open_source(&disk);
        Source::of(disk, broker, seed)
    }

    pub(super) fn of(disk: SimulatedDisk, broker: Broker, seed: u64) -> Source {
        broker.create_topic("orders", small_segments().partitions(2).durability(Durability::Always)).unwrap();
        broker.create_topic("state", compacted()).unwrap();
        broker.create_topic("payments", small_segments()).unwrap();
        let producer = broker.transactional_producer("payments").unwrap();
        Source { disk, broker, producer, choices: Choices(seed), sent: 0, topics: 0 }
    }

    pub(crate) fn act(&mut self) {
        let broker = self.broker.clone();
        let numbers = self.sent..self.sent + 1 + self.choices.below(8);
        self.sent = numbers.end;
        match self.choices.below(12) {
            0 | 1 => send(&broker, "orders", numbers),
            2 | 3 => send(&broker, "state", numbers),
            4 => transact(&mut self.producer, numbers.start, true),
            5 => transact(&mut self.producer, numbers.start, false),
            6 => self.pay_for_orders(numbers.start),
            7 => _ = read_all(&broker, "billing", "orders"),
            8 => broker.run_maintenance().unwrap(),
            9 => {
                broker.run_maintenance().unwrap();
                _ = broker.admin().compact("state").unwrap();
            }
            10 => {
                let end = partition(&broker, "orders").last_stable_offset();
                let before = self.choices.below(end + 1);
                broker.admin().delete_records(&[(TopicPartition::new("orders", 0), before)]).unwrap();
            }
            _ => self.change_topics(numbers.start),
        }
    }

    /// A transaction across two topics.
    fn pay_for_orders(&mut self, number: u64) {
        let transaction = self.producer.begin().unwrap();
        for topic in ["payments", "orders"] {
            let value = format!("both {number}");
            transaction.send(ProducerRecord::to(topic).key("both").value(&value)).unwrap();
        }
        transaction.commit().unwrap();
    }

    fn change_topics(&mut self, number: u64) {
        let admin = self.broker.admin();
        if self.topics > 0 && number.is_multiple_of(2) {
            admin.delete_topic(&format!("extra-{}", self.topics)).unwrap();
            self.topics = 0;
        } else if self.topics == 0 {
            self.topics = number + 1;
            let name = format!("extra-{}", self.topics);
            self.broker.create_topic(&name, small_segments()).unwrap();
            send(&self.broker, &name, 0..3);
        }
    }
}

fn open_source(disk: &SimulatedDisk) -> Broker {
    builder(disk, DATA).open().unwrap()
}

/// What is left of a machine, by a number: five ways in turn.
pub(crate) fn left_of(disk: &SimulatedDisk, number: u64) -> SimulatedDisk {
    match CrashModel::ALL.get(usize::try_from(number % 5).unwrap()) {
        Some(model) => disk.crash(number, *model),
        None => disk.kill(number),
    }
}

/// Promotes what is left of a replica, which is to be what it was at one of two points.
fn is_at_a_point(left: &SimulatedDisk, points: [&BTreeMap<TopicPartition, Readable>; 2], what: &str) {
    let report = Replica::promote_without_source(SECOND, on(left)).unwrap_or_else(|error| panic!("{what}: {error}"));
    let promoted = builder(left, SECOND).open().unwrap();
    let found = readable(&promoted);
    let [before, after] = points;
    let empty: Readable = (0, Vec::new(), Vec::new());
    // Topics come and go one step ahead, and are empty then.
    let is_new = |partition: &TopicPartition, what: &Readable| {
        !before.contains_key(partition) && after.contains_key(partition) && *what == empty
    };
    let as_before = found.iter().all(|(at, what)| before.get(at) == Some(what) || is_new(at, what))
        && before.keys().all(|at| found.contains_key(at) || !after.contains_key(at));
    assert!(as_before || found == *after, "{what}: {report}\nfound {found:?}\nbefore {before:?}\nafter {after:?}");
    for group in promoted.admin().describe_groups().unwrap() {
        for at in group.partitions() {
            let log = promoted.existing_topic(at.topic_partition().topic()).unwrap();
            let end = log.partition(at.topic_partition().partition()).unwrap().log_end_offset();
            assert!(at.committed().is_none_or(|committed| committed.offset() <= end), "{what}: {group:?} is ahead");
        }
    }
    assert!(promoted.admin().health().open_transactions.is_empty(), "{what}");
}

/// Looks at states of one workload, `states` at most; returns how many.
fn look_at(seed: u64, states: u64) -> u64 {
    let mut source = Source::new(seed);
    let second = SimulatedDisk::new(seed + 1);
    replica(&source.broker, &second).catch_up().unwrap();
    let (mut before, mut looked_at) = (readable(&source.broker), 0);
    for round in 0.. {
        for _ in 0..=source.choices.below(6) {
            source.act();
        }
        let after = readable(&source.broker);
        let began = second.kill(0);
        let mut following = replica(&source.broker, &second);
        source.disk.record_stops();
        second.record_stops();
        following.catch_up().unwrap();
        let (of_source, of_second) = (source.disk.take_stops(), second.take_stops());
        drop(following);
        has_same_segments(&source.disk, &second);
        let skipped = 1 + source.choices.below(4);
        for (call, image) in of_second.iter().step_by(usize::try_from(skipped).unwrap()) {
            let what = format!("OTTLA_REPLICA_SEED={seed}: round {round}, call {call} of the replica");
            looked_at += 1;
            let left = left_of(image, *call + looked_at);
            is_at_a_point(&left.kill(0), [&before, &after], &what);
            if looked_at % 8 == 0 {
                goes_on(&source.broker, &source.disk, &left, &what);
            }
            if looked_at % 16 == 0 {
                // Both have crashed.
                let source = left_of(&source.disk, looked_at);
                goes_on(&open_source(&source), &source, &left_of(image, *call), &what);
            }
        }
        // What is written to the replica's disk survives at the source, so that it goes on from what was there before.
        for (call, image) in of_source.iter().step_by(usize::try_from(skipped).unwrap()) {
            let what = format!("OTTLA_REPLICA_SEED={seed}: round {round}, call {call} of the source");
            looked_at += 1;
            let left = left_of(image, *call + looked_at);
            goes_on(&open_source(&left), &left, &began.kill(looked_at), &what);
        }
        // All that came survives.
        let left = left_of(&second, looked_at);
        is_at_a_point(&left, [&after, &after], &format!("OTTLA_REPLICA_SEED={seed}: after round {round}"));
        looked_at += 1;
        if states <= looked_at || round == 40 {
            return looked_at;
        }
        before = after;
    }
    looked_at
}

/// That a replica follows its source, and has the same segments then.
fn goes_on(broker: &Broker, source: &SimulatedDisk, second: &SimulatedDisk, what: &str) {
    let caught_up: Result<_, Error> =
        Replica::open_with(broker, SECOND, on(second)).and_then(|mut replica| replica.catch_up());
    if let Err(error) = caught_up {
        panic!("{what}: {error}");
    }
    has_same_segments(source, second);
}

/// Has `look_at` look at as many states as are wanted, each time of another workload.
pub(super) fn look_at_workloads(look_at: fn(u64, u64) -> u64) {
    let (states, first) = (from_environment("OTTLA_REPLICA_STATES", 600), from_environment("OTTLA_REPLICA_SEED", 1));
    let (mut looked_at, mut seed) = (0, first);
    while looked_at < states {
        looked_at += look_at(seed, states.min(4000));
        seed += 1;
    }
    println!("OTTLA_REPLICA_SEED={first}: {looked_at} states of {} workloads hold", seed - first);
}

#[test]
fn what_crashes_leave_of_a_source_and_its_replica() {
    look_at_workloads(look_at);
}

#[test]
fn a_replica_that_was_stopped_while_it_was_made_is_made_or_says_that_it_is_not() {
    let disk = SimulatedDisk::new(1);
    let broker = open_source(&disk);
    send(&broker, "orders", 0..9);
    let calls = {
        let trial = SimulatedDisk::new(2);
        drop(replica(&broker, &trial));
        trial.calls()
    };
    let (mut unfinished, mut made) = (0, 0);
    for call in 0..=calls {
        let second = SimulatedDisk::new(2);
        second.stop_after(call);
        _ = Replica::open_with(&broker, SECOND, on(&second));
        let left = left_of(&second, call);
        match Replica::open_with(&broker, SECOND, on(&left)) {
            Ok(mut replica) => {
                made += 1;
                replica.catch_up().unwrap_or_else(|error| panic!("call {call}: {error}"));
                can_be_read(&broker, &left);
            }
            Err(Error::Unfinished { .. }) => unfinished += 1,
            Err(other) => panic!("call {call}: {other}"),
        }
    }
    assert!(0 < unfinished && 0 < made, "{unfinished} {made}");
}

#[test]
fn a_deleted_topic_is_gone_wherever_its_removal_was_stopped() {
    let (disk, second) = (SimulatedDisk::new(1), SimulatedDisk::new(2));
    let broker = open_source(&disk);
    broker.create_topic("orders", small_segments().partitions(2)).unwrap();
    send(&broker, "orders", 0..9);
    replica(&broker, &second).catch_up().unwrap();
    broker.admin().delete_topic("orders").unwrap();
    let calls = {
        let trial = second.kill(0);
        replica(&broker, &trial).catch_up().unwrap();
        trial.calls()
    };
    for (call, round) in (0..=calls).flat_map(|call| (0..5).map(move |round| (call, round))) {
        let stopped = second.kill(0);
        stopped.stop_after(call);
        _ = Replica::open_with(&broker, SECOND, on(&stopped)).and_then(|mut replica| replica.catch_up());
        let left = left_of(&stopped, 5 * call + round);
        goes_on(&broker, &disk, &left, &format!("call {call}, {round}"));
        assert!(!left.files().iter().any(|(path, _)| path.starts_with("/second/orders-0")), "call {call}, {round}");
    }
}
