//! One log of a backup.
//!
//! Segments that are noted do not change any more, and are linked or copied as files. What is behind them is copied batch by batch, as it
//! may still grow. Most of it is done ahead, while the log goes on: what was deleted or compacted since is given up at the point, and
//! what came in since is added.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::base::Base;
use super::transfer::Transfer;
use crate::disk::open_files::OpenFiles;
use crate::error::{Error, Result};
use crate::format::BatchHeader;
use crate::partition::log::Log;
use crate::partition::log::copying::LogContents;
use crate::partition::log_copy::{LogBounds, LogCopy};
use crate::partition::manifest::{Manifest, ManifestSegment};
use crate::segment::Segment;
use crate::segment::file_name::{FileKind, FileName};
use crate::topic_partition::TopicPartition;

/// One log of a backup that is being made.
pub(super) struct LogBackup {
    partition: TopicPartition,
    topic_id: u128,
    source_dir: PathBuf,
    copy: LogCopy,
    /// Where the files of segments are kept that are still to be copied.
    staging_dir: PathBuf,
    staged: Vec<ManifestSegment>,
    /// Where it begins and ends, once the point is fixed.
    bounds: Option<LogBounds>,
}

/// Whether the log goes on meanwhile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Moment {
    /// It does: a file may go before it is copied.
    Ahead,
    /// It is held, and nobody is to wait for a copy.
    AtPoint,
}

impl LogBackup {
    /// Of `log`, in the directory of its partition in the target, which was just made.
    pub(super) fn new(log: &Log, target: &Path, staging: &Path, files: &Arc<OpenFiles>) -> LogBackup {
        let (spec, name) = (log.spec().clone(), log.partition().to_string());
        let source_dir = spec.dir.clone();
        let copy = LogCopy::new(crate::partition::log_spec::LogSpec { dir: target.join(&name), ..spec }, files);
        LogBackup {
            partition: log.partition().clone(),
            topic_id: log.topic_id(),
            source_dir,
            copy,
            staging_dir: staging.join(name),
            staged: Vec::new(),
            bounds: None,
        }
    }

    pub(super) fn partition(&self) -> &TopicPartition {
        &self.partition
    }

    /// Brings over what there is, while the log goes on.
    ///
    /// # Errors
    /// [`Error::Cancelled`]; those of the disk. That a segment has gone meanwhile is none.
    pub(super) fn copy_ahead(
        &mut self,
        contents: &LogContents,
        transfer: &mut Transfer<'_>,
        base: Option<&Base>,
    ) -> Result<()> {
        for noted in &contents.noted {
            self.take_noted(noted, transfer, base, Moment::Ahead)?;
            transfer.advance(noted.sealed.log_bytes)?;
        }
        for segment in &contents.unnoted {
            let bytes = segment.log_bytes();
            match self.take_unnoted(segment, u64::MAX, transfer) {
                // It has been noted and deleted since, say. At the point there is none of this.
                Err(Error::Corrupt(_) | Error::Closed { .. }) => self.copy.give_up(segment.base_offset())?,
                Err(Error::Io { source, .. }) if source.kind() == ErrorKind::NotFound => {
                    self.copy.give_up(segment.base_offset())?;
                }
                taken => taken?,
            }
            transfer.advance(bytes)?;
        }
        Ok(())
    }

    /// Brings over what there is now, at the point, while the log is held. What would take long is put off.
    ///
    /// # Errors
    /// Those of the disk.
    pub(super) fn take(
        &mut self,
        contents: LogContents,
        transfer: &mut Transfer<'_>,
        base: Option<&Base>,
    ) -> Result<()> {
        let is_noted = |offset| contents.noted.iter().any(|noted| noted.sealed.base_offset == offset);
        let is_unnoted = |offset| contents.unnoted.iter().any(|segment| segment.base_offset() == offset);
        self.copy.retain(|offset| is_noted(offset) || is_unnoted(offset))?;
        for noted in &contents.noted {
            self.take_noted(noted, transfer, base, Moment::AtPoint)?;
        }
        for segment in &contents.unnoted {
            self.take_unnoted(segment, contents.bounds.next_offset, transfer)?;
        }
        self.bounds = Some(contents.bounds);
        Ok(())
    }

