//! [`HeldLog`]: what a replica has of a log, as far as it decides what is still to come.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::files::sum_of;
use crate::disk::Disk;
use crate::error::{Error, Result};
use crate::partition::log_id::LogId;
use crate::partition::log_replica::LogReplica;
use crate::partition::log_state::LogState;
use crate::partition::manifest::ManifestSegment;
use crate::segment::file_name::{FileKind, FileName};
use crate::segment::{FileSum, HeaderSums};

/// What a replica has of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct HeldLog {
    /// What counts.
    pub(super) state: LogState,
    /// The segments that its source has noted, by base offset.
    pub(super) noted: Arc<BTreeMap<u64, ManifestSegment>>,
    /// Those behind them, ascending.
    pub(super) written: Vec<WrittenSegment>,
    /// The segments that must come as a whole, whatever there is of them.
    pub(super) whole: BTreeSet<u64>,
    /// Log files behind the end, which came in a round that was given up.
    pub(super) behind: BTreeMap<u64, FileSum>,
}

/// A segment that is written batch by batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct WrittenSegment {
    pub(super) base_offset: u64,
    pub(super) next_offset: u64,
    pub(super) log_bytes: u64,
    /// What tells it from any other, unless it is empty.
    pub(super) sums: Option<HeaderSums>,
}

impl HeldLog {
    /// A log of which nothing has come yet.
    pub(super) fn nothing(log: LogId) -> HeldLog {
        let (noted, written, whole, behind) = Default::default();
        HeldLog { state: LogState::new(log), noted, written, whole, behind }
    }

    /// What there is of a log on `disk`. The segments in `unlike` must come as a whole.
    ///
    /// # Errors
    /// The disk's.
    pub(super) fn of(log: &LogReplica, disk: &dyn Disk, unlike: impl Iterator<Item = u64>) -> Result<HeldLog> {
        let mut behind = BTreeMap::new();
        for base_offset in log.behind() {
            match sum_of(disk, &FileName::live(base_offset, FileKind::Log).path(log.dir())) {
                // It is of no use then.
                Err(Error::Io { .. }) => {}
                sum => _ = behind.insert(base_offset, sum?),
            }
        }
        let written = log.written().map(|(segment, sums)| WrittenSegment {
            base_offset: segment.base_offset(),
            next_offset: segment.next_offset(),
            log_bytes: segment.log_bytes(),
            sums,
        });
        Ok(HeldLog {
            state: log.settled().clone(),
            noted: Arc::clone(log.noted()),
            written: written.collect(),
            whole: log.lost().iter().copied().chain(unlike).collect(),
            behind,
        })
    }

    /// Whether it has this very segment, with all that is said of it.
    pub(super) fn has(&self, noted: &ManifestSegment) -> bool {
        self.noted_at(noted.sealed.base_offset) == Some(noted)
    }

    /// Whether it has the log file of this segment.
    pub(super) fn has_log_of(&self, noted: &ManifestSegment) -> bool {
        self.noted_at(noted.sealed.base_offset).is_some_and(|known| known.has_log_of(noted))
    }

    /// Whether the log file of this segment has come in a round that was given up.
    pub(super) fn has_behind(&self, noted: &ManifestSegment) -> bool {
        let expected = noted.log_crc32.map(|crc32| FileSum { bytes: noted.sealed.log_bytes, crc32 });
        expected.is_some() && self.behind.get(&noted.sealed.base_offset) == expected.as_ref()
    }

    /// The segment of this base offset that is written batch by batch, unless it must come as a whole.
    pub(super) fn written_at(&self, base_offset: u64) -> Option<&WrittenSegment> {
        let written = self.written.iter().find(|written| written.base_offset == base_offset);
        written.filter(|_| !self.whole.contains(&base_offset))
    }

    fn noted_at(&self, base_offset: u64) -> Option<&ManifestSegment> {
        self.noted.get(&base_offset).filter(|_| !self.whole.contains(&base_offset))
    }
}
