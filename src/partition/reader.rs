//! Reading a log: from an offset on, out of segments without copying and out of the open batch by one copy.
//!
//! Takes no lock, and knows neither who writes the log nor whether anyone does.

mod place;
mod reading_on;
mod waypoints;

use std::ops::Range;
use std::sync::Arc;

pub(crate) use place::Place;
use place::{Start, WhichBatch};
pub(crate) use waypoints::Waypoints;
use waypoints::{Known, is_large};

use super::counters::LogCounters;
use super::producer_state::aborted::AbortedTransactions;
use super::topic_settings::TopicSettings;
use crate::disk::SharedBytes;
use crate::error::{ClosedBy, Corruption, Error, Result};
use crate::format::{BatchHeader, BatchStart, HEADER_BYTES, Record, is_plain, plain_records, step_over};
use crate::record::{Fetched, FetchedBatch};
use crate::segment::{Batch, Located, Segment};
use crate::tail::{FollowedBatch, Identity, OpenBatch};
use crate::topic_partition::TopicPartition;

/// How much to read at most. One record is returned even if it is larger.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FetchLimits {
    pub(crate) bytes_max: usize,
    pub(crate) records_max: usize,
}

/// Room for the batches of a read that has found one. Most are small.
const BATCHES_AT_FIRST: usize = 4;

/// What a read needs to know of a log, whoever keeps it.
pub(super) struct Source<'l> {
    pub(super) partition: &'l TopicPartition,
    pub(super) topic_id: u128,
    pub(super) segments: &'l [Arc<Segment>],
    /// Published records behind the segments, in offset order.
    pub(super) tail: &'l [TailRecords<'l>],
    pub(super) damage: &'l [Corruption],
    /// What is known of batches in the segments, where they are mapped.
    pub(super) waypoints: Option<&'l Waypoints>,
    /// The offsets that may be read.
    pub(super) bounds: Range<u64>,
    /// Where a reader may stand that finds nothing there: behind these bounds as long as a transaction is open.
    pub(super) high_watermark: u64,
    /// What was aborted, for who is not to see it; `None` where nothing was.
    pub(super) aborted: Option<&'l AbortedTransactions>,
    /// Looked at where something is compressed.
    pub(super) settings: &'l TopicSettings,
    /// Where it is counted what was read, if it is.
    pub(super) counters: Option<&'l LogCounters>,
}

/// Records of an open batch.
#[derive(Clone, Copy)]
pub(super) struct TailRecords<'l> {
    pub(super) identity: &'l Identity,
    pub(super) bytes: TailBytes<'l>,
    /// Whether this process wrote them, one for each offset.
    pub(super) is_dense: bool,
}

