//! What a log knows of its producers, as Kafka keeps it: for each producer id the epoch, the last batch, and where its open
//! transaction begins.
//!
//! ```text
//! batch of a producer ──→ replay ──→ epoch, last batch, first offset of the open transaction
//! marker ───────────────→ replay ──→ the transaction is over; if it was aborted, an entry of the transaction index
//! ```
//! All of it is made from the log: `gathering` does that when a log is opened, and begins at the newest `snapshot` that is what was
//! noted of it. Replay refuses nothing: what is in a log was taken by its leader once. A log without producers has an empty map, and
//! no file of this.

pub(super) mod aborted;
pub(super) mod checkpointed;
pub(super) mod gathering;
pub(super) mod snapshot;
#[cfg(test)]
mod tests;
pub(super) mod verifying;

use std::collections::BTreeMap;

use crate::format::{BatchHeader, EndTransactionMarker, ProducerStamp};
use crate::segment::AbortedTransaction;

/// A producer without an open transaction is forgotten so long after its last batch or marker, by their timestamps: Kafka's default
/// for `producer.id.expiration.ms`.
pub(super) const EXPIRATION_MS: i64 = 24 * 3600 * 1000;

/// All producers of a log, at some offset of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::partition) struct ProducerStates {
    producers: BTreeMap<i64, ProducerState>,
}

/// One producer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::partition) struct ProducerState {
    epoch: i16,
    /// Of the last marker, −1 before the first one.
    coordinator_epoch: i32,
    /// The largest timestamp of the last batch, or that of the last marker.
    last_timestamp: i64,
    /// The last batch of this epoch.
    last_batch: Option<LastBatch>,
    /// Where the open transaction begins, if there is one.
    transaction_first_offset: Option<u64>,
}

/// The last data batch of a producer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct LastBatch {
    last_sequence: i32,
    last_offset: u64,
    /// The last offset minus the first one.
    offset_delta: i32,
}

/// What is replayed of a data batch.
#[derive(Debug, Clone, Copy)]
pub(in crate::partition) struct DataBatch {
    pub(in crate::partition) stamp: ProducerStamp,
    pub(in crate::partition) base_offset: u64,
    pub(in crate::partition) last_offset_delta: i32,
    pub(in crate::partition) last_sequence: i32,
    pub(in crate::partition) max_timestamp: i64,
}

impl DataBatch {
    fn of(header: &BatchHeader) -> DataBatch {
        DataBatch {
            stamp: header.start.stamp,
            base_offset: header.base_offset(),
            last_offset_delta: header.last_offset_delta,
            last_sequence: header.last_sequence(),
            max_timestamp: header.max_timestamp,
        }
    }
}

impl ProducerState {
    fn new(epoch: i16) -> ProducerState {
        ProducerState {
            epoch,
            coordinator_epoch: -1,
            last_timestamp: -1,
            last_batch: None,
            transaction_first_offset: None,
        }
    }

    /// Another epoch begins its sequences anew.
    fn go_to_epoch(&mut self, epoch: i16) {
        if self.epoch != epoch {
            self.epoch = epoch;
            self.last_batch = None;
        }
    }
}

impl ProducerStates {
    /// Whether nothing is known of any producer.
    pub(in crate::partition) fn is_empty(&self) -> bool {
        self.producers.is_empty()
    }

    /// Where the first transaction begins that is open.
    pub(in crate::partition) fn first_unstable_offset(&self) -> Option<u64> {
        self.producers.values().filter_map(|producer| producer.transaction_first_offset).min()
    }

    /// Takes in the next batch of the log that has a producer, and its `marker` if it is one. Returns the transaction that it aborts.
    pub(in crate::partition) fn replay(
        &mut self,
        header: &BatchHeader,
        marker: Option<EndTransactionMarker>,
    ) -> Option<AbortedTransaction> {
        if !header.start.attributes.is_control() {
            self.replay_data(&DataBatch::of(header));
            return None;
        }
        // One that compaction has emptied says nothing: its transaction is gone.
        marker.and_then(|marker| self.replay_marker(header, marker))
    }

    /// Takes in the next batch of the log, which is no marker.
    pub(in crate::partition) fn replay_data(&mut self, batch: &DataBatch) {
        let DataBatch { stamp, base_offset, last_offset_delta, last_sequence, max_timestamp } = *batch;
        let producer = self.producers.entry(stamp.producer_id);
        let producer = producer.or_insert_with(|| ProducerState::new(stamp.producer_epoch));
        producer.go_to_epoch(stamp.producer_epoch);
        let last_offset = base_offset + u64::from(last_offset_delta.cast_unsigned());
        producer.last_batch = Some(LastBatch { last_sequence, last_offset, offset_delta: last_offset_delta });
        producer.last_timestamp = max_timestamp;
        if stamp.is_transactional {
            producer.transaction_first_offset.get_or_insert(base_offset);
        }
    }

    fn replay_marker(&mut self, header: &BatchHeader, marker: EndTransactionMarker) -> Option<AbortedTransaction> {
        let ProducerStamp { producer_id, producer_epoch, .. } = header.start.stamp;
        let producer = self.producers.entry(producer_id).or_insert_with(|| ProducerState::new(producer_epoch));
        producer.go_to_epoch(producer_epoch);
        producer.coordinator_epoch = marker.coordinator_epoch;
        producer.last_timestamp = header.max_timestamp;
        let first_offset = producer.transaction_first_offset.take().filter(|_| !marker.is_commit)?;
        let last_offset = header.last_offset();
        let last_stable_offset = self.first_unstable_offset().unwrap_or(last_offset + 1);
        Some(AbortedTransaction { producer_id, first_offset, last_offset, last_stable_offset })
    }

    /// Forgets the producers that have sent nothing for long and have no open transaction.
    pub(in crate::partition) fn expire(&mut self, now_ms: i64) {
        let is_alive = |producer: &ProducerState| {
            producer.transaction_first_offset.is_some()
                || now_ms < producer.last_timestamp.saturating_add(EXPIRATION_MS)
        };
        self.producers.retain(|_, producer| is_alive(producer));
    }

    /// Whether a batch is the last thing that tells of its producer: its last data, or else a marker of its epoch.
    pub(in crate::partition) fn is_last_of_producer(&self, header: &BatchHeader) -> bool {
        let ProducerStamp { producer_id, producer_epoch, .. } = header.start.stamp;
        let is_control = header.start.attributes.is_control();
        self.producers.get(&producer_id).is_some_and(|producer| match producer.last_batch {
            Some(last) => !is_control && last.last_offset == header.last_offset(),
            None => is_control && producer.epoch == producer_epoch,
        })
    }
}
