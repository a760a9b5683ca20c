//! `ottla repair`.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use clap::Args;
use ottla::{Broker, BrokerBuilder, PartitionRecovery, RecoveryMode, RecoveryReport};
use serde::Serialize;

use super::verify::Finding;
use crate::failure::{Failure, say};
use crate::output::table::Look;
use crate::output::{Output, Stdout, text};
use crate::place::Place;

/// Say what opening for writing would cut, take over and rebuild, or do it
///
/// Whoever opens a directory for writing repairs it: what a crash left half written is cut off the ends of logs and kept in quarantine,
/// what was not in segments yet is taken over, damaged caches are made anew. Without --execute this only says what that would be, and
/// changes nothing. What is lost stays lost: it is listed, and reads of it fail.
#[derive(Debug, Args)]
pub struct Repair {
    /// Do it
    #[arg(long, requires = "yes")]
    execute: bool,
    /// I know that what was cut is no part of the log any more
    #[arg(long)]
    yes: bool,
    /// Take for its own name a directory that says that it belongs to another topic, and read groups back from what is readable of them
    #[arg(long)]
    skip_corrupt: bool,
}

impl Repair {
    pub fn run(&self, place: &Place, output: &Output) -> Result<(), Failure> {
        let repaired = if self.execute { self.execute(place)? } else { self.predict(place)? };
        output.value(&repaired, |out, look| repaired.show(out, look))?;
        match repaired.lost_count() {
            0 => Ok(()),
            1 => Err(Failure::failed("1 thing is lost, as listed")),
            count => Err(Failure::failed(format_args!("{count} things are lost, as listed"))),
        }
    }

    fn builder(&self, place: &Place) -> Result<BrokerBuilder, Failure> {
        let mode = if self.skip_corrupt { RecoveryMode::SkipCorrupt } else { RecoveryMode::TolerateTail };
        Ok(Broker::builder(place.dir()?).create(false).background(false).recovery_mode(mode))
    }

    fn predict(&self, place: &Place) -> Result<Repaired, Failure> {
        let report = self.builder(place)?.preview_recovery()?;
        let repaired = Repaired::new(&report, false);
        if !report.is_clean() {
            say("nothing was changed; to do it, add --execute --yes");
        }
        Ok(repaired)
    }

    fn execute(&self, place: &Place) -> Result<Repaired, Failure> {
        let broker = self.builder(place)?.open()?;
        let repaired = Repaired::new(broker.recovery_report(), true);
        broker.close()?;
        Ok(repaired)
    }
}

/// What is repaired, or would be.
#[allow(clippy::struct_excessive_bools, reason = "a report, whose answers have nothing to do with each other")]
#[derive(Debug, Serialize)]
struct Repaired {
    is_done: bool,
    /// Whether there was nothing to repair.
    is_clean: bool,
    was_clean_shutdown: bool,
    catalog_fell_back: bool,
    committed_transactions: usize,
    aborted_transactions: usize,
    partitions: Vec<RepairedPartition>,
    lost: Vec<Finding>,
    skipped: Vec<Finding>,
    unknown_directories: Vec<PathBuf>,
    unfinished_deletes: Vec<String>,
    shared_files: Vec<PathBuf>,
}

#[derive(Debug, Serialize)]
struct RepairedPartition {
    partition: String,
    scanned_batches: u64,
    salvaged_records: u64,
    unsealed_records: u64,
    dropped_batches: u64,
    torn_batches: u64,
    cut_bytes: u64,
    unkept_bytes: u64,
    is_epoch_raised: bool,
    quarantined: Vec<Quarantined>,
    rebuilt: Vec<PathBuf>,
    failure: Option<String>,
}

/// A file with what was taken out of a log.
#[derive(Debug, Serialize)]
struct Quarantined {
    path: PathBuf,
    bytes: Option<u64>,
}

impl Repaired {
    fn new(report: &RecoveryReport, is_done: bool) -> Repaired {
        Repaired {
            is_done,
            is_clean: report.is_clean(),
            was_clean_shutdown: report.was_clean_shutdown(),
            catalog_fell_back: report.catalog_fell_back(),
            committed_transactions: report.committed_transactions(),
            aborted_transactions: report.aborted_transactions(),
            partitions: report.partitions().iter().map(RepairedPartition::new).collect(),
            lost: report.damage().map(Finding::lost).collect(),
            skipped: report.skipped().iter().map(Finding::lost).collect(),
            unknown_directories: report.unknown_directories().to_vec(),
            unfinished_deletes: report.unfinished_deletes().to_vec(),
            shared_files: report.shared_files().map(Path::to_owned).collect(),
        }
    }

    fn lost_count(&self) -> usize {
        let failures = self.partitions.iter().filter(|partition| partition.failure.is_some()).count();
        self.lost.len() + self.skipped.len() + failures
    }

