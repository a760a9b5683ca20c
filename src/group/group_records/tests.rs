use proptest::prelude::*;

use super::*;

fn vector(name: &str) -> Vec<u8> {
    let vectors: serde_json::Value =
        serde_json::from_str(include_str!("../../../tests/format/kafka-vectors.json")).unwrap();
    let records = vectors["coordinator_records"]["records"].as_array().unwrap();
    let hex = records.iter().find(|record| record["name"] == name).unwrap()["hex"].as_str().unwrap();
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

const EMPTY: GroupMetadata<'_> = GroupMetadata {
    protocol_type: "consumer",
    generation: 5,
    protocol: None,
    leader: None,
    state_timestamp: Some(1_700_000_000_001),
    members: Vec::new(),
};

const MEMBER: MemberMetadata<'_> = MemberMetadata {
    member_id: "m-1",
    group_instance_id: None,
    client_id: "c",
    client_host: "/127.0.0.1",
    rebalance_timeout_ms: 300_000,
    session_timeout_ms: 45_000,
    subscription: b"",
    assignment: b"",
};

fn group(members: Vec<MemberMetadata<'_>>) -> GroupMetadata<'_> {
    GroupMetadata {
        generation: 4,
        protocol: Some("range"),
        leader: Some("m-1"),
        state_timestamp: Some(1_700_000_000_000),
        members,
        ..EMPTY
    }
}

fn orders() -> Subscription<'static> {
    Subscription { topics: vec!["orders"], user_data: None, owned: Vec::new(), generation: None, rack: None }
}

fn encoded(metadata: &GroupMetadata<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    metadata.encode(&mut bytes).unwrap();
    bytes
}

fn encoded_subscription(subscription: &Subscription<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    subscription.encode(&mut bytes).unwrap();
    bytes
}

fn encoded_assignment(assigned: &[TopicPartition]) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode_assignment(assigned, &mut bytes).unwrap();
    bytes
}

#[test]
fn values_are_kafkas() {
    let (subscription, assignment) =
        (vector("consumer_protocol_subscription_v3"), vector("consumer_protocol_assignment_v3"));
    let member = MemberMetadata { subscription: &subscription, assignment: &assignment, ..MEMBER };
    for (name, metadata) in [("group_metadata_value_v3", group(vec![member])), ("group_metadata_value_v3_empty", EMPTY)]
    {
        let bytes = vector(name);
        assert_eq!(GroupMetadata::decode(&bytes), Ok(metadata.clone()), "{name}");
        assert_eq!(encoded(&metadata), bytes, "{name}");
    }
}

#[test]
fn subscriptions_and_assignments_are_kafkas() {
    let bytes = vector("consumer_protocol_subscription_v3");
    assert_eq!(Subscription::decode(&bytes), Ok(orders()));
    assert_eq!(encoded_subscription(&orders()), bytes);

    let bytes = vector("consumer_protocol_assignment_v3");
    let assigned = [0, 1].map(|partition| TopicPartition::new("orders", partition));
    assert_eq!(decode_assignment(&bytes), Ok(assigned.to_vec()));
    assert_eq!(encoded_assignment(&assigned), bytes);
}

/// A member as every plain version has it, with what the newer ones add.
fn plain_value(version: i16) -> Vec<u8> {
    let mut bytes = version.to_be_bytes().to_vec();
    bytes.extend_from_slice(b"\x00\x08consumer\x00\x00\x00\x04\x00\x05range\x00\x03m-1");
    if version >= 2 {
        bytes.extend_from_slice(&1_700_000_000_000_i64.to_be_bytes());
    }
    bytes.extend_from_slice(b"\x00\x00\x00\x01\x00\x03m-1");
    if version >= 3 {
        bytes.extend_from_slice(b"\x00\x01i");
    }
    bytes.extend_from_slice(b"\x00\x01c\x00\x0a/127.0.0.1");
    if version >= 1 {
        bytes.extend_from_slice(&300_000_i32.to_be_bytes());
    }
    bytes.extend_from_slice(&45_000_i32.to_be_bytes());
    bytes.extend_from_slice(b"\x00\x00\x00\x02su\x00\x00\x00\x01a");
    bytes
}

/// The same in version 4, with a tag that nobody knows behind the member and another at the end.
fn flexible_value() -> Vec<u8> {
    let mut bytes = b"\x00\x04\x09consumer\x00\x00\x00\x04\x06range\x04m-1".to_vec();
    bytes.extend_from_slice(&1_700_000_000_000_i64.to_be_bytes());
    bytes.extend_from_slice(b"\x02\x04m-1\x02i\x02c\x0b/127.0.0.1");
    bytes.extend_from_slice(&300_000_i32.to_be_bytes());
    bytes.extend_from_slice(&45_000_i32.to_be_bytes());
    bytes.extend_from_slice(b"\x03su\x02a\x01\x07\x02??\x01\x09\x00");
    bytes
}

