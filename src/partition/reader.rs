//! Reading a log: from an offset on, out of segments without copying and out of the open batch by one copy.
//!
//! Takes no lock, and knows neither who writes the log nor whether anyone does.

use std::ops::Range;
use std::sync::Arc;

use super::config::expanded_bytes_max;
use crate::disk::SharedBytes;
use crate::error::{Corruption, Error, Result};
use crate::format::{BatchHeader, Codec, HEADER_BYTES, Record, decompress, skip};
use crate::record::{Fetched, FetchedBatch, TailPosition};
use crate::segment::{Batch, Segment};
use crate::tail::Identity;
use crate::topic_partition::TopicPartition;

/// How much to read at most. One record is returned even if it is larger.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FetchLimits {
    pub(crate) bytes_max: usize,
    pub(crate) records_max: usize,
}

/// What a read needs to know of a log, whoever keeps it.
pub(super) struct Source<'l> {
    pub(super) partition: &'l TopicPartition,
    pub(super) topic_id: u128,
    pub(super) segments: &'l [Arc<Segment>],
    /// Published records behind the segments, in offset order.
    pub(super) tail: &'l [TailRecords<'l>],
    pub(super) damage: &'l [Corruption],
    /// The offsets that may be read.
    pub(super) bounds: Range<u64>,
    pub(super) max_message_bytes: u32,
}

/// Records of an open batch.
#[derive(Clone, Copy)]
pub(super) struct TailRecords<'l> {
    pub(super) identity: &'l Identity,
    pub(super) records: &'l [u8],
}

impl Source<'_> {
    /// Reads records from offset `from` (included) on, as far as the bounds and limits allow; `tail` is where the last read
    /// ended, if known.
    ///
    /// # Errors
    /// [`Error::OffsetOutOfRange`] below the log start or above the visible end, [`Error::Corrupt`] and
    /// [`Error::CodecUnavailable`] if the first batch cannot be read (what comes before a later one is returned).
    pub(super) fn fetch(&self, from: u64, limits: FetchLimits, tail: Option<TailPosition>) -> Result<Fetched> {
        let Range { start, end } = self.bounds;
        if from < start || from > end {
            let partition = self.partition.clone();
            return Err(Error::OffsetOutOfRange {
                partition,
                requested: from,
                log_start_offset: start,
                log_end_offset: end,
            });
        }
        let partition = self.partition.clone();
        let (batches, topic_id) = (Vec::new(), self.topic_id);
        let fetched = Fetched { partition, topic_id, batches, record_count: 0, next_offset: from, tail: None };
        let mut fetch = Fetch { source: self, from, end, limits, tail, fetched, bytes: 0, full: false };
        match fetch.run() {
            Err(error) if fetch.fetched.next_offset == from => Err(error),
            // What was read is good; the next read meets the error at its start.
            _ => Ok(fetch.fetched),
        }
    }

    /// The first offset within bounds whose record has a timestamp of at least `timestamp_ms`.
    pub(super) fn offset_for_time(&self, timestamp_ms: i64) -> Result<Option<u64>> {
        for segment in self.segments {
            if segment.max_timestamp().is_some_and(|max| max >= timestamp_ms)
                && let Some((offset, _)) = segment.offset_for_time(timestamp_ms, self.bounds.start)?
            {
                return Ok(Some(offset).filter(|offset| self.bounds.contains(offset)));
            }
        }
        let found = self.tail.iter().find_map(|tail| tail.first_at_or_after(timestamp_ms));
        Ok(found.filter(|offset| self.bounds.contains(offset)))
    }
}

impl TailRecords<'_> {
    fn first_at_or_after(&self, timestamp_ms: i64) -> Option<u64> {
        let mut rest = self.records;
        while let Ok((record, bytes)) = Record::decode(rest) {
            if self.identity.base_timestamp.wrapping_add(record.timestamp_delta) >= timestamp_ms {
                return self.identity.base_offset.checked_add_signed(i64::from(record.offset_delta));
            }
            rest = rest.get(bytes..)?;
        }
        None
    }
}

