//! One member of a group, as the coordinator knows it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::late_poll::LatePollHook;
use super::session::Session;
use crate::error::{Error, FencedBy};
use crate::topic_partition::TopicPartition;

/// The topics that a member reads, with their numbers of partitions.
pub(crate) type Subscription = BTreeMap<String, u32>;

/// How a consumer presents itself when it joins.
#[derive(Debug, Clone)]
pub(crate) struct Joining {
    /// Names this member among all there ever were.
    pub(crate) member_id: String,
    /// What the application calls the consumer.
    pub(crate) client_id: String,
    /// The name of a static member.
    pub(crate) instance_id: Option<String>,
    /// It was a member and was put out, and comes back by itself: not to put out a consumer that has its place by now.
    pub(crate) is_return: bool,
    pub(crate) subscription: Subscription,
    /// How long the place of a static member is kept once its consumer is gone.
    pub(crate) session_timeout: Duration,
    pub(crate) max_poll_interval: Option<Duration>,
    pub(crate) late_poll_hook: Option<LatePollHook>,
}

/// The error of a static member whose place another consumer has.
pub(crate) fn fenced(instance_id: Option<&str>, group: &str) -> Error {
    let what = format!("the member {:?} of group {group:?}", instance_id.unwrap_or_default());
    Error::Fenced { what, by: FencedBy::Newer }
}

/// A member. Its partitions are in three places: `target` is what the last round gave it, `owned` what it may commit, and what
/// nobody else gets before it has released it. Its consumer brings the second in line with the first.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) client_id: String,
    pub(super) instance_id: Option<String>,
    pub(super) subscription: Subscription,
    pub(super) session_timeout: Duration,
    pub(super) max_poll_interval: Option<Duration>,
    pub(super) late_poll_hook: Option<LatePollHook>,
    pub(super) target: BTreeSet<TopicPartition>,
    pub(super) owned: BTreeSet<TopicPartition>,
    /// With an eager assignor: what it had before the present rebalance.
    pub(super) previous: BTreeSet<TopicPartition>,
    /// The last generation in which it took part.
    pub(super) generation: Option<i32>,
    pub(super) presence: Presence,
    /// A static member has come back: its consumer is still to be told what it owns.
    pub(super) is_resumed: bool,
    /// It was reported as late since its last poll.
    pub(super) is_late: bool,
}

/// Whether there is a consumer for a member.
#[derive(Debug)]
pub(super) enum Presence {
    /// There is, and this is its session.
    Here(Arc<Session>),
    /// A static member whose consumer is gone; its place is kept until then, by the monotonic clock.
    AwayUntil(Duration),
}

impl Member {
    pub(super) fn new(joining: &Joining, presence: Presence) -> Member {
        Member {
            client_id: joining.client_id.clone(),
            instance_id: joining.instance_id.clone(),
            subscription: joining.subscription.clone(),
            session_timeout: joining.session_timeout,
            max_poll_interval: joining.max_poll_interval,
            late_poll_hook: joining.late_poll_hook.clone(),
            target: BTreeSet::new(),
            owned: BTreeSet::new(),
            previous: BTreeSet::new(),
            generation: None,
            presence,
            is_resumed: false,
            is_late: false,
        }
    }

    pub(super) fn session(&self) -> Option<&Arc<Session>> {
        match &self.presence {
            Presence::Here(session) => Some(session),
            Presence::AwayUntil(_) => None,
        }
    }

    pub(super) fn is_away(&self) -> bool {
        self.session().is_none()
    }

    /// What it has and is to give up.
    pub(super) fn surplus(&self) -> Vec<TopicPartition> {
        self.owned.difference(&self.target).cloned().collect()
    }

    /// What it is to have and has not.
    pub(super) fn missing(&self) -> Vec<TopicPartition> {
        self.target.difference(&self.owned).cloned().collect()
    }

    /// How long it has not polled; `None` while it does, or where nobody asked to watch that.
    pub(super) fn idle(&self, now: Duration) -> Option<(Duration, Duration)> {
        let limit = self.max_poll_interval?;
        let last = self.session()?.last_poll()?;
        Some((now.saturating_sub(last), limit))
    }
}
