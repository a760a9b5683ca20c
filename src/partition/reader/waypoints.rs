//! [`Waypoints`]: where some records begin inside large batches, for readers of single records.
//!
//! An index points at batches, and inside a batch only a walk from its first record on finds another one. A batch of 64 KiB has
//! hundreds of records: that walk was nearly all of the time of a random read (8.2 us, 1.2 with what is known here). So a batch
//! that was walked into is walked through once, and the place of a record in every 512 bytes or so is remembered. A fixed number
//! of batches is known per broker, whatever they are; others that come take their places. What is known of a batch never becomes
//! wrong: it belongs to the segment that it was found in, and batches of a segment never change.

use std::fmt;
use std::sync::{Arc, OnceLock, Weak};

use super::place::Start;
use crate::format::step_over;
use crate::segment::{Located, Segment};
use crate::sync::ArcSwapOption;

/// Batches that are known at most: half a GiB where they have 64 KiB. They take at most 5.5 MiB, and nothing before the first.
const BATCHES_MAX: usize = 8192;

/// Smaller batches are walked as fast as they are looked up.
const RECORDS_BYTES_MIN: usize = 8 * 1024;

const STEP_BYTES: usize = 512;

/// Points in one batch at most; larger ones have wider steps.
const POINTS_MAX: usize = 128;

/// The batches of a broker that are known from inside.
#[derive(Default)]
pub(crate) struct Waypoints {
    slots: OnceLock<Box<[ArcSwapOption<Known>]>>,
}

/// One batch, dense and not compressed.
#[derive(Debug)]
struct Known {
    segment: Weak<Segment>,
    located: Located,
    /// Records from one point to the next.
    stride: usize,
    /// Where each of them begins, in bytes from the first record.
    points: Box<[u32]>,
}

impl Waypoints {
    /// The batch with `offset`, if it is known, and the last point at or before that.
    pub(super) fn find(&self, segment: &Arc<Segment>, offset: u64) -> Option<(Located, Start)> {
        let slots = self.slots.get()?;
        let region = segment.region_of(offset)?;
        // The index finds the region in front of the one that a large batch begins, but for a batch's last offset, and for the
        // first batch of a segment.
        [region + 1, region].into_iter().find_map(|region| {
            let known = slots.get(slot_of(segment, region))?.load();
            known.as_ref()?.point_before(segment, offset)
        })
    }

    /// Gets to know a batch by a walk through `records`, its own. It has one for each of its offsets.
    pub(super) fn remember(&self, segment: &Arc<Segment>, located: Located, records: &[u8]) {
        let Some(region) = segment.region_at(located.file_position) else { return };
        let record_count = located.header.record_count.unsigned_abs() as usize;
        if records.len() < RECORDS_BYTES_MIN || record_count == 0 {
            return;
        }
        let stride = record_count.div_ceil((records.len() / STEP_BYTES).min(POINTS_MAX));
        let mut points = Vec::with_capacity(record_count.div_ceil(stride));
        let mut at = 0;
        while let Some(rest) = records.get(at..).filter(|rest| !rest.is_empty()) {
            let (Ok(point), Ok((_, bytes))) = (u32::try_from(at), step_over(rest, stride, usize::MAX)) else { return };
            points.push(point);
            at += bytes;
        }
        let known = Known { segment: Arc::downgrade(segment), located, stride, points: points.into() };
        let slots = self.slots.get_or_init(|| (0..BATCHES_MAX).map(|_| ArcSwapOption::empty()).collect());
        if let Some(slot) = slots.get(slot_of(segment, region)) {
            slot.store(Some(Arc::new(known)));
        }
    }
}

impl Known {
    fn point_before(&self, segment: &Arc<Segment>, offset: u64) -> Option<(Located, Start)> {
        let is_here = std::ptr::eq(self.segment.as_ptr(), Arc::as_ptr(segment));
        let count = offset.checked_sub(self.located.header.base_offset).filter(|_| is_here)?;
        let point = usize::try_from(count).ok()? / self.stride;
        let bytes = *self.points.get(point)? as usize;
        let is_inside = offset <= self.located.header.last_offset();
        is_inside.then_some((self.located, Start { bytes, count: point * self.stride, is_dense: true }))
    }
}

impl fmt::Debug for Waypoints {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Waypoints").field("is_used", &self.slots.get().is_some()).finish()
    }
}

/// Neighbours in a segment are neighbours here, so that they do not take each other's places.
fn slot_of(segment: &Arc<Segment>, region: usize) -> usize {
    const SPREAD: usize = 0x9e37_79b9;
    let spread = (Arc::as_ptr(segment).addr() / align_of::<Segment>()).wrapping_mul(SPREAD) >> 8;
    region.wrapping_add(spread) % BATCHES_MAX
}
