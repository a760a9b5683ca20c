//! [`FramedPieces`]: the bytes of logs as they come in a reply.

use std::io::Read;
use std::path::Path;

use super::batch_check::{BatchCheck, check_offsets};
use super::frame::{FrameKind, invalid};
use super::frame_reader::FrameReader;
use super::piece::{self, IS_MISSING, IS_WHOLE};
use super::refusal::Refusal;
use crate::disk::Disk;
use crate::error::{Error, Result};
use crate::format::{BatchHeader, HEADER_BYTES, verify};
use crate::partition::log_id::LogId;
use crate::partition::manifest::ManifestSegment;
use crate::replica::fetching::{Fetched, Task, fetch};
use crate::replica::files::TakeBytes;
use crate::replica::held_log::HeldLog;
use crate::replica::history::Unlike;
use crate::replica::offer::OfferedLog;
use crate::replica::pieces::{Came, Pieces, TakeBatch};
use crate::replica::source_end::SourceEnd;
use crate::replica::steps::{BatchRun, IsHere};
use crate::replica::unfetched::Unfetched;
use crate::segment::file_name::FileName;
use crate::segment::{FileSum, Segment, fits_segment, reason_of};

/// The bytes of logs as they come in a reply, in the order in which both ends know that they come.
pub(super) struct FramedPieces<'p, R> {
    frames: FrameReader<'p, R>,
    /// The directory of the replica.
    dir: &'p Path,
    /// Whose pieces come.
    log: LogId,
}

impl<'p, R: Read> FramedPieces<'p, R> {
    /// Those behind a description.
    pub(super) fn new(frames: FrameReader<'p, R>, dir: &'p Path) -> FramedPieces<'p, R> {
        FramedPieces { frames, dir, log: LogId::default() }
    }

    fn end(&mut self) -> Result<()> {
        match self.frames.next()? {
            (FrameKind::End, []) => Ok(()),
            (FrameKind::Refusal, refusal) => Err(refused(refusal, self.dir)),
            _ => Err(invalid("a message does not end where it should")),
        }
    }

    /// Begins with the next piece, which is to be one of `expected`; returns which.
    fn begin(&mut self, expected: &[Vec<u8>]) -> Result<usize> {
        match self.frames.next()? {
            (FrameKind::Piece, found) => expected
                .iter()
                .position(|expected| expected == found)
                .ok_or_else(|| invalid("a piece comes that is not to come next")),
            (FrameKind::Refusal, refusal) => Err(refused(refusal, self.dir)),
            _ => Err(invalid("a piece does not begin where it should")),
        }
    }

    /// Shows the bytes of a piece up to its end; whether all of them came.
    fn take_bytes(&mut self, take: &mut dyn FnMut(&[u8]) -> Result<()>) -> Result<Came> {
        loop {
            match self.frames.next()? {
                (FrameKind::Data, payload) => take(payload)?,
                (FrameKind::EndOfPiece, [IS_WHOLE]) => return Ok(Came::Whole),
                (FrameKind::EndOfPiece, [IS_MISSING]) => return Ok(Came::Missing),
                (FrameKind::Refusal, refusal) => return Err(refused(refusal, self.dir)),
                _ => return Err(invalid("a piece does not end where it should")),
            }
        }
    }
}

/// What a refusal says of the replica in this directory.
pub(super) fn refused(refusal: &[u8], dir: &Path) -> Error {
    match Refusal::decode(refusal) {
        Ok(refusal) => refusal.into_error(dir),
        Err(refused) => invalid(reason_of(refused)),
    }
}

