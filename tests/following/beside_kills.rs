//! A reader that stays open in one process, over all lives and deaths of the writer in another.
//!
//! The failure that this is about: a follower that was fast enough misses a record, gets one twice or in another order, gets one that
//! is not there afterwards, or ends with an error, because a segment rolled, was deleted or compacted, a topic was deleted and made
//! again, the tail grew, or the writer was killed or closed and came back.
//!
//! The child sends to four topics records that say which offset they have. One keeps everything, one is deleted at its front, one is
//! compacted, and one is deleted and made again. The parent kills it at a random moment, or lets it close, and starts it again; its
//! follower polls all the time. In the end it compares what it got with what is there.
//!
//! `OTTLA_FOLLOW_CYCLES` sets how often (default 25), `OTTLA_FOLLOW_SEED` the moments.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use ottla::{
    Broker, CleanupPolicy, Consumer, ConsumerConfig, Durability, Error, OffsetReset, ProducerRecord, TopicConfig,
    TopicPartition,
};

use crate::{number_from_environment, open};

const CHILD_DIR: &str = "OTTLA_FOLLOW_CHILD_DIR";
const CHILD_SEED: &str = "OTTLA_FOLLOW_CHILD_SEED";
/// All there, deleted at the front, compacted, deleted as a whole now and then.
const TOPICS: [&str; 4] = ["whole", "short", "table", "doomed"];
const KEYS: u64 = 50;
/// Longer than anything here takes.
const DEADLINE: Duration = Duration::from_secs(120);

/// Marsaglia's xorshift.
fn next_random(state: &mut u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state
}

fn create_missing(broker: &Broker) {
    for topic in TOPICS {
        if broker.existing_topic(topic).is_err() {
            broker.create_topic(topic, config_of(topic)).unwrap();
        }
    }
}

fn config_of(topic: &str) -> TopicConfig {
    let config = TopicConfig::new().segment_bytes(64 << 10);
    match topic {
        "table" => config.cleanup_policy(CleanupPolicy::Compact).set("min.cleanable.dirty.ratio", "0.1").unwrap(),
        // Of another tail file.
        "doomed" => config.durability(Durability::Always),
        _ => config,
    }
}

/// Says which offset it has. Mostly short; some leave their slot or fit none.
fn value_of(offset: u64) -> String {
    let padding = match offset % 500 {
        0 => 70_000,
        1..=3 => 5000,
        n => n % 90,
    };
    format!("{offset} {}", ".".repeat(usize::try_from(padding).unwrap_or_default()))
}

/// Not a test: the process that is killed.
#[test]
#[ignore = "run by the test of this module, in a process of its own"]
fn child() {
    let Some(dir) = std::env::var_os(CHILD_DIR) else { return };
    let mut state = number_from_environment(CHILD_SEED, 1);
    let broker = open(&dir);
    create_missing(&broker);
    println!("\nopen");
    let count = next_random(&mut state) % 3000;
    for number in 0.. {
        let topic = TOPICS[usize::try_from(next_random(&mut state) % 16).unwrap().saturating_sub(12)];
        let partition = broker.topic(topic).unwrap().partition(0).unwrap();
        let offset = partition.log_end_offset();
        let (key, value) = ((offset % KEYS).to_string(), value_of(offset));
        assert_eq!(partition.append(&ProducerRecord::to(topic).key(&key).value(&value)).unwrap(), offset);
        match next_random(&mut state) % 2000 {
            0..4 => {
                let short = TopicPartition::new("short", 0);
                let end = broker.topic("short").unwrap().partition(0).unwrap().log_end_offset();
                broker.admin().delete_records(&[(short, end.saturating_sub(100))]).unwrap();
            }
            4 => {
                broker.admin().delete_topic("doomed").unwrap();
                broker.create_topic("doomed", config_of("doomed")).unwrap();
            }
            5..10 => broker.run_maintenance().unwrap(),
            // Slower than who follows, now and then.
            10..100 => thread::sleep(Duration::from_micros(300)),
            _ => {}
        }
        if number == count && state.is_multiple_of(4) {
            broker.close().unwrap();
            return;
        }
    }
}

#[test]
fn who_follows_gets_each_record_once_and_in_order_whatever_becomes_of_the_writer() {
    let cycles = number_from_environment("OTTLA_FOLLOW_CYCLES", 25);
    let seed = number_from_environment("OTTLA_FOLLOW_SEED", 1).max(1);
    println!("OTTLA_FOLLOW_SEED={seed} OTTLA_FOLLOW_CYCLES={cycles}");
    let dir = tempfile::tempdir().unwrap();
    create_missing(&open(dir.path()));
    let is_over = AtomicBool::new(false);
    let got = thread::scope(|scope| {
        let following = scope.spawn(|| Followed::of(dir.path()).follow(&is_over));
        let mut state = seed;
        for _ in 0..cycles {
            live(dir.path(), &mut state);
        }
        create_missing(&open(dir.path()));
        is_over.store(true, Ordering::Release);
        following.join().unwrap()
    });
    got.compare(&open(dir.path()));
    println!("{got}");
}

