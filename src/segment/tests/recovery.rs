//! Log files that end in anything.

use super::*;
use crate::format::{BatchStart, HEADER_BYTES};
use crate::segment::WrittenIndexes;
use crate::segment::recover::Bad;

/// Writes `bytes` as the log file of a segment from offset 100 on and recovers it, trusting nothing.
fn recover(disk: &SimulatedDisk, bytes: &[u8], proven_durable: u64) -> (Segment, Scan) {
    let dir = on(disk.clone());
    disk.put(file(&dir, 100, FileKind::Log), bytes);
    Segment::recover(&dir, 100, CONFIG, ScanStart::nothing(100), proven_durable, &KnownBatches::default()).unwrap()
}

fn samples() -> (SimulatedDisk, Vec<Vec<u8>>) {
    let (disk, dir) = simulated(1);
    let (_, batches) = sample(&dir);
    (disk, batches)
}

fn log_bytes(disk: &SimulatedDisk) -> u64 {
    disk.read(file(&on(disk.clone()), 100, FileKind::Log)).unwrap().len() as u64
}

#[test]
fn a_torn_tail_is_cut() {
    let (disk, batches) = samples();
    let whole = batches.concat();
    let tails: [&[u8]; 4] = [&[], &[0; 100], &[0xff; 100], &[2; 300]];
    for bytes in 0..=whole.len() {
        for tail in tails {
            let content = [&whole[..bytes], tail].concat();
            // A batch may end in what the tail begins with.
            let left = (0..=12).rfind(|&n| content.starts_with(&batches[..n].concat())).unwrap();
            let (segment, scan) = recover(&disk, &content, 100);
            let valid_bytes = batches[..left].concat().len() as u64;
            assert_eq!((scan.valid_bytes, scan.next_offset), (valid_bytes, 100 + 3 * left as u64));
            assert_eq!((scan.file_bytes, scan.batches), ((bytes + tail.len()) as u64, left as u64));
            assert_eq!(scan.bad.is_some(), valid_bytes < scan.file_bytes);
            assert_eq!(scan.damaged, []);
            segment.cut_tail().unwrap();
            assert_eq!(log_bytes(&disk), valid_bytes);
            let next = batch(scan.next_offset, &[7], 9);
            append(&segment, &next);
            let expected = [&batches[..left], &[next]].concat();
            assert_eq!(read_from(&segment, 0), Readout { batches: expected, lost: vec![] });
        }
    }
}

#[test]
fn a_bad_batch_ends_what_is_not_proven() {
    let (disk, batches) = samples();
    let at = batches[..5].concat().len();
    let mut bytes = batches.concat();
    bytes[at + 70] ^= 1;
    let (_, scan) = recover(&disk, &bytes, 115);
    let behind = (at + batches[5].len()) as u64;
    let reason = "the checksum of a batch does not match";
    let bad = Bad { file_position: at as u64, reason, next_valid: Some((behind, 118)) };
    assert_eq!((scan.valid_bytes, scan.next_offset, scan.bad), (at as u64, 115, Some(bad)));
    assert_eq!(scan.damaged, []);
}

#[test]
fn a_bad_batch_is_damage_below_what_is_proven() {
    let (disk, batches) = samples();
    for hit in 0..12 {
        let at = batches[..hit].concat().len();
        let offsets = 100 + 3 * hit as u64..103 + 3 * hit as u64;
        for within in (0..12).chain(16..batches[hit].len()) {
            let mut bytes = batches.concat();
            bytes[at + within] ^= 0x41;
            let (segment, scan) = recover(&disk, &bytes, 136);
            assert_eq!((scan.valid_bytes, scan.next_offset, &scan.bad), (bytes.len() as u64, 136, &None));
            let [damage] = &scan.damaged[..] else { panic!("{scan:?}") };
            assert_eq!((damage.file_position, damage.bytes), (at as u64, batches[hit].len() as u64));
            assert_eq!(damage.offsets, offsets);
            let next = batch(136, &[7], 9);
            append(&segment, &next);
            let mut expected = [&batches[..], &[next]].concat();
            expected.remove(hit);
            assert_eq!(read_from(&segment, 0), Readout { batches: expected, lost: vec![offsets.clone()] });
        }
    }
}

#[test]
fn damage_is_followed_by_a_torn_tail() {
    let (disk, batches) = samples();
    let mut bytes = batches.concat();
    bytes[batches[0].len() + 70] ^= 1;
    let torn = batches[..8].concat().len();
    let (segment, scan) = recover(&disk, &bytes[..torn + 30], 112);
    assert_eq!((scan.valid_bytes, scan.next_offset), (torn as u64, 124));
    assert_eq!(scan.damaged.iter().map(|damage| damage.offsets.clone()).collect::<Vec<_>>(), [103..106]);
    assert_eq!(read_from(&segment, 0).lost, [103..106]);
}

