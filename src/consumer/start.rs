//! Where to read in a partition: the position, or what was committed, or what the reset policy says.

use std::ops::Range;

use super::Counts;
use super::config::{ConsumerConfig, OffsetReset, TruncationReset};
use super::position::Position;
use crate::error::{Corruption, Error, Result};
use crate::group::committed_offset::CommittedOffset;
use crate::group::membership::Membership;
use crate::partition::{FetchLimits, PartitionSource, Place};
use crate::record::Fetched;

/// What was read from a partition, and where in a batch that ended.
pub(super) type Read = (Fetched, Option<Place>);

/// What it takes to choose a position.
pub(super) struct Start<'c> {
    pub(super) membership: &'c Membership,
    pub(super) config: &'c ConsumerConfig,
    pub(super) counts: &'c mut Counts,
    /// Whether damage is passed over.
    pub(super) skips_corrupt: bool,
}

impl Start<'_> {
    /// Reads from one partition, finding out first where to begin.
    pub(super) fn fetch_from(&mut self, position: &mut Position, limits: FetchLimits) -> Result<Read> {
        loop {
            match self.fetch_once(position, limits) {
                Err(Error::Corrupt(damage)) if self.skips_corrupt => {
                    skip(position, &damage, self.counts)?;
                }
                fetched => return fetched,
            }
        }
    }

    fn fetch_once(&mut self, position: &mut Position, limits: FetchLimits) -> Result<Read> {
        let offset = match position.next_offset() {
            Some(offset) => offset,
            None => self.begin(position)?,
        };
        match position.log().fetch_on(offset, limits, position.place.as_ref()) {
            // Retention was faster than this consumer.
            Err(Error::OffsetOutOfRange { .. }) if self.config.offset_reset != OffsetReset::Error => {
                self.counts.resets += 1;
                let offset = self.start_without_offset(position.log())?;
                position.go_to(offset, None);
                position.log().fetch_on(offset, limits, None)
            }
            fetched => fetched,
        }
    }

    /// Finds out where to begin.
    pub(super) fn begin(&mut self, position: &mut Position) -> Result<u64> {
        let log = position.log().clone();
        if let Some(committed) = self.membership.committed(log.partition(), log.topic_id()) {
            return self.resume(position, &committed);
        }
        let offset = self.start_without_offset(&log)?;
        position.go_to(offset, None);
        Ok(offset)
    }

    /// Goes to a committed offset, unless a power cut took what it had passed.
    fn resume(&mut self, position: &mut Position, committed: &CommittedOffset) -> Result<u64> {
        let log = position.log();
        let (requested, leader_epoch) = (committed.offset(), committed.leader_epoch());
        if let Some(truncated_to) = log.truncated_to(requested, leader_epoch.unwrap_or(i32::MAX)) {
            if self.config.truncation_reset == TruncationReset::Error {
                return Err(Error::LogTruncated { partition: log.partition().clone(), requested, truncated_to });
            }
            self.counts.truncations += 1;
            position.go_to(truncated_to, None);
            return Ok(truncated_to);
        }
        position.go_to(requested, leader_epoch);
        position.committed = Some(requested);
        Ok(requested)
    }

    fn start_without_offset(&self, log: &PartitionSource) -> Result<u64> {
        match self.config.offset_reset {
            OffsetReset::Earliest => Ok(log.log_start_offset()),
            OffsetReset::Latest => Ok(log.visible_end()),
            OffsetReset::Error => Err(Error::NoCommittedOffset { partition: log.partition().clone() }),
        }
    }
}

/// Goes behind damage at a position; returns the offsets that are passed over: at least one.
///
/// # Errors
/// The damage itself, as [`Error::Corrupt`], if it is not here.
pub(super) fn skip(position: &mut Position, damage: &Corruption, counts: &mut Counts) -> Result<Range<u64>> {
    let (Some(offset), Some(lost)) = (position.next_offset(), &damage.offsets) else {
        return Err(Error::Corrupt(Box::new(damage.clone())));
    };
    let is_here = damage.partition.as_ref() == Some(position.partition()) && damage.is_at(offset);
    if !is_here || position.log().visible_end() < lost.end {
        return Err(Error::Corrupt(Box::new(damage.clone())));
    }
    position.skip_to(lost.end);
    counts.skipped += lost.end - offset;
    Ok(offset..lost.end)
}

pub(super) fn check_offset(log: &PartitionSource, requested: u64) -> Result<u64> {
    let (log_start_offset, log_end_offset) = (log.log_start_offset(), log.visible_end());
    if (log_start_offset..=log_end_offset).contains(&requested) {
        return Ok(requested);
    }
    Err(Error::OffsetOutOfRange { partition: log.partition().clone(), requested, log_start_offset, log_end_offset })
}
