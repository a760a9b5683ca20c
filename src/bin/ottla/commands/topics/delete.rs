//! `ottla topics delete`.

use clap::Args;
use ottla::{Broker, TopicDescription};

use super::describe::named;
use super::list::Listed;
use crate::failure::Failure;
use crate::output::Output;
use crate::output::text::{self, counted};
use crate::place::Place;
use crate::selection::each_once;

#[derive(Debug, Args)]
pub struct Delete {
    /// Which topics
    #[arg(required = true)]
    names: Vec<String>,
    /// Do it: without this it is only said what would go
    #[arg(long)]
    yes: bool,
}

impl Delete {
    pub fn run(&self, place: &Place, output: &Output) -> Result<(), Failure> {
        if !self.yes {
            let topics = self.topics(&place.read()?)?;
            let what: Vec<String> = topics.iter().map(|topic| what_goes(&Listed::from(topic))).collect();
            return Err(Failure::refused(format_args!("nothing was deleted; --yes deletes {}", what.join(", "))));
        }
        let broker = place.write()?;
        let mut deleted = Vec::new();
        let mut delete = |topic: &TopicDescription| {
            broker.admin().delete_topic(topic.name())?;
            deleted.push(Listed::from(topic));
            Ok::<_, Failure>(())
        };
        let done = self.topics(&broker)?.iter().try_for_each(&mut delete);
        let done = done.and_then(|()| Ok(broker.close()?));
        // What was deleted is told also if not all was.
        let told = output.rows(&deleted);
        done.and(told)
    }

    /// All of them are there, each once.
    fn topics(&self, broker: &Broker) -> Result<Vec<TopicDescription>, Failure> {
        named(broker, &each_once(&self.names))
    }
}

fn what_goes(topic: &Listed) -> String {
    let records = usize::try_from(topic.records).unwrap_or(usize::MAX);
    let (partitions, records) = (counted(topic.partitions, "partition"), counted(records, "record"));
    format!("{} ({partitions}, {records}, {})", topic.name, text::bytes(topic.bytes))
}