/// One read under way.
struct Fetch<'l> {
    source: &'l Source<'l>,
    from: u64,
    end: u64,
    limits: FetchLimits,
    /// Where the last read ended.
    tail: Option<TailPosition>,
    fetched: Fetched,
    bytes: usize,
    full: bool,
}

impl Fetch<'_> {
    fn run(&mut self) -> Result<()> {
        let segments = self.source.segments;
        let first = segments.partition_point(|segment| segment.base_offset() <= self.from).saturating_sub(1);
        for segment in segments.get(first..).unwrap_or_default() {
            if self.is_done() || segment.base_offset() >= self.end {
                break;
            }
            self.read_segment(segment)?;
        }
        for tail in self.source.tail {
            if !self.is_done() {
                self.read_tail(*tail)?;
            }
        }
        // At the end there may be a hole with nothing behind it.
        if self.is_done() { Ok(()) } else { self.check_damage() }
    }

    fn is_done(&self) -> bool {
        self.full || self.fetched.next_offset >= self.end
    }

    fn read_segment(&mut self, segment: &Arc<Segment>) -> Result<()> {
        self.check_damage()?;
        let Some(located) = segment.locate(self.fetched.next_offset)? else { return Ok(()) };
        let mut file_position = located.file_position;
        while !self.is_done()
            && let Some(batch) = segment.batch_at(file_position, self.fetched.next_offset)?
        {
            if batch.header.base_offset >= self.end {
                break;
            }
            self.take(segment, &batch)?;
            file_position = batch.end();
            self.check_damage()?;
        }
        Ok(())
    }

    /// Fails where opening found offsets that are not there.
    fn check_damage(&self) -> Result<()> {
        let next = self.fetched.next_offset;
        match self.source.damage.iter().find(|damage| damage.is_at(next)) {
            Some(damage) if next < self.end => Err(Error::Corrupt(Box::new(damage.clone()))),
            _ => Ok(()),
        }
    }

    fn take(&mut self, segment: &Segment, batch: &Batch) -> Result<()> {
        let header = &batch.header;
        if header.attributes.is_control() {
            self.fetched.next_offset = header.next_offset();
            return Ok(());
        }
        let records = match header.attributes.codec() {
            Codec::None => batch.bytes.slice(HEADER_BYTES..batch.bytes.len()).unwrap_or_default(),
            codec => self.decompress(segment, batch, codec)?,
        };
        let whole = header.base_offset >= self.from
            && header.next_offset() <= self.end
            && self.bytes + records.len() <= self.limits.bytes_max
            && self.fetched.record_count + header.record_count.unsigned_abs() as usize <= self.limits.records_max;
        if whole {
            self.push(header, records, header.record_count.unsigned_abs() as usize, header.next_offset());
            return Ok(());
        }
        let cut = self.cut(&records, 0, header.base_offset, header.next_offset());
        let cut =
            cut.ok_or_else(|| unreadable(self.source, segment, batch, "records do not end where the batch does"))?;
        self.push(header, records.slice(cut.bytes).unwrap_or_default(), cut.record_count, cut.next_offset);
        Ok(())
    }

    fn push(&mut self, header: &BatchHeader, records: SharedBytes, record_count: usize, next_offset: u64) {
        self.bytes += records.len();
        self.fetched.record_count += record_count;
        self.fetched.next_offset = next_offset;
        if record_count > 0 {
            self.fetched.batches.push(FetchedBatch {
                records,
                base_offset: header.base_offset,
                base_timestamp: header.base_timestamp,
                append_time: header.attributes.is_log_append_time().then_some(header.max_timestamp),
                leader_epoch: header.leader_epoch,
            });
        }
    }

    /// Copies what is published and visible of the open batch, so that its slot can be used again.
    fn read_tail(&mut self, TailRecords { identity, records }: TailRecords<'_>) -> Result<()> {
        self.check_damage()?;
        let start = self.place_in_tail(identity.base_offset, records);
        let Some(cut) = self.cut(records, start, identity.base_offset, self.end) else {
            return Err(Error::InvalidState { reason: "an open batch does not hold whole records" });
        };
        let (base_offset, next_offset) = (identity.base_offset, cut.next_offset);
        self.fetched.tail = Some(TailPosition { base_offset, next_offset, records_bytes: cut.bytes.end });
        let copied = records.get(cut.bytes).unwrap_or_default();
        self.bytes += copied.len();
        self.fetched.record_count += cut.record_count;
        self.fetched.next_offset = cut.next_offset;
        if cut.record_count > 0 {
            self.fetched.batches.push(FetchedBatch {
                records: SharedBytes::from(copied.to_vec()),
                base_offset: identity.base_offset,
                base_timestamp: identity.base_timestamp,
                append_time: None,
                leader_epoch: identity.leader_epoch,
            });
        }
        Ok(())
    }

    /// Where to begin in an open batch: where the last read ended, if that was in this batch, else at its start.
    fn place_in_tail(&self, base_offset: u64, records: &[u8]) -> usize {
        let seen = self.tail.filter(|tail| tail.base_offset == base_offset && tail.next_offset == self.from);
        let place = seen.map_or(0, |tail| tail.records_bytes);
        let next = records.get(place..).and_then(|rest| skip(rest).ok());
        let continues =
            next.is_some_and(|(delta, _)| base_offset.checked_add_signed(i64::from(delta)) == Some(self.from));
        if continues { place } else { 0 }
    }

    /// The piece of `records`, from byte `start` on, that lies within the asked offsets and limits; `None` if they are not
    /// whole records.
    fn cut(&mut self, records: &[u8], start: usize, base_offset: u64, batch_end: u64) -> Option<Cut> {
        let next_offset = batch_end.min(self.end).max(self.from);
        let mut cut = Cut { bytes: start..start, record_count: 0, next_offset };
        let mut at = start;
        while at < records.len() {
            let (delta, bytes) = skip(records.get(at..)?).ok()?;
            let offset = base_offset.checked_add_signed(i64::from(delta))?;
            if offset >= self.end {
                break;
            }
            if offset >= self.from {
                if self.is_over(cut.bytes.len() + bytes, cut.record_count + 1) {
                    self.full = true;
                    cut.next_offset = offset;
                    break;
                }
                if cut.record_count == 0 {
                    cut.bytes.start = at;
                }
                cut.bytes.end = at + bytes;
                cut.record_count += 1;
            }
            at += bytes;
        }
        Some(cut)
    }

    /// Whether so much more is beyond the limits; the first record never is.
    fn is_over(&self, bytes: usize, record_count: usize) -> bool {
        let records = self.fetched.record_count + record_count;
        records > 1 && (records > self.limits.records_max || self.bytes + bytes > self.limits.bytes_max)
    }

    fn decompress(&self, segment: &Segment, batch: &Batch, codec: Codec) -> Result<SharedBytes> {
        let bytes_max = expanded_bytes_max(self.source.max_message_bytes);
        let mut plain = Vec::new();
        let compressed = batch.bytes.get(HEADER_BYTES..).unwrap_or_default();
        decompress(codec, compressed, bytes_max, &mut plain)
            .map_err(|_| unreadable(self.source, segment, batch, "the records cannot be decompressed"))?;
        Ok(SharedBytes::from(plain))
    }
}

/// A piece of a batch's records.
struct Cut {
    bytes: Range<usize>,
    record_count: usize,
    next_offset: u64,
}

fn unreadable(source: &Source<'_>, segment: &Segment, batch: &Batch, reason: &'static str) -> Error {
    Error::Corrupt(Box::new(Corruption {
        partition: Some(source.partition.clone()),
        path: segment.path(),
        file_position: batch.file_position,
        offsets: Some(batch.header.base_offset..batch.header.next_offset()),
        reason,
    }))
}

#[cfg(test)]
mod tests;
