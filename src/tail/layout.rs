//! The bytes of the tail file.
//!
//! ```text
//! tail file                                            one slot (4 KiB or 64 KiB), three sectors and the batch
//! byte     size  field                                 byte  size  field
//!    0        8  magic "OTTLTAIL"                         0     76  identity (below)
//!    8        4  version                                  80     8  published: CRC-32C of the records so far (high half),
//!   12        4  CRC-32 of bytes 0 to 12                            their bytes (low half)          what survives a kill
//!   16        8  openings (below)                         88     8  durable: a copy of `published`  how far others may read
//!   24        8  1 if topics without a durability        512    24  commit A (below)                what survives a power cut
//!                of their own are in this file          1024    24  commit B
//!   32        8  deletions (below)
//!   40        8  1 once another file is about
//!                to take the place of this one
//!  512  448 * 8  chunk table: slot bytes, CRC-32        1536    61  header of the batch, filled in when it is sealed
//!                of chunk number and slot bytes         1597   ...  records
//! 4096    1 MiB  chunk 0: slots of one size
//!  ...           chunk 1 ...
//!
//! identity                                             commit
//! byte  size  field                                    byte  size  field
//!    0     4  magic "OTSL"                                0     8  sequence: the higher of two valid commits counts
//!    4     4  slot bytes                                  8     8  copy of `published`
//!    8     8  generation: new each time a slot is used   16     8  CRC-32 of generation, sequence and copy
//!   16    16  topic id
//!   32     4  partition
//!   36     4  leader epoch
//!   40     8  base offset
//!   48     8  base timestamp
//!   56     8  producer id
//!   64     2  producer epoch
//!   66     2  attributes
//!   68     4  base sequence
//!   72     4  CRC-32 of bytes 0 to 72
//! ```
//! All integers are big-endian. A sector (512 bytes) is what a disk writes as a whole: identity and `published` share one,
//! so that they cannot disagree; each commit has its own, so that writing one never harms the other.
//!
//! `durable` and what stands behind the header's checksum are for processes that read along, and never evidence for recovery:
//!
//! - `durable` is the copy of `published` in the newest commit that was synced, stored after that sync and after whatever else
//!   the sync's round had to make durable: where it is not zero, all records of the log below its end are durable. It is zero
//!   before the identity of the slot's next batch is written. A reader takes the identity, then the words, then the records,
//!   and then the identity again: only with the same generation do they belong together.
//! - `openings` begins with a random number and changes whenever a slot was opened, after its identity is whole and before
//!   anything is published in it. While it is the same, no other slot holds a batch than before, and it is the same file. It also
//!   changes when a batch went into a segment without a slot, after it is there: while it is the same, nothing was appended to any
//!   log of this file but in the slots that are known.
//! - `deletions` begins with a random number and changes whenever records were deleted at the front of a log or segments compacted,
//!   after its manifest says so and before a file goes or is replaced. While it is the same, every log of this file begins where it
//!   did, and its names stand for the same files.
//! - Whoever puts another file in the place of this one says so in it before, so that a reader need not ask the name each time. It
//!   may be that nothing came of it.

use crate::format::{Attributes, BatchStart, ProducerStamp};

pub(super) const FILE_MAGIC: [u8; 8] = *b"OTTLTAIL";
pub(super) const FILE_VERSION: u32 = 2;
pub(super) const FILE_HEADER_BYTES: usize = 4096;
pub(super) const OPENINGS: usize = 16;
pub(super) const IS_DEFAULT: usize = 24;
pub(super) const DELETIONS: usize = 32;
pub(super) const IS_REPLACED: usize = 40;
pub(super) const CHUNK_TABLE: usize = 512;
pub(super) const CHUNK_ENTRY_BYTES: usize = 8;
pub(super) const CHUNKS_MAX: usize = (FILE_HEADER_BYTES - CHUNK_TABLE) / CHUNK_ENTRY_BYTES;
pub(super) const CHUNK_BYTES: usize = if IS_EXPLORED { 32 << 10 } else { 1 << 20 };
const LARGE_SLOT_BYTES: usize = if IS_EXPLORED { 8 << 10 } else { 64 << 10 };
/// A model checker makes and fills tails by the hundred thousand: small ones, of which the slots are soon used up.
const IS_EXPLORED: bool = cfg!(any(shuttle, loom));

