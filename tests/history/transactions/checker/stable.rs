//! How far readers of committed records may see, and have to.

use crate::checker::Checked;
use crate::transactions::events::{Attempt, Found, Life, Outcome, Sample};

/// Checks all that was seen of the bounds of logs, and all that was read.
pub(super) fn check(logs: usize, life: &Life) -> Checked {
    for log in 0..logs {
        let transactions = life.attempts.iter().filter(|attempt| !attempt.is_plain());
        let transactions: Vec<_> = transactions.filter_map(|attempt| Some((attempt.first_in(log)?, attempt))).collect();
        let samples: Vec<_> = life.samples.iter().filter(|sample| sample.log == log).collect();
        for &(first, attempt) in transactions.iter().filter(|(_, attempt)| attempt.is_its_own_end) {
            check_holds_back(life, log, &samples, first, attempt).map_err(|problem| format!("log {log}: {problem}"))?;
        }
        for sample in samples {
            check_goes_on(life, sample, &transactions).map_err(|problem| format!("log {log}: {problem}"))?;
        }
    }
    Ok(())
}

/// As long as it is open, nothing behind its beginning is seen, and nothing from there on is deleted.
fn check_holds_back(life: &Life, log: usize, samples: &[&Sample], first: u64, attempt: &Attempt) -> Checked {
    for sample in samples.iter().filter(|sample| sample.ended < attempt.deciding) {
        if first < sample.stable || first < sample.start {
            return Err(format!("{sample:?}, and a transaction was open from {first} on: {attempt:?}"));
        }
    }
    let reads = life.reads.iter().filter(|read| read.is_committed && read.log == log && read.at < attempt.deciding);
    for read in reads {
        if let Some((offset, value)) = read.records.last().filter(|(offset, _)| first < *offset) {
            return Err(format!(
                "{value:?} was read at {offset}, and a transaction was open from {first} on: {attempt:?}"
            ));
        }
    }
    Ok(())
}

/// What was acknowledged is seen, up to the beginning of what may be open still.
fn check_goes_on(life: &Life, sample: &Sample, transactions: &[(u64, &Attempt)]) -> Checked {
    let acked = |attempt: &&Attempt| attempt.outcome == Outcome::Committed && attempt.ended < sample.began;
    let writes = life.attempts.iter().filter(acked).flat_map(|attempt| &attempt.writes);
    let needed = writes.filter(|write| write.log == sample.log).map(|write| write.offset + 1).max().unwrap_or(0);
    // One that was told of no place may be anywhere.
    if life.attempts.iter().any(|attempt| attempt.may_have_more && sample.began < attempt.settled) {
        return Ok(());
    }
    let open = transactions.iter().filter(|(_, attempt)| sample.began < attempt.settled);
    let open = open.map(|(first, _)| *first).min().unwrap_or(u64::MAX);
    if sample.stable < needed.min(open) {
        return Err(format!("{sample:?}, and all below {needed} is committed, nothing below {open} is open"));
    }
    Ok(())
}

/// Nothing is open when a broker has been opened.
pub(super) fn check_opening(found: &Found) -> Checked {
    if found.open > 0 {
        return Err(format!("{} transactions are open, and nobody has begun one", found.open));
    }
    match found.logs.iter().position(|log| log.stable != log.end) {
        None => Ok(()),
        Some(log) => {
            Err(format!("log {log} ends at {}, and is stable below {}", found.logs[log].end, found.logs[log].stable))
        }
    }
}
