//! How a segment is kept, where that can change while it is written and read.

use super::SegmentConfig;
use crate::sync::atomic::{AtomicI64, AtomicU32, AtomicUsize, Ordering};

/// A [`SegmentConfig`] that can be replaced. What belongs together is never read together: each bound stands for itself.
#[derive(Debug)]
pub(super) struct LiveConfig {
    segment_bytes: AtomicU32,
    index_interval_bytes: AtomicU32,
    index_bytes_max: AtomicU32,
    segment_ms: AtomicI64,
    expanded_bytes_max: AtomicUsize,
}

impl LiveConfig {
    pub(super) fn new(config: SegmentConfig) -> LiveConfig {
        let SegmentConfig { segment_bytes, index_interval_bytes, index_bytes_max, segment_ms, expanded_bytes_max } =
            config;
        LiveConfig {
            segment_bytes: AtomicU32::new(segment_bytes),
            index_interval_bytes: AtomicU32::new(index_interval_bytes),
            index_bytes_max: AtomicU32::new(index_bytes_max),
            segment_ms: AtomicI64::new(segment_ms),
            expanded_bytes_max: AtomicUsize::new(expanded_bytes_max),
        }
    }

    pub(super) fn replace(&self, config: SegmentConfig) {
        self.segment_bytes.store(config.segment_bytes, Ordering::Relaxed);
        self.index_interval_bytes.store(config.index_interval_bytes, Ordering::Relaxed);
        self.index_bytes_max.store(config.index_bytes_max, Ordering::Relaxed);
        self.segment_ms.store(config.segment_ms, Ordering::Relaxed);
        self.expanded_bytes_max.store(config.expanded_bytes_max, Ordering::Relaxed);
    }

    pub(super) fn segment_bytes(&self) -> u32 {
        self.segment_bytes.load(Ordering::Relaxed)
    }

    pub(super) fn index_interval_bytes(&self) -> u32 {
        self.index_interval_bytes.load(Ordering::Relaxed)
    }

    pub(super) fn index_bytes_max(&self) -> u32 {
        self.index_bytes_max.load(Ordering::Relaxed)
    }

    pub(super) fn segment_ms(&self) -> i64 {
        self.segment_ms.load(Ordering::Relaxed)
    }

    pub(super) fn expanded_bytes_max(&self) -> usize {
        self.expanded_bytes_max.load(Ordering::Relaxed)
    }
}
