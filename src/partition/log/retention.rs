//! Keeping records for some time or up to some size: Kafka's `retention.ms` and `retention.bytes`.
//!
//! Whole segments go, from the front. The age of one is that of its newest record, which counts as no older than the segment and
//! no younger than the next one. So that every record comes to be in a segment that may go, the active one is rolled once it is
//! as old as `segment.ms`, whether or not anything is sent. All of it is measured by the steady clock: setting the clock of the machine
//! deletes nothing while a broker is open.
//!
//! What a group has not read that the topic names stays, as long as that is not too much ([`protection`](crate::partition::protection)).

use std::time::Duration;

use super::Log;
use crate::error::{Error, Result};
use crate::events::DeletedBy;
use crate::partition::bell::Work;
use crate::partition::config::{TopicConfig, whole_ms};
use crate::partition::protection::{Hold, Slowest};
use crate::segment::Segment;
use crate::topic_partition::TopicPartition;

/// Somebody else had the log's files just then: it is looked at again after so long.
const RETRY_MS: i64 = 1000;
/// So many bytes of segments are removed at once, or one segment if that is larger. With one segment each time, what small ones leave
/// behind piles up under a fast writer: each turn syncs what is new, too.
const REMOVED_BYTES_MAX: u64 = 64 << 20;

impl Log {
    /// Deletes what is to be kept no longer, a few files of it, and returns when to look again, by the steady clock; at no
    /// time of its own if nothing ever goes, or only after a roll.
    ///
    /// # Errors
    /// What rolling, syncing or deleting says; the log is as it was, or begins later, and the next call goes on.
    pub(crate) fn retain(&self) -> Result<Option<i64>> {
        // From the look at the settings on: once they have changed, nothing is deleted by those from before.
        let _retaining = self.retaining.lock();
        let config = self.spec.settings.load().clone();
        let (keeps_all, rolls) = (self.keeps_all(&config), self.rolls_by_clock(&config));
        if keeps_all {
            self.forget_hold();
        }
        if self.is_closed() || self.check_unharmed().is_err() || keeps_all && !rolls && !self.owes_removal() {
            return Ok(None);
        }
        let now_ms = self.environment.steady_ms();
        let roll_ms = if rolls { self.roll_if_older(now_ms, config.active_ms_max())? } else { None };
        // Before the lock of the checkpoint: whoever knows has locks of their own.
        let slowest = if keeps_all { None } else { self.slowest_group(&config) };
        // As for a checkpoint: others are not to wait for who verifies this log.
        let Some(mut checkpoint) = self.checkpoint.try_lock() else { return Ok(Some(now_ms + RETRY_MS)) };
        self.check_present()?;
        let (start, expiry_ms) = self.wanted_start(&config, now_ms, slowest.as_ref());
        if !keeps_all && self.log_start_offset() < start {
            checkpoint.settle_replacement(&self.dir)?;
            let noted = if self.has_unnoted_segments() { self.run_checkpoint(&mut checkpoint) } else { Ok(()) };
            match noted {
                // What needs no room goes, a few files at a time, and leaves some for the rest.
                Err(full @ Error::DiskFull { .. }) => {
                    return if self.make_room(&mut checkpoint, start, REMOVED_BYTES_MAX, DeletedBy::Retention)? {
                        Ok(Some(now_ms))
                    } else {
                        Err(full)
                    };
                }
                noted => noted?,
            }
            self.move_start(&mut checkpoint, start, DeletedBy::Retention)?;
        }
        let is_done = self.remove_deleted(&mut checkpoint, REMOVED_BYTES_MAX)?;
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
        let begun_ms = {
            let sealing = self.sealing();
            let segments = self.segments();
            let active = segments.last().filter(|active| active.base_offset() < active.next_offset());
            active.map_or_else(|| appender.begun_ms(&sealing), |active| active.created_ms())
        };
        let due_ms = begun_ms.unwrap_or(now_ms).saturating_add(segment_ms);
        if now_ms < due_ms || begun_ms.is_none() {
            return Ok(Some(due_ms));
        }
        appender.seal(&self.core)?;
        self.sealing().roll_active()?;
        Ok(Some(now_ms.saturating_add(segment_ms)))
    }

