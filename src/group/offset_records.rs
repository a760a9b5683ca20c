//! The records of `__consumer_offsets`, with Kafka's schemas, so that Kafka's tools read what is written here.
//!
//! ```text
//! key       i16 type, then    0, 1 offset: string group, string topic, i32 partition
//!                             2    group:  string group
//!                             else of another use of the topic: skipped
//! value     i16 version, then 0, 2 i64 offset, string metadata, i64 commit timestamp
//! of an                       1    i64 offset, string metadata, i64 commit timestamp, i64 expire timestamp
//! offset                      3    i64 offset, i32 leader epoch, string metadata, i64 commit timestamp
//!                             4    as 3, with compact strings and a tag section: tag 0 = topic id, 16 bytes
//! ```
//! Integers are big-endian, a string is an i16 length and UTF-8. A null value, which is not seen here, removes its key. The
//! bytes may be anything; whatever they are, decoding returns.

use crate::config_key::invalid;
use crate::error::Result;
use crate::format::{Invalid, Reader};

/// The types of keys.
const OFFSET_KEY_LEGACY: i16 = 0;
const OFFSET_KEY: i16 = 1;
const GROUP_KEY: i16 = 2;

/// The versions of values that are written.
const VALUE_WITH_EXPIRY: i16 = 1;
const VALUE: i16 = 3;
/// The newest version that is understood.
const VALUE_FLEXIBLE: i16 = 4;

const TOPIC_ID_TAG: u32 = 0;

/// What a record of the topic is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Key<'a> {
    /// A group's position in one partition; the value is an [`OffsetCommit`].
    Offset {
        /// The group.
        group: &'a str,
        /// The topic that it reads.
        topic: &'a str,
        /// The partition that it reads.
        partition: u32,
    },
    /// A group's members.
    Group {
        /// The group.
        group: &'a str,
    },
    /// Something of a kind that Ottla does not use; to be skipped.
    Other(i16),
}

/// A group's position in one partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct OffsetCommit<'a> {
    /// The offset of the next record to read; at most `i64::MAX`.
    pub(crate) offset: u64,
    /// The leader epoch of the last record read; `None` if unknown.
    pub(crate) leader_epoch: Option<i32>,
    /// Whatever the application wanted to keep with it.
    pub(crate) metadata: &'a str,
    /// When it was committed, in milliseconds since 1970 UTC.
    pub(crate) commit_timestamp: i64,
    /// When it is to be forgotten; `None` to follow the broker's rule.
    pub(crate) expire_timestamp: Option<i64>,
    /// The topic's id, if it was written down.
    pub(crate) topic_id: Option<u128>,
}

impl<'a> Key<'a> {
    /// Reads a record's key.
    ///
    /// # Errors
    /// [`Invalid::Malformed`] for a key that is not of the form that its type has.
    pub(crate) fn decode(bytes: &'a [u8]) -> Result<Key<'a>, Invalid> {
        let mut reader = Reader::new(bytes);
        let key = match reader.i16()? {
            OFFSET_KEY_LEGACY | OFFSET_KEY => Key::Offset {
                group: string(&mut reader)?,
                topic: string(&mut reader)?,
                partition: u32::try_from(reader.i32()?).map_err(|_| NEGATIVE)?,
            },
            GROUP_KEY => Key::Group { group: string(&mut reader)? },
            other => return Ok(Key::Other(other)),
        };
        end(&reader)?;
        Ok(key)
    }
}

/// Appends the key of a group's position in one partition to `out`. `partition` is at most `i32::MAX`.
///
/// # Errors
/// [`Error::InvalidConfig`](crate::Error::InvalidConfig) for a group's name of 32 KiB or more; `out` is then unchanged.
pub(crate) fn encode_offset_key(
    group: &str,
    topic: &str,
    partition: u32,
    out: &mut Vec<u8>,
) -> Result<()> {
    let group_bytes = string_bytes("group.id", group)?;
    let topic_bytes = string_bytes("topic", topic)?;
    out.extend_from_slice(&OFFSET_KEY.to_be_bytes());
    out.extend_from_slice(&group_bytes);
    out.extend_from_slice(group.as_bytes());
    out.extend_from_slice(&topic_bytes);
    out.extend_from_slice(topic.as_bytes());
    out.extend_from_slice(&partition.to_be_bytes());
    Ok(())
}

impl<'a> OffsetCommit<'a> {
    /// Reads a record's value, in any version that Kafka has written.
    ///
    /// # Errors
    /// [`Invalid::Malformed`] for a version above 4, and for a value that is not of the form that its version has.
    pub(crate) fn decode(bytes: &'a [u8]) -> Result<OffsetCommit<'a>, Invalid> {
        let mut reader = Reader::new(bytes);
        let version = reader.i16()?;
        if !(0..=VALUE_FLEXIBLE).contains(&version) {
            return Err(Invalid::Malformed("an offset commit of an unknown version"));
        }
        let offset = u64::try_from(reader.i64()?).map_err(|_| NEGATIVE)?;
        let leader_epoch = if version >= VALUE { Some(reader.i32()?) } else { None };
        let metadata = if version >= VALUE_FLEXIBLE {
            compact_string(&mut reader)?
        } else {
            string(&mut reader)?
        };
        let commit_timestamp = reader.i64()?;
        let expire_timestamp =
            if version == VALUE_WITH_EXPIRY { Some(reader.i64()?) } else { None };
        let topic_id = if version >= VALUE_FLEXIBLE { topic_id(&mut reader)? } else { None };
        end(&reader)?;
        Ok(OffsetCommit {
            offset,
            leader_epoch: leader_epoch.filter(|epoch| *epoch >= 0),
            metadata,
            commit_timestamp,
            expire_timestamp: expire_timestamp.filter(|timestamp| *timestamp >= 0),
            topic_id,
        })
    }

    /// Appends the value to `out`: in version 1 if it expires, else in version 3, which every Kafka since 2.1 reads. The
    /// first has no leader epoch, and neither has the topic's id.
    ///
    /// # Errors
    /// [`Error::InvalidConfig`](crate::Error::InvalidConfig) for metadata of 32 KiB or more; `out` is then unchanged.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) -> Result<()> {
        let metadata_bytes = string_bytes("offset.metadata.max.bytes", self.metadata)?;
        let version = if self.expire_timestamp.is_some() { VALUE_WITH_EXPIRY } else { VALUE };
        out.extend_from_slice(&version.to_be_bytes());
        out.extend_from_slice(&self.offset.to_be_bytes());
        if version == VALUE {
            out.extend_from_slice(&self.leader_epoch.unwrap_or(-1).to_be_bytes());
        }
        out.extend_from_slice(&metadata_bytes);
        out.extend_from_slice(self.metadata.as_bytes());
        out.extend_from_slice(&self.commit_timestamp.to_be_bytes());
        if let Some(timestamp) = self.expire_timestamp {
            out.extend_from_slice(&timestamp.to_be_bytes());
        }
        Ok(())
    }
}

const NEGATIVE: Invalid = Invalid::Malformed("an offset or partition below zero");
const NULL: Invalid = Invalid::Malformed("null in place of a text");

/// The length of a string as it is written before it. `key` names what is too long.
fn string_bytes(key: &'static str, text: &str) -> Result<[u8; 2]> {
    let length = i16::try_from(text.len());
    let length = length.map_err(|_| {
        invalid(key, format!("{} bytes", text.len()), "must be at most 32767 bytes")
    })?;
    Ok(length.to_be_bytes())
}

fn string<'a>(reader: &mut Reader<'a>) -> Result<&'a str, Invalid> {
    let length = usize::try_from(reader.i16()?).map_err(|_| NULL)?;
    text(reader.take(length)?)
}

