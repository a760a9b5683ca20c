//! Which of the open ones is closed when there are too many.

use std::collections::VecDeque;
use std::sync::{Arc, Weak};

use crate::sync::Mutex;
use crate::sync::atomic::{AtomicBool, Ordering};

/// Something open that can be closed for a while.
pub(super) trait Slot: Send + Sync {
    /// Whether it was used since this was last asked.
    fn take_used(&self) -> bool;
    /// Whether it has un-synced writes; closed only where few others are left to close.
    fn is_dirty(&self) -> bool;
    /// Whether it is never opened again.
    fn is_gone(&self) -> bool;
    /// Closes it, unless it is in use.
    fn close(&self) -> Closing;
    /// Closes it for good: what is in use is closed when that ends.
    fn close_for_good(&self);
}

/// What became of something that was to be closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Closing {
    /// It was open, and is not any more.
    Closed,
    /// It was not open.
    WasClosed,
    /// It stays open.
    InUse,
}

/// One place in so many is for those that have no un-synced writes.
const CLEAN_SHARE: usize = 8;

/// The filled slots of one kind.
pub(super) struct Queue {
    limit: usize,
    slots: Mutex<Slots>,
    /// Whether some slots may be nobody's any more. One that is missed takes its place until its turn has come.
    has_dropped: AtomicBool,
    /// Whether some slots may not be dirty any more.
    has_synced: AtomicBool,
}

impl Queue {
    /// Keeps about `limit` open, at least 1.
    pub(super) fn new(limit: usize) -> Queue {
        let (has_dropped, has_synced) = Default::default();
        Queue { limit: limit.max(1), slots: Mutex::default(), has_dropped, has_synced }
    }

    /// Counts a slot that was just filled, closing another if there are too many.
    pub(super) fn admit(&self, slot: Weak<dyn Slot>) {
        let mut victims = Vec::new();
        {
            let mut slots = self.slots.lock();
            if slots.are_closed {
                drop(slots);
                return close_for_good([slot]);
            }
            if slots.len() >= self.limit && self.has_dropped.swap(false, Ordering::Relaxed) {
                slots.forget_dropped();
            }
            // Closed before the newcomer joins, so that it is never its own victim.
            while slots.len() >= self.limit
                && let Some(victim) = self.take_next(&mut slots)
            {
                victims.extend(victim.upgrade());
            }
            slots.add(slot);
        }
        for victim in victims {
            if victim.close() == Closing::InUse {
                self.slots.lock().add(Arc::downgrade(&victim));
            }
        }
    }

    fn take_next(&self, slots: &mut Slots) -> Option<Weak<dyn Slot>> {
        if self.has_synced.swap(false, Ordering::Acquire) {
            slots.find_synced();
        }
        // Those that were written to once and are idle would else have all places, and who reads would share the last.
        let few_are_clean = slots.clean.len() < self.limit / CLEAN_SHARE;
        let victim = if few_are_clean { slots.take_dirty() } else { None };
        victim.or_else(|| slots.take_clean()).or_else(|| slots.take_dirty())
    }

    /// Some slot is nobody's any more.
    pub(super) fn note_drop(&self) {
        self.has_dropped.store(true, Ordering::Relaxed);
    }

    /// Some slot is not dirty any more.
    pub(super) fn note_sync(&self) {
        self.has_synced.store(true, Ordering::Release);
    }

    /// Closes an eighth of what is open, and at least one, after the machine said that there is too much of it.
    pub(super) fn close_some(&self) {
        let mut slots = self.slots.lock();
        slots.forget_dropped();
        let mut wanted = slots.len().div_ceil(8);
        drop(slots);
        let mut in_use = Vec::new();
        while wanted > 0 {
            let Some(next) = self.take_next(&mut self.slots.lock()) else { break };
            match next.upgrade().map(|slot| slot.close()) {
                Some(Closing::Closed) => wanted -= 1,
                Some(Closing::InUse) => in_use.push(next),
                Some(Closing::WasClosed) | None => {}
            }
        }
        let mut slots = self.slots.lock();
        for slot in in_use {
            slots.add(slot);
        }
    }

    /// Closes all of them for good, and whatever comes later.
    pub(super) fn close_all(&self) {
        let mut slots = self.slots.lock();
        let open = std::mem::replace(&mut *slots, Slots { are_closed: true, ..Slots::default() });
        drop(slots);
        close_for_good(open.clean.into_iter().chain(open.dirty));
    }

    /// How many there are.
    pub(super) fn live_count(&self) -> usize {
        let slots = self.slots.lock();
        slots.clean.iter().chain(&slots.dirty).filter(|slot| slot.strong_count() > 0).count()
    }
}

fn close_for_good(slots: impl IntoIterator<Item = Weak<dyn Slot>>) {
    slots.into_iter().filter_map(|slot| slot.upgrade()).for_each(|slot| slot.close_for_good());
}

/// Slots in the order in which they are looked at for closing.
#[derive(Default)]
struct Slots {
    /// Those that had no un-synced writes when they came, or at the last look.
    clean: VecDeque<Weak<dyn Slot>>,
    /// Those that had. Kept apart, since where many files are written to in turn nearly all have: to look through 128 for one
    /// without took 15 us each time.
    dirty: VecDeque<Weak<dyn Slot>>,
    /// Nothing is kept open any more.
    are_closed: bool,
}

impl Slots {
    fn len(&self) -> usize {
        self.clean.len() + self.dirty.len()
    }

    fn add(&mut self, slot: Weak<dyn Slot>) {
        self.clean.push_back(slot);
    }

    fn forget_dropped(&mut self) {
        for slots in [&mut self.clean, &mut self.dirty] {
            slots.retain(|slot| slot.upgrade().is_some_and(|slot| !slot.is_gone()));
        }
    }

    /// Puts those that are dirty no more to the clean ones.
    fn find_synced(&mut self) {
        let is_dirty = |slot: &Weak<dyn Slot>| slot.upgrade().is_some_and(|slot| slot.is_dirty());
        let (dirty, clean): (VecDeque<_>, VecDeque<_>) = self.dirty.drain(..).partition(is_dirty);
        self.dirty = dirty;
        self.clean.extend(clean);
    }

    /// Takes out a clean one that was not used lately, or else any clean one; perhaps one that is nobody's any more.
    fn take_clean(&mut self) -> Option<Weak<dyn Slot>> {
        // Once around: the first look takes the mark of use away.
        let mut second_chances = self.clean.len();
        while let Some(slot) = self.clean.pop_front() {
            match slot.upgrade() {
                Some(found) if found.is_dirty() => self.dirty.push_back(slot),
                Some(found) if second_chances > 0 && found.take_used() => {
                    second_chances -= 1;
                    self.clean.push_back(slot);
                }
                _ => return Some(slot),
            }
        }
        None
    }

    /// The same of dirty ones.
    fn take_dirty(&mut self) -> Option<Weak<dyn Slot>> {
        let mut second_chances = self.dirty.len();
        while let Some(slot) = self.dirty.pop_front() {
            match slot.upgrade() {
                Some(found) if second_chances > 0 && found.take_used() => {
                    second_chances -= 1;
                    self.dirty.push_back(slot);
                }
                _ => return Some(slot),
            }
        }
        None
    }
}
