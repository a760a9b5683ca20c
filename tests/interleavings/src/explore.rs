//! Runs a scenario under many schedules, or under one again.

use std::env;
use std::time::Duration;

use ottla::testing::SimulatedDisk;
use ottla::{
    Broker, BrokerBuilder, CleanupPolicy, ConsumerRecords, Durability, Partition, ProducerRecord, TopicConfig,
};
use shuttle::scheduler::{PctScheduler, RandomScheduler, ReplayScheduler, Scheduler};
use shuttle::thread::{self, JoinHandle};
use shuttle::{Config, Runner};

/// So long that only a wake-up ends it.
pub(crate) const FOREVER: Duration = Duration::MAX;

/// Switches at chosen moments that one schedule of PCT may need to fail.
const DEPTH: usize = 4;

fn from_environment(name: &str, default: u64) -> u64 {
    env::var(name).ok().map_or(default, |value| value.parse().unwrap())
}

/// Runs the scenario under as many schedules as wanted, half of them at random and half by PCT.
pub(crate) fn explore(scenario: fn()) {
    if let Ok(schedule) = env::var("OTTLA_SCHEDULE") {
        run(ReplayScheduler::new_from_encoded(&schedule), scenario);
        return;
    }
    let schedules = usize::try_from(from_environment("OTTLA_SCHEDULES", 300)).unwrap();
    let seed = from_environment("OTTLA_SEED", 1);
    println!("OTTLA_SCHEDULES={schedules} OTTLA_SEED={seed}; one that fails runs again with OTTLA_SCHEDULE=...");
    run(RandomScheduler::new_from_seed(seed, schedules.div_ceil(2)), scenario);
    run(PctScheduler::new_from_seed(seed, DEPTH, schedules / 2), scenario);
}

fn run(scheduler: impl Scheduler + 'static, scenario: fn()) {
    let mut config = Config::new();
    config.stack_size = 256 * 1024;
    config.silence_warnings = true;
    Runner::new(scheduler, config).run(scenario);
}

/// Opens a broker without a thread of its own, over a new disk.
pub(crate) fn broker(disk: &SimulatedDisk, durability: Durability) -> Broker {
    builder(disk, durability).open().unwrap()
}

pub(crate) fn builder(disk: &SimulatedDisk, durability: Durability) -> BrokerBuilder {
    Broker::builder("/data").disk(disk).background(false).durability(durability).tail_bytes(1 << 20)
}

/// Segments of a few records.
pub(crate) fn small_segments() -> TopicConfig {
    TopicConfig::new().segment_bytes(1024).index_interval_bytes(64)
}

/// The same of a topic that is compacted.
pub(crate) fn compacted() -> TopicConfig {
    small_segments().cleanup_policy(CleanupPolicy::Compact)
}

pub(crate) fn record(value: &str) -> ProducerRecord<'_> {
    ProducerRecord::to("t").partition(0).value(value)
}

pub(crate) fn values(records: &ConsumerRecords) -> Vec<String> {
    records.iter().map(|record| record.value_str().unwrap().to_owned()).collect()
}

/// Everything in the partition, which must have no gap.
pub(crate) fn read_all(partition: &Partition) -> Vec<String> {
    let mut read = Vec::new();
    for (offset, record) in partition.iter_from(0).enumerate() {
        let record = record.unwrap();
        assert_eq!(record.offset(), offset as u64);
        read.push(text(record.value()));
    }
    read
}

/// A reader that reads everything again and again until all that is `sent` is there, and sees a prefix of it each time.
pub(crate) fn spawn_reader(partition: &Partition, sent: &[String]) -> JoinHandle<()> {
    let (partition, sent) = (partition.clone(), sent.to_vec());
    thread::spawn(move || {
        let mut seen = 0;
        while seen < sent.len() {
            let read = read_all(&partition);
            assert_eq!(read, sent[..read.len()]);
            assert!(seen <= read.len(), "what was read once is there the next time");
            seen = read.len();
            thread::yield_now();
        }
    })
}

pub(crate) fn text(value: Option<&[u8]>) -> String {
    String::from_utf8(value.unwrap().to_vec()).unwrap()
}

/// What is in partition 0 of the topic after a power cut and a restart of that machine.
pub(crate) fn after_power_cut(image: &SimulatedDisk) -> Vec<String> {
    let broker = broker(image, Durability::Always);
    read_all(&broker.topic("t").unwrap().partition(0).unwrap())
}

/// Waits for all, and passes on how they failed.
pub(crate) fn join<T>(threads: impl IntoIterator<Item = JoinHandle<T>>) -> Vec<T> {
    threads.into_iter().map(|thread| thread.join().unwrap()).collect()
}
