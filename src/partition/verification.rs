//! Reading everything that a partition has on the disk, to prove it intact: segments against the manifest, batches and records
//! against their checksums, index entries against the log, and the small files beside them.
//!
//! Appends and reads go on meanwhile. What is found while segments are sealed or swapped may be of a moment in between, so a
//! finding counts only if it is found again while nobody does that: for as long as it takes to read that one segment.

use std::io::ErrorKind;
use std::path::PathBuf;
use std::sync::Arc;

use super::broken::{Broken, Refusal};
use super::follower::Follower;
use super::leader_epoch::{self, LeaderEpochs};
use super::log::Log;
use super::log_spec::LogSpec;
use super::manifest::{self, Manifest, ManifestSegment};
use super::partition_metadata;
use super::producer_state::verifying::{StaleFile, stale_files};
use super::recovery::lost_manifest;
use super::recovery_point::{self, LoadedPoint, RecoveryPointFile};
use crate::disk::Disk;
use crate::error::{Corruption, Error, Result};
use crate::parallel;
use crate::segment::file_name::{self, FileKind, FileName, Stage};
use crate::segment::{Reading, Segment, SegmentVerification};
use crate::topic_partition::TopicPartition;

/// What [`Admin::verify`](crate::Admin::verify) found in one partition.
///
/// # Examples
/// ```
/// # let broker = ottla::Broker::temporary()?;
/// broker.topic("orders")?.produce("customer-1", "2 coffees")?;
/// for partition in broker.admin().verify()?.partitions() {
///     println!("{}: {} records in segments", partition.topic_partition(), partition.record_count());
///     assert!(partition.is_clean());
/// }
/// # Ok::<_, ottla::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct PartitionVerification {
    partition: TopicPartition,
    segment_count: usize,
    batch_count: u64,
    record_count: u64,
    log_bytes: u64,
    index_entry_count: u64,
    damage: Vec<Corruption>,
    repairable: Vec<Corruption>,
    refused: Option<Refusal>,
}

impl PartitionVerification {
    /// Which partition.
    #[must_use]
    pub fn topic_partition(&self) -> &TopicPartition {
        &self.partition
    }

    /// How many segments were read.
    #[must_use]
    pub fn segment_count(&self) -> usize {
        self.segment_count
    }

    /// How many batches are intact. What is in the tail is not counted.
    #[must_use]
    pub fn batch_count(&self) -> u64 {
        self.batch_count
    }

    /// How many records are in them.
    #[must_use]
    pub fn record_count(&self) -> u64 {
        self.record_count
    }

    /// How many bytes the log files have that were looked at.
    #[must_use]
    pub fn log_bytes(&self) -> u64 {
        self.log_bytes
    }

    /// How many index entries were compared with the log. Where no index files were written yet there are none.
    #[must_use]
    pub fn index_entry_count(&self) -> u64 {
        self.index_entry_count
    }

    /// What is lost: it was written once and is not there any more.
    #[must_use]
    pub fn damage(&self) -> &[Corruption] {
        &self.damage
    }

    /// What is damaged and can be made anew without a loss: caches, and second copies. The next opening, or the next time they
    /// are written, does that.
    #[must_use]
    pub fn repairable(&self) -> &[Corruption] {
        &self.repairable
    }

    /// Why the partition could not be verified, if the operating system refused its directory or one of its files: an
    /// [`Error::Io`].
    #[must_use]
    pub fn failure(&self) -> Option<Error> {
        self.refused.as_ref().map(Refusal::error)
    }

