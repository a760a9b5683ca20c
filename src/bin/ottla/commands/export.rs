//! `ottla export`.

use std::io::Write;
use std::path::PathBuf;

use clap::Args;
use ottla::{Error, ExportOptions, ExportedPartition};
use serde::Serialize;

use crate::failure::Failure;
use crate::output::table::{self, Column, Look, Row};
use crate::output::{Format, Output, text, to_stdout};
use crate::place::{Place, unknown_topic};

/// Write topics as a Kafka broker adopts them
///
/// For each partition a directory with log files: the same records at the same offsets. README.txt beside them says what is left to do,
/// with the commands for these topics, and committed-offsets.txt has those that set what groups have committed. A transaction that is
/// open is not exported, nor what comes behind it in its partitions. Exit status 1 if something was left out so.
#[derive(Debug, Args)]
pub struct Export {
    /// A directory that is empty, or not there yet
    #[arg(value_name = "TARGET")]
    target: PathBuf,
    /// Only these topics
    #[arg(value_name = "TOPIC")]
    topics: Vec<String>,
}

impl Export {
    pub fn run(&self, place: &Place, output: &Output) -> Result<(), Failure> {
        let broker = place.write()?;
        let mut options = ExportOptions::new();
        if !self.topics.is_empty() {
            options = options.topics(&self.topics);
        }
        let report = broker.admin().export(&self.target, &options).map_err(|error| match error {
            Error::UnknownTopic { .. } => unknown_topic(&broker, error),
            error => error.into(),
        })?;
        broker.close()?;
        let rows: Vec<Exported> = report.partitions().iter().map(Exported::new).collect();
        match output.format() {
            Format::Table => to_stdout(|out| {
                table::write(out, output.look(), &rows)?;
                let steps = text::escaped_path(&report.target().join("README.txt"));
                writeln!(out, "what is left to do: {steps}")
            })?,
            Format::Json | Format::Jsonl => output.rows(&rows)?,
        }
        match rows.iter().filter(|row| row.end < row.log_end).count() {
            0 => Ok(()),
            cut => Err(Failure::failed(format_args!(
                "{} cut where a transaction is open: end it, and export again into another directory",
                text::counted(cut, "partition")
            ))),
        }
    }
}

/// What was exported of a partition.
#[derive(Debug, Serialize)]
struct Exported {
    partition: String,
    start: u64,
    end: u64,
    log_end: u64,
    batches: u64,
    files: u64,
    bytes: u64,
}

impl Exported {
    fn new(found: &ExportedPartition) -> Exported {
        let offsets = found.offsets();
        Exported {
            partition: found.topic_partition().to_string(),
            start: offsets.start,
            end: offsets.end,
            log_end: found.log_end_offset(),
            batches: found.batch_count(),
            files: found.files(),
            bytes: found.bytes(),
        }
    }
}

impl Row for Exported {
    const HEADER: &'static [&'static str] = &["partition", "start", "end", "log end", "files", "size"];

    fn columns(&self, look: Look) -> Vec<Column> {
        vec![
            self.partition.as_str().into(),
            look.number(self.start),
            look.number(self.end),
            look.number(self.log_end),
            look.number(self.files),
            look.bytes(self.bytes),
        ]
    }
}
