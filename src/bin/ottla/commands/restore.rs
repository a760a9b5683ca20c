//! `ottla restore`.

use std::io::{self, Write};
use std::path::PathBuf;

use clap::Args;
use ottla::{Broker, RestoreOptions, RestoreReport, Timestamp, TopicPartition};
use serde::Serialize;

use crate::failure::Failure;
use crate::output::losses::Losses;
use crate::output::{Output, Stdout, text, time};

/// Restore a backup into another directory
///
/// The backup stays as it is. The restored directory is another one than the source, and its leader epochs are above all that the source
/// has given out. With a time or offsets, groups that have committed what is left out are moved back to where the partition ends,
/// and every transaction ends in all partitions alike.
#[derive(Debug, Args)]
pub struct Restore {
    /// The backup
    backup: PathBuf,
    /// The directory to restore it into: a new or an empty one
    target: PathBuf,
    /// Of each partition only what comes before its first record that is later, such as 2026-12-01T15:00:00Z, or -15m
    #[arg(long, value_name = "TIME", value_parser = time::parse, allow_hyphen_values = true)]
    to_datetime: Option<Timestamp>,
    /// Of a partition only what comes before this offset, as in orders-0:1234; can be given several times
    #[arg(long, value_name = "PARTITION:OFFSET", value_parser = partition_and_offset)]
    to_offset: Vec<(TopicPartition, u64)>,
    /// The directory that the backup is of, if it can still be read: leader epochs rise above its own, too
    #[arg(long, value_name = "SOURCE")]
    above: Option<PathBuf>,
    /// Copy every byte, although files could be linked
    #[arg(long)]
    copy_all: bool,
}

/// What was restored.
#[derive(Debug, Serialize)]
struct Restored {
    target: String,
    partitions: Vec<RestoredPartition>,
    #[serde(flatten)]
    losses: Losses,
}

#[derive(Debug, Serialize)]
struct RestoredPartition {
    partition: TopicPartition,
    log_start_offset: u64,
    log_end_offset: u64,
    /// Records that are not later than the time.
    left_out: u64,
    first_left_out: Option<u64>,
}

impl Restore {
    pub fn run(&self, output: &Output) -> Result<(), Failure> {
        let mut options = RestoreOptions::new().copy_all(self.copy_all);
        if let Some(time) = self.to_datetime {
            options = options.to_time(time);
        }
        for (partition, offset) in &self.to_offset {
            options = options.to_offset(partition.clone(), *offset);
        }
        if let Some(source) = &self.above {
            options = options.above(source);
        }
        let report = Broker::restore_with(&self.backup, &self.target, &options)?;
        let restored = Restored::new(self, &report);
        output.value(&restored, |out, _| restored.show(out))
    }
}

impl Restored {
    fn new(restore: &Restore, report: &RestoreReport) -> Restored {
        let partition = |partition: &TopicPartition| {
            let (offsets, left_out) = (report.offsets(partition).unwrap_or_default(), report.left_out(partition));
            RestoredPartition {
                partition: partition.clone(),
                log_start_offset: offsets.start,
                log_end_offset: offsets.end,
                left_out: left_out.iter().map(|offsets| offsets.end - offsets.start).sum(),
                first_left_out: left_out.first().map(|offsets| offsets.start),
            }
        };
        Restored {
            target: text::escaped_path(&restore.target),
            partitions: report.partitions().map(partition).collect(),
            losses: Losses::new(report.torn_transactions(), report.moved_back()),
        }
    }

    fn show(&self, out: &mut Stdout) -> io::Result<()> {
        writeln!(out, "{} restored in {}", text::counted(self.partitions.len(), "partition"), self.target)?;
        for found in self.partitions.iter().filter(|found| found.left_out > 0) {
            let first = found.first_left_out.unwrap_or_default();
            let left_out = text::counted(usize::try_from(found.left_out).unwrap_or(usize::MAX), "record");
            writeln!(out, "{}: left out {left_out} that are not later, from offset {first} on", found.partition)?;
        }
        self.losses.show(out)
    }
}

fn partition_and_offset(text: &str) -> Result<(TopicPartition, u64), String> {
    let parts = text
        .rsplit_once(':')
        .and_then(|(partition, offset)| Some((partition.parse::<TopicPartition>().ok()?, offset.parse().ok()?)));
    parts.ok_or_else(|| "expected a partition and an offset, such as orders-0:1234".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_partition_and_an_offset() {
        assert_eq!(partition_and_offset("a-b-0:17"), Ok((TopicPartition::new("a-b", 0), 17)));
        for text in ["", "orders-0", "orders:17", "orders-0:", "orders-0:-1", ":17", "orders-0:1:2"] {
            assert!(partition_and_offset(text).is_err(), "{text}");
        }
    }
}
