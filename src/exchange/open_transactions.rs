//! Which transactions are open at the end of a log that is read from its start on, and the markers that abort them.

use std::collections::BTreeMap;

use crate::format::{BatchHeader, EndTransactionMarker, Invalid, ProducerIdAndEpoch, ProducerStamp};

/// The transactions of a log, up to some batch of it.
#[derive(Debug, Clone, Default)]
pub(super) struct OpenTransactions {
    /// By producer id.
    open: BTreeMap<i64, Open>,
    /// Of the last marker, by producer id: it never goes back.
    coordinator_epochs: BTreeMap<i64, i32>,
}

#[derive(Debug, Clone, Copy)]
struct Open {
    first_offset: u64,
    producer_epoch: i16,
}

impl OpenTransactions {
    /// Takes in the next batch, of which `records` are the plain ones. A marker ends the transaction of its producer, whether it has
    /// the epoch of the data or the one after.
    ///
    /// # Errors
    /// If it is a control batch and not one that can be.
    pub(super) fn take(&mut self, header: &BatchHeader, records: &[u8]) -> Result<(), Invalid> {
        let ProducerStamp { producer_id, producer_epoch, is_transactional, .. } = header.start.stamp;
        if header.start.attributes.is_control() {
            if let Some(marker) = EndTransactionMarker::decode(header, records)? {
                self.open.remove(&producer_id);
                self.coordinator_epochs.insert(producer_id, marker.coordinator_epoch);
            }
        } else if is_transactional && header.start.stamp.has_producer() {
            let first = Open { first_offset: header.base_offset(), producer_epoch };
            let open = self.open.entry(producer_id).or_insert(first);
            open.producer_epoch = open.producer_epoch.max(producer_epoch);
        }
        Ok(())
    }

    /// How many are open.
    pub(super) fn count(&self) -> usize {
        self.open.len()
    }

    /// The markers that abort all of them, in the order in which they began, from offset `next_offset` on.
    pub(super) fn abort_markers(
        &self,
        next_offset: u64,
        leader_epoch: i32,
        now_ms: i64,
    ) -> Vec<(BatchHeader, Vec<u8>)> {
        let mut open: Vec<_> = self.open.iter().collect();
        open.sort_by_key(|(_, open)| open.first_offset);
        let marker = |((&producer_id, open), offset): ((&i64, &Open), u64)| {
            let coordinator_epoch = self.coordinator_epochs.get(&producer_id).copied().unwrap_or(0).max(0);
            let marker = EndTransactionMarker { is_commit: false, coordinator_epoch };
            let producer = ProducerIdAndEpoch { id: producer_id, epoch: open.producer_epoch };
            marker.batch(offset, leader_epoch.max(0), producer, now_ms)
        };
        open.into_iter().zip(next_offset..).map(marker).collect()
    }
}
