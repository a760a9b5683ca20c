//! [`ReplicaOptions`]: how a replica is kept.

use std::fmt;
use std::path::{Path, PathBuf};
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
    pub(super) base: Option<PathBuf>,
}

impl ReplicaOptions {
    /// The defaults.
    pub fn new() -> ReplicaOptions {
        ReplicaOptions {
            disk: Arc::new(OsDisk::new()),
            interval: Duration::from_millis(100),
            policy: ReplicaPolicy::StopSends,
            base: None,
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

    /// Another directory on the disk of the replica, that of the old source once its replica was promoted, or a replica that has gone another
    /// way: when a replica is begun, sealed segments that this has, and the source has just so, are linked and not brought. It is not changed,
    /// and can be removed later. For a replica on another machine this means nothing. Default: none.
    ///
    /// # Examples
    /// ```
    /// use ottla::{Broker, Replica, ReplicaOptions};
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let (first, second, again) = (dir.path().join("first"), dir.path().join("second"), dir.path().join("again"));
    /// # Broker::open(&first)?.topic("orders")?.produce("customer-1", "2 coffees")?;
    /// # Replica::open(&first, &second)?.catch_up()?;
    /// // The first disk was away, and its replica was promoted. Now it is back.
    /// Replica::promote_without_source(&second, ReplicaOptions::new())?;
    /// let broker = Broker::open(&second)?;
    /// let mut replica = Replica::open_with(&broker, &again, ReplicaOptions::new().base(&first))?;
    /// replica.catch_up()?;
    /// # Ok::<_, ottla::Error>(())
    /// ```
    pub fn base(mut self, dir: impl AsRef<Path>) -> Self {
        self.base = Some(dir.as_ref().to_owned());
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
            .field("base", &self.base)
            .finish_non_exhaustive()
    }
}