#[test]
fn values_of_every_version_are_read() {
    let newest = MemberMetadata { group_instance_id: Some("i"), subscription: b"su", assignment: b"a", ..MEMBER };
    let plain = MemberMetadata { group_instance_id: None, ..newest };
    let oldest = MemberMetadata { rebalance_timeout_ms: 45_000, ..plain };
    for (version, bytes, member) in [
        (0, plain_value(0), oldest),
        (1, plain_value(1), plain),
        (2, plain_value(2), plain),
        (3, plain_value(3), newest),
        (4, flexible_value(), newest),
    ] {
        let mut expected = group(vec![member]);
        expected.state_timestamp = expected.state_timestamp.filter(|_| version >= 2);
        assert_eq!(GroupMetadata::decode(&bytes), Ok(expected), "version {version}");
    }
}

#[test]
fn an_empty_group_of_version_4_is_read() {
    let mut bytes = b"\x00\x04\x09consumer\x00\x00\x00\x05\x00\x00".to_vec();
    bytes.extend_from_slice(&1_700_000_000_001_i64.to_be_bytes());
    bytes.extend_from_slice(b"\x01\x00");
    assert_eq!(GroupMetadata::decode(&bytes), Ok(EMPTY));
}

#[test]
fn subscriptions_of_every_version_are_read() {
    let owned = vec![TopicPartition::new("orders", 7)];
    let start = b"\x00\x00\x00\x01\x00\x06orders\x00\x00\x00\x02ud".as_slice();
    let with_owned = [start, b"\x00\x00\x00\x01\x00\x06orders\x00\x00\x00\x01\x00\x00\x00\x07"].concat();
    let with_generation = [&with_owned, b"\x00\x00\x00\x09".as_slice()].concat();
    let with_rack = [&with_generation, b"\x00\x01r".as_slice()].concat();
    let v0 = Subscription { user_data: Some(b"ud"), ..orders() };
    let v1 = Subscription { owned, ..v0.clone() };
    let v2 = Subscription { generation: Some(9), ..v1.clone() };
    let v3 = Subscription { rack: Some("r"), ..v2.clone() };
    let newer = [&with_rack, b"whatever".as_slice()].concat();
    for (version, rest, expected) in [
        (0_i16, start, v0),
        (1, &with_owned, v1),
        (2, &with_generation, v2),
        (3, &with_rack, v3.clone()),
        (4, &newer, v3.clone()),
        (i16::MAX, &newer, v3),
    ] {
        let bytes = [&version.to_be_bytes(), rest].concat();
        assert_eq!(Subscription::decode(&bytes), Ok(expected), "version {version}");
    }
}

#[test]
fn assignments_of_every_version_are_read() {
    let mut bytes = vector("consumer_protocol_assignment_v3");
    let assigned = decode_assignment(&bytes);
    for version in 0..3 {
        bytes[1] = version;
        assert_eq!(decode_assignment(&bytes), assigned, "version {version}");
    }
    bytes[1] = 4;
    bytes.extend_from_slice(b"whatever");
    assert_eq!(decode_assignment(&bytes), assigned);
}

#[test]
fn partitions_are_grouped_by_topic() {
    let assigned =
        [("u", 1), ("t", 2), ("u", 0), ("t", 3)].map(|(topic, partition)| TopicPartition::new(topic, partition));
    let grouped =
        [("t", 2), ("t", 3), ("u", 1), ("u", 0)].map(|(topic, partition)| TopicPartition::new(topic, partition));
    assert_eq!(decode_assignment(&encoded_assignment(&assigned)), Ok(grouped.to_vec()));
}

type IsRead = dyn Fn(&[u8]) -> bool;

#[test]
fn bytes_too_few_or_too_many_are_refused() {
    let value = |bytes: &[u8]| GroupMetadata::decode(bytes).is_ok();
    let subscription = |bytes: &[u8]| Subscription::decode(bytes).is_ok();
    let assignment = |bytes: &[u8]| decode_assignment(bytes).is_ok();
    let cases: [(_, &IsRead); 7] = [
        (plain_value(0), &value),
        (plain_value(1), &value),
        (plain_value(2), &value),
        (plain_value(3), &value),
        (flexible_value(), &value),
        (encoded_subscription(&orders()), &subscription),
        (vector("consumer_protocol_assignment_v3"), &assignment),
    ];
    for (name, (mut bytes, is_read)) in cases.into_iter().enumerate() {
        assert!(is_read(&bytes), "{name}");
        for cut in 0..bytes.len() {
            assert!(!is_read(&bytes[..cut]), "{name} cut to {cut}");
        }
        bytes.push(0);
        assert!(!is_read(&bytes), "{name} and one more");
    }
}

