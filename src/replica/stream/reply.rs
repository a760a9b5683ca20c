//! What the source of a stream has, as its reply describes it before the pieces come.
//!
//! ```text
//! byte  size  field             the description of a reply, big-endian
//!    0     8  fingerprint       of the request that it answers
//!    8     8  taken_ms          when the source was so, by the wall clock
//!   16     4  catalog_bytes
//!   20     -  catalog           as in broker/catalog/format.rs
//!    -     4  log_count         as many as all topics have partitions
//!    -     -  logs, ascending   byte  size  field of one log
//!                                  0     4  noted_bytes
//!                                  4     -  noted           as in partition/manifest.rs
//!                                  -     8  next_offset     where it ends
//!                                  -     -  epochs          as in partition/log_state.rs
//!                                  -     8  seen_offset     where it ends with what is not offered
//!                                  -     -  seen_epochs     as in partition/log_state.rs
//!                                  -     4  unnoted_count
//!                                  -    25  unnoted         of each segment behind those that are noted, ascending: base_offset,
//!                                                           next_offset, created_ms (−1 where it is not known), and in one byte
//!                                                           whether offsets may be missing
//! ```

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::broker::catalog::Catalog;
use crate::format::{Invalid, Reader};
use crate::partition::config::Refusal;
use crate::partition::log_copy::LogBounds;
use crate::partition::log_offer::{LogOffer, OfferedSegment};
use crate::partition::log_state::{decode_epochs, encode_epochs, offset};
use crate::partition::manifest::Manifest;
use crate::replica::offer::{DirectoryOffer, OfferedLog};
use crate::topic_partition::TopicPartition;

/// A topic of an offer, by its id: its name, and how many partitions it has.
type TopicsById<'t> = BTreeMap<u128, (&'t Arc<str>, u32)>;

/// Describes what is offered in answer to the request with this fingerprint.
pub(super) fn encode(fingerprint: u64, offer: &DirectoryOffer) -> Vec<u8> {
    let mut out = fingerprint.to_be_bytes().to_vec();
    out.extend(offer.taken_ms.to_be_bytes());
    sized(&Catalog::encode_copy(offer.identity, &offer.topics), &mut out);
    count(offer.logs.len(), &mut out);
    for OfferedLog { id, has, .. } in &offer.logs {
        let LogBounds { log_start_offset, clean_offset, .. } = has.bounds;
        let of_log = Manifest::of_copy(*id, log_start_offset, clean_offset);
        sized(&of_log.with_segments(has.noted.clone()).encode(), &mut out);
        out.extend(has.bounds.next_offset.to_be_bytes());
        encode_epochs(&has.bounds.epochs, &mut out);
        out.extend(has.seen.1.to_be_bytes());
        encode_epochs(&has.seen.0, &mut out);
        count(has.unnoted.len(), &mut out);
        for segment in &has.unnoted {
            out.extend(segment.base_offset.to_be_bytes());
            out.extend(segment.next_offset.to_be_bytes());
            out.extend(segment.created_ms.unwrap_or(-1).to_be_bytes());
            out.push(u8::from(segment.has_gaps));
        }
    }
    out
}

/// Reads what [`encode`] wrote. The bytes may be anything.
pub(super) fn decode(bytes: &[u8]) -> Result<(u64, DirectoryOffer), Invalid> {
    let mut reader = Reader::new(bytes);
    let fingerprint = u64::from_be_bytes(reader.array()?);
    let taken_ms = reader.i64()?;
    let (identity, topics) = Catalog::decode_copy(take_sized(&mut reader)?).map_err(|refusal| match refusal {
        Refusal::Invalid(invalid) => invalid,
        Refusal::Newer => Invalid::Malformed("a topic has settings of a newer version: update the crate at this end"),
    })?;
    let by_id: TopicsById<'_> =
        topics.iter().map(|(name, entry)| (entry.topic_id, (name, entry.config.partitions))).collect();
    let mut logs: Vec<OfferedLog> = Vec::new();
    for _ in 0..reader.u32()? {
        let log = decode_log(&mut reader, &by_id)?;
        if logs.last().is_some_and(|last| log.id <= last.id) {
            return Err(Invalid::Malformed("the logs are not in order"));
        }
        logs.push(log);
    }
    if !reader.is_empty() {
        return Err(Invalid::Malformed("a reply describes more than its logs"));
    }
    let offer = DirectoryOffer { identity, topics, logs, taken_ms };
    // So nothing is made in such numbers as a few bytes can say.
    if !offer.has_all_logs() {
        return Err(Invalid::Malformed("a topic has partitions that are not described"));
    }
    Ok((fingerprint, offer))
}

