//! What the coordinator remembers of one transactional id.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use super::decided::Decided;
use super::holder::{Holder, HolderState, Ongoing, Phase, Refusal, ended};
use super::state_records::{Covered, Status, TransactionRecord, decode_key, encode_key};
use crate::canary::{Canary, planted};
use crate::coordinator::{State, StateLog, States};
use crate::error::Result;
use crate::format::ProducerIdAndEpoch;
use crate::partition::durability::Durability;
use crate::partition::log::Log;
use crate::record::ConsumerRecord;

/// The largest epoch that a holder gets. The one above is left for whoever fences it; then the name gets another producer id.
const EPOCH_MAX: i16 = i16::MAX - 1;
/// Producer ids begin above those that a broker hands out one after the other.
const PRODUCER_ID_MIN: i64 = 1 << 40;

/// One transactional id.
#[derive(Debug)]
pub(super) struct Name {
    pub(super) id: Arc<str>,
    /// As it was written down last.
    pub(super) record: Option<TransactionRecord>,
    /// Whether somebody has, or had, the epoch of the record.
    pub(super) is_epoch_given: bool,
    /// Who has it in this process, or had it last.
    pub(super) holder: Option<Arc<Holder>>,
    /// A transaction whose outcome is fixed, and which lacks markers.
    pub(super) decided: Option<Arc<Decided>>,
    /// Logs with markers of the last commit that may not be durable, and up to where. Until they are, every record of the name says what
    /// that commit covered, and the next commit waits for them.
    pub(super) unsettled: Vec<(Arc<Log>, u64)>,
    /// What a commit of before has covered in partitions that answer no call: until they do, every record of the name says it.
    pub(super) kept: Vec<Covered>,
    /// Since when nobody has it, by the monotonic clock.
    pub(super) unused_since: Duration,
}

impl State for Name {
    fn new(id: &str) -> Name {
        Name {
            id: id.into(),
            record: None,
            is_epoch_given: true,
            holder: None,
            decided: None,
            unsettled: Vec::new(),
            kept: Vec::new(),
            unused_since: Duration::ZERO,
        }
    }

    fn is_empty(&self) -> bool {
        self.record.is_none() && self.holder.is_none() && self.decided.is_none()
    }
}

impl Name {
    /// Takes in one record of the topic. What is of another kind, or of a newer version, is passed over.
    pub(super) fn apply(names: &mut States<Name>, record: &ConsumerRecord<'_>, now: Duration) {
        let Some(Ok(Some(id))) = record.key().map(decode_key) else { return };
        let record = match record.value().map(TransactionRecord::decode) {
            Some(Err(_)) => return,
            Some(Ok(record)) => Some(record.settled()),
            None => None,
        };
        let name = names.entry(id.to_owned()).or_insert_with(|| Name::new(id));
        (name.record, name.unused_since) = (record, now);
    }

    /// Appends what is to be remembered from now on, and remembers it. Nothing changes where that fails.
    pub(super) fn write(&mut self, log: &StateLog, record: TransactionRecord) -> Result<Range<u64>> {
        let (mut key, mut value) = (Vec::new(), Vec::new());
        encode_key(&self.id, &mut key)?;
        record.encode(&mut value)?;
        let appended = log.append(&[(key, Some(value))])?;
        self.record = Some(record);
        Ok(appended)
    }

    /// Forgets the name. Whoever takes it next gets a producer id that nobody had.
    pub(super) fn forget(&mut self, log: &StateLog) -> Result<()> {
        let mut key = Vec::new();
        encode_key(&self.id, &mut key)?;
        log.append(&[(key, None)])?;
        (self.record, self.unsettled) = (None, Vec::new());
        Ok(())
    }

    /// Who is to have the name next: with an epoch that nobody had, or else an id that nobody had.
    pub(super) fn next_producer(&self, random: u128) -> ProducerIdAndEpoch {
        #[allow(clippy::cast_possible_truncation, reason = "half of a random number is a random number")]
        let new_id = PRODUCER_ID_MIN + (random as i64 & (i64::MAX >> 1));
        let Some(record) = &self.record else { return ProducerIdAndEpoch { id: new_id, epoch: 0 } };
        let is_reused = !self.is_epoch_given || planted(Canary::ReuseEpoch);
        let epoch = if is_reused { record.producer_epoch } else { record.producer_epoch.saturating_add(1) };
        // The bytes may be anything.
        if 0 <= record.producer_id && (0..=EPOCH_MAX).contains(&epoch) {
            ProducerIdAndEpoch { id: record.producer_id, epoch }
        } else {
            ProducerIdAndEpoch { id: new_id, epoch: 0 }
        }
    }

