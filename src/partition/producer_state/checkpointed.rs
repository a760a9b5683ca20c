//! What a checkpoint notes of producers.

use std::sync::Arc;

use super::ProducerStates;
use super::gathering::SegmentProducers;
use crate::segment::{ProducerFiles, Segment, SegmentDir};

/// What is known of the producers of a log, to be noted with its segments.
#[derive(Debug, Default)]
pub(in crate::partition) struct CheckpointProducers {
    /// At the end of the log: nothing that this process appends has a producer.
    states: Arc<ProducerStates>,
    /// Of segments that were there when the log was opened, and in no manifest.
    gathered: Vec<SegmentProducers>,
}

impl CheckpointProducers {
    /// What was gathered when the log was opened.
    pub(in crate::partition) fn new(states: ProducerStates, gathered: Vec<SegmentProducers>) -> CheckpointProducers {
        CheckpointProducers { states: Arc::new(states), gathered }
    }

    /// All of them, at the end of the log.
    pub(in crate::partition) fn states(&self) -> Arc<ProducerStates> {
        Arc::clone(&self.states)
    }

    /// Writes the files of a segment that grows no more, or is closed. A log without producers has none.
    pub(in crate::partition) fn store(&self, dir: &SegmentDir, segment: &Segment) -> ProducerFiles {
        let base_offset = segment.base_offset();
        match self.gathered.iter().find(|gathered| gathered.base_offset == base_offset) {
            Some(gathered) => gathered.store(dir, segment),
            None if self.states.is_empty() => ProducerFiles::default(),
            None => {
                let (aborted, at_end) = (Vec::new(), ProducerStates::clone(&self.states));
                SegmentProducers { base_offset, aborted, at_end, are_any: true }.store(dir, segment)
            }
        }
    }

    /// What is noted of a segment that may still grow: whether there is anything that only the log tells.
    pub(in crate::partition) fn unknown_in(&self, segment: &Segment) -> ProducerFiles {
        let are_any = !self.states.is_empty() || segment.has_producers();
        ProducerFiles { transaction_index: None, snapshot: are_any.then_some(ProducerFiles::UNKNOWN) }
    }
}
