//! Up to where a partition's log is synced: below, a bad batch is damage; above, it is where the log ends.
//!
//! ```text
//! byte  size  field                 one record of 256 bytes, big-endian; the file has two, at the start of 512-byte sectors
//!    0     8  magic                 "OTTLARPT"
//!    8     4  version               2
//!   12     4  flags                 1: has gaps, 2: has header checksums
//!   16     8  generation            the higher of two intact records counts
//!   24    16  topic_id              whose log it is
//!   40     4  partition
//!   44     4  leader_epoch          at next_offset
//!   48     8  base_offset           of the active segment
//!   56     8  file_position         up to which its log file is synced
//!   64     8  next_offset           of the batch that begins there
//!   72     8  max_timestamp         of the active segment below, −1 for none
//!   80     8  created_ms            when that was made, by the wall clock, −1 where it is not known
//!   88     8  last_position         where the last batch below begins
//!   96     4  first_header_crc32    of the header of the segment's first batch
//!  100     4  last_header_crc32     of the header of the last batch below
//!  104     -  files                 of the active segment, if they were written; at most 10, as in segment/derived_files.rs
//!    -     -  zeros
//!  252     4  crc32                 CRC-32 of all before
//! ```
//! A store overwrites the older record in place, without a sync: if a power cut takes it, the other record is there, and what
//! it says is lower and still true. The caller stores a point only after what it promises was synced. The point of a log that
//! is closed is synced, too: with it goes what tells damage from an end that a crash left. A file without a record is one that a
//! closing log had just begun.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::log_id::LogId;
use crate::disk::open_files::OpenFiles;
use crate::disk::{Disk, Open, SyncError, generations, own_copy, remove_if_there};
use crate::error::{Error, Result};
use crate::format::{Invalid, Reader};
use crate::segment::derived_files;
use crate::segment::{DerivedFile, HeaderSums, ProducerFiles, ScanStart, Segment, SegmentFiles};

const FILE_NAME: &str = "recovery-point";
const MAGIC: [u8; 8] = *b"OTTLARPT";
const VERSION: u32 = 2;
pub(super) const RECORD_BYTES: usize = 256;
const CRC: usize = RECORD_BYTES - size_of::<u32>();
pub(super) const SECTOR_BYTES: usize = 512;
const FILES: usize = 104;
const FILES_MAX: usize = (CRC - FILES - size_of::<u16>()) / derived_files::FILE_BYTES;
const _: () = assert!(FILES_MAX == 10);

const HAS_GAPS: u32 = 1;
const HAS_HEADERS: u32 = 1 << 1;

/// Up to where a log is synced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RecoveryPoint {
    /// The base offset of the segment that was active. All earlier ones are synced as a whole.
    pub(crate) base_offset: u64,
    /// Up to where that segment is synced, and what is known of it there.
    pub(crate) synced: ScanStart,
    /// The largest timestamp of that segment there.
    pub(crate) max_timestamp: Option<i64>,
    /// The files that tell of producers, up to there.
    pub(crate) producers: ProducerFiles,
    /// Files that are made from that segment, of kinds that are not known here.
    pub(crate) other_files: Vec<DerivedFile>,
}

impl RecoveryPoint {
    /// That of a segment without batches.
    pub(super) fn at_beginning_of(base_offset: u64) -> RecoveryPoint {
        let (producers, other_files) = Default::default();
        let synced = ScanStart::nothing(base_offset);
        RecoveryPoint { base_offset, synced, max_timestamp: None, producers, other_files }
    }
}

impl RecoveryPoint {
    /// That of an active segment of which all is synced and no other file was written, where the next record has at least this epoch.
    pub(super) fn of_synced(active: &Segment, leader_epoch: i32) -> RecoveryPoint {
        let synced = ScanStart {
            file_position: active.log_bytes(),
            next_offset: active.next_offset(),
            leader_epoch,
            has_gaps: active.has_gaps(),
            created_ms: active.created_ms(),
            headers: active.header_sums(active.last_batch_position()),
            index_crcs: None,
        };
        let snapshot = active.has_producers().then_some(ProducerFiles::UNKNOWN);
        RecoveryPoint {
            base_offset: active.base_offset(),
            synced,
            max_timestamp: active.max_timestamp(),
            producers: ProducerFiles { transaction_index: snapshot, snapshot },
            other_files: Vec::new(),
        }
    }
}

