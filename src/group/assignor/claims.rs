//! Who had which partition before, by the members' own account, which may be old or contradict itself.
//!
//! Within the sticky assignors a member is its index in the request, and a partition is its index among all partitions of all
//! topics, ascending by topic and then by number.

#![allow(clippy::indexing_slicing, reason = "the indexes are made here, of the request's members and partitions")]

use std::cmp::Reverse;
use std::collections::HashMap;

use super::{Assignment, AssignmentRequest, partitions_of_topic};
use crate::topic_partition::TopicPartition;

/// The partitions of each member, by index.
pub(super) type Shares = Vec<Vec<usize>>;

/// All partitions that can be assigned, and who claims them.
#[derive(Debug)]
pub(super) struct Claims<'a> {
    request: &'a AssignmentRequest,
    partitions: Vec<Partition<'a>>,
}

/// A partition, with who may have it and who had it.
#[derive(Debug)]
pub(super) struct Partition<'a> {
    address: TopicPartition,
    /// The members that may get it, ascending; at least one.
    pub(super) subscribers: &'a [usize],
    /// The claimant of the newest generation.
    newest: Option<usize>,
    /// Whether another of that generation claims it as well. Then neither is believed.
    is_contested: bool,
    /// The claimant of the newest generation before.
    former: Option<usize>,
}

impl Partition<'_> {
    /// The member that has it, if it may keep it.
    pub(super) fn owner(&self) -> Option<usize> {
        self.newest.filter(|member| !self.is_contested && self.is_for(*member))
    }

    /// The members that have it or had it, and may get it back; the last one first.
    pub(super) fn previous_owners(&self) -> impl Iterator<Item = usize> {
        self.owner().into_iter().chain(self.former.filter(|member| self.is_for(*member)))
    }

    /// Whether no other member than this one has to give it up first.
    pub(super) fn is_free_for(&self, member: usize) -> bool {
        !self.is_contested && self.newest.is_none_or(|owner| owner == member)
    }

    fn is_for(&self, member: usize) -> bool {
        self.subscribers.binary_search(&member).is_ok()
    }
}

impl<'a> Claims<'a> {
    /// Looks through what the members say that they own. Partitions that do not exist are passed over.
    pub(super) fn new(request: &'a AssignmentRequest) -> Claims<'a> {
        let mut partitions = Vec::new();
        let mut first_of_topic = HashMap::new();
        for topic in request.subscribed_topics().iter().filter(|topic| !topic.subscribers.is_empty()) {
            first_of_topic.insert(topic.name.as_str(), (partitions.len(), topic.partition_count));
            let all = partitions_of_topic(&topic.name, topic.partition_count).map(|address| Partition {
                address,
                subscribers: &topic.subscribers,
                newest: None,
                is_contested: false,
                former: None,
            });
            partitions.extend(all);
        }

        // The newest generation first: who comes later has the older claim, or one just as new.
        let members = request.members();
        let mut by_generation: Vec<_> = (0..members.len()).collect();
        by_generation.sort_by_key(|member| Reverse(members[*member].generation()));
        for member in by_generation {
            for owned in members[member].owned() {
                let Some((first, count)) = first_of_topic.get(owned.topic()) else { continue };
                if owned.partition() >= *count {
                    continue;
                }
                let partition = &mut partitions[first + owned.partition() as usize];
                match partition.newest {
                    None => partition.newest = Some(member),
                    Some(newest) if newest == member => {}
                    Some(newest) if members[newest].generation() == members[member].generation() => {
                        partition.is_contested = true;
                    }
                    Some(_) => partition.former = partition.former.or(Some(member)),
                }
            }
        }
        Claims { request, partitions }
    }

    /// The partitions that some member may get.
    pub(super) fn partitions(&self) -> &[Partition<'a>] {
        &self.partitions
    }

    /// The number of members.
    pub(super) fn member_count(&self) -> usize {
        self.request.members().len()
    }

    /// Whether every member may get every partition.
    pub(super) fn are_subscriptions_equal(&self) -> bool {
        self.partitions.iter().all(|partition| partition.subscribers.len() == self.member_count())
    }

    /// What each member may keep, ascending by partition number and then by topic.
    pub(super) fn owned(&self) -> Shares {
        let mut shares = vec![Vec::new(); self.member_count()];
        for (index, partition) in self.partitions.iter().enumerate() {
            if let Some(owner) = partition.owner() {
                shares[owner].push(index);
            }
        }
        for share in &mut shares {
            share.sort_by_key(|index| self.partitions[*index].address.partition());
        }
        shares
    }

    /// The members in the order of their ids, wherever static members stand otherwise.
    pub(super) fn members_by_id(&self) -> Vec<usize> {
        let members = self.request.members();
        let mut by_id: Vec<_> = (0..members.len()).collect();
        by_id.sort_by_key(|member| members[*member].member_id());
        by_id
    }

    /// Writes out what each member gets, ascending, but only what is wanted.
    pub(super) fn assignment(&self, mut shares: Shares, wanted: impl Fn(&Partition<'a>, usize) -> bool) -> Assignment {
        let mut assignment = Assignment::new();
        for (member, share) in shares.iter_mut().enumerate() {
            share.sort_unstable();
            let member_id = self.request.members()[member].member_id();
            for partition in share.iter().map(|index| &self.partitions[*index]) {
                if wanted(partition, member) {
                    assignment.assign(member_id, partition.address.clone());
                }
            }
        }
        assignment
    }
}
