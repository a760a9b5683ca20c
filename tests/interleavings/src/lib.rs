//! Threads interleaved in every way that chance finds.
//!
//! The failure that this is about: two threads take turns in an order that nobody thought of, once in a million times. A
//! wake-up comes between the look and the sleep, and a consumer waits for ever; a reader copies from a slot that is given to
//! another partition meanwhile; a send returns before the sync that was to cover it; two locks are taken in two orders. Such an
//! order does not come back when looked for. So here all threads of a scenario run on one, over the simulated disk, and a
//! scheduler chooses at each lock, atomic and wait who goes on: at random, and by PCT, which finds what takes few, rare
//! switches. A deadlock is a failure by itself.
//!
//! ```text
//! RUSTFLAGS="--cfg shuttle" cargo test --manifest-path tests/interleavings/Cargo.toml
//! OTTLA_SCHEDULES   schedules of each scenario (default: 300)         OTTLA_SEED   which ones (default: 1)
//! OTTLA_SCHEDULE    the one schedule to run, as a failure printed it: name its scenario too, as the test to run
//! ```
//! Shuttle treats all atomics as sequentially consistent. What depends on weaker orders is checked by loom, exhaustively:
//! `RUSTFLAGS="--cfg loom" cargo test --manifest-path tests/interleavings/Cargo.toml`.

#[cfg(all(test, shuttle))]
mod appending;
#[cfg(all(test, shuttle))]
mod closing;
#[cfg(all(test, shuttle))]
mod explore;
#[cfg(all(test, shuttle))]
mod groups;
#[cfg(all(test, loom))]
mod primitives;
#[cfg(all(test, shuttle))]
mod sealing;
#[cfg(all(test, shuttle))]
mod syncing;
#[cfg(all(test, shuttle))]
mod transactions;
#[cfg(all(test, shuttle))]
mod waiting;
#[cfg(all(test, shuttle))]
mod whole;
