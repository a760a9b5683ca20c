//! A compacted topic and a map: whatever was sent, compacted, closed or killed in between, reading the topic from its start
//! builds the map, from every offset on; and nothing is there that was not sent, or at another offset. A tombstone is there until
//! its time is over, and in the end nothing is left in closed segments but the last record of each key.

use std::collections::HashMap;
use std::slice;
use std::time::Duration;

use ottla::testing::SimulatedDisk;
use ottla::{
    Broker, CleanupPolicy, Compression, ConsumerConfig, Durability, Error, OwnedRecord, Partition, ProducerRecord,
    Timestamp, TopicConfig, TopicPartition,
};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

const DIR: &str = "/data";
const BEGIN_MS: i64 = 1_700_000_000_000;
const HOUR_MS: i64 = 3_600_000;

#[derive(Debug, Clone)]
pub(crate) struct Case {
    setup: Setup,
    calls: Vec<Call>,
}

#[derive(Debug, Clone)]
struct Setup {
    durability: Durability,
    compression: Compression,
    segment_bytes: u32,
    index_interval_bytes: u32,
    key_count: u8,
    rules: Rules,
}

/// When records are compacted, in hours, and tombstones go.
#[derive(Debug, Clone)]
struct Rules {
    delete_retention: i64,
    min_lag: i64,
    max_lag: i64,
    dirty_ratio: f64,
    /// What the keys of one pass may take.
    buffer_bytes: u64,
}

#[derive(Debug, Clone)]
enum Call {
    /// One record for each of these keys, in one piece; those with an odd number have no value.
    Send {
        keys: Vec<(u8, u8)>,
        value_bytes: usize,
    },
    /// A record without a key among others, which is refused with all of them.
    SendKeyless,
    Maintain,
    Compact,
    Read {
        from: u64,
        max_bytes: usize,
    },
    FindTime {
        at: u64,
    },
    Advance {
        hours: i64,
    },
    Reopen {
        is_clean: bool,
        seed: u64,
    },
}

pub(crate) fn case() -> impl Strategy<Value = Case> {
    (setup(), vec(call(), 1..120)).prop_map(|(setup, calls)| Case { setup, calls })
}

fn setup() -> impl Strategy<Value = Setup> {
    (
        select(vec![Durability::Os, Durability::Always]),
        select(codecs()),
        select(vec![1024_u32, 4000, 20_000]),
        select(vec![0_u32, 300, 4096]),
        select(vec![1_u8, 5, 100]),
        rules(),
    )
        .prop_map(|(durability, compression, segment_bytes, index_interval_bytes, key_count, rules)| Setup {
            durability,
            compression,
            segment_bytes,
            index_interval_bytes,
            key_count,
            rules,
        })
}

fn codecs() -> Vec<Compression> {
    let mut codecs = vec![Compression::None, Compression::None, Compression::Snappy];
    codecs.extend(cfg!(feature = "lz4").then_some(Compression::Lz4));
    codecs.extend(cfg!(feature = "zstd").then_some(Compression::Zstd));
    codecs
}

fn rules() -> impl Strategy<Value = Rules> {
    (
        select(vec![0_i64, 24, 24]),
        select(vec![0_i64, 0, 5]),
        select(vec![30_i64, 1_000_000]),
        select(vec![0.5, 0.5, 0.0, 0.9]),
        // That of about 60 keys, or of all of them.
        select(vec![4096_u64, 64 << 20]),
    )
        .prop_map(|(delete_retention, min_lag, max_lag, dirty_ratio, buffer_bytes)| Rules {
            delete_retention,
            min_lag,
            max_lag,
            dirty_ratio,
            buffer_bytes,
        })
}

