//! Ten years of a broker by a clock that the test turns, on a simulated disk.
//!
//! The failure that this is about: retention and compaction work on the first day, and years later the disk is full, because each
//! roll had left a file, an entry in a manifest, or a map; or a record is gone that was to be kept. So records come every few
//! weeks (or minutes: the more rolls are wanted, the closer together), from all times there are, every kind of topic rolls by the
//! clock or by size, somebody deletes records and resets the wall clock, groups read along or fall behind, and the broker is
//! closed and killed. After each step everything that could pile up is counted, and what must still be there is looked for.
//!
//! `OTTLA_SOAK_YEAR_ROLLS` sets how many segments are rolled in the ten years.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use ottla::testing::SimulatedDisk;
use ottla::{
    Broker, CleanupPolicy, ConsumerConfig, Durability, OwnedRecord, Partition, ProducerRecord, Timestamp, TopicConfig,
    TopicPartition,
};

use crate::ALONE;
use crate::usage::resident_bytes;

const ROLLS: u64 = 2500;
const YEARS_MS: i64 = 10 * 365 * 24 * 3_600_000;
const BEGIN_MS: i64 = 1_700_000_000_000;
/// About so many segments are rolled in each step.
const ROLLS_PER_STEP: u64 = 7;
/// Kept by time, kept by size, a table, a table of some time, and one that hardly anybody writes to.
const TOPICS: [(&str, u32); 5] = [("clicks", 2), ("logs", 2), ("prices", 2), ("sessions", 1), ("quiet", 1)];
/// What is kept by time, in steps, and when a segment is closed by the clock.
const KEPT_STEPS: i64 = 12;
const LOGS_BYTES: u64 = 300_000;
const KEYS: u64 = 40;
/// A step in so many: the broker is closed, or killed; a group polls only then; a topic is written to only then.
const REOPENED: u64 = 37;
const KILLED: u64 = 53;
const SLOW: u64 = 30;
const QUIET: u64 = 20;

#[test]
fn ten_years_leave_no_more_than_one() {
    let wanted = std::env::var("OTTLA_SOAK_YEAR_ROLLS").ok().and_then(|text| text.parse().ok()).unwrap_or(ROLLS);
    let steps = (wanted / ROLLS_PER_STEP).max(200);
    let _alone = ALONE.lock().unwrap();
    let mut years = Years::begin(YEARS_MS / i64::try_from(steps).unwrap());
    let begun = Instant::now();
    let mut counts = Vec::new();
    for step in 0..steps {
        years.live_through(step);
        counts.push(years.count());
        if step % 10_000 == 9999 {
            println!("step {step}, {} rolls, {:?}: {:?}", years.rolls, begun.elapsed(), counts.last());
        }
    }
    println!("{} rolls in {steps} steps of {} s, {:?}", years.rolls, years.step_ms / 1000, begun.elapsed());
    assert!(years.rolls * 5 > wanted * 4, "only {} rolls: the test has lost what it is for", years.rolls);
    // A tenth is a year, and what is kept in one is kept in all.
    let (first, later) = counts.split_at(counts.len() / 5);
    let bound = first.iter().fold(Counts::default(), |most, counts| most.max(*counts)).with_slack();
    println!("bound {bound:?}\nat last {:?}", later[later.len() - 1]);
    for (step, counts) in later.iter().enumerate() {
        assert!(counts.is_within(bound), "step {}: {counts:?}, more than {bound:?}", step + first.len());
    }
}

/// What could pile up.
#[derive(Debug, Clone, Copy, Default)]
struct Counts {
    files: u64,
    bytes: u64,
    handles: u64,
    resident_bytes: u64,
}

impl Counts {
    fn max(self, other: Counts) -> Counts {
        Counts {
            files: self.files.max(other.files),
            bytes: self.bytes.max(other.bytes),
            handles: self.handles.max(other.handles),
            resident_bytes: self.resident_bytes.max(other.resident_bytes),
        }
    }

    /// What may be added however long the run is: a segment that is begun with its indexes here and there, what other tests of this
    /// process take, and what the allocator keeps.
    fn with_slack(self) -> Counts {
        Counts {
            files: self.files + 16,
            bytes: self.bytes + (1 << 20),
            handles: self.handles + 4,
            resident_bytes: self.resident_bytes + (24 << 20),
        }
    }

    fn is_within(self, bound: Counts) -> bool {
        self.files <= bound.files
            && self.bytes <= bound.bytes
            && self.handles <= bound.handles
            && self.resident_bytes <= bound.resident_bytes
    }
}

