//! The sample partition of the golden vectors: files that Kafka's own classes wrote, and the answers that they gave.

use serde_json::Value;

use super::*;

fn sample() -> Value {
    let text = include_str!("../../../tests/format/kafka-vectors.json");
    serde_json::from_str::<Value>(text).unwrap()["partition"].take()
}

fn bytes(sample: &Value, name: FileName) -> Vec<u8> {
    let hex = sample["files"][name.to_string()].as_str().unwrap().as_bytes();
    hex.chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

/// Both segments, by appending Kafka's batches one by one.
fn segments(dir: &Arc<SegmentDir>, sample: &Value) -> Vec<Segment> {
    [0, 33].map(|base_offset| appended(dir, sample, base_offset)).into()
}

fn appended(dir: &Arc<SegmentDir>, sample: &Value, base_offset: u64) -> Segment {
    let log = bytes(sample, FileName::live(base_offset, FileKind::Log));
    let segment = Segment::create(dir, base_offset, CONFIG).unwrap();
    let mut rest = &log[..];
    while !rest.is_empty() {
        let header = BatchHeader::decode(rest).unwrap();
        let (batch, behind) = rest.split_at(header.batch_bytes as usize);
        segment.append(batch, &header).unwrap();
        rest = behind;
    }
    segment
}

fn write_indexes(segments: &[Segment]) {
    for segment in segments {
        segment.write_indexes().unwrap();
    }
}

fn check_files(dir: &SegmentDir, sample: &Value) {
    for base_offset in [0, 33] {
        for kind in [FileKind::Log, FileKind::OffsetIndex, FileKind::TimeIndex] {
            let name = FileName::live(base_offset, kind);
            let written = std::fs::read(name.path(&dir.path)).unwrap();
            assert_eq!(written, bytes(sample, name), "{name}");
        }
    }
}

fn check_answers(segments: &[Segment], sample: &Value) {
    let expect = &sample["expect"];
    for lookup in expect["offset_lookups"].as_array().unwrap() {
        let offset = lookup["offset"].as_u64().unwrap();
        let segment = segments.iter().rfind(|segment| segment.base_offset() <= offset).unwrap();
        let located = segment.locate(offset).unwrap().unwrap();
        assert_eq!(Some(segment.base_offset()), lookup["segment_base"].as_u64());
        assert_eq!(Some(located.header.base_offset()), lookup["batch_base_offset"].as_u64());
        assert_eq!(Some(located.file_position), lookup["batch_position"].as_u64());
        assert_eq!(Some(u64::from(located.header.batch_bytes)), lookup["batch_size"].as_u64());
    }
    for lookup in expect["timestamp_lookups"].as_array().unwrap() {
        let timestamp = lookup["timestamp"].as_i64().unwrap();
        let found = segments.iter().find_map(|segment| segment.offset_for_time(timestamp, 0).unwrap());
        let expected = &lookup["result"];
        let expected = expected["offset"].as_u64().zip(expected["timestamp"].as_i64());
        assert_eq!(found, expected, "timestamp {timestamp}");
    }
    assert_eq!(segments.last().map(Segment::next_offset), expect["log_end_offset"].as_u64());
}

#[test]
fn appending_kafkas_batches_gives_kafkas_files_and_answers() {
    let (sample, (_temporary, dir)) = (sample(), temporary());
    assert_eq!(sample["index_interval_bytes"], CONFIG.index_interval_bytes);
    let segments = segments(&dir, &sample);
    write_indexes(&segments);
    check_files(&dir, &sample);
    check_answers(&segments, &sample);
}

#[test]
fn recovering_kafkas_logs_rebuilds_kafkas_indexes() {
    let (sample, (_temporary, dir)) = (sample(), temporary());
    drop(segments(&dir, &sample));
    let recovered: Vec<Segment> = [0, 33]
        .map(|base_offset| {
            let from = ScanStart::nothing(base_offset);
            let (segment, scan) =
                Segment::recover(&reopened(&dir), base_offset, CONFIG, from, 0, &KnownBatches::default()).unwrap();
            assert_eq!((scan.bad, scan.damaged, scan.valid_bytes), (None, vec![], scan.file_bytes));
            segment
        })
        .into();
    write_indexes(&recovered);
    check_files(&dir, &sample);
    check_answers(&recovered, &sample);
}

#[test]
fn kafkas_logs_alone_give_the_same_answers() {
    let (sample, (_temporary, dir)) = (sample(), temporary());
    let appended = segments(&dir, &sample);
    let sealed = appended.iter().map(|segment| Segment::open_sealed(&reopened(&dir), &segment.describe(), CONFIG));
    let sealed: Vec<Segment> = sealed.collect();
    check_answers(&sealed, &sample);
    write_indexes(&sealed);
    check_files(&dir, &sample);
}
