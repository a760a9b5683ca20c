//! What is done apart where another process writes the directory.

use std::io::ErrorKind;
use std::sync::Arc;

use super::catalog::Catalog;
use super::partition_dir;
use super::recovery_report::RecoveryReport;
use super::store::{Store, Topics};
use super::topic_entry::TopicEntry;
use super::topic_partitions::{TopicPartitionSource, TopicPartitions};
use crate::error::{Error, Result};
use crate::partition::Follower;
use crate::partition::broken::Broken;
use crate::partition::recovery_report::PartitionRecovery;

impl Store {
    /// The report with what is wrong with the logs, as far as it can be seen without repairing anything.
    pub(super) fn look_for_damage(&self) -> RecoveryReport {
        let mut report = self.report.clone();
        let topics = self.topics.load();
        let mut partitions: Vec<_> = topics.values().flat_map(|topic| topic.partitions.iter()).collect();
        partitions.sort_unstable_by(|one, other| one.address.cmp(&other.address));
        for TopicPartitionSource { address, source } in partitions {
            match source.damage() {
                Ok(damage) if damage.is_empty() => {}
                Ok(damage) => report.partitions.push(PartitionRecovery::of_damage(address.clone(), damage)),
                // Deleted meanwhile, perhaps.
                Err(Error::Io { source, .. }) if source.kind() == ErrorKind::NotFound => {}
                Err(error) => {
                    let broken = Broken::of(error, address, &partition_dir::path_of(&self.dir, address));
                    // If it is only not to be looked at now, whoever reads it hears of that.
                    report.partitions.extend(broken.ok().map(|broken| broken.report(address.clone())));
                }
            }
        }
        report
    }

    /// Reads the catalog anew, for a broker that does not write it; partitions that are known stay.
    pub(super) fn reload_topics(&self) -> Result<()> {
        let mut catalog = self.catalog.lock();
        *catalog = Catalog::open_read_only(Arc::clone(&self.disk), &self.dir)?;
        let known = self.topics.load();
        let mut topics = Topics::default();
        for (name, entry) in catalog.live_topics() {
            let topic = match known.get(name).filter(|topic| topic.topic_id == entry.topic_id) {
                Some(topic) => Arc::clone(topic),
                None => Arc::new(TopicEntry {
                    name: Arc::clone(name),
                    topic_id: entry.topic_id,
                    config: entry.config.clone(),
                    partitions: TopicPartitions::default(),
                }),
            };
            let follow = |number| {
                let spec = self.log_spec(name, number, entry.topic_id, &entry.config);
                let address = spec.partition.clone();
                let follower = Follower::new(spec, &self.files, &self.surroundings);
                TopicPartitionSource { address, source: Arc::new(follower).into() }
            };
            topic.partitions.add((topic.partition_count()..entry.config.partitions).map(follow).collect());
            topics.insert(Arc::clone(name), topic);
        }
        self.topics.store(Arc::new(topics));
        Ok(())
    }
}
