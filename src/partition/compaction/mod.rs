//! Compaction: of each key only the last record stays, so that a log of states is bounded by the number of its keys.
//!
//! ```text
//! [ compacted before ][ sealed since: dirty ][ active )       what `Log::compact_if_due` works on ends before the active segment
//!  └────── keys of the dirty part: key_offsets ──────┘
//!  └─ run ─┘└─ run ─┘…                                        each run is cleaned (cleaning), written and swapped (replacement)
//! ```
//! Kafka's rules: offsets never move, tombstones stay for `delete.retention.ms`, and when work begins is said in `due`. By default
//! at least half of the bytes are dirty then, so a log with n bytes of live records has at most about 2n in sealed segments after
//! a pass, and one active segment. The manifest says up to which offset the log was compacted: that is how the dirty part is found
//! again after opening.
//!
//! Keys that do not fit in memory are left to further passes: those of later segments, or, where one segment alone has too many,
//! those above some hash, in all segments. Only the last pass over a segment takes it for compacted and looks at its tombstones.
//!
//! What is sealed never changes, so it is read and cleaned with no lock that anything else needs. The checkpoint lock, which syncs
//! and notes wait for, is taken twice for a moment: to see what there is, and to exchange a run for what came of it, if it is
//! still there. Whatever fails, the log stays as it was; the next try is made when there is another sealed segment, or after a
//! while if it was not the log itself that was to blame.

mod cleaning;
pub(crate) mod config;
mod due;
pub(super) mod failure;
mod key_offsets;
mod key_table;
pub(super) mod recovery;
pub(super) mod replacement;
pub(crate) mod report;
mod superseded;
#[cfg(test)]
mod tests;
mod transactions;
pub(super) mod turn;

use std::sync::Arc;
use std::time::Duration;

use config::CompactionConfig;

use cleaning::{Cleaned, Cleaner, Tombstones, for_each};
use due::Due;
use failure::{Failure, NEVER};
use key_offsets::{KeyOffsets, Overflow};
use replacement::{Output, SealedLog};
use report::{Counts, LeftOut, PartitionCompaction};
use transactions::KnownTransactions;

use super::budget::CopyRoom;
use super::log::Log;
use crate::disk::throttle::GoOn;
use crate::error::{Error, Result};
use crate::events::{Event, Stopwatch};
use crate::format::{BatchHeader, HEADER_BYTES, plain_records};
use crate::record::Timestamp;
use crate::segment::Segment;

/// So many bytes of segments are rewritten and swapped at once, or one segment if that is larger: as much space is needed
/// meanwhile.
const RUN_BYTES_MAX: u64 = 64 << 20;

/// What failed for another reason than damage is tried again after this time: Kafka's `log.cleaner.backoff.ms`.
pub(crate) const BACKOFF: Duration = Duration::from_secs(15);

/// A look at a log.
#[derive(Debug)]
pub(crate) struct Looked {
    /// How compacting it went, if it was due.
    pub(crate) result: Result<()>,
    /// When it is to be looked at again, by the monotonic clock, if nobody calls for it before.
    pub(crate) next: Option<Duration>,
}

/// How far one went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Progress {
    /// All that was there when it began.
    Done,
    /// The caller wants no more, or what was to be compacted is not there any more.
    GivenUp,
}

/// The part of the keys that a pass takes, of the segments that end at or below an offset.
#[derive(Debug, Clone, Copy)]
struct Part {
    first_hash: u64,
    end: u64,
}

/// What a pass came to.
#[derive(Debug)]
enum Passed {
    GivenUp,
    /// The keys of this part are still to be taken, if there is one.
    Done(Option<Part>),
}

