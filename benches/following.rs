//! How long is a record under way to a consumer in another process, and what does waiting for it take?
//!
//! The rows are means, beside the same within one process; for medians of both in turns, run the `perf` example with
//! `--only hand_over/another_process`. After them: what waiting takes of a processor once nothing has come for a second, and how
//! long the record takes that ends such a silence, 100 times. Two cores should have nothing else to do.

mod common;

use std::time::Duration;

use common::suite::following;

const REACTIONS: u64 = 100;

fn main() {
    common::run(following::rows(), vec![following::idle(Duration::from_secs(10)), following::reaction(REACTIONS)]);
}
