//! What an export has written.

use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};

use crate::topic_partition::TopicPartition;

/// What [`Admin::export`](crate::Admin::export) has written, where the example is.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct ExportReport {
    pub(super) target: PathBuf,
    pub(super) partitions: Vec<ExportedPartition>,
    pub(super) groups: usize,
    pub(super) files: u64,
    pub(super) bytes: u64,
}

/// A partition that was exported; one of [`ExportReport::partitions`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct ExportedPartition {
    pub(super) partition: TopicPartition,
    pub(super) offsets: Range<u64>,
    pub(super) log_end_offset: u64,
    pub(super) files: u64,
    pub(super) bytes: u64,
    pub(super) batch_count: u64,
    /// Whether the offsets begin above the first file, or there is nothing at them.
    pub(super) needs_log_start: bool,
    pub(super) largest_batch_bytes: u32,
}

impl ExportReport {
    /// Where it was written, from the root on.
    #[must_use]
    pub fn target(&self) -> &Path {
        &self.target
    }

    /// The partitions, by topic and number.
    #[must_use]
    pub fn partitions(&self) -> &[ExportedPartition] {
        &self.partitions
    }

    /// How many groups have committed something for the topics.
    #[must_use]
    pub fn groups(&self) -> usize {
        self.groups
    }

    /// How many files were written, the text files among them.
    #[must_use]
    pub fn files(&self) -> u64 {
        self.files
    }

    /// How many bytes they have.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }
}

/// A line for each partition.
impl fmt::Display for ExportReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let line = |exported: &ExportedPartition| {
            let ExportedPartition { partition, offsets: Range { start, end }, log_end_offset, files, bytes, .. } =
                exported;
            let cut = if end < log_end_offset {
                format!("; cut at {end} of {log_end_offset}, where a transaction is open")
            } else {
                String::new()
            };
            format!("{partition}: offsets {start}..{end}, {bytes} bytes in {files} files{cut}")
        };
        f.write_str(&self.partitions.iter().map(line).collect::<Vec<_>>().join("\n"))
    }
}

impl ExportedPartition {
    /// The topic and number.
    #[must_use]
    pub fn topic_partition(&self) -> &TopicPartition {
        &self.partition
    }

    /// From the first offset that can be read (included) to where the export ends (excluded).
    #[must_use]
    pub fn offsets(&self) -> Range<u64> {
        self.offsets.clone()
    }

    /// Where the log ended. What lies between the end of [`offsets`](ExportedPartition::offsets) and this was left out, since a
    /// transaction is open there.
    #[must_use]
    pub fn log_end_offset(&self) -> u64 {
        self.log_end_offset
    }

    /// How many log files were written.
    #[must_use]
    pub fn files(&self) -> u64 {
        self.files
    }

    /// How many bytes they have.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// How many batches are in them.
    #[must_use]
    pub fn batch_count(&self) -> u64 {
        self.batch_count
    }
}
