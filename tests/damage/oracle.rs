//! What must hold of a damaged directory, whatever was done to it.
//!
//! Every record that is read is the one that was written there; every offset that cannot be read is named by an error or by the
//! report; what the damage did not touch is readable; the log ends nowhere below its recovery point; a committed offset is
//! right or an error; what was damaged is still there; the log can be written; and whoever opens it again finds the same. Who
//! only reads sees what was written, or an error. Who asks what opening will do is told just that, and changes nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::ops::Range;
use std::path::{Path, PathBuf};

use ottla::testing::SimulatedDisk;
use ottla::{Broker, Error, OwnedRecord, Partition, ProducerRecord, RecoveryMode, TopicPartition};

use crate::allocator;
use crate::image::{self, DATA, Image};
use crate::mutation::{Change, Changed, Kind, Losses, Mutation};
use crate::truth::{Log, OFFSETS_TOPIC, Truth, builder, is_log, open, partition_of};

pub(crate) type Checked<T = ()> = Result<T, String>;

/// What came of a mutation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Outcome {
    /// Every answer is the same, and nothing is reported.
    Harmless,
    /// It is reported, and every record can be read.
    Reported,
    /// Records cannot be read, and that is reported.
    Lost,
    /// The directory is not opened.
    Refused,
    /// Records of another partition are read in the place of this one's, and the report names the file.
    Foreign,
    /// The same, and only a comparison of whole files with the manifest can tell: Kafka's batches do not say whose they are.
    Unnoticed,
}

/// What a broker answers.
#[derive(Debug, PartialEq, Eq)]
struct Seen {
    logs: BTreeMap<TopicPartition, SeenLog>,
    commits: String,
}

#[derive(Debug, PartialEq, Eq)]
struct SeenLog {
    end: u64,
    found: BTreeSet<u64>,
    /// Of another partition, of those found.
    foreign: BTreeSet<u64>,
    damaged: Vec<Range<u64>>,
    /// Nothing of it is known, and every call says so.
    is_broken: bool,
}

/// Damages a copy of the directory on `machine` and looks at it.
pub(crate) fn check(truth: &Truth, machine: &SimulatedDisk, mutation: &Mutation) -> Checked<Outcome> {
    let disk = machine.kill(0);
    if Kind::of(&mutation.path) != Kind::Tail && truth.are_tails_worthless() {
        // They take more time than all the rest, and are made anew.
        for name in ["tail", "tail-always"] {
            disk.delete(Path::new(DATA).join(name));
        }
    }
    let changed = mutation.apply(&truth.image);
    for (path, bytes) in &changed {
        let path = Path::new(DATA).join(path);
        match bytes {
            Some(bytes) => disk.put(&path, bytes),
            None => assert!(disk.delete(&path)),
        }
    }
    let predicted = predict(&disk)?;
    let (checked, largest, peak) = allocator::measured(|| Case { truth, mutation, disk: &disk, predicted }.check());
    let outcome = checked?;
    if largest > allocator::BOUND {
        return Err(format!("{largest} bytes were allocated at once"));
    }
    if peak > allocator::BOUND + allocator::DISK_BYTES {
        return Err(format!("{peak} bytes were held at a time"));
    }
    check_kept(truth, &changed, &without_tails(&disk), mutation)?;
    Ok(outcome)
}

/// What opening will find and do, by who only looks: the report, or why it is not opened.
fn predict(disk: &SimulatedDisk) -> Checked<String> {
    let before = without_tails(disk);
    let predicted = builder(disk).preview_recovery();
    if before != without_tails(disk) {
        return Err("who only wants to know what opening would do changes files".to_owned());
    }
    Ok(predicted.map_or_else(|error| error.to_string(), |report| format!("{report:?}")))
}

/// The files of a disk. The tails are large, and what is in them after a close is worthless.
fn without_tails(disk: &SimulatedDisk) -> Image {
    image::of_disk(disk, |path| !image::is_tail(path))
}

struct Case<'c> {
    truth: &'c Truth,
    mutation: &'c Mutation,
    disk: &'c SimulatedDisk,
    /// What was said that opening would find and do.
    predicted: String,
}

