//! What a log knows of transactions while it is written. It is changed by the holder of the append lock.

use std::sync::Arc;

use super::LogCore;
use crate::error::{Error, FencedBy};
use crate::format::{BatchHeader, EndTransactionMarker, HEADER_BYTES, ProducerIdAndEpoch};
use crate::partition::checkpoint::Checkpoint;
use crate::partition::log_view::LogView;
use crate::partition::producer_state::OpenTransaction;
use crate::partition::producer_state::ProducerStates;
use crate::partition::producer_state::aborted::AbortedTransactions;
use crate::partition::producer_state::batch::{DataBatch, MarkerBatch, ProducerBatch};
use crate::partition::producer_state::gathering::SegmentProducers;
use crate::partition::producer_state::live::{Decided, NotAdmitted};
use crate::segment::{AbortedTransaction, Segment};

impl LogCore {
    /// Where the first transaction begins that has no marker yet, above every offset if there is none: nothing of that is deleted or
    /// compacted, nor what comes behind.
    pub(crate) fn first_unmarked_offset(&self) -> u64 {
        self.offsets.first_unmarked()
    }

    /// The transactions that have no marker yet, by their first offsets.
    pub(crate) fn open_transactions(&self) -> Vec<OpenTransaction> {
        self.producers.lock().open_transactions()
    }

    /// The transactions that never happened, if there are any.
    pub(in crate::partition) fn aborted(&self) -> Option<Arc<AbortedTransactions>> {
        self.view().aborted.clone()
    }

    /// All producers at the end of the segments.
    pub(in crate::partition) fn producers_in_segments(&self) -> Arc<ProducerStates> {
        self.producers.lock().in_segments()
    }

    /// Tells the checkpoint of the segments that have ended. To be called before it notes anything.
    pub(in crate::partition) fn tell_producers(&self, checkpoint: &mut Checkpoint) {
        let (are_any, ended) = self.producers.lock().take_ended();
        checkpoint.producers.update(are_any, ended);
    }

    /// What there is to be told of the active segment, which begins at `base_offset`.
    pub(in crate::partition) fn producers_of_active(&self, base_offset: u64) -> SegmentProducers {
        self.producers.lock().active(base_offset)
    }

    /// A sync of the active segment, as it is now, is about to begin.
    pub(in crate::partition) fn note_producers_to_sync(&self, active: &Segment) {
        self.producers.lock().sync_begins(active.base_offset(), active.next_offset());
    }

    /// What there was of the active segment when a sync began that went up to `next_offset`, if that is still known.
    pub(in crate::partition) fn producers_synced(&self, next_offset: u64) -> Option<SegmentProducers> {
        self.producers.lock().at_sync(next_offset)
    }

    /// Whether this producer may append in a transaction.
    pub(in crate::partition) fn admit(&self, producer: ProducerIdAndEpoch) -> Result<(), NotAdmitted> {
        self.producers.lock().admit(producer)
    }

    /// The sequence of the next record of this producer.
    pub(in crate::partition) fn next_sequence(&self, producer: ProducerIdAndEpoch) -> i32 {
        self.producers.lock().next_sequence(producer)
    }

    /// Where the transaction begins that a marker of this producer would end, and how it was decided, if its marker is owed.
    pub(in crate::partition) fn open_of(&self, producer: ProducerIdAndEpoch) -> Option<(u64, Option<Decided>)> {
        let producers = self.producers.lock();
        Some((producers.open_of(producer)?, producers.decision_of(producer.id)))
    }

    /// A batch of a transaction was appended, or has grown, and is about to be published.
    pub(in crate::partition) fn note_sent(&self, batch: &DataBatch) {
        let mut producers = self.producers.lock();
        producers.sent(batch);
        self.offsets.set_first_open(producers.first_open());
    }

    /// A marker was published.
    pub(in crate::partition) fn note_ended(&self, batch: &MarkerBatch) {
        let mut producers = self.producers.lock();
        if let Some(aborted) = producers.ended(batch) {
            self.hide(aborted);
        }
        self.offsets.set_first_open(producers.first_open());
    }

    /// A transaction that begins at `first_offset` has ended like this, though there is no marker that says so.
    pub(in crate::partition) fn note_decided(&self, decided: Decided, first_offset: u64) {
        let producer_id = decided.producer.id;
        if !decided.marker.is_commit {
            // Nothing more of the producer comes before the marker.
            let last_offset = self.log_end_offset().saturating_sub(1);
            self.hide(AbortedTransaction { producer_id, first_offset, last_offset, last_stable_offset: first_offset });
        }
        let mut producers = self.producers.lock();
        producers.decide(decided);
        self.offsets.set_first_open(producers.first_open());
    }

    /// Has readers of committed records leave a transaction out, before they come to it.
    fn hide(&self, aborted: AbortedTransaction) {
        self.change_view(|view| {
            let aborted = view.aborted.as_deref().cloned().unwrap_or_default().with(aborted);
            LogView { aborted: Some(Arc::new(aborted)), ..view.clone() }
        });
    }

    /// A batch of a producer is in the active segment.
    #[cold]
    pub(super) fn note_in_segment(&self, header: &BatchHeader, batch: &[u8]) {
        let records = batch.get(HEADER_BYTES..).unwrap_or_default();
        let is_control = header.start.attributes.is_control();
        let marker = if is_control { EndTransactionMarker::decode(header, records).ok().flatten() } else { None };
        if let Some(batch) = ProducerBatch::of(header, marker) {
            self.producers.lock().is_in_segment(&batch);
        }
    }

    /// The error for a producer of which a newer epoch was here.
    #[cold]
    pub(in crate::partition) fn fenced_error(&self, producer: ProducerIdAndEpoch) -> Error {
        let (ProducerIdAndEpoch { id, epoch }, partition) = (producer, &self.spec.partition);
        let what = format!("the transactional producer of id {id} and epoch {epoch} in {partition}");
        Error::Fenced { what, by: FencedBy::Newer }
    }
}
