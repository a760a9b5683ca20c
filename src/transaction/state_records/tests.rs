use proptest::prelude::*;

use super::*;

fn hex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}

fn vector(name: &str) -> Vec<u8> {
    let vectors: serde_json::Value =
        serde_json::from_str(include_str!("../../../tests/format/kafka-vectors.json")).unwrap();
    let records = vectors["coordinator_records"]["records"].as_array().unwrap();
    hex(records.iter().find(|record| record["name"] == name).unwrap()["hex"].as_str().unwrap())
}

/// What the Kafka broker wrote whose logs are in `kafka-transactions.json`: a transaction that is open, committed, aborted; the
/// last one complete; and an id without a transaction.
const ONGOING: &str = "00010000000000000bc90000000dbba001020d7472616e73616374696f6e73020000000100000001a228f2b8de\
                       000001a228f2b8de0200080000000000000bc902020002";
const COMMITTED: &str = "00010000000000000bd10003000dbba0020211636f6d7061637465642d70757267656402000000000000000\
                         1a228f2d1d7000001a228f2d1d40200080000000000000bd102020002";
const ABORTED: &str = "00010000000000000bd20003000dbba0030211636f6d7061637465642d707572676564020000000000000001\
                       a228f2d1ec000001a228f2d1d60200080000000000000bd202020002";
const COMPLETE: &str = "000100000000000000010001000dbba00401000001a228f26cf2000001a228f26ce302000800000000000000010\
                        2020002";
const EMPTY: &str = "00010000000000000bd60000000dbba00000000001a228f2d966ffffffffffffffff0100080000000000000bd6";
/// The tag with the version of the client's transactions, which is not written here.
const CLIENT_VERSION: &str = "02020002";

fn orders() -> TransactionRecord {
    TransactionRecord {
        producer_id: 9000,
        producer_epoch: 5,
        timeout_ms: 60_000,
        status: Status::Ongoing,
        partitions: vec![TopicPartition::new("orders", 0), TopicPartition::new("orders", 2)],
        last_update_ms: 1_700_000_000_500,
        start_ms: 1_700_000_000_000,
        previous_producer_id: -1,
        covered: Vec::new(),
        checkpoint: None,
    }
}

fn empty() -> TransactionRecord {
    TransactionRecord { status: Status::Empty, partitions: Vec::new(), start_ms: -1, ..orders() }
}

/// With all that is ours.
fn decided() -> TransactionRecord {
    let covered =
        |partition, offsets| Covered { topic_id: 0x0001_0203_0405_0607_0809_0a0b_0c0d_0e0f, partition, offsets };
    TransactionRecord {
        status: Status::PrepareCommit,
        covered: vec![covered(0, 10..12), covered(2, 7..8)],
        checkpoint: Some(b"row 17".to_vec()),
        ..orders()
    }
}

fn encoded(record: &TransactionRecord) -> Vec<u8> {
    let mut bytes = Vec::new();
    record.encode(&mut bytes).unwrap();
    bytes
}

#[test]
fn keys_are_kafkas() {
    let bytes = vector("txn_log_key_v0");
    assert_eq!(decode_key(&bytes), Ok(Some("payments-1")));
    let mut ours = Vec::new();
    encode_key("payments-1", &mut ours).unwrap();
    assert_eq!(ours, bytes);
}

#[test]
fn other_keys_are_passed_over() {
    assert_eq!(decode_key(b"\x00\x01whatever"), Ok(None));
    assert_eq!(decode_key(b"\xff\xff"), Ok(None));
}

#[test]
fn values_of_both_versions_are_read() {
    let with_previous = TransactionRecord { previous_producer_id: 8999, ..orders() };
    assert_eq!(TransactionRecord::decode(&vector("txn_log_value_v0_ongoing")), Ok(orders()));
    assert_eq!(TransactionRecord::decode(&vector("txn_log_value_v0_empty")), Ok(empty()));
    assert_eq!(TransactionRecord::decode(&vector("txn_log_value_v1_ongoing")), Ok(with_previous));
}

