//! What a real `kill -9` leaves, in a real directory.
//!
//! The failure that this is about: a program hears that its record is safe, is killed between any two instructions (by the
//! kernel when memory is short, say), and after a restart the record is missing, is there twice, or stands in another place.
//! A child process sends from two threads to three partitions, and consumes in a third one, and in two that share a group and
//! come and go in it; it reports through a pipe whatever it was told; the parent kills it at a random moment, opens the directory, and compares. The directory stays over
//! all cycles, so that each recovery starts from what the one before has left.
//!
//! Beside that it sends to two topics that do not keep everything, while its maintenance rolls, deletes and compacts (`kept.rs`). One has
//! `retention.bytes`, and records are deleted by hand: it begins where nobody has heard of a later beginning, enough bytes are left, and all
//! from there on is there. The other one is compacted: of each key the last record is there, and nothing comes back.
//!
//! And it copies what it has sent to another topic, with how far it is, in transactions of which some are aborted (`copying.rs`): what is
//! copied is there once, and exactly that which the group is said to have dealt with.
//!
//! `OTTLA_KILL_CYCLES` sets how many times (default 200), `OTTLA_KILL_SEED` the moments.

#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of tests may panic as the tests do")]

mod child;
mod copying;
mod kept;
mod parent;

/// The directory that the child is to use; set for it only.
const CHILD_DIR: &str = "OTTLA_KILL_CHILD_DIR";
const TOPIC: &str = "orders";
const PARTITIONS: u32 = 3;
/// The first has one member; the second has several, between whom partitions move.
const GROUPS: [&str; 2] = ["billing", "shipping"];
/// Threads that are members of the second group.
const MEMBERS: u64 = 2;
/// Threads that send.
const SENDERS: usize = 2;

fn number_from_environment(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

#[test]
fn a_killed_process_has_lost_nothing_that_it_was_told_is_there() {
    parent::run(number_from_environment("OTTLA_KILL_CYCLES", 200), number_from_environment("OTTLA_KILL_SEED", 1));
}

/// Not a test: what the parent starts. Without the parent it does nothing.
#[test]
#[ignore = "this is the process to kill"]
fn child() {
    if let Some(dir) = std::env::var_os(CHILD_DIR) {
        child::run(dir.as_ref());
    }
}