    /// Copies what was put off.
    ///
    /// # Errors
    /// [`Error::Cancelled`]; those of the disk.
    pub(super) fn copy_staged(&mut self, transfer: &mut Transfer<'_>) -> Result<()> {
        for noted in std::mem::take(&mut self.staged) {
            let bytes = noted.sealed.log_bytes;
            transfer.expect(bytes);
            if !transfer.copy_segment(&noted, &self.staging_dir, &self.copy.dir().path)? {
                return Err(self.missing(&noted));
            }
            self.copy.adopt(noted);
            transfer.advance(bytes)?;
        }
        Ok(())
    }

    /// Has the log be whole.
    ///
    /// # Errors
    /// Those of the disk.
    ///
    /// # Panics
    /// If the point was not fixed.
    pub(super) fn finish(self) -> Result<(TopicPartition, LogBounds, Manifest)> {
        let bounds = self.bounds.expect("the point comes before the end");
        let manifest = self.copy.finish(&bounds)?;
        Ok((self.partition, bounds, manifest))
    }

    fn take_noted(
        &mut self,
        noted: &ManifestSegment,
        transfer: &mut Transfer<'_>,
        base: Option<&Base>,
        moment: Moment,
    ) -> Result<()> {
        if self.copy.has(noted) {
            return Ok(());
        }
        self.copy.give_up(noted.sealed.base_offset)?;
        let (source_dir, target) = (&self.source_dir, &self.copy.dir().path);
        let is_there = if transfer.link_segment(noted, source_dir, target)? {
            true
        } else if let Some(dir) = base.and_then(|base| base.dir_of(self.topic_id, &self.partition, noted))
            && transfer.link_segment(noted, &dir, target)?
        {
            true
        } else if moment == Moment::AtPoint && self.stage(noted, transfer)? {
            self.staged.push(noted.clone());
            return Ok(());
        } else {
            transfer.copy_segment(noted, source_dir, target)?
        };
        match (is_there, moment) {
            (true, _) => self.copy.adopt(noted.clone()),
            // It is known what becomes of that at the point.
            (false, Moment::Ahead) => {}
            (false, Moment::AtPoint) => return Err(self.missing(noted)),
        }
        Ok(())
    }

    /// Keeps the files of a segment under second names beside the source, to be copied later; whether that could be done.
    fn stage(&self, noted: &ManifestSegment, transfer: &Transfer<'_>) -> Result<bool> {
        let disk = transfer.disk();
        if disk.create_dir(self.staging_dir.parent().unwrap_or(Path::new(""))).is_err()
            || disk.create_dir(&self.staging_dir).is_err()
        {
            return Ok(false);
        }
        for name in noted.files() {
            match disk.hard_link(&name.path(&self.source_dir), &name.path(&self.staging_dir)) {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::NotFound => {
                    if name.kind == FileKind::Log {
                        return Err(self.missing(noted));
                    }
                }
                Err(_) => return Ok(false),
            }
        }
        Ok(true)
    }

    /// Copies the batches of a segment that is not noted, from where the copy ends to `end`.
    fn take_unnoted(&mut self, segment: &Arc<Segment>, end: u64, transfer: &mut Transfer<'_>) -> Result<()> {
        let base_offset = segment.base_offset();
        let from = self.copy.written_to(base_offset);
        if from.is_none() {
            // Of what had this place before, if anything had.
            self.copy.give_up(base_offset)?;
        }
        let (copy, from) = (&mut self.copy, from.unwrap_or((0, base_offset)));
        let mut append = |header: &BatchHeader, batch: &[u8]| {
            if end <= header.base_offset() {
                return Ok(false);
            }
            copy.append(base_offset, batch, header)?;
            Ok(true)
        };
        if from.1 < end.min(segment.next_offset()) {
            segment.visit_batches_from(from, &mut append)?;
            let copied = segment.log_bytes().saturating_sub(from.0);
            transfer.spend(copied, copied)?;
        }
        Ok(())
    }

    fn missing(&self, noted: &ManifestSegment) -> Error {
        let path = FileName::live(noted.sealed.base_offset, FileKind::Log).path(&self.source_dir);
        Error::Corrupt(Box::new(crate::error::Corruption {
            partition: Some(self.partition.clone()),
            path,
            file_position: 0,
            offsets: Some(noted.sealed.base_offset..noted.sealed.next_offset),
            reason: "a sealed segment is missing",
        }))
    }
}
