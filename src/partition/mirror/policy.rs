//! [`ReplicaPolicy`]: what becomes of a broker whose replica fails.

/// What becomes of a broker whose [replica](crate::BrokerBuilder::replica) fails; for
/// [`ReplicaOptions::policy`](crate::ReplicaOptions::policy).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ReplicaPolicy {
    /// Sends of [`Durability::Always`](crate::Durability::Always) topics fail with [`Error::ReplicaFailed`](crate::Error::ReplicaFailed) until
    /// the replica has caught up again, which is tried again and again. Nothing is acknowledged that is on one disk only.
    #[default]
    StopSends,
    /// The replica is given up until the broker is opened the next time, and the broker goes on without it: [`Health`](crate::Health)
    /// and an event say so.
    DropReplica,
}
