//! `ottla groups list`.

use ottla::GroupDescription;
use serde::Serialize;

use crate::failure::Failure;
use crate::output::Output;
use crate::output::table::{Column, Look, Row};
use crate::place::{self, Place};

/// A group in the list.
#[derive(Debug, Serialize)]
struct Listed {
    name: String,
    state: String,
    members: usize,
    partitions: usize,
    lag: u64,
}

impl Row for Listed {
    const HEADER: &'static [&'static str] = &["group", "state", "members", "partitions", "lag"];

    fn columns(&self, look: Look) -> Vec<Column> {
        vec![
            (&self.name).into(),
            (&self.state).into(),
            look.count(self.members),
            look.count(self.partitions),
            look.number(self.lag),
        ]
    }
}

impl From<&GroupDescription> for Listed {
    fn from(group: &GroupDescription) -> Listed {
        Listed {
            name: group.name().to_owned(),
            state: group.state().to_string(),
            members: group.members().len(),
            partitions: group.partitions().len(),
            lag: group.total_lag(),
        }
    }
}

pub fn run(place: &Place, output: &Output) -> Result<(), Failure> {
    let broker = place.read()?;
    let groups = super::named(&broker, &[])?;
    output.rows(&groups.iter().map(Listed::from).collect::<Vec<_>>())?;
    place::check_shown(&broker, |partition| groups.iter().any(|group| group.lag(partition).is_some()))
}
