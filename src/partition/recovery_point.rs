//! Up to where a partition's log is synced: below, a bad batch is damage; above, it is where the log ends.
//!
//! ```text
//! byte  size  field             one record of 64 bytes, big-endian; the file has two, at the start of 512-byte sectors
//!    0     8  magic             "OTTLARPT"
//!    8     4  version           1
//!   12     4  flags             1: has gaps, 2: has index checksums
//!   16     8  generation        the higher of two intact records counts
//!   24     8  base_offset       of the active segment
//!   32     8  file_position     up to which its log file is synced
//!   40     8  next_offset       of the batch that begins there
//!   48     4  leader_epoch      at that offset
//!   52     4  offset_index_crc32    of the active segment's index files, if they were written
//!   56     4  time_index_crc32
//!   60     4  crc32             CRC-32 of all before
//! ```
//! A store overwrites the older record in place, without a sync: if a power cut takes it, the other record is there, and what
//! it says is lower and still true. The caller stores a point only after what it promises was synced. The point of a log that
//! is closed is synced, too: with it goes what tells damage from an end that a crash left.

use std::path::{Path, PathBuf};

use crate::disk::open_files::OpenFiles;
use crate::disk::{Disk, Open, generations};
use crate::error::{Error, Result};
use crate::format::{Invalid, Reader};
use crate::segment::{IndexCrcs, ScanStart};

const FILE_NAME: &str = "recovery-point";
const MAGIC: [u8; 8] = *b"OTTLARPT";
const VERSION: u32 = 1;
const RECORD_BYTES: usize = 64;
const CRC: usize = RECORD_BYTES - size_of::<u32>();
const SECTOR_BYTES: usize = 512;

const HAS_GAPS: u32 = 1;
const HAS_INDEX_CRCS: u32 = 1 << 1;

/// Up to where a log is synced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RecoveryPoint {
    /// The base offset of the segment that was active. All earlier ones are synced as a whole.
    pub(crate) base_offset: u64,
    /// Up to where that segment is synced, and what is known of it there.
    pub(crate) synced: ScanStart,
}

/// The file that keeps a recovery point.
#[derive(Debug)]
pub(crate) struct RecoveryPointFile {
    path: PathBuf,
    /// Of the newest record; the next one goes to the other sector.
    generation: u64,
    /// Whether it may be that a power cut leaves no such file.
    is_new: bool,
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
}

impl RecoveryPointFile {
    /// Reads the recovery point of a partition's directory.
    ///
    /// # Errors
    /// [`Error::UnsupportedVersion`] if a newer version wrote it, or the disk's. Damage is no error.
    pub(crate) fn load(disk: &dyn Disk, dir: &Path) -> Result<LoadedPoint> {
        let path = path(dir);
        let mut newest: Option<(u64, RecoveryPoint)> = None;
        let (bytes, mut is_damaged) = match generations::read_file(disk, &path) {
            Ok(bytes) => (bytes.unwrap_or_default(), false),
            Err(Error::Corrupt(_)) => (Vec::new(), true),
            Err(error) => return Err(error),
        };
        for record in bytes.chunks(SECTOR_BYTES).take(2) {
            match decode(record) {
                Ok(Record::Point { generation, point }) => {
                    if newest.is_none_or(|(other, _)| other < generation) {
                        newest = Some((generation, point));
                    }
                }
                Ok(Record::Newer(found)) => {
                    return Err(Error::UnsupportedVersion { path, found, supported: VERSION });
                }
                Ok(Record::Unwritten) => {}
                Err(_) => is_damaged = true,
            }
        }
        let generation = newest.map_or(0, |(generation, _)| generation);
        let point = newest.map(|(_, point)| point);
        Ok(LoadedPoint { file: RecoveryPointFile { path, generation, is_new: true }, point, is_damaged })
    }

    /// Overwrites the older record. When this returns it survives a crash of the process, and perhaps a power cut.
    ///
    /// # Errors
    /// The disk's. Harmless: the point stays where it was.
    pub(crate) fn store(&mut self, files: &OpenFiles, point: &RecoveryPoint) -> Result<()> {
        let generation = self.generation.saturating_add(1);
        let sector = if generation.is_multiple_of(2) { 0 } else { SECTOR_BYTES as u64 };
        let write = || files.open(&self.path, Open::CreateOrWrite)?.write_at(&encode(generation, point), sector);
        write().map_err(|source| Error::io("write", &self.path, source))?;
        // Only now: after an error the same record is tried again, and the good one stays untouched.
        self.generation = generation;
        Ok(())
    }

    /// When this returns, what was stored survives a power cut.
    ///
    /// # Errors
    /// The disk's.
    pub(crate) fn sync(&mut self, files: &OpenFiles) -> Result<()> {
        let sync = || files.open(&self.path, Open::Write)?.sync();
        sync().map_err(|source| Error::io("sync", &self.path, source))?;
        if let Some(dir) = self.path.parent().filter(|_| self.is_new) {
            files.disk().sync_dir(dir).map_err(|source| Error::io("sync", dir, source))?;
            self.is_new = false;
        }
        Ok(())
    }
}

fn encode(generation: u64, point: &RecoveryPoint) -> Vec<u8> {
    let RecoveryPoint { base_offset, synced } = point;
    let crcs = synced.index_crcs;
    let flags = if synced.has_gaps { HAS_GAPS } else { 0 } | if crcs.is_some() { HAS_INDEX_CRCS } else { 0 };
    let mut bytes = Vec::with_capacity(RECORD_BYTES);
    bytes.extend(MAGIC);
    bytes.extend(VERSION.to_be_bytes());
    bytes.extend(flags.to_be_bytes());
    bytes.extend(generation.to_be_bytes());
    bytes.extend(base_offset.to_be_bytes());
    bytes.extend(synced.file_position.to_be_bytes());
    bytes.extend(synced.next_offset.to_be_bytes());
    bytes.extend(synced.leader_epoch.to_be_bytes());
    bytes.extend(crcs.map_or(0, |crcs| crcs.offset_index).to_be_bytes());
    bytes.extend(crcs.map_or(0, |crcs| crcs.time_index).to_be_bytes());
    bytes.extend(crc32fast::hash(&bytes).to_be_bytes());
    bytes
}

