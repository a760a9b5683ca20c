//! What does it cost to send with `Durability::Os`, alone, in batches and beside others, and what does the machine allow?
//!
//! A record has a key of 8 bytes and a value as large as its name says. Files are in the system's temporary directory; set
//! `TMPDIR` to measure another disk.

mod common;

use common::suite::{sending, sharing};

fn main() {
    let rows = sending::rows().into_iter().chain(sharing::rows());
    common::run(rows.collect(), Vec::new());
}
