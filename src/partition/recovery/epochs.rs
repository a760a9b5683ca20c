//! The leader epochs of a log that is being opened.

use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;

use super::{Recovery, Shutdown};
use crate::canary::{Canary, planted};
use crate::disk::{Disk, Open};
use crate::error::os;
use crate::error::{Error, Result};
use crate::partition::checkpoint::EpochsFile;
use crate::partition::leader_epoch::{self, LeaderEpochs};
use crate::segment::{Located, Segment};

/// The leader epochs of a log that is about to be served.
pub(super) struct SettledEpochs {
    pub(super) epochs: LeaderEpochs,
    pub(super) file: EpochsFile,
    /// Whether there was no room to write them down.
    pub(super) owes_epochs: bool,
}

impl Recovery<'_> {
    /// Raises the leader epoch after every unclean end, since records may have been seen that are gone now: also a machine that
    /// went on says nothing of its disk, which may have come back without what was not synced. An epoch in which nothing was
    /// written gives way to the next one: so it does no harm if there is no room to write it down, as long as it has no record.
    pub(super) fn settle_epochs(&mut self) -> Result<SettledEpochs> {
        let last_epoch = last_leader_epoch(&self.segments);
        let loaded = self.load_epochs(last_epoch)?;
        let file = match &loaded {
            Some(loaded) if !loaded.entries().is_empty() => EpochsFile::Whole,
            None if !is_there(&*self.disk, &self.spec.dir)? => EpochsFile::Absent,
            _ => EpochsFile::Doubtful,
        };
        let mut epochs = match loaded {
            Some(loaded) => loaded,
            None => epochs_of(&self.segments, last_epoch)?,
        };
        for batch in &self.unsealed {
            epochs.assign(batch.identity.start.leader_epoch, batch.identity.base_offset());
        }
        // Whatever the durability is now: another one may have held when what is gone was seen.
        self.report.may_have_lost =
            self.shutdown == Shutdown::PowerCut || self.report.cut_bytes > 0 || !self.report.quarantined.is_empty();
        // The next scan of the log takes a batch of a lower epoch for one that is not of this log any more.
        let noted = self.point.point.as_ref().map(|point| point.synced.leader_epoch);
        let reached = epochs.latest().max(noted.max(last_epoch).unwrap_or(0));
        let mut least = self.spec.least_leader_epoch.max(reached);
        let is_raised =
            (self.shutdown != Shutdown::Clean || self.report.may_have_lost) && !planted(Canary::KeepLeaderEpoch);
        if is_raised {
            least = least.max(reached.saturating_add(1));
            self.report.leader_epoch_raised = true;
        }
        // Of a log that has none yet, the first one need not be stored.
        let is_first = epochs.entries().is_empty();
        let mut owes_epochs = false;
        if epochs.assign(least, self.next_offset) && !is_first || is_raised {
            match epochs.store(&*self.disk, &self.spec.dir) {
                Err(Error::DiskFull { .. }) => owes_epochs = true,
                stored => stored?,
            }
        }
        Ok(SettledEpochs { epochs, file, owes_epochs })
    }

    /// The epochs in the file, which is written before the first batch of a new epoch: one that does not reach the batches is
    /// damaged, and none is returned.
    fn load_epochs(&mut self, last_epoch: Option<i32>) -> Result<Option<LeaderEpochs>> {
        let loaded = LeaderEpochs::load(&*self.disk, &self.spec.dir)?;
        let is_damaged = loaded.as_ref().is_some_and(|loaded| !loaded.reach(last_epoch));
        // It is written before the first segment is noted.
        if is_damaged || loaded.is_none() && !self.manifest.segments.is_empty() {
            self.report.rebuilt.push(leader_epoch::path(&self.spec.dir));
        }
        Ok(loaded.filter(|_| !is_damaged))
    }
}

/// The leader epoch of the last batch that can be read, of the last segment that has one.
pub(in crate::partition) fn last_leader_epoch(segments: &[Arc<Segment>]) -> Option<i32> {
    let mut segments = segments.iter().rev();
    segments.find(|segment| segment.base_offset() < segment.next_offset())?.last_leader_epoch()
}

/// Whether a partition's directory has the file.
fn is_there(disk: &dyn Disk, dir: &Path) -> Result<bool> {
    let path = leader_epoch::path(dir);
    match disk.open(&path, Open::Read) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) if os::is_passing(&error) => Err(Error::io("open", &path, error)),
        // What cannot be read is written anew.
        _ => Ok(true),
    }
}

/// Rebuilds the epochs from the batches, which carry them, and of which the last one has `last_epoch`. They only rise: so a log
/// without the file need not be read, as closing leaves one that has no epoch but 0.
pub(in crate::partition) fn epochs_of(segments: &[Arc<Segment>], last_epoch: Option<i32>) -> Result<LeaderEpochs> {
    if last_epoch == Some(0) {
        return Ok(LeaderEpochs::first());
    }
    let mut epochs = LeaderEpochs::default();
    for segment in segments {
        let mut assign =
            |batch: &Located| _ = epochs.assign(batch.header.start.leader_epoch, batch.header.base_offset());
        match segment.visit_intact(&mut assign) {
            // Damage is reported where it is read; the epochs go on behind it.
            Err(Error::Corrupt(_)) => {}
            visited => visited?,
        }
    }
    Ok(epochs)
}
