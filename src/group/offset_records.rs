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
//! Integers are big-endian; strings and tags are as in `schema`. A null value, which is not seen here, removes its key. The
//! bytes may be anything; whatever they are, decoding returns.

use crate::coordinator::schema::{
    Fields, all_or_nothing, put_compact_string, put_string, put_tag, put_unsigned_varint,
};
use crate::error::Result;
use crate::format::{Invalid, Reader};

/// The types of keys.
const OFFSET_KEY_LEGACY: i16 = 0;
const OFFSET_KEY: i16 = 1;
const GROUP_KEY: i16 = 2;

/// The versions of values that are written; what they are for stands at [`OffsetCommit::encode`].
const VALUE_WITH_EXPIRY: i16 = 1;
const VALUE: i16 = 3;
/// The newest version.
const VALUE_FLEXIBLE: i16 = 4;

const TOPIC_ID_TAG: u32 = 0;
const TOPIC_ID_BYTES: usize = 16;

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
        let mut fields = Fields::new(Reader::new(bytes), false);
        let key = match fields.i16()? {
            OFFSET_KEY_LEGACY | OFFSET_KEY => {
                Key::Offset { group: fields.string()?, topic: fields.string()?, partition: fields.partition()? }
            }
            GROUP_KEY => Key::Group { group: fields.string()? },
            other => return Ok(Key::Other(other)),
        };
        fields.end()?;
        Ok(key)
    }
}

/// Appends the key of a group's position in one partition to `out`. `partition` is at most `i32::MAX`.
///
/// # Errors
/// [`Error::InvalidConfig`](crate::Error::InvalidConfig) for a group's name of 32 KiB or more; `out` is then unchanged.
pub(crate) fn encode_offset_key(group: &str, topic: &str, partition: u32, out: &mut Vec<u8>) -> Result<()> {
    all_or_nothing(out, |out| {
        out.extend_from_slice(&OFFSET_KEY.to_be_bytes());
        put_string(out, "group.id", group)?;
        put_string(out, "topic", topic)?;
        out.extend_from_slice(&partition.to_be_bytes());
        Ok(())
    })
}

/// Appends the key of a group's members to `out`.
///
/// # Errors
/// [`Error::InvalidConfig`](crate::Error::InvalidConfig) for a group's name of 32 KiB or more; `out` is then unchanged.
pub(crate) fn encode_group_key(group: &str, out: &mut Vec<u8>) -> Result<()> {
    all_or_nothing(out, |out| {
        out.extend_from_slice(&GROUP_KEY.to_be_bytes());
        put_string(out, "group.id", group)
    })
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
        let mut fields = Fields::new(reader, version >= VALUE_FLEXIBLE);
        let offset = u64::try_from(fields.i64()?).map_err(|_| NEGATIVE)?;
        let leader_epoch = if version >= VALUE { Some(fields.i32()?) } else { None };
        let metadata = fields.string()?;
        let commit_timestamp = fields.i64()?;
        let expire_timestamp = if version == VALUE_WITH_EXPIRY { Some(fields.i64()?) } else { None };
        let mut topic_id = None;
        fields.tags(|tag, data| {
            if tag == TOPIC_ID_TAG {
                let id = <[u8; TOPIC_ID_BYTES]>::try_from(data);
                let id = id.map_err(|_| Invalid::Malformed("a topic id that is not 16 bytes"))?;
                topic_id = Some(u128::from_be_bytes(id));
            }
            Ok(())
        })?;
        fields.end()?;
        Ok(OffsetCommit {
            offset,
            leader_epoch: leader_epoch.filter(|epoch| *epoch >= 0),
            metadata,
            commit_timestamp,
            expire_timestamp: expire_timestamp.filter(|timestamp| *timestamp >= 0),
            topic_id,
        })
    }

    /// Appends the value to `out`: in version 1 if it expires, and without its leader epoch and the topic's id then; else in
    /// version 4 if there is an id, as Kafka does from 4.1 on; else in version 3, which every Kafka since 2.1 reads.
    ///
    /// # Errors
    /// [`Error::InvalidConfig`](crate::Error::InvalidConfig) for metadata of 32 KiB or more; `out` is then unchanged.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) -> Result<()> {
        all_or_nothing(out, |out| match (self.expire_timestamp, self.topic_id) {
            (Some(expire_timestamp), _) => self.encode_with_expiry(expire_timestamp, out),
            (None, Some(topic_id)) => self.encode_with_topic_id(topic_id, out),
            (None, None) => self.encode_plain(out),
        })
    }

    fn encode_with_expiry(&self, expire_timestamp: i64, out: &mut Vec<u8>) -> Result<()> {
        out.extend_from_slice(&VALUE_WITH_EXPIRY.to_be_bytes());
        out.extend_from_slice(&self.offset.to_be_bytes());
        put_string(out, METADATA, self.metadata)?;
        out.extend_from_slice(&self.commit_timestamp.to_be_bytes());
        out.extend_from_slice(&expire_timestamp.to_be_bytes());
        Ok(())
    }

    fn encode_plain(&self, out: &mut Vec<u8>) -> Result<()> {
        out.extend_from_slice(&VALUE.to_be_bytes());
        out.extend_from_slice(&self.offset.to_be_bytes());
        out.extend_from_slice(&self.leader_epoch.unwrap_or(-1).to_be_bytes());
        put_string(out, METADATA, self.metadata)?;
        out.extend_from_slice(&self.commit_timestamp.to_be_bytes());
        Ok(())
    }

    fn encode_with_topic_id(&self, topic_id: u128, out: &mut Vec<u8>) -> Result<()> {
        out.extend_from_slice(&VALUE_FLEXIBLE.to_be_bytes());
        out.extend_from_slice(&self.offset.to_be_bytes());
        out.extend_from_slice(&self.leader_epoch.unwrap_or(-1).to_be_bytes());
        put_compact_string(out, METADATA, self.metadata)?;
        out.extend_from_slice(&self.commit_timestamp.to_be_bytes());
        // There is one tag.
        put_unsigned_varint(out, 1);
        put_tag(out, "topic.id", TOPIC_ID_TAG, &topic_id.to_be_bytes())
    }
}

/// What bounds the metadata of a commit, by Kafka's name.
const METADATA: &str = "offset.metadata.max.bytes";

const NEGATIVE: Invalid = Invalid::Malformed("an offset below zero");

#[cfg(test)]
mod tests;
