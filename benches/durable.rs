//! What does it cost to send with `Durability::Always`, and how fast does the disk sync?
//!
//! Set `TMPDIR` to measure another disk than that of the system's temporary directory.

mod common;

use common::suite::durable;

fn main() {
    common::run(durable::rows(), Vec::new());
}
