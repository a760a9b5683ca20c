//! Sending in transactions: to many partitions at once or not at all, and with how far a consumer was.

mod transaction;

use std::fmt;
use std::sync::Arc;

pub use transaction::Transaction;

use super::config::ProducerConfig;
use super::partitioner::Partitioner;
use crate::broker::Broker;
use crate::broker::store::Store;
use crate::config_key::invalid;
use crate::error::Result;
use crate::partition::durability::Durability;
use crate::transaction::{Holder, Terms, TransactionCoordinator};

/// Sends records in transactions: readers of committed records see all of one or nothing, whatever happens.
///
/// It has a name, its *transactional id*, and one holder at a time: whoever opens the name [fences](crate::Error::Fenced) the holder of
/// before, be it in this process or in one that is gone, and a transaction that was open is aborted. A producer has one transaction at a
/// time, from [`begin`](TransactionalProducer::begin) on; for several at once, open several names. Other threads may send in it, too.
///
/// What a transaction is for, and what not: the [guide](crate::guide::exactly_once) says that.
///
/// # Examples
/// ```
/// use std::time::Duration;
/// use ottla::{Broker, ProducerRecord};
/// # let broker = Broker::temporary()?;
/// # for topic in ["orders", "payments", "ledger"] { broker.topic(topic)?; }
/// # broker.topic("orders")?.produce("customer-1", "5.00")?;
/// let mut orders = broker.consumer("billing", ["orders"])?;
/// let mut payments = broker.transactional_producer("billing-1")?;
/// let records = orders.poll(Duration::from_secs(1))?;
/// let transaction = payments.begin()?;
/// for order in &records {
///     transaction.send(ProducerRecord::to("payments").value(order.value().unwrap_or_default()))?;
///     transaction.send(ProducerRecord::to("ledger").value(order.value().unwrap_or_default()))?;
/// }
/// transaction.send_offsets(&orders)?; // That these orders are dealt with, in the same step.
/// transaction.commit()?;
/// # Ok::<_, ottla::Error>(())
/// ```
pub struct TransactionalProducer {
    store: Arc<Store>,
    coordinator: Arc<TransactionCoordinator>,
    holder: Arc<Holder>,
    partitioner: Arc<dyn Partitioner>,
    checkpoint: Option<Vec<u8>>,
}

const TRANSACTIONAL_ID: &str = "transactional.id";
/// What a string of Kafka's schema can hold.
const ID_BYTES_MAX: usize = 32_767;

impl Broker {
    /// Opens the transactional producer of this name, with the default settings: see [`TransactionalProducer`].
    ///
    /// # Errors
    /// As [`transactional_producer_with`](Broker::transactional_producer_with).
    ///
    /// # Examples
    /// ```
    /// use ottla::ProducerRecord;
    /// # let broker = ottla::Broker::temporary()?;
    /// # broker.topic("ledger")?;
    /// let mut producer = broker.transactional_producer("transfers")?;
    /// let transfer = producer.begin()?;
    /// transfer.send(ProducerRecord::to("ledger").key("alice").value("-5.00"))?;
    /// transfer.send(ProducerRecord::to("ledger").key("bob").value("+5.00"))?;
    /// transfer.commit()?;
    /// # Ok::<_, ottla::Error>(())
    /// ```
    pub fn transactional_producer(&self, transactional_id: &str) -> Result<TransactionalProducer> {
        self.transactional_producer_with(transactional_id, ProducerConfig::new())
    }

