//! How many instructions does an operation take? Column, so that a change that makes a path longer is seen on any machine,
//! however busy it is.
//!
//! ```text
//! cargo run --release --manifest-path benches/instructions/Cargo.toml              counts, and prints a table
//! … -- send append        counts these alone
//! … -- --check            and fails where a path takes more than 2 % more than the baseline in figures.txt
//! … -- --write            and puts the figures into figures.txt, as `now`; as `baseline` too where they are less
//! ```
//! Each path runs twice in a process of its own under valgrind's callgrind, N operations and 2 N; the difference, divided by
//! N, is the figure. What comes before and after cancels out so, and what the first N warm up is warm. Seals, and whatever else
//! happens now and then, count with their share. Brokers have no maintenance thread, since what it does depends on time.
//!
//! User space alone is counted: a system call is one instruction, and a sync costs no more than reading the clock, which is a
//! system call too under valgrind. So figures tell nothing of waiting, of the kernel and of caches; `cargo bench` does. For the
//! same reason files are in memory where the system has a place for that: it is the real disk seam, and quick.
//!
//! Figures of two toolchains, targets or versions of valgrind are not compared. Valgrind offers the features of the CPU that it
//! runs on, as far as it knows them; without SSE 4.2 and PCLMULQDQ checksums take another way, and the C library copies memory
//! in a way of its own on each kind of CPU: compare what was counted on one kind.
//!
//! To see where the instructions of one path go, run it by hand:
//!
//! ```text
//! program=benches/instructions/target/release/ottla-instructions
//! $program --prepare random_read DIR              DIR is new
//! valgrind --tool=callgrind --callgrind-out-file=out $program --work random_read 20000 DIR
//! callgrind_annotate out
//! ```

mod conditions;
mod counting;
mod figures;
mod paths;

use std::path::Path;
use std::process::ExitCode;

use conditions::Conditions;
use figures::Column;
use paths::{CountedPath, PATHS};

const USAGE: &str = "Usage: ottla-instructions [--check | --write | PATH...]";
/// How much more than its baseline a path may take.
const TOLERANCE: f64 = 0.02;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match arguments[..] {
        ["--prepare", name, dir] => paths::named(name).map(|path| (path.prepare)(Path::new(dir))),
        ["--work", name, operations, dir] => work(name, operations, dir),
        [] => count(&PATHS.each_ref()).map(drop),
        ["--check"] => count(&PATHS.each_ref()).and_then(|(baseline, now)| check(&baseline, &now)),
        ["--write"] => count(&PATHS.each_ref()).and_then(|(baseline, now)| figures::keep(&baseline, &now)),
        ref names => selected(names).and_then(|paths| count(&paths)).map(drop),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(complaint) => {
            eprintln!("{complaint}");
            ExitCode::FAILURE
        }
    }
}

/// What is done under valgrind.
fn work(name: &str, operations: &str, dir: &str) -> Result<(), String> {
    let path = paths::named(name)?;
    let operations = operations.parse().map_err(|_| format!("{operations} is no number of operations"))?;
    (path.work)(Path::new(dir), operations);
    Ok(())
}

fn selected(names: &[&str]) -> Result<Vec<&'static CountedPath>, String> {
    names.iter().map(|name| paths::named(name).map_err(|complaint| format!("{complaint}\n{USAGE}"))).collect()
}

/// Counts these paths, and prints each beside its baseline. Returns the baseline, or if none is kept the figures as such, and
/// the figures.
fn count(paths: &[&CountedPath]) -> Result<(Column, Column), String> {
    let mut now = Column { conditions: Conditions::here()?, figures: Vec::new() };
    let baseline = figures::baseline()?;
    println!("{:20} {:>12} {:>12} {:>8}", "", "baseline", "now", "");
    for path in paths {
        let figure = counting::instructions_of(path)?;
        let base = baseline.as_ref().and_then(|baseline| baseline.get(path.name)).unwrap_or(figure);
        println!("{:20} {base:12.1} {figure:12.1} {:+7.1}%", path.name, (figure / base - 1.0) * 100.0);
        now.figures.push((path.name.to_owned(), figure));
    }
    Ok((baseline.unwrap_or_else(|| now.clone()), now))
}

/// Fails where a path has become longer.
fn check(baseline: &Column, now: &Column) -> Result<(), String> {
    if !now.conditions.are_comparable_with(&baseline.conditions) {
        println!("not compared: the baseline is of {}, and this of {}", baseline.conditions, now.conditions);
        return Ok(());
    }
    let is_longer = |name: &str, figure| baseline.get(name).is_some_and(|base| base * (1.0 + TOLERANCE) < figure);
    let longer = now.figures.iter().filter(|(name, figure)| is_longer(name, *figure));
    let names: Vec<_> = longer.map(|(name, _)| name.as_str()).collect();
    if names.is_empty() {
        return Ok(());
    }
    Err(format!("more than {} % above the baseline: {}", TOLERANCE * 100.0, names.join(", ")))
}
