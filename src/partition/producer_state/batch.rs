//! [`ProducerBatch`]: what a batch says of its producer.

use crate::format::{BatchHeader, BatchStart, EndTransactionMarker, ProducerStamp};

/// A batch of a producer, as far as it is replayed.
#[derive(Debug, Clone, Copy)]
pub(in crate::partition) enum ProducerBatch {
    Data(DataBatch),
    Marker(MarkerBatch),
}

/// A batch of records.
#[derive(Debug, Clone, Copy)]
pub(in crate::partition) struct DataBatch {
    pub(in crate::partition) stamp: ProducerStamp,
    pub(in crate::partition) base_offset: u64,
    pub(in crate::partition) last_offset_delta: i32,
    pub(in crate::partition) max_timestamp: i64,
}

/// A marker.
#[derive(Debug, Clone, Copy)]
pub(in crate::partition) struct MarkerBatch {
    pub(in crate::partition) stamp: ProducerStamp,
    pub(in crate::partition) offset: u64,
    pub(in crate::partition) timestamp: i64,
    pub(in crate::partition) marker: EndTransactionMarker,
}

impl ProducerBatch {
    /// What the batch with this header says, and its `marker` if it is one; `None` if it says nothing: one that compaction has
    /// emptied, of a transaction that is gone.
    pub(in crate::partition) fn of(
        header: &BatchHeader,
        marker: Option<EndTransactionMarker>,
    ) -> Option<ProducerBatch> {
        if !header.start.attributes.is_control() {
            return Some(ProducerBatch::Data(DataBatch::of(header)));
        }
        let (stamp, offset, timestamp) = (header.start.stamp, header.last_offset(), header.max_timestamp);
        Some(ProducerBatch::Marker(MarkerBatch { stamp, offset, timestamp, marker: marker? }))
    }

    /// The same of a batch that lies in the tail, with these records.
    pub(in crate::partition) fn in_tail(
        start: &BatchStart,
        last_offset_delta: i32,
        max_timestamp: i64,
        records: &[u8],
    ) -> Option<ProducerBatch> {
        let &BatchStart { stamp, base_offset, attributes, .. } = start;
        if !attributes.is_control() {
            return Some(ProducerBatch::Data(DataBatch { stamp, base_offset, last_offset_delta, max_timestamp }));
        }
        let marker = EndTransactionMarker::decode_record(records).ok().flatten()?;
        Some(ProducerBatch::Marker(MarkerBatch { stamp, offset: base_offset, timestamp: max_timestamp, marker }))
    }

    /// Whether the batch has a producer.
    pub(in crate::partition) fn has_producer(&self) -> bool {
        match self {
            ProducerBatch::Data(data) => data.stamp.has_producer(),
            ProducerBatch::Marker(marker) => marker.stamp.has_producer(),
        }
    }

    /// The offset of its first record.
    pub(in crate::partition) fn base_offset(&self) -> u64 {
        match self {
            ProducerBatch::Data(data) => data.base_offset,
            ProducerBatch::Marker(marker) => marker.offset,
        }
    }
}

impl DataBatch {
    pub(in crate::partition) fn of(header: &BatchHeader) -> DataBatch {
        DataBatch {
            stamp: header.start.stamp,
            base_offset: header.base_offset(),
            last_offset_delta: header.last_offset_delta,
            max_timestamp: header.max_timestamp,
        }
    }
}
