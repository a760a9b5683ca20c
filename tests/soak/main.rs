//! What a broker needs does not grow with what it has done.
//!
//! The failure that this is about: a service runs for months, and then it stops, because each topic that was deleted had left a
//! file handle, each segment a map, each rebalance some memory, each opening a thread or a file. So tiny segments roll by the
//! thousand while topics are created and deleted, cut by retention and compacted, get partitions, are read by members that come, go
//! and are dropped, and while the broker is closed and opened again. At the end of each cycle everything is counted that could pile
//! up (`usage.rs`), and no count may be above what it was in the first quarter of the run, but for a slack that is the same however
//! long the run is.
//!
//! `OTTLA_SOAK_ROLLS` sets how many segments are rolled. The same over ten years of a simulated clock is in `years.rs`.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of tests may panic as the tests do")]

mod usage;
#[cfg(feature = "testing")]
mod years;

use std::path::Path;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use ottla::{
    Broker, CleanupPolicy, Consumer, ConsumerConfig, Durability, Producer, ProducerRecord, TopicConfig, TopicPartition,
};

use usage::Usage;

/// What a test counts is to be its own.
static ALONE: Mutex<()> = Mutex::new(());

const ROLLS: u64 = 300;
/// Each is deleted and made anew in turn, so there is always one to be read while the other one goes.
const TOPICS: [&str; 2] = ["even", "odd"];
/// These stay: one is cut by retention, one is compacted.
const KEPT: &str = "kept";
const STATES: &str = "states";
const GROUP: &str = "group";
const MEMBERS: usize = 3;
const SEGMENT_BYTES: u32 = 16 << 10;
/// Pieces that are sent to each partition in a cycle, of some KiB; a batch of many may fill several times a segment.
const PIECES: u64 = 60;
/// After so many cycles everything has happened.
const PATTERN: usize = 4;
const PIECE_RECORDS: usize = 20;
/// More would mean that a group does not come to the end of what was sent.
const POLLS_MAX: u64 = 100_000;

#[test]
fn nothing_piles_up() {
    let wanted = std::env::var("OTTLA_SOAK_ROLLS").ok().and_then(|text| text.parse().ok()).unwrap_or(ROLLS);
    let _alone = ALONE.lock().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let mut service = Service::open(dir.path());
    let begun = Instant::now();
    let mut usages = Vec::new();
    while service.rolls < wanted {
        service.live_through(usages.len());
        usages.push((service.rolls, Usage::of(dir.path())));
        if usages.len() % 1000 == 0 {
            println!("{} rolls, {:?}: {:?}", service.rolls, begun.elapsed(), usages[usages.len() - 1].1);
        }
    }
    // Of all that the later cycles do, the first quarter must have seen something.
    assert!(usages.len() / 4 >= PATTERN, "only {} cycles: OTTLA_SOAK_ROLLS={wanted} is too little", usages.len());
    let (first, later) = usages.split_at(usages.len() / 4);
    let bound = first.iter().fold(Usage::default(), |most, (_, usage)| most.max(*usage)).with_slack();
    println!("{} rolls in {} cycles, {:?}", service.rolls, usages.len(), begun.elapsed());
    println!("bound {bound:?}\nat last {:?}", later[later.len() - 1].1);
    for (rolls, usage) in later {
        assert!(usage.is_within(bound), "after {rolls} rolls: {usage:?}, more than {bound:?}");
    }
}

/// An application with all that it has open.
struct Service<'d> {
    dir: &'d Path,
    broker: Broker,
    producer: Producer,
    members: Vec<Consumer>,
    rolls: u64,
}

impl Service<'_> {
    fn open(dir: &Path) -> Service<'_> {
        let broker = open(dir);
        let producer = broker.producer();
        for topic in TOPICS {
            create(&broker, topic);
        }
        let config = || TopicConfig::new().segment_bytes(SEGMENT_BYTES);
        broker.create_topic(KEPT, config().retention_bytes(u64::from(SEGMENT_BYTES))).unwrap();
        broker.create_topic(STATES, config().cleanup_policy(CleanupPolicy::Compact)).unwrap();
        let members = (0..MEMBERS).map(|_| join(&broker)).collect();
        Service { dir, broker, producer, members, rolls: 0 }
    }

    /// One cycle: of everything that happens something happens.
    fn live_through(&mut self, cycle: usize) {
        let topic = TOPICS[cycle % TOPICS.len()];
        self.broker.admin().delete_topic(topic).unwrap();
        create(&self.broker, topic);
        self.send(topic, 0..2);
        self.broker.admin().add_partitions(topic, 3).unwrap();
        // Somebody leaves, in one way or the other, and somebody comes.
        let leaving = self.members.remove(cycle % MEMBERS);
        if cycle.is_multiple_of(2) {
            leaving.close().unwrap();
        } else {
            drop(leaving);
        }
        self.read_to_the_end();
        self.members.push(join(&self.broker));
        self.send(topic, 0..3);
        self.send(KEPT, 0..1);
        self.send(STATES, 0..1);
        self.broker.run_maintenance().unwrap();
        self.read_to_the_end();
        let description = self.broker.admin().describe(topic).unwrap();
        self.rolls +=
            description.partitions().iter().map(|partition| partition.segment_count() as u64 - 1).sum::<u64>();
        if cycle % PATTERN == 1 {
            self.reopen();
        }
        self.broker.run_maintenance().unwrap();
    }

    fn send(&self, topic: &str, partitions: std::ops::Range<u32>) {
        let values = [[7_u8; 192]; PIECE_RECORDS];
        for _ in 0..PIECES {
            for partition in partitions.clone() {
                let record = |value| ProducerRecord::to(topic).partition(partition).key("k").value(value);
                let records: Vec<_> = values.iter().map(record).collect();
                self.producer.send_batch(topic, &records).unwrap();
            }
        }
    }

    /// Members poll in turn until the group has committed everything.
    fn read_to_the_end(&mut self) {
        let mut polls = 0;
        while !self.is_at_the_end() {
            for member in &mut self.members {
                member.poll(Duration::ZERO).unwrap();
                member.commit().unwrap();
            }
            polls += 1;
            assert!(polls < POLLS_MAX, "{polls} polls did not come to the end");
        }
    }

    fn is_at_the_end(&self) -> bool {
        let logs = TOPICS.iter().flat_map(|topic| self.broker.topic(topic).unwrap().partitions());
        let committed =
            |tp: &TopicPartition| self.broker.committed(GROUP, tp).unwrap().map_or(0, |found| found.offset());
        logs.into_iter().all(|log| committed(log.topic_partition()) == log.log_end_offset())
    }

    fn reopen(&mut self) {
        self.members.clear();
        self.broker.clone().close().unwrap();
        self.broker = open(self.dir);
        self.producer = self.broker.producer();
        self.members = (0..MEMBERS).map(|_| join(&self.broker)).collect();
    }
}

fn open(dir: &Path) -> Broker {
    Broker::builder(dir)
        .durability(Durability::Os)
        .max_open_files(32)
        .tail_bytes(4 << 20)
        .background(false)
        .open()
        .unwrap()
}

fn create(broker: &Broker, topic: &str) {
    broker.create_topic(topic, TopicConfig::new().partitions(2).segment_bytes(SEGMENT_BYTES)).unwrap();
}

fn join(broker: &Broker) -> Consumer {
    broker.consumer_with(ConsumerConfig::new(GROUP).topics(TOPICS).max_poll_records(1000)).unwrap()
}
