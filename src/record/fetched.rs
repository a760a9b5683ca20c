//! What was read: [`Fetched`] from one partition, [`Fetches`] from one after the other.

use std::{mem, slice};

use crate::disk::SharedBytes;
use crate::topic_partition::TopicPartition;

/// What was read from one partition.
#[derive(Debug, Clone)]
pub(crate) struct Fetched {
    pub(crate) partition: TopicPartition,
    /// Tells the topic from an earlier or later one of its name.
    pub(crate) topic_id: u128,
    pub(crate) batches: Vec<FetchedBatch>,
    pub(crate) record_count: usize,
    /// Where to go on: behind the last record, and behind whatever holds none.
    pub(crate) next_offset: u64,
}

/// Whole, checked records of one batch, and what their deltas count from.
#[derive(Debug, Clone)]
pub(crate) struct FetchedBatch {
    pub(crate) records: SharedBytes,
    pub(crate) base_offset: u64,
    pub(crate) base_timestamp: i64,
    /// The timestamp of every record, if the log stamped them and not their senders.
    pub(crate) append_time: Option<i64>,
    pub(crate) leader_epoch: i32,
}

/// What was read, partition by partition. As a rule it is one, which lies here itself: a list of it would take 150 instructions of
/// the 1,900 of a single read.
#[derive(Clone)]
pub(super) enum Fetches {
    One(Fetched),
    Any(Vec<Fetched>),
}

impl Default for Fetches {
    fn default() -> Fetches {
        Fetches::Any(Vec::new())
    }
}

impl Fetches {
    pub(super) fn push(&mut self, fetched: Fetched) {
        *self = match mem::take(self) {
            Fetches::Any(list) if list.is_empty() => Fetches::One(fetched),
            Fetches::Any(mut list) => {
                list.push(fetched);
                Fetches::Any(list)
            }
            Fetches::One(first) => Fetches::Any(vec![first, fetched]),
        };
    }

    #[inline]
    pub(super) fn as_slice(&self) -> &[Fetched] {
        match self {
            Fetches::One(fetched) => slice::from_ref(fetched),
            Fetches::Any(list) => list,
        }
    }
}
