//! A segment that takes the place of others: written beside the log, made durable, and then given its name.
//!
//! ```text
//! create_cleaned ─→ append … ─→ set_aside ─→ (the caller syncs the directory) ─→ go_live
//!   .cleaned                      .swap                                             the live name
//! ```
//! Log and indexes change their names together. Who reads through a [`Segment`] never notices; who opens files by their names
//! has to know which of them counts, and that is written in the manifest alone.

use std::io;
use std::sync::Arc;

use super::file_name::{self, FileKind, FileName, Stage};
use super::read::check;
use super::scan::{LogWalk, Piece};
use super::{Damage, Segment, SegmentConfig, SegmentDir};
use crate::error::{Error, Result};
use crate::format::BatchHeader;
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

    /// Shows each batch, from the first on, to `visit` until that returns `false`: with plain reads, and after checking everything
    /// about it. Whether it came to the end.
    ///
    /// # Errors
    /// [`Error::Corrupt`] if a batch is not what was written there; the disk's; those of `visit`.
    pub(crate) fn visit_batches(&self, visit: &mut dyn FnMut(&BatchHeader, &[u8]) -> Result<bool>) -> Result<bool> {
        self.visit_batches_from((0, self.base_offset), visit)
    }

    /// The same from a byte of the log file on, where the batch with this offset is expected.
    ///
    /// # Errors
    /// As [`visit_batches`](Segment::visit_batches).
    pub(crate) fn visit_batches_from(
        &self,
        (file_position, offset): (u64, u64),
        visit: &mut dyn FnMut(&BatchHeader, &[u8]) -> Result<bool>,
    ) -> Result<bool> {
        let loaded = self.loaded()?;
        let unreadable = |source: io::Error| Error::io("read", &self.path(), source);
        let read_at = |buffer: &mut [u8], position| loaded.log.read_at(buffer, position);
        // Before the length: what is counted here is then in the file, also while it grows.
        let end_offset = self.next_offset();
        let mut walk = LogWalk::new(&read_at, loaded.log.len(), self.rules(), file_position, offset);
        let mut plain = Vec::new();
        loop {
            let batch = match walk.next(end_offset).map_err(unreadable)? {
                Piece::Batch(batch) => batch,
                Piece::Damage(damage) => return Err(self.corrupt(&damage)),
                Piece::Tail(reason) => {
                    let (file_position, next_offset) = (walk.file_position(), walk.next_offset());
                    let bytes = loaded.log.len() - file_position;
                    let offsets = next_offset..next_offset;
                    return Err(self.corrupt(&Damage { file_position, bytes, offsets, reason }));
                }
                Piece::End => return Ok(true),
            };
            let bytes = walk.batch_bytes(&batch).map_err(unreadable)?;
            let checked = check(bytes, self.config.expanded_bytes_max(), &mut plain);
            checked.map_err(|invalid| self.invalid(&batch, invalid))?;
            if !visit(&batch.header, bytes)? {
                return Ok(false);
            }
        }
    }
}
