//! What the second disk of the group commit gets of a log.

use super::LogCore;
use crate::error::{Error, Result};
use crate::partition::group_commit::PreparedCommit;
use crate::partition::mirror::{Block, MirroredTo};

impl LogCore {
    /// Adds what is there from where the second disk has it on, as far as the round goes: out of the slots that it has written commit
    /// entries for, and whole batches out of the segments where there is no such slot.
    ///
    /// # Errors
    /// Those of a read; [`Error::InvalidState`] if something is nowhere.
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
                self.gather_from_segments(prepared.end, |offset| is_in(offset).is_some(), mirrored, block)?;
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

    fn gather_from_segments(
        &self,
        end: u64,
        is_in_slot: impl Fn(u64) -> bool,
        mirrored: &mut MirroredTo,
        block: &mut Block,
    ) -> Result<()> {
        let (segments, from) = (self.segments(), mirrored.offset);
        let holder = segments.iter().rfind(|segment| segment.base_offset() <= from && from < segment.next_offset());
        let located = holder.map(|segment| segment.locate(from)).transpose()?.flatten();
        let (Some(segment), Some(located)) = (holder, located) else {
            return Err(Error::InvalidState {
                reason: "records that are to be durable are neither in a slot nor in a segment",
            });
        };
        let first = (located.file_position, located.header.base_offset());
        segment.visit_batches_from(first, &mut |header, batch| {
            let base_offset = header.base_offset();
            if end <= base_offset || from < base_offset && is_in_slot(base_offset) {
                return Ok(false);
            }
            block.push_batch(self.spec.id(), batch);
            mirrored.offset = header.next_offset();
            Ok(true)
        })?;
        Ok(())
    }
}
