//! `ottla perf`.
//!
//! ```text
//! produce, consume, e2e   one measurement each, with Kafka's wording of its result
//! site                    where it is made: a directory of its own, unless one is named
//! latencies               how long things took: counts by length, in memory that does not grow
//! progress                a bar on stderr, Ctrl-C, and how many records there may be by now
//! ```

mod consume;
mod e2e;
mod latencies;
mod produce;
mod progress;
mod site;

use clap::Subcommand;

use crate::failure::Failure;
use crate::output::Output;
use crate::place::Place;

/// Measure how fast records are sent and read on this machine
///
/// It works in a temporary directory, which it removes; only with --dir it works in that one. `OTTLA_DIR` does not count here.
#[derive(Debug, Subcommand)]
pub enum Perf {
    /// Send records one by one, and tell how many and how long each took
    Produce(produce::Produce),
    /// Read records, and tell how many a second
    Consume(consume::Consume),
    /// Send records one by one to a consumer that waits, and tell how long it takes until it has each
    E2e(e2e::E2e),
}

impl Perf {
    pub fn run(&self, place: &Place, output: &Output) -> Result<(), Failure> {
        match self {
            Perf::Produce(produce) => produce.run(place, output),
            Perf::Consume(consume) => consume.run(place, output),
            Perf::E2e(e2e) => e2e.run(place, output),
        }
    }
}

/// So many of something in so many seconds, a second.
#[allow(clippy::cast_precision_loss, reason = "a rate is shown with two digits after the point")]
fn per_second(count: u64, seconds: f64) -> f64 {
    if seconds > 0.0 { count as f64 / seconds } else { 0.0 }
}

/// Kafka's megabyte.
const MB: f64 = 1_048_576.0;
