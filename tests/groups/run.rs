//! A broker with its groups, beside their models.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::time::Duration;

use ottla::testing::SimulatedDisk;
use ottla::{Broker, CommittedOffset, Durability, Error, ProducerRecord, ResetTo, TopicConfig, TopicPartition};

use crate::calls::{Call, Case, Joins, Leaving, Mood, PARTITIONS_MAX, Place, SLOTS, TOPICS, Topics};
use crate::group_model::GroupModel;
use crate::member::{Event, Member, group_name, take};

const DIR: &str = "/data";

/// A topic as it is to be.
#[derive(Debug)]
pub(crate) struct TopicModel {
    /// Tells it from others of its name.
    pub(crate) incarnation: u64,
    /// By partition.
    pub(crate) ends: Vec<u64>,
}

pub(crate) struct Run {
    pub(crate) mood: Mood,
    disk: SimulatedDisk,
    /// `None` only while reopening.
    pub(crate) broker: Option<Broker>,
    pub(crate) assignors: Vec<usize>,
    pub(crate) topics: BTreeMap<String, TopicModel>,
    pub(crate) groups: BTreeMap<String, GroupModel>,
    pub(crate) members: [Option<Member>; SLOTS],
    incarnations: u64,
}

impl Run {
    pub(crate) fn new(case: &Case) -> Run {
        let groups = (0..case.assignors.len()).map(|group| (group_name(group), GroupModel::default())).collect();
        let mut run = Run {
            mood: case.mood,
            disk: SimulatedDisk::new(1),
            broker: None,
            assignors: case.assignors.clone(),
            topics: BTreeMap::new(),
            groups,
            members: Default::default(),
            incarnations: 0,
        };
        run.open();
        for (topic, &partitions) in case.partitions.iter().enumerate() {
            run.create_topic(topic, partitions);
        }
        run
    }

    fn open(&mut self) {
        let builder = Broker::builder(DIR).durability(Durability::Os).background(false).tail_bytes(1 << 20);
        self.broker = Some(builder.disk(&self.disk).open().unwrap());
    }

    pub(crate) fn broker(&self) -> &Broker {
        self.broker.as_ref().unwrap()
    }

    pub(crate) fn apply(&mut self, call: &Call) {
        match call {
            Call::Join(joins) => self.join(joins),
            Call::Leave { slot, how } => self.leave(*slot, *how),
            Call::Restart { slot, how } => self.restart(*slot, *how),
            Call::Poll { slot } => _ = self.poll(*slot),
            Call::TakeEach { slot, count } => self.take_each(*slot, *count),
            Call::PollAll => _ = self.poll_all(),
            Call::Commit { slot } => self.commit(*slot),
            Call::CommitThrough { slot, at } => self.commit_through(*slot, *at),
            Call::CommitOffsets { slot, topic, partition, at } => self.commit_offsets(*slot, *topic, *partition, *at),
            Call::Subscribe { slot, topics } => self.subscribe(*slot, topics),
            Call::Send { topic, partition, count } => self.send(*topic, *partition, *count),
            Call::Reset { group, topic, to, is_dry } => self.reset(*group, *topic, *to, *is_dry),
            Call::AddPartitions { topic, count } => self.add_partitions(*topic, *count),
            Call::DeleteTopic { topic } => self.delete_topic(*topic),
            Call::CreateTopic { topic, partitions } => self.create_topic(*topic, *partitions),
            Call::Advance { ms } => self.disk.advance(Duration::from_millis(*ms)),
            Call::RemoveInstance { group, instance } => self.remove_instance(*group, *instance),
            Call::DeleteGroup { group } => self.delete_group(*group),
            Call::Reopen { is_clean, seed } => self.reopen(*is_clean, *seed),
            Call::Settle => self.settle(),
        }
        self.check();
    }

    /// What must hold at the end of all calls.
    pub(crate) fn finish(&mut self) {
        self.settle();
        self.check();
    }

    fn join(&mut self, joins: &Joins) {
        if self.members[joins.slot].is_some() {
            self.poll(joins.slot);
            return;
        }
        let group = joins.group % self.assignors.len();
        let assignor = self.assignors[group];
        if joins.disagrees {
            self.join_in_disagreement(joins, group, (assignor + 1) % 4);
            return;
        }
        self.note_replaced(joins, group);
        let mut member = Member::join(self.broker(), joins, group, assignor).unwrap();
        member.seen_partitions = self.partitions().into_iter().collect();
        self.members[joins.slot] = Some(member);
    }

