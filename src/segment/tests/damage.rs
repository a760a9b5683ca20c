//! Bytes of sealed segments and index files that are not what was written.

use super::*;
use crate::format::Compression;

/// A sealed sample with its index files, for damaging.
fn sealed_sample() -> (SimulatedDisk, Arc<SegmentDir>, SealedSegment, Vec<Vec<u8>>) {
    let (disk, dir) = simulated(1);
    let (segment, batches) = sample(&dir);
    segment.write_indexes().unwrap();
    (disk, dir, segment.describe(), batches)
}

/// What a segment says by offset, by time, and when it is read through.
type Answers = (Vec<Result<u64, u64>>, Vec<Option<(u64, i64)>>, Readout);

fn answers(segment: &Segment) -> Answers {
    let times = (990..1130).map(|t| segment.offset_for_time(t, 0).unwrap()).collect();
    (lookups(segment), times, read_from(segment, 0))
}

#[test]
fn whatever_happens_to_an_index_file_the_answers_stay() {
    let (disk, dir, sealed, _) = sealed_sample();
    let open = || Segment::open_sealed(&dir, &sealed, CONFIG);
    let expected = answers(&open());
    for kind in [FileKind::OffsetIndex, FileKind::TimeIndex] {
        let path = file(&dir, 100, kind);
        let whole = disk.read(&path).unwrap();
        assert!(3 * 8 <= whole.len());
        let flipped = (0..whole.len()).flat_map(|at| {
            [1, 0x80, 0xff].map(|change| {
                let mut bytes = whole.clone();
                bytes[at] ^= change;
                bytes
            })
        });
        let cut = (0..whole.len()).map(|bytes| whole[..bytes].to_vec());
        let longer = [[whole.clone(), vec![0; 24]].concat(), [whole.clone(), whole.clone()].concat()];
        for bytes in flipped.chain(cut).chain(longer) {
            disk.put(&path, &bytes);
            assert_eq!(answers(&open()), expected);
        }
        disk.delete(&path);
        assert_eq!(answers(&open()), expected);
        disk.put(&path, &whole);
    }
}

/// Which of the batches begins at or holds a byte of the log file.
fn batch_of(batches: &[Vec<u8>], at: usize) -> (usize, usize) {
    let mut start = 0;
    for (n, batch) in batches.iter().enumerate() {
        if at < start + batch.len() {
            return (n, at - start);
        }
        start += batch.len();
    }
    unreachable!("behind the log")
}

#[test]
fn any_flipped_bit_is_reported_and_everything_else_readable() {
    const LEADER_EPOCH: Range<usize> = 12..16;
    let (disk, dir, sealed, batches) = sealed_sample();
    let path = file(&dir, 100, FileKind::Log);
    let whole = batches.concat();
    for at in 0..whole.len() {
        for change in [1 << (at % 8), 0xff] {
            let mut bytes = whole.clone();
            bytes[at] ^= change;
            disk.put(&path, &bytes);
            let (hit, within) = batch_of(&batches, at);
            let mut expected = Readout { batches: batches.clone(), lost: vec![] };
            if LEADER_EPOCH.contains(&within) {
                expected.batches[hit][within] ^= change;
            } else {
                expected.batches.remove(hit);
                expected.lost.push(100 + 3 * hit as u64..103 + 3 * hit as u64);
            }
            for sealed in [sealed.clone(), SealedSegment { index_crcs: None, ..sealed.clone() }] {
                let segment = Segment::open_sealed(&dir, &sealed, CONFIG);
                assert_eq!(read_from(&segment, 0), expected, "byte {at} ^ {change}");
                let lookups_expected = (100..136).map(|offset| match expected.lost.first() {
                    Some(lost) if lost.contains(&offset) => Err(lost.end),
                    _ => Ok(offset - (offset - 100) % 3),
                });
                assert_eq!(lookups(&segment), lookups_expected.collect::<Vec<_>>(), "byte {at} ^ {change}");
            }
        }
    }
}

