//! [`Transaction`]: what is sent from `begin` to `commit`.

use std::fmt;
use std::sync::Arc;

use super::TransactionalProducer;
use crate::broker::topic_entry::TopicEntry;
use crate::canary::{Canary, planted};
use crate::config_key::invalid;
use crate::consumer::Consumer;
use crate::error::{ClosedBy, Error, Result, SendOutcome};
use crate::group::committed_offset::CommittedOffset;
use crate::partition::Appended;
use crate::partition::log::Log;
use crate::producer::batch::{self, AppendPiece};
use crate::record::{BatchMetadata, ProducerRecord, RecordMetadata};
use crate::topic_partition::TopicPartition;

/// A transaction that is open; made by [`TransactionalProducer::begin`].
///
/// What is sent in it is in the log at once, and readers of committed records see all of it once [`commit`](Transaction::commit) has
/// returned, and nothing before it is decided. Dropped, it is aborted. It has to end within the [timeout](crate::ProducerConfig::transaction_timeout) of its
/// producer: until then, readers of committed records see nothing that comes behind its first record in the partitions that it has
/// sent to.
///
/// Of the errors of a call before `commit` three kinds need three answers: if one [requires an abort](Error::requires_abort), end the transaction and
/// do all of it again; if it [is fatal](Error::is_fatal), the producer is fenced, or the disk is lost; any other has changed nothing, and
/// the transaction can go on. Whether a `commit` that failed has aborted, its errors say.
///
/// # Examples
/// ```
/// use ottla::ProducerRecord;
/// # let broker = ottla::Broker::temporary()?;
/// # broker.topic("ledger")?;
/// let mut producer = broker.transactional_producer("transfers")?;
/// let transfer = producer.begin()?;
/// transfer.send(ProducerRecord::to("ledger").key("alice").value("-5.00"))?;
/// let may_pay = false;
/// if may_pay {
///     transfer.send(ProducerRecord::to("ledger").key("bob").value("+5.00"))?;
///     transfer.commit()?;
/// } else {
///     transfer.abort()?; // As if nothing had been sent.
/// }
/// assert!(broker.consumer("audit", ["ledger"])?.poll(std::time::Duration::ZERO)?.is_empty());
/// # Ok::<_, ottla::Error>(())
/// ```
#[must_use = "dropped, it is aborted"]
pub struct Transaction<'p> {
    producer: &'p mut TransactionalProducer,
    number: u64,
    has_ended: bool,
}

/// The longest checkpoint, in bytes: it stands in every record of the name.
const CHECKPOINT_BYTES_MAX: usize = 64 << 10;

