//! What is found in files, as plain data. Times are those of the file, where −1 ms stands for none; so are numbers of producers.

use std::path::PathBuf;

use serde::Serialize;

use super::Decoded;
use crate::format::{BatchHeader, Headers};
use crate::record::Timestamp;

/// A piece of a file.
#[derive(Debug)]
#[non_exhaustive]
pub enum Item<'a> {
    /// Of a `.log`.
    Batch(Batch),
    /// Of a `.log`, behind the batch that it is in.
    Record(Record<'a>),
    /// Of an `.index`.
    OffsetEntry(OffsetEntry),
    /// Of a `.timeindex`.
    TimeEntry(TimeEntry),
    /// Of a `.txnindex`.
    AbortedTransaction(AbortedTransaction),
    /// Of a `.snapshot`.
    Producer(Producer),
    /// Of a `leader-epoch-checkpoint`.
    LeaderEpoch(LeaderEpoch),
    /// Of a `partition.metadata`.
    TopicId(TopicId),
    /// Of a `manifest`.
    Manifest(Manifest),
    /// Of a `manifest`, behind that.
    Segment(Segment),
    /// Of a `recovery-point`.
    RecoveryPoint(RecoveryPoint),
    /// Of a `catalog`.
    Directory(Directory),
    /// Of a `catalog`, behind that.
    Topic(Topic),
    /// Of a `tail` or `tail-always`.
    OpenBatch(OpenBatch),
    /// Something that does not hold.
    Problem(Problem),
}

/// The header of a batch, and where it is.
#[allow(clippy::struct_excessive_bools, reason = "flags of the format")]
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Batch {
    /// The byte of the file where it begins.
    pub file_position: u64,
    /// Its size in bytes, header included.
    pub bytes: u32,
    /// Offset of its first record as first written.
    pub base_offset: u64,
    /// Offset of its last record as first written, included.
    pub last_offset: u64,
    /// Records that it says are there.
    pub record_count: u32,
    /// That of the leader that appended it.
    pub leader_epoch: i32,
    /// How its records are compressed, by Kafka's name.
    pub codec: &'static str,
    /// CRC-32C of all from the attributes on, as the header has it.
    pub crc: u32,
    /// Whether that is the checksum of the bytes, and the batch may stand where it does.
    pub is_valid: bool,
    /// Whether it is part of a transaction.
    pub is_transactional: bool,
    /// Whether it is a marker.
    pub is_control: bool,
    /// Whether the time of its records is that of the append.
    pub is_log_append_time: bool,
    /// What the times of its records are relative to.
    pub base_timestamp: Timestamp,
    /// The largest time of its records.
    pub max_timestamp: Timestamp,
    /// From when on compaction may remove its tombstones or marker.
    pub delete_horizon: Option<Timestamp>,
    /// The producer, −1 for none.
    pub producer_id: i64,
    /// The producer's epoch, −1 for none.
    pub producer_epoch: i16,
    /// Sequence of the first record, −1 for none.
    pub base_sequence: i32,
    /// Sequence of the last record, −1 for none.
    pub last_sequence: i32,
    /// What it says, if it is a marker that can be read.
    pub marker: Option<Decoded<'static>>,
}

impl Batch {
    pub(super) fn new(file_position: u64, header: &BatchHeader, is_valid: bool) -> Batch {
        let start = &header.start;
        Batch {
            file_position,
            bytes: header.batch_bytes,
            base_offset: header.base_offset(),
            last_offset: header.last_offset(),
            record_count: header.record_count.unsigned_abs(),
            leader_epoch: start.leader_epoch,
            codec: start.attributes.codec().name(),
            crc: header.crc,
            is_valid,
            is_transactional: start.stamp.is_transactional,
            is_control: start.attributes.is_control(),
            is_log_append_time: start.attributes.is_log_append_time(),
            base_timestamp: Timestamp::from_millis(start.base_timestamp),
            max_timestamp: Timestamp::from_millis(header.max_timestamp),
            delete_horizon: header.delete_horizon().map(Timestamp::from_millis),
            producer_id: start.stamp.producer_id,
            producer_epoch: start.stamp.producer_epoch,
            base_sequence: start.stamp.base_sequence,
            last_sequence: header.last_sequence(),
            marker: None,
        }
    }
}

/// A record in a batch.
#[derive(Debug)]
#[non_exhaustive]
pub struct Record<'a> {
    /// Its offset.
    pub offset: u64,
    /// Its time, or that of its batch's append.
    pub timestamp: Timestamp,
    /// Its sequence, −1 for none.
    pub sequence: i32,
    /// Its key, if it has one.
    pub key: Option<&'a [u8]>,
    /// Its value; none makes it a tombstone.
    pub value: Option<&'a [u8]>,
    /// Its headers.
    pub headers: Headers<'a>,
    /// What a coordinator said with it.
    pub decoded: Option<Decoded<'a>>,
}

/// An entry of an offset index.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct OffsetEntry {
    /// Last offset of a batch.
    pub offset: u64,
    /// Where that batch begins in the `.log`.
    pub file_position: u64,
}

/// An entry of a time index.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct TimeEntry {
    /// The largest time up to and including a batch.
    pub timestamp: Timestamp,
    /// Last offset of that batch.
    pub offset: u64,
}

