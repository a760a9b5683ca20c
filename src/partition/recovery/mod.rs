//! Opening a log: from what the files say to a state that can be trusted.
//!
//! After a clean shutdown everything is where the manifest and the recovery point say. Otherwise: below the recovery point
//! everything was synced, so a bad batch there is damage, and is reported and left alone. Above it the log ends before the
//! first bad batch, and what is cut is kept in quarantine. Bad is also a batch that contradicts what the tail has at its offsets:
//! it is another log's. Then come the open batches of the tail that continue the log exactly. What was not proven to be on the
//! medium is written once more and synced before anything is served, unless nobody was promised that; only then may the caller
//! clear the tail. A crash at any point leaves files from which the same is done again.
//!
//! On a full disk nothing of a log is given up, and what needs room is left for later: batches stay in their slots of the tail, a
//! raised leader epoch is written down before the first record of it, the recovery point and files that are there for Kafka stay
//! as they are. Only what is cut off is cut without a copy: nobody was promised it. An error it remains where room is needed for
//! what nothing else would say: damage at the end of the log, a segment with a second name, and a file system on which to
//! overwrite needs room.

mod epochs;
mod identity;
mod producers;
mod recovered_log;
mod salvaged_batch;
mod salvaging;
mod sealed;
mod unsealed;

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub(super) use epochs::{epochs_of, last_leader_epoch};
pub(crate) use identity::LoadedState;
pub(super) use identity::{check_owner, check_partition, lost_manifest, owner_of_manifest};
pub(crate) use recovered_log::RecoveredLog;
pub(crate) use salvaged_batch::seal_anew;
pub(super) use sealed::damage_of_sealed;

use super::checkpoint::{Checkpoint, SyncedTo};
use super::compaction::recovery::settle;
use super::durability::Durability;
use super::leader_epoch::LeaderEpochs;
use super::log_spec::LogSpec;
use super::manifest::{Manifest, ManifestSegment};
use super::producer_state::aborted::AbortedTransactions;
use super::producer_state::live::LiveProducers;
use super::quarantine;
use super::recovery_mode::RecoveryMode;
use super::recovery_point::{LoadedPoint, RecoveryPointFile};
use super::recovery_report::PartitionRecovery;
use crate::disk::open_files::OpenFiles;
use crate::disk::{Disk, SyncError};
use crate::error::{Corruption, Error, Result};
use crate::segment::file_name::{self, FileKind, FileName, Stage};
use crate::segment::{Segment, SegmentConfig, SegmentDir};
use crate::tail::Salvaged;
use epochs::SettledEpochs;
use identity::check_identity;
use salvaged_batch::{Contents, known_batches};

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

/// How the last writer of the logs ended, and what is to become of damage in them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RecoveryConditions {
    pub(crate) shutdown: Shutdown,
    pub(crate) mode: RecoveryMode,
}

/// A log that may be served.
#[derive(Debug)]
pub(super) struct Recovered {
    pub(super) dir: Arc<SegmentDir>,
    pub(super) segments: Vec<Arc<Segment>>,
    pub(super) log_start_offset: u64,
    /// What is below is proven to be on the medium.
    pub(super) synced_offset: u64,
    pub(super) next_offset: u64,
    /// Batches that go on behind the segments, in order: there was no room to seal them. They stay in their slots of the tail, and
    /// are durable there before anything is served.
    pub(super) unsealed: Vec<Arc<Salvaged>>,
    pub(super) epochs: LeaderEpochs,
    /// Whether there was no room to write down that the leader epoch was raised, which is to come before a record of it.
    pub(super) owes_epochs: bool,
    /// The transactions that never happened, if there are any.
    pub(super) aborted: Option<Arc<AbortedTransactions>>,
    pub(super) producers: LiveProducers,
    pub(super) damage: Vec<Corruption>,
    pub(super) checkpoint: Checkpoint,
}

impl Recovered {
    /// A log without records, whose directory was just made.
    pub(super) fn empty(spec: &LogSpec, files: &Arc<OpenFiles>) -> Recovered {
        let file = RecoveryPointFile::new(&spec.dir, spec.id());
        let mut epochs = LeaderEpochs::default();
        epochs.assign(spec.least_leader_epoch, 0);
        Recovered {
            dir: segment_dir(spec, files, false),
            segments: Vec::new(),
            log_start_offset: 0,
            synced_offset: 0,
            next_offset: 0,
            unsealed: Vec::new(),
            epochs,
            owes_epochs: false,
            aborted: None,
            producers: LiveProducers::default(),
            damage: Vec::new(),
            checkpoint: Checkpoint::new(Manifest::new(spec.id()), false, file),
        }
    }
}

