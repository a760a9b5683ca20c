//! What a copy of a data directory is made from, as far as the broker knows it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::catalog::{Catalog, CatalogEntry, DirectoryIdentity};
use super::store::Store;
use super::topic_partitions::TopicPartitionSource;
use super::{partition_dir, topic_name};
use crate::error::Result;
use crate::parallel;
use crate::partition::durability::Durability;
use crate::partition::log::Log;
use crate::partition::log::copying::{LogContents, at_one_moment};
use crate::partition::log_spec::LogSpec;
use crate::partition::topic_settings::TopicSettings;
use crate::sync::MutexGuard;
use crate::topic_partition::TopicPartition;

/// The topics of a broker, none of which comes, changes or goes as long as this is held.
pub(crate) struct HeldTopics<'s> {
    store: &'s Store,
    catalog: MutexGuard<'s, Catalog>,
}

impl Store {
    /// Has no topic come, change or go.
    ///
    /// # Errors
    /// [`Error::Closed`](crate::Error::Closed), [`Error::ReadOnly`](crate::Error::ReadOnly).
    pub(crate) fn hold_topics(&self, action: &'static str) -> Result<HeldTopics<'_>> {
        self.check_writable(action)?;
        Ok(HeldTopics { store: self, catalog: self.catalog_to_change()? })
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

/// All that there is in a data directory at one point.
#[derive(Debug)]
pub(crate) struct DirectoryContents {
    pub(crate) identity: DirectoryIdentity,
    pub(crate) topics: Vec<(Arc<str>, CatalogEntry)>,
    /// By name and partition.
    pub(crate) logs: Vec<SourceLog>,
    /// By the wall clock.
    pub(crate) taken_ms: i64,
    /// Whether all logs are as they were at one moment.
    pub(crate) is_of_one_moment: bool,
}

/// A log of a data directory at one point.
#[derive(Debug)]
pub(crate) struct SourceLog {
    pub(crate) partition: TopicPartition,
    pub(crate) topic_id: u128,
    /// Where its files are.
    pub(crate) dir: PathBuf,
    pub(crate) contents: LogContents,
}

impl Store {
    /// What there is that survives a power cut: at one moment, if this process writes the directory, and else of each log at a moment of
    /// its own.
    ///
    /// # Errors
    /// [`Error::Closed`](crate::Error::Closed); why a log cannot be written or read.
    pub(crate) fn durable_contents(&self) -> Result<DirectoryContents> {
        if self.is_read_only() { self.contents_seen() } else { self.contents_written() }
    }

    fn contents_written(&self) -> Result<DirectoryContents> {
        let topics = self.hold_topics("make a replica")?;
        let logs = topics.logs();
        let contents: Vec<LogContents> = at_one_moment(&logs)?.into_iter().map(|(_, contents)| contents).collect();
        let (identity, entries, taken_ms) = (topics.identity(), topics.entries(), self.now_ms());
        drop(topics);
        let pairs: Vec<_> = logs.iter().zip(contents).collect();
        let logs = parallel::for_all(pairs, |(log, contents)| {
            log.sync_contents(&contents)?;
            let partition = log.partition().clone();
            let dir = partition_dir::path_of(self.dir(), &partition);
            Ok(SourceLog { topic_id: log.topic_id(), partition, dir, contents })
        });
        let logs = logs.into_iter().collect::<Result<_>>()?;
        Ok(DirectoryContents { identity, topics: entries, logs, taken_ms, is_of_one_moment: true })
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
        for topic in topics.values() {
            for TopicPartitionSource { address, source } in topic.partitions.iter() {
                let Some(contents) = source.durable_contents()? else { continue };
                let (partition, dir) = (address.clone(), partition_dir::path_of(self.dir(), address));
                logs.push(SourceLog { partition, topic_id: topic.topic_id, dir, contents });
            }
        }
        logs.sort_unstable_by(|one, other| one.partition.cmp(&other.partition));
        Ok(DirectoryContents { identity, topics: entries, logs, taken_ms, is_of_one_moment: false })
    }
}

impl HeldTopics<'_> {
    /// Which directory it is.
    pub(crate) fn identity(&self) -> DirectoryIdentity {
        self.catalog.identity()
    }

    /// The topics as the catalog has them.
    pub(crate) fn entries(&self) -> Vec<(Arc<str>, CatalogEntry)> {
        self.catalog.live_topics().map(|(name, entry)| (Arc::clone(name), entry.clone())).collect()
    }

    /// The logs of all of them, by name and partition: the order in which locks of several are taken.
    pub(crate) fn logs(&self) -> Vec<Arc<Log>> {
        let topics = self.store.registry.load();
        let mut logs: Vec<Arc<Log>> = topics.values().flat_map(|topic| topic.logs()).collect();
        logs.sort_unstable_by(|one, other| one.partition().cmp(other.partition()));
        logs
    }
}
