//! [`ReplicaOptions`]: how a replica is kept.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::disk::Disk;
use crate::disk::os::OsDisk;
use crate::partition::mirror::policy::ReplicaPolicy;

/// How a [`Replica`](crate::Replica) is kept.
///
/// # Examples
/// ```
/// use std::time::Duration;
/// use ottla::{Replica, ReplicaOptions};
/// # let dir = tempfile::tempdir().unwrap();
/// # let second = dir.path().join("second");
/// # let broker = ottla::Broker::temporary()?;
/// let options = ReplicaOptions::new().interval(Duration::from_millis(20));
/// let replica = Replica::open_with(&broker, &second, options)?;
/// # Ok::<_, ottla::Error>(())
/// ```
#[derive(Clone)]
#[must_use]
pub struct ReplicaOptions {
    pub(super) disk: Arc<dyn Disk>,
    pub(super) interval: Duration,
    pub(super) policy: ReplicaPolicy,
}

impl ReplicaOptions {
    /// The defaults.
    pub fn new() -> ReplicaOptions {
        ReplicaOptions {
            disk: Arc::new(OsDisk::new()),
            interval: Duration::from_millis(100),
            policy: ReplicaPolicy::StopSends,
        }
    }

    /// How long [`run`](crate::Replica::run) rests between catching up and catching up again. Each time costs a few syncs on both disks for
    /// every partition that has something new, and ends the batch that is being filled there. Default: 100 ms.
    pub fn interval(mut self, interval: Duration) -> Self {
        self.interval = interval;
        self
    }

    /// What becomes of a broker that [keeps](crate::BrokerBuilder::replica_with) the replica, if that fails. Otherwise this means nothing.
    /// Default: [`ReplicaPolicy::StopSends`].
    pub fn policy(mut self, policy: ReplicaPolicy) -> Self {
        self.policy = policy;
        self
    }

    /// The replica is on a simulated disk.
    #[cfg(any(test, feature = "testing"))]
    pub fn disk(mut self, disk: &crate::disk::simulated::SimulatedDisk) -> Self {
        self.disk = Arc::new(disk.clone());
        self
    }
}

impl Default for ReplicaOptions {
    fn default() -> ReplicaOptions {
        ReplicaOptions::new()
    }
}

impl fmt::Debug for ReplicaOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReplicaOptions")
            .field("interval", &self.interval)
            .field("policy", &self.policy)
            .finish_non_exhaustive()
    }
}
