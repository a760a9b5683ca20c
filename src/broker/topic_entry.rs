//! What a broker keeps of a topic.

use std::sync::Arc;

use super::topic_partitions::{TopicPartitionSource, TopicPartitions};
use crate::error::{Error, Result};
use crate::partition::config::TopicConfig;
use crate::partition::durability::Durability;
use crate::partition::durable_wait::DurableWait;
use crate::partition::log::Log;
use crate::partition::topic_settings::TopicSettings;
use crate::partition::{Appended, PartitionSource};
use crate::record::{ProducerRecord, RecordMetadata};
use crate::sync::atomic::{AtomicBool, Ordering};
use crate::topic_partition::TopicPartition;

/// What a broker keeps of a topic.
#[derive(Debug)]
pub(crate) struct TopicEntry {
    pub(crate) name: Arc<str>,
    pub(crate) topic_id: u128,
    /// Its logs share them.
    pub(crate) settings: Arc<TopicSettings>,
    /// Grows when partitions are added, and never shrinks.
    pub(crate) partitions: TopicPartitions,
    /// Another topic has its name, or none.
    is_gone: AtomicBool,
}

impl TopicEntry {
    /// A topic whose partitions are to be added.
    pub(super) fn new(name: Arc<str>, topic_id: u128, config: TopicConfig) -> TopicEntry {
        let settings = Arc::new(TopicSettings::new(config));
        let (partitions, is_gone) = (TopicPartitions::default(), AtomicBool::new(false));
        TopicEntry { name, topic_id, settings, partitions, is_gone }
    }

    /// Whether this is what its name stands for.
    #[inline]
    pub(crate) fn is_present(&self) -> bool {
        !self.is_gone.load(Ordering::Acquire)
    }

    /// Its name stands for another topic from now on, or for none.
    pub(super) fn leave(&self) {
        self.is_gone.store(true, Ordering::Release);
    }

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
        let appended = source.writable("send")?.append(records, least_durability).map_err(|error| *error)?;
        Ok((address, appended))
    }

    /// A partition's address, and who keeps its log.
    ///
    /// # Errors
    /// [`Error::UnknownPartition`].
    pub(crate) fn partition(&self, partition: u32) -> Result<(&TopicPartition, &PartitionSource)> {
        let found = self.partitions.get(partition).ok_or_else(|| self.unknown_partition(partition))?;
        Ok((&found.address, &found.source))
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
        Ok(metadata_of(address, &appended))
    }

    /// [`append_one`](TopicEntry::append_one) that leaves it to a task to wait, if there is something to wait for.
    ///
    /// # Errors
    /// As [`append`](TopicEntry::append), as far as nothing was appended or nobody knows.
    pub(crate) fn append_one_for_task(
        &self,
        partition: u32,
        record: &ProducerRecord<'_>,
        least_durability: Durability,
    ) -> Result<(RecordMetadata, Option<Arc<DurableWait>>)> {
        let Some(TopicPartitionSource { address, source }) = self.partitions.get(partition) else {
            return Err(self.unknown_partition(partition));
        };
        let log = source.writable("send")?;
        let appending = log.append_for_task(std::slice::from_ref(record), least_durability);
        let (appended, wait) = appending.map_err(|error| *error)?;
        Ok((metadata_of(address, &appended), wait))
    }

    /// Fails if one of `records` has no key and the topic is compacted.
    ///
    /// # Errors
    /// [`Error::InvalidRecord`].
    pub(crate) fn check_keys(&self, records: &[ProducerRecord<'_>]) -> Result<()> {
        let Some(TopicPartitionSource { source, .. }) = self.partitions.get(0) else { return Ok(()) };
        source.writable("send")?.check_keys(records)
    }

    /// How the topic is configured now, with its present number of partitions.
    pub(super) fn present_config(&self) -> TopicConfig {
        TopicConfig { largest_message_bytes: 0, ..self.present_settings() }
    }

    /// The same with what follows from earlier configurations.
    pub(super) fn present_settings(&self) -> TopicConfig {
        TopicConfig::clone(&self.settings.load()).partitions(self.partition_count())
    }

    /// Fails if the topic is configured otherwise than `wanted`.
    ///
    /// # Errors
    /// [`Error::TopicConfigDiffers`] with the first setting that differs.
    pub(super) fn check_config(&self, wanted: &TopicConfig) -> Result<()> {
        match self.present_config().difference(wanted) {
            None => Ok(()),
            Some((key, found, wanted)) => {
                let (name, found, wanted) = (self.name.to_string(), found.into(), wanted.into());
                Err(Error::TopicConfigDiffers { name, key, found, wanted })
            }
        }
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

/// What there is to tell of a record that was appended by itself.
#[inline]
fn metadata_of(address: &TopicPartition, appended: &Appended) -> RecordMetadata {
    RecordMetadata::new(address.clone(), appended.base_offset, appended.timestamp())
}
