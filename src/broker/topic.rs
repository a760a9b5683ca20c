//! A topic: a name, and partitions that records are spread over.

use std::any::Any;
use std::fmt;
use std::sync::Arc;

use super::store::Store;
use super::topic_entry::TopicEntry;
use super::topic_partitions::TopicPartitionSource;
use crate::error::Result;
use crate::partition::Partition;
use crate::partition::config::TopicConfig;

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
#[derive(Clone)]
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

    /// How the topic is configured now, with its present number of partitions. Read-only, as the process that writes has
    /// written it down by now.
    ///
    /// # Examples
    /// ```
    /// # let broker = ottla::Broker::temporary()?;
    /// let topic = broker.topic("orders")?;
    /// let before = topic.config();
    /// broker.admin().add_partitions("orders", 3)?;
    /// assert_eq!(topic.config(), before.partitions(3));
    /// # Ok::<_, ottla::Error>(())
    /// ```
    pub fn config(&self) -> TopicConfig {
        if self.store.is_read_only() {
            // Where it cannot be read now, what was known last is the best that there is.
            _ = self.store.topics();
        }
        self.entry.present_config()
    }

    /// How many partitions it has now.
    #[must_use]
    pub fn partition_count(&self) -> u32 {
        self.entry.partition_count()
    }

    /// The partition of this number, from 0.
    ///
    /// # Errors
    /// [`Error::UnknownPartition`](crate::Error::UnknownPartition).
    ///
    /// # Examples
    /// ```
    /// use ottla::{Error, TopicConfig};
    /// # let broker = ottla::Broker::temporary()?;
    /// let orders = broker.create_topic("orders", TopicConfig::new().partitions(2))?;
    /// assert_eq!(orders.partition(1)?.topic_partition().to_string(), "orders-1");
    /// assert!(matches!(orders.partition(2), Err(Error::UnknownPartition { .. })));
    /// # Ok::<_, ottla::Error>(())
    /// ```
    pub fn partition(&self, id: u32) -> Result<Partition> {
        let found = self.entry.partitions.get(id).ok_or_else(|| self.entry.unknown_partition(id))?;
        Ok(self.handle(found))
    }

    /// All partitions, by number.
    ///
    /// # Examples
    /// ```
    /// # let broker = ottla::Broker::temporary()?;
    /// # broker.topic("orders")?;
    /// for partition in broker.topic("orders")?.partitions() {
    ///     println!("{}: {} records", partition.topic_partition(), partition.log_end_offset() - partition.log_start_offset());
    /// }
    /// # Ok::<_, ottla::Error>(())
    /// ```
    #[must_use]
    pub fn partitions(&self) -> impl ExactSizeIterator<Item = Partition> + use<> {
        let handles: Vec<_> = self.entry.partitions.iter().map(|partition| self.handle(partition)).collect();
        handles.into_iter()
    }

    fn handle(&self, partition: &TopicPartitionSource) -> Partition {
        Partition::new(partition.source.clone(), Arc::clone(&self.store) as Arc<dyn Any + Send + Sync>)
    }
}

/// In short: the logs beneath it are a long story.
impl fmt::Debug for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shape = f.debug_struct("Topic");
        shape.field("name", &self.name()).field("partition_count", &self.partition_count()).finish_non_exhaustive()
    }
}
