//! What coordinators say in the records that they keep, and in markers.

use serde::Serialize;

use crate::format::{EndTransactionMarker, Invalid};
use crate::group::group_records::{GroupMetadata, decode_assignment};
use crate::group::offset_records::{Key, OffsetCommit};
use crate::record::Timestamp;
use crate::segment::reason_of;
use crate::topic_partition::TopicPartition;
use crate::transaction::state_records::{self, TransactionRecord};

/// Whose records they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Decoder {
    /// Those of `__consumer_offsets`.
    Offsets,
    /// Those of `__transaction_state`.
    Transactions,
}

/// What a record of a coordinator says. A value of `None` removes what was said before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Decoded<'a> {
    /// A transaction has ended here.
    Marker {
        /// Whether it counts.
        is_commit: bool,
        /// Epoch of the coordinator.
        coordinator_epoch: i32,
    },
    /// How far a group is in a partition.
    Offset {
        /// The group.
        group: &'a str,
        /// The topic.
        topic: &'a str,
        /// The number of the partition.
        partition: u32,
        /// What was committed.
        value: Option<OffsetValue<'a>>,
    },
    /// Who is in a group.
    Group {
        /// The group.
        group: &'a str,
        /// What it is.
        value: Option<GroupValue<'a>>,
    },
    /// How far a transactional id is.
    Transaction {
        /// The id.
        transactional_id: &'a str,
        /// What it is.
        value: Option<TransactionValue>,
    },
    /// Something of a type that is not known here.
    Other {
        /// The type in the key.
        key_type: i16,
    },
    /// The key or value is not of the form that its version has.
    Unreadable {
        /// What does not hold.
        reason: &'static str,
    },
}

/// A committed offset.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct OffsetValue<'a> {
    /// The offset of the next record to read.
    pub offset: u64,
    /// The leader epoch of the last record read.
    pub leader_epoch: Option<i32>,
    /// Whatever the application wanted to keep with it.
    pub metadata: &'a str,
    /// When it was committed.
    pub committed: Timestamp,
    /// When it is to be forgotten, if it says so.
    pub expires: Option<Timestamp>,
}

/// A group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct GroupValue<'a> {
    /// `consumer` for groups of consumers.
    pub protocol_type: &'a str,
    /// The number of rounds so far.
    pub generation: i32,
    /// The assignor.
    pub protocol: Option<&'a str>,
    /// The member that ran it.
    pub leader: Option<&'a str>,
    /// The members.
    pub members: Vec<MemberValue<'a>>,
}

/// A member of a group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct MemberValue<'a> {
    /// The name that it was given.
    pub member_id: &'a str,
    /// The name that it has given itself.
    pub group_instance_id: Option<&'a str>,
    /// What the application calls itself.
    pub client_id: &'a str,
    /// Where it runs.
    pub client_host: &'a str,
    /// What it was assigned; `None` where that is not of the form that consumers have.
    pub assignment: Option<Vec<TopicPartition>>,
}

/// The state of a transactional id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct TransactionValue {
    /// Under which its holder appends.
    pub producer_id: i64,
    /// Of its holder.
    pub producer_epoch: i16,
    /// The producer id of the holder before, −1 if that is not known.
    pub previous_producer_id: i64,
    /// How far it is, by Kafka's name.
    pub status: String,
    /// After how long an open transaction is aborted.
    pub timeout_ms: i32,
    /// Where it has written.
    pub partitions: Vec<TopicPartition>,
    /// When this was written.
    pub updated: Timestamp,
    /// When the transaction began, −1 ms if there was none.
    pub began: Timestamp,
    /// The size of what the application has kept with it, in bytes.
    pub checkpoint_bytes: Option<usize>,
}

impl Decoder {
    /// What the record with this key and value says; `None` if it has no key, and thus is no coordinator's.
    pub(super) fn decode<'a>(self, key: Option<&'a [u8]>, value: Option<&'a [u8]>) -> Option<Decoded<'a>> {
        let key = key?;
        let decoded = match self {
            Decoder::Offsets => decode_offsets(key, value),
            Decoder::Transactions => decode_transaction(key, value),
        };
        Some(decoded.unwrap_or_else(|invalid| Decoded::Unreadable { reason: reason_of(invalid) }))
    }
}

fn decode_offsets<'a>(key: &'a [u8], value: Option<&'a [u8]>) -> Result<Decoded<'a>, Invalid> {
    Ok(match Key::decode(key)? {
        Key::Offset { group, topic, partition } => {
            let commit = value.map(OffsetCommit::decode).transpose()?;
            let value = commit.map(|commit| OffsetValue {
                offset: commit.offset,
                leader_epoch: commit.leader_epoch,
                metadata: commit.metadata,
                committed: Timestamp::from_millis(commit.commit_timestamp),
                expires: commit.expire_timestamp.map(Timestamp::from_millis),
            });
            Decoded::Offset { group, topic, partition, value }
        }
        Key::Group { group } => {
            let value = value.map(GroupMetadata::decode).transpose()?.map(|metadata| GroupValue {
                protocol_type: metadata.protocol_type,
                generation: metadata.generation,
                protocol: metadata.protocol,
                leader: metadata.leader,
                members: metadata
                    .members
                    .iter()
                    .map(|member| MemberValue {
                        member_id: member.member_id,
                        group_instance_id: member.group_instance_id,
                        client_id: member.client_id,
                        client_host: member.client_host,
                        assignment: decode_assignment(member.assignment).ok(),
                    })
                    .collect(),
            });
            Decoded::Group { group, value }
        }
        Key::Other(key_type) => Decoded::Other { key_type },
    })
}

fn decode_transaction<'a>(key: &'a [u8], value: Option<&'a [u8]>) -> Result<Decoded<'a>, Invalid> {
    let Some(transactional_id) = state_records::decode_key(key)? else {
        return Ok(Decoded::Other { key_type: key.first_chunk().map_or(-1, |bytes| i16::from_be_bytes(*bytes)) });
    };
    let value = value.map(TransactionRecord::decode).transpose()?.map(|record| TransactionValue {
        producer_id: record.producer_id,
        producer_epoch: record.producer_epoch,
        previous_producer_id: record.previous_producer_id,
        status: format!("{:?}", record.status),
        timeout_ms: record.timeout_ms,
        partitions: record.partitions,
        updated: Timestamp::from_millis(record.last_update_ms),
        began: Timestamp::from_millis(record.start_ms),
        checkpoint_bytes: record.checkpoint.map(|checkpoint| checkpoint.len()),
    });
    Ok(Decoded::Transaction { transactional_id, value })
}

impl Decoded<'static> {
    pub(super) fn of_marker(marker: EndTransactionMarker) -> Decoded<'static> {
        Decoded::Marker { is_commit: marker.is_commit, coordinator_epoch: marker.coordinator_epoch }
    }
}
