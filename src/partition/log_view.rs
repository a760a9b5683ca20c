//! What readers see of a log's structure.

use std::sync::Arc;

use super::producer_state::aborted::AbortedTransactions;
use crate::error::Corruption;
use crate::segment::Segment;
use crate::tail::{OpenBatch, Salvaged};

/// Segments in ascending order; the last one is active.
pub(super) type Segments = Arc<[Arc<Segment>]>;

/// What readers see of a log's structure. Replaced as a whole.
#[derive(Debug, Clone)]
pub(crate) struct LogView {
    /// The first offset that can be read. It is here so that whoever sees a later start sees the segments without what went.
    pub(super) log_start_offset: u64,
    /// Ranges of offsets that opening found missing or damaged.
    pub(super) damage: Arc<[Corruption]>,
    pub(super) segments: Segments,
    /// The transactions that never happened, if there are any.
    pub(super) aborted: Option<Arc<AbortedTransactions>>,
    /// Batches behind the segments that an earlier process left in the tail, and that there was no room to seal when the log was
    /// opened. Until they are sealed, nothing is appended.
    pub(super) unsealed: Arc<[Arc<Salvaged>]>,
    /// The batch that is being appended to, if there is one.
    pub(super) open: Option<Arc<OpenBatch>>,
}
