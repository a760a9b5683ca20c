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

use std::collections::{BTreeMap, BTreeSet};
use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;

use super::compaction::recovery as replacing;
use super::leader_epoch::LeaderEpochs;
use super::log::copying::LogContents;
use super::log_copy::LogBounds;
use super::log_spec::LogSpec;
use super::log_state::LogState;
use super::manifest::{LoadedManifest, Manifest, ManifestSegment};
use super::recovery::segment_dir;
use super::recovery_point::{RecoveryPoint, RecoveryPointFile};
use crate::canary::{Canary, planted};
use crate::disk::append_file::AppendError;
use crate::disk::open_files::OpenFiles;
use crate::disk::{Disk, Open, SyncError};
use crate::error::{Corruption, Error, Result};
use crate::format::{BatchHeader, EndTransactionMarker};
use crate::segment::file_name::{self, FileKind, FileName, Stage};
use crate::segment::{HeaderSums, KnownBatches, ScanStart, Segment, SegmentDir};

/// The files of a log that follows another one.
#[derive(Debug)]
pub(crate) struct LogReplica {
    spec: LogSpec,
    dir: Arc<SegmentDir>,
    /// The segments that the source has noted, by base offset.
    noted: BTreeMap<u64, ManifestSegment>,
    /// Those behind them, which are written batch by batch.
    written: BTreeMap<u64, Segment>,
    /// Of the noted ones, those that wait under second names.
    staged: BTreeSet<u64>,
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
            noted: BTreeMap::new(),
            written: BTreeMap::new(),
            staged: BTreeSet::new(),
            point: RecoveryPointFile::new(&spec.dir, spec.id()),
            settled,
            spec,
        }
    }

    /// Goes on with a log that is to be at `state`: does what is left to do, and cuts off what came behind.
    ///
    /// # Errors
    /// [`Error::Corrupt`] if something is missing; the disk's.
    pub(crate) fn resume(spec: LogSpec, files: &Arc<OpenFiles>, state: LogState) -> Result<LogReplica> {
        let mut replica = LogReplica::begin(spec, files);
        let manifest = replica.put_in_place(&state)?;
        replica.noted = manifest.segments.into_iter().map(|noted| (noted.sealed.base_offset, noted)).collect();
        let loaded = RecoveryPointFile::load(replica.disk(), &replica.dir.path, replica.spec.id())?;
        replica.point = loaded.file;
        let ends = state.written.iter().skip(1).copied().chain([state.next_offset]);
        for (&base_offset, end) in state.written.iter().zip(ends) {
            let known = loaded.point.as_ref().filter(|point| point.base_offset == base_offset);
            let known = known.map(|point| point.synced).filter(|synced| synced.next_offset <= end);
            let segment = replica.reopen(base_offset, end, known)?;
            replica.written.insert(base_offset, segment);
        }
        if loaded.is_damaged {
            // A power cut has torn what said how far it is synced.
            replica.renew_point(&state.epochs)?;
        }
        replica.settled = state;
        Ok(replica)
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

    /// Whether it has this very segment, with all that is said of it.
    pub(crate) fn has(&self, noted: &ManifestSegment) -> bool {
        self.noted.get(&noted.sealed.base_offset) == Some(noted)
    }

    /// Whether it has the log file of this segment.
    pub(crate) fn has_log_of(&self, noted: &ManifestSegment) -> bool {
        let known = self.noted.get(&noted.sealed.base_offset);
        known.is_some_and(|known| known.has_log_of(noted))
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
        self.noted.insert(base_offset, noted);
    }

    /// The segments that the source had noted.
    pub(crate) fn noted(&self) -> impl Iterator<Item = &ManifestSegment> {
        self.noted.values()
    }

    /// Where a segment that is written batch by batch ends by now: the byte of its log file, and the offset.
    pub(crate) fn written_to(&self, base_offset: u64) -> Option<(u64, u64)> {
        self.written.get(&base_offset).map(|segment| (segment.log_bytes(), segment.next_offset()))
    }

    /// The segments that are written batch by batch, and what tells each from any other.
    pub(crate) fn written(&self) -> impl Iterator<Item = (&Segment, HeaderSums)> {
        let with_sums = |segment: &'_ Segment| segment.header_sums(segment.last_batch_position());
        self.written.values().filter_map(move |segment| Some((segment, with_sums(segment)?)))
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
                remove(self.disk(), &FileName::live(base_offset, kind).path(&self.dir.path))?;
            }
            let segment = Segment::create(&self.dir, base_offset, self.spec.segment_config())?;
            created_ms.into_iter().for_each(|ms| segment.note_created(ms));
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

    /// What it is to be, with what the source has: its segments, as far as they have come here, and its bounds.
    pub(crate) fn state_like(&self, contents: &LogContents) -> LogState {
        let is_here = |base_offset: &u64| self.written.contains_key(base_offset);
        let (noted, bounds) = (&contents.noted, &contents.bounds);
        LogState {
            log: self.spec.id(),
            next_offset: bounds.next_offset,
            manifest_crc32: self.manifest_with(noted, bounds).crc32(),
            written: contents.unnoted.iter().map(|segment| segment.base_offset()).filter(is_here).collect(),
            epochs: bounds.epochs.clone(),
        }
    }

    fn manifest_with(&self, noted: &[ManifestSegment], bounds: &LogBounds) -> Manifest {
        let mut manifest = Manifest::of_copy(self.spec.id(), bounds.log_start_offset, bounds.clean_offset);
        manifest.segments = noted.to_vec();
        manifest
    }

    /// Makes all that was brought here survive a power cut, for the [`state`](LogReplica::state_like) that is like these contents. Nothing of
    /// it counts yet.
    ///
    /// # Errors
    /// The disk's.
    pub(crate) fn prepare(&mut self, state: &LogState, contents: &LogContents) -> Result<()> {
        let noted = &contents.noted;
        let bases: BTreeSet<u64> = noted.iter().map(|noted| noted.sealed.base_offset).collect();
        self.noted.retain(|base_offset, _| bases.contains(base_offset));
        for (_, given_up) in self.written.extract_if(.., |base_offset, _| !state.written.contains(base_offset)) {
            given_up.close_for_good();
        }
        for segment in self.written.values() {
            segment.settle().map_err(AppendError::into_inner)?;
            if !planted(Canary::NoteReplicaEarly) {
                segment.sync().map_err(SyncError::into_inner)?;
            }
        }
        for &base_offset in self.staged.intersection(&bases) {
            file_name::move_files(self.disk(), &self.dir.path, base_offset, Stage::Cleaned, Stage::Swap)?;
        }
        if self.changes_manifest(state) {
            self.manifest_with(noted, &contents.bounds).store_next(self.disk(), &self.dir.path)?;
        }
        self.sync_dir()
    }

    /// Whether another manifest is to be there, or the first one: where there are several segments, one that is missing is lost.
    fn changes_manifest(&self, state: &LogState) -> bool {
        state.manifest_crc32 != self.settled.manifest_crc32 || self.settled.next_offset == 0
    }

    /// Has a state that was prepared, and noted, be what there is.
    ///
    /// # Errors
    /// [`Error::Corrupt`] if something is missing; the disk's. [`resume`](LogReplica::resume) does the rest then.
    pub(crate) fn settle(&mut self, state: LogState) -> Result<()> {
        if self.changes_manifest(&state) || state.epochs != self.settled.epochs {
            self.put_in_place(&state)?;
        }
        self.staged.clear();
        if state.next_offset != self.settled.next_offset {
            self.note_point(&state.epochs)?;
        }
        self.settled = state;
        Ok(())
    }

    /// Notes for who reads along how far it is synced. If a power cut takes that, it is only known to be synced less far.
    fn note_point(&mut self, epochs: &LeaderEpochs) -> Result<()> {
        let Some((_, segment)) = self.written.last_key_value() else { return Ok(()) };
        let point = RecoveryPoint::of_synced(segment, epochs.least_from(segment.next_offset()));
        self.point.store(&self.dir.files, &point)
    }

    /// Appends whole batches behind the end, of this leader epoch, for a log that does not follow its source any more. When this returns they
    /// survive a power cut. Nothing of it counts yet; returns the state that has it.
    ///
    /// # Errors
    /// The disk's.
    pub(crate) fn end_with(&mut self, leader_epoch: i32, batches: &[(BatchHeader, Vec<u8>)]) -> Result<LogState> {
        let mut state = self.settled.clone();
        let base_offset = self.written.last_key_value().map_or(state.next_offset, |(base_offset, _)| *base_offset);
        for (header, batch) in batches {
            state.epochs.assign(leader_epoch, header.base_offset());
            self.append(base_offset, None, batch, header)?;
            state.next_offset = header.next_offset();
        }
        if let Some((_, segment)) = self.written.last_key_value() {
            segment.sync().map_err(SyncError::into_inner)?;
        }
        self.sync_dir()?;
        state.written = self.written.keys().copied().collect();
        Ok(state)
    }

    /// Shows each batch of a producer, and the marker that it is, if so.
    ///
    /// # Errors
    /// The disk's; [`Error::Corrupt`] if a file is missing.
    pub(crate) fn visit_producers(
        &self,
        visit: &mut dyn FnMut(&BatchHeader, Option<EndTransactionMarker>),
    ) -> Result<()> {
        for noted in self.noted.values().filter(|noted| noted.has_producers()) {
            let segment = Segment::open_sealed(&self.dir, &noted.sealed, self.spec.segment_config());
            segment.visit_producers((0, segment.base_offset()), &mut *visit)?;
        }
        for segment in self.written.values().filter(|segment| segment.has_producers()) {
            segment.visit_producers((0, segment.base_offset()), &mut *visit)?;
        }
        Ok(())
    }

    fn renew_point(&mut self, epochs: &LeaderEpochs) -> Result<()> {
        if self.written.is_empty() {
            // The manifest says all there is to be said.
            return RecoveryPointFile::remove(self.disk(), &self.dir.path);
        }
        self.note_point(epochs)
    }

    /// Removes every file that does not count, also such as would save work.
    ///
    /// # Errors
    /// The disk's.
    pub(crate) fn leave_only_what_counts(&self) -> Result<()> {
        self.remove_superfluous(&self.settled, &self.noted.values().cloned().collect::<Vec<_>>(), u64::MAX)?;
        self.sync_dir()
    }

    fn put_in_place(&self, state: &LogState) -> Result<Manifest> {
        let manifest = Manifest::take_next(self.disk(), &self.dir.path, self.spec.id(), state.manifest_crc32)?;
        let Some(manifest) = manifest else {
            return Err(self.missing("the manifest of a replica's log is not the one that was noted"));
        };
        let loaded = LoadedManifest { manifest, fell_back: false };
        replacing::settle(self.disk(), &self.dir.path, Some(&loaded))?;
        // What begins behind the end may be taken as it is by who goes on.
        self.remove_superfluous(state, &loaded.manifest.segments, state.next_offset)?;
        if LeaderEpochs::load(self.disk(), &self.dir.path)?.unwrap_or_default() != state.epochs {
            state.epochs.store(self.disk(), &self.dir.path)?;
        }
        self.sync_dir()?;
        Ok(loaded.manifest)
    }

    /// Removes files below `end` of segments that there are not in `state`.
    fn remove_superfluous(&self, state: &LogState, noted: &[ManifestSegment], end: u64) -> Result<()> {
        let bases: BTreeSet<u64> =
            noted.iter().map(|noted| noted.sealed.base_offset).chain(state.written.iter().copied()).collect();
        let snapshots: BTreeSet<u64> = noted.iter().map(|noted| noted.sealed.next_offset).collect();
        for name in file_name::list(self.disk(), &self.dir.path)? {
            let known = if name.kind == FileKind::ProducerSnapshot { &snapshots } else { &bases };
            if name.stage == Stage::Live && name.base_offset < end && !known.contains(&name.base_offset) {
                remove(self.disk(), &name.path(&self.dir.path))?;
            }
        }
        Ok(())
    }

    fn sync_dir(&self) -> Result<()> {
        self.disk().sync_dir(&self.dir.path).map_err(|source| Error::io("sync", &self.dir.path, source))
    }

    /// Opens a segment that is written batch by batch, and has it end at `end`. So far it is `known` to be synced.
    fn reopen(&self, base_offset: u64, end: u64, known: Option<ScanStart>) -> Result<Segment> {
        let from = known.unwrap_or_else(|| ScanStart::nothing(base_offset));
        let mut segment = self.recover(base_offset, end, from)?;
        if end < segment.next_offset() {
            let found = segment.locate(end)?.filter(|found| found.header.base_offset() == end);
            let position = found.map(|found| found.file_position);
            let path = segment.path();
            segment.close_for_good();
            let Some(position) = position else {
                return Err(self.missing("a batch of a replica's log does not begin where the log ends"));
            };
            let cut = || -> std::io::Result<()> {
                let file = self.disk().open(&path, Open::Write)?;
                file.set_size(position)?;
                file.sync()
            };
            cut().map_err(|source| Error::io("cut", &path, source))?;
            segment = self.recover(base_offset, end, from)?;
        }
        if segment.next_offset() != end {
            return Err(self.missing("a segment of a replica's log ends too early"));
        }
        segment.cut_tail()?;
        Ok(segment)
    }

    fn recover(&self, base_offset: u64, end: u64, from: ScanStart) -> Result<Segment> {
        let nothing = KnownBatches::new(Vec::new(), 0);
        let recovered = Segment::recover(&self.dir, base_offset, self.spec.segment_config(), from, end, &nothing);
        let (segment, scan) = match recovered {
            Err(Error::Io { source, .. }) if source.kind() == ErrorKind::NotFound => {
                return Err(self.missing("a segment of a replica's log is missing"));
            }
            recovered => recovered?,
        };
        match scan.damaged.first() {
            Some(damage) => Err(Error::Corrupt(Box::new(segment.corruption(damage)))),
            None => Ok(segment),
        }
    }

    #[cold]
    fn missing(&self, reason: &'static str) -> Error {
        let (partition, path) = (Some(self.spec.partition.clone()), self.dir.path.clone());
        Error::Corrupt(Box::new(Corruption { partition, path, file_position: 0, offsets: None, reason }))
    }
}

/// Removes a file, which need not be there.
fn remove(disk: &dyn Disk, path: &Path) -> Result<()> {
    match disk.remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(Error::io("remove", path, error)),
        _ => Ok(()),
    }
}
