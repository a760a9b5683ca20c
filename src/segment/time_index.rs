//! Sparse map from a timestamp to an offset at and below which no record is younger.
//!
//! ```text
//! byte  size  field             one entry = 12 bytes, big-endian; both rise strictly
//!    0     8  timestamp         largest timestamp from the segment's start up to and including the batch
//!    8     4  relative_offset   last offset of the first batch with that timestamp, minus the segment's base offset
//! ```
//! The file has no checksum and is not synced: whoever loads it brings a checksum from elsewhere, and without one it is
//! rebuilt from the log. A segment without timestamps has an empty file.
//! One writer appends; readers see only whole entries and take no lock.

use std::ops::Range;

use super::entries::Entries;

const TIMESTAMP: usize = 0;
const RELATIVE_OFFSET: usize = TIMESTAMP + size_of::<i64>();
/// Bytes of one entry in the file.
pub(crate) const ENTRY_BYTES: usize = RELATIVE_OFFSET + size_of::<u32>();
const _: () = assert!(ENTRY_BYTES == 12);

/// One entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TimeEntry {
    /// Milliseconds since 1970 UTC; never negative.
    pub(crate) timestamp: i64,
    /// Last offset of the batch, minus the segment's base offset; at most `i32::MAX`.
    pub(crate) relative_offset: u32,
}

impl TimeEntry {
    fn pack(self) -> [u64; 2] {
        [self.timestamp.cast_unsigned(), u64::from(self.relative_offset)]
    }

    fn unpack([timestamp, relative_offset]: [u64; 2]) -> TimeEntry {
        #[expect(clippy::cast_possible_truncation, reason = "packed from 32 bits")]
        TimeEntry { timestamp: timestamp.cast_signed(), relative_offset: relative_offset as u32 }
    }

    /// Reads the bytes of one entry, which may be anything.
    pub(crate) fn decode(bytes: [u8; ENTRY_BYTES]) -> TimeEntry {
        let [t0, t1, t2, t3, t4, t5, t6, t7, o0, o1, o2, o3] = bytes;
        TimeEntry {
            timestamp: i64::from_be_bytes([t0, t1, t2, t3, t4, t5, t6, t7]),
            relative_offset: u32::from_be_bytes([o0, o1, o2, o3]),
        }
    }
}

/// The time index of one segment, in memory.
#[derive(Debug)]
pub(crate) struct TimeIndex {
    entries: Entries<2>,
}

impl TimeIndex {
    /// An index without entries.
    pub(crate) fn new() -> TimeIndex {
        TimeIndex { entries: Entries::new() }
    }

    /// Reads an index file. `None` if it cannot be one of a log with `offsets` offsets: a size that is no multiple of an
    /// entry, or entries that do not rise or point outside.
    pub(crate) fn decode(bytes: &[u8], offsets: u64) -> Option<TimeIndex> {
        let index = TimeIndex::new();
        let (entries, []) = bytes.as_chunks::<ENTRY_BYTES>() else { return None };
        let mut least = TimeEntry { timestamp: 0, relative_offset: 0 };
        for &entry in entries {
            let entry = TimeEntry::decode(entry);
            let rises = entry.timestamp >= least.timestamp && entry.relative_offset >= least.relative_offset;
            if !rises || u64::from(entry.relative_offset) >= offsets {
                return None;
            }
            index.entries.push(entry.pack());
            least = TimeEntry {
                timestamp: entry.timestamp.checked_add(1)?,
                relative_offset: entry.relative_offset.checked_add(1)?,
            };
        }
        Some(index)
    }

    /// The bytes of the index file, ending with `last` if that is above the last entry.
    pub(crate) fn encode(&self, last: Option<TimeEntry>) -> Vec<u8> {
        let last = last.filter(|&entry| self.takes(entry));
        encode(self.entries.iter().map(TimeEntry::unpack).chain(last))
    }

    /// The bytes of some entries.
    pub(crate) fn encode_range(&self, entries: Range<usize>) -> Vec<u8> {
        encode(entries.filter_map(|index| self.entries.get(index)).map(TimeEntry::unpack))
    }

