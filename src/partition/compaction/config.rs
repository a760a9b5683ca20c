//! How a log is compacted.

/// How a log is compacted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct CompactionConfig {
    /// How long a tombstone stays visible, in ms: who reads on within that time learns of every deletion.
    pub(crate) delete_retention_ms: i64,
    /// About how much memory the keys of one pass may take, in bytes. What does not fit is left to the next pass; the keys
    /// of one segment are always taken.
    pub(crate) key_bytes_max: usize,
}

impl CompactionConfig {
    /// That of internal topics, which is Kafka's.
    pub(crate) const INTERNAL: CompactionConfig =
        CompactionConfig { delete_retention_ms: 24 * 3600 * 1000, key_bytes_max: 64 << 20 };
}
