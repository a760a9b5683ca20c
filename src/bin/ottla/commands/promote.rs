//! `ottla promote`.

use std::io::{self, Write};
use std::path::PathBuf;

use clap::Args;
use ottla::{Replica, ReplicaOptions};
use serde::Serialize;

use crate::failure::Failure;
use crate::output::losses::Losses;
use crate::output::{Output, Stdout, text};

/// Make a replica a data directory of its own
///
/// It follows its source no more. Its leader epochs rise above all that it knows, transactions that were open are ended, and groups that have
/// committed what had not come are moved back. There is no way back: another replica can be begun.
#[derive(Debug, Args)]
pub struct Promote {
    /// The replica
    replica: PathBuf,
}

/// What became of it.
#[derive(Debug, Serialize)]
struct Promoted {
    replica: String,
    #[serde(flatten)]
    losses: Losses,
}

impl Promote {
    pub fn run(&self, output: &Output) -> Result<(), Failure> {
        let report = Replica::promote_without_source(&self.replica, ReplicaOptions::new())?;
        let losses = Losses::new(report.torn_transactions(), report.moved_back());
        let promoted = Promoted { replica: text::escaped_path(&self.replica), losses };
        output.value(&promoted, |out, _| promoted.show(out))
    }
}

impl Promoted {
    fn show(&self, out: &mut Stdout) -> io::Result<()> {
        writeln!(out, "{} is a data directory of its own now", self.replica)?;
        self.losses.show(out)
    }
}
