//! What the target of a stream asks with: all that it has, so that nobody else need remember it.
//!
//! ```text
//! byte  size  field             the description of a request, big-endian
//!    0    16  source_id         the directory that it follows; 0 if there is no replica yet
//!   16     8  taken_ms          when its source was as it is, by the wall clock; −1 if it has never caught up
//!   24     4  topic_count
//!    -     -  topics            byte  size  field of one topic
//!                                  0    16  topic_id
//!                                 16     4  partitions
//!                                 20     1  name_bytes
//!                                 21     -  name            by the rules for topic names
//!    -     4  log_count
//!    -     -  logs, ascending   byte  size  field of one log
//!                                  0     -  state           as in partition/log_state.rs: it acknowledges what is below next_offset
//!                                  -     4  noted_bytes
//!                                  -     -  noted           as in partition/manifest.rs: the segments that its source has noted
//!                                  -     -  written         of each that the state names, in its order
//!                                           byte  size  field
//!                                              0     8  next_offset
//!                                              8     8  log_bytes         where it is 0 there is no batch, and the rest is 0
//!                                             16     4  first_header_crc32
//!                                             20     4  last_header_crc32
//!                                             24     8  last_position     the byte where the last batch begins
//!                                  -     4  whole_count
//!                                  -     8  base_offset     of each segment that must come as a whole
//!                                  -     4  behind_count
//!                                  -    20  behind          of each log file that has come in a round that was given up: base_offset,
//!                                                           log_bytes, and the CRC-32 of them in 4 bytes
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::broker::topic_name;
use crate::format::{Invalid, Reader, crc32c};
use crate::partition::log_id::LogId;
use crate::partition::log_state::{LogState, offset};
use crate::partition::manifest::Manifest;
use crate::replica::held_log::{HeldLog, WrittenSegment};
use crate::replica::history::HeldTopic;
use crate::segment::{FileSum, HeaderSums};

/// What the target of a stream has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Request {
    /// 0 if there is no replica yet.
    pub(super) source_id: u128,
    pub(super) taken_ms: i64,
    pub(super) topics: Vec<RequestTopic>,
    pub(super) logs: BTreeMap<LogId, HeldLog>,
}

/// A topic that it has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RequestTopic {
    pub(super) name: Arc<str>,
    pub(super) topic_id: u128,
    pub(super) partitions: u32,
}

impl RequestTopic {
    pub(super) fn held(&self) -> HeldTopic<'_> {
        HeldTopic { name: &self.name, topic_id: self.topic_id, partitions: self.partitions }
    }
}

impl Request {
    /// That of a replica that is not there yet.
    pub(super) fn of_nothing() -> Request {
        let (topics, logs) = Default::default();
        Request { source_id: 0, taken_ms: -1, topics, logs }
    }

    /// Tells what it says that its sender has from anything else, but for the files that came in a round that was given up: a reply can be
    /// applied once more after that.
    pub(super) fn fingerprint(&self) -> u64 {
        let mut without = self.clone();
        without.taken_ms = -1;
        without.logs.values_mut().for_each(|held| held.behind.clear());
        let bytes = without.encode();
        u64::from(crc32fast::hash(&bytes)) << 32 | u64::from(crc32c(&bytes))
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = self.source_id.to_be_bytes().to_vec();
        out.extend(self.taken_ms.to_be_bytes());
        count(self.topics.len(), &mut out);
        for topic in &self.topics {
            out.extend(topic.topic_id.to_be_bytes());
            out.extend(topic.partitions.to_be_bytes());
            out.push(u8::try_from(topic.name.len()).expect("a checked name has at most 249 bytes"));
            out.extend_from_slice(topic.name.as_bytes());
        }
        count(self.logs.len(), &mut out);
        self.logs.values().for_each(|held| encode_log(held, &mut out));
        out
    }

