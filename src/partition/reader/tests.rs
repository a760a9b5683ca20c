use std::path::Path;
use std::sync::{LazyLock, Weak};

use super::*;
use crate::disk::Disk;
use crate::disk::open_files::{OpenFiles, OpenFilesConfig};
use crate::disk::simulated::SimulatedDisk;
use crate::format::{Attributes, BatchBuilder, BatchStart, Compression, ProducerStamp, RecordFields, SealFields};
use crate::partition::config::TopicConfig;
use crate::record::ConsumerRecords;
use crate::segment::{SegmentConfig, SegmentDir};

static SETTINGS: LazyLock<TopicSettings> = LazyLock::new(|| TopicSettings::new(TopicConfig::new()));
const BASE_OFFSET: u64 = 100;
const RECORDS: u8 = 5;

/// An open batch of records that have their number as value.
fn open_batch() -> (Identity, Vec<u8>) {
    let identity = Identity {
        topic_id: 1,
        partition: 0,
        start: BatchStart {
            base_offset: BASE_OFFSET,
            leader_epoch: 0,
            attributes: Attributes::NONE,
            base_timestamp: 0,
            stamp: ProducerStamp::NONE,
        },
    };
    let mut records = vec![0; 1024];
    let mut bytes = 0;
    for number in 0..RECORDS {
        let value = [number];
        let offset_delta = number.into();
        let fields =
            RecordFields { timestamp_delta: 0, offset_delta, key: None, value: Some(&value), headers: (&[]).into() };
        bytes += fields.encode(&mut records[bytes..]);
    }
    records.truncate(bytes);
    (identity, records)
}

fn fetch(from: u64, records_max: usize, place: Option<&Place>) -> (Vec<u8>, u64, Option<Place>) {
    let (identity, records) = open_batch();
    let source = Source {
        topic_id: 1,
        partition: &TopicPartition::new("orders", 0),
        segments: &[],
        tail: &[TailRecords { identity: &identity, bytes: TailBytes::Copied(&records), is_dense: true }],
        damage: &[],
        waypoints: None,
        bounds: BASE_OFFSET..BASE_OFFSET + u64::from(RECORDS),
        high_watermark: BASE_OFFSET + u64::from(RECORDS),
        aborted: None,
        settings: &SETTINGS,
        counters: None,
    };
    let (fetched, place) = source.fetch_on(from, FetchLimits { bytes_max: usize::MAX, records_max }, place).unwrap();
    let next_offset = fetched.next_offset;
    let mut all = ConsumerRecords::default();
    all.push(fetched);
    (all.iter().map(|record| record.value().unwrap()[0]).collect(), next_offset, place)
}

#[test]
fn a_reader_goes_on_where_it_ended_in_the_open_batch() {
    let (values, next_offset, place) = fetch(BASE_OFFSET, 2, None);
    assert_eq!((values, next_offset), (vec![0, 1], BASE_OFFSET + 2));
    let place = place.unwrap();
    assert_eq!((place.is_in_open(BASE_OFFSET), place.next_offset, place.records_bytes), (true, BASE_OFFSET + 2, 16));
    let (values, next_offset, place) = fetch(next_offset, 2, Some(&place));
    assert_eq!(values, [2, 3]);
    assert_eq!(fetch(next_offset, 2, place.as_ref()).0, [4]);
}

#[test]
fn a_place_that_is_not_where_the_reader_wants_to_go_on_changes_no_answer() {
    let right = fetch(BASE_OFFSET, 2, None).2.unwrap();
    let wrong = [
        Place { batch: WhichBatch::Open { base_offset: BASE_OFFSET - 1 }, ..right.clone() },
        Place { batch: WhichBatch::Sealed { segment: Weak::new(), file_position: 0 }, ..right.clone() },
        Place { next_offset: BASE_OFFSET + 3, ..right.clone() },
        Place { records_bytes: 0, ..right.clone() },
        Place { records_bytes: right.records_bytes + 1, ..right.clone() },
        Place { records_bytes: 24, ..right.clone() },
        Place { records_bytes: 40, ..right.clone() },
        Place { records_bytes: usize::MAX, ..right },
    ];
    for place in wrong {
        let (values, next_offset, _) = fetch(BASE_OFFSET + 2, 9, Some(&place));
        assert_eq!((values, next_offset), (vec![2, 3, 4], BASE_OFFSET + 5), "{place:?}");
    }
}

