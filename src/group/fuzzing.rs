//! The records of `__consumer_offsets` made of any bytes.
#![allow(clippy::unwrap_used, clippy::missing_panics_doc, reason = "a panic is how the fuzzer hears of a broken rule")]

use super::group_records::{GroupMetadata, Subscription, decode_assignment, encode_assignment};
use super::offset_records::{Key, OffsetCommit, encode_group_key, encode_offset_key};

/// Reads bytes as each of the records, and writes again what could be read.
pub fn group_records(bytes: &[u8]) {
    let mut out = Vec::new();
    if let Ok(key) = Key::decode(bytes) {
        match key {
            Key::Offset { group, topic, partition } => encode_offset_key(group, topic, partition, &mut out).unwrap(),
            Key::Group { group } => encode_group_key(group, &mut out).unwrap(),
            Key::Other(kind) => out.extend_from_slice(&kind.to_be_bytes()),
        }
        assert_eq!(Key::decode(&out), Ok(key));
    }
    if let Ok(commit) = OffsetCommit::decode(bytes) {
        out.clear();
        // A text that only the flexible version can hold is not written.
        if commit.encode(&mut out).is_ok() {
            let again = OffsetCommit::decode(&out).unwrap();
            let leader_epoch = again.leader_epoch;
            let topic_id = if commit.expire_timestamp.is_some() { None } else { commit.topic_id };
            assert!(leader_epoch == commit.leader_epoch || commit.expire_timestamp.is_some());
            assert_eq!(again, OffsetCommit { leader_epoch, topic_id, ..commit });
        }
    }
    if let Ok(group) = GroupMetadata::decode(bytes) {
        out.clear();
        if group.encode(&mut out).is_ok() {
            let again = GroupMetadata::decode(&out).unwrap();
            let state_timestamp = again.state_timestamp;
            assert!(state_timestamp == group.state_timestamp || group.state_timestamp.is_none());
            assert_eq!(again, GroupMetadata { state_timestamp, ..group });
        }
    }
    protocol(bytes, &mut out);
}

fn protocol(bytes: &[u8], out: &mut Vec<u8>) {
    if let Ok(subscription) = Subscription::decode(bytes) {
        out.clear();
        if subscription.encode(out).is_ok() {
            let mut again = Subscription::decode(out).unwrap();
            // Written grouped by topic.
            let mut owned = subscription.owned.clone();
            for partitions in [&mut owned, &mut again.owned] {
                partitions.sort_unstable();
            }
            assert_eq!(again, Subscription { owned, ..subscription });
        }
    }
    if let Ok(mut assigned) = decode_assignment(bytes) {
        out.clear();
        if encode_assignment(&assigned, out).is_ok() {
            let mut again = decode_assignment(out).unwrap();
            again.sort_unstable();
            assigned.sort_unstable();
            assert_eq!(again, assigned);
        }
    }
}
