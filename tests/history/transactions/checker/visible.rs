//! What readers see while the broker lives.

use std::collections::{BTreeMap, HashMap};

use super::{Attempts, Checker, LogRules};
use crate::checker::Checked;
use crate::transactions::events::{Outcome, Read, Value};

/// Checks all reads of a life.
pub(super) fn check(checker: &Checker, attempts: &Attempts<'_>) -> Checked {
    for read in &attempts.life.reads {
        for &(offset, value) in &read.records {
            // What was aborted in earlier lives is there for those who want to see it.
            let is_old = !read.is_committed && checker.earlier.contains_key(&value.attempt);
            if !is_old && checker.visible[read.log].get(&offset) != Some(&value) {
                check_one(attempts, read, offset, value)?;
            }
        }
    }
    check_none_is_skipped(&checker.rules, &checker.visible, attempts)
}

fn check_one(attempts: &Attempts<'_>, read: &Read, offset: u64, value: Value) -> Checked {
    let attempt = attempts.writer_of(read.log, offset, value)?;
    let place = format!("{value:?} was read at {offset} of log {}", read.log);
    if read.at < attempt.writes.first().map_or(attempt.deciding, |write| write.began) {
        return Err(format!("{place} before it was sent: {attempt:?}"));
    }
    // What is aborted, and what is open, is there for those who want to see it.
    let is_for_all = read.is_committed || attempt.is_plain();
    if is_for_all && attempt.outcome == Outcome::Aborted {
        return Err(format!("{place}, and was aborted: {attempt:?}"));
    }
    if is_for_all && read.at < attempt.deciding {
        return Err(format!("{place} before its commit: {attempt:?}"));
    }
    Ok(())
}

/// Offsets go up, and between two of them is nothing that is committed, where nothing is ever deleted.
fn check_none_is_skipped(rules: &[LogRules], before: &[BTreeMap<u64, Value>], attempts: &Attempts<'_>) -> Checked {
    let mut there: Vec<Vec<u64>> = before.iter().map(|records| records.keys().copied().collect()).collect();
    let committed = attempts.life.attempts.iter().filter(|attempt| attempt.outcome == Outcome::Committed);
    for write in committed.flat_map(|attempt| &attempt.writes) {
        there[write.log].push(write.offset);
    }
    for offsets in &mut there {
        offsets.sort_unstable();
    }
    let mut next: HashMap<(usize, usize), u64> = HashMap::new();
    for read in &attempts.life.reads {
        let next = next.entry((read.reader, read.log)).or_insert(0);
        for &(offset, _) in &read.records {
            if offset < *next {
                return Err(format!("a reader of log {} was at {next}, and read {offset}", read.log));
            }
            let offsets = &there[read.log];
            let skipped = offsets.get(offsets.partition_point(|there| there < next)).filter(|there| **there < offset);
            if let Some(skipped) = skipped.filter(|_| rules[read.log].keeps_all()) {
                return Err(format!("a reader of log {} was at {next}, read {offset}, and not {skipped}", read.log));
            }
            *next = offset + 1;
        }
    }
    Ok(())
}
