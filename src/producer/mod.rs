//! Sending records: to a partition of a topic, chosen by the record, by its key, or in turn; and, in transactions, to many of them at
//! once or not at all.

mod batch;
pub(crate) mod config;
pub(crate) mod partitioner;
pub(crate) mod sending;
pub(crate) mod transactional;

use std::fmt;
use std::sync::{Arc, OnceLock};

use crate::broker::store::Store;
use crate::broker::topic_entry::TopicEntry;
use crate::broker::{Broker, Topic};
use crate::error::{Error, Result};
use crate::partition::Appended;
use crate::partition::durability::Durability;
use crate::record::{BatchMetadata, ProducerRecord, RecordMetadata};
use crate::topic_partition::TopicPartition;
use batch::AppendPiece;
use config::ProducerConfig;
use partitioner::{DefaultPartitioner, Partitioner};

/// Sends records. A cheap handle that keeps the broker open; clones share the partitioner.
///
/// There is nothing to wait for behind it: when [`send`](Producer::send) returns, the record is in the log, is visible to
/// consumers, and survives what the topic's [`Durability`] says.
///
/// # Examples
/// ```
/// use ottla::ProducerRecord;
/// # let broker = ottla::Broker::temporary()?;
/// broker.topic("orders")?;
/// let producer = broker.producer();
/// let sent = producer.send(ProducerRecord::to("orders").key("customer-1").value("2 coffees"))?;
/// assert_eq!(sent.offset(), 0);
/// # Ok::<_, ottla::Error>(())
/// ```
#[derive(Clone)]
pub struct Producer {
    store: Arc<Store>,
    partitioner: Arc<dyn Partitioner>,
    /// What a send waits for where its topic demands less.
    least_durability: Durability,
    /// The topic that the first record went to. Most producers have no other one, and who goes by this saves a fifth of an append.
    kept_topic: OnceLock<Arc<TopicEntry>>,
}

impl Broker {
    /// A producer with the default settings.
    ///
    /// # Examples
    /// ```
    /// # let broker = ottla::Broker::temporary()?;
    /// # broker.topic("orders")?;
    /// broker.producer().send(ottla::ProducerRecord::to("orders").value("2 coffees"))?;
    /// # Ok::<_, ottla::Error>(())
    /// ```
    #[must_use]
    pub fn producer(&self) -> Producer {
        Producer::new(&self.store, ProducerConfig::new())
    }

    /// A producer with other settings.
    ///
    /// # Errors
    /// [`Error::ReadOnly`], [`Error::Closed`], [`Error::InvalidConfig`].
    ///
    /// # Examples
    /// ```
    /// use ottla::{ProducerConfig, ProducerRecord};
    /// # let broker = ottla::Broker::temporary()?;
    /// # broker.topic("orders")?;
    /// let config = ProducerConfig::new().partitioner(|_: &ProducerRecord<'_>, partition_count| partition_count - 1);
    /// broker.producer_with(config)?.send(ProducerRecord::to("orders").value("2 coffees"))?;
    /// # Ok::<_, ottla::Error>(())
    /// ```
    pub fn producer_with(&self, config: ProducerConfig) -> Result<Producer> {
        self.store.check_writable("make a producer")?;
        config.validate()?;
        Ok(Producer::new(&self.store, config))
    }
}

impl Topic {
    /// Sends one record to the partition that Kafka's hash of the key names.
    ///
    /// # Errors
    /// As [`Producer::send`].
    ///
    /// # Examples
    /// ```
    /// # let broker = ottla::Broker::temporary()?;
    /// let sent = broker.topic("orders")?.produce("customer-1", "two coffees")?;
    /// assert_eq!(sent.address().to_string(), "orders-0@0");
    /// # Ok::<_, ottla::Error>(())
    /// ```
    pub fn produce(&self, key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Result<RecordMetadata> {
        let (key, value) = (key.as_ref(), value.as_ref());
        let record = ProducerRecord::to(self.name()).key(key).value(value);
        let partition = DefaultPartitioner::partition_of_key(key, self.entry.partition_count());
        self.entry.append_one(partition, &record, Durability::Os)
    }
}

impl Producer {
    fn new(store: &Arc<Store>, config: ProducerConfig) -> Producer {
        Producer {
            store: Arc::clone(store),
            least_durability: config.durability.unwrap_or(Durability::Os),
            kept_topic: OnceLock::new(),
            partitioner: config.partitioner_or_default(store.random()),
        }
    }

