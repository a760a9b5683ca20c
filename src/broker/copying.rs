//! What a copy of a data directory is made from, as far as the broker knows it.

use std::path::Path;
use std::sync::Arc;

use super::catalog::{Catalog, CatalogEntry, DirectoryIdentity};
use super::store::Store;
use super::{partition_dir, topic_name};
use crate::error::Result;
use crate::partition::durability::Durability;
use crate::partition::log::Log;
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