fn empty_segment(base_offset: u64) -> Segment {
    let disk = SimulatedDisk::new(0);
    disk.create_dir(Path::new("/orders-0")).unwrap();
    let files = OpenFiles::new(Arc::new(disk), OpenFilesConfig::default());
    let partition = TopicPartition::new("orders", 0);
    let dir = Arc::new(SegmentDir { files, path: "/orders-0".into(), partition, is_read_only: false });
    Segment::create(&dir, base_offset, SegmentConfig::from(&TopicConfig::default())).unwrap()
}

/// A segment of three batches: one with a record for each offset, one with gaps, and one that is compressed. Also returns the
/// offsets that have a record; its value is the lowest byte of the offset.
fn segment() -> (Arc<Segment>, Vec<u64>) {
    let segment = empty_segment(BASE_OFFSET);
    let mut builder = BatchBuilder::new();
    let mut offsets = Vec::new();
    for (base_offset, deltas, last_offset_delta, codec) in [
        (BASE_OFFSET, vec![0_u32, 1, 2, 3, 4, 5, 6], 6, Compression::None),
        (BASE_OFFSET + 7, vec![1, 2, 5, 9], 11, Compression::None),
        (BASE_OFFSET + 19, vec![0, 1, 2, 3, 4, 5, 6, 7], 7, Compression::Snappy),
    ] {
        builder.clear(base_offset, 0);
        for delta in deltas {
            let offset = base_offset + u64::from(delta);
            builder.push_at(delta.cast_signed(), 0, None, Some(&[offset.to_be_bytes()[7]; 100]), &[]);
            offsets.push(offset);
        }
        let attributes = Attributes::NONE.with_codec(codec);
        let mut fields = SealFields { last_offset_delta, ..builder.fields() };
        fields.start.attributes = attributes;
        let batch = builder.finish(&fields).unwrap();
        let header = crate::format::verify(batch).unwrap();
        assert_eq!(header.start.attributes.codec(), codec);
        segment.append(batch, &header).unwrap();
    }
    (Arc::new(segment), offsets)
}

fn source<'l>(partition: &'l TopicPartition, segments: &'l [Arc<Segment>]) -> Source<'l> {
    let bounds = BASE_OFFSET..segments.last().unwrap().next_offset();
    let (tail, damage, high_watermark): (&[_], &[_], _) = (&[], &[], bounds.end);
    let (waypoints, aborted, settings) = (None, None, &SETTINGS);
    Source {
        topic_id: 1,
        partition,
        segments,
        tail,
        damage,
        waypoints,
        bounds,
        high_watermark,
        aborted,
        settings,
        counters: None,
    }
}

fn offsets_of(fetched: Fetched) -> Vec<u64> {
    let mut records = ConsumerRecords::default();
    records.push(fetched);
    let offsets: Vec<_> = records.iter().map(|record| record.offset()).collect();
    assert_eq!(records.len(), offsets.len());
    assert!(records.iter().all(|record| record.value().unwrap()[0] == record.offset().to_be_bytes()[7]));
    offsets
}

#[test]
fn a_reader_that_goes_on_inside_batches_sees_each_record_once() {
    let (segment, offsets) = segment();
    let partition = TopicPartition::new("orders", 0);
    let segments = [segment];
    let source = source(&partition, &segments);
    for (first, records_max) in (source.bounds.clone()).flat_map(|first| (1..9).map(move |max| (first, max))) {
        for bytes_max in [1, 250, 700, usize::MAX] {
            let limits = FetchLimits { bytes_max, records_max };
            let (mut seen, mut from, mut place) = (Vec::new(), first, None);
            while from < source.bounds.end {
                let (fetched, next) = source.fetch_on(from, limits, place.as_ref()).unwrap();
                let alone = source.fetch(from, limits).unwrap();
                assert_eq!((fetched.next_offset, fetched.record_count), (alone.next_offset, alone.record_count));
                assert!(fetched.record_count <= records_max);
                (from, place) = (fetched.next_offset, next);
                let offsets = offsets_of(fetched);
                assert_eq!(offsets, offsets_of(alone));
                seen.extend(offsets);
            }
            let expected: Vec<_> = offsets.iter().copied().filter(|offset| first <= *offset).collect();
            assert_eq!(seen, expected, "{records_max} records at a time from {first} on");
        }
    }
}

