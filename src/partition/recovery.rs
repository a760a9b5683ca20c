//! Opening a log: from what the files say to a state that can be trusted.
//!
//! After a clean shutdown everything is where the manifest and the recovery point say. Otherwise: below the recovery point
//! everything was synced, so a bad batch there is damage, and is reported and left alone. Above it the log ends before the
//! first bad batch, and what is cut is kept in quarantine. Then come the open batches of the tail that continue the log
//! exactly. What was not proven to be on the medium is written once more and synced before anything is served; only then may
//! the caller clear the tail. A crash at any point leaves files from which the same is done again.

use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use super::checkpoint::Checkpoint;
use super::durability::Durability;
use super::leader_epoch::LeaderEpochs;
use super::log::LogSpec;
use super::manifest::{Manifest, ManifestSegment};
use super::recovery_point::{LoadedPoint, RecoveryPointFile};
use super::{partition_metadata, quarantine};
use crate::disk::open_files::OpenFiles;
use crate::disk::{Disk, Open};
use crate::error::{Corruption, Error, Result};
use crate::format::{Attributes, BatchHeader, Codec, HEADER_BYTES, Record, SealFields, compress, crc32c, seal_header};
use crate::segment::file_name::{self, FileKind, FileName, Stage};
use crate::segment::{Scan, ScanStart, Segment, SegmentConfig, SegmentDir};
use crate::tail::Salvaged;
use crate::topic_partition::TopicPartition;

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

/// What opening one partition found and did. Partitions that were as expected have none.
///
/// # Examples
/// ```
/// let broker = ottla::Broker::temporary()?;
/// assert!(broker.recovery_report().partitions().is_empty());
/// # Ok::<_, ottla::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct PartitionRecovery {
    partition: TopicPartition,
    scanned_batches: u64,
    salvaged_records: u64,
    dropped_batches: u64,
    cut_bytes: u64,
    leader_epoch_raised: bool,
    quarantined: Vec<PathBuf>,
    damage: Vec<Corruption>,
}

impl PartitionRecovery {
    fn new(partition: TopicPartition) -> PartitionRecovery {
        PartitionRecovery {
            partition,
            scanned_batches: 0,
            salvaged_records: 0,
            dropped_batches: 0,
            cut_bytes: 0,
            leader_epoch_raised: false,
            quarantined: Vec::new(),
            damage: Vec::new(),
        }
    }

    /// Which partition.
    #[must_use]
    pub fn topic_partition(&self) -> &TopicPartition {
        &self.partition
    }

    /// Batches above the recovery point that were read and found good.
    #[must_use]
    pub fn scanned_batches(&self) -> u64 {
        self.scanned_batches
    }

    /// Records that were taken from the tail into a segment.
    #[must_use]
    pub fn salvaged_records(&self) -> u64 {
        self.salvaged_records
    }

    /// Open batches of the tail that did not continue the log, because what came before them was never synced.
    #[must_use]
    pub fn dropped_batches(&self) -> u64 {
        self.dropped_batches
    }

    /// Bytes behind the end of the log that were cut off: a torn batch, or zeros.
    #[must_use]
    pub fn cut_bytes(&self) -> u64 {
        self.cut_bytes
    }

    /// Whether un-synced records may have been lost, so that positions behind the log's end now mean other records.
    #[must_use]
    pub fn leader_epoch_raised(&self) -> bool {
        self.leader_epoch_raised
    }

    /// Files with what was taken out of the log.
    #[must_use]
    pub fn quarantined(&self) -> &[PathBuf] {
        &self.quarantined
    }

    /// What was synced once and cannot be read any more.
    pub fn damage(&self) -> impl Iterator<Item = &Corruption> {
        self.damage.iter()
    }

    /// Whether nothing was lost or taken out. Records of the tail that were sealed late are no loss.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.cut_bytes == 0
            && self.dropped_batches == 0
            && !self.leader_epoch_raised
            && self.quarantined.is_empty()
            && self.damage.is_empty()
    }

    fn is_worth_telling(&self) -> bool {
        !self.is_clean() || self.salvaged_records > 0 || self.scanned_batches > 0
    }
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
    shutdown: Shutdown,
    salvaged: Vec<Salvaged>,
) -> Result<(Recovered, Option<PartitionRecovery>)> {
    let mut recovery = Recovery::begin(spec, files, shutdown)?;
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
    manifest: Manifest,
    point: LoadedPoint,
    /// Base offsets of the log files, ascending.
    bases: Vec<u64>,
    segments: Vec<Arc<Segment>>,
    /// Segments that the manifest does not have.
    unsealed: Vec<Arc<Segment>>,
    next_offset: u64,
    report: PartitionRecovery,
}

