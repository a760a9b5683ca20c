//! Keeping up with the group: which partitions are this consumer's, step by step, on its own thread.
//!
//! ```text
//! revoke   commit (with auto-commit) ─▶ listener ─▶ forget the positions ─▶ release: others may have them
//! assign   positions ─▶ listener
//! lost     listener ─▶ forget the positions ─▶ join again at once, or at the next poll
//! ```
//! Whatever goes wrong on the way is returned by the poll, and the next one goes on where this one stopped.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use super::listener::{Rebalance, RebalanceListener};
use super::{Consumer, Life};
use crate::error::{Error, Result};
use crate::group::member::{Joining, fenced};
use crate::group::membership::panic_message;
use crate::group::session::Removal;
use crate::group::state::Step;
use crate::partition::PartitionSource;
use crate::topic_partition::TopicPartition;

/// So many steps are taken in one call: an assignor that never says the same twice must not keep a poll from returning.
const STEPS_MAX: usize = 1000;

impl Consumer {
    /// Brings topics and partitions up to date, as far as that can be done without waiting for others.
    pub(super) fn keep_up(&mut self) -> Result<()> {
        self.store.check_open()?;
        let version = self.store.topics_version();
        if self.seen_topics_version != Some(version) {
            self.follow_topics()?;
            self.seen_topics_version = Some(version);
        }
        if self.subscribes() && !self.membership.is_member() {
            self.join()?;
        }
        if !self.untold.is_empty() {
            self.tell_untold()?;
        }
        if self.membership.is_called() || self.is_group_due() {
            self.take_steps()?;
        }
        Ok(())
    }

    /// Whether the group's partitions are read, and not some that were assigned by hand.
    pub(super) fn subscribes(&self) -> bool {
        !self.config.subscription.is_empty()
    }

    fn is_group_due(&self) -> bool {
        self.group_due.is_some_and(|due| due <= self.store.monotonic())
    }

    /// Becomes a member of the group.
    pub(super) fn join(&mut self) -> Result<()> {
        let instance = self.config.instance_id.as_deref();
        let client_id = self.config.client_id.clone();
        let joining = Joining {
            member_id: format!("{}-{:032x}", instance.unwrap_or(&client_id), self.store.random()),
            client_id,
            instance_id: self.config.instance_id.clone(),
            is_return: self.was_put_out,
            subscription: self.config.subscription.resolve(&*self.store.topics()?),
            session_timeout: self.config.session_timeout,
            max_poll_interval: self.config.max_poll_interval,
            late_poll_hook: self.config.late_poll_hook.clone(),
        };
        let joined =
            self.membership.join(&joining, &*self.config.assignor, &self.shared.waiter, self.store.monotonic());
        if matches!(joined, Err(Error::Fenced { .. })) {
            self.life = Life::Fenced;
        }
        joined?;
        self.was_put_out = false;
        if self.is_polling {
            self.membership.note_poll_begin();
        }
        Ok(())
    }

    /// Takes up what has changed about topics.
    fn follow_topics(&mut self) -> Result<()> {
        if !self.subscribes() {
            return Ok(());
        }
        let subscription = self.config.subscription.resolve(&*self.store.topics()?);
        self.membership.set_subscription(&subscription)?;
        // Of a topic that was deleted and made again, the new one is read from its beginning. Where there is none, the
        // partition goes with the next round, unless the topic is back by then.
        let is_present =
            |log: &PartitionSource| self.store.source(log.partition()).is_ok_and(|present| present.is_same(log));
        let gone = self.positions.iter().filter(|position| !is_present(position.log()));
        let gone: Vec<TopicPartition> = gone.map(|position| position.partition().clone()).collect();
        self.positions.remove(&gone);
        let mut unread = self.membership.owned();
        unread.retain(|partition| self.positions.get(partition).is_none());
        self.add_positions(&unread);
        Ok(())
    }

    /// Does what the group asks for, until it asks for nothing more.
    pub(super) fn take_steps(&mut self) -> Result<()> {
        for _ in 0..STEPS_MAX {
            match self.membership.next_step(self.store.monotonic())? {
                Step::Nothing { until } => {
                    self.group_due = until;
                    return Ok(());
                }
                Step::Revoke(partitions) => self.revoke(&partitions)?,
                Step::Assign(partitions) => self.take_up(partitions)?,
                Step::RunAssignor(round) => self.membership.run(&round, &*self.config.assignor)?,
                Step::Lost(removal) => self.lose_all(removal)?,
            }
        }
        Ok(())
    }

    /// Gives up partitions, so that others may have them. That is done whatever goes wrong before.
    fn revoke(&mut self, partitions: &[TopicPartition]) -> Result<()> {
        let put_down = self.put_down(partitions);
        self.membership.release(partitions)?;
        put_down
    }

