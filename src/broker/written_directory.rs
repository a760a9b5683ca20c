//! A data directory that a broker of this process writes, and all that there is in it at one moment.

use std::path::PathBuf;
use std::sync::Arc;

use super::catalog::{Catalog, CatalogEntry, DirectoryIdentity};
use super::partition_dir;
use super::topic_registry::TopicRegistry;
use crate::disk::Disk;
use crate::disk::open_files::OpenFiles;
use crate::error::{ClosedBy, Error, Result};
use crate::events::{Event, Events};
use crate::parallel;
use crate::partition::log::Log;
use crate::partition::log::copying::{LogContents, at_one_moment};
use crate::sync::MutexGuard;
use crate::sync::atomic::{AtomicBool, Ordering};
use crate::topic_partition::TopicPartition;

/// The topics of a broker, none of which comes, changes or goes as long as this is held.
pub(crate) struct HeldTopics<'s> {
    pub(super) registry: &'s TopicRegistry,
    pub(super) catalog: MutexGuard<'s, Catalog>,
}

/// A directory that a broker of this process writes, for who works beside the broker and does not keep it open.
#[derive(Debug, Clone)]
pub(crate) struct WrittenDirectory {
    pub(super) dir: PathBuf,
    pub(super) files: Arc<OpenFiles>,
    pub(super) registry: Arc<TopicRegistry>,
    pub(super) closed: Arc<AtomicBool>,
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

impl WrittenDirectory {
    /// The machine that it is on.
    pub(crate) fn disk(&self) -> &Arc<dyn Disk> {
        self.files.disk()
    }

    /// Where to put what subscribers are to be told.
    pub(crate) fn events(&self) -> &Events {
        self.files.events()
    }

    /// Adds an event, and has those be told that wait.
    pub(crate) fn tell(&self, event: impl FnOnce() -> Event) {
        self.files.events().add(event);
        self.files.emit_events();
    }

    /// Whether this process was forked off from that of the broker.
    pub(crate) fn is_forked(&self) -> bool {
        self.files.is_forked()
    }

    /// Has those be told that wait; for who holds no lock.
    pub(crate) fn emit_events(&self) {
        self.files.emit_events();
    }

    /// What there is that survives a power cut, at one moment.
    ///
    /// # Errors
    /// [`Error::Closed`](crate::Error::Closed); why a log cannot be written.
    pub(crate) fn durable_contents(&self) -> Result<DirectoryContents> {
        looked_at(|| self.contents())
    }

    fn contents(&self) -> Result<DirectoryContents> {
        let topics = HeldTopics { registry: &self.registry, catalog: self.registry.catalog() };
        if self.closed.load(Ordering::Acquire) {
            return Err(Error::Closed { what: self.dir.display().to_string(), by: ClosedBy::Broker });
        }
        let logs = topics.logs();
        let contents: Vec<LogContents> = at_one_moment(&logs)?.into_iter().map(|(_, contents)| contents).collect();
        let (identity, entries, taken_ms) = (topics.identity(), topics.entries(), self.disk().now_ms());
        drop(topics);
        let pairs: Vec<_> = logs.iter().zip(contents).collect();
        let logs = parallel::for_all(pairs, |(log, contents)| {
            log.sync_contents(&contents)?;
            let partition = log.partition().clone();
            let dir = partition_dir::path_of(&self.dir, &partition);
            Ok(SourceLog { topic_id: log.topic_id(), partition, dir, contents })
        });
        let logs = logs.into_iter().collect::<Result<_>>()?;
        Ok(DirectoryContents { identity, topics: entries, logs, taken_ms })
    }
}

/// What `look` finds, where a topic that goes meanwhile is no failure: the next look knows that it is gone.
pub(super) fn looked_at(look: impl Fn() -> Result<DirectoryContents>) -> Result<DirectoryContents> {
    loop {
        match look() {
            Err(Error::Closed { by: ClosedBy::Deletion, .. }) => {}
            contents => return contents,
        }
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
        let topics = self.registry.load();
        let mut logs: Vec<Arc<Log>> = topics.values().flat_map(|topic| topic.logs()).collect();
        logs.sort_unstable_by(|one, other| one.partition().cmp(other.partition()));
        logs
    }
}
