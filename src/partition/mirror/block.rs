//! What one round of the group commit brings to a replica, as bytes: a block of its [journal](super::journal).
//!
//! ```text
//! byte  size  field              one block, big-endian
//!    0     8  generation         of the journal; another one's block ends it
//!    8     4  payload_bytes
//!   12     4  CRC-32             of the fields before and the payload
//!   16     -  entries            one after the other, to the end of the payload
//!
//! byte  size  field              one entry
//!    0     1  kind               1 topic, 2 records, 3 batch, 4 deleted topic, 5 void: nothing of the block before was acknowledged
//!                                topic: it is there, and configured like this, whatever the replica knows
//!    1    16  topic_id
//!   17     4  name_bytes
//!   21     4  config_bytes
//!   25     -  name, config       as in partition/config.rs
//!                                records: what was published in a slot of the tail since the entry before
//!    1    76  identity           of the slot, as in tail/layout.rs
//!   77     8  next_offset        the records reach up to there at least
//!   85     4  from               so many bytes of records came before
//!   89     4  records_bytes
//!   93     -  records
//!                                batch: a whole one, as it is in the segment; in the place of what came of it
//!    1    16  topic_id
//!   17     4  partition
//!   21     4  batch_bytes
//!   25     -  batch
//!                                deleted topic
//!    1    16  topic_id
//! ```

use crate::format::{Invalid, Reader};
use crate::partition::config::{Refusal, TopicConfig};
use crate::partition::log_id::LogId;
use crate::tail::{IDENTITY_BYTES, Identity, OpenBatch, SlotClass};

pub(super) const BLOCK_HEADER_BYTES: usize = 16;

const TOPIC: u8 = 1;
const RECORDS: u8 = 2;
const BATCH: u8 = 3;
const DELETED: u8 = 4;
const VOID: u8 = 5;

/// Kept between rounds at most.
const KEPT_BYTES: usize = 1 << 20;

/// A block that is being made.
#[derive(Debug, Default)]
pub(crate) struct Block {
    bytes: Vec<u8>,
}

impl Block {
    /// Begins another one.
    pub(super) fn begin(&mut self) {
        self.bytes.clear();
        self.bytes.shrink_to(KEPT_BYTES);
        self.bytes.resize(BLOCK_HEADER_BYTES, 0);
    }

    /// Whether there is nothing in it.
    pub(super) fn is_empty(&self) -> bool {
        self.bytes.len() <= BLOCK_HEADER_BYTES
    }

    /// Adds that there is such a topic.
    pub(super) fn push_topic(&mut self, topic_id: u128, name: &str, config: &TopicConfig) {
        let mut encoded = Vec::new();
        config.encode(&mut encoded);
        self.bytes.push(TOPIC);
        self.bytes.extend(topic_id.to_be_bytes());
        self.push_length(name.len());
        self.push_length(encoded.len());
        self.bytes.extend(name.as_bytes());
        self.bytes.extend(encoded);
    }

    /// Adds that there is not any more.
    pub(super) fn push_deleted(&mut self, topic_id: u128) {
        self.bytes.push(DELETED);
        self.bytes.extend(topic_id.to_be_bytes());
    }

    /// Adds what follows the first `from` bytes of the records in a slot, which reach up to `next_offset` at least.
    pub(in crate::partition) fn push_records(
        &mut self,
        batch: &OpenBatch,
        next_offset: u64,
        from: usize,
        records: &[u8],
    ) {
        self.bytes.push(RECORDS);
        self.bytes.extend(batch.identity_bytes());
        self.bytes.extend(next_offset.to_be_bytes());
        self.push_length(from);
        self.push_length(records.len());
        self.bytes.extend(records);
    }

    /// Adds a whole batch.
    pub(in crate::partition) fn push_batch(&mut self, log: LogId, batch: &[u8]) {
        self.bytes.push(BATCH);
        self.bytes.extend(log.topic_id.to_be_bytes());
        self.bytes.extend(log.partition.to_be_bytes());
        self.push_length(batch.len());
        self.bytes.extend(batch);
    }

    /// Adds that nothing of the block before was acknowledged.
    pub(super) fn push_void(&mut self) {
        self.bytes.push(VOID);
    }

    fn push_length(&mut self, length: usize) {
        self.bytes.extend(u32::try_from(length).expect("no batch is that large").to_be_bytes());
    }

    /// All of it, for a journal of this generation; `None` if it is larger than any may be.
    pub(super) fn finish(&mut self, generation: u64) -> Option<&[u8]> {
        let (header, payload) = self.bytes.split_first_chunk_mut::<BLOCK_HEADER_BYTES>()?;
        let payload_bytes = u32::try_from(payload.len()).ok()?;
        *header = encode_header(generation, payload_bytes, payload);
        Some(&self.bytes)
    }
}