pub(super) fn segment_dir(spec: &LogSpec, files: &Arc<OpenFiles>, is_read_only: bool) -> Arc<SegmentDir> {
    let (path, partition) = (spec.dir.clone(), spec.partition.clone());
    Arc::new(SegmentDir { files: Arc::clone(files), path, partition, is_read_only })
}

/// Opens the log of an existing partition, whose small files are `loaded`. `salvaged` are the batches that the tail held for it,
/// in any order. Returns a report if there was anything to tell.
fn recover(
    spec: &LogSpec,
    files: &Arc<OpenFiles>,
    conditions: RecoveryConditions,
    loaded: LoadedState,
    salvaged: Vec<Salvaged>,
) -> Result<(Recovered, Option<PartitionRecovery>)> {
    let metadata_rebuilt = check_identity(&**files.disk(), spec, &loaded, conditions.mode)?;
    let mut recovery = Recovery::begin(spec, files, conditions, loaded)?;
    recovery.report.rebuilt.extend(metadata_rebuilt);
    recovery.open_sealed_segments()?;
    recovery.recover_unsealed_segments(&known_batches(&salvaged))?;
    recovery.syncs_first = recovery.must_sync_first(&salvaged);
    recovery.seal_salvaged(salvaged)?;
    recovery.sync()?;
    recovery.finish()
}

/// The first offset of the first segment of a log, whose log files have these base offsets; the log may begin within it.
pub(super) fn first_offset(manifest: &Manifest, bases: &[u64], is_manifest_damaged: bool) -> u64 {
    let first_sealed = manifest.segments.first().map(|segment| segment.sealed.base_offset);
    // Without a manifest the log begins where its first file does.
    let first_found = bases.first().copied().filter(|_| is_manifest_damaged);
    let start = manifest.log_start_offset;
    let holds_start = || bases.iter().rfind(|&&base| base <= start).copied();
    first_sealed.or(first_found).or_else(holds_start).unwrap_or(start)
}

/// Removes files of segments below the first one: those were deleted, or were about to be when the process ended.
fn remove_deleted(disk: &dyn Disk, dir: &Path, names: &[FileName], first_offset: u64) -> Result<()> {
    for name in names.iter().filter(|name| name.stage == Stage::Live && name.base_offset < first_offset) {
        let path = name.path(dir);
        disk.remove_file(&path).map_err(|source| Error::io("remove", &path, source))?;
    }
    Ok(())
}

/// How the manifest was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum FoundManifest {
    Whole,
    /// There never was one.
    None,
    /// Or missing.
    Damaged,
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
    /// Whether what is not proven to be on the medium is synced before it is served.
    syncs_first: bool,
    /// Base offsets of the log files, ascending.
    bases: Vec<u64>,
    /// Offsets of the producer snapshots.
    snapshots: Vec<u64>,
    segments: Vec<Arc<Segment>>,
    /// Segments that the manifest does not have.
    unnoted: Vec<Arc<Segment>>,
    /// Batches of the tail that there was no room to seal, which go on behind the segments.
    unsealed: Vec<Arc<Salvaged>>,
    /// Where the log begins, whether or not that can still be read.
    log_start_offset: u64,
    next_offset: u64,
    found_manifest: FoundManifest,
    /// How many segments the manifest on the disk has.
    noted_segments: usize,
    /// Whether the last bytes of the last segment are damaged.
    ends_in_damage: bool,
    /// Where the log goes on behind offsets that are nowhere, which perhaps only the recovery point says.
    hole_end: Option<u64>,
    report: PartitionRecovery,
}

