//! Sending a batch: which partition each record goes to, and the pieces that this makes.

use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::partitioner::Partitioner;
use crate::broker::topic_entry::TopicEntry;
use crate::error::{Error, Result, SendOutcome};
use crate::partition::Appended;
use crate::record::{BatchMetadata, ProducerRecord, RecordMetadata};
use crate::topic_partition::TopicPartition;

/// Who appends what goes to one partition.
pub(super) trait AppendPiece {
    /// Appends `records` to a partition of `topic` in one piece.
    fn append_piece<'t>(
        &self,
        topic: &'t TopicEntry,
        partition: u32,
        records: &[ProducerRecord<'_>],
    ) -> Result<(&'t TopicPartition, Appended)>;
}

/// Appends `records` to `topic`: those of one partition in one piece, one piece after the other. Returns where each record went.
///
/// # Errors
/// As [`Producer::send_batch`](super::Producer::send_batch).
#[inline]
pub(super) fn send_batch(
    sender: &impl AppendPiece,
    partitioner: &dyn Partitioner,
    topic: &TopicEntry,
    records: &[ProducerRecord<'_>],
) -> Result<BatchMetadata> {
    let partition_count = topic.partition_count();
    let mut chosen = records.iter().map(|record| partition_of(partitioner, record, partition_count));
    let Some(first) = chosen.next().transpose()? else { return Ok(BatchMetadata::from(Vec::new())) };
    // No list is made while all go to one.
    let mut alike = 1;
    while let Some(partition) = chosen.next().transpose()? {
        if partition != first {
            let mut list = vec![first; alike];
            list.push(partition);
            list.append(&mut chosen.collect::<Result<_>>()?);
            return send_pieces(sender, topic, &list, records).map(BatchMetadata::from);
        }
        alike += 1;
    }
    send_piece(sender, topic, first, records)
}

/// Sends what goes to one partition.
fn send_piece(
    sender: &impl AppendPiece,
    topic: &TopicEntry,
    partition: u32,
    records: &[ProducerRecord<'_>],
) -> Result<BatchMetadata> {
    let (address, appended) = sender.append_piece(topic, partition, records)?;
    if let Some(timestamp) = appended.one_timestamp(records) {
        return Ok(BatchMetadata::in_a_row(address.clone(), appended.base_offset, records.len(), timestamp));
    }
    let sent = records
        .iter()
        .zip(appended.base_offset..)
        .map(|(record, offset)| RecordMetadata::new(address.clone(), offset, appended.timestamp_of(record)));
    Ok(sent.collect::<Vec<_>>().into())
}

/// Sends one piece per partition, by number, and puts the answers in the order of the records.
fn send_pieces(
    sender: &impl AppendPiece,
    topic: &TopicEntry,
    chosen: &[u32],
    records: &[ProducerRecord<'_>],
) -> Result<Vec<RecordMetadata>> {
    let mut partitions = chosen.to_vec();
    partitions.sort_unstable();
    partitions.dedup();
    if let Some(&last) = partitions.last()
        && topic.partition_count() <= last
    {
        return Err(topic.unknown_partition(last));
    }
    // Before the first piece is in the log: with a record that no partition takes, nothing is sent.
    topic.check_keys(records)?;
    let mut answers = Vec::with_capacity(records.len());
    for partition in partitions {
        let places = || chosen.iter().enumerate().filter(move |(_, of)| **of == partition).map(|(place, _)| place);
        let piece: Vec<_> = places().filter_map(|place| records.get(place).cloned()).collect();
        let sent = send_piece(sender, topic, partition, &piece).map_err(|source| stopped_by(source, &answers))?;
        answers.extend(places().zip(&sent));
    }
    answers.sort_unstable_by_key(|(place, _)| *place);
    Ok(answers.into_iter().map(|(_, sent)| sent).collect())
}

/// The partition for a record. User code runs here, with no lock held, and if it panics only this call fails.
#[inline]
pub(super) fn partition_of(
    partitioner: &dyn Partitioner,
    record: &ProducerRecord<'_>,
    partition_count: u32,
) -> Result<u32> {
    if let Some(partition) = record.get_partition() {
        return Ok(partition);
    }
    match partition_count {
        1 => Ok(0),
        count => catch_unwind(AssertUnwindSafe(|| partitioner.partition(record, count)))
            .map_err(|_| Error::InvalidState { reason: "the partitioner panicked" }),
    }
}

/// The error for a batch of several pieces, of which one failed and those before it are in the log: where, the `answers` say,
/// in the order of the pieces.
fn stopped_by(source: Error, answers: &[(usize, RecordMetadata)]) -> Error {
    let mut appended: Vec<(TopicPartition, Range<u64>)> = Vec::new();
    for (_, sent) in answers {
        match appended.last_mut() {
            Some((partition, offsets)) if partition == sent.topic_partition() => offsets.end = sent.offset() + 1,
            _ => appended.push((sent.topic_partition().clone(), sent.offset()..sent.offset() + 1)),
        }
    }
    let nothing_is_in = appended.is_empty() && source.outcome() == SendOutcome::NotAppended;
    if nothing_is_in { source } else { Error::partly_sent(appended, source) }
}
