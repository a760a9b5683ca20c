//! A group as its record in `__consumer_offsets`, and back.
//!
//! Written down with the round that ends a rebalance, and when the last member has left: so that tools see who is in a group, and
//! that static members find their places again after the process was started anew.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::time::Duration;

use super::group_records::{GroupMetadata, MemberMetadata, Subscription, decode_assignment, encode_assignment};
use super::member::{Joining, Member, Presence};
use super::replay::{Absent, Replay};
use super::state::{ChosenAssignor, Group};
use crate::error::Result;
use crate::topic_partition::TopicPartition;

/// What Kafka calls the protocol of groups of consumers.
const PROTOCOL_TYPE: &str = "consumer";
/// What stands for a client's place, where all clients are in one process.
const CLIENT_HOST: &str = "/127.0.0.1";

impl Group {
    /// The value of the group's record.
    ///
    /// # Errors
    /// [`Error::InvalidConfig`](crate::Error::InvalidConfig) for a name of 32 KiB or more.
    pub(super) fn metadata_record(&self, now_ms: i64) -> Result<Vec<u8>> {
        let mut encoded = Vec::with_capacity(self.members.len());
        for (member_id, member) in &self.members {
            encoded.push((member_id, member, subscription_of(member)?, assignment_of(member)?));
        }
        let members = encoded.iter().map(|(member_id, member, subscription, assignment)| MemberMetadata {
            member_id,
            group_instance_id: member.instance_id.as_deref(),
            client_id: &member.client_id,
            client_host: CLIENT_HOST,
            rebalance_timeout_ms: milliseconds(member.max_poll_interval.unwrap_or(Duration::MAX)),
            session_timeout_ms: milliseconds(member.session_timeout),
            subscription,
            assignment,
        });
        let metadata = GroupMetadata {
            protocol_type: PROTOCOL_TYPE,
            generation: self.generation,
            protocol: self.assignor.as_ref().map(|assignor| assignor.name.as_str()),
            leader: self.members.keys().next().map(String::as_str),
            state_timestamp: Some(now_ms),
            members: members.collect(),
        };
        let mut value = Vec::new();
        metadata.encode(&mut value)?;
        Ok(value)
    }

    /// Takes over what a record says, or that the group was forgotten if there is none. Members are away from now on, but
    /// those that are absent. What cannot be read is passed over; nobody divides more partitions than there are, whatever the
    /// record says.
    pub(super) fn restore(&mut self, value: Option<&[u8]>, replay: &Replay<'_>) {
        self.members.clear();
        self.lacks_members = false;
        self.assignor = None;
        let Some(Ok(metadata)) = value.map(GroupMetadata::decode) else { return };
        self.generation = metadata.generation.max(self.generation);
        let assignments = metadata.members.iter().filter_map(|record| decode_assignment(record.assignment).ok());
        let assigned: BTreeSet<TopicPartition> = assignments.flatten().collect();
        let mut counts = partition_counts(assigned.iter());
        // A round was under way: what was to move then is nobody's.
        self.lacks_members = assigned.len() < counts.values().map(|&count| count as usize).sum();
        for (topic, count) in &mut counts {
            *count = (replay.partition_count)(topic).min(*count);
        }
        let mut instances = HashSet::new();
        for record in &metadata.members {
            let is_absent = replay.absent == Absent::Dynamic && record.group_instance_id.is_none();
            let is_twin = record.group_instance_id.is_some_and(|instance| !instances.insert(instance));
            match away_member(record, &counts, replay.now).filter(|_| !is_absent && !is_twin) {
                Some(member) => drop(self.members.insert(record.member_id.to_owned(), member)),
                None => self.lacks_members = true,
            }
        }
        if !self.members.is_empty() {
            self.assignor = metadata.protocol.map(ChosenAssignor::of_before);
        }
    }
}

/// How many partitions the topics had that were divided, as far as they had been given to somebody.
fn partition_counts<'a>(assigned: impl Iterator<Item = &'a TopicPartition>) -> HashMap<String, u32> {
    let mut counts = HashMap::new();
    for partition in assigned {
        let count: &mut u32 = counts.entry(partition.topic().to_owned()).or_default();
        *count = partition.partition().saturating_add(1).max(*count);
    }
    counts
}

fn subscription_of(member: &Member) -> Result<Vec<u8>> {
    let subscription = Subscription {
        topics: member.subscription.keys().map(String::as_str).collect(),
        user_data: None,
        owned: Vec::new(),
        generation: member.generation,
        rack: None,
    };
    let mut bytes = Vec::new();
    subscription.encode(&mut bytes)?;
    Ok(bytes)
}

fn assignment_of(member: &Member) -> Result<Vec<u8>> {
    let target: Vec<TopicPartition> = member.target.iter().cloned().collect();
    let mut bytes = Vec::new();
    encode_assignment(&target, &mut bytes)?;
    Ok(bytes)
}

/// A member of before; `None` for one of which the record makes no sense.
fn away_member(record: &MemberMetadata<'_>, counts: &HashMap<String, u32>, now: Duration) -> Option<Member> {
    let subscription = Subscription::decode(record.subscription).ok()?;
    let target: BTreeSet<TopicPartition> = decode_assignment(record.assignment).ok()?.into_iter().collect();
    let topics = subscription.topics.iter().map(|&topic| (topic.to_owned(), *counts.get(topic).unwrap_or(&0)));
    let joining = Joining {
        member_id: record.member_id.to_owned(),
        client_id: record.client_id.to_owned(),
        instance_id: record.group_instance_id.map(str::to_owned),
        is_return: false,
        subscription: topics.collect(),
        session_timeout: Duration::from_millis(u64::try_from(record.session_timeout_ms).unwrap_or_default()),
        max_poll_interval: None,
        late_poll_hook: None,
    };
    let presence = Presence::AwayUntil(now.saturating_add(joining.session_timeout));
    let mut member = Member::new(&joining, presence);
    member.generation = subscription.generation;
    member.owned.clone_from(&target);
    member.target = target;
    Some(member)
}

fn milliseconds(duration: Duration) -> i32 {
    i32::try_from(duration.as_millis()).unwrap_or(i32::MAX)
}
