//! Whether what a source has is the log that its replica has a part of.
//!
//! Leader epochs tell where two logs went on differently, by the rule of Kafka's followers (KIP-101 and KIP-279): of the newest epoch
//! that both have, the log that ends earlier says how far they are the same. A directory that was put back as it had been, and went on in
//! the same epoch, is told by the bytes of the segment that is being written.

use std::path::Path;
use std::sync::Arc;

use super::fetching::{Moved, Unfetched};
use crate::broker::catalog::CatalogEntry;
use crate::broker::copying::{DirectoryContents, SourceLog};
use crate::canary::{Canary, planted};
use crate::disk::{Disk, Open};
use crate::error::{Error, Result};
use crate::partition::leader_epoch::LeaderEpochs;
use crate::partition::log_replica::LogReplica;
use crate::partition::manifest::ManifestSegment;
use crate::segment::file_name::{FileKind, FileName};
use crate::segment::{HeaderSums, Segment};
use crate::topic_partition::TopicPartition;

/// Read at a time.
const CHUNK_BYTES: usize = 256 << 10;

/// Where two logs differ.
pub(super) struct Divergence {
    pub(super) partition: TopicPartition,
    pub(super) offset: u64,
    pub(super) reason: &'static str,
}

/// Fails if a replica has a topic that its source does not have, although the source is another directory than before: nobody has
/// deleted it; or has partitions that its source does not have: nobody takes any from a topic.
///
/// # Errors
/// The name of the topic, and what is wrong with it.
pub(super) fn check_topics<'t>(
    topics: impl Iterator<Item = (&'t Arc<str>, &'t CatalogEntry)>,
    is_same_directory: bool,
    source: &DirectoryContents,
) -> Result<(), (Arc<str>, &'static str)> {
    if planted(Canary::FollowAnyHistory) {
        return Ok(());
    }
    let partitions = |topic_id: u128| {
        let found = source.topics.iter().find(|(_, entry)| entry.topic_id == topic_id);
        found.map(|(_, entry)| entry.config.partitions)
    };
    for (name, entry) in topics {
        let reason = match partitions(entry.topic_id) {
            None if !is_same_directory => "its source is another directory than it was, and does not have the topic",
            Some(partitions) if partitions < entry.config.partitions => "its source has fewer partitions of the topic",
            _ => continue,
        };
        return Err((Arc::clone(name), reason));
    }
    Ok(())
}

/// Fails if a log of a replica is not the beginning of that of its source.
///
/// # Errors
/// Where they differ; [`Unfetched::Moved`] if they may only seem to, since files come and go.
pub(super) fn check_log(
    log: &LogReplica,
    source: &SourceLog,
    source_disk: &dyn Disk,
    to_error: impl Fn(Divergence) -> Error,
) -> Result<(), Unfetched> {
    let (settled, (epochs, end)) = (log.settled(), &source.contents.seen);
    if planted(Canary::FollowAnyHistory) {
        return Ok(());
    }
    let common = common_end((&settled.epochs, settled.next_offset), (epochs, *end));
    let partition = source.partition.clone();
    if common < settled.next_offset {
        let reason = "from there on its source goes on otherwise";
        return Err(to_error(Divergence { partition, offset: common, reason }).into());
    }
    let reason = "from there on its source has other records, under the same offsets and epochs";
    if let Some(offset) = sealed_differ_at(log, source) {
        return Err(to_error(Divergence { partition, offset, reason }).into());
    }
    let differ_at = |base_offset: u64, offset: u64| {
        let error = to_error(Divergence { partition: partition.clone(), offset, reason });
        let (topic_id, partition) = (source.topic_id, partition.clone());
        Err(Unfetched::Moved(Box::new(Moved { topic_id, partition, base_offset, log_crc32: None, error })))
    };
    for written in log.written() {
        if let Some(offset) = differs_at(written, source, source_disk)? {
            return differ_at(written.0.base_offset(), offset);
        }
    }
    for noted in opened_again(log, source) {
        if !is_beginning(noted, source, source_disk)? {
            return differ_at(noted.sealed.base_offset, noted.sealed.base_offset);
        }
    }
    Ok(())
}

/// Whether what is known of a source is less than what its replica has, although they are the same log: of another process it is not known
/// what has been synced since it was noted last. There is nothing to be brought over yet.
pub(super) fn is_behind(log: &LogReplica, source: &SourceLog) -> bool {
    source.contents.bounds.next_offset < log.settled().next_offset || opened_again(log, source).next().is_some()
}

/// The sealed segments in which its source writes on.
fn opened_again<'l>(log: &'l LogReplica, source: &'l SourceLog) -> impl Iterator<Item = &'l ManifestSegment> {
    let is_written = |noted: &&ManifestSegment| {
        source.contents.unnoted.iter().any(|segment| segment.base_offset() == noted.sealed.base_offset)
    };
    log.noted().filter(is_written)
}

/// Whether a segment that its source writes begins with all of this one; also if that cannot be told, or it is gone.
fn is_beginning(noted: &ManifestSegment, source: &SourceLog, source_disk: &dyn Disk) -> Result<bool> {
    let path = FileName::live(noted.sealed.base_offset, FileKind::Log).path(&source.dir);
    let (Some(expected), Ok(file)) = (noted.log_crc32, source_disk.open(&path, Open::Read)) else { return Ok(true) };
    let mut found = crc32fast::Hasher::new();
    let (mut position, mut buffer) = (0, vec![0; CHUNK_BYTES]);
    while position < noted.sealed.log_bytes {
        let wanted = usize::try_from(noted.sealed.log_bytes - position).unwrap_or(usize::MAX).min(CHUNK_BYTES);
        let chunk = buffer.get_mut(..wanted).unwrap_or_default();
        let read = file.read_at(chunk, position).map_err(|source| Error::io("read", &path, source))?;
        if read == 0 {
            return Ok(false);
        }
        found.update(chunk.get(..read).unwrap_or_default());
        position += read as u64;
    }
    Ok(found.finalize() == expected)
}

