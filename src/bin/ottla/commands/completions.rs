//! `ottla completions`.

use std::io::Write;

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use crate::args::Cli;
use crate::failure::Failure;
use crate::output::to_stdout;

#[derive(Debug, Args)]
pub struct Completions {
    /// Whose completions
    shell: Shell,
}

impl Completions {
    pub fn run(&self) -> Result<(), Failure> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Cli::command(), "ottla", &mut script);
        to_stdout(|out| out.write_all(&script))
    }
}
