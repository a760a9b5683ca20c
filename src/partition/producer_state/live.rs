//! The producers of a log that is being written.
//!
//! ```text
//! [ ended ][ ended ][ active )[ tail )
//!        └ at_end         └ in_segments: replayed from the headers that were appended, and noted where a segment ends
//!                                   └ now: what counts for who appends and who reads
//! ```
//! A transaction is open from its first batch to its marker. If the marker could not be appended, it is *decided*: readers see how it
//! ended, and for whoever deletes or compacts it is open until the marker is there.
//!
//! What counts now is changed under the append lock, and what is in segments by who may write to them. A log without producers pays
//! nothing for this.

use std::collections::BTreeMap;
use std::mem;
use std::sync::Arc;

use super::batch::{DataBatch, MarkerBatch, ProducerBatch};
use super::gathering::{LogProducers, SegmentProducers};
use super::{OpenTransaction, ProducerStates};
use crate::format::{EndTransactionMarker, ProducerIdAndEpoch};
use crate::segment::AbortedTransaction;

/// The producers of a log that is being written.
#[derive(Debug, Default)]
pub(in crate::partition) struct LiveProducers {
    /// At the end of the segments.
    in_segments: Arc<ProducerStates>,
    /// At the end of the log.
    now: ProducerStates,
    /// By producer, how transactions have ended whose markers are not in the log.
    decided: BTreeMap<i64, Decided>,
    /// Whether there is anything to be told of the active segment.
    are_any: bool,
    /// Transactions that were aborted in it.
    aborted: Arc<Vec<AbortedTransaction>>,
    /// The active segment, as it was when its sync began last, and up to which offset that went.
    at_sync: Option<(u64, SegmentProducers)>,
    /// Segments that have ended, and that no checkpoint knows.
    ended: Vec<SegmentProducers>,
}

/// How a transaction is to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::partition) struct Decided {
    pub(in crate::partition) producer: ProducerIdAndEpoch,
    pub(in crate::partition) marker: EndTransactionMarker,
    /// The time of the marker, by the wall clock: the same in all logs, by which those of one transaction are told.
    pub(in crate::partition) ended_ms: i64,
}

/// Why a producer may not append now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::partition) enum NotAdmitted {
    /// A newer epoch of it was here.
    Fenced,
    /// This comes first.
    Owed(Decided),
    /// A transaction is open that it has begun in an older epoch.
    OlderIsOpen,
}

/// Where the first transactions begin that are open; above every offset where there is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::partition) struct FirstOpen {
    /// For who reads committed records.
    pub(in crate::partition) undecided: u64,
    /// For who deletes or compacts.
    pub(in crate::partition) unmarked: u64,
}

impl LiveProducers {
    /// What was found when the log was opened, whose active segment begins at `active`.
    pub(in crate::partition) fn new(found: LogProducers, active: Option<u64>) -> LiveProducers {
        let LogProducers { in_segments, states, gathered, .. } = found;
        let (of_active, ended): (Vec<_>, _) = gathered.into_iter().partition(|found| Some(found.base_offset) == active);
        let of_active = of_active.into_iter().next();
        LiveProducers {
            are_any: !in_segments.is_empty() || of_active.as_ref().is_some_and(|active| active.are_any),
            aborted: of_active.map(|active| active.aborted).unwrap_or_default(),
            in_segments: Arc::new(in_segments),
            now: states,
            decided: BTreeMap::new(),
            at_sync: None,
            ended,
        }
    }

    /// Whether this producer may append in a transaction.
    pub(in crate::partition) fn admit(&self, producer: ProducerIdAndEpoch) -> Result<(), NotAdmitted> {
        let Some(known) = self.now.producers.get(&producer.id) else { return Ok(()) };
        if producer.epoch < known.epoch {
            return Err(NotAdmitted::Fenced);
        }
        match self.decided.get(&producer.id) {
            Some(decided) => Err(NotAdmitted::Owed(*decided)),
            None if known.epoch < producer.epoch && known.transaction_first_offset.is_some() => {
                Err(NotAdmitted::OlderIsOpen)
            }
            None => Ok(()),
        }
    }

    /// The sequence of the next record of this producer. Each epoch begins at 0, and so does a producer that is not known (any more).
    pub(in crate::partition) fn next_sequence(&self, producer: ProducerIdAndEpoch) -> i32 {
        let known = self.now.producers.get(&producer.id).filter(|known| known.epoch == producer.epoch);
        let last = known.and_then(|known| known.last_batch).filter(|last| 0 <= last.last_sequence);
        last.map_or(0, |last| last.last_sequence.wrapping_add(1) & i32::MAX)
    }

