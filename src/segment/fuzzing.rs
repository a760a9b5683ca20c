//! Log files and indexes made of any bytes.
#![allow(clippy::unwrap_used, clippy::missing_panics_doc, reason = "a panic is how the fuzzer hears of a broken rule")]

use std::path::Path;
use std::sync::Arc;

use super::offset_index::OffsetIndex;
use super::scan::{LogWalk, Piece, Rules};
use super::time_index::TimeIndex;
use super::transaction_index;
use super::{
    FileKind, FileName, FileSum, IndexCrcs, KnownBatches, OpenFiles, Scan, ScanStart, Segment, SegmentConfig,
    SegmentDir,
};
use crate::disk::open_files::{OpenFilesConfig, ReadMode};
use crate::disk::simulated::SimulatedDisk;
use crate::error::Error;
use crate::format::{BatchHeader, HEADER_BYTES};
use crate::topic_partition::TopicPartition;

const CONFIG: SegmentConfig = SegmentConfig {
    segment_bytes: 1 << 20,
    index_interval_bytes: 200,
    index_bytes_max: 1 << 16,
    segment_ms: i64::MAX,
    expanded_bytes_max: (2 << 20) + (16 << 20),
};
const DIR: &str = "/orders-0";

/// Reads index files of a log with so many offsets and bytes, and writes them again.
pub fn indexes(bytes: &[u8], offsets: u64, log_bytes: u64) {
    if let Some(index) = OffsetIndex::decode(bytes, offsets, log_bytes) {
        assert_eq!(index.encode(), bytes, "an offset index comes back from its bytes");
        for at in 0..index.len() {
            let entry = index.get(at).unwrap();
            assert!(u64::from(entry.relative_offset) < offsets && u64::from(entry.file_position) < log_bytes);
            assert_eq!(index.count_to_offset(entry.relative_offset.into()), at + 1);
            assert_eq!(index.count_to_position(entry.file_position.into()), at + 1);
        }
    }
    if let Some(index) = TimeIndex::decode(bytes, offsets) {
        assert_eq!(index.encode(None), bytes, "a time index comes back from its bytes");
        if let Some(last) = index.last() {
            assert_eq!(index.up_to(last.relative_offset).len(), index.len());
            assert!(last.relative_offset == 0 || index.up_to(last.relative_offset - 1).len() < index.len());
        }
    }
}

/// Reads the transaction index of a segment from offset 0 on with so many offsets, and writes it again.
pub fn transaction_index(bytes: &[u8], offsets: u64) {
    let Some(entries) = transaction_index::decode(bytes, 0, offsets) else { return };
    assert_eq!(transaction_index::encode(&entries), bytes, "a transaction index comes back from its bytes");
    assert!(entries.is_sorted_by(|a, b| a.last_offset < b.last_offset), "markers rise");
    assert!(entries.iter().all(|entry| entry.first_offset < entry.last_offset && entry.last_offset < offsets));
}

/// Walks through a log file, of which offsets below `durable` are known to have been there.
pub fn log_walk(bytes: &[u8], durable: u64, may_skip: bool) {
    let bytes = with_checksums(bytes);
    let pieces = walk(&bytes, durable, may_skip);
    assert_eq!(walk(&bytes, durable, may_skip), pieces, "the same answer twice");
}

fn walk(bytes: &[u8], durable: u64, may_skip: bool) -> Vec<Piece> {
    let read_at = |buffer: &mut [u8], position: u64| {
        let rest = usize::try_from(position).ok().and_then(|at| bytes.get(at..)).unwrap_or_default();
        Ok(buffer.iter_mut().zip(rest).map(|(to, from)| *to = *from).count())
    };
    let rules = Rules { base_offset: 0, end_offset: u64::MAX, end_position: 0, may_skip, leader_epoch: None };
    let mut walk = LogWalk::new(&read_at, bytes.len() as u64, rules, 0, 0);
    let mut pieces = Vec::new();
    loop {
        let (position, next_offset) = (walk.file_position(), walk.next_offset());
        let piece = walk.next(durable).unwrap();
        match &piece {
            Piece::Batch(batch) => {
                assert_eq!((batch.file_position, batch.end()), (position, walk.file_position()));
                assert!(
                    next_offset == batch.header.base_offset() || may_skip && next_offset < batch.header.base_offset()
                );
                assert_eq!(batch.header.next_offset(), walk.next_offset());
                let place = usize::try_from(position).unwrap()..usize::try_from(batch.end()).unwrap();
                assert_eq!(walk.batch_bytes(batch).ok(), bytes.get(place), "its bytes are those of the file");
            }
            Piece::Damage(damage) => {
                assert_eq!((damage.file_position, damage.bytes), (position, walk.file_position() - position));
                assert_eq!(damage.offsets, next_offset..walk.next_offset());
                let is_ahead = position < walk.file_position() || next_offset < walk.next_offset();
                assert!(is_ahead, "a walk goes on");
            }
            Piece::Tail(_) | Piece::End => {
                assert_eq!((walk.file_position(), walk.next_offset()), (position, next_offset));
                assert!(may_skip || durable <= next_offset, "what was there is reported");
                return pieces;
            }
        }
        pieces.push(piece);
        assert!(pieces.len() <= bytes.len() + 1, "a walk ends");
    }
}

