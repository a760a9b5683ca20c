//! Opening a log: from what the files say to a state that can be trusted.
//!
//! After a clean shutdown everything is where the manifest and the recovery point say. Otherwise: below the recovery point
//! everything was synced, so a bad batch there is damage, and is reported and left alone. Above it the log ends before the
//! first bad batch, and what is cut is kept in quarantine. Then come the open batches of the tail that continue the log
//! exactly. What was not proven to be on the medium is written once more and synced before anything is served; only then may
//! the caller clear the tail. A crash at any point leaves files from which the same is done again.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::checkpoint::Checkpoint;
use super::durability::Durability;
use super::leader_epoch::{self, LeaderEpochs};
use super::log::LogSpec;
use super::manifest::{Manifest, ManifestSegment};
use super::recovery_mode::RecoveryMode;
use super::recovery_point::{LoadedPoint, RecoveryPointFile};
use super::recovery_report::PartitionRecovery;
use super::salvaged_batch::{Contents, seal};
use super::{compaction, partition_metadata, quarantine};
use crate::canary::{Canary, planted};
use crate::disk::open_files::OpenFiles;
use crate::disk::{Disk, Open};
use crate::error::{Corruption, Error, Result};
use crate::format::BatchHeader;
use crate::segment::file_name::{self, FileKind, FileName, Stage};
use crate::segment::{Scan, ScanStart, SealedSegment, Segment, SegmentConfig, SegmentDir};
use crate::tail::{Salvaged, TAIL_NAMES};

/// How the last writer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shutdown {
    /// It closed the broker.
    Clean,
    /// The process ended, but the machine went on: what was written is there, synced or not.
    Killed,
    /// The machine may have been restarted: of what was not synced anything may be missing.
    PowerCut,
}

/// In what circumstances logs are opened.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Circumstances {
    pub(crate) shutdown: Shutdown,
    pub(crate) mode: RecoveryMode,
}

/// A log that may be served.
#[derive(Debug)]
pub(super) struct Recovered {
    pub(super) dir: Arc<SegmentDir>,
    pub(super) segments: Vec<Arc<Segment>>,
    pub(super) log_start_offset: u64,
    pub(super) next_offset: u64,
    pub(super) epochs: LeaderEpochs,
    pub(super) damage: Vec<Corruption>,
    pub(super) checkpoint: Checkpoint,
}

impl Recovered {
    /// A log without records, whose directory was just made.
    pub(super) fn empty(spec: &LogSpec, files: &Arc<OpenFiles>) -> Result<Recovered> {
        let LoadedPoint { file, .. } = RecoveryPointFile::load(&**files.disk(), &spec.dir)?;
        let mut epochs = LeaderEpochs::default();
        epochs.assign(0, 0);
        Ok(Recovered {
            dir: segment_dir(spec, files, false),
            segments: Vec::new(),
            log_start_offset: 0,
            next_offset: 0,
            epochs,
            damage: Vec::new(),
            checkpoint: Checkpoint::new(Manifest::default(), file),
        })
    }
}

pub(super) fn segment_dir(spec: &LogSpec, files: &Arc<OpenFiles>, is_read_only: bool) -> Arc<SegmentDir> {
    let (path, partition) = (spec.dir.clone(), spec.partition.clone());
    Arc::new(SegmentDir { files: Arc::clone(files), path, partition, is_read_only })
}

/// Opens the log of an existing partition. `salvaged` are the batches that the tail held for it, in any order. Returns a
/// report if there was anything to tell.
pub(super) fn recover(
    spec: &LogSpec,
    files: &Arc<OpenFiles>,
    circumstances: Circumstances,
    salvaged: Vec<Salvaged>,
) -> Result<(Recovered, Option<PartitionRecovery>)> {
    let metadata_rebuilt = check_identity(&**files.disk(), spec, circumstances.mode)?;
    let mut recovery = Recovery::begin(spec, files, circumstances)?;
    recovery.report.rebuilt.extend(metadata_rebuilt);
    recovery.open_sealed_segments()?;
    recovery.recover_unsealed_segments()?;
    recovery.seal_salvaged(salvaged)?;
    recovery.sync()?;
    recovery.finish()
}