/// A machine with a broker, and what is known of it.
struct Years {
    disk: SimulatedDisk,
    /// None only while it is opened anew.
    broker: Option<Broker>,
    step_ms: i64,
    now_ms: i64,
    /// By directory: the newest segment that was seen.
    newest: HashMap<PathBuf, u64>,
    rolls: u64,
    /// Of `clicks`, by partition: each record that may still be there, and the step in which it was sent.
    clicks: [Vec<(u64, u64)>; 2],
    /// What the last record of each key says.
    prices: BTreeMap<u64, Option<String>>,
}

impl Years {
    fn begin(step_ms: i64) -> Years {
        let disk = SimulatedDisk::new(1);
        disk.set_now_ms(BEGIN_MS);
        let broker = open(&disk);
        for (topic, partitions) in TOPICS {
            broker.create_topic(topic, config(topic, step_ms).partitions(partitions)).unwrap();
        }
        let (newest, clicks, prices) = (HashMap::new(), [Vec::new(), Vec::new()], BTreeMap::new());
        Years { disk, broker: Some(broker), step_ms, now_ms: BEGIN_MS, newest, rolls: 0, clicks, prices }
    }

    fn broker(&self) -> &Broker {
        self.broker.as_ref().unwrap()
    }

    fn partition(&self, topic: &str, number: u32) -> Partition {
        self.broker().existing_topic(topic).unwrap().partition(number).unwrap()
    }

    /// One step: of everything that happens something happens.
    fn live_through(&mut self, step: u64) {
        self.send(step);
        self.consume(step);
        self.count_rolls();
        if step % 11 == 3 {
            self.reset_the_clock();
        }
        self.disk.advance(Duration::from_millis(self.step_ms.unsigned_abs()));
        self.now_ms += self.step_ms;
        self.broker().run_maintenance().unwrap();
        if step % REOPENED == REOPENED - 1 {
            self.broker.take().unwrap().close().unwrap();
            self.broker = Some(open(&self.disk));
        }
        if step % KILLED == KILLED - 1 {
            self.broker().flush().unwrap();
            let disk = self.disk.kill(step);
            self.broker = None;
            self.disk = disk;
            self.broker = Some(open(&self.disk));
        }
        self.check_clicks(step);
        if step.is_multiple_of(25) {
            self.check_prices();
        }
    }

    fn send(&mut self, step: u64) {
        for number in 0..2 {
            let record = ProducerRecord::new().value(step.to_string());
            // Most senders tell the time as it is; some are of another century.
            let record = match step % 17 {
                5 => record.timestamp(Timestamp::from_millis(BEGIN_MS + 5 * YEARS_MS)),
                9 => record.timestamp(Timestamp::from_millis(1)),
                _ => record,
            };
            let sent = self.partition("clicks", number).append(&record).unwrap();
            self.clicks[number as usize].push((sent, step));
            // Larger than a slot, so that segments are rolled by their size.
            self.partition("logs", number).append(&ProducerRecord::new().value("x".repeat(70_000))).unwrap();
        }
        for n in 0..4 {
            let key = (step * 7 + n) % KEYS;
            let value = (step % 6 != n).then(|| format!("{step}.{n}"));
            let mut record = ProducerRecord::new().key(key.to_string());
            if let Some(value) = &value {
                record = record.value(value.clone());
            }
            self.partition("prices", u32::try_from(key % 2).unwrap()).append(&record).unwrap();
            self.prices.insert(key, value);
            self.partition("sessions", 0).append(&ProducerRecord::new().key(step.to_string()).value("in")).unwrap();
        }
        if step.is_multiple_of(QUIET) {
            self.partition("quiet", 0).append(&ProducerRecord::new().value("still here")).unwrap();
        }
        if step % 7 == 6 {
            let end = self.partition("logs", 1).log_end_offset();
            let before = [(TopicPartition::new("logs", 1), end - 1)];
            self.broker().admin().delete_records(&before).unwrap();
        }
    }

    fn consume(&self, step: u64) {
        let groups = if step.is_multiple_of(SLOW) { &["fast", "slow"][..] } else { &["fast"] };
        for group in groups {
            let config = ConsumerConfig::new(*group).topics(TOPICS.map(|(topic, _)| topic));
            let mut consumer = self.broker().consumer_with(config).unwrap();
            while !consumer.poll(Duration::ZERO).unwrap().is_empty() {}
            consumer.commit().unwrap();
            consumer.close().unwrap();
            assert_eq!(
                self.broker().admin().describe_group(group).unwrap().total_lag(),
                0,
                "{group} has read everything"
            );
        }
    }

