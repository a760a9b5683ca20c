//! What a log knows of its producers, as Kafka keeps it: for each producer id the epoch, the last batch, and where its open
//! transaction begins.
//!
//! ```text
//! batch of a producer ──→ replay ──→ epoch, last batch, first offset of the open transaction
//! marker ───────────────→ replay ──→ the transaction is over; if it was aborted, an entry of the transaction index
//! ```
//! All of it is made from the log: `gathering` does that when a log is opened, and begins at the newest `snapshot` that is what was
//! noted of it; `live` goes on from there with each batch that is appended. Replay refuses nothing: what is in a log was taken by its leader once. A log without producers has an empty map, and
//! no file of this.

pub(super) mod aborted;
pub(super) mod batch;
pub(super) mod checkpointed;
pub(super) mod gathering;
pub(super) mod live;
pub(crate) mod snapshot;
#[cfg(test)]
mod tests;
pub(super) mod verifying;

use std::collections::{BTreeMap, BTreeSet};

use crate::format::{BatchHeader, ProducerIdAndEpoch, ProducerStamp};
use crate::segment::AbortedTransaction;
use batch::{DataBatch, MarkerBatch, ProducerBatch};

/// A producer without an open transaction is forgotten so long after its last batch or marker, by their timestamps: Kafka's default
/// for `producer.id.expiration.ms`.
pub(super) const EXPIRATION_MS: i64 = 24 * 3600 * 1000;

/// A transaction that is open in a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct OpenTransaction {
    pub(crate) producer: ProducerIdAndEpoch,
    /// The offset of its first record in this log.
    pub(crate) first_offset: u64,
}

/// All producers of a log, at some offset of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::partition) struct ProducerStates {
    producers: BTreeMap<i64, ProducerState>,
    /// Where the open transactions of them begin, with the producers' ids.
    open: BTreeSet<(u64, i64)>,
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

    fn has_expired(&self, now_ms: i64) -> bool {
        let expiry_ms = self.last_timestamp.saturating_add(EXPIRATION_MS);
        self.transaction_first_offset.is_none() && expiry_ms <= now_ms
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
    fn new(producers: BTreeMap<i64, ProducerState>) -> ProducerStates {
        let open =
            producers.iter().filter_map(|(&id, producer)| Some((producer.transaction_first_offset?, id))).collect();
        ProducerStates { producers, open }
    }

    /// Whether nothing is known of any producer.
    pub(in crate::partition) fn is_empty(&self) -> bool {
        self.producers.is_empty()
    }

    /// Where the first transaction begins that is open.
    pub(in crate::partition) fn first_unstable_offset(&self) -> Option<u64> {
        self.open.first().map(|(first_offset, _)| *first_offset)
    }

    /// The transactions that are open, by their first offsets.
    pub(in crate::partition) fn open_transactions(&self) -> Vec<OpenTransaction> {
        let open_of = |&(first_offset, id): &(u64, i64)| {
            let epoch = self.producers.get(&id)?.epoch;
            Some(OpenTransaction { producer: ProducerIdAndEpoch { id, epoch }, first_offset })
        };
        self.open.iter().filter_map(open_of).collect()
    }

    /// Takes in the next batch of the log that has a producer. Returns the transaction that it aborts.
    pub(in crate::partition) fn replay(&mut self, batch: &ProducerBatch) -> Option<AbortedTransaction> {
        match batch {
            ProducerBatch::Data(data) => {
                self.replay_data(data);
                None
            }
            ProducerBatch::Marker(marker) => self.replay_marker(marker),
        }
    }

    fn replay_data(&mut self, batch: &DataBatch) {
        let DataBatch { stamp, base_offset, last_offset_delta, max_timestamp } = *batch;
        let producer = self.producers.entry(stamp.producer_id);
        let producer = producer.or_insert_with(|| ProducerState::new(stamp.producer_epoch));
        producer.go_to_epoch(stamp.producer_epoch);
        let last_offset = base_offset + u64::from(last_offset_delta.cast_unsigned());
        let last_sequence = stamp.last_sequence(last_offset_delta);
        producer.last_batch = Some(LastBatch { last_sequence, last_offset, offset_delta: last_offset_delta });
        producer.last_timestamp = max_timestamp;
        if stamp.is_transactional && producer.transaction_first_offset.is_none() {
            producer.transaction_first_offset = Some(base_offset);
            self.open.insert((base_offset, stamp.producer_id));
        }
    }

    fn replay_marker(&mut self, batch: &MarkerBatch) -> Option<AbortedTransaction> {
        let &MarkerBatch { stamp: ProducerStamp { producer_id, producer_epoch, .. }, offset, timestamp, marker } =
            batch;
        let producer = self.producers.entry(producer_id).or_insert_with(|| ProducerState::new(producer_epoch));
        producer.go_to_epoch(producer_epoch);
        producer.coordinator_epoch = marker.coordinator_epoch;
        producer.last_timestamp = timestamp;
        let first_offset = producer.transaction_first_offset.take()?;
        self.open.remove(&(first_offset, producer_id));
        if marker.is_commit {
            return None;
        }
        let last_stable_offset = self.first_unstable_offset().unwrap_or(offset + 1);
        Some(AbortedTransaction { producer_id, first_offset, last_offset: offset, last_stable_offset })
    }

    /// Forgets the producers that have sent nothing for long and have no open transaction.
    pub(in crate::partition) fn expire(&mut self, now_ms: i64) {
        self.producers.retain(|_, producer| !producer.has_expired(now_ms));
    }

    /// Whether there is one to be forgotten.
    pub(in crate::partition) fn has_expired(&self, now_ms: i64) -> bool {
        self.producers.values().any(|producer| producer.has_expired(now_ms))
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
