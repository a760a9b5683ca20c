//! The partitions that a consumer reads, and which of them to look at next.
//!
//! ```text
//!               read to its end                        paused
//! Waiting <──────────────────────────  Active  ──────────────────────> Paused
//!    └──── the token is delivered ───────┘ └── resumed ──────────────────┘
//!    └──── seek ─────────────────────────┘
//! ```
//! Each partition has a *token*, its index here. Active ones stand in a queue and take turns; the others cost nothing, however
//! many they are. One that was read to its end leaves the queue only when a poll finds it there again: a consumer that is
//! always behind never asks to be woken. Nor does one whose polls do not wait, while only a few are active: it looks at these each
//! time, and their senders need not wake who is awake.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use super::position::Position;
use crate::error::{Error, Result};
use crate::partition::isolation::Isolation;
use crate::partition::{PartitionSource, Registration, Ticket, Waiter};
use crate::topic_partition::TopicPartition;

/// The positions of one consumer.
#[derive(Debug)]
pub(super) struct Positions {
    waiter: Arc<Waiter>,
    isolation: Isolation,
    slots: Vec<Option<Slot>>,
    /// Tokens without a partition. A delivery for the last one that had the token may still come; it makes the next one
    /// active, which is harmless.
    free: Vec<u32>,
    tokens: HashMap<TopicPartition, u32>,
    /// Those whose activity is `Active`, each once, in the order in which it is their turn.
    active: VecDeque<u32>,
    /// Room for tokens that were delivered.
    delivered: Vec<u32>,
    next_rank: u64,
}

#[derive(Debug)]
struct Slot {
    position: Position,
    /// `None` where another process sends, which can wake nobody here.
    registration: Option<Registration>,
    activity: Activity,
    /// Ascending in the order in which the consumer was told of its partitions.
    rank: u64,
}

/// A look at each of the partitions that are active when it begins.
#[derive(Debug)]
pub(super) struct Turns {
    left: usize,
    /// Whether those that are read to their end wait from now on. To arm one, and to wake who is awake, takes 170 ns together, and most
    /// of it the next sender's.
    arm: bool,
}

/// So many partitions are looked at one by one in each poll; of more, tokens are to say where there is something.
const GLANCE_MAX: usize = 8;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Activity {
    /// There may be something to read.
    Active,
    /// Read to its end, and the registration is armed.
    Waiting,
    /// Paused, and not armed. One that waits and is paused goes on to wait, and comes here when something arrives.
    Paused,
}

impl Positions {
    /// No partitions. Senders wake `waiter`; what it sees of transactions `isolation` says.
    pub(super) fn new(waiter: Arc<Waiter>, isolation: Isolation) -> Positions {
        Positions {
            waiter,
            isolation,
            slots: Vec::new(),
            free: Vec::new(),
            tokens: HashMap::new(),
            active: VecDeque::new(),
            delivered: Vec::new(),
            next_rank: 0,
        }
    }

    /// Makes `logs` the partitions to read from, in this order; positions in those that stay are kept.
    pub(super) fn set(&mut self, logs: impl IntoIterator<Item = PartitionSource>) {
        let first_rank = self.next_rank;
        for log in logs {
            let rank = self.next_rank;
            match self.find_slot(log.partition()) {
                Some(slot) if slot.position.log().is_same(&log) => {
                    if slot.rank < first_rank {
                        slot.rank = rank;
                        self.next_rank += 1;
                    }
                }
                found => {
                    // What was found is of a topic that was deleted and had the same name.
                    if found.is_some() {
                        self.remove([log.partition()]);
                    }
                    self.add(log);
                }
            }
        }
        let gone = self.slots.iter().flatten().filter(|slot| slot.rank < first_rank);
        let gone: Vec<_> = gone.map(|slot| slot.position.partition().clone()).collect();
        self.remove(&gone);
    }

