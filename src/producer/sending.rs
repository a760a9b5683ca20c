//! What tasks may do with a producer: await that a record is durable.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use super::Producer;
use super::batch::partition_of;
use crate::error::{Error, Result};
use crate::partition::durable_wait::DurableWait;
use crate::record::{ProducerRecord, RecordMetadata};

impl Producer {
    /// [`send`](Producer::send) for tasks: appends one record, and returns a future that completes when the record is as durable as
    /// `send` would have made it. Await it under any executor. With [`Durability::Always`](crate::Durability::Always) any number of
    /// tasks share each sync, however few threads they have; with less the future is ready at once.
    ///
    /// The record is in the log when this returns, whatever becomes of the future: dropped before it completes, as by a timeout, it
    /// takes nothing along but the answer. To send several records at once, call this for each and then await the futures. The
    /// futures keep no broker open: one that is closed makes everything durable first, and they complete.
    ///
    /// The broker's maintenance does the syncing and wakes the task. Without its [thread](crate::BrokerBuilder::background) the
    /// first poll syncs, and the task's thread waits for the disk so long.
    ///
    /// # Errors
    /// From this call, as from [`send`](Producer::send): nothing was appended, or after [`Error::InDoubt`] nobody knows. From the
    /// future: [`Error::NotDurable`], [`Error::InDoubt`], and [`Error::Closed`] if the topic was deleted meanwhile, and the record
    /// with it.
    ///
    /// # Examples
    /// ```
    /// use ottla::ProducerRecord;
    /// # let broker = ottla::Broker::temporary()?;
    /// # broker.topic("orders")?;
    /// # let producer = broker.producer();
    /// # let sent = async {
    /// let sent = producer.send_async(ProducerRecord::to("orders").value("2 coffees"))?.await?;
    /// assert_eq!(sent.offset(), 0);
    /// # Ok::<_, ottla::Error>(())
    /// # };
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(sent)?;
    /// # Ok::<_, ottla::Error>(())
    /// ```
    #[allow(clippy::needless_pass_by_value, reason = "a record is made for one send, and the call reads better")]
    pub fn send_async(&self, record: ProducerRecord<'_>) -> Result<Sending> {
        let Some(topic) = record.get_topic() else { return Err(Error::NoTopic) };
        self.store.with_topic(topic, |topic| {
            let partition = partition_of(&*self.partitioner, &record, topic.partition_count())?;
            let (metadata, wait) = topic.append_one_for_task(partition, &record, self.least_durability)?;
            Ok(Sending { metadata, wait })
        })
    }
}

/// A record that is in the log and may not be durable yet; made by [`Producer::send_async`].
///
/// Completes with where the record is, once that survives what the topic and the producer demand. Polled again after an error it
/// tries again, and the thread waits for the disk.
#[must_use = "the record is in the log, and only the future tells when it is durable"]
pub struct Sending {
    metadata: RecordMetadata,
    /// `None` if there is nothing to wait for.
    wait: Option<Arc<DurableWait>>,
}

impl Sending {
    /// Where the record is, before it is known to be durable.
    ///
    /// # Examples
    /// ```
    /// use ottla::ProducerRecord;
    /// # let broker = ottla::Broker::temporary()?;
    /// # broker.topic("orders")?;
    /// let sending = broker.producer().send_async(ProducerRecord::to("orders").value("2 coffees"))?;
    /// assert_eq!(sending.metadata().to_string(), "orders-0@0");
    /// # Ok::<_, ottla::Error>(())
    /// ```
    #[must_use]
    pub fn metadata(&self) -> &RecordMetadata {
        &self.metadata
    }
}

impl Future for Sending {
    type Output = Result<RecordMetadata>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<RecordMetadata>> {
        let Sending { metadata, wait } = self.get_mut();
        if let Some(waiting) = wait {
            ready!(waiting.poll(context.waker()))?;
            *wait = None;
        }
        Poll::Ready(Ok(metadata.clone()))
    }
}

impl Drop for Sending {
    fn drop(&mut self) {
        if let Some(wait) = &self.wait {
            wait.forget_waker();
        }
    }
}

/// In short: which record.
impl fmt::Debug for Sending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sending").field("record", &format_args!("{}", self.metadata)).finish_non_exhaustive()
    }
}
