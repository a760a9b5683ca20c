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
//!
//! Here: who comes and goes, and what each is to do next. `round` divides the partitions, `watching` looks at the time,
//! `committing` says who may commit, `staging` what comes of offsets in transactions.

use std::collections::{BTreeMap, HashMap};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use super::assignor::{Assignor, RebalanceProtocol};
use super::committed_offset::CommittedOffset;
use super::late_poll::{LatePoll, LatePollHook};
use super::member::{Joining, Member, Presence, Subscription, fenced};
use super::round::Round;
use super::session::{Removal, Session};
use super::staged::Staged;
use crate::coordinator::State;
use crate::error::{Error, Result};
use crate::events::{Event, Noted};
use crate::partition::Ticket;
use crate::sync::atomic::Ordering;
use crate::topic_partition::TopicPartition;

/// One group.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) name: Arc<str>,
    /// Rises with every round, and whenever the group is left without members.
    pub(super) generation: i32,
    /// The members' way of dividing the partitions; `None` while there are none.
    pub(super) assignor: Option<ChosenAssignor>,
    pub(super) members: BTreeMap<String, Member>,
    pub(super) phase: Phase,
    /// Rises with everything that a round depends on.
    pub(super) inputs: u64,
    /// The member that is running the assignor now, and for which inputs.
    pub(super) running: Option<(String, u64)>,
    pub(super) committed: HashMap<TopicPartition, CommittedOffset>,
    pub(super) staged: Staged,
    /// While it has no members: since when nobody has used it, by the monotonic clock.
    pub(super) unused_since: Duration,
    /// Members of before the process was started anew are not away but gone: what they had is to be divided.
    pub(super) lacks_members: bool,
    /// Who is in it has changed since that was last written down.
    pub(super) is_changed: bool,
    pub(super) notifications: Notifications,
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

/// What is to be told once the group's lock is released, since it ends in the application's code.
#[derive(Debug, Default)]
pub(super) struct Notifications {
    called: Vec<Arc<Session>>,
    /// Of consumers that may look at what is committed now.
    settled: Vec<Ticket>,
    pub(super) late: Vec<(LatePollHook, LatePoll)>,
    pub(super) events: Noted,
}

impl Notifications {
    pub(super) fn deliver(self) {
        for session in self.called {
            session.waiter.wake();
        }
        self.settled.iter().for_each(Ticket::deliver);
        for (LatePollHook(hook), late) in self.late {
            // It was reported by the panic hook, and is no business of the member that happens to be here.
            let _ = catch_unwind(AssertUnwindSafe(|| hook(&late)));
        }
    }
}

impl State for Group {
    fn new(name: &str) -> Group {
        Group {
            name: name.into(),
            generation: 0,
            assignor: None,
            members: BTreeMap::new(),
            phase: Phase::Stable,
            inputs: 0,
            running: None,
            committed: HashMap::new(),
            staged: Staged::default(),
            unused_since: Duration::ZERO,
            lacks_members: false,
            is_changed: false,
            notifications: Notifications::default(),
        }
    }

    fn is_empty(&self) -> bool {
        self.members.is_empty() && self.committed.is_empty() && self.staged.is_empty()
    }
}

impl Group {
    pub(super) fn take_notifications(&mut self) -> Notifications {
        self.notifications.settled = self.staged.take_settled();
        std::mem::take(&mut self.notifications)
    }

    /// Takes a member in. A static one that comes back has its old place, without a round; if its place is taken by a live
    /// consumer, the newer of the two has it, and the other is put out or refused.
    pub(super) fn join(&mut self, joining: &Joining, assignor: ChosenAssignor, session: &Arc<Session>) -> Result<()> {
        let is_same = |member: &Member| joining.instance_id.is_some() && member.instance_id == joining.instance_id;
        let former = self.members.iter().find(|(_, member)| is_same(member)).map(|(id, _)| id.clone());
        let is_taken = former.as_ref().and_then(|id| self.members.get(id)).is_some_and(|former| !former.is_away());
        if is_taken && joining.is_return {
            return Err(fenced(joining.instance_id.as_deref(), &self.name));
        }
        self.check_assignor(former.as_deref(), &assignor)?;
        let former = former.and_then(|id| self.take_member(&id).map(|former| (id, former)));
        let mut member = Member::new(joining, Presence::Here(Arc::clone(session)));
        let has_place = former.is_some_and(|(id, former)| self.take_place(&mut member, &id, former));
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
    fn take_place(&mut self, member: &mut Member, former_id: &str, former: Member) -> bool {
        if let Presence::Here(replaced) = &former.presence {
            self.put_out(former_id, replaced, Removal::Replaced);
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
        self.note_used(now);
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
    pub(super) fn remove(&mut self, member_id: &str) {
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
        for (id, member) in std::mem::take(&mut self.members) {
            if let Presence::Here(session) = &member.presence {
                self.put_out(&id, session, removal);
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
        if let Some(Presence::Here(session)) = self.members.get(&member_id).map(|member| &member.presence) {
            let session = Arc::clone(session);
            self.put_out(&member_id, &session, Removal::Removed);
        }
        self.remove(&member_id);
        true
    }

    pub(super) fn put_out(&mut self, member_id: &str, session: &Arc<Session>, removal: Removal) {
        session.end(removal);
        self.notifications.events.add(|| Event::MemberFenced {
            group: self.name.to_string(),
            member_id: member_id.to_owned(),
            reason: removal.reason(),
        });
        session.is_called.store(true, Ordering::Release);
        self.notifications.called.push(Arc::clone(session));
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

    pub(super) fn is_eager(&self) -> bool {
        self.assignor.as_ref().is_some_and(|assignor| assignor.is_eager)
    }

    /// Has every member look at what there is to do.
    pub(super) fn call_all(&mut self) {
        for session in self.members.values().filter_map(Member::session) {
            session.is_called.store(true, Ordering::Release);
            self.notifications.called.push(Arc::clone(session));
        }
    }

    /// What this member is to do next. Its consumer asks until there is nothing.
    pub(super) fn next_step(&mut self, member_id: &str, session: &Session, now: Duration) -> Step {
        self.watch_time(now);
        let until = self.next_deadline(now);
        let Some(member) = self.members.get_mut(member_id) else {
            return Step::Lost(session.removal().unwrap_or(Removal::Removed));
        };
        if std::mem::take(&mut member.is_resumed) && !member.owned.is_empty() {
            return Step::Assign(member.owned.iter().cloned().collect());
        }
        if self.phase == Phase::GivingUp {
            let owned: Vec<_> = member.owned.iter().cloned().collect();
            return if owned.is_empty() { Self::nothing(session, until) } else { Step::Revoke(owned) };
        }
        // Before anything is given up, or that would be by the old round what the new one leaves.
        if self.phase == Phase::Due
            && self.running.is_none()
            && let Some(round) = self.begin_round(member_id)
        {
            return Step::RunAssignor(round);
        }
        self.step_to_target(member_id).unwrap_or_else(|| Self::nothing(session, until))
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

    fn nothing(session: &Session, until: Option<Duration>) -> Step {
        session.is_called.store(false, Ordering::Release);
        Step::Nothing { until }
    }

    /// That the generation is another one, for subscribers.
    pub(super) fn rebalanced(&self) -> Event {
        let (group, members) = (self.name.to_string(), self.members.len());
        Event::GroupRebalanced { group, generation: self.generation, members }
    }

    pub(super) fn next_generation(&self) -> i32 {
        self.generation.checked_add(1).unwrap_or(1)
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
    pub(super) fn settle_away_members(&mut self) {
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
}
