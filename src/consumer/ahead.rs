//! Records one at a time: read in larger pieces, and counted as read one by one, as they are handed out.

use std::sync::Arc;
use std::time::Duration;
use std::{iter, vec};

use super::Consumer;
use super::position::{Position, SharedPosition};
use crate::canary::{Canary, planted};
use crate::error::{Error, Result};
use crate::partition::Place;
use crate::record::{ConsumerRecords, Fetched, OwnedRecord};

/// Records of one partition that were read and not handed out yet.
///
/// The position stays before the first of them, so whoever looks at it (a commit, `close`, the lag) need not know of them. They
/// count only while the partition stands there: whatever moves, pauses or takes away a position need not know of them either.
/// Those that do not fit any more are dropped, and the partition is read again from where it stands.
#[derive(Debug)]
pub(super) struct Ahead {
    /// What they were read for. A partition that was given up and taken up again has another one.
    of: Arc<SharedPosition>,
    /// Where the partition stands while they count.
    position: Option<u64>,
    records: vec::IntoIter<OwnedRecord>,
    /// Where the read ended: behind the last record, and behind whatever holds none.
    end: u64,
    place: Option<Place>,
}

impl Ahead {
    /// What was read from where `position` stands.
    fn new(position: &Position, fetched: Fetched, place: Option<Place>) -> Ahead {
        let end = fetched.next_offset;
        let mut records = ConsumerRecords::default();
        records.push(fetched);
        // Copies are what is handed out. Made now, they keep no file open that is closed or deleted meanwhile.
        let records: Vec<_> = records.iter().map(|record| record.detach()).collect();
        Ahead {
            of: Arc::clone(&position.shared),
            position: position.next_offset(),
            records: records.into_iter(),
            end,
            place,
        }
    }

    /// Whether the next of these records is the next one of that partition.
    fn is_next_in(&self, position: &Position) -> bool {
        Arc::ptr_eq(&self.of, &position.shared)
            && self.position == position.next_offset()
            && !position.is_paused
            && !position.log().is_closed()
    }

    /// Hands out the next record: `position` goes behind it, and with the last one to where the read ended.
    fn hand_out(&mut self, position: &mut Position) -> Option<OwnedRecord> {
        let record = self.records.next()?;
        let is_last = self.records.as_slice().is_empty();
        let next = if is_last || planted(Canary::CommitReadAhead) { self.end } else { record.offset() + 1 };
        if is_last {
            position.place = self.place.take();
        }
        position.go_to(next, Some(record.leader_epoch()));
        self.position = Some(next);
        Some(record)
    }
}

impl Consumer {
    /// Returns the next record, as a copy, and waits up to `timeout` for it; `None` if there was none. What is returned counts
    /// as read, and nothing else does: position, lag, [`commit`](Consumer::commit) and auto-commits go record by record, also
    /// where more was read from the disk (up to a poll's limits, from one partition).
    ///
    /// In all else this is a [`poll`](Consumer::poll): what the group asks for is done before each record, and a record of a
    /// partition that was given up is never returned; each call counts for
    /// [`max_poll_interval`](crate::ConsumerConfig::max_poll_interval). The two may be mixed, and each goes on where the other
    /// ended. A poll costs less per record, since it copies nothing.
    ///
    /// # Errors
    /// As [`poll`](Consumer::poll). No records were skipped.
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

    /// Iterates over what [`next_record`](Consumer::next_record) returns, until none came for `timeout`. A loop that is left
    /// early passes over nothing: what it was not given comes in the next call.
    ///
    /// The first error is returned and ends the iteration, whatever it is, as the next call may well return it again (damage
    /// does until it is skipped). The consumer can go on where it stands, with a new iteration for example.
    ///
    /// While it is iterated the consumer cannot be used for anything else. To commit or seek between two records, call
    /// `next_record` in a loop.
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
    fn hand_out(&mut self) -> Result<Option<OwnedRecord>> {
        if let Some(record) = self.take_ahead() {
            return Ok(Some(record));
        }
        let (limits, subscribes) = (self.fetch_limits(), self.subscribes());
        let mut turns = self.positions.active_count();
        while let Some((position, read)) = self.take_turn(&mut turns, limits) {
            let (fetched, place) = match read {
                // Its topic was deleted, or the broker closed, since the last look at those.
                Err(Error::Closed { .. }) if subscribes => continue,
                read => read?,
            };
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::Broker;
    use crate::partition::FetchLimits;
    use crate::partition::PartitionSource;

    /// Offsets 5 and 6 in one batch, 10 and 11 in another of a later epoch, and nothing from there to 20: as compaction and
    /// control batches leave it.
    fn with_gaps() -> (Broker, Position, Fetched) {
        let broker = Broker::temporary().unwrap();
        let topic = broker.topic("orders").unwrap();
        (0..2).for_each(|_| drop(topic.produce("k", "v").unwrap()));
        let mut position =
            Position::new(PartitionSource::from(Arc::clone(topic.partition(0).unwrap().writable().unwrap())));
        let limits = FetchLimits { bytes_max: 1024, records_max: 10 };
        let mut fetched = position.log().fetch(0, limits).unwrap();
        let mut later = fetched.batches[0].clone();
        (fetched.batches[0].base_offset, fetched.batches[0].leader_epoch) = (5, 1);
        (later.base_offset, later.leader_epoch) = (10, 2);
        fetched.batches.push(later);
        (fetched.record_count, fetched.next_offset) = (4, 20);
        position.go_to(3, None);
        (broker, position, fetched)
    }

    #[test]
    fn a_position_is_behind_each_record_and_in_the_end_behind_what_holds_none() {
        let (_broker, mut position, fetched) = with_gaps();
        let mut ahead = Ahead::new(&position, fetched, None);
        let mut found = Vec::new();
        while ahead.is_next_in(&position)
            && let Some(record) = ahead.hand_out(&mut position)
        {
            let committed = position.to_commit().unwrap();
            found.push((record.offset(), committed.offset(), committed.leader_epoch()));
        }
        assert_eq!(found, [(5, 6, Some(1)), (6, 7, Some(1)), (10, 11, Some(2)), (11, 20, Some(2))]);
    }

    #[test]
    fn records_count_while_their_position_stands_before_them() {
        let (_broker, mut position, fetched) = with_gaps();
        let mut ahead = Ahead::new(&position, fetched, None);
        ahead.hand_out(&mut position).unwrap();
        assert!(ahead.is_next_in(&position));
        position.is_paused = true;
        assert!(!ahead.is_next_in(&position));
        position.is_paused = false;
        position.go_to(5, None);
        assert!(!ahead.is_next_in(&position));
        position.go_to(6, None);
        assert!(ahead.is_next_in(&position));
        let mut taken_up_again = Position::new(position.log().clone());
        taken_up_again.go_to(6, None);
        assert!(!ahead.is_next_in(&taken_up_again));
    }
}
