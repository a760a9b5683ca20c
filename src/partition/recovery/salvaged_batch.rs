//! Turning an open batch that outlived its process into the record batch that sealing it would have made.

use crate::error::{Error, Result};
use crate::format::{Compression, Record, SealFields, seal_records};
use crate::partition::producer_state::batch::ProducerBatch;
use crate::segment::{KnownBatch, KnownBatches};
use crate::tail::{Salvaged, SlotClass};

/// What a salvaged batch holds, found by walking it.
pub(super) struct Contents {
    pub(super) record_count: u64,
    max_timestamp: i64,
}

impl Contents {
    /// `None` if the bytes are not whole records in order, or the offset behind them is none that a log can have, which a good
    /// checksum makes all but impossible.
    pub(super) fn of(batch: &Salvaged) -> Option<Contents> {
        let mut contents = Contents { record_count: 0, max_timestamp: i64::MIN };
        let mut rest = batch.records.as_slice();
        while !rest.is_empty() {
            let (record, bytes) = Record::decode(rest).ok()?;
            if u64::try_from(record.offset_delta).ok()? != contents.record_count {
                return None;
            }
            let timestamp = batch.identity.start.base_timestamp.checked_add(record.timestamp_delta)?;
            contents.max_timestamp = contents.max_timestamp.max(timestamp);
            contents.record_count += 1;
            rest = rest.get(bytes..)?;
        }
        let next_offset = batch.identity.base_offset().checked_add(contents.record_count)?;
        (contents.record_count > 0 && i64::try_from(next_offset).is_ok()).then_some(contents)
    }
}

/// What these batches prove of those in the segments. One of which nothing is left proves nothing.
pub(super) fn known_batches(salvaged: &[Salvaged]) -> KnownBatches<'_> {
    let whole = salvaged.iter().filter(|batch| Contents::of(batch).is_some());
    let known = whole.map(|batch| KnownBatch { start: batch.identity.start, records: &batch.records });
    KnownBatches::new(known.collect(), SlotClass::Large.records_bytes_max())
}

/// The record batch of one that there was no room to seal when the log was opened, or that came another way.
///
/// # Errors
/// [`Error::InvalidState`] if there are no whole records in it.
pub(crate) fn seal_anew(batch: &Salvaged, codec: Compression) -> Result<Vec<u8>> {
    let contents =
        Contents::of(batch).ok_or(Error::InvalidState { reason: "a batch that was taken out of the tail" })?;
    Ok(seal(batch, &contents, codec))
}

/// What a batch that there was no room to seal says of its producer.
pub(super) fn producer_batch(batch: &Salvaged) -> Option<ProducerBatch> {
    let Contents { record_count, max_timestamp } = Contents::of(batch)?;
    let last_offset_delta = i32::try_from(record_count - 1).unwrap_or(i32::MAX);
    ProducerBatch::in_tail(&batch.identity.start, last_offset_delta, max_timestamp, &batch.records)
}

/// The record batch that sealing the open batch would have made.
pub(super) fn seal(batch: &Salvaged, contents: &Contents, codec: Compression) -> Vec<u8> {
    // At most a mebibyte of records was salvaged.
    let record_count = i32::try_from(contents.record_count).unwrap_or(i32::MAX);
    let fields = |codec| SealFields {
        start: batch.identity.start.with_codec(codec),
        last_offset_delta: record_count - 1,
        max_timestamp: contents.max_timestamp,
        record_count,
    };
    let mut bytes = Vec::new();
    let mut seal = |codec| seal_records(&fields(codec), &batch.records, &mut bytes);
    // A build without the topic's codec keeps the records all the same.
    seal(codec).or_else(|_| seal(Compression::None)).expect("to store records as they are needs no codec");
    bytes
}