/// A recovery under way.
struct Recovery<'s> {
    spec: &'s LogSpec,
    disk: Arc<dyn Disk>,
    dir: Arc<SegmentDir>,
    config: SegmentConfig,
    shutdown: Shutdown,
    mode: RecoveryMode,
    manifest: Manifest,
    point: LoadedPoint,
    /// Base offsets of the log files, ascending.
    bases: Vec<u64>,
    segments: Vec<Arc<Segment>>,
    /// Segments that the manifest does not have.
    unsealed: Vec<Arc<Segment>>,
    /// Where the log begins, whether or not that can still be read.
    log_start_offset: u64,
    next_offset: u64,
    manifest_is_damaged: bool,
    report: PartitionRecovery,
}

impl<'s> Recovery<'s> {
    fn begin(spec: &'s LogSpec, files: &Arc<OpenFiles>, circumstances: Circumstances) -> Result<Recovery<'s>> {
        let Circumstances { shutdown, mode } = circumstances;
        let disk = Arc::clone(files.disk());
        let mut report = PartitionRecovery::new(spec.partition.clone());
        let (manifest, is_start_known) = match Manifest::load(&*disk, &spec.dir) {
            // Without a manifest no segment was ever sealed and noted, nor any removed: the log begins at offset 0.
            Ok(loaded) => {
                compaction::recovery::settle(&*disk, &spec.dir, loaded.as_ref())?;
                (loaded.map(|loaded| loaded.manifest).unwrap_or_default(), true)
            }
            Err(Error::Corrupt(corruption)) => {
                let damage = Corruption { partition: Some(spec.partition.clone()), ..*corruption };
                refuse_if_strict(mode, &damage)?;
                report.damage.push(damage);
                (Manifest::default(), false)
            }
            Err(error) => return Err(error),
        };
        let names = file_name::list(&*disk, &spec.dir)?;
        let is_live_log = |name: &&FileName| name.kind == FileKind::Log && name.stage == Stage::Live;
        let bases: Vec<u64> = names.iter().filter(is_live_log).map(|name| name.base_offset).collect();
        let first_sealed = manifest.segments.first().map(|segment| segment.sealed.base_offset);
        let first_found = bases.first().copied().filter(|_| !is_start_known);
        let next_offset = first_sealed.or(first_found).unwrap_or(manifest.log_start_offset);
        let log_start_offset = next_offset.max(manifest.log_start_offset);
        Ok(Recovery {
            spec,
            dir: segment_dir(spec, files, false),
            config: SegmentConfig::from(&spec.config),
            shutdown,
            mode,
            point: RecoveryPointFile::load(&*disk, &spec.dir)?,
            disk,
            manifest,
            bases,
            segments: Vec::new(),
            unsealed: Vec::new(),
            log_start_offset,
            next_offset,
            manifest_is_damaged: !is_start_known,
            report,
        })
    }

    /// Takes the sealed segments for what the manifest says they are, once they are there and have their size.
    fn open_sealed_segments(&mut self) -> Result<()> {
        for ManifestSegment { sealed, log_crc32 } in &self.manifest.segments {
            let path = FileName::live(sealed.base_offset, FileKind::Log).path(&self.spec.dir);
            let offsets = sealed.base_offset..sealed.next_offset;
            let hole = self.next_offset..sealed.base_offset;
            if !hole.is_empty() && self.spec.compaction.is_none() {
                // Found when the log went on behind it, and in no manifest, since nothing is known of it.
                let path = FileName::live(hole.start, FileKind::Log).path(&self.spec.dir);
                self.report.damage.push(self.damage(path, 0, Some(hole), "a segment is missing"));
            }
            match self.disk.open(&path, Open::Read).and_then(|file| file.size()) {
                Ok(size) if size == sealed.log_bytes => {}
                // Of a file that became longer what was sealed is still there, or it is another file.
                Ok(size) if sealed.log_bytes < size && self.crc32_of(sealed)? != *log_crc32 => {
                    let damage = self.damage(path, 0, Some(offsets), "not the file that was sealed");
                    self.report.damage.push(damage);
                    self.next_offset = sealed.next_offset;
                    continue;
                }
                Ok(size) => {
                    let damage = self.damage(path, size.min(sealed.log_bytes), None, "not the size it had when sealed");
                    note(self.mode, &mut self.report, damage)?;
                }
                Err(_) if planted(Canary::IgnoreMissingSegment) => continue,
                Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
                    let damage = self.damage(path, 0, Some(offsets), "a sealed segment is missing");
                    note(self.mode, &mut self.report, damage)?;
                    self.next_offset = sealed.next_offset;
                    continue;
                }
                Err(e) => return Err(Error::io("open", &path, e)),
            }
            self.segments.push(Arc::new(Segment::open_sealed(&self.dir, sealed, self.config)));
            self.next_offset = sealed.next_offset;
        }
        let sealed = &self.manifest.segments;
        self.bases.retain(|&base| sealed.iter().all(|segment| segment.sealed.base_offset != base));
        Ok(())
    }

