//! What does a compressed topic cost to write and to read, and what does its compression take alone?

mod common;

use common::suite::snappy;

fn main() {
    common::run(snappy::rows(), Vec::new());
}