    /// Whether nothing was found.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.damage.is_empty() && self.repairable.is_empty() && self.refused.is_none()
    }

    /// What there is to tell of a partition of which nothing can be known.
    pub(crate) fn of_broken(partition: TopicPartition, broken: Broken) -> PartitionVerification {
        let nothing = PartitionVerification {
            partition,
            segment_count: 0,
            batch_count: 0,
            record_count: 0,
            log_bytes: 0,
            index_entry_count: 0,
            damage: Vec::new(),
            repairable: Vec::new(),
            refused: None,
        };
        match broken {
            Broken::Damaged(damage) => PartitionVerification { damage: vec![damage], ..nothing },
            Broken::Refused(refusal) => PartitionVerification { refused: Some(refusal), ..nothing },
        }
    }

    /// Nothing was looked at yet but which segments there are.
    fn begin(spec: &LogSpec, segments: &[Arc<Segment>], manifest: &Manifest) -> PartitionVerification {
        let is_missing =
            |noted: &&ManifestSegment| !segments.iter().any(|found| found.base_offset() == noted.sealed.base_offset);
        let missing = manifest.segments.iter().filter(is_missing).map(|noted| Corruption {
            partition: Some(spec.partition.clone()),
            path: FileName::live(noted.sealed.base_offset, FileKind::Log).path(&spec.dir),
            file_position: 0,
            offsets: Some(noted.sealed.base_offset..noted.sealed.next_offset),
            reason: "a sealed segment is missing",
        });
        PartitionVerification {
            partition: spec.partition.clone(),
            segment_count: 0,
            batch_count: 0,
            record_count: 0,
            log_bytes: 0,
            index_entry_count: 0,
            damage: missing.collect(),
            repairable: Vec::new(),
            refused: None,
        }
    }

    /// Adds what was found in one segment.
    fn add_segment(&mut self, found: SegmentVerification) {
        self.segment_count += 1;
        self.batch_count += found.batches;
        self.record_count += found.records;
        self.log_bytes += found.log_bytes;
        self.index_entry_count += found.index_entries;
        self.damage.extend(found.damage);
        self.repairable.extend(found.stale);
    }

    /// Adds what opening found, as far as it was not found again.
    fn add_known(&mut self, known: &[Corruption]) {
        let is_found = |known: &Corruption, found: &[Corruption]| {
            let Some(lost) = &known.offsets else { return true };
            found.iter().filter_map(|found| found.offsets.as_ref()).any(|found| found.contains(&lost.start))
        };
        for damage in known {
            if !is_found(damage, &self.damage) {
                self.damage.push(damage.clone());
            }
        }
    }

    /// Reads the small files beside the segments. Each of them is a cache, or has its content twice.
    fn add_small_files(&mut self, disk: &dyn Disk, spec: &LogSpec) -> Result<()> {
        let dir = &spec.dir;
        // Before the manifest, which is there before the point that shows that it has to be.
        let loaded_point = RecoveryPointFile::load(disk, dir, spec.id())?;
        match Manifest::load(disk, dir, spec.id()) {
            Ok(_) if !Manifest::is_whole(disk, dir)? => {
                self.add_repairable(manifest::path(dir), "a generation of the manifest is damaged or missing");
            }
            Err(Error::Corrupt(damage)) => {
                self.damage.push(Corruption { partition: Some(spec.partition.clone()), ..*damage });
            }
            Ok(None) => {
                let lost = lost_manifest(dir, loaded_point.point.as_ref());
                self.damage.extend(lost.map(|lost| Corruption { partition: Some(spec.partition.clone()), ..lost }));
            }
            loaded => drop(loaded?),
        }
        // Twice, since a record that is just being overwritten looks like that.
        let is_still_damaged = |again: LoadedPoint| again.is_damaged && again.point == loaded_point.point;
        if loaded_point.is_damaged && is_still_damaged(RecoveryPointFile::load(disk, dir, spec.id())?) {
            self.add_repairable(recovery_point::path(dir), "a record of the recovery point is damaged");
        }
        if LeaderEpochs::are_damaged(disk, dir)? {
            self.add_repairable(leader_epoch::path(dir), "not the text that lists leader epochs, or it cannot be read");
        }
        match partition_metadata::load(disk, dir) {
            Ok(Some(id)) if id == spec.topic_id => {}
            Ok(Some(_)) => self.damage.push(Corruption {
                partition: Some(spec.partition.clone()),
                path: partition_metadata::path(dir),
                file_position: 0,
                offsets: None,
                reason: "the directory belongs to another topic",
            }),
            Ok(None) => self.add_repairable(partition_metadata::path(dir), "the file is missing"),
            Err(Error::Corrupt(damage)) => self.add_repairable(damage.path, damage.reason),
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// Adds files that can be made anew.
    fn add_stale(&mut self, stale: Vec<StaleFile>) {
        for (path, reason) in stale {
            self.add_repairable(path, reason);
        }
    }

    fn add_repairable(&mut self, path: PathBuf, reason: &'static str) {
        let partition = Some(self.partition.clone());
        self.repairable.push(Corruption { partition, path, file_position: 0, offsets: None, reason });
    }
}

impl Log {
    /// Reads everything that is on the disk again. Appends and reads go on.
    ///
    /// # Errors
    /// [`Error::Closed`]; a lack of handles or memory. What is wrong with the files is no error.
    pub(crate) fn verify(&self, reading: Reading<'_>) -> Result<PartitionVerification> {
        if let Some(broken) = self.broken() {
            return Ok(PartitionVerification::of_broken(self.spec.partition.clone(), broken.clone()));
        }
        let found = self.verify_segments(reading);
        // Then what became of the files says nothing.
        self.check_open()?;
        found
    }

    fn verify_segments(&self, reading: Reading<'_>) -> Result<PartitionVerification> {
        let (manifest, segments) = {
            let checkpoint = self.checkpoint.lock();
            (checkpoint.manifest.clone(), self.segments())
        };
        let mut found = PartitionVerification::begin(&self.spec, &segments, &manifest);
        let mut were_swapped = false;
        let verified = verify_segments(&segments, &manifest, reading);
        for (segment, in_segment) in segments.iter().zip(verified) {
            match in_segment {
                Ok(in_segment) if in_segment.is_clean() => found.add_segment(in_segment),
                _ => match self.verify_undisturbed(segment, reading)? {
                    Some(in_segment) => found.add_segment(in_segment),
                    None => were_swapped = true,
                },
            }
        }
        if were_swapped {
            let checkpoint = self.checkpoint.lock();
            let last = segments.last().map_or(0, |segment| segment.base_offset());
            let is_new = |new: &&Arc<Segment>| {
                new.base_offset() <= last && !segments.iter().any(|segment| Arc::ptr_eq(segment, new))
            };
            for new in self.segments().iter().filter(is_new) {
                found.add_segment(verify_segment(new, &checkpoint.manifest, reading)?);
            }
        }
        found.add_known(&self.damage());
        let reads_log = !reading.is_of_headers;
        if found.damage.is_empty() && !stale_files(&self.dir, &manifest.segments, &segments, reads_log)?.is_empty() {
            // Once more while nobody seals or swaps any.
            let checkpoint = self.checkpoint.lock();
            let segments = self.segments();
            found.add_stale(stale_files(&self.dir, &checkpoint.manifest.segments, &segments, reads_log)?);
        }
        let _nobody_stores_them_now = self.checkpoint.lock();
        found.add_small_files(&*self.environment.disk, &self.spec)?;
        Ok(found)
    }

    /// Reads a segment while nobody seals or swaps any; `None` if others have taken its place.
    fn verify_undisturbed(&self, segment: &Arc<Segment>, reading: Reading<'_>) -> Result<Option<SegmentVerification>> {
        let checkpoint = self.checkpoint.lock();
        if !self.segments().iter().any(|other| Arc::ptr_eq(other, segment)) {
            return Ok(None);
        }
        verify_segment(segment, &checkpoint.manifest, reading).map(Some)
    }
}

/// Reads segments, several at a time.
fn verify_segments(
    segments: &[Arc<Segment>],
    manifest: &Manifest,
    reading: Reading<'_>,
) -> Vec<Result<SegmentVerification>> {
    let threads = reading.threads.min(segments.len()).max(1);
    parallel::for_all_by(threads, segments.iter().collect(), |segment| verify_segment(segment, manifest, reading))
}

/// Reads a segment, against the manifest if that knows it.
fn verify_segment(segment: &Segment, manifest: &Manifest, reading: Reading<'_>) -> Result<SegmentVerification> {
    let noted = manifest.segments.iter().find(|noted| noted.sealed.base_offset == segment.base_offset());
    segment.verify(noted.is_some(), noted.and_then(|noted| noted.log_crc32), reading)
}

impl Follower {
    /// Whether the index files of a segment that was not sealed may be others by now than those whose checksums were read: who
    /// extends them says so first, and who seals it has begun another segment before.
    fn indexes_were_written(&self, segment: &Segment) -> Result<bool> {
        let disk = &**self.dir.files.disk();
        let point = RecoveryPointFile::load(disk, &self.spec.dir, self.spec.id())?.point;
        let is_later = |name: &FileName| {
            name.kind == FileKind::Log && name.stage == Stage::Live && segment.base_offset() < name.base_offset
        };
        Ok(point.and_then(|point| point.synced.index_crcs) != segment.describe().index_crcs
            || file_name::list(disk, &self.spec.dir)?.iter().any(is_later))
    }

    /// Reads everything that is on the disk, as far as another process does not swap it meanwhile.
    ///
    /// # Errors
    /// As [`Log::verify`].
    pub(crate) fn verify(&self, reading: Reading<'_>) -> Result<PartitionVerification> {
        let looked = self.look_and(|seen| {
            let mut found = PartitionVerification::begin(&self.spec, &seen.files.segments, &seen.files.layout.manifest);
            let verified = verify_segments(&seen.files.segments, &seen.files.layout.manifest, reading);
            for (segment, in_segment) in seen.files.segments.iter().zip(verified) {
                let mut in_segment = in_segment?;
                if !in_segment.stale.is_empty() && !segment.is_sealed() && self.indexes_were_written(segment)? {
                    in_segment.stale.clear();
                }
                found.add_segment(in_segment);
            }
            found.add_known(&seen.files.damage);
            if found.damage.is_empty() {
                let (noted, segments) = (&seen.files.layout.manifest.segments, &seen.files.segments);
                found.add_stale(stale_files(&self.dir, noted, segments, !reading.is_of_headers)?);
            }
            found.add_small_files(&**self.dir.files.disk(), &self.spec)?;
            // Whoever opens the log for writing next puts the other file there.
            let is_replaced = |stale: &Corruption| seen.files.layout.is_replaced(&self.spec.dir, &stale.path);
            found.repairable.retain(|stale| !is_replaced(stale));
            Ok(found)
        });
        // Without these there is no telling what else there should be.
        let damage = match looked {
            Err(Error::Corrupt(damage)) => *damage,
            Err(Error::Io { source, path, .. }) if source.kind() == ErrorKind::NotFound => {
                let reason = "the partition's directory is missing";
                Corruption { partition: None, path, file_position: 0, offsets: None, reason }
            }
            looked => return looked,
        };
        let mut found = PartitionVerification::begin(&self.spec, &[], &Manifest::default());
        found.damage.push(Corruption { partition: Some(self.spec.partition.clone()), ..damage });
        Ok(found)
    }
}
