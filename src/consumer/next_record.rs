//! Records one at a time: read in larger pieces, and counted as read one by one, as they are handed out.

use std::iter;
use std::time::Duration;

use super::Consumer;
use super::ahead::Ahead;
use super::positions::Turns;
use crate::error::{Error, Result};
use crate::record::OwnedRecord;

impl Consumer {
    /// Returns the next record, as a copy. Waits up to `timeout` for it; `None` if none came. Only what was returned counts as
    /// read: position, lag, [`commit`](Consumer::commit) and auto-commits go record by record, although more may have been read
    /// from the disk (up to a poll's limits, from one partition).
    ///
    /// Otherwise this is a [`poll`](Consumer::poll). It does what the group asks for before each record, and never returns a
    /// record of a partition that was given up. Each call counts for
    /// [`max_poll_interval`](crate::ConsumerConfig::max_poll_interval). The two may be mixed: each goes on where the other ended.
    /// A poll costs less per record, since it copies nothing.
    ///
    /// # Errors
    /// As [`poll`](Consumer::poll). No error skips a record.
    ///
    /// # Examples
    /// ```
    /// use std::time::Duration;
    /// # let broker = ottla::Broker::temporary()?;
    /// # let topic = broker.topic("orders")?;
    /// # for n in 0..3 { topic.produce("k", n.to_string())?; }
    /// let mut consumer = broker.consumer("billing", ["orders"])?;
    /// while let Some(record) = consumer.next_record(Duration::ZERO)? {
    ///     println!("{:?}", record.value());
    ///     consumer.commit()?; // This record and those before it.
    /// }
    /// # assert_eq!(consumer.position(&ottla::TopicPartition::new("orders", 0)), Some(3));
    /// # Ok::<_, ottla::Error>(())
    /// ```
    pub fn next_record(&mut self, timeout: Duration) -> Result<Option<OwnedRecord>> {
        self.wait_for(timeout, Consumer::hand_out)
    }

    /// Iterates over what [`next_record`](Consumer::next_record) returns, and ends when no record came for `timeout`. Leaving the
    /// loop early skips nothing: the next call goes on behind the last record that the loop was given.
    ///
    /// The iteration ends with the first error, whatever it is, since the next call may well return it again (damage does until
    /// it is skipped). The consumer can go on where it stands, with a new iteration for example.
    ///
    /// The consumer cannot be used for anything else meanwhile. To commit or seek between two records, call `next_record` in a
    /// loop.
    ///
    /// # Examples
    /// ```
    /// use std::time::Duration;
    /// # let broker = ottla::Broker::temporary()?;
    /// # let topic = broker.topic("orders")?;
    /// # for n in 0..3 { topic.produce("k", n.to_string())?; }
    /// let mut consumer = broker.consumer("billing", ["orders"])?;
    /// for record in consumer.iter(Duration::ZERO).take(2) {
    ///     println!("{:?}", record?.value());
    /// }
    /// consumer.commit()?; // The two, however many there are.
    /// # assert_eq!(consumer.position(&ottla::TopicPartition::new("orders", 0)), Some(2));
    /// # Ok::<_, ottla::Error>(())
    /// ```
    pub fn iter(&mut self, timeout: Duration) -> impl Iterator<Item = Result<OwnedRecord>> + use<'_> {
        let mut has_failed = false;
        iter::from_fn(move || {
            if has_failed {
                return None;
            }
            let next = self.next_record(timeout).transpose();
            has_failed = matches!(next, Some(Err(_)));
            next
        })
    }

    /// The next record: of what was read ahead, or else of the partition whose turn it is.
    fn hand_out(&mut self, mut turns: Turns) -> Result<Option<OwnedRecord>> {
        if let Some(record) = self.take_ahead() {
            return Ok(Some(record));
        }
        let (limits, subscribes) = (self.fetch_limits(), self.subscribes());
        while let Some((position, read)) = self.take_turn(&mut turns, limits) {
            let read = match read {
                // Its topic was deleted, or the broker closed, since the last look at those.
                Err(Error::Closed { .. }) if subscribes => continue,
                read => read?,
            };
            let Some((fetched, place)) = read else { continue };
            if fetched.record_count == 0 {
                position.advance(&fetched, place);
                continue;
            }
            let mut ahead = Ahead::new(position, fetched, place);
            let record = ahead.hand_out(position);
            self.ahead = Some(ahead);
            return Ok(record);
        }
        Ok(None)
    }

    /// The next record of what was read ahead; if there is none, or it is not the next one any more, nothing is ahead from here
    /// on.
    fn take_ahead(&mut self) -> Option<OwnedRecord> {
        let ahead = self.ahead.as_mut()?;
        let position = self.positions.get_mut(ahead.of.log.partition()).ok();
        let position = position.filter(|position| ahead.is_next_in(position));
        let record = position.and_then(|position| ahead.hand_out(position));
        if record.is_none() {
            self.ahead = None;
        }
        record
    }
}
