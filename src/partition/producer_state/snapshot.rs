//! Producer snapshots: what is known of all producers from everything below an offset.
//!
//! ```text
//! byte  size  field                    big-endian
//!    0     2  version                  1
//!    2     4  crc                      CRC-32C from byte 6 to the end
//!    6     4  count                    of the entries
//!   10     -  entries, by producer id  byte  size  field of one entry = 46 bytes
//!                                         0     8  producer_id
//!                                         8     2  producer_epoch
//!                                        10     4  last_sequence       −1 if only a marker is known
//!                                        14     8  last_offset         of the last data batch, −1 if there is none
//!                                        22     4  offset_delta        last_offset minus the batch's first
//!                                        26     8  timestamp           the largest of the last batch, or the marker's
//!                                        34     4  coordinator_epoch   of the last marker, −1 if there is none
//!                                        38     8  first_offset        of the open transaction, −1 if there is none
//! ```
//! Kafka's file, byte by byte. It is written where a segment ends and where the recovery point of a log with producers is, and not
//! synced: a power cut may leave anything, which does not have the checksum that was noted of it. What is noted nowhere is not believed, and whatever is wrong
//! with one, the log tells the same.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;

use super::{LastBatch, ProducerState, ProducerStates};
use crate::disk::{Open, own_copy};
use crate::error::{Error, Result};
use crate::format::{Invalid, Reader, crc32c};
use crate::segment::file_name::{FileKind, FileName};
use crate::segment::{FileSum, SegmentDir};

const VERSION: i16 = 1;
/// Where the bytes begin that the checksum covers.
const CRC_START: usize = size_of::<i16>() + size_of::<u32>();
const ENTRY_BYTES: usize = 46;
/// A larger file is not loaded: no log has as many producers at a time, and what a hostile file takes of the memory is bounded.
const FILE_BYTES_MAX: u64 = 16 << 20;

const ODD: Invalid = Invalid::Malformed("a producer snapshot that makes no sense");

impl ProducerStates {
    /// The bytes of a snapshot.
    pub(in crate::partition) fn encode(&self) -> Vec<u8> {
        let mut body = Vec::with_capacity(size_of::<i32>() + self.producers.len() * ENTRY_BYTES);
        body.extend(i32::try_from(self.producers.len()).unwrap_or(i32::MAX).to_be_bytes());
        for (&producer_id, producer) in &self.producers {
            producer.encode(producer_id, &mut body);
        }
        let mut bytes = Vec::with_capacity(CRC_START + body.len());
        bytes.extend(VERSION.to_be_bytes());
        bytes.extend(crc32c(&body).to_be_bytes());
        bytes.extend(body);
        bytes
    }

    /// Reads a snapshot of what lies below `offset`. The bytes may be anything.
    ///
    /// # Errors
    /// If version, checksum or length are not right, a producer is there twice, or a field cannot be.
    pub(in crate::partition) fn decode(bytes: &[u8], offset: u64) -> Result<ProducerStates, Invalid> {
        let mut reader = Reader::new(bytes);
        let (version, crc) = (reader.i16()?, reader.u32()?);
        if version != VERSION || crc32c(reader.rest()) != crc {
            return Err(ODD);
        }
        let count = usize::try_from(reader.i32()?).map_err(|_| ODD)?;
        if count.checked_mul(ENTRY_BYTES) != Some(reader.rest().len()) {
            return Err(ODD);
        }
        let mut producers = BTreeMap::new();
        while !reader.is_empty() {
            let producer_id = reader.i64()?;
            let producer = ProducerState::decode(&mut reader, offset)?;
            if producer_id < 0 || producers.insert(producer_id, producer).is_some() {
                return Err(ODD);
            }
        }
        Ok(ProducerStates::new(producers))
    }

    /// Writes the snapshot of what lies below `offset` of a log. It is not synced.
    ///
    /// # Errors
    /// The disk's. Harmless: whoever opens the log next asks more of it.
    pub(in crate::partition) fn store(&self, dir: &SegmentDir, offset: u64) -> Result<FileSum> {
        let (path, bytes) = (path(dir, offset), self.encode());
        let write = || {
            let file = own_copy::open(&dir.files, &path, Open::CreateOrWrite, 0)?;
            file.write_at(&bytes, 0)?;
            file.set_size(bytes.len() as u64)
        };
        write().map_err(|source| Error::io("write", &path, source))?;
        Ok(FileSum::of(&bytes))
    }

