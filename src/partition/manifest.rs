//! What sealed segments there must be: what Kafka lacks, so that a missing, shortened or swapped segment is noticed.
//!
//! ```text
//! byte  size  field                 payload of the file's generations (disk/generations.rs), big-endian
//!    0    16  topic_id              whose log it is
//!   16     4  partition
//!   20     8  log_start_offset      the truth about it
//!   28     8  clean_offset          what ends at or below it was compacted, and may have gaps; 0 where nothing was
//!   36     -  files                 of the log, as in segment/derived_files.rs
//!    -     4  segment_count
//!    -     -  segments, ascending   byte  size  field of one segment
//!                                      0     8  base_offset
//!                                      8     8  next_offset           above base_offset
//!                                     16     8  log_bytes             size of the log file
//!                                     24     8  max_timestamp         −1 for none
//!                                     32     8  created_ms            by the wall clock, −1 where it is not known
//!                                     40     8  rolled_ms             the same
//!                                     48     8  last_position         where the last batch begins
//!                                     56     4  log_crc32             of the whole log file
//!                                     60     4  first_header_crc32    of the header of the first batch
//!                                     64     4  last_header_crc32     of the header of the last batch
//!                                     68     4  flags                 1: may have gaps though it ends above the clean offset,
//!                                                                     2: has header checksums, 4: has log_crc32,
//!                                                                     8: has delete_horizon
//!                                     72     8  delete_horizon        only with flag 8: from when on a tombstone in it may go
//!                                      -     -  files                 as in segment/derived_files.rs
//! ```
//! Files of kinds that are not known here are kept when a manifest is written again; a flag that is not known makes it one of a
//! newer version. A crash leaves the old manifest or the new one. So what was cleaned is said in one piece with the segments that
//! it was cleaned into. Where the manifest was lost nothing is known to be clean, and any segment may have gaps all the same.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::log_id::LogId;
use crate::disk::Disk;
use crate::disk::generations::{self, Kind};
use crate::error::{Error, Result};
use crate::format::{Invalid, Reader};
use crate::segment::derived_files;
use crate::segment::file_name::{FileKind, FileName};
use crate::segment::{DerivedFile, FileSum, HeaderSums, IndexCrcs, ProducerFiles, SealedSegment, SegmentFiles};

pub(crate) const KIND: Kind = Kind { magic: *b"OTTLAMAN", oldest: 2, version: 2 };
const FILE_NAME: &str = "manifest";
const DAMAGED_NAME: &str = "manifest.damaged";

/// Why the manifest of another log is not taken.
pub(super) const OF_ANOTHER_LOG: &str = "the manifest is that of another log";
/// Why a log without a manifest is not whole, if its recovery point is in a segment that is not its first one.
pub(super) const MISSING: &str = "the manifest is missing";

const HAS_GAPS: u32 = 1;
const HAS_HEADERS: u32 = 1 << 1;
const HAS_LOG_CRC: u32 = 1 << 2;
const HAS_HORIZON: u32 = 1 << 3;

/// The sealed segments of one log.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Manifest {
    /// Whose log it is.
    pub(crate) log: LogId,
    /// The first offset that may be read. It may lie within a segment, and what ends below it is to be removed.
    pub(crate) log_start_offset: u64,
    /// What ends at or below this offset was compacted: of each of its keys, what was there when that was done.
    pub(super) clean_offset: u64,
    /// The segments, ascending.
    pub(crate) segments: Vec<ManifestSegment>,
    /// Files that are made from the log as a whole.
    files: Vec<DerivedFile>,
}

/// A sealed segment, with what proves it intact.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ManifestSegment {
    /// What it is.
    pub(crate) sealed: SealedSegment,
    /// CRC-32 of the whole log file; none where that was not there any more when the segment was noted.
    pub(crate) log_crc32: Option<u32>,
    /// From when on a tombstone in it may go, by the wall clock in ms: the first such moment that compaction has left in it.
    pub(crate) delete_horizon: Option<i64>,
    /// The files that tell of producers: of the transactions that were aborted in it, and of all producers at its end.
    pub(super) producers: ProducerFiles,
    /// Files that are made from it, of kinds that are not known here.
    other_files: Vec<DerivedFile>,
}

