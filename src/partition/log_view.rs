//! What readers see of a log's structure.

use std::sync::Arc;

use super::counters::Received;
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
    /// Batches in slots, each behind the one before: full ones that are still to be sealed, and the one that is being appended to, if
    /// there is one.
    pub(super) batches: Vec<Arc<OpenBatch>>,
    /// What was received in slots before these. Here, so that who counts sees each batch once, whenever it is sealed.
    pub(super) received: Received,
}

impl LogView {
    /// What was received in slots up to now.
    pub(super) fn received(&self) -> Received {
        self.batches.iter().fold(self.received, |received, batch| received.with(batch))
    }

    /// The same without this batch, which is sealed by now, or given up.
    pub(super) fn without(&self, batch: &Arc<OpenBatch>) -> LogView {
        let mut view = self.clone();
        view.batches.retain(|other| !Arc::ptr_eq(other, batch));
        if view.batches.len() < self.batches.len() {
            view.received = self.received.with(batch);
        }
        view
    }

    /// The same without any batch in a slot.
    pub(super) fn without_batches(&self) -> LogView {
        LogView { received: self.received(), unsealed: Arc::default(), batches: Vec::new(), ..self.clone() }
    }
}

impl Received {
    /// What was received up to now together with this batch.
    fn with(self, batch: &OpenBatch) -> Received {
        // Markers are nobody's records.
        if batch.identity().start.attributes.is_control() {
            return self;
        }
        let (records, bytes) = batch.published_size();
        Received { records: self.records + records, bytes: self.bytes + bytes as u64 }
    }
}
