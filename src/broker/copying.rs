//! What a copy of a data directory is made from, as far as the broker knows it.

use std::path::Path;
use std::sync::Arc;

use super::catalog::CatalogEntry;
use super::store::Store;
use super::topic_partitions::TopicPartitionSource;
use super::written_directory::looked_at;
use super::{partition_dir, topic_name};
use crate::error::Result;
use crate::partition::durability::Durability;
use crate::partition::log_spec::LogSpec;
use crate::partition::topic_settings::TopicSettings;
use crate::topic_partition::TopicPartition;
use crate::transaction::TRANSACTION_STATE_TOPIC;

pub(crate) use super::written_directory::{DirectoryContents, HeldTopics, SourceLog, WrittenDirectory};

impl Store {
    /// Has no topic come, change or go.
    ///
    /// # Errors
    /// [`Error::Closed`](crate::Error::Closed), [`Error::ReadOnly`](crate::Error::ReadOnly).
    pub(crate) fn hold_topics(&self, action: &'static str) -> Result<HeldTopics<'_>> {
        self.check_writable(action)?;
        Ok(HeldTopics { registry: &self.registry, catalog: self.catalog_to_change()? })
    }

    /// The directory, for who works beside this broker, which writes it.
    pub(crate) fn written_directory(&self) -> WrittenDirectory {
        let (registry, closed) = (Arc::clone(&self.registry), Arc::clone(&self.closed));
        WrittenDirectory { dir: self.dir().to_owned(), files: Arc::clone(&self.files), registry, closed }
    }
}

/// Where a log is, and how it is kept, of partition `number` of a topic in the data directory `dir`.
pub(crate) fn spec_of(dir: &Path, name: &Arc<str>, entry: &CatalogEntry, number: u32) -> LogSpec {
    let partition = TopicPartition::new(Arc::clone(name), number);
    LogSpec {
        dir: partition_dir::path_of(dir, &partition),
        partition,
        topic_id: entry.topic_id,
        default_durability: Durability::default(),
        settings: Arc::new(TopicSettings::new(entry.config.clone())),
        is_internal: topic_name::is_internal(name),
        least_leader_epoch: 0,
    }
}

impl Store {
    /// What there is that survives a power cut: at one moment, if this process writes the directory, and else of each log at a moment of
    /// its own.
    ///
    /// # Errors
    /// [`Error::Closed`](crate::Error::Closed); why a log cannot be written or read.
    pub(crate) fn durable_contents(&self) -> Result<DirectoryContents> {
        self.check_open()?;
        if self.is_read_only() {
            looked_at(|| self.contents_seen())
        } else {
            self.written_directory().durable_contents()
        }
    }

    fn contents_seen(&self) -> Result<DirectoryContents> {
        let taken_ms = self.now_ms();
        let topics = self.topics()?;
        let (identity, entries) = {
            let catalog = self.registry.catalog();
            let entries = catalog.live_topics().map(|(name, entry)| (Arc::clone(name), entry.clone())).collect();
            (catalog.identity(), entries)
        };
        let mut logs = Vec::new();
        let mut topics: Vec<_> = topics.values().collect();
        // Of every marker that is seen the decision is, too.
        topics.sort_by_key(|topic| *topic.name == *TRANSACTION_STATE_TOPIC);
        for topic in topics {
            for TopicPartitionSource { address, source } in topic.partitions.iter() {
                let Some(contents) = source.durable_contents()? else { continue };
                let (partition, dir) = (address.clone(), partition_dir::path_of(self.dir(), address));
                logs.push(SourceLog { partition, topic_id: topic.topic_id, dir, contents });
            }
        }
        logs.sort_unstable_by(|one, other| one.partition.cmp(&other.partition));
        Ok(DirectoryContents { identity, topics: entries, logs, taken_ms })
    }
}