    /// The checksum of a sealed segment's bytes, without what is behind them.
    fn crc32_of(&self, sealed: &SealedSegment) -> Result<u32> {
        Segment::open_sealed(&self.dir, sealed, self.config).log_crc32()
    }

    /// Scans what was not yet sealed and noted, and ends the log before the first batch that is bad and not proven.
    fn recover_unsealed_segments(&mut self) -> Result<()> {
        let proven = self.point.point.map_or(0, |point| point.synced.next_offset);
        let bases = std::mem::take(&mut self.bases);
        for (base_offset, next_base) in bases.iter().zip(bases.iter().skip(1).map(Some).chain([None])) {
            let base_offset = *base_offset;
            let continues = base_offset == self.next_offset;
            let is_behind_hole = base_offset > self.next_offset;
            if is_behind_hole && base_offset <= proven {
                let path = FileName::live(self.next_offset, FileKind::Log).path(&self.spec.dir);
                let hole = self.next_offset..base_offset;
                let damage = self.damage(path, 0, Some(hole), "a segment is missing");
                note(self.mode, &mut self.report, damage)?;
            } else if !continues {
                let path = FileName::live(base_offset, FileKind::Log).path(&self.spec.dir);
                refuse_if_strict(self.mode, &self.damage(path, 0, None, "the segment does not continue the log"))?;
                // Of an un-synced end, or not of this log at all.
                let path = quarantine::set_aside(&*self.disk, &self.spec.dir, base_offset)?;
                self.report.quarantined.push(path);
                continue;
            }
            // What a later segment proves says nothing of this one's end.
            let was_sealed = next_base.is_some_and(|next| *next <= proven);
            self.recover_segment(base_offset, next_base.map_or(proven, |next| proven.min(*next)), was_sealed)?;
        }
        self.leave_out_missing(proven)
    }

    /// Goes on behind what is proven to have been synced and is not there: its offsets are never given out again.
    fn leave_out_missing(&mut self, proven: u64) -> Result<()> {
        if self.next_offset < proven {
            let path = FileName::live(self.next_offset, FileKind::Log).path(&self.spec.dir);
            let hole = self.next_offset..proven;
            let damage = self.damage(path, 0, Some(hole), "the last segment is missing");
            note(self.mode, &mut self.report, damage)?;
            self.next_offset = proven;
            // Of its own, or the segment before would be taken for one with gaps.
            self.add_unsealed(Arc::new(Segment::create(&self.dir, proven, self.config)?));
        }
        Ok(())
    }

