//! What is still to come of a log: decided from what is had and what is offered, and from nothing else.
//!
//! Both ends of a stream decide it, each for itself, so that the one knows what to send, and the other what to take.

use super::held_log::HeldLog;
use super::history;
use super::offer::OfferedLog;
use crate::partition::log_offer::OfferedSegment;
use crate::partition::manifest::ManifestSegment;

/// What is to come of one segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step<'o> {
    /// Nothing: the log file is there, and the rest of what is said of it is about caches.
    Adopt(&'o ManifestSegment),
    /// The batches that are missing of a segment that its source has sealed by now, if any are; and the caches.
    Complete(&'o ManifestSegment, BatchRun),
    /// The log file as a whole, and the caches.
    Copy(&'o ManifestSegment, IsHere),
    /// Batches of a segment that is not noted.
    Append(&'o OfferedSegment, BatchRun),
}

/// Whether the log file has come in a round that was given up, so that it is not to come again.
pub(super) type IsHere = bool;

/// Batches that follow one another in a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct BatchRun {
    /// The segment's.
    pub(super) base_offset: u64,
    /// The byte of the log file where the first one begins.
    pub(super) file_position: u64,
    /// The offset that the first one has, or where some are missing a later one.
    pub(super) first_offset: u64,
    /// One above the last offset.
    pub(super) end_offset: u64,
    /// Whether offsets may be missing between batches.
    pub(super) may_skip: bool,
}

/// What is to come of a log; `None` if nothing is to change.
pub(super) fn steps<'o>(held: &HeldLog, offered: &'o OfferedLog) -> Option<Vec<Step<'o>>> {
    // Of another process it is not known what has been synced since it was noted last.
    if history::is_behind(held, offered) {
        return None;
    }
    let noted = offered.has.noted.iter().filter_map(|noted| noted_step(held, noted));
    Some(noted.chain(offered.has.unnoted.iter().filter_map(|segment| append_step(held, segment))).collect())
}

fn noted_step<'o>(held: &HeldLog, noted: &'o ManifestSegment) -> Option<Step<'o>> {
    if held.has(noted) {
        return None;
    }
    if held.has_log_of(noted) {
        return Some(Step::Adopt(noted));
    }
    let written = held.written_at(noted.sealed.base_offset).filter(|_| !noted.sealed.has_gaps);
    Some(match written {
        Some(written) if written.next_offset <= noted.sealed.next_offset => Step::Complete(
            noted,
            BatchRun {
                base_offset: written.base_offset,
                file_position: written.log_bytes,
                first_offset: written.next_offset,
                end_offset: noted.sealed.next_offset,
                may_skip: false,
            },
        ),
        _ => Step::Copy(noted, held.has_behind(noted)),
    })
}

fn append_step<'o>(held: &HeldLog, segment: &'o OfferedSegment) -> Option<Step<'o>> {
    let base_offset = segment.base_offset;
    let written = held.written_at(base_offset);
    let (file_position, first_offset) =
        written.map_or((0, base_offset), |written| (written.log_bytes, written.next_offset));
    let (end_offset, may_skip) = (segment.next_offset, segment.has_gaps);
    let run = BatchRun { base_offset, file_position, first_offset, end_offset, may_skip };
    (first_offset < end_offset).then_some(Step::Append(segment, run))
}
