//! A file that is looked at, and who is shown what is found in it.

use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Arc;

use super::{Item, Options, Problem};
use crate::disk::{Disk, DiskFile, Open};
use crate::segment::file_name::{self, FileName};

/// Who is shown what is found; [`ControlFlow::Break`] ends the walk.
pub(super) type Visit<'v> = dyn FnMut(Item<'_>) -> ControlFlow<()> + 'v;

/// The file that is looked at.
pub(super) struct Inspected<'i> {
    pub(super) disk: &'i dyn Disk,
    pub(super) path: PathBuf,
    /// If it is one that has a base offset in its name.
    pub(super) name: Option<FileName>,
    pub(super) file: Arc<dyn DiskFile>,
    pub(super) options: &'i Options,
}

impl Inspected<'_> {
    /// The base offset in the name.
    pub(super) fn base_offset(&self) -> u64 {
        self.name.map_or(0, |name| name.base_offset)
    }

    /// The log file beside an index, if that is to be compared with it.
    pub(super) fn log(&self) -> std::io::Result<Option<Arc<dyn DiskFile>>> {
        let (Some(name), Some(dir), false) = (self.name, self.path.parent(), self.options.is_apart) else {
            return Ok(None);
        };
        let log = FileName { kind: file_name::FileKind::Log, ..name };
        self.disk.open(&log.path(dir), Open::Read).map(Some)
    }
}

/// Shows that something does not hold.
pub(super) fn problem(visit: &mut Visit<'_>, file_position: u64, reason: impl Into<String>) -> ControlFlow<()> {
    visit(Item::Problem(Problem { file_position, reason: reason.into() }))
}
