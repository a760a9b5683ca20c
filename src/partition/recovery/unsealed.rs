//! The segments that the manifest does not know yet: where each of them is whole, and where the log ends.

use std::sync::Arc;

use super::{FoundManifest, Recovery, Shutdown, note, refuse_if_strict};
use crate::canary::{Canary, planted};
use crate::error::Result;
use crate::partition::manifest::ManifestSegment;
use crate::partition::quarantine::{self, CutOff};
use crate::partition::recovery_point::RecoveryPoint;
use crate::segment::file_name::{FileKind, FileName};
use crate::segment::{KnownBatches, Scan, ScanStart, Segment};

impl Recovery<'_> {
    /// Scans what was not yet sealed and noted, and ends the log before the first batch that is bad, or is not what is `known` of the
    /// log, and not proven.
    pub(super) fn recover_unsealed_segments(&mut self, known: &KnownBatches<'_>) -> Result<()> {
        let proven = self.point.point.as_ref().map_or(0, |point| point.synced.next_offset);
        let bases = std::mem::take(&mut self.bases);
        for (base_offset, next_base) in bases.iter().zip(bases.iter().skip(1).map(Some).chain([None])) {
            let base_offset = *base_offset;
            let continues = base_offset == self.next_offset;
            let is_behind_hole = base_offset > self.next_offset;
            if is_behind_hole && base_offset <= proven {
                let path = FileName::live(self.next_offset, FileKind::Log).path(&self.spec.dir);
                let hole = self.next_offset..base_offset;
                let damage = self.damage(path, 0, Some(hole), "a segment is missing");
                note(self.mode, &mut self.report, damage)?;
                self.hole_end = Some(base_offset);
            } else if !continues {
                let path = FileName::live(base_offset, FileKind::Log).path(&self.spec.dir);
                refuse_if_strict(self.mode, &self.damage(path, 0, None, "the segment does not continue the log"))?;
                // Of an un-synced end, or not of this log at all.
                let path = quarantine::set_aside(&*self.disk, &self.spec.dir, base_offset)?;
                self.report.quarantined.push(path);
                continue;
            }
            // What a later segment proves says nothing of this one's end.
            let was_sealed = next_base.is_some_and(|next| *next <= proven);
            let proven = next_base.map_or(proven, |next| proven.min(*next));
            self.recover_segment(base_offset, proven, was_sealed, known)?;
        }
        self.leave_damaged_end()?;
        self.leave_out_missing(proven)?;
        // When they were left for the next one is not known: for who deletes by age, that begins now, once.
        for rolled in self.unnoted.iter().rev().skip(1).filter(|segment| segment.rolled_ms().is_none()) {
            rolled.note_rolled(self.disk.now_ms().max(0));
        }
        Ok(())
    }

    /// Goes on in another segment where the last one ends in damage: what is left of a batch could become whole by the
    /// beginning of the next one, of which that would then be missing.
    fn leave_damaged_end(&mut self) -> Result<()> {
        if self.ends_in_damage && self.segments.last().is_some_and(|last| last.base_offset() < self.next_offset) {
            self.add_unnoted(Arc::new(Segment::create(&self.dir, self.next_offset, self.config)?));
        }
        Ok(())
    }

    /// Goes on behind what is proven to have been synced and is not there: its offsets are never given out again. What was deleted
    /// had been synced before.
    fn leave_out_missing(&mut self, proven: u64) -> Result<()> {
        let end = proven.max(self.log_start_offset);
        if self.next_offset < end {
            if self.log_start_offset < proven {
                let path = FileName::live(self.next_offset, FileKind::Log).path(&self.spec.dir);
                let hole = self.next_offset..end;
                let damage = self.damage(path, 0, Some(hole), "the last segment is missing");
                note(self.mode, &mut self.report, damage)?;
            }
            self.next_offset = end;
            self.hole_end = Some(end);
            // Of its own, or the segment before would be taken for one with gaps.
            self.add_unnoted(Arc::new(Segment::create(&self.dir, end, self.config)?));
        }
        Ok(())
    }

    fn recover_segment(
        &mut self,
        base_offset: u64,
        proven: u64,
        was_sealed: bool,
        known: &KnownBatches<'_>,
    ) -> Result<()> {
        let start = match &self.point.point {
            Some(point) if point.base_offset == base_offset => point.synced,
            // Which ones were compacted is not known without the manifest.
            _ if self.found_manifest == FoundManifest::Damaged && self.spec.compaction().is_some() && was_sealed => {
                ScanStart { file_position: u64::MAX, has_gaps: true, ..ScanStart::nothing(base_offset) }
            }
            _ => ScanStart::nothing(base_offset),
        };
        let (segment, scan) = Segment::recover(&self.dir, base_offset, self.config, start, proven, known)?;
        if scan.indexes_rebuilt {
            self.point.point.iter_mut().for_each(|point| point.synced.index_crcs = None);
            self.report.rebuilt.push(FileName::live(base_offset, FileKind::OffsetIndex).path(&self.spec.dir));
        }
        if scan.is_shared {
            self.report.shared_files.push(segment.path());
        }
        for damage in &scan.damaged {
            note(self.mode, &mut self.report, segment.corruption(damage))?;
        }
        if scan.is_another {
            self.leave_another_file_alone(segment);
            return Ok(());
        }
        let end_of_damage = scan.damaged.last().map(|damage| damage.file_position + damage.bytes);
        self.ends_in_damage = end_of_damage == Some(scan.valid_bytes);
        if self.ends_in_damage {
            self.hole_end = Some(scan.next_offset);
        }
        let is_of_segment = |point: &&RecoveryPoint| point.base_offset == base_offset;
        if self.point.point.as_ref().filter(is_of_segment).is_some_and(|point| point.producers.are_any()) {
            segment.note_producers();
        }
        self.cut(&segment, &scan)?;
        if self.shutdown != Shutdown::Clean {
            self.report.scanned_batches += scan.batches;
            // After a failed sync the page cache may show what the medium lacks, and believe it clean.
            segment.distrust_from(start.file_position);
            segment.give_back_room();
        }
        self.next_offset = scan.next_offset;
        if planted(Canary::ReuseOffsetAfterEmptyRoll) && scan.next_offset == base_offset {
            self.next_offset = base_offset.saturating_sub(1);
        }
        self.add_unnoted(Arc::new(segment));
        Ok(())
    }

    /// Goes on behind a segment in whose place there is another file. What it was is noted in the manifest, so that it is known
    /// for damage from now on, and read again if the right file comes back.
    fn leave_another_file_alone(&mut self, segment: Segment) {
        self.next_offset = segment.next_offset();
        // The manifest speaks of all segments before one that it speaks of. Without a damaged one there are none here.
        for before in self.unnoted.iter().filter(|before| before.base_offset() < before.next_offset()) {
            self.manifest.segments.push(ManifestSegment::new(before.describe(), before.log_crc32().ok()));
        }
        self.manifest.segments.push(ManifestSegment::new(segment.describe(), None));
        self.segments.push(Arc::new(segment));
        self.ends_in_damage = true;
    }

    /// Sets aside and cuts what lies behind the end of the log.
    fn cut(&mut self, segment: &Segment, scan: &Scan) -> Result<()> {
        if scan.valid_bytes >= scan.file_bytes {
            return Ok(());
        }
        let reason = scan.bad.as_ref().map_or("the log ends before its file does", |bad| bad.reason);
        refuse_if_strict(self.mode, &self.damage(segment.path(), scan.valid_bytes, None, reason))?;
        let cut_bytes = scan.file_bytes - scan.valid_bytes;
        match quarantine::keep_cut_off(&*self.disk, &self.spec.dir, segment.base_offset(), scan.valid_bytes)? {
            CutOff::Kept(path) => self.report.quarantined.push(path),
            CutOff::NoRoom => self.report.unkept_bytes += cut_bytes,
            CutOff::Zeros => {}
        }
        self.report.cut_bytes += cut_bytes;
        segment.cut_tail()
    }
}
