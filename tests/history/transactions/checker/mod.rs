//! What must hold of a history of transactions, for any interleaving.
//!
//! - Readers of committed records see nothing of what was aborted, nor of what nobody has asked to commit yet; they skip nothing, and
//!   what they see is where its writer was told that it is. (`visible.rs`)
//! - They see nothing behind the beginning of a transaction that is open, and retention and deletions go no further; where none is, they see
//!   all that is acknowledged. (`stable.rs`)
//! - Over the end of a life a transaction is there in all partitions or in none; what was acknowledged, or was read, is there. (`whole.rs`)
//! - Committed transactions have covered each offset of the input once, without gaps, and the group stands behind the last. (`positions.rs`)
//! - For each record of the input below that there is one in each topic of the output, and for no other. (`once.rs`)
//! - Once a name was opened, who held it before appends and commits nothing. (`fencing.rs`)
//! - Who opens it hears of the last transaction that left a checkpoint and was committed. (`checkpoints.rs`)

mod checkpoints;
mod fencing;
mod once;
mod positions;
mod stable;
#[cfg(test)]
mod tests;
mod visible;
mod whole;

use std::collections::{BTreeMap, HashMap};

use super::events::{Attempt, Found, Life, Number, Value, Write};
use super::plan::{BOUNDED, COMPACTED, OUTPUTS, Plan, TOPICS};
use crate::checker::Checked;
use crate::events::Cut;

/// What a log promises.
#[derive(Debug, Clone, Copy)]
struct LogRules {
    topic: usize,
    /// A plain record that was acknowledged survives a power cut.
    is_always: bool,
    /// Its oldest records go.
    is_bounded: bool,
    /// Of each key the last record stays.
    is_compacted: bool,
}

impl LogRules {
    fn keeps_all(self) -> bool {
        !self.is_bounded && !self.is_compacted
    }
}

/// What is known of a data directory, over all lives so far.
#[derive(Debug)]
pub(crate) struct Checker {
    rules: Vec<LogRules>,
    /// By log: what readers of committed records saw when the last life began, and may see still.
    visible: Vec<BTreeMap<u64, Value>>,
    /// By log: it begins there, or later.
    starts: Vec<u64>,
    /// What was attempted before this life, and which of it was a plain send.
    earlier: HashMap<Number, bool>,
    /// By partition of the input: where the group stood when the last life began.
    positions: Vec<u64>,
    /// By partition of the input: what is at each offset that somebody has read.
    inputs: Vec<BTreeMap<u64, u64>>,
    /// By name: the checkpoint when the last life began.
    checkpoints: Vec<Number>,
}

impl Checker {
    /// An empty data directory.
    pub(crate) fn new(plan: &Plan) -> Checker {
        let topic_of = |name| TOPICS.iter().position(|topic| *topic == name).unwrap_or(0);
        let rules = (0..).zip(OUTPUTS).map(|(log, (topic, _))| LogRules {
            topic: topic_of(topic),
            is_always: plan.is_always(log),
            is_bounded: log == BOUNDED,
            is_compacted: log == COMPACTED,
        });
        Checker::of(rules.collect(), plan.inputs, plan.workers)
    }

    fn of(rules: Vec<LogRules>, inputs: usize, names: usize) -> Checker {
        Checker {
            visible: vec![BTreeMap::new(); rules.len()],
            starts: vec![0; rules.len()],
            rules,
            earlier: HashMap::new(),
            positions: vec![0; inputs],
            inputs: vec![BTreeMap::new(); inputs],
            checkpoints: vec![0; names],
        }
    }

    /// Checks what happened in one life.
    pub(crate) fn check_life(&mut self, life: &Life) -> Checked {
        let attempts = Attempts::new(life);
        visible::check(self, &attempts)?;
        stable::check(self.rules.len(), life)?;
        fencing::check(life)?;
        checkpoints::check(&self.checkpoints, life)?;
        positions::take_inputs(&mut self.inputs, life)?;
        positions::check(&self.positions, life)
    }

    /// Compares what a life was ended with and the next one begins with; from then on takes that for the truth.
    pub(crate) fn check_opening(&mut self, life: &Life, cut: Cut, found: &Found) -> Checked {
        stable::check_opening(found)?;
        let attempts = Attempts::new(life);
        let decided = whole::settle(self, &attempts, cut, found)?;
        positions::settle(&mut self.positions, &decided, &found.positions)?;
        checkpoints::settle(&mut self.checkpoints, life, cut, found)?;
        once::check(&self.rules, &self.inputs, found)?;
        // What else was read there may have been sent after the end.
        for (inputs, &position) in self.inputs.iter_mut().zip(&self.positions) {
            inputs.retain(|&offset, _| offset < position);
        }
        self.earlier.extend(life.attempts.iter().map(|attempt| (attempt.number, attempt.is_plain())));
        self.visible = found.logs.iter().map(|log| log.records.clone()).collect();
        self.starts = found.logs.iter().map(|log| log.start).collect();
        Ok(())
    }

    /// Whether the group has dealt with the input up to these ends.
    pub(crate) fn check_all_done(&self, ends: &[u64]) -> Checked {
        if self.positions == ends {
            return Ok(());
        }
        Err(format!("the group stands at {:?}, and the input ends at {ends:?}", self.positions))
    }
}

/// A life, with its attempts found by their numbers.
#[derive(Debug)]
struct Attempts<'l> {
    life: &'l Life,
    by_number: HashMap<Number, &'l Attempt>,
}

impl<'l> Attempts<'l> {
    fn new(life: &'l Life) -> Attempts<'l> {
        Attempts { life, by_number: life.attempts.iter().map(|attempt| (attempt.number, attempt)).collect() }
    }

    /// Who wrote what is at an offset.
    fn writer_of(&self, log: usize, offset: u64, value: Value) -> Checked<&'l Attempt> {
        let Some(attempt) = self.by_number.get(&value.attempt) else {
            return Err(format!("{value:?} is at {offset} of log {log}, and was not sent in this life"));
        };
        let is_here = |write: &Write| write.log == log && write.offset == offset && write.value == value;
        // One whose send has failed has not told where it is.
        let may_be_here = attempt.may_have_more || attempt.writes.is_empty();
        if !may_be_here && !attempt.writes.iter().any(is_here) {
            return Err(format!("{value:?} is at {offset} of log {log}, and was not sent there: {attempt:?}"));
        }
        Ok(attempt)
    }
}