    /// Reads what [`encode`](Request::encode) wrote. The bytes may be anything.
    pub(super) fn decode(bytes: &[u8]) -> Result<Request, Invalid> {
        let mut reader = Reader::new(bytes);
        let source_id = u128::from_be_bytes(reader.array()?);
        let taken_ms = reader.i64()?;
        let mut topics: Vec<RequestTopic> = Vec::new();
        for _ in 0..reader.u32()? {
            topics.push(decode_topic(&mut reader)?);
        }
        let partitions: BTreeMap<u128, u32> = topics.iter().map(|topic| (topic.topic_id, topic.partitions)).collect();
        if partitions.len() < topics.len() {
            return Err(Invalid::Malformed("two topics have one id"));
        }
        let mut logs: BTreeMap<LogId, HeldLog> = BTreeMap::new();
        for _ in 0..reader.u32()? {
            let held = decode_log(&mut reader)?;
            let log = held.state.log;
            if partitions.get(&log.topic_id).is_none_or(|partitions| *partitions <= log.partition) {
                return Err(Invalid::Malformed("a log is of no topic"));
            }
            if logs.last_key_value().is_some_and(|(last, _)| log <= *last) {
                return Err(Invalid::Malformed("the logs are not in order"));
            }
            logs.insert(log, held);
        }
        if !reader.is_empty() {
            return Err(Invalid::Malformed("a request has more than its logs"));
        }
        Ok(Request { source_id, taken_ms, topics, logs })
    }
}

fn decode_topic(reader: &mut Reader<'_>) -> Result<RequestTopic, Invalid> {
    let (topic_id, partitions) = (u128::from_be_bytes(reader.array()?), reader.u32()?);
    let name_bytes = reader.u8()?.into();
    let name = std::str::from_utf8(reader.take(name_bytes)?).ok();
    let name = name.filter(|name| topic_name::validate(name).is_ok());
    let name = name.ok_or(Invalid::Malformed("a topic has a name that none may have"))?;
    Ok(RequestTopic { name: name.into(), topic_id, partitions })
}

fn encode_log(held: &HeldLog, out: &mut Vec<u8>) {
    held.state.encode(out);
    let noted = Manifest::new(held.state.log).with_segments(held.noted.values().cloned().collect()).encode();
    count(noted.len(), out);
    out.extend(noted);
    for written in &held.written {
        out.extend(written.next_offset.to_be_bytes());
        out.extend(written.log_bytes.to_be_bytes());
        let sums = written.sums.unwrap_or(HeaderSums { first: 0, last: 0, last_position: 0 });
        out.extend(sums.first.to_be_bytes());
        out.extend(sums.last.to_be_bytes());
        out.extend(sums.last_position.to_be_bytes());
    }
    count(held.whole.len(), out);
    held.whole.iter().for_each(|base_offset| out.extend(base_offset.to_be_bytes()));
    count(held.behind.len(), out);
    for (base_offset, sum) in &held.behind {
        out.extend(base_offset.to_be_bytes());
        out.extend(sum.bytes.to_be_bytes());
        out.extend(sum.crc32.to_be_bytes());
    }
}

fn decode_log(reader: &mut Reader<'_>) -> Result<HeldLog, Invalid> {
    let state = LogState::decode(reader)?;
    let noted_bytes = usize::try_from(reader.u32()?).unwrap_or(usize::MAX);
    let manifest = Manifest::decode_sent(reader.take(noted_bytes)?)?;
    if manifest.log != state.log {
        return Err(Invalid::Malformed("the segments of a log are those of another one"));
    }
    let noted = manifest.segments.into_iter().map(|noted| (noted.sealed.base_offset, noted)).collect();
    let noted = Arc::new(noted);
    let mut written = Vec::new();
    for &base_offset in &state.written {
        written.push(decode_written(base_offset, &state, reader)?);
    }
    let mut whole = BTreeSet::new();
    for _ in 0..reader.u32()? {
        whole.insert(offset(reader)?);
    }
    let mut behind = BTreeMap::new();
    for _ in 0..reader.u32()? {
        let base_offset = offset(reader)?;
        behind.insert(base_offset, FileSum { bytes: u64::from_be_bytes(reader.array()?), crc32: reader.u32()? });
    }
    Ok(HeldLog { state, noted, written, whole, behind })
}

fn decode_written(base_offset: u64, state: &LogState, reader: &mut Reader<'_>) -> Result<WrittenSegment, Invalid> {
    let (next_offset, log_bytes) = (offset(reader)?, offset(reader)?);
    let (first, last, last_position) = (reader.u32()?, reader.u32()?, offset(reader)?);
    let sums = (0 < log_bytes).then_some(HeaderSums { first, last, last_position });
    let is_empty = log_bytes == 0;
    if next_offset < base_offset || state.next_offset < next_offset || is_empty != (next_offset == base_offset) {
        return Err(Invalid::Malformed("the end of a segment is out of bounds"));
    }
    if sums.is_some_and(|sums| log_bytes <= sums.last_position) {
        return Err(Invalid::Malformed("the last batch of a segment begins behind its end"));
    }
    Ok(WrittenSegment { base_offset, next_offset, log_bytes, sums })
}

fn count(length: usize, out: &mut Vec<u8>) {
    out.extend(u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes());
}
