//! What threads asked of a broker in transactions during one of its lives, and what it answered.
//!
//! Logs of all outputs are counted through, and so are those of the input: a log is a place in [`OUTPUTS`](super::plan::OUTPUTS), an input
//! the number of a partition.

use std::collections::BTreeMap;

use crate::events::Moment;

/// A transaction, or a plain send. Never 0, and never given twice.
pub(crate) type Number = u64;

/// What a record of an output says: who wrote it, and for which record of the input. Those that stand for no input have a number there
/// that no input has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Value {
    pub(crate) attempt: Number,
    pub(crate) input: u64,
}

/// Keys of the output that is compacted.
const KEYS: u64 = 20;

impl Value {
    /// The key that it has where records have keys.
    pub(crate) fn key(self) -> u64 {
        self.input % KEYS
    }

    pub(crate) fn to_bytes(self) -> [u8; 16] {
        (u128::from(self.attempt) << 64 | u128::from(self.input)).to_be_bytes()
    }

    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Value> {
        let whole = u128::from_be_bytes(bytes.try_into().ok()?);
        let half = |bits: u128| u64::try_from(bits & u128::from(u64::MAX)).ok();
        Some(Value { attempt: half(whole >> 64)?, input: half(whole)? })
    }
}

/// A record that was sent, and where it is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Write {
    pub(crate) log: usize,
    pub(crate) offset: u64,
    pub(crate) value: Value,
    pub(crate) began: Moment,
}

/// A record of the input that a transaction has dealt with: its offset counts as done if the transaction does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Input {
    pub(crate) partition: usize,
    pub(crate) offset: u64,
    pub(crate) id: u64,
}

/// What became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    Committed,
    /// It was given up, or the error says that it is aborted, or that nothing was appended.
    Aborted,
    /// The error leaves it open.
    Unknown,
}

/// A transaction, or records that were sent without one, which are as good as committed by their send.
#[derive(Debug, Clone)]
pub(crate) struct Attempt {
    pub(crate) number: Number,
    /// Who had the name, as a place in the list of holders; `None` for a plain send.
    pub(crate) holder: Option<usize>,
    pub(crate) writes: Vec<Write>,
    pub(crate) inputs: Vec<Input>,
    /// Whether it leaves its number as the checkpoint of the name.
    pub(crate) has_checkpoint: bool,
    /// When its end was asked for; until then it was open, if nobody else has ended it.
    pub(crate) deciding: Moment,
    pub(crate) ended: Moment,
    pub(crate) outcome: Outcome,
    /// Nobody but its holder has ended it: it was open until `deciding`.
    pub(crate) is_its_own_end: bool,
    /// From when on it can hold back no reader.
    pub(crate) settled: Moment,
    /// A send in it failed: it may have written more than it was told.
    pub(crate) may_have_more: bool,
}

impl Attempt {
    pub(crate) fn is_plain(&self) -> bool {
        self.holder.is_none()
    }

    /// Where it begins in a log.
    pub(crate) fn first_in(&self, log: usize) -> Option<u64> {
        self.writes.iter().filter(|write| write.log == log).map(|write| write.offset).min()
    }
}

/// Somebody who opened a name.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Holder {
    pub(crate) name: usize,
    pub(crate) began: Moment,
    pub(crate) ended: Moment,
    /// The number that the last transaction of the name has left; 0 if none has.
    pub(crate) checkpoint: Number,
}

/// What a poll returned of a log to a reader that reads it from somewhere on, in its order.
#[derive(Debug, Clone)]
pub(crate) struct Read {
    pub(crate) reader: usize,
    pub(crate) is_committed: bool,
    pub(crate) log: usize,
    pub(crate) records: Vec<(u64, Value)>,
    pub(crate) at: Moment,
}

/// Bounds of a log, as somebody saw between two moments: its start first, its stable offset then.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sample {
    pub(crate) log: usize,
    pub(crate) start: u64,
    pub(crate) stable: u64,
    pub(crate) began: Moment,
    pub(crate) ended: Moment,
}

/// Everything of one life of the broker. In no order, but that of each reader.
#[derive(Debug, Clone, Default)]
pub(crate) struct Life {
    pub(crate) attempts: Vec<Attempt>,
    pub(crate) holders: Vec<Holder>,
    pub(crate) reads: Vec<Read>,
    pub(crate) samples: Vec<Sample>,
}

/// A log of an output as readers of committed records see it.
#[derive(Debug, Clone, Default)]
pub(crate) struct FoundLog {
    pub(crate) start: u64,
    pub(crate) stable: u64,
    pub(crate) end: u64,
    pub(crate) records: BTreeMap<u64, Value>,
}

/// What the next life begins with.
#[derive(Debug, Clone, Default)]
pub(crate) struct Found {
    pub(crate) logs: Vec<FoundLog>,
    /// Where the group stands, by input.
    pub(crate) positions: Vec<u64>,
    /// By name; 0 if there is none.
    pub(crate) checkpoints: Vec<Number>,
    /// Transactions that are listed as open.
    pub(crate) open: usize,
}
