//! What many threads did at once, checked as a whole.
//!
//! The failure that this is about: two threads send, a third one reads, a fourth joins its group, the power goes, and months later
//! somebody finds one record missing or another one twice. Each call had done what it should, as far as it could be told
//! alone. So threads that send (`producing.rs`) and members of groups that come, go and die (`consuming.rs`) write down all that they asked for
//! and were told (`events.rs`), while the disk fills up, calls fail, partitions are added, and the broker is closed, killed or
//! loses its power (`plan.rs`, `world.rs`); and a checker that knows nothing of how the broker works looks for anything that cannot be
//! (`checker/`), over all lives of the data directory (`round.rs`). Its own tests feed it histories that are wrong.
//!
//! In three rounds of four some topics do not keep everything: limits of size and age that change, records that are deleted by hand, keys
//! of which compaction keeps the last record. Then somebody looks, all the time, where logs begin, and the checker asks of all that is
//! missing why: whether it lies below a start that was reached, whether that start was asked for or allowed by what the log held,
//! whether it was old enough, whether a later record has its key. At the end no more is to be left than the limits say.
//!
//! Transactions have a smaller world of their own, with a checker of their own (`transactions/`).
//!
//! `OTTLA_HISTORY_RECORDS` sets how many records are sent and checked; `OTTLA_HISTORY_SEED=…` runs one round again. What threads
//! do follows from the seed; how they interleave does not, and no verdict depends on it.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of tests may panic as the tests do")]

mod caretaking;
mod checker;
mod consuming;
mod data;
mod events;
mod keeping;
mod plan;
mod producing;
#[path = "../crash/random.rs"]
mod random;
mod round;
mod transactions;
mod world;

use std::time::Instant;

use plan::{Place, Plan};
use round::Lived;

/// By default; three quarters of them on a simulated disk, whose syncs cost nothing.
const RECORDS: u64 = 2_000_000;

fn number_from_environment(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|text| text.parse().ok())
}

#[test]
fn every_history_on_a_simulated_disk_keeps_the_rules() {
    let lived = run(Place::Simulated);
    assert!(lived.lives < 20 || lived.kills > 0, "nothing was killed: {lived:?}");
    assert!(lived.lives < 20 || lived.power_cuts > 0, "the power was never cut: {lived:?}");
    assert!(lived.lives < 20 || lived.deleted > 0, "nothing was deleted: {lived:?}");
    assert!(lived.lives < 20 || lived.compacted > 0, "nothing was compacted: {lived:?}");
}

#[test]
fn every_history_in_a_directory_keeps_the_rules() {
    run(Place::Directory);
}

fn run(place: Place) -> Lived {
    let wanted = number_from_environment("OTTLA_HISTORY_RECORDS").unwrap_or(RECORDS);
    let wanted = if place == Place::Simulated { wanted / 4 * 3 } else { wanted / 4 };
    let only = number_from_environment("OTTLA_HISTORY_SEED");
    let begun = Instant::now();
    let mut all = Lived::default();
    let mut rounds = 0;
    // Each kind of disk has its own seeds.
    let first = u64::from(place == Place::Directory);
    for seed in (first..).step_by(2) {
        if all.totals.sent >= wanted || only.is_some() && rounds > 0 {
            break;
        }
        let seed = only.unwrap_or(seed);
        let lived = round::run(&Plan::new(seed, place));
        rounds += 1;
        all.totals.sent += lived.totals.sent;
        all.totals.delivered += lived.totals.delivered;
        all.totals.redelivered += lived.totals.redelivered;
        all.lives += lived.lives;
        all.kills += lived.kills;
        all.power_cuts += lived.power_cuts;
        all.members += lived.members;
        all.deleted += lived.deleted;
        all.compacted += lived.compacted;
        all.shown_old += lived.shown_old;
        if rounds % 100 == 0 {
            println!("{place:?}, {rounds} rounds up to seed {seed}, {:?}: {all:?}", begun.elapsed());
        }
    }
    println!("{place:?}, {rounds} rounds, {:?}: {all:?}", begun.elapsed());
    all
}