    /// What is to be remembered of a transaction in this state, or of the name without one.
    pub(super) fn record_of(
        &self,
        log: &StateLog,
        producer: ProducerIdAndEpoch,
        timeout: Duration,
        status: Status,
    ) -> TransactionRecord {
        let before = self.record.as_ref();
        // What is covered may be the previous one's, however many records come behind the first one of the next.
        let previous = before.map_or(-1, |before| match before.producer_id {
            id if id == producer.id => before.previous_producer_id,
            id => id,
        });
        TransactionRecord {
            producer_id: producer.id,
            producer_epoch: producer.epoch,
            timeout_ms: i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX),
            status,
            partitions: Vec::new(),
            last_update_ms: log.now_ms(),
            start_ms: -1,
            previous_producer_id: previous,
            // Of a commit whose markers a power cut may take, the next record has to tell, too.
            covered: before
                .filter(|_| !self.unsettled.is_empty())
                .map_or_else(|| self.kept.clone(), |before| before.covered.clone()),
            checkpoint: before.and_then(|before| before.checkpoint.clone()),
        }
    }

    /// Decides that the holder's transaction is committed: the decision is in the log when this returns.
    ///
    /// # Errors
    /// [`Error::Fenced`] if somebody else has ended it; what appending returns. It is undecided then.
    pub(super) fn decide_commit(
        &mut self,
        log: &StateLog,
        holder: &Arc<Holder>,
        is_durable: bool,
    ) -> Result<Arc<Decided>> {
        let state = holder.lock();
        state.check_not_refused(holder)?;
        let Some(ongoing) = &state.transaction else { return Err(ended()) };
        let mut record = self.record_ending(log, holder, holder.producer, ongoing, Status::PrepareCommit);
        record.covered = ongoing.sent.covered();
        record.covered.extend_from_slice(&self.kept);
        if ongoing.sent.checkpoint.is_some() {
            record.checkpoint.clone_from(&ongoing.sent.checkpoint);
        }
        let (sent, ended_ms) = (ongoing.sent.clone(), record.last_update_ms);
        drop(state);
        let appended = self.write(log, record)?;
        self.unsettled.clear();
        let decided = Decided {
            producer: holder.producer,
            is_commit: true,
            sent,
            awaited: is_durable.then_some(appended),
            ended_ms,
            coordinator_epoch: log.leader_epoch(),
            holder: Arc::clone(holder),
        };
        Ok(Arc::clone(self.decided.insert(Arc::new(decided))))
    }

    /// Decides that the holder's transaction is aborted, if it has one, and returns what is to be finished. With a `refusal` the holder
    /// takes nothing any more; if that is a fence, the epoch rises.
    ///
    /// # Errors
    /// [`Error::Fenced`], [`Error::Closed`] if it takes nothing already; of a fence, what appending returns: nothing has changed then.
    /// Without a fence the transaction is aborted also where that fails, since what is not decided is.
    pub(super) fn decide_abort(
        &mut self,
        log: &StateLog,
        holder: &Arc<Holder>,
        refusal: Option<Refusal>,
    ) -> Result<Option<Arc<Decided>>> {
        self.decide_abort_of(log, holder, &mut holder.lock(), refusal)
    }

    /// [`decide_abort`](Name::decide_abort) for who has the holder's lock: what is ended has sent nothing since.
    pub(super) fn decide_abort_of(
        &mut self,
        log: &StateLog,
        holder: &Arc<Holder>,
        state: &mut HolderState,
        refusal: Option<Refusal>,
    ) -> Result<Option<Arc<Decided>>> {
        state.check_not_refused(holder)?;
        let is_fence = matches!(refusal, Some(Refusal::Fenced(_)));
        let Some(ongoing) = state.transaction.as_ref().filter(|ongoing| is_fence || !ongoing.sent.is_unmarked()) else {
            (state.transaction, state.refusal) = (None, refusal.filter(|_| !is_fence));
            return Ok(None);
        };
        let epoch = holder.producer.epoch + i16::from(is_fence);
        let producer = ProducerIdAndEpoch { epoch, ..holder.producer };
        let record = self.record_ending(log, holder, producer, ongoing, Status::PrepareAbort);
        let ended_ms = record.last_update_ms;
        let decided = |awaited| Decided {
            producer,
            is_commit: false,
            sent: ongoing.sent.clone(),
            awaited,
            ended_ms,
            coordinator_epoch: log.leader_epoch(),
            holder: Arc::clone(holder),
        };
        let decided = match self.write(log, record) {
            Err(error) if is_fence => return Err(error),
            Ok(appended) if is_fence => decided(Some(appended)),
            _ => decided(None),
        };
        self.is_epoch_given &= !is_fence;
        state.refusal = refusal;
        state.transaction.iter_mut().for_each(|ongoing| ongoing.phase = Phase::Ending);
        Ok(Some(Arc::clone(self.decided.insert(Arc::new(decided)))))
    }

    fn record_ending(
        &self,
        log: &StateLog,
        holder: &Holder,
        producer: ProducerIdAndEpoch,
        ongoing: &Ongoing,
        status: Status,
    ) -> TransactionRecord {
        let mut record = self.record_of(log, producer, holder.timeout, status);
        record.partitions = ongoing.sent.partitions();
        record.start_ms = ongoing.start_ms;
        record
    }

    /// The markers of `decided` are in the logs.
    pub(super) fn complete(&mut self, log: &StateLog, decided: &Arc<Decided>) {
        if !self.decided.as_ref().is_some_and(|present| Arc::ptr_eq(present, decided)) {
            return;
        }
        self.decided = None;
        decided.holder.end();
        if decided.is_commit && decided.awaited.is_some() {
            let logs = decided.sent.logs.values().filter(|sent| !sent.log.is_closed());
            self.unsettled.extend(logs.map(|sent| (Arc::clone(&sent.log), sent.log.log_end_offset())));
        }
        if let Some(record) = &self.record {
            let status = if decided.is_commit { Status::CompleteCommit } else { Status::CompleteAbort };
            // The time stays that of the decision: what a crash takes of the markers gets it once more.
            let record = TransactionRecord { status, partitions: Vec::new(), ..record.clone() };
            // Where there is no room for it: the markers say the same.
            _ = self.write(log, record);
        }
    }
}

