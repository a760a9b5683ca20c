//! Single batches, as compaction leaves them; `beside` has what happens to a log meanwhile. Whole logs are in `tests/model` and
//! `tests/crash`.

mod beside;

use super::*;
use crate::format::{
    Attributes, BatchBuilder, Compression, EndTransactionMarker, ProducerStamp, SealFields, check_records, verify,
};
use crate::partition::producer_state::aborted::AbortedTransactions;
use crate::record::Header;
use crate::segment::AbortedTransaction;

const NOW: i64 = 1_700_000_000_000;
const RETENTION: i64 = 1000;
const STAMP: ProducerStamp =
    ProducerStamp { producer_id: 9, producer_epoch: 2, base_sequence: 40, is_transactional: false };

/// Key, value and timestamp; offsets count up.
type Given<'a> = (Option<&'a str>, Option<&'a str>, i64);

/// A batch from offset 100 on, of a producer, under a header that `change` has seen.
fn batch_with(records: &[Given<'_>], change: impl FnOnce(&mut SealFields)) -> Vec<u8> {
    let mut builder = BatchBuilder::new();
    builder.clear(100, records.first().map_or(-1, |record| record.2));
    for (key, value, timestamp) in records {
        builder.push(*timestamp, key.map(str::as_bytes), value.map(str::as_bytes), &[Header::new("h", "1")]);
    }
    let mut fields = builder.fields();
    (fields.start.leader_epoch, fields.start.stamp) = (3, STAMP);
    change(&mut fields);
    builder.finish(&fields).unwrap().to_vec()
}

fn batch(records: &[Given<'_>]) -> Vec<u8> {
    batch_with(records, |_| {})
}

fn keys(last: &[(&str, u64)]) -> KeyOffsets {
    let mut keys = KeyOffsets::from(0, 1 << 20, u64::MAX);
    for (key, offset) in last {
        keys.note_all(&[(key.as_bytes(), *offset)], Overflow::Stop);
    }
    keys
}

/// What is left of a batch: all of it, or its bytes and whether they are an empty one's.
#[derive(Debug, PartialEq, Eq)]
enum Left {
    Whole,
    Batch(Vec<u8>),
    Empty(Vec<u8>),
}

fn clean_with(cleaner: &mut Cleaner<'_>, bytes: &[u8]) -> Left {
    match cleaner.clean(&verify(bytes).unwrap(), bytes).unwrap() {
        Cleaned::Whole => Left::Whole,
        Cleaned::Rewritten(bytes) => Left::Batch(bytes.to_vec()),
        Cleaned::Emptied(bytes) => Left::Empty(bytes.to_vec()),
    }
}

fn clean(keys: &KeyOffsets, now_ms: i64, bytes: &[u8]) -> Left {
    clean_with(
        &mut Cleaner::new(
            keys,
            KnownTransactions::default(),
            Tombstones::Age { now_ms, delete_retention_ms: RETENTION },
        ),
        bytes,
    )
}

fn rewritten(keys: &KeyOffsets, now_ms: i64, bytes: &[u8]) -> Vec<u8> {
    match clean(keys, now_ms, bytes) {
        Left::Batch(bytes) => bytes,
        other => panic!("{other:?}"),
    }
}

/// Offset, key, whether there is a value, timestamp.
fn records_of(bytes: &[u8]) -> Vec<(u64, String, bool, i64)> {
    let header = verify(bytes).unwrap();
    let mut plain = Vec::new();
    let records = plain_records(&header, &bytes[HEADER_BYTES..], usize::MAX, &mut plain).unwrap();
    check_records(&header, records).unwrap();
    let mut found = Vec::new();
    for_each(&header, records, |offset, record| {
        let key = record.key.map_or("-".to_owned(), |key| String::from_utf8(key.to_vec()).unwrap());
        assert_eq!(record.headers.get("h"), Some(Header::new("h", "1")));
        found.push((offset, key, record.value.is_some(), header.timestamp(record.timestamp_delta)));
    })
    .unwrap();
    found
}

#[test]
fn what_nothing_supersedes_stays_as_it_is() {
    let bytes = batch(&[(Some("a"), Some("1"), NOW), (Some("c"), Some("2"), NOW)]);
    assert_eq!(clean(&keys(&[("a", 100), ("b", 500)]), NOW, &bytes), Left::Whole);
}

#[test]
fn records_without_a_key_go() {
    let bytes = batch(&[(None, Some("2"), NOW), (Some("a"), Some("1"), NOW), (None, None, NOW)]);
    assert_eq!(records_of(&rewritten(&keys(&[]), NOW, &bytes)), [(101, "a".to_owned(), true, NOW)]);
}

#[test]
fn while_keys_are_left_for_other_passes_tombstones_neither_age_nor_go() {
    let bytes = batch(&[(Some("a"), Some("1"), NOW), (Some("b"), None, NOW + 7)]);
    let (none, superseding) = (keys(&[]), keys(&[("a", 200)]));
    let wait = |keys: &KeyOffsets, bytes: &[u8]| {
        clean_with(&mut Cleaner::new(keys, KnownTransactions::default(), Tombstones::Wait), bytes)
    };
    assert_eq!(wait(&none, &bytes), Left::Whole);
    let aged = rewritten(&none, NOW, &bytes);
    assert_eq!(wait(&none, &aged), Left::Whole);
    let Left::Batch(left) = wait(&superseding, &aged) else { panic!("not rewritten") };
    assert_eq!(verify(&left).unwrap().delete_horizon(), Some(NOW + RETENTION));
}

#[test]
fn a_batch_that_loses_records_keeps_its_range_and_its_producer() {
    let bytes = batch(&[(Some("a"), Some("1"), NOW + 5), (Some("b"), Some("2"), NOW), (Some("a"), Some("3"), NOW + 9)]);
    let left = rewritten(&keys(&[("a", 700)]), NOW, &bytes);
    assert_eq!(records_of(&left), [(101, "b".to_owned(), true, NOW)]);
    let (before, after) = (verify(&bytes).unwrap(), verify(&left).unwrap());
    assert_eq!((after.base_offset(), after.next_offset()), (before.base_offset(), before.next_offset()));
    assert_eq!((after.start.leader_epoch, after.start.stamp), (3, STAMP));
    assert_eq!((after.start.base_timestamp, after.max_timestamp, after.record_count), (NOW, NOW, 1));
    assert_eq!(after.last_sequence(), before.last_sequence());
}

#[test]
fn within_a_batch_the_last_record_of_a_key_stays() {
    let bytes = batch(&[(Some("a"), Some("1"), NOW), (Some("a"), Some("2"), NOW), (Some("b"), Some("3"), NOW)]);
    let left = rewritten(&keys(&[("a", 101), ("b", 102)]), NOW, &bytes);
    assert_eq!(records_of(&left).iter().map(|record| record.0).collect::<Vec<_>>(), [101, 102]);
}

#[test]
fn of_an_emptied_batch_the_range_is_left() {
    let bytes = batch_with(&[(Some("a"), Some("1"), NOW), (Some("b"), None, NOW + 1)], |fields| {
        fields.start = fields.start.with_codec(Compression::Snappy);
    });
    let Left::Empty(left) = clean(&keys(&[("a", 200), ("b", 201)]), NOW, &bytes) else { panic!("not empty") };
    let header = verify(&left).unwrap();
    assert_eq!((left.len(), header.base_offset(), header.next_offset(), header.record_count), (61, 100, 102, 0));
    assert_eq!(
        (header.start.attributes, header.start.base_timestamp, header.max_timestamp),
        (Attributes::NONE, -1, NOW + 1)
    );
    assert_eq!((header.start.leader_epoch, header.start.stamp), (3, STAMP));
    assert_eq!(clean(&keys(&[]), NOW, &left), Left::Empty(left.clone()), "and again");
}

#[test]
fn a_tombstone_has_its_time_from_the_first_pass_on() {
    let bytes = batch(&[(Some("a"), Some("1"), NOW), (Some("b"), None, NOW + 7)]);
    let keys = keys(&[("a", 100), ("b", 101)]);
    let first = rewritten(&keys, NOW, &bytes);
    assert_eq!(verify(&first).unwrap().delete_horizon(), Some(NOW + RETENTION));
    let expected = [(100, "a".to_owned(), true, NOW), (101, "b".to_owned(), false, NOW + 7)];
    assert_eq!(records_of(&first), expected);
    assert_eq!(clean(&keys, NOW + RETENTION - 1, &first), Left::Whole, "later passes do not give it more");
    let over = rewritten(&keys, NOW + RETENTION, &first);
    assert_eq!(records_of(&over), expected[..1]);
    assert_eq!(verify(&over).unwrap().delete_horizon(), Some(NOW + RETENTION), "a batch keeps its horizon");
}

#[test]
fn what_supersedes_a_tombstone_removes_it_at_once() {
    let bytes = batch(&[(Some("a"), None, NOW), (Some("b"), Some("1"), NOW)]);
    assert_eq!(records_of(&rewritten(&keys(&[("a", 102)]), NOW, &bytes)), [(101, "b".to_owned(), true, NOW)]);
}

#[test]
fn append_time_stays_that_of_every_record() {
    let bytes = batch_with(&[(Some("a"), Some("1"), NOW), (Some("b"), None, NOW)], |fields| {
        fields.start.attributes = fields.start.attributes.with_log_append_time();
        fields.max_timestamp = NOW + 50;
    });
    let left = rewritten(&keys(&[("a", 300)]), NOW, &bytes);
    assert_eq!(records_of(&left), [(101, "b".to_owned(), false, NOW + 50)]);
    let header = verify(&left).unwrap();
    assert!(header.start.attributes.is_log_append_time() && header.max_timestamp == NOW + 50);
}

#[test]
fn what_was_compressed_is_compressed_again() {
    let value = "value ".repeat(50);
    let records: Vec<Given<'_>> = ["a", "b", "c"].iter().map(|key| (Some(*key), Some(&*value), NOW)).collect();
    let bytes = batch_with(&records, |fields| fields.start = fields.start.with_codec(Compression::Snappy));
    let left = rewritten(&keys(&[("b", 900)]), NOW, &bytes);
    assert_eq!(verify(&left).unwrap().start.attributes.codec(), Compression::Snappy);
    assert_eq!(records_of(&left).iter().map(|record| record.0).collect::<Vec<_>>(), [100, 102]);
}

/// A marker at this offset of the producer with this id.
fn marker(producer_id: i64, offset: u64, is_commit: bool) -> Vec<u8> {
    let marker = EndTransactionMarker { is_commit, coordinator_epoch: 3 };
    let mut builder = BatchBuilder::new();
    builder.clear(offset, NOW);
    builder.push(NOW, Some(&marker.encode_key()), Some(&marker.encode_value()), &[]);
    let mut fields = builder.fields();
    fields.start.attributes = Attributes::NONE.with_control();
    fields.start.stamp = ProducerStamp { producer_id, base_sequence: -1, is_transactional: true, ..STAMP };
    builder.finish(&fields).unwrap().to_vec()
}

/// What is known where the transaction of producer 9 from 100 on ended with an abort marker at this offset.
fn aborted_at(last_offset: u64) -> KnownTransactions {
    let aborted = AbortedTransaction { producer_id: 9, first_offset: 100, last_offset, last_stable_offset: 100 };
    KnownTransactions::new(AbortedTransactions::new(vec![aborted]), Arc::default())
}

#[test]
fn what_was_aborted_goes_and_its_marker_after_it() {
    let data = batch_with(&[(Some("a"), Some("1"), NOW)], |fields| fields.start.stamp.is_transactional = true);
    let (none, age) = (keys(&[]), |now_ms| Tombstones::Age { now_ms, delete_retention_ms: RETENTION });
    let mut cleaner = Cleaner::new(&none, aborted_at(101), age(NOW));
    assert!(matches!(clean_with(&mut cleaner, &data), Left::Empty(_)));
    assert_eq!(clean_with(&mut cleaner, &marker(9, 101, false)), Left::Whole, "what it aborts was there a moment ago");
    assert_eq!(cleaner.take_aborted().len(), 1);
    // The marker of another producer ends nothing.
    assert!(matches!(clean_with(&mut cleaner, &marker(8, 102, false)), Left::Batch(_)));
    // The next pass.
    let mut cleaner = Cleaner::new(&none, aborted_at(101), age(NOW));
    let Left::Batch(with_horizon) = clean_with(&mut cleaner, &marker(9, 101, false)) else { panic!("no horizon") };
    assert!(cleaner.take_aborted().is_empty());
    let header = verify(&with_horizon).unwrap();
    assert_eq!((header.delete_horizon(), header.max_timestamp), (Some(NOW + RETENTION), NOW));
    let decoded = EndTransactionMarker::decode(&header, &with_horizon[HEADER_BYTES..]).unwrap();
    assert_eq!(decoded, Some(EndTransactionMarker { is_commit: false, coordinator_epoch: 3 }));
    for (now_ms, tombstones) in [(NOW + RETENTION - 1, age(NOW + RETENTION - 1)), (0, Tombstones::Wait)] {
        let mut cleaner = Cleaner::new(&none, aborted_at(101), tombstones);
        assert_eq!(clean_with(&mut cleaner, &with_horizon), Left::Whole, "{now_ms}");
    }
    let mut cleaner = Cleaner::new(&none, aborted_at(101), age(NOW + RETENTION));
    let Left::Empty(empty) = clean_with(&mut cleaner, &with_horizon) else { panic!("it stays") };
    assert!(matches!(clean_with(&mut cleaner, &empty), Left::Empty(_)));
}

#[test]
fn a_marker_stays_as_long_as_its_data() {
    let data = batch_with(&[(Some("a"), Some("1"), NOW)], |fields| fields.start.stamp.is_transactional = true);
    let all = keys(&[]);
    let mut cleaner =
        Cleaner::new(&all, KnownTransactions::default(), Tombstones::Age { now_ms: i64::MAX, delete_retention_ms: 0 });
    assert_eq!(clean_with(&mut cleaner, &data), Left::Whole);
    assert_eq!(clean_with(&mut cleaner, &marker(9, 101, true)), Left::Whole);
}