    /// Appends one record, to the partition that it names or else that the partitioner chooses.
    ///
    /// # Errors
    /// [`Error::NoTopic`], [`Error::UnknownTopic`], [`Error::UnknownPartition`], [`Error::InvalidRecord`],
    /// [`Error::RecordTooLarge`], [`Error::DiskFull`], [`Error::Io`], [`Error::Poisoned`], [`Error::ReadOnly`], [`Error::Closed`], and
    /// [`Error::InvalidState`] if the partitioner panicked: nothing was appended. [`Error::NotDurable`]: the record was appended,
    /// and is not durable yet. [`Error::InDoubt`]: the write or sync of this very record failed, and it is not known whether
    /// it will be there after reopening. [`Error::outcome`] says which of the three.
    ///
    /// # Examples
    /// ```
    /// use ottla::ProducerRecord;
    /// # let broker = ottla::Broker::temporary()?;
    /// # broker.topic("orders")?;
    /// let record = ProducerRecord::to("orders").key("customer-1").value("two coffees").header("source", "web");
    /// let sent = broker.producer().send(record)?;
    /// assert_eq!((sent.partition(), sent.offset()), (0, 0));
    /// # Ok::<_, ottla::Error>(())
    /// ```
    #[allow(clippy::needless_pass_by_value, reason = "a record is made for one send, and the call reads better")]
    pub fn send(&self, record: ProducerRecord<'_>) -> Result<RecordMetadata> {
        let Some(topic) = record.get_topic() else { return Err(Error::NoTopic) };
        let send = |topic: &TopicEntry| {
            let partition = batch::partition_of(&*self.partitioner, &record, topic.partition_count())?;
            topic.append_one(partition, &record, self.least_durability)
        };
        match self.kept_topic(topic) {
            Some(topic) => send(topic),
            None => self.store.with_topic(topic, send),
        }
    }

    /// The topic of this name, if it is kept and still there.
    #[inline]
    fn kept_topic(&self, name: &str) -> Option<&Arc<TopicEntry>> {
        match self.kept_topic.get() {
            Some(kept) => Some(kept).filter(|kept| *kept.name == *name && kept.is_present()),
            None => self.keep_topic(name),
        }
    }

    #[cold]
    fn keep_topic(&self, name: &str) -> Option<&Arc<TopicEntry>> {
        let topic = self.store.topic_to_keep(name)?;
        _ = self.kept_topic.set(topic);
        None
    }

    /// Appends `records` to `topic`, whatever topic they name. Those of one partition go in one piece, all of them or none,
    /// in their order; the pieces go one after the other. Returns where each record went, in the order given. Without records it
    /// does nothing.
    ///
    /// # Errors
    /// As [`send`](Producer::send) if all go to one partition or nothing was appended, and else [`Error::PartlySent`]: it tells
    /// which pieces are in the log.
    ///
    /// # Examples
    /// ```
    /// use ottla::ProducerRecord;
    /// # let broker = ottla::Broker::temporary()?;
    /// # broker.topic("orders")?;
    /// let records = ["a", "b"].map(|value| ProducerRecord::to("orders").value(value));
    /// let sent = broker.producer().send_batch("orders", &records)?;
    /// assert_eq!(sent.iter().map(|sent| sent.offset()).collect::<Vec<_>>(), [0, 1]);
    /// # Ok::<_, ottla::Error>(())
    /// ```
    pub fn send_batch(&self, topic: &str, records: &[ProducerRecord<'_>]) -> Result<BatchMetadata> {
        self.store.with_topic(topic, |topic| batch::send_batch(self, &*self.partitioner, topic, records))
    }

    /// Returns when everything that was sent before, by anyone, survives a power cut.
    ///
    /// # Errors
    /// [`Error::Poisoned`] if a write or sync failed, now or before. [`Error::DiskFull`], [`Error::Io`] if a sync could not begin:
    /// if the error is retriable, the next flush may succeed.
    ///
    /// # Examples
    /// ```
    /// use ottla::{Durability, TopicConfig};
    /// # let broker = ottla::Broker::temporary()?;
    /// // These survive a kill of the process at once, and a power cut after the flush.
    /// let clicks = broker.topic_with("clicks", TopicConfig::new().durability(Durability::Os))?;
    /// clicks.produce("visitor-1", "home")?;
    /// broker.producer().flush()?;
    /// assert_eq!(clicks.partition(0)?.durable_offset(), 1);
    /// # Ok::<_, ottla::Error>(())
    /// ```
    pub fn flush(&self) -> Result<()> {
        self.store.flush()
    }
}

impl AppendPiece for Producer {
    #[inline]
    fn append_piece<'t>(
        &self,
        topic: &'t TopicEntry,
        partition: u32,
        records: &[ProducerRecord<'_>],
    ) -> Result<(&'t TopicPartition, Appended)> {
        topic.append(partition, records, self.least_durability)
    }
}

impl fmt::Debug for Producer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Producer").field("least_durability", &self.least_durability).finish_non_exhaustive()
    }
}
