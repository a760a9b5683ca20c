//! One partition's log, read while another process writes it.
//!
//! Nothing is mapped and nothing is changed: segments and tail are read by system calls, and whatever is read is checked. Each
//! read that comes to the end of what is known looks again, the tail first and the segments after it: a batch that is sealed
//! in between is found twice rather than not at all.
//!
//! Where logs are compacted, files of the same names come to hold something else. What was read then counts only if the manifest
//! and the files that wait to be swapped are the same afterwards; else it is all looked at again.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::compaction;
use super::log::LogSpec;
use super::manifest::{Manifest, ManifestSegment};
use super::reader::{FetchLimits, Source, TailBytes, TailRecords};
use super::recovery::{check_owner, segment_dir};
use super::recovery_point::RecoveryPointFile;
use crate::disk::Disk;
use crate::disk::open_files::OpenFiles;
use crate::error::{Corruption, Error, Result};
use crate::format::{Record, skip};
use crate::record::Fetched;
use crate::segment::file_name::{self, FileKind, FileName, Stage};
use crate::segment::{ScanStart, Segment, SegmentConfig, SegmentDir};
use crate::sync::Mutex;
use crate::tail::{Salvaged, TAIL_NAMES, salvage};
use crate::topic_partition::TopicPartition;

/// The log of one partition, open for reading only.
#[derive(Debug)]
pub(crate) struct Follower {
    pub(super) spec: LogSpec,
    pub(super) dir: Arc<SegmentDir>,
    /// Both, since a topic without a durability of its own has that of the broker that writes it, which is not known here.
    tails: [PathBuf; 2],
    seen: Mutex<Arc<Seen>>,
}

/// What was found when the files were last looked at.
#[derive(Debug, Default)]
pub(super) struct Seen {
    pub(super) layout: Layout,
    pub(super) segments: Vec<Arc<Segment>>,
    tail: Vec<Salvaged>,
    bounds: Range<u64>,
    /// What was synced once and cannot be read any more.
    pub(super) damage: Vec<Corruption>,
}

impl Seen {
    /// The segment that was opened for this line of the manifest.
    fn segment_of(&self, noted: &ManifestSegment) -> Option<&Arc<Segment>> {
        let base_offset = noted.sealed.base_offset;
        let lines = &self.layout.manifest.segments;
        let line = lines.binary_search_by_key(&base_offset, |line| line.sealed.base_offset).ok()?;
        let is_same = lines.get(line) == Some(noted);
        let segment = self.segments.binary_search_by_key(&base_offset, |segment| segment.base_offset()).ok()?;
        self.segments.get(segment).filter(|segment| is_same && segment.is_sealed())
    }
}

/// What decides which bytes a name stands for.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Layout {
    pub(super) manifest: Manifest,
    /// Base offsets of the log files that are to replace others.
    set_aside: Vec<u64>,
}

/// So often it is looked again when files were swapped meanwhile. Each time a whole compaction has to come in between.
const LOOKS_MAX: usize = 20;

impl Follower {
    pub(crate) fn new(spec: LogSpec, files: &Arc<OpenFiles>, data_dir: &Path) -> Follower {
        let tails = TAIL_NAMES.map(|name| data_dir.join(name));
        Follower { dir: segment_dir(&spec, files, true), tails, seen: Mutex::default(), spec }
    }

    pub(crate) fn partition(&self) -> &TopicPartition {
        &self.spec.partition
    }

    /// The offsets that can be read now; what was known last, if looking fails.
    pub(crate) fn bounds(&self) -> Range<u64> {
        self.look().unwrap_or_else(|_| Arc::clone(&self.seen.lock())).bounds.clone()
    }

    /// Bytes of all segments, and their number, when the files were last looked at.
    pub(crate) fn size(&self) -> (u64, usize) {
        let seen = Arc::clone(&self.seen.lock());
        (seen.segments.iter().map(|segment| segment.log_bytes()).sum(), seen.segments.len())
    }

    /// Reads records from offset `from` (included) on; see [`Source::fetch`].
    pub(crate) fn fetch(&self, from: u64, limits: FetchLimits) -> Result<Fetched> {
        self.unless_closed(|| self.fetch_open(from, limits))
    }

