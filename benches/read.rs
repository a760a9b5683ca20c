//! What does it cost to read what is in the page cache, and what does memory allow? Every byte is looked at, not only counted.

mod common;

use common::suite::reading;

const RECORDS: u64 = 1_000_000;

fn main() {
    common::run(reading::rows(RECORDS), Vec::new());
}
