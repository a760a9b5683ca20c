//! Batches of a log that are known from elsewhere, to tell a log file's own batches from those of another log.
//!
//! Nothing in Kafka's format names the log that a batch belongs to. Where a power cut takes blocks that were not synced, some file
//! systems show what a removed file had in them, and if that is a segment of another log that goes on at just the next offset, every
//! checksum is right. A batch that stands in the tail names its log, and an offset of a log never stands for two records: what the
//! file has at its offsets is the same batch, or another log's.

use std::io;

use super::scan::{Located, LogWalk};
use crate::format::{BatchHeader, BatchStart, Compression, HEADER_BYTES, plain_records};

/// A batch of the log, as far as it is known.
#[derive(Debug, Clone, Copy)]
pub(crate) struct KnownBatch<'a> {
    /// What it began with.
    pub(crate) start: BatchStart,
    /// Its first records, at least one, in Kafka's encoding.
    pub(crate) records: &'a [u8],
}

/// What is known of a log's batches.
#[derive(Debug, Default)]
pub(crate) struct KnownBatches<'a> {
    /// In the order of their offsets.
    batches: Vec<KnownBatch<'a>>,
    records_bytes_max: usize,
}

impl<'a> KnownBatches<'a> {
    /// These batches, of which none has more than `records_bytes_max` bytes of records.
    pub(crate) fn new(mut batches: Vec<KnownBatch<'a>>, records_bytes_max: usize) -> KnownBatches<'a> {
        batches.sort_by_key(|batch| batch.start.base_offset);
        KnownBatches { batches, records_bytes_max }
    }

    /// Whether a batch that was just taken from the log file cannot be this log's.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub(super) fn contradict(&self, walk: &mut LogWalk<'_>, found: &Located) -> io::Result<bool> {
        let (base_offset, next_offset) = (found.header.base_offset(), found.header.next_offset());
        let from = self.batches.partition_point(|known| known.start.base_offset < base_offset);
        let known = self.batches.get(from..).unwrap_or_default();
        let same = known.partition_point(|known| known.start.base_offset == base_offset);
        let (same, behind) = known.split_at(same);
        // Within a batch none begins.
        if behind.first().is_some_and(|behind| behind.start.base_offset < next_offset) {
            return Ok(true);
        }
        if same.is_empty() {
            return Ok(false);
        }
        if same.iter().any(|known| !has_start(&found.header, known)) || self.is_too_large(&found.header) {
            return Ok(true);
        }
        let batch = walk.batch_bytes(found)?;
        let stored = batch.get(HEADER_BYTES..).unwrap_or_default();
        let mut plain = Vec::new();
        Ok(match plain_records(&found.header, stored, self.records_bytes_max, &mut plain) {
            Ok(records) => !same.iter().all(|known| records.starts_with(known.records)),
            // It is not what this log's codecs made, unless it is one that this build does not have: then its header has to do.
            Err(_) => found.header.start.attributes.codec().is_available(),
        })
    }

    /// Whether a batch has more bytes than any that was in a slot: codecs add some to what they cannot compress.
    fn is_too_large(&self, header: &BatchHeader) -> bool {
        2 * self.records_bytes_max + HEADER_BYTES < header.batch_bytes as usize
    }
}

/// Whether a batch began as the known one did; the codec is chosen when it ends.
fn has_start(header: &BatchHeader, known: &KnownBatch<'_>) -> bool {
    header.start.with_codec(Compression::None) == known.start.with_codec(Compression::None)
}
