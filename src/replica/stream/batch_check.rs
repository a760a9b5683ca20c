//! [`BatchCheck`]: whether the bytes of a log file are whole batches with the right offsets, looked at as they come.

use std::ops::Range;

use super::frame::invalid;
use crate::error::Result;
use crate::format::{BatchHeader, CRC_START, HEADER_BYTES, crc32c_append};
use crate::partition::manifest::ManifestSegment;
use crate::segment::{HeaderSums, fits_segment, reason_of};

/// Looks at the bytes of a log file as they come. Nothing is kept of them but a header.
pub(super) struct BatchCheck {
    base_offset: u64,
    /// What the next batch begins with, and where all of them end.
    offsets: Range<u64>,
    may_skip: bool,
    /// The header of the batch that is looked at, as far as it has come.
    header: Vec<u8>,
    /// What is still to come of it behind its header, and the checksum so far, and as it is to be.
    rest: usize,
    crc: (u32, u32),
    /// The byte of the file where it begins, and so many have come.
    start: u64,
    position: u64,
    sums: Option<HeaderSums>,
}

impl BatchCheck {
    /// For the log file of a sealed segment.
    pub(super) fn new(noted: &ManifestSegment) -> BatchCheck {
        BatchCheck {
            base_offset: noted.sealed.base_offset,
            offsets: noted.sealed.base_offset..noted.sealed.next_offset,
            may_skip: noted.sealed.has_gaps,
            header: Vec::with_capacity(HEADER_BYTES),
            rest: 0,
            crc: (0, 0),
            start: 0,
            position: 0,
            sums: None,
        }
    }

    /// Looks at the bytes that come next.
    ///
    /// # Errors
    /// [`Error::InvalidStream`](crate::Error::InvalidStream).
    pub(super) fn take(&mut self, mut bytes: &[u8]) -> Result<()> {
        while !bytes.is_empty() {
            let wanted = if self.rest == 0 { HEADER_BYTES - self.header.len() } else { self.rest };
            let (now, later) = bytes.split_at(wanted.min(bytes.len()));
            (bytes, self.position) = (later, self.position + now.len() as u64);
            if self.rest == 0 {
                self.header.extend_from_slice(now);
                if self.header.len() == HEADER_BYTES {
                    self.take_header()?;
                }
            } else {
                self.crc.0 = crc32c_append(self.crc.0, now);
                self.rest -= now.len();
            }
            if self.rest == 0 && self.header.len() == HEADER_BYTES {
                self.end_batch()?;
            }
        }
        Ok(())
    }

    fn take_header(&mut self) -> Result<()> {
        let header = BatchHeader::decode(&self.header).map_err(|refused| invalid(reason_of(refused)))?;
        check_offsets(&header, &self.offsets, self.may_skip)?;
        if !fits_segment(self.base_offset, &header) {
            return Err(invalid("the offset of a batch is too far above its segment's"));
        }
        self.crc = (crc32c_append(0, self.header.get(CRC_START..).unwrap_or_default()), header.crc);
        // Not below, by what it was decoded to.
        self.rest = header.batch_bytes as usize - HEADER_BYTES;
        self.offsets.start = header.next_offset();
        self.start = self.position - HEADER_BYTES as u64;
        Ok(())
    }

    fn end_batch(&mut self) -> Result<()> {
        if self.crc.0 != self.crc.1 {
            return Err(invalid("the checksum of a batch does not match"));
        }
        let (last, last_position) = (crc32fast::hash(&self.header), self.start);
        let first = self.sums.map_or(last, |sums| sums.first);
        self.sums = Some(HeaderSums { first, last, last_position });
        self.header.clear();
        Ok(())
    }

    /// Whether the file that has come is this one.
    ///
    /// # Errors
    /// [`Error::InvalidStream`](crate::Error::InvalidStream) if not.
    pub(super) fn end(self, noted: &ManifestSegment) -> Result<()> {
        if !self.header.is_empty() {
            return Err(invalid("a log file ends within a batch"));
        }
        if !self.offsets.is_empty() && !self.may_skip {
            return Err(invalid("a log file ends before its last offsets"));
        }
        match noted.sealed.headers {
            Some(headers) if self.sums != Some(headers) => {
                Err(invalid("a log file has other batches than is said of it"))
            }
            _ => Ok(()),
        }
    }
}

/// Whether a batch is the next one where the batches in `offsets` are to come.
///
/// # Errors
/// [`Error::InvalidStream`](crate::Error::InvalidStream) if not.
pub(super) fn check_offsets(header: &BatchHeader, offsets: &Range<u64>, may_skip: bool) -> Result<()> {
    let follows = header.base_offset() == offsets.start || may_skip && offsets.start < header.base_offset();
    if follows && header.next_offset() <= offsets.end {
        Ok(())
    } else {
        Err(invalid("a batch does not have the offsets that are to come next"))
    }
}