impl Log {
    /// Compacts the log if that is its policy and it is due.
    pub(crate) fn compact_if_due(&self, go_on: GoOn<'_>) -> Looked {
        let look_again = |next| Looked { result: Ok(()), next };
        let now = self.environment.disk.monotonic();
        let Some(config) = self.spec.compaction() else {
            *self.compaction_failure.lock() = None;
            return look_again(None);
        };
        // Before the look at whether the log is closed: who retires it closes it, and then waits for this turn to end.
        let Some(_turn) = self.compaction.begin() else { return look_again(Some(now + BACKOFF)) };
        // What is missing or damaged is not to be swept under the carpet.
        if self.is_closed() || self.check_unharmed().is_err() || !self.damage().is_empty() {
            return look_again(None);
        }
        // As for a checkpoint: others are not to wait for who verifies this log.
        let Some(mut checkpoint) = self.checkpoint.try_lock() else { return look_again(Some(now + BACKOFF)) };
        let due = Due::of(self, &checkpoint, &config, self.environment.steady_ms());
        let next = |due: &Due| due.at_ms.map(|ms| self.environment.monotonic_at(ms));
        if !due.is_now && checkpoint.is_settled() {
            return look_again(next(&due));
        }
        if let Some(retry_at) = self.waits_for_retry(due.end(), now) {
            return look_again(Some(retry_at).filter(|&at| at < NEVER));
        }
        let settled = self.check_present().and_then(|()| checkpoint.settle_replacement(&self.dir));
        drop(checkpoint);
        if settled.is_err() || !due.is_now {
            let settled = settled.map(|()| Progress::Done);
            self.note_result(&settled, due.end());
            let next = if settled.is_err() { Some(now + BACKOFF) } else { next(&due) };
            return Looked { result: settled.map(drop), next };
        }
        let mut counts = Counts::default();
        let result = self.compact(&mut counts, go_on);
        self.note_result(&result, due.end());
        let next = match &result {
            Err(_) => self.waits_for_retry(due.end(), now).filter(|&at| at < NEVER),
            Ok(Progress::GivenUp) => Some(now + BACKOFF),
            Ok(Progress::Done) => match self.checkpoint.try_lock() {
                Some(checkpoint) => next(&Due::of(self, &checkpoint, &config, self.environment.steady_ms())),
                None => Some(now + BACKOFF),
            },
        };
        Looked { result: result.map(drop), next }
    }

    /// Compacts the log now, whether or not it is due, and waits for another thread that is at it.
    pub(crate) fn compact_now(&self, go_on: GoOn<'_>) -> PartitionCompaction {
        let (mut counts, (mut bytes_before, _)) = (Counts::default(), self.closed_and_active_bytes());
        let left_out = match self.compact_as_asked(&mut counts, &mut bytes_before, go_on) {
            Ok(left_out) => left_out,
            Err(error) => Some(LeftOut::Failed(error)),
        };
        let (bytes_after, active_bytes) = self.closed_and_active_bytes();
        let partition = self.spec.partition.clone();
        PartitionCompaction { partition, counts, bytes_before, bytes_after, active_bytes, left_out }
    }

    fn compact_as_asked(
        &self,
        counts: &mut Counts,
        bytes_before: &mut u64,
        go_on: GoOn<'_>,
    ) -> Result<Option<LeftOut>> {
        // What is sealed and not noted yet is not looked at.
        self.check_writable()?;
        self.note_sealed_segments()?;
        let Some(_turn) = self.compaction.begin_after_others() else { return Ok(Some(LeftOut::GivenUp)) };
        // What others came to is theirs.
        (*bytes_before, _) = self.closed_and_active_bytes();
        self.check_writable()?;
        if let Some(damage) = self.damage().first() {
            return Err(Error::Corrupt(Box::new(damage.clone())));
        }
        let Some(config) = self.spec.compaction() else { return Ok(Some(LeftOut::GivenUp)) };
        let look = || Due::of(self, &self.checkpoint.lock(), &config, self.environment.steady_ms());
        let due = look();
        if due.sealed.is_empty() && due.young_until_ms.is_none() {
            return Ok(Some(LeftOut::NothingClosed));
        }
        let result = self.compact(counts, go_on);
        self.note_result(&result, due.end());
        Ok(match result? {
            Progress::GivenUp => Some(LeftOut::GivenUp),
            Progress::Done => look().young_until_ms.map(|ms| LeftOut::TooYoung(Timestamp::from_millis(ms))),
        })
    }

