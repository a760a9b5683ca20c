//! How far the group is: behind what committed transactions have covered, each offset once.

use std::collections::{BTreeMap, BTreeSet};

use crate::checker::Checked;
use crate::transactions::events::{Attempt, Life, Outcome};

/// Notes what is at each offset of the input: the same for everybody, and for ever.
pub(super) fn take_inputs(inputs: &mut [BTreeMap<u64, u64>], life: &Life) -> Checked {
    for input in life.attempts.iter().flat_map(|attempt| &attempt.inputs) {
        let known = *inputs[input.partition].entry(input.offset).or_insert(input.id);
        if known != input.id {
            return Err(format!("{input:?} was read where {known} had been read"));
        }
    }
    Ok(())
}

/// No offset is covered by two transactions that are committed.
pub(super) fn check(positions: &[u64], life: &Life) -> Checked {
    let mut covered = BTreeSet::new();
    for attempt in life.attempts.iter().filter(|attempt| attempt.outcome == Outcome::Committed) {
        for input in &attempt.inputs {
            if input.offset < positions[input.partition] || !covered.insert((input.partition, input.offset)) {
                return Err(format!("{input:?} was committed before, and again: {attempt:?}"));
            }
        }
    }
    Ok(())
}

/// Compares where the next life found the group, and goes on from there.
pub(super) fn settle(positions: &mut [u64], decided: &[&Attempt], found: &[u64]) -> Checked {
    for (partition, (position, found)) in positions.iter_mut().zip(found).enumerate() {
        let inputs = decided.iter().flat_map(|attempt| &attempt.inputs);
        let mut offsets: Vec<u64> =
            inputs.filter(|input| input.partition == partition).map(|input| input.offset).collect();
        offsets.sort_unstable();
        for offset in offsets {
            if offset != *position {
                return Err(format!(
                    "partition {partition} of the input: covered is {offset}, and the next was {position}"
                ));
            }
            *position += 1;
        }
        if *found != *position {
            return Err(format!(
                "partition {partition} of the input: the group stands at {found}, covered is {position}"
            ));
        }
    }
    Ok(())
}
