//! What a broker has to do with transactions: it makes their coordinator, ends at opening what stands open, and tells of them.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use super::store::{INTERNAL_SEGMENT_BYTES, Store};
use super::{Admin, HeldByTransaction};
use crate::error::{Error, Result};
use crate::partition::PartitionSource;
use crate::partition::config::TopicConfig;
use crate::partition::log::{Log, OpenTransaction};
use crate::partition::log_id::LogId;
use crate::topic_partition::TopicPartition;
use crate::transaction::{
    self, Settled, TRANSACTION_STATE_TOPIC, TransactionCoordinator, TransactionDescription, TransactionTimeouts,
};

impl Store {
    /// The transactional ids of this broker, read from the disk at the first call, which also ends what stands open in the logs.
    pub(crate) fn transactions(&self) -> Result<&Arc<TransactionCoordinator>> {
        self.transactions_and_settled().map(|(transactions, _)| transactions)
    }

    /// The same, and how many transactions this call has ended.
    fn transactions_and_settled(&self) -> Result<(&Arc<TransactionCoordinator>, Settled)> {
        let writer = self.writer("look at transactions")?;
        if let Some(transactions) = writer.transactions.get() {
            return Ok((transactions, Settled::default()));
        }
        let _one_at_a_time = writer.transactions_being_made.lock();
        if let Some(transactions) = writer.transactions.get() {
            return Ok((transactions, Settled::default()));
        }
        // Once it is being closed, nobody would end what begins here.
        self.check_open()?;
        let topic = match self.topic(TRANSACTION_STATE_TOPIC) {
            Err(Error::UnknownTopic { .. }) => {
                self.add_topic(TRANSACTION_STATE_TOPIC, TopicConfig::new().segment_bytes(INTERNAL_SEGMENT_BYTES))?
            }
            found => found?,
        };
        // What cannot be read is not what was never decided.
        topic.logs().iter().try_for_each(|log| log.check_whole())?;
        let expiration = self.config.transactional_id_expiration;
        let loaded = TransactionCoordinator::load(topic.logs(), &writer.environment, expiration, self.skips_corrupt())?;
        // Also where that could not be done at opening: nobody had a name since, so whatever is open is of an earlier process.
        let is_to_settle = self.config.settles_transactions;
        let settled = if is_to_settle { loaded.settle(&self.registry.logs().load_full()) } else { Settled::default() };
        loaded.note_unsettled(|id| self.log_of(id))?;
        let transactions = Arc::new(loaded);
        writer.environment.add_expiring(Arc::new(TransactionTimeouts::new(&transactions)));
        Ok((writer.transactions.get_or_init(|| transactions), settled))
    }

    /// The transactional ids, if any was ever used in this directory.
    pub(super) fn transactions_if_used(&self) -> Result<Option<&Arc<TransactionCoordinator>>> {
        self.check_writable("look at transactions")?;
        if self.registry.load().contains_key(TRANSACTION_STATE_TOPIC) {
            self.transactions().map(Some)
        } else {
            Ok(None)
        }
    }

    /// The log that this is, if its topic was not deleted.
    fn log_of(&self, id: LogId) -> Option<Arc<Log>> {
        let topics = self.registry.all();
        let topic = topics.values().find(|topic| topic.topic_id == id.topic_id)?;
        topic.partitions.get(id.partition).and_then(|found| found.source.log().cloned())
    }

    /// Ends the transactions that stand open in the logs, as they were decided. If nobody knows how, since what was decided is damaged,
    /// they stay open, and readers of committed records stop before them: whoever opens a transactional producer is told why, or has
    /// them ended if it can be read by then.
    pub(super) fn settle_transactions(&mut self) {
        if self.config.settles_transactions {
            let logs = self.registry.logs().load_full();
            self.report.settled = self.settle(&logs).unwrap_or_default();
        }
    }

    /// Ends the transactions that stand open in `logs`, where nothing was sent yet: those of an earlier process.
    ///
    /// # Errors
    /// [`Error::Corrupt`] and others if it cannot be read what was decided.
    pub(super) fn settle(&self, logs: &[Arc<Log>]) -> Result<Settled> {
        if !logs.iter().any(|log| log.has_open_transactions()) {
            return Ok(Settled::default());
        }
        let settled = self.settle_open(logs)?;
        self.tell_settled(settled);
        Ok(settled)
    }

    fn settle_open(&self, logs: &[Arc<Log>]) -> Result<Settled> {
        if self.registry.load().contains_key(TRANSACTION_STATE_TOPIC) {
            self.transactions_and_settled().map(|(_, settled)| settled)
        } else {
            Ok(transaction::abort_all(logs))
        }
    }

    /// Where partitions end before what a committed transaction has covered there, which has not come, by producer id: `end_of` says where
    /// each ends.
    ///
    /// # Errors
    /// Those of reading what was decided.
    pub(crate) fn torn_transactions(
        &self,
        end_of: impl Fn(&TopicPartition) -> Option<u64>,
    ) -> Result<Vec<(i64, TopicPartition, Range<u64>)>> {
        let topics = self.topics()?;
        let Some(state) = topics.get(TRANSACTION_STATE_TOPIC) else { return Ok(Vec::new()) };
        let sources: Vec<PartitionSource> = state.partitions.iter().map(|found| found.source.clone()).collect();
        let names: HashMap<u128, &Arc<str>> = topics.iter().map(|(name, topic)| (topic.topic_id, name)).collect();
        let torn = transaction::covered_by_commits(&sources)?.into_iter().filter_map(|(producer_id, covered)| {
            let partition = TopicPartition::new(Arc::clone(names.get(&covered.topic_id)?), covered.partition);
            let missing = end_of(&partition)?.max(covered.offsets.start)..covered.offsets.end;
            (!missing.is_empty()).then_some((producer_id, partition, missing))
        });
        Ok(torn.collect())
    }

