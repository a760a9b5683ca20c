//! What is counted of a log while it is open. Nothing here costs a send anything: what is sent is counted batch by batch, by the
//! log's view, and only what fails, or goes around the tail, is counted here.

use std::time::Duration;

use super::partition_metrics::PartitionCounters;
use crate::sync::atomic::{AtomicU64, Ordering};

/// A number that only rises.
#[derive(Debug, Default)]
pub(super) struct Counter(AtomicU64);

impl Counter {
    /// For any number of threads.
    #[inline]
    pub(super) fn add(&self, count: u64) {
        self.0.fetch_add(count, Ordering::Relaxed);
    }

    pub(super) fn read(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Records, and what they take as they are encoded before they are compressed.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Received {
    pub(super) records: u64,
    pub(super) bytes: u64,
}

/// What is counted of a log.
#[derive(Debug, Default)]
pub(super) struct LogCounters {
    records_around_tail: Counter,
    bytes_around_tail: Counter,
    read: ReadCounters,
    pub(super) refused_sends: Counter,
    pub(super) segments_rolled: Counter,
    pub(super) segments_deleted: Counter,
    pub(super) bytes_deleted: Counter,
    pub(super) compactions: Counter,
    segment_syncs: Counter,
    segment_sync_ns: Counter,
}

/// What readers got. On a cache line of its own, which no sender touches.
#[derive(Debug, Default)]
#[repr(align(128))]
struct ReadCounters {
    records: Counter,
    bytes: Counter,
}

impl LogCounters {
    /// Records went into a segment without a slot.
    pub(super) fn note_around_tail(&self, records: usize, bytes: usize) {
        self.records_around_tail.add(records as u64);
        self.bytes_around_tail.add(bytes as u64);
    }

    /// A reader got so much.
    #[inline]
    pub(super) fn note_read(&self, records: usize, bytes: usize) {
        self.read.records.add(records as u64);
        self.read.bytes.add(bytes as u64);
    }

    /// A segment was synced, which took so long.
    pub(super) fn note_segment_sync(&self, time: Duration) {
        self.segment_syncs.add(1);
        self.segment_sync_ns.add(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX));
    }

    /// All that was counted, with what was received in slots.
    pub(super) fn read(&self, in_slots: Received) -> PartitionCounters {
        PartitionCounters {
            records_in: in_slots.records + self.records_around_tail.read(),
            bytes_in: in_slots.bytes + self.bytes_around_tail.read(),
            records_out: self.read.records.read(),
            bytes_out: self.read.bytes.read(),
            refused_sends: self.refused_sends.read(),
            segments_rolled: self.segments_rolled.read(),
            segments_deleted: self.segments_deleted.read(),
            bytes_deleted: self.bytes_deleted.read(),
            compactions: self.compactions.read(),
            segment_syncs: self.segment_syncs.read(),
            segment_sync_time: Duration::from_nanos(self.segment_sync_ns.read()),
        }
    }
}
