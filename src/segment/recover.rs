//! Finding where a log file is whole after an unclean stop.
//!
//! Below what is known to be synced everything must be there: a bad batch is damage, is reported, and what lies behind it is
//! kept. Above, un-synced pages have reached the disk in any order, so the log ends before the first bad batch, and whatever
//! the file holds behind is the caller's to set aside and cut. Zeros and garbage are nothing special. Whole batches may be another
//! log's, with every checksum right: the first one that contradicts what is known of this log is bad, too.

use std::io;
use std::sync::{Arc, OnceLock};

use super::header_sums::WrittenLog;
use super::index_files::{self, Covered};
use super::indexes::Indexes;
use super::known_batches::KnownBatches;
use super::offset_index::OffsetIndex;
use super::scan::{Damage, LogWalk, Piece, ReadAt, Rules};
use super::time_index::TimeIndex;
use super::{
    FOREIGN, FileKind, FileName, HeaderSums, IndexCrcs, Loaded, SealedSegment, Segment, SegmentConfig, SegmentDir,
};
use crate::canary::{Canary, planted};
use crate::disk::append_file::{AppendFile, Extent};
use crate::disk::{DiskFile, Open};
use crate::error::{Error, Result};
use crate::format::{BatchHeader, HEADER_BYTES};
use crate::sync::atomic::{AtomicBool, AtomicU64};

/// Up to where a log file is trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ScanStart {
    /// The byte of the log file up to which everything was synced.
    pub(crate) file_position: u64,
    /// The offset of the batch that begins there.
    pub(crate) next_offset: u64,
    /// The least leader epoch of what follows; −1 if anything goes.
    pub(crate) leader_epoch: i32,
    /// Whether offsets are missing between the batches below.
    pub(crate) has_gaps: bool,
    /// When the segment was made, by the wall clock in ms, if that is known.
    pub(crate) created_ms: Option<i64>,
    /// What tells the log file from any other, if that is known: the last header is that of the last batch below.
    pub(crate) headers: Option<HeaderSums>,
    /// What makes the index files believable, so that the scan can begin at their last entry. They may end before this point.
    pub(crate) index_crcs: Option<IndexCrcs>,
}

impl ScanStart {
    /// Trusts nothing of a segment.
    pub(crate) fn nothing(base_offset: u64) -> ScanStart {
        ScanStart {
            file_position: 0,
            next_offset: base_offset,
            leader_epoch: -1,
            has_gaps: false,
            created_ms: None,
            headers: None,
            index_crcs: None,
        }
    }
}

/// What was found in a log file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Scan {
    /// Where the scan began; what lies below was trusted.
    pub(crate) scanned_from: u64,
    /// The byte where the log ends.
    pub(crate) valid_bytes: u64,
    /// The file's size.
    pub(crate) file_bytes: u64,
    /// Whether it has a second name, and is to be copied before it is written.
    pub(crate) is_shared: bool,
    /// The offset after the last batch, or after what is known to have been there.
    pub(crate) next_offset: u64,
    /// Batches that were scanned and are good.
    pub(crate) batches: u64,
    /// Whether there should have been index files and they were not what was written.
    pub(crate) indexes_rebuilt: bool,
    /// How many of them have a producer.
    pub(crate) producer_batches: u64,
    /// The largest timestamp in the segment.
    pub(crate) max_timestamp: Option<i64>,
    /// Why the log ends before the file does, if so.
    pub(crate) bad: Option<Bad>,
    /// What was synced and cannot be read any more, in ascending order.
    pub(crate) damaged: Vec<Damage>,
    /// Whether the file is not the one that was written: nothing of it is this log's, and it is to be left alone.
    pub(crate) is_another: bool,
}

impl Scan {
    /// Nothing was scanned yet.
    fn begin(file_bytes: u64, scanned_from: u64, next_offset: u64) -> Scan {
        Scan {
            scanned_from,
            valid_bytes: 0,
            file_bytes,
            is_shared: false,
            next_offset,
            batches: 0,
            indexes_rebuilt: false,
            producer_batches: 0,
            max_timestamp: None,
            bad: None,
            damaged: Vec::new(),
            is_another: false,
        }
    }
}