    fn recover_segment(&mut self, base_offset: u64, proven: u64, was_sealed: bool) -> Result<()> {
        let start = match self.point.point {
            Some(point) if point.base_offset == base_offset => point.synced,
            // Which ones were compacted is not known without the manifest.
            _ if self.manifest_is_damaged && self.spec.compaction.is_some() && was_sealed => {
                ScanStart { file_position: u64::MAX, has_gaps: true, ..ScanStart::nothing(base_offset) }
            }
            _ => ScanStart::nothing(base_offset),
        };
        let (segment, scan) = Segment::recover(&self.dir, base_offset, self.config, start, proven)?;
        if scan.indexes_rebuilt {
            self.report.rebuilt.push(FileName::live(base_offset, FileKind::OffsetIndex).path(&self.spec.dir));
        }
        for damage in &scan.damaged {
            note(self.mode, &mut self.report, segment.corruption(damage))?;
        }
        self.cut(&segment, &scan)?;
        if self.shutdown != Shutdown::Clean {
            self.report.scanned_batches += scan.batches;
            // After a failed sync the page cache may show what the medium lacks, and believe it clean.
            if !planted(Canary::SkipRewrite) {
                segment.rewrite_from(start.file_position)?;
            }
        }
        self.next_offset = scan.next_offset;
        if planted(Canary::ReuseOffsetAfterEmptyRoll) && scan.next_offset == base_offset {
            self.next_offset = base_offset.saturating_sub(1);
        }
        self.add_unsealed(Arc::new(segment));
        Ok(())
    }

    /// Sets aside and cuts what lies behind the end of the log.
    fn cut(&mut self, segment: &Segment, scan: &Scan) -> Result<()> {
        if scan.valid_bytes >= scan.file_bytes {
            return Ok(());
        }
        let reason = scan.bad.as_ref().map_or("the log ends before its file does", |bad| bad.reason);
        refuse_if_strict(self.mode, &self.damage(segment.path(), scan.valid_bytes, None, reason))?;
        let kept = quarantine::keep_cut_off(&*self.disk, &self.spec.dir, segment.base_offset(), scan.valid_bytes)?;
        self.report.quarantined.extend(kept);
        self.report.cut_bytes += scan.file_bytes - scan.valid_bytes;
        segment.cut_tail()
    }

    /// Seals the batches of the tail that continue the log exactly. One that is in a segment already is skipped; one behind a
    /// gap is dropped, since what is missing was never synced.
    fn seal_salvaged(&mut self, mut salvaged: Vec<Salvaged>) -> Result<()> {
        salvaged.sort_by_key(|batch| batch.identity.base_offset);
        for batch in salvaged {
            self.check_torn(&batch)?;
            let Some(contents) = Contents::of(&batch) else {
                // Below the end it was given back long ago, and a power cut mixed it with what came before.
                if batch.identity.base_offset >= self.next_offset {
                    self.drop_batch(&batch)?;
                }
                continue;
            };
            if batch.identity.base_offset + contents.record_count > self.next_offset || planted(Canary::SealTwice) {
                if batch.identity.base_offset == self.next_offset || planted(Canary::SealTwice) {
                    self.seal_one(&batch, &contents)?;
                } else {
                    self.drop_batch(&batch)?;
                }
            }
        }
        Ok(())
    }

    /// After a kill the page cache is whole, and whatever was published is there: bytes that are not what was published were
    /// damaged since. After a power cut they may just not have been synced.
    fn check_torn(&mut self, batch: &Salvaged) -> Result<()> {
        if !batch.torn || batch.identity.base_offset < self.next_offset {
            return Ok(());
        }
        self.report.torn_batches += 1;
        if self.shutdown != Shutdown::Killed {
            return Ok(());
        }
        let [always, relaxed] = TAIL_NAMES;
        let name = if self.spec.durability == Durability::Always { always } else { relaxed };
        let path = self.spec.dir.with_file_name(name);
        let damage = self.damage(path, 0, None, "the end of an open batch in the tail is not what was published");
        note(self.mode, &mut self.report, damage)
    }