    /// What another process has written down of all names, and where it has transactions open.
    fn recorded_transactions(&self) -> Result<Vec<TransactionDescription>> {
        let topics = self.topics()?;
        let Some(topic) = topics.get(TRANSACTION_STATE_TOPIC) else { return Ok(Vec::new()) };
        let sources: Vec<PartitionSource> = topic.partitions.iter().map(|found| found.source.clone()).collect();
        let mut names: Vec<TransactionDescription> = transaction::descriptions(&sources)?.into_values().collect();
        // After the names: what a log says is open now was not over when they were read.
        for found in topics.values().flat_map(|topic| topic.partitions.iter()) {
            for open in found.source.open_transactions() {
                if let Some(name) = names.iter_mut().find(|name| name.producer_id() == open.producer.id) {
                    name.note_open(&found.address, open.first_offset);
                }
            }
        }
        names.iter_mut().for_each(TransactionDescription::sort_partitions);
        Ok(names)
    }

    /// The transactions that are open in a log.
    pub(super) fn held_by_transactions(&self, log: &Log) -> Vec<HeldByTransaction> {
        if !log.has_open_transactions() {
            return Vec::new();
        }
        let transactions = self.writer("look at transactions").ok().and_then(|writer| writer.transactions.get());
        let held = |open: OpenTransaction| {
            let transactional_id = self.transactional_id_of(open.producer.id);
            let description = transactions.and_then(|transactions| transactions.describe(&transactional_id));
            HeldByTransaction {
                partition: log.partition().clone(),
                age: description.and_then(|description| description.age()),
                transactional_id,
                first_offset: open.first_offset,
            }
        };
        log.open_transactions().into_iter().map(held).collect()
    }

    /// The name whose transactions have this producer id.
    pub(super) fn transactional_id_of(&self, producer_id: i64) -> String {
        let transactions = self.writer("look at transactions").ok().and_then(|writer| writer.transactions.get());
        let name = transactions.and_then(|transactions| transactions.name_of(producer_id));
        name.unwrap_or_else(|| format!("producer id {producer_id}"))
    }
}

impl Admin<'_> {
    /// All transactional ids, and how far their transactions are, in ascending order. If the broker is open read-only, as the writing
    /// process has last recorded it: with a decision, and when a name is taken over. Which transactions are open then the logs tell, all
    /// of which are looked at.
    ///
    /// # Errors
    /// [`Error::Closed`]; [`Error::Corrupt`] if they cannot be read.
    ///
    /// # Examples
    /// ```
    /// # let broker = ottla::Broker::temporary()?;
    /// let producer = broker.transactional_producer("payments")?;
    /// for transaction in broker.admin().list_transactions()? {
    ///     println!("{}: {}", transaction.transactional_id(), transaction.state());
    /// }
    /// # assert_eq!(broker.admin().list_transactions()?.len(), 1);
    /// # Ok::<_, ottla::Error>(())
    /// ```
    pub fn list_transactions(&self) -> Result<Vec<TransactionDescription>> {
        let store = &self.broker.store;
        if store.is_read_only() {
            return store.recorded_transactions();
        }
        Ok(store.transactions_if_used()?.map(|transactions| transactions.describe_all()).unwrap_or_default())
    }

    /// A transactional id, and how far its transaction is; read-only as [`list_transactions`](Admin::list_transactions).
    ///
    /// # Errors
    /// [`Error::UnknownTransactionalId`]; as [`list_transactions`](Admin::list_transactions).
    ///
    /// # Examples
    /// The example is at [`TransactionDescription`].
    pub fn describe_transaction(&self, transactional_id: &str) -> Result<TransactionDescription> {
        let store = &self.broker.store;
        let found = if store.is_read_only() {
            self.list_transactions()?.into_iter().find(|found| found.transactional_id() == transactional_id)
        } else {
            store.transactions_if_used()?.and_then(|transactions| transactions.describe(transactional_id))
        };
        found.ok_or_else(|| transaction::unknown(transactional_id))
    }

    /// Aborts the transaction that is open under this name, and fences its producer, which has to open the name again. Returns whether there
    /// was one.
    ///
    /// # Errors
    /// [`Error::UnknownTransactionalId`]; [`Error::InvalidState`] for a transaction that is decided, and cannot be aborted any more;
    /// [`Error::ReadOnly`], [`Error::DiskFull`], [`Error::Io`], [`Error::Poisoned`]: it is open still, unless the error is of a partition
    /// whose marker is written later.
    ///
    /// # Examples
    /// ```
    /// use ottla::{Error, FencedBy, ProducerRecord};
    /// # let broker = ottla::Broker::temporary()?;
    /// # broker.topic("ledger")?;
    /// let mut payments = broker.transactional_producer("payments")?;
    /// let transaction = payments.begin()?;
    /// transaction.send(ProducerRecord::to("ledger").value("-5.00"))?;
    /// assert!(broker.admin().abort_transaction("payments")?);
    /// assert!(matches!(transaction.commit(), Err(Error::Fenced { by: FencedBy::Admin, .. })));
    /// # Ok::<_, ottla::Error>(())
    /// ```
    pub fn abort_transaction(&self, transactional_id: &str) -> Result<bool> {
        let store = &self.broker.store;
        store.check_writable("abort a transaction")?;
        let transactions = store.transactions_if_used()?.ok_or_else(|| transaction::unknown(transactional_id))?;
        let aborted = transactions.abort_by_hand(transactional_id);
        store.files.emit_events();
        aborted
    }
}
