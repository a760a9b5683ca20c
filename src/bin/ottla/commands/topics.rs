//! `ottla topics`.

use clap::Subcommand;
use ottla::TopicDescription;
use serde::Serialize;

use crate::failure::Failure;
use crate::output::Output;
use crate::output::table::{Column, Look, Row};
use crate::place::Place;

#[derive(Debug, Subcommand)]
pub enum Topics {
    /// All topics, in the order of their names
    List,
}

impl Topics {
    pub fn run(&self, place: &Place, output: &Output) -> Result<(), Failure> {
        match self {
            Topics::List => list(place, output),
        }
    }
}

/// A topic in the list.
#[derive(Debug, Serialize)]
struct Listed {
    name: String,
    partitions: usize,
    records: u64,
    bytes: u64,
}

impl Row for Listed {
    const HEADER: &'static [&'static str] = &["topic", "partitions", "records", "size"];

    fn columns(&self, look: Look) -> Vec<Column> {
        let partitions = u64::try_from(self.partitions).unwrap_or(u64::MAX);
        vec![(&self.name).into(), look.number(partitions), look.number(self.records), look.bytes(self.bytes)]
    }
}

impl From<TopicDescription> for Listed {
    fn from(topic: TopicDescription) -> Listed {
        let count = |offsets: std::ops::Range<u64>| offsets.end - offsets.start;
        Listed {
            name: topic.name().to_owned(),
            partitions: topic.partitions().len(),
            records: topic.partitions().iter().map(|partition| count(partition.offsets())).sum(),
            bytes: topic.allocated_bytes(),
        }
    }
}

fn list(place: &Place, output: &Output) -> Result<(), Failure> {
    let broker = place.read()?;
    let admin = broker.admin();
    let mut rows = Vec::new();
    for name in admin.list_topics()? {
        // One that was deleted since is not there any more.
        match admin.describe(&name) {
            Err(ottla::Error::UnknownTopic { .. }) => {}
            described => rows.push(Listed::from(described?)),
        }
    }
    output.rows(&rows)
}
