//! `ottla du`.
//!
//! Counts what `du` counts: the blocks that files and directories have, and a file with several names once. Each block belongs to one
//! row, so the rows before the total come to the total.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fs::{self, Metadata};
use std::io;
use std::path::{Path, PathBuf};

use clap::Args;
use ottla::TopicPartition;
use serde::Serialize;

use crate::failure::Failure;
use crate::output::Output;
use crate::output::table::{Column, Look, Row};
use crate::place::{self, Place};

#[derive(Debug, Args)]
pub struct Du {
    /// Only these, and what belongs to them; all if none is named
    topics: Vec<String>,
    /// A row for each partition, and not for each topic
    #[arg(long)]
    partitions: bool,
}

/// Whose blocks they are. The order is that of the rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    Topic,
    /// A topic in which the broker keeps something of its own.
    Internal,
    /// What was sent last, of all topics.
    Tails,
    /// What recovery took out of logs.
    Quarantine,
    /// What directories take for the names of their files.
    Directories,
    Other,
    Total,
}

/// What something takes on the disk.
#[derive(Debug, Serialize)]
struct Taken {
    kind: Kind,
    topic: Option<String>,
    partition: Option<u32>,
    bytes: u64,
}

impl Row for Taken {
    const HEADER: &'static [&'static str] = &["size", "what", "which"];

    fn columns(&self, look: Look) -> Vec<Column> {
        let what = match self.kind {
            Kind::Topic => "topic",
            Kind::Internal => "internal topic",
            Kind::Tails => "tails",
            Kind::Quarantine => "quarantine",
            Kind::Directories => "directories",
            Kind::Other => "other files",
            Kind::Total => "total",
        };
        let which = match (&self.topic, self.partition) {
            (Some(topic), Some(partition)) => format!("{topic}-{partition}"),
            (Some(topic), None) => topic.clone(),
            (None, _) => String::new(),
        };
        vec![look.bytes(self.bytes), what.into(), which.into()]
    }
}

impl Du {
    pub fn run(&self, place: &Place, output: &Output) -> Result<(), Failure> {
        let broker = place.read()?;
        for name in &self.topics {
            place::topic(&broker, name)?;
        }
        let topics = broker.admin().list_topics()?.into_iter().collect();
        let mut found = Found { root: broker.dir(), topics, taken: BTreeMap::new(), failed: None };
        found.visit_all();
        output.rows(&self.rows(&found.taken))?;
        found.failed.map_or(Ok(()), |(path, error)| {
            Err(Failure::failed(format_args!("cannot look at {}: {error}", path.display())))
        })
    }

    /// The rows that were asked for, the largest of a kind first.
    fn rows(&self, taken: &BTreeMap<(Kind, Option<TopicPartition>), u64>) -> Vec<Taken> {
        let mut merged: BTreeMap<(Kind, Option<String>, Option<u32>), u64> = BTreeMap::new();
        for ((kind, of), bytes) in taken.iter().filter(|((_, of), _)| self.is_asked_for(of.as_ref())) {
            let of = of.as_ref().filter(|_| matches!(kind, Kind::Topic | Kind::Internal));
            let (topic, partition) = (of.map(|of| of.topic().to_owned()), of.map(TopicPartition::partition));
            *merged.entry((*kind, topic, partition.filter(|_| self.partitions))).or_default() += bytes;
        }
        let row = |((kind, topic, partition), bytes)| Taken { kind, topic, partition, bytes };
        let mut rows: Vec<Taken> = merged.into_iter().map(row).collect();
        // Where two take the same, they stay in the order of their names.
        rows.sort_by_key(|row| (row.kind, Reverse(row.bytes)));
        let bytes = rows.iter().map(|row| row.bytes).sum();
        rows.push(Taken { kind: Kind::Total, topic: None, partition: None, bytes });
        rows
    }

    fn is_asked_for(&self, of: Option<&TopicPartition>) -> bool {
        self.topics.is_empty() || of.is_some_and(|of| self.topics.iter().any(|topic| topic == of.topic()))
    }
}

/// What was found in a data directory.
struct Found<'d> {
    root: &'d Path,
    /// Those of users.
    topics: BTreeSet<String>,
    /// What is taken, by what it is and the partition that it belongs to, if it belongs to one.
    taken: BTreeMap<(Kind, Option<TopicPartition>), u64>,
    /// The first that could not be looked at.
    failed: Option<(PathBuf, io::Error)>,
}

impl Found<'_> {
    /// Counts all there is.
    fn visit_all(&mut self) {
        let (mut paths, mut seen) = (vec![self.root.to_owned()], HashSet::new());
        while let Some(path) = paths.pop() {
            let visited = fs::symlink_metadata(&path).and_then(|metadata| {
                // One with several names counts once.
                if blocks::id_of_several(&metadata).is_none_or(|id| seen.insert(id)) {
                    *self.taken.entry(self.what(&path, &metadata)).or_default() += blocks::allocated_bytes(&metadata);
                }
                if metadata.is_dir() {
                    for entry in fs::read_dir(&path)? {
                        paths.push(entry?.path());
                    }
                }
                Ok(())
            });
            match visited {
                // It was deleted since.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => _ = self.failed.get_or_insert((path, error)),
                Ok(()) => {}
            }
        }
    }

    fn what(&self, path: &Path, metadata: &Metadata) -> (Kind, Option<TopicPartition>) {
        let below = path.strip_prefix(self.root).unwrap_or(path);
        let first = below.components().next().and_then(|first| first.as_os_str().to_str()).unwrap_or_default();
        let partition = first.parse::<TopicPartition>().ok().and_then(|of| Some((self.kind_of(of.topic())?, of)));
        let is_quarantined = path.extension().is_some_and(|extension| extension == "quarantine");
        match partition {
            _ if first == "tail" || first == "tail-always" => (Kind::Tails, None),
            partition if metadata.is_dir() => (Kind::Directories, partition.map(|(_, of)| of)),
            Some((_, of)) if is_quarantined => (Kind::Quarantine, Some(of)),
            Some((kind, of)) => (kind, Some(of)),
            None => (Kind::Other, None),
        }
    }

    /// What a topic of this name is, if there is one.
    fn kind_of(&self, topic: &str) -> Option<Kind> {
        if topic.starts_with("__") {
            return Some(Kind::Internal);
        }
        self.topics.contains(topic).then_some(Kind::Topic)
    }
}

/// What the file system has given to a file.
#[cfg(unix)]
mod blocks {
    use std::fs::Metadata;
    use std::os::unix::fs::MetadataExt;

    /// In bytes.
    pub fn allocated_bytes(metadata: &Metadata) -> u64 {
        // Whatever the file system's own blocks are, these are of 512 bytes.
        metadata.blocks() * 512
    }

    /// What is the same for all names of a file that has several.
    pub fn id_of_several(metadata: &Metadata) -> Option<(u64, u64)> {
        (!metadata.is_dir() && 1 < metadata.nlink()).then(|| (metadata.dev(), metadata.ino()))
    }
}

/// Where that cannot be known, what is in it.
#[cfg(not(unix))]
mod blocks {
    use std::fs::Metadata;

    pub fn allocated_bytes(metadata: &Metadata) -> u64 {
        metadata.len()
    }

    pub fn id_of_several(_metadata: &Metadata) -> Option<(u64, u64)> {
        None
    }
}