    /// Which of the groups that the log is kept for is furthest behind.
    fn slowest_group<'c>(&self, config: &'c TopicConfig) -> Option<Slowest<'c>> {
        let (partition, topic_id, start) = (&self.spec.partition, self.spec.topic_id, self.log_start_offset());
        self.environment.protection.slowest(config, partition, topic_id, start)
    }

    /// Nothing is kept for a group any more.
    pub(super) fn forget_hold(&self) {
        self.environment.protection.note(&self.spec.partition, self.spec.topic_id, None);
    }

    /// What is kept of the log for a group, though it would go by the topic's limits.
    pub(crate) fn hold(&self) -> Option<Hold> {
        self.environment.protection.hold(&self.spec.partition, self.spec.topic_id)
    }

    /// Up to how many bytes something is kept for a group.
    pub(crate) fn hold_bytes_max(&self) -> Option<u64> {
        self.spec.settings.load().retain_for_bytes
    }

    /// Calls for retention if this commit has set free what was kept for the group.
    #[inline]
    pub(crate) fn note_committed(&self, group: &str, offsets: impl Iterator<Item = (TopicPartition, u64)>) {
        if self.environment.protection.is_released_by(group, offsets) {
            self.environment.bell.ring(Work::Retention);
        }
    }

    /// Where the log is to begin by its topic's configuration, and when the next segment expires. What stays for a group is noted.
    fn wanted_start(&self, config: &TopicConfig, now_ms: i64, slowest: Option<&Slowest<'_>>) -> (u64, Option<i64>) {
        let (start, expiry_ms, held_until) = self.start_unless_held(config, now_ms, slowest);
        let protection = &self.environment.protection;
        protection.note(&self.spec.partition, self.spec.topic_id, slowest.zip(held_until));
        (start, expiry_ms)
    }

    /// The same, and the end of the segment that stays for a group.
    fn start_unless_held(
        &self,
        config: &TopicConfig,
        now_ms: i64,
        slowest: Option<&Slowest<'_>>,
    ) -> (u64, Option<i64>, Option<u64>) {
        let segments = self.segments();
        let mut left_bytes: u64 = segments.iter().map(|segment| segment.log_bytes()).sum();
        let mut start = self.log_start_offset();
        let sealed = segments.split_last().map_or(&[][..], |(_, sealed)| sealed);
        // What a transaction that is open has begun is kept, and what comes behind.
        let unstable = self.first_unmarked_offset();
        for segment in sealed.iter().take_while(|segment| segment.next_offset() <= unstable) {
            let expiry_ms = config.retention_ms.map(|age| expiry_ms(segment, age));
            left_bytes = left_bytes.saturating_sub(segment.log_bytes());
            let is_over = config.retention_bytes.is_some_and(|max| max <= left_bytes);
            if !is_over && expiry_ms.is_none_or(|expiry_ms| now_ms < expiry_ms) {
                return (start, expiry_ms, None);
            }
            let is_unread = slowest.is_some_and(|slowest| slowest.position < segment.next_offset());
            if is_unread && config.retain_for_bytes.is_some_and(|cap| left_bytes < cap) {
                return (start, None, Some(segment.next_offset()));
            }
            start = segment.next_offset();
        }
        (start, None, None)
    }
}

/// When a segment's newest record is older than `age`.
fn expiry_ms(segment: &Segment, age: Duration) -> i64 {
    newest_ms(segment).saturating_add(whole_ms(age)).saturating_add(1)
}

/// When a segment's newest record was sent, as far as that can be believed.
pub(super) fn newest_ms(segment: &Segment) -> i64 {
    let newest_ms = segment.max_timestamp().max(segment.created_ms()).unwrap_or_default();
    segment.rolled_ms().map_or(newest_ms, |rolled_ms| newest_ms.min(rolled_ms))
}
