//! The files of a log that follows another one, from one state to the next: the same segments, byte by byte.
//!
//! ```text
//! settled at a state
//!   ─→ append, adopt …   behind its end, or under second names where files are to be replaced: of no effect
//!   ─→ prepare           all of that is on the medium, as is the manifest, under a second name
//!   ─→ (the caller notes the new state: from here on it counts)
//!   ─→ settle            everything gets its name, and what is superfluous goes
//! ```
//! A crash before the new state is noted leaves the old one: what came behind its end is cut off by [`resume`](LogReplica::resume). After
//! it, `resume` does what is left to do. Meanwhile the log can be read as one that another process writes.

mod resuming;
mod settling;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use super::log_spec::LogSpec;
use super::log_state::LogState;
use super::manifest::ManifestSegment;
use super::recovery::segment_dir;
use super::recovery_point::RecoveryPointFile;
use crate::disk::append_file::AppendError;
use crate::disk::open_files::OpenFiles;
use crate::disk::{Disk, SyncError, remove_if_there};
use crate::error::{Corruption, Error, Result};
use crate::format::BatchHeader;
use crate::segment::file_name::{FileKind, FileName, Stage};
use crate::segment::{HeaderSums, Segment, SegmentDir};

/// The files of a log that follows another one.
#[derive(Debug)]
pub(crate) struct LogReplica {
    spec: LogSpec,
    dir: Arc<SegmentDir>,
    /// The segments that the source has noted, by base offset.
    noted: Arc<BTreeMap<u64, ManifestSegment>>,
    /// Those behind them, which are written batch by batch.
    written: BTreeMap<u64, Segment>,
    /// Of the noted ones, those that wait under second names.
    staged: BTreeSet<u64>,
    /// Of the noted ones, those that somebody has taken away, cut or lengthened: they are to come once more.
    lost: BTreeSet<u64>,
    /// The base offsets of log files behind the end, which came in a round that was given up.
    behind: BTreeSet<u64>,
    /// What counts.
    settled: LogState,
    point: RecoveryPointFile,
}

impl LogReplica {
    /// A log of which nothing counts yet, in the directory of `spec`.
    pub(crate) fn begin(spec: LogSpec, files: &Arc<OpenFiles>) -> LogReplica {
        let settled = LogState::new(spec.id());
        LogReplica {
            dir: segment_dir(&spec, files, false),
            noted: Arc::default(),
            written: BTreeMap::new(),
            staged: BTreeSet::new(),
            lost: BTreeSet::new(),
            behind: BTreeSet::new(),
            point: RecoveryPointFile::new(&spec.dir, spec.id()),
            settled,
            spec,
        }
    }

    pub(crate) fn spec(&self) -> &LogSpec {
        &self.spec
    }

    /// What counts of it.
    pub(crate) fn settled(&self) -> &LogState {
        &self.settled
    }

    /// Where its files are.
    pub(crate) fn dir(&self) -> &Path {
        &self.dir.path
    }

    fn disk(&self) -> &dyn Disk {
        &**self.dir.files.disk()
    }

    /// Those of the segments that the source has noted that are to come once more: somebody has taken them away, cut or lengthened them.
    pub(crate) fn lost(&self) -> &BTreeSet<u64> {
        &self.lost
    }

    /// The base offsets of log files behind the end. Nothing is known of them, but that they came in a round that was given up.
    pub(crate) fn behind(&self) -> impl Iterator<Item = u64> {
        self.behind.iter().copied()
    }

    /// Has them be nobody's: they are of no use to the next round.
    pub(crate) fn forget_behind(&mut self) {
        self.behind.clear();
    }

    /// Under which names the files of a segment that it does not have are to be put: second ones, where there may be files that count.
    pub(crate) fn stage_for(&self, noted: &ManifestSegment) -> Stage {
        if noted.sealed.base_offset < self.settled.next_offset { Stage::Cleaned } else { Stage::Live }
    }

    /// Takes a segment whose files were put in place, under names of this stage.
    pub(crate) fn adopt(&mut self, noted: ManifestSegment, stage: Stage) {
        let base_offset = noted.sealed.base_offset;
        if stage == Stage::Cleaned {
            self.staged.insert(base_offset);
        }
        if let Some(segment) = self.written.remove(&base_offset) {
            segment.close_for_good();
        }
        self.lost.remove(&base_offset);
        Arc::make_mut(&mut self.noted).insert(base_offset, noted);
    }

