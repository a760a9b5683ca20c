//! Looking at topics and changing them; for groups, see `group_admin`.

use std::ops::Range;
use std::sync::Arc;

use super::into_topic_config::IntoTopicConfig;
use super::store::Store;
use super::topic_entry::TopicEntry;
use super::topic_partitions::TopicPartitionSource;
use super::{Broker, partition_dir};
use crate::error::Result;
use crate::partition::PartitionSource;
use crate::partition::config::TopicConfig;
use crate::topic_partition::TopicPartition;

/// Looks at topics and groups, and changes them; made by [`Broker::admin`].
///
/// # Examples
/// ```
/// # let broker = ottla::Broker::temporary()?;
/// broker.topic("orders")?;
/// let admin = broker.admin();
/// admin.add_partitions("orders", 3)?;
/// assert_eq!(admin.describe("orders")?.partitions().len(), 3);
/// admin.delete_topic("orders")?;
/// assert!(admin.list_topics()?.is_empty());
/// # Ok::<_, ottla::Error>(())
/// ```
#[derive(Debug)]
pub struct Admin<'b> {
    pub(crate) broker: &'b Broker,
}

impl<'b> Admin<'b> {
    /// Whose it is.
    pub(crate) fn broker(&self) -> &'b Broker {
        self.broker
    }

    pub(super) fn new(broker: &'b Broker) -> Admin<'b> {
        Admin { broker }
    }

    /// The names of all topics but the internal ones, in ascending order.
    ///
    /// # Errors
    /// [`Error::Closed`](crate::Error::Closed); read-only, what reading the catalog returns.
    ///
    /// # Examples
    /// ```
    /// # let broker = ottla::Broker::temporary()?;
    /// broker.topic("orders")?;
    /// broker.topic("payments")?;
    /// assert_eq!(broker.admin().list_topics()?, ["orders", "payments"]);
    /// # Ok::<_, ottla::Error>(())
    /// ```
    pub fn list_topics(&self) -> Result<Vec<String>> {
        let mut names: Vec<String> = self.broker.store.topics()?.keys().map(ToString::to_string).collect();
        names.retain(|name| !super::topic_name::is_internal(name));
        names.sort_unstable();
        Ok(names)
    }

    /// Describes a topic as it is now, also what it takes on the disk, for which every file of it is looked at.
    ///
    /// # Errors
    /// [`Error::UnknownTopic`](crate::Error::UnknownTopic); [`Error::Io`](crate::Error::Io) if a file or directory cannot be looked at.
    pub fn describe(&self, topic: &str) -> Result<TopicDescription> {
        let store = &self.broker.store;
        TopicDescription::of(store, &*store.topic(topic)?)
    }

    /// Gives a topic another configuration, while it is in use: `change` gets the present one and returns what it is to be, or a
    /// `Result` of that, so that it can use [`set`](TopicConfig::set). When this returns the change survives a power cut and counts
    /// for every record that is sent from then on; other processes learn of it with their next call. Nothing is deleted by the limits
    /// from before any more: a deletion that is under way is waited for.
    ///
    /// `change` may be called more than once, if somebody else changes the topic at the same time. The number of partitions stays as
    /// it is; [`add_partitions`](Admin::add_partitions) raises it. What is about segments and indexes counts for the active segment,
    /// too; those that are full stay as they are. A topic that becomes [`Durability::Always`](crate::Durability::Always) is made
    /// durable as far as it goes before this returns.
    ///
    /// # Errors
    /// [`Error::UnknownTopic`](crate::Error::UnknownTopic), [`Error::InvalidConfig`](crate::Error::InvalidConfig) with the key of the
    /// setting that does not hold or cannot change, [`Error::InvalidTopic`](crate::Error::InvalidTopic) for an internal topic;
    /// [`Error::DiskFull`](crate::Error::DiskFull), [`Error::Io`](crate::Error::Io); what `change` returns. Nothing has changed then, unless the
    /// topic says that it has: it becomes [`Durability::Always`](crate::Durability::Always), and what was sent before could not be made durable.
    /// [`Error::Poisoned`](crate::Error::Poisoned) is such an error, too.
    ///
    /// # Examples
    /// ```
    /// use std::time::Duration;
    /// # let broker = ottla::Broker::temporary()?;
    /// # broker.topic("orders")?;
    /// const WEEK: Duration = Duration::from_secs(7 * 24 * 3600);
    /// broker.admin().alter_topic("orders", |config| config.retention_ms(WEEK))?;
    /// assert_eq!(broker.existing_topic("orders")?.config().get_retention_ms(), Some(WEEK));
    ///
    /// // By Kafka's names, as they come from a file or a command line; all of them or none.
    /// let settings = [("retention.bytes", "1073741824"), ("segment.bytes", "16777216")];
    /// broker.admin().alter_topic("orders", |config| {
    ///     settings.iter().try_fold(config, |config, (key, value)| config.set(key, value))
    /// })?;
    /// # Ok::<_, ottla::Error>(())
    /// ```
    #[doc(alias = "incrementalAlterConfigs")]
    pub fn alter_topic<C: IntoTopicConfig>(&self, topic: &str, change: impl Fn(TopicConfig) -> C) -> Result<()> {
        self.broker.store.alter_topic(topic, &|config| change(config).into_topic_config())
    }

    /// Adds partitions, so that the topic has `partition_count`. Keys may go to other partitions from then on.
    ///
    /// # Errors
    /// [`Error::UnknownTopic`](crate::Error::UnknownTopic), [`Error::InvalidConfig`](crate::Error::InvalidConfig) for fewer than
    /// there are, [`Error::InvalidTopic`](crate::Error::InvalidTopic) for an internal topic.
    ///
    /// # Examples
    /// ```
    /// # let broker = ottla::Broker::temporary()?;
    /// let orders = broker.topic("orders")?;
    /// broker.admin().add_partitions("orders", 4)?;
    /// assert_eq!(orders.partition_count(), 4);
    /// # Ok::<_, ottla::Error>(())
    /// ```
    pub fn add_partitions(&self, topic: &str, partition_count: u32) -> Result<()> {
        self.broker.store.add_partitions(topic, partition_count)
    }

    /// Deletes a topic: its records, its configuration, and what groups have committed for it. Handles get
    /// [`Error::Closed`](crate::Error::Closed); records that were read stay. On a full disk this makes room.
    ///
    /// # Errors
    /// [`Error::UnknownTopic`](crate::Error::UnknownTopic). After an error of the disk, the topic may be gone and some of its files
    /// still there; the next opening of the broker removes them.
    ///
    /// # Examples
    /// ```
    /// # let broker = ottla::Broker::temporary()?;
    /// let orders = broker.topic("orders")?;
    /// broker.admin().delete_topic("orders")?;
    /// assert!(matches!(orders.produce("k", "v"), Err(ottla::Error::Closed { .. })));
    /// broker.topic("orders")?; // A new one, which begins at offset 0.
    /// # Ok::<_, ottla::Error>(())
    /// ```
    pub fn delete_topic(&self, topic: &str) -> Result<()> {
        self.broker.store.delete_topic(topic)
    }

    /// Deletes the records of these partitions that lie below an offset, one for each. The record at that offset stays, and is the
    /// first one from then on. [`Partition::last_stable_offset`](crate::Partition::last_stable_offset) deletes all that can be read.
    /// Returns where each partition begins now, in the same order. Where one begins at that offset or later already, nothing is
    /// deleted.
    ///
    /// Records that were read stay. Whoever reads below the new start gets
    /// [`Error::OffsetOutOfRange`](crate::Error::OffsetOutOfRange); consumers go on by their reset policy. The disk gets back whole
    /// segments. The segment that the new start lies in stays until a later start has passed it.
    ///
    /// # Errors
    /// [`Error::OffsetOutOfRange`](crate::Error::OffsetOutOfRange) above what can be read,
    /// [`Error::UnknownTopic`](crate::Error::UnknownTopic), [`Error::UnknownPartition`](crate::Error::UnknownPartition),
    /// [`Error::InvalidTopic`](crate::Error::InvalidTopic) for an internal topic: then nothing was deleted. After an error of the
    /// disk the partitions before the one that it names have moved.
    ///
    /// # Examples
    /// ```
    /// # use ottla::ProducerRecord;
    /// # let broker = ottla::Broker::temporary()?;
    /// # let partition = broker.topic("orders")?.partition(0)?;
    /// for value in ["one", "two", "three"] {
    ///     partition.append(&ProducerRecord::to("orders").value(value))?;
    /// }
    /// let orders_0 = partition.topic_partition().clone();
    /// let starts = broker.admin().delete_records(&[(orders_0.clone(), 2)])?;
    /// assert_eq!(starts, [(orders_0, 2)]);
    /// assert_eq!(partition.log_start_offset(), 2);
    /// # Ok::<_, ottla::Error>(())
    /// ```
    pub fn delete_records(&self, before: &[(TopicPartition, u64)]) -> Result<Vec<(TopicPartition, u64)>> {
        self.broker.store.delete_records(before)
    }
}

