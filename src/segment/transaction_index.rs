//! Aborted transactions that ended in a segment.
//!
//! ```text
//! byte  size  field                one entry = 34 bytes, big-endian; one for each abort marker in the segment, in their order
//!    0     2  version              0
//!    2     8  producer_id
//!   10     8  first_offset         of the transaction in this log; may lie in an earlier segment
//!   18     8  last_offset          the marker's own
//!   26     8  last_stable_offset   first offset of the earliest other transaction that was open then, or last_offset + 1
//! ```
//! A marker that ends a transaction without data has no entry, and a segment without entries has no file. The file has no checksum
//! and is not synced: whoever loads it brings a checksum from elsewhere, and without one it is rebuilt from the log.

use std::io::ErrorKind;

use super::derived_files::FileSum;
use super::{FileKind, FileName, Segment, Stage};
use crate::disk::{Open, own_copy};
use crate::error::{Error, Result};
use crate::format::{HEADER_BYTES, Invalid, Reader};

const VERSION: i16 = 0;
/// Bytes of one entry in the file.
pub(crate) const ENTRY_BYTES: usize = size_of::<i16>() + 4 * size_of::<i64>();
const _: () = assert!(ENTRY_BYTES == 34);

/// A transaction that never happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct AbortedTransaction {
    /// Whose it was.
    pub(crate) producer_id: i64,
    /// The first offset of its first batch.
    pub(crate) first_offset: u64,
    /// The offset of the marker that ended it.
    pub(crate) last_offset: u64,
    /// One above the last offset that was stable when it had ended.
    pub(crate) last_stable_offset: u64,
}

impl AbortedTransaction {
    fn encode(&self, out: &mut Vec<u8>) {
        out.extend(VERSION.to_be_bytes());
        out.extend(self.producer_id.to_be_bytes());
        for offset in [self.first_offset, self.last_offset, self.last_stable_offset] {
            out.extend(offset.to_be_bytes());
        }
    }

    /// Reads one entry, whatever segment it is of.
    pub(crate) fn decode(reader: &mut Reader<'_>) -> Result<AbortedTransaction, Invalid> {
        const ODD: Invalid = Invalid::Malformed("an entry of a transaction index that makes no sense");
        let version = reader.i16()?;
        let producer_id = reader.i64()?;
        let mut offset = || u64::try_from(reader.i64()?).map_err(|_| ODD);
        let (first_offset, last_offset, last_stable_offset) = (offset()?, offset()?, offset()?);
        let makes_sense = producer_id >= 0 && first_offset < last_offset && last_stable_offset <= last_offset + 1;
        if version != VERSION || !makes_sense {
            return Err(ODD);
        }
        Ok(AbortedTransaction { producer_id, first_offset, last_offset, last_stable_offset })
    }
}

/// The bytes of the index file with these entries.
pub(crate) fn encode(entries: &[AbortedTransaction]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(entries.len() * ENTRY_BYTES);
    for entry in entries {
        entry.encode(&mut bytes);
    }
    bytes
}

/// Reads an index file. `None` if it cannot be that of a segment which begins at `base_offset` and ends before `next_offset`: a
/// size that is no multiple of an entry, or markers that do not rise or lie outside.
pub(crate) fn decode(bytes: &[u8], base_offset: u64, next_offset: u64) -> Option<Vec<AbortedTransaction>> {
    if !bytes.len().is_multiple_of(ENTRY_BYTES) {
        return None;
    }
    let (mut reader, mut entries, mut least) = (Reader::new(bytes), Vec::new(), base_offset);
    while !reader.is_empty() {
        let entry = AbortedTransaction::decode(&mut reader).ok()?;
        if !(least..next_offset).contains(&entry.last_offset) {
            return None;
        }
        least = entry.last_offset + 1;
        entries.push(entry);
    }
    Some(entries)
}