/// Where the records of an open batch are.
#[derive(Clone, Copy)]
pub(super) enum TailBytes<'l> {
    /// In the slot that this process appends to.
    InSlot(&'l OpenBatch),
    /// Copied out of a slot.
    Copied(&'l [u8]),
    /// Copied out of a slot to which another process appends.
    Followed(&'l FollowedBatch),
}

impl TailBytes<'_> {
    /// Shows the records to `look`, which is not to take long: a slot is lent meanwhile. `None` if the tail was closed.
    fn show<T>(self, look: impl FnOnce(&[u8]) -> T) -> Option<T> {
        match self {
            TailBytes::InSlot(batch) => batch.records().map(|records| look(&records)),
            TailBytes::Copied(records) => Some(look(records)),
            TailBytes::Followed(batch) => Some(batch.show(look)),
        }
    }
}

impl Source<'_> {
    /// Reads records from offset `from` (included) on, as far as the bounds and limits allow.
    ///
    /// # Errors
    /// [`Error::OffsetOutOfRange`] below the log start or above the high watermark, [`Error::Corrupt`] and
    /// [`Error::CodecUnavailable`] if the first batch cannot be read (what comes before a later one is returned).
    pub(super) fn fetch(&self, from: u64, limits: FetchLimits) -> Result<Fetched> {
        let mut fetch = Fetch::new(self, from, limits);
        fetch.run()?;
        Ok(fetch.fetched)
    }

    /// [`fetch`](Source::fetch) for a reader that goes on where it ended: `place` is where the last read did, if that was inside a
    /// batch. Returns where this one did, too. Apart from [`fetch`](Source::fetch): to note a place and to hand it on takes 200
    /// instructions, of the 1,900 of a single read.
    pub(super) fn fetch_on(
        &self,
        from: u64,
        limits: FetchLimits,
        place: Option<&Place>,
    ) -> Result<(Fetched, Option<Place>)> {
        let begin = place.filter(|place| place.next_offset == from);
        let mut fetch = Fetch { begin, notes_place: true, ..Fetch::new(self, from, limits) };
        fetch.run()?;
        Ok((fetch.fetched, fetch.place))
    }

    /// The error outside of the bounds, if there is one: behind them there are no records for now, as far as the high watermark goes.
    #[cold]
    fn nothing_within_bounds(&self, requested: u64) -> Result<()> {
        let Range { start, end } = self.bounds;
        if end < requested && requested <= self.high_watermark {
            return Ok(());
        }
        let partition = self.partition.clone();
        Err(Error::OffsetOutOfRange { partition, requested, log_start_offset: start, log_end_offset: end })
    }

    /// The error where nothing is to be found below the visible end: up to where the log goes on.
    #[cold]
    fn nothing_at(&self, from: u64) -> Error {
        let bases = self.segments.iter().map(|segment| segment.base_offset());
        let bases = bases.chain(self.tail.iter().map(|tail| tail.identity.base_offset()));
        let next = bases.filter(|&base| from < base).min().unwrap_or(u64::MAX).min(self.bounds.end);
        let last = self.segments.iter().rfind(|segment| segment.base_offset() <= from);
        Error::Corrupt(Box::new(Corruption {
            partition: Some(self.partition.clone()),
            path: last.or(self.segments.first()).map(|segment| segment.path()).unwrap_or_default(),
            file_position: 0,
            offsets: Some(from..next),
            reason: "nothing is there, and the log goes on behind it",
        }))
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
        for tail in self.tail {
            let found = tail.bytes.show(|records| tail.first_at_or_after(timestamp_ms, records));
            if let Some(offset) = found.ok_or_else(|| self.closed_error())? {
                return Ok(Some(offset).filter(|offset| self.bounds.contains(offset)));
            }
        }
        Ok(None)
    }

    /// Whether a batch is not to be seen, since its transaction never happened.
    #[inline]
    fn is_aborted(&self, start: &BatchStart) -> bool {
        start.stamp.is_transactional && self.is_in_aborted(start)
    }

    #[cold]
    fn is_in_aborted(&self, start: &BatchStart) -> bool {
        self.aborted.is_some_and(|aborted| aborted.contains(start.stamp.producer_id, start.base_offset))
    }

    /// The tail was closed, as it is with the broker alone.
    fn closed_error(&self) -> Error {
        Error::Closed { what: self.partition.to_string(), by: ClosedBy::Broker }
    }
}

