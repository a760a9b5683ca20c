//! One round of the group commit, as far as it concerns the second disk.

use std::mem;

use super::block::Block;
use super::writing::{MirroredTo, Writing};
use super::{Mirror, MirrorState};
use crate::error::{Error, Result};
use crate::partition::config::TopicConfig;
use crate::partition::log_spec::LogSpec;

/// What a round of the group commit has for the second disk.
#[derive(Debug)]
pub(crate) struct MirrorRound<'m> {
    mirror: &'m Mirror,
    writing: RoundWriting,
    result: Result<()>,
    /// Whether the first disk has failed, so that nothing of it is acknowledged.
    is_void: bool,
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
        MirrorRound { mirror: self, writing, result: Ok(()), is_void: false }
    }

    /// Returns once the second disk has it that there is such a topic, unless the replica is behind.
    pub(crate) fn note_topic(&self, topic_id: u128, name: &str, config: &TopicConfig) {
        let mut round = self.begin_round();
        if let RoundWriting::Round(writing) = &mut round.writing {
            writing.add_topic(topic_id, name, config);
        }
        round.finish(true);
    }

    /// The same of a topic that was deleted.
    pub(crate) fn note_deleted(&self, topic_id: u128) {
        let mut round = self.begin_round();
        if let RoundWriting::Round(writing) = &mut round.writing {
            writing.block.push_deleted(topic_id);
        }
        round.finish(true);
    }

    fn take_writing(&self) -> Option<Box<Writing>> {
        let mut inner = self.between_rounds();
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
    /// acknowledged, where it survives one on the first disk, too: `is_on_first` says so.
    pub(in crate::partition) fn finish(mut self, is_on_first: bool) -> bool {
        self.is_void = !is_on_first;
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
                (Ok(()), Some(mut writing)) => {
                    writing.is_void |= self.is_void && !writing.block.is_empty();
                    inner.writing = Some(writing);
                }
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
