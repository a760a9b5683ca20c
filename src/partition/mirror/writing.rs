//! The journal as it is written: where it is, and how far each log is in it.

use std::collections::HashMap;

use super::block::Block;
use super::journal::JournalFile;
use crate::canary::{Canary, planted};
use crate::error::{Error, Result};
use crate::partition::config::TopicConfig;
use crate::partition::log_id::LogId;
use crate::partition::log_spec::LogSpec;

/// The journal that is written, and what of each log is in it.
#[derive(Debug)]
pub(super) struct Writing {
    /// That of this generation, and that of the next one.
    files: [JournalFile; 2],
    pub(super) generation: u64,
    /// Where the next block begins.
    position: u64,
    pub(super) block: Block,
    /// Whether what was written last was not acknowledged.
    pub(super) is_void: bool,
    logs: HashMap<LogId, MirroredTo>,
    /// The topics that the replica has or the journal names, and the number of their partitions.
    topics: HashMap<u128, u32>,
}

/// How far a log is on the second disk.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct MirroredTo {
    /// One above the last offset that is there.
    pub(crate) offset: u64,
    /// The use of a slot that was written last, and how many bytes of its records are in this file.
    pub(crate) slot: Option<(u64, usize)>,
    /// Whether anything of it is in this file.
    is_in_file: bool,
}

impl Writing {
    /// Nothing is in the files yet. Logs of which no end is known begin at 0.
    pub(super) fn new(
        files: [JournalFile; 2],
        generation: u64,
        ends: &HashMap<LogId, u64>,
        topics: &HashMap<u128, u32>,
    ) -> Writing {
        let logs =
            ends.iter().map(|(log, offset)| (*log, MirroredTo { offset: *offset, ..MirroredTo::default() })).collect();
        let (position, block, is_void) = (0, Block::default(), false);
        Writing { files, generation, position, block, is_void, logs, topics: topics.clone() }
    }

    /// Goes over to the other file, unless nothing is in this one.
    pub(super) fn switch(&mut self, topics: &HashMap<u128, u32>) {
        if self.position == 0 {
            return;
        }
        self.files.reverse();
        self.generation += 1;
        self.position = 0;
        self.topics.clone_from(topics);
        for log in self.logs.values_mut() {
            (log.slot, log.is_in_file) = (None, false);
        }
    }

    /// The replica's logs end there by now: what is below need not be written. Logs of which there is nothing in this file nor at the
    /// replica are gone.
    pub(super) fn note_ends(&mut self, ends: &HashMap<LogId, u64>) {
        self.logs.retain(|log, mirrored| mirrored.is_in_file || ends.contains_key(log));
        for (log, end) in ends {
            let mirrored = self.logs.entry(*log).or_default();
            mirrored.offset = mirrored.offset.max(*end);
        }
    }

    /// Adds what `gather` finds of a log that is new, up to `end`. Whether that is all of it.
    pub(super) fn add(
        &mut self,
        spec: &LogSpec,
        end: u64,
        gather: impl FnOnce(&mut MirroredTo, &mut Block) -> bool,
    ) -> bool {
        if end <= self.logs.get(&spec.id()).map_or(0, |mirrored| mirrored.offset) {
            return true;
        }
        if self.topics.get(&spec.topic_id).is_none_or(|known| *known <= spec.partition.partition()) {
            self.add_topic(spec.topic_id, spec.partition.topic(), &spec.settings.load());
        }
        let mirrored = self.logs.entry(spec.id()).or_default();
        mirrored.is_in_file = true;
        gather(mirrored, &mut self.block)
    }

    pub(super) fn add_topic(&mut self, topic_id: u128, name: &str, config: &TopicConfig) {
        self.topics.insert(topic_id, config.partitions);
        self.block.push_topic(topic_id, name, config);
    }

    /// Whether what is written can be found there by who promotes the replica.
    pub(super) fn is_in_place(&self) -> bool {
        self.files.iter().all(JournalFile::is_in_place)
    }

    /// Writes the block, and makes it survive a power cut.
    ///
    /// # Errors
    /// The disk's.
    pub(super) fn write(&mut self) -> Result<()> {
        if std::mem::take(&mut self.is_void) {
            self.block.push_void();
        }
        let [file, _] = &mut self.files;
        let Some(block) = self.block.finish(self.generation) else {
            return Err(Error::InvalidState { reason: "more than 4 GiB were to be brought to a replica at once" });
        };
        file.write(block, self.position)?;
        self.position += block.len() as u64;
        if planted(Canary::AckBeforeReplica) { Ok(()) } else { file.sync() }
    }
}