    fn drop_batch(&mut self, batch: &Salvaged) -> Result<()> {
        let path = FileName::live(batch.identity.base_offset, FileKind::Log).path(&self.spec.dir);
        let reason = "an open batch of the tail does not continue the log";
        refuse_if_strict(self.mode, &self.damage(path, 0, None, reason))?;
        self.report.dropped_batches += 1;
        Ok(())
    }

    fn seal_one(&mut self, batch: &Salvaged, contents: &Contents) -> Result<()> {
        let bytes = seal(batch, contents, self.spec.config.compression);
        let header = BatchHeader::decode(&bytes).map_err(|_| Error::InvalidState { reason: "a salvaged batch" })?;
        let active = match self.segments.last() {
            Some(active)
                if !active.must_roll_before(bytes.len() as u64, header.last_offset(), header.max_timestamp) =>
            {
                Arc::clone(active)
            }
            _ => {
                let segment = Arc::new(Segment::create(&self.dir, self.next_offset, self.config)?);
                self.add_unsealed(Arc::clone(&segment));
                segment
            }
        };
        active.append(&bytes, &header).map_err(|failure| failure.error)?;
        self.next_offset = header.next_offset();
        self.report.salvaged_records += contents.record_count;
        Ok(())
    }

    fn add_unsealed(&mut self, segment: Arc<Segment>) {
        self.unsealed.push(Arc::clone(&segment));
        self.segments.push(segment);
    }

    /// Makes sure that what is served from here on is on the medium.
    fn sync(&mut self) -> Result<()> {
        if self.shutdown != Shutdown::Clean {
            self.unsealed.iter().try_for_each(|segment| segment.sync())?;
        }
        if self.manifest_is_damaged {
            // Out of the way of the next one, which is stored only over one that makes sense.
            self.report.quarantined.push(Manifest::set_aside(&*self.disk, &self.spec.dir)?);
        }
        if !self.report.quarantined.is_empty() {
            quarantine::trim(&*self.disk, &self.spec.dir)?;
            let dir = &self.spec.dir;
            self.disk.sync_dir(dir).map_err(|e| Error::io("sync", dir, e))?;
        }
        Ok(())
    }

    fn finish(mut self) -> Result<(Recovered, Option<PartitionRecovery>)> {
        let epochs = self.settle_epochs()?;
        let mut checkpoint = Checkpoint::new(self.manifest, self.point.file);
        checkpoint.begin_from(self.point.point);
        if self.shutdown != Shutdown::Clean {
            checkpoint.store_point(&self.dir, self.segments.last(), epochs.latest())?;
        }
        let recovered = Recovered {
            dir: self.dir,
            segments: self.segments,
            log_start_offset: self.log_start_offset,
            next_offset: self.next_offset,
            epochs,
            damage: self.report.damage.iter().filter(|damage| damage.offsets.is_some()).cloned().collect(),
            checkpoint,
        };
        Ok((recovered, Some(self.report).filter(PartitionRecovery::is_worth_telling)))
    }

    /// Raises the leader epoch if records may have been seen that are gone now.
    fn settle_epochs(&mut self) -> Result<LeaderEpochs> {
        let loaded = LeaderEpochs::load(&*self.disk, &self.spec.dir)?;
        // It is written before the first segment is noted.
        if loaded.is_none() && !self.manifest.segments.is_empty() {
            self.report.rebuilt.push(leader_epoch::path(&self.spec.dir));
        }
        let mut epochs = loaded.map_or_else(|| epochs_of(&self.segments), Ok)?;
        // Whatever the durability is now: another one may have held when what is gone was seen.
        let may_have_lost =
            self.shutdown == Shutdown::PowerCut || self.report.cut_bytes > 0 || !self.report.quarantined.is_empty();
        if may_have_lost && !planted(Canary::KeepLeaderEpoch) {
            epochs.assign(epochs.latest() + 1, self.next_offset);
            epochs.store(&*self.disk, &self.spec.dir)?;
            self.report.leader_epoch_raised = true;
        } else if epochs.entries().is_empty() {
            epochs.assign(0, self.next_offset);
        }
        Ok(epochs)
    }

