//! Items as JSON: an object each, whose `type` says what it is.

use std::path::Path;

use ottla::Timestamp;
use ottla::inspect::{
    AbortedTransaction, Batch, Decoded, Directory, FileKind, Item, LeaderEpoch, Manifest, OffsetEntry, OpenBatch,
    Problem, Producer, Record, RecoveryPoint, Segment, TimeEntry, Topic, TopicId,
};
use serde::{Serialize, Serializer};

use super::Shown;
use crate::output::text;

/// The file that the items behind it are of.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename = "file")]
pub struct File<'a> {
    pub path: &'a Path,
    pub kind: Option<FileKind>,
}

/// An item.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Line<'a> {
    Batch(&'a Batch),
    Record(RecordLine<'a>),
    OffsetEntry(&'a OffsetEntry),
    TimeEntry(&'a TimeEntry),
    AbortedTransaction(&'a AbortedTransaction),
    Producer(&'a Producer),
    LeaderEpoch(&'a LeaderEpoch),
    TopicId(&'a TopicId),
    Manifest(&'a Manifest),
    Segment(&'a Segment),
    RecoveryPoint(&'a RecoveryPoint),
    Directory(&'a Directory),
    Topic(&'a Topic),
    OpenBatch(&'a OpenBatch),
    Problem(&'a Problem),
}

impl<'a> Line<'a> {
    /// `None` for a kind of item that this program is too old for.
    pub fn of(item: &'a Item<'_>, shown: Shown) -> Option<Line<'a>> {
        Some(match item {
            Item::Batch(batch) => Line::Batch(batch),
            Item::Record(record) => Line::Record(RecordLine::new(record, shown)),
            Item::OffsetEntry(entry) => Line::OffsetEntry(entry),
            Item::TimeEntry(entry) => Line::TimeEntry(entry),
            Item::AbortedTransaction(entry) => Line::AbortedTransaction(entry),
            Item::Producer(producer) => Line::Producer(producer),
            Item::LeaderEpoch(epoch) => Line::LeaderEpoch(epoch),
            Item::TopicId(id) => Line::TopicId(id),
            Item::Manifest(manifest) => Line::Manifest(manifest),
            Item::Segment(segment) => Line::Segment(segment),
            Item::RecoveryPoint(point) => Line::RecoveryPoint(point),
            Item::Directory(directory) => Line::Directory(directory),
            Item::Topic(topic) => Line::Topic(topic),
            Item::OpenBatch(batch) => Line::OpenBatch(batch),
            Item::Problem(problem) => Line::Problem(problem),
            _ => return None,
        })
    }
}

/// A record, as much of it as is wanted.
#[derive(Debug, Serialize)]
pub struct RecordLine<'a> {
    #[serde(flatten)]
    metadata: Option<Metadata>,
    #[serde(flatten)]
    content: Option<Content<'a>>,
}

#[derive(Debug, Serialize)]
struct Metadata {
    offset: u64,
    timestamp: Timestamp,
    sequence: i32,
    key_bytes: Option<usize>,
    value_bytes: Option<usize>,
}

#[derive(Debug, Serialize)]
struct Content<'a> {
    key: Option<Bytes<'a>>,
    value: Option<Bytes<'a>>,
    headers: Vec<Header<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    decoded: Option<&'a Decoded<'a>>,
}

#[derive(Debug, Serialize)]
struct Header<'a> {
    key: &'a str,
    value: Option<Bytes<'a>>,
}

impl<'a> RecordLine<'a> {
    fn new(record: &'a Record<'_>, shown: Shown) -> RecordLine<'a> {
        let metadata = shown.metadata.then(|| Metadata {
            offset: record.offset,
            timestamp: record.timestamp,
            sequence: record.sequence,
            key_bytes: record.key.map(<[u8]>::len),
            value_bytes: record.value.map(<[u8]>::len),
        });
        let header = |header: ottla::Header<'a>| Header { key: header.key(), value: header.value().map(Bytes) };
        let content = shown.content.then(|| Content {
            key: record.key.map(Bytes),
            value: record.value.map(Bytes),
            headers: record.headers.iter().map(header).collect(),
            decoded: record.decoded.as_ref(),
        });
        RecordLine { metadata, content }
    }
}

/// Bytes as text if they are UTF-8, and else as `{"base64": …}`.
#[derive(Debug)]
struct Bytes<'a>(&'a [u8]);

impl Serialize for Bytes<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Encoded {
            base64: String,
        }
        match std::str::from_utf8(self.0) {
            Ok(utf8) => serializer.serialize_str(utf8),
            Err(_) => Encoded { base64: text::base64(self.0) }.serialize(serializer),
        }
    }
}
