//! What tells a log file from any other: checksums of the headers of its first and its last batch.
//!
//! Kafka's batches do not say whose they are, so a log file that was put in the place of another one looks as good. Its
//! headers are other ones: they hold a checksum of the records, offsets and timestamps. To compare them takes two short reads,
//! whatever the size of the file.

use std::io;

use super::scan::{LogWalk, Piece, ReadAt, Rules};
use super::{Damage, Loaded, Segment};
use crate::disk::{DiskFile, Open};
use crate::error::{Error, Result};
use crate::format::{BatchHeader, HEADER_BYTES};

/// Why a log file with other headers is not read.
pub(crate) const FOREIGN: &str = "not the file that was written";

/// Checksums of two headers of a log file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct HeaderSums {
    /// CRC-32 of the header of the first batch.
    pub(crate) first: u32,
    /// CRC-32 of the header of the last batch.
    pub(crate) last: u32,
    /// The byte of the log file where the last batch begins.
    pub(crate) last_position: u64,
}

impl HeaderSums {
    /// Reads them from a log file whose last batch begins at `last_position`. `None` if the file ends before.
    pub(super) fn read(read_at: &ReadAt<'_>, last_position: u64) -> io::Result<Option<HeaderSums>> {
        let (first, last) = (header_crc32(read_at, 0)?, header_crc32(read_at, last_position)?);
        Ok(first.zip(last).map(|(first, last)| HeaderSums { first, last, last_position }))
    }

    /// Whether a log file has both headers.
    ///
    /// # Errors
    /// The disk's.
    pub(crate) fn are_in(&self, file: &dyn DiskFile) -> io::Result<bool> {
        let read_at = |buffer: &mut [u8], position| file.read_at(buffer, position);
        Ok(HeaderSums::read(&read_at, self.last_position)? == Some(*self))
    }

    /// Whether a log file is another one: the headers are other ones, and yet it begins with a whole batch. Of a file that is just
    /// damaged one of the headers is still right, if need be as far from the end as it was, or the batch behind it is not.
    pub(super) fn are_of_another(&self, read_at: &ReadAt<'_>, file: WrittenLog) -> io::Result<bool> {
        let WrittenLog { base_offset, written_bytes, file_bytes } = file;
        let from_end = written_bytes.saturating_sub(self.last_position);
        // Beyond its end nothing is looked for: a position that no file can have is an error of the call, and not of the file.
        let has_last =
            |position| Ok::<_, io::Error>(position < file_bytes && header_crc32(read_at, position)? == Some(self.last));
        if header_crc32(read_at, 0)? == Some(self.first)
            || has_last(self.last_position)?
            || has_last(file_bytes.saturating_sub(from_end))?
        {
            return Ok(false);
        }
        let rules = Rules { base_offset, end_offset: u64::MAX, end_position: 0, may_skip: true, leader_epoch: None };
        let first = LogWalk::new(read_at, file_bytes, rules, 0, base_offset).next(base_offset)?;
        Ok(matches!(first, Piece::Batch(_)))
    }
}

/// A log file that is to be compared.
#[derive(Debug, Clone, Copy)]
pub(super) struct WrittenLog {
    /// Of the segment.
    pub(super) base_offset: u64,
    /// What it had when the checksums were noted.
    pub(super) written_bytes: u64,
    /// What it has now.
    pub(super) file_bytes: u64,
}

fn header_crc32(read_at: &ReadAt<'_>, position: u64) -> io::Result<Option<u32>> {
    let mut header = [0; HEADER_BYTES];
    let read = read_at(&mut header, position)?;
    Ok((read == HEADER_BYTES).then(|| crc32fast::hash(&header)))
}

impl Segment {
    /// The checksums of the first header and of that at `last_position`; those that were noted for a sealed segment. `None`
    /// where there is no batch, or they cannot be read: then the file is not compared the next time.
    pub(crate) fn header_sums(&self, last_position: Option<u64>) -> Option<HeaderSums> {
        if self.is_sealed() {
            return self.headers.as_deref().copied();
        }
        let Loaded { log, .. } = self.loaded.get()?;
        let read_at = |buffer: &mut [u8], position| log.read_at(buffer, position);
        HeaderSums::read(&read_at, last_position?).ok().flatten()
    }

    /// Whether the log file of a sealed segment is not the one that was sealed. A file that is missing is not.
    ///
    /// # Errors
    /// The disk's.
    pub(crate) fn is_another(&self) -> Result<bool> {
        let path = self.path();
        let another = self.dir.files.open(&path, Open::Read).and_then(|file| self.is_file_another(&*file));
        match another {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            another => another.map_err(|source| Error::io("read", &path, source)),
        }
    }

    fn is_file_another(&self, file: &dyn DiskFile) -> io::Result<bool> {
        let Some(headers) = &self.headers else { return Ok(false) };
        let read_at = |buffer: &mut [u8], position| file.read_at(buffer, position);
        let (base_offset, file_bytes) = (self.base_offset(), file.size_when_opened());
        headers.are_of_another(&read_at, WrittenLog { base_offset, written_bytes: self.log_bytes(), file_bytes })
    }

    /// Fails if a log file is not the one that was sealed.
    pub(super) fn check_headers(&self, file: &dyn DiskFile) -> Result<()> {
        match self.is_file_another(file) {
            Ok(false) => Ok(()),
            Ok(true) => Err(self.corrupt(&Damage {
                file_position: 0,
                bytes: self.log_bytes(),
                offsets: self.base_offset()..self.next_offset(),
                reason: FOREIGN,
            })),
            Err(source) => Err(Error::io("read", &self.path(), source)),
        }
    }

    /// The leader epoch of the last batch. `None` if there is none, or its header cannot be read or is not the one that was
    /// noted.
    pub(crate) fn last_leader_epoch(&self) -> Option<i32> {
        let mut header = [0; HEADER_BYTES];
        if let Some(Loaded { log, .. }) = self.loaded.get() {
            log.read_at(&mut header, self.last_batch_position()?).ok()?;
        } else {
            let headers = self.headers.as_deref()?;
            let file = self.dir.files.open(&self.path(), Open::Read).ok()?;
            file.read_at(&mut header, headers.last_position).ok()?;
            (crc32fast::hash(&header) == headers.last).then_some(())?;
        }
        BatchHeader::decode(&header).ok().map(|header| header.start.leader_epoch)
    }

    /// The byte where the last batch begins, of a segment that may grow.
    pub(crate) fn last_batch_position(&self) -> Option<u64> {
        self.loaded.get()?.indexes.times().last_position
    }
}