fn call() -> impl Strategy<Value = Call> {
    let keys = vec((any::<u8>(), select(vec![0_u8, 0, 0, 1])), 1..12);
    prop_oneof![
        20 => (keys, select(vec![0, 30, 200, 1000])).prop_map(|(keys, value_bytes)| Call::Send { keys, value_bytes }),
        1 => Just(Call::SendKeyless),
        8 => Just(Call::Maintain),
        2 => Just(Call::Compact),
        4 => (0..=1000_u64, select(vec![0, 1, 500, 1 << 20]))
            .prop_map(|(from, max_bytes)| Call::Read { from, max_bytes }),
        2 => (0..=1000_u64).prop_map(|at| Call::FindTime { at }),
        2 => select(vec![1, 13, 30]).prop_map(|hours| Call::Advance { hours }),
        3 => (any::<bool>(), any::<u64>()).prop_map(|(is_clean, seed)| Call::Reopen { is_clean, seed }),
    ]
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Sent {
    key: u8,
    value: Option<Vec<u8>>,
    timestamp: i64,
}

struct Run {
    setup: Setup,
    disk: SimulatedDisk,
    now_ms: i64,
    broker: Option<Broker>,
    sent: Vec<Sent>,
    /// When compaction may have passed over each record first.
    passed: Vec<i64>,
}

fn hours(count: i64) -> Duration {
    Duration::from_millis((count * HOUR_MS).cast_unsigned())
}

/// Runs a case. Whether compaction has removed anything.
pub(crate) fn run(case: &Case) -> bool {
    let disk = SimulatedDisk::new(1);
    disk.set_now_ms(BEGIN_MS);
    let mut run =
        Run { setup: case.setup.clone(), disk, now_ms: BEGIN_MS, broker: None, sent: Vec::new(), passed: Vec::new() };
    run.open();
    for call in &case.calls {
        run.apply(call);
    }
    run.check();
    run.reopen(true, 0);
    run.compact_until_nothing_is_left_to_do();
    run.all().len() < run.sent.len()
}

impl Run {
    fn open(&mut self) {
        let rules = &self.setup.rules;
        let config = TopicConfig::new()
            .compression(self.setup.compression)
            .cleanup_policy(CleanupPolicy::Compact)
            .delete_retention_ms(hours(rules.delete_retention))
            .min_compaction_lag_ms(hours(rules.min_lag))
            .max_compaction_lag_ms(hours(rules.max_lag))
            .min_cleanable_dirty_ratio(rules.dirty_ratio)
            .segment_bytes(self.setup.segment_bytes)
            .max_message_bytes(16 << 10)
            .index_interval_bytes(self.setup.index_interval_bytes);
        let broker = Broker::builder(DIR)
            .durability(self.setup.durability)
            .topic_defaults(config)
            .background(false)
            .tail_bytes(1 << 20)
            .max_open_files(8)
            .cleaner_dedupe_buffer_bytes(rules.buffer_bytes)
            .disk(&self.disk)
            .open()
            .unwrap();
        assert_eq!(broker.recovery_report().damage().count(), 0);
        broker.topic("states").unwrap();
        self.broker = Some(broker);
    }

    fn partition(&self) -> Partition {
        self.broker.as_ref().unwrap().topic("states").unwrap().partition(0).unwrap()
    }

    fn apply(&mut self, call: &Call) {
        match call {
            Call::Send { keys, value_bytes } => self.send(keys, *value_bytes),
            Call::SendKeyless => self.send_keyless(),
            Call::Maintain => {
                self.broker.as_ref().unwrap().run_maintenance().unwrap();
                self.note_pass();
                self.check();
            }
            Call::Compact => {
                self.compact();
                self.check();
            }
            Call::Read { from, max_bytes } => self.read(self.sent.len() as u64 * from / 1000, *max_bytes),
            Call::FindTime { at } => self.find_time(*at),
            Call::Advance { hours } => {
                self.now_ms += hours * HOUR_MS;
                self.disk.advance(self::hours(*hours));
            }
            Call::Reopen { is_clean, seed } => self.reopen(*is_clean, *seed),
        }
    }

    fn send(&mut self, keys: &[(u8, u8)], value_bytes: usize) {
        let first = self.sent.len();
        for (key, is_tombstone) in keys {
            let serial = self.sent.len().to_string().into_bytes();
            let value: Vec<u8> = serial.iter().copied().cycle().take(value_bytes.max(serial.len())).collect();
            let value = (is_tombstone % 2 == 0).then_some(value);
            self.sent.push(Sent { key: key % self.setup.key_count, value, timestamp: self.now_ms });
        }
        let partition = self.partition();
        let keys: Vec<[u8; 1]> = self.sent[first..].iter().map(|sent| [sent.key]).collect();
        let records: Vec<_> = self.sent[first..]
            .iter()
            .zip(&keys)
            .map(|(sent, key)| {
                let record = ProducerRecord::to("states").key(key);
                sent.value.iter().fold(record, ProducerRecord::value)
            })
            .collect();
        assert_eq!(partition.append_batch(&records).unwrap(), first as u64..self.sent.len() as u64);
    }

    fn send_keyless(&self) {
        let partition = self.partition();
        let records = [ProducerRecord::new().key("key").value("1"), ProducerRecord::new().value("2")];
        assert!(matches!(partition.append_batch(&records), Err(Error::InvalidRecord { .. })));
        assert_eq!(partition.log_end_offset(), self.sent.len() as u64);
    }

    fn compact(&mut self) {
        let count = |run: &Run| run.all().len() as u64;
        let before = count(self);
        let report = self.broker.as_ref().unwrap().admin().compact("states").unwrap();
        self.note_pass();
        let [partition] = report.partitions() else { panic!("{report}") };
        assert_eq!(before - partition.records_removed(), count(self), "{report}");
        let may_be_left_out = self.setup.rules.min_lag > 0;
        assert!(report.is_complete() || may_be_left_out, "{report}");
    }

    fn note_pass(&mut self) {
        self.passed.resize(self.sent.len(), self.now_ms);
    }

    /// Everything is old enough, and so is then every tombstone.
    fn compact_until_nothing_is_left_to_do(&mut self) {
        for hours in [self.setup.rules.min_lag, self.setup.rules.delete_retention, 0] {
            self.apply(&Call::Advance { hours });
            self.apply(&Call::Compact);
        }
        let bases = self.disk.files().into_iter().filter_map(|(path, _)| {
            let name = path.file_name()?.to_str()?.to_owned();
            path.to_str()?.contains("states-0").then_some(name.strip_suffix(".log")?.parse().ok()?)
        });
        let active: u64 = bases.max().unwrap_or(0);
        let closed: Vec<_> = self.all().into_iter().filter(|record| record.offset() < active).collect();
        let keys: std::collections::HashSet<_> = closed.iter().map(|record| record.key().unwrap().to_vec()).collect();
        assert_eq!(keys.len(), closed.len(), "a key is there twice");
        assert!(closed.iter().all(|record| record.value().is_some()), "a tombstone is still there");
    }

    fn reopen(&mut self, is_clean: bool, seed: u64) {
        let broker = self.broker.take().unwrap();
        if is_clean {
            broker.close().unwrap();
        } else {
            self.disk = self.disk.kill(seed);
        }
        self.open();
        self.check();
    }

    fn all(&self) -> Vec<OwnedRecord> {
        self.partition().iter_from(0).collect::<Result<_, _>>().unwrap()
    }

    /// Compares what is there with what was sent.
    fn check(&self) {
        let partition = self.partition();
        assert_eq!((partition.log_start_offset(), partition.log_end_offset()), (0, self.sent.len() as u64));
        let all = self.all();
        assert!(all.is_sorted_by(|a, b| a.offset() < b.offset()));
        for record in &all {
            let sent = &self.sent[usize::try_from(record.offset()).unwrap()];
            let found = Sent {
                key: record.key().unwrap()[0],
                value: record.value().map(<[u8]>::to_vec),
                timestamp: record.timestamp().as_millis(),
            };
            assert_eq!(*sent, found, "offset {}", record.offset());
        }
        self.take_each(&all);
        let mut expected: HashMap<u8, (usize, Option<&Vec<u8>>)> = HashMap::new();
        for (offset, sent) in self.sent.iter().enumerate() {
            expected.insert(sent.key, (offset, sent.value.as_ref()));
        }
        for (key, (offset, value)) in &expected {
            let of_key = all.iter().filter(|record| record.key() == Some(&[*key])).map(OwnedRecord::offset);
            let last = of_key.max();
            let retention_ms = self.setup.rules.delete_retention * HOUR_MS;
            let is_over = self.passed.get(*offset).is_some_and(|passed| passed + retention_ms <= self.now_ms);
            let may_be_gone = value.is_none() && is_over;
            assert!(last == Some(*offset as u64) || last.is_none() && may_be_gone, "key {key}: {last:?}, not {offset}");
        }
    }

    /// One by one a consumer gets the same, and comes to the end, also where that holds no record any more.
    fn take_each(&self, all: &[OwnedRecord]) {
        let states = TopicPartition::new("states", 0);
        let config = ConsumerConfig::new("g").max_poll_records(7);
        let mut consumer = self.broker.as_ref().unwrap().consumer_with(config).unwrap();
        consumer.assign(slice::from_ref(&states)).unwrap();
        for expected in all {
            assert!(consumer.position(&states) <= Some(expected.offset()));
            assert_eq!(consumer.next_record(Duration::ZERO).unwrap().as_ref(), Some(expected));
            assert!(consumer.position(&states) > Some(expected.offset()));
        }
        assert_eq!(consumer.next_record(Duration::ZERO).unwrap(), None);
        assert_eq!(consumer.position(&states), Some(self.sent.len() as u64));
    }

    fn read(&self, from: u64, max_bytes: usize) {
        let all = self.all();
        let records = self.partition().read(from, max_bytes).unwrap();
        let behind = all.iter().filter(|record| record.offset() >= from);
        let expected: Vec<u64> = behind.map(OwnedRecord::offset).take(records.len()).collect();
        let found: Vec<u64> = records.iter().map(|record| record.offset()).collect();
        assert_eq!(found, expected, "from {from}");
        assert!(!found.is_empty() || all.iter().all(|record| record.offset() < from), "nothing from {from} on");
    }

    fn find_time(&self, at: u64) {
        let t = self.sent.get(self.sent.len() * usize::try_from(at).unwrap() / 1000).map_or(BEGIN_MS, |s| s.timestamp);
        let found = self.partition().offset_for_time(Timestamp::from_millis(t)).unwrap();
        let expected = self.all().iter().find(|record| record.timestamp().as_millis() >= t).map(OwnedRecord::offset);
        assert_eq!(found, expected, "timestamp {t}");
    }
}
