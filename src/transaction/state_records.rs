//! The records of `__transaction_state`, with Kafka's schema, so that Kafka's tools read what is written here.
//!
//! ```text
//! key       i16 type, then  0     string transactional id
//!                           else  of another use of the topic: skipped
//! value     i16 version, then     i64 producer id, i16 producer epoch, i32 timeout, i8 status, array? of partitions,
//!           0 or 1                i64 last update, i64 start (−1 = none)
//!           1 is flexible         tag 0     = i64 producer id of the holder before; not there: −1 = none
//!                                 tag 10000 = checkpoint, the application's bytes                               ours
//!                                 tag 10001 = array of what the decision covers in each log, if anything        ours
//! covered                         16 bytes topic id, i32 partition, i64 first offset, i64 offset behind the last
//! partitions                      string topic, array of i32, and tags if the version is flexible
//! ```
//! Integers are big-endian; strings, arrays and tags are as in `schema`, times are in milliseconds. Written is version 1; the
//! tags that are not named here are skipped, as Kafka skips ours. The array of partitions is null for an id that is
//! [`Status::Empty`], and empty once a transaction is complete. A null value, which is not seen here, removes its key. The bytes
//! may be anything; whatever they are, decoding returns.

use std::ops::Range;

use crate::coordinator::schema::{
    Fields, all_or_nothing, by_topic, put_compact_count, put_compact_string, put_string, put_tag, put_unsigned_varint,
};
use crate::error::Result;
use crate::format::{Invalid, Reader};
use crate::topic_partition::TopicPartition;

/// The internal topic that holds the state of transactional ids.
pub(crate) const TRANSACTION_STATE_TOPIC: &str = "__transaction_state";

/// The type of keys.
const TRANSACTION_KEY: i16 = 0;
/// The version of values that is written, and the newest one. It is flexible.
const VALUE: i16 = 1;

const PREVIOUS_PRODUCER_ID_TAG: u32 = 0;
const CHECKPOINT_TAG: u32 = 10_000;
const COVERED_TAG: u32 = 10_001;

/// How far a transactional id is, with Kafka's numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Status {
    /// It has a holder, which has not begun a transaction.
    Empty = 0,
    /// A transaction is open. Of this Ottla needs no record.
    Ongoing = 1,
    /// The transaction is committed, and not all markers are written.
    PrepareCommit = 2,
    /// The transaction is aborted, and not all markers are written.
    PrepareAbort = 3,
    /// The transaction is committed, and all markers are written.
    CompleteCommit = 4,
    /// The transaction is aborted, and all markers are written.
    CompleteAbort = 5,
    /// The id has expired and is about to be removed.
    Dead = 6,
    /// A holder is being fenced. Kafka writes no record of this.
    PrepareEpochFence = 7,
}

/// What a record says of a transactional id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TransactionRecord {
    /// Under which the holder appends.
    pub(crate) producer_id: i64,
    /// Of the holder; rises with every new one.
    pub(crate) producer_epoch: i16,
    /// After how long an open transaction is aborted.
    pub(crate) timeout_ms: i32,
    /// How far it is.
    pub(crate) status: Status,
    /// Where the transaction has written; each partition is at most `i32::MAX`.
    pub(crate) partitions: Vec<TopicPartition>,
    /// When this was written, in milliseconds since 1970 UTC.
    pub(crate) last_update_ms: i64,
    /// When the transaction began, in milliseconds since 1970 UTC; −1 if there was none.
    pub(crate) start_ms: i64,
    /// The producer id of the holder before, if it was another one; −1 if unknown.
    pub(crate) previous_producer_id: i64,
    /// What the decision is about.
    pub(crate) covered: Vec<Covered>,
    /// What the application has kept with its last committed transaction.
    pub(crate) checkpoint: Option<Vec<u8>>,
}

/// What a transaction has written to one log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Covered {
    /// The topic, which may have been deleted and made again by the same name since.
    pub(crate) topic_id: u128,
    /// The number of its partition; at most `i32::MAX`.
    pub(crate) partition: u32,
    /// From the first record to one above the last, at most `i64::MAX`; records of others may be among them.
    pub(crate) offsets: Range<u64>,
}

/// Appends the key of a transactional id to `out`.
///
/// # Errors
/// [`Error::InvalidConfig`](crate::Error::InvalidConfig) for an id of 32 KiB or more; `out` is then unchanged.
pub(crate) fn encode_key(id: &str, out: &mut Vec<u8>) -> Result<()> {
    all_or_nothing(out, |out| {
        out.extend_from_slice(&TRANSACTION_KEY.to_be_bytes());
        put_string(out, "transactional.id", id)
    })
}

/// Reads a record's key: the transactional id, or `None` for something of a kind that is to be skipped.
///
/// # Errors
/// [`Invalid::Malformed`] for a key that is not of the form that its type has.
pub(crate) fn decode_key(bytes: &[u8]) -> Result<Option<&str>, Invalid> {
    let mut fields = Fields::new(Reader::new(bytes), false);
    if fields.i16()? != TRANSACTION_KEY {
        return Ok(None);
    }
    let id = fields.string()?;
    fields.end()?;
    Ok(Some(id))
}

impl Status {
    fn of_number(number: i8) -> Result<Status, Invalid> {
        Ok(match number {
            0 => Status::Empty,
            1 => Status::Ongoing,
            2 => Status::PrepareCommit,
            3 => Status::PrepareAbort,
            4 => Status::CompleteCommit,
            5 => Status::CompleteAbort,
            6 => Status::Dead,
            7 => Status::PrepareEpochFence,
            _ => return Err(Invalid::Malformed("a transaction of an unknown status")),
        })
    }
}

