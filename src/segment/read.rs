//! Finding and reading batches: no lock, no system call while the file is mapped, no allocation.
//!
//! What was written before this process opened the segment is verified when it is first come across, one region of the index
//! at a time: checksums, the order of offsets, and that the records in a batch are what its header says. A region that fails
//! is never marked, and `damage.rs` answers for it each time.

use super::damage::Wanted;
use super::scan::{self, Located};
use super::{Loaded, Segment};
use crate::disk::SharedBytes;
use crate::error::{Error, Result};
use crate::format::{self, BatchHeader, HEADER_BYTES, Invalid, Record, check_readable, plain_records};

/// A whole batch, verified.
#[derive(Debug, Clone)]
pub(crate) struct Batch {
    /// Its header.
    pub(crate) header: BatchHeader,
    /// Byte of the log file where it begins.
    pub(crate) file_position: u64,
    /// The batch, header included.
    pub(crate) bytes: SharedBytes,
}

impl Batch {
    /// Byte of the log file where it has ended and the next begins.
    pub(crate) fn end(&self) -> u64 {
        self.file_position + u64::from(self.header.batch_bytes)
    }

    /// The records as they are stored, compressed or not.
    pub(crate) fn records(&self) -> &[u8] {
        self.bytes.get(HEADER_BYTES..).unwrap_or_default()
    }
}

impl Segment {
    /// Finds the first batch with a last offset at or above `offset`. `None` if the segment has none.
    ///
    /// # Errors
    /// [`Error::Corrupt`] if `offset` lies in a damaged part; the disk's.
    pub(crate) fn locate(&self, offset: u64) -> Result<Option<Located>> {
        if self.next_offset() <= offset {
            return Ok(None);
        }
        let loaded = self.loaded()?;
        let mut region = loaded.indexes.region_of_offset(offset.saturating_sub(self.base_offset));
        loop {
            if !self.is_region_good(loaded, region)? {
                return self.locate_near_damage(loaded, region, Wanted::Offset(offset));
            }
            let log_bytes = loaded.log.len();
            let range = loaded.indexes.region_bytes(region, log_bytes);
            if let Some(found) = first_ending_at(offset, range.start, &self.view(loaded, range.clone())?) {
                // A hole before a region would otherwise be passed over.
                let is_in_hole = offset < found.header.base_offset() && !self.has_gaps();
                return if is_in_hole {
                    self.locate_near_damage(loaded, region, Wanted::Offset(offset))
                } else {
                    Ok(Some(found))
                };
            }
            if log_bytes <= range.end {
                return self.locate_near_damage(loaded, region, Wanted::Offset(offset));
            }
            region += 1;
        }
    }

    /// Finds the batch that begins at `file_position`, a place where a batch has ended, for a reader that wants `offset`
    /// next. `None` at the end of the log.
    ///
    /// Damage is passed over if all offsets that it took are below `offset`, so the batch may begin further behind.
    ///
    /// # Errors
    /// [`Error::Corrupt`] if the damage took offsets at or above `offset`; the disk's.
    pub(crate) fn locate_at(&self, file_position: u64, offset: u64) -> Result<Option<Located>> {
        Ok(self.find_at(self.loaded()?, file_position, offset)?.map(|(located, _)| located))
    }

    /// Also returns whether the records of the batch were looked at: where a region is known to be bad they were not.
    fn find_at(&self, loaded: &Loaded, file_position: u64, offset: u64) -> Result<Option<(Located, bool)>> {
        let log_bytes = loaded.log.len();
        if log_bytes <= file_position && self.is_complete_from(loaded, offset) {
            return Ok(None);
        }
        let is_good = self.is_good_at(loaded, file_position)?;
        if is_good && file_position < log_bytes {
            let end = log_bytes.min(file_position + HEADER_BYTES as u64);
            if let Ok(header) = BatchHeader::decode(&self.view(loaded, file_position..end)?)
                && (header.base_offset() <= offset || self.has_gaps())
            {
                return Ok(Some((Located { file_position, header }, true)));
            }
        }
        let region = loaded.indexes.region_of_position(file_position);
        let found = self.locate_near_damage(loaded, region, Wanted::Position { file_position, offset })?;
        Ok(found.map(|located| (located, false)))
    }

