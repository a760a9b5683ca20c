//! `ottla offsets`.

use clap::Args;
use ottla::{Partition, Timestamp};
use serde::Serialize;

use crate::failure::Failure;
use crate::output::table::{Column, Look, Row};
use crate::output::{Output, time};
use crate::place::{self, Place};
use crate::selection::{self, Selection};

#[derive(Debug, Args)]
pub struct Offsets {
    /// Topics, or some of their partitions, as in orders:0,2; all if none is named
    #[arg(value_name = "TOPIC[:N,N…]")]
    topics: Vec<Selection>,
    /// Find the first record of this time or later, such as 2026-12-01T15:00:00Z, or -15m; the end if there is none
    #[arg(long, value_name = "TIME", value_parser = time::parse, allow_hyphen_values = true)]
    time: Option<Timestamp>,
}

/// Where a partition begins and ends.
#[derive(Debug, Serialize)]
struct Bounds {
    topic: String,
    partition: u32,
    earliest: u64,
    stable: u64,
    latest: u64,
}

/// The same, and the offset for a time.
#[derive(Debug, Serialize)]
struct BoundsAndTime {
    #[serde(flatten)]
    bounds: Bounds,
    at_time: u64,
}

impl Row for Bounds {
    const HEADER: &'static [&'static str] = &["topic", "partition", "earliest", "stable", "latest"];

    fn columns(&self, look: Look) -> Vec<Column> {
        vec![
            (&self.topic).into(),
            look.number(self.partition),
            look.number(self.earliest),
            look.number(self.stable),
            look.number(self.latest),
        ]
    }
}

impl Row for BoundsAndTime {
    const HEADER: &'static [&'static str] = &["topic", "partition", "earliest", "stable", "latest", "at time"];

    fn columns(&self, look: Look) -> Vec<Column> {
        let mut columns = self.bounds.columns(look);
        columns.push(look.number(self.at_time));
        columns
    }
}

impl From<&Partition> for Bounds {
    fn from(partition: &Partition) -> Bounds {
        // In this order: what moves meanwhile moves up, and each is no more than the next one.
        let (earliest, stable) = (partition.log_start_offset(), partition.last_stable_offset());
        Bounds {
            topic: partition.topic_partition().topic().to_owned(),
            partition: partition.topic_partition().partition(),
            earliest: earliest.min(stable),
            stable,
            latest: partition.high_watermark().max(stable),
        }
    }
}

impl Offsets {
    pub fn run(&self, place: &Place, output: &Output) -> Result<(), Failure> {
        let broker = place.read()?;
        let partitions = selection::partitions(&broker, &self.topics)?;
        match self.time {
            None => output.rows(&partitions.iter().map(Bounds::from).collect::<Vec<_>>())?,
            Some(time) => {
                let rows = partitions.iter().map(|partition| at_time(partition, time));
                output.rows(&rows.collect::<Result<Vec<_>, _>>()?)?;
            }
        }
        place::check_shown(&broker, |shown| partitions.iter().any(|partition| partition.topic_partition() == shown))
    }
}

fn at_time(partition: &Partition, time: Timestamp) -> Result<BoundsAndTime, Failure> {
    let found = partition.offset_for_time(time)?;
    let bounds = Bounds::from(partition);
    Ok(BoundsAndTime { at_time: found.unwrap_or(bounds.latest), bounds })
}