impl ManifestSegment {
    /// A segment that is noted for the first time.
    pub(crate) fn new(sealed: SealedSegment, log_crc32: Option<u32>) -> ManifestSegment {
        let (producers, other_files) = Default::default();
        ManifestSegment { sealed, log_crc32, delete_horizon: None, producers, other_files }
    }

    /// Whether it may have batches of producers.
    pub(crate) fn has_producers(&self) -> bool {
        self.producers.are_any()
    }

    /// Whether all its files are the same, byte by byte, as far as checksums tell.
    pub(crate) fn has_files_of(&self, other: &ManifestSegment) -> bool {
        self.log_crc32.is_some() && self == other
    }

    /// Whether the log file is the same, as far as checksums tell.
    pub(crate) fn has_log_of(&self, other: &ManifestSegment) -> bool {
        let (own, others) = (&self.sealed, &other.sealed);
        self.log_crc32.is_some()
            && (self.log_crc32, own.base_offset, own.next_offset, own.log_bytes)
                == (other.log_crc32, others.base_offset, others.next_offset, others.log_bytes)
    }

    /// The files that are made from the log file and are noted, and what each of them is to be.
    pub(crate) fn caches(&self) -> Vec<(FileName, FileSum)> {
        let SealedSegment { base_offset, next_offset, index_crcs, .. } = self.sealed;
        let indexes = index_crcs.into_iter().flat_map(|crcs| {
            let IndexCrcs { offset_index, time_index } = crcs;
            [(FileKind::OffsetIndex, offset_index), (FileKind::TimeIndex, time_index)]
        });
        let is_known = |sum: &FileSum| *sum != ProducerFiles::UNKNOWN;
        let ProducerFiles { transaction_index, snapshot } = self.producers;
        let transactions = transaction_index.filter(is_known).map(|sum| (FileKind::TransactionIndex, sum));
        let of_base = indexes.chain(transactions).map(|(kind, sum)| (FileName::live(base_offset, kind), sum));
        let snapshot = snapshot.filter(is_known);
        let snapshot = snapshot.map(|sum| (FileName::live(next_offset, FileKind::ProducerSnapshot), sum));
        of_base.chain(snapshot).collect()
    }

    /// The files that there may be of it: the log, its indexes, and the snapshot of producers at its end.
    pub(crate) fn files(&self) -> Vec<FileName> {
        let of_base = [FileKind::Log, FileKind::OffsetIndex, FileKind::TimeIndex, FileKind::TransactionIndex];
        let mut files = of_base.map(|kind| FileName::live(self.sealed.base_offset, kind)).to_vec();
        files.push(FileName::live(self.sealed.next_offset, FileKind::ProducerSnapshot));
        files
    }
}

/// A manifest as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LoadedManifest {
    /// The manifest.
    pub(crate) manifest: Manifest,
    /// Whether the newest one may be lost, so that later segments may have been sealed, and this one's removed.
    pub(crate) fell_back: bool,
}

/// Why a manifest is not taken.
enum Refusal {
    /// It makes no sense.
    Malformed(&'static str),
    /// A later version has set what is not known here.
    Newer,
}

impl From<Invalid> for Refusal {
    fn from(_: Invalid) -> Refusal {
        Refusal::Malformed("the manifest ends within a segment")
    }
}

impl Manifest {
    /// That of a log without segments.
    pub(crate) fn new(log: LogId) -> Manifest {
        Manifest { log, ..Manifest::default() }
    }

