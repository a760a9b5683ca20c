//! A round: the partitions are divided anew, by an assignor that is the application's code and may say anything.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::assignor::{Assignment, AssignmentRequest, GroupMember};
use super::member::Member;
use super::state::{Group, Phase};
use crate::error::{Error, Result};
use crate::topic_partition::TopicPartition;

/// A run of the assignor.
#[derive(Debug)]
pub(crate) struct Round {
    /// The member that runs it.
    member_id: String,
    inputs: u64,
    assignor_name: String,
    pub(super) request: AssignmentRequest,
}

impl Group {
    /// Notes down what the assignor is to be asked, by this member and now.
    pub(super) fn begin_round(&mut self, member_id: &str) -> Option<Round> {
        let assignor_name = self.assignor.as_ref()?.name.clone();
        self.running = Some((member_id.to_owned(), self.inputs));
        let is_eager = self.is_eager();
        let as_request = |(id, member): (&String, &Member)| {
            let owned = if is_eager { &member.previous } else { &member.owned };
            let mut request = GroupMember::new(id.clone(), member.subscription.keys().cloned());
            if let Some(instance_id) = &member.instance_id {
                request = request.with_group_instance_id(instance_id.clone());
            }
            match member.generation {
                Some(generation) => request.with_owned(generation, owned.iter().cloned()),
                None => request,
            }
        };
        let members = self.members.iter().map(as_request).collect::<Vec<_>>();
        let request = AssignmentRequest::new(self.topics(), members);
        Some(Round { member_id: member_id.to_owned(), inputs: self.inputs, assignor_name, request })
    }

    /// All topics of all members, with their numbers of partitions: members may not have seen the newest yet, and those that
    /// are away know of what was.
    fn topics(&self) -> BTreeMap<String, u32> {
        let (away, here): (Vec<_>, Vec<_>) = self.members.values().partition(|member| member.is_away());
        let mut topics = counts(&here);
        for (topic, count) in counts(&away) {
            topics.entry(topic).or_insert(count);
        }
        topics
    }

    /// Takes in what the assignor said; whether that is the newest generation now. If something has changed meanwhile, it
    /// counts for nothing and is run again.
    pub(super) fn finish_round(&mut self, round: &Round, assignment: Result<Assignment, String>) -> Result<bool> {
        if self.running.take_if(|running| *running == (round.member_id.clone(), round.inputs)).is_none() {
            // It is no longer a member.
            return Ok(false);
        }
        // For now, or for the next poll of any member to try again.
        self.call_all();
        if round.inputs != self.inputs {
            return Ok(false);
        }
        let checked = assignment.and_then(|assignment| self.check(&assignment));
        let mut targets = checked.map_err(|reason| Error::AssignorFailed {
            group: self.name.to_string(),
            assignor: round.assignor_name.clone(),
            reason,
        })?;
        self.generation = self.next_generation();
        self.keep_what_others_own(&mut targets);
        for (id, member) in &mut self.members {
            member.target = targets.remove(id).unwrap_or_default();
            member.generation = Some(self.generation);
        }
        self.phase = Phase::Stable;
        self.settle_away_members();
        // One that a further round follows need not be written down.
        self.is_changed = self.members.values().all(|member| member.owned.is_subset(&member.target));
        Ok(true)
    }

    /// Takes out of `targets` what another member still owns: that follows in the round after it was released.
    fn keep_what_others_own(&self, targets: &mut BTreeMap<String, BTreeSet<TopicPartition>>) {
        let owned = self.members.iter().flat_map(|(id, member)| member.owned.iter().map(move |tp| (tp, id)));
        let owners: HashMap<&TopicPartition, &String> = owned.collect();
        for (id, target) in targets {
            target.retain(|tp| owners.get(tp).is_none_or(|owner| *owner == id));
        }
    }

    /// What an assignor's answer gives to each member; the application's assignors may be wrong.
    fn check(&self, assignment: &Assignment) -> Result<BTreeMap<String, BTreeSet<TopicPartition>>, String> {
        let topics = self.topics();
        let mut given: HashMap<&TopicPartition, &str> = HashMap::new();
        let mut targets: BTreeMap<String, BTreeSet<TopicPartition>> = BTreeMap::new();
        for (id, partitions) in assignment.iter() {
            for tp in partitions {
                if topics.get(tp.topic()).is_none_or(|&count| tp.partition() >= count) {
                    return Err(format!("it gave away {tp}, which is not to be divided"));
                }
                if let Some(other) = given.insert(tp, id) {
                    return Err(format!("it gave {tp} to {other} and to {id}"));
                }
                targets.entry(id.to_owned()).or_default().insert(tp.clone());
            }
            let is_subscribed =
                |member: &Member| partitions.iter().all(|tp| member.subscription.contains_key(tp.topic()));
            match self.members.get(id) {
                Some(member) if is_subscribed(member) => {}
                Some(_) => return Err(format!("it gave {id} a topic that it did not subscribe to")),
                None => return Err(format!("it named {id}, which is not a member")),
            }
        }
        Ok(targets)
    }
}

/// The topics that `members` know of, each with the largest number of partitions that one of them has seen.
fn counts(members: &[&Member]) -> BTreeMap<String, u32> {
    let mut counts = BTreeMap::new();
    for (topic, &count) in members.iter().flat_map(|member| &member.subscription) {
        let known = counts.entry(topic.clone()).or_insert(count);
        *known = count.max(*known);
    }
    counts
}
