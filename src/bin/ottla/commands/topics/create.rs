//! `ottla topics create`.

use clap::Args;
use ottla::TopicConfig;

use super::list::Listed;
use super::{setting, with_settings};
use crate::failure::Failure;
use crate::output::Output;
use crate::place::Place;

#[derive(Debug, Args)]
pub struct Create {
    /// Its name: letters, digits, `.`, `_` and `-`
    name: String,
    /// How many partitions it has; there can be more later, and never fewer
    #[arg(short, long, value_name = "N", default_value_t = 1)]
    partitions: u32,
    /// A setting by Kafka's name for it, such as retention.ms=86400000
    #[arg(short, long = "config", value_name = "KEY=VALUE", value_parser = setting)]
    config: Vec<(String, String)>,
}

impl Create {
    pub fn run(&self, place: &Place, output: &Output) -> Result<(), Failure> {
        // Before a directory is made for it.
        let config = with_settings(TopicConfig::new().partitions(self.partitions), &self.config)?;
        let broker = place.write_or_create()?;
        broker.create_topic(&self.name, config)?;
        let created = Listed::from(&broker.admin().describe(&self.name)?);
        broker.close()?;
        output.rows(&[created])
    }
}