    /// The bytes of a batch that was located.
    ///
    /// # Errors
    /// [`Error::CodecUnavailable`] if its records cannot be expanded; [`Error::Corrupt`]; the disk's.
    pub(crate) fn read(&self, located: &Located) -> Result<Batch> {
        let loaded = self.loaded()?;
        let is_good = self.is_good_at(loaded, located.file_position)?;
        self.read_batch(loaded, located, is_good)
    }

    fn read_batch(&self, loaded: &Loaded, located: &Located, is_good: bool) -> Result<Batch> {
        check_readable(&located.header.start).map_err(|invalid| self.invalid(located, invalid))?;
        let bytes = self.view(loaded, located.file_position..located.end())?;
        if !is_good {
            check(&bytes, self.config.expanded_bytes_max(), &mut Vec::new())
                .map_err(|invalid| self.invalid(located, invalid))?;
        }
        Ok(Batch { header: located.header, file_position: located.file_position, bytes })
    }

    /// The bytes of a batch that was read before.
    ///
    /// # Errors
    /// The disk's.
    pub(crate) fn read_again(&self, located: &Located) -> Result<Batch> {
        self.read_batch(self.loaded()?, located, true)
    }

    /// The region that the batch with `offset` lies in, or begins right behind. `None` before the first read.
    pub(crate) fn region_of(&self, offset: u64) -> Option<usize> {
        let loaded = self.loaded.get()?;
        Some(loaded.indexes.region_of_offset(offset.saturating_sub(self.base_offset)))
    }

    /// The region that a batch at `file_position` lies in. `None` before the first read.
    pub(crate) fn region_at(&self, file_position: u64) -> Option<usize> {
        Some(self.loaded.get()?.indexes.region_of_position(file_position))
    }

    /// [`locate_at`](Segment::locate_at) and [`read`](Segment::read) in one.
    ///
    /// # Errors
    /// Those of both.
    pub(crate) fn batch_at(&self, file_position: u64, offset: u64) -> Result<Option<Batch>> {
        let loaded = self.loaded()?;
        match self.find_at(loaded, file_position, offset)? {
            Some((located, is_good)) => self.read_batch(loaded, &located, is_good).map(Some),
            None => Ok(None),
        }
    }

    /// Finds the first record at or above `from_offset` with a timestamp at or above `timestamp`, and returns its offset and
    /// timestamp. Control records count.
    ///
    /// # Errors
    /// [`Error::Corrupt`] if the answer may lie in a damaged part; [`Error::CodecUnavailable`]; the disk's.
    pub(crate) fn offset_for_time(&self, timestamp: i64, from_offset: u64) -> Result<Option<(u64, i64)>> {
        if self.max_timestamp().is_none_or(|max| max < timestamp) {
            return Ok(None);
        }
        let floor = self.loaded()?.indexes.time.floor(timestamp);
        let floor = floor.map_or(0, |entry| u64::from(entry.relative_offset));
        let start = from_offset.max(self.base_offset + floor);
        let mut next = self.locate(start)?;
        while let Some(located) = next {
            if timestamp <= located.header.max_timestamp
                && let Some(found) = self.record_for_time(&located, timestamp, from_offset)?
            {
                return Ok(Some(found));
            }
            next = self.locate_at(located.end(), located.header.next_offset())?;
        }
        Ok(None)
    }

    fn record_for_time(&self, located: &Located, timestamp: i64, from_offset: u64) -> Result<Option<(u64, i64)>> {
        let batch = self.read(located)?;
        let header = batch.header;
        let mut plain = Vec::new();
        let records = plain_records(&header, batch.records(), self.config.expanded_bytes_max(), &mut plain);
        let mut rest = records.map_err(|why| self.invalid(located, why))?;
        while !rest.is_empty() {
            let (record, bytes) = Record::decode(rest).map_err(|why| self.invalid(located, why))?;
            let offset = header.base_offset().wrapping_add_signed(i64::from(record.offset_delta));
            let record_timestamp = header.timestamp(record.timestamp_delta);
            if from_offset <= offset && timestamp <= record_timestamp {
                return Ok(Some((offset, record_timestamp)));
            }
            rest = rest.get(bytes..).unwrap_or_default();
        }
        Ok(None)
    }

