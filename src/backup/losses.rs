//! What a copy that is gone on from does not have whole any more.

use std::fmt;
use std::ops::Range;

use crate::topic_partition::TopicPartition;

/// What is not whole any more, and what was moved back for that.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Losses {
    pub(crate) torn: Vec<TornTransaction>,
    pub(crate) moved_back: Vec<(String, TopicPartition, Range<u64>)>,
}

/// A committed transaction of which a part was left out, since it lies behind where that partition was cut.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TornTransaction {
    pub(super) producer_id: i64,
    pub(super) partition: TopicPartition,
    pub(super) offsets: Range<u64>,
}

impl TornTransaction {
    pub(crate) fn new(producer_id: i64, partition: TopicPartition, offsets: Range<u64>) -> TornTransaction {
        TornTransaction { producer_id, partition, offsets }
    }

    /// The id of its producer.
    #[must_use]
    pub fn producer_id(&self) -> i64 {
        self.producer_id
    }

    /// Where a part is left out.
    #[must_use]
    pub fn partition(&self) -> &TopicPartition {
        &self.partition
    }

    /// The offsets among which that part was.
    #[must_use]
    pub fn offsets(&self) -> Range<u64> {
        self.offsets.clone()
    }
}

impl Losses {
    /// Group, partition, and the offsets from where it is now to where it was.
    pub(crate) fn moved_back(&self) -> impl Iterator<Item = (&str, &TopicPartition, Range<u64>)> {
        self.moved_back.iter().map(|(group, partition, offsets)| (&**group, partition, offsets.clone()))
    }
}

/// A line for each, with a line feed before it.
impl fmt::Display for Losses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for TornTransaction { producer_id, partition, offsets } in &self.torn {
            let Range { start, end } = offsets;
            write!(f, "\ntorn: {partition}: offsets {start}..{end} of a transaction of producer {producer_id}")?;
        }
        self.moved_back().try_for_each(|(group, partition, Range { start, end })| {
            write!(f, "\nmoved back: group {group}: {partition} from {end} to {start}")
        })
    }
}
