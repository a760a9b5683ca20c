//! What other threads and tasks may do with a consumer: wake it, look at its lag, wait for it.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use super::Consumer;
use super::position::SharedPosition;
use crate::partition::Waiter;
use crate::sync::ArcSwap;
use crate::sync::atomic::{AtomicBool, Ordering};

/// What a consumer shares with its handles.
#[derive(Debug, Default)]
pub(super) struct Shared {
    pub(super) waiter: Arc<Waiter>,
    woken: AtomicBool,
    closing: AtomicBool,
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
}

/// A handle to a consumer for other threads; made by [`Consumer::handle`].
///
/// # Examples
/// ```
/// use std::time::Duration;
/// # let broker = ottla::Broker::temporary()?;
/// let mut consumer = broker.consumer("billing", ["orders"])?;
/// let handle = consumer.handle();
/// std::thread::spawn(move || handle.wakeup());
/// assert!(matches!(consumer.poll(Duration::from_secs(60)), Err(ottla::Error::Wakeup)));
/// # Ok::<_, ottla::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct ConsumerHandle {
    pub(super) shared: Arc<Shared>,
}

impl ConsumerHandle {
    /// Makes the poll that is under way, or else the next one, return [`Error::Wakeup`](crate::Error::Wakeup).
    pub fn wakeup(&self) {
        self.shared.woken.store(true, Ordering::Release);
        self.shared.waiter.wake();
    }

    /// Has the consumer closed by the poll that is under way, or else by the next one, as [`Consumer::close`] does; that poll
    /// and everything after it return [`Error::Closed`](crate::Error::Closed). What was not returned by then is left to the
    /// others of the group. Also for a listener that wants to end.
    pub fn close(&self) {
        self.shared.closing.store(true, Ordering::Release);
        self.shared.waiter.wake();
    }

    /// How many offsets the consumer has not read yet, over all its partitions.
    #[must_use]
    pub fn lag(&self) -> u64 {
        self.shared.positions.load().iter().map(|position| position.lag()).sum()
    }
}

/// Completes when a poll has something to do at once; made by [`Consumer::ready`].
#[derive(Debug)]
#[must_use = "a future does nothing until it is awaited"]
pub struct Ready<'c> {
    pub(super) consumer: &'c mut Consumer,
}

impl Future for Ready<'_> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let consumer = &mut *self.get_mut().consumer;
        if consumer.store.is_forked() {
            return Poll::Ready(());
        }
        loop {
            consumer.positions.take_delivered();
            if consumer.store.is_read_only() || consumer.is_ready() {
                return Poll::Ready(());
            }
            if consumer.shared.waiter.register_waker(context.waker(), consumer.next_due()) {
                return Poll::Pending;
            }
        }
    }
}
