//! Who of a group reads which partition. An [`Assignor`] decides it, from nothing but an [`AssignmentRequest`]: no locks, no
//! clock, no chance, so that the same members and topics always give the same result.
//!
//! ```text
//! range               per topic, a run of consecutive partitions each
//! roundrobin          all partitions of all topics, dealt in a circle
//! sticky              balanced, and as few partitions move as possible
//! cooperative-sticky  the same, but a partition that moves is first given up, and is assigned in the round after
//! ```
//! Members are in one order everywhere: those with a group instance id first, by that id; then the rest, by member id.

mod claims;
mod cooperative_sticky;
mod range;
mod request;
mod round_robin;
mod sticky;

use std::collections::BTreeMap;
use std::fmt::{self, Debug};
use std::sync::Arc;

pub use cooperative_sticky::CooperativeStickyAssignor;
pub use range::RangeAssignor;
pub use request::{AssignmentRequest, GroupMember};
pub use round_robin::RoundRobinAssignor;
pub use sticky::StickyAssignor;

use crate::topic_partition::TopicPartition;

/// What members do with their partitions while the group finds a new assignment.
///
/// # Examples
/// ```
/// use ottla::{Assignor, CooperativeStickyAssignor, RangeAssignor, RebalanceProtocol};
/// assert_eq!(CooperativeStickyAssignor.protocol(), RebalanceProtocol::Cooperative);
/// assert_eq!(RangeAssignor.protocol(), RebalanceProtocol::Eager);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RebalanceProtocol {
    /// Every member first gives up all that it owns, and then gets its part of the result. It takes one round, in which nobody
    /// reads.
    Eager,
    /// Members keep what they own, and go on reading it, until a result leaves it out. A partition that moves is in nobody's
    /// result until its owner has given it up, so a move takes two rounds.
    Cooperative,
}

/// `eager` or `cooperative`.
impl fmt::Display for RebalanceProtocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            RebalanceProtocol::Eager => "eager",
            RebalanceProtocol::Cooperative => "cooperative",
        })
    }
}

/// Divides the partitions of a group's topics among its members.
///
/// Bring your own where none of [`RangeAssignor`], [`RoundRobinAssignor`], [`StickyAssignor`] and
/// [`CooperativeStickyAssignor`] fits. Every member of a group names an assignor with the same [`name`](Assignor::name) and
/// protocol.
///
/// # Examples
/// ```
/// use ottla::{Assignment, AssignmentRequest, Assignor, GroupMember, TopicPartition};
///
/// /// The first member reads everything, and the others stand by.
/// #[derive(Debug)]
/// struct FirstTakesAll;
///
/// impl Assignor for FirstTakesAll {
///     fn name(&self) -> &str { "first-takes-all" }
///
///     fn assign(&self, request: &AssignmentRequest) -> Assignment {
///         let mut assignment = Assignment::new();
///         for (topic, partition_count) in request.topics() {
///             let Some(member) = request.subscribers(topic).next() else { continue };
///             for partition in 0..partition_count {
///                 assignment.assign(member.member_id(), TopicPartition::new(topic, partition));
///             }
///         }
///         assignment
///     }
/// }
///
/// let members = ["b", "a"].map(|id| GroupMember::new(id, ["orders"]));
/// let assignment = FirstTakesAll.assign(&AssignmentRequest::new([("orders", 3)], members));
/// assert_eq!(assignment.partitions_of("a").len(), 3);
/// assert!(assignment.partitions_of("b").is_empty());
/// ```
pub trait Assignor: Send + Sync + Debug {
    /// The name by which the members of a group agree on an assignor. The group's records contain it. Kafka's own are `range`,
    /// `roundrobin`, `sticky` and `cooperative-sticky`.
    fn name(&self) -> &str;

    /// What members do with their partitions meanwhile. Default: [`RebalanceProtocol::Eager`].
    fn protocol(&self) -> RebalanceProtocol {
        RebalanceProtocol::Eager
    }

    /// Decides who reads what.
    ///
    /// The first member that polls calls it, on that member's thread and with no lock held. The result is thrown away if members
    /// or topics changed meanwhile. Give a partition to one member at most, and only to a member that is subscribed to its
    /// topic. A partition that you give to nobody is not read.
    fn assign(&self, request: &AssignmentRequest) -> Assignment;
}

/// Which member reads which partitions: the decision of an [`Assignor`]. A member that is not in it gets nothing.
///
/// # Examples
/// ```
/// use ottla::{Assignment, TopicPartition};
/// let mut assignment = Assignment::new();
/// assignment.assign("member-1", TopicPartition::new("orders", 0));
/// assert_eq!(assignment.partitions_of("member-1").len(), 1);
/// assert!(assignment.partitions_of("member-2").is_empty());
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Assignment {
    by_member: BTreeMap<String, Vec<TopicPartition>>,
}

impl Assignment {
    /// Begins with nothing for anybody.
    #[must_use]
    pub fn new() -> Assignment {
        Assignment::default()
    }

    /// Gives `partition` to the member, in addition to what it has. Nothing is checked here.
    pub fn assign(&mut self, member_id: &str, partition: TopicPartition) {
        match self.by_member.get_mut(member_id) {
            Some(partitions) => partitions.push(partition),
            None => drop(self.by_member.insert(member_id.to_owned(), vec![partition])),
        }
    }

    /// What the member gets, in the order in which it was assigned.
    #[must_use]
    pub fn partitions_of(&self, member_id: &str) -> &[TopicPartition] {
        self.by_member.get(member_id).map_or(&[], Vec::as_slice)
    }

    /// Every member that gets something, ascending by member id.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[TopicPartition])> {
        self.by_member.iter().map(|(member_id, partitions)| (member_id.as_str(), partitions.as_slice()))
    }
}

/// The partitions of one topic, ascending. They share the name.
fn partitions_of_topic(topic: &str, partition_count: u32) -> impl Iterator<Item = TopicPartition> {
    let topic: Arc<str> = topic.into();
    (0..partition_count).map(move |partition| TopicPartition::new(Arc::clone(&topic), partition))
}

#[cfg(test)]
mod tests;
