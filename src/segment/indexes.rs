//! Both indexes of one segment in memory, and which parts of the log were verified.
//!
//! Entries are added by Kafka's rule: before a batch is counted, if the bytes since the last entry (or the segment's start)
//! exceed `index.interval.bytes`. The entries cut the log into *regions*: region 0 begins at the segment's start, region n at
//! the batch of entry n − 1. A region is what is verified, and remembered as verified, at once.

use std::ops::Range;

use super::derived_files::FileSum;
use super::offset_index::{self, OffsetEntry, OffsetIndex};
use super::scan::Located;
use super::time_index::{self, TimeEntry, TimeIndex};
use crate::format::BatchHeader;
use crate::sync::Mutex;
use crate::sync::atomic::{AtomicU64, Ordering};

/// The indexes of a segment, and what the rule needs to go on.
#[derive(Debug)]
pub(super) struct Indexes {
    pub(super) offset: OffsetIndex,
    pub(super) time: TimeIndex,
    /// For the appender; readers do not look here.
    times: Mutex<Times>,
}

/// What decides about rolling and about the last entry of the time index, and where the log ends.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Times {
    /// The first batch's largest, if that batch was counted.
    pub(super) first: Option<i64>,
    /// The largest, and the first batch that has it.
    pub(super) max: Option<TimeEntry>,
    /// Where the last batch begins that was counted.
    pub(super) last_position: Option<u64>,
}

/// Size and CRC-32 of the index files that belong to a log file. Kept where it is checksummed itself, it is what makes index files,
/// which have no checksum, believable.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct IndexCrcs {
    /// Of the `.index` file.
    pub(crate) offset_index: FileSum,
    /// Of the `.timeindex` file.
    pub(crate) time_index: FileSum,
}

impl Indexes {
    /// Indexes of a log without batches.
    pub(super) fn empty() -> Indexes {
        Indexes::loaded(OffsetIndex::new(), TimeIndex::new(), None)
    }

    /// Indexes that were loaded from files. The segment's first batch is only needed if more is to be appended.
    pub(super) fn loaded(offset: OffsetIndex, time: TimeIndex, first: Option<&BatchHeader>) -> Indexes {
        let first = first.map(|header| header.max_timestamp).filter(|&timestamp| 0 <= timestamp);
        let times = Times { first, max: time.last(), last_position: None };
        Indexes { offset, time, times: Mutex::new(times) }
    }

    /// Counts the next batch of the log. Offsets and positions beyond what an index can say are not indexed; a lookup then
    /// walks further.
    pub(super) fn append(&self, batch: &Located, base_offset: u64, interval_bytes: u32) {
        let mut times = self.times.lock();
        times.last_position = Some(batch.file_position);
        let timestamp = Some(batch.header.max_timestamp).filter(|&timestamp| 0 <= timestamp);
        let relative_offset = batch.header.last_offset().checked_sub(base_offset).map(u32::try_from);
        let (Some(Ok(relative_offset)), Ok(file_position)) = (relative_offset, u32::try_from(batch.file_position))
        else {
            return;
        };
        if file_position == 0 {
            times.first = timestamp;
        }
        if let Some(timestamp) = timestamp
            && times.max.is_none_or(|max| max.timestamp < timestamp)
        {
            times.max = Some(TimeEntry { timestamp, relative_offset });
        }
        let last = self.offset.last().map_or(0, |entry| entry.file_position);
        if interval_bytes < file_position.saturating_sub(last) {
            if let Some(max) = times.max {
                self.time.push_if_later(max);
            }
            self.offset.push(OffsetEntry { relative_offset, file_position });
        }
    }

    /// The timestamps so far.
    pub(super) fn times(&self) -> Times {
        *self.times.lock()
    }

    /// Whether one of the files would exceed `bytes_max`. The time index keeps its last place free for the final entry.
    pub(super) fn are_full(&self, bytes_max: u32) -> bool {
        let bytes_max = bytes_max as usize;
        let time_entries_max = (bytes_max / time_index::ENTRY_BYTES).saturating_sub(1);
        bytes_max / offset_index::ENTRY_BYTES <= self.offset.len() || time_entries_max <= self.time.len()
    }

    /// The region that a byte of the log lies in.
    pub(super) fn region_of_position(&self, file_position: u64) -> usize {
        self.offset.count_to_position(file_position)
    }

    /// The region that the first batch with a last offset at or above this one lies in, or begins right behind.
    pub(super) fn region_of_offset(&self, relative_offset: u64) -> usize {
        self.offset.count_to_offset(relative_offset)
    }

    /// The entry whose batch begins a region; `None` for the first region, which begins the segment.
    pub(super) fn region_entry(&self, region: usize) -> Option<OffsetEntry> {
        self.offset.get(region.checked_sub(1)?)
    }

    /// The bytes of a region; the last one ends at `log_bytes`.
    pub(super) fn region_bytes(&self, region: usize, log_bytes: u64) -> Range<u64> {
        let start = self.region_entry(region).map_or(0, |entry| u64::from(entry.file_position));
        let end = self.offset.get(region).map_or(log_bytes, |entry| u64::from(entry.file_position));
        start..end.min(log_bytes)
    }
}

/// Which regions were verified: one bit for each that was there when the segment was loaded.
#[derive(Debug)]
pub(super) struct Verified {
    words: Box<[AtomicU64]>,
}

impl Verified {
    /// None of this many regions.
    pub(super) fn none_of(regions: usize) -> Verified {
        Verified { words: (0..regions.div_ceil(64)).map(|_| AtomicU64::new(0)).collect() }
    }

    /// Whether a region was verified.
    #[inline]
    pub(super) fn contains(&self, region: usize) -> bool {
        self.words.get(region / 64).is_some_and(|word| word.load(Ordering::Relaxed) & bit(region) != 0)
    }

    /// Remembers that a region was verified.
    pub(super) fn insert(&self, region: usize) {
        if let Some(word) = self.words.get(region / 64) {
            word.fetch_or(bit(region), Ordering::Relaxed);
        }
    }
}

fn bit(region: usize) -> u64 {
    1 << (region % 64)
}
