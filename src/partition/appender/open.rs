//! [`Open`]: the batch that an appender writes into a slot of the tail.

use std::ops::Range;

use super::clock::{Clock, WhoseTime};
use crate::disk::append_file::AppendError;
use crate::error::Result;
use crate::format::{BatchStart, Compression, ProducerIdAndEpoch, RecordFields, SealFields};
use crate::partition::budget::Room;
use crate::partition::log_core::{FullBatch, LogCore};
use crate::partition::producer_state::batch::DataBatch;
use crate::record::ProducerRecord;
use crate::tail::BatchWriter;

/// The open batch, as far as its header will need it.
#[derive(Debug)]
pub(super) struct Open {
    pub(super) writer: BatchWriter,
    /// What it will take on the disk, where that is bounded.
    pub(super) _room: Option<Room>,
    pub(super) start: BatchStart,
    pub(super) max_timestamp: i64,
    pub(super) record_count: i32,
    pub(super) records_bytes_max: usize,
    /// When it was begun, by the steady clock.
    pub(super) begun_ms: i64,
}

/// Why records did not get into the open batch. Small enough to be returned in registers, which an [`Error`](crate::error::Error) is not.
#[derive(Debug)]
pub(super) enum NotPushed {
    /// There is no batch, or it has no room for them.
    NoRoom,
    Failed(AppendError),
}

impl NotPushed {
    /// The error for records that were to get these offsets, if it is one.
    #[cold]
    pub(super) fn fail_unless_full(self, log: &LogCore, offsets: Range<u64>) -> Result<()> {
        match self {
            NotPushed::NoRoom => Ok(()),
            NotPushed::Failed(failure) => Err(log.slot_error(failure, offsets)),
        }
    }
}

impl Open {
    /// Whether it is a batch of records of this producer's transactions, or of no producer.
    #[inline]
    pub(super) fn is_of(&self, producer: Option<ProducerIdAndEpoch>) -> bool {
        let stamp = &self.start.stamp;
        match producer {
            None => !stamp.has_producer(),
            Some(ProducerIdAndEpoch { id, epoch }) => {
                (stamp.producer_id, stamp.producer_epoch) == (id, epoch) && !self.start.attributes.is_control()
            }
        }
    }

    /// What it says of its producer.
    pub(super) fn data(&self) -> DataBatch {
        DataBatch {
            stamp: self.start.stamp,
            base_offset: self.start.base_offset,
            last_offset_delta: self.record_count - 1,
            max_timestamp: self.max_timestamp,
        }
    }

    /// Encodes `records` behind the published ones and publishes them in one step, if there is room.
    #[inline]
    pub(super) fn push<W: WhoseTime>(
        &mut self,
        records: &[ProducerRecord<'_>],
        clock: Clock<W>,
        next_offset: u64,
    ) -> Result<(), NotPushed> {
        let room = self.records_bytes_max - self.writer.records_bytes();
        let Some(mut space) = self.writer.unpublished().get_mut(..room) else { return Err(NotPushed::NoRoom) };
        let (mut count, mut max_timestamp) = (self.record_count, self.max_timestamp);
        for record in records {
            let timestamp = clock.timestamp_of(record);
            let fields = fields_of(record, count, self.start.base_timestamp, timestamp);
            let encoded = match fields.try_encode_short(space) {
                Some(bytes) => bytes,
                None => try_encode_any(record, count, self.start.base_timestamp, timestamp, space)
                    .ok_or(NotPushed::NoRoom)?,
            };
            space = space.split_at_mut(encoded).1;
            count += 1;
            max_timestamp = max_timestamp.max(timestamp);
        }
        let bytes = room - space.len();
        self.writer.publish(bytes, next_offset).map_err(NotPushed::Failed)?;
        (self.record_count, self.max_timestamp) = (count, max_timestamp);
        Ok(())
    }

    /// The same batch, as it goes into the segment without being compressed: it gets no more records.
    #[allow(clippy::used_underscore_binding, reason = "it is only held")]
    pub(super) fn ended(self) -> FullBatch {
        let fields = self.seal_fields(Compression::None);
        FullBatch { writer: self.writer, _room: self._room, fields, begun_ms: self.begun_ms }
    }

    pub(super) fn seal_fields(&self, codec: Compression) -> SealFields {
        SealFields {
            start: self.start.with_codec(codec),
            last_offset_delta: self.record_count - 1,
            max_timestamp: self.max_timestamp,
            record_count: self.record_count,
        }
    }
}

#[inline]
pub(super) fn fields_of<'r>(
    record: &'r ProducerRecord<'_>,
    offset_delta: i32,
    base_timestamp: i64,
    timestamp: i64,
) -> RecordFields<'r> {
    RecordFields {
        timestamp_delta: timestamp.wrapping_sub(base_timestamp),
        offset_delta,
        key: record.get_key(),
        value: record.get_value(),
        headers: record.header_list(),
    }
}

/// Takes the fields out of the record once more: they would have to be kept for this rare case else.
#[cold]
#[inline(never)]
fn try_encode_any(
    record: &ProducerRecord<'_>,
    offset_delta: i32,
    base_timestamp: i64,
    timestamp: i64,
    space: &mut [u8],
) -> Option<usize> {
    fields_of(record, offset_delta, base_timestamp, timestamp).try_encode_any(space)
}
