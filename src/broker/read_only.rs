//! What is done apart where another process writes the directory.

use std::collections::HashSet;
use std::ffi::OsString;
use std::io::ErrorKind;
use std::sync::Arc;

use super::catalog::{Catalog, CatalogEntry};
use super::partition_dir;
use super::recovery_report::RecoveryReport;
use super::store::Store;
use super::topic_entry::TopicEntry;
use super::topic_partitions::TopicPartitionSource;
use super::topic_registry::Topics;
use crate::error::{Error, Result};
use crate::partition::broken::Broken;
use crate::partition::log_spec::LogSpec;
use crate::partition::recovery_report::PartitionRecovery;
use crate::partition::{Follower, PartitionSource};

impl Store {
    /// The `report` with what is wrong with the logs, as far as it can be seen without repairing anything.
    pub(super) fn look_for_damage(&self, mut report: RecoveryReport) -> RecoveryReport {
        let topics = self.registry.all();
        let mut partitions: Vec<_> = topics.values().flat_map(|topic| topic.partitions.iter()).collect();
        partitions.sort_unstable_by(|one, other| one.address.cmp(&other.address));
        for TopicPartitionSource { address, source } in partitions {
            match source.damage() {
                Ok(damage) if damage.is_empty() => {}
                Ok(damage) => report.partitions.push(PartitionRecovery::of_damage(address.clone(), damage)),
                // Deleted meanwhile, perhaps.
                Err(Error::Io { source, .. }) if source.kind() == ErrorKind::NotFound => {}
                Err(error) => {
                    let broken = Broken::of(error, address, &partition_dir::path_of(&self.config.dir, address));
                    // If it is only not to be looked at now, whoever reads it hears of that.
                    report.partitions.extend(broken.ok().map(|broken| broken.report(address.clone())));
                }
            }
        }
        report
    }

    /// Reads the catalog anew, for a broker that does not write it; partitions that are known stay.
    pub(super) fn reload_topics(&self) -> Result<()> {
        let mut catalog = self.registry.catalog();
        *catalog = Catalog::open_read_only(Arc::clone(&self.config.disk), &self.config.dir)?;
        let known = self.registry.all();
        let known_of = |name: &str, entry: &CatalogEntry| {
            let same_id = |topic: &&Arc<TopicEntry>| topic.topic_id == entry.topic_id;
            known.get(name).filter(same_id).map(Arc::clone)
        };
        let is_known = |(name, entry): (&Arc<str>, &CatalogEntry)| {
            known_of(name, entry).is_some_and(|topic| topic.partition_count() == entry.config.partitions)
        };
        // Every call reads the topics anew. Mostly there is nothing new, and nothing to list for.
        let (disk, dir) = (&*self.config.disk, &self.config.dir);
        let others =
            if catalog.live_topics().all(is_known) { HashSet::new() } else { partition_dir::other_names(disk, dir)? };
        let mut topics = Topics::default();
        for (name, entry) in catalog.live_topics() {
            let new = || Arc::new(TopicEntry::new(Arc::clone(name), entry.topic_id, entry.config.clone()));
            let topic = known_of(name, entry).unwrap_or_else(new);
            if **topic.settings.load() != entry.config {
                topic.settings.replace(entry.config.clone());
            }
            let new_partitions = topic.partition_count()..entry.config.partitions;
            let followers = new_partitions.map(|number| self.follow(self.log_spec(&topic, number), &others));
            topic.partitions.add(followers.collect::<Result<_>>()?);
            topics.insert(Arc::clone(name), topic);
        }
        self.registry.follow(topics);
        Ok(())
    }

    /// Follows a log. What is no directory keeps only its own partition from being read: it is one of `others`.
    fn follow(&self, spec: LogSpec, others: &HashSet<OsString>) -> Result<TopicPartitionSource> {
        let broken = match partition_dir::check_no_link(&self.config.dir, &spec.partition, others) {
            Ok(()) => None,
            Err(error) => Some(Broken::of(error, &spec.partition, &spec.dir)?),
        };
        let follower = Follower::new(spec, &self.files, &self.surroundings, broken);
        Ok(PartitionSource::from(Arc::new(follower)).into())
    }
}
