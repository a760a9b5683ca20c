//! What is in the log directory of a Kafka broker, by its names and the files beside the partitions.
//!
//! ```text
//! <log dir>/
//! ├── orders-0/ orders-1/ …           topic and number, as they are printed; other directories are no partitions
//! ├── __consumer_offsets-0/ …         what groups have committed
//! └── log-start-offset-checkpoint     "0", the count, then a line `topic partition offset` each
//! ```
//! Only names and text are looked at here, and nothing is changed. Links are no directories.

use std::collections::{BTreeMap, HashMap};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::broker::catalog;
use crate::broker::{topic_name, unfinished_mark};
use crate::disk::{Disk, generations};
use crate::error::{Error, Result};
use crate::segment::file_name::{self, FileKind};
use crate::topic_partition::TopicPartition;

/// Where records begin that were deleted within a segment.
pub(super) const LOG_STARTS_FILE: &str = "log-start-offset-checkpoint";

const VERSION: &str = "0";

/// The log directory of a broker, or one partition directory in it.
#[derive(Debug)]
pub(super) struct BrokerDir {
    pub(super) disk: Arc<dyn Disk>,
    /// From the root on, without links.
    pub(super) dir: PathBuf,
    /// The directories of all partitions, by topic and number.
    topics: BTreeMap<String, BTreeMap<u32, PathBuf>>,
    /// The partition that is meant, if it is only one.
    only: Option<TopicPartition>,
    log_starts: HashMap<TopicPartition, u64>,
}

impl BrokerDir {
    /// Looks at the directory `source`.
    ///
    /// # Errors
    /// [`Error::CannotImport`] if it is a directory of ours; [`Error::Unfinished`] if it is an export that was not finished; [`Error::Corrupt`] for a checkpoint that makes no sense; the disk's.
    pub(super) fn open(disk: &Arc<dyn Disk>, source: &Path) -> Result<BrokerDir> {
        let given = disk.resolve(source).map_err(|e| Error::io("find", source, e))?;
        let only = partition_of(&given).filter(|_| has_log(&**disk, &given));
        let dir = match (&only, given.parent()) {
            (Some(_), Some(parent)) => parent.to_owned(),
            _ => given,
        };
        unfinished_mark::check(&**disk, &dir)?;
        let entries = disk.list(&dir).map_err(|e| Error::io("list", &dir, e))?;
        if entries.iter().any(|entry| entry.name == catalog::FILE_NAME) {
            let reason = "it is a data directory of this crate, and no broker's: export it first".to_owned();
            return Err(Error::CannotImport { topic: String::new(), path: dir, reason });
        }
        let mut topics: BTreeMap<String, BTreeMap<u32, PathBuf>> = BTreeMap::new();
        for entry in entries.iter().filter(|entry| entry.is_dir) {
            let path = dir.join(&entry.name);
            if let Some(partition) = partition_of(&path) {
                topics.entry(partition.topic().to_owned()).or_default().insert(partition.partition(), path);
            }
        }
        let log_starts = read_checkpoint(&**disk, &dir.join(LOG_STARTS_FILE))?;
        Ok(BrokerDir { disk: Arc::clone(disk), dir, topics, only, log_starts })
    }

    /// The topics that are no internal ones, in ascending order.
    pub(super) fn topics(&self) -> Vec<String> {
        let is_meant = |topic: &&String| self.only.as_ref().is_none_or(|only| only.topic() == topic.as_str());
        self.topics.keys().filter(|topic| !topic_name::is_internal(topic)).filter(is_meant).cloned().collect()
    }

    /// The directories of a topic's partitions, by number.
    pub(super) fn partitions(&self, topic: &str) -> BTreeMap<u32, PathBuf> {
        let mut found = self.topics.get(topic).cloned().unwrap_or_default();
        if let Some(only) = &self.only {
            found.retain(|number, _| only.topic() == topic && only.partition() == *number);
        }
        found
    }

    /// The directories of the partitions of an internal topic.
    pub(super) fn internal(&self, topic: &'static str) -> impl Iterator<Item = (TopicPartition, &Path)> {
        let partitions = self.topics.get(topic).into_iter().flatten();
        partitions.map(move |(number, path)| (TopicPartition::new(topic, *number), path.as_path()))
    }

