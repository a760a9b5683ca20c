//! Segments as a whole: on files of the operating system, and, where files are damaged or fail, on the simulated disk.

#![allow(clippy::single_range_in_vec_init, reason = "lists of lost offsets often have one range")]

mod crash;
mod damage;
mod kafka;
mod model;
mod recovery;

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use super::file_name::Stage;
use super::*;
use crate::disk::Disk;
use crate::disk::open_files::{OpenFilesConfig, ReadMode};
use crate::disk::os::OsDisk;
use crate::disk::simulated::SimulatedDisk;
use crate::format::BatchBuilder;

/// Small, so that a few batches make several regions.
const CONFIG: SegmentConfig = SegmentConfig {
    segment_bytes: 1 << 20,
    index_interval_bytes: 200,
    index_bytes_max: 1 << 16,
    segment_ms: i64::MAX,
    expanded_bytes_max: (2 << 20) + (16 << 20),
};

/// A partition's directory on a disk.
fn dir_on(disk: Arc<dyn Disk>, path: &Path, read_mode: ReadMode) -> Arc<SegmentDir> {
    let files = OpenFiles::new(disk, OpenFilesConfig { read_mode, ..OpenFilesConfig::default() });
    Arc::new(SegmentDir {
        files,
        path: path.to_owned(),
        partition: TopicPartition::new("orders", 0),
        is_read_only: false,
    })
}

/// A partition's directory in a temporary one.
fn temporary() -> (tempfile::TempDir, Arc<SegmentDir>) {
    let temporary = tempfile::tempdir().unwrap();
    let dir = dir_on(Arc::new(OsDisk::new()), temporary.path(), ReadMode::Map);
    (temporary, dir)
}

/// A partition's directory on a new simulated disk.
fn simulated(seed: u64) -> (SimulatedDisk, Arc<SegmentDir>) {
    let disk = SimulatedDisk::new(seed);
    disk.create_dir(Path::new("/orders-0")).unwrap();
    disk.sync_dir(Path::new("/")).unwrap();
    (disk.clone(), on(disk))
}

fn on(disk: SimulatedDisk) -> Arc<SegmentDir> {
    dir_on(Arc::new(disk), Path::new("/orders-0"), ReadMode::Map)
}

/// The same directory as another process would see it, with nothing remembered.
fn reopened(dir: &SegmentDir) -> Arc<SegmentDir> {
    dir_on(Arc::clone(dir.files.disk()), &dir.path, dir.files.read_mode())
}

/// A batch with one record for each timestamp.
fn batch(base_offset: u64, timestamps: &[i64], value_bytes: usize) -> Vec<u8> {
    let mut builder = BatchBuilder::new();
    builder.clear(base_offset, timestamps[0]);
    for (timestamp, n) in timestamps.iter().zip(0_u8..) {
        builder.push(*timestamp, Some(&[n]), Some(&vec![b'v'; value_bytes]), &[]);
    }
    let fields = builder.fields();
    builder.finish(&fields).unwrap().to_vec()
}

fn append(segment: &Segment, bytes: &[u8]) {
    segment.append(bytes, &BatchHeader::decode(bytes).unwrap()).unwrap();
}

fn append_all(segment: &Segment, batches: &[Vec<u8>]) {
    for bytes in batches {
        append(segment, bytes);
    }
}

/// Twelve batches of three offsets each from offset 100 on, in about five regions.
fn sample(dir: &Arc<SegmentDir>) -> (Segment, Vec<Vec<u8>>) {
    let segment = Segment::create(dir, 100, CONFIG).unwrap();
    let batches: Vec<Vec<u8>> = (0..12_u8)
        .map(|n| {
            let timestamps = [0, 7, 3].map(|t| 1000 + t + 10 * i64::from(n));
            batch(100 + 3 * u64::from(n), &timestamps, 5 + usize::from(n % 4))
        })
        .collect();
    append_all(&segment, &batches);
    (segment, batches)
}

/// What reading a segment from one offset to its end gives.
#[derive(Default, PartialEq, Eq)]
struct Readout {
    batches: Vec<Vec<u8>>,
    lost: Vec<Range<u64>>,
}

