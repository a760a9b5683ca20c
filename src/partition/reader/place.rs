//! [`Place`]: where a read ended inside a batch, so that the next one begins there. [`Start`]: where a walk begins.

use std::sync::{Arc, Weak};

use crate::disk::SharedBytes;
use crate::format::{skip, step_over};
use crate::segment::Segment;

/// A place between two records of a batch. It lets the next read begin there rather than walk through the batch, or expand it,
/// once more: polls of 500 records would walk over more than two thirds of those of a batch of 64 KiB twice. Of no use, and no
/// harm, once that batch is sealed or replaced.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    pub(super) batch: WhichBatch,
    /// The offset of the next record.
    pub(super) next_offset: u64,
    /// Where that record begins, in bytes from the first one.
    pub(super) records_bytes: usize,
    /// All records of a compressed batch, expanded. Kept until the reader has come to their end.
    pub(super) plain: Option<SharedBytes>,
}

/// Tells a batch from all others, and from another one of the same offsets.
#[derive(Debug, Clone)]
pub(super) enum WhichBatch {
    /// The open batch that begins with this offset.
    Open { base_offset: u64 },
    /// The batch at this byte of a segment, which compaction may replace by another of its name.
    Sealed { segment: Weak<Segment>, file_position: u64 },
}

impl Place {
    pub(super) fn is_in_open(&self, open_base_offset: u64) -> bool {
        matches!(self.batch, WhichBatch::Open { base_offset } if base_offset == open_base_offset)
    }

    pub(super) fn is_in_sealed(&self, of: &Arc<Segment>, position: u64) -> bool {
        matches!(&self.batch, WhichBatch::Sealed { segment, file_position }
            if *file_position == position && std::ptr::eq(segment.as_ptr(), Arc::as_ptr(of)))
    }

    /// The same as what a walk through the batch needs to know.
    pub(super) fn start(&self, base_offset: u64, is_dense: bool) -> Start {
        let count =
            if is_dense { usize::try_from(self.next_offset.saturating_sub(base_offset)).unwrap_or(0) } else { 0 };
        Start { bytes: self.records_bytes, count, is_dense }
    }

    /// Whether the record with the next offset begins here in `records`, those of the batch.
    pub(super) fn is_right(&self, records: &[u8], base_offset: u64) -> bool {
        let next = records.get(self.records_bytes..).and_then(|rest| skip(rest).ok());
        next.is_some_and(|(delta, _)| base_offset.checked_add_signed(i64::from(delta)) == Some(self.next_offset))
    }
}

/// Where a walk through a batch begins.
#[derive(Debug, Clone, Copy)]
pub(super) struct Start {
    /// In bytes from the first record.
    pub(super) bytes: usize,
    /// Records that come before, in a dense batch.
    pub(super) count: usize,
    /// Whether the batch has a record for each of its offsets, as all have that were not compacted: then a walk only counts.
    pub(super) is_dense: bool,
}

impl Start {
    /// The first record of a batch.
    pub(super) fn first(is_dense: bool) -> Start {
        Start { bytes: 0, count: 0, is_dense }
    }

    /// How many records of `rest`, which begin here, have offsets below `offset`, and their bytes. `None` if they are not whole
    /// records.
    #[inline]
    pub(super) fn step_to(self, offset: u64, rest: &[u8], base_offset: u64) -> Option<(usize, usize)> {
        if self.is_dense {
            let here = base_offset.checked_add(self.count as u64)?;
            return step_over(rest, usize::try_from(offset.saturating_sub(here)).ok()?, usize::MAX).ok();
        }
        let (mut count, mut at) = (0, 0);
        while let Some(rest) = rest.get(at..).filter(|rest| !rest.is_empty()) {
            let (delta, bytes) = skip(rest).ok()?;
            if offset <= base_offset.checked_add_signed(i64::from(delta))? {
                break;
            }
            count += 1;
            at += bytes;
        }
        Some((count, at))
    }

    /// The offset of the first record of `rest`, which begins `count` records behind here.
    #[inline]
    pub(super) fn offset_behind(self, count: usize, rest: &[u8], base_offset: u64) -> Option<u64> {
        if self.is_dense {
            return base_offset.checked_add((self.count + count) as u64);
        }
        base_offset.checked_add_signed(i64::from(skip(rest).ok()?.0))
    }
}