/// The first bad batch above what is known to be synced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Bad {
    /// Where it begins.
    pub(crate) file_position: u64,
    /// What is wrong with it.
    pub(crate) reason: &'static str,
    /// File position and base offset of a later batch that is good in itself, if any: for the report, it proves nothing.
    pub(crate) next_valid: Option<(u64, u64)>,
}

impl Segment {
    /// Opens a segment that may end in anything, and finds its end. The file is not changed; [`cut_to`](Segment::cut_to) is to
    /// follow if there is something behind the end.
    ///
    /// Offsets below `proven_durable` are known to have been synced in *this file*. Above them no batch is taken that contradicts
    /// those that are `known`.
    ///
    /// # Errors
    /// The disk's.
    pub(crate) fn recover(
        dir: &Arc<SegmentDir>,
        base_offset: u64,
        config: SegmentConfig,
        from: ScanStart,
        proven_durable: u64,
        known: &KnownBatches<'_>,
    ) -> Result<(Segment, Scan)> {
        let path = FileName::live(base_offset, FileKind::Log).path(&dir.path);
        let recovery = Recovery { base_offset, config, from, proven_durable, known };
        let access = if dir.is_read_only { Open::Read } else { Open::Write };
        let file = dir.files.open(&path, access).map_err(|source| Error::io("open", &path, source))?;
        let read_at = |buffer: &mut [u8], file_position| file.read_at(buffer, file_position);
        let file_bytes = file.size_when_opened();
        let written = WrittenLog { base_offset, written_bytes: from.file_position, file_bytes };
        let another = from.headers.map_or(Ok(false), |headers| headers.are_of_another(&read_at, written));
        if another.map_err(|source| Error::io("read", &path, source))? {
            return Ok(another_file(dir, &recovery, file_bytes));
        }
        let (scan, indexes) = scan_file(dir, &*file, &recovery).map_err(|source| Error::io("read", &path, source))?;

        let capacity_bytes = u64::from(config.segment_bytes);
        let extent = Extent { published_bytes: scan.valid_bytes, capacity_bytes };
        let log = AppendFile::opened(&dir.files, &path, access, extent, file)
            .map_err(|source| Error::io("open", &path, source))?;
        let found = SealedSegment {
            base_offset,
            next_offset: scan.next_offset,
            log_bytes: scan.valid_bytes,
            max_timestamp: scan.max_timestamp,
            has_gaps: from.has_gaps,
            // What is not known begins anew, once: it is noted from now on.
            created_ms: from.created_ms.or(Some(dir.files.disk().now_ms().max(0))),
            rolled_ms: None,
            headers: None,
            index_crcs: from.index_crcs,
        };
        let mut segment = Segment::new(dir, &found, config);
        segment.loaded = OnceLock::from(Loaded::new(log, indexes));
        segment.known_good_from = scan.valid_bytes;
        segment.synced_bytes = AtomicU64::new(scan.valid_bytes.min(from.file_position));
        segment.is_name_synced = AtomicBool::new(false);
        segment.has_producers = AtomicBool::new(scan.producer_batches > 0);
        Ok((segment, scan))
    }
}

/// What is wrong with a batch that contradicts what is known.
const OF_ANOTHER_LOG: &str = "a batch is of another log: the tail has other records at its offsets";

/// What is to be recovered.
#[derive(Debug, Clone, Copy)]
struct Recovery<'k> {
    base_offset: u64,
    config: SegmentConfig,
    from: ScanStart,
    proven_durable: u64,
    known: &'k KnownBatches<'k>,
}

/// A segment in whose place there is another file: sealed as it was last known, so that every read of it fails.
fn another_file(dir: &Arc<SegmentDir>, wanted: &Recovery<'_>, file_bytes: u64) -> (Segment, Scan) {
    let Recovery { base_offset, config, from, .. } = *wanted;
    let lost = SealedSegment {
        next_offset: from.next_offset,
        log_bytes: from.file_position,
        has_gaps: from.has_gaps,
        created_ms: from.created_ms,
        headers: from.headers,
        ..SealedSegment::empty(base_offset)
    };
    let mut scan = Scan::begin(file_bytes, 0, from.next_offset);
    let offsets = base_offset..from.next_offset;
    scan.damaged.push(Damage { file_position: 0, bytes: from.file_position, offsets, reason: FOREIGN });
    scan.is_another = true;
    (Segment::open_sealed(dir, &lost, config), scan)
}