    /// Reads the snapshot of what lies below `offset` of a log, if it is the file that was noted. An error of reading is no more than
    /// another reason to ask the log.
    pub(in crate::partition) fn load(dir: &SegmentDir, offset: u64, sum: FileSum) -> Option<ProducerStates> {
        let bytes = read(dir, offset, sum).ok()?.filter(|bytes| FileSum::of(bytes) == sum)?;
        ProducerStates::decode(&bytes, offset).ok()
    }
}

/// A producer as a snapshot has it, for who shows the file.
#[cfg(feature = "cli")]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SnapshotEntry {
    pub(crate) producer_id: i64,
    pub(crate) epoch: i16,
    /// Of the last marker, −1 if there is none.
    pub(crate) coordinator_epoch: i32,
    pub(crate) last_timestamp: i64,
    pub(crate) last_sequence: Option<i32>,
    pub(crate) last_offset: Option<u64>,
    pub(crate) transaction_first_offset: Option<u64>,
}

/// The entries of a snapshot of what lies below `offset`, by producer id.
///
/// # Errors
/// As [`ProducerStates::decode`].
#[cfg(feature = "cli")]
pub(crate) fn entries(bytes: &[u8], offset: u64) -> Result<Vec<SnapshotEntry>, Invalid> {
    let entry = |(&producer_id, producer): (&i64, &ProducerState)| SnapshotEntry {
        producer_id,
        epoch: producer.epoch,
        coordinator_epoch: producer.coordinator_epoch,
        last_timestamp: producer.last_timestamp,
        last_sequence: producer.last_batch.map(|last| last.last_sequence),
        last_offset: producer.last_batch.map(|last| last.last_offset),
        transaction_first_offset: producer.transaction_first_offset,
    };
    Ok(ProducerStates::decode(bytes, offset)?.producers.iter().map(entry).collect())
}

impl ProducerState {
    fn encode(&self, producer_id: i64, out: &mut Vec<u8>) {
        let none = LastBatch { last_sequence: -1, last_offset: u64::MAX, offset_delta: 0 };
        let LastBatch { last_sequence, last_offset, offset_delta } = self.last_batch.unwrap_or(none);
        out.extend(producer_id.to_be_bytes());
        out.extend(self.epoch.to_be_bytes());
        out.extend(last_sequence.to_be_bytes());
        out.extend(last_offset.to_be_bytes());
        out.extend(offset_delta.to_be_bytes());
        out.extend(self.last_timestamp.to_be_bytes());
        out.extend(self.coordinator_epoch.to_be_bytes());
        out.extend(self.transaction_first_offset.unwrap_or(u64::MAX).to_be_bytes());
    }

    fn decode(reader: &mut Reader<'_>, end: u64) -> Result<ProducerState, Invalid> {
        let epoch = reader.i16()?;
        let (last_sequence, last_offset, offset_delta) = (reader.i32()?, reader.i64()?, reader.i32()?);
        let (last_timestamp, coordinator_epoch, first_offset) = (reader.i64()?, reader.i32()?, reader.i64()?);
        let below_end = |offset: i64| match u64::try_from(offset) {
            Ok(offset) if offset < end => Ok(Some(offset)),
            Err(_) if offset == -1 => Ok(None),
            _ => Err(ODD),
        };
        let last_batch =
            below_end(last_offset)?.map(|last_offset| LastBatch { last_sequence, last_offset, offset_delta });
        let is_possible = |last: &LastBatch| {
            u64::try_from(last.offset_delta).is_ok_and(|delta| delta <= last.last_offset) && -1 <= last.last_sequence
        };
        if !last_batch.as_ref().is_none_or(is_possible) {
            return Err(ODD);
        }
        let transaction_first_offset = below_end(first_offset)?;
        Ok(ProducerState { epoch, coordinator_epoch, last_timestamp, last_batch, transaction_first_offset })
    }
}

/// The file with the state of what lies below `offset`.
pub(in crate::partition) fn path(dir: &SegmentDir, offset: u64) -> PathBuf {
    FileName::live(offset, FileKind::ProducerSnapshot).path(&dir.path)
}

/// The bytes of a snapshot; `None` if they are not as many as were noted.
pub(in crate::partition) fn read(dir: &SegmentDir, offset: u64, sum: FileSum) -> io::Result<Option<Vec<u8>>> {
    let file = dir.files.disk().open(&path(dir, offset), Open::Read)?;
    if file.size_when_opened() != sum.bytes || FILE_BYTES_MAX < sum.bytes {
        return Ok(None);
    }
    let mut bytes = vec![0; usize::try_from(sum.bytes).unwrap_or(0)];
    let read = file.read_at(&mut bytes, 0)?;
    bytes.truncate(read);
    Ok(Some(bytes))
}
