//! Bringing one log of a replica up to what its source has.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::broker::copying::SourceLog;
use crate::disk::open_files::OpenFiles;
use crate::disk::{Disk, DiskFile, Open, create_anew};
use crate::error::{Corruption, Error, Result};
use crate::format::BatchHeader;
use crate::partition::log_replica::LogReplica;
use crate::partition::log_state::LogState;
use crate::partition::manifest::ManifestSegment;
use crate::segment::file_name::{FileKind, FileName, Stage};
use crate::segment::{FileSum, Segment, SegmentDir};
use crate::topic_partition::TopicPartition;

/// Copied at a time.
const CHUNK_BYTES: usize = 256 << 10;

/// Why a log could not be brought up to its source.
#[derive(Debug)]
pub(super) enum Unfetched {
    /// A file of the source is not what was said of it. It may have been deleted or replaced since: then to look again helps.
    Moved(Box<Moved>),
    Failed(Error),
}

/// A segment that is not what was said of it.
#[derive(Debug)]
pub(super) struct Moved {
    pub(super) topic_id: u128,
    pub(super) partition: TopicPartition,
    pub(super) base_offset: u64,
    /// What was said of its log file, if it is sealed.
    pub(super) log_crc32: Option<u32>,
    /// What to say if it stays so.
    pub(super) error: Error,
}

impl From<Error> for Unfetched {
    fn from(error: Error) -> Unfetched {
        Unfetched::Failed(error)
    }
}

impl Moved {
    /// Whether the same segment is still not what is said of it.
    pub(super) fn is_same(&self, other: &Moved) -> bool {
        let key = |moved: &Moved| (moved.topic_id, moved.partition.partition(), moved.base_offset, moved.log_crc32);
        key(self) == key(other)
    }
}

/// A log that is brought up to its source.
pub(super) struct Fetch<'f> {
    source: &'f SourceLog,
    source_files: &'f Arc<OpenFiles>,
    log: &'f mut LogReplica,
    disk: &'f dyn Disk,
    /// So many bytes of log files were brought here.
    bytes: u64,
}

impl<'f> Fetch<'f> {
    pub(super) fn new(
        source: &'f SourceLog,
        source_files: &'f Arc<OpenFiles>,
        log: &'f mut LogReplica,
        disk: &'f dyn Disk,
    ) -> Fetch<'f> {
        Fetch { source, source_files, log, disk, bytes: 0 }
    }

    /// Brings here what is missing, and makes it survive a power cut. Returns what the log is to be, and how many bytes were brought.
    pub(super) fn run(mut self) -> Result<(LogState, u64), Unfetched> {
        let contents = &self.source.contents;
        for noted in &contents.noted {
            self.take_noted(noted)?;
        }
        for segment in &contents.unnoted {
            self.take_unnoted(segment)?;
        }
        let state = self.log.state_like(contents);
        if state != *self.log.settled() || self.log.has_staged() {
            self.log.prepare(&state, contents)?;
        }
        Ok((state, self.bytes))
    }

    fn take_noted(&mut self, noted: &ManifestSegment) -> Result<(), Unfetched> {
        if self.log.has(noted) {
            return Ok(());
        }
        if self.log.has_log_of(noted) {
            // What else there is of it are caches.
            self.log.adopt(noted.clone(), Stage::Live);
            return Ok(());
        }
        if !noted.sealed.has_gaps && self.complete(noted)? {
            return Ok(self.copy_caches(noted, Stage::Live)?);
        }
        let stage = self.log.stage_for(noted);
        self.copy_log(noted, stage)?;
        self.copy_caches(noted, stage)?;
        self.log.adopt(noted.clone(), stage);
        Ok(())
    }

    /// Appends what is missing of a segment that was written here batch by batch, and is sealed at its source by now. `false` if that is
    /// not what is there.
    fn complete(&mut self, noted: &ManifestSegment) -> Result<bool> {
        let Some(from) = self.log.written_to(noted.sealed.base_offset) else { return Ok(false) };
        if from.1 < noted.sealed.next_offset {
            let (path, partition) = (self.source.dir.clone(), self.source.partition.clone());
            let dir = SegmentDir { files: Arc::clone(self.source_files), path, partition, is_read_only: true };
            let config = self.log.spec().segment_config();
            let segment = Segment::open_sealed(&Arc::new(dir), &noted.sealed, config);
            match self.append_from(&segment, from, noted.sealed.next_offset, noted.sealed.created_ms) {
                // It was compacted, or is gone.
                Err(Error::Corrupt(_) | Error::Io { .. }) => return Ok(false),
                appended => appended?,
            }
        }
        self.log.seal_as(noted)
    }

    fn take_unnoted(&mut self, segment: &Segment) -> Result<(), Unfetched> {
        let base_offset = segment.base_offset();
        let from = self.log.written_to(base_offset).unwrap_or((0, base_offset));
        let end = self.source.contents.bounds.next_offset;
        if end.min(segment.next_offset()) <= from.1 {
            return Ok(());
        }
        match self.append_from(segment, from, end, segment.created_ms()) {
            // It was deleted, alone or with its topic.
            Err(error) if is_missing(&error) => Err(self.moved(base_offset, None, error)),
            appended => Ok(appended?),
        }
    }

    fn append_from(&mut self, segment: &Segment, from: (u64, u64), end: u64, created_ms: Option<i64>) -> Result<()> {
        let base_offset = segment.base_offset();
        let (log, bytes) = (&mut *self.log, &mut self.bytes);
        let mut append = |header: &BatchHeader, batch: &[u8]| {
            if end < header.next_offset() {
                return Ok(false);
            }
            log.append(base_offset, created_ms, batch, header)?;
            *bytes += batch.len() as u64;
            Ok(true)
        };
        segment.visit_batches_from(from, &mut append).map(drop)
    }

    fn copy_log(&mut self, noted: &ManifestSegment, stage: Stage) -> Result<(), Unfetched> {
        let name = FileName::live(noted.sealed.base_offset, FileKind::Log);
        let (from, to) = (name.path(&self.source.dir), name.in_stage(stage).path(self.log.dir()));
        let is_it =
            |sum: &FileSum| sum.bytes == noted.sealed.log_bytes && noted.log_crc32.is_none_or(|crc| crc == sum.crc32);
        // What was interrupted before goes on.
        if noted.log_crc32.is_some() && stage == Stage::Live && sum_of(self.disk, &to).is_ok_and(|sum| is_it(&sum)) {
            return Ok(());
        }
        match copy_file((&**self.source_files.disk(), &from), (self.disk, &to))? {
            Some(sum) if is_it(&sum) => {
                self.bytes += sum.bytes;
                Ok(())
            }
            found => Err(self.not_as_noted(noted, from, found.is_none())),
        }
    }

    fn copy_caches(&self, noted: &ManifestSegment, stage: Stage) -> Result<()> {
        let source_disk = &**self.source_files.disk();
        for name in noted.files().into_iter().filter(|name| name.kind != FileKind::Log) {
            // A snapshot is not of one segment, and is compared with what is noted of it before it is used.
            let stage = if name.kind == FileKind::ProducerSnapshot { Stage::Live } else { stage };
            let to = name.in_stage(stage).path(self.log.dir());
            copy_file((source_disk, &name.path(&self.source.dir)), (self.disk, &to))?;
        }
        Ok(())
    }

    #[cold]
    fn not_as_noted(&self, noted: &ManifestSegment, path: PathBuf, is_missing: bool) -> Unfetched {
        let reason =
            if is_missing { "a sealed segment is missing" } else { "the log file is not the one that was sealed" };
        let base_offset = noted.sealed.base_offset;
        let error = Error::Corrupt(Box::new(Corruption {
            partition: Some(self.source.partition.clone()),
            path,
            file_position: 0,
            offsets: Some(base_offset..noted.sealed.next_offset),
            reason,
        }));
        self.moved(base_offset, noted.log_crc32, error)
    }

    #[cold]
    fn moved(&self, base_offset: u64, log_crc32: Option<u32>, error: Error) -> Unfetched {
        let SourceLog { partition, topic_id, .. } = self.source;
        let (partition, topic_id) = (partition.clone(), *topic_id);
        Unfetched::Moved(Box::new(Moved { topic_id, partition, base_offset, log_crc32, error }))
    }
}

