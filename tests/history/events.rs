//! What threads asked of a broker during one of its lives, and what it answered.
//!
//! Partitions of all topics are counted through: `partition` is a place in the checker's list of logs.

use std::ops::Range;

/// A point in a run. All are different; of two, the lower one was there first. What a call did, it did between the moment
/// that was taken before it and the one that was taken after it.
pub(crate) type Moment = u64;

/// What a record carries: who sent it, and as which of its records. Never 0, and never given twice.
pub(crate) type Id = u64;

/// The first id of a producer; the following ones are its records, in its order.
pub(crate) fn first_id_of(producer: usize) -> Id {
    (producer as u64 + 1) << 48
}

pub(crate) fn producer_of(id: Id) -> usize {
    usize::try_from(id >> 48).map_or(0, |number| number.saturating_sub(1))
}

/// Records that go into one partition in one piece: all of them or none.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Piece {
    /// Of its first record; those of the others follow.
    pub(crate) id: Id,
    pub(crate) count: u64,
    pub(crate) partition: usize,
    pub(crate) began: Moment,
    pub(crate) ended: Moment,
    pub(crate) outcome: Outcome,
}

/// What became of a piece.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It was acknowledged, and begins at this offset.
    At(u64),
    /// The error says that nothing was appended.
    Refused,
    /// The error leaves it open.
    Unknown,
}

/// What a member of a group went through, in its order.
#[derive(Debug, Clone)]
pub(crate) enum Step {
    /// The partition is its own from now on.
    Assigned { partition: usize, at: Moment },
    /// It is about to give the partition up, in whatever way.
    Revoked { partition: usize, at: Moment },
    /// A poll returned these.
    Delivered { partition: usize, offset: u64, ids: Range<usize>, at: Moment },
    /// It committed, or may have.
    Committed(Commit),
}

/// One partition's part of a commit.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Commit {
    pub(crate) partition: usize,
    pub(crate) offset: u64,
    pub(crate) began: Moment,
    pub(crate) ended: Moment,
    /// Whether it was acknowledged; if not, it may have been done and may not.
    pub(crate) is_acked: bool,
}

/// One consumer, from joining its group to leaving it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Member {
    pub(crate) group: usize,
    pub(crate) steps: Vec<Step>,
    /// What all its deliveries returned, one after the other.
    pub(crate) ids: Vec<Id>,
}

/// Everything of one life of the broker. In no order, but for that in members.
#[derive(Debug, Clone, Default)]
pub(crate) struct Life {
    pub(crate) pieces: Vec<Piece>,
    pub(crate) members: Vec<Member>,
    /// Partitions of which the broker said that all below this offset survives a power cut; and when it had said so.
    pub(crate) durable: Vec<(usize, u64, Moment)>,
}

/// How a life ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// With a close, or with the last handle.
    Closed,
    /// The process died.
    Killed,
    /// The power went.
    PowerCut,
}

/// The end of a life. Threads do not notice, and what they do afterwards is of no account.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cut {
    pub(crate) end: End,
    /// What was answered before this moment had been done.
    pub(crate) before: Moment,
    /// What was asked after this moment had not.
    pub(crate) after: Moment,
}

/// What the next life begins with.
#[derive(Debug, Clone, Default)]
pub(crate) struct Found {
    /// All records, by partition and offset.
    pub(crate) logs: Vec<Vec<Id>>,
    /// How many of them survive a power cut, by partition.
    pub(crate) durable: Vec<u64>,
    /// By group and partition.
    pub(crate) committed: Vec<Vec<Option<u64>>>,
}
