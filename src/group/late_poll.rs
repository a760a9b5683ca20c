//! What is told of a member that does not poll.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// A member that has not polled for half of its [`max_poll_interval`](crate::ConsumerConfig::max_poll_interval). Once the whole
/// interval has passed, its partitions go to others.
///
/// # Examples
/// ```
/// use std::time::Duration;
/// use ottla::ConsumerConfig;
/// let config = ConsumerConfig::new("billing")
///     .topics(["orders"])
///     .max_poll_interval(Duration::from_secs(300))
///     .on_late_poll(|late| eprintln!("{} of {} has not polled for {:?}", late.member_id(), late.group(), late.idle()));
/// ```
#[derive(Debug, Clone)]
pub struct LatePoll {
    pub(super) group: Arc<str>,
    pub(super) member_id: String,
    pub(super) idle: Duration,
    pub(super) max_poll_interval: Duration,
}

impl LatePoll {
    /// The group.
    #[must_use]
    pub fn group(&self) -> &str {
        &self.group
    }

    /// The member that is late.
    #[must_use]
    pub fn member_id(&self) -> &str {
        &self.member_id
    }

    /// How long ago its last poll ended.
    #[must_use]
    pub fn idle(&self) -> Duration {
        self.idle
    }

    /// The time between two polls after which it is put out of the group.
    #[must_use]
    pub fn max_poll_interval(&self) -> Duration {
        self.max_poll_interval
    }
}

/// The application's code that is told.
#[derive(Clone)]
pub(crate) struct LatePollHook(pub(crate) Arc<dyn Fn(&LatePoll) + Send + Sync>);

impl fmt::Debug for LatePollHook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LatePollHook")
    }
}
