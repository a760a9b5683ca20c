//! How a broker is: what a health check asks.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use super::Admin;
use super::store::Store;
use super::topic_partitions::TopicPartitionSource;
use crate::error::{Corruption, Error};
use crate::partition::log::Log;
use crate::partition::mirror::{Mirror, MirrorState};
use crate::topic_partition::TopicPartition;

/// How a broker is at one moment; made by [`Admin::health`]. Later versions may know more.
///
/// # Examples
/// ```
/// # let broker = ottla::Broker::temporary()?;
/// let health = broker.admin().health();
/// assert!(health.is_healthy(), "{health}");
/// # Ok::<_, ottla::Error>(())
/// ```
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Health {
    /// Why no call is answered, if so: the broker is closed, or another process opened it. Then the rest is not looked at.
    pub broker_error: Option<Error>,
    /// The partitions, those of internal topics among them, that refuse writes, or everything, until the broker is reopened.
    pub failed_partitions: Vec<PartitionFailure>,
    /// What was written once and is lost, as opening found it; read-only, as it can be seen now. What was damaged since shows when it
    /// is read, or by [`Admin::verify`].
    pub damage: Vec<Corruption>,
    /// Why sends that need room on the disk are refused, if they are: [`Error::OverBudget`].
    pub over_budget: Option<Error>,
    /// What is kept of logs for groups that have not read it, though it would go by the limits of the topic. Nothing is wrong with that
    /// by itself.
    pub held_back: Vec<HeldBack>,
    /// The transactions that are open, in each partition: readers of committed records wait for their ends there, and so do retention and
    /// compaction. Nothing is wrong with that by itself, either. Only the process that writes knows of them.
    pub open_transactions: Vec<HeldByTransaction>,
    /// What is wrong with the [replica](crate::BrokerBuilder::replica) that the broker keeps; `None` if nothing is, or it keeps none.
    pub replica: Option<ReplicaFailure>,
    /// What went wrong first in the last pass of the [maintenance](crate::Broker::run_maintenance), with its causes; `None` if
    /// that went well, or there was none yet. The next pass tries again.
    pub maintenance_error: Option<String>,
}

/// A partition that does not do all that it should; part of [`Health`].
///
/// # Examples
/// ```
/// # let broker = ottla::Broker::temporary()?;
/// for ottla::PartitionFailure { partition, error, .. } in &broker.admin().health().failed_partitions {
///     eprintln!("{partition}: {}", error.with_causes());
/// }
/// # Ok::<_, ottla::Error>(())
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub struct PartitionFailure {
    /// Which it is.
    pub partition: TopicPartition,
    /// What calls on it fail with: [`Error::Poisoned`] if a write or sync failed, and reads go on; [`Error::Corrupt`] or
    /// [`Error::Io`] if its directory or a file of it is damaged or refused, and nothing can be read.
    pub error: Error,
}

/// A replica that does not have all that it should; part of [`Health`].
///
/// # Examples
/// ```
/// # let broker = ottla::Broker::temporary()?;
/// if let Some(replica) = broker.admin().health().replica {
///     eprintln!("{} of {}", replica.reason, replica.path.display());
/// }
/// # Ok::<_, ottla::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ReplicaFailure {
    /// Its directory.
    pub path: PathBuf,
    /// What went wrong, with its causes.
    pub reason: String,
    /// What that means for the broker.
    pub effect: ReplicaFailureEffect,
}

/// What the failure of a replica means for its broker; part of [`ReplicaFailure`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ReplicaFailureEffect {
    /// All that is acknowledged is on both disks, but the replica could not catch up when it last tried: what waits for that takes more and
    /// more room there.
    NotCatchingUp,
    /// Sends of [`Durability::Always`](crate::Durability::Always) topics fail until the replica has caught up.
    SendsStopped,
    /// The replica was given up: what is sent is on one disk only until the broker is opened again.
    Dropped,
}