    /// The bytes of the closed segments, and those of the active one.
    fn closed_and_active_bytes(&self) -> (u64, u64) {
        let segments = self.segments();
        let bytes = |segment: &Arc<Segment>| segment.log_bytes();
        segments.split_last().map_or((0, 0), |(active, closed)| (closed.iter().map(bytes).sum(), bytes(active)))
    }

    /// Whether there is something sealed that compaction may have to do with.
    pub(crate) fn may_be_compacted(&self) -> bool {
        self.spec.compaction().is_some() && self.segments().len() > 1
    }

    /// Why the log is not compacted for now, if so.
    pub(crate) fn compaction_failure(&self) -> Option<String> {
        self.compaction_failure.lock().as_ref().map(|failure| failure.what.clone())
    }

    /// Whether what is sealed up to `end` is not to be tried for now, since that failed; and until when.
    fn waits_for_retry(&self, end: u64, now: Duration) -> Option<Duration> {
        let failure = self.compaction_failure.lock();
        failure.as_ref().filter(|failure| end <= failure.end && now < failure.retry_at).map(|failure| failure.retry_at)
    }

    fn note_result(&self, result: &Result<Progress>, end: u64) {
        // A log that is closed has not failed: nobody asks for what is in it any more.
        let error = result.as_ref().err().filter(|_| !self.is_closed());
        let failure = error.map(|error| {
            let is_damage = matches!(error, Error::Corrupt(_) | Error::CodecUnavailable { .. });
            let retry_at = if is_damage { NEVER } else { self.environment.disk.monotonic() + BACKOFF };
            let what = match error {
                Error::DiskFull { .. } | Error::OverBudget { .. } => {
                    let bytes = match error {
                        Error::OverBudget { needed_bytes, .. } => *needed_bytes,
                        _ => self.room_wanted(),
                    };
                    format!("compaction of {} waits for room for {bytes} bytes: {}", self.spec.partition, error)
                }
                error => format!("compaction of {}: {}", self.spec.partition, error.with_causes()),
            };
            Failure { what, end, retry_at }
        });
        self.events().add_some(|| self.failed_anew(failure.as_ref()?));
        *self.compaction_failure.lock() = failure;
    }

    /// That compaction failed, unless it was said before.
    fn failed_anew(&self, failure: &Failure) -> Option<Event> {
        let is_known = self.compaction_failure().is_some_and(|before| before == failure.what);
        let (partition, reason) = (self.spec.partition.clone(), failure.what.clone());
        (!is_known).then_some(Event::CompactionFailed { partition, reason })
    }

    /// How many bytes of segments are rewritten at once, unless a single one has more.
    fn run_bytes_max(&self) -> u64 {
        let segment_bytes = u64::from(self.spec.settings.load().segment_bytes);
        // What is exceeded by one segment at most is not to be used up by a copy of many.
        if self.environment.budget.is_some() { segment_bytes } else { RUN_BYTES_MAX.max(segment_bytes) }
    }

    /// What the largest run may take at most while it is rewritten.
    fn room_wanted(&self) -> u64 {
        let segments = self.segments();
        let sealed = segments.split_last().map_or(&[][..], |(_, sealed)| sealed);
        let all: u64 = sealed.iter().map(|segment| segment.log_bytes()).sum();
        all.min(self.run_bytes_max())
    }