impl Case<'_> {
    fn check(&self) -> Checked<Outcome> {
        self.look_read_only().map_err(|problem| format!("read-only: {problem}"))?;
        let opened = open(self.disk);
        let done = opened.as_ref().map_or_else(ToString::to_string, |broker| format!("{:?}", broker.recovery_report()));
        if done != self.predicted {
            return Err(format!("opening did not do what was predicted: {done}\npredicted: {}", self.predicted));
        }
        let broker = match opened {
            Ok(broker) => broker,
            Err(error) => return self.check_refusal(&error),
        };
        let mut seen = self.look(&broker)?;
        let outcome = self.judge(&broker, &seen)?;
        Self::append(&broker, &mut seen)?;
        broker.close().map_err(|e| format!("cannot be closed: {e}"))?;

        let before = without_tails(self.disk);
        let broker = open(self.disk).map_err(|e| format!("cannot be opened again: {e}"))?;
        let again = self.look(&broker)?;
        if seen != again && !self.is_moved() {
            return Err(format!("opened again, it is another: {}", difference(&seen, &again)));
        }
        broker.close().map_err(|e| format!("cannot be closed again: {e}"))?;
        let after = without_tails(self.disk);
        // With a partition that cannot be opened the directory counts as not closed, and the epochs of the others rise each time.
        let is_unclean = seen.logs.values().any(|log| log.is_broken);
        let may_change =
            |path: &Path| is_unclean && (path.ends_with("leader-epoch-checkpoint") || path.ends_with("recovery-point"));
        let changed =
            before.keys().chain(after.keys()).find(|path| before.get(*path) != after.get(*path) && !may_change(path));
        changed.map_or(Ok(outcome), |path| Err(format!("opening again changes {}", path.display())))
    }

    /// Who only reads is shown no record that was not written there.
    fn look_read_only(&self) -> Checked {
        let opened = Broker::builder(DATA).disk(self.disk).recovery_mode(RecoveryMode::ReadOnly).open();
        let broker = match opened {
            Err(Error::Corrupt(_) | Error::UnsupportedVersion { .. }) => return Ok(()),
            opened => opened.map_err(|e| format!("is not opened: {e}"))?,
        };
        for log in &self.truth.logs {
            let topic = broker.topic(log.partition.topic());
            let Ok(partition) = topic.and_then(|topic| topic.partition(log.partition.partition())) else { continue };
            self.read_what_can_be_read(&partition, log).map_err(|problem| format!("{}: {problem}", log.partition))?;
        }
        Ok(())
    }

    fn read_what_can_be_read(&self, partition: &Partition, truth: &Log) -> Checked {
        let mut offset = partition.log_start_offset();
        loop {
            match partition.read(offset, 1 << 20) {
                Ok(records) if records.is_empty() => return Ok(()),
                Ok(records) => {
                    for record in &records {
                        let record = record.detach();
                        if !self.is_foreign(&record, truth) {
                            check_record(&record, offset, truth)?;
                        }
                        offset = record.offset() + 1;
                    }
                }
                Err(Error::Corrupt(damage)) => match &damage.offsets {
                    Some(lost) if lost.contains(&offset) => offset = lost.end,
                    _ => return Ok(()),
                },
                Err(error) => return Err(format!("at {offset}: {error}")),
            }
        }
    }

    /// Only files that say what there is may keep all from being opened.
    fn check_refusal(&self, error: &Error) -> Checked<Outcome> {
        let is_typed = matches!(error, Error::Corrupt(_) | Error::UnsupportedVersion { .. });
        let may_refuse = Kind::of(&self.mutation.path) == Kind::Catalog;
        if !is_typed || !may_refuse {
            return Err(format!("is not opened: {error}"));
        }
        match open(self.disk) {
            Err(again) if again.to_string() == error.to_string() => Ok(Outcome::Refused),
            other => Err(format!("refused with {error}, then {other:?}")),
        }
    }

    fn look(&self, broker: &Broker) -> Checked<Seen> {
        let mut logs = BTreeMap::new();
        let fell_back = broker.recovery_report().catalog_fell_back();
        for log in &self.truth.logs {
            let address = &log.partition;
            if fell_back && broker.admin().describe(address.topic()).is_err() {
                // The catalog of before did not have it.
                let dir = Path::new(DATA).join(address.to_string());
                if !broker.recovery_report().unknown_directories().contains(&dir) {
                    return Err(format!("{address} is gone, and nothing is said of its directory"));
                }
                continue;
            }
            let opened = broker.topic(address.topic()).and_then(|topic| topic.partition(address.partition()));
            let partition = opened.map_err(|e| format!("{address}: {e}"))?;
            let seen = self.read_all(&partition, log).map_err(|problem| format!("{address}: {problem}"))?;
            logs.insert(address.clone(), seen);
        }
        let commits = self.look_at_commits(broker, fell_back, &logs)?;
        Ok(Seen { logs, commits })
    }

    /// Committed offsets and groups: right, or an error.
    fn look_at_commits(
        &self,
        broker: &Broker,
        fell_back: bool,
        logs: &BTreeMap<TopicPartition, SeenLog>,
    ) -> Checked<String> {
        let offsets = TopicPartition::new(OFFSETS_TOPIC, 0);
        let Some(kept) = logs.get(&offsets) else { return Ok("none".to_owned()) };
        if kept.is_broken {
            let mut groups = self.truth.groups.iter();
            let is_told = |group: &String| matches!(broker.admin().describe_group(group), Err(Error::Corrupt(_)));
            return if groups.all(is_told) { Ok("broken".to_owned()) } else { Err("groups are gone".to_owned()) };
        }
        let groups = match broker.admin().list_groups() {
            Ok(groups) => groups,
            Err(Error::Corrupt(_)) if !kept.damaged.is_empty() => return Ok("damaged".to_owned()),
            Err(error) => return Err(format!("groups: {error}")),
        };
        if !kept.foreign.is_empty() {
            return Ok("foreign".to_owned());
        }
        let log = self.truth.log(&offsets).ok_or("no offsets")?;
        // The end of that log was lost with the tail; who committed last is then where it was before.
        let is_whole = kept.found.len() >= log.records.len();
        if is_whole && !fell_back && groups != self.truth.groups {
            return Err(format!("the groups are {groups:?}"));
        }
        let mut text = format!("{groups:?}");
        for ((group, partition), (offset, metadata)) in &self.truth.commits {
            if logs.get(partition).is_none_or(|log| log.is_broken) {
                continue;
            }
            let committed = broker.committed(group, partition).map_err(|e| format!("committed: {e}"))?;
            let found = committed.as_ref().map(|found| (found.offset(), found.metadata()));
            if is_whole && found != Some((*offset, metadata)) {
                return Err(format!("{group} stands at {found:?} in {partition}, not at {offset}"));
            }
            if !is_whole && found.is_none_or(|(found, _)| found > *offset) {
                return Err(format!("{group} stands at {found:?} in {partition}, which it never did"));
            }
            if let Err(error) = broker.admin().describe_group(group) {
                return Err(format!("{group}: {error}"));
            }
            write!(text, " {group} {partition} {found:?}").map_err(|e| e.to_string())?;
        }
        Ok(text)
    }

    /// Holds what was seen against what may be lost.
    fn judge(&self, broker: &Broker, seen: &Seen) -> Checked<Outcome> {
        let losses = self.mutation.losses(self.truth);
        let (mut has_lost, mut foreign) = (false, None);
        for log in &self.truth.logs {
            let Some(found) = seen.logs.get(&log.partition) else {
                has_lost = true;
                continue;
            };
            let lost = self.judge_log(broker, log, found, &losses);
            has_lost |= lost.map_err(|problem| format!("{}: {problem}", log.partition))?;
            if !found.foreign.is_empty() {
                let dir = Path::new(DATA).join(log.partition.to_string());
                let is_told = broker.recovery_report().damage().any(|damage| damage.path.starts_with(&dir));
                foreign = foreign.max(Some(if is_told { Outcome::Foreign } else { Outcome::Unnoticed }));
            }
        }
        if let Some(foreign) = foreign {
            return Ok(foreign);
        }
        let report = format!("{:?}", broker.recovery_report());
        Ok(match (has_lost, report == self.truth.report) {
            (true, _) => Outcome::Lost,
            (false, false) => Outcome::Reported,
            (false, true) => Outcome::Harmless,
        })
    }

    fn judge_log(&self, broker: &Broker, log: &Log, seen: &SeenLog, losses: &Losses) -> Checked<bool> {
        let report = broker.recovery_report();
        let told = report.partitions().iter().find(|found| *found.topic_partition() == log.partition);
        if !seen.foreign.is_empty() {
            // Where the batches of another log are taken for this one's, nothing else can be right.
            return Ok(true);
        }
        if seen.is_broken {
            let is_of_it = self.mutation.apply(&self.truth.image).iter().any(|(path, _)| {
                Kind::of(path) == Kind::Metadata && partition_of(path).as_ref() == Some(&log.partition)
            });
            let is_told = told.is_some_and(|found| found.damage().next().is_some());
            return if is_of_it && is_told { Ok(true) } else { Err(format!("is closed; {told:?}")) };
        }
        if seen.end < log.proven {
            return Err(format!("the log ends at {}, and was synced up to {}", seen.end, log.proven));
        }
        // The recovery point of another log may say that there was more.
        let is_odd = matches!(self.mutation.change, Change::Swap(_) | Change::Duplicate(_));
        // So many offsets as a slot has room for are never given out again.
        let is_odd = is_odd || Kind::of(&self.mutation.path) == Kind::Tail;
        let may_be_longer = is_odd && told.is_some_and(|found| !found.is_clean());
        if log.end < seen.end && !may_be_longer {
            return Err(format!("the log ends at {} and not at {}", seen.end, log.end));
        }
        let named: Vec<Range<u64>> =
            told.iter().flat_map(|found| found.damage()).filter_map(|damage| damage.offsets.clone()).collect();
        let is_end_told = told.is_some_and(|found| !found.is_clean());
        let may_lose = losses.get(&log.partition).map_or(&[][..], Vec::as_slice);
        let within = |ranges: &[Range<u64>], offset: u64| ranges.iter().any(|range| range.contains(&offset));
        let mut lost = false;
        for offset in log.records.keys().filter(|offset| !seen.found.contains(offset)) {
            let is_told = within(&seen.damaged, *offset) || within(&named, *offset);
            // Of a slot that does not say whose it was only the place is told.
            let is_in_tail = Kind::of(&self.mutation.path) == Kind::Tail
                && log.tail_start <= *offset
                && report.damage().any(|damage| image::is_tail(damage.path.strip_prefix(DATA).unwrap_or(&damage.path)));
            let is_behind_told_end = seen.end <= *offset && is_end_told;
            if !(is_told || is_in_tail || is_behind_told_end) {
                return Err(format!("offset {offset} is gone without a word; {told:?}"));
            }
            if !within(may_lose, *offset) {
                return Err(format!("offset {offset} cannot be read, and was not touched; {told:?}"));
            }
            lost = true;
        }
        Ok(lost)
    }

    /// Reads a log to its end, past whatever cannot be read, and compares every record.
    fn read_all(&self, partition: &Partition, truth: &Log) -> Checked<SeenLog> {
        let (mut offset, end) = (partition.log_start_offset(), partition.log_end_offset());
        if offset != 0 {
            return Err(format!("the log begins at {offset}"));
        }
        let mut seen =
            SeenLog { end, found: BTreeSet::new(), foreign: BTreeSet::new(), damaged: Vec::new(), is_broken: false };
        if let (0, Err(Error::Corrupt(_))) = (end, partition.read(0, 1)) {
            seen.is_broken = true;
        }
        while offset < end {
            match partition.read(offset, 1 << 20) {
                Ok(records) if records.is_empty() => {
                    return Err(format!("nothing is read at {offset}, and the log ends at {end}"));
                }
                Ok(records) => {
                    for record in &records {
                        let record = record.detach();
                        if self.is_foreign(&record, truth) {
                            seen.foreign.insert(record.offset());
                        } else {
                            check_record(&record, offset, truth)?;
                        }
                        offset = record.offset() + 1;
                        seen.found.insert(record.offset());
                    }
                }
                Err(Error::Corrupt(corruption)) => {
                    let damaged = corruption.offsets.clone().ok_or("damage without offsets")?;
                    if !damaged.contains(&offset) {
                        return Err(format!("at {offset} the offsets {damaged:?} are said to be damaged"));
                    }
                    offset = damaged.end;
                    seen.damaged.push(damaged);
                }
                Err(error) => return Err(format!("at {offset}: {error}")),
            }
        }
        Ok(seen)
    }

    /// Whether there are batches of another log in a file.
    fn is_moved(&self) -> bool {
        Kind::of(&self.mutation.path) == Kind::Log
            && matches!(self.mutation.change, Change::Swap(_) | Change::Graft { .. })
    }

    /// Whether a record is one of another partition, which is in this one's files only because it was put there.
    fn is_foreign(&self, record: &OwnedRecord, truth: &Log) -> bool {
        let is_same = |other: &OwnedRecord| {
            (other.key(), other.value(), other.timestamp()) == (record.key(), record.value(), record.timestamp())
        };
        let mut others = self.truth.logs.iter().filter(|log| log.partition != truth.partition);
        let is_written_here = truth.records.get(&record.offset()) == Some(record);
        self.is_moved() && !is_written_here && others.any(|log| log.records.get(&record.offset()).is_some_and(is_same))
    }

    /// Every log goes on, whatever happened to what is in it.
    fn append(broker: &Broker, seen: &mut Seen) -> Checked {
        for (address, log) in &mut seen.logs {
            if address.topic() == OFFSETS_TOPIC || log.is_broken {
                continue;
            }
            let topic = broker.topic(address.topic()).map_err(|e| e.to_string())?;
            let partition = topic.partition(address.partition()).map_err(|e| e.to_string())?;
            let record = ProducerRecord::to(address.topic()).value("appended after");
            let offset = partition.append(&record).map_err(|e| format!("{address}: cannot be appended to: {e}"))?;
            if offset != log.end {
                return Err(format!("{address}: appended at {offset}, and the log ended at {}", log.end));
            }
            let read = partition.read(offset, 1 << 20).map_err(|e| format!("{address}: what was appended: {e}"))?;
            if read.iter().map(|record| record.offset()).ne([offset]) {
                return Err(format!("{address}: what was appended is not read"));
            }
            log.end += 1;
            log.found.insert(offset);
        }
        Ok(())
    }
}