#[test]
fn a_compressed_batch_is_expanded_once_for_a_reader_that_goes_on_in_it() {
    let (segment, _) = segment();
    let partition = TopicPartition::new("orders", 0);
    let segments = [segment];
    let source = source(&partition, &segments);
    let limits = FetchLimits { bytes_max: usize::MAX, records_max: 2 };
    let (first, place) = source.fetch_on(BASE_OFFSET + 19, limits, None).unwrap();
    let (second, _) = source.fetch_on(first.next_offset, limits, place.as_ref()).unwrap();
    let [first, second] = [first, second].map(|fetched| fetched.batches[0].records.as_ptr_range());
    assert_eq!(first.end, second.start);
}

#[test]
fn a_place_in_a_segment_that_was_replaced_is_of_no_use() {
    let (old, _) = segment();
    let (new, _) = segment();
    let place = Place {
        batch: WhichBatch::Sealed { segment: Arc::downgrade(&old), file_position: 0 },
        next_offset: BASE_OFFSET + 1,
        records_bytes: 0,
        plain: None,
    };
    assert!(place.is_in_sealed(&old, 0) && !place.is_in_sealed(&old, 1) && !place.is_in_sealed(&new, 0));
}

#[test]
fn what_is_sealed_but_not_visible_is_not_returned() {
    let (segment, offsets) = segment();
    let partition = TopicPartition::new("orders", 0);
    let segments = [segment];
    for end in BASE_OFFSET..segments[0].next_offset() {
        let source = Source { bounds: BASE_OFFSET..end, ..source(&partition, &segments) };
        for from in BASE_OFFSET..=end {
            let fetched = source.fetch(from, FetchLimits { bytes_max: usize::MAX, records_max: 100 }).unwrap();
            assert_eq!(fetched.next_offset, end);
            let visible = offsets.iter().copied().filter(|offset| (from..end).contains(offset));
            assert_eq!(offsets_of(fetched), visible.collect::<Vec<_>>());
        }
    }
}

/// A batch of `count` records of 100 bytes, with what stands behind it.
fn large(count: u32) -> Arc<Segment> {
    let (segment, _) = segment();
    let base_offset = segment.next_offset();
    let mut builder = BatchBuilder::new();
    for base_offset in [base_offset, base_offset + u64::from(count)] {
        builder.clear(base_offset, 0);
        for delta in 0..u64::from(count) {
            builder.push(0, None, Some(&[(base_offset + delta).to_be_bytes()[7]; 100]), &[]);
        }
        let fields = builder.fields();
        let batch = builder.finish(&fields).unwrap();
        segment.append(batch, &crate::format::verify(batch).unwrap()).unwrap();
    }
    segment
}

#[test]
fn records_are_the_same_whether_or_not_a_batch_is_known_from_inside() {
    let partition = TopicPartition::new("orders", 0);
    let (segments, others) = ([large(700)], [large(650)]);
    let waypoints = Waypoints::default();
    let source = Source { waypoints: Some(&waypoints), ..source(&partition, &segments) };
    let other = Source { waypoints: Some(&waypoints), ..self::source(&partition, &others) };
    let first = BASE_OFFSET + 27;
    for (source, bytes_max) in [(&source, 1), (&source, 3000), (&other, 1), (&source, usize::MAX), (&other, 1)] {
        for from in (first..source.bounds.end).step_by(7).chain([first + 699, first + 700, source.bounds.end - 1]) {
            let limits = FetchLimits { bytes_max, records_max: 1000 };
            let known = offsets_of(source.fetch(from, limits).unwrap());
            let unknown = Source { waypoints: None, bounds: source.bounds.clone(), ..*source };
            assert_eq!(known, offsets_of(unknown.fetch(from, limits).unwrap()));
            assert_eq!(known[0], from);
        }
    }
    assert_eq!(known_base_offset(&waypoints, &segments[0], first + 10), Some(first));
}

