//! What is done to a segment's files as a whole: cut, rewritten, read through, moved, removed.

use std::io::{self, ErrorKind};

use super::file_name::{self, FileKind, FileName, Stage};
use super::{Loaded, Segment};
use crate::canary::{Canary, planted};
use crate::disk::SyncError;
use crate::error::{Error, Result};
use crate::sync::atomic::Ordering;

/// Read at a time.
const CHUNK_BYTES: usize = 256 * 1024;

impl Segment {
    /// Cuts off what recovery found behind the end of the log. Only before anything was read or appended.
    ///
    /// # Errors
    /// The disk's, or if the file was mapped already.
    pub(crate) fn cut_tail(&self) -> Result<()> {
        self.on_log("cut", |loaded| loaded.log.truncate_to(loaded.log.len()))
    }

    /// Gives back room that an earlier process has taken ahead for the log file. Only before anything is appended.
    pub(crate) fn give_back_room(&self) {
        if let Some(loaded) = self.loaded.get() {
            loaded.log.give_back_found_room();
        }
    }

    /// Takes what the log file has from `file_position` on for something that the medium may lack, whatever it looks like, since
    /// an earlier process wrote it: the next [`sync`](Segment::sync) writes it once more, the same bytes.
    pub(crate) fn distrust_from(&self, file_position: u64) {
        let log_bytes = self.log_bytes();
        self.synced_bytes.store(file_position.min(log_bytes), Ordering::Release);
        self.distrusted_bytes.store(log_bytes, Ordering::Release);
    }

    /// Writes once more what [`distrust_from`](Segment::distrust_from) spoke of, for the next sync to carry it.
    ///
    /// # Errors
    /// [`SyncError::Failed`] if a write failed, else [`SyncError::NotBegun`]. The same bytes are there either way, and where they
    /// could not be written for want of space they can be later.
    pub(crate) fn rewrite_distrusted(&self) -> Result<(), SyncError<Error>> {
        let distrusted = self.synced_bytes()..self.distrusted_bytes.load(Ordering::Acquire);
        if !distrusted.is_empty() && !planted(Canary::SkipRewrite) {
            let rewritten = self.loaded().map_err(SyncError::NotBegun)?.log.rewrite(distrusted);
            rewritten.map_err(|failure| failure.map(|source| Error::io("rewrite", &self.path(), source)))?;
        }
        self.distrusted_bytes.store(0, Ordering::Release);
        Ok(())
    }

    /// The CRC-32 of the whole log file, read with plain reads.
    ///
    /// # Errors
    /// The disk's.
    pub(crate) fn log_crc32(&self) -> Result<u32> {
        self.on_log("read", |loaded| {
            let (mut crc, mut position) = (crc32fast::Hasher::new(), 0);
            let mut buffer = vec![0; CHUNK_BYTES];
            loop {
                let read = loaded.log.read_at(&mut buffer, position)?;
                if read == 0 {
                    return Ok(crc.finalize());
                }
                crc.update(buffer.get(..read).unwrap_or_default());
                position += read as u64;
            }
        })
    }

    /// Removes the segment's files, the log first. Who reads from it still can, as long as it was read from before. The
    /// directory is not synced. Doing it again is no error.
    ///
    /// # Errors
    /// The disk's; some files may be gone then.
    pub(crate) fn remove(&self) -> Result<()> {
        let mut removed = self.removed.lock();
        let disk = &**self.dir.files.disk();
        if let Some(loaded) = self.loaded.get() {
            match loaded.log.remove() {
                Err(error) if error.kind() != ErrorKind::NotFound => {
                    return Err(Error::io("remove", &self.path(), error));
                }
                _ => {}
            }
        }
        file_name::remove_files(disk, &self.dir.path, self.base_offset, Stage::Live)?;
        *removed = true;
        Ok(())
    }

    /// Moves the segment's live files to another stage of their life, the log first. Who reads from it still can, as long as
    /// it was read from before. The directory is not synced.
    ///
    /// # Errors
    /// The disk's; some files may be moved then, and doing it again moves the rest.
    #[cfg_attr(not(test), allow(dead_code, reason = "for retention, which is not built yet"))]
    pub(crate) fn move_to(&self, stage: Stage) -> Result<()> {
        let mut removed = self.removed.lock();
        let disk = &**self.dir.files.disk();
        if let Some(loaded) = self.loaded.get()
            && !*removed
        {
            let to = FileName::live(self.base_offset, FileKind::Log).in_stage(stage).path(&self.dir.path);
            loaded.log.rename_to(&to).map_err(|source| Error::io("rename", &self.path(), source))?;
        }
        *removed = true;
        file_name::move_files(disk, &self.dir.path, self.base_offset, Stage::Live, stage)
    }

    /// Never opens a file by its name again, since the name may soon be another's. Whoever reads from an open file or a map
    /// still can.
    pub(crate) fn forget_name(&self) {
        *self.removed.lock() = true;
        if let Some(loaded) = self.loaded.get() {
            loaded.log.forget_name();
        }
    }

    /// Closes the files and never opens them again. Records that were read stay good.
    pub(crate) fn close_for_good(&self) {
        self.forget_name();
        if let Some(loaded) = self.loaded.get() {
            loaded.log.close_for_good();
        }
    }

    fn on_log<T>(&self, action: &'static str, work: impl FnOnce(&Loaded) -> io::Result<T>) -> Result<T> {
        work(self.loaded()?).map_err(|source| Error::io(action, &self.path(), source))
    }
}
