//! Reading a whole segment to prove it intact: every batch, every record in it, every index entry.
//!
//! All reads are plain ones, so that a medium that fails to deliver is a finding and no signal. Nothing is changed, and
//! nothing that was verified before is believed. Memory is bounded by the largest batch. The log file is read once, for the checksums
//! of its batches and for its own; or only its headers are, which tells of what is missing and of what is out of place.

use std::cell::RefCell;
use std::io;

use super::derived_files::FileSum;
use super::file_name::FileKind;
use super::indexes::{IndexCrcs, Indexes};
use super::read::check;
use super::scan::{self, Damage, Located, LogWalk, Piece};
use super::{FileName, Loaded, Segment, offset_index, time_index};
use crate::disk::Open;
use crate::error::{Corruption, Error, Result, is_passing};

/// How much is read.
#[derive(Clone, Copy)]
pub(crate) struct Reading<'r> {
    /// Whether only the headers of batches are read, and the index files.
    pub(crate) is_of_headers: bool,
    /// How many segments of a log are read at a time.
    pub(crate) threads: usize,
    /// Told how many bytes of a log file were dealt with since the last time.
    pub(crate) on_bytes: &'r (dyn Fn(u64) + Sync),
}

/// What was found in a segment.
#[derive(Debug, Default)]
pub(crate) struct SegmentVerification {
    /// Batches that are intact.
    pub(crate) batches: u64,
    /// Records in them.
    pub(crate) records: u64,
    /// Bytes of the log file that were read.
    pub(crate) log_bytes: u64,
    /// Entries of the index files that were compared with the log.
    pub(crate) index_entries: u64,
    /// What is not what was written.
    pub(crate) damage: Vec<Corruption>,
    /// Index files that are not what the log makes of them: they are not believed, and made anew.
    pub(crate) stale: Vec<Corruption>,
}

impl SegmentVerification {
    /// Whether nothing was found.
    pub(crate) fn is_clean(&self) -> bool {
        self.damage.is_empty() && self.stale.is_empty()
    }
}

impl Segment {
    /// Reads everything again; `log_crc32` is that of the whole log file if the manifest has it. Where the segment is not
    /// noted there, the log may have grown since its index files were written.
    ///
    /// # Errors
    /// Those of the disk that other work may release, such as a lack of handles. Any other is a finding.
    pub(crate) fn verify(
        &self,
        is_noted: bool,
        log_crc32: Option<u32>,
        reading: Reading<'_>,
    ) -> Result<SegmentVerification> {
        let mut found = SegmentVerification::default();
        let loaded = match self.loaded() {
            Err(Error::Corrupt(missing)) => {
                found.damage.push(*missing);
                return Ok(found);
            }
            loaded => loaded?,
        };
        let sum = RefCell::new(RunningSum::new(log_crc32.filter(|_| !reading.is_of_headers)));
        let indexes = self.verify_batches(loaded, reading, &sum, &mut found)?;
        if found.damage.is_empty() {
            self.verify_crc(sum.into_inner(), &mut found)?;
            self.verify_indexes(&indexes, !is_noted, &mut found)?;
        }
        Ok(found)
    }

    /// Walks through the log file; returns the indexes that it makes.
    fn verify_batches(
        &self,
        loaded: &Loaded,
        reading: Reading<'_>,
        sum: &RefCell<RunningSum>,
        found: &mut SegmentVerification,
    ) -> Result<Indexes> {
        let indexes = Indexes::empty();
        // Before the length: what is counted here is then in the file, if the file is whole.
        let next_offset = self.next_offset();
        found.log_bytes = loaded.log.len();
        let read_at = |buffer: &mut [u8], position| {
            let read = loaded.log.read_at(buffer, position)?;
            if !reading.is_of_headers {
                (reading.on_bytes)(sum.borrow_mut().add(buffer.get(..read).unwrap_or_default(), position));
            }
            Ok(read)
        };
        let (end, rules) = (found.log_bytes, self.rules());
        let mut walk = if reading.is_of_headers {
            LogWalk::of_headers(&read_at, end, rules, self.base_offset())
        } else {
            LogWalk::new(&read_at, end, rules, 0, self.base_offset())
        };
        let mut plain = Vec::new();
        loop {
            let (file_position, offset) = (walk.file_position(), walk.next_offset());
            let damage = |file_position, offsets, reason| Damage { file_position, bytes: 0, offsets, reason };
            match walk.next(next_offset) {
                Ok(Piece::Batch(batch)) if reading.is_of_headers => {
                    indexes.append(&batch, self.base_offset(), self.config.index_interval_bytes());
                    found.batches += 1;
                    found.records += u64::from(batch.header.record_count.unsigned_abs());
                    (reading.on_bytes)(batch.header.batch_bytes.into());
                }
                Ok(Piece::Batch(batch)) => {
                    indexes.append(&batch, self.base_offset(), self.config.index_interval_bytes());
                    self.verify_records(&batch, walk.batch_bytes(&batch), &mut plain, found)?;
                }
                Ok(Piece::Damage(damage)) => found.damage.push(self.corruption(&damage)),
                Ok(Piece::Tail(reason)) => {
                    found.damage.push(self.corruption(&damage(file_position, offset..offset, reason)));
                    break;
                }
                Ok(Piece::End) => {
                    // Where offsets may be missing, only the size tells that batches are.
                    if self.has_gaps() && self.is_cut_short(loaded) {
                        let reason = "the log file ends before its last offsets";
                        found.damage.push(self.corruption(&damage(file_position, offset..next_offset, reason)));
                    }
                    break;
                }
                Err(error) => {
                    self.passing_or(error)?;
                    let lost = offset..next_offset.max(offset);
                    found.damage.push(self.corruption(&damage(file_position, lost, UNREADABLE)));
                    break;
                }
            }
        }
        Ok(indexes)
    }

