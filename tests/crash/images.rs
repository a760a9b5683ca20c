//! Which images a machine that has stopped may leave, numbered so that each can be named.
//!
//! ```text
//! first     process deaths, which differ in how far a write came that was under way
//! then      power cuts that leave a beginning of the un-synced changes, for every length of it
//! then      power cuts that leave some un-synced pages, sizes and names: any subset of up to ten; of more, one, and all but
//!           one; each with zeros, and again with garbage, where pages of a longer file are lost
//! for ever  power cuts by the four models, chosen by the number
//! ```

use ottla::testing::{CrashModel, SimulatedDisk, Unsynced};

use crate::oracle::Loss;

const KILLS: u64 = 3;
/// Of more changes than these, some beginnings are left out.
const BEGINNINGS_MAX: u64 = 256;
const SUBSETS_OF_MAX: usize = 10;

pub(crate) struct Images<'d> {
    stopped: &'d SimulatedDisk,
    /// All that was written is there.
    dead: SimulatedDisk,
    changes: u64,
    unsynced: Vec<Unsynced>,
}

impl Images<'_> {
    pub(crate) fn of(stopped: &SimulatedDisk) -> Images<'_> {
        let dead = stopped.kill(0);
        Images { stopped, changes: dead.unsynced_changes(), unsynced: dead.unsynced(), dead }
    }

    fn beginnings(&self) -> u64 {
        (self.changes + 1).min(BEGINNINGS_MAX)
    }

    fn subsets(&self) -> u64 {
        let things = self.unsynced.len();
        if things <= SUBSETS_OF_MAX { 1 << things } else { 2 * things as u64 }
    }

    /// How many there are that are not a matter of chance.
    pub(crate) fn count(&self) -> u64 {
        KILLS + self.beginnings() + 2 * self.subsets()
    }

    /// The image of a number, and what was lost.
    pub(crate) fn image(&self, number: u64) -> (SimulatedDisk, Loss) {
        let Some(cut) = number.checked_sub(KILLS) else { return (self.stopped.kill(number), Loss::Process) };
        let image = if cut < self.beginnings() {
            self.dead.crash_after(cut * (self.changes + 1) / self.beginnings())
        } else if cut < self.beginnings() + 2 * self.subsets() {
            let subset = cut - self.beginnings();
            self.dead.crash_keeping(self.subset(subset / 2), subset % 2 == 1, number)
        } else {
            let model = CrashModel::ALL[usize::try_from(number % 4).unwrap()];
            self.stopped.crash(number, model)
        };
        (image, Loss::Power)
    }

    fn subset(&self, number: u64) -> Vec<Unsynced> {
        let things = self.unsynced.len() as u64;
        let is_kept = |index: u64| {
            if self.unsynced.len() <= SUBSETS_OF_MAX {
                number >> index & 1 == 1
            } else if number < things {
                index == number
            } else {
                index != number - things
            }
        };
        (0..).zip(&self.unsynced).filter(|(index, _)| is_kept(*index)).map(|(_, thing)| *thing).collect()
    }
}
