use super::*;
use proptest::prelude::*;

const COMMIT: OffsetCommit<'_> = OffsetCommit {
    offset: 12_345,
    leader_epoch: None,
    metadata: "",
    commit_timestamp: 1_700_000_000_000,
    expire_timestamp: None,
    topic_id: None,
};

fn vector(name: &str) -> Vec<u8> {
    let vectors: serde_json::Value =
        serde_json::from_str(include_str!("../../../tests/format/kafka-vectors.json")).unwrap();
    let records = vectors["coordinator_records"]["records"].as_array().unwrap();
    let hex = records.iter().find(|record| record["name"] == name).unwrap()["hex"].as_str().unwrap();
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

fn encoded(commit: &OffsetCommit<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    commit.encode(&mut bytes).unwrap();
    bytes
}

#[test]
fn keys_are_kafkas() {
    let bytes = vector("offset_commit_key_v1");
    let key = Key::Offset { group: "orders-app", topic: "orders", partition: 3 };
    assert_eq!(Key::decode(&bytes), Ok(key));
    let mut ours = Vec::new();
    encode_offset_key("orders-app", "orders", 3, &mut ours).unwrap();
    assert_eq!(ours, bytes);

    let mut legacy = bytes;
    legacy[1] = 0;
    assert_eq!(Key::decode(&legacy), Ok(key));
    let bytes = vector("group_metadata_key_v2");
    assert_eq!(Key::decode(&bytes), Ok(Key::Group { group: "orders-app" }));
    ours.clear();
    encode_group_key("orders-app", &mut ours).unwrap();
    assert_eq!(ours, bytes);
}

#[test]
fn other_keys_are_passed_over() {
    assert_eq!(Key::decode(b"\x00\x03whatever"), Ok(Key::Other(3)));
    assert_eq!(Key::decode(b"\xff\xff"), Ok(Key::Other(-1)));
}

#[test]
fn values_of_every_version_are_read() {
    let epoch = OffsetCommit { leader_epoch: Some(7), ..COMMIT };
    let topic_id = Some(0x0001_0203_0405_0607_0809_0a0b_0c0d_0e0f);
    for (name, commit) in [
        ("offset_commit_value_v0", COMMIT),
        ("offset_commit_value_v1", OffsetCommit { expire_timestamp: Some(1_700_086_400_000), ..COMMIT }),
        ("offset_commit_value_v2", COMMIT),
        ("offset_commit_value_v3", epoch),
        ("offset_commit_value_v4", OffsetCommit { topic_id, ..epoch }),
    ] {
        assert_eq!(OffsetCommit::decode(&vector(name)), Ok(commit), "{name}");
    }
}

#[test]
fn values_are_written_as_kafka_does() {
    let epoch = OffsetCommit { leader_epoch: Some(7), ..COMMIT };
    assert_eq!(encoded(&epoch), vector("offset_commit_value_v3"));
    let expiring = OffsetCommit { expire_timestamp: Some(1_700_086_400_000), ..epoch };
    assert_eq!(encoded(&expiring), vector("offset_commit_value_v1"));
    let topic_id = Some(0x0001_0203_0405_0607_0809_0a0b_0c0d_0e0f);
    assert_eq!(encoded(&OffsetCommit { topic_id, ..epoch }), vector("offset_commit_value_v4"));
    assert_eq!(encoded(&OffsetCommit { topic_id, ..expiring }), vector("offset_commit_value_v1"), "the expiry counts");
    assert_eq!(OffsetCommit::decode(&encoded(&COMMIT)), Ok(COMMIT));
}

#[test]
fn unknown_tags_are_skipped() {
    let mut bytes = vector("offset_commit_value_v4");
    let tags = bytes.len() - 19;
    assert_eq!(bytes[tags..tags + 3], [1, 0, 16]);
    bytes.splice(tags..=tags, [2, 9, 2, 0xaa, 0xbb]);
    assert!(OffsetCommit::decode(&bytes).unwrap().topic_id.is_some());
}

#[test]
fn bytes_too_few_or_too_many_are_refused() {
    for name in ["offset_commit_value_v0", "offset_commit_value_v1", "offset_commit_value_v3", "offset_commit_value_v4"]
    {
        let mut bytes = vector(name);
        for cut in 0..bytes.len() {
            assert!(OffsetCommit::decode(&bytes[..cut]).is_err(), "{name} cut to {cut}");
        }
        bytes.push(0);
        assert!(OffsetCommit::decode(&bytes).is_err(), "{name} and one more");
    }
    let mut key = vector("offset_commit_key_v1");
    for cut in 0..key.len() {
        assert!(Key::decode(&key[..cut]).is_err(), "cut to {cut}");
    }
    key.push(0);
    assert!(Key::decode(&key).is_err());
}

#[test]
fn what_cannot_be_is_refused() {
    let good = encoded(&COMMIT);
    for (at, byte) in [(0, 0x80), (1, 5), (2, 0xff), (14, 0xff)] {
        let mut bytes = good.clone();
        bytes[at] = byte;
        assert!(OffsetCommit::decode(&bytes).is_err(), "byte {at}");
    }
    assert!(Key::decode(b"\x00\x02\x00\x01\xff").is_err(), "not UTF-8");
    assert!(Key::decode(b"\x00\x01\x00\x01g\x00\x01t\xff\xff\xff\xff").is_err(), "partition -1");
}

#[test]
fn text_that_is_too_long_is_refused_and_nothing_written() {
    let long = "x".repeat(32_768);
    let mut out = Vec::new();
    assert!(encode_offset_key(&long, "t", 0, &mut out).is_err());
    assert!(encode_group_key(&long, &mut out).is_err());
    let commit = OffsetCommit { metadata: &long, ..COMMIT };
    for commit in
        [commit, OffsetCommit { topic_id: Some(1), ..commit }, OffsetCommit { expire_timestamp: Some(1), ..commit }]
    {
        assert!(commit.encode(&mut out).is_err());
    }
    assert!(out.is_empty());
    encode_offset_key(&long[1..], "t", 0, &mut out).unwrap();
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(version in -1_i16..6, rest in proptest::collection::vec(any::<u8>(), 0..64)) {
        let bytes = [&version.to_be_bytes(), rest.as_slice()].concat();
        let _ = Key::decode(&bytes);
        let _ = OffsetCommit::decode(&bytes);
    }

    #[test]
    fn commits_go_there_and_back(
        offset in 0..=i64::MAX.cast_unsigned(),
        leader_epoch in proptest::option::of(0..=i32::MAX),
        metadata in ".{0,20}",
        commit_timestamp: i64,
        topic_id in proptest::option::of(any::<u128>()),
    ) {
        let commit = OffsetCommit { offset, leader_epoch, metadata: &metadata, commit_timestamp, topic_id, ..COMMIT };
        let bytes = encoded(&commit);
        prop_assert_eq!(OffsetCommit::decode(&bytes), Ok(commit));
    }
}
