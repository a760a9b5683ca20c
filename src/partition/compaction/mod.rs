//! Compaction: of each key only the last record stays, so that a log of states is bounded by the number of its keys.
//!
//! ```text
//! [ compacted before ][ sealed since: dirty ][ active )       what `Log::compact_if_due` works on ends before the active segment
//!  └────── keys of the dirty part: key_offsets ──────┘
//!  └─ run ─┘└─ run ─┘…                                        each run is cleaned (cleaning), written and swapped (replacement)
//! ```
//! Kafka's rules: offsets never move, tombstones stay for `delete.retention.ms`, and work begins when at least half of the
//! bytes are dirty. So a log with n bytes of live records has at most about 2n in sealed segments after a pass, and one active
//! segment. The manifest says up to which offset the log was compacted: that is how the dirty part is found again after opening.
//!
//! What is sealed never changes, so it is read and cleaned with no lock that anything else needs. The checkpoint lock, which syncs
//! and notes wait for, is taken twice for a moment: to see what there is, and to exchange a run for what came of it, if it is
//! still there. Whatever fails, the log stays as it was; the next try is made when there is another sealed segment.

mod cleaning;
pub(crate) mod config;
mod key_offsets;
pub(super) mod recovery;
pub(super) mod replacement;
#[cfg(test)]
mod tests;
pub(super) mod turn;

use std::sync::Arc;

use config::CompactionConfig;

use cleaning::{Cleaned, Cleaner, for_each};
use key_offsets::KeyOffsets;
use replacement::{Output, SealedLog};

use super::checkpoint::Checkpoint;
use super::log::Log;
use crate::error::Result;
use crate::format::{BatchHeader, HEADER_BYTES, plain_records};

/// So many bytes of segments are rewritten and swapped at once, or one segment if that is larger: as much space is needed
/// meanwhile.
const RUN_BYTES_MAX: u64 = 64 << 20;

/// Whether the caller wants the work to go on. Asked between batches.
pub(crate) type GoOn<'a> = &'a dyn Fn() -> bool;

impl Log {
    /// Compacts the log if that is its policy and enough was sealed since the last time. `false` if somebody else has what that
    /// takes, and it is to be looked at again.
    ///
    /// # Errors
    /// [`Error::Corrupt`] if what is sealed is damaged; it is left as it is then. [`Error::DiskFull`], [`Error::Io`].
    pub(crate) fn compact_if_due(&self, go_on: GoOn<'_>) -> Result<bool> {
        let Some(config) = self.spec.compaction else { return Ok(true) };
        // Before the look at whether the log is closed: who retires it closes it, and then waits for this turn to end.
        let Some(_turn) = self.compaction.begin() else { return Ok(false) };
        // What is missing or damaged is not to be swept under the carpet.
        if self.is_closed() || self.check_unharmed().is_err() || !self.damage().is_empty() {
            return Ok(true);
        }
        // As for a checkpoint: others are not to wait for who verifies this log.
        let Some(mut checkpoint) = self.checkpoint.try_lock() else { return Ok(false) };
        self.check_present()?;
        checkpoint.settle_replacement(&self.dir)?;
        let due = due(&mut checkpoint, self);
        drop(checkpoint);
        let Some(due) = due else { return Ok(true) };
        self.compact(&due, config, &|| !self.is_closed() && go_on())?;
        Ok(true)
    }

    /// Whether there is something sealed that compaction may have to do with.
    pub(crate) fn may_be_compacted(&self) -> bool {
        self.spec.compaction.is_some() && self.segments().len() > 1
    }

    /// Cleans what is due, run by run, until the caller wants no more, or what was to be cleaned is not there any more.
    fn compact(&self, due: &Due, config: CompactionConfig, go_on: GoOn<'_>) -> Result<()> {
        let (clean, dirty) = due.sealed.split_at(due.clean_count);
        let keys = self.unless_gone(dirty, keys_of(dirty, config, go_on));
        let Some((keys, covered)) = keys? else { return Ok(()) };
        let mut cleaner = Cleaner::new(&keys, self.environment.now_ms(), config.delete_retention_ms);
        let mut rest = due.sealed.get(..clean.len() + covered).unwrap_or_default();
        while !rest.is_empty() {
            let (run, later) = rest.split_at(run_length(rest, u64::from(self.spec.settings.load().segment_bytes)));
            rest = later;
            let output = self.unless_gone(run, self.clean_run(run, &mut cleaner, go_on));
            let Some(output) = output? else { return Ok(()) };
            if !self.exchange(run, output)? {
                return Ok(());
            }
        }
        Ok(())
    }

    /// That segments could not be read which are closed, or not there any more, is no failure.
    fn unless_gone<T>(&self, run: &[SealedLog], read: Result<Option<T>>) -> Result<Option<T>> {
        let is_gone = || self.is_closed() || !self.has_segments(run);
        if read.is_err() && is_gone() { Ok(None) } else { read }
    }

    /// Puts what came of a run into its place; `false`, and it is removed, if the run is not there any more or the log is closed.
    fn exchange(&self, run: &[SealedLog], output: Output) -> Result<bool> {
        let noted = output.complete()?;
        let mut checkpoint = self.checkpoint.lock();
        if self.is_closed() || !self.has_segments(run) {
            output.discard();
            return Ok(false);
        }
        checkpoint.replace(&self.dir, run, output, noted, |old, new| self.replace_segments(old, new))
    }

