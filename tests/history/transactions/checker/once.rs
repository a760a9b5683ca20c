//! Outputs and inputs, counted, without asking anybody what happened.

use std::collections::{BTreeMap, HashMap};

use super::LogRules;
use crate::checker::Checked;
use crate::transactions::events::Found;

/// In each topic that keeps all there is one record for each of the input that is done, and none for one that is not.
pub(super) fn check(rules: &[LogRules], inputs: &[BTreeMap<u64, u64>], found: &Found) -> Checked {
    let mut topics: Vec<usize> = rules.iter().filter(|rules| rules.keeps_all()).map(|rules| rules.topic).collect();
    topics.dedup();
    for topic in topics {
        let mut counts: HashMap<u64, u64> = HashMap::new();
        let logs = rules.iter().zip(&found.logs).filter(|(rules, _)| rules.topic == topic);
        for value in logs.flat_map(|(_, log)| log.records.values()) {
            *counts.entry(value.input).or_default() += 1;
        }
        for (partition, (inputs, &position)) in inputs.iter().zip(&found.positions).enumerate() {
            for (&offset, id) in inputs {
                let (count, wanted) = (counts.get(id).copied().unwrap_or(0), u64::from(offset < position));
                if count != wanted {
                    return Err(format!(
                        "offset {offset} of partition {partition} of the input is {count} times in topic {topic}; the group stands at {position}"
                    ));
                }
            }
        }
    }
    Ok(())
}
