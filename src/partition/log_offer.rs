//! [`LogOffer`]: what there is of a log at one point, for who follows it, said without its files.

use std::sync::Arc;

use super::leader_epoch::LeaderEpochs;
use super::log::copying::LogContents;
use super::log_copy::LogBounds;
use super::manifest::ManifestSegment;
use crate::segment::Segment;

/// What there is of a log at one point.
#[derive(Debug, Clone)]
pub(crate) struct LogOffer {
    /// The segments that are noted, ascending.
    pub(crate) noted: Vec<ManifestSegment>,
    /// Those behind them, ascending.
    pub(crate) unnoted: Vec<OfferedSegment>,
    /// Where it begins and ends.
    pub(crate) bounds: LogBounds,
    /// Where it ends with what is not proven to survive a power cut, and is not offered, and the leader epochs until there.
    pub(crate) seen: (LeaderEpochs, u64),
}

/// A segment that is not noted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct OfferedSegment {
    pub(crate) base_offset: u64,
    /// Where it ends, as far as it is offered.
    pub(crate) next_offset: u64,
    /// When it was made, by the wall clock in ms, if that is known.
    pub(crate) created_ms: Option<i64>,
    /// Whether offsets may be missing between its batches.
    pub(crate) has_gaps: bool,
}

impl LogContents {
    /// What is offered of it, and the segments that are not noted, in the same order.
    pub(crate) fn into_offer(self) -> (LogOffer, Vec<Arc<Segment>>) {
        let LogContents { noted, unnoted: segments, bounds, seen, .. } = self;
        let offered = |segment: &Arc<Segment>| OfferedSegment {
            base_offset: segment.base_offset(),
            next_offset: segment.next_offset().min(bounds.next_offset).max(segment.base_offset()),
            created_ms: segment.created_ms(),
            has_gaps: segment.has_gaps(),
        };
        let unnoted = segments.iter().map(offered).collect();
        (LogOffer { noted, unnoted, bounds, seen }, segments)
    }
}