pub(super) const SLOT_MAGIC: u32 = u32::from_be_bytes(*b"OTSL");
pub(super) const GENERATION: usize = 8;
pub(crate) const IDENTITY_BYTES: usize = 76;
pub(super) const PUBLISHED: usize = 80;
pub(super) const DURABLE: usize = 88;
pub(super) const COMMIT: [usize; 2] = [512, 1024];
pub(super) const COMMIT_BYTES: usize = 24;
pub(super) const BATCH: usize = 1536;
pub(super) const RECORDS: usize = BATCH + crate::format::HEADER_BYTES;
const _: () = assert!(IDENTITY_BYTES <= PUBLISHED && PUBLISHED.is_multiple_of(8) && PUBLISHED + 8 == DURABLE);
const _: () = assert!(DURABLE + 8 <= COMMIT[0] && IS_REPLACED + 8 <= CHUNK_TABLE);
const _: () = assert!(CHUNKS_MAX == 448);

/// How large a slot is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum SlotClass {
    /// 4 KiB, for quiet partitions.
    Small,
    /// 64 KiB, for partitions that fill slots.
    Large,
}

impl SlotClass {
    pub(super) const ALL: [SlotClass; 2] = [SlotClass::Small, SlotClass::Large];

    /// The size of the slot in the file, in bytes.
    pub(super) fn slot_bytes(self) -> usize {
        match self {
            SlotClass::Small => 4 << 10,
            SlotClass::Large => LARGE_SLOT_BYTES,
        }
    }

    /// The bytes of records that fit.
    pub(crate) fn records_bytes_max(self) -> usize {
        self.slot_bytes() - RECORDS
    }

    /// The smallest class in which `records_bytes` fit.
    pub(crate) fn that_fits(records_bytes: usize) -> Option<SlotClass> {
        SlotClass::ALL.into_iter().find(|class| records_bytes <= class.records_bytes_max())
    }

    pub(super) fn from_slot_bytes(bytes: u32) -> Option<SlotClass> {
        SlotClass::ALL.into_iter().find(|class| class.slot_bytes() == bytes as usize)
    }
}

/// Whose batch a slot holds, and with what it begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Identity {
    pub(crate) topic_id: u128,
    pub(crate) partition: u32,
    pub(crate) start: BatchStart,
}

impl Identity {
    /// The offset of the batch's first record.
    #[inline]
    pub(crate) fn base_offset(&self) -> u64 {
        self.start.base_offset
    }

    /// Its bytes, for a slot of so many bytes in this use.
    pub(crate) fn encode(&self, slot_bytes: u32, generation: u64) -> [u8; IDENTITY_BYTES] {
        let mut out = Vec::with_capacity(IDENTITY_BYTES);
        out.extend_from_slice(&SLOT_MAGIC.to_be_bytes());
        out.extend_from_slice(&slot_bytes.to_be_bytes());
        out.extend_from_slice(&generation.to_be_bytes());
        out.extend_from_slice(&self.topic_id.to_be_bytes());
        out.extend_from_slice(&self.partition.to_be_bytes());
        let BatchStart { base_offset, leader_epoch, attributes, base_timestamp, stamp } = self.start;
        out.extend_from_slice(&leader_epoch.to_be_bytes());
        out.extend_from_slice(&base_offset.to_be_bytes());
        out.extend_from_slice(&base_timestamp.to_be_bytes());
        out.extend_from_slice(&stamp.producer_id.to_be_bytes());
        out.extend_from_slice(&stamp.producer_epoch.to_be_bytes());
        out.extend_from_slice(&attributes.bits(stamp.is_transactional).to_be_bytes());
        out.extend_from_slice(&stamp.base_sequence.to_be_bytes());
        out.extend_from_slice(&crc32fast::hash(&out).to_be_bytes());
        let mut bytes = [0; IDENTITY_BYTES];
        bytes.copy_from_slice(&out);
        bytes
    }

