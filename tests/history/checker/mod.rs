//! What must hold of a history, for any interleaving: Jepsen's rules for queues, and what the broker promises about its end.
//!
//! - An offset has one value and a value one offset, also across lives; a piece is whole; the records of a producer are in its
//!   order in every partition. (`log.rs`)
//! - What was acknowledged, or was read, is there in the next life; after a power cut, what was durable. What was refused, or
//!   was never sent, is nowhere. (`log.rs`)
//! - A partition has one owner in a group. Its polls go on where the last one ended, and begin where the group had committed:
//!   at what was acknowledged last, or at a later attempt. So none is skipped, ever, and none comes twice but what
//!   was not committed. At the end every group has had everything. (`delivery.rs`)
//!
//! The work is a comparison of slices per record, and a search per piece. What is kept from life to life is one id per record.

mod delivery;
mod log;
#[cfg(test)]
mod tests;

use crate::events::{Cut, Found, Id, Life, Piece};
use delivery::GroupState;
use log::LogState;

/// What does not hold, in words.
pub(crate) type Checked<T = ()> = Result<T, String>;

/// What is known of a data directory, over all lives so far.
#[derive(Debug)]
pub(crate) struct Checker {
    logs: Vec<LogState>,
    /// By group and partition.
    groups: Vec<Vec<GroupState>>,
    /// Whether commits survive a power cut.
    commits_are_durable: bool,
}

/// What was looked at.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Totals {
    /// Records that have been acknowledged.
    pub(crate) sent: u64,
    /// Records that polls returned, in all groups.
    pub(crate) delivered: u64,
    /// Of these, how many their group had got before.
    pub(crate) redelivered: u64,
}

impl Checker {
    /// An empty data directory, with a log for each of `is_always`: whether its topic is `Durability::Always`.
    pub(crate) fn new(is_always: &[bool], group_count: usize, commits_are_durable: bool) -> Checker {
        let logs = is_always.iter().map(|&is_always| LogState::new(is_always)).collect();
        let groups = vec![vec![GroupState::default(); is_always.len()]; group_count];
        Checker { logs, groups, commits_are_durable }
    }

    /// Checks what happened in one life.
    pub(crate) fn check_life(&mut self, life: &Life) -> Checked<Totals> {
        let pieces = Pieces::new(&life.pieces);
        for (number, log) in self.logs.iter_mut().enumerate() {
            log.take_acknowledged(number, &pieces).map_err(in_partition(number))?;
        }
        let mut totals = Totals { sent: pieces.acknowledged(), ..Totals::default() };
        for member in &life.members {
            self.check_values(member, &pieces)?;
        }
        for (number, log) in self.logs.iter_mut().enumerate() {
            log.check_order(number, &pieces).map_err(in_partition(number))?;
        }
        for (number, group) in self.groups.iter_mut().enumerate() {
            let members: Vec<_> = life.members.iter().filter(|member| member.group == number).collect();
            let delivered = delivery::check(group, &members, &self.logs).map_err(|e| format!("group {number}, {e}"))?;
            totals.delivered += delivered.delivered;
            totals.redelivered += delivered.redelivered;
        }
        Ok(totals)
    }

    /// Compares what a life was ended with and the next one begins with; from then on takes that for the truth.
    pub(crate) fn check_opening(&mut self, life: &Life, cut: Cut, found: &Found) -> Checked {
        let pieces = Pieces::new(&life.pieces);
        for (number, log) in self.logs.iter_mut().enumerate() {
            let ids = found.logs.get(number).map(Vec::as_slice).unwrap_or_default();
            let durable = found.durable.get(number).copied().unwrap_or(0);
            log.settle(number, &pieces, life, cut, ids, durable).map_err(in_partition(number))?;
        }
        for (group, states) in self.groups.iter_mut().enumerate() {
            for (number, state) in states.iter_mut().enumerate() {
                let committed = found.committed.get(group).and_then(|all| all.get(number)).copied().flatten();
                let end = self.logs[number].end();
                let settled = state.settle(committed, cut, end, self.commits_are_durable);
                settled.map_err(|problem| format!("group {group}, partition {number}: {problem}"))?;
            }
        }
        Ok(())
    }

    /// Whether every group has got every record. To be asked when all have read to the end.
    pub(crate) fn check_all_delivered(&self) -> Checked {
        for (group, states) in self.groups.iter().enumerate() {
            for (number, (state, log)) in states.iter().zip(&self.logs).enumerate() {
                if state.delivered != log.end() {
                    let (delivered, end) = (state.delivered, log.end());
                    return Err(format!(
                        "group {group} has got {delivered} of the {end} records of partition {number}"
                    ));
                }
            }
        }
        Ok(())
    }

    /// What members were given is what is in the log.
    fn check_values(&mut self, member: &crate::events::Member, pieces: &Pieces<'_>) -> Checked {
        for step in &member.steps {
            if let crate::events::Step::Delivered { partition, offset, ids, at } = step {
                let ids = &member.ids[ids.clone()];
                let read = self.logs[*partition].take_read(*partition, pieces, *offset, ids, *at);
                read.map_err(in_partition(*partition))?;
            }
        }
        Ok(())
    }
}

fn in_partition(number: usize) -> impl Fn(String) -> String {
    move |problem| format!("partition {number}: {problem}")
}

/// The pieces of one life, found by the ids in them.
#[derive(Debug)]
struct Pieces<'l> {
    by_id: Vec<&'l Piece>,
}

impl<'l> Pieces<'l> {
    fn new(pieces: &'l [Piece]) -> Pieces<'l> {
        let mut by_id: Vec<_> = pieces.iter().collect();
        by_id.sort_unstable_by_key(|piece| piece.id);
        Pieces { by_id }
    }

    /// The piece with this record.
    fn of(&self, id: Id) -> Option<&'l Piece> {
        let behind = self.by_id.partition_point(|piece| piece.id <= id);
        let piece = self.by_id.get(behind.checked_sub(1)?)?;
        (id - piece.id < piece.count).then_some(piece)
    }

    /// Records that were acknowledged.
    fn acknowledged(&self) -> u64 {
        let is_acked = |piece: &&&Piece| matches!(piece.outcome, crate::events::Outcome::At(_));
        self.by_id.iter().filter(is_acked).map(|piece| piece.count).sum()
    }
}