    /// The newer of two consumers of one name has the place.
    fn note_replaced(&mut self, joins: &Joins, group: usize) {
        let group = group_name(group);
        let Some(description) = self.describe(&group).filter(|_| joins.instance.is_some()) else { return };
        for other in self.members.iter_mut().flatten() {
            let is_member =
                description.members().iter().any(|known| Some(known.member_id()) == other.consumer.member_id());
            other.is_replaced |= is_member && other.group == group && other.joins.instance == joins.instance;
        }
    }

    /// Whether a member was put out, and another consumer of its name is there since.
    pub(crate) fn is_overtaken(&self, member: &Member) -> bool {
        let Some(description) = self.describe(&member.group).filter(|_| member.joins.instance.is_some()) else {
            return false;
        };
        let name = member.joins.instance.map(|name| format!("instance-{name}"));
        let has_its_name = |other: &ottla::MemberDescription| other.group_instance_id() == name.as_deref();
        let is_itself = |other: &ottla::MemberDescription| Some(other.member_id()) == member.consumer.member_id();
        description.members().iter().any(|other| has_its_name(other) && !is_itself(other) && !other.is_away())
    }

    /// Refused where others are members; where nobody is, it becomes the group's assignor and leaves again.
    fn join_in_disagreement(&mut self, joins: &Joins, group: usize, assignor: usize) {
        let name = group_name(group);
        let instance = joins.instance.map(|name| format!("instance-{name}"));
        let is_other = |other: &&ottla::MemberDescription| {
            !other.is_away() && (instance.is_none() || other.group_instance_id() != instance.as_deref())
        };
        let others = self.describe(&name).map_or(0, |group| group.members().iter().filter(is_other).count());
        if others == 0 {
            self.note_replaced(joins, group);
        }
        match Member::join(self.broker(), joins, group, assignor) {
            Ok(member) => {
                assert_eq!(others, 0, "the others divide partitions in another way");
                member.end().0.close().unwrap();
            }
            Err(Error::InconsistentAssignor { .. }) => assert!(others > 0, "there is nobody to agree with"),
            Err(error) => panic!("{error}"),
        }
    }

    fn leave(&mut self, slot: usize, how: Leaving) {
        let Some(mut member) = self.members[slot].take() else { return };
        let owned = self.owned(&member);
        match how {
            Leaving::Drop => drop(member),
            Leaving::Panic => {
                let died = catch_unwind(AssertUnwindSafe(move || {
                    let _consumer = member;
                    resume_unwind(Box::new("a bug in the application"));
                }));
                assert!(died.is_err());
            }
            Leaving::Close => {
                let commits = member.commits_on_revocation() && !member.is_fenced;
                let (group, positions) = (member.group.clone(), std::mem::take(&mut member.positions));
                let (mut told, listens) = (member.told.clone(), member.joins.listens);
                let (consumer, events) = member.end();
                let held = consumer.assignment();
                let closed = consumer.close();
                for event in take(&events) {
                    let Event::Revoked(partitions) = event else { panic!("{event:?} in close") };
                    assert!(
                        partitions.iter().all(|partition| told.remove(partition)),
                        "{partitions:?} were not assigned"
                    );
                }
                self.expect_given_up(&group, &positions, commits.then_some(&owned), &held);
                crate::checks::check_closing(closed, listens, held.iter().all(|tp| owned.contains(tp)));
            }
        }
    }

    fn restart(&mut self, slot: usize, how: Leaving) {
        let Some(joins) = self.members[slot].as_ref().map(|member| member.joins.clone()) else { return };
        let group = self.members[slot].as_ref().unwrap().group.clone();
        for _ in 0..4 {
            self.poll_all();
        }
        let before = self.settled_assignments(&group);
        let generation = self.describe(&group).map(|group| group.generation());
        let is_static = joins.instance.is_some() && !self.members[slot].as_ref().unwrap().is_fenced;
        let topics = self.members[slot].as_ref().unwrap().topics.clone();
        self.leave(slot, how);
        self.check();
        // Others may look meanwhile.
        if before.is_some() {
            for other in 0..SLOTS {
                self.poll(other);
            }
        }
        let joins = Joins { disagrees: false, ..joins };
        self.join(&joins);
        let returns_as_it_was = is_static && joins.topics.names() == topics;
        if let Some(before) = before.filter(|_| returns_as_it_was) {
            assert_eq!(self.settled_assignments(&group), Some(before), "a static member has its place");
            assert_eq!(self.describe(&group).map(|group| group.generation()), generation, "without a round");
        }
    }

