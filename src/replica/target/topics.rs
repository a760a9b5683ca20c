//! Topics come, go and change: each change of theirs is a state of its own, before the logs follow.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{Logs, Target, owned};
use crate::broker::catalog::{Catalog, CatalogEntry, DirectoryIdentity};
use crate::broker::partition_dir;
use crate::error::{Error, Result};
use crate::partition::log_id::LogId;
use crate::partition::log_replica::LogReplica;
use crate::partition::partition_metadata;
use crate::replica::state::ReplicaState;
use crate::topic_partition::TopicPartition;

impl Target {
    /// Removes the directories of partitions that the catalog does not have: of topics that were deleted, or were just about to come. What
    /// somebody else has put there stays.
    pub(super) fn remove_unknown(&self) -> Result<()> {
        let partitions = self.catalog.live_topics().flat_map(|(name, entry)| {
            (0..entry.config.partitions).map(|number| TopicPartition::new(Arc::clone(name), number))
        });
        let known: HashSet<PathBuf> =
            partitions.map(|partition| partition_dir::path_of(&self.dir, &partition)).collect();
        let unknown = partition_dir::unknown(&*self.disk, &self.dir, &known)?;
        unknown.into_iter().filter(|dir| self.is_ours(dir)).try_for_each(|dir| self.remove(&dir))
    }

    /// Whether a directory was made for a partition: it says which topic's it is, or has only just been made.
    fn is_ours(&self, dir: &Path) -> bool {
        let is_empty = self.disk.list(dir).is_ok_and(|entries| entries.is_empty());
        is_empty || !matches!(partition_metadata::load(&*self.disk, dir), Ok(None))
    }

    fn remove(&self, dir: &Path) -> Result<()> {
        let removed = partition_dir::remove_metadata_last(&*self.disk, dir);
        removed.map_err(|source| Error::io("remove", dir, source))
    }

    /// Has topics go, come and be what they are at the source. New ones have no records yet.
    pub(in crate::replica) fn follow_topics(
        &mut self,
        identity: DirectoryIdentity,
        wanted: &[(Arc<str>, CatalogEntry)],
    ) -> Result<()> {
        let is_there =
            |(_, entry): &(&Arc<str>, &CatalogEntry)| wanted.iter().any(|(_, other)| other.topic_id == entry.topic_id);
        let left: Vec<_> = self.catalog.live_topics().filter(is_there).map(owned).collect();
        if left.len() < self.catalog.live_topics().count() {
            self.commit_topics(identity, &left)?;
            self.remove_unknown()?;
        }
        if self.catalog.live_topics().map(owned).ne(wanted.iter().cloned())
            || self.catalog.identity() != identity
            || self.state.source_id != identity.id
        {
            self.make_dirs(wanted)?;
            self.commit_topics(identity, wanted)?;
        }
        Ok(())
    }

    fn make_dirs(&self, topics: &[(Arc<str>, CatalogEntry)]) -> Result<()> {
        for (name, entry) in topics {
            let id_of = |number: u32| LogId { topic_id: entry.topic_id, partition: number };
            let is_new = |number: &u32| !self.logs.contains_key(&id_of(*number));
            for number in (0..entry.config.partitions).filter(is_new) {
                let partition = TopicPartition::new(Arc::clone(name), number);
                let dir = partition_dir::path_of(&self.dir, &partition);
                if self.disk.list(&dir).is_ok() && self.is_ours(&dir) {
                    // Begun in a round that failed.
                    self.remove(&dir)?;
                }
                partition_dir::create(&*self.disk, &self.dir, &partition, entry.topic_id)?;
                // What counts is whole, also of a log without records.
                self.disk.sync_dir(&dir).map_err(|source| Error::io("sync", &dir, source))?;
            }
        }
        self.disk.sync_dir(&self.dir).map_err(|source| Error::io("sync", &self.dir, source))
    }

    fn commit_topics(&mut self, identity: DirectoryIdentity, topics: &[(Arc<str>, CatalogEntry)]) -> Result<()> {
        let mut logs = Logs::new();
        for (name, entry) in topics {
            for number in 0..entry.config.partitions {
                let id = LogId { topic_id: entry.topic_id, partition: number };
                let log = match self.logs.remove(&id) {
                    Some(log) => {
                        log.spec().settings.replace(entry.config.clone());
                        log
                    }
                    None => LogReplica::begin(self.spec_of(name, entry, number), &self.files),
                };
                logs.insert(id, log);
            }
        }
        self.logs = logs;
        let catalog_crc32 = Catalog::store_next(&*self.disk, &self.dir, identity, topics)?;
        let logs = self.logs.values().map(|log| log.settled().clone()).collect();
        self.commit(ReplicaState { source_id: identity.id, catalog_crc32, logs, ..self.state.clone() })?;
        self.catalog = Catalog::take_next(&self.disk, &self.dir, catalog_crc32)?;
        Ok(())
    }
}
