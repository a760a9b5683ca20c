//! `ottla`, the command: looks into a data directory and changes it, from a terminal or a script.
//!
//! ```text
//! args         what can be asked for; what a command takes stands in the file of that command
//! commands/    a file a command
//! place        the data directory: read beside whoever writes it, or opened for writing if nobody has it
//! selection    topics and partitions as they are named on the command line
//! output/      rows as a table, as JSON or as lines of JSON; numbers, bytes and times as text
//! record_json  a record as a line of JSON, out and in; escapes: bytes that are hard to type, as arguments have them
//! interrupt    Ctrl-C, for commands that go on until then
//! failure      why a command did not do all that was asked: a line for people, an exit status for scripts
//! ```
//! It stands on the public API alone. Data goes to stdout, all else to stderr.

#![allow(missing_docs, reason = "a program: `ottla help` and the guide tell what it does")]
#![allow(unreachable_pub, reason = "of a program nothing is reached from outside")]
#![allow(clippy::struct_field_names, reason = "fields are named as in JSON, and arguments as on the command line")]
#![forbid(unsafe_code)]

mod args;
mod commands;
mod escapes;
mod failure;
mod interrupt;
mod output;
mod place;
mod record_json;
mod selection;

use std::process::ExitCode;

use clap::CommandFactory;

use args::{Cli, Command};
use failure::Failure;
use output::Output;
use place::Place;

fn main() -> ExitCode {
    let done = match args::parse() {
        Ok(cli) => run(cli),
        Err(error) => args::refuse(&error),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}

/// Does what was asked for.
fn run(cli: Cli) -> Result<(), Failure> {
    let (place, output) = (Place::new(cli.common.dir, cli.common.is_dir_named), Output::new(cli.common.output));
    match cli.command {
        Command::Topics(topics) => topics.run(&place, &output),
        Command::Groups(groups) => groups.run(&place, &output),
        Command::Offsets(offsets) => offsets.run(&place, &output),
        Command::Du(du) => du.run(&place, &output),
        Command::Transactions(transactions) => transactions.run(&place, &output),
        Command::Produce(produce) => produce.run(&place),
        Command::Consume(consume) => consume.run(&place, cli.common.output),
        Command::Dump(dump) => dump.run(&output),
        Command::Verify(verify) => verify.run(&place, &output),
        Command::Repair(repair) => repair.run(&place, &output),
        Command::Backup(backup) => backup.run(&place, &output),
        Command::Restore(restore) => restore.run(&output),
        Command::Replicate(replicate) => replicate.run(&place, &output),
        Command::Promote(promote) => promote.run(&output),
        Command::Export(export) => export.run(&place, &output),
        Command::Import(import) => import.run(&place, &output),
        Command::Perf(perf) => perf.run(&place, &output),
        Command::Top(top) => top.run(&place, &output),
        Command::Completions(completions) => completions.run(Cli::command()),
        Command::Man(man) => man.run(Cli::command()),
    }
}
