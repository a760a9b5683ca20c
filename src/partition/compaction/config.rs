//! How a log is compacted.

use crate::partition::config::{TopicConfig, whole_ms};

/// How a log is compacted: read anew at the beginning of each pass, so that a change of the topic's settings counts from then on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct CompactionConfig {
    /// How long a tombstone stays visible, in ms: who reads on within that time learns of every deletion.
    pub(crate) delete_retention_ms: i64,
    /// A segment whose youngest record is younger than this is left alone, and so is what follows it.
    pub(crate) min_lag_ms: i64,
    /// What is older than this is compacted whatever the ratio.
    pub(crate) max_lag_ms: i64,
    /// Which part must be new for a pass.
    pub(crate) dirty_ratio: DirtyRatio,
}

impl CompactionConfig {
    /// That of internal topics, which is Kafka's.
    pub(crate) const INTERNAL: CompactionConfig = CompactionConfig {
        delete_retention_ms: 24 * 3600 * 1000,
        min_lag_ms: 0,
        max_lag_ms: i64::MAX,
        dirty_ratio: DirtyRatio::HALF,
    };

    /// That of a topic, if it is compacted.
    pub(crate) fn of(topic: &TopicConfig) -> Option<CompactionConfig> {
        topic.cleanup_policy.has_compact().then(|| CompactionConfig {
            delete_retention_ms: whole_ms(topic.delete_retention_ms),
            min_lag_ms: whole_ms(topic.min_compaction_lag_ms),
            max_lag_ms: whole_ms(topic.max_compaction_lag_ms),
            dirty_ratio: topic.min_cleanable_dirty_ratio,
        })
    }
}

/// What compaction may take of the machine, in all logs of a broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct CleanerConfig {
    /// About how much memory the keys of one pass may take, in bytes. What does not fit is left to the next pass.
    pub(crate) key_bytes_max: usize,
    /// How many bytes may be read and written a second; `None` for as many as the disk allows.
    pub(crate) io_bytes_per_second: Option<u64>,
}

impl Default for CleanerConfig {
    fn default() -> CleanerConfig {
        CleanerConfig { key_bytes_max: 128 << 20, io_bytes_per_second: None }
    }
}

/// A part of something: a number from 0 to 1, once it was checked. Equal if the bits are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct DirtyRatio(u64);

impl DirtyRatio {
    /// One half.
    pub(crate) const HALF: DirtyRatio = DirtyRatio(0.5_f64.to_bits());

    pub(crate) fn new(ratio: f64) -> DirtyRatio {
        DirtyRatio(ratio.to_bits())
    }

    pub(crate) fn get(self) -> f64 {
        f64::from_bits(self.0)
    }

    /// Whether `part` is at least this part of `whole`.
    #[allow(clippy::cast_precision_loss, reason = "bytes of a log, and a ratio that is as precise as that")]
    pub(super) fn is_reached(self, part: u64, whole: u64) -> bool {
        self.get() * whole as f64 <= part as f64
    }
}
