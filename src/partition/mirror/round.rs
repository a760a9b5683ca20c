//! One round of the group commit, as far as it concerns the second disk.

use std::collections::HashMap;
use std::mem;

use super::block::Block;
use super::journal::JournalFile;
use super::{Mirror, MirrorState};
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
    block: Block,
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
        Writing { files, generation, position: 0, block: Block::default(), logs, topics: topics.clone() }
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
    fn add(&mut self, spec: &LogSpec, end: u64, gather: impl FnOnce(&mut MirroredTo, &mut Block) -> bool) -> bool {
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

    fn add_topic(&mut self, topic_id: u128, name: &str, config: &TopicConfig) {
        self.topics.insert(topic_id, config.partitions);
        self.block.push_topic(topic_id, name, config);
    }

    /// Writes the block, and makes it survive a power cut.
    ///
    /// # Errors
    /// The disk's.
    pub(super) fn write(&mut self) -> Result<()> {
        let [file, _] = &mut self.files;
        let Some(block) = self.block.finish(self.generation) else {
            return Err(Error::InvalidState { reason: "more than 4 GiB were to be brought to a replica at once" });
        };
        file.write(block, self.position)?;
        self.position += block.len() as u64;
        if planted(Canary::AckBeforeReplica) { Ok(()) } else { file.sync() }
    }
}

/// What a round of the group commit has for the second disk.
#[derive(Debug)]
pub(crate) struct MirrorRound<'m> {
    mirror: &'m Mirror,
    writing: RoundWriting,
    result: Result<()>,
}

/// Who has what a round writes.
#[derive(Debug)]
enum RoundWriting {
    /// Nothing is written: the replica is behind, and nothing is to be acknowledged, or it was given up.
    Nobody,
    Round(Box<Writing>),
    Thread,
}

impl Mirror {
    /// Begins a round, of which nothing is known yet.
    pub(in crate::partition) fn begin_round(&self) -> MirrorRound<'_> {
        let writing = self.take_writing().map_or(RoundWriting::Nobody, |mut writing| {
            writing.block.begin();
            RoundWriting::Round(writing)
        });
        MirrorRound { mirror: self, writing, result: Ok(()) }
    }

    /// Returns once the second disk has it that there is such a topic, unless the replica is behind.
    pub(crate) fn note_topic(&self, topic_id: u128, name: &str, config: &TopicConfig) {
        let mut round = self.begin_round();
        if let RoundWriting::Round(writing) = &mut round.writing {
            writing.add_topic(topic_id, name, config);
        }
        round.finish();
    }

    /// The same of a topic that was deleted.
    pub(crate) fn note_deleted(&self, topic_id: u128) {
        let mut round = self.begin_round();
        if let RoundWriting::Round(writing) = &mut round.writing {
            writing.block.push_deleted(topic_id);
        }
        round.finish();
    }

    fn take_writing(&self) -> Option<Box<Writing>> {
        let mut inner = self.inner.lock();
        while inner.is_busy {
            inner = inner.wait();
        }
        let writing = inner.writing.take();
        inner.is_busy = writing.is_some();
        writing
    }
}

impl MirrorRound<'_> {
    /// Adds what `gather` finds of a log that the second disk lacks, up to `end`. Whether that is all of it.
    pub(in crate::partition) fn add(
        &mut self,
        log: &LogSpec,
        end: u64,
        gather: impl FnOnce(&mut MirroredTo, &mut Block) -> bool,
    ) -> bool {
        match &mut self.writing {
            RoundWriting::Round(writing) => writing.add(log, end, gather),
            RoundWriting::Nobody | RoundWriting::Thread => true,
        }
    }

    /// Has the thread write it, if there is one, while the caller does something else.
    pub(in crate::partition) fn start(&mut self) {
        self.writing = match mem::replace(&mut self.writing, RoundWriting::Nobody) {
            RoundWriting::Round(writing) if !writing.block.is_empty() => {
                self.mirror.writer.give(writing).map_or(RoundWriting::Thread, RoundWriting::Round)
            }
            writing => writing,
        };
    }

    /// Returns once all of it survives a power cut on the second disk, or that was given up. Whether what the round covers may be
    /// acknowledged.
    pub(in crate::partition) fn finish(mut self) -> bool {
        if let RoundWriting::Round(writing) = &mut self.writing
            && !writing.block.is_empty()
        {
            self.result = writing.write();
        }
        self.give_back()
    }

    /// Whether what the round covers may be acknowledged.
    fn give_back(&mut self) -> bool {
        let given = match mem::replace(&mut self.writing, RoundWriting::Nobody) {
            RoundWriting::Nobody => None,
            RoundWriting::Round(writing) => Some(Some(writing)),
            RoundWriting::Thread => Some(self.mirror.writer.take().map(|(writing, written)| {
                self.result = written;
                writing
            })),
        };
        let mut inner = self.mirror.inner.lock();
        let has_written = given.is_some();
        if let Some(writing) = given {
            inner.is_busy = false;
            match (mem::replace(&mut self.result, Ok(())), writing) {
                (Ok(()), Some(writing)) => inner.writing = Some(writing),
                (Ok(()), None) => self.mirror.fail(&mut inner, &FAILED),
                (Err(error), _) => self.mirror.fail(&mut inner, &error),
            }
            self.mirror.inner.notify_all();
        }
        match inner.state {
            // If the replica was behind when the round began, it has caught up without what the round covers.
            MirrorState::Following => has_written,
            MirrorState::Behind(_) => false,
            MirrorState::Dropped(_) => true,
        }
    }
}

/// A thread has panicked.
const FAILED: Error = Error::InvalidState { reason: "a round of the group commit has failed" };

/// Also if the round fails otherwise, so that nobody waits for ever.
impl Drop for MirrorRound<'_> {
    fn drop(&mut self) {
        if !matches!(self.writing, RoundWriting::Nobody) {
            // What was gathered, and is not written, would be missing later.
            if let RoundWriting::Round(_) = &self.writing {
                self.result = Err(FAILED);
            }
            self.give_back();
        }
    }
}