#[test]
fn what_is_known_of_a_batch_leads_near_every_record_of_it() {
    let partition = TopicPartition::new("orders", 0);
    let segments = [large(700)];
    let waypoints = Waypoints::default();
    let source = Source { waypoints: Some(&waypoints), ..source(&partition, &segments) };
    let base_offset = BASE_OFFSET + 27;
    // In an order in which some have to walk on behind what is known, and others need not.
    for delta in (0..700).map(|n| n * 37 % 700).filter(|delta| *delta > 0) {
        let offset = base_offset + delta;
        source.fetch(offset, FetchLimits { bytes_max: 1, records_max: 1 }).unwrap();
        let guard = waypoints.find(&segments[0], offset).unwrap();
        let known = guard.as_deref().unwrap();
        assert_eq!(known.located.header.base_offset(), base_offset);
        let batch = segments[0].read(&known.located).unwrap();
        let start = waypoints.lead_to(offset, Some(known), &segments[0], &known.located, batch.records());
        let behind = usize::try_from(delta).unwrap() - start.count;
        assert!(behind < 8, "{behind} records to walk to offset {offset}");
        assert_eq!(start.bytes, step_over(batch.records(), start.count, usize::MAX).unwrap().1);
    }
    assert_ne!(known_base_offset(&waypoints, &segments[0], base_offset + 700), Some(base_offset));
}

#[test]
fn records_that_do_not_end_leave_nothing_behind_them() {
    let segment = large(700);
    let waypoints = Waypoints::default();
    let located = segment.locate(BASE_OFFSET + 27).unwrap().unwrap();
    let batch = segment.read(&located).unwrap();
    for bytes in [0, 1, 300, batch.records().len() / 2] {
        let records = &batch.records()[..bytes];
        for offset in [0, BASE_OFFSET + 30, BASE_OFFSET + 600, u64::MAX] {
            let start = waypoints.lead_to(offset, None, &segment, &located, records);
            assert!(start.bytes <= bytes);
        }
    }
}

fn known_base_offset(waypoints: &Waypoints, segment: &Arc<Segment>, offset: u64) -> Option<u64> {
    waypoints.find(segment, offset)?.as_ref().map(|known| known.located.header.base_offset())
}

/// Both records of the vector report the batch's time, whatever their own deltas say, when they are read and when they are looked for.
#[test]
fn a_batch_of_kafka_with_the_append_time_has_it_in_every_record() {
    let text = include_str!("../../../tests/format/kafka-vectors.json");
    let vectors: serde_json::Value = serde_json::from_str(text).unwrap();
    let batches = vectors["batches"].as_array().unwrap();
    let vector = batches.iter().find(|batch| batch["name"] == "log_append_time").unwrap();
    let hex = vector["hex"].as_str().unwrap().as_bytes();
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    let batch: Vec<u8> = hex.chunks(2).map(byte).collect();
    let header = crate::format::verify(&batch).unwrap();
    let (time, base) = (header.max_timestamp, header.base_offset());
    assert_ne!(time, header.start.base_timestamp);
    let segment = empty_segment(base);
    segment.append(&batch, &header).unwrap();
    let partition = TopicPartition::new("orders", 0);
    let segments = [Arc::new(segment)];
    let source = Source { bounds: base..base + 2, ..source(&partition, &segments) };
    let fetched = source.fetch(base, FetchLimits { bytes_max: usize::MAX, records_max: 9 }).unwrap();
    let records = ConsumerRecords::from(fetched);
    let times: Vec<_> = records.iter().map(|record| record.timestamp().as_millis()).collect();
    assert_eq!(times, [time, time]);
    for (asked, found) in [(0, Some(base)), (time, Some(base)), (time + 1, None)] {
        assert_eq!(source.offset_for_time(asked).unwrap(), found);
    }
}
