//! `ottla topics alter`.

use clap::{ArgGroup, Args};
use ottla::TopicConfig;
use serde::Serialize;

use super::{PARTITIONS, setting, with_settings};
use crate::failure::{Failure, say};
use crate::output::table::{Column, Look, Row};
use crate::output::{Format, Output};
use crate::place::{self, Place};

#[derive(Debug, Args)]
#[command(group = ArgGroup::new("change").required(true).multiple(true))]
pub struct Alter {
    /// Which topic
    name: String,
    /// How many partitions it is to have: as many as now, or more; keys may go to other partitions then
    #[arg(short, long, value_name = "N", group = "change")]
    partitions: Option<u32>,
    /// A setting by Kafka's name for it, such as retention.ms=86400000
    #[arg(short, long = "config", value_name = "KEY=VALUE", value_parser = setting, group = "change")]
    config: Vec<(String, String)>,
    /// A setting that is to have its default again
    #[arg(long, value_name = "KEY", group = "change")]
    reset: Vec<String>,
}

/// A setting that has changed.
#[derive(Debug, Serialize)]
struct Changed {
    topic: String,
    key: &'static str,
    before: Option<String>,
    after: Option<String>,
}

impl Row for Changed {
    const HEADER: &'static [&'static str] = &["setting", "before", "after"];

    fn columns(&self, _look: Look) -> Vec<Column> {
        let shown = |value: &Option<String>| value.clone().unwrap_or_else(|| "not set".to_owned()).into();
        vec![self.key.into(), shown(&self.before), shown(&self.after)]
    }
}

impl Alter {
    pub fn run(&self, place: &Place, output: &Output) -> Result<(), Failure> {
        let broker = place.write()?;
        let before = place::topic(&broker, &self.name)?.config();
        let count = self.partition_count(&before)?;
        if self.config.iter().map(|(key, _)| key).chain(&self.reset).any(|key| key == PARTITIONS) {
            return Err(Failure::refused("the number of partitions is changed with -p"));
        }
        let admin = broker.admin();
        admin.alter_topic(&self.name, |config| self.changed(&config))?;
        if before.get_partitions() < count {
            admin.add_partitions(&self.name, count)?;
        }
        let after = broker.existing_topic(&self.name)?.config();
        broker.close()?;
        let changes = self.changes(&before, &after);
        output.rows(&changes)?;
        if changes.is_empty() && output.format() == Format::Table {
            say("nothing was changed: all is as it was");
        }
        Ok(())
    }

    /// How many partitions the topic is to have, of which none can be taken away.
    fn partition_count(&self, before: &TopicConfig) -> Result<u32, Failure> {
        let (now, wanted) = (before.get_partitions(), self.partitions.unwrap_or(before.get_partitions()));
        if wanted < now {
            let reason =
                format!("{} has {now} partitions, and none can be taken away: give -p {now} or more", self.name);
            return Err(Failure::refused(reason));
        }
        Ok(wanted)
    }

    /// The configuration as it is to be.
    fn changed(&self, config: &TopicConfig) -> ottla::Result<TopicConfig> {
        for key in self.reset.iter().filter(|key| !TopicConfig::KEYS.contains(&key.as_str())) {
            // Which says the name that was probably meant.
            _ = TopicConfig::new().set(key, "")?;
        }
        let is_kept = |key: &str| !self.reset.iter().any(|reset| reset == key);
        let kept = config.properties().into_iter().filter(|(key, _)| is_kept(key));
        let config = kept.map(|(key, value)| (key.to_owned(), value)).collect::<Vec<_>>();
        with_settings(with_settings(TopicConfig::new(), &config)?, &self.config)
    }

    fn changes(&self, before: &TopicConfig, after: &TopicConfig) -> Vec<Changed> {
        let value = |config: &TopicConfig, key: &str| {
            config.properties().into_iter().find(|(name, _)| *name == key).map(|(_, value)| value)
        };
        let change = |&key: &&'static str| {
            let (before, after) = (value(before, key), value(after, key));
            (before != after).then(|| Changed { topic: self.name.clone(), key, before, after })
        };
        TopicConfig::KEYS.iter().filter_map(change).collect()
    }
}