    /// Opens the transactional producer of this name, with other settings. It returns once that survives a power cut, whatever the
    /// durability of the broker: an [epoch](crate::TransactionDescription::producer_epoch) is never given out twice.
    ///
    /// # Errors
    /// [`Error::InvalidConfig`](crate::Error::InvalidConfig) for a name that is empty or has more than 32,767 bytes, and for a setting;
    /// [`Error::ReadOnly`](crate::Error::ReadOnly), [`Error::Closed`](crate::Error::Closed),
    /// [`Error::DiskFull`](crate::Error::DiskFull), [`Error::Io`](crate::Error::Io), [`Error::Poisoned`](crate::Error::Poisoned),
    /// [`Error::Corrupt`](crate::Error::Corrupt): the holder of before is as it was, unless it had a transaction, which may have been
    /// aborted. [`Error::Fenced`](crate::Error::Fenced): another one has opened the name at the same time.
    ///
    /// # Examples
    /// ```
    /// use std::time::Duration;
    /// use ottla::ProducerConfig;
    /// # let broker = ottla::Broker::temporary()?;
    /// let config = ProducerConfig::new().transaction_timeout(Duration::from_secs(10));
    /// let producer = broker.transactional_producer_with("transfers", config)?;
    /// assert_eq!(producer.transactional_id(), "transfers");
    /// # Ok::<_, ottla::Error>(())
    /// ```
    pub fn transactional_producer_with(
        &self,
        transactional_id: &str,
        config: ProducerConfig,
    ) -> Result<TransactionalProducer> {
        self.store.check_writable("open a transactional producer")?;
        config.validate()?;
        if !(1..=ID_BYTES_MAX).contains(&transactional_id.len()) {
            let given = format!("{} bytes", transactional_id.len());
            return Err(invalid(TRANSACTIONAL_ID, given, format!("must have 1 to {ID_BYTES_MAX} bytes")));
        }
        let timeout = config.transaction_timeout_or_default();
        let terms = Terms { timeout, is_durable: config.durability == Some(Durability::Always) };
        let coordinator = self.store.transactions()?;
        let (holder, checkpoint) = coordinator.take_over(transactional_id, terms, self.store.random())?;
        Ok(TransactionalProducer {
            store: Arc::clone(&self.store),
            coordinator: Arc::clone(coordinator),
            holder,
            partitioner: config.partitioner_or_default(self.store.random()),
            checkpoint,
        })
    }
}

impl TransactionalProducer {
    /// The name.
    #[must_use]
    pub fn transactional_id(&self) -> &str {
        self.holder.transactional_id()
    }

    /// What the last transaction that was committed with a [checkpoint](Transaction::set_checkpoint) has left, by this holder of the name
    /// or by an earlier one; `None` if there never was one. It is kept as long as the name is.
    ///
    /// # Examples
    /// ```
    /// use ottla::ProducerRecord;
    /// # let broker = ottla::Broker::temporary()?;
    /// # broker.topic("rows")?;
    /// let rows = ["a", "b", "c"];
    /// let mut import = broker.transactional_producer("import")?;
    /// let done: usize = import.checkpoint().map_or(0, |row| String::from_utf8_lossy(row).parse().unwrap());
    /// for (number, row) in rows.iter().enumerate().skip(done) {
    ///     let transaction = import.begin()?;
    ///     transaction.send(ProducerRecord::to("rows").value(row))?;
    ///     transaction.set_checkpoint((number + 1).to_string())?;
    ///     transaction.commit()?;
    /// }
    /// assert_eq!(import.checkpoint(), Some(&b"3"[..]));
    /// # Ok::<_, ottla::Error>(())
    /// ```
    #[must_use]
    pub fn checkpoint(&self) -> Option<&[u8]> {
        self.checkpoint.as_deref()
    }

    /// Begins a transaction. It borrows the producer, so there is one at a time. One that was leaked is aborted first.
    ///
    /// # Errors
    /// [`Error::Fenced`](crate::Error::Fenced): another one has the name, or the last transaction was taken from this one; open the name
    /// again. [`Error::Closed`](crate::Error::Closed). [`Error::DiskFull`](crate::Error::DiskFull),
    /// [`Error::Poisoned`](crate::Error::Poisoned), [`Error::Io`](crate::Error::Io) as long as the end of the transaction before cannot be
    /// written in all its partitions.
    ///
    /// # Examples
    /// ```
    /// # let broker = ottla::Broker::temporary()?;
    /// let mut producer = broker.transactional_producer("transfers")?;
    /// let transaction = producer.begin()?;
    /// transaction.commit()?; // Nothing was sent: nothing to do.
    /// # Ok::<_, ottla::Error>(())
    /// ```
    pub fn begin(&mut self) -> Result<Transaction<'_>> {
        self.store.check_open()?;
        let number = self.coordinator.begin(&self.holder)?;
        Ok(Transaction::new(self, number))
    }
}

/// A transaction that was leaked is aborted.
impl Drop for TransactionalProducer {
    fn drop(&mut self) {
        if !self.store.is_forked() {
            self.coordinator.release(&self.holder);
        }
    }
}

/// In short: its name.
impl fmt::Debug for TransactionalProducer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TransactionalProducer")
            .field("transactional_id", &self.transactional_id())
            .finish_non_exhaustive()
    }
}
