//! The state of one group: who is a member, who owns what, and what was committed. No locks, no disk, no clock here.
//!
//! ```text
//!            join, leave, other topics                     with an eager assignor: everyone has given up everything
//! Stable ──────────────────────────────▶ GivingUp ─────────────────────────────────────────────────────────────▶ Due
//!    ▲  └──────────────────────────────────────────────────────────────────────────────────────────────────────▶ │
//!    │                                   with a cooperative one                                                   │
//!    └──────────────────────── a member has run the assignor: the next generation ◀───────────────────────────────┘
//! ```
//! A member learns in its polls what it is to do, one [`Step`] after the other. A partition belongs to one member from the
//! step that gives it to it until it releases it or is put out, and only that member may commit it: so a partition never has
//! two owners, whatever the assignor says and however slow a member is.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::Offsets;
use super::assignor::{Assignment, AssignmentRequest, Assignor, GroupMember, RebalanceProtocol};
use super::committed_offset::CommittedOffset;
use super::late_poll::{LatePoll, LatePollHook};
use super::member::{Joining, Member, Presence, Removal, Seat, Subscription};
use crate::error::{Error, Result};
use crate::topic_partition::TopicPartition;

/// One group.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) name: Arc<str>,
    /// Rises with every round, and is never used twice.
    pub(super) generation: i32,
    /// The members' way of dividing the partitions; `None` while there are none.
    pub(super) assignor: Option<ChosenAssignor>,
    pub(super) members: BTreeMap<String, Member>,
    pub(super) phase: Phase,
    /// Rises with everything that a round depends on.
    inputs: u64,
    /// The member that is running the assignor now, and for which inputs.
    running: Option<(String, u64)>,
    pub(super) committed: HashMap<TopicPartition, CommittedOffset>,
    /// Members of before the process was started anew are not away but gone: what they had is to be divided.
    pub(super) lacks_members: bool,
    /// Who is in it has changed since that was last written down.
    pub(super) is_changed: bool,
    /// It has neither members nor offsets, and is being forgotten.
    pub(super) is_dead: bool,
    news: News,
}

/// What members agree on. Not the assignor itself: that is the application's and may hold on to anything, the broker too, while
/// a group lasts as long as the broker. Each member brings its own.
#[derive(Debug, Clone)]
pub(super) struct ChosenAssignor {
    pub(super) name: String,
    is_eager: bool,
}

impl ChosenAssignor {
    /// Asks an assignor for what it is.
    pub(super) fn new(assignor: &dyn Assignor) -> ChosenAssignor {
        let is_eager = assignor.protocol() == RebalanceProtocol::Eager;
        ChosenAssignor { name: assignor.name().to_owned(), is_eager }
    }

    /// The one that members of before agreed on. Of those nobody is left who would have to give anything up.
    pub(super) fn of_before(name: &str) -> ChosenAssignor {
        ChosenAssignor { name: name.to_owned(), is_eager: false }
    }
}

/// How far a rebalance is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// The newest round stands; members may still be on their way to what it gave them.
    Stable,
    /// Members are giving up what they own, before an eager assignor is run.
    GivingUp,
    /// The next member that polls runs the assignor.
    Due,
}

/// What a member is to do next.
#[derive(Debug)]
pub(crate) enum Step {
    /// Nothing, until it is called or this time of the monotonic clock has come.
    Nothing { until: Option<Duration> },
    /// Give these up, and then say so with `release`.
    Revoke(Vec<TopicPartition>),
    /// Read these: they are its own now.
    Assign(Vec<TopicPartition>),
    /// Run the assignor and hand in what comes out.
    RunAssignor(Round),
    /// Nothing is its own any more: it is no longer a member.
    Lost(Removal),
}

/// A run of the assignor.
#[derive(Debug)]
pub(crate) struct Round {
    /// The member that runs it.
    member_id: String,
    inputs: u64,
    assignor_name: String,
    pub(super) request: AssignmentRequest,
}

/// What is to be told once the group's lock is released, since it ends in the application's code.
#[derive(Debug, Default)]
pub(super) struct News {
    called: Vec<Arc<Seat>>,
    late: Vec<(LatePollHook, LatePoll)>,
}

impl News {
    pub(super) fn tell(self) {
        for seat in self.called {
            seat.waiter.wake();
        }
        for (LatePollHook(hook), late) in self.late {
            // It was reported by the panic hook, and is no business of the member that happens to be here.
            let _ = catch_unwind(AssertUnwindSafe(|| hook(&late)));
        }
    }
}

