//! What compaction makes of one batch: it stays as it is, loses records, or is empty.
//!
//! Offsets never move. A batch that loses records keeps its range of offsets and all that was said of its producer. The first
//! time that a tombstone is kept, its batch gets a *delete horizon*; from then on until that time readers see the tombstone, and
//! a later pass removes it. By then everything that it deletes is gone: the pass that has set the horizon has cleaned all
//! that lies before. So a pass that takes only a part of the keys leaves tombstones to the last one, which takes the rest.
//!
//! A record without a key goes. None is let in, but it may have been there before the topic was compacted.
//!
//! Records of aborted transactions go, and delete nothing, since they were never there. A marker whose transaction has no batch any
//! more has its time as a tombstone has.

use super::key_offsets::KeyOffsets;
use super::report::Counts;
use super::transactions::{CleanedTransactions, KnownTransactions};
use crate::canary::{Canary, planted};
use crate::format::{
    Attributes, BatchBuilder, BatchHeader, BatchStart, Compression, EndTransactionMarker, HEADER_BYTES, Invalid,
    Record, SealFields, plain_records,
};
use crate::record::Header;
use crate::segment::AbortedTransaction;

/// What is left of a batch.
#[derive(Debug)]
pub(super) enum Cleaned<'c> {
    /// All of it, byte by byte.
    Whole,
    /// This batch of the same range of offsets.
    Rewritten(&'c [u8]),
    /// No record. The batch keeps its range of offsets if it must stay.
    Emptied(&'c [u8]),
}

/// Cleans the batches of a log one after the other, from its first on. Keeps its memory from batch to batch.
#[derive(Debug)]
pub(super) struct Cleaner<'k> {
    rules: Rules<'k>,
    transactions: CleanedTransactions,
    counts: Counts,
    builder: BatchBuilder,
    plain: Vec<u8>,
}

/// What becomes of tombstones that nothing supersedes.
#[derive(Debug, Clone, Copy)]
pub(super) enum Tombstones {
    /// They get a horizon at this moment plus `delete_retention_ms`, and go if theirs is over.
    Age { now_ms: i64, delete_retention_ms: i64 },
    /// Nothing yet: there may be something left that they delete.
    Wait,
}

impl Tombstones {
    fn new_horizon(self) -> Option<i64> {
        match self {
            Tombstones::Age { now_ms, delete_retention_ms } => Some(now_ms.saturating_add(delete_retention_ms)),
            Tombstones::Wait => None,
        }
    }

    fn is_over(self, horizon: i64) -> bool {
        match self {
            Tombstones::Age { now_ms, .. } => horizon <= now_ms || planted(Canary::DropTombstoneEarly),
            Tombstones::Wait => false,
        }
    }
}

/// Which records stay.
#[derive(Debug)]
struct Rules<'k> {
    keys: &'k KeyOffsets,
    tombstones: Tombstones,
}

impl Rules<'_> {
    fn keep(&self, header: &BatchHeader, offset: u64, record: &Record<'_>) -> bool {
        let Some(key) = record.key else { return false };
        let is_over = || header.delete_horizon().is_some_and(|horizon| self.tombstones.is_over(horizon));
        let is_removed = self.keys.is_superseded(key, offset) || record.value.is_none() && is_over();
        !is_removed
    }
}

/// What becomes of the records of a batch.
#[derive(Debug, Default)]
struct Verdict {
    kept: i32,
    removed: Counts,
    keeps_tombstone: bool,
    /// Of the first one that is kept.
    first_timestamp: i64,
    /// Whether one is so far below 0, where no writer gets, that others may not be told relative to it.
    has_odd_timestamp: bool,
}

impl<'k> Cleaner<'k> {
    /// Removes what `keys` has at a higher offset, what was aborted of the `known` transactions, and tombstones as it is said.
    pub(super) fn new(keys: &'k KeyOffsets, known: KnownTransactions, tombstones: Tombstones) -> Cleaner<'k> {
        Cleaner {
            rules: Rules { keys, tombstones },
            transactions: CleanedTransactions::new(known),
            counts: Counts::default(),
            builder: BatchBuilder::new(),
            plain: Vec::new(),
        }
    }

    /// Whether a batch that has lost its last record stays as an empty one, since nothing else tells of its producer.
    pub(super) fn must_stay(&self, header: &BatchHeader) -> bool {
        self.transactions.must_stay(header)
    }

    /// The aborted transactions whose marker was cleaned since the last call, and stays.
    pub(super) fn take_aborted(&mut self) -> Vec<AbortedTransaction> {
        self.transactions.take_aborted()
    }

    /// What was removed since the last call.
    pub(super) fn take_counts(&mut self) -> Counts {
        std::mem::take(&mut self.counts)
    }

    /// What is left of the batch `bytes`, which begins with `header` and was checked.
    ///
    /// # Errors
    /// If its records cannot be read or compressed again.
    pub(super) fn clean(&mut self, header: &BatchHeader, bytes: &[u8]) -> Result<Cleaned<'_>, Invalid> {
        let stored = bytes.get(HEADER_BYTES..).unwrap_or_default();
        if header.start.attributes.is_control() {
            return self.clean_marker(header, stored);
        }
        if self.transactions.is_aborted(header) {
            self.counts.records += u64::from(header.record_count.unsigned_abs());
            return self.emptied(header);
        }
        // A batch that was checked does not expand beyond the bound.
        let records = plain_records(header, stored, usize::MAX, &mut self.plain)?;
        let verdict = self.rules.judge(header, records)?;
        if verdict.kept == 0 {
            self.counts.add(verdict.removed);
            return self.emptied(header);
        }
        let is_due = verdict.keeps_tombstone && header.delete_horizon().is_none();
        let new_horizon = self.rules.tombstones.new_horizon().filter(|_| is_due);
        if verdict.removed.records == 0 && new_horizon.is_none() || verdict.has_odd_timestamp {
            return Ok(Cleaned::Whole);
        }
        let base_timestamp = new_horizon.or(header.delete_horizon()).unwrap_or(verdict.first_timestamp);
        self.builder.clear(header.base_offset(), base_timestamp);
        for_each(header, records, |offset, record| {
            if self.rules.keep(header, offset, record) {
                let headers: Vec<Header<'_>> = record.headers.iter().collect();
                let timestamp = header.timestamp(record.timestamp_delta);
                self.builder.push_at(record.offset_delta, timestamp, record.key, record.value, &headers);
            }
        })?;
        // Deltas from a horizon take more bytes than those from the first record.
        if i32::try_from(self.builder.batch_bytes()).is_err() {
            return Ok(Cleaned::Whole);
        }
        self.counts.add(verdict.removed);
        let fields = SealFields {
            start: BatchStart {
                attributes: with_horizon_if(new_horizon.is_some(), header.start.attributes),
                base_timestamp,
                ..header.start
            },
            last_offset_delta: header.last_offset_delta,
            ..self.builder.fields()
        };
        Ok(Cleaned::Rewritten(self.builder.finish(&fields)?))
    }

