//! How long lines are kept, and how much of them: what the topics and the broker are configured with for that.
//!
//! Whole segments go, so they are a small part of what is kept. The bookmarks stay: of each stream the last one.

use std::path::Path;
use std::time::Duration;

use ottla::{Broker, BrokerBuilder, BudgetPolicy, CleanupPolicy, Compression, Durability, TopicConfig};

/// A batch of lines is at most so large.
pub(crate) const BATCH_BYTES_MAX: u32 = 16 << 20;
/// A checkpoint is one batch: enough for a million files.
const CHECKPOINT_BYTES_MAX: u32 = 256 << 20;
/// Without a limit of time segments are closed by size alone: lines come from files of different years, in no order.
const SEGMENT_AGE: Duration = Duration::from_secs(3_000 * 365 * 86_400);
/// Without a budget; small enough for one that comes later.
const LINES_SEGMENT_BYTES: u64 = 64 << 20;
const BOOKMARKS_SEGMENT_BYTES: u64 = 4 << 20;
/// By the clock, so that also a log to which little comes is compacted.
const BOOKMARKS_SEGMENT_AGE: Duration = Duration::from_secs(86_400);

/// What the user wants to be kept. Without limits that is everything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Keep {
    /// Lines go when they are so old, counted from when they were collected if that is later.
    pub(crate) age: Option<Duration>,
    /// What the folder of the log may take on the disk; the oldest lines make room.
    pub(crate) bytes: Option<u64>,
}

impl Keep {
    pub(crate) fn broker(&self, data_dir: &Path) -> BrokerBuilder {
        let builder = Broker::builder(data_dir).durability(Durability::Os);
        match self.bytes {
            Some(bytes) => {
                builder.tail_bytes((bytes / 32).clamp(1 << 20, 64 << 20)).disk_budget(bytes, BudgetPolicy::DropOldest)
            }
            None => builder,
        }
    }

    pub(crate) fn lines(&self, partitions: u32) -> TopicConfig {
        // A segment goes when all of it is old enough, so lines stay for an eighth longer at most.
        let segment_age = self.age.map(|age| (age / 8).max(Duration::from_millis(1)));
        TopicConfig::new()
            .partitions(partitions)
            .compression(Compression::Snappy)
            .max_message_bytes(BATCH_BYTES_MAX)
            .segment_bytes(self.segment_bytes(LINES_SEGMENT_BYTES))
            .segment_ms(segment_age.unwrap_or(SEGMENT_AGE))
            .retention_ms(self.age)
    }

    pub(crate) fn bookmarks(&self) -> TopicConfig {
        TopicConfig::new()
            .max_message_bytes(CHECKPOINT_BYTES_MAX)
            .segment_bytes(self.segment_bytes(BOOKMARKS_SEGMENT_BYTES))
            .segment_ms(BOOKMARKS_SEGMENT_AGE)
            .cleanup_policy(CleanupPolicy::Compact)
    }

    /// After so many bytes of lines a checkpoint is due: what is dropped is to be in one, or it may be collected again after a
    /// crash. `None` without a budget.
    pub(crate) fn checkpoint_bytes(&self) -> Option<u64> {
        self.bytes.map(|bytes| bytes / 4)
    }

    /// The active segments of all partitions together are a small part of the budget, and compaction has room for its copy.
    fn segment_bytes(&self, bytes_max: u64) -> u32 {
        let bytes = self.bytes.map_or(bytes_max, |bytes| (bytes / 64).clamp(64 << 10, bytes_max));
        u32::try_from(bytes).unwrap_or(u32::MAX)
    }
}

/// `found` with what is changed from run to run as in `wanted`.
pub(crate) fn with_limits_of(found: &TopicConfig, wanted: &TopicConfig) -> TopicConfig {
    found
        .clone()
        .segment_bytes(wanted.get_segment_bytes())
        .segment_ms(wanted.get_segment_ms())
        .retention_ms(wanted.get_retention_ms())
        .cleanup_policy(wanted.get_cleanup_policy())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_segment_is_a_small_part_of_what_is_kept() {
        let keep = Keep { age: Some(Duration::from_secs(24 * 3600)), bytes: Some(1_000_000_000) };
        let lines = keep.lines(4);
        assert_eq!(lines.get_segment_ms(), Duration::from_secs(3 * 3600));
        assert!(u64::from(lines.get_segment_bytes()) < 1_000_000_000 / 50);
        assert!(u64::from(keep.bookmarks().get_segment_bytes()) < 1_000_000_000 / 50);
    }

    #[test]
    fn without_limits_everything_is_kept() {
        let lines = Keep::default().lines(4);
        assert_eq!((lines.get_retention_ms(), lines.get_retention_bytes()), (None, None));
        assert_eq!(Keep::default().checkpoint_bytes(), None);
    }
}
