//! How fast is it here? One row for each thing that is done with a log, and beside it what the machine allows.
//!
//! `cargo run --release --example perf` takes about a minute, prints a table, and leaves nothing behind but the files that
//! `--json` and `--svg` name. `OTTLA_PERF_SECONDS` gives it more time or less; with more, there is more data as well.
//!
//! How to read a line: the first column says what is done, with which durability and size, and from how many threads. Beside
//! it is the same work done without a log, in turns with it: the best other way to do it, or what the machine allows. The
//! factor is the median of what both took in each turn, and it holds from machine to machine, while rates do not. Latencies are
//! of single calls; where those are short, of one in 101. Our own target comes last, and a line that is short of it is a loss:
//! what this log is still too slow at, or the machine too busy for. At the end all of it is summed up.
//!
//! With the flags of `kafka-producer-perf-test` it sends that one workload, reads it back, and prints what Kafka's tools
//! print: `cargo run --release --example perf -- --num-records 5000000 --record-size 100 --durability os`.

#![allow(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "these are measurements, of which three digits count"
)]

mod json;
mod measure;
mod options;
mod outcome;
mod suite;
mod svg;
mod text;
mod workload;

use std::fs;
use std::io;
use std::process::ExitCode;
use std::time::Duration;

use measure::{Effort, measure, measure_once};
use options::{Command, TableOptions, USAGE};
use suite::row::{Figure, Row};
use suite::{copying, durable, following, opening, partitions, reading, sending, sharing, snappy, waiting, worker};

fn main() -> ExitCode {
    worker::serve_if_asked();
    let done = match Command::parse(std::env::args().skip(1), std::env::var("OTTLA_PERF_SECONDS").ok()) {
        Ok(Command::Table(options)) => table(&options).map_err(|error| error.to_string()),
        Ok(Command::Workload(workload)) => workload.run().map_err(|error| error.with_causes().to_string()),
        Ok(Command::Help) => {
            println!("{USAGE}");
            Ok(())
        }
        Err(complaint) => {
            eprintln!("{complaint}\n\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// What gives one line, or several that share what they need.
enum Entry {
    Row(Row),
    Figure(Figure),
}

fn entries(effort: Effort) -> Vec<Entry> {
    let records = effort.size(1_000_000, 20_000..=10_000_000);
    let bytes = effort.size(256 << 20, 8 << 20..=2 << 30);
    let partitions = u32::try_from(effort.size(1250, 50..=10_000)).unwrap_or(u32::MAX);
    let (send_to_many, figures_of_many) = partitions::many(partitions);
    let rows = [
        sending::rows(),
        sharing::rows(),
        durable::rows(),
        reading::rows(records),
        snappy::rows(),
        waiting::rows(),
        following::rows(),
        opening::rows(bytes),
        copying::rows(bytes),
        vec![send_to_many],
    ];
    let figures = [partitions::bytes_on_disk(records), partitions::memory_while_writing(records)];
    let idle = following::idle(Duration::from_millis(effort.size(1000, 100..=10_000)));
    let reaction = following::reaction(effort.size(3, 1..=100));
    let figures = figures_of_many.into_iter().chain(partitions::new_and_closed(partitions)).chain(figures).chain([
        idle,
        reaction,
        copying::lag(bytes),
    ]);
    rows.into_iter().flatten().map(Entry::Row).chain(figures.map(Entry::Figure)).collect()
}

fn table(options: &TableOptions) -> io::Result<()> {
    let effort = Effort { seconds: options.seconds };
    println!("{}", text::head());
    let mut outcomes = Vec::new();
    for entry in entries(effort) {
        let (Entry::Row(Row { name, .. }) | Entry::Figure(Figure { name, .. })) = &entry;
        if !name.contains(&options.only) {
            continue;
        }
        let outcome = match entry {
            Entry::Row(row) => measure(row, effort),
            Entry::Figure(figure) => measure_once(figure),
        };
        println!("{}", text::line(&outcome));
        outcomes.push(outcome);
    }
    print!("{}", text::verdict(&outcomes));
    if let Some(file) = &options.json {
        fs::write(file, json::document(&outcomes))?;
    }
    if let Some(file) = &options.svg {
        fs::write(file, svg::chart(&outcomes))?;
    }
    Ok(())
}
