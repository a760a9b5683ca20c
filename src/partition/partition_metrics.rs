//! What there is to measure of a partition.

use std::ops::AddAssign;
use std::time::Duration;

/// A partition at one moment; one of [`TopicMetrics::partitions`](crate::TopicMetrics::partitions), where the example is.
///
/// At any moment `log_start_offset <= last_stable_offset <= high_watermark <= log_end_offset`, and `durable_offset <= log_end_offset`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct PartitionMetrics {
    /// The number of the partition.
    pub partition: u32,
    /// The first offset that can be read.
    pub log_start_offset: u64,
    /// One above the last offset that readers of committed records see.
    pub last_stable_offset: u64,
    /// One above the last offset that readers see who ask for all records.
    pub high_watermark: u64,
    /// One above the last offset that was appended. Read-only, one above the last that can be read.
    pub log_end_offset: u64,
    /// Everything below this offset is known to survive a power cut.
    pub durable_offset: u64,
    /// What the log files of the segments have, in bytes. What is in the tail still, and the indexes, are not in it.
    pub log_bytes: u64,
    /// How many segments there are.
    pub segment_count: u64,
    /// Whether it refuses writes, or everything: [`Admin::health`](crate::Admin::health) says why.
    pub is_failed: bool,
    /// What was counted since the broker was opened; `None` read-only, where another process sends and deletes.
    pub counters: Option<PartitionCounters>,
}

/// What was counted in a partition since the broker was opened; in [`PartitionMetrics`], and for all partitions of a topic by
/// [`TopicMetrics::counters`](crate::TopicMetrics::counters). None of these ever falls as long as the broker is open and the topic is there.
///
/// Bytes are those of records in Kafka's encoding: keys, values, headers and a few bytes for each record, before they are compressed or
/// after they are expanded.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct PartitionCounters {
    /// Records that were appended, those of transactions among them, however these ended.
    pub records_in: u64,
    /// The bytes of these.
    pub bytes_in: u64,
    /// Records that were read, by whomever: what two consumers read counts twice.
    pub records_out: u64,
    /// The bytes of these.
    pub bytes_out: u64,
    /// Sends of which nothing was appended: a full disk or budget, a record that is too large or not what the topic demands, a partition
    /// that has failed. What names no partition that there is counts nowhere.
    pub refused_sends: u64,
    /// Segments that were closed because the next one was begun.
    pub segments_rolled: u64,
    /// Segments that were deleted: by retention, by the disk budget, or by [`Admin::delete_records`](crate::Admin::delete_records).
    pub segments_deleted: u64,
    /// The bytes of the log files of these.
    pub bytes_deleted: u64,
    /// Passes of compaction that were done.
    pub compactions: u64,
    /// Syncs of segments of this log. Those of the tails, which most sends wait for, are shared by all partitions: see
    /// [`TailMetrics::syncs`](crate::TailMetrics::syncs).
    pub segment_syncs: u64,
    /// How long these took together.
    pub segment_sync_time: Duration,
}

impl AddAssign for PartitionCounters {
    fn add_assign(&mut self, other: PartitionCounters) {
        let sum = self.with(other, u64::saturating_add);
        let segment_sync_time = self.segment_sync_time.saturating_add(other.segment_sync_time);
        *self = PartitionCounters { segment_sync_time, ..sum };
    }
}

impl PartitionCounters {
    /// What was counted since `earlier`, of the same.
    pub(crate) fn since(self, earlier: PartitionCounters) -> PartitionCounters {
        let rest = self.with(earlier, u64::saturating_sub);
        let segment_sync_time = self.segment_sync_time.saturating_sub(earlier.segment_sync_time);
        PartitionCounters { segment_sync_time, ..rest }
    }

    fn with(self, other: PartitionCounters, of: impl Fn(u64, u64) -> u64) -> PartitionCounters {
        PartitionCounters {
            records_in: of(self.records_in, other.records_in),
            bytes_in: of(self.bytes_in, other.bytes_in),
            records_out: of(self.records_out, other.records_out),
            bytes_out: of(self.bytes_out, other.bytes_out),
            refused_sends: of(self.refused_sends, other.refused_sends),
            segments_rolled: of(self.segments_rolled, other.segments_rolled),
            segments_deleted: of(self.segments_deleted, other.segments_deleted),
            bytes_deleted: of(self.bytes_deleted, other.bytes_deleted),
            compactions: of(self.compactions, other.compactions),
            segment_syncs: of(self.segment_syncs, other.segment_syncs),
            segment_sync_time: self.segment_sync_time,
        }
    }
}
