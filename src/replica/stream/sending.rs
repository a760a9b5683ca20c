//! The pieces of a reply, as its source sends them: what the [steps](crate::replica::steps) of each log take, in their order.

use std::io::Write;

use super::frame::{FrameKind, invalid};
use super::frame_writer::FrameWriter;
use super::piece::{self, IS_MISSING, IS_WHOLE};
use super::request::Request;
use crate::broker::copying::spec_of;
use crate::disk::{Disk, Open};
use crate::error::Result;
use crate::format::{BatchHeader, HEADER_BYTES};
use crate::partition::log_id::LogId;
use crate::partition::manifest::ManifestSegment;
use crate::replica::held_log::HeldLog;
use crate::replica::local_pieces::LocalPieces;
use crate::replica::local_source::LocalSource;
use crate::replica::offer::{DirectoryOffer, OfferedLog};
use crate::replica::pieces::{Came, Pieces};
use crate::replica::steps::{BatchRun, IsHere, Step, steps};
use crate::replica::unfetched::Unfetched;
use crate::segment::file_name::{FileKind, FileName};

/// Sends what is to come of all logs. Returns how many bytes of log files that were.
///
/// # Errors
/// The stream's; why a log cannot be read; [`Error::InvalidStream`](crate::Error::InvalidStream) if the request says what cannot be.
pub(super) fn send<W: Write>(
    frames: &mut FrameWriter<'_, W>,
    request: &Request,
    offer: &DirectoryOffer,
    source: &LocalSource<'_>,
) -> Result<u64, Unfetched> {
    let mut bytes = 0;
    for offered in &offer.logs {
        let nothing = HeldLog::nothing(offered.id);
        let held = request.logs.get(&offered.id).unwrap_or(&nothing);
        let Some(steps) = steps(held, offered) else { continue };
        let topic = offer.topics.iter().find(|(_, entry)| entry.topic_id == offered.id.topic_id);
        let (name, entry) = topic.expect("a log that is offered is of a topic that is");
        let config = spec_of(source.dir_of(offered), name, entry, offered.id.partition).segment_config();
        let pieces = source.pieces(offered, config);
        let mut sender = Sender { frames, held, offered, pieces, bytes: 0 };
        for step in steps {
            sender.send(step)?;
        }
        bytes += sender.bytes;
    }
    Ok(bytes)
}

/// Sends what is to come of one log.
struct Sender<'s, 'p, W> {
    frames: &'s mut FrameWriter<'p, W>,
    held: &'s HeldLog,
    offered: &'s OfferedLog,
    pieces: LocalPieces<'s>,
    bytes: u64,
}

impl<W: Write> Sender<'_, '_, W> {
    fn send(&mut self, step: Step<'_>) -> Result<(), Unfetched> {
        match step {
            Step::Adopt(_) => Ok(()),
            Step::Complete(noted, run) => {
                self.send_batches(&run, Some(noted))?;
                self.send_caches(noted)
            }
            Step::Copy(noted, is_here) => {
                self.send_log_file(noted, is_here)?;
                self.send_caches(noted)
            }
            Step::Append(_, run) => self.send_batches(&run, None),
        }
    }

    fn log(&self) -> LogId {
        self.offered.id
    }

    fn send_batches(&mut self, run: &BatchRun, sealed: Option<&ManifestSegment>) -> Result<(), Unfetched> {
        self.check_start(run)?;
        self.begin(&piece::batches(self.log(), run))?;
        let (frames, bytes) = (&mut *self.frames, &mut self.bytes);
        self.pieces.batches(run, sealed, &mut |_, batch| {
            *bytes += batch.len() as u64;
            frames.data(batch)
        })?;
        self.end(Came::Whole)
    }

    fn send_log_file(&mut self, noted: &ManifestSegment, is_here: IsHere) -> Result<(), Unfetched> {
        self.begin(&piece::log_file(self.log(), noted.sealed.base_offset, is_here))?;
        let (frames, bytes) = (&mut *self.frames, &mut self.bytes);
        let came = self.pieces.log_file(noted, is_here, &mut |chunk| {
            *bytes += chunk.len() as u64;
            frames.data(chunk)
        })?;
        self.end(came)
    }

    fn send_caches(&mut self, noted: &ManifestSegment) -> Result<(), Unfetched> {
        for (name, sum) in noted.caches() {
            self.begin(&piece::cache(self.log(), name))?;
            let frames = &mut *self.frames;
            let came = self.pieces.cache((name, sum), &mut |chunk| frames.data(chunk))?;
            self.end(came)?;
        }
        Ok(())
    }

    fn begin(&mut self, piece: &[u8]) -> Result<()> {
        self.frames.frame(FrameKind::Piece, piece)
    }

    fn end(&mut self, came: Came) -> Result<(), Unfetched> {
        let is_whole = if came == Came::Missing { IS_MISSING } else { IS_WHOLE };
        Ok(self.frames.frame(FrameKind::EndOfPiece, &[is_whole])?)
    }

    /// Fails if batches are asked for from where none can begin: a read there would look like damage.
    fn check_start(&self, run: &BatchRun) -> Result<()> {
        let Some(written) = self.held.written_at(run.base_offset) else { return Ok(()) };
        let Some(sums) = written.sums else { return Ok(()) };
        let path = FileName::live(run.base_offset, FileKind::Log).path(&self.pieces.files.dir);
        let disk: &dyn Disk = &**self.pieces.open_files.disk();
        let mut header = [0; HEADER_BYTES];
        // What is gone by now is told by the read of it.
        let Ok(HEADER_BYTES) =
            disk.open(&path, Open::Read).and_then(|file| file.read_at(&mut header, sums.last_position))
        else {
            return Ok(());
        };
        let ends_here = BatchHeader::decode(&header).is_ok_and(|last| {
            let end = sums.last_position.checked_add(u64::from(last.batch_bytes));
            (end, last.next_offset()) == (Some(written.log_bytes), written.next_offset)
        });
        if ends_here {
            Ok(())
        } else {
            Err(invalid("a segment does not end with the batch that it is said to end with"))
        }
    }
}
