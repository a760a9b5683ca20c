//! The bytes of snapshots, right and wrong.

use super::super::*;

/// The sample partition of the golden vectors.
fn sample(name: &str) -> Vec<u8> {
    let text = include_str!("../../../../tests/format/kafka-vectors.json");
    let vectors: serde_json::Value = serde_json::from_str(text).unwrap();
    hex(vectors["partition"]["files"][name].as_str().unwrap())
}

pub(super) fn hex(text: &str) -> Vec<u8> {
    let pairs = text.as_bytes().chunks(2);
    pairs.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

#[test]
fn kafkas_snapshots_come_back_from_their_bytes() {
    for offset in [33, 60] {
        let bytes = sample(&format!("{offset:020}.snapshot"));
        let states = ProducerStates::decode(&bytes, offset).unwrap();
        assert!(!states.is_empty());
        assert_eq!(states.encode(), bytes);
    }
    let empty = ProducerStates::default().encode();
    assert_eq!((empty.len(), ProducerStates::decode(&empty, 0).unwrap()), (10, ProducerStates::default()));
}

#[test]
fn a_snapshot_with_a_wrong_bit_is_refused() {
    let bytes = sample(&format!("{:020}.snapshot", 60));
    for at in 0..bytes.len() * 8 {
        let mut wrong = bytes.clone();
        wrong[at / 8] ^= 1 << (at % 8);
        assert!(ProducerStates::decode(&wrong, 60).is_err(), "bit {at}");
    }
    for length in 0..bytes.len() {
        assert!(ProducerStates::decode(&bytes[..length], 60).is_err(), "{length} bytes");
    }
}

/// A right checksum proves nothing.
#[test]
fn a_snapshot_that_makes_no_sense_is_refused() {
    let batch = LastBatch { last_sequence: 4, last_offset: 9, offset_delta: 4 };
    let good = ProducerState { last_batch: Some(batch), transaction_first_offset: Some(3), ..ProducerState::new(2) };
    let is_taken = |producer: ProducerState| {
        let states = ProducerStates::new(BTreeMap::from([(7, producer)]));
        ProducerStates::decode(&states.encode(), 10).is_ok_and(|decoded| decoded == states)
    };
    assert!(is_taken(good.clone()));
    let with_batch = |last_batch| ProducerState { last_batch: Some(last_batch), ..good.clone() };
    assert!(!is_taken(with_batch(LastBatch { last_offset: 10, ..batch })), "a batch behind the snapshot");
    assert!(!is_taken(with_batch(LastBatch { offset_delta: 10, ..batch })), "a batch that begins before 0");
    assert!(!is_taken(with_batch(LastBatch { offset_delta: -1, ..batch })));
    assert!(!is_taken(with_batch(LastBatch { last_sequence: -2, ..batch })));
    assert!(!is_taken(ProducerState { transaction_first_offset: Some(10), ..good.clone() }));
    assert!(!is_taken(ProducerState { transaction_first_offset: Some(1 << 63), ..good.clone() }));
    let twice = ProducerStates::new(BTreeMap::from([(7, good.clone()), (8, good)]));
    let mut bytes = twice.encode();
    let second = bytes.len() - 46;
    bytes[second + 7] = 7;
    let crc = crate::format::crc32c(&bytes[6..]).to_be_bytes();
    bytes[2..6].copy_from_slice(&crc);
    assert!(ProducerStates::decode(&bytes, 10).is_err(), "a producer twice");
    bytes[second..second + 8].copy_from_slice(&(-1_i64).to_be_bytes());
    let crc = crate::format::crc32c(&bytes[6..]).to_be_bytes();
    bytes[2..6].copy_from_slice(&crc);
    assert!(ProducerStates::decode(&bytes, 10).is_err(), "no producer");
}

#[test]
fn who_has_sent_nothing_for_a_day_is_forgotten_unless_a_transaction_is_open() {
    let at = |last_timestamp| ProducerState { last_timestamp, ..ProducerState::new(0) };
    let open = ProducerState { transaction_first_offset: Some(0), ..at(0) };
    let mut states = ProducerStates::new(BTreeMap::from([(1, at(0)), (2, at(1)), (3, open)]));
    states.expire(EXPIRATION_MS);
    assert_eq!(states.producers.keys().copied().collect::<Vec<_>>(), [2, 3]);
    states.expire(i64::MAX);
    assert_eq!((states.producers.len(), states.first_unstable_offset()), (1, Some(0)));
}
