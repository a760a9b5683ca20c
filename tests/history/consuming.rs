//! A thread that is a member of a group, again and again.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use ottla::{
    Consumer, ConsumerConfig, ConsumerRecords, CooperativeStickyAssignor, Error, OwnedRecord, RangeAssignor, Rebalance,
    RoundRobinAssignor, StickyAssignor, TopicPartition, TruncationReset,
};

use crate::events::{Commit, Member, Moment, Step};
use crate::plan::{Commits, GROUPS, LOGS, TOPICS, log_of};
use crate::producing::id_in;
use crate::random::Random;
use crate::world::World;

/// Polls of a life, at least: so that every thread takes part however fast the others are.
const POLLS_MIN: u64 = 20;

pub(crate) fn log_of_partition(partition: &TopicPartition) -> usize {
    let topic = TOPICS.iter().position(|topic| *topic == partition.topic()).unwrap();
    log_of(topic, partition.partition())
}

struct Reader<'w> {
    world: &'w World,
    commits: Commits,
    /// What the listener was told and is not yet in the history.
    told: Arc<Mutex<Vec<Step>>>,
    member: Member,
    /// Where the last delivery of each log ended; 0 if there was none.
    next: [u64; LOGS],
}

/// One life after the other, in one group, until nothing is sent any more.
pub(crate) fn consume(world: &World, number: usize) -> Vec<Member> {
    let group = number % world.plan.group_count();
    let mut random = world.plan.random(world.life, 100 + number);
    let mut members = Vec::new();
    let mut polls = 0;
    while !world.is_over() && (polls < POLLS_MIN || world.producers_left.load(Ordering::SeqCst) > 0) {
        let count = 3 + random.below(40);
        polls += count;
        members.push(live(world, group, &mut random, count));
    }
    members
}

/// Reads everything there is, alone in the group.
pub(crate) fn drain(world: &World, group: usize) -> Member {
    let mut random = world.plan.random(world.life, 200 + group);
    let mut reader = Reader::new(world, group);
    let mut consumer = reader.join(&mut random).unwrap();
    let logs = || TOPICS.iter().flat_map(|topic| world.broker.topic(topic).unwrap().partitions());
    let is_at_end =
        |consumer: &Consumer| logs().all(|log| consumer.position(log.topic_partition()) == Some(log.log_end_offset()));
    let most = logs().map(|log| log.log_end_offset()).sum::<u64>() + 1000;
    let mut polls = 0;
    while !is_at_end(&consumer) {
        reader.poll(&mut consumer);
        polls += 1;
        assert!(polls < most, "{polls} polls did not come to the end: {consumer:?}");
    }
    reader.commit(&mut consumer);
    reader.revoke_all();
    consumer.close().unwrap();
    reader.member
}

fn live(world: &World, group: usize, random: &mut Random, polls: u64) -> Member {
    let mut reader = Reader::new(world, group);
    let Some(mut consumer) = reader.join(random) else { return reader.member };
    for _ in 0..polls {
        let goes_on = if random.chance(20) {
            // Whoever takes another record before it commits may lose the partition in between, and somebody gets both again.
            let count = if reader.commits == Commits::Always { 1 } else { 1 + random.below(20) };
            reader.take_each(&mut consumer, count)
        } else {
            reader.poll(&mut consumer)
        };
        if !goes_on {
            break;
        }
        let commits = match reader.commits {
            Commits::Always => true,
            Commits::Sometimes => random.chance(30),
            Commits::Auto => false,
        };
        if commits {
            reader.commit(&mut consumer);
        }
    }
    reader.leave(consumer, random);
    reader.member
}

