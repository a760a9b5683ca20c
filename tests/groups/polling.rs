//! Polls and commits of one member, and what they must have done.

use std::collections::{BTreeMap, BTreeSet};

use ottla::{Error, OwnedRecord, Result, TopicPartition};
use std::time::Duration;

use crate::calls::SLOTS;
use crate::checks::{check_listener_error, check_refusal};
use crate::member::{Event, Member};
use crate::run::{Run, value_of};

/// A member before a poll.
struct Before {
    owned: BTreeSet<TopicPartition>,
    held: Vec<TopicPartition>,
    positions: BTreeMap<TopicPartition, u64>,
    stale_topics: BTreeSet<String>,
}

impl Run {
    /// Polls everybody once; how many records there were.
    pub(crate) fn poll_all(&mut self) -> usize {
        (0..SLOTS).map(|slot| self.poll(slot)).sum()
    }

    /// Polls without waiting; how many records there were.
    pub(crate) fn poll(&mut self, slot: usize) -> usize {
        self.hand_out(slot, |member| {
            let polled = member.consumer.poll(Duration::ZERO)?;
            let records: Vec<_> = polled.iter().map(|record| record.detach()).collect();
            let is_complete = records.len() < member.joins.max_poll_records as usize;
            if !records.is_empty() {
                member.last_poll = polled;
            }
            Ok((records, is_complete))
        })
    }

    /// Takes records one by one, until there is none or there were `count`.
    pub(crate) fn take_each(&mut self, slot: usize, count: usize) {
        for n in 0..count {
            let found = self.hand_out(slot, |member| {
                let consumer = &mut member.consumer;
                let next = match n % 2 {
                    0 => consumer.next_record(Duration::ZERO)?,
                    _ => consumer.iter(Duration::ZERO).next().transpose()?,
                };
                let is_complete = next.is_none();
                Ok((next.into_iter().collect(), is_complete))
            });
            if found == 0 {
                break;
            }
        }
    }

    /// Has a consumer hand out records by `take`, which says with them whether these were all; how many there were.
    fn hand_out(&mut self, slot: usize, take: impl FnOnce(&mut Member) -> Result<(Vec<OwnedRecord>, bool)>) -> usize {
        let Some(mut member) = self.members[slot].take() else { return 0 };
        let before = Before {
            owned: self.owned(&member),
            held: member.consumer.assignment(),
            positions: std::mem::take(&mut member.positions),
            stale_topics: std::mem::take(&mut member.stale_topics),
        };
        member.seen_partitions = self.partitions().into_iter().collect();
        let may_be_fenced = member.is_fenced || member.is_replaced || self.is_overtaken(&member);
        let taken = take(&mut member);
        let events = member.take_events();
        self.check_commits_of_poll(&member, &before, &events);
        let (records, is_complete) = match taken {
            Ok(taken) => taken,
            Err(error) => {
                assert!(may_be_fenced || !matches!(error, Error::Fenced { .. }), "nobody has its place: {member:?}");
                check_poll_error(&error, &mut member);
                (Vec::new(), false)
            }
        };
        if !member.is_fenced {
            self.check_told(&member, &before, &events);
        }
        self.take_records(&mut member, &before, &events, &records);
        for partition in member.consumer.assignment() {
            let (position, end) = (member.consumer.position(&partition), self.end(&partition));
            assert!(!is_complete || position == end, "{partition}: the poll stopped at {position:?} before {end:?}");
        }
        self.members[slot] = Some(member);
        records.len()
    }

    /// A poll commits nothing but what was read before, and that if it was given up by one who commits.
    fn check_commits_of_poll(&mut self, member: &Member, before: &Before, events: &[Event]) {
        let may_commit = member.commits_on_revocation();
        let mine = before.positions.iter().filter(|(partition, _)| may_commit && before.owned.contains(partition));
        let mine: BTreeMap<_, _> = mine.map(|(partition, &position)| (partition.clone(), position)).collect();
        self.take_committed(&member.group, &mine);
        let held = member.consumer.assignment();
        let given_up = |partition: &TopicPartition| {
            if !member.listens() {
                return !held.contains(partition);
            }
            let is_in = |event: &Event| matches!(event, Event::Revoked(all) if all.contains(partition));
            events.iter().any(is_in)
        };
        for (partition, position) in mine.iter().filter(|(partition, _)| given_up(partition)) {
            let committed = self.groups[&member.group].committed.get(partition);
            assert_eq!(committed, Some(position), "{partition} was given up without a commit");
        }
    }

    /// The listener knows what the member has; members of a cooperative group hear nothing of what they keep.
    fn check_told(&self, member: &Member, before: &Before, events: &[Event]) {
        if !member.listens() {
            return;
        }
        let held = member.consumer.assignment();
        let present = |partition: &&TopicPartition| self.end(partition).is_some();
        let told: BTreeSet<_> = member.told.iter().filter(present).collect();
        assert_eq!(told, held.iter().filter(present).collect::<BTreeSet<_>>(), "after {events:?}");
        // Where members read different topics, the round after that which gave something up may find a better way.
        let mut group = self.members.iter().flatten().filter(|other| other.group == member.group);
        let all_alike = group.all(|other| other.topics == member.topics);
        let was_lost = events.iter().any(|event| matches!(event, Event::Lost(_)));
        if !member.is_cooperative || !all_alike || was_lost || !before.stale_topics.is_empty() {
            return;
        }
        for event in events {
            let (Event::Assigned(partitions) | Event::Revoked(partitions) | Event::Lost(partitions)) = event;
            let kept = |partition: &&TopicPartition| {
                before.positions.contains_key(partition) && before.held.contains(partition) && held.contains(partition)
            };
            assert_eq!(partitions.iter().find(kept), None, "it was kept: {events:?}");
        }
    }