fn compact_string<'a>(reader: &mut Reader<'a>) -> Result<&'a str, Invalid> {
    let length = reader.unsigned_varint()?.checked_sub(1).ok_or(NULL)?;
    // Where a usize is too small for the length, the bytes are too few as well.
    text(reader.take(usize::try_from(length).unwrap_or(usize::MAX))?)
}

fn text(bytes: &[u8]) -> Result<&str, Invalid> {
    std::str::from_utf8(bytes).map_err(|_| Invalid::Malformed("a text that is not UTF-8"))
}

/// Reads a tag section for the topic's id. Every tag takes bytes, so a forged count ends at the end of the bytes.
fn topic_id(reader: &mut Reader<'_>) -> Result<Option<u128>, Invalid> {
    let mut topic_id = None;
    for _ in 0..reader.unsigned_varint()? {
        let tag = reader.unsigned_varint()?;
        let size = usize::try_from(reader.unsigned_varint()?).unwrap_or(usize::MAX);
        let data = reader.take(size)?;
        if tag == TOPIC_ID_TAG {
            let id = <[u8; 16]>::try_from(data)
                .map_err(|_| Invalid::Malformed("a topic id that is not 16 bytes"))?;
            topic_id = Some(u128::from_be_bytes(id));
        }
    }
    Ok(topic_id)
}

fn end(reader: &Reader<'_>) -> Result<(), Invalid> {
    if reader.is_empty() { Ok(()) } else { Err(Invalid::Malformed("bytes behind the last field")) }
}

#[cfg(test)]
mod tests {
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
            serde_json::from_str(include_str!("../../tests/format/kafka-vectors.json")).unwrap();
        let records = vectors["coordinator_records"]["records"].as_array().unwrap();
        let hex =
            records.iter().find(|record| record["name"] == name).unwrap()["hex"].as_str().unwrap();
        (0..hex.len())
            .step_by(2)
            .map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap())
            .collect()
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
        assert_eq!(
            Key::decode(&vector("group_metadata_key_v2")),
            Ok(Key::Group { group: "orders-app" })
        );
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
            (
                "offset_commit_value_v1",
                OffsetCommit { expire_timestamp: Some(1_700_086_400_000), ..COMMIT },
            ),
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
        for name in [
            "offset_commit_value_v0",
            "offset_commit_value_v1",
            "offset_commit_value_v3",
            "offset_commit_value_v4",
        ] {
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
        assert!(
            Key::decode(b"\x00\x01\x00\x01g\x00\x01t\xff\xff\xff\xff").is_err(),
            "partition -1"
        );
    }

    #[test]
    fn text_that_is_too_long_is_refused_and_nothing_written() {
        let long = "x".repeat(32_768);
        let mut out = Vec::new();
        assert!(encode_offset_key(&long, "t", 0, &mut out).is_err());
        assert!(OffsetCommit { metadata: &long, ..COMMIT }.encode(&mut out).is_err());
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
        ) {
            let commit = OffsetCommit { offset, leader_epoch, metadata: &metadata, commit_timestamp, ..COMMIT };
            let bytes = encoded(&commit);
            prop_assert_eq!(OffsetCommit::decode(&bytes), Ok(commit));
        }
    }
}