impl<'s> Recovery<'s> {
    fn begin(spec: &'s LogSpec, files: &Arc<OpenFiles>, shutdown: Shutdown) -> Result<Recovery<'s>> {
        let disk = Arc::clone(files.disk());
        let mut report = PartitionRecovery::new(spec.partition.clone());
        let (manifest, is_start_known) = match Manifest::load(&*disk, &spec.dir) {
            // Without a manifest no segment was ever sealed and noted, nor any removed: the log begins at offset 0.
            Ok(loaded) => (loaded.map(|loaded| loaded.manifest).unwrap_or_default(), true),
            Err(Error::Corrupt(corruption)) => {
                report.damage.push(Corruption { partition: Some(spec.partition.clone()), ..*corruption });
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
        Ok(Recovery {
            spec,
            dir: segment_dir(spec, files, false),
            config: SegmentConfig::from(&spec.config),
            shutdown,
            point: RecoveryPointFile::load(&*disk, &spec.dir)?,
            disk,
            manifest,
            bases,
            segments: Vec::new(),
            unsealed: Vec::new(),
            next_offset,
            report,
        })
    }

    /// Takes the sealed segments for what the manifest says they are, once they are there and have their size.
    fn open_sealed_segments(&mut self) -> Result<()> {
        for ManifestSegment { sealed, .. } in &self.manifest.segments {
            let path = FileName::live(sealed.base_offset, FileKind::Log).path(&self.spec.dir);
            let offsets = sealed.base_offset..sealed.next_offset;
            match self.disk.open(&path, Open::Read).and_then(|file| file.size()) {
                Ok(size) if size == sealed.log_bytes => {}
                Ok(size) => {
                    let damage = self.damage(path, size.min(sealed.log_bytes), None, "not the size it had when sealed");
                    self.report.damage.push(damage);
                }
                Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
                    let damage = self.damage(path, 0, Some(offsets), "a sealed segment is missing");
                    self.report.damage.push(damage);
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

    /// Scans what was not yet sealed and noted, and ends the log before the first batch that is bad and not proven.
    fn recover_unsealed_segments(&mut self) -> Result<()> {
        let proven = self.point.point.map_or(0, |point| point.synced.next_offset);
        let bases = std::mem::take(&mut self.bases);
        for (base_offset, next_base) in bases.iter().zip(bases.iter().skip(1).map(Some).chain([None])) {
            let base_offset = *base_offset;
            let continues = base_offset == self.next_offset;
            let is_behind_hole = base_offset > self.next_offset;
            if is_behind_hole && base_offset < proven {
                let path = FileName::live(self.next_offset, FileKind::Log).path(&self.spec.dir);
                let hole = self.next_offset..base_offset;
                self.report.damage.push(self.damage(path, 0, Some(hole), "a segment is missing"));
            } else if !continues {
                // Of an un-synced end, or not of this log at all.
                let path = quarantine::set_aside(&*self.disk, &self.spec.dir, base_offset)?;
                self.report.quarantined.push(path);
                continue;
            }
            // What a later segment proves says nothing of this one's end.
            self.recover_segment(base_offset, next_base.map_or(proven, |next| proven.min(*next)))?;
        }
        Ok(())
    }

    fn recover_segment(&mut self, base_offset: u64, proven: u64) -> Result<()> {
        let start = match self.point.point {
            Some(point) if point.base_offset == base_offset => point.synced,
            _ => ScanStart::nothing(base_offset),
        };
        let (segment, scan) = Segment::recover(&self.dir, base_offset, self.config, start, proven)?;
        for damage in &scan.damaged {
            let offsets = Some(damage.offsets.clone());
            let damage = self.damage(segment.path(), damage.file_position, offsets, damage.reason);
            self.report.damage.push(damage);
        }
        self.cut(&segment, &scan)?;
        if self.shutdown != Shutdown::Clean {
            self.report.scanned_batches += scan.batches;
            // After a failed sync the page cache may show what the medium lacks, and believe it clean.
            segment.rewrite_from(start.file_position)?;
        }
        self.next_offset = scan.next_offset;
        self.add_unsealed(Arc::new(segment));
        Ok(())
    }

    /// Sets aside and cuts what lies behind the end of the log.
    fn cut(&mut self, segment: &Segment, scan: &Scan) -> Result<()> {
        if scan.valid_bytes >= scan.file_bytes {
            return Ok(());
        }
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
            let Some(contents) = Contents::of(&batch) else {
                self.report.dropped_batches += u64::from(batch.torn);
                continue;
            };
            if batch.identity.base_offset + contents.record_count > self.next_offset {
                if batch.identity.base_offset == self.next_offset {
                    self.seal_one(&batch, &contents)?;
                } else {
                    self.report.dropped_batches += 1;
                }
            }
        }
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
        let log_start_offset = checkpoint.log_start_offset().max(self.segments.first().map_or(0, |s| s.base_offset()));
        if self.shutdown != Shutdown::Clean {
            checkpoint.store_point(&self.dir, self.segments.last(), epochs.latest())?;
        }
        let recovered = Recovered {
            dir: self.dir,
            segments: self.segments,
            log_start_offset,
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
        let mut epochs = loaded.map_or_else(|| epochs_of(&self.segments), Ok)?;
        let was_visible = self.spec.durability != Durability::Always;
        if self.shutdown == Shutdown::PowerCut && (was_visible || self.report.cut_bytes > 0) {
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

/// What a salvaged batch holds, found by walking it.
struct Contents {
    record_count: u64,
    max_timestamp: i64,
}

impl Contents {
    /// `None` if the bytes are not whole records in order, which a good checksum makes all but impossible.
    fn of(batch: &Salvaged) -> Option<Contents> {
        let mut contents = Contents { record_count: 0, max_timestamp: i64::MIN };
        let mut rest = batch.records.as_slice();
        while !rest.is_empty() {
            let (record, bytes) = Record::decode(rest).ok()?;
            if u64::try_from(record.offset_delta).ok()? != contents.record_count {
                return None;
            }
            let timestamp = batch.identity.base_timestamp.checked_add(record.timestamp_delta)?;
            contents.max_timestamp = contents.max_timestamp.max(timestamp);
            contents.record_count += 1;
            rest = rest.get(bytes..)?;
        }
        (contents.record_count > 0).then_some(contents)
    }
}

/// The record batch that sealing the open batch would have made.
fn seal(batch: &Salvaged, contents: &Contents, codec: Codec) -> Vec<u8> {
    let identity = &batch.identity;
    // At most a mebibyte of records was salvaged.
    let record_count = i32::try_from(contents.record_count).unwrap_or(i32::MAX);
    let attributes = Attributes::from_bits(identity.attributes).unwrap_or_default();
    let fields = |codec| SealFields {
        base_offset: identity.base_offset,
        leader_epoch: identity.leader_epoch,
        attributes: attributes.with_codec(codec),
        last_offset_delta: record_count - 1,
        base_timestamp: identity.base_timestamp,
        max_timestamp: contents.max_timestamp,
        producer_id: identity.producer_id,
        producer_epoch: identity.producer_epoch,
        base_sequence: identity.base_sequence,
        record_count,
    };
    let mut compressed = Vec::new();
    let (codec, records) = match compress(codec, &batch.records, &mut compressed) {
        Ok(()) if codec != Codec::None => (codec, &compressed),
        // A build without the topic's codec keeps the records all the same.
        _ => (Codec::None, &batch.records),
    };
    let mut bytes = Vec::with_capacity(HEADER_BYTES + records.len());
    bytes.extend_from_slice(&seal_header(&fields(codec), records.len(), crc32c(records)));
    bytes.extend_from_slice(records);
    bytes
}

/// Checks that the directory of a partition is there, and is of this topic and not one of the same name.
///
/// # Errors
/// [`Error::Corrupt`] if not.
pub(crate) fn check_identity(disk: &dyn Disk, spec: &LogSpec) -> Result<()> {
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
        Ok(Some(id)) if id == spec.topic_id => Ok(()),
        Ok(Some(_)) => corrupt("the partition's directory belongs to another topic; restore its own from a backup"),
        // The file is there for Kafka; without it the directory is taken for what its name says.
        Ok(None) | Err(Error::Corrupt(_)) => partition_metadata::store(disk, dir, spec.topic_id),
        Err(error) => Err(error),
    }
}
