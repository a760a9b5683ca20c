//! What [`Metrics`](crate::Metrics) are read from, so that who reads them need not keep the broker open.

#[cfg(feature = "metrics")]
use std::sync::Weak;
use std::sync::{Arc, OnceLock};

use super::group_admin::read_only_descriptions;
use super::opened::Opened;
use super::store::Store;
use crate::group::GroupCoordinator;
use crate::group::description::GroupDescription;
use crate::maintenance::Logs;
use crate::partition::PartitionSource;
use crate::partition::environment::Environment;
use crate::transaction::TransactionCoordinator;

/// The parts of a broker that writes.
#[derive(Debug)]
pub(crate) struct Parts {
    pub(crate) opened: Arc<Opened>,
    pub(crate) environment: Arc<Environment>,
    logs: Arc<Logs>,
    groups: Arc<OnceLock<Arc<GroupCoordinator>>>,
    transactions: Arc<OnceLock<Arc<TransactionCoordinator>>>,
}

impl Parts {
    /// All partitions, in ascending order.
    pub(crate) fn sources(&self) -> Vec<PartitionSource> {
        self.logs.load().iter().cloned().map(PartitionSource::from).collect()
    }

    /// The groups, as far as anybody has asked for one since the broker was opened.
    pub(crate) fn groups(&self) -> Vec<GroupDescription> {
        self.groups.get().map(|groups| groups.descriptions()).unwrap_or_default()
    }

    /// The transactional ids, if one was opened since the broker was.
    pub(crate) fn transactions(&self) -> Option<&TransactionCoordinator> {
        self.transactions.get().map(|transactions| &**transactions)
    }

    /// The same, without keeping them.
    #[cfg(feature = "metrics")]
    pub(crate) fn downgrade(&self) -> WeakParts {
        WeakParts {
            opened: Arc::clone(&self.opened),
            environment: Arc::downgrade(&self.environment),
            logs: Arc::downgrade(&self.logs),
            groups: Arc::downgrade(&self.groups),
            transactions: Arc::downgrade(&self.transactions),
        }
    }
}

/// [`Parts`] of a broker that may be gone.
#[cfg(feature = "metrics")]
#[derive(Debug)]
pub(crate) struct WeakParts {
    opened: Arc<Opened>,
    environment: Weak<Environment>,
    logs: Weak<Logs>,
    groups: Weak<OnceLock<Arc<GroupCoordinator>>>,
    transactions: Weak<OnceLock<Arc<TransactionCoordinator>>>,
}

#[cfg(feature = "metrics")]
impl WeakParts {
    /// The parts, if they are there still.
    pub(crate) fn upgrade(&self) -> Option<Parts> {
        Some(Parts {
            opened: Arc::clone(&self.opened),
            environment: self.environment.upgrade()?,
            logs: self.logs.upgrade()?,
            groups: self.groups.upgrade()?,
            transactions: self.transactions.upgrade()?,
        })
    }
}

impl Store {
    /// Which opening this is.
    pub(crate) fn opened(&self) -> &Arc<Opened> {
        &self.opened
    }

    /// What is measured of a broker that writes; `None` if it only reads. The groups are read back first, if any was ever used.
    pub(crate) fn parts(&self) -> Option<Parts> {
        let writer = self.writer.as_ref()?;
        // What is wrong with them is told when a group is used.
        _ = self.coordinator_if_used();
        Some(Parts {
            opened: Arc::clone(&self.opened),
            environment: Arc::clone(&writer.environment),
            logs: Arc::clone(self.registry.logs()),
            groups: Arc::clone(&writer.coordinator),
            transactions: Arc::clone(&writer.transactions),
        })
    }

    /// All partitions of a broker that only reads, in ascending order: those that it knows, if it cannot look for new ones.
    pub(crate) fn followed_sources(&self) -> Vec<PartitionSource> {
        let topics = self.topics().unwrap_or_else(|_| self.registry.all());
        let found = topics.values().flat_map(|topic| topic.partitions.iter());
        let mut sources: Vec<_> = found.map(|found| found.source.clone()).collect();
        sources.sort_unstable_by(|one, other| one.partition().cmp(other.partition()));
        sources
    }

    /// The groups of a broker that only reads, as another process has written them down; none if they cannot be read.
    pub(crate) fn followed_groups(&self) -> Vec<GroupDescription> {
        let found = read_only_descriptions(self).ok().flatten().unwrap_or_default();
        found.into_values().collect()
    }

    /// How many files, and how many maps of them, are open.
    pub(crate) fn open_counts(&self) -> (usize, usize) {
        self.files.open_counts()
    }
}
