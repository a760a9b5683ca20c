//! One partition in one group: who had it, what was delivered from it, and how far the group says it is.

use super::clock::Clock;
use super::log::LogState;
use super::{Checked, Totals};
use crate::events::{Commit, Cut, End, Member, Moment, Step};

/// What is known of a partition in a group.
#[derive(Debug, Clone)]
pub(super) struct GroupState {
    /// All below was delivered to some member, or was gone by then.
    pub(super) delivered: u64,
    /// Oldest first; the one before all others is that nothing was committed.
    attempts: Vec<Attempt>,
    /// The newest one that was acknowledged.
    acked: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Attempt {
    offset: u64,
    /// The lowest end that a power cut has left since: reading goes on there if that is lower.
    truncated_to: u64,
    began: Moment,
    /// `None` if it was not acknowledged.
    acked_at: Option<Moment>,
}

impl Attempt {
    /// Where a member begins that goes by this one.
    fn start(self) -> u64 {
        self.offset.min(self.truncated_to)
    }
}

impl Default for GroupState {
    fn default() -> GroupState {
        let nothing = Attempt { offset: 0, truncated_to: u64::MAX, began: 0, acked_at: Some(0) };
        GroupState { delivered: 0, attempts: vec![nothing], acked: 0 }
    }
}

/// One time that one member had the partition.
#[derive(Debug)]
struct Stretch<'l> {
    began: Moment,
    ended: Moment,
    steps: Vec<&'l Step>,
}

/// Checks what all members of a group did in one life.
pub(super) fn check(
    states: &mut [GroupState],
    members: &[&Member],
    logs: &[LogState],
    clock: &Clock,
) -> Checked<Totals> {
    let mut totals = Totals::default();
    let mut stretches: Vec<Vec<Stretch<'_>>> = states.iter().map(|_| Vec::new()).collect();
    for member in members {
        collect(member, &mut stretches)?;
    }
    for (number, (state, mut stretches)) in states.iter_mut().zip(stretches).enumerate() {
        stretches.sort_unstable_by_key(|stretch| stretch.began);
        if let Some(two) = stretches.windows(2).find(|two| two[0].ended > two[1].began) {
            let (one, other) = (two[0].began..two[0].ended, two[1].began..two[1].ended);
            return Err(format!("partition {number}: two members had it, during {one:?} and {other:?}"));
        }
        for stretch in &stretches {
            state.check(stretch, &logs[number], clock, &mut totals).map_err(|e| format!("partition {number}: {e}"))?;
        }
    }
    Ok(totals)
}

/// Takes a member's steps apart by partition.
fn collect<'l>(member: &'l Member, stretches: &mut [Vec<Stretch<'l>>]) -> Checked {
    let mut open: Vec<Option<Stretch<'l>>> = stretches.iter().map(|_| None).collect();
    for step in &member.steps {
        let partition = match step {
            Step::Assigned { partition, at } => {
                // Told of twice it is still its own.
                let stretch = || Stretch { began: *at, ended: Moment::MAX, steps: Vec::new() };
                open[*partition].get_or_insert_with(stretch);
                continue;
            }
            Step::Revoked { partition, at } => {
                if let Some(stretch) = open[*partition].take() {
                    stretches[*partition].push(Stretch { ended: *at, ..stretch });
                }
                continue;
            }
            Step::Delivered { partition, .. } => *partition,
            Step::Committed(commit) => commit.partition,
        };
        let Some(stretch) = &mut open[partition] else {
            return Err(format!("partition {partition}: {step:?} by a member that does not have it"));
        };
        stretch.steps.push(step);
    }
    for (stretch, stretches) in open.into_iter().zip(stretches) {
        stretches.extend(stretch);
    }
    Ok(())
}

