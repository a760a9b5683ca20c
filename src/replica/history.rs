//! Whether what a source has is the log that its replica has a part of.
//!
//! Leader epochs tell where two logs went on differently, by the rule of Kafka's followers (KIP-101 and KIP-279): of the newest epoch
//! that both have, the log that ends earlier says how far they are the same. A directory that was put back as it had been, and went on in
//! the same epoch, is told by checksums of what is sealed, and by the bytes of what is being written ([`first_unlike`]).

use std::path::Path;

use super::files::sum_up_to;
use super::held_log::{HeldLog, WrittenSegment};
use super::offer::{DirectoryOffer, OfferedLog};
use crate::canary::{Canary, planted};
use crate::disk::{Disk, Open};
use crate::error::{Error, Result};
use crate::partition::leader_epoch::LeaderEpochs;
use crate::partition::manifest::ManifestSegment;
use crate::segment::FileSum;
use crate::segment::file_name::{FileKind, FileName};

/// How the histories of a replica and its source differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Difference {
    TopicIsMissing,
    FewerPartitions,
    GoesOnOtherwise,
    OtherRecords,
    LacksAcknowledged,
}

impl Difference {
    pub(super) const ALL: [Difference; 5] = [
        Difference::TopicIsMissing,
        Difference::FewerPartitions,
        Difference::GoesOnOtherwise,
        Difference::OtherRecords,
        Difference::LacksAcknowledged,
    ];

    /// In words.
    pub(super) fn reason(self) -> &'static str {
        match self {
            Difference::TopicIsMissing => "its source is another directory than it was, and does not have the topic",
            Difference::FewerPartitions => "its source has fewer partitions of the topic",
            Difference::GoesOnOtherwise => "from there on its source goes on otherwise",
            Difference::OtherRecords => "from there on its source has other records, under the same offsets and epochs",
            Difference::LacksAcknowledged => "its source lacks records that were acknowledged, and are here",
        }
    }
}

/// A segment of a replica that its source has otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Unlike {
    pub(super) base_offset: u64,
    /// Whether the replica writes it batch by batch.
    pub(super) is_written: bool,
}

/// A topic of a replica.
#[derive(Debug, Clone, Copy)]
pub(super) struct HeldTopic<'t> {
    pub(super) name: &'t str,
    pub(super) topic_id: u128,
    pub(super) partitions: u32,
}

/// Fails if a replica has a topic that its source does not have, although the source is another directory than before: nobody has
/// deleted it; or has partitions that its source does not have: nobody takes any from a topic.
///
/// # Errors
/// The name of the topic, and what is wrong with it.
pub(super) fn check_topics<'t>(
    topics: impl Iterator<Item = HeldTopic<'t>>,
    is_same_directory: bool,
    offer: &DirectoryOffer,
) -> Result<(), (&'t str, Difference)> {
    if planted(Canary::FollowAnyHistory) {
        return Ok(());
    }
    let partitions = |topic_id: u128| {
        let found = offer.topics.iter().find(|(_, entry)| entry.topic_id == topic_id);
        found.map(|(_, entry)| entry.config.partitions)
    };
    for topic in topics {
        let difference = match partitions(topic.topic_id) {
            None if !is_same_directory => Difference::TopicIsMissing,
            Some(partitions) if partitions < topic.partitions => Difference::FewerPartitions,
            _ => continue,
        };
        return Err((topic.name, difference));
    }
    Ok(())
}

/// Fails if a log of a replica is not the beginning of that of its source, as far as that can be told without the files.
///
/// # Errors
/// Where they differ, and how.
pub(super) fn check_log(held: &HeldLog, offered: &OfferedLog) -> Result<(), (u64, Difference)> {
    if planted(Canary::FollowAnyHistory) {
        return Ok(());
    }
    let (state, (epochs, end)) = (&held.state, &offered.has.seen);
    let common = common_end((&state.epochs, state.next_offset), (epochs, *end));
    if common < state.next_offset {
        return Err((common, Difference::GoesOnOtherwise));
    }
    sealed_differ_at(held, offered).map_or(Ok(()), |offset| Err((offset, Difference::OtherRecords)))
}