    fn show(&self, out: &mut Stdout, look: Look) -> io::Result<()> {
        if self.was_clean_shutdown {
            writeln!(out, "the last writer closed the directory")?;
        } else {
            writeln!(out, "the last writer did not close the directory")?;
        }
        if self.catalog_fell_back {
            writeln!(out, "the newest state of the catalog is damaged, and the one before counts")?;
        }
        let would = if self.is_done { "" } else { "would be " };
        for partition in &self.partitions {
            partition.show(out, look, self.is_done)?;
        }
        if 0 < self.committed_transactions + self.aborted_transactions {
            let (committed, aborted) = (self.committed_transactions, self.aborted_transactions);
            writeln!(
                out,
                "open transactions, counted in each partition: {committed} {would}committed, {aborted} {would}aborted"
            )?;
        }
        for lost in self.lost.iter().chain(&self.skipped) {
            writeln!(out, "lost: {lost}")?;
        }
        for path in &self.unknown_directories {
            writeln!(out, "of no topic, left alone: {}", text::escaped_path(path))?;
        }
        for name in &self.unfinished_deletes {
            writeln!(out, "deleted, and not yet removed: {}", text::escaped(name.as_bytes()))?;
        }
        for path in &self.shared_files {
            writeln!(out, "has a second name, {would}copied before it is written: {}", text::escaped_path(path))?;
        }
        if self.is_clean {
            writeln!(out, "{}", if self.is_done { "there was nothing to repair" } else { "nothing to repair" })?;
        }
        Ok(())
    }
}

impl RepairedPartition {
    fn new(found: &PartitionRecovery) -> RepairedPartition {
        let quarantined = |path: &PathBuf| Quarantined { path: path.clone(), bytes: bytes_to_keep(path) };
        RepairedPartition {
            partition: found.topic_partition().to_string(),
            scanned_batches: found.scanned_batches(),
            salvaged_records: found.salvaged_records(),
            unsealed_records: found.unsealed_records(),
            dropped_batches: found.dropped_batches(),
            torn_batches: found.torn_batches(),
            cut_bytes: found.cut_bytes(),
            unkept_bytes: found.unkept_bytes(),
            is_epoch_raised: found.leader_epoch_raised(),
            quarantined: found.quarantined().iter().map(quarantined).collect(),
            rebuilt: found.rebuilt().to_vec(),
            failure: found.failure().map(|error| error.with_causes().to_string()),
        }
    }

    /// A line on the log, and one for each file.
    fn show(&self, out: &mut Stdout, look: Look, is_done: bool) -> io::Result<()> {
        let number = |number: u64| if look.is_terminal { text::grouped(number.into()) } else { number.to_string() };
        let verb = |done: &'static str, to_do: &'static str| if is_done { done } else { to_do };
        let mut parts = Vec::new();
        let mut part = |count: u64, what: String| parts.extend((0 < count).then_some(what));
        part(self.scanned_batches, format!("{} batches read anew", number(self.scanned_batches)));
        let take_over = verb("taken over from the tail", "to be taken over from the tail");
        part(self.salvaged_records, format!("{} records {take_over}", number(self.salvaged_records)));
        part(
            self.unsealed_records,
            format!("{} records left in the tail, as the disk is full", number(self.unsealed_records)),
        );
        let dropped = verb("dropped", "to be dropped");
        part(
            self.dropped_batches,
            format!("{} open batches {dropped} that do not continue the log", number(self.dropped_batches)),
        );
        part(self.torn_batches, format!("{} open batches there in part", number(self.torn_batches)));
        part(self.cut_bytes, format!("{} bytes {} off its end", number(self.cut_bytes), verb("cut", "to be cut")));
        part(self.unkept_bytes, format!("{} of them without a copy, as the disk is full", number(self.unkept_bytes)));
        if parts.is_empty() {
            parts.push("looked at".to_owned());
        }
        writeln!(out, "{}: {}", self.partition, parts.join(", "))?;
        for Quarantined { path, bytes } in &self.quarantined {
            let size = bytes.map(|bytes| format!(" ({} bytes)", number(bytes))).unwrap_or_default();
            writeln!(out, "  {}: {}{size}", verb("kept", "to be kept"), text::escaped_path(path))?;
        }
        for path in &self.rebuilt {
            writeln!(out, "  {}: {}", verb("made anew", "to be made anew"), text::escaped_path(path))?;
        }
        self.failure.iter().try_for_each(|failure| writeln!(out, "  not served: {}", text::escaped(failure.as_bytes())))
    }
}

/// How large a file in quarantine is, or will be: then what is to be kept there lies in the file that it is taken from.
fn bytes_to_keep(path: &Path) -> Option<u64> {
    let size = |path: &Path| fs::symlink_metadata(path).map(|metadata| metadata.len()).ok();
    if let Some(bytes) = size(path) {
        return Some(bytes);
    }
    let from = path.with_extension("");
    match from.extension().and_then(|extension| extension.to_str()?.parse::<u64>().ok()) {
        // `….log.8192.quarantine`: what is cut off at that byte.
        Some(cut_at) => size(&from.with_extension(""))?.checked_sub(cut_at),
        None => size(&from),
    }
}