impl Segment {
    /// Writes the index of the aborted transactions that ended in the segment, under the name of a stage; makes no file if there are none. It is not synced:
    /// what a power cut leaves of it does not have the checksum that is returned.
    ///
    /// # Errors
    /// The disk's. Harmless: whoever opens the segment next rebuilds it.
    pub(crate) fn write_transaction_index(
        &self,
        stage: Stage,
        entries: &[AbortedTransaction],
    ) -> Result<Option<FileSum>> {
        if entries.is_empty() {
            return Ok(None);
        }
        let path = FileName::live(self.base_offset, FileKind::TransactionIndex).in_stage(stage).path(&self.dir.path);
        let bytes = encode(entries);
        let write = || {
            let file = own_copy::open(&self.dir.files, &path, Open::CreateOrWrite, 0)?;
            file.write_at(&bytes, 0)?;
            file.set_size(bytes.len() as u64)
        };
        write().map_err(|source| Error::io("write", &path, source))?;
        Ok(Some(FileSum::of(&bytes)))
    }

    /// Reads that index, if the file is the one that was noted. An error of reading is no more than another reason to rebuild it.
    pub(crate) fn load_transaction_index(&self, sum: FileSum) -> Option<Vec<AbortedTransaction>> {
        let bytes = self.read_transaction_index(sum).ok().filter(|bytes| FileSum::of(bytes) == sum)?;
        decode(&bytes, self.base_offset, self.next_offset())
    }

    fn read_transaction_index(&self, sum: FileSum) -> std::io::Result<Vec<u8>> {
        // No two markers can be closer than two batches are.
        let bytes_max = (self.log_bytes() / HEADER_BYTES as u64 + 1) * ENTRY_BYTES as u64;
        if bytes_max < sum.bytes {
            return Err(ErrorKind::InvalidData.into());
        }
        let path =
            FileName::live(self.base_offset, FileKind::TransactionIndex).in_stage(self.stage).path(&self.dir.path);
        let file = self.dir.files.disk().open(&path, Open::Read)?;
        let mut bytes = vec![0; usize::try_from(sum.bytes).map_err(|_| ErrorKind::InvalidData)?];
        let read = file.read_at(&mut bytes, 0)?;
        bytes.truncate(if file.size_when_opened() == sum.bytes { read } else { 0 });
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENTRY: AbortedTransaction =
        AbortedTransaction { producer_id: 1, first_offset: 9, last_offset: 16, last_stable_offset: 11 };

    #[test]
    fn the_bytes_are_kafkas() {
        let bytes = encode(&[ENTRY]);
        let fields: [&[u8]; 5] = [
            &[0, 0],
            &[0, 0, 0, 0, 0, 0, 0, 1],
            &9_i64.to_be_bytes(),
            &16_i64.to_be_bytes(),
            &[0, 0, 0, 0, 0, 0, 0, 11],
        ];
        assert_eq!(bytes, fields.concat());
        assert_eq!(decode(&bytes, 0, 17), Some(vec![ENTRY]));
        assert_eq!(decode(&[], 0, 17), Some(vec![]));
    }

    #[test]
    fn what_cannot_be_an_index_is_refused() {
        let is_taken = |entries: &[AbortedTransaction]| decode(&encode(entries), 10, 30).is_some();
        let later = AbortedTransaction { first_offset: 17, last_offset: 20, last_stable_offset: 21, ..ENTRY };
        assert!(is_taken(&[ENTRY, later]));
        assert!(!is_taken(&[later, ENTRY]), "markers go back");
        assert!(!is_taken(&[ENTRY, ENTRY]), "a marker twice");
        assert!(!is_taken(&[AbortedTransaction { last_offset: 30, ..later }]), "a marker behind the segment");
        assert!(!is_taken(&[AbortedTransaction { first_offset: 3, last_offset: 9, ..later }]), "or before it");
        assert!(!is_taken(&[AbortedTransaction { first_offset: 16, ..ENTRY }]), "no data");
        assert!(!is_taken(&[AbortedTransaction { producer_id: -1, ..ENTRY }]));
        assert!(!is_taken(&[AbortedTransaction { last_stable_offset: 18, ..ENTRY }]));
        assert!(!is_taken(&[AbortedTransaction { first_offset: 1 << 63, ..ENTRY }]));
        let mut other_version = encode(&[ENTRY]);
        other_version[1] = 1;
        assert!(decode(&other_version, 0, 30).is_none());
        assert!(decode(&encode(&[ENTRY])[..33], 0, 30).is_none());
    }
}