    /// The identity, slot bytes and generation that `bytes` state, if they are whole and make sense.
    pub(crate) fn decode(bytes: &[u8]) -> Option<(Identity, SlotClass, u64)> {
        let (body, rest) = bytes.split_at_checked(IDENTITY_BYTES - 4)?;
        let mut check = Fields(rest);
        if check.u32()? != crc32fast::hash(body) {
            return None;
        }
        let mut fields = Fields(body);
        if fields.u32()? != SLOT_MAGIC {
            return None;
        }
        let class = SlotClass::from_slot_bytes(fields.u32()?)?;
        let generation = fields.u64()?;
        let (topic_id, partition) = (u128::from_be_bytes(fields.take()?), fields.u32()?);
        let leader_epoch = i32::from_be_bytes(fields.take()?);
        let base_offset = fields.u64()?;
        let base_timestamp = i64::from_be_bytes(fields.take()?);
        let (producer_id, producer_epoch) = (i64::from_be_bytes(fields.take()?), i16::from_be_bytes(fields.take()?));
        let (attributes, is_transactional) = Attributes::from_bits_of_plain(i16::from_be_bytes(fields.take()?));
        let base_sequence = i32::from_be_bytes(fields.take()?);
        let stamp = ProducerStamp { producer_id, producer_epoch, base_sequence, is_transactional };
        let start = BatchStart { base_offset, leader_epoch, attributes, base_timestamp, stamp };
        // No log has offsets above.
        i64::try_from(base_offset).ok()?;
        Some((Identity { topic_id, partition, start }, class, generation))
    }
}

/// How much of a slot's records is complete: their bytes and the CRC-32C over them, in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Published {
    pub(crate) records_bytes: u32,
    pub(crate) records_crc: u32,
}

impl Published {
    pub(super) fn to_word(self) -> u64 {
        u64::from(self.records_crc) << 32 | u64::from(self.records_bytes)
    }

    pub(super) fn from_word(word: u64) -> Published {
        #[allow(clippy::cast_possible_truncation, reason = "the low half is wanted")]
        Published { records_bytes: word as u32, records_crc: (word >> 32) as u32 }
    }
}

/// A copy of `published` from before a sync, as three words: sequence, copy, checksum.
pub(super) fn encode_commit(generation: u64, sequence: u64, published: Published) -> [u64; 3] {
    [sequence, published.to_word(), commit_check(generation, sequence, published)]
}

/// The sequence and copy in `bytes`, if they belong to this use of the slot.
pub(super) fn decode_commit(bytes: &[u8], generation: u64) -> Option<(u64, Published)> {
    let mut fields = Fields(bytes);
    let (sequence, published) = (fields.u64()?, Published::from_word(fields.u64()?));
    (fields.u64()? == commit_check(generation, sequence, published)).then_some((sequence, published))
}

fn commit_check(generation: u64, sequence: u64, published: Published) -> u64 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&generation.to_be_bytes());
    hasher.update(&sequence.to_be_bytes());
    hasher.update(&published.to_word().to_be_bytes());
    // The high half is never zero, so that zeros are no commit whatever their checksum.
    1 << 32 | u64::from(hasher.finalize())
}

/// The file's first 16 bytes.
pub(super) fn encode_file_header() -> [u8; 16] {
    let mut out = [0; 16];
    out[..8].copy_from_slice(&FILE_MAGIC);
    out[8..12].copy_from_slice(&FILE_VERSION.to_be_bytes());
    let check = crc32fast::hash(&out[..12]);
    out[12..].copy_from_slice(&check.to_be_bytes());
    out
}