    /// That of a log that begins and was compacted so far, without its segments.
    pub(crate) fn of_copy(log: LogId, log_start_offset: u64, clean_offset: u64) -> Manifest {
        Manifest { log, log_start_offset, clean_offset, ..Manifest::default() }
    }

    /// Reads the manifest of a partition's directory, which is to be that of `log`; `None` if there is none.
    ///
    /// # Errors
    /// [`Error::Corrupt`] if neither generation is intact, or if the newest makes no sense or is of another log;
    /// [`Error::UnsupportedVersion`] if another version wrote it; or the disk's.
    pub(crate) fn load(disk: &dyn Disk, dir: &Path, log: LogId) -> Result<Option<LoadedManifest>> {
        let path = path(dir);
        match Manifest::read(disk, &path)? {
            Some(loaded) if loaded.manifest.log != log => Err(Error::corrupt_file(&path, 0, OF_ANOTHER_LOG)),
            loaded => Ok(loaded),
        }
    }

    /// Reads the file at `path`, whichever log's it is; `None` if there is none.
    ///
    /// # Errors
    /// Those of [`load`](Manifest::load), but for that it is of another log.
    pub(crate) fn read(disk: &dyn Disk, path: &Path) -> Result<Option<LoadedManifest>> {
        let Some(loaded) = generations::load(disk, path, KIND)? else { return Ok(None) };
        match Manifest::decode(&loaded.payload) {
            Ok(manifest) => Ok(Some(LoadedManifest { manifest, fell_back: loaded.fell_back })),
            Err(Refusal::Malformed(reason)) => Err(Error::corrupt_file(path, 0, reason)),
            // It may change what all the rest means.
            Err(Refusal::Newer) => {
                let (found, supported) = (KIND.version + 1, KIND.version);
                Err(Error::UnsupportedVersion { path: path.to_owned(), found, supported })
            }
        }
    }

    /// What ends at or below this offset was compacted.
    pub(crate) fn clean_offset(&self) -> u64 {
        self.clean_offset
    }

    /// Whether both generations in a partition's directory are intact.
    ///
    /// # Errors
    /// Those of [`load`](Manifest::load).
    pub(crate) fn is_whole(disk: &dyn Disk, dir: &Path) -> Result<bool> {
        generations::is_whole(disk, &path(dir), KIND)
    }

    /// Replaces the manifest of a partition's directory. When this returns it survives a power cut.
    ///
    /// # Errors
    /// Those of [`generations::store`].
    pub(crate) fn store(&self, disk: &dyn Disk, dir: &Path) -> Result<()> {
        generations::store(disk, &path(dir), KIND, &self.encode()).map(drop)
    }

    /// The same where there is no room for it, if it is no longer than what is there.
    ///
    /// # Errors
    /// Those of [`generations::store_in_place`].
    pub(crate) fn store_in_place(&self, disk: &dyn Disk, dir: &Path) -> Result<()> {
        generations::store_in_place(disk, &path(dir), KIND, &self.encode())
    }

    /// What tells it from any other.
    pub(super) fn crc32(&self) -> u32 {
        generations::checksum(&self.encode())
    }

    /// Puts it beside the manifest of a partition's directory, to [take its place](Manifest::take_next) later. When this returns it
    /// survives a power cut.
    ///
    /// # Errors
    /// Those of [`generations::store`].
    pub(super) fn store_next(&self, disk: &dyn Disk, dir: &Path) -> Result<()> {
        generations::store_next(disk, &path(dir), KIND, &self.encode())
    }

    /// Has what waits beside the manifest take its place, if it is the one with this checksum. Returns the manifest that is there then,
    /// if that is the one. The caller syncs the directory.
    ///
    /// # Errors
    /// Those of [`load`](Manifest::load).
    pub(super) fn take_next(disk: &dyn Disk, dir: &Path, log: LogId, crc32: u32) -> Result<Option<Manifest>> {
        generations::take_next(disk, &path(dir), KIND, crc32)?;
        let found = Manifest::load(disk, dir, log)?.map_or_else(|| Manifest::new(log), |loaded| loaded.manifest);
        Ok(Some(found).filter(|found| found.crc32() == crc32))
    }