impl GroupState {
    fn check(&mut self, stretch: &Stretch<'_>, log: &LogState, clock: &Clock, totals: &mut Totals) -> Checked {
        let mut position = None;
        for step in &stretch.steps {
            match step {
                Step::Delivered { offset, ids, asked, at, .. } => {
                    let needed = |from| log.first_needed(from, *offset, *at, clock);
                    match position {
                        None => self.check_start(*offset, needed)?,
                        Some(position) => {
                            let back = (*offset < position).then_some(position);
                            if let Some(position) = back.or_else(|| needed(position)) {
                                return Err(format!("a poll returned offset {offset}, the next one was {position}"));
                            }
                        }
                    }
                    let start = log.starts.least_at(*asked);
                    if *offset < start {
                        return Err(format!("a poll returned offset {offset}, and the log began at {start} before it"));
                    }
                    let next = offset + ids.len() as u64;
                    position = Some(next);
                    totals.delivered += ids.len() as u64;
                    totals.redelivered += self.delivered.min(next).saturating_sub(*offset);
                    self.delivered = self.delivered.max(next);
                }
                Step::Committed(commit) => self.take_commit(commit, log.end())?,
                Step::Assigned { .. } | Step::Revoked { .. } => {}
            }
        }
        Ok(())
    }

    /// A new owner begins where the last one has certainly committed, or where it may have; `needed` says what there is in between.
    fn check_start(&self, offset: u64, needed: impl Fn(u64) -> Option<u64>) -> Checked {
        let possible = self.attempts.get(self.acked..).unwrap_or_default();
        if let Some(needed) = Some(self.delivered).filter(|from| *from < offset).and_then(&needed) {
            return Err(format!("offset {offset} was delivered to a new owner, and {needed} to nobody"));
        }
        let leads_here = |attempt: &Attempt| attempt.start() <= offset && needed(attempt.start()).is_none();
        let is_exact = possible.iter().any(|attempt| attempt.start() == offset);
        if !is_exact && !possible.iter().any(leads_here) {
            let acked = possible.first().map(|attempt| attempt.start());
            return Err(format!(
                "a new owner began at {offset}; acknowledged is {acked:?}, and nobody committed that since"
            ));
        }
        Ok(())
    }

    fn take_commit(&mut self, commit: &Commit, log_end: u64) -> Checked {
        if commit.offset > log_end {
            return Err(format!("offset {} was committed, the log ends at {log_end}", commit.offset));
        }
        self.attempts.push(Attempt {
            offset: commit.offset,
            truncated_to: u64::MAX,
            began: commit.began,
            acked_at: commit.is_acked.then_some(commit.ended),
        });
        if commit.is_acked {
            // What came before can only come back with a power cut.
            self.acked = self.attempts.len() - 1;
        }
        Ok(())
    }

    /// Compares what the next life found, and goes on from that.
    pub(super) fn settle(&mut self, found: Option<u64>, cut: Cut, log_end: u64, is_durable: bool) -> Checked {
        let offset = found.unwrap_or(0);
        let is_acked = |attempt: &Attempt| attempt.acked_at.is_some_and(|at| at < cut.before);
        let oldest = self.attempts.iter().rposition(is_acked).unwrap_or(0);
        let oldest = if cut.end == End::PowerCut && !is_durable { 0 } else { oldest };
        let newest = self.attempts.iter().rposition(|attempt| attempt.began <= cut.after).unwrap_or(0);
        let possible = self.attempts.get(oldest..=newest).unwrap_or_default();
        let is_found = |attempt: &&Attempt| attempt.offset == offset;
        let mut left: Vec<Attempt> = possible.iter().filter(is_found).copied().collect();
        if left.is_empty() {
            let mut possible: Vec<_> = possible.iter().map(|attempt| attempt.offset).collect();
            possible.dedup();
            return Err(format!("after {:?} the group stands at {found:?}, not at one of {possible:?}", cut.end));
        }
        if cut.end == End::PowerCut {
            for attempt in left.iter_mut().filter(|attempt| attempt.offset > log_end) {
                attempt.truncated_to = attempt.truncated_to.min(log_end);
            }
        }
        if let Some(ahead) = left.iter().find(|attempt| attempt.start() > log_end) {
            return Err(format!("the group stands at {}, and the log ends at {log_end}", ahead.offset));
        }
        // Whoever got more is no longer there to tell.
        self.delivered = left.iter().map(|attempt| attempt.start()).max().unwrap_or(0);
        self.attempts = left.into_iter().map(|attempt| Attempt { began: 0, acked_at: Some(0), ..attempt }).collect();
        self.attempts.dedup();
        self.acked = 0;
        Ok(())
    }
}
