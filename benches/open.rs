//! How long does opening take, after a clean close and after `kill -9`, with little data and with much?
//!
//! What is killed is a process of its own, which had sent 200,000 records of 100 bytes since it opened the directory. Closing
//! and being killed do not count.

mod common;

use common::suite::opening;

const SIZES: [u64; 2] = [64 << 20, 2 << 30];

fn main() {
    common::run(SIZES.into_iter().flat_map(opening::rows).collect(), Vec::new());
}
