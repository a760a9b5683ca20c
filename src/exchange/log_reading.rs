//! Reading a segment of a log of which nothing is known but its name: Kafka wrote it, or whoever wants us to believe that.
//!
//! Offsets rise, and may leave some out. At a bad batch the segment ends, unless there is a good one behind: then it is damaged. That
//! it may end there is for the caller to judge, who knows what comes behind.

use std::path::PathBuf;
use std::sync::Arc;

use super::old_format;
use super::segment_files::SegmentFile;
use crate::disk::{Disk, DiskFile, Open};
use crate::error::{Corruption, Error, Result};
use crate::format::{self, BatchHeader, HEADER_BYTES};
use crate::segment::{LogWalk, Piece, Rules};
use crate::topic_partition::TopicPartition;

/// A log file that is open.
#[derive(Debug)]
pub(super) struct SegmentReading<'p> {
    partition: &'p TopicPartition,
    base_offset: u64,
    path: PathBuf,
    file: Arc<dyn DiskFile>,
    /// How much of it is looked at.
    bytes: u64,
    /// What begins there, or behind, is not looked at.
    end_offset: u64,
}

/// What was read of a segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SegmentEnd {
    /// The end of its last whole batch in the file.
    pub(super) bytes: u64,
    /// The offset after that; where it was to begin, if there is none.
    pub(super) next_offset: u64,
    pub(super) has_batches: bool,
    /// What comes behind, if it is no batch: how many bytes, and why.
    pub(super) torn: Option<(u64, &'static str)>,
}

/// Who gets each batch: its header, and the whole of it.
pub(super) type Visit<'v> = dyn FnMut(&BatchHeader, &[u8]) -> Result<()> + 'v;

impl<'p> SegmentReading<'p> {
    /// Opens the file.
    ///
    /// # Errors
    /// The disk's: also for a link.
    pub(super) fn open(
        disk: &dyn Disk,
        file: &SegmentFile,
        partition: &'p TopicPartition,
    ) -> Result<SegmentReading<'p>> {
        let path = file.path.clone();
        let opened = disk.open(&path, Open::Read).map_err(|e| Error::io("open", &path, e))?;
        let bytes = opened.size_when_opened();
        Ok(SegmentReading { partition, base_offset: file.base_offset, path, file: opened, bytes, end_offset: u64::MAX })
    }

    /// The same of no more than its first `bytes` bytes.
    pub(super) fn up_to(mut self, bytes: u64) -> Self {
        self.bytes = self.bytes.min(bytes);
        self
    }

    /// The same of no batch that begins at `end_offset` or behind.
    pub(super) fn before(mut self, end_offset: u64) -> Self {
        self.end_offset = end_offset;
        self
    }

    /// Reads all batches, of which none may begin below `next_offset`, or whose checksum is wrong.
    ///
    /// # Errors
    /// [`Error::Corrupt`] where something is wrong and more batches come behind, or offsets go back; [`Error::CannotImport`] for a message
    /// of an old format; what `visit` returns; the disk's.
    pub(super) fn read(&self, next_offset: u64, visit: &mut Visit<'_>) -> Result<SegmentEnd> {
        let read_at = |buffer: &mut [u8], position| self.file.read_at(buffer, position);
        let failed = |e| Error::io("read", &self.path, e);
        let rules = rules(self.base_offset);
        let mut walk = LogWalk::new(&read_at, self.bytes, rules, 0, next_offset.max(self.base_offset));
        let (mut has_batches, mut next_offset) = (false, walk.next_offset());
        loop {
            let torn = match walk.next(0).map_err(failed)? {
                Piece::Batch(batch) if self.end_offset <= batch.header.base_offset() => {
                    return Ok(SegmentEnd { bytes: batch.file_position, next_offset, has_batches, torn: None });
                }
                Piece::Batch(batch) => {
                    let bytes = walk.batch_bytes(&batch).map_err(failed)?;
                    // They may have been read once more, and be others by now.
                    if format::verify(bytes) != Ok(batch.header) {
                        return Err(self.corrupt(batch.file_position, "it changed while it was read"));
                    }
                    visit(&batch.header, bytes).map_err(|error| self.placed(error, batch.file_position))?;
                    (has_batches, next_offset) = (true, batch.header.next_offset());
                    continue;
                }
                Piece::End => None,
                Piece::Tail(reason) => {
                    self.check_tail(&mut walk, reason)?;
                    Some((self.bytes - walk.file_position(), reason))
                }
                Piece::Damage(damage) => return Err(self.corrupt(damage.file_position, damage.reason)),
            };
            return Ok(SegmentEnd { bytes: walk.file_position(), next_offset, has_batches, torn });
        }
    }

    /// Fails if where the walk has stopped is not a torn end.
    fn check_tail(&self, walk: &mut LogWalk<'_>, reason: &'static str) -> Result<()> {
        let position = walk.file_position();
        let failed = |e| Error::io("read", &self.path, e);
        if old_format::is_at(&*self.file, position, self.bytes).map_err(failed)? {
            let reason = format!(
                "at byte {position} is a message of format 0 or 1, from before Kafka 0.11: copy the topic on a broker first, with a \
                 consumer and a producer or with MirrorMaker, which writes format 2"
            );
            let topic = self.partition.topic().to_owned();
            return Err(Error::CannotImport { topic, path: self.path.clone(), reason });
        }
        // A batch that is right in itself is no torn one.
        let is_whole = self.is_batch_at(position).map_err(failed)?;
        if is_whole || walk.find_behind(u64::MAX >> 1).map_err(failed)?.is_some() {
            return Err(self.corrupt(position, reason));
        }
        Ok(())
    }

    fn is_batch_at(&self, position: u64) -> std::io::Result<bool> {
        let mut head = [0; HEADER_BYTES];
        let read = self.file.read_at(&mut head, position)?;
        let Ok(header) = BatchHeader::decode(head.get(..read).unwrap_or_default()) else { return Ok(false) };
        // Whatever its offset is.
        let rules = rules(header.base_offset());
        let read_at = |buffer: &mut [u8], position| self.file.read_at(buffer, position);
        let mut walk = LogWalk::new(&read_at, self.bytes, rules, position, header.base_offset());
        Ok(matches!(walk.next(0)?, Piece::Batch(_)))
    }

    fn placed(&self, error: Error, file_position: u64) -> Error {
        match error {
            Error::Corrupt(damage) if damage.path.as_os_str().is_empty() => self.corrupt(file_position, damage.reason),
            error => error,
        }
    }

    /// Damage of this file.
    pub(super) fn corrupt(&self, file_position: u64, reason: &'static str) -> Error {
        let (partition, path) = (Some(self.partition.clone()), self.path.clone());
        Error::Corrupt(Box::new(Corruption { partition, path, file_position, offsets: None, reason }))
    }
}

/// What holds of any segment of this base offset: compaction may have left out offsets.
fn rules(base_offset: u64) -> Rules {
    Rules { base_offset, end_offset: u64::MAX, end_position: 0, may_skip: true, leader_epoch: None }
}

/// Damage of the batch that is being visited, which whoever reads the file says where it is.
pub(super) fn corrupt_here(reason: &'static str) -> Error {
    Error::corrupt_file(std::path::Path::new(""), 0, reason)
}