impl fmt::Display for ReplicaFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let meaning = match self.effect {
            ReplicaFailureEffect::NotCatchingUp => "could not catch up",
            ReplicaFailureEffect::SendsStopped => "has failed, and sends do until it has caught up",
            ReplicaFailureEffect::Dropped => "was given up until the broker is opened again",
        };
        write!(f, "the replica {} {meaning}: {}", self.path.display(), self.reason)
    }
}

/// A log of which more is kept than its topic's limits ask for, since a group has not read it; part of [`Health`].
///
/// # Examples
/// ```
/// # let broker = ottla::Broker::temporary()?;
/// for held in &broker.admin().health().held_back {
///     println!("{held}");
///     if held.cap_bytes.is_some_and(|cap| cap / 10 * 8 < held.log_bytes) {
///         eprintln!("{} will soon miss records of {}", held.group, held.partition);
///     }
/// }
/// # Ok::<_, ottla::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct HeldBack {
    /// Which it is.
    pub partition: TopicPartition,
    /// The group that is furthest behind, of those that the topic [names](crate::TopicConfig::retain_for).
    pub group: String,
    /// The offset that the group has committed, which is the next that it is to read; `None` if it has committed none.
    pub committed: Option<u64>,
    /// Where the log begins: above `committed`, the group misses what lies between, which went beyond its cap or for another reason.
    pub log_start_offset: u64,
    /// What the log's segments take, in bytes.
    pub log_bytes: u64,
    /// Of more than this the oldest segments go, though the group has not read them; `None` for no bound.
    pub cap_bytes: Option<u64>,
}

/// A partition in which a transaction is open; part of [`Health`].
///
/// # Examples
/// ```
/// use std::time::Duration;
/// # let broker = ottla::Broker::temporary()?;
/// for open in &broker.admin().health().open_transactions {
///     if open.age.is_some_and(|age| Duration::from_secs(30) < age) {
///         eprintln!("{open}");
///     }
/// }
/// # Ok::<_, ottla::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct HeldByTransaction {
    /// Which it is.
    pub partition: TopicPartition,
    /// The name of the producer.
    pub transactional_id: String,
    /// The offset of the transaction's first record there: readers of committed records see nothing from there on.
    pub first_offset: u64,
    /// How long the transaction has been open; `None` if its end is known, and could not be written yet.
    pub age: Option<Duration>,
}

impl fmt::Display for HeldByTransaction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let HeldByTransaction { partition, transactional_id, first_offset, age } = self;
        write!(f, "{partition} waits from {first_offset} on for the transaction of {transactional_id:?}")?;
        match age {
            Some(age) => write!(f, ", open for {age:?}"),
            None => f.write_str(", whose end could not be written yet"),
        }
    }
}

impl fmt::Display for HeldBack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let HeldBack { partition, group, committed, log_start_offset, log_bytes, cap_bytes } = self;
        write!(f, "{partition} is kept for group {group:?}, which has ")?;
        match committed {
            None => f.write_str("committed nothing")?,
            Some(committed) => write!(f, "read up to {committed}")?,
        }
        if let Some(committed) = committed.filter(|committed| committed < log_start_offset) {
            write!(f, " and misses {committed}..{log_start_offset}")?;
        }
        match cap_bytes {
            None => write!(f, " ({log_bytes} bytes, without a cap)"),
            Some(cap_bytes) => write!(f, " ({log_bytes} bytes, of a cap of {cap_bytes})"),
        }
    }
}

impl Health {
    /// Whether nothing is wrong.
    #[must_use]
    pub fn is_healthy(&self) -> bool {
        let Health { broker_error, failed_partitions, damage, over_budget, replica, maintenance_error, .. } = self;
        let is_refused = broker_error.is_some() || over_budget.is_some() || replica.is_some();
        !is_refused && failed_partitions.is_empty() && damage.is_empty() && maintenance_error.is_none()
    }
}

