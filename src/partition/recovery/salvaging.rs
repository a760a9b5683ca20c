//! The open batches that the tail held: what continues the log is sealed into it.

use std::sync::Arc;

use super::salvaged_batch::{Contents, seal};
use super::{Recovery, Shutdown, note, refuse_if_strict};
use crate::canary::{Canary, planted};
use crate::error::{Error, Result};
use crate::format::BatchHeader;
use crate::partition::durability::Durability;
use crate::segment::Segment;
use crate::segment::file_name::{FileKind, FileName};
use crate::tail::{Salvaged, TAIL_NAMES};

impl Recovery<'_> {
    /// Seals the batches of the tail that continue the log exactly. One that is in a segment already is skipped; one behind a
    /// gap is dropped, since what is missing was never synced.
    pub(super) fn seal_salvaged(&mut self, mut salvaged: Vec<Salvaged>) -> Result<()> {
        salvaged.sort_by_key(|batch| batch.identity.base_offset);
        for batch in salvaged {
            self.check_torn(&batch)?;
            let Some(contents) = Contents::of(&batch) else {
                // Below the end it was given back long ago, and a power cut mixed it with what came before.
                if batch.identity.base_offset >= self.next_offset {
                    self.drop_batch(&batch)?;
                }
                continue;
            };
            if batch.identity.base_offset + contents.record_count > self.next_offset || planted(Canary::SealTwice) {
                if batch.identity.base_offset == self.next_offset || planted(Canary::SealTwice) {
                    self.seal_one(&batch, &contents)?;
                } else {
                    self.drop_batch(&batch)?;
                }
            }
        }
        Ok(())
    }

    /// After a kill the page cache is whole, and whatever was published is there: bytes that are not what was published were
    /// damaged since. After a power cut they may just not have been synced.
    fn check_torn(&mut self, batch: &Salvaged) -> Result<()> {
        if !batch.torn || batch.identity.base_offset < self.next_offset {
            return Ok(());
        }
        self.report.torn_batches += 1;
        if self.shutdown != Shutdown::Killed {
            return Ok(());
        }
        let [always, relaxed] = TAIL_NAMES;
        let name = if self.spec.durability == Durability::Always { always } else { relaxed };
        let path = self.spec.dir.with_file_name(name);
        let damage = self.damage(path, 0, None, "the end of an open batch in the tail is not what was published");
        note(self.mode, &mut self.report, damage)
    }

    fn drop_batch(&mut self, batch: &Salvaged) -> Result<()> {
        let path = FileName::live(batch.identity.base_offset, FileKind::Log).path(&self.spec.dir);
        let reason = "an open batch of the tail does not continue the log";
        refuse_if_strict(self.mode, &self.damage(path, 0, None, reason))?;
        self.report.dropped_batches += 1;
        Ok(())
    }

    fn seal_one(&mut self, batch: &Salvaged, contents: &Contents) -> Result<()> {
        let bytes = seal(batch, contents, self.spec.config.compression);
        let header = BatchHeader::decode(&bytes).map_err(|_| Error::InvalidState { reason: "a salvaged batch" })?;
        let active = match self.segments.last() {
            Some(active)
                if !active.must_roll_before(bytes.len() as u64, header.last_offset(), header.max_timestamp) =>
            {
                Arc::clone(active)
            }
            _ => {
                let segment = Arc::new(Segment::create(&self.dir, self.next_offset, self.config)?);
                self.add_unsealed(Arc::clone(&segment));
                segment
            }
        };
        active.append(&bytes, &header).map_err(|failure| failure.error)?;
        self.next_offset = header.next_offset();
        self.report.salvaged_records += contents.record_count;
        Ok(())
    }
}
