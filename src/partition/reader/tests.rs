use super::*;
use crate::format::RecordFields;
use crate::record::ConsumerRecords;

const BASE_OFFSET: u64 = 100;
const RECORDS: u8 = 5;

/// An open batch of records that have their number as value.
fn open_batch() -> (Identity, Vec<u8>) {
    let identity = Identity {
        topic_id: 1,
        partition: 0,
        leader_epoch: 0,
        base_offset: BASE_OFFSET,
        base_timestamp: 0,
        producer_id: -1,
        producer_epoch: -1,
        attributes: 0,
        base_sequence: -1,
    };
    let mut records = vec![0; 1024];
    let mut bytes = 0;
    for number in 0..RECORDS {
        let value = [number];
        let offset_delta = number.into();
        let fields = RecordFields { timestamp_delta: 0, offset_delta, key: None, value: Some(&value), headers: &[] };
        bytes += fields.encode(&mut records[bytes..]);
    }
    records.truncate(bytes);
    (identity, records)
}

fn fetch(from: u64, records_max: usize, tail: Option<TailPosition>) -> (Vec<u8>, Fetched) {
    let (identity, records) = open_batch();
    let source = Source {
        topic_id: 1,
        partition: &TopicPartition::new("orders", 0),
        segments: &[],
        tail: &[TailRecords { identity: &identity, records: &records }],
        damage: &[],
        bounds: BASE_OFFSET..BASE_OFFSET + u64::from(RECORDS),
        max_message_bytes: 1 << 20,
    };
    let fetched = source.fetch(from, FetchLimits { bytes_max: usize::MAX, records_max }, tail).unwrap();
    let mut all = ConsumerRecords::default();
    all.push(fetched.clone());
    (all.iter().map(|record| record.value().unwrap()[0]).collect(), fetched)
}

#[test]
fn a_reader_goes_on_where_it_ended_in_the_open_batch() {
    let (values, first) = fetch(BASE_OFFSET, 2, None);
    assert_eq!(values, [0, 1]);
    let tail = first.tail.unwrap();
    assert_eq!((tail.base_offset, tail.next_offset, tail.records_bytes), (BASE_OFFSET, BASE_OFFSET + 2, 16));
    let (values, second) = fetch(first.next_offset, 2, first.tail);
    assert_eq!(values, [2, 3]);
    assert_eq!(fetch(second.next_offset, 2, second.tail).0, [4]);
}

#[test]
fn a_place_that_is_not_where_the_reader_wants_to_go_on_changes_no_answer() {
    let right = fetch(BASE_OFFSET, 2, None).1.tail.unwrap();
    let wrong = [
        TailPosition { base_offset: BASE_OFFSET - 1, ..right },
        TailPosition { next_offset: BASE_OFFSET + 3, ..right },
        TailPosition { records_bytes: 0, ..right },
        TailPosition { records_bytes: right.records_bytes + 1, ..right },
        TailPosition { records_bytes: 24, ..right },
        TailPosition { records_bytes: 40, ..right },
        TailPosition { records_bytes: usize::MAX, ..right },
    ];
    for tail in wrong {
        let (values, fetched) = fetch(BASE_OFFSET + 2, 9, Some(tail));
        assert_eq!((values, fetched.next_offset), (vec![2, 3, 4], BASE_OFFSET + 5), "{tail:?}");
    }
}
