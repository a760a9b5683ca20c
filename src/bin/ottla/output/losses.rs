//! What a copy that is gone on from does not have whole any more, as commands tell it.

use std::io::{self, Write};
use std::ops::Range;

use ottla::{TopicPartition, TornTransaction};
use serde::Serialize;

use super::{Stdout, text};

/// What is not whole any more.
#[derive(Debug, Serialize)]
pub struct Losses {
    torn_transactions: Vec<Torn>,
    moved_back: Vec<MovedBack>,
}

#[derive(Debug, Serialize)]
struct Torn {
    producer_id: i64,
    partition: TopicPartition,
    from: u64,
    to: u64,
}

#[derive(Debug, Serialize)]
struct MovedBack {
    group: String,
    partition: TopicPartition,
    before: u64,
    after: u64,
}

impl Losses {
    pub fn new<'r>(
        torn: &[TornTransaction],
        moved_back: impl Iterator<Item = (&'r str, &'r TopicPartition, Range<u64>)>,
    ) -> Losses {
        let torn = torn.iter().map(|torn| Torn {
            producer_id: torn.producer_id(),
            partition: torn.partition().clone(),
            from: torn.offsets().start,
            to: torn.offsets().end,
        });
        let moved_back = moved_back.map(|(group, partition, offsets)| MovedBack {
            group: group.to_owned(),
            partition: partition.clone(),
            before: offsets.end,
            after: offsets.start,
        });
        Losses { torn_transactions: torn.collect(), moved_back: moved_back.collect() }
    }

    /// A line for each.
    pub fn show(&self, out: &mut Stdout) -> io::Result<()> {
        for Torn { producer_id, partition, from, to } in &self.torn_transactions {
            writeln!(
                out,
                "{partition}: left out {from}..{to} of a transaction of producer {producer_id} that is committed elsewhere"
            )?;
        }
        for MovedBack { group, partition, before, after } in &self.moved_back {
            writeln!(
                out,
                "{partition}: group {} moved back from {before} to {after}",
                text::escaped(group.as_bytes())
            )?;
        }
        Ok(())
    }
}