    /// Takes room in the budget, if there is one, for what is written beside a run until it takes its place.
    ///
    /// # Errors
    /// [`Error::OverBudget`].
    fn take_room_for(&self, run: &[SealedLog]) -> Result<Option<CopyRoom>> {
        let Some(budget) = &self.environment.budget else { return Ok(None) };
        // With its indexes, each of which ends in a block of its own.
        let log_bytes: u64 = run.iter().map(|sealed| sealed.segment.log_bytes()).sum();
        let bytes = (log_bytes + log_bytes / 64).next_multiple_of(4096) + 4 * 4096;
        budget.take_for_copy(bytes, self.spec.is_internal).map(Some)
    }

    /// Compacts what is sealed and old enough by now, in as many passes as that takes. Each follows the settings of its moment.
    fn compact(&self, counts: &mut Counts, go_on: GoOn<'_>) -> Result<Progress> {
        let go_on = &|| !self.is_closed() && self.spec.compaction().is_some() && go_on();
        let (mut end, mut part, begun) = (None, None, Stopwatch::begin(|| self.monotonic()));
        loop {
            let Some(config) = self.spec.compaction() else { return Ok(Progress::GivenUp) };
            let mut checkpoint = self.checkpoint.lock();
            self.check_present()?;
            checkpoint.settle_replacement(&self.dir)?;
            let due = Due::of(self, &checkpoint, &config, self.environment.steady_ms());
            drop(checkpoint);
            // What is sealed meanwhile has its turn when it is due.
            let end = *end.get_or_insert(due.end());
            let is_within = |sealed: &SealedLog| sealed.segment.next_offset() <= end;
            let is_any_dirty = due.sealed.get(due.clean_count).is_some_and(is_within);
            if !due.sealed.first().is_some_and(is_within) || counts.passes > 0 && !is_any_dirty {
                self.tell_compacted(counts, end, begun);
                return Ok(Progress::Done);
            }
            match self.pass(&due, end, part, &config, counts, go_on)? {
                Passed::GivenUp => return Ok(Progress::GivenUp),
                Passed::Done(next) => {
                    self.counters.compactions.add(1);
                    part = next;
                }
            }
        }
    }

    fn tell_compacted(&self, counts: &Counts, end_offset: u64, begun: Stopwatch) {
        let Counts { passes, records: records_removed, tombstones: tombstones_removed } = *counts;
        if 0 < passes {
            self.events().add(|| Event::Compacted {
                partition: self.spec.partition.clone(),
                passes,
                records_removed,
                tombstones_removed,
                end_offset,
                duration: begun.elapsed(self.monotonic()),
            });
        }
    }

    /// Cleans what ends at or below `end`, as far as its keys fit, or this part of the keys. Run by run, until the caller wants no
    /// more, or what was to be cleaned is not there any more.
    fn pass(
        &self,
        due: &Due,
        end: u64,
        part: Option<Part>,
        config: &CompactionConfig,
        counts: &mut Counts,
        go_on: GoOn<'_>,
    ) -> Result<Passed> {
        let end = part.map_or(end, |part| part.end);
        let count = due.sealed.iter().take_while(|sealed| sealed.segment.next_offset() <= end).count();
        let (clean, dirty) = due.sealed.get(..count).unwrap_or_default().split_at(due.clean_count.min(count));
        let keys = self.unless_gone(dirty, self.keys_of(dirty, part, &due.transactions, go_on));
        let Some((keys, covered)) = keys? else { return Ok(Passed::GivenUp) };
        let next = keys.next_hash().zip(dirty.get(..covered).and_then(<[_]>::last));
        let next = next.map(|(first_hash, last)| Part { first_hash, end: last.segment.next_offset() });
        let now_ms = self.environment.steady_ms();
        let tombstones = match next {
            None => Tombstones::Age { now_ms, delete_retention_ms: config.delete_retention_ms },
            Some(_) => Tombstones::Wait,
        };
        let horizons_after_ms = if next.is_none() { now_ms } else { i64::MIN };
        let mut cleaner = Cleaner::new(&keys, due.transactions.clone(), tombstones);
        let mut rest = due.sealed.get(..clean.len() + covered).unwrap_or_default();
        counts.passes += 1;
        while !rest.is_empty() {
            let (run, later) = rest.split_at(run_length(rest, self.run_bytes_max()));
            rest = later;
            // Until what it takes the place of is gone.
            let room = self.take_room_for(run)?;
            let written = self.clean_run(run, &mut cleaner, horizons_after_ms, room.as_ref(), go_on);
            let output = self.unless_gone(run, written);
            let Some(output) = output? else { return Ok(Passed::GivenUp) };
            if !self.exchange(run, output, next.is_none())? {
                return Ok(Passed::GivenUp);
            }
            counts.add(cleaner.take_counts());
        }
        Ok(Passed::Done(next))
    }

