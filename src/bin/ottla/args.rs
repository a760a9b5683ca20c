//! What can be asked for.

use std::path::PathBuf;

use clap::error::ErrorKind;
use clap::parser::ValueSource;
use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand};

use crate::commands;
use crate::failure::Failure;
use crate::output::Format;

/// Look into a data directory of Ottla, and change it.
///
/// What only reads works beside the process that writes the directory. What writes needs the directory to be free.
#[derive(Debug, Parser)]
#[command(name = "ottla", version, propagate_version = true, disable_help_subcommand = false, max_term_width = 100)]
#[command(after_help = "Exit status: 0 done; 1 failed, or done in part; 2 called wrongly, or not possible here.")]
pub struct Cli {
    #[command(flatten)]
    pub common: Common,
    #[command(subcommand)]
    pub command: Command,
}

/// What every command takes.
#[derive(Debug, Args)]
pub struct Common {
    /// The data directory
    #[arg(long, global = true, env = "OTTLA_DIR", value_name = "PATH", help_heading = "Everywhere")]
    pub dir: Option<PathBuf>,
    /// Whether the command line itself names the data directory, and not the environment.
    #[arg(skip)]
    pub is_dir_named: bool,
    /// How results are written; by default a table on a terminal, and lines of JSON elsewhere
    #[arg(long, global = true, env = "OTTLA_OUTPUT", value_name = "FORMAT", help_heading = "Everywhere")]
    pub output: Option<Format>,
}

/// A command that says more of itself than a line does so at its own arguments: a line here would take the place of all of that.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// List, describe, create, alter and delete topics
    #[command(subcommand)]
    Topics(commands::topics::Topics),
    /// List, describe, reset and delete groups
    #[command(subcommand)]
    Groups(commands::groups::Groups),
    /// Where partitions begin and end, and which offset belongs to a time
    Offsets(commands::offsets::Offsets),
    /// What is on the disk
    Du(commands::du::Du),
    /// List, describe and abort transactions
    #[command(subcommand)]
    Transactions(commands::transactions::Transactions),
    Produce(commands::produce::Produce),
    Consume(commands::consume::Consume),
    Dump(commands::dump::Dump),
    Verify(commands::verify::Verify),
    Repair(commands::repair::Repair),
    Backup(commands::backup::Backup),
    Restore(commands::restore::Restore),
    Replicate(commands::replicate::Replicate),
    Promote(commands::promote::Promote),
    Export(commands::export::Export),
    Import(commands::import::Import),
    #[command(subcommand)]
    Perf(commands::perf::Perf),
    /// Show live what comes in and how far groups are behind
    Top(commands::top::Top),
    /// Write a completion script for a shell to stdout
    Completions(commands::completions::Completions),
    /// Write a manual page to stdout
    Man(commands::man::Man),
}

/// Reads the arguments of the process.
pub fn parse() -> Result<Cli, clap::Error> {
    let matches = Cli::command().try_get_matches()?;
    let mut cli = Cli::from_arg_matches(&matches)?;
    cli.common.is_dir_named = matches.value_source("dir") == Some(ValueSource::CommandLine);
    Ok(cli)
}

/// What clap found wrong as one line, and its help as it is.
pub fn refuse(error: &clap::Error) -> Result<(), Failure> {
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => error.print().map_err(|error| Failure::of_stdout(&error)),
        // The help says what can be asked for.
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            _ = error.print();
            Err(Failure::refused("say what to do"))
        }
        _ => Err(Failure::refused(one_line(&error.to_string()))),
    }
}

/// The message without the usage and the hint at the help that clap appends, each of which is a paragraph.
fn one_line(message: &str) -> String {
    // A hint is a paragraph of its own.
    let message = message.replace("\n\n  tip: ", ";\n\n").replace("\n  tip: ", ";\n");
    let is_told = |paragraph: &&str| !paragraph.starts_with("Usage:") && !paragraph.starts_with("For more information");
    let paragraphs = message.trim_start_matches("error: ").split("\n\n").filter(is_told);
    let words: Vec<&str> = paragraphs.flat_map(str::split_whitespace).collect();
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_arguments_fit_together() {
        Cli::command().debug_assert();
    }

    #[test]
    fn what_is_wrong_with_the_arguments_is_one_line() {
        for arguments in
            [&["ottla", "topcs"][..], &["ottla", "topics", "list", "--output", "xml"], &["ottla", "--nope"]]
        {
            let error = Cli::try_parse_from(arguments).unwrap_err();
            let Err(Failure::Refused(line)) = refuse(&error) else { panic!("{arguments:?} is refused") };
            assert!(!line.contains('\n') && !line.contains("Usage"), "{line}");
        }
    }
}