enum Record {
    Point {
        generation: u64,
        point: RecoveryPoint,
    },
    /// The sector was never written.
    Unwritten,
    /// Of this version, which is not understood here.
    Newer(u32),
}

fn decode(sector: &[u8]) -> Result<Record, Invalid> {
    const DAMAGED: Invalid = Invalid::Malformed("a record of the recovery point is damaged");
    let record = sector.get(..RECORD_BYTES).unwrap_or(sector);
    if record.iter().all(|&byte| byte == 0) {
        return Ok(Record::Unwritten);
    }
    let (checked, crc) = record.split_at_checked(CRC).ok_or(DAMAGED)?;
    let mut reader = Reader::new(checked);
    if reader.i64()?.to_be_bytes() != MAGIC || Reader::new(crc).u32()? != crc32fast::hash(checked) {
        return Err(DAMAGED);
    }
    let version = reader.u32()?;
    if version != VERSION {
        return Ok(Record::Newer(version));
    }
    let flags = reader.u32()?;
    if flags & !(HAS_GAPS | HAS_INDEX_CRCS) != 0 {
        // It may change what all the rest means: only a later version can have set it.
        return Ok(Record::Newer(VERSION + 1));
    }
    let generation = reader.i64()?.cast_unsigned();
    let base_offset = reader.i64()?.cast_unsigned();
    let file_position = reader.i64()?.cast_unsigned();
    let next_offset = reader.i64()?.cast_unsigned();
    let leader_epoch = reader.i32()?;
    let crcs = IndexCrcs { offset_index: reader.u32()?, time_index: reader.u32()? };
    let index_crcs = (flags & HAS_INDEX_CRCS != 0).then_some(crcs);
    let has_gaps = flags & HAS_GAPS != 0;
    if next_offset < base_offset || i64::try_from(next_offset).is_err() || i64::try_from(file_position).is_err() {
        return Err(DAMAGED);
    }
    let synced = ScanStart { file_position, next_offset, leader_epoch, has_gaps, index_crcs };
    Ok(Record::Point { generation, point: RecoveryPoint { base_offset, synced } })
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

    fn point(next_offset: u64) -> RecoveryPoint {
        let index_crcs = Some(IndexCrcs { offset_index: 1, time_index: 2 });
        let synced = ScanStart { file_position: 4096, next_offset, leader_epoch: 3, has_gaps: true, index_crcs };
        RecoveryPoint { base_offset: 10, synced }
    }

    fn files() -> Arc<OpenFiles> {
        OpenFiles::new(Arc::new(OsDisk::new()), OpenFilesConfig::default())
    }

    #[test]
    fn the_newest_point_counts() {
        let (dir, files) = (tempfile::tempdir().unwrap(), files());
        let disk = &**files.disk();
        let mut loaded = RecoveryPointFile::load(disk, dir.path()).unwrap();
        assert_eq!((loaded.point, loaded.is_damaged), (None, false));
        for next_offset in 20..25 {
            loaded.file.store(&files, &point(next_offset)).unwrap();
            let again = RecoveryPointFile::load(disk, dir.path()).unwrap();
            assert_eq!((again.point, again.is_damaged), (Some(point(next_offset)), false));
        }
    }

    #[test]
    fn a_damaged_record_leaves_the_one_before() {
        let (dir, files) = (tempfile::tempdir().unwrap(), files());
        let disk = &**files.disk();
        let mut loaded = RecoveryPointFile::load(disk, dir.path()).unwrap();
        (20..22).for_each(|next_offset| loaded.file.store(&files, &point(next_offset)).unwrap());
        let whole = generations::read_file(disk, &dir.path().join(FILE_NAME)).unwrap().unwrap();
        for at in (0..RECORD_BYTES).chain(SECTOR_BYTES..SECTOR_BYTES + RECORD_BYTES) {
            let mut bytes = whole.clone();
            bytes[at] ^= 0x10;
            generations::replace_file(disk, &dir.path().join(FILE_NAME), &bytes).unwrap();
            let again = RecoveryPointFile::load(disk, dir.path()).unwrap();
            let left = if at < SECTOR_BYTES { 20 } else { 21 };
            assert_eq!((again.point, again.is_damaged), (Some(point(left)), true));
        }
        for bytes in 0..whole.len() {
            generations::replace_file(disk, &dir.path().join(FILE_NAME), &whole[..bytes]).unwrap();
            let again = RecoveryPointFile::load(disk, dir.path()).unwrap();
            assert_eq!(again.point, (bytes >= RECORD_BYTES).then(|| point(21)));
        }
    }

    #[test]
    fn a_newer_version_is_refused() {
        let (dir, files) = (tempfile::tempdir().unwrap(), files());
        let mut bytes = encode(1, &point(20));
        bytes[11] = 2;
        let crc = crc32fast::hash(&bytes[..CRC]);
        bytes[CRC..].copy_from_slice(&crc.to_be_bytes());
        generations::replace_file(&**files.disk(), &dir.path().join(FILE_NAME), &bytes).unwrap();
        let refused = RecoveryPointFile::load(&**files.disk(), dir.path()).unwrap_err();
        assert!(matches!(refused, Error::UnsupportedVersion { found: 2, supported: 1, .. }));
    }
}
