//! [`LocalSource`]: a source whose files are on a disk of this machine.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use super::fetching::{Fetched, Task, fetch};
use super::held_log::HeldLog;
use super::history::{self, Unlike};
use super::local_pieces::LocalPieces;
use super::offer::{LogFiles, OfferedLog};
use super::source_end::SourceEnd;
use super::unfetched::Unfetched;
use crate::disk::open_files::OpenFiles;
use crate::disk::{Disk, Open};
use crate::error::{Error, Result};
use crate::parallel;
use crate::partition::log_id::LogId;
use crate::segment::file_name::{FileKind, FileName};
use crate::segment::{Segment, SegmentConfig};

/// A source whose files are on a disk of this machine.
pub(super) struct LocalSource<'s> {
    open_files: &'s Arc<OpenFiles>,
    files: BTreeMap<LogId, LogFiles>,
}

impl<'s> LocalSource<'s> {
    /// That of these logs, whose files are these, in the same order.
    pub(super) fn new(logs: &[OfferedLog], files: Vec<LogFiles>, open_files: &'s Arc<OpenFiles>) -> LocalSource<'s> {
        LocalSource { open_files, files: logs.iter().map(|log| log.id).zip(files).collect() }
    }

    /// The bytes of a log.
    pub(super) fn pieces<'p>(&'p self, offered: &'p OfferedLog, config: SegmentConfig) -> LocalPieces<'p> {
        LocalPieces { offered, files: self.files_of(offered), open_files: self.open_files, config }
    }

    /// Where the files of a log are.
    pub(super) fn dir_of(&self, offered: &OfferedLog) -> &Path {
        &self.files_of(offered).dir
    }

    fn files_of(&self, offered: &OfferedLog) -> &LogFiles {
        self.files.get(&offered.id).expect("what is offered has files")
    }
}

impl SourceEnd for LocalSource<'_> {
    fn first_unlike(&self, held: &HeldLog, offered: &OfferedLog) -> Result<Option<Unlike>> {
        history::first_unlike(held, offered, (&self.files_of(offered).dir, &**self.open_files.disk()))
    }

    fn first_difference(&self, segment: &Segment, offered: &OfferedLog) -> Result<Option<u64>> {
        let path = FileName::live(segment.base_offset(), FileKind::Log).path(&self.files_of(offered).dir);
        let file = self.open_files.disk().open(&path, Open::Read);
        let file = file.map_err(|source| Error::io("open", &path, source))?;
        let (mut position, mut others) = (0, Vec::new());
        let mut first = None;
        segment.visit_batches(&mut |header, batch| {
            others.resize(batch.len(), 0);
            let read = file.read_at(&mut others, position).map_err(|source| Error::io("read", &path, source))?;
            position += batch.len() as u64;
            let is_same = others.get(..read) == Some(batch);
            first = (!is_same).then_some(header.base_offset());
            Ok(is_same)
        })?;
        Ok(first)
    }

    fn fetch<'o>(&mut self, tasks: Vec<Task<'o>>, disk: &dyn Disk) -> Vec<Result<Fetched<'o>, Unfetched>> {
        parallel::for_all(tasks, |task| {
            let config = task.log.spec().segment_config();
            match task.offered {
                Some(offered) => fetch(task, &mut self.pieces(offered, config), disk),
                None => Ok(Fetched::nothing(task.log)),
            }
        })
    }
}
