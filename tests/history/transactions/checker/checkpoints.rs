//! What a name keeps for whoever opens it next.

use crate::checker::Checked;
use crate::events::{Cut, Moment};
use crate::transactions::events::{Attempt, Found, Life, Number, Outcome};

/// Checks what all were told who opened a name in this life.
pub(super) fn check(before: &[Number], life: &Life) -> Checked {
    for holder in &life.holders {
        let told = check_one(before, life, holder.name, (holder.began, holder.ended), holder.checkpoint);
        told.map_err(|problem| format!("{problem}: {holder:?}"))?;
    }
    Ok(())
}

/// Compares what the next life found, and goes on from that.
pub(super) fn settle(checkpoints: &mut [Number], life: &Life, cut: Cut, found: &Found) -> Checked {
    for (name, &checkpoint) in found.checkpoints.iter().enumerate() {
        check_one(checkpoints, life, name, (cut.before, cut.after), checkpoint)?;
    }
    checkpoints.copy_from_slice(&found.checkpoints);
    Ok(())
}

/// A checkpoint is that of a transaction that was committed before, or may be, and after which none was for certain.
fn check_one(
    before: &[Number],
    life: &Life,
    name: usize,
    (began, ended): (Moment, Moment),
    checkpoint: Number,
) -> Checked {
    let of_name = |attempt: &&Attempt| {
        attempt.has_checkpoint && attempt.holder.is_some_and(|holder| life.holders[holder].name == name)
    };
    let acked = |attempt: &&Attempt| attempt.outcome == Outcome::Committed && attempt.ended < began;
    let mut acked = life.attempts.iter().filter(of_name).filter(acked);
    let told = life.attempts.iter().filter(of_name).find(|attempt| attempt.number == checkpoint);
    let from = match told {
        Some(told) if told.outcome == Outcome::Aborted => {
            return Err(format!("the checkpoint of name {name} is {checkpoint}, of one that was aborted"));
        }
        Some(told) if ended < told.deciding => {
            return Err(format!("the checkpoint of name {name} is {checkpoint}, before its commit"));
        }
        Some(told) => told.ended,
        None if before[name] == checkpoint => 0,
        None => return Err(format!("the checkpoint of name {name} is {checkpoint}, which nobody left")),
    };
    match acked.find(|other| from < other.deciding) {
        None => Ok(()),
        Some(later) => {
            Err(format!("the checkpoint of name {name} is {checkpoint}, and {} was committed later", later.number))
        }
    }
}
