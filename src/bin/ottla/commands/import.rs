//! `ottla import`.

use std::io::{self, Write};
use std::path::PathBuf;

use clap::Args;
use ottla::{ImportOptions, ImportReport, ImportedPartition, TopicConfig};
use serde::Serialize;

use super::topics::{setting, with_settings};
use crate::failure::Failure;
use crate::output::table::{self, Column, Look, Row};
use crate::output::{Format, Output, Stdout, text, to_stdout};
use crate::place::Place;

/// Take over topics from the log directory of a Kafka broker
///
/// The broker is stopped; its directory is only read. Each topic is created, or is there and empty. Records keep their offsets, timestamps,
/// headers, leader epochs and transactions, and groups what they have committed. Half a batch at the end of a log is left out, and a
/// transaction that is open there is aborted; both are listed. Each topic is imported as a whole or not at all.
#[derive(Debug, Args)]
pub struct Import {
    /// The log directory (log.dirs), or one partition directory in it
    #[arg(value_name = "SOURCE")]
    source: PathBuf,
    /// Only these topics; all but the internal ones if none is named
    #[arg(value_name = "TOPIC")]
    topics: Vec<String>,
    /// A setting of the topics that are created, by Kafka's name for it, such as retention.ms=86400000
    #[arg(short, long = "config", value_name = "KEY=VALUE", value_parser = setting)]
    config: Vec<(String, String)>,
    /// Leave out what groups have committed
    #[arg(long)]
    no_offsets: bool,
    /// Import topics of which partition directories are missing, with those empty
    #[arg(long)]
    missing_partitions: bool,
}

impl Import {
    pub fn run(&self, place: &Place, output: &Output) -> Result<(), Failure> {
        // Before a directory is made for it.
        let config = with_settings(TopicConfig::new(), &self.config)?;
        let mut options = ImportOptions::new()
            .config(config)
            .committed_offsets(!self.no_offsets)
            .missing_partitions(self.missing_partitions);
        if !self.topics.is_empty() {
            options = options.topics(&self.topics);
        }
        let broker = place.write_or_create()?;
        let imported = broker.admin().import(&self.source, &options);
        // What was imported stays, whatever became of the rest.
        let closed = broker.close();
        let report = imported?;
        closed?;
        let rows: Vec<Imported> = report.partitions().map(Imported::new).collect();
        match output.format() {
            Format::Table => to_stdout(|out| show(out, output.look(), &rows, &report)),
            Format::Json | Format::Jsonl => output.rows(&rows),
        }
    }
}

/// What was imported of a partition.
#[derive(Debug, Serialize)]
struct Imported {
    partition: String,
    start: u64,
    end: u64,
    records: u64,
    bytes: u64,
    aborted_transactions: usize,
    /// What was left out at the end.
    torn_end: Option<Torn>,
    is_missing: bool,
}

#[derive(Debug, Serialize)]
struct Torn {
    path: PathBuf,
    file_position: u64,
    bytes: u64,
    reason: &'static str,
}

impl Imported {
    fn new(found: &ImportedPartition) -> Imported {
        let offsets = found.offsets();
        let torn = |torn: &ottla::TornEnd| Torn {
            path: torn.path.clone(),
            file_position: torn.file_position,
            bytes: torn.bytes,
            reason: torn.reason,
        };
        Imported {
            partition: found.topic_partition().to_string(),
            start: offsets.start,
            end: offsets.end,
            records: found.record_count(),
            bytes: found.bytes(),
            aborted_transactions: found.aborted_transactions(),
            torn_end: found.torn_end().map(torn),
            is_missing: found.is_missing(),
        }
    }
}

impl Row for Imported {
    const HEADER: &'static [&'static str] = &["partition", "start", "end", "records", "size"];

    fn columns(&self, look: Look) -> Vec<Column> {
        vec![
            self.partition.as_str().into(),
            look.number(self.start),
            look.number(self.end),
            look.number(self.records),
            look.bytes(self.bytes),
        ]
    }
}

/// A table, and a line for each thing that is not as it was.
fn show(out: &mut Stdout, look: Look, rows: &[Imported], report: &ImportReport) -> io::Result<()> {
    table::write(out, look, rows)?;
    for row in rows {
        if 0 < row.aborted_transactions {
            writeln!(
                out,
                "{}: {} aborted that were open",
                row.partition,
                text::counted(row.aborted_transactions, "transaction")
            )?;
        }
        if let Some(Torn { path, file_position, bytes, reason }) = &row.torn_end {
            let path = text::escaped_path(path);
            writeln!(
                out,
                "{}: {bytes} bytes left out from byte {file_position} of {path} on: {reason}",
                row.partition
            )?;
        }
        if row.is_missing {
            writeln!(out, "{}: there was no directory of it, and it is empty", row.partition)?;
        }
    }
    let offsets = report.topics().iter().flat_map(ottla::ImportedTopic::offsets);
    for moved in offsets.filter(|offset| offset.offset < offset.committed_offset) {
        let (group, partition) = (text::escaped(moved.group.as_bytes()), &moved.partition);
        writeln!(
            out,
            "{partition}: group {group} had committed {}, and now {}, the end of the log",
            moved.committed_offset, moved.offset
        )?;
    }
    Ok(())
}
