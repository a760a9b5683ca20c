//! A position with all that it takes to read there: what was committed, and the policies for where to begin.

use std::ops::Range;

use super::position::Position;
use super::reset::{OffsetReset, PositionReset, PositionResetHook, TruncationReset};
use crate::error::{Corruption, Error, Result};
use crate::events::Event;
use crate::group::committed_offset::CommittedOffset;
use crate::group::membership::Membership;
use crate::group::staging::Beginning;
use crate::partition::{FetchLimits, Place};
use crate::record::Fetched;

/// What was read from a partition, and where in a batch that ended.
pub(super) type Read = (Fetched, Option<Place>);

/// A partition at whose position to read.
pub(super) struct Cursor<'c> {
    pub(super) position: &'c mut Position,
    pub(super) membership: &'c Membership,
    pub(super) offset_reset: OffsetReset,
    pub(super) truncation_reset: TruncationReset,
    pub(super) position_reset_hook: Option<&'c PositionResetHook>,
    pub(super) counts: &'c mut Counts,
    /// Whether damage is passed over.
    pub(super) skips_corrupt: bool,
}

impl Cursor<'_> {
    /// Reads at the position, finding out first where to begin. The position is not moved by what was read. `None` if it is not
    /// decided yet where to begin.
    pub(super) fn read(&mut self, limits: FetchLimits) -> Result<Option<Read>> {
        loop {
            match self.read_once(limits) {
                Err(Error::Corrupt(damage)) if self.skips_corrupt => {
                    self.skip(&damage)?;
                }
                read => return read,
            }
        }
    }

    fn read_once(&mut self, limits: FetchLimits) -> Result<Option<Read>> {
        let begun = match self.position.next_offset() {
            None => self.begin()?,
            offset => offset,
        };
        let Some(offset) = begun else { return Ok(None) };
        let mut fetched = self.position.fetch(offset, limits, self.position.place.as_ref());
        let mut requested = offset;
        while self.offset_reset != OffsetReset::Error && matches!(fetched, Err(Error::OffsetOutOfRange { .. })) {
            let offset = self.start_without_offset()?;
            // Only where the start goes on meanwhile there is another place to try.
            if offset == requested {
                break;
            }
            // Retention was faster than this consumer.
            self.position.go_to(offset, None);
            self.note_reset(requested, offset);
            fetched = self.position.fetch(offset, limits, None);
            requested = offset;
        }
        fetched.map(Some)
    }

    /// After the position was moved, so that nothing of that depends on what the application does with it.
    #[cold]
    fn note_reset(&mut self, from: u64, to: u64) {
        let reset = PositionReset { partition: self.position.partition().clone(), from, to };
        let offsets = reset.passed_over();
        self.counts.resets += 1;
        self.counts.passed_over += offsets.end - offsets.start;
        if let Some(hook) = self.position_reset_hook {
            hook.call(&reset);
        }
        let files = self.position.log().files();
        files.events().add(|| Event::PositionReset { group: self.group(), partition: reset.partition, from, to });
        files.emit_events();
    }

    /// Finds out where to begin, and goes there. `None` if that is not decided yet: the position is nowhere then.
    pub(super) fn begin(&mut self) -> Result<Option<u64>> {
        let log = self.position.log();
        match self.membership.begin(log.partition(), log.topic_id(), &self.position.ticket)? {
            Beginning::At(committed) => return self.resume(&committed).map(Some),
            Beginning::Free => {}
            Beginning::Undecided => {
                self.position.forget();
                self.position.is_undecided = true;
                return Ok(None);
            }
        }
        // Nothing was committed since: what was read from there on counts as not read.
        let offset = self.position.begun_at.map_or_else(|| self.start_without_offset(), Ok)?;
        self.position.begun_at = Some(offset);
        self.position.go_to(offset, None);
        Ok(Some(offset))
    }

    /// Goes to a committed offset, unless a power cut took what it had passed.
    fn resume(&mut self, committed: &CommittedOffset) -> Result<u64> {
        let log = self.position.log();
        let (requested, leader_epoch) = (committed.offset(), committed.leader_epoch());
        if let Some(truncated_to) = log.truncated_to(requested, leader_epoch.unwrap_or(i32::MAX)) {
            if self.truncation_reset == TruncationReset::Error {
                return Err(Error::LogTruncated { partition: log.partition().clone(), requested, truncated_to });
            }
            self.counts.truncations += 1;
            log.files().events().add(|| self.truncated(requested, truncated_to));
            self.position.go_to(truncated_to, None);
            return Ok(truncated_to);
        }
        self.position.go_to(requested, leader_epoch);
        self.position.note_committed(Some(requested));
        Ok(requested)
    }

    fn start_without_offset(&self) -> Result<u64> {
        let log = self.position.log();
        // What is not known of a log is said to be 0, and whoever begins at the end would begin there.
        log.check_whole()?;
        match self.offset_reset {
            OffsetReset::Earliest => Ok(log.log_start_offset()),
            OffsetReset::Latest => Ok(self.position.end()),
            OffsetReset::Error => Err(Error::NoCommittedOffset { partition: log.partition().clone() }),
        }
    }

    /// Goes behind damage at the position; returns the offsets that are passed over: at least one.
    ///
    /// # Errors
    /// The damage itself, as [`Error::Corrupt`], if it is not here.
    pub(super) fn skip(&mut self, damage: &Corruption) -> Result<Range<u64>> {
        let position = &mut *self.position;
        let (Some(offset), Some(lost)) = (position.next_offset(), &damage.offsets) else {
            return Err(Error::Corrupt(Box::new(damage.clone())));
        };
        let is_here = damage.partition.as_ref() == Some(position.partition()) && damage.is_at(offset);
        if !is_here || position.end() < lost.end {
            return Err(Error::Corrupt(Box::new(damage.clone())));
        }
        position.skip_to(lost.end);
        self.counts.skipped += lost.end - offset;
        self.position.log().files().events().add(|| self.skipped(offset..lost.end));
        Ok(offset..lost.end)
    }
}

/// What subscribers are told.
impl Cursor<'_> {
    fn group(&self) -> String {
        self.membership.group().to_owned()
    }

    fn truncated(&self, from: u64, to: u64) -> Event {
        Event::PositionTruncated { group: self.group(), partition: self.position.partition().clone(), from, to }
    }

    fn skipped(&self, offsets: Range<u64>) -> Event {
        Event::DamageSkipped { group: self.group(), partition: self.position.partition().clone(), offsets }
    }
}

/// How often positions were chosen in place of committed ones.
#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) resets: u64,
    /// Offsets that resets left out.
    pub(super) passed_over: u64,
    pub(super) truncations: u64,
    /// Offsets that were passed over because they could not be read.
    pub(super) skipped: u64,
}

/// An offset that a caller has named, if the log has it and the consumer may see it.
///
/// # Errors
/// [`Error::OffsetOutOfRange`].
pub(super) fn check_offset(position: &Position, requested: u64) -> Result<u64> {
    let (log_start_offset, log_end_offset) = (position.log().log_start_offset(), position.end());
    if (log_start_offset..=log_end_offset).contains(&requested) {
        return Ok(requested);
    }
    Err(Error::OffsetOutOfRange {
        partition: position.partition().clone(),
        requested,
        log_start_offset,
        log_end_offset,
    })
}