impl TailRecords<'_> {
    fn first_at_or_after(&self, timestamp_ms: i64, records: &[u8]) -> Option<u64> {
        let mut rest = records;
        while let Ok((record, bytes)) = Record::decode(rest) {
            if self.identity.start.base_timestamp.wrapping_add(record.timestamp_delta) >= timestamp_ms {
                return self.identity.base_offset().checked_add_signed(i64::from(record.offset_delta));
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
    begin: Option<&'l Place>,
    /// Whether it is asked where this one does.
    notes_place: bool,
    place: Option<Place>,
    fetched: Fetched,
    bytes: usize,
    full: bool,
}

impl<'l> Fetch<'l> {
    #[inline]
    fn new(source: &'l Source<'l>, from: u64, limits: FetchLimits) -> Fetch<'l> {
        let (partition, topic_id, end) = (source.partition.clone(), source.topic_id, source.bounds.end);
        let fetched = Fetched { partition, topic_id, batches: Vec::new(), record_count: 0, next_offset: from };
        Fetch {
            source,
            from,
            end,
            limits,
            begin: None,
            notes_place: false,
            place: None,
            fetched,
            bytes: 0,
            full: false,
        }
    }

    fn run(&mut self) -> Result<()> {
        let Range { start, end } = self.source.bounds;
        if self.from < start || end < self.from {
            return self.source.nothing_within_bounds(self.from);
        }
        match self.read() {
            Err(error) if self.fetched.next_offset == self.from => Err(error),
            // Below the end something is always found, whoever keeps the log, or else it is damaged.
            _ if self.fetched.next_offset == self.from && self.from < end => Err(self.source.nothing_at(self.from)),
            // What was read is good; the next read meets the error at its start.
            _ => {
                if let Some(counters) = self.source.counters {
                    counters.note_read(self.fetched.record_count, self.bytes);
                }
                Ok(())
            }
        }
    }

    fn read(&mut self) -> Result<()> {
        let segments = self.source.segments;
        let first = segments.partition_point(|segment| segment.base_offset() <= self.from).saturating_sub(1);
        for segment in segments.get(first..).unwrap_or_default() {
            if self.is_done() || segment.base_offset() >= self.end {
                break;
            }
            self.read_segment(segment)?;
        }
        let tails = self.source.tail;
        // Each but the last ends where the next one begins.
        let ends = tails.iter().skip(1).map(|next| next.identity.base_offset()).chain([u64::MAX]);
        for (tail, end) in tails.iter().zip(ends) {
            if !self.is_done() && self.fetched.next_offset < end {
                self.read_tail(*tail, end)?;
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
        let begin = match self.take_known(segment)? {
            Some(end) => Some(end),
            None => segment.locate(self.fetched.next_offset)?.map(|located| located.file_position),
        };
        let Some(mut file_position) = begin else {
            self.pass_over_gap(segment);
            return Ok(());
        };
        while !self.is_done()
            && let Some(batch) = segment.batch_at(file_position, self.fetched.next_offset)?
        {
            if batch.header.base_offset() >= self.end {
                break;
            }
            file_position = batch.end();
            self.take(segment, batch, None)?;
            self.check_damage()?;
        }
        self.pass_over_gap(segment);
        Ok(())
    }

    /// Goes to the end of a segment that was read to its end and grows no more, if compaction removed its last offsets.
    fn pass_over_gap(&mut self, segment: &Segment) {
        if !self.is_done() && segment.has_gaps() && segment.is_sealed() {
            let end = segment.next_offset().min(self.end);
            self.fetched.next_offset = self.fetched.next_offset.max(end);
        }
    }

    /// Takes from the batch with the next offset, if that is known from inside, and returns where it ends.
    fn take_known(&mut self, segment: &Arc<Segment>) -> Result<Option<u64>> {
        let known = self.source.waypoints.and_then(|waypoints| waypoints.find(segment, self.fetched.next_offset));
        let Some(known) = known.as_ref().and_then(|known| known.as_deref()) else { return Ok(None) };
        let batch = segment.read_again(&known.located)?;
        self.take(segment, batch, Some(known))?;
        self.check_damage()?;
        Ok(Some(known.located.end()))
    }

    /// Fails where opening found offsets that are not there.
    #[inline]
    fn check_damage(&self) -> Result<()> {
        if self.source.damage.is_empty() { Ok(()) } else { self.check_some_damage() }
    }

    #[cold]
    fn check_some_damage(&self) -> Result<()> {
        let next = self.fetched.next_offset;
        match self.source.damage.iter().find(|damage| damage.is_at(next)) {
            Some(damage) if next < self.end => Err(Error::Corrupt(Box::new(damage.clone()))),
            _ => Ok(()),
        }
    }

    /// Takes what is wanted of a batch, of which something may be `known` from inside.
    fn take(&mut self, segment: &Arc<Segment>, batch: Batch, known: Option<&Known>) -> Result<()> {
        let Batch { header, file_position, bytes } = batch;
        if header.start.attributes.is_control() || self.source.is_aborted(&header.start) {
            self.fetched.next_offset = header.next_offset().min(self.end);
            return Ok(());
        }
        let located = Located { file_position, header };
        let begin = self.begin.filter(|place| place.is_in_sealed(segment, file_position));
        let is_plain = is_plain(&header.start);
        let plain = begin.and_then(|place| place.plain.clone());
        let records = match plain {
            Some(plain) => plain,
            None if is_plain => bytes.into_slice(HEADER_BYTES..header.batch_bytes as usize),
            None => self.expand(segment, &located, bytes.get(HEADER_BYTES..).unwrap_or_default())?,
        };
        // Asked for once: it takes a dozen instructions each time.
        let all: &[u8] = &records;
        let begin = begin.filter(|place| place.is_right(all, header.base_offset()));
        let is_dense = header.record_count - 1 == header.last_offset_delta;
        let is_walked_into = header.base_offset() < self.from && is_dense && is_plain && is_large(all);
        let start = match (begin, self.source.waypoints.filter(|_| is_walked_into)) {
            (Some(place), _) => place.start(header.base_offset(), is_dense),
            (None, Some(waypoints)) => waypoints.lead_to(self.from, known, segment, &located, all),
            (None, None) => Start::first(is_dense),
        };
        let rest_count = (header.record_count.unsigned_abs() as usize).saturating_sub(start.count);
        // All from there on is wanted, and it is known how many records they are.
        let is_counted = header.base_offset() >= self.from || begin.is_some() && is_dense;
        let whole = is_counted
            && header.next_offset() <= self.end
            && self.bytes + (all.len() - start.bytes) <= self.limits.bytes_max
            && self.fetched.record_count + rest_count <= self.limits.records_max;
        if whole {
            let rest = start.bytes..all.len();
            self.push(&header, records.into_slice(rest), rest_count, header.next_offset());
            return Ok(());
        }
        let cut = self.cut(all, start, header.base_offset(), header.next_offset());
        let cut =
            cut.ok_or_else(|| unreadable(self.source, segment, &located, "records do not end where the batch does"))?;
        if self.full && self.notes_place {
            let which = WhichBatch::Sealed { segment: Arc::downgrade(segment), file_position };
            self.place = Some(cut.place(which, (!is_plain).then(|| records.clone())));
        }
        self.push(&header, records.into_slice(cut.bytes), cut.record_count, cut.next_offset);
        Ok(())
    }

    fn push(&mut self, header: &BatchHeader, records: SharedBytes, record_count: usize, next_offset: u64) {
        self.bytes += records.len();
        self.fetched.record_count += record_count;
        self.fetched.next_offset = next_offset;
        if record_count > 0 {
            if self.fetched.batches.capacity() == 0 {
                // To let it grow from nothing takes 100 instructions more.
                self.fetched.batches = Vec::with_capacity(BATCHES_AT_FIRST);
            }
            self.fetched.batches.push(FetchedBatch {
                records,
                base_offset: header.base_offset(),
                base_timestamp: header.start.base_timestamp,
                append_time: header.start.attributes.is_log_append_time().then_some(header.max_timestamp),
                leader_epoch: header.start.leader_epoch,
            });
        }
    }

    fn read_tail(&mut self, tail: TailRecords<'_>, batch_end: u64) -> Result<()> {
        self.check_damage()?;
        let start = &tail.identity.start;
        if start.attributes.is_control() || self.source.is_aborted(start) {
            self.fetched.next_offset = batch_end.min(self.end);
            return Ok(());
        }
        let copied = tail.bytes.show(|records| self.copy_tail(tail, records, batch_end));
        copied.unwrap_or_else(|| Err(self.source.closed_error()))
    }

    /// Copies what is published and visible of an open batch, so that its slot can be used again. The batch ends before offset
    /// `batch_end`; the last one may still grow.
    fn copy_tail(&mut self, tail: TailRecords<'_>, records: &[u8], batch_end: u64) -> Result<()> {
        let TailRecords { identity, is_dense, .. } = tail;
        let begin = self.begin.filter(|place| place.is_in_open(identity.base_offset()));
        let begin = begin.filter(|place| place.is_right(records, identity.base_offset()));
        let start = begin.map_or(Start::first(is_dense), |place| place.start(identity.base_offset(), is_dense));
        let Some(cut) = self.cut(records, start, identity.base_offset(), batch_end) else {
            return Err(Error::InvalidState { reason: "an open batch does not hold whole records" });
        };
        if self.notes_place {
            self.place = Some(cut.place(WhichBatch::Open { base_offset: identity.base_offset() }, None));
        }
        let copied = records.get(cut.bytes).unwrap_or_default();
        self.bytes += copied.len();
        self.fetched.record_count += cut.record_count;
        self.fetched.next_offset = cut.next_offset;
        if cut.record_count > 0 {
            self.fetched.batches.push(FetchedBatch {
                records: SharedBytes::from(copied.to_vec()),
                base_offset: identity.base_offset(),
                base_timestamp: identity.start.base_timestamp,
                append_time: None,
                leader_epoch: identity.start.leader_epoch,
            });
        }
        Ok(())
    }

    /// The piece of `records`, from `start` on, that lies within the asked offsets and limits, in a batch that ends before
    /// offset `batch_end`; `None` if they are not whole records.
    fn cut(&mut self, records: &[u8], start: Start, base_offset: u64, batch_end: u64) -> Option<Cut> {
        let rest = records.get(start.bytes..)?;
        let (passed, passed_bytes) = start.step_to(self.from, rest, base_offset)?;
        let begin = Start { bytes: start.bytes + passed_bytes, count: start.count + passed, ..start };
        let rest = records.get(begin.bytes..)?;
        let visible = if batch_end <= self.end { usize::MAX } else { begin.step_to(self.end, rest, base_offset)?.0 };
        let bytes_room = self.limits.bytes_max.saturating_sub(self.bytes);
        let records_room = self.limits.records_max.saturating_sub(self.fetched.record_count);
        // The first record of all is returned however large it is.
        let is_first = self.fetched.record_count == 0;
        let first = if is_first { step_over(rest, visible.min(1), usize::MAX).ok()? } else { (0, 0) };
        let (count_room, bytes_room) = (records_room.min(visible), bytes_room.saturating_sub(first.1));
        let more = match bytes_room {
            0 => (0, 0),
            _ => step_over(rest.get(first.1..)?, count_room.saturating_sub(first.0), bytes_room).ok()?,
        };
        let (record_count, bytes) = (first.0 + more.0, first.1 + more.1);
        let behind = rest.get(bytes..)?;
        let next_offset = if record_count < visible && !behind.is_empty() {
            self.full = true;
            begin.offset_behind(record_count, behind, base_offset)?
        } else {
            batch_end.min(self.end).max(self.from)
        };
        Some(Cut { bytes: begin.bytes..begin.bytes + bytes, record_count, next_offset })
    }

    /// The records of a batch that are not stored as they are.
    fn expand(&self, segment: &Segment, located: &Located, stored: &[u8]) -> Result<SharedBytes> {
        let bytes_max = self.source.settings.load().expanded_bytes_max();
        let mut plain = Vec::new();
        plain_records(&located.header, stored, bytes_max, &mut plain)
            .map_err(|_| unreadable(self.source, segment, located, "the records cannot be decompressed"))?;
        Ok(SharedBytes::from(plain))
    }
}

/// A piece of a batch's records.
struct Cut {
    bytes: Range<usize>,
    record_count: usize,
    next_offset: u64,
}

impl Cut {
    /// The place behind it.
    fn place(&self, batch: WhichBatch, plain: Option<SharedBytes>) -> Place {
        Place { batch, next_offset: self.next_offset, records_bytes: self.bytes.end, plain }
    }
}

fn unreadable(source: &Source<'_>, segment: &Segment, located: &Located, reason: &'static str) -> Error {
    Error::Corrupt(Box::new(Corruption {
        partition: Some(source.partition.clone()),
        path: segment.path(),
        file_position: located.file_position,
        offsets: Some(located.header.base_offset()..located.header.next_offset()),
        reason,
    }))
}

#[cfg(test)]
mod tests;
