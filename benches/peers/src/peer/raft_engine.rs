//! The crate `raft-engine`. Its entries are messages of Protocol Buffers that know their index.

use std::hint::black_box;
use std::path::Path;
use std::thread;
use std::time::Duration;

use protobuf::well_known_types::BytesValue;
use raft_engine::{Config, Engine, LogBatch, MessageExt, ReadableSize};

use super::{Peer, record, sum};
use crate::row::{Row, Work};
use crate::turn::{places, timed};

pub(super) const PEER: Peer = Peer { name: "raft-engine", can: |_| true, run };

const SPACE: &str = "there is space";

/// Bytes of which the first eight are the index.
struct Entries;

impl MessageExt for Entries {
    type Entry = BytesValue;

    fn index(entry: &BytesValue) -> u64 {
        entry.value.first_chunk::<8>().map_or(0, |index| u64::from_be_bytes(*index))
    }
}

fn entry(index: u64, bytes: usize) -> BytesValue {
    let mut value = record(bytes);
    if let Some(place) = value.first_chunk_mut::<8>() {
        *place = index.to_be_bytes();
    }
    BytesValue { value, ..BytesValue::default() }
}

/// One group's log.
struct Group<'e> {
    engine: &'e Engine,
    id: u64,
    next: u64,
    batch: LogBatch,
}

impl Group<'_> {
    fn new(engine: &Engine, id: u64) -> Group<'_> {
        Group { engine, id, next: 1, batch: LogBatch::default() }
    }

    fn append(&mut self, count: u64, bytes: usize, sync: bool) {
        let entries: Vec<_> = (self.next..self.next + count).map(|index| entry(index, bytes)).collect();
        self.next += count;
        self.batch.add_entries::<Entries>(self.id, &entries).expect("a batch has room");
        self.engine.write(&mut self.batch, sync).expect(SPACE);
    }
}

fn run(row: &Row, dir: &Path, calls: &mut Vec<Duration>) -> Option<Duration> {
    let dir = dir.to_str().expect("a path in UTF-8").to_owned();
    // The others do not compress either.
    let config = Config { dir, batch_compression_threshold: ReadableSize(0), ..Config::default() };
    let engine = Engine::open(config).expect("a directory of its own");
    let (bytes, mut group) = (row.record_bytes, Group::new(&engine, 1));
    match row.work {
        Work::Append => Some(timed(row.records, Some(calls), || group.append(1, bytes, false))),
        Work::AppendDurably => Some(timed(row.records, None, || group.append(1, bytes, true))),
        Work::AppendBatches => Some(timed(row.records / 1000, None, || group.append(1000, bytes, false))),
        Work::AppendBatchesDurably => Some(timed(row.records / 1000, None, || group.append(1000, bytes, true))),
        Work::AppendDurablyFrom16 => Some(timed(1, None, || {
            thread::scope(|scope| {
                for id in 1..=16 {
                    let engine = &engine;
                    scope.spawn(move || {
                        let mut group = Group::new(engine, id);
                        (0..row.records / 16).for_each(|_| group.append(1, bytes, true));
                    });
                }
            });
        })),
        Work::AppendTo1000 => {
            let mut groups: Vec<_> = (1..=1000).map(|id| Group::new(&engine, id)).collect();
            (0..row.records).for_each(|number| groups[number % 1000].append(1, bytes, false));
            None
        }
        Work::Scan => {
            let (mut index, mut total) = (1, 0_u64);
            while index <= row.records as u64 {
                let mut entries = Vec::new();
                engine.fetch_entries_to::<Entries>(1, index, index + 1000, None, &mut entries).expect("a sound log");
                index += entries.len() as u64;
                total = entries.iter().map(|entry| sum(&entry.value)).fold(total, u64::wrapping_add);
            }
            black_box(total);
            None
        }
        Work::ReadAtRandom => {
            for index in places(row.records) {
                let entry = engine.get_entry::<Entries>(1, index + 1).expect("a sound log").expect("it is there");
                black_box(sum(&entry.value));
            }
            None
        }
    }
}
