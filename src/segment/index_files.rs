//! The index files: written whole when a segment is sealed or closed, extended while it grows, believed only with the right
//! checksum.

use std::io::ErrorKind;
use std::path::Path;

use super::derived_files::FileSum;
use super::file_name::Stage;
use super::indexes::IndexCrcs;
use super::offset_index::OffsetIndex;
use super::time_index::TimeIndex;
use super::{FileKind, FileName, Segment};
use crate::canary::{Canary, planted};
use crate::disk::{Disk, Open, own_copy};
use crate::error::{Error, Result};

impl Segment {
    /// Writes the index files as Kafka has them at roll and close, with the final entry of the time index. They are not
    /// synced: what a power cut leaves of them does not have the checksum that is returned.
    ///
    /// # Errors
    /// The disk's. Harmless: whoever opens the segment next rebuilds them.
    pub(crate) fn write_indexes(&self) -> Result<IndexCrcs> {
        self.write_indexes_as(Stage::Live)
    }

    /// The same under the names of another stage.
    pub(super) fn write_indexes_as(&self, stage: Stage) -> Result<IndexCrcs> {
        let loaded = self.loaded()?;
        // Forgotten first: a write that fails midway leaves files that no checksum is known for.
        *self.index_crcs.lock() = None;
        let max = loaded.indexes.times().max;
        let offset_index = loaded.indexes.offset.encode();
        let time_index = loaded.indexes.time.encode(max);
        self.write_index(stage, FileKind::OffsetIndex, &offset_index, 0)?;
        self.write_index(stage, FileKind::TimeIndex, &time_index, 0)?;
        let crcs = IndexCrcs { offset_index: FileSum::of(&offset_index), time_index: FileSum::of(&time_index) };
        *self.index_crcs.lock() = Some(crcs);
        Ok(crcs)
    }

    /// Brings the index files of a growing segment up to the byte `log_bytes` of the log, writing only what is not `written`
    /// yet, so that whoever opens the segment after a kill needs not make them from the whole log. There is no final entry of
    /// the time index. A kill before the checksums are kept leaves files that do not have those that were.
    ///
    /// # Errors
    /// The disk's. Harmless: the next call writes all of it.
    pub(crate) fn extend_indexes(&self, log_bytes: u64, written: &mut WrittenIndexes) -> Result<IndexCrcs> {
        let (from, indexes) = (std::mem::take(written), &self.loaded()?.indexes);
        *self.index_crcs.lock() = None;
        // In this order: an entry of the time index comes before that of the offset index that it was made with.
        let offset_entries = indexes.offset.count_to_position(log_bytes.saturating_sub(1));
        let last = offset_entries.checked_sub(1).and_then(|last| indexes.offset.get(last));
        let time_entries = last.map_or(0, |last| indexes.time.count_to_offset(last.relative_offset));
        let extend = |kind, bytes: &[u8], from: FileSum| {
            self.write_index(Stage::Live, kind, bytes, from.bytes)?;
            let mut crc = crc32fast::Hasher::new_with_initial(from.crc32);
            crc.update(bytes);
            Ok::<_, Error>(FileSum { bytes: from.bytes + bytes.len() as u64, crc32: crc.finalize() })
        };
        let bytes = indexes.offset.encode_range(from.offset_entries..offset_entries);
        let offset_index = extend(FileKind::OffsetIndex, &bytes, from.crcs.offset_index)?;
        let bytes = indexes.time.encode_range(from.time_entries..time_entries);
        let time_index = extend(FileKind::TimeIndex, &bytes, from.crcs.time_index)?;
        let crcs = IndexCrcs { offset_index, time_index };
        *self.index_crcs.lock() = Some(crcs);
        *written = WrittenIndexes { offset_entries, time_entries, crcs };
        Ok(crcs)
    }

    /// Writes `bytes` from `position` on, and ends the file behind them. For an index without entries none is made, but for one
    /// that is to take the place of another.
    fn write_index(&self, stage: Stage, kind: FileKind, bytes: &[u8], position: u64) -> Result<()> {
        let path = FileName::live(self.base_offset(), kind).in_stage(stage).path(&self.dir.path);
        let size = position + bytes.len() as u64;
        let how = if size == 0 && stage == Stage::Live { Open::Write } else { Open::CreateOrWrite };
        let write = || match own_copy::open(&self.dir.files, &path, how, position) {
            Err(error) if size == 0 && error.kind() == ErrorKind::NotFound => Ok(()),
            opened => {
                let file = opened?;
                file.write_at(bytes, position)?;
                file.set_size(size)
            }
        };
        write().map_err(|source| Error::io("write", &path, source))
    }
}

/// How far the index files of a growing segment are written, by [`Segment::extend_indexes`].
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct WrittenIndexes {
    offset_entries: usize,
    time_entries: usize,
    crcs: IndexCrcs,
}

/// What the log file is for which index files are wanted.
#[derive(Debug, Clone, Copy)]
pub(super) struct Covered {
    pub(super) base_offset: u64,
    pub(super) next_offset: u64,
    pub(super) log_bytes: u64,
}

/// Reads the index files of a segment; `None` if they are not those that belong to it. An error of reading is no more than
/// that either. An index without entries needs no file.
pub(super) fn load(disk: &dyn Disk, dir: &Path, covered: Covered, crcs: IndexCrcs) -> Option<(OffsetIndex, TimeIndex)> {
    let offsets = covered.next_offset.checked_sub(covered.base_offset)?;
    // No two entries can be closer than two batches are.
    let entries_max = covered.log_bytes / crate::format::HEADER_BYTES as u64 + 1;
    let read = |kind, entry_bytes: usize, sum: FileSum| {
        if sum == FileSum::default() {
            return Some(Vec::new());
        }
        let file = disk.open(&FileName::live(covered.base_offset, kind).path(dir), Open::Read).ok()?;
        let bytes = file.size_when_opened();
        if bytes > entries_max.saturating_mul(entry_bytes as u64) {
            return None;
        }
        let mut buffer = vec![0; usize::try_from(bytes).ok()?];
        let is_whole = file.read_at(&mut buffer, 0).ok()? == buffer.len();
        let is_ours = FileSum::of(&buffer) == sum || planted(Canary::TrustIndex);
        (is_whole && is_ours).then_some(buffer)
    };
    let offset_index = read(FileKind::OffsetIndex, super::offset_index::ENTRY_BYTES, crcs.offset_index)?;
    let time_index = read(FileKind::TimeIndex, super::time_index::ENTRY_BYTES, crcs.time_index)?;
    Some((OffsetIndex::decode(&offset_index, offsets, covered.log_bytes)?, TimeIndex::decode(&time_index, offsets)?))
}