#[test]
fn a_hostile_batch_takes_no_offsets_that_were_not_there() {
    let (disk, mut batches) = samples();
    // Behind a high leader epoch, which no checksum covers, nothing is taken by recovery.
    batches[3][12] = 1;
    let hostile = &mut batches[4];
    // The delta of the last offset, and the checksum that covers it.
    hostile[23..27].copy_from_slice(&(1_i32 << 24).to_be_bytes());
    let crc = crate::format::crc32c(&hostile[21..]);
    hostile[17..21].copy_from_slice(&crc.to_be_bytes());
    let (segment, scan) = recover(&disk, &batches.concat(), 136);
    assert_eq!((scan.next_offset, scan.damaged.len()), (136, 8));
    let next = batch(136, &[7], 9);
    append(&segment, &next);
    batches[4] = next;
    batches[4..].rotate_left(1);
    assert_eq!(read_from(&segment, 0), Readout { batches, lost: vec![112..115] });
}

#[test]
fn a_log_that_lost_proven_offsets_at_its_end_goes_on_behind_them() {
    let (disk, batches) = samples();
    let bytes = batches[..4].concat();
    let (segment, scan) = recover(&disk, &bytes, 130);
    assert_eq!((scan.valid_bytes, scan.next_offset), (bytes.len() as u64, 130));
    assert_eq!(scan.damaged.iter().map(|damage| damage.offsets.clone()).collect::<Vec<_>>(), [112..130]);
    assert_eq!(read_from(&segment, 0), Readout { batches: batches[..4].to_vec(), lost: vec![112..130] });
    let next = batch(130, &[7], 9);
    append(&segment, &next);
    let expected = [&batches[..4], &[next]].concat();
    let again = Segment::open_sealed(&on(disk.clone()), &segment.describe(), CONFIG);
    for segment in [segment, again] {
        assert_eq!(read_from(&segment, 0), Readout { batches: expected.clone(), lost: vec![112..130] });
    }
}

#[test]
fn stale_batches_behind_the_end_are_not_taken() {
    let (disk, batches) = samples();
    let log = batches[..4].concat();
    for stale in [batch(115, &[7], 9), batch(111, &[7], 9), batch(0, &[7], 9), batch(112 + (1 << 31), &[7], 9)] {
        let (_, scan) = recover(&disk, &[&log[..], &stale].concat(), 100);
        assert_eq!((scan.valid_bytes, scan.next_offset), (log.len() as u64, 112));
    }
    // The next offset, but from before the epoch that the log is in.
    let mut bytes = log.clone();
    bytes.extend(&batches[4]);
    let mut second = batches[3].clone();
    second[15] = 7;
    bytes[batches[..3].concat().len()..log.len()].copy_from_slice(&second);
    let (_, scan) = recover(&disk, &bytes, 100);
    assert_eq!((scan.valid_bytes, scan.next_offset), (log.len() as u64, 112));
    disk.put(file(&on(disk.clone()), 100, FileKind::Log), &log);
    let from = ScanStart { leader_epoch: 1, ..ScanStart::nothing(100) };
    let (_, scan) = Segment::recover(&on(disk.clone()), 100, CONFIG, from, 100, &KnownBatches::default()).unwrap();
    assert_eq!(scan.next_offset, 100);
}

#[test]
fn batches_that_contradict_what_is_known_are_not_taken_unless_they_are_proven() {
    let (disk, batches) = samples();
    let dir = on(disk.clone());
    disk.put(file(&dir, 100, FileKind::Log), &batches.concat());
    let ends = |start: BatchStart, records: &[u8], proven_durable| {
        let known = KnownBatches::new(vec![KnownBatch { start, records }], 1000);
        let from = ScanStart::nothing(100);
        let (_, scan) = Segment::recover(&dir, 100, CONFIG, from, proven_durable, &known).unwrap();
        assert_eq!(scan.damaged, []);
        (scan.valid_bytes, scan.next_offset)
    };
    let (all, before) = ((batches.concat().len() as u64, 136), (batches[..4].concat().len() as u64, 112));
    let (header, records) = batches[4].split_at(HEADER_BYTES);
    let start = BatchHeader::decode(header).unwrap().start;
    assert_eq!(ends(start, records, 100), all);
    // After a power cut a slot may have the first of its records only.
    assert_eq!(ends(start, &records[..10], 100), all);
    let mut others = records.to_vec();
    others[9] ^= 1;
    for (start, records) in [
        (start, &others[..]),
        (start, &[records, records].concat()),
        (BatchStart { leader_epoch: start.leader_epoch + 1, ..start }, records),
        (BatchStart { base_timestamp: start.base_timestamp + 1, ..start }, records),
        // In the middle of what is in the file.
        (BatchStart { base_offset: 113, ..start }, records),
        (BatchStart { base_offset: 114, ..start }, records),
    ] {
        assert_eq!(ends(start, records, 100), before, "{start:?}");
        assert_eq!(ends(start, records, 112), before, "{start:?}");
        assert_eq!(ends(start, records, 115), all, "{start:?}");
    }
    let too_large = KnownBatches::new(vec![KnownBatch { start, records }], 10);
    let (_, scan) = Segment::recover(&dir, 100, CONFIG, ScanStart::nothing(100), 100, &too_large).unwrap();
    assert_eq!((scan.valid_bytes, scan.next_offset), before);
}

