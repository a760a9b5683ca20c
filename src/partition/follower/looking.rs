//! Looking at the files of a log that another process may be writing.

use std::sync::Arc;

use super::{Files, Follower, LOOKS_MAX, Layout, Seen};
use crate::disk::Disk;
use crate::error::{Corruption, Error, Result};
use crate::format::BatchStart;
use crate::partition::compaction;
use crate::partition::durability::Durability;
use crate::partition::manifest::Manifest;
use crate::partition::producer_state::batch::ProducerBatch;
use crate::partition::producer_state::gathering::{ProducerSources, Transactions};
use crate::partition::recovery::{check_partition, first_offset, lost_manifest, owner_of_manifest};
use crate::partition::recovery_point::{RecoveryPoint, RecoveryPointFile};
use crate::segment::file_name::{self, FileKind, FileName, Stage};
use crate::segment::{KnownBatch, KnownBatches, ScanStart, Segment, SegmentConfig};
use crate::tail::{FollowedBatch, FollowedPartition, SlotClass};

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
            let deletions = self.deletions();
            let seen = self.look_once();
            if looks == LOOKS_MAX || seen.as_ref().is_ok_and(|seen| self.is_still(seen).unwrap_or(false)) {
                let seen = seen?;
                *self.seen.lock() = Arc::clone(&seen);
                return Ok(seen);
            }
            if seen.is_err() && self.keeps_names_since(deletions) {
                return seen;
            }
            looks += 1;
        }
    }

    /// Whether the names stand for what they stood for when they were looked at, and the log begins where it did.
    pub(super) fn is_still(&self, seen: &Seen) -> Result<bool> {
        if self.keeps_names_since(seen.tails.deletions()) {
            return Ok(true);
        }
        let words = self.deletions();
        if self.is_always(words, seen.tails.default_is_always) != seen.is_always {
            return Ok(false);
        }
        let (now, then) = (self.layout()?, &seen.files.layout);
        let begins_where_it_did = now.manifest.log_start_offset == then.manifest.log_start_offset;
        let is_compacted = now.manifest.has_gaps() || then.manifest.has_gaps();
        Ok(if is_compacted { now == *then } else { begins_where_it_did })
    }

    /// Whether it is known, without a look at the files, that none went or was swapped since the tails said this.
    fn keeps_names_since(&self, deletions: Option<[u64; 2]>) -> bool {
        self.spec.compaction().is_none() && deletions.is_some() && self.deletions() == deletions
    }

    /// The tails' word of that name.
    pub(super) fn deletions(&self) -> Option<[u64; 2]> {
        self.surroundings.tails.deletions(&**self.dir.files.disk())
    }

    pub(super) fn layout(&self) -> Result<Layout> {
        let disk = &**self.dir.files.disk();
        let (manifest, manifest_damage) = match Manifest::load(disk, &self.spec.dir, self.spec.id()) {
            Ok(loaded) => (loaded.map(|loaded| loaded.manifest).unwrap_or_default(), None),
            Err(Error::Corrupt(damage)) => (Manifest::default(), Some(*damage)),
            Err(error) => return Err(error),
        };
        let mut layout = Layout { manifest, manifest_damage, set_aside: Vec::new() };
        if layout.manifest.has_gaps() {
            let names = file_name::list(disk, &self.spec.dir)?.into_iter();
            layout.set_aside.extend(names.filter(|name| name.stage == Stage::Swap));
        }
        Ok(layout)
    }

    fn look_once(&self) -> Result<Arc<Seen>> {
        let disk = &**self.dir.files.disk();
        let before = Arc::clone(&self.seen.lock());
        let tails = self.tails(&before)?;
        let is_always = self.is_always(tails.deletions(), tails.default_is_always);
        // Before the segments: what it says of them was true before it was said.
        let loaded = RecoveryPointFile::load(disk, &self.spec.dir, self.spec.id())?;
        let point = loaded.point.as_ref();
        let layout = self.layout()?;
        // One that was loaded says so; what stands for none says nothing.
        let was_loaded = layout.manifest.log == self.spec.id();
        let of_manifest = owner_of_manifest(was_loaded, layout.manifest_damage.as_ref());
        check_partition(disk, &self.spec.dir, of_manifest, &loaded)?;
        let is_missing = !was_loaded && layout.manifest_damage.is_none();
        let lost = lost_manifest(&self.spec.dir, point.filter(|_| is_missing));
        let manifest_damage = layout.manifest_damage.clone().or(lost);
        let whole = whole_batches(&tails);
        // What the tails prove of the batches in the segments, as where a log is recovered.
        let known = whole.iter().map(|(start, records)| KnownBatch { start: *start, records });
        let known = KnownBatches::new(known.collect(), SlotClass::Large.records_bytes_max());
        let manifest = (&layout, manifest_damage.is_none());
        let look = |written| self.look_at_segments(disk, manifest, point, &before.files, (&known, written));
        let mut found = look(0)?;
        if found.next_offset.max(tails_end(&tails, found.next_offset)) < before.bounds.end {
            // It could be read before, so it was there: what is bad of it is damage, and not the end of the log.
            found = look(before.bounds.end)?;
        }
        let Found { segments, mut damage, next_offset } = found;
        let partition = Some(self.spec.partition.clone());
        damage.splice(..0, manifest_damage.map(|damage| Corruption { partition, ..damage }));
        let first = segments.first().map_or(0, |segment| segment.base_offset());
        let start = layout.manifest.log_start_offset.max(first);
        let proven = proven(&layout, point);
        let offsets = start..next_offset.max(start);
        let files = Arc::new(Files { layout, segments, damage, offsets, proven });
        let shown = before.bounds.end;
        let mut seen = Self::seen_of(files, tails, (is_always, shown), || self.surroundings.was_restarted(disk));
        seen.transactions = self.transactions(&seen, point)?;
        Ok(Arc::new(seen))
    }

    /// What was seen last, if the tails say at a glance that nothing has changed since, and nothing of it waits for a proof that only the
    /// files may have.
    pub(super) fn glance(&self) -> Option<Arc<Seen>> {
        let seen = Arc::clone(&self.seen.lock());
        let is_as_before =
            seen.bounds.end == seen.end && self.surroundings.tails.are_as_before(&**self.dir.files.disk(), &seen.tails);
        is_as_before.then_some(seen)
    }

    /// What is there now from offset `from` on, if that can be told without a look at the files: the tails say what was appended,
    /// and nothing of it waits for a proof that only the files may have.
    pub(super) fn look_at_tails(&self, from: u64) -> Result<Option<Arc<Seen>>> {
        self.check_usable()?;
        let before = Arc::clone(&self.seen.lock());
        if from < before.bounds.end.max(before.files.offsets.end) {
            return Ok(None);
        }
        let tails = self.tails(&before)?;
        let is_always = self.is_always(tails.deletions(), tails.default_is_always);
        let has_producers = |batch: &Arc<FollowedBatch>| batch.identity.start.stamp.has_producer();
        // How far committed records can be read, only the log tells.
        let may_have_transactions = before.transactions.is_some() || tails.batches.iter().any(has_producers);
        if !tails.only_grew_since(&before.tails) || is_always != before.is_always || may_have_transactions {
            return Ok(None);
        }
        // Records were deleted, or segments compacted, in one of many logs: if it was this one, what went is let go of.
        let is_told_of_files = tails.deletions() == before.tails.deletions();
        if !is_told_of_files && self.layout()? != before.files.layout {
            return Ok(None);
        }
        let is_same = tails.batches.iter().zip(&before.tails.batches).all(|(now, then)| Arc::ptr_eq(now, then));
        let seen = if is_same && is_told_of_files {
            Arc::clone(&before)
        } else {
            // Who appends has long noted the machine's start.
            let shown = (is_always, before.bounds.end);
            let grown = Arc::new(Self::seen_of(Arc::clone(&before.files), tails, shown, || false));
            let mut seen = self.seen.lock();
            if Arc::ptr_eq(&seen, &before) {
                *seen = Arc::clone(&grown);
            }
            grown
        };
        let is_all_told = from < seen.bounds.end || seen.bounds.end == seen.end;
        Ok(is_all_told.then_some(seen))
    }

    fn tails(&self, before: &Seen) -> Result<FollowedPartition> {
        let (disk, partition) = (&**self.dir.files.disk(), self.spec.partition.partition());
        self.surroundings.tails.look_for(disk, self.spec.topic_id, partition, &before.tails)
    }

    /// Whether only what is durable is to be shown, as the catalog says since the tails had these words, where topics without a
    /// durability of their own have this one.
    fn is_always(&self, words: Option<[u64; 2]>, default_is_always: bool) -> bool {
        let disk = self.dir.files.disk();
        let known = self.surroundings.durabilities(disk, words);
        let own = match known.as_ref().and_then(|known| known.get(&self.spec.topic_id)) {
            Some(own) => *own,
            None => self.spec.settings.load().durability,
        };
        own.map_or(default_is_always, |own| own == Durability::Always)
    }

    /// What can be read of these files and tails: where only what is durable is shown, that and what was shown before.
    fn seen_of(
        files: Arc<Files>,
        tails: FollowedPartition,
        (is_always, shown): (bool, u64),
        was_restarted: impl FnOnce() -> bool,
    ) -> Seen {
        let log_start_offset = files.offsets.start;
        let mut end = files.offsets.end;
        let proven = proven_in_slots(&tails).max(files.proven).max(log_start_offset);
        let mut tail = Vec::new();
        for batch in &tails.batches {
            if let Some(next_offset) = continued_by(batch, end) {
                end = next_offset;
                tail.push(Arc::clone(batch));
            }
        }
        let durable_offset = if end <= proven || was_restarted() { end } else { proven };
        let visible_end = if is_always { durable_offset.max(shown.min(end)) } else { end };
        let (bounds, transactions) = (log_start_offset..visible_end, None);
        Seen { files, tails, tail, end, bounds, transactions, durable_offset, is_always }
    }

    /// What who reads committed records has to know of what was seen. A marker counts as soon as it is there, also where it cannot be
    /// read yet, since it is not durable: what it says was decided, and that is.
    fn transactions(&self, seen: &Seen, point: Option<&RecoveryPoint>) -> Result<Option<Arc<Transactions>>> {
        let has_producer = |batch: &&Arc<FollowedBatch>| batch.identity.start.stamp.has_producer();
        let tail: Vec<_> = seen.tail.iter().filter(has_producer).filter_map(|batch| producer_batch(batch)).collect();
        let sources = ProducerSources {
            dir: &self.dir,
            noted: &seen.files.layout.manifest.segments,
            point,
            segments: &seen.files.segments,
            tail: &tail,
            end: seen.end,
        };
        if !sources.are_any() {
            return Ok(None);
        }
        let producers = sources.gather()?;
        Ok(Transactions::new(&producers.states, producers.aborted))
    }

    /// Opens the segments, and takes nothing that contradicts what is `known` from the tails. Offsets below `written` are known to
    /// have been written, synced or not.
    fn look_at_segments(
        &self,
        disk: &dyn Disk,
        (layout, is_manifest_whole): (&Layout, bool),
        point: Option<&RecoveryPoint>,
        before: &Files,
        (known, written): (&KnownBatches<'_>, u64),
    ) -> Result<Found> {
        let proven = point.map_or(0, |point| point.synced.next_offset).max(written);
        let config = self.spec.segment_config();
        let segments = self.sealed_segments(disk, layout, before, config)?;
        let names = file_name::list(disk, &self.spec.dir)?.into_iter();
        let logs = names.filter(|name| name.kind == FileKind::Log && name.stage == Stage::Live);
        let mut bases: Vec<u64> = logs.map(|name| name.base_offset).collect();
        let first = || first_offset(&layout.manifest, &bases, !is_manifest_whole);
        let start = segments.last().map_or_else(first, |segment| segment.next_offset());
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
                _ if !is_manifest_whole
                    && self.spec.compaction().is_some()
                    && next_base.is_some_and(|next| *next <= proven) =>
                {
                    ScanStart { file_position: u64::MAX, has_gaps: true, ..ScanStart::nothing(base_offset) }
                }
                _ => ScanStart::nothing(base_offset),
            };
            let (segment, scan) = Segment::recover(&self.dir, base_offset, config, start, proven_here, known)?;
            if point.is_some_and(|point| point.base_offset == base_offset && point.producers.are_any()) {
                segment.note_producers();
            }
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
        before: &Files,
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
            let is_set_aside =
                layout.has_log_aside(base_offset) && compaction::recovery::is_set_aside(disk, &self.spec.dir, noted)?;
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

/// Up to where the log is proven to be durable by its files, whatever can be read of it.
fn proven(layout: &Layout, point: Option<&RecoveryPoint>) -> u64 {
    let sealed = layout.manifest.segments.last().map_or(0, |noted| noted.sealed.next_offset);
    sealed.max(point.map_or(0, |point| point.synced.next_offset))
}

/// Up to where the log is proven to be durable by what slots say.
fn proven_in_slots(tails: &FollowedPartition) -> u64 {
    tails.batches.iter().filter_map(|batch| batch.durable_next_offset()).max().unwrap_or_default()
}

/// The records of those batches in the tails that are whole.
fn whole_batches(tails: &FollowedPartition) -> Vec<(BatchStart, Vec<u8>)> {
    let whole = tails.batches.iter().filter(|batch| batch.next_offset().is_some());
    whole.map(|batch| (batch.identity.start, batch.show(<[u8]>::to_vec))).collect()
}

/// Where a log ends that ends at `end` in its segments.
fn tails_end(tails: &FollowedPartition, end: u64) -> u64 {
    tails.batches.iter().fold(end, |end, batch| continued_by(batch, end).unwrap_or(end))
}

/// One above the last offset of a batch that continues a log that ends at `end`, if it does.
fn continued_by(batch: &FollowedBatch, end: u64) -> Option<u64> {
    let next_offset = batch.next_offset()?;
    (batch.identity.base_offset() == end && end < next_offset).then_some(next_offset)
}

/// What a batch in the tail says of its producer. Nobody asks here when that was.
fn producer_batch(batch: &FollowedBatch) -> Option<ProducerBatch> {
    let start = &batch.identity.start;
    let next_offset = batch.next_offset()?;
    let last_offset_delta = i32::try_from(next_offset.checked_sub(start.base_offset)?.checked_sub(1)?).ok()?;
    batch.show(|records| ProducerBatch::in_tail(start, last_offset_delta, -1, records))
}
