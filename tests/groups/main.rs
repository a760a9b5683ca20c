//! Random lives of consumer groups beside a model of what was delivered and committed.
//!
//! The failure that this is about: a partition has two readers that both think it theirs, a member that lost it overwrites
//! what the new one has committed, or nobody has it and its records wait for ever. That takes a rare order of joining,
//! leaving, dying, polling and committing, which only many random orders find. Everything is done on one thread, with a clock
//! that stands until it is moved, so that whatever was found can be found again; `threads.rs` does it on many threads.
//!
//! `OTTLA_GROUP_CASES` (2000) says how many sequences of calls, `OTTLA_GROUP_SEED` (1) which ones. A failure is shrunk to the
//! shortest sequence that still fails, and becomes a test with a name.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of tests may panic as the tests do")]

mod calls;
mod checks;
mod group_model;
mod member;
mod polling;
mod run;
mod threads;

use proptest::strategy::Strategy;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use crate::calls::{Mood, case};
use crate::run::Run;

fn from_environment(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().map_or(default, |value| value.parse().unwrap())
}

#[test]
fn partitions_have_one_owner_and_commits_are_theirs() {
    run_cases(Mood::Wild, 1);
}

/// Where nobody dies, and all commit when they give up partitions, nothing is delivered twice.
#[test]
fn every_record_is_delivered_exactly_once_where_nobody_dies() {
    run_cases(Mood::Calm, 4);
}

/// Runs a share of the cases.
fn run_cases(mood: Mood, share: u64) {
    let (count, seed) = (from_environment("OTTLA_GROUP_CASES", 2000) / share, from_environment("OTTLA_GROUP_SEED", 1));
    println!("{count} cases, OTTLA_GROUP_SEED={seed}");
    let config = Config { cases: u32::try_from(count).unwrap(), failure_persistence: None, ..Config::default() };
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_be_bytes());
    let mut runner = TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &bytes));
    let result = runner.run(&case(mood).prop_map(|case| case), |case| {
        let mut run = Run::new(&case);
        for call in &case.calls {
            run.apply(call);
        }
        run.finish();
        Ok(())
    });
    if let Err(failure) = result {
        panic!("{failure}\nwith OTTLA_GROUP_SEED={seed}");
    }
}
