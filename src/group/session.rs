//! The session by which a member's consumer and the coordinator hear from each other.

use std::sync::Arc;
use std::time::Duration;

use crate::partition::Waiter;
use crate::sync::Mutex;
use crate::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// The time of one consumer as a member: what it and the coordinator share of that. A static member whose consumer is replaced by
/// another one goes on in a new session.
#[derive(Debug)]
pub(crate) struct Session {
    /// Wakes the consumer.
    pub(super) waiter: Arc<Waiter>,
    /// Whether the coordinator has something for the consumer to do. Lowered under the group's lock only.
    pub(super) is_called: AtomicBool,
    /// When the last poll ended, in nanoseconds of the monotonic clock; [`POLLING`] while one is under way.
    last_poll_ns: AtomicU64,
    /// Why the coordinator has put the member out.
    removal: Mutex<Option<Removal>>,
}

/// A poll is under way, however long it may take.
const POLLING: u64 = u64::MAX;

/// Why a member is no longer one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Removal {
    /// It did not poll for so long.
    Late { idle: Duration, limit: Duration },
    /// Somebody set the group's offsets.
    OffsetsReset,
    /// Somebody removed it, or the whole group.
    Removed,
    /// Another consumer came with the same instance id.
    Replaced,
}

impl Removal {
    /// Why such a member may not commit.
    pub(super) fn reason(self) -> &'static str {
        match self {
            Removal::Late { .. } => {
                "the member did not poll for longer than max.poll.interval.ms and was put out; poll to join again"
            }
            Removal::OffsetsReset => "the group's offsets were reset; poll to go on from them",
            Removal::Removed => "the member was removed from the group; poll to join again",
            Removal::Replaced => {
                "another consumer has joined with the same group.instance.id and goes on; stop this one"
            }
        }
    }
}

impl Session {
    pub(super) fn new(waiter: Arc<Waiter>, now: Duration) -> Arc<Session> {
        let session = Session {
            waiter,
            is_called: AtomicBool::new(true),
            last_poll_ns: AtomicU64::new(0),
            removal: Mutex::new(None),
        };
        session.note_poll_end(now);
        Arc::new(session)
    }

    pub(super) fn note_poll_begin(&self) {
        self.last_poll_ns.store(POLLING, Ordering::Relaxed);
    }

    pub(super) fn note_poll_end(&self, now: Duration) {
        // 500 years of nanoseconds.
        let ns = u64::try_from(now.as_nanos()).unwrap_or(POLLING - 1);
        self.last_poll_ns.store(ns, Ordering::Relaxed);
    }

    /// When the last poll ended; `None` while one is under way.
    pub(super) fn last_poll(&self) -> Option<Duration> {
        Some(self.last_poll_ns.load(Ordering::Relaxed)).filter(|&ns| ns != POLLING).map(Duration::from_nanos)
    }

    pub(super) fn end(&self, removal: Removal) {
        self.removal.lock().get_or_insert(removal);
    }

    pub(super) fn removal(&self) -> Option<Removal> {
        *self.removal.lock()
    }
}
