//! What do many partitions cost, with 1,024 open files, and what does a log take of memory and disk?
//!
//! Making ten thousand partitions takes some twenty seconds before the measurement.

mod common;

use common::suite::partitions;

const PARTITIONS: u32 = 10_000;
const NEW_PARTITIONS: u32 = 1000;
const RECORDS: u64 = 1_000_000;

fn main() {
    let (send, figures) = partitions::many(PARTITIONS);
    let figures = figures
        .into_iter()
        .chain(partitions::new_and_closed(NEW_PARTITIONS))
        .chain([partitions::bytes_on_disk(RECORDS), partitions::memory_while_writing(RECORDS)]);
    common::run(vec![send], figures.collect());
}
