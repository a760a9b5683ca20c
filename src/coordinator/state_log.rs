//! One partition of an internal topic, as its coordinator writes to it: keys and values, of which the last one of a key counts.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use crate::error::{Error, Result};
use crate::events::Events;
use crate::partition::durability::Durability;
use crate::partition::log::Log;
use crate::partition::log_id::LogId;
use crate::record::ProducerRecord;
use crate::topic_partition::TopicPartition;

/// A key, and the value to put there or none to remove it.
pub(crate) type KeyValue = (Vec<u8>, Option<Vec<u8>>);

/// The log of one partition. A change of a state appends to it, under that state's lock; the coordinator does what comes before
/// and after that, with no lock held.
#[derive(Debug)]
pub(crate) struct StateLog {
    log: Arc<Log>,
}

impl StateLog {
    pub(super) fn new(log: Arc<Log>) -> StateLog {
        StateLog { log }
    }

    /// Where to put what subscribers are to be told.
    pub(crate) fn events(&self) -> &Events {
        self.log.events()
    }

    /// Appends records: all of them or none, whatever happens, unless they are too many for one batch. Returns where they are;
    /// those of other ids may be between them. Syncs nothing, and wakes nobody.
    ///
    /// # Errors
    /// [`Error::InDoubt`]: it is not known whether they were appended; [`Error::PartlySent`]: some of them were. Any other:
    /// nothing was appended.
    pub(crate) fn append(&self, records: &[KeyValue]) -> Result<Range<u64>> {
        self.append_by(records, |log, records| match log.append_unsynced(records) {
            Ok(appended) => Ok(appended.offsets()),
            Err(error) => Err(*error),
        })
    }

    /// [`append`](StateLog::append) in the caller's way: `append` appends records in one piece, and returns their offsets.
    ///
    /// # Errors
    /// As `append` and [`append`](StateLog::append).
    pub(crate) fn append_by(
        &self,
        records: &[KeyValue],
        mut append: impl FnMut(&Arc<Log>, &[ProducerRecord<'_>]) -> Result<Range<u64>>,
    ) -> Result<Range<u64>> {
        if records.is_empty() {
            let end = self.log.log_end_offset();
            return Ok(end..end);
        }
        let topic = self.log.partition().topic();
        let records: Vec<_> = records.iter().map(|record| as_producer_record(topic, record)).collect();
        self.append_halving(&records, &mut append)
    }

    /// Appends `records` in one piece, or in as few as the largest batch allows.
    fn append_halving(
        &self,
        records: &[ProducerRecord<'_>],
        append: &mut impl FnMut(&Arc<Log>, &[ProducerRecord<'_>]) -> Result<Range<u64>>,
    ) -> Result<Range<u64>> {
        let error = match append(&self.log, records) {
            Ok(appended) => return Ok(appended),
            Err(error) => error,
        };
        if records.len() < 2 || !matches!(error, Error::RecordTooLarge { .. }) {
            return Err(error);
        }
        let (one, other) = records.split_at(records.len() / 2);
        let first = self.append_halving(one, append)?;
        let second = self
            .append_halving(other, append)
            .map_err(|source| Error::partly_sent(vec![(self.log.partition().clone(), first.clone())], source))?;
        Ok(first.start..second.end)
    }

    /// Has what was appended made as durable as the topic demands before long, since nobody waits for that.
    pub(crate) fn sync_later(&self) {
        self.log.sync_later();
    }

    /// Tells those who keep records for a group how far it has committed.
    #[inline]
    pub(crate) fn note_committed(&self, group: &str, offsets: impl Iterator<Item = (TopicPartition, u64)>) {
        self.log.note_committed(group, offsets);
    }

    /// The clock, in milliseconds since 1970 UTC.
    pub(crate) fn now_ms(&self) -> i64 {
        self.log.now_ms()
    }

    /// Which log it is.
    pub(crate) fn id(&self) -> LogId {
        LogId { topic_id: self.log.topic_id(), partition: self.log.partition().partition() }
    }

    /// The monotonic clock.
    pub(crate) fn monotonic(&self) -> Duration {
        self.log.monotonic()
    }

    /// Fails if nothing can be known of the log.
    pub(super) fn check_whole(&self) -> Result<()> {
        self.log.check_whole()
    }

    /// Does what may take its time, so that an append need not.
    ///
    /// # Errors
    /// [`Error::Forked`].
    pub(super) fn prepare(&self) -> Result<()> {
        self.log.check_not_forked()?;
        self.log.supply_slots_if_short();
        // What it is needed for says so itself, if it could not be done.
        _ = self.log.store_owed_epochs();
        Ok(())
    }

    /// Wakes those who read the topic, if they may see by now what was appended.
    pub(super) fn wake_readers(&self) {
        self.log.wake_readers();
    }

    /// Returns when everything from `offset` (included) on is as durable as the topic demands.
    ///
    /// # Errors
    /// [`Error::NotDurable`], [`Error::InDoubt`].
    pub(super) fn wait_as_demanded(&self, offset: u64) -> Result<()> {
        self.log.wait_as_demanded(offset..self.log.log_end_offset())
    }

    /// Returns when everything from `offset` (included) on survives a power cut, whatever the topic demands.
    ///
    /// # Errors
    /// [`Error::NotDurable`], [`Error::InDoubt`].
    pub(super) fn wait_appended_durable(&self, offset: u64) -> Result<()> {
        self.log.wait_appended_durable(offset..self.log.log_end_offset())
    }

    /// What an append survives when somebody has waited for it, as the topic is configured now.
    pub(crate) fn durability(&self) -> Durability {
        self.log.durability()
    }

    /// The leader epoch of records that are appended now.
    pub(crate) fn leader_epoch(&self) -> i32 {
        self.log.leader_epoch()
    }

    /// Returns when everything survives a power cut, whatever the topic demands.
    ///
    /// # Errors
    /// As [`Log::wait_durable`].
    pub(super) fn wait_durable(&self) -> Result<()> {
        self.log.wait_durable(self.log.log_end_offset())
    }
}

fn as_producer_record<'r>(topic: &'r str, (key, value): &'r KeyValue) -> ProducerRecord<'r> {
    let record = ProducerRecord::to(topic).key(key);
    match value {
        Some(value) => record.value(value),
        None => record,
    }
}
