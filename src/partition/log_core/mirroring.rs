//! What the second disk of the group commit gets of a log.

use super::LogCore;
use crate::error::{Error, Result};
use crate::format::{Attributes, BatchStart, ProducerStamp, SealFields, seal_header};
use crate::partition::group_commit::PreparedCommit;
use crate::partition::mirror::{Block, MirroredTo};

impl LogCore {
    /// Adds what is there from where the second disk has it on, as far as the round goes: out of the slots that it has written commit
    /// entries for, and whole batches out of the segments where there is no such slot.
    ///
    /// # Errors
    /// Those of a read; [`Error::InvalidState`] if something is nowhere. What was added before is part of the round all the same.
    pub(in crate::partition) fn gather(
        &self,
        prepared: &PreparedCommit,
        mirrored: &mut MirroredTo,
        block: &mut Block,
    ) -> Result<()> {
        while mirrored.offset < prepared.end {
            let is_in = |offset: u64| {
                let mut batches = prepared.commits.iter().map(|(_, batch)| batch);
                batches.find(|batch| batch.identity().base_offset() <= offset && offset < batch.next_offset())
            };
            let Some(batch) = is_in(mirrored.offset) else {
                let bases = prepared.commits.iter().map(|(_, batch)| batch.identity().base_offset());
                let end = bases
                    .filter(|base| mirrored.offset < *base)
                    .min()
                    .map_or(prepared.end, |base| base.min(prepared.end));
                self.gather_from_segments(end, mirrored, block)?;
                continue;
            };
            // In this order: the records are then at least those below it.
            let next_offset = batch.next_offset();
            let records = batch.records().ok_or_else(|| self.closed_error())?;
            let known = mirrored.slot.filter(|(generation, _)| *generation == batch.generation());
            let from = known.map_or(0, |(_, bytes)| bytes);
            block.push_records(batch, next_offset, from, records.get(from..).unwrap_or_default());
            mirrored.slot = Some((batch.generation(), records.len()));
            mirrored.offset = next_offset;
        }
        Ok(())
    }

    /// Adds the batches that follow in one segment, up to `end` at most.
    fn gather_from_segments(&self, end: u64, mirrored: &mut MirroredTo, block: &mut Block) -> Result<()> {
        let (segments, from) = (self.segments(), mirrored.offset);
        let behind = segments.iter().filter(|segment| from < segment.next_offset());
        let mut located = behind.map(|segment| Ok((segment, segment.locate(from)?)));
        let found = located.find_map(|found: Result<_>| match found {
            Ok((segment, located)) => located.map(|located| Ok((segment, located))),
            Err(error) => Some(Err(error)),
        });
        let found = found.transpose()?.filter(|(_, located)| located.header.base_offset() < end);
        let begin = found.as_ref().map_or(end, |(_, located)| located.header.base_offset());
        if from < begin {
            // In front of the active segment, and nowhere else, something may have been removed.
            let active = segments.last().map_or(0, |active| active.base_offset());
            if self.log_start_offset().max(active) < begin {
                let reason = "records that are to be durable are neither in a slot nor in a segment";
                return Err(Error::InvalidState { reason });
            }
            self.add_removed(begin, mirrored, block);
            return Ok(());
        }
        let Some((segment, located)) = found else { return Ok(()) };
        let first = (located.file_position, located.header.base_offset());
        segment.visit_batches_from(first, &mut |header, batch| {
            let base_offset = header.base_offset();
            if end <= base_offset || mirrored.offset < base_offset {
                return Ok(false);
            }
            block.push_batch(self.spec.id(), batch);
            mirrored.offset = header.next_offset();
            Ok(true)
        })?;
        Ok(())
    }

    /// Adds a batch without records for what was deleted or compacted before it came to the second disk, so that the log goes on there.
    fn add_removed(&self, begin: u64, mirrored: &mut MirroredTo, block: &mut Block) {
        let from = mirrored.offset;
        let last_offset_delta = i32::try_from(begin - from - 1).unwrap_or(i32::MAX);
        let next_offset = from + u64::from(last_offset_delta.unsigned_abs()) + 1;
        let start = BatchStart {
            base_offset: from,
            leader_epoch: self.epochs.epoch_of(next_offset - 1).unwrap_or_default(),
            attributes: Attributes::NONE,
            base_timestamp: -1,
            stamp: ProducerStamp::NONE,
        };
        let fields = SealFields { start, last_offset_delta, max_timestamp: -1, record_count: 0 };
        block.push_batch(self.spec.id(), &seal_header(&fields, 0, 0));
        mirrored.offset = next_offset;
    }
}
