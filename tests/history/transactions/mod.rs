//! Transactions, by many threads at once.
//!
//! The failure that this is about: an order is paid twice, or never, and only when two workers, a rebalance, a timeout and a crash meet.
//! Workers of one group read an input, and write for each of its records one to each of two topics, and for some to one that is bounded
//! and one that is compacted, with their position, in transactions that they commit, abort, drop or leak, or go away from (`working.rs`). Rivals
//! take their names from them; others send without transactions, and read, committed records only and all of them (`watching.rs`). Meanwhile
//! time passes, transactions reach their timeout, segments roll, records are deleted, the disk fills up, calls fail, and the broker is closed,
//! killed or loses its power (`world.rs`, `plan.rs`). A checker looks for anything that cannot be (`checker/`), over all lives of the data
//! directory (`round.rs`); its own tests feed it histories that are wrong.
//!
//! Where topics are below [`Durability::Always`](ottla::Durability::Always) and nothing else asks for it, a power cut may tear a
//! transaction; there, only processes are killed.

mod checker;
mod events;
mod plan;
mod round;
mod watching;
mod working;
mod world;

use std::time::Instant;

use crate::random::Random;
use plan::Plan;
use round::Lived;

/// So many times as many records are sent and checked without transactions as are consumed in them.
const SHARE: u64 = 80;

fn usize_below(random: &mut Random, end: usize) -> usize {
    usize::try_from(random.below(end as u64)).unwrap_or(0)
}

#[test]
fn every_history_of_transactions_keeps_the_rules() {
    let wanted = crate::number_from_environment("OTTLA_HISTORY_RECORDS").unwrap_or(crate::RECORDS) / SHARE;
    let only = crate::number_from_environment("OTTLA_HISTORY_SEED");
    let begun = Instant::now();
    let (mut all, mut rounds) = (Lived::default(), 0);
    for seed in 0.. {
        if all.inputs >= wanted || only.is_some() && rounds > 0 {
            break;
        }
        let lived = round::run(&Plan::new(only.unwrap_or(seed)));
        rounds += 1;
        all.add(&lived);
        if rounds % 100 == 0 {
            println!("{rounds} rounds of transactions up to seed {seed}, {:?}: {all:?}", begun.elapsed());
        }
    }
    println!("{rounds} rounds of transactions, {:?}: {all:?}", begun.elapsed());
    let is_worth = all.kills > 0 && all.power_cuts > 0 && all.compacted > 0 && all.committed > 0 && all.aborted > 0;
    assert!(all.lives < 50 || is_worth, "hardly anything happened: {all:?}");
}
