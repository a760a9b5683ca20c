//! What holds after every call.

use std::collections::{BTreeMap, BTreeSet};

use ottla::{Error, GroupDescription, GroupState, Result, TopicPartition};

use crate::calls::{Listens, Mood};
use crate::member::{FAILURE, Member};
use crate::run::Run;

impl Run {
    /// The group as the coordinator sees it; `None` if there is none. Looking puts members out that are too late.
    pub(crate) fn describe(&self, group: &str) -> Option<GroupDescription> {
        let described = match self.broker().admin().describe_group(group) {
            Ok(description) => Some(description),
            Err(Error::UnknownGroup { .. }) => None,
            Err(error) => panic!("{error}"),
        };
        let model = &self.groups[group];
        // Nothing keeps a group in mind that has neither members nor offsets.
        let described = described.filter(|group| !group.members().is_empty() || !model.committed.is_empty());
        match &described {
            None => {
                assert!(model.committed.is_empty(), "{group} was forgotten with its offsets");
                model.generation.set(None);
            }
            Some(described) => {
                let generation = Some(described.generation());
                assert!(generation >= model.generation.get(), "{described:?} after {:?}", model.generation);
                model.generation.set(generation);
            }
        }
        described
    }

    /// What a member owns by the coordinator's word: nothing if it was put out.
    pub(crate) fn owned(&self, member: &Member) -> BTreeSet<TopicPartition> {
        let description = self.describe(&member.group);
        let members = description.as_ref().map(GroupDescription::members).unwrap_or_default();
        let found = members.iter().find(|found| Some(found.member_id()) == member.consumer.member_id());
        found.map(|found| found.assignment().iter().cloned().collect()).unwrap_or_default()
    }

    /// The log end of a partition; `None` if there is no such partition.
    pub(crate) fn end(&self, partition: &TopicPartition) -> Option<u64> {
        self.topics.get(partition.topic())?.ends.get(partition.partition() as usize).copied()
    }

    pub(crate) fn partitions(&self) -> Vec<TopicPartition> {
        let of_topic = |(name, topic): (&String, &crate::run::TopicModel)| {
            (0..u32::try_from(topic.ends.len()).unwrap()).map(|n| TopicPartition::new(name.as_str(), n)).collect()
        };
        self.topics.iter().flat_map::<Vec<_>, _>(of_topic).collect()
    }

    /// Every group stands where its model does, but that `group` may have gone on to what `allowed` says, which is taken over.
    pub(crate) fn take_committed(&mut self, group: &str, allowed: &BTreeMap<TopicPartition, u64>) {
        for partition in self.partitions() {
            for (name, model) in &mut self.groups {
                let found = self.broker.as_ref().unwrap().committed(name, &partition).unwrap();
                let found = found.map(|committed| committed.offset());
                let known = model.committed.get(&partition).copied();
                if found == known {
                    continue;
                }
                let is_allowed = name == group && found.is_some() && allowed.get(&partition).copied() == found;
                assert!(is_allowed, "{name} stands at {found:?} in {partition}, not at {known:?}");
                model.committed.insert(partition.clone(), found.unwrap());
            }
        }
    }

    pub(crate) fn check(&mut self) {
        self.take_committed("", &BTreeMap::new());
        for name in self.groups.keys().cloned().collect::<Vec<_>>() {
            self.check_group(&name);
        }
    }

    fn check_group(&self, name: &str) {
        let description = self.describe(name);
        let members = self.members.iter().flatten().filter(|member| member.group == name);
        self.groups[name].check_committed();
        let Some(description) = description else { return };
        let mut owners = BTreeMap::new();
        for member in description.members() {
            for partition in member.assignment() {
                let other = owners.insert(partition.clone(), member.member_id().to_owned());
                assert_eq!(other, None, "{partition} has two owners: {description:?}");
            }
        }
        let mut here = description.members().iter().filter(|member| !member.is_away()).count();
        for member in members {
            let known = description.members().iter().find(|m| Some(m.member_id()) == member.consumer.member_id());
            let Some(known) = known else { continue };
            assert!(!member.is_replaced, "{member:?} has come back: {description:?}");
            here -= 1;
            // Of a partition that is gone, or was not there at the member's last poll, there may be a rest on one side.
            let present = |partitions: &[TopicPartition]| -> BTreeSet<TopicPartition> {
                let is_present = |partition: &&TopicPartition| {
                    self.end(partition).is_some() && member.seen_partitions.contains(*partition)
                };
                partitions.iter().filter(is_present).cloned().collect()
            };
            assert_eq!(present(known.assignment()), present(&member.consumer.assignment()), "{description:?}");
        }
        assert_eq!(here, 0, "members without a consumer: {description:?}");
        for row in description.partitions() {
            let offset = row.committed().map(ottla::CommittedOffset::offset);
            assert!(offset <= Some(row.end_offset()), "{name} stands behind the end: {row:?}");
            assert_eq!(row.owner(), owners.get(row.topic_partition()).map(String::as_str));
        }
    }

