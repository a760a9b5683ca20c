//! A file a command.

pub mod completions;
pub mod dump;
pub mod repair;
pub mod topics;
pub mod verify;

use clap::CommandFactory;

use crate::args::{Cli, Command};
use crate::failure::Failure;
use crate::output::{self, Output};
use crate::place::Place;

/// Does what was asked for.
pub fn run(cli: Cli) -> Result<(), Failure> {
    let (place, output) = (Place::new(cli.common.dir), Output::new(cli.common.output));
    match cli.command {
        Command::Topics(topics) => topics.run(&place, &output),
        Command::Dump(dump) => dump.run(&output),
        Command::Verify(verify) => verify.run(&place, &output),
        Command::Repair(repair) => repair.run(&place, &output),
        Command::Completions(completions) => completions.run(),
        Command::Man => output::to_stdout(|out| clap_mangen::Man::new(Cli::command()).render(out)),
    }
}