fn check_record(record: &OwnedRecord, from: u64, truth: &Log) -> Checked {
    let offset = record.offset();
    if offset < from {
        return Err(format!("offset {offset} is read at {from}"));
    }
    match truth.records.get(&offset) {
        Some(written) if written == record => Ok(()),
        None if truth.end <= offset && record.value() == Some(b"appended after") => Ok(()),
        // Where it was cut, other records may follow.
        Some(_) if truth.proven <= offset && record.value() == Some(b"appended after") => Ok(()),
        written => Err(format!("{record:?} was read, and {written:?} written")),
    }
}

/// Log files are there with all their bytes, under some name; damaged manifests and the catalog are, too.
fn check_kept(truth: &Truth, changed: &Changed, after: &Image, mutation: &Mutation) -> Checked {
    let untouched = truth.image.iter().filter(|(path, _)| changed.iter().all(|(other, _)| other != *path));
    let damaged = changed.iter().filter_map(|(path, bytes)| Some((path, bytes.as_ref()?)));
    for (path, bytes) in untouched.chain(damaged) {
        let is_kept = match Kind::of(path) {
            // Within what compaction has sealed, it cannot be told from one that was replaced and is yet to be removed.
            Kind::Log if is_within_compacted(path, mutation) => true,
            Kind::Log => is_log_kept(path, bytes, after),
            Kind::Catalog => after.get(path) == Some(bytes),
            Kind::Manifest if *path == mutation.path => {
                after.get(&path.with_extension("damaged")).is_none_or(|aside| aside == bytes)
            }
            _ => true,
        };
        if !is_kept {
            return Err(format!("bytes of {} are gone", path.display()));
        }
    }
    Ok(())
}