    /// Polls everybody until all partitions of all groups are divided, and everything was read.
    pub(crate) fn settle(&mut self) {
        for _ in 0..50 {
            self.poll_all();
        }
        let mut rounds = 0;
        while self.poll_all() > 0 {
            rounds += 1;
            assert!(rounds < 2000, "this does not come to an end");
        }
        for name in self.groups.keys().cloned().collect::<Vec<_>>() {
            self.check_settled(&name);
        }
    }

    fn check_settled(&self, name: &str) {
        let members = self.members.iter().flatten().filter(|member| member.group == name && !member.is_fenced);
        let members: Vec<&Member> = members.collect();
        if members.is_empty() {
            return;
        }
        let Some(description) = self.describe(name) else { panic!("{name} has forgotten its members") };
        assert_eq!(description.state(), GroupState::Stable, "{description:?}");
        let all: Vec<_> = description.members().iter().flat_map(ottla::MemberDescription::assignment).collect();
        for partition in self.partitions() {
            let is_wanted = members.iter().any(|member| member.topics.iter().any(|topic| topic == partition.topic()));
            let is_owned = all.contains(&&partition);
            assert!(is_owned || !is_wanted, "nobody has {partition}: {description:?}");
        }
        for member in members {
            for partition in member.consumer.assignment() {
                let is_subscribed = member.topics.iter().any(|topic| topic == partition.topic());
                let end = self.end(&partition);
                assert!(is_subscribed && end.is_some(), "{partition} is not for {member:?}");
                assert_eq!(member.positions.get(&partition).copied(), end, "{partition} was not read to its end");
                self.groups[name].check_delivered(&partition, end.unwrap(), self.mood == Mood::Calm);
            }
        }
    }

    /// Who has what, if nothing is under way.
    pub(crate) fn settled_assignments(&self, group: &str) -> Option<BTreeMap<String, Vec<TopicPartition>>> {
        let description = self.describe(group)?;
        let is_member = |member: &Member| {
            description.members().iter().any(|known| Some(known.member_id()) == member.consumer.member_id())
        };
        let here = self.members.iter().flatten().filter(|member| member.group == group && !member.is_fenced);
        let is_settled = description.state() == GroupState::Stable && here.into_iter().all(is_member);
        let name = |member: &ottla::MemberDescription| {
            member.group_instance_id().unwrap_or_else(|| member.member_id()).to_owned()
        };
        let of_member = |member: &ottla::MemberDescription| (name(member), member.assignment().to_vec());
        is_settled.then(|| description.members().iter().map(of_member).collect())
    }
}

/// What giving up everything may return.
pub(crate) fn check_closing(result: Result<()>, listens: Listens, is_owner: bool) {
    match result {
        Ok(()) => {}
        Err(Error::CommitRefused { .. } | Error::RebalanceInProgress { .. }) if !is_owner => {}
        Err(error) => check_listener_error(&error, listens),
    }
}

pub(crate) fn check_listener_error(error: &Error, listens: Listens) {
    match (error, listens) {
        (Error::Other(own), Listens::Fails) => assert_eq!(own.to_string(), FAILURE),
        (Error::ListenerPanicked { reason, .. }, Listens::Panics) => assert!(reason.contains(FAILURE), "{reason}"),
        _ => panic!("{error}"),
    }
}

/// A commit is refused with one of these.
pub(crate) fn check_refusal(error: &Error, member: &Member) {
    match error {
        Error::CommitRefused { .. }
        | Error::RebalanceInProgress { .. }
        | Error::NotAssigned { .. }
        | Error::OffsetOutOfRange { .. }
        | Error::Closed { .. } => {}
        Error::Fenced { .. } => assert!(member.is_fenced, "{member:?} is not fenced"),
        error => panic!("{error}"),
    }
}