impl std::fmt::Debug for Readout {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let offsets =
            |batch: &Vec<u8>| BatchHeader::decode(batch).map(|header| header.base_offset()..header.next_offset());
        let batches: Vec<_> = self.batches.iter().map(offsets).collect();
        write!(f, "read {batches:?}, lost {:?}", self.lost)
    }
}

/// Reads as a consumer does that skips what is damaged, and says so.
fn read_from(segment: &Segment, offset: u64) -> Readout {
    let mut offset = offset.max(segment.base_offset());
    let mut readout = Readout::default();
    while let Some(lost) = read_on(segment, &mut offset, &mut readout.batches) {
        assert!(lost.contains(&offset), "{lost:?} does not say why {offset} cannot be read");
        offset = lost.end;
        readout.lost.push(lost);
    }
    readout
}

fn read_on(segment: &Segment, offset: &mut u64, batches: &mut Vec<Vec<u8>>) -> Option<Range<u64>> {
    let mut step = || -> Result<()> {
        let Some(located) = segment.locate(*offset)? else { return Ok(()) };
        assert!(*offset <= located.header.last_offset());
        let mut file_position = located.file_position;
        while let Some(batch) = segment.batch_at(file_position, *offset)? {
            file_position = batch.end();
            *offset = batch.header.next_offset();
            batches.push(batch.bytes.to_vec());
        }
        Ok(())
    };
    match step() {
        Ok(()) => None,
        Err(Error::Corrupt(corruption)) => corruption.offsets,
        Err(error) => panic!("{error}"),
    }
}

/// Reads every offset on its own: the base offset of its batch, or the end of what is lost with it.
fn lookups(segment: &Segment) -> Vec<Result<u64, u64>> {
    let lookup = |offset| match segment.locate(offset) {
        Ok(located) => Ok(located.unwrap().header.base_offset()),
        Err(Error::Corrupt(corruption)) => Err(corruption.offsets.unwrap().end),
        Err(error) => panic!("{error}"),
    };
    (segment.base_offset()..segment.next_offset()).map(lookup).collect()
}

fn file(dir: &SegmentDir, base_offset: u64, kind: FileKind) -> PathBuf {
    FileName::live(base_offset, kind).path(&dir.path)
}

#[test]
fn what_was_appended_is_read_by_offset() {
    for read_mode in [ReadMode::Map, ReadMode::Copy] {
        let temporary = tempfile::tempdir().unwrap();
        let dir = dir_on(Arc::new(OsDisk::new()), temporary.path(), read_mode);
        let (segment, batches) = sample(&dir);
        assert_eq!((segment.next_offset(), segment.max_timestamp()), (136, Some(1117)));
        assert_eq!(segment.log_bytes(), batches.concat().len() as u64);
        for offset in 0..140 {
            let from = usize::try_from(offset.clamp(100, 136) - 100).unwrap() / 3;
            assert_eq!(read_from(&segment, offset), Readout { batches: batches[from..].to_vec(), lost: vec![] });
        }
        assert_eq!(segment.locate(136).unwrap(), None);
        assert!(segment.batch_at(segment.log_bytes(), 136).unwrap().is_none());
    }
}

#[test]
fn a_sealed_segment_is_read_as_it_was_written() {
    let (_temporary, dir) = temporary();
    let (segment, batches) = sample(&dir);
    let times: Vec<_> = (990..1130).map(|t| segment.offset_for_time(t, 0).unwrap()).collect();
    segment.write_indexes().unwrap();
    segment.sync().unwrap();
    let with_files = segment.describe();
    assert!(with_files.index_crcs.is_some());
    for sealed in [with_files.clone(), SealedSegment { index_crcs: None, ..with_files }] {
        let again = Segment::open_sealed(&reopened(&dir), &sealed, CONFIG);
        assert_eq!(again.describe(), sealed);
        assert_eq!(read_from(&again, 0).batches, batches);
        assert_eq!((990..1130).map(|t| again.offset_for_time(t, 0).unwrap()).collect::<Vec<_>>(), times);
        assert_eq!(again.synced_bytes(), again.log_bytes());
        assert_eq!(again.log_crc32().unwrap(), crc32fast::hash(&batches.concat()));
    }
}