/// Whether the error is that a file is not there.
fn is_missing(error: &Error) -> bool {
    matches!(error, Error::Io { source, .. } if source.kind() == ErrorKind::NotFound)
}

/// Copies a file to another disk, perhaps, and returns what was copied; `None` if it is not there. When this returns the copy survives a
/// power cut, but for its name.
fn copy_file((from_disk, from): (&dyn Disk, &Path), (to_disk, to): (&dyn Disk, &Path)) -> Result<Option<FileSum>> {
    let source = match from_disk.open(from, Open::Read) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        opened => opened.map_err(|source| Error::io("open", from, source))?,
    };
    let copy = create_anew(to_disk, to).map_err(|source| Error::io("create", to, source))?;
    let mut write =
        |chunk: &[u8], position: u64| copy.write_at(chunk, position).map_err(|source| Error::io("write", to, source));
    let sum = read_all(&*source, from, &mut write)?;
    copy.sync().map_err(|source| Error::io("sync", to, source))?;
    Ok(Some(sum))
}

/// What there is in a file, which survives a power cut when this returns, but for its name.
fn sum_of(disk: &dyn Disk, path: &Path) -> Result<FileSum> {
    let file = disk.open(path, Open::Write).map_err(|source| Error::io("open", path, source))?;
    // A sync of it may have failed: the system tells that once, and a later sync carries only what is written again.
    let mut write_again =
        |chunk: &[u8], position: u64| file.write_at(chunk, position).map_err(|source| Error::io("write", path, source));
    let sum = read_all(&*file, path, &mut write_again)?;
    file.sync().map_err(|source| Error::io("sync", path, source))?;
    Ok(sum)
}

fn read_all(file: &dyn DiskFile, path: &Path, take: &mut dyn FnMut(&[u8], u64) -> Result<()>) -> Result<FileSum> {
    let (mut crc, mut buffer, mut bytes) = (crc32fast::Hasher::new(), vec![0; CHUNK_BYTES], 0);
    loop {
        let read = file.read_at(&mut buffer, bytes).map_err(|source| Error::io("read", path, source))?;
        let chunk = buffer.get(..read).unwrap_or_default();
        if chunk.is_empty() {
            return Ok(FileSum { bytes, crc32: crc.finalize() });
        }
        crc.update(chunk);
        take(chunk, bytes)?;
        bytes += read as u64;
    }
}
