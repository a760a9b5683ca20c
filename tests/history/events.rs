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

/// The key of a record with this id, where records have keys: a few keys have most of the records, and many have few.
pub(crate) fn key_of(id: Id) -> u64 {
    let mixed = mix(id);
    (mixed >> 16) % (1 << (mixed % 12))
}

/// Whether a record with this id has no value, where records have keys.
pub(crate) fn is_tombstone(id: Id) -> bool {
    (mix(id) >> 8).is_multiple_of(8)
}

fn mix(id: Id) -> u64 {
    let mixed = (id ^ id >> 31).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed ^ mixed >> 29
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
    /// These were returned, one offset after the other; asked for after the moment `asked`, or 0 if they may have been read before.
    Delivered { partition: usize, offset: u64, ids: Range<usize>, asked: Moment, at: Moment },
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

/// What a topic keeps of what was sent to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Limits {
    /// The oldest records go as long as so many bytes are left.
    pub(crate) bytes: Option<u64>,
    /// Records go once they are older than so many milliseconds.
    pub(crate) age_ms: Option<u64>,
    /// Records go once there is a later one of their key.
    pub(crate) is_compacted: bool,
}

/// Where a log began and ended, as somebody saw between two moments; its bytes were looked at after its start.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Seen {
    pub(crate) partition: usize,
    pub(crate) start: u64,
    pub(crate) end: u64,
    /// In segments, if that was looked at.
    pub(crate) bytes: Option<u64>,
    pub(crate) began: Moment,
    pub(crate) ended: Moment,
}

/// Somebody asked for the records below an offset to be deleted.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Deletion {
    pub(crate) partition: usize,
    pub(crate) before: u64,
    pub(crate) began: Moment,
    pub(crate) ended: Moment,
    /// Where the log begins, if the call was answered; if not, it may have begun to delete.
    pub(crate) start: Option<u64>,
}

/// Other limits for the topic of some logs. One after the other, never two at a time.
#[derive(Debug, Clone)]
pub(crate) struct Altered {
    pub(crate) partitions: Range<usize>,
    pub(crate) limits: Limits,
    pub(crate) began: Moment,
    pub(crate) ended: Moment,
    pub(crate) is_acked: bool,
}

/// The clock went on by so much between two moments.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Passed {
    pub(crate) ms: u64,
    pub(crate) began: Moment,
    pub(crate) ended: Moment,
}

/// Everything of one life of the broker. In no order, but for that in members.
#[derive(Debug, Clone, Default)]
pub(crate) struct Life {
    pub(crate) pieces: Vec<Piece>,
    pub(crate) members: Vec<Member>,
    /// Partitions of which the broker said that all below this offset survives a power cut; and when it had said so.
    pub(crate) durable: Vec<(usize, u64, Moment)>,
    pub(crate) seen: Vec<Seen>,
    pub(crate) deletions: Vec<Deletion>,
    pub(crate) altered: Vec<Altered>,
    pub(crate) passed: Vec<Passed>,
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

/// A log as it is read in one go.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct FoundLog {
    pub(crate) start: u64,
    /// What is at each offset from there to the end; 0 where nothing is.
    pub(crate) ids: Vec<Id>,
    /// In segments.
    pub(crate) bytes: u64,
    pub(crate) limits: Limits,
}

impl FoundLog {
    pub(crate) fn end(&self) -> u64 {
        self.start + self.ids.len() as u64
    }

    /// What is at an offset; 0 if nothing is, or it lies outside.
    pub(crate) fn at(&self, offset: u64) -> Id {
        let place = offset.checked_sub(self.start).and_then(|place| usize::try_from(place).ok());
        place.and_then(|place| self.ids.get(place)).copied().unwrap_or(0)
    }
}

/// What the next life begins with.
#[derive(Debug, Clone, Default)]
pub(crate) struct Found {
    /// By partition.
    pub(crate) logs: Vec<FoundLog>,
    /// Below which offset they survive a power cut, by partition.
    pub(crate) durable: Vec<u64>,
    /// By group and partition.
    pub(crate) committed: Vec<Vec<Option<u64>>>,
}