    /// Renames a manifest that cannot be read, so that another one can be stored. The caller syncs the directory. `None` if there
    /// is none.
    ///
    /// # Errors
    /// The disk's.
    pub(crate) fn set_aside(disk: &dyn Disk, dir: &Path) -> Result<Option<PathBuf>> {
        let (from, to) = (path(dir), dir.join(DAMAGED_NAME));
        match disk.rename(&from, &to) {
            Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
            renamed => renamed.map(|()| Some(to)).map_err(|e| Error::io("rename", &from, e)),
        }
    }

    /// The same with `new` segments, which were cleaned, in the place of those with these base offsets, which follow one another.
    /// `None` if they do not, or are not there. All that comes before them was cleaned as well, with `is_clean` of all keys.
    pub(crate) fn with_cleaned(
        &self,
        old: impl ExactSizeIterator<Item = u64>,
        new: Vec<ManifestSegment>,
        is_clean: bool,
    ) -> Option<Manifest> {
        let mut old = old.peekable();
        let first = old.peek().copied()?;
        let start = self.segments.iter().position(|noted| noted.sealed.base_offset == first)?;
        let end = start + old.len();
        let replaced = self.segments.get(start..end)?;
        if !replaced.iter().map(|noted| noted.sealed.base_offset).eq(old) {
            return None;
        }
        let cleaned_to = replaced.last()?.sealed.next_offset;
        let mut segments = self.segments.clone();
        let at_end = replaced.last()?.producers.snapshot;
        let had_producers = replaced.iter().any(|noted| noted.producers.snapshot.is_some());
        let new_count = new.len();
        segments.splice(start..end, new);
        // A snapshot from before what was cleaned may speak of transactions whose end is gone now.
        for (index, noted) in segments.iter_mut().enumerate().take(start + new_count) {
            if if index < start { noted.producers.snapshot.is_some() } else { had_producers } {
                let is_last = noted.sealed.next_offset == cleaned_to;
                noted.producers.snapshot = if is_last { at_end } else { Some(ProducerFiles::UNKNOWN) };
            }
        }
        let clean_offset = if is_clean { self.clean_offset.max(cleaned_to) } else { self.clean_offset };
        Some(Manifest { segments, files: self.files.clone(), clean_offset, ..*self })
    }

    /// The same of a log that begins at `log_start_offset`: without the segments that end at or below it.
    pub(crate) fn starting_at(&self, log_start_offset: u64) -> Manifest {
        let is_left = |noted: &&ManifestSegment| log_start_offset < noted.sealed.next_offset;
        let segments = self.segments.iter().filter(is_left).cloned().collect();
        Manifest { log_start_offset, segments, files: self.files.clone(), ..*self }
    }

    /// Whether a segment was compacted, so that offsets may be missing in it.
    pub(super) fn has_gaps(&self) -> bool {
        self.segments.iter().any(|noted| noted.sealed.has_gaps)
    }

    /// The same with these segments.
    pub(crate) fn with_segments(self, segments: Vec<ManifestSegment>) -> Manifest {
        Manifest { segments, ..self }
    }

    /// What the file says of it.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        bytes.extend(self.log.topic_id.to_be_bytes());
        bytes.extend(self.log.partition.to_be_bytes());
        bytes.extend(self.log_start_offset.to_be_bytes());
        bytes.extend(self.clean_offset.to_be_bytes());
        derived_files::encode(&self.files, &mut bytes);
        bytes.extend(u32::try_from(self.segments.len()).unwrap_or(u32::MAX).to_be_bytes());
        self.segments.iter().for_each(|segment| segment.encode(self.clean_offset, &mut bytes));
        bytes
    }

