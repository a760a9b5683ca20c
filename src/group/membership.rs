//! A consumer's side of its group: what it asks the coordinator, and what it may commit.

use std::any::Any;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use super::assignor::Assignor;
use super::committed_offset::CommittedOffset;
use super::member::{Joining, Member};
use super::round::Round;
use super::session::{Removal, Session};
use super::staged::Reader;
use super::staging::Beginning;
use super::state::{ChosenAssignor, Group, Step};
use super::{GroupCoordinator, Offsets, append_offsets};
use crate::error::{Error, Result};
use crate::partition::log::Log;
use crate::partition::{Ticket, Waiter};
use crate::record::ProducerRecord;
use crate::sync::atomic::Ordering;
use crate::topic_partition::TopicPartition;

/// What connects a consumer with its group: as a member, or only as one who commits what it was assigned by hand.
#[derive(Debug)]
pub(crate) struct Membership {
    coordinator: Keeper,
    group: Arc<str>,
    member: Option<(String, Arc<Session>)>,
}

/// Who keeps the group.
#[derive(Debug)]
enum Keeper {
    Here(Arc<GroupCoordinator>),
    /// Another process; what the group had committed when that was last asked for.
    Elsewhere(Vec<(TopicPartition, CommittedOffset)>),
}

impl Membership {
    /// Not a member yet.
    pub(crate) fn new(coordinator: &Arc<GroupCoordinator>, group: &str) -> Membership {
        Membership { coordinator: Keeper::Here(Arc::clone(coordinator)), group: group.into(), member: None }
    }

    /// Of a group that another process keeps, which has `committed` these offsets: to look at.
    pub(crate) fn without_coordinator(group: &str, committed: Vec<(TopicPartition, CommittedOffset)>) -> Membership {
        Membership { coordinator: Keeper::Elsewhere(committed), group: group.into(), member: None }
    }

    /// Takes note of what the group has committed by now, where another process keeps it.
    pub(crate) fn note_committed(&mut self, committed: Vec<(TopicPartition, CommittedOffset)>) {
        if let Keeper::Elsewhere(known) = &mut self.coordinator {
            *known = committed;
        }
    }

    /// Fails if the group cannot be joined, whatever it says, because another process keeps it.
    ///
    /// # Errors
    /// [`Error::ReadOnly`](crate::Error::ReadOnly).
    pub(crate) fn check_can_join(&self) -> Result<()> {
        self.keeper("join a group").map(drop)
    }

    fn keeper(&self, action: &'static str) -> Result<&GroupCoordinator> {
        match &self.coordinator {
            Keeper::Here(coordinator) => Ok(coordinator),
            Keeper::Elsewhere(_) => Err(Error::ReadOnly { action }),
        }
    }

    /// Becomes a member; `waiter` is woken whenever there is something to do.
    ///
    /// # Errors
    /// [`Error::InconsistentAssignor`](crate::Error::InconsistentAssignor); [`Error::Fenced`](crate::Error::Fenced) for one that
    /// returns and whose place a newer one has.
    pub(crate) fn join(
        &mut self,
        joining: &Joining,
        assignor: &dyn Assignor,
        waiter: &Arc<Waiter>,
        now: Duration,
    ) -> Result<()> {
        let assignor = ChosenAssignor::new(assignor);
        let session = Session::new(Arc::clone(waiter), now);
        self.keeper("join a group")?.with_group(&self.group, |group, _| group.join(joining, assignor, &session))?;
        self.member = Some((joining.member_id.clone(), session));
        Ok(())
    }

    /// Is no member any more. What was owned goes to others; a static member's place is kept.
    pub(crate) fn leave(&mut self, now: Duration) {
        if let Some((member_id, _)) = self.member.take() {
            let left = self.keeper("join a group").and_then(|keeper| {
                keeper.with_group(&self.group, |group, _| {
                    group.leave(&member_id, now);
                    Ok(())
                })
            });
            // Nothing that can fail was asked for. A listener may have forked.
            debug_assert!(matches!(left, Ok(()) | Err(Error::Forked)), "{left:?}");
        }
    }

