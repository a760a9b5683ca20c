//! Reading along from another process.
//!
//! The failure that this is about: a reader that is open for months beside a writer that comes and goes misses a record, gets one twice,
//! ends with an error, or keeps on the disk what the writer has deleted.
//!
//! `long_lived.rs` goes through such a life step by step, on the simulated disk; `deleted_files.rs` asks the system what a process has
//! open; in `beside_kills.rs` the writer is a process that is killed again and again.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of tests may panic as the tests do")]

#[cfg(unix)]
mod beside_kills;
#[cfg(target_os = "linux")]
mod deleted_files;
#[cfg(feature = "testing")]
mod long_lived;

use std::path::Path;

use ottla::{Broker, Durability};

/// A broker that does not wait for the disk.
fn open(dir: impl AsRef<Path>) -> Broker {
    Broker::builder(dir).durability(Durability::Os).open().unwrap()
}

/// The directory that a test of this binary is to work on, where another one runs it in a process of its own.
fn dir_from_parent() -> Option<String> {
    std::env::var("OTTLA_TEST_DIR").ok()
}

fn number_from_environment(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}