    fn damage(
        &self,
        path: PathBuf,
        file_position: u64,
        offsets: Option<Range<u64>>,
        reason: &'static str,
    ) -> Corruption {
        Corruption { partition: Some(self.spec.partition.clone()), path, file_position, offsets, reason }
    }
}

/// Notes damage in a report, unless that is to end the opening.
fn note(mode: RecoveryMode, report: &mut PartitionRecovery, damage: Corruption) -> Result<()> {
    refuse_if_strict(mode, &damage)?;
    report.damage.push(damage);
    Ok(())
}

/// Ends the opening if it is to take nothing out of a log.
fn refuse_if_strict(mode: RecoveryMode, why: &Corruption) -> Result<()> {
    if mode == RecoveryMode::Strict { Err(Error::Corrupt(Box::new(why.clone()))) } else { Ok(()) }
}

/// Rebuilds the epochs from the batches, which carry them.
fn epochs_of(segments: &[Arc<Segment>]) -> Result<LeaderEpochs> {
    let mut epochs = LeaderEpochs::default();
    for segment in segments {
        let (mut file_position, mut offset) = (0, segment.base_offset());
        loop {
            match segment.locate_at(file_position, offset) {
                Ok(Some(located)) => {
                    epochs.assign(located.header.leader_epoch, located.header.base_offset);
                    (file_position, offset) = (located.end(), located.header.next_offset());
                }
                // Damage is reported where it is read; the epochs go on behind it.
                Err(Error::Corrupt(corruption)) => match &corruption.offsets {
                    Some(offsets) if offsets.end > offset => offset = offsets.end,
                    _ => break,
                },
                Ok(None) => break,
                Err(error) => return Err(error),
            }
        }
    }
    Ok(epochs)
}

/// Checks that no newer version wrote the files of a partition. Changes nothing, so that it can be asked before anything is.
///
/// # Errors
/// [`Error::UnsupportedVersion`]. What else there is to say of these files is said when they are used.
pub(crate) fn check_versions(disk: &dyn Disk, dir: &Path) -> Result<()> {
    let manifest = Manifest::load(disk, dir).map(drop);
    let point = RecoveryPointFile::load(disk, dir).map(drop);
    for loaded in [manifest, point] {
        if let Err(newer @ Error::UnsupportedVersion { .. }) = loaded {
            return Err(newer);
        }
    }
    Ok(())
}

/// Checks that the directory of a partition is there, and is of this topic and not one of the same name; returns the file that
/// says so if it had to be made anew.
///
/// # Errors
/// [`Error::Corrupt`] if not. Which topic it is of is not asked where damage is to be passed over.
fn check_identity(disk: &dyn Disk, spec: &LogSpec, mode: RecoveryMode) -> Result<Option<PathBuf>> {
    let dir = &spec.dir;
    let corrupt = |reason| Err(Error::corrupt_file(dir, 0, reason));
    match disk.list(dir) {
        Ok(_) => {}
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            return corrupt("the partition's directory is missing; restore it from a backup");
        }
        Err(e) => return Err(Error::io("list", dir, e)),
    }
    match partition_metadata::load(disk, dir) {
        Ok(Some(id)) if id == spec.topic_id => Ok(None),
        Ok(Some(_)) if mode != RecoveryMode::SkipCorrupt => {
            corrupt("the partition's directory belongs to another topic; restore its own from a backup")
        }
        // The file is there for Kafka; without it the directory is taken for what its name says.
        Ok(_) | Err(Error::Corrupt(_)) => {
            partition_metadata::store(disk, dir, spec.topic_id)?;
            Ok(Some(partition_metadata::path(dir)))
        }
        Err(error) => Err(error),
    }
}
