//! Keeping records for some time or up to some size: Kafka's `retention.ms` and `retention.bytes`.
//!
//! Whole segments go, from the front. The age of one is that of its newest record, which counts as no older than the segment and
//! no younger than the next one. So that every record comes to be in a segment that may go, the active one is rolled once it is
//! as old as `segment.ms`, whether or not anything is sent. All of it is measured by the steady clock: setting the clock of the machine
//! deletes nothing while a broker is open.

use std::time::Duration;

use super::Log;
use crate::error::{Error, Result};
use crate::partition::config::{TopicConfig, whole_ms};
use crate::segment::Segment;

/// Somebody else had the log's files just then: it is looked at again after so long.
const RETRY_MS: i64 = 1000;

impl Log {
    /// Deletes what is to be kept no longer, as far as that is one file, and returns when to look again, by the steady clock; at no
    /// time of its own if nothing ever goes, or only after a roll.
    ///
    /// # Errors
    /// What rolling, syncing or deleting says; the log is as it was, or begins later, and the next call goes on.
    pub(crate) fn retain(&self) -> Result<Option<i64>> {
        // From the look at the settings on: once they have changed, nothing is deleted by those from before.
        let _retaining = self.retaining.lock();
        let config = self.spec.settings.load().clone();
        let (keeps_all, rolls) = (self.keeps_all(&config), self.rolls_by_clock(&config));
        if self.is_closed() || self.check_unharmed().is_err() || keeps_all && !rolls && !self.owes_removal() {
            return Ok(None);
        }
        let now_ms = self.environment.steady_ms();
        let roll_ms = if rolls { self.roll_if_older(now_ms, config.active_ms_max())? } else { None };
        // As for a checkpoint: others are not to wait for who verifies this log.
        let Some(mut checkpoint) = self.checkpoint.try_lock() else { return Ok(Some(now_ms + RETRY_MS)) };
        self.check_present()?;
        let (start, expiry_ms) = self.wanted_start(&config, now_ms);
        if !keeps_all && self.log_start_offset() < start {
            checkpoint.settle_replacement(&self.dir)?;
            let noted = if self.has_unnoted_segments() { self.run_checkpoint(&mut checkpoint) } else { Ok(()) };
            match noted {
                // What needs no room goes, one file at a time, and leaves some for the rest.
                Err(full @ Error::DiskFull { .. }) => {
                    return if self.make_room(&mut checkpoint, start, 1)? { Ok(Some(now_ms)) } else { Err(full) };
                }
                noted => noted?,
            }
            self.move_start(&mut checkpoint, start)?;
        }
        let is_done = self.remove_deleted(&mut checkpoint, 1)?;
        let next_ms = [roll_ms, expiry_ms].into_iter().flatten().min();
        Ok(if is_done { next_ms } else { Some(now_ms) })
    }

    /// Whether the topic keeps its records for ever, or until another one of their key takes their place.
    fn keeps_all(&self, config: &TopicConfig) -> bool {
        self.spec.is_internal || !config.cleanup_policy.has_delete() || !config.has_retention()
    }

    /// Whether the active segment is rolled when it is old, so that retention by time or compaction reaches its records.
    fn rolls_by_clock(&self, config: &TopicConfig) -> bool {
        let expires = config.cleanup_policy.has_delete() && config.retention_ms.is_some();
        !self.spec.is_internal && (expires || config.cleanup_policy.has_compact())
    }

    /// Rolls the active segment if it, or what is to be its first batch, is as old as that. Returns when that is so next, if there
    /// is something in it, or else when to look for that.
    fn roll_if_older(&self, now_ms: i64, segment_ms: Duration) -> Result<Option<i64>> {
        let segment_ms = whole_ms(segment_ms);
        let mut appender = self.appender.lock();
        self.check_writable()?;
        let segments = self.segments();
        let active = segments.last().filter(|active| active.base_offset() < active.next_offset());
        let begun_ms = active.map_or_else(|| appender.begun_ms(), |active| active.created_ms());
        let due_ms = begun_ms.unwrap_or(now_ms).saturating_add(segment_ms);
        if now_ms < due_ms || begun_ms.is_none() {
            return Ok(Some(due_ms));
        }
        appender.seal(&self.core)?;
        self.core.roll_active()?;
        Ok(Some(now_ms.saturating_add(segment_ms)))
    }

    /// Where the log is to begin by its topic's configuration, and when the next segment expires.
    fn wanted_start(&self, config: &TopicConfig, now_ms: i64) -> (u64, Option<i64>) {
        let segments = self.segments();
        let mut left_bytes: u64 = segments.iter().map(|segment| segment.log_bytes()).sum();
        let mut start = self.log_start_offset();
        let sealed = segments.split_last().map_or(&[][..], |(_, sealed)| sealed);
        // What a transaction that is open has begun is kept, and what comes behind.
        let unstable = self.first_unstable_offset().unwrap_or(u64::MAX);
        for segment in sealed.iter().take_while(|segment| segment.next_offset() <= unstable) {
            let expiry_ms = config.retention_ms.map(|age| expiry_ms(segment, age));
            left_bytes = left_bytes.saturating_sub(segment.log_bytes());
            let is_over = config.retention_bytes.is_some_and(|max| max <= left_bytes);
            if !is_over && expiry_ms.is_none_or(|expiry_ms| now_ms < expiry_ms) {
                return (start, expiry_ms);
            }
            start = segment.next_offset();
        }
        (start, None)
    }
}

/// When a segment's newest record is older than `age`.
fn expiry_ms(segment: &Segment, age: Duration) -> i64 {
    let newest_ms = segment.max_timestamp().max(segment.created_ms()).unwrap_or_default();
    let newest_ms = segment.rolled_ms().map_or(newest_ms, |rolled_ms| newest_ms.min(rolled_ms));
    newest_ms.saturating_add(whole_ms(age)).saturating_add(1)
}