    fn send(&mut self, topic: usize, partition: u32, count: usize) {
        let name = TOPICS[topic];
        let Some(model) = self.topics.get_mut(name) else { return };
        let partition = partition % u32::try_from(model.ends.len()).unwrap();
        let producer = self.broker.as_ref().unwrap().producer();
        for _ in 0..count {
            let end = &mut model.ends[partition as usize];
            let value = value_of(model.incarnation, partition, *end);
            let sent = producer.send(ProducerRecord::to(name).partition(partition).value(&value)).unwrap();
            assert_eq!(sent.offset(), *end);
            *end += 1;
        }
    }

    fn create_topic(&mut self, topic: usize, partitions: u32) {
        let name = TOPICS[topic];
        if self.topics.contains_key(name) {
            return;
        }
        self.broker().create_topic(name, TopicConfig::new().partitions(partitions)).unwrap();
        self.incarnations += 1;
        let topic = TopicModel { incarnation: self.incarnations, ends: vec![0; partitions as usize] };
        self.topics.insert(name.to_owned(), topic);
    }

    fn add_partitions(&mut self, topic: usize, count: u32) {
        let name = TOPICS[topic];
        let Some(model) = self.topics.get_mut(name) else { return };
        let count = usize::try_from(count).unwrap().max(model.ends.len());
        model.ends.resize(count, 0);
        self.broker().admin().add_partitions(name, u32::try_from(count).unwrap().min(PARTITIONS_MAX)).unwrap();
    }

    fn delete_topic(&mut self, topic: usize) {
        let name = TOPICS[topic];
        if self.topics.remove(name).is_none() {
            return;
        }
        self.broker().admin().delete_topic(name).unwrap();
        self.groups.values_mut().for_each(|group| group.forget_topic(name));
        for member in self.members.iter_mut().flatten() {
            member.positions.retain(|partition, _| partition.topic() != name);
            member.stale_topics.insert(name.to_owned());
        }
    }

    fn reset(&mut self, group: usize, topic: Option<usize>, to: Place, is_dry: bool) {
        let name = group_name(group % self.assignors.len());
        let Some(topic) = topic.map(|topic| TOPICS[topic]) else { return };
        let Some(ends) = self.topics.get(topic).map(|topic| topic.ends.clone()) else { return };
        let wanted = |end: u64, before: Option<u64>| match to {
            Place::Earliest => Some(0),
            Place::Latest => Some(end),
            Place::Offset(at) => Some((end * at / 1000).min(end)),
            Place::ShiftBy(count) => Some(before?.saturating_add_signed(count).min(end)),
        };
        let to = match to {
            Place::Earliest => ResetTo::Earliest,
            Place::Latest => ResetTo::Latest,
            Place::Offset(_) => return self.reset_each(&name, topic, &ends, wanted),
            Place::ShiftBy(count) => ResetTo::ShiftBy(count),
        };
        let reset = self.broker().admin().reset_offsets(&name).topic(topic).to(to);
        let changes = if is_dry { reset.plan() } else { reset.execute() };
        let model = self.groups.get_mut(&name).unwrap();
        let expected: Option<Vec<_>> = (0..)
            .zip(&ends)
            .map(|(number, &end)| {
                let partition = TopicPartition::new(topic, number);
                let before = model.committed.get(&partition).copied();
                Some((before, wanted(end, before)?, partition))
            })
            .collect();
        match (changes, expected) {
            (Ok(changes), Some(expected)) => {
                let found = changes.iter().map(|c| (c.before(), c.after(), c.topic_partition().clone()));
                assert_eq!(found.collect::<Vec<_>>(), expected);
                if !is_dry {
                    for (_, after, partition) in &expected {
                        model.set(partition, *after);
                    }
                }
            }
            (Err(Error::NoCommittedOffset { .. }), None) => {}
            (found, expected) => panic!("{found:?}, expected {expected:?}"),
        }
    }

    /// Each partition to its own offset.
    fn reset_each(&mut self, group: &str, topic: &str, ends: &[u64], wanted: impl Fn(u64, Option<u64>) -> Option<u64>) {
        for (number, &end) in (0..).zip(ends) {
            let (partition, offset) = (TopicPartition::new(topic, number), wanted(end, None).unwrap());
            let reset = self.broker().admin().reset_offsets(group).partition(partition.clone());
            reset.to(ResetTo::Offset(offset)).execute().unwrap();
            self.groups.get_mut(group).unwrap().set(&partition, offset);
        }
    }

