//! A topic: a name, and partitions that records are spread over.

use std::any::Any;
use std::sync::Arc;

use super::store::Store;
use super::topic_partitions::TopicPartitions;
use crate::error::{Error, Result};
use crate::partition::config::TopicConfig;
use crate::partition::durability::Durability;
use crate::partition::log::Log;
use crate::partition::{Appended, Partition, PartitionSource};
use crate::record::{ProducerRecord, RecordMetadata, Timestamp};
use crate::topic_partition::TopicPartition;

/// What a broker keeps of a topic.
#[derive(Debug)]
pub(crate) struct TopicEntry {
    pub(crate) name: Arc<str>,
    pub(crate) topic_id: u128,
    pub(crate) config: TopicConfig,
    /// Grows when partitions are added, and never shrinks.
    pub(crate) partitions: TopicPartitions,
}

/// A partition's address and who keeps its log; the address is made once, so that nothing is allocated per record.
#[derive(Debug, Clone)]
pub(crate) struct TopicPartitionSource {
    pub(crate) address: TopicPartition,
    pub(crate) source: PartitionSource,
}

impl TopicEntry {
    /// Appends `records` to partition `partition` in one piece, as durably as the topic demands and `least_durability`; returns
    /// its address and what was done.
    ///
    /// # Errors
    /// [`Error::UnknownPartition`], and what appending returns.
    #[inline]
    pub(crate) fn append(
        &self,
        partition: u32,
        records: &[ProducerRecord<'_>],
        least_durability: Durability,
    ) -> Result<(&TopicPartition, Appended)> {
        let Some(TopicPartitionSource { address, source }) = self.partitions.get(partition) else {
            return Err(self.unknown_partition(partition));
        };
        Ok((address, source.writable("send")?.append(records, least_durability)?))
    }

    /// Appends one record.
    ///
    /// # Errors
    /// As [`append`](TopicEntry::append).
    #[inline]
    pub(crate) fn append_one(
        &self,
        partition: u32,
        record: &ProducerRecord<'_>,
        least_durability: Durability,
    ) -> Result<RecordMetadata> {
        let (address, appended) = self.append(partition, std::slice::from_ref(record), least_durability)?;
        let timestamp = record.get_timestamp().unwrap_or(Timestamp::from_millis(appended.timestamp));
        Ok(RecordMetadata::new(address.clone(), appended.base_offset, timestamp))
    }

    /// The logs of all partitions, by number; none if another process keeps them.
    pub(crate) fn logs(&self) -> Vec<Arc<Log>> {
        self.partitions.iter().filter_map(|partition| partition.source.log().cloned()).collect()
    }

    /// How many partitions there are.
    #[inline]
    pub(crate) fn partition_count(&self) -> u32 {
        self.partitions.count()
    }

    pub(crate) fn unknown_partition(&self, partition: u32) -> Error {
        let partition = TopicPartition::new(Arc::clone(&self.name), partition);
        Error::UnknownPartition { partition, partition_count: self.partition_count() }
    }
}

/// A topic of a broker. A cheap handle that keeps the broker open.
///
/// # Examples
/// ```
/// # let broker = ottla::Broker::temporary()?;
/// let topic = broker.topic("orders")?;
/// let sent = topic.produce("customer-1", "2 coffees")?;
/// assert_eq!((sent.partition(), sent.offset()), (0, 0));
/// # Ok::<_, ottla::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Topic {
    pub(crate) entry: Arc<TopicEntry>,
    store: Arc<Store>,
}

impl Topic {
    pub(super) fn new(entry: Arc<TopicEntry>, store: Arc<Store>) -> Topic {
        Topic { entry, store }
    }

    /// The topic's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.entry.name
    }

    /// The configuration that the topic was created with.
    pub fn config(&self) -> &TopicConfig {
        &self.entry.config
    }

    /// The partition of this number, from 0.
    ///
    /// # Errors
    /// [`Error::UnknownPartition`].
    pub fn partition(&self, id: u32) -> Result<Partition> {
        let found = self.entry.partitions.get(id).ok_or_else(|| self.entry.unknown_partition(id))?;
        Ok(self.handle(found))
    }

    /// All partitions, by number.
    #[must_use]
    pub fn partitions(&self) -> impl ExactSizeIterator<Item = Partition> + use<> {
        let handles: Vec<_> = self.entry.partitions.iter().map(|partition| self.handle(partition)).collect();
        handles.into_iter()
    }

    fn handle(&self, partition: &TopicPartitionSource) -> Partition {
        Partition::new(partition.source.clone(), Arc::clone(&self.store) as Arc<dyn Any + Send + Sync>)
    }
}
