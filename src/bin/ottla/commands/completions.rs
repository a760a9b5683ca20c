//! `ottla completions`.

use std::io::Write;

use clap::Args;
use clap_complete::Shell;

use crate::failure::Failure;
use crate::output::to_stdout;

#[derive(Debug, Args)]
pub struct Completions {
    /// Whose completions
    shell: Shell,
}

impl Completions {
    /// Writes the completions of `command`, which is the program.
    pub fn run(&self, mut command: clap::Command) -> Result<(), Failure> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut command, "ottla", &mut script);
        to_stdout(|out| out.write_all(&script))
    }
}
