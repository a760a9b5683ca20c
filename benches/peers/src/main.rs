//! Other logs for Rust, and this one, at the same work.
//!
//! ```text
//! cargo run --release --manifest-path benches/peers/Cargo.toml                all rows; some minutes, and some GB of disk
//! … -- append scan          rows whose names contain one of these
//! OTTLA_PEERS_ROUNDS=5      how often each takes its turn (default: 5)
//! ```
//! Each measurement runs in a process of its own, as users meet it: nothing is warm that an earlier one has left, but the page cache. The
//! peers take turns, so that what else the machine does hits all alike, and the median of the rounds counts. Files are in the current
//! directory, below a temporary one.
//!
//! The peers: `commitlog` (a log with offsets, one file handle, a checksum a record), `yaque` (a queue; its receiver takes records away, so
//! that it has no reads by offset), `raft-engine` (logs of many groups in one file, all of them in its memory, too).

mod peer;
mod row;
mod turn;

use std::process::ExitCode;

use peer::PEERS;
use row::{ROWS, Row};
use turn::Outcome;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match arguments[..] {
        ["--turn", row, peer, dir] => turn::take(row, peer, dir.as_ref()).map(|outcome| println!("{outcome}")),
        ref wanted => compare(wanted),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(complaint) => {
            eprintln!("{complaint}");
            ExitCode::FAILURE
        }
    }
}

fn compare(wanted: &[&str]) -> Result<(), String> {
    let rounds = std::env::var("OTTLA_PEERS_ROUNDS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(5);
    let is_wanted = |row: &&Row| wanted.is_empty() || wanted.iter().any(|wanted| row.name.contains(wanted));
    println!("{:28}{}  of the best peer", "", PEERS.map(|peer| format!("{:>30}", peer.name)).concat());
    for row in ROWS.iter().filter(is_wanted) {
        let outcomes = turn::turns(row, rounds)?;
        let cells = outcomes.iter().map(|outcome| match outcome {
            Some(outcome) => format!("{:>30}", outcome.cell()),
            None => format!("{:>30}", "-"),
        });
        println!("{:28}{}  {}", row.name, cells.collect::<String>(), against_best(&outcomes));
    }
    Ok(())
}

/// The rate of the first, this crate, as a multiple of the best of the others.
fn against_best(outcomes: &[Option<Outcome>]) -> String {
    let mut rates = outcomes.iter().flatten().map(|outcome| outcome.per_second);
    let own = rates.next().unwrap_or_default();
    match rates.reduce(f64::max) {
        Some(best) => format!("{:.2}x", own / best),
        None => String::new(),
    }
}