impl Group {
    pub(super) fn new(name: &str) -> Group {
        Group {
            name: name.into(),
            generation: 0,
            assignor: None,
            members: BTreeMap::new(),
            phase: Phase::Stable,
            inputs: 0,
            running: None,
            committed: HashMap::new(),
            lacks_members: false,
            is_changed: false,
            is_dead: false,
            news: News::default(),
        }
    }

    pub(super) fn take_news(&mut self) -> News {
        std::mem::take(&mut self.news)
    }

    /// Takes a member in. A static one that comes back has its old place, without a round; if its place is taken by a live
    /// consumer, that one is put out.
    pub(super) fn join(&mut self, joining: &Joining, assignor: ChosenAssignor, seat: &Arc<Seat>) -> Result<()> {
        let is_same = |member: &Member| joining.instance_id.is_some() && member.instance_id == joining.instance_id;
        let former = self.members.iter().find(|(_, member)| is_same(member)).map(|(id, _)| id.clone());
        self.check_assignor(former.as_deref(), &assignor)?;
        let former = former.and_then(|id| self.take_member(&id));
        let mut member = Member::new(joining, Presence::Here(Arc::clone(seat)));
        let has_place = former.is_some_and(|former| self.take_place(&mut member, former));
        let is_other = self.assignor.as_ref().is_some_and(|present| present.name != assignor.name);
        self.assignor = Some(assignor);
        self.members.insert(joining.member_id.clone(), member);
        let lacks_members = std::mem::take(&mut self.lacks_members);
        if !has_place || is_other || lacks_members {
            self.request_round();
        } else {
            self.end_giving_up();
            self.call_all();
        }
        Ok(())
    }

    /// Gives a member what the one before it had. Returns whether that may stay so.
    fn take_place(&mut self, member: &mut Member, former: Member) -> bool {
        if let Presence::Here(replaced) = &former.presence {
            self.put_out(replaced, Removal::Replaced);
        }
        let has_same_topics = former.subscription == member.subscription;
        let subscription = &member.subscription;
        let still_read = |tp: &TopicPartition| subscription.contains_key(tp.topic());
        member.target = former.target.into_iter().filter(still_read).collect();
        member.previous = former.previous;
        member.generation = former.generation;
        // In the phase of giving up there is nobody left who would have to.
        if self.phase != Phase::GivingUp {
            member.owned = former.owned.into_iter().filter(still_read).collect();
            member.is_resumed = true;
        }
        has_same_topics
    }

    /// The members that are here agree on the assignor; whoever takes another one's place need not agree with that one.
    fn check_assignor(&self, former: Option<&str>, assignor: &ChosenAssignor) -> Result<()> {
        let mut others = self.members.iter().filter(|(id, member)| !member.is_away() && Some(id.as_str()) != former);
        match &self.assignor {
            Some(present) if present.name != assignor.name && others.next().is_some() => {
                Err(Error::InconsistentAssignor {
                    group: self.name.to_string(),
                    expected: present.name.clone(),
                    given: assignor.name.clone(),
                })
            }
            _ => Ok(()),
        }
    }

    /// Lets a member go whose consumer is gone; a static one's place is kept for its session timeout.
    pub(super) fn leave(&mut self, member_id: &str, now: Duration) {
        let Some(member) = self.members.get_mut(member_id) else { return };
        if member.instance_id.is_some() && !member.session_timeout.is_zero() {
            member.presence = Presence::AwayUntil(now.saturating_add(member.session_timeout));
            // The application's, and it may hold on to anything, the broker too.
            member.late_poll_hook = None;
            self.settle_away_members();
            // The others are to watch the time.
            self.call_all();
        } else {
            self.remove(member_id);
        }
    }

    fn take_member(&mut self, member_id: &str) -> Option<Member> {
        // Its run of the assignor counts for nothing.
        let _ = self.running.take_if(|(runner, _)| runner == member_id);
        self.members.remove(member_id)
    }

    /// Takes a member out for good, with all that it owned.
    fn remove(&mut self, member_id: &str) {
        if self.take_member(member_id).is_none() {
            return;
        }
        if self.members.is_empty() {
            self.begin_without_members();
        } else {
            self.request_round();
        }
    }

    fn begin_without_members(&mut self) {
        self.assignor = None;
        self.running = None;
        self.phase = Phase::Stable;
        self.inputs += 1;
        self.generation = self.next_generation();
        self.is_changed = true;
    }

