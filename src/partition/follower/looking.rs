//! Looking at the files of a log that another process may be writing.

use std::sync::Arc;

use super::{Follower, LOOKS_MAX, Layout, Seen};
use crate::disk::Disk;
use crate::error::{Corruption, Error, Result};
use crate::format::{Record, skip};
use crate::partition::compaction;
use crate::partition::durability::Durability;
use crate::partition::manifest::Manifest;
use crate::partition::recovery_point::{RecoveryPoint, RecoveryPointFile};
use crate::segment::file_name::{self, FileKind, FileName, Stage};
use crate::segment::{ScanStart, Segment, SegmentConfig};
use crate::tail::{FollowedBatch, FollowedPartition, Identity};

/// Segments, and what is missing of them.
struct Found {
    segments: Vec<Arc<Segment>>,
    damage: Vec<Corruption>,
    next_offset: u64,
}

impl Follower {
    /// Looks at the files again, until nothing was swapped meanwhile.
    pub(super) fn look(&self) -> Result<Arc<Seen>> {
        let mut looks = 1;
        loop {
            let seen = self.look_once();
            if looks == LOOKS_MAX || seen.as_ref().is_ok_and(|seen| self.is_still(seen).unwrap_or(false)) {
                let seen = seen?;
                *self.seen.lock() = Arc::clone(&seen);
                return Ok(seen);
            }
            if self.spec.compaction.is_none() {
                return seen;
            }
            looks += 1;
        }
    }

    /// Whether the names stand for what they stood for when they were looked at.
    pub(super) fn is_still(&self, seen: &Seen) -> Result<bool> {
        Ok(self.spec.compaction.is_none() || self.layout()? == seen.layout)
    }

    fn layout(&self) -> Result<Layout> {
        let disk = &**self.dir.files.disk();
        let (manifest, manifest_damage) = match Manifest::load(disk, &self.spec.dir, self.spec.id()) {
            Ok(loaded) => (loaded.map(|loaded| loaded.manifest).unwrap_or_default(), None),
            Err(Error::Corrupt(damage)) => {
                let partition = Some(self.spec.partition.clone());
                (Manifest::default(), Some(Corruption { partition, ..*damage }))
            }
            Err(error) => return Err(error),
        };
        let mut layout = Layout { manifest, manifest_damage, set_aside: Vec::new() };
        if self.spec.compaction.is_some() {
            let names = file_name::list(disk, &self.spec.dir)?.into_iter();
            let logs = names.filter(|name| name.kind == FileKind::Log && name.stage == Stage::Swap);
            layout.set_aside.extend(logs.map(|name| name.base_offset));
        }
        Ok(layout)
    }

    fn look_once(&self) -> Result<Arc<Seen>> {
        let disk = &**self.dir.files.disk();
        let before = Arc::clone(&self.seen.lock());
        let tails = self.surroundings.tails.look_for(disk, self.spec.topic_id, self.spec.partition.partition())?;
        // Before the segments: what it says of them was true before it was said.
        let point = RecoveryPointFile::load(disk, &self.spec.dir, self.spec.id())?.point;
        let point = point.as_ref();
        let layout = self.layout()?;
        let mut found = self.look_at_segments(disk, &layout, point, &before, 0)?;
        if found.next_offset.max(tails_end(&tails, found.next_offset)) < before.bounds.end {
            // It could be read before, so it was there: what is bad of it is damage, and not the end of the log.
            found = self.look_at_segments(disk, &layout, point, &before, before.bounds.end)?;
        }
        let Found { segments, mut damage, next_offset } = found;
        damage.splice(..0, layout.manifest_damage.clone());
        let first = segments.first().map_or(0, |segment| segment.base_offset());
        let log_start_offset = layout.manifest.log_start_offset.max(first);
        let mut end = next_offset.max(log_start_offset);
        let proven = proven(&layout, point, &tails).max(log_start_offset);
        let default_is_always = tails.default_is_always;
        let mut tail = Vec::new();
        for batch in tails.batches {
            if let Some(next_offset) = continued_by(&batch, end) {
                end = next_offset;
                tail.push(batch);
            }
        }
        let durable_offset = if end <= proven || self.surroundings.was_restarted(disk) { end } else { proven };
        let is_always = self.spec.config.durability.map_or(default_is_always, |own| own == Durability::Always);
        let visible_end = if is_always { durable_offset } else { end };
        let bounds = log_start_offset..visible_end;
        Ok(Arc::new(Seen { layout, segments, tail, bounds, durable_offset, damage }))
    }