    fn remove_instance(&mut self, group: usize, instance: u8) {
        let (group, instance) = (group_name(group % self.assignors.len()), format!("instance-{instance}"));
        let is_it = |member: &ottla::MemberDescription| member.group_instance_id() == Some(&instance);
        let expected = self.describe(&group).map(|group| group.members().iter().any(is_it));
        match (self.broker().admin().remove_group_instance(&group, &instance), expected) {
            (Ok(found), Some(expected)) => assert_eq!(found, expected),
            (Err(Error::UnknownGroup { .. }), None) => {}
            (found, expected) => panic!("{found:?}, expected {expected:?}"),
        }
    }

    fn delete_group(&mut self, group: usize) {
        let group = group_name(group % self.assignors.len());
        let member_count = self.describe(&group).map(|group| group.members().len());
        match (self.broker().admin().delete_group(&group), member_count) {
            (Ok(()), Some(0)) => self.groups.get_mut(&group).unwrap().committed.clear(),
            (Err(Error::GroupNotEmpty { member_count: found, .. }), Some(count @ 1..)) => assert_eq!(found, count),
            (Err(Error::UnknownGroup { .. }), None) => {}
            (found, expected) => panic!("{found:?}, expected {expected:?}"),
        }
    }

    fn reopen(&mut self, is_clean: bool, seed: u64) {
        if is_clean {
            let how = if self.mood == Mood::Calm { Leaving::Close } else { Leaving::Drop };
            (0..SLOTS).for_each(|slot| self.leave(slot, how));
            self.broker.take().unwrap().close().unwrap();
        } else {
            let after = self.disk.kill(seed);
            // What the old process does from here on happens on the old machine.
            self.members = Default::default();
            self.broker = None;
            self.disk = after;
        }
        self.open();
        // Only rounds that end a rebalance are written down.
        self.groups.values().for_each(|group| group.generation.set(None));
        let report = self.broker().recovery_report();
        assert!(report.damage().next().is_none() && report.was_clean_shutdown() == is_clean, "{report:?}");
    }

    fn subscribe(&mut self, slot: usize, topics: &Topics) {
        let Some(mut member) = self.members[slot].take() else { return };
        let owned = self.owned(&member);
        let held = member.consumer.assignment();
        let is_overtaken = self.is_overtaken(&member);
        let subscribed = match topics {
            Topics::Names(_) => member.consumer.subscribe(topics.names()),
            Topics::Pattern => member.consumer.subscribe_pattern("orders*"),
        };
        if member.is_fenced || member.is_replaced || is_overtaken {
            assert!(matches!(subscribed, Err(Error::Fenced { .. })), "{subscribed:?}");
            member.is_fenced = true;
            member.positions.clear();
            member.take_events();
        } else {
            member.topics = topics.names();
            let model = &self.groups[&member.group];
            if model.committed.is_empty() {
                // If it was alone, the group was forgotten between leaving and joining.
                model.generation.set(None);
            }
            let positions = std::mem::take(&mut member.positions);
            let commits = member.commits_on_revocation();
            self.expect_given_up(&member.group, &positions, commits.then_some(&owned), &held);
            crate::checks::check_closing(subscribed, member.joins.listens, held.iter().all(|tp| owned.contains(tp)));
            let events = member.take_events();
            assert!(events.iter().all(|event| matches!(event, Event::Revoked(_))), "{events:?}");
        }
        self.members[slot] = Some(member);
    }

    fn commit_offsets(&mut self, slot: usize, topic: usize, partition: u32, at: u64) {
        let Some(mut member) = self.members[slot].take() else { return };
        let partition = TopicPartition::new(TOPICS[topic], partition);
        let owned = self.owned(&member);
        let end = self.end(&partition).unwrap_or(0);
        let offset = end * at / 1000;
        let committed = member.consumer.commit_offsets(&[(partition.clone(), CommittedOffset::new(offset))]);
        match committed {
            Ok(()) => {
                assert!(owned.contains(&partition), "{partition} belongs to another one");
                assert!(offset <= end, "{offset} is beyond the end {end}");
                self.groups.get_mut(&member.group).unwrap().set(&partition, offset);
            }
            Err(error) => {
                let is_possible = owned.contains(&partition) && offset <= end && self.end(&partition).is_some();
                assert!(!is_possible || !self.is_current(&member, &partition), "{partition} at {offset}: {error}");
                crate::checks::check_refusal(&error, &member);
            }
        }
        self.members[slot] = Some(member);
    }
}

pub(crate) fn value_of(incarnation: u64, partition: u32, offset: u64) -> String {
    format!("{incarnation} {partition} {offset}")
}