    /// That segments could not be read which are closed, or not there any more, is no failure.
    fn unless_gone<T>(&self, run: &[SealedLog], read: Result<Option<T>>) -> Result<Option<T>> {
        let is_gone = || self.is_closed() || !self.has_segments(run);
        if read.is_err() && is_gone() { Ok(None) } else { read }
    }

    /// Puts what came of a run into its place; `false`, and it is removed, if the run is not there any more or the log is closed.
    /// With `is_clean` it is compacted up to its end then.
    fn exchange(&self, run: &[SealedLog], output: Output, is_clean: bool) -> Result<bool> {
        let noted = output.complete()?;
        let mut checkpoint = self.checkpoint.lock();
        if self.is_closed() || self.spec.compaction().is_none() || !self.has_segments(run) {
            output.discard();
            return Ok(false);
        }
        checkpoint.replace(&self.dir, run, output, noted, is_clean, |old, new| {
            // Processes that read along learn of it before a name stands for another file.
            self.group().tail().note_deleted();
            self.replace_segments(old, new);
        })
    }

    /// Whether these segments, which follow one another, are what readers see. They go under the checkpoint lock only.
    fn has_segments(&self, run: &[SealedLog]) -> bool {
        let segments = self.segments();
        let Some(first) = run.first() else { return true };
        let from_there = segments.iter().skip_while(|segment| !Arc::ptr_eq(segment, &first.segment));
        from_there.take(run.len()).map(Arc::as_ptr).eq(run.iter().map(|sealed| Arc::as_ptr(&sealed.segment)))
    }

    /// Writes what is left of some segments that follow one another. `None` if the caller wants no more.
    fn clean_run(
        &self,
        run: &[SealedLog],
        cleaner: &mut Cleaner<'_>,
        horizons_after_ms: i64,
        room: Option<&CopyRoom>,
        go_on: GoOn<'_>,
    ) -> Result<Option<Output>> {
        let Some((first, last)) = run.first().zip(run.last()) else { return Ok(None) };
        let end = last.segment.next_offset();
        let config = self.spec.segment_config();
        let mut output = Output::begin(&self.dir, config, first.segment.base_offset(), run, horizons_after_ms);
        let environment = &*self.environment;
        let mut write = |sealed: &SealedLog| {
            self.walk(sealed, go_on, &mut |header, bytes| {
                // So that the last file still says where the next one begins.
                let must_stay = header.next_offset() == end || cleaner.must_stay(header);
                let left = match cleaner.clean(header, bytes).map_err(|invalid| sealed.unreadable(header, invalid))? {
                    Cleaned::Whole => Some(bytes),
                    Cleaned::Rewritten(bytes) => Some(bytes),
                    Cleaned::Emptied(bytes) => Some(bytes).filter(|_| must_stay),
                };
                if let Some(bytes) = left {
                    environment.cleaner_throttle.note(bytes.len() as u64, &*environment.disk);
                    output.push(bytes)?;
                    if let Some(room) = room {
                        room.note_written(bytes.len() as u64);
                    }
                }
                output.note_aborted(cleaner.take_aborted());
                Ok(())
            })
        };
        let written = run.iter().try_fold(true, |is_read, sealed| Ok(is_read && write(sealed)?));
        if matches!(written, Ok(true)) {
            return Ok(Some(output));
        }
        // Of a log that this thread has retired meanwhile, the files are another's.
        if self.check_present().is_ok() {
            output.discard();
        }
        written.map(|_| None)
    }