    /// Ends the reading of partitions, whatever goes wrong on the way.
    pub(super) fn put_down(&mut self, partitions: &[TopicPartition]) -> Result<()> {
        let committed = if self.config.auto_commit { self.commit_positions(Some(partitions)) } else { Ok(()) };
        let told = self.tell_revoked(partitions);
        self.positions.remove(partitions);
        self.share_positions();
        committed.and(told)
    }

    /// The listener hears only of what it was told before.
    fn tell_revoked(&mut self, partitions: &[TopicPartition]) -> Result<()> {
        self.untold.retain(|partition| !partitions.contains(partition));
        let revoked: Vec<_> = partitions.iter().filter(|partition| self.told.contains(partition)).cloned().collect();
        if revoked.is_empty() { Ok(()) } else { self.tell(Rebalance::Revoked(&revoked)) }
    }

    /// Tells the listener what came outside of polls and is read. Of a topic that is gone it hears when that is back, if ever.
    fn tell_untold(&mut self) -> Result<()> {
        let untold = std::mem::take(&mut self.untold);
        let (read, unread): (Vec<_>, Vec<_>) = untold.into_iter().partition(|p| self.positions.get(p).is_some());
        self.untold = unread;
        if read.is_empty() { Ok(()) } else { self.tell(Rebalance::Assigned(&read)) }
    }

    /// Whether the next poll begins with telling the listener something.
    pub(super) fn has_untold(&self) -> bool {
        self.untold.iter().any(|partition| self.positions.get(partition).is_some())
    }

    fn take_up(&mut self, partitions: Vec<TopicPartition>) -> Result<()> {
        self.add_positions(&partitions);
        if self.is_polling {
            return self.tell(Rebalance::Assigned(&partitions));
        }
        // Listeners are called in polls; the next one begins with it.
        if self.config.listener.is_some() {
            self.untold.extend(partitions);
        }
        Ok(())
    }

    fn add_positions(&mut self, partitions: &[TopicPartition]) {
        for partition in partitions {
            // A topic that was deleted meanwhile goes with the next round.
            if let Ok(log) = self.store.source(partition) {
                self.positions.add(log);
            }
        }
        self.share_positions();
    }

    fn lose_all(&mut self, removal: Removal) -> Result<()> {
        self.was_put_out = true;
        // Partitions of a topic that was deleted are among these, and not among the positions.
        let lost: Vec<_> = self.told.iter().cloned().collect();
        let told = if lost.is_empty() { Ok(()) } else { self.tell(Rebalance::Lost(&lost)) };
        self.untold.clear();
        self.positions.set([]);
        self.share_positions();
        self.membership.leave(self.store.monotonic());
        match removal {
            // Whatever the listener said: that it failed changes nothing about what has become of the member.
            Removal::Replaced => {
                self.life = Life::Fenced;
                Err(self.fenced())
            }
            Removal::Late { idle, limit } => {
                let group = self.group().to_owned();
                Err(Error::PollTooLate { group, idle, max_poll_interval: limit })
            }
            // If the listener failed, this poll ends here: the next one joins, and takes up what that brings.
            Removal::OffsetsReset | Removal::Removed => told.and_then(|()| self.join()),
        }
    }

    /// Fails, for good, if another consumer has the place of this static member: it would take that back by joining anew.
    pub(super) fn check_not_replaced(&mut self) -> Result<()> {
        match self.membership.removal() {
            Some(Removal::Replaced) => self.lose_all(Removal::Replaced),
            _ => Ok(()),
        }
    }

    /// Calls the listener. It has the consumer to itself, but for polling.
    fn tell(&mut self, event: Rebalance<'_>) -> Result<()> {
        let Some(listener) = &self.config.listener else { return Ok(()) };
        let listener = Arc::clone(&listener.0);
        match event {
            Rebalance::Assigned(partitions) => self.told.extend(partitions.iter().cloned()),
            Rebalance::Revoked(partitions) | Rebalance::Lost(partitions) => {
                for partition in partitions {
                    self.told.remove(partition);
                }
            }
        }
        self.is_in_listener = true;
        let told = catch_unwind(AssertUnwindSafe(|| call(&*listener, self, event)));
        self.is_in_listener = false;
        told.unwrap_or_else(|panic| {
            Err(Error::ListenerPanicked { group: self.group().to_owned(), reason: panic_message(&*panic) })
        })
    }

    pub(super) fn fenced(&self) -> Error {
        fenced(self.config.instance_id.as_deref(), self.group())
    }
}

fn call(listener: &dyn RebalanceListener, consumer: &mut Consumer, event: Rebalance<'_>) -> Result<()> {
    match event {
        Rebalance::Revoked(partitions) => listener.on_partitions_revoked(consumer, partitions),
        Rebalance::Assigned(partitions) => listener.on_partitions_assigned(consumer, partitions),
        Rebalance::Lost(partitions) => listener.on_partitions_lost(consumer, partitions),
    }
}