#[test]
fn a_log_that_became_shorter_is_readable_up_to_there() {
    let (disk, dir, sealed, batches) = sealed_sample();
    let path = file(&dir, 100, FileKind::Log);
    let whole = batches.concat();
    for bytes in 0..whole.len() {
        disk.put(&path, &whole[..bytes]);
        let left = batch_of(&batches, bytes).0;
        let lost = 100 + 3 * left as u64..136;
        for sealed in [sealed.clone(), SealedSegment { index_crcs: None, ..sealed.clone() }] {
            let segment = Segment::open_sealed(&dir, &sealed, CONFIG);
            let expected = Readout { batches: batches[..left].to_vec(), lost: vec![lost.clone()] };
            assert_eq!(read_from(&segment, 0), expected, "cut to {bytes}");
        }
    }
}

#[test]
fn a_log_with_gaps_that_became_shorter_says_so() {
    let (disk, dir) = simulated(1);
    let segment = Segment::create(&dir, 0, CONFIG).unwrap();
    let batches: Vec<Vec<u8>> = [5, 20, 40, 60].map(|base| batch(base, &[5, 6], 90)).into();
    append_all(&segment, &batches);
    segment.write_indexes().unwrap();
    let sealed = segment.describe();
    let whole = batches.concat();
    for bytes in 0..whole.len() {
        disk.put(file(&dir, 0, FileKind::Log), &whole[..bytes]);
        let left = batch_of(&batches, bytes).0;
        let lost = [0, 7, 22, 42][left]..62;
        for sealed in [sealed.clone(), SealedSegment { index_crcs: None, ..sealed.clone() }] {
            let segment = Segment::open_sealed(&dir, &sealed, CONFIG);
            let expected = Readout { batches: batches[..left].to_vec(), lost: vec![lost.clone()] };
            assert_eq!(read_from(&segment, 0), expected, "cut to {bytes}");
        }
    }
}

#[test]
fn a_log_that_is_missing_loses_all_its_offsets() {
    let (disk, dir, sealed, _) = sealed_sample();
    disk.delete(file(&dir, 100, FileKind::Log));
    let segment = Segment::open_sealed(&dir, &sealed, CONFIG);
    assert_eq!(read_from(&segment, 105).lost, [100..136]);
}

#[test]
fn batches_that_were_taken_out_are_missed() {
    let (disk, dir, sealed, batches) = sealed_sample();
    let path = file(&dir, 100, FileKind::Log);
    for taken in 0..batches.len() {
        let mut left = batches.clone();
        left.remove(taken);
        disk.put(&path, &left.concat());
        let sealed = SealedSegment { index_crcs: None, ..sealed.clone() };
        let segment = Segment::open_sealed(&dir, &sealed, CONFIG);
        let lost = 100 + 3 * taken as u64..103 + 3 * taken as u64;
        assert_eq!(read_from(&segment, 0), Readout { batches: left, lost: vec![lost] }, "without batch {taken}");
    }
}

#[test]
fn records_that_break_the_format_under_a_right_checksum_are_reported() {
    let (disk, dir, sealed, mut batches) = sealed_sample();
    let header = BatchHeader::decode(&batches[4]).unwrap();
    let hostile = &mut batches[4];
    // The record count, which the checksum covers, then the checksum.
    hostile[60] = 4;
    let crc = crate::format::crc32c(&hostile[21..]);
    hostile[17..21].copy_from_slice(&crc.to_be_bytes());
    disk.put(file(&dir, 100, FileKind::Log), &batches.concat());
    let segment = Segment::open_sealed(&dir, &sealed, CONFIG);
    let readout = read_from(&segment, 0);
    assert_eq!(readout.lost, [header.base_offset()..header.next_offset()]);
    batches.remove(4);
    assert_eq!(readout.batches, batches);
}

