//! Collects the lines of log files, each once, into a log that can be asked for them: `cargo run --release --example
//! log_collector -- [FILE or FOLDER]...`, and `--help` tells the rest. You will see what is told by name, a table of what was
//! read, and a bar chart of levels; run it again, and only what is new is collected.
//!
//! **What a line is.** A record's value is the line without its `\n` or `\r\n` and without NULs at its head; its key is the name
//! of the file, and its headers say the level and where its time comes from. Each byte of a file is collected, or taken off and
//! counted, or skipped by name. What a file holds never ends a run.
//!
//! **What a file is** is told by its content alone: by its first bytes *and* those before the position up to which it was
//! collected ([`identify`]). Renamed, copied or compressed with gzip, it is the same; emptied and grown again, it is another.
//! Of two files with the same content the second is named as a copy of the first, also where it is a copy of the first one's
//! beginning only.
//!
//! **A last line without its end** is left until the end comes, or until the file has not changed for five seconds
//! (`--settle`); in a compressed file it is a line.
//!
//! **How long.** Everything is kept, unless `--keep-hours` or `--keep-mb` says how much is to be: then the oldest lines go, while
//! it runs, and how far each file was collected is remembered for ever ([`keep`]). `--keep-hours 24 --keep-mb 1000` keeps a day of
//! logs, and less if they take more than a gigabyte.
//!
//! **How often.** Each line once, also if the collector is killed at any moment ([`journal`] says why).

#![allow(clippy::disallowed_types, reason = "the files that are read here are the user's, not the log's")]

mod bookmark;
mod checkpoint;
mod collector;
mod content;
mod dating;
mod failure;
mod fingerprint;
mod identify;
mod journal;
mod keep;
mod last_offsets;
mod level;
mod lines;
mod notices;
mod open_file;
mod options;
mod progress;
mod replay;
mod rounds;
mod sender;
mod session;
mod sources;
mod streams;
mod summary;
mod tally;
#[cfg(test)]
mod tests;
mod timestamp;
mod verify;
mod viewer;

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::SystemTime;

use ottla::Timestamp;

use notices::Notices;
use options::{Command, HELP, Options};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// The exit code for arguments that are wrong, as other programs have it.
const USAGE: u8 = 2;

fn main() -> ExitCode {
    match Command::parse(std::env::args_os().skip(1), Timestamp::from(SystemTime::now())) {
        Ok(Command::Help) => {
            println!("{HELP}");
            ExitCode::SUCCESS
        }
        Ok(Command::Collect(options)) => run(&options).unwrap_or_else(|error| {
            eprintln!("log_collector: {}", with_causes(&*error));
            ExitCode::FAILURE
        }),
        Err(reason) => {
            eprintln!("log_collector: {reason}");
            ExitCode::from(USAGE)
        }
    }
}

/// An error and what led to it, on one line.
fn with_causes(error: &dyn std::error::Error) -> String {
    let (mut line, mut cause) = (error.to_string(), error.source());
    while let Some(error) = cause {
        line = format!("{line}: {error}");
        cause = error.source();
    }
    line
}

fn run(options: &Options) -> Result<ExitCode> {
    let stop = Arc::new(AtomicBool::new(false));
    if options.is_following {
        // Without this, Ctrl-C would lose no line either; but this way the end of it is seen.
        let stop = Arc::clone(&stop);
        ctrlc::set_handler(move || stop.store(true, Ordering::Relaxed))?;
    }
    let notices = Notices::default();
    let summary = session::collect(options, &notices, &stop, &mut std::io::stdout())?;
    if let Err(error) = std::io::Write::write_fmt(&mut std::io::stdout(), format_args!("{summary}")) {
        // A reader that has seen enough is no error.
        if error.kind() != std::io::ErrorKind::BrokenPipe {
            return Err(error.into());
        }
    }
    // The logs of the machine were not asked for by name; some of them only root may read.
    let is_asked_for = !options.paths.is_empty();
    let is_wrong = summary.verified.is_some_and(|verified| verified.wrong_files > 0);
    let has_failed = is_wrong || is_asked_for && notices.failures() > 0;
    Ok(if has_failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}