#[test]
fn what_cannot_be_is_refused() {
    for version in [-1_i16, 5, i16::MAX] {
        let bytes = [&version.to_be_bytes(), &plain_value(3)[2..]].concat();
        assert!(GroupMetadata::decode(&bytes).is_err(), "version {version}");
    }
    let negative = -1_i16;
    assert!(Subscription::decode(&[&negative.to_be_bytes(), &encoded_subscription(&orders())[2..]].concat()).is_err());
    // No member list, a negative count, and counts that the bytes cannot bear.
    for count in [-1_i32, -2, i32::MIN, 1, i32::MAX] {
        let mut bytes = encoded(&EMPTY);
        let at = bytes.len() - 4;
        bytes[at..].copy_from_slice(&count.to_be_bytes());
        assert!(GroupMetadata::decode(&bytes).is_err(), "{count} members");
        let bytes = [b"\x00\x03".as_slice(), &count.to_be_bytes()].concat();
        assert!(Subscription::decode(&bytes).is_err(), "{count} topics");
        assert!(decode_assignment(&bytes).is_err(), "{count} topics");
    }
    let partition = b"\x00\x03\x00\x00\x00\x01\x00\x01t\x00\x00\x00\x01\xff\xff\xff\xff\xff\xff\xff\xff";
    assert!(decode_assignment(partition).is_err(), "partition -1");
}

#[test]
fn text_that_is_too_long_is_refused_and_nothing_written() {
    let long = "x".repeat(32_768);
    let mut out = b"before".to_vec();
    assert!(group(vec![MemberMetadata { client_id: &long, ..MEMBER }]).encode(&mut out).is_err());
    assert!(Subscription { rack: Some(&long), ..orders() }.encode(&mut out).is_err());
    assert!(encode_assignment(&[TopicPartition::new("t", 0), TopicPartition::new(long, 0)], &mut out).is_err());
    assert_eq!(out, b"before");
}

fn partition_list() -> impl Strategy<Value = Vec<TopicPartition>> {
    let numbers = prop::collection::btree_set((0..3_usize, 0..=i32::MAX.cast_unsigned()), 0..12);
    numbers.prop_map(|numbers| {
        numbers.into_iter().map(|(topic, number)| TopicPartition::new(["t", "u", "v"][topic], number)).collect()
    })
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(version in -1_i16..6, rest in prop::collection::vec(any::<u8>(), 0..96)) {
        let bytes = [&version.to_be_bytes(), rest.as_slice()].concat();
        let _ = GroupMetadata::decode(&bytes);
        let _ = Subscription::decode(&bytes);
        let _ = decode_assignment(&bytes);
    }

    #[test]
    fn changed_values_are_read_or_refused(version in 0..5_i16, at: prop::sample::Index, byte: u8) {
        let mut bytes = if version == 4 { flexible_value() } else { plain_value(version) };
        let at = at.index(bytes.len());
        bytes[at] = byte;
        let _ = GroupMetadata::decode(&bytes);
    }

    #[test]
    fn groups_go_there_and_back(
        texts in prop::array::uniform6(".{0,12}"),
        numbers: [i32; 3],
        state_timestamp in prop::option::of(0..=i64::MAX),
        blobs in prop::array::uniform2(prop::collection::vec(any::<u8>(), 0..20)),
        is_static: bool,
        member_count in 0..4_usize,
    ) {
        let member = MemberMetadata {
            member_id: &texts[0],
            group_instance_id: is_static.then_some(texts[1].as_str()),
            client_id: &texts[2],
            client_host: &texts[3],
            rebalance_timeout_ms: numbers[0],
            session_timeout_ms: numbers[1],
            subscription: &blobs[0],
            assignment: &blobs[1],
        };
        let metadata = GroupMetadata {
            protocol_type: &texts[4],
            generation: numbers[2],
            protocol: is_static.then_some(texts[5].as_str()),
            leader: (member_count > 0).then_some(texts[0].as_str()),
            state_timestamp,
            members: vec![member; member_count],
        };
        let bytes = encoded(&metadata);
        prop_assert_eq!(GroupMetadata::decode(&bytes), Ok(metadata));
    }

    #[test]
    fn subscriptions_go_there_and_back(
        topics in prop::collection::vec("[a-z]{1,9}", 0..5),
        user_data in prop::option::of(prop::collection::vec(any::<u8>(), 0..9)),
        owned in partition_list(),
        generation in prop::option::of(0..=i32::MAX),
        rack in prop::option::of(".{0,9}"),
    ) {
        let topics = topics.iter().map(String::as_str).collect();
        let subscription = Subscription { topics, user_data: user_data.as_deref(), owned, generation, rack: rack.as_deref() };
        let bytes = encoded_subscription(&subscription);
        prop_assert_eq!(Subscription::decode(&bytes), Ok(subscription.clone()));
        prop_assert_eq!(decode_assignment(&encoded_assignment(&subscription.owned)), Ok(subscription.owned));
    }
}