/// The first segment of a replica that its source, whose files are in `dir`, has otherwise. Files come and go: it may only seem so.
///
/// # Errors
/// The disk's.
pub(super) fn first_unlike(
    held: &HeldLog,
    offered: &OfferedLog,
    (dir, disk): (&Path, &dyn Disk),
) -> Result<Option<Unlike>> {
    if planted(Canary::FollowAnyHistory) {
        return Ok(None);
    }
    for written in &held.written {
        if differs(written, offered, (dir, disk))? {
            return Ok(Some(Unlike { base_offset: written.base_offset, is_written: true }));
        }
    }
    for noted in opened_again(held, offered) {
        if !is_beginning(noted, (dir, disk))? {
            return Ok(Some(Unlike { base_offset: noted.sealed.base_offset, is_written: false }));
        }
    }
    Ok(None)
}

/// Whether what is known of a source is less than what its replica has, although they are the same log: of another process it is not known
/// what has been synced since it was noted last. There is nothing to be brought over yet.
pub(super) fn is_behind(held: &HeldLog, offered: &OfferedLog) -> bool {
    offered.has.bounds.next_offset < held.state.next_offset || opened_again(held, offered).next().is_some()
}

/// The sealed segments in which its source writes on.
fn opened_again<'l>(held: &'l HeldLog, offered: &'l OfferedLog) -> impl Iterator<Item = &'l ManifestSegment> {
    offered.has.unnoted.iter().filter_map(|segment| held.noted.get(&segment.base_offset))
}

/// Whether a segment that its source writes begins with all of this one; also if that cannot be told, or it is gone.
fn is_beginning(noted: &ManifestSegment, (dir, disk): (&Path, &dyn Disk)) -> Result<bool> {
    let path = FileName::live(noted.sealed.base_offset, FileKind::Log).path(dir);
    let (Some(crc32), Ok(file)) = (noted.log_crc32, disk.open(&path, Open::Read)) else { return Ok(true) };
    let bytes = noted.sealed.log_bytes;
    Ok(sum_up_to(&*file, &path, bytes)? == FileSum { bytes, crc32 })
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
fn sealed_differ_at(held: &HeldLog, offered: &OfferedLog) -> Option<u64> {
    let differs = |other: &&ManifestSegment| {
        held.noted.get(&other.sealed.base_offset).is_some_and(|noted| {
            let is_known = other.log_crc32.is_some() && noted.log_crc32.is_some();
            is_as_written(other, offered) && is_known && !noted.has_log_of(other)
        })
    };
    offered.has.noted.iter().find(differs).map(|noted| noted.sealed.base_offset)
}

/// Whether a sealed segment was never compacted.
fn is_as_written(noted: &ManifestSegment, offered: &OfferedLog) -> bool {
    !noted.sealed.has_gaps && offered.has.bounds.clean_offset <= noted.sealed.base_offset
}

/// Whether a source has other batches than a segment that is written here. Not if they cannot be compared, since the source has compacted
/// its own, or deleted it.
fn differs(written: &WrittenSegment, offered: &OfferedLog, (dir, disk): (&Path, &dyn Disk)) -> Result<bool> {
    let (has, base_offset) = (&offered.has, written.base_offset);
    let is_as_written = match has.noted.iter().find(|noted| noted.sealed.base_offset == base_offset) {
        Some(noted) => is_as_written(noted, offered),
        None => has.unnoted.iter().any(|segment| segment.base_offset == base_offset),
    };
    let Some(sums) = written.sums.filter(|_| is_as_written) else { return Ok(false) };
    let path = FileName::live(base_offset, FileKind::Log).path(dir);
    // What went since is no difference.
    let Ok(file) = disk.open(&path, Open::Read) else { return Ok(false) };
    let are_same = sums.are_in(&*file).map_err(|source| Error::io("read", &path, source))?;
    Ok(!are_same)
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
