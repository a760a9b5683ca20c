//! Polling: as many records as the limits allow, from all partitions in turn.

use std::time::Duration;

use super::Consumer;
use super::positions::Turns;
use crate::error::{Error, Result};
use crate::record::ConsumerRecords;

impl Consumer {
    /// Returns new records. Waits up to `timeout` for the first; the result is empty if none came.
    ///
    /// Everything that is returned counts as read: the next poll goes on behind it. If you want to leave a loop half-way, or to
    /// commit each record by itself, use [`next_record`](Consumer::next_record) or [`iter`](Consumer::iter), which count records one
    /// by one.
    ///
    /// A poll also does what the group asks for: it gives up partitions and takes others (a
    /// [`RebalanceListener`](crate::RebalanceListener) is told), and makes auto-commits. It never waits for other members for
    /// longer than `timeout`.
    ///
    /// # Errors
    /// [`Error::Wakeup`] after [`ConsumerHandle::wakeup`](crate::ConsumerHandle::wakeup); [`Error::Corrupt`] where the next record is damaged, again and again
    /// until [`skip_corrupt`](Consumer::skip_corrupt) or a [`seek`](Consumer::seek) passes it; [`Error::LogTruncated`] where a power cut took
    /// records that the committed offset had passed; with [`OffsetReset::Error`](crate::OffsetReset::Error),
    /// [`Error::NoCommittedOffset`] where the group has committed nothing and [`Error::OffsetOutOfRange`] where the position is not in
    /// the log, each until a [`seek`](Consumer::seek);
    /// [`Error::PollTooLate`] once if this consumer was put out of its group because it polled too late, [`Error::Fenced`] if
    /// another one has its place; [`Error::AssignorFailed`], [`Error::ListenerPanicked`], and what the listener or an auto-commit
    /// returned; [`Error::InvalidState`] where it is not known whether a transaction has committed the group's offset, until the
    /// broker is opened again; [`Error::CodecUnavailable`], [`Error::Closed`]. No error skips a record.
    ///
    /// # Examples
    /// ```
    /// use std::time::Duration;
    /// # let broker = ottla::Broker::temporary()?;
    /// broker.topic("orders")?.produce("customer-1", "2 coffees")?;
    /// let mut consumer = broker.consumer("billing", ["orders"])?;
    /// let records = consumer.poll(Duration::from_secs(1))?;
    /// for record in &records {
    ///     println!("{}: {}", record.address(), record.value_str()?); // orders-0@0: 2 coffees
    /// }
    /// consumer.commit()?;
    /// # assert_eq!(records.len(), 1);
    /// # Ok::<_, ottla::Error>(())
    /// ```
    pub fn poll(&mut self, timeout: Duration) -> Result<ConsumerRecords> {
        Ok(self.wait_for(timeout, Consumer::fetch)?.unwrap_or_default())
    }

    /// Reads from the partitions in turn until the limits are reached.
    fn fetch(&mut self, mut turns: Turns) -> Result<Option<ConsumerRecords>> {
        // What is left of it is read again, from the positions.
        self.ahead = None;
        let mut records = ConsumerRecords::default();
        let (mut left, subscribes) = (self.fetch_limits(), self.subscribes());
        while let Some((position, read)) = self.take_turn(&mut turns, left) {
            let read = match read {
                // What was read from other partitions is returned first; the error comes again.
                Err(_) if !records.is_empty() => {
                    self.positions.put_back();
                    break;
                }
                // Its topic was deleted, or the broker closed, since the last look at those.
                Err(Error::Closed { .. }) if subscribes => continue,
                // The others first next time, or they would never be read before somebody seeks.
                read => read?,
            };
            let Some((fetched, place)) = read else { continue };
            position.advance(&fetched, place);
            if fetched.record_count == 0 {
                continue;
            }
            let bytes: usize = fetched.batches.iter().map(|batch| batch.records.len()).sum();
            left.bytes_max = left.bytes_max.saturating_sub(bytes);
            left.records_max -= fetched.record_count;
            records.push(fetched);
            if left.bytes_max == 0 || left.records_max == 0 {
                break;
            }
        }
        Ok(Some(records).filter(|records| !records.is_empty()))
    }
}
