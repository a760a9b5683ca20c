//! `ottla verify`.

use std::fmt;
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Once;
use std::time::{Duration, Instant};

use clap::Args;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use ottla::{Broker, Corruption, Error, PartitionVerification, VerifyOptions, VerifyReport};
use serde::Serialize;

use crate::failure::Failure;
use crate::output::table::{self, Column, Look, Row};
use crate::output::{Format, Output, Stdout, text, to_stdout};
use crate::place::{Place, unknown_topic};

/// Check that all that was written is there as it was written
///
/// Without --deep it reads the small files, the indexes and the headers of all batches: enough to find what is missing, cut short,
/// exchanged or out of place. With --deep it reads every byte, with all checksums. Either way it changes nothing, and works beside the
/// process that writes the directory. Exit status 1 if something is lost; what is repairable is no loss: the next opening for writing, or
/// the next write of the file, makes it anew.
#[derive(Debug, Args)]
pub struct Verify {
    /// Only these topics
    #[arg(value_name = "TOPIC")]
    topics: Vec<String>,
    /// Read every byte, and compare all checksums
    #[arg(long)]
    deep: bool,
}

/// What is done sooner needs no bar.
const PATIENCE: Duration = Duration::from_millis(500);

impl Verify {
    pub fn run(&self, place: &Place, output: &Output) -> Result<(), Failure> {
        let broker = place.read()?;
        let report = self.verify(&broker)?;
        let rows: Vec<Verified> =
            of_catalog(&report).into_iter().chain(report.partitions().iter().map(Verified::new)).collect();
        match output.format() {
            Format::Table => to_stdout(|out| show(out, output.look(), &rows))?,
            Format::Json | Format::Jsonl => output.rows(&rows)?,
        }
        let lost: usize = rows.iter().map(|row| row.lost.len()).sum();
        let failed = rows.iter().filter(|row| row.failure.is_some()).count();
        match (lost, failed) {
            (0, 0) => Ok(()),
            (lost, 0) => Err(Failure::failed(format_args!("{}, as listed", text::counted(lost, "damaged place")))),
            (lost, failed) => Err(Failure::failed(format_args!(
                "{}, and {} that could not be read, as listed",
                text::counted(lost, "damaged place"),
                text::counted(failed, "partition")
            ))),
        }
    }

    fn verify(&self, broker: &Broker) -> Result<VerifyReport, Failure> {
        let progress = self.progress(broker);
        let (begin, show) = (Instant::now(), Once::new());
        let on_bytes = |bytes| {
            progress.inc(bytes);
            if self.deep && PATIENCE < begin.elapsed() {
                show.call_once(|| progress.set_draw_target(ProgressDrawTarget::stderr()));
            }
        };
        let mut options = VerifyOptions::new().headers_only(!self.deep).on_bytes(&on_bytes);
        if !self.topics.is_empty() {
            options = options.topics(&self.topics);
        }
        let verified = broker.admin().verify_with(&options);
        progress.finish_and_clear();
        verified.map_err(|error| match error {
            Error::UnknownTopic { .. } => unknown_topic(broker, error),
            error => error.into(),
        })
    }

    /// A bar for stderr, where that is a terminal. It is not to be seen yet: where it does not take long, it would only flicker.
    fn progress(&self, broker: &Broker) -> ProgressBar {
        if !self.deep {
            return ProgressBar::hidden();
        }
        let admin = broker.admin();
        let topics = if self.topics.is_empty() { admin.list_topics().unwrap_or_default() } else { self.topics.clone() };
        let bytes = topics.iter().filter_map(|topic| Some(admin.describe(topic).ok()?.allocated_bytes())).sum();
        let style = ProgressStyle::with_template("{bar:30} {bytes} of {total_bytes}, {bytes_per_sec}, {eta} left");
        let progress = ProgressBar::with_draw_target(Some(bytes), ProgressDrawTarget::hidden());
        style.map_or(progress.clone(), |style| progress.with_style(style))
    }
}

/// A place that is damaged.
#[derive(Debug, Serialize, PartialEq, Eq)]
pub struct Finding {
    path: PathBuf,
    file_position: u64,
    offsets: Option<Offsets>,
    reason: &'static str,
}