#[test]
fn values_are_written_as_kafka_does() {
    let mut kafkas = vector("txn_log_value_v1_ongoing");
    let with_previous = TransactionRecord { previous_producer_id: 8999, ..orders() };
    // Kafka's ends with a tag more.
    kafkas.truncate(kafkas.len() - CLIENT_VERSION.len() / 2);
    let tag_count = kafkas.len() - 11;
    assert_eq!(std::mem::replace(&mut kafkas[tag_count], 1), 2);
    assert_eq!(encoded(&with_previous), kafkas);
}

#[test]
fn what_a_broker_wrote_is_read_and_written_again() {
    let of_topic = |topic, partition| vec![TopicPartition::new(topic, partition)];
    for (text, status, producer_id, partitions) in [
        (ONGOING, Status::Ongoing, 3017, of_topic("transactions", 1)),
        (COMMITTED, Status::PrepareCommit, 3025, of_topic("compacted-purged", 0)),
        (ABORTED, Status::PrepareAbort, 3026, of_topic("compacted-purged", 0)),
        (COMPLETE, Status::CompleteCommit, 1, Vec::new()),
        (EMPTY, Status::Empty, 3030, Vec::new()),
    ] {
        let record = TransactionRecord::decode(&hex(text)).unwrap();
        assert_eq!((record.status, record.producer_id, record.timeout_ms), (status, producer_id, 900_000));
        assert_eq!((&record.partitions, record.previous_producer_id), (&partitions, producer_id), "{status:?}");
        assert_eq!(record.start_ms > 0, status != Status::Empty);
        let tags = |count| format!("0{count}0008{producer_id:016x}");
        assert_eq!(encoded(&record), hex(&text.replace(CLIENT_VERSION, "").replace(&tags(2), &tags(1))), "{status:?}");
    }
}

#[test]
fn what_is_ours_stands_in_tags_in_ascending_order() {
    let record = decided();
    let bytes = encoded(&record);
    let before = encoded(&TransactionRecord { covered: Vec::new(), checkpoint: None, ..record.clone() });
    let ours = hex(concat!(
        "02",                 // two tags
        "904e06726f77203137", // 10000, 6 bytes
        "914e49",
        "03", // 10001, 73 bytes; two logs
        "000102030405060708090a0b0c0d0e0f",
        "00000000",
        "000000000000000a",
        "000000000000000c",
        "000102030405060708090a0b0c0d0e0f",
        "00000002",
        "0000000000000007",
        "0000000000000008",
    ));
    assert_eq!(bytes, [&before[..before.len() - 1], &ours].concat());
    assert_eq!(TransactionRecord::decode(&bytes), Ok(record));
}

#[test]
fn a_checkpoint_that_is_empty_is_one() {
    let record = TransactionRecord { checkpoint: Some(Vec::new()), ..empty() };
    assert_eq!(TransactionRecord::decode(&encoded(&record)), Ok(record));
}

#[test]
fn unknown_tags_are_skipped() {
    let mut bytes = encoded(&orders());
    assert_eq!(bytes.pop(), Some(0));
    bytes.extend([2, 9, 2, 0xaa, 0xbb, 0x92, 0x4e, 0]);
    assert_eq!(TransactionRecord::decode(&bytes), Ok(orders()));
}

#[test]
fn bytes_too_few_or_too_many_are_refused() {
    let kafkas = ["txn_log_value_v0_ongoing", "txn_log_value_v0_empty", "txn_log_value_v1_ongoing"].map(vector);
    for mut bytes in kafkas.into_iter().chain([encoded(&decided()), encoded(&empty())]) {
        for cut in 0..bytes.len() {
            assert!(TransactionRecord::decode(&bytes[..cut]).is_err(), "cut to {cut}: {bytes:?}");
        }
        bytes.push(0);
        assert!(TransactionRecord::decode(&bytes).is_err(), "and one more: {bytes:?}");
    }
    let mut key = vector("txn_log_key_v0");
    for cut in 0..key.len() {
        assert!(decode_key(&key[..cut]).is_err(), "cut to {cut}");
    }
    key.push(0);
    assert!(decode_key(&key).is_err());
}

