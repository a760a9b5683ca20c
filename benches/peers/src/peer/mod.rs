//! The logs that are compared, each with its own way to do the same.

mod commitlog;
mod ottla;
mod raft_engine;
mod yaque;

use std::path::Path;
use std::time::Duration;

use crate::row::{Row, Work};

/// A log.
pub(crate) struct Peer {
    pub(crate) name: &'static str,
    /// Whether it has such a thing at all.
    pub(crate) can: fn(Work) -> bool,
    /// Does the work of a row in a directory, which is there if it is to be read. Returns how long that took, or nothing if all of it
    /// counts, opening included; and notes how long single calls took, where they are short.
    pub(crate) run: fn(&Row, &Path, &mut Vec<Duration>) -> Option<Duration>,
}

/// This crate is the first.
pub(crate) const PEERS: [Peer; 4] = [ottla::PEER, commitlog::PEER, yaque::PEER, raft_engine::PEER];

/// What is in a record.
fn record(bytes: usize) -> Vec<u8> {
    vec![b'v'; bytes]
}

/// The bytes added up, so that each is looked at.
fn sum(bytes: &[u8]) -> u64 {
    let (words, rest) = bytes.as_chunks::<8>();
    let words = words.iter().map(|word| u64::from_ne_bytes(*word));
    words.fold(0, u64::wrapping_add).wrapping_add(rest.iter().map(|&byte| u64::from(byte)).sum())
}