    /// Looks at the records of a batch whose checksum is right. `plain` is a buffer for this only.
    fn verify_records(
        &self,
        batch: &Located,
        bytes: io::Result<&[u8]>,
        plain: &mut Vec<u8>,
        found: &mut SegmentVerification,
    ) -> Result<()> {
        let header = &batch.header;
        let reason = match bytes {
            Ok(bytes) => check(bytes, self.config.expanded_bytes_max(), plain).err().map(scan::reason),
            Err(error) => self.passing_or(error).map(|()| Some(UNREADABLE))?,
        };
        let Some(reason) = reason else {
            found.batches += 1;
            found.records += u64::from(header.record_count.unsigned_abs());
            return Ok(());
        };
        found.damage.push(self.corruption(&Damage {
            file_position: batch.file_position,
            bytes: u64::from(header.batch_bytes),
            offsets: header.base_offset()..header.next_offset(),
            reason,
        }));
        Ok(())
    }

    /// The checksum of the whole file covers what no batch's does: base offsets, lengths, leader epochs.
    fn verify_crc(&self, sum: RunningSum, found: &mut SegmentVerification) -> Result<()> {
        let Some(expected) = sum.expected else { return Ok(()) };
        // The walk has read all of it, unless it was led astray.
        let is_whole = sum.bytes == found.log_bytes;
        let reason = match if is_whole { Ok(sum.crc.finalize()) } else { self.log_crc32() } {
            Ok(crc) if crc == expected => return Ok(()),
            Ok(_) => "the log file is not the one that was sealed",
            Err(Error::Io { source, .. }) => self.passing_or(source).map(|()| UNREADABLE)?,
            Err(error) => return Err(error),
        };
        let offsets = self.base_offset()..self.next_offset();
        found.damage.push(self.corruption(&Damage { file_position: 0, bytes: found.log_bytes, offsets, reason }));
        Ok(())
    }

    /// Compares the index files with what the log makes of them, if they were ever written.
    fn verify_indexes(&self, indexes: &Indexes, may_have_grown: bool, found: &mut SegmentVerification) -> Result<()> {
        let Some(IndexCrcs { offset_index, time_index }) = *self.index_crcs.lock() else { return Ok(()) };
        let offsets = (FileKind::OffsetIndex, offset_index, indexes.offset.encode(), offset_index::ENTRY_BYTES, 0);
        let times = indexes.time.encode(indexes.times().max);
        // The file's last entry was made at its writing, and goes when the log grows.
        let times = (FileKind::TimeIndex, time_index, times, time_index::ENTRY_BYTES, usize::from(may_have_grown));
        for (kind, sum, expected, entry_bytes, passing_entries) in [offsets, times] {
            let path = FileName::live(self.base_offset(), kind).in_stage(self.stage).path(&self.dir.path);
            let reason = match self.read_index(&path, expected.len()) {
                Ok(bytes) if FileSum::of(&bytes) != sum => Some("not the index file that was written"),
                Ok(bytes) => {
                    let kept = bytes.len().saturating_sub(passing_entries * entry_bytes);
                    found.index_entries += (bytes.len() / entry_bytes) as u64;
                    let same = expected.get(..kept) == bytes.get(..kept) && (may_have_grown || expected.len() == kept);
                    (!same).then_some("the entries of the index are not those that the log makes")
                }
                // Without entries there need not be one.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    (sum != FileSum::default()).then_some("the index file is missing")
                }
                Err(error) => self.passing_or(error).map(|()| Some(UNREADABLE))?,
            };
            found.stale.extend(reason.map(|reason| Corruption {
                partition: Some(self.partition().clone()),
                path,
                file_position: 0,
                offsets: None,
                reason,
            }));
        }
        Ok(())
    }

    /// An index file as far as it may be right: longer than what the log makes it cannot be.
    fn read_index(&self, path: &std::path::Path, bytes_max: usize) -> io::Result<Vec<u8>> {
        let file = self.dir.files.open(path, Open::Read)?;
        let mut bytes = vec![0; bytes_max + 1];
        let read = file.read_at(&mut bytes, 0)?;
        bytes.truncate(read);
        Ok(bytes)
    }

    /// An error that other work may release is passed on; any other is a finding.
    fn passing_or(&self, error: io::Error) -> Result<()> {
        if is_passing(&error) { Err(Error::io("read", &self.path(), error)) } else { Ok(()) }
    }
}

/// The checksum of a log file, as far as a walk has read it.
struct RunningSum {
    /// What it should come to; without, nothing is computed.
    expected: Option<u32>,
    crc: crc32fast::Hasher,
    bytes: u64,
}

impl RunningSum {
    fn new(expected: Option<u32>) -> RunningSum {
        RunningSum { expected, crc: crc32fast::Hasher::new(), bytes: 0 }
    }

    /// Adds what was read at a position, as far as it continues what was read before; returns how much that is.
    fn add(&mut self, read: &[u8], position: u64) -> u64 {
        let known = self.bytes.checked_sub(position).and_then(|known| usize::try_from(known).ok());
        let Some(new) = known.and_then(|known| read.get(known..)) else { return 0 };
        if self.expected.is_some() {
            self.crc.update(new);
        }
        self.bytes += new.len() as u64;
        new.len() as u64
    }
}

const UNREADABLE: &str = "the medium does not deliver it";