    /// The keys of the first of `dirty`, as far as they fit, and of how many segments they are; or of all, those of this part.
    /// `None` if the caller wants no more.
    fn keys_of(
        &self,
        dirty: &[SealedLog],
        part: Option<Part>,
        transactions: &KnownTransactions,
        go_on: GoOn<'_>,
    ) -> Result<Option<(KeyOffsets, usize)>> {
        let first_hash = part.map_or(0, |part| part.first_hash);
        let first_offset = dirty.first().map_or(u64::MAX, |sealed| sealed.segment.base_offset());
        let mut keys = KeyOffsets::from(first_hash, self.environment.cleaner.key_bytes_max, first_offset);
        let mut plain = Vec::new();
        for (index, sealed) in dirty.iter().enumerate() {
            // Where not even those of the first one fit, there is no other way than to take a part of them; and then of all, since
            // the others mostly have the same keys.
            let may_stop = 0 < index && part.is_none() && keys.next_hash().is_none();
            let overflow = if may_stop { Overflow::Stop } else { Overflow::Shrink };
            let is_read = self.walk(sealed, go_on, &mut |header, bytes| {
                if header.start.attributes.is_control() || transactions.is_aborted(header) {
                    return Ok(());
                }
                let stored = bytes.get(HEADER_BYTES..).unwrap_or_default();
                // A batch that was checked does not expand beyond the bound.
                let noted = plain_records(header, stored, usize::MAX, &mut plain).and_then(|records| {
                    let mut occurrences = Vec::new();
                    for_each(header, records, |offset, record| {
                        occurrences.extend(record.key.map(|key| (key, offset)));
                    })?;
                    keys.note_all(&occurrences, overflow);
                    Ok(())
                });
                noted.map_err(|invalid| sealed.unreadable(header, invalid))
            })?;
            if !is_read {
                return Ok(None);
            }
            if may_stop && keys.is_full() {
                // Its keys are in part known, which removes too little and never too much; it is dirty still.
                return Ok(Some((keys, index)));
            }
        }
        Ok(Some((keys, dirty.len())))
    }

    /// Shows each batch of a sealed log file, after checking it, and in the end that the file is the one that was sealed. Not
    /// faster than the throttle allows. Whether it came to the end.
    fn walk(
        &self,
        sealed: &SealedLog,
        go_on: GoOn<'_>,
        visit: &mut dyn FnMut(&BatchHeader, &[u8]) -> Result<()>,
    ) -> Result<bool> {
        let (environment, mut crc) = (&*self.environment, crc32fast::Hasher::new());
        let is_read = sealed.segment.visit_batches(&mut |header, bytes| {
            if !environment.cleaner_throttle.spend(bytes.len() as u64, &*environment.disk, go_on) {
                return Ok(false);
            }
            crc.update(bytes);
            visit(header, bytes)?;
            Ok(true)
        })?;
        if is_read && Some(crc.finalize()) != sealed.log_crc32 {
            return Err(sealed.not_what_was_sealed());
        }
        Ok(is_read)
    }
}

/// How many of `sealed`, from the first on, are rewritten at once. Their offsets can all be told relative to the first one's.
fn run_length(sealed: &[SealedLog], bytes_max: u64) -> usize {
    let Some(first) = sealed.first() else { return 0 };
    let mut bytes = 0;
    let fits = |sealed: &&SealedLog| {
        bytes += sealed.segment.log_bytes();
        let offsets = sealed.segment.next_offset() - first.segment.base_offset();
        bytes <= bytes_max && offsets <= u64::from(i32::MAX.cast_unsigned())
    };
    sealed.iter().take_while(fits).count().max(1)
}
