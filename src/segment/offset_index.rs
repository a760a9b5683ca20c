//! Sparse map from an offset to the byte in the log file where its batch begins.
//!
//! ```text
//! byte  size  field             one entry = 8 bytes, big-endian; both rise strictly
//!    0     4  relative_offset   last offset of a batch, minus the segment's base offset
//!    4     4  file_position     where that same batch begins in the log file
//! ```
//! The batch at the start of the segment never has an entry. The file has no checksum and is not synced: whoever loads it
//! brings a checksum from elsewhere, and without one it is rebuilt from the log.
//! One writer appends; readers see only whole entries and take no lock.

use std::ops::Range;

use super::entries::Entries;

const RELATIVE_OFFSET: usize = 0;
const FILE_POSITION: usize = RELATIVE_OFFSET + size_of::<u32>();
/// Bytes of one entry in the file.
pub(crate) const ENTRY_BYTES: usize = FILE_POSITION + size_of::<u32>();
const _: () = assert!(ENTRY_BYTES == 8);

/// One entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct OffsetEntry {
    /// Last offset of the batch, minus the segment's base offset; at most `i32::MAX`.
    pub(crate) relative_offset: u32,
    /// Where the batch begins in the log file.
    pub(crate) file_position: u32,
}

impl OffsetEntry {
    fn pack(self) -> [u64; 1] {
        [(u64::from(self.relative_offset) << u32::BITS) | u64::from(self.file_position)]
    }

    /// Reads the bytes of one entry, which may be anything.
    pub(crate) fn decode(bytes: [u8; ENTRY_BYTES]) -> OffsetEntry {
        OffsetEntry::unpack([u64::from_be_bytes(bytes)])
    }

    fn unpack([word]: [u64; 1]) -> OffsetEntry {
        #[expect(clippy::cast_possible_truncation, reason = "the lower half is meant")]
        OffsetEntry { relative_offset: (word >> u32::BITS) as u32, file_position: word as u32 }
    }
}

/// The offset index of one segment, in memory.
#[derive(Debug)]
pub(crate) struct OffsetIndex {
    entries: Entries<1>,
}

impl OffsetIndex {
    /// An index without entries.
    pub(crate) fn new() -> OffsetIndex {
        OffsetIndex { entries: Entries::new() }
    }

    /// Reads an index file. `None` if it cannot be one of a log of `log_bytes` bytes with `offsets` offsets: a size that is
    /// no multiple of an entry, or entries that do not rise or point outside.
    pub(crate) fn decode(bytes: &[u8], offsets: u64, log_bytes: u64) -> Option<OffsetIndex> {
        let index = OffsetIndex::new();
        let (entries, []) = bytes.as_chunks::<ENTRY_BYTES>() else { return None };
        // No entry points at the start, and the first one may be about offset 0 all the same.
        let mut least = OffsetEntry { relative_offset: 0, file_position: 1 };
        for &entry in entries {
            let entry = OffsetEntry::decode(entry);
            let rises = entry.relative_offset >= least.relative_offset && entry.file_position >= least.file_position;
            let is_inside = u64::from(entry.relative_offset) < offsets && u64::from(entry.file_position) < log_bytes;
            if !rises || !is_inside {
                return None;
            }
            index.push(entry);
            least = OffsetEntry {
                relative_offset: entry.relative_offset.checked_add(1)?,
                file_position: entry.file_position.checked_add(1)?,
            };
        }
        Some(index)
    }

    /// The bytes of the index file.
    pub(crate) fn encode(&self) -> Vec<u8> {
        self.encode_range(0..self.len())
    }

    /// The bytes of some entries.
    pub(crate) fn encode_range(&self, entries: Range<usize>) -> Vec<u8> {
        entries.filter_map(|index| self.entries.get(index)).flat_map(|[word]| word.to_be_bytes()).collect()
    }

    /// Appends an entry, which must be above the last one.
    pub(crate) fn push(&self, entry: OffsetEntry) {
        self.entries.push(entry.pack());
    }

    /// The number of entries.
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// The entry at `index`, or `None` at the end.
    pub(crate) fn get(&self, index: usize) -> Option<OffsetEntry> {
        self.entries.get(index).map(OffsetEntry::unpack)
    }

    /// The last entry.
    pub(crate) fn last(&self) -> Option<OffsetEntry> {
        self.entries.last().map(OffsetEntry::unpack)
    }

    /// The number of entries at or below a relative offset.
    pub(crate) fn count_to_offset(&self, relative_offset: u64) -> usize {
        self.entries.partition_point(|word| u64::from(OffsetEntry::unpack(word).relative_offset) <= relative_offset)
    }

    /// The number of entries at or below a file position.
    pub(crate) fn count_to_position(&self, file_position: u64) -> usize {
        self.entries.partition_point(|word| u64::from(OffsetEntry::unpack(word).file_position) <= file_position)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(relative_offset: u32, file_position: u32) -> OffsetEntry {
        OffsetEntry { relative_offset, file_position }
    }

    #[test]
    fn the_bytes_are_kafkas() {
        let index = OffsetIndex::new();
        index.push(entry(8, 0xf2));
        index.push(entry(12, 0x1cf));
        let bytes = index.encode();
        assert_eq!(bytes, [0, 0, 0, 8, 0, 0, 0, 0xf2, 0, 0, 0, 12, 0, 0, 1, 0xcf]);
        let again = OffsetIndex::decode(&bytes, 13, 0x1d0).unwrap();
        assert_eq!((again.get(0), again.get(1), again.get(2)), (Some(entry(8, 0xf2)), Some(entry(12, 0x1cf)), None));
    }

    #[test]
    fn lookup_below_the_first_entry_is_the_start() {
        let index = OffsetIndex::new();
        index.push(entry(8, 242));
        index.push(entry(12, 463));
        let counts: Vec<usize> = [0, 7, 8, 11, 12, 99].map(|offset| index.count_to_offset(offset)).into();
        assert_eq!(counts, [0, 0, 1, 1, 2, 2]);
        assert_eq!([0, 241, 242, 462, 463].map(|position| index.count_to_position(position)), [0, 0, 1, 1, 2]);
    }

    #[test]
    fn what_cannot_be_an_index_is_refused() {
        let decode = |entries: &[OffsetEntry]| {
            let bytes: Vec<u8> = entries.iter().flat_map(|e| e.pack()[0].to_be_bytes()).collect();
            OffsetIndex::decode(&bytes, 100, 1000).is_some()
        };
        assert!(decode(&[]));
        assert!(decode(&[entry(0, 1), entry(99, 999)]));
        assert!(!decode(&[entry(0, 0)]), "a zero tail");
        assert!(!decode(&[entry(5, 5), entry(5, 6)]), "an offset twice");
        assert!(!decode(&[entry(5, 5), entry(6, 5)]), "a position twice");
        assert!(!decode(&[entry(100, 5)]), "an offset above the end");
        assert!(!decode(&[entry(5, 1000)]), "a position above the end");
        assert!(!decode(&[entry(u32::MAX, u32::MAX)]));
        assert!(OffsetIndex::decode(&[0; 7], 100, 1000).is_none());
    }
}
