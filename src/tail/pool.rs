//! [`Pool`]: the slots of a tail that nobody uses.

use std::collections::BTreeMap;

use super::layout::SlotClass;
use super::lease::Leases;
use super::slot::FreeSlot;
use crate::disk::ProcessMark;
use crate::sync::Monitor;

/// The slots that nobody uses, and how many are in the others. Apart from [`Tail`], so that an open batch can give its slot back
/// without keeping the file open.
#[derive(Debug)]
pub(crate) struct Pool {
    /// Whoever waits is told when a thread has ended mapping or growing.
    pub(super) state: Monitor<PoolState>,
    pub(super) leases: Leases,
    pub(super) process: ProcessMark,
}

#[derive(Debug, Default)]
pub(super) struct PoolState {
    /// By class and place: the first free one is taken, so that slots in use lie together and a sync writes them together.
    pub(super) free: [BTreeMap<usize, FreeSlot>; 2],
    /// Chunks of the file that are not mapped yet, by class.
    pub(super) unmapped: [Vec<usize>; 2],
    pub(super) chunks: usize,
    /// How many slots there are, by class, whether or not they are in use.
    pub(super) slots: [usize; 2],
    /// Classes of which a slot was wanted and none is left.
    pub(super) short: [bool; 2],
    /// One thread is mapping or growing.
    pub(super) busy: bool,
    /// The file is another one's, perhaps: it is not grown any more.
    pub(super) closed: bool,
}

impl PoolState {
    /// How many slots are in use, and their bytes.
    pub(super) fn in_use(&self) -> (usize, usize) {
        let by_class = SlotClass::ALL.into_iter().zip(self.slots.iter().zip(&self.free));
        by_class.fold((0, 0), |(slots, bytes), (class, (all, free))| {
            let in_use = all.saturating_sub(free.len());
            (slots + in_use, bytes + in_use * class.slot_bytes())
        })
    }

    /// A free slot of class `wanted`, or else of the next larger one, or else of the largest one from `least` on.
    pub(super) fn pop(&mut self, wanted: SlotClass, least: SlotClass) -> Option<FreeSlot> {
        let larger = SlotClass::ALL.into_iter().filter(|class| *class >= wanted);
        let smaller = SlotClass::ALL.into_iter().rev().filter(|class| *class < wanted && *class >= least);
        let taken = larger.chain(smaller).find_map(|class| self.free.get_mut(class as usize)?.pop_first());
        let is_last = self.free.get(wanted as usize).is_none_or(BTreeMap::is_empty);
        if let Some(short) = self.short.get_mut(wanted as usize) {
            *short |= is_last;
        }
        taken.map(|(_, slot)| slot)
    }

    /// Whether there is something to map, or to grow within `chunks_max`, for a class that is short.
    pub(super) fn could_be_supplied(&self, chunks_max: usize) -> bool {
        let mut short = self.short.iter().zip(&self.unmapped).filter(|(is_short, _)| **is_short);
        !self.closed && short.any(|(_, unmapped)| !unmapped.is_empty() || self.chunks < chunks_max)
    }
}

impl Pool {
    /// In a process that was forked off, the slot is its parent's: nothing is done, and the lock not taken.
    pub(super) fn give_back(&self, slot: FreeSlot) {
        if self.process.is_forked() {
            return;
        }
        let class = slot.class;
        let mut state = self.state.lock();
        // Of a closed tail nothing stays mapped.
        if !state.closed
            && let Some(free) = state.free.get_mut(class as usize)
        {
            free.insert(slot.place(), slot);
        }
    }
}

impl AsRef<Leases> for Pool {
    fn as_ref(&self) -> &Leases {
        &self.leases
    }
}