    /// Opens the segments. Offsets below `written` are known to have been written, synced or not.
    fn look_at_segments(
        &self,
        disk: &dyn Disk,
        layout: &Layout,
        point: Option<&RecoveryPoint>,
        before: &Seen,
        written: u64,
    ) -> Result<Found> {
        let proven = point.map_or(0, |point| point.synced.next_offset).max(written);
        let config = SegmentConfig::from(&self.spec.config);
        let segments = self.sealed_segments(disk, layout, before, config)?;
        let names = file_name::list(disk, &self.spec.dir)?.into_iter();
        let logs = names.filter(|name| name.kind == FileKind::Log && name.stage == Stage::Live);
        let mut bases: Vec<u64> = logs.map(|name| name.base_offset).collect();
        // Without a manifest the log begins where its first file does.
        let first_found = bases.first().copied().filter(|_| layout.manifest_damage.is_some());
        let start = segments.last().map(|segment| segment.next_offset()).or(first_found);
        let start = start.unwrap_or(layout.manifest.log_start_offset);
        bases.retain(|&base| start <= base);
        let mut found = Found { segments, damage: Vec::new(), next_offset: start };
        for (index, &base_offset) in bases.iter().enumerate() {
            if base_offset != found.next_offset && proven < base_offset {
                break;
            }
            // What a later segment proves says nothing of this one's end.
            let next_base = bases.get(index + 1);
            let proven_here = next_base.map_or(proven, |next| proven.min(*next));
            self.add_missing(&mut found, base_offset);
            let start = match point {
                Some(point) if point.base_offset == base_offset => point.synced,
                // Which ones were compacted is not known without the manifest.
                _ if layout.manifest_damage.is_some()
                    && self.spec.compaction.is_some()
                    && next_base.is_some_and(|next| *next <= proven) =>
                {
                    ScanStart { file_position: u64::MAX, has_gaps: true, ..ScanStart::nothing(base_offset) }
                }
                _ => ScanStart::nothing(base_offset),
            };
            let (segment, scan) = Segment::recover(&self.dir, base_offset, config, start, proven_here)?;
            found.damage.extend(scan.damaged.iter().map(|damage| segment.corruption(damage)));
            found.next_offset = scan.next_offset;
            found.segments.push(Arc::new(segment));
        }
        self.add_missing(&mut found, proven);
        Ok(found)
    }

    fn sealed_segments(
        &self,
        disk: &dyn Disk,
        layout: &Layout,
        before: &Seen,
        config: SegmentConfig,
    ) -> Result<Vec<Arc<Segment>>> {
        let is_swapping = !layout.set_aside.is_empty() || !before.layout.set_aside.is_empty();
        let mut segments = Vec::new();
        for noted in &layout.manifest.segments {
            let base_offset = noted.sealed.base_offset;
            if let Some(known) = before.segment_of(noted).filter(|_| !is_swapping) {
                segments.push(Arc::clone(known));
                continue;
            }
            let is_set_aside = layout.set_aside.contains(&base_offset)
                && compaction::recovery::is_set_aside(disk, &self.spec.dir, noted)?;
            let open = if is_set_aside { Segment::open_set_aside } else { Segment::open_sealed };
            segments.push(Arc::new(open(&self.dir, &noted.sealed, config)));
        }
        Ok(segments)
    }

    /// Notes that what comes before `offset` is not there, if so.
    fn add_missing(&self, found: &mut Found, offset: u64) {
        if found.next_offset < offset {
            found.damage.push(Corruption {
                partition: Some(self.spec.partition.clone()),
                path: FileName::live(found.next_offset, FileKind::Log).path(&self.spec.dir),
                file_position: 0,
                offsets: Some(found.next_offset..offset),
                reason: "a segment is missing",
            });
            found.next_offset = offset;
        }
    }
}

/// Up to where the log is proven to be durable, whatever can be read of it.
fn proven(layout: &Layout, point: Option<&RecoveryPoint>, tails: &FollowedPartition) -> u64 {
    let sealed = layout.manifest.segments.last().map_or(0, |noted| noted.sealed.next_offset);
    let point = point.map_or(0, |point| point.synced.next_offset);
    let in_slots = tails.batches.iter().filter_map(|batch| {
        let durable = batch.records.get(..batch.durable_bytes).filter(|durable| !durable.is_empty())?;
        next_offset(&batch.identity, durable)
    });
    in_slots.chain([sealed, point]).max().unwrap_or_default()
}

/// Where a log ends that ends at `end` in its segments.
fn tails_end(tails: &FollowedPartition, end: u64) -> u64 {
    tails.batches.iter().fold(end, |end, batch| continued_by(batch, end).unwrap_or(end))
}

/// One above the last offset of a batch that continues a log that ends at `end`, if it does.
fn continued_by(batch: &FollowedBatch, end: u64) -> Option<u64> {
    let next_offset = next_offset(&batch.identity, &batch.records)?;
    (batch.identity.base_offset == end && end < next_offset).then_some(next_offset)
}

/// One above the last offset of a batch with these records; `None` if they are not whole.
fn next_offset(identity: &Identity, mut records: &[u8]) -> Option<u64> {
    let mut last = None;
    while !records.is_empty() {
        let (delta, bytes) = skip(records).ok()?;
        Record::decode(records).ok()?;
        last = Some(delta);
        records = records.get(bytes..)?;
    }
    identity.base_offset.checked_add_signed(i64::from(last?))?.checked_add(1)
}