    fn fetch_open(&self, from: u64, limits: FetchLimits) -> Result<Fetched> {
        let seen = Arc::clone(&self.seen.lock());
        if from < seen.bounds.end
            && let Ok((fetched, _)) = self.read(&seen, |source| source.fetch(from, limits, None))
            && self.is_still(&seen)?
        {
            return Ok(fetched);
        }
        Ok(self.look_and_read(|source| source.fetch(from, limits, None))?.0)
    }

    /// The first offset whose record has a timestamp of at least `timestamp_ms`.
    pub(crate) fn offset_for_time(&self, timestamp_ms: i64) -> Result<Option<u64>> {
        self.unless_closed(|| self.look_and_read(|source| source.offset_for_time(timestamp_ms)))
    }

    /// What `read` returns; also if its files were closed meanwhile, an error that says so.
    fn unless_closed<T>(&self, read: impl FnOnce() -> Result<T>) -> Result<T> {
        self.check_open()?;
        read().or_else(|error| self.check_open().and(Err(error)))
    }

    fn check_open(&self) -> Result<()> {
        let what = || Error::Closed { what: self.spec.partition.to_string() };
        if self.dir.files.are_closed() { Err(what()) } else { Ok(()) }
    }

    fn look_and_read<T>(&self, read: impl Fn(&Source<'_>) -> Result<T>) -> Result<T> {
        self.look_and(|seen| self.read(seen, &read))
    }

    /// Looks at the files again and uses what was seen, until nothing was swapped meanwhile.
    pub(super) fn look_and<T>(&self, use_seen: impl Fn(&Seen) -> Result<T>) -> Result<T> {
        let mut looks = 1;
        loop {
            let seen = self.look()?;
            let result = use_seen(&seen);
            if looks == LOOKS_MAX || self.is_still(&seen)? {
                return result;
            }
            looks += 1;
        }
    }

    /// Whether the names stand for what they stood for when they were looked at.
    fn is_still(&self, seen: &Seen) -> Result<bool> {
        Ok(self.spec.compaction.is_none() || self.layout()? == seen.layout)
    }

    fn layout(&self) -> Result<Layout> {
        let disk = &**self.dir.files.disk();
        let manifest =
            Manifest::load(disk, &self.spec.dir, self.spec.id())?.map(|loaded| loaded.manifest).unwrap_or_default();
        let mut layout = Layout { manifest, set_aside: Vec::new() };
        if self.spec.compaction.is_some() {
            let names = file_name::list(disk, &self.spec.dir)?.into_iter();
            let logs = names.filter(|name| name.kind == FileKind::Log && name.stage == Stage::Swap);
            layout.set_aside.extend(logs.map(|name| name.base_offset));
        }
        Ok(layout)
    }

    fn read<T>(&self, seen: &Seen, read: impl FnOnce(&Source<'_>) -> Result<T>) -> Result<T> {
        let tail: Vec<_> = seen
            .tail
            .iter()
            .map(|batch| TailRecords {
                identity: &batch.identity,
                bytes: TailBytes::Copied(&batch.records),
                is_dense: false,
            })
            .collect();
        read(&Source {
            partition: &self.spec.partition,
            topic_id: self.spec.topic_id,
            segments: &seen.segments,
            tail: &tail,
            damage: &seen.damage,
            waypoints: None,
            bounds: seen.bounds.clone(),
            max_message_bytes: self.spec.config.max_message_bytes,
        })
    }

    /// Looks at the files again, until nothing was swapped meanwhile.
    fn look(&self) -> Result<Arc<Seen>> {
        self.check_open()?;
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

    fn look_once(&self) -> Result<Arc<Seen>> {
        let disk = &**self.dir.files.disk();
        if self.seen.lock().segments.is_empty() {
            // Files of another log would be taken for this one's.
            check_owner(disk, &self.spec)?;
        }
        let [always, relaxed] = &self.tails;
        let mut batches = salvage(disk, always)?;
        batches.iter_mut().for_each(leave_out_unsynced);
        batches.extend(salvage(disk, relaxed)?);
        batches.retain(|batch| {
            let identity = &batch.identity;
            identity.topic_id == self.spec.topic_id && identity.partition == self.spec.partition.partition()
        });
        batches.sort_by_key(|batch| batch.identity.base_offset);
        let (layout, found) = self.look_at_segments(disk)?;
        let Found { segments, damage, .. } = found;
        let first = segments.first().map_or(0, |segment| segment.base_offset());
        let log_start_offset = layout.manifest.log_start_offset.max(first);
        let mut end = found.next_offset.max(log_start_offset);
        let mut tail = Vec::new();
        for batch in batches {
            if let Some(next_offset) =
                next_offset(&batch).filter(|&next| batch.identity.base_offset == end && next > end)
            {
                end = next_offset;
                tail.push(batch);
            }
        }
        Ok(Arc::new(Seen { layout, segments, tail, bounds: log_start_offset..end, damage }))
    }

    fn look_at_segments(&self, disk: &dyn Disk) -> Result<(Layout, Found)> {
        // Before the segments: what it says of them was true before it was said.
        let point = RecoveryPointFile::load(disk, &self.spec.dir, self.spec.id())?.point;
        let proven = point.as_ref().map_or(0, |point| point.synced.next_offset);
        let layout = self.layout()?;
        let config = SegmentConfig::from(&self.spec.config);
        let mut segments: Vec<Arc<Segment>> = Vec::new();
        let seen = Arc::clone(&self.seen.lock());
        let is_swapping = !layout.set_aside.is_empty() || !seen.layout.set_aside.is_empty();
        for noted in &layout.manifest.segments {
            let base_offset = noted.sealed.base_offset;
            if let Some(known) = seen.segment_of(noted).filter(|_| !is_swapping) {
                segments.push(Arc::clone(known));
                continue;
            }
            let is_set_aside = layout.set_aside.contains(&base_offset)
                && compaction::recovery::is_set_aside(disk, &self.spec.dir, noted)?;
            let open = if is_set_aside { Segment::open_set_aside } else { Segment::open_sealed };
            segments.push(Arc::new(open(&self.dir, &noted.sealed, config)));
        }
        let next_offset = segments.last().map(|segment| segment.next_offset());
        let start = next_offset.unwrap_or(layout.manifest.log_start_offset);
        let mut found = Found { segments, damage: Vec::new(), next_offset: start };
        let names = file_name::list(disk, &self.spec.dir)?.into_iter();
        let logs = names.filter(|name| name.kind == FileKind::Log && name.stage == Stage::Live);
        let bases: Vec<u64> = logs.map(|name| name.base_offset).filter(|&base| start <= base).collect();
        for (index, &base_offset) in bases.iter().enumerate() {
            if base_offset != found.next_offset && proven < base_offset {
                break;
            }
            // What a later segment proves says nothing of this one's end.
            let proven = bases.get(index + 1).map_or(proven, |next| proven.min(*next));
            self.add_missing(&mut found, base_offset);
            let start = match &point {
                Some(point) if point.base_offset == base_offset => point.synced,
                _ => ScanStart::nothing(base_offset),
            };
            let (segment, scan) = Segment::recover(&self.dir, base_offset, config, start, proven)?;
            found.damage.extend(scan.damaged.iter().map(|damage| segment.corruption(damage)));
            found.next_offset = scan.next_offset;
            found.segments.push(Arc::new(segment));
        }
        self.add_missing(&mut found, proven);
        Ok((layout, found))
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

/// Segments, and what is missing of them.
struct Found {
    segments: Vec<Arc<Segment>>,
    damage: Vec<Corruption>,
    next_offset: u64,
}

/// With `Always` only what a commit entry covers is shown: its sync has begun, if not ended.
fn leave_out_unsynced(batch: &mut Salvaged) {
    batch.records.truncate(batch.durable_bytes);
}

/// One above the last offset of a batch; `None` if it is not whole records.
fn next_offset(batch: &Salvaged) -> Option<u64> {
    let mut rest = batch.records.as_slice();
    let mut last = None;
    while !rest.is_empty() {
        let (delta, bytes) = skip(rest).ok()?;
        Record::decode(rest).ok()?;
        last = Some(delta);
        rest = rest.get(bytes..)?;
    }
    batch.identity.base_offset.checked_add_signed(i64::from(last?))?.checked_add(1)
}