/// The end is excluded.
#[derive(Debug, Serialize, PartialEq, Eq)]
struct Offsets {
    start: u64,
    end: u64,
}

impl Finding {
    pub fn lost(damage: &Corruption) -> Finding {
        let Corruption { path, file_position, offsets, reason, .. } = damage;
        let offsets = offsets.as_ref().map(|offsets| Offsets { start: offsets.start, end: offsets.end });
        Finding { path: path.clone(), file_position: *file_position, offsets, reason }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at byte {}: {}", text::escaped_path(&self.path), self.file_position, self.reason)?;
        match &self.offsets {
            Some(Offsets { start, end }) if start < end => write!(f, " (offsets {start} to {})", end - 1),
            _ => Ok(()),
        }
    }
}

/// What was found in a partition, or in the catalog.
#[derive(Debug, Serialize)]
struct Verified {
    partition: Option<String>,
    segments: usize,
    batches: u64,
    records: u64,
    bytes: u64,
    index_entries: u64,
    lost: Vec<Finding>,
    repairable: Vec<Finding>,
    failure: Option<String>,
}

impl Verified {
    fn new(found: &PartitionVerification) -> Verified {
        Verified {
            partition: Some(found.topic_partition().to_string()),
            segments: found.segment_count(),
            batches: found.batch_count(),
            records: found.record_count(),
            bytes: found.log_bytes(),
            index_entries: found.index_entry_count(),
            lost: found.damage().iter().map(Finding::lost).collect(),
            repairable: found.repairable().iter().map(Finding::lost).collect(),
            failure: found.failure().map(|error| error.with_causes().to_string()),
        }
    }

    fn found(&self) -> String {
        let counts = [(self.lost.len(), "lost"), (self.repairable.len(), "repairable")];
        let mut parts: Vec<String> =
            counts.iter().filter(|(count, _)| 0 < *count).map(|(count, what)| format!("{count} {what}")).collect();
        parts.extend(self.failure.as_ref().map(|_| "not read".to_owned()));
        if parts.is_empty() { "whole".to_owned() } else { parts.join(", ") }
    }
}

/// What was found in the catalog, if that is not whole.
fn of_catalog(report: &VerifyReport) -> Option<Verified> {
    let is_of_none = |damage: &&Corruption| damage.partition.is_none();
    let of_partitions: usize = report.partitions().iter().map(|partition| partition.damage().len()).sum();
    // The catalog's comes first.
    let lost: Vec<Finding> =
        report.damage().take(report.damage().count() - of_partitions).filter(is_of_none).map(Finding::lost).collect();
    let of_partitions: usize = report.partitions().iter().map(|partition| partition.repairable().len()).sum();
    let repairable: Vec<Finding> =
        report.repairable().take(report.repairable().count() - of_partitions).map(Finding::lost).collect();
    (!lost.is_empty() || !repairable.is_empty()).then_some(Verified {
        partition: None,
        segments: 0,
        batches: 0,
        records: 0,
        bytes: 0,
        index_entries: 0,
        lost,
        repairable,
        failure: None,
    })
}

impl Row for Verified {
    const HEADER: &'static [&'static str] = &["partition", "segments", "batches", "records", "size", "found"];

    fn columns(&self, look: Look) -> Vec<Column> {
        let segments = u64::try_from(self.segments).unwrap_or(u64::MAX);
        vec![
            self.partition.as_deref().unwrap_or("(catalog)").into(),
            look.number(segments),
            look.number(self.batches),
            look.number(self.records),
            look.bytes(self.bytes),
            self.found().into(),
        ]
    }
}

/// A table, and a line for each finding.
fn show(out: &mut Stdout, look: Look, rows: &[Verified]) -> io::Result<()> {
    table::write(out, look, rows)?;
    for row in rows {
        row.lost.iter().try_for_each(|lost| writeln!(out, "lost: {lost}"))?;
        row.repairable.iter().try_for_each(|damage| writeln!(out, "repairable: {damage}"))?;
        if let (Some(partition), Some(failure)) = (&row.partition, &row.failure) {
            writeln!(out, "not read: {partition}: {}", text::escaped(failure.as_bytes()))?;
        }
    }
    Ok(())
}
