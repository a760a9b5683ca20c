//! The command `ottla`: the real program, in temporary directories that are free or that another process writes to.
//!
//! One module a command family. `run` starts the program and says what came of it; its `Live` is a process of its own that has a
//! directory open for writing, and goes on writing to it until the test is done.

#![cfg(unix)]
#![allow(clippy::disallowed_types, reason = "what the command finds and leaves is looked at from outside")]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of tests may panic as the tests do")]

mod backup;
mod consume;
mod du;
mod dump;
mod exchange;
mod frame;
mod groups;
mod guide;
#[path = "../golden/image.rs"]
mod image;
mod offsets;
mod perf;
mod produce;
mod repair;
mod replicate;
mod run;
mod terminal;
mod top;
mod topics;
mod transactions;
mod verify;

/// Not a test: what `run::Live` starts. Without it, this does nothing.
#[test]
#[ignore = "this is the process that writes"]
fn writer() {
    if let Some(dir) = std::env::var_os(run::WRITER_DIR) {
        run::write_until_told(dir.as_ref());
    }
}
