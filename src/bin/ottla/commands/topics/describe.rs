//! `ottla topics describe`.

use std::collections::BTreeMap;
use std::io::{self, Write};

use clap::Args;
use ottla::{Broker, Error, PartitionDescription, TopicConfig, TopicDescription};
use serde::Serialize;

use super::{PARTITIONS, list};
use crate::failure::Failure;
use crate::output::table::{Column, Look, Row, write, write_facts};
use crate::output::{Output, Stdout};
use crate::place::{self, Place};

#[derive(Debug, Args)]
pub struct Describe {
    /// Which topics; all if none is named
    names: Vec<String>,
    /// Show every setting, and not only those that differ from the defaults
    #[arg(long)]
    all: bool,
}

/// A topic, and what is in it.
#[derive(Debug, Serialize)]
struct Described {
    name: String,
    topic_id: String,
    /// By key; what is not set is `null`.
    config: BTreeMap<&'static str, Option<String>>,
    /// Settings that were made and do nothing.
    without_effect: Vec<&'static str>,
    bytes: u64,
    partitions: Vec<Partition>,
}

/// One of its partitions.
#[derive(Debug, Serialize)]
struct Partition {
    partition: u32,
    start: u64,
    stable: u64,
    end: u64,
    durable: u64,
    segments: usize,
    bytes: u64,
}

impl Row for Partition {
    const HEADER: &'static [&'static str] = &["partition", "start", "stable", "end", "durable", "size", "segments"];

    fn columns(&self, look: Look) -> Vec<Column> {
        vec![
            look.number(self.partition),
            look.number(self.start),
            look.number(self.stable),
            look.number(self.end),
            look.number(self.durable),
            look.bytes(self.bytes),
            look.count(self.segments),
        ]
    }
}

impl Describe {
    pub fn run(&self, place: &Place, output: &Output) -> Result<(), Failure> {
        let broker = place.read()?;
        let topics = if self.names.is_empty() { list::all(&broker)? } else { named(&broker, &self.names)? };
        let mut described = Vec::new();
        for topic in &topics {
            match self.describe(&broker, topic) {
                // It was deleted since.
                Err(Error::UnknownTopic { .. } | Error::Closed { .. }) if self.names.is_empty() => {}
                topic => described.push(topic?),
            }
        }
        output.each(&described, show)?;
        place::check_shown(&broker, |partition| described.iter().any(|topic| topic.name == partition.topic()))
    }

    fn describe(&self, broker: &Broker, topic: &TopicDescription) -> ottla::Result<Described> {
        let handle = broker.existing_topic(topic.name())?;
        let partition = |found: &PartitionDescription| {
            let number = found.topic_partition().partition();
            let (start, end) = (found.offsets().start, found.offsets().end);
            // Asked for after the others, so it may be beyond what was the end then.
            let stable = handle.partition(number)?.last_stable_offset().clamp(start, end);
            let (durable, segments, bytes) = (found.durable_offset(), found.segment_count(), found.allocated_bytes());
            Ok(Partition { partition: number, start, stable, end, durable: durable.min(end), segments, bytes })
        };
        Ok(Described {
            name: topic.name().to_owned(),
            topic_id: format!("{:032x}", topic.topic_id()),
            config: self.settings(topic.config()),
            without_effect: topic.settings_without_effect().to_vec(),
            bytes: topic.allocated_bytes(),
            partitions: topic.partitions().iter().map(partition).collect::<ottla::Result<_>>()?,
        })
    }

    /// What of the configuration is to be shown. The number of partitions is told anyway.
    fn settings(&self, config: &TopicConfig) -> BTreeMap<&'static str, Option<String>> {
        let of = |config: &TopicConfig| config.properties().into_iter().collect::<BTreeMap<_, _>>();
        let (mut set, default) = (of(config), of(&TopicConfig::new()));
        let keys = TopicConfig::KEYS.iter().copied().filter(|key| *key != PARTITIONS);
        let is_shown = |key: &&'static str| self.all || set.get(key) != default.get(key);
        let keys: Vec<_> = keys.filter(is_shown).collect();
        keys.into_iter().map(|key| (key, set.remove(key))).collect()
    }
}

/// These topics, all of which are there.
pub fn named(broker: &Broker, names: &[String]) -> Result<Vec<TopicDescription>, Failure> {
    let describe = |name: &String| broker.admin().describe(name).map_err(|error| place::unknown_topic(broker, error));
    names.iter().map(describe).collect()
}

fn show(out: &mut Stdout, look: Look, topic: &Described) -> io::Result<()> {
    let unset = || "not set".to_owned();
    let mut facts: Vec<(&str, Column)> =
        vec![("topic id", (&topic.topic_id).into()), ("size", look.bytes(topic.bytes))];
    let settings = topic.config.iter().map(|(key, value)| {
        let value = value.clone().unwrap_or_else(unset);
        let has_effect = !topic.without_effect.contains(key);
        (*key, if has_effect { value.into() } else { format!("{value} (without effect)").into() })
    });
    facts.extend(settings);
    write_facts(out, look, &topic.name, facts)?;
    writeln!(out)?;
    write(out, look, &topic.partitions)
}