    /// Where a partition begins, if the checkpoint says.
    pub(super) fn log_start(&self, partition: &TopicPartition) -> u64 {
        self.log_starts.get(partition).copied().unwrap_or(0)
    }
}

/// The partition that a directory of this name is of.
fn partition_of(dir: &Path) -> Option<TopicPartition> {
    let partition: TopicPartition = dir.file_name()?.to_str()?.parse().ok()?;
    topic_name::validate(partition.topic()).is_ok().then_some(partition)
}

fn has_log(disk: &dyn Disk, dir: &Path) -> bool {
    file_name::list(disk, dir).is_ok_and(|names| names.iter().any(|name| name.kind == FileKind::Log))
}

/// Reads a checkpoint of offsets; there may be none.
fn read_checkpoint(disk: &dyn Disk, path: &Path) -> Result<HashMap<TopicPartition, u64>> {
    let bytes = match generations::read_file(disk, path) {
        Err(Error::Io { source, .. }) if source.kind() == ErrorKind::NotFound => None,
        read => read?,
    };
    let Some(bytes) = bytes else { return Ok(HashMap::new()) };
    let text = std::str::from_utf8(&bytes).ok();
    text.and_then(parse_checkpoint).ok_or_else(|| Error::corrupt_file(path, 0, "it is no checkpoint of offsets"))
}

/// The text of a checkpoint of offsets; `None` if it makes no sense.
fn parse_checkpoint(text: &str) -> Option<HashMap<TopicPartition, u64>> {
    // Kafka takes an empty file as one without entries.
    if text.is_empty() {
        return Some(HashMap::new());
    }
    let mut lines = text.strip_suffix('\n')?.split('\n');
    if lines.next()? != VERSION {
        return None;
    }
    let count: usize = lines.next()?.parse().ok()?;
    let parse_line = |line: &str| {
        let mut fields = line.split(' ');
        let (topic, partition, offset) = (fields.next()?, fields.next()?, fields.next()?);
        let offset = offset.parse().ok().filter(|&offset| i64::try_from(offset).is_ok())?;
        fields.next().is_none().then_some((TopicPartition::new(topic, partition.parse().ok()?), offset))
    };
    let starts: Option<Vec<_>> = lines.map(parse_line).collect();
    starts.filter(|starts| starts.len() == count).map(|starts| starts.into_iter().collect())
}

/// The text of a checkpoint with these lines.
pub(super) fn print_checkpoint<'p>(starts: impl ExactSizeIterator<Item = (&'p TopicPartition, u64)>) -> String {
    let head = format!("{VERSION}\n{}\n", starts.len());
    let line = |(partition, offset): (&TopicPartition, u64)| {
        format!("{} {} {offset}\n", partition.topic(), partition.partition())
    };
    starts.map(line).fold(head, |text, line| text + &line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checkpoint_goes_there_and_back() {
        let starts = [(TopicPartition::new("a-b", 7), 42), (TopicPartition::new("x", 0), i64::MAX.cast_unsigned())];
        let text = print_checkpoint(starts.iter().map(|(partition, offset)| (partition, *offset)));
        assert_eq!(text, "0\n2\na-b 7 42\nx 0 9223372036854775807\n");
        assert_eq!(parse_checkpoint(&text), Some(starts.into_iter().collect()));
        assert_eq!(parse_checkpoint(""), Some(HashMap::new()));
        assert_eq!(parse_checkpoint("0\n0\n"), Some(HashMap::new()));
    }

    #[test]
    fn text_that_makes_no_sense_is_refused() {
        for text in [
            "1\n0\n",
            "0\n1\n",
            "0\n0\nx 0 1\n",
            "0\n1\nx 0 -1\n",
            "0\n1\nx 0\n",
            "0\n1\nx 0 1 2\n",
            "0\n1\nx 0 1",
            "x",
        ] {
            assert_eq!(parse_checkpoint(text), None, "{text:?}");
        }
    }
}
