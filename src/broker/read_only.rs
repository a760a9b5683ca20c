//! What is done apart where another process writes the directory.

use std::io::ErrorKind;
use std::sync::Arc;

use super::catalog::Catalog;
use super::partition_dir;
use super::recovery_report::RecoveryReport;
use super::store::Store;
use super::topic_entry::TopicEntry;
use super::topic_partitions::TopicPartitionSource;
use super::topic_registry::Topics;
use crate::error::{Error, Result};
use crate::partition::broken::Broken;
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
        let mut topics = Topics::default();
        for (name, entry) in catalog.live_topics() {
            let topic = match known.get(name).filter(|topic| topic.topic_id == entry.topic_id) {
                Some(topic) => Arc::clone(topic),
                None => Arc::new(TopicEntry::new(Arc::clone(name), entry.topic_id, entry.config.clone())),
            };
            if **topic.settings.load() != entry.config {
                topic.settings.replace(entry.config.clone());
            }
            let follow = |number| {
                let follower = Follower::new(self.log_spec(&topic, number), &self.files, &self.surroundings);
                PartitionSource::from(Arc::new(follower)).into()
            };
            topic.partitions.add((topic.partition_count()..entry.config.partitions).map(follow).collect());
            topics.insert(Arc::clone(name), topic);
        }
        self.registry.follow(topics);
        Ok(())
    }
}