#[test]
fn offsets_may_be_missing_after_compaction() {
    let (_temporary, dir) = temporary();
    let segment = Segment::create(&dir, 10, CONFIG).unwrap();
    let batches: Vec<Vec<u8>> = [15, 40, 45, 90, 200].map(|base| batch(base, &[5, 6], 60)).into();
    append_all(&segment, &batches);
    assert!(segment.has_gaps());
    let expected: Vec<Result<u64, u64>> = (10..202)
        .map(|offset| Ok([15, 40, 45, 90, 200].into_iter().find(|base| offset <= base + 1).unwrap()))
        .collect();
    assert_eq!(lookups(&segment), expected);
    let sealed = Segment::open_sealed(&reopened(&dir), &segment.describe(), CONFIG);
    assert_eq!(lookups(&sealed), expected);
    assert_eq!(read_from(&sealed, 0), Readout { batches, lost: vec![] });
}

#[test]
fn a_segment_rolls_by_size_time_index_and_offset() {
    let (_temporary, dir) = temporary();
    let config = SegmentConfig { segment_bytes: 1000, segment_ms: 50, ..CONFIG };
    let segment = Segment::create(&dir, 100, config).unwrap();
    assert!(!segment.must_roll_before(5000, 100, 0), "the first batch fits always");
    assert!(segment.must_roll_before(61, 100 + (1 << 31), 0), "an offset that an index cannot say");
    append(&segment, &batch(100, &[1000, 1010], 100));
    let log_bytes = segment.log_bytes();
    assert!(!segment.must_roll_before(1000 - log_bytes, 102, 1060));
    assert!(segment.must_roll_before(1001 - log_bytes, 102, 1060), "too large");
    assert!(segment.must_roll_before(61, 102, 1061), "too young");
    assert!(!segment.must_roll_before(61, 102, -1));
    assert!(segment.must_roll_before(61, 100 + (1 << 31), 0));

    let config = SegmentConfig { index_bytes_max: 24, ..CONFIG };
    let segment = Segment::create(&dir, 500, config).unwrap();
    for n in 0..2 {
        assert!(!segment.must_roll_before(61, 500 + n, 0));
        append(&segment, &batch(500 + n, &[5], 300));
    }
    assert!(segment.must_roll_before(61, 502, 0), "the time index keeps a place for the final entry");
}

#[test]
fn removed_and_moved_segments_stay_readable_for_who_reads_them() {
    let (_temporary, dir) = temporary();
    let (segment, batches) = sample(&dir);
    segment.write_indexes().unwrap();
    assert_eq!(read_from(&segment, 0).batches, batches);
    segment.move_to(Stage::Deleted).unwrap();
    segment.move_to(Stage::Deleted).unwrap();
    assert_eq!(read_from(&segment, 0).batches, batches);
    let names = file_name::list(&**dir.files.disk(), &dir.path).unwrap();
    let log = FileName::live(100, FileKind::Log);
    let kinds = [FileKind::Log, FileKind::OffsetIndex, FileKind::TimeIndex];
    assert_eq!(names, kinds.map(|kind| FileName { kind, stage: Stage::Deleted, ..log }));

    let (_temporary, dir) = temporary();
    let (segment, batches) = sample(&dir);
    let unread = Segment::open_sealed(&dir, &segment.describe(), CONFIG);
    assert_eq!(read_from(&segment, 0).batches, batches);
    segment.remove().unwrap();
    segment.remove().unwrap();
    unread.remove().unwrap();
    assert_eq!(read_from(&segment, 0).batches, batches);
    assert!(matches!(unread.locate(100), Err(Error::Io { .. })), "it is gone, not damaged");
    assert_eq!(file_name::list(&**dir.files.disk(), &dir.path).unwrap(), []);
}

#[test]
fn readers_follow_the_appender() {
    let (_temporary, dir) = temporary();
    let segment = Segment::create(&dir, 0, CONFIG).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let (mut offset, mut file_position) = (0, 0);
                while offset < 2000 {
                    if let Some(batch) = segment.batch_at(file_position, offset).unwrap() {
                        assert_eq!((batch.header.base_offset(), batch.file_position), (offset, file_position));
                        (offset, file_position) = (batch.header.next_offset(), batch.end());
                        let middle = segment.locate(offset / 2).unwrap().unwrap().header;
                        assert!(middle.base_offset() <= offset / 2 && offset / 2 <= middle.last_offset());
                    }
                }
            });
        }
        for n in 0..1000 {
            append(&segment, &batch(2 * n, &[5, 5], 20));
        }
    });
}
