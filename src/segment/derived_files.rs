//! What is noted of files that are made from a log: enough to know whether a file is still the one that was written.
//!
//! ```text
//! byte  size  field       one file = 14 bytes, big-endian; a list of them follows its count, which has 2 bytes
//!    0     2  kind        1 offset index, 2 time index, 3 transaction index, 4 producer snapshot of the end
//!    2     8  file_bytes  size of the file; where it is 0 there need not be one
//!   10     4  crc32       CRC-32 of the whole file
//! ```
//! Kinds 3 and 4 are only there for a log with producers. A size of 0 says of them that there is something to be told, and the log
//! is to be asked. A later version adds kinds. Those that are not known here are kept as they are when a list is written again.

use super::IndexCrcs;
use crate::format::{Invalid, Reader};

const OFFSET_INDEX: u16 = 1;
const TIME_INDEX: u16 = 2;
const TRANSACTION_INDEX: u16 = 3;
const PRODUCER_SNAPSHOT: u16 = 4;

/// The size of one file in a list.
pub(crate) const FILE_BYTES: usize = size_of::<u16>() + size_of::<u64>() + size_of::<u32>();

/// Size and checksum of a file.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct FileSum {
    /// In bytes.
    pub(crate) bytes: u64,
    /// CRC-32 of all of them.
    pub(crate) crc32: u32,
}

impl FileSum {
    /// That of a file with this content.
    pub(crate) fn of(content: &[u8]) -> FileSum {
        FileSum { bytes: content.len() as u64, crc32: crc32fast::hash(content) }
    }
}

/// One file of a list, of any kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct DerivedFile {
    /// What it is.
    pub(crate) kind: u16,
    /// How it was written.
    pub(crate) sum: FileSum,
}

/// The files that tell of the producers of a log, up to some offset in it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct ProducerFiles {
    /// Of the transactions that were aborted in the segment. None if there are none; [`UNKNOWN`](ProducerFiles::UNKNOWN) if only
    /// the log tells.
    pub(crate) transaction_index: Option<FileSum>,
    /// Of all producers, at the end of the segment or of what is known to be synced of it. None if there were none up to there;
    /// [`UNKNOWN`](ProducerFiles::UNKNOWN) if only the log tells.
    pub(crate) snapshot: Option<FileSum>,
}

impl ProducerFiles {
    /// There is something to be told, and no file that tells it.
    pub(crate) const UNKNOWN: FileSum = FileSum { bytes: 0, crc32: 0 };

    /// Whether there is anything to be told.
    pub(crate) fn are_any(&self) -> bool {
        self.transaction_index.is_some() || self.snapshot.is_some()
    }
}

/// The files of one segment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct SegmentFiles {
    /// The index files, if both are in the list.
    pub(crate) index_crcs: Option<IndexCrcs>,
    /// Those that tell of producers.
    pub(crate) producers: ProducerFiles,
    /// Files of other kinds.
    pub(crate) others: Vec<DerivedFile>,
}

impl SegmentFiles {
    /// Sorts a list by what is known of its kinds.
    pub(crate) fn of(files: Vec<DerivedFile>) -> SegmentFiles {
        let find = |kind| files.iter().find(|file| file.kind == kind).map(|file| file.sum);
        let index_crcs = find(OFFSET_INDEX).zip(find(TIME_INDEX));
        let index_crcs = index_crcs.map(|(offset_index, time_index)| IndexCrcs { offset_index, time_index });
        let producers = ProducerFiles { transaction_index: find(TRANSACTION_INDEX), snapshot: find(PRODUCER_SNAPSHOT) };
        let mut others = files;
        let is_known = |kind| matches!(kind, OFFSET_INDEX | TIME_INDEX | TRANSACTION_INDEX | PRODUCER_SNAPSHOT);
        others.retain(|file| !is_known(file.kind));
        SegmentFiles { index_crcs, producers, others }
    }

    /// The list that [`of`](SegmentFiles::of) was made from, but for its order.
    pub(crate) fn list(&self) -> Vec<DerivedFile> {
        let known = self.index_crcs.into_iter().flat_map(|crcs| {
            let IndexCrcs { offset_index, time_index } = crcs;
            [(OFFSET_INDEX, offset_index), (TIME_INDEX, time_index)]
        });
        let ProducerFiles { transaction_index, snapshot } = self.producers;
        let transaction_index = transaction_index.map(|sum| (TRANSACTION_INDEX, sum));
        let known = known.chain(transaction_index).chain(snapshot.map(|sum| (PRODUCER_SNAPSHOT, sum)));
        known.map(|(kind, sum)| DerivedFile { kind, sum }).chain(self.others.iter().copied()).collect()
    }
}

/// Appends the count and the files of a list to `out`. No list is ever near 65,536 files long; one that were would be cut.
pub(crate) fn encode(files: &[DerivedFile], out: &mut Vec<u8>) {
    let count = u16::try_from(files.len()).unwrap_or(u16::MAX);
    out.extend(count.to_be_bytes());
    for DerivedFile { kind, sum } in files.iter().take(count.into()) {
        out.extend(kind.to_be_bytes());
        out.extend(sum.bytes.to_be_bytes());
        out.extend(sum.crc32.to_be_bytes());
    }
}

/// Reads what [`encode`] wrote. The bytes may be anything.
pub(crate) fn decode(reader: &mut Reader<'_>) -> Result<Vec<DerivedFile>, Invalid> {
    let count = u16::from_be_bytes(reader.array()?);
    let file = |_| {
        let kind = u16::from_be_bytes(reader.array()?);
        let bytes = u64::from_be_bytes(reader.array()?);
        Ok(DerivedFile { kind, sum: FileSum { bytes, crc32: reader.u32()? } })
    };
    (0..count).map(file).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_unknown_kinds_are_kept() {
        let sum = |bytes| FileSum { bytes, crc32: 9 };
        let files: Vec<_> =
            [(2, 12), (7, 1 << 40), (1, 8)].map(|(kind, bytes)| DerivedFile { kind, sum: sum(bytes) }).into();
        let sorted = SegmentFiles::of(files.clone());
        assert_eq!(sorted.index_crcs, Some(IndexCrcs { offset_index: sum(8), time_index: sum(12) }));
        assert_eq!(sorted.others, [files[1]]);
        assert_eq!(SegmentFiles::of(sorted.list()), sorted);
        let mut bytes = Vec::new();
        encode(&sorted.list(), &mut bytes);
        assert_eq!(bytes.len(), 2 + 3 * FILE_BYTES);
        assert_eq!(bytes[..16], [0, 3, 0, 1, 0, 0, 0, 0, 0, 0, 0, 8, 0, 0, 0, 9]);
        assert_eq!(decode(&mut Reader::new(&bytes)), Ok(sorted.list()));
        assert!(decode(&mut Reader::new(&bytes[..bytes.len() - 1])).is_err());
    }

    #[test]
    fn files_of_producers_are_known() {
        let sum = |bytes| FileSum { bytes, crc32: 9 };
        let files = vec![DerivedFile { kind: 4, sum: sum(56) }, DerivedFile { kind: 3, sum: sum(34) }];
        let sorted = SegmentFiles::of(files);
        let producers = ProducerFiles { transaction_index: Some(sum(34)), snapshot: Some(sum(56)) };
        assert_eq!((sorted.producers, sorted.others.len()), (producers, 0));
        assert_eq!(SegmentFiles::of(sorted.list()), sorted);
        assert!(producers.are_any() && !ProducerFiles::default().are_any());
    }
}
