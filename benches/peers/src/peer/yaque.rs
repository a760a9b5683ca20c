//! The crate `yaque`. It never syncs, and a receiver takes records away.

use std::path::Path;
use std::time::Duration;

use yaque::Sender;

use super::{Peer, record};
use crate::row::{Row, Work};
use crate::turn::timed;

pub(super) const PEER: Peer =
    Peer { name: "yaque", can: |work| matches!(work, Work::Append | Work::AppendBatches), run };

#[allow(clippy::unnecessary_wraps, reason = "as the others are called")]
fn run(row: &Row, dir: &Path, calls: &mut Vec<Duration>) -> Option<Duration> {
    let mut sender = Sender::open(dir).expect("a directory of its own");
    let value = record(row.record_bytes);
    Some(match row.work {
        Work::AppendBatches => timed(row.records / 1000, None, || {
            assert!(sender.try_send_batch(std::iter::repeat_n(&value, 1000)).is_ok(), "there is space");
        }),
        _ => timed(row.records, Some(calls), || assert!(sender.try_send(&value).is_ok(), "there is space")),
    })
}
