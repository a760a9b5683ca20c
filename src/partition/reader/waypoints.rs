//! [`Waypoints`]: where some records begin inside large batches, for readers of single records.
//!
//! An index points at batches, and inside a batch only a walk from its first record on finds another one. A batch of 64 KiB has
//! hundreds of records: that walk was nearly all of the time of a random read (8.2 us, 1.2 with what is known here). So whoever
//! walks into a batch leaves behind where a record begins in every 512 bytes or so, as far as the walk went, and the next one
//! begins at the last of these in front of its own offset. Nobody walks further than without them.
//!
//! What is known of a batch never becomes wrong: it belongs to the segment that it was found in, of which a [`Weak`] keeps the
//! address from being used again, and a batch that was once published never changes or moves within its segment. It says where to
//! begin and nothing about what is there; records are looked at as on any other way. Lost updates among readers cost a walk.

use std::sync::{Arc, OnceLock, Weak};
use std::{fmt, hint};

use super::place::Start;
use crate::format::step_over;
use crate::segment::{Located, Segment};
use crate::sync::ArcSwapOption;

/// Batches that are known at most, of all logs of a broker: half a GiB where they have 64 KiB. Others that come take their
/// places. A batch takes 650 bytes, and half a KiB more if its segment is gone but for what is known of it: 6 MiB in all,
/// 10 at the very worst, and nothing before the first walk.
const BATCHES_MAX: usize = 8192;

/// Smaller batches are walked as fast as they are looked up.
const RECORDS_BYTES_MIN: usize = 8 * 1024;

const STEP_BYTES: usize = 512;

/// What comes from memory at once.
const LINE_BYTES: usize = 64;

#[cfg(not(any(shuttle, loom)))]
const _: () = assert!(size_of::<Segment>() <= 480);

/// Points in one batch at most; larger ones have wider steps.
const POINTS_MAX: usize = 128;

/// The batches of a broker that are known from inside.
#[derive(Default)]
pub(crate) struct Waypoints {
    slots: OnceLock<Box<[ArcSwapOption<Known>]>>,
}

/// Keeps what is known of a batch while it is looked at, without counting who does.
type KnownGuard = arc_swap::Guard<Option<Arc<Known>>>;

/// One batch, not compressed, with a record for each of its offsets.
#[derive(Debug)]
pub(super) struct Known {
    segment: Weak<Segment>,
    pub(super) located: Located,
    points: Points,
}

/// Where every [`stride`]th record begins, in bytes from the first one, as far as someone has walked; never empty. In one piece with
/// what it belongs to: a reader waits for memory once, and not again for where it leads to.
#[derive(Debug, Clone)]
struct Points {
    bytes: [u32; POINTS_MAX],
    count: usize,
}

impl Points {
    /// The first record.
    const FIRST: Points = Points { bytes: [0; POINTS_MAX], count: 1 };

    fn get(&self, point: usize) -> Option<u32> {
        self.bytes.get(point).filter(|_| point < self.count).copied()
    }

    /// The last point and its bytes.
    fn last(&self) -> (usize, u32) {
        let last = self.count - 1;
        (last, self.bytes.get(last).copied().unwrap_or(0))
    }

    fn push(&mut self, bytes: u32) {
        if let Some(place) = self.bytes.get_mut(self.count) {
            *place = bytes;
            self.count += 1;
        }
    }
}

impl Waypoints {
    /// What is known of the batch with `offset`.
    pub(super) fn find(&self, segment: &Arc<Segment>, offset: u64) -> Option<KnownGuard> {
        let slots = self.slots.get()?;
        let region = segment.region_of(offset)?;
        // The index finds the region in front of the one that a large batch begins, but for a batch's last offset, and for the
        // first batch of a segment.
        let known_in = |region| {
            let known = slots.get(slot_of(segment, region))?.load();
            known.as_ref()?.has(segment, offset).then_some(known)
        };
        known_in(region + 1).or_else(|| known_in(region))
    }

    /// The last point at or before `offset` of a batch, and remembers those on the way there. `known` is what is known of it.
    pub(super) fn lead_to(
        &self,
        offset: u64,
        known: Option<&Known>,
        segment: &Arc<Segment>,
        located: &Located,
        records: &[u8],
    ) -> Start {
        let stride = stride(located, records);
        let count = usize::try_from(offset.saturating_sub(located.header.base_offset())).unwrap_or(usize::MAX);
        let wanted = (count / stride).min(POINTS_MAX - 1);
        let start = |point: usize, bytes: u32| {
            touch(records, bytes as usize);
            Start { bytes: bytes as usize, count: point * stride, is_dense: true }
        };
        if let Some(bytes) = known.and_then(|known| known.points.get(wanted)) {
            return start(wanted, bytes);
        }
        let mut points = known.map_or(Points::FIRST, |known| known.points.clone());
        let mut last = points.last();
        while last.0 < wanted
            && let Ok((steps, bytes)) = step_over(records.get(last.1 as usize..).unwrap_or_default(), stride, usize::MAX)
            // Whoever goes on from there finds out what is wrong.
            && steps == stride
            && let Ok(bytes) = u32::try_from(last.1 as usize + bytes)
        {
            last = (last.0 + 1, bytes);
            points.push(bytes);
        }
        self.remember(segment, located, points);
        start(last.0, last.1)
    }

    fn remember(&self, segment: &Arc<Segment>, located: &Located, points: Points) {
        let Some(region) = segment.region_at(located.file_position) else { return };
        let slots = self.slots.get_or_init(|| (0..BATCHES_MAX).map(|_| ArcSwapOption::default()).collect());
        if let Some(slot) = slots.get(slot_of(segment, region)) {
            slot.store(Some(Arc::new(Known { segment: Arc::downgrade(segment), located: *located, points })));
        }
    }
}

/// Asks for all the memory of the next step at once: where a record begins is only known once the length of the one before has come
/// from memory, and to wait for that is most of a random read. Measured for the walk alone, in a log of 110 MB that no cache holds: 590 ns
/// without this and 400 with it in the best of six runs on a busy machine, and between a little more and 42 % less in single ones.
#[inline]
fn touch(records: &[u8], at: usize) {
    // Near the end of a batch the walk is short.
    if let Some(step) = records.get(at..).and_then(|rest| rest.first_chunk::<STEP_BYTES>()) {
        let (lines, _) = step.as_chunks::<LINE_BYTES>();
        hint::black_box(lines.iter().fold(0, |all, [first, ..]| all | first));
    }
}

/// Whether a batch of so many bytes of records is worth it.
pub(super) fn is_large(records: &[u8]) -> bool {
    RECORDS_BYTES_MIN <= records.len()
}

/// Records from one point of a batch to the next.
fn stride(located: &Located, records: &[u8]) -> usize {
    let points = (records.len() / STEP_BYTES).clamp(1, POINTS_MAX);
    (located.header.record_count.unsigned_abs() as usize).div_ceil(points).max(1)
}

impl Known {
    fn has(&self, segment: &Arc<Segment>, offset: u64) -> bool {
        let header = &self.located.header;
        std::ptr::eq(self.segment.as_ptr(), Arc::as_ptr(segment))
            && header.base_offset() <= offset
            && offset <= header.last_offset()
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
