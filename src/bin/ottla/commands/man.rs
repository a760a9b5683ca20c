//! `ottla man`.

use std::io::Write;

use clap::Args;

use crate::failure::Failure;
use crate::output::{text, to_stdout};

#[derive(Debug, Args)]
pub struct Man {
    /// The page of this command, as in `ottla man topics create`; without it, that of the program
    command: Vec<String>,
}

impl Man {
    /// Writes a page of `command`, which is the program.
    pub fn run(&self, mut command: clap::Command) -> Result<(), Failure> {
        // Only then do subcommands know what they have from those above.
        command.build();
        for name in &self.command {
            command = child(&command, name)?;
        }
        let mut page = Vec::new();
        _ = clap_mangen::Man::new(command).render(&mut page);
        to_stdout(|out| out.write_all(&with_known_headings(&page)))
    }
}

/// What stands below the options of the help has a heading in `page` that manual pages do not have otherwise.
fn with_known_headings(page: &[u8]) -> Vec<u8> {
    String::from_utf8_lossy(page).replace("\n.SH EXTRA\n", "\n.SH NOTES\n").into_bytes()
}

fn child(command: &clap::Command, name: &str) -> Result<clap::Command, Failure> {
    if let Some(found) = command.find_subcommand(name) {
        return Ok(found.clone());
    }
    let near = text::nearest(name, command.get_subcommands().map(clap::Command::get_name));
    let near = near.map(|near| format!("; did you mean {near:?}?")).unwrap_or_default();
    Err(Failure::refused(format_args!(
        "{} has no command {name:?}{near}",
        command.get_bin_name().unwrap_or_else(|| command.get_name())
    )))
}