    /// Somebody sets the clock of the machine, a century on and back: nothing is deleted for that.
    fn reset_the_clock(&self) {
        let starts = || {
            let topics = TOPICS.iter().flat_map(|(topic, _)| self.broker().existing_topic(topic).unwrap().partitions());
            topics.map(|partition| partition.log_start_offset()).collect::<Vec<_>>()
        };
        self.broker().run_maintenance().unwrap();
        let before = starts();
        self.disk.set_now_ms(self.now_ms + 10 * YEARS_MS);
        self.broker().run_maintenance().unwrap();
        assert_eq!(starts(), before);
        self.disk.set_now_ms(self.now_ms);
    }

    fn count_rolls(&mut self) {
        for (path, _) in self.disk.files() {
            let (Some(dir), Some(stem)) = (path.parent(), path.file_stem()) else { continue };
            let base =
                stem.to_string_lossy().parse::<u64>().ok().filter(|_| path.extension().is_some_and(|x| x == "log"));
            let Some(base) = base else { continue };
            let newest = self.newest.entry(dir.to_owned()).or_default();
            if *newest < base {
                *newest = base;
                self.rolls += 1;
            }
        }
    }

    /// What is younger than the time it is kept for is there, and nothing is that is older by more than two segments.
    fn check_clicks(&mut self, step: u64) {
        let kept = u64::try_from(KEPT_STEPS).unwrap();
        for number in 0..2 {
            let found: Vec<u64> = all(&self.partition("clicks", number)).map(|record| record.offset()).collect();
            let sent = &mut self.clicks[number as usize];
            let is_kept = |sent_in: u64| step < sent_in + kept;
            let least = sent.iter().filter(|(_, sent_in)| is_kept(*sent_in)).map(|(offset, _)| *offset);
            let first = found.first().copied().unwrap_or(u64::MAX);
            assert!(least.clone().all(|offset| first <= offset), "step {step}: {number} begins at {first}");
            sent.retain(|(offset, _)| first <= *offset);
            assert!(sent.iter().map(|(offset, _)| *offset).eq(found), "step {step}: what is there is all there is");
            let oldest = sent.first().map_or(step, |(_, sent_in)| *sent_in);
            assert!(step <= oldest + kept + 4, "step {step}: {number} still has a record of step {oldest}");
        }
    }

    fn check_prices(&self) {
        let mut found: BTreeMap<u64, Option<String>> = BTreeMap::new();
        let mut count = 0;
        for record in [0, 1].map(|number| self.partition("prices", number)).iter().flat_map(all) {
            let value = record.value().is_some().then(|| record.value_str().unwrap().to_owned());
            found.insert(record.key_str().unwrap().parse().unwrap(), value);
            count += 1;
        }
        // A key whose tombstone is gone is as one that was never there.
        let table = |all: &BTreeMap<u64, Option<String>>| {
            all.iter().filter_map(|(key, value)| Some((*key, value.clone()?))).collect::<Vec<_>>()
        };
        assert_eq!(table(&found), table(&self.prices));
        assert!(count < 8 * KEYS, "{count} records for {KEYS} keys");
    }

    fn count(&self) -> Counts {
        let files = self.disk.files();
        Counts {
            files: files.len() as u64,
            bytes: files.iter().map(|(_, bytes)| bytes).sum(),
            handles: self.disk.open_handles() as u64,
            resident_bytes: resident_bytes(),
        }
    }
}

fn all(partition: &Partition) -> impl Iterator<Item = OwnedRecord> {
    partition.iter_from(partition.log_start_offset()).map(Result::unwrap)
}

fn open(disk: &SimulatedDisk) -> Broker {
    let builder = Broker::builder("/data").disk(disk).background(false).durability(Durability::Os);
    builder.max_open_files(32).tail_bytes(4 << 20).open().unwrap()
}

fn config(topic: &str, step_ms: i64) -> TopicConfig {
    let steps = |count: i64| Duration::from_millis((step_ms * count).unsigned_abs());
    let config = TopicConfig::new().segment_ms(steps(1)).segment_bytes(64 << 10);
    match topic {
        "clicks" | "quiet" => config.retention_ms(steps(KEPT_STEPS)),
        "logs" => config.retention_bytes(LOGS_BYTES),
        "prices" => config.cleanup_policy(CleanupPolicy::Compact).delete_retention_ms(steps(6)),
        _ => config.cleanup_policy(CleanupPolicy::CompactAndDelete).retention_ms(steps(KEPT_STEPS)),
    }
}
