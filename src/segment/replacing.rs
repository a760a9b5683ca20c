//! A segment that takes the place of others: written beside the log, made durable, and then given its name.
//!
//! ```text
//! create_cleaned ─→ append … ─→ set_aside ─→ (the caller syncs the directory) ─→ go_live
//!   .cleaned                      .swap                                             the live name
//! ```
//! Log and indexes change their names together. Who reads through a [`Segment`] never notices; who opens files by their names
//! has to know which of them counts, and that is written in the manifest alone.

use std::sync::Arc;

use super::file_name::{self, FileKind, FileName, Stage};
use super::read::check;
use super::scan::{self, Located};
use super::{Damage, Segment, SegmentConfig, SegmentDir};
use crate::error::{Error, Result};
use crate::format::{BatchHeader, HEADER_BYTES};
use crate::sync::atomic::Ordering;

impl Segment {
    /// Creates a segment without batches that is not part of the log yet and will have about `capacity_bytes` bytes. What an
    /// earlier attempt left under its name is removed.
    ///
    /// # Errors
    /// The disk's.
    pub(crate) fn create_cleaned(
        dir: &Arc<SegmentDir>,
        base_offset: u64,
        config: SegmentConfig,
        capacity_bytes: u64,
    ) -> Result<Segment> {
        file_name::remove_files(&**dir.files.disk(), &dir.path, base_offset, Stage::Cleaned)?;
        Segment::create_as(Stage::Cleaned, dir, base_offset, config, capacity_bytes)
    }

    /// Makes what was written to a segment of [`create_cleaned`](Segment::create_cleaned) durable, indexes it, and renames it
    /// to say that it is complete. The name survives a power cut once the caller has synced the directory.
    ///
    /// # Errors
    /// The disk's. The files are of no use then.
    pub(crate) fn set_aside(&self) -> Result<()> {
        let loaded = self.loaded()?;
        loaded.log.sync().map_err(|source| Error::io("sync", &self.path(), source))?;
        self.write_indexes_as(Stage::Cleaned)?;
        self.rename(Stage::Cleaned, Stage::Swap)?;
        self.synced_bytes.fetch_max(loaded.log.len(), Ordering::AcqRel);
        Ok(())
    }

    /// The directory was synced since the segment has got the name that counts.
    pub(crate) fn name_is_synced(&self) {
        self.is_name_synced.store(true, Ordering::Release);
    }

    /// Gives a segment of [`set_aside`](Segment::set_aside) its place, instead of the files that have its name. Doing it again
    /// does the rest. The directory is not synced.
    ///
    /// # Errors
    /// The disk's; some files may be renamed then.
    pub(crate) fn go_live(&self) -> Result<()> {
        self.rename(Stage::Swap, Stage::Live)
    }

    fn rename(&self, from: Stage, to: Stage) -> Result<()> {
        let loaded = self.loaded()?;
        let log = FileName::live(self.base_offset, FileKind::Log);
        let to_path = log.in_stage(to).path(&self.dir.path);
        if loaded.log.path().is_some_and(|path| path != to_path) {
            let renamed = loaded.log.rename_to(&to_path);
            renamed.map_err(|source| Error::io("rename", &log.in_stage(from).path(&self.dir.path), source))?;
        }
        file_name::move_files(&**self.dir.files.disk(), &self.dir.path, self.base_offset, from, to)
    }

    /// Reads the batch at `file_position` into `buffer`, with plain reads, and checks everything about it; `next_offset` is
    /// what the one before ends at. `None` at the end of the segment.
    ///
    /// # Errors
    /// [`Error::Corrupt`] if it is not what was written there; the disk's.
    pub(crate) fn read_checked(
        &self,
        file_position: u64,
        next_offset: u64,
        buffer: &mut Vec<u8>,
    ) -> Result<Option<BatchHeader>> {
        let log_bytes = self.log_bytes();
        if log_bytes <= file_position {
            return Ok(None);
        }
        let loaded = self.loaded()?;
        let read = |buffer: &mut Vec<u8>, bytes: usize| {
            buffer.clear();
            buffer.resize(bytes, 0);
            let read = loaded.log.read_at(buffer, file_position);
            read.map(|read| buffer.truncate(read)).map_err(|source| Error::io("read", &self.path(), source))
        };
        let corrupt = |reason| {
            let offsets = next_offset..self.next_offset().max(next_offset);
            self.corrupt(&Damage { file_position, bytes: log_bytes - file_position, offsets, reason })
        };
        read(buffer, HEADER_BYTES)?;
        let header = BatchHeader::decode(buffer).map_err(|invalid| corrupt(scan::reason(invalid)))?;
        if log_bytes - file_position < u64::from(header.batch_bytes) {
            return Err(corrupt("a batch is cut short"));
        }
        read(buffer, header.batch_bytes as usize)?;
        let checked = check(buffer, self.config.expanded_bytes_max, &mut Vec::new());
        checked.map_err(|invalid| self.invalid(&Located { file_position, header }, invalid))?;
        let continues = header.base_offset() == next_offset || next_offset < header.base_offset() && self.has_gaps();
        if !continues || !scan::fits_segment(self.base_offset, &header) {
            return Err(corrupt("the offset of a batch does not continue the one before"));
        }
        if self.next_offset() < header.next_offset() {
            return Err(corrupt("a batch has offsets above its segment's last"));
        }
        Ok(Some(header))
    }
}
