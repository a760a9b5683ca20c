//! A group at one moment, for people and tools.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use super::committed_offset::CommittedOffset;
use super::member::Presence;
use super::state::{Group, Phase};
use crate::topic_partition::TopicPartition;

/// How far a group is with dividing its partitions; the answer of [`GroupDescription::state`], where the example is. The names are
/// Kafka's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub enum GroupState {
    /// The group has no members. Its offsets are kept.
    Empty,
    /// Members or topics have changed. Members are giving up partitions, or the assignor has not run yet.
    PreparingRebalance,
    /// The partitions are divided, and some members have not taken or given up theirs yet. They do so in their next poll.
    CompletingRebalance,
    /// Every member has its partitions.
    Stable,
}

/// Kafka's name for it, as it is written there.
impl fmt::Display for GroupState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            GroupState::Empty => "Empty",
            GroupState::PreparingRebalance => "PreparingRebalance",
            GroupState::CompletingRebalance => "CompletingRebalance",
            GroupState::Stable => "Stable",
        })
    }
}

/// A group at one moment; made by [`Admin::describe_group`](crate::Admin::describe_group).
///
/// # Examples
/// ```
/// use ottla::GroupState;
/// # let broker = ottla::Broker::temporary()?;
/// broker.topic("orders")?.produce("customer-1", "2 coffees")?;
/// let consumer = broker.consumer("billing", ["orders"])?;
/// let group = broker.admin().describe_group("billing")?;
/// println!("{}: {}, {} records to read", group.name(), group.state(), group.total_lag());
/// for member in group.members() {
///     println!("{} owns {:?}", member.client_id(), member.assignment());
/// }
/// for row in group.partitions() {
///     println!("{}: {} of {}", row.topic_partition(), row.committed().map_or(0, |c| c.offset()), row.end_offset());
/// }
/// assert_eq!(group.state(), GroupState::Stable);
/// # Ok::<_, ottla::Error>(())
/// ```
#[derive(Debug, Clone)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct GroupDescription {
    name: String,
    state: GroupState,
    generation: i32,
    assignor: Option<String>,
    members: Vec<MemberDescription>,
    #[cfg_attr(feature = "serde", serde(skip))]
    pub(crate) offsets: Vec<(TopicPartition, CommittedOffset)>,
    partitions: Vec<GroupPartition>,
}

/// A member of a group at one moment; one of [`GroupDescription::members`], where the example is.
#[derive(Debug, Clone)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct MemberDescription {
    member_id: String,
    client_id: String,
    instance_id: Option<String>,
    topics: Vec<String>,
    assignment: Vec<TopicPartition>,
    target: Vec<TopicPartition>,
    is_away: bool,
    is_late: bool,
}

/// How far a group is in one partition; one of [`GroupDescription::partitions`], where the example is.
#[derive(Debug, Clone)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct GroupPartition {
    partition: TopicPartition,
    owner: Option<String>,
    committed: Option<CommittedOffset>,
    log_start_offset: u64,
    end_offset: u64,
}

impl GroupDescription {
    pub(super) fn of(group: &Group) -> GroupDescription {
        let mut offsets: Vec<_> =
            group.committed.iter().map(|(tp, committed)| (tp.clone(), committed.clone())).collect();
        offsets.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
        let members = group.members.iter().map(|(id, member)| MemberDescription {
            member_id: id.clone(),
            client_id: member.client_id.clone(),
            instance_id: member.instance_id.clone(),
            topics: member.subscription.keys().cloned().collect(),
            assignment: member.owned.iter().cloned().collect(),
            target: member.target.iter().cloned().collect(),
            is_away: matches!(member.presence, Presence::AwayUntil(_)),
            is_late: member.is_late,
        });
        let has_settled = group.members.values().all(|member| member.owned == member.target);
        let state = match group.phase {
            _ if group.members.is_empty() => GroupState::Empty,
            Phase::GivingUp | Phase::Due => GroupState::PreparingRebalance,
            Phase::Stable if has_settled => GroupState::Stable,
            Phase::Stable => GroupState::CompletingRebalance,
        };
        GroupDescription {
            name: group.name.to_string(),
            state,
            generation: group.generation,
            assignor: group.assignor.as_ref().map(|assignor| assignor.name.clone()),
            members: members.collect(),
            offsets,
            partitions: Vec::new(),
        }
    }

