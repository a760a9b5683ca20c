//! What a copy of a log is made from, while the log goes on.
//!
//! Several logs are copied at one point of all of them:
//! ```text
//! hold_files of each ─→ fix_end of each ─→ contents of each ─→ (what goes with files) ─→ drop of each
//!   nothing is noted,      nothing is            appends go on       the log goes on
//!   swapped or deleted     appended
//! ```
//! Nobody else takes such locks of two logs. All copies take those of the logs in the same order.

use std::sync::Arc;

use super::Log;
use crate::error::Result;
use crate::partition::appender::Appender;
use crate::partition::checkpoint::Checkpoint;
use crate::partition::leader_epoch::LeaderEpochs;
use crate::partition::log_copy::LogBounds;
use crate::partition::manifest::ManifestSegment;
use crate::segment::Segment;
use crate::sync::MutexGuard;

/// A log of which nothing is noted, swapped or deleted as long as this is held.
pub(crate) struct HeldLog<'l> {
    log: &'l Log,
    checkpoint: MutexGuard<'l, Checkpoint>,
    appender: Option<MutexGuard<'l, Appender>>,
}

/// What there is of a log at one moment.
#[derive(Debug)]
pub(crate) struct LogContents {
    /// The segments that are noted.
    pub(crate) noted: Vec<ManifestSegment>,
    /// Those behind them. The last one may grow.
    pub(crate) unnoted: Vec<Arc<Segment>>,
    /// Where it begins and ends.
    pub(crate) bounds: LogBounds,
    /// Where it ends with what is not proven to survive a power cut, and is not to be copied, and the leader epochs until there.
    pub(crate) seen: (LeaderEpochs, u64),
    /// Where the first transaction begins that no marker has ended; above the end if there is none.
    pub(crate) first_unmarked_offset: u64,
}

impl Log {
    /// Writes, syncs and notes what there is, as far as that can be done while the log goes on, so that little of it is left to be done
    /// at the point of a copy.
    ///
    /// # Errors
    /// Why the log cannot be written.
    pub(crate) fn prepare_copy(&self) -> Result<()> {
        self.check_whole()?;
        {
            let mut appender = self.appender.lock();
            self.check_unharmed()?;
            self.check_present()?;
            appender.seal(self)?;
        }
        let mut checkpoint = self.checkpoint.lock();
        self.check_present()?;
        self.run_checkpoint(&mut checkpoint)
    }

    /// Holds what there is of the log's files.
    ///
    /// # Errors
    /// [`Error::Closed`](crate::Error::Closed); those of the disk, if segments that were compacted cannot be put in place.
    pub(crate) fn hold_files(&self) -> Result<HeldLog<'_>> {
        self.check_whole()?;
        let mut checkpoint = self.checkpoint.lock();
        self.check_present()?;
        checkpoint.settle_replacement(&self.dir)?;
        Ok(HeldLog { log: self, checkpoint, appender: None })
    }
}

/// What there is of several logs at one moment. Of each of them nothing is noted, swapped or deleted as long as it is held; all appends
/// go on. The logs are in the order of their partitions.
///
/// # Errors
/// As [`hold_files`](Log::hold_files); why a log cannot be written.
pub(crate) fn at_one_moment(logs: &[Arc<Log>]) -> Result<Vec<(HeldLog<'_>, LogContents)>> {
    let mut held = logs.iter().map(|log| log.hold_files()).collect::<Result<Vec<_>>>()?;
    held.iter_mut().try_for_each(HeldLog::fix_end)?;
    // All ends are fixed until here; from here on they may move, one after the other.
    let contents: Vec<LogContents> = held.iter_mut().map(HeldLog::contents).collect();
    Ok(held.into_iter().zip(contents).collect())
}

impl Log {
    /// Returns once all that was there when a copy was taken survives a power cut as it is, in segments.
    ///
    /// # Errors
    /// As those of a sync.
    pub(crate) fn sync_contents(&self, contents: &LogContents) -> Result<()> {
        if !contents.unnoted.iter().all(|segment| segment.is_synced()) {
            let (_, synced) = self.sync_segments()?;
            self.free_slots(synced);
        }
        Ok(())
    }
}

impl<'l> HeldLog<'l> {
    /// Has the log end where it ends now, in a whole batch of a segment, until [`contents`](HeldLog::contents) is called.
    ///
    /// # Errors
    /// Why the log cannot be written.
    pub(crate) fn fix_end(&mut self) -> Result<()> {
        let mut appender = self.log.appender.lock();
        self.log.check_unharmed()?;
        appender.seal(self.log)?;
        self.appender = Some(appender);
        Ok(())
    }

    /// Closes the log for good, in the place of which another one is to be made, with no append since its end was fixed. Wakes nobody.
    pub(crate) fn close_deleted(&mut self) {
        self.log.note_deleted();
        if let Some(mut appender) = self.appender.take() {
            self.log.close();
            appender.abandon(self.log);
        }
    }

    /// What there is of it. Appends go on when this returns.
    pub(crate) fn contents(&mut self) -> LogContents {
        let log: &'l Log = self.log;
        let manifest = &self.checkpoint.manifest;
        let noted = manifest.segments.clone();
        let noted_end = noted.last().map_or(0, |last| last.sealed.next_offset);
        let segments = log.segments();
        let is_unnoted = |segment: &&Arc<Segment>| noted_end <= segment.base_offset() && !segment.is_sealed();
        let unnoted = segments.iter().filter(is_unnoted).cloned().collect();
        let bounds = LogBounds {
            log_start_offset: log.log_start_offset(),
            next_offset: log.log_end_offset(),
            clean_offset: manifest.clean_offset(),
            epochs: log.epochs.clone(),
        };
        let first_unmarked_offset = log.first_unmarked_offset();
        self.appender = None;
        let seen = (bounds.epochs.clone(), bounds.next_offset);
        LogContents { noted, unnoted, bounds, seen, first_unmarked_offset }
    }
}