/// Recovers a segment with these files, and reads it; `durable` is as for [`log_walk`].
pub fn segment(log: &[u8], offset_index: &[u8], time_index: &[u8], durable: u64) {
    let log = with_checksums(log);
    let disk = SimulatedDisk::new(0);
    disk.put(file(FileKind::Log), &log);
    disk.put(file(FileKind::OffsetIndex), offset_index);
    disk.put(file(FileKind::TimeIndex), time_index);
    let (segment, scan) = recover(&disk, durable);
    let (_, again) = recover(&disk, durable);
    assert_eq!(scan, again, "the same answer twice");
    assert!(scan.valid_bytes <= scan.file_bytes && durable <= scan.next_offset);
    let mut sealed = segment.describe();
    if sealed.base_offset == sealed.next_offset {
        return;
    }
    let found = read_all(&segment);
    sealed.index_crcs = None;
    let rebuilt = Segment::open_sealed(&dir(&disk), &sealed, CONFIG);
    assert_eq!(read_all(&rebuilt), found, "a sealed segment is what it was");
    // Index files with the right checksum: what they say may be wrong all the same.
    let crcs = IndexCrcs { offset_index: FileSum::of(offset_index), time_index: FileSum::of(time_index) };
    sealed.index_crcs = Some(crcs);
    let believing = Segment::open_sealed(&dir(&disk), &sealed, CONFIG);
    _ = read_all(&believing);
    for timestamp in [0, 1_700_000_000_000, i64::MAX] {
        _ = believing.offset_for_time(timestamp, 0);
        let found = rebuilt.offset_for_time(timestamp, 0).ok();
        assert_eq!(found, segment.offset_for_time(timestamp, 0).ok());
    }
}

fn recover(disk: &SimulatedDisk, durable: u64) -> (Segment, Scan) {
    Segment::recover(&dir(disk), 0, CONFIG, ScanStart::nothing(0), durable, &KnownBatches::default()).unwrap()
}

/// Reads on from each damaged piece: the batches' first offsets and places, and what is lost.
fn read_all(segment: &Segment) -> Vec<(u64, u64)> {
    let (mut offset, mut found) = (segment.base_offset(), Vec::new());
    loop {
        let lost = match read_on(segment, &mut offset, &mut found) {
            Ok(()) => return found,
            Err(Error::Corrupt(corruption)) => corruption.offsets.unwrap(),
            Err(error) => panic!("{error}"),
        };
        assert!(lost.contains(&offset), "{lost:?} does not say why {offset} cannot be read");
        offset = lost.end;
    }
}

fn read_on(segment: &Segment, offset: &mut u64, found: &mut Vec<(u64, u64)>) -> crate::Result<()> {
    let Some(located) = segment.locate(*offset)? else { return Ok(()) };
    assert!(*offset <= located.header.last_offset());
    let mut file_position = located.file_position;
    while let Some(batch) = segment.batch_at(file_position, *offset)? {
        assert!(file_position < batch.end() && *offset <= batch.header.last_offset(), "reading goes on");
        file_position = batch.end();
        *offset = batch.header.next_offset();
        found.push((batch.header.base_offset(), batch.file_position));
    }
    Ok(())
}

fn file(kind: FileKind) -> std::path::PathBuf {
    FileName::live(0, kind).path(Path::new(DIR))
}

fn dir(disk: &SimulatedDisk) -> Arc<SegmentDir> {
    let config = OpenFilesConfig { read_mode: ReadMode::Map, ..OpenFilesConfig::default() };
    let files = OpenFiles::new(Arc::new(disk.clone()), config);
    let partition = TopicPartition::new("orders", 0);
    Arc::new(SegmentDir { files, path: DIR.into(), partition, is_read_only: false })
}

/// The file with the checksums of those batches put right that follow one another from its start, unless one says that it does
/// not want to: by a checksum of zero.
fn with_checksums(log: &[u8]) -> Vec<u8> {
    let mut log = log.to_vec();
    let mut rest = &mut log[..];
    while let Ok(header) = BatchHeader::decode(rest)
        && rest.len() >= header.batch_bytes as usize
    {
        let (batch, behind) = rest.split_at_mut(header.batch_bytes as usize);
        if header.crc != 0 {
            let crc = crate::format::crc32c(batch.get(crate::format::CRC_START..).unwrap());
            *batch.get_mut(CRC_FIELD..).unwrap().first_chunk_mut().unwrap() = crc.to_be_bytes();
        }
        rest = behind;
    }
    log
}

/// Where a batch has its checksum.
const CRC_FIELD: usize = crate::format::CRC_START - size_of::<u32>();
const _: () = assert!(CRC_FIELD < HEADER_BYTES);