fn decode_log(reader: &mut Reader<'_>, topics: &TopicsById<'_>) -> Result<OfferedLog, Invalid> {
    let manifest = Manifest::decode_sent(take_sized(reader)?)?;
    let (clean_offset, log_start_offset, id) = (manifest.clean_offset(), manifest.log_start_offset, manifest.log);
    let topic = topics.get(&id.topic_id).filter(|(_, partitions)| id.partition < *partitions);
    let (name, _) = topic.ok_or(Invalid::Malformed("a log is of no topic"))?;
    let (next_offset, epochs) = (offset(reader)?, decode_epochs(reader)?);
    let (seen_offset, seen_epochs) = (offset(reader)?, decode_epochs(reader)?);
    let mut unnoted = Vec::new();
    for _ in 0..reader.u32()? {
        unnoted.push(decode_segment(reader)?);
    }
    let bounds = LogBounds { log_start_offset, next_offset, clean_offset, epochs };
    let has = LogOffer { noted: manifest.segments, unnoted, bounds, seen: (seen_epochs, seen_offset) };
    check_log(&has)?;
    let partition = TopicPartition::new(Arc::clone(name), id.partition);
    Ok(OfferedLog { id, partition, has })
}

fn decode_segment(reader: &mut Reader<'_>) -> Result<OfferedSegment, Invalid> {
    let (base_offset, next_offset) = (offset(reader)?, offset(reader)?);
    let created_ms = Some(reader.i64()?).filter(|ms| 0 <= *ms);
    let has_gaps = match reader.u8()? {
        0 => false,
        1 => true,
        _ => return Err(Invalid::Malformed("it is not said whether a segment has gaps")),
    };
    Ok(OfferedSegment { base_offset, next_offset, created_ms, has_gaps })
}

/// The segments follow one another up to the end of the log: a replica would not open otherwise.
fn check_log(has: &LogOffer) -> Result<(), Invalid> {
    let LogBounds { log_start_offset, next_offset, clean_offset, .. } = has.bounds;
    let mut end = has.noted.last().map_or(0, |noted| noted.sealed.next_offset);
    if next_offset < end || next_offset < log_start_offset || has.seen.1 < next_offset {
        return Err(Invalid::Malformed("the bounds of a log are out of order"));
    }
    // What was compacted is noted: other files below are taken for what compaction has left.
    if has.unnoted.first().map_or(next_offset, |first| first.base_offset) < clean_offset {
        return Err(Invalid::Malformed("a log was compacted further than it is noted"));
    }
    let (mut last_base, mut is_followed) = (None, false);
    for segment in &has.unnoted {
        let is_empty = segment.next_offset <= segment.base_offset;
        let follows = if is_followed && !is_empty { segment.base_offset == end } else { end <= segment.base_offset };
        if segment.next_offset < segment.base_offset || !follows || last_base >= Some(segment.base_offset) {
            return Err(Invalid::Malformed("the segments of a log do not follow one another"));
        }
        last_base = Some(segment.base_offset);
        if !is_empty {
            (end, is_followed) = (segment.next_offset, true);
        }
    }
    if next_offset < end || is_followed && end != next_offset {
        return Err(Invalid::Malformed("the segments of a log do not end where it ends"));
    }
    Ok(())
}

fn sized(bytes: &[u8], out: &mut Vec<u8>) {
    count(bytes.len(), out);
    out.extend_from_slice(bytes);
}

fn take_sized<'b>(reader: &mut Reader<'b>) -> Result<&'b [u8], Invalid> {
    let bytes = usize::try_from(reader.u32()?).unwrap_or(usize::MAX);
    reader.take(bytes)
}

fn count(length: usize, out: &mut Vec<u8>) {
    out.extend(u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes());
}