    /// Reads what [`encode`](Manifest::encode) wrote, from another place than its file. The bytes may be anything.
    pub(crate) fn decode_sent(bytes: &[u8]) -> Result<Manifest, Invalid> {
        Manifest::decode(bytes).map_err(|refusal| match refusal {
            Refusal::Malformed(reason) => Invalid::Malformed(reason),
            Refusal::Newer => Invalid::Malformed("the segments of a log are described by a newer version"),
        })
    }

    fn decode(bytes: &[u8]) -> Result<Manifest, Refusal> {
        let mut reader = Reader::new(bytes);
        let log = LogId { topic_id: u128::from_be_bytes(reader.array()?), partition: reader.u32()? };
        let log_start_offset = reader.i64()?.cast_unsigned();
        let clean_offset = reader.i64()?.cast_unsigned();
        let files = derived_files::decode(&mut reader)?;
        let segment_count = reader.u32()?;
        let segments = (0..segment_count).map(|_| ManifestSegment::decode(clean_offset, &mut reader));
        let segments = segments.collect::<Result<_, _>>()?;
        if !reader.is_empty() {
            return Err(Refusal::Malformed("the manifest has more than its segments"));
        }
        let manifest = Manifest { log, log_start_offset, clean_offset, segments, files };
        manifest.check().map_err(Refusal::Malformed)?;
        Ok(manifest)
    }

    /// Offsets rise, within and between segments, and all of them fit, as do the positions in the files.
    fn check(&self) -> Result<(), &'static str> {
        if i64::try_from(self.log_start_offset).is_err() {
            return Err("the log start offset of a manifest is too large");
        }
        if i64::try_from(self.clean_offset).is_err() {
            return Err("the clean offset of a manifest is too large");
        }
        let mut least = 0;
        for ManifestSegment { sealed, .. } in &self.segments {
            let offsets = sealed.next_offset.checked_sub(sealed.base_offset);
            let has_offsets = offsets.is_some_and(|offsets| 0 < offsets && offsets <= 1 << 31);
            if !has_offsets || i64::try_from(sealed.next_offset).is_err() {
                return Err("the offsets of a manifest's segment are out of bounds");
            }
            let is_beyond = |headers: HeaderSums| sealed.log_bytes <= headers.last_position;
            if i64::try_from(sealed.log_bytes).is_err() || sealed.headers.is_some_and(is_beyond) {
                return Err("the size of a manifest's segment is out of bounds");
            }
            if sealed.base_offset < least {
                return Err("the segments of a manifest overlap");
            }
            least = sealed.next_offset;
        }
        Ok(())
    }
}

impl ManifestSegment {
    fn encode(&self, clean_offset: u64, out: &mut Vec<u8>) {
        let SealedSegment { base_offset, next_offset, log_bytes, max_timestamp, has_gaps, .. } = self.sealed;
        let SealedSegment { created_ms, rolled_ms, headers, index_crcs, .. } = self.sealed;
        let flag = |is_set, flag| if is_set { flag } else { 0 };
        let flags = flag(has_gaps && clean_offset < next_offset, HAS_GAPS)
            | flag(headers.is_some(), HAS_HEADERS)
            | flag(self.log_crc32.is_some(), HAS_LOG_CRC)
            | flag(self.delete_horizon.is_some(), HAS_HORIZON);
        let headers = headers.unwrap_or(HeaderSums { first: 0, last: 0, last_position: 0 });
        for number in [base_offset, next_offset, log_bytes] {
            out.extend(number.to_be_bytes());
        }
        for time in [max_timestamp, created_ms, rolled_ms] {
            out.extend(time.unwrap_or(-1).to_be_bytes());
        }
        out.extend(headers.last_position.to_be_bytes());
        for number in [self.log_crc32.unwrap_or(0), headers.first, headers.last, flags] {
            out.extend(number.to_be_bytes());
        }
        self.delete_horizon.into_iter().for_each(|ms| out.extend(ms.to_be_bytes()));
        let (producers, others) = (self.producers, self.other_files.clone());
        derived_files::encode(&SegmentFiles { index_crcs, producers, others }.list(), out);
    }