/// `healthy`, or what is wrong, a line each; and then what is kept for groups.
impl fmt::Display for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_healthy() { "healthy" } else { "not healthy" })?;
        let errors = self.broker_error.iter().chain(self.failed_partitions.iter().map(|failed| &failed.error));
        errors.into_iter().try_for_each(|error| write!(f, "\n{}", error.with_causes()))?;
        self.damage.iter().try_for_each(|damage| write!(f, "\nlost: {damage}"))?;
        self.over_budget.iter().try_for_each(|error| write!(f, "\n{error}"))?;
        self.replica.iter().try_for_each(|replica| write!(f, "\n{replica}"))?;
        self.maintenance_error.iter().try_for_each(|error| write!(f, "\nmaintenance: {error}"))?;
        self.held_back.iter().try_for_each(|held| write!(f, "\n{held}"))?;
        self.open_transactions.iter().try_for_each(|open| write!(f, "\n{open}"))
    }
}

impl Admin<'_> {
    /// How the broker is: which partitions refuse writes and why, what is lost, and whether the maintenance gets on. For a health
    /// check: it reads nothing from the disk and waits for nobody. Read-only, it looks at the files of all logs.
    ///
    /// # Examples
    /// ```
    /// # let broker = ottla::Broker::temporary()?;
    /// let health = broker.admin().health();
    /// println!("{} {health}", if health.is_healthy() { 200 } else { 503 });
    /// # Ok::<_, ottla::Error>(())
    /// ```
    #[must_use]
    pub fn health(&self) -> Health {
        self.broker.store.health()
    }
}

/// For whom a log is kept, if it is.
fn held_back(log: &Log) -> Option<HeldBack> {
    let hold = log.hold()?;
    Some(HeldBack {
        partition: log.partition().clone(),
        group: hold.group.into(),
        committed: hold.committed,
        log_start_offset: log.log_start_offset(),
        log_bytes: log.size().0,
        cap_bytes: log.hold_bytes_max(),
    })
}

/// What is wrong with a replica, if anything.
fn replica_failure(mirror: &Mirror) -> Option<ReplicaFailure> {
    let (state, catch_up_error) = mirror.state();
    let (effect, reason) = match state {
        MirrorState::Following => (ReplicaFailureEffect::NotCatchingUp, catch_up_error?),
        MirrorState::Behind(reason) => (ReplicaFailureEffect::SendsStopped, reason.or(catch_up_error)?),
        MirrorState::Dropped(reason) => (ReplicaFailureEffect::Dropped, reason),
    };
    Some(ReplicaFailure { path: mirror.dir().to_owned(), reason, effect })
}

impl Store {
    fn health(&self) -> Health {
        let mut health = Health::default();
        let topics = match self.topics() {
            Ok(topics) => topics,
            // What is known of them, in memory.
            Err(Error::Corrupt(damage)) if self.is_read_only() => {
                health.damage.push(*damage);
                self.registry.all()
            }
            Err(error) => return Health { broker_error: Some(error), ..health },
        };
        health.damage.extend(self.lost_tails().iter().cloned());
        health.maintenance_error = self.maintenance_error();
        health.replica = self.mirror().and_then(replica_failure);
        health.over_budget = self.disk_budget().and_then(|budget| budget.refusal());
        let mut partitions: Vec<_> = topics.values().flat_map(|topic| topic.partitions.iter()).collect();
        partitions.sort_unstable_by(|one, other| one.address.cmp(&other.address));
        for TopicPartitionSource { address, source } in partitions {
            health.held_back.extend(source.log().and_then(|log| held_back(log)));
            health.open_transactions.extend(source.log().into_iter().flat_map(|log| self.held_by_transactions(log)));
            match source.check_health() {
                Ok(damage) => health.damage.extend(damage),
                // Its topic was deleted meanwhile, which is no failure.
                Err(_) if matches!(source.check_open(), Err(Error::Closed { .. })) => {}
                Err(error) => health.failed_partitions.push(PartitionFailure { partition: address.clone(), error }),
            }
        }
        health
    }
}