    /// Appends an entry if its timestamp is above the last one's, as Kafka's `maybeAppend`.
    pub(crate) fn push_if_later(&self, entry: TimeEntry) {
        if self.takes(entry) {
            self.entries.push(entry.pack());
        }
    }

    fn takes(&self, entry: TimeEntry) -> bool {
        self.last().is_none_or(|last| last.timestamp < entry.timestamp)
    }

    /// The number of entries.
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// The last entry.
    pub(crate) fn last(&self) -> Option<TimeEntry> {
        self.entries.last().map(TimeEntry::unpack)
    }

    /// The entries at or below a relative offset, as an index of its own.
    pub(crate) fn up_to(&self, relative_offset: u32) -> TimeIndex {
        let index = TimeIndex::new();
        let entries = self.entries.iter().map(TimeEntry::unpack);
        entries
            .take_while(|entry| entry.relative_offset <= relative_offset)
            .for_each(|entry| index.push_if_later(entry));
        index
    }

    /// The number of entries at or below a relative offset.
    pub(crate) fn count_to_offset(&self, relative_offset: u32) -> usize {
        self.entries.partition_point(|entry| TimeEntry::unpack(entry).relative_offset <= relative_offset)
    }

    /// The greatest entry with a timestamp at or below `timestamp`: every record before its batch is older than `timestamp`.
    pub(crate) fn floor(&self, timestamp: i64) -> Option<TimeEntry> {
        let count = self.entries.partition_point(|entry| TimeEntry::unpack(entry).timestamp <= timestamp);
        self.entries.get(count.checked_sub(1)?).map(TimeEntry::unpack)
    }
}

fn encode(entries: impl Iterator<Item = TimeEntry>) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(entries.size_hint().0 * ENTRY_BYTES);
    for entry in entries {
        bytes.extend_from_slice(&entry.timestamp.to_be_bytes());
        bytes.extend_from_slice(&entry.relative_offset.to_be_bytes());
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(timestamp: i64, relative_offset: u32) -> TimeEntry {
        TimeEntry { timestamp, relative_offset }
    }

    #[test]
    fn the_bytes_are_kafkas() {
        let index = TimeIndex::new();
        index.push_if_later(entry(1_700_000_000_022, 8));
        index.push_if_later(entry(1_700_000_000_022, 12));
        let bytes = index.encode(Some(entry(1_700_000_000_022, 12)));
        assert_eq!(bytes, [0, 0, 1, 0x8b, 0xcf, 0xe5, 0x68, 0x16, 0, 0, 0, 8]);
        assert_eq!(index.encode(Some(entry(1_700_000_000_023, 13))).len(), 2 * ENTRY_BYTES);
        assert_eq!(TimeIndex::decode(&bytes, 9).unwrap().last(), Some(entry(1_700_000_000_022, 8)));
    }

    #[test]
    fn floor_is_the_last_entry_that_is_not_younger() {
        let index = TimeIndex::new();
        assert_eq!(index.floor(5), None);
        index.push_if_later(entry(10, 1));
        index.push_if_later(entry(20, 2));
        assert_eq!(
            [9, 10, 19, 20, 21].map(|t| index.floor(t).map(|e| e.timestamp)),
            [None, Some(10), Some(10), Some(20), Some(20)]
        );
        assert_eq!(index.up_to(1).len(), 1);
    }

    #[test]
    fn what_cannot_be_an_index_is_refused() {
        let decode = |entries: &[TimeEntry]| {
            let bytes: Vec<u8> = entries
                .iter()
                .flat_map(|e| [&e.timestamp.to_be_bytes()[..], &e.relative_offset.to_be_bytes()[..]].concat())
                .collect();
            TimeIndex::decode(&bytes, 100).is_some()
        };
        assert!(decode(&[]));
        assert!(decode(&[entry(0, 0), entry(i64::MAX - 1, 99)]));
        assert!(!decode(&[entry(-1, 0)]));
        assert!(!decode(&[entry(5, 5), entry(5, 6)]), "a timestamp twice");
        assert!(!decode(&[entry(5, 5), entry(6, 5)]), "an offset twice");
        assert!(!decode(&[entry(5, 100)]), "an offset above the end");
        assert!(!decode(&[entry(i64::MAX, u32::MAX)]));
        assert!(TimeIndex::decode(&[0; 11], 100).is_none());
    }
}
