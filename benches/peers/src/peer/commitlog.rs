//! The crate `commitlog`.

use std::hint::black_box;
use std::path::Path;
use std::time::Duration;

use commitlog::message::{MessageBuf, MessageSet};
use commitlog::{CommitLog, LogOptions, ReadLimit};

use super::{Peer, record, sum};
use crate::row::{Row, Work};
use crate::turn::{places, timed};

/// It never syncs its segments: `flush` ends in the page cache. And of a thousand logs each would map an index of its own.
pub(super) const PEER: Peer = Peer {
    name: "commitlog",
    can: |work| matches!(work, Work::Append | Work::AppendBatches | Work::Scan | Work::ReadAtRandom),
    run,
};

const SPACE: &str = "there is space";

fn open(dir: &Path) -> CommitLog {
    let mut options = LogOptions::new(dir);
    options.segment_max_bytes(1 << 30).index_max_items(10_000_000).message_max_bytes(4 << 20);
    CommitLog::new(options).expect("a directory of its own")
}

fn run(row: &Row, dir: &Path, calls: &mut Vec<Duration>) -> Option<Duration> {
    let value = record(row.record_bytes);
    let mut log = open(dir);
    match row.work {
        Work::Append => Some(timed(row.records, Some(calls), || _ = log.append_msg(&value).expect(SPACE))),
        Work::AppendBatches => {
            let mut batch = MessageBuf::default();
            Some(timed(row.records / 1000, None, || {
                batch.clear();
                (0..1000).for_each(|_| batch.push(&value).expect("a batch has room"));
                log.append(&mut batch).expect(SPACE);
            }))
        }
        Work::Scan => {
            let (mut offset, mut bytes) = (0, 0_u64);
            while offset < row.records as u64 {
                let read = log.read(offset, ReadLimit::max_bytes(1 << 20)).expect("a sound log");
                for message in read.iter() {
                    assert!(message.verify_hash());
                    bytes = bytes.wrapping_add(sum(message.payload()));
                    offset = message.offset() + 1;
                }
            }
            black_box(bytes);
            None
        }
        Work::ReadAtRandom => {
            for offset in places(row.records) {
                let read = log.read(offset, ReadLimit::max_bytes(256)).expect("a sound log");
                let message = read.iter().next().expect("not the end");
                assert!(message.verify_hash());
                black_box(sum(message.payload()));
            }
            None
        }
        _ => None,
    }
}
