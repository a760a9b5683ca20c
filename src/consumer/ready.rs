//! What tasks may do with a consumer: wait for it.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use super::Consumer;

impl Consumer {
    /// Returns a future that completes when a poll would return at once. Await it under any executor, then call
    /// `poll(Duration::ZERO)`. Dropping it early loses nothing.
    ///
    /// It also completes when a poll has something else to do: partitions come or go, say, or an auto-commit is due. That poll may
    /// return no records. For what is due at a certain time, the broker's maintenance wakes the task; without its
    /// [thread](crate::BrokerBuilder::background), your calls of [`run_maintenance`](crate::Broker::run_maintenance) do.
    ///
    /// If the broker is open read-only, the process that sends cannot wake this one. The future then looks again after pauses of
    /// up to ten milliseconds, with a short-lived thread for each.
    ///
    /// Polls and commits are plain calls that may wait for the disk. If a task must not wait, make them on a thread that may;
    /// see [async code](crate::guide::async_code).
    ///
    /// # Examples
    /// ```
    /// # let broker = ottla::Broker::temporary()?;
    /// # async fn consume(consumer: &mut ottla::Consumer) -> ottla::Result<ottla::ConsumerRecords> {
    /// consumer.ready().await;
    /// consumer.poll(std::time::Duration::ZERO)
    /// # }
    /// # Ok::<_, ottla::Error>(())
    /// ```
    pub fn ready(&mut self) -> Ready<'_> {
        Ready { consumer: self }
    }
}

/// Completes when a poll has something to do at once; made by [`Consumer::ready`], where the example is.
#[must_use = "a future does nothing until it is awaited"]
pub struct Ready<'c> {
    pub(super) consumer: &'c mut Consumer,
}

/// In short: for which consumer.
impl fmt::Debug for Ready<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ready").field("consumer", &self.consumer).finish_non_exhaustive()
    }
}

impl Future for Ready<'_> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let Ready { consumer } = self.get_mut();
        if consumer.store.is_forked() {
            return Poll::Ready(());
        }
        let is_read_only = consumer.store.is_read_only();
        loop {
            consumer.positions.take_delivered();
            if is_read_only {
                consumer.positions.take_untold();
            }
            if consumer.is_ready() {
                return Poll::Ready(());
            }
            let due = consumer.next_due();
            if consumer.shared.waiter.register_waker(context.waker(), due) {
                if let Some(due) = due {
                    consumer.store.wake_tasks_at(due);
                }
                // Without a thread, whoever awaits this is not to wait for ever.
                let is_woken = !is_read_only || consumer.shared.wake_after(consumer.pauses.next(Duration::MAX));
                return if is_woken { Poll::Pending } else { Poll::Ready(()) };
            }
        }
    }
}