/// One life of the child.
fn live(dir: &Path, state: &mut u64) {
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", "beside_kills::child", "--ignored", "--nocapture"]);
    child.env(CHILD_DIR, dir).env(CHILD_SEED, next_random(state).to_string());
    let mut child = child.stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    assert!(lines.any(|line| line == "open"), "the child could not open the directory");
    let moment = Duration::from_micros(next_random(state) % 40_000);
    thread::sleep(moment);
    let _ = child.kill();
    let status = child.wait().unwrap();
    let told: Vec<_> = lines.collect();
    assert!(status.code().is_none_or(|code| code == 0), "the child failed: {told:#?}");
}

/// What the follower has got.
struct Followed {
    reader: Broker,
    consumer: Consumer,
    /// By topic, the offset of the next record. That of `doomed` begins anew.
    next: BTreeMap<&'static str, u64>,
    /// The last offset by key, of the topic that is compacted.
    table: BTreeMap<String, u64>,
    records: u64,
    lacks_doomed: bool,
    made_again: u64,
}

impl Followed {
    fn of(dir: &Path) -> Followed {
        let reader = Broker::open_read_only(dir).unwrap();
        let config = ConsumerConfig::new("follower").offset_reset(OffsetReset::Earliest);
        let mut consumer = reader.consumer_with(config).unwrap();
        consumer.assign(&TOPICS.map(|topic| TopicPartition::new(topic, 0))).unwrap();
        let (next, table) = (BTreeMap::new(), BTreeMap::new());
        Followed { reader, consumer, next, table, records: 0, lacks_doomed: false, made_again: 0 }
    }

    /// Polls until it has all that is there once `is_over`.
    fn follow(mut self, is_over: &AtomicBool) -> Followed {
        let begin = Instant::now();
        loop {
            // Before the poll: it finds what was there by then.
            let was_over = is_over.load(Ordering::Acquire);
            match self.consumer.poll(Duration::from_millis(20)) {
                Ok(records) if records.is_empty() && was_over && !self.lacks_doomed => return self,
                Ok(records) => records.iter().for_each(|record| self.take(&record)),
                Err(Error::Closed { what, .. }) => {
                    assert_eq!(what, "doomed-0");
                    self.lacks_doomed = true;
                }
                Err(error) => panic!("{}", error.with_causes()),
            }
            if self.lacks_doomed {
                self.take_up_again();
            }
            assert!(begin.elapsed() < DEADLINE, "it gets no further than {:?}", self.next);
        }
    }

    /// A topic was deleted. Until there is another one of its name, the others are read.
    fn take_up_again(&mut self) {
        let topics = self.reader.admin().list_topics().unwrap();
        let there = TOPICS.iter().filter(|topic| topics.iter().any(|there| there == *topic));
        let there: Vec<_> = there.map(|topic| TopicPartition::new(*topic, 0)).collect();
        // It may be deleted once more in between; then this is called again.
        if self.consumer.assign(&there).is_ok() && there.len() == TOPICS.len() {
            self.next.remove("doomed");
            self.lacks_doomed = false;
            self.made_again += 1;
        }
    }

    fn take(&mut self, record: &ottla::ConsumerRecord<'_>) {
        let (topic, offset) = (*TOPICS.iter().find(|topic| **topic == record.topic()).unwrap(), record.offset());
        assert_eq!(record.value_str().unwrap(), value_of(offset), "{}", record.address());
        let next = self.next.entry(topic).or_default();
        match topic {
            "whole" => assert_eq!(offset, *next, "of the topic of which nothing goes"),
            _ => assert!(offset >= *next, "{} comes after {}", record.address(), *next - 1),
        }
        *next = offset + 1;
        if topic == "table" {
            self.table.insert(record.key_str().unwrap().to_owned(), offset);
        }
        self.records += 1;
    }

    fn compare(&self, broker: &Broker) {
        for topic in TOPICS {
            let partition = broker.topic(topic).unwrap().partition(0).unwrap();
            let next = self.next.get(topic).copied().unwrap_or_default();
            assert_eq!(next, partition.log_end_offset(), "the end of {topic}");
        }
        let table = broker.topic("table").unwrap().partition(0).unwrap();
        for record in table.iter_from(0).map(Result::unwrap) {
            let key = String::from_utf8(record.key().unwrap().to_vec()).unwrap();
            assert!(record.offset() <= self.table[&key], "key {key} has a value that was not seen");
        }
    }
}

impl std::fmt::Display for Followed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Followed { records, made_again, next, .. } = self;
        write!(f, "{records} records; a topic was made again {made_again} times; ends: {next:?}")
    }
}