impl<'w> Reader<'w> {
    fn new(world: &'w World, group: usize) -> Reader<'w> {
        let member = Member { group, ..Member::default() };
        let commits = world.plan.commits[group];
        Reader { world, commits, told: Arc::default(), member, next: [0; LOGS] }
    }

    fn join(&mut self, random: &mut Random) -> Option<Consumer> {
        let (told, clock) = (Arc::clone(&self.told), Arc::clone(&self.world.clock));
        let listener = move |_: &mut Consumer, event: Rebalance<'_>| {
            let (partitions, is_assigned) = match event {
                Rebalance::Assigned(partitions) => (partitions, true),
                Rebalance::Revoked(partitions) | Rebalance::Lost(partitions) => (partitions, false),
                _ => return Ok(()),
            };
            let at = clock.fetch_add(1, Ordering::SeqCst);
            let step = |partition| match (log_of_partition(partition), is_assigned) {
                (partition, true) => Step::Assigned { partition, at },
                (partition, false) => Step::Revoked { partition, at },
            };
            told.lock().unwrap().extend(partitions.iter().map(step));
            Ok(())
        };
        let most = u32::try_from(1 + random.below(4 * self.world.plan.piece_max)).unwrap();
        let config = ConsumerConfig::new(GROUPS[self.member.group])
            .topics(TOPICS)
            .max_poll_records(most.max(10))
            .truncation_reset(TruncationReset::Continue)
            .rebalance_listener(listener);
        // The members of a group must agree, in all of its lives.
        let config = match (self.world.plan.seed + self.member.group as u64) % 4 {
            0 => config.assignor(RangeAssignor),
            1 => config.assignor(RoundRobinAssignor),
            2 => config.assignor(StickyAssignor),
            _ => config.assignor(CooperativeStickyAssignor),
        };
        let config = match self.commits {
            Commits::Auto => config.auto_commit_interval(Duration::from_millis(2)),
            Commits::Always | Commits::Sometimes => config,
        };
        match self.world.broker.consumer_with(config) {
            Ok(consumer) => Some(consumer),
            Err(error) => {
                self.world.failed("join", &error);
                None
            }
        }
    }

    /// Whether it makes sense to go on.
    fn poll(&mut self, consumer: &mut Consumer) -> bool {
        self.note_auto_commit(consumer);
        let asked = self.world.now();
        let polled = consumer.poll(self.world.poll_timeout());
        self.take_told();
        match polled {
            Ok(records) => {
                self.take(&records, asked);
                if records.is_empty() {
                    thread::yield_now();
                }
                true
            }
            Err(error) => {
                self.world.failed("poll", &error);
                !error.is_fatal()
            }
        }
    }

    /// Takes at most `count` records one by one, and leaves what was read beyond them; whether it makes sense to go on.
    fn take_each(&mut self, consumer: &mut Consumer, count: u64) -> bool {
        for _ in 0..count {
            self.note_auto_commit(consumer);
            let next = consumer.next_record(self.world.poll_timeout());
            self.take_told();
            match next {
                Ok(Some(record)) => self.take_one(&record),
                Ok(None) => break,
                Err(error) => {
                    self.world.failed("take a record", &error);
                    return !error.is_fatal();
                }
            }
        }
        true
    }

    /// A poll, and a close, may commit what was delivered before.
    fn note_auto_commit(&mut self, consumer: &Consumer) {
        if self.commits == Commits::Auto {
            let now = self.world.now();
            self.note_commit(&positions(consumer), now, now, false);
        }
    }

    fn note_commit(&mut self, positions: &[(usize, u64)], began: u64, ended: u64, is_acked: bool) {
        for &(partition, offset) in positions {
            self.member.steps.push(Step::Committed(Commit { partition, offset, began, ended, is_acked }));
        }
    }

    fn commit(&mut self, consumer: &mut Consumer) {
        let positions = positions(consumer);
        let began = self.world.now();
        let committed = consumer.commit();
        let ended = self.world.now();
        match committed {
            Ok(()) => self.note_commit(&positions, began, ended, true),
            // Nothing was committed.
            Err(Error::RebalanceInProgress { .. } | Error::CommitRefused { .. }) => {}
            Err(error) => {
                self.world.failed("commit", &error);
                self.note_commit(&positions, began, ended, false);
            }
        }
    }

    /// What the listener heard in the call that has just returned, before anything was delivered in it.
    fn take_told(&mut self) {
        self.member.steps.append(&mut self.told.lock().unwrap());
    }

