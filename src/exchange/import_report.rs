//! What an import has taken over.

use std::fmt;
use std::ops::Range;
use std::path::PathBuf;

use super::survey::LogSurvey;
use crate::topic_partition::TopicPartition;

/// What [`Admin::import`](crate::Admin::import) has taken over, where the example is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct ImportReport {
    pub(super) topics: Vec<ImportedTopic>,
}

/// A topic that was imported; one of [`ImportReport::topics`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct ImportedTopic {
    pub(super) name: String,
    pub(super) partitions: Vec<ImportedPartition>,
    pub(super) offsets: Vec<ImportedOffset>,
}

/// A partition that was imported; one of [`ImportedTopic::partitions`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct ImportedPartition {
    partition: TopicPartition,
    offsets: Range<u64>,
    bytes: u64,
    batch_count: u64,
    record_count: u64,
    aborted_transactions: usize,
    torn_end: Option<TornEnd>,
    is_missing: bool,
}

/// What a group has committed; one of [`ImportedTopic::offsets`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct ImportedOffset {
    /// The group.
    pub group: String,
    /// The partition.
    pub partition: TopicPartition,
    /// What is committed now.
    pub offset: u64,
    /// What the group had committed. It is higher where the log did not reach so far.
    pub committed_offset: u64,
}

/// The end of a log file that holds no whole batch, and was left out: what a broker leaves that was killed in the middle of a write.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct TornEnd {
    /// The file.
    pub path: PathBuf,
    /// The byte of it where what was left out begins.
    pub file_position: u64,
    /// How many bytes there are from there on.
    pub bytes: u64,
    /// What does not hold.
    pub reason: &'static str,
}

impl ImportReport {
    /// The topics, in the order in which they were imported.
    #[must_use]
    pub fn topics(&self) -> &[ImportedTopic] {
        &self.topics
    }

    /// The partitions of all topics.
    pub fn partitions(&self) -> impl Iterator<Item = &ImportedPartition> {
        self.topics.iter().flat_map(|topic| &topic.partitions)
    }
}

/// A line for each partition, and for what is not as it was.
impl fmt::Display for ImportReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, partition) in self.partitions().enumerate() {
            let Range { start, end } = partition.offsets();
            let (records, bytes) = (partition.record_count, partition.bytes);
            if 0 < index {
                writeln!(f)?;
            }
            write!(f, "{}: {records} records at {start}..{end}, {bytes} bytes", partition.partition)?;
            if 0 < partition.aborted_transactions {
                write!(f, "; open transactions aborted: {}", partition.aborted_transactions)?;
            }
            if let Some(torn) = &partition.torn_end {
                let TornEnd { path, file_position, bytes, reason } = torn;
                write!(f, "; {bytes} bytes left out from byte {file_position} of {} on: {reason}", path.display())?;
            }
        }
        for topic in &self.topics {
            for moved in topic.offsets.iter().filter(|offset| offset.offset < offset.committed_offset) {
                let ImportedOffset { group, partition, offset, committed_offset } = moved;
                write!(
                    f,
                    "\n{partition}: group {group:?} had committed {committed_offset}, and now {offset}, the end of the log"
                )?;
            }
        }
        Ok(())
    }
}

impl ImportedTopic {
    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its partitions, by number.
    #[must_use]
    pub fn partitions(&self) -> &[ImportedPartition] {
        &self.partitions
    }

    /// What groups have committed for it, in ascending order of groups and partitions.
    #[must_use]
    pub fn offsets(&self) -> &[ImportedOffset] {
        &self.offsets
    }
}

impl ImportedPartition {
    pub(super) fn new(survey: &LogSurvey) -> ImportedPartition {
        ImportedPartition {
            partition: survey.partition.clone(),
            offsets: survey.log_start_offset..survey.end_offset(),
            bytes: survey.bytes(),
            batch_count: survey.batch_count,
            record_count: survey.record_count,
            aborted_transactions: survey.transactions.count(),
            torn_end: survey.torn.clone(),
            is_missing: false,
        }
    }

    pub(super) fn missing(partition: TopicPartition) -> ImportedPartition {
        ImportedPartition {
            partition,
            offsets: 0..0,
            bytes: 0,
            batch_count: 0,
            record_count: 0,
            aborted_transactions: 0,
            torn_end: None,
            is_missing: true,
        }
    }

    /// The topic and number.
    #[must_use]
    pub fn topic_partition(&self) -> &TopicPartition {
        &self.partition
    }

    /// From the first offset that can be read (included) to the log end (excluded), with the markers that were appended.
    #[must_use]
    pub fn offsets(&self) -> Range<u64> {
        self.offsets.clone()
    }

    /// Bytes of batches.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// How many batches there are.
    #[must_use]
    pub fn batch_count(&self) -> u64 {
        self.batch_count
    }

    /// How many records there are in them, markers and what was aborted among them.
    #[must_use]
    pub fn record_count(&self) -> u64 {
        self.record_count
    }

    /// How many transactions were open, and are aborted now.
    #[must_use]
    pub fn aborted_transactions(&self) -> usize {
        self.aborted_transactions
    }

    /// What was left out at the end, if there was something.
    #[must_use]
    pub fn torn_end(&self) -> Option<&TornEnd> {
        self.torn_end.as_ref()
    }

    /// Whether its directory was not there, so that it is empty.
    #[must_use]
    pub fn is_missing(&self) -> bool {
        self.is_missing
    }
}
