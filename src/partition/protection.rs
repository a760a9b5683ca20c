//! Groups that a log is kept for: what they have not read is not deleted for its age or size.
//!
//! A log knows nothing of groups. Retention asks whoever does ([`CommittedOffsets`]), and notes here what it could not delete, for
//! whom, and up to which offset that group has to read for it to go on. So a commit is looked at only while something is held back,
//! and calls retention only if it sets something free.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::{OnceLock, Weak};

use super::config::TopicConfig;
use crate::sync::Mutex;
use crate::sync::atomic::{AtomicBool, Ordering};
use crate::topic_partition::TopicPartition;

/// Knows how far groups have read.
pub(crate) trait CommittedOffsets: Debug + Send + Sync {
    /// The next offset that the group is to read, of a topic with this id; `None` if it has committed none.
    fn committed_offset(&self, group: &str, partition: &TopicPartition, topic_id: u128) -> Option<u64>;
}

/// What is kept of a log for a group, though its topic's limits would let it go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Hold {
    /// The group that is furthest behind.
    pub(crate) group: Box<str>,
    /// What it has committed, if anything: it may lie below the start of the log.
    pub(crate) committed: Option<u64>,
    /// Once it has read up to here, something can go.
    until: u64,
    topic_id: u128,
}

/// For whom the logs of a broker are kept.
#[derive(Debug, Default)]
pub(crate) struct Protection {
    offsets: OnceLock<Weak<dyn CommittedOffsets>>,
    holds: Mutex<BTreeMap<TopicPartition, Hold>>,
    has_holds: AtomicBool,
}

/// How far the groups of a log have read.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Slowest<'c> {
    pub(super) group: &'c str,
    pub(super) committed: Option<u64>,
    /// The next offset that it can read.
    pub(super) position: u64,
}

impl Protection {
    /// Whom to ask from now on. Before, no group has committed anything.
    pub(crate) fn ask(&self, offsets: Weak<dyn CommittedOffsets>) {
        // A broker has one coordinator of groups.
        _ = self.offsets.set(offsets);
    }

    /// Which of the groups that a log is kept for is furthest behind. One that has committed nothing begins at the log's start.
    pub(super) fn slowest<'c>(
        &self,
        config: &'c TopicConfig,
        partition: &TopicPartition,
        topic_id: u128,
        log_start_offset: u64,
    ) -> Option<Slowest<'c>> {
        let offsets = self.offsets.get().and_then(Weak::upgrade);
        let groups = config.retain_for_groups.iter().map(|group| {
            let committed = offsets.as_ref().and_then(|offsets| offsets.committed_offset(group, partition, topic_id));
            let position = committed.unwrap_or(log_start_offset).max(log_start_offset);
            Slowest { group, committed, position }
        });
        groups.min_by_key(|slowest| slowest.position)
    }

    /// Notes that what ends at `until` is kept for a group, or that nothing is.
    pub(super) fn note(&self, partition: &TopicPartition, topic_id: u128, held: Option<(&Slowest<'_>, u64)>) {
        if held.is_none() && !self.has_holds() {
            return;
        }
        let mut holds = self.holds.lock();
        match held {
            Some((slowest, until)) => {
                let (group, committed) = (slowest.group.into(), slowest.committed);
                holds.insert(partition.clone(), Hold { group, committed, until, topic_id });
            }
            // That of a later topic of the same name stays.
            None if holds.get(partition).is_some_and(|hold| hold.topic_id == topic_id) => _ = holds.remove(partition),
            None => {}
        }
        self.has_holds.store(!holds.is_empty(), Ordering::Release);
    }

    #[inline]
    fn has_holds(&self) -> bool {
        self.has_holds.load(Ordering::Acquire)
    }

    /// Whether a commit sets something free.
    #[inline]
    pub(crate) fn is_released_by(&self, group: &str, mut offsets: impl Iterator<Item = (TopicPartition, u64)>) -> bool {
        self.has_holds() && {
            let holds = self.holds.lock();
            offsets.any(|(partition, offset)| {
                holds.get(&partition).is_some_and(|hold| &*hold.group == group && hold.until <= offset)
            })
        }
    }

    /// What is kept of a log for a group, if anything.
    pub(crate) fn hold(&self, partition: &TopicPartition, topic_id: u128) -> Option<Hold> {
        if !self.has_holds() {
            return None;
        }
        self.holds.lock().get(partition).filter(|hold| hold.topic_id == topic_id).cloned()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[derive(Debug)]
    struct Offsets(Vec<(&'static str, u64)>);

    impl CommittedOffsets for Offsets {
        fn committed_offset(&self, group: &str, _: &TopicPartition, _: u128) -> Option<u64> {
            self.0.iter().find(|(name, _)| *name == group).map(|(_, offset)| *offset)
        }
    }

    #[test]
    fn the_slowest_group_counts_and_one_without_a_commit_is_at_the_start() {
        let protection = Protection::default();
        let (config, partition) = (TopicConfig::new().retain_for(["a", "b"], 1000), TopicPartition::new("orders", 0));
        let slowest = |start| protection.slowest(&config, &partition, 1, start);
        assert_eq!(slowest(7), Some(Slowest { group: "a", committed: None, position: 7 }));
        let offsets: Arc<dyn CommittedOffsets> = Arc::new(Offsets(vec![("a", 30), ("b", 20), ("other", 5)]));
        protection.ask(Arc::downgrade(&offsets));
        assert_eq!(slowest(7), Some(Slowest { group: "b", committed: Some(20), position: 20 }));
        assert_eq!(slowest(25), Some(Slowest { group: "b", committed: Some(20), position: 25 }));
        assert_eq!(protection.slowest(&TopicConfig::new(), &partition, 1, 0), None);
    }

    #[test]
    fn a_commit_that_sets_something_free_is_told_from_others() {
        let protection = Protection::default();
        let (orders, bills) = (TopicPartition::new("orders", 0), TopicPartition::new("bills", 0));
        let is_released = |group: &str, partition: &TopicPartition, offset| {
            protection.is_released_by(group, [(partition.clone(), offset)].into_iter())
        };
        assert!(!is_released("a", &orders, 50));
        protection.note(&orders, 1, Some((&Slowest { group: "a", committed: Some(10), position: 10 }, 50)));
        assert_eq!(protection.hold(&orders, 1).map(|hold| hold.committed), Some(Some(10)));
        assert_eq!((protection.hold(&orders, 2), protection.hold(&bills, 1)), (None, None));
        let released = [("a", &orders, 49), ("b", &orders, 50), ("a", &bills, 50), ("a", &orders, 50)];
        assert_eq!(
            released.map(|(group, partition, at)| is_released(group, partition, at)),
            [false, false, false, true]
        );
        protection.note(&orders, 1, None);
        assert!(!is_released("a", &orders, 50) && protection.hold(&orders, 1).is_none());
    }
}
