//! What is measured: rows, each a piece of work and, beside it, what the machine allows or the best other way to do it. The `perf`
//! example runs all of them for a moment, `cargo bench` each at length.

pub(crate) mod copying;
pub(crate) mod durable;
pub(crate) mod following;
pub(crate) mod latencies;
pub(crate) mod opening;
pub(crate) mod partitions;
pub(crate) mod place;
pub(crate) mod reading;
pub(crate) mod row;
pub(crate) mod sending;
pub(crate) mod sharing;
pub(crate) mod snappy;
pub(crate) mod waiting;
pub(crate) mod worker;