/// Whether what is written there is durable before it counts.
pub(super) fn is_always(log: &StateLog) -> bool {
    log.durability() == Durability::Always
}

impl TransactionRecord {
    /// As it is once its markers are written: a crash leaves nothing undone that opening does not do.
    fn settled(self) -> TransactionRecord {
        let status = match self.status {
            Status::PrepareCommit => Status::CompleteCommit,
            Status::Empty | Status::CompleteCommit | Status::CompleteAbort => self.status,
            Status::Ongoing | Status::PrepareAbort | Status::Dead | Status::PrepareEpochFence => Status::CompleteAbort,
        };
        TransactionRecord { status, ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_whose_epochs_are_used_up_gets_another_producer_id() {
        let mut name = Name::new("payments");
        let of = |name: &Name| (name.next_producer(7).id, name.next_producer(7).epoch);
        let new_id = PRODUCER_ID_MIN + 7;
        assert_eq!(of(&name), (new_id, 0), "nobody had it");
        for (epoch, is_epoch_given, next) in [
            (0, true, (9000, 1)),
            (0, false, (9000, 0)),
            (EPOCH_MAX - 1, true, (9000, EPOCH_MAX)),
            (EPOCH_MAX, false, (9000, EPOCH_MAX)),
            (EPOCH_MAX, true, (new_id, 0)),
            // The one above was written to fence the last holder.
            (EPOCH_MAX + 1, false, (new_id, 0)),
            (EPOCH_MAX + 1, true, (new_id, 0)),
            // No such epoch can be on a disk, unless somebody else has written there.
            (-7, true, (new_id, 0)),
        ] {
            name.is_epoch_given = is_epoch_given;
            name.record = Some(TransactionRecord {
                producer_id: 9000,
                producer_epoch: epoch,
                timeout_ms: 60_000,
                status: Status::Empty,
                partitions: Vec::new(),
                last_update_ms: 0,
                start_ms: -1,
                previous_producer_id: -1,
                covered: Vec::new(),
                checkpoint: None,
            });
            assert_eq!(of(&name), next, "behind epoch {epoch}, given: {is_epoch_given}");
        }
    }
}
