//! What crashes and failing disks leave, on a simulated disk.
//!
//! The failure that this is about: a program appends records, hears that they are safe, and then the power goes, or the
//! process is killed, or a write fails, at the worst moment: between a file's bytes and its name, in the middle of a batch,
//! during the recovery from the crash before. Most of what can go wrong there shows only when what was not synced is lost, in
//! an order that no real machine repeats. So a workload (`workload`) runs on a disk in memory that keeps what there was
//! at each call; of what may be left then (`images.rs`), each is opened, compared with what the program had been told
//! (`history.rs`, `oracle.rs`), opened again, used and crashed again (`states.rs`), and so is what is left where the recovery
//! stops at each of its calls (`enumerate.rs`); `compaction.rs` does the same with a compacted topic, and `transactions.rs` with transactions. `faults.rs` fails calls instead, and the program goes on;
//! `truthful.rs` holds what the errors say then against what is read afterwards; `full.rs` stops a process that makes room on a full
//! disk. What was found so stays in `found.rs`.
//!
//! `OTTLA_CRASH_STATES` sets how many states each test looks at; `OTTLA_CRASH_STATE=…` names the one to look at again.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of tests may panic as the tests do")]

mod compaction;
mod enumerate;
mod faults;
mod found;
mod full;
mod history;
mod images;
mod oracle;
mod parallel;
mod random;
mod sites;
mod states;
mod transactions;
mod truthful;
mod workload;

/// Looks again at the state that a failed test has named; does nothing without.
#[test]
fn one_state() {
    if let Ok(state) = std::env::var("OTTLA_CRASH_STATE") {
        states::look_at_one(&state.parse().unwrap());
    }
}
