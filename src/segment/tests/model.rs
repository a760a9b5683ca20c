//! Random logs: what a segment answers agrees with a walk over all batches.

use proptest::prelude::*;

use super::*;
use crate::format::Record;

#[derive(Debug, Clone)]
struct Spec {
    gap: u64,
    timestamps: Vec<i64>,
    value_bytes: usize,
}

fn specs(gaps: bool) -> impl Strategy<Value = Vec<Spec>> {
    let gap = if gaps { prop_oneof![3 => Just(0), 1 => 1..20_u64].boxed() } else { Just(0).boxed() };
    let timestamps = prop::collection::vec(-1..60_i64, 1..5);
    let spec = (gap, timestamps, 0..150_usize);
    let spec = spec.prop_map(|(gap, timestamps, value_bytes)| Spec { gap, timestamps, value_bytes });
    prop::collection::vec(spec, 1..40)
}

/// All records: the base offset of their batch, their offset and timestamp.
fn records(batches: &[Vec<u8>]) -> Vec<(u64, u64, i64)> {
    let mut records = Vec::new();
    for batch in batches {
        let header = BatchHeader::decode(batch).unwrap();
        let mut rest = &batch[crate::format::HEADER_BYTES..];
        while !rest.is_empty() {
            let (record, bytes) = Record::decode(rest).unwrap();
            let offset = header.base_offset() + u64::from(record.offset_delta.unsigned_abs());
            records.push((header.base_offset(), offset, header.timestamp(record.timestamp_delta)));
            rest = &rest[bytes..];
        }
    }
    records
}

fn check(segment: &Segment, batches: &[Vec<u8>]) {
    let records = records(batches);
    for offset in segment.base_offset()..segment.next_offset() {
        let expected = records.iter().find(|record| offset <= record.1).map(|record| record.0);
        let located = segment.locate(offset).unwrap();
        assert_eq!(located.map(|located| located.header.base_offset()), expected, "offset {offset}");
        let expected = records.iter().find(|record| offset <= record.1 && 30 <= record.2);
        let found = segment.offset_for_time(30, offset).unwrap();
        assert_eq!(found, expected.map(|record| (record.1, record.2)), "offset {offset}");
    }
    for timestamp in 0..62 {
        let expected = records.iter().find(|record| timestamp <= record.2);
        let found = segment.offset_for_time(timestamp, 0).unwrap();
        assert_eq!(found, expected.map(|record| (record.1, record.2)), "timestamp {timestamp}");
    }
    assert_eq!(read_from(segment, 0), Readout { batches: batches.to_vec(), lost: vec![] });
}

fn check_log(specs: &[Spec], interval_bytes: u32) {
    let (_temporary, dir) = temporary();
    let config = SegmentConfig { index_interval_bytes: interval_bytes, ..CONFIG };
    let segment = Segment::create(&dir, 1000, config).unwrap();
    let mut batches = Vec::new();
    for spec in specs {
        let bytes = batch(segment.next_offset() + spec.gap, &spec.timestamps, spec.value_bytes);
        append(&segment, &bytes);
        batches.push(bytes);
    }
    check(&segment, &batches);
    segment.write_indexes().unwrap();
    let sealed = segment.describe();
    check(&Segment::open_sealed(&reopened(&dir), &sealed, config), &batches);
    check(
        &Segment::open_sealed(&reopened(&dir), &SealedSegment { index_crcs: None, ..sealed.clone() }, config),
        &batches,
    );
    let from = ScanStart {
        file_position: sealed.log_bytes,
        next_offset: sealed.next_offset,
        leader_epoch: 0,
        has_gaps: sealed.has_gaps,
        created_ms: sealed.created_ms,
        headers: sealed.headers,
        index_crcs: sealed.index_crcs,
    };
    let (recovered, scan) =
        Segment::recover(&reopened(&dir), 1000, config, from, 1000, &KnownBatches::default()).unwrap();
    assert_eq!((scan.bad, scan.damaged), (None, vec![]));
    check(&recovered, &batches);
    assert_eq!(recovered.describe(), sealed);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn a_segment_agrees_with_a_walk(specs in specs(false), interval_bytes in 0..600_u32) {
        check_log(&specs, interval_bytes);
    }

    #[test]
    fn a_segment_with_gaps_agrees_with_a_walk(specs in specs(true), interval_bytes in 0..600_u32) {
        check_log(&specs, interval_bytes);
    }
}
