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
    /// Ascending by name.
    topics: Vec<Topic>,
    members: Vec<GroupMember>,
}

/// A topic whose partitions are to be divided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Topic {
    pub(super) name: String,
    pub(super) partition_count: u32,
    /// Indexes of members, ascending.
    pub(super) subscribers: Vec<usize>,
}

impl AssignmentRequest {
    /// Takes the topics that exist and that some member is subscribed to, each with its number of partitions, and the members
    /// in any order. Member ids, and group instance ids where there are any, are different from each other.
    pub fn new<T: Into<String>>(
        topics: impl IntoIterator<Item = (T, u32)>,
        members: impl IntoIterator<Item = GroupMember>,
    ) -> AssignmentRequest {
        let topics: BTreeMap<_, _> = topics.into_iter().map(|(name, count)| (name.into(), count)).collect();
        let topics =
            topics.into_iter().map(|(name, partition_count)| Topic { name, partition_count, subscribers: Vec::new() });
        let mut topics: Vec<_> = topics.collect();
        let mut members: Vec<_> = members.into_iter().collect();
        members.sort_by(|a, b| a.rank().cmp(&b.rank()));
        for (index, member) in members.iter().enumerate() {
            // Both are in the order of the names.
            let mut wanted = member.topics.iter().peekable();
            for topic in &mut topics {
                while wanted.next_if(|name| **name < topic.name).is_some() {}
                if wanted.next_if_eq(&&topic.name).is_some() {
                    topic.subscribers.push(index);
                }
            }
        }
        AssignmentRequest { topics, members }
    }

    /// The topics with their numbers of partitions, ascending by name.
    #[must_use]
    pub fn topics(&self) -> impl ExactSizeIterator<Item = (&str, u32)> {
        self.topics.iter().map(|topic| (topic.name.as_str(), topic.partition_count))
    }

    /// The topics with their subscribers, ascending by name.
    pub(super) fn subscribed_topics(&self) -> &[Topic] {
        &self.topics
    }

    /// The members: those with a group instance id first, by that id; then the rest, by member id.
    #[must_use]
    pub fn members(&self) -> &[GroupMember] {
        &self.members
    }

    /// The members that are subscribed to `topic`, in the same order; none if it is not among the topics.
    pub fn subscribers(&self, topic: &str) -> impl Iterator<Item = &GroupMember> {
        let found = self.topics.binary_search_by(|known| known.name.as_str().cmp(topic)).ok();
        let indexes = found.and_then(|at| self.topics.get(at)).map_or(&[][..], |topic| &topic.subscribers);
        indexes.iter().filter_map(|index| self.members.get(*index))
    }
}

/// A member of a group, as an assignor sees it.
///
/// # Examples
/// ```
/// use ottla::{GroupMember, TopicPartition};
/// let member = GroupMember::new("consumer-1", ["orders"]).with_owned(7, [TopicPartition::new("orders", 0)]);
/// assert_eq!((member.owned().len(), member.generation()), (1, Some(7)));
/// ```
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

    /// The id that it got when it joined. No other member ever has it.
    #[must_use]
    pub fn member_id(&self) -> &str {
        &self.member_id
    }

    /// The name under which it is known when it comes back, if it is a static member.
    #[must_use]
    pub fn group_instance_id(&self) -> Option<&str> {
        self.group_instance_id.as_deref()
    }

    /// The topics that it wants to read. Some of them may not exist.
    #[must_use]
    pub fn topics(&self) -> &BTreeSet<String> {
        &self.topics
    }

    /// With [`Cooperative`](super::RebalanceProtocol::Cooperative), the partitions that it owns now; with
    /// [`Eager`](super::RebalanceProtocol::Eager), those that it had in the last generation that it took part in. Partitions of
    /// topics that it no longer wants, and partitions that are gone, may be among them.
    #[must_use]
    pub fn owned(&self) -> &[TopicPartition] {
        &self.owned
    }

    /// The generation in which it had what it [`owned`](GroupMember::owned); `None` if it is new. If two members claim a
    /// partition, the one with the newer generation is right.
    #[must_use]
    pub fn generation(&self) -> Option<i32> {
        self.generation
    }

    /// What members are ordered by.
    fn rank(&self) -> (bool, Option<&str>, &str) {
        (self.group_instance_id.is_none(), self.group_instance_id.as_deref(), &self.member_id)
    }
}
