//! Appending in transactions, and ending them.

use super::{Log, look_at};
use crate::error::Result;
use crate::format::{EndTransactionMarker, ProducerIdAndEpoch};
use crate::partition::appender::AppendResult;
use crate::partition::producer_state::live::Decided;
use crate::record::ProducerRecord;

impl Log {
    /// Does what may take its time, so that an append need not: for callers that hold no lock, since it may sync.
    ///
    /// # Errors
    /// [`Error::Forked`](crate::Error::Forked), [`Error::DiskFull`](crate::Error::DiskFull); as
    /// [`rewrite_if_owed`](Log::rewrite_if_owed).
    pub(crate) fn prepare_append(&self) -> Result<()> {
        self.check_not_forked()?;
        if self.is_always() {
            self.rewrite_if_owed()?;
        }
        self.supply_slots_if_short();
        self.store_owed_epochs()
    }

    /// Appends records of this producer's transaction in one piece, and begins it in this log if it is not open here. As
    /// [`append_unsynced`](Log::append_unsynced) otherwise: it syncs nothing, and wakes nobody. Readers of committed records see them
    /// once [`end_transaction`](Log::end_transaction) has committed.
    ///
    /// The sequences are given out here: they go on where this epoch of the producer has ended in this log.
    ///
    /// # Errors
    /// [`Error::Fenced`](crate::Error::Fenced) if a newer holder of the producer's id was here; what
    /// [`end_transaction`](Log::end_transaction) says, if the marker of the transaction before is still to be appended and that fails
    /// again; as `append_unsynced`.
    pub(crate) fn append_transactional(
        &self,
        producer: ProducerIdAndEpoch,
        records: &[ProducerRecord<'_>],
    ) -> AppendResult {
        let (payload_bytes, is_before_1970) = look_at(records);
        let timestamp_type = self.check_demands(records, is_before_1970, self.spec.settings.demands())?;
        let mut appender = self.appender.lock();
        self.check_writable()?;
        appender.append(self, records, payload_bytes, timestamp_type, producer)
    }

    /// Ends the transaction of this producer, if one of its epoch or an older one is open here: appends the marker, and readers see
    /// what was committed, and never what was aborted. Whether one was open. A marker of a newer epoch than that of the records fences
    /// those who still have an older one. It makes nothing durable, and wakes those who wait: for callers that hold no lock.
    ///
    /// # Errors
    /// The marker is not in the log, and the next call tries again. Readers see the outcome nevertheless, and it is the one of the first
    /// call: what later ones say does not change it. For whoever deletes and compacts the transaction is open until then.
    /// [`Error::Closed`](crate::Error::Closed): the log is closed or deleted, and nothing was done.
    pub(crate) fn end_transaction(
        &self,
        producer: ProducerIdAndEpoch,
        is_commit: bool,
        coordinator_epoch: i32,
    ) -> Result<bool> {
        self.end_transaction_below(u64::MAX, producer, is_commit, coordinator_epoch, self.now_ms())
    }

    /// [`end_transaction`](Log::end_transaction), if the one that is open begins below `end`: for whoever may come late, when the
    /// producer has begun the next one. It was decided at `ended_ms`, by the wall clock, which is the time of all its markers.
    ///
    /// # Errors
    /// As [`end_transaction`](Log::end_transaction).
    pub(crate) fn end_transaction_below(
        &self,
        end: u64,
        producer: ProducerIdAndEpoch,
        is_commit: bool,
        coordinator_epoch: i32,
        ended_ms: i64,
    ) -> Result<bool> {
        self.check_not_forked()?;
        self.supply_slots_if_short();
        // Where that fails, so does the marker, and says why.
        _ = self.store_owed_epochs();
        let marker = EndTransactionMarker { is_commit, coordinator_epoch };
        // The format has no room for times before 1970.
        let ended_ms = ended_ms.max(0);
        let ended = {
            let mut appender = self.appender.lock();
            self.check_open()?;
            appender.end_transaction(self, Decided { producer, marker, ended_ms }, end)
        };
        if !matches!(ended, Ok(false)) {
            // Also where only durable records are shown: those of the transaction may have been durable before.
            self.waiters.wake();
        }
        ended
    }

    /// Wakes those who wait for records whether or not they are committed; for callers that hold no lock.
    pub(crate) fn wake_uncommitted_readers(&self) {
        if !self.is_always() {
            self.waiters.wake_uncommitted();
        }
    }

    /// Whether a transaction has no marker here yet.
    pub(crate) fn has_open_transactions(&self) -> bool {
        self.first_unmarked_offset() < u64::MAX
    }
}
