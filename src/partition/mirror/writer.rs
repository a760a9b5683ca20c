//! A thread that writes the journal, while the group commit syncs the tail: the two disks work at once.

use super::writing::Writing;
use crate::error::Result;
use crate::sync::Monitor;

/// What the thread and the group commit hand to each other.
#[derive(Debug, Default)]
pub(super) struct JournalWriter {
    turn: Monitor<Turn>,
}

#[derive(Debug, Default)]
enum Turn {
    /// There is no thread yet.
    #[default]
    Nobodys,
    /// There is none any more.
    Ended,
    /// The thread waits.
    Idle,
    /// It is to write this.
    Given(Box<Writing>),
    /// It is writing.
    Writing,
    /// It has written.
    Done(Box<Writing>, Result<()>),
}

/// Says that there is no thread any more, also if that panics.
struct Serving<'w>(&'w JournalWriter);

impl Drop for Serving<'_> {
    fn drop(&mut self) {
        *self.0.turn.lock() = Turn::Ended;
        self.0.turn.notify_all();
    }
}

impl JournalWriter {
    /// What the thread does, until it is stopped, perhaps before this.
    pub(super) fn serve(&self) {
        let _serving = Serving(self);
        // Not by who starts it: what was given to a thread that did not come would never be written.
        let mut turn = self.turn.lock();
        if let Turn::Nobodys = *turn {
            *turn = Turn::Idle;
        }
        drop(turn);
        loop {
            let mut turn = self.turn.lock();
            let mut writing = loop {
                match std::mem::replace(&mut *turn, Turn::Writing) {
                    Turn::Given(writing) => break writing,
                    Turn::Ended => {
                        *turn = Turn::Ended;
                        return;
                    }
                    other => *turn = other,
                }
                turn = turn.wait();
            };
            drop(turn);
            let written = writing.write();
            let mut turn = self.turn.lock();
            *turn = Turn::Done(writing, written);
            drop(turn);
            self.turn.notify_all();
        }
    }

    /// Ends the thread once it has nothing to write.
    pub(super) fn stop(&self) {
        let mut turn = self.turn.lock();
        while !matches!(*turn, Turn::Idle | Turn::Nobodys | Turn::Ended) {
            turn = turn.wait();
        }
        *turn = Turn::Ended;
        drop(turn);
        self.turn.notify_all();
    }

    /// Has the thread write this. Returned if there is none.
    pub(super) fn give(&self, writing: Box<Writing>) -> Option<Box<Writing>> {
        let mut turn = self.turn.lock();
        if !matches!(*turn, Turn::Idle) {
            return Some(writing);
        }
        *turn = Turn::Given(writing);
        drop(turn);
        self.turn.notify_all();
        None
    }

    /// Waits for what was given. `None` if the thread has panicked with it.
    pub(super) fn take(&self) -> Option<(Box<Writing>, Result<()>)> {
        let mut turn = self.turn.lock();
        loop {
            match std::mem::replace(&mut *turn, Turn::Idle) {
                Turn::Done(writing, written) => {
                    drop(turn);
                    // Who stops the thread waits for that.
                    self.turn.notify_all();
                    return Some((writing, written));
                }
                Turn::Ended => {
                    *turn = Turn::Ended;
                    return None;
                }
                other => *turn = other,
            }
            turn = turn.wait();
        }
    }
}