    /// Takes up a partition that is not here yet, without a position.
    pub(super) fn add(&mut self, log: PartitionSource) {
        let token = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            u32::try_from(self.slots.len() - 1).expect("fewer partitions than fit in memory")
        });
        let registration = log.register(&self.waiter, token, self.isolation);
        self.tokens.insert(log.partition().clone(), token);
        let position = Position::new(log, self.isolation, Ticket::new(&self.waiter, token));
        let slot = Slot { position, registration, activity: Activity::Active, rank: self.next_rank };
        self.next_rank += 1;
        if let Some(place) = self.slots.get_mut(token as usize) {
            *place = Some(slot);
        }
        self.active.push_back(token);
    }

    /// Lets go of partitions; those that are not here are passed over.
    pub(super) fn remove<'p>(&mut self, partitions: impl IntoIterator<Item = &'p TopicPartition>) {
        let before = self.free.len();
        for partition in partitions {
            if let Some(token) = self.tokens.remove(partition) {
                self.slots.get_mut(token as usize).and_then(Option::take);
                self.free.push(token);
            }
        }
        if self.free.len() > before {
            let slots = &self.slots;
            self.active.retain(|&token| slots.get(token as usize).is_some_and(Option::is_some));
        }
    }

    /// The position in `partition`, if the consumer reads it.
    pub(super) fn get(&self, partition: &TopicPartition) -> Option<&Position> {
        let token = *self.tokens.get(partition)?;
        Some(&self.slots.get(token as usize)?.as_ref()?.position)
    }

    /// The position in `partition`.
    ///
    /// # Errors
    /// [`Error::NotAssigned`] if the consumer does not read it.
    pub(super) fn find(&self, partition: &TopicPartition) -> Result<&Position> {
        self.get(partition).ok_or_else(|| Error::NotAssigned { partition: partition.clone() })
    }

    /// The position in `partition`. Whoever moves it [reactivates](Positions::reactivate) it.
    ///
    /// # Errors
    /// [`Error::NotAssigned`] if the consumer does not read it.
    pub(super) fn get_mut(&mut self, partition: &TopicPartition) -> Result<&mut Position> {
        let slot = self.find_slot(partition).ok_or_else(|| Error::NotAssigned { partition: partition.clone() })?;
        Ok(&mut slot.position)
    }

    /// All positions, in no particular order.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Position> {
        self.slots.iter().flatten().map(|slot| &slot.position)
    }

    /// All positions, in the order in which the consumer was told of them.
    pub(super) fn in_order(&self) -> Vec<&Position> {
        let mut slots: Vec<_> = self.slots.iter().flatten().collect();
        slots.sort_unstable_by_key(|slot| slot.rank);
        slots.into_iter().map(|slot| &slot.position).collect()
    }

    /// Has a partition looked at again after it was moved or resumed.
    pub(super) fn reactivate(&mut self, partition: &TopicPartition) {
        let Some(&token) = self.tokens.get(partition) else { return };
        let Some(slot) = slot_at(&mut self.slots, token) else { return };
        if slot.activity == Activity::Waiting {
            slot.disarm();
        }
        if slot.activity != Activity::Active {
            slot.activity = Activity::Active;
            self.active.push_back(token);
        }
    }

    /// Makes the partitions active of which the waiter was told, by senders or at the end of a transaction. Whatever else woke it counts as seen: the caller looks at
    /// that after this.
    pub(super) fn take_delivered(&mut self) {
        self.waiter.take_tokens(&mut self.delivered);
        for token in self.delivered.drain(..) {
            let Some(slot) = slot_at(&mut self.slots, token) else { continue };
            // Where it is not decided yet, the next look asks again.
            slot.position.is_undecided = false;
            if slot.activity == Activity::Waiting {
                slot.activity = Activity::Active;
                self.active.push_back(token);
            }
        }
    }

    /// Makes the partitions active of which nobody tells the waiter, since another process sends there. Of those that are paused
    /// nothing is kept that was deleted.
    pub(super) fn take_untold(&mut self) {
        for (token, slot) in (0..).zip(&mut self.slots) {
            let Some(slot) = slot.as_mut().filter(|slot| slot.registration.is_none()) else { continue };
            match slot.activity {
                Activity::Waiting => {
                    slot.activity = Activity::Active;
                    self.active.push_back(token);
                }
                Activity::Paused => slot.position.log().let_go_of_deleted(),
                Activity::Active => {}
            }
        }
    }

    /// How many partitions may have something to read.
    pub(super) fn active_count(&self) -> usize {
        self.active.len()
    }

    /// A turn for each partition that may have something to read. If the consumer may wait after that, all that have not are
    /// armed.
    pub(super) fn turns(&self, may_wait: bool) -> Turns {
        Turns { left: self.active.len(), arm: may_wait || self.active.len() > GLANCE_MAX }
    }

    /// Whether an active partition has something to read, at a glance: where more are active than that takes, that is to be
    /// found out by looking at each.
    pub(super) fn may_be_ready(&self) -> bool {
        let active = self.active.iter().filter_map(|&token| self.slots.get(token as usize)?.as_ref());
        self.active.len() > GLANCE_MAX || active.map(|slot| &slot.position).any(|p| !p.is_paused && p.is_ready())
    }

    /// Whether a partition has something to read. If not, all are armed.
    pub(super) fn has_ready(&mut self) -> bool {
        let mut turns = self.turns(true);
        self.find_ready(&mut turns).is_some()
    }

    /// The next partition that has something to read, which then is last in the queue.
    pub(super) fn next_ready(&mut self, turns: &mut Turns) -> Option<&mut Position> {
        let token = self.find_ready(turns)?;
        self.active.rotate_left(1);
        slot_at(&mut self.slots, token).map(|slot| &mut slot.position)
    }

    /// Gives the partition that [`next_ready`](Positions::next_ready) returned last the first turn again.
    pub(super) fn put_back(&mut self) {
        self.active.rotate_right(self.active.len().min(1));
    }

    /// Brings a partition that has something to read to the front. Those before it wait or pause from now on, or are last in the
    /// queue.
    fn find_ready(&mut self, turns: &mut Turns) -> Option<u32> {
        while turns.left > 0 {
            turns.left -= 1;
            let token = *self.active.front()?;
            let slot = slot_at(&mut self.slots, token);
            match slot.map(|slot| (slot.is_ready(turns.arm), slot.activity)) {
                Some((true, _)) => return Some(token),
                Some((false, Activity::Active)) => self.active.rotate_left(1),
                _ => _ = self.active.pop_front(),
            }
        }
        None
    }

    fn find_slot(&mut self, partition: &TopicPartition) -> Option<&mut Slot> {
        let token = *self.tokens.get(partition)?;
        slot_at(&mut self.slots, token)
    }
}

fn slot_at(slots: &mut [Option<Slot>], token: u32) -> Option<&mut Slot> {
    slots.get_mut(token as usize)?.as_mut()
}

impl Slot {
    fn disarm(&self) {
        if let Some(registration) = &self.registration {
            registration.disarm();
        }
    }

    /// Whether there is something to read. Otherwise the slot is not active any more if it is paused, or if it is to `arm` itself.
    fn is_ready(&mut self, arm: bool) -> bool {
        if self.position.is_paused {
            self.activity = Activity::Paused;
            self.position.log().let_go_of_deleted();
            return false;
        }
        if self.position.is_ready() {
            return true;
        }
        if !arm {
            return false;
        }
        if let Some(registration) = &self.registration {
            registration.arm();
            // What became visible before that told nobody.
            if self.position.is_ready() {
                registration.disarm();
                return true;
            }
        }
        self.activity = Activity::Waiting;
        false
    }
}

#[cfg(test)]
mod tests;