#[test]
fn what_cannot_be_is_refused() {
    let good = encoded(&decided());
    // The version, the status, and the first partition.
    for (at, byte) in [(0, 0x80), (1, 2), (16, 8), (16, 0xff), (26, 0xff)] {
        let mut bytes = good.clone();
        bytes[at] = byte;
        assert!(TransactionRecord::decode(&bytes).is_err(), "byte {at}");
    }
    let of_tag = |number: u32, data: &[u8]| {
        let mut bytes = encoded(&orders());
        bytes.pop();
        bytes.push(1);
        put_tag(&mut bytes, "tag", number, data).unwrap();
        TransactionRecord::decode(&bytes)
    };
    let covered = |partition: i32, first: i64, end: i64| {
        let id = [7; 16];
        [&[2], &id[..], &partition.to_be_bytes(), &first.to_be_bytes(), &end.to_be_bytes()].concat()
    };
    assert!(of_tag(COVERED_TAG, &covered(0, 5, 6)).is_ok());
    assert!(of_tag(COVERED_TAG, &covered(-1, 5, 6)).is_err(), "a partition below zero");
    assert!(of_tag(COVERED_TAG, &covered(0, -5, 6)).is_err(), "an offset below zero");
    assert!(of_tag(COVERED_TAG, &covered(0, 6, 5)).is_err(), "an end before the first");
    assert!(of_tag(COVERED_TAG, &[0]).is_err(), "null");
    assert!(of_tag(COVERED_TAG, &[&covered(0, 5, 6)[..], &[0]].concat()).is_err(), "and one more");
    assert!(of_tag(COVERED_TAG, &[0xff, 0xff, 0xff, 0xff, 0x0f]).is_err(), "four billion logs");
    assert!(of_tag(PREVIOUS_PRODUCER_ID_TAG, &[0; 7]).is_err(), "an id too short");
    assert!(of_tag(PREVIOUS_PRODUCER_ID_TAG, &[0; 9]).is_err(), "an id too long");
    assert!(decode_key(b"\x00\x00\x00\x01\xff").is_err(), "not UTF-8");
}

#[test]
fn text_that_is_too_long_is_refused_and_nothing_written() {
    let long = "x".repeat(32_768);
    let mut out = Vec::new();
    assert!(encode_key(&long, &mut out).is_err());
    let record = TransactionRecord { partitions: vec![TopicPartition::new(long.as_str(), 0)], ..orders() };
    assert!(record.encode(&mut out).is_err());
    assert!(out.is_empty());
    encode_key(&long[1..], &mut out).unwrap();
}

fn any_covered() -> impl Strategy<Value = Covered> {
    let offset = 0..=i64::MAX.cast_unsigned();
    (any::<u128>(), 0..=i32::MAX.unsigned_abs(), offset.clone(), offset).prop_map(
        |(topic_id, partition, one, other)| Covered { topic_id, partition, offsets: one.min(other)..one.max(other) },
    )
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(version in -1_i16..3, rest in proptest::collection::vec(any::<u8>(), 0..96)) {
        let bytes = [&version.to_be_bytes(), rest.as_slice()].concat();
        let _ = decode_key(&bytes);
        let _ = TransactionRecord::decode(&bytes);
    }

    #[test]
    fn records_go_there_and_back(
        (producer_id, producer_epoch, timeout_ms) in any::<(i64, i16, i32)>(),
        number in 0_i8..8,
        topics in proptest::collection::btree_map("[a-z]{1,9}", proptest::collection::vec(0..9_u32, 1..4), 0..4),
        (last_update_ms, start_ms, previous_producer_id) in any::<(i64, i64, i64)>(),
        covered in proptest::collection::vec(any_covered(), 0..4),
        checkpoint in proptest::option::of(proptest::collection::vec(any::<u8>(), 0..20)),
    ) {
        let of_topic = |(topic, numbers): (&String, &Vec<u32>)| {
            numbers.iter().map(|number| TopicPartition::new(topic.as_str(), *number)).collect::<Vec<_>>()
        };
        let record = TransactionRecord {
            producer_id, producer_epoch, timeout_ms, last_update_ms, start_ms, previous_producer_id, covered, checkpoint,
            status: Status::of_number(number).unwrap(),
            partitions: topics.iter().flat_map(of_topic).collect(),
        };
        prop_assert_eq!(TransactionRecord::decode(&encoded(&record)), Ok(record));
    }
}