/// The file that keeps a recovery point.
#[derive(Debug)]
pub(crate) struct RecoveryPointFile {
    path: PathBuf,
    log: LogId,
    /// Of the newest record; the next one goes to the other sector.
    generation: u64,
    name: Name,
}

/// What is known of the file's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Name {
    /// It survives a power cut.
    Durable,
    /// It may be that a power cut leaves no such file.
    New,
    /// A sync that was to make it durable may have failed. The next one would succeed without having written it.
    Distrusted,
}

/// A recovery point as it was read.
#[derive(Debug)]
pub(crate) struct LoadedPoint {
    /// To store the next one.
    pub(crate) file: RecoveryPointFile,
    /// The newest intact point, if there is one.
    pub(crate) point: Option<RecoveryPoint>,
    /// Whether there is a record that is damaged, so that more may have been synced than the point says. A store that was
    /// torn by a power cut looks the same.
    pub(crate) is_damaged: bool,
    /// The newest intact point of another log, if there is none of this one.
    pub(crate) of_another: Option<RecoveryPoint>,
}

impl RecoveryPointFile {
    /// The file of a log that has none yet.
    pub(crate) fn new(dir: &Path, log: LogId) -> RecoveryPointFile {
        RecoveryPointFile { path: path(dir), log, generation: 0, name: Name::New }
    }

    /// Reads the recovery point of a partition's directory, which is to be that of `log`.
    ///
    /// # Errors
    /// [`Error::UnsupportedVersion`] if another version wrote it, or the disk's. Damage is no error, nor is another log's.
    pub(crate) fn load(disk: &dyn Disk, dir: &Path, log: LogId) -> Result<LoadedPoint> {
        let path = path(dir);
        let mut newest: Option<(u64, RecoveryPoint)> = None;
        let mut of_another: Option<(u64, RecoveryPoint)> = None;
        let (bytes, mut is_damaged) = match generations::read_file(disk, &path) {
            Ok(bytes) => (bytes.unwrap_or_default(), false),
            Err(Error::Corrupt(_)) => (Vec::new(), true),
            Err(error) => return Err(error),
        };
        for record in bytes.chunks(SECTOR_BYTES).take(2) {
            match decode(record) {
                Ok(Record::Point { log: found, generation, point }) => {
                    is_damaged |= found != log;
                    let newest = if found == log { &mut newest } else { &mut of_another };
                    if newest.as_ref().is_none_or(|(other, _)| *other < generation) {
                        *newest = Some((generation, *point));
                    }
                }
                Ok(Record::OtherVersion(found)) => {
                    return Err(Error::UnsupportedVersion { path, found, supported: VERSION });
                }
                Ok(Record::Unwritten) => {}
                Err(_) => is_damaged = true,
            }
        }
        let generation = newest.as_ref().map_or(0, |(generation, _)| *generation);
        let point = newest.map(|(_, point)| point);
        let of_another = of_another.map(|(_, point)| point).filter(|_| point.is_none());
        Ok(LoadedPoint {
            file: RecoveryPointFile { generation, ..RecoveryPointFile::new(dir, log) },
            point,
            is_damaged,
            of_another,
        })
    }

    /// Removes the file, of a log that has no active segment. It need not be there.
    ///
    /// # Errors
    /// The disk's.
    pub(super) fn remove(disk: &dyn Disk, dir: &Path) -> Result<()> {
        remove_if_there(disk, &path(dir))
    }

    /// To be called of a file that was found after an unclean end: the sync of its name may have been what failed.
    pub(crate) fn distrust_name(&mut self) {
        self.name = Name::Distrusted;
    }

    /// Overwrites the older record. When this returns it survives a crash of the process, and perhaps a power cut.
    ///
    /// # Errors
    /// The disk's. Harmless: the point stays where it was.
    pub(crate) fn store(&mut self, files: &OpenFiles, point: &RecoveryPoint) -> Result<()> {
        let generation = self.generation.saturating_add(1);
        let sector = if generation.is_multiple_of(2) { 0 } else { SECTOR_BYTES as u64 };
        let bytes = encode(self.log, generation, point);
        let open = || own_copy::open(files, &self.path, Open::CreateOrWrite, u64::MAX);
        if let Err(source) = open().and_then(|file| file.write_at(&bytes, sector)) {
            // It may have been created or copied, and the sync of its name have failed.
            self.name = Name::Distrusted;
            return Err(Error::io("write", &self.path, source));
        }
        // Only now: after an error the same record is tried again, and the good one stays untouched.
        self.generation = generation;
        Ok(())
    }

