//! Compacting a topic when somebody asks for it.

use std::fmt;

use super::Admin;
use super::store::Store;
use super::topic_name;
use crate::config_key::invalid;
use crate::error::{Error, Result};
use crate::partition::cleanup_policy::CLEANUP_POLICY;
use crate::partition::compaction::report::{LeftOut, PartitionCompaction};

/// What [`Admin::compact`] came to, partition by partition.
///
/// # Examples
/// ```
/// use ottla::{CleanupPolicy, TopicConfig};
/// # let broker = ottla::Broker::temporary()?;
/// let config = TopicConfig::new().cleanup_policy(CleanupPolicy::Compact);
/// broker.create_topic("prices", config)?.produce("coffee", "3.20")?;
/// let report = broker.admin().compact("prices")?;
/// for partition in report.partitions() {
///     match partition.left_out() {
///         None => println!("{}: {} records are gone", partition.topic_partition(), partition.records_removed()),
///         Some(why) => println!("{}: {why}", partition.topic_partition()), // no segment is closed yet
///     }
/// }
/// # Ok::<_, ottla::Error>(())
/// ```
#[derive(Debug)]
pub struct CompactionReport {
    partitions: Vec<PartitionCompaction>,
}

impl CompactionReport {
    /// The partitions, by number.
    #[must_use]
    pub fn partitions(&self) -> &[PartitionCompaction] {
        &self.partitions
    }

    /// Whether all that was in closed segments was compacted, in every partition that has some.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        let is_complete = |left_out: Option<&LeftOut>| matches!(left_out, None | Some(LeftOut::NothingClosed));
        self.partitions.iter().all(|partition| is_complete(partition.left_out()))
    }
}

/// A line for each partition.
impl fmt::Display for CompactionReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, partition) in self.partitions.iter().enumerate() {
            let separator = if index == 0 { "" } else { "\n" };
            write!(f, "{separator}{partition}")?;
        }
        Ok(())
    }
}

impl Admin<'_> {
    /// Compacts the closed segments of a topic now, on this thread, whether or not it is due: all of them are read, checked and
    /// written again. What is younger than `min.compaction.lag.ms` is left out, and the active segment stays as it is, with all
    /// that it holds. While another thread compacts a partition, this call waits for it.
    ///
    /// A partition that cannot be compacted does not keep the others from it: the report says why.
    ///
    /// # Errors
    /// [`Error::UnknownTopic`](crate::Error::UnknownTopic); [`Error::InvalidConfig`](crate::Error::InvalidConfig) if the topic's
    /// `cleanup.policy` does not have `compact`; [`Error::InvalidTopic`](crate::Error::InvalidTopic) for an internal topic, which
    /// compacts itself; [`Error::ReadOnly`](crate::Error::ReadOnly).
    ///
    /// # Examples
    /// ```
    /// use ottla::{CleanupPolicy, TopicConfig};
    /// # let broker = ottla::Broker::temporary()?;
    /// let config = TopicConfig::new().cleanup_policy(CleanupPolicy::Compact).segment_bytes(10_000);
    /// let prices = broker.create_topic("prices", config)?;
    /// for price in 0..200 {
    ///     prices.produce("coffee", format!("{price:1000}"))?;
    /// }
    /// let report = broker.admin().compact("prices")?;
    /// println!("{report}");
    /// assert!(report.is_complete());
    /// // One is left of all that were in closed segments.
    /// assert!(prices.partition(0)?.iter_from(0).count() < 100);
    /// # Ok::<_, ottla::Error>(())
    /// ```
    pub fn compact(&self, topic: &str) -> Result<CompactionReport> {
        self.broker.store.compact(topic)
    }
}

impl Store {
    fn compact(&self, name: &str) -> Result<CompactionReport> {
        self.check_writable("compact a topic")?;
        if topic_name::is_internal(name) {
            let reason = "an internal topic is compacted by itself";
            return Err(Error::InvalidTopic { name: name.to_owned(), reason });
        }
        let topic = self.topic(name)?;
        let policy = topic.settings.load().cleanup_policy;
        if !policy.has_compact() {
            return Err(invalid(CLEANUP_POLICY, policy, format!("topic {name:?} is not compacted")));
        }
        let go_on = || self.check_open().is_ok();
        let partitions = topic.logs().iter().map(|log| log.compact_now(&go_on)).collect();
        self.files.emit_events();
        Ok(CompactionReport { partitions })
    }
}