    pub(crate) fn group(&self) -> &str {
        &self.group
    }

    /// The name of the member that this is now.
    pub(crate) fn member_id(&self) -> Option<&str> {
        self.member.as_ref().map(|(member_id, _)| member_id.as_str())
    }

    pub(crate) fn is_member(&self) -> bool {
        self.member.is_some()
    }

    /// Whether there is something to do: [`next_step`](Membership::next_step) says what.
    pub(crate) fn is_called(&self) -> bool {
        self.member.as_ref().is_some_and(|(_, session)| session.is_called.load(Ordering::Acquire))
    }

    /// A poll begins: however long it takes, the consumer is not late.
    pub(crate) fn note_poll_begin(&self) {
        if let Some((_, session)) = &self.member {
            session.note_poll_begin();
        }
    }

    /// A poll has ended.
    pub(crate) fn note_poll_end(&self, now: Duration) {
        if let Some((_, session)) = &self.member {
            session.note_poll_end(now);
        }
    }

    /// What to do next.
    pub(crate) fn next_step(&self, now: Duration) -> Result<Step> {
        let Some((member_id, session)) = &self.member else { return Ok(Step::Nothing { until: None }) };
        self.keeper("join a group")?.with_group(&self.group, |group, _| Ok(group.next_step(member_id, session, now)))
    }

    /// Says which topics are to be read, with their present numbers of partitions.
    pub(crate) fn set_subscription(&self, subscription: &super::member::Subscription) -> Result<()> {
        let Some((member_id, _)) = &self.member else { return Ok(()) };
        self.keeper("join a group")?.with_group(&self.group, |group, _| {
            group.set_subscription(member_id, subscription);
            Ok(())
        })
    }

    /// Runs the assignor, which may be the application's, and hands in what it says.
    ///
    /// # Errors
    /// [`Error::AssignorFailed`](crate::Error::AssignorFailed).
    pub(crate) fn run(&self, round: &Round, assignor: &dyn Assignor) -> Result<()> {
        let assignment =
            catch_unwind(AssertUnwindSafe(|| assignor.assign(&round.request))).map_err(|panic| panic_message(&*panic));
        self.keeper("join a group")?.with_group(&self.group, |group, _| group.finish_round(round, assignment)).map(drop)
    }

    /// Gives up partitions: from here on others may have them.
    pub(crate) fn release(&self, partitions: &[TopicPartition]) -> Result<()> {
        let Some((member_id, _)) = &self.member else { return Ok(()) };
        self.keeper("join a group")?.with_group(&self.group, |group, _| {
            group.release(member_id, partitions);
            Ok(())
        })
    }

    /// What this member owns now; nothing if it was put out.
    pub(crate) fn owned(&self) -> Vec<TopicPartition> {
        self.look(|member| member.owned.iter().cloned().collect()).unwrap_or_default()
    }

    /// The generation that the group is in; `None` if this is not a member.
    pub(crate) fn generation(&self) -> Option<i32> {
        self.look(|member| member.generation)?
    }

    /// Looks at this member as the group has it; `None` if it has not.
    fn look<T>(&self, look: impl FnOnce(&Member) -> T) -> Option<T> {
        let (member_id, _) = self.member.as_ref()?;
        let keeper = self.keeper("look at a member").ok()?;
        keeper.look(&self.group, |group| group.members.get(member_id).map(look))?
    }

    /// Fails, as a commit of this partition would, once the coordinator has put this member out.
    ///
    /// # Errors
    /// [`Error::CommitRefused`](crate::Error::CommitRefused).
    pub(crate) fn check_not_put_out(&self, partition: &TopicPartition) -> Result<()> {
        let Some(removal) = self.removal() else { return Ok(()) };
        let (group, partition) = (self.group.to_string(), partition.clone());
        Err(Error::CommitRefused { group, partition, reason: removal.reason() })
    }