/// How far two logs are the same, of each of which the epochs and the end are given.
fn common_end((own, own_end): (&LeaderEpochs, u64), (others, others_end): (&LeaderEpochs, u64)) -> u64 {
    let newest_up_to = |epochs: &LeaderEpochs, epoch: i32| {
        epochs.entries().iter().map(|(epoch, _)| *epoch).rfind(|found| *found <= epoch)
    };
    let mut epoch = Some(own.latest());
    while let Some(wanted) = epoch {
        let Some(found) = newest_up_to(others, wanted) else { return 0 };
        let known = newest_up_to(own, found);
        if known == Some(found) {
            let ends = (own.end_offset_for(found, own_end), others.end_offset_for(found, others_end));
            return ends.0.unwrap_or(0).min(ends.1.unwrap_or(0));
        }
        epoch = known;
    }
    0
}

/// The first offset of the first sealed segment that its source has otherwise, and has not compacted.
fn sealed_differ_at(log: &LogReplica, source: &SourceLog) -> Option<u64> {
    let contents = &source.contents;
    let other = |base_offset: u64| {
        let found = contents.noted.binary_search_by_key(&base_offset, |noted| noted.sealed.base_offset).ok()?;
        contents.noted.get(found)
    };
    let differs = |noted: &&ManifestSegment| {
        other(noted.sealed.base_offset).is_some_and(|other| {
            let is_as_written = !other.sealed.has_gaps && contents.bounds.clean_offset <= other.sealed.base_offset;
            is_as_written && other.log_crc32.is_some() && noted.log_crc32.is_some() && !noted.has_log_of(other)
        })
    };
    log.noted().find(differs).map(|noted| noted.sealed.base_offset)
}

/// The offset of the first batch of a segment that is written here that its source does not have; `None` if there is none, or they
/// cannot be compared, since the source has compacted its own, or deleted it.
fn differs_at(
    (segment, sums): (&Segment, HeaderSums),
    source: &SourceLog,
    source_disk: &dyn Disk,
) -> Result<Option<u64>> {
    let (contents, base_offset) = (&source.contents, segment.base_offset());
    let noted = contents.noted.iter().find(|noted| noted.sealed.base_offset == base_offset);
    let is_as_written = match noted {
        Some(noted) => !noted.sealed.has_gaps && contents.bounds.clean_offset <= base_offset,
        None => contents.unnoted.iter().any(|segment| segment.base_offset() == base_offset),
    };
    if !is_as_written {
        return Ok(None);
    }
    let path = FileName::live(base_offset, FileKind::Log).path(&source.dir);
    // What went since is no difference.
    let Ok(file) = source_disk.open(&path, Open::Read) else { return Ok(None) };
    match sums.are_in(&*file) {
        Ok(true) => Ok(None),
        Ok(false) => first_difference(segment, &path, source_disk),
        Err(error) => Err(Error::io("read", &path, error)),
    }
}

fn first_difference(segment: &Segment, path: &Path, source_disk: &dyn Disk) -> Result<Option<u64>> {
    let file = source_disk.open(path, Open::Read).map_err(|source| Error::io("open", path, source))?;
    let (mut position, mut others) = (0, Vec::new());
    let mut first = None;
    segment.visit_batches(&mut |header, batch| {
        others.resize(batch.len(), 0);
        let read = file.read_at(&mut others, position).map_err(|source| Error::io("read", path, source))?;
        position += batch.len() as u64;
        let is_same = others.get(..read) == Some(batch);
        first = (!is_same).then_some(header.base_offset());
        Ok(is_same)
    })?;
    Ok(first)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn epochs(entries: &[(i32, u64)]) -> LeaderEpochs {
        let mut epochs = LeaderEpochs::default();
        for &(epoch, offset) in entries {
            assert!(epochs.assign(epoch, offset));
        }
        epochs
    }

    #[test]
    fn a_source_that_went_on_has_all_of_its_replica() {
        let own = epochs(&[(0, 0)]);
        assert_eq!(common_end((&own, 100), (&epochs(&[(0, 0)]), 100)), 100);
        assert_eq!(common_end((&own, 100), (&epochs(&[(0, 0), (1, 105)]), 110)), 100);
        assert_eq!(common_end((&epochs(&[(0, 0), (3, 50)]), 80), (&epochs(&[(0, 0), (3, 50), (4, 80)]), 90)), 80);
    }

    #[test]
    fn a_source_that_went_back_is_told_by_its_epochs() {
        let own = epochs(&[(0, 0)]);
        assert_eq!(common_end((&own, 100), (&epochs(&[(0, 0), (65_536, 60)]), 80)), 60);
        assert_eq!(common_end((&own, 100), (&epochs(&[(0, 0)]), 60)), 60);
        assert_eq!(common_end((&epochs(&[(0, 0), (2, 40)]), 70), (&epochs(&[(0, 0), (1, 30), (3, 50)]), 90)), 30);
        assert_eq!(common_end((&epochs(&[(5, 0)]), 70), (&epochs(&[(6, 0)]), 90)), 0);
    }
}
