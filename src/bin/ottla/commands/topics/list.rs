//! `ottla topics list`, and a topic as it is listed there.

use ottla::{Broker, Error, TopicDescription};
use serde::Serialize;

use crate::failure::Failure;
use crate::output::Output;
use crate::output::table::{Column, Look, Row};
use crate::place::{self, Place};

/// A topic in the list.
#[derive(Debug, Serialize)]
pub struct Listed {
    pub name: String,
    pub partitions: usize,
    pub records: u64,
    pub bytes: u64,
}

impl Row for Listed {
    const HEADER: &'static [&'static str] = &["topic", "partitions", "records", "size"];

    fn columns(&self, look: Look) -> Vec<Column> {
        vec![(&self.name).into(), look.count(self.partitions), look.number(self.records), look.bytes(self.bytes)]
    }
}

impl From<&TopicDescription> for Listed {
    fn from(topic: &TopicDescription) -> Listed {
        let count = |offsets: std::ops::Range<u64>| offsets.end - offsets.start;
        Listed {
            name: topic.name().to_owned(),
            partitions: topic.partitions().len(),
            records: topic.partitions().iter().map(|partition| count(partition.offsets())).sum(),
            bytes: topic.allocated_bytes(),
        }
    }
}

pub fn run(place: &Place, output: &Output) -> Result<(), Failure> {
    let broker = place.read()?;
    let topics = all(&broker)?;
    output.rows(&topics.iter().map(Listed::from).collect::<Vec<_>>())?;
    place::check_shown(&broker, |partition| topics.iter().any(|topic| topic.name() == partition.topic()))
}

/// All topics, as they are now.
pub fn all(broker: &Broker) -> Result<Vec<TopicDescription>, Failure> {
    let admin = broker.admin();
    let mut topics = Vec::new();
    for name in admin.list_topics()? {
        match admin.describe(&name) {
            // It was deleted since.
            Err(Error::UnknownTopic { .. }) => {}
            described => topics.push(described?),
        }
    }
    Ok(topics)
}
