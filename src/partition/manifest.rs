//! What sealed segments there must be: what Kafka lacks, so that a missing, shortened or swapped segment is noticed.
//!
//! ```text
//! byte  size  field                  payload of the file's generations (disk/generations.rs), big-endian
//!    0     8  log_start_offset
//!    8     4  segment_count
//!   12   48n  segments, ascending    byte  size  field of one segment
//!                                       0     8  base_offset
//!                                       8     8  next_offset           above base_offset
//!                                      16     8  log_bytes             size of the log file
//!                                      24     8  max_timestamp         −1 for none
//!                                      32     4  log_crc32             of the whole log file
//!                                      36     4  flags                 1: has gaps, 2: has index checksums
//!                                      40     4  offset_index_crc32    of the index files, as they were written at the roll
//!                                      44     4  time_index_crc32
//! ```
//! A crash leaves the old manifest or the new one.

use std::path::{Path, PathBuf};

use crate::disk::Disk;
use crate::disk::generations::{self, Kind};
use crate::error::{Error, Result};
use crate::format::{Invalid, Reader};
use crate::segment::{IndexCrcs, SealedSegment};

const KIND: Kind = Kind { magic: *b"OTTLAMAN", version: 1 };
const FILE_NAME: &str = "manifest";
const DAMAGED_NAME: &str = "manifest.damaged";

const COUNT_BYTES: usize = size_of::<u64>() + size_of::<u32>();
const SEGMENT_BYTES: usize = 48;
const FLAGS: usize = 36;

const HAS_GAPS: u32 = 1;
const HAS_INDEX_CRCS: u32 = 1 << 1;

/// The sealed segments of one log.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Manifest {
    /// The first offset that may be read. It may lie within a segment, and what ends below it is to be removed.
    pub(crate) log_start_offset: u64,
    /// The segments, ascending.
    pub(crate) segments: Vec<ManifestSegment>,
}

/// A sealed segment, with what proves it intact.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ManifestSegment {
    /// What it is.
    pub(crate) sealed: SealedSegment,
    /// CRC-32 of the whole log file.
    pub(crate) log_crc32: u32,
}

/// A manifest as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LoadedManifest {
    /// The manifest.
    pub(crate) manifest: Manifest,
    /// Whether the newest one may be lost, so that later segments may have been sealed, and this one's removed.
    pub(crate) fell_back: bool,
}

