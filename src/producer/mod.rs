//! Sending records: to a partition of a topic, chosen by the record, by its key, or in turn.

pub(crate) mod config;
pub(crate) mod partitioner;
pub(crate) mod sending;

use std::fmt;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use crate::broker::store::Store;
use crate::broker::topic_entry::TopicEntry;
use crate::broker::{Broker, Topic};
use crate::error::{Error, Result, SendOutcome};
use crate::partition::durability::Durability;
use crate::record::{BatchMetadata, ProducerRecord, RecordMetadata};
use crate::topic_partition::TopicPartition;
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
        self.store.with_topic(topic, |topic| {
            let partition = self.partition_of(&record, topic.partition_count())?;
            topic.append_one(partition, &record, self.least_durability)
        })
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
        self.store.with_topic(topic, |topic| {
            let partition_count = topic.partition_count();
            let mut chosen = records.iter().map(|record| self.partition_of(record, partition_count));
            let Some(first) = chosen.next().transpose()? else { return Ok(BatchMetadata::from(Vec::new())) };
            // No list is made while all go to one.
            let mut alike = 1;
            while let Some(partition) = chosen.next().transpose()? {
                if partition != first {
                    let mut list = vec![first; alike];
                    list.push(partition);
                    list.append(&mut chosen.collect::<Result<_>>()?);
                    return self.send_pieces(topic, &list, records).map(BatchMetadata::from);
                }
                alike += 1;
            }
            self.send_piece(topic, first, records)
        })
    }

    /// Sends what goes to one partition.
    fn send_piece(&self, topic: &TopicEntry, partition: u32, records: &[ProducerRecord<'_>]) -> Result<BatchMetadata> {
        let (address, appended) = topic.append(partition, records, self.least_durability)?;
        if let Some(timestamp) = appended.one_timestamp(records) {
            return Ok(BatchMetadata::in_a_row(address.clone(), appended.base_offset, records.len(), timestamp));
        }
        let sent = records
            .iter()
            .zip(appended.base_offset..)
            .map(|(record, offset)| RecordMetadata::new(address.clone(), offset, appended.timestamp_of(record)));
        Ok(sent.collect::<Vec<_>>().into())
    }

    /// Sends one piece per partition, by number, and puts the answers in the order of the records.
    fn send_pieces(
        &self,
        topic: &TopicEntry,
        chosen: &[u32],
        records: &[ProducerRecord<'_>],
    ) -> Result<Vec<RecordMetadata>> {
        let mut partitions = chosen.to_vec();
        partitions.sort_unstable();
        partitions.dedup();
        if let Some(&last) = partitions.last()
            && topic.partition_count() <= last
        {
            return Err(topic.unknown_partition(last));
        }
        // Before the first piece is in the log: with a record that no partition takes, nothing is sent.
        topic.check_keys(records)?;
        let mut answers = Vec::with_capacity(records.len());
        for partition in partitions {
            let places = || chosen.iter().enumerate().filter(move |(_, of)| **of == partition).map(|(place, _)| place);
            let piece: Vec<_> = places().filter_map(|place| records.get(place).cloned()).collect();
            let sent = self.send_piece(topic, partition, &piece).map_err(|source| stopped_by(source, &answers))?;
            answers.extend(places().zip(&sent));
        }
        answers.sort_unstable_by_key(|(place, _)| *place);
        Ok(answers.into_iter().map(|(_, sent)| sent).collect())
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

    /// The partition for a record. User code runs here, with no lock held, and if it panics only this call fails.
    #[inline]
    fn partition_of(&self, record: &ProducerRecord<'_>, partition_count: u32) -> Result<u32> {
        if let Some(partition) = record.get_partition() {
            return Ok(partition);
        }
        match partition_count {
            1 => Ok(0),
            count => catch_unwind(AssertUnwindSafe(|| self.partitioner.partition(record, count)))
                .map_err(|_| Error::InvalidState { reason: "the partitioner panicked" }),
        }
    }
}

/// The error for a batch of several pieces, of which one failed and those before it are in the log: where, the `answers` say,
/// in the order of the pieces.
fn stopped_by(source: Error, answers: &[(usize, RecordMetadata)]) -> Error {
    let mut appended: Vec<(TopicPartition, Range<u64>)> = Vec::new();
    for (_, sent) in answers {
        match appended.last_mut() {
            Some((partition, offsets)) if partition == sent.topic_partition() => offsets.end = sent.offset() + 1,
            _ => appended.push((sent.topic_partition().clone(), sent.offset()..sent.offset() + 1)),
        }
    }
    let nothing_is_in = appended.is_empty() && source.outcome() == SendOutcome::NotAppended;
    if nothing_is_in { source } else { Error::partly_sent(appended, source) }
}

impl fmt::Debug for Producer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Producer").field("least_durability", &self.least_durability).finish_non_exhaustive()
    }
}
