//! Random calls to a topic and to a plain `Vec` per partition, or to a compacted topic and a map: both must agree, over clean
//! reopenings and kills.
//!
//! `OTTLA_MODEL_CASES` (256) says how many sequences of calls, `OTTLA_MODEL_SEED` (1) which ones. A failure is shrunk to the
//! shortest sequence that still fails, and becomes a test with a name.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of tests may panic as the tests do")]

mod calls;
mod compacted;
mod topic_model;

use std::cell::Cell;

use proptest::strategy::Strategy;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use crate::calls::case;
use crate::topic_model::Run;

fn from_environment(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().map_or(default, |value| value.parse().unwrap())
}

#[test]
fn a_topic_behaves_like_vectors() {
    let short_of_room_count = Cell::new(0);
    let cases = run_cases(&case(), |case| {
        let mut run = Run::new(&case.setup);
        for call in &case.calls {
            run.apply(call);
        }
        run.check_everything();
        short_of_room_count.set(short_of_room_count.get() + u64::from(run.budget_count > 0));
    });
    assert!(
        short_of_room_count.get() >= cases / 8,
        "a budget made a difference in {} cases",
        short_of_room_count.get()
    );
}

#[test]
fn a_compacted_topic_behaves_like_a_map() {
    let compacted_count = Cell::new(0);
    let cases = run_cases(&compacted::case(), |case| {
        compacted_count.set(compacted_count.get() + u64::from(compacted::run(&case)));
    });
    assert!(compacted_count.get() >= cases / 4, "compaction removed something in {} cases only", compacted_count.get());
}

/// Runs some cases and returns how many.
fn run_cases<S: Strategy>(cases: &S, run: impl Fn(S::Value)) -> u64 {
    let (count, seed) = (from_environment("OTTLA_MODEL_CASES", 256), from_environment("OTTLA_MODEL_SEED", 1));
    println!("OTTLA_MODEL_CASES={count} OTTLA_MODEL_SEED={seed}");
    let config = Config { cases: u32::try_from(count).unwrap(), failure_persistence: None, ..Config::default() };
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_be_bytes());
    let mut runner = TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &bytes));
    let result = runner.run(cases, |case| {
        run(case);
        Ok(())
    });
    if let Err(failure) = result {
        panic!("{failure}\nwith OTTLA_MODEL_SEED={seed}");
    }
    count
}