    fn decode(clean_offset: u64, reader: &mut Reader<'_>) -> Result<ManifestSegment, Refusal> {
        let (base_offset, next_offset) = (reader.i64()?.cast_unsigned(), reader.i64()?.cast_unsigned());
        let log_bytes = reader.i64()?.cast_unsigned();
        let mut time = || Ok::<_, Invalid>(Some(reader.i64()?).filter(|&time| 0 <= time));
        let (max_timestamp, created_ms, rolled_ms) = (time()?, time()?, time()?);
        let last_position = reader.i64()?.cast_unsigned();
        let (log_crc32, first, last, flags) = (reader.u32()?, reader.u32()?, reader.u32()?, reader.u32()?);
        if flags & !(HAS_GAPS | HAS_HEADERS | HAS_LOG_CRC | HAS_HORIZON) != 0 {
            return Err(Refusal::Newer);
        }
        let delete_horizon = if flags & HAS_HORIZON == 0 { None } else { Some(reader.i64()?) };
        let SegmentFiles { index_crcs, producers, others } = SegmentFiles::of(derived_files::decode(reader)?);
        let sealed = SealedSegment {
            base_offset,
            next_offset,
            log_bytes,
            max_timestamp,
            has_gaps: next_offset <= clean_offset || flags & HAS_GAPS != 0,
            created_ms,
            rolled_ms,
            headers: (flags & HAS_HEADERS != 0).then_some(HeaderSums { first, last, last_position }),
            index_crcs,
        };
        let log_crc32 = (flags & HAS_LOG_CRC != 0).then_some(log_crc32);
        Ok(ManifestSegment { sealed, log_crc32, delete_horizon, producers, other_files: others })
    }
}