    /// Records begin where the member was, or where the group is, and none is left out.
    fn take_records(&mut self, member: &mut Member, before: &Before, events: &[Event], records: &[OwnedRecord]) {
        let gone = |partition: &TopicPartition| {
            let is_in = |event: &Event| match event {
                Event::Revoked(all) | Event::Lost(all) => all.contains(partition),
                Event::Assigned(_) => false,
            };
            events.iter().any(is_in)
        };
        let mut starts = BTreeMap::new();
        let model = self.groups.get_mut(&member.group).unwrap();
        for partition in member.consumer.assignment() {
            let committed = model.start(&partition);
            let position = before.positions.get(&partition).copied().filter(|_| !gone(&partition));
            // Without a listener it is not known whether it was gone for a moment.
            let other = if member.listens() { None } else { Some(committed) };
            starts.insert(partition, (position.unwrap_or(committed), other, position.is_some()));
        }
        let mut positions = BTreeMap::new();
        for record in records {
            let (partition, offset) = (record.topic_partition(), record.offset());
            let topic = &self.topics[partition.topic()];
            let value = value_of(topic.incarnation, partition.partition(), offset);
            assert_eq!(record.value(), Some(value.as_bytes()), "{partition} at {offset}");
            let (start, other, _) = starts[partition];
            let (start, other) = positions.get(partition).map_or((start, other), |&position| (position, None));
            assert!(offset == start || Some(offset) == other, "{partition}: {offset}, not {start} or {other:?}");
            positions.insert(partition.clone(), offset + 1);
            model.deliver(partition, offset);
        }
        for (partition, (start, other, was_known)) in starts {
            let found = member.consumer.position(&partition);
            match (found, positions.get(&partition).copied()) {
                (found, Some(position)) => assert_eq!(found, Some(position), "{partition}"),
                (None, None) => assert!(!was_known || !member.listens(), "{partition}: the position {start} was lost"),
                (Some(found), None) => {
                    assert!(found == start || Some(found) == other, "{partition}: {found}, not {start} or {other:?}");
                    positions.insert(partition, found);
                }
            }
        }
        member.positions = positions;
    }

    pub(crate) fn commit(&mut self, slot: usize) {
        let Some(mut member) = self.members[slot].take() else { return };
        let owned = self.owned(&member);
        match member.consumer.commit() {
            Ok(()) => {
                let model = &self.groups[&member.group];
                let is_new = |(tp, position): &(&TopicPartition, &u64)| model.committed.get(tp) != Some(position);
                for (partition, _) in member.positions.iter().filter(is_new) {
                    assert!(owned.contains(partition), "{partition} belongs to another one");
                }
                self.take_committed(&member.group, &member.positions);
                for (partition, position) in &member.positions {
                    assert_eq!(self.groups[&member.group].committed.get(partition), Some(position), "{partition}");
                }
            }
            Err(error) => {
                let is_owner = member.positions.keys().all(|partition| owned.contains(partition));
                assert!(!is_owner || owned.is_empty(), "{member:?} is the owner: {error}");
                check_refusal(&error, &member);
            }
        }
        self.members[slot] = Some(member);
    }

    pub(crate) fn commit_through(&mut self, slot: usize, at: usize) {
        let Some(mut member) = self.members[slot].take() else { return };
        let owned = self.owned(&member);
        let index = member.last_poll.len() * at / 1000;
        if let Some(record) = member.last_poll.iter().nth(index) {
            let (partition, offset) = (record.topic_partition().clone(), record.offset() + 1);
            match member.consumer.commit_through(&record) {
                Ok(()) => {
                    assert!(owned.contains(&partition), "{partition} belongs to another one");
                    self.take_committed(&member.group, &BTreeMap::from([(partition.clone(), offset)]));
                    assert_eq!(self.groups[&member.group].committed.get(&partition), Some(&offset));
                }
                Err(error) => {
                    let is_possible = owned.contains(&partition) && self.is_current(&member, &partition);
                    assert!(!is_possible || self.end(&partition) < Some(offset), "{partition} at {offset}: {error}");
                    check_refusal(&error, &member);
                }
            }
        }
        self.members[slot] = Some(member);
    }

    /// Whether a member has seen that a topic was deleted.
    pub(crate) fn is_current(&self, member: &Member, partition: &TopicPartition) -> bool {
        self.end(partition).is_some() && !member.stale_topics.contains(partition.topic())
    }

    /// A member that owned `owned` (or did not commit) has given up all that it held.
    pub(crate) fn expect_given_up(
        &mut self,
        group: &str,
        positions: &BTreeMap<TopicPartition, u64>,
        owned: Option<&BTreeSet<TopicPartition>>,
        held: &[TopicPartition],
    ) {
        let mut committed = BTreeMap::new();
        if owned.is_some_and(|owned| held.iter().all(|partition| owned.contains(partition))) {
            committed.clone_from(positions);
        }
        self.take_committed(group, &committed);
        for (partition, position) in &committed {
            assert_eq!(self.groups[group].committed.get(partition), Some(position), "{partition} was not committed");
        }
    }
}

fn check_poll_error(error: &Error, member: &mut Member) {
    match error {
        Error::Fenced { .. } => {
            assert!(member.joins.instance.is_some(), "only static members are fenced");
            member.is_fenced = true;
        }
        Error::PollTooLate { .. } => assert!(member.joins.max_poll_interval.is_some()),
        error => check_listener_error(error, member.joins.listens),
    }
}