    /// Makes the file, without a record, if it is not there. Returns whether it did: the next sync of the directory is for its
    /// name, too, and is to be [noted](RecoveryPointFile::note_name_synced).
    ///
    /// # Errors
    /// The disk's.
    pub(crate) fn make(&self, files: &OpenFiles) -> Result<bool> {
        match files.open(&self.path, Open::CreateNew) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(false),
            made => made.map(|_| true).map_err(|source| Error::io("create", &self.path, source)),
        }
    }

    /// The directory was synced since the file was made.
    pub(crate) fn note_name_synced(&mut self) {
        if self.name == Name::New {
            self.name = Name::Durable;
        }
    }

    /// When this returns, what was stored since the last time survives a power cut. After a failure, the point is to be stored
    /// once more before the next try.
    ///
    /// # Errors
    /// The disk's.
    pub(crate) fn sync(&mut self, files: &OpenFiles) -> Result<()> {
        let sync = || {
            let file = files.open(&self.path, Open::Write)?;
            // To a file of another name, synced and renamed: so there is something for the sync of the directory to write.
            let is_copied = self.name == Name::Distrusted;
            if is_copied {
                own_copy::replace(&**files.disk(), &self.path, &*file, u64::MAX).map(drop)
            } else {
                file.sync()
            }
        };
        sync().map_err(|source| Error::io("sync", &self.path, source))?;
        if let Some(dir) = self.path.parent().filter(|_| self.name != Name::Durable) {
            self.name = Name::New;
            files.sync_dir(dir).map_err(|failure| {
                if let SyncError::Failed(_) = failure {
                    self.name = Name::Distrusted;
                }
                Error::io("sync", dir, failure)
            })?;
            self.name = Name::Durable;
        }
        Ok(())
    }
}

fn encode(log: LogId, generation: u64, point: &RecoveryPoint) -> Vec<u8> {
    let RecoveryPoint { base_offset, synced, max_timestamp, producers, other_files } = point;
    let ScanStart { file_position, next_offset, leader_epoch, has_gaps, created_ms, headers, index_crcs } = *synced;
    let flags = if has_gaps { HAS_GAPS } else { 0 } | if headers.is_some() { HAS_HEADERS } else { 0 };
    let headers = headers.unwrap_or(HeaderSums { first: 0, last: 0, last_position: 0 });
    let mut bytes = Vec::with_capacity(RECORD_BYTES);
    bytes.extend(MAGIC);
    bytes.extend(VERSION.to_be_bytes());
    bytes.extend(flags.to_be_bytes());
    bytes.extend(generation.to_be_bytes());
    bytes.extend(log.topic_id.to_be_bytes());
    bytes.extend(log.partition.to_be_bytes());
    bytes.extend(leader_epoch.to_be_bytes());
    bytes.extend(base_offset.to_be_bytes());
    bytes.extend(file_position.to_be_bytes());
    bytes.extend(next_offset.to_be_bytes());
    bytes.extend(max_timestamp.unwrap_or(-1).to_be_bytes());
    bytes.extend(created_ms.unwrap_or(-1).to_be_bytes());
    bytes.extend(headers.last_position.to_be_bytes());
    bytes.extend(headers.first.to_be_bytes());
    bytes.extend(headers.last.to_be_bytes());
    let mut files = SegmentFiles { index_crcs, producers: *producers, others: other_files.clone() }.list();
    files.truncate(FILES_MAX);
    derived_files::encode(&files, &mut bytes);
    bytes.resize(CRC, 0);
    bytes.extend(crc32fast::hash(&bytes).to_be_bytes());
    bytes
}

/// A record for who shows the file: its generation, whose it is, and what it says.
#[cfg(feature = "cli")]
pub(crate) type ShownRecord = (u64, LogId, RecoveryPoint);

/// Both records of a file's bytes with their places; `None` where none was written, and why one is not understood.
#[cfg(feature = "cli")]
pub(crate) fn records(bytes: &[u8]) -> impl Iterator<Item = (u64, Result<Option<ShownRecord>, &'static str>)> {
    let places = (0..).step_by(SECTOR_BYTES);
    places.zip(bytes.chunks(SECTOR_BYTES).take(2)).map(|(position, record)| {
        let shown = match decode(record) {
            Ok(Record::Point { log, generation, point }) => Ok(Some((generation, log, *point))),
            Ok(Record::Unwritten) => Ok(None),
            Ok(Record::OtherVersion(_)) => Err("a record of the recovery point is of another version"),
            Err(Invalid::Malformed(reason)) => Err(reason),
            Err(Invalid::Codec(_)) => Err("a record of the recovery point is damaged"),
        };
        (position, shown)
    })
}

