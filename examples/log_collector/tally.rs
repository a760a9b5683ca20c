//! What was done in a run, counted by each thread for itself.

use std::hash::{DefaultHasher, Hasher as _};

use crate::journal::PARTITIONS;
use crate::level::LevelCounts;

/// So many lines are shown whose time was not understood.
const SAMPLES: usize = 3;

#[derive(Debug, Default, Clone)]
pub(crate) struct Tally {
    /// Copies of others, in whole or in their beginning.
    pub(crate) copies: u64,
    /// Compressed in a way that is not read here.
    pub(crate) files_skipped: u64,
    /// Files whose limit was reached, or during which the user stopped.
    pub(crate) files_cut_short: u64,
    pub(crate) lines: u64,
    pub(crate) lines_skipped: u64,
    /// Bytes that this run has dealt with. They are in values, or taken off, or skipped.
    pub(crate) read_bytes: u64,
    pub(crate) value_bytes: u64,
    pub(crate) taken_off_bytes: u64,
    pub(crate) skipped_bytes: u64,
    /// The part of what was skipped that is in copies.
    pub(crate) copied_bytes: u64,
    /// Bytes of last lines that may still be being written. The next run deals with them.
    pub(crate) left_bytes: u64,
    pub(crate) levels: LevelCounts,
    pub(crate) not_understood: u64,
    pub(crate) samples: Vec<String>,
    /// Lines that were gone before they could be consumed.
    pub(crate) passed_over: u64,
    pub(crate) sums: [Checksum; PARTITIONS],
}

/// Stands for a set of records and their offsets, in whatever order they come: equal sets have equal sums.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Checksum {
    pub(crate) records: u64,
    sum: u64,
}

impl Checksum {
    pub(crate) fn add(&mut self, offset: u64, value: &[u8]) {
        let mut hasher = DefaultHasher::new();
        hasher.write_u64(offset);
        hasher.write(value);
        self.records += 1;
        self.sum = self.sum.wrapping_add(hasher.finish());
    }

    fn merge(&mut self, other: Checksum) {
        self.records += other.records;
        self.sum = self.sum.wrapping_add(other.sum);
    }
}

impl Tally {
    /// Whether every byte that was read is accounted for.
    pub(crate) fn is_balanced(&self) -> bool {
        self.read_bytes == self.value_bytes + self.taken_off_bytes + self.skipped_bytes
    }

    /// Takes a line for a sample while there are too few; `line` makes it.
    pub(crate) fn sample(&mut self, line: impl FnOnce() -> String) {
        if self.samples.len() < SAMPLES {
            self.samples.push(line());
        }
    }

    /// Adds what another thread or a later round counted.
    pub(crate) fn merge(&mut self, other: Tally) {
        self.copies += other.copies;
        self.files_skipped += other.files_skipped;
        self.files_cut_short += other.files_cut_short;
        self.lines += other.lines;
        self.lines_skipped += other.lines_skipped;
        self.read_bytes += other.read_bytes;
        self.value_bytes += other.value_bytes;
        self.taken_off_bytes += other.taken_off_bytes;
        self.skipped_bytes += other.skipped_bytes;
        self.copied_bytes += other.copied_bytes;
        self.left_bytes += other.left_bytes;
        self.levels.iter_mut().zip(other.levels).for_each(|(mine, other)| *mine += other);
        self.not_understood += other.not_understood;
        other.samples.into_iter().for_each(|sample| self.sample(|| sample));
        self.sums.iter_mut().zip(other.sums).for_each(|(mine, other)| mine.merge(other));
    }
}
