//! The values of `__consumer_offsets` that say who is in a group, with Kafka's schemas.
//!
//! ```text
//! value         i16 version, string protocol type, i32 generation, string? protocol, string? leader,
//!               [2+] i64 state timestamp, array of members
//! member        string member id, [3+] string? group instance id, string client id, string client host,
//!               [1+] i32 rebalance timeout, i32 session timeout, bytes subscription, bytes assignment
//! subscription  i16 version, array of topics (string), bytes? user data, [1+] array of owned (string topic, array of i32),
//!               [2+] i32 generation, [3+] string? rack
//! assignment    i16 version, array of (string topic, array of i32), bytes? user data
//! ```
//! A value of version 4 is flexible; the others, subscriptions and assignments never are. Strings, bytes and arrays are as in
//! `schema`, times are in milliseconds. An empty group has neither protocol nor leader nor members, but keeps its generation.
//! The bytes may be anything; whatever they are, decoding returns.

use crate::coordinator::schema::{
    Fields, all_or_nothing, by_topic, put_count, put_nullable_bytes, put_nullable_string, put_string,
};
use crate::error::Result;
use crate::format::{Invalid, Reader};
use crate::topic_partition::TopicPartition;

/// The version of values that is written: every Kafka since 2.3 reads it.
const VALUE: i16 = 3;
/// The newest version of values.
const VALUE_FLEXIBLE: i16 = 4;
/// The version from which on a member's rebalance timeout is stated.
const WITH_REBALANCE_TIMEOUT: i16 = 1;
/// The version from which on the time is stated.
const WITH_STATE_TIMESTAMP: i16 = 2;
/// The version from which on a member's group instance id is stated.
const WITH_INSTANCE_ID: i16 = 3;

/// The newest version of subscriptions and assignments, and the one that is written. A newer one begins in the same way.
const PROTOCOL: i16 = 3;
const WITH_OWNED: i16 = 1;
const WITH_GENERATION: i16 = 2;
const WITH_RACK: i16 = 3;

/// What a group's record says about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct GroupMetadata<'a> {
    /// `consumer` for groups of consumers.
    pub(crate) protocol_type: &'a str,
    /// The number of rounds so far.
    pub(crate) generation: i32,
    /// The name of the assignor.
    pub(crate) protocol: Option<&'a str>,
    /// The id of the member that ran it.
    pub(crate) leader: Option<&'a str>,
    /// When the group got into this state, in milliseconds since 1970 UTC.
    pub(crate) state_timestamp: Option<i64>,
    /// The members of this generation.
    pub(crate) members: Vec<MemberMetadata<'a>>,
}

/// What a group's record says about a member.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct MemberMetadata<'a> {
    /// The name that it got when it joined.
    pub(crate) member_id: &'a str,
    /// The name that it has given itself, if it is a static member.
    pub(crate) group_instance_id: Option<&'a str>,
    /// What the application calls itself.
    pub(crate) client_id: &'a str,
    /// Where it runs.
    pub(crate) client_host: &'a str,
    /// How long a round waits for it. Where the record does not say so, as long as the session may be silent.
    pub(crate) rebalance_timeout_ms: i32,
    /// How long it may be silent.
    pub(crate) session_timeout_ms: i32,
    /// A [`Subscription`], or whatever the group's protocol has.
    pub(crate) subscription: &'a [u8],
    /// What [`decode_assignment`] reads, or whatever the group's protocol has.
    pub(crate) assignment: &'a [u8],
}

/// What a member wants, and what it has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Subscription<'a> {
    /// What it wants to read.
    pub(crate) topics: Vec<&'a str>,
    /// What its assignor wants to be told.
    pub(crate) user_data: Option<&'a [u8]>,
    /// What it owns.
    pub(crate) owned: Vec<TopicPartition>,
    /// The generation that this is of; `None` if it is new, or if nobody wrote it down.
    pub(crate) generation: Option<i32>,
    /// Where it stands; not used here.
    pub(crate) rack: Option<&'a str>,
}

