//! How long is a record under way to a consumer that waits in `poll`, and how long does the machine take to wake a thread?
//!
//! Means, and the two one after the other; for medians of both in turns, run the `perf` example with `--only hand_over`, and
//! for the tail of the distribution the bench `tail_latency`.

mod common;

use common::suite::waiting;

fn main() {
    common::run(waiting::rows(), Vec::new());
}