    /// Puts every member out, and begins a generation without members.
    pub(super) fn remove_all(&mut self, removal: Removal) {
        for member in std::mem::take(&mut self.members).into_values() {
            if let Presence::Here(seat) = &member.presence {
                self.put_out(seat, removal);
            }
        }
        self.begin_without_members();
    }

    /// Removes a static member; whether there was one.
    pub(super) fn remove_instance(&mut self, instance_id: &str) -> bool {
        let is_it = |member: &Member| member.instance_id.as_deref() == Some(instance_id);
        let Some(member_id) = self.members.iter().find(|(_, m)| is_it(m)).map(|(id, _)| id.clone()) else {
            return false;
        };
        if let Some(Presence::Here(seat)) = self.members.get(&member_id).map(|member| &member.presence) {
            let seat = Arc::clone(seat);
            self.put_out(&seat, Removal::Removed);
        }
        self.remove(&member_id);
        true
    }

    fn put_out(&mut self, seat: &Arc<Seat>, removal: Removal) {
        seat.remove(removal);
        seat.is_called.store(true, Ordering::Release);
        self.news.called.push(Arc::clone(seat));
    }

    pub(super) fn set_subscription(&mut self, member_id: &str, subscription: &Subscription) {
        if let Some(member) = self.members.get_mut(member_id)
            && member.subscription != *subscription
        {
            member.subscription.clone_from(subscription);
            self.request_round();
        }
    }

    /// Something has changed that the assignment depends on.
    fn request_round(&mut self) {
        self.inputs += 1;
        if self.is_eager() {
            for member in self.members.values_mut() {
                if self.phase == Phase::Stable {
                    member.previous = std::mem::take(&mut member.target);
                }
                if member.is_away() {
                    member.owned.clear();
                }
            }
            self.phase = Phase::GivingUp;
            self.end_giving_up();
        } else {
            self.phase = Phase::Due;
        }
        self.call_all();
    }

    fn end_giving_up(&mut self) {
        if self.phase == Phase::GivingUp && self.members.values().all(|member| member.owned.is_empty()) {
            self.phase = Phase::Due;
            self.call_all();
        }
    }

    fn is_eager(&self) -> bool {
        self.assignor.as_ref().is_some_and(|assignor| assignor.is_eager)
    }

    /// Has every member look at what there is to do.
    fn call_all(&mut self) {
        for seat in self.members.values().filter_map(Member::seat) {
            seat.is_called.store(true, Ordering::Release);
            self.news.called.push(Arc::clone(seat));
        }
    }

    /// What the member in this seat is to do next. Its consumer asks until there is nothing.
    pub(super) fn next_step(&mut self, member_id: &str, seat: &Seat, now: Duration) -> Step {
        self.watch_time(now);
        let until = self.next_deadline(now);
        let Some(member) = self.members.get_mut(member_id) else {
            return Step::Lost(seat.removal().unwrap_or(Removal::Removed));
        };
        if std::mem::take(&mut member.is_resumed) && !member.owned.is_empty() {
            return Step::Assign(member.owned.iter().cloned().collect());
        }
        if self.phase == Phase::GivingUp {
            let owned: Vec<_> = member.owned.iter().cloned().collect();
            return if owned.is_empty() { Self::nothing(seat, until) } else { Step::Revoke(owned) };
        }
        // Before anything is given up, or that would be by the old round what the new one leaves.
        if self.phase == Phase::Due
            && self.running.is_none()
            && let Some(round) = self.begin_round(member_id)
        {
            return Step::RunAssignor(round);
        }
        self.step_to_target(member_id).unwrap_or_else(|| Self::nothing(seat, until))
    }

    /// What brings a member nearer to what the last round gave it.
    fn step_to_target(&mut self, member_id: &str) -> Option<Step> {
        let member = self.members.get_mut(member_id)?;
        let (surplus, missing) = (member.surplus(), member.missing());
        if !surplus.is_empty() {
            return Some(Step::Revoke(surplus));
        }
        if !missing.is_empty() {
            member.owned.extend(missing.iter().cloned());
            return Some(Step::Assign(missing));
        }
        None
    }

    fn nothing(seat: &Seat, until: Option<Duration>) -> Step {
        seat.is_called.store(false, Ordering::Release);
        Step::Nothing { until }
    }