impl TransactionRecord {
    /// Reads a record's value, in either version that Kafka has written.
    ///
    /// # Errors
    /// [`Invalid::Malformed`] for a version above 1, and for a value that is not of the form that its version has.
    pub(crate) fn decode(bytes: &[u8]) -> Result<TransactionRecord, Invalid> {
        let mut reader = Reader::new(bytes);
        let version = reader.i16()?;
        if !(0..=VALUE).contains(&version) {
            return Err(Invalid::Malformed("a transaction of an unknown version"));
        }
        let mut fields = Fields::new(reader, version >= VALUE);
        let mut record = TransactionRecord {
            producer_id: fields.i64()?,
            producer_epoch: fields.i16()?,
            timeout_ms: fields.i32()?,
            status: Status::of_number(fields.i8()?)?,
            partitions: fields.nullable_partitions()?.unwrap_or_default(),
            last_update_ms: fields.i64()?,
            start_ms: fields.i64()?,
            previous_producer_id: -1,
            covered: Vec::new(),
            checkpoint: None,
        };
        fields.tags(|tag, data| record.take_tag(tag, data))?;
        fields.end()?;
        Ok(record)
    }

    fn take_tag(&mut self, tag: u32, data: &[u8]) -> Result<(), Invalid> {
        let mut fields = Fields::new(Reader::new(data), true);
        match tag {
            PREVIOUS_PRODUCER_ID_TAG => self.previous_producer_id = fields.i64()?,
            COVERED_TAG => self.covered = fields.array(Covered::decode)?,
            CHECKPOINT_TAG => {
                self.checkpoint = Some(data.to_vec());
                return Ok(());
            }
            _ => return Ok(()),
        }
        fields.end()
    }

    /// Appends the value to `out`, in version 1, the partitions in the order of their topics.
    ///
    /// # Errors
    /// [`Error::InvalidConfig`](crate::Error::InvalidConfig) for a checkpoint of 2 GiB or more; `out` is then unchanged.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) -> Result<()> {
        all_or_nothing(out, |out| {
            out.extend_from_slice(&VALUE.to_be_bytes());
            out.extend_from_slice(&self.producer_id.to_be_bytes());
            out.extend_from_slice(&self.producer_epoch.to_be_bytes());
            out.extend_from_slice(&self.timeout_ms.to_be_bytes());
            out.push(self.status as u8);
            self.put_partitions(out)?;
            out.extend_from_slice(&self.last_update_ms.to_be_bytes());
            out.extend_from_slice(&self.start_ms.to_be_bytes());
            self.put_tags(out)
        })
    }

    fn put_partitions(&self, out: &mut Vec<u8>) -> Result<()> {
        if self.status == Status::Empty && self.partitions.is_empty() {
            out.push(NULL_ARRAY);
            return Ok(());
        }
        let by_topic = by_topic(&self.partitions);
        put_compact_count(out, by_topic.len());
        for (topic, numbers) in by_topic {
            put_compact_string(out, "topic", topic)?;
            put_compact_count(out, numbers.len());
            for number in numbers {
                out.extend_from_slice(&number.to_be_bytes());
            }
            out.push(NO_TAGS);
        }
        Ok(())
    }

    /// The tags in ascending order, as Kafka has them.
    fn put_tags(&self, out: &mut Vec<u8>) -> Result<()> {
        let previous = Some(self.previous_producer_id).filter(|id| *id != -1);
        let is_there = [previous.is_some(), self.checkpoint.is_some(), !self.covered.is_empty()];
        put_unsigned_varint(out, is_there.into_iter().map(u64::from).sum());
        if let Some(previous) = previous {
            put_tag(out, "previous.producer.id", PREVIOUS_PRODUCER_ID_TAG, &previous.to_be_bytes())?;
        }
        if let Some(checkpoint) = &self.checkpoint {
            put_tag(out, "checkpoint", CHECKPOINT_TAG, checkpoint)?;
        }
        if !self.covered.is_empty() {
            let mut data = Vec::new();
            put_compact_count(&mut data, self.covered.len());
            self.covered.iter().for_each(|covered| covered.encode(&mut data));
            put_tag(out, "covered", COVERED_TAG, &data)?;
        }
        Ok(())
    }
}

impl Covered {
    fn decode(fields: &mut Fields<'_>) -> Result<Covered, Invalid> {
        let (topic_id, partition) = (fields.uuid()?, fields.partition()?);
        let mut offset = || u64::try_from(fields.i64()?).map_err(|_| Invalid::Malformed("an offset below zero"));
        let offsets = offset()?..offset()?;
        if offsets.start > offsets.end {
            return Err(Invalid::Malformed("a transaction that ends before it begins"));
        }
        Ok(Covered { topic_id, partition, offsets })
    }

    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.topic_id.to_be_bytes());
        out.extend_from_slice(&self.partition.to_be_bytes());
        out.extend_from_slice(&self.offsets.start.to_be_bytes());
        out.extend_from_slice(&self.offsets.end.to_be_bytes());
    }
}

/// Both are short for an unsigned varint of 0.
const NULL_ARRAY: u8 = 0;
const NO_TAGS: u8 = 0;

#[cfg(test)]
mod tests;