    /// Whether segments wait under second names.
    pub(crate) fn has_staged(&self) -> bool {
        !self.staged.is_empty()
    }

    /// The segments that the source had noted, by base offset.
    pub(crate) fn noted(&self) -> &Arc<BTreeMap<u64, ManifestSegment>> {
        &self.noted
    }

    /// The segments that are written batch by batch, and what tells each from any other.
    pub(crate) fn written(&self) -> impl Iterator<Item = (&Segment, Option<HeaderSums>)> {
        self.written.values().map(|segment| (segment, segment.header_sums(segment.last_batch_position())))
    }

    /// Appends a whole batch, which `header` begins, to the segment of this base offset, which is begun if there is none; that of the
    /// source was made then, if it is known.
    ///
    /// # Errors
    /// The disk's.
    pub(crate) fn append(
        &mut self,
        base_offset: u64,
        created_ms: Option<i64>,
        batch: &[u8],
        header: &BatchHeader,
    ) -> Result<()> {
        if !self.written.contains_key(&base_offset) {
            // Of what came behind the end of what counts, and was given up. A snapshot of that name is of the segment before.
            for kind in FileKind::ALL.into_iter().filter(|kind| *kind != FileKind::ProducerSnapshot) {
                remove_if_there(self.disk(), &FileName::live(base_offset, kind).path(&self.dir.path))?;
            }
            let segment = Segment::create(&self.dir, base_offset, self.spec.segment_config())?;
            if let Some(ms) = created_ms {
                segment.note_created(ms);
            }
            self.written.insert(base_offset, segment);
        }
        let segment = self.written.get(&base_offset).expect("it was begun");
        segment.append(batch, header).map_err(AppendError::into_inner)
    }

    /// Has a segment that was written batch by batch be the one that the source has noted; whether it is.
    ///
    /// # Errors
    /// The disk's.
    pub(crate) fn seal_as(&mut self, noted: &ManifestSegment) -> Result<bool> {
        let base_offset = noted.sealed.base_offset;
        let Some(segment) = self.written.get(&base_offset) else { return Ok(false) };
        let (found, sealed) = (segment.describe(), &noted.sealed);
        let is_same = (found.next_offset, found.log_bytes) == (sealed.next_offset, sealed.log_bytes);
        if !is_same || noted.log_crc32.is_some_and(|crc| segment.log_crc32().ok() != Some(crc)) {
            return Ok(false);
        }
        segment.settle().map_err(AppendError::into_inner)?;
        segment.sync().map_err(SyncError::into_inner)?;
        self.adopt(noted.clone(), Stage::Live);
        Ok(true)
    }

    /// Appends a whole batch behind the end of `state`, which is what is settled and what was appended like this before. Nothing of it
    /// counts yet, or [survives](LogReplica::sync_appended) a power cut.
    ///
    /// # Errors
    /// The disk's.
    pub(crate) fn append_behind(&mut self, state: &mut LogState, header: &BatchHeader, batch: &[u8]) -> Result<()> {
        let full = |segment: &Segment| {
            segment.must_roll_before(batch.len() as u64, header.last_offset(), header.max_timestamp)
        };
        let active = self.written.last_key_value().filter(|(_, segment)| !full(segment));
        let base_offset = active.map_or(header.base_offset(), |(base_offset, _)| *base_offset);
        self.append(base_offset, None, batch, header)?;
        state.epochs.assign(header.start.leader_epoch, header.base_offset());
        state.next_offset = header.next_offset();
        Ok(())
    }

    /// Returns once what was [appended](LogReplica::append_behind) survives a power cut, with the state that has it noted in full.
    ///
    /// # Errors
    /// The disk's.
    pub(crate) fn sync_appended(&mut self, state: &mut LogState) -> Result<()> {
        for segment in self.written.values() {
            segment.settle().map_err(AppendError::into_inner)?;
            segment.sync().map_err(SyncError::into_inner)?;
        }
        self.sync_dir()?;
        state.written = self.written.keys().copied().collect();
        Ok(())
    }

    fn sync_dir(&self) -> Result<()> {
        self.disk().sync_dir(&self.dir.path).map_err(|source| Error::io("sync", &self.dir.path, source))
    }

    #[cold]
    fn missing(&self, reason: &'static str) -> Error {
        let (partition, path) = (Some(self.spec.partition.clone()), self.dir.path.clone());
        Error::Corrupt(Box::new(Corruption { partition, path, file_position: 0, offsets: None, reason }))
    }
}
