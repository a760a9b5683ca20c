//! Where to read in a partition: the position, or what was committed, or what the reset policy says.

use std::sync::Arc;

use super::config::{ConsumerConfig, OffsetReset};
use super::position::Position;
use crate::error::{Error, Result};
use crate::group::{CommittedOffset, Membership};
use crate::partition::FetchLimits;
use crate::partition::log::Log;
use crate::record::Fetched;

/// Reads from one partition, finding out first where to begin.
pub(super) fn fetch_from(
    position: &mut Position,
    membership: &Membership,
    config: &ConsumerConfig,
    reset_count: &mut u64,
    limits: FetchLimits,
) -> Result<Fetched> {
    let log = Arc::clone(position.log());
    let offset = match position.next_offset() {
        Some(offset) => offset,
        None => begin(position, membership, config.offset_reset)?,
    };
    match log.fetch(offset, limits) {
        // Retention was faster than this consumer.
        Err(Error::OffsetOutOfRange { .. }) if config.offset_reset != OffsetReset::Error => {
            *reset_count += 1;
            let offset = start_without_offset(&log, config.offset_reset)?;
            position.go_to(offset, None);
            log.fetch(offset, limits)
        }
        fetched => fetched,
    }
}

/// Finds out where to begin.
pub(super) fn begin(position: &mut Position, membership: &Membership, reset: OffsetReset) -> Result<u64> {
    if let Some(committed) = membership.committed(position.partition()) {
        return resume(position, &committed);
    }
    let offset = start_without_offset(position.log(), reset)?;
    position.go_to(offset, None);
    Ok(offset)
}

/// Goes to a committed offset, unless a power cut took what it had passed.
fn resume(position: &mut Position, committed: &CommittedOffset) -> Result<u64> {
    let log = position.log();
    let epoch = committed.leader_epoch.unwrap_or(i32::MAX);
    if let Some(truncated_to) = log.truncated_to(committed.offset, epoch) {
        return Err(Error::LogTruncated {
            partition: position.partition().clone(),
            requested: committed.offset,
            truncated_to,
        });
    }
    position.go_to(committed.offset, committed.leader_epoch);
    position.committed = Some(committed.offset);
    Ok(committed.offset)
}

fn start_without_offset(log: &Log, reset: OffsetReset) -> Result<u64> {
    match reset {
        OffsetReset::Earliest => Ok(log.log_start_offset()),
        OffsetReset::Latest => Ok(log.visible_end()),
        OffsetReset::Error => Err(Error::NoCommittedOffset { partition: log.partition().clone() }),
    }
}

pub(super) fn check_offset(log: &Log, requested: u64) -> Result<u64> {
    let (log_start_offset, log_end_offset) = (log.log_start_offset(), log.visible_end());
    if (log_start_offset..=log_end_offset).contains(&requested) {
        return Ok(requested);
    }
    Err(Error::OffsetOutOfRange { partition: log.partition().clone(), requested, log_start_offset, log_end_offset })
}