impl<'a> GroupMetadata<'a> {
    /// Reads a record's value, in any version that Kafka has written.
    ///
    /// # Errors
    /// [`Invalid::Malformed`] for a version above 4, and for a value that is not of the form that its version has.
    pub(crate) fn decode(bytes: &'a [u8]) -> Result<GroupMetadata<'a>, Invalid> {
        let mut reader = Reader::new(bytes);
        let version = reader.i16()?;
        if !(0..=VALUE_FLEXIBLE).contains(&version) {
            return Err(Invalid::Malformed("group metadata of an unknown version"));
        }
        let mut fields = Fields::new(reader, version >= VALUE_FLEXIBLE);
        let metadata = GroupMetadata {
            protocol_type: fields.string()?,
            generation: fields.i32()?,
            protocol: fields.nullable_string()?,
            leader: fields.nullable_string()?,
            state_timestamp: if version >= WITH_STATE_TIMESTAMP { Some(fields.i64()?) } else { None }
                .filter(|at| *at >= 0),
            members: fields.array(|fields| MemberMetadata::decode(version, fields))?,
        };
        fields.tags(|_, _| Ok(()))?;
        fields.end()?;
        Ok(metadata)
    }

    /// Appends the value to `out`, in version 3.
    ///
    /// # Errors
    /// [`Error::InvalidConfig`](crate::Error::InvalidConfig) for a text of 32 KiB or more; `out` is then unchanged.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) -> Result<()> {
        all_or_nothing(out, |out| {
            out.extend_from_slice(&VALUE.to_be_bytes());
            put_string(out, "protocol.type", self.protocol_type)?;
            out.extend_from_slice(&self.generation.to_be_bytes());
            put_nullable_string(out, "partition.assignment.strategy", self.protocol)?;
            put_nullable_string(out, "leader", self.leader)?;
            out.extend_from_slice(&self.state_timestamp.unwrap_or(-1).to_be_bytes());
            put_count(out, "members", self.members.len())?;
            self.members.iter().try_for_each(|member| member.encode(out))
        })
    }
}

