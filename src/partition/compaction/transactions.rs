//! What compaction has to know of transactions, from batch to batch of a pass.
//!
//! Nothing is compacted at or behind the first open transaction, so each batch that comes by is plain, committed or aborted. What was
//! aborted goes. A marker stays as long as there is something that it ends: if a pass came across none of the batches of its
//! transaction, it gets a delete horizon as a tombstone does, and a pass after that removes it. The first pass that finds an
//! aborted transaction removes its records and keeps it in the transaction index; so readers of either file leave them out.

use std::collections::HashSet;
use std::sync::Arc;

use crate::format::{BatchHeader, EndTransactionMarker};
use crate::partition::producer_state::ProducerStates;
use crate::partition::producer_state::aborted::AbortedTransactions;
use crate::segment::AbortedTransaction;

/// What is known of the transactions of a log when a pass begins.
#[derive(Debug, Clone, Default)]
pub(super) struct KnownTransactions {
    aborted: Option<Arc<AbortedTransactions>>,
    producers: Arc<ProducerStates>,
}

impl KnownTransactions {
    pub(super) fn new(aborted: Option<Arc<AbortedTransactions>>, producers: Arc<ProducerStates>) -> KnownTransactions {
        KnownTransactions { aborted, producers }
    }

    /// Whether a batch never happened.
    pub(super) fn is_aborted(&self, header: &BatchHeader) -> bool {
        let (stamp, is_control) = (header.start.stamp, header.start.attributes.is_control());
        let aborted = self.aborted.as_ref().filter(|_| stamp.is_transactional && !is_control);
        aborted.is_some_and(|aborted| aborted.contains(stamp.producer_id, header.base_offset()))
    }

    /// Whether a batch is all that tells of a producer that may go on, so that an empty one stays.
    pub(super) fn must_stay(&self, header: &BatchHeader) -> bool {
        header.start.stamp.has_producer() && self.producers.is_last_of_producer(header)
    }
}

/// The transactions of one pass.
#[derive(Debug, Default)]
pub(super) struct CleanedTransactions {
    known: KnownTransactions,
    /// Producers of whose current transaction a batch came by.
    with_data: HashSet<i64>,
    /// Those whose abort marker came by and stays.
    aborted: Vec<AbortedTransaction>,
}

impl CleanedTransactions {
    pub(super) fn new(known: KnownTransactions) -> CleanedTransactions {
        CleanedTransactions { known, ..CleanedTransactions::default() }
    }

    /// A data batch comes by; whether it never happened.
    pub(super) fn is_aborted(&mut self, header: &BatchHeader) -> bool {
        if header.start.stamp.is_transactional {
            self.with_data.insert(header.start.stamp.producer_id);
        }
        self.known.is_aborted(header)
    }

    /// A marker comes by; whether it has something to end.
    pub(super) fn ends_something(&mut self, header: &BatchHeader, marker: EndTransactionMarker) -> bool {
        let producer_id = header.start.stamp.producer_id;
        let has_data = self.with_data.remove(&producer_id);
        if has_data && !marker.is_commit {
            let aborted = self.known.aborted.as_ref();
            self.aborted.extend(aborted.and_then(|aborted| aborted.ended_by(producer_id, header.last_offset())));
        }
        has_data
    }

    /// The aborted transactions whose marker has come by since the last call, and stays.
    pub(super) fn take_aborted(&mut self) -> Vec<AbortedTransaction> {
        std::mem::take(&mut self.aborted)
    }

    /// Whether a batch is all that tells of a producer that may go on.
    pub(super) fn must_stay(&self, header: &BatchHeader) -> bool {
        self.known.must_stay(header)
    }
}