    /// Why the coordinator has put this member out, if it has.
    pub(crate) fn removal(&self) -> Option<Removal> {
        self.member.as_ref().and_then(|(_, session)| session.removal())
    }

    /// Where this consumer begins in a partition of the topic with this id. While a transaction is being committed that says so,
    /// that is undecided, and `ticket` is delivered when it is over.
    ///
    /// # Errors
    /// [`Error::InvalidState`](crate::Error::InvalidState) if it cannot be known before the broker is opened again.
    pub(crate) fn begin(&self, partition: &TopicPartition, topic_id: u128, ticket: &Ticket) -> Result<Beginning> {
        match &self.coordinator {
            Keeper::Here(coordinator) => coordinator.begin(&self.group, partition, topic_id, ticket),
            Keeper::Elsewhere(offsets) => {
                let found = offsets.iter().find(|(found_in, offset)| found_in == partition && offset.is_of(topic_id));
                Ok(found.map_or(Beginning::Free, |(_, committed)| Beginning::At(committed.clone())))
            }
        }
    }

    /// Makes `offsets` the group's positions, all of them or none, and returns when they are as durable as the topic of the
    /// offsets demands.
    ///
    /// # Errors
    /// [`Error::CommitRefused`](crate::Error::CommitRefused), [`Error::RebalanceInProgress`](crate::Error::RebalanceInProgress)
    /// if one of the partitions is not this member's: nothing was committed. What `check_present` and appending return.
    pub(crate) fn commit(
        &self,
        offsets: &Offsets,
        check_present: impl FnOnce() -> Result<()>,
        now: Duration,
    ) -> Result<()> {
        let keeper = self.keeper("commit offsets")?;
        let committed = keeper.with_group(&self.group, |group, log| {
            // Here, so that no offset comes after those of a topic were forgotten.
            check_present()?;
            self.check_may_commit(group, offsets, now)?;
            let appended = append_offsets(log, &self.group, offsets)?;
            Ok(group.take_in(log, appended, offsets, now))
        })?;
        keeper.settle(&self.group, offsets, committed)
    }

    /// Stages `offsets` for the transaction of this transactional id: all of them count once it
    /// [has committed](GroupCoordinator::end_transaction), or none. `append` appends their records in the transaction, in one piece, and
    /// returns their offsets. It syncs nothing, and may wake others: for callers that hold no lock.
    ///
    /// # Errors
    /// As [`commit`](Membership::commit), and what `append` returns. If it has appended some of them before, the transaction is to be
    /// aborted.
    pub(crate) fn stage(
        &self,
        transactional_id: &Arc<str>,
        offsets: &Offsets,
        check_present: impl FnOnce() -> Result<()>,
        append: impl FnMut(&Arc<Log>, &[ProducerRecord<'_>]) -> Result<Range<u64>>,
        now: Duration,
    ) -> Result<()> {
        self.keeper("commit offsets")?.with_group(&self.group, |group, log| {
            // Here, so that no offset comes after those of a topic were forgotten.
            check_present()?;
            self.check_may_commit(group, offsets, now)?;
            let reader = match &self.member {
                Some((member_id, session)) => Reader::Member(member_id.clone(), Arc::clone(session)),
                None => Reader::ByHand,
            };
            group.stage(log, transactional_id, &reader, offsets, append)
        })
    }

    /// Fails if one of the partitions is not this consumer's to commit.
    fn check_may_commit(&self, group: &mut Group, offsets: &Offsets, now: Duration) -> Result<()> {
        if self.member.is_none() {
            group.watch_time(now);
        }
        offsets.iter().try_for_each(|(partition, _)| match &self.member {
            Some((member_id, session)) => group.check_owner(member_id, session, partition),
            None => group.check_no_members(partition),
        })
    }
}

/// What a panic says for itself.
pub(crate) fn panic_message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    format!("it panicked: {}", text.unwrap_or("without a message"))
}
