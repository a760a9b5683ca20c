//! What is in a golden directory, and in which bytes of which file: what a damaged copy is compared with.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};

use ottla::testing::SimulatedDisk;
use ottla::{Broker, BrokerBuilder, OwnedRecord, TopicPartition};

use crate::image::{self, DATA, Image, golden_dir};

pub(crate) const OFFSETS_TOPIC: &str = "__consumer_offsets";

/// How the last writer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// It closed the broker.
    Closed,
    /// The same, but the mark of that is gone, and the machine was not restarted.
    Unmarked,
    /// It was killed, with open batches in the tails.
    Killed,
    /// The same, and the machine was restarted.
    Restarted,
}

impl State {
    pub(crate) const ALL: [State; 4] = [State::Closed, State::Unmarked, State::Killed, State::Restarted];

    pub(crate) fn name(self) -> &'static str {
        match self {
            State::Closed => "closed",
            State::Unmarked => "unmarked",
            State::Killed => "killed",
            State::Restarted => "restarted",
        }
    }

    pub(crate) fn is_clean(self) -> bool {
        self == State::Closed
    }
}

/// A batch in a log file.
#[derive(Debug, Clone)]
pub(crate) struct BatchAt {
    pub(crate) bytes: Range<usize>,
    pub(crate) offsets: Range<u64>,
}

/// One partition's log.
#[derive(Debug)]
pub(crate) struct Log {
    pub(crate) partition: TopicPartition,
    /// By offset. Compaction leaves gaps.
    pub(crate) records: BTreeMap<u64, OwnedRecord>,
    pub(crate) end: u64,
    /// Below, the recovery point says, everything was synced.
    pub(crate) proven: u64,
    /// From here on the records are in the tail only.
    pub(crate) tail_start: u64,
}

#[derive(Debug)]
pub(crate) struct Truth {
    pub(crate) state: State,
    pub(crate) image: Image,
    pub(crate) paths: Vec<PathBuf>,
    pub(crate) logs: Vec<Log>,
    pub(crate) batches: BTreeMap<PathBuf, Vec<BatchAt>>,
    /// Offset and metadata by group and partition.
    pub(crate) commits: BTreeMap<(String, TopicPartition), (u64, String)>,
    pub(crate) groups: Vec<String>,
    /// What opening says of undamaged files.
    pub(crate) report: String,
}

impl Truth {
    pub(crate) fn of(state: State) -> Truth {
        let name = if matches!(state, State::Closed | State::Unmarked) { "v2/clean" } else { "v2/killed" };
        let mut image = image::load(&golden_dir(name));
        if state == State::Unmarked {
            image.remove(Path::new("clean-shutdown"));
        }
        let batches: BTreeMap<_, _> = image
            .iter()
            .filter(|(path, _)| is_log(path))
            .map(|(path, bytes)| (path.clone(), batches_of(bytes)))
            .collect();
        let disk = machine(state);
        image::put(&disk, &image);
        let broker = open(&disk).unwrap();
        let report = format!("{:?}", broker.recovery_report());
        let logs = ["events.snappy", "orders", OFFSETS_TOPIC]
            .iter()
            .flat_map(|name| broker.topic(name).unwrap().partitions().collect::<Vec<_>>())
            .map(|partition| log_of(&partition, &image, &batches))
            .collect();
        let mut commits = BTreeMap::new();
        let groups = broker.admin().list_groups().unwrap();
        for group in &groups {
            for row in broker.admin().describe_group(group).unwrap().partitions() {
                if let Some(committed) = row.committed() {
                    let value = (committed.offset(), committed.metadata().to_owned());
                    commits.insert((group.clone(), row.topic_partition().clone()), value);
                }
            }
        }
        assert!(commits.len() >= 5, "{commits:?}");
        let paths = image.keys().cloned().collect();
        Truth { state, image, paths, logs, batches, commits, groups, report }
    }

    /// Whether everything that was ever in the tails is in segments.
    pub(crate) fn are_tails_worthless(&self) -> bool {
        matches!(self.state, State::Closed | State::Unmarked)
    }

    pub(crate) fn log(&self, partition: &TopicPartition) -> Option<&Log> {
        self.logs.iter().find(|log| log.partition == *partition)
    }
}

/// The machine on which a directory was left so. The one that wrote the golden directories began with the seed 1.
pub(crate) fn machine(state: State) -> SimulatedDisk {
    SimulatedDisk::new(if state == State::Restarted { 2 } else { 1 })
}

pub(crate) fn open(disk: &SimulatedDisk) -> ottla::Result<Broker> {
    builder(disk).open()
}

pub(crate) fn builder(disk: &SimulatedDisk) -> BrokerBuilder {
    Broker::builder(DATA).disk(disk).background(false).tail_bytes(1 << 20)
}

pub(crate) fn is_log(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "log")
}

/// The partition in whose directory a file is.
pub(crate) fn partition_of(path: &Path) -> Option<TopicPartition> {
    let dir = path.parent()?.to_str()?;
    let (topic, number) = dir.rsplit_once('-')?;
    Some(TopicPartition::new(topic, number.parse().ok()?))
}

fn log_of(partition: &ottla::Partition, image: &Image, batches: &BTreeMap<PathBuf, Vec<BatchAt>>) -> Log {
    let address = partition.topic_partition().clone();
    let dir = PathBuf::from(address.to_string());
    let records =
        partition.iter_from(0).map(|record| record.unwrap()).map(|record| (record.offset(), record)).collect();
    let in_segments = batches.iter().filter(|(path, _)| path.starts_with(&dir)).flat_map(|(_, batches)| batches);
    Log {
        records,
        end: partition.log_end_offset(),
        proven: recovery_point(&image[&dir.join("recovery-point")]),
        tail_start: in_segments.map(|batch| batch.offsets.end).max().unwrap_or(0),
        partition: address,
    }
}

/// The offset that a recovery point's newer record has.
fn recovery_point(bytes: &[u8]) -> u64 {
    let u64_at = |record: &[u8], at: usize| u64::from_be_bytes(record[at..at + 8].try_into().unwrap());
    let records = bytes.chunks(512).filter(|record| record.starts_with(b"OTTLARPT"));
    records.map(|record| (u64_at(record, 16), u64_at(record, 64))).max().unwrap().1
}

/// Walks a log file as Kafka's format says.
pub(crate) fn batches_of(bytes: &[u8]) -> Vec<BatchAt> {
    let mut batches = Vec::new();
    let mut start = 0;
    while start < bytes.len() {
        let base = u64::from_be_bytes(bytes[start..start + 8].try_into().unwrap());
        let length = u32::from_be_bytes(bytes[start + 8..start + 12].try_into().unwrap()) as usize;
        let last_delta = u64::from(u32::from_be_bytes(bytes[start + 23..start + 27].try_into().unwrap()));
        let end = start + 12 + length;
        batches.push(BatchAt { bytes: start..end, offsets: base..base + last_delta + 1 });
        start = end;
    }
    batches
}