#[test]
fn scanning_from_a_trusted_point_gives_what_scanning_all_gives() {
    let (_temporary, dir) = temporary();
    let (segment, batches) = sample(&dir);
    let more: Vec<Vec<u8>> = (0..8).map(|n| batch(136 + n, &[1050 + 30 * n.cast_signed()], 60)).collect();
    for (trusted, is_extended) in (0..12).flat_map(|trusted| [(trusted, false), (trusted, true)]) {
        // Closed or noted after some batches, and stopped without closing after some more.
        let dir = {
            segment.remove().unwrap();
            reopened(&dir)
        };
        let first = Segment::create(&dir, 100, CONFIG).unwrap();
        let mut written = WrittenIndexes::default();
        for batch in &batches[..trusted] {
            append(&first, batch);
            if is_extended && first.log_bytes().is_multiple_of(2) {
                first.extend_indexes(first.log_bytes(), &mut written).unwrap();
            }
        }
        let closed = first.describe();
        let index_crcs = if is_extended {
            // Others append meanwhile.
            append_all(&first, &batches[trusted..=trusted]);
            first.extend_indexes(closed.log_bytes, &mut written)
        } else {
            first.write_indexes()
        };
        let index_crcs = Some(index_crcs.unwrap());
        append_all(&first, &batches[trusted + usize::from(is_extended)..]);
        let from = ScanStart {
            file_position: closed.log_bytes,
            next_offset: closed.next_offset,
            leader_epoch: 0,
            index_crcs,
            ..ScanStart::nothing(100)
        };
        let (second, scan) =
            Segment::recover(&reopened(&dir), 100, CONFIG, from, 100, &KnownBatches::default()).unwrap();
        assert!(scan.scanned_from <= closed.log_bytes);
        assert_eq!(scan.scanned_from > 0, trusted > 2, "{trusted}");
        assert_eq!((scan.next_offset, scan.bad, scan.damaged), (136, None, vec![]));
        assert_eq!(scan.max_timestamp, Some(1117));
        append_all(&second, &more);
        let crcs = second.write_indexes().unwrap();
        let all = [&batches[..], &more].concat();
        assert_eq!(read_from(&second, 0).batches, all);
        let (whole, _) =
            Segment::recover(&reopened(&dir), 100, CONFIG, ScanStart::nothing(100), 100, &KnownBatches::default())
                .unwrap();
        assert_eq!(whole.write_indexes().unwrap(), crcs);
        assert_eq!(whole.must_roll_before(1, 144, i64::MAX), second.must_roll_before(1, 144, i64::MAX));
        first.remove().unwrap();
    }
}

#[test]
fn garbage_full_of_headers_ends_the_search_soon() {
    let (disk, batches) = samples();
    let mut hostile = batches[0].clone();
    hostile[3..8].copy_from_slice(&[0, 0, 0, 0, 110]);
    hostile[8..12].copy_from_slice(&100_000_i32.to_be_bytes());
    let garbage: Vec<u8> = hostile[..61].iter().copied().cycle().take(400_000).collect();
    let (_, scan) = recover(&disk, &[&batches[0][..], &garbage].concat(), 136);
    assert_eq!(scan.next_offset, 136);
    assert_eq!(scan.damaged.len(), 1);
}

#[test]
fn rewriting_changes_no_byte() {
    let (disk, batches) = samples();
    let (segment, _) = recover(&disk, &batches.concat(), 100);
    segment.distrust_from(batches[0].len() as u64);
    assert_eq!(segment.synced_bytes(), batches[0].len() as u64);
    segment.sync().unwrap();
    assert_eq!(segment.synced_bytes(), segment.log_bytes());
    assert_eq!(read_from(&segment, 0).batches, batches);
}