    /// Whether these segments, which follow one another, are what readers see. They go under the checkpoint lock only.
    fn has_segments(&self, run: &[SealedLog]) -> bool {
        let segments = self.segments();
        let Some(first) = run.first() else { return true };
        let from_there = segments.iter().skip_while(|segment| !Arc::ptr_eq(segment, &first.segment));
        from_there.take(run.len()).map(Arc::as_ptr).eq(run.iter().map(|sealed| Arc::as_ptr(&sealed.segment)))
    }

    /// Writes what is left of some segments that follow one another. `None` if the caller wants no more.
    fn clean_run(&self, run: &[SealedLog], cleaner: &mut Cleaner<'_>, go_on: GoOn<'_>) -> Result<Option<Output>> {
        let Some((first, last)) = run.first().zip(run.last()) else { return Ok(None) };
        let end = last.segment.next_offset();
        let config = self.spec.segment_config();
        let mut output = Output::begin(&self.dir, config, first.segment.base_offset(), run);
        let mut write = |sealed: &SealedLog| {
            walk(sealed, go_on, &mut |header, bytes| {
                match cleaner.clean(header, bytes).map_err(|invalid| sealed.unreadable(header, invalid))? {
                    Cleaned::Whole => output.push(bytes),
                    Cleaned::Rewritten(bytes) => output.push(bytes),
                    // So that the last file still says where the next one begins.
                    Cleaned::Emptied(bytes) if header.next_offset() == end => output.push(bytes),
                    Cleaned::Emptied(_) => Ok(()),
                }
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
}

/// What there is to do.
struct Due {
    /// The sealed segments, as the manifest has them.
    sealed: Vec<SealedLog>,
    /// How many of them were compacted before.
    clean_count: usize,
}

/// Whether at least half of what is sealed was not compacted before, and some of it is new since the last try.
fn due(checkpoint: &mut Checkpoint, log: &Log) -> Option<Due> {
    let sealed = checkpoint.sealed_logs(&log.segments());
    let clean_offset = checkpoint.manifest.clean_offset;
    let clean_count = sealed.iter().take_while(|sealed| sealed.segment.next_offset() <= clean_offset).count();
    let end = sealed.last()?.segment.next_offset();
    let bytes = |sealed: &[SealedLog]| sealed.iter().map(|sealed| sealed.segment.log_bytes()).sum::<u64>();
    let (clean, dirty) = sealed.split_at(clean_count);
    let is_due = !dirty.is_empty() && bytes(clean) <= bytes(dirty) && checkpoint.begin_compaction(end);
    is_due.then_some(Due { sealed, clean_count })
}

/// The keys of the first of `dirty`, as far as they fit, and of how many segments they are. `None` if the caller wants no more.
fn keys_of(dirty: &[SealedLog], config: CompactionConfig, go_on: GoOn<'_>) -> Result<Option<(KeyOffsets, usize)>> {
    let mut keys = KeyOffsets::default();
    let mut plain = Vec::new();
    for (index, sealed) in dirty.iter().enumerate() {
        let has_room = |keys: &KeyOffsets| index == 0 || keys.bytes() <= config.key_bytes_max;
        let is_read = walk(sealed, go_on, &mut |header, bytes| {
            if header.start.attributes.is_control() || header.start.stamp.is_transactional || !has_room(&keys) {
                return Ok(());
            }
            let stored = bytes.get(HEADER_BYTES..).unwrap_or_default();
            // A batch that was checked does not expand beyond the bound.
            let noted = plain_records(header, stored, usize::MAX, &mut plain).and_then(|records| {
                for_each(header, records, |offset, record| {
                    if let Some(key) = record.key {
                        keys.note(key, offset);
                    }
                })
            });
            noted.map_err(|invalid| sealed.unreadable(header, invalid))
        })?;
        if !is_read {
            return Ok(None);
        }
        if !has_room(&keys) {
            // Its keys are in part known, which removes too little and never too much; it is dirty still.
            return Ok(Some((keys, index)));
        }
    }
    Ok(Some((keys, dirty.len())))
}

/// How many of `sealed`, from the first on, are rewritten at once. Their offsets can all be told relative to the first one's.
fn run_length(sealed: &[SealedLog], segment_bytes: u64) -> usize {
    let Some(first) = sealed.first() else { return 0 };
    let mut bytes = 0;
    let fits = |sealed: &&SealedLog| {
        bytes += sealed.segment.log_bytes();
        let offsets = sealed.segment.next_offset() - first.segment.base_offset();
        bytes <= RUN_BYTES_MAX.max(segment_bytes) && offsets <= u64::from(i32::MAX.cast_unsigned())
    };
    sealed.iter().take_while(fits).count().max(1)
}

/// Shows each batch of a sealed log file, after checking it, and in the end that the file is the one that was sealed.
/// Whether it came to the end.
fn walk(sealed: &SealedLog, go_on: GoOn<'_>, visit: &mut dyn FnMut(&BatchHeader, &[u8]) -> Result<()>) -> Result<bool> {
    let mut crc = crc32fast::Hasher::new();
    let is_read = sealed.segment.visit_batches(&mut |header, bytes| {
        if !go_on() {
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
