//! Counts what this program does, by running it again under valgrind.

use std::env;
use std::fs;
use std::io;
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use crate::paths::{self, CountedPath};

/// The instructions that one operation takes, or one record of it, besides what is counted by itself.
pub(crate) fn instructions_of(path: &CountedPath) -> Result<f64, String> {
    let all = all_instructions_of(path)?;
    match path.besides {
        Some(part) => Ok(all - all_instructions_of(paths::named(part)?)?),
        None => Ok(all),
    }
}

fn all_instructions_of(path: &CountedPath) -> Result<f64, String> {
    let shorter = run(path, path.operations)?;
    let longer = run(path, 2 * path.operations)?;
    let difference = longer.checked_sub(shorter).ok_or("twice as many operations took fewer instructions")?;
    #[allow(clippy::cast_precision_loss, reason = "four digits count")]
    Ok(difference as f64 / (path.operations * path.records_per_operation) as f64)
}

/// The instructions of a process that does it so many times, from its first to its last one, all threads together.
fn run(path: &CountedPath, operations: u64) -> Result<u64, String> {
    let failed = |error: io::Error| format!("{}: {error}", path.name);
    let dir = new_dir().map_err(failed)?;
    let (data, counted) = (dir.path().join("data"), dir.path().join("counted"));
    (path.prepare)(&data);
    let output = Command::new("valgrind")
        .arg("--tool=callgrind")
        .arg(format!("--callgrind-out-file={}", counted.display()))
        .arg(env::current_exe().map_err(failed)?)
        .args(["--work", path.name, &operations.to_string()])
        .arg(&data)
        .output()
        .map_err(|error| format!("valgrind: {error}"))?;
    if !output.status.success() {
        return Err(format!("{}: {}\n{}", path.name, output.status, String::from_utf8_lossy(&output.stderr)));
    }
    total_in(&counted).map_err(failed)
}

/// In memory where that can be: a sync takes time, but no instructions.
fn new_dir() -> io::Result<TempDir> {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }
}

/// What callgrind wrote at the end of its file.
fn total_in(file: &Path) -> io::Result<u64> {
    let text = fs::read_to_string(file)?;
    let total = text.lines().rev().find_map(|line| line.strip_prefix("totals: ")?.trim().parse().ok());
    total.ok_or_else(|| io::Error::other("callgrind wrote no total"))
}
