//! `ottla groups delete`.

use clap::Args;
use ottla::{Broker, GroupDescription};
use serde::Serialize;

use crate::failure::Failure;
use crate::output::Output;
use crate::output::table::{Column, Look, Row};
use crate::output::text::counted;
use crate::place::Place;
use crate::selection::each_once;

#[derive(Debug, Args)]
pub struct Delete {
    /// Which groups
    #[arg(required = true)]
    names: Vec<String>,
    /// Do it: without this it is only said what would go
    #[arg(long)]
    yes: bool,
}

/// A group that was deleted.
#[derive(Debug, Serialize)]
struct Deleted {
    name: String,
    committed_partitions: usize,
}

impl Row for Deleted {
    const HEADER: &'static [&'static str] = &["group", "committed"];

    fn columns(&self, look: Look) -> Vec<Column> {
        vec![(&self.name).into(), look.count(self.committed_partitions)]
    }
}

impl From<&GroupDescription> for Deleted {
    fn from(group: &GroupDescription) -> Deleted {
        let committed = group.partitions().iter().filter(|partition| partition.committed().is_some());
        Deleted { name: group.name().to_owned(), committed_partitions: committed.count() }
    }
}

impl Delete {
    pub fn run(&self, place: &Place, output: &Output) -> Result<(), Failure> {
        if !self.yes {
            let groups = self.groups(&place.read()?)?;
            let what: Vec<String> = groups.iter().map(|group| what_goes(&Deleted::from(group))).collect();
            return Err(Failure::refused(format_args!("nothing was deleted; --yes deletes {}", what.join(", "))));
        }
        let broker = place.write()?;
        let groups = self.groups(&broker)?;
        // Before one of them is deleted.
        if let Some(group) = groups.iter().find(|group| !group.members().is_empty()) {
            let (name, members) = (group.name(), counted(group.members().len(), "member"));
            return Err(Failure::refused(format_args!("group {name:?} has {members}, and cannot be deleted")));
        }
        let mut deleted = Vec::new();
        let done = groups.iter().try_for_each(|group| {
            broker.admin().delete_group(group.name())?;
            deleted.push(Deleted::from(group));
            Ok::<_, Failure>(())
        });
        let done = done.and_then(|()| Ok(broker.close()?));
        // What was deleted is told also if not all was.
        let told = output.rows(&deleted);
        done.and(told)
    }

    /// All of them are there, each once.
    fn groups(&self, broker: &Broker) -> Result<Vec<GroupDescription>, Failure> {
        super::named(broker, &each_once(&self.names))
    }
}

fn what_goes(group: &Deleted) -> String {
    format!("{} (committed offsets in {})", group.name, counted(group.committed_partitions, "partition"))
}