/// The index files of sealed segments that the manifest speaks of and that are not among `names`, which are in order. They are made
/// anew from the log when somebody looks for something there.
fn missing_indexes(spec: &LogSpec, manifest: &Manifest, names: &[FileName]) -> Vec<PathBuf> {
    let indexes_of = |noted: &ManifestSegment| {
        let base_offset = noted.sealed.base_offset;
        let sums = noted.sealed.index_crcs.map(|crcs| [crcs.offset_index, crcs.time_index]).into_iter().flatten();
        let files = [FileKind::OffsetIndex, FileKind::TimeIndex].into_iter().zip(sums);
        files.filter(|(_, sum)| sum.bytes > 0).map(move |(kind, _)| FileName::live(base_offset, kind))
    };
    let is_there = |name: FileName| names.binary_search(&name).is_ok();
    let segments = manifest.segments.iter();
    let segments = segments.filter(|noted| is_there(FileName::live(noted.sealed.base_offset, FileKind::Log)));
    let missing = segments.flat_map(indexes_of).filter(|name| !is_there(*name));
    missing.map(|name| name.path(&spec.dir)).collect()
}

impl<'s> Recovery<'s> {
    fn begin(
        spec: &'s LogSpec,
        files: &Arc<OpenFiles>,
        conditions: RecoveryConditions,
        loaded: LoadedState,
    ) -> Result<Recovery<'s>> {
        let RecoveryConditions { shutdown, mode } = conditions;
        let disk = Arc::clone(files.disk());
        let mut report = PartitionRecovery::new(spec.partition.clone());
        let (mut manifest, found_manifest, names) = match loaded.manifest {
            // Without a manifest no segment was ever sealed and noted, nor any removed: the log begins at offset 0.
            Ok(loaded) => {
                let names = settle(&*disk, &spec.dir, loaded.as_ref())?;
                let found = if loaded.is_some() { FoundManifest::Whole } else { FoundManifest::None };
                (loaded.map_or_else(|| Manifest::new(spec.id()), |loaded| loaded.manifest), found, names)
            }
            Err(Error::Corrupt(corruption)) => {
                let damage = Corruption { partition: Some(spec.partition.clone()), ..*corruption };
                refuse_if_strict(mode, &damage)?;
                report.damage.push(damage);
                (Manifest::new(spec.id()), FoundManifest::Damaged, file_name::list(&*disk, &spec.dir)?)
            }
            Err(error) => return Err(error),
        };
        let is_live_log = |name: &&FileName| name.kind == FileKind::Log && name.stage == Stage::Live;
        let mut bases: Vec<u64> = names.iter().filter(is_live_log).map(|name| name.base_offset).collect();
        let is_snapshot = |name: &&FileName| name.kind == FileKind::ProducerSnapshot && name.stage == Stage::Live;
        let snapshots = names.iter().filter(is_snapshot).map(|name| name.base_offset).collect();
        let next_offset = first_offset(&manifest, &bases, found_manifest == FoundManifest::Damaged);
        if found_manifest == FoundManifest::Whole {
            remove_deleted(&*disk, &spec.dir, &names, next_offset)?;
            bases.retain(|&base| next_offset <= base);
        }
        report.rebuilt = missing_indexes(spec, &manifest, &names);
        let log_start_offset = next_offset.max(manifest.log_start_offset);
        if found_manifest == FoundManifest::Damaged {
            manifest.log_start_offset = log_start_offset;
        }
        Ok(Recovery {
            spec,
            dir: segment_dir(spec, files, false),
            config: spec.segment_config(),
            shutdown,
            mode,
            point: loaded.point?,
            noted_segments: manifest.segments.len(),
            syncs_first: true,
            disk,
            manifest,
            bases,
            snapshots,
            segments: Vec::new(),
            unnoted: Vec::new(),
            unsealed: Vec::new(),
            log_start_offset,
            next_offset,
            found_manifest,
            ends_in_damage: false,
            hole_end: None,
            report,
        })
    }

    fn add_unnoted(&mut self, segment: Arc<Segment>) {
        self.unnoted.push(Arc::clone(&segment));
        self.segments.push(segment);
    }

    /// Whether what is only known to be written has to be on the medium before it is served.
    ///
    /// After a kill, with [`Durability::Os`], it has not: nobody was promised that but by a flush, and what a flush did not sync
    /// in the segments it left in a slot with a commit entry, which is still there. All else is as un-synced as the process
    /// had left it, and the maintenance or the next flush syncs it; until then the durable offset says so. Syncing 20 MB first
    /// took 20 ms. What was cut is cut durably, or it might come back. Where a group stands is little, and always synced.
    fn must_sync_first(&self, salvaged: &[Salvaged]) -> bool {
        let synced = self.synced_offset();
        let is_committed = |batch: &Salvaged| batch.durable_bytes > 0 && !is_below(batch, synced);
        self.shutdown != Shutdown::Killed
            || self.spec.durability() != Durability::Os
            || self.spec.is_internal
            || self.found_manifest == FoundManifest::Damaged
            || self.report.cut_bytes > 0
            || !self.report.quarantined.is_empty()
            || !self.report.damage.is_empty()
            || salvaged.iter().any(is_committed)
    }

    /// What is below was synced, as manifest and recovery point say.
    fn synced_offset(&self) -> u64 {
        let sealed = self.manifest.segments.last().map_or(0, |segment| segment.sealed.next_offset);
        let point = self.point.point.as_ref().map_or(0, |point| point.synced.next_offset);
        sealed.max(point).max(self.log_start_offset).min(self.next_offset)
    }

    /// Makes sure that what is served from here on is on the medium, if it was said to be.
    fn sync(&mut self) -> Result<()> {
        if self.shutdown != Shutdown::Clean && self.syncs_first {
            self.unnoted.iter().try_for_each(|segment| segment.sync()).map_err(SyncError::into_inner)?;
        }
        if self.found_manifest == FoundManifest::Damaged {
            // Out of the way of the next one, which is stored only over one that makes sense.
            self.report.quarantined.extend(Manifest::set_aside(&*self.disk, &self.spec.dir)?);
        }
        if self.noted_segments < self.manifest.segments.len() {
            self.manifest.store(&*self.disk, &self.spec.dir)?;
            self.found_manifest = FoundManifest::Whole;
        }
        if !self.report.quarantined.is_empty() {
            quarantine::trim(&*self.disk, &self.spec.dir)?;
            let dir = &self.spec.dir;
            self.disk.sync_dir(dir).map_err(|e| Error::io("sync", dir, e))?;
        }
        Ok(())
    }

    fn finish(mut self) -> Result<(Recovered, Option<PartitionRecovery>)> {
        let SettledEpochs { epochs, file, owes_epochs } = self.settle_epochs()?;
        let mut found = self.gather_producers()?;
        let aborted = AbortedTransactions::new(std::mem::take(&mut found.aborted));
        let are_producers = !found.in_segments.is_empty();
        let producers = LiveProducers::new(found, self.segments.last().map(|active| active.base_offset()));
        let is_synced = self.shutdown == Shutdown::Clean || self.syncs_first;
        let synced_offset = if is_synced { self.next_offset } else { self.synced_offset() };
        if self.shutdown != Shutdown::Clean && (self.point.point.is_some() || self.point.is_damaged) {
            self.point.file.distrust_name();
        }
        let has_manifest = self.found_manifest == FoundManifest::Whole;
        let mut checkpoint = Checkpoint::new(self.manifest, has_manifest, self.point.file);
        checkpoint.begin_from(self.point.point, file, self.shutdown == Shutdown::Clean);
        checkpoint.producers.update(are_producers, Vec::new());
        if self.shutdown != Shutdown::Clean && self.syncs_first {
            let active = self.segments.last();
            let leader_epoch = epochs.least_from(active.map_or(0, |active| active.next_offset()));
            let stored = active.map_or(Ok(()), |active| {
                let of_active = producers.active(active.base_offset());
                checkpoint.store_synced(&self.dir, active, SyncedTo::of(active), leader_epoch, Some(&of_active))
            });
            match stored {
                // Without it the next recovery reads more, and comes to the same.
                Err(Error::DiskFull { .. }) if self.hole_end.is_none() => {}
                stored => stored?,
            }
        }
        if self.shutdown != Shutdown::Clean && self.hole_end.is_some() {
            checkpoint.sync_point(&self.dir)?;
        }
        let recovered = Recovered {
            dir: self.dir,
            segments: self.segments,
            log_start_offset: self.log_start_offset,
            synced_offset,
            next_offset: self.next_offset,
            unsealed: self.unsealed,
            epochs,
            owes_epochs,
            aborted,
            producers,
            damage: self.report.damage.iter().filter(|damage| damage.offsets.is_some()).cloned().collect(),
            checkpoint,
        };
        Ok((recovered, Some(self.report).filter(PartitionRecovery::is_worth_telling)))
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

/// Whether all offsets of a batch are below `offset`.
fn is_below(batch: &Salvaged, offset: u64) -> bool {
    Contents::of(batch).is_some_and(|contents| batch.identity.base_offset() + contents.record_count <= offset)
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
