//! Every bit of a data directory, flipped; every byte replaced, every file cut, lost, swapped.
//!
//! The failure that this is about: a disk gives back other bytes than it was given, or a file is lost, restored from the wrong
//! backup, or put into the wrong directory, and the log does not notice, and hands out a record that nobody wrote, or an offset
//! that nobody committed; or it notices, and throws away what is good; or it panics, or asks for all the memory. So the golden
//! directories (`tests/golden`) are put on a disk in memory, damaged in each way that `mutation.rs` knows, opened, read, written,
//! closed and opened again; `oracle.rs` says what must hold, and `allocator.rs` counts the bytes.
//!
//! `OTTLA_DAMAGE=full` does all there are; a number, about so many for each way of ending. Which ones follows from
//! `OTTLA_DAMAGE_SEED`. `OTTLA_DAMAGE_CASE=closed:123` does one again.

#![allow(unsafe_code, reason = "an allocator that counts cannot be written without")]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of tests may panic as the tests do")]

mod allocator;
#[path = "../golden/image.rs"]
mod image;
mod mutation;
mod oracle;
mod run;
mod truth;

use truth::State;

#[test]
fn after_a_close() {
    run::all_of(State::Closed);
}

#[test]
fn after_a_close_whose_mark_is_gone() {
    run::all_of(State::Unmarked);
}

#[test]
fn after_a_kill() {
    run::all_of(State::Killed);
}

#[test]
fn after_a_kill_and_a_restart_of_the_machine() {
    run::all_of(State::Restarted);
}

/// Does again what a failed test has named; does nothing without.
#[test]
fn one_case() {
    if let Ok(case) = std::env::var("OTTLA_DAMAGE_CASE") {
        run::one(&case);
    }
}