fn scan_file(dir: &SegmentDir, file: &dyn DiskFile, wanted: &Recovery<'_>) -> io::Result<(Scan, Indexes)> {
    let file_bytes = file.size_when_opened();
    let read_at = |buffer: &mut [u8], file_position| file.read_at(buffer, file_position);
    let from = wanted.from;

    let covered =
        Covered { base_offset: wanted.base_offset, next_offset: from.next_offset, log_bytes: from.file_position };
    let disk = &**dir.files.disk();
    let index_files = from.index_crcs.map(|crcs| index_files::load(disk, &dir.path, covered, crcs));
    let indexes_rebuilt = matches!(index_files, Some(None));
    let start = trusted_start(index_files.flatten(), wanted, &read_at);
    let Start { indexes, file_position, next_offset } =
        start.unwrap_or_else(|| Start { indexes: Indexes::empty(), file_position: 0, next_offset: wanted.base_offset });
    let begun = Scan::begin(file_bytes, file_position, next_offset);
    let mut scan = Scan { indexes_rebuilt, is_shared: file.is_shared(), ..begun };

    let durable = wanted.proven_durable.max(from.next_offset);
    let durable = if planted(Canary::CutAtDamage) { 0 } else { durable };
    let (base_offset, may_skip) = (wanted.base_offset, from.has_gaps);
    let rules = Rules { base_offset, end_offset: u64::MAX, end_position: 0, may_skip, leader_epoch: None };
    let mut walk = LogWalk::new(&read_at, file_bytes, rules, file_position, next_offset);
    let mut is_above = false;
    loop {
        if !is_above && from.file_position <= walk.file_position() {
            is_above = true;
            walk.rules.may_skip = false;
            walk.rules.leader_epoch = Some(from.leader_epoch);
            if from.has_gaps {
                walk.expect(from.next_offset);
            }
        }
        (scan.valid_bytes, scan.next_offset) = (walk.file_position(), walk.next_offset());
        match walk.next(durable)? {
            Piece::Batch(batch) => {
                let is_proven = !is_above || batch.header.base_offset() < durable;
                if !is_proven && wanted.known.contradict(&mut walk, &batch)? {
                    let (file_position, reason) = (batch.file_position, OF_ANOTHER_LOG);
                    scan.bad = Some(Bad { file_position, reason, next_valid: None });
                    break;
                }
                indexes.append(&batch, wanted.base_offset, wanted.config.index_interval_bytes);
                scan.batches += 1;
                scan.producer_batches += u64::from(batch.header.start.stamp.has_producer());
            }
            Piece::Damage(damage) => scan.damaged.push(damage),
            Piece::Tail(reason) => {
                let file_position = walk.file_position();
                let next_valid =
                    walk.find_behind(u64::MAX)?.map(|batch| (batch.file_position, batch.header.base_offset()));
                scan.bad = Some(Bad { file_position, reason, next_valid });
                break;
            }
            Piece::End => break,
        }
    }
    scan.max_timestamp = indexes.times().max.map(|max| max.timestamp);
    Ok((scan, indexes))
}

/// Where a scan begins, with the indexes of what lies below.
struct Start {
    indexes: Indexes,
    file_position: u64,
    next_offset: u64,
}

/// Begins at the last entry of the index files, if they are those of what is trusted and the log file has that batch there.
fn trusted_start(
    index_files: Option<(OffsetIndex, TimeIndex)>,
    wanted: &Recovery<'_>,
    read_at: &ReadAt<'_>,
) -> Option<Start> {
    let base_offset = wanted.base_offset;
    let (offset, time) = index_files?;
    let entry = offset.last()?;
    let file_position = u64::from(entry.file_position);
    let header = read_header(read_at, file_position)?;
    let first = read_header(read_at, 0)?;
    if header.last_offset() != base_offset + u64::from(entry.relative_offset) {
        return None;
    }
    // Without the final entry of the time index, so that going on from here gives what counting from the start would.
    let indexes = Indexes::loaded(offset, time.up_to(entry.relative_offset), Some(&first));
    Some(Start { indexes, file_position, next_offset: header.base_offset() })
}

fn read_header(read_at: &ReadAt<'_>, file_position: u64) -> Option<BatchHeader> {
    let mut bytes = [0; HEADER_BYTES];
    let read = read_at(&mut bytes, file_position).ok()?;
    BatchHeader::decode(bytes.get(..read)?).ok()
}
