//! When a log is to be compacted.
//!
//! ```text
//! [ clean ][ dirty, old enough ][ dirty, too young ][ active )     nothing from the first open transaction on
//!           └── a pass is due ──┘                                if this is enough of the closed segments (the ratio),
//!                                                                or if the first record of it is too old (the max lag),
//!   └──┘                                                         or if the time of a tombstone is over here (the horizon)
//! ```
//! All three but the first come by themselves, at a moment that is known before.

use super::config::CompactionConfig;
use super::replacement::SealedLog;
use super::transactions::KnownTransactions;
use crate::partition::checkpoint::Checkpoint;
use crate::partition::log::Log;

/// What a log has for compaction.
#[derive(Debug)]
pub(super) struct Due {
    /// The sealed segments that are old enough, as the manifest has them.
    pub(super) sealed: Vec<SealedLog>,
    /// How many of them were compacted before.
    pub(super) clean_count: usize,
    /// Whether it is time for a pass.
    pub(super) is_now: bool,
    /// When it is time, by the steady clock, if nothing is sealed before.
    pub(super) at_ms: Option<i64>,
    /// When the first that is too young is old enough.
    pub(super) young_until_ms: Option<i64>,
    /// What is known of transactions. None of them is open in what is sealed here.
    pub(super) transactions: KnownTransactions,
}

impl Due {
    /// What there is at `now_ms`, by the steady clock.
    pub(super) fn of(log: &Log, checkpoint: &Checkpoint, config: &CompactionConfig, now_ms: i64) -> Due {
        let mut sealed = checkpoint.sealed_logs(&log.segments());
        // Before the view: what was aborted below is in it.
        let unstable = log.first_unmarked_offset();
        let stable = sealed.iter().take_while(|sealed| sealed.segment.next_offset() <= unstable).count();
        sealed.truncate(stable);
        let transactions = KnownTransactions::new(log.aborted(), log.producers_in_segments());
        let clean_offset = checkpoint.manifest.clean_offset;
        let is_clean = |sealed: &&SealedLog| sealed.segment.next_offset() <= clean_offset;
        let clean_count = sealed.iter().take_while(is_clean).count();
        let ripe_ms = |sealed: &SealedLog| sealed.youngest_ms().saturating_add(config.min_lag_ms);
        let is_ripe = |sealed: &&SealedLog| config.min_lag_ms == 0 || ripe_ms(sealed) <= now_ms;
        let ripe = sealed.iter().skip(clean_count).take_while(is_ripe).count();
        let young_until_ms = sealed.get(clean_count + ripe).map(ripe_ms);
        sealed.truncate(clean_count + ripe);
        let (clean, dirty) = sealed.split_at(clean_count);
        let bytes = |sealed: &[SealedLog]| sealed.iter().map(|sealed| sealed.segment.log_bytes()).sum::<u64>();
        let is_enough = !dirty.is_empty() && config.dirty_ratio.is_reached(bytes(dirty), bytes(&sealed));
        let oldest_ms = dirty.iter().filter_map(|sealed| sealed.segment.created_ms()).min();
        let lag_ms = oldest_ms.map(|oldest| oldest.saturating_add(config.max_lag_ms));
        let horizon_ms = clean.iter().filter_map(|sealed| sealed.delete_horizon).min();
        let known = [lag_ms.filter(|&ms| ms < i64::MAX), horizon_ms];
        let is_over = known.iter().flatten().any(|&ms| ms <= now_ms);
        let at_ms = known.into_iter().chain([young_until_ms]).flatten().min();
        Due { is_now: is_enough || is_over, at_ms, young_until_ms, sealed, clean_count, transactions }
    }

    /// Up to where there is something to compact.
    pub(super) fn end(&self) -> u64 {
        self.sealed.last().map_or(0, |sealed| sealed.segment.next_offset())
    }
}
