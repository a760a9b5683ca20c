//! Feature `futures`: the records of a consumer as a stream, for tasks.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_core::Stream;
use futures_core::stream::FusedStream;

use super::Consumer;
use super::ready::Ready;
use crate::error::Result;
use crate::record::OwnedRecord;

impl Consumer {
    /// The records that [`next_record`](Consumer::next_record) returns, as a stream that never ends by itself, under any executor.
    /// What it has handed out counts as read, and nothing else does: to drop it, also while it is awaited, passes over no record.
    ///
    /// The first error is handed out and ends the stream, whatever it is, as the next call may well return it again (damage does
    /// until it is skipped). The consumer can go on where it stands, with a new stream for example.
    ///
    /// While it lives the consumer cannot be used for anything else. To commit between two records, take the next one from a new
    /// stream, which costs nothing, or await [`ready`](Consumer::ready) and call `next_record`. Waiting is asynchronous, and
    /// reading is not: a read that has to go to the disk keeps the task's thread for so long.
    ///
    /// # Examples
    /// ```
    /// use futures_core::Stream;
    /// use std::future::poll_fn;
    /// use std::pin::pin;
    ///
    /// async fn print_all(consumer: &mut ottla::Consumer) -> ottla::Result<()> {
    ///     let mut records = pin!(consumer.stream());
    ///     // With the crate `futures` this is `records.next().await`.
    ///     while let Some(record) = poll_fn(|context| records.as_mut().poll_next(context)).await {
    ///         println!("{}", record?.value_str()?);
    ///     }
    ///     Ok(())
    /// }
    /// ```
    pub fn stream(&mut self) -> RecordStream<'_> {
        RecordStream { ready: self.ready(), has_ended: false }
    }
}

/// The records of a consumer, one by one; made by [`Consumer::stream`], where the example is.
#[derive(Debug)]
#[must_use = "a stream does nothing until it is polled"]
pub struct RecordStream<'c> {
    ready: Ready<'c>,
    has_ended: bool,
}

impl Stream for RecordStream<'_> {
    type Item = Result<OwnedRecord>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<OwnedRecord>>> {
        let RecordStream { ready, has_ended } = self.get_mut();
        if *has_ended {
            return Poll::Ready(None);
        }
        if Pin::new(&mut *ready).poll(context).is_pending() {
            return Poll::Pending;
        }
        let next = ready.consumer.next_record(Duration::ZERO).transpose();
        if next.is_none() {
            // It did what the group asked for, and looks again in its next turn: other tasks have theirs before.
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        *has_ended = matches!(next, Some(Err(_)));
        Poll::Ready(next)
    }
}

impl FusedStream for RecordStream<'_> {
    fn is_terminated(&self) -> bool {
        self.has_ended
    }
}