impl<R: Read> Pieces for FramedPieces<'_, R> {
    fn log_file(&mut self, noted: &ManifestSegment, is_here: IsHere, take: TakeBytes<'_>) -> Result<Came, Unfetched> {
        let base_offset = noted.sealed.base_offset;
        let mut expected = vec![piece::log_file(self.log, base_offset, false)];
        if is_here {
            expected.push(piece::log_file(self.log, base_offset, true));
        }
        let is_sent = self.begin(&expected)? == 0;
        let (mut check, mut rest, mut crc) = (BatchCheck::new(noted), noted.sealed.log_bytes, crc32fast::Hasher::new());
        let came = self.take_bytes(&mut |bytes| {
            let left = rest.checked_sub(bytes.len() as u64).filter(|_| is_sent);
            rest = left.ok_or_else(|| invalid("a log file is longer than is said of it"))?;
            crc.update(bytes);
            check.take(bytes)?;
            take(bytes)
        })?;
        if came == Came::Missing {
            return Err(invalid("a log file does not come").into());
        }
        if !is_sent {
            return Ok(Came::IsHere);
        }
        if 0 < rest || noted.log_crc32.is_some_and(|noted| noted != crc.finalize()) {
            return Err(invalid("a log file is not the one that was sealed").into());
        }
        check.end(noted)?;
        Ok(Came::Whole)
    }

    fn cache(&mut self, (name, sum): (FileName, FileSum), take: TakeBytes<'_>) -> Result<Came, Unfetched> {
        self.begin(&[piece::cache(self.log, name)])?;
        let (mut rest, mut crc) = (sum.bytes, crc32fast::Hasher::new());
        let came = self.take_bytes(&mut |bytes| {
            let left = rest.checked_sub(bytes.len() as u64);
            rest = left.ok_or_else(|| invalid("a file is longer than is said of it"))?;
            crc.update(bytes);
            take(bytes)
        })?;
        if came == Came::Whole && (rest, crc.finalize()) != (0, sum.crc32) {
            return Err(invalid("a file is not the one that was noted").into());
        }
        Ok(came)
    }

    fn batches(&mut self, run: &BatchRun, _: Option<&ManifestSegment>, take: TakeBatch<'_>) -> Result<(), Unfetched> {
        self.begin(&[piece::batches(self.log, run)])?;
        let mut offsets = run.first_offset..run.end_offset;
        let mut pending = Vec::new();
        let came = self.take_bytes(&mut |bytes| {
            // Grows as the bytes come: at most a batch, and a frame.
            pending.extend_from_slice(bytes);
            let mut taken = 0;
            while let Some(batch) = first_batch(pending.get(taken..).unwrap_or_default())? {
                let header = verify(batch).map_err(|refused| invalid(reason_of(refused)))?;
                check_offsets(&header, &offsets, run.may_skip)?;
                if !fits_segment(run.base_offset, &header) {
                    return Err(invalid("the offset of a batch is too far above its segment's"));
                }
                take(&header, batch)?;
                offsets.start = header.next_offset();
                taken += batch.len();
            }
            pending.drain(..taken);
            Ok(())
        })?;
        if came == Came::Whole && pending.is_empty() && offsets.is_empty() {
            Ok(())
        } else {
            Err(invalid("batches are missing").into())
        }
    }
}

/// The batch that `bytes` begin with, if all of it is there.
fn first_batch(bytes: &[u8]) -> Result<Option<&[u8]>> {
    if bytes.len() < HEADER_BYTES {
        return Ok(None);
    }
    let header = BatchHeader::decode(bytes).map_err(|refused| invalid(reason_of(refused)))?;
    Ok(bytes.get(..header.batch_bytes as usize))
}

impl<R: Read> SourceEnd for FramedPieces<'_, R> {
    /// The source has looked, before it answered.
    fn first_unlike(&self, _: &HeldLog, _: &OfferedLog) -> Result<Option<Unlike>> {
        Ok(None)
    }

    fn first_difference(&self, segment: &Segment, _: &OfferedLog) -> Result<Option<u64>> {
        Ok(Some(segment.base_offset()))
    }

    /// All that is to come, one log after the other, up to the end of the reply: nothing counts before that.
    fn fetch<'o>(&mut self, tasks: Vec<Task<'o>>, disk: &dyn Disk) -> Vec<Result<Fetched<'o>, Unfetched>> {
        let mut all = Vec::new();
        for task in tasks {
            self.log = task.log.settled().log;
            let fetched = fetch(task, self, disk);
            let has_failed = fetched.is_err();
            all.push(fetched);
            if has_failed {
                return all;
            }
        }
        all.extend(self.end().err().map(|error| Err(error.into())));
        all
    }
}
