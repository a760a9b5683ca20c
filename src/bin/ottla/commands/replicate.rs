//! `ottla replicate`.

use std::io::{self, Write};
use std::ops::ControlFlow;
use std::path::PathBuf;

use clap::Args;
use ottla::{CatchUpReport, Replica, TopicPartition};
use serde::Serialize;

use crate::failure::Failure;
use crate::interrupt::Interrupt;
use crate::output::{Output, Stdout, text};
use crate::place::Place;

/// Keep a second directory that follows the data directory
///
/// It works beside the program that writes the data directory, and goes on until Ctrl-C. Of each partition comes what survives a power cut
/// and is in a segment; what is only in the tail comes once its batch is full, or the program closes the directory. The second
/// directory can be read meanwhile. When the first one is lost, `ottla promote` makes the second one a data directory of its own.
#[derive(Debug, Args)]
pub struct Replicate {
    /// The second directory: a replica, or a new or an empty directory
    target: PathBuf,
    /// Bring over what there is now, and end
    #[arg(long)]
    once: bool,
}

/// What came.
#[derive(Debug, Serialize)]
struct Came {
    taken_at: String,
    partitions: Vec<CamePartition>,
    bytes: u64,
}

#[derive(Debug, Serialize)]
struct CamePartition {
    partition: TopicPartition,
    from: u64,
    to: u64,
    /// Deleted at the source before they came, from the first offset to below the second.
    never_had: Option<(u64, u64)>,
}

impl Replicate {
    pub fn run(&self, place: &Place, output: &Output) -> Result<(), Failure> {
        let interrupt = Interrupt::watch(|| {})?;
        let mut replica = Replica::open(place.dir()?, &self.target)?;
        let mut shown = Ok(());
        let ran = replica.run(|report| {
            let came = Came::new(report);
            if self.once || !came.partitions.is_empty() {
                shown = output.value(&came, |out, _| came.show(out));
            }
            if self.once || shown.is_err() || interrupt.is_asked() {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        });
        shown?;
        Ok(ran?)
    }
}

impl Came {
    fn new(report: &CatchUpReport) -> Came {
        let never_had = |partition: &TopicPartition| {
            report.never_had().find(|(found, _)| *found == partition).map(|(_, offsets)| (offsets.start, offsets.end))
        };
        let partition = |partition: &TopicPartition| {
            let offsets = report.offsets(partition).unwrap_or_default();
            let (from, to) = (offsets.start, offsets.end);
            CamePartition { partition: partition.clone(), from, to, never_had: never_had(partition) }
        };
        Came {
            taken_at: report.taken_at().to_string(),
            partitions: report.partitions().map(partition).collect(),
            bytes: report.bytes(),
        }
    }

    fn show(&self, out: &mut Stdout) -> io::Result<()> {
        let offsets: u64 = self.partitions.iter().map(|partition| partition.to - partition.from).sum();
        let (partitions, bytes) = (text::counted(self.partitions.len(), "partition"), text::bytes(self.bytes));
        writeln!(out, "{}: {offsets} offsets in {partitions} came, {bytes} were copied", self.taken_at)?;
        for CamePartition { partition, never_had, .. } in &self.partitions {
            if let Some((from, to)) = never_had {
                writeln!(out, "{partition}: {from} to {} were deleted before they came, and are missing", to - 1)?;
            }
        }
        Ok(())
    }
}