    fn begin_round(&mut self, member_id: &str) -> Option<Round> {
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

    fn next_generation(&self) -> i32 {
        self.generation.checked_add(1).unwrap_or(1)
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

    /// A member has given up partitions; others may have them now.
    pub(super) fn release(&mut self, member_id: &str, partitions: &[TopicPartition]) {
        let Some(member) = self.members.get_mut(member_id) else { return };
        for partition in partitions {
            member.owned.remove(partition);
        }
        if self.phase == Phase::GivingUp {
            self.end_giving_up();
        } else {
            self.request_round();
        }
    }

    /// Static members that are away follow the rounds without delay: nobody reads for them.
    fn settle_away_members(&mut self) {
        let mut released = false;
        for member in self.members.values_mut().filter(|member| member.is_away()) {
            released |= !member.owned.is_subset(&member.target);
            member.owned.clone_from(&member.target);
        }
        if self.phase == Phase::GivingUp {
            self.end_giving_up();
        } else if released && !self.is_eager() {
            self.request_round();
        }
    }

    /// Reports members that are late, and puts out those that are too late.
    pub(super) fn watch_time(&mut self, now: Duration) {
        let mut gone = Vec::new();
        for (id, member) in &mut self.members {
            if let Presence::AwayUntil(deadline) = member.presence {
                if deadline <= now {
                    gone.push((id.clone(), None));
                }
                continue;
            }
            let Some((idle, limit)) = member.idle(now) else {
                member.is_late = false;
                continue;
            };
            let was_late = std::mem::replace(&mut member.is_late, idle >= limit / 2);
            if member.is_late
                && !was_late
                && let Some(hook) = &member.late_poll_hook
            {
                let (group, member_id) = (Arc::clone(&self.name), id.clone());
                self.news.late.push((hook.clone(), LatePoll { group, member_id, idle, max_poll_interval: limit }));
            }
            if idle >= limit && was_late {
                gone.push((id.clone(), member.seat().cloned().zip(Some(Removal::Late { idle, limit }))));
            }
        }
        for (id, removal) in gone {
            if let Some((seat, removal)) = removal {
                self.put_out(&seat, removal);
            }
            self.remove(&id);
        }
    }

    /// When to look at the time again.
    fn next_deadline(&self, now: Duration) -> Option<Duration> {
        let deadline = |member: &Member| match (&member.presence, member.max_poll_interval) {
            (Presence::AwayUntil(deadline), _) => Some(*deadline),
            (Presence::Here(_), None) => None,
            (Presence::Here(seat), Some(limit)) => Some(match seat.last_poll() {
                Some(last) if member.is_late => last.saturating_add(limit),
                Some(last) => last.saturating_add(limit / 2),
                None => now.saturating_add(limit / 2),
            }),
        };
        self.members.values().filter_map(deadline).min()
    }

    /// Whether this member may commit this partition now.
    pub(super) fn check_owner(&self, member_id: &str, seat: &Seat, partition: &TopicPartition) -> Result<()> {
        let Some(member) = self.members.get(member_id) else {
            return Err(self.refused(partition, seat.removal().unwrap_or(Removal::Removed).reason()));
        };
        if member.owned.contains(partition) {
            return Ok(());
        }
        if self.phase != Phase::Stable {
            return Err(Error::RebalanceInProgress { group: self.name.to_string() });
        }
        Err(self.refused(partition, "the member does not own it any more"))
    }

    /// Whether somebody who is no member, and was assigned partitions by hand, may commit.
    pub(super) fn check_no_members(&self, partition: &TopicPartition) -> Result<()> {
        if self.members.is_empty() {
            return Ok(());
        }
        Err(self
            .refused(partition, "the group has members, and partitions assigned by hand are committed only without"))
    }

    /// Takes in what was committed. Returns what was there before, in the same order.
    pub(super) fn put_offsets(&mut self, offsets: &Offsets) -> Vec<Option<CommittedOffset>> {
        offsets.iter().map(|(tp, committed)| self.committed.insert(tp.clone(), committed.clone())).collect()
    }

    /// Puts back what was there `before`, but for what was committed again since.
    pub(super) fn take_back_offsets(&mut self, offsets: &Offsets, before: Vec<Option<CommittedOffset>>) {
        for ((tp, committed), before) in offsets.iter().zip(before) {
            if self.committed.get(tp) == Some(committed) {
                match before {
                    Some(before) => drop(self.committed.insert(tp.clone(), before)),
                    None => drop(self.committed.remove(tp)),
                }
            }
        }
    }

    fn refused(&self, partition: &TopicPartition, reason: &'static str) -> Error {
        Error::CommitRefused { group: self.name.to_string(), partition: partition.clone(), reason }
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
