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
    /// The batch that is being appended to, if there is one.
    pub(super) open: Option<Arc<OpenBatch>>,
    /// What was received in slots before that. Here, so that who counts sees each batch once, whenever it is sealed.
    pub(super) received: Received,
}

impl LogView {
    /// What was received in slots up to now.
    pub(super) fn received(&self) -> Received {
        let Received { records, bytes } = self.received;
        match &self.open {
            // Markers are nobody's records.
            Some(open) if !open.identity().start.attributes.is_control() => {
                let (open_records, open_bytes) = open.published_size();
                Received { records: records + open_records, bytes: bytes + open_bytes as u64 }
            }
            _ => Received { records, bytes },
        }
    }

    /// The same without the open batch, which is sealed by now, or given up.
    pub(super) fn without_open(&self) -> LogView {
        LogView { received: self.received(), open: None, ..self.clone() }
    }
}
