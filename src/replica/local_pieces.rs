//! [`LocalPieces`]: the bytes of a log whose files are on a disk of this machine.

use std::io::ErrorKind;
use std::path::PathBuf;
use std::sync::Arc;

use super::files::{TakeBytes, read_file};
use super::offer::{LogFiles, OfferedLog};
use super::pieces::{Came, Pieces, TakeBatch};
use super::steps::{BatchRun, IsHere};
use super::unfetched::{Moved, Unfetched};
use crate::disk::Open;
use crate::disk::open_files::OpenFiles;
use crate::error::{Corruption, Error, Result};
use crate::format::BatchHeader;
use crate::partition::manifest::ManifestSegment;
use crate::segment::file_name::{FileKind, FileName};
use crate::segment::{FileSum, Segment, SegmentConfig, SegmentDir};

/// The bytes of a log whose files are on a disk of this machine.
pub(super) struct LocalPieces<'s> {
    pub(super) offered: &'s OfferedLog,
    pub(super) files: &'s LogFiles,
    pub(super) open_files: &'s Arc<OpenFiles>,
    pub(super) config: SegmentConfig,
}

impl Pieces for LocalPieces<'_> {
    fn log_file(&mut self, noted: &ManifestSegment, is_here: IsHere, take: TakeBytes<'_>) -> Result<Came, Unfetched> {
        if is_here {
            return Ok(Came::IsHere);
        }
        let path = FileName::live(noted.sealed.base_offset, FileKind::Log).path(&self.files.dir);
        let (mut bytes, mut crc) = (0, crc32fast::Hasher::new());
        let was_read = read_file(&**self.open_files.disk(), &path, &mut |chunk| {
            crc.update(chunk);
            bytes += chunk.len() as u64;
            take(chunk)
        })?;
        let is_it = bytes == noted.sealed.log_bytes && noted.log_crc32.is_none_or(|noted| crc.finalize() == noted);
        if was_read && is_it { Ok(Came::Whole) } else { Err(self.not_as_noted(noted, path, !was_read)) }
    }

    fn cache(&mut self, (name, noted): (FileName, FileSum), take: TakeBytes<'_>) -> Result<Came, Unfetched> {
        let (disk, path) = (&**self.open_files.disk(), name.path(&self.files.dir));
        // Nobody believes one that is another than was noted.
        if disk.open(&path, Open::Read).map_or(true, |file| file.size_when_opened() != noted.bytes) {
            return Ok(Came::Missing);
        }
        let mut crc = crc32fast::Hasher::new();
        let was_read = read_file(disk, &path, &mut |chunk| {
            crc.update(chunk);
            take(chunk)
        })?;
        Ok(if was_read && crc.finalize() == noted.crc32 { Came::Whole } else { Came::Missing })
    }

    fn batches(
        &mut self,
        run: &BatchRun,
        sealed: Option<&ManifestSegment>,
        take: TakeBatch<'_>,
    ) -> Result<(), Unfetched> {
        let Some(noted) = sealed else { return self.batches_of_unnoted(run, take) };
        let (path, partition) = (self.files.dir.clone(), self.offered.partition.clone());
        let dir = SegmentDir { files: Arc::clone(self.open_files), path, partition, is_read_only: true };
        let segment = Segment::open_sealed(&Arc::new(dir), &noted.sealed, self.config);
        match visit(&segment, run, take) {
            // It was compacted, or is gone.
            Err(Error::Corrupt(_) | Error::Io { .. }) => Err(Unfetched::Unlike(self.offered.id, run.base_offset)),
            visited => Ok(visited?),
        }
    }
}

impl LocalPieces<'_> {
    fn batches_of_unnoted(&self, run: &BatchRun, take: TakeBatch<'_>) -> Result<(), Unfetched> {
        let segment = self.files.unnoted.iter().find(|segment| segment.base_offset() == run.base_offset);
        match visit(segment.expect("what is offered is there"), run, take) {
            // It was deleted, alone or with its topic.
            Err(error) if is_missing(&error) => Err(self.moved(run.base_offset, None, error)),
            visited => Ok(visited?),
        }
    }

    #[cold]
    fn not_as_noted(&self, noted: &ManifestSegment, path: PathBuf, is_missing: bool) -> Unfetched {
        let reason =
            if is_missing { "a sealed segment is missing" } else { "the log file is not the one that was sealed" };
        let base_offset = noted.sealed.base_offset;
        let error = Error::Corrupt(Box::new(Corruption {
            partition: Some(self.offered.partition.clone()),
            path,
            file_position: 0,
            offsets: Some(base_offset..noted.sealed.next_offset),
            reason,
        }));
        self.moved(base_offset, noted.log_crc32, error)
    }

    #[cold]
    fn moved(&self, base_offset: u64, log_crc32: Option<u32>, error: Error) -> Unfetched {
        Unfetched::Moved(Box::new(Moved { log: self.offered.id, base_offset, log_crc32, error }))
    }
}

fn visit(segment: &Segment, run: &BatchRun, take: TakeBatch<'_>) -> Result<()> {
    let mut visit = |header: &BatchHeader, batch: &[u8]| {
        if run.end_offset < header.next_offset() {
            return Ok(false);
        }
        take(header, batch)?;
        Ok(true)
    };
    if run.first_offset < run.end_offset {
        segment.visit_batches_from((run.file_position, run.first_offset), &mut visit)?;
    }
    Ok(())
}

/// Whether the error is that a file is not there.
fn is_missing(error: &Error) -> bool {
    matches!(error, Error::Io { source, .. } if source.kind() == ErrorKind::NotFound)
}
