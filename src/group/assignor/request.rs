//! What an assignor decides from: the topics, and the members with what they want and what they have.

use std::collections::{BTreeMap, BTreeSet};

use crate::topic_partition::TopicPartition;

/// The state of a group when its partitions are to be divided.
///
/// # Examples
/// ```
/// use ottla::{AssignmentRequest, Assignor, GroupMember, RangeAssignor};
///
/// let request = AssignmentRequest::new(
///     [("orders", 3)],
///     [GroupMember::new("a", ["orders"]), GroupMember::new("b", ["orders"])],
/// );
/// let assignment = RangeAssignor.assign(&request);
/// assert_eq!(assignment.partitions_of("a").len(), 2);
/// assert_eq!(assignment.partitions_of("b").len(), 1);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AssignmentRequest {
    topics: BTreeMap<String, u32>,
    members: Vec<GroupMember>,
}

impl AssignmentRequest {
    /// Takes the topics that exist and that some member is subscribed to, each with its number of partitions, and the members
    /// in any order. Member ids, and group instance ids where there are any, are different from each other.
    pub fn new<T: Into<String>>(
        topics: impl IntoIterator<Item = (T, u32)>,
        members: impl IntoIterator<Item = GroupMember>,
    ) -> AssignmentRequest {
        let topics = topics.into_iter().map(|(topic, partition_count)| (topic.into(), partition_count)).collect();
        let mut members: Vec<_> = members.into_iter().collect();
        members.sort_by(|a, b| a.rank().cmp(&b.rank()));
        AssignmentRequest { topics, members }
    }

    /// The topics with their numbers of partitions, ascending by name.
    #[must_use]
    pub fn topics(&self) -> impl ExactSizeIterator<Item = (&str, u32)> {
        self.topics.iter().map(|(topic, partition_count)| (topic.as_str(), *partition_count))
    }

    /// The members: those with a group instance id first, by that id; then the rest, by member id.
    #[must_use]
    pub fn members(&self) -> &[GroupMember] {
        &self.members
    }

    /// The members that are subscribed to `topic`, in the same order.
    pub fn subscribers(&self, topic: &str) -> impl Iterator<Item = &GroupMember> {
        self.members.iter().filter(move |member| member.topics.contains(topic))
    }
}

/// A member of a group, as an assignor sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupMember {
    member_id: String,
    group_instance_id: Option<String>,
    topics: BTreeSet<String>,
    owned: Vec<TopicPartition>,
    generation: Option<i32>,
}

impl GroupMember {
    /// A member that is subscribed to `topics`, has no group instance id, and owns nothing.
    pub fn new<T: Into<String>>(member_id: impl Into<String>, topics: impl IntoIterator<Item = T>) -> GroupMember {
        GroupMember {
            member_id: member_id.into(),
            group_instance_id: None,
            topics: topics.into_iter().map(Into::into).collect(),
            owned: Vec::new(),
            generation: None,
        }
    }

    /// Makes it a static member: one that is known by this name when it comes back under another member id.
    #[doc(alias = "group.instance.id")]
    #[must_use]
    pub fn with_group_instance_id(mut self, group_instance_id: impl Into<String>) -> GroupMember {
        self.group_instance_id = Some(group_instance_id.into());
        self
    }

    /// States what it owned in `generation`.
    #[must_use]
    pub fn with_owned(mut self, generation: i32, owned: impl IntoIterator<Item = TopicPartition>) -> GroupMember {
        self.owned = owned.into_iter().collect();
        self.generation = Some(generation);
        self
    }

    /// The name that it got when it joined; no other member ever has it.
    #[must_use]
    pub fn member_id(&self) -> &str {
        &self.member_id
    }

    /// The name that it has given itself, if it is a static member.
    #[must_use]
    pub fn group_instance_id(&self) -> Option<&str> {
        self.group_instance_id.as_deref()
    }

    /// What it wants to read. Topics that do not exist may be among these.
    #[must_use]
    pub fn topics(&self) -> &BTreeSet<String> {
        &self.topics
    }

    /// With [`Cooperative`](super::RebalanceProtocol::Cooperative) what it owns now; with
    /// [`Eager`](super::RebalanceProtocol::Eager) what it had in the last generation that it took part in. Topics that it no
    /// longer wants, and partitions that are gone, may be among these.
    #[must_use]
    pub fn owned(&self) -> &[TopicPartition] {
        &self.owned
    }

    /// The generation that [`owned`](GroupMember::owned) is of; `None` if it is new. Where two members claim a partition, the
    /// one of the newer generation is right.
    #[must_use]
    pub fn generation(&self) -> Option<i32> {
        self.generation
    }

    /// What members are ordered by.
    fn rank(&self) -> (bool, Option<&str>, &str) {
        (self.group_instance_id.is_none(), self.group_instance_id.as_deref(), &self.member_id)
    }
}
