//! What was read and not handed out yet.

use std::sync::Arc;
use std::vec;

use super::position::{Position, SharedPosition};
use crate::canary::{Canary, planted};
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
    pub(super) of: Arc<SharedPosition>,
    /// Where the partition stands while they count.
    position: Option<u64>,
    records: vec::IntoIter<OwnedRecord>,
    /// Where the read ended: behind the last record, and behind whatever holds none.
    end: u64,
    place: Option<Place>,
}

impl Ahead {
    /// What was read from where `position` stands.
    pub(super) fn new(position: &Position, fetched: Fetched, place: Option<Place>) -> Ahead {
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
    pub(super) fn is_next_in(&self, position: &Position) -> bool {
        Arc::ptr_eq(&self.of, &position.shared)
            && self.position == position.next_offset()
            && !position.is_paused
            && !position.log().is_closed()
    }

    /// Hands out the next record: `position` goes behind it, and with the last one to where the read ended.
    pub(super) fn hand_out(&mut self, position: &mut Position) -> Option<OwnedRecord> {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::Broker;
    use crate::partition::FetchLimits;
    use crate::partition::PartitionSource;
    use crate::partition::Ticket;
    use crate::partition::isolation::Isolation;

    /// Offsets 5 and 6 in one batch, 10 and 11 in another of a later epoch, and nothing from there to 20: as compaction and
    /// control batches leave it.
    fn with_gaps() -> (Broker, Position, Fetched) {
        let broker = Broker::temporary().unwrap();
        let topic = broker.topic("orders").unwrap();
        (0..2).for_each(|_| drop(topic.produce("k", "v").unwrap()));
        let mut position = Position::new(
            PartitionSource::from(Arc::clone(topic.partition(0).unwrap().writable().unwrap())),
            Isolation::default(),
            Ticket::new(&Arc::default(), 0),
        );
        let limits = FetchLimits { bytes_max: 1024, records_max: 10 };
        let mut fetched = position.log().fetch(0, limits, Isolation::default()).unwrap();
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
        let mut taken_up_again =
            Position::new(position.log().clone(), Isolation::default(), Ticket::new(&Arc::default(), 0));
        taken_up_again.go_to(6, None);
        assert!(!ahead.is_next_in(&taken_up_again));
    }
}