#[test]
fn a_batch_in_a_record_is_not_taken_for_one_of_the_log() {
    let (disk, dir) = simulated(1);
    let segment = Segment::create(&dir, 0, CONFIG).unwrap();
    let mut builder = BatchBuilder::new();
    builder.clear(10, 5);
    builder.push(5, None, Some(&batch(15, &[5, 5], 9)), &[]);
    for _ in 1..10 {
        builder.push(5, None, Some(b"and more"), &[]);
    }
    let fields = builder.fields();
    let outer = builder.finish(&fields).unwrap().to_vec();
    let batches = [batch(0, &[5; 10], 5), outer, batch(20, &[5; 10], 5)];
    append_all(&segment, &batches);
    let mut bytes = batches.concat();
    // The length field, so that only a search can find what is behind.
    bytes[batches[0].len() + 10] ^= 0x40;
    disk.put(file(&dir, 0, FileKind::Log), &bytes);
    let sealed = Segment::open_sealed(&reopened(&dir), &segment.describe(), CONFIG);
    let left = vec![batches[0].clone(), batches[2].clone()];
    assert_eq!(read_from(&sealed, 0), Readout { batches: left, lost: vec![10..20] });
}

#[test]
fn a_batch_that_expands_beyond_the_bound_is_corrupt_and_takes_no_memory() {
    let (_, dir) = simulated(1);
    let mut builder = BatchBuilder::new();
    builder.push(1, None, Some(&[0; 5000]), &[]);
    let mut fields = builder.fields();
    fields.start = fields.start.with_codec(Compression::Snappy);
    let bytes = builder.finish(&fields).unwrap().to_vec();
    for (expanded_bytes_max, batches) in [(6000, 1), (4000, 0)] {
        let config = SegmentConfig { expanded_bytes_max, ..CONFIG };
        dir.files.disk().remove_file(&file(&dir, 0, FileKind::Log)).ok();
        append(&Segment::create(&dir, 0, config).unwrap(), &bytes);
        let (segment, _) =
            Segment::recover(&reopened(&dir), 0, config, ScanStart::nothing(0), 0, &KnownBatches::default()).unwrap();
        let sealed = Segment::open_sealed(&reopened(&dir), &segment.describe(), config);
        assert_eq!(read_from(&sealed, 0).batches.len(), batches);
    }
}

#[test]
fn who_visits_all_batches_sees_them_as_they_are_and_none_behind_damage() {
    let (disk, dir) = simulated(1);
    // One is larger than what a walk reads at a time.
    let batches = [(0, 10), (1, 300_000), (2, 20), (3, 30)].map(|(offset, bytes)| batch(offset, &[7], bytes));
    let segment = Segment::create(&dir, 0, CONFIG).unwrap();
    append_all(&segment, &batches);
    let visited = |segment: &Segment, count_max: usize| {
        let mut seen = Vec::new();
        let is_complete = segment.visit_batches(&mut |header, bytes| {
            assert_eq!(BatchHeader::decode(bytes).unwrap(), *header);
            seen.push(bytes.to_vec());
            Ok(seen.len() < count_max)
        });
        (seen, is_complete)
    };
    let (seen, is_complete) = visited(&segment, 9);
    assert!(seen == batches && is_complete.unwrap());
    let (seen, is_complete) = visited(&segment, 2);
    assert!(seen == batches[..2] && !is_complete.unwrap());

    let sealed = segment.describe();
    let damaged = batches[..2].concat().len() as u64 + 70;
    assert!(disk.flip_bit(file(&dir, 0, FileKind::Log), damaged, 0));
    let (seen, is_complete) = visited(&Segment::open_sealed(&reopened(&dir), &sealed, CONFIG), 9);
    let Err(Error::Corrupt(corruption)) = is_complete else { panic!("not damaged") };
    assert!(seen == batches[..2] && corruption.offsets == Some(2..3));
}

#[test]
fn what_is_appended_while_batches_are_visited_is_no_damage() {
    let (_disk, dir) = simulated(1);
    let segment = Segment::create(&dir, 0, CONFIG).unwrap();
    append(&segment, &batch(0, &[7], 10));
    let mut seen = 0;
    let is_complete = segment.visit_batches(&mut |header, _| {
        seen = header.next_offset();
        append(&segment, &batch(1, &[8], 10));
        Ok(true)
    });
    assert!(is_complete.unwrap());
    assert_eq!((seen, segment.next_offset()), (1, 2));
}
