//! Items as lines for people.

use std::fmt::Write as _;
use std::io::{self, Write};

use ottla::Timestamp;
use ottla::inspect::{Batch, Decoded, Item, OpenBatch, Producer, Record, Segment};

use super::Shown;
use crate::output::table::Look;
use crate::output::{Stdout, text, time};

/// What stands above the lines of an item of this kind.
pub fn heading(item: &Item<'_>, shown: Shown) -> Option<&'static str> {
    Some(match item {
        // With records below them, columns would not stand below each other.
        Item::Batch(_) if shown.has_records => return None,
        Item::Batch(_) => "       OFFSETS  RECORDS    POSITION       SIZE  CODEC   UP TO TIME                WHAT",
        Item::OffsetEntry(_) => "            OFFSET    POSITION",
        Item::TimeEntry(_) => "TIME                                OFFSET",
        Item::AbortedTransaction(_) => "          PRODUCER             FIRST              LAST      STABLE UP TO",
        Item::LeaderEpoch(_) => "     EPOCH      FIRST OFFSET",
        _ => return None,
    })
}

/// Writes an item.
pub fn write(out: &mut Stdout, look: Look, item: &Item<'_>, shown: Shown) -> io::Result<()> {
    let number = |number| number_in(look, number);
    match item {
        Item::Batch(batch) => batch_line(out, look, batch, shown),
        Item::Record(record) => record_line(out, look, record, shown),
        Item::OffsetEntry(entry) => writeln!(out, "{:>18}  {:>10}", number(entry.offset), number(entry.file_position)),
        Item::TimeEntry(entry) => writeln!(out, "{:<24}  {:>16}", when(entry.timestamp), number(entry.offset)),
        Item::AbortedTransaction(entry) => {
            let offsets = [entry.first_offset, entry.last_offset, entry.last_stable_offset].map(number);
            let [first, last, stable] = offsets;
            writeln!(out, "{:>18}{first:>18}{last:>18}{stable:>18}", entry.producer_id)
        }
        Item::Producer(producer) => writeln!(out, "{}", producer_line(look, producer)),
        Item::LeaderEpoch(line) => writeln!(out, "{:>10}{:>18}", line.epoch, number(line.first_offset)),
        Item::TopicId(id) => writeln!(out, "topic id {}", id.topic_id),
        Item::Manifest(manifest) => writeln!(
            out,
            "partition {} of topic id {}: begins at offset {}, compacted up to {}, {} sealed segments",
            manifest.partition,
            manifest.topic_id,
            number(manifest.log_start_offset),
            number(manifest.clean_offset),
            manifest.segment_count
        ),
        Item::Segment(segment) => writeln!(out, "{}", segment_line(look, segment)),
        Item::RecoveryPoint(point) => writeln!(
            out,
            "generation {}: partition {} of topic id {} is synced up to offset {}, epoch {}, which is byte {} of segment {}",
            point.generation,
            point.partition,
            point.topic_id,
            number(point.next_offset),
            point.leader_epoch,
            number(point.file_position),
            number(point.base_offset)
        ),
        Item::Directory(directory) => {
            let source = directory.source_id.as_ref().map(|id| format!(" from {id}")).unwrap_or_default();
            let (id, origin, epoch) = (&directory.directory_id, directory.origin, directory.least_leader_epoch);
            writeln!(out, "directory {id}, {origin}{source}, leader epochs from {epoch}")
        }
        Item::Topic(topic) => {
            let deleted = if topic.is_being_deleted { ", being deleted" } else { "" };
            writeln!(
                out,
                "topic {}, id {}, {} partitions{deleted}",
                text::escaped(topic.name.as_bytes()),
                topic.topic_id,
                topic.partitions
            )
        }
        Item::OpenBatch(batch) => writeln!(out, "{}", open_batch_line(look, batch)),
        Item::Problem(problem) => {
            let (begin, end) = if look.is_coloured { ("\x1b[31m", "\x1b[0m") } else { ("", "") };
            let reason = text::escaped(problem.reason.as_bytes());
            writeln!(out, "{begin}! at byte {}: {reason}{end}", number(problem.file_position))
        }
        _ => Ok(()),
    }
}

/// A number, with thousands apart for people.
fn number_in(look: Look, number: u64) -> String {
    if look.is_terminal { text::grouped(number.into()) } else { number.to_string() }
}

/// A time; `-` for none.
fn when(timestamp: Timestamp) -> String {
    if timestamp.as_millis() < 0 { "-".to_owned() } else { time::show(timestamp) }
}

fn range(look: Look, first: u64, last: u64) -> String {
    let number = |number| number_in(look, number);
    if first == last { number(first) } else { format!("{}..{}", number(first), number(last)) }
}

fn batch_line(out: &mut Stdout, look: Look, batch: &Batch, shown: Shown) -> io::Result<()> {
    let number = |number| number_in(look, number);
    let offsets = range(look, batch.base_offset, batch.last_offset);
    let (records, position, size) = (batch.record_count.into(), batch.file_position, batch.bytes.into());
    if heading(&Item::Batch(batch.clone()), shown).is_none() {
        let (records, position, size) = (number(records), number(position), number(size));
        let time = when(batch.max_timestamp);
        return writeln!(
            out,
            "batch {offsets}: {records} records in {size} bytes at {position}, {}, {time}{}",
            batch.codec,
            what(batch, ", ")
        );
    }
    let [records, position, size] = [records, position, size].map(number);
    let (codec, time) = (batch.codec, when(batch.max_timestamp));
    let line =
        format!("{offsets:>14}  {records:>7}  {position:>10}  {size:>9}  {codec:<6}  {time:<24}{}", what(batch, "  "));
    writeln!(out, "{}", line.trim_end())
}

/// What is special about a batch, each behind the separator.
fn what(batch: &Batch, separator: &str) -> String {
    let mut what = String::new();
    let mut say = |text: &str| _ = write!(what, "{separator}{text}");
    if !batch.is_valid {
        say("INVALID");
    }
    match &batch.marker {
        Some(Decoded::Marker { is_commit, coordinator_epoch }) => {
            let end = if *is_commit { "commit" } else { "abort" };
            say(&format!("{end} by coordinator epoch {coordinator_epoch}"));
        }
        _ if batch.is_control => say("control"),
        _ => {}
    }
    if 0 <= batch.producer_id {
        let transactional = if batch.is_transactional && !batch.is_control { " in a transaction" } else { "" };
        say(&format!("producer {} epoch {}{transactional}", batch.producer_id, batch.producer_epoch));
        if 0 <= batch.base_sequence {
            say(&format!("sequence {}..{}", batch.base_sequence, batch.last_sequence));
        }
    }
    if 0 < batch.leader_epoch {
        say(&format!("leader epoch {}", batch.leader_epoch));
    }
    if batch.is_log_append_time {
        say("append time");
    }
    if let Some(horizon) = batch.delete_horizon {
        say(&format!("delete horizon {}", when(horizon)));
    }
    what
}

fn record_line(out: &mut Stdout, look: Look, record: &Record<'_>, shown: Shown) -> io::Result<()> {
    if shown.metadata {
        let offset = number_in(look, record.offset);
        write!(out, "{offset:>14}  {:<24}", when(record.timestamp))?;
        if !shown.content {
            let size = |bytes: Option<&[u8]>| bytes.map_or_else(|| "null".to_owned(), |bytes| bytes.len().to_string());
            return writeln!(out, "  key {}, value {} bytes", size(record.key), size(record.value));
        }
        out.write_all(b"  ")?;
    }
    if let Some(decoded) = &record.decoded {
        return writeln!(out, "{}", decoded_line(decoded));
    }
    let bytes =
        |bytes: Option<&[u8]>| bytes.map_or_else(|| "null".to_owned(), |bytes| format!("\"{}\"", text::escaped(bytes)));
    write!(out, "{} = {}", bytes(record.key), bytes(record.value))?;
    for header in &record.headers {
        write!(out, "  {}: {}", text::escaped(header.key().as_bytes()), bytes(header.value()))?;
    }
    out.write_all(b"\n")
}

fn decoded_line(decoded: &Decoded<'_>) -> String {
    let escaped = |text: &str| text::escaped(text.as_bytes());
    match decoded {
        Decoded::Marker { is_commit, coordinator_epoch } => {
            format!("{} by coordinator epoch {coordinator_epoch}", if *is_commit { "commit" } else { "abort" })
        }
        Decoded::Offset { group, topic, partition, value } => {
            let begin = format!("group {} in {}-{partition}: ", escaped(group), escaped(topic));
            begin
                + &value.as_ref().map_or_else(
                    || "removed".to_owned(),
                    |value| {
                        let epoch = value.leader_epoch.map(|epoch| format!(", epoch {epoch}")).unwrap_or_default();
                        let metadata = if value.metadata.is_empty() {
                            String::new()
                        } else {
                            format!(", {:?}", escaped(value.metadata))
                        };
                        let expires = value.expires.map(|time| format!(", until {}", when(time))).unwrap_or_default();
                        format!("offset {}{epoch}{metadata}, {}{expires}", value.offset, when(value.committed))
                    },
                )
        }
        Decoded::Group { group, value } => {
            let begin = format!("group {}: ", escaped(group));
            begin
                + &value.as_ref().map_or_else(
                    || "removed".to_owned(),
                    |value| {
                        let members: Vec<_> = value
                            .members
                            .iter()
                            .map(|member| {
                                let assigned =
                                    member.assignment.iter().flatten().map(ToString::to_string).collect::<Vec<_>>();
                                format!("{} has [{}]", escaped(member.member_id), escaped(&assigned.join(", ")))
                            })
                            .collect();
                        let protocol = escaped(value.protocol.unwrap_or("no assignor"));
                        format!(
                            "generation {}, {protocol}; {}",
                            value.generation,
                            if members.is_empty() { "no members".to_owned() } else { members.join("; ") }
                        )
                    },
                )
        }
        Decoded::Transaction { transactional_id, value } => {
            let begin = format!("transactional id {}: ", escaped(transactional_id));
            begin
                + &value.as_ref().map_or_else(
                    || "removed".to_owned(),
                    |value| {
                        let partitions: Vec<_> = value.partitions.iter().map(ToString::to_string).collect();
                        let checkpoint = value
                            .checkpoint_bytes
                            .map(|bytes| format!(", checkpoint of {bytes} bytes"))
                            .unwrap_or_default();
                        format!(
                            "{}, producer {} epoch {}, in [{}]{checkpoint}, {}",
                            value.status,
                            value.producer_id,
                            value.producer_epoch,
                            escaped(&partitions.join(", ")),
                            when(value.updated)
                        )
                    },
                )
        }
        Decoded::Other { key_type } => format!("a record of type {key_type}, which is not known here"),
        Decoded::Unreadable { reason } => format!("cannot be decoded: {reason}"),
        _ => "not known here".to_owned(),
    }
}

fn producer_line(look: Look, producer: &Producer) -> String {
    let number = |number| number_in(look, number);
    let mut line = format!("producer {} epoch {}", producer.producer_id, producer.producer_epoch);
    if let (Some(sequence), Some(offset)) = (producer.last_sequence, producer.last_offset) {
        _ = write!(line, ", sequence {sequence} at offset {}", number(offset));
    }
    if let Some(first) = producer.transaction_first_offset {
        _ = write!(line, ", transaction open from offset {}", number(first));
    }
    if 0 <= producer.coordinator_epoch {
        _ = write!(line, ", coordinator epoch {}", producer.coordinator_epoch);
    }
    _ = write!(line, ", {}", when(producer.last_timestamp));
    line
}

fn segment_line(look: Look, segment: &Segment) -> String {
    let number = |number| number_in(look, number);
    let mut line = format!(
        "segment {}: {} bytes",
        range(look, segment.base_offset, segment.next_offset.saturating_sub(1)),
        number(segment.log_bytes)
    );
    if let Some(max) = segment.max_timestamp {
        _ = write!(line, ", up to {}", when(max));
    }
    if segment.has_gaps {
        line.push_str(", compacted");
    }
    if let Some(crc) = segment.log_crc32 {
        _ = write!(line, ", crc32 {crc:08x}");
    }
    line
}

fn open_batch_line(look: Look, batch: &OpenBatch) -> String {
    let number = |number| number_in(look, number);
    let mut line = format!(
        "at {}: partition {} of topic id {}, from offset {}: {} records in {} bytes, {} of them synced",
        number(batch.file_position),
        batch.partition,
        batch.topic_id,
        number(batch.base_offset),
        number(batch.record_count),
        batch.records_bytes,
        batch.durable_bytes
    );
    if 0 <= batch.producer_id {
        let transactional = if batch.is_transactional { " in a transaction" } else { "" };
        _ = write!(line, ", producer {} epoch {}{transactional}", batch.producer_id, batch.producer_epoch);
    }
    line
}
