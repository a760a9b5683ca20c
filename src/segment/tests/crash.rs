//! Segments on a disk that loses power, is full, or fails a call.

use super::*;
use crate::disk::simulated::{CrashModel, FaultKind, FaultRule, Operation};

/// Large batches, so that one takes several sectors.
fn large(n: u16) -> Vec<u8> {
    batch(10 + 2 * u64::from(n), &[5, 6], 200 + 150 * usize::from(n))
}

#[test]
fn after_a_power_cut_what_was_synced_is_there_and_the_rest_is_a_prefix() {
    for (seed, model) in (0..150_u8).flat_map(|seed| CrashModel::ALL.map(|model| (seed, model))) {
        let (disk, dir) = simulated(seed.into());
        let segment = Segment::create(&dir, 10, CONFIG).unwrap();
        let batches: Vec<Vec<u8>> = (0..6).map(large).collect();
        let synced = usize::from(seed) % 6;
        append_all(&segment, &batches[..synced]);
        segment.sync().unwrap();
        let durable = segment.next_offset();
        append_all(&segment, &batches[synced..]);

        let dir = on(disk.crash(seed.into(), model));
        let (segment, scan) =
            Segment::recover(&dir, 10, CONFIG, ScanStart::nothing(10), durable, &KnownBatches::default()).unwrap();
        assert_eq!(scan.damaged, [], "{seed} {model:?}");
        let left = usize::try_from(segment.next_offset() - 10).unwrap() / 2;
        assert!(synced <= left, "{seed} {model:?}");
        segment.cut_tail().unwrap();
        segment.distrust_from(0);
        segment.sync().unwrap();
        let next = batch(segment.next_offset(), &[9], 50);
        append(&segment, &next);
        let expected = Readout { batches: [&batches[..left], &[next]].concat(), lost: vec![] };
        assert_eq!(read_from(&segment, 0), expected, "{seed} {model:?}");
        let sealed = Segment::open_sealed(&reopened(&dir), &segment.describe(), CONFIG);
        assert_eq!(read_from(&sealed, 0), expected, "{seed} {model:?}");
    }
}

#[test]
fn a_kill_takes_nothing_that_was_appended() {
    for seed in 0..50 {
        let (disk, dir) = simulated(seed);
        let segment = Segment::create(&dir, 10, CONFIG).unwrap();
        let batches: Vec<Vec<u8>> = (0..6).map(large).collect();
        append_all(&segment, &batches);
        let dir = on(disk.kill(seed));
        let (segment, scan) =
            Segment::recover(&dir, 10, CONFIG, ScanStart::nothing(10), 10, &KnownBatches::default()).unwrap();
        assert_eq!((scan.bad, scan.valid_bytes), (None, batches.concat().len() as u64));
        assert_eq!(read_from(&segment, 0).batches, batches);
    }
}

#[test]
fn a_full_disk_refuses_an_append_and_nothing_else() {
    let (disk, dir) = simulated(1);
    let segment = Segment::create(&dir, 10, CONFIG).unwrap();
    append(&segment, &large(0));
    disk.limit_capacity(Some(disk.used_bytes() + 100));
    let (bytes, header) = (large(1), BatchHeader::decode(&large(1)).unwrap());
    let failure = segment.append(&bytes, &header).unwrap_err();
    assert!(matches!(failure, AppendError::Clean(Error::DiskFull { .. })));
    assert_eq!((segment.next_offset(), segment.log_bytes()), (12, large(0).len() as u64));
    assert_eq!(read_from(&segment, 0).batches, [large(0)]);
    disk.limit_capacity(None);
    append(&segment, &bytes);
    assert_eq!(read_from(&segment, 0).batches, [large(0), bytes]);
}

#[test]
fn a_write_that_cannot_be_undone_is_torn() {
    let (disk, dir) = simulated(1);
    let segment = Segment::create(&dir, 10, CONFIG).unwrap();
    append(&segment, &large(0));
    disk.fail(FaultRule::new(FaultKind::ShortWrite).on(Operation::Write));
    disk.fail(FaultRule::new(FaultKind::InputOutput).on(Operation::SetSize));
    let header = BatchHeader::decode(&large(1)).unwrap();
    for _ in 0..2 {
        let failure = segment.append(&large(1), &header).unwrap_err();
        assert!(matches!(failure, AppendError::Torn(_)), "and stays so: {failure:?}");
    }
    assert_eq!(read_from(&segment, 0).batches, [large(0)]);
}

#[test]
fn a_failed_sync_is_an_error_for_ever() {
    let (disk, dir) = simulated(1);
    let segment = Segment::create(&dir, 10, CONFIG).unwrap();
    append(&segment, &large(0));
    disk.fail(FaultRule::new(FaultKind::InputOutput).on(Operation::Sync));
    assert!(segment.sync().is_err());
    assert!(segment.sync().is_err());
    assert_eq!(segment.synced_bytes(), 0);
}

#[test]
fn index_files_that_cannot_be_written_change_no_answer() {
    let (disk, dir) = simulated(1);
    let (segment, batches) = sample(&dir);
    for failing in [Operation::Open, Operation::Write, Operation::SetSize] {
        segment.write_indexes().unwrap();
        disk.fail(FaultRule::new(FaultKind::StorageFull).on(failing));
        assert!(segment.write_indexes().is_err());
        let sealed = segment.describe();
        assert_eq!(sealed.index_crcs, None);
        let again = Segment::open_sealed(&reopened(&dir), &sealed, CONFIG);
        assert_eq!(read_from(&again, 0).batches, batches);
    }
}

#[test]
fn whichever_call_fails_the_answer_is_right_or_an_error() {
    let (disk, dir) = simulated(1);
    let (segment, batches) = sample(&dir);
    segment.write_indexes().unwrap();
    let sealed = segment.describe();
    for sealed in [sealed.clone(), SealedSegment { index_crcs: None, ..sealed }] {
        for kind in [FaultKind::InputOutput, FaultKind::TooManyOpenFiles, FaultKind::OutOfMemory] {
            for nth in 1.. {
                let before = disk.faults_injected();
                disk.fail(FaultRule::new(kind).nth(nth));
                let again = Segment::open_sealed(&reopened(&dir), &sealed, CONFIG);
                match again.locate(100).and_then(|_| again.batch_at(0, 100)) {
                    Ok(batch) => assert_eq!(batch.unwrap().bytes[..], batches[0]),
                    Err(error) => assert!(matches!(error, Error::Io { .. }), "{error}"),
                }
                let was_injected = before < disk.faults_injected();
                disk.clear_faults();
                assert_eq!(read_from(&again, 0), Readout { batches: batches.clone(), lost: vec![] });
                if !was_injected {
                    break;
                }
            }
        }
    }
}