    /// Where the transaction begins that a marker of this producer would end.
    pub(in crate::partition) fn open_of(&self, producer: ProducerIdAndEpoch) -> Option<u64> {
        let known = self.now.producers.get(&producer.id).filter(|known| known.epoch <= producer.epoch);
        known.and_then(|known| known.transaction_first_offset)
    }

    /// How the transaction of this producer was decided, if its marker is owed.
    pub(in crate::partition) fn decision_of(&self, producer_id: i64) -> Option<Decided> {
        self.decided.get(&producer_id).copied()
    }

    /// The transactions that have no marker yet, by their first offsets.
    pub(in crate::partition) fn open_transactions(&self) -> Vec<OpenTransaction> {
        self.now.open_transactions()
    }

    /// Where the first transactions begin that are open.
    pub(in crate::partition) fn first_open(&self) -> FirstOpen {
        let undecided = self.now.open.iter().find(|(_, id)| !self.decided.contains_key(id));
        FirstOpen {
            undecided: undecided.map_or(u64::MAX, |(first_offset, _)| *first_offset),
            unmarked: self.now.first_unstable_offset().unwrap_or(u64::MAX),
        }
    }

    /// A batch of a producer is in the log, or has grown.
    pub(in crate::partition) fn sent(&mut self, batch: &DataBatch) {
        self.now.replay_data(batch);
    }

    /// A marker is in the log. Returns the transaction that it aborts.
    pub(in crate::partition) fn ended(&mut self, batch: &MarkerBatch) -> Option<AbortedTransaction> {
        self.decided.remove(&batch.stamp.producer_id);
        self.now.replay_marker(batch)
    }

    /// A transaction that is open has ended like this, though its marker is not in the log.
    pub(in crate::partition) fn decide(&mut self, decided: Decided) {
        self.decided.entry(decided.producer.id).or_insert(decided);
    }

    /// A batch is in the active segment now. Of whatever came out of the tail it is known already.
    pub(in crate::partition) fn is_in_segment(&mut self, batch: &ProducerBatch) {
        self.are_any = true;
        if let Some(aborted) = Arc::make_mut(&mut self.in_segments).replay(batch) {
            Arc::make_mut(&mut self.aborted).push(aborted);
        }
    }

    /// The active segment, which begins at `base_offset`, grows no more. Who is not to be remembered any more is forgotten.
    pub(in crate::partition) fn segment_ended(&mut self, base_offset: u64, now_ms: i64) {
        if !self.are_any {
            return;
        }
        if self.in_segments.has_expired(now_ms) {
            Arc::make_mut(&mut self.in_segments).expire(now_ms);
        }
        self.now.expire(now_ms);
        let ended = self.active(base_offset);
        self.ended.push(ended);
        (self.aborted, self.at_sync) = Default::default();
        self.are_any = !self.in_segments.is_empty();
    }

    /// What there is to be told of the active segment, which begins at `base_offset`.
    pub(in crate::partition) fn active(&self, base_offset: u64) -> SegmentProducers {
        let (aborted, at_end, are_any) = (Arc::clone(&self.aborted), Arc::clone(&self.in_segments), self.are_any);
        SegmentProducers { base_offset, aborted, at_end, are_any }
    }

    /// A sync of the active segment, which begins at `base_offset`, begins, and is to go up to `next_offset`.
    pub(in crate::partition) fn sync_begins(&mut self, base_offset: u64, next_offset: u64) {
        self.at_sync = self.are_any.then(|| (next_offset, self.active(base_offset)));
    }

    /// What there was of the active segment when a sync of it began that went up to `next_offset`, if there was anything and no other
    /// one has begun since.
    pub(in crate::partition) fn at_sync(&self, next_offset: u64) -> Option<SegmentProducers> {
        self.at_sync.as_ref().filter(|(offset, _)| *offset == next_offset).map(|(_, found)| found.clone())
    }

    /// Whether there are any producers in the segments, and those of these that have ended since the last call.
    pub(in crate::partition) fn take_ended(&mut self) -> (bool, Vec<SegmentProducers>) {
        (!self.in_segments.is_empty(), mem::take(&mut self.ended))
    }

    /// All producers at the end of the segments.
    pub(in crate::partition) fn in_segments(&self) -> Arc<ProducerStates> {
        Arc::clone(&self.in_segments)
    }
}
