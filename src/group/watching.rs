//! Looking at the time: whose poll is late, and whose place was kept for long enough. Done by whoever comes by.

use std::sync::Arc;
use std::time::Duration;

use super::late_poll::LatePoll;
use super::member::{Member, Presence};
use super::session::Removal;
use super::state::Group;

impl Group {
    /// Reports members that are late, and puts out those that are too late.
    pub(super) fn watch_time(&mut self, now: Duration) {
        let mut gone = Vec::new();
        for (id, member) in &mut self.members {
            if let Presence::AwayUntil(deadline) = member.presence {
                if deadline <= now {
                    gone.push((id.clone(), deadline, None));
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
                self.notifications
                    .late
                    .push((hook.clone(), LatePoll { group, member_id, idle, max_poll_interval: limit }));
            }
            if idle >= limit && was_late {
                gone.push((id.clone(), now, member.session().cloned().zip(Some(Removal::Late { idle, limit }))));
            }
        }
        for (id, deadline, removal) in gone {
            if let Some((session, removal)) = removal {
                self.put_out(&id, &session, removal);
            }
            self.remove(&id);
            self.note_used(deadline);
        }
    }

    /// When to look at the time again.
    pub(super) fn next_deadline(&self, now: Duration) -> Option<Duration> {
        let deadline = |member: &Member| match (&member.presence, member.max_poll_interval) {
            (Presence::AwayUntil(deadline), _) => Some(*deadline),
            (Presence::Here(_), None) => None,
            (Presence::Here(session), Some(limit)) => Some(match session.last_poll() {
                Some(last) if member.is_late => last.saturating_add(limit),
                Some(last) => last.saturating_add(limit / 2),
                None => now.saturating_add(limit / 2),
            }),
        };
        self.members.values().filter_map(deadline).min()
    }
}