fn encode_header(generation: u64, payload_bytes: u32, payload: &[u8]) -> [u8; BLOCK_HEADER_BYTES] {
    let mut header = [0; BLOCK_HEADER_BYTES];
    let (fields, crc) = header.split_at_mut(12);
    fields.copy_from_slice(&[&generation.to_be_bytes()[..], &payload_bytes.to_be_bytes()].concat());
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(fields);
    hasher.update(payload);
    crc.copy_from_slice(&hasher.finalize().to_be_bytes());
    header
}

/// How many bytes of payload follow a header, if it is of this generation.
pub(super) fn payload_bytes(header: &[u8; BLOCK_HEADER_BYTES], generation: u64) -> Option<u32> {
    let mut reader = Reader::new(header);
    let stated = u64::from_be_bytes(reader.array().ok()?);
    reader.u32().ok().filter(|_| stated == generation)
}

/// Whether the payload is the one that the header was made for.
pub(super) fn is_whole(header: &[u8; BLOCK_HEADER_BYTES], generation: u64, payload: &[u8]) -> bool {
    u32::try_from(payload.len()).is_ok_and(|bytes| encode_header(generation, bytes, payload) == *header)
}

/// What stands in a block.
#[derive(Debug)]
pub(crate) enum MirrorEntry<'b> {
    /// Nothing of the block before was acknowledged.
    Void,
    /// There is no such topic any more.
    Deleted { topic_id: u128 },
    /// There is such a topic.
    Topic { topic_id: u128, name: &'b str, config: TopicConfig, ignored: Vec<u8> },
    /// Records in a slot, up to this offset at least, of which `from` bytes came before.
    Records { slot: MirroredSlot, next_offset: u64, from: usize, records: &'b [u8] },
    /// A whole batch, in the place of what came of it before.
    Batch { log: LogId, batch: &'b [u8] },
}

/// A use of a slot of the tail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct MirroredSlot {
    pub(crate) identity: Identity,
    pub(crate) class: SlotClass,
    pub(crate) generation: u64,
}

impl MirroredSlot {
    /// Whose it is.
    pub(crate) fn log(&self) -> LogId {
        LogId { topic_id: self.identity.topic_id, partition: self.identity.partition }
    }
}

/// Shows each entry of a block's payload, which may be anything.
///
/// # Errors
/// What is wrong with it; those of `visit`.
pub(super) fn visit_entries<E: From<Refusal>>(
    payload: &[u8],
    visit: &mut dyn FnMut(MirrorEntry<'_>) -> Result<(), E>,
) -> Result<(), E> {
    let mut reader = Reader::new(payload);
    while !reader.is_empty() {
        visit(decode_entry(&mut reader)?)?;
    }
    Ok(())
}

fn decode_entry<'b>(reader: &mut Reader<'b>) -> Result<MirrorEntry<'b>, Refusal> {
    match reader.u8()? {
        TOPIC => {
            let topic_id = u128::from_be_bytes(reader.array()?);
            let (name_bytes, config_bytes) = (length(reader)?, length(reader)?);
            let name = std::str::from_utf8(reader.take(name_bytes)?);
            let name = name.map_err(|_| Invalid::Malformed("the name of a topic is not UTF-8"))?;
            let (config, ignored) = TopicConfig::decode(reader.take(config_bytes)?)?;
            Ok(MirrorEntry::Topic { topic_id, name, config, ignored })
        }
        RECORDS => {
            let slot = Identity::decode(reader.take(IDENTITY_BYTES)?);
            let (identity, class, generation) = slot.ok_or(Invalid::Malformed("a slot has no identity"))?;
            let next_offset = u64::from_be_bytes(reader.array()?);
            let (from, bytes) = (length(reader)?, length(reader)?);
            let slot = MirroredSlot { identity, class, generation };
            Ok(MirrorEntry::Records { slot, next_offset, from, records: reader.take(bytes)? })
        }
        BATCH => {
            let log = LogId { topic_id: u128::from_be_bytes(reader.array()?), partition: reader.u32()? };
            let bytes = length(reader)?;
            Ok(MirrorEntry::Batch { log, batch: reader.take(bytes)? })
        }
        VOID => Ok(MirrorEntry::Void),
        DELETED => Ok(MirrorEntry::Deleted { topic_id: u128::from_be_bytes(reader.array()?) }),
        _ => Err(Invalid::Malformed("an entry is of an unknown kind").into()),
    }
}

fn length(reader: &mut Reader<'_>) -> Result<usize, Invalid> {
    Ok(usize::try_from(reader.u32()?).unwrap_or(usize::MAX))
}