/// A topic at one moment.
///
/// # Examples
/// ```
/// # let broker = ottla::Broker::temporary()?;
/// broker.topic("orders")?.produce("customer-1", "2 coffees")?;
/// let description = broker.admin().describe("orders")?;
/// for partition in description.partitions() {
///     println!("{}: offsets {:?}, {} bytes", partition.topic_partition(), partition.offsets(), partition.log_bytes());
/// }
/// assert_eq!(description.partitions()[0].offsets(), 0..1);
/// # Ok::<_, ottla::Error>(())
/// ```
#[derive(Debug, Clone)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct TopicDescription {
    #[cfg_attr(feature = "serde", serde(serialize_with = "as_text"))]
    name: Arc<str>,
    /// As text in hexadecimal digits: few that read JSON know numbers so large.
    #[cfg_attr(feature = "serde", serde(serialize_with = "as_hexadecimal"))]
    topic_id: u128,
    config: TopicConfig,
    settings_without_effect: Vec<&'static str>,
    partitions: Vec<PartitionDescription>,
}

#[cfg(feature = "serde")]
fn as_text<S: serde::Serializer>(text: &str, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(text)
}

#[cfg(feature = "serde")]
#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn as_hexadecimal<S: serde::Serializer>(id: &u128, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&format_args!("{id:032x}"))
}