    fn take(&mut self, records: &ConsumerRecords, asked: Moment) {
        let at = self.world.now();
        let first = self.member.steps.len();
        let mut row: Option<(usize, &TopicPartition, u64, usize)> = None;
        for record in records {
            let Some(id) = id_in(record.key(), record.value(), |name| record.header(name)?.value()) else {
                self.world.problem(format!("a record that nobody sent: {record:?}"));
                continue;
            };
            let place = self.member.ids.len();
            match &mut row {
                Some((_, partition, next, _))
                    if *next == record.offset() && std::ptr::eq(*partition, record.topic_partition()) =>
                {
                    *next += 1;
                }
                row => {
                    let partition = record.topic_partition();
                    let begun = (log_of_partition(partition), partition, record.offset() + 1, place);
                    if let Some((partition, _, next, from)) = row.replace(begun) {
                        self.member.steps.push(delivered(partition, next, from..place, asked, at));
                    }
                }
            }
            self.member.ids.push(id);
        }
        if let Some((partition, _, next, from)) = row {
            self.member.steps.push(delivered(partition, next, from..self.member.ids.len(), asked, at));
        }
        self.world.note_delivered(self.member.group, records.len() as u64);
        self.note_passed(first);
    }

    fn take_one(&mut self, record: &OwnedRecord) {
        let Some(id) = id_in(record.key(), record.value(), |name| record.header(name)?.value()) else {
            return self.world.problem(format!("a record that nobody sent: {record:?}"));
        };
        let (log, place) = (log_of_partition(record.topic_partition()), self.member.ids.len());
        let first = self.member.steps.len();
        self.member.ids.push(id);
        // It may have been read with one before.
        self.member.steps.push(delivered(log, record.offset() + 1, place..place + 1, 0, self.world.now()));
        self.world.note_delivered(self.member.group, 1);
        self.note_passed(first);
    }

    /// Notes where the deliveries ended that are told of from step `first` on. Where one did not begin where the one before had ended,
    /// its log's start is looked at: it may have gone on.
    fn note_passed(&mut self, first: usize) {
        let mut jumped = [false; LOGS];
        for step in &self.member.steps[first..] {
            let Step::Delivered { partition, offset, ids, .. } = step else { continue };
            let next = offset + ids.len() as u64;
            self.world.note_passed(self.member.group, *partition, *offset, next);
            jumped[*partition] |= self.next[*partition] != *offset;
            self.next[*partition] = next;
        }
        (0..LOGS).filter(|log| jumped[*log]).for_each(|log| self.world.look(log));
    }

    /// Before whatever makes others have the partitions: all, as one whose log was closed meanwhile is not among those that the
    /// consumer reads.
    fn revoke_all(&mut self) {
        let at = self.world.now();
        self.member.steps.extend((0..LOGS).map(|partition| Step::Revoked { partition, at }));
    }

    fn leave(&mut self, consumer: Consumer, random: &mut Random) {
        let kind = if self.world.plan.is_calm { 0 } else { random.below(3) };
        if kind == 0 {
            self.note_auto_commit(&consumer);
        }
        self.revoke_all();
        match kind {
            0 => {
                if let Err(error) = consumer.close() {
                    self.world.failed("leave", &error);
                }
            }
            1 => drop(consumer),
            _ => {
                // Without the message of the panic hook. The consumer is dropped while its thread panics.
                let died = catch_unwind(AssertUnwindSafe(|| {
                    let _consumer = consumer;
                    resume_unwind(Box::new("a bug in the application"));
                }));
                assert!(died.is_err());
            }
        }
    }
}

fn delivered(partition: usize, next: u64, ids: std::ops::Range<usize>, asked: Moment, at: Moment) -> Step {
    Step::Delivered { partition, offset: next - ids.len() as u64, ids, asked, at }
}

/// Where the consumer stands in what it has read from.
fn positions(consumer: &Consumer) -> Vec<(usize, u64)> {
    let position = |partition: TopicPartition| Some((log_of_partition(&partition), consumer.position(&partition)?));
    consumer.assignment().into_iter().filter_map(position).collect()
}