fn is_within_compacted(path: &Path, mutation: &Mutation) -> bool {
    path.starts_with(format!("{OFFSETS_TOPIC}-0"))
        && matches!(&mutation.change, Change::Duplicate(name) if name == path)
}

fn is_log_kept(path: &Path, bytes: &[u8], after: &Image) -> bool {
    if after.get(path).is_some_and(|kept| kept.starts_with(bytes)) {
        return true;
    }
    let suffixed = |suffix: &str| PathBuf::from(format!("{}{suffix}", path.display()));
    if after.get(&suffixed(".quarantine")).is_some_and(|kept| kept == bytes) {
        return true;
    }
    // Cut, and the rest set aside; zeros need not be.
    let is_cut_at = |position: usize| {
        let (front, rest) = bytes.split_at(position);
        let is_front = after.get(path).is_some_and(|kept| kept.starts_with(front));
        let aside = after.get(&suffixed(&format!(".{position}.quarantine")));
        is_front && (aside.is_some_and(|kept| kept == rest) || rest.iter().all(|byte| *byte == 0))
    };
    is_log(path) && (0..=bytes.len()).any(is_cut_at)
}

fn difference(one: &Seen, other: &Seen) -> String {
    if one.commits != other.commits {
        return format!("{} then {}", one.commits, other.commits);
    }
    let logs = one.logs.iter().find(|(address, log)| other.logs.get(*address) != Some(log));
    logs.map_or_else(
        || "logs".to_owned(),
        |(address, log)| format!("{address} {log:?} then {:?}", other.logs.get(address)),
    )
}