/// An entry of a transaction index.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct AbortedTransaction {
    /// Whose it was.
    pub producer_id: i64,
    /// The offset with which it began.
    pub first_offset: u64,
    /// The offset of the marker that ended it.
    pub last_offset: u64,
    /// One above the last offset that was stable then.
    pub last_stable_offset: u64,
}

/// An entry of a snapshot of producers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Producer {
    /// Which one.
    pub producer_id: i64,
    /// Its epoch.
    pub producer_epoch: i16,
    /// Epoch of the coordinator that wrote its last marker, −1 if there is none.
    pub coordinator_epoch: i32,
    /// The largest time of its last batch, or that of its last marker.
    pub last_timestamp: Timestamp,
    /// Sequence of the last record of its last batch, if that is known.
    pub last_sequence: Option<i32>,
    /// Offset of that record.
    pub last_offset: Option<u64>,
    /// Where its open transaction begins, if it has one.
    pub transaction_first_offset: Option<u64>,
}

/// A line of a list of leader epochs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct LeaderEpoch {
    /// The epoch.
    pub epoch: i32,
    /// The first offset that is of it.
    pub first_offset: u64,
}

/// The topic that a partition's directory belongs to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct TopicId {
    /// Its id, as Kafka prints it.
    pub topic_id: String,
}

/// What a manifest says of the log as a whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Manifest {
    /// Whose it is: the topic's id, as Kafka prints it.
    pub topic_id: String,
    /// Whose it is: the number of the partition.
    pub partition: u32,
    /// The first offset that may be read.
    pub log_start_offset: u64,
    /// What ends at or below this was compacted.
    pub clean_offset: u64,
    /// Segments that it lists.
    pub segment_count: usize,
}

/// A sealed segment in a manifest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Segment {
    /// Its first offset, and name.
    pub base_offset: u64,
    /// The offset after its last.
    pub next_offset: u64,
    /// The size of its log file in bytes.
    pub log_bytes: u64,
    /// The largest time in it.
    pub max_timestamp: Option<Timestamp>,
    /// Whether offsets may be missing between its batches.
    pub has_gaps: bool,
    /// When its first batch was begun.
    pub created: Option<Timestamp>,
    /// When the next one was made.
    pub rolled: Option<Timestamp>,
    /// CRC-32 of the whole log file.
    pub log_crc32: Option<u32>,
    /// From when on a tombstone in it may go.
    pub delete_horizon: Option<Timestamp>,
}

/// A record of a recovery point, of which the file has two.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct RecoveryPoint {
    /// The higher one counts.
    pub generation: u64,
    /// Whose it is: the topic's id, as Kafka prints it.
    pub topic_id: String,
    /// Whose it is: the number of the partition.
    pub partition: u32,
    /// Base offset of the segment that was active.
    pub base_offset: u64,
    /// The byte up to which that is synced.
    pub file_position: u64,
    /// The offset of what comes there.
    pub next_offset: u64,
    /// The leader epoch there.
    pub leader_epoch: i32,
    /// The largest time of that segment, up to there.
    pub max_timestamp: Option<Timestamp>,
    /// Whether offsets may be missing below.
    pub has_gaps: bool,
}

/// What a catalog says of the data directory as a whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Directory {
    /// Its id, in hexadecimal.
    pub directory_id: String,
    /// Where its content came from: `made-here`, `restored` or `promoted`.
    pub origin: &'static str,
    /// The id of the directory that it came from.
    pub source_id: Option<String>,
    /// The least leader epoch of what is appended to it.
    pub least_leader_epoch: i32,
}

/// A topic in a catalog.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Topic {
    /// Its name.
    pub name: String,
    /// Its id, as Kafka prints it.
    pub topic_id: String,
    /// The number of its partitions.
    pub partitions: u32,
    /// Whether it is given up, and its files are being removed.
    pub is_being_deleted: bool,
}

/// A batch that was not sealed, in a slot of a tail.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct OpenBatch {
    /// The byte of the file where its slot begins.
    pub file_position: u64,
    /// Whose it is: the topic's id, as Kafka prints it.
    pub topic_id: String,
    /// Whose it is: the number of the partition.
    pub partition: u32,
    /// The offset of its first record.
    pub base_offset: u64,
    /// The leader epoch.
    pub leader_epoch: i32,
    /// Whole records that are there.
    pub record_count: u64,
    /// Their size in bytes.
    pub records_bytes: usize,
    /// How much of that is proven to have been synced.
    pub durable_bytes: usize,
    /// The producer, −1 for none.
    pub producer_id: i64,
    /// The producer's epoch, −1 for none.
    pub producer_epoch: i16,
    /// Whether it is part of a transaction.
    pub is_transactional: bool,
}

/// Something that does not hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Problem {
    /// The byte of the file where it begins.
    pub file_position: u64,
    /// What does not hold.
    pub reason: String,
}

/// Where a file is, for messages about another one.
pub(super) fn shown(path: &std::path::Path) -> String {
    path.file_name()
        .map_or_else(|| PathBuf::from(path).display().to_string(), |name| name.to_string_lossy().into_owned())
}
