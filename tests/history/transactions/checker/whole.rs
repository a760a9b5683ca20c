//! What is left of transactions when a life has ended: all of one, or nothing.

use std::collections::HashSet;

use super::{Attempts, Checker};
use crate::checker::Checked;
use crate::events::{Cut, End};
use crate::transactions::events::{Attempt, Found, FoundLog, Number, Outcome, Value, Write};

/// Compares what the next life found. Returns the transactions of this life that are committed for ever.
pub(super) fn settle<'l>(
    checker: &Checker,
    attempts: &Attempts<'l>,
    cut: Cut,
    found: &Found,
) -> Checked<Vec<&'l Attempt>> {
    check_starts(checker, attempts, cut, found)?;
    check_earlier(checker, cut, found)?;
    let seen = seen_before(attempts, cut);
    let mut decided = Vec::new();
    for attempt in &attempts.life.attempts {
        let is_there = if attempt.is_plain() {
            is_plain_there(checker, attempt, cut, found)
        } else {
            is_there(checker, attempt, found)?
        };
        let is_acked = attempt.outcome == Outcome::Committed && attempt.ended < cut.before;
        let must_be = if attempt.is_plain() { is_acked } else { is_acked || seen.contains(&attempt.number) };
        if must_be && !is_there {
            return Err(format!("it was committed or read, and is gone: {attempt:?}"));
        }
        if is_there && !attempt.is_plain() {
            decided.push(attempt);
        }
    }
    check_found(checker, attempts, cut, found, &decided)?;
    Ok(decided)
}

/// Logs begin where they began, or later.
fn check_starts(checker: &Checker, attempts: &Attempts<'_>, cut: Cut, found: &Found) -> Checked {
    for (number, log) in found.logs.iter().enumerate() {
        let seen = attempts.life.samples.iter().filter(|sample| sample.log == number && sample.ended < cut.before);
        let known = seen.map(|sample| sample.start).max().unwrap_or(0).max(checker.starts[number]);
        if log.start < known
            || !checker.rules[number].is_bounded && !checker.rules[number].is_compacted && 0 < log.start
        {
            return Err(format!("log {number} begins at {}, and had begun at {known}", log.start));
        }
    }
    Ok(())
}

/// What was there when the life began is there still.
fn check_earlier(checker: &Checker, cut: Cut, found: &Found) -> Checked {
    for (number, (before, log)) in checker.visible.iter().zip(&found.logs).enumerate() {
        for (&offset, &value) in before {
            let may_go = cut.end == End::PowerCut
                && !checker.rules[number].is_always
                && checker.earlier.get(&value.attempt) == Some(&true);
            if !may_go && !may_be_gone(checker, number, log, offset, value) && log.records.get(&offset) != Some(&value)
            {
                let there = log.records.get(&offset);
                return Err(format!("{value:?} was at {offset} of log {number}, and there is {there:?} now"));
            }
        }
    }
    Ok(())
}

/// Whether retention or compaction explain that something is missing.
fn may_be_gone(checker: &Checker, number: usize, log: &FoundLog, offset: u64, value: Value) -> bool {
    let has_later = || log.records.range(offset + 1..).any(|(_, later)| later.key() == value.key());
    offset < log.start || checker.rules[number].is_compacted && has_later()
}

/// Transactions of which a reader of committed records has seen something before the end.
fn seen_before(attempts: &Attempts<'_>, cut: Cut) -> HashSet<Number> {
    let reads = attempts.life.reads.iter().filter(|read| read.is_committed && read.at < cut.before);
    reads.flat_map(|read| &read.records).map(|(_, value)| value.attempt).collect()
}

fn is_at_its_place(found: &Found, write: &Write) -> bool {
    found.logs[write.log].records.get(&write.offset) == Some(&write.value)
}

/// Whether a transaction is there, as a whole.
fn is_there(checker: &Checker, attempt: &Attempt, found: &Found) -> Checked<bool> {
    let is_missing = |write: &&Write| {
        let log = &found.logs[write.log];
        !is_at_its_place(found, write) && !may_be_gone(checker, write.log, log, write.offset, write.value)
    };
    let is_any_there = attempt.writes.iter().any(|write| is_at_its_place(found, write));
    match attempt.writes.iter().find(is_missing) {
        Some(missing) if is_any_there => Err(format!("{missing:?} is missing, and the rest is there: {attempt:?}")),
        missing => Ok(missing.is_none() && !attempt.writes.is_empty()),
    }
}

/// Whether a plain record is there, or need not be.
fn is_plain_there(checker: &Checker, attempt: &Attempt, cut: Cut, found: &Found) -> bool {
    let may_go = |write: &Write| {
        let log = &found.logs[write.log];
        cut.end == End::PowerCut && !checker.rules[write.log].is_always
            || may_be_gone(checker, write.log, log, write.offset, write.value)
    };
    attempt.writes.iter().all(|write| is_at_its_place(found, write) || may_go(write))
}

/// All that is there was sent, and not aborted, and not only after the end.
fn check_found(checker: &Checker, attempts: &Attempts<'_>, cut: Cut, found: &Found, decided: &[&Attempt]) -> Checked {
    let decided: HashSet<Number> = decided.iter().map(|attempt| attempt.number).collect();
    for (number, log) in found.logs.iter().enumerate() {
        for (&offset, &value) in &log.records {
            if checker.visible[number].get(&offset) == Some(&value) {
                continue;
            }
            let attempt = attempts.writer_of(number, offset, value)?;
            let place = format!("{value:?} is there at {offset} of log {number}");
            if attempt.outcome == Outcome::Aborted {
                return Err(format!("{place}, and was aborted: {attempt:?}"));
            }
            if cut.after < attempt.deciding {
                return Err(format!("{place}, and its commit was asked for after the end: {attempt:?}"));
            }
            if !attempt.is_plain() && !decided.contains(&value.attempt) {
                return Err(format!("{place}, and the rest is not: {attempt:?}"));
            }
        }
    }
    Ok(())
}
