//! A compacted topic and a map: whatever was sent, compacted, closed or killed in between, reading the topic from its start
//! builds the map, from every offset on; and nothing is there that was not sent, or at another offset.

use std::collections::HashMap;
use std::slice;
use std::time::Duration;

use ottla::testing::SimulatedDisk;
use ottla::{
    Broker, Compression, ConsumerConfig, Durability, OwnedRecord, Partition, ProducerRecord, Timestamp, TopicConfig,
    TopicPartition,
};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

const DIR: &str = "/data";
const BEGIN_MS: i64 = 1_700_000_000_000;
const HOUR_MS: i64 = 3_600_000;
/// Of what compaction does to every topic here.
const DELETE_RETENTION_MS: i64 = 24 * HOUR_MS;

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
}

#[derive(Debug, Clone)]
enum Call {
    /// One record for each of these keys, in one piece; those with an odd number have no value.
    Send {
        keys: Vec<(u8, u8)>,
        value_bytes: usize,
    },
    Maintain,
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
        select(vec![Compression::None, Compression::None, Compression::Snappy]),
        select(vec![1024_u32, 4000, 20_000]),
        select(vec![0_u32, 300, 4096]),
        select(vec![1_u8, 5, 100]),
    )
        .prop_map(|(durability, compression, segment_bytes, index_interval_bytes, key_count)| Setup {
            durability,
            compression,
            segment_bytes,
            index_interval_bytes,
            key_count,
        })
}

fn call() -> impl Strategy<Value = Call> {
    let keys = vec((any::<u8>(), select(vec![0_u8, 0, 0, 1])), 1..12);
    prop_oneof![
        20 => (keys, select(vec![0, 30, 200, 1000])).prop_map(|(keys, value_bytes)| Call::Send { keys, value_bytes }),
        8 => Just(Call::Maintain),
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
}

/// Runs a case. Whether compaction has removed anything.
pub(crate) fn run(case: &Case) -> bool {
    let disk = SimulatedDisk::new(1);
    disk.set_now_ms(BEGIN_MS);
    let mut run = Run { setup: case.setup.clone(), disk, now_ms: BEGIN_MS, broker: None, sent: Vec::new() };
    run.open();
    for call in &case.calls {
        run.apply(call);
    }
    run.check();
    run.reopen(true, 0);
    run.all().len() < run.sent.len()
}

impl Run {
    fn open(&mut self) {
        let config = TopicConfig::new()
            .compression(self.setup.compression)
            .segment_bytes(self.setup.segment_bytes)
            .max_message_bytes(16 << 10)
            .index_interval_bytes(self.setup.index_interval_bytes);
        let broker = Broker::builder(DIR)
            .durability(self.setup.durability)
            .topic_defaults(config)
            .background(false)
            .tail_bytes(1 << 20)
            .max_open_files(8)
            .compact_all_topics()
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
            Call::Maintain => {
                self.broker.as_ref().unwrap().run_maintenance().unwrap();
                self.check();
            }
            Call::Read { from, max_bytes } => self.read(self.sent.len() as u64 * from / 1000, *max_bytes),
            Call::FindTime { at } => self.find_time(*at),
            Call::Advance { hours } => {
                self.now_ms += hours * HOUR_MS;
                self.disk.set_now_ms(self.now_ms);
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
            let is_over = self.sent[*offset].timestamp + DELETE_RETENTION_MS <= self.now_ms;
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