enum Record {
    Point {
        log: LogId,
        generation: u64,
        point: Box<RecoveryPoint>,
    },
    /// The sector was never written.
    Unwritten,
    /// Of this version, which is not understood here.
    OtherVersion(u32),
}

/// Where the checksum of a record was in version 1, which was never released.
const CRC_OF_VERSION_1: usize = 60;

fn decode(sector: &[u8]) -> Result<Record, Invalid> {
    const DAMAGED: Invalid = Invalid::Malformed("a record of the recovery point is damaged");
    let record = sector.get(..RECORD_BYTES).unwrap_or(sector);
    if record.iter().all(|&byte| byte == 0) {
        return Ok(Record::Unwritten);
    }
    let is_whole = |crc_at: usize| {
        let (checked, crc) = record.split_at_checked(crc_at)?;
        Some(Reader::new(crc).u32().ok()? == crc32fast::hash(checked))
    };
    let mut reader = Reader::new(record);
    if reader.i64()?.to_be_bytes() != MAGIC {
        return Err(DAMAGED);
    }
    let version = reader.u32()?;
    if is_whole(CRC) != Some(true) {
        let is_of_version_1 = version == 1 && is_whole(CRC_OF_VERSION_1) == Some(true);
        return if is_of_version_1 { Ok(Record::OtherVersion(1)) } else { Err(DAMAGED) };
    }
    if version != VERSION {
        return Ok(Record::OtherVersion(version));
    }
    let flags = reader.u32()?;
    if flags & !(HAS_GAPS | HAS_HEADERS) != 0 {
        // It may change what all the rest means: only a later version can have set it.
        return Ok(Record::OtherVersion(VERSION + 1));
    }
    let generation = reader.i64()?.cast_unsigned();
    let log = LogId { topic_id: u128::from_be_bytes(reader.array()?), partition: reader.u32()? };
    let leader_epoch = reader.i32()?;
    let (base_offset, file_position) = (reader.i64()?.cast_unsigned(), reader.i64()?.cast_unsigned());
    let next_offset = reader.i64()?.cast_unsigned();
    let mut time = || Ok::<_, Invalid>(Some(reader.i64()?).filter(|&time| 0 <= time));
    let (max_timestamp, created_ms) = (time()?, time()?);
    let last_position = reader.i64()?.cast_unsigned();
    let headers = HeaderSums { last_position, first: reader.u32()?, last: reader.u32()? };
    let SegmentFiles { index_crcs, producers, others } = SegmentFiles::of(derived_files::decode(&mut reader)?);
    let fits = |number: u64| i64::try_from(number).is_ok();
    let has_headers = flags & HAS_HEADERS != 0;
    if next_offset < base_offset || !fits(next_offset) || !fits(file_position) {
        return Err(DAMAGED);
    }
    if has_headers && file_position <= last_position {
        return Err(DAMAGED);
    }
    let synced = ScanStart {
        file_position,
        next_offset,
        leader_epoch,
        has_gaps: flags & HAS_GAPS != 0,
        created_ms,
        headers: has_headers.then_some(headers),
        index_crcs,
    };
    let point = RecoveryPoint { base_offset, synced, max_timestamp, producers, other_files: others };
    Ok(Record::Point { log, generation, point: Box::new(point) })
}

