//! `ottla groups`.

mod delete;
mod describe;
mod list;
mod offsets_file;
mod reset;

use clap::Subcommand;
use ottla::{Broker, GroupDescription};

use crate::failure::Failure;
use crate::output::Output;
use crate::place::{self, Place};

#[derive(Debug, Subcommand)]
pub enum Groups {
    /// All groups, in the order of their names
    List,
    /// Who is in groups, and how far they are in each partition
    Describe(describe::Describe),
    /// Set committed offsets of a group anew; without --execute it is only said what would change
    Reset(reset::Reset),
    /// Forget groups that have no members, and what they have committed
    Delete(delete::Delete),
}

impl Groups {
    pub fn run(&self, place: &Place, output: &Output) -> Result<(), Failure> {
        match self {
            Groups::List => list::run(place, output),
            Groups::Describe(describe) => describe.run(place, output),
            Groups::Reset(reset) => reset.run(place, output),
            Groups::Delete(delete) => delete.run(place, output),
        }
    }
}

/// These groups, all of which are there; all there are if none is named.
fn named(broker: &Broker, names: &[String]) -> Result<Vec<GroupDescription>, Failure> {
    let admin = broker.admin();
    if names.is_empty() {
        return Ok(admin.describe_groups()?);
    }
    let describe = |name: &String| admin.describe_group(name).map_err(|error| place::unknown_group(broker, error));
    names.iter().map(describe).collect()
}
