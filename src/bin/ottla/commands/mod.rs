//! A file a command.

pub mod completions;
pub mod consume;
pub mod du;
pub mod dump;
pub mod groups;
pub mod man;
pub mod offsets;
pub mod perf;
pub mod produce;
pub mod repair;
pub mod top;
pub mod topics;
pub mod transactions;
pub mod verify;

use crate::args::{Cli, Command};
use crate::failure::Failure;
use crate::output::Output;
use crate::place::Place;

/// Does what was asked for.
pub fn run(cli: Cli) -> Result<(), Failure> {
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
        Command::Perf(perf) => perf.run(&place, &output),
        Command::Top(top) => top.run(&place, &output),
        Command::Completions(completions) => completions.run(),
        Command::Man(man) => man.run(),
    }
}