impl<'p> Transaction<'p> {
    pub(super) fn new(producer: &'p mut TransactionalProducer, number: u64) -> Transaction<'p> {
        Transaction { producer, number, has_ended: false }
    }

    /// Appends one record, to the partition that it names or else that the partitioner chooses. It waits for no disk: what the topic
    /// demands of durability, [`commit`](Transaction::commit) waits for.
    ///
    /// # Errors
    /// [`Error::NoTopic`], [`Error::UnknownTopic`], [`Error::UnknownPartition`], [`Error::InvalidRecord`],
    /// [`Error::RecordTooLarge`], and [`Error::InvalidState`] if the partitioner panicked: nothing was appended, and the transaction can
    /// go on. [`Error::TransactionFailed`] with any other reason: it can only be aborted. [`Error::Fenced`], [`Error::Closed`].
    ///
    /// # Examples
    /// ```
    /// use ottla::ProducerRecord;
    /// # let broker = ottla::Broker::temporary()?;
    /// # broker.topic("ledger")?;
    /// let mut producer = broker.transactional_producer("transfers")?;
    /// let transaction = producer.begin()?;
    /// let sent = transaction.send(ProducerRecord::to("ledger").key("alice").value("-5.00"))?;
    /// assert_eq!(sent.offset(), 0); // Where it is, and nobody sees it yet.
    /// transaction.commit()?;
    /// # Ok::<_, ottla::Error>(())
    /// ```
    #[allow(clippy::needless_pass_by_value, reason = "a record is made for one send, and the call reads better")]
    pub fn send(&self, record: ProducerRecord<'_>) -> Result<RecordMetadata> {
        let Some(topic) = record.get_topic() else { return Err(Error::NoTopic) };
        let sent = self.producer.store.with_topic(topic, |topic| {
            let partition = batch::partition_of(&*self.producer.partitioner, &record, topic.partition_count())?;
            let (address, appended) = self.append_piece(topic, partition, std::slice::from_ref(&record))?;
            Ok(RecordMetadata::new(address.clone(), appended.base_offset, appended.timestamp()))
        });
        sent.map_err(|error| self.failed(error))
    }

    /// Appends `records` to `topic`, whatever topic they name, as [`Producer::send_batch`](crate::Producer::send_batch) does, without
    /// waiting for the disk.
    ///
    /// # Errors
    /// As [`send`](Transaction::send); what fails half way can only be aborted.
    ///
    /// # Examples
    /// ```
    /// use ottla::ProducerRecord;
    /// # let broker = ottla::Broker::temporary()?;
    /// # broker.topic("ledger")?;
    /// let mut producer = broker.transactional_producer("transfers")?;
    /// let transaction = producer.begin()?;
    /// let entries = ["-5.00", "+5.00"].map(|value| ProducerRecord::to("ledger").value(value));
    /// assert_eq!(transaction.send_batch("ledger", &entries)?.len(), 2);
    /// transaction.commit()?;
    /// # Ok::<_, ottla::Error>(())
    /// ```
    pub fn send_batch(&self, topic: &str, records: &[ProducerRecord<'_>]) -> Result<BatchMetadata> {
        let sent = self
            .producer
            .store
            .with_topic(topic, |topic| batch::send_batch(self, &*self.producer.partitioner, topic, records));
        sent.map_err(|error| self.failed(error))
    }

    /// Commits, with this transaction, the consumer's position in every partition: everything that
    /// [`poll`](crate::Consumer::poll) has returned. If the transaction is aborted the group stands where it stood, and the consumer is to
    /// [go back there](crate::Consumer::seek_to_committed). The consumer must not commit by itself, nor by a call while the transaction
    /// is open; and it is to be kept until `commit` has returned: a member that has left its group has lost its partitions.
    ///
    /// # Errors
    /// [`Error::InvalidState`] for a consumer that [commits by itself](crate::ConsumerConfig::auto_commit_interval), or is another broker's: nothing
    /// was appended, and the transaction can go on. [`Error::TransactionFailed`] with [`Error::CommitRefused`] or
    /// [`Error::RebalanceInProgress`]: a partition went to another member already; as [`send`](Transaction::send).
    /// Whether the partitions are the consumer's still, [`commit`](Transaction::commit) asks once more.
    ///
    /// # Examples
    /// The example is at [`TransactionalProducer`].
    #[doc(alias = "sendOffsetsToTransaction")]
    pub fn send_offsets(&self, consumer: &Consumer) -> Result<()> {
        self.stage(consumer, None)
    }

    /// Commits these offsets for the consumer's group, as [`Consumer::commit_offsets`](crate::Consumer::commit_offsets) does, with this
    /// transaction: for who deals with the records of one poll in several transactions.
    ///
    /// # Errors
    /// As [`send_offsets`](Transaction::send_offsets), and those of `commit_offsets`.
    ///
    /// # Examples
    /// ```
    /// use std::time::Duration;
    /// use ottla::{CommittedOffset, ProducerRecord};
    /// # let broker = ottla::Broker::temporary()?;
    /// # broker.topic("payments")?;
    /// # for _ in 0..3 { broker.topic("orders")?.produce("customer-1", "5.00")?; }
    /// let mut orders = broker.consumer("billing", ["orders"])?;
    /// let mut payments = broker.transactional_producer("billing-1")?;
    /// for order in &orders.poll(Duration::from_secs(1))? {
    ///     let transaction = payments.begin()?;
    ///     transaction.send(ProducerRecord::to("payments").value(order.value().unwrap_or_default()))?;
    ///     let done = CommittedOffset::new(order.offset() + 1);
    ///     transaction.send_these_offsets(&orders, &[(order.topic_partition().clone(), done)])?;
    ///     transaction.commit()?;
    /// }
    /// # assert_eq!(broker.admin().describe_group("billing")?.total_lag(), 0);
    /// # Ok::<_, ottla::Error>(())
    /// ```
    pub fn send_these_offsets(&self, consumer: &Consumer, offsets: &[(TopicPartition, CommittedOffset)]) -> Result<()> {
        self.stage(consumer, Some(offsets))
    }

    fn stage(&self, consumer: &Consumer, only: Option<&[(TopicPartition, CommittedOffset)]>) -> Result<()> {
        let TransactionalProducer { store, holder, .. } = &*self.producer;
        store.check_not_forked()?;
        if !Arc::ptr_eq(consumer.store(), store) {
            return Err(Error::InvalidState {
                reason: "the consumer is another broker's: make it with the broker that opened the producer",
            });
        }
        let stage = || {
            holder.note_group(self.number, store.coordinator()?, consumer.group())?;
            consumer.stage_offsets(only, holder.transactional_id(), |log, records| {
                let appended = if planted(Canary::StageOutside) {
                    log.append_unsynced(records)
                } else {
                    holder.append(self.number, log, records)
                };
                Ok(appended.map_err(|error| *error)?.offsets())
            })
        };
        stage().map_err(|error| self.failed(error))
    }

    /// Leaves these bytes with the name when this transaction is committed, for whoever opens it next: they read them with
    /// [`checkpoint`](TransactionalProducer::checkpoint). For who imports from elsewhere: "row 17 of that file". At most 65,536 bytes;
    /// given again, the last ones count.
    ///
    /// # Errors
    /// [`Error::InvalidConfig`] if they are longer; [`Error::TransactionFailed`], [`Error::Fenced`], [`Error::Closed`].
    ///
    /// # Examples
    /// The example is at [`TransactionalProducer::checkpoint`].
    pub fn set_checkpoint(&self, checkpoint: impl Into<Vec<u8>>) -> Result<()> {
        let checkpoint = checkpoint.into();
        if CHECKPOINT_BYTES_MAX < checkpoint.len() {
            let reason = format!("must have at most {CHECKPOINT_BYTES_MAX} bytes");
            return Err(invalid("checkpoint", format!("{} bytes", checkpoint.len()), reason));
        }
        self.producer.store.check_not_forked()?;
        self.producer.holder.set_checkpoint(self.number, checkpoint)
    }

    /// Commits the transaction. When this returns, readers of committed records see all of it; and it survives a power cut if one of its
    /// topics, or the broker's [default](crate::BrokerBuilder::durability), or the producer's configuration demands
    /// [`Durability::Always`](crate::Durability::Always).
    ///
    /// Syncs are shared by all partitions, and with others who commit at the same time: there are two at most, one for what was sent and
    /// one for the decision.
    ///
    /// # Errors
    /// [`Error::TransactionAborted`] with the reason, [`Error::Fenced`] and [`Error::Closed`]: it was aborted, and nobody ever sees anything
    /// of it. [`Error::NotDurable`]: it is committed, and a power cut may still take it back. [`Error::TransactionInDoubt`]: the disk
    /// failed under the decision, and whether it is committed shows when the broker is opened again.
    ///
    /// # Examples
    /// The example is at [`Transaction`].
    pub fn commit(mut self) -> Result<()> {
        self.producer.store.check_not_forked()?;
        self.has_ended = true;
        let checkpoint = self.producer.holder.checkpoint();
        let committed = self.producer.coordinator.commit(&self.producer.holder, self.number);
        let is_committed = committed.as_ref().err().is_none_or(|error| error.outcome() == SendOutcome::Appended);
        if checkpoint.is_some() && is_committed {
            self.producer.checkpoint = checkpoint;
        }
        committed
    }

    /// Aborts the transaction: readers of committed records never see anything of it. To drop it does the same, and tells of no error.
    ///
    /// # Errors
    /// [`Error::Fenced`], [`Error::Closed`]: somebody else has aborted it before. Others say why its end could not be written in all
    /// partitions yet, which is tried again: it is aborted nevertheless.
    ///
    /// # Examples
    /// The example is at [`Transaction`].
    pub fn abort(mut self) -> Result<()> {
        self.producer.store.check_not_forked()?;
        self.has_ended = true;
        self.producer.coordinator.abort(&self.producer.holder, self.number)
    }

    /// Appends records of this transaction to a log, and makes room for them if that is bounded.
    fn append(&self, log: &Arc<Log>, records: &[ProducerRecord<'_>]) -> Result<Appended> {
        log.prepare_append().inspect_err(|error| log.note_refused(error))?;
        loop {
            match self.producer.holder.append(self.number, log, records) {
                Ok(appended) => {
                    log.wake_uncommitted_readers();
                    return Ok(appended);
                }
                Err(error) => log.make_room_after(error).inspect_err(|error| log.note_refused(error))?,
            }
        }
    }

    /// What an error of a call means for the transaction.
    fn failed(&self, error: Error) -> Error {
        match error {
            Error::NoTopic
            | Error::UnknownTopic { .. }
            | Error::InvalidTopic { .. }
            | Error::UnknownPartition { .. }
            | Error::InvalidRecord { .. }
            | Error::RecordTooLarge { .. }
            | Error::InvalidState { .. }
            | Error::InvalidConfig { .. }
            | Error::NotAssigned { .. }
            | Error::OffsetOutOfRange { .. }
            | Error::Closed { by: ClosedBy::Broker | ClosedBy::Consumer, .. }
            | Error::Fenced { .. }
            | Error::Forked
            | Error::TransactionFailed { .. } => error,
            error => {
                let holder = &self.producer.holder;
                holder.fail(self.number);
                let transactional_id = holder.transactional_id().to_string();
                Error::TransactionFailed { transactional_id, source: Box::new(error) }
            }
        }
    }
}

impl AppendPiece for Transaction<'_> {
    fn append_piece<'t>(
        &self,
        topic: &'t TopicEntry,
        partition: u32,
        records: &[ProducerRecord<'_>],
    ) -> Result<(&'t TopicPartition, Appended)> {
        let (address, source) = topic.partition(partition)?;
        let log = source.writable("send")?;
        log.check_not_internal()?;
        Ok((address, self.append(log, records)?))
    }
}

impl Drop for Transaction<'_> {
    fn drop(&mut self) {
        if !self.has_ended && !self.producer.store.is_forked() {
            // Whoever wants to know calls `abort`. What could not be written yet the maintenance writes.
            _ = self.producer.coordinator.abort(&self.producer.holder, self.number);
        }
    }
}

/// In short: whose it is.
impl fmt::Debug for Transaction<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let id = self.producer.transactional_id();
        f.debug_struct("Transaction").field("transactional_id", &id).finish_non_exhaustive()
    }
}