/// The file in a partition's directory.
pub(super) fn path(dir: &Path) -> PathBuf {
    dir.join(FILE_NAME)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::disk::os::OsDisk;

    const LOG: LogId = LogId { topic_id: 7, partition: 3 };

    fn segment(base_offset: u64, next_offset: u64) -> ManifestSegment {
        let sum = |crc32| FileSum { bytes: 8, crc32 };
        let index_crcs =
            base_offset.is_multiple_of(2).then_some(IndexCrcs { offset_index: sum(5), time_index: sum(6) });
        let sealed = SealedSegment {
            base_offset,
            next_offset,
            log_bytes: 77,
            max_timestamp: (base_offset != 0).then_some(1_700_000_000_000),
            has_gaps: base_offset.is_multiple_of(3),
            created_ms: (base_offset != 15).then_some(1),
            rolled_ms: Some(2),
            headers: (base_offset != 15).then_some(HeaderSums { first: 10, last: 11, last_position: 12 }),
            index_crcs,
        };
        let mut segment = ManifestSegment::new(sealed, (base_offset != 15).then_some(9));
        segment.delete_horizon = (base_offset == 15).then_some(1_800_000_000_000);
        segment
    }

    fn manifest() -> Manifest {
        let segments = vec![segment(0, 10), segment(10, 11), segment(15, 100)];
        Manifest { log_start_offset: 4, segments, ..Manifest::new(LOG) }
    }

    #[test]
    fn what_was_stored_is_loaded() {
        let dir = tempfile::tempdir().unwrap();
        let disk = OsDisk::new();
        assert_eq!(Manifest::load(&disk, dir.path(), LOG).unwrap(), None);
        Manifest::new(LOG).store(&disk, dir.path()).unwrap();
        manifest().store(&disk, dir.path()).unwrap();
        let loaded = Manifest::load(&disk, dir.path(), LOG).unwrap().unwrap();
        assert_eq!(loaded, LoadedManifest { manifest: manifest(), fell_back: false });
        for other in [LogId { topic_id: 8, ..LOG }, LogId { partition: 4, ..LOG }] {
            assert!(matches!(Manifest::load(&disk, dir.path(), other), Err(Error::Corrupt(_))), "of another log");
        }
    }

    #[test]
    fn what_a_later_version_notes_of_other_files_is_kept() {
        let other = DerivedFile { kind: 77, sum: FileSum { bytes: 1, crc32: 2 } };
        let mut manifest = manifest();
        manifest.files.push(other);
        manifest.segments[1].other_files.push(other);
        let Ok(decoded) = Manifest::decode(&manifest.encode()) else { panic!("refused") };
        assert_eq!(decoded, manifest);
        let cleaned = decoded.with_cleaned([0].into_iter(), vec![segment(0, 10)], true).unwrap();
        assert_eq!((cleaned.files, &cleaned.segments[1]), (vec![other], &manifest.segments[1]));
    }

    #[test]
    fn what_was_cleaned_is_said_with_the_segments_that_came_of_it() {
        let cleaned = manifest().with_cleaned([0, 10].into_iter(), vec![segment(0, 11)], true).unwrap();
        assert_eq!((cleaned.clean_offset, cleaned.segments.len()), (11, 2));
        // Another run of the same pass, or one of the next, in what was cleaned before.
        assert_eq!(cleaned.with_cleaned([0].into_iter(), vec![segment(0, 11)], true).unwrap().clean_offset, 11);
        assert_eq!(cleaned.with_cleaned([0, 10].into_iter(), vec![], true), None, "10 is not there any more");
        assert_eq!(cleaned.with_cleaned([15, 0].into_iter(), vec![], true), None, "they do not follow one another");
    }

    #[test]
    fn no_snapshot_from_before_what_was_cleaned_is_believed() {
        let noted = |base_offset, next_offset, snapshot: Option<u64>| {
            let mut noted = segment(base_offset, next_offset);
            noted.producers.snapshot = snapshot.map(|bytes| FileSum { bytes, crc32: 1 });
            noted
        };
        let snapshots = |manifest: &Manifest| {
            let snapshots = manifest.segments.iter().map(|noted| noted.producers.snapshot.map(|sum| sum.bytes));
            snapshots.collect::<Vec<_>>()
        };
        let segments =
            vec![noted(0, 10, Some(1)), noted(10, 20, Some(2)), noted(20, 30, Some(3)), noted(30, 40, Some(4))];
        let manifest = Manifest { segments, ..Manifest::new(LOG) };
        let new = vec![segment(10, 25), segment(25, 30)];
        let cleaned = manifest.with_cleaned([10, 20].into_iter(), new.clone(), true).unwrap();
        assert_eq!(snapshots(&cleaned), [Some(0), Some(0), Some(3), Some(4)]);
        let Ok(decoded) = Manifest::decode(&cleaned.encode()) else { panic!("refused") };
        assert_eq!(decoded.segments.iter().map(|noted| noted.producers).collect::<Vec<_>>(), {
            cleaned.segments.iter().map(|noted| noted.producers).collect::<Vec<_>>()
        });
        // Where there was no producer there is still none.
        let segments = vec![noted(0, 10, None), noted(10, 20, None), noted(20, 30, None), noted(30, 40, None)];
        let manifest = Manifest { segments, ..Manifest::new(LOG) };
        let cleaned = manifest.with_cleaned([10, 20].into_iter(), new, true).unwrap();
        assert_eq!(snapshots(&cleaned), [None; 4]);
    }

    #[test]
    fn what_was_cleaned_may_have_gaps_and_what_may_have_gaps_need_not_be_clean() {
        let with_gaps = |base_offset, next_offset, has_gaps| {
            let noted = segment(base_offset, next_offset);
            ManifestSegment { sealed: SealedSegment { has_gaps, ..noted.sealed }, ..noted }
        };
        let segments = vec![with_gaps(0, 10, false), with_gaps(10, 20, false), with_gaps(20, 30, true)];
        let manifest = Manifest { clean_offset: 10, segments, ..Manifest::new(LOG) };
        let Ok(decoded) = Manifest::decode(&manifest.encode()) else { panic!("refused") };
        assert_eq!(decoded.segments.iter().map(|noted| noted.sealed.has_gaps).collect::<Vec<_>>(), [true, false, true]);
        assert_eq!(decoded.clean_offset, 10);
    }

    #[test]
    fn the_bytes_of_version_2_stay() {
        let segments = vec![segment(10, 11)];
        let bytes = Manifest { log_start_offset: 4, clean_offset: 3, segments, ..Manifest::new(LOG) }.encode();
        let expected: [&[u8]; 22] = [
            &7_u128.to_be_bytes(),
            &[0, 0, 0, 3],
            &[0, 0, 0, 0, 0, 0, 0, 4],
            &[0, 0, 0, 0, 0, 0, 0, 3],
            &[0, 0],
            &[0, 0, 0, 1],
            &[0, 0, 0, 0, 0, 0, 0, 10],
            &[0, 0, 0, 0, 0, 0, 0, 11],
            &[0, 0, 0, 0, 0, 0, 0, 77],
            &[0, 0, 0x01, 0x8b, 0xcf, 0xe5, 0x68, 0],
            &[0, 0, 0, 0, 0, 0, 0, 1],
            &[0, 0, 0, 0, 0, 0, 0, 2],
            &[0, 0, 0, 0, 0, 0, 0, 12],
            &[0, 0, 0, 9],
            &[0, 0, 0, 10],
            &[0, 0, 0, 11],
            &[0, 0, 0, 6],
            &[0, 2],
            &[0, 1, 0, 0, 0, 0, 0, 0, 0, 8],
            &[0, 0, 0, 5],
            &[0, 2, 0, 0, 0, 0, 0, 0, 0, 8],
            &[0, 0, 0, 6],
        ];
        assert_eq!(bytes, expected.concat());
    }

    #[test]
    fn a_manifest_that_makes_no_sense_is_refused() {
        let refused = |segments: Vec<ManifestSegment>| {
            Manifest::decode(&Manifest { segments, ..Manifest::new(LOG) }.encode()).is_err()
        };
        assert!(!refused(vec![]));
        assert!(refused(vec![segment(5, 5)]), "no offsets");
        assert!(refused(vec![segment(5, 4)]), "offsets going back");
        assert!(refused(vec![segment(0, 10), segment(9, 20)]), "an overlap");
        assert!(refused(vec![segment(10, 20), segment(0, 5)]), "not ascending");
        assert!(refused(vec![segment(0, 1 << 40)]), "more offsets than a segment holds");
        assert!(refused(vec![segment(1 << 63, (1 << 63) + 1)]), "offsets above the largest");
        let with_size = |log_bytes, last_position| {
            let mut segment = segment(5, 10);
            segment.sealed.log_bytes = log_bytes;
            segment.sealed.headers = Some(HeaderSums { first: 10, last: 11, last_position });
            vec![segment]
        };
        assert!(!refused(with_size(77, 76)));
        assert!(refused(with_size(77, 77)) && refused(with_size(77, u64::MAX)), "a batch behind the end");
        assert!(refused(with_size(1 << 63, 12)), "more bytes than a file can have");
        let huge = Manifest { log_start_offset: 1 << 63, ..Manifest::new(LOG) };
        assert!(Manifest::decode(&huge.encode()).is_err());
        let huge = Manifest { clean_offset: 1 << 63, ..Manifest::new(LOG) };
        assert!(Manifest::decode(&huge.encode()).is_err());
        let mut longer = manifest().encode();
        longer.push(0);
        assert!(Manifest::decode(&longer).is_err());
    }

    proptest! {
        #[test]
        fn decoding_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = Manifest::decode(&bytes);
        }
    }
}
