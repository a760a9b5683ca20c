//! The topics of a directory that is open: the catalog, which says on the disk what there is, and the map in which they are
//! looked up.
//!
//! Topics are looked up without a lock, in a map that is replaced as a whole; whoever changes topics holds the catalog's lock,
//! which comes before every lock of a log.

use std::collections::HashMap;
use std::ops::Deref;
use std::sync::Arc;

use super::catalog::Catalog;
use super::name_hash::NameHash;
use super::topic_entry::TopicEntry;
use crate::maintenance::Logs;
use crate::partition::Watchers;
use crate::partition::log::Log;
use crate::sync::atomic::{AtomicU64, Ordering};
use crate::sync::{ArcSwap, Mutex, MutexGuard};

/// The topics by name.
pub(crate) type Topics = HashMap<Arc<str>, Arc<TopicEntry>, NameHash>;

/// Which topics there are, and who wants to know.
#[derive(Debug)]
pub(super) struct TopicRegistry {
    catalog: Mutex<Catalog>,
    topics: ArcSwap<Topics>,
    /// The logs of all topics, for who goes through them; none if another process keeps them.
    logs: Arc<Logs>,
    /// Rises whenever topics or partitions come or go.
    version: AtomicU64,
    /// Who wants to know when that happens, or when the broker is closed.
    watchers: Arc<Watchers>,
}

impl TopicRegistry {
    /// The topics of `catalog`, which are served by now.
    pub(super) fn new(catalog: Catalog, topics: Topics, watchers: Arc<Watchers>) -> TopicRegistry {
        TopicRegistry {
            catalog: Mutex::new(catalog),
            logs: Arc::new(ArcSwap::from_pointee(logs_of(&topics))),
            topics: ArcSwap::from_pointee(topics),
            version: AtomicU64::new(0),
            watchers,
        }
    }

    /// The catalog, under its lock.
    pub(super) fn catalog(&self) -> MutexGuard<'_, Catalog> {
        self.catalog.lock()
    }

    /// The topics, for a look at them: to hold this for long would slow down those who change them.
    #[inline]
    pub(super) fn load(&self) -> impl Deref<Target = Arc<Topics>> {
        self.topics.load()
    }

    /// The topics, to keep.
    pub(super) fn all(&self) -> Arc<Topics> {
        self.topics.load_full()
    }

    /// The logs of all topics.
    pub(super) fn logs(&self) -> &Arc<Logs> {
        &self.logs
    }

    /// A number that changes when topics or partitions come or go.
    pub(super) fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    /// Who is woken when topics or partitions come or go, or the broker is closed.
    pub(super) fn watchers(&self) -> &Watchers {
        &self.watchers
    }

    /// Replaces the map of topics, and what follows from it. The caller holds the catalog's lock, and wakes the watchers once it
    /// holds none.
    pub(super) fn publish(&self, change: impl FnOnce(&mut Topics)) {
        let before = self.topics.load_full();
        let mut topics = Topics::clone(&before);
        change(&mut topics);
        self.logs.store(Arc::new(logs_of(&topics)));
        let topics = Arc::new(topics);
        self.topics.store(Arc::clone(&topics));
        // For producers that have kept one.
        let is_gone = |entry: &&Arc<TopicEntry>| !topics.get(&entry.name).is_some_and(|now| Arc::ptr_eq(now, entry));
        before.values().filter(is_gone).for_each(|entry| entry.leave());
        self.version.fetch_add(1, Ordering::AcqRel);
    }

    /// Replaces the map by what another process has made of it. The caller holds the catalog's lock.
    pub(super) fn follow(&self, topics: Topics) {
        self.topics.store(Arc::new(topics));
    }
}

/// The logs of all topics, in the order of their names, so that what is done to all is done alike in every run.
fn logs_of(topics: &Topics) -> Vec<Arc<Log>> {
    let mut logs: Vec<_> = topics.values().flat_map(|topic| topic.logs()).collect();
    logs.sort_unstable_by(|one, other| one.partition().cmp(other.partition()));
    logs
}
