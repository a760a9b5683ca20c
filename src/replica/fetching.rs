//! Bringing one log of a replica up to what its source has.

use super::files::NewFile;
use super::held_log::HeldLog;
use super::offer::OfferedLog;
use super::pieces::{Came, Pieces};
use super::steps::{BatchRun, IsHere, Step, steps};
use super::unfetched::Unfetched;
use crate::disk::Disk;
use crate::error::Result;
use crate::format::BatchHeader;
use crate::partition::log_replica::LogReplica;
use crate::partition::log_state::LogState;
use crate::partition::manifest::ManifestSegment;
use crate::segment::file_name::{FileKind, FileName, Stage};

/// A log that is to be brought up to its source.
pub(super) struct Task<'o> {
    pub(super) log: LogReplica,
    /// What there is of it now, if anything is offered.
    pub(super) held: HeldLog,
    /// What its source has of it. `None` if that does not know it further, or has just lost its topic: a later round knows.
    pub(super) offered: Option<&'o OfferedLog>,
}

/// What came of it.
pub(super) struct Fetched<'o> {
    pub(super) log: LogReplica,
    pub(super) offered: Option<&'o OfferedLog>,
    /// What the log is to be.
    pub(super) state: LogState,
    /// So many bytes of log files were brought here.
    pub(super) bytes: u64,
}

impl Fetched<'_> {
    /// Of a log of which nothing is known at its source.
    pub(super) fn nothing(log: LogReplica) -> Self {
        let state = log.settled().clone();
        Fetched { log, offered: None, state, bytes: 0 }
    }
}

/// Brings here what is missing, and makes it survive a power cut on `disk`.
///
/// # Errors
/// Why it did not come, or could not be written.
pub(super) fn fetch<'o>(task: Task<'o>, pieces: &mut impl Pieces, disk: &dyn Disk) -> Result<Fetched<'o>, Unfetched> {
    let Task { mut log, held, offered } = task;
    let (mut state, mut bytes) = (log.settled().clone(), 0);
    if let Some(offered) = offered
        && let Some(steps) = steps(&held, offered)
    {
        let mut fetch = Fetch { log: &mut log, pieces, disk, bytes: 0 };
        for step in steps {
            fetch.take(step)?;
        }
        bytes = fetch.bytes;
        state = log.state_like(&offered.has);
        if state != *log.settled() || log.has_staged() {
            log.prepare(&state, &offered.has)?;
        }
    }
    Ok(Fetched { log, offered, state, bytes })
}

struct Fetch<'f, P> {
    log: &'f mut LogReplica,
    pieces: &'f mut P,
    disk: &'f dyn Disk,
    bytes: u64,
}

impl<P: Pieces> Fetch<'_, P> {
    fn take(&mut self, step: Step<'_>) -> Result<(), Unfetched> {
        match step {
            Step::Adopt(noted) => {
                self.log.adopt(noted.clone(), Stage::Live);
                Ok(())
            }
            Step::Complete(noted, run) => self.complete(noted, &run),
            Step::Copy(noted, is_here) => self.copy(noted, is_here),
            Step::Append(segment, run) => self.append(&run, None, segment.created_ms),
        }
    }

    fn complete(&mut self, noted: &ManifestSegment, run: &BatchRun) -> Result<(), Unfetched> {
        self.append(run, Some(noted), noted.sealed.created_ms)?;
        if !self.log.seal_as(noted)? {
            return Err(Unfetched::Unlike(self.log.settled().log, noted.sealed.base_offset));
        }
        self.take_caches(noted, Stage::Live)
    }

    fn append(
        &mut self,
        run: &BatchRun,
        sealed: Option<&ManifestSegment>,
        created_ms: Option<i64>,
    ) -> Result<(), Unfetched> {
        let (log, bytes) = (&mut *self.log, &mut self.bytes);
        let mut append = |header: &BatchHeader, batch: &[u8]| {
            log.append(run.base_offset, created_ms, batch, header)?;
            *bytes += batch.len() as u64;
            Ok(())
        };
        self.pieces.batches(run, sealed, &mut append)
    }

    fn copy(&mut self, noted: &ManifestSegment, is_here: IsHere) -> Result<(), Unfetched> {
        let stage = self.log.stage_for(noted);
        let name = FileName::live(noted.sealed.base_offset, FileKind::Log).in_stage(stage);
        let mut file = NewFile::at(self.disk, name.path(self.log.dir()));
        if self.pieces.log_file(noted, is_here, &mut |chunk| file.write(chunk))? == Came::Whole {
            self.bytes += file.finish()?.bytes;
        }
        self.take_caches(noted, stage)?;
        self.log.adopt(noted.clone(), stage);
        Ok(())
    }

    fn take_caches(&mut self, noted: &ManifestSegment, stage: Stage) -> Result<(), Unfetched> {
        for (name, sum) in noted.caches() {
            // A snapshot is not of one segment, and is compared with what is noted of it before it is used.
            let stage = if name.kind == FileKind::ProducerSnapshot { Stage::Live } else { stage };
            let mut file = NewFile::at(self.disk, name.in_stage(stage).path(self.log.dir()));
            match self.pieces.cache((name, sum), &mut |chunk| file.write(chunk))? {
                Came::Whole => _ = file.finish()?,
                Came::Missing | Came::IsHere => file.give_up()?,
            }
        }
        Ok(())
    }
}