impl Manifest {
    /// Reads the manifest of a partition's directory; `None` if there is none.
    ///
    /// # Errors
    /// [`Error::Corrupt`] if neither generation is intact or the newest makes no sense, [`Error::UnsupportedVersion`] if a
    /// newer version wrote it, or the disk's.
    pub(crate) fn load(disk: &dyn Disk, dir: &Path) -> Result<Option<LoadedManifest>> {
        let path = path(dir);
        let Some(loaded) = generations::load(disk, &path, KIND)? else { return Ok(None) };
        if has_unknown_flags(&loaded.payload) {
            // It may change what all the rest means: only a later version can have set it.
            let (found, supported) = (KIND.version + 1, KIND.version);
            return Err(Error::UnsupportedVersion { path, found, supported });
        }
        let manifest = Manifest::decode(&loaded.payload).map_err(|reason| Error::corrupt_file(&path, 0, reason))?;
        Ok(Some(LoadedManifest { manifest, fell_back: loaded.fell_back }))
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

    /// Renames a manifest that cannot be read, so that another one can be stored. The caller syncs the directory.
    ///
    /// # Errors
    /// The disk's.
    pub(crate) fn set_aside(disk: &dyn Disk, dir: &Path) -> Result<PathBuf> {
        let (from, to) = (path(dir), dir.join(DAMAGED_NAME));
        disk.rename(&from, &to).map_err(|e| Error::io("rename", &from, e))?;
        Ok(to)
    }

    /// The same with `new` segments in the place of those with these base offsets, which follow one another. `None` if they
    /// do not.
    pub(crate) fn with_replaced(
        &self,
        old: impl ExactSizeIterator<Item = u64>,
        new: Vec<ManifestSegment>,
    ) -> Option<Manifest> {
        let mut old = old.peekable();
        let first = old.peek().copied()?;
        let start = self.segments.iter().position(|noted| noted.sealed.base_offset == first)?;
        let end = start + old.len();
        let replaced = self.segments.get(start..end)?;
        if !replaced.iter().map(|noted| noted.sealed.base_offset).eq(old) {
            return None;
        }
        let mut segments = self.segments.clone();
        segments.splice(start..end, new);
        Some(Manifest { segments, ..*self })
    }

    fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(COUNT_BYTES + self.segments.len() * SEGMENT_BYTES);
        bytes.extend(self.log_start_offset.to_be_bytes());
        bytes.extend(u32::try_from(self.segments.len()).unwrap_or(u32::MAX).to_be_bytes());
        for ManifestSegment { sealed, log_crc32 } in &self.segments {
            let crcs = sealed.index_crcs;
            let flags = if sealed.has_gaps { HAS_GAPS } else { 0 } | if crcs.is_some() { HAS_INDEX_CRCS } else { 0 };
            bytes.extend(sealed.base_offset.to_be_bytes());
            bytes.extend(sealed.next_offset.to_be_bytes());
            bytes.extend(sealed.log_bytes.to_be_bytes());
            bytes.extend(sealed.max_timestamp.unwrap_or(-1).to_be_bytes());
            bytes.extend(log_crc32.to_be_bytes());
            bytes.extend(flags.to_be_bytes());
            bytes.extend(crcs.map_or(0, |crcs| crcs.offset_index).to_be_bytes());
            bytes.extend(crcs.map_or(0, |crcs| crcs.time_index).to_be_bytes());
        }
        bytes
    }

    fn decode(bytes: &[u8]) -> Result<Manifest, &'static str> {
        const CUT_SHORT: &str = "the manifest has another size than its count of segments says";
        let decoded = || -> Result<Option<Manifest>, Invalid> {
            let mut reader = Reader::new(bytes);
            let log_start_offset = reader.i64()?.cast_unsigned();
            let segment_count = reader.u32()? as usize;
            if segment_count.checked_mul(SEGMENT_BYTES) != bytes.len().checked_sub(COUNT_BYTES) {
                return Ok(None);
            }
            let segments = (0..segment_count).map(|_| decode_segment(&mut reader)).collect::<Result<_, _>>()?;
            Ok(Some(Manifest { log_start_offset, segments }))
        };
        let manifest = decoded().ok().flatten().ok_or(CUT_SHORT)?;
        manifest.check()?;
        Ok(manifest)
    }

    /// Offsets rise, within and between segments, and all of them fit.
    fn check(&self) -> Result<(), &'static str> {
        if i64::try_from(self.log_start_offset).is_err() {
            return Err("the log start offset of a manifest is too large");
        }
        let mut least = 0;
        for ManifestSegment { sealed, .. } in &self.segments {
            let offsets = sealed.next_offset.checked_sub(sealed.base_offset);
            let has_offsets = offsets.is_some_and(|offsets| 0 < offsets && offsets <= 1 << 31);
            if !has_offsets || i64::try_from(sealed.next_offset).is_err() {
                return Err("the offsets of a manifest's segment are out of bounds");
            }
            if sealed.base_offset < least {
                return Err("the segments of a manifest overlap");
            }
            least = sealed.next_offset;
        }
        Ok(())
    }
}

fn decode_segment(reader: &mut Reader<'_>) -> Result<ManifestSegment, Invalid> {
    let base_offset = reader.i64()?.cast_unsigned();
    let next_offset = reader.i64()?.cast_unsigned();
    let log_bytes = reader.i64()?.cast_unsigned();
    let max_timestamp = Some(reader.i64()?).filter(|&timestamp| 0 <= timestamp);
    let log_crc32 = reader.u32()?;
    let flags = reader.u32()?;
    let crcs = IndexCrcs { offset_index: reader.u32()?, time_index: reader.u32()? };
    let has_gaps = flags & HAS_GAPS != 0;
    let index_crcs = (flags & HAS_INDEX_CRCS != 0).then_some(crcs);
    let sealed = SealedSegment { base_offset, next_offset, log_bytes, max_timestamp, has_gaps, index_crcs };
    Ok(ManifestSegment { sealed, log_crc32 })
}