impl TopicDescription {
    fn of(store: &Store, entry: &TopicEntry) -> Result<TopicDescription> {
        let describe = |partition: &TopicPartitionSource| PartitionDescription::of(store, &partition.source);
        let config = entry.present_config();
        Ok(TopicDescription {
            name: Arc::clone(&entry.name),
            topic_id: entry.topic_id,
            settings_without_effect: config.without_effect(),
            config,
            partitions: entry.partitions.iter().map(describe).collect::<Result<_>>()?,
        })
    }

    /// The topic's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The id that tells this topic from an earlier or later one of the same name.
    #[must_use]
    pub fn topic_id(&self) -> u128 {
        self.topic_id
    }

    /// How the topic is configured, with its present number of partitions.
    pub fn config(&self) -> &TopicConfig {
        &self.config
    }

    /// The settings that were made and have no effect, by their property names: limits of time and size, and groups that protect
    /// records from them, where the [`cleanup.policy`](TopicConfig::cleanup_policy) deletes nothing; groups that protect, where there
    /// are no limits.
    ///
    /// # Examples
    /// ```
    /// use std::time::Duration;
    /// use ottla::{CleanupPolicy, TopicConfig};
    /// # let broker = ottla::Broker::temporary()?;
    /// let config = TopicConfig::new().cleanup_policy(CleanupPolicy::Compact).retention_ms(Duration::from_secs(3600));
    /// broker.create_topic("prices", config)?;
    /// assert_eq!(broker.admin().describe("prices")?.settings_without_effect(), ["retention.ms"]);
    /// # Ok::<_, ottla::Error>(())
    /// ```
    #[must_use]
    pub fn settings_without_effect(&self) -> &[&'static str] {
        &self.settings_without_effect
    }

    /// What all partitions take on the disk, in bytes; see [`PartitionDescription::allocated_bytes`].
    #[must_use]
    pub fn allocated_bytes(&self) -> u64 {
        self.partitions.iter().map(PartitionDescription::allocated_bytes).sum()
    }

    /// The partitions, by number.
    #[must_use]
    pub fn partitions(&self) -> &[PartitionDescription] {
        &self.partitions
    }
}

/// A partition at one moment; one of [`TopicDescription::partitions`], where the example is.
#[derive(Debug, Clone)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct PartitionDescription {
    partition: TopicPartition,
    offsets: Range<u64>,
    durable_offset: u64,
    log_bytes: u64,
    allocated_bytes: u64,
    segment_count: usize,
}

impl PartitionDescription {
    fn of(store: &Store, source: &PartitionSource) -> Result<PartitionDescription> {
        let offsets = source.log_bounds();
        let (log_bytes, segment_count) = source.size();
        Ok(PartitionDescription {
            partition: source.partition().clone(),
            allocated_bytes: store.allocated_below(&partition_dir::path_of(store.dir(), source.partition()))?,
            offsets,
            durable_offset: source.durable_offset(),
            log_bytes,
            segment_count,
        })
    }

    /// The topic and number.
    #[must_use]
    pub fn topic_partition(&self) -> &TopicPartition {
        &self.partition
    }

    /// From the first offset that can be read (included) to the log end (excluded).
    #[must_use]
    pub fn offsets(&self) -> Range<u64> {
        self.offsets.clone()
    }

    /// The offset below which everything survives a power cut. If the broker is open read-only: as far as is known.
    #[must_use]
    pub fn durable_offset(&self) -> u64 {
        self.durable_offset
    }

    /// Bytes of all segments. The newest records, up to 64 KiB that are not in a segment yet, are not counted.
    #[must_use]
    pub fn log_bytes(&self) -> u64 {
        self.log_bytes
    }

    /// What all files of the partition take, in bytes that the file system has given to them: segments, indexes, and what is noted
    /// about them. What is in the tail is not counted.
    #[must_use]
    pub fn allocated_bytes(&self) -> u64 {
        self.allocated_bytes
    }

    /// How many segments there are.
    #[must_use]
    pub fn segment_count(&self) -> usize {
        self.segment_count
    }
}