impl<'a> MemberMetadata<'a> {
    fn decode(version: i16, fields: &mut Fields<'a>) -> Result<MemberMetadata<'a>, Invalid> {
        let member_id = fields.string()?;
        let group_instance_id = if version >= WITH_INSTANCE_ID { fields.nullable_string()? } else { None };
        let client_id = fields.string()?;
        let client_host = fields.string()?;
        let rebalance_timeout_ms = if version >= WITH_REBALANCE_TIMEOUT { Some(fields.i32()?) } else { None };
        let session_timeout_ms = fields.i32()?;
        let subscription = fields.bytes()?;
        let assignment = fields.bytes()?;
        fields.tags(|_, _| Ok(()))?;
        Ok(MemberMetadata {
            member_id,
            group_instance_id,
            client_id,
            client_host,
            rebalance_timeout_ms: rebalance_timeout_ms.unwrap_or(session_timeout_ms),
            session_timeout_ms,
            subscription,
            assignment,
        })
    }

    fn encode(&self, out: &mut Vec<u8>) -> Result<()> {
        put_string(out, "member.id", self.member_id)?;
        put_nullable_string(out, "group.instance.id", self.group_instance_id)?;
        put_string(out, "client.id", self.client_id)?;
        put_string(out, "client.host", self.client_host)?;
        out.extend_from_slice(&self.rebalance_timeout_ms.to_be_bytes());
        out.extend_from_slice(&self.session_timeout_ms.to_be_bytes());
        put_nullable_bytes(out, "subscription", Some(self.subscription))?;
        put_nullable_bytes(out, "assignment", Some(self.assignment))
    }
}

impl<'a> Subscription<'a> {
    /// Reads a subscription of any version; of one that is newer than 3, what is as in 3.
    ///
    /// # Errors
    /// [`Invalid::Malformed`] for bytes that are not of the form that the version has.
    pub(crate) fn decode(bytes: &'a [u8]) -> Result<Subscription<'a>, Invalid> {
        let (version, mut fields) = protocol_fields(bytes)?;
        let topics = fields.array(Fields::string)?;
        let user_data = fields.nullable_bytes()?;
        let owned = if version >= WITH_OWNED { fields.partitions()? } else { Vec::new() };
        let generation = if version >= WITH_GENERATION { Some(fields.i32()?) } else { None };
        let rack = if version >= WITH_RACK { fields.nullable_string()? } else { None };
        protocol_end(version, &fields)?;
        Ok(Subscription {
            topics,
            user_data,
            owned,
            generation: generation.filter(|generation| *generation >= 0),
            rack,
        })
    }

    /// Appends the subscription to `out`, in version 3. The owned partitions are grouped by topic.
    ///
    /// # Errors
    /// [`Error::InvalidConfig`](crate::Error::InvalidConfig) for a text of 32 KiB or more; `out` is then unchanged.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) -> Result<()> {
        all_or_nothing(out, |out| {
            out.extend_from_slice(&PROTOCOL.to_be_bytes());
            put_count(out, "topics", self.topics.len())?;
            self.topics.iter().try_for_each(|topic| put_string(out, "topic", topic))?;
            put_nullable_bytes(out, "user.data", self.user_data)?;
            put_partitions(out, &self.owned)?;
            out.extend_from_slice(&self.generation.unwrap_or(-1).to_be_bytes());
            put_nullable_string(out, "client.rack", self.rack)
        })
    }
}

/// Reads an assignment of any version, without its user data.
///
/// # Errors
/// [`Invalid::Malformed`] for bytes that are not of the form that the version has.
pub(crate) fn decode_assignment(bytes: &[u8]) -> Result<Vec<TopicPartition>, Invalid> {
    let (version, mut fields) = protocol_fields(bytes)?;
    let assigned = fields.partitions()?;
    fields.nullable_bytes()?;
    protocol_end(version, &fields)?;
    Ok(assigned)
}

/// Appends an assignment to `out`, in version 3, grouped by topic and without user data. Partitions are at most `i32::MAX`.
///
/// # Errors
/// [`Error::InvalidConfig`](crate::Error::InvalidConfig) for a topic's name of 32 KiB or more; `out` is then unchanged.
pub(crate) fn encode_assignment(assigned: &[TopicPartition], out: &mut Vec<u8>) -> Result<()> {
    all_or_nothing(out, |out| {
        out.extend_from_slice(&PROTOCOL.to_be_bytes());
        put_partitions(out, assigned)?;
        put_nullable_bytes(out, "user.data", None)
    })
}

/// The version of a subscription or an assignment, and what is behind it.
fn protocol_fields(bytes: &[u8]) -> Result<(i16, Fields<'_>), Invalid> {
    let mut reader = Reader::new(bytes);
    let version = reader.i16()?;
    if version < 0 {
        return Err(Invalid::Malformed("a version below zero"));
    }
    Ok((version, Fields::new(reader, false)))
}

/// What a newer version has added behind the fields that are known is passed over.
fn protocol_end(version: i16, fields: &Fields<'_>) -> Result<(), Invalid> {
    if version > PROTOCOL { Ok(()) } else { fields.end() }
}

fn put_partitions(out: &mut Vec<u8>, partitions: &[TopicPartition]) -> Result<()> {
    let by_topic = by_topic(partitions);
    put_count(out, "topics", by_topic.len())?;
    for (topic, numbers) in by_topic {
        put_string(out, "topic", topic)?;
        put_count(out, "partitions", numbers.len())?;
        for number in numbers {
            out.extend_from_slice(&number.to_be_bytes());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