/// Whether a segment has a flag that this version does not know.
fn has_unknown_flags(payload: &[u8]) -> bool {
    let segments = payload.get(COUNT_BYTES..).unwrap_or_default().chunks_exact(SEGMENT_BYTES);
    let flags = segments.filter_map(|segment| Some(u32::from_be_bytes(*segment.get(FLAGS..)?.first_chunk()?)));
    flags.into_iter().any(|flags| flags & !(HAS_GAPS | HAS_INDEX_CRCS) != 0)
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

    fn segment(base_offset: u64, next_offset: u64) -> ManifestSegment {
        let index_crcs = base_offset.is_multiple_of(2).then_some(IndexCrcs { offset_index: 5, time_index: 6 });
        let has_gaps = base_offset.is_multiple_of(3);
        let max_timestamp = (base_offset != 0).then_some(1_700_000_000_000);
        let sealed = SealedSegment { base_offset, next_offset, log_bytes: 77, max_timestamp, has_gaps, index_crcs };
        ManifestSegment { sealed, log_crc32: 9 }
    }

    fn manifest() -> Manifest {
        Manifest { log_start_offset: 4, segments: vec![segment(0, 10), segment(10, 11), segment(15, 100)] }
    }

    #[test]
    fn what_was_stored_is_loaded() {
        let dir = tempfile::tempdir().unwrap();
        let disk = OsDisk::new();
        assert_eq!(Manifest::load(&disk, dir.path()).unwrap(), None);
        Manifest::default().store(&disk, dir.path()).unwrap();
        manifest().store(&disk, dir.path()).unwrap();
        let loaded = Manifest::load(&disk, dir.path()).unwrap().unwrap();
        assert_eq!(loaded, LoadedManifest { manifest: manifest(), fell_back: false });
    }

    #[test]
    fn the_bytes_of_version_1_stay() {
        let bytes = Manifest { log_start_offset: 4, segments: vec![segment(10, 11)] }.encode();
        let expected: [&[u8]; 10] = [
            &[0, 0, 0, 0, 0, 0, 0, 4],
            &[0, 0, 0, 1],
            &[0, 0, 0, 0, 0, 0, 0, 10],
            &[0, 0, 0, 0, 0, 0, 0, 11],
            &[0, 0, 0, 0, 0, 0, 0, 77],
            &[0, 0, 0x01, 0x8b, 0xcf, 0xe5, 0x68, 0],
            &[0, 0, 0, 9],
            &[0, 0, 0, 2],
            &[0, 0, 0, 5],
            &[0, 0, 0, 6],
        ];
        assert_eq!(bytes, expected.concat());
    }

    #[test]
    fn a_manifest_that_makes_no_sense_is_refused() {
        let refused = |segments: Vec<ManifestSegment>| {
            Manifest::decode(&Manifest { log_start_offset: 0, segments }.encode()).is_err()
        };
        assert!(!refused(vec![]));
        assert!(refused(vec![segment(5, 5)]), "no offsets");
        assert!(refused(vec![segment(5, 4)]), "offsets going back");
        assert!(refused(vec![segment(0, 10), segment(9, 20)]), "an overlap");
        assert!(refused(vec![segment(10, 20), segment(0, 5)]), "not ascending");
        assert!(refused(vec![segment(0, 1 << 40)]), "more offsets than a segment holds");
        assert!(refused(vec![segment(1 << 63, (1 << 63) + 1)]), "offsets above the largest");
        let huge = Manifest { log_start_offset: 1 << 63, segments: vec![] };
        assert!(Manifest::decode(&huge.encode()).is_err());
    }

    proptest! {
        #[test]
        fn decoding_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = Manifest::decode(&bytes);
        }
    }
}
