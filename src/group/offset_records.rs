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
pub(crate) fn encode_offset_key(group: &str, topic: &str, partition: u32, out: &mut Vec<u8>) -> Result<()> {
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
        let metadata = if version >= VALUE_FLEXIBLE { compact_string(&mut reader)? } else { string(&mut reader)? };
        let commit_timestamp = reader.i64()?;
        let expire_timestamp = if version == VALUE_WITH_EXPIRY { Some(reader.i64()?) } else { None };
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
    let length = length.map_err(|_| invalid(key, format!("{} bytes", text.len()), "must be at most 32767 bytes"))?;
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
            let id = <[u8; 16]>::try_from(data).map_err(|_| Invalid::Malformed("a topic id that is not 16 bytes"))?;
            topic_id = Some(u128::from_be_bytes(id));
        }
    }
    Ok(topic_id)
}

fn end(reader: &Reader<'_>) -> Result<(), Invalid> {
    if reader.is_empty() { Ok(()) } else { Err(Invalid::Malformed("bytes behind the last field")) }
}

#[cfg(test)]
mod tests;
