//! What must hold of a history, for any interleaving: Jepsen's rules for queues, and what the broker promises about its end.
//!
//! - An offset has one value and a value one offset, also across lives; a piece is whole; the records of a producer are in its
//!   order in every partition. (`log.rs`)
//! - What was acknowledged, or was read, is there in the next life; after a power cut, what was durable. What was refused, or
//!   was never sent, is nowhere. (`settling.rs`)
//! - A partition has one owner in a group. Its polls go on where the last one ended, and begin where the group had committed:
//!   at what was acknowledged last, or at a later attempt. So none is skipped, ever, and none comes twice but what
//!   was not committed. At the end every group has had everything. (`delivery.rs`)
//! - A log begins where nobody has seen it begin later, over any crash; and no later than somebody asked for or the limits of its
//!   topic allow, by what it held then. Once the maintenance is done no more is kept. (`starts.rs`)
//! - In between nothing is missing but, where the topic is compacted, a record of which a later one has the key, and a tombstone
//!   that is old enough, with all that it deleted. (`compaction.rs`)
//! - What a group never got lies below a start that was reached when a member went on behind it, or was taken out by compaction.
//!   Nothing is asked for below a known start and returned. (`delivery.rs`)
//!
//! The work is a comparison of slices per record, and a search per piece. What is kept from life to life is one id per record.

mod clock;
mod compaction;
mod delivery;
mod log;
mod settling;
mod starts;
#[cfg(test)]
mod tests;

pub(crate) use log::LogRules;

use crate::events::{Cut, Found, FoundLog, Id, Life, Moment, Piece, Seen};
use clock::Clock;
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
    clock: Clock,
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
    /// An empty data directory, with a log for each of these rules.
    pub(crate) fn new(rules: &[LogRules], group_count: usize, commits_are_durable: bool) -> Checker {
        let logs = rules.iter().map(LogState::new).collect();
        let groups = vec![vec![GroupState::default(); rules.len()]; group_count];
        Checker { logs, groups, commits_are_durable, clock: Clock::default() }
    }

    /// Checks what happened in one life.
    pub(crate) fn check_life(&mut self, life: &Life) -> Checked<Totals> {
        let pieces = Pieces::new(life);
        for (number, log) in self.logs.iter_mut().enumerate() {
            log.take_life(number, &pieces).map_err(in_partition(number))?;
        }
        self.clock.take(&life.passed);
        let mut totals = Totals { sent: pieces.acknowledged(), ..Totals::default() };
        for member in &life.members {
            self.check_values(member, &pieces)?;
        }
        for (number, log) in self.logs.iter_mut().enumerate() {
            log.check_order(number, &pieces).map_err(in_partition(number))?;
            log.check_moves(&self.clock).map_err(in_partition(number))?;
        }
        for (number, group) in self.groups.iter_mut().enumerate() {
            let members: Vec<_> = life.members.iter().filter(|member| member.group == number).collect();
            let delivered = delivery::check(group, &members, &self.logs, &self.clock);
            let delivered = delivered.map_err(|e| format!("group {number}, {e}"))?;
            totals.delivered += delivered.delivered;
            totals.redelivered += delivered.redelivered;
        }
        Ok(totals)
    }

    /// Compares what a life was ended with and the next one begins with; from then on takes that for the truth.
    pub(crate) fn check_opening(&mut self, life: &Life, cut: Cut, found: &Found) -> Checked {
        let pieces = Pieces::new(life);
        for (number, log) in self.logs.iter_mut().enumerate() {
            let nothing = FoundLog::default();
            let found_log = found.logs.get(number).unwrap_or(&nothing);
            let durable = found.durable.get(number).copied().unwrap_or(0);
            let settled = log.settle(number, &pieces, cut, found_log, durable, &self.clock);
            settled.map_err(in_partition(number))?;
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

    /// Whether every group has got every record that was there at some moment. To be asked when all have read to the end.
    pub(crate) fn check_all_delivered(&self, at: Moment) -> Checked {
        for (group, states) in self.groups.iter().enumerate() {
            for (number, (state, log)) in states.iter().zip(&self.logs).enumerate() {
                if let Some(needed) = log.first_needed(state.delivered, log.end(), at, &self.clock) {
                    let end = log.end();
                    return Err(format!("group {group} has got {needed} of the {end} records of partition {number}"));
                }
            }
        }
        Ok(())
    }

    /// Checks what is left once the maintenance is done, and nobody sends any more; if `have_aged`, after as long a time as any topic
    /// keeps records.
    pub(crate) fn check_maintained(&self, seen: &[Seen], have_aged: bool) -> Checked {
        for seen in seen {
            let checked = self.logs[seen.partition].starts.check_maintained(seen, have_aged);
            checked.map_err(in_partition(seen.partition))?;
        }
        Ok(())
    }

    /// Checks what the last opening found in a log that had been compacted up to offset `closed`, as far as that can be.
    pub(crate) fn check_compacted(&self, partition: usize, closed: u64) -> Checked {
        self.logs[partition].check_compacted(closed).map_err(in_partition(partition))
    }

    /// What members were given is what is in the log.
    fn check_values(&mut self, member: &crate::events::Member, pieces: &Pieces<'_>) -> Checked {
        for step in &member.steps {
            if let crate::events::Step::Delivered { partition, offset, ids, at, .. } = step {
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

/// A life, with its pieces found by the ids in them.
#[derive(Debug)]
struct Pieces<'l> {
    life: &'l Life,
    by_id: Vec<&'l Piece>,
}

impl<'l> Pieces<'l> {
    fn new(life: &'l Life) -> Pieces<'l> {
        let mut by_id: Vec<_> = life.pieces.iter().collect();
        by_id.sort_unstable_by_key(|piece| piece.id);
        Pieces { life, by_id }
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