    fn emptied(&mut self, header: &BatchHeader) -> Result<Cleaned<'_>, Invalid> {
        self.builder.clear(header.base_offset(), -1);
        Ok(Cleaned::Emptied(self.builder.finish(&fields_of_empty(header))?))
    }

    /// What is left of a marker, whose record is `stored`. Of other kinds of control batches nothing is known, and they stay.
    fn clean_marker(&mut self, header: &BatchHeader, stored: &[u8]) -> Result<Cleaned<'_>, Invalid> {
        if header.record_count == 0 {
            return self.emptied(header);
        }
        let Some(marker) = EndTransactionMarker::decode(header, stored)? else { return Ok(Cleaned::Whole) };
        if self.transactions.ends_something(header, marker) {
            return Ok(Cleaned::Whole);
        }
        let horizon = match (header.delete_horizon(), self.rules.tombstones.new_horizon()) {
            (Some(horizon), _) if self.rules.tombstones.is_over(horizon) => return self.emptied(header),
            (None, Some(new_horizon)) => new_horizon,
            _ => return Ok(Cleaned::Whole),
        };
        self.builder.clear(header.base_offset(), horizon);
        for_each(header, stored, |_, record| {
            let timestamp = header.timestamp(record.timestamp_delta);
            self.builder.push_at(record.offset_delta, timestamp, record.key, record.value, &[]);
        })?;
        let attributes = header.start.attributes.with_delete_horizon();
        let start = BatchStart { attributes, base_timestamp: horizon, ..header.start };
        let fields = SealFields { start, last_offset_delta: header.last_offset_delta, ..self.builder.fields() };
        Ok(Cleaned::Rewritten(self.builder.finish(&fields)?))
    }
}

impl Rules<'_> {
    fn judge(&self, header: &BatchHeader, records: &[u8]) -> Result<Verdict, Invalid> {
        let mut verdict = Verdict::default();
        for_each(header, records, |offset, record| {
            if self.keep(header, offset, record) {
                let timestamp = header.timestamp(record.timestamp_delta);
                if verdict.kept == 0 {
                    verdict.first_timestamp = timestamp;
                }
                verdict.has_odd_timestamp |= timestamp < -1;
                verdict.kept += 1;
                verdict.keeps_tombstone |= record.key.is_some() && record.value.is_none();
            } else {
                verdict.removed.records += 1;
                verdict.removed.tombstones += u64::from(record.key.is_some() && record.value.is_none());
            }
        })?;
        Ok(verdict)
    }
}

fn with_horizon_if(is_new: bool, attributes: Attributes) -> Attributes {
    if is_new { attributes.with_delete_horizon() } else { attributes }
}

/// The header of a batch of which nothing but the range of offsets is left.
fn fields_of_empty(header: &BatchHeader) -> SealFields {
    let attributes = header.start.attributes.with_codec(Compression::None).without_delete_horizon();
    SealFields {
        start: BatchStart { attributes, base_timestamp: -1, ..header.start },
        last_offset_delta: header.last_offset_delta,
        max_timestamp: header.max_timestamp,
        record_count: 0,
    }
}

/// Calls `visit` with the offset of each record, and the record.
pub(super) fn for_each<'r>(
    header: &BatchHeader,
    records: &'r [u8],
    mut visit: impl FnMut(u64, &Record<'r>),
) -> Result<(), Invalid> {
    let mut rest = records;
    while !rest.is_empty() {
        let (record, bytes) = Record::decode(rest)?;
        visit(header.base_offset().wrapping_add_signed(i64::from(record.offset_delta)), &record);
        rest = rest.get(bytes..).unwrap_or_default();
    }
    Ok(())
}