    /// Adds how far the group is in each partition that it has to do with. `topic` gives the id and the number of partitions of one that is
    /// there, `bounds` what readers of committed records may see of a partition. What was committed was looked up before: so it is not above
    /// the end that is told here.
    pub(crate) fn add_partitions(
        &mut self,
        topic: impl Fn(&str) -> Option<(u128, u32)>,
        bounds: impl Fn(&TopicPartition) -> Option<Range<u64>>,
    ) {
        let mut rows: BTreeMap<TopicPartition, (Option<String>, Option<CommittedOffset>)> = BTreeMap::new();
        for (partition, committed) in std::mem::take(&mut self.offsets) {
            rows.entry(partition).or_default().1 = Some(committed);
        }
        for member in &self.members {
            for (name, (_, count)) in member.topics.iter().filter_map(|name| Some((name, topic(name)?))) {
                // One name for all of them.
                let name: Arc<str> = name.as_str().into();
                for number in 0..count {
                    rows.entry(TopicPartition::new(Arc::clone(&name), number)).or_default();
                }
            }
            for partition in &member.assignment {
                rows.entry(partition.clone()).or_default().0 = Some(member.member_id.clone());
            }
        }
        for (partition, (owner, committed)) in rows {
            // A topic that is being deleted has no lag.
            let Some((topic_id, _)) = topic(partition.topic()) else { continue };
            let Some(Range { start: log_start_offset, end: end_offset }) = bounds(&partition) else { continue };
            let committed = committed.filter(|committed| committed.is_of(topic_id));
            self.partitions.push(GroupPartition { partition, owner, committed, log_start_offset, end_offset });
        }
    }

    /// The group's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How far it is with dividing its partitions.
    #[must_use]
    pub fn state(&self) -> GroupState {
        self.state
    }

    /// A number that rises whenever the partitions are divided anew, or the group has lost its last member.
    #[must_use]
    pub fn generation(&self) -> i32 {
        self.generation
    }

    /// The assignor of its members, if it has any.
    #[must_use]
    pub fn assignor(&self) -> Option<&str> {
        self.assignor.as_deref()
    }

    /// The members, by id. A static member whose consumer is away is among them until its session timeout.
    #[must_use]
    pub fn members(&self) -> &[MemberDescription] {
        &self.members
    }

    /// The partitions of the topics that members subscribed to, and those that have a committed offset, in ascending order.
    #[must_use]
    pub fn partitions(&self) -> &[GroupPartition] {
        &self.partitions
    }

    /// The same, without the rest.
    pub(crate) fn into_partitions(self) -> Vec<GroupPartition> {
        self.partitions
    }

    /// The lag in one partition; `None` for a partition that is not among [`partitions`](GroupDescription::partitions).
    #[must_use]
    pub fn lag(&self, partition: &TopicPartition) -> Option<u64> {
        self.partitions.iter().find(|row| row.partition == *partition).map(GroupPartition::lag)
    }

    /// The sum of the lags of all partitions. Offsets are counted, and not only records: where transactions are written, their markers and
    /// what was aborted count as well, until the group commits behind them.
    #[must_use]
    pub fn total_lag(&self) -> u64 {
        self.partitions.iter().map(GroupPartition::lag).sum()
    }
}

impl MemberDescription {
    /// The id that the group gave to this member.
    #[must_use]
    pub fn member_id(&self) -> &str {
        &self.member_id
    }

    /// The name that the application gave to the consumer.
    #[must_use]
    pub fn client_id(&self) -> &str {
        &self.client_id
    }

    /// The name of a static member.
    #[must_use]
    pub fn group_instance_id(&self) -> Option<&str> {
        self.instance_id.as_deref()
    }

    /// The topics that it subscribed to and that exist.
    #[must_use]
    pub fn topics(&self) -> &[String] {
        &self.topics
    }

    /// The partitions that it owns now, in ascending order. No other member owns them.
    #[must_use]
    pub fn assignment(&self) -> &[TopicPartition] {
        &self.assignment
    }

    /// The partitions that it will own once the rebalance is done, in ascending order.
    #[must_use]
    pub fn target(&self) -> &[TopicPartition] {
        &self.target
    }

    /// Whether its consumer is not in this process: a static member whose place is being kept, or every member if the broker is
    /// open read-only.
    #[must_use]
    pub fn is_away(&self) -> bool {
        self.is_away
    }

    /// Whether it has not polled for half of its [`max_poll_interval`](crate::ConsumerConfig::max_poll_interval).
    #[must_use]
    pub fn is_late(&self) -> bool {
        self.is_late
    }
}

impl GroupPartition {
    /// The partition.
    #[must_use]
    pub fn topic_partition(&self) -> &TopicPartition {
        &self.partition
    }

    /// The id of the member that owns it.
    #[must_use]
    pub fn owner(&self) -> Option<&str> {
        self.owner.as_deref()
    }

    /// What the group has committed, if anything.
    #[must_use]
    pub fn committed(&self) -> Option<&CommittedOffset> {
        self.committed.as_ref()
    }

    /// One above the last offset that can be read.
    #[must_use]
    pub fn end_offset(&self) -> u64 {
        self.end_offset
    }

    /// The first offset that can be read.
    #[must_use]
    pub fn log_start_offset(&self) -> u64 {
        self.log_start_offset
    }

    /// How many offsets lie between what was committed, or else the log start, and the end.
    #[must_use]
    pub fn lag(&self) -> u64 {
        let from = self.committed.as_ref().map_or(self.log_start_offset, CommittedOffset::offset);
        self.end_offset.saturating_sub(from.max(self.log_start_offset))
    }
}
