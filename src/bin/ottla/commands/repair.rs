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
/// Whoever opens a directory for writing repairs it: what a crash left half written is cut off the ends of logs and kept beside them,
/// in files that end in .quarantine, what was not in segments yet is taken over, damaged caches are made anew. Without --execute this
/// only says what that would be, and changes nothing. Either way nobody else may have the directory open for writing. What is lost stays
/// lost: it is listed, and reads of it fail. Exit status 1 if something is lost. Opening does not read every byte: `ottla verify --deep`
/// does.
#[derive(Debug, Args)]
pub struct Repair {
    /// Do it: without this it is only said what would be done
    #[arg(long)]
    execute: bool,
    /// Agree that what is cut is no part of the log any more
    #[arg(long)]
    yes: bool,
    /// Go by the name of a partition's directory, where a file in it says that it belongs to another topic; and pass over damage in
    /// what groups have committed, which is listed and stays as it is
    #[arg(long)]
    skip_corrupt: bool,
}

impl Repair {
    pub fn run(&self, place: &Place, output: &Output) -> Result<(), Failure> {
        if self.execute && !self.yes {
            let reason =
                "nothing was repaired: --execute needs --yes, since what it cuts is no part of the log any more";
            return Err(Failure::refused(reason));
        }
        let repaired = if self.execute { self.execute(place)? } else { self.predict(place)? };
        output.value(&repaired, |out, look| repaired.show(out, look))?;
        if !repaired.is_done && repaired.has_work() {
            say("nothing was changed; to do it, add --execute --yes");
        }
        match (repaired.all_lost().count(), repaired.failure_count()) {
            (0, 0) => Ok(()),
            (lost, 0) => {
                let places = text::counted(lost, "damaged place");
                Err(Failure::failed(format_args!("{places}, as listed: what was there is only in a backup")))
            }
            (lost, failed) => Err(Failure::failed(format_args!(
                "{}, and {} that cannot be served, as listed",
                text::counted(lost, "damaged place"),
                text::counted(failed, "partition")
            ))),
        }
    }

    fn builder(&self, place: &Place) -> Result<BrokerBuilder, Failure> {
        let mode = if self.skip_corrupt { RecoveryMode::SkipCorrupt } else { RecoveryMode::TolerateTail };
        Ok(Broker::builder(place.dir()?).create(false).background(false).recovery_mode(mode))
    }

    fn predict(&self, place: &Place) -> Result<Repaired, Failure> {
        let report = self.builder(place)?.preview_recovery()?;
        Ok(Repaired::new(&report, false))
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

    fn failure_count(&self) -> usize {
        self.partitions.iter().filter(|partition| partition.failure.is_some()).count()
    }

    /// Each place once, also if it is both lost and was passed over.
    fn all_lost(&self) -> impl Iterator<Item = &Finding> {
        self.lost.iter().chain(self.skipped.iter().filter(|skipped| !self.lost.contains(skipped)))
    }

    /// Whether opening changes something, and does not only find it.
    fn has_work(&self) -> bool {
        !self.was_clean_shutdown
            || self.catalog_fell_back
            || 0 < self.committed_transactions + self.aborted_transactions
            || !self.unfinished_deletes.is_empty()
            || self.partitions.iter().any(RepairedPartition::has_work)
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
        self.all_lost().try_for_each(|lost| writeln!(out, "lost: {lost}"))?;
        for path in &self.unknown_directories {
            writeln!(out, "belongs to no topic, and is left alone: {}", text::escaped_path(path))?;
        }
        for name in &self.unfinished_deletes {
            writeln!(out, "deleted, and not yet removed: {}", text::escaped(name.as_bytes()))?;
        }
        for path in &self.shared_files {
            writeln!(out, "has a second name, {would}copied before it is written: {}", text::escaped_path(path))?;
        }
        if self.is_clean {
            let (is, other) =
                (if self.is_done { "there was " } else { "" }, if self.partitions.is_empty() { "" } else { "else " });
            writeln!(out, "{is}nothing {other}to repair; `ottla verify --deep` reads every byte")?;
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

    /// Whether opening changes something here.
    fn has_work(&self) -> bool {
        let counts =
            [self.scanned_batches, self.salvaged_records, self.dropped_batches, self.torn_batches, self.cut_bytes];
        counts.iter().any(|count| 0 < *count)
            || self.is_epoch_raised
            || !self.quarantined.is_empty()
            || !self.rebuilt.is_empty()
    }

    /// A line on the log, and one for each file.
    fn show(&self, out: &mut Stdout, look: Look, is_done: bool) -> io::Result<()> {
        let number = |number: u64| if look.is_terminal { text::grouped(number.into()) } else { number.to_string() };
        let verb = |done: &'static str, to_do: &'static str| if is_done { done } else { to_do };
        let batches = |count: u64| if count == 1 { "1 batch".to_owned() } else { format!("{} batches", number(count)) };
        let records =
            |count: u64| if count == 1 { "1 record".to_owned() } else { format!("{} records", number(count)) };
        let open_batches = |count: u64| batches(count).replace(" batch", " open batch");
        let mut parts = Vec::new();
        let mut part = |count: u64, what: String| parts.extend((0 < count).then_some(what));
        part(self.scanned_batches, format!("{} read anew", batches(self.scanned_batches)));
        let take_over = verb("taken over from the tail", "to be taken over from the tail");
        part(self.salvaged_records, format!("{} {take_over}", records(self.salvaged_records)));
        part(
            self.unsealed_records,
            format!("{} left in the tail, as the disk is full", records(self.unsealed_records)),
        );
        let dropped = verb("dropped", "to be dropped");
        part(
            self.dropped_batches,
            format!("{} {dropped}: no continuation of the log", open_batches(self.dropped_batches)),
        );
        part(self.torn_batches, format!("{} there in part", open_batches(self.torn_batches)));
        part(self.cut_bytes, format!("{} bytes {} off its end", number(self.cut_bytes), verb("cut", "to be cut")));
        part(self.unkept_bytes, format!("{} of them without a copy, as the disk is full", number(self.unkept_bytes)));
        if parts.is_empty() {
            let has_files = !self.quarantined.is_empty() || !self.rebuilt.is_empty();
            parts.push(
                if has_files { "its log stays as it is" } else { "nothing that opening could repair" }.to_owned(),
            );
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
