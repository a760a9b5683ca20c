//! The open batches that the tail held: what continues the log is sealed into it.

use std::sync::Arc;

use super::salvaged_batch::{Contents, seal};
use super::{Recovery, Shutdown, note, refuse_if_strict};
use crate::canary::{Canary, planted};
use crate::disk::append_file::AppendError;
use crate::error::{Error, Result};
use crate::format::BatchHeader;
use crate::segment::Segment;
use crate::segment::file_name::{FileKind, FileName};
use crate::tail::Salvaged;

impl Recovery<'_> {
    /// Seals the batches of the tail that continue the log exactly. One that is in a segment already is skipped; one behind a
    /// gap is dropped, since what is missing was never synced. From the first one on for which there is no room all stay in the
    /// tail.
    pub(super) fn seal_salvaged(&mut self, mut salvaged: Vec<Salvaged>) -> Result<()> {
        salvaged.sort_by_key(|batch| batch.identity.base_offset());
        let mut rest = salvaged.as_slice();
        while let Some((batch, later)) = rest.split_first() {
            let is_below = batch.identity.base_offset() < self.next_offset;
            self.take(batch)?;
            if batch.torn && !is_below {
                self.leave_out_torn(batch, later)?;
            }
            rest = later;
        }
        Ok(())
    }

    fn take(&mut self, batch: &Salvaged) -> Result<()> {
        if let Some(contents) = Contents::of(batch) {
            if batch.identity.base_offset() + contents.record_count > self.next_offset || planted(Canary::SealTwice) {
                if batch.identity.base_offset() == self.next_offset || planted(Canary::SealTwice) {
                    self.seal_one(batch, &contents)?;
                } else {
                    self.drop_batch(batch)?;
                }
            }
        } else if batch.identity.base_offset() > self.next_offset
            || batch.identity.base_offset() == self.next_offset && !batch.torn
        {
            // Below the end it was given back long ago, and a power cut mixed it with what came before.
            self.drop_batch(batch)?;
        }
        Ok(())
    }

    /// Leaves out what a batch had behind the records that were taken. After a kill the page cache is whole, and whatever was
    /// published is there: bytes that are not what was published were damaged since. After a power cut they may just not have
    /// been synced, unless a later commit says that they were. How many records there were is not known: the offsets of as many
    /// as the slot could hold are never given out again, but for those from the next whole one of the `later` batches on.
    fn leave_out_torn(&mut self, batch: &Salvaged, later: &[Salvaged]) -> Result<()> {
        self.report.torn_batches += 1;
        let is_damage = self.shutdown == Shutdown::Killed || batch.lost_synced;
        let continues = batch.identity.base_offset() <= self.next_offset;
        if !is_damage || !continues {
            return Ok(());
        }
        let path = self.spec.dir.with_file_name(batch.tail_name);
        let follows =
            |later: &&Salvaged| self.next_offset <= later.identity.base_offset() && Contents::of(later).is_some();
        let next_whole = later.iter().find(follows).map(|later| later.identity.base_offset());
        let hole_end = (self.next_offset + batch.lost_records_max).min(next_whole.unwrap_or(i64::MAX.cast_unsigned()));
        let hole = self.next_offset..hole_end;
        let reason = "the end of an open batch in the tail is not what was published";
        let damage = self.damage(path, 0, Some(hole.clone()).filter(|hole| !hole.is_empty()), reason);
        note(self.mode, &mut self.report, damage)?;
        if !hole.is_empty() {
            if !self.unsealed.is_empty() {
                // They would have to be sealed before it, and nothing would say then that there is a hole.
                return Err(Error::DiskFull {
                    action: "seal what comes before a hole in",
                    path: self.spec.dir.clone(),
                });
            }
            self.next_offset = hole.end;
            (self.hole_end, self.syncs_first) = (Some(hole.end), true);
            // Of its own, or the segment before would be taken for one with gaps.
            self.add_unnoted(Arc::new(Segment::create(&self.dir, hole.end, self.config)?));
        }
        Ok(())
    }

    fn drop_batch(&mut self, batch: &Salvaged) -> Result<()> {
        let path = FileName::live(batch.identity.base_offset(), FileKind::Log).path(&self.spec.dir);
        let reason = "an open batch of the tail does not continue the log";
        refuse_if_strict(self.mode, &self.damage(path, 0, None, reason))?;
        self.report.dropped_batches += 1;
        Ok(())
    }

    fn seal_one(&mut self, batch: &Salvaged, contents: &Contents) -> Result<()> {
        if self.unsealed.is_empty() && self.try_to_seal(batch, contents)? {
            self.report.salvaged_records += contents.record_count;
        } else {
            self.unsealed.push(Arc::new(batch.clone()));
            self.report.unsealed_records += contents.record_count;
            // The batch is made durable in its slot: then what comes before it has to be, too.
            self.syncs_first = true;
        }
        self.next_offset = batch.identity.base_offset() + contents.record_count;
        Ok(())
    }

    /// Whether there was room for it.
    fn try_to_seal(&mut self, batch: &Salvaged, contents: &Contents) -> Result<bool> {
        let bytes = seal(batch, contents, self.spec.settings.load().compression);
        let header = BatchHeader::decode(&bytes).map_err(|_| Error::InvalidState { reason: "a salvaged batch" })?;
        let active = match self.segments.last() {
            Some(active)
                if !active.must_roll_before(bytes.len() as u64, header.last_offset(), header.max_timestamp) =>
            {
                Arc::clone(active)
            }
            _ => match Segment::create(&self.dir, self.next_offset, self.config) {
                Err(Error::DiskFull { .. }) => return Ok(false),
                created => {
                    let segment = Arc::new(created?);
                    self.add_unnoted(Arc::clone(&segment));
                    segment
                }
            },
        };
        match active.append(&bytes, &header) {
            Ok(()) => Ok(true),
            Err(AppendError::NotBegun(Error::DiskFull { .. }) | AppendError::Clean(Error::DiskFull { .. })) => {
                Ok(false)
            }
            Err(failure) => Err(failure.into_inner()),
        }
    }
}
