//! The producers of a log that is being opened.

use super::salvaged_batch::producer_batch;
use super::{FoundManifest, Recovery};
use crate::error::{Error, Result};
use crate::partition::producer_state::gathering::{LogProducers, ProducerSources};
use crate::partition::producer_state::snapshot;

impl Recovery<'_> {
    /// Finds out what the log has of producers. Files of sealed segments that are not those that were noted are written anew, and
    /// noted as they are now. Those that do not find room are made at each opening until they do.
    pub(super) fn gather_producers(&mut self) -> Result<LogProducers> {
        let tail: Vec<_> = self.unsealed.iter().filter_map(|batch| producer_batch(batch)).collect();
        let sources = ProducerSources {
            dir: &self.dir,
            noted: &self.manifest.segments,
            point: self.point.point.as_ref(),
            segments: &self.segments,
            tail: &tail,
            end: u64::MAX,
        };
        let mut producers = if sources.are_any() { sources.gather()? } else { LogProducers::default() };
        let now_ms = self.disk.now_ms();
        producers.states.expire(now_ms);
        // A segment without records ends where the one before it does, whose snapshot is noted: that stays as it is.
        if self.segments.last().is_some_and(|active| active.base_offset() < active.next_offset()) {
            producers.in_segments.expire(now_ms);
        }
        let mut are_others = false;
        for found in &producers.gathered {
            let is_same = |base_offset| base_offset == found.base_offset;
            let noted = self.manifest.segments.iter_mut().find(|noted| is_same(noted.sealed.base_offset));
            let segment = self.segments.iter().find(|segment| is_same(segment.base_offset()));
            if let (Some(noted), Some(segment)) = (noted, segment) {
                let files = found.store(&self.dir, segment, segment.next_offset());
                are_others |= noted.producers != files;
                noted.producers = files;
            }
        }
        if are_others && self.found_manifest == FoundManifest::Whole {
            match self.manifest.store(&*self.disk, &self.spec.dir) {
                // Then the next opening asks the log once more.
                Err(Error::DiskFull { .. }) => {}
                stored => stored?,
            }
        }
        let first_unnoted = self.manifest.segments.last().map_or(0, |noted| noted.sealed.next_offset);
        producers.gathered.retain(|found| first_unnoted <= found.base_offset);
        self.report.rebuilt.append(&mut producers.stale);
        self.remove_old_snapshots();
        Ok(producers)
    }

    /// Removes snapshots that are of no use any more: behind the end of the log, and those of earlier recovery points. They do no
    /// harm where that fails: what is not noted is not looked at.
    fn remove_old_snapshots(&self) {
        let noted = self.point.point.as_ref().map(|point| point.synced.next_offset);
        let is_kept = |offset: u64| {
            offset == self.next_offset
                || Some(offset) == noted
                || self.segments.iter().any(|segment| segment.base_offset() == offset)
        };
        for &offset in self.snapshots.iter().filter(|&&offset| !is_kept(offset)) {
            _ = self.disk.remove_file(&snapshot::path(&self.dir, offset));
        }
    }
}