/// The file's version, if its header is whole.
pub(super) fn decode_file_header(bytes: &[u8]) -> Option<u32> {
    let (body, rest) = bytes.split_at_checked(12)?;
    let check = Fields(rest).u32()?;
    let version = Fields(body.strip_prefix(&FILE_MAGIC)?).u32()?;
    (check == crc32fast::hash(body)).then_some(version)
}

/// The word of a file's header at byte `at`.
pub(super) fn header_word(header: &[u8], at: usize) -> Option<u64> {
    Fields(header.get(at..)?).u64()
}

pub(super) fn encode_chunk_entry(chunk: usize, class: SlotClass) -> [u8; CHUNK_ENTRY_BYTES] {
    #[allow(clippy::cast_possible_truncation, reason = "at most 64 KiB")]
    let slot_bytes = class.slot_bytes() as u32;
    let mut out = [0; CHUNK_ENTRY_BYTES];
    out[..4].copy_from_slice(&slot_bytes.to_be_bytes());
    out[4..].copy_from_slice(&chunk_check(chunk, slot_bytes).to_be_bytes());
    out
}

pub(super) fn decode_chunk_entry(chunk: usize, bytes: &[u8]) -> Option<SlotClass> {
    let mut fields = Fields(bytes);
    let (slot_bytes, check) = (fields.u32()?, fields.u32()?);
    if check != chunk_check(chunk, slot_bytes) {
        return None;
    }
    SlotClass::from_slot_bytes(slot_bytes)
}

fn chunk_check(chunk: usize, slot_bytes: u32) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&(chunk as u64).to_be_bytes());
    hasher.update(&slot_bytes.to_be_bytes());
    hasher.finalize()
}

/// Where chunk number `chunk` begins in the file.
pub(super) fn chunk_position(chunk: usize) -> u64 {
    (FILE_HEADER_BYTES + chunk * CHUNK_BYTES) as u64
}

/// Takes big-endian fields off the front.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (first, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*first)
    }

    fn u32(&mut self) -> Option<u32> {
        self.take().map(u32::from_be_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.take().map(u64::from_be_bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const IDENTITY: Identity = Identity {
        topic_id: 7,
        partition: 3,
        start: BatchStart {
            base_offset: 42,
            leader_epoch: 1,
            attributes: Attributes::NONE,
            base_timestamp: 1_700_000_000_000,
            stamp: ProducerStamp { producer_id: 5, producer_epoch: 2, base_sequence: 40, is_transactional: true },
        },
    };

    #[test]
    fn an_identity_goes_there_and_back_and_any_flipped_byte_is_found() {
        let bytes = IDENTITY.encode(4096, 9);
        assert_eq!(Identity::decode(&bytes), Some((IDENTITY, SlotClass::Small, 9)));
        for at in 0..bytes.len() {
            let mut damaged = bytes;
            damaged[at] ^= 1;
            assert_eq!(Identity::decode(&damaged), None, "byte {at}");
        }
    }

    #[test]
    fn a_commit_of_another_generation_and_zeros_are_no_commits() {
        let published = Published { records_bytes: 10, records_crc: 99 };
        let bytes: Vec<u8> = encode_commit(5, 1, published).iter().flat_map(|word| word.to_be_bytes()).collect();
        assert_eq!(decode_commit(&bytes, 5), Some((1, published)));
        assert_eq!(decode_commit(&bytes, 6), None);
        assert_eq!(decode_commit(&[0; COMMIT_BYTES], 0), None);
    }

    #[test]
    fn the_golden_bytes_of_the_file_header_hold() {
        assert_eq!(decode_file_header(&encode_file_header()), Some(2));
        assert_eq!(&encode_file_header()[..12], b"OTTLTAIL\0\0\0\x02");
        assert_eq!(decode_chunk_entry(3, &encode_chunk_entry(3, SlotClass::Large)), Some(SlotClass::Large));
        assert_eq!(decode_chunk_entry(4, &encode_chunk_entry(3, SlotClass::Large)), None);
    }
}
