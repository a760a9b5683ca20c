//! What other threads may do with a consumer: wake it, look at its lag.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::position::SharedPosition;
use crate::partition::Waiter;
use crate::sync::atomic::{AtomicBool, Ordering};
use crate::sync::{ArcSwap, thread};

/// What a consumer shares with its handles.
#[derive(Debug, Default)]
pub(super) struct Shared {
    pub(super) waiter: Arc<Waiter>,
    woken: AtomicBool,
    closing: AtomicBool,
    /// A thread is pausing until the consumer is to look again.
    is_pausing: AtomicBool,
    pub(super) positions: ArcSwap<Vec<Arc<SharedPosition>>>,
}

impl Shared {
    /// Whether someone called `wakeup` since the last call.
    pub(super) fn take_wakeup(&self) -> bool {
        self.woken.load(Ordering::Relaxed) && self.woken.swap(false, Ordering::AcqRel)
    }

    /// Whether someone called `close`.
    pub(super) fn is_closing(&self) -> bool {
        self.closing.load(Ordering::Acquire)
    }

    pub(super) fn is_woken(&self) -> bool {
        self.woken.load(Ordering::Acquire)
    }

    /// Wakes the consumer after a pause, by a thread that lives as long: of what another process sends nobody else tells. Whether
    /// there is such a thread.
    pub(super) fn wake_after(self: &Arc<Shared>, pause: Duration) -> bool {
        if self.is_pausing.swap(true, Ordering::AcqRel) {
            return true;
        }
        let shared = Arc::clone(self);
        let pausing = thread::Builder::new().name("ottla-ready".to_owned()).spawn(move || {
            shared.waiter.park(pause);
            // Before the wake-up: who comes after it begins another pause.
            shared.is_pausing.store(false, Ordering::Release);
            shared.waiter.wake();
        });
        if pausing.is_err() {
            self.is_pausing.store(false, Ordering::Release);
        }
        pausing.is_ok()
    }
}

/// A handle to a consumer for other threads; made by [`Consumer::handle`](crate::Consumer::handle).
///
/// # Examples
/// ```
/// use std::time::Duration;
/// # let broker = ottla::Broker::temporary()?;
/// # broker.topic("orders")?;
/// let mut consumer = broker.consumer("billing", ["orders"])?;
/// let handle = consumer.handle();
/// std::thread::spawn(move || handle.wakeup());
/// assert!(matches!(consumer.poll(Duration::from_secs(60)), Err(ottla::Error::Wakeup)));
/// # Ok::<_, ottla::Error>(())
/// ```
#[derive(Clone)]
pub struct ConsumerHandle {
    pub(super) shared: Arc<Shared>,
}

impl ConsumerHandle {
    /// Makes the poll that is under way, or else the next one, return [`Error::Wakeup`](crate::Error::Wakeup).
    pub fn wakeup(&self) {
        self.shared.woken.store(true, Ordering::Release);
        self.shared.waiter.wake();
    }

    /// Closes the consumer, as [`Consumer::close`](crate::Consumer::close) does, in the poll that is under way or else in the
    /// next one. That poll and every later call return [`Error::Closed`](crate::Error::Closed). Records that were not returned by
    /// then are left to the other members of the group. A listener may call it, too.
    ///
    /// # Examples
    /// ```
    /// use std::time::Duration;
    /// # let broker = ottla::Broker::temporary()?;
    /// # broker.topic("orders")?;
    /// let mut consumer = broker.consumer("billing", ["orders"])?;
    /// let handle = consumer.handle();
    /// std::thread::spawn(move || handle.close());
    /// assert!(matches!(consumer.poll(Duration::from_secs(60)), Err(ottla::Error::Closed { .. })));
    /// # Ok::<_, ottla::Error>(())
    /// ```
    pub fn close(&self) {
        self.shared.closing.store(true, Ordering::Release);
        self.shared.waiter.wake();
    }

    /// How many offsets the consumer has not read yet and can still read, in all its partitions together. Partitions that it has not
    /// polled yet are counted from the log start; [`Admin::describe_group`](crate::Admin::describe_group) counts from what the group
    /// has committed.
    #[must_use]
    pub fn lag(&self) -> u64 {
        self.shared.positions.load().iter().map(|position| position.lag()).sum()
    }
}

/// In short: what it shares with the consumer is a long story.
impl fmt::Debug for ConsumerHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConsumerHandle").field("lag", &self.lag()).finish_non_exhaustive()
    }
}
