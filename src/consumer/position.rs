//! How far a consumer has read in one partition.

use std::sync::Arc;

use crate::canary::{Canary, planted};
use crate::error::Result;
use crate::group::committed_offset::CommittedOffset;
use crate::partition::isolation::Isolation;
use crate::partition::{FetchLimits, PartitionSource, Place, Ticket};
use crate::record::Fetched;
use crate::sync::atomic::{AtomicU64, Ordering};
use crate::topic_partition::TopicPartition;

/// No position yet: the committed offset is looked up when the partition is first polled.
const UNKNOWN: u64 = u64::MAX;

/// What a consumer and its handles share of one partition.
#[derive(Debug)]
pub(super) struct SharedPosition {
    pub(super) log: PartitionSource,
    isolation: Isolation,
    next_offset: AtomicU64,
}

impl SharedPosition {
    pub(super) fn next_offset(&self) -> Option<u64> {
        Some(self.next_offset.load(Ordering::Acquire)).filter(|&offset| offset != UNKNOWN)
    }

    /// One above the last offset that the consumer may see now.
    fn end(&self) -> u64 {
        self.log.end(self.isolation)
    }

    /// How many offsets that can still be read lie between the position and the end; from the log start if there is no position
    /// yet, or what it stands at was deleted.
    pub(super) fn lag(&self) -> u64 {
        let start = self.log.log_start_offset();
        let from = self.next_offset().map_or(start, |offset| offset.max(start));
        self.end().saturating_sub(from)
    }
}

/// A partition that a consumer reads.
#[derive(Debug)]
pub(super) struct Position {
    pub(super) shared: Arc<SharedPosition>,
    /// A copy of the log's address, and not another owner of it: every poll counts owners, and senders count those of the log's.
    partition: TopicPartition,
    pub(super) is_paused: bool,
    /// The leader epoch of the last record that was read.
    leader_epoch: Option<i32>,
    /// Where the last read ended.
    pub(super) place: Option<Place>,
    /// What was committed last, so that nothing is committed twice; [`UNKNOWN`] if that is not known.
    committed: AtomicU64,
    /// Where this consumer began, or was sent by hand, while the group had committed nothing.
    pub(super) begun_at: Option<u64>,
    /// A transaction that is being committed says where to begin. The ticket is delivered when it is over.
    pub(super) is_undecided: bool,
    pub(super) ticket: Ticket,
}

impl Position {
    /// No position yet. `ticket` is delivered when there may be something to do here.
    pub(super) fn new(log: PartitionSource, isolation: Isolation, ticket: Ticket) -> Position {
        let partition = TopicPartition::new(log.partition().topic(), log.partition().partition());
        let shared = SharedPosition { log, isolation, next_offset: AtomicU64::new(UNKNOWN) };
        Position {
            shared: Arc::new(shared),
            partition,
            is_paused: false,
            leader_epoch: None,
            place: None,
            committed: AtomicU64::new(UNKNOWN),
            begun_at: None,
            is_undecided: false,
            ticket,
        }
    }

    pub(super) fn log(&self) -> &PartitionSource {
        &self.shared.log
    }

    /// One above the last offset that the consumer may see now.
    pub(super) fn end(&self) -> u64 {
        self.shared.end()
    }

    /// Reads what the consumer may see from `offset` on; at `place` in a batch, if the last read ended there.
    pub(super) fn fetch(
        &self,
        offset: u64,
        limits: FetchLimits,
        place: Option<&Place>,
    ) -> Result<(Fetched, Option<Place>)> {
        self.log().fetch_on(&self.partition, offset, limits, self.shared.isolation, place)
    }

    /// The first offset that the consumer may see whose record has a timestamp of at least `timestamp_ms`.
    pub(super) fn offset_for_time(&self, timestamp_ms: i64) -> Result<Option<u64>> {
        self.log().offset_for_time(timestamp_ms, self.shared.isolation)
    }

    pub(super) fn partition(&self) -> &TopicPartition {
        &self.partition
    }

    pub(super) fn next_offset(&self) -> Option<u64> {
        self.shared.next_offset()
    }

    /// Goes to `offset`; `leader_epoch` is that of the record before it, if known.
    pub(super) fn go_to(&mut self, offset: u64, leader_epoch: Option<i32>) {
        self.leader_epoch = leader_epoch;
        self.is_undecided = false;
        self.shared.next_offset.store(offset, Ordering::Release);
    }

    /// Stands nowhere any more: the next read finds out where to begin.
    pub(super) fn forget(&mut self) {
        self.go_to(UNKNOWN, None);
    }

    /// Goes behind what cannot be read. With the leader epoch of what is skipped: with that of the last record that was read, a
    /// position beyond the end of that epoch would look as if a power cut had taken what it passed.
    pub(super) fn skip_to(&mut self, offset: u64) {
        self.go_to(offset, self.log().leader_epoch_before(offset));
    }

    /// Goes behind what was fetched, to `place` if that is inside a batch.
    pub(super) fn advance(&mut self, fetched: &Fetched, place: Option<Place>) {
        let leader_epoch = fetched.batches.last().map(|batch| batch.leader_epoch).or(self.leader_epoch);
        self.place = place;
        self.go_to(fetched.next_offset, leader_epoch);
    }

    /// Whether reading would return something: records, or an error.
    pub(super) fn is_ready(&self) -> bool {
        let is_ready = match self.next_offset() {
            Some(offset) => self.log().is_ready_at(offset, self.shared.isolation),
            None => !self.is_undecided,
        };
        is_ready || self.log().is_closed()
    }

    /// The group has committed this offset, or it is not known any more what it has.
    pub(super) fn note_committed(&self, offset: Option<u64>) {
        self.committed.store(offset.unwrap_or(UNKNOWN), Ordering::Relaxed);
    }

    /// The position as it is to be committed; `None` if it was already, if nothing was read, or if the topic was deleted: a
    /// later one of its name is not to begin there.
    pub(super) fn to_commit(&self) -> Option<CommittedOffset> {
        if self.log().is_closed() {
            return None;
        }
        let offset = self.next_offset().filter(|&offset| self.committed.load(Ordering::Relaxed) != offset)?;
        let offset = offset + u64::from(planted(Canary::CommitAhead));
        // That of what stands before the position, which may be a marker of a later epoch than the last record that was read: with that
        // record's, a position behind it would look as if a power cut had taken what it passed.
        let leader_epoch = self.log().leader_epoch_before(offset).max(self.leader_epoch);
        Some(CommittedOffset::new(offset).with_leader_epoch(leader_epoch))
    }
}
