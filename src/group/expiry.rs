//! Offsets that nobody has used for long enough are forgotten.
//!
//! ```text
//! the latest of these                          since then          what goes, with one batch of tombstones a group
//!   the group's last commit, or the end of  ┐
//!     a transaction that carried offsets    │
//!   its last member has left, or the place  ├──▶ offsets_retention ──▶ all that it has committed, and itself
//!     of its last static one was given up   │
//!   the groups were read back, at opening   ┘
//! ```
//! A group that has a member never expires, nor one for which an open transaction has staged offsets. All of this is by the
//! monotonic clock of this process: neither a clock that is set nor the time during which the directory was not open counts. Nobody waits for the tombstones: if a crash takes them, the offsets are
//! there again, and have all of their time.

use std::sync::{Arc, Weak};
use std::time::Duration;

use super::member::Presence;
use super::state::Group;
use super::{GroupCoordinator, append_tombstones};
use crate::error::Result;
use crate::partition::environment::Expiring;

/// So many passes at most within the time that offsets are kept: what expires is there for one of these parts longer.
const PASSES: u32 = 60;

/// Has the groups of a coordinator expire, as long as it is there.
#[derive(Debug)]
pub(crate) struct OffsetsExpiry {
    groups: Weak<GroupCoordinator>,
    retention: Duration,
}

impl OffsetsExpiry {
    /// Of these groups, after this time.
    pub(crate) fn new(groups: &Arc<GroupCoordinator>, retention: Duration) -> OffsetsExpiry {
        OffsetsExpiry { groups: Arc::downgrade(groups), retention }
    }
}

impl Expiring for OffsetsExpiry {
    fn expire(&self, now: Duration) -> (Result<()>, Option<Duration>) {
        let Some(groups) = self.groups.upgrade() else { return (Ok(()), None) };
        let (result, first) = groups.expire(self.retention, now);
        // Whatever comes to a group from now on gives it all of the time.
        let next = first.unwrap_or(Duration::MAX).min(now.saturating_add(self.retention));
        (result, Some(next.max(now.saturating_add(self.retention / PASSES))))
    }
}

impl GroupCoordinator {
    /// Forgets what has expired; the first error, and when the next group may expire.
    fn expire(&self, retention: Duration, now: Duration) -> (Result<()>, Option<Duration>) {
        let (mut result, mut next, mut any) = (Ok(()), None, false);
        for name in self.names() {
            match self.look(&name, |group| group.expires_at(retention)).flatten() {
                Some(due) if due <= now => {
                    let expired = self.expire_group(&name, retention, now);
                    any |= matches!(expired, Ok(true));
                    result = result.and(expired.map(drop));
                }
                due => next = next.into_iter().chain(due).min(),
            }
        }
        if any {
            self.groups.sync_later();
        }
        (result, next)
    }

    /// Whether the group was still unused, and is forgotten.
    fn expire_group(&self, name: &str, retention: Duration, now: Duration) -> Result<bool> {
        self.with_group(name, |group, log| {
            // Somebody may have come since.
            if group.expires_at(retention).is_none_or(|due| now < due) {
                return Ok(false);
            }
            // The places of static members that are over go, too.
            group.watch_time(now);
            append_tombstones(log, name, group.committed.keys())?;
            group.committed.clear();
            Ok(true)
        })
    }
}

impl Group {
    /// Somebody used it until then.
    pub(super) fn note_used(&mut self, now: Duration) {
        self.unused_since = self.unused_since.max(now);
    }

    /// When its offsets expire if nobody uses it; `None` while it has a member, or a transaction carries offsets for it, or it has
    /// no offsets.
    fn expires_at(&self, retention: Duration) -> Option<Duration> {
        if self.committed.is_empty() || !self.staged.is_empty() {
            return None;
        }
        let mut since = self.unused_since;
        for member in self.members.values() {
            match member.presence {
                Presence::Here(_) => return None,
                Presence::AwayUntil(deadline) => since = since.max(deadline),
            }
        }
        Some(since.saturating_add(retention))
    }
}