/// The file in a partition's directory.
pub(super) fn path(dir: &Path) -> PathBuf {
    dir.join(FILE_NAME)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::disk::open_files::OpenFilesConfig;
    use crate::disk::os::OsDisk;
    use crate::disk::simulated::{CrashModel, FaultKind, FaultRule, Operation, SimulatedDisk};
    use crate::segment::{FileSum, IndexCrcs};

    const LOG: LogId = LogId { topic_id: 7, partition: 3 };

    fn point(next_offset: u64) -> RecoveryPoint {
        let sum = |crc32| FileSum { bytes: 0x0102, crc32 };
        let synced = ScanStart {
            file_position: 4096,
            next_offset,
            leader_epoch: 3,
            has_gaps: true,
            created_ms: Some(5),
            headers: Some(HeaderSums { first: 6, last: 7, last_position: 8 }),
            index_crcs: Some(IndexCrcs { offset_index: sum(1), time_index: sum(2) }),
        };
        let other_files = vec![DerivedFile { kind: 9, sum: sum(9) }];
        let producers = ProducerFiles::default();
        RecoveryPoint { base_offset: 10, synced, max_timestamp: Some(4), producers, other_files }
    }

    #[test]
    fn the_bytes_of_version_2_stay() {
        let bytes = encode(LOG, 11, &point(20));
        let expected: [&[u8]; 9] = [
            b"OTTLARPT\0\0\0\x02\0\0\0\x03\0\0\0\0\0\0\0\x0b",
            &7_u128.to_be_bytes(),
            &[0, 0, 0, 3, 0, 0, 0, 3],
            &[0, 0, 0, 0, 0, 0, 0, 10, 0, 0, 0, 0, 0, 0, 0x10, 0, 0, 0, 0, 0, 0, 0, 0, 20],
            &[0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0, 8, 0, 0, 0, 6, 0, 0, 0, 7],
            &[0, 3],
            &[0, 1, 0, 0, 0, 0, 0, 0, 1, 2, 0, 0, 0, 1],
            &[0, 2, 0, 0, 0, 0, 0, 0, 1, 2, 0, 0, 0, 2],
            &[0, 9, 0, 0, 0, 0, 0, 0, 1, 2, 0, 0, 0, 9],
        ];
        let (expected, zeros) = (expected.concat(), &bytes[148..CRC]);
        assert_eq!(bytes[..148], expected);
        assert!(bytes.len() == RECORD_BYTES && zeros.iter().all(|byte| *byte == 0));
    }

    #[test]
    fn the_point_of_another_log_is_none() {
        let (dir, files) = (tempfile::tempdir().unwrap(), files());
        let mut loaded = RecoveryPointFile::load(&**files.disk(), dir.path(), LOG).unwrap();
        loaded.file.store(&files, &point(20)).unwrap();
        for other in [LogId { topic_id: 8, ..LOG }, LogId { partition: 4, ..LOG }] {
            let loaded = RecoveryPointFile::load(&**files.disk(), dir.path(), other).unwrap();
            assert_eq!((loaded.point, loaded.is_damaged, loaded.of_another), (None, true, Some(point(20))));
        }
    }

    fn files() -> Arc<OpenFiles> {
        OpenFiles::new(Arc::new(OsDisk::new()), OpenFilesConfig::default())
    }

    #[test]
    fn the_newest_point_counts() {
        let (dir, files) = (tempfile::tempdir().unwrap(), files());
        let disk = &**files.disk();
        let mut loaded = RecoveryPointFile::load(disk, dir.path(), LOG).unwrap();
        assert_eq!((loaded.point, loaded.is_damaged), (None, false));
        for next_offset in 20..25 {
            loaded.file.store(&files, &point(next_offset)).unwrap();
            let again = RecoveryPointFile::load(disk, dir.path(), LOG).unwrap();
            assert_eq!((again.point, again.is_damaged), (Some(point(next_offset)), false));
        }
    }

    /// What the calls that may sync did, in order.
    fn steps(machine: &SimulatedDisk) -> Vec<Operation> {
        let steps = [Operation::Rename, Operation::Sync, Operation::SyncDir];
        machine.log().iter().map(|call| call.operation).filter(|operation| steps.contains(operation)).collect()
    }

    /// After a failed sync of a directory the system takes its names for written, and the next sync writes nothing.
    #[test]
    fn a_name_whose_sync_failed_is_made_anew_before_the_next_sync_counts() {
        let (machine, dir) = (SimulatedDisk::new(1), Path::new("/log"));
        machine.put("/log/beside", b"");
        let files = OpenFiles::new(Arc::new(machine.clone()), OpenFilesConfig::default());
        let mut file = RecoveryPointFile::new(dir, LOG);
        file.store(&files, &point(20)).unwrap();
        machine.fail(FaultRule::new(FaultKind::InputOutput).on(Operation::SyncDir));
        assert!(matches!(file.sync(&files), Err(Error::Io { action: "sync", .. })));
        for made in [&[Operation::Sync, Operation::Rename, Operation::SyncDir][..], &[Operation::Sync]] {
            let before = steps(&machine).len();
            file.store(&files, &point(20)).unwrap();
            file.sync(&files).unwrap();
            assert_eq!(steps(&machine)[before..], *made);
        }
        for seed in 0..20 {
            let after = machine.crash(seed, CrashModel::Subset);
            let loaded = RecoveryPointFile::load(&after, dir, LOG).unwrap();
            assert_eq!((loaded.point, loaded.is_damaged), (Some(point(20)), false), "seed {seed}");
        }
    }

    /// Where no sync was begun, nothing is lost by it, and nothing has to be made anew.
    #[test]
    fn a_name_whose_sync_did_not_begin_is_only_synced_again() {
        let machine = SimulatedDisk::new(1);
        machine.put("/log/beside", b"");
        let files = OpenFiles::new(Arc::new(machine.clone()), OpenFilesConfig::default());
        let mut file = RecoveryPointFile::new(Path::new("/log"), LOG);
        file.store(&files, &point(20)).unwrap();
        // Not even after some handle was closed.
        machine.fail(FaultRule::new(FaultKind::TooManyOpenFiles).on(Operation::SyncDir).forever());
        assert!(file.sync(&files).unwrap_err().is_retriable());
        machine.clear_faults();
        file.sync(&files).unwrap();
        let tries = [Operation::Sync, Operation::SyncDir, Operation::SyncDir];
        assert_eq!(steps(&machine), [&tries[..], &[Operation::Sync, Operation::SyncDir]].concat());
    }

    #[test]
    fn a_damaged_record_leaves_the_one_before() {
        // In memory: hundreds of files would have to be synced.
        let (disk, dir) = (SimulatedDisk::new(1), Path::new("/"));
        let files = OpenFiles::new(Arc::new(disk.clone()), OpenFilesConfig::default());
        let mut loaded = RecoveryPointFile::load(&disk, dir, LOG).unwrap();
        (20..22).for_each(|next_offset| loaded.file.store(&files, &point(next_offset)).unwrap());
        let whole = disk.read(dir.join(FILE_NAME)).unwrap();
        for at in (0..RECORD_BYTES).chain(SECTOR_BYTES..SECTOR_BYTES + RECORD_BYTES) {
            let mut bytes = whole.clone();
            bytes[at] ^= 0x10;
            disk.put(dir.join(FILE_NAME), &bytes);
            let again = RecoveryPointFile::load(&disk, dir, LOG).unwrap();
            let left = if at < SECTOR_BYTES { 20 } else { 21 };
            assert_eq!((again.point, again.is_damaged), (Some(point(left)), true));
        }
        for bytes in 0..whole.len() {
            disk.put(dir.join(FILE_NAME), &whole[..bytes]);
            let again = RecoveryPointFile::load(&disk, dir, LOG).unwrap();
            assert_eq!(again.point, (bytes >= RECORD_BYTES).then(|| point(21)));
        }
    }

    #[test]
    fn positions_that_no_file_can_have_are_refused() {
        let is_taken = |file_position, last_position| {
            let mut hostile = point(20);
            hostile.synced.file_position = file_position;
            hostile.synced.headers = Some(HeaderSums { first: 6, last: 7, last_position });
            matches!(decode(&encode(LOG, 1, &hostile)), Ok(Record::Point { .. }))
        };
        assert!(is_taken(4096, 4095));
        assert!(!is_taken(4096, 4096), "behind what is synced");
        assert!(!is_taken(4096, u64::MAX) && !is_taken(u64::MAX, 8) && !is_taken(1 << 63, 8));
    }

    #[test]
    fn another_version_is_refused() {
        let (dir, files) = (tempfile::tempdir().unwrap(), files());
        let mut bytes = encode(LOG, 1, &point(20));
        bytes[11] = 3;
        let crc = crc32fast::hash(&bytes[..CRC]);
        bytes[CRC..].copy_from_slice(&crc.to_be_bytes());
        generations::replace_file(&**files.disk(), &dir.path().join(FILE_NAME), &bytes).unwrap();
        let refused = RecoveryPointFile::load(&**files.disk(), dir.path(), LOG).unwrap_err();
        assert!(matches!(refused, Error::UnsupportedVersion { found: 3, supported: 2, .. }));
        // Version 1 had its checksum elsewhere.
        let mut bytes = bytes[..64].to_vec();
        bytes[11] = 1;
        let crc = crc32fast::hash(&bytes[..60]);
        bytes[60..].copy_from_slice(&crc.to_be_bytes());
        generations::replace_file(&**files.disk(), &dir.path().join(FILE_NAME), &bytes).unwrap();
        let refused = RecoveryPointFile::load(&**files.disk(), dir.path(), LOG).unwrap_err();
        assert!(matches!(refused, Error::UnsupportedVersion { found: 1, supported: 2, .. }));
    }
}