    /// Whether all batches around a file position are right.
    #[inline]
    fn is_good_at(&self, loaded: &Loaded, file_position: u64) -> Result<bool> {
        if self.known_good_from <= file_position {
            return Ok(true);
        }
        self.is_region_good(loaded, loaded.indexes.region_of_position(file_position))
    }

    /// Whether all batches of a region are right, from its start up to what this process wrote.
    fn is_region_good(&self, loaded: &Loaded, region: usize) -> Result<bool> {
        let range = loaded.indexes.region_bytes(region, loaded.log.len());
        if self.known_good_from <= range.start || loaded.verified.contains(region) {
            return Ok(true);
        }
        let end = range.end.min(self.known_good_from);
        if end < range.start {
            return Ok(false);
        }
        let bytes = self.view(loaded, range.start..end)?;
        let is_good = self.check_region(loaded, region, &bytes);
        if is_good {
            loaded.verified.insert(region);
        }
        Ok(is_good)
    }

    fn check_region(&self, loaded: &Loaded, region: usize, bytes: &[u8]) -> bool {
        let entry = loaded.indexes.region_entry(region);
        let mut next_offset = self.base_offset;
        let mut rest = bytes;
        let mut plain = Vec::new();
        while !rest.is_empty() {
            let Ok(header) = check(rest, self.config.expanded_bytes_max(), &mut plain) else { return false };
            let is_first = rest.len() == bytes.len();
            let is_next = match entry.filter(|_| is_first) {
                Some(entry) => header.last_offset() == self.base_offset + u64::from(entry.relative_offset),
                None => header.base_offset() == next_offset || next_offset < header.base_offset() && self.has_gaps(),
            };
            let is_within = header.next_offset() <= self.old_end_offset;
            if !is_next || !is_within || !scan::fits_segment(self.base_offset, &header) {
                return false;
            }
            next_offset = header.next_offset();
            rest = rest.get(header.batch_bytes as usize..).unwrap_or_default();
        }
        true
    }

    /// Whether it is right that nothing is left in the log file for a reader that wants `offset` next.
    fn is_complete_from(&self, loaded: &Loaded, offset: u64) -> bool {
        self.next_offset() <= offset || self.has_gaps() && !self.is_cut_short(loaded)
    }

    /// Whether the log file of a sealed segment is shorter than it was.
    pub(super) fn is_cut_short(&self, loaded: &Loaded) -> bool {
        loaded.log.len() < self.log_bytes()
    }

    /// Bytes of the log file.
    fn view(&self, loaded: &Loaded, range: std::ops::Range<u64>) -> Result<SharedBytes> {
        loaded.log.view(range).map_err(|source| Error::io("read", &self.path(), source))
    }
}

/// The first batch of a region that is known to be good with a last offset at or above `offset`.
fn first_ending_at(offset: u64, mut file_position: u64, region: &[u8]) -> Option<Located> {
    let mut rest = region;
    loop {
        let header = BatchHeader::decode(rest).ok()?;
        if offset <= header.last_offset() {
            return Some(Located { file_position, header });
        }
        file_position += u64::from(header.batch_bytes);
        rest = rest.get(header.batch_bytes as usize..)?;
    }
}

/// Checks everything about the batch that `bytes` begin with, but for its place in the log; its records may expand to at most
/// `expanded_bytes_max` bytes. `plain` is a buffer to reuse.
pub(super) fn check(bytes: &[u8], expanded_bytes_max: usize, plain: &mut Vec<u8>) -> Result<BatchHeader, Invalid> {
    let header = format::verify(bytes)?;
    let records = bytes.get(HEADER_BYTES..header.batch_bytes as usize).unwrap_or_default();
    match plain_records(&header, records, expanded_bytes_max, plain) {
        Ok(records) => format::check_records(&header, records)?,
        // Nothing is known to be wrong; who wants the records is told.
        Err(Invalid::Codec(_)) => {}
        Err(malformed) => return Err(malformed),
    }
    Ok(header)
}
